//! Limits of resampling, the unit in the name.

use std::ops::RangeInclusive;

/// Rates of audio files that can be played, in Hz.
pub(crate) const FILE_RATES_HZ: RangeInclusive<u32> = 8000..=192_000;
