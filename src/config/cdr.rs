//! `[cdr]`: where call records go.

use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeValue;

use super::code;
use super::diagnostic::Findings;
use super::section::{Section, Value};
use super::values;

/// Smallest `rotate` in bytes: some records.
const ROTATE_LEAST_BYTES: u64 = 64 << 10;
/// Shortest `rotate` and `keep`.
const LEAST_TIME: Duration = Duration::from_secs(60);
/// Keys of a file.
const OF_FILE: [&str; 3] = ["format", "rotate", "keep"];

/// `[cdr]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cdr {
    /// The file of call records.
    pub file: Option<CdrFile>,
}

/// `file` of `[cdr]`, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CdrFile {
    /// Where it is.
    pub path: PathBuf,
    /// What its lines are.
    pub format: CdrFormat,
    /// It is put aside before it is longer, in bytes.
    pub rotate_bytes: Option<u64>,
    /// It is put aside after this time: at multiples of it since 1970-01-01, UTC.
    pub rotate_every: Option<Duration>,
    /// How many of those that were put aside stay.
    pub keep: Keep,
}

/// What the lines of the file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CdrFormat {
    /// JSON objects.
    Jsonl,
    /// RFC 4180, with a first line of names.
    Csv,
}

/// Which of the files that were put aside stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// All.
    All,
    /// The newest, so many.
    Files(usize),
    /// Those that were put aside less than so long ago.
    For(Duration),
}

/// Reads the section.
pub(super) fn read(section: &Section<'_>, folder: &Path, findings: &mut Findings) -> Cdr {
    let path = section.read("file", findings, path).map(|written| values::relative_to(folder, &written));
    let formats = [("jsonl", CdrFormat::Jsonl), ("csv", CdrFormat::Csv)];
    let format = section.read("format", findings, |key, value, f| values::one_of(key, value, f, &formats));
    let (rotate_bytes, rotate_every) = section.read("rotate", findings, rotation).unwrap_or_default();
    let keep = section.read("keep", findings, keep).unwrap_or(Keep::All);
    if section.get("file").is_none() {
        for (key, value) in OF_FILE.iter().filter_map(|key| Some((key, section.get(key)?))) {
            let message = format!("`{key}` has no effect without `file`");
            findings.warning(code::BAD_VALUE, Some(value.span()), message, "file = \"cdr.jsonl\"");
        }
    }
    if let Some(value) = section.get("keep").filter(|_| section.get("rotate").is_none()) {
        let message = "`keep` has no effect without `rotate`: nothing is put aside";
        findings.warning(code::BAD_VALUE, Some(value.span()), message, "rotate = \"1d\" or \"100 MiB\"");
    }
    let format = format.unwrap_or(CdrFormat::Jsonl);
    Cdr { file: path.map(|path| CdrFile { path, format, rotate_bytes, rotate_every, keep }) }
}

/// A path that names a file.
fn path(key: &str, value: &Value<'_>, findings: &mut Findings) -> Option<String> {
    let text = values::string(key, value, findings)?;
    if Path::new(&text).file_name().is_none() || text.ends_with('/') {
        findings.error(code::BAD_VALUE, value.span(), format!("`{key}` names no file"), "as \"cdr.jsonl\"");
        return None;
    }
    Some(text)
}

/// A size, a time, or a list of both.
fn rotation(key: &str, value: &Value<'_>, findings: &mut Findings) -> Option<(Option<u64>, Option<Duration>)> {
    let mut found = (None, None);
    for (text, span) in values::one_or_list(key, value, findings, values::string)? {
        let (size, time) = (parse_size(&text), values::parse_duration(&text));
        let wrong = match (size, time) {
            (Some(size), _) if size < ROTATE_LEAST_BYTES => "is too small: 64 KiB or more",
            (_, Some(time)) if time < LEAST_TIME || time.subsec_nanos() > 0 => "is too short: 1m or more",
            (Some(size), _) if found.0.replace(size).is_none() => continue,
            (_, Some(time)) if found.1.replace(time).is_none() => continue,
            (None, None) => "is neither a size nor a time",
            (Some(_), _) | (_, Some(_)) => "is there twice",
        };
        let help = "\"100 MiB\", \"1d\", or [\"100 MiB\", \"1d\"]";
        findings.error(code::BAD_VALUE, span, format!("`{key}`: \"{text}\" {wrong}"), help);
    }
    Some(found)
}

/// A number of files, or a time.
fn keep(key: &str, value: &Value<'_>, findings: &mut Findings) -> Option<Keep> {
    if matches!(value.get_ref(), DeValue::Integer(_)) {
        let files = values::integer(key, value, findings, 1..=1_000_000)?;
        return usize::try_from(files).ok().map(Keep::Files);
    }
    let time = values::duration_as(key, value, "a number of files as 30, or a time as \"90d\"", findings)?;
    if time < LEAST_TIME {
        findings.error(code::BAD_VALUE, value.span(), format!("`{key}` is too short"), "\"1m\" or more");
        return None;
    }
    Some(Keep::For(time))
}

/// `100 MiB`, `1GB`, in bytes.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_numbers_with_units() {
        for (text, bytes) in [("100 MiB", 100 << 20), ("1GB", 1_000_000_000), (" 64 KiB ", 64 << 10), ("7 B", 7)] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in ["", "MiB", "100", "1d", "1.5 GiB", "-1 B", "99999999999999999999 B", "99999999999 GiB", "1 mib"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }
}
