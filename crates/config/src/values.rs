//! Readers of single values. Each gets the key's name for its messages, and reports an invalid value at its position.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use toml::Spanned;
use toml::de::DeValue;

use super::code;
use super::cover::is_telling;
use super::diagnostic::Findings;
use super::keys::SECRET;
use super::nearest;
use super::section::{Section, SpannedValue};
use super::types::Secret;
use super::unquoted;
use trunkgate_system::files;

/// Maximum length of a trunk, listener, route or edge name, in bytes. Names are metric labels and parts of paths.
const MAX_NAME_BYTES: usize = 64;

/// Table with its name.
pub(super) type NamedTable<'a> = (&'a Spanned<Cow<'a, str>>, &'a SpannedValue<'a>);

/// Returns the tables of a kind, `[KIND.NAME]`, in file order.
pub(super) fn named_tables<'a>(
    kind: &str,
    value: &'a SpannedValue<'a>,
    findings: &mut Findings,
) -> Vec<NamedTable<'a>> {
    let Some(table) = value.get_ref().as_table() else {
        wrong_type(kind, value, &format!("tables with names: [{kind}.NAME]"), findings);
        return Vec::new();
    };
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}

/// Reports a value of the wrong type; `wanted` describes the right one.
pub(super) fn wrong_type(key: &str, value: &SpannedValue<'_>, wanted: &str, findings: &mut Findings) {
    of_other_type(key, value, format!("should be {wanted}"), findings);
}

/// Reports a value of the wrong type; `help` has the correction.
fn of_other_type(key: &str, value: &SpannedValue<'_>, help: String, findings: &mut Findings) {
    let name = if key.starts_with(['[', '`']) { key.to_owned() } else { format!("`{key}`") };
    let found = match value.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    findings.error(code::WRONG_TYPE, value.span(), format!("{name} is {found}"), help);
}

