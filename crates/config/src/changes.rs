//! Differences between two configurations, key by key. The comparison covers every key of the key tables, so none can
//! be forgotten. Secrets and values that may contain a phone number are reported as changed, without their contents.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::Path;

use toml::de::DeTable;
use trunkgate_call::numbers::mask;

use super::keys::{ConfigKey, ValueKind};
use super::raw::{FileDigests, contents};
use super::show::{ConfigDisplay, DisplayNode, DisplayedKey, DisplayedTable, ValueOrigin, complete, default_listener};
use super::types::Config;

/// Maximum length of a displayed value, in characters.
const VALUE_CHARS: usize = 60;
/// String kinds that contain neither phone numbers nor secrets.
const TELLABLE: [&str; 11] = [
    "level",
    "file",
    "file to write",
    "folder",
    "address",
    "address:port",
    "network",
    "range",
    "country",
    "time zone",
    "codec",
];

/// Source text of a configuration and the contents of the files it names.
#[derive(Clone, Default)]
pub(super) struct WrittenConfig {
    pub(super) source: Box<str>,
    contents: FileDigests,
}

impl fmt::Debug for WrittenConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WrittenConfig").finish_non_exhaustive()
    }
}

impl WrittenConfig {
    pub(super) fn of(config: &Config, source: &str, folder: &Path) -> WrittenConfig {
        let shown = ConfigDisplay::of(config, source);
        let files = shown.0.iter().flat_map(|block| &block.lines).flat_map(|line| &line.raw.files);
        WrittenConfig { source: source.into(), contents: contents(files, folder) }
    }
}

/// One key or one table that differs from the previous configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigDifference {
    /// Table type: `edge`, `trunk`, `route`.
    pub table: &'static str,
    /// Name of the table, if the type can occur more than once.
    pub name: Option<String>,
    /// Changed key; `None` if the whole table was added, removed or moved.
    pub key: Option<&'static str>,
    /// Description, for example `trunk a added`, `trunk a: max_calls 10 -> 20`.
    text: String,
}

impl ConfigDifference {
    /// Returns the changed table or key without the change: `[media] ports`, `[trunk.a] peers`, `[[listen]]`.
    pub fn place(&self) -> String {
        let title = match (self.table, &self.name) {
            ("listen" | "route" | "number", _) => format!("[[{}]]", self.table),
            (table, None) => format!("[{table}]"),
            (table, Some(name)) => format!("[{table}.{name}]"),
        };
        self.key.map_or(title.clone(), |key| format!("{title} {key}"))
    }
}

impl fmt::Display for ConfigDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Returns the differences of `new` from `old`, in table order. Setting a key explicitly to its default is no
/// difference.
pub fn differences(old: &Config, new: &Config) -> Vec<ConfigDifference> {
    let (before, after) = (ComparedConfig::of(old), ComparedConfig::of(new));
    let mut found = Vec::new();
    let tables: Vec<&'static str> = super::keys::ROOT.iter().map(|key| key.name).collect();
    for table in tables {
        let (old, new) = (before.of_table(table), after.of_table(table));
        let pairs = pairs(&old, &new);
        for (old, new) in &pairs {
            compare(table, *old, *new, (before.contents, after.contents), &mut found);
        }
        if matches!(table, "trunk" | "route") && is_moved(&pairs, &old) {
            found.push(ConfigDifference { table, name: None, key: None, text: format!("{table}s: their order") });
        }
    }
    found
}

/// One of the two compared configurations.
struct ComparedConfig<'a> {
    blocks: Vec<(Option<String>, DisplayedTable)>,
    contents: &'a FileDigests,
}

