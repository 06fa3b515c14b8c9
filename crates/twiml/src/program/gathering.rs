//! Execution of a Gather: prompts, digits, speech and timeouts.
//!
//! The first input decides: a digit ends speech recognition, the first word ends digit input. Either interrupts the
//! prompts, but speech only with `bargeIn`; without it the recogniser starts after the prompts.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::spoken::{RecogniserResult, SpeechResult, SpeechState};
use super::step::{ProgramStep, RecognitionStep, TraceNote};
use super::steps::{PlayingSound, StepQueue};
use crate::document::{GatherVerb, HttpMethod, Prompt, PromptKind};
use crate::limits::DIGITS;
use crate::location::DocumentLocation;
use crate::secret::SensitiveText;

/// Gather verb in progress.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RunningGather {
    pub(super) line: u32,
    pub(super) action: Option<String>,
    pub(super) method: HttpMethod,
    pub(super) action_on_empty_result: bool,
    timeout: Duration,
    finish_on_key: Option<char>,
    most: usize,
    /// Prompts that have not started.
    prompts: VecDeque<Prompt>,
    /// Sound of the current prompt.
    playing: Option<PlayingSound>,
    wait: GatherWait,
    digits: SensitiveText,
    count: usize,
    /// Speech input, if requested.
    #[serde(default)]
    spoken: Option<Box<SpeechState>>,
}

/// Event that a Gather waits for, with its deadline.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum GatherWait {
    /// The Gather waits for the end of the current sound.
    Sound,
    /// The Gather waits for the end of a nested Pause.
    Pause(Duration),
    /// The Gather waits for input, until the input timeout.
    Digit(Duration),
    /// The Gather waits for the end of the caller's speech.
    Speech(Duration),
}

/// Input that a Gather has collected.
#[derive(Debug)]
pub(super) struct GatherResult {
    pub(super) digits: SensitiveText,
    pub(super) key: Option<char>,
    /// Speech result, if speech was requested and no digit was pressed; empty if nothing was understood.
    pub(super) speech: Option<SpeechResult>,
    /// True if the Gather accepted digits.
    pub(super) takes_digits: bool,
}

impl GatherResult {
    /// Returns whether the caller neither pressed a digit nor said anything.
    pub(super) fn is_empty(&self) -> bool {
        self.digits.reveal().is_empty() && self.speech.as_ref().is_none_or(|speech| speech.text.reveal().is_empty())
    }

    /// Describes the input without disclosing it.
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

impl RunningGather {
    /// Starts the first prompt. Without a recogniser, speech-only input ends as no input after the timeout.
    pub(super) fn begin(
        gather: GatherVerb,
        has_recogniser: bool,
        (line, now): (u32, Duration),
        base: &DocumentLocation,
        steps: &mut StepQueue,
    ) -> Self {
        let most = gather.num_digits.and_then(|number| usize::try_from(number).ok()).unwrap_or(DIGITS).min(DIGITS);
        let spoken = gather.speech.map(|speech| SpeechState::new(*speech, line, base, steps));
        let spoken = spoken.map(|spoken| Box::new(if has_recogniser { spoken } else { spoken.unrecognised() }));
        let mut gathering = RunningGather {
            line,
            action: gather.action,
            method: gather.method,
            action_on_empty_result: gather.action_on_empty_result,
            timeout: gather.timeout,
            finish_on_key: gather.finish_on_key,
            most,
            prompts: gather.prompts.into(),
            playing: None,
            wait: GatherWait::Sound,
            digits: SensitiveText::default(),
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
            GatherWait::Sound => None,
            GatherWait::Pause(until) | GatherWait::Digit(until) | GatherWait::Speech(until) => Some(until),
        }
    }

    /// Returns the active recognition, if any.
    pub(super) fn listening(&self) -> Option<RecognitionStep> {
        self.spoken.as_ref().and_then(|spoken| spoken.listening())
    }

    /// Skips sequence numbers of partial results that crashed processes may have reported: a margin as many times
    /// as given.
    pub(super) fn skip_partial_results(&mut self, margins: u32) {
        self.spoken.iter_mut().for_each(|spoken| spoken.skip_partial_results(margins));
    }

    /// Starts the next prompt or, after the last one, the timer.
    fn next(&mut self, now: Duration, base: &DocumentLocation, steps: &mut StepQueue) {
        self.playing = None;
        while let Some(prompt) = self.prompts.pop_front() {
            let line = prompt.position.line;
            steps.trace(line, prompt.kind.name(), TraceNote::Began);
            match prompt.kind {
                PromptKind::Say(say) => self.playing = steps.say(now, say, line),
                PromptKind::Play(play) => self.playing = steps.play(now, play, base, line),
                PromptKind::Pause(pause) => {
                    self.wait = GatherWait::Pause(now.saturating_add(pause.length));
                    return;
                }
            }
            if self.playing.is_some() || steps.is_overrun() {
                self.wait = GatherWait::Sound;
                return;
            }
        }
        if let Some(spoken) = &mut self.spoken {
            spoken.start(steps);
        }
        self.await_input(now);
    }

