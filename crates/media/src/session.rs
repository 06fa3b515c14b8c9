//! A call's media: ends and the wires between them.

use std::net::SocketAddr;
use std::time::Instant;

use crate::packet::PacketBuf;
use crate::spec::{Command, EndId, Event, MediaId, RemoteSpec, WireSpec};

/// Where the packet in the buffer is to leave.
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

/// A session in plain data: roll-over and rewrite state included, no clock, no socket.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct SessionSnapshot {
    /// Its id.
    pub id: MediaId,
    /// Its idle timeout, in milliseconds.
    pub idle_timeout_ms: u64,
    /// Its ends: name, bound address, far side, latched source.
    pub ends: Vec<(EndId, SocketAddr, Option<RemoteSpec>, Option<SocketAddr>)>,
    /// Its wires: from, to, how.
    pub wires: Vec<(EndId, EndId, WireSpec)>,
}

/// One call's media. The shell owns the sockets; it calls [`Self::handle_packet`] for each packet that one of them
/// receives, and sends the same buffer where it says.
#[derive(Debug)]
pub struct Session {}

impl Session {
    /// A session without ends.
    pub fn new(id: MediaId, idle_timeout_ms: u64) -> Session {
        let _ = (id, idle_timeout_ms);
        unimplemented!()
    }
    /// Takes a command. Binding and closing sockets is the shell's: it acts on the same command.
    pub fn handle_input(&mut self, now: Instant, command: Command) {
        let _ = (now, command);
        unimplemented!()
    }
    /// Takes a packet that came to `end`'s RTP socket (or RTCP socket, `rtcp`) from `source`; changes it in place and
    /// says where it leaves, or `None`. Allocates nothing.
    pub fn handle_packet(
        &mut self,
        now: Instant,
        end: EndId,
        rtcp: bool,
        source: SocketAddr,
        packet: &mut PacketBuf,
    ) -> Option<Transmit> {
        let _ = (now, end, rtcp, source, packet);
        unimplemented!()
    }
    /// The coarse sweep, once a second: silence.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
        unimplemented!()
    }
    /// The next thing to tell signalling.
    pub fn poll_output(&mut self) -> Option<Event> {
        unimplemented!()
    }
    /// When the next sweep is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        unimplemented!()
    }
    /// In plain data.
    pub fn snapshot(&self) -> SessionSnapshot {
        unimplemented!()
    }
    /// From plain data.
    pub fn restore(now: Instant, snapshot: SessionSnapshot) -> Session {
        let _ = (now, snapshot);
        unimplemented!()
    }
}