impl<'a> ComparedConfig<'a> {
    fn of(config: &'a Config) -> ComparedConfig<'a> {
        let mut blocks = ConfigDisplay::of(config, &config.written.source).0;
        // Implicit TLS listeners have no lines of their own: describe them in words.
        if blocks.iter().any(|block| block.table == "listen" && block.lines.is_empty()) {
            blocks.retain(|block| block.table != "listen");
            blocks.extend(config.listen.iter().map(default_listener));
        }
        let named = blocks.into_iter().map(|block| (name_of(&block), block)).collect();
        ComparedConfig { blocks: named, contents: &config.written.contents }
    }

    fn of_table(&self, table: &str) -> Vec<&(Option<String>, DisplayedTable)> {
        self.blocks.iter().filter(|(_, block)| block.table == table).collect()
    }
}

type NamedBlock = (Option<String>, DisplayedTable);
type BlockPair<'a> = (Option<&'a NamedBlock>, Option<&'a NamedBlock>);

/// Returns the name of a table: the masked number of a `[[number]]`, the address of a listener without a name.
fn name_of(block: &DisplayedTable) -> Option<String> {
    let text = |key: &str| {
        let line = block.lines.iter().find(|line| line.key == key)?;
        Some(line.node.to_toml().trim_matches('"').to_owned())
    };
    if !block.is_row {
        return block.name.clone();
    }
    if block.table == "number" {
        return text("number").map(|number| mask(&number));
    }
    let address = || format!("{} {}", text("transport").unwrap_or_default(), text("address").unwrap_or_default());
    text("name").or_else(|| (block.table == "listen").then(address))
}

/// Pairs the old tables with the new ones: by name; routes without a name by their contents, else by position.
fn pairs<'a>(old: &[&'a NamedBlock], new: &[&'a NamedBlock]) -> Vec<BlockPair<'a>> {
    let mut partner: HashMap<usize, usize> = HashMap::new();
    let mut rest: BTreeSet<usize> = (0..old.len()).collect();
    let mut match_by = |key: &dyn Fn(&NamedBlock) -> Option<String>| {
        let mut by_key: HashMap<String, Vec<usize>> = HashMap::new();
        for at in rest.iter().rev() {
            if let Some(key) = old.get(*at).and_then(|one| key(one)) {
                by_key.entry(key).or_default().push(*at);
            }
        }
        for (at, one) in new.iter().enumerate() {
            if partner.contains_key(&at) {
                continue;
            }
            if let Some(found) = key(one).and_then(|key| by_key.get_mut(&key)?.pop()) {
                partner.insert(at, found);
                rest.remove(&found);
            }
        }
    };
    let is_numbered = |one: &NamedBlock| {
        one.1.table == "route"
            && one.1.lines.iter().any(|line| line.key == "name" && line.origin == ValueOrigin::Default)
    };
    // The displayed name of a number is only a part of it.
    let number = |one: &NamedBlock| {
        let line = one.1.lines.iter().find(|line| one.1.table == "number" && line.key == "number");
        line.map(|line| line.node.to_toml())
    };
    let name = |one: &NamedBlock| Some(number(one).or_else(|| one.0.clone()).unwrap_or_default());
    match_by(&|one| if is_numbered(one) { None } else { name(one) });
    match_by(&|one| is_numbered(one).then(|| said(&one.1)));
    match_by(&|one| if is_numbered(one) { name(one) } else { None });
    let mut pairs: Vec<BlockPair<'a>> = new
        .iter()
        .enumerate()
        .map(|(at, one)| (partner.get(&at).and_then(|found| old.get(*found)).copied(), Some(*one)))
        .collect();
    pairs.extend(rest.iter().filter_map(|at| old.get(*at)).map(|one| (Some(*one), None)));
    pairs
}

/// Returns a digest of all values of a table except its name.
fn said(block: &DisplayedTable) -> String {
    let line = |line: &DisplayedKey| format!("{}={:?};", line.key, line.raw.digest);
    block.lines.iter().filter(|line| line.origin != ValueOrigin::Default).map(line).collect()
}

/// Returns whether the tables that existed before have changed their order.
fn is_moved(pairs: &[BlockPair<'_>], old: &[&NamedBlock]) -> bool {
    let places: BTreeMap<*const NamedBlock, usize> =
        old.iter().enumerate().map(|(at, one)| (std::ptr::from_ref(*one), at)).collect();
    let kept = pairs.iter().filter(|(_, new)| new.is_some()).filter_map(|(old, _)| *old);
    let kept: Vec<usize> = kept.filter_map(|one| places.get(&std::ptr::from_ref(one)).copied()).collect();
    !kept.is_sorted()
}

fn compare(
    table: &'static str,
    old: Option<&NamedBlock>,
    new: Option<&NamedBlock>,
    contents: (&FileDigests, &FileDigests),
    found: &mut Vec<ConfigDifference>,
) {
    let Some((name, _)) = new.or(old) else { return };
    let title = match name {
        Some(name) => format!("{table} {name}"),
        None => format!("[{table}]"),
    };
    let mut tell = |key: Option<&'static str>, what: String| {
        let colon = if name.is_some() && key.is_some() { ":" } else { "" };
        found.push(ConfigDifference { table, name: name.clone(), key, text: format!("{title}{colon} {what}") });
    };
    let (old, new) = match (old, new) {
        (Some((_, old)), Some((_, new))) => (old, new),
        (old, _) => return tell(None, if old.is_some() { "removed" } else { "added" }.to_owned()),
    };
    let keys: Vec<&'static str> = new.lines.iter().map(|line| line.key).collect();
    let gone = old.lines.iter().map(|line| line.key).filter(|key| !keys.contains(key));
    for key in keys.iter().copied().chain(gone) {
        let of = |block: &'_ DisplayedTable| block.lines.iter().position(|line| line.key == key);
        let before = of(old).and_then(|at| old.lines.get(at));
        let after = of(new).and_then(|at| new.lines.get(at));
        let is_default = |line: Option<&DisplayedKey>| line.is_none_or(|line| line.origin == ValueOrigin::Default);
        // A changed default follows from another key or from the route's position, and is reported there.
        if is_default(before) && is_default(after) {
            continue;
        }
        let Some(kind) = after.or(before).map(|line| line.kind) else { continue };
        let (was, is) = (before.map(|line| &line.node), after.map(|line| &line.node));
        if was != is {
            values(kind, key, was, is).into_iter().for_each(|what| tell(Some(key), what));
            continue;
        }
        let (Some(before), Some(after)) = (before, after) else { continue };
        // The digest distinguishes values only if both were set in the file.
        let both_written = before.origin == ValueOrigin::File && after.origin == ValueOrigin::File;
        if both_written && before.raw != after.raw {
            tell(Some(key), format!("{key} changed (secret value)"));
            continue;
        }
        let is_other = |file: &&String| contents.0.get(*file) != contents.1.get(*file);
        for file in after.raw.files.iter().filter(is_other) {
            tell(Some(key), format!("{key}: the contents of {file}"));
        }
    }
}

/// Returns the changes of one value; for a table, the changes of each of its keys.
fn values(kind: ValueKind, path: &str, old: Option<&DisplayNode>, new: Option<&DisplayNode>) -> Vec<String> {
    let (was, is) = (old.map(|node| read(kind, node)), new.map(|node| read(kind, node)));
    if let (Some(DisplayNode::Table(was)), Some(DisplayNode::Table(is)), Some(keys)) = (&was, &is, keys_of(kind)) {
        let of = |table: &[(String, DisplayNode)], name: &str| {
            table.iter().find(|(key, _)| key == name).map(|(_, one)| one.clone())
        };
        let part = |key: &ConfigKey| {
            let (was, is) = (of(was, key.name), of(is, key.name));
            if was == is {
                Vec::new()
            } else {
                values(key.kind, &format!("{path}.{}", key.name), was.as_ref(), is.as_ref())
            }
        };
        return keys.iter().flat_map(part).collect();
    }
    let shown = |node: Option<&DisplayNode>| match node {
        None => Some("not set".to_owned()),
        Some(node) => {
            Some(node.to_toml()).filter(|text| is_tellable(kind, node) && text.chars().count() <= VALUE_CHARS)
        }
    };
    let what = match (shown(was.as_ref()), shown(is.as_ref())) {
        (Some(was), Some(is)) => format!("{path} {was} -> {is}"),
        _ if old.is_none() => format!("{path} added"),
        _ if new.is_none() => format!("{path} removed"),
        _ => format!("{path} changed"),
    };
    vec![what]
}

/// Parses a default, stored as text, into the node that the parser would produce.
fn read(kind: ValueKind, node: &DisplayNode) -> DisplayNode {
    let DisplayNode::Plain(text) = node else { return node.clone() };
    if !text.starts_with(['{', '[']) {
        return node.clone();
    }
    let document = format!("value = {text}");
    let table = DeTable::parse(&document).ok();
    let value = table.as_ref().and_then(|table| table.get_ref().get("value"));
    value.map_or_else(|| node.clone(), |value| complete(kind, value))
}

/// Returns the keys of a value that may be a table.
fn keys_of(kind: ValueKind) -> Option<&'static [ConfigKey]> {
    if let ValueKind::Either(kinds) = kind {
        return kinds.iter().find_map(|kind| keys_of(*kind));
    }
    if let ValueKind::Table(keys) = kind { Some(keys) } else { None }
}

