//! Fixed sizes of recordings, with the unit in the name.

/// Sampling rate of each channel, in Hz.
pub const RATE_HZ: u32 = 8000;
/// Duration of a frame, in milliseconds.
pub const FRAME_MS: u32 = 20;
/// Samples of a frame in each channel.
pub const FRAME_SAMPLES: usize = (RATE_HZ / 1000 * FRAME_MS) as usize;
/// Longest accepted header of an age file, in bytes; one for a single recipient has about 200.
pub const AGE_HEADER_BYTES: usize = 64 << 10;
/// Bit rate of a mono Ogg Opus recording, in bits per second.
pub(crate) const OPUS_MONO_BIT_RATE: u32 = 20_000;
/// Bit rate of a stereo Ogg Opus recording: below 32,000 the codec narrows the stereo image, and the two parties would
/// mix.
pub(crate) const OPUS_DUAL_BIT_RATE: u32 = 40_000;
/// Opus encoder complexity, 0 to 10; low, because one thread serves all recordings.
pub(crate) const OPUS_COMPLEXITY: u8 = 3;
/// Maximum parts of a recording in a waveform.
pub const PEAKS: usize = 1000;
/// Opus packets decoded for a waveform: 20 min of audio.
pub(crate) const PEAK_PACKETS: u64 = 60_000;
