//! The media sockets of one worker, and how it waits for them: the only file that knows the system calls of the packet
//! path.
//!
//! They sit in one epoll, agents' sockets among them, and the worker's thread waits there and nowhere else. An order from
//! another thread rings a bell that sits there too. Media sockets are level-triggered, because exactly one packet is read
//! per event: a second one waiting must be told again. Agents' sockets are edge-triggered: they are read and written until
//! the system says that it has no more, and left alone until it tells.
//!
//! Those of conferences' parties are in an epoll of their own and are read together (`together.rs`).
//!
//! Every stream has a port, so a socket has about one packet per wake-up: `recvmmsg` and io_uring have nothing to batch.
//!
//! Once a latch is locked no other source can win it, and the socket is tied to the winner (`connect`): the system then drops
//! what others send before it takes a place in the socket or a turn of the worker, so a flood of it cannot push a call's
//! own packets out. Those drops are the system's (`UdpNoPorts`) and in no counter of ours. A negotiation unties it, and so
//! does a packet that is sent while the latch is not locked, or, where the winner may be replaced, its silence.
//!
//! What the system says beside the packets is in `trouble.rs`: ICMP errors, and datagrams that it dropped unread.

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
use trunkgate_media::{EndId, PacketBuf, Undelivered};

use super::together::{Together, waited_since};
use super::trouble;
use crate::transport::next_datagram;

/// Events taken per wake-up, so that load batches wake-ups by itself.
const EVENTS_PER_TURN: usize = 256;
/// Expedited forwarding (RFC 3246, DSCP 46), as it stands in the traffic class byte.
const EXPEDITED_FORWARDING: u32 = 0xb8;

/// One socket. Not valid any more once its pair is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Port(usize);

/// The two sockets of an end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    pub(super) rtp: Port,
    pub(super) rtcp: Port,
}

/// An end's two sockets before a worker has them. Packets wait in them.
#[derive(Debug)]
pub(super) struct EndSockets {
    rtp: UdpSocket,
    rtcp: UdpSocket,
}

impl EndSockets {
    /// Binds both: RTP as given, RTCP on the next port.
    ///
    /// # Errors
    /// The system's, with the address it is about.
    pub(super) fn bind(rtp: SocketAddr) -> io::Result<EndSockets> {
        let port = rtp.port().checked_add(1).ok_or_else(|| io::Error::other("no port above it for RTCP"))?;
        let mut rtcp = rtp;
        rtcp.set_port(port);
        Ok(EndSockets { rtp: bind_media(rtp)?, rtcp: bind_media(rtcp)? })
    }
}

/// Whose a socket is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner {
    /// Index of the session in its worker.
    pub(super) session: usize,
    pub(super) end: EndId,
    pub(super) rtcp: bool,
}

#[derive(Debug)]
struct Entry {
    socket: UdpSocket,
    owner: Owner,
    /// Tells an event of this socket from one of an earlier socket in the same place.
    generation: u32,
    tie: Tie,
    /// The address of ours that its far side was told.
    shown: Option<IpAddr>,
    /// Whether the next packet is to bring word of those that the system dropped.
    asks: bool,
    /// Whether it is read together with others.
    is_together: bool,
}

/// Whether a socket hears one far side only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tie {
    /// Everybody's packets come in.
    Loose,
    /// Only those of this far side.
    To(SocketAddr),
    /// It was tried and did not do.
    Refused,
}

impl Entry {
    /// Ties it. A socket that is bound to no particular address would take what the system thinks is the nearest one;
    /// where the far side was told another one of this machine, it would not be heard any more.
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
            self.tie = Tie::To(to);
        } else {
            self.loosen();
            self.tie = Tie::Refused;
        }
    }

    fn loosen(&mut self) {
        self.tie = Tie::Loose;
        if let Err(error) = rustix::net::connect_unspec(&self.socket) {
            tracing::warn!(%error, "a media socket cannot be disconnected");
        }
    }

    fn send(&self, to: SocketAddr, bytes: &[u8]) -> Result<usize, Errno> {
        let send = || match self.tie {
            Tie::To(_) => rustix::net::send(&self.socket, bytes, SendFlags::empty()),
            Tie::Loose | Tie::Refused => rustix::net::sendto(&self.socket, bytes, SendFlags::empty(), &to),
        };
        match send() {
            // That was about an earlier packet, which found nobody; this one has not left.
            Err(Errno::CONNREFUSED | Errno::HOSTUNREACH | Errno::NETUNREACH) => send(),
            sent => sent,
        }
    }
}

/// What an event of the bell carries: no socket has this place.
const BELL: u64 = u64::MAX;
/// What an event carries after which sockets are read together.
const TIME: u64 = u64::MAX - 1;

