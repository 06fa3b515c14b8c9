//! UDP listener: receives without a task, queues a bounded number of datagrams while the socket is full, and reports
//! ICMP errors as failed sends.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};
use nix::sys::time::TimeSpec;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use trunkgate_sip::{Flow, ListenerId, Transport};

use super::{SocketCounters, TransportEvent};
use trunkgate_media::SendFailure;
use trunkgate_system::limits;

#[derive(Debug)]
pub(super) struct UdpSipSocket {
    socket: Arc<UdpSocket>,
    queue: VecDeque<(SocketAddr, Bytes)>,
    counters: Arc<SocketCounters>,
    /// Buffer for the control messages of a datagram.
    control: Vec<u8>,
    /// Number of datagrams that the kernel had dropped when it was last read, modulo 2³².
    unread: u32,
}

/// Received datagram.
#[derive(Debug)]
pub struct Datagram {
    pub len: usize,
    pub remote: SocketAddr,
    /// Kernel timestamp of the datagram's arrival, if there is one.
    pub stamp: Option<SystemTime>,
}

impl UdpSipSocket {
    /// Registers a bound socket with the current async runtime and starts a task that waits for its ICMP errors.
    ///
    /// # Errors
    /// Returns the system's error.
    pub(super) fn start(
        socket: std::net::UdpSocket,
        listener: ListenerId,
        news: mpsc::Sender<TransportEvent>,
        counters: Arc<SocketCounters>,
    ) -> io::Result<UdpSipSocket> {
        let socket = Arc::new(UdpSocket::from_std(socket)?);
        tokio::spawn(watch_errors(Arc::clone(&socket), listener, news));
        let control = nix::cmsg_space!(TimeSpec, u32);
        Ok(UdpSipSocket { socket, queue: VecDeque::new(), counters, control, unread: 0 })
    }

    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> bool {
        self.socket.poll_recv_ready(cx).is_ready()
    }

    /// Reads the next datagram into `buffer`; `None` if none is available.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> Option<Datagram> {
        for _ in 0..limits::BATCH_ITEMS {
            let UdpSipSocket { socket, control, .. } = self;
            match socket.try_io(Interest::READABLE, || next_datagram(socket, buffer, control)) {
                Ok((datagram, unread)) => {
                    if let Some(unread) = unread {
                        let more = unread.wrapping_sub(std::mem::replace(&mut self.unread, unread));
                        self.counters.udp_unread.add(more.into());
                    }
                    return Some(datagram);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                // An ICMP error is reported here once; the error queue has its destination.
                Err(_) => {}
            }
        }
        None
    }

    /// Sends a datagram at once, or queues it while the socket is full.
    ///
    /// # Errors
    /// Returns the reason if the system refused it; `None` if the queue is full.
    pub(super) fn send(&mut self, to: SocketAddr, bytes: Bytes) -> Result<(), Option<SendFailure>> {
        if self.queue.is_empty() {
            match self.send_now(to, &bytes) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => {
                    tracing::debug!("udp to {to}: {error}");
                    return Err(Some(unsent(&error)));
                }
            }
        }
        if self.queue.len() >= limits::UDP_QUEUE_DATAGRAMS {
            self.counters.udp_queue_full.add(1);
            return Err(None);
        }
        self.queue.push_back((to, bytes));
        Ok(())
    }

    /// Sends a datagram at once. The system reports a pending ICMP error of an earlier datagram by the next send to any
    /// destination; such a send is repeated, a limited number of times because ICMP errors can be forged.
    fn send_now(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        for _ in 1..limits::UDP_SEND_ATTEMPTS {
            match self.socket.try_send_to(bytes, to) {
                Err(error) if is_icmp(&error) => {}
                other => return other.map(|_| ()),
            }
        }
        self.socket.try_send_to(bytes, to).map(|_| ())
    }

    /// Sends the queued datagrams as far as the socket accepts them, and registers a wake-up if some remain.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) {
        while let Some((to, bytes)) = self.queue.front() {
            match self.send_now(*to, bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => match self.socket.poll_send_ready(cx) {
                    Poll::Pending => return,
                    Poll::Ready(_) => {}
                },
                Ok(()) => drop(self.queue.pop_front()),
                Err(_) => {
                    self.counters.send_failed.add(1);
                    self.queue.pop_front();
                }
            }
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.queue.is_empty()
    }
}

