//! Stream connection: a task that frames received messages, writes queued ones, and reports the end. A frozen task
//! gives its socket and its buffers back instead, so that another process continues the connection.

use std::future::{pending, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};
use trunkgate_call::{StreamFailure, TlsIdentity};
use trunkgate_sip::Flow;
use trunkgate_sip::framer::{FramedItem, Framer};

use super::crossing::{CrossingSocket, FrozenConnection, HandedConnection, HandedOwner, StreamBuffers, until_frozen};
use super::places::{ConnectionSlot, SlotLoss};
use super::{SocketCounters, TransportEvent};
use trunkgate_system::certificates::{is_tls, words};
use trunkgate_system::connector::TlsFault;
use trunkgate_system::limits;
use trunkgate_system::tls_stream::TlsStream;

/// Command of the signalling loop to a connection's task.
#[derive(Debug)]
pub(super) enum ConnectionCommand {
    /// Bytes to write.
    Bytes(Bytes),
    /// Write the queued bytes, then close.
    Close,
}

/// Reason why a connection ended.
enum ConnectionEnd {
    /// Closed by the edge.
    Closed,
    /// Closed by the remote party, or failed with this error.
    Lost(io::Error),
    /// Evicted by the connection limits.
    Displaced(SlotLoss),
    /// Given back to the signalling loop, for another process.
    Frozen,
}

/// Receiving and sending half of a connection.
pub(super) struct ConnectionStream<R, W> {
    reader: R,
    writer: W,
    /// Joins both halves for another process; returns `None` if that process cannot continue the connection.
    join: JoinHalves<R, W>,
}

impl ConnectionStream<OwnedReadHalf, OwnedWriteHalf> {
    /// Returns an unencrypted connection.
    pub(super) fn plain(stream: TcpStream) -> ConnectionStream<OwnedReadHalf, OwnedWriteHalf> {
        let (reader, writer) = stream.into_split();
        let join = |reader: OwnedReadHalf, writer| {
            let socket = reader.reunite(writer).ok()?.into_std().ok()?.into();
            Some(CrossingSocket { socket, tls: None })
        };
        ConnectionStream { reader, writer, join }
    }
}

impl ConnectionStream<ReadHalf<TlsStream<TcpStream>>, WriteHalf<TlsStream<TcpStream>>> {
    /// Returns a TLS connection.
    pub(super) fn encrypted(
        stream: TlsStream<TcpStream>,
    ) -> ConnectionStream<ReadHalf<TlsStream<TcpStream>>, WriteHalf<TlsStream<TcpStream>>> {
        let (reader, writer) = tokio::io::split(stream);
        let join = |reader: ReadHalf<TlsStream<TcpStream>>, writer| {
            let (stream, session) = reader.unsplit(writer).into_parts();
            let tls = session.can_cross().then(|| session.into_snapshot().ok()).flatten()?;
            Some(CrossingSocket { socket: stream.into_std().ok()?.into(), tls: Some(tls) })
        };
        ConnectionStream { reader, writer, join }
    }
}

/// Time limits for a connection's remote party; exceeding one closes the connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConnectionTimeouts {
    /// Maximum time without a byte.
    pub(super) idle: Duration,
    /// Maximum time from the first to the last byte of a message.
    pub(super) message: Duration,
    /// Maximum time between two header lines of a message.
    pub(super) line: Duration,
    /// Maximum time until the first complete message on an inbound connection; keep-alives alone do not keep it open.
    pub(super) first: Option<Duration>,
}

impl ConnectionTimeouts {
    /// Returns the limits for a connection; `opened_by_them` is true for an inbound one.
    pub(super) fn with(opened_by_them: bool) -> ConnectionTimeouts {
        ConnectionTimeouts {
            idle: Duration::from_secs(limits::CONNECTION_IDLE_SECONDS),
            message: Duration::from_secs(limits::MESSAGE_SECONDS),
            line: Duration::from_secs(limits::NEXT_LINE_SECONDS),
            first: opened_by_them.then_some(Duration::from_secs(limits::FIRST_MESSAGE_SECONDS)),
        }
    }
}

/// Function that joins the halves of a connection to the socket that is handed over; `None` if that is impossible.
type JoinHalves<R, W> = fn(R, W) -> Option<CrossingSocket>;

