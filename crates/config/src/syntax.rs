//! Help texts for TOML syntax errors. The meaning of values is checked elsewhere.

use std::collections::BTreeSet;
use std::ops::Range;

use super::cover::may_be_secret_at;
use super::diagnostic::line_and_column;
use super::unquoted;

/// Typographic quotation marks inserted by word processors.
const TYPOGRAPHIC: [char; 10] = ['“', '”', '„', '‟', '«', '»', '‘', '’', '‚', '‛'];

/// Help text for keys written as in YAML or JSON.
const COLON: &str = "write `=` instead of `:` between key and value";

/// Position and help text of a syntax error.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SyntaxHelp {
    pub(super) span: Range<usize>,
    pub(super) help: String,
}

impl SyntaxHelp {
    /// Explains an error of the parser; `None` if the error follows from one in an earlier line. The lines with errors
    /// are collected in `damaged`.
    pub(super) fn of(
        source: &str,
        span: Range<usize>,
        message: &str,
        damaged: &mut BTreeSet<usize>,
    ) -> Option<SyntaxHelp> {
        let line = SourceLine::at(source, span.start);
        if let Some(open) = UnclosedBracket::before(source, line.start) {
            // After an error in a list, the parser takes everything that follows as part of the list.
            let own = line_and_column(source, span.start).0;
            if damaged.range(open.line..=own).next().is_some() {
                return None;
            }
            if line.is_entry(source, span.start) {
                return open.slip(source, line.start, damaged);
            }
        }
        let part = source.get(span.clone()).unwrap_or_default();
        if is_value(message) {
            // The parser reports the unreadable part of a value: show the whole value.
            let place = line.value_at(span.start).unwrap_or(span.clone());
            let help = unreadable(source, &line, span.start, source.get(place.clone()).unwrap_or_default().trim());
            return Some(SyntaxHelp { span: place, help });
        }
        Some(SyntaxHelp { help: help(source, &line, part, span.start, message), span })
    }
}

/// Line of the file.
struct SourceLine<'a> {
    start: usize,
    text: &'a str,
}

