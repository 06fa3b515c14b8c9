//! Limits of the agent core, with the unit in the name.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Duration of a frame of audio, and the interval between two frames.
pub const FRAME: Duration = Duration::from_millis(20);

/// Maximum size of a text message from an agent, in bytes: 120 s of audio at 24 kHz, 780 s of μ-law. A longer one is
/// not parsed.
pub const TEXT_BYTES: usize = 8 << 20;
/// Maximum bytes of a text message outside its longest string; only audio may be long.
pub const TEXT_BESIDE_BYTES: usize = 64 << 10;
/// Maximum size of a message from a recogniser, in bytes.
pub(crate) const RESULT_BYTES: usize = 64 << 10;
/// Maximum length of a recogniser's result, in characters; the rest of a longer one is dropped.
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
/// Permitted time for the digit by which the target of a warm transfer accepts, in seconds.
pub(crate) const WHISPER_WAIT_SECONDS: RangeInclusive<u64> = 1..=60;
/// Default time for the digit by which the target of a warm transfer accepts, in seconds.
pub(crate) const WHISPER_WAIT_USUAL_SECONDS: u64 = 10;
/// Maximum digits in one request to send DTMF.
pub const DIGITS: usize = 64;
/// Maximum length of a received name in the notes of a call's trace, in characters.
pub const SHOWN_CHARS: usize = 64;
/// Maximum capacity of the decoding buffer that is kept between two audio messages, in bytes.
pub(crate) const SCRATCH_BYTES: usize = 64 << 10;

/// Maximum audio queued for the caller, in seconds; above it the socket is not read.
pub const PLAYOUT_SECONDS: usize = 600;
/// Maximum marks waiting for their audio; above it the socket is not read.
pub const MARKS_WAITING: usize = 16_384;
/// Maximum total length of the names of waiting marks, in bytes; above it the socket is not read.
pub(crate) const MARK_BYTES_WAITING: usize = 1 << 20;
/// Bytes in a block of queued audio. An agent that sends in real time uses two of them.
pub(crate) const PLAYOUT_BLOCK_BYTES: usize = 1024;
/// Capacity of the block list that is kept when the queue is empty, in blocks.
pub(crate) const PLAYOUT_BLOCKS_KEPT: usize = 16;
/// Number of ticks without a full frame after which an incomplete frame of an agent's audio is played, padded with
/// silence.
pub const REST_TICKS: u32 = 5;
/// Number of ticks for which half a sample at the end of an agent's audio waits for its second half: 1 s.
pub const HALF_SAMPLE_TICKS: u32 = 50;
/// Maximum number of missed ticks that are processed late; if the clock was read later than that, all missed ticks are
/// skipped.
pub const CATCH_UP_TICKS: u64 = 10;

/// Maximum media frames queued for a slow socket, both tracks together; a new one replaces the oldest.
pub const OUTBOX_MEDIA_FRAMES: usize = 100;
/// Number of control messages queued for a slow socket at which the socket is no longer read.
pub(crate) const OUTBOX_CONTROL_PAUSE: usize = 1024;
/// Total length of queued control messages at which a slow socket is no longer read, in bytes.
pub(crate) const OUTBOX_CONTROL_PAUSE_BYTES: usize = 64 << 10;
/// Maximum number of control messages queued for a slow socket; a further one ends the stream as lost. It exceeds the
/// number of waiting marks, because one `clear` returns them all.
pub const OUTBOX_CONTROL_MESSAGES: usize = 2 * MARKS_WAITING;
/// Initial size of the buffer in which texts are written, in bytes: two frames, one of each track, and a further
/// message.
pub(crate) const TEXT_BUFFER_BYTES: usize = 1024;

