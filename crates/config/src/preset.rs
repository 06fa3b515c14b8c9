//! Presets: what is known of a kind of far end, as data files in the binary, each value with the source it comes from.
//! A trunk that names one gets each key that it does not have itself. Values of a preset stand at the place where the
//! trunk names it, so that a mistake that comes from one points at a line of the user's.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::code;
use super::diagnostic::Findings;
use super::draft::Span;
use super::nearest;
use super::section::{Section, Value};
use super::values;

/// Name and text of each, in the order in which they are listed.
const FILES: [(&str, &str); 26] = [
    ("twilio", include_str!("../../../presets/twilio.toml")),
    ("carrier", include_str!("../../../presets/carrier.toml")),
    ("telnyx", include_str!("../../../presets/telnyx.toml")),
    ("bandwidth", include_str!("../../../presets/bandwidth.toml")),
    ("vonage", include_str!("../../../presets/vonage.toml")),
    ("plivo", include_str!("../../../presets/plivo.toml")),
    ("didww", include_str!("../../../presets/didww.toml")),
    ("signalwire", include_str!("../../../presets/signalwire.toml")),
    ("cloudonix", include_str!("../../../presets/cloudonix.toml")),
    ("sipgate", include_str!("../../../presets/sipgate.toml")),
    ("freepbx", include_str!("../../../presets/freepbx.toml")),
    ("asterisk", include_str!("../../../presets/asterisk.toml")),
    ("freeswitch", include_str!("../../../presets/freeswitch.toml")),
    ("3cx", include_str!("../../../presets/3cx.toml")),
    ("cisco-cube", include_str!("../../../presets/cisco-cube.toml")),
    ("avaya", include_str!("../../../presets/avaya.toml")),
    ("openai", include_str!("../../../presets/openai.toml")),
    ("retell", include_str!("../../../presets/retell.toml")),
    ("vapi", include_str!("../../../presets/vapi.toml")),
    ("elevenlabs", include_str!("../../../presets/elevenlabs.toml")),
    ("livekit", include_str!("../../../presets/livekit.toml")),
    ("ultravox", include_str!("../../../presets/ultravox.toml")),
    ("jambonz", include_str!("../../../presets/jambonz.toml")),
    ("pipecat", include_str!("../../../presets/pipecat.toml")),
    ("whatsapp", include_str!("../../../presets/whatsapp.toml")),
    ("microsoft-teams", include_str!("../../../presets/microsoft-teams.toml")),
];

/// Names of [`FILES`]: the words of the key `preset`.
pub(super) const NAMES: [&str; FILES.len()] = {
    let mut names = [""; FILES.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = FILES[at].0;
        at += 1;
    }
    names
};

/// Keys of a trunk that mean something only together with a preset that knows them, each with one that does.
const OWN_KEYS: [(&str, &str); 4] =
    [("domain", "twilio"), ("edges", "twilio"), ("region", "telnyx"), ("secure", "twilio")];

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
    /// Region of the provider in which the value holds; empty: in all.
    pub region: String,
    /// Name of the form of `domain` that it holds for; empty: any.
    pub domain: String,
    /// The shortest duration that the far end bears; may be empty.
    pub least: String,
    /// Why, in words; may be empty.
    pub note: String,
    /// Where it comes from.
    pub source: String,
    /// Day on which the source was read, as `2026-11-28`.
    pub date: String,
}

/// A key that the preset leaves to the user: its value depends on the account, or no public source has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The key.
    pub key: String,
    /// What the user writes, or that no public source was found.
    pub note: String,
    /// Where the note comes from; may be empty.
    pub source: String,
    /// Whether a trunk with the preset must have it.
    pub is_required: bool,
    /// Keys with one of which a trunk does without it.
    pub unless: Vec<String>,
    /// A value as TOML; may be empty.
    pub example: String,
}

impl LeftOut {
    /// Returns whether a trunk with these keys must have it, and has not.
    fn is_missing(&self, own: &Section<'_>) -> bool {
        let has = |key: &String| own.get(key).is_some();
        self.is_required && !has(&self.key) && !self.unless.iter().any(has)
    }
}

/// Side of the edge on which `init` offers a preset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The phone network: `--trunk`.
    Carrier,
    /// Phones: `--pbx`.
    Pbx,
    /// Neither: `init` does not offer it.
    Other,
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
    /// Forms of names that are known, the usual one first.
    pub forms: Vec<DomainForm>,
    /// What other domains of the provider end in.
    pub others: String,
}

