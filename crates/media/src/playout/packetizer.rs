//! Stream that the edge generates for an end: every 20 ms it sends a frame of the agent or player that feeds the end,
//! or silence.
//!
//! The stream begins with the first agent or player that is wired to the end, and outlives every change between them.
//! After the last of them it continues with silence until a remote party's first packet is relayed. The end receives
//! one stream without a gap.

use std::time::Instant;

use trunkgate_agent::{Tick, TickGenerator};

use crate::codec::g711::{CLOCK_HZ, encode_alaw, encode_ulaw, ulaw_to_alaw};
use crate::codec::{PayloadCodec, SinkEncoder};
use crate::dtmf::{DigitFormat, DigitSignal, DtmfSender, EventPacket};
use crate::rtp::{FIXED_HEADER, PacketBuf, RtpHeader, StreamStart};
use crate::spec::EndId;

use super::encoder::FrameEncoder;
use super::fade::add_fading;
use super::feed::Feed;
use super::frame::{FRAME_SAMPLES, PlayoutFrame, UlawFrame};

/// Number of frames in a second.
const FRAMES_PER_SECOND: u32 = 50;

/// Clock, numbering and encoder of the stream.
#[derive(Debug)]
pub(crate) struct Packetizer {
    /// Serial number of the stream among the sources that have fed its end.
    serial: u32,
    ticks: TickGenerator,
    feed: Feed,
    /// Encoder of the stream; `None` for G.711.
    encoder: Option<Box<FrameEncoder>>,
    /// Feeder of the last frame; `None` for silence between feeders.
    feeder: Option<EndId>,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    /// Index of the stream's last tick.
    index: u64,
    /// Whether silence before the current tick was not sent (DTX).
    paused: bool,
    digits: DtmfSender,
    /// Part of a DTMF digit that the current tick sends in place of audio.
    signal: Option<DigitSignal>,
    /// Next frame of a feeder that was cut off, faded out in the next tick.
    tail: Option<Box<PlayoutFrame>>,
    /// Time at which the next tick was requested early; `None` if it was not.
    hurried: Option<Instant>,
}

impl Packetizer {
    /// Creates a stream with its first tick at `begins`.
    pub(crate) fn new(begins: Instant, start: StreamStart, feed: Feed) -> Packetizer {
        let StreamStart { serial, ssrc, sequence, timestamp } = start;
        Packetizer {
            serial,
            ticks: TickGenerator::new(begins),
            feed,
            encoder: FrameEncoder::new(feed.coding, feed.wide).map(Box::new),
            feeder: None,
            ssrc,
            sequence,
            timestamp,
            index: 0,
            paused: false,
            digits: DtmfSender::default(),
            signal: None,
            tail: None,
            hurried: None,
        }
    }

    /// Moves the stream's first tick forward to `now` if it would be later.
    pub(crate) fn begin_by(&mut self, now: Instant) {
        self.ticks.begin_by(now);
    }

    /// Aligns all ticks after the next one to `phase`.
    pub(crate) fn align(&mut self, phase: Instant) {
        self.ticks.align(phase);
    }

    /// Returns the serial number of the stream among the feeders of its end.
    pub(crate) fn serial(&self) -> u32 {
        self.serial
    }

    /// Stores the next frame of a feeder that is cut off, to fade it out in the next tick.
    pub(crate) fn cut_off(&mut self, next: PlayoutFrame) {
        self.tail = (!next.is_silent()).then(|| Box::new(next));
    }

    /// Requests the next tick at once if a fading frame waits for it, because a remote party feeds the end from now on.
    pub(crate) fn hurry(&mut self, now: Instant) {
        if self.tail.is_some() {
            self.hurried = Some(now);
        }
    }

