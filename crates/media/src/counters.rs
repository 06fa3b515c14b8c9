//! Counters that a worker writes and anybody reads: relaxed atomics, never a lock.

use std::sync::atomic::{AtomicU64, Ordering};

/// A counter.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }
    /// Sets, for a gauge.
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }
    /// Subtracts, for a gauge.
    pub fn sub(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }
    /// Reads.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why a packet was dropped: labels of `rtp_dropped_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// From a source that is not expected.
    UnexpectedSource,
    /// Neither RTP nor RTCP.
    NotRtp,
    /// Nothing is connected to the end.
    NoWire,
    /// A payload number that was not agreed.
    UnknownPayload,
    /// The far side has no address yet, or may not receive (hold).
    NoDestination,
    /// The direction agreed says that this side does not send.
    NotSending,
    /// The system refused the send.
    SendFailed,
    /// No free packet buffer.
    NoBuffer,
}

impl DropReason {
    /// Every reason, for metrics and tests.
    pub const ALL: [DropReason; 8] = [
        DropReason::UnexpectedSource,
        DropReason::NotRtp,
        DropReason::NoWire,
        DropReason::UnknownPayload,
        DropReason::NoDestination,
        DropReason::NotSending,
        DropReason::SendFailed,
        DropReason::NoBuffer,
    ];
    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            DropReason::UnexpectedSource => "unexpected_source",
            DropReason::NotRtp => "not_rtp",
            DropReason::NoWire => "no_wire",
            DropReason::UnknownPayload => "unknown_payload",
            DropReason::NoDestination => "no_destination",
            DropReason::NotSending => "not_sending",
            DropReason::SendFailed => "send_failed",
            DropReason::NoBuffer => "no_buffer",
        }
    }
}

/// What is counted at one end.
#[derive(Debug, Default)]
pub struct EndCounters {
    /// RTP packets accepted from the far side.
    pub rx_packets: Counter,
    /// Their bytes, RTP header included.
    pub rx_bytes: Counter,
    /// RTP packets sent to the far side.
    pub tx_packets: Counter,
    /// Their bytes.
    pub tx_bytes: Counter,
    /// Packets missing in the received sequence (RFC 3550 A.3), all sources of the end added up.
    pub lost: Counter,
    /// Interarrival jitter (RFC 3550 A.8), in microseconds.
    pub jitter_us: Counter,
    /// Dropped packets, by [`DropReason`] position in `ALL`.
    pub dropped: [Counter; 8],
    /// 1 once the latch is locked.
    pub latched: Counter,
    /// RTCP packets accepted.
    pub rtcp_packets: Counter,
}

/// What is counted in one worker.
#[derive(Debug, Default)]
pub struct WorkerCounters {
    /// Sessions alive.
    pub sessions: Counter,
    /// Ends alive: two ports each.
    pub ends: Counter,
    /// RTP packets in.
    pub rx_packets: Counter,
    /// RTP bytes in.
    pub rx_bytes: Counter,
    /// RTP packets out.
    pub tx_packets: Counter,
    /// RTP bytes out.
    pub tx_bytes: Counter,
    /// Lost, as far as sessions that ended told.
    pub lost: Counter,
    /// Dropped, by [`DropReason`] position in `ALL`.
    pub dropped: [Counter; 8],
    /// Packet buffers out of the pool.
    pub buffers_in_use: Counter,
    /// Wake-ups of the loop: `/healthz` sees whether it turns.
    pub turns: Counter,
    /// Time in the edge, 1 in 64 packets sampled: bucket counts for 10, 20, 50, 100, 200, 500 µs, 1, 2, 5, 10 ms, more.
    pub relay_buckets: [Counter; 11],
    /// Sum of the sampled times, in nanoseconds.
    pub relay_ns: Counter,
}