/// Form of a provider's domains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainForm {
    /// Name, by which values refer to it.
    pub name: String,
    /// End of the domain, behind the customer's own part.
    pub ends: String,
    /// End of the domain at an edge of the provider, with `EDGE` in place of the edge's name.
    pub at_edge: String,
    /// Edges of the provider.
    pub edges: Vec<String>,
    /// Source of the form.
    pub source: String,
}

/// Domain of a trunk, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct DomainParts<'a> {
    form: &'a DomainForm,
    /// The customer's own part.
    name: &'a str,
    /// Whether it names an edge of the provider.
    has_edge: bool,
}

impl Domain {
    /// Takes a domain apart; `None`: a domain of no known form.
    fn parts<'a>(&'a self, text: &'a str) -> Option<DomainParts<'a>> {
        self.forms.iter().find_map(|form| {
            if let Some(name) = text.strip_suffix(&form.ends) {
                return (!name.is_empty()).then_some(DomainParts { form, name, has_edge: false });
            }
            let (before, after) = form.at_edge.split_once("EDGE")?;
            let (name, edge) = text.strip_suffix(after)?.rsplit_once(before)?;
            let is_one = !name.is_empty() && !edge.is_empty() && !edge.contains('.');
            is_one.then_some(DomainParts { form, name, has_edge: true })
        })
    }
}

/// One preset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub title: String,
    /// Side on which `init` offers it.
    pub side: Side,
    /// Further keys that it understands: `domain`, `edges`, `region`, `secure`.
    pub keys: Vec<String>,
    /// Regions of the provider that have values of their own; the first is the default.
    pub regions: Vec<String>,
    /// Hosts that `domain` leads to, where it has one.
    pub domain: Option<Domain>,
    /// Headers that nobody else may bring.
    pub own_headers: Vec<OwnHeader>,
    /// Its values, in the order of the file.
    pub values: Vec<PresetValue>,
    /// Keys that are left to the user.
    pub left_out: Vec<LeftOut>,
}

impl Preset {
    /// Returns whether a trunk with the preset names its `peers` itself.
    pub fn needs_peers(&self) -> bool {
        self.domain.is_none() && self.values.iter().all(|value| value.key != "peers")
    }

    /// Returns the required keys that a trunk with these keys has not.
    pub(super) fn missing(&self, own: &Section<'_>) -> impl Iterator<Item = &LeftOut> {
        self.left_out.iter().filter(|one| one.is_missing(own))
    }

    /// Returns the values that hold for a trunk with these keys. Without a domain of a known form, all forms' values hold;
    /// without a region, those of the first.
    pub(super) fn values_for(&self, own: &Section<'_>) -> Vec<&PresetValue> {
        let is_secure = own.get("secure").and_then(|secure| secure.get_ref().as_bool()).unwrap_or(true);
        // Of an unknown region, none would hold, and further errors would follow from it.
        let region = own.get("region").and_then(|region| region.get_ref().as_str());
        let region = region.filter(|region| self.regions.iter().any(|known| known == region));
        let region = region.or(self.regions.first().map(String::as_str)).unwrap_or_default();
        // Beside `peers`, `domain` has no effect.
        let domain = own.get("domain").filter(|_| own.get("peers").is_none());
        let domain = domain.and_then(|domain| domain.get_ref().as_str()).map(str::to_ascii_lowercase);
        let known = self.domain.as_ref().zip(domain.as_deref()).and_then(|(known, domain)| known.parts(domain));
        let holds = |value: &&PresetValue| {
            let has_form = known.is_none_or(|parts| value.domain.is_empty() || value.domain == parts.form.name);
            let is_there = value.region.is_empty() || value.region == region;
            has_form && is_there && value.secure.is_none_or(|when| when == is_secure)
        };
        self.values.iter().filter(holds).collect()
    }
}

/// Presets of [`FILES`], read once: each trunk of a configuration asks for them.
static ALL: LazyLock<Vec<Preset>> =
    LazyLock::new(|| FILES.iter().filter_map(|(name, text)| read(name, text)).collect());

/// Every preset.
pub fn all() -> &'static [Preset] {
    &ALL
}

