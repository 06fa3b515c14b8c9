//! Conference seat: connects a remote party with the mixer. Audio of the party goes to the mixer and the mixed audio
//! returns, frame by frame, through rings, because the mixer runs on another thread.

use std::time::{Duration, Instant};

use trunkgate_agent::TrackName;
use trunkgate_agent::limits::FRAME;
use trunkgate_conference::{FrameReceiver, FrameSender, RingFrame as Ringed, SamplingRate};

use crate::codec::PayloadCodec;
use crate::limits::{SEAT_FRAMES, SEAT_LEAD};
use crate::playout::{FRAME_SAMPLES, Feed, PlayoutFrame, WIDE_SAMPLES};
use crate::rtp::{PacketBuf, RtpHeader};
use crate::spec::{EndId, MixerPortSpec, TapSpec};
use crate::transcode::{TranscodeSpec, Transcoder};

use super::listener::TrackPacket;

/// Duration of a frame, in milliseconds.
const FRAME_MS: u8 = 20;

/// Conference seat of one party, an end of the session.
#[derive(Debug)]
pub(super) struct MixerPort {
    id: EndId,
    to_mixer: FrameSender,
    from_mixer: FrameReceiver,
    ticks_at: Instant,
    /// Decoder of the party's audio; `None` until its codecs are known.
    decoder: Option<Box<Transcoder>>,
    /// Buffer of the last decoded frame.
    packet: Box<PacketBuf>,
    /// Wire to the end that the seat feeds.
    feed: Option<Feed>,
    /// Clock of a seat for an agent; `None` for a remote party, because its generated stream has the clock.
    clock: Option<MixerPortClock>,
}

/// Clock of a seat for an agent, with the RTP position of the audio sent to the agent.
#[derive(Debug, Clone, Copy)]
struct MixerPortClock {
    due: Instant,
    sequence: u16,
    timestamp: u32,
}

impl MixerPort {
    /// Creates a seat; `None` if another seat already uses the rings.
    pub(super) fn new(id: EndId, spec: &MixerPortSpec) -> Option<MixerPort> {
        let (to_mixer, from_mixer) = spec.take()?;
        let packet = Box::new(PacketBuf::new());
        Some(MixerPort {
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

    /// Returns the id of the seat among the ends of the session.
    pub(super) fn id(&self) -> EndId {
        self.id
    }

    /// Returns the wire to the end that the seat feeds.
    pub(super) fn feed(&self) -> Option<Feed> {
        self.feed
    }

    /// Returns the time of the first tick of the mixer.
    pub(super) fn ticks_at(&self) -> Instant {
        self.ticks_at
    }

    /// Returns whether the mixer provides audio above 4 kHz.
    pub(super) fn is_wide(&self) -> bool {
        self.from_mixer.rate() != SamplingRate::Narrow
    }

    /// Makes the seat feed an end and returns the start time of the end's stream: soon after a tick of the mixer, to
    /// keep the delay low.
    pub(super) fn connect(&mut self, now: Instant, feed: Feed) -> Instant {
        self.feed = Some(feed);
        self.next_tick(now)
    }

    /// Starts the seat's own clock, which a seat for an agent needs.
    pub(super) fn begin_clock(&mut self, now: Instant) {
        let due = self.next_tick(now);
        self.clock.get_or_insert(MixerPortClock { due, sequence: 0, timestamp: 0 });
    }

    /// Returns the next tick of the seat's own clock; `None` without such a clock.
    pub(super) fn clock_due(&self) -> Option<Instant> {
        self.clock.map(|clock| clock.due)
    }

    /// Advances the clock by a tick if one is due; returns the RTP header of the audio sent to the agent.
    pub(super) fn take_tick(&mut self, now: Instant) -> Option<RtpHeader> {
        let clock = self.clock.as_mut().filter(|clock| clock.due <= now)?;
        let MixerPortClock { due, sequence, timestamp } = *clock;
        *clock = MixerPortClock {
            // Ticks missed while the machine paused are not made up.
            due: (due + FRAME).max(now.checked_sub(FRAME).unwrap_or(now)),
            sequence: sequence.wrapping_add(1),
            timestamp: timestamp.wrapping_add(FRAME_SAMPLES as u32),
        };
        Some(RtpHeader { marker: false, payload_type: 0, sequence, timestamp, ssrc: 0, payload: 0..FRAME_SAMPLES })
    }

    /// Sends the next 20 ms of an agent's audio to the mixer.
    pub(super) fn say(&mut self, frame: &PlayoutFrame) {
        if self.from_mixer.rate() == SamplingRate::Narrow {
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

    /// Removes the wire to the end that the seat feeds.
    pub(super) fn disconnect(&mut self) {
        self.feed = None;
    }

    /// Sets the codecs of the party's audio by payload type.
    pub(super) fn tune(&mut self, audio: &TapSpec) {
        if self.decoder.as_ref().is_some_and(|decoder| decoder.spec().from == audio.inbound) {
            return;
        }
        let rate_hz = self.from_mixer.rate().hz();
        let to = (0, PayloadCodec::Linear(rate_hz));
        let from = audio.inbound.clone();
        let spec = TranscodeSpec { from, to, packet_ms: FRAME_MS, events: Vec::new(), noise: None };
        self.decoder = Transcoder::new(spec, 0, (0, 0, 0)).map(Box::new);
    }

    /// Returns whether a codec other than G.711 is decoded.
    pub(super) fn decodes(&self) -> bool {
        self.decoder.as_ref().is_some_and(|decoder| decoder.spec().from.iter().any(|(_, coding)| !coding.is_g711()))
    }

    /// Processes a packet of the party; `coding` is the codec of its audio, `None` for a packet without audio.
    pub(super) fn hear(&mut self, now: Instant, packet: &TrackPacket<'_>, coding: Option<PayloadCodec>) {
        let Some(decoder) = self.decoder.as_mut().filter(|_| coding.is_some() && packet.track == TrackName::Inbound)
        else {
            return;
        };
        let payload = packet.bytes.get(packet.rtp.payload.clone()).unwrap_or_default();
        if decoder.push(now, packet.rtp, payload).is_err() {
            // The mixer conceals the missing frame.
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

    /// Takes the next mixed frame from the mixer's ring; `None` if there is none in time, in which case silence is
    /// sent.
    pub(super) fn next_frame(&mut self) -> Option<PlayoutFrame> {
        let mut samples = [0; WIDE_SAMPLES];
        let mut ringed = self.from_mixer.pop(&mut samples);
        // If more frames wait than usual, the oldest are dropped; otherwise the delay would stay.
        while self.from_mixer.waiting() > SEAT_FRAMES {
            ringed = self.from_mixer.pop(&mut samples);
        }
        if ringed? == Ringed::Lost {
            return None;
        }
        if self.is_wide() {
            return Some(PlayoutFrame::Wide(samples));
        }
        samples.first_chunk::<FRAME_SAMPLES>().map(|narrow| PlayoutFrame::Linear(*narrow))
    }
}
