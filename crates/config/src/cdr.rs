//! `[cdr]`: destinations of call records.

use std::io::{self, ErrorKind};
use std::ops::RangeInclusive;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::code;
use super::diagnostic::{Diagnostic, Findings};
use super::keys;
use super::receiver::{MAKE_SECRET, WebhookReceiver};
use super::section::Section;
use super::speech::{UrlWords, web_address};
use super::types::Config;
use super::values::{self, KeyReader};
use trunkgate_system::files;

/// Help text for a record file or store that cannot be opened.
pub const CDR_HELP: &str = "`file` must be a regular file, or new; its directory and [edge] data_directory must exist and be writable; each edge needs its own";
/// Minimum of `rotate` in bytes; enough for several records.
const ROTATE_LEAST_BYTES: u64 = 64 << 10;
/// Minimum duration of `rotate` and `keep`.
const LEAST_TIME: Duration = Duration::from_secs(60);
/// Range of `spool_size` in bytes; all spooled records are indexed in memory.
const SPOOL_SIZES: RangeInclusive<u64> = 1 << 20..=1 << 30;
/// Message texts for an invalid `url`.
const URL_WORDS: UrlWords = UrlWords {
    user: "contains a user part: use `token` for the key",
    clear: "sends records unencrypted: http:// is allowed for loopback and [edge] local_networks only",
    help: "use \"https://billing.example.com/calls\"",
    names_may_be_near: false,
};

/// Settings of `[cdr]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CdrSettings {
    /// Call record file, if configured.
    pub file: Option<CdrFile>,
    /// HTTP receiver of the records, if configured.
    pub url: Option<CdrUrl>,
}

/// Values of `[cdr]` while the section is read.
#[derive(Debug, Default)]
pub(super) struct CdrDraft {
    /// File settings; the path is empty without `file`.
    pub(super) file: CdrFile,
    /// HTTP settings; the address is empty without `url`.
    pub(super) url: CdrUrl,
}

/// HTTP receiver of call records: `url` of `[cdr]` and its delivery settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CdrUrl {
    /// Receiver to which records are posted.
    pub receiver: WebhookReceiver,
    /// Maximum size of the spool in bytes.
    pub most_waiting: u64,
}

/// Call record file: `file` of `[cdr]` with format, rotation and retention.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CdrFile {
    /// Path of the call record file.
    pub path: PathBuf,
    /// Format of the records in the file.
    pub format: CdrFormat,
    /// Maximum file size in bytes; the file is rotated before a record would exceed it.
    pub rotate_bytes: Option<u64>,
    /// Rotation interval; rotations happen at multiples of the interval since 1970-01-01 UTC.
    pub rotate_every: Option<Duration>,
    /// Rule for the deletion of rotated files.
    pub keep: CdrRetention,
}

/// Line format of the record file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CdrFormat {
    /// JSON, with one object per line.
    #[default]
    Jsonl,
    /// CSV (RFC 4180) with a header line.
    Csv,
}

/// Rule for the deletion of rotated record files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CdrRetention {
    /// Keep all files.
    #[default]
    All,
    /// Keep this many of the newest files.
    Files(usize),
    /// Keep files rotated less than this long ago.
    For(Duration),
}

/// Reads `[cdr]`.
pub(super) fn read(section: &Section<'_>, findings: &mut Findings) -> CdrSettings {
    let mut both = CdrDraft::default();
    section.fill((keys::CDR, keys::PUT_CDR), &mut both, findings);
    let (file, url) = (Some(both.file), Some(both.url));
    judge(section, file.as_ref().and_then(|file| missing_folder(&file.path)), findings);
    if let (Some(what), Some(value)) =
        (file.as_ref().and_then(|file| cannot_be_opened(&file.path)), section.get("file"))
    {
        let message = format!("`file` cannot be opened: {what}");
        findings.error(code::NO_CALL_RECORDS, value.span(), message, "name a regular file; the edge creates it");
    }
    CdrSettings {
        file: file.filter(|file| file.path != Path::new("")),
        url: url.filter(|url| !url.receiver.url.is_empty()),
    }
}

/// Warns of settings that are usable but probably a mistake.
fn judge(section: &Section<'_>, missing: Option<&Path>, findings: &mut Findings) {
    let mut warn = |key: &str, code, message: String, help: &str| {
        findings.warning(code, section.get(key).map(Spanned::span), message, help);
    };
    if let Some(folder) = missing {
        let message = format!("`file`: directory {} does not exist", folder.display());
        let help = "create it on the machine of the edge: until then records are kept in memory, and a reload fails";
        warn("file", code::NO_CALL_RECORDS, message, help);
    }
    if section.get("keep").is_some() && section.get("rotate").is_none() {
        let message = "`keep` has no effect without `rotate`: no files are rotated";
        warn("keep", code::BAD_VALUE, message.to_owned(), "rotate = \"1d\" or \"100 MiB\"");
    }
    if section.get("url").is_some() && section.get("secret").is_none() {
        let message = "`url` without `secret`: the receiver cannot verify the sender of a record";
        warn("url", code::BAD_SECRET, message.to_owned(), MAKE_SECRET);
    }
}

