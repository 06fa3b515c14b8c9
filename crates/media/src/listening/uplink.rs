//! Uplink framing: converts received G.711, or decoded audio of another codec, into frames of exactly 20 ms in an
//! agent's format. μ-law is passed unchanged to an agent that uses μ-law.

use std::time::Instant;

use trunkgate_agent::{AgentFormat, StreamTracks, TrackInput, TrackName, TrackSet};
use trunkgate_resample::Resampler;

use crate::codec::g711::{CLOCK_HZ, alaw_to_ulaw, decode_alaw, decode_ulaw};
use crate::codec::level::{level, ulaw_level};
use crate::codec::{PayloadCodec, g722};
use crate::rtp::{PACKET, RtpHeader};

use super::hearing::TrackFraming;

/// Framing of both tracks for one listener.
#[derive(Debug)]
pub(super) struct Uplink {
    tracks: UplinkTracks,
    format: AgentFormat,
    /// Audio of the last frame, as returned.
    audio: Vec<u8>,
}

#[derive(Debug)]
enum UplinkTracks {
    Ulaw(StreamTracks<u8>),
    Linear {
        tracks: StreamTracks<i16>,
        /// Resamplers from 8 kHz to the agent's rate; `None` if that is 8 kHz.
        up: Option<TrackResamplers>,
    },
    /// Linear audio at 16 kHz, once audio of that rate has arrived.
    Wide {
        tracks: StreamTracks<[i16; 2]>,
        /// Resamplers of 8 kHz audio to 16 kHz.
        narrow: TrackResamplers,
        /// Resamplers from 16 kHz to the agent's rate; `None` if that is 16 kHz.
        up: Option<TrackResamplers>,
    },
}

/// Resamplers of the inbound and the outbound track.
#[derive(Debug)]
struct TrackResamplers(Box<[Resampler; 2]>);

impl TrackResamplers {
    /// Creates the resamplers; `None` if both rates are equal.
    fn new(from_hz: u32, to_hz: u32) -> Option<TrackResamplers> {
        Resampler::new(from_hz, to_hz).map(|up| TrackResamplers(Box::new([up.clone(), up])))
    }

    fn resampler_of(&mut self, track: TrackName) -> &mut Resampler {
        let [inbound, outbound] = &mut *self.0;
        match track {
            TrackName::Inbound => inbound,
            TrackName::Outbound => outbound,
        }
    }
}

/// Frame of 20 ms of a track.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UplinkFrame<'a> {
    /// Track that the frame belongs to.
    pub(crate) track: TrackName,
    /// Audio in the agent's format.
    pub(crate) audio: &'a [u8],
    /// Mean absolute sample value, out of 32,768; 0 if not measured.
    pub(crate) level: u16,
}

impl Uplink {
    /// Creates the framing for an agent; the first frame begins at `now`.
    pub(super) fn new(now: Instant, tracks: TrackSet, format: AgentFormat) -> Uplink {
        let tracks = match format {
            AgentFormat::Mulaw8000 => UplinkTracks::Ulaw(StreamTracks::new(now, tracks)),
            AgentFormat::L16Rate8000 | AgentFormat::L16Rate16000 | AgentFormat::L16Rate24000 => UplinkTracks::Linear {
                tracks: StreamTracks::new(now, tracks),
                up: TrackResamplers::new(CLOCK_HZ, format.sample_rate()),
            },
        };
        Uplink { tracks, format, audio: Vec::with_capacity(format.frame_bytes()) }
    }

    /// Creates the framing for a recording, linear at 8 kHz. Frames stay closer to the edge's clock than for an
    /// agent, for which the framing avoids clicks instead.
    pub(super) fn recorded(now: Instant, tracks: TrackSet) -> Uplink {
        let format = AgentFormat::L16Rate8000;
        let tracks = UplinkTracks::Linear { tracks: StreamTracks::recorded(now, tracks), up: None };
        Uplink { tracks, format, audio: Vec::with_capacity(format.frame_bytes()) }
    }

    /// Returns the next frame that is complete or overdue, if any; with its mean level if `measured`.
    pub(super) fn poll(&mut self, now: Instant, measured: bool) -> Option<UplinkFrame<'_>> {
        self.audio.clear();
        let audio = &mut self.audio;
        let (track, level) = match &mut self.tracks {
            UplinkTracks::Ulaw(tracks) => {
                let frame = tracks.poll(now)?;
                audio.extend_from_slice(&frame.audio);
                (frame.track, if measured { ulaw_level(&frame.audio) } else { 0 })
            }
            UplinkTracks::Linear { tracks, up } => {
                let frame = tracks.poll(now)?;
                write(&frame.audio, frame.track, up, audio);
                (frame.track, if measured { level(&frame.audio) } else { 0 })
            }
            UplinkTracks::Wide { tracks, up, .. } => {
                let frame = tracks.poll(now)?;
                let samples = frame.audio.as_flattened();
                write(samples, frame.track, up, audio);
                (frame.track, if measured { level(samples) } else { 0 })
            }
        };
        Some(UplinkFrame { track, audio: &self.audio, level })
    }

    /// Returns the time at which [`Self::poll`] has a frame at the latest.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match &self.tracks {
            UplinkTracks::Ulaw(tracks) => tracks.poll_timeout(),
            UplinkTracks::Linear { tracks, .. } => tracks.poll_timeout(),
            UplinkTracks::Wide { tracks, .. } => tracks.poll_timeout(),
        }
    }

    /// Switches linear audio from 8 kHz to 16 kHz, from the next frame on.
    fn widen(&mut self) {
        if let UplinkTracks::Linear { tracks, .. } = &self.tracks
            && let Some(narrow) = TrackResamplers::new(CLOCK_HZ, g722::RATE_HZ)
        {
            let up = TrackResamplers::new(g722::RATE_HZ, self.format.sample_rate());
            self.tracks = UplinkTracks::Wide { tracks: tracks.with_samples(), narrow, up };
        }
    }
}

