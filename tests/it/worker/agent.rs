//! Agents on loopback: WebSocket servers of one connection each, and calls with these agents.

#![allow(dead_code, clippy::unwrap_used, clippy::panic, reason = "each test file uses its part; a test may panic")]
#![expect(clippy::result_large_err, reason = "the library's callback refuses by a whole response")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::{Message, WebSocket, accept_hdr};
use trunkgate_media::agent::StreamSettings;
use trunkgate_media::{
    AgentEvent, AgentSpec, EndCounters, EndId, MediaCommand, MediaEvent, MediaId, PayloadCodec, SocketSpec, UrlOrigin,
    WireSpec,
};

use super::rig::{A, PATIENCE, Rig};

pub(crate) const AGENT: EndId = EndId(7);

/// Server of one connection, which behaves as a test requires.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    thread: JoinHandle<()>,
}

impl Server {
    /// Starts a server that passes the plain TCP connection to `deed`.
    pub(crate) fn raw(deed: impl FnOnce(TcpStream) + Send + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let thread = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.set_nodelay(true).unwrap();
            deed(stream);
        });
        Server { address, thread }
    }

    /// Starts a server that answers the handshake with this text, and sends nothing else.
    pub(crate) fn answers(text: &'static str) -> Server {
        Server::raw(move |mut stream| {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.extend_from_slice(&byte);
            }
            stream.write_all(text.as_bytes()).unwrap();
        })
    }

    /// Starts a server that passes the WebSocket to `deed`, with the request that opened it.
    pub(crate) fn open(deed: impl FnOnce(WebSocket<TcpStream>, Request) + Send + 'static) -> Server {
        Server::raw(move |stream| {
            let (socket, request) = accept(stream);
            deed(socket, request);
        })
    }

    /// Starts a server that passes a WebSocket over TLS, with this certificate, to `deed`.
    pub(crate) fn secure(certificate: &Certificate, deed: impl FnOnce(Secure) + Send + 'static) -> Server {
        let chain = vec![CertificateDer::from_pem_slice(certificate.pem.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
        Server::raw(move |stream| {
            let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
            // A client that does not trust the certificate disconnects here.
            if stream.conn.complete_io(&mut stream.sock).is_ok() && !stream.conn.is_handshaking() {
                let accepted = accept_hdr(stream, |_: &Request, response: Response| Ok(response));
                if let Ok(socket) = accepted {
                    deed(socket);
                }
            }
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/media", self.address)
    }

    pub(crate) fn join(self) {
        self.thread.join().unwrap();
    }
}

pub(crate) type Secure = WebSocket<StreamOwned<ServerConnection, TcpStream>>;

fn accept(stream: TcpStream) -> (WebSocket<TcpStream>, Request) {
    let mut seen = None;
    let socket = accept_hdr(stream, |request: &Request, response: Response| {
        seen = Some(request.clone());
        Ok(response)
    });
    (socket.unwrap(), seen.unwrap())
}

/// Self-signed certificate with its key.
pub(crate) struct Certificate {
    pub(crate) pem: String,
    key: String,
}

impl Certificate {
    pub(crate) fn of(name: &str) -> Certificate {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        Certificate { pem: made.cert.pem(), key: made.signing_key.serialize_pem() }
    }
}

/// Echoes each frame as audio until the other side closes the WebSocket.
pub(crate) fn echo<S: Read + Write>(mut socket: WebSocket<S>) {
    while let Ok(message) = socket.read() {
        let Message::Text(text) = message else { continue };
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        if json["event"] == "media" {
            let media = serde_json::json!({"event": "media", "streamSid": json["streamSid"], "media": {"payload": json["media"]["payload"]}});
            if socket.send(Message::text(media.to_string())).is_err() {
                return;
            }
        }
    }
}

/// Reads all texts until the other side closes the WebSocket; also returns the close code.
pub(crate) fn read_all<S: Read + Write>(socket: &mut WebSocket<S>) -> (Vec<serde_json::Value>, Option<u16>) {
    let mut texts = Vec::new();
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => texts.push(serde_json::from_str(&text).unwrap()),
            Ok(Message::Close(frame)) => return (texts, frame.map(|frame| frame.code.into())),
            Ok(_) => {}
            Err(_) => return (texts, None),
        }
    }
}

pub(crate) fn settings() -> StreamSettings {
    StreamSettings {
        stream_sid: "MZ1".into(),
        call_sid: "CA1".into(),
        account_sid: "AC1".into(),
        ..StreamSettings::default()
    }
}

pub(crate) fn socket_spec(url: String) -> SocketSpec {
    SocketSpec {
        url,
        origin: UrlOrigin::Configuration,
        auth_token: None,
        ca: None,
        plain_networks: vec![],
        traceparent: None,
        bearer: None,
        sends_query: false,
    }
}

pub(crate) fn wire() -> WireSpec {
    WireSpec { payloads: vec![(0, 0)], coding: PayloadCodec::Pcmu, keys: Some(101), ..WireSpec::default() }
}

impl Rig {
    pub(crate) fn add_agent(&mut self, id: MediaId, settings: StreamSettings, socket: SocketSpec) -> Arc<EndCounters> {
        let counters = Arc::new(EndCounters::default());
        let spec = Arc::new(AgentSpec {
            settings,
            socket,
            counters: counters.clone(),
            queue: Arc::default(),
            turns: None,
            clear_fade: Duration::ZERO,
            raw: None,
        });
        self.workers.send(id, MediaCommand::AddAgent { end: AGENT, spec });
        counters
    }

    pub(crate) fn wire_agent(&mut self, id: MediaId) {
        self.workers.send(id, MediaCommand::Wire { from: A, to: AGENT, wire: wire() });
        self.workers.send(id, MediaCommand::Wire { from: AGENT, to: A, wire: wire() });
    }

    /// Returns the next event that is not a note.
    pub(crate) fn told(&mut self) -> MediaEvent {
        loop {
            let (_, event) = self.event();
            if !matches!(event, MediaEvent::Agent { event: AgentEvent::Note { .. }, .. } | MediaEvent::Latched { .. }) {
                return event;
            }
        }
    }
}
