//! The time of a party in a conference during which it hears no other: music, or a document of its own that is run again and again.
//!
//! Such a document is a program beside that of the call, with Say, Play, Pause and Redirect alone. Its steps are carried out as
//! the call's own; it ends when the call says that the party hears the others.

use std::time::Duration;

use super::step::{Background, Step};
use super::steps::Steps;
use super::{Dialling, Input, Program, Role, Settings, Source};
use crate::document::Kind;

impl Dialling {
    /// Takes what a party of a conference is to hear from now on; `None`: the others.
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

    /// Gives an event to the document that a party waits with; returns it where none runs.
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

    /// Lets time pass in the document that a party waits with.
    pub(super) fn pass_waiting(&mut self, now: Duration, steps: &mut Steps) {
        if let Some(waits) = &mut self.waits {
            waits.handle_timeout(now);
            self.take_waiting_steps(steps);
        }
    }

    /// Returns when [`Dialling::pass_waiting`] is to be called.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.waits.as_ref()?.poll_timeout()
    }

    /// Takes over the steps of that document. Music follows one that fails.
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

/// Whether a verb may stand in the document that a party waits with.
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
