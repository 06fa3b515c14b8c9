//! Sampling rates of parties, and their frame sizes.

use super::conversion::Conversion;

/// Sampling rate of a party.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rate {
    /// 8 kHz: G.711.
    Narrow,
    /// 16 kHz: G.722.
    Wide,
    /// 48 kHz: Opus.
    Full,
}

/// Samples of a frame at the highest rate.
pub(super) const FRAME_MOST: usize = 960;

impl Rate {
    /// All rates, the lowest first.
    pub const ALL: [Rate; 3] = [Rate::Narrow, Rate::Wide, Rate::Full];

    /// Returns the sampling rate, in Hz.
    pub const fn hz(self) -> u32 {
        match self {
            Rate::Narrow => 8000,
            Rate::Wide => 16_000,
            Rate::Full => 48_000,
        }
    }

    /// Returns the samples of a frame of 20 ms.
    pub const fn frame(self) -> usize {
        self.millisecond() * 20
    }

    /// Returns the samples of a millisecond.
    pub(super) const fn millisecond(self) -> usize {
        match self {
            Rate::Narrow => 8,
            Rate::Wide => 16,
            Rate::Full => 48,
        }
    }

    /// Returns the index of the rate in [`Rate::ALL`].
    pub(super) const fn index(self) -> usize {
        match self {
            Rate::Narrow => 0,
            Rate::Wide => 1,
            Rate::Full => 2,
        }
    }

    /// Returns the conversion of frames from this rate to another one.
    pub(super) fn to(self, other: Rate) -> Conversion {
        Conversion::new(self, other)
    }
}
