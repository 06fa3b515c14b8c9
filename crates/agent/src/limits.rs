//! Limits of the agent core, with the unit in the name.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Duration of one frame, and the interval between two.
pub const FRAME: Duration = Duration::from_millis(20);

/// Maximum size of a text message from an agent, in bytes: 120 s of audio at 24 kHz, 780 s of μ-law. A longer one is
/// not parsed.
pub const TEXT_BYTES: usize = 8 << 20;
/// Maximum bytes of a text message outside its longest string; only audio may be long.
pub const TEXT_BESIDE_BYTES: usize = 64 << 10;
/// Maximum size of a message from a recogniser, in bytes.
pub(crate) const RESULT_BYTES: usize = 64 << 10;
/// Maximum number of characters kept of a recogniser's result.
pub(crate) const RESULT_CHARS: usize = 4096;
/// Maximum results of a recogniser per second. Own choice: some report every 20 ms of audio; signalling processes each
/// of them.
pub const RESULTS_PER_SECOND: u32 = 100;
/// Maximum length of a mark's name, in bytes; a mark with a longer one is reported and never returned.
pub const MARK_NAME_BYTES: usize = 4096;
/// Maximum length of a transfer target, in bytes.
pub const TARGET_BYTES: usize = 1024;
/// Maximum length of a field of a warm transfer's `whisper`, in bytes: a text of about two minutes.
pub(crate) const WHISPER_BYTES: usize = 2000;
/// Allowed time for the digit of a warm transfer's target, in seconds.
pub(crate) const WHISPER_WAIT_SECONDS: RangeInclusive<u64> = 1..=60;
/// Default time for that digit, in seconds.
pub(crate) const WHISPER_WAIT_USUAL_SECONDS: u64 = 10;
/// Maximum digits in one request to send DTMF.
pub const DIGITS: usize = 64;
/// Characters of an unknown name that are shown.
pub const SHOWN_CHARS: usize = 64;
/// Scratch memory kept between two audio messages, in bytes.
pub(crate) const SCRATCH_BYTES: usize = 64 << 10;

/// Maximum audio queued for the caller, in seconds; above it the socket is not read.
pub const PLAYOUT_SECONDS: usize = 600;
/// Maximum marks waiting for their audio; above it the socket is not read.
pub const MARKS_WAITING: usize = 16_384;
/// Maximum bytes of the names of waiting marks; above it the socket is not read.
pub(crate) const MARK_BYTES_WAITING: usize = 1 << 20;
/// Bytes in a block of queued audio. An agent that sends in real time uses two of them.
pub(crate) const PLAYOUT_BLOCK_BYTES: usize = 1024;
/// Capacity of the block list that is kept when the queue is empty, in blocks.
pub(crate) const PLAYOUT_BLOCKS_KEPT: usize = 16;
/// Ticks without a full frame after which the rest of a piece is played, padded with silence.
pub const REST_TICKS: u32 = 5;
/// Ticks that half a sample waits for its other half: 1 s.
pub const HALF_SAMPLE_TICKS: u32 = 50;
/// Maximum ticks that are made up for when the clock is read late; earlier missed ticks are skipped.
pub const CATCH_UP_TICKS: u64 = 10;

/// Maximum media frames queued for a slow socket, both tracks together; a new one replaces the oldest.
pub const OUTBOX_MEDIA_FRAMES: usize = 100;
/// Control messages queued for a slow socket at which it is no longer read.
pub(crate) const OUTBOX_CONTROL_PAUSE: usize = 1024;
/// Bytes of queued control messages at which a slow socket is no longer read.
pub(crate) const OUTBOX_CONTROL_PAUSE_BYTES: usize = 64 << 10;
/// Maximum control messages queued for a slow socket; one more loses the agent. More than all waiting marks, because
/// one `clear` returns them all.
pub const OUTBOX_CONTROL_MESSAGES: usize = 2 * MARKS_WAITING;
/// Size of the buffer for written texts, in bytes: a message of each track, and one more.
pub(crate) const TEXT_BUFFER_BYTES: usize = 1024;

