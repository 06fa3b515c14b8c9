//! Copies of packets for listeners that get plain RTP. Many calls copied to one place make many packets for one place:
//! they are gathered for a moment and leave in one system call, which the kernel cuts into packets again (UDP GSO). That
//! costs a fraction of a call for each; a relayed packet never waits here.

use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::Instant;

use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg};
use socket2::{Domain, Protocol, Socket, Type};
use trunkgate_media::Counter;

use crate::limits::{COPIES_PER_SEND, COPY_BATCH_BYTES, COPY_DESTINATIONS, COPY_PAUSE, COPY_SEND_BUFFER_BYTES};

/// What waits for one place: packets of one length, one behind the other.
#[derive(Debug)]
struct Batch {
    to: SocketAddr,
    len: usize,
    packets: usize,
    bytes: Vec<u8>,
    /// When it leaves at the latest.
    due: Instant,
}

/// The copies of one worker.
#[derive(Debug, Default)]
pub(super) struct Copies {
    v4: Option<UdpSocket>,
    v6: Option<UdpSocket>,
    batches: Vec<Batch>,
    /// This system does not cut packets for us.
    one_by_one: bool,
}

impl Copies {
    /// Takes a copy; what the system refuses is counted in `dropped`.
    pub(super) fn push(&mut self, now: Instant, to: SocketAddr, packet: &[u8], dropped: &Counter) {
        let at = match self.batches.iter().position(|batch| batch.to == to) {
            Some(at) => at,
            None => self.make_room(now, to, dropped),
        };
        let full = self.batches.get(at).is_some_and(|batch| {
            batch.packets > 0
                && (batch.len != packet.len()
                    || batch.packets >= COPIES_PER_SEND
                    || batch.bytes.len() + packet.len() > COPY_BATCH_BYTES)
        });
        if full {
            self.send(at, dropped);
        }
        if let Some(batch) = self.batches.get_mut(at) {
            if batch.packets == 0 {
                (batch.len, batch.due) = (packet.len(), now + COPY_PAUSE);
            }
            batch.packets += 1;
            batch.bytes.extend_from_slice(packet);
        }
    }
    /// When something is to leave.
    pub(super) fn due(&self) -> Option<Instant> {
        self.batches.iter().filter(|batch| batch.packets > 0).map(|batch| batch.due).min()
    }
    /// Sends what has waited long enough.
    pub(super) fn send_due(&mut self, now: Instant, dropped: &Counter) {
        for at in 0..self.batches.len() {
            if self.batches.get(at).is_some_and(|batch| batch.packets > 0 && batch.due <= now) {
                self.send(at, dropped);
            }
        }
    }

    /// A batch for a new place: one of its own, or that of the place which has waited longest.
    fn make_room(&mut self, now: Instant, to: SocketAddr, dropped: &Counter) -> usize {
        if self.batches.len() < COPY_DESTINATIONS {
            let bytes = Vec::with_capacity(COPY_BATCH_BYTES);
            self.batches.push(Batch { to, len: 0, packets: 0, bytes, due: now });
            return self.batches.len() - 1;
        }
        let oldest = self.batches.iter().enumerate().min_by_key(|(_, batch)| batch.due).map_or(0, |(at, _)| at);
        self.send(oldest, dropped);
        if let Some(batch) = self.batches.get_mut(oldest) {
            batch.to = to;
        }
        oldest
    }

