//! Media sockets of one worker, and waiting for them: the only file with system calls of the packet path.
//!
//! The sockets, including those of agents, are in one epoll, the only place where the worker's thread waits. Commands
//! from other threads wake it through an eventfd in the same epoll. Media sockets are level-triggered, because exactly
//! one packet is read per event and a second one must cause another event. Agents' sockets are edge-triggered: they are
//! read and written until they would block, then left alone until the next event.
//!
//! Sockets of conference parties are in a separate epoll and are read together (`together.rs`).
//!
//! Each stream has its own port, so a socket has about one packet per wake-up: `recvmmsg` and io_uring would have
//! nothing to batch.
//!
//! When a latch is locked, no other source can win it, and the socket is connected to the winner (`connect`). The
//! kernel then drops packets of other sources before they take room in the socket or a turn of the worker, so a flood
//! cannot displace the call's own packets. Those drops are counted by the kernel (`UdpNoPorts`) and by none of our
//! counters. The socket is disconnected by a negotiation, by sending a packet while the latch is not locked, or, if the
//! winner may be replaced, by its silence.
//!
//! ICMP errors and the number of dropped datagrams are in `trouble.rs`.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno as WaitErrno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{setsockopt, sockopt};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use slab::Slab;
use socket2::{Domain, Protocol, Socket, Type};
use trunkgate_media::{EndId, IcmpError, PacketBuf};

use super::together::{TickSockets, waited_since};
use super::trouble;
use crate::transport::next_datagram;

/// Maximum number of events per wake-up; under load events accumulate up to this.
const EVENTS_PER_TURN: usize = 256;
/// Expedited forwarding (RFC 3246, DSCP 46) in the traffic class byte.
const EXPEDITED_FORWARDING: u32 = 0xb8;

/// Index of a socket in [`PortSet`]; invalid once the pair of sockets is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PortIndex(usize);

/// RTP and RTCP socket of an end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PortPair {
    pub(super) rtp: PortIndex,
    pub(super) rtcp: PortIndex,
}

/// Sockets of an end before a worker takes them; packets queue in them meanwhile.
#[derive(Debug)]
pub(super) struct EndSockets {
    rtp: UdpSocket,
    rtcp: UdpSocket,
}

impl EndSockets {
    /// Binds both sockets: RTP as given, RTCP on the next port.
    ///
    /// # Errors
    /// Returns the system's error with the address.
    pub(super) fn bind(rtp: SocketAddr) -> io::Result<EndSockets> {
        let port = rtp.port().checked_add(1).ok_or_else(|| io::Error::other("no port above it for RTCP"))?;
        let mut rtcp = rtp;
        rtcp.set_port(port);
        Ok(EndSockets { rtp: bind_media(rtp)?, rtcp: bind_media(rtcp)? })
    }

    /// Wraps the descriptors of RTP and RTCP sockets that another process has bound.
    pub(super) fn received([rtp, rtcp]: [OwnedFd; 2]) -> EndSockets {
        EndSockets { rtp: rtp.into(), rtcp: rtcp.into() }
    }

    /// Returns the descriptors: RTP, then RTCP.
    pub(super) fn into_descriptors(self) -> [OwnedFd; 2] {
        [self.rtp.into(), self.rtcp.into()]
    }
}

/// End to which a socket belongs.
#[derive(Debug, Clone, Copy)]
pub(super) struct PortOwner {
    /// Index of the session in its worker.
    pub(super) session: usize,
    pub(super) end: EndId,
    pub(super) rtcp: bool,
}

#[derive(Debug)]
struct PortEntry {
    socket: UdpSocket,
    owner: PortOwner,
    /// Number that distinguishes events of this socket from those of an earlier one at the same index.
    generation: u32,
    tie: PeerFilter,
    /// Local address that was announced to the remote party; `None` if unknown.
    shown: Option<IpAddr>,
    /// True if the next read must also return the number of dropped packets.
    asks: bool,
    /// True if the socket is read together with others.
    is_together: bool,
}

