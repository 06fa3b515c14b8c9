//! Loads a file into a configuration, or into the list of its errors.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::DeTable;
use trunkgate_route::App;

use super::changes::WrittenConfig;
use super::checks;
use super::clients::SpannedClient;
use super::code;
use super::diagnostic::{Diagnostic, Findings, line_and_column};
use super::draft::{ConfigDraft, SpannedApp};
use super::emergency::is_pbx;
use super::places::ConfigLines;
use super::route_files;
use super::schema::{self, ConfigFile};
use super::syntax::SyntaxHelp;
use super::types::{ApiSettings, Config, HttpSettings};
use trunkgate_system::files;
use trunkgate_system::limits::CONFIG_FILE_BYTES;

/// Maximum size in bytes of a `routes_file` that is read when only the address of a running edge is wanted.
const QUICK_BYTES: u64 = 1 << 18;

/// Reads and checks a file; returns the configuration with its warnings.
///
/// # Errors
/// Returns every error and warning if the file cannot be read or has an error.
pub fn load(path: &Path) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
    parse(path, &not_empty(source(path)?)?)
}

/// Reads a file for a verb that only inspects it, as far as possible, and returns all diagnostics. Parts with errors
/// are left out, as are secrets and files that cannot be read here.
///
/// # Errors
/// Returns the diagnostics if nothing can be read.
pub fn load_to_look(path: &Path) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
    read(path, &not_empty(source(path)?)?, u64::MAX, ErrorTolerance::All)
}

/// Returns the configuration for an unreadable file: every key has its default.
pub fn unread(path: &Path) -> Config {
    let mut findings = Findings::default();
    let draft = schema::read(ConfigFile { path, source: "" }, &DeTable::parse_recoverable("").0, &mut findings);
    config(path, "", draft)
}

/// Returns whether an error concerns a secret or file that only the service may be able to read.
pub fn is_of_service(found: &Diagnostic) -> bool {
    [code::BAD_SECRET.id, code::BAD_FILE.id].contains(&found.code)
}

/// Errors that do not reject the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ErrorTolerance {
    None,
    All,
}

/// Reads `[http]` for verbs that contact a running edge, even if other parts of the file are being edited and have
/// errors. Large `routes_file`s are skipped. With `has_token` an unreadable token in the file is ignored.
///
/// # Errors
/// Returns every error and warning if `[http]` is affected.
pub fn load_http(path: &Path, has_token: bool) -> Result<(HttpSettings, Vec<Diagnostic>), Vec<Diagnostic>> {
    let source = source(path)?;
    let found = match read(path, &source, QUICK_BYTES, ErrorTolerance::None) {
        Ok((config, _)) => return Ok((config.http, Vec::new())),
        Err(found) => found,
    };
    let of = |source: &str| http_of(path, source, has_token);
    match of(&source).or_else(|lines| of(&closed(&source, &lines))) {
        Ok(http) => Ok((http, found)),
        Err(_) => Err(found),
    }
}

/// Reads `[http]` of a file with errors elsewhere.
///
/// # Errors
/// Returns the lines with syntax errors if `[http]` has an error, or may be among these lines.
fn http_of(path: &Path, source: &str, has_token: bool) -> Result<HttpSettings, Vec<usize>> {
    let mut findings = Findings::default();
    let (document, syntax) = DeTable::parse_recoverable(source);
    let (http, is_there) = schema::http(ConfigFile { path, source }, &document, &mut findings);
    findings.retain(|one| !(has_token && one.code == code::BAD_SECRET.id));
    let damaged = syntax.iter().filter(|error| error.message() != "duplicate key");
    let lines: Vec<usize> =
        damaged.map(|error| line_and_column(source, error.span().unwrap_or(0..0).start).0).collect();
    // An unreadable line may have been the `[http]` header.
    let elsewhere = |line: &usize| header_over(source, *line).is_some_and(|header| header != "[http]");
    let is_whole = match is_there {
        true => lines.iter().all(elsewhere),
        false => lines.is_empty() || !may_name_http(source, &lines),
    };
    if findings.has_errors() || !is_whole { Err(lines) } else { Ok(http) }
}

/// Returns whether a file without a readable `[http]` may contain one in its damaged lines.
fn may_name_http(source: &str, damaged: &[usize]) -> bool {
    source.lines().zip(1..).any(|(line, number)| {
        let line = line.trim_start();
        line.trim_start_matches(['[', ' ']).starts_with("http") || (line.starts_with('[') && damaged.contains(&number))
    })
}

