//! Table of the file: its keys are checked against the known ones, then read one by one.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::code;
use super::diagnostic::Findings;
use super::elsewhere::{ELSEWHERE, OF_TABLES};
use super::keys::{ConfigKey, ROOT, TABLES, TRUNK, TRUNK_PARTS, ValueKind, same};
use super::nearest;
use super::values::wrong_type;

/// Value with its position.
pub(super) type SpannedValue<'a> = Spanned<DeValue<'a>>;

/// Table with checked keys.
#[derive(Debug, Clone)]
pub(super) struct Section<'a> {
    /// Range of the header, or of an inline table.
    pub(super) span: Range<usize>,
    table: &'a DeTable<'a>,
}

impl<'a> Section<'a> {
    /// Checks the keys of `value`; reports a value that is not a table and returns `None`.
    pub(super) fn open(
        title: &str,
        value: &'a SpannedValue<'a>,
        keys: &[ConfigKey],
        findings: &mut Findings,
    ) -> Option<Section<'a>> {
        let Some(table) = value.get_ref().as_table() else {
            wrong_type(title, value, "a table", findings);
            return None;
        };
        Some(Section::of_table(title, table, value.span(), keys, findings))
    }

    /// Checks the keys of a table.
    pub(super) fn of_table(
        title: &str,
        table: &'a DeTable<'a>,
        span: Range<usize>,
        keys: &[ConfigKey],
        findings: &mut Findings,
    ) -> Section<'a> {
        for (name, value) in table {
            judge(title, name.get_ref(), name.span(), value, keys, findings);
        }
        Section { span, table }
    }

    /// Wraps a table with keys that were checked before.
    pub(super) fn of_judged(table: &'a DeTable<'a>, span: Range<usize>) -> Section<'a> {
        Section { span, table }
    }

    /// Returns the keys and values.
    pub(super) fn table(&self) -> &'a DeTable<'a> {
        self.table
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

    /// Reads an optional key; `read` reports an invalid value.
    pub(super) fn read<T>(
        &self,
        key: &str,
        findings: &mut Findings,
        read: impl FnOnce(&str, &'a SpannedValue<'a>, &mut Findings) -> Option<T>,
    ) -> Option<T> {
        read(key, self.get(key)?, findings)
    }
}

/// Reports a key that is unknown or not implemented.
fn judge(
    title: &str,
    name: &str,
    span: Range<usize>,
    value: &SpannedValue<'_>,
    keys: &[ConfigKey],
    findings: &mut Findings,
) {
    let place = if title.is_empty() { String::new() } else { format!(" in {title}") };
    let Some(key) = keys.iter().find(|key| key.name == name) else {
        findings.error(code::UNKNOWN_KEY, span, format!("unknown key `{name}`{place}"), suggestion(name, keys));
        return;
    };
    let written = value.get_ref();
    let ValueKind::OnlyText(text) = key.kind else { return };
    if written.as_str() == Some(text) {
        return;
    }
    let only = format!("\"{text}\"");
    let message = format!("not in this version: this value of `{name}`{place}");
    findings.error(
        code::NOT_IN_THIS_VERSION,
        value.span(),
        message,
        format!("this version supports only {name} = {only}"),
    );
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
    let all = || ELSEWHERE.iter().filter(|(theirs, _)| *theirs == name).map(|(_, ours)| *ours);
    let ours = all().find(|ours| holds(keys, ours)).or_else(|| all().next())?;
    Some(match TABLES.iter().find(|(_, keys)| holds(keys, ours)) {
        Some((table, _)) if !holds(keys, ours) => format!("here it is `{ours}` of {table}"),
        Some(_) | None => format!("did you mean `{ours}`?"),
    })
}
