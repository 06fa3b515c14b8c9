//! What a call reports of what it hears, and what its far side reports of what it says (RFC 3550 §6).

use std::time::Instant;

use trunkgate_media::dtmf::Receiver;
use trunkgate_media::mos::{Codec, delay_ms, mos};
use trunkgate_media::rtcp::{Reports, Stream, is_well_formed};
use trunkgate_media::rtp::{Reception, Rtp};
use trunkgate_media::{EndCounters, Origin, PacketBuf};
use trunkgate_sdp::own::TELEPHONE_EVENT;

use crate::tone::SAMPLE_RATE;
use crate::{limits, tone};

/// A call's RTCP.
#[derive(Debug)]
pub(crate) struct Reporting {
    origin: Origin,
    reports: Reports,
    reception: Reception,
    received: u64,
    keys: Receiver,
    pressed: String,
    /// What the far side said.
    counters: EndCounters,
}

/// One direction of a call's audio.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Direction {
    /// Packets that should have come.
    pub expected: u64,
    /// Of these, missing.
    pub lost: u64,
    /// Interarrival jitter (RFC 3550 §6.4.1), in milliseconds.
    pub jitter_ms: f64,
    /// Mean opinion score, 1 to 4.41 (ITU-T G.107); `None` where nothing was expected, and for a codec without a score.
    pub mos: Option<f64>,
}

/// What is known of a call's audio, both ways.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    /// Packets heard.
    pub received: u64,
    /// What we hear.
    pub near: Direction,
    /// What the far side hears, by its own reports; `None` where it made none.
    pub far: Option<Direction>,
    /// From us to it and back, in milliseconds, by its reports.
    pub round_trip_ms: Option<f64>,
}

impl Reporting {
    pub(crate) fn new(origin: Origin) -> Reporting {
        let (reports, reception, counters) = (Reports::default(), Reception::default(), EndCounters::default());
        let (keys, pressed) = (Receiver::default(), String::new());
        Reporting { origin, reports, reception, received: 0, keys, pressed, counters }
    }

    /// Takes a packet that was heard; of what is spoken its number, and its clock in Hz.
    pub(crate) fn take(&mut self, now: Instant, packet: &[u8], (payload, clock_hz): (u8, u32)) {
        match Rtp::parse(packet) {
            Ok(rtp) if tone::Codec::of_payload(rtp.payload_type).is_some() => {
                self.received += 1;
                self.reception.take(now, SAMPLE_RATE, &rtp);
            }
            Ok(rtp) if rtp.payload_type == payload => {
                self.received += 1;
                self.reception.take(now, clock_hz, &rtp);
            }
            // A key's packets stand in the same numbers as the audio before and after them.
            Ok(rtp) if rtp.payload_type == TELEPHONE_EVENT => {
                self.reception.take_untimed(&rtp);
                let payload = packet.get(rtp.payload.clone()).unwrap_or_default();
                let key = self.keys.take(&rtp, payload).filter(|_| self.pressed.len() < limits::KEYS_HEARD);
                self.pressed.extend(key);
            }
            _ => {}
        }
    }

    /// Takes what the far side reports; `source` is what it hears us as, and our clock in Hz.
    pub(crate) fn hear(&mut self, now: Instant, source: (u32, u32), packet: &[u8]) {
        if is_well_formed(packet) {
            self.reports.hear(now, packet, Some(source), &self.counters);
        }
    }

    /// Notes when a report may be due, or that the call is over.
    pub(crate) fn look(&mut self, now: Instant, sent: u32, is_last: bool) {
        self.counters.tx_packets.set(sent.into());
        if is_last {
            self.reports.say_goodbye();
        } else {
            self.reports.look(now, &self.origin, 0);
        }
    }

    /// Writes a report on the stream that we send, where one is due.
    pub(crate) fn make(&mut self, now: Instant, stream: Stream) -> Option<PacketBuf> {
        if !self.reports.wanted {
            return None;
        }
        let mut packet = PacketBuf::new();
        self.reports.make(now, &self.origin, 0, stream, self.reception.source()).write(&mut packet)?;
        Some(packet)
    }

    /// The keys that the far side pressed, the first [`limits::KEYS_HEARD`] of them.
    pub(crate) fn pressed(&self) -> &str {
        &self.pressed
    }

    /// All that is known so far, of a codec.
    pub(crate) fn quality(&self, codec: Option<Codec>) -> Quality {
        let rtt_us = self.counters.rtt_us.get();
        let direction = |expected: u64, lost: u64, jitter_us: u64| {
            let loss = lost as f64 / expected.max(1) as f64;
            let score = codec.map(|codec| mos(codec, loss, delay_ms(jitter_us, rtt_us)));
            let jitter_ms = jitter_us as f64 / 1000.0;
            Direction { expected, lost, jitter_ms, mos: score.filter(|_| expected > 0) }
        };
        let far = (self.counters.far_reports.get() > 0).then(|| {
            let (sent, lost) = (self.counters.tx_packets.get(), self.counters.far_lost.get());
            direction(sent, lost, self.counters.far_jitter_us.get())
        });
        Quality {
            received: self.received,
            near: direction(self.reception.expected(), self.reception.lost(), self.reception.jitter_us()),
            far,
            round_trip_ms: (rtt_us > 0).then_some(rtt_us as f64 / 1000.0),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::disallowed_methods)] // a test may unwrap, and its time has to begin somewhere
mod tests {
    use std::time::Duration;

    use super::*;

    fn packet(payload_type: u8, sequence: u16, timestamp: u32) -> Vec<u8> {
        let mut bytes = vec![0x80, payload_type];
        bytes.extend(sequence.to_be_bytes());
        bytes.extend(timestamp.to_be_bytes());
        bytes.extend([0, 0, 0, 7]);
        bytes.extend([5; 4]);
        bytes
    }

    /// A key pressed in the middle: its packets are neither missing nor late.
    #[test]
    fn a_key_is_no_loss_and_no_jitter() {
        let start = Instant::now();
        let mut reporting = Reporting::new(Origin::default());
        for n in 0..100_u16 {
            let now = start + Duration::from_millis(20) * u32::from(n);
            let is_key = (40..60).contains(&n);
            let (payload_type, at) = if is_key { (TELEPHONE_EVENT, 40) } else { (0, n) };
            reporting.take(now, &packet(payload_type, n, u32::from(at) * 160), (0, SAMPLE_RATE));
        }
        let quality = reporting.quality(Some(Codec::G711));
        assert_eq!((quality.received, quality.near.expected, quality.near.lost), (80, 100, 0));
        assert!(quality.near.jitter_ms < 0.2, "{}", quality.near.jitter_ms);
        assert_eq!(reporting.pressed(), "5", "20 packets, one key");
        (0..1_000_u16).for_each(|n| {
            reporting.take(start, &packet(TELEPHONE_EVENT, 100 + n, 100_000 + u32::from(n) * 1_600), (0, SAMPLE_RATE));
        });
        assert_eq!(reporting.pressed().len(), limits::KEYS_HEARD);
    }
}
