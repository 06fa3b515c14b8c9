//! The way of a packet out of a session.

use std::net::SocketAddr;

use crate::spec::EndId;

/// The socket and the destination of the packet in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transmit {
    /// The end whose socket sends it.
    pub via: EndId,
    /// Whether by its RTCP socket.
    pub rtcp: bool,
    /// The destination.
    pub to: SocketAddr,
    /// Whether `to` is locked: the socket may be connected.
    pub locked: bool,
}
