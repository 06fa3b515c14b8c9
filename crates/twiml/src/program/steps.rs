//! Queue of steps, and the ids of their reports.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::pace::{Pace, SOUNDS};
use super::step::{Note, Step, Trace};
use crate::document::{Loop, Play, PlaySource, Say};
use crate::location::Location;
use crate::problem::code;

/// Sound that is being played.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Sound {
    /// Id of the report of its end.
    pub(super) id: u32,
    /// Line of the verb.
    line: u32,
    /// True for a Say, false for a Play.
    is_speech: bool,
}

/// Queue of steps.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Steps {
    queue: VecDeque<Step>,
    last_id: u32,
    #[serde(default)]
    sounds: Pace,
    /// True if the pace limit of sounds was exceeded.
    #[serde(default)]
    overrun: bool,
}

impl Steps {
    pub(super) fn put_back(&mut self, step: Step) {
        self.queue.push_front(step);
    }

    pub(super) fn push(&mut self, step: Step) {
        self.queue.push_back(step);
    }

    pub(super) fn pop(&mut self) -> Option<Step> {
        self.queue.pop_front()
    }

    pub(super) fn id(&mut self) -> u32 {
        self.last_id = self.last_id.wrapping_add(1);
        self.last_id
    }

    pub(super) fn trace(&mut self, line: u32, verb: &str, note: Note) {
        self.push(Step::Trace(Trace { line, verb: verb.to_owned(), note }));
    }

    /// Speaks a text; `None` if the pace limit is exceeded.
    pub(super) fn say(&mut self, now: Duration, say: Say, line: u32) -> Option<Sound> {
        if !self.counts_sound(now) {
            return None;
        }
        let id = self.id();
        self.push(Step::Say { id, say });
        Some(Sound { id, line, is_speech: true })
    }

    /// Plays a sound or digits; `None` if the reference cannot be resolved or the pace limit is exceeded.
    pub(super) fn play(&mut self, now: Duration, play: Play, base: &Location, line: u32) -> Option<Sound> {
        match play.source {
            PlaySource::File(_) if !self.counts_sound(now) => None,
            PlaySource::Digits(digits) => {
                let id = self.id();
                self.push(Step::PlayDigits { id, digits, repeat: play.repeat });
                Some(Sound { id, line, is_speech: false })
            }
            PlaySource::File(reference) => match base.resolve(&reference) {
                Ok(location) => Some(self.play_location(location, play.repeat, line)),
                Err(what) => {
                    let text = format!("a sound: {what}");
                    self.trace(line, "Play", Note::Unheard { code: code::BAD_URL, text });
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

    /// Returns whether the pace limit of sounds was exceeded.
    pub(super) fn is_overrun(&self) -> bool {
        self.overrun
    }

    /// Resets the pace of sounds.
    pub(super) fn reset_sounds(&mut self) {
        (self.sounds, self.overrun) = (Pace::default(), false);
    }

    pub(super) fn play_location(&mut self, location: Location, repeat: Loop, line: u32) -> Sound {
        let id = self.id();
        self.push(Step::Play { id, location, repeat });
        Sound { id, line, is_speech: false }
    }

    /// Traces a sound that cannot be played.
    pub(super) fn sound_failed(&mut self, sound: Sound, note: Note) {
        self.trace(sound.line, if sound.is_speech { "Say" } else { "Play" }, note);
    }
}
