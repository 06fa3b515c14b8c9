//! TLS over a tokio stream, for connections that another process may continue. Connections that end with their process
//! use `tokio-rustls`.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, Error, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use trunkgate_tls_record::{TlsSession, TlsSnapshot};

/// Number of bytes read from the stream at once.
const READ_BYTES: usize = 4096;

/// TLS connection over a stream.
#[derive(Debug)]
pub struct TlsStream<S> {
    stream: S,
    session: TlsSession,
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    /// Performs the handshake of a client.
    ///
    /// # Errors
    /// Returns the error of the stream or, as the cause of `InvalidData`, that of TLS.
    pub async fn connect(config: Arc<ClientConfig>, name: ServerName<'static>, stream: S) -> io::Result<TlsStream<S>> {
        let session = TlsSession::connect(config, name).map_err(invalid)?;
        TlsStream { stream, session }.shake_hands().await
    }

    /// Performs the handshake of a server.
    ///
    /// # Errors
    /// Returns the error of the stream or, as the cause of `InvalidData`, that of TLS.
    pub async fn accept(config: Arc<ServerConfig>, stream: S) -> io::Result<TlsStream<S>> {
        let session = TlsSession::accept(config).map_err(invalid)?;
        TlsStream { stream, session }.shake_hands().await
    }

    /// Continues a TLS connection of another process over its stream.
    ///
    /// # Errors
    /// Returns an error if the keys of the snapshot cannot be used.
    pub fn resume(snapshot: TlsSnapshot, stream: S) -> io::Result<TlsStream<S>> {
        Ok(TlsStream { stream, session: TlsSession::resume(snapshot).map_err(invalid)? })
    }

    /// Returns the underlying stream.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Returns the state of the TLS connection.
    pub fn session(&self) -> &TlsSession {
        &self.session
    }

    /// Separates the underlying stream from the state of the TLS connection.
    pub fn into_parts(self) -> (S, TlsSession) {
        (self.stream, self.session)
    }

    async fn shake_hands(mut self) -> io::Result<TlsStream<S>> {
        poll_fn(|cx| {
            loop {
                ready!(self.poll_send(cx))?;
                if !self.session.is_handshaking() {
                    return Poll::Ready(Ok(()));
                }
                if ready!(self.poll_receive(cx))? == 0 {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "tls handshake eof")));
                }
            }
        })
        .await?;
        Ok(self)
    }

    /// Writes all encrypted bytes that wait to be sent to the stream.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.session.unsent().is_empty() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(cx, self.session.unsent()))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.session.mark_sent(sent);
        }
        Poll::Ready(Ok(()))
    }

    /// Reads from the stream once and processes the bytes; returns their number, 0 at the end of the stream.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut bytes = [0; READ_BYTES];
        let mut bytes = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut bytes))?;
        let received = self.session.receive(bytes.filled());
        if let Err(fault) = received {
            // The alert for it, if the stream accepts it.
            let _ = self.poll_send(cx);
            return Poll::Ready(Err(invalid(fault)));
        }
        Poll::Ready(Ok(bytes.filled().len()))
    }
}

fn invalid(fault: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, fault)
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.session.has_data() {
                let length = this.session.read(out.initialize_unfilled());
                out.advance(length);
                return Poll::Ready(Ok(()));
            }
            if this.session.is_ended() {
                return Poll::Ready(Ok(()));
            }
            if ready!(this.poll_receive(cx))? == 0 {
                let what = "peer closed connection without sending TLS close_notify";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, what)));
            }
            // Answers of TLS itself; what the stream does not accept now goes with the next data.
            if let Poll::Ready(Err(error)) = this.poll_send(cx) {
                return Poll::Ready(Err(error));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        let accepted = this.session.write(data).map_err(invalid)?;
        match this.poll_send(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            // The data is accepted in any case.
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(accepted)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.session.close();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use rustls::RootCertStore;
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;
    use crate::certificates::{provider, words};

    fn configs() -> (Arc<ClientConfig>, Arc<ServerConfig>) {
        let certificate = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(certificate.signing_key.serialize_der()));
        let mut roots = RootCertStore::empty();
        roots.add(certificate.cert.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
        let mut client = client.with_root_certificates(roots).with_no_client_auth();
        let server = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
        let server = server.with_no_client_auth().with_single_cert(vec![certificate.cert.der().clone()], key);
        let mut server = server.unwrap();
        (client.enable_secret_extraction, server.enable_secret_extraction) = (true, true);
        (Arc::new(client), Arc::new(server))
    }

    fn name(name: &str) -> ServerName<'static> {
        ServerName::try_from(name.to_owned()).unwrap()
    }

    async fn connected(room: usize) -> (TlsStream<DuplexStream>, TlsStream<DuplexStream>) {
        let ((client, server), (one, other)) = (configs(), duplex(room));
        let (one, other) =
            tokio::join!(TlsStream::connect(client, name("a.example"), one), TlsStream::accept(server, other));
        (one.unwrap(), other.unwrap())
    }

    fn cross(stream: TlsStream<DuplexStream>) -> TlsStream<DuplexStream> {
        let (stream, session) = stream.into_parts();
        TlsStream::resume(session.into_snapshot().unwrap(), stream).unwrap()
    }

    /// Sends data one way while the stream has room for a part of a record only.
    async fn send(from: &mut TlsStream<DuplexStream>, to: &mut TlsStream<DuplexStream>) {
        let data = vec![7; 100_000];
        let mut heard = vec![0; data.len()];
        let sent = async {
            from.write_all(&data).await.unwrap();
            from.flush().await.unwrap();
        };
        tokio::join!(sent, async { to.read_exact(&mut heard).await.unwrap() });
        assert_eq!(heard, data);
    }

    #[tokio::test]
    async fn both_sides_cross_and_go_on() {
        let (mut client, mut server) = connected(1000).await;
        assert!(client.session().peer_certificates().is_some_and(|chain| chain.len() == 1));
        for _ in 0..3 {
            send(&mut client, &mut server).await;
            send(&mut server, &mut client).await;
            (client, server) = (cross(client), cross(server));
        }
        client.shutdown().await.unwrap();
        assert_eq!(server.read(&mut [0; 9]).await.unwrap(), 0);
        server.shutdown().await.unwrap();
        assert_eq!(client.read(&mut [0; 9]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn an_end_without_notice_is_an_error() {
        let (client, mut server) = connected(1000).await;
        drop(client);
        assert_eq!(server.read(&mut [0; 9]).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn a_failed_handshake_has_its_reason() {
        let ((client, server), (one, other)) = (configs(), duplex(1000));
        let (refused, told) =
            tokio::join!(TlsStream::connect(client, name("b.example"), one), TlsStream::accept(server, other));
        assert!(words(&refused.unwrap_err()).contains("not valid for name"));
        assert!(told.unwrap_err().get_ref().is_some_and(|fault| fault.is::<Error>()));
        let ((client, _), (one, other)) = (configs(), duplex(1000));
        drop(other);
        let ended = TlsStream::connect(client, name("a.example"), one).await.unwrap_err();
        assert!(matches!(ended.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe), "{ended}");
    }
}
