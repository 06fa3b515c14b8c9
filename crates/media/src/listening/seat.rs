//! One seat: a remote party as a party of a conference. What it says goes to the mixer, frame by frame, and what it hears
//! comes from there; both through rings, since the mixer runs on another thread.

use std::time::{Duration, Instant};

use trunkgate_agent::TrackName;
use trunkgate_agent::limits::FRAME;
use trunkgate_conference::{Frame as Ringed, FrameReceiver, FrameSender, Rate};

use crate::codec::Coding;
use crate::limits::{SEAT_FRAMES, SEAT_LEAD};
use crate::playout::{FRAME_SAMPLES, Feed, Frame, WIDE_SAMPLES};
use crate::rtp::{PacketBuf, Rtp};
use crate::spec::{EndId, SeatSpec, TapSpec};
use crate::transcode::{TranscodeSpec, Transcoder};

use super::listener::TrackPacket;

/// Milliseconds of a frame.
const FRAME_MS: u8 = 20;

/// A seat.
#[derive(Debug)]
pub(super) struct Seat {
    id: EndId,
    to_mixer: FrameSender,
    from_mixer: FrameReceiver,
    ticks_at: Instant,
    /// Decodes what the party says; `None` before its audio is known.
    decoder: Option<Box<Transcoder>>,
    /// A frame that the decoder has made.
    packet: Box<PacketBuf>,
    /// The wire to the end that it feeds.
    feed: Option<Feed>,
    /// Its own clock, where its party is an agent.
    clock: Option<Clock>,
}

/// Ticks of a seat whose party is an agent, and the place of what that hears in its time.
#[derive(Debug, Clone, Copy)]
struct Clock {
    due: Instant,
    sequence: u16,
    timestamp: u32,
}

impl Seat {
    /// Creates a seat; `None` where another one has the rings already.
    pub(super) fn new(id: EndId, spec: &SeatSpec) -> Option<Seat> {
        let (to_mixer, from_mixer) = spec.take()?;
        let packet = Box::new(PacketBuf::new());
        Some(Seat {
            id,
            to_mixer,
            from_mixer,
            ticks_at: spec.ticks_at(),
            decoder: None,
            packet,
            feed: None,
            clock: None,
        })
    }

    /// Returns its name.
    pub(super) fn id(&self) -> EndId {
        self.id
    }

    /// Returns the wire to the end that it feeds.
    pub(super) fn feed(&self) -> Option<Feed> {
        self.feed
    }

    /// Returns the first tick of its mixer.
    pub(super) fn ticks_at(&self) -> Instant {
        self.ticks_at
    }

    /// Whether it is fed more than 4 kHz.
    pub(super) fn is_wide(&self) -> bool {
        self.from_mixer.rate() != Rate::Narrow
    }

    /// Feeds an end; returns when its stream is to begin: soon after a tick of the mixer, so that no frame waits for long.
    pub(super) fn connect(&mut self, now: Instant, feed: Feed) -> Instant {
        self.feed = Some(feed);
        self.next_tick(now)
    }

    /// Begins the clock by which an agent is a party.
    pub(super) fn begin_clock(&mut self, now: Instant) {
        let due = self.next_tick(now);
        self.clock.get_or_insert(Clock { due, sequence: 0, timestamp: 0 });
    }

    /// Returns when its clock is due.
    pub(super) fn clock_due(&self) -> Option<Instant> {
        self.clock.map(|clock| clock.due)
    }

    /// Takes a tick of its clock that is due: the packet header of what its party hears in it.
    pub(super) fn take_tick(&mut self, now: Instant) -> Option<Rtp> {
        let clock = self.clock.as_mut().filter(|clock| clock.due <= now)?;
        let Clock { due, sequence, timestamp } = *clock;
        *clock = Clock {
            // What a pause of the machine's has left out is not made up for.
            due: (due + FRAME).max(now.checked_sub(FRAME).unwrap_or(now)),
            sequence: sequence.wrapping_add(1),
            timestamp: timestamp.wrapping_add(FRAME_SAMPLES as u32),
        };
        Some(Rtp { marker: false, payload_type: 0, sequence, timestamp, ssrc: 0, payload: 0..FRAME_SAMPLES })
    }

    /// Takes the next 20 ms of a party that is an agent.
    pub(super) fn say(&mut self, frame: &Frame) {
        if self.from_mixer.rate() == Rate::Narrow {
            self.to_mixer.push(Some(&frame.linear()));
        }
    }

    /// Returns a time soon after the next tick of the mixer.
    fn next_tick(&self, now: Instant) -> Instant {
        let since = now.saturating_duration_since(self.ticks_at);
        let ticks = u32::try_from(since.as_micros().div_ceil(FRAME.as_micros())).unwrap_or(u32::MAX);
        let next = FRAME.checked_mul(ticks).unwrap_or(Duration::ZERO);
        self.ticks_at.checked_add(next + SEAT_LEAD).unwrap_or(now)
    }

    /// Feeds no end any more.
    pub(super) fn disconnect(&mut self) {
        self.feed = None;
    }

    /// Sets the audio of the party, by payload number.
    pub(super) fn tune(&mut self, audio: &TapSpec) {
        if self.decoder.as_ref().is_some_and(|decoder| decoder.spec().from == audio.inbound) {
            return;
        }
        let rate_hz = self.from_mixer.rate().hz();
        let to = (0, Coding::Linear(rate_hz));
        let from = audio.inbound.clone();
        let spec = TranscodeSpec { from, to, packet_ms: FRAME_MS, events: Vec::new(), noise: None };
        self.decoder = Transcoder::new(spec, 0, (0, 0, 0)).map(Box::new);
    }

    /// Returns whether audio is decoded for it that is not G.711.
    pub(super) fn decodes(&self) -> bool {
        self.decoder.as_ref().is_some_and(|decoder| decoder.spec().from.iter().any(|(_, coding)| !coding.is_g711()))
    }

    /// Takes a packet of the party; `coding`: that of its audio, `None` where it has none.
    pub(super) fn hear(&mut self, now: Instant, packet: &TrackPacket<'_>, coding: Option<Coding>) {
        let Some(decoder) = self.decoder.as_mut().filter(|_| coding.is_some() && packet.track == TrackName::Inbound)
        else {
            return;
        };
        let payload = packet.bytes.get(packet.rtp.payload.clone()).unwrap_or_default();
        if decoder.push(now, packet.rtp, payload).is_err() {
            // The mixer conceals a frame that does not come.
            return;
        }
        while let Some(made) = decoder.poll(&mut self.packet) {
            let mut samples = [0; WIDE_SAMPLES];
            let bytes = self.packet.data().get(made.payload).unwrap_or_default();
            let places = samples.iter_mut().zip(bytes.as_chunks().0);
            let count = places.map(|(to, pair)| *to = i16::from_le_bytes(*pair)).count();
            self.to_mixer.push(samples.get(..count));
        }
    }

    /// Returns the next frame that the party hears; `None` where none has come, which is heard as silence.
    pub(super) fn next_frame(&mut self) -> Option<Frame> {
        let mut samples = [0; WIDE_SAMPLES];
        let mut ringed = self.from_mixer.pop(&mut samples);
        // Of more than usually wait, the oldest are left out: they would be late for ever.
        while self.from_mixer.waiting() > SEAT_FRAMES {
            ringed = self.from_mixer.pop(&mut samples);
        }
        if ringed? == Ringed::Lost {
            return None;
        }
        if self.is_wide() {
            return Some(Frame::Wide(samples));
        }
        samples.first_chunk::<FRAME_SAMPLES>().map(|narrow| Frame::Linear(*narrow))
    }
}
