//! Media workers: threads without shared state. Each has its own epoll, sockets and sessions; a session stays on the
//! worker chosen for it (`placement`), and so do the sockets of its agents after the connector has opened them.
//!
//! Commands and events use unbounded channels, because signalling and media must never wait for each other. The
//! channels stay short: admission control limits the calls, a call sends a handful of commands, and a session reports
//! each event once.

mod agent_connect;
mod agent_intake;
mod agent_names;
mod agent_socket;
mod agent_stream;
mod agents;
mod connector;
mod control;
mod copies;
mod crossing;
mod deadlines;
mod gathering;
mod placement;
mod port_set;
mod priority;
mod sockets;
mod together;
mod trouble;
mod turn;
mod visit;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use agent_connect::AgentEndpoint;
use ipnet::IpNet;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rustc_hash::FxHashMap;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use trunkgate_call::socket_spec;
use trunkgate_media::agent::StreamLoss;
use trunkgate_media::{Counter, EndId, MediaCommand, MediaEvent, MediaId, SocketSpec, WorkerCounters};
use trunkgate_route::Agent;

use crate::own_sockets::OwnSockets;
use trunkgate_delivery::sinks::recordings::RecordingsHandle;
use trunkgate_system::limits;

pub use agent_names::keep as keep_agent_names;
use connector::AgentConnector;
pub use crossing::{CrossingAgent, CrossingRecorders, CrossingSession, ExpectedSession, ExportRequest, ExportedSlice};
use placement::Placement;
use port_set::{EndSockets, PortSet, WorkerWaker};
pub(crate) use priority::raise as raise_priority;
pub(crate) use together::next_tick;
use turn::{MediaWorker, WorkerCommand};
pub use visit::{AgentWebSocket, WebSocketEvent, WebSocketFailure};

/// Media workers of the edge.
#[derive(Debug)]
pub struct Workers {
    links: Vec<WorkerHandle>,
    counters: Vec<Arc<WorkerCounters>>,
    events: UnboundedSender<(MediaId, MediaEvent)>,
    placement: RefCell<Placement>,
    /// Sessions that another process will hand over and that have not arrived yet.
    expected: RefCell<FxHashMap<MediaId, ExpectedSession>>,
    /// Connector thread, kept alive as long as the workers.
    connector: AgentConnector,
}

/// Handle to one worker.
#[derive(Debug)]
struct WorkerHandle {
    orders: UnboundedSender<WorkerCommand>,
    bell: WorkerWaker,
    /// True if the worker has commands for which it was not woken yet.
    untold: Cell<bool>,
    thread: JoinHandle<()>,
}

impl Workers {
    /// Starts `threads` workers (0: one per core); their events are sent to the receiver. Raises the limit of open
    /// files as far as permitted, since each end has two sockets. Agents are never connected to sockets in `own`.
    ///
    /// # Errors
    /// Returns the system's error if a thread or an epoll cannot be created.
    pub fn start(
        threads: usize,
        own: watch::Receiver<OwnSockets>,
    ) -> std::io::Result<(Workers, UnboundedReceiver<(MediaId, MediaEvent)>)> {
        raise_open_files();
        let threads = match threads {
            0 => std::thread::available_parallelism()?.get(),
            threads => threads,
        };
        let (sender, events) = unbounded_channel();
        let connector = AgentConnector::start(own)?;
        let mut workers = Workers {
            links: Vec::new(),
            counters: Vec::new(),
            events: sender,
            placement: RefCell::new(Placement::new(threads)),
            expected: RefCell::default(),
            connector,
        };
        let held = Arc::new(Counter::default());
        for n in 0..threads {
            let counters = Arc::new(WorkerCounters::default());
            let events = workers.events.clone();
            workers.links.push(WorkerHandle::start(n, counters.clone(), held.clone(), events, &workers.connector)?);
            workers.counters.push(counters);
        }
        Ok((workers, events))
    }

    /// Sends a command to the session's worker and wakes it; never blocks. If the command adds an end, the result of
    /// binding its sockets is reported as an event.
    pub fn send(&self, id: MediaId, command: MediaCommand) {
        if let Some(event) = self.hand_over(id, command) {
            // The receiver may be gone, and then needs no event.
            let _ = self.events.send((id, event));
        }
        self.wake();
    }

