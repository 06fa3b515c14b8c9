//! Presets: what is known of a kind of far end, as data files in the binary, each value with the source it comes from.
//! A trunk that names one gets each key that it does not have itself. Values of a preset stand at the place where the
//! trunk names it, so that a mistake that comes from one points at a line of the user's.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::code;
use super::diagnostic::Findings;
use super::draft::Span;
use super::nearest;
use super::section::{Section, Value};
use super::values;

/// Name and text of each, in the order in which they are listed.
const FILES: [(&str, &str); 6] = [
    ("twilio", include_str!("../../presets/twilio.toml")),
    ("carrier", include_str!("../../presets/carrier.toml")),
    ("freepbx", include_str!("../../presets/freepbx.toml")),
    ("asterisk", include_str!("../../presets/asterisk.toml")),
    ("freeswitch", include_str!("../../presets/freeswitch.toml")),
    ("3cx", include_str!("../../presets/3cx.toml")),
];

/// Keys of a trunk that mean something only together with a preset that knows them.
const OWN_KEYS: [&str; 3] = ["domain", "edges", "secure"];

/// Longest name of a host (RFC 1035 §2.3.4).
const MAX_HOST_BYTES: usize = 253;
/// Longest label of one.
const MAX_LABEL_BYTES: usize = 63;

/// A value that a preset gives a trunk's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresetValue {
    /// The key.
    pub key: String,
    /// The value as TOML.
    pub text: &'static str,
    /// Holds only where the trunk is secure (`true`) or is not (`false`); `None`: always.
    pub secure: Option<bool>,
    /// The shortest duration that the far end bears; may be empty.
    pub least: String,
    /// Why, in words; may be empty.
    pub note: String,
    /// Where it comes from.
    pub source: String,
}

/// A header that only a trunk with this preset may bring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnHeader {
    /// Its name.
    pub name: String,
    /// Where that comes from.
    pub source: String,
}

/// Hosts that `domain` leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// What follows the trunk's name in it.
    pub ends: String,
    /// The same at an edge of the provider, for `EDGE`.
    pub at_edge: String,
    /// What other domains of the provider end in.
    pub others: String,
    /// Edges of the provider.
    pub edges: Vec<String>,
    /// Where that comes from.
    pub source: String,
}

/// One preset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub title: String,
    /// Further keys that it understands: `domain`, `edges`, `secure`.
    pub keys: Vec<String>,
    /// Hosts that `domain` leads to, where it has one.
    pub domain: Option<Domain>,
    /// Headers that nobody else may bring.
    pub own_headers: Vec<OwnHeader>,
    /// Its values, in the order of the file.
    pub values: Vec<PresetValue>,
}

/// Every preset.
pub fn all() -> Vec<Preset> {
    FILES.iter().filter_map(|(name, text)| read(name, text)).collect()
}

/// A preset by name.
pub fn find(name: &str) -> Option<Preset> {
    FILES.iter().find(|(known, _)| *known == name).and_then(|(name, text)| read(name, text))
}

/// Headers that only trunks with another preset than `own` may bring.
pub(super) fn foreign_headers(own: Option<&str>) -> Vec<String> {
    let others = all().into_iter().filter(|preset| Some(preset.name) != own);
    others.flat_map(|preset| preset.own_headers).map(|header| header.name).collect()
}

/// Our own files are sound, and a test reads each.
fn read(name: &'static str, text: &'static str) -> Option<Preset> {
    let document = DeTable::parse(text).ok()?;
    let root = document.get_ref();
    let tables = |key: &str| root.get(key).and_then(|list| list.get_ref().as_array());
    let values = tables("value").into_iter().flat_map(|list| list.iter()).filter_map(|one| {
        let table = one.get_ref().as_table()?;
        Some(PresetValue {
            key: text_of(table, "key"),
            text: text.get(table.get("value")?.span())?,
            secure: match text_of(table, "when").as_str() {
                "secure" => Some(true),
                "plain" => Some(false),
                _ => None,
            },
            least: text_of(table, "least"),
            note: text_of(table, "note"),
            source: text_of(table, "source"),
        })
    });
    let own_headers = tables("own_header").into_iter().flat_map(|list| list.iter()).filter_map(|one| {
        let table = one.get_ref().as_table()?;
        Some(OwnHeader { name: text_of(table, "name"), source: text_of(table, "source") })
    });
    let domain = root.get("domain").and_then(|domain| domain.get_ref().as_table()).map(|table| Domain {
        ends: text_of(table, "ends"),
        at_edge: text_of(table, "at_edge"),
        others: text_of(table, "others"),
        edges: texts_of(table, "edges"),
        source: text_of(table, "source"),
    });
    let keys = texts_of(root, "keys");
    let (values, own_headers) = (values.collect(), own_headers.collect());
    Some(Preset { name, title: text_of(root, "title"), keys, domain, own_headers, values })
}

