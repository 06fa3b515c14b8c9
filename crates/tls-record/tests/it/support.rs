//! Connection in memory between a [`TlsSession`] and a peer that uses rustls.

use std::io::{ErrorKind, Read as _, Write as _};
use std::sync::{Arc, LazyLock};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, Connection, Error, RootCertStore, ServerConfig, ServerConnection,
    SupportedCipherSuite,
};
use trunkgate_tls_record::{TlsSession, TlsSnapshot};

/// Role of the session; the peer has the opposite one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

pub(crate) const SIDES: [Side; 2] = [Side::Client, Side::Server];

struct Identity {
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

fn identity(algorithm: &'static rcgen::SignatureAlgorithm) -> Identity {
    let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
    let params = rcgen::CertificateParams::new(["a.example".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    Identity { certificate, key: key.serialize_der() }
}

/// Certificates of the server with their keys: ECDSA, RSA.
static IDENTITIES: LazyLock<[Identity; 2]> =
    LazyLock::new(|| [identity(&rcgen::PKCS_ECDSA_P256_SHA256), identity(&rcgen::PKCS_RSA_SHA256)]);

/// Returns all cipher suites of the provider.
pub(crate) fn suites() -> Vec<SupportedCipherSuite> {
    rustls::crypto::aws_lc_rs::default_provider().cipher_suites
}

/// Returns one cipher suite of each TLS version.
pub(crate) fn versions() -> [SupportedCipherSuite; 2] {
    let all = suites();
    let first = |is_newer: bool| *all.iter().find(|suite| suite.tls13().is_some() == is_newer).unwrap();
    [first(true), first(false)]
}

/// Options of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) suite: SupportedCipherSuite,
    pub(crate) side: Side,
    pub(crate) allows_extraction: bool,
    pub(crate) tickets: usize,
    /// Whether the client trusts the server.
    pub(crate) is_trusted: bool,
}

impl Options {
    pub(crate) fn new(suite: SupportedCipherSuite, side: Side) -> Options {
        Options { suite, side, allows_extraction: true, tickets: 0, is_trusted: true }
    }
}

/// Session under test with its peer.
pub(crate) struct Pair {
    pub(crate) session: TlsSession,
    pub(crate) peer: Connection,
    /// Data that the peer has received.
    heard: Vec<u8>,
}

fn configs(options: Options) -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    let provider = Arc::new(CryptoProvider {
        cipher_suites: vec![options.suite],
        ..rustls::crypto::aws_lc_rs::default_provider()
    });
    let is_rsa = format!("{:?}", options.suite).contains("_RSA_");
    let own = &IDENTITIES[usize::from(is_rsa)];
    let mut roots = RootCertStore::empty();
    let trusted = if options.is_trusted { own } else { &IDENTITIES[usize::from(!is_rsa)] };
    roots.add(trusted.certificate.clone()).unwrap();
    let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(own.key.clone()));
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.certificate.clone()], key)
        .unwrap();
    server.send_tls13_tickets = options.tickets;
    client.enable_secret_extraction = options.allows_extraction;
    server.enable_secret_extraction = options.allows_extraction;
    (Arc::new(client), Arc::new(server))
}

impl Pair {
    /// Returns a connection whose handshake has not begun.
    pub(crate) fn before_handshake(options: Options) -> Pair {
        let (client, server) = configs(options);
        let name = ServerName::try_from("a.example").unwrap();
        let (session, peer) = match options.side {
            Side::Client => (TlsSession::connect(client, name), ServerConnection::new(server).map(Connection::from)),
            Side::Server => (TlsSession::accept(server), ClientConnection::new(client, name).map(Connection::from)),
        };
        Pair { session: session.unwrap(), peer: peer.unwrap(), heard: Vec::new() }
    }

    /// Returns a connection whose handshake is complete.
    pub(crate) fn open(suite: SupportedCipherSuite, side: Side) -> Pair {
        Pair::with(Options::new(suite, side))
    }

