//! Socket at which the edge sends its notifications for a service manager (sd_notify(3)) to the keeper. They tell the
//! keeper when the edge accepts calls, and which process continues it after an upgrade; all but the latter are passed
//! on to the service manager of the keeper.

use std::ffi::OsString;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::net::UnixDatagram;

use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, UnixCredentials, bind, recvmsg,
    setsockopt, socket, sockopt,
};
use nix::unistd::Pid;
use trunkgate_system::notify::SystemdNotifier;

/// Maximum length of a notification, in bytes; the rest of a longer one is lost.
const MESSAGE_BYTES: usize = 4096;
/// Prefix of the line by which the edge announces its successor.
const MAIN_PROCESS: &str = "MAINPID=";

/// Line by which the edge announces that it accepts calls.
const READY: &str = "READY=1";

/// Announcements of the edge that concern the keeper.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Announcements {
    /// Process that continues the edge.
    pub(super) successor: Option<Pid>,
    /// Whether the edge accepts calls.
    pub(super) is_ready: bool,
}

/// Socket for the notifications of the edge.
#[derive(Debug)]
pub(super) struct AnnouncementSocket {
    socket: UnixDatagram,
    address: OsString,
    manager: SystemdNotifier,
}

impl AnnouncementSocket {
    /// Binds a socket to an unused abstract address, which needs no directory.
    ///
    /// # Errors
    /// Returns the system's error.
    pub(super) fn bind(manager: SystemdNotifier) -> io::Result<AnnouncementSocket> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
        setsockopt(&socket, sockopt::PassCred, &true)?;
        bind(socket.as_raw_fd(), &UnixAddr::new_unnamed())?;
        let socket = UnixDatagram::from(socket);
        let address = socket.local_addr()?;
        let name = address.as_abstract_name().ok_or(io::ErrorKind::AddrNotAvailable)?;
        let address = OsString::from_vec([b"@", name].concat());
        Ok(AnnouncementSocket { socket, address, manager })
    }

    /// Returns the socket's address in the form of [`NOTIFY_SOCKET`](trunkgate_system::notify::NOTIFY_SOCKET), for the
    /// environment of the edge.
    pub(super) fn address(&self) -> &OsString {
        &self.address
    }

    /// Returns the connection to the keeper's service manager.
    pub(super) fn manager(&self) -> &SystemdNotifier {
        &self.manager
    }

    /// Reads all waiting notifications, passes those of the edge on, except the announcement of a successor, and
    /// returns those that concern the keeper. Notifications of other processes are ignored.
    pub(super) fn read(&self, edge: Option<Pid>) -> Announcements {
        let Announcements { mut successor, mut is_ready } = Announcements::default();
        while let Ok((sender, message)) = self.receive() {
            // Other processes of the machine can send to the address too.
            if sender.is_none() || sender != successor.or(edge) {
                continue;
            }
            let (announced, others): (Vec<&str>, Vec<&str>) =
                message.lines().partition(|line| line.starts_with(MAIN_PROCESS));
            is_ready |= others.contains(&READY);
            if !others.is_empty() {
                self.manager.pass_on(&others.join("\n"));
            }
            let pid = announced.iter().find_map(|line| line.strip_prefix(MAIN_PROCESS)?.parse().ok());
            successor = pid.map(Pid::from_raw).or(successor);
        }
        Announcements { successor, is_ready }
    }

    /// Receives one notification, with the id of the process that sent it.
    fn receive(&self) -> nix::Result<(Option<Pid>, String)> {
        let mut bytes = [0; MESSAGE_BYTES];
        let mut credentials = nix::cmsg_space!(UnixCredentials);
        let mut buffers = [IoSliceMut::new(&mut bytes)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<UnixAddr>(self.socket.as_raw_fd(), &mut buffers, Some(&mut credentials), flags)?;
        let sender = message.cmsgs()?.find_map(|one| {
            let ControlMessageOwned::ScmCredentials(about) = one else { return None };
            Some(Pid::from_raw(about.pid()))
        });
        let len = message.bytes;
        Ok((sender, String::from_utf8_lossy(&bytes[..len]).into_owned()))
    }
}

impl AsFd for AnnouncementSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::SocketAddr;

    use super::*;

    #[test]
    fn only_the_edge_announces_its_successor() {
        let socket = AnnouncementSocket::bind(SystemdNotifier::from_environment()).unwrap();
        let own = Pid::this();
        let address = socket.address().clone().into_vec();
        let address = SocketAddr::from_abstract_name(&address[1..]).unwrap();
        let edge = UnixDatagram::unbound().unwrap();
        let send = |text: &str| edge.send_to_addr(text.as_bytes(), &address).unwrap();
        let none = Announcements::default();
        assert_eq!(socket.read(Some(own)), none);
        send("READY=1\nSTATUS=taking calls");
        assert_eq!(socket.read(Some(own)), Announcements { successor: None, is_ready: true });
        send("STATUS=taking calls");
        send("MAINPID=77");
        assert_eq!(socket.read(Some(own)), Announcements { successor: Some(Pid::from_raw(77)), is_ready: false });
        send("READY=1\nMAINPID=78");
        assert_eq!(socket.read(Some(Pid::parent())), none);
        send("MAINPID=79");
        assert_eq!(socket.read(None), none);
        send("MAINPID=x");
        assert_eq!(socket.read(Some(own)), none);
    }
}
