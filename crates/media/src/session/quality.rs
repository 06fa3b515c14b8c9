//! Quality estimates and loss counts of an end's received stream, updated by sweeps.

use std::time::Instant;

use crate::counters::{EndCounters, WorkerCounters};
use crate::limits::{QUALITY_INTERVAL, SWEEP_INTERVAL};
use crate::mos::{self, MosCodec};
use crate::rtp::ReceptionTracker;

/// Quality and loss of an end as of its last sweeps.
#[derive(Debug)]
pub(super) struct QualityHistory {
    /// Time of the last estimate; `expected` and `lost` are the packets expected and lost until then.
    estimated: Instant,
    expected: u64,
    lost: u64,
    /// Packets missing as of the last sweep. `lost_counted` packets are in the worker's loss counter: those that were
    /// missing for a whole sweep interval, since a late packet is not lost.
    lost_before: u64,
    lost_counted: u64,
}

impl QualityHistory {
    /// Creates the state; the first interval of an estimate begins at `now`.
    pub(super) fn new(now: Instant) -> QualityHistory {
        QualityHistory { estimated: now, expected: 0, lost: 0, lost_before: 0, lost_counted: 0 }
    }

    /// Estimates the quality of the stream received since the last estimate and adds it to the scores, once per
    /// [`QUALITY_INTERVAL`].
    pub(super) fn estimate(
        &mut self,
        now: Instant,
        reception: &ReceptionTracker,
        codec: Option<MosCodec>,
        counters: &EndCounters,
    ) {
        // A sweep is never early, but the previous one may have been late.
        if now.saturating_duration_since(self.estimated) + SWEEP_INTERVAL / 2 < QUALITY_INTERVAL {
            return;
        }
        let (expected_before, lost_before) = (self.expected, self.lost);
        (self.estimated, self.expected, self.lost) = (now, reception.expected(), reception.lost());
        let (expected, lost) = (self.expected.saturating_sub(expected_before), self.lost.saturating_sub(lost_before));
        if let Some(codec) = codec.filter(|_| expected > 0) {
            let delay = mos::delay_ms(reception.jitter_us(), counters.rtt_us.get());
            counters.scores.take(mos::mos(codec, lost as f64 / expected as f64, delay));
        }
    }

    /// Adds packets that were already missing at the previous sweep to the worker's losses. Returns whether more
    /// packets are missing than at that sweep.
    pub(super) fn count_lost(&mut self, reception: &ReceptionTracker, worker: Option<&WorkerCounters>) -> bool {
        let is_lossy = reception.lost() > self.lost_before;
        let lost = reception.lost().min(self.lost_before);
        self.lost_before = reception.lost();
        if let Some(worker) = worker.filter(|_| lost > self.lost_counted) {
            worker.lost.add(lost - self.lost_counted);
            self.lost_counted = lost;
        }
        is_lossy
    }

    /// Adds packets that are still missing to the worker's losses, because the end is being removed.
    pub(super) fn count_rest(&self, reception: &ReceptionTracker, worker: Option<&WorkerCounters>) {
        if let Some(worker) = worker {
            worker.lost.add(reception.lost().saturating_sub(self.lost_counted));
        }
    }
}