/// Wakes the worker that waits for packets.
#[derive(Debug, Clone)]
pub(super) struct Bell(Arc<Ringing>);

#[derive(Debug)]
struct Ringing {
    /// Whether it rings already: orders come in flocks, and one system call wakes for all of them.
    rings: AtomicBool,
    event: OwnedFd,
}

impl Bell {
    fn new() -> io::Result<Bell> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Bell(Arc::new(Ringing { rings: AtomicBool::new(false), event })))
    }

    /// Wakes it, now or before it waits the next time. Whatever it is rung for is there by then.
    pub(super) fn ring(&self) {
        if !self.0.rings.swap(true, Ordering::AcqRel) {
            // A count that is full rings already.
            let _ = rustix::io::write(&self.0.event, &1_u64.to_ne_bytes());
        }
    }

    /// Before what it was rung for is looked at: who rings from now on is heard.
    fn hush(&self) {
        // Silent already: fine.
        let _ = rustix::io::read(&self.0.event, &mut [0; 8]);
        self.0.rings.swap(false, Ordering::AcqRel);
    }
}

/// Set in what an event of an agent's socket carries.
const AGENT: u64 = 1 << 63;
/// Generations that fit beside it.
pub(super) const GENERATIONS: u32 = 0x7fff_ffff;

/// An agent's socket, in what its events carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    /// Its place.
    pub(super) slot: usize,
    /// Tells it from an earlier one in the same place.
    pub(super) generation: u32,
}

/// What an event tells.
#[derive(Debug, Clone, Copy)]
pub(super) enum Told {
    /// A media socket has a packet.
    Packet(Port, Owner),
    /// An agent's socket has changed.
    Agent(Token, State),
    /// Sockets are to be read together ([`PortSet::look`]).
    Time,
}

/// What the system says of an agent's socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    /// It may be read, or is broken.
    pub(super) readable: bool,
    /// It may be written, or is broken.
    pub(super) writable: bool,
    /// The far side says nothing more: its end may lie behind what there is to read, and is not told of again.
    pub(super) ended: bool,
}

/// The sockets.
#[derive(Debug)]
pub(super) struct PortSet {
    epoll: Epoll,
    bell: Bell,
    events: Box<[EpollEvent]>,
    entries: Slab<Entry>,
    together: Together,
    generation: u32,
    /// Room for what the system says beside a packet.
    control: Vec<u8>,
}

impl PortSet {
    /// None yet.
    pub(super) fn new() -> io::Result<PortSet> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let bell = Bell::new()?;
        epoll.add(&bell.0.event, EpollEvent::new(EpollFlags::EPOLLIN, BELL))?;
        let together = Together::new(&epoll, TIME)?;
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

    /// Takes an end's sockets in; what waits in them already is told of.
    pub(super) fn open(&mut self, session: usize, end: EndId, sockets: EndSockets) -> io::Result<Pair> {
        let rtp = self.add(sockets.rtp, Owner { session, end, rtcp: false })?;
        match self.add(sockets.rtcp, Owner { session, end, rtcp: true }) {
            Ok(rtcp) => Ok(Pair { rtp, rtcp }),
            Err(error) => {
                self.close_one(rtp);
                Err(error)
            }
        }
    }

    /// Gives an end's sockets to another session.
    pub(super) fn reassign(&mut self, pair: Pair, session: usize, end: EndId) {
        for (port, rtcp) in [(pair.rtp, false), (pair.rtcp, true)] {
            if let Some(entry) = self.entries.get_mut(port.0) {
                entry.owner = Owner { session, end, rtcp };
            }
        }
    }

    /// Closes an end's sockets; what waits in them is gone.
    pub(super) fn close(&mut self, pair: Pair) {
        self.close_one(pair.rtp);
        self.close_one(pair.rtcp);
    }

    /// Sockets open.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What wakes who waits here.
    pub(super) fn bell(&self) -> Bell {
        self.bell.clone()
    }

    /// Has an agent's socket told of, until it is closed.
    pub(super) fn watch(&self, socket: &impl AsFd, token: Token) -> io::Result<()> {
        let slot = u32::try_from(token.slot).map_err(|_| io::Error::other("too many agents' sockets"))?;
        let data = AGENT | u64::from(token.generation & GENERATIONS) << 32 | u64::from(slot);
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        Ok(self.epoll.add(socket, EpollEvent::new(flags, data))?)
    }