impl Config {
    /// Returns the diagnostics for a record file or store that could not be opened.
    pub fn cdr_refused(&self, error: &io::Error) -> Vec<Diagnostic> {
        let document = DeTable::parse(&self.written.source).ok();
        let cdr = document.as_ref().and_then(|document| document.get_ref().get("cdr"));
        let file = cdr.and_then(|cdr| cdr.get_ref().as_table()?.get("file"));
        let message = format!("[cdr] file or the store cannot be opened: {error}");
        let mut findings = Findings::default();
        match file.or(cdr).map(Spanned::span) {
            Some(span) => findings.error(code::NO_CALL_RECORDS, span, message, CDR_HELP),
            None => findings.error_of_file(code::NO_CALL_RECORDS, message, CDR_HELP),
        }
        findings.into_sorted()
    }
}

/// Returns a description of the path component that prevents a record file from being opened. Descriptors of the
/// process (`/dev/stdout`, `/dev/fd/N`) are skipped, because they are different files in the edge.
fn cannot_be_opened(path: &Path) -> Option<String> {
    let is_descriptor =
        ["/dev/std", "/dev/fd/", "/proc/"].iter().any(|of| path.as_os_str().as_bytes().starts_with(of.as_bytes()));
    if is_descriptor {
        return None;
    }
    match std::fs::metadata(path) {
        Ok(about) => files::other_than_regular(about.file_type()),
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            let above =
                path.ancestors().skip(1).find(|above| std::fs::metadata(above).is_ok_and(|about| !about.is_dir()))?;
            Some(format!("{} is not a directory", above.display()))
        }
        Err(_) => None,
    }
}

/// Returns the parent folder of a file if that folder does not exist. An unreadable parent is not reported: the edge
/// may have the permission.
fn missing_folder(path: &Path) -> Option<&Path> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty())?;
    std::fs::metadata(folder).is_err_and(|error| error.kind() == ErrorKind::NotFound).then_some(folder)
}

/// Reads `url`: the HTTP receiver of records.
pub(super) fn url(reader: &mut KeyReader<'_>) -> Option<String> {
    web_address(reader, URL_WORDS)
}

/// Reads `spool_size` in bytes.
pub(super) fn spool_size(reader: &mut KeyReader<'_>) -> Option<u64> {
    reader.size_within(SPOOL_SIZES, "is not a size from 1 MiB to 1 GiB", "use \"256 MiB\"")
}

/// Reads a path that ends in a file name.
pub(super) fn path(reader: &mut KeyReader<'_>) -> Option<PathBuf> {
    let text = reader.string()?;
    if Path::new(&text).file_name().is_none() || text.ends_with('/') {
        return reader.reject(code::BAD_VALUE, "is not a file name", "use \"cdr.jsonl\"");
    }
    Some(values::relative_to(reader.scope.folder, &text))
}

/// Reads `rotate`: a size, a duration, or a list of both.
pub(super) fn rotation(reader: &mut KeyReader<'_>) -> Option<(Option<u64>, Option<Duration>)> {
    let mut found = (None, None);
    for (text, span) in reader.one_or_list(|reader| reader.string())? {
        let (size, time) = (values::parse_size(&text), values::parse_duration(&text));
        let wrong = match (size, time) {
            (Some(size), _) if size < ROTATE_LEAST_BYTES => "is too small: minimum 64 KiB",
            (_, Some(time)) if time < LEAST_TIME || time.subsec_nanos() > 0 => "is too short: minimum 1m",
            (Some(size), _) if found.0.replace(size).is_none() => continue,
            (_, Some(time)) if found.1.replace(time).is_none() => continue,
            (None, None) => "is neither a size nor a duration",
            (Some(_), _) | (_, Some(_)) => "is a duplicate",
        };
        let help = "\"100 MiB\", \"1d\", or [\"100 MiB\", \"1d\"]";
        reader.error_at(code::BAD_VALUE, span, format!(": \"{text}\" {wrong}"), help);
    }
    Some(found)
}