    /// Sends a command to the session's worker without waking it, see [`Workers::wake`]; never blocks. If the command
    /// adds an end, binds its sockets and returns the event about that; otherwise `None`.
    ///
    /// The sockets are bound here, because the SIP message with their ports may be sent, and a packet arrive, before
    /// the worker's next turn.
    pub fn hand_over(&self, id: MediaId, command: MediaCommand) -> Option<MediaEvent> {
        let at = self.placement.borrow_mut().of(id, &command);
        if matches!(command, MediaCommand::Open { .. }) && self.expected.borrow().contains_key(&id) {
            self.tell(at, WorkerCommand::Expect(id));
        }
        let (order, event) = if let MediaCommand::AddEnd { end, spec } = command {
            if self.is_expected(id, end, spec.bind) {
                (WorkerCommand::KeptEnd(id, end, spec), Some(MediaEvent::Bound { end }))
            } else {
                match EndSockets::bind(spec.bind) {
                    Ok(sockets) => (WorkerCommand::AddEnd(id, end, spec, sockets), Some(MediaEvent::Bound { end })),
                    Err(error) => return Some(MediaEvent::BindFailed { end, error: error.to_string() }),
                }
            }
        } else {
            (WorkerCommand::Session(id, command), None)
        };
        self.tell(at, order);
        event
    }

    fn tell(&self, at: usize, order: WorkerCommand) {
        if !self.links.get(at).is_some_and(|link| link.tell(order)) {
            tracing::error!(worker = at, "a call has no audio, because its media worker has ended");
        }
    }

    /// Returns whether another process will hand over the sockets of this end with its session.
    fn is_expected(&self, id: MediaId, end: EndId, bind: SocketAddr) -> bool {
        self.expected.borrow().get(&id).is_some_and(|session| session.ends.contains(&(end, bind)))
    }

    /// Announces sessions that another process will hand over; required before commands for them.
    pub fn expect(&self, sessions: Vec<ExpectedSession>) {
        self.expected.borrow_mut().extend(sessions.into_iter().map(|session| (session.id, session)));
    }

    /// Passes sessions of another process to their workers. If the call of a session was not continued, its sockets are
    /// closed.
    pub fn adopt(&self, sessions: Vec<CrossingSession>) {
        for session in sessions {
            let id = session.snapshot.id;
            self.expected.borrow_mut().remove(&id);
            let at = self.placement.borrow().worker_of(id);
            if let Some(at) = at {
                self.tell(at, WorkerCommand::Adopt(Box::new(session)));
            }
        }
        self.wake();
    }

    /// Begins the announced sessions that did not arrive as new ones, with new sockets.
    pub fn expect_no_more(&self) {
        self.expected.borrow_mut().clear();
        (0..self.links.len()).for_each(|at| self.tell(at, WorkerCommand::ExpectNoMore));
        self.wake();
    }

    /// Lists all sessions; blocks until all workers have answered.
    pub fn list(&self) -> Vec<ExpectedSession> {
        let asked = |link: &WorkerHandle| link.ask(WorkerCommand::List).unwrap_or_default();
        self.links.iter().flat_map(asked).collect()
    }

    /// Removes sessions and returns them, with the number of those that remain; blocks until the workers have answered.
    /// All workers contribute, so that none stands still for long.
    pub fn export(&self, request: ExportRequest) -> ExportedSlice {
        let mut slice = ExportedSlice::default();
        for (at, link) in self.links.iter().enumerate() {
            let left = request.most.saturating_sub(slice.sessions.len());
            let wanted = ExportRequest { most: left.div_ceil(self.links.len() - at), ..request };
            let more = link.ask(|answer| WorkerCommand::Export(wanted, answer)).unwrap_or_default();
            slice.sessions.extend(more.sessions);
            slice.remaining += more.remaining;
        }
        slice
    }

    /// Sets the recording writer of all workers; required before the first recorded session.
    pub fn record_by(&self, recordings: &RecordingsHandle) {
        for link in &self.links {
            // A worker that has ended records nothing.
            let _ = link.tell(WorkerCommand::RecordBy(recordings.clone()));
        }
        self.wake();
    }