/// Reads a string.
pub(super) fn string(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<String> {
    let text = value.get_ref().as_str().map(str::to_owned);
    if text.is_none() {
        let is_single = !value.get_ref().is_array() && !value.get_ref().is_table();
        let help = match findings.written(value.span()) {
            written if is_single && !written.is_empty() && !is_telling(key) => {
                format!("should be a string: write \"{written}\"")
            }
            _ => "should be a string".to_owned(),
        };
        of_other_type(key, value, help, findings);
    }
    text
}

/// Reads `true` or `false`.
pub(super) fn boolean(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<bool> {
    let found = value.get_ref().as_bool();
    if found.is_none() {
        let meant = unquoted::boolean(findings.written(value.span()));
        let help = meant
            .map_or("should be true or false".to_owned(), |meant| format!("should be true or false: write {meant}"));
        of_other_type(key, value, help, findings);
    }
    found
}

/// Reads an integer within `allowed`.
pub(super) fn integer(
    key: &str,
    value: &SpannedValue<'_>,
    findings: &mut Findings,
    allowed: RangeInclusive<u32>,
) -> Option<u32> {
    let Some(written) = value.get_ref().as_integer() else {
        let meant = value.get_ref().as_str().and_then(unquoted::number);
        let help =
            meant.map_or("should be an integer".to_owned(), |meant| format!("should be an integer: write {meant}"));
        of_other_type(key, value, help, findings);
        return None;
    };
    let number = i64::from_str_radix(written.as_str(), written.radix()).ok();
    let number = number.and_then(|number| u32::try_from(number).ok()).filter(|number| allowed.contains(number));
    if number.is_none() {
        let help = match *allowed.end() {
            u32::MAX => format!("{} or more", allowed.start()),
            end => format!("{} to {end}", allowed.start()),
        };
        findings.error(code::BAD_VALUE, value.span(), format!("`{key}` is out of range"), help);
    }
    number
}

/// Reads one word of a fixed set.
pub(super) fn one_of<T: Copy>(
    key: &str,
    value: &SpannedValue<'_>,
    findings: &mut Findings,
    known: &[(&str, T)],
) -> Option<T> {
    let all = || format!("one of {}", known.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", "));
    let Some(text) = value.get_ref().as_str().map(str::to_owned) else {
        wrong_type(key, value, &all(), findings);
        return None;
    };
    if let Some((_, meaning)) = known.iter().find(|(word, _)| *word == text) {
        return Some(*meaning);
    }
    // A different number is not a misspelling.
    let letters = |word: &str| word.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    let help = match nearest(&text, known.iter().map(|(word, _)| *word)) {
        Some(word) if letters(word) != letters(&text) => format!("did you mean \"{word}\"?"),
        Some(_) | None => all(),
    };
    findings.error(code::BAD_VALUE, value.span(), format!("`{key}` cannot be \"{text}\""), help);
    None
}

/// Reads a name that is valid in metrics, paths and targets.
pub(super) fn name(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<String> {
    let text = string(key, value, findings)?;
    name_text(key, &text, value.span(), findings).then_some(text)
}

/// Returns whether `text` is a valid name, and reports an invalid one.
pub(super) fn name_text(key: &str, text: &str, span: Range<usize>, findings: &mut Findings) -> bool {
    let usable = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let fits = !text.is_empty() && text.len() <= MAX_NAME_BYTES && text.bytes().all(usable);
    if !fits {
        let help = format!("use 1 to {MAX_NAME_BYTES} letters, digits, `-`, `_` and `.`");
        findings.error(code::BAD_VALUE, span, format!("`{key}` cannot be \"{text}\""), help);
    }
    fits
}

/// Reads a list and returns the valid items with their positions. Each item is read separately, so that all invalid
/// ones are reported.
pub(super) fn list<'a, T>(
    key: &str,
    value: &'a SpannedValue<'a>,
    findings: &mut Findings,
    mut item: impl FnMut(&str, &'a SpannedValue<'a>, &mut Findings) -> Option<T>,
) -> Option<Vec<(T, Range<usize>)>> {
    let Some(array) = value.get_ref().as_array() else {
        wrong_type(key, value, "a list", findings);
        return None;
    };
    let read = |value: &'a SpannedValue<'a>| item(key, value, findings).map(|read| (read, value.span()));
    Some(array.iter().filter_map(read).collect())
}

/// Reads a list, or a single item without brackets.
pub(super) fn one_or_list<'a, T>(
    key: &str,
    value: &'a SpannedValue<'a>,
    findings: &mut Findings,
    mut item: impl FnMut(&str, &'a SpannedValue<'a>, &mut Findings) -> Option<T>,
) -> Option<Vec<(T, Range<usize>)>> {
    if value.get_ref().is_array() {
        return list(key, value, findings, item);
    }
    item(key, value, findings).map(|read| vec![(read, value.span())])
}

/// Reads a duration: `"30s"`, `"1h30m"`, `"500ms"`; zero also as the integer 0.
pub(super) fn duration(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<Duration> {
    let seconds = value.get_ref().as_integer().map(|number| format!("write \"{}s\" for seconds", number.as_str()));
    let help = seconds.as_deref().unwrap_or("use \"500ms\", \"30s\", \"10m\" or \"1h30m\"; \"0s\" is off");
    duration_as(key, value, help, findings)
}

/// Reads a duration; `help` has the correction for an invalid one.
pub(super) fn duration_as(
    key: &str,
    value: &SpannedValue<'_>,
    help: &str,
    findings: &mut Findings,
) -> Option<Duration> {
    let found = match value.get_ref() {
        DeValue::String(text) => parse_duration(text),
        DeValue::Integer(number) if number.as_str() == "0" => Some(Duration::ZERO),
        DeValue::Integer(_) => {
            findings.error(code::BAD_DURATION, value.span(), format!("`{key}` has no unit"), help);
            return None;
        }
        DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
            wrong_type(key, value, "a duration as \"30s\"", findings);
            return None;
        }
    };
    if found.is_none() {
        findings.error(code::BAD_DURATION, value.span(), format!("`{key}` is not a duration"), help);
    }
    found
}