/// Returns whether a value may appear in a log.
fn is_tellable(kind: ValueKind, node: &DisplayNode) -> bool {
    match (kind, node) {
        (ValueKind::List(item) | ValueKind::Many(item), DisplayNode::List(list)) => {
            list.iter().all(|one| is_tellable(*item, one))
        }
        (ValueKind::Many(item), _) => is_tellable(*item, node),
        (ValueKind::Either(kinds), DisplayNode::Plain(_)) => kinds.iter().all(|kind| is_tellable(*kind, node)),
        (ValueKind::Text(label), _) => TELLABLE.contains(&label),
        (
            ValueKind::Name
            | ValueKind::Duration
            | ValueKind::Size
            | ValueKind::Boolean
            | ValueKind::Integer(..)
            | ValueKind::Share
            | ValueKind::Choice(_)
            | ValueKind::Word(_),
            _,
        ) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    const BASE: &str = "[edge]\nname = 'e'\n[http]\naddress = '127.0.0.1:0'\n[trunk.a]\npeers = ['sip:10.0.0.5']\nmax_calls = 10\n\
        auth = { username = 'u', password = 'hunter2' }\n[trunk.b]\npeers = ['sip:10.0.0.6']\n\
        [[route]]\nfrom = ['a']\nconnect = ['trunk:b']\n[[route]]\nname = 'back'\nto = ['+14155551234']\nconnect = ['trunk:a']\n";

    fn told(old: &str, new: &str) -> Vec<String> {
        let read = |text: &str| parse(Path::new("t.toml"), text).unwrap_or_else(|found| panic!("{text}\n{found:?}")).0;
        differences(&read(old), &read(new)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_unchanged_file_and_defaults_written_out_change_nothing() {
        assert_eq!(told(BASE, BASE), [""; 0]);
        let spaced = BASE.replace("max_calls = 10", "max_calls   =  10 # as agreed\nptime = 20\nring_timeout = '60s'");
        assert_eq!(told(BASE, &spaced), [""; 0]);
        let whole = include_str!("../../../config/trunkgate.toml");
        let read = |text| parse(Path::new("config/trunkgate.toml"), text).unwrap().0;
        assert_eq!(differences(&read(whole), &read(whole)), []);
    }

    #[test]
    fn each_change_is_told_by_its_key() {
        for (from, to, expected) in [
            ("max_calls = 10", "max_calls = 20", "trunk a: max_calls 10 -> 20"),
            ("max_calls = 10", "", "trunk a: max_calls 10 -> 0"),
            (
                "max_calls = 10",
                "max_calls = 10\ncodecs = ['PCMA']",
                "trunk a: codecs [\"PCMU\", \"PCMA\", \"opus\"] -> [\"PCMA\"]",
            ),
            ("[trunk.b]", "[limits]\nban = { after = 30 }\n[trunk.b]", "[limits] ban.after 20 -> 30"),
            ("[trunk.b]", "[cdr]\nfile = 'x.jsonl'\n[trunk.b]", "[cdr] added"),
            ("[trunk.b]", "[log]\nlevel = 'debug'\n[trunk.b]", "[log] level \"info\" -> \"debug\""),
            (
                "[trunk.b]",
                "[media]\nports = '20000-30000'\n[trunk.b]",
                "[media] ports \"16384-32767\" -> \"20000-30000\"",
            ),
            ("name = 'e'", "name = 'f'", "[edge] name \"e\" -> \"f\""),
            ("hunter2", "hunter3", "trunk a: auth changed (secret value)"),
            ("10.0.0.6", "10.0.0.7", "trunk b: peers changed"),
            ("+14155551234", "+14155559876", "route back: to changed"),
            ("[[route]]\nfrom", "[trunk.c]\npeers = ['sip:10.0.0.8']\n[[route]]\nfrom", "trunk c added"),
            (
                "from = ['a']\nconnect = ['trunk:b']",
                "from = ['b']\nconnect = ['trunk:b']",
                "route route-1: from changed",
            ),
            (
                "[[route]]\nfrom = ['a']",
                "[[route]]\nname = 'first'\nfrom = ['b']\nconnect = ['trunk:b']\n[[route]]\nfrom = ['a']",
                "route first added",
            ),
            ("[[route]]\nfrom = ['a']\nconnect = ['trunk:b']\n", "", "route route-1 removed"),
        ] {
            let new = BASE.replacen(from, to, 1);
            assert_ne!(new, BASE, "{from}");
            assert_eq!(told(BASE, &new), [expected]);
        }
        let (a, b) = BASE.split_once("[[route]]\n").unwrap();
        let (first, second) = b.split_once("[[route]]\n").unwrap();
        let turned = format!("{a}[[route]]\n{second}[[route]]\n{first}");
        assert_eq!(told(BASE, &turned), ["routes: their order"]);
    }

    #[test]
    fn no_secret_and_no_number_is_told() {
        let new = BASE.replace("hunter2", "swordfish").replace("+14155551234", "+14155559876").replace("'u'", "'v'");
        let text = told(BASE, &new).join("\n");
        for hidden in ["hunter2", "swordfish", "4155551234", "4155559876"] {
            assert!(!text.contains(hidden), "{text}");
        }
        assert!(text.contains("trunk a: auth.username") && text.contains("route back: to"), "{text}");
    }

    #[test]
    fn what_is_in_a_named_file_counts() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("password");
        let text = BASE.replace("'hunter2'", "{ file = 'password' }");
        let read = || parse(&folder.path().join("t.toml"), &text).unwrap().0;
        std::fs::write(&secret, "hunter2").unwrap();
        let old = read();
        std::fs::write(&secret, "hunter3").unwrap();
        let found: Vec<String> = differences(&old, &read()).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["trunk a: auth: the contents of password"]);
        assert_eq!(differences(&old, &old), []);
    }

    #[test]
    fn listeners_that_nobody_wrote_are_compared_too() {
        let tls = BASE.replace("'sip:10.0.0.6'", "'sip:pbx.example;transport=tls'");
        let text = told(BASE, &tls).join("\n");
        assert!(text.contains("listen tls 0.0.0.0:5061 added"), "{text}");
        assert!(!text.contains("removed"), "{text}");
    }
}
