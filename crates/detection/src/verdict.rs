//! Verdicts, as Twilio names them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Kind of party that has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnsweredBy {
    /// Human.
    Human,
    /// Machine at the beginning of its message.
    MachineStart,
    /// Machine after its message ended with a beep.
    MachineEndBeep,
    /// Machine after its message ended with silence.
    MachineEndSilence,
    /// Machine with a message that did not end in time.
    MachineEndOther,
    /// Fax machine.
    Fax,
    /// Unknown, because no audio could be evaluated in time.
    Unknown,
}

/// Verdict of a detection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetectionVerdict {
    /// Kind of party.
    pub answered_by: AnsweredBy,
    /// Duration of the detection.
    pub duration: Duration,
}

impl AnsweredBy {
    /// All kinds.
    pub const ALL: [AnsweredBy; 7] = [
        AnsweredBy::Human,
        AnsweredBy::MachineStart,
        AnsweredBy::MachineEndBeep,
        AnsweredBy::MachineEndSilence,
        AnsweredBy::MachineEndOther,
        AnsweredBy::Fax,
        AnsweredBy::Unknown,
    ];

    /// Returns Twilio's name.
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
