//! Counters that a worker writes and anybody reads: relaxed atomics, never a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::loss::LossCounters;
use crate::symptoms::Symptoms;

/// A counter.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }
    /// Adds, where no other thread writes it: unlike [`Self::add`] it does not wait for what the processor reads meanwhile,
    /// which is what a packet's way is made of.
    pub fn add_alone(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
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
    /// From a far side that agreed to SRTP: does not authenticate.
    SrtpAuth,
    /// From such a far side: came before, or too late to tell.
    SrtpReplay,
    /// From such a far side: too short for a tag, or RTCP that is whole without one.
    SrtpPlain,
    /// Of one stream (SSRC) too many under one key.
    SrtpStreams,
    /// To be encrypted: its number was sent before, or is too old to tell.
    SrtpRepeated,
    /// To be encrypted: the key's last number was used (RFC 3711 §9.2).
    SrtpSpent,
    /// To be converted: what comes after it has been converted already, it came twice, or its number is a jump that no
    /// second packet has confirmed.
    Late,
    /// To be converted: cannot be decoded.
    Damaged,
    /// A key was pressed in its place.
    KeyPressed,
    /// To be converted: more audio came, or was said to be missing, than time goes by.
    TooFast,
    /// The address of the far side is not proven yet ([`RemoteSpec::withheld`](crate::RemoteSpec::withheld)).
    Withheld,
}

