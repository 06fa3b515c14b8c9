//! Table of the configuration file: its keys are checked against the known ones, then read one by one.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::code;
use super::diagnostic::Findings;
use super::elsewhere::{ELSEWHERE, OF_TABLES};
use super::keys::{self, AbsentMeaning, ConfigKey, FieldSetter, ROOT, ReadScope, TABLES, TRUNK, TRUNK_PARTS, same};
use super::nearest;
use super::values::{KeyReader, name_text, wrong_type};

/// TOML value with its position in the file.
pub(super) type SpannedValue<'a> = Spanned<DeValue<'a>>;

/// Table without keys.
static EMPTY: LazyLock<DeTable<'static>> = LazyLock::new(DeTable::new);

/// Table of the file, of which the keys have been checked.
#[derive(Debug, Clone)]
pub(super) struct Section<'a> {
    /// Range of the header, or of an inline table.
    pub(super) span: Range<usize>,
    /// Title in messages: `[edge]`, `` `auth` ``.
    title: String,
    table: &'a DeTable<'a>,
    scope: ReadScope<'a>,
}

/// Positions of the values of a table, kept for the checks across tables.
#[derive(Debug, Clone, Default)]
pub(super) struct KeySpans(Vec<(String, Range<usize>)>);

impl KeySpans {
    fn of_table(table: &DeTable<'_>) -> KeySpans {
        KeySpans(table.iter().map(|(name, value)| (name.get_ref().to_string(), value.span())).collect())
    }

    /// Returns the position of the value of a key, usable or not; `None` if the key is not set.
    pub(super) fn of(&self, key: &str) -> Option<&Range<usize>> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, span)| span)
    }
}

/// Positions of the tables that occur once, such as `[edge]`, and of their keys.
#[derive(Debug)]
pub(super) struct TableSpans(Vec<(String, Range<usize>, KeySpans)>);

impl TableSpans {
    /// Returns the positions in a whole file.
    pub(super) fn of_root(root: &Section<'_>) -> TableSpans {
        let keys = |value: &SpannedValue<'_>| value.get_ref().as_table().map(KeySpans::of_table).unwrap_or_default();
        let tables = root.table.iter();
        TableSpans(tables.map(|(name, value)| (name.get_ref().to_string(), value.span(), keys(value))).collect())
    }

    /// Returns the position of a table, usable or not; `None` if the file has none of this name.
    pub(super) fn table(&self, table: &str) -> Option<&Range<usize>> {
        self.0.iter().find(|(name, ..)| name == table).map(|(_, span, _)| span)
    }

    /// Returns the position of a value, usable or not; `None` if the key is not set.
    pub(super) fn key(&self, table: &str, key: &str) -> Option<&Range<usize>> {
        self.0.iter().find(|(name, ..)| name == table).and_then(|(_, _, keys)| keys.of(key))
    }
}

/// Table with a name of its own, such as `[trunk.NAME]`.
#[derive(Debug)]
pub(super) struct NamedSection<'a> {
    pub(super) name: &'a str,
    /// Position of the name in the file.
    pub(super) span: Range<usize>,
    pub(super) section: Section<'a>,
}