/// Returns the file with the missing quotation mark or header brackets added to these lines, which repairs the most
/// frequent typing errors.
fn closed(source: &str, lines: &[usize]) -> String {
    let close = |(at, line): (usize, &str)| {
        let is_damaged = lines.contains(&(at + 1));
        let header = line.trim();
        let brackets = match () {
            () if !is_damaged || header.contains(']') => "",
            () if header.starts_with("[[") => "]]",
            () if header.starts_with('[') => "]",
            () => "",
        };
        let is_open = is_damaged && line.matches('"').count() % 2 == 1;
        format!("{line}{}{brackets}\n", if is_open { "\"" } else { "" })
    };
    source.lines().enumerate().map(close).collect()
}

/// Reads a configuration file as text.
///
/// # Errors
/// Returns the system's error, or an error if the file is too large or not UTF-8.
pub fn text(path: &Path) -> io::Result<String> {
    files::read_to_string(path, CONFIG_FILE_BYTES)
}

/// Rejects a file without any table or key. A file looks like that before an editor has written it, and a reload would
/// remove every trunk.
fn not_empty(source: String) -> Result<String, Vec<Diagnostic>> {
    let is_blank = |line: &str| line.is_empty() || line.starts_with('#');
    if source.trim_start_matches('\u{feff}').lines().any(|line| !is_blank(line.trim())) {
        return Ok(source);
    }
    let mut findings = Findings::default();
    let message = "the configuration file contains no setting: it is empty, or has only comments";
    let help = "a file that is being written may be empty for a moment: write to a temporary name and rename it";
    findings.error_of_file(code::UNREADABLE, message, help);
    Err(findings.into_sorted())
}

fn source(path: &Path) -> Result<String, Vec<Diagnostic>> {
    text(path).map_err(|error| {
        let mut findings = Findings::default();
        let help = "restore the file, or write a first one with `trunkgate init`";
        findings.error_of_file(code::UNREADABLE, format!("cannot read the configuration: {error}"), help);
        findings.into_sorted()
    })
}

/// Returns the header of the table that contains a line, counted from 1; `None` above the first header.
fn header_over(source: &str, line: usize) -> Option<&str> {
    source.lines().take(line).map(str::trim).filter(|text| text.starts_with('[')).last()
}

/// Parses and checks a configuration text; positions and relative paths refer to `path`.
///
/// # Errors
/// Returns every error and warning if the text has an error.
pub fn parse(path: &Path, source: &str) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
    read(path, source, u64::MAX, ErrorTolerance::None)
}

/// Parses and checks a text, skipping routes files above a size.
fn read(
    path: &Path,
    source: &str,
    most_bytes: u64,
    excused: ErrorTolerance,
) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut findings = Findings::of(source);
    let (document, mut syntax) = DeTable::parse_recoverable(source);
    // Errors that follow from a syntax error come after it.
    syntax.sort_by_key(|error| error.span().map_or(0, |span| span.start));
    let file = ConfigFile { path, source };
    let mut draft = schema::read(file, &document, &mut findings);
    let mut damaged = BTreeSet::new();
    for error in syntax {
        let span = error.span().unwrap_or(0..0);
        let line = line_and_column(source, span.start).0;
        if error.message() == "duplicate key" {
            // The key is read nevertheless, because only its duplicate is in doubt.
            let key = source.get(span.clone()).unwrap_or_default();
            let first =
                first_of(source, &span).map(|line| format!(": the first is in line {line}")).unwrap_or_default();
            findings.error(code::DUPLICATE, span, format!("duplicate key `{key}`{first}"), "keep one of them");
            continue;
        }
        let slip = SyntaxHelp::of(source, span, error.message(), &mut damaged);
        if damaged.insert(line)
            && let Some(SyntaxHelp { span, help }) = slip
        {
            findings.error(code::SYNTAX, span, "not valid TOML", help);
        }
    }
    if damaged.is_empty() {
        route_files::read(&mut draft, file.folder(), most_bytes, &mut findings);
        checks::judge(&draft, ephemeral_ports(), &mut findings);
    } else {
        let doubtful = doubtful_lines(source, &damaged);
        findings.retain(|found| {
            let line = found.span.as_ref().map(|span| line_and_column(source, span.start).0);
            let is_sure = found.code != code::MISSING.id && line.is_none_or(|line| !doubtful.contains(&line));
            found.code == code::SYNTAX.id || is_sure
        });
    }
    for (preset, places) in draft.trunks.iter().filter_map(|trunk| trunk.preset.as_ref()) {
        findings.come_from(preset, places);
    }
    if findings.has_errors() && excused == ErrorTolerance::None {
        return Err(findings.into_sorted());
    }
    let mut config = config(path, source, draft);
    if most_bytes == u64::MAX {
        config.written = Arc::new(WrittenConfig::of(&config, source, file.folder()));
    }
    Ok((config, findings.into_sorted()))
}

