//! Presets: settings for carriers and PBXs, embedded as data files, each value with its source. A trunk that names a
//! preset gets each key that it does not set itself. The values take the position of the trunk's `preset` key, so that
//! their errors point at a line of the user's file.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::code;
use super::diagnostic::Findings;
use super::draft::SourceSpan;
use super::nearest;
use super::section::{Section, SpannedValue};
use super::values::{self, KeyReader};

/// Names and contents of the preset files, in listing order.
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

/// Names of [`FILES`], the valid values of `preset`.
pub(super) const NAMES: [&str; FILES.len()] = {
    let mut names = [""; FILES.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = FILES[at].0;
        at += 1;
    }
    names
};

/// Trunk keys that require a preset with support for them, each with an example of such a preset.
const OWN_KEYS: [(&str, &str); 4] =
    [("domain", "twilio"), ("edges", "twilio"), ("region", "telnyx"), ("secure", "twilio")];

/// Maximum length of a host name (RFC 1035 §2.3.4).
const MAX_HOST_BYTES: usize = 253;
/// Maximum length of a label of a host name.
const MAX_LABEL_BYTES: usize = 63;

/// Value that a preset gives to a key of the trunk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PresetValue {
    /// Name of the key.
    pub key: String,
    /// Value of the key, in TOML syntax.
    #[serde(skip)]
    pub text: &'static str,
    /// Restricts the value to secure (`true`) or insecure (`false`) trunks; `None` if it applies to both.
    #[serde(skip)]
    pub secure: Option<bool>,
    /// Provider region for which the value applies; empty if it applies to all.
    pub region: String,
    /// Name of the `domain` form for which the value applies; empty if it applies to all.
    pub domain: String,
    /// Minimum duration that the remote party accepts; may be empty.
    pub least: String,
    /// Explanation of the value; may be empty.
    pub note: String,
    /// Document or web page from which the value is taken.
    pub source: String,
    /// Day on which the source was read, as `2026-11-28`.
    pub date: String,
}

/// Key that the preset leaves to the user, because its value depends on the account or has no public source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct UnsetPresetKey {
    /// Key of `[trunk.NAME]`, without the table's name.
    pub key: String,
    /// Instructions for the user, or the note that no public source was found.
    pub note: String,
    /// Source of the note; may be empty.
    pub source: String,
    /// True if a trunk with the preset must set the key.
    #[serde(rename = "required")]
    pub is_required: bool,
    /// Keys of which one makes this key optional.
    pub unless: Vec<String>,
    /// Example value in TOML syntax; may be empty.
    pub example: String,
}

impl UnsetPresetKey {
    /// Returns whether the key is required but missing, given the keys of a trunk.
    fn is_missing(&self, own: &Section<'_>) -> bool {
        let has = |key: &String| own.get(key).is_some();
        self.is_required && !has(&self.key) && !self.unless.iter().any(has)
    }
}

/// Side of the edge for which `init` offers a preset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PresetKind {
    /// Carrier, given to `init` by `--trunk`.
    Carrier,
    /// PBX, given to `init` by `--pbx`.
    Pbx,
    /// Remote party that `init` does not offer.
    #[default]
    #[serde(other)]
    Other,
}

/// Header that only trunks with this preset may send.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct OwnHeader {
    /// Name of the SIP header.
    pub name: String,
    /// Document or web page from which this information is taken.
    pub source: String,
}

/// Host names that a preset derives from the key `domain`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PresetDomain {
    /// Known forms of domains, the usual one first.
    #[serde(rename = "form")]
    pub forms: Vec<DomainForm>,
    /// Suffix of other domains of the provider.
    pub others: String,
}

/// Form of the domain names at a provider.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct DomainForm {
    /// Name used by values to refer to the form.
    pub name: String,
    /// Suffix after the customer's part.
    pub ends: String,
    /// Suffix at an edge location of the provider, with `EDGE` as its placeholder.
    pub at_edge: String,
    /// Edge locations of the provider.
    pub edges: Vec<String>,
    /// Document or web page from which the form is taken.
    pub source: String,
}

