//! Live transcriptions of a call: one recogniser for each track, and reports of the results to the application.
//!
//! A transcription outlives its program, like a listening stream. A recogniser that closes after an utterance is
//! connected again, and so is each recogniser of a transcription that another process has begun.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use trunkgate_media::agent::{StreamLoss, TrackSet, Transcript};
use trunkgate_media::{AgentEvent, EndId};
use trunkgate_resources::applications::question::{AppAnswer, AppCallback, AppPlace, DocumentRequest};
use trunkgate_resources::applications::recognition::RecognitionResult;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::io::QueryId;
use trunkgate_route::App;
use trunkgate_story::change::{EdgeEvent, EdgeEventKind};
use trunkgate_story::wall::rfc3339;
use trunkgate_twiml::{TrackSelection, TranscriptStep};

use crate::call::media::{CallMedia, recognisers};
use crate::call::program::app_snapshot::AppSnapshot;
use crate::call::program::partials::PartialReports;
use crate::call::program::recognition::asked_for;
use crate::call::shared::CallCx;
use crate::call::words::crash_gap::CrashGap;
use crate::call::words::refused::RequestRefusal;
use crate::call::words::webhooks;

/// Maximum number of live transcriptions of a call.
const TRANSCRIPTS: usize = 4;
/// Minimum connection time without a result; a shorter one counts as closed at once.
const AT_ONCE: Duration = Duration::from_secs(1);
/// Minimum connection time with a result; a shorter one counts as closed at once.
const AT_ONCE_WITH_RESULT: Duration = Duration::from_millis(100);
/// Maximum number of consecutive connections that close at once.
const CLOSED_AT_ONCE: u8 = 5;
/// Margin of event numbers: more than a process uses between two writes of the call.
const SEQUENCE_MARGIN: u64 = 64;

/// The running live transcriptions of a call, including those of applications that no longer control the call.
#[derive(Debug, Default)]
pub(crate) struct LiveTranscripts {
    list: Vec<LiveTranscription>,
}

/// A live transcription that a document has started.
#[derive(Debug)]
struct LiveTranscription {
    /// Application that started the transcription.
    app: Arc<App>,
    sid: String,
    step: TranscriptStep,
    /// Number of events so far.
    sequence: u64,
    /// Whether the start of the transcription has been reported.
    is_started: bool,
    recognisers: Vec<TrackRecogniser>,
}

/// Recogniser of one track of a live transcription.
#[derive(Debug)]
struct TrackRecogniser {
    tracks: TrackSet,
    /// End of the recogniser in the media session.
    end: EndId,
    /// Time at which the recogniser's socket was requested.
    began: Instant,
    /// Whether the recogniser has returned any speech on this connection.
    has_heard: bool,
    /// Number of consecutive earlier connections that closed at once.
    closed_at_once: u8,
    /// Last problem that the media worker reported.
    fault: Option<Box<str>>,
    /// Reports of the recogniser's partial results.
    partials: PartialReports,
}

/// A live transcription in plain data, without its recognisers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TranscriptionSnapshot {
    app: AppSnapshot,
    sid: String,
    step: TranscriptStep,
    sequence: u64,
    is_started: bool,
}

impl TranscriptionSnapshot {
    /// Leaves out event numbers that crashed processes may have used.
    pub(crate) fn skip_reports(&mut self, gap: CrashGap) {
        self.sequence = self.sequence.saturating_add(u64::from(gap.margins()) * SEQUENCE_MARGIN);
    }
}

impl LiveTranscripts {
    /// Returns the transcriptions in plain data.
    pub(crate) fn snapshot(&self) -> Vec<TranscriptionSnapshot> {
        self.list.iter().map(LiveTranscription::snapshot).collect()
    }

