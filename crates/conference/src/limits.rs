//! Limits of conferences, with the unit in the name.

use std::time::Duration;

/// Duration of a frame, and the interval of a mixer's ticks.
pub const FRAME: Duration = Duration::from_millis(20);
/// Maximum parties of one conference.
pub const PARTIES: usize = 50;
/// Maximum parties of all conferences of one edge.
pub const EDGE_PARTIES: usize = 500;
/// Places of the edge reserved for trunks that use less than their share, in addition to [`EDGE_PARTIES`].
pub const EDGE_PARTIES_RESERVED: usize = 62;
/// Maximum clips that one mixer plays at once: an announcement to each party, and some to all.
pub(crate) const SOURCES: usize = PARTIES + 4;
/// Maximum frames that wait for the mixer from each party: 120 ms. A further one replaces the oldest.
pub(crate) const WAITING_FRAMES: usize = 6;
/// Capacity of a ring between two threads, in frames: 160 ms.
pub(crate) const RING_FRAMES: usize = 8;
/// Maximum consecutive concealed frames, fading to silence.
pub(crate) const CONCEALED_FRAMES: u32 = 2;
/// Consecutive ticks with a surplus frame before one is skipped: 5 s.
pub(crate) const SURPLUS_TICKS: u32 = 250;
/// Look-ahead of a limiter, in milliseconds.
pub const LOOK_AHEAD_MS: usize = 2;
/// Ticks for which a party stays in the mix after its audio became quiet: 500 ms.
pub(crate) const GATE_TICKS: u32 = 25;
/// Ticks of quiet after which a party counts as no longer speaking: 800 ms.
pub(crate) const SPEECH_TICKS: u32 = 40;
/// Ticks for which a party has to be louder than the active speaker to replace it: 500 ms.
pub(crate) const SPEAKER_TICKS: u32 = 25;
/// Longest delay of a detected echo, in ticks: 2 s.
pub(crate) const ECHO_TICKS: usize = 100;

/// Frames of a recording that are written together: 200 ms, as for calls.
pub(crate) const TAPE_FRAMES: usize = 10;
/// Mean level of a frame, out of 32,768, from which it counts as a sound in a recording: −42 dB, as for calls.
pub(crate) const TAPE_SOUND: u64 = 250;
/// Maximum skipped ticks in a row that are recorded as silence: 20 s.
pub(crate) const SKIPPED_TICKS: u32 = 1_000;
/// Frames of a recording that wait for its file from another process: 10 s, longer than a hand-over may take.
pub(crate) const CROSSING_FRAMES: usize = 500;
/// Maximum simultaneous recordings of one conference.
pub(crate) const TAPES: usize = 4;

/// Maximum length of a conference name, in characters.
pub const NAME_CHARS: usize = 128;
/// Maximum length of a participant's label, in characters.
pub const LABEL_CHARS: usize = 128;
/// Maximum announcements of one conference that play or wait to be played.
pub(crate) const ANNOUNCEMENTS: usize = 50;
/// Minimum interval between two beeps. Own choice: parties that join or leave together make one beep.
pub(crate) const BEEP_PAUSE: Duration = Duration::from_millis(500);
