//! Checks that a party receives one continuous RTP stream: one SSRC, consecutive sequence numbers, timestamps 20 ms
//! apart, and no long gap.

use std::time::{Duration, Instant};

use serde::Serialize;

/// Timestamp increment for 20 ms of G.711.
pub(super) const STEP: u32 = 160;
/// Timestamp increment for 20 ms of Opus.
pub(super) const OPUS_STEP: u32 = 960;

/// RTP packets received by one socket during a call.
#[derive(Debug, Clone, Default)]
pub(super) struct RtpArrivals {
    step: u32,
    packets: u64,
    breaks: u64,
    first_break: Option<String>,
    largest_gap: Duration,
    last: Option<(Instant, u32, u16, u32)>,
}

/// Continuity of a received RTP stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Continuity {
    /// Timestamp units between consecutive packets.
    pub(super) step: u32,
    /// Number of packets.
    pub(super) packets: u64,
    /// Packets that did not continue the SSRC, sequence number or timestamp of the previous one.
    pub(super) breaks: u64,
    /// Description of the first such break; null without breaks.
    pub(super) first_break: Option<String>,
    /// Longest time between two packets, in milliseconds.
    pub(super) largest_gap_ms: u64,
}

impl RtpArrivals {
    /// Creates an empty record for packets that are `step` timestamp units apart.
    pub(super) fn of(step: u32) -> RtpArrivals {
        RtpArrivals { step, ..RtpArrivals::default() }
    }

    /// Records the arrival of an RTP packet; shorter datagrams are ignored.
    pub(super) fn take(&mut self, at: Instant, packet: &[u8]) {
        let Some((&[_, _, s0, s1, t0, t1, t2, t3, r0, r1, r2, r3], _)) = packet.split_first_chunk::<12>() else {
            return;
        };
        let (ssrc, sequence, timestamp) =
            (u32::from_be_bytes([r0, r1, r2, r3]), u16::from_be_bytes([s0, s1]), u32::from_be_bytes([t0, t1, t2, t3]));
        if let Some((before, of, number, time)) = self.last {
            self.largest_gap = self.largest_gap.max(at.saturating_duration_since(before));
            let (step, ticks) = (sequence.wrapping_sub(number), timestamp.wrapping_sub(time));
            if (ssrc, step, ticks) != (of, 1, self.step) {
                self.breaks += 1;
                let same = if ssrc == of { "same" } else { "another" };
                let told = || format!("packet {}: {same} SSRC, sequence +{step}, timestamp +{ticks}", self.packets + 1);
                self.first_break.get_or_insert_with(told);
            }
        }
        self.packets += 1;
        self.last = Some((at, ssrc, sequence, timestamp));
    }

    /// Returns the continuity of the packets so far.
    pub(super) fn continuity(&self) -> Continuity {
        Continuity {
            step: self.step,
            packets: self.packets,
            breaks: self.breaks,
            first_break: self.first_break.clone(),
            largest_gap_ms: u64::try_from(self.largest_gap.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl Continuity {
    /// Returns the errors of the stream: breaks, a gap longer than `longest_gap`, and no packets at all.
    pub(super) fn problems(&self, longest_gap: Duration) -> Vec<String> {
        let mut problems = Vec::new();
        if let Some(first) = &self.first_break {
            problems.push(format!("the caller's stream broke {} times, first at {first}", self.breaks));
        }
        if u128::from(self.largest_gap_ms) > longest_gap.as_millis() {
            problems.push(format!("the caller heard nothing for {} ms", self.largest_gap_ms));
        }
        if self.packets == 0 {
            problems.push("the caller heard nothing at all".into());
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkgate_phone::{G711Codec, MarkedVoice};

    fn arrivals(packets: impl IntoIterator<Item = (u64, [u8; 172])>) -> Continuity {
        let (start, mut arrivals) = (Instant::now(), RtpArrivals::of(STEP));
        for (ms, packet) in packets {
            arrivals.take(start + Duration::from_millis(ms), &packet);
        }
        arrivals.continuity()
    }

    #[test]
    fn breaks_and_gaps_are_seen() {
        let gap = Duration::from_millis(200);
        let (voice, other) = (MarkedVoice::new(7, G711Codec::Pcmu), MarkedVoice::new(8, G711Codec::Pcmu));
        let whole = arrivals((0..100).map(|n| (u64::from(n) * 20, voice.packet(n, 0))));
        assert_eq!((whole.packets, whole.breaks, whole.largest_gap_ms), (100, 0, 20));
        assert_eq!(whole.problems(gap), Vec::<String>::new());
        let left_out = arrivals((0..100).filter(|n| *n != 50).map(|n| (u64::from(n) * 20, voice.packet(n, 0))));
        assert_eq!(left_out.first_break.as_deref(), Some("packet 51: same SSRC, sequence +2, timestamp +320"));
        let changed = arrivals([(0, voice.packet(0, 0)), (20, other.packet(1, 0))]);
        assert_eq!((changed.breaks, changed.problems(gap).len()), (1, 1));
        let late = arrivals([(0, voice.packet(0, 0)), (201, voice.packet(1, 0))]);
        assert_eq!(late.problems(gap), ["the caller heard nothing for 201 ms"]);
        assert_eq!(arrivals([]).problems(gap).len(), 1);
    }
}
