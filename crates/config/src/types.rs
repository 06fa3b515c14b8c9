//! Values of the configuration, including defaults.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use trunkgate_call::{RecogniserSpec, Sampling, UnknownSourceLimits};
use trunkgate_media::LatchMode;
use trunkgate_route::{
    Agent, App, Calendar, Destination, DestinationServer, Mailbox, NumberingPlan, RouteList, RoutingTable,
    TableDefinition, TargetSpec, Transport, Trunk,
};

use super::acme::AcmeSettings;
use super::apps::AppSettings;
use super::cdr::CdrSettings;
use super::changes::WrittenConfig;
use super::data::DataDirectory;
use super::hep::HepSettings;
use super::messages::MessageSettings;
use super::numbers::PhoneNumber;
use super::otel::OtelSettings;
use super::places::ConfigLines;
use super::receiver::WebhookReceiver;
use super::recording::RecordingSettings;
use super::sms::SmsSettings;
use trunkgate_system::log::LogSettings;
use trunkgate_system::text::number;

/// Complete configuration, including defaults.
#[derive(Debug, Clone)]
pub struct Config {
    /// Path of the configuration file.
    pub path: PathBuf,
    /// Lines of trunks and routes in the file.
    pub places: ConfigLines,
    /// Source text, for comparison with another configuration.
    pub(super) written: Arc<WrittenConfig>,
    /// Settings of `[edge]`.
    pub edge: EdgeConfig,
    /// Listeners (`[[listen]]`), never empty.
    pub listen: Vec<ListenSettings>,
    /// Settings of `[media]`.
    pub media: MediaSettings,
    /// Settings of `[limits]`.
    pub limits: LimitSettings,
    /// Settings of `[http]`.
    pub http: HttpSettings,
    /// Settings of `acme` in `[tls]`; `None` if no certificate is ordered.
    pub acme: Option<AcmeSettings>,
    /// Trunks (`[trunk.NAME]`) in file order; peers given by host name have no addresses yet.
    pub trunks: Vec<Trunk>,
    /// Names of trunks that are PBXs; API requests may call their extensions.
    pub pbx_trunks: BTreeSet<Arc<str>>,
    /// Keys of `tls` in `[trunk.NAME]`, for trunks that have any.
    pub trunk_tls: BTreeMap<Arc<str>, TrunkTls>,
    /// Agents (`[agent.NAME]`) in file order.
    pub agents: Vec<Agent>,
    /// Applications (`[app.NAME]`) in file order.
    pub apps: Vec<App>,
    /// Settings of each application that the call core does not use.
    pub app_settings: BTreeMap<Arc<str>, AppSettings>,
    /// Sounds of `play:FILE` by name, as μ-law at 8 kHz.
    pub sounds: BTreeMap<String, Arc<[u8]>>,
    /// Mailboxes (`[voicemail.NAME]`) in file order.
    pub mailboxes: Vec<Mailbox>,
    /// Phone numbers of the edge (`[[number]]`) in file order.
    pub numbers: Vec<PhoneNumber>,
    /// Targets of Voice SDK clients (`[client]`) by identity.
    pub clients: BTreeMap<Box<str>, Vec<TargetSpec>>,
    /// Settings of `[api]`.
    pub api: ApiSettings,
    /// Route of each `[[number]]` with an application, then `[[route]]` in file order.
    pub routes: RouteList,
    /// Settings of `[log]`.
    pub log: LogSettings,
    /// Settings of `[speech]`; `None` if text-to-speech is not available.
    pub speech: Option<SpeechSettings>,
    /// True if `[speech]` turns text-to-speech off.
    pub speech_is_off: bool,
    /// Settings of `[recognition]`; `None` if the file has no such table.
    pub recogniser: Option<Arc<RecogniserSpec>>,
    /// Texts to be synthesized for agents.
    pub announcements: Vec<AgentAnnouncement>,
    /// Settings of `[cdr]`.
    pub cdr: CdrSettings,
    /// Settings of `[alerts]`; `None` if the file has no such table.
    pub alerts: Option<WebhookReceiver>,
    /// Settings of `[recording]`; `None` if the file has no such table.
    pub recording: Option<RecordingSettings>,
    /// Directory for persistent data: `data_directory` of `[edge]`.
    pub data: DataDirectory,
    /// Settings of `[hep]`; `None` if the file has no such table.
    pub hep: Option<HepSettings>,
    /// Settings of `[otel]`; `None` if the file has no such table.
    pub otel: Option<OtelSettings>,
    /// Settings of `[twilio]` and `[sms]`; `None` if the file has no `[twilio]`.
    pub sms: Option<Arc<SmsSettings>>,
    /// Settings of `[messages]`.
    pub messages: Arc<MessageSettings>,
}