impl<'a> SourceLine<'a> {
    fn at(source: &'a str, offset: usize) -> SourceLine<'a> {
        let start = source.get(..offset).unwrap_or_default().rfind('\n').map_or(0, |at| at + 1);
        let text = source.get(start..).unwrap_or_default().lines().next().unwrap_or_default();
        SourceLine { start, text }
    }

    /// Returns whether the error is at the start of a header or key, or right after such a key; a preceding line is
    /// then not closed.
    fn is_entry(&self, source: &str, offset: usize) -> bool {
        let text = self.text.trim_start();
        let begins = |text: &str| text.starts_with(|char: char| char.is_ascii_alphanumeric() || char == '_');
        let is_header = text.starts_with('[') && begins(text.trim_start_matches('['));
        let is_key = begins(text) && outside_strings(text).any(|char| char == '=');
        let before = source.get(self.start..offset).unwrap_or_default().trim();
        (is_header || is_key) && before.chars().all(|char| char.is_ascii_alphanumeric() || "-_.".contains(char))
    }

    /// Returns the value of the line; for a list or table, only the faulty `part`. `None` if the value may be secret.
    fn value(&self, source: &str, part: &'a str, offset: usize) -> Option<&'a str> {
        if may_be_secret_at(source, offset) {
            return None;
        }
        let value = self.text.get(self.written()?)?;
        Some(if value.starts_with(['[', '{']) { part.trim() } else { value })
    }

    /// Returns the range of the value in the line, without the comment.
    fn written(&self) -> Option<Range<usize>> {
        let (_, behind) = self.text.split_once('=')?;
        let behind = behind.split(" #").next().unwrap_or_default();
        let start = self.text.split_once('=')?.0.len() + 1 + behind.len() - behind.trim_start().len();
        Some(start..start + behind.trim().len())
    }

    /// Returns the range in the file of the value at `offset`: the value of the line, or an item of its list or table.
    fn value_at(&self, offset: usize) -> Option<Range<usize>> {
        let mut place = self.written()?;
        if self.text.get(place.clone())?.starts_with(['[', '{']) {
            let at = offset.checked_sub(self.start)?;
            let (before, behind) = (self.text.get(place.start..at)?, self.text.get(at..place.end)?);
            let start = place.start + before.rfind(['[', ',', '{', '=']).map_or(0, |sign| sign + 1);
            let end = at + behind.find([',', ']', '}']).unwrap_or(behind.len());
            let item = self.text.get(start..end)?;
            let blanks = item.len() - item.trim_start().len();
            place = start + blanks..start + blanks + item.trim().len();
        }
        (!place.is_empty()).then_some(self.start + place.start..self.start + place.end)
    }
}

/// Suggests the correct form of an unreadable value.
fn unreadable(source: &str, line: &SourceLine<'_>, offset: usize, value: &str) -> String {
    let before = source.get(line.start..offset).unwrap_or_default();
    let value = if may_be_secret_at(source, offset) { "…" } else { value };
    match value.to_lowercase().as_str() {
        _ if value.contains(TYPOGRAPHIC) => typographic(value),
        small @ ("true" | "false") => format!("write it in small letters: {small}"),
        // A key of an inline table is not the key of the line.
        _ if before.contains('{') => unquoted::quoted(value),
        _ => unquoted::advice(unquoted::key_of(source, line.start), value),
    }
}

/// Suggests a value without typographic quotation marks.
fn typographic(value: &str) -> String {
    format!("typographic quotation marks do not quote a value: write \"{}\"", value.replace(TYPOGRAPHIC, ""))
}

/// Suggests the correct form of a line.
fn help(source: &str, line: &SourceLine<'_>, part: &str, offset: usize, message: &str) -> String {
    let value = line.value(source, part, offset).unwrap_or("…");
    let is_number = |text: &str| text.contains(',') && text.chars().all(|char| char.is_ascii_digit() || char == ',');
    match message {
        _ if value.contains(TYPOGRAPHIC) => typographic(value),
        _ if is_number(value) && !part.starts_with('[') => {
            format!("write the number without commas: {}", value.replace(',', ""))
        }
        _ if part.starts_with(':') => COLON.to_owned(),
        _ if message.starts_with("key with no value") => {
            let before = line.text.get(..offset - line.start).unwrap_or_default().trim_end();
            match before.ends_with(':') {
                true => COLON.to_owned(),
                false => "`=` is missing between key and value".to_owned(),
            }
        }
        _ if message.starts_with("invalid basic string, expected `\"`") => {
            "the closing `\"` of the string is missing".to_owned()
        }
        _ if message.starts_with("invalid literal string, expected `'`") => {
            "the closing `'` of the string is missing".to_owned()
        }
        _ if message.starts_with("unclosed table") => "the closing `]` of the header is missing".to_owned(),
        _ if message.starts_with("unclosed array table") => "the closing `]]` of the header is missing".to_owned(),
        // Almost always a regular expression in double quotes.
        _ if message.contains("escape") => format!("{message}; in single quotes `\\` stands for itself"),
        _ => message.to_owned(),
    }
}

/// Returns whether the message is about a value without quotes.
fn is_value(message: &str) -> bool {
    const KNOWN: [&str; 8] = [
        "string values must be quoted",
        "invalid boolean",
        "invalid float",
        "invalid integer",
        "invalid date",
        "invalid time",
        "unexpected leading zero",
        "`_` may only go",
    ];
    KNOWN.iter().any(|known| message.starts_with(known))
}

/// List or inline table that is not closed.
struct UnclosedBracket {
    line: usize,
    is_list: bool,
}

impl UnclosedBracket {
    /// Returns the innermost list or table still open at an offset.
    fn before(source: &str, end: usize) -> Option<UnclosedBracket> {
        let mut open: Vec<(usize, bool)> = Vec::new();
        for (line, text) in (1..).zip(source.get(..end).unwrap_or_default().lines()) {
            for char in outside_strings(text) {
                match char {
                    '[' | '{' => open.push((line, char == '[')),
                    ']' | '}' => drop(open.pop()),
                    _ => {}
                }
            }
        }
        open.pop().map(|(line, is_list)| UnclosedBracket { line, is_list })
    }

    /// Returns the position after the last non-empty line before `end`, where the bracket is missing.
    fn slip(&self, source: &str, end: usize, damaged: &mut BTreeSet<usize>) -> Option<SyntaxHelp> {
        let mut at = None;
        let mut start = 0;
        for line in source.get(..end).unwrap_or_default().split_inclusive('\n') {
            let written: usize = outside_comments(line).trim_end().len();
            if written > 0 {
                at = Some(start + written);
            }
            start += line.len();
        }
        let at = at?;
        let last = line_and_column(source, at).0;
        damaged.extend([self.line, last]);
        let (sign, what) = if self.is_list { (']', "list") } else { ('}', "table") };
        let begins = if self.line == last { String::new() } else { format!(" that begins in line {}", self.line) };
        Some(SyntaxHelp { span: at..at, help: format!("`{sign}` is missing here: the {what}{begins} does not end") })
    }
}

/// Returns a line without its comment.
pub(super) fn outside_comments(line: &str) -> &str {
    let mut quote = None;
    for (at, char) in line.char_indices() {
        match (quote, char) {
            (None, '#') => return line.get(..at).unwrap_or_default(),
            (None, '"' | '\'') => quote = Some(char),
            (Some(open), char) if open == char => quote = None,
            _ => {}
        }
    }
    line
}

/// Returns the characters of a line outside strings and comments.
fn outside_strings(line: &str) -> impl Iterator<Item = char> {
    let mut quote = None;
    outside_comments(line).chars().filter(move |char| match quote {
        None if matches!(char, '"' | '\'') => {
            quote = Some(*char);
            false
        }
        None => true,
        Some(open) => {
            if open == *char {
                quote = None;
            }
            false
        }
    })
}

#[cfg(test)]
mod tests {
    use toml::de::DeTable;

    use super::*;

    /// Returns line, column and help text of each error.
    fn slips(source: &str) -> Vec<(usize, usize, String)> {
        let (_, mut errors) = DeTable::parse_recoverable(source);
        errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
        let mut damaged = BTreeSet::new();
        let mut found = Vec::new();
        for error in errors {
            let span = error.span().unwrap();
            let slip = SyntaxHelp::of(source, span.clone(), error.message(), &mut damaged);
            if damaged.insert(line_and_column(source, span.start).0)
                && let Some(slip) = slip
            {
                let (line, column) = line_and_column(source, slip.span.start);
                found.push((line, column, slip.help));
            }
        }
        found
    }

    fn one(source: &str) -> String {
        let all = slips(source);
        assert_eq!(all.len(), 1, "{all:?}");
        all[0].2.clone()
    }

    #[test]
    fn a_missing_bracket_is_shown_where_it_is_missing() {
        let list = "`]` is missing here: the list does not end";
        for next in ["[trunk.b]\npeers = ['y']\n", "codecs = ['PCMU']\n"] {
            let file = format!("[trunk.a]\npeers = ['x' # the first\n\n{next}");
            assert_eq!(slips(&file), [(2, 13, list.to_owned())], "{file}");
        }
        assert_eq!(slips("a = ['x',\nb = ['y']\n"), [(1, 10, list.to_owned())]);
        let long = "`]` is missing here: the list that begins in line 1 does not end";
        assert_eq!(slips("a = [\n  'x',\n  'y#'\n# z\n[b]\n"), [(3, 7, long.to_owned())]);
        let table = "`}` is missing here: the table does not end";
        assert_eq!(slips("a = { b = 'x'\n[[c]]\nd = ['y']\ne = 1\n"), [(1, 14, table.to_owned())]);
        let string = "the closing `\"` of the string is missing";
        assert_eq!(slips("a = [\"x\", \"y]\nb = ['z']\n")[0].2, string);
        assert_eq!(slips("a = [\"x\", \"y]\nb = ['z']\n").len(), 1);
    }

    #[test]
    fn a_value_is_shown_as_it_is_written() {
        let quoted = unquoted::quoted;
        for value in ["udp", "127.0.0.1:5060", "10.0.0.0/8", "5s", "off", "16384-32767", "9:00", "2026-13-01", "0800"] {
            assert_eq!(slips(&format!("a = {value} # so\n")), [(1, 5, quoted(value))]);
        }
        assert_eq!(slips("[limits]\ncalls = 4OO\n"), [(2, 9, "`calls` is a whole number: write 400".to_owned())]);
        assert_eq!(one("a = \n"), "a value is missing after `=`");
        assert_eq!(one("a = ['x', PCMU]\n"), quoted("PCMU"));
        assert_eq!(one("password = hunter2\n"), quoted("…"), "a secret is not repeated");
        assert_eq!(one("auth = { user = 'a', pass = hunter2 }\n"), quoted("…"));
        assert_eq!(one("a = “x”\n"), "typographic quotation marks do not quote a value: write \"x\"");
        assert_eq!(one("a = True\n"), "write it in small letters: true");
        assert_eq!(one("a = 1,000\n"), "write the number without commas: 1000");
        assert_eq!(one("a: 'x'\n"), "write `=` instead of `:` between key and value");
        assert_eq!(one("a 'x'\n"), "`=` is missing between key and value");
        assert_eq!(one("[a\nb = 1\n"), "the closing `]` of the header is missing");
    }
}
