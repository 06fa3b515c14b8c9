//! The thread that reaches agents: names, TCP, TLS and the WebSocket handshake wait there and not where media is relayed.
//! What has been reached goes to the session's worker, which has it from then on.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use trunkgate_media::{Counter, EndId, MediaId, SocketSpec};

use super::agent_connect::{Fault, OpenSocket, Target, find};
use super::port_set::Bell;
use crate::own_sockets::OwnSockets;

/// Whose socket it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) session: MediaId,
    pub(super) end: EndId,
    /// Tells it from an earlier socket of the same end.
    pub(super) serial: u64,
}

/// What there is at the end of the way.
#[derive(Debug)]
pub(super) enum Reached {
    /// An open socket.
    Socket(Box<OpenSocket>),
    /// Nothing to open: the address for copies.
    Copies(SocketAddr),
    /// A connection whose handshake is not answered yet; more news follow.
    Unanswered,
}

/// After so long without an answer to the handshake the call is informed: where it has to go on then, it is known why.
const UNANSWERED_AFTER: Duration = Duration::from_millis(500);

/// What the way came to.
pub(super) type News = (Name, Result<Reached, Fault>);

/// The thread. It ends when this is dropped; ways that somebody is still on end with it.
#[derive(Debug)]
pub(super) struct Connector {
    handle: Handle,
    own: watch::Receiver<OwnSockets>,
    _until_dropped: oneshot::Sender<()>,
}

impl Connector {
    /// Starts it; no way leads to a socket in `own`.
    pub(super) fn start(own: watch::Receiver<OwnSockets>) -> io::Result<Connector> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (sender, dropped) = oneshot::channel::<()>();
        std::thread::Builder::new().name("agents".to_owned()).spawn(move || {
            // Nothing is sent: it is the end that is waited for.
            let _ = runtime.block_on(dropped);
            // A look-up may take a thread for longer than anybody waits.
            runtime.shutdown_background();
        })?;
        Ok(Connector { handle, own, _until_dropped: sender })
    }

    /// One worker's access to it; news come by `inbox`, and `bell` rings for them.
    pub(super) fn way_in(&self, inbox: mpsc::UnboundedSender<News>, bell: Bell) -> WayIn {
        WayIn { handle: self.handle.clone(), own: self.own.clone(), inbox, bell }
    }
}

/// How a worker asks for agents.
#[derive(Debug)]
pub(super) struct WayIn {
    handle: Handle,
    own: watch::Receiver<OwnSockets>,
    inbox: mpsc::UnboundedSender<News>,
    bell: Bell,
}

impl WayIn {
    /// Begins to reach an agent; `held`: what the whole edge holds of agents, in bytes.
    pub(super) fn begin(&self, name: Name, spec: SocketSpec, held: Arc<Counter>) -> UnderWay {
        let (inbox, bell, own) = (self.inbox.clone(), self.bell.clone(), self.own.clone());
        let task = self.handle.spawn(async move {
            let unanswered = || {
                let _ = inbox.send((name, Ok(Reached::Unanswered)));
                bell.ring();
            };
            let reached = reach(&spec, &own, held, unanswered).await;
            // A worker that is gone hears nothing.
            let _ = inbox.send((name, reached));
            bell.ring();
        });
        UnderWay(task.abort_handle())
    }
}

async fn reach(
    spec: &SocketSpec,
    own: &watch::Receiver<OwnSockets>,
    held: Arc<Counter>,
    unanswered: impl FnOnce(),
) -> Result<Reached, Fault> {
    if spec.url.starts_with("rtp:") {
        return find(spec, own).await.map(Reached::Copies);
    }
    let target = Target::new(spec)?.led_by(own);
    let tcp = target.connect(spec, own).await?;
    let mut opened = pin!(target.open(spec, tcp, held));
    let socket = match tokio::time::timeout(UNANSWERED_AFTER, &mut opened).await {
        Ok(opened) => opened?,
        Err(_) => {
            unanswered();
            opened.await?
        }
    };
    Ok(Reached::Socket(Box::new(socket)))
}

/// An agent that is being reached; given up when dropped.
#[derive(Debug)]
pub(super) struct UnderWay(AbortHandle);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.abort();
    }
}
