//! Recordings of calls: those that are being made, and what is known of each until its file is complete.
//!
//! Signalling begins and ends them, media sessions hear the audio, and a writer of the shell's has the files. A recording outlives its call
//! by the time that its file needs.

use std::collections::HashMap;
use std::time::SystemTime;

use trunkgate_media::agent::TrackSet;
use trunkgate_media::{Channels, RecordingId};

/// What a recording was begun by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordingSource {
    /// `record` of a route.
    Route,
    /// A request over HTTP.
    Request,
}

impl RecordingSource {
    /// Returns its stable name: as Twilio's API has it in `source`.
    pub const fn as_str(self) -> &'static str {
        match self {
            RecordingSource::Route => "Trunking",
            RecordingSource::Request => "StartCallRecordingAPI",
        }
    }
}

/// A recording that is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordingRequest {
    /// What it was begun by.
    pub source: RecordingSource,
    /// The channels of the file.
    pub channels: Channels,
    /// Directions that are recorded; the other one is silence.
    pub tracks: TrackSet,
}

/// A recording that has begun: its file is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingBegun {
    /// The number that its audio has.
    pub id: RecordingId,
    /// `RE` + 32 hex.
    pub sid: String,
    /// SID of its call.
    pub call: String,
    /// What it was begun by.
    pub source: RecordingSource,
    /// The channels of the file.
    pub channels: Channels,
    /// When it began.
    pub began: SystemTime,
}

/// A recording whose file is complete, or will not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingDone {
    /// The number that its audio had.
    pub id: RecordingId,
    /// Length of the file, in milliseconds.
    pub milliseconds: u64,
    /// Audio that was lost between the call and the disk, in milliseconds.
    pub lost_ms: u64,
    /// Why there is no file, or why it ends before its time.
    pub error: Option<String>,
}

/// The recordings of an edge.
#[derive(Debug, Default)]
pub struct Recordings {
    /// Whether there is a writer.
    is_on: bool,
    /// Whether calls that are to be recorded are refused, because the writer cannot write.
    refuses: bool,
    next: u64,
    /// Those whose files are not complete: SID of the recording, SID of the call.
    open: HashMap<RecordingId, (String, String)>,
}

impl Recordings {
    /// Sets whether there is a writer.
    pub(crate) fn configure(&mut self, is_on: bool) {
        self.is_on = is_on;
    }

    /// Returns whether there is a writer.
    pub fn is_on(&self) -> bool {
        self.is_on
    }

    /// Sets whether calls that are to be recorded are refused.
    pub fn refuse(&mut self, refuses: bool) {
        self.refuses = refuses;
    }

    /// Returns whether a call that is to be recorded is refused.
    pub fn refuses(&self) -> bool {
        self.is_on && self.refuses
    }

    /// Enters a recording, and returns its number.
    pub(crate) fn begin(&mut self, sid: &str, call: &str) -> RecordingId {
        self.next += 1;
        let id = RecordingId(self.next);
        self.open.insert(id, (sid.to_owned(), call.to_owned()));
        id
    }

    /// Takes a recording out whose file is complete: its SID, and that of its call.
    pub(crate) fn done(&mut self, id: RecordingId) -> Option<(String, String)> {
        self.open.remove(&id)
    }

    /// Returns how many files are not complete.
    pub fn open(&self) -> usize {
        self.open.len()
    }
}
