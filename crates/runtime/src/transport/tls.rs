//! TLS as configured now: whose certificate is shown to whom, who is believed, and the two handshakes. A new file swaps
//! a new snapshot in; what is connected stays connected, for the dialogs that live on it.

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
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_rustls::{TlsAcceptor, client, server};
use trunkgate_call::Identity;
use trunkgate_route::{Peer, Table, Transport, Trunk};

use crate::transport::tls_faults::Shown;
use trunkgate_config::{Config, ListenTls, TrunkTls};
use trunkgate_system::certificates::{
    CLOSED, ClientUsage, Pair, PairFault, Trust, carries, make_pair, provider, read_pair,
};
use trunkgate_system::connector::{Connector, TlsFault, within};
use trunkgate_system::limits;
use trunkgate_system::sni::CertificatesByName;
pub(crate) use trunkgate_system::tls_words::{CLIENT_NOT_TLS, NOT_TLS};
use trunkgate_system::verifier::{Clients, Servers};

/// Everything of TLS that a configuration and its files say.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    listeners: HashMap<String, Arc<Server>>,
    trunks: HashMap<Arc<str>, Arc<Client>>,
    /// Towards far ends of no trunk; `None` where no listener speaks TLS.
    others: Option<Arc<Client>>,
    /// Of the HTTP face, where it speaks TLS.
    http: Option<Arc<Server>>,
}

/// A listener's side.
#[derive(Debug)]
struct Server {
    config: Arc<ServerConfig>,
    pair: Pair,
    /// Certificates for other names.
    further: Vec<FurtherPair>,
    /// Whom its clients must come from.
    clients: Option<Trust>,
}

impl Server {
    /// Its certificates, the default first.
    fn pairs(&self) -> impl Iterator<Item = &Pair> {
        std::iter::once(&self.pair).chain(self.further.iter().map(|further| &further.pair))
    }

    /// Returns a number for its certificates: others have another number.
    fn shown(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.pairs().for_each(|pair| pair.key.cert.hash(&mut hasher));
        hasher.finish()
    }
}

/// Certificates of clients that a listener asks for.
#[derive(Debug, Clone, Copy, Default)]
struct Asking<'a> {
    /// Whether it asks although it has no `client_ca`: a trunk has a CA of its own.
    always: bool,
    /// Names whose certificates may be for servers alone.
    any_usage: &'a [String],
}

/// A certificate of a listener for other names.
#[derive(Debug, Clone)]
struct FurtherPair {
    /// File of the certificate, by which its earlier version is found.
    file: PathBuf,
    pair: Pair,
}

/// Our side towards a trunk.
#[derive(Debug)]
struct Client {
    config: Arc<ClientConfig>,
    pair: Option<Pair>,
    /// Its `ca`, where written.
    ca: Option<Trust>,
    /// Uses that its certificate as a client may be for.
    client_usage: ClientUsage,
    /// What was agreed to by this: another number, other terms.
    terms: u64,
}

