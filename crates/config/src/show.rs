//! Configuration in force: values of the file, of presets and defaults, without secrets.

use std::path::Path;

use serde_json::{Map, Value as Json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::cover;
use super::diagnostic::Findings;
use super::json_schema::default_value;
use super::keys::{AbsentMeaning, ConfigKey, EmptyScope, ROOT, SOCKET, TRUNK, ValueKind};
use super::preset;
use super::raw::RawValue;
use super::section::{Section, SpannedValue};
use super::types::{Config, ListenSettings};

/// Text shown in place of a secret.
const HIDDEN: &str = "(not shown)";

/// Displayed value; tables keep their order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum DisplayNode {
    /// Text in TOML syntax.
    Plain(String),
    List(Vec<DisplayNode>),
    Table(Vec<(String, DisplayNode)>),
}

/// Origin of a displayed value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ValueOrigin {
    File,
    Preset(String),
    Default,
}

/// Key with its value in force.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DisplayedKey {
    pub(super) key: &'static str,
    pub(super) kind: ValueKind,
    pub(super) node: DisplayNode,
    pub(super) origin: ValueOrigin,
    pub(super) raw: RawValue,
}

/// Table of the configuration, as `config show` displays it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DisplayedTable {
    /// Table type (`edge`, `trunk`, `route`); a trunk also has its name.
    pub(super) table: &'static str,
    pub(super) name: Option<String>,
    pub(super) is_row: bool,
    pub(super) lines: Vec<DisplayedKey>,
    /// Keys with a default that no value can express, and its description.
    told: Vec<(&'static str, &'static str)>,
}

/// Configuration in force, as it would be written.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigDisplay(pub(super) Vec<DisplayedTable>);

impl ConfigDisplay {
    /// Returns the display of a valid configuration and its source text.
    pub fn of(config: &Config, source: &str) -> ConfigDisplay {
        let Ok(document) = DeTable::parse(source) else { return ConfigDisplay(Vec::new()) };
        let mut blocks = Vec::new();
        for key in ROOT {
            let written =
                document.get_ref().iter().find(|(name, _)| name.get_ref() == key.name).map(|(_, value)| value);
            blocks_of(key, written, config, &mut blocks);
        }
        ConfigDisplay(blocks)
    }

    /// Returns the defaults of every table.
    pub fn defaults() -> ConfigDisplay {
        let block = |key: &'static ConfigKey| {
            let keys = key.kind.keys()?;
            let name = matches!(key.kind, ValueKind::Named(_)).then(|| "NAME".to_owned());
            let (lines, told) = lines(keys, &DeTable::new(), |_| None);
            Some(DisplayedTable { table: key.name, name, is_row: matches!(key.kind, ValueKind::Rows(_)), lines, told })
        };
        ConfigDisplay(ROOT.iter().filter_map(block).collect())
    }

    /// Returns the configuration as TOML; values that do not come from the file are marked.
    pub fn to_toml(&self) -> String {
        let mut out = String::new();
        for DisplayedTable { table, name, is_row, lines, told } in &self.0 {
            let name = name.as_ref().map_or(String::new(), |name| format!(".{}", bare(name)));
            let header = if *is_row { format!("[[{table}]]") } else { format!("[{table}{name}]") };
            let mark = if *is_row && lines.is_empty() { "# " } else { "" };
            out.push_str(&format!("{mark}{header}\n"));
            for DisplayedKey { key, node, origin, .. } in lines {
                let note = match origin {
                    ValueOrigin::File => String::new(),
                    ValueOrigin::Preset(preset) => format!("   # preset {preset}"),
                    ValueOrigin::Default => "   # default".to_owned(),
                };
                out.push_str(&format!("{key} = {}{note}\n", node.to_toml()));
            }
            for (key, words) in told.iter().filter(|(_, words)| *words != "none") {
                out.push_str(&format!("# {key}: {words}\n"));
            }
            let unset: Vec<&str> = told.iter().filter(|(_, words)| *words == "none").map(|(key, _)| *key).collect();
            if !unset.is_empty() {
                out.push_str(&format!("# not set: {}\n", unset.join(", ")));
            }
            out.push('\n');
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
        out
    }

    /// Returns the configuration as JSON, without defaults that no value can express.
    pub fn to_json(&self) -> Json {
        let mut all = Map::new();
        for DisplayedTable { table, name, is_row, lines, .. } in
            self.0.iter().filter(|one| !one.is_row || !one.lines.is_empty())
        {
            let lines = lines.iter().map(|line| (line.key.to_owned(), line.node.to_json()));
            let block = Json::Object(lines.collect());
            match name {
                None if *is_row => {
                    if let Json::Array(rows) = all.entry(*table).or_insert_with(|| Json::Array(Vec::new())) {
                        rows.push(block);
                    }
                }
                None => {
                    all.insert((*table).to_owned(), block);
                }
                Some(name) => {
                    if let Json::Object(named) = all.entry(*table).or_insert_with(|| Json::Object(Map::new())) {
                        named.insert(name.clone(), block);
                    }
                }
            }
        }
        Json::Object(all)
    }
}

