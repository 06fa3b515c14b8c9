//! Live transcriptions of a call: a recogniser listens to each track, and the application is notified of its results.
//!
//! A transcription outlives its program, as a stream that listens does. A recogniser that closes after an utterance is connected again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_media::agent::{Loss, TrackSet, Transcript};
use trunkgate_media::{AgentEvent, EndId};
use trunkgate_resources::applications::question::{AppAnswer, AppCallback, AppPlace, DocumentRequest};
use trunkgate_resources::applications::recognition::Recognised;
use trunkgate_resources::io::QueryId;
use trunkgate_route::App;
use trunkgate_story::change::{Change, Happening};
use trunkgate_story::wall::rfc3339;
use trunkgate_twiml::{Tracks, TranscriptStep};

use crate::call::media::{CallMedia, recognisers};
use crate::call::program::partials::Partials;
use crate::call::program::recognition::asked_for;
use crate::call::shared::Cx;
use crate::call::words::refused::Refused;
use crate::call::words::webhooks;

/// Maximum number of live transcriptions of a call.
const TRANSCRIPTS: usize = 4;
/// Time within which a recogniser that closes without a result has closed at once.
const AT_ONCE: Duration = Duration::from_secs(1);
/// The same with a result.
const AT_ONCE_WITH_RESULT: Duration = Duration::from_millis(100);
/// Connections in a row that may close at once.
const CLOSED_AT_ONCE: u8 = 5;

/// The live transcriptions of a call that are not over, also those of applications that the call has left.
#[derive(Debug, Default)]
pub(crate) struct LiveTranscripts {
    list: Vec<Live>,
}

/// A live transcription.
#[derive(Debug)]
struct Live {
    /// The application that has started it.
    app: Arc<App>,
    sid: String,
    step: TranscriptStep,
    /// Events so far.
    sequence: u64,
    /// Whether its start is reported.
    is_started: bool,
    ears: Vec<Ear>,
}

/// The recogniser of a track.
#[derive(Debug)]
struct Ear {
    tracks: TrackSet,
    /// Its end in the media session.
    end: EndId,
    /// When its socket was asked for.
    began: Instant,
    /// Whether it has understood anything on this connection.
    has_heard: bool,
    /// Connections before this one that closed at once.
    closed_at_once: u8,
    /// The last problem that its worker found.
    fault: Option<Box<str>>,
    /// The reports of its partial results.
    partials: Partials,
}

impl LiveTranscripts {
    /// Starts the live transcription of a document. A failure is reported, and the call goes on.
    pub(crate) fn start(&mut self, cx: &mut Cx<'_>, media: &mut CallMedia, app: &Arc<App>, step: TranscriptStep) {
        let (mut live, result) = match self.begin(cx, media, app, step) {
            Ok(_) => return,
            Err(Some(failed)) => *failed,
            Err(None) => return cx.edge.decide(cx.now, cx.call.key, "Transcription: another one has that name"),
        };
        live.report_failure(cx, result, &format!("recogniser: {result}"));
        live.end(cx, false);
    }

    /// Starts a live transcription by a request, and returns its SID.
    ///
    /// # Errors
    /// The reason why there is none; its receiver is not notified of that.
    pub(crate) fn start_asked(
        &mut self,
        cx: &mut Cx<'_>,
        media: &mut CallMedia,
        app: &Arc<App>,
        step: TranscriptStep,
    ) -> Result<String, Refused> {
        let (live, result) = match self.begin(cx, media, app, step) {
            Ok(sid) => {
                cx.edge.decide(cx.now, cx.call.key, "Transcription: started, as requested");
                return Ok(sid);
            }
            Err(Some(failed)) => *failed,
            Err(None) => return Err(Refused::TranscriptionNameTaken),
        };
        live.end(cx, false);
        Err(match result {
            Recognised::Limit => Refused::TooManyTranscriptions,
            Recognised::Codec => Refused::OtherAudio,
            Recognised::NotConfigured => Refused::NoRecogniser,
            Recognised::Speech | Recognised::Silence | Recognised::Lost(_) | Recognised::Left => Refused::Internal,
        })
    }

