//! SIP over mutual TLS as at a Microsoft hub: listeners, connections and SRTP of a simulation, which shares no code
//! with the edge's SIP and TLS connections.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerifier as _};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig};
use rustls::{ServerConnection, SignatureScheme, StreamOwned};
use trunkgate_media::PacketBuf;
use trunkgate_media::srtp::{SrtpInbound, SrtpKey, SrtpOutbound, Suite};

use super::raw::{Text, number_of, numbered};
use super::rtp;

/// Maximum wait for a byte, after which a connection checks for outgoing messages.
pub(crate) const GLANCE: Duration = Duration::from_millis(5);
/// Maximum duration of a TLS handshake.
const PATIENCE: Duration = Duration::from_secs(10);
/// SRTP cipher suite of Teams.
const SUITE: &str = "AES_CM_128_HMAC_SHA1_80";
/// MKI that identifies our key in each packet.
const MKI: [u8; 1] = [1];

/// TLS identity of a hub: the certificate that it presents, and the verification of the edge.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

/// Verifies the certificate of a client by the rules for servers: chain, dates and host name, with the key usage that
/// public CAs issue.
#[derive(Debug)]
struct ClientByName {
    verifier: Arc<WebPkiServerVerifier>,
    host: ServerName<'static>,
}

impl ClientCertVerifier for ClientByName {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.verifier.verify_server_cert(end_entity, intermediates, &self.host, &[], now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

impl Identity {
    /// Reads `NAME.pem`, `NAME.key` and the CA `authority.pem` from a folder. Clients must have a certificate for
    /// `host`.
    pub(crate) fn read(folder: &Path, name: &str, host: &str) -> anyhow::Result<Identity> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let chain = vec![CertificateDer::from_pem_file(folder.join(format!("{name}.pem")))?];
        let key = || PrivateKeyDer::from_pem_file(folder.join(format!("{name}.key")));
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(folder.join("authority.pem"))?)?;
        let roots = Arc::new(roots);
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider)).build()?;
        let by_name = Arc::new(ClientByName { verifier, host: ServerName::try_from(host.to_owned())? });
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(by_name)
            .with_single_cert(chain.clone(), key()?)?;
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key()?)?;
        Ok(Identity { server: Arc::new(server), client: Arc::new(client) })
    }
}

/// Connection between a hub and the edge.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    outgoing: Sender<String>,
    /// Local address of the hub on the connection.
    pub(crate) local: SocketAddr,
}

impl Line {
    /// Sends a message on the connection.
    pub(crate) fn send(&self, text: &str) -> anyhow::Result<()> {
        self.outgoing.send(text.to_owned()).map_err(|_| anyhow!("the connection is closed"))
    }
}

/// Message that a hub has received on one of its connections.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// Connection on which the message arrived.
    pub(crate) line: Line,
    /// Text of the message.
    pub(crate) text: Text,
}

/// Running hub; the listener and the connections are closed on drop.
#[derive(Debug)]
pub(crate) struct Hub {
    over: Arc<AtomicBool>,
    identity: Identity,
    ip: IpAddr,
    arrivals: Sender<anyhow::Result<Arrival>>,
}

impl Hub {
    /// Starts a hub on port 5061 of an address; messages and failed handshakes are passed to `arrivals`.
    pub(crate) fn start(
        ip: Ipv4Addr,
        identity: &Identity,
        arrivals: &Sender<anyhow::Result<Arrival>>,
    ) -> anyhow::Result<Hub> {
        let listener = TcpListener::bind((ip, 5061)).with_context(|| format!("{ip}:5061"))?;
        listener.set_nonblocking(true)?;
        let over = Arc::new(AtomicBool::new(false));
        let hub =
            Hub { over: Arc::clone(&over), identity: identity.clone(), ip: ip.into(), arrivals: arrivals.clone() };
        let (config, arrivals) = (Arc::clone(&identity.server), arrivals.clone());
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let Ok((stream, _)) = listener.accept() else {
                    std::thread::sleep(GLANCE);
                    continue;
                };
                let (config, arrivals, over) = (Arc::clone(&config), arrivals.clone(), Arc::clone(&over));
                std::thread::spawn(move || {
                    let accepted = accept(stream, config);
                    let accepted = accepted.and_then(|stream| pump(stream, &arrivals, &over, None));
                    if let Err(error) = accepted.context("a connection of the edge") {
                        drop(arrivals.send(Err(error)));
                    }
                });
            }
        });
        Ok(hub)
    }

    /// Connects to the edge, which must present a certificate for `host`.
    pub(crate) fn connect(&self, edge: SocketAddr, host: &str) -> anyhow::Result<Line> {
        let mut stream = connect_from(self.ip, edge)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut session =
            ClientConnection::new(Arc::clone(&self.identity.client), ServerName::try_from(host.to_owned())?)?;
        while session.is_handshaking() {
            session.complete_io(&mut stream).context("a handshake with the edge")?;
        }
        stream.set_read_timeout(Some(GLANCE))?;
        let local = stream.local_addr()?;
        let (ready, line) = channel();
        let (arrivals, over) = (self.arrivals.clone(), Arc::clone(&self.over));
        std::thread::spawn(move || {
            let pumped =
                pump(Stream { stream: StreamOwned::new(session, stream), local }, &arrivals, &over, Some(&ready));
            if let Err(error) = pumped.context("a connection to the edge") {
                drop(arrivals.send(Err(error)));
            }
        });
        Ok(line.recv()?)
    }
}