/// Default maximum time until the response to a ping.
pub const PONG_TIMEOUT: Duration = Duration::from_secs(5);
/// Time after `stop` in which an agent may close the connection before the edge does: data that a server has read but
/// not handed over yet may be lost when a close frame arrives (uvicorn stops reading then).
pub const STOP_TIMEOUT: Duration = Duration::from_millis(500);
/// Maximum time from `stop` until the socket is closed; then the stream ends without waiting for the agent.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Minimum time to wait for missing packets, once later audio has arrived.
pub const REORDER: Duration = Duration::from_millis(40);
/// Maximum time to wait for missing packets, if packets have been seen to arrive that late. Own choice: more than the
/// difference of two links that share a call, and too short to make a response seem slow.
pub const REORDER_MOST: Duration = Duration::from_millis(100);
/// Margin added to the observed lateness of packets.
pub(crate) const REORDER_MARGIN: Duration = Duration::from_millis(10);
/// Minimum time for which the lateness of packets is remembered; the maximum is twice that.
pub(crate) const REORDER_WINDOW: Duration = Duration::from_secs(10);
/// Number of gaps remembered to observe late packets: 100 ms of a stream in which every second packet of 10 ms is
/// missing.
pub(crate) const REORDER_GAPS: usize = 6;
/// Time after which a missing frame of a silent source is filled with silence. Own choice: longer than the jitter of
/// a sane network, so that a pause is filled but a late packet is not lost.
pub const SILENCE_AFTER: Duration = Duration::from_millis(80);
/// Maximum shift of a source so that late audio is not lost, in 8 kHz ticks: 300 ms. Own choice: longer than the
/// handover of a radio link, shorter than a pause that an agent would take for the end of a turn.
pub(crate) const STALL_TICKS: i64 = 2400;
/// Time after which an unneeded shift of a source is removed.
pub(crate) const STALL_WINDOW: Duration = Duration::from_secs(10);
/// Time for which a source may be consistently late before its position is determined by the wall clock again.
pub(crate) const LATE_FOR: Duration = Duration::from_millis(200);
/// Maximum frames of one track that wait for missing packets.
pub(crate) const TRACK_FRAMES: usize = 16;
/// Initial capacity of one track, in frames: a packet of 60 ms spans four. Missing packets, or a longer packet, make
/// it grow once.
pub(crate) const TRACK_FRAMES_USUAL: usize = 4;
/// Lead over the wall clock from which a packet's timestamp is taken as that of another clock: 100 ms, in 8 kHz ticks.
pub(crate) const EARLY_TICKS: i64 = 800;
/// Delay behind the wall clock from which a packet's timestamp is taken as that of another clock: 1 s, in 8 kHz ticks.
pub(crate) const LATE_TICKS: i64 = 8000;
/// Lead over the wall clock from which a quiet frame of a source is dropped: 40 ms, in 8 kHz ticks.
pub(crate) const FAST_TICKS: i64 = 320;
/// Delay behind the wall clock from which a frame of silence is inserted in a quiet moment: 60 ms, in 8 kHz ticks.
pub(crate) const SLOW_TICKS: i64 = 480;
/// Excess over [`FAST_TICKS`] or [`SLOW_TICKS`] from which a frame is dropped or inserted even during speech: 20 ms, in
/// 8 kHz ticks.
pub(crate) const FORCED_TICKS: i64 = 160;
/// Lead over the wall clock from which a quiet frame of a recorded source is dropped: 10 ms, in 8 kHz ticks. A
/// recording stays within 40 ms of the edge's clock.
pub(crate) const RECORDED_FAST_TICKS: i64 = 80;
/// Delay behind the wall clock from which a frame is inserted for a recorded source: 25 ms, in 8 kHz ticks, in addition
/// to the frame by which audio is positioned before its packet arrives.
pub(crate) const RECORDED_SLOW_TICKS: i64 = 200;
/// Excess over the limits of a recorded source from which a frame is dropped or inserted even during speech: 10 ms, in
/// 8 kHz ticks.
pub(crate) const RECORDED_FORCED_TICKS: i64 = 80;
/// Time for which the clock of a source is compared with the wall clock before it is corrected.
pub(crate) const PACE_WINDOW: Duration = Duration::from_secs(4);
/// Lateness of a deadline from which this process or its machine is assumed to have been suspended; that time does not
/// count as silence of the agent.
pub const STANDSTILL: Duration = Duration::from_millis(500);
