//! Destination of a packet that leaves a session.

use std::net::SocketAddr;

use crate::spec::EndId;

/// Socket and destination for the packet in the caller's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaTransmit {
    /// End that sends the packet from one of its sockets.
    pub via: EndId,
    /// Whether the packet is sent from the RTCP socket.
    pub rtcp: bool,
    /// Address and port that the packet is sent to.
    pub to: SocketAddr,
    /// Whether the latch of this socket is locked; if so, the socket may be connected to `to`.
    pub locked: bool,
}
