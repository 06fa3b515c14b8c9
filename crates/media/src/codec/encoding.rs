//! Encodes samples at the working rate of a transcoder into payloads.

use super::coding::Coding;
use super::g711::{encode_alaw, encode_ulaw};
use super::{g722, opus};

/// Encoder of the sink.
#[derive(Debug)]
pub(crate) enum Encoding {
    Ulaw,
    Alaw,
    G722(Box<g722::Encoder>),
    Opus(Box<opus::Encoder>),
    Linear,
}

impl Encoding {
    /// Creates an encoder of samples at `rate_hz`; `None` if the codec does not support that rate.
    pub(crate) fn new(coding: Coding, rate_hz: u32) -> Option<Encoding> {
        Some(match coding {
            Coding::Pcmu => Encoding::Ulaw,
            Coding::Pcma => Encoding::Alaw,
            Coding::G722 => Encoding::G722(Box::default()),
            Coding::Opus(wanted) => Encoding::Opus(Box::new(opus::Encoder::new(rate_hz, wanted)?)),
            Coding::Linear(_) => Encoding::Linear,
        })
    }

    /// Returns a copy that continues from the current state, for codecs with adaptive state (G.722): a decoder that
    /// sees a state change would be distorted for 100 ms.
    pub(crate) fn twin(&self) -> Option<Encoding> {
        match self {
            Encoding::G722(encoder) => Some(Encoding::G722(encoder.clone())),
            Encoding::Ulaw | Encoding::Alaw | Encoding::Opus(_) | Encoding::Linear => None,
        }
    }

    /// Sets whether the next samples are a DTMF tone.
    pub(crate) fn set_tone(&mut self, tone: bool) {
        match self {
            Encoding::Opus(encoder) => encoder.set_tone(tone),
            Encoding::Ulaw | Encoding::Alaw | Encoding::G722(_) | Encoding::Linear => {}
        }
    }

    /// Encodes a frame and returns the number of payload bytes; 0 if the frame need not be sent (DTX).
    pub(crate) fn encode(&mut self, samples: &[i16], payload: &mut [u8]) -> usize {
        match self {
            Encoding::Ulaw => each(samples, payload, encode_ulaw),
            Encoding::Alaw => each(samples, payload, encode_alaw),
            Encoding::G722(encoder) => {
                let pairs = samples.as_chunks::<2>().0;
                payload.iter_mut().zip(pairs).map(|(to, [first, second])| *to = encoder.encode(*first, *second)).count()
            }
            Encoding::Opus(encoder) => encoder.encode(samples, payload),
            Encoding::Linear => {
                let places = payload.as_chunks_mut().0.iter_mut().zip(samples);
                places.map(|(to, sample)| *to = sample.to_le_bytes()).count() * 2
            }
        }
    }
}

fn each(samples: &[i16], payload: &mut [u8], encode: impl Fn(i16) -> u8) -> usize {
    payload.iter_mut().zip(samples).map(|(to, sample)| *to = encode(*sample)).count()
}
