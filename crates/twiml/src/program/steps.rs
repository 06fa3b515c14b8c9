//! Queue of the steps to be carried out, and the ids that their reports repeat.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::pace::{PaceCounter, SOUNDS};
use super::step::{ProgramStep, ProgramTrace, TraceNote};
use crate::document::{LoopCount, PlaySource, PlayVerb, SayVerb};
use crate::location::DocumentLocation;
use crate::problem::code;

/// Sound that is being played for a Say or Play.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct PlayingSound {
    /// Id of the step, repeated in the report of its end.
    pub(super) id: u32,
    /// Line of the verb in its document.
    line: u32,
    /// True for a Say, false for a Play.
    is_speech: bool,
}

/// Steps not yet polled, with the last id used and the pace of sounds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct StepQueue {
    queue: VecDeque<ProgramStep>,
    last_id: u32,
    #[serde(default)]
    sounds: PaceCounter,
    /// True once the pace limit of sounds has been exceeded.
    #[serde(default)]
    overrun: bool,
}

impl StepQueue {
    pub(super) fn put_back(&mut self, step: ProgramStep) {
        self.queue.push_front(step);
    }

    pub(super) fn push(&mut self, step: ProgramStep) {
        self.queue.push_back(step);
    }

    pub(super) fn pop(&mut self) -> Option<ProgramStep> {
        self.queue.pop_front()
    }

    pub(super) fn id(&mut self) -> u32 {
        self.last_id = self.last_id.wrapping_add(1);
        self.last_id
    }

    pub(super) fn trace(&mut self, line: u32, verb: &str, note: TraceNote) {
        self.push(ProgramStep::Trace(ProgramTrace { line, verb: verb.to_owned(), note }));
    }

    /// Queues speech. Returns `None` if the pace limit of sounds is exceeded.
    pub(super) fn say(&mut self, now: Duration, say: SayVerb, line: u32) -> Option<PlayingSound> {
        if !self.counts_sound(now) {
            return None;
        }
        let id = self.id();
        self.push(ProgramStep::Say { id, say });
        Some(PlayingSound { id, line, is_speech: true })
    }

    /// Queues a sound or digits. Returns `None` if the reference cannot be resolved or the pace limit is exceeded.
    pub(super) fn play(
        &mut self,
        now: Duration,
        play: PlayVerb,
        base: &DocumentLocation,
        line: u32,
    ) -> Option<PlayingSound> {
        match play.source {
            PlaySource::File(_) if !self.counts_sound(now) => None,
            PlaySource::Digits(digits) => {
                let id = self.id();
                self.push(ProgramStep::PlayDigits { id, digits, repeat: play.repeat });
                Some(PlayingSound { id, line, is_speech: false })
            }
            PlaySource::File(reference) => match base.resolve(&reference) {
                Ok(location) => Some(self.play_location(location, play.repeat, line)),
                Err(what) => {
                    let text = format!("a sound: {what}");
                    self.trace(line, "Play", TraceNote::Unheard { code: code::BAD_URL, text });
                    None
                }
            },
        }
    }

    fn counts_sound(&mut self, now: Duration) -> bool {
        let may = self.sounds.allows(now, &SOUNDS);
        self.overrun |= !may;
        may
    }

    /// Returns whether the pace limit of sounds has been exceeded since the last reset.
    pub(super) fn is_overrun(&self) -> bool {
        self.overrun
    }

    /// Resets the pace of sounds and the record of an exceeded limit.
    pub(super) fn reset_sounds(&mut self) {
        (self.sounds, self.overrun) = (PaceCounter::default(), false);
    }

    pub(super) fn play_location(&mut self, location: DocumentLocation, repeat: LoopCount, line: u32) -> PlayingSound {
        let id = self.id();
        self.push(ProgramStep::Play { id, location, repeat });
        PlayingSound { id, line, is_speech: false }
    }

    /// Adds a trace event for a sound that cannot be played, under the verb that started it.
    pub(super) fn sound_failed(&mut self, sound: PlayingSound, note: TraceNote) {
        self.trace(sound.line, if sound.is_speech { "Say" } else { "Play" }, note);
    }
}