/// Domain of a trunk, split into its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct DomainParts<'a> {
    form: &'a DomainForm,
    /// Part of the domain that is the customer's own.
    name: &'a str,
    /// True if the domain names an edge location of the provider.
    has_edge: bool,
}

impl PresetDomain {
    /// Splits a domain; `None` if it has no known form.
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

/// Preset of a carrier or PBX.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preset {
    /// Name of the preset.
    pub name: &'static str,
    /// Description of the remote party to which the preset applies.
    pub title: String,
    /// Side of the edge for which `init` offers the preset.
    pub side: PresetKind,
    /// Additional keys that the preset supports: `domain`, `edges`, `region`, `secure`.
    pub keys: Vec<String>,
    /// Provider regions with different values; the first is the default.
    pub regions: Vec<String>,
    /// Hosts derived from `domain`, if supported.
    pub domain: Option<PresetDomain>,
    /// Headers that only trunks with this preset may send.
    pub own_headers: Vec<OwnHeader>,
    /// Keys set by the preset, in the order of its file.
    pub values: Vec<PresetValue>,
    /// Keys that are left to the user.
    pub left_out: Vec<UnsetPresetKey>,
}

impl Preset {
    /// Returns whether a trunk with the preset must set `peers`.
    pub fn needs_peers(&self) -> bool {
        self.domain.is_none() && self.values.iter().all(|value| value.key != "peers")
    }

    /// Returns the required keys that are missing, given the keys of a trunk.
    pub(super) fn missing(&self, own: &Section<'_>) -> impl Iterator<Item = &UnsetPresetKey> {
        self.left_out.iter().filter(|one| one.is_missing(own))
    }

    /// Returns the values for a trunk with these keys: those of its domain's form (of all forms if unknown) and of its
    /// region (the first one if unset).
    pub(super) fn values_for(&self, own: &Section<'_>) -> Vec<&PresetValue> {
        let is_secure = own.get("secure").and_then(|secure| secure.get_ref().as_bool()).unwrap_or(true);
        // An unknown region counts as unset, so that no further errors follow from it.
        let region = own.get("region").and_then(|region| region.get_ref().as_str());
        let region = region.filter(|region| self.regions.iter().any(|known| known == region));
        let region = region.or(self.regions.first().map(String::as_str)).unwrap_or_default();
        // `peers` overrides `domain`.
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

/// Parsed presets of [`FILES`].
static ALL: LazyLock<Vec<Preset>> =
    LazyLock::new(|| FILES.iter().filter_map(|(name, text)| read(name, text)).collect());

/// Returns all presets.
pub fn all() -> &'static [Preset] {
    &ALL
}

/// Returns the preset with this name.
pub fn find(name: &str) -> Option<&'static Preset> {
    ALL.iter().find(|preset| preset.name == name)
}

/// Returns whether a preset is that of a carrier.
pub(super) fn is_carrier(name: &str) -> bool {
    find(name).is_some_and(|preset| preset.side == PresetKind::Carrier)
}

/// Returns the headers reserved for trunks with presets other than `own`.
pub(super) fn foreign_headers(own: Option<&str>) -> Vec<String> {
    let others = all().iter().filter(|preset| Some(preset.name) != own);
    others.flat_map(|preset| &preset.own_headers).map(|header| header.name.clone()).collect()
}

/// Contents of a preset file, as it is deserialised.
#[derive(Debug, Deserialize)]
struct PresetFile {
    title: String,
    #[serde(default)]
    side: PresetKind,
    #[serde(default)]
    date: String,
    #[serde(default)]
    keys: Vec<String>,
    #[serde(default)]
    regions: Vec<String>,
    domain: Option<PresetDomain>,
    #[serde(default)]
    own_header: Vec<OwnHeader>,
    #[serde(default)]
    value: Vec<WrittenValue>,
    #[serde(default)]
    left_out: Vec<UnsetPresetKey>,
}

