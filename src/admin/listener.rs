//! HTTP connections, over TLS where that is configured: a bounded number, and none that is idle or half asked for long.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use trunkgate_route::household;

use crate::limits;
use crate::transport::{BySource, Settings};
use crate::web::Stream;

/// A listener that takes no more connections than it may.
#[derive(Debug)]
pub(super) struct Limited {
    listener: TcpListener,
    places: Arc<Semaphore>,
    sources: Arc<Sources>,
    /// Certificates as they are now.
    tls: watch::Receiver<Arc<Settings>>,
    /// Handshakes that are under way: nobody waits for a slow one.
    shaking: JoinSet<Option<(Connection, SocketAddr)>>,
}

impl Limited {
    pub(super) fn new(listener: TcpListener, tls: watch::Receiver<Arc<Settings>>) -> Limited {
        let places = Arc::new(Semaphore::new(limits::HTTP_CONNECTIONS));
        Limited { listener, places, sources: Arc::default(), tls, shaking: JoinSet::new() }
    }

    /// The next client, in its place.
    async fn next(
        listener: &TcpListener,
        places: &Arc<Semaphore>,
        sources: &Arc<Sources>,
    ) -> (TcpStream, SocketAddr, Place) {
        loop {
            // The semaphore is never closed; beyond its places clients wait in the system's backlog.
            let Ok(place) = Arc::clone(places).acquire_owned().await else {
                return std::future::pending().await;
            };
            match listener.accept().await {
                Ok((stream, remote)) => {
                    if let Some(share) = Share::of(sources, remote.ip()) {
                        return (stream, remote, Place { _place: place, _share: share });
                    }
                }
                Err(error) => {
                    tracing::warn!("http accept: {error}");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl Listener for Limited {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            tokio::select! {
                (stream, remote, place) = Limited::next(&self.listener, &self.places, &self.sources) => {
                    let Some(tls) = self.tls.borrow().of_http() else {
                        return (Connection::new(Box::new(stream), place), remote);
                    };
                    self.shaking.spawn(async move {
                        let limit = Duration::from_secs(limits::HANDSHAKE_SECONDS);
                        let shaken = timeout(limit, TlsAcceptor::from(tls).accept(stream)).await;
                        // Who fails learns why from TLS itself.
                        Some((Connection::new(Box::new(shaken.ok()?.ok()?), place), remote))
                    });
                }
                Some(shaken) = self.shaking.join_next() => {
                    if let Ok(Some(connection)) = shaken {
                        return connection;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

type Sources = Mutex<BySource>;

/// One of an address's connections.
#[derive(Debug)]
struct Share {
    sources: Arc<Sources>,
    source: IpAddr,
}

impl Share {
    /// `None`: the address has as many as it may.
    fn of(sources: &Arc<Sources>, remote: IpAddr) -> Option<Share> {
        let (source, is_here) = (household(remote), remote.to_canonical().is_loopback());
        let most = if is_here { usize::MAX } else { limits::HTTP_CONNECTIONS_OF_ONE };
        let may = sources.lock().unwrap_or_else(PoisonError::into_inner).take(source, most);
        may.then(|| Share { sources: Arc::clone(sources), source })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).give_back(self.source);
    }
}

/// What a connection has of what there is.
#[derive(Debug)]
struct Place {
    _place: OwnedSemaphorePermit,
    _share: Share,
}

/// A stream that fails when nothing passes on it for too long, or when a request takes too long to come.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    idle: Pin<Box<Sleep>>,
    /// Since it was taken, or since the first byte that has not been answered.
    arrival: Option<Pin<Box<Sleep>>>,
    arrival_limit: Duration,
    /// Nothing has come yet.
    is_silent: bool,
    _place: Place,
}

const IDLE: Duration = Duration::from_secs(limits::HTTP_IDLE_SECONDS);
const FIRST_BYTE: Duration = Duration::from_secs(limits::HTTP_FIRST_BYTE_SECONDS);

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("arrival", &self.arrival).finish_non_exhaustive()
    }
}

impl Connection {
    fn new(stream: Box<dyn Stream>, place: Place) -> Connection {
        let arrival_limit = Duration::from_secs(limits::HTTP_ARRIVAL_SECONDS);
        let arrival = Some(Box::pin(sleep(FIRST_BYTE)));
        Connection { stream, idle: Box::pin(sleep(IDLE)), arrival, arrival_limit, is_silent: true, _place: place }
    }

    /// Whether what was begun to be asked is not answered in time.
    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        self.arrival.as_mut().is_some_and(|arrival| arrival.as_mut().poll(cx).is_ready())
    }

    /// Passes a result on; while there is none, lets the clock run.
    fn watch<T>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.idle.as_mut().reset(Instant::now() + IDLE);
            return poll;
        }
        self.idle.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before && (self.is_silent || self.arrival.is_none()) {
            self.is_silent = false;
            self.arrival = Some(Box::pin(sleep(self.arrival_limit)));
        }
        if self.is_late(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        self.watch(cx, poll)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if poll.is_ready() {
            self.arrival = None;
        }
        self.watch(cx, poll)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch(cx, poll)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.watch(cx, poll)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_request_that_comes_byte_by_byte_is_given_up_and_an_answer_begins_anew() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut connection = Limited::new(listener, watch::channel(Arc::default()).1).accept().await.0;
        connection.arrival_limit = Duration::from_millis(20);
        let mut byte = [0];
        client.write_all(b"G").await.unwrap();
        connection.read_exact(&mut byte).await.unwrap();
        connection.write_all(b"answer").await.unwrap();
        assert!(connection.arrival.is_none());
        let error = loop {
            let _ = client.write_all(b"x").await;
            match connection.read_exact(&mut byte).await {
                Ok(_) => sleep(Duration::from_millis(1)).await,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn who_asks_for_nothing_is_let_go() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut connection = Limited::new(listener, watch::channel(Arc::default()).1).accept().await.0;
        let at = connection.arrival.as_ref().unwrap().deadline();
        assert!(at <= Instant::now() + FIRST_BYTE);
        connection.arrival = Some(Box::pin(sleep(Duration::from_millis(20))));
        let error = connection.read_exact(&mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn one_address_has_its_share_and_loopback_all() {
        let sources = Arc::new(Sources::default());
        let of = |address: &str| Share::of(&sources, address.parse().unwrap());
        let mut taken: Vec<Share> = (0..limits::HTTP_CONNECTIONS_OF_ONE).filter_map(|_| of("192.0.2.1")).collect();
        assert_eq!(taken.len(), limits::HTTP_CONNECTIONS_OF_ONE);
        assert!(of("192.0.2.1").is_none() && of("::ffff:192.0.2.1").is_none() && of("192.0.2.2").is_some());
        taken.pop();
        assert!(of("192.0.2.1").is_some());
        taken.extend((0..limits::HTTP_CONNECTIONS_OF_ONE).filter_map(|n| of(&format!("2001:db8::{n:x}"))));
        assert!(of("2001:db8::ffff").is_none() && of("2001:db8:0:1::1").is_some());
        taken.extend((0..limits::HTTP_CONNECTIONS).filter_map(|n| of(["127.0.0.1", "::1"][n % 2])));
        assert!(taken.len() > limits::HTTP_CONNECTIONS && of("::1").is_some());
        taken.clear();
        assert!(sources.lock().unwrap().is_empty(), "nothing is kept of who has gone");
    }

    #[tokio::test]
    async fn beyond_the_limit_a_client_waits_for_a_place() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut limited = Limited::new(listener, watch::channel(Arc::default()).1);
        let mut clients = Vec::new();
        let mut taken = Vec::new();
        for _ in 0..limits::HTTP_CONNECTIONS {
            clients.push(TcpStream::connect(address).await.unwrap());
            taken.push(limited.accept().await);
        }
        clients.push(TcpStream::connect(address).await.unwrap());
        assert_eq!(limited.places.available_permits(), 0);
        tokio::select! {
            biased;
            _ = limited.accept() => panic!("one too many"),
            () = tokio::task::yield_now() => {}
        }
        taken.pop();
        limited.accept().await;
    }
}