impl<'a> Section<'a> {
    /// Checks the keys of `value`; reports a value that is not a table and returns `None`.
    pub(super) fn open(
        title: &str,
        value: &'a SpannedValue<'a>,
        keys: &'static [ConfigKey],
        scope: ReadScope<'a>,
        findings: &mut Findings,
    ) -> Option<Section<'a>> {
        let Some(table) = value.get_ref().as_table() else {
            wrong_type(title, value, "a table", findings);
            return None;
        };
        let section = Section { span: value.span(), title: title.to_owned(), table, scope };
        section.judge_keys(keys, findings);
        Some(section)
    }

    /// Wraps a table of which the keys are checked elsewhere.
    pub(super) fn of_judged(
        title: &str,
        table: &'a DeTable<'a>,
        span: Range<usize>,
        scope: ReadScope<'a>,
    ) -> Section<'a> {
        Section { span, title: title.to_owned(), table, scope }
    }

    /// Reports each key of the table that is not in `keys`.
    pub(super) fn judge_keys(&self, keys: &'static [ConfigKey], findings: &mut Findings) {
        for name in self.table.keys() {
            judge(&self.title, (name.get_ref(), name.span()), keys, findings);
        }
    }

    /// Returns the same table in another scope.
    pub(super) fn within<'b>(&self, scope: ReadScope<'b>) -> Section<'b>
    where
        'a: 'b,
    {
        Section { span: self.span.clone(), title: self.title.clone(), table: self.table, scope }
    }

    /// Opens the table of a key of the root: `[edge]`.
    pub(super) fn open_table(
        &self,
        key: &str,
        keys: &'static [ConfigKey],
        findings: &mut Findings,
    ) -> Option<Section<'a>> {
        Section::open(&format!("[{key}]"), self.get(key)?, keys, self.scope, findings)
    }

    /// Opens the table of a key of the root, or an empty one, so that all keys have their defaults.
    pub(super) fn table_or_empty(&self, key: &str, keys: &'static [ConfigKey], findings: &mut Findings) -> Section<'a> {
        let empty = || Section::of_judged("", &EMPTY, 0..0, self.scope);
        self.open_table(key, keys, findings).unwrap_or_else(empty)
    }

    /// Opens the table of a key of the root and reads it.
    pub(super) fn read_table<T>(
        &self,
        key: &str,
        keys: &'static [ConfigKey],
        findings: &mut Findings,
        read: impl FnOnce(&Section<'_>, &mut Findings) -> Option<T>,
    ) -> Option<T> {
        read(&self.open_table(key, keys, findings)?, findings)
    }

    /// Opens the tables of a kind, `[KIND.NAME]`, in file order.
    pub(super) fn named_tables(
        &self,
        kind: &str,
        keys: &'static [ConfigKey],
        findings: &mut Findings,
    ) -> Vec<NamedSection<'a>> {
        let Some(value) = self.get(kind) else { return Vec::new() };
        let Some(table) = value.get_ref().as_table() else {
            wrong_type(kind, value, &format!("tables with names: [{kind}.NAME]"), findings);
            return Vec::new();
        };
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        let open = |(name, value): (&'a Spanned<Cow<'a, str>>, &'a SpannedValue<'a>)| {
            let (name, span) = (name.get_ref().as_ref(), name.span());
            let section = Section::open(&format!("[{kind}.{name}]"), value, keys, self.scope, findings)?;
            name_text(kind, name, span.clone(), findings);
            Some(NamedSection { name, span, section })
        };
        entries.into_iter().filter_map(open).collect()
    }

    /// Opens the tables of an array, `[[KIND]]`, in file order.
    pub(super) fn rows(&self, kind: &str, keys: &'static [ConfigKey], findings: &mut Findings) -> Vec<Section<'a>> {
        let Some(value) = self.get(kind) else { return Vec::new() };
        let Some(rows) = value.get_ref().as_array() else {
            wrong_type(kind, value, &format!("tables with double brackets: [[{kind}]]"), findings);
            return Vec::new();
        };
        let title = format!("[[{kind}]]");
        rows.iter().filter_map(|row| Section::open(&title, row, keys, self.scope, findings)).collect()
    }

    /// Returns all keys of the table with their values.
    pub(super) fn table(&self) -> &'a DeTable<'a> {
        self.table
    }

    /// Returns the configuration around the table.
    pub(super) fn scope(&self) -> ReadScope<'a> {
        self.scope
    }

    /// Returns the title of the table, as used in messages.
    pub(super) fn title(&self) -> &str {
        &self.title
    }

    /// Returns whether an unknown key is a misspelling of one of `meant`; its diagnostic contains the suggestion.
    pub(super) fn misspells(&self, meant: &[&str], keys: &[ConfigKey]) -> bool {
        let names = self.table.iter().map(|(name, _)| name.get_ref().as_ref());
        let mut unknown = names.filter(|name| !keys.iter().any(|key| key.name == *name));
        unknown.any(|name| {
            let help = suggestion(name, keys);
            meant.iter().any(|key| help.contains(&format!("`{key}`")))
        })
    }

    /// Returns the value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&'a SpannedValue<'a>> {
        self.table.iter().find(|(name, _)| name.get_ref().as_ref() == key).map(|(_, value)| value)
    }

    /// Returns the position of the value of a key.
    pub(super) fn span_of(&self, key: &str) -> Option<Range<usize>> {
        self.get(key).map(Spanned::span)
    }

    /// Returns the positions of all values.
    pub(super) fn spans(&self) -> KeySpans {
        KeySpans::of_table(self.table)
    }

    /// Reads an optional key; `read` reports an invalid value.
    pub(super) fn read<T>(
        &self,
        key: &str,
        findings: &mut Findings,
        read: impl FnOnce(&mut KeyReader<'_>) -> Option<T>,
    ) -> Option<T> {
        read(&mut KeyReader { key, value: self.get(key)?, scope: self.scope, findings })
    }

    /// Stores the values of these keys in `to`, and the default of each that is not set. Reports required keys that are
    /// missing, and keys without effect because the key beside them is missing.
    pub(super) fn fill<T>(
        &self,
        table: (&[ConfigKey], &[(&str, FieldSetter<T>)]),
        to: &mut T,
        findings: &mut Findings,
    ) {
        keys::fill(table, self, to, findings);
        for key in table.0 {
            if let AbsentMeaning::Required(help) = key.default.is
                && !help.is_empty()
            {
                self.require(key.name, help, findings);
            }
            if let (Some(span), Some(other)) = (self.span_of(key.name), key.default.beside)
                && self.get(other).is_none()
            {
                let message = format!("`{}` has no effect without `{other}`", key.name);
                findings.warning(code::BAD_VALUE, Some(span), message, format!("remove it, or add `{other}`"));
            }
        }
    }

    /// Reports a required key that is missing.
    pub(super) fn require(&self, key: &str, help: impl Into<String>, findings: &mut Findings) {
        if self.get(key).is_none() {
            findings.error(code::MISSING, self.span.clone(), format!("{} has no `{key}`", self.title), help);
        }
    }
}

