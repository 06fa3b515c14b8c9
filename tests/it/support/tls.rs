//! Certificates that tests make, and a remote party with SIP over TLS on a plain thread.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, PublicKeyData,
    SanType, date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use rustls::{HandshakeKind, ProtocolVersion, SupportedProtocolVersion};
use socket2::{Domain, Socket, Type};

use super::PATIENCE;

/// Certificate authority, with all files in one folder.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
    /// Path of the authority's certificate.
    pub(crate) file: PathBuf,
}

/// Paths of a certificate and its key.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: PathBuf,
    pub(crate) private_key: PathBuf,
}

impl Authority {
    pub(crate) fn new(folder: &Path, name: &str) -> Authority {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let file = folder.join(format!("{name}.pem"));
        std::fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        Authority { issuer: Issuer::new(params, key), folder: folder.to_owned(), file }
    }

    /// Issues a certificate for these names (an address, a domain, or a `sip:` URI), valid for long, as `FILE.pem` and
    /// `FILE.key`.
    pub(crate) fn issue(&self, file: &str, names: &[&str]) -> Pair {
        self.issue_until(file, names, (2099, 1, 1))
    }

    pub(crate) fn issue_until(&self, file: &str, names: &[&str], end: (i32, u8, u8)) -> Pair {
        self.issue_for(file, names, end, Vec::new())
    }

    /// Issues a certificate for servers only, as public CAs do, valid until `end`.
    pub(crate) fn issue_for_servers(&self, file: &str, names: &[&str], end: (i32, u8, u8)) -> Pair {
        self.issue_for(file, names, end, vec![ExtendedKeyUsagePurpose::ServerAuth])
    }

    fn issue_for(&self, file: &str, names: &[&str], end: (i32, u8, u8), usages: Vec<ExtendedKeyUsagePurpose>) -> Pair {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.not_after = date_time_ymd(end.0, end.1, end.2);
        params.extended_key_usages = usages;
        params.distinguished_name.push(DnType::CommonName, file);
        params.subject_alt_names = names
            .iter()
            .map(|name| match name.parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) if name.starts_with("sip:") => SanType::URI((*name).try_into().unwrap()),
                Err(_) => SanType::DnsName((*name).try_into().unwrap()),
            })
            .collect();
        let key = KeyPair::generate().unwrap();
        let pair = Pair {
            certificate: self.folder.join(format!("{file}.pem")),
            private_key: self.folder.join(format!("{file}.key")),
        };
        std::fs::write(&pair.certificate, params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        std::fs::write(&pair.private_key, key.serialize_pem()).unwrap();
        pair
    }

    /// Signs a certificate for the key of a request and these host names, valid for long.
    pub(crate) fn sign(&self, key: &impl PublicKeyData, names: &[&str]) -> String {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.not_after = date_time_ymd(2099, 1, 1);
        params.subject_alt_names = names.iter().map(|name| SanType::DnsName((*name).try_into().unwrap())).collect();
        params.signed_by(key, &self.issuer).unwrap().pem()
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.file).unwrap()).unwrap();
        Arc::new(roots)
    }
}

impl Pair {
    /// Returns `certificate = "…"` and `private_key = "…"`, separated by `between`.
    pub(crate) fn keys(&self, between: &str) -> String {
        format!("certificate = {:?}{between}private_key = {:?}", self.certificate, self.private_key)
    }

    pub(crate) fn read(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain = CertificateDer::pem_file_iter(&self.certificate).unwrap().map(Result::unwrap).collect();
        (chain, PrivateKeyDer::from_pem_file(&self.private_key).unwrap())
    }
}

pub(crate) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// TLS client of the edge.
pub(crate) struct Client<'a> {
    /// Source IP address of the client.
    pub(crate) from: &'a str,
    /// Authority that the client trusts.
    pub(crate) trusts: &'a Authority,
    /// Certificate that the client presents, if any.
    pub(crate) shows: Option<&'a Pair>,
    pub(crate) versions: &'static [&'static SupportedProtocolVersion],
}

