//! Stream connection: a task that frames received messages, writes queued ones, and reports the end.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout, timeout_at};
use trunkgate_call::{StreamFailure, TlsIdentity};
use trunkgate_sip::Flow;
use trunkgate_sip::framer::{FramedItem, Framer};

use super::places::{ConnectionSlot, SlotLoss};
use super::{SocketCounters, TransportEvent};
use trunkgate_system::certificates::{is_tls, words};
use trunkgate_system::connector::TlsFault;
use trunkgate_system::limits;

/// Request of the signalling loop to a connection.
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
    /// Closed by the remote party, or an error.
    Lost(io::Error),
    /// Evicted.
    Displaced(SlotLoss),
}

/// Time limits for a remote party.
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
    /// Returns the limits for an inbound or outbound connection.
    pub(super) fn with(opened_by_them: bool) -> ConnectionTimeouts {
        ConnectionTimeouts {
            idle: Duration::from_secs(limits::CONNECTION_IDLE_SECONDS),
            message: Duration::from_secs(limits::MESSAGE_SECONDS),
            line: Duration::from_secs(limits::NEXT_LINE_SECONDS),
            first: opened_by_them.then_some(Duration::from_secs(limits::FIRST_MESSAGE_SECONDS)),
        }
    }
}

/// State of the connection task.
pub(super) struct ConnectionTask {
    /// Flow that identifies the connection to the loop.
    pub(super) flow: Flow,
    /// Trunk for which the TLS connection was opened; empty if the host belongs to no trunk.
    pub(super) made_for: Option<Arc<str>>,
    /// Maximum length of a message in bytes.
    pub(super) message_bytes: usize,
    /// Time limits for the remote party.
    pub(super) patience: ConnectionTimeouts,
    /// Queue of the connection, for keep-alive responses.
    pub(super) queue: mpsc::Sender<ConnectionCommand>,
    /// Channel to the signalling loop.
    pub(super) news: mpsc::Sender<TransportEvent>,
    /// Counters of all sockets.
    pub(super) counters: Arc<SocketCounters>,
}

impl ConnectionTask {
    /// Serves the connection until it ends.
    pub(super) async fn serve(
        self,
        reader: impl AsyncRead + Unpin,
        writer: impl AsyncWrite + Unpin,
        outgoing: mpsc::Receiver<ConnectionCommand>,
        mut place: ConnectionSlot,
    ) {
        self.counters.connections.add(1);
        let flushed = Notify::new();
        let ended = tokio::select! {
            ended = self.read(reader, &flushed) => ended,
            ended = write(writer, outgoing, &flushed) => ended,
            lost = place.lost() => ConnectionEnd::Displaced(lost),
        };
        drop(place);
        self.counters.connections.sub(1);
        match ended {
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

    /// Reports the owner of the connection, before its first message.
    pub(super) async fn identified(&self, identity: TlsIdentity) {
        if let Some(connection) = self.flow.connection {
            let _ = self.news.send(TransportEvent::Identified { connection, remote: self.flow.remote, identity }).await;
        }
    }

    /// Reports a failed TLS handshake.
    pub(super) async fn refused(self, failed: TlsFault) {
        self.counters.handshakes_failed.add(1);
        self.gone(Some(StreamFailure::Tls(failed.what)), false).await;
    }

    /// Reports a connection that could not be established, or broke. With TLS 1.3 a remote party reports the rejection
    /// of our certificate only after the handshake.
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

    async fn read(&self, mut reader: impl AsyncRead + Unpin, flushed: &Notify) -> ConnectionEnd {
        let mut framer = Framer::new(self.message_bytes);
        let mut buffer = vec![0; 16 << 10];
        let ConnectionTimeouts { idle, message, line, first } = self.patience;
        // Start of the current message, or of the wait for the first one: slow single bytes do not keep a connection
        // open.
        let mut slow = first.map(|first| Instant::now() + first);
        loop {
            let patient_until = Instant::now() + if framer.awaits_line() { line } else { idle };
            let until = slow.map_or(patient_until, |slow| slow.min(patient_until));
            let ended = match timeout_at(until, reader.read(&mut buffer)).await {
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

/// Discards the rest of a broken stream until the loop has closed it and all responses are written: closing with unread
/// bytes would reset the connection and lose the responses.
async fn discard(mut reader: impl AsyncRead + Unpin, flushed: &Notify) {
    let mut buffer = vec![0; 4096];
    let until_end = async {
        while reader.read(&mut buffer).await.is_ok_and(|len| len > 0) {}
        flushed.notified().await;
    };
    let _ = timeout(Duration::from_secs(limits::LINGER_SECONDS), until_end).await;
}

async fn write(
    mut writer: impl AsyncWrite + Unpin,
    mut outgoing: mpsc::Receiver<ConnectionCommand>,
    flushed: &Notify,
) -> ConnectionEnd {
    while let Some(next) = outgoing.recv().await {
        match next {
            ConnectionCommand::Bytes(bytes) => {
                let writing = async {
                    writer.write_all(&bytes).await?;
                    writer.flush().await
                };
                match timeout(Duration::from_secs(limits::WRITE_SECONDS), writing).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return ConnectionEnd::Lost(error),
                    Err(_) => return ConnectionEnd::Lost(io::ErrorKind::TimedOut.into()),
                }
            }
            ConnectionCommand::Close => {
                let _ = writer.shutdown().await;
                flushed.notify_one();
                // The reader ends when the remote party has closed too, but lingers for a limited time.
                tokio::time::sleep(Duration::from_secs(limits::LINGER_SECONDS)).await;
                return ConnectionEnd::Closed;
            }
        }
    }
    pending().await
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
            message_bytes: 65_535,
            patience,
            queue,
            news,
            counters: counters.clone(),
        };
        let (reader, writer) = tokio::io::split(near);
        let place = ConnectionSlots::default().take(remote.ip(), true).unwrap().place;
        tokio::spawn(wire.serve(reader, writer, outgoing, place));
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
