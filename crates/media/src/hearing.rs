//! What an agent hears: G.711 off the wire, or what was decoded of another codec, as exact frames in the agent's format.
//! μ-law for an agent that speaks μ-law passes as it came.

use std::time::Instant;

use trunkgate_agent::{Format, Packet, TrackName, TrackSet, Tracks};

use crate::codec::g711::{decode_alaw, decode_ulaw};
use crate::codec::g722;
use crate::level::{level, ulaw_level};
use crate::packet::PACKET;
use crate::resample::Resampler;
use crate::rtp::Rtp;
use crate::transcode::Coding;
use crate::voice::{CLOCK_HZ, as_ulaw};

/// One agent's ears.
#[derive(Debug)]
pub(crate) struct Hearing {
    tracks: Samples,
    format: Format,
    /// The frame that was asked for last.
    audio: Vec<u8>,
}

#[derive(Debug)]
enum Samples {
    Ulaw(Tracks<u8>),
    Linear {
        tracks: Tracks<i16>,
        /// To what the agent has.
        up: Option<Up>,
    },
    /// 16 kHz, since some came.
    Wide {
        tracks: Tracks<[i16; 2]>,
        /// Of what comes at 8 kHz again.
        narrow: Up,
        /// To what the agent has.
        up: Option<Up>,
    },
}

/// From one rate to another: the inbound and the outbound track.
#[derive(Debug)]
struct Up(Box<[Resampler; 2]>);

impl Up {
    /// `None` where both rates are the same.
    fn new(from_hz: u32, to_hz: u32) -> Option<Up> {
        Resampler::new(from_hz, to_hz).map(|up| Up(Box::new([up.clone(), up])))
    }
    fn of(&mut self, track: TrackName) -> &mut Resampler {
        let [inbound, outbound] = &mut *self.0;
        match track {
            TrackName::Inbound => inbound,
            TrackName::Outbound => outbound,
        }
    }
}

/// 20 ms of a track.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heard<'a> {
    /// The track.
    pub(crate) track: TrackName,
    /// In the agent's format.
    pub(crate) audio: &'a [u8],
    /// How loud it is; 0 where nobody wants to know.
    pub(crate) level: u16,
}