/// State of the connection task.
pub(super) struct ConnectionTask {
    /// Flow that identifies the connection to the loop.
    pub(super) flow: Flow,
    /// Trunk for which the TLS connection was opened; empty if the host belongs to no trunk.
    pub(super) made_for: Option<Arc<str>>,
    /// Received and unsent bytes of the connection.
    pub(super) buffers: StreamBuffers,
    /// Whether the remote party has opened the connection.
    pub(super) is_accepted: bool,
    /// Time limits for the remote party.
    pub(super) patience: ConnectionTimeouts,
    /// Sender to the connection's own command queue, for responses to keep-alives.
    pub(super) queue: mpsc::Sender<ConnectionCommand>,
    /// Channel to the signalling loop.
    pub(super) news: mpsc::Sender<TransportEvent>,
    /// Counters of all sockets.
    pub(super) counters: Arc<SocketCounters>,
    /// True once connections are given back to the signalling loop for another process.
    pub(super) freeze: watch::Receiver<bool>,
}

impl ConnectionTask {
    /// Serves the connection until it ends.
    pub(super) async fn serve<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
        mut self,
        stream: ConnectionStream<R, W>,
        mut outgoing: mpsc::Receiver<ConnectionCommand>,
        mut place: ConnectionSlot,
    ) {
        self.counters.connections.add(1);
        let ConnectionStream { mut reader, mut writer, join } = stream;
        let mut buffers = std::mem::replace(&mut self.buffers, StreamBuffers::new(0));
        let StreamBuffers { framer, unsent, awaits_first } = &mut buffers;
        let flushed = Notify::new();
        let reading = self.read(&mut reader, (framer, awaits_first), &flushed);
        let ended = tokio::select! {
            ended = reading => ended,
            ended = write(&mut writer, &mut outgoing, unsent, &flushed) => ended,
            lost = place.lost() => ConnectionEnd::Displaced(lost),
        };
        self.counters.connections.sub(1);
        self.buffers = buffers;
        match ended {
            ConnectionEnd::Frozen => self.frozen((reader, writer, join), outgoing, &place).await,
            ConnectionEnd::Closed => self.gone(None, true).await,
            ConnectionEnd::Lost(error) => self.lost(error, true).await,
            ConnectionEnd::Displaced(why) => {
                let (transport, remote) = (self.flow.transport.via_token(), self.flow.remote);
                match why {
                    SlotLoss::Evicted => self.counters.evicted.add(1),
                    SlotLoss::Unregistered => self.counters.unregistered.add(1),
                }
                tracing::debug!("{transport} {remote}: closed, {why:?}");
                self.gone(None, true).await;
            }
        }
    }

    /// Gives back a connection that is not established yet; the other process opens it again.
    pub(super) async fn unopened(mut self, outgoing: mpsc::Receiver<ConnectionCommand>, place: ConnectionSlot) {
        if self.collect_unsent(outgoing) {
            self.give_back(None, &place).await;
        } else {
            self.gone(None, false).await;
        }
    }

    /// Gives the socket back to the signalling loop, with the bytes that are not processed or not written yet.
    async fn frozen<R, W: AsyncWrite + Unpin>(
        mut self,
        (reader, mut writer, join): (R, W, JoinHalves<R, W>),
        outgoing: mpsc::Receiver<ConnectionCommand>,
        place: &ConnectionSlot,
    ) {
        let stays_open = self.collect_unsent(outgoing);
        if let Err(error) = write_at_once(&mut writer, &mut self.buffers.unsent).await {
            return self.lost(error, true).await;
        }
        match if stays_open { join(reader, writer) } else { None } {
            Some(socket) => self.give_back(Some(socket), place).await,
            None => self.gone(None, true).await,
        }
    }

    /// Appends the queued bytes to the unsent ones; returns false if the queue contains a command to close.
    fn collect_unsent(&mut self, mut outgoing: mpsc::Receiver<ConnectionCommand>) -> bool {
        let mut unsent = BytesMut::from(&self.buffers.unsent[..]);
        let mut stays_open = true;
        while let Ok(command) = outgoing.try_recv() {
            match command {
                ConnectionCommand::Bytes(bytes) => unsent.extend_from_slice(&bytes),
                ConnectionCommand::Close => stays_open = false,
            }
        }
        self.buffers.unsent = unsent.freeze();
        stays_open
    }

    async fn give_back(self, crossing: Option<CrossingSocket>, place: &ConnectionSlot) {
        let (socket, tls) = crossing.map(|CrossingSocket { socket, tls }| (socket, tls)).unzip();
        let StreamBuffers { framer, unsent, awaits_first } = &self.buffers;
        let state = HandedConnection {
            flow: self.flow,
            has_socket: socket.is_some(),
            is_accepted: self.is_accepted,
            awaits_first: *awaits_first,
            slot: place.kind(),
            unread: framer.unread().to_vec(),
            unsent: unsent.to_vec(),
            tls: tls.flatten(),
            owner: HandedOwner::default(),
        };
        let frozen = Box::new(FrozenConnection { state, socket });
        // Without the loop the connection ends here.
        let _ = self.news.send(TransportEvent::Frozen(frozen)).await;
    }

    /// Reports the trunk that TLS has identified to the signalling loop, before the connection's first message.
    pub(super) async fn identified(&self, identity: TlsIdentity) {
        if let Some(connection) = self.flow.connection {
            let _ = self.news.send(TransportEvent::Identified { connection, remote: self.flow.remote, identity }).await;
        }
    }

    /// Counts a failed TLS handshake and reports the end of the connection.
    pub(super) async fn refused(self, failed: TlsFault) {
        self.counters.handshakes_failed.add(1);
        self.gone(Some(StreamFailure::Tls(failed.what)), false).await;
    }

    /// Reports a connection that could not be established (`was_up` is false) or broke. With TLS 1.3 a remote party
    /// reports the rejection of the edge's certificate only after the handshake.
    pub(super) async fn lost(self, error: io::Error, was_up: bool) {
        let cause =
            if is_tls(&error) { StreamFailure::Tls(words(&error)) } else { StreamFailure::Stream(plain_words(&error)) };
        tracing::debug!("{} {}: {error}", self.flow.transport.via_token(), self.flow.remote);
        let was_up = was_up && matches!(cause, StreamFailure::Stream(_));
        self.gone(Some(cause), was_up).await;
    }

    async fn gone(self, cause: Option<StreamFailure>, was_up: bool) {
        let ConnectionTask { flow, made_for, news, .. } = self;
        let _ = news.send(TransportEvent::Closed { flow, made_for, cause, was_up }).await;
    }

    async fn read(
        &self,
        reader: &mut (impl AsyncRead + Unpin),
        (framer, awaits_first): (&mut Framer, &mut bool),
        flushed: &Notify,
    ) -> ConnectionEnd {
        let mut buffer = vec![0; 16 << 10];
        let ConnectionTimeouts { idle, message, line, first } = self.patience;
        // Start of the current message, or of the wait for the first one: slow single bytes do not keep a connection
        // open.
        let mut slow = first.filter(|_| *awaits_first).map(|first| Instant::now() + first);
        if framer.is_within_message() {
            slow.get_or_insert_with(|| Instant::now() + message);
        }
        let mut frozen = pin!(until_frozen(self.freeze.clone()));
        loop {
            let patient_until = Instant::now() + if framer.awaits_line() { line } else { idle };
            let until = slow.map_or(patient_until, |slow| slow.min(patient_until));
            let read = tokio::select! {
                read = timeout_at(until, reader.read(&mut buffer)) => read,
                () = &mut frozen => return ConnectionEnd::Frozen,
            };
            let ended = match read {
                Err(_) => {
                    self.counters.slow.add(u64::from(slow.is_some()));
                    Err(ConnectionEnd::Closed)
                }
                Ok(Ok(0)) => Err(ConnectionEnd::Lost(io::ErrorKind::UnexpectedEof.into())),
                Ok(Err(error)) => return ConnectionEnd::Lost(error),
                Ok(Ok(len)) => Ok(len),
            };
            let len = match ended {
                Ok(len) => len,
                Err(ended) => {
                    if let Some(FramedItem::Broken { bytes, what }) = framer.end() {
                        let _ = self.news.send(TransportEvent::Broken { flow: self.flow, bytes, what }).await;
                        discard(reader, flushed).await;
                    }
                    return ended;
                }
            };
            let came = Instant::now().into_std();
            framer.push(buffer.get(..len).unwrap_or_default());
            while let Some(framed) = framer.pop() {
                let arrival = match framed {
                    FramedItem::Message(bytes) => {
                        slow = None;
                        *awaits_first = false;
                        TransportEvent::Received { flow: self.flow, bytes, came }
                    }
                    FramedItem::Ping => {
                        // A full queue proves activity as well.
                        let _ = self.queue.try_send(ConnectionCommand::Bytes(Bytes::from_static(b"\r\n")));
                        continue;
                    }
                    FramedItem::Broken { bytes, what } => {
                        let _ = self.news.send(TransportEvent::Broken { flow: self.flow, bytes, what }).await;
                        discard(reader, flushed).await;
                        return ConnectionEnd::Closed;
                    }
                };
                if self.news.send(arrival).await.is_err() {
                    return ConnectionEnd::Closed;
                }
            }
            if framer.is_within_message() {
                slow.get_or_insert_with(|| Instant::now() + message);
            }
        }
    }
}

