//! Connector thread: DNS, TCP, TLS and WebSocket handshakes of agents run here, not on the threads that relay media. An
//! established connection is handed to the session's worker.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use trunkgate_media::{Counter, EndId, MediaId, SocketSpec};

use super::agent_connect::{AgentEndpoint, AgentFault, OpenSocket, find};
use super::port_set::WorkerWaker;
use crate::own_sockets::OwnSockets;

/// Identifies an agent's socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AgentConnectionId {
    pub(super) session: MediaId,
    pub(super) end: EndId,
    /// Serial number that distinguishes the socket from earlier ones of the same end.
    pub(super) serial: u64,
}

/// Successful result of a connection attempt.
#[derive(Debug)]
pub(super) enum ConnectOutcome {
    /// Open WebSocket.
    Socket(Box<OpenSocket>),
    /// Destination of copies by plain RTP, which need no connection.
    Copies(SocketAddr),
    /// Intermediate result: the connection is established, but the handshake has no response yet.
    Unanswered,
}

/// Time without a response to the handshake after which the call is notified, so that a failover has a known reason.
const UNANSWERED_AFTER: Duration = Duration::from_millis(500);

/// Result of a connection attempt.
pub(super) type ConnectResult = (AgentConnectionId, Result<ConnectOutcome, AgentFault>);

/// Connector thread; dropping it ends the thread and all attempts.
#[derive(Debug)]
pub(super) struct AgentConnector {
    handle: Handle,
    own: watch::Receiver<OwnSockets>,
    _until_dropped: oneshot::Sender<()>,
}

impl AgentConnector {
    /// Starts the thread; sockets in `own` are never connected to.
    pub(super) fn start(own: watch::Receiver<OwnSockets>) -> io::Result<AgentConnector> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (sender, dropped) = oneshot::channel::<()>();
        std::thread::Builder::new().name("agents".to_owned()).spawn(move || {
            // Nothing is sent: the thread waits for the sender to be dropped.
            let _ = runtime.block_on(dropped);
            // A DNS lookup may block a thread for longer than the shutdown may wait.
            runtime.shutdown_background();
        })?;
        Ok(AgentConnector { handle, own, _until_dropped: sender })
    }

    /// Returns a worker's handle to the connector; results are sent to `inbox`, and `bell` wakes the worker.
    pub(super) fn way_in(&self, inbox: mpsc::UnboundedSender<ConnectResult>, bell: WorkerWaker) -> ConnectorHandle {
        ConnectorHandle { handle: self.handle.clone(), own: self.own.clone(), inbox, bell }
    }
}

/// A worker's access to the connector.
#[derive(Debug)]
pub(super) struct ConnectorHandle {
    handle: Handle,
    own: watch::Receiver<OwnSockets>,
    inbox: mpsc::UnboundedSender<ConnectResult>,
    bell: WorkerWaker,
}

impl ConnectorHandle {
    /// Starts a connection attempt; `held` counts the bytes that the whole edge holds for agents.
    pub(super) fn begin(&self, name: AgentConnectionId, spec: SocketSpec, held: Arc<Counter>) -> ConnectAttempt {
        let (inbox, bell, own) = (self.inbox.clone(), self.bell.clone(), self.own.clone());
        let task = self.handle.spawn(async move {
            let unanswered = || {
                let _ = inbox.send((name, Ok(ConnectOutcome::Unanswered)));
                bell.ring();
            };
            let reached = reach(&spec, &own, held, unanswered).await;
            // The worker may have ended.
            let _ = inbox.send((name, reached));
            bell.ring();
        });
        ConnectAttempt(task.abort_handle())
    }
}

async fn reach(
    spec: &SocketSpec,
    own: &watch::Receiver<OwnSockets>,
    held: Arc<Counter>,
    unanswered: impl FnOnce(),
) -> Result<ConnectOutcome, AgentFault> {
    if spec.url.starts_with("rtp:") {
        return find(spec, own).await.map(ConnectOutcome::Copies);
    }
    let target = AgentEndpoint::new(spec)?.led_by(own);
    let tcp = target.connect(spec, own).await?;
    let mut opened = pin!(target.open(spec, tcp, held));
    let socket = match tokio::time::timeout(UNANSWERED_AFTER, &mut opened).await {
        Ok(opened) => opened?,
        Err(_) => {
            unanswered();
            opened.await?
        }
    };
    Ok(ConnectOutcome::Socket(Box::new(socket)))
}

/// Connection attempt; dropping it cancels the attempt.
#[derive(Debug)]
pub(super) struct ConnectAttempt(AbortHandle);

impl Drop for ConnectAttempt {
    fn drop(&mut self) {
        self.0.abort();
    }
}
