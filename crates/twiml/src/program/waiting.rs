//! Audio for a conference party that does not hear the others: music or a repeated document.
//!
//! The document runs in a program of its own, limited to Say, Play, Pause and Redirect. Its steps are carried out like
//! those of the call. It ends when the party hears the others.

use std::time::Duration;

use super::step::{Background, Step};
use super::steps::Steps;
use super::{Dialling, Input, Program, Role, Settings, Source};
use crate::document::Kind;

impl Dialling {
    /// Changes the audio for a conference party; `None`: the other parties.
    pub(super) fn take_background(&mut self, now: Duration, background: Option<Background>, steps: &mut Steps) {
        let id = self.id;
        self.waits = None;
        steps.push(Step::StopPlaying { id });
        match background {
            None | Some(Background::Silence) => {}
            Some(Background::Music) => steps.push(Step::PlayMusic { id }),
            Some(Background::Document { location, method }) => {
                let mut waits = Program::new(Settings { role: Role::Waiting, ..Settings::default() });
                waits.start(now, Source::Fetch { location, method }, true);
                self.waits = Some(Box::new(waits));
                self.take_waiting_steps(steps);
            }
        }
    }

    /// Passes an event to the program of the waiting document; returns the event if none runs.
    pub(super) fn tell_waiting(&mut self, now: Duration, input: Input, steps: &mut Steps) -> Option<Input> {
        let is_its = matches!(
            input,
            Input::Fetched { .. } | Input::FetchFailed { .. } | Input::Played { .. } | Input::PlayFailed { .. }
        );
        let Some(waits) = self.waits.as_mut().filter(|_| is_its) else { return Some(input) };
        waits.handle_input(now, input);
        self.take_waiting_steps(steps);
        None
    }

    /// Advances the program of the waiting document to `now`.
    pub(super) fn pass_waiting(&mut self, now: Duration, steps: &mut Steps) {
        if let Some(waits) = &mut self.waits {
            waits.handle_timeout(now);
            self.take_waiting_steps(steps);
        }
    }

    /// Returns the deadline for [`Dialling::pass_waiting`].
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.waits.as_ref()?.poll_timeout()
    }

    /// Forwards the steps of the waiting document's program. If it fails, music follows.
    fn take_waiting_steps(&mut self, steps: &mut Steps) {
        while let Some(step) = self.waits.as_mut().and_then(|waits| waits.poll_output()) {
            if matches!(step, Step::Failed { .. }) {
                self.waits = None;
                steps.push(Step::PlayMusic { id: self.id });
            } else {
                steps.push(step);
            }
        }
    }
}

/// Returns whether a verb is allowed in a document for a waiting party.
pub(super) fn may_wait_with(kind: &Kind) -> bool {
    match kind {
        Kind::Say(_) | Kind::Play(_) | Kind::Pause(_) | Kind::Redirect(_) => true,
        Kind::Gather(_)
        | Kind::Record(_)
        | Kind::Dial(_)
        | Kind::Enqueue(_)
        | Kind::Leave
        | Kind::Connect(_)
        | Kind::StartStream(_)
        | Kind::StartRecording(_)
        | Kind::StartSiprec(_)
        | Kind::StartTranscript(_)
        | Kind::StopTranscript { .. }
        | Kind::StopSiprec { .. }
        | Kind::StopStream { .. }
        | Kind::Reject(_)
        | Kind::Hangup
        | Kind::Refer(_)
        | Kind::Refused(_) => false,
    }
}
