//! Opus and G.722 for a test phone. Audio is generated in G.711 and then encoded in the call's codec.

use trunkgate_media::codec::g722;
use trunkgate_media::codec::opus::{CLOCK_HZ, OpusDecoder, OpusEncoder, OpusPreferences};
use trunkgate_media::resample::Resampler;
use trunkgate_media::rtp::RtpHeader;

use crate::tone::{FRAME_SAMPLES, G711Codec, SAMPLE_RATE};

/// Buffer size for an encoded frame, in bytes, with ample reserve.
const PACKET_BYTES: usize = 400;
/// Samples of the longest possible Opus packet: 120 ms.
const LONGEST: usize = 120 * SAMPLE_RATE as usize / 1000;

/// Codec of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallCodec {
    G711(G711Codec),
    G722,
    Opus,
}

impl CallCodec {
    /// Returns the codec with this name in `a=rtpmap`; `None` if the phone does not support it.
    pub(crate) fn of_name(name: &str) -> Option<CallCodec> {
        match name.to_ascii_uppercase().as_str() {
            "OPUS" => Some(CallCodec::Opus),
            "G722" => Some(CallCodec::G722),
            _ => G711Codec::of_name(name).map(CallCodec::G711),
        }
    }

    /// Returns the codec with this static payload type (RFC 3551 §6); `None` if the phone does not support it.
    pub(crate) fn of_payload(number: u8) -> Option<CallCodec> {
        if number == G722_NUMBER { Some(CallCodec::G722) } else { G711Codec::of_payload(number).map(CallCodec::G711) }
    }

    /// Returns the codec's name in `a=rtpmap`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            CallCodec::G711(codec) => codec.name(),
            CallCodec::G722 => "G722",
            CallCodec::Opus => "opus",
        }
    }

    /// Returns the RTP clock rate in Hz; 8000 for G.722, although it has twice as many samples (RFC 3551 §4.5.2).
    pub(crate) const fn clock_hz(self) -> u32 {
        match self {
            CallCodec::G711(_) | CallCodec::G722 => SAMPLE_RATE,
            CallCodec::Opus => CLOCK_HZ,
        }
    }

    /// Returns the G.711 codec in which the audio is generated.
    pub(crate) fn voice(self) -> G711Codec {
        match self {
            CallCodec::G711(codec) => codec,
            CallCodec::G722 | CallCodec::Opus => G711Codec::Pcmu,
        }
    }
}

/// Static payload type of G.722.
const G722_NUMBER: u8 = 9;

/// Encoder and decoder of one call.
#[derive(Debug)]
pub(crate) enum CodecPair {
    Opus { encoder: Box<OpusEncoder>, decoder: Box<OpusDecoder> },
    G722 { encoder: Box<g722::G722Encoder>, decoder: Box<g722::G722Decoder>, up: Box<Resampler>, down: Box<Resampler> },
}

impl CodecPair {
    /// Creates encoder and decoder for a codec; `None` for G.711, which needs none.
    pub(crate) fn new(spoken: CallCodec) -> Option<CodecPair> {
        let resampler = |from_hz: u32, to_hz: u32| Resampler::new(from_hz, to_hz).map(Box::new);
        Some(match spoken {
            CallCodec::G711(_) => return None,
            CallCodec::Opus => CodecPair::Opus {
                encoder: Box::new(OpusEncoder::new(SAMPLE_RATE, OpusPreferences::default())?),
                decoder: Box::new(OpusDecoder::new(SAMPLE_RATE)?),
            },
            CallCodec::G722 => CodecPair::G722 {
                encoder: Box::default(),
                decoder: Box::default(),
                up: resampler(SAMPLE_RATE, g722::RATE_HZ)?,
                down: resampler(g722::RATE_HZ, SAMPLE_RATE)?,
            },
        })
    }

    /// Returns whether these are the encoder and decoder of this codec.
    pub(crate) fn is_of(&self, spoken: CallCodec) -> bool {
        matches!((self, spoken), (CodecPair::Opus { .. }, CallCodec::Opus) | (CodecPair::G722 { .. }, CallCodec::G722))
    }

    /// Encodes the audio of a G.711 packet; returns the packet with the new payload, or `None` if it cannot be
    /// encoded.
    pub(crate) fn code(&mut self, voice: G711Codec, packet: &[u8]) -> Option<Vec<u8>> {
        let rtp = RtpHeader::parse(packet).ok()?;
        let mut samples = [0; FRAME_SAMPLES];
        for (sample, byte) in samples.iter_mut().zip(packet.get(rtp.payload.clone())?) {
            *sample = voice.decode(*byte);
        }
        let mut payload = [0; PACKET_BYTES];
        let (length, scale) = match self {
            CodecPair::Opus { encoder, .. } => (encoder.encode(&samples, &mut payload), CLOCK_HZ / SAMPLE_RATE),
            CodecPair::G722 { encoder, up, .. } => {
                let mut wide = Vec::with_capacity(2 * FRAME_SAMPLES);
                up.process(&samples, |sample| wide.push(sample));
                let pairs = wide.as_chunks::<2>().0.iter().zip(&mut payload);
                (pairs.map(|([first, second], to)| *to = encoder.encode(*first, *second)).count(), 1)
            }
        };
        let mut bytes = Vec::with_capacity(PACKET_BYTES);
        let timestamp = rtp.timestamp.wrapping_mul(scale);
        RtpHeader { timestamp, ..rtp }.build(payload.get(..length)?, &mut bytes);
        Some(bytes)
    }

    /// Decodes a received payload; empty if it is malformed.
    pub(super) fn decode(&mut self, payload: &[u8]) -> Vec<i16> {
        match self {
            CodecPair::Opus { decoder, .. } => {
                let mut samples = vec![0; LONGEST];
                let count = decoder.decode(payload, &mut samples).unwrap_or(0);
                samples.truncate(count);
                samples
            }
            CodecPair::G722 { decoder, down, .. } => {
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
    use crate::tone::MarkedVoice;

    /// A tone keeps its level when encoded and decoded.
    #[test]
    fn a_tone_comes_through_each_codec() {
        for spoken in [CallCodec::Opus, CallCodec::G722] {
            assert_eq!(CallCodec::of_name(spoken.name()), Some(spoken));
            let mut coded = CodecPair::new(spoken).unwrap();
            let voice = MarkedVoice::new(7, G711Codec::Pcmu);
            let mut heard = Vec::new();
            for n in 0..50 {
                let packet = coded.code(G711Codec::Pcmu, &voice.packet(n, 96)).unwrap();
                let rtp = RtpHeader::parse(&packet).unwrap();
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
