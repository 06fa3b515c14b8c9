//! Connection to an agent: address, TCP, TLS and WebSocket handshake, with the failures of each.
//!
//! As at Twilio, the query of the URL is not part of the request and of the signature; a speech recogniser gets it. A
//! redirect is not followed and counts as a rejected handshake. No extensions are offered, so nothing is compressed.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::{OnceCell, watch};
use tokio::time::sleep_until;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error as WsError, ProtocolError};
use tokio_tungstenite::tungstenite::handshake::HandshakeError;
use tokio_tungstenite::tungstenite::handshake::client::{ClientHandshake, Request};
use tokio_tungstenite::tungstenite::http::header::{AUTHORIZATION, LOCATION, SEC_WEBSOCKET_EXTENSIONS};
use tokio_tungstenite::tungstenite::http::{HeaderValue, Uri};
use tokio_tungstenite::tungstenite::protocol::{WebSocket, WebSocketConfig};
use trunkgate_call::agent_fix::ENDED;
use trunkgate_media::agent::{SIGNATURE_HEADER, StreamLoss, sign};
use trunkgate_media::{Counter, SocketSpec, UrlOrigin};
use trunkgate_route::url_place;

use super::agent_intake::MeteredIntake;
use super::agent_names::{look_up, look_up_anew, place};
use super::agent_stream::AgentTransport;
use crate::own_sockets::OwnSockets;
use trunkgate_system::agent_url::is_of_no_one;
use trunkgate_system::certificates::{TrustAnchors, provider, system_roots};
use trunkgate_system::connector::Connector;
use trunkgate_system::interfaces;
use trunkgate_system::limits::{
    AGENT_ADDRESS_TIMEOUT, AGENT_ADDRESSES, AGENT_FRAME_BUFFER_BYTES, AGENT_MESSAGE_BYTES, AGENT_SEND_BUFFER_BYTES,
    AGENT_UNACKNOWLEDGED, AGENT_WRITE_BUFFER_BYTES,
};
use trunkgate_system::public_name::PublicName;
use trunkgate_system::verifier::ServerVerifier;
use trunkgate_tls_record::TlsSession;

/// Settings of outgoing connections to agents; the agent's `connect_timeout` additionally limits the whole connection
/// setup.
const CONNECTOR: Connector = Connector {
    source: None,
    connect_within: Some(AGENT_ADDRESS_TIMEOUT),
    handshake_within: None,
    send_buffer: Some(AGENT_SEND_BUFFER_BYTES),
    unacknowledged: Some(AGENT_UNACKNOWLEDGED),
};

/// Header with the trace context, by which the agent's spans join the call's trace (W3C Trace Context §3.2).
const TRACEPARENT: &str = "traceparent";

/// TLS client configuration with the system's roots, read once.
static SYSTEM_TRUST: OnceCell<Arc<ClientConfig>> = OnceCell::const_new();

/// Failure of an agent's connection attempt, or of its open socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AgentFault {
    pub(super) loss: StreamLoss,
    /// Detail from the library or the system; empty if `loss` says enough.
    pub(super) detail: String,
}

impl AgentFault {
    fn new(loss: StreamLoss, detail: impl ToString) -> AgentFault {
        AgentFault { loss, detail: detail.to_string() }
    }

    fn tls(detail: impl ToString) -> AgentFault {
        AgentFault::new(StreamLoss::Tls, detail)
    }

    pub(super) fn unreachable(detail: impl ToString) -> AgentFault {
        AgentFault::new(StreamLoss::Unreachable, detail)
    }

