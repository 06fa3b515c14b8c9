//! Frames of a recording on their way to the writer, as captured; the writer decodes G.711.

use std::borrow::Cow;

use trunkgate_media::codec::g711::{decode_alaw, decode_ulaw};
use trunkgate_media::{Alaw, RecordedSamples, RecordingId};

/// Consecutive frames of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Id of the recording.
    pub recording: RecordingId,
    /// Index of the first 20 ms frame in file time, so paused periods do not count.
    pub first: u64,
    /// Whole frames at 8 kHz, with the samples of the caller's audio and of the audio to the caller interleaved.
    pub samples: Samples,
}

/// Samples of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Samples {
    /// Linear PCM.
    Linear(Vec<i16>),
    /// μ-law.
    Pcmu(Vec<u8>),
    /// A-law.
    Pcma(Vec<Alaw>),
}

impl Samples {
    /// Returns the number of samples of both channels.
    pub(super) fn len(&self) -> usize {
        match self {
            Samples::Linear(samples) => samples.len(),
            Samples::Pcmu(codes) => codes.len(),
            Samples::Pcma(codes) => codes.len(),
        }
    }
    /// Returns the size in bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Samples::Linear(samples) => size_of_val(samples.as_slice()),
            Samples::Pcmu(_) | Samples::Pcma(_) => self.len(),
        }
    }
    /// Returns the samples from an index on as linear PCM.
    pub(super) fn linear(&self, from: usize) -> Cow<'_, [i16]> {
        match self {
            Samples::Linear(samples) => samples.get(from..).unwrap_or_default().into(),
            Samples::Pcmu(codes) => codes.iter().skip(from).map(|code| decode_ulaw(*code)).collect(),
            Samples::Pcma(codes) => codes.iter().skip(from).map(|code| decode_alaw(code.0)).collect(),
        }
    }
}

impl From<RecordedSamples<'_>> for Samples {
    fn from(samples: RecordedSamples<'_>) -> Samples {
        match samples {
            RecordedSamples::Linear(samples) => Samples::Linear(samples.to_vec()),
            RecordedSamples::Pcmu(codes) => Samples::Pcmu(codes.to_vec()),
            RecordedSamples::Pcma(codes) => Samples::Pcma(codes.to_vec()),
        }
    }
}

#[cfg(test)]
impl FromIterator<i16> for Samples {
    fn from_iter<I: IntoIterator<Item = i16>>(samples: I) -> Samples {
        Samples::Linear(samples.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_either_law_are_the_samples_that_they_stand_for() {
        let codes = [0x00, 0x80, 0xff, 0xd5];
        let linear = Samples::from(RecordedSamples::Linear(&[1, -2]));
        assert_eq!((linear.linear(0).to_vec(), linear.bytes()), (vec![1, -2], 4));
        let ulaw = Samples::from(RecordedSamples::Pcmu(&codes));
        assert_eq!((ulaw.linear(0).to_vec(), ulaw.bytes()), (codes.map(decode_ulaw).to_vec(), 4));
        let alaw = Samples::from(RecordedSamples::Pcma(&codes.map(Alaw)));
        assert_eq!((alaw.linear(0).to_vec(), alaw.bytes()), (codes.map(decode_alaw).to_vec(), 4));
        assert_eq!((linear.linear(1).to_vec(), linear.linear(9).to_vec()), (vec![-2], vec![]));
        assert_eq!((ulaw.linear(3).to_vec(), ulaw.linear(9).to_vec()), (vec![decode_ulaw(0xd5)], vec![]));
    }
}
