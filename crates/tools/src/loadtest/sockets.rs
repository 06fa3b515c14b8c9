//! Sockets of the load generator: one for SIP on each side and one for the audio of each call, in one epoll instance
//! with a timer and the signals that stop the test.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::{TimeSpec, TimeValLike as _};
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use super::line::CallRole;
use trunkgate_runtime::transport::next_datagram;
use trunkgate_system::clock;
use trunkgate_system::limits;

/// Epoll keys of the timer and of the signals; the key of a socket is its index.
const TIMER: u64 = u64::MAX;
const SIGNALS: u64 = u64::MAX - 1;
/// Maximum number of datagrams read from a socket in one turn.
const BATCH: usize = 64;
/// Maximum number of events handled in one turn.
const EVENTS: usize = 256;
/// Number of open files needed in addition to audio sockets, for the test and its own edge.
const OTHER_FILES: u64 = 64;
/// Receive buffer of an audio socket, in bytes; one second of audio is 9 KB.
const AUDIO_BUFFER_BYTES: usize = 64 << 10;

/// UDP socket of the test.
#[derive(Debug)]
struct TestSocket {
    socket: UdpSocket,
    address: SocketAddr,
    /// Number of packets that the system has dropped, as reported with the last datagram.
    unread: u32,
}

/// A received datagram.
#[derive(Debug)]
pub(super) struct ReceivedDatagram {
    /// Arrival time at this machine, from the kernel's timestamp.
    pub(super) at: Instant,
    pub(super) source: SocketAddr,
    /// Index of the receiving socket.
    pub(super) socket: usize,
    pub(super) bytes: Bytes,
}

/// Sockets of a load test; the first two are for SIP.
#[derive(Debug)]
pub(super) struct TestSockets {
    entries: Vec<TestSocket>,
    free: [VecDeque<usize>; 2],
    epoll: Epoll,
    timer: TimerFd,
    signals: SignalFd,
    events: Vec<EpollEvent>,
    buffer: Vec<u8>,
    control: Vec<u8>,
    /// Number of SIGINT and SIGTERM received.
    pub(super) stops: u32,
    /// Number of packets that the system did not send.
    pub(super) unsent: u64,
}