    /// Classifies an error of an open WebSocket.
    pub(super) fn of_open(error: &WsError) -> AgentFault {
        let loss = match error {
            WsError::Io(error) if error.kind() == io::ErrorKind::TimedOut => StreamLoss::DataUnacknowledged,
            WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) | WsError::Io(_) => StreamLoss::Reset,
            WsError::ConnectionClosed
            | WsError::AlreadyClosed
            | WsError::Tls(_)
            | WsError::Capacity(_)
            | WsError::Protocol(_)
            | WsError::WriteBufferFull(_)
            | WsError::Utf8(_)
            | WsError::AttackAttempt
            | WsError::Url(_)
            | WsError::Http(_)
            | WsError::HttpFormat(_) => StreamLoss::ProtocolError,
        };
        if matches!(error, WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake)) {
            return AgentFault::new(loss, "");
        }
        AgentFault::new(loss, error)
    }

    /// Classifies an error of the WebSocket handshake.
    fn of_handshake(error: &WsError) -> AgentFault {
        match error {
            WsError::Http(response) => {
                let leads = response.headers().get(LOCATION).and_then(|to| to.to_str().ok());
                // The query may be secret.
                let leads = leads.map(url_place);
                let detail = match leads.filter(|_| response.status().is_redirection()) {
                    Some(to) => format!("it redirects to {to}, which is not followed"),
                    None => String::new(),
                };
                AgentFault::new(StreamLoss::Status(response.status().as_u16()), detail)
            }
            WsError::Io(_) => AgentFault::of_open(error),
            WsError::Protocol(ProtocolError::HandshakeIncomplete) => AgentFault::new(StreamLoss::NotWebSocket, ENDED),
            WsError::Capacity(CapacityError::TooManyHeaders | CapacityError::MessageTooLong { .. })
            | WsError::ConnectionClosed
            | WsError::AlreadyClosed
            | WsError::Tls(_)
            | WsError::Protocol(_)
            | WsError::WriteBufferFull(_)
            | WsError::Utf8(_)
            | WsError::AttackAttempt
            | WsError::Url(_)
            | WsError::HttpFormat(_) => AgentFault::new(StreamLoss::NotWebSocket, error),
        }
    }
}

/// Address and handshake request of an agent.
#[derive(Debug)]
pub(super) struct AgentEndpoint {
    host: String,
    port: u16,
    /// True if the URL requires TLS (`wss`).
    secure: bool,
    /// True if host and port were replaced by those of the application to which a public name is mapped.
    is_led: bool,
    request: Request,
}

