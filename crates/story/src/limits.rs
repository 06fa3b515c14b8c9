//! Hard limits of what is kept and shown of calls, each with its unit in its name.

/// Entries of a call's trace; the oldest are lost first.
pub const TRACE_ENTRIES: usize = 256;
/// Requests over HTTP about a call that its trace has as entries; further ones are counted.
pub(crate) const TRACE_REQUESTS: u32 = 16;
/// Bytes of one call's messages that are kept: half of it for its beginning, half for its latest.
pub(crate) const MESSAGE_TEXTS_BYTES_PER_CALL: usize = 64 << 10;
/// Bytes of one message that are kept as they were on the wire: of a longer one the beginning.
pub const MESSAGE_TEXT_BYTES: usize = 8_192;
/// Characters of one text in a trace: a far end's reason phrase, its m-lines.
pub const TRACE_TEXT_CHARS: usize = 128;
/// Bytes of a call's messages before they are packed although the call is not settled: more than a call needs that is set up.
pub(crate) const OPEN_MESSAGES_BYTES: usize = 16 << 10;
/// What messages that are packed together take besides their texts, in bytes, about.
pub(crate) const MESSAGE_BLOCK_OVERHEAD_BYTES: usize = 64;
/// Bytes of messages from which on they are packed together once the call is settled.
pub(crate) const MESSAGE_BLOCK_BYTES: usize = 1_024;
/// Packets of a side that are nothing but digital silence before that is told: 5 s, whoever listens first.
pub(crate) const SILENT_PACKETS: u64 = 250;
/// RTP packets that the system has refused since the last look at a call before that is told as a fault of its own.
pub(crate) const UNSENT_LATELY: u64 = 50;
/// DTMF digits of a call that its trace lists.
pub(crate) const TRACE_DIGITS: u32 = 16;
/// ICMP errors before a side that is heard is said not to be reached: more than come where it closes its port at the end.
pub(crate) const ICMP_TOLD: u64 = 10;
/// ICMP errors before the same is said where nothing but keep-alive packets has left: more than meet the port of who has gone.
pub(crate) const ICMP_OF_PROBES: u64 = 3;
/// And one in so many packets that were sent.
pub(crate) const ICMP_SHARE_OF_HEARD: u64 = 5;
/// One that is not heard is not reached from one error in so many packets on: systems send one a second (Linux,
/// `net.ipv4.icmp_ratelimit`), and we send fifty packets.
pub(crate) const ICMP_SHARE: u64 = 80;
/// Characters of a display name that are passed on.
pub(crate) const DISPLAY_NAME_CHARS: usize = 64;
/// Characters of a number or user part in views, records and requests of ours.
pub const NUMBER_CHARS: usize = 128;
/// Length of an interval of a call's quality over time, in seconds, until [`QUALITY_SAMPLES`] of them are over.
pub const QUALITY_INTERVAL_SECONDS: u64 = 5;
/// Intervals of a call's quality that are kept for each leg, an even number: then two become one, of twice the length.
pub const QUALITY_SAMPLES: usize = 120;
/// Mean opinion score below which loss is reported: R = 70, "many users dissatisfied" (ITU-T G.109).
pub(crate) const POOR_MOS: f64 = 3.6;
/// Loss that is reported of a codec without a score, in percent.
pub const LOSS_PERCENT: u64 = 10;
/// Packets from which on a share of them is judged: a second of audio.
pub(crate) const LOSS_PACKETS: u64 = 50;
/// Seconds with such loss before the verdict of a live call reports it; of one that has ended, its whole counts too.
pub(crate) const LOSSY_SECONDS: u64 = 10;
/// Packets of a stopped stream that were dropped for one cause before that is named: a second of audio.
pub(crate) const STOPPED_DROPS: u64 = 50;
