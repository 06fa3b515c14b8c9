//! Terminals on stdout and stderr, and texts that fit their width.

use std::io::{IsTerminal, Write as _};
use std::os::fd::AsFd;

use serde_json::Value;
use trunkgate_call::numbers::is_control_char;

/// Minimum width of the last column in characters; if the terminal leaves less, a wrapped line continues below its own
/// start.
const LAST_COLUMN: usize = 16;
/// Indentation of the further lines of a message, in characters.
const MESSAGE_INDENT: usize = 2;

/// Returns the width of the terminal on stdout in characters; `None` for a file or a pipe, where lines may have any
/// length.
pub fn width() -> Option<usize> {
    size().map(|(width, _)| width)
}

/// Returns the width of a stream's terminal in characters; `None` if it is not a terminal.
pub fn width_of(stream: &(impl IsTerminal + AsFd)) -> Option<usize> {
    size_of(stream).map(|(width, _)| width)
}

/// Returns width and height of the terminal on stdout in characters; `None` for a file or a pipe.
pub fn size() -> Option<(usize, usize)> {
    size_of(&std::io::stdout())
}

fn size_of(stream: &(impl IsTerminal + AsFd)) -> Option<(usize, usize)> {
    let size = stream.is_terminal().then(|| rustix::termios::tcgetwinsize(stream).ok())??;
    // A serial line reports a width of 0.
    Some((usize::from(size.ws_col), usize::from(size.ws_row))).filter(|(width, _)| *width > 0)
}

/// Returns whether stdout shows colours. It does not if `NO_COLOR` is set (no-color.org) or the terminal has none.
pub fn has_colour() -> bool {
    has_colour_on(&std::io::stdout())
}

/// Returns whether a stream is a terminal with colours, as for [`has_colour`].
pub fn has_colour_on(stream: &(impl IsTerminal + AsFd)) -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    width_of(stream).is_some() && !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Returns the number of columns that a text occupies on a terminal.
pub fn columns(text: &str) -> usize {
    colourless(text).chars().count()
}

/// Returns a text without colour codes (ECMA-48 SGR).
fn colourless(text: &str) -> String {
    let mut pieces = text.split("\x1b[");
    let plain = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(plain, |plain, piece| plain + piece.split_once('m').map_or(piece, |(_, behind)| behind))
}

/// Wraps a text between words; further lines are indented by `indent`.
pub fn wrapped(text: &str, indent: usize, width: Option<usize>) -> String {
    let Some(width) = width else { return format!("{text}\n") };
    let (mut out, mut length) = (String::new(), 0);
    for word in text.split_inclusive(' ') {
        let (long, bare) = (columns(word), columns(word.trim_end()));
        if bare > 0 && length > indent && length + bare > width {
            out.truncate(out.trim_end().len());
            out.push_str(&format!("\n{:indent$}", ""));
            length = indent;
        }
        out.push_str(word);
        length += long;
    }
    out.push('\n');
    out
}

/// Wraps the lines of a page that are wider than the terminal. Continuation lines align with the last column (columns
/// are separated by two spaces), or are indented by `indent` if there is only one column. Quoted lines of a file and
/// commands under `EXAMPLES:` are not wrapped.
pub fn folded(page: &str, indent: usize, width: Option<usize>) -> String {
    let Some(most) = width else { return page.to_owned() };
    let (mut out, mut is_example) = (String::new(), false);
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        let plain = colourless(line);
        is_example |= plain == "EXAMPLES:";
        match last_column(&plain) {
            _ if is_quoted(&plain) || columns(line) <= most => out.push_str(&format!("{line}\n")),
            Some(column) if column + LAST_COLUMN <= most => {
                let mut whole = line.to_owned();
                // The column may already continue on further lines.
                while let Some(more) = lines.next_if(|next| margin(next) == column && last_column(next).is_none()) {
                    whole.push_str(&format!(" {}", more.trim_start()));
                }
                out.push_str(&wrapped(&whole, column, width));
            }
            None if is_example => out.push_str(&format!("{line}\n")),
            Some(_) | None => out.push_str(&wrapped(line, margin(&plain) + indent, width)),
        }
    }
    out
}

/// Returns the number of leading spaces of a line.
fn margin(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// Returns the start of the last column of a line; `None` if the line has only one column.
fn last_column(line: &str) -> Option<usize> {
    let line = line.trim_end();
    let before = line.get(..line.rfind("  ")? + 2)?;
    (!before.trim_start().is_empty()).then(|| before.chars().count())
}

/// Returns whether a line is a quoted line of a file: `12 | text`.
fn is_quoted(line: &str) -> bool {
    let number = line.split_once(" | ").map(|(number, _)| number);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|c| c.is_ascii_digit()))
}

/// Prints a message to stderr, wrapped on a terminal. A closed stderr is not an error.
pub fn print_error(message: &str) {
    let mut stderr = std::io::stderr();
    let text = folded(message, MESSAGE_INDENT, width_of(&stderr));
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let _ = stderr.write_all(format!("{text}{end}").as_bytes());
}