/// Reads `keep`: a number of files, or a duration.
pub(super) fn keep(reader: &mut KeyReader<'_>) -> Option<CdrRetention> {
    const HELP: &str = "use a number of files (30) or an age (\"90d\")";
    if matches!(reader.value.get_ref(), DeValue::Integer(_)) {
        let files = reader.integer(1..=1_000_000)?;
        return usize::try_from(files).ok().map(CdrRetention::Files);
    }
    if matches!(reader.value.get_ref(), DeValue::String(text) if values::parse_duration(text).is_none()) {
        return reader.reject(code::BAD_DURATION, "is neither a number of files nor an age", HELP);
    }
    let time = reader.duration_as(HELP)?;
    if time < LEAST_TIME {
        return reader.reject(code::BAD_VALUE, "is too short", "\"1m\" or more");
    }
    Some(CdrRetention::For(time))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, parse};

    const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    /// Returns the diagnostic codes, and the configuration if there is no error.
    fn read(cdr: &str) -> (Vec<&'static str>, Option<Config>) {
        let text = format!("[trunk.a]\npeers = ['sip:192.0.2.9']\n[[route]]\nconnect = ['trunk:a']\n[cdr]\n{cdr}\n");
        let (found, config) = match parse(Path::new("x/trunkgate.toml"), &text) {
            Ok((config, found)) => (found, Some(config)),
            Err(found) => (found, None),
        };
        (found.iter().map(|one| one.code).filter(|code| !["TG0123", "TG0202"].contains(code)).collect(), config)
    }

    #[test]
    fn what_is_written_is_what_is_done() {
        let all = format!(
            "file = 'a/cdr.csv'\nformat = 'csv'\nrotate = ['100 MiB', '1d']\nkeep = 30\nurl = 'https://h/x?key=1'\n\
             secret = ['{SECRET}', '{SECRET}']\ntoken = 't'\ntimeout = '3s'\nspool_size = '1 GiB'"
        );
        let (found, config) = read(&all);
        assert!(found.is_empty(), "{found:?}");
        let config = config.unwrap();
        let CdrSettings { file, url } = config.cdr.clone();
        let (file, url) = (file.unwrap(), url.unwrap());
        assert_eq!((file.path.as_path(), file.format), (Path::new("x/a/cdr.csv"), CdrFormat::Csv));
        assert_eq!((file.rotate_bytes, file.rotate_every), (Some(100 << 20), Some(Duration::from_secs(86_400))));
        assert_eq!((file.keep, url.receiver.secrets.len(), url.most_waiting), (CdrRetention::Files(30), 2, 1 << 30));
        assert_eq!(url.receiver.timeout, Duration::from_secs(3));
        assert!(!format!("{url:?}").contains("whsec_"));
        let alone = read(&format!("url = 'http://127.0.0.1/'\nsecret = '{SECRET}'")).1.unwrap();
        assert_eq!(alone.cdr.file, None);
        let kept = read("file = 'c'\nrotate = '1d'\nkeep = '90d'").1.unwrap().cdr.file.unwrap().keep;
        assert_eq!(kept, CdrRetention::For(Duration::from_secs(90 * 86_400)));
    }

    #[test]
    fn what_cannot_be_done_is_refused_and_what_has_no_effect_is_told() {
        for (cdr, expected, is_taken) in [
            ("file = ''", &["TG0105"][..], false),
            ("file = 'a/'", &["TG0105"], false),
            ("file = 'a'\nformat = 'json'", &["TG0105"], false),
            ("file = 'a'\nrotate = '1 KiB'", &["TG0105"], false),
            ("file = 'a'\nrotate = '1s'", &["TG0105"], false),
            ("file = 'a'\nrotate = 'daily'", &["TG0105"], false),
            ("file = 'a'\nrotate = ['1d', '2d']", &["TG0105"], false),
            ("file = 'a'\nrotate = '1d'\nkeep = 0", &["TG0105"], false),
            ("file = 'a'\nrotate = '1d'\nkeep = '1s'", &["TG0105"], false),
            ("file = 'a'\nkeep = 3", &["TG0105"], true),
            ("format = 'csv'", &["TG0105"], true),
            ("secret = 'whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8='", &["TG0105"], true),
            ("url = 'https://h'", &["TG0110"], true),
            ("url = 'https://h'\nsecret = 'hunter2'", &["TG0110"], false),
            ("url = 'http://192.0.2.9/'", &["TG0108", "TG0110"], false),
            ("url = 'ftp://h/'", &["TG0108", "TG0110"], false),
            ("url = 'https://user:word@h/'", &["TG0108", "TG0110"], false),
            ("url = 'https://h'\nspool_size = '1 KiB'", &["TG0105", "TG0110"], false),
            ("url = 'https://h'\nca = 'nowhere.pem'", &["TG0110", "TG0114"], false),
        ] {
            let (mut found, config) = read(cdr);
            found.sort_unstable();
            assert_eq!((found.as_slice(), config.is_some()), (expected, is_taken), "{cdr}");
        }
    }

    #[test]
    fn sizes_are_numbers_with_units() {
        for (text, bytes) in [("100 MiB", 100 << 20), ("1GB", 1_000_000_000), (" 64 KiB ", 64 << 10), ("7 B", 7)] {
            assert_eq!(values::parse_size(text), Some(bytes), "{text}");
        }
        for text in ["", "MiB", "100", "1d", "1.5 GiB", "-1 B", "99999999999999999999 B", "99999999999 GiB", "1 mib"] {
            assert_eq!(values::parse_size(text), None, "{text}");
        }
    }
}