    /// Wakes the workers that have new commands, once each.
    pub fn wake(&self) {
        self.links.iter().for_each(WorkerHandle::wake);
    }

    /// Returns the counters of each worker.
    pub fn counters(&self) -> &[Arc<WorkerCounters>] {
        &self.counters
    }

    /// Ends the threads after their current turn and waits for them.
    pub fn stop(self) {
        for link in &self.links {
            // A worker that is gone has already stopped.
            link.tell(WorkerCommand::Stop);
            link.wake();
        }
        for link in self.links {
            if link.thread.join().is_err() {
                tracing::error!("a bug had ended a media worker: please report this with the log");
            }
        }
    }
}

impl WorkerHandle {
    /// Starts a worker: prepares everything that may fail, then starts the thread.
    fn start(
        n: usize,
        counters: Arc<WorkerCounters>,
        held: Arc<Counter>,
        events: UnboundedSender<(MediaId, MediaEvent)>,
        connector: &AgentConnector,
    ) -> std::io::Result<WorkerHandle> {
        let ports = PortSet::new()?;
        let ((orders, received), (inbox, news)) = (unbounded_channel(), unbounded_channel());
        let bell = ports.bell();
        let way_in = connector.way_in(inbox, bell.clone());
        let worker = MediaWorker::new(ports, counters, held, events, (way_in, news));
        let thread = std::thread::Builder::new().name(format!("media-{n}")).spawn(move || {
            let niceness = priority::raise();
            if n == 0 {
                priority::tell(&niceness);
            }
            worker.run(received);
        })?;
        Ok(WorkerHandle { orders, bell, untold: Cell::new(false), thread })
    }

    /// Queues a command; returns false if the worker has ended.
    fn tell(&self, order: WorkerCommand) -> bool {
        self.untold.set(true);
        self.orders.send(order).is_ok()
    }

    /// Sends a query, wakes the worker and blocks until its answer; `None` if the worker has ended.
    fn ask<T>(&self, query: impl FnOnce(SyncSender<T>) -> WorkerCommand) -> Option<T> {
        let (answer, answered) = sync_channel(1);
        self.tell(query(answer));
        self.wake();
        answered.recv().ok()
    }

    /// Wakes the worker if it has commands for which it was not woken yet.
    fn wake(&self) {
        if self.untold.take() {
            self.bell.ring();
        }
    }
}

/// Opens an agent's WebSocket and closes it again, to test the agent.
///
/// # Errors
/// Returns the reason why it cannot be opened.
pub async fn try_agent(agent: &Agent, local_networks: &[IpNet]) -> Result<(), (StreamLoss, String)> {
    let spec = socket_spec(agent, local_networks);
    let opened = async { AgentEndpoint::new(&spec)?.reach(&spec, &OwnSockets::none(), Arc::default()).await };
    let patience = Duration::from_secs(limits::AGENT_TRIAL_SECONDS).max(agent.connect_timeout);
    match tokio::time::timeout(patience, opened).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(fault)) if fault.detail.is_empty() => Err((fault.loss, fault.loss.to_string())),
        Ok(Err(fault)) => Err((fault.loss, format!("{}: {}", fault.loss, fault.detail))),
        Err(_) => Err((StreamLoss::ConnectTimeout, why_late(&spec, patience).await)),
    }
}

pub(crate) use trunkgate_call::agent_fix::NO_UPGRADE;

/// Returns the reason why an agent's WebSocket was not opened in time: the connection was not accepted, or the
/// handshake got no response. Tests this with a new connection.
pub async fn why_late(spec: &SocketSpec, waited: Duration) -> String {
    match accepts(spec).await {
        true => format!("not open in {} s: {NO_UPGRADE}", waited.as_secs()),
        false => format!("not connected in {} s", waited.as_secs()),
    }
}

/// Opens a connection to an agent's URL and closes it; returns whether it was accepted.
pub(crate) async fn accepts(spec: &SocketSpec) -> bool {
    let own = OwnSockets::none();
    tokio::time::timeout(Duration::from_secs(1), connects(spec, &own)).await.is_ok_and(|connected| connected.is_ok())
}

