//! HTTP connections, optionally over TLS, with limits for their number and timeouts for idle connections and incomplete
//! requests.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::host_certificates::{ClientPath, HostCertificates};
use super::places::{HttpSlot, HttpSlots};
use super::request_line::FirstRequestLine;
use trunkgate_runtime::transport::TlsSettings;
use trunkgate_system::clock;
use trunkgate_system::connector::within;
use trunkgate_system::limits;
use trunkgate_system::log::LogThrottle;
use trunkgate_system::web::Stream;

/// HTTP listener with a limit for its connections.
#[derive(Debug)]
pub(super) struct LimitedListener {
    listener: TcpListener,
    places: HttpSlots,
    certificates: ListenerCertificates,
    /// TLS handshakes in progress, so that a slow one does not block others.
    shaking: JoinSet<Option<LimitedConnection>>,
    /// Rate limit of log lines about connections that cannot be accepted.
    complaint: LogThrottle,
}

/// Certificates that an HTTPS listener presents.
#[derive(Debug, Clone)]
pub(super) enum ListenerCertificates {
    /// Current certificates of `[http] tls`; without any, the listener uses plain HTTP.
    Http(watch::Receiver<Arc<TlsSettings>>),
    /// Certificates for Twilio's host names.
    Api(Arc<HostCertificates>),
}

/// Server side of a TLS handshake that has not begun.
enum ServerHandshake {
    Http(Arc<ServerConfig>),
    Api(Arc<HostCertificates>),
}

impl ListenerCertificates {
    /// Prepares the TLS handshake of a connection; `None` for plain HTTP.
    fn handshake(&self) -> Option<ServerHandshake> {
        match self {
            ListenerCertificates::Http(settings) => settings.borrow().of_http().map(ServerHandshake::Http),
            ListenerCertificates::Api(certificates) => Some(ServerHandshake::Api(Arc::clone(certificates))),
        }
    }
}

impl ServerHandshake {
    /// Performs the TLS handshake within a time limit; `None` if it failed and the client has received a TLS alert.
    async fn finish(self, stream: TcpStream, source: IpAddr) -> Option<TlsStream<TcpStream>> {
        let limit = Some(Duration::from_secs(limits::HANDSHAKE_SECONDS));
        match self {
            ServerHandshake::Http(tls) => within(limit, TlsAcceptor::from(tls).accept(stream)).await.ok(),
            ServerHandshake::Api(certificates) => {
                let tls = certificates.by_name().await.ok()?;
                let shaken = within(limit, TlsAcceptor::from(tls).accept(stream)).await;
                let complain = |fault| certificates.complain(source, "api.twilio.com", &fault, ClientPath::Listener);
                shaken.map_err(complain).ok()
            }
        }
    }
}

impl LimitedListener {
    pub(super) fn new(listener: TcpListener, certificates: ListenerCertificates, places: HttpSlots) -> LimitedListener {
        LimitedListener { listener, places, certificates, shaking: JoinSet::new(), complaint: LogThrottle::default() }
    }

