//! Interface between signalling and the recording writer.

use std::time::Duration;

use trunkgate_call::{GatewayInput, RecordingBegun, RecordingDone, RecordingLosses};
use trunkgate_delivery::sinks::recordings::{NewRecording, RecordingsHandle};
use trunkgate_media::RecordingId;

/// Handle to the recording writer, with the state last reported to the gateway.
#[derive(Debug)]
pub struct RecordingInterface {
    recordings: RecordingsHandle,
    /// True if the gateway was last notified that calls to be recorded are rejected.
    refuses: bool,
    /// True if the gateway was last notified that recordings cannot be written.
    fails: bool,
}

impl RecordingInterface {
    /// Creates the interface for a writer that accepts recordings.
    pub fn new(recordings: RecordingsHandle) -> RecordingInterface {
        RecordingInterface { recordings, refuses: false, fails: false }
    }

    /// Starts the file of a recording; returns the input that notifies the gateway of a failure, if there is one.
    pub(crate) fn begin(&self, begun: RecordingBegun) -> Option<GatewayInput> {
        let id = begun.id;
        let error = self.recordings.begin(NewRecording::from(begun)).err()?.to_string();
        Some(GatewayInput::Recorded(Box::new(RecordingDone {
            id,
            milliseconds: 0,
            lost: RecordingLosses::default(),
            error: Some(error),
        })))
    }

    /// Counts the audio that these recordings lack, because the process did not run for this long.
    pub(crate) fn note_stop(&self, running: Vec<RecordingId>, pause: Duration) {
        self.recordings.note_stop(running, pause);
    }

    /// Returns the input that notifies the gateway of a change since the last call of this method: recordings can or
    /// cannot be written, or calls to be recorded are refused or accepted. `None` without a change.
    pub(crate) fn news(&mut self) -> Option<GatewayInput> {
        let fails = self.recordings.is_failing();
        if std::mem::replace(&mut self.fails, fails) != fails {
            return Some(GatewayInput::RecordingsFail(fails));
        }
        let refuses = !self.recordings.takes_calls();
        (std::mem::replace(&mut self.refuses, refuses) != refuses).then_some(GatewayInput::RecordingsRefused(refuses))
    }
}
