//! Reads the TOML tree into values: every table except trunks and routes, with defaults. After an error, reading
//! continues with the default.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use trunkgate_call::{BanRule, UnknownSourceLimits};
use trunkgate_media::LatchMode;
use trunkgate_route::{NumberingPlan, Transport};

use super::acme::{AcmeSettings, SpannedAcme};
use super::clients::{self, SpannedClient};
use super::code;
use super::cover::told;
use super::diagnostic::{Findings, place};
use super::draft::{
    ConfigDraft, HttpSpans, MessagingDraft, PresentSections, SourceSpan, SpannedApi, SpannedApp, SpannedListen,
    SpannedMailbox, SpannedNumber, SpannedRoute, SpannedTrunk,
};
use super::emergency;
use super::keys::{self, ReadScope};
use super::nearest;
use super::section::{Section, SpannedValue};
use super::sounds::SoundCache;
use super::targets::{TargetGroups, TargetScope};
use super::types::{EdgeConfig, HttpSettings, LimitSettings, ListenSettings, MediaSettings};
use super::{
    acme, agents, api, apps, cdr, data, hep, hours, mail, messages, numbers, otel, recognition, recording, routes, sms,
    speech as speaking, tls, transcription, trunks, values, voicemail,
};
use trunkgate_system::log::LogSettings;

/// Default of `local_networks`: peers in these networks get our local address.
const LOCAL_NETWORKS: [&str; 7] =
    ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "127.0.0.0/8", "::1/128"];
/// Number of media ports of one call: RTP and RTCP on each of its two legs.
pub(super) const PORTS_PER_CALL: u32 = 4;

/// Configuration file being read.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConfigFile<'a> {
    pub(super) path: &'a Path,
    pub(super) source: &'a str,
}

impl<'a> ConfigFile<'a> {
    /// Returns the folder that relative paths refer to.
    pub(super) fn folder(&self) -> &'a Path {
        self.path.parent().unwrap_or(Path::new(""))
    }
}

/// Reads only `[http]`, and returns whether the table exists.
pub(super) fn http(
    file: ConfigFile<'_>,
    document: &Spanned<DeTable<'_>>,
    findings: &mut Findings,
) -> (HttpSettings, bool) {
    let value = document.get_ref().iter().find(|(name, _)| name.get_ref() == "http").map(|(_, value)| value);
    let section = value.and_then(|value| Section::open("[http]", value, keys::HTTP, findings));
    let numbers = NumberingPlan::default();
    let around = ReadScope { folder: file.folder(), local_networks: &[], numbers: &numbers };
    (read_http(file, section.as_ref(), around, findings), value.is_some())
}

/// Parsed file, with the position of each value.
type Document<'a> = Spanned<DeTable<'a>>;