    fn begin(
        &mut self,
        cx: &mut Cx<'_>,
        media: &mut CallMedia,
        app: &Arc<App>,
        step: TranscriptStep,
    ) -> Result<String, NotBegun> {
        if step.name.as_deref().is_some_and(|name| self.is_named(name)) {
            return Err(None);
        }
        let sid = cx.edge.random_mut().transcript_sid();
        let mut live = Live { app: app.clone(), sid, step, sequence: 0, is_started: false, ears: Vec::new() };
        let begun = match cx.call.session {
            _ if self.list.len() >= TRANSCRIPTS => Err(Recognised::Limit),
            Some(_) if !media.speaks_other_audio(cx.call) => live.listen(cx),
            Some(_) | None => Err(Recognised::Codec),
        };
        match begun {
            Ok(()) => {
                let sid = live.sid.clone();
                self.list.push(live);
                media.tap_caller(cx);
                Ok(sid)
            }
            Err(result) => Err(Some(Box::new((live, result)))),
        }
    }

    /// Ends the live transcription of a name that a document has.
    pub(crate) fn stop(&mut self, cx: &mut Cx<'_>, name: &str) {
        if self.stop_asked(cx, name).is_err() {
            cx.edge.decide(cx.now, cx.call.key, "Stop: no transcription has that name");
        }
    }

    /// Ends a live transcription by its name or its SID, and returns its SID and its name.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn stop_asked(&mut self, cx: &mut Cx<'_>, name: &str) -> Result<(String, Option<String>), Refused> {
        let found = self.list.iter().position(|live| live.is_named(name));
        let live = self.list.remove(found.ok_or(Refused::UnknownTranscription)?);
        let ended = (live.sid.clone(), live.step.name.clone());
        live.end(cx, true);
        Ok(ended)
    }

    /// Ends all live transcriptions: the call is over.
    pub(crate) fn end(&mut self, cx: &mut Cx<'_>) {
        std::mem::take(&mut self.list).into_iter().for_each(|live| live.end(cx, true));
    }

    /// Returns whether an end is that of a live transcription's recogniser.
    pub(super) fn listens_by(&self, end: EndId) -> bool {
        self.place(end).is_some()
    }

    /// Takes an event of a recogniser.
    pub(super) fn handle(&mut self, cx: &mut Cx<'_>, media: &mut CallMedia, end: EndId, event: AgentEvent) {
        let Some((at, ear)) = self.place(end) else { return };
        let live = &mut self.list[at];
        let mut goes_on = true;
        match event {
            AgentEvent::Open => {
                let took = cx.now.saturating_duration_since(live.ears[ear].began);
                cx.edge.metrics_mut().recognition.connect_seconds.observe(took.as_secs_f64());
                live.started(cx);
            }
            // Libraries that name no code have closed in good order too.
            AgentEvent::Ended | AgentEvent::Lost(Loss::Closed(None)) => goes_on = live.connect_again(cx, ear),
            AgentEvent::Lost(loss) => goes_on = live.fail(cx, ear, Recognised::Lost(loss)),
            AgentEvent::Note { text, .. } => {
                let text = recognisers::shown(&text);
                live.ears[ear].fault = Some(text.as_str().into());
                cx.edge.decide(cx.now, cx.call.key, format!("recogniser: {text}"));
            }
            AgentEvent::Recognised(transcript) => live.heard(cx, ear, transcript),
            // A recogniser does not talk.
            AgentEvent::Spoke | AgentEvent::Request(_) => {}
        }
        if !goes_on {
            self.list.remove(at).end(cx, false);
        }
        media.tap_caller(cx);
    }

    /// Takes the response to the report of a partial result, which is not run; false where it is another's.
    pub(crate) fn partial_answered(&mut self, cx: &mut Cx<'_>, query: QueryId, answer: &AppAnswer) -> bool {
        let mut ears = self.list.iter_mut().flat_map(|live| live.ears.iter_mut().map(|ear| (&live.app, ear)));
        let Some((app, ear)) = ears.find(|(_, ear)| ear.partials.is_reported(query)) else { return false };
        ear.partials.answered(cx.now, cx.edge, (cx.call.key, cx.call.legs.sid()), Some(app), answer);
        true
    }

    fn place(&self, end: EndId) -> Option<(usize, usize)> {
        let ear = |live: &Live| live.ears.iter().position(|ear| ear.end == end);
        self.list.iter().enumerate().find_map(|(at, live)| Some((at, ear(live)?)))
    }

    fn is_named(&self, name: &str) -> bool {
        self.list.iter().any(|live| live.is_named(name))
    }
}

