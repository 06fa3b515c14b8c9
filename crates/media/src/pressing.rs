//! Keys that the edge presses into a stream that another far side feeds: while it does, the edge feeds the stream, on a
//! clock of its own, and what comes from the far side is dropped. So they go out also where that is silent or on hold.

use std::time::Instant;

use trunkgate_agent::Ticks;

use crate::counters::DropReason;
use crate::keys::Held;
use crate::packet::PacketBuf;
use crate::press::Presses;
use crate::rtp::{FIXED_HEADER, Rtp};
use crate::session::{Session, Transmit};
use crate::spec::{EndId, Event, MediaId, PressSpec};
use crate::voice::numbers;

/// What is pressed towards one end.
#[derive(Debug)]
pub(crate) struct Pressing {
    /// Its name among the feeders of its end.
    pub(crate) serial: u32,
    clock_hz: u32,
    ticks: Ticks,
    presses: Presses,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
}

impl Pressing {
    /// From now on, on this clock.
    pub(crate) fn new(now: Instant, (session, to): (MediaId, EndId), serial: u32, press: PressSpec) -> Pressing {
        let PressSpec::Event { clock_hz, .. } = press;
        let (ssrc, sequence, timestamp) = numbers(session, to, serial);
        Pressing { serial, clock_hz, ticks: Ticks::new(now), presses: Presses::default(), ssrc, sequence, timestamp }
    }
    /// Presses keys behind those that wait; how many are left out.
    pub(crate) fn add(&mut self, press: PressSpec, digits: &str, ms: u16) -> usize {
        self.presses.add(press, digits, ms)
    }
    /// When its next packet is due.
    pub(crate) fn due(&self) -> Instant {
        self.ticks.next_due()
    }

    /// The next packet that is due, and how much later it is than its timestamp says; `None` inside where this tick has none.
    fn take(&mut self, now: Instant, packet: &mut PacketBuf) -> Option<Option<(Rtp, u32)>> {
        let tick = self.ticks.take(now)?;
        // Truncation is meant: timestamps are modulo 2^32.
        let at = self.timestamp.wrapping_add((tick.index as u32).wrapping_mul(self.clock_hz / 50));
        Some(self.presses.next(at).and_then(|key| {
            let area = packet.receive_area().get_mut(..FIXED_HEADER + key.payload.len())?;
            let (header, payload) = area.split_at_mut(FIXED_HEADER);
            *header.first_mut()? = 0x80;
            payload.copy_from_slice(&key.payload);
            packet.set_len(FIXED_HEADER + key.payload.len());
            let rtp = Rtp {
                marker: key.marker,
                payload_type: key.payload_type,
                sequence: self.sequence,
                timestamp: key.timestamp,
                ssrc: self.ssrc,
                payload: FIXED_HEADER..FIXED_HEADER + key.payload.len(),
            };
            self.sequence = self.sequence.wrapping_add(1);
            Some((rtp, key.since))
        }))
    }
}

impl Session {
    /// Presses keys towards an end's far side.
    pub(crate) fn press(&mut self, now: Instant, id: EndId, press: PressSpec, digits: &str, ms: u16) {
        let Some(at) = self.position(id) else { return };
        let is_fed = self.ends.iter().any(|end| end.wire.as_ref().is_some_and(|wire| wire.to == id));
        let (session, serial) = (self.id(), self.new_serial());
        let Some(end) = self.ends.get_mut(at) else { return };
        let left_out = match &mut end.voice {
            Some(voice) => voice.press(press, digits, ms),
            None if is_fed => {
                let begun = || Box::new(Pressing::new(now, (session, id), serial, press));
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
            let (feeder, clock_hz) = (pressing.serial, pressing.clock_hz);
            let taken = pressing.take(now, packet)?;
            let is_over = pressing.presses.is_over();
            let sent = taken.map(|(rtp, since)| (self.forward(now, (feeder, id), clock_hz, rtp, packet), since));
            let end = self.ends.get_mut(at)?;
            end.pressing.take_if(|_| is_over);
            match sent {
                Some((Ok(transmit), since)) => {
                    end.outgoing.is_later_by(since);
                    return Some(transmit);
                }
                Some((Err(reason), _)) => self.dropped(at, reason),
                None => {}
            }
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
            self.key_ended(now, at, held);
        }
        Ok(())
    }

    /// Keys whose last packets were lost are over.
    pub(crate) fn release_lost_keys(&mut self, now: Instant) {
        for at in 0..self.ends.len() {
            let end = self.ends.get_mut(at);
            if let Some(held) = end.and_then(|end| end.held.take_if(|held| held.lost_at() <= now)) {
                self.key_ended(now, at, held);
            }
        }
    }

    /// When a key of an end, or of the edge towards it, is due next.
    pub(crate) fn keys_due(&self) -> impl Iterator<Item = Instant> {
        self.ends.iter().flat_map(|end| {
            let pressing = end.pressing.as_ref().map(|pressing| pressing.due());
            end.held.as_ref().map(Held::lost_at).into_iter().chain(pressing)
        })
    }

    /// A far side has let a key go.
    fn key_ended(&mut self, now: Instant, at: usize, held: Held) {
        let Some(end) = self.ends.get(at) else { return };
        let Some(wire) = &end.wire else { return };
        let press = wire.spec().parted.as_deref().and_then(|parted| parted.press);
        match press {
            Some(press) => {
                let mut digit = [0; 4];
                let ms = u16::try_from(held.ms()).unwrap_or(u16::MAX);
                self.press(now, wire.to, press, held.key.encode_utf8(&mut digit), ms);
            }
            None => self.events.push_back(Event::Key { end: end.id, key: held.key, ms: held.ms() }),
        }
    }
}