/// Discards the remaining input of a broken stream until the loop has closed it and all responses are written: closing
/// the socket with unread bytes would reset the connection and lose the responses.
async fn discard(reader: &mut (impl AsyncRead + Unpin), flushed: &Notify) {
    let mut buffer = vec![0; 4096];
    let until_end = async {
        while reader.read(&mut buffer).await.is_ok_and(|len| len > 0) {}
        flushed.notified().await;
    };
    let _ = timeout(Duration::from_secs(limits::LINGER_SECONDS), until_end).await;
}

/// Writes `unsent`, then the queued messages. Whenever the task can be interrupted, `unsent` has the bytes of the
/// current message that are not written yet. The first flush sends records that TLS still had buffered in another
/// process.
async fn write(
    writer: &mut (impl AsyncWrite + Unpin),
    outgoing: &mut mpsc::Receiver<ConnectionCommand>,
    unsent: &mut Bytes,
    flushed: &Notify,
) -> ConnectionEnd {
    loop {
        match timeout(Duration::from_secs(limits::WRITE_SECONDS), write_out(writer, unsent)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return ConnectionEnd::Lost(error),
            Err(_) => return ConnectionEnd::Lost(io::ErrorKind::TimedOut.into()),
        }
        match outgoing.recv().await {
            Some(ConnectionCommand::Bytes(bytes)) => *unsent = bytes,
            Some(ConnectionCommand::Close) => {
                let _ = writer.shutdown().await;
                flushed.notify_one();
                // The reader ends when the remote party has closed too, but lingers for a limited time.
                tokio::time::sleep(Duration::from_secs(limits::LINGER_SECONDS)).await;
                return ConnectionEnd::Closed;
            }
            None => return pending().await,
        }
    }
}

