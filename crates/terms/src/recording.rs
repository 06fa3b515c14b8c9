//! Recorded audio on its way to a file.

use serde::{Deserialize, Serialize};

/// Identifies a recording of a call or a conference; assigned by signalling, unique in the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RecordingId(pub u64);

/// Effect of a pause on the recorded file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordingPause {
    /// Silence of the same length as the pause.
    Silence,
    /// The pause is cut out.
    Cut,
}

/// Message from a media worker or mixer to the writer of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded<'a> {
    /// Consecutive frames.
    Audio {
        /// Number of the first frame, counted from the beginning of the file; a frame is 20 ms.
        first: u64,
        /// Interleaved samples at 8 kHz: audio from the caller, audio to the caller; for a conference the mix, then
        /// silence.
        samples: RecordedSamples<'a>,
    },
    /// End of the recording.
    End {
        /// Number of frames in the file.
        frames: u64,
        /// First and last frame with a sound; `None` if there is silence only.
        sound: Option<(u64, u64)>,
    },
}

/// Samples of a recording; G.711 stays encoded if both directions use the same law.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordedSamples<'a> {
    /// Linear, 16 bits.
    Linear(&'a [i16]),
    /// μ-law.
    Pcmu(&'a [u8]),
    /// A-law.
    Pcma(&'a [Alaw]),
}

/// A-law sample, as on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alaw(pub u8);

impl RecordedSamples<'_> {
    /// Returns the number of samples, both channels together for a two-channel recording.
    pub fn len(&self) -> usize {
        match self {
            RecordedSamples::Linear(samples) => samples.len(),
            RecordedSamples::Pcmu(codes) => codes.len(),
            RecordedSamples::Pcma(codes) => codes.len(),
        }
    }

    /// Returns whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
