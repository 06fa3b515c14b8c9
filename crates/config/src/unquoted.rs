//! Values with missing or superfluous quotation marks: corrections by the kind of the key.

use super::keys::{ROOT, ValueKind};
use super::values::parse_duration;

/// Key name with its kind of value.
pub(super) type NamedKind<'a> = (&'a str, ValueKind);

/// Returns the key of the line that begins at `start`, looked up in the table of its header; for a list, with the kind
/// of the items.
pub(super) fn key_of(source: &str, start: usize) -> Option<NamedKind<'_>> {
    let (before, on) = source.split_at_checked(start)?;
    let (key, _) = on.lines().next()?.split_once('=')?;
    let header = before.lines().rev().map(str::trim_start).find(|line| line.starts_with('[')).unwrap_or_default();
    let header = header.trim_start_matches('[').split(']').next().unwrap_or_default();
    let mut path = header.split('.').chain(key.split('.')).map(|part| part.trim().trim_matches(['"', '\'']));
    let mut path = path.by_ref().filter(|part| !part.is_empty());
    let mut keys = ROOT;
    let mut last = None;
    while let Some(name) = path.next() {
        let found = keys.iter().find(|key| key.name == name)?;
        if matches!(found.kind, ValueKind::Named(_)) {
            path.next();
        }
        keys = found.kind.keys().unwrap_or_default();
        last = Some(found.kind);
    }
    let last = last?;
    let kind = if let ValueKind::List(item) | ValueKind::Many(item) = last { *item } else { last };
    Some((key.trim(), kind))
}

/// Suggests the correct form of a value without quotation marks.
pub(super) fn advice(key: Option<NamedKind<'_>>, value: &str) -> String {
    match key {
        _ if value.is_empty() => "a value is missing after `=`".to_owned(),
        Some((name, ValueKind::Integer(..) | ValueKind::Choice(_))) => match number(value) {
            Some(number) => format!("`{name}` is a whole number: write {number}"),
            None => format!("`{name}` is a whole number: write it in digits alone"),
        },
        Some((name, ValueKind::Boolean)) => match boolean(value) {
            Some(meant) => format!("`{name}` is true or false: write {meant}"),
            None => format!("`{name}` is true or false"),
        },
        Some((name, ValueKind::Duration)) => match duration(value) {
            Some(meant) => format!("`{name}` is a duration, in quotation marks: write \"{meant}\""),
            None => format!("`{name}` is a duration: write \"500ms\", \"30s\", \"10m\" or \"1h30m\""),
        },
        _ => quoted(value),
    }
}

/// Suggests a quoted text.
pub(super) fn quoted(value: &str) -> String {
    format!(
        "quotation marks are needed around text, ranges, addresses, durations and numbers with signs such as `+`: write \"{value}\""
    )
}

/// Returns the intended number of a text with letters that look like digits, separators between digits, or quotation
/// marks.
pub(super) fn number(value: &str) -> Option<u32> {
    let meant = value.trim_matches(['"', '\'']).chars().filter_map(|char| match char {
        'O' | 'o' => Some('0'),
        'l' | 'I' => Some('1'),
        '_' | ',' | '\'' | ' ' => None,
        other => Some(other),
    });
    meant.collect::<String>().parse().ok()
}

/// Returns the boolean intended by a word or number.
pub(super) fn boolean(value: &str) -> Option<bool> {
    match value.trim_matches(['"', '\'']).to_lowercase().as_str() {
        "true" | "yes" | "on" | "enabled" | "1" => Some(true),
        "false" | "no" | "off" | "disabled" | "0" => Some(false),
        _ => None,
    }
}

/// Returns the intended duration of a text with spaces, capital letters or longer unit names.
fn duration(value: &str) -> Option<String> {
    let meant: String = value.to_lowercase().chars().filter(|char| *char != ' ').collect();
    let unit = meant.trim_start_matches(|char: char| char.is_ascii_digit());
    let number = meant.strip_suffix(unit)?;
    let short = match unit {
        "sec" | "secs" | "second" | "seconds" => "s",
        "min" | "mins" | "minute" | "minutes" => "m",
        "hour" | "hours" => "h",
        "day" | "days" => "d",
        other => other,
    };
    let meant = format!("{number}{short}");
    parse_duration(&meant).map(|_| meant)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advised(header: &str, line: &str) -> String {
        let source = format!("{header}\n{line}\n");
        let value = line.split_once('=').unwrap().1.trim();
        advice(key_of(&source, header.len() + 1), value)
    }

    #[test]
    fn advice_follows_the_kind_of_the_key() {
        for (header, line, expected) in [
            ("[trunk.a]", "max_calls = 4OO", "`max_calls` is a whole number: write 400"),
            ("[trunk.a]", "max_calls = 1'0I0", "`max_calls` is a whole number: write 1010"),
            ("[trunk.a]", "max_calls = 0400", "`max_calls` is a whole number: write 400"),
            ("[limits]", "calls = many", "`calls` is a whole number: write it in digits alone"),
            ("[[route]]", "record = yes", "`record` is true or false: write true"),
            ("[[route]]", "record = OFF", "`record` is true or false: write false"),
            ("[[route]]", "record = perhaps", "`record` is true or false"),
            ("[[route]]", "ring_timeout = 30 s", "`ring_timeout` is a duration, in quotation marks: write \"30s\""),
            ("[[route]]", "ring_timeout = 2 Min", "`ring_timeout` is a duration, in quotation marks: write \"2m\""),
            (
                "[[route]]",
                "ring_timeout = 1:30",
                "`ring_timeout` is a duration: write \"500ms\", \"30s\", \"10m\" or \"1h30m\"",
            ),
            ("[trunk.a.tls]", "no_such = x", &quoted("x")),
            ("[media]", "ports = 16384-32767", &quoted("16384-32767")),
            ("", "media.ports = 16384-32767", &quoted("16384-32767")),
            ("", "limits.calls = 4OO", "`limits.calls` is a whole number: write 400"),
            ("[edge]", "name =", "a value is missing after `=`"),
        ] {
            assert_eq!(advised(header, line), expected, "{header} {line}");
        }
    }
}
