//! Masking of secrets in a configuration. The declaration of a key decides whether its value is a secret; in addresses,
//! the password and the query are.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::keys::{ConfigKey, HEADER_VALUE, ROOT, TABLES, ValueKind};
use super::nearest;
use super::section::SpannedValue;
use super::syntax::outside_comments;

/// Parts of key names that indicate a secret.
const TELLING: [&str; 11] =
    ["auth", "bearer", "cookie", "credential", "jwt", "key", "pass", "pasw", "pwd", "secret", "tok"];
/// Names of secret keys; a key with a similar name is treated as a misspelling of one.
const NAMES: [&str; 4] = ["password", "secret", "token", "auth_token"];
/// Words that indicate a secret in a line of another file, such as a TwiML document.
const FOREIGN: [&str; 4] = ["tok", "pass", "secret", "auth"];
/// Prefixes of a URI in a target.
const TARGETS: [&str; 5] = ["trunk:", "agent:", "group:", "reject:", "tel:"];
/// Quotation marks of TOML strings, longest first.
const QUOTES: [&str; 4] = ["\"\"\"", "'''", "\"", "'"];

/// Returns whether a key name, or the beginning of a line, indicates a secret.
pub(super) fn is_telling(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    TELLING.iter().any(|part| name.contains(part)) || name.ends_with("pin")
}

/// Returns whether a word of a command is a placeholder (`{text}`, `{voice}`), which is never a secret; other arguments
/// may be.
pub(super) fn is_piece(word: &str) -> bool {
    word.strip_prefix('{').and_then(|word| word.strip_suffix('}')).is_some_and(|word| !word.contains(['{', '}']))
}

/// Returns the item kind of a list, and the table of a choice of kinds.
fn inner(kind: ValueKind) -> ValueKind {
    if let ValueKind::List(one) | ValueKind::Many(one) = kind {
        return inner(*one);
    }
    let ValueKind::Either(kinds) = kind else { return kind };
    let table = kinds.iter().map(|kind| inner(*kind)).find(|kind| matches!(kind, ValueKind::Table(_)));
    table.unwrap_or(ValueKind::Boolean)
}

/// Returns whether a name that is unknown in its table may be meant as a secret. Names of non-secret keys of other
/// tables are excluded.
fn may_be_secret(name: &str) -> bool {
    let is_plain =
        |key: &ConfigKey| key.name == name && !matches!(inner(key.kind), ValueKind::Secret | ValueKind::Table(_));
    let is_known = TABLES.iter().flat_map(|(_, keys)| keys.iter()).any(is_plain);
    !is_known && (is_telling(name) || nearest(name, NAMES.into_iter()).is_some())
}

/// Returns the secret parts of an address: the password, the user part of a web address, and the query.
fn parts(text: &str) -> Vec<Range<usize>> {
    let lower = text.to_ascii_lowercase();
    let web = lower.find("://").map(|at| at + 3);
    let sip = ["sip:", "sips:"].iter().filter_map(|scheme| Some(lower.find(scheme)? + scheme.len())).min();
    let other = || TARGETS.iter().find(|scheme| lower.starts_with(**scheme)).map(|scheme| scheme.len());
    let start = web.or(sip).or_else(other).unwrap_or(0);
    let rest = text.get(start..).unwrap_or_default();
    let query = rest.find(|c| c == '?' || c == '#' && web.is_some()).filter(|_| web.or(sip).is_some());
    let mut all = Vec::new();
    if let Some(at) = rest.rfind('@') {
        let info = rest.get(..at).unwrap_or_default();
        let is_authority = web.is_some() && !info.contains(['/', '?', '#']);
        let from = if is_authority { Some(0) } else { info.find(':').map(|colon| colon + 1) };
        all.extend(from.map(|from| start + from..start + at));
    }
    all.extend(query.map(|at| start + at + 1..text.len()));
    all
}

/// Returns whether a byte offset is in one of the secret parts.
fn is_within(parts: &[Range<usize>], at: usize) -> bool {
    parts.iter().any(|part| part.contains(&at))
}

/// Returns an address with its secrets masked, for messages.
pub(super) fn told(text: &str) -> String {
    let parts = parts(text);
    let mut out = String::new();
    for (at, c) in text.char_indices() {
        if !is_within(&parts, at) {
            out.push(c);
        } else if !out.ends_with('…') {
            out.push('…');
        }
    }
    out
}

/// Masks the secrets of an address character by character.
fn starred(text: &str) -> String {
    let parts = parts(text);
    let is_hidden = |at: usize, c: char| is_within(&parts, at) && !matches!(c, '\r' | '\n');
    text.char_indices().map(|(at, c)| if is_hidden(at, c) { '*' } else { c }).collect()
}

