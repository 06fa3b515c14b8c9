//! RTCP of a call: reports on received audio, and the remote party's reports on ours (RFC 3550 §6).

use std::time::Instant;

use trunkgate_media::dtmf::DtmfReceiver;
use trunkgate_media::mos::{MosCodec, delay_ms, mos};
use trunkgate_media::rtcp::{RtcpReports, Stream, is_well_formed};
use trunkgate_media::rtp::{ReceptionTracker, RtpHeader};
use trunkgate_media::{EndCounters, PacketBuf, RtcpOrigin};
use trunkgate_sdp::own::TELEPHONE_EVENT;

use crate::tone::SAMPLE_RATE;
use crate::{limits, tone};

/// RTCP state of a call.
#[derive(Debug)]
pub(crate) struct RtcpReporter {
    origin: RtcpOrigin,
    reports: RtcpReports,
    reception: ReceptionTracker,
    received: u64,
    dtmf_receiver: DtmfReceiver,
    pressed: String,
    /// Values that the remote party has reported about our audio.
    counters: EndCounters,
}

/// Quality of one direction of a call's audio.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DirectionQuality {
    /// Number of packets that should have arrived.
    pub expected: u64,
    /// Expected packets that did not arrive.
    pub lost: u64,
    /// Interarrival jitter (RFC 3550 §6.4.1), in milliseconds.
    pub jitter_ms: f64,
    /// Mean opinion score, 1 to 4.41 (ITU-T G.107); `None` if no packets were expected or the codec has no score.
    pub mos: Option<f64>,
}

/// Quality of a call's audio in both directions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PhoneQuality {
    /// Number of RTP packets that the phone received.
    pub received: u64,
    /// Quality of the audio that the phone received.
    pub near: DirectionQuality,
    /// Quality at the remote party according to its reports; `None` without reports.
    pub far: Option<DirectionQuality>,
    /// Round-trip time to the remote party in milliseconds, from its reports.
    pub round_trip_ms: Option<f64>,
}

impl RtcpReporter {
    pub(crate) fn new(origin: RtcpOrigin) -> RtcpReporter {
        let (reports, reception, counters) =
            (RtcpReports::default(), ReceptionTracker::default(), EndCounters::default());
        let (dtmf_receiver, pressed) = (DtmfReceiver::default(), String::new());
        RtcpReporter { origin, reports, reception, received: 0, dtmf_receiver, pressed, counters }
    }

    /// Counts a received RTP packet and collects its DTMF digit, if any; `payload` and `clock_hz` (Hz) are those of the
    /// agreed codec.
    pub(crate) fn count_packet(&mut self, now: Instant, packet: &[u8], (payload, clock_hz): (u8, u32)) {
        match RtpHeader::parse(packet) {
            Ok(rtp) if tone::G711Codec::of_payload(rtp.payload_type).is_some() => {
                self.received += 1;
                self.reception.take(now, SAMPLE_RATE, &rtp);
            }
            Ok(rtp) if rtp.payload_type == payload => {
                self.received += 1;
                self.reception.take(now, clock_hz, &rtp);
            }
            // The packets of a DTMF event continue the sequence numbers of the audio.
            Ok(rtp) if rtp.payload_type == TELEPHONE_EVENT => {
                self.reception.take_untimed(&rtp);
                let payload = packet.get(rtp.payload.clone()).unwrap_or_default();
                let key = self.dtmf_receiver.take(&rtp, payload).filter(|_| self.pressed.len() < limits::KEYS_HEARD);
                self.pressed.extend(key);
            }
            _ => {}
        }
    }

    /// Handles a received RTCP packet; `source` is our SSRC and clock rate in Hz.
    pub(crate) fn receive_report(&mut self, now: Instant, source: (u32, u32), packet: &[u8]) {
        if is_well_formed(packet) {
            self.reports.hear(now, packet, Some(source), &self.counters);
        }
    }

    /// Sets whether a report is due; with `is_last` requests the final one. `sent` is the number of packets sent so
    /// far.
    pub(crate) fn check_schedule(&mut self, now: Instant, sent: u32, is_last: bool) {
        self.counters.tx_packets.set(sent.into());
        if is_last {
            self.reports.say_goodbye();
        } else {
            self.reports.check_schedule(now, &self.origin, 0);
        }
    }

    /// Builds the RTCP report that is due, about the sent stream and the received one; `None` if none is due.
    pub(crate) fn next_report(&mut self, now: Instant, stream: Stream) -> Option<PacketBuf> {
        if !self.reports.wanted {
            return None;
        }
        let mut packet = PacketBuf::new();
        self.reports.build_report(now, &self.origin, 0, stream, self.reception.source()).write(&mut packet)?;
        Some(packet)
    }

    /// Returns the DTMF digits received, at most [`limits::KEYS_HEARD`].
    pub(crate) fn pressed(&self) -> &str {
        &self.pressed
    }

    /// Returns the quality so far; MOS values are for `codec`, `None` without one.
    pub(crate) fn quality(&self, codec: Option<MosCodec>) -> PhoneQuality {
        let rtt_us = self.counters.rtt_us.get();
        let direction = |expected: u64, lost: u64, jitter_us: u64| {
            let loss = lost as f64 / expected.max(1) as f64;
            let score = codec.map(|codec| mos(codec, loss, delay_ms(jitter_us, rtt_us)));
            let jitter_ms = jitter_us as f64 / 1000.0;
            DirectionQuality { expected, lost, jitter_ms, mos: score.filter(|_| expected > 0) }
        };
        let far = (self.counters.far_reports.get() > 0).then(|| {
            let (sent, lost) = (self.counters.tx_packets.get(), self.counters.far_lost.get());
            direction(sent, lost, self.counters.far_jitter_us.get())
        });
        PhoneQuality {
            received: self.received,
            near: direction(self.reception.expected(), self.reception.lost(), self.reception.jitter_us()),
            far,
            round_trip_ms: (rtt_us > 0).then_some(rtt_us as f64 / 1000.0),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::disallowed_methods)] // tests may unwrap and need an arbitrary start time
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

    /// DTMF packets in the middle count neither as lost nor as late.
    #[test]
    fn a_key_is_no_loss_and_no_jitter() {
        let start = Instant::now();
        let mut reporting = RtcpReporter::new(RtcpOrigin::default());
        for n in 0..100_u16 {
            let now = start + Duration::from_millis(20) * u32::from(n);
            let is_key = (40..60).contains(&n);
            let (payload_type, at) = if is_key { (TELEPHONE_EVENT, 40) } else { (0, n) };
            reporting.count_packet(now, &packet(payload_type, n, u32::from(at) * 160), (0, SAMPLE_RATE));
        }
        let quality = reporting.quality(Some(MosCodec::G711));
        assert_eq!((quality.received, quality.near.expected, quality.near.lost), (80, 100, 0));
        assert!(quality.near.jitter_ms < 0.2, "{}", quality.near.jitter_ms);
        assert_eq!(reporting.pressed(), "5", "20 packets, one key");
        (0..1_000_u16).for_each(|n| {
            reporting.count_packet(
                start,
                &packet(TELEPHONE_EVENT, 100 + n, 100_000 + u32::from(n) * 1_600),
                (0, SAMPLE_RATE),
            );
        });
        assert_eq!(reporting.pressed().len(), limits::KEYS_HEARD);
    }
}