/// The preset with this name.
pub fn find(name: &str) -> Option<&'static Preset> {
    ALL.iter().find(|preset| preset.name == name)
}

/// Returns whether a preset is that of a carrier.
pub(super) fn is_carrier(name: &str) -> bool {
    find(name).is_some_and(|preset| preset.side == Side::Carrier)
}

/// Headers that only trunks with another preset than `own` may bring.
pub(super) fn foreign_headers(own: Option<&str>) -> Vec<String> {
    let others = all().iter().filter(|preset| Some(preset.name) != own);
    others.flat_map(|preset| &preset.own_headers).map(|header| header.name.clone()).collect()
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
            region: text_of(table, "region"),
            domain: text_of(table, "domain"),
            least: text_of(table, "least"),
            note: text_of(table, "note"),
            source: text_of(table, "source"),
            date: Some(text_of(table, "date")).filter(|date| !date.is_empty()).unwrap_or_else(|| text_of(root, "date")),
        })
    });
    let left_out = tables("left_out").into_iter().flat_map(|list| list.iter()).filter_map(|one| {
        let table = one.get_ref().as_table()?;
        Some(LeftOut {
            key: text_of(table, "key"),
            note: text_of(table, "note"),
            source: text_of(table, "source"),
            is_required: table.get("required").and_then(|value| value.get_ref().as_bool()).unwrap_or(false),
            unless: texts_of(table, "unless"),
            example: text_of(table, "example"),
        })
    });
    let own_headers = tables("own_header").into_iter().flat_map(|list| list.iter()).filter_map(|one| {
        let table = one.get_ref().as_table()?;
        Some(OwnHeader { name: text_of(table, "name"), source: text_of(table, "source") })
    });
    let domain = root.get("domain").and_then(|domain| domain.get_ref().as_table()).map(domain_of);
    let side = match text_of(root, "side").as_str() {
        "carrier" => Side::Carrier,
        "pbx" => Side::Pbx,
        _ => Side::Other,
    };
    Some(Preset {
        name,
        title: text_of(root, "title"),
        side,
        keys: texts_of(root, "keys"),
        regions: texts_of(root, "regions"),
        domain,
        own_headers: own_headers.collect(),
        values: values.collect(),
        left_out: left_out.collect(),
    })
}

fn domain_of(table: &DeTable<'_>) -> Domain {
    let forms = table.get("form").and_then(|forms| forms.get_ref().as_array());
    let tables = forms.into_iter().flat_map(|list| list.iter()).filter_map(|one| one.get_ref().as_table());
    let form = |table: &DeTable<'_>| DomainForm {
        name: text_of(table, "name"),
        ends: text_of(table, "ends"),
        at_edge: text_of(table, "at_edge"),
        edges: texts_of(table, "edges"),
        source: text_of(table, "source"),
    };
    Domain { forms: tables.map(form).collect(), others: text_of(table, "others") }
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
    pub(super) preset: Option<(&'static Preset, Vec<Span>)>,
}