/// Connects to an agent's URL, and closes the connection at once.
///
/// # Errors
/// Returns the reason why there is no connection.
pub(crate) async fn connects(spec: &SocketSpec, own: &watch::Receiver<OwnSockets>) -> Result<(), WebSocketFailure> {
    let connected = async { AgentEndpoint::new(spec)?.connect(spec, own).await };
    connected.await.map(drop).map_err(visit::failed)
}

/// Raises the soft limit of open files to the hard one.
fn raise_open_files() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(soft, hard)| if soft < hard { setrlimit(Resource::RLIMIT_NOFILE, hard, hard) } else { Ok(()) });
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files cannot be raised: with many calls sockets may fail; set LimitNOFILE (systemd)");
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, UdpSocket};
    use std::sync::atomic::{AtomicU32, Ordering};

    use trunkgate_media::{EndId, EndSpec, RemoteSpec, WireSpec};

    use super::*;

    /// Returns a free even port with a free successor, below the ephemeral range, in an order that differs between
    /// processes.
    pub(super) fn free_pair() -> SocketAddr {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        loop {
            let step = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(std::process::id().wrapping_mul(97));
            let port = 16_384 + (step % 8192) as u16 * 2;
            if UdpSocket::bind(("127.0.0.1", port)).is_ok() && UdpSocket::bind(("127.0.0.1", port + 1)).is_ok() {
                return SocketAddr::from(([127, 0, 0, 1], port));
            }
        }
    }

    #[test]
    fn the_limit_of_open_files_is_raised_to_the_hard_one() {
        raise_open_files();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(soft, hard);
    }

    #[test]
    fn a_packet_that_comes_before_the_worker_has_a_turn_is_relayed() {
        let (workers, _events) = Workers::start(1, OwnSockets::none()).unwrap();
        let (id, far) = (MediaId(0), UdpSocket::bind("127.0.0.1:0").unwrap());
        far.set_read_timeout(Some(Duration::from_secs(9))).unwrap();
        let ports: Vec<SocketAddr> = [EndId(0), EndId(1)].map(|_| free_pair()).into();
        workers.hand_over(id, MediaCommand::Open { idle_timeout_ms: 0, names_key: [0; 16], beside: None });
        for (end, bind) in [EndId(0), EndId(1)].into_iter().zip(ports.iter().copied()) {
            let spec = EndSpec { bind, counters: Arc::default() };
            assert_eq!(workers.hand_over(id, MediaCommand::AddEnd { end, spec }), Some(MediaEvent::Bound { end }));
        }
        // An INVITE with the port may have been answered by now, although the worker has not been woken.
        let packet = [0x80, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1];
        far.send_to(&packet, ports[0]).unwrap();
        let remote = RemoteSpec {
            rtp: Some(far.local_addr().unwrap()),
            expected: vec![far.local_addr().unwrap().ip()],
            may_send: true,
            may_receive: true,
            ..RemoteSpec::default()
        };
        for end in [EndId(0), EndId(1)] {
            workers.hand_over(id, MediaCommand::SetRemote { end, remote: remote.clone() });
        }
        let wire = WireSpec { payloads: vec![(0, 0)], ..WireSpec::default() };
        workers.send(id, MediaCommand::Wire { from: EndId(0), to: EndId(1), wire });
        let mut relayed = [0; 64];
        let (len, from) = far.recv_from(&mut relayed).unwrap();
        assert_eq!((len, from), (packet.len(), ports[1]));
        workers.stop();
    }

    #[test]
    fn a_session_stays_on_its_worker() {
        let (workers, mut events) = Workers::start(3, OwnSockets::none()).unwrap();
        let last = u64::from(placement::FILL) + 1;
        for id in 0..=last {
            workers.send(MediaId(id), MediaCommand::Open { idle_timeout_ms: 0, names_key: [0; 16], beside: None });
        }
        workers.send(MediaId(last), MediaCommand::Close);
        assert_eq!(events.blocking_recv(), Some((MediaId(last), MediaEvent::Closed)));
        let counters = workers.counters().to_vec();
        workers.stop();
        let sessions: Vec<u64> = counters.iter().map(|counters| counters.sessions.get()).collect();
        assert_eq!(sessions, [last - 1, 1, 0]);
        assert_eq!(events.blocking_recv(), None);
    }
}