fn blocks_of(
    key: &'static ConfigKey,
    written: Option<&SpannedValue<'_>>,
    config: &Config,
    blocks: &mut Vec<DisplayedTable>,
) {
    let mut push = |name: Option<String>, is_row, (lines, told)| {
        blocks.push(DisplayedTable { table: key.name, name, is_row, lines, told });
    };
    if let ValueKind::Table(keys) = key.kind {
        let empty = DeTable::new();
        let table = written.and_then(|value| value.get_ref().as_table());
        // An absent optional table is off, even if its keys have defaults.
        if table.is_some() || matches!(key.default.is, AbsentMeaning::Value(_)) {
            let known = |name: &str| computed(key.name, name, config);
            push(None, false, lines(keys, table.unwrap_or(&empty), known));
        }
    }
    if let ValueKind::Named(keys) = key.kind {
        let table = written.and_then(|value| value.get_ref().as_table());
        let mut entries: Vec<_> = table.into_iter().flat_map(|table| table.iter()).collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in entries {
            let Some(table) = value.get_ref().as_table() else { continue };
            let shown = if keys.len() == TRUNK.len() { trunk(table, value) } else { named(keys, table) };
            push(Some(name.get_ref().to_string()), false, shown);
        }
    }
    if let ValueKind::Rows(keys) = key.kind {
        let rows = written.and_then(|value| value.get_ref().as_array());
        for (at, row) in rows.into_iter().flat_map(|rows| rows.iter()).enumerate() {
            let Some(table) = row.get_ref().as_table() else { continue };
            let known = |name: &str| (key.name == "route" && name == "name").then(|| format!("\"route-{}\"", at + 1));
            push(None, true, lines(keys, table, known));
        }
        if rows.is_none() && key.name == "listen" {
            blocks.extend(default_listeners(config));
        }
    }
}

/// Returns the default listeners. With TLS they use a self-made certificate, which no file can express, so the list
/// stays empty.
fn default_listeners(config: &Config) -> Vec<DisplayedTable> {
    if config.listen.iter().all(|one| one.tls.is_none()) {
        return config.listen.iter().map(default_listener).collect();
    }
    let tls = match &config.acme {
        Some(_) => "port 5061, with the certificate of [tls] acme",
        None => "port 5061, with a self-signed certificate",
    };
    let told = vec![("udp, tcp", "port 5060"), ("tls", tls)];
    vec![DisplayedTable { table: "listen", name: None, is_row: true, lines: Vec::new(), told }]
}

/// Returns a default listener, also for TLS.
pub(super) fn default_listener(one: &ListenSettings) -> DisplayedTable {
    let line = |key, text: String| {
        let (node, raw) = (DisplayNode::Plain(quoted(&text)), RawValue::default());
        DisplayedKey { key, kind: SOCKET, node, origin: ValueOrigin::Default, raw }
    };
    let transport = line("transport", one.transport.as_str().to_owned());
    let lines = vec![transport, line("address", one.address.to_string())];
    DisplayedTable { table: "listen", name: None, is_row: true, lines, told: Vec::new() }
}

