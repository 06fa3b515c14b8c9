//! One agent's socket: a task on the worker's own thread that moves messages between the socket and the session.
//!
//! It has one message read at a time: the next one only when the session says so, which is how the agent is slowed down.
//! It has few messages to write at a time: the others wait in the session, where old audio is dropped for new. Reading and
//! writing go on side by side, since an agent that blocks in one may wait for the other.

use std::future::{Future as _, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::Error as WsError;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};
use tokio_tungstenite::tungstenite::{Bytes, Utf8Bytes};
use trunkgate_media::agent::limits::CLOSE_TIMEOUT;
use trunkgate_media::agent::{Loss, Transmit};
use trunkgate_media::{Counter, EndId, MediaId, SocketSpec};

use super::agent_connect::{Fault, Target, find};
use super::agent_intake::Intake;
use crate::limits::{AGENT_MESSAGES_UNDER_WAY, AGENT_PONGS_UNFLUSHED};

/// Whose socket it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) session: MediaId,
    pub(super) end: EndId,
    /// Tells it from an earlier socket of the same end.
    pub(super) serial: u64,
}

/// What a socket tells its worker. Of each socket at most one message waits to be heard, since it reads no further
/// before it may.
#[derive(Debug)]
pub(super) enum Said {
    /// It is open.
    Opened,
    /// There is nothing to open: the address for its copies.
    Found(SocketAddr),
    /// A text; the next one is read after [`Door::read_on`].
    Text(Utf8Bytes),
    /// A binary message of so many bytes; the same.
    Binary(usize),
    /// A ping, answered by the library; the same.
    Ping,
    /// The answer to a ping; the same.
    Pong,
    /// It takes messages again.
    Took,
    /// The agent closed.
    Closed(Option<u16>),
    /// It could not be opened, or broke.
    Lost(Fault),
}

/// The worker's side of a socket. Dropped: the socket is dropped too.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) name: Name,
    outgoing: mpsc::Sender<Transmit>,
    starved: Arc<AtomicBool>,
    go: mpsc::Sender<()>,
    /// A message was read and the next one is not yet.
    pub(super) waits: bool,
    last_words: oneshot::Sender<Vec<Transmit>>,
}

/// The task's side.
#[derive(Debug)]
pub(super) struct Socket {
    name: Name,
    inbox: mpsc::UnboundedSender<(Name, Said)>,
    outgoing: mpsc::Receiver<Transmit>,
    starved: Arc<AtomicBool>,
    go: mpsc::Receiver<()>,
    last_words: oneshot::Receiver<Vec<Transmit>>,
    /// What the whole edge holds of agents, in bytes.
    held: Arc<Counter>,
    /// Answers to pings that the socket has not taken.
    pongs: usize,
    told_end: bool,
}

/// Both sides of a socket to be opened; `held`: what the whole edge holds of agents, in bytes.
pub(super) fn socket(name: Name, inbox: mpsc::UnboundedSender<(Name, Said)>, held: Arc<Counter>) -> (Door, Socket) {
    let (to_socket, outgoing) = mpsc::channel(AGENT_MESSAGES_UNDER_WAY);
    let (may_go, go) = mpsc::channel(1);
    let (goodbye, last_words) = oneshot::channel();
    let starved = Arc::new(AtomicBool::new(false));
    let door =
        Door { name, outgoing: to_socket, starved: starved.clone(), go: may_go, waits: false, last_words: goodbye };
    (door, Socket { name, inbox, outgoing, starved, go, last_words, held, pongs: 0, told_end: false })
}

impl Door {
    /// Hands messages over while the socket takes some; else it tells [`Said::Took`] when it does again.
    pub(super) fn write(&self, mut next: impl FnMut() -> Option<Transmit>) {
        loop {
            match self.outgoing.try_reserve() {
                Ok(place) => match next() {
                    Some(transmit) => place.send(transmit),
                    None => return,
                },
                Err(_) => return self.starved.store(true, Ordering::Relaxed),
            }
        }
    }
    /// Lets it read the next message.
    pub(super) fn read_on(&mut self) {
        self.waits = false;
        // A task that is gone has told so.
        let _ = self.go.try_send(());
    }
    /// Lets it write these and close, on its own, in [`CLOSE_TIMEOUT`].
    pub(super) fn leave(self, last_words: Vec<Transmit>) {
        if !last_words.is_empty() {
            let _ = self.last_words.send(last_words);
        }
    }
}

/// What comes next on an open socket.
#[derive(Debug)]
enum Turn {
    Read(Option<Result<Message, WsError>>),
    Broken(WsError),
    /// The conversation is over; the last words, if any.
    Leave(Vec<Transmit>),
}

impl Socket {
    /// From the first look-up to the end.
    pub(super) async fn run(mut self, spec: SocketSpec) {
        if let Err(fault) = self.converse(&spec).await {
            self.end(Said::Lost(fault));
        }
    }

    async fn converse(&mut self, spec: &SocketSpec) -> Result<(), Fault> {
        if spec.url.starts_with("rtp:") {
            if let Some(to) = self.unless_dropped(find(spec)).await? {
                self.say(Said::Found(to));
                let _ = (&mut self.last_words).await;
                self.told_end = true;
            }
            return Ok(());
        }
        let target = Target::new(spec)?;
        let held = self.held.clone();
        if target.secure {
            let opened = async {
                let stream = target.connect(spec).await?;
                let stream = target.secure(spec, stream).await?;
                target.upgrade(Intake::new(stream, held)).await
            };
            let Some(socket) = self.unless_dropped(opened).await? else { return Ok(()) };
            self.speak(socket).await
        } else {
            let opened = async {
                let stream = target.connect(spec).await?;
                target.upgrade(Intake::new(stream, held)).await
            };
            let Some(socket) = self.unless_dropped(opened).await? else { return Ok(()) };
            self.speak(socket).await
        }
    }