/// A transcription that does not begin, and why; `None`: another one has its name.
type NotBegun = Option<Box<(Live, Recognised)>>;

impl Ear {
    const fn track(&self) -> &'static str {
        match self.tracks {
            TrackSet::Inbound | TrackSet::Both => Tracks::Inbound.name(),
            TrackSet::Outbound => Tracks::Outbound.name(),
        }
    }

    const fn result(&self) -> Recognised {
        if self.has_heard { Recognised::Speech } else { Recognised::Silence }
    }
}

impl Live {
    fn is_named(&self, name: &str) -> bool {
        self.step.name.as_deref() == Some(name) || self.sid == name
    }

    /// Connects a recogniser for each track.
    ///
    /// # Errors
    /// The reason why one has none.
    fn listen(&mut self, cx: &mut Cx<'_>) -> Result<(), Recognised> {
        let spec = cx.edge.apps().recognition.spec().cloned().ok_or(Recognised::NotConfigured)?;
        let tracks: &[TrackSet] = match self.step.tracks {
            Tracks::Inbound => &[TrackSet::Inbound],
            Tracks::Outbound => &[TrackSet::Outbound],
            Tracks::Both => &[TrackSet::Inbound, TrackSet::Outbound],
        };
        for tracks in tracks {
            let end = recognisers::hire(cx, &spec, *tracks, asked_for(self.step.speech.clone()))?;
            self.ears.push(Ear {
                tracks: *tracks,
                end,
                began: cx.now,
                has_heard: false,
                closed_at_once: 0,
                fault: None,
                partials: Partials::default(),
            });
        }
        Ok(())
    }

    /// Connects the recogniser of a track again, which has closed in good order; returns whether the transcription goes on.
    fn connect_again(&mut self, cx: &mut Cx<'_>, at: usize) -> bool {
        let ear = &mut self.ears[at];
        let least = if ear.has_heard { AT_ONCE_WITH_RESULT } else { AT_ONCE };
        let is_at_once = cx.now.saturating_duration_since(ear.began) < least;
        ear.closed_at_once = if is_at_once { ear.closed_at_once.saturating_add(1) } else { 0 };
        if ear.closed_at_once > CLOSED_AT_ONCE {
            return self.fail(cx, at, Recognised::Left);
        }
        let (result, tracks, end) = (ear.result(), ear.tracks, ear.end);
        let Some(spec) = cx.edge.apps().recognition.spec().cloned() else {
            return self.fail(cx, at, Recognised::NotConfigured);
        };
        cx.edge.note_recognition(cx.now, cx.call.legs.sid(), result, "");
        let recognition = asked_for(self.step.speech.clone());
        let Some(end) = recognisers::reconnect(cx, end, &spec, tracks, recognition) else {
            return self.fail(cx, at, Recognised::Limit);
        };
        let ear = &mut self.ears[at];
        (ear.end, ear.began, ear.has_heard, ear.fault) = (end, cx.now, false, None);
        true
    }

    /// Reports that the recogniser of a track has failed: the transcription is over.
    fn fail(&mut self, cx: &mut Cx<'_>, at: usize, result: Recognised) -> bool {
        let fault = self.ears[at].fault.take().map(|fault| format!(": {fault}")).unwrap_or_default();
        let ear = self.ears.remove(at);
        ear.drop_from(cx);
        self.report_failure(cx, result, &format!("recogniser: {result}{fault}"));
        false
    }

    fn report_failure(&mut self, cx: &mut Cx<'_>, result: Recognised, why: &str) {
        let sid = cx.call.legs.sid().to_owned();
        cx.edge.note_recognition(cx.now, &sid, result, why);
        cx.edge.log(&sid, why.to_owned(), None);
        cx.edge.decide(cx.now, cx.call.key, format!("Transcription: {why}"));
        self.report(cx, "transcription-error", vec![("TranscriptionError", why.to_owned())]);
    }