    /// Restores transcriptions without their recognisers, which [`Self::resume`] connects. Transcriptions of an
    /// application that the configuration no longer contains have ended.
    pub(crate) fn restore(edge: &Edge, snapshots: Vec<TranscriptionSnapshot>) -> LiveTranscripts {
        let restored = snapshots.into_iter().filter_map(|snapshot| LiveTranscription::restore(edge, snapshot));
        LiveTranscripts { list: restored.collect() }
    }

    /// Returns whether no transcription is running.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Connects the recognisers of restored transcriptions. A transcription without a recogniser reports the failure
    /// and ends.
    pub(crate) fn resume(&mut self, cx: &mut CallCx<'_>, media: &CallMedia) {
        for mut live in std::mem::take(&mut self.list) {
            let can_hear = !media.speaks_other_audio(cx.call);
            let begun = if can_hear { live.listen(cx) } else { Err(RecognitionResult::Codec) };
            match begun {
                Ok(()) => {
                    cx.edge.decide(cx.now, cx.call.key, "Transcription: goes on, the recogniser is connected again");
                    self.list.push(live);
                }
                Err(result) => {
                    live.report_failure(cx, result, &format!("recogniser: {result}"));
                    live.end(cx, false);
                }
            }
        }
    }

    /// Starts the live transcription of a document. A failure is reported, and the call continues.
    pub(crate) fn start(&mut self, cx: &mut CallCx<'_>, media: &mut CallMedia, app: &Arc<App>, step: TranscriptStep) {
        let (mut live, result) = match self.begin(cx, media, app, step) {
            Ok(_) => return,
            Err(Some(failed)) => *failed,
            Err(None) => return cx.edge.decide(cx.now, cx.call.key, "Transcription: the name is already in use"),
        };
        live.report_failure(cx, result, &format!("recogniser: {result}"));
        live.end(cx, false);
    }

    /// Starts a live transcription by request, and returns its SID.
    ///
    /// # Errors
    /// The name is taken, the maximum of transcriptions or recogniser sessions is reached, the edge cannot decode the
    /// audio, or no recogniser is configured. The receiver is not notified.
    pub(crate) fn start_asked(
        &mut self,
        cx: &mut CallCx<'_>,
        media: &mut CallMedia,
        app: &Arc<App>,
        step: TranscriptStep,
    ) -> Result<String, RequestRefusal> {
        let (live, result) = match self.begin(cx, media, app, step) {
            Ok(sid) => {
                cx.edge.decide(cx.now, cx.call.key, "Transcription: started, as requested");
                return Ok(sid);
            }
            Err(Some(failed)) => *failed,
            Err(None) => return Err(RequestRefusal::TranscriptionNameTaken),
        };
        live.end(cx, false);
        Err(match result {
            RecognitionResult::Limit => RequestRefusal::TooManyTranscriptions,
            RecognitionResult::Codec => RequestRefusal::OtherAudio,
            RecognitionResult::NotConfigured => RequestRefusal::NoRecogniser,
            RecognitionResult::Speech
            | RecognitionResult::Silence
            | RecognitionResult::Lost(_)
            | RecognitionResult::Left => RequestRefusal::Internal,
        })
    }

