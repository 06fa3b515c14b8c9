//! What a service manager is told (sd_notify(3), `Type=notify`): ready, reloading, stopping, still alive.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// The way to the service manager; without one nothing is sent.
#[derive(Debug)]
pub struct Notify {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Notify {
    /// As `$NOTIFY_SOCKET` and `$WATCHDOG_USEC` say.
    pub fn from_environment() -> Notify {
        let address = std::env::var_os("NOTIFY_SOCKET").and_then(|path| match path.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name).ok(),
            _ => SocketAddr::from_pathname(path).ok(),
        });
        // One that does not listen must not hold up signals.
        let socket = || UnixDatagram::unbound().ok().filter(|socket| socket.set_nonblocking(true).is_ok());
        let socket = address.and_then(|address| Some((socket()?, address)));
        let microseconds = std::env::var("WATCHDOG_USEC").ok().and_then(|text| text.parse::<u64>().ok());
        let watchdog = microseconds.filter(|time| *time > 0 && socket.is_some()).map(Duration::from_micros);
        Notify { socket, watchdog }
    }

    /// It takes calls; `status` is what `systemctl status` shows. Ends [`reloading`](Self::reloading).
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={status}"));
    }

    /// The configuration is being read again. The time is what `Type=notify-reload` tells this reload from another by.
    pub fn reloading(&self) {
        let clock = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}", clock.as_micros()));
    }

    /// It ends, within this time at most: the unit's own limit (`TimeoutStopSec=`) is extended where it is shorter.
    pub fn stopping(&self, status: &str, within: Duration) {
        self.send(&format!("STOPPING=1\nSTATUS={status}\nEXTEND_TIMEOUT_USEC={}", within.as_micros()));
    }

    /// Feeds the watchdog.
    pub fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    /// A service manager that does not listen is no reason to stop.
    fn send(&self, state: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(state.as_bytes(), address)
        {
            tracing::warn!("cannot notify the service manager of {state:?}: {error}");
        }
    }

    /// How often it wants to hear that we are alive: twice in its limit. `None`: it does not watch.
    pub fn interval(&self) -> Option<Duration> {
        self.watchdog.map(|limit| limit / 2)
    }
}
