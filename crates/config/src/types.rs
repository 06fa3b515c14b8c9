//! The configuration's values, defaults filled in.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use trunkgate_call::{RecogniserSpec, Sampling, StrangerLimits};
use trunkgate_media::LatchMode;
use trunkgate_route::{
    Agent, App, Calendar, Definition, Destination, Mailbox, Numbers, Routes, Server, Table, TargetSpec, Transport,
    Trunk,
};

use super::acme::Acme;
use super::apps::AppSettings;
use super::cdr::Cdr;
use super::changes::Written;
use super::data::DataDirectory;
use super::hep::Hep;
use super::messages::Messages;
use super::numbers::PhoneNumber;
use super::otel::Otel;
use super::places::Places;
use super::recording::Recording;
use super::sms::Sms;
use trunkgate_system::log::Log;
use trunkgate_system::text::number;

/// The whole configuration, defaults filled in.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it was read from.
    pub path: PathBuf,
    /// Where in it trunks and routes stand.
    pub places: Places,
    /// What was written, for a comparison with another.
    pub(super) written: Arc<Written>,
    /// `[edge]`
    pub edge: Edge,
    /// `[[listen]]`, never empty.
    pub listen: Vec<Listen>,
    /// `[media]`
    pub media: Media,
    /// `[limits]`
    pub limits: Limits,
    /// `[http]`
    pub http: Http,
    /// `acme` of `[tls]`
    pub acme: Option<Acme>,
    /// `[trunk.NAME]` in the order of the file; peers' addresses filled in only where they are literal.
    pub trunks: Vec<Trunk>,
    /// Names of trunks that are PBXs, whose extensions requests may call.
    pub pbx_trunks: BTreeSet<Arc<str>>,
    /// `tls` of the trunks that have one.
    pub trunk_tls: BTreeMap<Arc<str>, TrunkTls>,
    /// `[agent.NAME]` in the order of the file.
    pub agents: Vec<Agent>,
    /// `[app.NAME]` in the order of the file.
    pub apps: Vec<App>,
    /// What of each application is no matter of the call core.
    pub app_settings: BTreeMap<Arc<str>, AppSettings>,
    /// Sounds of `play:FILE` by name: μ-law at 8 kHz.
    pub sounds: BTreeMap<String, Arc<[u8]>>,
    /// `[voicemail.NAME]` in the order of the file.
    pub mailboxes: Vec<Mailbox>,
    /// `[[number]]` in the order of the file.
    pub numbers: Vec<PhoneNumber>,
    /// `[client]`: targets of Voice SDK clients by their identity.
    pub clients: BTreeMap<Box<str>, Vec<TargetSpec>>,
    /// `[api]`
    pub api: Api,
    /// A route for each `[[number]]` with an app, then `[[route]]` in the order of the file.
    pub routes: Routes,
    /// `[log]`
    pub log: Log,
    /// `[speech]`
    pub speech: Option<Speech>,
    /// Whether it says that nothing speaks.
    pub speech_is_off: bool,
    /// `[recognition]`
    pub recogniser: Option<Arc<RecogniserSpec>>,
    /// What it is to say.
    pub announcements: Vec<Announcement>,
    /// `[cdr]`
    pub cdr: Cdr,
    /// `[recording]`
    pub recording: Option<Recording>,
    /// `[edge] data_directory`
    pub data: DataDirectory,
    /// `[hep]`
    pub hep: Option<Hep>,
    /// `[otel]`
    pub otel: Option<Otel>,
    /// `[twilio]` and `[sms]`
    pub sms: Option<Arc<Sms>>,
    /// `[messages]`
    pub messages: Arc<Messages>,
}

/// `[speech]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Speech {
    /// Who says the texts.
    pub by: Speaker,
    /// Where they are kept.
    pub cache: Option<PathBuf>,
    /// Voices by the names that applications use.
    pub voices: BTreeMap<String, String>,
    /// Whether it is an installed program that the file does not name.
    pub is_installed: bool,
}

/// Who says texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Speaker {
    /// A program and its arguments.
    Command(Vec<String>),
    /// A web service.
    Endpoint(Endpoint),
}

/// What takes what OpenAI's `/audio/speech` takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `http` or `https`.
    pub url: String,
    /// Its key.
    pub token: Option<Secret>,
    /// `model` of the request.
    pub model: String,
    /// Its `response_format`.
    pub format: &'static str,
}