/// Masks the secrets in a sentence; each word may be an address.
pub(super) fn told_words(text: &str) -> String {
    words(text, told)
}

/// Masks the secrets in a line character by character.
pub(super) fn starred_words(text: &str) -> String {
    words(text, starred)
}

fn words(text: &str, shown: impl Fn(&str) -> String) -> String {
    let ends = |c: char| c.is_whitespace() || "\"'`,".contains(c);
    text.split_inclusive(ends)
        .map(|word| match word.char_indices().next_back().filter(|(_, last)| ends(*last)) {
            Some((at, end)) => format!("{}{end}", shown(word.get(..at).unwrap_or_default())),
            None => shown(word),
        })
        .collect()
}

/// Masks a line of another file: addresses, and everything after the first `=` if the line mentions a secret.
pub(super) fn foreign_line(line: &str) -> String {
    let lower = line.to_ascii_lowercase();
    let at = line.find('=').filter(|_| FOREIGN.iter().any(|word| lower.contains(word)));
    let (plain, hidden) = line.split_at(at.unwrap_or(line.len()));
    format!("{}{}", starred_words(plain), starred_values(hidden))
}

/// Masks the secrets in the text of a file, character by character.
pub(super) fn covered(source: &str) -> String {
    let (document, errors) = DeTable::parse_recoverable(source);
    if !errors.is_empty() {
        // The tree lacks the values that could not be parsed.
        return broken_lines(source);
    }
    let mut mask = SecretMask { source, hidden: Vec::new() };
    mask.table(ROOT, document.get_ref(), false);
    mask.apply()
}

/// Returns a line of [`covered`] text for display. A comment beside a secret may have another one.
pub(super) fn shown_line(written: &str, covered: &str) -> String {
    let (value, comment) = covered.split_at(outside_comments(covered).len());
    if written == covered { covered.to_owned() } else { format!("{value}{}", starred_values(comment)) }
}

/// Secrets in a configuration file that are masked for display.
struct SecretMask<'a> {
    source: &'a str,
    /// Byte ranges of the secrets.
    hidden: Vec<Range<usize>>,
}

