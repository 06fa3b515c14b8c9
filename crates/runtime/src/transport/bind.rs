//! Sockets bound at the start, before any loop runs: all or none. An error names the line of the configuration.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, SockAddr, Type};
use trunkgate_route::Transport;

use super::describe;
use trunkgate_config::{AcmeSettings, ApiSettings, HttpSettings, ListenSettings};
use trunkgate_system::limits;

/// Maximum number of connections that wait in a listening socket to be accepted.
const BACKLOG: i32 = 1024;

/// Bound listener.
#[derive(Debug)]
pub struct BoundSocket {
    /// Name of the listener.
    pub name: String,
    /// Transport of the listener.
    pub transport: Transport,
    /// Local address with the actual port.
    pub address: SocketAddr,
    pub(super) socket: ListenerSocket,
}

impl BoundSocket {
    /// Returns a second descriptor of the socket, for a successor of this process.
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn duplicate(&self) -> io::Result<OwnedFd> {
        match &self.socket {
            ListenerSocket::Udp(socket) => Ok(socket.try_clone()?.into()),
            ListenerSocket::Stream(socket) => Ok(socket.try_clone()?.into()),
        }
    }

    /// Returns the listener of a configuration with a socket that the predecessor of this process has bound.
    ///
    /// # Errors
    /// Returns an error if the descriptor is not a bound socket.
    pub fn received(listener: &ListenSettings, descriptor: OwnedFd) -> io::Result<BoundSocket> {
        let socket = match listener.transport {
            Transport::Udp => ListenerSocket::Udp(UdpSocket::from(descriptor)),
            Transport::Tcp | Transport::Tls => ListenerSocket::Stream(TcpListener::from(descriptor)),
        };
        BoundSocket::of(listener, socket)
    }

    fn of(listener: &ListenSettings, socket: ListenerSocket) -> io::Result<BoundSocket> {
        let address = match &socket {
            ListenerSocket::Udp(socket) => socket.local_addr(),
            ListenerSocket::Stream(socket) => socket.local_addr(),
        }?;
        Ok(BoundSocket { name: listener.name.clone(), transport: listener.transport, address, socket })
    }
}

#[derive(Debug)]
pub(super) enum ListenerSocket {
    Udp(UdpSocket),
    Stream(TcpListener),
}

/// Address that cannot be bound.
#[derive(Debug)]
pub struct BindError {
    /// Description, for example ``listener `outside`: udp 0.0.0.0:5060``.
    pub what: String,
    /// Position in the configuration as `file:line:column`; empty for an address that is a default.
    pub place: String,
    /// Error of the system.
    pub error: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error[TG0201]: {} cannot be bound: {}", self.what, self.error)?;
        if !self.place.is_empty() {
            writeln!(f, "  --> {}", self.place)?;
        }
        let helps = [
            (
                io::ErrorKind::AddrInUse,
                "another program, or an edge that runs already, uses it (`ss -lnptu`): stop that one, or choose another port (0: any free port)",
            ),
            (io::ErrorKind::AddrNotAvailable, "this machine does not have this address: see `ip address`"),
            (io::ErrorKind::PermissionDenied, "ports below 1024 need CAP_NET_BIND_SERVICE"),
        ];
        let help = helps.iter().find(|(kind, _)| *kind == self.error.kind());
        write!(f, "   = help: {}", help.map_or("choose another address", |(_, help)| help))
    }
}

impl std::error::Error for BindError {}

/// Binds all listeners of the configuration.
/// # Errors
/// Returns the first address that cannot be bound; the sockets bound before are closed again.
/// Returns the first address that cannot be bound; the others are closed again.
pub fn bind(listen: &[ListenSettings]) -> Result<Vec<BoundSocket>, BindError> {
    let mut all: Vec<BoundSocket> = Vec::new();
    for listener in listen {
        let failed = |error| BindError { what: describe(listener), place: listener.place.clone(), error };
        let socket = match free_port_of_twin(listener, &all) {
            Some(twin) => open(listener.transport, twin).or_else(|_| open(listener.transport, listener.address)),
            None => open(listener.transport, listener.address),
        }
        .map_err(failed)?;
        all.push(BoundSocket::of(listener, socket).map_err(failed)?);
    }
    Ok(all)
}

