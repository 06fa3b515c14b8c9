//! Run lengths of lost packets: isolated losses are hardly audible, long runs are. A late packet repairs its gap.

use crate::counters::{LOSS_RUNS, LossRuns};

/// Run lengths of the gaps in the sequence numbers of one end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SequenceGaps {
    /// Bit mask of the newest numbers, the highest at bit 0: set for each packet received. It is longer than the
    /// reordering limit ([`MAX_MISORDER_PACKETS`](crate::limits::MAX_MISORDER_PACKETS)) by more than ten, so that a run
    /// that begins before the window is known to be long.
    seen: u128,
    runs: LossRuns,
    changed: bool,
}

impl Default for SequenceGaps {
    fn default() -> SequenceGaps {
        SequenceGaps { seen: u128::MAX, runs: LossRuns::default(), changed: false }
    }
}

impl SequenceGaps {
    /// Creates a tracker with counts that start at `runs`.
    pub(crate) fn with(runs: LossRuns) -> SequenceGaps {
        SequenceGaps { runs, ..SequenceGaps::default() }
    }

    /// Starts a new source; gaps of the previous one can no longer be repaired.
    pub(crate) fn begin(&mut self) {
        self.seen = u128::MAX;
    }

    /// Adds a packet `by` numbers ahead of the highest; `by` is at least 1.
    #[inline]
    pub(crate) fn ahead(&mut self, by: u16) {
        self.seen = self.seen.checked_shl(u32::from(by)).unwrap_or_default() | 1;
        if by > 1 {
            self.count(u32::from(by) - 1, true);
        }
    }

    /// Adds a packet `by` numbers behind the highest, which repairs or splits a gap.
    pub(crate) fn behind(&mut self, by: u16) {
        let Some(bit) = 1u128.checked_shl(u32::from(by)).filter(|bit| self.seen & bit == 0) else { return };
        // Missing neighbours: older ones above its bit, and newer ones below.
        let older = (self.seen >> by >> 1).trailing_zeros().min(127 - u32::from(by));
        let newer = (self.seen << (127 - u32::from(by)) << 1).leading_zeros().min(u32::from(by));
        self.seen |= bit;
        self.count(older + 1 + newer, false);
        self.count(older, true);
        self.count(newer, true);
    }

    /// Adds one to the count of runs of this length, or subtracts one.
    fn count(&mut self, length: u32, more: bool) {
        let Some(at) = length.checked_sub(1) else { return };
        let at = usize::try_from(at).unwrap_or(usize::MAX).min(LOSS_RUNS - 1);
        if let Some(run) = self.runs.get_mut(at) {
            *run = if more { run.saturating_add(1) } else { run.saturating_sub(1) };
            self.changed = true;
        }
    }

    /// Returns the number of runs by length.
    pub(crate) fn runs(&self) -> LossRuns {
        self.runs
    }

    /// Returns the counts of runs by length if they have changed since the last call, otherwise `None`.
    #[inline]
    pub(crate) fn changed(&mut self) -> Option<&LossRuns> {
        std::mem::take(&mut self.changed).then_some(&self.runs)
    }
}
