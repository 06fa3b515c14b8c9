//! Sampling rates of parties, and their frame sizes.

use super::conversion::RateConversion;

/// Sampling rate at which a party sends and receives audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SamplingRate {
    /// 8 kHz, the rate of G.711.
    Narrow,
    /// 16 kHz, the rate of G.722.
    Wide,
    /// 48 kHz, the rate of Opus.
    Full,
}

/// Samples of a frame at the highest rate.
pub(super) const FRAME_MOST: usize = 960;

impl SamplingRate {
    /// All rates, the lowest first.
    pub const ALL: [SamplingRate; 3] = [SamplingRate::Narrow, SamplingRate::Wide, SamplingRate::Full];

    /// Returns the sampling rate, in Hz.
    pub const fn hz(self) -> u32 {
        match self {
            SamplingRate::Narrow => 8000,
            SamplingRate::Wide => 16_000,
            SamplingRate::Full => 48_000,
        }
    }

    /// Returns the number of samples in a frame of 20 ms.
    pub const fn frame(self) -> usize {
        self.millisecond() * 20
    }

    /// Returns the number of samples in a millisecond.
    pub(super) const fn millisecond(self) -> usize {
        match self {
            SamplingRate::Narrow => 8,
            SamplingRate::Wide => 16,
            SamplingRate::Full => 48,
        }
    }

    /// Returns the index of the rate in [`SamplingRate::ALL`].
    pub(super) const fn index(self) -> usize {
        match self {
            SamplingRate::Narrow => 0,
            SamplingRate::Wide => 1,
            SamplingRate::Full => 2,
        }
    }

    /// Returns the conversion of frames from this rate to another one.
    pub(super) fn to(self, other: SamplingRate) -> RateConversion {
        RateConversion::new(self, other)
    }
}