/// Replaces characters that could control the terminal in a text of any origin; newlines and tabs are kept.
pub fn harmless(text: &str) -> String {
    let harmless = |c: char| match c {
        '\n' | '\t' => c,
        c if is_control_char(c) => '·',
        c => c,
    };
    text.chars().map(harmless).collect()
}

/// Formats a value as indented JSON, as CLI verbs print it.
pub fn json(value: &Value) -> String {
    inert(&format!("{value:#}")) + "\n"
}

/// Escapes characters that JSON permits (RFC 8259 §7) but that could control a terminal: DEL, C1, bidirectional marks
/// and invisible characters. JSON contains other control characters only in escaped form.
pub fn inert(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        let is_obeyed = c >= '\u{7f}' && harmless(c.encode_utf8(&mut [0; 4])) == "·" && c != '·';
        if is_obeyed {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// Replaces characters that could control the terminal; colour codes (ECMA-48 SGR) are kept.
pub fn coloured(text: &str) -> String {
    let mut pieces = text.split("\x1b[");
    let mut out = harmless(pieces.next().unwrap_or_default());
    for piece in pieces {
        let behind = piece.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
        out.push_str(if behind.starts_with('m') { "\x1b[" } else { "·[" });
        out.push_str(&harmless(piece));
    }
    out
}

/// Replaces characters that could control the terminal in all strings of a response.
pub fn harmless_json(answer: &Value) -> Value {
    match answer {
        Value::String(text) => harmless(text).into(),
        Value::Array(all) => all.iter().map(harmless_json).collect(),
        Value::Object(all) => all.iter().map(|(key, value)| (harmless(key), harmless_json(value))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => answer.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_is_cut_between_words() {
        let text = format!("  verdict: {}", "word ".repeat(20).trim_end());
        let cut = wrapped(&text, 4, Some(60));
        let lines: Vec<&str> = cut.lines().collect();
        assert_eq!(lines.len(), 2, "{cut}");
        assert!(lines[1].starts_with("    word") && lines.iter().all(|line| line.chars().count() <= 60), "{cut}");
        assert_eq!(wrapped(&text, 4, None), format!("{text}\n"));
        let long = "x".repeat(100);
        assert_eq!(wrapped(&long, 4, Some(60)), format!("{long}\n"));
        let painted = format!("\x1b[1m{}\x1b[0m", "ab ".repeat(10).trim_end());
        assert_eq!(wrapped(&painted, 0, Some(29)), format!("{painted}\n"), "colours take no room");
    }

    #[test]
    fn a_page_goes_on_below_its_last_column_and_what_is_copied_stays_whole() {
        let page = [
            "about this verb",
            "  -h, --help  Print this help and more of it",
            "              than fits",
            "      --json  Print JSON",
            "EXAMPLES:",
            "  trunkgate check --strict --config /etc/t.toml",
            "  trunkgate demo  Four calls, on loopback",
            "",
        ];
        let cut = [
            "about this verb",
            "  -h, --help  Print this help and",
            "              more of it than fits",
            "      --json  Print JSON",
            "EXAMPLES:",
            "  trunkgate check --strict --config /etc/t.toml",
            "  trunkgate demo  Four calls, on",
            "                  loopback",
            "",
        ];
        let (page, cut) = (page.join("\n"), cut.join("\n"));
        assert_eq!(folded(&page, 0, Some(36)), cut);
        assert_eq!(folded(&page, 0, None), page, "a pipe takes lines of any length");
        let narrow = "  trunkgate demo      Four calls";
        assert_eq!(
            folded(narrow, 2, Some(30)),
            "  trunkgate demo      Four\n    calls\n",
            "no room in the last column"
        );
        let quote = "  |\n3 | a line of a file that is long\n  |     ^^^ did you mean";
        let error = format!("error[TG0104]: unknown key of a table\n{quote} another key?");
        let cut = format!("error[TG0104]: unknown key\n  of a table\n{quote}\n        another key?\n");
        assert_eq!(folded(&error, 2, Some(27)), cut);
    }

    #[test]
    fn what_others_wrote_does_not_steer_the_terminal() {
        assert_eq!(harmless("a\x1b[31m\u{9b}2J\u{202e}b\tc\nd"), "a·[31m·2J·b\tc\nd");
        assert_eq!(harmless("a\u{61c}b\u{2028}c\u{2029}d\u{2066}\u{200e}"), "a·b·c·d··");
        assert_eq!(coloured("\x1b[1;31mx\x1b[0m \x1b[2J\x1b]0;t\x07"), "\x1b[1;31mx\x1b[0m ·[2J·]0;t·");
        let said = json!({"a\u{9b}2J": "\u{7f}\u{85}\u{202e}·é\u{1f600}\n\x1b"});
        let safe = inert(&said.to_string());
        assert_eq!(safe, "{\"a\\u009b2J\":\"\\u007f\\u0085\\u202e·é\u{1f600}\\n\\u001b\"}");
        assert_eq!(serde_json::from_str::<Value>(&safe).unwrap(), said);
        let answer = json!({"a\x1bb": ["\x1b[31m", 1, null], "c": {"d": "\x07"}});
        assert_eq!(harmless_json(&answer), json!({"a·b": ["·[31m", 1, null], "c": {"d": "·"}}));
    }
}
