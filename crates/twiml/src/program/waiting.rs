//! Audio for a conference party that does not hear the other parties: music or a repeated document.
//!
//! A waiting document runs in a program of its own, limited to Say, Play, Pause and Redirect. Its steps are carried
//! out like those of the call. It ends when the party hears the conference.

use std::time::Duration;

use super::step::{BackgroundAudio, ProgramStep};
use super::steps::StepQueue;
use super::{DocumentSource, Program, ProgramInput, ProgramRole, ProgramSettings, RunningDial};
use crate::document::VerbKind;

impl RunningDial {
    /// Changes the audio for a conference party; `None` connects it with the other parties instead.
    pub(super) fn take_background(
        &mut self,
        now: Duration,
        background: Option<BackgroundAudio>,
        steps: &mut StepQueue,
    ) {
        let id = self.id;
        self.waits = None;
        steps.push(ProgramStep::StopPlaying { id });
        match background {
            None | Some(BackgroundAudio::Silence) => {}
            Some(BackgroundAudio::Music) => steps.push(ProgramStep::PlayMusic { id }),
            Some(BackgroundAudio::Document { location, method }) => {
                let mut waits =
                    Program::new(ProgramSettings { role: ProgramRole::Waiting, ..ProgramSettings::default() });
                waits.start(now, DocumentSource::Fetch { location, method }, true);
                self.waits = Some(Box::new(waits));
                self.take_waiting_steps(steps);
            }
        }
    }

    /// Passes an event to the program of the waiting document; returns the event if none runs.
    pub(super) fn tell_waiting(
        &mut self,
        now: Duration,
        input: ProgramInput,
        steps: &mut StepQueue,
    ) -> Option<ProgramInput> {
        let is_its = matches!(
            input,
            ProgramInput::Fetched { .. }
                | ProgramInput::FetchFailed { .. }
                | ProgramInput::Played { .. }
                | ProgramInput::PlayFailed { .. }
        );
        let Some(waits) = self.waits.as_mut().filter(|_| is_its) else { return Some(input) };
        waits.handle_input(now, input);
        self.take_waiting_steps(steps);
        None
    }

    /// Advances the program of the waiting document to `now`.
    pub(super) fn pass_waiting(&mut self, now: Duration, steps: &mut StepQueue) {
        if let Some(waits) = &mut self.waits {
            waits.handle_timeout(now);
            self.take_waiting_steps(steps);
        }
    }

    /// Returns the deadline for [`RunningDial::pass_waiting`]; `None` without a deadline.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.waits.as_ref()?.poll_timeout()
    }

    /// Forwards the steps of the waiting document's program. If that program fails, music follows.
    fn take_waiting_steps(&mut self, steps: &mut StepQueue) {
        while let Some(step) = self.waits.as_mut().and_then(|waits| waits.poll_output()) {
            if matches!(step, ProgramStep::Failed { .. }) {
                self.waits = None;
                steps.push(ProgramStep::PlayMusic { id: self.id });
            } else {
                steps.push(step);
            }
        }
    }
}

/// Returns whether a verb is allowed in a document for a waiting party.
pub(super) fn may_wait_with(kind: &VerbKind) -> bool {
    match kind {
        VerbKind::Say(_) | VerbKind::Play(_) | VerbKind::Pause(_) | VerbKind::Redirect(_) => true,
        VerbKind::Gather(_)
        | VerbKind::Record(_)
        | VerbKind::Dial(_)
        | VerbKind::Enqueue(_)
        | VerbKind::Leave
        | VerbKind::Connect(_)
        | VerbKind::StartStream(_)
        | VerbKind::StartRecording(_)
        | VerbKind::StartSiprec(_)
        | VerbKind::StartTranscript(_)
        | VerbKind::StopTranscript { .. }
        | VerbKind::StopSiprec { .. }
        | VerbKind::StopStream { .. }
        | VerbKind::Reject(_)
        | VerbKind::Hangup
        | VerbKind::Refer(_)
        | VerbKind::Refused(_) => false,
    }
}
