//! Keys that the edge presses into a stream that another far side feeds: while it does, the edge feeds the stream, on a
//! clock of its own, and what comes from the far side is dropped. So they go out also where that is silent or on hold.

use std::time::Instant;

use trunkgate_agent::Ticks;

use crate::codec::g722;
use crate::counters::DropReason;
use crate::end::Wire;
use crate::keys::Held;
use crate::packet::PacketBuf;
use crate::press::{Pressed, Presses};
use crate::rtp::{FIXED_HEADER, Rtp};
use crate::session::{Session, Transmit};
use crate::spec::{EndId, Event, MediaId, PressSpec};
use crate::transcode::{Coding, Encoding};
use crate::voice::numbers;

/// Samples of 20 ms at the highest rate that tones are made at.
const MOST_SAMPLES: usize = 320;

/// What is pressed towards one end.
#[derive(Debug)]
pub(crate) struct Pressing {
    /// Its name among the feeders of its end.
    pub(crate) serial: u32,
    clock_hz: u32,
    tones: Option<Tones>,
    ticks: Ticks,
    presses: Presses,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
}

/// What makes tones.
#[derive(Debug)]
struct Tones {
    coding: Coding,
    encoding: Encoding,
    rate_hz: u32,
    payload: u8,
}

impl Pressing {
    /// From now on, on this clock; `twin`: that of what codes the stream.
    fn new(
        now: Instant,
        (session, to): (MediaId, EndId),
        serial: u32,
        press: PressSpec,
        twin: Option<Encoding>,
    ) -> Pressing {
        let (clock_hz, tones) = match press {
            PressSpec::Event { clock_hz, .. } => (clock_hz, None),
            PressSpec::Tone { payload, coding } => {
                let rate_hz = coding.rate_hz().unwrap_or(g722::RATE_HZ);
                let tones = twin.or_else(|| Encoding::new(coding, rate_hz)).map(|mut encoding| {
                    encoding.set_tone(true);
                    Tones { coding, encoding, rate_hz, payload }
                });
                (coding.clock_hz(), tones)
            }
        };
        let (ssrc, sequence, timestamp) = numbers(session, to, serial);
        let (ticks, presses) = (Ticks::new(now), Presses::default());
        Pressing { serial, clock_hz, tones, ticks, presses, ssrc, sequence, timestamp }
    }
    /// Presses keys behind those that wait; how many are left out.
    pub(crate) fn add(&mut self, press: PressSpec, digits: &str, ms: u16) -> usize {
        self.presses.add(press, digits, ms)
    }
    /// When its next packet is due.
    pub(crate) fn due(&self) -> Instant {
        self.ticks.next_due()
    }

    /// Passes the next tick over, if it is due: the digits wait.
    fn pass_over(&mut self, now: Instant) -> Option<()> {
        self.ticks.take(now).map(|_| ())
    }

    /// The next packet that is due, and how much later it is than its timestamp says; `None` inside where this tick has none.
    fn take(&mut self, now: Instant, packet: &mut PacketBuf) -> Option<Option<(Rtp, u32)>> {
        let tick = self.ticks.take(now)?;
        // Truncation is meant: timestamps are modulo 2^32.
        let at = self.timestamp.wrapping_add((tick.index as u32).wrapping_mul(self.clock_hz / 50));
        Some(self.presses.next(at).and_then(|pressed| self.write(pressed, at, packet)))
    }

    fn write(&mut self, pressed: Pressed, at: u32, packet: &mut PacketBuf) -> Option<(Rtp, u32)> {
        let (header, area) = packet.receive_area().split_at_mut_checked(FIXED_HEADER)?;
        *header.first_mut()? = 0x80;
        let (bytes, marker, payload_type, timestamp, since) = match pressed {
            Pressed::Event(key) => {
                area.get_mut(..key.payload.len())?.copy_from_slice(&key.payload);
                (key.payload.len(), key.marker, key.payload_type, key.timestamp, key.since)
            }
            Pressed::Tone(part) => {
                let tones = self.tones.as_mut()?;
                let mut frame = [0; MOST_SAMPLES];
                let frame = frame.get_mut(..tones.rate_hz as usize / 50)?;
                part.fill(tones.rate_hz, frame);
                (tones.encoding.encode(frame, area), part.is_first(), tones.payload, at, 0)
            }
        };
        packet.set_len(FIXED_HEADER + bytes);
        let payload = FIXED_HEADER..FIXED_HEADER + bytes;
        let rtp = Rtp { marker, payload_type, sequence: self.sequence, timestamp, ssrc: self.ssrc, payload };
        self.sequence = self.sequence.wrapping_add(1);
        Some((rtp, since)).filter(|_| bytes > 0)
    }
}

impl Session {
    /// Presses keys towards an end's far side.
    pub(crate) fn press(&mut self, now: Instant, id: EndId, press: PressSpec, digits: &str, ms: u16) {
        let Some(at) = self.position(id) else { return };
        let is_fed = self.ends.iter().any(|end| end.wire.as_ref().is_some_and(|wire| wire.to == id));
        let twin = self.encoding_towards(id, press).and_then(|encoding| encoding.twin());
        let (session, serial) = (self.id(), self.new_serial());
        let Some(end) = self.ends.get_mut(at) else { return };
        let left_out = match &mut end.voice {
            Some(voice) => voice.press(press, digits, ms),
            None if is_fed => {
                let begun = || Box::new(Pressing::new(now, (session, id), serial, press, twin));
                end.pressing.get_or_insert_with(begun).add(press, digits, ms)
            }
            None => 0,
        };
        let agent = self.agents.iter_mut().find(|agent| agent.wire.is_some_and(|feed| feed.to == id));
        if let Some(agent) = agent.filter(|_| left_out > 0) {
            let text = format!("too many keys wait to be pressed: {left_out} are left out");
            agent.note("keys_left_out", text, &mut self.events);
        }
    }