fn text_of(table: &DeTable<'_>, key: &str) -> String {
    table.get(key).and_then(|value| value.get_ref().as_str()).unwrap_or_default().to_owned()
}

fn texts_of(table: &DeTable<'_>, key: &str) -> Vec<String> {
    let list = table.get(key).and_then(|value| value.get_ref().as_array());
    list.into_iter().flat_map(|list| list.iter()).filter_map(|one| Some(one.get_ref().as_str()?.to_owned())).collect()
}

/// A trunk's own keys and its preset's.
#[derive(Debug)]
pub(super) struct Completed<'a> {
    /// All of them.
    pub(super) table: DeTable<'a>,
    /// The preset, and where the trunk says what was made into its values.
    pub(super) preset: Option<(Preset, Vec<Span>)>,
}

/// Adds what the preset of a trunk says to what the trunk says itself. The keys of the trunk have been judged before.
pub(super) fn complete<'a>(title: &str, own: &Section<'a>, findings: &mut Findings) -> Completed<'a> {
    let mut table = own.table().clone();
    let Some(written) = own.get("preset") else {
        for key in OWN_KEYS {
            if let Some(value) = own.get(key) {
                let message = format!("`{key}` in {title} requires a preset");
                findings.error(code::BAD_VALUE, value.span(), message, "add preset = \"twilio\"");
            }
        }
        return Completed { table, preset: None };
    };
    let Some(preset) = named(written, findings) else { return Completed { table, preset: None } };
    let place = written.span();
    for key in OWN_KEYS {
        if let Some(value) = own.get(key).filter(|_| !preset.keys.iter().any(|known| known == key)) {
            let message = format!("`{key}`: preset {} does not support it", preset.name);
            findings.error(code::BAD_VALUE, value.span(), message, "remove it");
        }
    }
    let secure = own.read("secure", findings, values::boolean).unwrap_or(true);
    let applies = |value: &&PresetValue| value.secure.is_none_or(|when| when == secure);
    for value in preset.values.iter().filter(applies) {
        too_short(own, value, &preset, findings);
        if own.get(&value.key).is_none()
            && let Ok(parsed) = DeValue::parse(value.text)
        {
            table.insert(Spanned::new(place.clone(), Cow::Owned(value.key.clone())), placed(&parsed, &place));
        }
    }
    if let Some(peers) = peers(own, &preset, secure, findings) {
        table.insert(Spanned::new(peers.span(), Cow::Borrowed("peers")), peers);
    }
    let mut places = vec![place];
    places.extend(own.get("domain").map(Spanned::span));
    let edges = own.get("edges").and_then(|edges| edges.get_ref().as_array());
    places.extend(edges.into_iter().flat_map(|list| list.iter()).map(Spanned::span));
    Completed { table, preset: Some((preset, places)) }
}

/// Warns of a duration of the trunk's that the far end does not bear.
fn too_short(own: &Section<'_>, value: &PresetValue, preset: &Preset, findings: &mut Findings) {
    let Some(least) = values::parse_duration(&value.least) else { return };
    let Some(written) = own.get(&value.key) else { return };
    let Some(text) = written.get_ref().as_str() else { return };
    if values::parse_duration(text).is_some_and(|duration| !duration.is_zero() && duration < least) {
        let message = format!("`{}` is too short for the preset {}: {}", value.key, preset.name, value.note);
        findings.warning(code::BAD_VALUE, Some(written.span()), message, format!("\"{}\" or more", value.least));
    }
}

fn named(written: &Value<'_>, findings: &mut Findings) -> Option<Preset> {
    let name = values::string("preset", written, findings)?;
    let found = find(&name);
    if found.is_none() {
        let names = || FILES.iter().map(|(name, _)| *name);
        let help = match nearest(&name, names()) {
            Some(known) => format!("did you mean \"{known}\"?"),
            None => format!("one of {}", names().collect::<Vec<_>>().join(", ")),
        };
        findings.error(code::BAD_VALUE, written.span(), format!("unknown preset: {name}"), help);
    }
    found
}