/// Reads a duration, and warns with `what` if it is shorter than `least`.
pub(super) fn duration_of(
    key: &str,
    value: &SpannedValue<'_>,
    (least, what): (Duration, &str),
    findings: &mut Findings,
) -> Option<Duration> {
    let found = duration(key, value, findings)?;
    if !found.is_zero() && found < least {
        let help = format!("minimum \"{}\"; \"0s\" is off", written(least));
        findings.warning(code::BAD_VALUE, Some(value.span()), format!("`{key}` is very short: {what}"), help);
    }
    Some(found)
}

/// Formats a duration for the configuration.
fn written(duration: Duration) -> String {
    match duration.subsec_millis() {
        0 => format!("{}s", duration.as_secs()),
        _ => format!("{}ms", duration.as_millis()),
    }
}

/// Maximum duration in seconds: one year.
const MAX_DURATION_S: u64 = 366 * 86_400;

/// Parses a duration of numbers with units: `30s`, `1h30m`; `0` is zero.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut total = Duration::ZERO;
    let mut any = false;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit_on) = rest.split_at(digits);
        let end = unit_on.find(|c: char| c.is_ascii_digit()).unwrap_or(unit_on.len());
        let (unit, behind) = unit_on.split_at(end);
        let number: u64 = number.parse().ok()?;
        total = total.checked_add(match unit {
            "ms" => Duration::from_millis(number),
            "s" => Duration::from_secs(number),
            "m" => Duration::from_secs(number.checked_mul(60)?),
            "h" => Duration::from_secs(number.checked_mul(3_600)?),
            "d" => Duration::from_secs(number.checked_mul(86_400)?),
            _ => return None,
        })?;
        any = true;
        rest = behind;
    }
    (any && total.as_secs() <= MAX_DURATION_S).then_some(total)
}

/// Reads an address and port to bind; port 0 selects a free port.
pub(super) fn socket_address(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<SocketAddr> {
    let text = string(key, value, findings)?;
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let help = match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(v4)) => format!("the port is missing: write \"{v4}:5060\""),
        Ok(IpAddr::V6(v6)) => format!("the port is missing: write \"[{v6}]:5060\""),
        Err(_) => "use an IP address and port: \"0.0.0.0:5060\" or \"[::]:5060\"".to_owned(),
    };
    findings.error(code::BAD_ADDRESS, value.span(), format!("`{key}` is not an address with port"), help);
    None
}

