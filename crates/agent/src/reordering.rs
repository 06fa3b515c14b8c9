//! Measures how late the packets of a source arrive, and derives the time to wait for missing packets.
//!
//! The wait is at least 40 ms. Only packets after a gap wait, so a path without gaps has no delay. The wait is
//! longer, up to 100 ms, if packets have arrived later than 40 ms recently, as on a path over two links. A single
//! late packet changes nothing.

use std::time::{Duration, Instant};

use crate::limits::{REORDER, REORDER_GAPS, REORDER_MARGIN, REORDER_MOST, REORDER_WINDOW};

/// Packets missing at one gap in a source's sequence numbers.
#[derive(Debug, Clone, Copy)]
struct MissingPackets {
    /// Sequence number of the first missing packet.
    first: u16,
    /// Bit mask of the packets that are still missing; bit 0 is `first`.
    missing: u64,
    /// Arrival time of the first packet after the gap.
    noticed: Instant,
}

/// Two largest latenesses of packets in a period (RFC 4737 §4.2.3: late time offset).
#[derive(Debug, Clone, Copy, Default)]
struct LatenessMaxima {
    first: Duration,
    second: Duration,
}

/// Lateness of a source's packets in the current and the previous period, and the gaps from which it is measured.
#[derive(Debug, Clone, Default)]
pub struct ReorderTracker {
    gaps: [Option<MissingPackets>; REORDER_GAPS],
    /// Index of the gap that is replaced next.
    oldest: usize,
    until: Option<Instant>,
    now: LatenessMaxima,
    before: LatenessMaxima,
}

impl ReorderTracker {
    /// Records a packet that arrived with a gap of `packets` missing packets before it.
    pub fn note_missing(&mut self, now: Instant, sequence: u16, packets: u16) {
        self.go_on(now);
        let packets = packets.min(64);
        let missing = 1_u64.checked_shl(u32::from(packets)).map_or(u64::MAX, |bit| bit - 1);
        let gap = MissingPackets { first: sequence.wrapping_sub(packets), missing, noticed: now };
        if let Some(place) = self.gaps.get_mut(self.oldest) {
            *place = Some(gap);
        }
        self.oldest = (self.oldest + 1) % REORDER_GAPS;
    }

    /// Records a packet that arrived after a later one: measures its lateness if it was missing. A duplicate is
    /// ignored.
    pub fn note_late(&mut self, now: Instant, sequence: u16) {
        self.go_on(now);
        for gap in self.gaps.iter_mut().flatten() {
            let bit = 1_u64.checked_shl(u32::from(sequence.wrapping_sub(gap.first))).unwrap_or(0);
            if gap.missing & bit != 0 {
                gap.missing &= !bit;
                let lateness = now.saturating_duration_since(gap.noticed);
                // Packets that are later than the maximum wait would be lost anyway.
                if lateness <= REORDER_MOST {
                    self.now.note_lateness(lateness);
                }
                return;
            }
        }
    }

    /// Discards the gaps for another source, which has sequence numbers of its own, but keeps the lateness of the path.
    pub fn begin_again(&mut self) {
        self.gaps = [None; REORDER_GAPS];
    }

    /// Returns the time to wait for missing packets once later audio has arrived: the second largest recent lateness
    /// plus a margin, within limits.
    pub fn wait(&self) -> Duration {
        (self.now.second.max(self.before.second) + REORDER_MARGIN).clamp(REORDER, REORDER_MOST)
    }

    fn go_on(&mut self, now: Instant) {
        let until = *self.until.get_or_insert(now + REORDER_WINDOW);
        if now >= until {
            let recent = now < until + REORDER_WINDOW;
            self.before = if recent { self.now } else { LatenessMaxima::default() };
            self.now = LatenessMaxima::default();
            self.until = Some(now + REORDER_WINDOW);
        }
    }
}

impl LatenessMaxima {
    fn note_lateness(&mut self, lateness: Duration) {
        if lateness > self.first {
            (self.first, self.second) = (lateness, self.first);
        } else {
            self.second = self.second.max(lateness);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Simulates gaps a second apart, each of one packet that arrives this many milliseconds after the next one;
    /// returns the resulting wait.
    fn after(latenesses: &[u32]) -> u128 {
        let (mut now, mut reordering) = (Instant::now(), ReorderTracker::default());
        for (n, ms) in latenesses.iter().enumerate() {
            let sequence = 65_530_u16.wrapping_add(n as u16 * 5);
            reordering.note_missing(now, sequence, 1);
            reordering.note_late(now + MS * *ms, sequence.wrapping_sub(1));
            now += MS * 1000;
        }
        reordering.wait().as_millis()
    }

    #[test]
    fn what_was_seen_twice_is_waited_for() {
        for (latenesses, wait) in [
            (&[][..], 40),
            (&[1, 2, 3], 40),
            (&[30, 31], 40),
            (&[31, 33], 41),
            (&[90], 40),
            (&[20, 90], 40),
            (&[90, 20, 60], 70),
            (&[60, 60], 70),
            (&[60, 61, 95, 97], 100),
            // Delays that are too long to wait for.
            (&[101, 150, 900], 40),
            (&[60, 60, 101, 300], 70),
        ] {
            assert_eq!(after(latenesses), wait, "{latenesses:?}");
        }
    }

    #[test]
    fn what_has_not_been_seen_for_long_is_forgotten() {
        assert_eq!(after(&[&[80, 80][..], &[0; 8]].concat()), 90);
        assert_eq!(after(&[&[80, 80][..], &[0; 17]].concat()), 90);
        assert_eq!(after(&[&[80, 80][..], &[0; 20]].concat()), 40);
    }

    #[test]
    fn only_what_was_missing_is_late() {
        let (now, mut reordering) = (Instant::now(), ReorderTracker::default());
        let later = now + MS * 70;
        for sequence in [4, 9, 10, 11] {
            reordering.note_late(later, sequence);
        }
        reordering.note_missing(now, 10, 2);
        for sequence in [7, 10, 11, 8, 8, 8] {
            reordering.note_late(later, sequence);
        }
        assert_eq!(reordering.wait(), REORDER, "one packet, though it came three times");
        reordering.note_late(later, 9);
        assert_eq!(reordering.wait(), later - now + REORDER_MARGIN);
        reordering.begin_again();
        reordering.note_missing(now, 1000, 5000);
        for sequence in 936..1000 {
            reordering.note_late(now + MS * 90, sequence);
        }
        assert_eq!(reordering.wait(), REORDER_MOST, "the last packets of a long gap are known");
    }
}
