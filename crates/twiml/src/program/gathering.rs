//! A Gather that runs: its prompts, its digits, its timer.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::step::{Note, Step};
use super::steps::{Sound, Steps};
use crate::document::{Gather, Method, Prompt, PromptKind};
use crate::limits::DIGITS;
use crate::location::Location;
use crate::secret::Secret;

/// A Gather between its first prompt and its end.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Gathering {
    pub(super) line: u32,
    pub(super) action: Option<String>,
    pub(super) method: Method,
    pub(super) action_on_empty_result: bool,
    timeout: Duration,
    finish_on_key: Option<char>,
    most: usize,
    /// Prompts that are still to come.
    prompts: VecDeque<Prompt>,
    /// Prompt that the caller hears.
    playing: Option<Sound>,
    wait: Wait,
    digits: Secret,
    count: usize,
}

/// Next event of the clock.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Wait {
    /// Nothing: a sound is played.
    Sound,
    /// The end of a nested Pause.
    Pause(Duration),
    /// The end of the input.
    Digit(Duration),
}

/// End of a Gather.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) digits: Secret,
    pub(super) key: Option<char>,
}

impl Gathering {
    /// Begins with the first prompt.
    pub(super) fn begin(gather: Gather, line: u32, now: Duration, base: &Location, steps: &mut Steps) -> Self {
        let most = gather.num_digits.and_then(|number| usize::try_from(number).ok()).unwrap_or(DIGITS).min(DIGITS);
        let mut gathering = Gathering {
            line,
            action: gather.action,
            method: gather.method,
            action_on_empty_result: gather.action_on_empty_result,
            timeout: gather.timeout,
            finish_on_key: gather.finish_on_key,
            most,
            prompts: gather.prompts.into(),
            playing: None,
            wait: Wait::Sound,
            digits: Secret::default(),
            count: 0,
        };
        gathering.next(now, base, steps);
        gathering
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        match self.wait {
            Wait::Sound => None,
            Wait::Pause(until) | Wait::Digit(until) => Some(until),
        }
    }

    /// Begins the next prompt or, after the last one, the timer.
    fn next(&mut self, now: Duration, base: &Location, steps: &mut Steps) {
        self.playing = None;
        while let Some(prompt) = self.prompts.pop_front() {
            let line = prompt.position.line;
            steps.trace(line, prompt.kind.name(), Note::Began);
            match prompt.kind {
                PromptKind::Say(say) => self.playing = steps.say(now, say, line),
                PromptKind::Play(play) => self.playing = steps.play(now, play, base, line),
                PromptKind::Pause(pause) => {
                    self.wait = Wait::Pause(now.saturating_add(pause.length));
                    return;
                }
            }
            if self.playing.is_some() || steps.is_overrun() {
                self.wait = Wait::Sound;
                return;
            }
        }
        self.wait = Wait::Digit(now.saturating_add(self.timeout));
    }

    /// A sound ended.
    pub(super) fn played(&mut self, id: u32, now: Duration, base: &Location, steps: &mut Steps) {
        if self.playing.is_some_and(|sound| sound.id == id) {
            self.next(now, base, steps);
        }
    }

    /// A sound cannot be played: the next prompt follows.
    pub(super) fn play_failed(&mut self, id: u32, note: Note, now: Duration, base: &Location, steps: &mut Steps) {
        if let Some(sound) = self.playing.filter(|sound| sound.id == id) {
            steps.sound_failed(sound, note);
            self.next(now, base, steps);
        }
    }

    /// Takes a digit; returns the end if it is the last one.
    pub(super) fn digit(&mut self, digit: char, now: Duration, steps: &mut Steps) -> Option<Ending> {
        let finishes = self.finish_on_key == Some(digit);
        if finishes && self.count == 0 {
            return None;
        }
        self.stop(steps);
        if finishes {
            return Some(self.end(Some(digit)));
        }
        self.digits.push(digit);
        self.count += 1;
        if self.count >= self.most {
            return Some(self.end(None));
        }
        self.wait = Wait::Digit(now.saturating_add(self.timeout));
        None
    }

    /// The deadline has come; returns the end if it was that of the input.
    pub(super) fn timeout(&mut self, now: Duration, base: &Location, steps: &mut Steps) -> Option<Ending> {
        match self.wait {
            Wait::Sound => None,
            Wait::Pause(_) => {
                self.next(now, base, steps);
                None
            }
            Wait::Digit(_) => Some(self.end(None)),
        }
    }

    /// Silences all prompts.
    pub(super) fn stop(&mut self, steps: &mut Steps) {
        self.prompts.clear();
        if let Some(sound) = self.playing.take() {
            steps.push(Step::StopPlaying { id: sound.id });
        }
    }

    fn end(&mut self, key: Option<char>) -> Ending {
        Ending { digits: std::mem::take(&mut self.digits), key }
    }
}
