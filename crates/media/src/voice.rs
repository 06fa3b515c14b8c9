//! The stream that the edge itself makes for an end: one clock that sends 20 ms of whoever feeds the end, or silence.
//!
//! It begins with the first agent or player that is wired to the end and outlives every change between them; after them
//! it goes on with silence until a far side's first packet is relayed. So the end hears one stream without a gap.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Instant;

use trunkgate_agent::{Tick, Ticks};

use crate::codec::g711::{ULAW_SILENCE, alaw_to_ulaw, decode_ulaw, encode_alaw, encode_ulaw, ulaw_to_alaw};
use crate::coder::Coder;
use crate::fade::{add_fading, fade_out};
use crate::level::{level, ulaw_level};
use crate::packet::{PACKET, PacketBuf};
use crate::press::{KeyPacket, Pressed, Presses};
use crate::rtp::{FIXED_HEADER, Rtp};
use crate::spec::{EndId, MediaId, PressSpec, WireSpec};
use crate::transcode::{Coding, Encoding};

/// Samples of a frame of 20 ms.
pub(crate) const FRAME_SAMPLES: usize = 160;
/// Samples of one at 16 kHz.
pub(crate) const WIDE_SAMPLES: usize = 2 * FRAME_SAMPLES;
/// The RTP clock of G.711, in Hz.
pub(crate) const CLOCK_HZ: u32 = 8000;
/// Frames in a second.
const FRAMES_PER_SECOND: u32 = 50;

/// One frame, μ-law.
pub(crate) type Frame = [u8; FRAME_SAMPLES];

/// One frame of who feeds the stream, before it is coded as the far side has it.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::large_enum_variant, reason = "a box would be an allocation every 20 ms")]
pub(crate) enum Said {
    /// μ-law.
    Ulaw(Frame),
    /// Linear.
    Linear(Linear),
    /// Linear, at 16 kHz.
    Wide(Wide),
}

/// One frame, linear.
pub(crate) type Linear = [i16; FRAME_SAMPLES];
/// One frame at 16 kHz, linear.
pub(crate) type Wide = [i16; WIDE_SAMPLES];

/// A frame of silence.
pub(crate) const SILENT: Frame = [ULAW_SILENCE; FRAME_SAMPLES];

impl Said {
    /// How loud it is.
    pub(crate) fn level(&self) -> u16 {
        match self {
            Said::Ulaw(codes) => ulaw_level(codes),
            Said::Linear(samples) => level(samples),
            Said::Wide(samples) => level(samples),
        }
    }
    /// As linear samples at 8 kHz; of more, only what a codec that changes meanwhile leaves to be heard.
    pub(crate) fn linear(&self) -> Linear {
        match self {
            Said::Ulaw(codes) => codes.map(decode_ulaw),
            Said::Linear(samples) => *samples,
            Said::Wide(samples) => {
                let mut narrow = [0; FRAME_SAMPLES];
                narrow.iter_mut().zip(samples.as_chunks().0).for_each(|(to, [one, other])| *to = one.midpoint(*other));
                narrow
            }
        }
    }
    /// Faded out.
    pub(crate) fn faded_out(self) -> Said {
        match self {
            Said::Ulaw(_) | Said::Linear(_) => {
                let mut samples = self.linear();
                fade_out(&mut samples);
                Said::Linear(samples)
            }
            Said::Wide(mut samples) => {
                fade_out(&mut samples);
                Said::Wide(samples)
            }
        }
    }
    /// Whether nothing is heard of it.
    pub(crate) fn is_silent(&self) -> bool {
        match self {
            Said::Ulaw(codes) => codes.iter().all(|code| decode_ulaw(*code) == 0),
            Said::Linear(samples) => *samples == [0; FRAME_SAMPLES],
            Said::Wide(samples) => *samples == [0; WIDE_SAMPLES],
        }
    }
}

/// The wire from an agent or a player to an RTP end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Feed {
    /// The sink.
    pub(crate) to: EndId,
    payload: u8,
    coding: Coding,
    /// Whether more than 4 kHz is said.
    pub(crate) wide: bool,
}

impl Feed {
    /// As the wire says, from one who speaks `wide` audio or not; `None` where it has no payload number.
    pub(crate) fn new(to: EndId, spec: &WireSpec, wide: bool) -> Option<Feed> {
        let (_, payload) = spec.payloads.first().copied().filter(|(_, to)| *to < 128)?;
        Some(Feed { to, payload, coding: spec.coding, wide: wide && !spec.coding.is_g711() })
    }
}

