//! Open WebSocket of an agent: written while the system accepts data, read while the agent may send, and not touched
//! while it would block. Readiness events are passed to [`AgentSocket::awake`].

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use tokio_tungstenite::tungstenite::error::Error as WsError;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role};
use tokio_tungstenite::tungstenite::{Bytes, Utf8Bytes, WebSocket};
use trunkgate_call::numbers::plain;
use trunkgate_call::sentence::without_numbers;
use trunkgate_media::Counter;
use trunkgate_media::agent::limits::CLOSE_TIMEOUT;
use trunkgate_media::agent::{SocketMessage, Stream, StreamLoss};

use super::agent_connect::{AgentFault, OpenSocket, websocket_config};
use super::agent_intake::MeteredIntake;
use super::agent_stream::AgentTransport;
use super::port_set::SocketReadiness;
use trunkgate_system::limits::AGENT_PONGS_UNFLUSHED;
use trunkgate_tls_record::TlsSnapshot;

/// Message received from an agent.
#[derive(Debug)]
pub(super) enum WebSocketMessage {
    /// Text message.
    Text(Utf8Bytes),
    /// Binary message with this many bytes.
    Binary(usize),
    /// Ping, which the library answers.
    Ping,
    /// Pong in response to a ping of the edge.
    Pong,
    /// Close frame with its code, if any, and its reason in a form for traces.
    Closed(Option<u16>, String),
}

/// Returns the reason of a close frame (at most 123 bytes, RFC 6455 §5.5) in a form for traces and logs.
fn shown_reason(reason: &str) -> String {
    without_numbers(&plain(reason, 123)).replace('"', "'")
}

/// Result of a read.
#[derive(Debug)]
pub(super) enum AgentRead {
    /// A message was read.
    Said(WebSocketMessage),
    /// No data until the next readiness event.
    Nothing,
    /// A limit prevents the read; read again at this time.
    Later(Instant),
}

/// WebSocket of an agent with its readiness.
#[derive(Debug)]
pub(super) struct AgentSocket {
    open: OpenSocket,
    /// True if there may be data to read.
    readable: bool,
    /// True if the system accepts no more data for now.
    blocked: bool,
    /// True if the library still buffers written data.
    unflushed: bool,
    /// Number of pongs not sent yet.
    pongs: usize,
}

impl AgentSocket {
    /// Wraps a WebSocket that has just been opened.
    pub(super) fn new(open: OpenSocket) -> AgentSocket {
        AgentSocket { open, readable: true, blocked: false, unflushed: false, pongs: 0 }
    }

    /// Continues a WebSocket of another process, which was between two messages.
    ///
    /// # Errors
    /// Returns an error if the TLS keys cannot be used.
    pub(super) fn resumed(
        descriptor: OwnedFd,
        tls: Option<TlsSnapshot>,
        held: Arc<Counter>,
    ) -> io::Result<AgentSocket> {
        let intake = MeteredIntake::resumed(AgentTransport::resume(descriptor, tls)?, held);
        Ok(AgentSocket::new(WebSocket::from_raw_socket(intake, Role::Client, Some(websocket_config()))))
    }

    /// Sends buffered data as far as possible. Returns whether another process can continue the socket: everything
    /// received was processed, everything written was sent, and the TLS state can be exported.
    pub(super) fn can_cross(&mut self) -> bool {
        let is_flushed = self.write(|| None).is_ok() && !self.blocked && !self.unflushed;
        is_flushed && !self.readable && self.open.get_ref().is_between_messages() && self.connection().can_cross()
    }

    /// Returns the descriptor and the TLS state for the process that continues the socket.
    ///
    /// # Errors
    /// Returns an error if the TLS state cannot be exported; the connection is then closed.
    pub(super) fn into_parts(self) -> io::Result<(OwnedFd, Option<TlsSnapshot>)> {
        self.open.into_inner().into_inner().into_parts()
    }

    /// Returns the connection below the WebSocket.
    pub(super) fn connection(&self) -> &AgentTransport {
        self.open.get_ref().get_ref()
    }

    /// Handles a readiness event.
    pub(super) fn awake(&mut self, state: SocketReadiness) {
        if state.readable {
            self.readable = true;
            self.open.get_mut().get_mut().awake(state.ended);
        }
        self.blocked &= !state.writable;
    }

    /// Returns whether a read may succeed: data may be available, and not too many pongs are unsent.
    pub(super) fn is_readable(&self) -> bool {
        self.readable && self.pongs < AGENT_PONGS_UNFLUSHED
    }

    /// Returns whether writing must wait for the system.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Writes the messages from `next` as long as the system accepts them.
    ///
    /// # Errors
    /// Returns the failure of the connection.
    pub(super) fn write(&mut self, mut next: impl FnMut() -> Option<SocketMessage>) -> Result<(), AgentFault> {
        while !self.blocked {
            let Some(transmit) = next() else { break };
            self.unflushed = true;
            // The library buffers data that would block.
            let written = self.open.write(message(transmit));
            self.note_blocked(written)?;
        }
        if self.unflushed && !self.blocked {
            let flushed = self.open.flush();
            self.note_blocked(flushed)?;
            if !self.blocked {
                (self.unflushed, self.pongs) = (false, 0);
            }
        }
        Ok(())
    }

