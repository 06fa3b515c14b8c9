//! Counters of one media worker.

use super::counter::{Counter, DurationHistogram};
use super::drop_reason::DropReason;

/// Upper bounds of [`WorkerCounters::relay`], in microseconds.
pub const RELAY_BOUNDS_US: [u64; 10] = [10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];
/// Upper bounds of [`WorkerCounters::agent_turns`], in microseconds.
pub const TURN_BOUNDS_US: [u64; 10] =
    [200_000, 400_000, 600_000, 800_000, 1_000_000, 1_500_000, 2_000_000, 3_000_000, 5_000_000, 10_000_000];
/// Upper bounds of [`WorkerCounters::agent_clears`], in microseconds.
pub const CLEAR_BOUNDS_US: [u64; 6] = [2_000, 5_000, 10_000, 20_000, 40_000, 100_000];

/// Counters of one media worker, summed over its sessions.
#[derive(Debug, Default)]
pub struct WorkerCounters {
    /// Sessions of the worker that are active.
    pub sessions: Counter,
    /// Active sessions of the worker that transcode audio.
    pub transcoding: Counter,
    /// Active ends, with two ports each.
    pub ends: Counter,
    /// RTP packets received by the worker.
    pub rx_packets: Counter,
    /// Bytes of RTP packets received by the worker.
    pub rx_bytes: Counter,
    /// RTP packets sent; packets that the system refused also count as dropped (`send_failed`).
    pub tx_packets: Counter,
    /// Bytes of RTP packets sent by the worker.
    pub tx_bytes: Counter,
    /// RTP packets missing in the received streams, updated by the periodic sweeps.
    pub lost: Counter,
    /// Keep-alive packets sent to remote parties.
    pub keep_alives: Counter,
    /// Keep-alive packets received; [`WorkerCounters::rx_packets`] does not include them.
    pub keep_alives_received: Counter,
    /// RTCP compounds generated and sent by the edge.
    pub reports: Counter,
    /// Dropped packets, by the position of the [`DropReason`] in `ALL`.
    pub dropped: [Counter; DropReason::COUNT],
    /// Packet buffers of the pool that are in use.
    pub buffers_in_use: Counter,
    /// Panics caught; each ended one session.
    pub panics: Counter,
    /// Iterations of the event loop; `/healthz` checks that the number grows.
    pub turns: Counter,
    /// Time that packets spent in the edge; 1 in 64 packets is sampled.
    pub relay: DurationHistogram<{ RELAY_BOUNDS_US.len() }>,
    /// WebSockets to agents that are open.
    pub agents: Counter,
    /// Frames dropped because an agent's socket was too slow.
    pub agent_frames_dropped: Counter,
    /// Frames of silence played to callers because an agent's audio was late.
    pub agent_late_frames: Counter,
    /// Quiet frames of agents that were removed to make up for late frames.
    pub agent_frames_removed: Counter,
    /// Time from the end of the caller's speech to the agent's first audio.
    pub agent_turns: DurationHistogram<{ TURN_BOUNDS_US.len() }>,
    /// Time from an agent's `clear` to the first packet without the cleared audio.
    pub agent_clears: DurationHistogram<{ CLEAR_BOUNDS_US.len() }>,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_time_falls_into_the_first_bucket_that_holds_it() {
        let times = WorkerCounters::default().relay;
        for ns in [10_000, 10_001, 10_000_000, 10_000_001] {
            times.record_duration(&RELAY_BOUNDS_US, Duration::from_nanos(ns));
        }
        let counts: Vec<u64> = times.counts().collect();
        assert_eq!(counts, [1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!((times.seconds() * 1e9).round(), 20_020_002.0);
    }
}