    fn send(&mut self, at: usize, dropped: &Counter) {
        let Some(batch) = self.batches.get_mut(at).filter(|batch| batch.packets > 0) else { return };
        let packets = std::mem::take(&mut batch.packets);
        let socket = match batch.to {
            SocketAddr::V4(_) => &mut self.v4,
            SocketAddr::V6(_) => &mut self.v6,
        };
        let socket = match socket {
            Some(socket) => &*socket,
            None => match bind(batch.to) {
                Ok(bound) => &*socket.insert(bound),
                Err(error) => {
                    tracing::error!(%error, "no socket for copies of media");
                    dropped.add(packets as u64);
                    batch.bytes.clear();
                    return;
                }
            },
        };
        if packets > 1 && !self.one_by_one {
            match send_cut(socket, batch) {
                Ok(()) => return batch.bytes.clear(),
                // Full, or nobody there: the others would fare no better.
                Err(nix::Error::EAGAIN | nix::Error::ECONNREFUSED | nix::Error::ENOBUFS) => {
                    dropped.add(packets as u64);
                    return batch.bytes.clear();
                }
                Err(error) => {
                    tracing::info!(%error, "copies of media leave one by one");
                    self.one_by_one = true;
                }
            }
        }
        for packet in batch.bytes.chunks(batch.len.max(1)) {
            if socket.send_to(packet, batch.to).is_err() {
                dropped.add(1);
            }
        }
        batch.bytes.clear();
    }
}

/// All packets of a batch in one call.
fn send_cut(socket: &UdpSocket, batch: &Batch) -> nix::Result<()> {
    let len = u16::try_from(batch.len).map_err(|_| nix::Error::EMSGSIZE)?;
    let (parts, control) = ([IoSlice::new(&batch.bytes)], [ControlMessage::UdpGsoSegments(&len)]);
    let to = SockaddrStorage::from(batch.to);
    sendmsg(socket.as_raw_fd(), &parts, &control, MsgFlags::MSG_DONTWAIT, Some(&to)).map(|_| ())
}

fn bind(to: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = Socket::new(Domain::for_address(any), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.set_send_buffer_size(COPY_SEND_BUFFER_BYTES)?;
    socket.bind(&any.into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn receiver(ip: &str) -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    fn received(socket: &UdpSocket) -> Vec<u8> {
        let mut buffer = [0; 2048];
        let len = socket.recv(&mut buffer).unwrap();
        buffer[..len].to_vec()
    }

    fn leave_as_they_came(one_by_one: bool, ip: &str) {
        let (now, dropped) = (Instant::now(), Counter::default());
        let (socket, to) = receiver(ip);
        let mut copies = Copies { one_by_one, ..Copies::default() };
        // Two lengths, and more than one batch of the first.
        let packet = |n: usize| vec![n as u8; if n == 100 { 33 } else { 172 }];
        for n in 0..=100 {
            copies.push(now, to, &packet(n), &dropped);
        }
        assert_eq!(copies.due(), Some(now + COPY_PAUSE));
        copies.send_due(now + COPY_PAUSE - Duration::from_micros(1), &dropped);
        assert!(copies.due().is_some());
        copies.send_due(now + COPY_PAUSE, &dropped);
        assert_eq!(copies.due(), None);
        for n in 0..=100 {
            assert_eq!(received(&socket), packet(n), "{n}");
        }
        assert_eq!(dropped.get(), 0);
    }

    #[test]
    fn copies_leave_as_they_came() {
        leave_as_they_came(false, "127.0.0.1");
        leave_as_they_came(false, "::1");
    }

    #[test]
    fn also_where_the_system_does_not_cut() {
        leave_as_they_came(true, "127.0.0.1");
    }

    #[test]
    fn more_places_than_batches_lose_nothing() {
        let (now, dropped) = (Instant::now(), Counter::default());
        let places: Vec<_> = (0..COPY_DESTINATIONS + 3).map(|_| receiver("127.0.0.1")).collect();
        let mut copies = Copies::default();
        for (n, (_, to)) in places.iter().enumerate() {
            copies.push(now, *to, &[n as u8; 20], &dropped);
        }
        assert_eq!(copies.batches.len(), COPY_DESTINATIONS);
        copies.send_due(now + COPY_PAUSE, &dropped);
        for (n, (socket, _)) in places.iter().enumerate() {
            assert_eq!(received(socket), [n as u8; 20]);
        }
        assert_eq!(dropped.get(), 0);
    }
}
