//! Hard limits of a phone, each with its unit in its name.

use std::time::Duration;

/// Voices told apart in one call.
pub const STREAMS: usize = 8;
/// Frames of one voice: more than five hours.
pub const FRAMES: u32 = 1 << 20;
/// Packets by which a stream's first ones may come out of order.
pub(crate) const REORDERED: i16 = 16;
/// Frames of silence remembered that may stand before a late frame: more than a second.
pub(crate) const SILENT_FRAMES: usize = 64;
/// Frames kept to look for the tone in.
pub(crate) const RECENT_FRAMES: usize = 25;
/// A tone has at least this distance from all else, in dB; G.711 alone leaves about 35.
pub(crate) const TONE_SNR_DB: f64 = 20.0;
/// A tone is at least this loud, in dB of full scale; ours is at −10.
pub(crate) const TONE_LEVEL_DBFS: f64 = -20.0;
/// Below this a frame is silent, in dB of full scale.
pub const SILENCE_DBFS: f64 = -50.0;
/// Frames in which a coder settles: they are not judged.
pub(crate) const SETTLING_FRAMES: usize = 5;
/// Of audio that was converted on its way, a frame's tone has at least this distance from all else, in dB.
pub(crate) const FRAME_SNR_DB: f64 = 10.0;
/// And is at most so much louder or softer than it was said, in dB: two of the steps of 1.4 dB in which Opus tells the gain of
/// speech (RFC 6716 §4.2.7.4), which a frame by itself may be off.
pub(crate) const FRAME_LEVEL_DB: f64 = 3.0;
/// The same of all its frames together.
pub(crate) const CONVERTED_SNR_DB: f64 = 15.0;
/// The same of all its frames together.
pub(crate) const CONVERTED_LEVEL_DB: f64 = 0.5;
/// Keys of the far side remembered of a call.
pub const KEYS_HEARD: usize = 64;
/// Frames that are said before the first key is pressed: 1 s.
pub const KEYS_AFTER: u32 = 50;
/// How long a key is pressed, in milliseconds; the next follows 100 ms later.
pub(crate) const KEY_MS: u16 = 100;
/// Frames from the beginning of a key to that of the next: 200 ms.
pub(crate) const KEY_FRAMES: u32 = 10;
/// Frames of the pauses `w` and `W` between keys: 500 ms and 1 s.
pub const PAUSE_FRAMES: (u32, u32) = (25, 50);
/// Calls remembered, ended ones too; the oldest ended one goes first.
pub const CALLS: usize = 256;
/// INVITEs left without any answer, remembered so that their repetitions are left so too.
pub const IGNORED: usize = 256;
/// Without a final answer for so long a call is given up, in seconds.
pub(crate) const NO_FINAL_S: u64 = 180;
/// The longest call, in seconds.
pub(crate) const CALL_S: u64 = 300;
/// The shortest session there is, in seconds (RFC 4028 §5).
pub(crate) const SESSION_LEAST_S: u32 = 90;
/// How long before the end of a session a call without refresh is given up, at most (RFC 4028 §10).
pub(crate) const SESSION_EARLY: Duration = Duration::from_secs(32);
/// From a refresh that could not be made to the next try.
pub(crate) const REFRESH_RETRY: Duration = Duration::from_secs(3);
/// News of transfers remembered of one call.
pub const NEWS: usize = 64;
/// From a REFER to a phone to the last that it tells of it.
pub(crate) const REFERRED: Duration = Duration::from_secs(2);
/// How often a call sees whether it has something to report.
pub(crate) const REPORTS_LOOKED_FOR: Duration = Duration::from_millis(100);
/// A voice that is so many frames late goes on from now instead of catching up.
pub const FRAMES_BEHIND: u32 = 50;
