//! WebSocket to an agent without a media worker, for tests of an agent and probes: opened, written and read by the same
//! code, but waited for by tokio instead of a worker's epoll.

use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Instant;

use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::sleep_until;
use trunkgate_media::SocketSpec;
use trunkgate_media::agent::{SocketMessage, StreamLoss};

use super::agent_connect::{AgentEndpoint, AgentFault};
use super::agent_socket::{AgentRead, AgentSocket, WebSocketMessage};
use super::port_set::SocketReadiness;
use crate::own_sockets::OwnSockets;

/// Open WebSocket.
pub struct AgentWebSocket {
    socket: AgentSocket,
    /// Duplicate of the connection's descriptor, by which tokio waits for readiness.
    watch: TcpStream,
    /// Earliest time of the next read if a rate limit prevented the last one.
    rests_until: Option<Instant>,
}

/// Message received on an agent's WebSocket.
pub enum WebSocketEvent {
    /// Text message.
    Text(String),
    /// Binary message with this many bytes.
    Binary(usize),
    /// Pong in response to a ping of the edge.
    Pong,
    /// Ping, which was already answered.
    Ping,
    /// Close frame with its code, if any, and its reason.
    Closed(Option<u16>, String),
}

/// Failure of a WebSocket: the reason as reported for a call, and details.
pub type WebSocketFailure = (StreamLoss, String);

pub(super) fn failed(AgentFault { loss, detail }: AgentFault) -> WebSocketFailure {
    (loss, detail)
}

impl AgentWebSocket {
    /// Connects to an agent and completes all handshakes, up to the response 101.
    ///
    /// # Errors
    /// Returns the failure.
    pub async fn open(
        spec: &SocketSpec,
        own: &watch::Receiver<OwnSockets>,
    ) -> Result<AgentWebSocket, WebSocketFailure> {
        let target = AgentEndpoint::new(spec).map_err(failed)?;
        let open = target.reach(spec, own, Arc::default()).await.map_err(failed)?;
        let watched = |error: io::Error| (StreamLoss::Unreachable, error.to_string());
        let watch = open.get_ref().get_ref().as_fd().try_clone_to_owned().map_err(watched)?;
        let watch = TcpStream::from_std(watch.into()).map_err(watched)?;
        Ok(AgentWebSocket { socket: AgentSocket::new(open), watch, rests_until: None })
    }

    /// Writes pending messages as far as the system accepts them.
    ///
    /// # Errors
    /// Returns the failure of the connection.
    pub fn write(&mut self, next: impl FnMut() -> Option<SocketMessage>) -> Result<(), WebSocketFailure> {
        // Clear the readiness before writing, so that later changes are signalled.
        self.forget(Interest::WRITABLE);
        self.socket.write(next).map_err(failed)
    }

    /// Returns the next message; `None` if none is available.
    ///
    /// # Errors
    /// Returns the failure of the connection.
    pub fn read(&mut self) -> Result<Option<WebSocketEvent>, WebSocketFailure> {
        if self.rests_until.take_if(|until| *until <= Instant::now()).is_some() {
            self.awake(true, false);
        }
        if self.rests_until.is_some() || !self.socket.is_readable() {
            return Ok(None);
        }
        self.forget(Interest::READABLE);
        match self.socket.read().map_err(failed)? {
            AgentRead::Said(WebSocketMessage::Text(text)) => Ok(Some(WebSocketEvent::Text(text.as_str().to_owned()))),
            AgentRead::Said(WebSocketMessage::Binary(bytes)) => Ok(Some(WebSocketEvent::Binary(bytes))),
            AgentRead::Said(WebSocketMessage::Pong) => Ok(Some(WebSocketEvent::Pong)),
            AgentRead::Said(WebSocketMessage::Ping) => Ok(Some(WebSocketEvent::Ping)),
            AgentRead::Said(WebSocketMessage::Closed(code, reason)) => Ok(Some(WebSocketEvent::Closed(code, reason))),
            AgentRead::Nothing => Ok(None),
            AgentRead::Later(until) => {
                self.rests_until = Some(until);
                Ok(None)
            }
        }
    }

    /// Waits until a read or a write may succeed, at most until the time `until`.
    pub async fn wait(&mut self, until: Instant) {
        let until = self.rests_until.map_or(until, |rest| rest.min(until));
        let interest =
            if self.socket.is_blocked() { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        tokio::select! {
            ready = self.watch.ready(interest), if self.rests_until.is_none() => {
                // An error is reported by the next read.
                let (readable, writable) = ready.map_or((true, true), |ready| {
                    (ready.is_readable() || ready.is_read_closed(), ready.is_writable() || ready.is_write_closed())
                });
                self.awake(readable, writable);
            }
            () = sleep_until(until.into()) => {}
        }
    }

    /// Signals readiness. Whether the connection has ended is unknown here, so each read checks it.
    fn awake(&mut self, readable: bool, writable: bool) {
        self.socket.awake(SocketReadiness { readable, writable, ended: true });
    }

    fn forget(&self, interest: Interest) {
        let _ = self.watch.try_io(interest, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
    }
}