/// The peers that `domain` and `edges` stand for; `None` where the trunk has its own, or something is wrong.
fn peers(own: &Section<'_>, preset: &Preset, secure: bool, findings: &mut Findings) -> Option<Value<'static>> {
    let known = preset.domain.as_ref()?;
    let domain = own.get("domain");
    if own.get("peers").is_some() {
        if let Some(domain) = domain {
            let message = "`domain` and `peers`: `domain` has no effect";
            findings.warning(code::BAD_VALUE, Some(domain.span()), message, "remove one of them");
        }
        return None;
    }
    let Some(domain) = domain else {
        let written = own.get("preset")?.span();
        let message = format!("preset {} requires `domain`", preset.name);
        findings.error(code::MISSING, written, message, format!("add domain = \"NAME{}\"", known.ends));
        return None;
    };
    let hosts = hosts(domain, own.get("edges"), preset, known, findings)?;
    let uri = |host: &str| format!("sip:{host}{}", if secure { ";transport=tls" } else { "" });
    let mut peers = DeArray::new();
    hosts.into_iter().for_each(|(host, place)| peers.push(Spanned::new(place, DeValue::String(uri(&host).into()))));
    Some(Spanned::new(domain.span(), DeValue::Array(peers)))
}

/// The hosts of a domain, in order, each with where it is written: it itself, or one for each edge.
fn hosts(
    domain: &Value<'_>,
    edges: Option<&Value<'_>>,
    preset: &Preset,
    known: &Domain,
    findings: &mut Findings,
) -> Option<Vec<(String, Span)>> {
    let text = values::string("domain", domain, findings)?.to_ascii_lowercase();
    let usable = text.len() <= MAX_HOST_BYTES && text.split('.').all(is_label);
    let name = text.strip_suffix(&known.ends).filter(|name| !name.is_empty() && !name.contains('.'));
    if !usable || (name.is_none() && !text.ends_with(&known.others)) {
        let message = format!("`domain`: \"{text}\" is not a domain of {}", preset.title);
        findings.error(code::BAD_ADDRESS, domain.span(), message, format!("use \"acme{}\"", known.ends));
        return None;
    }
    let Some(edges) = edges.filter(|edges| edges.get_ref().as_array().is_none_or(|list| !list.is_empty())) else {
        return Some(vec![(text, domain.span())]);
    };
    let Some(name) = name else {
        let message = format!("`edges`: \"{text}\" is already included in the domain");
        findings.error(code::BAD_VALUE, edges.span(), message, format!("domain = \"acme{}\"", known.ends));
        return None;
    };
    let read = |key: &str, value: &Value<'_>, findings: &mut Findings| edge(key, value, known, findings);
    let edges = values::one_or_list("edges", edges, findings, read)?;
    let host = |edge: &str| format!("{name}{}", known.at_edge.replace("EDGE", edge));
    let hosts: Vec<_> = edges.into_iter().map(|(edge, place)| (host(&edge), place)).collect();
    (!hosts.is_empty()).then_some(hosts)
}

fn edge(key: &str, value: &Value<'_>, known: &Domain, findings: &mut Findings) -> Option<String> {
    let text = values::string(key, value, findings)?;
    if known.edges.contains(&text) {
        return Some(text);
    }
    let names = || known.edges.iter().map(String::as_str);
    let help = match nearest(&text, names()) {
        Some(edge) => format!("did you mean \"{edge}\"?"),
        None => format!("one of {}", names().collect::<Vec<_>>().join(", ")),
    };
    findings.error(code::BAD_VALUE, value.span(), format!("`{key}`: unknown edge: {text}"), help);
    None
}

/// A label of a host's name (RFC 1123 §2.1).
fn is_label(label: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let ends_in_hyphen = label.starts_with('-') || label.ends_with('-');
    !label.is_empty() && label.len() <= MAX_LABEL_BYTES && label.chars().all(inner) && !ends_in_hyphen
}

/// The same value, at `place` with all that is in it.
fn placed<'a>(value: &Value<'a>, place: &Range<usize>) -> Value<'a> {
    let inner = match value.get_ref() {
        DeValue::Array(list) => {
            let mut copy = DeArray::new();
            list.iter().for_each(|item| copy.push(placed(item, place)));
            DeValue::Array(copy)
        }
        DeValue::Table(table) => {
            let mut copy = DeTable::new();
            for (key, value) in table {
                copy.insert(Spanned::new(place.clone(), key.get_ref().clone()), placed(value, place));
            }
            DeValue::Table(copy)
        }
        DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
            value.get_ref().clone()
        }
    };
    Spanned::new(place.clone(), inner)
}