/// Binds the HTTP address.
///
/// # Errors
/// Returns the system's error.
pub fn bind_http(http: &HttpSettings) -> Result<TcpListener, BindError> {
    stream_socket(http.address).map_err(|error| BindError {
        what: format!("[http] address {}", http.address),
        place: http.place.clone(),
        error,
    })
}

/// Binds the address of `[api] tls`, if configured.
///
/// # Errors
/// Returns the system's error.
pub fn bind_api(api: &ApiSettings) -> Result<Option<TcpListener>, BindError> {
    let Some(address) = api.open_tls() else { return Ok(None) };
    let failed = |error| BindError { what: format!("[api] tls {address}"), place: String::new(), error };
    stream_socket(address).map(Some).map_err(failed)
}

/// Binds the challenge address of `[tls] acme`, if configured.
///
/// # Errors
/// Returns the system's error.
pub fn bind_challenge(acme: Option<&AcmeSettings>) -> Result<Option<TcpListener>, BindError> {
    let Some(address) = acme.map(|acme| acme.challenge_address) else { return Ok(None) };
    let what = || format!("[tls] acme challenge_address {address}");
    stream_socket(address).map(Some).map_err(|error| BindError { what: what(), place: String::new(), error })
}

/// Returns the address for a listener on port 0 if its twin is already bound: UDP and TCP on one address should have
/// the same port (RFC 3261 §18.2.1), so the twin's port is tried first.
fn free_port_of_twin(listener: &ListenSettings, bound: &[BoundSocket]) -> Option<SocketAddr> {
    let shares = |transport| transport != Transport::Tls;
    if listener.address.port() != 0 || !shares(listener.transport) {
        return None;
    }
    bound
        .iter()
        .filter(|b| shares(b.transport) && b.transport != listener.transport)
        .find(|b| b.address.ip() == listener.address.ip())
        .map(|b| b.address)
}

fn open(transport: Transport, address: SocketAddr) -> io::Result<ListenerSocket> {
    match transport {
        Transport::Udp => datagram_socket(address).map(ListenerSocket::Udp),
        Transport::Tcp | Transport::Tls => stream_socket(address).map(ListenerSocket::Stream),
    }
}

/// Creates a UDP socket that reports ICMP errors.
pub fn datagram_socket(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
        setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
    } else {
        setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
    }
    // Best effort: receive timestamps and the number of dropped datagrams.
    let _ = setsockopt(&socket, sockopt::ReceiveTimestampns, &true);
    let _ = setsockopt(&socket, sockopt::RxqOvfl, &1);
    // Best effort: the system caps the buffers at net.core.rmem_max and wmem_max, unless the process has the privilege
    // to exceed them.
    if setsockopt(&socket, sockopt::RcvBufForce, &limits::UDP_BUFFER_BYTES).is_err() {
        let _ = socket.set_recv_buffer_size(limits::UDP_BUFFER_BYTES);
    }
    let _ = socket.set_send_buffer_size(limits::UDP_BUFFER_BYTES);
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(address))?;
    Ok(socket.into())
}

fn stream_socket(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Otherwise a restart would have to wait until the previous process's connections leave TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(transport: Transport, address: SocketAddr) -> ListenSettings {
        ListenSettings {
            name: "outside".into(),
            transport,
            address,
            public_address: vec![],
            tls: None,
            place: "t.toml:3:11".into(),
        }
    }

    #[test]
    fn any_free_port_is_shared_by_udp_and_tcp_of_one_address() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let bound = bind(&[listen(Transport::Udp, any), listen(Transport::Tcp, any)]).unwrap();
        assert_ne!(bound[0].address.port(), 0);
        assert_eq!(bound[0].address.ip(), bound[1].address.ip());
    }

    #[test]
    fn a_taken_port_is_named_with_its_place() {
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let error = bind(&[listen(Transport::Udp, taken.local_addr().unwrap())]).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("error[TG0201]: listener `outside`: udp 127.0.0.1:"), "{text}");
        assert!(text.contains("Address already in use"), "{text}");
        assert!(text.contains("\n  --> t.toml:3:11\n"), "{text}");
    }
}
