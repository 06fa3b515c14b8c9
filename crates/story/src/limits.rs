//! Hard limits of call data that is kept and shown; units are in the names.

/// Maximum entries of a call's trace; the oldest are dropped first.
pub const TRACE_ENTRIES: usize = 256;
/// Maximum API requests listed in a call's trace; further ones are counted.
pub(crate) const TRACE_REQUESTS: u32 = 16;
/// Maximum memory for one call's messages: half for the first ones, half for the latest.
pub(crate) const MESSAGE_TEXTS_BYTES_PER_CALL: usize = 64 << 10;
/// Maximum bytes kept of one message as on the wire; longer ones are truncated.
pub const MESSAGE_TEXT_BYTES: usize = 8_192;
/// Maximum characters of one text in a trace, such as a reason phrase or m-lines.
pub const TRACE_TEXT_CHARS: usize = 128;
/// Size of uncompressed messages at which they are compressed even before the call is established.
pub(crate) const OPEN_MESSAGES_BYTES: usize = 16 << 10;
/// Approximate memory overhead of a block of compressed messages.
pub(crate) const MESSAGE_BLOCK_OVERHEAD_BYTES: usize = 64;
/// Minimum size of messages that are compressed together once the call is established.
pub(crate) const MESSAGE_BLOCK_BYTES: usize = 1_024;
/// Packets of digital silence from a side before this is reported: 5 s, since a party may listen first.
pub(crate) const SILENT_PACKETS: u64 = 250;
/// RTP packets refused by the system since the previous check of a call before this is reported.
pub(crate) const UNSENT_LATELY: u64 = 50;
/// Maximum DTMF digits listed in a call's trace.
pub(crate) const TRACE_DIGITS: u32 = 16;
/// ICMP errors before a side that is heard counts as unreachable: more than occur when it closes its port at the end.
pub(crate) const ICMP_TOLD: u64 = 10;
/// ICMP errors before a side that was sent only keep-alive packets counts as unreachable: more than the port of a
/// departed party causes.
pub(crate) const ICMP_OF_PROBES: u64 = 3;
/// Packets sent per ICMP error, at most, for a side that is heard to count as unreachable.
pub(crate) const ICMP_SHARE_OF_HEARD: u64 = 5;
/// Packets sent per ICMP error, at most, for a silent side to count as unreachable: systems send one error a second
/// (Linux, `net.ipv4.icmp_ratelimit`), the edge sends fifty packets.
pub(crate) const ICMP_SHARE: u64 = 80;
/// Maximum characters of a relayed display name.
pub(crate) const DISPLAY_NAME_CHARS: usize = 64;
/// Maximum characters of a number or user part in views, records and outbound requests.
pub const NUMBER_CHARS: usize = 128;
/// Length of a quality interval, in seconds, until [`QUALITY_SAMPLES`] of them have passed.
pub const QUALITY_INTERVAL_SECONDS: u64 = 5;
/// Maximum quality intervals kept per leg (even): at the limit, adjacent intervals are merged to twice the length.
pub const QUALITY_SAMPLES: usize = 120;
/// Mean opinion score below which loss is reported: R = 70, "many users dissatisfied" (ITU-T G.109).
pub(crate) const POOR_MOS: f64 = 3.6;
/// Loss reported for a codec without a score, in percent.
pub const LOSS_PERCENT: u64 = 10;
/// Packets needed to judge a share of loss: a second of audio.
pub(crate) const LOSS_PACKETS: u64 = 50;
/// Time of high loss before the verdict of a live call reports it, in seconds; an ended call is also judged as a
/// whole.
pub(crate) const LOSSY_SECONDS: u64 = 10;
/// Packets of a stopped stream dropped for one cause before the cause is reported: a second of audio.
pub(crate) const STOPPED_DROPS: u64 = 50;