/// Restriction of a socket to one remote address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PeerFilter {
    /// Packets from any address are received.
    Loose,
    /// Connected: only packets from this address are received.
    To(SocketAddr),
    /// Not connected, because connecting failed or would lose packets.
    Refused,
}

impl PortEntry {
    /// Connects the socket to the remote address. The kernel would select the local address of a wildcard socket; if
    /// another one was announced to the remote party, its packets would be lost, so the connection is then undone.
    fn tie(&mut self, to: SocketAddr) {
        let bound = self.socket.local_addr();
        let tied = self.socket.connect(to).is_ok();
        let hears = || match (bound, self.socket.local_addr(), self.shown) {
            (Ok(bound), Ok(now), Some(shown)) => {
                !bound.ip().is_unspecified() || now.ip() == shown || UdpSocket::bind((shown, 0)).is_err()
            }
            (Ok(_), Ok(_), None) => true,
            (Ok(_) | Err(_), _, _) => false,
        };
        if tied && hears() {
            self.tie = PeerFilter::To(to);
        } else {
            self.loosen();
            self.tie = PeerFilter::Refused;
        }
    }

    fn loosen(&mut self) {
        self.tie = PeerFilter::Loose;
        if let Err(error) = rustix::net::connect_unspec(&self.socket) {
            tracing::warn!(%error, "a media socket cannot be released from its previous remote address: packets from other addresses are lost");
        }
    }

    fn send(&self, to: SocketAddr, bytes: &[u8]) -> Result<usize, Errno> {
        let send = || match self.tie {
            PeerFilter::To(_) => rustix::net::send(&self.socket, bytes, SendFlags::empty()),
            PeerFilter::Loose | PeerFilter::Refused => {
                rustix::net::sendto(&self.socket, bytes, SendFlags::empty(), &to)
            }
        };
        match send() {
            // The error concerned an earlier packet; this one has not been sent.
            Err(Errno::CONNREFUSED | Errno::HOSTUNREACH | Errno::NETUNREACH) => send(),
            sent => sent,
        }
    }
}

/// Event data of the eventfd by which the worker is woken; no socket has this index.
const BELL: u64 = u64::MAX;
/// Event data of the timer for the joint read of conference parties' sockets.
const TIME: u64 = u64::MAX - 1;

/// Waker of the worker (eventfd).
#[derive(Debug, Clone)]
pub(super) struct WorkerWaker(Arc<WakerState>);

#[derive(Debug)]
struct WakerState {
    /// True if a wake-up is pending; if so, a burst of commands takes one system call.
    rings: AtomicBool,
    event: OwnedFd,
}

impl WorkerWaker {
    fn new() -> io::Result<WorkerWaker> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(WorkerWaker(Arc::new(WakerState { rings: AtomicBool::new(false), event })))
    }

    /// Wakes the worker from its current or next wait; call it after queueing a command.
    pub(super) fn ring(&self) {
        if !self.0.rings.swap(true, Ordering::AcqRel) {
            // A full counter wakes as well.
            let _ = rustix::io::write(&self.0.event, &1_u64.to_ne_bytes());
        }
    }

    /// Clears the wake-up before the queued commands are read, so that a later command wakes the worker again.
    fn hush(&self) {
        // An already cleared eventfd is fine.
        let _ = rustix::io::read(&self.0.event, &mut [0; 8]);
        self.0.rings.swap(false, Ordering::AcqRel);
    }
}

/// Flag in the event data of agents' sockets.
const AGENT: u64 = 1 << 63;
/// Bit mask of the generation in the event data.
pub(super) const GENERATIONS: u32 = 0x7fff_ffff;

/// Event data of an agent's socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AgentToken {
    /// Index of the socket.
    pub(super) slot: usize,
    /// Number that distinguishes the socket from earlier ones at the same index.
    pub(super) generation: u32,
}