impl Hearing {
    /// From `now` on.
    pub(crate) fn new(now: Instant, tracks: TrackSet, format: Format) -> Hearing {
        let tracks = match format {
            Format::Mulaw8000 => Samples::Ulaw(Tracks::new(now, tracks)),
            Format::L16Rate8000 | Format::L16Rate16000 | Format::L16Rate24000 => {
                Samples::Linear { tracks: Tracks::new(now, tracks), up: Up::new(CLOCK_HZ, format.sample_rate()) }
            }
        };
        Hearing { tracks, format, audio: Vec::with_capacity(format.frame_bytes()) }
    }
    /// Takes a packet of a direction; `coding`: that of its audio, `None` where it has none.
    pub(crate) fn push(&mut self, now: Instant, track: TrackName, (rtp, bytes): (&Rtp, &[u8]), coding: Option<Coding>) {
        let payload = bytes.get(rtp.payload.clone()).filter(|_| coding.is_some()).unwrap_or_default();
        let coding = coding.unwrap_or_default();
        let (ssrc, sequence, timestamp) = (rtp.ssrc, rtp.sequence, rtp.timestamp);
        if coding == Coding::Linear(g722::RATE_HZ) {
            self.widen();
        }
        match &mut self.tracks {
            Samples::Ulaw(tracks) => {
                let mut scratch = [0; PACKET];
                let payload = as_ulaw(payload, coding, &mut scratch);
                tracks.push(now, track, &Packet { ssrc, sequence, timestamp, payload });
            }
            Samples::Linear { tracks, .. } => {
                let mut scratch = [0; PACKET];
                let payload = samples(payload, coding, &mut scratch);
                tracks.push(now, track, &Packet { ssrc, sequence, timestamp, payload });
            }
            Samples::Wide { tracks, narrow, .. } => {
                let (mut scratch, mut wide) = ([0; PACKET], [0; 2 * PACKET]);
                let mut payload = samples(payload, coding, &mut scratch);
                if coding != Coding::Linear(g722::RATE_HZ) {
                    let mut places = wide.iter_mut();
                    let put = |sample| {
                        if let Some(place) = places.next() {
                            *place = sample;
                        }
                    };
                    narrow.of(track).process(payload, put);
                    payload = wide.get(..2 * payload.len()).unwrap_or_default();
                }
                let payload = payload.as_chunks().0;
                tracks.push(now, track, &Packet { ssrc, sequence, timestamp, payload });
            }
        }
    }
    /// Says whether packets of a direction wait to be decoded: until they are nothing is filled by the clock.
    pub(crate) fn hold(&mut self, track: TrackName, held: bool) {
        match &mut self.tracks {
            Samples::Ulaw(tracks) => tracks.hold(track, held),
            Samples::Linear { tracks, .. } => tracks.hold(track, held),
            Samples::Wide { tracks, .. } => tracks.hold(track, held),
        }
    }
    /// The next frame that is complete or whose time is over; its level, if wanted.
    pub(crate) fn poll(&mut self, now: Instant, measured: bool) -> Option<Heard<'_>> {
        self.audio.clear();
        let audio = &mut self.audio;
        let (track, level) = match &mut self.tracks {
            Samples::Ulaw(tracks) => {
                let frame = tracks.poll(now)?;
                audio.extend_from_slice(&frame.audio);
                (frame.track, if measured { ulaw_level(&frame.audio) } else { 0 })
            }
            Samples::Linear { tracks, up } => {
                let frame = tracks.poll(now)?;
                write(&frame.audio, frame.track, up, audio);
                (frame.track, if measured { level(&frame.audio) } else { 0 })
            }
            Samples::Wide { tracks, up, .. } => {
                let frame = tracks.poll(now)?;
                let samples = frame.audio.as_flattened();
                write(samples, frame.track, up, audio);
                (frame.track, if measured { level(samples) } else { 0 })
            }
        };
        Some(Heard { track, audio: &self.audio, level })
    }
    /// When [`Self::poll`] has something at the latest.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match &self.tracks {
            Samples::Ulaw(tracks) => tracks.poll_timeout(),
            Samples::Linear { tracks, .. } => tracks.poll_timeout(),
            Samples::Wide { tracks, .. } => tracks.poll_timeout(),
        }
    }

    /// From the next frame on it is heard at 16 kHz.
    fn widen(&mut self) {
        if let Samples::Linear { tracks, .. } = &self.tracks
            && let Some(narrow) = Up::new(CLOCK_HZ, g722::RATE_HZ)
        {
            let up = Up::new(g722::RATE_HZ, self.format.sample_rate());
            self.tracks = Samples::Wide { tracks: tracks.with_samples(), narrow, up };
        }
    }
}

/// The samples of a payload, by way of `scratch`.
fn samples<'a>(payload: &[u8], coding: Coding, scratch: &'a mut [i16; PACKET]) -> &'a [i16] {
    let places = scratch.iter_mut();
    let count = match coding {
        Coding::Pcmu => places.zip(payload).map(|(to, code)| *to = decode_ulaw(*code)).count(),
        Coding::Pcma => places.zip(payload).map(|(to, code)| *to = decode_alaw(*code)).count(),
        Coding::Linear(_) => {
            let pairs = payload.as_chunks().0;
            places.zip(pairs).map(|(to, pair)| *to = i16::from_le_bytes(*pair)).count()
        }
        Coding::G722 | Coding::Opus(_) => 0,
    };
    scratch.get(..count).unwrap_or_default()
}

/// A frame as the agent has it.
fn write(samples: &[i16], track: TrackName, up: &mut Option<Up>, audio: &mut Vec<u8>) {
    let mut put = |sample: i16| audio.extend_from_slice(&sample.to_le_bytes());
    match up {
        Some(up) => up.of(track).process(samples, put),
        None => samples.iter().for_each(|sample| put(*sample)),
    }
}
