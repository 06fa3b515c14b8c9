//! Decoder from payloads of any codec to linear samples at one sampling rate.

use trunkgate_resample::Resampler;

use crate::limits::AUDIO_PACKET_MOST_MS;

use super::coding::PayloadCodec;
use super::g711::{decode_alaw, decode_ulaw};
use super::{g722, opus};

/// Samples per millisecond at the highest decoder rate.
const MOST_PER_MS: usize = 16;

/// Samples of the longest decoded packet, at the highest rate.
pub(crate) const DECODED_MOST: usize = AUDIO_PACKET_MOST_MS * MOST_PER_MS;

/// Decoder of the audio from one source.
#[derive(Debug)]
pub(crate) struct SourceDecoder {
    kind: DecoderKind,
    /// Resampler from the codec's own rate; `None` if that is the working rate.
    resampler: Option<Box<Resampler>>,
    rate_hz: u32,
}

#[derive(Debug)]
enum DecoderKind {
    Ulaw,
    Alaw,
    G722(Box<g722::G722Decoder>),
    Opus(Box<opus::OpusDecoder>),
}

impl SourceDecoder {
    /// Creates a decoder into samples at `rate_hz`; `None` if Opus or the resampler does not support that rate, or for
    /// [`PayloadCodec::Linear`].
    pub(crate) fn new(coding: PayloadCodec, rate_hz: u32) -> Option<SourceDecoder> {
        let kind = match coding {
            PayloadCodec::Pcmu => DecoderKind::Ulaw,
            PayloadCodec::Pcma => DecoderKind::Alaw,
            PayloadCodec::G722 => DecoderKind::G722(Box::default()),
            PayloadCodec::Opus(_) => DecoderKind::Opus(Box::new(opus::OpusDecoder::new(rate_hz)?)),
            PayloadCodec::Linear(_) => return None,
        };
        let own = coding.rate_hz().unwrap_or(rate_hz);
        let resampler = if own == rate_hz { None } else { Some(Box::new(Resampler::new(own, rate_hz)?)) };
        Some(SourceDecoder { kind, resampler, rate_hz })
    }

    /// Resets the decoder state, for a stream that restarts.
    pub(crate) fn begin_again(&mut self) {
        match &mut self.kind {
            DecoderKind::Ulaw | DecoderKind::Alaw => {}
            DecoderKind::G722(decoder) => **decoder = g722::G722Decoder::new(),
            DecoderKind::Opus(decoder) => {
                if let Some(fresh) = opus::OpusDecoder::new(self.rate_hz) {
                    **decoder = fresh;
                }
            }
        }
        if let Some(resampler) = &mut self.resampler {
            resampler.silence();
        }
    }

    /// Decodes a payload and returns the number of samples; audio beyond [`AUDIO_PACKET_MOST_MS`] is cut off.
    pub(crate) fn decode(&mut self, payload: &[u8], samples: &mut [i16; DECODED_MOST]) -> usize {
        let mut own = [0; DECODED_MOST];
        let to = if self.resampler.is_some() { &mut own } else { &mut *samples };
        let count = match &mut self.kind {
            DecoderKind::Ulaw => each(payload, to, decode_ulaw),
            DecoderKind::Alaw => each(payload, to, decode_alaw),
            DecoderKind::G722(decoder) => {
                let codes = payload.iter().take(AUDIO_PACKET_MOST_MS * 8);
                let pairs = to.as_chunks_mut::<2>().0.iter_mut().zip(codes);
                pairs.map(|(pair, code)| *pair = decoder.decode(*code)).count() * 2
            }
            DecoderKind::Opus(decoder) => decoder.decode(payload, to).unwrap_or(0).min(DECODED_MOST),
        };
        let Some(resampler) = &mut self.resampler else { return count };
        let mut made = 0;
        resampler.process(own.get(..count).unwrap_or_default(), |sample| {
            if let Some(to) = samples.get_mut(made) {
                *to = sample;
                made += 1;
            }
        });
        made
    }

    /// Conceals samples lost before the packet `next` with the codec's own concealment and returns the number of
    /// samples made. `frame` is the number of samples per packet.
    pub(crate) fn conceal(&mut self, next: &[u8], frame: usize, samples: &mut [i16]) -> usize {
        match &mut self.kind {
            DecoderKind::Opus(decoder) => decoder.conceal(next, frame, samples),
            DecoderKind::Ulaw | DecoderKind::Alaw | DecoderKind::G722(_) => 0,
        }
    }
}

fn each(payload: &[u8], samples: &mut [i16; DECODED_MOST], decode: impl Fn(u8) -> i16) -> usize {
    let codes = payload.iter().take(AUDIO_PACKET_MOST_MS * 8);
    samples.iter_mut().zip(codes).map(|(to, code)| *to = decode(*code)).count()
}
