//! Client connection over TCP or TLS, without the edge's transport layer. Used by `call`, `doctor` and the demo.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use trunkgate_sip::framer::{FramedItem, Framer};

use trunkgate_system::certificates::{is_tls, words};
use trunkgate_system::connector::{Connector, TlsFault};
use trunkgate_system::limits::{CONNECT_SECONDS, HANDSHAKE_SECONDS};

/// Size of the read buffer, in bytes.
const READ_BYTES: usize = 4096;

/// Byte stream in both directions.
pub(crate) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// Open TCP or TLS connection to a SIP server.
pub(crate) struct ConnectedStream {
    /// Stream of the decrypted bytes.
    pub(crate) stream: Box<dyn ByteStream>,
    /// Local address of the connection.
    pub(crate) local: SocketAddr,
    /// Certificate chain presented by the server; empty without TLS.
    pub(crate) shown: Vec<CertificateDer<'static>>,
}

impl ConnectedStream {
    /// Opens a connection; with `tls` the remote certificate must be valid for that host.
    ///
    /// # Errors
    /// Returns a clause that describes the failed connection or TLS handshake.
    pub(crate) async fn open(
        to: SocketAddr,
        tls: Option<(Arc<ClientConfig>, &str)>,
    ) -> Result<ConnectedStream, String> {
        ConnectedStream::over(ConnectedStream::connect(None, to).await.map_err(|error| plain(&error))?, tls).await
    }

    /// Connects by TCP, from `source` if given.
    ///
    /// # Errors
    /// Returns the system's error, or `TimedOut` after `CONNECT_SECONDS`.
    pub(crate) async fn connect(source: Option<IpAddr>, to: SocketAddr) -> io::Result<TcpStream> {
        let connect_within = Some(Duration::from_secs(CONNECT_SECONDS));
        Connector { source, connect_within, ..Connector::default() }.tcp(to).await
    }

    /// Creates a connection over an open TCP stream; with `tls` the server's certificate must be valid for that host.
    ///
    /// # Errors
    /// Returns a clause that describes the failed TLS handshake.
    pub(crate) async fn over(
        stream: TcpStream,
        tls: Option<(Arc<ClientConfig>, &str)>,
    ) -> Result<ConnectedStream, String> {
        let local = stream.local_addr().map_err(|error| plain(&error))?;
        let Some((config, host)) = tls else {
            return Ok(ConnectedStream { stream: Box::new(stream), local, shown: Vec::new() });
        };
        let failed = |fault: TlsFault| format!("TLS failed: {}", fault.what);
        let handshake_within = Some(Duration::from_secs(HANDSHAKE_SECONDS));
        let connector = Connector { handshake_within, ..Connector::default() };
        let stream = connector.tls(config, host, stream).await.map_err(failed)?;
        let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let shown = shown.iter().map(|one| one.clone().into_owned()).collect();
        Ok(ConnectedStream { stream: Box::new(stream), local, shown })
    }
}

/// Passes complete SIP messages to the queue until the connection ends.
pub(crate) async fn receive(mut stream: impl AsyncRead + Unpin, messages: mpsc::Sender<Bytes>) {
    let (mut framer, mut buffer) = (Framer::new(trunkgate_sip::limits::MESSAGE_BYTES), [0; READ_BYTES]);
    while let Ok(len @ 1..) = stream.read(&mut buffer).await {
        framer.push(buffer.get(..len).unwrap_or_default());
        while let Some(framed) = framer.pop() {
            match framed {
                FramedItem::Message(bytes) => {
                    if messages.send(bytes).await.is_err() {
                        return;
                    }
                }
                FramedItem::Ping => {}
                FramedItem::Broken { .. } => return,
            }
        }
    }
}

/// Describes a socket error, in plain words for the common kinds.
#[expect(clippy::wildcard_enum_match_arm, reason = "there are dozens, and these have words")]
pub(crate) fn plain(error: &io::Error) -> String {
    // With TLS 1.3 a server that refuses the client certificate reports it only after the handshake.
    if is_tls(error) {
        return format!("TLS failed: {}", words(error));
    }
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

#[cfg(test)]
mod tests {
    use rustls::{AlertDescription, Error};

    use super::*;

    #[test]
    fn an_alert_after_the_handshake_has_words_and_advice() {
        let of = |alert| {
            let what = plain(&io::Error::new(ErrorKind::InvalidData, Error::AlertReceived(alert)));
            let fix = trunkgate_system::tls_words::fix_of_trunk(&what, "teams").unwrap();
            (what, fix)
        };
        let (what, fix) = of(AlertDescription::CertificateRequired);
        assert!(what.starts_with("TLS failed: ") && what.contains("it requires a client certificate"), "{what}");
        assert!(fix.contains("certificate = \"FILE\", private_key = \"FILE\" }` in [trunk.teams]"), "{fix}");
        let (what, fix) = of(AlertDescription::UnsupportedCertificate);
        assert!(what.contains("it does not accept this certificate's use (alert unsupported_certificate)"), "{what}");
        assert!(fix.contains("extendedKeyUsage clientAuth") && fix.contains("[trunk.teams]"), "{fix}");
    }
}
