//! Counters that a session shares with its worker and with the whole edge.

use std::sync::Arc;

use super::counter::{Counter, count_packet};
use super::drop_reason::DropReason;
use super::end::EndCounters;
use super::worker::WorkerCounters;

/// Counters that ends and agents share with the rest of their worker and edge.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedCounters {
    /// Counters of the worker.
    pub(crate) worker: Option<Arc<WorkerCounters>>,
    /// Audio held for callers in the whole edge, in bytes.
    pub(crate) held: Arc<Counter>,
}

impl SharedCounters {
    /// Counts a packet received from the remote party of an RTP end.
    pub(crate) fn count_received(&self, end: &EndCounters, bytes: usize) {
        end.received(bytes);
        if let Some(worker) = &self.worker {
            count_packet(&worker.rx_packets, &worker.rx_bytes, bytes);
        }
    }

    /// Counts a packet sent to the remote party of an RTP end.
    pub(crate) fn count_sent(&self, end: &EndCounters, bytes: usize) {
        end.sent(bytes);
        if let Some(worker) = &self.worker {
            count_packet(&worker.tx_packets, &worker.tx_bytes, bytes);
        }
    }

    /// Counts a packet dropped at an RTP end.
    pub(crate) fn count_dropped(&self, end: &EndCounters, reason: DropReason) {
        end.dropped.add(reason, 1);
        if let Some(worker) = &self.worker {
            reason.count_in(&worker.dropped);
        }
    }
}