async fn write_out(writer: &mut (impl AsyncWrite + Unpin), unsent: &mut Bytes) -> io::Result<()> {
    while !unsent.is_empty() {
        let written = writer.write(unsent).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        unsent.advance(written);
    }
    writer.flush().await
}

/// Writes as many bytes as the socket accepts without waiting, and removes them from `unsent`.
async fn write_at_once(writer: &mut (impl AsyncWrite + Unpin), unsent: &mut Bytes) -> io::Result<()> {
    while !unsent.is_empty() {
        let attempt = poll_fn(|cx| Poll::Ready(Pin::new(&mut *writer).poll_write(cx, unsent))).await;
        match attempt {
            Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(written)) => unsent.advance(written),
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => return Ok(()),
        }
    }
    Ok(())
}

/// Returns the system's error text without its number.
fn plain_words(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return "the remote party closed the connection".to_owned();
    }
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;
    use trunkgate_sip::{ConnectionId, ListenerId, Transport};

    use super::super::places::ConnectionSlots;
    use super::*;

    const LONG: Duration = Duration::from_secs(600);
    const SHORT: Duration = Duration::from_millis(20);
    const OPTIONS: &[u8] = b"OPTIONS sip:a SIP/2.0\r\nContent-Length: 0\r\n\r\n";

    /// Returns the remote end of a connection with these time limits, its arrivals and its counters.
    fn served(
        patience: ConnectionTimeouts,
    ) -> (tokio::io::DuplexStream, mpsc::Receiver<TransportEvent>, Arc<SocketCounters>) {
        let (near, far) = duplex(4096);
        let (news, arrivals) = mpsc::channel(8);
        let (queue, outgoing) = mpsc::channel(8);
        let remote: std::net::SocketAddr = "192.0.2.1:5060".parse().unwrap();
        let connection = Some(ConnectionId(1));
        let flow = Flow { transport: Transport::Tcp, listener: ListenerId(0), remote, connection };
        let counters = Arc::<SocketCounters>::default();
        let wire = ConnectionTask {
            flow,
            made_for: None,
            buffers: StreamBuffers { awaits_first: true, ..StreamBuffers::new(65_535) },
            is_accepted: true,
            patience,
            queue,
            news,
            counters: counters.clone(),
            freeze: watch::Sender::new(false).subscribe(),
        };
        let place = ConnectionSlots::default().take(remote.ip(), true).unwrap().place;
        let (reader, writer) = tokio::io::split(near);
        let stream = ConnectionStream { reader, writer, join: |_, _| None };
        tokio::spawn(wire.serve(stream, outgoing, place));
        (far, arrivals, counters)
    }

    async fn is_closed(arrivals: &mut mpsc::Receiver<TransportEvent>) -> bool {
        matches!(timeout(LONG, arrivals.recv()).await, Ok(Some(TransportEvent::Closed { .. })))
    }

    #[tokio::test]
    async fn whoever_says_nothing_at_first_is_cut_off() {
        let patience = ConnectionTimeouts { idle: LONG, message: LONG, line: LONG, first: Some(SHORT) };
        let (_far, mut arrivals, counters) = served(patience);
        assert!(is_closed(&mut arrivals).await);
        assert_eq!(counters.slow.get(), 1);
        // A keep-alive gets a response but is not a message.
        let (mut far, mut arrivals, counters) = served(patience);
        far.write_all(b"\r\n\r\n").await.unwrap();
        let mut pong = [0; 2];
        far.read_exact(&mut pong).await.unwrap();
        assert_eq!(&pong, b"\r\n");
        let closed = timeout(LONG / 60, arrivals.recv()).await;
        assert!(matches!(closed, Ok(Some(TransportEvent::Closed { .. }))), "{closed:?}");
        assert_eq!(counters.slow.get(), 1);
        // After a message only inactivity ends the connection.
        let (mut far, mut arrivals, counters) =
            served(ConnectionTimeouts { idle: SHORT, message: LONG, line: LONG, first: Some(LONG) });
        far.write_all(OPTIONS).await.unwrap();
        assert!(matches!(arrivals.recv().await, Some(TransportEvent::Received { .. })));
        assert!(is_closed(&mut arrivals).await, "idle");
        assert_eq!(counters.slow.get(), 0);
    }

    #[tokio::test]
    async fn a_message_that_drips_is_cut_off_and_one_after_the_other_is_not() {
        let patience = ConnectionTimeouts { idle: LONG, message: SHORT, line: LONG, first: None };
        let (mut far, mut arrivals, counters) = served(patience);
        // Complete messages with silence between them are fine.
        for _ in 0..3 {
            far.write_all(OPTIONS).await.unwrap();
            assert!(matches!(arrivals.recv().await, Some(TransportEvent::Received { .. })));
            tokio::time::sleep(2 * SHORT).await;
        }
        let dripping = tokio::spawn(async move {
            for byte in OPTIONS.iter().cycle().take(OPTIONS.len() - 1) {
                if far.write_all(&[*byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(SHORT / 4).await;
            }
            pending::<()>().await;
        });
        assert!(matches!(arrivals.recv().await, Some(TransportEvent::Broken { what: "end of headers", .. })));
        assert!(is_closed(&mut arrivals).await);
        assert_eq!(counters.slow.get(), 1);
        dripping.abort();
    }

    #[tokio::test]
    async fn headers_that_stop_between_two_lines_are_broken_and_those_that_stop_within_one_are_waited_for() {
        let patience = ConnectionTimeouts { idle: LONG, message: LONG, line: SHORT, first: None };
        let (mut far, mut arrivals, _) = served(patience);
        // Without its second half the last header line is incomplete.
        let (first, rest) = OPTIONS.split_at(OPTIONS.len() - 3);
        far.write_all(first).await.unwrap();
        tokio::time::sleep(2 * SHORT).await;
        far.write_all(rest).await.unwrap();
        assert!(matches!(arrivals.recv().await, Some(TransportEvent::Received { .. })));
        far.write_all(OPTIONS.strip_suffix(b"\r\n").unwrap()).await.unwrap();
        let broken = arrivals.recv().await;
        assert!(matches!(broken, Some(TransportEvent::Broken { what: "end of headers", .. })), "{broken:?}");
    }

    #[tokio::test]
    async fn a_stream_that_ends_within_a_message_is_broken_before_it_is_lost() {
        let (far, mut arrivals, counters) = served(ConnectionTimeouts::with(true));
        let (_reader, mut writer) = tokio::io::split(far);
        writer.write_all(&OPTIONS[..OPTIONS.len() - 5]).await.unwrap();
        writer.shutdown().await.unwrap();
        assert!(matches!(arrivals.recv().await, Some(TransportEvent::Broken { .. })));
        let closed = arrivals.recv().await;
        assert!(matches!(closed, Some(TransportEvent::Closed { cause: Some(_), .. })), "{closed:?}");
        assert_eq!(counters.slow.get(), 0);
    }
}