impl SecretMask<'_> {
    /// Returns the text with the secrets replaced by `*`; line ends stay.
    fn apply(mut self) -> String {
        self.hidden.sort_by_key(|range| range.start);
        let mut ranges = self.hidden.into_iter().peekable();
        let shown = |(at, c): (usize, char)| {
            while ranges.next_if(|range| range.end <= at).is_some() {}
            let is_hidden = ranges.peek().is_some_and(|range| range.start <= at) && !matches!(c, '\r' | '\n');
            if is_hidden { '*' } else { c }
        };
        self.source.char_indices().map(shown).collect()
    }

    /// Collects the secrets of a table with these keys. Unknown keys are secrets if a table around them has a telling
    /// name.
    fn table(&mut self, keys: &[ConfigKey], table: &DeTable<'_>, is_in_telling: bool) {
        for (name, value) in table {
            match keys.iter().find(|key| key.name == name.get_ref().as_ref()) {
                Some(key) => self.value(key.name, key.kind, value, is_in_telling),
                None => self.undeclared(value, is_in_telling || may_be_secret(name.get_ref())),
            }
        }
    }

    /// Collects the secrets in the value of a declared key.
    fn value(&mut self, name: &str, kind: ValueKind, value: &SpannedValue<'_>, is_in_telling: bool) {
        let is_in_telling = is_in_telling || is_telling(name);
        match (inner(kind), value.get_ref()) {
            (ValueKind::Secret, _) => self.secret(value),
            (ValueKind::Map(ValueKind::Secret), DeValue::Table(table)) => {
                table.iter().for_each(|(_, one)| self.secret(one));
            }
            (ValueKind::Map(item), DeValue::Table(table)) => {
                for (name, one) in table {
                    // Added headers may be credentials, regardless of their names.
                    let is_hidden = *item == HEADER_VALUE || is_telling(name.get_ref());
                    if is_hidden { self.everything(one) } else { self.undeclared(one, false) }
                }
            }
            (ValueKind::Command, DeValue::Array(words)) => {
                for (at, word) in words.iter().enumerate() {
                    let is_open = at == 0 || word.get_ref().as_str().is_some_and(is_piece);
                    if is_open { self.undeclared(word, false) } else { self.everything(word) }
                }
            }
            (ValueKind::Map(_) | ValueKind::Command, _) => self.everything(value),
            (ValueKind::Table(keys) | ValueKind::Rows(keys), DeValue::Table(table)) => {
                self.table(keys, table, is_in_telling);
            }
            (ValueKind::Table(_) | ValueKind::Rows(_), DeValue::Array(list)) => {
                list.iter().for_each(|one| self.value(name, kind, one, is_in_telling));
            }
            (ValueKind::Named(keys), DeValue::Table(table)) => {
                table.iter().for_each(|(_, one)| self.value(name, ValueKind::Table(keys), one, is_in_telling));
            }
            (ValueKind::Table(_), _) if is_telling(name) => self.everything(value),
            _ => self.undeclared(value, false),
        }
    }

    /// Collects the secrets in a value without declaration: addresses in it, and keys with the name of a secret.
    fn undeclared(&mut self, value: &SpannedValue<'_>, is_hidden: bool) {
        let written = value.get_ref();
        if is_hidden {
            self.secret(value);
        } else if let DeValue::Array(list) = written {
            list.iter().for_each(|one| self.undeclared(one, false));
        } else if let DeValue::Table(table) = written {
            table.iter().for_each(|(name, one)| self.undeclared(one, may_be_secret(name.get_ref())));
        } else {
            self.address(value.span());
        }
    }

    /// Hides a secret; `{ env = "NAME" }` and `{ file = "PATH" }` only name its place.
    fn secret(&mut self, value: &SpannedValue<'_>) {
        if let DeValue::Array(list) = value.get_ref() {
            list.iter().for_each(|one| self.secret(one));
        } else if let DeValue::Table(table) = value.get_ref() {
            for (name, one) in table {
                let is_place = matches!(name.get_ref().as_ref(), "env" | "file");
                if is_place { self.undeclared(one, false) } else { self.everything(one) }
            }
        } else {
            self.everything(value);
        }
    }

    /// Masks a value; in a list or table, each value in it.
    fn everything(&mut self, value: &SpannedValue<'_>) {
        if let DeValue::Array(list) = value.get_ref() {
            list.iter().for_each(|one| self.everything(one));
        } else if let DeValue::Table(table) = value.get_ref() {
            table.iter().for_each(|(_, one)| self.everything(one));
        } else {
            self.hidden.push(self.contents(value.span()));
        }
    }

    /// Returns the range of a value without its quotation marks.
    fn contents(&self, span: Range<usize>) -> Range<usize> {
        let written = self.source.get(span.clone()).unwrap_or_default();
        let is_quoted = |quote: &&str| written.starts_with(*quote) && written.len() >= 2 * quote.len();
        let width = QUOTES.into_iter().find(|quote| is_quoted(quote)).map_or(0, str::len);
        span.start + width..span.end - width
    }

    /// Hides the secret parts of an address.
    fn address(&mut self, span: Range<usize>) {
        let place = self.contents(span.clone());
        let text = self.source.get(place.clone()).unwrap_or_default();
        let has_escapes = text.contains('\\') && self.source.get(span).is_some_and(|written| written.starts_with('"'));
        if has_escapes && text.contains(['@', '?', ':']) {
            // An escape sequence may encode the separator itself.
            self.hidden.push(place);
        } else {
            self.hidden.extend(parts(text).into_iter().map(|part| place.start + part.start..place.start + part.end));
        }
    }
}

/// Masks a file that is not valid TOML, line by line: all values of a key that may be secret, and addresses. A line
/// without a key continues the value above it.
fn broken_lines(source: &str) -> String {
    let (mut header, mut is_secret, mut is_in_text, mut out) = (Vec::new(), false, false, String::new());
    for line in source.split_inclusive('\n') {
        let mut value = line;
        if is_in_text {
            // A string over several lines has no keys.
        } else if let Some(names) = header_names(line) {
            (header, is_secret) = (names, false);
        } else if let Some((names, written)) = key_names(line) {
            let path: Vec<&str> = header.iter().copied().chain(names).collect();
            (is_secret, value) = (may_lead_to_secret(&path), written);
        }
        is_in_text ^= QUOTES.iter().take(2).map(|quote| value.matches(quote).count()).sum::<usize>() % 2 == 1;
        let (value, comment) = value.split_at(outside_comments(value).len());
        out.push_str(line.get(..line.len() - value.len() - comment.len()).unwrap_or_default());
        let is_comment = value.is_empty() || value.ends_with(char::is_whitespace);
        let mut inline = value.rsplit('=').skip(1).map(|text| text.trim_end().rsplit([' ', '{', ',', '.']).next());
        let has_escapes = value.contains('"') && value.contains('\\') && value.contains(['@', '?', ':']);
        let is_hidden = is_secret || has_escapes || inline.any(|name| name.is_some_and(may_be_secret));
        out.push_str(&if is_hidden { starred_values(value) } else { starred_strings(value) });
        out.push_str(&if is_hidden && !is_comment { starred_values(comment) } else { comment.to_owned() });
    }
    out
}