    fn begin(
        &mut self,
        cx: &mut CallCx<'_>,
        media: &mut CallMedia,
        app: &Arc<App>,
        step: TranscriptStep,
    ) -> Result<String, NotBegun> {
        if step.name.as_deref().is_some_and(|name| self.is_named(name)) {
            return Err(None);
        }
        let sid = cx.edge.random_mut().transcript_sid();
        let mut live =
            LiveTranscription { app: app.clone(), sid, step, sequence: 0, is_started: false, recognisers: Vec::new() };
        let begun = match cx.call.session {
            _ if self.list.len() >= TRANSCRIPTS => Err(RecognitionResult::Limit),
            Some(_) if !media.speaks_other_audio(cx.call) => live.listen(cx),
            Some(_) | None => Err(RecognitionResult::Codec),
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

    /// Ends a live transcription by the name that a document uses.
    pub(crate) fn stop(&mut self, cx: &mut CallCx<'_>, name: &str) {
        if self.stop_asked(cx, name).is_err() {
            cx.edge.decide(cx.now, cx.call.key, "Stop: no transcription has that name");
        }
    }

    /// Ends a live transcription by its name or SID, and returns its SID and its name.
    ///
    /// # Errors
    /// No live transcription has this name or SID.
    pub(crate) fn stop_asked(
        &mut self,
        cx: &mut CallCx<'_>,
        name: &str,
    ) -> Result<(String, Option<String>), RequestRefusal> {
        let found = self.list.iter().position(|live| live.is_named(name));
        let live = self.list.remove(found.ok_or(RequestRefusal::UnknownTranscription)?);
        let ended = (live.sid.clone(), live.step.name.clone());
        live.end(cx, true);
        Ok(ended)
    }

    /// Ends all live transcriptions with the call.
    pub(crate) fn end(&mut self, cx: &mut CallCx<'_>) {
        std::mem::take(&mut self.list).into_iter().for_each(|live| live.end(cx, true));
    }

    /// Returns whether `end` is a recogniser of a live transcription.
    pub(super) fn listens_by(&self, end: EndId) -> bool {
        self.place(end).is_some()
    }

    /// Handles an event of a recogniser.
    pub(super) fn handle(&mut self, cx: &mut CallCx<'_>, media: &mut CallMedia, end: EndId, event: AgentEvent) {
        let Some((at, ear)) = self.place(end) else { return };
        let live = &mut self.list[at];
        let mut goes_on = true;
        match event {
            AgentEvent::Open => {
                let took = cx.now.saturating_duration_since(live.recognisers[ear].began);
                cx.edge.metrics_mut().recognition.connect_seconds.observe(took.as_secs_f64());
                live.started(cx);
            }
            // A close frame without a code counts as an orderly close; some WebSocket libraries send no code.
            AgentEvent::Ended | AgentEvent::Lost(StreamLoss::Closed(None)) => goes_on = live.connect_again(cx, ear),
            AgentEvent::Lost(loss) => goes_on = live.fail(cx, ear, RecognitionResult::Lost(loss)),
            AgentEvent::Note { text, .. } => {
                let text = recognisers::shown(&text);
                live.recognisers[ear].fault = Some(text.as_str().into());
                cx.edge.decide(cx.now, cx.call.key, format!("recogniser: {text}"));
            }
            AgentEvent::Recognised(transcript) => live.heard(cx, ear, transcript),
            // A recogniser sends no audio and no requests.
            AgentEvent::Spoke | AgentEvent::Request(_) => {}
        }
        if !goes_on {
            self.list.remove(at).end(cx, false);
        }
        media.tap_caller(cx);
    }

    /// Handles the response to a partial-result report, which is not run as a document. Returns false if the query
    /// belongs to another request.
    pub(crate) fn partial_answered(&mut self, cx: &mut CallCx<'_>, query: QueryId, answer: &AppAnswer) -> bool {
        let mut ears = self.list.iter_mut().flat_map(|live| live.recognisers.iter_mut().map(|ear| (&live.app, ear)));
        let Some((app, ear)) = ears.find(|(_, ear)| ear.partials.is_reported(query)) else { return false };
        ear.partials.answered(cx.now, cx.edge, (cx.call.key, cx.call.legs.sid()), Some(app), answer);
        true
    }

    fn place(&self, end: EndId) -> Option<(usize, usize)> {
        let ear = |live: &LiveTranscription| live.recognisers.iter().position(|ear| ear.end == end);
        self.list.iter().enumerate().find_map(|(at, live)| Some((at, ear(live)?)))
    }

    fn is_named(&self, name: &str) -> bool {
        self.list.iter().any(|live| live.is_named(name))
    }
}

/// A transcription that could not begin, with the reason; `None` if its name is taken.
type NotBegun = Option<Box<(LiveTranscription, RecognitionResult)>>;

impl TrackRecogniser {
    const fn track(&self) -> &'static str {
        match self.tracks {
            TrackSet::Inbound | TrackSet::Both => TrackSelection::Inbound.name(),
            TrackSet::Outbound => TrackSelection::Outbound.name(),
        }
    }

    const fn result(&self) -> RecognitionResult {
        if self.has_heard { RecognitionResult::Speech } else { RecognitionResult::Silence }
    }
}

impl LiveTranscription {
    fn snapshot(&self) -> TranscriptionSnapshot {
        let LiveTranscription { app, sid, step, sequence, is_started, recognisers: _ } = self;
        TranscriptionSnapshot {
            app: AppSnapshot::of(app),
            sid: sid.clone(),
            step: step.clone(),
            sequence: *sequence,
            is_started: *is_started,
        }
    }

