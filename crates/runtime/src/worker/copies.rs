//! Packet copies for raw forks, by plain RTP. Copies of many calls to one address are batched for a moment and sent by
//! one system call, which the kernel splits into packets (UDP GSO). This costs a fraction of separate calls. Relayed
//! packets are never delayed here.

use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::Instant;

use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg};
use socket2::{Domain, Protocol, Socket, Type};
use trunkgate_media::Counter;

use trunkgate_system::limits::{
    COPIES_PER_SEND, COPY_BATCH_BYTES, COPY_CUT_AGAIN, COPY_DESTINATIONS, COPY_PAUSE, COPY_SEND_BUFFER_BYTES,
};

/// Packets of equal length that wait for one destination.
#[derive(Debug)]
struct PacketBatch {
    to: SocketAddr,
    len: usize,
    packets: usize,
    bytes: Vec<u8>,
    /// Time at which the batch is sent at the latest.
    due: Instant,
    /// Time until which packets to this destination are sent separately, because the kernel could not split a batch;
    /// `None` if it can.
    uncut_until: Option<Instant>,
}

/// Sender of the packet copies of one worker.
#[derive(Debug, Default)]
pub(super) struct CopySender {
    v4: Option<UdpSocket>,
    v6: Option<UdpSocket>,
    batches: Vec<PacketBatch>,
}

impl CopySender {
    /// Adds a copy to the batch of its destination; packets that the system refuses to send are counted in `dropped`.
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
            self.send(now, at, dropped);
        }
        if let Some(batch) = self.batches.get_mut(at) {
            if batch.packets == 0 {
                (batch.len, batch.due) = (packet.len(), now + COPY_PAUSE);
            }
            batch.packets += 1;
            batch.bytes.extend_from_slice(packet);
        }
    }

    /// Returns the time at which the next batch is due; `None` without waiting packets.
    pub(super) fn due(&self) -> Option<Instant> {
        self.batches.iter().filter(|batch| batch.packets > 0).map(|batch| batch.due).min()
    }

    /// Sends the due batches; packets that the system refuses to send are counted in `dropped`.
    pub(super) fn send_due(&mut self, now: Instant, dropped: &Counter) {
        for at in 0..self.batches.len() {
            if self.batches.get(at).is_some_and(|batch| batch.packets > 0 && batch.due <= now) {
                self.send(now, at, dropped);
            }
        }
    }

    /// Returns the index of a batch for a new destination, after sending the oldest one if there are too many.
    fn make_room(&mut self, now: Instant, to: SocketAddr, dropped: &Counter) -> usize {
        if self.batches.len() < COPY_DESTINATIONS {
            let bytes = Vec::with_capacity(COPY_BATCH_BYTES);
            self.batches.push(PacketBatch { to, len: 0, packets: 0, bytes, due: now, uncut_until: None });
            return self.batches.len() - 1;
        }
        let oldest = self.batches.iter().enumerate().min_by_key(|(_, batch)| batch.due).map_or(0, |(at, _)| at);
        self.send(now, oldest, dropped);
        if let Some(batch) = self.batches.get_mut(oldest) {
            (batch.to, batch.uncut_until) = (to, None);
        }
        oldest
    }

    fn send(&mut self, now: Instant, at: usize, dropped: &Counter) {
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
                    tracing::error!(%error, "copies of media are lost, because no socket can be opened for them");
                    dropped.add(packets as u64);
                    batch.bytes.clear();
                    return;
                }
            },
        };
        if packets > 1 && batch.uncut_until.is_none_or(|until| now >= until) {
            match send_cut(socket, batch) {
                Ok(()) => return batch.bytes.clear(),
                // An old kernel, no checksum offload on the path (as in some tunnels), or a packet larger than the MTU.
                // Other sockets and destinations are not affected.
                Err(error @ (nix::Error::EINVAL | nix::Error::EIO | nix::Error::EMSGSIZE)) => {
                    tracing::debug!(%error, to = %batch.to, "copies of media are sent one by one");
                    batch.uncut_until = Some(now + COPY_CUT_AGAIN);
                }
                // For a full queue, a prohibition or a missing receiver, separate packets would fail, too.
                Err(_) => {
                    dropped.add(packets as u64);
                    return batch.bytes.clear();
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

/// Sends all packets of a batch by one call.
fn send_cut(socket: &UdpSocket, batch: &PacketBatch) -> nix::Result<()> {
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

    #[test]
    fn copies_leave_as_they_came() {
        leave_as_they_came("127.0.0.1");
        leave_as_they_came("::1");
    }

    fn leave_as_they_came(ip: &str) {
        let (now, dropped) = (Instant::now(), Counter::default());
        let (socket, to) = receiver(ip);
        let mut copies = CopySender::default();
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

    /// Sends `packets` to one destination at once.
    fn send(copies: &mut CopySender, now: Instant, to: SocketAddr, packets: usize, dropped: &Counter) {
        (0..packets).for_each(|n| copies.push(now, to, &[n as u8; 20], dropped));
        copies.send_due(now + COPY_PAUSE, dropped);
    }

    #[test]
    fn where_the_system_does_not_cut_they_leave_one_by_one_for_a_while() {
        let (now, dropped) = (Instant::now(), Counter::default());
        let ((socket, to), (other, elsewhere)) = (receiver("127.0.0.1"), receiver("127.0.0.1"));
        let mut copies = CopySender::default();
        send(&mut copies, now, to, 1, &dropped);
        received(&socket);
        // More packets than the kernel splits: EINVAL.
        let packets = 200;
        let bytes = (0..packets).flat_map(|n| [n as u8; 20]).collect();
        copies.batches[0] = PacketBatch { to, len: 20, packets, bytes, due: now, uncut_until: None };
        copies.send_due(now, &dropped);
        for n in 0..packets {
            assert_eq!(received(&socket), [n as u8; 20]);
        }
        assert_eq!(copies.batches[0].uncut_until, Some(now + COPY_CUT_AGAIN));
        // Separate packets to this destination, for which splitting failed; one call to another one; and one call to
        // this destination when it is tried again.
        send(&mut copies, now, elsewhere, 2, &dropped);
        assert_eq!((received(&other), received(&other)), (vec![0; 20], vec![1; 20]));
        assert_eq!(copies.batches[1].uncut_until, None);
        send(&mut copies, now, to, 2, &dropped);
        assert_eq!((received(&socket), received(&socket)), (vec![0; 20], vec![1; 20]));
        assert_eq!(dropped.get(), 0);
    }

    #[test]
    fn what_the_system_forbids_is_dropped_and_changes_nothing_else() {
        let (now, dropped) = (Instant::now(), Counter::default());
        // Broadcast needs a socket option that is not set.
        let forbidden = SocketAddr::from(([255, 255, 255, 255], 4000));
        let mut copies = CopySender::default();
        send(&mut copies, now, forbidden, 3, &dropped);
        assert_eq!((dropped.get(), copies.batches[0].uncut_until), (3, None));
        let (socket, to) = receiver("127.0.0.1");
        send(&mut copies, now, to, 2, &dropped);
        assert_eq!((received(&socket), received(&socket)), (vec![0; 20], vec![1; 20]));
        assert_eq!((dropped.get(), copies.batches[1].uncut_until), (3, None));
    }

    #[test]
    fn more_places_than_batches_lose_nothing() {
        let (now, dropped) = (Instant::now(), Counter::default());
        let places: Vec<_> = (0..COPY_DESTINATIONS + 3).map(|_| receiver("127.0.0.1")).collect();
        let mut copies = CopySender::default();
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
