//! Verdicts, as Twilio names them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Kind of callee that has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnsweredBy {
    /// A human has answered.
    Human,
    /// A machine has answered; reported at the beginning of its message.
    MachineStart,
    /// A machine has answered, and its message ended with a beep.
    MachineEndBeep,
    /// A machine has answered, and its message ended with silence.
    MachineEndSilence,
    /// A machine has answered, and its message did not end before the timeout.
    MachineEndOther,
    /// A fax machine has answered.
    Fax,
    /// The party did not speak, or neither its speech nor its silence decided before the timeout.
    Unknown,
}

/// Verdict of answering machine detection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetectionVerdict {
    /// Kind of callee that has answered.
    pub answered_by: AnsweredBy,
    /// Time from the start of the detection to the verdict.
    pub duration: Duration,
}

impl AnsweredBy {
    /// All kinds of callees.
    pub const ALL: [AnsweredBy; 7] = [
        AnsweredBy::Human,
        AnsweredBy::MachineStart,
        AnsweredBy::MachineEndBeep,
        AnsweredBy::MachineEndSilence,
        AnsweredBy::MachineEndOther,
        AnsweredBy::Fax,
        AnsweredBy::Unknown,
    ];

    /// Returns Twilio's name of the kind, the value of `AnsweredBy`.
    pub const fn name(self) -> &'static str {
        match self {
            AnsweredBy::Human => "human",
            AnsweredBy::MachineStart => "machine_start",
            AnsweredBy::MachineEndBeep => "machine_end_beep",
            AnsweredBy::MachineEndSilence => "machine_end_silence",
            AnsweredBy::MachineEndOther => "machine_end_other",
            AnsweredBy::Fax => "fax",
            AnsweredBy::Unknown => "unknown",
        }
    }

    /// Returns whether the party is an answering machine.
    pub const fn is_machine(self) -> bool {
        match self {
            AnsweredBy::MachineStart
            | AnsweredBy::MachineEndBeep
            | AnsweredBy::MachineEndSilence
            | AnsweredBy::MachineEndOther => true,
            AnsweredBy::Human | AnsweredBy::Fax | AnsweredBy::Unknown => false,
        }
    }
}
