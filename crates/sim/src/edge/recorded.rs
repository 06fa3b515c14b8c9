//! Checks of recorded audio as it arrives: blocks are contiguous, none is missing at the end, and the length matches
//! the elapsed time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use trunkgate_media::{Recorded, RecordingId, RecordingPause};

/// Frames that may be missing at the end of a recording, because the last packets are still in the jitter buffer.
const FRAMES_BEHIND: u64 = 6;
/// Frames by which a recording may be longer than expected: packets arrive up to 100 ms early.
const FRAMES_AHEAD: u64 = 5;

/// State of one recording in progress.
#[derive(Debug)]
struct SimRecording {
    began: Instant,
    frames: u64,
    /// Whether a pause was cut out; if so, the length does not match the elapsed time.
    is_cut: bool,
}

/// Checks of all recordings of an edge.
#[derive(Debug, Default)]
pub(crate) struct SimRecordings {
    open: BTreeMap<RecordingId, SimRecording>,
    /// Recordings that have ended, each with its number of frames.
    pub(crate) finished: VecDeque<(RecordingId, u64)>,
    /// First fault found in a recording.
    pub(crate) fault: Option<String>,
}

impl SimRecordings {
    /// Begins the check of a recording.
    pub(crate) fn begin(&mut self, now: Instant, id: RecordingId) {
        self.open.insert(id, SimRecording { began: now, frames: 0, is_cut: false });
    }

    /// Notes that a recording is paused or resumed.
    pub(crate) fn pause(&mut self, id: RecordingId, pause: Option<RecordingPause>) {
        if let Some(recording) = self.open.get_mut(&id) {
            recording.is_cut |= pause == Some(RecordingPause::Cut);
        }
    }

    /// Checks a block of audio, or the end, that a session delivers.
    pub(crate) fn take(&mut self, now: Instant, id: RecordingId, piece: Recorded<'_>) {
        let Some(recording) = self.open.get_mut(&id) else { return self.fail(id, "is not begun, or has ended") };
        match piece {
            Recorded::Audio { first, samples } => {
                let frames = (samples.len() / 320) as u64;
                let follows = first == recording.frames && samples.len().is_multiple_of(320) && frames > 0;
                recording.frames += frames;
                if !follows {
                    self.fail(id, "has a block that does not follow the last one");
                }
            }
            Recorded::End { frames, .. } => {
                let took = (now.saturating_duration_since(recording.began).as_millis() / 20) as u64;
                let is_whole = recording.frames == frames;
                let is_long = frames <= took + FRAMES_AHEAD && (recording.is_cut || frames + FRAMES_BEHIND >= took);
                self.open.remove(&id);
                self.finished.push_back((id, frames));
                if !is_whole || !is_long {
                    self.fail(id, &format!("has {frames} frames after the time of {took}"));
                }
            }
        }
    }

    /// Forgets all recordings in progress: a restart interrupts them.
    pub(crate) fn forget(&mut self) {
        self.open.clear();
    }

    /// Returns the number of recordings in progress.
    pub(crate) fn open(&self) -> usize {
        self.open.len()
    }

    fn fail(&mut self, id: RecordingId, what: &str) {
        self.fault.get_or_insert_with(|| format!("recording {} {what}", id.0));
    }
}
