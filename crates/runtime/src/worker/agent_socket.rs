//! An agent's open socket, as its worker has it: written while it takes something, read while the agent may speak, and
//! asked for neither while it would have to wait. What the system says of its descriptor comes by [`Socket::awake`].

use std::io;
use std::time::Instant;

use tokio_tungstenite::tungstenite::error::Error as WsError;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};
use tokio_tungstenite::tungstenite::{Bytes, Utf8Bytes};
use trunkgate_call::numbers::plain;
use trunkgate_call::sentence::without_numbers;
use trunkgate_media::agent::limits::CLOSE_TIMEOUT;
use trunkgate_media::agent::{Loss, Stream, Transmit};

use super::agent_connect::{Fault, OpenSocket};
use super::port_set::State;
use trunkgate_system::limits::AGENT_PONGS_UNFLUSHED;

/// What an agent said.
#[derive(Debug)]
pub(super) enum Said {
    /// A text.
    Text(Utf8Bytes),
    /// A binary message of so many bytes.
    Binary(usize),
    /// A ping, answered by the library.
    Ping,
    /// The answer to a ping.
    Pong,
    /// It closed, with this code if any, and a reason in words that may be shown.
    Closed(Option<u16>, String),
}

/// The reason of a close frame as traces and log lines may hold it. It has 123 bytes at most (RFC 6455 §5.5).
fn shown_reason(reason: &str) -> String {
    without_numbers(&plain(reason, 123)).replace('"', "'")
}

/// What reading came to.
#[derive(Debug)]
pub(super) enum Heard {
    /// A message.
    Said(Said),
    /// Nothing, before the system tells of it again.
    Nothing,
    /// Nothing yet: it is to be read again then.
    Later(Instant),
}

/// A socket.
#[derive(Debug)]
pub(super) struct Socket {
    open: OpenSocket,
    /// It may have something to read.
    readable: bool,
    /// The system takes no more for now.
    blocked: bool,
    /// Something that was written has not left.
    unflushed: bool,
    /// Answers to pings that have not left.
    pongs: usize,
}

impl Socket {
    /// Over a socket that has just been opened.
    pub(super) fn new(open: OpenSocket) -> Socket {
        Socket { open, readable: true, blocked: false, unflushed: false, pongs: 0 }
    }

    /// Takes what the system says of its descriptor.
    pub(super) fn awake(&mut self, state: State) {
        if state.readable {
            self.readable = true;
            self.open.get_mut().get_mut().awake(state.ended);
        }
        self.blocked &= !state.writable;
    }

    /// Whether it is worth reading.
    pub(super) fn is_readable(&self) -> bool {
        self.readable && self.pongs < AGENT_PONGS_UNFLUSHED
    }

    /// Whether what is to be written has to wait for the system.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Writes what `next` has, while the system takes it.
    pub(super) fn write(&mut self, mut next: impl FnMut() -> Option<Transmit>) -> Result<(), Fault> {
        while !self.blocked {
            let Some(transmit) = next() else { break };
            self.unflushed = true;
            // What would have to wait is kept by the library.
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

    fn note_blocked(&mut self, result: Result<(), WsError>) -> Result<(), Fault> {
        match result {
            Err(WsError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                self.blocked = true;
                Ok(())
            }
            Err(error) => Err(Fault::of_open(&error)),
            Ok(()) => Ok(()),
        }
    }

    /// Reads one message.
    pub(super) fn read(&mut self) -> Result<Heard, Fault> {
        let said = match self.open.read() {
            Ok(Message::Text(text)) => Said::Text(text),
            Ok(Message::Binary(bytes)) => Said::Binary(bytes.len()),
            Ok(Message::Pong(_)) => Said::Pong,
            Ok(Message::Ping(_) | Message::Frame(_)) => {
                self.unflushed = true;
                self.pongs += 1;
                Said::Ping
            }
            Ok(Message::Close(frame)) => {
                self.unflushed = true;
                let reason = frame.as_ref().map_or(String::new(), |frame| shown_reason(&frame.reason));
                Said::Closed(frame.map(|frame| frame.code.into()), reason)
            }
            Err(WsError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return Ok(match self.open.get_ref().pause() {
                    Some(until) => Heard::Later(until),
                    None => {
                        self.readable = false;
                        Heard::Nothing
                    }
                });
            }
            Err(WsError::ConnectionClosed | WsError::AlreadyClosed) => {
                return Err(Fault { loss: Loss::Reset, detail: String::new() });
            }
            Err(error) => return Err(Fault::of_open(&error)),
        };
        Ok(Heard::Said(said))
    }
}

/// A conversation that no session has any more.
#[derive(Debug)]
pub(super) enum Leaving {
    /// We ended it: the agent is told, and one of the two closes.
    Told(Box<Stream>),
    /// The agent has closed: the answer leaves.
    Answered {
        /// When the socket is dropped, whatever has come of it.
        until: Instant,
    },
}

impl Leaving {
    /// With what is left of a conversation that we ended.
    pub(super) fn with(stream: Box<Stream>) -> Leaving {
        Leaving::Told(stream)
    }
    /// After the agent has closed.
    pub(super) fn after_close(now: Instant) -> Leaving {
        Leaving::Answered { until: now + CLOSE_TIMEOUT }
    }
    /// Goes on.
    pub(super) fn go_on(&mut self, now: Instant, socket: &mut Socket) -> Progress {
        let (until, stream) = match self {
            Leaving::Answered { until } => {
                let is_over = now >= *until || socket.write(|| None).is_err() || !socket.unflushed;
                return if is_over { Progress::Over } else { Progress::Later(*until) };
            }
            Leaving::Told(stream) => {
                stream.handle_timeout(now);
                let Some((until, _)) = stream.poll_timeout() else { return Progress::Over };
                (until, stream)
            }
        };
        if socket.write(|| stream.poll_transmit()).is_err() {
            return Progress::Over;
        }
        match socket.is_readable().then(|| socket.read()) {
            None | Some(Ok(Heard::Nothing)) => Progress::Later(until),
            Some(Ok(Heard::Later(at))) => Progress::Later(at.min(until)),
            Some(Ok(Heard::Said(Said::Closed(..)))) => {
                *self = Leaving::after_close(now);
                Progress::Again
            }
            // What else it says is heard by nobody.
            Some(Ok(Heard::Said(_))) => Progress::Again,
            Some(Err(_)) => Progress::Over,
        }
    }
}

/// How far a socket's end has come.
#[derive(Debug)]
pub(super) enum Progress {
    /// It is to go on soon.
    Again,
    /// It is to go on then, or when the system tells.
    Later(Instant),
    /// It may be dropped.
    Over,
}

fn message(transmit: Transmit) -> Message {
    match transmit {
        // The stream writes UTF-8 only; whatever else would be is not worth a panic.
        Transmit::Text(text) => Message::Text(Utf8Bytes::try_from(text).unwrap_or_default()),
        Transmit::Binary(bytes) => Message::Binary(bytes),
        Transmit::Ping => Message::Ping(Bytes::new()),
        Transmit::Close(code) => Message::Close(Some(CloseFrame { code: code.into(), reason: Utf8Bytes::default() })),
    }
}