/// Reads an IP address.
pub(super) fn address(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<IpAddr> {
    let text = string(key, value, findings)?;
    let address = text.parse().ok();
    if address.is_none() {
        let help = "use an IP address without port: \"203.0.113.10\" or \"2001:db8::10\"";
        findings.error(code::BAD_ADDRESS, value.span(), format!("`{key}`: \"{text}\" is not an address"), help);
    }
    address
}

/// Reads an address that peers can send to.
pub(super) fn public_address(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<IpAddr> {
    let found = address(key, value, findings)?;
    if found.is_unspecified() || found.is_multicast() {
        let help = "use the single address that the peer can send to";
        findings.error(code::BAD_ADDRESS, value.span(), format!("`{key}` cannot be {found}"), help);
        return None;
    }
    Some(found)
}

/// Reads a network; a single address is a network of one.
pub(super) fn network(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<IpNet> {
    let text = string(key, value, findings)?;
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(IpNet::from(address));
    }
    match text.parse::<IpNet>() {
        Ok(network) => Some(network.trunc()),
        Err(_) => {
            let help = "use a network or address: \"198.51.100.0/24\" or \"2001:db8::1\"";
            findings.error(code::BAD_ADDRESS, value.span(), format!("`{key}`: \"{text}\" is not a network"), help);
            None
        }
    }
}

/// Reads a secret: a string, `{ env = "NAME" }` or `{ file = "PATH" }`, of which the contents are read immediately.
pub(super) fn secret<'a>(
    key: &str,
    value: &'a SpannedValue<'a>,
    findings: &mut Findings,
    folder: &Path,
) -> Option<Secret> {
    if let Some(text) = value.get_ref().as_str() {
        if let Some(name) = variable(text) {
            let (message, help) =
                (format!("`{key}` is literally this text"), format!("write {{ env = \"{name}\" }} to use its content"));
            findings.warning(code::BAD_SECRET, Some(value.span()), message, help);
        }
        return not_empty(key, text.to_owned(), value.span(), findings);
    }
    if !value.get_ref().is_table() {
        wrong_type(key, value, "a string, { env = \"NAME\" } or { file = \"PATH\" }", findings);
        return None;
    }
    let section = Section::open(&format!("`{key}`"), value, SECRET, findings)?;
    match (section.get("env"), section.get("file")) {
        (Some(env), None) => {
            let name = string("env", env, findings)?;
            match std::env::var(&name) {
                Ok(text) => not_empty(key, text, env.span(), findings),
                Err(_) => {
                    let message = format!("`{key}`: environment variable {name} is not set");
                    findings.error(
                        code::BAD_SECRET,
                        env.span(),
                        message,
                        format!("set {name} before starting the edge"),
                    );
                    None
                }
            }
        }
        (None, Some(file)) => {
            let path = relative_to(folder, &string("file", file, findings)?);
            match files::read_to_string(&path, trunkgate_system::limits::SECRET_FILE_BYTES) {
                Ok(text) => not_empty(key, text.trim_end_matches(['\r', '\n']).to_owned(), file.span(), findings),
                Err(error) => {
                    let message = format!("`{key}`: {}: {error}", path.display());
                    findings.error(
                        code::BAD_SECRET,
                        file.span(),
                        message,
                        "use a readable file that contains the secret",
                    );
                    None
                }
            }
        }
        (Some(_), Some(_)) | (None, None) => {
            let message = format!("`{key}` must have exactly one of `env` and `file`");
            findings.error(code::BAD_SECRET, value.span(), message, "write { env = \"NAME\" } or { file = \"PATH\" }");
            None
        }
    }
}

/// Returns the name in `$NAME` or `${NAME}`, as in a shell.
fn variable(text: &str) -> Option<&str> {
    let name = text.strip_prefix('$')?;
    let name = name.strip_prefix('{').and_then(|name| name.strip_suffix('}')).unwrap_or(name);
    let fits = |c: char| c == '_' || c.is_ascii_uppercase() || c.is_ascii_digit();
    (name.starts_with(|c: char| c == '_' || c.is_ascii_uppercase()) && name.chars().all(fits)).then_some(name)
}

fn not_empty(key: &str, text: String, span: Range<usize>, findings: &mut Findings) -> Option<Secret> {
    if text.is_empty() {
        findings.error(code::BAD_SECRET, span, format!("`{key}` is empty"), "an empty secret protects nothing");
        return None;
    }
    Some(Secret::new(text))
}

/// Resolves a path relative to the configuration's folder.
pub(super) fn relative_to(folder: &Path, written: &str) -> PathBuf {
    folder.join(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_numbers_with_units() {
        for (text, milliseconds) in [
            ("30s", 30_000),
            ("10m", 600_000),
            ("1h30m", 5_400_000),
            ("500ms", 500),
            ("1s500ms", 1_500),
            ("2d", 172_800_000),
            ("0s", 0),
            ("0", 0),
            (" 4s ", 4_000),
        ] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in
            ["", "s", "30", "30 s", "-1s", "1.5s", "1y", "99999999999999999999s", "999999999999h", "5000d", "1S"]
        {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn a_secret_is_never_printed() {
        assert_eq!(format!("{:?}", Secret::new("hunter2".into())), "Secret(…)");
    }
}
