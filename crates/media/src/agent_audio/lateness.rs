//! Delay that late audio of an agent has left in its queue, and when a frame of it may be removed.
//!
//! An agent that sends in real time and is late once leaves a tick without audio; what it sends then makes up for that, and all
//! that follows waits so much longer. The delay is removed a frame at a time, in quiet moments, once the queue has had no use for it
//! for a while.
//!
//! Only such delay is removed. Audio that an agent sends ahead of time waits because the agent wants it to: it counts as late
//! only as far as ticks had to do without it, and where the agent gets ahead of its own pace nothing does.

use crate::limits::{
    LATE_CAUGHT_UP_MS, LATE_MOST_MS, LATE_PACE_AHEAD_MS, LATE_REMOVED_EVERY_MS, LATE_SPARE_MS, LATE_UNUSED_MS,
};

/// Milliseconds of a tick.
const TICK_MS: i64 = 20;

/// A fall of the level by so much is a quiet moment in speech: 20 dB.
const QUIET_FALL: u16 = 10;
/// Below this level nothing is speech: −48 dB.
const QUIET_LEVEL: u16 = 130;
/// The loudest level is forgotten by this part of it a tick: in some 5 s.
const LOUDEST_DECAY: u16 = 256;

/// The pace of an agent's audio.
#[derive(Debug)]
pub(super) struct Lateness {
    bytes_per_ms: i64,
    /// Whether the pace is known; where not, the next audio that comes sets it.
    is_paced: bool,
    /// Audio that should have come by the agent's own pace, less what came, in bytes.
    owed: i64,
    /// Ticks without audio that the agent has not made up for yet.
    missed: u32,
    /// Ticks since the first of them.
    missed_for_ms: i64,
    /// Ticks without audio that it has made up for: frames that wait for no other reason.
    late: u32,
    /// The least that waited at a tick of the present look, and how long that has lasted.
    least_ms: u64,
    looked_ms: i64,
    /// Frames that may be removed.
    removable: u32,
    since_removal_ms: i64,
    loudest: u16,
}

impl Lateness {
    /// Knows nothing yet of audio with so many bytes in a millisecond.
    pub(super) fn new(bytes_per_ms: usize) -> Lateness {
        Lateness {
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

    /// Notes audio that has come, in bytes.
    pub(super) fn came(&mut self, bytes: usize) {
        self.is_paced = true;
        self.owed = self.owed.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Forgets the pace and what was late: nothing waits.
    pub(super) fn reset(&mut self) {
        (self.is_paced, self.owed) = (false, 0);
        (self.missed, self.missed_for_ms) = (0, 0);
        (self.late, self.removable, self.looked_ms) = (0, 0, 0);
    }

    /// Notes a tick for which there was audio, with the level of that and how much waits behind it; returns how many frames
    /// before it have been late.
    pub(super) fn heard(&mut self, level: u16, waiting_ms: u64) -> u32 {
        self.loudest = level.max(self.loudest - self.loudest / LOUDEST_DECAY);
        if !self.is_paced {
            return 0;
        }
        self.owed += TICK_MS * self.bytes_per_ms;
        self.since_removal_ms = self.since_removal_ms.saturating_add(TICK_MS);
        let late = self.judge_pace();
        self.look(waiting_ms);
        late
    }

    /// Notes a tick for which there was none.
    pub(super) fn missed(&mut self) {
        if !self.is_paced {
            return;
        }
        self.owed += TICK_MS * self.bytes_per_ms;
        self.missed += 1;
        (self.removable, self.looked_ms) = (0, 0);
        self.wait_for_missed();
    }

    /// Reports whether a frame may be removed now if it is quiet.
    pub(super) fn is_due(&self) -> bool {
        self.removable > 0 && self.since_removal_ms >= LATE_REMOVED_EVERY_MS
    }

    /// Reports whether a frame of this level is a quiet moment.
    pub(super) fn is_quiet(&self, level: u16) -> bool {
        level <= (self.loudest / QUIET_FALL).max(QUIET_LEVEL)
    }

    /// Notes that a frame was removed.
    pub(super) fn removed(&mut self) {
        self.removable = self.removable.saturating_sub(1);
        self.late = self.late.saturating_sub(1);
        self.since_removal_ms = 0;
    }

    /// Compares what has come with the agent's pace; returns how many ticks it has made up for.
    fn judge_pace(&mut self) -> u32 {
        let owed_ms = self.owed / self.bytes_per_ms;
        if owed_ms < -LATE_PACE_AHEAD_MS {
            // Its pace is this one from now on.
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

    /// Gives up what the agent does not make up for: it has made a pause, at which its queue was empty.
    fn wait_for_missed(&mut self) {
        if self.missed > 0 {
            self.missed_for_ms += TICK_MS;
        }
        if self.missed_for_ms > LATE_MOST_MS {
            self.reset();
        }
    }

    /// Looks for delay that was of no use.
    fn look(&mut self, waiting_ms: u64) {
        self.least_ms = if self.looked_ms == 0 { waiting_ms } else { self.least_ms.min(waiting_ms) };
        self.looked_ms += TICK_MS;
        if self.looked_ms >= LATE_UNUSED_MS {
            self.looked_ms = 0;
            let unused = self.least_ms.saturating_sub(LATE_SPARE_MS) / TICK_MS.unsigned_abs();
            self.removable = self.late.min(u32::try_from(unused).unwrap_or(u32::MAX));
        }
    }
}