/// Maximum time until the response to a ping.
pub const PONG_TIMEOUT: Duration = Duration::from_secs(5);
/// Time after `stop` in which an agent may close the connection before the edge does: data that a server has read but
/// not handed over yet may be lost when a close frame arrives (uvicorn stops reading then).
pub const STOP_TIMEOUT: Duration = Duration::from_millis(500);
/// Maximum time from `stop` until the socket of a closed stream is gone.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Minimum time to wait for a gap, once later audio has arrived.
pub const REORDER: Duration = Duration::from_millis(40);
/// Maximum time to wait for a gap, if packets have been seen to arrive that late. Own choice: more than the difference
/// of two links that share a call, and too short to make a response seem slow.
pub const REORDER_MOST: Duration = Duration::from_millis(100);
/// Margin added to the observed lateness.
pub(crate) const REORDER_MARGIN: Duration = Duration::from_millis(10);
/// Minimum time for which a lateness is remembered; the maximum is twice that.
pub(crate) const REORDER_WINDOW: Duration = Duration::from_secs(10);
/// Gaps remembered to observe late packets: those of 100 ms, with a gap at every second packet of 10 ms.
pub(crate) const REORDER_GAPS: usize = 6;
/// Time after which a missing frame of a silent source is filled. Own choice: longer than the jitter of a sane network,
/// so that a pause is filled but a late packet is not lost.
pub const SILENCE_AFTER: Duration = Duration::from_millis(80);
/// Maximum shift of a source so that late audio is not lost, in 8 kHz ticks: 300 ms. Own choice: longer than the
/// handover of a radio link, shorter than a pause that an agent would take for the end of a turn.
pub(crate) const STALL_TICKS: i64 = 2400;
/// Time after which an unneeded shift is removed.
pub(crate) const STALL_WINDOW: Duration = Duration::from_secs(10);
/// Time for which a source may be consistently late before it is placed again.
pub(crate) const LATE_FOR: Duration = Duration::from_millis(200);
/// Maximum frames of one track that wait for a gap to close.
pub(crate) const TRACK_FRAMES: usize = 16;
/// Initial capacity in frames of one track: a packet of 60 ms spans four. A gap, or a longer packet, makes it grow
/// once.
pub(crate) const TRACK_FRAMES_USUAL: usize = 4;
/// Lead over its time, in 8 kHz ticks, from which a packet belongs to another clock: 100 ms.
pub(crate) const EARLY_TICKS: i64 = 800;
/// Delay behind its time, in 8 kHz ticks, from which a packet belongs to another clock: 1 s.
pub(crate) const LATE_TICKS: i64 = 8000;
/// Lead from which a source gives up a quiet frame: 40 ms, in 8 kHz ticks.
pub(crate) const FAST_TICKS: i64 = 320;
/// Delay from which a source gets an additional frame of silence in a quiet moment: 60 ms, in 8 kHz ticks.
pub(crate) const SLOW_TICKS: i64 = 480;
/// Excess over these values from which the moment need not be quiet: 20 ms, in 8 kHz ticks.
pub(crate) const FORCED_TICKS: i64 = 160;
/// Lead at which a recorded source gives up a quiet frame: 10 ms, in 8 kHz ticks. A recording stays within 40 ms of the
/// edge's clock.
pub(crate) const RECORDED_FAST_TICKS: i64 = 80;
/// Delay at which a recorded source gets an additional frame: 25 ms, in addition to the frame by which audio is placed
/// before its packet arrives.
pub(crate) const RECORDED_SLOW_TICKS: i64 = 200;
/// Excess from which a recorded source need not be quiet: 10 ms.
pub(crate) const RECORDED_FORCED_TICKS: i64 = 80;
/// Time for which a source's pace is observed before it is corrected.
pub(crate) const PACE_WINDOW: Duration = Duration::from_secs(4);
/// Lateness of a deadline from which this process or its machine must have been suspended; that time does not count as
/// silence.
pub const STANDSTILL: Duration = Duration::from_millis(500);