/// Connects to `to` from a free port of this address.
pub(crate) fn connect_from(ip: IpAddr, to: SocketAddr) -> anyhow::Result<TcpStream> {
    let socket = nix::sys::socket::socket(
        nix::sys::socket::AddressFamily::Inet,
        nix::sys::socket::SockType::Stream,
        nix::sys::socket::SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    let from = nix::sys::socket::SockaddrStorage::from(SocketAddr::new(ip, 0));
    nix::sys::socket::bind(std::os::fd::AsRawFd::as_raw_fd(&socket), &from)?;
    let to = nix::sys::socket::SockaddrStorage::from(to);
    nix::sys::socket::connect(std::os::fd::AsRawFd::as_raw_fd(&socket), &to)?;
    Ok(TcpStream::from(socket))
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Connection, with TLS or without, whose handshake is complete.
pub(crate) struct Stream<S> {
    /// Bytes of SIP.
    pub(crate) stream: S,
    /// Local address of the connection.
    pub(crate) local: SocketAddr,
}

/// Completes the handshake of a connection that the edge has opened.
fn accept(
    mut stream: TcpStream,
    config: Arc<ServerConfig>,
) -> anyhow::Result<Stream<StreamOwned<ServerConnection, TcpStream>>> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut session = ServerConnection::new(config)?;
    while session.is_handshaking() {
        session.complete_io(&mut stream)?;
    }
    stream.set_read_timeout(Some(GLANCE))?;
    let local = stream.local_addr()?;
    Ok(Stream { stream: StreamOwned::new(session, stream), local })
}

/// Sends and receives messages on a connection until either side has closed it; `stream` gives up reading after a few
/// milliseconds.
pub(crate) fn pump(
    stream: Stream<impl Read + Write>,
    arrivals: &Sender<anyhow::Result<Arrival>>,
    over: &AtomicBool,
    ready: Option<&Sender<Line>>,
) -> anyhow::Result<()> {
    let Stream { mut stream, local } = stream;
    let (outgoing, messages) = channel();
    let line = Line { outgoing, local };
    if let Some(ready) = ready {
        ready.send(line.clone())?;
    }
    let mut read = Vec::new();
    let mut buffer = [0; 16_384];
    while !over.load(Ordering::Relaxed) {
        for text in messages.try_iter() {
            let text: String = text;
            stream.write_all(text.as_bytes())?;
            stream.flush()?;
        }
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => read.extend_from_slice(buffer.get(..length).unwrap_or_default()),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            // Without a TLS alert: the edge's process has ended.
            Err(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        while let Some(text) = cut(&mut read)? {
            arrivals.send(Ok(Arrival { line: line.clone(), text }))?;
        }
    }
    Ok(())
}

/// Removes the first complete message from the bytes read (RFC 3261 §18.3) and returns it; `None` if no message is
/// complete.
fn cut(read: &mut Vec<u8>) -> anyhow::Result<Option<Text>> {
    // Keep-alives (RFC 5626 §3.5.1) are skipped.
    while read.starts_with(b"\r\n") {
        read.drain(..2);
    }
    let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = Text(String::from_utf8_lossy(read.get(..end + 4).unwrap_or_default()).into_owned());
    let body: usize = head.header("Content-Length").parse().context("no Content-Length over TLS")?;
    if read.len() < end + 4 + body {
        return Ok(None);
    }
    let bytes: Vec<u8> = read.drain(..end + 4 + body).collect();
    Ok(Some(Text(String::from_utf8_lossy(&bytes).into_owned())))
}

/// SRTP of one call at a hub, with keys as Teams sends them: with a lifetime, and with an MKI in each packet.
pub(crate) struct Media {
    socket: UdpSocket,
    /// Socket for RTCP, which is never read.
    _rtcp: UdpSocket,
    key: Vec<u8>,
}

impl Media {
    /// Opens a free pair of ports at an address; `seed` determines the key.
    pub(crate) fn new(ip: &str, seed: u8) -> anyhow::Result<Media> {
        let (socket, rtcp) = super::raw::media_pair(ip)?;
        socket.set_read_timeout(Some(GLANCE))?;
        Ok(Media { socket, _rtcp: rtcp, key: (0..30u8).map(|n| n.wrapping_mul(7).wrapping_add(seed)).collect() })
    }

    /// Returns the hub's SDP, with these payload types and this tag of the key.
    pub(crate) fn described(&self, version: u32, formats: &str, tag: u32) -> anyhow::Result<String> {
        let here = self.socket.local_addr()?;
        Ok(format!(
            "v=0\r\no=- 7 {version} IN IP4 {0}\r\ns=session\r\nc=IN IP4 {0}\r\nt=0 0\r\nm=audio {1} RTP/SAVP {formats}\r\n\
             a=rtpmap:0 PCMU/8000\r\na=crypto:{tag} {SUITE} inline:{2}|2^31|1:1\r\na=sendrecv\r\n",
            here.ip(),
            here.port(),
            STANDARD.encode(&self.key)
        ))
    }

    /// Sends a numbered tone of this many packets; returns the number of packets that arrived unchanged from the other
    /// side.
    pub(crate) fn talk(&self, theirs: &Description, packets: u32) -> anyhow::Result<usize> {
        let mut outbound = SrtpOutbound::new(&SrtpKey::new(Suite::AesCm128HmacSha1_80, &self.key, Some(&MKI))?);
        let mut inbound = SrtpInbound::new(&theirs.key);
        let (mut heard, mut sent, began) = (BTreeSet::new(), 0, Instant::now());
        let mut bytes = [0; 2_048];
        loop {
            let due = began + Duration::from_millis(20) * sent;
            if sent == packets && Instant::now() >= due + Duration::from_millis(500) {
                return Ok(heard.len());
            }
            if sent < packets && Instant::now() >= due {
                let packet = rtp::packet(u16::try_from(sent)?, sent * 160, 0x7465_616d, &numbered(sent));
                let mut buffer = filled(&packet);
                outbound.protect_rtp(&mut buffer).map_err(|reason| anyhow!("{reason:?}"))?;
                self.socket.send_to(buffer.data(), theirs.media)?;
                sent += 1;
            }
            let Ok(length) = self.socket.recv(&mut bytes) else { continue };
            let mut buffer = filled(bytes.get(..length).unwrap_or_default());
            inbound.unprotect_rtp(&mut buffer, false).map_err(|reason| anyhow!("SRTP of the edge: {reason:?}"))?;
            heard.extend(rtp::read(buffer.data()).and_then(|(_, payload)| number_of(payload)));
        }
    }
}

fn filled(packet: &[u8]) -> PacketBuf {
    let mut buffer = PacketBuf::new();
    if let Some(area) = buffer.receive_area().get_mut(..packet.len()) {
        area.copy_from_slice(packet);
    }
    buffer.set_len(packet.len());
    buffer
}

/// Audio stream in an SDP of the edge.
pub(crate) struct Description {
    /// Destination of RTP to the edge.
    pub(crate) media: SocketAddr,
    /// Names of the codecs.
    pub(crate) codecs: Vec<String>,
    /// Tag of the edge's key.
    pub(crate) tag: u32,
    key: SrtpKey,
}

impl Description {
    /// Parses the audio stream in the SDP of a message: RTP/SAVP, with a key of Teams' suite.
    pub(crate) fn of(message: &Text) -> anyhow::Result<Description> {
        let media = message.media().with_context(|| format!("no audio in\n{}", message.0))?;
        let line = message.0.lines().find(|line| line.starts_with("m=audio ")).unwrap_or_default();
        if !line.contains(" RTP/SAVP ") {
            bail!("Teams takes RTP/SAVP only: {line}");
        }
        let named = format!(" {SUITE} inline:");
        let crypto = message.0.lines().filter_map(|line| line.strip_prefix("a=crypto:"));
        let (tag, key) = crypto.filter_map(|line| line.split_once(&named)).next().context("no key of the suite")?;
        let key = key.split(['|', ' ']).next().unwrap_or_default().trim_end_matches('=');
        let key = SrtpKey::new(Suite::AesCm128HmacSha1_80, &STANDARD_NO_PAD.decode(key)?, None)?;
        let rtpmaps = message.0.lines().filter_map(|line| line.strip_prefix("a=rtpmap:")?.split([' ', '/']).nth(1));
        Ok(Description { media, codecs: rtpmaps.map(str::to_owned).collect(), tag: tag.parse()?, key })
    }
}

/// Waits for the next message at any hub.
pub(crate) fn next(arrivals: &Receiver<anyhow::Result<Arrival>>) -> anyhow::Result<Arrival> {
    arrivals.recv_timeout(Duration::from_secs(20)).context("no message of the edge within 20 s")?
}
