//! Frames of a recording on their way to the writer, in the codec in which they were captured. The writer decodes
//! G.711.

use std::borrow::Cow;
use std::time::Instant;

use trunkgate_media::codec::g711::{decode_alaw, decode_ulaw};
use trunkgate_media::{Alaw, RecordedSamples, RecordingId};

/// Consecutive audio frames of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameBlock {
    /// Id of the recording in this process.
    pub recording: RecordingId,
    /// Index of the first 20 ms frame in the file; pauses of the recording do not count.
    pub first: u64,
    /// Time at which the last frame was complete.
    pub at: Instant,
    /// Whole frames at 8 kHz; samples from the caller and to the caller alternate.
    pub samples: BlockSamples,
}

/// Samples of a block in one of three codings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlockSamples {
    /// Linear PCM.
    Linear(Vec<i16>),
    /// μ-law.
    Pcmu(Vec<u8>),
    /// A-law.
    Pcma(Vec<Alaw>),
}

impl BlockSamples {
    /// Returns the number of samples of both channels.
    pub(super) fn len(&self) -> usize {
        match self {
            BlockSamples::Linear(samples) => samples.len(),
            BlockSamples::Pcmu(codes) => codes.len(),
            BlockSamples::Pcma(codes) => codes.len(),
        }
    }

    /// Returns the size of the samples in bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            BlockSamples::Linear(samples) => size_of_val(samples.as_slice()),
            BlockSamples::Pcmu(_) | BlockSamples::Pcma(_) => self.len(),
        }
    }

    /// Returns the samples from an index on, converted to linear PCM.
    pub(super) fn linear(&self, from: usize) -> Cow<'_, [i16]> {
        match self {
            BlockSamples::Linear(samples) => samples.get(from..).unwrap_or_default().into(),
            BlockSamples::Pcmu(codes) => codes.iter().skip(from).map(|code| decode_ulaw(*code)).collect(),
            BlockSamples::Pcma(codes) => codes.iter().skip(from).map(|code| decode_alaw(code.0)).collect(),
        }
    }
}

impl From<RecordedSamples<'_>> for BlockSamples {
    fn from(samples: RecordedSamples<'_>) -> BlockSamples {
        match samples {
            RecordedSamples::Linear(samples) => BlockSamples::Linear(samples.to_vec()),
            RecordedSamples::Pcmu(codes) => BlockSamples::Pcmu(codes.to_vec()),
            RecordedSamples::Pcma(codes) => BlockSamples::Pcma(codes.to_vec()),
        }
    }
}

#[cfg(test)]
impl FromIterator<i16> for BlockSamples {
    fn from_iter<I: IntoIterator<Item = i16>>(samples: I) -> BlockSamples {
        BlockSamples::Linear(samples.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_either_law_are_the_samples_that_they_stand_for() {
        let codes = [0x00, 0x80, 0xff, 0xd5];
        let linear = BlockSamples::from(RecordedSamples::Linear(&[1, -2]));
        assert_eq!((linear.linear(0).to_vec(), linear.bytes()), (vec![1, -2], 4));
        let ulaw = BlockSamples::from(RecordedSamples::Pcmu(&codes));
        assert_eq!((ulaw.linear(0).to_vec(), ulaw.bytes()), (codes.map(decode_ulaw).to_vec(), 4));
        let alaw = BlockSamples::from(RecordedSamples::Pcma(&codes.map(Alaw)));
        assert_eq!((alaw.linear(0).to_vec(), alaw.bytes()), (codes.map(decode_alaw).to_vec(), 4));
        assert_eq!((linear.linear(1).to_vec(), linear.linear(9).to_vec()), (vec![-2], vec![]));
        assert_eq!((ulaw.linear(3).to_vec(), ulaw.linear(9).to_vec()), (vec![decode_ulaw(0xd5)], vec![]));
    }
}