/// `text` of an agent's `hold`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// The agent.
    pub agent: Arc<str>,
    /// What is said.
    pub text: String,
    /// By whom.
    pub voice: Option<String>,
}

/// `[edge]`
#[derive(Debug, Clone)]
pub struct Edge {
    /// Its name; default: the host's.
    pub name: String,
    /// Public addresses; empty: the listener's address, else that of the route to the peer.
    pub public_address: Vec<IpAddr>,
    /// Peers in these networks get our local address.
    pub local_networks: Vec<IpNet>,
    /// Numbers without a country code are read as of this country.
    pub numbers: Numbers,
    /// What `when` is read by.
    pub calendar: Calendar,
}

/// One `[[listen]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Name; default: transport, address, port.
    pub name: String,
    /// Transport.
    pub transport: Transport,
    /// Where to bind.
    pub address: SocketAddr,
    /// Its own public addresses; empty: the edge's.
    pub public_address: Vec<IpAddr>,
    /// Its certificate, where it speaks TLS.
    pub tls: Option<ListenTls>,
    /// Where it is written, as `file:line:column`, for "port taken"; empty for a default.
    pub place: String,
}

/// What a listener shows its clients, and asks of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListenTls {
    /// Its certificate, then those that it comes from, and its key, both PEM. `None`: one is made at start, which nobody
    /// vouches for.
    pub own: Option<(PathBuf, PathBuf)>,
    /// Whether ACME writes these files: until it has, the edge shows a certificate of its own making.
    pub is_issued: bool,
    /// Further certificates and their keys, for other names than those of the first.
    pub further: Vec<(PathBuf, PathBuf)>,
    /// PEM: each client must have a certificate from one of these.
    pub client_ca: Option<PathBuf>,
}

/// A trunk's `tls`; the names of its certificate are the trunk's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrunkTls {
    /// PEM: whom its certificate must come from; the system's where none is written.
    pub ca: Option<PathBuf>,
    /// Our certificate towards it and its key, both PEM.
    pub own: Option<(PathBuf, PathBuf)>,
    /// `false`: its certificate is not looked at.
    pub verify: bool,
    /// Whether a certificate for servers identifies it as a client, too.
    pub any_client_usage: bool,
}

/// `[media]`
#[derive(Debug, Clone)]
pub struct Media {
    /// Addresses that media sockets are bound to.
    pub address: Vec<IpAddr>,
    /// First and last port.
    pub ports: (u16, u16),
    /// Workers; 0: one per core.
    pub threads: usize,
    /// Zero: none.
    pub idle_timeout: Duration,
    /// What is learned from packets.
    pub latch: LatchMode,
}

/// `[limits]`
#[derive(Debug, Clone)]
pub struct Limits {
    /// Calls at once.
    pub calls: u32,
    /// New calls a second; 0: no limit.
    pub calls_per_second: u32,
    /// Longest SIP message, in bytes.
    pub sip_message_bytes: usize,
    /// What addresses of no trunk may do.
    pub strangers: StrangerLimits,
}

/// A secret: never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: String) -> Secret {
        Secret(text)
    }
    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// `[http]`
#[derive(Debug, Clone)]
pub struct Http {
    /// Where to bind.
    pub address: SocketAddr,
    /// Bearer token; required unless the address is loopback and there is no public URL.
    pub token: Option<Secret>,
    /// As seen from outside.
    pub public_url: Option<String>,
    /// Reverse proxies whose `X-Forwarded-For` names the client.
    pub trusted_proxies: Vec<IpNet>,
    /// HTTPS instead of HTTP.
    pub tls: Option<HttpTls>,
    /// Where the address is written, for "port taken".
    pub place: String,
}

/// `tls` of `[http]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpTls {
    /// Our certificate, then those that it comes from, and its key, both PEM.
    pub own: (PathBuf, PathBuf),
    /// PEM: whom verbs that read this file believe that it is the edge; `None`: the certificate itself.
    pub ca: Option<PathBuf>,
}