impl DropReason {
    /// How many reasons there are.
    pub const COUNT: usize = 19;
    /// Every reason, for metrics and tests.
    pub const ALL: [DropReason; DropReason::COUNT] = [
        DropReason::UnexpectedSource,
        DropReason::NotRtp,
        DropReason::NoWire,
        DropReason::UnknownPayload,
        DropReason::NoDestination,
        DropReason::NotSending,
        DropReason::SendFailed,
        DropReason::NoBuffer,
        DropReason::SrtpAuth,
        DropReason::SrtpReplay,
        DropReason::SrtpPlain,
        DropReason::SrtpStreams,
        DropReason::SrtpRepeated,
        DropReason::SrtpSpent,
        DropReason::Late,
        DropReason::Damaged,
        DropReason::KeyPressed,
        DropReason::TooFast,
        DropReason::Withheld,
    ];
    /// Those of SRTP: labels of `srtp_errors_total`, with what they are called there.
    pub const SRTP: [(DropReason, &str); 6] = [
        (DropReason::SrtpAuth, "auth"),
        (DropReason::SrtpReplay, "replay"),
        (DropReason::SrtpPlain, "plain"),
        (DropReason::SrtpStreams, "streams"),
        (DropReason::SrtpRepeated, "repeated"),
        (DropReason::SrtpSpent, "spent"),
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
            DropReason::SrtpAuth => "srtp_auth",
            DropReason::SrtpReplay => "srtp_replay",
            DropReason::SrtpPlain => "srtp_plain",
            DropReason::SrtpStreams => "srtp_streams",
            DropReason::SrtpRepeated => "srtp_repeated",
            DropReason::SrtpSpent => "srtp_spent",
            DropReason::Late => "late",
            DropReason::Damaged => "damaged",
            DropReason::KeyPressed => "key_pressed",
            DropReason::TooFast => "too_fast",
            DropReason::Withheld => "withheld",
        }
    }
    /// Counts one, in counters ordered as `ALL` that no other thread writes.
    pub fn count_in(self, counters: &[Counter; DropReason::COUNT]) {
        if let Some(counter) = counters.get(self as usize) {
            counter.add_alone(1);
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
    /// RTP packets for the far side, also those that the system [refused](Symptoms::refused).
    pub tx_packets: Counter,
    /// Their bytes.
    pub tx_bytes: Counter,
    /// Packets missing in the received sequence (RFC 3550 A.3), all sources of the end added up.
    pub lost: Counter,
    /// How often so many of them in a row.
    pub lost_in_a_row: LossCounters,
    /// Interarrival jitter (RFC 3550 A.8), in microseconds.
    pub jitter_us: Counter,
    /// Round trip to the far side and back by RTCP (RFC 3550 §6.4.1), in microseconds; 0: not known.
    pub rtt_us: Counter,
    /// Report blocks of the far side about what it hears from us.
    pub far_reports: Counter,
    /// What the last of them says: packets missing …
    pub far_lost: Counter,
    /// … and interarrival jitter, in microseconds.
    pub far_jitter_us: Counter,
    /// Scores of what was received, one for each interval.
    pub scores: Scores,
    /// Dropped packets, by [`DropReason`] position in `ALL`.
    pub dropped: [Counter; DropReason::COUNT],
    /// 1 once the latch is locked.
    pub latched: Counter,
    /// RTCP packets accepted.
    pub rtcp_packets: Counter,
    /// Frames dropped because an agent's socket was too slow.
    pub frames_dropped: Counter,
    /// What tells why nothing of use is heard.
    pub symptoms: Symptoms,
}

/// Audio of an agent that waits, both ways.
#[derive(Debug, Default)]
pub struct AgentQueue {
    /// What it said and its caller has not heard, in milliseconds.
    pub unheard: Waiting,
    /// What it should have got and its socket has not taken, in frames of 20 ms.
    pub unsent: Waiting,
}

impl AgentQueue {
    /// The most of both begins anew: [`Waiting::forget`].
    pub fn forget(&self) {
        self.unheard.forget();
        self.unsent.forget();
    }
}

/// How much of something waits: the worker says it, one reader looks at it from time to time.
#[derive(Debug, Default)]
pub struct Waiting {
    now: Counter,
    most: Counter,
}

impl Waiting {
    /// So much waits now; called by the worker alone.
    pub fn set(&self, n: u64) {
        self.now.set(n);
        if n > self.most.get() {
            self.most.set(n);
        }
    }
    /// How much waits.
    pub fn now(&self) -> u64 {
        self.now.get()
    }
    /// The most since [`Self::forget`].
    pub fn most(&self) -> u64 {
        self.most.get().max(self.now.get())
    }
    /// The most begins anew with what waits now; called by the reader alone. What comes in this very moment and is gone before
    /// it looks again may be missed: neither side waits for the other.
    pub fn forget(&self) {
        self.most.set(self.now.get());
    }
}

/// Mean opinion scores, in thousandths.
#[derive(Debug, Default)]
pub struct Scores {
    /// How many.
    pub count: Counter,
    /// Their sum.
    pub sum: Counter,
    /// The lowest; 0: there is none.
    pub lowest: Counter,
}

impl Scores {
    /// Takes a score of 1 to 5.
    pub fn take(&self, score: f64) {
        // Truncation is meant: a score has few digits that mean anything.
        let milli = (score.clamp(1.0, 5.0) * 1000.0).round() as u64;
        let lowest = self.lowest.get();
        if lowest == 0 || milli < lowest {
            self.lowest.set(milli);
        }
        self.sum.add(milli);
        self.count.add(1);
    }
}

/// Upper bounds of [`WorkerCounters::relay`], in microseconds.
pub const RELAY_BOUNDS_US: [u64; 10] = [10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];
/// Upper bounds of [`WorkerCounters::agent_turns`], in microseconds.
pub const TURN_BOUNDS_US: [u64; 10] =
    [200_000, 400_000, 600_000, 800_000, 1_000_000, 1_500_000, 2_000_000, 3_000_000, 5_000_000, 10_000_000];
/// Upper bounds of [`WorkerCounters::agent_clears`], in microseconds.
pub const CLEAR_BOUNDS_US: [u64; 6] = [2_000, 5_000, 10_000, 20_000, 40_000, 100_000];

/// Times, counted by how long they were; one thread writes.
#[derive(Debug)]
pub struct Times<const BOUNDS: usize> {
    buckets: [Counter; BOUNDS],
    /// Longer than all bounds.
    more: Counter,
    ns: Counter,
}

impl<const BOUNDS: usize> Times<BOUNDS> {
    /// Counts one into the first of `bounds_us` that holds it: the same bounds each time.
    pub fn take(&self, bounds_us: &[u64; BOUNDS], time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let at = bounds_us.iter().position(|us| ns <= us * 1000);
        at.and_then(|at| self.buckets.get(at)).unwrap_or(&self.more).add_alone(1);
        self.ns.add_alone(ns);
    }
    /// How many there are in each bucket, those longer than all bounds last.
    pub fn counts(&self) -> impl Iterator<Item = u64> {
        self.buckets.iter().chain([&self.more]).map(Counter::get)
    }
    /// All together, in seconds.
    pub fn seconds(&self) -> f64 {
        self.ns.get() as f64 / 1e9
    }
}

impl<const BOUNDS: usize> Default for Times<BOUNDS> {
    fn default() -> Times<BOUNDS> {
        Times { buckets: std::array::from_fn(|_| Counter::default()), more: Counter::default(), ns: Counter::default() }
    }
}

impl EndCounters {
    /// Counts a packet from the far side; called by the end's worker alone.
    pub(crate) fn received(&self, bytes: usize) {
        one(&self.rx_packets, &self.rx_bytes, bytes);
    }
    /// Counts a packet to the far side; called by the end's worker alone.
    pub(crate) fn sent(&self, bytes: usize) {
        one(&self.tx_packets, &self.tx_bytes, bytes);
    }
}

/// Counts one packet of so many bytes, where no other thread counts.
pub(crate) fn one(packets: &Counter, bytes: &Counter, len: usize) {
    packets.add_alone(1);
    bytes.add_alone(len as u64);
}

/// What is counted in one worker.
#[derive(Debug, Default)]
pub struct WorkerCounters {
    /// Sessions alive.
    pub sessions: Counter,
    /// Those of them that convert audio.
    pub transcoding: Counter,
    /// Ends alive: two ports each.
    pub ends: Counter,
    /// RTP packets in.
    pub rx_packets: Counter,
    /// RTP bytes in.
    pub rx_bytes: Counter,
    /// RTP packets out; those that the system refused are dropped as `send_failed` as well.
    pub tx_packets: Counter,
    /// RTP bytes out.
    pub tx_bytes: Counter,
    /// RTP packets missing in what was received, as far as the last sweeps told.
    pub lost: Counter,
    /// Keep-alive packets sent.
    pub keep_alives: Counter,
    /// Keep-alive packets that came; [`WorkerCounters::rx_packets`] leaves them out.
    pub keep_alives_received: Counter,
    /// RTCP compounds of the edge's own making sent.
    pub reports: Counter,
    /// Dropped, by [`DropReason`] position in `ALL`.
    pub dropped: [Counter; DropReason::COUNT],
    /// Packet buffers out of the pool.
    pub buffers_in_use: Counter,
    /// Panics caught: each ended one session.
    pub panics: Counter,
    /// Wake-ups of the loop: `/healthz` sees whether it turns.
    pub turns: Counter,
    /// Time in the edge, 1 in 64 packets sampled.
    pub relay: Times<{ RELAY_BOUNDS_US.len() }>,
    /// Agents' sockets that are open.
    pub agents: Counter,
    /// Frames dropped because an agent's socket was too slow.
    pub agent_frames_dropped: Counter,
    /// From the end of what a caller said to the agent's first audio.
    pub agent_turns: Times<{ TURN_BOUNDS_US.len() }>,
    /// From an agent's `clear` to the first packet without the audio that it cleared.
    pub agent_clears: Times<{ CLEAR_BOUNDS_US.len() }>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_place_and_label() {
        let counters: [Counter; DropReason::COUNT] = Default::default();
        let mut labels = std::collections::BTreeSet::new();
        for (at, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, at);
            reason.count_in(&counters);
            assert_eq!(counters[at].get(), 1);
            assert!(labels.insert(reason.as_str()));
            let srtp = DropReason::SRTP.iter().find(|(srtp, _)| *srtp == reason).map(|(_, label)| *label);
            assert_eq!(reason.as_str().strip_prefix("srtp_"), srtp);
        }
    }

    #[test]
    fn scores_are_added_up_and_the_lowest_kept() {
        let scores = Scores::default();
        for score in [4.41, 3.0, 4.0, 9.0] {
            scores.take(score);
        }
        assert_eq!((scores.count.get(), scores.sum.get(), scores.lowest.get()), (4, 16_410, 3000));
    }

    #[test]
    fn the_most_that_waited_is_known_until_it_is_forgotten() {
        let waiting = Waiting::default();
        for (n, now, most) in [(0, 0, 0), (5000, 5000, 5000), (300, 300, 5000)] {
            waiting.set(n);
            assert_eq!((waiting.now(), waiting.most()), (now, most));
        }
        waiting.forget();
        assert_eq!((waiting.now(), waiting.most()), (300, 300), "what still waits is not forgotten");
        waiting.set(0);
        assert_eq!((waiting.now(), waiting.most()), (0, 300));
    }

    #[test]
    fn a_time_falls_into_the_first_bucket_that_holds_it() {
        let times = WorkerCounters::default().relay;
        for ns in [10_000, 10_001, 10_000_000, 10_000_001] {
            times.take(&RELAY_BOUNDS_US, Duration::from_nanos(ns));
        }
        let counts: Vec<u64> = times.counts().collect();
        assert_eq!(counts, [1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!((times.seconds() * 1e9).round(), 20_020_002.0);
    }
}