    /// Lets what comes gather for `pause`; then waits until a socket has something to tell or the bell rings, for `limit` at
    /// most. Returns how many events there are.
    pub(super) fn block(&mut self, pause: Duration, limit: Duration) -> io::Result<usize> {
        if !pause.is_zero() {
            std::thread::sleep(pause);
        }
        // Rounded up: a wait that ends too early is a turn for nothing.
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

    /// Asks which of the sockets that are read together have a packet; never waits. Returns how many events there are. What is left
    /// after them has an event again.
    pub(super) fn look(&mut self) -> io::Result<usize> {
        self.together.begin(&self.epoll, TIME)?;
        self.together.look(&mut self.events)
    }

    /// Has a socket read together with others before each tick of a mixer, of which one is then; `None`: as soon as a packet comes.
    pub(super) fn read_before(&mut self, port: Port, ticks_at: Option<Instant>) -> io::Result<()> {
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

    /// Silences the bell if it is among the events.
    fn hush(&self, events: usize) {
        if self.events.iter().take(events).any(|event| event.data() == BELL) {
            self.bell.hush();
        }
    }

    /// What the n-th event tells; nothing where its socket was closed meanwhile.
    pub(super) fn event(&self, n: usize) -> Option<Told> {
        let event = self.events.get(n)?;
        let data = event.data();
        let (at, generation) = ((data & 0xffff_ffff) as usize, (data >> 32) as u32 & GENERATIONS);
        if data & AGENT == 0 {
            let entry = self.entries.get(at).filter(|entry| entry.generation == generation)?;
            return Some(Told::Packet(Port(at), entry.owner));
        }
        if data >= TIME {
            return (data == TIME).then_some(Told::Time);
        }
        let broken = EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP;
        let flags = event.events();
        let ended = flags.intersects(EpollFlags::EPOLLRDHUP | broken);
        let readable = ended || flags.intersects(EpollFlags::EPOLLIN);
        let writable = flags.intersects(EpollFlags::EPOLLOUT | broken);
        Some(Told::Agent(Token { slot: at, generation }, State { readable, writable, ended }))
    }

    /// Receives one packet. An error is of this socket alone (an ICMP answer to an earlier send) or "nothing there".
    pub(super) fn receive(&self, port: Port, packet: &mut PacketBuf) -> io::Result<SocketAddr> {
        let entry = self.entries.get(port.0).ok_or(io::ErrorKind::NotConnected)?;
        let (len, _, source) = rustix::net::recvfrom(&entry.socket, packet.receive_area(), RecvFlags::empty())?;
        packet.set_len(len);
        Ok(source.ok_or(Errno::AFNOSUPPORT)?.try_into()?)
    }

    /// Has the next packet of a socket bring word of those that the system dropped before it.
    pub(super) fn ask(&mut self, port: Port) {
        if let Some(entry) = self.entries.get_mut(port.0) {
            entry.asks = true;
        }
    }

    /// The same as [`Self::receive`] where that was asked for, or where it may have waited: where the packet is from, and how many were
    /// dropped since the socket was bound; `None`: nothing was asked, or no packet is there.
    pub(super) fn receive_with_word(
        &mut self,
        port: Port,
        packet: &mut PacketBuf,
    ) -> Option<(SocketAddr, Option<u32>)> {
        let entry = self.entries.get_mut(port.0).filter(|entry| entry.asks || entry.is_together)?;
        let (datagram, dropped) = next_datagram(&entry.socket, packet.receive_area(), &mut self.control).ok()?;
        entry.asks = false;
        packet.set_len(datagram.len);
        packet.set_waited(waited_since(datagram.stamp));
        Some((datagram.remote, dropped))
    }

    /// Reads the ICMP errors that wait at a socket; tells of each where what was not delivered was sent to.
    pub(super) fn unreachable(&mut self, port: Port, tell: impl FnMut(SocketAddr, Undelivered)) {
        if let Some(entry) = self.entries.get(port.0) {
            trouble::unreachable(&entry.socket, &mut self.control, tell);
        }
    }

    /// Takes one packet out and forgets it.
    pub(super) fn discard(&self, port: Port) {
        if let Some(entry) = self.entries.get(port.0) {
            // Whatever it says, the packet is not wanted.
            let _ = entry.socket.recv_from(&mut [0]);
        }
    }

    /// Sends one packet; `locked`: nobody but `to` is heard, so the socket is tied to it.
    pub(super) fn send(&mut self, port: Port, to: SocketAddr, locked: bool, packet: &PacketBuf) -> io::Result<()> {
        let entry = self.entries.get_mut(port.0).ok_or(io::ErrorKind::NotConnected)?;
        match entry.tie {
            Tie::Loose if locked => entry.tie(to),
            Tie::To(far) if far != to || !locked => entry.loosen(),
            Tie::Loose | Tie::To(_) | Tie::Refused => {}
        }
        entry.send(to, packet.data())?;
        Ok(())
    }

    /// Lets everybody's packets in again: a negotiation has opened the latch, or may have. `shown` is the address of ours
    /// that the far side was told.
    pub(super) fn untie(&mut self, pair: Pair, shown: Option<IpAddr>) {
        self.loosen(pair);
        for port in [pair.rtp, pair.rtcp] {
            let Some(entry) = self.entries.get_mut(port.0) else { continue };
            (entry.shown, entry.tie) = (shown, Tie::Loose);
        }
    }

    /// Lets everybody's packets in for a while: whoever the far side is may change.
    pub(super) fn loosen(&mut self, pair: Pair) {
        for port in [pair.rtp, pair.rtcp] {
            if let Some(entry) = self.entries.get_mut(port.0).filter(|entry| matches!(entry.tie, Tie::To(_))) {
                entry.loosen();
            }
        }
    }

    fn add(&mut self, socket: UdpSocket, owner: Owner) -> io::Result<Port> {
        self.generation = self.generation.wrapping_add(1) & GENERATIONS;
        let generation = self.generation;
        let vacant = self.entries.vacant_entry();
        let port = Port(vacant.key());
        u32::try_from(port.0).map_err(|_| io::Error::other("too many media sockets"))?;
        self.epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, carried(generation, port)))?;
        vacant.insert(Entry {
            socket,
            owner,
            generation,
            tie: Tie::Loose,
            shown: None,
            asks: false,
            is_together: false,
        });
        Ok(port)
    }

