//! Outgoing connections for SIP, agents, web services and CLI verbs: name resolution, TCP and TLS, each with a time
//! limit.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, Error};
use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::certificates::{CertificateRejection, is_tls, words};
use crate::tls_stream;
use crate::twilio_hosts::{elsewhere, is_served_host};

/// Options for outgoing connections.
#[derive(Debug, Clone, Copy, Default)]
pub struct Connector {
    /// Source address, used for destinations of its address family only.
    pub source: Option<IpAddr>,
    /// Time limit for a TCP connection to one address; if `None`, the system's limit applies.
    pub connect_within: Option<Duration>,
    /// Time limit for the TLS handshake; `None` if the caller limits the whole operation.
    pub handshake_within: Option<Duration>,
    /// Size of the system's send buffer in bytes; a small one, because queued data can still be dropped but sent data
    /// cannot. If `None`, the system chooses.
    pub send_buffer: Option<u32>,
    /// Maximum time for which sent data may stay unacknowledged. If `None`, the system chooses.
    pub unacknowledged: Option<Duration>,
}

/// Reason why a TLS handshake failed.
#[derive(Debug)]
pub struct TlsFault {
    /// Reason as a clause, without a full stop.
    pub what: String,
    /// Whether the two sides disagree on certificates or versions; false if the connection was lost.
    pub is_disagreement: bool,
    /// Fault of the remote party's certificate; `None` if the handshake failed for another reason.
    pub certificate: Option<CertificateError>,
    /// Reason why the remote party rejected the local certificate; `None` if it did not.
    pub rejected: Option<CertificateRejection>,
}

impl TlsFault {
    /// Creates the failure of a handshake that could not be started.
    pub fn new(what: impl ToString) -> TlsFault {
        TlsFault { what: what.to_string(), is_disagreement: true, certificate: None, rejected: None }
    }
}

/// Resolves a host name. For hosts of Twilio that the edge serves itself, returns only addresses that do not belong to
/// this machine.
///
/// # Errors
/// Returns the system's error, or `NotFound` if the name has no address.
pub async fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let mut found: Vec<SocketAddr> = lookup_host((host, port)).await?.collect();
    if is_served_host(host) {
        found = elsewhere(host, found).await?;
    }
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "its name does not resolve"));
    }
    Ok(found)
}

impl Connector {
    /// Opens a TCP connection to an address.
    ///
    /// # Errors
    /// Returns the system's error, or `TimedOut` after `connect_within`.
    pub async fn tcp(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(source) = self.source.filter(|source| source.is_ipv4() == to.is_ipv4()) {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        if let Some(bytes) = self.send_buffer {
            socket.set_send_buffer_size(bytes)?;
        }
        let stream = match self.connect_within {
            Some(limit) => match timeout(limit, socket.connect(to)).await {
                Ok(connected) => connected?,
                Err(_) => {
                    let what = format!("no connection within {} s", limit.as_secs_f32());
                    return Err(io::Error::new(io::ErrorKind::TimedOut, what));
                }
            },
            None => socket.connect(to).await?,
        };
        stream.set_nodelay(true)?;
        if self.unacknowledged.is_some() {
            SockRef::from(&stream).set_tcp_user_timeout(self.unacknowledged)?;
        }
        Ok(stream)
    }

    /// Opens a TCP connection to the first address of a host that accepts it.
    ///
    /// # Errors
    /// Returns the error of the last address, or that of the name resolution.
    pub(crate) async fn host(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        self.first(&look_up(host, port).await?).await
    }

    /// Opens a TCP connection to the first of these addresses that accepts it.
    ///
    /// # Errors
    /// Returns the error of the last address.
    pub async fn first(&self, addresses: &[SocketAddr]) -> io::Result<TcpStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "no address");
        for address in addresses {
            match self.tcp(*address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Performs the TLS handshake of a client; the server's certificate must be valid for `host`.
    ///
    /// # Errors
    /// Returns the reason why the handshake failed or exceeded `handshake_within`.
    pub async fn tls(
        &self,
        config: Arc<ClientConfig>,
        host: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, TlsFault> {
        let name = ServerName::try_from(host.to_owned()).map_err(|error| TlsFault::new(format!("{host}: {error}")))?;
        within(self.handshake_within, TlsConnector::from(config).connect(name, stream)).await
    }

    /// Performs the TLS handshake of a connection that another process may continue; the certificate must be valid for
    /// `host`.
    ///
    /// # Errors
    /// Returns the reason in words.
    pub async fn crossing_tls(
        &self,
        config: Arc<ClientConfig>,
        host: &str,
        stream: TcpStream,
    ) -> Result<tls_stream::TlsStream<TcpStream>, TlsFault> {
        let name = ServerName::try_from(host.to_owned()).map_err(|error| TlsFault::new(format!("{host}: {error}")))?;
        within(self.handshake_within, tls_stream::TlsStream::connect(config, name, stream)).await
    }
}

/// Waits for the TLS handshake of a client or server, up to a time limit.
///
/// # Errors
/// Returns the reason why the handshake failed or exceeded the limit.
pub async fn within<T>(limit: Option<Duration>, handshake: impl Future<Output = io::Result<T>>) -> Result<T, TlsFault> {
    let done = match limit {
        Some(limit) => timeout(limit, handshake).await.map_err(|_| TlsFault {
            what: format!("handshake not finished within {} s", limit.as_secs_f32()),
            is_disagreement: false,
            certificate: None,
            rejected: None,
        })?,
        None => handshake.await,
    };
    done.map_err(|error| TlsFault {
        what: words(&error),
        is_disagreement: is_tls(&error),
        certificate: certificate_fault(&error),
        rejected: CertificateRejection::of(&error),
    })
}

fn certificate_fault(error: &io::Error) -> Option<CertificateError> {
    let Error::InvalidCertificate(fault) = error.get_ref()?.downcast_ref()? else { return None };
    Some(fault.clone())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_connection_comes_from_its_source_to_the_first_address_that_answers() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let source: IpAddr = Ipv4Addr::new(127, 0, 0, 2).into();
        let limit = Some(Duration::from_secs(5));
        let connector =
            Connector { source: Some(source), connect_within: limit, unacknowledged: limit, ..Connector::default() };
        let stream = connector.host("localhost", port).await.unwrap();
        assert!(stream.nodelay().unwrap());
        assert_eq!(listener.accept().await.unwrap().1.ip(), source);
        drop(listener);
        assert_eq!(connector.host("localhost", port).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn a_handshake_takes_no_longer_than_it_may() {
        let never = std::future::pending::<io::Result<()>>();
        let fault = within(Some(Duration::ZERO), never).await.unwrap_err();
        assert_eq!((fault.what.as_str(), fault.is_disagreement), ("handshake not finished within 0 s", false));
    }
}
