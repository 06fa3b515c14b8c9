//! Execution of a Record: tone, recording and end.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::VerbAction;
use super::input::RecordResult;
use super::step::{ProgramStep, RecordStep, RequestParameter, TraceNote};
use super::steps::StepQueue;

/// Record verb in progress.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RunningRecord {
    /// Id of the beep step and of the recording step.
    pub(super) id: u32,
    pub(super) after: VerbAction,
    /// DTMF digits that end the recording (`finishOnKey`).
    keys: String,
    max_length: Duration,
    stage: RecordStage,
    /// Digit that ended the recording; `None` until the caller presses one.
    key: Option<char>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum RecordStage {
    /// The tone is playing; the recording step follows.
    Beep(Box<RecordStep>),
    /// Recording is in progress until this time at most.
    Open { until: Duration },
    /// The recording has ended, and its result is pending.
    Ending,
}

impl RunningRecord {
    /// Starts the tone, or the recording itself if no tone is requested.
    pub(super) fn begin(
        now: Duration,
        step: RecordStep,
        after: VerbAction,
        (keys, max_length, beep): (String, Duration, bool),
        steps: &mut StepQueue,
    ) -> RunningRecord {
        let (id, stage) = (step.id, RecordStage::Beep(Box::new(step)));
        let mut recording = RunningRecord { id, after, keys, max_length, stage, key: None };
        if beep {
            steps.push(ProgramStep::Beep { id });
        } else {
            recording.open(now, steps);
        }
        recording
    }

    /// Starts the recording at the end of the tone; no effect if it has already started.
    pub(super) fn open(&mut self, now: Duration, steps: &mut StepQueue) {
        let open = RecordStage::Open { until: now.saturating_add(self.max_length) };
        match std::mem::replace(&mut self.stage, open) {
            RecordStage::Beep(step) => steps.push(ProgramStep::Record(*step)),
            other @ (RecordStage::Open { .. } | RecordStage::Ending) => self.stage = other,
        }
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        match self.stage {
            RecordStage::Open { until } => Some(until),
            RecordStage::Beep(_) | RecordStage::Ending => None,
        }
    }

    /// Ends the recording if the caller's digit is one of `keys`.
    pub(super) fn digit(&mut self, digit: char, steps: &mut StepQueue) {
        if matches!(self.stage, RecordStage::Open { .. }) && self.keys.contains(digit) {
            self.key = Some(digit);
            self.end("a key was pressed", steps);
        }
    }

    /// Ends the recording; the state is then [`RecordStage::Ending`] until the result arrives.
    pub(super) fn end(&mut self, why: &str, steps: &mut StepQueue) {
        if matches!(self.stage, RecordStage::Open { .. }) {
            self.stage = RecordStage::Ending;
            steps.trace(self.after.line, "Record", TraceNote::Result(why.to_owned()));
            steps.push(ProgramStep::StopRecord { id: self.id });
        }
    }

    /// Ends the tone or the recording without waiting for a result.
    pub(super) fn abandon(self, steps: &mut StepQueue) {
        let id = self.id;
        match self.stage {
            RecordStage::Beep(_) => steps.push(ProgramStep::StopPlaying { id }),
            RecordStage::Open { .. } => steps.push(ProgramStep::StopRecord { id }),
            RecordStage::Ending => {}
        }
    }

    /// Returns whether the recording has started.
    pub(super) fn has_begun(&self) -> bool {
        !matches!(self.stage, RecordStage::Beep(_))
    }

    /// Returns the parameters that the action of a Record receives: URL, sid, duration and digits.
    pub(super) fn parameters(&self, result: RecordResult) -> Vec<RequestParameter> {
        let mut parameters = vec![
            RequestParameter::new("RecordingUrl", result.url),
            RequestParameter::new("RecordingSid", result.sid),
            RequestParameter::new("RecordingDuration", result.seconds.to_string()),
        ];
        parameters.extend(self.key.map(|key| RequestParameter::new("Digits", String::from(key))));
        parameters
    }
}
