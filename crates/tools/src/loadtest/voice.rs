//! Audio of one direction of a call: sending and receiving time of each packet, and the result.

use std::time::Instant;

use trunkgate_media::mos::{MosCodec, delay_ms, mos};
use trunkgate_phone::VoiceReport;

/// Number of latest packets with a stored sending time (ten seconds); a packet that is delayed longer is not timed.
const REMEMBERED: usize = 512;
/// Delay above which a packet counts as late, in milliseconds: the size of a usual jitter buffer.
pub(super) const LATE_MS: f64 = 60.0;

/// Audio sent by one side of a call.
#[derive(Debug)]
pub(super) struct SentVoice {
    /// Number of packets sent.
    sent: u32,
    /// Sending times of the latest packets.
    departures: Box<[Option<(u32, Instant)>]>,
    timed: u32,
    late: u32,
    delay_sum_ms: f64,
    /// Delay of the packet received before.
    delay_ms: Option<f64>,
    variation_sum_ms: f64,
    variations: u32,
    /// Slot of the line that receives the audio; `None` before the first packet is received.
    pub(super) listener: Option<usize>,
}

/// Quality of one direction of a call.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct DirectionResult {
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) lost: u64,
    pub(super) late: u64,
    pub(super) duplicates: u64,
    pub(super) reordered: u64,
    pub(super) harmed: u64,
    /// Mean difference between the delays of consecutive packets, as estimated by RFC 3550 §6.4.1.
    pub(super) jitter_ms: Option<f64>,
    /// MOS; `None` if nothing was sent.
    pub(super) mos: Option<f64>,
}

impl SentVoice {
    /// Creates the record of a voice that has not sent anything.
    pub(super) fn new() -> SentVoice {
        SentVoice {
            sent: 0,
            departures: vec![None; REMEMBERED].into(),
            timed: 0,
            late: 0,
            delay_sum_ms: 0.0,
            delay_ms: None,
            variation_sum_ms: 0.0,
            variations: 0,
            listener: None,
        }
    }

    /// Records the sending time of a packet.
    pub(super) fn leaves(&mut self, index: u32, at: Instant) {
        self.sent += 1;
        if let Some(place) = self.departures.get_mut(index as usize % REMEMBERED) {
            *place = Some((index, at));
        }
    }

    /// Records a received packet and returns its delay in milliseconds; `None` for a duplicate or a packet with an
    /// unknown sending time.
    pub(super) fn comes(&mut self, index: u32, at: Instant) -> Option<f64> {
        let place = self.departures.get_mut(index as usize % REMEMBERED)?;
        let (_, left) = place.take_if(|(known, _)| *known == index)?;
        let delay = at.saturating_duration_since(left).as_secs_f64() * 1000.0;
        self.timed += 1;
        self.late += u32::from(delay > LATE_MS);
        self.delay_sum_ms += delay;
        if let Some(before) = self.delay_ms.replace(delay) {
            self.variation_sum_ms += (delay - before).abs();
            self.variations += 1;
        }
        Some(delay)
    }

    /// Returns the quality of the audio. `heard`: the receiving phone's report; `None` if it received nothing.
    pub(super) fn carried(&self, heard: Option<&VoiceReport>) -> DirectionResult {
        let sent = u64::from(self.sent);
        let received = heard.map_or(0, |heard| heard.packets.saturating_sub(heard.duplicates)).min(sent);
        let (lost, late) = (sent - received, u64::from(self.late));
        let jitter_ms = (self.variations > 0).then(|| self.variation_sum_ms / f64::from(self.variations));
        let delay = self.delay_sum_ms / f64::from(self.timed.max(1));
        let in_us = |ms: f64| (ms * 1000.0) as u64;
        let score = || {
            // The MOS model does not cover a direction without any packet.
            if received == 0 {
                return 1.0;
            }
            // Late packets are useless to a listener, so they count as lost.
            let loss = (lost + late) as f64 / sent as f64;
            mos(MosCodec::G711, loss, delay_ms(in_us(jitter_ms.unwrap_or_default()), in_us(2.0 * delay)))
        };
        DirectionResult {
            sent,
            received,
            lost,
            late,
            duplicates: heard.map_or(0, |heard| heard.duplicates),
            reordered: heard.map_or(0, |heard| heard.reordered),
            harmed: heard.map_or(0, |heard| heard.damaged),
            jitter_ms,
            mos: (sent > 0).then(score),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use trunkgate_phone::{AudioVerifier, G711Codec, MarkedVoice as Said};

    use super::*;

    const FRAMES: u32 = 1_000;

    /// Returns the quality for packets with the delays returned by `way` in microseconds, `None` for a lost packet.
    fn carried(way: impl Fn(u32) -> Option<u64>) -> DirectionResult {
        let (start, said) = (Instant::now(), Said::new(7, G711Codec::Pcmu));
        let (mut voice, mut judge) = (SentVoice::new(), AudioVerifier::default());
        for n in 0..FRAMES {
            let left = start + Duration::from_millis(20) * n;
            voice.leaves(n, left);
            if let Some(us) = way(n) {
                let at = left + Duration::from_micros(us);
                let heard = judge.add_packet(at, &said.packet(n, 0)).unwrap();
                assert_eq!(voice.comes(heard.index, at), Some(us as f64 / 1000.0));
                assert_eq!(voice.comes(heard.index, at), None, "once each");
            }
        }
        voice.carried(judge.voice_reports().first())
    }

    #[test]
    fn what_is_whole_is_told_so() {
        let whole = carried(|_| Some(500));
        assert_eq!((whole.sent, whole.received, whole.lost, whole.late, whole.harmed), (1000, 1000, 0, 0, 0));
        assert!(whole.mos > Some(4.3) && whole.jitter_ms.unwrap() < 0.001, "{whole:?}");
    }

    #[test]
    fn what_is_lost_late_or_uneven_is_counted_and_costs() {
        let whole = carried(|_| Some(500)).mos;
        let lost = carried(|n| (!n.is_multiple_of(50)).then_some(500));
        assert_eq!((lost.received, lost.lost), (980, 20));
        let late = carried(|n| Some(if n.is_multiple_of(50) { 60_001 } else { 500 }));
        assert_eq!((late.lost, late.late), (0, 20));
        let tail = carried(|n| (n < FRAMES - 3).then_some(500));
        assert_eq!(tail.lost, 3, "the end is not overlooked");
        let uneven = carried(|n| Some(if n.is_multiple_of(2) { 1_000 } else { 11_000 }));
        assert!((9.9..10.1).contains(&uneven.jitter_ms.unwrap()), "{uneven:?}");
        assert!([lost, late, uneven].iter().all(|worse| worse.mos < whole));
        let nothing = carried(|_| None);
        assert_eq!((nothing.received, nothing.lost, nothing.jitter_ms), (0, 1000, None));
        assert_eq!(nothing.mos, Some(1.0));
        assert_eq!(SentVoice::new().carried(None).mos, None);
    }
}
