//! Loss and jitter of a received stream (RFC 3550 A.3, A.8), in the RFC's integer arithmetic.
//!
//! A change of SSRC restarts the statistics; earlier losses stay in the sum. There is no probation (RFC 3550 A.1),
//! because the latch has already validated the source.

use std::time::Instant;

use crate::counters::{EndCounters, LossRuns};
use crate::limits::{MAX_DROPOUT_PACKETS, MAX_MISORDER_PACKETS};

use super::gaps::SequenceGaps;
use super::header::RtpHeader;

/// Sequence numbers received from one source (RFC 3550 A.1).
#[derive(Debug, Clone, Copy)]
struct SequenceTracker {
    ssrc: u32,
    base: u64,
    /// Highest sequence number, with roll-overs counted above its 16 bits.
    highest: u64,
    received: u64,
    /// Sequence number of the next packet that would confirm a restart of the numbering.
    restart: Option<u16>,
}

impl SequenceTracker {
    fn new(rtp: &RtpHeader) -> SequenceTracker {
        let first = u64::from(rtp.sequence);
        SequenceTracker { ssrc: rtp.ssrc, base: first, highest: first, received: 1, restart: None }
    }

    fn expected(&self) -> u64 {
        self.highest - self.base + 1
    }

    /// Returns the number of lost packets (RFC 3550 A.3); a result that duplicates make negative counts as zero.
    fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.received)
    }
}

/// Interarrival jitter of one source.
#[derive(Debug, Clone, Copy)]
struct InterarrivalJitter {
    clock_hz: u32,
    transit: u32,
    timestamp: u32,
    /// Jitter estimate in sixteenths of a clock unit.
    scaled: u64,
}

/// Statistics of a received source for an RTCP report block (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceptionStats {
    /// SSRC of the source that the report describes.
    pub ssrc: u32,
    /// Number of packets expected from the sequence numbers.
    pub expected: u64,
    /// Received packets, including duplicates.
    pub received: u64,
    /// Highest sequence number, with roll-overs counted above its 16 bits.
    pub highest: u32,
    /// Interarrival jitter, in units of the payload's clock.
    pub jitter: u32,
}

/// Tracks loss and jitter of an end's received stream.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReceptionTracker {
    sequence: Option<SequenceTracker>,
    jitter: Option<InterarrivalJitter>,
    epoch: Option<Instant>,
    lost_before: u64,
    expected_before: u64,
    gaps: SequenceGaps,
}

impl ReceptionTracker {
    /// Creates a tracker with loss counts that start at `lost` packets and `runs`.
    pub(crate) fn with_lost(lost: u64, runs: LossRuns) -> ReceptionTracker {
        ReceptionTracker { lost_before: lost, gaps: SequenceGaps::with(runs), ..ReceptionTracker::default() }
    }

    /// Adds a packet that arrived at `now`; `clock_hz` is its payload's clock rate.
    pub fn take(&mut self, now: Instant, clock_hz: u32, rtp: &RtpHeader) {
        if self.count(rtp) {
            self.measure(now, clock_hz, rtp);
        }
    }

    /// Adds a packet that is not used for jitter, such as one of a telephone-event: all packets of an event carry the
    /// timestamp of its beginning (RFC 4733 §2.3.5).
    pub fn take_untimed(&mut self, rtp: &RtpHeader) {
        self.count(rtp);
    }

    /// Returns the number of missing packets, summed over all sources.
    pub fn lost(&self) -> u64 {
        self.lost_before + self.sequence.map_or(0, |sequence| sequence.lost())
    }

    /// Returns the runs of consecutive missing packets by length, over all sources. Unlike [`Self::lost`], duplicates
    /// do not hide losses.
    pub fn lost_in_a_row(&self) -> LossRuns {
        self.gaps.runs()
    }

    /// Copies the numbers of lost packets and of runs into an end's counters.
    pub(crate) fn tell_lost(&mut self, counters: &EndCounters) {
        counters.lost.set(self.lost());
        if let Some(runs) = self.gaps.changed() {
            counters.lost_in_a_row.set(runs);
        }
    }

