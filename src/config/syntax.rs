//! Errors of TOML syntax in plain words: what is missing, where, and how it is written. What the values mean is checked elsewhere.

use std::collections::BTreeSet;
use std::ops::Range;

use super::diagnostic::line_and_column;

/// Quotation marks of word processors.
const TYPOGRAPHIC: [char; 10] = ['“', '”', '„', '‟', '«', '»', '‘', '’', '‚', '‛'];
/// Parts of keys whose values are not repeated.
const SECRET_WORDS: [&str; 6] = ["tok", "pass", "secret", "auth", "key", "user"];

/// Help for a key as YAML and JSON have them.
const COLON: &str = "write `=` instead of `:` between key and value";

/// One error: where it is, and how to write it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Slip {
    pub(super) span: Range<usize>,
    pub(super) help: String,
}

impl Slip {
    /// Explains an error of the parser; `None`: it follows from one in an earlier line, all of which are `damaged`.
    pub(super) fn of(source: &str, span: Range<usize>, message: &str, damaged: &mut BTreeSet<usize>) -> Option<Slip> {
        let line = Line::at(source, span.start);
        if let Some(open) = Open::before(source, line.start) {
            // What is wrong with a list makes all that follows a part of it.
            let own = line_and_column(source, span.start).0;
            if damaged.range(open.line..=own).next().is_some() {
                return None;
            }
            if line.is_entry(source, span.start) {
                return open.slip(source, line.start, damaged);
            }
        }
        let help = help(&line, source.get(span.clone()).unwrap_or_default(), span.start, message);
        Some(Slip { span, help })
    }
}

/// A line of the file.
struct Line<'a> {
    start: usize,
    text: &'a str,
}

impl<'a> Line<'a> {
    fn at(source: &'a str, offset: usize) -> Line<'a> {
        let start = source.get(..offset).unwrap_or_default().rfind('\n').map_or(0, |at| at + 1);
        let text = source.get(start..).unwrap_or_default().lines().next().unwrap_or_default();
        Line { start, text }
    }

    /// Whether what is wrong stands where a header or key begins, or behind such a key: the lines before do not end.
    fn is_entry(&self, source: &str, offset: usize) -> bool {
        let text = self.text.trim_start();
        let begins = |text: &str| text.starts_with(|char: char| char.is_ascii_alphanumeric() || char == '_');
        let is_header = text.starts_with('[') && begins(text.trim_start_matches('['));
        let is_key = begins(text) && outside_strings(text).any(|char| char == '=');
        let before = source.get(self.start..offset).unwrap_or_default().trim();
        (is_header || is_key) && before.chars().all(|char| char.is_ascii_alphanumeric() || "-_.".contains(char))
    }

    /// The value of the line, or where that is a list or table the `part` of it that is wrong; `None`: it may be secret.
    fn value(&self, part: &'a str, offset: usize) -> Option<&'a str> {
        let before = self.text.get(..offset - self.start).unwrap_or_default();
        if SECRET_WORDS.iter().any(|word| before.contains(word)) {
            return None;
        }
        let (_, value) = self.text.split_once('=')?;
        let value = value.split(" #").next().unwrap_or_default().trim();
        Some(if value.starts_with(['[', '{']) { part.trim() } else { value })
    }
}

/// Returns what is to be written instead.
fn help(line: &Line<'_>, part: &str, offset: usize, message: &str) -> String {
    let value = line.value(part, offset).unwrap_or("…");
    let is_number = |text: &str| text.contains(',') && text.chars().all(|char| char.is_ascii_digit() || char == ',');
    match message {
        _ if value.contains(TYPOGRAPHIC) => {
            format!("typographic quotation marks are none here: write \"{}\"", value.replace(TYPOGRAPHIC, ""))
        }
        _ if is_number(value) && !part.starts_with('[') => {
            format!("write the number without commas: {}", value.replace(',', ""))
        }
        _ if is_value(message) && ["true", "false"].contains(&value.to_lowercase().as_str()) => {
            format!("write it in small letters: {}", value.to_lowercase())
        }
        _ if is_value(message) => {
            format!("a value that is a word, address or duration needs quotation marks: write \"{value}\"")
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

/// Whether a value without quotes is what is wrong.
fn is_value(message: &str) -> bool {
    ["string values must be quoted", "invalid boolean", "invalid float", "invalid integer", "invalid datetime"]
        .iter()
        .any(|known| message.starts_with(known))
}

/// A list or inline table that does not end.
struct Open {
    line: usize,
    is_list: bool,
}

impl Open {
    /// The innermost one that is open before this place.
    fn before(source: &str, end: usize) -> Option<Open> {
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
        open.pop().map(|(line, is_list)| Open { line, is_list })
    }

    /// Shows the end of the last line before `end` that has something: there the bracket is missing.
    fn slip(&self, source: &str, end: usize, damaged: &mut BTreeSet<usize>) -> Option<Slip> {
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
        Some(Slip { span: at..at, help: format!("`{sign}` is missing here: the {what}{begins} does not end") })
    }
}

/// Returns a line without its comment.
fn outside_comments(line: &str) -> &str {
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

/// Returns the characters of a line that stand in no string and no comment.
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

    /// Line, column and help of each error.
    fn slips(source: &str) -> Vec<(usize, usize, String)> {
        let (_, mut errors) = DeTable::parse_recoverable(source);
        errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
        let mut damaged = BTreeSet::new();
        let mut found = Vec::new();
        for error in errors {
            let span = error.span().unwrap();
            let slip = Slip::of(source, span.clone(), error.message(), &mut damaged);
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
        let quoted = |value: &str| {
            format!("a value that is a word, address or duration needs quotation marks: write \"{value}\"")
        };
        for value in ["udp", "127.0.0.1:5060", "5s", "off"] {
            assert_eq!(one(&format!("a = {value} # so\n")), quoted(value));
        }
        assert_eq!(one("a = ['x', PCMU]\n"), quoted("PCMU"));
        assert_eq!(one("password = hunter2\n"), quoted("…"), "a secret is not repeated");
        assert_eq!(one("auth = { user = 'a', pass = hunter2 }\n"), quoted("…"));
        assert_eq!(one("a = “x”\n"), "typographic quotation marks are none here: write \"x\"");
        assert_eq!(one("a = True\n"), "write it in small letters: true");
        assert_eq!(one("a = 1,000\n"), "write the number without commas: 1000");
        assert_eq!(one("a: 'x'\n"), "write `=` instead of `:` between key and value");
        assert_eq!(one("a 'x'\n"), "`=` is missing between key and value");
        assert_eq!(one("[a\nb = 1\n"), "the closing `]` of the header is missing");
    }
}
