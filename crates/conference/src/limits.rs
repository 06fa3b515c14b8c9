//! Limits of conferences, the unit in the name.

use std::time::Duration;

/// Audio in one frame, and the time between two ticks of a mixer.
pub const FRAME: Duration = Duration::from_millis(20);
/// Parties of one conference.
pub const PARTIES: usize = 50;
/// Parties of all conferences of one edge.
pub const EDGE_PARTIES: usize = 500;
/// Parties beyond them, for those who have less than their share of the places.
pub const EDGE_PARTIES_RESERVED: usize = 62;
/// Clips that one mixer plays at once: an announcement to each party, and some to all.
pub(crate) const SOURCES: usize = PARTIES + 4;
/// Frames that wait for a tick, for each party; the oldest is dropped for a new one: 120 ms.
pub(crate) const WAITING_FRAMES: usize = 6;
/// Frames that a ring between two threads holds: 160 ms.
pub(crate) const RING_FRAMES: usize = 8;
/// Frames made up for lost ones in a row, fading to silence.
pub(crate) const CONCEALED_FRAMES: u32 = 2;
/// Ticks in which a frame has to be left over each time before one is skipped: 5 s.
pub(crate) const SURPLUS_TICKS: u32 = 250;
/// Look-ahead of a limiter, in milliseconds.
pub const LOOK_AHEAD_MS: usize = 2;
/// Ticks for which a party stays in the mix after it became quiet: 500 ms.
pub(crate) const GATE_TICKS: u32 = 25;
/// Ticks of quiet after which a party does not speak any more: 800 ms.
pub(crate) const SPEECH_TICKS: u32 = 40;
/// Ticks for which a party has to be louder than the active speaker to become it: 500 ms.
pub(crate) const SPEAKER_TICKS: u32 = 25;
/// Longest delay after which an echo is recognised, in ticks: 2 s.
pub(crate) const ECHO_TICKS: usize = 100;

/// Frames of a recording that are handed over at once: 200 ms, as those of calls.
pub(crate) const TAPE_FRAMES: usize = 10;
/// Mean level of a frame, of 32,768, from which on it counts as a sound in a recording: −42 dB, as in those of calls.
pub(crate) const TAPE_SOUND: u64 = 250;
/// Ticks left out in a row for which recordings have silence: 20 s.
pub(crate) const SKIPPED_TICKS: u32 = 1_000;
/// Recordings of one conference at once.
pub(crate) const TAPES: usize = 4;

/// Characters of the name of a conference.
pub const NAME_CHARS: usize = 128;
/// Characters of a participant's label.
pub const LABEL_CHARS: usize = 128;
/// Announcements of one conference that play or wait.
pub(crate) const ANNOUNCEMENTS: usize = 50;
/// Time from one beep to the next. Ours: parties that come or leave together make one beep.
pub(crate) const BEEP_PAUSE: Duration = Duration::from_millis(500);
