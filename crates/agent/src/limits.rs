//! Limits of the agent core, the unit in the name.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Audio in one frame, and the time between two.
pub const FRAME: Duration = Duration::from_millis(20);

/// Bytes of one text from an agent: 120 s of audio at 24 kHz, 780 s of μ-law. A longer one is not read.
pub const TEXT_BYTES: usize = 8 << 20;
/// Bytes of a text beside its longest string: what may be long is audio.
pub const TEXT_BESIDE_BYTES: usize = 64 << 10;
/// Bytes of one message from a recogniser.
pub(crate) const RESULT_BYTES: usize = 64 << 10;
/// Characters kept of one result of a recogniser.
pub(crate) const RESULT_CHARS: usize = 4096;
/// Results of a recogniser in a second. Ours: some report each 20 ms of audio; signalling takes each of them.
pub const RESULTS_PER_SECOND: u32 = 100;
/// Bytes of a mark's name; a mark with a longer one is told and never comes back.
pub const MARK_NAME_BYTES: usize = 4096;
/// Bytes of a transfer's target.
pub const TARGET_BYTES: usize = 1024;
/// Bytes of a field of a warm transfer's `whisper`: a text of about two minutes.
pub(crate) const WHISPER_BYTES: usize = 2000;
/// Seconds that a warm transfer's target may have for its digit.
pub(crate) const WHISPER_WAIT_SECONDS: RangeInclusive<u64> = 1..=60;
/// Seconds that it has by default.
pub(crate) const WHISPER_WAIT_USUAL_SECONDS: u64 = 10;
/// Digits in one request to send DTMF.
pub const DIGITS: usize = 64;
/// Characters shown of a name that we do not know.
pub const SHOWN_CHARS: usize = 64;
/// Scratch space kept between two messages of audio.
pub(crate) const SCRATCH_BYTES: usize = 64 << 10;

/// Audio held for the caller, in seconds; past that the socket is read no further.
pub const PLAYOUT_SECONDS: usize = 600;
/// Marks that wait for their audio; past that the socket is read no further.
pub const MARKS_WAITING: usize = 16_384;
/// Bytes of the names of marks that wait; past that the socket is read no further.
pub(crate) const MARK_BYTES_WAITING: usize = 1 << 20;
/// Bytes in a block of held audio. An agent that sends in real time has two of them.
pub(crate) const PLAYOUT_BLOCK_BYTES: usize = 1024;
/// Blocks whose places are kept when all audio has left.
pub(crate) const PLAYOUT_BLOCKS_KEPT: usize = 16;
/// Ticks without a whole frame after which the rest of a piece leaves, filled with silence.
pub const REST_TICKS: u32 = 5;
/// Ticks that half a sample waits for its other half: 1 s.
pub const HALF_SAMPLE_TICKS: u32 = 50;
/// Ticks that are made up for when the clock is read late; those missed beyond are skipped.
pub const CATCH_UP_TICKS: u64 = 10;

/// Media frames that wait for a slow socket, both tracks together; the oldest is dropped for a new one.
pub const OUTBOX_MEDIA_FRAMES: usize = 100;
/// Control messages that wait for a slow socket before it is read no further.
pub(crate) const OUTBOX_CONTROL_PAUSE: usize = 1024;
/// Bytes of these; the same.
pub(crate) const OUTBOX_CONTROL_PAUSE_BYTES: usize = 64 << 10;
/// Control messages that wait for a slow socket; with one more the agent is lost. More than all waiting marks, since
/// one `clear` returns them all.
pub const OUTBOX_CONTROL_MESSAGES: usize = 2 * MARKS_WAITING;
/// Bytes of the buffer that texts are written in: a message of each track, and one more.
pub(crate) const TEXT_BUFFER_BYTES: usize = 1024;

/// How long a ping may stay unanswered.
pub const PONG_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an agent has after `stop` to close by itself before we close: what a server has read and not handed over yet may
/// be lost when a close frame comes (uvicorn's reading stops there).
pub const STOP_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a closed stream waits for the socket to be gone, from `stop` on.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a gap is waited for at least, once audio from behind it has come.
pub const REORDER: Duration = Duration::from_millis(40);
/// How long at most, where packets have been seen to come so late. Ours: more than two lines that share a call differ, and
/// too short for an answer to seem slow.
pub const REORDER_MOST: Duration = Duration::from_millis(100);
/// How much longer than the lateness that was seen.
pub(crate) const REORDER_MARGIN: Duration = Duration::from_millis(10);
/// How long a lateness is remembered at least; twice that at most.
pub(crate) const REORDER_WINDOW: Duration = Duration::from_secs(10);
/// Gaps that are remembered to see what still comes of them: those of 100 ms, a gap in each second packet of 10 ms.
pub(crate) const REORDER_GAPS: usize = 6;
/// How long after its time a frame of a silent source is filled. Ours: longer than the jitter of a sane network, so
/// that a pause is filled but a late packet is not lost.
pub const SILENCE_AFTER: Duration = Duration::from_millis(80);
/// How far a source is moved on at most so that nothing is lost of what comes late, in 8 kHz ticks: 300 ms. Ours: longer than
/// a radio link stands still when it changes cells, shorter than a pause that an agent would take for the end of a turn.
pub(crate) const STALL_TICKS: i64 = 2400;
/// How long it stays there when nothing needs it.
pub(crate) const STALL_WINDOW: Duration = Duration::from_secs(10);
/// How long a source may be late throughout before its clock is set anew.
pub(crate) const LATE_FOR: Duration = Duration::from_millis(200);
/// Frames of one track that wait for a gap to close.
pub(crate) const TRACK_FRAMES: usize = 16;
/// Frames of one track that there is room for from the start: a packet of 60 ms lies in four. A gap, or a longer packet, makes
/// more of it once.
pub(crate) const TRACK_FRAMES_USUAL: usize = 4;
/// A packet so far ahead of its time, in 8 kHz ticks, belongs to another clock: 100 ms.
pub(crate) const EARLY_TICKS: i64 = 800;
/// A packet so far behind its time belongs to another clock: 1 s.
pub(crate) const LATE_TICKS: i64 = 8000;
/// A source that is this far ahead gives up a quiet frame: 40 ms.
pub(crate) const FAST_TICKS: i64 = 320;
/// A source that is this far behind is given a frame of silence where it is quiet: 60 ms.
pub(crate) const SLOW_TICKS: i64 = 480;
/// Further than that by this much, it need not be quiet: 20 ms.
pub(crate) const FORCED_TICKS: i64 = 160;
/// The three of them where a recording is made, which keeps to the edge's clock within 40 ms: 10 ms …
pub(crate) const RECORDED_FAST_TICKS: i64 = 80;
/// … 25 ms, on top of the frame by which audio is placed before its packet comes …
pub(crate) const RECORDED_SLOW_TICKS: i64 = 200;
/// … 10 ms.
pub(crate) const RECORDED_FORCED_TICKS: i64 = 80;
/// How long a source's pace is observed before it is judged.
pub(crate) const PACE_WINDOW: Duration = Duration::from_secs(4);
/// A deadline that is met so late tells that this process did not run meanwhile, or its machine: that time does not count as silence.
pub const STANDSTILL: Duration = Duration::from_millis(500);
