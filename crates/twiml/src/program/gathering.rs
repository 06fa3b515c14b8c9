//! A Gather that runs: its prompts, its digits, its speech, its timer.
//!
//! The first input decides: a digit ends the recognition, the first word ends the digits. Either stops the prompts, speech only with
//! `bargeIn`; without it the recogniser begins to listen when the prompts are over.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::spoken::{Heard, SpeechResult, Spoken};
use super::step::{Note, RecognitionStep, Step};
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
    /// Speech, where it is taken.
    #[serde(default)]
    spoken: Option<Box<Spoken>>,
}

/// Next event of the clock.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Wait {
    /// Nothing: a sound is played.
    Sound,
    /// The end of a nested Pause.
    Pause(Duration),
    /// The end of the input, unless there is any.
    Digit(Duration),
    /// The end of the caller's speech.
    Speech(Duration),
}

/// End of a Gather.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) digits: Secret,
    pub(super) key: Option<char>,
    /// Speech, where it was taken and no digit came: empty where none was understood.
    pub(super) speech: Option<SpeechResult>,
    /// Whether digits were taken.
    pub(super) takes_digits: bool,
}

impl Ending {
    /// Whether the caller has neither typed nor said anything.
    pub(super) fn is_empty(&self) -> bool {
        self.digits.reveal().is_empty() && self.speech.as_ref().is_none_or(|speech| speech.text.reveal().is_empty())
    }

    /// Describes the input without showing it.
    pub(super) fn shown(&self) -> String {
        let words = self.speech.as_ref().map_or(0, |speech| speech.text.reveal().split_whitespace().count());
        let digits = self.digits.reveal().chars().count();
        match (words, digits) {
            (0, 0) if self.speech.is_some() => "no input".to_owned(),
            (0, 1) => "1 digit".to_owned(),
            (0, digits) => format!("{digits} digits"),
            (1, _) => "speech of 1 word".to_owned(),
            (words, _) => format!("speech of {words} words"),
        }
    }
}

impl Gathering {
    /// Begins with the first prompt. Without a recogniser, speech alone ends as no input, when its time is over.
    pub(super) fn begin(
        gather: Gather,
        has_recogniser: bool,
        (line, now): (u32, Duration),
        base: &Location,
        steps: &mut Steps,
    ) -> Self {
        let most = gather.num_digits.and_then(|number| usize::try_from(number).ok()).unwrap_or(DIGITS).min(DIGITS);
        let spoken = gather.speech.map(|speech| Spoken::new(*speech, line, base, steps));
        let spoken = spoken.map(|spoken| Box::new(if has_recogniser { spoken } else { spoken.unrecognised() }));
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
            spoken,
        };
        if let Some(spoken) = gathering.spoken.as_mut().filter(|spoken| spoken.barges_in()) {
            spoken.start(steps);
        }
        gathering.next(now, base, steps);
        gathering
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        match self.wait {
            Wait::Sound => None,
            Wait::Pause(until) | Wait::Digit(until) | Wait::Speech(until) => Some(until),
        }
    }

    /// Returns the recogniser that listens.
    pub(super) fn listening(&self) -> Option<RecognitionStep> {
        self.spoken.as_ref().and_then(|spoken| spoken.listening())
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
        if let Some(spoken) = &mut self.spoken {
            spoken.start(steps);
        }
        self.await_input(now);
    }

    /// Begins to wait for input; not at all where none can come.
    fn await_input(&mut self, now: Duration) {
        let is_awaited = self.takes_digits() || self.spoken.as_ref().is_none_or(|spoken| spoken.is_awaited());
        self.wait = Wait::Digit(if is_awaited { now.saturating_add(self.timeout) } else { now });
    }

    /// Whether a digit counts: not where speech alone is asked for, nor once the caller speaks.
    fn takes_digits(&self) -> bool {
        self.spoken.as_ref().is_none_or(|spoken| spoken.with_digits() && !spoken.has_begun())
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
        if !self.takes_digits() || (finishes && self.count == 0) {
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
            Wait::Digit(_) | Wait::Speech(_) => {
                self.stop(steps);
                Some(self.end(None))
            }
        }
    }

    /// Takes a result of the recogniser; returns the end if it is the last one.
    pub(super) fn heard(&mut self, now: Duration, id: u32, heard: &Heard, steps: &mut Steps) -> Option<Ending> {
        let spoken = self.spoken.as_mut()?;
        if !spoken.hear(now, id, heard, steps) {
            return None;
        }
        self.wait = Wait::Speech(spoken.until(now, self.timeout));
        if spoken.ends_with(heard.is_final) {
            self.stop(steps);
            return Some(self.end(None));
        }
        self.silence(steps);
        None
    }

    /// The recogniser is gone: what it has said for certain is the result; without that digits may still come, where they are taken.
    pub(super) fn recognition_failed(&mut self, now: Duration, id: u32) -> Option<Ending> {
        let spoken = self.spoken.as_mut()?;
        if !spoken.fail(id) {
            return None;
        }
        spoken.drop_partial();
        if spoken.has_final() {
            return Some(self.end(None));
        }
        spoken.forget();
        match self.wait {
            // The prompts go on.
            Wait::Sound | Wait::Pause(_) => {}
            Wait::Speech(_) => self.await_input(now),
            Wait::Digit(_) if self.takes_digits() => {}
            Wait::Digit(_) => return Some(self.end(None)),
        }
        None
    }

    /// Ends prompts and recognition.
    pub(super) fn stop(&mut self, steps: &mut Steps) {
        self.silence(steps);
        self.stop_listening(steps);
    }

    /// Ends the recognition.
    pub(super) fn stop_listening(&mut self, steps: &mut Steps) {
        if let Some(spoken) = &mut self.spoken {
            spoken.stop(steps);
        }
    }

    /// Silences all prompts.
    fn silence(&mut self, steps: &mut Steps) {
        self.prompts.clear();
        if let Some(sound) = self.playing.take() {
            steps.push(Step::StopPlaying { id: sound.id });
        }
    }

    fn end(&mut self, key: Option<char>) -> Ending {
        let takes_digits = self.spoken.as_ref().is_none_or(|spoken| spoken.with_digits());
        let spoken = self.spoken.as_ref().filter(|_| self.count == 0);
        let speech = spoken.map(|spoken| spoken.result());
        Ending { digits: std::mem::take(&mut self.digits), key, speech, takes_digits }
    }
}
