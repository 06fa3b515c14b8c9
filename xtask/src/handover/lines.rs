//! SIP transports of the parties: UDP sockets, and connections over TCP and TLS from which calls are made. A connection
//! that the edge has closed is opened again with the next message.

use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::interop::hub::{self, Arrival, GLANCE, Stream};
use crate::interop::raw::{Origin, Text};

/// Host name in the edge's certificate.
pub(super) const HOST: &str = "localhost";
/// Maximum wait of a UDP socket, after which its thread checks for the end.
const WAIT: Duration = Duration::from_millis(200);
/// Maximum wait in a TLS handshake.
const PATIENCE: Duration = Duration::from_secs(10);
/// Size of the receive buffer of a UDP socket, in bytes: the messages of all calls may come at once.
const BUFFER: usize = 4 << 20;

/// Index of a transport.
pub(super) type LineId = usize;

/// Function that takes a message from a transport.
pub(super) type Intake = Arc<dyn Fn(LineId, SocketAddr, &Text) + Send + Sync>;

/// Transports of all parties; their threads end on drop.
pub(super) struct Lines {
    lines: Vec<Line>,
    is_over: Arc<AtomicBool>,
}

enum Line {
    Udp(UdpSocket),
    Connection(Connection),
}

/// Connection to the edge.
struct Connection {
    ip: IpAddr,
    to: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    /// Connection now, and its local address; `None` before the first message.
    open: Mutex<Option<hub::Line>>,
    arrivals: Sender<anyhow::Result<Arrival>>,
    /// Times at which the edge has closed the connection.
    closed: Arc<Mutex<Vec<Instant>>>,
    is_over: Arc<AtomicBool>,
}

impl Lines {
    /// Creates an empty set of transports.
    pub(super) fn new() -> Lines {
        Lines { lines: Vec::new(), is_over: Arc::default() }
    }

    /// Opens a UDP socket on a free port of an address.
    pub(super) fn add_udp(&mut self, ip: &str, intake: &Intake) -> anyhow::Result<LineId> {
        let socket = UdpSocket::bind((ip, 0)).with_context(|| ip.to_owned())?;
        socket.set_read_timeout(Some(WAIT))?;
        nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBuf, &BUFFER)?;
        let (line, reads, is_over, intake) =
            (self.lines.len(), socket.try_clone()?, Arc::clone(&self.is_over), Arc::clone(intake));
        std::thread::spawn(move || {
            let mut buffer = vec![0; 65_535];
            while !is_over.load(Ordering::Relaxed) {
                if let Ok((len, from)) = reads.recv_from(&mut buffer) {
                    let bytes = buffer.get(..len).unwrap_or_default();
                    intake(line, from, &Text(String::from_utf8_lossy(bytes).into_owned()));
                }
            }
        });
        self.lines.push(Line::Udp(socket));
        Ok(line)
    }

    /// Adds a connection from this address to the edge, with TLS if there is a configuration.
    pub(super) fn add_connection(
        &mut self,
        ip: &str,
        to: SocketAddr,
        tls: Option<Arc<ClientConfig>>,
        intake: &Intake,
    ) -> anyhow::Result<LineId> {
        let (arrivals, received) = channel::<anyhow::Result<Arrival>>();
        let (line, intake) = (self.lines.len(), Arc::clone(intake));
        std::thread::spawn(move || {
            for arrival in received.iter().filter_map(anyhow::Result::ok) {
                intake(line, to, &arrival.text);
            }
        });
        let (closed, is_over) = (Arc::default(), Arc::clone(&self.is_over));
        let connection = Connection { ip: ip.parse()?, to, tls, open: Mutex::new(None), arrivals, closed, is_over };
        connection.open()?;
        self.lines.push(Line::Connection(connection));
        Ok(line)
    }

    /// Sends a message; on a connection, the address is that of the connection.
    pub(super) fn send(&self, line: LineId, to: SocketAddr, text: &str) -> anyhow::Result<()> {
        match self.lines.get(line).context("no such transport")? {
            Line::Udp(socket) => socket.send_to(text.as_bytes(), to).map(drop)?,
            Line::Connection(connection) => {
                let open = connection.open.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if open.is_none_or(|open| open.send(text).is_err()) {
                    connection.open()?.send(text)?;
                }
            }
        }
        Ok(())
    }

    /// Returns the transport and the address of requests by this user.
    pub(super) fn origin(&self, line: LineId, user: &str) -> anyhow::Result<Origin> {
        let (transport, here, parameter) = match self.lines.get(line).context("no such transport")? {
            Line::Udp(socket) => ("UDP", socket.local_addr()?, ""),
            Line::Connection(connection) => {
                let open = connection.open.lock().unwrap_or_else(PoisonError::into_inner);
                let here = open.as_ref().context("no connection")?.local;
                if connection.tls.is_some() { ("TLS", here, ";transport=tls") } else { ("TCP", here, ";transport=tcp") }
            }
        };
        Ok(Origin { transport, here, contact: format!("sip:{user}@{here}{parameter}") })
    }

    /// Returns the number of connections that were closed between two times.
    pub(super) fn closed(&self, lines: &[LineId], from: Instant, until: Instant) -> usize {
        let connections = lines.iter().filter_map(|line| match self.lines.get(*line) {
            Some(Line::Connection(connection)) => Some(connection),
            _ => None,
        });
        let in_time = |connection: &Connection| {
            let closed = connection.closed.lock().unwrap_or_else(PoisonError::into_inner);
            closed.iter().filter(|at| (from..until).contains(*at)).count()
        };
        connections.map(in_time).sum()
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

impl Connection {
    fn open(&self) -> anyhow::Result<hub::Line> {
        let mut stream = hub::connect_from(self.ip, self.to)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let local = stream.local_addr()?;
        let line = match &self.tls {
            None => self.serve(&stream.try_clone()?, Stream { stream, local })?,
            Some(tls) => {
                let mut session = ClientConnection::new(Arc::clone(tls), ServerName::try_from(HOST)?)?;
                while session.is_handshaking() {
                    session.complete_io(&mut stream)?;
                }
                let socket = stream.try_clone()?;
                self.serve(&socket, Stream { stream: StreamOwned::new(session, stream), local })?
            }
        };
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(line.clone());
        Ok(line)
    }

    fn serve(
        &self,
        socket: &TcpStream,
        stream: Stream<impl std::io::Read + std::io::Write + Send + 'static>,
    ) -> anyhow::Result<hub::Line> {
        socket.set_read_timeout(Some(GLANCE))?;
        let (ready, line) = channel();
        let (arrivals, is_over, closed) = (self.arrivals.clone(), Arc::clone(&self.is_over), Arc::clone(&self.closed));
        std::thread::spawn(move || {
            drop(hub::pump(stream, &arrivals, &is_over, Some(&ready)));
            if !is_over.load(Ordering::Relaxed) {
                closed.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
            }
        });
        Ok(line.recv()?)
    }
}
