//! ICMP errors of a media socket (ip(7), IP_RECVERR). The number of datagrams dropped because they were not read in
//! time (socket(7), SO_RXQ_OVFL) is returned with a packet, on request.

use std::io::IoSliceMut;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};
use trunkgate_media::IcmpError;

use crate::transport::is_about_size;

/// Maximum number of errors read at once; further ones are read in the next turn.
const ERRORS_PER_TURN: usize = 16;

/// ICMPv4 type "destination unreachable" (RFC 792).
const UNREACHABLE_V4: u8 = 3;

/// Returns a buffer for the control messages of one packet or error.
pub(super) fn room() -> Vec<u8> {
    nix::cmsg_space!([u8; 256])
}

/// Reads the errors in the socket's queue, where they would use memory reserved for packets; calls `tell` with the
/// destination and kind of each, except for errors that only concern the size.
pub(super) fn unreachable(socket: &UdpSocket, control: &mut [u8], mut tell: impl FnMut(SocketAddr, IcmpError)) {
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    for _ in 0..ERRORS_PER_TURN {
        let mut quoted = [0; 1];
        let mut parts = [IoSliceMut::new(&mut quoted)];
        let Ok(entry) = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(control), flags) else { break };
        let messages: Vec<ControlMessageOwned> = entry.cmsgs().into_iter().flatten().collect();
        let about_size = messages.iter().any(is_about_size);
        if let Some(to) = entry.address.and_then(socket_address).filter(|_| !about_size) {
            tell(to, messages.iter().find_map(undelivered).unwrap_or(IcmpError::Port));
        }
    }
}

/// Classifies an ICMP error: destination unreachable (RFC 792, RFC 1812 §5.2.7.1; RFC 4443 §3.1).
fn undelivered(message: &ControlMessageOwned) -> Option<IcmpError> {
    if let ControlMessageOwned::Ipv4RecvErr(error, _) = message {
        // Local failures, such as a failed address resolution (ARP), are reported with the same codes.
        return Some(if error.ee_errno == Errno::EHOSTUNREACH as u32 && error.ee_type != UNREACHABLE_V4 {
            IcmpError::Host
        } else {
            of_v4(error.ee_code)
        });
    }
    if let ControlMessageOwned::Ipv6RecvErr(error, _) = message {
        return Some(of_v6(error.ee_code));
    }
    None
}

/// Classifies an ICMPv4 code (RFC 792, RFC 1812 §5.2.7.1).
const fn of_v4(code: u8) -> IcmpError {
    match code {
        0 | 5 | 6 | 8 | 11 => IcmpError::Network,
        1 | 7 | 12 => IcmpError::Host,
        9 | 10 | 13 => IcmpError::Forbidden,
        _ => IcmpError::Port,
    }
}

/// Classifies an ICMPv6 code (RFC 4443 §3.1).
const fn of_v6(code: u8) -> IcmpError {
    match code {
        0 | 2 => IcmpError::Network,
        1 | 5 | 6 => IcmpError::Forbidden,
        3 => IcmpError::Host,
        _ => IcmpError::Port,
    }
}

fn socket_address(address: SockaddrStorage) -> Option<SocketAddr> {
    let four = address.as_sockaddr_in().map(|four| SocketAddr::from(std::net::SocketAddrV4::from(*four)));
    four.or_else(|| address.as_sockaddr_in6().map(|six| SocketAddr::from(std::net::SocketAddrV6::from(*six))))
}

#[cfg(test)]
mod tests {
    use nix::libc;

    use super::*;

    fn error(errno: Errno, of_type: u8, code: u8) -> libc::sock_extended_err {
        libc::sock_extended_err {
            ee_errno: errno as u32,
            ee_origin: 0,
            ee_type: of_type,
            ee_code: code,
            ee_pad: 0,
            ee_info: 0,
            ee_data: 0,
        }
    }

    #[test]
    fn codes_are_told_apart_in_both_families() {
        for (code, told) in [
            (0, IcmpError::Network),
            (1, IcmpError::Host),
            (3, IcmpError::Port),
            (9, IcmpError::Forbidden),
            (11, IcmpError::Network),
            (12, IcmpError::Host),
            (13, IcmpError::Forbidden),
        ] {
            let error = error(Errno::EHOSTUNREACH, UNREACHABLE_V4, code);
            assert_eq!(undelivered(&ControlMessageOwned::Ipv4RecvErr(error, None)), Some(told), "IPv4 {code}");
        }
        // An ARP failure has no ICMP code.
        let own = error(Errno::EHOSTUNREACH, 0, 0);
        assert_eq!(undelivered(&ControlMessageOwned::Ipv4RecvErr(own, None)), Some(IcmpError::Host));
        for (code, told) in [
            (0, IcmpError::Network),
            (1, IcmpError::Forbidden),
            (2, IcmpError::Network),
            (3, IcmpError::Host),
            (4, IcmpError::Port),
            (5, IcmpError::Forbidden),
            (6, IcmpError::Forbidden),
        ] {
            let error = error(Errno::EHOSTUNREACH, 1, code);
            assert_eq!(undelivered(&ControlMessageOwned::Ipv6RecvErr(error, None)), Some(told), "IPv6 {code}");
        }
    }

    #[test]
    fn a_closed_port_comes_back_by_ipv6() {
        let Ok(socket) = UdpSocket::bind("[::1]:0") else { return };
        nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::Ipv6RecvErr, &true).unwrap();
        let closed = UdpSocket::bind("[::1]:0").unwrap().local_addr().unwrap();
        socket.send_to(b"x", closed).unwrap();
        let mut told = Vec::new();
        // On loopback the error arrives before the send returns.
        unreachable(&socket, &mut room(), |to, how| told.push((to, how)));
        assert_eq!(told, [(closed, IcmpError::Port)]);
    }
}
