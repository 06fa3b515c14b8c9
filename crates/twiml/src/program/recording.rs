//! Execution of a Record: tone, recording and end.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::After;
use super::input::RecordResult;
use super::step::{Note, Parameter, RecordStep, Step};
use super::steps::Steps;

/// Record in progress.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Recording {
    /// Id of the steps.
    pub(super) id: u32,
    pub(super) after: After,
    /// Digits that end the recording.
    keys: String,
    max_length: Duration,
    stage: Stage,
    /// Digit that ended the recording.
    key: Option<char>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Stage {
    /// The tone is playing; the recording step follows.
    Beep(Box<RecordStep>),
    /// Recording is in progress until this time at most.
    Open { until: Duration },
    /// Recording has ended and its result is pending.
    Ending,
}

impl Recording {
    /// Starts the tone, or the recording.
    pub(super) fn begin(
        now: Duration,
        step: RecordStep,
        after: After,
        (keys, max_length, beep): (String, Duration, bool),
        steps: &mut Steps,
    ) -> Recording {
        let (id, stage) = (step.id, Stage::Beep(Box::new(step)));
        let mut recording = Recording { id, after, keys, max_length, stage, key: None };
        if beep {
            steps.push(Step::Beep { id });
        } else {
            recording.open(now, steps);
        }
        recording
    }

    /// Starts the recording after the tone.
    pub(super) fn open(&mut self, now: Duration, steps: &mut Steps) {
        let open = Stage::Open { until: now.saturating_add(self.max_length) };
        match std::mem::replace(&mut self.stage, open) {
            Stage::Beep(step) => steps.push(Step::Record(*step)),
            other @ (Stage::Open { .. } | Stage::Ending) => self.stage = other,
        }
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        match self.stage {
            Stage::Open { until } => Some(until),
            Stage::Beep(_) | Stage::Ending => None,
        }
    }

    /// Handles a digit of the caller.
    pub(super) fn digit(&mut self, digit: char, steps: &mut Steps) {
        if matches!(self.stage, Stage::Open { .. }) && self.keys.contains(digit) {
            self.key = Some(digit);
            self.end("a key was pressed", steps);
        }
    }

    /// Ends the recording; its result follows.
    pub(super) fn end(&mut self, why: &str, steps: &mut Steps) {
        if matches!(self.stage, Stage::Open { .. }) {
            self.stage = Stage::Ending;
            steps.trace(self.after.line, "Record", Note::Result(why.to_owned()));
            steps.push(Step::StopRecord { id: self.id });
        }
    }

    /// Ends the recording without a result.
    pub(super) fn abandon(self, steps: &mut Steps) {
        let id = self.id;
        match self.stage {
            Stage::Beep(_) => steps.push(Step::StopPlaying { id }),
            Stage::Open { .. } => steps.push(Step::StopRecord { id }),
            Stage::Ending => {}
        }
    }

    /// Returns whether the recording has started.
    pub(super) fn has_begun(&self) -> bool {
        !matches!(self.stage, Stage::Beep(_))
    }

    /// Returns the parameters for the action's request.
    pub(super) fn parameters(&self, result: RecordResult) -> Vec<Parameter> {
        let mut parameters = vec![
            Parameter::new("RecordingUrl", result.url),
            Parameter::new("RecordingSid", result.sid),
            Parameter::new("RecordingDuration", result.seconds.to_string()),
        ];
        parameters.extend(self.key.map(|key| Parameter::new("Digits", String::from(key))));
        parameters
    }
}
