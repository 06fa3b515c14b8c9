//! Hard limits of a phone, each with its unit in its name.

use std::time::Duration;

/// Maximum number of voices distinguished in one call.
pub const STREAMS: usize = 8;
/// Maximum number of frames of one voice: more than five hours.
pub const FRAMES: u32 = 1 << 20;
/// Maximum number of packets by which the first ones of a stream may be out of order.
pub(crate) const REORDERED: i16 = 16;
/// Number of silent frames remembered before a delayed frame: more than a second.
pub(crate) const SILENT_FRAMES: usize = 64;
/// Number of frames kept for the tone analysis.
pub(crate) const RECENT_FRAMES: usize = 25;
/// Minimum SNR of a tone, in dB; G.711 alone yields about 35.
pub(crate) const TONE_SNR_DB: f64 = 20.0;
/// Minimum level of a tone, in dBFS; the test tone has −10.
pub(crate) const TONE_LEVEL_DBFS: f64 = -20.0;
/// Level below which a frame is silent, in dBFS.
pub const SILENCE_DBFS: f64 = -50.0;
/// Number of initial frames not evaluated while a codec settles.
pub(crate) const SETTLING_FRAMES: usize = 5;
/// Minimum SNR of one frame of transcoded audio, in dB.
pub(crate) const FRAME_SNR_DB: f64 = 10.0;
/// Maximum level difference of one frame of transcoded audio, in dB: two of the 1.4 dB gain steps of Opus speech (RFC
/// 6716 §4.2.7.4), by which a single frame may be off.
pub(crate) const FRAME_LEVEL_DB: f64 = 3.0;
/// Minimum SNR of all frames of transcoded audio together, in dB.
pub(crate) const CONVERTED_SNR_DB: f64 = 15.0;
/// Maximum level difference of all frames of transcoded audio together, in dB.
pub(crate) const CONVERTED_LEVEL_DB: f64 = 0.5;
/// Maximum number of received DTMF digits kept per call.
pub const KEYS_HEARD: usize = 64;
/// Number of frames before the first DTMF digit: 1 s.
pub const KEYS_AFTER: u32 = 50;
/// Duration of a DTMF digit, in milliseconds; a pause of 100 ms follows.
pub(crate) const KEY_MS: u16 = 100;
/// Number of frames from the start of a DTMF digit to the start of the next: 200 ms.
pub(crate) const KEY_FRAMES: u32 = 10;
/// Number of frames of the pauses `w` and `W` between DTMF digits: 500 ms and 1 s.
pub const PAUSE_FRAMES: (u32, u32) = (25, 50);
/// Maximum number of calls kept, ended ones included; the oldest ended one is dropped first.
pub const CALLS: usize = 256;
/// Maximum number of INVITEs left without response, remembered to ignore their retransmissions.
pub const IGNORED: usize = 256;
/// Maximum time without a final response, in seconds.
pub(crate) const NO_FINAL_S: u64 = 180;
/// Maximum duration of a call, in seconds.
pub(crate) const CALL_S: u64 = 300;
/// Minimum session interval, in seconds (RFC 4028 §5).
pub(crate) const SESSION_LEAST_S: u32 = 90;
/// Maximum time before the end of a session interval at which a call is ended for lack of a refresh (RFC 4028 §10).
pub(crate) const SESSION_EARLY: Duration = Duration::from_secs(32);
/// Delay before a session refresh (RFC 4028) that was not sent or was rejected is retried.
pub(crate) const REFRESH_RETRY: Duration = Duration::from_secs(3);
/// Maximum number of transfer notifications kept per call.
pub const NEWS: usize = 64;
/// Time from a received REFER to the final progress report.
pub(crate) const REFERRED: Duration = Duration::from_secs(2);
/// Interval at which a call checks whether an RTCP report is due.
pub(crate) const REPORTS_LOOKED_FOR: Duration = Duration::from_millis(100);
/// Number of frames after which a late voice restarts its schedule instead of catching up.
pub const FRAMES_BEHIND: u32 = 50;