/// Settings of `[speech]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpeechSettings {
    /// Program or service that speaks texts.
    pub by: SpeechEngine,
    /// Directory of the audio cache.
    pub cache: Option<PathBuf>,
    /// Engine's voice names by the names that applications use.
    pub voices: BTreeMap<String, String>,
    /// True for an installed default program, which the file does not name.
    pub is_installed: bool,
}

/// Program or service that speaks texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpeechEngine {
    /// Program that is run for each text, with its arguments.
    Command(Vec<String>),
    /// HTTP service that is requested for each text.
    Endpoint(SpeechEndpoint),
}

/// Web service compatible with OpenAI's `/audio/speech`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpeechEndpoint {
    /// URL of the service, `http` or `https`.
    pub url: String,
    /// Bearer token for the service; `None` to send no token.
    pub token: Option<Secret>,
    /// Name of the model in the request.
    pub model: String,
    /// Audio format in the request (`response_format`).
    pub format: &'static str,
}

/// Text of `hold` of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentAnnouncement {
    /// Name of the agent.
    pub agent: Arc<str>,
    /// Text to be spoken.
    pub text: String,
    /// Voice; `None` selects the engine's default.
    pub voice: Option<String>,
}

/// Settings of `[edge]`.
#[derive(Debug, Clone, Default)]
pub struct EdgeConfig {
    /// Name of the edge; default: the host name.
    pub name: String,
    /// Public addresses. If empty, the listener's address is used, else the local address of the route to the peer.
    pub public_address: Vec<IpAddr>,
    /// Networks whose peers get our local address.
    pub local_networks: Vec<IpNet>,
    /// Rules for numbers, including the country of numbers without a country code.
    pub numbers: NumberingPlan,
    /// Time zone and holidays used to evaluate `when`.
    pub calendar: Calendar,
}

/// Listener: one `[[listen]]` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenSettings {
    /// Name; default: transport, address and port.
    pub name: String,
    /// SIP transport of the listener.
    pub transport: Transport,
    /// Local address and port of the listener.
    pub address: SocketAddr,
    /// Public addresses of this listener; if empty, those of the edge are used.
    pub public_address: Vec<IpAddr>,
    /// TLS settings, if the transport is TLS.
    pub tls: Option<ListenTls>,
    /// Position in the file, as `file:line:column`, for the message about a port in use; empty for a default listener.
    pub place: String,
}

/// TLS certificates of a listener, and verification of its clients.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListenTls {
    /// Certificate chain (leaf first) and private key, both PEM. If `None`, a self-signed certificate is created at
    /// start.
    pub own: Option<(PathBuf, PathBuf)>,
    /// True if ACME writes these files; until then the edge uses a self-signed certificate.
    pub is_issued: bool,
    /// Additional certificates with their keys, for other server names.
    pub further: Vec<(PathBuf, PathBuf)>,
    /// CA bundle (PEM); each client must present a certificate that it verifies.
    pub client_ca: Option<PathBuf>,
}

/// TLS settings of a trunk; the accepted names of its certificate are stored in the trunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrunkTls {
    /// CA bundle (PEM) to verify the peer; `None` selects the system roots.
    pub ca: Option<PathBuf>,
    /// Our client certificate chain and its private key, both PEM.
    pub own: Option<(PathBuf, PathBuf)>,
    /// False if the peer's certificate is not verified.
    pub verify: bool,
    /// True if a server certificate also identifies the peer as a TLS client.
    pub any_client_usage: bool,
}

/// Settings of `[media]`.
#[derive(Debug, Clone, Default)]
pub struct MediaSettings {
    /// Local IP addresses of the media sockets.
    pub address: Vec<IpAddr>,
    /// First and last media port.
    pub ports: (u16, u16),
    /// Number of media workers; 0: one per core.
    pub threads: usize,
    /// Maximum time without RTP; zero if unlimited.
    pub idle_timeout: Duration,
    /// Learning of the remote media address from received packets.
    pub latch: LatchMode,
}

