//! From a file's bytes to a configuration, or to everything that is wrong with it.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::DeTable;
use trunkgate_route::App;

use super::changes::Written;
use super::checks;
use super::clients::PlacedClient;
use super::code;
use super::diagnostic::{Diagnostic, Findings, line_and_column};
use super::draft::{Draft, PlacedApp};
use super::emergency::is_pbx;
use super::places::Places;
use super::route_files;
use super::schema::{self, File};
use super::syntax::Slip;
use super::types::{Api, Config, Http};
use trunkgate_system::files;
use trunkgate_system::limits::CONFIG_FILE_BYTES;

/// Larger `routes_file`s, in bytes, are not read for who only wants to know where an edge is.
const QUICK_BYTES: u64 = 1 << 18;

/// Reads and judges a file: the configuration with warnings, or everything that is wrong.
///
/// # Errors
/// Every error and warning found.
pub fn load(path: &Path) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
    parse(path, &not_empty(source(path)?)?)
}

/// Reads what can be read of a file, for a verb that only looks, with everything that is wrong: parts with errors are left out,
/// and so are secrets and files that cannot be read here.
///
/// # Errors
/// What is wrong, where nothing can be read.
pub fn load_to_look(path: &Path) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
    read(path, &not_empty(source(path)?)?, u64::MAX, Excused::All)
}

/// Returns the configuration that stands for a file in which nothing can be read: every key has its default.
pub fn unread(path: &Path) -> Config {
    let mut findings = Findings::default();
    let draft = schema::read(File { path, source: "" }, &DeTable::parse_recoverable("").0, &mut findings);
    config(path, "", draft)
}

/// Whether an error is of a secret or file that may be readable for the service alone.
pub fn is_of_service(found: &Diagnostic) -> bool {
    [code::BAD_SECRET.id, code::BAD_FILE.id].contains(&found.code)
}

/// Errors that stop nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Excused {
    None,
    All,
}

/// `[http]` of a file, for who needs no more of it, with all that is wrong elsewhere: a running edge is asked by it, and
/// ended, while the file is being changed. Large `routes_file`s are left out. Who `has_token` needs not that of the file,
/// which may be readable for the edge alone.
///
/// # Errors
/// Every error and warning found, where `[http]` is among what is wrong.
pub fn load_http(path: &Path, has_token: bool) -> Result<(Http, Vec<Diagnostic>), Vec<Diagnostic>> {
    let source = source(path)?;
    let found = match read(path, &source, QUICK_BYTES, Excused::None) {
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
/// Lines that are no TOML, where it may be among what is wrong.
fn http_of(path: &Path, source: &str, has_token: bool) -> Result<Http, Vec<usize>> {
    let mut findings = Findings::default();
    let (document, syntax) = DeTable::parse_recoverable(source);
    let (http, is_there) = schema::http(File { path, source }, &document, &mut findings);
    findings.retain(|one| !(has_token && one.code == code::BAD_SECRET.id));
    let damaged = syntax.iter().filter(|error| error.message() != "duplicate key");
    let lines: Vec<usize> =
        damaged.map(|error| line_and_column(source, error.span().unwrap_or(0..0).start).0).collect();
    // Whatever cannot be read may have been it.
    let elsewhere = |line: &usize| header_over(source, *line).is_some_and(|header| header != "[http]");
    let is_whole = match is_there {
        true => lines.iter().all(elsewhere),
        false => lines.is_empty() || !may_name_http(source, &lines),
    };
    if findings.has_errors() || !is_whole { Err(lines) } else { Ok(http) }
}

/// Returns whether a file with damaged lines, in which no `[http]` is read, may have one all the same.
fn may_name_http(source: &str, damaged: &[usize]) -> bool {
    source.lines().zip(1..).any(|(line, number)| {
        let line = line.trim_start();
        line.trim_start_matches(['[', ' ']).starts_with("http") || (line.starts_with('[') && damaged.contains(&number))
    })
}

/// Returns a file with a quotation mark, or the brackets of a header, at the end of those of these lines that lack them: the most
/// frequent slips.
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
/// The system's, or that it is too large or no UTF-8.
pub fn text(path: &Path) -> io::Result<String> {
    files::read_to_string(path, CONFIG_FILE_BYTES)
}

/// Refuses a file without any table or key, which is what a file looks like before it is written: a reload of one would remove
/// every trunk.
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
        let help = "restore it; where there was none, `trunkgate init` writes a first one";
        findings.error_of_file(code::UNREADABLE, format!("cannot read the configuration: {error}"), help);
        findings.into_sorted()
    })
}

/// The header of the table that a line, from 1, belongs to; `None` above the first.
fn header_over(source: &str, line: usize) -> Option<&str> {
    source.lines().take(line).map(str::trim).filter(|text| text.starts_with('[')).last()
}