    pub(crate) fn with(options: Options) -> Pair {
        let mut pair = Pair::before_handshake(options);
        pair.transfer().unwrap();
        assert!(!pair.session.is_handshaking() && !pair.peer.is_handshaking());
        pair
    }

    /// Removes and returns the bytes that the peer wants to send.
    pub(crate) fn receive_from_peer(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.peer.wants_write() {
            self.peer.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    /// Delivers the bytes that the session wants to send to the peer.
    pub(crate) fn pass_to_peer(&mut self) -> Result<(), Error> {
        while !self.session.unsent().is_empty() {
            let mut bytes = self.session.unsent();
            let sent = self.peer.read_tls(&mut bytes).unwrap();
            self.session.mark_sent(sent);
            self.peer.process_new_packets()?;
            match self.peer.reader().read_to_end(&mut self.heard) {
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        Ok(())
    }

    /// Exchanges bytes until neither side sends any more; returns the fault of the session or of the peer.
    pub(crate) fn transfer(&mut self) -> Result<(), Error> {
        loop {
            let peer = self.pass_to_peer();
            let bytes = self.receive_from_peer();
            if let Err(fault) = peer {
                // The alert for it.
                let _ = self.session.receive(&bytes);
                return Err(fault);
            }
            if bytes.is_empty() && self.session.unsent().is_empty() {
                return Ok(());
            }
            self.session.receive(&bytes)?;
        }
    }

    /// Returns the records in which the peer sends this data; they are not delivered to the session.
    pub(crate) fn records(&mut self, data: &[u8]) -> Vec<u8> {
        self.peer.writer().write_all(data).unwrap();
        self.receive_from_peer()
    }

    /// Sends data in each direction and checks that it arrives.
    pub(crate) fn talk(&mut self, text: &[u8]) {
        let records = self.records(text);
        self.session.receive(&records).unwrap();
        assert_eq!(read(&mut self.session), text);
        let mut rest = text;
        let mut heard = Vec::new();
        while !rest.is_empty() {
            let accepted = self.session.write(rest).unwrap();
            rest = &rest[accepted..];
            self.pass_to_peer().unwrap();
            heard.extend(self.peer_reads());
        }
        assert_eq!(heard, text);
    }

    /// Removes and returns the data that the peer has received.
    pub(crate) fn peer_reads(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.heard)
    }

    /// Continues the session from its snapshot, as another process does.
    pub(crate) fn cross(self) -> Pair {
        assert!(self.session.can_cross());
        let (snapshot, pair) = self.crossing();
        pair.resumed(&snapshot)
    }

    /// Returns the snapshot of the session, and the peer's part of the connection.
    pub(crate) fn crossing(self) -> (String, Crossing) {
        (stored(self.session), Crossing { peer: self.peer, heard: self.heard })
    }
}

/// Connection whose session has become a snapshot: the peer's part.
pub(crate) struct Crossing {
    peer: Connection,
    heard: Vec<u8>,
}

impl Crossing {
    pub(crate) fn resumed(self, snapshot: &str) -> Pair {
        Pair { session: restored(snapshot), peer: self.peer, heard: self.heard }
    }
}

/// Returns the snapshot of a session as text.
pub(crate) fn stored(session: TlsSession) -> String {
    let snapshot: TlsSnapshot = session.into_snapshot().unwrap();
    serde_json::to_string(&snapshot).unwrap()
}

pub(crate) fn restored(stored: &str) -> TlsSession {
    TlsSession::resume(serde_json::from_str(stored).unwrap()).unwrap()
}

/// Reads all data that the session has decrypted.
pub(crate) fn read(session: &mut TlsSession) -> Vec<u8> {
    let mut data = Vec::new();
    let mut some = [0; 100];
    loop {
        match session.read(&mut some) {
            0 => return data,
            length => data.extend_from_slice(&some[..length]),
        }
    }
}