    /// Takes a result of the recogniser of a track.
    fn heard(&mut self, cx: &mut Cx<'_>, at: usize, transcript: Transcript) {
        let Transcript { text, is_final, confidence_ppm } = transcript;
        if text.trim().is_empty() {
            return;
        }
        self.ears[at].has_heard = true;
        if !is_final && !self.step.partial {
            return;
        }
        let track = self.ears[at].track();
        let mut data = serde_json::json!({ "transcript": text });
        if let Some(ppm) = confidence_ppm {
            data["confidence"] = (f64::from(ppm) / 1e6).into();
        }
        if cx.edge.apps().recognition.spec().is_some_and(|spec| spec.events) {
            let of_call = cx.call.change(Happening::CallTranscribed);
            let change = Change { text: Some(text), track: Some(track), is_final: Some(is_final), ..of_call };
            cx.edge.changed(change);
        }
        let told = vec![
            ("LanguageCode", self.step.speech.language.clone()),
            ("Track", track.to_owned()),
            ("TranscriptionData", data.to_string()),
            ("Final", is_final.to_string()),
        ];
        if is_final {
            // What waits is older than the result.
            self.ears[at].partials.drop_next();
            return self.report(cx, "transcription-content", told);
        }
        let Some(request) = self.request(cx, "transcription-content", told) else { return };
        let call = (cx.call.key, cx.call.legs.sid());
        self.ears[at].partials.report(cx.edge, call, &self.app, request);
    }

    fn started(&mut self, cx: &mut Cx<'_>) {
        if std::mem::replace(&mut self.is_started, true) {
            return;
        }
        let TranscriptStep { name, tracks, labels: [inbound, outbound], partial, speech, .. } = &self.step;
        let mut told = vec![
            ("LanguageCode", speech.language.clone()),
            ("Track", tracks.name().to_owned()),
            ("PartialResults", partial.to_string()),
        ];
        told.extend(name.iter().map(|name| ("Name", name.clone())));
        told.extend(inbound.iter().map(|label| ("InboundTrackLabel", label.clone())));
        told.extend(outbound.iter().map(|label| ("OutboundTrackLabel", label.clone())));
        self.report(cx, "transcription-started", told);
    }

    /// Ends the transcription: its recognisers are let go.
    fn end(mut self, cx: &mut Cx<'_>, is_reported: bool) {
        for ear in std::mem::take(&mut self.ears) {
            cx.edge.note_recognition(cx.now, cx.call.legs.sid(), ear.result(), "");
            ear.drop_from(cx);
        }
        if is_reported && self.is_started {
            self.report(cx, "transcription-stopped", Vec::new());
        }
    }

    /// Returns the request that reports an event; `None` without a receiver.
    fn request(
        &mut self,
        cx: &Cx<'_>,
        event: &'static str,
        further: Vec<(&'static str, String)>,
    ) -> Option<DocumentRequest> {
        let (url, method) = self.step.status.clone()?;
        self.sequence = self.sequence.saturating_add(1);
        let named = [
            ("AccountSid", cx.edge.config().account_sid.clone()),
            ("CallSid", cx.call.legs.sid().to_owned()),
            ("TranscriptionSid", self.sid.clone()),
            ("Timestamp", rfc3339(cx.edge.date(cx.now))),
            ("SequenceId", self.sequence.to_string()),
            ("TranscriptionEvent", event.to_owned()),
        ];
        let parameters = named.into_iter().chain(further).map(|(name, value)| (name.to_owned(), value)).collect();
        let method = webhooks::method(method);
        Some(DocumentRequest { place: AppPlace::Url(url), method, purpose: "transcription", parameters })
    }

    /// Reports an event in any case, after those before it.
    fn report(&mut self, cx: &mut Cx<'_>, event: &'static str, further: Vec<(&'static str, String)>) {
        let Some(request) = self.request(cx, event, further) else { return };
        let (app, allow_private) = (self.app.name.clone(), self.app.allow_private);
        let (call, about) = (cx.call.legs.sid().to_owned(), self.sid.clone());
        cx.edge.call_back(AppCallback { call, about, app, allow_private, request });
    }
}

impl Ear {
    /// Takes the recogniser out of the media session. A report under way goes on.
    fn drop_from(self, cx: &mut Cx<'_>) {
        self.partials.forget(cx.edge);
        recognisers::dismiss(cx, self.end);
    }
}