impl Settings {
    /// Reads every file that a configuration names. A file that cannot be used keeps its version of `before`, and is among the faults.
    pub fn read(config: &Config, before: &Settings) -> (Settings, Vec<String>) {
        let mut settings = Settings::default();
        let mut faults = Vec::new();
        if let Some(tls) = &config.http.tls {
            let tls = ListenTls { own: Some(tls.own.clone()), ..ListenTls::default() };
            let made = server(&tls, Asking::default(), None, &mut Vec::new()).map(Arc::new).or_else(|what| {
                faults.push(format!("[http] tls: {what}"));
                before.http.clone().ok_or(())
            });
            settings.http = made.ok();
        }
        if !config.listen.iter().any(|listen| listen.tls.is_some()) {
            return (settings, faults);
        }
        let system = Trust::of_system();
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
            let asking = Asking { always: ask, any_usage: &any_usage };
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

    /// Whether a client's certificate may say who it is on a listener: then an unknown address is shaken hands with.
    pub(super) fn may_recognise(&self, listener: &str, table: &Table) -> bool {
        let by_listener = self.listeners.get(listener).is_some_and(|server| server.clients.is_some());
        let mut named = table.trunks().iter().filter(|trunk| !trunk.certificate_names.is_empty());
        named.any(|trunk| by_listener || self.ca_of(trunk).is_some())
    }

    /// The first trunk of the file whose certificate this is: one of its names, from its own `ca`, else from whom the
    /// listener demands.
    fn recognise(&self, listener: &str, table: &Table, chain: &[CertificateDer<'_>]) -> Option<Identity> {
        let (own, others) = chain.split_first()?;
        let server = self.listeners.get(listener)?;
        table.trunks().iter().find_map(|trunk| {
            let name = trunk.certificate_names.iter().find(|name| carries(own, name))?;
            // What the listener has let in may be for servers alone, which another trunk allows and this one does not.
            let trust = self.ca_of(trunk).or(server.clients.as_ref())?;
            let believed = trust.judge_client(own, others, self.client_usage(trunk), UnixTime::now()).is_ok();
            believed.then(|| Identity { trunk: trunk.name.clone(), certificate_name: Some(name.as_str().into()) })
        })
    }

    fn ca_of(&self, trunk: &Trunk) -> Option<&Trust> {
        self.trunks.get(&trunk.name)?.ca.as_ref()
    }

    fn client_usage(&self, trunk: &Trunk) -> ClientUsage {
        self.trunks.get(&trunk.name).map_or(ClientUsage::Client, |client| client.client_usage)
    }

    /// A number for what is shown to a trunk and asked of it now: a connection that was made on other terms serves the
    /// dialogs that live on it, and nothing new.
    pub(super) fn terms(&self, trunk: &str) -> u64 {
        self.trunks.get(trunk).or(self.others.as_ref()).map_or(0, |client| client.terms)
    }

    /// Our side towards a trunk; `None` where no listener speaks TLS.
    pub fn towards(&self, trunk: &str) -> Option<Arc<ClientConfig>> {
        self.trunks.get(trunk).or(self.others.as_ref()).map(|client| Arc::clone(&client.config))
    }

    /// The HTTP face's side, where it speaks TLS.
    pub fn of_http(&self) -> Option<Arc<ServerConfig>> {
        self.http.as_ref().map(|server| Arc::clone(&server.config))
    }

    /// Our certificates, in the order of their owners.
    pub fn pairs(&self) -> Vec<(CertificateOwner, &Pair)> {
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

    /// Whether a listener still shows this certificate.
    pub(crate) fn shows(&self, shown: &Shown) -> bool {
        self.listeners.get(&shown.listener).is_some_and(|server| server.shown() == shown.certificate)
    }

    /// Their ends.
    pub(crate) fn expiries(&self) -> Vec<(CertificateOwner, Timestamp)> {
        self.pairs().into_iter().map(|(owner, pair)| (owner, pair.expires)).collect()
    }

    /// The first end of each owner's certificates: whether a listener or a trunk, and its name.
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

/// The owner of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CertificateOwner {
    /// `listener` or `trunk`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Its position: 0 is the owner's first.
    pub at: usize,
}

/// The names of a trunk's certificate.
fn names<'a>(config: &'a Config, trunk: &str) -> &'a [String] {
    let found = config.trunks.iter().find(|known| *known.name == *trunk);
    found.map(|trunk| trunk.certificate_names.as_slice()).unwrap_or_default()
}

/// Returns a listener's side. A file that cannot be used keeps the version of `earlier`, and its fault goes to `kept`; the other files
/// count all the same.
///
/// # Errors
/// The fault of a file without an earlier version.
fn server(
    tls: &ListenTls,
    asking: Asking<'_>,
    earlier: Option<&Server>,
    kept: &mut Vec<String>,
) -> Result<Server, String> {
    let known = earlier.map(|server| &server.pair);
    let pair = match (&tls.own, known) {
        // Until ACME has written a file that can be used, the listener shows what it showed before, or its own making.
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
            builder.with_client_cert_verifier(Arc::new(Clients::new(trust.clone(), asking.any_usage.to_vec())))
        }
    };
    let all = std::iter::once(&pair).chain(further.iter().map(|further| &further.pair));
    let keys = all.map(|pair| Arc::clone(&pair.key)).collect();
    let mut config = builder.with_cert_resolver(Arc::new(CertificatesByName::new(keys)));
    // Nothing is resumed: each connection's certificates are judged anew.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Server { config: Arc::new(config), pair, further, clients })
}

/// Returns what was read, or the earlier version with the fault in `kept`.
fn or_earlier<T: Clone>(read: Result<T, String>, earlier: Option<&T>, kept: &mut Vec<String>) -> Result<T, String> {
    read.or_else(|what| match earlier {
        Some(earlier) => {
            kept.push(what);
            Ok(earlier.clone())
        }
        None => Err(what),
    })
}

fn client(tls: Option<&TrunkTls>, names: &[String], system: &Trust) -> Result<Client, String> {
    let ca = tls.and_then(|tls| tls.ca.as_deref()).map(trust).transpose()?;
    let own = tls.and_then(|tls| tls.own.as_ref());
    let own = own.map(|(certificate, private_key)| pair(certificate, private_key)).transpose()?;
    let believed = tls.is_none_or(|tls| tls.verify).then(|| ca.clone().unwrap_or_else(|| system.clone()));
    let versions = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = versions.map_err(|error| error.to_string())?.dangerous();
    let builder = builder.with_custom_certificate_verifier(Arc::new(Servers::new(believed, names.to_vec())));
    let mut config = match &own {
        None => builder.with_no_client_auth(),
        Some(pair) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&pair.key)))),
    };
    config.resumption = Resumption::disabled();
    let mut terms = DefaultHasher::new();
    let shown = own.as_ref().map(|pair| &pair.key.cert);
    (tls.is_none_or(|tls| tls.verify), names, ca.as_ref().map(Trust::certificates), shown).hash(&mut terms);
    let client_usage = if tls.is_some_and(|tls| tls.any_client_usage) { ClientUsage::Any } else { ClientUsage::Client };
    Ok(Client { config: Arc::new(config), pair: own, ca, client_usage, terms: terms.finish() })
}

