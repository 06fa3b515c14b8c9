//! Encoder from linear samples at one sampling rate to payloads of any codec.

use super::coding::PayloadCodec;
use super::g711::{encode_alaw, encode_ulaw};
use super::{g722, opus};

/// Encoder of the stream towards one sink.
#[derive(Debug)]
pub(crate) enum SinkEncoder {
    Ulaw,
    Alaw,
    G722(Box<g722::G722Encoder>),
    Opus(Box<opus::OpusEncoder>),
    Linear,
}

impl SinkEncoder {
    /// Creates an encoder of samples at `rate_hz`; `None` if the codec does not support that rate.
    pub(crate) fn new(coding: PayloadCodec, rate_hz: u32) -> Option<SinkEncoder> {
        Some(match coding {
            PayloadCodec::Pcmu => SinkEncoder::Ulaw,
            PayloadCodec::Pcma => SinkEncoder::Alaw,
            PayloadCodec::G722 => SinkEncoder::G722(Box::default()),
            PayloadCodec::Opus(wanted) => SinkEncoder::Opus(Box::new(opus::OpusEncoder::new(rate_hz, wanted)?)),
            PayloadCodec::Linear(_) => SinkEncoder::Linear,
        })
    }

    /// Returns a copy that continues from the current state, for codecs with adaptive state (G.722): after a reset of
    /// that state, the receiver's decoder would distort 100 ms. `None` for other codecs.
    pub(crate) fn twin(&self) -> Option<SinkEncoder> {
        match self {
            SinkEncoder::G722(encoder) => Some(SinkEncoder::G722(encoder.clone())),
            SinkEncoder::Ulaw | SinkEncoder::Alaw | SinkEncoder::Opus(_) | SinkEncoder::Linear => None,
        }
    }

    /// Sets whether the next samples are a DTMF tone.
    pub(crate) fn set_tone(&mut self, tone: bool) {
        match self {
            SinkEncoder::Opus(encoder) => encoder.set_tone(tone),
            SinkEncoder::Ulaw | SinkEncoder::Alaw | SinkEncoder::G722(_) | SinkEncoder::Linear => {}
        }
    }

    /// Encodes a frame and returns the number of payload bytes; 0 if the frame need not be sent (DTX).
    pub(crate) fn encode(&mut self, samples: &[i16], payload: &mut [u8]) -> usize {
        match self {
            SinkEncoder::Ulaw => each(samples, payload, encode_ulaw),
            SinkEncoder::Alaw => each(samples, payload, encode_alaw),
            SinkEncoder::G722(encoder) => {
                let pairs = samples.as_chunks::<2>().0;
                payload.iter_mut().zip(pairs).map(|(to, [first, second])| *to = encoder.encode(*first, *second)).count()
            }
            SinkEncoder::Opus(encoder) => encoder.encode(samples, payload),
            SinkEncoder::Linear => {
                let places = payload.as_chunks_mut().0.iter_mut().zip(samples);
                places.map(|(to, sample)| *to = sample.to_le_bytes()).count() * 2
            }
        }
    }
}

fn each(samples: &[i16], payload: &mut [u8], encode: impl Fn(i16) -> u8) -> usize {
    payload.iter_mut().zip(samples).map(|(to, sample)| *to = encode(*sample)).count()
}
