//! Redirect from outside (API): replaces the current document by another one.

use std::time::Duration;

use super::input::QueueOutcome;
use super::step::{ProgramStep, TraceNote};
use super::{DocumentSource, Program, ProgramRole, ProgramState, RunningDial, VerbAction, joining};
use crate::document::{
    self, CallDocument, DocumentWarnings, HttpMethod, LoopCount, PlaySource, PlayVerb, RedirectVerb, Verb, VerbKind,
};
use crate::location::DocumentLocation;
use crate::problem::{DocumentError, DocumentPosition};

impl Program {
    /// Puts a step that cannot be carried out yet back to the front of the queue, to be polled again.
    pub fn put_back(&mut self, step: ProgramStep) {
        self.steps.put_back(step);
    }

    /// Replaces the current document by another one. Returns false, without a change, if the program has ended or
    /// serves a called party.
    ///
    /// A connected party or stream is disconnected first; a transfer in progress is completed first. No action is
    /// requested for either, only that of an Enqueue. `fallback` replaces the fallback of the program.
    ///
    /// # Errors
    /// Fails with [`DocumentError`], without a change, if the text of `source` is not a valid document.
    pub fn redirect(
        &mut self,
        now: Duration,
        source: DocumentSource,
        fallback: Option<(DocumentLocation, HttpMethod)>,
    ) -> Result<bool, DocumentError> {
        let is_over = match &self.state {
            ProgramState::Over => true,
            ProgramState::Dialling(RunningDial { abandoned, .. }) | ProgramState::Referring { abandoned, .. } => {
                *abandoned
            }
            ProgramState::Queued(queued) => queued.abandoned,
            ProgramState::Ready
            | ProgramState::Fetching { .. }
            | ProgramState::Playing(_)
            | ProgramState::Pausing { .. }
            | ProgramState::Gathering(_)
            | ProgramState::Recording(_)
            | ProgramState::Streaming { .. } => false,
        };
        if is_over || self.settings.role != ProgramRole::Caller {
            return Ok(false);
        }
        let document = document_at(&source)?;
        self.steps.trace(0, "Response", TraceNote::Result("another document was requested".to_owned()));
        let none = |after: VerbAction| VerbAction { action: None, ..after };
        self.state = match std::mem::replace(&mut self.state, ProgramState::Ready) {
            ProgramState::Over => ProgramState::Over,
            ProgramState::Ready | ProgramState::Fetching { .. } | ProgramState::Pausing { .. } => ProgramState::Ready,
            ProgramState::Playing(sound) => {
                self.steps.push(ProgramStep::StopPlaying { id: sound.id });
                ProgramState::Ready
            }
            ProgramState::Gathering(mut gathering) => {
                gathering.stop(&mut self.steps);
                ProgramState::Ready
            }
            ProgramState::Recording(recording) => {
                recording.abandon(&mut self.steps);
                ProgramState::Ready
            }
            ProgramState::Dialling(dialling) => {
                self.steps.push(ProgramStep::EndDial { id: dialling.id });
                ProgramState::Dialling(RunningDial { after: none(dialling.after), waits: None, ..dialling })
            }
            // The action of the Enqueue is notified of the redirect.
            ProgramState::Queued(mut queued) => {
                queued.stop(&mut self.steps);
                self.steps.push(ProgramStep::LeaveQueue { id: queued.id, why: QueueOutcome::Redirected });
                ProgramState::Queued(queued)
            }
            ProgramState::Streaming { id, after } => {
                self.steps.push(ProgramStep::EndStream { id });
                ProgramState::Streaming { id, after: none(after) }
            }
            ProgramState::Referring { id, after, abandoned } => {
                ProgramState::Referring { id, after: none(after), abandoned }
            }
        };
        let location =
            if let DocumentSource::Message(message) = &source { message.location() } else { DocumentLocation::Inline };
        (self.location, self.in_fallback, self.then) = (location, false, None);
        self.settings.fallback = fallback.or(self.settings.fallback.take());
        self.warn(document.warnings);
        self.verbs = document.verbs.into();
        self.run(now);
        Ok(true)
    }
}

/// Returns the document equivalent to a source: a URL becomes a document with a single Redirect.
fn document_at(source: &DocumentSource) -> Result<CallDocument, DocumentError> {
    Ok(match source {
        DocumentSource::Text(text) => document::parse(text)?,
        DocumentSource::Fetch { location, method } => {
            let redirect = RedirectVerb { url: location.to_string(), method: *method };
            document_of(VerbKind::Redirect(redirect))
        }
        DocumentSource::Digits(digits) => {
            let play = PlayVerb { source: PlaySource::Digits(digits.clone()), repeat: LoopCount::Times(1) };
            document_of(VerbKind::Play(play))
        }
        DocumentSource::Conference(name) => document_of(VerbKind::Dial(joining(name))),
        DocumentSource::Message(message) => {
            CallDocument { verbs: message.verbs(), warnings: DocumentWarnings::default() }
        }
    })
}

/// Returns a document with this single verb.
fn document_of(kind: VerbKind) -> CallDocument {
    CallDocument {
        verbs: vec![Verb { position: DocumentPosition::START, kind }],
        warnings: DocumentWarnings::default(),
    }
}
