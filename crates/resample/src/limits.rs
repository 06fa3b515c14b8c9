//! Limits of resampling, with the unit in the name.

use std::ops::RangeInclusive;

/// Supported rates of audio files, in Hz.
pub(crate) const FILE_RATES_HZ: RangeInclusive<u32> = 8000..=192_000;
