//! The speech of a program's caller on its way to the recogniser, and what has been understood of it.
//!
//! The recogniser is an end of the media session that listens to the caller, and no leg: it comes and goes with each Gather.

use std::time::Instant;

use trunkgate_media::agent::{Loss, Recognition, Settings, TrackSet, Transcript};
use trunkgate_media::{AgentSpec, Command, EndId, SocketSpec, TapSpec};
use trunkgate_resources::app::AppAnswer;
use trunkgate_resources::io::QueryId;
use trunkgate_resources::recognition::{Recognised, RecogniserSpec};
use trunkgate_route::UrlOrigin;
use trunkgate_story::redact;
use trunkgate_story::sentence::without_numbers;
use trunkgate_twiml::{Heard, Input, RecognitionStep, Request, Secret};

use crate::call::Parts;
use crate::call::legs::agents::shortened;
use crate::call::program::partials::Partials;
use crate::call::program::{Runner, parameters};
use crate::call::shared::Cx;

/// A recogniser that listens to the caller of a program.
#[derive(Debug)]
pub(crate) struct Recogniser {
    /// Id of the program's step.
    id: u32,
    /// Its end in the media session.
    end: EndId,
    /// When its socket was asked for.
    began: Instant,
    /// Whether it has understood anything.
    has_heard: bool,
    /// What of the caller it hears, and by which of its ends.
    hears: Option<(EndId, TapSpec)>,
    /// The last thing that its worker found.
    fault: Option<Box<str>>,
    /// The reports of its partial results.
    partials: Partials,
}

impl Recogniser {
    /// Whether an end is its own.
    pub(crate) fn is_at(&self, end: EndId) -> bool {
        self.end == end
    }

    /// Takes what of the caller is there to be heard; returns the command for the media session, where that is new.
    pub(crate) fn listen_to(&mut self, heard: &(EndId, TapSpec)) -> Option<Command> {
        let is_new = self.hears.as_ref() != Some(heard);
        is_new.then(|| {
            let (of, audio) = heard.clone();
            self.hears = Some(heard.clone());
            // What the caller hears is not recognised.
            let audio = TapSpec { outbound: Vec::new(), ..audio };
            Command::Tap { of, listener: self.end, audio }
        })
    }
}

/// Has the speech of a program's caller recognised.
pub(crate) struct Recognising<'p> {
    parts: &'p mut Parts,
}

impl<'p> Recognising<'p> {
    /// Acts on the program of a call.
    pub(crate) fn of(parts: &'p mut Parts) -> Recognising<'p> {
        Recognising { parts }
    }
}

impl Recognising<'_> {
    /// Has the caller's speech recognised. A failure goes to the program.
    pub(crate) fn start(&mut self, cx: &mut Cx<'_>, step: RecognitionStep) {
        self.end(cx);
        let id = step.id;
        let begun = match cx.edge.apps.recognition.spec().cloned() {
            Some(spec) => self.listen(cx, &spec, step),
            None => Err(Recognised::NotConfigured),
        };
        if let Err(result) = begun {
            let why = format!("recogniser: {result}");
            cx.edge.note_recognition(cx.now, cx.call.legs.sid(), result, &why);
            self.tell_of_failure(cx, id, why);
        }
    }

    /// Adds the recogniser to the media session.
    ///
    /// # Errors
    /// The reason why there is none.
    fn listen(&mut self, cx: &mut Cx<'_>, spec: &RecogniserSpec, step: RecognitionStep) -> Result<(), Recognised> {
        cx.call.session.ok_or(Recognised::Codec)?;
        if self.parts.bridge.media.speaks_other_audio(cx.call) {
            return Err(Recognised::Codec);
        }
        let id = step.id;
        let end = hire(cx, spec, TrackSet::Inbound, step)?;
        cx.call.recogniser = Some(Box::new(Recogniser {
            id,
            end,
            began: cx.now,
            has_heard: false,
            hears: None,
            fault: None,
            partials: Partials::default(),
        }));
        self.parts.bridge.media.tap_caller(cx);
        Ok(())
    }

