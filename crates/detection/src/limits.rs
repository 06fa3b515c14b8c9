//! Constants of the detection, with the unit in the name.

use std::time::Duration;

/// Sampling rate of the analysed audio, in Hz.
pub const RATE_HZ: u32 = 8_000;
/// Number of samples in a frame of 20 ms.
pub const FRAME_SAMPLES: usize = 160;
/// Duration of a frame, 20 ms.
pub const FRAME: Duration = Duration::from_millis(FRAME_MS as u64);
/// Duration of a frame, in milliseconds.
pub const FRAME_MS: u32 = 20;

/// Level below which a frame is not speech, in dB of full scale.
pub(crate) const QUIET_DB: f32 = -46.0;
/// Maximum level that is assumed to be line noise, in dB of full scale.
pub(crate) const NOISE_MOST_DB: f32 = -30.0;
/// Level above the line noise from which a frame may be speech, in dB.
pub(crate) const MARGIN_DB: f32 = 7.0;
/// Level below the loudest speech down to which a frame may be speech, in dB.
pub(crate) const RANGE_DB: f32 = 20.0;
/// Number of recent frames that estimate the line noise by their minimum: 1.5 s.
pub(crate) const NOISE_FRAMES: usize = 75;
/// Periodicity from which a frame is voiced, of at most 1.
pub(crate) const VOICED: f32 = 0.55;
/// Frames after a voiced one that may still be speech, as consonants are: 200 ms.
pub(crate) const VOICED_FRAMES: u32 = 10;
/// Minimum voiced frames of speech: 100 ms.
pub(crate) const SPEECH_VOICED: u32 = 5;
/// Frames before the first voiced one that belong to the speech: 100 ms.
pub(crate) const ONSET_FRAMES: u32 = 5;
/// Frames of soft speech assumed before the first audible one: 20 ms.
pub(crate) const SOFT_FRAMES: u32 = 1;

/// Maximum pause that counts as part of the speech, in frames: 300 ms, and 60 ms of soft speech at its ends.
pub(crate) const PAUSE_FRAMES: u32 = 18;
/// Maximum number of recorded frames: a minute, the longest detection.
pub(crate) const FRAMES_MOST: usize = 3_000;

/// Minimum share of a frame's energy in a tone.
pub(crate) const TONE_SHARE: f32 = 0.72;
/// Maximum drift of a tone's frequency from its beginning, in Hz.
pub(crate) const TONE_DRIFT_HZ: f32 = 18.0;
/// Maximum deviation of a tone's level from its loudest frame, in dB.
pub(crate) const TONE_RIPPLE_DB: f32 = 5.0;
/// Minimum frames of a tone with one frequency: 120 ms.
pub(crate) const TONE_FRAMES: u32 = 6;
/// Minimum frames of a low tone, or of one with two frequencies, because vowels are similar: 160 ms.
pub(crate) const LOW_TONE_FRAMES: u32 = 8;
/// Frequency below which a tone is low, in Hz.
pub(crate) const LOW_TONE_HZ: f32 = 600.0;
/// Frames without speech that are required before a beep: 100 ms.
pub(crate) const BEEP_PAUSE_FRAMES: usize = 5;
/// Frames before a tone that may contain its beginning.
pub(crate) const TONE_EDGE_FRAMES: usize = 2;
/// Consecutive frames without the tone that end it.
pub(crate) const TONE_MISSES: u32 = 2;
/// Maximum duration of a beep: 2 s.
pub(crate) const BEEP_FRAMES: u32 = 100;
/// Minimum frames of 2100 Hz for a fax machine's answer tone (ITU-T T.30): 600 ms of 2.6 to 4 s.
pub(crate) const CED_FRAMES: u32 = 30;
/// Minimum frames of 2100 Hz for an answer tone after speech, when it may be a beep: 1.4 s.
pub(crate) const CED_AFTER_SPEECH_FRAMES: u32 = 70;
/// Frames of 1100 Hz for a fax machine's calling tone (ITU-T T.30): 0.5 s ± 15 %.
pub(crate) const CNG_FRAMES: std::ops::RangeInclusive<u32> = 20..=30;
/// Frames of each of the three special information tones (ITU-T E.180): 276 or 380 ms.
pub(crate) const SIT_FRAMES: std::ops::RangeInclusive<u32> = 8..=23;
/// Maximum frames between two special information tones.
pub(crate) const SIT_PAUSE_FRAMES: u32 = 6;
/// Frames analysed together for call progress: 80 ms.
pub(crate) const PROGRESS_FRAMES: usize = 4;
/// Frames after call progress that may be its echo: 300 ms.
pub(crate) const PROGRESS_ECHO_FRAMES: u32 = 15;
/// Maximum time between two ringback tones; the initial silence counts from the end of the last one.
pub(crate) const PROGRESS_PAUSE_MS: u32 = 4_200;
