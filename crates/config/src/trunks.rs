//! Reads `[trunk.NAME]` and `[siprec.NAME]` tables into trunks.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use trunkgate_call::limits::SESSION_LEAST_SECONDS;
use trunkgate_route::{Destination, NUMBER_PARAMETERS, Peer, SiprecSettings, Suite, Transport, Trunk};
use trunkgate_sip::limits::SESSION_SECONDS;
use trunkgate_sip::{Scheme, Uri};

use super::code;
use super::cover::told;
use super::diagnostic::Findings;
use super::draft::{SourceSpan, SpannedTrunk};
use super::keys;
use super::nearest;
use super::section::{NamedSection, Section};
use super::types::TrunkTls;
use super::values::KeyReader;
use super::{caller_id, credentials, headers, hold, preset, quotas, routes, tls};
use trunkgate_audio::Use;
use trunkgate_system::limits::MUSIC_SECONDS;

/// Codecs that the edge can transcode.
const CODECS: [&str; 4] = ["PCMU", "PCMA", "G722", "opus"];
/// Maximum length of the user part of From, in bytes.
const USER_BYTES: usize = 64;
/// Codecs that the edge relays without transcoding, without their variants (`G729A`, `AMR-WB`, `GSM-EFR`).
const RELAYED_CODECS: [&str; 11] =
    ["G729", "AMR", "G723", "GSM", "ILBC", "SPEEX", "G726", "G728", "EVS", "SILK", "EVRC"];

/// Reads all trunks, `[trunk.NAME]`, followed by the recording servers, `[siprec.NAME]`.
pub(super) fn read_all(root: &Section<'_>, findings: &mut Findings) -> Vec<SpannedTrunk> {
    let trunks = root.named_tables("trunk", keys::TRUNK, findings);
    let mut trunks: Vec<_> = trunks.into_iter().map(|table| read_trunk(table, findings)).collect();
    let recorders = root.named_tables("siprec", keys::SIPREC, findings);
    trunks.extend(recorders.into_iter().map(|table| read_recorder(table, findings)));
    trunks
}

fn read_trunk(table: NamedSection<'_>, findings: &mut Findings) -> SpannedTrunk {
    let NamedSection { name, span: name_span, section: own } = table;
    let completed = preset::complete(&own, findings);
    let preset = completed.preset.as_ref().map(|(preset, _)| *preset);
    let section = Section::of_judged(own.title(), &completed.table, own.span.clone(), own.scope());
    let mut trunk = Trunk::named(name);
    let mut is_partial = ["register", "accept_register"].iter().any(|key| section.get(key).is_some());
    // A misspelling of one of these keys was reported elsewhere.
    is_partial |= section.misspells(&["peers", "accept_from"], keys::TRUNK);
    // An unknown preset, an invalid `domain` and missing peers of a preset were reported elsewhere.
    is_partial |= section.get("preset").is_some() && preset.is_none();
    is_partial |= preset.is_some_and(|preset| preset.domain.is_some()) && section.get("peers").is_none();
    is_partial |= preset.is_some_and(|preset| preset.missing(&own).any(|one| one.key == "peers"));
    let (read, mut peers) = addresses(&section, "peers", read_peer, &mut is_partial, findings);
    trunk.peers = read;
    let (networks, accept_from) =
        addresses(&section, "accept_from", |reader| reader.network(), &mut is_partial, findings);
    trunk.accept_from = networks;
    trunk.media_from = section.read("media_from", findings, |reader| media_networks(reader, name)).unwrap_or_default();
    let tls = read_tls(&section, &mut trunk, findings);
    is_partial |= tls.is_none() && section.get("tls").is_some();
    section.fill((keys::TRUNK, keys::PUT_TRUNK), &mut trunk, findings);
    let (required, algorithms) = section.read("require_auth", findings, credentials::require_auth).unzip();
    (trunk.require_auth, trunk.challenge_with) = (required, algorithms.flatten().unwrap_or(trunk.challenge_with));
    read_registration(&section, &mut trunk, &mut peers, findings);
    caller_id::read(&section, &mut trunk, findings);
    let preset = preset.map(|preset| preset.name);
    trunk.headers = section.read("headers", findings, headers::read).unwrap_or_default();
    trunk.headers.foreign = preset::foreign_headers(preset);
    let patterns = section.read("deny", findings, |reader| reader.one_or_list(routes::pattern));
    let (patterns, deny) = patterns.unwrap_or_default().into_iter().unzip();
    trunk.deny = patterns;
    quotas::read(&section, &mut trunk, preset, findings);
    let (keys, preset) = (section.spans(), completed.preset.map(|(preset, places)| (preset.name, places)));
    SpannedTrunk { trunk, name: name_span, keys, tls, deny, peers, accept_from, is_partial, preset }
}

