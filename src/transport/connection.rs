//! One stream connection: a task that frames what comes, writes what is queued, and tells when it is gone.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;
use trunkgate_call::Identity;
use trunkgate_sip::Flow;
use trunkgate_sip::framer::{Framed, Framer};

use super::tls::Failed;
use super::{Arrival, SocketCounters};
use crate::certificates::{is_tls, words};
use crate::limits;

/// What the loop asks of a connection.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// Bytes to write.
    Bytes(Bytes),
    /// Write what came before, then close.
    Close,
}

/// Why a connection ended.
enum Ended {
    /// We closed it.
    Closed,
    /// The far end, or an error.
    Lost(io::Error),
}

/// The task's own things.
pub(super) struct Wire {
    /// Its name towards the loop.
    pub(super) flow: Flow,
    /// The trunk that it was opened for under TLS; empty: a host of no trunk.
    pub(super) made_for: Option<Arc<str>>,
    /// Longest message, in bytes.
    pub(super) message_bytes: usize,
    /// Its queue, for keep-alive answers.
    pub(super) queue: mpsc::Sender<Outgoing>,
    /// News for the loop.
    pub(super) news: mpsc::Sender<Arrival>,
    /// Counters.
    pub(super) counters: Arc<SocketCounters>,
}

impl Wire {
    /// Serves the connection until it ends.
    pub(super) async fn serve(
        self,
        reader: impl AsyncRead + Unpin,
        writer: impl AsyncWrite + Unpin,
        outgoing: mpsc::Receiver<Outgoing>,
    ) {
        self.counters.connections.add(1);
        let reading = self.read(reader);
        let ended = tokio::select! {
            ended = reading => ended,
            ended = write(writer, outgoing) => ended,
        };
        self.counters.connections.sub(1);
        match ended {
            Ended::Closed => self.gone(None).await,
            Ended::Lost(error) => self.lost(error).await,
        }
    }

    /// Says whom the connection belongs to, before any message of it.
    pub(super) async fn identified(&self, identity: Identity) {
        if let Some(connection) = self.flow.connection {
            let _ = self.news.send(Arrival::Identified { connection, identity }).await;
        }
    }

    /// Says that TLS never came up.
    pub(super) async fn refused(self, failed: Failed) {
        self.counters.handshakes_failed.add(1);
        self.gone(Some(failed.what)).await;
    }

    /// Says that the connection never came up, or broke. Under TLS 1.3 a far end that refuses our certificate says so
    /// only after the handshake.
    pub(super) async fn lost(self, error: io::Error) {
        let tls = is_tls(&error).then(|| words(&error));
        tracing::debug!("{} {}: {error}", self.flow.transport.via_token(), self.flow.remote);
        self.gone(tls).await;
    }

    async fn gone(self, tls: Option<String>) {
        let Wire { flow, made_for, news, .. } = self;
        let _ = news.send(Arrival::Closed { flow, made_for, tls }).await;
    }

    async fn read(&self, mut reader: impl AsyncRead + Unpin) -> Ended {
        let mut framer = Framer::new(self.message_bytes);
        let mut buffer = vec![0; 16 << 10];
        let idle = Duration::from_secs(limits::CONNECTION_IDLE_SECONDS);
        loop {
            let len = match timeout(idle, reader.read(&mut buffer)).await {
                Err(_) => return Ended::Closed,
                Ok(Ok(0)) => return Ended::Lost(io::ErrorKind::UnexpectedEof.into()),
                Ok(Err(error)) => return Ended::Lost(error),
                Ok(Ok(len)) => len,
            };
            framer.push(buffer.get(..len).unwrap_or_default());
            while let Some(framed) = framer.pop() {
                let arrival = match framed {
                    Framed::Message(bytes) => Arrival::Received { flow: self.flow, bytes },
                    Framed::Ping => {
                        // A full queue has other signs of life.
                        let _ = self.queue.try_send(Outgoing::Bytes(Bytes::from_static(b"\r\n")));
                        continue;
                    }
                    Framed::Broken { bytes, what } => {
                        let _ = self.news.send(Arrival::Broken { flow: self.flow, bytes, what }).await;
                        return discard(reader).await;
                    }
                };
                if self.news.send(arrival).await.is_err() {
                    return Ended::Closed;
                }
            }
        }
    }
}

/// Reads a broken stream empty until the loop has it closed: closing with unread bytes would reset the connection and
/// take the answer away.
async fn discard(mut reader: impl AsyncRead + Unpin) -> Ended {
    let mut buffer = vec![0; 4096];
    let until_end = async { while reader.read(&mut buffer).await.is_ok_and(|len| len > 0) {} };
    let _ = timeout(Duration::from_secs(limits::LINGER_SECONDS), until_end).await;
    Ended::Closed
}

async fn write(mut writer: impl AsyncWrite + Unpin, mut outgoing: mpsc::Receiver<Outgoing>) -> Ended {
    while let Some(next) = outgoing.recv().await {
        match next {
            Outgoing::Bytes(bytes) => {
                let writing = async {
                    writer.write_all(&bytes).await?;
                    writer.flush().await
                };
                match timeout(Duration::from_secs(limits::WRITE_SECONDS), writing).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return Ended::Lost(error),
                    Err(_) => return Ended::Lost(io::ErrorKind::TimedOut.into()),
                }
            }
            Outgoing::Close => {
                let _ = writer.shutdown().await;
                // The reader ends when the far end has closed too; not longer than it lingers.
                tokio::time::sleep(Duration::from_secs(limits::LINGER_SECONDS)).await;
                return Ended::Closed;
            }
        }
    }
    pending().await
}