/// Event of the epoll, decoded from its data.
#[derive(Debug, Clone, Copy)]
pub(super) enum SocketEvent {
    /// A media socket has a packet.
    Packet(PortIndex, PortOwner),
    /// The readiness of an agent's socket has changed.
    Agent(AgentToken, SocketReadiness),
    /// The joint read is due: sockets must be read together ([`PortSet::look`]).
    Time,
}

/// Readiness of an agent's socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SocketReadiness {
    /// Readable, or broken.
    pub(super) readable: bool,
    /// Writable, or broken.
    pub(super) writable: bool,
    /// The remote side has closed its direction: no further event may follow the available data.
    pub(super) ended: bool,
}

/// All sockets of a worker.
#[derive(Debug)]
pub(super) struct PortSet {
    epoll: Epoll,
    bell: WorkerWaker,
    events: Box<[EpollEvent]>,
    entries: Slab<PortEntry>,
    together: TickSockets,
    generation: u32,
    /// Buffer for control messages of received packets.
    control: Vec<u8>,
}

impl PortSet {
    /// Creates an empty set.
    pub(super) fn new() -> io::Result<PortSet> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let bell = WorkerWaker::new()?;
        epoll.add(&bell.0.event, EpollEvent::new(EpollFlags::EPOLLIN, BELL))?;
        let together = TickSockets::new(&epoll, TIME)?;
        Ok(PortSet {
            epoll,
            together,
            bell,
            events: vec![EpollEvent::empty(); EVENTS_PER_TURN].into_boxed_slice(),
            entries: Slab::new(),
            generation: 0,
            control: trouble::room(),
        })
    }

    /// Adds the sockets of an end; packets that are already queued in them cause events.
    pub(super) fn open(&mut self, session: usize, end: EndId, sockets: EndSockets) -> io::Result<PortPair> {
        let rtp = self.add(sockets.rtp, PortOwner { session, end, rtcp: false })?;
        match self.add(sockets.rtcp, PortOwner { session, end, rtcp: true }) {
            Ok(rtcp) => Ok(PortPair { rtp, rtcp }),
            Err(error) => {
                self.close_one(rtp);
                Err(error)
            }
        }
    }

    /// Assigns the sockets of an end to another session.
    pub(super) fn reassign(&mut self, pair: PortPair, session: usize, end: EndId) {
        for (port, rtcp) in [(pair.rtp, false), (pair.rtcp, true)] {
            if let Some(entry) = self.entries.get_mut(port.0) {
                entry.owner = PortOwner { session, end, rtcp };
            }
        }
    }

    /// Closes the sockets of an end; queued packets are lost.
    pub(super) fn close(&mut self, pair: PortPair) {
        self.close_one(pair.rtp);
        self.close_one(pair.rtcp);
    }

    /// Removes the sockets of an end and returns them with the packets queued in them; `None` if they are closed.
    ///
    /// # Errors
    /// Returns the system's error if a socket cannot be removed from its epoll; both sockets are then closed.
    pub(super) fn release(&mut self, pair: PortPair) -> io::Result<Option<EndSockets>> {
        self.loosen(pair);
        let (rtp, rtcp) = (self.take_out(pair.rtp), self.take_out(pair.rtcp));
        Ok(rtp?.zip(rtcp?).map(|(rtp, rtcp)| EndSockets { rtp, rtcp }))
    }

    /// Returns the number of open sockets.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns the waker by which other threads wake the worker.
    pub(super) fn bell(&self) -> WorkerWaker {
        self.bell.clone()
    }

    /// Registers an agent's socket for events until it is closed.
    pub(super) fn watch(&self, socket: &impl AsFd, token: AgentToken) -> io::Result<()> {
        let slot = u32::try_from(token.slot).map_err(|_| io::Error::other("too many agents' sockets"))?;
        let data = AGENT | u64::from(token.generation & GENERATIONS) << 32 | u64::from(slot);
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        Ok(self.epoll.add(socket, EpollEvent::new(flags, data))?)
    }

    /// Removes an agent's socket from the epoll.
    pub(super) fn unwatch(&self, socket: &impl AsFd) -> io::Result<()> {
        Ok(self.epoll.delete(socket)?)
    }

    /// Sleeps for `pause`, then waits for an event for at most `limit`. Returns the number of events.
    pub(super) fn block(&mut self, pause: Duration, limit: Duration) -> io::Result<usize> {
        if !pause.is_zero() {
            std::thread::sleep(pause);
        }
        // Round up, because a wait that ends too early is a wasted turn.
        let ms = u16::try_from(limit.as_nanos().div_ceil(1_000_000)).unwrap_or(u16::MAX);
        match self.epoll.wait(&mut self.events, EpollTimeout::from(ms)) {
            Ok(events) => {
                self.hush(events);
                self.together.end(&self.epoll, TIME)?;
                Ok(events)
            }
            Err(WaitErrno::EINTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Polls the sockets that are read together, without blocking. Returns the number of events; packets that remain
    /// unread cause further events.
    pub(super) fn look(&mut self) -> io::Result<usize> {
        self.together.begin(&self.epoll, TIME)?;
        self.together.look(&mut self.events)
    }

    /// Sets when a socket is read: with `ticks_at`, a tick of a mixer, together with others before each tick of the
    /// mixers; with `None` as soon as a packet arrives.
    pub(super) fn read_before(&mut self, port: PortIndex, ticks_at: Option<Instant>) -> io::Result<()> {
        let Some(entry) = self.entries.get_mut(port.0).filter(|entry| entry.is_together != ticks_at.is_some()) else {
            return Ok(());
        };
        let data = carried(entry.generation, port);
        match ticks_at {
            Some(ticks_at) => {
                self.together.add(&entry.socket, data, ticks_at)?;
                self.epoll.delete(&entry.socket)?;
            }
            None => {
                self.epoll.add(&entry.socket, EpollEvent::new(EpollFlags::EPOLLIN, data))?;
                self.together.remove(&entry.socket)?;
            }
        }
        entry.is_together = ticks_at.is_some();
        Ok(())
    }

    /// Clears the wake-up if the waker is among the first `events` events.
    fn hush(&self, events: usize) {
        if self.events.iter().take(events).any(|event| event.data() == BELL) {
            self.bell.hush();
        }
    }

    /// Returns the n-th event; `None` if its socket was closed meanwhile.
    pub(super) fn event(&self, n: usize) -> Option<SocketEvent> {
        let event = self.events.get(n)?;
        let data = event.data();
        let (at, generation) = ((data & 0xffff_ffff) as usize, (data >> 32) as u32 & GENERATIONS);
        if data & AGENT == 0 {
            let entry = self.entries.get(at).filter(|entry| entry.generation == generation)?;
            return Some(SocketEvent::Packet(PortIndex(at), entry.owner));
        }
        if data >= TIME {
            return (data == TIME).then_some(SocketEvent::Time);
        }
        let broken = EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP;
        let flags = event.events();
        let ended = flags.intersects(EpollFlags::EPOLLRDHUP | broken);
        let readable = ended || flags.intersects(EpollFlags::EPOLLIN);
        let writable = flags.intersects(EpollFlags::EPOLLOUT | broken);
        Some(SocketEvent::Agent(AgentToken { slot: at, generation }, SocketReadiness { readable, writable, ended }))
    }

    /// Receives one packet and returns its source.
    ///
    /// # Errors
    /// Returns an error of this socket: an ICMP error about an earlier packet, or `WouldBlock` without a packet.
    pub(super) fn receive(&self, port: PortIndex, packet: &mut PacketBuf) -> io::Result<SocketAddr> {
        let entry = self.entries.get(port.0).ok_or(io::ErrorKind::NotConnected)?;
        let (len, _, source) = rustix::net::recvfrom(&entry.socket, packet.receive_area(), RecvFlags::empty())?;
        packet.set_len(len);
        Ok(source.ok_or(Errno::AFNOSUPPORT)?.try_into()?)
    }

    /// Requests that the next read of a socket also returns the number of dropped packets.
    pub(super) fn ask(&mut self, port: PortIndex) {
        if let Some(entry) = self.entries.get_mut(port.0) {
            entry.asks = true;
        }
    }

    /// Receives a packet like [`Self::receive`], if the number of dropped packets was requested or the packet may have
    /// waited, because the socket is read together with others. Returns the source and, if requested, the number of
    /// packets dropped since the socket was bound. `None` in other cases, and without a packet.
    pub(super) fn receive_with_word(
        &mut self,
        port: PortIndex,
        packet: &mut PacketBuf,
    ) -> Option<(SocketAddr, Option<u32>)> {
        let entry = self.entries.get_mut(port.0).filter(|entry| entry.asks || entry.is_together)?;
        let (datagram, dropped) = next_datagram(&entry.socket, packet.receive_area(), &mut self.control).ok()?;
        entry.asks = false;
        packet.set_len(datagram.len);
        packet.set_waited(waited_since(datagram.stamp));
        Some((datagram.remote, dropped))
    }

    /// Reads the pending ICMP errors of a socket; calls `tell` with the destination of each undelivered packet and the
    /// error.
    pub(super) fn unreachable(&mut self, port: PortIndex, tell: impl FnMut(SocketAddr, IcmpError)) {
        if let Some(entry) = self.entries.get(port.0) {
            trouble::unreachable(&entry.socket, &mut self.control, tell);
        }
    }

    /// Reads one packet and discards it.
    pub(super) fn discard(&self, port: PortIndex) {
        if let Some(entry) = self.entries.get(port.0) {
            // The packet is not wanted, so the result is ignored.
            let _ = entry.socket.recv_from(&mut [0]);
        }
    }

    /// Sends one packet. With `locked`, packets of other sources than `to` are not accepted, so the socket is connected
    /// to it.
    pub(super) fn send(&mut self, port: PortIndex, to: SocketAddr, locked: bool, packet: &PacketBuf) -> io::Result<()> {
        let entry = self.entries.get_mut(port.0).ok_or(io::ErrorKind::NotConnected)?;
        match entry.tie {
            PeerFilter::Loose if locked => entry.tie(to),
            PeerFilter::To(far) if far != to || !locked => entry.loosen(),
            PeerFilter::Loose | PeerFilter::To(_) | PeerFilter::Refused => {}
        }
        entry.send(to, packet.data())?;
        Ok(())
    }

    /// Disconnects the sockets after a negotiation, which may have opened the latch. `shown` is the local address that
    /// was announced to the remote party.
    pub(super) fn untie(&mut self, pair: PortPair, shown: Option<IpAddr>) {
        self.loosen(pair);
        for port in [pair.rtp, pair.rtcp] {
            let Some(entry) = self.entries.get_mut(port.0) else { continue };
            (entry.shown, entry.tie) = (shown, PeerFilter::Loose);
        }
    }

    /// Disconnects connected sockets for now, because the remote address may change.
    pub(super) fn loosen(&mut self, pair: PortPair) {
        for port in [pair.rtp, pair.rtcp] {
            if let Some(entry) = self.entries.get_mut(port.0).filter(|entry| matches!(entry.tie, PeerFilter::To(_))) {
                entry.loosen();
            }
        }
    }

    fn add(&mut self, socket: UdpSocket, owner: PortOwner) -> io::Result<PortIndex> {
        self.generation = self.generation.wrapping_add(1) & GENERATIONS;
        let generation = self.generation;
        let vacant = self.entries.vacant_entry();
        let port = PortIndex(vacant.key());
        u32::try_from(port.0).map_err(|_| io::Error::other("too many media sockets"))?;
        self.epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, carried(generation, port)))?;
        vacant.insert(PortEntry {
            socket,
            owner,
            generation,
            tie: PeerFilter::Loose,
            shown: None,
            asks: false,
            is_together: false,
        });
        Ok(port)
    }

    /// Removes a socket without closing it; `None` if it is closed. It must be removed from the epoll, which would
    /// otherwise keep it while a descriptor exists in another process.
    fn take_out(&mut self, port: PortIndex) -> io::Result<Option<UdpSocket>> {
        let Some(entry) = self.entries.try_remove(port.0) else { return Ok(None) };
        match entry.is_together {
            true => self.together.remove(&entry.socket)?,
            false => self.epoll.delete(&entry.socket)?,
        }
        Ok(Some(entry.socket))
    }

    fn close_one(&mut self, port: PortIndex) {
        // Closing a socket removes it from its epoll.
        if self.entries.try_remove(port.0).is_some_and(|entry| entry.is_together) {
            self.together.forget();
        }
    }
}

