//! Verdicts, as Twilio names them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The kind of party that has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnsweredBy {
    /// A human.
    Human,
    /// A machine, whose message has begun.
    MachineStart,
    /// A machine, whose message has ended with a beep.
    MachineEndBeep,
    /// A machine, whose message has ended with silence.
    MachineEndSilence,
    /// A machine whose message has not ended in time.
    MachineEndOther,
    /// A fax machine.
    Fax,
    /// Neither: nothing that can be judged was heard in time.
    Unknown,
}

/// A verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The kind of party.
    pub answered_by: AnsweredBy,
    /// Time that the detection has taken.
    pub duration: Duration,
}

impl AnsweredBy {
    /// All of them.
    pub const ALL: [AnsweredBy; 7] = [
        AnsweredBy::Human,
        AnsweredBy::MachineStart,
        AnsweredBy::MachineEndBeep,
        AnsweredBy::MachineEndSilence,
        AnsweredBy::MachineEndOther,
        AnsweredBy::Fax,
        AnsweredBy::Unknown,
    ];

    /// Returns its name.
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

    /// Returns whether it is an answering machine.
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