    /// Mixes the fading frame of a feeder that was cut off, if any, into `said`.
    pub(crate) fn end_softly(&mut self, said: PlayoutFrame) -> PlayoutFrame {
        let Some(tail) = self.tail.take() else { return said };
        let wide = self
            .encoder
            .as_mut()
            .filter(|_| matches!(said, PlayoutFrame::Wide(_)) || matches!(*tail, PlayoutFrame::Wide(_)));
        let Some(encoder) = wide else {
            let mut both = said.linear();
            add_fading(&mut both, &tail.linear());
            return PlayoutFrame::Linear(both);
        };
        // Only 8 kHz audio passes the up-sampling filter, which keeps state.
        let mut widened = |said: &PlayoutFrame| match said {
            PlayoutFrame::Wide(samples) => *samples,
            PlayoutFrame::Ulaw(_) | PlayoutFrame::Linear(_) => encoder.widen(&said.linear()),
        };
        let mut both = widened(&said);
        add_fading(&mut both, &widened(&tail));
        PlayoutFrame::Wide(both)
    }

    /// Changes the agent or player that feeds the stream, and the codec if it differs; the clock continues.
    pub(crate) fn set_feed(&mut self, feed: Feed) {
        let before = self.timestamp_at(self.index);
        if !self.encoder.as_ref().is_some_and(|encoder| encoder.suits(feed.coding, feed.wide)) {
            self.encoder = FrameEncoder::new(feed.coding, feed.wide).map(Box::new);
        }
        self.feed = feed;
        // A codec with another clock continues from the current timestamp.
        let after = self.timestamp_at(self.index);
        self.timestamp = self.timestamp.wrapping_add(before.wrapping_sub(after));
    }

    /// Returns a copy of the encoder that continues from its current state, for the audio of a remote party that feeds
    /// the end from now on. `None` for codecs without state.
    pub(crate) fn twin(&self) -> Option<SinkEncoder> {
        self.encoder.as_ref()?.twin()
    }

    /// Continues with the encoder state of a remote party's audio that fed the end before.
    pub(crate) fn go_on_from(&mut self, twin: SinkEncoder) {
        if let Some(encoder) = &mut self.encoder {
            encoder.go_on_from(twin);
        }
    }

    /// Returns the RTP clock rate, in Hz.
    pub(crate) fn clock_hz(&self) -> u32 {
        self.feed.coding.clock_hz()
    }

    /// Returns the time of the next tick; earlier if [`Self::hurry`] requested it.
    pub(crate) fn due(&self) -> Instant {
        self.hurried.unwrap_or_else(|| self.ticks.next_due())
    }

