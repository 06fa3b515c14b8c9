//! Media workers, and phones on loopback as their remote parties.

#![allow(dead_code, clippy::unwrap_used, clippy::panic, reason = "each test file uses its part; a test may panic")]

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedReceiver;
use trunkgate_media::rtp::RtpHeader;
use trunkgate_media::{
    EndCounters, EndId, EndSpec, MediaCommand, MediaEvent, MediaId, RemoteSpec, WireSpec, WorkerCounters,
};
use trunkgate_runtime::own_sockets::OwnSockets;
use trunkgate_runtime::worker::Workers;

pub(crate) const A: EndId = EndId(0);
pub(crate) const B: EndId = EndId(1);
/// Timeout longer than any machine needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Rig {
    pub(crate) workers: Workers,
    pub(crate) events: UnboundedReceiver<(MediaId, MediaEvent)>,
}

/// End of a session at the edge, with its phone.
pub(crate) struct Side {
    /// Address of the end at the edge.
    pub(crate) edge: SocketAddr,
    pub(crate) rtp: UdpSocket,
    pub(crate) rtcp: UdpSocket,
    pub(crate) counters: Arc<EndCounters>,
}

pub(crate) fn phone(ip: IpAddr) -> UdpSocket {
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

pub(crate) fn received(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut bytes = [0; 2048];
    loop {
        let (len, source) = socket.recv_from(&mut bytes).unwrap();
        // Keep-alive packets, only a header, are skipped; they occur on a slow machine.
        if len != 12 {
            return (bytes[..len].to_vec(), source);
        }
    }
}

pub(crate) fn rtp(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut packet = Vec::new();
    let header = RtpHeader {
        marker: sequence == 0,
        payload_type: 0,
        sequence,
        timestamp: u32::from(sequence) * 160,
        ssrc,
        payload: 0..0,
    };
    let payload: Vec<u8> = (0..160).map(|n| (n as u16 ^ sequence) as u8).collect();
    header.build(&payload, &mut packet);
    packet
}

pub(crate) fn next_port(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port() + 1)
}

/// Returns the address of a free even port with a free successor: below the ephemeral range, in another order in each
/// process.
pub(crate) fn free_pair(ip: IpAddr) -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(std::process::id().wrapping_mul(97));
        let one = SocketAddr::new(ip, 16_384 + (step % 8192) as u16 * 2);
        if UdpSocket::bind(one).is_ok() && UdpSocket::bind(next_port(one)).is_ok() {
            return one;
        }
    }
}

/// Polls until `look` returns a value; defined here because this file belongs to several test binaries.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

impl Rig {
    pub(crate) fn new(threads: usize) -> Rig {
        let (workers, events) = Workers::start(threads, OwnSockets::none()).unwrap();
        Rig { workers, events }
    }

    pub(crate) fn event(&mut self) -> (MediaId, MediaEvent) {
        until("a worker has an event", || self.events.try_recv().ok())
    }

    /// Waits until a condition on the workers' counters holds.
    pub(crate) fn until(&self, what: &str, holds: impl Fn(&Workers) -> bool) {
        until(what, || holds(&self.workers).then_some(()));
    }

    /// Binds an end to free ports; retries because another process may take a free port first.
    pub(crate) fn bind(&mut self, id: MediaId, end: EndId, ip: IpAddr) -> (SocketAddr, Arc<EndCounters>) {
        for _ in 0..100 {
            let edge = free_pair(ip);
            let counters = Arc::new(EndCounters::default());
            let spec = EndSpec { bind: edge, counters: counters.clone() };
            self.workers.send(id, MediaCommand::AddEnd { end, spec });
            match self.event() {
                (told, MediaEvent::Bound { end: bound }) if (told, bound) == (id, end) => return (edge, counters),
                (_, MediaEvent::BindFailed { error, .. }) => assert!(error.contains("in use"), "{error}"),
                other => panic!("{other:?}"),
            }
        }
        panic!("no free ports");
    }

    /// Binds an end to ports that were closed just now.
    ///
    /// A process that another test spawns has a copy of every socket until its exec, so that a closed port may still be
    /// in use for a moment.
    pub(crate) fn bind_again(&mut self, id: MediaId, end: EndId, spec: &EndSpec) {
        until("the ports are free", || {
            self.workers.send(id, MediaCommand::AddEnd { end, spec: spec.clone() });
            let event = self.event();
            (!matches!(event, (_, MediaEvent::BindFailed { .. })))
                .then(|| assert_eq!(event, (id, MediaEvent::Bound { end })))
        });
    }

    pub(crate) fn side(&mut self, id: MediaId, end: EndId, ip: IpAddr) -> Side {
        let (edge, counters) = self.bind(id, end, ip);
        let side = Side { edge, rtp: phone(ip), rtcp: phone(ip), counters };
        let remote = RemoteSpec {
            rtp: side.rtp.local_addr().ok(),
            rtcp: side.rtcp.local_addr().ok(),
            expected: vec![ip],
            expected_networks: vec![],
            may_send: true,
            may_receive: true,
            relatch: true,
            watch_idle: true,
            ..RemoteSpec::default()
        };
        self.workers.send(id, MediaCommand::SetRemote { end, remote });
        side
    }

    /// Opens a session with both ends wired.
    pub(crate) fn call(&mut self, id: MediaId, ip: IpAddr) -> (Side, Side) {
        self.workers.send(id, MediaCommand::Open { idle_timeout_ms: 60_000, names_key: [0; 16], beside: None });
        let (a, b) = (self.side(id, A, ip), self.side(id, B, ip));
        for (from, to) in [(A, B), (B, A)] {
            let wire = WireSpec { payloads: vec![(0, 0)], clocks: vec![], ..WireSpec::default() };
            self.workers.send(id, MediaCommand::Wire { from, to, wire });
        }
        self.settle(id);
        (a, b)
    }

    /// Waits until the worker has processed all commands so far: it answers in order, so a command that it refuses is
    /// sent last.
    pub(crate) fn settle(&mut self, id: MediaId) {
        loop {
            let spec = EndSpec { bind: free_pair(IpAddr::from([127, 0, 0, 1])), counters: Arc::default() };
            self.workers.send(id, MediaCommand::AddEnd { end: A, spec });
            // If another process has taken the ports, the event is not the worker's response.
            if let (_, MediaEvent::Bound { end: A }) = self.event() {
                break;
            }
        }
        assert!(matches!(self.event(), (_, MediaEvent::BindFailed { end: A, .. })));
    }

    pub(crate) fn close(&mut self, id: MediaId, a: &Side, b: &Side) {
        self.workers.send(id, MediaCommand::Close);
        for (end, side) in [(A, a), (B, b)] {
            assert_eq!(self.event(), (id, MediaEvent::EndClosed { end, port: side.edge.port() }));
        }
        assert_eq!(self.event(), (id, MediaEvent::Closed));
    }

    pub(crate) fn gauge(&self, read: impl Fn(&WorkerCounters) -> u64) -> u64 {
        self.workers.counters().iter().map(|counters| read(counters)).sum()
    }
}
