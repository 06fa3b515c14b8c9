//! Destination of a packet that leaves a session.

use std::net::SocketAddr;

use crate::spec::EndId;

/// Socket and destination of the packet in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaTransmit {
    /// End with the sending socket.
    pub via: EndId,
    /// Whether the RTCP socket sends it.
    pub rtcp: bool,
    /// The destination.
    pub to: SocketAddr,
    /// Whether `to` is locked, so that the socket may be connected.
    pub locked: bool,
}
