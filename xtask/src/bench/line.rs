//! SIP transports of the bench: a UDP socket, or one TLS connection, opened by this side or accepted by a listener.

use std::cell::RefCell;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, StreamOwned};

use crate::interop::raw::Text;

/// Maximum wait for a SIP message.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Transport for SIP.
#[derive(Debug)]
pub(crate) enum Line {
    /// UDP socket.
    Udp(UdpSocket),
    /// TLS connection.
    Tls(Tls),
}

/// TLS connection; an accepted one is established at its first use.
#[derive(Debug)]
pub(crate) struct Tls {
    here: SocketAddr,
    waiting: Option<(TcpListener, Arc<ServerConfig>)>,
    open: RefCell<Option<Open>>,
}

struct Open {
    stream: Box<dyn Stream>,
    read: Vec<u8>,
    there: SocketAddr,
    shown: Option<CertificateDer<'static>>,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open").field("there", &self.there).finish_non_exhaustive()
    }
}

trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

impl Open {
    fn new(stream: impl Stream + 'static, there: SocketAddr, shown: Option<&[CertificateDer<'static>]>) -> Open {
        let shown = shown.and_then(|chain| chain.first()).cloned();
        Open { stream: Box::new(stream), read: Vec::new(), there, shown }
    }

    /// Removes the next complete message from the bytes read so far and returns it; `None` if no message is complete.
    fn cut(&mut self) -> Option<Text> {
        // Keep-alives between messages are skipped.
        let quiet = self.read.iter().take_while(|byte| b"\r\n".contains(byte)).count();
        self.read.drain(..quiet);
        let head = self.read.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let text = Text(String::from_utf8_lossy(self.read.get(..head)?).into_owned());
        let length: usize = text.header("Content-Length").parse().ok()?;
        let whole = self.read.get(..head + length)?;
        let text = Text(String::from_utf8_lossy(whole).into_owned());
        self.read.drain(..head + length);
        Some(text)
    }
}

impl Line {
    /// Binds a UDP socket to a free port of this address.
    pub(crate) fn udp(address: &str) -> anyhow::Result<Line> {
        let socket = UdpSocket::bind((address, 0))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Line::Udp(socket))
    }

    /// Opens a TLS connection; the server must present a certificate for `name`.
    pub(crate) fn open(to: SocketAddr, name: &str, config: Arc<ClientConfig>) -> anyhow::Result<Line> {
        let mut stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut session = ClientConnection::new(config, ServerName::try_from(name.to_owned())?)?;
        while session.is_handshaking() {
            session.complete_io(&mut stream)?;
        }
        let here = stream.local_addr()?;
        let shown = session.peer_certificates().map(<[_]>::to_vec);
        let open = Open::new(StreamOwned::new(session, stream), to, shown.as_deref());
        Ok(Line::Tls(Tls { here, waiting: None, open: RefCell::new(Some(open)) }))
    }

    /// Returns a TLS line; its connection is accepted at the first use.
    pub(crate) fn wait(listener: &TcpListener, config: Arc<ServerConfig>) -> anyhow::Result<Line> {
        let (here, listener) = (listener.local_addr()?, listener.try_clone()?);
        Ok(Line::Tls(Tls { here, waiting: Some((listener, config)), open: RefCell::new(None) }))
    }

    /// Returns the local address of the transport.
    pub(crate) fn here(&self) -> anyhow::Result<SocketAddr> {
        match self {
            Line::Udp(socket) => Ok(socket.local_addr()?),
            Line::Tls(tls) => Ok(tls.here),
        }
    }

    /// Returns the transport's name as in Via.
    pub(crate) fn transport(&self) -> &'static str {
        match self {
            Line::Udp(_) => "UDP",
            Line::Tls(_) => "TLS",
        }
    }

    /// Returns the value of our Contact header.
    pub(crate) fn contact(&self) -> anyhow::Result<String> {
        let here = self.here()?;
        Ok(match self {
            Line::Udp(_) => format!("sip:bench@{here}"),
            Line::Tls(_) => format!("sip:bench@{here};transport=tls"),
        })
    }

    /// Returns the certificate presented by the remote party.
    pub(crate) fn shown(&self) -> Option<CertificateDer<'static>> {
        match self {
            Line::Udp(_) => None,
            Line::Tls(tls) => tls.open.borrow().as_ref().and_then(|open| open.shown.clone()),
        }
    }

    /// Sends a SIP message.
    pub(crate) fn send(&self, to: SocketAddr, text: &str) -> anyhow::Result<()> {
        match self {
            Line::Udp(socket) => {
                socket.send_to(text.as_bytes(), to)?;
            }
            Line::Tls(tls) => {
                let mut open = tls.open.borrow_mut();
                let stream = &mut open.as_mut().context("no connection yet")?.stream;
                stream.write_all(text.as_bytes())?;
                stream.flush()?;
            }
        }
        Ok(())
    }

    /// Receives the next message for which `wanted` is true, skipping others (100, retransmissions).
    pub(crate) fn receive(&self, wanted: impl Fn(&Text) -> bool) -> anyhow::Result<(Text, SocketAddr)> {
        let began = Instant::now();
        let mut buffer = vec![0; 65_535];
        while began.elapsed() < PATIENCE {
            let (text, from) = match self {
                Line::Udp(socket) => {
                    let (len, from) = socket.recv_from(&mut buffer)?;
                    (Text(String::from_utf8_lossy(buffer.get(..len).unwrap_or_default()).into_owned()), from)
                }
                Line::Tls(tls) => tls.receive(&mut buffer)?,
            };
            if wanted(&text) {
                return Ok((text, from));
            }
        }
        bail!("what was waited for did not come")
    }
}

impl Tls {
    fn receive(&self, buffer: &mut [u8]) -> anyhow::Result<(Text, SocketAddr)> {
        if self.open.borrow().is_none() {
            self.open.replace(Some(self.accept()?));
        }
        let mut open = self.open.borrow_mut();
        let open = open.as_mut().context("no connection")?;
        loop {
            if let Some(text) = open.cut() {
                return Ok((text, open.there));
            }
            let len = open.stream.read(buffer)?;
            if len == 0 {
                bail!("the connection was closed");
            }
            open.read.extend_from_slice(buffer.get(..len).unwrap_or_default());
        }
    }

    fn accept(&self) -> anyhow::Result<Open> {
        let (listener, config) = self.waiting.as_ref().context("the connection is gone")?;
        listener.set_nonblocking(true)?;
        let began = Instant::now();
        let (mut stream, there) = loop {
            match listener.accept() {
                Err(error) if error.kind() == ErrorKind::WouldBlock && began.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                accepted => break accepted.context("no client connected")?,
            }
        };
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut session = ServerConnection::new(Arc::clone(config))?;
        while session.is_handshaking() {
            session.complete_io(&mut stream)?;
        }
        let shown = session.peer_certificates().map(<[_]>::to_vec);
        Ok(Open::new(StreamOwned::new(session, stream), there, shown.as_deref()))
    }
}