/// Blocks SIGINT and SIGTERM and returns a descriptor that receives them. Must be called before the first thread
/// starts, because threads inherit the signal mask.
pub(super) fn catch_signals() -> io::Result<SignalFd> {
    let mut wanted = SigSet::empty();
    wanted.add(Signal::SIGINT);
    wanted.add(Signal::SIGTERM);
    wanted.thread_block()?;
    Ok(SignalFd::with_flags(&wanted, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?)
}

/// Raises the limit of open files to hold `files` sockets, if necessary.
///
/// # Errors
/// Returns a message if the system does not permit that many open files.
pub(super) fn make_room(files: usize) -> Result<(), String> {
    let wanted = files as u64 + OTHER_FILES;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(|error| error.to_string())?;
    if wanted > hard {
        return Err(format!(
            "{wanted} open files are needed, limit {hard}: run `ulimit -n {wanted}` as root, or lower --calls"
        ));
    }
    if soft < wanted {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map_err(|error| format!("open files: {error}"))?;
    }
    Ok(())
}

impl TestSockets {
    /// Binds the SIP sockets of callers and callees, and the given numbers of audio sockets for each side.
    pub(super) fn open(sip: [SocketAddr; 2], audio: [usize; 2], signals: SignalFd) -> io::Result<TestSockets> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        epoll.add(timer.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
        epoll.add(signals.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, SIGNALS))?;
        let mut sockets = TestSockets {
            entries: Vec::new(),
            free: [VecDeque::new(), VecDeque::new()],
            epoll,
            timer,
            signals,
            events: vec![EpollEvent::empty(); EVENTS],
            buffer: vec![0; limits::UDP_DATAGRAM_BYTES],
            control: nix::cmsg_space!(TimeSpec, u32),
            stops: 0,
            unsent: 0,
        };
        for address in sip {
            sockets.add(address, limits::UDP_BUFFER_BYTES)?;
        }
        for (side, (address, audio)) in sip.into_iter().zip(audio).enumerate() {
            for _ in 0..audio {
                let at = sockets.add((address.ip(), 0).into(), AUDIO_BUFFER_BYTES)?;
                if let Some(free) = sockets.free.get_mut(side) {
                    free.push_back(at);
                }
            }
        }
        Ok(sockets)
    }

    fn add(&mut self, address: SocketAddr, bytes: usize) -> io::Result<usize> {
        let socket = UdpSocket::bind(address)
            .map_err(|error| io::Error::new(error.kind(), format!("{address} cannot be used: {error}")))?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        // Optional features: time of arrival, number of dropped datagrams, larger receive buffer.
        let _ = setsockopt(&socket, sockopt::ReceiveTimestampns, &true);
        let _ = setsockopt(&socket, sockopt::RxqOvfl, &1);
        let _ = setsockopt(&socket, sockopt::RcvBuf, &bytes);
        let at = self.entries.len();
        self.epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, at as u64))?;
        self.entries.push(TestSocket { socket, address, unread: 0 });
        Ok(at)
    }

    /// Returns the SIP address of a side.
    pub(super) fn sip(&self, side: CallRole) -> Option<SocketAddr> {
        self.address(side as usize)
    }

    /// Returns the local address of a socket.
    pub(super) fn address(&self, socket: usize) -> Option<SocketAddr> {
        self.entries.get(socket).map(|entry| entry.address)
    }

    /// Takes a free audio socket; `None` if all are in use.
    pub(super) fn take(&mut self, side: CallRole) -> Option<usize> {
        self.free.get_mut(side as usize)?.pop_front()
    }

    /// Releases an audio socket. Sockets are reused in the order of release, so that late packets of the previous call
    /// have ended.
    pub(super) fn give_back(&mut self, side: CallRole, socket: usize) {
        if let Some(free) = self.free.get_mut(side as usize) {
            free.push_back(socket);
        }
    }

    /// Returns the number of packets that the system dropped because they were not read in time.
    pub(super) fn unread(&self) -> u64 {
        self.entries.iter().map(|entry| u64::from(entry.unread)).sum()
    }

    /// Sends a datagram; returns false if the system did not accept it.
    pub(super) fn send(&mut self, socket: usize, to: SocketAddr, bytes: &[u8]) -> bool {
        let sent = self.entries.get(socket).is_some_and(|entry| entry.socket.send_to(bytes, to).is_ok());
        self.unsent += u64::from(!sent);
        sent
    }

    /// Waits for packets until `wake` and appends them to `into`.
    pub(super) fn wait(&mut self, wake: Option<Instant>, into: &mut Vec<ReceivedDatagram>) -> io::Result<()> {
        let now = Instant::now();
        let until = wake.map(|wake| wake.saturating_duration_since(now));
        let timeout = match until {
            Some(Duration::ZERO) => EpollTimeout::ZERO,
            Some(pause) => {
                let pause = TimeSpec::nanoseconds(i64::try_from(pause.as_nanos()).unwrap_or(i64::MAX));
                self.timer.set(Expiration::OneShot(pause), TimerSetTimeFlags::empty())?;
                EpollTimeout::NONE
            }
            None => EpollTimeout::NONE,
        };
        let count = match self.epoll.wait(&mut self.events, timeout) {
            Ok(count) => count,
            Err(nix::errno::Errno::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };
        // Kernel timestamps are wall-clock times; both clocks are read to convert them.
        let clocks = (Instant::now(), clock::wall());
        for place in 0..count {
            match self.events.get(place).map(EpollEvent::data) {
                Some(TIMER) => drop(self.timer.wait()),
                Some(SIGNALS) => {
                    while let Ok(Some(_)) = self.signals.read_signal() {
                        self.stops += 1;
                    }
                }
                Some(socket) => self.read(socket as usize, clocks, into),
                None => {}
            }
        }
        Ok(())
    }

    fn read(&mut self, socket: usize, (now, clock): (Instant, SystemTime), into: &mut Vec<ReceivedDatagram>) {
        let Some(entry) = self.entries.get_mut(socket) else { return };
        // Several datagrams are read in one turn, so that a delay does not grow.
        for _ in 0..BATCH {
            let read = next_datagram(&entry.socket, &mut self.buffer, &mut self.control);
            let Ok((datagram, unread)) = read else { return };
            entry.unread = unread.unwrap_or(entry.unread);
            let age = datagram.stamp.and_then(|stamp| clock.duration_since(stamp).ok()).unwrap_or_default();
            let bytes = Bytes::copy_from_slice(self.buffer.get(..datagram.len).unwrap_or_default());
            into.push(ReceivedDatagram {
                at: now.checked_sub(age).unwrap_or(now),
                source: datagram.remote,
                socket,
                bytes,
            });
        }
    }
}

/// Returns the address to write into messages for a bound one: `towards` replaces an unspecified address.
pub(super) fn shown(bound: SocketAddr, towards: Option<IpAddr>) -> SocketAddr {
    match towards.filter(|_| bound.ip().is_unspecified()) {
        Some(ip) => (ip, bound.port()).into(),
        None => bound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_is_told_with_its_time_and_the_timer_wakes() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let signals = SignalFd::new(&SigSet::empty()).unwrap();
        let mut sockets = TestSockets::open([any, any], [2, 2], signals).unwrap();
        let (near, far) = (sockets.sip(CallRole::Caller).unwrap(), sockets.sip(CallRole::Callee).unwrap());
        let sent = Instant::now();
        assert!(sockets.send(0, far, b"x") && sockets.send(0, far, b"y"));
        let mut came = Vec::new();
        while came.len() < 2 {
            sockets.wait(None, &mut came).unwrap();
        }
        let packet = &came[0];
        assert_eq!((packet.source, packet.socket, &packet.bytes[..]), (near, 1, &b"x"[..]));
        assert!(packet.at >= sent.checked_sub(Duration::from_millis(50)).unwrap() && packet.at <= Instant::now());
        came.clear();
        let wake = Instant::now() + Duration::from_millis(3);
        while Instant::now() < wake {
            sockets.wait(Some(wake), &mut came).unwrap();
        }
        assert!(came.is_empty());
        let (a, b) = (sockets.take(CallRole::Caller).unwrap(), sockets.take(CallRole::Caller).unwrap());
        assert!(a != b && sockets.take(CallRole::Caller).is_none() && sockets.take(CallRole::Callee).is_some());
        sockets.give_back(CallRole::Caller, b);
        assert_eq!(sockets.take(CallRole::Caller), Some(b));
    }

    #[test]
    fn too_many_open_files_are_told() {
        make_room(10).unwrap();
        assert!(make_room(1 << 40).unwrap_err().contains("ulimit -n"));
    }
}