    /// Accepts the next client, and returns its connection with a slot.
    async fn next(listener: &TcpListener, places: &HttpSlots, complaint: &mut LogThrottle) -> (TcpStream, HttpSlot) {
        loop {
            // Without a free slot, clients wait in the kernel's backlog.
            places.room().await;
            match listener.accept().await {
                Ok((stream, remote)) => {
                    if let Some(place) = places.take(remote) {
                        return (stream, place);
                    }
                }
                Err(error) => {
                    if let Some(more) = complaint.due(std::time::Instant::now()) {
                        tracing::warn!(
                            "http: no connection can be accepted, so API, metrics and console do not respond: {error}; retried{more}"
                        );
                    }
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl LimitedListener {
    /// Serves connections, each in a task of its own. Never returns.
    pub(super) async fn serve(mut self, router: Router) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                connection = self.accept() => {
                    connections.spawn(serve(connection, router.clone()));
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }

    async fn accept(&mut self) -> LimitedConnection {
        loop {
            tokio::select! {
                (stream, mut place) = LimitedListener::next(&self.listener, &self.places, &mut self.complaint) => {
                    let Some(handshake) = self.certificates.handshake() else {
                        return LimitedConnection::new(Box::new(stream), place);
                    };
                    self.shaking.spawn(async move {
                        let shaking = handshake.finish(stream, place.occupant().address());
                        let stream = tokio::select! {
                            shaken = shaking => shaken?,
                            () = place.evicted() => return None,
                        };
                        place.note_tls();
                        Some(LimitedConnection::new(Box::new(stream), place))
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
}

/// Serves the requests of a connection until it ends.
async fn serve(connection: LimitedConnection, router: Router) {
    let (occupant, router) = (connection.place.occupant(), TowerToHyperService::new(router));
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(occupant.clone()));
        let answered = router.call(request.map(Body::new));
        async move { answered.await.map(completed) }
    });
    let mut http = http1::Builder::new();
    http.max_buf_size(limits::HTTP_CONNECTION_BYTES).auto_date_header(false);
    let connection = http.serve_connection(TokioIo::new(connection), service);
    // Errors at the end of a connection do not matter to the operator.
    let _ = connection.with_upgrades().await;
}

/// Adds the date to a response. A response that establishes a tunnel loses all header fields instead, because
/// twilio-php recognises the end of such a response only without them.
fn completed(mut response: Response) -> Response {
    if response.extensions().get::<TunnelEstablished>().is_some() {
        response.headers_mut().clear();
    } else if let Ok(date) = HeaderValue::try_from(clock::http_date(clock::now())) {
        response.headers_mut().insert(header::DATE, date);
    }
    response
}

/// Marks the response that establishes a tunnel.
#[derive(Debug, Clone, Copy)]
pub(super) struct TunnelEstablished;

/// Stream of a connection that fails if it is idle for too long, or if a request takes too long to arrive.
pub(super) struct LimitedConnection {
    stream: Box<dyn Stream>,
    idle: Pin<Box<Sleep>>,
    /// Deadline for the current request, counted from its first byte, or from the acceptance of the connection.
    arrival: Option<Pin<Box<Sleep>>>,
    arrival_limit: Duration,
    /// Whether no byte has been received yet.
    is_silent: bool,
    first_line: FirstRequestLine,
    place: HttpSlot,
}

/// Maximum number of bytes of a request line that are read at once.
const REWRITTEN_BYTES: usize = 1024;
const IDLE: Duration = Duration::from_secs(limits::HTTP_IDLE_SECONDS);
const TUNNEL_IDLE: Duration = Duration::from_secs(limits::PROXY_TUNNEL_IDLE_SECONDS);
const FIRST_BYTE: Duration = Duration::from_secs(limits::HTTP_FIRST_BYTE_SECONDS);

impl std::fmt::Debug for LimitedConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LimitedConnection").field("arrival", &self.arrival).finish_non_exhaustive()
    }
}

impl LimitedConnection {
    fn new(stream: Box<dyn Stream>, place: HttpSlot) -> LimitedConnection {
        let arrival_limit = Duration::from_secs(limits::HTTP_ARRIVAL_SECONDS);
        let arrival = Some(Box::pin(sleep(FIRST_BYTE)));
        LimitedConnection {
            stream,
            idle: Box::pin(sleep(IDLE)),
            arrival,
            arrival_limit,
            is_silent: true,
            first_line: FirstRequestLine::default(),
            place,
        }
    }

    /// Reads bytes of the request line, and percent-encodes characters that hyper would reject.
    fn poll_rewritten(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let room = (buffer.remaining() / 3).min(REWRITTEN_BYTES);
        if self.first_line.is_over() || room == 0 {
            // There is no room for encoding, so the bytes pass unchanged, and the end of the line may be missed.
            self.first_line.end();
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let mut bytes = [0; REWRITTEN_BYTES];
        let mut part = ReadBuf::new(bytes.get_mut(..room).unwrap_or_default());
        let poll = Pin::new(&mut self.stream).poll_read(cx, &mut part);
        self.first_line.rewrite(part.filled(), |bytes| buffer.put_slice(bytes));
        poll
    }

    /// Returns whether the deadline for the current request has passed.
    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        !self.place.is_tunnel() && self.arrival.as_mut().is_some_and(|arrival| arrival.as_mut().poll(cx).is_ready())
    }

    /// Passes on the result of a read or write and restarts the idle timer; a pending one polls the timer. Fails if the
    /// connection was evicted.
    fn watch<T>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if self.place.poll_evicted(cx) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if poll.is_ready() {
            let limit = if self.place.is_tunnel() { TUNNEL_IDLE } else { IDLE };
            self.idle.as_mut().reset(Instant::now() + limit);
            return poll;
        }
        self.idle.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for LimitedConnection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let poll = self.poll_rewritten(cx, buffer);
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

impl AsyncWrite for LimitedConnection {
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

    fn limited(listener: TcpListener) -> LimitedListener {
        let certificates = ListenerCertificates::Http(watch::channel(Arc::default()).1);
        LimitedListener::new(listener, certificates, HttpSlots::new(Arc::default()))
    }

    #[tokio::test]
    async fn a_request_that_comes_byte_by_byte_is_given_up_and_an_answer_begins_anew() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut connection = limited(listener).accept().await;
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
        let mut connection = limited(listener).accept().await;
        let at = connection.arrival.as_ref().unwrap().deadline();
        assert!(at <= Instant::now() + FIRST_BYTE);
        connection.arrival = Some(Box::pin(sleep(Duration::from_millis(20))));
        let error = connection.read_exact(&mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_half_sent_request_loses_its_place_to_a_new_client() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut limited = limited(listener);
        let (mut clients, mut taken) = (Vec::new(), Vec::new());
        for _ in 0..=limits::HTTP_CONNECTIONS {
            clients.push(TcpStream::connect(address).await.unwrap());
            taken.push(limited.accept().await);
        }
        let error = taken[0].read_exact(&mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        assert_eq!(limited.places.len(), limits::HTTP_CONNECTIONS);
        taken.clear();
        assert_eq!(limited.places.len(), 0);
    }
}