/// Returns the event data of a media socket.
fn carried(generation: u32, port: PortIndex) -> u64 {
    u64::from(generation) << 32 | port.0 as u64
}

/// Binds a socket for RTP or RTCP. A failure to set the traffic class is ignored, because the call works without it.
fn bind_media(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    let marked = if address.is_ipv6() {
        // IPv4 uses separate sockets.
        socket.set_only_v6(true)?;
        setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
        socket.set_tclass_v6(EXPEDITED_FORWARDING)
    } else {
        setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
        socket.set_tos_v4(EXPEDITED_FORWARDING)
    };
    // Best effort, as in `transport/bind.rs`.
    let _ = setsockopt(&socket, sockopt::RxqOvfl, &1);
    if let Err(error) = marked {
        tracing::debug!(%error, "media is sent without a traffic class");
    }
    socket.bind(&address.into()).map_err(|error| named(&error, address))?;
    Ok(socket.into())
}

/// Adds the address to the text of the system's error.
fn named(error: &io::Error, address: SocketAddr) -> io::Error {
    io::Error::new(error.kind(), format!("{address}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{Shutdown, TcpListener, TcpStream};

    use super::super::tests::free_pair;
    use super::*;
    use trunkgate_conference::limits::FRAME;

    fn open(ports: &mut PortSet, session: usize, end: EndId, at: SocketAddr) -> io::Result<PortPair> {
        ports.open(session, end, EndSockets::bind(at)?)
    }

    #[test]
    fn two_packets_in_one_socket_are_two_events() {
        let mut ports = PortSet::new().unwrap();
        let at = free_pair();
        let pair = open(&mut ports, 3, EndId(7), at).unwrap();
        let phone = UdpSocket::bind("127.0.0.1:0").unwrap();
        phone.send_to(b"one", at).unwrap();
        phone.send_to(b"two", at).unwrap();
        let mut packet = PacketBuf::new();
        for expected in [b"one", b"two"] {
            assert_eq!(ports.block(Duration::ZERO, Duration::from_secs(9)).unwrap(), 1);
            let (port, owner) = packet_of(&ports);
            assert_eq!((port, owner.session, owner.end, owner.rtcp), (pair.rtp, 3, EndId(7), false));
            assert_eq!(ports.receive(port, &mut packet).unwrap(), phone.local_addr().unwrap());
            assert_eq!(packet.data(), expected);
        }
        // The waker works again after it was cleared.
        assert_eq!(ports.block(Duration::ZERO, Duration::ZERO).unwrap(), 0);
        phone.send_to(b"three", (at.ip(), at.port() + 1)).unwrap();
        assert_eq!(ports.block(Duration::ZERO, Duration::from_secs(9)).unwrap(), 1);
        assert!(packet_of(&ports).1.rtcp);
        ports.discard(pair.rtcp);
        assert_eq!(ports.block(Duration::ZERO, Duration::ZERO).unwrap(), 0);
    }

    #[test]
    fn sockets_that_are_read_together_are_read_before_the_tick() {
        let mut ports = PortSet::new().unwrap();
        let at = free_pair();
        let pair = open(&mut ports, 3, EndId(7), at).unwrap();
        let phone = UdpSocket::bind("127.0.0.1:0").unwrap();
        let from = phone.local_addr().unwrap();
        let mut packet = PacketBuf::new();
        ports.read_before(pair.rtp, Some(Instant::now())).unwrap();
        // A repeated request has no effect.
        ports.read_before(pair.rtp, Some(Instant::now())).unwrap();
        for tied in [false, true] {
            ports.send(pair.rtp, from, tied, &self::packet(b"out")).unwrap();
            let sent = Instant::now();
            phone.send_to(b"one", at).unwrap();
            phone.send_to(b"two", at).unwrap();
            assert!(ports.block(Duration::ZERO, Duration::from_secs(9)).unwrap() > 0);
            assert!(matches!(ports.event(0), Some(SocketEvent::Time)));
            for expected in [b"one", b"two"] {
                assert_eq!(ports.look().unwrap(), 1);
                let (port, owner) = packet_of(&ports);
                assert_eq!((port, owner.end, owner.rtcp), (pair.rtp, EndId(7), false));
                assert_eq!(ports.receive_with_word(port, &mut packet), Some((from, None)));
                assert_eq!(packet.data(), expected);
                // A wait of more than two frames counts as zero.
                assert!(!packet.waited().is_zero() || sent.elapsed() > 2 * FRAME);
            }
            assert_eq!(ports.look().unwrap(), 0);
        }
        // Back to immediate reads.
        ports.read_before(pair.rtp, None).unwrap();
        phone.send_to(b"now", at).unwrap();
        assert_eq!(next(&mut ports), Some((b"now".to_vec(), from)));
        assert!(packet.waited() >= Duration::ZERO && ports.look().unwrap() == 0);
    }

    #[test]
    fn an_event_of_a_closed_socket_is_nobodys() {
        let mut ports = PortSet::new().unwrap();
        let at = free_pair();
        let pair = open(&mut ports, 0, EndId(0), at).unwrap();
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"x", at).unwrap();
        assert_eq!(ports.block(Duration::ZERO, Duration::from_secs(9)).unwrap(), 1);
        ports.close(pair);
        assert_eq!(ports.len(), 0);
        open(&mut ports, 1, EndId(1), at).unwrap();
        assert!(ports.event(0).is_none());
    }

    #[test]
    fn a_taken_port_is_told_with_its_address_and_nothing_stays_open() {
        let mut ports = PortSet::new().unwrap();
        let at = free_pair();
        let rtcp = SocketAddr::new(at.ip(), at.port() + 1);
        let other = UdpSocket::bind(rtcp).unwrap();
        let error = open(&mut ports, 0, EndId(0), at).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().starts_with(&format!("{rtcp}: Address already in use")), "{error}");
        assert_eq!(ports.len(), 0);
        drop(other);
        assert!(open(&mut ports, 0, EndId(0), at).is_ok());
        assert!(open(&mut ports, 0, EndId(1), "127.0.0.1:65535".parse().unwrap()).is_err());
        assert_eq!(ports.len(), 2);
    }

    #[test]
    fn the_end_of_what_an_agent_says_is_told_with_it() {
        let mut ports = PortSet::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut far = listener.accept().unwrap().0;
        let token = AgentToken { slot: 3, generation: 9 };
        ports.watch(&near, token).unwrap();
        let mut told = || {
            assert_eq!(ports.block(Duration::ZERO, Duration::from_secs(9)).unwrap(), 1);
            match ports.event(0) {
                Some(SocketEvent::Agent(of, state)) if of == token => (state.readable, state.writable, state.ended),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(told(), (false, true, false));
        far.write_all(b"x").unwrap();
        assert_eq!(told(), (true, true, false));
        far.shutdown(Shutdown::Write).unwrap();
        assert_eq!(told(), (true, true, true));
    }

    fn packet_of(ports: &PortSet) -> (PortIndex, PortOwner) {
        match ports.event(0) {
            Some(SocketEvent::Packet(port, owner)) => (port, owner),
            other => panic!("{other:?}"),
        }
    }

    fn packet(bytes: &[u8]) -> PacketBuf {
        let mut packet = PacketBuf::new();
        packet.receive_area()[..bytes.len()].copy_from_slice(bytes);
        packet.set_len(bytes.len());
        packet
    }

    /// Returns the next packet and its source, if one arrives.
    fn next(ports: &mut PortSet) -> Option<(Vec<u8>, SocketAddr)> {
        if ports.block(Duration::ZERO, Duration::from_millis(20)).unwrap() == 0 {
            return None;
        }
        let (port, _) = packet_of(ports);
        let mut packet = PacketBuf::new();
        let source = ports.receive(port, &mut packet).ok()?;
        Some((packet.data().to_vec(), source))
    }

    #[test]
    fn a_tied_socket_hears_its_far_side_alone_until_it_is_untied() {
        for wild in [false, true] {
            let mut ports = PortSet::new().unwrap();
            let at = free_pair();
            let bound = if wild { SocketAddr::from(([0, 0, 0, 0], at.port())) } else { at };
            let pair = open(&mut ports, 0, EndId(0), bound).unwrap();
            let [far, stranger] = ["127.0.0.1:0", "127.0.0.2:0"].map(|ip| UdpSocket::bind(ip).unwrap());
            let [to, strange] = [&far, &stranger].map(|socket| socket.local_addr().unwrap());
            // A packet queued before the socket was connected keeps its source.
            stranger.send_to(b"before", at).unwrap();
            ports.send(pair.rtp, to, true, &packet(b"out")).unwrap();
            assert_eq!(next(&mut ports), Some((b"before".to_vec(), strange)));
            stranger.send_to(b"kept out", at).unwrap();
            assert_eq!(next(&mut ports), None);
            far.send_to(b"in", at).unwrap();
            assert_eq!(next(&mut ports), Some((b"in".to_vec(), to)));
            ports.untie(pair, Some(at.ip()));
            stranger.send_to(b"after", at).unwrap();
            assert_eq!(next(&mut ports), Some((b"after".to_vec(), strange)));
            // A packet to another address is sent even though the latch is not locked.
            ports.send(pair.rtp, strange, false, &packet(b"out")).unwrap();
            let mut bytes = [0; 9];
            assert_eq!(stranger.recv_from(&mut bytes).unwrap(), (3, at));
            // Another address to connect to.
            ports.send(pair.rtp, strange, true, &packet(b"out")).unwrap();
            ports.send(pair.rtp, to, true, &packet(b"moved")).unwrap();
            assert_eq!((far.recv(&mut bytes).unwrap(), far.recv(&mut bytes).unwrap()), (3, 5));
        }
    }

    #[test]
    fn a_far_side_that_was_told_another_address_is_heard_there() {
        for (shown, heard) in [("127.0.0.3", true), ("127.0.0.1", false), ("203.0.113.9", false)] {
            let mut ports = PortSet::new().unwrap();
            let port = free_pair().port();
            let pair = open(&mut ports, 0, EndId(0), SocketAddr::from(([0, 0, 0, 0], port))).unwrap();
            ports.untie(pair, shown.parse().ok());
            let far = UdpSocket::bind("127.0.0.1:0").unwrap();
            ports.send(pair.rtp, far.local_addr().unwrap(), true, &packet(b"out")).unwrap();
            // Sent to 127.0.0.3, although our packets come from 127.0.0.1.
            far.send_to(b"in", ("127.0.0.3", port)).unwrap();
            assert_eq!(next(&mut ports).is_some(), heard, "{shown}");
        }
    }

    #[test]
    fn a_far_side_that_was_gone_for_a_while_gets_the_next_packet() {
        let mut ports = PortSet::new().unwrap();
        let pair = open(&mut ports, 0, EndId(0), free_pair()).unwrap();
        let far = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = far.local_addr().unwrap();
        drop(far);
        for _ in 0..3 {
            ports.send(pair.rtp, to, true, &packet(b"lost")).unwrap();
        }
        let far = UdpSocket::bind(to).unwrap();
        ports.send(pair.rtp, to, true, &packet(b"out")).unwrap();
        let mut bytes = [0; 9];
        assert_eq!(far.recv(&mut bytes).unwrap(), 3);
    }
}