/// Reads one datagram, and the number of datagrams dropped so far if the kernel reports it.
///
/// # Errors
/// Returns the system's error, such as `WouldBlock`.
pub fn next_datagram(
    socket: &impl AsRawFd,
    buffer: &mut [u8],
    control: &mut [u8],
) -> io::Result<(Datagram, Option<u32>)> {
    let mut parts = [IoSliceMut::new(buffer)];
    let received = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(control), MsgFlags::MSG_DONTWAIT)?;
    let remote = received.address.as_ref().and_then(socket_address).ok_or(ErrorKind::InvalidData)?;
    let (mut stamp, mut unread) = (None, None);
    for message in received.cmsgs().into_iter().flatten() {
        if let ControlMessageOwned::ScmTimestampns(time) = message {
            stamp = SystemTime::UNIX_EPOCH.checked_add(Duration::from(time));
        } else if let ControlMessageOwned::RxqOvfl(dropped) = message {
            unread = Some(dropped);
        }
    }
    Ok((Datagram { len: received.bytes, remote, stamp }, unread))
}

fn is_icmp(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable)
}

/// Reports unreachable destinations from the socket's error queue (ip(7), IP_RECVERR) until the socket fails.
async fn watch_errors(socket: Arc<UdpSocket>, listener: ListenerId, news: mpsc::Sender<TransportEvent>) {
    loop {
        if socket.ready(Interest::ERROR).await.is_err() {
            return;
        }
        // WouldBlock also clears the readiness, so that the next turn waits.
        while let Ok(unreachable) = socket.try_io(Interest::ERROR, || next_error(&socket)) {
            let Some((remote, quoted)) = unreachable else { continue };
            let flow = Flow { transport: Transport::Udp, listener, remote, connection: None };
            if news.send(TransportEvent::Unreachable { flow, quoted }).await.is_err() {
                return;
            }
        }
        tokio::task::yield_now().await;
    }
}

/// Reads an entry of the error queue: the destination of a datagram and its quoted beginning. `None` for an error that
/// only concerns the size.
fn next_error(socket: &UdpSocket) -> io::Result<Option<(SocketAddr, Bytes)>> {
    let mut head = [0; limits::ICMP_QUOTE_BYTES];
    let mut parts = [IoSliceMut::new(&mut head)];
    let mut control = nix::cmsg_space!([u8; 256]);
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let entry = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    let too_big = entry.cmsgs().is_ok_and(|mut all| all.any(|message| is_about_size(&message)));
    let (remote, len) = (entry.address.as_ref().and_then(socket_address).filter(|_| !too_big), entry.bytes);
    Ok(remote.map(|remote| (remote, Bytes::copy_from_slice(head.get(..len).unwrap_or_default()))))
}

/// Returns the reason for which the system did not send a datagram.
pub fn unsent(error: &io::Error) -> SendFailure {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EPERM | Errno::EACCES) => SendFailure::Forbidden,
        Some(Errno::ENETUNREACH | Errno::ENETDOWN | Errno::EHOSTUNREACH) => SendFailure::NoRoute,
        Some(Errno::EINVAL | Errno::EADDRNOTAVAIL) => SendFailure::NotFromThere,
        _ => SendFailure::Other,
    }
}

/// Returns whether an ICMP error only concerns the size of a datagram.
pub fn is_about_size(message: &ControlMessageOwned) -> bool {
    if let ControlMessageOwned::Ipv4RecvErr(error, _) | ControlMessageOwned::Ipv6RecvErr(error, _) = message {
        return error.ee_errno == Errno::EMSGSIZE as u32;
    }
    false
}