/// Settings of `[limits]`.
#[derive(Debug, Clone)]
pub struct LimitSettings {
    /// Maximum number of concurrent calls.
    pub calls: u32,
    /// Maximum number of new calls per second; 0: no limit.
    pub calls_per_second: u32,
    /// Maximum size of a SIP message in bytes.
    pub sip_message_bytes: usize,
    /// Limits for unknown source addresses.
    pub strangers: UnknownSourceLimits,
}

/// Secret text; its `Debug` output is masked.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: String) -> Secret {
        Secret(text)
    }

    /// Returns the secret text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Settings of `[http]`.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Local address and port of the HTTP server.
    pub address: SocketAddr,
    /// Bearer token; required unless the address is loopback and there is no public URL.
    pub token: Option<Secret>,
    /// URL of the interface as seen by clients.
    pub public_url: Option<String>,
    /// Networks of reverse proxies; their `X-Forwarded-For` is trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// Certificate for HTTPS; `None` for plain HTTP.
    pub tls: Option<HttpTls>,
    /// Position of the address in the file, for the message about a port in use.
    pub place: String,
}

/// TLS settings of `[http]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpTls {
    /// Certificate chain (leaf first) and private key, both PEM.
    pub own: (PathBuf, PathBuf),
    /// CA bundle (PEM) with which verbs on this machine verify the edge; if `None`, they trust the certificate itself.
    pub ca: Option<PathBuf>,
}

/// Settings of `[api]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApiSettings {
    /// Account SID sent to agents and webhooks: `AC` and 32 hex digits.
    pub account_sid: String,
    /// Token that signs webhooks and opens the API.
    pub auth_token: Option<Secret>,
    /// Trunks for numbers dialled by applications, without a number of their own. If empty, the routes decide.
    pub connect: Vec<TargetSpec>,
    /// True if URLs in requests may lead to private and loopback addresses.
    pub allow_private: bool,
    /// Maximum number of requests per second of the account or of one of its keys; 0: no limit.
    pub requests_per_second: u32,
    /// Maximum number of concurrent emergency calls placed by the API.
    pub emergency_calls: usize,
    /// Retention of ended calls in the store; 0: not stored.
    pub keep_calls: Duration,
    /// Destinations permitted for the HTTP CONNECT method.
    pub proxy: ProxyMode,
    /// Address of the TLS listener for clients that reach the edge through a hosts entry or DNS alias.
    pub tls: Option<SocketAddr>,
    /// True if request parameters without effect are rejected.
    pub strict: bool,
}

impl ApiSettings {
    /// Returns whether API requests can supply call documents: the API is open and at least one number exists.
    pub fn takes_documents<N>(&self, numbers: &[N]) -> bool {
        self.auth_token.is_some() && !numbers.is_empty()
    }
}

/// Destinations permitted for the HTTP CONNECT method (`proxy` of `[api]`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProxyMode {
    /// No destination is permitted: the proxy is off.
    #[default]
    Off,
    /// The edge's own API, for Twilio's host names.
    Api,
    /// The edge's own API, and for loopback clients other hosts at public addresses.
    Tunnel,
}

impl ApiSettings {
    /// Returns the permitted CONNECT destinations; none if the API is closed.
    pub fn open_proxy(&self) -> ProxyMode {
        if self.auth_token.is_some() { self.proxy } else { ProxyMode::Off }
    }

    /// Returns whether clients can reach the edge as api.twilio.com.
    pub fn stands_for_twilio(&self) -> bool {
        self.open_proxy() != ProxyMode::Off || self.open_tls().is_some()
    }

    /// Returns the address of the TLS listener; `None` if the API is closed.
    pub fn open_tls(&self) -> Option<SocketAddr> {
        self.tls.filter(|_| self.auth_token.is_some())
    }

    /// Returns the retention of ended calls in the store; `None` if the API is closed, and no calls are stored.
    pub fn kept_calls(&self) -> Option<Duration> {
        self.auth_token.as_ref().map(|_| self.keep_calls)
    }
}

impl Config {
    /// Returns the number of trunks without recording servers.
    pub fn trunk_count(&self) -> usize {
        self.trunks.iter().filter(|trunk| trunk.siprec.is_none()).count()
    }