/// Our side of TLS towards a far end of no file.
pub fn towards(tls: &TrunkTls) -> Result<Arc<ClientConfig>, String> {
    Ok(client(Some(tls), &[], &Trust::of_system())?.config)
}

fn pair(certificate: &Path, private_key: &Path) -> Result<Pair, String> {
    read_pair(certificate, private_key).map_err(|fault| {
        let path = match &fault {
            PairFault::Certificate(_) => certificate,
            PairFault::PrivateKey(_) => private_key,
        };
        format!("{}: {}", path.display(), fault.what())
    })
}

fn trust(path: &Path) -> Result<Trust, String> {
    Trust::of_file(path).map_err(|what| format!("{}: {what}", path.display()))
}

/// Whom a connection of ours is made for: it is never used for anybody else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Whom {
    /// A trunk.
    Trunk(Arc<str>),
    /// A host of no trunk.
    Host(Box<str>),
}

impl Whom {
    /// The trunk; empty for none.
    pub(super) fn trunk(&self) -> Arc<str> {
        match self {
            Whom::Trunk(name) => Arc::clone(name),
            Whom::Host(_) => Arc::from(""),
        }
    }
}

/// How long a handshake of either side may take.
const HANDSHAKE: Option<Duration> = Some(Duration::from_secs(limits::HANDSHAKE_SECONDS));

/// The two handshakes, by what is configured at that moment.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    pub(super) settings: watch::Receiver<Arc<Settings>>,
    pub(super) table: watch::Receiver<Arc<Table>>,
    /// Where both, and their connections, run.
    pub(super) spoken_on: Handle,
}

impl Tls {
    /// Our side: the far end's certificate must be for its host, or carry a name of its trunk.
    pub(super) async fn connect(
        &self,
        stream: TcpStream,
        whom: &Whom,
        remote: SocketAddr,
    ) -> Result<client::TlsStream<TcpStream>, TlsFault> {
        let settings = self.settings.borrow().clone();
        let (client, host) = match whom {
            Whom::Trunk(name) => {
                let table = self.table.borrow().clone();
                let host = table.trunk(name).and_then(|trunk| host_of(trunk, remote));
                (settings.trunks.get(name).or(settings.others.as_ref()), host)
            }
            Whom::Host(host) => (settings.others.as_ref(), Some(host.to_string())),
        };
        let client = client.ok_or_else(|| TlsFault::new("no TLS listener"))?;
        let host = host.unwrap_or_else(|| remote.ip().to_string());
        let connector = Connector { handshake_within: HANDSHAKE, ..Connector::default() };
        connector.tls(Arc::clone(&client.config), &host, stream).await
    }

    /// Their side, with who they are by their certificate. A fault comes with the certificate that they were shown.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
        listener: &str,
    ) -> Result<(server::TlsStream<TcpStream>, Option<Identity>), (TlsFault, Shown)> {
        let settings = self.settings.borrow().clone();
        let shown = |certificate| Shown { listener: listener.to_owned(), certificate };
        let server =
            settings.listeners.get(listener).ok_or_else(|| (TlsFault::new("no certificate configured"), shown(0)))?;
        let accepted = within(HANDSHAKE, TlsAcceptor::from(Arc::clone(&server.config)).accept(stream)).await;
        let stream = accepted.map_err(|fault| match fault.what.starts_with(CLOSED) {
            true => (
                TlsFault { what: format!("{CLOSED}: it may not take our certificate"), ..fault },
                shown(server.shown()),
            ),
            false => {
                let what = fault.what.replace(NOT_TLS, CLIENT_NOT_TLS);
                (TlsFault { what, ..fault }, shown(server.shown()))
            }
        })?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let table = self.table.borrow().clone();
        let identity = settings.recognise(listener, &table, chain);
        Ok((stream, identity))
    }
}

/// The host that a trunk's certificate must be for at an address: that of the peer there, else of its first over TLS.
fn host_of(trunk: &Trunk, remote: SocketAddr) -> Option<String> {
    let is_tls = |peer: &&Peer| {
        peer.destination.transport == Transport::Tls || peer.servers.iter().any(|s| s.transport == Transport::Tls)
    };
    let over_tls = || trunk.peers.iter().filter(is_tls);
    let there = over_tls().find(|peer| peer.addresses().any(|ip| ip.to_canonical() == remote.ip()));
    there.or_else(|| over_tls().next()).map(|peer| peer.destination.host.clone())
}
