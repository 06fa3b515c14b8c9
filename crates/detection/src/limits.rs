//! Constants of the detection, the unit in the name.

use std::time::Duration;

/// Samples per second.
pub const RATE_HZ: u32 = 8_000;
/// Samples of a frame.
pub const FRAME_SAMPLES: usize = 160;
/// Time of a frame.
pub const FRAME: Duration = Duration::from_millis(FRAME_MS as u64);
/// Time of a frame.
pub const FRAME_MS: u32 = 20;

/// Level of a frame below which nothing is speech, in dB of full scale.
pub(crate) const QUIET_DB: f32 = -46.0;
/// Highest level that is taken for the noise of a line.
pub(crate) const NOISE_MOST_DB: f32 = -30.0;
/// Level above the noise from which on a frame may be speech.
pub(crate) const MARGIN_DB: f32 = 7.0;
/// Level below the loudest speech from which on a frame may be speech.
pub(crate) const RANGE_DB: f32 = 20.0;
/// Frames by whose least level the noise is known: 1.5 s.
pub(crate) const NOISE_FRAMES: usize = 75;
/// Periodicity from which on a frame is voiced.
pub(crate) const VOICED: f32 = 0.55;
/// Frames after a voiced one that may be speech: consonants, 200 ms.
pub(crate) const VOICED_FRAMES: u32 = 10;
/// Voiced frames that speech has at least: 100 ms.
pub(crate) const SPEECH_VOICED: u32 = 5;
/// Frames before the first voiced one that belong to the speech: 100 ms.
pub(crate) const ONSET_FRAMES: u32 = 5;
/// Frames of soft speech before the first one that is heard: 20 ms.
pub(crate) const SOFT_FRAMES: u32 = 1;

/// Frames of a pause that count as part of the speech: 300 ms, and 60 ms of soft speech at its ends.
pub(crate) const PAUSE_FRAMES: u32 = 18;
/// Frames of which the cadence is known: a minute, the longest time of a detection.
pub(crate) const FRAMES_MOST: usize = 3_000;

/// Share of a frame's energy that is a tone's.
pub(crate) const TONE_SHARE: f32 = 0.72;
/// Farthest that a tone goes from its beginning.
pub(crate) const TONE_DRIFT_HZ: f32 = 18.0;
/// Most that the level of a tone differs from its loudest.
pub(crate) const TONE_RIPPLE_DB: f32 = 5.0;
/// Frames of a tone of one frequency before it is one: 120 ms.
pub(crate) const TONE_FRAMES: u32 = 6;
/// Frames of a low tone, or of one with two frequencies, before it is one, since vowels are similar: 160 ms.
pub(crate) const LOW_TONE_FRAMES: u32 = 8;
/// A tone below it is low.
pub(crate) const LOW_TONE_HZ: f32 = 600.0;
/// Frames without speech before a beep: 100 ms.
pub(crate) const BEEP_PAUSE_FRAMES: usize = 5;
/// Frames before a tone that may be its beginning: the end of a frame.
pub(crate) const TONE_EDGE_FRAMES: usize = 2;
/// Frames without the tone that end it.
pub(crate) const TONE_MISSES: u32 = 2;
/// Longest beep: 2 s.
pub(crate) const BEEP_FRAMES: u32 = 100;
/// Frames of 2100 Hz that are a fax machine's answer tone (ITU-T T.30): 600 ms of 2.6 to 4 s.
pub(crate) const CED_FRAMES: u32 = 30;
/// The same after speech, where it may be a beep: 1.4 s.
pub(crate) const CED_AFTER_SPEECH_FRAMES: u32 = 70;
/// Frames of 1100 Hz that are a fax machine's calling tone (ITU-T T.30): 0.5 s ± 15 %.
pub(crate) const CNG_FRAMES: std::ops::RangeInclusive<u32> = 20..=30;
/// Frames of each of the three special information tones (ITU-T E.180): 276 or 380 ms.
pub(crate) const SIT_FRAMES: std::ops::RangeInclusive<u32> = 8..=23;
/// Most frames between two of them.
pub(crate) const SIT_PAUSE_FRAMES: u32 = 6;
/// Frames of the window in which call progress is looked for: 80 ms.
pub(crate) const PROGRESS_FRAMES: usize = 4;
/// Frames after call progress in which it may echo: 300 ms.
pub(crate) const PROGRESS_ECHO_FRAMES: u32 = 15;
/// Time after a ringback tone in which the next one may come: the initial silence is counted from its end.
pub(crate) const PROGRESS_PAUSE_MS: u32 = 4_200;
