//! Reader of one value: each method reads a kind of value, or reports at its position that it is not one.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use toml::de::DeValue;

use super::code::{self, DiagnosticCode};
use super::diagnostic::Findings;
use super::draft::SourceSpan;
use super::keys::{ConfigKey, ReadScope, SECRET};
use super::nearest;
use super::section::{Section, SpannedValue};
use super::types::Secret;
use super::unquoted;
use trunkgate_system::files;

/// Maximum length of a trunk, listener, route or edge name, in bytes. Names are metric labels and parts of paths.
const MAX_NAME_BYTES: usize = 64;

/// Value of a key that is being read, with all that its meaning may depend on.
#[derive(Debug)]
pub(crate) struct KeyReader<'a> {
    /// Name of the key, for messages.
    pub(super) key: &'a str,
    /// Value of the key, with its position.
    pub(super) value: &'a SpannedValue<'a>,
    /// Parts of the configuration to which the value may refer.
    pub(super) scope: ReadScope<'a>,
    /// Diagnostics to which errors are added.
    pub(super) findings: &'a mut Findings,
}

impl<'a> KeyReader<'a> {
    /// Returns the position of the value.
    pub(super) fn span(&self) -> SourceSpan {
        self.value.span()
    }

    /// Reports an error at the position of the value. `what` continues the sentence that the key begins: `is empty`,
    /// `: "x" is not a date`.
    pub(super) fn error(&mut self, code: DiagnosticCode, what: impl Display, help: impl Into<String>) {
        self.error_at(code, self.value.span(), what, help);
    }

    /// Reports an error in a part of the value.
    pub(super) fn error_at(
        &mut self,
        code: DiagnosticCode,
        span: SourceSpan,
        what: impl Display,
        help: impl Into<String>,
    ) {
        self.findings.error(code, span, self.sentence(what), help);
    }

    /// Reports an error, and returns that there is no value.
    pub(super) fn reject<T>(&mut self, code: DiagnosticCode, what: impl Display, help: impl Into<String>) -> Option<T> {
        self.error(code, what, help);
        None
    }

    /// Reports a warning at the position of the value.
    pub(super) fn warning(&mut self, code: DiagnosticCode, what: impl Display, help: impl Into<String>) {
        self.findings.warning(code, Some(self.value.span()), self.sentence(what), help);
    }

    fn sentence(&self, what: impl Display) -> String {
        let what = what.to_string();
        let gap = if what.starts_with(':') { "" } else { " " };
        format!("`{}`{gap}{what}", self.key)
    }

    /// Reports a value of the wrong type; `wanted` describes the right one.
    pub(super) fn wrong_type<T>(&mut self, wanted: &str) -> Option<T> {
        wrong_type(self.key, self.value, wanted, self.findings);
        None
    }

    /// Opens a table with these keys.
    pub(super) fn section(&mut self, keys: &'static [ConfigKey]) -> Option<Section<'a>> {
        Section::open(&format!("`{}`", self.key), self.value, keys, self.scope, self.findings)
    }

    /// Returns the text of a string; `None` for values of other types, which are not reported.
    pub(super) fn text(&self) -> Option<&'a str> {
        self.value.get_ref().as_str()
    }

    /// Returns whether the value is a list without items.
    pub(super) fn is_empty_list(&self) -> bool {
        self.value.get_ref().as_array().is_some_and(|list| list.is_empty())
    }

    /// Returns the number of items as written; 1 for a value without brackets.
    pub(super) fn written_items(&self) -> usize {
        self.value.get_ref().as_array().map_or(1, |list| list.len())
    }

    /// Reads a string.
    pub(super) fn string(&mut self) -> Option<String> {
        if let Some(text) = self.text() {
            return Some(text.to_owned());
        }
        let is_single = !self.value.get_ref().is_array() && !self.value.get_ref().is_table();
        let help = match self.findings.written(self.value.span()) {
            written if is_single && !written.is_empty() => {
                format!("should be a string: write \"{written}\"")
            }
            _ => "should be a string".to_owned(),
        };
        of_other_type(self.key, self.value, help, self.findings);
        None
    }