    fn restore(edge: &Edge, snapshot: TranscriptionSnapshot) -> Option<LiveTranscription> {
        let TranscriptionSnapshot { app, sid, step, sequence, is_started } = snapshot;
        let app = app.restore(edge)?;
        Some(LiveTranscription { app, sid, step, sequence, is_started, recognisers: Vec::new() })
    }

    fn is_named(&self, name: &str) -> bool {
        self.step.name.as_deref() == Some(name) || self.sid == name
    }

    /// Connects a recogniser for each track.
    ///
    /// # Errors
    /// No recogniser is configured, or no recogniser session is available for a track.
    fn listen(&mut self, cx: &mut CallCx<'_>) -> Result<(), RecognitionResult> {
        let spec = cx.edge.apps().recognition.spec().cloned().ok_or(RecognitionResult::NotConfigured)?;
        let tracks: &[TrackSet] = match self.step.tracks {
            TrackSelection::Inbound => &[TrackSet::Inbound],
            TrackSelection::Outbound => &[TrackSet::Outbound],
            TrackSelection::Both => &[TrackSet::Inbound, TrackSet::Outbound],
        };
        for tracks in tracks {
            let end = recognisers::connect_recogniser(cx, &spec, *tracks, asked_for(self.step.speech.clone()))?;
            self.recognisers.push(TrackRecogniser {
                tracks: *tracks,
                end,
                began: cx.now,
                has_heard: false,
                closed_at_once: 0,
                fault: None,
                partials: PartialReports::default(),
            });
        }
        Ok(())
    }

    /// Reconnects a track's recogniser after an orderly close; returns whether the transcription continues.
    fn connect_again(&mut self, cx: &mut CallCx<'_>, at: usize) -> bool {
        let ear = &mut self.recognisers[at];
        let least = if ear.has_heard { AT_ONCE_WITH_RESULT } else { AT_ONCE };
        let is_at_once = cx.now.saturating_duration_since(ear.began) < least;
        ear.closed_at_once = if is_at_once { ear.closed_at_once.saturating_add(1) } else { 0 };
        if ear.closed_at_once > CLOSED_AT_ONCE {
            return self.fail(cx, at, RecognitionResult::Left);
        }
        let (result, tracks, end) = (ear.result(), ear.tracks, ear.end);
        let Some(spec) = cx.edge.apps().recognition.spec().cloned() else {
            return self.fail(cx, at, RecognitionResult::NotConfigured);
        };
        cx.edge.note_recognition(cx.now, cx.call.legs.sid(), result, "");
        let recognition = asked_for(self.step.speech.clone());
        let Some(end) = recognisers::reconnect(cx, end, &spec, tracks, recognition) else {
            return self.fail(cx, at, RecognitionResult::Limit);
        };
        let ear = &mut self.recognisers[at];
        (ear.end, ear.began, ear.has_heard, ear.fault) = (end, cx.now, false, None);
        true
    }