    /// What `opened` comes to; `None` where nobody waits for it any more.
    async fn unless_dropped<T>(&mut self, opened: impl Future<Output = Result<T, Fault>>) -> Result<Option<T>, Fault> {
        tokio::select! {
            socket = opened => socket.map(Some),
            _ = &mut self.last_words => {
                self.told_end = true;
                Ok(None)
            }
        }
    }

    async fn speak<S>(&mut self, mut socket: WebSocketStream<S>) -> Result<(), Fault>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.say(Said::Opened);
        let (mut may_read, mut unflushed) = (true, false);
        loop {
            match poll_fn(|cx| self.poll(cx, &mut socket, &mut may_read, &mut unflushed)).await {
                Turn::Read(Some(Ok(Message::Text(text)))) => self.say(Said::Text(text)),
                Turn::Read(Some(Ok(Message::Binary(bytes)))) => self.say(Said::Binary(bytes.len())),
                Turn::Read(Some(Ok(Message::Pong(_)))) => self.say(Said::Pong),
                Turn::Read(Some(Ok(Message::Ping(_) | Message::Frame(_)))) => {
                    unflushed = true;
                    self.pongs += 1;
                    self.say(Said::Ping);
                }
                Turn::Read(Some(Ok(Message::Close(frame)))) => {
                    self.end(Said::Closed(frame.map(|frame| frame.code.into())));
                    // The answer to the close; the agent may be gone already.
                    let _ = timeout(CLOSE_TIMEOUT, socket.flush()).await;
                    return Ok(());
                }
                Turn::Read(Some(Err(error))) | Turn::Broken(error) => return Err(Fault::of_open(&error)),
                Turn::Read(None) => return Err(Fault { loss: Loss::Reset, detail: String::new() }),
                Turn::Leave(last_words) => {
                    self.told_end = true;
                    // As far as it comes in this time.
                    let _ = timeout(CLOSE_TIMEOUT, self.leave(socket, last_words)).await;
                    return Ok(());
                }
            }
        }
    }

    fn poll<S>(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut WebSocketStream<S>,
        may_read: &mut bool,
        unflushed: &mut bool,
    ) -> Poll<Turn>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if let Poll::Ready(last_words) = Pin::new(&mut self.last_words).poll(cx) {
            return Poll::Ready(Turn::Leave(last_words.unwrap_or_default()));
        }
        if let Err(error) = self.write(cx, socket, unflushed) {
            return Poll::Ready(Turn::Broken(error));
        }
        *may_read |= self.go.poll_recv(cx).is_ready();
        let reads = *may_read && self.pongs < AGENT_PONGS_UNFLUSHED;
        if reads && let Poll::Ready(read) = socket.poll_next_unpin(cx) {
            *may_read = false;
            return Poll::Ready(Turn::Read(read));
        }
        Poll::Pending
    }

    /// Writes what waits while the socket takes it.
    fn write<S>(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut WebSocketStream<S>,
        unflushed: &mut bool,
    ) -> Result<(), WsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut took = false;
        while socket.poll_ready_unpin(cx)?.is_ready() {
            let Poll::Ready(Some(transmit)) = self.outgoing.poll_recv(cx) else { break };
            socket.start_send_unpin(message(transmit))?;
            (took, *unflushed) = (true, true);
        }
        if took && self.starved.swap(false, Ordering::Relaxed) {
            self.say(Said::Took);
        }
        if *unflushed && socket.poll_flush_unpin(cx)?.is_ready() {
            (*unflushed, self.pongs) = (false, 0);
        }
        Ok(())
    }

    async fn leave<S>(&mut self, mut socket: WebSocketStream<S>, last_words: Vec<Transmit>) -> Result<(), WsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if last_words.is_empty() {
            return Ok(());
        }
        while let Ok(transmit) = self.outgoing.try_recv() {
            socket.feed(message(transmit)).await?;
        }
        for transmit in last_words {
            socket.feed(message(transmit)).await?;
        }
        socket.flush().await?;
        while let Some(read) = socket.next().await {
            read?;
        }
        Ok(())
    }

    fn say(&mut self, said: Said) {
        // A worker that is gone hears nothing.
        let _ = self.inbox.send((self.name, said));
    }

    fn end(&mut self, said: Said) {
        self.told_end = true;
        self.say(said);
    }
}

/// However the task ends, its worker is told.
impl Drop for Socket {
    fn drop(&mut self) {
        if !self.told_end {
            self.end(Said::Lost(Fault { loss: Loss::Reset, detail: String::new() }));
        }
    }
}

fn message(transmit: Transmit) -> Message {
    match transmit {
        // The stream writes UTF-8 only; whatever else would be is not worth a panic.
        Transmit::Text(text) => Message::Text(Utf8Bytes::try_from(text).unwrap_or_default()),
        Transmit::Ping => Message::Ping(Bytes::new()),
        Transmit::Close(code) => Message::Close(Some(CloseFrame { code: code.into(), reason: Utf8Bytes::default() })),
    }
}
