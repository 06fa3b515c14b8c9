//! What the system tells of a media socket beside its packets: ICMP errors (ip(7), IP_RECVERR). How many datagrams it has
//! dropped because nobody read them in time (socket(7), SO_RXQ_OVFL) comes with a packet, where that is asked for.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};
use trunkgate_media::{Undelivered, Unsent};

use crate::transport::is_about_size;

/// Errors read at once; more wait for the next turn.
const ERRORS_PER_TURN: usize = 16;

/// ICMP type of destination unreachable.
const UNREACHABLE_V4: u8 = 3;

/// Room for what comes beside a packet or an error.
pub(super) fn room() -> Vec<u8> {
    nix::cmsg_space!([u8; 256])
}

/// Takes errors out of the socket's queue, where they would take the room of packets; tells of each that was more than a
/// remark about the size of a datagram where that was sent to.
pub(super) fn unreachable(socket: &UdpSocket, control: &mut [u8], mut tell: impl FnMut(SocketAddr, Undelivered)) {
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    for _ in 0..ERRORS_PER_TURN {
        let mut quoted = [0; 1];
        let mut parts = [IoSliceMut::new(&mut quoted)];
        let Ok(entry) = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(control), flags) else { break };
        let messages: Vec<ControlMessageOwned> = entry.cmsgs().into_iter().flatten().collect();
        let about_size = messages.iter().any(is_about_size);
        if let Some(to) = entry.address.and_then(socket_address).filter(|_| !about_size) {
            tell(to, messages.iter().find_map(undelivered).unwrap_or(Undelivered::Port));
        }
    }
}

/// Type and code of an ICMP error: destination unreachable (RFC 792, RFC 1812 §5.2.7.1; RFC 4443 §3.1).
fn undelivered(message: &ControlMessageOwned) -> Option<Undelivered> {
    let of_v4 = |code| match code {
        0 | 5 | 6 | 8 | 11 => Undelivered::Network,
        1 | 7 | 12 => Undelivered::Host,
        9 | 10 | 13 => Undelivered::Forbidden,
        _ => Undelivered::Port,
    };
    let of_v6 = |code| match code {
        0 | 2 => Undelivered::Network,
        1 | 5 | 6 => Undelivered::Forbidden,
        3 => Undelivered::Host,
        _ => Undelivered::Port,
    };
    if let ControlMessageOwned::Ipv4RecvErr(error, _) = message {
        // What this machine finds out by itself, as that nobody has the address (ARP), it tells in the same codes.
        return Some(if error.ee_errno == Errno::EHOSTUNREACH as u32 && error.ee_type != UNREACHABLE_V4 {
            Undelivered::Host
        } else {
            of_v4(error.ee_code)
        });
    }
    if let ControlMessageOwned::Ipv6RecvErr(error, _) = message {
        return Some(of_v6(error.ee_code));
    }
    None
}

/// Why the system did not send.
pub(crate) fn unsent(error: &io::Error) -> Unsent {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EPERM | Errno::EACCES) => Unsent::Forbidden,
        Some(Errno::ENETUNREACH | Errno::ENETDOWN | Errno::EHOSTUNREACH) => Unsent::NoRoute,
        Some(Errno::EINVAL | Errno::EADDRNOTAVAIL) => Unsent::NotFromThere,
        _ => Unsent::Other,
    }
}

fn socket_address(address: SockaddrStorage) -> Option<SocketAddr> {
    let four = address.as_sockaddr_in().map(|four| SocketAddr::from(std::net::SocketAddrV4::from(*four)));
    four.or_else(|| address.as_sockaddr_in6().map(|six| SocketAddr::from(std::net::SocketAddrV6::from(*six))))
}
