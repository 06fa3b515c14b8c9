//! Interface between signalling and the recording writer.

use trunkgate_call::{Input, Losses, RecordingBegun, RecordingDone};

use trunkgate_delivery::sinks::recordings::{Begin, Recordings};

/// Recording writer with the state known to the gateway.
#[derive(Debug)]
pub struct RecordingDesk {
    recordings: Recordings,
    /// True if the gateway knows that calls to be recorded are rejected.
    refuses: bool,
    /// True if the gateway knows that recordings cannot be written.
    fails: bool,
}

impl RecordingDesk {
    /// Creates the interface for a writer that accepts recordings.
    pub fn new(recordings: Recordings) -> RecordingDesk {
        RecordingDesk { recordings, refuses: false, fails: false }
    }

    /// Starts the file of a recording; returns the gateway's input about a failure.
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

    /// Returns an input for the gateway if the writability of recordings, or the acceptance of calls to be recorded,
    /// has changed.
    pub(crate) fn news(&mut self) -> Option<Input> {
        let fails = self.recordings.is_failing();
        if std::mem::replace(&mut self.fails, fails) != fails {
            return Some(Input::RecordingsFail(fails));
        }
        let refuses = !self.recordings.takes_calls();
        (std::mem::replace(&mut self.refuses, refuses) != refuses).then_some(Input::RecordingsRefused(refuses))
    }
}