/// Converts a socket address to the standard library's type.
fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::from((v4.ip(), v4.port())));
    // Keep the interface of a link-local address.
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddrV6::from(*v6).into()))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use trunkgate_config::ListenSettings;
    use trunkgate_testing::until::until;

    fn socket() -> (UdpSipSocket, mpsc::Receiver<TransportEvent>) {
        let listen = ListenSettings {
            name: "t".into(),
            transport: Transport::Udp,
            address: "127.0.0.1:0".parse().unwrap(),
            public_address: vec![],
            tls: None,
            place: String::new(),
        };
        let bound = crate::transport::bind(&[listen]).unwrap().pop().unwrap();
        let super::super::bind::ListenerSocket::Udp(std_socket) = bound.socket else { panic!("udp") };
        let (news, arrivals) = mpsc::channel(8);
        (UdpSipSocket::start(std_socket, ListenerId(0), news, Arc::default()).unwrap(), arrivals)
    }

    #[tokio::test]
    async fn a_closed_port_is_told_by_icmp() {
        let (mut socket, mut arrivals) = socket();
        socket.socket.writable().await.unwrap();
        let closed = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        socket.send(closed, Bytes::from_static(b"x")).unwrap();
        let limit = Duration::from_secs(20);
        match tokio::time::timeout(limit, arrivals.recv()).await.unwrap() {
            Some(TransportEvent::Unreachable { flow, quoted }) => {
                assert_eq!((flow.remote, &*quoted), (closed, &b"x"[..]))
            }
            other => panic!("{other:?}"),
        }
        // The pending error must not affect the next destination.
        let open = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send(closed, Bytes::from_static(b"x")).unwrap();
        socket.send(open.local_addr().unwrap(), Bytes::from_static(b"y")).unwrap();
        open.set_read_timeout(Some(limit)).unwrap();
        let mut buffer = [0; 8];
        assert_eq!(open.recv(&mut buffer).unwrap(), 1);
        assert_eq!(buffer[0], b'y');
    }

    #[tokio::test]
    async fn a_datagram_is_dated_by_the_system_and_those_it_dropped_are_counted() {
        let (mut socket, _arrivals) = socket();
        let to = socket.socket.local_addr().unwrap();
        let far = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        // The wall clock may be slewed meanwhile.
        let pause = Duration::from_millis(25);
        let mut buffer = [0; 2048];
        let mut tries = 0;
        // The first socket with timestamps enables them for all; until then a datagram is dated when it is read.
        let first = loop {
            far.send_to(b"first", to).unwrap();
            let sent = Instant::now();
            until("it has waited", || (sent.elapsed() >= 4 * pause).then_some(()));
            socket.socket.readable().await.unwrap();
            let first = socket.receive(&mut buffer).unwrap();
            assert_eq!((first.len, first.remote), (5, far.local_addr().unwrap()));
            if first.stamp.unwrap().elapsed().unwrap() >= pause {
                break first;
            }
            tries += 1;
            assert!(tries < 50, "datagrams are dated when they are read");
        };
        let now = crate::transport::ClockMoment::now();
        assert!(now.at - now.of(first.stamp) >= pause && now.of(None) == now.at);
        let ahead = now.wall + Duration::from_secs(9);
        assert_eq!(now.of(Some(ahead)), now.at, "the wall clock was set back");
        // More than any kernel buffer holds; the next datagram that fits reports the drops.
        let many = limits::UDP_BUFFER_BYTES * 2 / 1_000;
        (0..many).for_each(|_| drop(far.send_to(&[0; 1_000], to)));
        let mut read = 0;
        while read < many {
            socket.socket.readable().await.unwrap();
            match socket.receive(&mut buffer) {
                Some(_) => read += 1,
                None => drop(far.send_to(b"next", to)),
            }
            if socket.counters.udp_unread.get() > 0 {
                return;
            }
        }
        panic!("nothing was dropped");
    }

    #[tokio::test]
    async fn the_queue_of_a_full_socket_is_bounded() {
        let (mut socket, _arrivals) = socket();
        let to: SocketAddr = "127.0.0.1:9".parse().unwrap();
        for _ in 0..limits::UDP_QUEUE_DATAGRAMS {
            socket.queue.push_back((to, Bytes::from_static(b"x")));
        }
        assert_eq!(socket.send(to, Bytes::from_static(b"x")), Err(None));
        assert_eq!(socket.counters.udp_queue_full.get(), 1);
        assert_eq!(socket.queue.len(), limits::UDP_QUEUE_DATAGRAMS);
    }
}