/// Returns whether the value at a byte offset of a file that is not valid TOML may be, or contain, a secret.
pub(super) fn may_be_secret_at(source: &str, offset: usize) -> bool {
    let before = format!("{}?", source.get(..offset).unwrap_or(source));
    // The key of the line, or of the value that goes on in it, and the header above.
    let (mut key, mut header) = (None, Vec::new());
    for line in before.lines().rev() {
        if let Some(names) = header_names(line) {
            header = names;
            break;
        }
        key = key.or_else(|| Some(key_names(line)?.0.collect::<Vec<_>>()));
    }
    let path: Vec<&str> = header.into_iter().chain(key.iter().flatten().copied()).collect();
    before.lines().next_back().is_some_and(is_telling) || key.is_some() && may_lead_to_secret(&path)
}

/// Masks everything but the signs between values, and the names of keys in an inline table.
fn starred_values(text: &str) -> String {
    let is_table = text.trim_start().starts_with('{');
    let name = |(at, _): (usize, &str)| {
        let (before, behind) = (text.get(..at)?.trim_end(), text.get(at + 1..)?.trim_start());
        let start = before.trim_end_matches(|c: char| c.is_ascii_lowercase() || c == '_').len();
        behind.starts_with(['"', '\'', '{', '[']).then_some(start..before.len())
    };
    let names: Vec<Range<usize>> = text.match_indices('=').filter(|_| is_table).filter_map(name).collect();
    let is_open = |at: usize, c: char| c.is_whitespace() || "=[]{},\"'".contains(c) || is_within(&names, at);
    text.char_indices().map(|(at, c)| if is_open(at, c) { c } else { '*' }).collect()
}

/// Masks the secret parts of addresses in strings, and of those without quotation marks.
fn starred_strings(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(['"', '\'']) {
        let (before, string) = rest.split_at(at);
        let (quote, string) = string.split_at(1);
        let (string, behind) = string.split_at(string.find(quote).unwrap_or(string.len()));
        let (end, behind) = behind.split_at(quote.len().min(behind.len()));
        out.push_str(&format!("{}{quote}{}{end}", starred_words(before), starred(string)));
        rest = behind;
    }
    out + &starred_words(rest)
}

/// Returns the names in a table header; `None` for other lines, also for an item of a list that looks like a header.
fn header_names(line: &str) -> Option<Vec<&str>> {
    let line = line.trim();
    let names = line.strip_prefix('[')?.trim_start_matches('[');
    let is_header = names.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && !line.ends_with(',');
    let (names, _) = names.split_once(']').filter(|_| is_header)?;
    Some(names.split('.').map(|name| name.trim().trim_matches(['"', '\''])).collect())
}

/// Returns the dotted names of a key, and its value with all that follows; `None` if the line has no key. The padding
/// of base64 is not a value.
fn key_names(line: &str) -> Option<(impl Iterator<Item = &str>, &str)> {
    let (key, value) = line.split_once('=')?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_. ".contains(c);
    let is_key = key.trim().trim_matches(['"', '\'']).chars().all(is_name) && !key.trim().is_empty();
    let is_padding = value.trim_matches(['=', ',', '"', '\'']).trim().is_empty();
    (is_key && !is_padding).then(|| (key.split('.').map(|name| name.trim().trim_matches(['"', '\''])), value))
}

/// Returns whether the value at a path may be, or contain, a secret.
fn may_lead_to_secret(path: &[&str]) -> bool {
    let (mut keys, mut path, mut is_in_telling) = (ROOT, path.iter().copied(), false);
    while let Some(name) = path.next() {
        let Some(key) = keys.iter().find(|key| key.name == name) else {
            return is_in_telling || may_be_secret(name) || path.any(may_be_secret);
        };
        is_in_telling |= is_telling(name);
        let kind = inner(key.kind);
        let Some(inside) = kind.keys() else { return holds_secret(kind) || path.any(may_be_secret) };
        if matches!(kind, ValueKind::Named(_)) {
            path.next();
        }
        keys = inside;
    }
    keys.iter().any(|key| holds_secret(key.kind))
}

/// Returns whether a value of this kind may be, or contain, a secret.
fn holds_secret(kind: ValueKind) -> bool {
    let kind = inner(kind);
    matches!(kind, ValueKind::Secret | ValueKind::Map(_) | ValueKind::Command)
        || kind.keys().is_some_and(|keys| keys.iter().any(|key| holds_secret(key.kind)))
}

#[cfg(test)]
mod tests;