/// The same for a text already read; `path` is what places and relative paths refer to.
///
/// # Errors
/// Every error and warning found.
pub fn parse(path: &Path, source: &str) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
    read(path, source, u64::MAX, Excused::None)
}

/// The same without the routes of files of more than so many bytes.
fn read(
    path: &Path,
    source: &str,
    most_bytes: u64,
    excused: Excused,
) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut findings = Findings::of(source);
    let (document, mut syntax) = DeTable::parse_recoverable(source);
    // What follows from an error comes behind it.
    syntax.sort_by_key(|error| error.span().map_or(0, |span| span.start));
    let file = File { path, source };
    let mut draft = schema::read(file, &document, &mut findings);
    let mut damaged = BTreeSet::new();
    for error in syntax {
        let span = error.span().unwrap_or(0..0);
        let line = line_and_column(source, span.start).0;
        if error.message() == "duplicate key" {
            // The key is read all the same: nothing else is in doubt.
            let key = source.get(span.clone()).unwrap_or_default();
            let first =
                first_of(source, &span).map(|line| format!(": the first is in line {line}")).unwrap_or_default();
            findings.error(code::DUPLICATE, span, format!("duplicate key `{key}`{first}"), "keep one of them");
            continue;
        }
        let slip = Slip::of(source, span, error.message(), &mut damaged);
        if damaged.insert(line)
            && let Some(Slip { span, help }) = slip
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
    if findings.has_errors() && excused == Excused::None {
        return Err(findings.into_sorted());
    }
    let mut config = config(path, source, draft);
    if most_bytes == u64::MAX {
        config.written = Arc::new(Written::of(&config, source, file.folder()));
    }
    Ok((config, findings.into_sorted()))
}

/// The line, from 1, in which a key or header stands that is written again at `again`, where that is seen at once: at the beginning of
/// a line, under the same header.
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

/// The lines of which nothing more is said: the damaged ones, and those that a damaged header stands over.
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

/// The file that is meant: `--config`, `$TRUNKGATE_CONFIG`, `./trunkgate.toml`, `/etc/trunkgate/trunkgate.toml`. One
/// that is named is meant whether it exists or not; of the others, the first that exists.
pub fn find(given: Option<&Path>) -> Option<PathBuf> {
    if let Some(path) = given {
        return Some(path.to_owned());
    }
    if let Some(path) = std::env::var_os("TRUNKGATE_CONFIG").filter(|path| !path.is_empty()) {
        return Some(path.into());
    }
    ["trunkgate.toml", "/etc/trunkgate/trunkgate.toml"].map(PathBuf::from).into_iter().find(|path| path.exists())
}

fn config(path: &Path, source: &str, draft: Draft) -> Config {
    Config {
        path: path.to_owned(),
        places: Places::of(&draft, source),
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
        recogniser: draft.recognition.and_then(|placed| placed.spec),
        agents: draft.agents.into_iter().map(|placed| placed.agent).collect(),
        app_settings: draft.apps.iter().map(|one| (one.app.name.clone(), one.settings.clone())).collect(),
        apps: apps(draft.apps, &draft.api.api),
        sounds: draft.sounds.into_audio(),
        mailboxes: draft.mailboxes.into_iter().map(|placed| placed.mailbox).collect(),
        numbers: draft.numbers.into_iter().map(|placed| placed.number).collect(),
        clients: draft.clients.into_iter().map(PlacedClient::into_entry).collect(),
        api: draft.api.api,
        routes: draft.routes.into_iter().map(|placed| placed.route).collect::<Vec<_>>().into(),
        log: draft.log,
        cdr: draft.cdr,
        recording: draft.recording.map(|recording| {
            let transcription = draft.transcription.map(|(transcription, _)| Arc::new(transcription));
            let mail = draft.texts.mail.map(Arc::new);
            super::recording::Recording { transcription, mail, ..recording }
        }),
        data: draft.data,
        hep: draft.hep,
        otel: draft.otel,
        sms: draft.texts.sms.map(Arc::new),
        messages: Arc::new(draft.texts.messages),
    }
}

/// Applications; numbers that they dial leave as `[api]` says, and its token signs their streams.
fn apps(placed: Vec<PlacedApp>, api: &Api) -> Vec<App> {
    let auth_token = api.auth_token.as_ref().map(|token| token.reveal().to_owned());
    let with = |app| App { connect: api.connect.clone(), auth_token: auth_token.clone(), ..app };
    placed.into_iter().map(|placed| with(placed.app)).collect()
}

/// The ports that the kernel hands out by itself.
fn ephemeral_ports() -> Option<(u16, u16)> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut numbers = text.split_whitespace().map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}
