//! Where signalling hands recordings over, and what it learns of their writer.

use trunkgate_call::{Input, Losses, RecordingBegun, RecordingDone};

use trunkgate_delivery::sinks::recordings::{Begin, Recordings};

/// The writer of recordings, as signalling sees it.
#[derive(Debug)]
pub struct RecordingDesk {
    recordings: Recordings,
    /// Whether the gateway knows that calls to be recorded are refused.
    refuses: bool,
    /// Whether the gateway knows that recordings cannot be written.
    fails: bool,
}

impl RecordingDesk {
    /// Creates the desk of a writer that takes calls.
    pub fn new(recordings: Recordings) -> RecordingDesk {
        RecordingDesk { recordings, refuses: false, fails: false }
    }

    /// Has the file of a recording made; where it is not, the gateway's input about that is returned.
    pub(crate) fn begin(&self, begun: RecordingBegun) -> Option<Input> {
        let id = begun.id;
        let error = self.recordings.begin(Begin::from(begun)).err()?.to_string();
        Some(Input::Recorded(Box::new(RecordingDone {
            id,
            milliseconds: 0,
            lost: Losses::default(),
            error: Some(error),
        })))
    }

    /// Returns the gateway's next input where recordings cannot be written from now on, or can be again, or calls to be recorded are
    /// refused or accepted again.
    pub(crate) fn news(&mut self) -> Option<Input> {
        let fails = self.recordings.is_failing();
        if std::mem::replace(&mut self.fails, fails) != fails {
            return Some(Input::RecordingsFail(fails));
        }
        let refuses = !self.recordings.takes_calls();
        (std::mem::replace(&mut self.refuses, refuses) != refuses).then_some(Input::RecordingsRefused(refuses))
    }
}