    /// Ends the recognition of a step.
    pub(crate) fn stop(&mut self, cx: &mut Cx<'_>, id: u32) {
        if cx.call.recogniser.as_ref().is_some_and(|recogniser| recogniser.id == id) {
            self.end(cx);
        }
    }

    /// Ends the recognition that there is, if any.
    pub(crate) fn end(&mut self, cx: &mut Cx<'_>) {
        let has_heard = cx.call.recogniser.as_ref().is_some_and(|recogniser| recogniser.has_heard);
        self.drop_recogniser(cx, if has_heard { Recognised::Speech } else { Recognised::Silence });
    }

    /// Takes the recogniser out of the media session. Returns the id of its step, and what is known of a failure.
    fn drop_recogniser(&mut self, cx: &mut Cx<'_>, result: Recognised) -> Option<(u32, String)> {
        let recogniser = cx.call.recogniser.take()?;
        recogniser.partials.forget(cx.edge);
        dismiss(cx, recogniser.end);
        let fault = recogniser.fault.map(|fault| format!(": {fault}")).unwrap_or_default();
        let why = format!("recogniser: {result}{fault}");
        cx.edge.note_recognition(cx.now, cx.call.legs.sid(), result, &why);
        Some((recogniser.id, why))
    }

    /// The recogniser can be had.
    pub(crate) fn opened(&self, cx: &mut Cx<'_>) {
        let Some(recogniser) = &cx.call.recogniser else { return };
        let took = cx.now.saturating_duration_since(recogniser.began);
        cx.edge.metrics.recognition.connect_seconds.observe(took.as_secs_f64());
        cx.edge.decide(cx.now, cx.call.key, format!("recogniser: connected after {} ms", took.as_millis()));
    }

    /// What its worker wants to be noted of the recogniser.
    pub(crate) fn noted(&self, cx: &mut Cx<'_>, text: &str) {
        let text = shown(text);
        if let Some(recogniser) = &mut cx.call.recogniser {
            recogniser.fault = Some(text.as_str().into());
        }
        cx.edge.decide(cx.now, cx.call.key, format!("recogniser: {text}"));
    }

    /// The recogniser could not be reached, is lost, or has closed its socket.
    pub(crate) fn lost(&mut self, cx: &mut Cx<'_>, loss: Option<Loss>) {
        let has_heard = cx.call.recogniser.as_ref().is_some_and(|recogniser| recogniser.has_heard);
        let result = match loss {
            Some(loss) => Recognised::Lost(loss),
            // One that takes one utterance, and has.
            None if has_heard => Recognised::Speech,
            None => Recognised::Left,
        };
        let Some((id, why)) = self.drop_recogniser(cx, result) else { return };
        self.tell_of_failure(cx, id, if result.is_failure() { why } else { "the recogniser has closed".to_owned() });
        Runner::of(self.parts).run_program(cx);
    }

    fn tell_of_failure(&mut self, cx: &mut Cx<'_>, id: u32, text: String) {
        let sid = cx.call.legs.sid().to_owned();
        cx.edge.log(&sid, text.clone(), None);
        cx.call.story.app.get_or_insert_default().flaws.note_unrecognised(&text);
        if let Some(run) = &mut self.parts.program {
            let time = run.time(cx.now);
            run.program.handle_input(time, Input::RecognitionFailed { id, text });
        }
    }

    /// The recogniser has understood something.
    pub(crate) fn heard(&mut self, cx: &mut Cx<'_>, transcript: Transcript) {
        let Some(recogniser) = &mut cx.call.recogniser else { return };
        let Transcript { text, is_final, confidence_ppm } = transcript;
        recogniser.has_heard |= !text.trim().is_empty();
        let (id, heard) = (recogniser.id, Heard { text: Secret::new(text), is_final, confidence_ppm });
        let Some(run) = &mut self.parts.program else { return };
        let time = run.time(cx.now);
        run.program.handle_input(time, Input::Speech { id, heard });
        Runner::of(self.parts).run_program(cx);
    }

