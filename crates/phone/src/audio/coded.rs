//! Opus and G.722 for a test phone: its G.711 audio is encoded once more.

use trunkgate_media::codec::g722;
use trunkgate_media::codec::opus::{CLOCK_HZ, Decoder, Encoder, Wanted};
use trunkgate_media::resample::Resampler;
use trunkgate_media::rtp::Rtp;

use crate::tone::{Codec, FRAME_SAMPLES, SAMPLE_RATE};

/// Buffer size for an encoded frame, in bytes, with ample reserve.
const PACKET_BYTES: usize = 400;
/// Samples of the longest possible packet.
const LONGEST: usize = 120 * SAMPLE_RATE as usize / 1000;

/// Codec of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spoken {
    G711(Codec),
    G722,
    Opus,
}

impl Spoken {
    /// Returns the codec with this rtpmap name.
    pub(crate) fn of_name(name: &str) -> Option<Spoken> {
        match name.to_ascii_uppercase().as_str() {
            "OPUS" => Some(Spoken::Opus),
            "G722" => Some(Spoken::G722),
            _ => Codec::of_name(name).map(Spoken::G711),
        }
    }

    /// Returns the codec with this static payload type (RFC 3551 §6).
    pub(crate) fn of_payload(number: u8) -> Option<Spoken> {
        if number == G722_NUMBER { Some(Spoken::G722) } else { Codec::of_payload(number).map(Spoken::G711) }
    }

    /// Returns the rtpmap name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Spoken::G711(codec) => codec.name(),
            Spoken::G722 => "G722",
            Spoken::Opus => "opus",
        }
    }

    /// Returns the RTP clock rate in Hz; 8000 for G.722, although it has twice as many samples (RFC 3551 §4.5.2).
    pub(crate) const fn clock_hz(self) -> u32 {
        match self {
            Spoken::G711(_) | Spoken::G722 => SAMPLE_RATE,
            Spoken::Opus => CLOCK_HZ,
        }
    }

    /// Returns the G.711 codec in which the audio is generated.
    pub(crate) fn voice(self) -> Codec {
        match self {
            Spoken::G711(codec) => codec,
            Spoken::G722 | Spoken::Opus => Codec::Pcmu,
        }
    }
}

/// Static payload type of G.722.
const G722_NUMBER: u8 = 9;

/// Encoder and decoder of one call.
#[derive(Debug)]
pub(crate) enum Coded {
    Opus { encoder: Box<Encoder>, decoder: Box<Decoder> },
    G722 { encoder: Box<g722::Encoder>, decoder: Box<g722::Decoder>, up: Box<Resampler>, down: Box<Resampler> },
}

impl Coded {
    /// Creates encoder and decoder for a codec; `None` for G.711, which needs none.
    pub(crate) fn new(spoken: Spoken) -> Option<Coded> {
        let resampler = |from_hz: u32, to_hz: u32| Resampler::new(from_hz, to_hz).map(Box::new);
        Some(match spoken {
            Spoken::G711(_) => return None,
            Spoken::Opus => Coded::Opus {
                encoder: Box::new(Encoder::new(SAMPLE_RATE, Wanted::default())?),
                decoder: Box::new(Decoder::new(SAMPLE_RATE)?),
            },
            Spoken::G722 => Coded::G722 {
                encoder: Box::default(),
                decoder: Box::default(),
                up: resampler(SAMPLE_RATE, g722::RATE_HZ)?,
                down: resampler(g722::RATE_HZ, SAMPLE_RATE)?,
            },
        })
    }

    /// Returns whether these are the encoder and decoder of this codec.
    pub(crate) fn is_of(&self, spoken: Spoken) -> bool {
        matches!((self, spoken), (Coded::Opus { .. }, Spoken::Opus) | (Coded::G722 { .. }, Spoken::G722))
    }

    /// Encodes a G.711 packet.
    pub(crate) fn code(&mut self, voice: Codec, packet: &[u8]) -> Option<Vec<u8>> {
        let rtp = Rtp::parse(packet).ok()?;
        let mut samples = [0; FRAME_SAMPLES];
        for (sample, byte) in samples.iter_mut().zip(packet.get(rtp.payload.clone())?) {
            *sample = voice.decode(*byte);
        }
        let mut payload = [0; PACKET_BYTES];
        let (length, scale) = match self {
            Coded::Opus { encoder, .. } => (encoder.encode(&samples, &mut payload), CLOCK_HZ / SAMPLE_RATE),
            Coded::G722 { encoder, up, .. } => {
                let mut wide = Vec::with_capacity(2 * FRAME_SAMPLES);
                up.process(&samples, |sample| wide.push(sample));
                let pairs = wide.as_chunks::<2>().0.iter().zip(&mut payload);
                (pairs.map(|([first, second], to)| *to = encoder.encode(*first, *second)).count(), 1)
            }
        };
        let mut bytes = Vec::with_capacity(PACKET_BYTES);
        let timestamp = rtp.timestamp.wrapping_mul(scale);
        Rtp { timestamp, ..rtp }.build(payload.get(..length)?, &mut bytes);
        Some(bytes)
    }

    /// Decodes a received payload; empty if it is malformed.
    pub(super) fn decode(&mut self, payload: &[u8]) -> Vec<i16> {
        match self {
            Coded::Opus { decoder, .. } => {
                let mut samples = vec![0; LONGEST];
                let count = decoder.decode(payload, &mut samples).unwrap_or(0);
                samples.truncate(count);
                samples
            }
            Coded::G722 { decoder, down, .. } => {
                let wide: Vec<i16> = payload.iter().flat_map(|code| decoder.decode(*code)).collect();
                let mut samples = Vec::with_capacity(payload.len());
                down.process(&wide, |sample| samples.push(sample));
                samples
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::Voice;

    /// A tone keeps its level when encoded and decoded.
    #[test]
    fn a_tone_comes_through_each_codec() {
        for spoken in [Spoken::Opus, Spoken::G722] {
            assert_eq!(Spoken::of_name(spoken.name()), Some(spoken));
            let mut coded = Coded::new(spoken).unwrap();
            let voice = Voice::new(7, Codec::Pcmu);
            let mut heard = Vec::new();
            for n in 0..50 {
                let packet = coded.code(Codec::Pcmu, &voice.packet(n, 96)).unwrap();
                let rtp = Rtp::parse(&packet).unwrap();
                let scale = spoken.clock_hz() / SAMPLE_RATE;
                assert_eq!(rtp.timestamp, voice.timestamp(n).wrapping_mul(scale), "on its own clock");
                heard.extend(coded.decode(&packet[rtp.payload]));
            }
            assert_eq!(heard.len(), 50 * FRAME_SAMPLES);
            let settled = &heard[10 * FRAME_SAMPLES..];
            let power = settled.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / settled.len() as f64;
            let level = 10.0 * (power / (10_000.0_f64.powi(2) / 2.0)).log10();
            assert!(level.abs() < 0.7, "{spoken:?}: {level} dB");
        }
    }
}