impl AgentEndpoint {
    /// Creates the endpoint from the agent's URL, without the query unless it is to be sent.
    ///
    /// # Errors
    /// Returns the fault if the URL or a header is invalid.
    pub(super) fn new(spec: &SocketSpec) -> Result<AgentEndpoint, AgentFault> {
        let url = if spec.sends_query { spec.url.as_str() } else { url_place(&spec.url) };
        let uri: Uri = url.parse().map_err(AgentFault::unreachable)?;
        let secure = match uri.scheme_str() {
            Some("wss") => true,
            Some("ws") => false,
            _ => return Err(AgentFault::unreachable("the URL is neither ws nor wss")),
        };
        let (host, port) = place(&uri);
        let mut request = uri.into_client_request().map_err(AgentFault::unreachable)?;
        if let Some(token) = &spec.auth_token {
            let mut signature = HeaderValue::try_from(sign(token, url)).map_err(AgentFault::unreachable)?;
            signature.set_sensitive(true);
            request.headers_mut().insert(SIGNATURE_HEADER, signature);
        }
        if let Some(parent) = &spec.traceparent {
            request.headers_mut().insert(TRACEPARENT, HeaderValue::try_from(parent).map_err(AgentFault::unreachable)?);
        }
        if let Some(token) = &spec.bearer {
            let mut bearer = HeaderValue::try_from(format!("Bearer {token}")).map_err(AgentFault::unreachable)?;
            bearer.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, bearer);
        }
        Ok(AgentEndpoint { host, port, secure, is_led: false, request })
    }

    /// Replaces a mapped public name by the address of its application, without TLS and with the headers of a reverse
    /// proxy.
    pub(super) fn led_by(mut self, own: &watch::Receiver<OwnSockets>) -> AgentEndpoint {
        let Some(name) = own.borrow().public_name_of(&self.host) else { return self };
        for (header, value) in PublicName::forwarded(self.secure) {
            self.request.headers_mut().insert(header, HeaderValue::from_static(value));
        }
        AgentEndpoint { host: name.host.clone(), port: name.port, secure: false, is_led: true, ..self }
    }

    /// Connects and performs all handshakes; returns an open non-blocking WebSocket. `held` counts the bytes that the
    /// whole edge holds for agents.
    pub(super) async fn reach(
        self,
        spec: &SocketSpec,
        own: &watch::Receiver<OwnSockets>,
        held: Arc<Counter>,
    ) -> Result<OpenSocket, AgentFault> {
        let target = self.led_by(own);
        let tcp = target.connect(spec, own).await?;
        target.open(spec, tcp, held).await
    }

    /// Performs the handshakes on a connection: TLS if the URL requires it, then WebSocket.
    pub(super) async fn open(
        self,
        spec: &SocketSpec,
        tcp: TcpStream,
        held: Arc<Counter>,
    ) -> Result<OpenSocket, AgentFault> {
        let (tcp, tls) = match self.secure {
            true => self.shake_hands(spec, tcp).await.map(|(tcp, tls)| (tcp, Some(tls)))?,
            false => (tcp, None),
        };
        let tcp = tcp.into_std().map_err(AgentFault::unreachable)?;
        self.upgrade(MeteredIntake::new(AgentTransport::new(tcp, tls), held)).await
    }

    /// Connects to the first address of the host that accepts. Only addresses that passed the checks are used, even if
    /// the name resolves differently later.
    pub(super) async fn connect(
        &self,
        spec: &SocketSpec,
        own: &watch::Receiver<OwnSockets>,
    ) -> Result<TcpStream, AgentFault> {
        let known = look_up(&self.host, self.port).await.map_err(AgentFault::unreachable)?;
        let failed = match self.connect_to(&known, spec, own).await {
            Ok(stream) => return Ok(stream),
            Err(failed) => failed,
        };
        // The host may have moved since the lookup.
        match look_up_anew(&self.host, self.port).await {
            Ok(found) => {
                let new: Vec<SocketAddr> = found.iter().filter(|address| !known.contains(address)).copied().collect();
                if new.is_empty() { Err(failed) } else { self.connect_to(&new, spec, own).await }
            }
            Err(_) => Err(failed),
        }
    }

    /// Connects to the first address of a list that accepts.
    async fn connect_to(
        &self,
        found: &[SocketAddr],
        spec: &SocketSpec,
        own: &watch::Receiver<OwnSockets>,
    ) -> Result<TcpStream, AgentFault> {
        let is_plain = !self.secure && !self.is_led;
        let plain = is_plain.then_some((spec, "it does not resolve to local_networks: use wss://"));
        let mut last = AgentFault::unreachable("its name does not resolve");
        let rules = match spec.origin {
            UrlOrigin::Configuration => None,
            UrlOrigin::Application { allow_private } => Some(own.borrow().reach(allow_private, &interfaces::read())),
        };
        let refusal = |address: SocketAddr| {
            let ours = own.borrow().takes_connection(address).map(|what| format!("{address} is {what}"));
            ours.or_else(|| rules.as_ref()?.judge(address).err().map(|barred| barred.to_string()))
        };
        for address in allowed(found, plain, refusal)?.into_iter().take(AGENT_ADDRESSES) {
            match CONNECTOR.tcp(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = AgentFault::unreachable(error),
            }
        }
        Err(last)
    }

    /// Performs the TLS handshake; the server's certificate must be valid for the URL's host.
    async fn shake_hands(&self, spec: &SocketSpec, tcp: TcpStream) -> Result<(TcpStream, TlsSession), AgentFault> {
        let config = match &spec.ca {
            Some(pem) => Arc::new(trusting_in(TrustAnchors::of_pem(pem).map_err(AgentFault::tls)?)?),
            None => SYSTEM_TRUST.get_or_try_init(system_trust).await?.clone(),
        };
        let stream = CONNECTOR.crossing_tls(config, &self.host, tcp).await;
        Ok(stream.map_err(|fault| AgentFault::tls(fault.what))?.into_parts())
    }

    /// Performs the WebSocket handshake.
    async fn upgrade(self, stream: MeteredIntake<AgentTransport>) -> Result<OpenSocket, AgentFault> {
        // Use a duplicate descriptor to wait, because the stream itself belongs to the handshake.
        let watch = stream.get_ref().as_fd().try_clone_to_owned().map_err(AgentFault::unreachable)?;
        let watch = TcpStream::from_std(watch.into()).map_err(AgentFault::unreachable)?;
        let failed = |error: WsError| AgentFault::of_handshake(&error);
        let mut handshake = ClientHandshake::start(stream, self.request, Some(websocket_config())).map_err(failed)?;
        let (socket, answer) = loop {
            // Clear the readiness before reading, so that later data is signalled.
            let _ = watch.try_io(Interest::READABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
            match handshake.handshake() {
                Ok(opened) => break opened,
                Err(HandshakeError::Failure(error)) => return Err(failed(error)),
                Err(HandshakeError::Interrupted(later)) => handshake = later,
            }
            match handshake.get_ref().get_ref().pause() {
                Some(until) => sleep_until(until.into()).await,
                None => watch.readable().await.map_err(AgentFault::unreachable)?,
            }
        };
        // An accepted extension would produce frames that we cannot read (RFC 6455 §4.1); the library does not check
        // this.
        if answer.headers().contains_key(SEC_WEBSOCKET_EXTENSIONS) {
            return Err(AgentFault::new(StreamLoss::NotWebSocket, "it requires an extension that was not offered"));
        }
        Ok(socket)
    }
}

