//! What the system tells of a media socket beside its packets: ICMP errors (ip(7), IP_RECVERR), and how many datagrams it
//! has dropped because nobody read them in time (socket(7), SO_RXQ_OVFL).

use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};

use crate::transport::{is_about_size, socket_address};

/// Errors read at once; more wait for the next turn.
const ERRORS_PER_TURN: usize = 16;

/// Room for both.
pub(super) fn room() -> Vec<u8> {
    nix::cmsg_space!([u8; 256])
}

/// One packet: its length, where it is from, and how many were dropped since the socket was bound, if any.
pub(super) fn receive(
    socket: &UdpSocket,
    buffer: &mut [u8],
    control: &mut [u8],
) -> io::Result<(usize, SocketAddr, Option<u32>)> {
    let mut parts = [IoSliceMut::new(buffer)];
    let received = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(control), MsgFlags::MSG_DONTWAIT)?;
    let source = received.address.as_ref().and_then(socket_address).ok_or(ErrorKind::InvalidData)?;
    let mut dropped = None;
    for message in received.cmsgs().into_iter().flatten() {
        if let ControlMessageOwned::RxqOvfl(count) = message {
            dropped = Some(count);
        }
    }
    Ok((received.bytes, source, dropped))
}

/// Takes errors out of the socket's queue, where they would take the room of packets; how many of them were more than a
/// remark about the size of a datagram.
pub(super) fn unreachable(socket: &UdpSocket, control: &mut [u8]) -> u64 {
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let mut errors = 0;
    for _ in 0..ERRORS_PER_TURN {
        let mut quoted = [0; 1];
        let mut parts = [IoSliceMut::new(&mut quoted)];
        let Ok(entry) = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(control), flags) else { break };
        let about_size = entry.cmsgs().is_ok_and(|mut all| all.any(|message| is_about_size(&message)));
        errors += u64::from(!about_size);
    }
    errors
}