/// Returns a trunk with the values of its preset.
fn trunk(table: &DeTable<'_>, value: &SpannedValue<'_>) -> DisplayedKeys {
    let parts = EmptyScope::of(Path::new(""));
    let own = Section::of_judged("", table, value.span(), parts.scope(Path::new("")));
    let completed = preset::complete(&own, &mut Findings::default());
    let name = completed.preset.as_ref().map(|(preset, _)| preset.name.to_owned());
    let is_own = |key: &str| table.iter().any(|(name, _)| name.get_ref() == key);
    let origin = |key: &str| match &name {
        Some(name) if !is_own(key) => ValueOrigin::Preset(name.clone()),
        _ => ValueOrigin::File,
    };
    let (mut lines, told) = lines(TRUNK, &completed.table, |_| None);
    for line in &mut lines {
        if line.origin == ValueOrigin::File {
            line.origin = origin(line.key);
        }
    }
    // Peers derived from `domain` would repeat it.
    let has_made = is_own("domain")
        && lines.iter().any(|line| line.key == "peers" && matches!(line.origin, ValueOrigin::Preset(_)));
    lines.retain(|line| !(has_made && line.key == "peers"));
    (lines, told)
}

/// Returns a named table; an agent that only receives plain RTP shows only the keys that are set.
fn named(keys: &'static [ConfigKey], table: &DeTable<'_>) -> DisplayedKeys {
    let is_raw = table.get("url").and_then(|url| url.get_ref().as_str()).is_some_and(|url| url.starts_with("rtp:"));
    let (mut lines, told) = lines(keys, table, |_| None);
    lines.retain(|line| !is_raw || line.origin == ValueOrigin::File);
    (lines, if is_raw { Vec::new() } else { told })
}

type DisplayedKeys = (Vec<DisplayedKey>, Vec<(&'static str, &'static str)>);

/// Returns the keys of a table in order. `known` returns the actual value of a default described in words.
fn lines(keys: &'static [ConfigKey], table: &DeTable<'_>, known: impl Fn(&str) -> Option<String>) -> DisplayedKeys {
    let (mut lines, mut told) = (Vec::new(), Vec::new());
    for key in keys {
        let line = |node, origin, raw| DisplayedKey { key: key.name, kind: key.kind, node, origin, raw };
        if let Some(value) = find(table, key.name) {
            lines.push(line(complete(key.kind, value), ValueOrigin::File, RawValue::of(key.kind, value)));
            continue;
        }
        let holds = key.default.beside.is_none_or(|other| find(table, other).is_some());
        match (key.kind, key.default.is) {
            (_, AbsentMeaning::Value(_)) if !holds => {}
            (_, AbsentMeaning::Value(text)) => {
                lines.push(line(DisplayNode::Plain(text.to_owned()), ValueOrigin::Default, RawValue::default()));
            }
            (_, AbsentMeaning::Told(words)) => match known(key.name) {
                Some(text) => lines.push(line(DisplayNode::Plain(text), ValueOrigin::Default, RawValue::default())),
                None => told.push((key.name, words)),
            },
            (_, AbsentMeaning::Required(_)) => told.push((key.name, "required")),
        }
    }
    (lines, told)
}

/// Returns defaults that depend on the machine or on another key.
fn computed(table: &str, key: &str, config: &Config) -> Option<String> {
    match (table, key) {
        ("edge", "name") => Some(quoted(&config.edge.name)),
        ("limits", "calls") => Some(config.limits.calls.to_string()),
        ("api", "account_sid") => Some(quoted(&config.api.account_sid)),
        _ => None,
    }
}

fn find<'a>(table: &'a DeTable<'a>, key: &str) -> Option<&'a SpannedValue<'a>> {
    table.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
}

