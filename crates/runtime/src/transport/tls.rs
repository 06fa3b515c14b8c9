//! TLS settings in force: certificates, trust, and the handshakes in both directions. Changed files replace the
//! settings; existing connections remain open, because their dialogs use them.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, ServerConfig};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::watch;
use trunkgate_call::TlsIdentity;
use trunkgate_route::{Peer, RoutingTable, Transport, Trunk};

use crate::transport::tls_faults::ListenerCertificate;
use trunkgate_config::{Config, ListenTls, TrunkTls};
use trunkgate_system::certificates::{
    CLOSED, CertificatePair, ClientUsage, PairFault, TrustAnchors, carries, make_pair, provider, read_pair,
};
use trunkgate_system::connector::{Connector, TlsFault, within};
use trunkgate_system::limits;
use trunkgate_system::sni::CertificatesByName;
use trunkgate_system::tls_stream::TlsStream;
pub(crate) use trunkgate_system::tls_words::{CLIENT_NOT_TLS, NOT_TLS};
use trunkgate_system::verifier::{ClientVerifier, ServerVerifier};

/// TLS settings of a configuration, with the contents of its certificate files.
#[derive(Debug, Clone, Default)]
pub struct TlsSettings {
    listeners: HashMap<String, Arc<TlsServerSetup>>,
    trunks: HashMap<Arc<str>, Arc<TlsClientSetup>>,
    /// Client settings for remote parties that belong to no trunk; `None` if no listener uses TLS.
    others: Option<Arc<TlsClientSetup>>,
    /// Server settings of the HTTP interface; `None` if it does not use TLS.
    http: Option<Arc<TlsServerSetup>>,
}

/// Server settings of a listener.
#[derive(Debug)]
struct TlsServerSetup {
    config: Arc<ServerConfig>,
    pair: CertificatePair,
    /// Certificates for further server names (SNI), in addition to the default one.
    further: Vec<FurtherPair>,
    /// Trusted CAs by which client certificates are verified; `None` if the listener has no `client_ca`.
    clients: Option<TrustAnchors>,
}

impl TlsServerSetup {
    /// Returns the certificates, the default one first.
    fn pairs(&self) -> impl Iterator<Item = &CertificatePair> {
        std::iter::once(&self.pair).chain(self.further.iter().map(|further| &further.pair))
    }

    /// Returns a number that identifies the current certificates.
    fn shown(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.pairs().for_each(|pair| pair.key.cert.hash(&mut hasher));
        hasher.finish()
    }
}

/// Policy of a listener for client certificates.
#[derive(Debug, Clone, Copy, Default)]
struct ClientAuthPolicy<'a> {
    /// True if client certificates are requested although the listener has no `client_ca`, because a trunk has its own
    /// CA.
    always: bool,
    /// Names of clients that may present a certificate for server authentication only.
    any_usage: &'a [String],
}

/// Certificate of a listener for further server names.
#[derive(Debug, Clone)]
struct FurtherPair {
    /// File of the certificate, by which its previous version is found when the file cannot be read again.
    file: PathBuf,
    pair: CertificatePair,
}

/// Client settings for a trunk.
#[derive(Debug)]
struct TlsClientSetup {
    config: Arc<ClientConfig>,
    pair: Option<CertificatePair>,
    /// Trusted CAs of the trunk; `None` if it has no CA of its own.
    ca: Option<TrustAnchors>,
    /// Key usages accepted in the trunk's certificate when the trunk is the TLS client.
    client_usage: ClientUsage,
    /// Number of the TLS terms: any change of these settings yields another number.
    terms: u64,
}

