//! What an agent hears: G.711 off the wire, as exact frames in the agent's format. μ-law for an agent that speaks μ-law
//! passes as it came.

use std::time::Instant;

use trunkgate_agent::{Format, Packet, TrackName, TrackSet, Tracks};

use crate::codec::g711::{decode_alaw, decode_ulaw};
use crate::level::{level, ulaw_level};
use crate::packet::PACKET;
use crate::resample::Resampler;
use crate::rtp::Rtp;
use crate::spec::Law;
use crate::voice::{CLOCK_HZ, as_ulaw};

/// One agent's ears.
#[derive(Debug)]
pub(crate) struct Hearing {
    tracks: Samples,
    /// The frame that was asked for last.
    audio: Vec<u8>,
}

#[derive(Debug)]
enum Samples {
    Ulaw(Tracks<u8>),
    Linear {
        tracks: Tracks<i16>,
        /// Of the inbound and the outbound track; none where 8 kHz are wanted.
        up: Option<Box<[Resampler; 2]>>,
    },
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
                let up = Resampler::new(CLOCK_HZ, format.sample_rate());
                Samples::Linear { tracks: Tracks::new(now, tracks), up: up.map(|up| Box::new([up.clone(), up])) }
            }
        };
        Hearing { tracks, audio: Vec::with_capacity(format.frame_bytes()) }
    }
    /// Takes a packet of a direction; `law`: that of its audio, `None` where it has none.
    pub(crate) fn push(&mut self, now: Instant, track: TrackName, (rtp, bytes): (&Rtp, &[u8]), law: Option<Law>) {
        let payload = bytes.get(rtp.payload.clone()).filter(|_| law.is_some()).unwrap_or_default();
        let (ssrc, sequence, timestamp) = (rtp.ssrc, rtp.sequence, rtp.timestamp);
        match &mut self.tracks {
            Samples::Ulaw(tracks) => {
                let mut scratch = [0; PACKET];
                let payload = as_ulaw(payload, law.unwrap_or_default(), &mut scratch);
                tracks.push(now, track, &Packet { ssrc, sequence, timestamp, payload });
            }
            Samples::Linear { tracks, .. } => {
                let mut scratch = [0; PACKET];
                let decode = if law == Some(Law::A) { decode_alaw } else { decode_ulaw };
                scratch.iter_mut().zip(payload).for_each(|(to, from)| *to = decode(*from));
                let payload = scratch.get(..payload.len()).unwrap_or_default();
                tracks.push(now, track, &Packet { ssrc, sequence, timestamp, payload });
            }
        }
    }
    /// The next frame that is complete or whose time is over; its level, if wanted.
    pub(crate) fn poll(&mut self, now: Instant, measured: bool) -> Option<Heard<'_>> {
        self.audio.clear();
        let (track, level) = match &mut self.tracks {
            Samples::Ulaw(tracks) => {
                let frame = tracks.poll(now)?;
                self.audio.extend_from_slice(&frame.audio);
                (frame.track, if measured { ulaw_level(&frame.audio) } else { 0 })
            }
            Samples::Linear { tracks, up } => {
                let frame = tracks.poll(now)?;
                let audio = &mut self.audio;
                let mut write = |sample: i16| audio.extend_from_slice(&sample.to_le_bytes());
                match up.as_deref_mut() {
                    Some([inbound, outbound]) => {
                        let up = if frame.track == TrackName::Inbound { inbound } else { outbound };
                        up.process(&frame.audio, write);
                    }
                    None => frame.audio.iter().for_each(|sample| write(*sample)),
                }
                (frame.track, if measured { level(&frame.audio) } else { 0 })
            }
        };
        Some(Heard { track, audio: &self.audio, level })
    }
    /// When [`Self::poll`] has something at the latest.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match &self.tracks {
            Samples::Ulaw(tracks) => tracks.poll_timeout(),
            Samples::Linear { tracks, .. } => tracks.poll_timeout(),
        }
    }
}
