//! Reads `[trunk.NAME]` and `[siprec.NAME]` tables into trunks.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use toml::Spanned;
use trunkgate_call::limits::SESSION_LEAST_SECONDS;
use trunkgate_route::{Destination, NUMBER_PARAMETERS, Peer, SiprecSettings, Suite, Transport, Trunk};
use trunkgate_sip::limits::SESSION_SECONDS;
use trunkgate_sip::{Scheme, Uri};

use super::code;
use super::cover::told;
use super::diagnostic::Findings;
use super::draft::{SourceSpan, SpannedTrunk};
use super::keys::{self, ReadScope};
use super::nearest;
use super::section::{Section, SpannedValue};
use super::types::{EdgeConfig, TrunkTls};
use super::{caller_id, credentials, headers, hold, preset, quotas, routes, tls, values};
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
pub(super) fn read_all<'a>(
    root: &Section<'a>,
    around: ReadScope<'_>,
    edge: &EdgeConfig,
    findings: &mut Findings,
) -> Vec<SpannedTrunk> {
    let mut trunks = root.get("trunk").map(|value| read(value, around, edge, findings)).unwrap_or_default();
    trunks.extend(root.get("siprec").into_iter().flat_map(|value| read_recorders(value, around, findings)));
    trunks
}

/// Reads all trunks in file order.
fn read<'a>(
    value: &'a SpannedValue<'a>,
    around: ReadScope<'_>,
    edge: &EdgeConfig,
    findings: &mut Findings,
) -> Vec<SpannedTrunk> {
    let entries = values::named_tables("trunk", value, findings);
    entries.into_iter().filter_map(|(name, value)| read_one(name, value, around, edge, findings)).collect()
}

fn read_one<'a>(
    name: &'a Spanned<Cow<'a, str>>,
    value: &'a SpannedValue<'a>,
    around: ReadScope<'_>,
    edge: &EdgeConfig,
    findings: &mut Findings,
) -> Option<SpannedTrunk> {
    let (name, name_span) = (name.get_ref().as_ref(), name.span());
    let title = format!("[trunk.{name}]");
    let own = Section::open(&title, value, keys::TRUNK, findings)?;
    values::name_text("trunk", name, name_span.clone(), findings);
    let completed = preset::complete(&title, &own, findings);
    let lacks_peers =
        completed.preset.as_ref().is_some_and(|(preset, _)| preset.missing(&own).any(|one| one.key == "peers"));
    let section = Section::of_judged(&completed.table, own.span);
    let mut trunk = Trunk::named(name);
    let mut placed_peers = Vec::new();
    let mut placed_networks = Vec::new();
    let mut is_partial = ["register", "accept_register"].iter().any(|key| section.get(key).is_some());
    // A misspelling of one of these keys was reported elsewhere.
    is_partial |= section.misspells(&["peers", "accept_from"], keys::TRUNK);
    // An unknown preset, an invalid `domain` and missing peers of a preset were reported elsewhere.
    is_partial |= section.get("preset").is_some() && completed.preset.is_none();
    let by_domain = completed.preset.as_ref().is_some_and(|(preset, _)| preset.domain.is_some());
    is_partial |= by_domain && section.get("peers").is_none();
    is_partial |= lacks_peers;
    if let Some(value) = section.get("peers") {
        let peers = values::one_or_list("peers", value, findings, read_peer).unwrap_or_default();
        is_partial |= peers.len() < written(value);
        (trunk.peers, placed_peers) = peers.into_iter().unzip();
    }
    if let Some(value) = section.get("accept_from") {
        let networks = values::one_or_list("accept_from", value, findings, values::network).unwrap_or_default();
        is_partial |= networks.len() < written(value);
        (trunk.accept_from, placed_networks) = networks.into_iter().unzip();
    }
    trunk.media_from = media_networks(name, &section, findings);
    let tls = read_tls(&section, &mut trunk, around, findings);
    is_partial |= tls.is_none() && section.get("tls").is_some();
    keys::fill((keys::TRUNK, keys::PUT_TRUNK), Some(&section), &mut trunk, around, findings);
    let required =
        section.read("require_auth", findings, |_, value, f| credentials::require_auth(value, around.folder, f));
    let (required, algorithms) = required.unzip();
    (trunk.require_auth, trunk.challenge_with) = (required, algorithms.flatten().unwrap_or(trunk.challenge_with));
    read_registration(&section, &mut trunk, &mut placed_peers, findings);
    caller_id::read(&section, &mut trunk, &edge.numbers, findings);
    let deny = read_policy(&section, &mut trunk, completed.preset.as_ref().map(|(preset, _)| preset.name), findings);
    quotas::read(&section, &mut trunk, completed.preset.as_ref().map(|(preset, _)| preset.name), edge, findings);
    Some(SpannedTrunk {
        trunk,
        name: name_span,
        listen: section.get("listen").map(Spanned::span),
        srtp: section.get("srtp").map(Spanned::span),
        tls,
        tls_span: section.get("tls").map(Spanned::span),
        oversize: section.get("oversize").map(Spanned::span),
        require_auth: section.get("require_auth").map(Spanned::span),
        media_from: section.get("media_from").map(Spanned::span),
        deny,
        peers: placed_peers,
        accept_from: placed_networks,
        is_partial,
        preset: completed.preset.map(|(preset, places)| (preset.name, places)),
    })
}