/// Adds what the preset of a trunk says to what the trunk says itself. The keys of the trunk have been judged before.
pub(super) fn complete<'a>(title: &str, own: &Section<'a>, findings: &mut Findings) -> Completed<'a> {
    let mut table = own.table().clone();
    let Some(written) = own.get("preset") else {
        for (key, preset) in OWN_KEYS {
            if let Some(value) = own.get(key) {
                let message = format!("`{key}` in {title} requires a preset");
                findings.error(code::BAD_VALUE, value.span(), message, format!("add preset = \"{preset}\""));
            }
        }
        return Completed { table, preset: None };
    };
    let Some(preset) = named(written, findings) else { return Completed { table, preset: None } };
    let place = written.span();
    for (key, _) in OWN_KEYS {
        if let Some(value) = own.get(key).filter(|_| !preset.keys.iter().any(|known| known == key)) {
            let message = format!("`{key}`: preset {} does not support it", preset.name);
            findings.error(code::BAD_VALUE, value.span(), message, "remove it");
        }
    }
    let secure = own.read("secure", findings, values::boolean).unwrap_or(true);
    check_region(own, preset, findings);
    for value in preset.values_for(own) {
        too_short(own, value, preset, findings);
        if own.get(&value.key).is_none()
            && let Ok(parsed) = DeValue::parse(value.text)
        {
            table.insert(Spanned::new(place.clone(), Cow::Owned(value.key.clone())), placed(&parsed, &place));
        }
    }
    if let Some(peers) = peers(own, preset, secure, findings) {
        table.insert(Spanned::new(peers.span(), Cow::Borrowed("peers")), peers);
    }
    for LeftOut { key, note, source, example, .. } in preset.missing(own) {
        let message = format!("preset {} requires `{key}`: {note} ({source})", preset.name);
        let example = if example.is_empty() { "\"…\"" } else { example };
        findings.error(code::MISSING, place.clone(), message, format!("add {key} = {example}"));
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

fn named(written: &Value<'_>, findings: &mut Findings) -> Option<&'static Preset> {
    let name = values::string("preset", written, findings)?;
    let found = find(&name);
    if found.is_none() {
        let help = match nearest(&name, NAMES.into_iter()) {
            Some(known) => format!("did you mean \"{known}\"?"),
            None => format!("one of {}", NAMES.join(", ")),
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
        for (key, value) in [("domain", domain), ("edges", own.get("edges"))] {
            let Some(value) = value else { continue };
            let message = format!("`{key}` and `peers`: `{key}` has no effect");
            findings.warning(code::BAD_VALUE, Some(value.span()), message, "remove one of them");
        }
        return None;
    }
    let Some(domain) = domain else {
        let written = own.get("preset")?.span();
        let message = format!("preset {} requires `domain`", preset.name);
        findings.error(code::MISSING, written, message, format!("add {}", shown_domains("NAME", known)));
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
    if !usable || !text.ends_with(&known.others) {
        let message = format!("`domain`: \"{text}\" is not a domain of preset {}", preset.name);
        findings.error(code::BAD_ADDRESS, domain.span(), message, format!("use {}", shown_domains("acme", known)));
        return None;
    }
    let Some(edges) = edges.filter(|edges| edges.get_ref().as_array().is_none_or(|list| !list.is_empty())) else {
        return Some(vec![(text, domain.span())]);
    };
    let parts = known.parts(&text);
    let Some(DomainParts { form, name, .. }) = parts.filter(|parts| !parts.has_edge) else {
        let (message, help) = match parts {
            Some(DomainParts { form, name, .. }) => (
                format!("`edges`: the domain \"{text}\" already names an edge location"),
                format!("domain = \"{name}{}\", or no `edges`", form.ends),
            ),
            None => (
                format!("`edges`: the domain \"{text}\" has no form for an edge location"),
                format!("use {}, or no `edges`", shown_domains("acme", known)),
            ),
        };
        findings.error(code::BAD_VALUE, edges.span(), message, help);
        return None;
    };
    let read = |key: &str, value: &Value<'_>, findings: &mut Findings| read_location(key, value, &form.edges, findings);
    let edges = values::one_or_list("edges", edges, findings, read)?;
    let host = |edge: &str| format!("{name}{}", form.at_edge.replace("EDGE", edge));
    let hosts: Vec<_> = edges.into_iter().map(|(edge, place)| (host(&edge), place)).collect();
    (!hosts.is_empty()).then_some(hosts)
}

/// Checks the region that a trunk names.
fn check_region(own: &Section<'_>, preset: &Preset, findings: &mut Findings) {
    if let Some(written) = own.get("region").filter(|_| !preset.regions.is_empty()) {
        read_location("region", written, &preset.regions, findings);
    }
}

/// Returns examples of domains, one of each form.
fn shown_domains(name: &str, known: &Domain) -> String {
    let shown = |form: &DomainForm| format!("domain = \"{name}{}\"", form.ends);
    known.forms.iter().map(shown).collect::<Vec<_>>().join(" or ")
}

/// Returns a location of the provider: one of `edges`, or its `region`.
fn read_location(key: &str, value: &Value<'_>, known: &[String], findings: &mut Findings) -> Option<String> {
    let text = values::string(key, value, findings)?;
    if known.contains(&text) {
        return Some(text);
    }
    let names = || known.iter().map(String::as_str);
    let help = match nearest(&text, names()) {
        Some(meant) => format!("did you mean \"{meant}\"?"),
        None => format!("one of {}", names().collect::<Vec<_>>().join(", ")),
    };
    let kind = if key == "edges" { "edge" } else { key };
    findings.error(code::BAD_VALUE, value.span(), format!("`{key}`: unknown {kind}: {text}"), help);
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