/// Returns the limits of an agent's WebSocket.
pub(super) fn websocket_config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(AGENT_FRAME_BUFFER_BYTES)
        .write_buffer_size(AGENT_WRITE_BUFFER_BYTES)
        .max_message_size(Some(AGENT_MESSAGE_BYTES))
        .max_frame_size(Some(AGENT_MESSAGE_BYTES))
}

/// WebSocket after its handshake.
pub(super) type OpenSocket = WebSocket<MeteredIntake<AgentTransport>>;

/// Resolves the destination of copies by plain RTP: the first address of the URL's host to which unencrypted audio may
/// be sent.
pub(super) async fn find(spec: &SocketSpec, own: &watch::Receiver<OwnSockets>) -> Result<SocketAddr, AgentFault> {
    let uri: Uri = spec.url.parse().map_err(AgentFault::unreachable)?;
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let port = uri.port_u16().ok_or_else(|| AgentFault::unreachable("the URL has no port"))?;
    let found = look_up(host, port).await.map_err(AgentFault::unreachable)?;
    let plain = Some((spec, "it does not resolve to local_networks: plain RTP is allowed there only"));
    let mut last = AgentFault::unreachable("its name does not resolve");
    let refusal = |address| own.borrow().takes_rtp(address).map(|what| format!("{address} is {what}"));
    for address in allowed(&found, plain, refusal)? {
        match try_to_send(address) {
            Ok(()) => return Ok(address),
            Err(error) => last = AgentFault::unreachable(error),
        }
    }
    Err(last)
}

/// Returns those addresses of a name to which an agent's connection may lead. `plain` has the rules for unencrypted
/// audio, and the error text if no address satisfies them.
fn allowed(
    found: &[SocketAddr],
    plain: Option<(&SocketSpec, &str)>,
    refusal: impl Fn(SocketAddr) -> Option<String>,
) -> Result<Vec<SocketAddr>, AgentFault> {
    let mut why = None;
    let mut may_be_there = |address: &SocketAddr| {
        let refusal = match (refusal(*address), plain) {
            (Some(refusal), _) => refusal,
            (None, _) if is_of_no_one(address.ip()) => format!("{} is not a host address", address.ip()),
            (None, Some((spec, far))) if !may_be_plain(address.ip(), spec) => far.to_owned(),
            (None, _) => return true,
        };
        why.get_or_insert(refusal);
        false
    };
    let allowed: Vec<SocketAddr> = found.iter().copied().filter(|address| may_be_there(address)).collect();
    match why.filter(|_| allowed.is_empty()) {
        Some(why) => Err(AgentFault::unreachable(why)),
        None => Ok(allowed),
    }
}

