//! Reads the TOML tree into values: every table except trunks and routes, with defaults. After an error, reading
//! continues with the default.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use ipnet::IpNet;
use toml::Spanned;
use toml::de::DeTable;
use trunkgate_call::{BanRule, UnknownSourceLimits};
use trunkgate_route::{NumberingPlan, Transport};

use super::acme::{AcmeSettings, SpannedAcme};
use super::clients;
use super::code;
use super::cover::told;
use super::diagnostic::{Findings, place};
use super::draft::{ConfigDraft, SourceSpan, SpannedListen, SpannedTrunk};
use super::keys::{self, EmptyScope, ReadScope};
use super::nearest;
use super::section::{Section, TableSpans};
use super::sounds::SoundCache;
use super::targets::TargetGroups;
use super::types::{EdgeConfig, HttpSettings, LimitSettings, ListenSettings, MediaSettings};
use super::values::KeyReader;
use super::{
    acme, agents, alerts, api, apps, cdr, data, hep, mail, messages, numbers, otel, recognition, recording, routes,
    sms, speech as speaking, tls, transcription, trunks, voicemail,
};
use trunkgate_system::log::LogSettings;

/// Default of `local_networks`: peers in these networks get our local address.
const LOCAL_NETWORKS: [&str; 7] =
    ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "127.0.0.0/8", "::1/128"];
/// Number of media ports of one call: RTP and RTCP on each of its two legs.
pub(super) const PORTS_PER_CALL: u32 = 4;

/// Path and text of the configuration file being read.
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
pub(super) fn http(file: ConfigFile<'_>, document: &Document<'_>, findings: &mut Findings) -> (HttpSettings, bool) {
    let parts = EmptyScope::of(file.folder());
    let root = Section::of_judged("", document.get_ref(), document.span(), parts.scope(file.folder()));
    (read_http(file, &root, findings), root.get("http").is_some())
}

/// Parsed file, with the position of each value.
type Document<'a> = Spanned<DeTable<'a>>;

/// Reads the whole configuration file.
pub(super) fn read(file: ConfigFile<'_>, document: &Document<'_>, findings: &mut Findings) -> ConfigDraft {
    let parts = EmptyScope::of(file.folder());
    let scope = parts.scope(file.folder());
    let root = Section::of_judged("", document.get_ref(), document.span(), scope);
    root.judge_keys(keys::ROOT, findings);
    let written = root.table_or_empty("edge", keys::EDGE, findings);
    let edge = read_edge(&written, findings);
    let data = data::read(&written, findings);
    let sounds = SoundCache::below(file.folder());
    let texts_to = root.table_or_empty("sms", keys::SMS, &mut Findings::default());
    let texts_to = texts_to.read("allow_prefixes", findings, sms::allowed).unwrap_or_default();
    let root = root.within(ReadScope { edge: &edge, sounds: &sounds, texts_to: &texts_to, ..scope });
    let media = read_media(&root, findings);
    let trunks = trunks::read_all(&root, findings);
    let acme = root.read_table("tls", keys::TLS, findings, |table, findings| {
        table.read("acme", findings, |reader| acme::read(reader, &data.directory))
    });
    let (listen, listen_is_partial) = read_listen(&root, (file, acme.as_ref()), &trunks, findings);
    let groups = TargetGroups::read(&root, findings);
    let mut numbers = numbers::read(&root, &trunks, findings);
    let mut routes = numbers::routes(&mut numbers, &trunks, findings);
    routes.extend(routes::read(&root.within(ReadScope { groups: Some(&groups), ..root.scope() }), findings));
    let speech = root.open_table("speech", keys::SPEECH, findings);
    ConfigDraft {
        spans: TableSpans::of_root(&root),
        limits: read_limits(&root, &media, findings),
        http: read_http(file, &root, findings),
        log: read_log(&root, findings),
        agents: agents::read(&root, findings),
        apps: apps::read(&root, findings),
        mailboxes: voicemail::read(&root, findings),
        api: api::read(&root.table_or_empty("api", keys::API, findings), findings),
        clients: root.read("client", findings, clients::read).unwrap_or_default(),
        speech: speaking::read(speech.as_ref(), findings),
        speech_is_off: speech.as_ref().is_some_and(speaking::is_off),
        recognition: root.read_table("recognition", keys::RECOGNITION, findings, recognition::read),
        cdr: root.read_table("cdr", keys::CDR, findings, |cdr, f| Some(cdr::read(cdr, f))).unwrap_or_default(),
        alerts: root.read_table("alerts", keys::ALERTS, findings, alerts::read),
        recording: root.read_table("recording", keys::RECORDING, findings, recording::read),
        transcription: root.read_table("transcription", keys::TRANSCRIPTION, findings, transcription::read),
        hep: root.read_table("hep", keys::HEP, findings, hep::read),
        otel: root.read_table("otel", keys::OTEL, findings, otel::read),
        sms: sms::read(&root, findings),
        messages: messages::read(&root.table_or_empty("messages", keys::MESSAGES, findings), findings),
        mail: root.read_table("mail", keys::MAIL, findings, mail::read),
        media,
        trunks,
        acme,
        listen,
        listen_is_partial,
        groups,
        numbers,
        routes,
        data,
        sounds,
        edge,
    }
}