    fn close_one(&mut self, port: Port) {
        // Closing takes a socket out of its epoll.
        if self.entries.try_remove(port.0).is_some_and(|entry| entry.is_together) {
            self.together.forget();
        }
    }
}

/// What an event of a media socket carries.
fn carried(generation: u32, port: Port) -> u64 {
    u64::from(generation) << 32 | port.0 as u64
}

/// A socket for one stream. Its traffic class is a wish: a system that refuses it still carries the call.
fn bind_media(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    let marked = if address.is_ipv6() {
        // IPv4 has sockets of its own.
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

/// The system's error with the address it is about.
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

    fn open(ports: &mut PortSet, session: usize, end: EndId, at: SocketAddr) -> io::Result<Pair> {
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
        // And after it was silent.
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
        // Twice is once.
        ports.read_before(pair.rtp, Some(Instant::now())).unwrap();
        for tied in [false, true] {
            ports.send(pair.rtp, from, tied, &self::packet(b"out")).unwrap();
            let sent = Instant::now();
            phone.send_to(b"one", at).unwrap();
            phone.send_to(b"two", at).unwrap();
            assert!(ports.block(Duration::ZERO, Duration::from_secs(9)).unwrap() > 0);
            assert!(matches!(ports.event(0), Some(Told::Time)));
            for expected in [b"one", b"two"] {
                assert_eq!(ports.look().unwrap(), 1);
                let (port, owner) = packet_of(&ports);
                assert_eq!((port, owner.end, owner.rtcp), (pair.rtp, EndId(7), false));
                assert_eq!(ports.receive_with_word(port, &mut packet), Some((from, None)));
                assert_eq!(packet.data(), expected);
                // A wait of more than two frames counts as none.
                assert!(!packet.waited().is_zero() || sent.elapsed() > 2 * FRAME);
            }
            assert_eq!(ports.look().unwrap(), 0);
        }
        // As soon as it comes again.
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
        let token = Token { slot: 3, generation: 9 };
        ports.watch(&near, token).unwrap();
        let mut told = || {
            assert_eq!(ports.block(Duration::ZERO, Duration::from_secs(9)).unwrap(), 1);
            match ports.event(0) {
                Some(Told::Agent(of, state)) if of == token => (state.readable, state.writable, state.ended),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(told(), (false, true, false));
        far.write_all(b"x").unwrap();
        assert_eq!(told(), (true, true, false));
        far.shutdown(Shutdown::Write).unwrap();
        assert_eq!(told(), (true, true, true));
    }

    fn packet_of(ports: &PortSet) -> (Port, Owner) {
        match ports.event(0) {
            Some(Told::Packet(port, owner)) => (port, owner),
            other => panic!("{other:?}"),
        }
    }

    fn packet(bytes: &[u8]) -> PacketBuf {
        let mut packet = PacketBuf::new();
        packet.receive_area()[..bytes.len()].copy_from_slice(bytes);
        packet.set_len(bytes.len());
        packet
    }

    /// What comes next and who sent it, where something comes at all.
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
            // Somebody's packet that waits when the socket is tied is still told as his.
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
            // Nobody to be tied to is locked: it leaves all the same.
            ports.send(pair.rtp, strange, false, &packet(b"out")).unwrap();
            let mut bytes = [0; 9];
            assert_eq!(stranger.recv_from(&mut bytes).unwrap(), (3, at));
            // Another one to be tied to.
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
            // By way of 127.0.0.3, though what we send comes from 127.0.0.1.
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