impl TlsSettings {
    /// Reads all certificate files of a configuration. For a file that cannot be used, its version in `before` is kept
    /// and a description of the fault is returned.
    pub fn read(config: &Config, before: &TlsSettings) -> (TlsSettings, Vec<String>) {
        let mut settings = TlsSettings::default();
        let mut faults = Vec::new();
        if let Some(tls) = &config.http.tls {
            let tls = ListenTls { own: Some(tls.own.clone()), ..ListenTls::default() };
            let made = server(&tls, ClientAuthPolicy::default(), None, &mut Vec::new()).map(Arc::new).or_else(|what| {
                faults.push(format!("[http] tls: {what}"));
                before.http.clone().ok_or(())
            });
            settings.http = made.ok();
        }
        if !config.listen.iter().any(|listen| listen.tls.is_some()) {
            return (settings, faults);
        }
        let system = TrustAnchors::of_system();
        settings.others = client(None, &[], &system).map(Arc::new).ok();
        let any_usage: Vec<String> = config
            .trunk_tls
            .iter()
            .filter(|(_, tls)| tls.any_client_usage)
            .flat_map(|(name, _)| names(config, name).iter().cloned())
            .collect();
        let ask = config.trunk_tls.iter().any(|(name, tls)| tls.ca.is_some() && !names(config, name).is_empty());
        for listen in &config.listen {
            let Some(tls) = &listen.tls else { continue };
            let earlier = before.listeners.get(&listen.name);
            let mut kept = Vec::new();
            let asking = ClientAuthPolicy { always: ask, any_usage: &any_usage };
            let made = server(tls, asking, earlier.map(Arc::as_ref), &mut kept).map(Arc::new).or_else(|what| {
                kept.push(what);
                earlier.cloned().ok_or(())
            });
            faults.extend(kept.into_iter().map(|what| format!("listener {}: {what}", listen.name)));
            if let Ok(server) = made {
                settings.listeners.insert(listen.name.clone(), server);
            }
        }
        for (name, tls) in &config.trunk_tls {
            let made = client(Some(tls), names(config, name), &system).map(Arc::new).or_else(|what| {
                faults.push(format!("trunk {name}: {what}"));
                before.trunks.get(name).cloned().ok_or(())
            });
            if let Ok(client) = made {
                settings.trunks.insert(name.clone(), client);
            }
        }
        (settings, faults)
    }

    /// Returns whether a client certificate may identify a trunk on a listener. If so, connections from unknown
    /// addresses get a TLS handshake.
    pub(super) fn may_recognise(&self, listener: &str, table: &RoutingTable) -> bool {
        let by_listener = self.listeners.get(listener).is_some_and(|server| server.clients.is_some());
        let mut named = table.trunks().iter().filter(|trunk| !trunk.certificate_names.is_empty());
        named.any(|trunk| by_listener || self.ca_of(trunk).is_some())
    }

