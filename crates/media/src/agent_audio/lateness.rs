//! Detection and removal of delay that late audio of an agent has left in its queue.
//!
//! If an agent that sends in real time is late once, a tick has no audio; the agent then catches up, and all later
//! audio waits for that much longer. The delay is removed frame by frame, in quiet moments, once the queue has not
//! needed it for a while.
//!
//! Only such delay is removed. Audio sent ahead of time waits because the agent wants it to: it counts as late only to
//! the extent of ticks without audio, and never if the agent gets ahead of its own pace.

use crate::limits::{
    LATE_CAUGHT_UP_MS, LATE_MOST_MS, LATE_PACE_AHEAD_MS, LATE_REMOVED_EVERY_MS, LATE_SPARE_MS, LATE_UNUSED_MS,
};

/// Duration of a tick, in milliseconds.
const TICK_MS: i64 = 20;

/// Divisor of the loudest recent level: a frame at least 20 dB below that level is a quiet moment in speech.
const QUIET_FALL: u16 = 10;
/// Mean level up to which a frame is quiet in any case: −48 dB.
const QUIET_LEVEL: u16 = 130;
/// Divisor by which the loudest level decays per tick: to 37 % in about 5 s.
const LOUDEST_DECAY: u16 = 256;

/// Compares an agent's audio with the agent's own pace, to find delay that late audio has left in the queue.
#[derive(Debug)]
pub(super) struct LatenessTracker {
    bytes_per_ms: i64,
    /// Whether the agent's pace is known; if not, the next audio that arrives sets it.
    is_paced: bool,
    /// Audio due by the agent's own pace minus audio received, in bytes.
    owed: i64,
    /// Ticks without audio that the agent has not made up for yet.
    missed: u32,
    /// Time since the first tick counted in `missed`, in milliseconds.
    missed_for_ms: i64,
    /// Ticks without audio that the agent has made up for, minus the frames removed since.
    late: u32,
    /// Minimum queue length in the current observation (`looked_ms` long), in milliseconds.
    least_ms: u64,
    looked_ms: i64,
    /// Frames of delay that may be removed in quiet moments.
    removable: u32,
    since_removal_ms: i64,
    loudest: u16,
}

impl LatenessTracker {
    /// Creates a tracker for audio with `bytes_per_ms` bytes per millisecond.
    pub(super) fn new(bytes_per_ms: usize) -> LatenessTracker {
        LatenessTracker {
            bytes_per_ms: i64::try_from(bytes_per_ms).unwrap_or(1),
            is_paced: false,
            owed: 0,
            missed: 0,
            missed_for_ms: 0,
            late: 0,
            least_ms: 0,
            looked_ms: 0,
            removable: 0,
            since_removal_ms: 0,
            loudest: 0,
        }
    }

    /// Counts `bytes` of audio received from the agent.
    pub(super) fn note_arrival(&mut self, bytes: usize) {
        self.is_paced = true;
        self.owed = self.owed.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Resets pace and delay. Call it when the queue is empty.
    pub(super) fn reset(&mut self) {
        (self.is_paced, self.owed) = (false, 0);
        (self.missed, self.missed_for_ms) = (0, 0);
        (self.late, self.removable, self.looked_ms) = (0, 0, 0);
    }

    /// Adds a tick with audio of mean level `level` and `waiting_ms` of audio queued behind it. Returns the number of
    /// ticks without audio that the agent has now made up for.
    pub(super) fn note_frame(&mut self, level: u16, waiting_ms: u64) -> u32 {
        self.loudest = level.max(self.loudest - self.loudest / LOUDEST_DECAY);
        if !self.is_paced {
            return 0;
        }
        self.owed += TICK_MS * self.bytes_per_ms;
        self.since_removal_ms = self.since_removal_ms.saturating_add(TICK_MS);
        let late = self.judge_pace();
        self.detect_delay(waiting_ms);
        late
    }

    /// Counts a tick in which no audio was queued.
    pub(super) fn note_missed(&mut self) {
        if !self.is_paced {
            return;
        }
        self.owed += TICK_MS * self.bytes_per_ms;
        self.missed += 1;
        (self.removable, self.looked_ms) = (0, 0);
        self.wait_for_missed();
    }

    /// Returns whether a frame may be removed now if it is quiet.
    pub(super) fn is_due(&self) -> bool {
        self.removable > 0 && self.since_removal_ms >= LATE_REMOVED_EVERY_MS
    }

    /// Returns whether this mean level is quiet: [`QUIET_LEVEL`] or less, or 20 dB below the loudest recent frame.
    pub(super) fn is_quiet(&self, level: u16) -> bool {
        level <= (self.loudest / QUIET_FALL).max(QUIET_LEVEL)
    }

    /// Counts a frame that was removed to shorten the queue.
    pub(super) fn note_removal(&mut self) {
        self.removable = self.removable.saturating_sub(1);
        self.late = self.late.saturating_sub(1);
        self.since_removal_ms = 0;
    }

    /// Compares the received audio with the agent's pace; returns the number of missed ticks that the agent has made up
    /// for, and counts them as delay. An agent that is ahead of its pace gets a new reference.
    fn judge_pace(&mut self) -> u32 {
        let owed_ms = self.owed / self.bytes_per_ms;
        if owed_ms < -LATE_PACE_AHEAD_MS {
            // The current pace becomes the reference.
            (self.owed, self.missed, self.missed_for_ms) = (0, 0, 0);
            (self.late, self.removable) = (0, 0);
        }
        if owed_ms > LATE_CAUGHT_UP_MS {
            self.wait_for_missed();
            return 0;
        }
        let made_up = std::mem::take(&mut self.missed);
        self.missed_for_ms = 0;
        self.late = self.late.saturating_add(made_up);
        made_up
    }

    /// Resets pace and delay once missed ticks have not been made up for within [`LATE_MOST_MS`]: the agent paused.
    fn wait_for_missed(&mut self) {
        if self.missed > 0 {
            self.missed_for_ms += TICK_MS;
        }
        if self.missed_for_ms > LATE_MOST_MS {
            self.reset();
        }
    }

    /// Sets the number of removable frames once the queue has not needed them for [`LATE_UNUSED_MS`].
    fn detect_delay(&mut self, waiting_ms: u64) {
        self.least_ms = if self.looked_ms == 0 { waiting_ms } else { self.least_ms.min(waiting_ms) };
        self.looked_ms += TICK_MS;
        if self.looked_ms >= LATE_UNUSED_MS {
            self.looked_ms = 0;
            let unused = self.least_ms.saturating_sub(LATE_SPARE_MS) / TICK_MS.unsigned_abs();
            self.removable = self.late.min(u32::try_from(unused).unwrap_or(u32::MAX));
        }
    }
}
