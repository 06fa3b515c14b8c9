//! Speech recognition of a program's caller.
//!
//! The recogniser is a media end that listens to the caller; it is not a leg. Each Gather opens its own.

use std::sync::Arc;
use std::time::Instant;

use trunkgate_media::agent::{RecognitionOptions, StreamLoss, TrackSet, Transcript};
use trunkgate_media::{AgentEvent, EndId};
use trunkgate_resources::applications::question::AppAnswer;
use trunkgate_resources::applications::recognition::{RecogniserSpec, RecognitionResult};
use trunkgate_resources::io::QueryId;
use trunkgate_route::App;
use trunkgate_twiml::{FetchRequest, ProgramInput, RecogniserResult, RecognitionStep, SensitiveText};

use crate::call::media::{CallMedia, recognisers};
use crate::call::program::parameters;
use crate::call::program::partials::PartialReports;
use crate::call::shared::CallCx;

/// Speech recognition of a program's caller: one recogniser at a time, each for a step of the program.
#[derive(Debug, Default)]
pub(crate) struct CallerRecognition {
    current: Option<Box<ProgramRecogniser>>,
}

/// A recogniser that listens to the caller of a program.
#[derive(Debug)]
struct ProgramRecogniser {
    /// Id of the program's step.
    id: u32,
    /// End of the recogniser in the media session.
    end: EndId,
    /// Time at which the recogniser's socket was requested.
    began: Instant,
    /// Whether the recogniser has returned any speech.
    has_heard: bool,
    /// Last problem that the media worker reported.
    fault: Option<Box<str>>,
    /// Reports of the recogniser's partial results.
    partials: PartialReports,
}

impl CallerRecognition {
    /// Returns whether `end` is the recogniser.
    pub(super) fn listens_by(&self, end: EndId) -> bool {
        self.current.as_ref().is_some_and(|recogniser| recogniser.end == end)
    }

    /// Handles an event of the recogniser. Returns the input for its program. `None` if the program continues to wait.
    pub(super) fn handle(&mut self, cx: &mut CallCx<'_>, event: AgentEvent) -> Option<ProgramInput> {
        match event {
            AgentEvent::Lost(loss) => return self.lost(cx, Some(loss)),
            AgentEvent::Ended => return self.lost(cx, None),
            AgentEvent::Recognised(transcript) => return self.heard(transcript),
            AgentEvent::Open => self.opened(cx),
            AgentEvent::Note { text, .. } => self.noted(cx, &text),
            // A recogniser sends no audio and no requests.
            AgentEvent::Spoke | AgentEvent::Request(_) => {}
        }
        None
    }

    /// Starts the recognition of the caller's speech, and ends an earlier one. Returns the input for the program if
    /// that fails, else `None`.
    pub(crate) fn start(
        &mut self,
        cx: &mut CallCx<'_>,
        media: &mut CallMedia,
        step: RecognitionStep,
    ) -> Option<ProgramInput> {
        self.end(cx);
        let id = step.id;
        let begun = match cx.edge.apps().recognition.spec().cloned() {
            Some(spec) => self.listen(cx, media, &spec, step),
            None => Err(RecognitionResult::NotConfigured),
        };
        let result = begun.err()?;
        let why = format!("recogniser: {result}");
        cx.edge.note_recognition(cx.now, cx.call.legs.sid(), result, &why);
        Some(failure(cx, id, why))
    }

    /// Adds the recogniser to the media session.
    ///
    /// # Errors
    /// The call has no audio that the edge can decode, or no recogniser session is available.
    fn listen(
        &mut self,
        cx: &mut CallCx<'_>,
        media: &mut CallMedia,
        spec: &RecogniserSpec,
        step: RecognitionStep,
    ) -> Result<(), RecognitionResult> {
        cx.call.session.ok_or(RecognitionResult::Codec)?;
        if media.speaks_other_audio(cx.call) {
            return Err(RecognitionResult::Codec);
        }
        let id = step.id;
        let end = recognisers::connect_recogniser(cx, spec, TrackSet::Inbound, asked_for(step))?;
        let (began, partials) = (cx.now, PartialReports::default());
        self.current = Some(Box::new(ProgramRecogniser { id, end, began, has_heard: false, fault: None, partials }));
        media.tap_caller(cx);
        Ok(())
    }

    /// Ends the recognition of a step.
    pub(crate) fn stop(&mut self, cx: &mut CallCx<'_>, id: u32) {
        if self.current.as_ref().is_some_and(|recogniser| recogniser.id == id) {
            self.end(cx);
        }
    }

    /// Ends the current recognition, if any.
    pub(crate) fn end(&mut self, cx: &mut CallCx<'_>) {
        let has_heard = self.current.as_ref().is_some_and(|recogniser| recogniser.has_heard);
        self.drop_recogniser(cx, if has_heard { RecognitionResult::Speech } else { RecognitionResult::Silence });
    }

