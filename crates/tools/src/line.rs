//! A connection of ours outside of an edge's own transport: TCP, or TLS over it. `call`, `doctor` and the demo speak by it.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::sync::mpsc;
use trunkgate_sip::framer::{Framed, Framer};

use trunkgate_system::connector::{Connector, TlsFault};
use trunkgate_system::limits::{CONNECT_SECONDS, HANDSHAKE_SECONDS};

/// Bytes read from a line at once.
const READ_BYTES: usize = 4096;

/// Bytes both ways.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// An open connection.
pub(crate) struct Line {
    /// By which it is read and written.
    pub(crate) stream: Box<dyn Stream>,
    /// Our end.
    pub(crate) local: SocketAddr,
    /// The certificates that the far end showed.
    pub(crate) shown: Vec<CertificateDer<'static>>,
}

impl Line {
    /// Opens one; with `tls` the far end's certificate must be for that host.
    ///
    /// # Errors
    /// What happened, as a clause.
    pub(crate) async fn open(to: SocketAddr, tls: Option<(Arc<ClientConfig>, &str)>) -> Result<Line, String> {
        let connector = Connector {
            connect_within: Some(Duration::from_secs(CONNECT_SECONDS)),
            handshake_within: Some(Duration::from_secs(HANDSHAKE_SECONDS)),
            ..Connector::default()
        };
        let stream = connector.tcp(to).await.map_err(|error| plain(&error))?;
        let local = stream.local_addr().map_err(|error| plain(&error))?;
        let Some((config, host)) = tls else {
            return Ok(Line { stream: Box::new(stream), local, shown: Vec::new() });
        };
        let failed = |fault: TlsFault| format!("TLS failed: {}", fault.what);
        let stream = connector.tls(config, host, stream).await.map_err(failed)?;
        let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let shown = shown.iter().map(|one| one.clone().into_owned()).collect();
        Ok(Line { stream: Box::new(stream), local, shown })
    }
}

/// Hands whole messages on until the line ends.
pub(crate) async fn receive(mut stream: impl AsyncRead + Unpin, messages: mpsc::Sender<Bytes>) {
    let (mut framer, mut buffer) = (Framer::new(trunkgate_sip::limits::MESSAGE_BYTES), [0; READ_BYTES]);
    while let Ok(len @ 1..) = stream.read(&mut buffer).await {
        framer.push(buffer.get(..len).unwrap_or_default());
        while let Some(framed) = framer.pop() {
            match framed {
                Framed::Message(bytes) => {
                    if messages.send(bytes).await.is_err() {
                        return;
                    }
                }
                Framed::Ping => {}
                Framed::Broken { .. } => return,
            }
        }
    }
}

/// What happened to a socket, without numbers of the system where there are words.
#[expect(clippy::wildcard_enum_match_arm, reason = "there are dozens, and these have words")]
pub(crate) fn plain(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "refused: no listener at this port, or a firewall rejects it".to_owned(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "the remote party closed the connection".to_owned(),
        ErrorKind::HostUnreachable => "host unreachable".to_owned(),
        ErrorKind::NetworkUnreachable => "no route to that network".to_owned(),
        ErrorKind::PermissionDenied => {
            "a firewall rule of this machine forbids it (`nft list ruleset`, `iptables -S OUTPUT`)".to_owned()
        }
        _ => error.to_string(),
    }
}