/// Checks whether the system allows sending to an address, without sending anything; it refuses a broadcast address,
/// for example.
fn try_to_send(address: SocketAddr) -> io::Result<()> {
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    UdpSocket::bind((any, 0))?.connect(address)
}

/// Returns whether an address may be contacted without TLS: loopback, or one of the agent's `plain_networks`.
fn may_be_plain(address: IpAddr, spec: &SocketSpec) -> bool {
    let address = address.to_canonical();
    address.is_loopback() || spec.plain_networks.iter().any(|network| network.contains(&address))
}

async fn system_trust() -> Result<Arc<ClientConfig>, AgentFault> {
    // Reading some hundred files must not block a thread that media waits for.
    let roots = tokio::task::spawn_blocking(system_roots).await.map_err(AgentFault::tls)?;
    if roots.is_empty() {
        return Err(AgentFault::tls("the system has no root certificates"));
    }
    trusting(roots).map(Arc::new)
}

/// Returns TLS client settings that trust these roots.
fn trusting(roots: RootCertStore) -> Result<ClientConfig, AgentFault> {
    Ok(finished(builder()?.with_root_certificates(roots)))
}

/// Returns TLS client settings for an agent with a `ca`, which may be the agent's own certificate.
fn trusting_in(trust: TrustAnchors) -> Result<ClientConfig, AgentFault> {
    let verifier = Arc::new(ServerVerifier::new(Some(trust), Vec::new()));
    Ok(finished(builder()?.dangerous().with_custom_certificate_verifier(verifier)))
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, AgentFault> {
    ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().map_err(AgentFault::tls)
}

fn finished(builder: ConfigBuilder<ClientConfig, WantsClientCert>) -> ClientConfig {
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // An upgrade hands the connection over.
    config.enable_secret_extraction = true;
    config
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::http::Response;

    use rustls::pki_types::ServerName;
    use tokio_rustls::TlsConnector;

    use super::*;
    use trunkgate_system::certificates::words;

    fn spec(url: &str) -> SocketSpec {
        let origin = UrlOrigin::Configuration;
        SocketSpec {
            url: url.to_owned(),
            origin,
            auth_token: None,
            ca: None,
            plain_networks: vec![],
            traceparent: None,
            bearer: None,
            sends_query: false,
        }
    }

    #[test]
    fn the_query_is_neither_sent_nor_signed() {
        let token = Some("12345".to_owned());
        let spec = SocketSpec { auth_token: token, ..spec("wss://agent.example.com/media?tenant=acme#x") };
        let target = AgentEndpoint::new(&spec).unwrap();
        assert_eq!((target.host.as_str(), target.port, target.secure), ("agent.example.com", 443, true));
        assert_eq!(target.request.uri(), "wss://agent.example.com/media");
        // Computed with the Python package twilio for this URL and token.
        assert_eq!(target.request.headers()[SIGNATURE_HEADER], "TCuyLsF3K3bRblNbw7eu4s9Zuks=");
        assert!(!format!("{:?} {spec:?}", target.request).contains("12345"));
        assert!(!format!("{:?}", target.request).contains("TCuyLsF3K3bRblNbw7eu4s9Zuks="));
    }

    #[test]
    fn a_public_name_leads_to_its_application_without_tls() {
        let (public, local) =
            ("https://app.example.com".parse().unwrap(), "http://127.0.0.1:3000/voice".parse().unwrap());
        let own = OwnSockets::default().standing_for(PublicName::new(&public, &local));
        let own = watch::channel(own).1;
        let led = |url: &str| {
            let spec = SocketSpec { auth_token: Some("12345".to_owned()), ..spec(url) };
            AgentEndpoint::new(&spec).unwrap().led_by(&own)
        };
        let target = led("wss://App.example.com/media");
        assert_eq!((target.host.as_str(), target.port, target.secure), ("127.0.0.1", 3000, false));
        assert_eq!(target.request.headers()["x-forwarded-proto"], "https");
        assert_eq!(target.request.headers()["host"], "App.example.com");
        assert_eq!(target.request.headers()[SIGNATURE_HEADER], sign("12345", "wss://App.example.com/media"));
        let other = led("wss://agent.example.com/media");
        assert_eq!((other.host.as_str(), other.port, other.secure), ("agent.example.com", 443, true));
        assert!(!other.request.headers().contains_key("x-forwarded-proto"));
    }

    #[test]
    fn a_recogniser_gets_its_query_and_its_token() {
        let bearer = Some("hunter2".to_owned());
        let spec = SocketSpec { bearer, sends_query: true, ..spec("wss://asr.example.com/stream?model=x") };
        let target = AgentEndpoint::new(&spec).unwrap();
        assert_eq!(target.request.uri(), "wss://asr.example.com/stream?model=x");
        assert_eq!(target.request.headers()[AUTHORIZATION], "Bearer hunter2");
        assert!(!format!("{:?} {spec:?}", target.request).contains("hunter2"));
    }

    #[test]
    fn hosts_and_ports() {
        for (url, host, port) in [
            ("ws://127.0.0.1:9000/media", "127.0.0.1", 9000),
            ("ws://[::1]:9000/", "::1", 9000),
            ("ws://localhost", "localhost", 80),
            ("wss://a.example:8443/m", "a.example", 8443),
        ] {
            let target = AgentEndpoint::new(&spec(url)).unwrap();
            assert_eq!((target.host.as_str(), target.port), (host, port), "{url}");
            assert_eq!(target.request.headers().get(SIGNATURE_HEADER), None);
        }
        for url in ["", "http://a.example/", "/media", "ws://", "wss://a b/"] {
            assert_eq!(AgentEndpoint::new(&spec(url)).unwrap_err().loss, StreamLoss::Unreachable, "{url}");
        }
    }

    #[test]
    fn without_tls_only_to_near_networks() {
        let networks = vec!["10.0.0.0/8".parse().unwrap(), "fc00::/7".parse().unwrap()];
        let spec = SocketSpec { plain_networks: networks, ..spec("ws://a.example/") };
        for (address, may) in [
            ("127.0.0.1", true),
            ("::1", true),
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("fd00::1", true),
            ("192.168.0.1", false),
            ("203.0.113.1", false),
            ("::ffff:203.0.113.1", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(may_be_plain(address.parse().unwrap(), &spec), may, "{address}");
        }
    }

    /// Each address of a name is checked, and only checked addresses are connected to.
    #[tokio::test]
    async fn no_url_leads_back_into_the_edge() {
        let networks = vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
        let spec = SocketSpec { plain_networks: networks, ..spec("ws://a.example/") };
        let own: SocketAddr = "127.0.0.1:5060".parse().unwrap();
        let allowed = |found: &[&str]| {
            let found: Vec<SocketAddr> = found.iter().map(|address| address.parse().unwrap()).collect();
            let plain = Some((&spec, "far"));
            allowed(&found, plain, |address| (address == own).then(|| format!("{address} is ours")))
                .map_err(|fault| fault.detail)
        };
        assert_eq!(allowed(&["127.0.0.1:5060", "127.0.0.1:5061"]), Ok(vec!["127.0.0.1:5061".parse().unwrap()]));
        assert_eq!(allowed(&["127.0.0.1:5060"]), Err("127.0.0.1:5060 is ours".to_owned()));
        for nobody in ["0.0.0.0", "[::]", "224.0.0.1", "[ff02::1]", "255.255.255.255", "[::ffff:224.0.0.1]"] {
            let why = allowed(&[&format!("{nobody}:4000")]).unwrap_err();
            assert!(why.ends_with("is not a host address"), "{why}");
        }
        // Broadcast address of the loopback network: the system requires a socket option that we do not set.
        let rtp = |url: &str| SocketSpec { url: url.to_owned(), ..spec.clone() };
        let broadcast = find(&rtp("rtp://127.255.255.255:4000"), &OwnSockets::none()).await.unwrap_err();
        assert!(broadcast.detail.contains("denied"), "{}", broadcast.detail);
        assert_eq!(
            find(&rtp("rtp://127.0.0.1:4000"), &OwnSockets::none()).await,
            Ok("127.0.0.1:4000".parse().unwrap())
        );
    }

    /// Returns the client's error for a certificate made from `shown`; the client trusts that certificate or another
    /// one.
    fn shaken(shown: rcgen::CertificateParams, trusts_it: bool) -> Result<(), String> {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = shown.self_signed(&key).unwrap();
        let mut other = rcgen::CertificateParams::default();
        other.distinguished_name.push(rcgen::DnType::CommonName, "other");
        let pem = if trusts_it { certificate.pem() } else { other.self_signed(&key).unwrap().pem() };
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
        let server = rustls::ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.into())
            .unwrap();
        let (near, far) = tokio::io::duplex(65_536);
        let name = ServerName::try_from("a.example").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let client = Arc::new(trusting_in(TrustAnchors::of_pem(pem.as_bytes()).unwrap()).unwrap());
        let (said, _) = runtime.block_on(async {
            let accept = tokio_rustls::TlsAcceptor::from(Arc::new(server)).accept(far);
            tokio::join!(TlsConnector::from(client).connect(name, near), accept)
        });
        said.map(drop).map_err(|error| words(&error))
    }

    #[test]
    fn a_certificate_is_believed_or_refused_in_words() {
        let params = |name: &str| rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        let authority = || {
            let mut authority = params("a.example");
            authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            authority
        };
        assert_eq!(shaken(params("a.example"), true), Ok(()));
        assert_eq!(shaken(authority(), true), Ok(()), "as openssl req -x509 makes them");
        let refused = |params, trusts_it| shaken(params, trusts_it).unwrap_err();
        assert!(refused(params("a.example"), false).contains("does not end in a trusted root"));
        assert!(refused(params("b.example"), true).contains("not valid for name"));
        assert!(refused(authority(), false).contains("CA:TRUE"));
    }

    #[test]
    fn silence_of_the_far_side_is_told_from_a_break() {
        let io = |kind: io::ErrorKind| WsError::Io(kind.into());
        assert_eq!(AgentFault::of_open(&io(io::ErrorKind::TimedOut)).loss, StreamLoss::DataUnacknowledged);
        assert_eq!(AgentFault::of_open(&io(io::ErrorKind::ConnectionReset)).loss, StreamLoss::Reset);
        assert_eq!(AgentFault::of_open(&WsError::Utf8(String::new())).loss, StreamLoss::ProtocolError);
        let reset = WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake);
        assert_eq!(AgentFault::of_open(&reset).loss, StreamLoss::Reset);
        let refused = |status: u16, location: &str| {
            let response = Response::builder().status(status).header(LOCATION, location).body(None).unwrap();
            AgentFault::of_handshake(&WsError::Http(response.into()))
        };
        let moved = refused(302, "https://a.example/in?token=x");
        assert_eq!(moved.loss, StreamLoss::Status(302));
        assert_eq!(moved.detail, "it redirects to https://a.example/in, which is not followed");
        assert_eq!(refused(404, "/elsewhere"), AgentFault::new(StreamLoss::Status(404), ""));
        let incomplete = WsError::Protocol(ProtocolError::HandshakeIncomplete);
        let ended = AgentFault::new(StreamLoss::NotWebSocket, ENDED);
        assert_eq!(AgentFault::of_handshake(&incomplete), ended);
    }
}