/// Returns whether a trunk has a peer reached over TLS.
fn is_secure(placed: &SpannedTrunk) -> bool {
    placed.trunk.peers.iter().any(|peer| peer.destination.transport == Transport::Tls)
}

/// Returns the default of `local_networks`.
pub(super) fn private_networks() -> impl Iterator<Item = IpNet> {
    LOCAL_NETWORKS.iter().filter_map(|text| text.parse().ok())
}

fn read_edge(section: &Section<'_>, findings: &mut Findings) -> EdgeConfig {
    let mut edge = EdgeConfig::default();
    section.fill((keys::EDGE, keys::PUT_EDGE), &mut edge, findings);
    if edge.name.is_empty() {
        edge.name = host_name();
    }
    let is_local = |address: &&IpAddr| edge.local_networks.iter().any(|network| network.contains(*address));
    if let Some(address) = edge.public_address.iter().find(is_local) {
        let message = format!("`public_address`: {address} is in `local_networks`");
        let help = "use the address that peers outside these networks can send to";
        findings.warning(code::BAD_VALUE, section.span_of("public_address"), message, help);
    }
    edge
}

/// Reads the networks whose peers get our local address.
pub(super) fn local_networks(reader: &mut KeyReader<'_>) -> Option<Vec<IpNet>> {
    reader.list_items(|reader| reader.network())
}

/// Reads one address per address family.
pub(super) fn public_addresses(reader: &mut KeyReader<'_>) -> Option<Vec<IpAddr>> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for (address, span) in reader.one_or_list(|reader| reader.public_address())? {
        if addresses.iter().any(|known| known.is_ipv4() == address.is_ipv4()) {
            let help = "one IPv4 and one IPv6 address at most";
            reader.error_at(code::BAD_VALUE, span, "has two addresses of one family", help);
            continue;
        }
        addresses.push(address);
    }
    Some(addresses)
}

/// Reads the country of numbers without a country code.
pub(super) fn country(reader: &mut KeyReader<'_>) -> Option<NumberingPlan> {
    let text = reader.string()?;
    let numbers = NumberingPlan::new(&text);
    if numbers.is_none() {
        let help = "use two letters of ISO 3166: \"US\" or \"DE\"";
        reader.error(code::BAD_VALUE, format!(": \"{text}\" is not a country"), help);
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

/// Reads `[[listen]]`, or returns the default listeners without it. Also returns whether a listener could not be read.
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
    let sections = root.rows("listen", keys::LISTEN, findings);
    let listen: Vec<_> = sections.iter().filter_map(|section| read_listener(file, section, acme, findings)).collect();
    let is_partial = listen.len() < written;
    (listen, is_partial)
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
    section: &Section<'_>,
    acme: Option<&AcmeSettings>,
    findings: &mut Findings,
) -> Option<SpannedListen> {
    let name = section.read("name", findings, |reader| reader.name());
    let known = [("udp", Transport::Udp), ("tcp", Transport::Tcp), ("tls", Transport::Tls)];
    let transport = match section.get("transport") {
        Some(_) => section.read("transport", findings, |reader| reader.one_of(&known)),
        None => Some(Transport::Udp),
    };
    let tls = match transport {
        Some(Transport::Tls) => tls::listener(section, acme, findings),
        Some(other) => {
            tls::not_for(other.as_str(), section, findings);
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
    let address = section.read("address", findings, |reader| reader.socket_address())?;
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
        name: section.span_of("name"),
    })
}

/// Reports a value that requires an unimplemented feature.
pub(super) fn not_yet(span: SourceSpan, what: &str, feature: &str, findings: &mut Findings) {
    let help = format!("{feature}: planned");
    findings.error(code::NOT_IN_THIS_VERSION, span, format!("not in this version: {what}"), help);
}

fn read_media(root: &Section<'_>, findings: &mut Findings) -> MediaSettings {
    let mut media = MediaSettings::default();
    root.table_or_empty("media", keys::MEDIA, findings).fill((keys::MEDIA, keys::PUT_MEDIA), &mut media, findings);
    media
}

/// Reads the addresses of media sockets, at least one.
pub(super) fn media_addresses(reader: &mut KeyReader<'_>) -> Option<Vec<IpAddr>> {
    let list = reader.items(|reader| reader.address())?;
    if reader.is_empty_list() {
        reader.error(code::BAD_VALUE, "is empty", "media sockets need an address");
    }
    Some(list)
}

/// Rejects a media engine that is not implemented.
pub(super) fn judge_engine(reader: &mut KeyReader<'_>) {
    let engines = [("auto", true), ("user", true), ("kernel", false)];
    if reader.one_of(&engines) == Some(false) {
        not_yet(reader.value.span(), "engine = \"kernel\"", "the kernel media path", reader.findings);
    }
}

/// Reads a port range such as `"16384-32767"`, with room for at least one call.
pub(super) fn port_range(reader: &mut KeyReader<'_>) -> Option<(u16, u16)> {
    let Some(text) = reader.text() else {
        return reader.wrong_type("first and last port in quotation marks: \"16384-32767\"");
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
                format!("write the lower port first: \"{first}-{last}\"")
            }
            Some(_) | None => "use first and last port, from 1 to 65535: \"16384-32767\"".to_owned(),
        };
        return reader.reject(code::BAD_VALUE, format!(": \"{text}\" is not a range of ports"), help);
    };
    if calls_that_fit((first, last)) == 0 {
        let help = "a call uses four ports: two pairs of an even port and the next odd one";
        return reader.reject(code::TOO_FEW_PORTS, format!(": \"{text}\" is too small for one call"), help);
    }
    if !first.is_multiple_of(2) || last.is_multiple_of(2) {
        let help = format!(
            "RTP uses even ports, RTCP the next odd port: \"{}-{}\"",
            first.next_multiple_of(2),
            (last - 1) | 1
        );
        reader.warning(code::BAD_VALUE, ": the range starts or ends in the middle of a pair", help);
    }
    Some((first, last))
}

