//! What the system tells of a media socket beside its packets: ICMP errors (ip(7), IP_RECVERR). How many datagrams it has
//! dropped because nobody read them in time (socket(7), SO_RXQ_OVFL) comes with a packet, where that is asked for.

use std::io::IoSliceMut;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use nix::sys::socket::{MsgFlags, SockaddrStorage, recvmsg};

use crate::transport::is_about_size;

/// Errors read at once; more wait for the next turn.
const ERRORS_PER_TURN: usize = 16;

/// Room for what comes beside a packet or an error.
pub(super) fn room() -> Vec<u8> {
    nix::cmsg_space!([u8; 256])
}

/// Takes errors out of the socket's queue, where they would take the room of packets; tells of each that was more than a
/// remark about the size of a datagram where that was sent to.
pub(super) fn unreachable(socket: &UdpSocket, control: &mut [u8], mut tell: impl FnMut(SocketAddr)) {
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    for _ in 0..ERRORS_PER_TURN {
        let mut quoted = [0; 1];
        let mut parts = [IoSliceMut::new(&mut quoted)];
        let Ok(entry) = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(control), flags) else { break };
        let about_size = entry.cmsgs().is_ok_and(|mut all| all.any(|message| is_about_size(&message)));
        let to = entry.address.and_then(socket_address).filter(|_| !about_size);
        to.into_iter().for_each(&mut tell);
    }
}

fn socket_address(address: SockaddrStorage) -> Option<SocketAddr> {
    let four = address.as_sockaddr_in().map(|four| SocketAddr::from(std::net::SocketAddrV4::from(*four)));
    four.or_else(|| address.as_sockaddr_in6().map(|six| SocketAddr::from(std::net::SocketAddrV6::from(*six))))
}