/// Reads the whole file.
pub(super) fn read<'a>(file: ConfigFile<'_>, document: &'a Document<'a>, findings: &mut Findings) -> ConfigDraft {
    let root = Section::of_table("", document.get_ref(), document.span(), keys::ROOT, findings);
    let mut section = |name: &str, keys| {
        let value = root.get(name)?;
        Section::open(&format!("[{name}]"), value, keys, findings)
    };
    let (written, media) = (section("edge", keys::EDGE), section("media", keys::MEDIA));
    let (limits, http, log) = (section("limits", keys::LIMITS), section("http", keys::HTTP), section("log", keys::LOG));
    let (cdr, hep, otel) = (section("cdr", keys::CDR), section("hep", keys::HEP), section("otel", keys::OTEL));
    let own = section("tls", keys::TLS);
    let (api, speech, mail) = (section("api", keys::API), section("speech", keys::SPEECH), section("mail", keys::MAIL));
    let (recognition, recording) = (section("recognition", keys::RECOGNITION), section("recording", keys::RECORDING));
    let (messages, texts) = (section("messages", keys::MESSAGES), section("sms", keys::SMS));
    let (twilio, transcription) = (section("twilio", keys::TWILIO), section("transcription", keys::TRANSCRIPTION));
    let local_networks_span = written.as_ref().and_then(|edge| edge.get("local_networks")).map(Spanned::span);
    let edge = read_edge(written.as_ref(), findings);
    let around = ReadScope { folder: file.folder(), local_networks: &edge.local_networks, numbers: &edge.numbers };
    let (media, ports_span) = read_media(media.as_ref(), around, findings);
    let (limits, calls_span) = read_limits(limits.as_ref(), &media, around, findings);
    let http_places = http.as_ref().map(places_of_http).unwrap_or_default();
    let http = read_http(file, http.as_ref(), around, findings);
    let said_by = speaking::read(speech.as_ref(), &edge.local_networks, file.folder(), findings);
    let trunks = trunks::read_all(&root, around, &edge, findings);
    let agents = root.get("agent").map(|value| agents::read(value, around, findings)).unwrap_or_default();
    let texts_to = sms::allowed(texts.as_ref(), findings);
    let CallTables { apps, mailboxes, sounds, api, groups, clients, numbers, routes } =
        read_calls(&root, (&edge, around), (api.as_ref(), &trunks, &texts_to), findings);
    let cdr = cdr.map(|section| cdr::read(&section, around, findings)).unwrap_or_default();
    let data = data::read(written.as_ref(), around.folder, findings);
    let texts = read_texts([twilio, texts, messages, mail], texts_to, around, findings);
    let acme = own.and_then(|section| acme::read(&section, &data.directory, around, findings));
    let (listen, listen_is_partial) = read_listen(&root, (file, acme.as_ref()), &trunks, findings);
    ConfigDraft {
        listen_is_partial,
        listen,
        acme,
        otel: otel.and_then(|section| otel::read(&section, around, findings)),
        hep: hep.and_then(|section| hep::read(&section, around, findings)),
        recognition: recognition.map(|section| recognition::read(&section, around, findings)),
        sections: PresentSections { recording: recording.is_some(), transcription: transcription.is_some() },
        recording: recording.and_then(|section| recording::read(&section, (around, &sounds), findings)),
        transcription: transcription.and_then(|section| transcription::read(&section, around, findings)),
        log: read_log(log.as_ref(), around, findings),
        edge,
        local_networks_span,
        media,
        ports_span,
        limits,
        calls_span,
        http,
        http_places,
        trunks,
        agents,
        apps,
        mailboxes,
        numbers,
        routes,
        groups,
        clients,
        sounds,
        api,
        speech: said_by,
        voices_span: speech.as_ref().and_then(|speech| speech.get("voices")).map(Spanned::span),
        speech_is_off: speech.as_ref().is_some_and(speaking::is_off),
        speech_span: speech.map(|speech| speech.span),
        cdr,
        data,
        texts,
    }
}