/// Reads all recording servers, `[siprec.NAME]`, in file order.
fn read_recorders<'a>(
    value: &'a SpannedValue<'a>,
    around: ReadScope<'_>,
    findings: &mut Findings,
) -> Vec<SpannedTrunk> {
    let entries = values::named_tables("siprec", value, findings);
    entries.into_iter().filter_map(|(name, value)| read_recorder(name, value, around, findings)).collect()
}

fn read_recorder<'a>(
    name: &'a Spanned<Cow<'a, str>>,
    value: &'a SpannedValue<'a>,
    around: ReadScope<'_>,
    findings: &mut Findings,
) -> Option<SpannedTrunk> {
    let (name, name_span) = (name.get_ref().as_ref(), name.span());
    let title = format!("[siprec.{name}]");
    let section = Section::open(&title, value, keys::SIPREC, findings)?;
    values::name_text("siprec", name, name_span.clone(), findings);
    // Metadata makes the INVITE longer than one packet, which requires TCP. A server that accepts long INVITEs by UDP
    // only is no reason for a warning.
    let (udp_mtu, siprec) = (usize::from(u16::MAX), Some(SiprecSettings::default()));
    let mut trunk = Trunk { siprec, udp_mtu, oversize_by_tcp: true, ..Trunk::named(&SiprecSettings::trunk_name(name)) };
    let mut is_partial = section.misspells(&["peers"], keys::SIPREC);
    let mut placed_peers = Vec::new();
    match section.get("peers") {
        Some(value) => {
            let peers = values::one_or_list("peers", value, findings, read_server).unwrap_or_default();
            is_partial |= peers.len() < written(value);
            (trunk.peers, placed_peers) = peers.into_iter().unzip();
        }
        None if is_partial => {}
        None => {
            let help = "add peers = [\"sip:HOST\"]";
            findings.error(code::MISSING, section.span.clone(), format!("{title} has no `peers`"), help);
            is_partial = true;
        }
    }
    let tls = read_tls(&section, &mut trunk, around, findings);
    keys::fill((keys::SIPREC, keys::PUT_SIPREC), Some(&section), &mut trunk, around, findings);
    Some(SpannedTrunk {
        trunk,
        name: name_span,
        listen: section.get("listen").map(Spanned::span),
        srtp: section.get("srtp").map(Spanned::span),
        tls,
        tls_span: section.get("tls").map(Spanned::span),
        oversize: None,
        require_auth: None,
        media_from: None,
        deny: Vec::new(),
        peers: placed_peers,
        accept_from: Vec::new(),
        is_partial,
        preset: None,
    })
}

/// Reads `tls` of a trunk: the connection settings, and the values stored in the trunk itself.
fn read_tls(
    section: &Section<'_>,
    trunk: &mut Trunk,
    around: ReadScope<'_>,
    findings: &mut Findings,
) -> Option<TrunkTls> {
    let (tls, names) =
        section.get("tls").and_then(|value| tls::trunk(value, around.folder, trunk.siprec.is_none(), findings))?;
    trunk.certificate_names = names;
    trunk.shows_certificate = tls.own.is_some();
    Some(tls)
}

/// Reads the header rules and `deny`; returns the positions of the `deny` patterns.
fn read_policy(
    section: &Section<'_>,
    trunk: &mut Trunk,
    preset: Option<&str>,
    findings: &mut Findings,
) -> Vec<SourceSpan> {
    trunk.headers = section.get("headers").and_then(|value| headers::read(value, findings)).unwrap_or_default();
    trunk.headers.foreign = preset::foreign_headers(preset);
    let Some(value) = section.get("deny") else { return Vec::new() };
    let patterns = values::one_or_list("deny", value, findings, routes::pattern).unwrap_or_default();
    let (patterns, places) = patterns.into_iter().unzip();
    trunk.deny = patterns;
    places
}