/// Reports a key that is not one of `keys`, with a suggestion.
fn judge(title: &str, (name, span): (&str, Range<usize>), keys: &[ConfigKey], findings: &mut Findings) {
    let place = if title.is_empty() { String::new() } else { format!(" in {title}") };
    if !keys.iter().any(|key| key.name == name) {
        findings.error(code::UNKNOWN_KEY, span, format!("unknown key `{name}`{place}"), suggestion(name, keys));
    }
}

/// Suggests a known key for an unknown one.
fn suggestion(name: &str, keys: &[ConfigKey]) -> String {
    let holds = |keys: &[ConfigKey], name: &str| keys.iter().any(|key| key.name == name);
    if let Some((_, words)) = OF_TABLES.iter().find(|(table, _)| same(table, keys))
        && let Some((_, help)) = words.iter().find(|(theirs, _)| theirs.contains(&name))
    {
        return (*help).to_owned();
    }
    let is_part = !same(keys, ROOT) && !TABLES.iter().any(|(_, table)| same(table, keys));
    if !is_part && let Some(help) = elsewhere(name, keys) {
        return help;
    }
    let among = |is_like: &dyn Fn(&str) -> bool| {
        let like = keys.iter().filter(|key| is_like(key.name)).map(|key| format!("`{}`", key.name));
        let like: Vec<String> = like.collect();
        (!like.is_empty()).then(|| format!("did you mean {}?", like.join(" or ")))
    };
    // Prefer a key that ends in the name (`timeout`), then the only table that has the name, over similar spellings.
    if let Some(help) = among(&|known| known.strip_suffix(name).is_some_and(|rest| rest.ends_with('_'))) {
        return help;
    }
    let mut places = TABLES.iter().filter(|(_, keys)| holds(keys, name));
    if let (Some((table, _)), None) = (places.next(), places.next()) {
        return format!("`{name}` belongs in {table}");
    }
    if let Some(known) = nearest(name, keys.iter().map(|key| key.name)) {
        return format!("did you mean `{known}`?");
    }
    if let Some(help) = among(&|known| name.len() > 3 && known.contains(name)) {
        return help;
    }
    match TABLES.iter().find(|(_, keys)| holds(keys, name)) {
        Some((table, _)) => format!("`{name}` belongs in {table}"),
        None if is_part => {
            let all: Vec<String> = keys.iter().map(|key| format!("`{}`", key.name)).collect();
            format!("the keys here are {}", all.join(", "))
        }
        None => "there is no key of this name here".to_owned(),
    }
}

/// Returns our name for a key of another product, or its table.
fn elsewhere(name: &str, keys: &[ConfigKey]) -> Option<String> {
    let holds = |keys: &[ConfigKey], name: &str| keys.iter().any(|key| key.name == name);
    if same(keys, TRUNK)
        && let Some((part, _)) = TRUNK_PARTS.iter().find(|(_, keys)| holds(keys, name))
    {
        return Some(format!("`{name}` belongs in {part}"));
    }
    let all = || ELSEWHERE.iter().filter(|(theirs, _)| theirs.contains(&name)).map(|(_, ours)| *ours);
    let ours = all().find(|ours| holds(keys, ours)).or_else(|| all().next())?;
    Some(match TABLES.iter().find(|(_, keys)| holds(keys, ours)) {
        Some((table, _)) if !holds(keys, ours) => format!("here it is `{ours}` of {table}"),
        Some(_) | None => format!("did you mean `{ours}`?"),
    })
}