    /// Starts to wait for input; ends at once if no input is possible.
    fn await_input(&mut self, now: Duration) {
        let is_awaited = self.takes_digits() || self.spoken.as_ref().is_none_or(|spoken| spoken.is_awaited());
        self.wait = GatherWait::Digit(if is_awaited { now.saturating_add(self.timeout) } else { now });
    }

    /// Returns whether digits are accepted: not for speech-only input, nor once the caller speaks.
    fn takes_digits(&self) -> bool {
        self.spoken.as_ref().is_none_or(|spoken| spoken.with_digits() && !spoken.has_begun())
    }

    /// Handles the end of a sound; ignored unless the sound is the current prompt.
    pub(super) fn played(&mut self, id: u32, now: Duration, base: &DocumentLocation, steps: &mut StepQueue) {
        if self.playing.is_some_and(|sound| sound.id == id) {
            self.next(now, base, steps);
        }
    }

    /// Handles a sound that cannot be played by starting the next prompt.
    pub(super) fn play_failed(
        &mut self,
        id: u32,
        note: TraceNote,
        now: Duration,
        base: &DocumentLocation,
        steps: &mut StepQueue,
    ) {
        if let Some(sound) = self.playing.filter(|sound| sound.id == id) {
            steps.sound_failed(sound, note);
            self.next(now, base, steps);
        }
    }

    /// Handles a digit of the caller; returns the input if it is complete.
    pub(super) fn digit(&mut self, digit: char, now: Duration, steps: &mut StepQueue) -> Option<GatherResult> {
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
        self.wait = GatherWait::Digit(now.saturating_add(self.timeout));
        None
    }

    /// Handles an expired deadline; returns the input if it is complete.
    pub(super) fn timeout(
        &mut self,
        now: Duration,
        base: &DocumentLocation,
        steps: &mut StepQueue,
    ) -> Option<GatherResult> {
        match self.wait {
            GatherWait::Sound => None,
            GatherWait::Pause(_) => {
                self.next(now, base, steps);
                None
            }
            GatherWait::Digit(_) | GatherWait::Speech(_) => {
                self.stop(steps);
                Some(self.end(None))
            }
        }
    }

    /// Handles a result of the recogniser; returns the input if it is complete.
    pub(super) fn heard(
        &mut self,
        now: Duration,
        id: u32,
        heard: &RecogniserResult,
        steps: &mut StepQueue,
    ) -> Option<GatherResult> {
        let spoken = self.spoken.as_mut()?;
        if !spoken.hear(now, id, heard, steps) {
            return None;
        }
        self.wait = GatherWait::Speech(spoken.until(now, self.timeout));
        if spoken.ends_with(heard.is_final) {
            self.stop(steps);
            return Some(self.end(None));
        }
        self.silence(steps);
        None
    }

    /// Handles the loss of the recogniser. Its final results are the input; without any, digits may still follow if
    /// they are accepted.
    pub(super) fn recognition_failed(&mut self, now: Duration, id: u32) -> Option<GatherResult> {
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
            // The remaining prompts are played nevertheless.
            GatherWait::Sound | GatherWait::Pause(_) => {}
            GatherWait::Speech(_) => self.await_input(now),
            GatherWait::Digit(_) if self.takes_digits() => {}
            GatherWait::Digit(_) => return Some(self.end(None)),
        }
        None
    }

    /// Stops the prompts and the recognition.
    pub(super) fn stop(&mut self, steps: &mut StepQueue) {
        self.silence(steps);
        self.stop_listening(steps);
    }

    /// Stops the recognition.
    pub(super) fn stop_listening(&mut self, steps: &mut StepQueue) {
        if let Some(spoken) = &mut self.spoken {
            spoken.stop(steps);
        }
    }

    /// Stops all prompts: the current one and those that follow.
    fn silence(&mut self, steps: &mut StepQueue) {
        self.prompts.clear();
        if let Some(sound) = self.playing.take() {
            steps.push(ProgramStep::StopPlaying { id: sound.id });
        }
    }

    fn end(&mut self, key: Option<char>) -> GatherResult {
        let takes_digits = self.spoken.as_ref().is_none_or(|spoken| spoken.with_digits());
        let spoken = self.spoken.as_ref().filter(|_| self.count == 0);
        let speech = spoken.map(|spoken| spoken.result());
        GatherResult { digits: std::mem::take(&mut self.digits), key, speech, takes_digits }
    }
}
