//! What sessions hand over of recordings, judged as it comes: blocks follow each other, nothing is missing at the end, and a recording is as
//! long as it took.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use trunkgate_media::{Recorded, RecordingId, RecordingPause};

/// Frames that may be missing at the end of a recording: what the last packets' gaps keep back.
const FRAMES_BEHIND: u64 = 6;
/// Frames by which one may be longer: packets that come before their time, by 100 ms at most.
const FRAMES_AHEAD: u64 = 5;

/// One recording.
#[derive(Debug)]
struct Recording {
    began: Instant,
    frames: u64,
    /// Whether a pause was cut out of it.
    is_cut: bool,
}

/// The recordings of an edge.
#[derive(Debug, Default)]
pub(crate) struct Recordings {
    open: BTreeMap<RecordingId, Recording>,
    /// Those that have ended, with their frames.
    pub(crate) finished: VecDeque<(RecordingId, u64)>,
    /// The first thing that was wrong.
    pub(crate) fault: Option<String>,
}

impl Recordings {
    /// A recording begins.
    pub(crate) fn begin(&mut self, now: Instant, id: RecordingId) {
        self.open.insert(id, Recording { began: now, frames: 0, is_cut: false });
    }

    /// A recording pauses, or goes on.
    pub(crate) fn pause(&mut self, id: RecordingId, pause: Option<RecordingPause>) {
        if let Some(recording) = self.open.get_mut(&id) {
            recording.is_cut |= pause == Some(RecordingPause::Cut);
        }
    }

    /// Takes what a session hands over.
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

    /// The process is another one: what was recorded is cut off.
    pub(crate) fn forget(&mut self) {
        self.open.clear();
    }

    /// Returns how many have not ended.
    pub(crate) fn open(&self) -> usize {
        self.open.len()
    }

    fn fail(&mut self, id: RecordingId, what: &str) {
        self.fault.get_or_insert_with(|| format!("recording {} {what}", id.0));
    }
}