impl TrackFraming for Uplink {
    fn push(&mut self, now: Instant, track: TrackName, rtp: &RtpHeader, bytes: &[u8], coding: Option<PayloadCodec>) {
        let payload = bytes.get(rtp.payload.clone()).filter(|_| coding.is_some()).unwrap_or_default();
        let coding = coding.unwrap_or_default();
        let (ssrc, sequence, timestamp) = (rtp.ssrc, rtp.sequence, rtp.timestamp);
        if coding == PayloadCodec::Linear(g722::RATE_HZ) {
            self.widen();
        }
        match &mut self.tracks {
            UplinkTracks::Ulaw(tracks) => {
                let mut scratch = [0; PACKET];
                let payload = as_ulaw(payload, coding, &mut scratch);
                tracks.push(now, track, &TrackInput { ssrc, sequence, timestamp, payload });
            }
            UplinkTracks::Linear { tracks, .. } => {
                let mut scratch = [0; PACKET];
                let payload = samples(payload, coding, &mut scratch);
                tracks.push(now, track, &TrackInput { ssrc, sequence, timestamp, payload });
            }
            UplinkTracks::Wide { tracks, narrow, .. } => {
                let (mut scratch, mut wide) = ([0; PACKET], [0; 2 * PACKET]);
                let mut payload = samples(payload, coding, &mut scratch);
                if coding != PayloadCodec::Linear(g722::RATE_HZ) {
                    let mut places = wide.iter_mut();
                    let put = |sample| {
                        if let Some(place) = places.next() {
                            *place = sample;
                        }
                    };
                    narrow.resampler_of(track).process(payload, put);
                    payload = wide.get(..2 * payload.len()).unwrap_or_default();
                }
                let payload = payload.as_chunks().0;
                tracks.push(now, track, &TrackInput { ssrc, sequence, timestamp, payload });
            }
        }
    }

    fn hold(&mut self, track: TrackName, held: bool) {
        match &mut self.tracks {
            UplinkTracks::Ulaw(tracks) => tracks.hold(track, held),
            UplinkTracks::Linear { tracks, .. } => tracks.hold(track, held),
            UplinkTracks::Wide { tracks, .. } => tracks.hold(track, held),
        }
    }
}

/// Decodes a payload of a codec without state into linear samples, which are stored in `scratch`.
pub(super) fn samples<'a>(payload: &[u8], coding: PayloadCodec, scratch: &'a mut [i16; PACKET]) -> &'a [i16] {
    let places = scratch.iter_mut();
    let count = match coding {
        PayloadCodec::Pcmu => places.zip(payload).map(|(to, code)| *to = decode_ulaw(*code)).count(),
        PayloadCodec::Pcma => places.zip(payload).map(|(to, code)| *to = decode_alaw(*code)).count(),
        PayloadCodec::Linear(_) => {
            let pairs = payload.as_chunks().0;
            places.zip(pairs).map(|(to, pair)| *to = i16::from_le_bytes(*pair)).count()
        }
        PayloadCodec::G722 | PayloadCodec::Opus(_) => 0,
    };
    scratch.get(..count).unwrap_or_default()
}

/// Resamples a frame by `up`, if any, and appends it to `audio` as little-endian samples.
fn write(samples: &[i16], track: TrackName, up: &mut Option<TrackResamplers>, audio: &mut Vec<u8>) {
    let mut put = |sample: i16| audio.extend_from_slice(&sample.to_le_bytes());
    match up {
        Some(up) => up.resampler_of(track).process(samples, put),
        None => samples.iter().for_each(|sample| put(*sample)),
    }
}

/// Returns a payload as μ-law, converted in `scratch` if needed.
fn as_ulaw<'a>(payload: &'a [u8], coding: PayloadCodec, scratch: &'a mut [u8; PACKET]) -> &'a [u8] {
    if coding != PayloadCodec::Pcma {
        return payload;
    }
    let converted = scratch.iter_mut().zip(payload).map(|(to, from)| *to = alaw_to_ulaw(*from)).count();
    scratch.get(..converted).unwrap_or_default()
}
