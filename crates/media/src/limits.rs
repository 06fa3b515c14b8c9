//! Limits of the media core, with the unit in the name.

use std::time::Duration;

use trunkgate_agent::limits::FRAME;

/// Maximum number of ends of a session; a further one is rejected and reported to signalling.
pub const SESSION_ENDS: usize = 24;
/// Interval of the sweeps that check for silence.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Time after the answer, or after a change of its description, after which a remote party that should send and has
/// sent nothing is reported. Own choice: longer than any phone takes to start.
pub const UNHEARD_AFTER: Duration = Duration::from_secs(5);
/// Time without packets after which the stop of a continuous stream is reported, if the other side still sends.
pub const STOPPED_AFTER: Duration = UNHEARD_AFTER;
/// Maximum age of the other side's last packet to count as sending. Own choice: two sweeps.
pub(crate) const SENDING_WITHIN: Duration = Duration::from_secs(2);
/// Packets between two sweeps that make a continuous stream: the number at 80 ms a packet.
pub(crate) const STREAM_PACKETS: u16 = 12;
/// Consecutive sweeps with [`STREAM_PACKETS`] before a stream counts as continuous. Own choice: longer than most
/// talkspurts of a remote party with silence suppression without comfort noise.
pub(crate) const STEADY_SWEEPS: u8 = 3;
/// Consecutive sweeps with [`STREAM_PACKETS`] required after a pause: a remote party that resumed by itself may pause
/// again.
pub(crate) const STEADY_SWEEPS_AFTER_PAUSE: u8 = 60;
/// Payload type of comfort noise (RFC 3551 §6).
pub const COMFORT_NOISE: u8 = 13;
/// A payload up to this size may be a silence descriptor of a codec (G.729 Annex B: 2 bytes, G.723.1 Annex A: 4).
pub(crate) const DESCRIPTOR_BYTES: usize = 4;
/// Interval of quality estimates; a call's lowest and mean score are computed from the estimates.
pub(crate) const QUALITY_INTERVAL: Duration = Duration::from_secs(5);
/// Mean interval between RTCP reports (RFC 3550 §6.2: the fixed minimum).
pub const REPORT_INTERVAL: Duration = Duration::from_secs(5);
/// Sender reports remembered for each end: a report block of the remote party refers to the last one that reached it.
pub(crate) const REPORTS_REMEMBERED: usize = 2;
/// Interval of keep-alive packets to a remote party that has sent nothing yet and to which nothing else is sent.
pub(crate) const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// Number of keep-alive packets at an interval of 1 s; afterwards [`KEEP_ALIVE_INTERVAL`] applies.
pub const PROBES: u32 = 5;
/// Interval of keep-alive packets to a remote party to which nothing else is sent (RFC 6263 §7, Tr).
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// Time for which packets from a remote party's former address are relayed as stragglers after a change; they do not
/// lock the new latch. Own choice: longer than a sane network delays a packet.
pub(crate) const STRAGGLER_WINDOW: Duration = Duration::from_secs(1);
/// Time after the start, and after a re-negotiation with another address, in which only the announced address and port
/// may win the latch. Own choice: a remote party sends within one round trip of its answer; if a NAT rewrites the port
/// of a public address, this much of the first word is lost.
pub const LATCH_GRACE: Duration = Duration::from_millis(250);
/// RTP packets after which a winner of the latch is settled; also requires [`LATCH_SETTLED_AFTER`].
pub const LATCH_SETTLED_PACKETS: u32 = 50;
/// Minimum time in which a winner of the latch settles. Until then one packet of the announced address and port takes
/// over. Own choice: a second of audio, because fifty packets can be sent at once.
pub const LATCH_SETTLED_AFTER: Duration = Duration::from_secs(1);
/// Maximum time over which the packets of a settling winner are counted: occasional packets are not a stream. Own
/// choice: packets of 100 ms, with some loss.
pub const LATCH_SETTLED_WITHIN: Duration = Duration::from_secs(6);
/// Silence of a latched source that never settled, after which any expected source may replace it. Own choice: longer
/// than the pause of a phone that changes from ringback to speech.
pub(crate) const LATCH_UNSETTLED_SILENCE: Duration = Duration::from_millis(500);
/// Silence after which a settled winner is replaced by the first packet of the announced address and port. Own choice:
/// two sweeps, so that its socket accepts other sources by then.
pub const LATCH_EXACT_SILENCE: Duration = Duration::from_secs(2);
/// Silence of the winner after which another expected source may take over with `latch = "relearn"`.
pub const RELEARN_SILENCE: Duration = Duration::from_secs(3);
/// Silence after which another expected source may take over with `latch = "strict"` from a winner that is not the
/// announced address and port. Own choice: longer than pauses of comfort noise, shorter than a caller stays on a line
/// without audio after a NAT has changed its port.
pub(crate) const LATCH_STRICT_SILENCE: Duration = Duration::from_secs(10);
/// Uninterrupted packets with which an expected source takes over from a silent winner; also requires
/// [`LATCH_CONTENDER_SPAN`].
pub const LATCH_CONTENDER_PACKETS: u32 = 10;
/// Minimum duration of a run that takes over the latch, so that a burst does not. Own choice: ten packets of 20 ms.
pub const LATCH_CONTENDER_SPAN: Duration = Duration::from_millis(150);
/// Pause after which the count of a contending source restarts, and another source may contend.
pub(crate) const LATCH_CONTENDER_GAP: Duration = Duration::from_millis(500);
/// RTCP packets after which a winner of the RTCP latch is settled; also requires [`LATCH_RTCP_SETTLED_AFTER`].
pub(crate) const LATCH_RTCP_SETTLED_PACKETS: u32 = 5;
/// Minimum time in which a winner of the RTCP latch settles: RTCP is sent every five seconds (RFC 3550 §6.2).
pub(crate) const LATCH_RTCP_SETTLED_AFTER: Duration = Duration::from_secs(10);
/// Maximum time over which the packets of a settling winner of the RTCP latch are counted: twice the usual time of
/// five.
pub(crate) const LATCH_RTCP_SETTLED_WITHIN: Duration = Duration::from_secs(60);
/// Silence after which a winner of the RTCP latch may be replaced. Own choice: three of the longest intervals, 7.5 s,
/// and one lost packet.
pub(crate) const LATCH_RTCP_SILENCE: Duration = Duration::from_secs(30);
/// RTCP packets with which a source takes over the RTCP latch from a silent winner.
pub(crate) const LATCH_RTCP_CONTENDER_PACKETS: u32 = 2;
/// Minimum duration of a run that takes over the RTCP latch.
pub(crate) const LATCH_RTCP_CONTENDER_SPAN: Duration = Duration::from_secs(2);
/// Distance ahead of the expected sequence number from which a packet does not continue its stream: it is late or the
/// stream has restarted, see [`MAX_MISORDER_PACKETS`] (RFC 3550 A.1, MAX_DROPOUT). At a smaller distance, the packets
/// in between count as lost.
pub(crate) const MAX_DROPOUT_PACKETS: u16 = 3000;
/// Distance behind the highest sequence number from which a packet shows a restarted stream; at a smaller distance the
/// packet is late (RFC 3550 A.1, MAX_MISORDER).
pub const MAX_MISORDER_PACKETS: u16 = 100;
/// Maximum packet buffers in use in one worker; a further packet is dropped as `no_buffer`.
pub const WORKER_PACKET_BUFFERS: usize = 512;
/// Longest fade after an agent's `clear`: one packet, so that silence begins with the next one.
pub const CLEAR_FADE_MOST: Duration = FRAME;
/// Time after the caller's speech after which an agent's audio no longer counts as its response.
pub(crate) const TURN_LIMIT: Duration = Duration::from_secs(30);
/// Maximum audio of agents held for callers in one edge, in bytes; above it, sockets of agents with more than
/// [`AGENT_SHARE_MS`] queued are not read.
pub const AGENT_BYTES_HELD: u64 = 256 << 20;
/// Audio that an agent may always have queued, in milliseconds.
pub const AGENT_SHARE_MS: u64 = 1000;
/// Maximum duration of missing audio that counts as late once the agent makes up for it, in milliseconds; after a
/// longer gap the agent counts as having paused.
pub(crate) const LATE_MOST_MS: i64 = 3_000;
/// Remaining deficit at which an agent counts as having caught up, in milliseconds.
pub(crate) const LATE_CAUGHT_UP_MS: i64 = 60;
/// Lead over real time with which an agent is deliberately ahead, in milliseconds; none of its audio then counts as
/// late.
pub(crate) const LATE_PACE_AHEAD_MS: i64 = 100;
/// Time after which unused delay from late audio is removed, in milliseconds; more frequent stalls are absorbed by it.
pub(crate) const LATE_UNUSED_MS: i64 = 10_000;
/// Audio that stays queued when delay is removed, in milliseconds.
pub(crate) const LATE_SPARE_MS: u64 = 20;
/// Minimum interval between two frames removed to reduce delay, in milliseconds.
pub(crate) const LATE_REMOVED_EVERY_MS: i64 = 100;
/// Maximum agent requests (transfer, hangup, digits) per second; further ones are noted and ignored.
pub const AGENT_REQUESTS_PER_SECOND: u32 = 16;
/// Maximum queued DTMF digits towards one remote party; further ones are rejected and noted.
pub const KEYS_WAITING: usize = 128;
/// Maximum forwarded digits of one end that are reported to signalling; a sender could put one in each packet.
pub const KEYS_TOLD: u16 = 1_000;
/// Time without further packets after which a digit counts as ended, because its last packets were lost. Own choice:
/// three packets in a row of the slowest senders, one every 50 ms, and jitter.
pub(crate) const KEY_LOST_AFTER: Duration = Duration::from_millis(200);
/// Longest forwarded duration of a digit, in milliseconds.
pub(crate) const KEY_MOST_MS: u16 = 60_000;
/// Notes of one kind about one agent that appear in full in the call's trace; further ones are only counted.
pub const AGENT_NOTES_OF_A_KIND: usize = 4;
/// Lines in a call's trace about audio discarded by an agent's `clear`; further ones are only summed up.
pub(crate) const AGENT_CLEARS_TOLD: usize = 32;
/// Maximum length of an MKI (RFC 4568 §6.1), in bytes.
pub const SRTP_MKI_BYTES: usize = 128;
/// Maximum streams (SSRCs) of one direction under one key. A received packet of a further SSRC is dropped as
/// `srtp_streams`; packets of a further outgoing stream are sent with the SSRC and numbering of the last one.
pub(crate) const SRTP_STREAMS: usize = 64;
/// Roll-over counts tried for the first packet of a stream that was received at another end before: 61 × 2¹⁶ packets of
/// 20 ms are 22 hours.
pub const SRTP_ROLLED: u32 = 61;
/// Size of the replay window, in packets (RFC 3711 §3.3.2 requires at least 64).
pub(crate) const SRTP_REPLAY_PACKETS: u32 = 128;
/// Former keys of one direction that are remembered after a change of keys; if an older one is negotiated again, its
/// packet indices start over.
pub const SRTP_FORMER_KEYS: usize = 4;
/// Maximum audio of a packet that is transcoded, in milliseconds (RFC 6716 §2.1.4); longer audio is cut off.
pub const AUDIO_PACKET_MOST_MS: usize = 120;
/// Maximum duration of a packet that the transcoder makes, in milliseconds.
pub(crate) const AUDIO_FRAME_MOST_MS: usize = 60;
/// Longest loss that is concealed in transcoding, in milliseconds; a longer one stays a gap.
pub(crate) const AUDIO_CONCEALED_MOST_MS: usize = 120;
/// Audio of one source that may be transcoded at once, as after a network stall; audio beyond it is limited to
/// [`AUDIO_PACE`] times real time. The limit is needed because a packet of one byte may claim 120 ms.
pub(crate) const AUDIO_BURST: Duration = Duration::from_secs(5);
/// Maximum pace of transcoding, as a multiple of real time.
pub const AUDIO_PACE: u32 = 2;
/// Minimum audio time charged to the pace limit for a packet, however short its audio.
pub(crate) const AUDIO_PACKET_LEAST: Duration = Duration::from_millis(1);
/// Maximum size of comfort noise (RFC 3389) or a telephone-event next to transcoded audio, in bytes.
pub(crate) const ASIDE_BYTES: usize = 32;
/// Maximum packets of a stream that wait for an earlier one; a further one gives up the earliest gap.
pub const JITTER_PACKETS: usize = 16;
/// Maximum payload bytes of the packets that wait for an earlier one; a packet beyond it gives up the earliest gap.
pub const JITTER_BYTES: usize = 4096;
/// Number of consecutive missing packets from which a gap is not reordering; no packet waits for them.
pub(crate) const JITTER_GAP_PACKETS: u16 = 32;
/// Frames of 20 ms that a recorder passes to the file writer at once. A crash loses at most one such block and the
/// frames still being assembled.
pub(crate) const RECORDED_FRAMES_PER_BLOCK: usize = 10;
/// Mean level of a frame, out of 32,768, from which it counts as a sound of the caller in a recording: −42 dB, above
/// the noise of telephone lines and below quiet speech.
pub(crate) const RECORDED_SOUND: u16 = 250;
/// Maximum frames of 20 ms that wait for their tick in a stream to a recording server; the oldest is dropped. Own
/// choice: enough for a burst after a network stall, and no more delay than that.
pub(crate) const STREAMED_FRAMES: usize = 15;
/// Maximum frames of a conference that wait for their tick in a party's stream; the oldest are dropped. Own choice: one
/// early frame, and one delayed by the mixer thread.
pub(crate) const SEAT_FRAMES: usize = 2;
/// Time from a tick of a mixer to the tick of the streams that it feeds, which covers mixing and two thread changes.
pub const SEAT_LEAD: Duration = Duration::from_millis(2);