/// Returns the number of calls that a port range can serve.
pub(super) fn calls_that_fit((first, last): (u16, u16)) -> u32 {
    let first_even = u32::from(first).next_multiple_of(2);
    let pairs = (u32::from(last) + 1).saturating_sub(first_even) / 2;
    pairs * 2 / PORTS_PER_CALL
}

fn read_limits(root: &Section<'_>, media: &MediaSettings, findings: &mut Findings) -> LimitSettings {
    let strangers = UnknownSourceLimits { ban: UnknownSourceLimits::default().ban, messages_per_second: 0 };
    let calls = calls_that_fit(media.ports);
    let mut limits = LimitSettings { calls, calls_per_second: 0, sip_message_bytes: 0, strangers };
    let section = root.table_or_empty("limits", keys::LIMITS, findings);
    section.fill((keys::LIMITS, keys::PUT_LIMITS), &mut limits, findings);
    limits
}

/// Reads `{ after = 20, within = "10s", lasting = "10m" }`; these values are the defaults.
pub(super) fn ban(reader: &mut KeyReader<'_>) -> Option<BanRule> {
    let section = reader.section(keys::BAN)?;
    let mut ban = UnknownSourceLimits::default().ban;
    section.fill((keys::BAN, keys::PUT_BAN), &mut ban, reader.findings);
    Some(ban)
}

fn read_http(file: ConfigFile<'_>, root: &Section<'_>, findings: &mut Findings) -> HttpSettings {
    let section = root.table_or_empty("http", keys::HTTP, findings);
    let written = section.span_of("address");
    let mut http = HttpSettings {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        token: None,
        public_url: None,
        trusted_proxies: Vec::new(),
        tls: None,
        place: written.map(|span| place(file.path, file.source, span.start)).unwrap_or_default(),
    };
    section.fill((keys::HTTP, keys::PUT_HTTP), &mut http, findings);
    http
}

/// Reads the networks of reverse proxies.
pub(super) fn proxies(reader: &mut KeyReader<'_>) -> Option<Vec<IpNet>> {
    let networks = reader.one_or_list(|reader| reader.network())?;
    for (network, span) in networks.iter().filter(|(network, _)| network.prefix_len() == 0) {
        let message = format!("`{}`: {network} lets every client name its own address", reader.key);
        let help = "list the addresses of the proxies";
        reader.findings.warning(code::OPEN_TO_ALL, Some(span.clone()), message, help);
    }
    Some(networks.into_iter().map(|(network, _)| network).collect())
}

pub(super) fn web_url(reader: &mut KeyReader<'_>) -> Option<String> {
    let text = reader.string()?;
    let usable = url::Url::parse(&text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if !usable {
        let help = "use \"https://edge.example.com\"";
        reader.error(code::BAD_ADDRESS, format!(": \"{}\" is not a web address", told(&text)), help);
    }
    usable.then_some(text)
}

fn read_log(root: &Section<'_>, findings: &mut Findings) -> LogSettings {
    let mut log = LogSettings { format: String::new(), level: String::new(), full_numbers: false };
    root.table_or_empty("log", keys::LOG, findings).fill((keys::LOG, keys::PUT_LOG), &mut log, findings);
    log
}

/// Reads a log level, or a filter such as `info,trunkgate=debug`.
pub(super) fn log_level(reader: &mut KeyReader<'_>) -> Option<String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let text = reader.string()?;
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
    reader.reject(code::BAD_VALUE, format!("cannot be \"{text}\""), help)
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
