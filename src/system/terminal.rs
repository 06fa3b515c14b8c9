//! The terminals that stdout and stderr are, if they are.

use std::io::IsTerminal;
use std::os::fd::AsFd;

use serde_json::Value;
use trunkgate_call::numbers::steers;

/// Its width, in characters; `None` for a file or a pipe, which take lines of any length.
pub(crate) fn width() -> Option<usize> {
    size().map(|(width, _)| width)
}

/// Returns the width of a stream's terminal, in characters; `None`: it is none.
pub(crate) fn width_of(stream: &(impl IsTerminal + AsFd)) -> Option<usize> {
    size_of(stream).map(|(width, _)| width)
}

/// Its width and height, in characters; `None` for a file or a pipe.
pub(crate) fn size() -> Option<(usize, usize)> {
    size_of(&std::io::stdout())
}

fn size_of(stream: &(impl IsTerminal + AsFd)) -> Option<(usize, usize)> {
    let size = stream.is_terminal().then(|| rustix::termios::tcgetwinsize(stream).ok())??;
    // A serial line says 0.
    Some((usize::from(size.ws_col), usize::from(size.ws_row))).filter(|(width, _)| *width > 0)
}

/// Whether it is to have colours: not where `NO_COLOR` is set (no-color.org), nor on one that has none.
pub(crate) fn has_colour() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    width().is_some() && !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// A text that cannot steer the terminal, whoever wrote it; lines and tabs stay.
pub(crate) fn harmless(text: &str) -> String {
    let harmless = |c: char| match c {
        '\n' | '\t' => c,
        c if steers(c) => '·',
        c => c,
    };
    text.chars().map(harmless).collect()
}

/// A value as JSON on lines of its own, as verbs print it.
pub(crate) fn json(value: &Value) -> String {
    inert(&format!("{value:#}")) + "\n"
}

/// JSON that says the same and cannot either: what JSON leaves as it is (RFC 8259 §7) and a terminal may obey, DEL, C1, marks of
/// direction and what is not seen, is escaped. Control characters stand in strings alone.
pub(crate) fn inert(json: &str) -> String {
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

/// The same of a text that may have colours (ECMA-48 SGR) and nothing else of that kind.
pub(crate) fn coloured(text: &str) -> String {
    let mut pieces = text.split("\x1b[");
    let mut out = harmless(pieces.next().unwrap_or_default());
    for piece in pieces {
        let behind = piece.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
        out.push_str(if behind.starts_with('m') { "\x1b[" } else { "·[" });
        out.push_str(&harmless(piece));
    }
    out
}

/// An answer whose texts cannot either.
pub(crate) fn harmless_json(answer: &Value) -> Value {
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
