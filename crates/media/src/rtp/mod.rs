//! RTP: packets in their buffers, sequence numbers and timestamps of a stream, and order and loss of a received one.
//!
//! This module contains code that applies to any RTP stream of any codec. RTCP is in [`rtcp`](crate::rtcp), SRTP in
//! [`srtp`](crate::srtp), source selection in [`latch`](crate::latch); payloads are opaque here.

mod gaps;
mod header;
mod jitter;
mod keep_alive;
mod packet;
mod reception;
mod rewrite;
mod start;

pub use header::{FIXED_HEADER, ParseError, RtpHeader, SrtpHeader};
pub use jitter::JitterBuffer;
pub use packet::{HEADROOM, PACKET, PacketBuf, PacketPool, TAILROOM};
pub use reception::{ReceptionStats, ReceptionTracker};
pub use rewrite::{OutgoingSnapshot, OutgoingStream, RewriteOffsets, SentPacket};
pub use start::StreamStart;

pub(crate) use keep_alive::{KeepAlive, is_header_alone};

/// RTP clock rate of a payload without a description, in Hz: that of the narrow-band codecs (RFC 3551 §6).
pub const DEFAULT_CLOCK_HZ: u32 = 8000;