/// Reads `[twilio]`, `[sms]` and `[messages]`; `allow_prefixes` is that of `[sms]`.
fn read_texts(
    [twilio, sms, messages, mail]: [Option<Section<'_>>; 4],
    allow_prefixes: Vec<String>,
    around: ReadScope<'_>,
    findings: &mut Findings,
) -> MessagingDraft {
    MessagingDraft {
        sms: sms::read(twilio.as_ref(), sms.as_ref(), around, findings),
        messages: messages::read(messages.as_ref(), allow_prefixes, around, findings),
        inbound_span: messages.as_ref().and_then(|messages| messages.get("inbound")).map(Spanned::span),
        token_span: messages.as_ref().and_then(|section| section.get("token")).map(Spanned::span),
        messages_span: messages.map(|section| section.span),
        twilio_span: twilio.map(|section| section.span),
        sms_span: sms.map(|section| section.span),
        mail: mail.as_ref().and_then(|section| mail::read(section, around, findings)),
        mail_span: mail.map(|section| section.span),
    }
}

/// Tables that determine call routing.
struct CallTables {
    apps: Vec<SpannedApp>,
    mailboxes: Vec<SpannedMailbox>,
    sounds: SoundCache,
    api: SpannedApi,
    groups: TargetGroups,
    clients: Vec<SpannedClient>,
    numbers: Vec<SpannedNumber>,
    routes: Vec<SpannedRoute>,
}

/// Reads the tables that determine call routing: applications, numbers, groups, routes, and the sounds they name.
fn read_calls<'a>(
    root: &Section<'a>,
    (edge, around): (&EdgeConfig, ReadScope<'_>),
    (api, trunks, texts_to): (Option<&Section<'a>>, &[SpannedTrunk], &[String]),
    findings: &mut Findings,
) -> CallTables {
    let apps = root.get("app").map(|value| apps::read(value, around, findings)).unwrap_or_default();
    let sounds = SoundCache::below(around.folder);
    let mailboxes = root.get("voicemail").map(|value| voicemail::read(value, (around, &sounds), findings));
    let mailboxes = mailboxes.unwrap_or_default();
    let means = TargetScope { numbers: around.numbers, sounds: &sounds, groups: None };
    let api = api::read(api, &edge.name, means, around, findings);
    let clients = root.get("client").map(|value| clients::read(value, means, findings)).unwrap_or_default();
    let groups = root.get("group").map(|value| TargetGroups::read(value, means, findings)).unwrap_or_default();
    let means = TargetScope { groups: Some(&groups), ..means };
    let numbers = root.get("number").map(|value| numbers::read(value, around.numbers, trunks, findings));
    let mut numbers = numbers.unwrap_or_default();
    let mut routes = numbers::routes(&mut numbers, trunks, findings);
    let own = root.get("route").map(|value| routes::read(value, edge, means, texts_to, findings));
    routes.extend(own.unwrap_or_default());
    CallTables { apps, mailboxes, sounds, api, groups, clients, numbers, routes }
}

/// Returns whether a trunk has a peer reached over TLS.
fn is_secure(placed: &SpannedTrunk) -> bool {
    placed.trunk.peers.iter().any(|peer| peer.destination.transport == Transport::Tls)
}

/// Returns the default of `local_networks`.
pub(super) fn private_networks() -> impl Iterator<Item = IpNet> {
    LOCAL_NETWORKS.iter().filter_map(|text| text.parse().ok())
}

fn read_edge(section: Option<&Section<'_>>, findings: &mut Findings) -> EdgeConfig {
    let name = section.and_then(|edge| edge.read("name", findings, values::name));
    let public_address = section.and_then(|edge| edge.read("public_address", findings, public_addresses));
    let local_networks = section.and_then(|edge| {
        edge.read("local_networks", findings, |key, value, findings| {
            values::list(key, value, findings, values::network)
        })
    });
    let numbers = section.and_then(|edge| edge.read("country", findings, country));
    let numbers = numbers.unwrap_or_default();
    let emergency = section.and_then(|edge| edge.read("emergency", findings, emergency::read));
    let numbers = match emergency {
        Some(list) => numbers.with_emergency(list),
        None => numbers,
    };
    let local_networks: Vec<IpNet> = match local_networks {
        Some(list) => list.into_iter().map(|(network, _)| network).collect(),
        None => private_networks().collect(),
    };
    let public_address = public_address.unwrap_or_default();
    let local = public_address.iter().find(|address| local_networks.iter().any(|network| network.contains(*address)));
    if let (Some(address), Some(value)) = (local, section.and_then(|edge| edge.get("public_address"))) {
        let message = format!("`public_address`: {address} is in `local_networks`");
        let help = "use the address that peers outside these networks can send to";
        findings.warning(code::BAD_VALUE, Some(value.span()), message, help);
    }
    let name = name.unwrap_or_else(host_name);
    let calendar = section.map(|edge| hours::calendar(edge, findings)).unwrap_or_default();
    EdgeConfig { name, public_address, local_networks, numbers, calendar }
}

/// Reads one address per address family.
fn public_addresses(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<Vec<IpAddr>> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for (address, span) in values::one_or_list(key, value, findings, values::public_address)? {
        if addresses.iter().any(|known| known.is_ipv4() == address.is_ipv4()) {
            let message = format!("`{key}` has two addresses of one family");
            findings.error(code::BAD_VALUE, span, message, "one IPv4 and one IPv6 address at most");
            continue;
        }
        addresses.push(address);
    }
    Some(addresses)
}

fn country(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<NumberingPlan> {
    let text = values::string(key, value, findings)?;
    let numbers = NumberingPlan::new(&text);
    if numbers.is_none() {
        let help = "use two letters of ISO 3166: \"US\" or \"DE\"";
        findings.error(code::BAD_VALUE, value.span(), format!("`{key}`: \"{text}\" is not a country"), help);
    }
    numbers
}

/// Returns the host name without characters that a name must not contain.
fn host_name() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let usable = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name: String = text.chars().filter(usable).take(64).collect();
    if name.is_empty() { "trunkgate".to_owned() } else { name }
}

/// Reads `[[listen]]`, and returns whether one of the listeners could not be read.
fn read_listen(
    root: &Section<'_>,
    (file, acme): (ConfigFile<'_>, Option<&SpannedAcme>),
    trunks: &[SpannedTrunk],
    findings: &mut Findings,
) -> (Vec<SpannedListen>, bool) {
    let acme = acme.map(|placed| &placed.acme);
    let Some(value) = root.get("listen") else {
        return (default_listeners(trunks.iter().any(is_secure), acme), false);
    };
    let written = value.get_ref().as_array().map_or(1, |list| list.len());
    let listen = read_listeners(file, value, acme, findings);
    let is_partial = listen.len() < written;
    (listen, is_partial)
}

fn read_listeners(
    file: ConfigFile<'_>,
    value: &SpannedValue<'_>,
    acme: Option<&AcmeSettings>,
    findings: &mut Findings,
) -> Vec<SpannedListen> {
    let DeValue::Array(array) = value.get_ref() else {
        values::wrong_type("listen", value, "tables with double brackets: [[listen]]", findings);
        return Vec::new();
    };
    array.iter().filter_map(|value| read_listener(file, value, acme, findings)).collect()
}

/// Returns the default listeners: UDP, TCP and, if a peer uses TLS, TLS.
fn default_listeners(with_tls: bool, acme: Option<&AcmeSettings>) -> Vec<SpannedListen> {
    let tls = with_tls.then_some(Transport::Tls);
    let transports = [Transport::Udp, Transport::Tcp].into_iter().chain(tls);
    transports.map(|transport| default_listener(transport, acme)).collect()
}

/// Returns a default listener on all IPv4 addresses. IPv6 must be configured, because `[::]` cannot be bound on a
/// kernel without IPv6.
fn default_listener(transport: Transport, acme: Option<&AcmeSettings>) -> SpannedListen {
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, transport.default_port()));
    let name = listener_name(transport, address);
    let tls = (transport == Transport::Tls).then(|| acme.map(tls::issued).unwrap_or_default());
    let listen = ListenSettings { name, transport, address, public_address: Vec::new(), tls, place: String::new() };
    SpannedListen { listen, address: None, name: None }
}

fn listener_name(transport: Transport, address: SocketAddr) -> String {
    format!("{}:{address}", transport.as_str())
}

fn read_listener(
    file: ConfigFile<'_>,
    value: &SpannedValue<'_>,
    acme: Option<&AcmeSettings>,
    findings: &mut Findings,
) -> Option<SpannedListen> {
    let section = Section::open("[[listen]]", value, keys::LISTEN, findings)?;
    let name = section.read("name", findings, values::name);
    let known = [("udp", Transport::Udp), ("tcp", Transport::Tcp), ("tls", Transport::Tls)];
    let transport = match section.get("transport") {
        Some(value) => values::one_of("transport", value, findings, &known),
        None => Some(Transport::Udp),
    };
    let tls = match transport {
        Some(Transport::Tls) => tls::listener(&section, file.folder(), acme, findings),
        Some(other) => {
            tls::not_for(other.as_str(), &section, findings);
            None
        }
        None => None,
    };
    let public_address = section.read("public_address", findings, public_addresses).unwrap_or_default();
    let Some(written) = section.get("address") else {
        let help = "add address = \"0.0.0.0:5060\"";
        findings.error(code::MISSING, section.span.clone(), "a listener without `address`", help);
        return None;
    };
    let address = values::socket_address("address", written, findings)?;
    let transport = transport?;
    Some(SpannedListen {
        listen: ListenSettings {
            name: name.unwrap_or_else(|| listener_name(transport, address)),
            transport,
            address,
            public_address,
            tls,
            place: place(file.path, file.source, written.span().start),
        },
        address: Some(written.span()),
        name: section.get("name").map(Spanned::span),
    })
}

/// Reports a value that requires an unimplemented feature.
pub(super) fn not_yet(span: SourceSpan, what: &str, feature: &str, findings: &mut Findings) {
    let help = format!("{feature}: planned");
    findings.error(code::NOT_IN_THIS_VERSION, span, format!("not in this version: {what}"), help);
}

fn read_media(
    section: Option<&Section<'_>>,
    around: ReadScope<'_>,
    findings: &mut Findings,
) -> (MediaSettings, Option<SourceSpan>) {
    let mut media = MediaSettings {
        address: Vec::new(),
        ports: (0, 0),
        threads: 0,
        idle_timeout: Duration::ZERO,
        latch: LatchMode::default(),
    };
    keys::fill((keys::MEDIA, keys::PUT_MEDIA), section, &mut media, around, findings);
    (media, section.and_then(|media| media.get("ports")).map(Spanned::span))
}

/// Reads the addresses of media sockets, at least one.
pub(super) fn media_addresses(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<Vec<IpAddr>> {
    let list = values::one_or_list(key, value, findings, values::address)?;
    if value.get_ref().as_array().is_some_and(|list| list.is_empty()) {
        findings.error(code::BAD_VALUE, value.span(), "`address` is empty", "media sockets need an address");
    }
    Some(list.into_iter().map(|(address, _)| address).collect())
}

/// Rejects a media engine that is not implemented.
pub(super) fn judge_engine(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) {
    let engines = [("auto", true), ("user", true), ("kernel", false)];
    if values::one_of(key, value, findings, &engines) == Some(false) {
        not_yet(value.span(), "engine = \"kernel\"", "the kernel media path", findings);
    }
}

/// Reads a port range such as `"16384-32767"`, with room for at least one call.
pub(super) fn port_range(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<(u16, u16)> {
    let Some(text) = value.get_ref().as_str() else {
        values::wrong_type(key, value, "first and last port in quotation marks: \"16384-32767\"", findings);
        return None;
    };
    let parsed = text.split_once('-').and_then(|(first, last)| {
        let (first, last): (u16, u16) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (first > 0 && first <= last).then_some((first, last))
    });
    let Some((first, last)) = parsed else {
        let reversed = text.split_once('-').map(|(last, first)| (first.trim().parse(), last.trim().parse()));
        let help = match reversed {
            Some((Ok(first), Ok(last))) if (1..last).contains(&first) => {
                let (first, last): (u16, u16) = (first, last);
                format!("the first port comes first: \"{first}-{last}\"")
            }
            Some(_) | None => "use first and last port, from 1 to 65535: \"16384-32767\"".to_owned(),
        };
        findings.error(code::BAD_VALUE, value.span(), format!("`{key}`: \"{text}\" is not a range of ports"), help);
        return None;
    };
    if calls_that_fit((first, last)) == 0 {
        let help = "a call uses four ports: two pairs of an even port and the next odd one";
        findings.error(
            code::TOO_FEW_PORTS,
            value.span(),
            format!("`{key}`: \"{text}\" is too small for one call"),
            help,
        );
        return None;
    }
    if !first.is_multiple_of(2) || last.is_multiple_of(2) {
        let help = format!(
            "RTP uses even ports, RTCP the next odd port: \"{}-{}\"",
            first.next_multiple_of(2),
            (last - 1) | 1
        );
        findings.warning(
            code::BAD_VALUE,
            Some(value.span()),
            format!("`{key}`: the range starts or ends in the middle of a pair"),
            help,
        );
    }
    Some((first, last))
}

/// Returns the number of calls that a port range can serve.
pub(super) fn calls_that_fit((first, last): (u16, u16)) -> u32 {
    let first_even = u32::from(first).next_multiple_of(2);
    let pairs = (u32::from(last) + 1).saturating_sub(first_even) / 2;
    pairs * 2 / PORTS_PER_CALL
}

fn read_limits(
    section: Option<&Section<'_>>,
    media: &MediaSettings,
    around: ReadScope<'_>,
    findings: &mut Findings,
) -> (LimitSettings, Option<SourceSpan>) {
    let strangers = UnknownSourceLimits { ban: UnknownSourceLimits::default().ban, messages_per_second: 0 };
    let calls = calls_that_fit(media.ports);
    let mut limits = LimitSettings { calls, calls_per_second: 0, sip_message_bytes: 0, strangers };
    keys::fill((keys::LIMITS, keys::PUT_LIMITS), section, &mut limits, around, findings);
    (limits, section.and_then(|limits| limits.get("calls")).map(Spanned::span))
}

/// Reads `{ after = 20, within = "10s", lasting = "10m" }`; these values are the defaults.
pub(super) fn ban(
    key: &str,
    value: &SpannedValue<'_>,
    around: ReadScope<'_>,
    findings: &mut Findings,
) -> Option<BanRule> {
    let section = Section::open(&format!("`{key}`"), value, keys::BAN, findings)?;
    let mut ban = UnknownSourceLimits::default().ban;
    keys::fill((keys::BAN, keys::PUT_BAN), Some(&section), &mut ban, around, findings);
    Some(ban)
}

fn places_of_http(section: &Section<'_>) -> HttpSpans {
    let place = |key| section.get(key).map(Spanned::span);
    HttpSpans { address: place("address"), public_url: place("public_url"), token: place("token") }
}

fn read_http(
    file: ConfigFile<'_>,
    section: Option<&Section<'_>>,
    around: ReadScope<'_>,
    findings: &mut Findings,
) -> HttpSettings {
    let written = section.and_then(|http| http.get("address"));
    let mut http = HttpSettings {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        token: None,
        public_url: None,
        trusted_proxies: Vec::new(),
        tls: None,
        place: written.map(|value| place(file.path, file.source, value.span().start)).unwrap_or_default(),
    };
    keys::fill((keys::HTTP, keys::PUT_HTTP), section, &mut http, around, findings);
    http
}

/// Reads the networks of reverse proxies.
pub(super) fn proxies(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<Vec<IpNet>> {
    let networks = values::one_or_list(key, value, findings, values::network)?;
    for (network, span) in networks.iter().filter(|(network, _)| network.prefix_len() == 0) {
        let message = format!("`{key}`: {network} lets every client name its own address");
        findings.warning(code::OPEN_TO_ALL, Some(span.clone()), message, "list the addresses of the proxies");
    }
    Some(networks.into_iter().map(|(network, _)| network).collect())
}

pub(super) fn web_url(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<String> {
    let text = values::string(key, value, findings)?;
    let usable = url::Url::parse(&text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if !usable {
        let help = "use \"https://edge.example.com\"";
        findings.error(
            code::BAD_ADDRESS,
            value.span(),
            format!("`{key}`: \"{}\" is not a web address", told(&text)),
            help,
        );
    }
    usable.then_some(text)
}

fn read_log(section: Option<&Section<'_>>, around: ReadScope<'_>, findings: &mut Findings) -> LogSettings {
    let mut log = LogSettings { format: String::new(), level: String::new(), full_numbers: false };
    keys::fill((keys::LOG, keys::PUT_LOG), section, &mut log, around, findings);
    log
}

/// Reads a log level, or a filter such as `info,trunkgate=debug`.
pub(super) fn log_level(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let text = values::string(key, value, findings)?;
    let is_level = |word: &str| LEVELS.contains(&word.trim());
    // The filter syntax would accept an unknown level as a module name, and log nothing.
    let wrong = text.split(',').find(|part| !is_level(part) && !part.contains('='));
    let filter = tracing_subscriber::EnvFilter::builder().parse(&text);
    if wrong.is_none() && filter.is_ok() {
        return Some(text);
    }
    let help = match wrong.and_then(|word| nearest(word, LEVELS.into_iter())) {
        Some(level) => format!("did you mean \"{level}\"?"),
        None => "use error, warn, info, debug, trace, or a filter such as \"info,trunkgate=debug\"".to_owned(),
    };
    findings.error(code::BAD_VALUE, value.span(), format!("`{key}` cannot be \"{text}\""), help);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_takes_two_pairs_of_ports() {
        for (range, calls) in [
            ((16_384, 32_767), 4_096),
            ((1, 65_535), 16_383),
            ((2, 65_535), 16_383),
            ((40_000, 40_003), 1),
            ((40_000, 40_002), 0),
            ((40_001, 40_004), 0),
            ((40_001, 40_005), 1),
            ((40_000, 40_000), 0),
            ((40_001, 40_001), 0),
            ((65_535, 65_535), 0),
        ] {
            assert_eq!(calls_that_fit(range), calls, "{range:?}");
        }
    }

    #[test]
    fn the_default_local_networks_are_networks() {
        assert!(LOCAL_NETWORKS.iter().all(|text| text.parse::<IpNet>().is_ok()));
    }
}