    /// Reports a partial result, behind the one that has no response yet.
    pub(crate) fn report_partial(&mut self, cx: &mut Cx<'_>, request: Request) {
        let Some(run) = &self.parts.program else { return };
        let Some(request) = parameters::request(cx.call, cx.edge, None, request) else { return };
        let app = run.app.clone();
        let Some(recogniser) = &mut cx.call.recogniser else { return };
        recogniser.partials.report(cx.edge, (cx.call.key, cx.call.legs.sid()), &app, request);
    }

    /// Takes the response to the report of a partial result, which is not run; false where it is another's.
    pub(crate) fn partial_answered(&mut self, cx: &mut Cx<'_>, query: QueryId, answer: &AppAnswer) -> bool {
        let Some(recogniser) = cx.call.recogniser.as_mut().filter(|one| one.partials.is_reported(query)) else {
            return false;
        };
        let app = self.parts.program.as_ref().map(|run| &run.app);
        recogniser.partials.answered(cx.now, cx.edge, (cx.call.key, cx.call.legs.sid()), app, answer);
        true
    }
}

/// Adds a recogniser of a track to the media session, as one more of those that are there; returns its end.
///
/// # Errors
/// There is no room for one.
pub(crate) fn hire(
    cx: &mut Cx<'_>,
    spec: &RecogniserSpec,
    tracks: TrackSet,
    step: RecognitionStep,
) -> Result<EndId, Recognised> {
    if !cx.edge.apps.recognition.begin() {
        return Err(Recognised::Limit);
    }
    let Some(end) = connect(cx, spec, tracks, step) else {
        cx.edge.apps.recognition.end();
        return Err(Recognised::Limit);
    };
    cx.edge.note_recognisers();
    Ok(end)
}

/// Takes a recogniser out of the media session, as one fewer.
pub(crate) fn dismiss(cx: &mut Cx<'_>, end: EndId) {
    if let Some(media) = cx.call.session {
        cx.edge.remove_end(media, end);
    }
    cx.edge.apps.recognition.end();
    cx.edge.note_recognisers();
}

/// Returns what a worker found of a recogniser, as it may be shown.
pub(crate) fn shown(text: &str) -> String {
    without_numbers(&redact::addresses(shortened(text)))
}

/// Adds a recogniser of a track to the media session; returns its end, where there is room for one.
pub(crate) fn connect(
    cx: &mut Cx<'_>,
    spec: &RecogniserSpec,
    tracks: TrackSet,
    step: RecognitionStep,
) -> Option<EndId> {
    let media = cx.call.session?;
    let end = cx.edge.new_end(media)?;
    let settings = Settings {
        account_sid: cx.edge.config.account_sid.clone(),
        call_sid: cx.call.legs.sid().to_owned(),
        tracks,
        talks: false,
        format: spec.format,
        connect_timeout: spec.connect_timeout,
        recognition: Some(Box::new(asked_for(step))),
        ..Settings::default()
    };
    let socket = SocketSpec {
        url: spec.url.clone(),
        origin: UrlOrigin::Configuration,
        auth_token: None,
        ca: spec.ca.clone(),
        plain_networks: cx.edge.addressing.local_networks.clone(),
        traceparent: None,
        bearer: spec.token.clone(),
        sends_query: true,
    };
    let (counters, queue) = Default::default();
    let agent = AgentSpec { settings, socket, counters, queue, turns: None, clear_fade: Default::default(), raw: None };
    cx.edge.media(media, Command::AddAgent { end, spec: agent.into() });
    Some(end)
}

/// What a step asks a recogniser for.
fn asked_for(step: RecognitionStep) -> Recognition {
    let RecognitionStep { id: _, language, hints, model, enhanced, profanity_filter } = step;
    Recognition { language, hints, model, enhanced, profanity_filter }
}