/// The clock and the numbers of the stream.
#[derive(Debug)]
pub(crate) struct Voice {
    /// Its name among the feeders of its end.
    pub(crate) serial: u32,
    ticks: Ticks,
    feed: Feed,
    /// What codes it, unless it is G.711.
    coder: Option<Box<Coder>>,
    /// Who spoke last.
    feeder: Option<EndId>,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    /// The last tick's.
    index: u64,
    /// Silence was not sent.
    paused: bool,
    presses: Presses,
    /// A key's, due instead of audio.
    key: Option<Pressed>,
    /// What would have been heard next of one who was cut off: faded out in the next tick.
    tail: Option<Box<Said>>,
    /// Since when the next tick is due before its time.
    hurried: Option<Instant>,
}

impl Voice {
    /// A stream that begins now. Its numbers are told apart from other streams', not secret.
    pub(crate) fn new(now: Instant, session: MediaId, serial: u32, feed: Feed) -> Voice {
        let (ssrc, sequence, timestamp) = numbers(session, feed.to, serial);
        Voice {
            serial,
            ticks: Ticks::new(now),
            feed,
            coder: Coder::new(feed.coding, feed.wide).map(Box::new),
            feeder: None,
            ssrc,
            sequence,
            timestamp,
            index: 0,
            paused: false,
            presses: Presses::default(),
            key: None,
            tail: None,
            hurried: None,
        }
    }
    /// Somebody is cut off, of whom this would have been heard next.
    pub(crate) fn cut_off(&mut self, next: Said) {
        self.tail = (!next.is_silent()).then(|| Box::new(next));
    }
    /// A far side takes the stream over: what is still to be faded out leaves now, before the far side's first packet.
    pub(crate) fn hurry(&mut self, now: Instant) {
        if self.tail.is_some() {
            self.hurried = Some(now);
        }
    }
    /// Adds to a frame what is heard of one who was cut off.
    pub(crate) fn end_softly(&mut self, said: Said) -> Said {
        let Some(tail) = self.tail.take() else { return said };
        let wide = self.coder.as_mut().filter(|_| matches!(said, Said::Wide(_)) || matches!(*tail, Said::Wide(_)));
        let Some(coder) = wide else {
            let mut both = said.linear();
            add_fading(&mut both, &tail.linear());
            return Said::Linear(both);
        };
        // Only what is said at 8 kHz goes through its filter, which knows what was said before.
        let mut widened = |said: &Said| match said {
            Said::Wide(samples) => *samples,
            Said::Ulaw(_) | Said::Linear(_) => coder.widen(&said.linear()),
        };
        let mut both = widened(&said);
        add_fading(&mut both, &widened(&tail));
        Said::Wide(both)
    }
    /// Another feeder, on the same clock, or another codec.
    pub(crate) fn set_feed(&mut self, feed: Feed) {
        let before = self.timestamp_at(self.index);
        if !self.coder.as_ref().is_some_and(|coder| coder.suits(feed.coding, feed.wide)) {
            self.coder = Coder::new(feed.coding, feed.wide).map(Box::new);
        }
        self.feed = feed;
        // Where that has another clock, it goes on from there.
        let after = self.timestamp_at(self.index);
        self.timestamp = self.timestamp.wrapping_add(before.wrapping_sub(after));
    }
    /// What codes on from where it stands, for a far side that takes the stream over.
    pub(crate) fn twin(&self) -> Option<Encoding> {
        self.coder.as_ref()?.twin()
    }
    /// Takes the stream over from a far side whose audio was coded for it.
    pub(crate) fn go_on_from(&mut self, twin: Encoding) {
        if let Some(coder) = &mut self.coder {
            coder.go_on_from(twin);
        }
    }
    /// Its clock, in Hz.
    pub(crate) fn clock_hz(&self) -> u32 {
        self.feed.coding.clock_hz()
    }
    /// When it speaks next.
    pub(crate) fn due(&self) -> Instant {
        self.hurried.unwrap_or_else(|| self.ticks.next_due())
    }
    /// The next tick, if it is due.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Tick> {
        let tick = match self.hurried.take() {
            Some(_) => self.ticks.take_early(),
            None => self.ticks.take(now)?,
        };
        self.index = tick.index;
        self.key = self.presses.next(self.timestamp_at(tick.index));
        Some(tick)
    }
    /// Passes the next tick over, if it is due: its media time goes by unsent, and no digit begins.
    pub(crate) fn pass_over(&mut self, now: Instant) -> Option<()> {
        self.hurried = None;
        self.index = self.ticks.take(now)?.index;
        self.paused = true;
        Some(())
    }
    /// Presses keys from the next tick on, or behind those that wait; how many are left out.
    pub(crate) fn press(&mut self, press: PressSpec, digits: &str, ms: u16) -> usize {
        self.presses.add(press, digits, ms)
    }
    /// Whether the tick that was taken is a key's: nobody's audio is to be used for it.
    pub(crate) fn is_pressing(&self) -> bool {
        self.key.is_some()
    }
    /// Puts a frame of `feeder` into the packet and returns its header; `None` where nothing need be sent. Only what is
    /// written has a sequence number: media time that was not sent is a jump of the timestamp.
    pub(crate) fn write(
        &mut self,
        tick: Tick,
        feeder: Option<EndId>,
        said: &Said,
        packet: &mut PacketBuf,
    ) -> Option<Rtp> {
        let tone = match self.key.take() {
            Some(Pressed::Event(key)) => return self.write_key(&key, packet),
            Some(Pressed::Tone(tone)) => {
                let mut frame = [0; FRAME_SAMPLES];
                tone.fill(CLOCK_HZ, &mut frame);
                Some(Said::Linear(frame))
            }
            None => None,
        };
        let said = tone.as_ref().unwrap_or(said);
        let (header, payload) = packet.receive_area().split_at_mut_checked(FIXED_HEADER)?;
        *header.first_mut()? = 0x80;
        let bytes = match &mut self.coder {
            Some(coder) => {
                coder.set_tone(tone.is_some());
                coder.encode(said, payload)
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

    fn write_key(&mut self, key: &KeyPacket, packet: &mut PacketBuf) -> Option<Rtp> {
        let area = packet.receive_area().get_mut(..FIXED_HEADER + key.payload.len())?;
        let (header, payload) = area.split_at_mut(FIXED_HEADER);
        *header.first_mut()? = 0x80;
        payload.copy_from_slice(&key.payload);
        self.finish(key.marker, key.payload_type, key.timestamp, key.payload.len(), packet)
    }

    /// Numbers a packet whose payload of so many bytes is written.
    fn finish(
        &mut self,
        marker: bool,
        payload_type: u8,
        timestamp: u32,
        bytes: usize,
        packet: &mut PacketBuf,
    ) -> Option<Rtp> {
        let payload = FIXED_HEADER..FIXED_HEADER + bytes;
        let rtp = Rtp { marker, payload_type, sequence: self.sequence, timestamp, ssrc: self.ssrc, payload };
        self.sequence = self.sequence.wrapping_add(1);
        packet.set_len(FIXED_HEADER + bytes);
        rtp.write(packet.data_mut());
        Some(rtp)
    }

    /// The timestamp of the tick of this index.
    fn timestamp_at(&self, index: u64) -> u32 {
        // Truncation is meant: timestamps are modulo 2^32.
        self.timestamp.wrapping_add((index as u32).wrapping_mul(self.clock_hz() / FRAMES_PER_SECOND))
    }
}

/// Source, first sequence number and timestamp of a stream that the edge makes.
pub(crate) fn numbers(session: MediaId, to: EndId, serial: u32) -> (u32, u16, u32) {
    let mut hasher = DefaultHasher::new();
    (session.0, to.0, serial).hash(&mut hasher);
    let ssrc = hasher.finish();
    serial.hash(&mut hasher);
    let numbers = hasher.finish();
    // Truncation is meant: each takes its own bits. The first number is far from rolling over, so that a far side that
    // misses the beginning still counts right (RFC 3711 §3.3.1).
    (ssrc as u32, numbers as u16 & 0x7fff, (numbers >> 32) as u32)
}

/// A frame in G.711; how many bytes.
fn write_g711(said: &Said, coding: Coding, payload: &mut Frame) -> usize {
    match (said, coding == Coding::Pcma) {
        (Said::Ulaw(codes), false) => payload.copy_from_slice(codes),
        (Said::Ulaw(codes), true) => each(payload, codes, ulaw_to_alaw),
        (Said::Linear(samples), false) => each(payload, samples, encode_ulaw),
        (Said::Linear(samples), true) => each(payload, samples, encode_alaw),
        (Said::Wide(_), false) => each(payload, &said.linear(), encode_ulaw),
        (Said::Wide(_), true) => each(payload, &said.linear(), encode_alaw),
    }
    FRAME_SAMPLES
}

fn each<T: Copy>(payload: &mut [u8], samples: &[T], code: impl Fn(T) -> u8) {
    payload.iter_mut().zip(samples).for_each(|(to, from)| *to = code(*from));
}

/// A payload in μ-law: as it is, or by way of `scratch`.
pub(crate) fn as_ulaw<'a>(payload: &'a [u8], coding: Coding, scratch: &'a mut [u8; PACKET]) -> &'a [u8] {
    if coding != Coding::Pcma {
        return payload;
    }
    let converted = scratch.iter_mut().zip(payload).map(|(to, from)| *to = alaw_to_ulaw(*from)).count();
    scratch.get(..converted).unwrap_or_default()
}