/// Returns a value with the defaults inside it and without secrets.
pub(super) fn complete(kind: ValueKind, value: &SpannedValue<'_>) -> DisplayNode {
    match (kind, value.get_ref()) {
        (ValueKind::Secret, DeValue::String(_)) => DisplayNode::Plain(quoted(HIDDEN)),
        (ValueKind::SecretUrl, DeValue::String(text)) => DisplayNode::Plain(quoted(&server(text))),
        (ValueKind::Url, DeValue::String(text)) => DisplayNode::Plain(quoted(&address(text))),
        (ValueKind::Command, _) => command(value),
        (ValueKind::List(item) | ValueKind::Many(item), DeValue::Array(list)) => {
            DisplayNode::List(list.iter().map(|one| complete(*item, one)).collect())
        }
        (ValueKind::Many(item), _) => complete(*item, value),
        (ValueKind::Map(item), DeValue::Table(table)) => {
            let one = |(name, value): (String, &SpannedValue<'_>)| {
                let is_hidden = cover::is_telling(&name) && !matches!(item, ValueKind::Secret);
                let node = if is_hidden { DisplayNode::Plain(quoted(HIDDEN)) } else { complete(*item, value) };
                (name, node)
            };
            DisplayNode::Table(in_order(table).into_iter().map(one).collect())
        }
        (ValueKind::Table(keys), DeValue::Table(table)) => {
            let (lines, _) = lines(keys, table, |_| None);
            DisplayNode::Table(lines.into_iter().map(|line| (line.key.to_owned(), line.node)).collect())
        }
        (ValueKind::Either(kinds), written) => {
            let suits = |kind: &&ValueKind| {
                let (is_table, is_list) = (matches!(kind, ValueKind::Table(_)), matches!(kind, ValueKind::List(_)));
                (is_table, is_list) == (written.is_table(), written.is_array())
            };
            kinds.iter().find(suits).map_or_else(|| plain(value), |kind| complete(*kind, value))
        }
        _ => plain(value),
    }
}

/// Returns a command: the program, and of its arguments, which may be keys, only the placeholders.
fn command(value: &SpannedValue<'_>) -> DisplayNode {
    let words = value.get_ref().as_array().into_iter().flat_map(|words| words.iter());
    let word = |(at, word): (usize, &SpannedValue<'_>)| match word.get_ref().as_str() {
        Some(text) if at > 0 && !cover::is_piece(text) => DisplayNode::Plain(quoted(HIDDEN)),
        _ => plain(word),
    };
    DisplayNode::List(words.enumerate().map(word).collect())
}

fn plain(value: &SpannedValue<'_>) -> DisplayNode {
    match value.get_ref() {
        DeValue::String(text) if text.contains("://") => DisplayNode::Plain(quoted(&address(text))),
        DeValue::String(text) if text.starts_with("sip") => DisplayNode::Plain(quoted(&cover::told(text))),
        DeValue::String(text) => DisplayNode::Plain(quoted(text)),
        DeValue::Integer(number) => {
            let decimal = i64::from_str_radix(number.as_str(), number.radix());
            DisplayNode::Plain(decimal.map_or_else(|_| number.as_str().to_owned(), |number| number.to_string()))
        }
        DeValue::Float(number) => DisplayNode::Plain(number.as_str().to_owned()),
        DeValue::Boolean(truth) => DisplayNode::Plain(truth.to_string()),
        DeValue::Datetime(date) => DisplayNode::Plain(date.to_string()),
        DeValue::Array(list) => DisplayNode::List(list.iter().map(plain).collect()),
        DeValue::Table(table) => {
            DisplayNode::Table(in_order(table).into_iter().map(|(name, value)| (name, plain(value))).collect())
        }
    }
}

fn in_order<'a>(table: &'a DeTable<'a>) -> Vec<(String, &'a SpannedValue<'a>)> {
    let mut entries: Vec<(&Spanned<_>, &SpannedValue<'_>)> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries.into_iter().map(|(name, value)| (name.get_ref().to_string(), value)).collect()
}

/// Returns a web address without user part and query, which may be secret.
fn address(text: &str) -> String {
    let place = text.split(['?', '#']).next().unwrap_or_default();
    let whole = match place.split_once("://") {
        Some((scheme, rest)) => match rest.split_once('/') {
            Some((host, path)) => format!("{scheme}://{}/{path}", host.rsplit('@').next().unwrap_or_default()),
            None => format!("{scheme}://{}", rest.rsplit('@').next().unwrap_or_default()),
        },
        None => place.to_owned(),
    };
    if place.len() < text.len() { format!("{whole}?{HIDDEN}") } else { whole }
}