    /// Ends the transcription because a track's recogniser has failed, and reports the failure. Always returns false.
    fn fail(&mut self, cx: &mut CallCx<'_>, at: usize, result: RecognitionResult) -> bool {
        let fault = self.recognisers[at].fault.take().map(|fault| format!(": {fault}")).unwrap_or_default();
        let ear = self.recognisers.remove(at);
        ear.drop_from(cx);
        self.report_failure(cx, result, &format!("recogniser: {result}{fault}"));
        false
    }

    fn report_failure(&mut self, cx: &mut CallCx<'_>, result: RecognitionResult, why: &str) {
        let sid = cx.call.legs.sid().to_owned();
        cx.edge.note_recognition(cx.now, &sid, result, why);
        cx.edge.log(&sid, why.to_owned(), None);
        cx.edge.decide(cx.now, cx.call.key, format!("Transcription: {why}"));
        self.report(cx, "transcription-error", vec![("TranscriptionError", why.to_owned())]);
    }

    /// Reports a result of a track's recogniser, unless it is empty, or partial and such results are not requested.
    fn heard(&mut self, cx: &mut CallCx<'_>, at: usize, transcript: Transcript) {
        let Transcript { text, is_final, confidence_ppm } = transcript;
        if text.trim().is_empty() {
            return;
        }
        self.recognisers[at].has_heard = true;
        if !is_final && !self.step.partial {
            return;
        }
        let track = self.recognisers[at].track();
        let mut data = serde_json::json!({ "transcript": text });
        if let Some(ppm) = confidence_ppm {
            data["confidence"] = (f64::from(ppm) / 1e6).into();
        }
        if cx.edge.apps().recognition.spec().is_some_and(|spec| spec.events) {
            let of_call = cx.call.change(EdgeEventKind::CallTranscribed);
            let change = EdgeEvent { text: Some(text), track: Some(track), is_final: Some(is_final), ..of_call };
            cx.edge.changed(change);
        }
        let told = vec![
            ("LanguageCode", self.step.speech.language.clone()),
            ("Track", track.to_owned()),
            ("TranscriptionData", data.to_string()),
            ("Final", is_final.to_string()),
        ];
        if is_final {
            // A queued partial result is older than the final one.
            self.recognisers[at].partials.drop_next();
            return self.report(cx, "transcription-content", told);
        }
        let Some(request) = self.request(cx, "transcription-content", told) else { return };
        let call = (cx.call.key, cx.call.legs.sid());
        self.recognisers[at].partials.report(cx.edge, call, &self.app, request);
    }

    fn started(&mut self, cx: &mut CallCx<'_>) {
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

    /// Ends the transcription and releases its recognisers.
    fn end(mut self, cx: &mut CallCx<'_>, is_reported: bool) {
        for ear in std::mem::take(&mut self.recognisers) {
            cx.edge.note_recognition(cx.now, cx.call.legs.sid(), ear.result(), "");
            ear.drop_from(cx);
        }
        if is_reported && self.is_started {
            self.report(cx, "transcription-stopped", Vec::new());
        }
    }

    /// Creates the request that reports an event; `None` without a receiver.
    fn request(
        &mut self,
        cx: &CallCx<'_>,
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

    /// Reports an event reliably, in order after earlier events.
    fn report(&mut self, cx: &mut CallCx<'_>, event: &'static str, further: Vec<(&'static str, String)>) {
        let Some(request) = self.request(cx, event, further) else { return };
        let (app, allow_private) = (self.app.name.clone(), self.app.allow_private);
        let (call, about) = (cx.call.legs.sid().to_owned(), self.sid.clone());
        cx.edge.call_back(AppCallback { call, about, app, allow_private, request });
    }
}

impl TrackRecogniser {
    /// Removes the recogniser from the media session. A report already sent is not cancelled.
    fn drop_from(self, cx: &mut CallCx<'_>) {
        self.partials.forget(cx.edge);
        recognisers::disconnect_recogniser(cx, self.end);
    }
}