    /// Reads `true` or `false`.
    pub(super) fn boolean(&mut self) -> Option<bool> {
        let found = self.value.get_ref().as_bool();
        if found.is_none() {
            let meant = unquoted::boolean(self.findings.written(self.value.span()));
            let help = meant.map_or("should be true or false".to_owned(), |meant| {
                format!("should be true or false: write {meant}")
            });
            of_other_type(self.key, self.value, help, self.findings);
        }
        found
    }

    /// Reads an integer within `allowed`.
    pub(super) fn integer(&mut self, allowed: RangeInclusive<u32>) -> Option<u32> {
        let Some(written) = self.value.get_ref().as_integer() else {
            let meant = self.text().and_then(unquoted::number);
            let help =
                meant.map_or("should be an integer".to_owned(), |meant| format!("should be an integer: write {meant}"));
            of_other_type(self.key, self.value, help, self.findings);
            return None;
        };
        let number = i64::from_str_radix(written.as_str(), written.radix()).ok();
        let number = number.and_then(|number| u32::try_from(number).ok()).filter(|number| allowed.contains(number));
        if number.is_none() {
            let help = match *allowed.end() {
                u32::MAX => format!("{} or more", allowed.start()),
                end => format!("{} to {end}", allowed.start()),
            };
            self.error(code::BAD_VALUE, "is out of range", help);
        }
        number
    }