    /// Removes the recogniser from the media session. Returns the id of its step, and the reason in plain text. `None`
    /// if there is no recogniser.
    fn drop_recogniser(&mut self, cx: &mut CallCx<'_>, result: RecognitionResult) -> Option<(u32, String)> {
        let recogniser = self.current.take()?;
        recogniser.partials.forget(cx.edge);
        recognisers::disconnect_recogniser(cx, recogniser.end);
        let fault = recogniser.fault.map(|fault| format!(": {fault}")).unwrap_or_default();
        let why = format!("recogniser: {result}{fault}");
        cx.edge.note_recognition(cx.now, cx.call.legs.sid(), result, &why);
        Some((recogniser.id, why))
    }

    /// Records that the recogniser is connected.
    fn opened(&self, cx: &mut CallCx<'_>) {
        let Some(recogniser) = &self.current else { return };
        let took = cx.now.saturating_duration_since(recogniser.began);
        cx.edge.metrics_mut().recognition.connect_seconds.observe(took.as_secs_f64());
        cx.edge.decide(cx.now, cx.call.key, format!("recogniser: connected after {} ms", took.as_millis()));
    }

    /// Records a problem that the recogniser's worker has reported.
    fn noted(&mut self, cx: &mut CallCx<'_>, text: &str) {
        let text = recognisers::shown(text);
        if let Some(recogniser) = &mut self.current {
            recogniser.fault = Some(text.as_str().into());
        }
        cx.edge.decide(cx.now, cx.call.key, format!("recogniser: {text}"));
    }

    /// Handles the loss or close of the recogniser's socket, or a failed connection.
    fn lost(&mut self, cx: &mut CallCx<'_>, loss: Option<StreamLoss>) -> Option<ProgramInput> {
        let has_heard = self.current.as_ref().is_some_and(|recogniser| recogniser.has_heard);
        let result = match loss {
            Some(loss) => RecognitionResult::Lost(loss),
            // A recogniser for a single utterance closes after its result.
            None if has_heard => RecognitionResult::Speech,
            None => RecognitionResult::Left,
        };
        let (id, why) = self.drop_recogniser(cx, result)?;
        let text = if result.is_failure() { why } else { "the recogniser has closed".to_owned() };
        Some(failure(cx, id, text))
    }

    /// Handles a result of the recogniser. Returns the input for its program; `None` if there is no recogniser.
    fn heard(&mut self, transcript: Transcript) -> Option<ProgramInput> {
        let recogniser = self.current.as_mut()?;
        let Transcript { text, is_final, confidence_ppm } = transcript;
        recogniser.has_heard |= !text.trim().is_empty();
        let heard = RecogniserResult { text: SensitiveText::new(text), is_final, confidence_ppm };
        Some(ProgramInput::Speech { id: recogniser.id, heard })
    }

    /// Reports a partial result to an application, or queues it behind the pending report.
    pub(crate) fn report_partial(&mut self, cx: &mut CallCx<'_>, app: &Arc<App>, request: FetchRequest) {
        let Some(request) = parameters::request(cx.call, cx.edge, None, request) else { return };
        let Some(recogniser) = &mut self.current else { return };
        recogniser.partials.report(cx.edge, (cx.call.key, cx.call.legs.sid()), app, request);
    }

    /// Handles the response to a partial-result report, which is not run as a document. Returns false if the query
    /// belongs to another request.
    pub(crate) fn partial_answered(
        &mut self,
        cx: &mut CallCx<'_>,
        app: Option<&Arc<App>>,
        query: QueryId,
        answer: &AppAnswer,
    ) -> bool {
        let Some(recogniser) = self.current.as_mut().filter(|one| one.partials.is_reported(query)) else {
            return false;
        };
        recogniser.partials.answered(cx.now, cx.edge, (cx.call.key, cx.call.legs.sid()), app, answer);
        true
    }
}

/// Notes the failure of a step's recogniser, and returns the input for its program.
fn failure(cx: &mut CallCx<'_>, id: u32, text: String) -> ProgramInput {
    let sid = cx.call.legs.sid().to_owned();
    cx.edge.log(&sid, text.clone(), None);
    cx.call.story.app.get_or_insert_default().flaws.note_unrecognised(&text);
    ProgramInput::RecognitionFailed { id, text }
}

/// Returns the recognition settings of a step.
pub(super) fn asked_for(step: RecognitionStep) -> RecognitionOptions {
    let RecognitionStep { id: _, language, hints, model, enhanced, profanity_filter } = step;
    RecognitionOptions { language, hints, model, enhanced, profanity_filter }
}
