//! Tunnels from clients on this machine to other hosts. Their bytes are relayed unread.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use super::ApiProxy;
use super::host::PORT;
use crate::ApiError;
use crate::places::HttpSlotOccupant;
use trunkgate_system::connector::{Connector, look_up};
use trunkgate_system::limits;
use trunkgate_system::reach::ReachRules;

/// Connects to a host, and relays bytes after the response to the client's CONNECT is sent.
///
/// # Errors
/// Returns an error if too many tunnels are open, or if the host cannot be reached or is not permitted.
pub(super) async fn open(
    proxy: &ApiProxy,
    host: &str,
    occupant: HttpSlotOccupant,
    request: Request,
) -> Result<(), ApiError> {
    let Ok(permit) = proxy.tunnels().try_acquire_owned() else {
        let message =
            format!("the limit of {} connections to other hosts is reached: try again later", limits::PROXY_TUNNELS);
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_tunnels", message));
    };
    let reach = proxy.reach();
    let far = dial(&reach, host, PORT).await?;
    // No request follows the response, so the connection is marked before it is sent.
    let serving = occupant.tunnel();
    tokio::spawn(async move {
        let (_permit, _serving) = (permit, serving);
        if let Ok(upgraded) = hyper::upgrade::on(request).await {
            relay(&mut TokioIo::new(upgraded), far, Duration::from_secs(limits::PROXY_TUNNEL_IDLE_SECONDS)).await;
        }
    });
    Ok(())
}

/// Relays bytes in both directions until both sides have ended, one fails, or no byte has passed for `idle`.
async fn relay(near: &mut (impl AsyncRead + AsyncWrite + Unpin), far: TcpStream, idle: Duration) {
    let passed = Arc::new(Mutex::new(Instant::now()));
    let mut far = WatchedStream { stream: far, passed: Arc::clone(&passed) };
    let silence = async {
        loop {
            let until = *passed.lock().unwrap_or_else(PoisonError::into_inner) + idle;
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    };
    tokio::select! {
        _ = copy_bidirectional(near, &mut far) => {}
        () = silence => {}
    }
}

/// Stream that records when its last byte passed.
struct WatchedStream {
    stream: TcpStream,
    passed: Arc<Mutex<Instant>>,
}

impl WatchedStream {
    fn note<T>(&self, poll: Poll<T>) -> Poll<T> {
        if poll.is_ready() {
            *self.passed.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
        poll
    }
}

impl AsyncRead for WatchedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_read(cx, into);
        self.note(poll)
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(poll)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Resolves a host once, and connects to the first permitted address that accepts the connection.
async fn dial(reach: &ReachRules, host: &str, port: u16) -> Result<TcpStream, ApiError> {
    let unreachable = |what: String| {
        let message = format!("{host} cannot be reached: {what}");
        ApiError::new(StatusCode::BAD_GATEWAY, "unreachable", message)
    };
    let limit = Duration::from_secs(limits::PROXY_CONNECT_SECONDS);
    let connected = timeout(limit, async {
        let found: Vec<SocketAddr> = look_up(host, port).await.map_err(|error| unreachable(error.to_string()))?;
        let allowed = reach.select(&found).map_err(|barred| {
            let message = format!("{host} is not proxied: {} is private, reserved or of this machine; connect to it without the proxy (NO_PROXY)", barred.address);
            ApiError::new(StatusCode::FORBIDDEN, "not_proxied", message)
        })?;
        Connector::default().first(&allowed).await.map_err(|error| unreachable(error.to_string()))
    });
    connected.await.unwrap_or_else(|_| Err(unreachable(format!("no connection within {} s", limit.as_secs()))))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn bytes_pass_both_ways_until_both_sides_have_ended() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let (mut client, mut near) = tokio::io::duplex(16);
        let relay = tokio::spawn(async move { relay(&mut near, far, Duration::from_secs(60)).await });
        let (mut asked, mut answered) = (String::new(), String::new());
        client.write_all(b"more bytes than the pipe has room for").await.unwrap();
        client.shutdown().await.unwrap();
        server.read_to_string(&mut asked).await.unwrap();
        assert!(asked.starts_with("more bytes") && asked.ends_with("room for"));
        server.write_all(b"answer").await.unwrap();
        drop(server);
        client.read_to_string(&mut answered).await.unwrap();
        assert_eq!(answered, "answer");
        relay.await.unwrap();
    }

    #[tokio::test]
    async fn a_side_that_takes_and_gives_nothing_ends_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (_server, _) = listener.accept().await.unwrap();
        let (mut client, mut near) = tokio::io::duplex(1024);
        // The other host reads nothing, so bytes pile up and the end of the client's stream is not noticed.
        let flood = tokio::spawn(async move { while client.write_all(&[0; 1024]).await.is_ok() {} });
        relay(&mut near, far, Duration::from_millis(50)).await;
        drop(near);
        flood.await.unwrap();
    }

    #[tokio::test]
    async fn only_addresses_that_may_be_reached_are_connected_to() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let barred = dial(&ReachRules::default(), "localhost", address.port()).await.unwrap_err();
        assert_eq!((barred.code, barred.status), ("not_proxied", StatusCode::FORBIDDEN));
        assert!(barred.message.contains("localhost is not proxied: "), "{}", barred.message);
        let open = ReachRules { allow_private: true, ..ReachRules::default() };
        let stream = dial(&open, "localhost", address.port()).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap().port(), address.port());
        let own = ReachRules { closed: [address].into(), ..open.clone() };
        assert_eq!(dial(&own, "localhost", address.port()).await.unwrap_err().code, "not_proxied");
        drop(listener);
        let refused = dial(&open, "localhost", address.port()).await.unwrap_err();
        assert_eq!((refused.code, refused.status), ("unreachable", StatusCode::BAD_GATEWAY));
        let unknown = dial(&open, "host.invalid", 443).await.unwrap_err();
        assert_eq!(unknown.code, "unreachable", "{}", unknown.message);
    }
}
