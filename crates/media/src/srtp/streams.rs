//! Bounded table of the streams (SSRCs) of one direction, with their roll-over counters and replay windows.

use super::replay::ReplayWindow;
use crate::limits::SRTP_STREAMS;

/// Initial capacity; a call has one stream, and one more after each change of its source.
const EXPECTED_STREAMS: usize = 8;
/// Number of RTP indices: 48 bits, 32 of the roll-over counter and 16 of the sequence number.
const RTP_INDICES: u64 = 1 << 48;

/// Stream of one SSRC with its indices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Stream {
    ssrc: u32,
    /// RTP indices under the current key.
    pub(super) rtp: ReplayWindow,
    /// RTCP indices under the current key.
    pub(super) rtcp: ReplayWindow,
    /// Highest RTP index under the previous key, from which the roll-over counter may continue.
    pub(super) before: Option<u64>,
}

impl Stream {
    fn new(ssrc: u32) -> Stream {
        Stream { ssrc, ..Stream::default() }
    }

    pub(super) fn ssrc(&self) -> u32 {
        self.ssrc
    }
}

/// Returns the index closest to `highest` that has `sequence` as its low 16 bits (RFC 3711 §3.3.1, appendix A);
/// `None` if that index lies before the first or after the last one.
pub(super) fn index_near(highest: u64, sequence: u16) -> Option<u64> {
    let (counter, sequence) = (highest >> 16, i64::from(sequence));
    let ahead = sequence - (highest & 0xffff) as i64;
    let counter = match highest & 0x8000 {
        0 if ahead > 0x8000 => counter.checked_sub(1)?,
        0 => counter,
        _ if ahead < -0x8000 => counter + 1,
        _ => counter,
    };
    let index = counter << 16 | sequence as u64;
    (index < RTP_INDICES).then_some(index)
}

/// Bounded table of the streams of one direction.
#[derive(Debug)]
pub(super) struct SrtpStreamTable {
    streams: Vec<Stream>,
    /// Position of the stream found last, which is tried first.
    last: usize,
}

impl SrtpStreamTable {
    /// Creates an empty table.
    pub(super) fn new() -> SrtpStreamTable {
        SrtpStreamTable { streams: Vec::with_capacity(EXPECTED_STREAMS), last: 0 }
    }

    /// Restores the table from the streams of a snapshot, up to its limit.
    pub(super) fn restore(streams: &[Stream]) -> SrtpStreamTable {
        let mut restored = SrtpStreamTable::new();
        restored.streams.extend(streams.iter().take(SRTP_STREAMS));
        restored
    }

    /// Returns the streams for a snapshot.
    pub(super) fn snapshot(&self) -> Vec<Stream> {
        self.streams.clone()
    }

    /// Returns the stream of an SSRC and remembers its position for the next search.
    pub(super) fn find(&mut self, ssrc: u32) -> Option<&mut Stream> {
        if self.streams.get(self.last).is_none_or(|stream| stream.ssrc != ssrc) {
            self.last = self.streams.iter().position(|stream| stream.ssrc == ssrc)?;
        }
        self.streams.get_mut(self.last)
    }

    /// Returns the stream of an SSRC.
    pub(super) fn get(&self, ssrc: u32) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.ssrc == ssrc)
    }

    /// Returns the stream of an SSRC, which is added if needed; `None` if the table is full. A new stream may replace
    /// one that has no packets under the current key, only under an earlier one.
    pub(super) fn find_or_add(&mut self, ssrc: u32) -> Option<&mut Stream> {
        if self.find(ssrc).is_none() {
            if self.streams.len() < SRTP_STREAMS {
                self.streams.push(Stream::new(ssrc));
                self.last = self.streams.len() - 1;
            } else {
                let is_unused =
                    |stream: &Stream| stream.rtp == ReplayWindow::default() && stream.rtcp == ReplayWindow::default();
                self.last = self.streams.iter().position(is_unused)?;
                *self.streams.get_mut(self.last)? = Stream::new(ssrc);
            }
        }
        self.streams.get_mut(self.last)
    }

    /// Returns whether there is room for one more stream.
    pub(super) fn has_room(&self) -> bool {
        self.streams.len() < SRTP_STREAMS
    }

    /// Iterates over the streams.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.streams.iter_mut()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rfc3711_section_3_3_1_the_counter_rolls_over_and_back() {
        for (highest, sequence, index) in [
            (0, 5, Some(5)),
            (5, 65535, None),
            (65535, 0, Some(0x1_0000)),
            (0x1_0000, 65535, Some(65535)),
            (0x1_0005, 4, Some(0x1_0004)),
            (0x5_9000, 0x1000, Some(0x5_1000)),
            (0x5_9000, 0x0fff, Some(0x6_0fff)),
            (0x5_1000, 0x9001, Some(0x4_9001)),
            (0x5_1000, 0x9000, Some(0x5_9000)),
            (0xffff_ffff_ffff, 0, None),
        ] {
            assert_eq!(index_near(highest, sequence), index, "{highest:x} {sequence:x}");
        }
    }

    #[test]
    fn the_table_is_bounded_and_forgets_only_what_an_earlier_key_left() {
        let mut streams = SrtpStreamTable::new();
        for ssrc in 0..SRTP_STREAMS as u32 {
            assert!(streams.has_room());
            streams.find_or_add(ssrc).unwrap().rtp.see(7);
        }
        assert!(!streams.has_room() && streams.find_or_add(1000).is_none());
        let third = streams.find(3).unwrap();
        (third.before, third.rtp) = (Some(7), ReplayWindow::default());
        let new = streams.find_or_add(1000).unwrap();
        assert_eq!(new.before, None);
        new.rtp.see(1);
        assert!(streams.find(3).is_none() && streams.find_or_add(3).is_none());
        assert_eq!(SrtpStreamTable::restore(&streams.snapshot()).streams, streams.streams);
    }

    proptest! {
        /// Checks that the index of a sender's packets is found through gaps and reordering of less than 2^15.
        #[test]
        fn indices_are_followed_through_loss_and_reordering(
            start in 0u64..0x2_0000,
            steps in proptest::collection::vec(-3000i64..30_000, 1..200),
        ) {
            let mut highest = start;
            for step in steps {
                let index = highest.saturating_add_signed(step);
                prop_assert_eq!(index_near(highest, index as u16), Some(index));
                highest = highest.max(index);
            }
        }
    }
}