    /// Reads one word of a fixed set.
    pub(super) fn one_of<T: Copy>(&mut self, known: &[(&str, T)]) -> Option<T> {
        let all = || format!("one of {}", known.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", "));
        let Some(text) = self.text() else { return self.wrong_type(&all()) };
        if let Some((_, meaning)) = known.iter().find(|(word, _)| *word == text) {
            return Some(*meaning);
        }
        // A different number is not a misspelling.
        let letters = |word: &str| word.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
        let help = match nearest(text, known.iter().map(|(word, _)| *word)) {
            Some(word) if letters(word) != letters(text) => format!("did you mean \"{word}\"?"),
            Some(_) | None => all(),
        };
        self.reject(code::BAD_VALUE, format!("cannot be \"{text}\""), help)
    }

    /// Reads a name that is valid in metrics, paths and targets.
    pub(super) fn name(&mut self) -> Option<String> {
        let text = self.string()?;
        name_text(self.key, &text, self.value.span(), self.findings).then_some(text)
    }

    /// Reads a list and returns the valid items with their positions. Each item is read separately, so that all invalid
    /// ones are reported.
    pub(super) fn list<T>(
        &mut self,
        item: impl FnMut(&mut KeyReader<'_>) -> Option<T>,
    ) -> Option<Vec<(T, SourceSpan)>> {
        if self.value.get_ref().is_array() { self.one_or_list(item) } else { self.wrong_type("a list") }
    }

    /// Reads a list, or a single item without brackets.
    pub(super) fn one_or_list<T>(
        &mut self,
        mut item: impl FnMut(&mut KeyReader<'_>) -> Option<T>,
    ) -> Option<Vec<(T, SourceSpan)>> {
        let Some(list) = self.value.get_ref().as_array() else {
            return item(self).map(|read| vec![(read, self.value.span())]);
        };
        let read = |value: &'a SpannedValue<'a>| {
            let read = item(&mut KeyReader { key: self.key, value, scope: self.scope, findings: self.findings })?;
            Some((read, value.span()))
        };
        Some(list.iter().filter_map(read).collect())
    }

    /// Reads a list, or a single item without brackets, and returns the valid items.
    pub(super) fn items<T>(&mut self, item: impl FnMut(&mut KeyReader<'_>) -> Option<T>) -> Option<Vec<T>> {
        Some(self.one_or_list(item)?.into_iter().map(|(item, _)| item).collect())
    }

    /// Reads a list and returns the valid items.
    pub(super) fn list_items<T>(&mut self, item: impl FnMut(&mut KeyReader<'_>) -> Option<T>) -> Option<Vec<T>> {
        Some(self.list(item)?.into_iter().map(|(item, _)| item).collect())
    }

    /// Returns the entries of a table with free names, in file order; reports any other value as not being `wanted`.
    pub(super) fn entries(&mut self, wanted: &str) -> Option<Vec<TableEntry<'a>>> {
        let Some(table) = self.value.get_ref().as_table() else { return self.wrong_type(wanted) };
        let mut entries: Vec<_> =
            table.iter().map(|(name, value)| TableEntry { name: name.get_ref(), span: name.span(), value }).collect();
        entries.sort_by_key(|entry| entry.span.start);
        Some(entries)
    }

    /// Returns the reader of an entry.
    pub(super) fn entry<'b>(&'b mut self, entry: &TableEntry<'b>) -> KeyReader<'b> {
        KeyReader { key: entry.name, value: entry.value, scope: self.scope, findings: self.findings }
    }

    /// Reads a duration: `"30s"`, `"1h30m"`, `"500ms"`; zero also as the integer 0.
    pub(super) fn duration(&mut self) -> Option<Duration> {
        let seconds =
            self.value.get_ref().as_integer().map(|number| format!("write \"{}s\" for seconds", number.as_str()));
        let help = seconds.as_deref().unwrap_or("use \"500ms\", \"30s\", \"10m\" or \"1h30m\"; \"0s\" is off");
        self.duration_as(help)
    }

    /// Reads a duration; `help` has the correction for an invalid one.
    pub(super) fn duration_as(&mut self, help: &str) -> Option<Duration> {
        let found = match self.value.get_ref() {
            DeValue::String(text) => parse_duration(text),
            DeValue::Integer(number) if number.as_str() == "0" => Some(Duration::ZERO),
            DeValue::Integer(_) => return self.reject(code::BAD_DURATION, "has no unit", help),
            DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                return self.wrong_type("a duration as \"30s\"");
            }
        };
        if found.is_none() {
            self.error(code::BAD_DURATION, "is not a duration", help);
        }
        found
    }

    /// Reads a duration, and warns with `what` if it is shorter than `least` but not zero.
    pub(super) fn duration_of(&mut self, (least, what): (Duration, &str)) -> Option<Duration> {
        let found = self.duration()?;
        if !found.is_zero() && found < least {
            let help = format!("minimum \"{}\"; \"0s\" is off", written(least));
            self.warning(code::BAD_VALUE, format!("is very short: {what}"), help);
        }
        Some(found)
    }

    /// Reads a duration within `allowed`; `help` describes the range.
    pub(super) fn duration_within(&mut self, allowed: RangeInclusive<Duration>, help: &str) -> Option<Duration> {
        let found = self.duration_as(help)?;
        if allowed.contains(&found) { Some(found) } else { self.reject(code::BAD_VALUE, "is out of range", help) }
    }

    /// Reads a size in bytes within `allowed`; `what` describes the range.
    pub(super) fn size_within(&mut self, allowed: RangeInclusive<u64>, what: &str, help: &str) -> Option<u64> {
        let size = parse_size(&self.string()?).filter(|size| allowed.contains(size));
        if size.is_some() { size } else { self.reject(code::BAD_VALUE, what, help) }
    }

    /// Reads an address and port to bind; port 0 selects a free port.
    pub(super) fn socket_address(&mut self) -> Option<SocketAddr> {
        let text = self.string()?;
        if let Ok(address) = text.parse() {
            return Some(address);
        }
        let help = match text.parse::<IpAddr>() {
            Ok(IpAddr::V4(v4)) => format!("the port is missing: write \"{v4}:5060\""),
            Ok(IpAddr::V6(v6)) => format!("the port is missing: write \"[{v6}]:5060\""),
            Err(_) => "use an IP address and port: \"0.0.0.0:5060\" or \"[::]:5060\"".to_owned(),
        };
        self.reject(code::BAD_ADDRESS, "is not an address with port", help)
    }

    /// Reads an IP address.
    pub(super) fn address(&mut self) -> Option<IpAddr> {
        let text = self.string()?;
        let address = text.parse().ok();
        if address.is_none() {
            let help = "use an IP address without port: \"203.0.113.10\" or \"2001:db8::10\"";
            self.error(code::BAD_ADDRESS, format!(": \"{text}\" is not an address"), help);
        }
        address
    }

    /// Reads an address that peers can send to.
    pub(super) fn public_address(&mut self) -> Option<IpAddr> {
        let found = self.address()?;
        if found.is_unspecified() || found.is_multicast() {
            let help = "use the single address that the peer can send to";
            return self.reject(code::BAD_ADDRESS, format!("cannot be {found}"), help);
        }
        Some(found)
    }

    /// Reads a network; a single address is a network of one.
    pub(super) fn network(&mut self) -> Option<IpNet> {
        let text = self.string()?;
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(IpNet::from(address));
        }
        if let Ok(network) = text.parse::<IpNet>() {
            return Some(network.trunc());
        }
        let help = "use a network or address: \"198.51.100.0/24\" or \"2001:db8::1\"";
        self.reject(code::BAD_ADDRESS, format!(": \"{text}\" is not a network"), help)
    }

    /// Reads a path, relative to the folder of the configuration.
    pub(super) fn path(&mut self) -> Option<PathBuf> {
        Some(relative_to(self.scope.folder, &self.string()?))
    }

    /// Reads a secret: a string, `{ env = "NAME" }` or `{ file = "PATH" }`, of which the contents are read immediately.
    pub(super) fn secret(&mut self) -> Option<Secret> {
        if let Some(text) = self.text() {
            if let Some(name) = variable(text) {
                let help = format!("write {{ env = \"{name}\" }} to use its content");
                self.warning(code::BAD_SECRET, "is taken literally: no environment variable is read", help);
            }
            return self.not_empty(text, self.value.span());
        }
        if !self.value.get_ref().is_table() {
            return self.wrong_type("a string, { env = \"NAME\" } or { file = \"PATH\" }");
        }
        let section = self.section(SECRET)?;
        match (section.get("env"), section.get("file")) {
            (Some(env), None) => {
                let name = section.read("env", self.findings, |reader| reader.string())?;
                let Ok(text) = std::env::var(&name) else {
                    let what = format!(": environment variable {name} is not set");
                    self.error_at(code::BAD_SECRET, env.span(), what, format!("set {name} before starting the edge"));
                    return None;
                };
                self.not_empty(&text, env.span())
            }
            (None, Some(file)) => {
                let path = section.read("file", self.findings, |reader| reader.path())?;
                match files::read_to_string(&path, trunkgate_system::limits::SECRET_FILE_BYTES) {
                    Ok(text) => self.not_empty(text.trim_end_matches(['\r', '\n']), file.span()),
                    Err(error) => {
                        let what = format!(": {}: {error}", path.display());
                        let help = "use a readable file that contains the secret";
                        self.error_at(code::BAD_SECRET, file.span(), what, help);
                        None
                    }
                }
            }
            (Some(_), Some(_)) | (None, None) => {
                let help = "write { env = \"NAME\" } or { file = \"PATH\" }";
                self.reject(code::BAD_SECRET, "must have exactly one of `env` and `file`", help)
            }
        }
    }

    fn not_empty(&mut self, text: &str, span: SourceSpan) -> Option<Secret> {
        if text.is_empty() {
            self.error_at(code::BAD_SECRET, span, "is empty", "an empty secret protects nothing");
            return None;
        }
        Some(Secret::new(text.to_owned()))
    }
}

/// Entry of a table with free names.
#[derive(Debug, Clone)]
pub(super) struct TableEntry<'a> {
    /// Name as written by the user.
    pub(super) name: &'a str,
    /// Position of the name.
    pub(super) span: SourceSpan,
    /// Value of the entry.
    pub(super) value: &'a SpannedValue<'a>,
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

/// Returns the name in `$NAME` or `${NAME}`, as in a shell.
fn variable(text: &str) -> Option<&str> {
    let name = text.strip_prefix('$')?;
    let name = name.strip_prefix('{').and_then(|name| name.strip_suffix('}')).unwrap_or(name);
    let fits = |c: char| c == '_' || c.is_ascii_uppercase() || c.is_ascii_digit();
    (name.starts_with(|c: char| c == '_' || c.is_ascii_uppercase()) && name.chars().all(fits)).then_some(name)
}

/// Parses a size such as `100 MiB` or `1GB` into bytes.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let unit: u64 = match unit.trim_start() {
        "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
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
