//! Audio for a caller in a queue: music or a repeated document, and the document before the caller is connected with
//! the party that dialled the queue.
//!
//! The document runs in a program of its own, like the document of a waiting conference party. It may also collect
//! input, hang up, and leave the queue.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::input::QueueOutcome;
use super::step::{BackgroundAudio, ProgramStep, TraceNote};
use super::steps::StepQueue;
use super::{DocumentSource, Program, ProgramInput, ProgramRole, ProgramSettings};
use crate::document::{HttpMethod, VerbKind};
use crate::location::DocumentLocation;

/// Enqueue verb in progress.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RunningEnqueue {
    /// Id of the Enqueue step.
    pub(super) id: u32,
    /// Line of the Enqueue verb in its document.
    pub(super) line: u32,
    /// Location and method of the action to request at the end; `None` if the verb has no action.
    pub(super) action: Option<(DocumentLocation, HttpMethod)>,
    /// True if speech can be recognised.
    recognition: bool,
    /// True if the caller has hung up and only the action remains to be requested.
    pub(super) abandoned: bool,
    /// Program of the document played to the caller; `None` if no document runs.
    hears: Option<Box<Program>>,
}

impl RunningEnqueue {
    pub(super) fn new(
        id: u32,
        line: u32,
        action: Option<(DocumentLocation, HttpMethod)>,
        recognition: bool,
    ) -> RunningEnqueue {
        RunningEnqueue { id, line, action, recognition, abandoned: false, hears: None }
    }

    /// Returns whether the id is that of the Enqueue step and the caller is still connected.
    pub(super) fn is(&self, id: u32) -> bool {
        self.id == id && !self.abandoned
    }

    /// Changes the audio for the caller; `None` selects the party that dialled the queue.
    pub(super) fn take_background(
        &mut self,
        now: Duration,
        background: Option<BackgroundAudio>,
        steps: &mut StepQueue,
    ) {
        self.stop(steps);
        match background {
            None | Some(BackgroundAudio::Silence) => {}
            Some(BackgroundAudio::Music) => steps.push(ProgramStep::PlayMusic { id: self.id }),
            Some(BackgroundAudio::Document { location, method }) => {
                self.run(now, ProgramRole::Queued, (location, method), steps);
            }
        }
    }

    /// Stops the current document, and runs another one once before the caller is connected.
    pub(super) fn take_prelude(
        &mut self,
        now: Duration,
        document: (DocumentLocation, HttpMethod),
        steps: &mut StepQueue,
    ) {
        self.stop(steps);
        self.run(now, ProgramRole::Connecting, document, steps);
    }

    /// Stops the document or music that the caller hears.
    pub(super) fn stop(&mut self, steps: &mut StepQueue) {
        if let Some(step) = self.hears.take().and_then(|hears| hears.recognition()) {
            steps.push(ProgramStep::StopRecognition { id: step.id });
        }
        steps.push(ProgramStep::StopPlaying { id: self.id });
    }

    /// Passes an event to the program of the document; returns the event if it belongs to the call instead.
    pub(super) fn tell(&mut self, now: Duration, input: ProgramInput, steps: &mut StepQueue) -> Option<ProgramInput> {
        let is_its = match input {
            ProgramInput::Fetched { .. }
            | ProgramInput::FetchFailed { .. }
            | ProgramInput::Played { .. }
            | ProgramInput::PlayFailed { .. }
            | ProgramInput::Digit(_)
            | ProgramInput::Speech { .. }
            | ProgramInput::RecognitionFailed { .. } => true,
            ProgramInput::DialAnswered { .. }
            | ProgramInput::DialEnded { .. }
            | ProgramInput::Background { .. }
            | ProgramInput::Prelude { .. }
            | ProgramInput::QueueLeft { .. }
            | ProgramInput::Silent { .. }
            | ProgramInput::Recorded { .. }
            | ProgramInput::RecordFailed { .. }
            | ProgramInput::StreamEnded { .. }
            | ProgramInput::ReferEnded { .. }
            | ProgramInput::HungUp => false,
        };
        let Some(hears) = self.hears.as_mut().filter(|_| is_its) else { return Some(input) };
        hears.handle_input(now, input);
        self.take_steps(steps);
        None
    }

    /// Advances the program of the document to `now`.
    pub(super) fn pass(&mut self, now: Duration, steps: &mut StepQueue) {
        if let Some(hears) = &mut self.hears {
            hears.handle_timeout(now);
            self.take_steps(steps);
        }
    }

    /// Returns the deadline for [`RunningEnqueue::pass`]; `None` without a deadline.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.hears.as_ref()?.poll_timeout()
    }

    fn run(
        &mut self,
        now: Duration,
        role: ProgramRole,
        (location, method): (DocumentLocation, HttpMethod),
        steps: &mut StepQueue,
    ) {
        let recognition = self.recognition && role == ProgramRole::Queued;
        let mut hears = Program::new(ProgramSettings { role, recognition, ..ProgramSettings::default() });
        hears.start(now, DocumentSource::Fetch { location, method }, true);
        self.hears = Some(Box::new(hears));
        self.take_steps(steps);
    }

    /// Forwards the steps of the document's program.
    fn take_steps(&mut self, steps: &mut StepQueue) {
        while let Some(step) = self.hears.as_mut().and_then(|hears| hears.poll_output()) {
            let is_prelude = self.hears.as_ref().is_some_and(|hears| hears.settings.role == ProgramRole::Connecting);
            if matches!(step, ProgramStep::Failed { .. }) && is_prelude {
                let note = "the document of Queue fails: the caller is connected without it";
                steps.trace(self.line, "Enqueue", TraceNote::Result(note.to_owned()));
                self.connect(steps);
            } else if matches!(step, ProgramStep::Join) {
                self.connect(steps);
            } else if matches!(step, ProgramStep::Failed { .. }) {
                self.leave(QueueOutcome::Error, steps);
            } else if matches!(step, ProgramStep::Hangup) {
                self.leave(QueueOutcome::Hangup, steps);
            } else if let ProgramStep::LeaveQueue { why, .. } = step {
                self.leave(why, steps);
            } else {
                steps.push(step);
            }
        }
    }

    fn connect(&mut self, steps: &mut StepQueue) {
        self.hears = None;
        steps.push(ProgramStep::ConnectQueued { id: self.id });
    }

    fn leave(&mut self, why: QueueOutcome, steps: &mut StepQueue) {
        self.stop(steps);
        steps.push(ProgramStep::LeaveQueue { id: self.id, why });
    }
}

/// Returns whether a verb is allowed in a document for a queued caller. More verbs are allowed than for a waiting
/// conference party.
pub(super) fn may_queue_with(kind: &VerbKind) -> bool {
    super::waiting::may_wait_with(kind) || matches!(kind, VerbKind::Gather(_) | VerbKind::Hangup | VerbKind::Leave)
}
