//! RTP: packets in their buffers, the numbers of a stream, and the order and loss of a received one.
//!
//! Here belongs what holds for any RTP stream, of any audio. RTCP is in [`rtcp`](crate::rtcp), SRTP in
//! [`srtp`](crate::srtp), the choice of a source in [`latch`](crate::latch); payloads are opaque here.

mod gaps;
mod header;
mod jitter;
mod keep_alive;
mod packet;
mod reception;
mod rewrite;
mod start;

pub use header::{FIXED_HEADER, Head, ParseError, Rtp};
pub use jitter::JitterBuffer;
pub use packet::{HEADROOM, PACKET, PacketBuf, PacketPool, TAILROOM};
pub use reception::{Reception, Source};
pub use rewrite::{Outgoing, OutgoingSnapshot, Rewrite, Sent};
pub use start::StreamStart;

pub(crate) use keep_alive::{KeepAlive, is_header_alone};

/// RTP clock of a payload that no description names, in Hz: that of every narrow-band codec (RFC 3551 §6).
pub const DEFAULT_CLOCK_HZ: u32 = 8000;