    /// Returns the first trunk that a client's certificate identifies, if any: the certificate contains one of the
    /// trunk's names, and is issued by the trunk's own CA, or by the listener's CA if the trunk has none.
    fn recognise(&self, listener: &str, table: &RoutingTable, chain: &[CertificateDer<'_>]) -> Option<TlsIdentity> {
        let (own, others) = chain.split_first()?;
        let server = self.listeners.get(listener)?;
        table.trunks().iter().find_map(|trunk| {
            let name = trunk.certificate_names.iter().find(|name| carries(own, name))?;
            // The listener may have accepted a server certificate, which another trunk allows and this one does not.
            let trust = self.ca_of(trunk).or(server.clients.as_ref())?;
            let believed = trust.judge_client(own, others, self.client_usage(trunk), UnixTime::now()).is_ok();
            believed.then(|| TlsIdentity { trunk: trunk.name.clone(), certificate_name: Some(name.as_str().into()) })
        })
    }

    fn ca_of(&self, trunk: &Trunk) -> Option<&TrustAnchors> {
        self.trunks.get(&trunk.name)?.ca.as_ref()
    }

    fn client_usage(&self, trunk: &Trunk) -> ClientUsage {
        self.trunks.get(&trunk.name).map_or(ClientUsage::Client, |client| client.client_usage)
    }

    /// Returns the number of the TLS terms with a trunk: the certificates shown to it and required of it. A connection
    /// established under other terms is only used for its existing dialogs.
    pub(super) fn terms(&self, trunk: &str) -> u64 {
        self.trunks.get(trunk).or(self.others.as_ref()).map_or(0, |client| client.terms)
    }

    /// Returns the edge's TLS client settings for a trunk; `None` if no listener uses TLS.
    pub fn towards(&self, trunk: &str) -> Option<Arc<ClientConfig>> {
        self.trunks.get(trunk).or(self.others.as_ref()).map(|client| Arc::clone(&client.config))
    }

    /// Returns the server settings of the HTTP interface; `None` if it does not use TLS.
    pub fn of_http(&self) -> Option<Arc<ServerConfig>> {
        self.http.as_ref().map(|server| Arc::clone(&server.config))
    }

    /// Returns the edge's own certificates with their owners: listeners, then trunks.
    pub fn pairs(&self) -> Vec<(CertificateOwner, &CertificatePair)> {
        let owned = |kind, name: &str, at| CertificateOwner { kind, name: name.to_owned(), at };
        let listeners = self.listeners.iter().flat_map(|(name, server)| {
            server.pairs().enumerate().map(move |(at, pair)| (owned("listener", name, at), pair))
        });
        let trunks =
            self.trunks.iter().filter_map(|(name, client)| Some((owned("trunk", name, 0), client.pair.as_ref()?)));
        let http = self.http.iter().map(|server| (owned("listener", "http", 0), &server.pair));
        let mut all: Vec<_> = listeners.chain(trunks).chain(http).collect();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        all
    }

    /// Returns whether a listener still uses the certificate that it used in a handshake.
    pub(crate) fn shows(&self, shown: &ListenerCertificate) -> bool {
        self.listeners.get(&shown.listener).is_some_and(|server| server.shown() == shown.certificate)
    }

    /// Returns the expiry times of the edge's own certificates.
    pub(crate) fn expiries(&self) -> Vec<(CertificateOwner, Timestamp)> {
        self.pairs().into_iter().map(|(owner, pair)| (owner, pair.expires)).collect()
    }

    /// Returns the earliest expiry of each owner's certificates, with kind and name of the owner.
    pub fn first_expiries(&self) -> Vec<(&'static str, String, Timestamp)> {
        let mut first: Vec<(&'static str, String, Timestamp)> = Vec::new();
        for (owner, expires) in self.expiries() {
            match first.last_mut().filter(|(kind, name, _)| *kind == owner.kind && *name == owner.name) {
                Some((.., earliest)) => *earliest = expires.min(*earliest),
                None => first.push((owner.kind, owner.name, expires)),
            }
        }
        first
    }
}

/// Owner of one of the edge's certificates.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CertificateOwner {
    /// Kind of the owner: `listener` or `trunk`.
    pub kind: &'static str,
    /// Name of the owner.
    pub name: String,
    /// Index among the owner's certificates; 0 is the default.
    pub at: usize,
}

/// Returns the names of which a trunk's certificate must contain one.
fn names<'a>(config: &'a Config, trunk: &str) -> &'a [String] {
    let found = config.trunks.iter().find(|known| *known.name == *trunk);
    found.map(|trunk| trunk.certificate_names.as_slice()).unwrap_or_default()
}

/// Reads the server settings of a listener. For a file that cannot be used, its version in `earlier` is used and the
/// fault is added to `kept`; the other files are still read.
///
/// # Errors
/// Returns the fault of a file that cannot be used and has no earlier version.
fn server(
    tls: &ListenTls,
    asking: ClientAuthPolicy<'_>,
    earlier: Option<&TlsServerSetup>,
    kept: &mut Vec<String>,
) -> Result<TlsServerSetup, String> {
    let known = earlier.map(|server| &server.pair);
    let pair = match (&tls.own, known) {
        // Until ACME has written a usable file, the listener keeps its previous or self-made certificate.
        (Some((certificate, private_key)), known) if tls.is_issued => {
            pair(certificate, private_key).or_else(|_| known.cloned().map_or_else(make_pair, Ok))?
        }
        (Some((certificate, private_key)), known) => or_earlier(pair(certificate, private_key), known, kept)?,
        (None, Some(known)) => known.clone(),
        (None, None) => make_pair()?,
    };
    let further = tls.further.iter().map(|(certificate, private_key)| {
        let known = earlier.and_then(|server| server.further.iter().find(|further| further.file == *certificate));
        let read = self::pair(certificate, private_key);
        let pair = or_earlier(read, known.map(|further| &further.pair), kept)?;
        Ok(FurtherPair { file: certificate.clone(), pair })
    });
    let further = further.collect::<Result<Vec<FurtherPair>, String>>()?;
    let clients = tls.client_ca.as_deref().map(trust).map(|read| {
        let known = earlier.and_then(|server| server.clients.as_ref());
        or_earlier(read, known, kept)
    });
    let clients = clients.transpose()?;
    let versions = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = versions.map_err(|error| error.to_string())?;
    let builder = match (&clients, asking.always) {
        (None, false) => builder.with_no_client_auth(),
        (trust, _) => {
            builder.with_client_cert_verifier(Arc::new(ClientVerifier::new(trust.clone(), asking.any_usage.to_vec())))
        }
    };
    let all = std::iter::once(&pair).chain(further.iter().map(|further| &further.pair));
    let keys = all.map(|pair| Arc::clone(&pair.key)).collect();
    let mut config = builder.with_cert_resolver(Arc::new(CertificatesByName::new(keys)));
    // Sessions are not resumed, so that certificates are verified for each connection.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    // Another process continues the connections.
    config.enable_secret_extraction = true;
    Ok(TlsServerSetup { config: Arc::new(config), pair, further, clients })
}