/// Reads the peers or networks of a trunk with their positions; sets `is_partial` if one is invalid.
fn addresses<T>(
    section: &Section<'_>,
    key: &str,
    item: impl FnMut(&mut KeyReader<'_>) -> Option<T>,
    is_partial: &mut bool,
    findings: &mut Findings,
) -> (Vec<T>, Vec<SourceSpan>) {
    let read = section.read(key, findings, |reader| {
        let read = reader.one_or_list(item).unwrap_or_default();
        *is_partial |= read.len() < reader.written_items();
        Some(read)
    });
    read.unwrap_or_default().into_iter().unzip()
}

fn read_recorder(table: NamedSection<'_>, findings: &mut Findings) -> SpannedTrunk {
    let NamedSection { name, span, section } = table;
    // Metadata makes the INVITE longer than one packet, which requires TCP. A server that accepts long INVITEs by UDP
    // only is not a reason for a warning.
    let (udp_mtu, siprec) = (usize::from(u16::MAX), Some(SiprecSettings::default()));
    let mut trunk = Trunk { siprec, udp_mtu, oversize_by_tcp: true, ..Trunk::named(&SiprecSettings::trunk_name(name)) };
    let mut is_partial = section.misspells(&["peers"], keys::SIPREC);
    if !is_partial {
        section.require("peers", "add peers = [\"sip:HOST\"]", findings);
        is_partial = section.get("peers").is_none();
    }
    let (servers, peers) = addresses(&section, "peers", read_server, &mut is_partial, findings);
    trunk.peers = servers;
    let tls = read_tls(&section, &mut trunk, findings);
    section.fill((keys::SIPREC, keys::PUT_SIPREC), &mut trunk, findings);
    let (deny, accept_from) = (Vec::new(), Vec::new());
    let keys = section.spans();
    SpannedTrunk { trunk, name: span, keys, tls, deny, peers, accept_from, is_partial, preset: None }
}

/// Reads `tls` of a trunk: the connection settings, and the values stored in the trunk itself.
fn read_tls(section: &Section<'_>, trunk: &mut Trunk, findings: &mut Findings) -> Option<TrunkTls> {
    let (tls, names) = section.read("tls", findings, |reader| tls::trunk(reader, trunk.siprec.is_none()))?;
    trunk.certificate_names = names;
    trunk.shows_certificate = tls.own.is_some();
    Some(tls)
}

/// Reads a host name of the edge: labels of letters, digits and hyphens, the last one starting with a letter (RFC 3261
/// §25.1 `hostname`).
pub(super) fn own_host(reader: &mut KeyReader<'_>) -> Option<Arc<str>> {
    let text = reader.string()?;
    if is_host_name(&text) {
        return Some(text.into());
    }
    let help = if text.parse::<IpAddr>().is_ok() {
        "use a host name such as \"sbc.example.com\"; `public_address` is the address"
    } else {
        "use a host name alone, without scheme, user and port: \"sbc.example.com\""
    };
    reader.reject(code::BAD_VALUE, format!("cannot be \"{text}\""), help)
}

/// Reads a user part of a SIP URI: characters that need no escape (RFC 3261 §25.1 `user`).
pub(super) fn from_user(reader: &mut KeyReader<'_>) -> Option<Arc<str>> {
    let text = reader.string()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,/".contains(&byte);
    if (1..=USER_BYTES).contains(&text.len()) && text.bytes().all(is_plain) {
        return Some(text.into());
    }
    let help = "use the user alone, without scheme and host: \"e12345p0\"";
    reader.reject(code::BAD_VALUE, format!("cannot be \"{}\"", told(&text)), help)
}

/// Returns whether a text is a host name, not an IP address.
fn is_host_name(text: &str) -> bool {
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= 253 && text.split('.').all(preset::is_label) && last.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// Reads an audio file played on hold.
pub(super) fn music(reader: &mut KeyReader<'_>) -> Option<Arc<[u8]>> {
    hold::file(reader, MUSIC_SECONDS, Use::Again)
}

/// Reads SRTP crypto suites in order of preference.
pub(super) fn suites(reader: &mut KeyReader<'_>) -> Option<Vec<Suite>> {
    words(reader, &Suite::ALL.map(|suite| (suite.as_str(), suite)))
}

/// Reads `number_parameters`: URI parameters accepted from and passed to the trunk.
pub(super) fn parameters(reader: &mut KeyReader<'_>) -> Option<Vec<&'static str>> {
    words(reader, &NUMBER_PARAMETERS.map(|name| (name, name)))
}

/// Reads a list of words into their values.
fn words<T: Copy>(reader: &mut KeyReader<'_>, all: &[(&str, T)]) -> Option<Vec<T>> {
    reader.list_items(|reader| reader.one_of(all))
}

/// Reads `media_from`: additional source networks of RTP.
fn media_networks(reader: &mut KeyReader<'_>, trunk: &str) -> Option<Vec<IpNet>> {
    let networks = reader.one_or_list(|reader| reader.network())?;
    for (network, span) in networks.iter().filter(|(network, _)| network.prefix_len() == 0) {
        let message = format!("{network} accepts RTP from every address in calls of trunk {trunk}");
        let help = "list the media networks of the trunk";
        reader.findings.warning(code::OPEN_TO_ALL, Some(span.clone()), message, help);
    }
    Some(networks.into_iter().map(|(network, _)| network).collect())
}

/// Reads `register` and the keys of inbound registration.
fn read_registration(section: &Section<'_>, trunk: &mut Trunk, peers: &mut Vec<SourceSpan>, findings: &mut Findings) {
    if let Some(value) = section.get("accept_register").filter(|_| trunk.accept_register)
        && section.get("require_auth").is_none()
    {
        let help = "add require_auth = { username = \"…\", password = … }";
        findings.error(code::MISSING, value.span(), "`accept_register` without `require_auth`", help);
    }
    if let Some(value) = section.get("register").filter(|_| trunk.register.is_some() && section.get("auth").is_none()) {
        let help = "add auth = { username = \"…\", password = { env = \"NAME\" } }: registrars require it";
        findings.warning(code::MISSING, Some(value.span()), "`register` without `auth`", help);
    }
    if let Some(register) = trunk.register.as_ref().filter(|_| section.get("peers").is_none()) {
        // The registrar is also the peer for calls in both directions.
        trunk.peers.push(Peer::to(register.uri.clone(), register.registrar.clone()));
        peers.extend(section.span_of("register"));
    }
}

/// Reads the limits of new calls per second: total, inbound, outbound.
pub(super) fn rates(reader: &mut KeyReader<'_>) -> Option<[u32; 3]> {
    let number = |reader: &mut KeyReader<'_>| reader.integer(0..=u32::MAX);
    if !reader.value.get_ref().is_table() {
        return Some([number(reader)?, 0, 0]);
    }
    let each = reader.section(keys::RATES)?;
    let mut rate = |key| each.read(key, reader.findings, number).unwrap_or(0);
    Some([0, rate("in"), rate("out")])
}

/// Reads the session timer: zero, or a duration from the minimum of RFC 4028 §4 to [`SESSION_SECONDS`].
pub(super) fn session(reader: &mut KeyReader<'_>) -> Option<Duration> {
    let found = reader.duration()?;
    let (least, most) = (SESSION_LEAST_SECONDS, SESSION_SECONDS);
    let useful = Duration::from_secs(least.into())..=Duration::from_secs(most.into());
    if !found.is_zero() && !useful.contains(&found) {
        return reader.reject(code::BAD_VALUE, "is out of range", "\"90s\" to \"24h\"; \"0s\" is off");
    }
    Some(found)
}

pub(super) fn codecs(reader: &mut KeyReader<'_>) -> Option<Vec<String>> {
    let mut codecs: Vec<String> = Vec::new();
    let is_only = reader.written_items() == 1;
    let read = reader.list(|reader| {
        let text = reader.string()?;
        read_codec(reader, &text, is_only)
    })?;
    for (codec, span) in read {
        if codecs.contains(&codec) {
            reader.error_at(code::DUPLICATE, span, format!("has {codec} twice"), "list each codec once");
        } else {
            codecs.push(codec);
        }
    }
    if reader.written_items() == 0 {
        let help = "a trunk without codecs accepts no calls: remove the key for PCMU, PCMA, opus";
        reader.error(code::BAD_VALUE, "is empty", help);
    }
    Some(codecs).filter(|codecs| !codecs.is_empty())
}

/// Reads a packet time in milliseconds: the lengths in use that Opus supports as well.
pub(super) fn ptime(reader: &mut KeyReader<'_>) -> Option<u32> {
    let ms = reader.integer(10..=60)?;
    if ![10, 20, 30, 40, 60].contains(&ms) {
        let help = "10, 20, 30, 40 or 60 milliseconds";
        return reader.reject(code::BAD_VALUE, format!("is {ms}"), help);
    }
    Some(ms)
}

/// Reads one codec of a list; `is_only` is true if the list has no other.
fn read_codec(reader: &mut KeyReader<'_>, text: &str, is_only: bool) -> Option<String> {
    let name = text.to_ascii_uppercase();
    if let Some(codec) = CODECS.iter().find(|codec| codec.eq_ignore_ascii_case(&name)) {
        return Some((*codec).to_owned());
    }
    let bare: String = name.chars().filter(|letter| !matches!(letter, '.' | '-' | '_')).collect();
    if RELAYED_CODECS.iter().any(|codec| bare.starts_with(codec)) {
        let what = if is_only { format!("remove `{}`", reader.key) } else { "leave it out".to_owned() };
        let help = format!("{what}: it is relayed if both sides of a call support it, and not converted");
        let message = format!("not in this version: the codec {text}");
        reader.findings.error(code::NOT_IN_THIS_VERSION, reader.value.span(), message, help);
        return None;
    }
    // G.711 codecs are also known by the names of their laws.
    let name = match name.as_str() {
        "ULAW" | "MULAW" | "G711U" => "PCMU",
        "ALAW" | "G711A" => "PCMA",
        other => other,
    };
    let help = match nearest(name, CODECS.iter().chain(&RELAYED_CODECS).copied()) {
        Some(codec) => format!("did you mean \"{codec}\"?"),
        None => "use PCMU, PCMA, G722 or opus".to_owned(),
    };
    reader.findings.error(code::BAD_VALUE, reader.value.span(), format!("unknown codec \"{text}\""), help);
    None
}

/// Reads a peer: `"sip:host"` or `{ uri = "sip:host", priority = 10, weight = 50 }`.
fn read_peer(reader: &mut KeyReader<'_>) -> Option<Peer> {
    peer(reader, peer_of_uri)
}

/// Reads a recording server, written like a peer. The URI may have a user part, because no number is dialled.
fn read_server(reader: &mut KeyReader<'_>) -> Option<Peer> {
    peer(reader, host_of_uri)
}

fn peer(reader: &mut KeyReader<'_>, of_uri: fn(&str, SourceSpan, &mut Findings) -> Option<Peer>) -> Option<Peer> {
    if let Some(text) = reader.text() {
        return of_uri(text, reader.span(), reader.findings);
    }
    if !reader.value.get_ref().is_table() {
        return reader.wrong_type("\"sip:HOST\" or { uri = \"sip:HOST\", priority = 10, weight = 50 }");
    }
    let section = Section::open("a peer", reader.value, keys::PEER, reader.scope, reader.findings)?;
    let mut share = |key| {
        let number = section.read(key, reader.findings, |reader| reader.integer(0..=65_535));
        number.and_then(|number| u16::try_from(number).ok()).unwrap_or(0)
    };
    let (priority, weight) = (share("priority"), share("weight"));
    section.require("uri", "add uri = \"sip:HOST\"", reader.findings);
    let peer = section.read("uri", reader.findings, |reader| {
        let text = reader.string()?;
        of_uri(&text, reader.span(), reader.findings)
    })?;
    Some(Peer { priority, weight, ..peer })
}

fn peer_of_uri(text: &str, span: SourceSpan, findings: &mut Findings) -> Option<Peer> {
    let user = sip_uri(text, "a peer", span.clone(), findings)?.user;
    if !user.is_empty() {
        let (text, user) = (told(text), user.split(':').next().unwrap_or_default());
        let help = format!("remove `{user}@`: a peer is a host, the called number is added");
        findings.error(code::BAD_ADDRESS, span, format!("\"{text}\" contains a user part"), help);
        return None;
    }
    host_of_uri(text, span, findings)
}

fn host_of_uri(text: &str, span: SourceSpan, findings: &mut Findings) -> Option<Peer> {
    let SipAddress { destination, .. } = sip_uri(text, "a peer", span.clone(), findings)?;
    let address: Option<IpAddr> = destination.host.parse().ok();
    if address.is_some_and(|address| address.is_unspecified() || address.is_multicast()) {
        findings.error(
            code::BAD_ADDRESS,
            span,
            format!("\"{}\" is not a host", told(text)),
            "use the address that the peer sends from",
        );
        return None;
    }
    Some(Peer::to(text.to_owned(), destination))
}

/// Destination to which requests for a SIP URI are sent.
#[derive(Debug)]
pub struct SipAddress {
    pub user: String,
    pub destination: Destination,
}

/// Reads a `sip:` or `sips:` URI that does not come from a file.
///
/// # Errors
/// Returns a message and the correction.
pub fn sip_address(text: &str) -> Result<SipAddress, String> {
    let mut findings = Findings::default();
    let read = sip_uri(text, "a call", 0..0, &mut findings);
    read.ok_or_else(|| {
        let told = findings.into_sorted().into_iter().map(|found| format!("{}; {}", found.message, found.help));
        told.collect::<Vec<_>>().join("; ")
    })
}

/// Returns the reason why a host can be neither a DNS name nor an IP address: no top-level domain is numeric (RFC 3696
/// §2).
fn impossible_host(host: &str) -> Option<&'static str> {
    if host.starts_with('[') || host.parse::<IpAddr>().is_ok() {
        return None;
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let last = name.rsplit('.').next().unwrap_or_default();
    if name.split('.').any(str::is_empty) {
        return Some("is not a host: a label of its name is empty");
    }
    last.bytes().all(|byte| byte.is_ascii_digit()).then_some("is neither an IPv4 address nor a name")
}

/// Returns the port of a URI if it exceeds 65535.
fn port_too_high(text: &str) -> Option<&str> {
    let place = text.split([';', '?']).next()?;
    let (_, port) = place.rsplit_once(':')?;
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && port.parse::<u16>().is_err() && !place.ends_with(']')).then_some(port)
}

/// Reads a `sip:` or `sips:` URI; `what` is its description in messages.
pub(super) fn sip_uri(text: &str, what: &str, span: SourceSpan, findings: &mut Findings) -> Option<SipAddress> {
    let parsed = Uri::parse(text.as_bytes());
    let is_sip = |scheme| matches!(scheme, Scheme::Sip | Scheme::Sips);
    let Some(uri) = parsed.filter(|uri| is_sip(uri.scheme) && uri.headers.is_empty()) else {
        // The most frequent mistake is an address without scheme.
        let with_scheme = format!("sip:{text}");
        let help = match (Uri::parse(with_scheme.as_bytes()), port_too_high(text)) {
            (_, Some(port)) => format!("{port} is not a valid port: the maximum is 65535"),
            (Some(uri), None) if !text.contains("sip:") && !uri.host.host.is_empty() => {
                format!("write \"{}\"", told(&with_scheme))
            }
            _ => match text.trim_start_matches("sip:").parse::<Ipv6Addr>() {
                Ok(address) => format!("write an IPv6 address in brackets: \"sip:[{address}]\""),
                Err(_) => "use \"sip:198.51.100.7:5060;transport=tcp\"".to_owned(),
            },
        };
        findings.error(code::BAD_ADDRESS, span, format!("\"{}\" is not a SIP URI for {what}", told(text)), help);
        return None;
    };
    if let Some(why) = impossible_host(uri.host.host) {
        let message = format!("\"{}\": \"{}\" {why}", told(text), told(uri.host.host));
        findings.error(code::BAD_ADDRESS, span, message, "an IPv4 address is four numbers from 0 to 255");
        return None;
    }
    let transport = match (uri.scheme == Scheme::Sips, uri.param("transport").map(str::to_ascii_lowercase).as_deref()) {
        // RFC 3261 §26.2.2: with sips, `tcp` is the transport below TLS.
        (true, None | Some("tcp" | "tls")) | (false, Some("tls")) => Transport::Tls,
        (false, None | Some("udp")) => Transport::Udp,
        (false, Some("tcp")) => Transport::Tcp,
        (true, Some("udp")) => {
            findings.error(
                code::BAD_ADDRESS,
                span,
                format!("\"{}\": sips is TLS, never UDP", told(text)),
                "sip:, or no transport",
            );
            return None;
        }
        (_, Some(other)) => {
            let message = format!("\"{}\": unknown transport {other}", told(text));
            findings.error(code::BAD_ADDRESS, span, message, "udp, tcp or tls");
            return None;
        }
    };
    let names = uri.params.split(';').filter_map(|param| param.split('=').next()).filter(|name| !name.is_empty());
    if let Some(unknown) = names.into_iter().find(|name| !name.eq_ignore_ascii_case("transport")) {
        let message = format!("\"{}\": unknown parameter {unknown}", told(text));
        findings.error(code::BAD_ADDRESS, span, message, "only `transport` is allowed");
        return None;
    }
    // With `sips`, the `transport` parameter only selects the transport below TLS.
    let is_fixed = uri.scheme == Scheme::Sip && uri.param("transport").is_some();
    let (host, port) = (uri.host.host.to_owned(), uri.host.port);
    Some(SipAddress { user: uri.user.to_owned(), destination: Destination { host, port, transport, is_fixed } })
}