/// Value as written in a preset file.
#[derive(Debug, Deserialize)]
struct WrittenValue {
    value: Spanned<toml::Value>,
    #[serde(default)]
    when: String,
    #[serde(flatten)]
    rest: PresetValue,
}

/// Parses an embedded preset; a test parses each.
fn read(name: &'static str, text: &'static str) -> Option<Preset> {
    let PresetFile { title, side, date, keys, regions, domain, own_header, value: written, left_out } =
        toml::from_str(text).ok()?;
    let value = |WrittenValue { value, when, rest }: WrittenValue| {
        let secure = match when.as_str() {
            "secure" => Some(true),
            "plain" => Some(false),
            _ => None,
        };
        let date = if rest.date.is_empty() { date.clone() } else { rest.date };
        Some(PresetValue { text: text.get(value.span())?, secure, date, ..rest })
    };
    let values = written.into_iter().filter_map(value).collect();
    Some(Preset { name, title, side, keys, regions, domain, own_headers: own_header, values, left_out })
}

/// Keys of a trunk, completed by its preset.
#[derive(Debug)]
pub(super) struct CompletedTrunk<'a> {
    /// Keys of the trunk together with those of its preset.
    pub(super) table: DeTable<'a>,
    /// Preset, and the positions of the trunk's keys that determine its values.
    pub(super) preset: Option<(&'static Preset, Vec<SourceSpan>)>,
}

/// Completes a trunk with the values of its preset. The trunk's own keys are checked beforehand.
pub(super) fn complete<'a>(own: &Section<'a>, findings: &mut Findings) -> CompletedTrunk<'a> {
    let mut table = own.table().clone();
    let Some(written) = own.get("preset") else {
        for (key, preset) in OWN_KEYS {
            if let Some(value) = own.get(key) {
                let message = format!("`{key}` in {} requires a preset", own.title());
                findings.error(code::BAD_VALUE, value.span(), message, format!("add preset = \"{preset}\""));
            }
        }
        return CompletedTrunk { table, preset: None };
    };
    let Some(preset) = own.read("preset", findings, named) else { return CompletedTrunk { table, preset: None } };
    let place = written.span();
    for (key, _) in OWN_KEYS {
        if let Some(value) = own.get(key).filter(|_| !preset.keys.iter().any(|known| known == key)) {
            let message = format!("`{key}`: preset {} does not support it", preset.name);
            findings.error(code::BAD_VALUE, value.span(), message, "remove it");
        }
    }
    let secure = own.read("secure", findings, |reader| reader.boolean()).unwrap_or(true);
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
    for UnsetPresetKey { key, note, source, example, .. } in preset.missing(own) {
        let message = format!("preset {} requires `{key}`: {note} ({source})", preset.name);
        let example = if example.is_empty() { "\"…\"" } else { example };
        findings.error(code::MISSING, place.clone(), message, format!("add {key} = {example}"));
    }
    let mut places = vec![place];
    places.extend(own.span_of("domain"));
    let edges = own.get("edges").and_then(|edges| edges.get_ref().as_array());
    places.extend(edges.into_iter().flat_map(|list| list.iter()).map(Spanned::span));
    CompletedTrunk { table, preset: Some((preset, places)) }
}

/// Warns of a duration shorter than the remote party accepts.
fn too_short(own: &Section<'_>, value: &PresetValue, preset: &Preset, findings: &mut Findings) {
    let Some(least) = values::parse_duration(&value.least) else { return };
    let Some(written) = own.get(&value.key) else { return };
    let Some(text) = written.get_ref().as_str() else { return };
    if values::parse_duration(text).is_some_and(|duration| !duration.is_zero() && duration < least) {
        let message = format!("`{}` is too short for the preset {}: {}", value.key, preset.name, value.note);
        findings.warning(code::BAD_VALUE, Some(written.span()), message, format!("\"{}\" or more", value.least));
    }
}