/// Returns a URL without all that follows its server.
fn server(text: &str) -> String {
    let whole = address(text);
    let Some((scheme, rest)) = whole.split_once("://") else { return HIDDEN.to_owned() };
    format!("{scheme}://{}/{HIDDEN}", rest.split(['/', '?']).next().unwrap_or_default())
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Returns a name quoted as needed in a table header.
fn bare(name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !name.is_empty() && name.chars().all(is_bare) { name.to_owned() } else { quoted(name) }
}

impl DisplayNode {
    pub(super) fn to_toml(&self) -> String {
        match self {
            DisplayNode::Plain(text) => text.clone(),
            DisplayNode::List(list) => {
                format!("[{}]", list.iter().map(DisplayNode::to_toml).collect::<Vec<_>>().join(", "))
            }
            DisplayNode::Table(table) if table.is_empty() => "{}".to_owned(),
            DisplayNode::Table(table) => {
                let one = |(key, node): &(String, DisplayNode)| format!("{} = {}", bare(key), node.to_toml());
                format!("{{ {} }}", table.iter().map(one).collect::<Vec<_>>().join(", "))
            }
        }
    }

    fn to_json(&self) -> Json {
        match self {
            DisplayNode::Plain(text) => default_value(text).unwrap_or_default(),
            DisplayNode::List(list) => Json::Array(list.iter().map(DisplayNode::to_json).collect()),
            DisplayNode::Table(table) => {
                Json::Object(table.iter().map(|(key, node)| (key.clone(), node.to_json())).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::parse;

    /// Returns the effective values of a configuration without their positions.
    fn values(config: &Config) -> String {
        let listen: Vec<_> = config.listen.iter().map(|one| (&one.name, one.transport, one.address)).collect();
        let calls = (&config.trunks, &config.trunk_tls, &config.agents, &config.routes, &config.api);
        format!("{:?}", (&config.edge, &config.media, &config.limits, &config.log, &config.cdr, listen, calls))
    }

    #[test]
    fn what_is_shown_is_the_same_configuration() {
        let twilio = "[trunk.t]\npreset = 'twilio'\ndomain = 'acme.pstn.twilio.com'\nedges = ['ashburn']\n";
        let trunk = |preset: &str| format!("[trunk.x]\npreset = '{preset}'\npeers = ['sip:10.0.0.5']\n");
        let others = [
            "carrier",
            "freepbx",
            "asterisk",
            "freeswitch",
            "3cx",
            "cisco-cube",
            "avaya",
            "plivo",
            "livekit",
            "ultravox",
            "jambonz",
            "pipecat",
        ];
        let others = others.map(trunk);
        let region = "[trunk.x]\npreset = 'telnyx'\nregion = 'eu'\n".to_owned();
        let route = "[agent.a]\nurl = 'rtp://127.0.0.1:9'\n[[route]]\nconnect = ['trunk:x']\nfork = 'agent:a'\n";
        let own = ["openai", "retell", "vapi", "elevenlabs", "whatsapp"]
            .map(|preset| format!("[trunk.x]\npreset = '{preset}'\n"));
        let plain = others.iter().chain([&region]).chain(&own).map(|trunk| format!("{trunk}{route}"));
        let whole = include_str!("../../../config/trunkgate.toml").to_owned();
        for text in plain.chain([whole, twilio.to_owned(), twilio.replace("edges", "secure = false\nedges")]) {
            let path = Path::new("config/trunkgate.toml");
            let (config, _) = parse(path, &text).unwrap();
            let shown = ConfigDisplay::of(&config, &text);
            let again = shown.to_toml();
            let (read, _) = parse(path, &again).unwrap_or_else(|found| panic!("{again}\n{found:?}"));
            assert_eq!(values(&config), values(&read), "{again}");
            let tree: toml::Table = again.parse().unwrap();
            assert_eq!(serde_json::to_value(tree).unwrap(), shown.to_json());
            assert_eq!(ConfigDisplay::of(&read, &again).to_json(), shown.to_json());
        }
    }

    #[test]
    fn no_secret_is_shown() {
        let text = "[http]\ntoken = 'hunter2'\n[trunk.x]\npeers = ['sip:10.0.0.5']\n\
            auth = { username = 'u', password = 'hunter2' }\nheaders = { add = { X-Api-Key = 'hunter2' } }\n\
            [agent.a]\nurl = 'wss://h/m?key=hunter2'\nauth_token = 'hunter2'\nparameters = { token = 'hunter2', n = 'x' }\n\
            [speech]\nurl = 'https://h/s?key=hunter2'\ntoken = 'hunter2'\n\
            [cdr]\nurl = 'https://h/?key=hunter2'\ntoken = 'hunter2'\nsecret = ['whsec_hunter2FBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=']\n\
            [otel]\nendpoint = 'https://h/?key=hunter2'\nheaders = { plain = 'hunter2', x-token = { env = 'PATH' } }\n\
            [[route]]\nconnect = ['trunk:x']\n";
        let (config, _) = parse(Path::new("t.toml"), text).unwrap_or_else(|found| panic!("{found:?}"));
        let shown = ConfigDisplay::of(&config, text);
        for told in [shown.to_toml(), shown.to_json().to_string()] {
            assert!(!told.contains("hunter2"), "{told}");
            assert!(told.contains("PATH"), "{told}");
            assert!(told.matches(HIDDEN).count() == 13 && told.contains("wss://h/m?"), "{told}");
        }
        // Secrets by name, or as part of an address or a program argument.
        let names = "pin = 'hunter2', pwd = 'hunter2', passwd = 'hunter2', bearer = 'hunter2', cookie = 'hunter2', \
            back = 'https://u:hunter2@h/x?y=hunter2', shipping = 'fast'";
        let headers = "Cookie = 'hunter2', X-Cookie = 'hunter2', X-Pwd = 'hunter2', X-Authorization = 'hunter2'";
        let text = format!(
            "[trunk.x]\npeers = ['sip:10.0.0.5']\nheaders = {{ add = {{ {headers} }} }}\n\
             [agent.a]\nurl = 'wss://h/m?x=hunter2'\nparameters = {{ {names} }}\n\
             [speech]\ncommand = ['espeak-ng', '--key', 'hunter2', '{{voice}}', '{{text}}']\n\
             [[route]]\nconnect = ['trunk:x', 'sip:u:hunter2@10.0.0.6']\n"
        );
        let (config, _) = parse(Path::new("t.toml"), &text).unwrap_or_else(|found| panic!("{found:?}"));
        let shown = ConfigDisplay::of(&config, &text);
        let told = shown.to_toml();
        assert!(!told.contains("hunter2") && !shown.to_json().to_string().contains("hunter2"), "{told}");
        let command = r#"["espeak-ng", "(not shown)", "(not shown)", "{voice}", "{text}"]"#;
        for kept in [command, r#"shipping = "fast""#, "https://h/x?"] {
            assert!(told.contains(kept), "{kept}: {told}");
        }
    }

    #[test]
    fn where_a_secret_is_kept_is_shown() {
        let text = "[trunk.x]\npeers = ['sip:10.0.0.5']\nauth = { username = 'u', password = 'hunter2' }\n\
            [[route]]\nconnect = ['trunk:x']\n";
        let text = text.replace("password = 'hunter2'", "password = { env = 'PATH' }");
        let (config, _) = parse(Path::new("t.toml"), &text).unwrap();
        assert!(ConfigDisplay::of(&config, &text).to_toml().contains(r#"password = { env = "PATH" }"#));
    }

    #[test]
    fn a_user_part_and_a_query_are_left_out_of_an_address() {
        for (written, shown) in [
            ("https://u:p@h/x?a=b#c", "https://h/x?(not shown)"),
            ("https://h", "https://h"),
            ("https://u@h", "https://h"),
            ("rtp://127.0.0.1:9", "rtp://127.0.0.1:9"),
            ("no address", "no address"),
        ] {
            assert_eq!(address(written), shown);
        }
    }
}