    /// Advances to the next tick, and to the part of a digit that it sends; `None` while no tick is due.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Tick> {
        let tick = match self.hurried.take() {
            Some(_) => self.ticks.take_early(),
            None => self.ticks.take_tick(now)?,
        };
        self.index = tick.index;
        self.signal = self.digits.next(self.timestamp_at(tick.index));
        Some(tick)
    }

    /// Skips the next tick: media time advances without a packet, and no digit begins. `None` while no tick is due.
    pub(crate) fn pass_over(&mut self, now: Instant) -> Option<()> {
        self.hurried = None;
        self.index = self.ticks.take_tick(now)?.index;
        self.paused = true;
        Some(())
    }

    /// Queues digits to be sent from the next tick on; returns the number of digits rejected.
    pub(crate) fn send_digits(&mut self, press: DigitFormat, digits: &str, ms: u16) -> usize {
        self.digits.add(press, digits, ms)
    }

    /// Returns whether the current tick sends a part of a digit that replaces the feeder's audio.
    pub(crate) fn sends_digit(&self) -> bool {
        self.signal.is_some()
    }

    /// Writes a frame of `feeder` into the packet and returns its header; `None` if it need not be sent (DTX). Only
    /// written packets have a sequence number; the timestamp skips suppressed time.
    pub(crate) fn write(
        &mut self,
        tick: Tick,
        feeder: Option<EndId>,
        said: &PlayoutFrame,
        packet: &mut PacketBuf,
    ) -> Option<RtpHeader> {
        let tone = match self.signal.take() {
            Some(DigitSignal::Event(event)) => return self.write_event(&event, packet),
            Some(DigitSignal::Tone(tone)) => {
                let mut frame = [0; FRAME_SAMPLES];
                tone.fill(CLOCK_HZ, &mut frame);
                Some(PlayoutFrame::Linear(frame))
            }
            None => None,
        };
        let said = tone.as_ref().unwrap_or(said);
        let (header, payload) = packet.receive_area().split_at_mut_checked(FIXED_HEADER)?;
        *header.first_mut()? = 0x80;
        let bytes = match &mut self.encoder {
            Some(encoder) => {
                encoder.set_tone(tone.is_some());
                encoder.encode(said, payload)
            }
            None => write_g711(said, self.feed.coding, payload.first_chunk_mut()?),
        };
        // A change of feeder begins a talk spurt (RFC 3551 §4.1); silence between two feeders does not.
        let marker = feeder.is_some() && feeder != self.feeder;
        self.feeder = feeder.or(self.feeder);
        self.paused |= marker;
        if bytes == 0 {
            self.paused = true;
            return None;
        }
        let marker = std::mem::take(&mut self.paused);
        let (timestamp, payload_type) = (self.timestamp_at(tick.index), self.feed.payload);
        self.finish(marker, payload_type, timestamp, bytes, packet)
    }

    fn write_event(&mut self, event: &EventPacket, packet: &mut PacketBuf) -> Option<RtpHeader> {
        let area = packet.receive_area().get_mut(..FIXED_HEADER + event.payload.len())?;
        let (header, payload) = area.split_at_mut(FIXED_HEADER);
        *header.first_mut()? = 0x80;
        payload.copy_from_slice(&event.payload);
        self.finish(event.marker, event.payload_type, event.timestamp, event.payload.len(), packet)
    }

    /// Builds the header of a packet with `bytes` of payload and advances the sequence number.
    fn finish(
        &mut self,
        marker: bool,
        payload_type: u8,
        timestamp: u32,
        bytes: usize,
        packet: &mut PacketBuf,
    ) -> Option<RtpHeader> {
        let payload = FIXED_HEADER..FIXED_HEADER + bytes;
        let rtp = RtpHeader { marker, payload_type, sequence: self.sequence, timestamp, ssrc: self.ssrc, payload };
        self.sequence = self.sequence.wrapping_add(1);
        packet.set_len(FIXED_HEADER + bytes);
        rtp.write(packet.data_mut());
        Some(rtp)
    }

    /// Returns the timestamp of a tick by its index.
    fn timestamp_at(&self, index: u64) -> u32 {
        // Truncation is intended: timestamps are modulo 2^32.
        self.timestamp.wrapping_add((index as u32).wrapping_mul(self.clock_hz() / FRAMES_PER_SECOND))
    }
}

/// Writes a frame in G.711 and returns the number of bytes.
fn write_g711(said: &PlayoutFrame, coding: PayloadCodec, payload: &mut UlawFrame) -> usize {
    match (said, coding == PayloadCodec::Pcma) {
        (PlayoutFrame::Ulaw(codes), false) => payload.copy_from_slice(codes),
        (PlayoutFrame::Ulaw(codes), true) => each(payload, codes, ulaw_to_alaw),
        (PlayoutFrame::Linear(samples), false) => each(payload, samples, encode_ulaw),
        (PlayoutFrame::Linear(samples), true) => each(payload, samples, encode_alaw),
        (PlayoutFrame::Wide(_), false) => each(payload, &said.linear(), encode_ulaw),
        (PlayoutFrame::Wide(_), true) => each(payload, &said.linear(), encode_alaw),
    }
    FRAME_SAMPLES
}

fn each<T: Copy>(payload: &mut [u8], samples: &[T], code: impl Fn(T) -> u8) {
    payload.iter_mut().zip(samples).for_each(|(to, from)| *to = code(*from));
}