/// Returns the value that was read; if reading failed, the earlier version, and the fault is added to `kept`. Without
/// an earlier version the fault is returned as error.
fn or_earlier<T: Clone>(read: Result<T, String>, earlier: Option<&T>, kept: &mut Vec<String>) -> Result<T, String> {
    read.or_else(|what| match earlier {
        Some(earlier) => {
            kept.push(what);
            Ok(earlier.clone())
        }
        None => Err(what),
    })
}

fn client(tls: Option<&TrunkTls>, names: &[String], system: &TrustAnchors) -> Result<TlsClientSetup, String> {
    let ca = tls.and_then(|tls| tls.ca.as_deref()).map(trust).transpose()?;
    let own = tls.and_then(|tls| tls.own.as_ref());
    let own = own.map(|(certificate, private_key)| pair(certificate, private_key)).transpose()?;
    let believed = tls.is_none_or(|tls| tls.verify).then(|| ca.clone().unwrap_or_else(|| system.clone()));
    let versions = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = versions.map_err(|error| error.to_string())?.dangerous();
    let builder = builder.with_custom_certificate_verifier(Arc::new(ServerVerifier::new(believed, names.to_vec())));
    let mut config = match &own {
        None => builder.with_no_client_auth(),
        Some(pair) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&pair.key)))),
    };
    config.resumption = Resumption::disabled();
    // Another process continues the connections.
    config.enable_secret_extraction = true;
    let mut terms = DefaultHasher::new();
    let shown = own.as_ref().map(|pair| &pair.key.cert);
    (tls.is_none_or(|tls| tls.verify), names, ca.as_ref().map(TrustAnchors::certificates), shown).hash(&mut terms);
    let client_usage = if tls.is_some_and(|tls| tls.any_client_usage) { ClientUsage::Any } else { ClientUsage::Client };
    Ok(TlsClientSetup { config: Arc::new(config), pair: own, ca, client_usage, terms: terms.finish() })
}

/// Returns client settings for a trunk that no configuration file contains.
///
/// # Errors
/// Returns the fault of a file that cannot be used.
pub fn towards(tls: &TrunkTls) -> Result<Arc<ClientConfig>, String> {
    Ok(client(Some(tls), &[], &TrustAnchors::of_system())?.config)
}

fn pair(certificate: &Path, private_key: &Path) -> Result<CertificatePair, String> {
    read_pair(certificate, private_key).map_err(|fault| {
        let path = match &fault {
            PairFault::Certificate(_) => certificate,
            PairFault::PrivateKey(_) => private_key,
        };
        format!("{}: {}", path.display(), fault.what())
    })
}

fn trust(path: &Path) -> Result<TrustAnchors, String> {
    TrustAnchors::of_file(path).map_err(|what| format!("{}: {what}", path.display()))
}

/// Owner of an outbound TLS connection, which carries messages of no other owner.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum ConnectionOwner {
    /// Trunk by name.
    Trunk(Arc<str>),
    /// Host that belongs to no trunk.
    Host(Box<str>),
}