/// Returns the line, from 1, of the first occurrence of a duplicated key or header, if it starts a line under the same
/// header.
fn first_of(source: &str, again: &Range<usize>) -> Option<usize> {
    let (line, _) = line_and_column(source, again.start);
    let text = source.lines().nth(line - 1)?.trim();
    let header =
        |text: &str| text.starts_with('[').then(|| text.split('#').next().unwrap_or_default().trim().to_owned());
    let key = |text: &str| Some(text.split_once('=')?.0.trim().to_owned());
    let mut lines = source.lines().map(str::trim).enumerate().take(line - 1);
    if let Some(sought) = header(text) {
        return lines.find(|(_, text)| header(text).as_ref() == Some(&sought)).map(|(at, _)| at + 1);
    }
    let (sought, under) = (key(text)?, header_over(source, line).and_then(header));
    let mut above = None;
    lines.find_map(|(at, text)| {
        above = header(text).or_else(|| above.take());
        (above == under && key(text).as_ref() == Some(&sought)).then_some(at + 1)
    })
}

/// Returns the lines for which no further errors are reported: the damaged ones and those under a damaged header.
fn doubtful_lines(source: &str, damaged: &BTreeSet<usize>) -> BTreeSet<usize> {
    let mut doubtful = BTreeSet::new();
    let mut under_damage = false;
    for (line, text) in (1..).zip(source.lines()) {
        if text.trim_start().starts_with('[') {
            under_damage = damaged.contains(&line);
        }
        if under_damage || damaged.contains(&line) {
            doubtful.insert(line);
        }
    }
    doubtful
}

/// Returns the file to use: `--config`, `$TRUNKGATE_CONFIG`, `./trunkgate.toml` or `/etc/trunkgate/trunkgate.toml`. An
/// explicit path is used even if it does not exist; of the others, the first existing one.
pub fn find(given: Option<&Path>) -> Option<PathBuf> {
    if let Some(path) = given {
        return Some(path.to_owned());
    }
    if let Some(path) = std::env::var_os("TRUNKGATE_CONFIG").filter(|path| !path.is_empty()) {
        return Some(path.into());
    }
    ["trunkgate.toml", "/etc/trunkgate/trunkgate.toml"].map(PathBuf::from).into_iter().find(|path| path.exists())
}

fn config(path: &Path, source: &str, draft: ConfigDraft) -> Config {
    Config {
        path: path.to_owned(),
        places: ConfigLines::of(&draft, source),
        written: Arc::default(),
        edge: draft.edge,
        listen: draft.listen.into_iter().map(|placed| placed.listen).collect(),
        media: draft.media,
        limits: draft.limits,
        http: draft.http,
        acme: draft.acme.map(|placed| placed.acme),
        trunk_tls: draft.trunks.iter().filter_map(|one| Some((one.trunk.name.clone(), one.tls.clone()?))).collect(),
        pbx_trunks: draft.trunks.iter().filter(|one| is_pbx(one)).map(|one| one.trunk.name.clone()).collect(),
        trunks: draft.trunks.into_iter().map(|placed| placed.trunk).collect(),
        announcements: draft.agents.iter().filter_map(|placed| placed.said.clone()).collect(),
        speech: draft.speech,
        speech_is_off: draft.speech_is_off,
        recogniser: draft.recognition,
        agents: draft.agents.into_iter().map(|placed| placed.agent).collect(),
        app_settings: draft.apps.iter().map(|one| (one.app.name.clone(), one.settings.clone())).collect(),
        apps: apps(draft.apps, &draft.api.api),
        sounds: draft.sounds.into_audio(),
        mailboxes: draft.mailboxes.into_iter().map(|placed| placed.mailbox).collect(),
        numbers: draft.numbers.into_iter().map(|placed| placed.number).collect(),
        clients: draft.clients.into_iter().map(SpannedClient::into_entry).collect(),
        api: draft.api.api,
        routes: draft.routes.into_iter().map(|placed| placed.route).collect::<Vec<_>>().into(),
        log: draft.log,
        cdr: draft.cdr,
        alerts: draft.alerts,
        recording: draft.recording.map(|recording| {
            let transcription = draft.transcription.map(Arc::new);
            let mail = draft.mail.map(Arc::new);
            super::recording::RecordingSettings { transcription, mail, ..recording }
        }),
        data: draft.data,
        hep: draft.hep,
        otel: draft.otel,
        sms: draft.sms.map(Arc::new),
        messages: Arc::new(draft.messages),
    }
}

/// Returns the applications. Numbers that they dial use the trunks of `[api]`, whose token signs their streams.
fn apps(placed: Vec<SpannedApp>, api: &ApiSettings) -> Vec<App> {
    let auth_token = api.auth_token.as_ref().map(|token| token.reveal().to_owned());
    let with = |app| App { connect: api.connect.clone(), auth_token: auth_token.clone(), ..app };
    placed.into_iter().map(|placed| with(placed.app)).collect()
}

/// Returns the kernel's range of ephemeral ports.
fn ephemeral_ports() -> Option<(u16, u16)> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut numbers = text.split_whitespace().map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}