/// `[api]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Api {
    /// What agents and webhooks get as `accountSid`: `AC` + 32 hex digits.
    pub account_sid: String,
    /// Signs webhooks.
    pub auth_token: Option<Secret>,
    /// Trunks by which calls leave that applications dial, without numbers; empty: the routes decide.
    pub connect: Vec<TargetSpec>,
    /// Whether URLs that requests give may lead to private and loopback addresses.
    pub allow_private: bool,
    /// Most requests of the account or of one of its keys a second; 0: any number.
    pub requests_per_second: u32,
    /// Emergency calls at once of calls that requests begin.
    pub emergency_calls: usize,
    /// How long ended calls are kept in the store; 0: they are not.
    pub keep_calls: Duration,
    /// What CONNECT leads to.
    pub proxy: Proxy,
    /// Address of the TLS listener for clients that a hosts entry or DNS alias leads to the edge.
    pub tls: Option<SocketAddr>,
    /// Whether parameters of requests that have no effect are refused.
    pub strict: bool,
}

impl Api {
    /// Returns whether requests may give documents of calls: they call from one of these numbers, or set its URL.
    pub fn takes_documents<N>(&self, numbers: &[N]) -> bool {
        self.auth_token.is_some() && !numbers.is_empty()
    }
}

/// `proxy` of `[api]`: what CONNECT leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Proxy {
    /// Nothing.
    #[default]
    Off,
    /// The edge's own API, for Twilio's host names.
    Api,
    /// The same; other hosts at public addresses, for loopback clients.
    Tunnel,
}

impl Api {
    /// Returns what CONNECT leads to: nothing where the API is closed.
    pub fn open_proxy(&self) -> Proxy {
        if self.auth_token.is_some() { self.proxy } else { Proxy::Off }
    }

    /// Whether clients reach the edge as api.twilio.com.
    pub fn stands_for_twilio(&self) -> bool {
        self.open_proxy() != Proxy::Off || self.open_tls().is_some()
    }

    /// Returns the address of the TLS listener: none where the API is closed.
    pub fn open_tls(&self) -> Option<SocketAddr> {
        self.tls.filter(|_| self.auth_token.is_some())
    }

    /// Returns how long ended calls are kept in the store; `None` where the API is closed, and nothing is stored.
    pub fn kept_calls(&self) -> Option<Duration> {
        self.auth_token.as_ref().map(|_| self.keep_calls)
    }
}

impl Config {
    /// How many trunks it has, recording servers left out.
    pub fn trunk_count(&self) -> usize {
        self.trunks.iter().filter(|trunk| trunk.siprec.is_none()).count()
    }

    /// Returns how many trunks, agents and routes it has, in words; agents only where there are some.
    pub fn parts_in_words(&self) -> String {
        let agents = Some(self.agents.len()).filter(|agents| *agents > 0).map(|agents| number(agents, "agent"));
        let parts = [Some(number(self.trunk_count(), "trunk")), agents, Some(number(self.routes.len(), "route"))];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// Of which calls traces are sent.
    pub fn sampling(&self) -> Sampling {
        self.otel.as_ref().map_or(Sampling::NONE, |otel| otel.sampling)
    }

    /// Every file of certificates and keys.
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
    /// Whether the certificate of a listener is that of `[tls] acme`.
    pub fn is_issued(&self, name: &str) -> bool {
        let tls = self.listen.iter().find(|listen| listen.name == name).and_then(|listen| listen.tls.as_ref());
        tls.is_some_and(|tls| tls.is_issued)
    }
    /// The file of a certificate that a listener (`http`: the HTTP server) or trunk shows; `None`: it has none. `at`: 0 is its first, others
    /// are its further ones in order.
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
    /// Where peers are that a name service has to be asked for, each once.
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
    /// What the routing table is built from; `found` has the servers of [`Config::destinations`] as far as known.
    pub fn definition(&self, found: &HashMap<Destination, Vec<Server>>) -> Definition<Routes> {
        let mut trunks = self.trunks.clone();
        for peer in trunks.iter_mut().flat_map(|trunk| &mut trunk.peers).filter(|peer| peer.servers.is_empty()) {
            if let Some(servers) = found.get(&peer.destination) {
                peer.servers.clone_from(servers);
            }
        }
        Definition {
            numbers: self.edge.numbers.clone(),
            trunks,
            agents: self.agents.clone(),
            routes: self.routes.clone(),
        }
    }
    /// The routing table; `found` has the servers of [`Config::destinations`] as far as known.
    pub fn table(&self, found: &HashMap<Destination, Vec<Server>>) -> Table {
        Table::new(self.definition(found))
            .with_apps(self.apps.clone())
            .with_mailboxes(self.mailboxes.clone())
            .with_own_numbers(self.numbers.iter().map(|one| one.number.as_str().into()))
            .with_clients(self.clients.clone())
    }
}
