//! Audio of a recording on its way to a file.

use serde::{Deserialize, Serialize};

/// A recording: audio of a call or a conference on its way to a file. Numbered by signalling, unique in the process's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RecordingId(pub u64);

/// Audio of a paused recording in the place of the pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordingPause {
    /// Silence of its length.
    Silence,
    /// Nothing: it is cut out.
    Cut,
}

/// A piece of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded<'a> {
    /// Frames that follow each other.
    Audio {
        /// Number of the first frame in the file's time; a frame has 20 ms.
        first: u64,
        /// Samples of 8 kHz, interleaved: the caller, what the caller hears; of a conference its mix, and silence.
        samples: RecordedSamples<'a>,
    },
    /// The recording has ended.
    End {
        /// Frames in the file.
        frames: u64,
        /// The first and the last frame with a sound; `None`: all of it is silence.
        sound: Option<(u64, u64)>,
    },
}

/// Samples of a piece of a recording, as they came where both directions are the same kind of G.711.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordedSamples<'a> {
    /// Linear, of 16 bits.
    Linear(&'a [i16]),
    /// In μ-law.
    Pcmu(&'a [u8]),
    /// In A-law.
    Pcma(&'a [Alaw]),
}

/// A sample in A-law, as it is on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alaw(pub u8);

impl RecordedSamples<'_> {
    /// Returns how many they are, of both channels together.
    pub fn len(&self) -> usize {
        match self {
            RecordedSamples::Linear(samples) => samples.len(),
            RecordedSamples::Pcmu(codes) => codes.len(),
            RecordedSamples::Pcma(codes) => codes.len(),
        }
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