    /// The next packet of the keys that are pressed towards an end, if one is due.
    pub(crate) fn press_on(&mut self, now: Instant, at: usize, packet: &mut PacketBuf) -> Option<Transmit> {
        loop {
            let end = self.ends.get_mut(at)?;
            let (id, pressing) = (end.id, end.pressing.as_deref_mut()?);
            if end.withheld {
                pressing.pass_over(now)?;
                self.dropped(at, DropReason::Withheld);
                continue;
            }
            let (feeder, clock_hz) = (pressing.serial, pressing.clock_hz);
            let taken = pressing.take(now, packet)?;
            let is_over = pressing.presses.is_over();
            let sent = taken.map(|(rtp, since)| (self.forward(now, (feeder, id), clock_hz, rtp, packet), since));
            let end = self.ends.get_mut(at)?;
            let over = end.pressing.take_if(|_| is_over);
            if let Some(Ok((_, since))) = sent.as_ref().map(|(sent, since)| sent.as_ref().map(|sent| (sent, since))) {
                end.outgoing.is_later_by(*since);
            }
            self.go_on_behind(id, over);
            match sent {
                Some((Ok(transmit), _)) => return Some(transmit),
                Some((Err(reason), _)) => self.dropped(at, reason),
                None => {}
            }
        }
    }

    /// What codes the audio of another far side as these tones are coded.
    fn encoding_towards(&mut self, to: EndId, press: PressSpec) -> Option<&mut Encoding> {
        let mut wires = self.ends.iter_mut().filter_map(|end| end.wire.as_mut());
        let transcoder = wires.find(|wire| wire.to == to)?.transcoder.as_deref_mut()?;
        let (_, coding) = transcoder.spec().to;
        matches!(press, PressSpec::Tone { coding: ours, .. } if ours == coding).then(|| transcoder.encoding())
    }

    /// What codes the audio that follows keys goes on from where they stand.
    fn go_on_behind(&mut self, to: EndId, over: Option<Box<Pressing>>) {
        let Some(tones) = over.and_then(|over| over.tones) else { return };
        let press = PressSpec::Tone { payload: tones.payload, coding: tones.coding };
        if let Some((twin, encoding)) = tones.encoding.twin().zip(self.encoding_towards(to, press)) {
            *encoding = twin;
        }
    }

    /// Takes a packet that is no audio: whether it is a key on a wire whose two sides press keys in different ways.
    pub(crate) fn take_key(&mut self, now: Instant, at: usize, packet: (&Rtp, &[u8])) -> Result<(), DropReason> {
        let end = self.ends.get_mut(at).ok_or(DropReason::NoWire)?;
        let parted = end.wire.as_ref().and_then(|wire| wire.spec().parted.as_deref());
        let events =
            parted.and_then(|parted| parted.events.iter().find(|(number, _)| *number == packet.0.payload_type));
        let (_, clock_hz) = *events.ok_or(DropReason::UnknownPayload)?;
        let over = match end.keys.take(packet.0, packet.1) {
            Some(key) => end.held.replace(Held::new(now, key, clock_hz, packet)),
            None => None,
        };
        let ended = end.held.take_if(|held| held.ends_with(now, packet.0, packet.1));
        for held in over.into_iter().chain(ended) {
            self.key_ended(now, at, held.key, held.ms());
        }
        Ok(())
    }

    /// Keys whose last packets were lost are over.
    pub(crate) fn release_lost_keys(&mut self, now: Instant) {
        for at in 0..self.ends.len() {
            let end = self.ends.get_mut(at);
            let Some(end) = end else { continue };
            let held = end.held.take_if(|held| held.lost_at() <= now).map(|held| (held.key, held.ms()));
            let tone = end.wire.as_mut().and_then(|wire| wire.watch()).and_then(|watch| {
                watch.release_lost(now);
                watch.over.take()
            });
            for (key, ms) in held.into_iter().chain(tone) {
                self.key_ended(now, at, key, ms);
            }
        }
    }

    /// When a key of an end, or of the edge towards it, is due next.
    pub(crate) fn keys_due(&self) -> impl Iterator<Item = Instant> {
        self.ends.iter().flat_map(|end| {
            let pressing = end.pressing.as_ref().map(|pressing| pressing.due());
            let tone = end.wire.as_ref().and_then(Wire::tone_lost_at);
            end.held.as_ref().map(Held::lost_at).into_iter().chain(pressing).chain(tone)
        })
    }

    /// A far side has let a key go.
    pub(crate) fn key_ended(&mut self, now: Instant, at: usize, key: char, ms: u32) {
        let Some(end) = self.ends.get(at) else { return };
        let (id, Some(wire)) = (end.id, &end.wire) else { return };
        let (to, press) = (wire.to, wire.spec().parted.as_deref().and_then(|parted| parted.press));
        match press {
            Some(press) => {
                let mut digit = [0; 4];
                let ms = u16::try_from(ms).unwrap_or(u16::MAX);
                self.press(now, to, press, key.encode_utf8(&mut digit), ms);
            }
            None => self.events.push_back(Event::Key { end: id, key, ms }),
        }
    }
}
