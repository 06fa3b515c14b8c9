//! Detection and masking of secrets in a configuration: by key, or as part of an address.

use std::ops::Range;

use super::keys::{ConfigKey, ROOT, TABLES, ValueKind};
use super::nearest;

/// Parts of key names that indicate a secret.
const TELLING: [&str; 11] =
    ["auth", "bearer", "cookie", "credential", "jwt", "key", "pass", "pasw", "pwd", "secret", "tok"];
/// Names of secret keys; a key with a similar name is treated as a misspelling of one.
const NAMES: [&str; 4] = ["password", "secret", "token", "auth_token"];
/// Prefixes of a URI in a target.
const TARGETS: [&str; 5] = ["trunk:", "agent:", "group:", "reject:", "tel:"];

/// Returns whether a key name indicates a secret.
pub(super) fn is_telling(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    TELLING.iter().any(|part| name.contains(part)) || name.ends_with("pin")
}

/// Returns whether a word of `command` is a placeholder (`{text}`, `{voice}`), which is never a secret; other arguments
/// may be.
pub(super) fn is_piece(word: &str) -> bool {
    word.strip_prefix('{').and_then(|word| word.strip_suffix('}')).is_some_and(|word| !word.contains(['{', '}']))
}

/// Returns whether the value at this path is a secret.
fn is_secret(path: &[String]) -> bool {
    let (mut keys, mut telling, mut at) = (Some(ROOT), false, 0);
    while let Some(name) = path.get(at) {
        let rest = path.get(at + 1..).unwrap_or_default();
        let is_named = matches!(rest, [one] if one == "env" || one == "file");
        let known = keys.and_then(|keys| keys.iter().find(|key| key.name == name));
        let Some(known) = known else {
            let own = path.get(at..).unwrap_or_default();
            return !is_named && (telling || own.iter().any(|name| may_be_secret(name)));
        };
        let kind = inner(known.kind);
        if matches!(kind, ValueKind::Secret) {
            return !is_named;
        }
        if matches!(kind, ValueKind::Map(ValueKind::Secret)) {
            return !matches!(rest, [_, one] if one == "env" || one == "file");
        }
        if matches!(kind, ValueKind::Map(_)) {
            // Values of added headers may be credentials, regardless of the header's name.
            return name == "add" || rest.is_empty() || rest.iter().any(|name| is_telling(name));
        }
        let (ValueKind::Table(inside) | ValueKind::Rows(inside) | ValueKind::Named(inside)) = kind else {
            return rest.iter().any(|name| may_be_secret(name));
        };
        keys = Some(inside);
        at += usize::from(matches!(kind, ValueKind::Named(_)));
        telling |= is_telling(name);
        at += 1;
    }
    telling
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
    text.char_indices().map(|(at, c)| if is_within(&parts, at) { '*' } else { c }).collect()
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

/// Replaces a name with escape sequences by one that is treated as secret.
fn unescaped(name: String) -> String {
    if name.contains('\\') { "secret".to_owned() } else { name }
}

/// Masks the secrets in the text of a file, character by character. The text may be invalid TOML, since syntax errors
/// are displayed too.
pub(super) fn covered(source: &str) -> String {
    let mut reader = SecretMasker { chars: source.chars().collect(), ..SecretMasker::default() };
    while reader.at < reader.chars.len() {
        reader.step();
    }
    reader.chars.into_iter().collect()
}

/// Inline list or table that is still open.
#[derive(Debug)]
struct InlineFrame {
    is_table: bool,
    /// Number of path names that belong to the enclosing level.
    base: usize,
    /// True if a key name is expected next.
    is_name: bool,
    /// Number of preceding values.
    before: usize,
}

#[derive(Debug, Default)]
struct SecretMasker {
    chars: Vec<char>,
    at: usize,
    /// Path of the current table.
    header: Vec<String>,
    /// Path of the current value.
    path: Vec<String>,
    /// Key names before a `=`.
    names: Vec<String>,
    is_value: bool,
    frames: Vec<InlineFrame>,
}

impl SecretMasker {
    fn step(&mut self) {
        let Some(c) = self.chars.get(self.at).copied() else { return };
        let is_name = self.frames.last().map_or(!self.is_value, |frame| frame.is_name);
        match c {
            '#' => self.at = self.end_of_line(),
            '\n' => self.line(),
            '"' | '\'' => {
                let content = self.string(c);
                self.word(is_name, content, c == '"');
            }
            '=' if is_name => self.begin_value(),
            '[' if is_name && self.frames.is_empty() && self.names.is_empty() => self.table(),
            '[' | '{' if !is_name => {
                let is_table = c == '{';
                self.frames.push(InlineFrame { is_table, base: self.path.len(), is_name: is_table, before: 0 });
                self.names.clear();
                self.at += 1;
            }
            ']' | '}' => {
                if let Some(frame) = self.frames.pop() {
                    self.path.truncate(frame.base);
                }
                self.at += 1;
            }
            ',' => self.next_item(),
            c if c.is_whitespace() || c == '.' && is_name => self.at += 1,
            _ => {
                let start = self.at;
                let ends = |c: char| c.is_whitespace() || "=,[]{}#\"'".contains(c) || is_name && c == '.';
                self.at += 1;
                while self.chars.get(self.at).is_some_and(|c| !ends(*c)) {
                    self.at += 1;
                }
                self.word(is_name, start..self.at, false);
            }
        }
    }

    fn end_of_line(&self) -> usize {
        let rest = self.chars.get(self.at..).unwrap_or_default();
        rest.iter().position(|c| *c == '\n').map_or(self.chars.len(), |at| self.at + at)
    }

    /// Handles the end of a line, which ends a value outside brackets. Unclosed brackets end at the next table or, in a
    /// list, at the next key.
    fn line(&mut self) {
        self.at += 1;
        let next: String = self.chars.get(self.at..self.end_of_line()).unwrap_or_default().iter().collect();
        let next = next.trim();
        let name = |text: &str| text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let is_table = name(next.trim_start_matches('[')) && next.starts_with('[') && next.contains(']');
        let is_key = name(next) && next.split_once('=').is_some_and(|(key, _)| !key.contains(['"', '\'', '{', ',']));
        let is_list = self.frames.last().is_some_and(|frame| !frame.is_table);
        if is_table && !next.ends_with(',') || is_key && is_list {
            self.frames.clear();
        }
        if self.frames.is_empty() {
            self.is_value = false;
            self.names.clear();
        }
    }

    /// Handles a table header: `[a.b]`, `[[a]]`.
    fn table(&mut self) {
        let end = self.end_of_line();
        let mut names = Vec::new();
        while self.at < end && self.chars.get(self.at).is_some_and(|c| *c != ']' && *c != '#') {
            match self.chars.get(self.at).copied().unwrap_or_default() {
                quote @ ('"' | '\'') => {
                    let content = self.string(quote);
                    names.push(unescaped(self.text(content)));
                }
                c if c.is_whitespace() || c == '.' || c == '[' => self.at += 1,
                _ => {
                    let start = self.at;
                    while self.at < end && self.chars.get(self.at).is_some_and(|c| !". ]\t#".contains(*c)) {
                        self.at += 1;
                    }
                    names.push(self.text(start..self.at));
                }
            }
        }
        self.header = names;
        self.at = end;
    }

    fn begin_value(&mut self) {
        let names = std::mem::take(&mut self.names);
        match self.frames.last_mut() {
            Some(frame) => {
                self.path.truncate(frame.base);
                frame.is_name = false;
            }
            None => {
                self.path.clone_from(&self.header);
                self.is_value = true;
            }
        }
        self.path.extend(names);
        self.at += 1;
    }

    fn next_item(&mut self) {
        if let Some(frame) = self.frames.last_mut() {
            self.path.truncate(frame.base);
            frame.is_name = frame.is_table;
            frame.before += 1;
            self.names.clear();
        }
        self.at += 1;
    }

    /// Skips a string, closed or not, and returns the range of its contents.
    fn string(&mut self, quote: char) -> Range<usize> {
        let is = |at: usize| self.chars.get(at) == Some(&quote);
        let width = if is(self.at + 1) && is(self.at + 2) { 3 } else { 1 };
        let start = self.at + width;
        let mut end = start;
        while let Some(c) = self.chars.get(end) {
            if *c == '\\' && quote == '"' {
                end += 2;
                continue;
            }
            if *c == '\n' && width == 1 || (end..end + width).all(is) {
                break;
            }
            end += 1;
        }
        let end = end.min(self.chars.len());
        self.at = if is(end) { end + width } else { end }.min(self.chars.len());
        start.min(end)..end
    }

    fn text(&self, range: Range<usize>) -> String {
        self.chars.get(range).unwrap_or_default().iter().collect()
    }

    /// Handles a key name, or a value of which the secret parts are masked.
    fn word(&mut self, is_name: bool, range: Range<usize>, has_escapes: bool) {
        let text = self.text(range.clone());
        if is_name {
            self.names.push(if has_escapes { unescaped(text) } else { text });
            return;
        }
        // An escape sequence may encode the separator itself.
        let is_hidden = has_escapes && text.contains('\\') && text.contains(['@', '?', ':']);
        let shown = if is_hidden || is_secret(&self.path) || self.is_argument(&text) {
            text.chars().map(|c| if matches!(c, '\r' | '\n') { c } else { '*' }).collect()
        } else {
            starred(&text)
        };
        for (place, c) in self.chars.iter_mut().skip(range.start).zip(shown.chars()) {
            *place = c;
        }
    }

    /// Returns whether the word is an argument in `[speech] command`; the program name and placeholders are not.
    fn is_argument(&self, word: &str) -> bool {
        let is_first = self.frames.last().is_some_and(|frame| !frame.is_table && frame.before == 0);
        matches!(self.path.as_slice(), [table, key] if table == "speech" && key == "command")
            && !is_first
            && !is_piece(word)
    }
}

#[cfg(test)]
mod tests;