    /// Returns the number of expected packets, summed over all sources.
    pub fn expected(&self) -> u64 {
        self.expected_before + self.sequence.map_or(0, |sequence| sequence.expected())
    }

    /// Returns the statistics of the current source for a report; `None` before the first packet.
    pub fn source(&self) -> Option<ReceptionStats> {
        let sequence = self.sequence?;
        Some(ReceptionStats {
            ssrc: sequence.ssrc,
            expected: sequence.expected(),
            received: sequence.received,
            // Truncation is intended: reported roll-over counts have 16 bits.
            highest: sequence.highest as u32,
            jitter: u32::try_from(self.jitter.map_or(0, |jitter| jitter.scaled >> 4)).unwrap_or(u32::MAX),
        })
    }

    /// Returns the interarrival jitter of the current source, in microseconds.
    pub fn jitter_us(&self) -> u64 {
        self.jitter.map_or(0, |jitter| (jitter.scaled >> 4) * 1_000_000 / u64::from(jitter.clock_hz))
    }

    /// Updates sequence numbers by RFC 3550 A.1 without probation; returns whether the packet belongs to the stream.
    fn count(&mut self, rtp: &RtpHeader) -> bool {
        let known = self.sequence.as_mut().filter(|sequence| sequence.ssrc == rtp.ssrc);
        let Some(sequence) = known else {
            self.begin(rtp);
            return true;
        };
        let ahead = rtp.sequence.wrapping_sub(sequence.highest as u16);
        if ahead < MAX_DROPOUT_PACKETS {
            sequence.highest += u64::from(ahead);
            if ahead > 0 {
                self.gaps.ahead(ahead);
            }
        } else if ahead <= 0u16.wrapping_sub(MAX_MISORDER_PACKETS) {
            if sequence.restart != Some(rtp.sequence) {
                sequence.restart = Some(rtp.sequence.wrapping_add(1));
                return false;
            }
            self.begin(rtp);
            return true;
        } else {
            self.gaps.behind(0u16.wrapping_sub(ahead));
        }
        sequence.restart = None;
        sequence.received += 1;
        true
    }

    fn begin(&mut self, rtp: &RtpHeader) {
        self.lost_before = self.lost();
        self.expected_before = self.expected();
        self.sequence = Some(SequenceTracker::new(rtp));
        self.jitter = None;
        self.gaps.begin();
    }

