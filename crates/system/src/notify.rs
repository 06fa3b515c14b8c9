//! State notifications to a service manager (sd_notify(3), `Type=notify`): ready, reloading, stopping, watchdog.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Variable that names the socket of the service manager.
pub const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// Connection to the service manager. Without a service manager nothing is sent.
#[derive(Debug)]
pub struct SystemdNotifier {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl SystemdNotifier {
    /// Creates the connection to the socket in `$NOTIFY_SOCKET`, with the watchdog limit of `$WATCHDOG_USEC`.
    pub fn from_environment() -> SystemdNotifier {
        let address = std::env::var_os(NOTIFY_SOCKET).and_then(|path| match path.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name).ok(),
            _ => SocketAddr::from_pathname(path).ok(),
        });
        // Sending must not block signalling if the service manager does not read.
        let socket = || UnixDatagram::unbound().ok().filter(|socket| socket.set_nonblocking(true).is_ok());
        let socket = address.and_then(|address| Some((socket()?, address)));
        let microseconds = std::env::var("WATCHDOG_USEC").ok().and_then(|text| text.parse::<u64>().ok());
        let watchdog = microseconds.filter(|time| *time > 0 && socket.is_some()).map(Duration::from_micros);
        SystemdNotifier { socket, watchdog }
    }

    /// Reports that calls are accepted; `systemctl status` shows `status`. Also ends [`reloading`](Self::reloading).
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={status}"));
    }

    /// Reports that the configuration is being reloaded, with the monotonic time that `Type=notify-reload` requires.
    pub fn reloading(&self) {
        let clock = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}", clock.as_micros()));
    }

    /// Reports a shutdown that takes up to this time, and extends the unit's own limit (`TimeoutStopSec=`) if that is
    /// shorter.
    pub fn stopping(&self, status: &str, within: Duration) {
        self.send(&format!("STOPPING=1\nSTATUS={status}\nEXTEND_TIMEOUT_USEC={}", within.as_micros()));
    }

    /// Reports that process `pid` continues the service; returns false if there is no service manager.
    pub fn main_process(&self, pid: u32) -> bool {
        self.send(&format!("MAINPID={pid}"));
        self.socket.is_some()
    }

    /// Forwards a notification of another process unchanged.
    pub fn pass_on(&self, notification: &str) {
        self.send(notification);
    }

    /// Sends a keep-alive to the service manager's watchdog.
    pub fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    /// Sends a notification; a failure is only logged.
    fn send(&self, state: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(state.as_bytes(), address)
        {
            tracing::warn!("the service manager was not notified of {state:?} and may restart the edge: {error}");
        }
    }

    /// Returns the interval for keep-alives, half of the watchdog's limit; `None` without a watchdog.
    pub fn interval(&self) -> Option<Duration> {
        self.watchdog.map(|limit| limit / 2)
    }
}