impl Client<'_> {
    /// Connects to the edge and completes the handshake; the edge's certificate must be for `localhost`.
    pub(crate) fn connect(&self, to: SocketAddr) -> io::Result<Line> {
        self.connect_by(&self.memory(), to)
    }

    /// Connects by another name, for which the edge's certificate must be.
    pub(crate) fn connect_as(&self, name: &str, to: SocketAddr) -> io::Result<Line> {
        self.connect_to(&self.memory(), ServerName::try_from(name.to_owned()).unwrap(), to)
    }

    /// Returns a client configuration that remembers its sessions.
    pub(crate) fn memory(&self) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(self.versions).unwrap();
        let builder = builder.with_root_certificates(self.trusts.roots());
        Arc::new(match self.shows {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let (chain, key) = pair.read();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        })
    }

    pub(crate) fn connect_by(&self, memory: &Arc<ClientConfig>, to: SocketAddr) -> io::Result<Line> {
        self.connect_to(memory, ServerName::try_from("localhost").unwrap(), to)
    }

    fn connect_to(&self, memory: &Arc<ClientConfig>, name: ServerName<'static>, to: SocketAddr) -> io::Result<Line> {
        let mut stream = tcp(self.from, to)?;
        let mut session = ClientConnection::new(Arc::clone(memory), name).unwrap();
        while session.is_handshaking() {
            session.complete_io(&mut stream)?;
        }
        let (about, raw) = (About::of(&session), stream.try_clone()?);
        Ok(Line::new(StreamOwned::new(session, stream), raw, about))
    }
}

/// Opens a TCP connection from a loopback address.
pub(crate) fn tcp(from: &str, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(from.parse().unwrap(), 0).into())?;
    socket.connect(&to.into())?;
    let stream: TcpStream = socket.into();
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Remote party that accepts SIP over TLS.
pub(crate) struct Server {
    listener: TcpListener,
    config: Arc<ServerConfig>,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Listens on a free port of `ip`; `asks`: authority of the client certificates that are required.
    pub(crate) fn new(ip: &str, shows: &Pair, asks: Option<&Authority>) -> Server {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
        let builder = match asks {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(authority.roots(), provider());
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let (chain, key) = shows.read();
        let config = Arc::new(builder.with_single_cert(chain, key).unwrap());
        let address = listener.local_addr().unwrap();
        Server { listener, config, address }
    }

    /// Accepts the next connection, with its handshake.
    pub(crate) fn accept(&self) -> io::Result<Line> {
        let (mut stream, _) = self.listener.accept()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut session = ServerConnection::new(Arc::clone(&self.config)).unwrap();
        while session.is_handshaking() {
            session.complete_io(&mut stream)?;
        }
        let (about, raw) = (About::of(&session), stream.try_clone()?);
        Ok(Line::new(StreamOwned::new(session, stream), raw, about))
    }

    /// Returns true if no connection has arrived; an arrived connection is closed.
    pub(crate) fn is_alone(&self) -> bool {
        self.listener.set_nonblocking(true).unwrap();
        let alone = self.listener.accept().is_err();
        self.listener.set_nonblocking(false).unwrap();
        alone
    }
}

/// Data known about a connection after its handshake.
struct About {
    version: ProtocolVersion,
    kind: HandshakeKind,
    shown: Option<CertificateDer<'static>>,
}

impl About {
    fn of(session: &rustls::CommonState) -> About {
        let shown = session.peer_certificates().and_then(|chain| chain.first()).map(|one| one.clone().into_owned());
        About { version: session.protocol_version().unwrap(), kind: session.handshake_kind().unwrap(), shown }
    }
}

trait Duplex: io::Read + io::Write {}

impl<T: io::Read + io::Write> Duplex for T {}

/// SIP over one TLS connection.
pub(crate) struct Line {
    stream: Box<dyn Duplex>,
    raw: TcpStream,
    read: Vec<u8>,
    pub(crate) version: ProtocolVersion,
    pub(crate) kind: HandshakeKind,
    /// Certificate that the remote party has presented.
    pub(crate) shown: Option<CertificateDer<'static>>,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

impl Line {
    fn new(stream: impl Duplex + 'static, raw: TcpStream, About { version, kind, shown }: About) -> Line {
        let (local, remote) = (raw.local_addr().unwrap(), raw.peer_addr().unwrap());
        Line { stream: Box::new(stream), raw, read: Vec::new(), version, kind, shown, local, remote }
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.try_send(text).unwrap();
    }