    /// Updates the jitter estimate (RFC 3550 A.8).
    fn measure(&mut self, now: Instant, clock_hz: u32, rtp: &RtpHeader) {
        let clock_hz = clock_hz.max(1);
        let since = now.saturating_duration_since(*self.epoch.get_or_insert(now));
        let arrival = since.as_micros().wrapping_mul(u128::from(clock_hz)) / 1_000_000;
        // Truncation is intended: transit times are modulo 2^32.
        let transit = (arrival as u32).wrapping_sub(rtp.timestamp);
        match &mut self.jitter {
            // Packets of one event keep its first timestamp (RFC 4733 §2.5.1.2) and carry no transit time.
            Some(jitter) if jitter.timestamp == rtp.timestamp => {}
            Some(jitter) if jitter.clock_hz == clock_hz => {
                let difference = u64::from((transit.wrapping_sub(jitter.transit) as i32).unsigned_abs());
                jitter.transit = transit;
                jitter.timestamp = rtp.timestamp;
                jitter.scaled = jitter.scaled + difference - ((jitter.scaled + 8) >> 4);
            }
            jitter => *jitter = Some(InterarrivalJitter { clock_hz, transit, timestamp: rtp.timestamp, scaled: 0 }),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]

    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn rtp(ssrc: u32, sequence: u16, timestamp: u32) -> RtpHeader {
        RtpHeader { marker: false, payload_type: 0, sequence, timestamp, ssrc, payload: 12..12 }
    }

    /// Feeds sequence numbers of one source, 20 ms apart.
    fn feed(sequences: &[u16]) -> ReceptionTracker {
        let (now, mut reception) = (Instant::now(), ReceptionTracker::default());
        for (n, sequence) in sequences.iter().enumerate() {
            let n = n as u32;
            reception.take(now + Duration::from_millis(20) * n, 8000, &rtp(1, *sequence, n * 160));
        }
        reception
    }

    #[test]
    fn rfc3550_a3_loss() {
        assert_eq!(feed(&[1, 2, 3]).lost(), 0);
        assert_eq!(feed(&[1, 4]).lost(), 2);
        assert_eq!(feed(&[65534, 65535, 0, 1]).lost(), 0);
        assert_eq!(feed(&[65534, 2]).lost(), 3);
        // Late packets repair losses; duplicates never make the number negative.
        assert_eq!(feed(&[1, 4, 2, 3]).lost(), 0);
        assert_eq!(feed(&[65535, 1, 0]).lost(), 0);
        assert_eq!(feed(&[1, 1, 1]).lost(), 0);
    }

    #[test]
    fn rfc3550_a1_one_stray_number_is_no_loss_and_two_are_a_restart() {
        assert_eq!(feed(&[1, 2, 30_000, 3, 4]).lost(), 0);
        assert_eq!(feed(&[1, 4, 30_000, 30_001, 30_004]).lost(), 4);
        // The largest jump that is a gap.
        assert_eq!(feed(&[1, MAX_DROPOUT_PACKETS]).lost(), u64::from(MAX_DROPOUT_PACKETS) - 2);
        assert_eq!(feed(&[1, MAX_DROPOUT_PACKETS + 1]).lost(), 0);
        // 99 behind is late; 100 behind, twice in a row, is a restart.
        assert_eq!(feed(&[200, 101, 102]).lost(), 0);
        let behind = 200 - MAX_MISORDER_PACKETS;
        assert_eq!(feed(&[200, behind - 1, behind, behind + 3]).lost(), 2);
    }

    #[test]
    fn a_new_source_adds_up() {
        let (now, mut reception) = (Instant::now(), ReceptionTracker::with_lost(5, [0; 10]));
        for (ssrc, sequence) in [(1, 10), (1, 12), (2, 900), (2, 903)] {
            reception.take(now, 8000, &rtp(ssrc, sequence, 0));
        }
        assert_eq!((reception.lost(), reception.expected()), (5 + 1 + 2, 3 + 4));
        assert_eq!(reception.lost_in_a_row(), [1, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        let source = ReceptionStats { ssrc: 2, expected: 4, received: 2, highest: 903, jitter: 0 };
        assert_eq!(reception.source(), Some(source));
    }

    #[test]
    fn a_report_counts_roll_overs() {
        assert_eq!(feed(&[65_534, 65_535, 1]).source().map(|source| source.highest), Some(0x1_0001));
        assert_eq!(ReceptionTracker::default().source(), None);
    }

    #[test]
    fn rfc3550_a8_jitter() {
        let (now, mut reception) = (Instant::now(), ReceptionTracker::default());
        // Arrivals 0, 30, 40 ms of packets 20 ms apart: |D| = 80 units twice.
        for (n, ms) in [(0, 0), (1, 30), (2, 40)] {
            reception.take(now + Duration::from_millis(ms), 8000, &rtp(1, n, u32::from(n) * 160));
        }
        // J: 80, then 80 + 80 - (88 >> 4) = 155, in sixteenths; 155 >> 4 = 9 units of 125 µs.
        assert_eq!(reception.jitter_us(), 9 * 125);
        assert_eq!(feed(&[1, 2, 3, 4]).jitter_us(), 0);
    }

    #[test]
    fn packets_of_one_event_are_not_jitter() {
        let (now, mut reception) = (Instant::now(), ReceptionTracker::default());
        for n in 0..10u16 {
            reception.take(now + Duration::from_millis(20) * u32::from(n), 8000, &rtp(1, n, 160));
        }
        assert_eq!(reception.jitter_us(), 0);
        assert_eq!(reception.lost(), 0);
    }

    #[test]
    fn jitter_is_in_the_payloads_clock() {
        let (now, mut reception) = (Instant::now(), ReceptionTracker::default());
        for n in 0..50u16 {
            reception.take(now + Duration::from_millis(20) * u32::from(n), 48_000, &rtp(1, n, u32::from(n) * 960));
        }
        assert_eq!(reception.jitter_us(), 0);
    }

    #[test]
    fn what_is_lost_in_a_row_is_told_apart() {
        let row = |sequences: &[u16]| feed(sequences).lost_in_a_row();
        assert_eq!(row(&[65_534, 65_535, 0, 1]), [0; 10]);
        assert_eq!(row(&[1, 3, 5, 8, 19, 29, 39]), [2, 1, 0, 0, 0, 0, 0, 0, 2, 1]);
        assert_eq!(row(&[1, 3_000, 3_001]), [0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        // Late: the first of five, one in the middle, all; and duplicates.
        assert_eq!(row(&[1, 7, 2]), [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(row(&[1, 7, 4, 4]), [0, 2, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(row(&[1, 7, 4, 3, 6, 2, 5]), [0; 10]);
        assert_eq!(row(&[1, 1, 3, 3]), [1, 0, 0, 0, 0, 0, 0, 0, 0, 0], "a packet that came twice hides none");
        // The last packet that may still be late repairs a gap that reaches further back.
        assert_eq!(row(&[1, 300, 201]), [0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        assert_eq!(row(&[200, 101]), [0; 10], "from before the first");
        // Packets from before a restart are too late for it.
        assert_eq!(row(&[1, 3, 30_000, 30_001, 30_003]), [2, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    proptest! {
        /// Counts runs from the received numbers, in any order within the 99 that may be late.
        #[test]
        fn runs_are_those_that_the_numbers_leave(
            start in any::<u16>(),
            gone in proptest::collection::btree_set(1u16..499, 0..200),
            delays in proptest::collection::vec(0u16..49, 500),
        ) {
            let mut sent: Vec<(u16, u16)> = (0..500u16).filter(|n| !gone.contains(n)).zip(delays)
                .map(|(n, delay)| (if n == 0 { 0 } else { n + delay }, n)).collect();
            sent.sort_unstable();
            let order: Vec<u16> = sent.iter().map(|(_, n)| start.wrapping_add(*n)).collect();
            let mut wanted = [0; 10];
            let newest = sent.iter().map(|(_, n)| *n).max().unwrap_or(0);
            let mut run = 0;
            for n in 1..=newest {
                if gone.contains(&n) {
                    run += 1;
                } else if run > 0 {
                    wanted[run.min(10) - 1] += 1;
                    run = 0;
                }
            }
            prop_assert_eq!(feed(&order).lost_in_a_row(), wanted);
        }

        #[test]
        fn wrap_loses_nothing(start in any::<u16>(), start_ts in any::<u32>(), count in 1u32..70_000) {
            let (now, mut reception) = (Instant::now(), ReceptionTracker::default());
            for n in 0..count {
                let at = now + Duration::from_millis(20) * n;
                let packet = rtp(1, start.wrapping_add(n as u16), start_ts.wrapping_add(n.wrapping_mul(160)));
                reception.take(at, 8000, &packet);
            }
            prop_assert_eq!((reception.lost(), reception.jitter_us()), (0, 0));
        }

        #[test]
        fn what_is_left_out_is_lost(start in any::<u16>(), gone in proptest::collection::btree_set(1u16..499, 0..100)) {
            let kept: Vec<u16> = (0..500).filter(|n| !gone.contains(n)).map(|n| start.wrapping_add(n)).collect();
            prop_assert_eq!(feed(&kept).lost(), gone.len() as u64);
        }

        #[test]
        fn any_stream_never_panics(packets in proptest::collection::vec((0u32..3, any::<u16>(), any::<u32>(), 0u64..1 << 40, 0u32..50_000), 0..200)) {
            let (now, mut reception) = (Instant::now(), ReceptionTracker::default());
            for (ssrc, sequence, timestamp, us, clock) in packets {
                reception.take(now + Duration::from_micros(us), clock, &rtp(ssrc, sequence, timestamp));
                let _ = (reception.lost(), reception.jitter_us());
            }
        }
    }
}
