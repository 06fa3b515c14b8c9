//! The stream that the edge itself makes for an end: one clock that sends 20 ms of whoever feeds the end, or silence.
//!
//! It begins with the first agent or player that is wired to the end and outlives every change between them; after them
//! it goes on with silence until a far side's first packet is relayed. So the end hears one stream without a gap.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Instant;

use trunkgate_agent::{Tick, Ticks};

use crate::codec::g711::{ULAW_SILENCE, alaw_to_ulaw, ulaw_to_alaw};
use crate::packet::{PACKET, PacketBuf};
use crate::rtp::{FIXED_HEADER, Rtp};
use crate::spec::{EndId, Law, MediaId, WireSpec};

/// Samples of a frame of 20 ms, and ticks of its RTP clock.
pub(crate) const FRAME_SAMPLES: usize = 160;
/// The RTP clock of G.711, in Hz.
pub(crate) const CLOCK_HZ: u32 = 8000;
const FRAME_TICKS: u32 = 160;

/// One frame, μ-law.
pub(crate) type Frame = [u8; FRAME_SAMPLES];
/// A frame of silence.
pub(crate) const SILENT: Frame = [ULAW_SILENCE; FRAME_SAMPLES];

/// The wire from an agent or a player to an RTP end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Feed {
    /// The sink.
    pub(crate) to: EndId,
    payload: u8,
    law: Law,
}

impl Feed {
    /// As the wire says; `None` where it has no payload number.
    pub(crate) fn new(to: EndId, spec: &WireSpec) -> Option<Feed> {
        let (_, payload) = spec.payloads.first().copied().filter(|(_, to)| *to < 128)?;
        Some(Feed { to, payload, law: spec.law })
    }
}

/// The clock and the numbers of the stream.
#[derive(Debug)]
pub(crate) struct Voice {
    /// Its name among the feeders of its end.
    pub(crate) serial: u32,
    ticks: Ticks,
    feed: Feed,
    /// Who spoke last.
    feeder: Option<EndId>,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
}

impl Voice {
    /// A stream that begins now. Its numbers are told apart from other streams', not secret.
    pub(crate) fn new(now: Instant, session: MediaId, serial: u32, feed: Feed) -> Voice {
        let mut hasher = DefaultHasher::new();
        (session.0, feed.to.0, serial).hash(&mut hasher);
        let ssrc = hasher.finish();
        serial.hash(&mut hasher);
        let numbers = hasher.finish();
        // Truncation is meant: each takes its own bits.
        Voice {
            serial,
            ticks: Ticks::new(now),
            feed,
            feeder: None,
            ssrc: ssrc as u32,
            // Far from rolling over, so that a far side that misses the beginning still counts right (RFC 3711 §3.3.1).
            sequence: numbers as u16 & 0x7fff,
            timestamp: (numbers >> 32) as u32,
        }
    }
    /// Another feeder, on the same clock.
    pub(crate) fn set_feed(&mut self, feed: Feed) {
        self.feed = feed;
    }
    /// When it speaks next.
    pub(crate) fn due(&self) -> Instant {
        self.ticks.next_due()
    }
    /// The next tick, if it is due.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Tick> {
        self.ticks.take(now)
    }
    /// Puts a frame of `feeder` into the packet and returns its header. Only what is written has a sequence number: media
    /// time that was not sent is a jump of the timestamp.
    pub(crate) fn write(
        &mut self,
        tick: Tick,
        feeder: Option<EndId>,
        frame: &Frame,
        packet: &mut PacketBuf,
    ) -> Option<Rtp> {
        let area = packet.receive_area().get_mut(..FIXED_HEADER + FRAME_SAMPLES)?;
        let (header, payload) = area.split_at_mut(FIXED_HEADER);
        *header.first_mut()? = 0x80;
        match self.feed.law {
            Law::Mu => payload.copy_from_slice(frame),
            Law::A => payload.iter_mut().zip(frame).for_each(|(to, from)| *to = ulaw_to_alaw(*from)),
        }
        // A change of feeder begins a talk spurt (RFC 3551 §4.1); silence between two feeders does not.
        let marker = feeder.is_some() && feeder != self.feeder;
        self.feeder = feeder.or(self.feeder);
        // Truncation is meant: timestamps are modulo 2^32.
        let rtp = Rtp {
            marker,
            payload_type: self.feed.payload,
            sequence: self.sequence,
            timestamp: self.timestamp.wrapping_add((tick.index as u32).wrapping_mul(FRAME_TICKS)),
            ssrc: self.ssrc,
            payload: FIXED_HEADER..FIXED_HEADER + FRAME_SAMPLES,
        };
        self.sequence = self.sequence.wrapping_add(1);
        packet.set_len(FIXED_HEADER + FRAME_SAMPLES);
        rtp.write(packet.data_mut());
        Some(rtp)
    }
}

/// A payload in μ-law: as it is, or by way of `scratch`.
pub(crate) fn as_ulaw<'a>(payload: &'a [u8], law: Law, scratch: &'a mut [u8; PACKET]) -> &'a [u8] {
    match law {
        Law::Mu => payload,
        Law::A => {
            let converted = scratch.iter_mut().zip(payload).map(|(to, from)| *to = alaw_to_ulaw(*from)).count();
            scratch.get(..converted).unwrap_or_default()
        }
    }
}