/// Reads a host name of the edge: labels of letters, digits and hyphens, the last one starting with a letter (RFC 3261
/// §25.1 `hostname`).
pub(super) fn own_host(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<Arc<str>> {
    let text = values::string(key, value, findings)?;
    if is_host_name(&text) {
        return Some(text.into());
    }
    let help = if text.parse::<IpAddr>().is_ok() {
        "use a host name such as \"sbc.example.com\"; `public_address` is the address"
    } else {
        "use a host name alone, without scheme, user and port: \"sbc.example.com\""
    };
    findings.error(code::BAD_VALUE, value.span(), format!("`{key}` cannot be \"{text}\""), help);
    None
}

/// Reads a user part of a SIP URI: characters that need no escape (RFC 3261 §25.1 `user`).
pub(super) fn from_user(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<Arc<str>> {
    let text = values::string(key, value, findings)?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,/".contains(&byte);
    if (1..=USER_BYTES).contains(&text.len()) && text.bytes().all(is_plain) {
        return Some(text.into());
    }
    let help = "use the user alone, without scheme and host: \"e12345p0\"";
    findings.error(code::BAD_VALUE, value.span(), format!("`{key}` cannot be \"{}\"", told(&text)), help);
    None
}

/// Returns whether a text is a host name, not an IP address.
fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(is_inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= 253 && text.split('.').all(is_label) && last.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// Reads an audio file played on hold.
pub(super) fn music(
    key: &str,
    value: &SpannedValue<'_>,
    around: ReadScope<'_>,
    findings: &mut Findings,
) -> Option<Arc<[u8]>> {
    hold::file(key, value, MUSIC_SECONDS, Use::Again, around.folder, findings)
}

/// Reads SRTP crypto suites in order of preference.
pub(super) fn suites(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<Vec<Suite>> {
    words(key, value, &Suite::ALL.map(|suite| (suite.as_str(), suite)), findings)
}

/// Parameters of the called number.
pub(super) fn parameters(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<Vec<&'static str>> {
    words(key, value, &NUMBER_PARAMETERS.map(|name| (name, name)), findings)
}

/// Reads a list of words into their values.
fn words<T: Copy>(key: &str, value: &SpannedValue<'_>, all: &[(&str, T)], findings: &mut Findings) -> Option<Vec<T>> {
    let word = |key: &str, value: &SpannedValue<'_>, findings: &mut Findings| values::one_of(key, value, findings, all);
    Some(values::list(key, value, findings, word)?.into_iter().map(|(word, _)| word).collect())
}

/// Reads `media_from`: additional source networks of RTP.
fn media_networks(trunk: &str, section: &Section<'_>, findings: &mut Findings) -> Vec<IpNet> {
    let Some(value) = section.get("media_from") else { return Vec::new() };
    let networks = values::one_or_list("media_from", value, findings, values::network).unwrap_or_default();
    for (network, span) in networks.iter().filter(|(network, _)| network.prefix_len() == 0) {
        let message = format!("{network} accepts RTP from every address in calls of trunk {trunk}");
        findings.warning(code::OPEN_TO_ALL, Some(span.clone()), message, "list the media networks of the trunk");
    }
    networks.into_iter().map(|(network, _)| network).collect()
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
        peers.extend(section.get("register").map(Spanned::span));
    }
}

/// Reads the limits of new calls per second: total, inbound, outbound.
pub(super) fn rates(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<[u32; 3]> {
    let number = |key: &str, value: &SpannedValue<'_>, findings: &mut Findings| {
        values::integer(key, value, findings, 0..=u32::MAX)
    };
    if !value.get_ref().is_table() {
        return Some([number(key, value, findings)?, 0, 0]);
    }
    let each = Section::open(&format!("`{key}`"), value, keys::RATES, findings)?;
    Some([0, each.read("in", findings, number).unwrap_or(0), each.read("out", findings, number).unwrap_or(0)])
}

/// Reads the session timer in whole seconds, not below the minimum of RFC 4028 §4.
pub(super) fn session(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<Duration> {
    let found = values::duration(key, value, findings)?;
    let (least, most) = (SESSION_LEAST_SECONDS, SESSION_SECONDS);
    let useful = Duration::from_secs(least.into())..=Duration::from_secs(most.into());
    if !found.is_zero() && !useful.contains(&found) {
        let message = format!("`{key}` is out of range");
        findings.error(code::BAD_VALUE, value.span(), message, "\"90s\" to \"24h\"; \"0s\" is off");
        return None;
    }
    Some(found)
}

/// Returns the number of items in a value.
fn written(value: &SpannedValue<'_>) -> usize {
    value.get_ref().as_array().map_or(1, |array| array.len())
}

pub(super) fn codecs(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<Vec<String>> {
    let mut codecs: Vec<String> = Vec::new();
    let is_only = written(value) == 1;
    for (codec, span) in values::list(key, value, findings, |key, value, findings| {
        values::string(key, value, findings).and_then(|text| read_codec((key, &text), value.span(), is_only, findings))
    })? {
        if codecs.contains(&codec) {
            findings.error(code::DUPLICATE, span, format!("`{key}` has {codec} twice"), "list each codec once");
        } else {
            codecs.push(codec);
        }
    }
    if written(value) == 0 {
        let help = "a trunk without codecs accepts no calls: remove the key for PCMU, PCMA, opus";
        findings.error(code::BAD_VALUE, value.span(), format!("`{key}` is empty"), help);
    }
    Some(codecs).filter(|codecs| !codecs.is_empty())
}

/// Reads a packet time in milliseconds: the lengths in use that Opus supports as well.
pub(super) fn ptime(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<u32> {
    let ms = values::integer(key, value, findings, 10..=60)?;
    if ![10, 20, 30, 40, 60].contains(&ms) {
        let help = "10, 20, 30, 40 or 60 milliseconds";
        findings.error(code::BAD_VALUE, value.span(), format!("`{key}` is {ms}"), help);
        return None;
    }
    Some(ms)
}

/// Reads one codec of a list; `is_only` is true if the list has no other.
fn read_codec((key, text): (&str, &str), span: SourceSpan, is_only: bool, findings: &mut Findings) -> Option<String> {
    let name = text.to_ascii_uppercase();
    if let Some(codec) = CODECS.iter().find(|codec| codec.eq_ignore_ascii_case(&name)) {
        return Some((*codec).to_owned());
    }
    let bare: String = name.chars().filter(|letter| !matches!(letter, '.' | '-' | '_')).collect();
    if RELAYED_CODECS.iter().any(|codec| bare.starts_with(codec)) {
        let what = if is_only { format!("remove `{key}`") } else { "leave it out".to_owned() };
        let help = format!("{what}: it is relayed if both sides of a call support it, and not converted");
        let message = format!("not in this version: the codec {text}");
        findings.error(code::NOT_IN_THIS_VERSION, span, message, help);
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
    findings.error(code::BAD_VALUE, span, format!("unknown codec \"{text}\""), help);
    None
}

/// Reads a peer: `"sip:host"` or `{ uri = "sip:host", priority = 10, weight = 50 }`.
fn read_peer<'a>(key: &str, value: &'a SpannedValue<'a>, findings: &mut Findings) -> Option<Peer> {
    peer(key, value, peer_of_uri, findings)
}

/// Reads a recording server, written like a peer. The URI may have a user part, because no number is dialled.
fn read_server<'a>(key: &str, value: &'a SpannedValue<'a>, findings: &mut Findings) -> Option<Peer> {
    peer(key, value, host_of_uri, findings)
}

fn peer<'a>(
    key: &str,
    value: &'a SpannedValue<'a>,
    of_uri: fn(&str, SourceSpan, &mut Findings) -> Option<Peer>,
    findings: &mut Findings,
) -> Option<Peer> {
    if let Some(text) = value.get_ref().as_str() {
        return of_uri(text, value.span(), findings);
    }
    if !value.get_ref().is_table() {
        values::wrong_type(key, value, "\"sip:HOST\" or { uri = \"sip:HOST\", priority = 10, weight = 50 }", findings);
        return None;
    }
    let section = Section::open("a peer", value, keys::PEER, findings)?;
    let mut share = |key: &str| {
        let read = |key: &str, value: &SpannedValue<'_>, findings: &mut Findings| {
            values::integer(key, value, findings, 0..=65_535)
        };
        section.read(key, findings, read).and_then(|number| u16::try_from(number).ok()).unwrap_or(0)
    };
    let (priority, weight) = (share("priority"), share("weight"));
    let Some(uri) = section.get("uri") else {
        findings.error(code::MISSING, value.span(), "a peer without `uri`", "add uri = \"sip:HOST\"");
        return None;
    };
    let text = values::string("uri", uri, findings)?;
    let peer = of_uri(&text, uri.span(), findings)?;
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

/// Destination of a SIP URI.
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