impl ConnectionOwner {
    /// Returns the name of the trunk; empty for a host that belongs to no trunk.
    pub(super) fn trunk(&self) -> Arc<str> {
        match self {
            ConnectionOwner::Trunk(name) => Arc::clone(name),
            ConnectionOwner::Host(_) => Arc::from(""),
        }
    }
}

/// Maximum duration of a TLS handshake in either direction.
const HANDSHAKE: Option<Duration> = Some(Duration::from_secs(limits::HANDSHAKE_SECONDS));

/// Performs TLS handshakes with the settings in force.
#[derive(Debug, Clone)]
pub(super) struct TlsHandshaker {
    pub(super) settings: watch::Receiver<Arc<TlsSettings>>,
    pub(super) table: watch::Receiver<Arc<RoutingTable>>,
    /// Runtime of the TLS thread, on which handshakes and their connections run.
    pub(super) spoken_on: Handle,
}

impl TlsHandshaker {
    /// Performs a handshake as client: the remote certificate must be valid for the host, or contain a name of the
    /// trunk.
    ///
    /// # Errors
    /// Returns the fault of the handshake.
    pub(super) async fn connect(
        &self,
        stream: TcpStream,
        whom: &ConnectionOwner,
        remote: SocketAddr,
    ) -> Result<TlsStream<TcpStream>, TlsFault> {
        let settings = self.settings.borrow().clone();
        let (client, host) = match whom {
            ConnectionOwner::Trunk(name) => {
                let table = self.table.borrow().clone();
                let host = table.trunk(name).and_then(|trunk| host_of(trunk, remote));
                (settings.trunks.get(name).or(settings.others.as_ref()), host)
            }
            ConnectionOwner::Host(host) => (settings.others.as_ref(), Some(host.to_string())),
        };
        let client = client.ok_or_else(|| TlsFault::new("no TLS listener"))?;
        let host = host.unwrap_or_else(|| remote.ip().to_string());
        let connector = Connector { handshake_within: HANDSHAKE, ..Connector::default() };
        connector.crossing_tls(Arc::clone(&client.config), &host, stream).await
    }

    /// Performs a handshake as server; returns the trunk that the client's certificate identifies, if any.
    ///
    /// # Errors
    /// Returns the fault with the certificate that was shown to the client.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
        listener: &str,
    ) -> Result<(TlsStream<TcpStream>, Option<TlsIdentity>), (TlsFault, ListenerCertificate)> {
        let settings = self.settings.borrow().clone();
        let shown = |certificate| ListenerCertificate { listener: listener.to_owned(), certificate };
        let server =
            settings.listeners.get(listener).ok_or_else(|| (TlsFault::new("no certificate configured"), shown(0)))?;
        let accepted = within(HANDSHAKE, TlsStream::accept(Arc::clone(&server.config), stream)).await;
        let stream = accepted.map_err(|fault| match fault.what.starts_with(CLOSED) {
            true => (
                TlsFault { what: format!("{CLOSED}: it may not accept the edge's certificate"), ..fault },
                shown(server.shown()),
            ),
            false => {
                let what = fault.what.replace(NOT_TLS, CLIENT_NOT_TLS);
                (TlsFault { what, ..fault }, shown(server.shown()))
            }
        })?;
        let chain = stream.session().peer_certificates().unwrap_or_default();
        let table = self.table.borrow().clone();
        let identity = settings.recognise(listener, &table, chain);
        Ok((stream, identity))
    }
}

/// Returns the host for which a trunk's certificate must be valid at an address: that of the peer with this address,
/// otherwise that of the trunk's first TLS peer.
fn host_of(trunk: &Trunk, remote: SocketAddr) -> Option<String> {
    let is_tls = |peer: &&Peer| {
        peer.destination.transport == Transport::Tls || peer.servers.iter().any(|s| s.transport == Transport::Tls)
    };
    let over_tls = || trunk.peers.iter().filter(is_tls);
    let there = over_tls().find(|peer| peer.addresses().any(|ip| ip.to_canonical() == remote.ip()));
    there.or_else(|| over_tls().next()).map(|peer| peer.destination.host.clone())
}