    /// Returns the numbers of trunks, agents (if any) and routes in words.
    pub fn parts_in_words(&self) -> String {
        let agents = Some(self.agents.len()).filter(|agents| *agents > 0).map(|agents| number(agents, "agent"));
        let parts = [Some(number(self.trunk_count(), "trunk")), agents, Some(number(self.routes.len(), "route"))];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// Returns the sampling of call traces.
    pub fn sampling(&self) -> Sampling {
        self.otel.as_ref().map_or(Sampling::NONE, |otel| otel.sampling)
    }

    /// Returns the paths of all certificates and keys.
    pub fn tls_files(&self) -> Vec<&Path> {
        let listeners = self.listen.iter().filter_map(|listen| listen.tls.as_ref());
        let of_listeners = listeners.flat_map(|tls| {
            let pairs = tls.own.iter().chain(&tls.further);
            pairs
                .flat_map(|(certificate, private_key)| [Some(certificate), Some(private_key)])
                .chain([tls.client_ca.as_ref()])
        });
        let of_trunks = self.trunk_tls.values().flat_map(|tls| {
            let own = tls.own.as_ref();
            [tls.ca.as_ref(), own.map(|(certificate, _)| certificate), own.map(|(_, private_key)| private_key)]
        });
        let of_http = self.http.tls.iter().flat_map(|tls| [Some(&tls.own.0), Some(&tls.own.1)]);
        of_listeners.chain(of_trunks).chain(of_http).flatten().map(PathBuf::as_path).collect()
    }

    /// Returns whether a listener uses the certificate of `[tls] acme`.
    pub fn is_issued(&self, name: &str) -> bool {
        let tls = self.listen.iter().find(|listen| listen.name == name).and_then(|listen| listen.tls.as_ref());
        tls.is_some_and(|tls| tls.is_issued)
    }

    /// Returns the path of a certificate of a listener (`http`: the HTTP server) or trunk, if it has one. `at` 0 is the
    /// first certificate, higher values are the additional ones in order.
    pub fn certificate_of(&self, kind: &str, name: &str, at: usize) -> Option<PathBuf> {
        let of_trunk = || Some(self.trunk_tls.get(name)?.own.as_ref()?.0.clone());
        let of_listener = || {
            let listen = self.listen.iter().find(|listen| listen.name == name)?;
            let tls = listen.tls.as_ref()?;
            Some(tls.own.iter().chain(&tls.further).nth(at)?.0.clone())
        };
        let of_http = || self.http.tls.as_ref().filter(|_| name == "http").map(|tls| tls.own.0.clone());
        if kind == "trunk" { of_trunk() } else { of_listener().or_else(of_http) }
    }

    /// Returns the destinations that need name resolution, without duplicates.
    pub fn destinations(&self) -> Vec<Destination> {
        let mut all: Vec<Destination> = Vec::new();
        for peer in self.trunks.iter().flat_map(|trunk| &trunk.peers).filter(|peer| peer.servers.is_empty()) {
            let destination = &peer.destination;
            if !all.contains(destination) {
                all.push(destination.clone());
            }
        }
        all
    }

    /// Returns the definition of the routing table; `found` has the resolved servers of [`Config::destinations`].
    pub fn definition(&self, found: &HashMap<Destination, Vec<DestinationServer>>) -> TableDefinition<RouteList> {
        let mut trunks = self.trunks.clone();
        for peer in trunks.iter_mut().flat_map(|trunk| &mut trunk.peers).filter(|peer| peer.servers.is_empty()) {
            if let Some(servers) = found.get(&peer.destination) {
                peer.servers.clone_from(servers);
            }
        }
        TableDefinition {
            numbers: self.edge.numbers.clone(),
            trunks,
            agents: self.agents.clone(),
            routes: self.routes.clone(),
        }
    }

    /// Returns the routing table; `found` has the resolved servers of [`Config::destinations`].
    pub fn table(&self, found: &HashMap<Destination, Vec<DestinationServer>>) -> RoutingTable {
        RoutingTable::new(self.definition(found))
            .with_apps(self.apps.clone())
            .with_mailboxes(self.mailboxes.clone())
            .with_own_numbers(self.numbers.iter().map(|one| one.number.as_str().into()))
            .with_clients(self.clients.clone())
    }
}
