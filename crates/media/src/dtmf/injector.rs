//! DTMF injector for a stream with audio of another remote party. While digits are sent, the edge feeds the stream on
//! its own clock and drops that party's packets, so digits are also sent while that party is silent or on hold.

use std::time::Instant;

use trunkgate_agent::TickGenerator;

use crate::codec::{PayloadCodec, SinkEncoder, g722};
use crate::rtp::{FIXED_HEADER, PacketBuf, RtpHeader, StreamStart};

use super::sender::{DigitSignal, DtmfSender};
use super::spec::DigitFormat;

/// Samples of a 20 ms frame at the highest rate of generated tones.
const MOST_SAMPLES: usize = 320;

/// Sends queued DTMF digits into the stream of one end.
#[derive(Debug)]
pub(crate) struct Injector {
    serial: u32,
    clock_hz: u32,
    tones: Option<ToneEncoder>,
    ticks: TickGenerator,
    sender: DtmfSender,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
}

/// Encoder of DTMF tones, for a stream without telephone-events.
#[derive(Debug)]
struct ToneEncoder {
    coding: PayloadCodec,
    encoding: SinkEncoder,
    rate_hz: u32,
    payload: u8,
}

/// Result of one tick of an injector.
#[derive(Debug)]
pub(crate) enum InjectorOutput {
    /// Packet of a digit, to be sent in place of audio.
    Packet {
        /// RTP header of the packet.
        rtp: RtpHeader,
        /// Clock ticks by which the packet is sent later than its timestamp indicates.
        since: u32,
    },
    /// Pause between two digits.
    Pause,
}

impl Injector {
    /// Creates an injector with its first tick at `now`. `twin` is an encoder that continues the stream's codec state;
    /// `None` starts a new one.
    pub(crate) fn new(now: Instant, start: StreamStart, press: DigitFormat, twin: Option<SinkEncoder>) -> Injector {
        let (clock_hz, tones) = match press {
            DigitFormat::Event { clock_hz, .. } => (clock_hz, None),
            DigitFormat::Tone { payload, coding } => {
                let rate_hz = coding.rate_hz().unwrap_or(g722::RATE_HZ);
                let tones = twin.or_else(|| SinkEncoder::new(coding, rate_hz)).map(|mut encoding| {
                    encoding.set_tone(true);
                    ToneEncoder { coding, encoding, rate_hz, payload }
                });
                (coding.clock_hz(), tones)
            }
        };
        let StreamStart { serial, ssrc, sequence, timestamp } = start;
        Injector {
            serial,
            clock_hz,
            tones,
            ticks: TickGenerator::new(now),
            sender: DtmfSender::default(),
            ssrc,
            sequence,
            timestamp,
        }
    }

    /// Returns the injector's serial number among the sources that have fed its end.
    pub(crate) fn serial(&self) -> u32 {
        self.serial
    }

    /// Returns the RTP clock rate of the digits, in Hz.
    pub(crate) fn clock_hz(&self) -> u32 {
        self.clock_hz
    }

    /// Queues digits; returns the number of digits rejected.
    pub(crate) fn add(&mut self, press: DigitFormat, digits: &str, ms: u16) -> usize {
        self.sender.add(press, digits, ms)
    }

    /// Returns the time of the next tick.
    pub(crate) fn due(&self) -> Instant {
        self.ticks.next_due()
    }

    /// Returns whether all digits have been sent.
    pub(crate) fn is_over(&self) -> bool {
        self.sender.is_over()
    }

    /// Skips the next tick, if it is due, without sending; the digits are sent from the following one. `None` while no
    /// tick is due.
    pub(crate) fn pass_over(&mut self, now: Instant) -> Option<()> {
        self.ticks.take_tick(now).map(|_| ())
    }

    /// Takes the next tick and writes its packet, if any; `None` while no tick is due.
    pub(crate) fn take_tick(&mut self, now: Instant, packet: &mut PacketBuf) -> Option<InjectorOutput> {
        let tick = self.ticks.take_tick(now)?;
        // Truncation is intended: timestamps are modulo 2^32.
        let at = self.timestamp.wrapping_add((tick.index as u32).wrapping_mul(self.clock_hz / 50));
        let signal = self.sender.next(at);
        Some(signal.and_then(|signal| self.write(signal, at, packet)).unwrap_or(InjectorOutput::Pause))
    }

    /// Returns the codec of the tones and a copy of their encoder; `None` for telephone-events and codecs without
    /// state.
    pub(crate) fn into_twin(self) -> Option<(PayloadCodec, SinkEncoder)> {
        let tones = self.tones?;
        Some((tones.coding, tones.encoding.twin()?))
    }

    fn write(&mut self, signal: DigitSignal, at: u32, packet: &mut PacketBuf) -> Option<InjectorOutput> {
        let (header, area) = packet.receive_area().split_at_mut_checked(FIXED_HEADER)?;
        *header.first_mut()? = 0x80;
        let (bytes, marker, payload_type, timestamp, since) = match signal {
            DigitSignal::Event(event) => {
                area.get_mut(..event.payload.len())?.copy_from_slice(&event.payload);
                (event.payload.len(), event.marker, event.payload_type, event.timestamp, event.since)
            }
            DigitSignal::Tone(part) => {
                let tones = self.tones.as_mut()?;
                let mut frame = [0; MOST_SAMPLES];
                let frame = frame.get_mut(..tones.rate_hz as usize / 50)?;
                part.fill(tones.rate_hz, frame);
                (tones.encoding.encode(frame, area), part.is_first(), tones.payload, at, 0)
            }
        };
        packet.set_len(FIXED_HEADER + bytes);
        let payload = FIXED_HEADER..FIXED_HEADER + bytes;
        let rtp = RtpHeader { marker, payload_type, sequence: self.sequence, timestamp, ssrc: self.ssrc, payload };
        self.sequence = self.sequence.wrapping_add(1);
        (bytes > 0).then_some(InjectorOutput::Packet { rtp, since })
    }
}
