//! Lost packets: one here and there, which is hardly heard, or many in a row, which is. A packet that comes late
//! mends the gap that it was missing in.

use crate::counters::{LOSS_RUNS, LossRuns};

/// Gaps in one end's sequence numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gaps {
    /// The newest numbers, the highest at bit 0: whether each has come. More than those that may come late
    /// ([`MAX_MISORDER_PACKETS`](crate::limits::MAX_MISORDER_PACKETS)) by more than ten, so that a run that begins
    /// before them is known to be a long one.
    seen: u128,
    runs: LossRuns,
    changed: bool,
}

impl Default for Gaps {
    fn default() -> Gaps {
        Gaps { seen: u128::MAX, runs: LossRuns::default(), changed: false }
    }
}

impl Gaps {
    /// Begins with runs already known.
    pub(crate) fn with(runs: LossRuns) -> Gaps {
        Gaps { runs, ..Gaps::default() }
    }

    /// A source begins: what came before is out of reach.
    pub(crate) fn begin(&mut self) {
        self.seen = u128::MAX;
    }

    /// A packet so far ahead of the highest, from 1 on.
    #[inline]
    pub(crate) fn ahead(&mut self, by: u16) {
        self.seen = self.seen.checked_shl(u32::from(by)).unwrap_or_default() | 1;
        if by > 1 {
            self.count(u32::from(by) - 1, true);
        }
    }

    /// A packet so far behind the highest.
    pub(crate) fn behind(&mut self, by: u16) {
        let Some(bit) = 1u128.checked_shl(u32::from(by)).filter(|bit| self.seen & bit == 0) else { return };
        // Those that are missing around it: before it, which are older and above its bit, and after it.
        let older = (self.seen >> by >> 1).trailing_zeros().min(127 - u32::from(by));
        let newer = (self.seen << (127 - u32::from(by)) << 1).leading_zeros().min(u32::from(by));
        self.seen |= bit;
        self.count(older + 1 + newer, false);
        self.count(older, true);
        self.count(newer, true);
    }

    /// Counts a run of so many in, or out.
    fn count(&mut self, length: u32, more: bool) {
        let Some(at) = length.checked_sub(1) else { return };
        let at = usize::try_from(at).unwrap_or(usize::MAX).min(LOSS_RUNS - 1);
        if let Some(run) = self.runs.get_mut(at) {
            *run = if more { run.saturating_add(1) } else { run.saturating_sub(1) };
            self.changed = true;
        }
    }

    /// Returns how often so many were lost in a row.
    pub(crate) fn runs(&self) -> LossRuns {
        self.runs
    }

    /// Returns these runs, where they have changed since they were asked for.
    #[inline]
    pub(crate) fn changed(&mut self) -> Option<&LossRuns> {
        std::mem::take(&mut self.changed).then_some(&self.runs)
    }
}