    fn note_blocked(&mut self, result: Result<(), WsError>) -> Result<(), AgentFault> {
        match result {
            Err(WsError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                self.blocked = true;
                Ok(())
            }
            Err(error) => Err(AgentFault::of_open(&error)),
            Ok(()) => Ok(()),
        }
    }

    /// Reads one message, if one is available.
    ///
    /// # Errors
    /// Returns the failure of the connection.
    pub(super) fn read(&mut self) -> Result<AgentRead, AgentFault> {
        let said = match self.open.read() {
            Ok(Message::Text(text)) => WebSocketMessage::Text(text),
            Ok(Message::Binary(bytes)) => WebSocketMessage::Binary(bytes.len()),
            Ok(Message::Pong(_)) => WebSocketMessage::Pong,
            Ok(Message::Ping(_) | Message::Frame(_)) => {
                self.unflushed = true;
                self.pongs += 1;
                WebSocketMessage::Ping
            }
            Ok(Message::Close(frame)) => {
                self.unflushed = true;
                let reason = frame.as_ref().map_or(String::new(), |frame| shown_reason(&frame.reason));
                WebSocketMessage::Closed(frame.map(|frame| frame.code.into()), reason)
            }
            Err(WsError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return Ok(match self.open.get_ref().pause() {
                    Some(until) => AgentRead::Later(until),
                    None => {
                        self.readable = false;
                        AgentRead::Nothing
                    }
                });
            }
            Err(WsError::ConnectionClosed | WsError::AlreadyClosed) => {
                return Err(AgentFault { loss: StreamLoss::Reset, detail: String::new() });
            }
            Err(error) => return Err(AgentFault::of_open(&error)),
        };
        Ok(AgentRead::Said(said))
    }
}

/// Closing handshake of a WebSocket that no session uses any more.
#[derive(Debug)]
pub(super) enum ClosingHandshake {
    /// The edge ended the conversation: the stream's remaining messages and a close frame are sent.
    Told(Box<Stream>),
    /// The agent closed first: the edge's close frame is being sent.
    Answered {
        /// Time at which the socket is dropped in any case.
        until: Instant,
    },
}

impl ClosingHandshake {
    /// Starts the closing handshake of a conversation that the edge ended, with the stream's remaining messages.
    pub(super) fn with(stream: Box<Stream>) -> ClosingHandshake {
        ClosingHandshake::Told(stream)
    }

    /// Starts the closing handshake after the agent's close frame.
    pub(super) fn after_close(now: Instant) -> ClosingHandshake {
        ClosingHandshake::Answered { until: now + CLOSE_TIMEOUT }
    }

    /// Continues the closing handshake.
    pub(super) fn go_on(&mut self, now: Instant, socket: &mut AgentSocket) -> CloseProgress {
        let (until, stream) = match self {
            ClosingHandshake::Answered { until } => {
                let is_over = now >= *until || socket.write(|| None).is_err() || !socket.unflushed;
                return if is_over { CloseProgress::Over } else { CloseProgress::Later(*until) };
            }
            ClosingHandshake::Told(stream) => {
                stream.handle_timeout(now);
                let Some((until, _)) = stream.poll_timeout() else { return CloseProgress::Over };
                (until, stream)
            }
        };
        if socket.write(|| stream.poll_transmit()).is_err() {
            return CloseProgress::Over;
        }
        match socket.is_readable().then(|| socket.read()) {
            None | Some(Ok(AgentRead::Nothing)) => CloseProgress::Later(until),
            Some(Ok(AgentRead::Later(at))) => CloseProgress::Later(at.min(until)),
            Some(Ok(AgentRead::Said(WebSocketMessage::Closed(..)))) => {
                *self = ClosingHandshake::after_close(now);
                CloseProgress::Again
            }
            // Further messages of the agent are ignored.
            Some(Ok(AgentRead::Said(_))) => CloseProgress::Again,
            Some(Err(_)) => CloseProgress::Over,
        }
    }
}

/// Progress of a closing handshake.
#[derive(Debug)]
pub(super) enum CloseProgress {
    /// Continue soon.
    Again,
    /// Continue at this time, or on a readiness event.
    Later(Instant),
    /// The socket may be dropped.
    Over,
}

fn message(transmit: SocketMessage) -> Message {
    match transmit {
        // The stream only writes UTF-8; anything else is not worth a panic.
        SocketMessage::Text(text) => Message::Text(Utf8Bytes::try_from(text).unwrap_or_default()),
        SocketMessage::Binary(bytes) => Message::Binary(bytes),
        SocketMessage::Ping => Message::Ping(Bytes::new()),
        SocketMessage::Close(code) => {
            Message::Close(Some(CloseFrame { code: code.into(), reason: Utf8Bytes::default() }))
        }
    }
}