fn named(reader: &mut KeyReader<'_>) -> Option<&'static Preset> {
    let name = reader.string()?;
    let found = find(&name);
    if found.is_none() {
        let help = match nearest(&name, NAMES.into_iter()) {
            Some(known) => format!("did you mean \"{known}\"?"),
            None => format!("one of {}", NAMES.join(", ")),
        };
        reader.findings.error(code::BAD_VALUE, reader.value.span(), format!("unknown preset: {name}"), help);
    }
    found
}

/// Returns the peers derived from `domain` and `edges`; `None` if the trunk sets `peers` or the domain is invalid.
fn peers(own: &Section<'_>, preset: &Preset, secure: bool, findings: &mut Findings) -> Option<SpannedValue<'static>> {
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
    let hosts = hosts(own, preset, known, findings)?;
    let uri = |host: &str| format!("sip:{host}{}", if secure { ";transport=tls" } else { "" });
    let mut peers = DeArray::new();
    hosts.into_iter().for_each(|(host, place)| peers.push(Spanned::new(place, DeValue::String(uri(&host).into()))));
    Some(Spanned::new(domain.span(), DeValue::Array(peers)))
}

/// Returns the hosts of a domain with their positions: the domain itself, or one host per edge location.
fn hosts(
    own: &Section<'_>,
    preset: &Preset,
    known: &PresetDomain,
    findings: &mut Findings,
) -> Option<Vec<(String, SourceSpan)>> {
    let text = own.read("domain", findings, |reader| reader.string())?.to_ascii_lowercase();
    let place = own.span_of("domain")?;
    let usable = text.len() <= MAX_HOST_BYTES && text.split('.').all(is_label);
    if !usable || !text.ends_with(&known.others) {
        let message = format!("`domain`: \"{text}\" is not a domain of preset {}", preset.name);
        findings.error(code::BAD_ADDRESS, place, message, format!("use {}", shown_domains("acme", known)));
        return None;
    }
    let Some(edges) = own.get("edges").filter(|edges| edges.get_ref().as_array().is_none_or(|list| !list.is_empty()))
    else {
        return Some(vec![(text, place)]);
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
    let edges =
        own.read("edges", findings, |reader| reader.one_or_list(|reader| read_location(reader, &form.edges)))?;
    let host = |edge: &str| format!("{name}{}", form.at_edge.replace("EDGE", edge));
    let hosts: Vec<_> = edges.into_iter().map(|(edge, place)| (host(&edge), place)).collect();
    (!hosts.is_empty()).then_some(hosts)
}

/// Checks the region that a trunk names.
fn check_region(own: &Section<'_>, preset: &Preset, findings: &mut Findings) {
    if !preset.regions.is_empty() {
        own.read("region", findings, |reader| read_location(reader, &preset.regions));
    }
}

/// Returns an example domain for each form.
fn shown_domains(name: &str, known: &PresetDomain) -> String {
    let shown = |form: &DomainForm| format!("domain = \"{name}{}\"", form.ends);
    known.forms.iter().map(shown).collect::<Vec<_>>().join(" or ")
}

/// Reads a location of the provider: an entry of `edges`, or `region`.
fn read_location(reader: &mut KeyReader<'_>, known: &[String]) -> Option<String> {
    let text = reader.string()?;
    if known.contains(&text) {
        return Some(text);
    }
    let names = || known.iter().map(String::as_str);
    let help = match nearest(&text, names()) {
        Some(meant) => format!("did you mean \"{meant}\"?"),
        None => format!("one of {}", names().collect::<Vec<_>>().join(", ")),
    };
    let kind = if reader.key == "edges" { "edge" } else { reader.key };
    reader.reject(code::BAD_VALUE, format!(": unknown {kind}: {text}"), help)
}

/// Returns whether a text is a valid host name label (RFC 1123 §2.1).
pub(super) fn is_label(label: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let ends_in_hyphen = label.starts_with('-') || label.ends_with('-');
    !label.is_empty() && label.len() <= MAX_LABEL_BYTES && label.chars().all(inner) && !ends_in_hyphen
}

/// Returns a copy of a value with all positions set to `place`.
fn placed<'a>(value: &SpannedValue<'a>, place: &Range<usize>) -> SpannedValue<'a> {
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