    pub(crate) fn try_send(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(text.as_bytes()).and_then(|()| self.stream.flush())
    }

    /// Receives the next message that has `what` in its first line, skipping others.
    ///
    /// # Errors
    /// Returns an error if the connection ends before.
    pub(crate) fn try_receive(&mut self, what: &str) -> io::Result<String> {
        loop {
            if let Some(message) = self.cut() {
                if message.lines().next().unwrap_or_default().contains(what) {
                    return Ok(message);
                }
                continue;
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                len => self.read.extend_from_slice(&buffer[..len]),
            }
        }
    }

    /// Receives the next message on the connection.
    pub(crate) fn read_some(&mut self) -> io::Result<String> {
        let mut buffer = [0; 16_384];
        let length = self.stream.read(&mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }

    pub(crate) fn receive(&mut self, what: &str) -> String {
        self.try_receive(what).unwrap_or_else(|error| panic!("no {what}: {error}"))
    }

    /// Reads from the connection. Returns true if the edge has closed it without a byte of SIP.
    pub(crate) fn is_closed_in_silence(&mut self) -> bool {
        let mut buffer = [0; 16];
        !matches!(self.stream.read(&mut buffer), Ok(1..)) && self.read.is_empty()
    }

    /// Closes the connection by a reset.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(&self.raw).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }

    fn cut(&mut self) -> Option<String> {
        let end = self.read.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&self.read[..end]).into_owned();
        let body: usize = super::sip::field(&head, "Content-Length").parse().unwrap();
        (self.read.len() >= end + body)
            .then(|| String::from_utf8_lossy(&self.read.drain(..end + body).collect::<Vec<u8>>()).into_owned())
    }

    /// Returns a request for this connection, with the Request-URI `uri`.
    pub(crate) fn request(&self, method: &str, uri: &str, call_id: &str, cseq: u32, to_tag: &str) -> String {
        let me = self.local;
        let tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
        let body = if method == "INVITE" { self.sdp() } else { String::new() };
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let scheme = uri.split(':').next().unwrap();
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/TLS {me};branch=z9hG4bK{call_id}{method}{cseq};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:+14155550100@{me}>;tag=caller\r\nTo: <{uri}>{tag}\r\n\
             Call-ID: {call_id}\r\nCSeq: {cseq} {method}\r\nContact: <{scheme}:caller@{me};transport=tls>\r\n{kind}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    /// Returns the response to a request that has arrived.
    pub(crate) fn answer(&self, request: &str, status: &str, with_sdp: bool) -> String {
        let mut out = format!("SIP/2.0 {status}\r\n");
        for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
            let tag =
                if name == "To" && !super::sip::field(request, "To").contains(";tag=") { ";tag=callee" } else { "" };
            out.push_str(&format!("{name}: {}{tag}\r\n", super::sip::field(request, name)));
        }
        let body = if with_sdp { self.sdp() } else { String::new() };
        let kind = if with_sdp { "Content-Type: application/sdp\r\n" } else { "" };
        let contact = format!("Contact: <sip:callee@{};transport=tls>\r\n", self.local);
        out + &format!("{contact}{kind}Content-Length: {}\r\n\r\n{body}", body.len())
    }

    fn sdp(&self) -> String {
        let (ip, port) = (self.local.ip(), self.local.port() & !1);
        format!(
            "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
        )
    }
}
