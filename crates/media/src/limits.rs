//! Limits of the media core, the unit in the name.

use std::time::Duration;

use trunkgate_agent::limits::FRAME;

/// Ends of one session; a further one is reported as `Event::BindFailed`.
pub const SESSION_ENDS: usize = 24;
/// How often silence is looked for.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// From the answer on, or from when a description changed, a far side that should send and has sent nothing for so long
/// is told. Ours: longer than any phone takes to start.
pub const UNHEARD_AFTER: Duration = Duration::from_secs(5);
/// A far side whose continuous stream has stopped for so long while the other side sends is reported: as long as the above.
pub const STOPPED_AFTER: Duration = UNHEARD_AFTER;
/// The other side sends as long as its last packet is no older. Ours: two sweeps.
pub(crate) const SENDING_WITHIN: Duration = Duration::from_secs(2);
/// Packets between two sweeps that are a continuous stream: those of packets of 80 ms.
pub(crate) const STREAM_PACKETS: u16 = 12;
/// Sweeps in a row with so many packets that make a stream continuous. Ours: longer than most talkspurts of a remote
/// party that suppresses silence without comfort noise …
pub(crate) const STEADY_SWEEPS: u8 = 3;
/// … and those after a pause: one that has resumed by itself may pause again.
pub(crate) const STEADY_SWEEPS_AFTER_PAUSE: u8 = 60;
/// Payload number of comfort noise (RFC 3551 §6).
pub const COMFORT_NOISE: u8 = 13;
/// A payload no longer than this may be a silence descriptor of a codec (G.729 Annex B: 2 bytes, G.723.1 Annex A: 4).
pub(crate) const DESCRIPTOR_BYTES: usize = 4;
/// How often quality is estimated; the estimates of a call are what its lowest and mean score are of.
pub(crate) const QUALITY_INTERVAL: Duration = Duration::from_secs(5);
/// The mean time between two of our RTCP reports (RFC 3550 §6.2: the fixed minimum).
pub const REPORT_INTERVAL: Duration = Duration::from_secs(5);
/// Sender reports whose answer is still known, for each end: its far side answers the last that reached it.
pub(crate) const REPORTS_REMEMBERED: usize = 2;
/// A far side that has sent nothing yet, and to which nothing else is sent, gets a keep-alive packet so often …
pub(crate) const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// … so many times; from then on as every other one does.
pub const PROBES: u32 = 5;
/// A far side to which nothing else is sent gets a keep-alive packet so often (RFC 6263 §7, Tr).
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// How long packets from the far side's former address are taken as stragglers after it moved: relayed, but they do
/// not lock the new latch. Ours: longer than any sane network holds a packet back.
pub(crate) const STRAGGLER_WINDOW: Duration = Duration::from_secs(1);
/// At the start, and after a re-negotiation that announces another address, only the announced address and port may win
/// the latch for so long. Ours: a remote party sends within one round trip of its answer; a NAT that rewrites the port of a
/// public address costs its caller this much of the first word.
pub const LATCH_GRACE: Duration = Duration::from_millis(250);
/// A winner is settled once it has sent so many RTP packets …
pub const LATCH_SETTLED_PACKETS: u32 = 50;
/// … over so long. Until then one packet of the announced address and port takes over. Ours: a second of audio; the time
/// beside the number, because fifty packets can be sent at once.
pub const LATCH_SETTLED_AFTER: Duration = Duration::from_secs(1);
/// … and within so long, or the count begins again: a packet now and then is no stream. Ours: packets of 100 ms, and some lost.
pub const LATCH_SETTLED_WITHIN: Duration = Duration::from_secs(6);
/// A winner that never settled and is silent for so long may be replaced by any expected source. Ours: longer than the
/// pause of a phone that changes from ringback to speech.
pub(crate) const LATCH_UNSETTLED_SILENCE: Duration = Duration::from_millis(500);
/// A settled winner that is silent for so long is replaced by the first packet of the announced address and port. Ours:
/// two sweeps, so that its socket hears others by then.
pub const LATCH_EXACT_SILENCE: Duration = Duration::from_secs(2);
/// How long the source that won must be silent before another expected one may take over (the contract's
/// `latch = "relearn"`).
pub const RELEARN_SILENCE: Duration = Duration::from_secs(3);
/// The same for `latch = "strict"`, for a winner that is not the announced address and port. Ours: longer than comfort
/// noise pauses, shorter than a caller stays on a line without audio after a NAT has changed its port.
pub(crate) const LATCH_STRICT_SILENCE: Duration = Duration::from_secs(10);
/// An expected source takes over from a silent winner with so many packets in a row …
pub const LATCH_CONTENDER_PACKETS: u32 = 10;
/// … over so long: one packet, or a burst of them, steals nothing at a silence. Ours: ten packets of 20 ms.
pub const LATCH_CONTENDER_SPAN: Duration = Duration::from_millis(150);
/// Such a source that pauses for so long begins again, and makes room for another one.
pub(crate) const LATCH_CONTENDER_GAP: Duration = Duration::from_millis(500);
/// A winner of the RTCP latch is settled once it has sent so many packets …
pub(crate) const LATCH_RTCP_SETTLED_PACKETS: u32 = 5;
/// … over so long: RTCP comes each five seconds (RFC 3550 §6.2).
pub(crate) const LATCH_RTCP_SETTLED_AFTER: Duration = Duration::from_secs(10);
/// … and within so long: twice what five of them take.
pub(crate) const LATCH_RTCP_SETTLED_WITHIN: Duration = Duration::from_secs(60);
/// A winner of the RTCP latch that is silent for so long may be replaced. Ours: three intervals at their longest, 7.5 s,
/// and one packet lost.
pub(crate) const LATCH_RTCP_SILENCE: Duration = Duration::from_secs(30);
/// It is replaced by a source that sends so many RTCP packets …
pub(crate) const LATCH_RTCP_CONTENDER_PACKETS: u32 = 2;
/// … over so long.
pub(crate) const LATCH_RTCP_CONTENDER_SPAN: Duration = Duration::from_secs(2);
/// A jump of the sequence up to this many packets is a gap; above, a restart (RFC 3550 A.1, MAX_DROPOUT).
pub(crate) const MAX_DROPOUT_PACKETS: u16 = 3000;
/// A packet up to this many behind is late; further behind, a restart (RFC 3550 A.1, MAX_MISORDER).
pub const MAX_MISORDER_PACKETS: u16 = 100;
/// Packet buffers out at once in one worker; a packet beyond is dropped as `no_buffer`.
pub const WORKER_PACKET_BUFFERS: usize = 512;
/// The longest fade after an agent's `clear`: one packet, so that silence comes with the next one.
pub const CLEAR_FADE_MOST: Duration = FRAME;
/// What an agent says so long after its caller is no answer any more.
pub(crate) const TURN_LIMIT: Duration = Duration::from_secs(30);
/// Audio of agents that one edge holds for its callers, in bytes; past that a socket whose agent has more than
/// [`AGENT_SHARE_MS`] waiting is read no further.
pub const AGENT_BYTES_HELD: u64 = 256 << 20;
/// What an agent may always have waiting, in milliseconds.
pub const AGENT_SHARE_MS: u64 = 1000;
/// An agent that makes up for missing audio within so long was late; after more it has made a pause.
pub(crate) const LATE_MOST_MS: i64 = 3_000;
/// Audio that may still be missing when an agent has made up for what was late, in milliseconds.
pub(crate) const LATE_CAUGHT_UP_MS: i64 = 60;
/// An agent that gets so far ahead of real time, in milliseconds, does so on purpose: none of its audio counts as late.
pub(crate) const LATE_PACE_AHEAD_MS: i64 = 100;
/// Delay by late audio is removed once the queue has had no use for it for so long, in milliseconds: stalls that come more
/// often are absorbed by it.
pub(crate) const LATE_UNUSED_MS: i64 = 10_000;
/// Audio that waits in any case, in milliseconds.
pub(crate) const LATE_SPARE_MS: u64 = 20;
/// At most one frame is removed in so many milliseconds.
pub(crate) const LATE_REMOVED_EVERY_MS: i64 = 100;
/// What an agent may want of its call (transfer, hangup, digits), a second; more is noted and not passed on.
pub const AGENT_REQUESTS_PER_SECOND: u32 = 16;
/// Keys that wait to be pressed towards one far side; further ones are left out, and noted.
pub const KEYS_WAITING: usize = 128;
/// Digits of one end that pass, to another end or an agent, of which signalling is told; a sender may make one of each packet.
pub const KEYS_TOLD: u16 = 1_000;
/// A key whose far side says nothing more of it for so long is no longer pressed: its last packets were lost. Ours: three
/// packets in a row of the slowest senders, one each 50 ms, and jitter.
pub(crate) const KEY_LOST_AFTER: Duration = Duration::from_millis(200);
/// The longest press that is passed on, in milliseconds.
pub(crate) const KEY_MOST_MS: u16 = 60_000;
/// Notes of one kind about one agent that are told word by word for the call's trace; of further ones, their number.
pub const AGENT_NOTES_OF_A_KIND: usize = 4;
/// Lines in a call's trace about what an agent's `clear` has thrown away; of further ones, their sum.
pub(crate) const AGENT_CLEARS_TOLD: usize = 32;
/// Longest name of a master key in packets (MKI, RFC 4568 §6.1), in bytes.
pub const SRTP_MKI_BYTES: usize = 128;
/// Streams (SSRCs) of one direction under one key; a packet of a further one is dropped as `srtp_streams`, and what we
/// send goes on under the last one's numbers.
pub(crate) const SRTP_STREAMS: usize = 64;
/// Roll-overs that are tried for a stream that came by another end before, each of them once for its first packet: 22 hours
/// of packets of 20 ms.
pub const SRTP_ROLLED: u32 = 61;
/// How far back a packet is told from its repetition (RFC 3711 §3.3.2 asks for 64 at least), in packets.
pub(crate) const SRTP_REPLAY_PACKETS: u32 = 128;
/// Keys of one direction that are remembered after a change; one that comes back after more is taken for a new one.
pub const SRTP_FORMER_KEYS: usize = 4;
/// The longest packet whose audio is converted whole, in milliseconds (RFC 6716 §2.1.4); of a longer one the rest is left
/// out.
pub const AUDIO_PACKET_MOST_MS: usize = 120;
/// The longest packet that converted audio leaves in, in milliseconds.
pub(crate) const AUDIO_FRAME_MOST_MS: usize = 60;
/// The longest loss that is concealed where audio is converted, in milliseconds; a longer one stays a gap.
pub(crate) const AUDIO_CONCEALED_MOST_MS: usize = 120;
/// Audio of one source that is converted at once, as where it waited on its way; beyond, [`AUDIO_PACE`] times as much as time
/// goes by: a packet of one byte may claim 120 ms.
pub(crate) const AUDIO_BURST: Duration = Duration::from_secs(5);
/// The same.
pub const AUDIO_PACE: u32 = 2;
/// What a packet counts at least, of that time.
pub(crate) const AUDIO_PACKET_LEAST: Duration = Duration::from_millis(1);
/// Bytes of comfort noise (RFC 3389) or of a telephone-event that pass with converted audio.
pub(crate) const ASIDE_BYTES: usize = 32;
/// Packets of one stream that wait for an earlier one; with one more the earliest gap is given up.
pub const JITTER_PACKETS: usize = 16;
/// Bytes of their payloads; the same.
pub const JITTER_BYTES: usize = 4096;
/// So many packets missing in a row are no matter of their order: nothing waits for them.
pub(crate) const JITTER_GAP_PACKETS: u16 = 32;
/// Frames of 20 ms that a recorder hands over at once: a crash may cost as much, beside what has not come yet.
pub(crate) const RECORDED_FRAMES_PER_BLOCK: usize = 10;
/// Mean level of a frame, of 32,768, from which on it counts as a sound of the caller in a recording: −42 dB, above the noise of
/// telephone lines and below quiet speech.
pub(crate) const RECORDED_SOUND: u16 = 250;
/// Frames of 20 ms that wait for their tick of the stream to a recording server; of more the oldest is left out. Ours: what a gap of
/// the network may let come at once, and no more delay than that.
pub(crate) const STREAMED_FRAMES: usize = 15;
/// Frames of a conference that wait for their tick of a party's stream; of more the oldest are left out. Ours: one that is early,
/// and one that the thread of the mixer was late with.
pub(crate) const SEAT_FRAMES: usize = 2;
/// Time from a tick of a mixer to that of the streams which it feeds: what mixing and the way between two threads take.
pub const SEAT_LEAD: Duration = Duration::from_millis(2);
