//! `routes_file` of a route: a CSV file with one route per line, stored compactly. Errors are reported at their
//! position in the CSV file.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use csv::{ReaderBuilder, StringRecord, Trim};
use toml::Spanned;
use toml::de::DeValue;
use trunkgate_route::captured::{ALWAYS, names};
use trunkgate_route::{LineSettings, Pattern, Route, RouteFile, RouteLines, TargetSpec};

use super::checks::{route_names, takes_all_of};
use super::code;
use super::csv_text::{CsvDiagnostics, CsvLine, CsvProgress, CsvText, LINE_BYTES, ReportedError, say};
use super::diagnostic::Findings;
use super::draft::{ConfigDraft, SpannedRoute, TargetSpan};
use super::keys::ReadScope;
use super::nearest;
use super::number_form::number_form;
use super::parts::parts;
use super::pieces::{pieces, template};
use super::values::KeyReader;
use super::{hours, routes, spreadsheet, targets, values};

/// Column of the CSV file, named like a key of `[[route]]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RouteColumn {
    To,
    Caller,
    From,
    When,
    Share,
    Connect,
    Fork,
    OnBusy,
    RingTimeout,
    SearchTimeout,
    /// Remark for readers of the file, ignored by the edge.
    Note,
}

const COLUMNS: [(&str, RouteColumn); 11] = [
    ("to", RouteColumn::To),
    ("caller", RouteColumn::Caller),
    ("from", RouteColumn::From),
    ("when", RouteColumn::When),
    ("share", RouteColumn::Share),
    ("connect", RouteColumn::Connect),
    ("fork", RouteColumn::Fork),
    ("on_busy", RouteColumn::OnBusy),
    ("ring_timeout", RouteColumn::RingTimeout),
    ("search_timeout", RouteColumn::SearchTimeout),
    ("note", RouteColumn::Note),
];

/// Columns other than numbers and targets.
const REST: [RouteColumn; 7] = [
    RouteColumn::From,
    RouteColumn::When,
    RouteColumn::Share,
    RouteColumn::Fork,
    RouteColumn::OnBusy,
    RouteColumn::RingTimeout,
    RouteColumn::SearchTimeout,
];

/// Column names of other products, with ours.
const ELSEWHERE: [(&[&str], &str); 4] = [
    (&["number", "did", "called", "callee", "phone", "dnis", "destination_number", "prefix"], "to"),
    (&["ani", "cli", "calling", "caller_id", "source"], "caller"),
    (&["target", "targets", "trunk", "destination", "route"], "connect"),
    (&["comment", "comments", "description", "remark", "customer", "name"], "note"),
];

/// Reads the files named by routes. Removes routes with a file of more than `most_bytes`.
pub(super) fn read(draft: &mut ConfigDraft, folder: &Path, most_bytes: u64, findings: &mut Findings) {
    draft.routes.retain(|placed| {
        let path = placed.file.as_ref().map(|(written, _)| values::relative_to(folder, written));
        let about = path.and_then(|path| std::fs::metadata(path).ok());
        about.is_none_or(|about| about.len() <= most_bytes)
    });
    let ConfigDraft { edge, groups, sounds, .. } = &*draft;
    let scope = ReadScope { folder, edge, sounds, groups: Some(groups), texts_to: &[] };
    let mut files = Vec::new();
    for (at, placed) in draft.routes.iter().enumerate() {
        let Some((written, span)) = &placed.file else { continue };
        let path = values::relative_to(folder, written);
        let text = match CsvText::read(&path) {
            Ok(text) => text,
            Err((what, help)) => {
                let message = format!("`routes_file`: {}: {what}", path.display());
                findings.error(code::BAD_FILE, span.clone(), message, help);
                continue;
            }
        };
        let mut reader = RouteFileReader {
            draft,
            scope,
            placed,
            columns: Vec::new(),
            lines: RouteLines::default(),
            connects: HashMap::new(),
            rests: HashMap::new(),
            has_pieces: has_pieces(&placed.route.connect),
            notes: CsvDiagnostics::new(&path, &text, span.clone()),
        };
        files.extend(reader.read(&path, &text).map(|file| (at, Arc::new(file))));
        reader.notes.end(findings);
    }
    for (at, file) in files {
        if let Some(placed) = draft.routes.get_mut(at) {
            placed.route.file = Some(file);
        }
    }
}

/// Maximum number of distinct texts per kind that are cached with their parsed value.
const REMEMBERED: usize = 65_536;

/// Index of the stored targets and whether they use parts of numbers; or the error already reported.
type StoredTargets = Result<(u32, bool), ReportedError>;

struct RouteFileReader<'a> {
    draft: &'a ConfigDraft,
    scope: ReadScope<'a>,
    /// Route that names the file.
    placed: &'a SpannedRoute,
    columns: Vec<RouteColumn>,
    lines: RouteLines,
    /// Targets that were already read, by their text.
    connects: HashMap<String, StoredTargets>,
    rests: HashMap<String, Result<u32, ReportedError>>,
    /// True if the targets of the route itself use parts of numbers.
    has_pieces: bool,
    notes: CsvDiagnostics<'a>,
}

impl RouteFileReader<'_> {
    fn read(&mut self, path: &Path, text: &CsvText) -> Option<RouteFile> {
        let mut csv = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(text.delimiter())
            .comment(Some(b'#'))
            .trim(Trim::All)
            .from_reader(text.as_str().as_bytes());
        let mut progress = CsvProgress::new(Instant::now(), path);
        let mut record = StringRecord::new();
        let mut line = CsvLine::default();
        let mut has_header = false;
        let mut count = 0_usize;
        loop {
            let from = csv.position().byte();
            // Reading UTF-8 from memory cannot fail.
            if !csv.read_record(&mut record).unwrap_or(false) {
                break;
            }
            line = text.line_at(&line, from);
            if record.iter().all(str::is_empty) {
                continue;
            }
            let length = record.as_slice().len() + record.len();
            if length > LINE_BYTES {
                let help = "use one line per number, and quotes (\") in pairs";
                let message = format!("the line has {length} bytes, the limit is {LINE_BYTES} (16 KiB)");
                self.notes.error(code::BAD_FILE, line, None, &message, help);
                return None;
            }
            if has_header {
                self.line(&record, line);
                count += 1;
                if CsvProgress::is_due(count) {
                    progress.so_far(Instant::now(), count).iter().for_each(|text| say(text));
                }
            } else if self.header(&record, line) {
                has_header = true;
            } else {
                return None;
            }
        }
        if !has_header {
            self.notes.error(
                code::MISSING,
                line,
                None,
                "the file is empty",
                "the first line must be the header: to,connect",
            );
            return None;
        }
        if self.notes.has_errors() {
            return None;
        }
        if count == 0 {
            let message = "no line below the header: the route matches no call".to_owned();
            let help = "add one line per number: +14155551234,trunk:NAME".to_owned();
            self.notes.warning(code::NO_CALLS, line.number, message, help);
        }
        let file = std::mem::take(&mut self.lines).compile(&path.display().to_string());
        for (before, hidden) in file.hidden(takes_all_of) {
            let message = format!("line {hidden} is never reached: line {before} before it matches its calls");
            let help = format!("move it before line {before}, or remove it");
            self.notes.warning(code::UNREACHABLE, hidden, message, help);
        }
        progress.end(Instant::now(), count).iter().for_each(|text| say(text));
        Some(file)
    }

    /// Reads the column names.
    fn header(&mut self, record: &StringRecord, line: CsvLine) -> bool {
        let known = |name: &str| COLUMNS.iter().find(|(known, _)| *known == name).map(|(_, column)| *column);
        let names: Vec<String> = record.iter().map(str::to_ascii_lowercase).collect();
        if !names.iter().any(|name| known(name).is_some() || nearest(name, COLUMNS.iter().map(|(n, _)| *n)).is_some())
            && names.iter().any(|name| name.contains(|c: char| c.is_ascii_digit()))
        {
            let help = "add a header line: to,connect";
            self.notes.error(code::MISSING, line, None, "the first line is not a header", help);
            return false;
        }
        let mut seen = BTreeSet::new();
        for (at, name) in names.iter().enumerate() {
            let column = if name.is_empty() { Some(RouteColumn::Note) } else { known(name) };
            if column.is_none() {
                let message = format!("unknown column `{name}`");
                self.notes.error(code::UNKNOWN_KEY, line, Some(at), &message, &column_meant(name));
            } else if !name.is_empty() && !seen.insert(name) {
                self.notes.error(
                    code::DUPLICATE,
                    line,
                    Some(at),
                    &format!("duplicate column `{name}`"),
                    "keep one of them",
                );
            }
            self.columns.push(column.unwrap_or(RouteColumn::Note));
        }
        let has = |column| self.columns.contains(&column);
        if !self.notes.has_errors() && !has(RouteColumn::To) && !has(RouteColumn::Caller) {
            self.notes.error(
                code::MISSING,
                line,
                None,
                "no column `to`",
                "add the called number of each line: +14155551234",
            );
        } else if !self.notes.has_errors() && !has(RouteColumn::Connect) && self.placed.route.connect.is_empty() {
            let help = "add it, or connect = [\"trunk:NAME\"] to the [[route]], for all lines";
            self.notes.error(code::MISSING, line, None, "no column `connect`", help);
        }
        !self.notes.has_errors()
    }

    fn line(&mut self, record: &StringRecord, line: CsvLine) {
        if let Some(at) = record.iter().position(|field| field.contains('\n')) {
            let help = "is a quote never closed?";
            self.notes.error(code::SYNTAX, line, Some(at), "a field contains a line break", help);
            return;
        }
        let cut = |column| {
            let (at, text) = field(&self.columns, record, column)?;
            let next = record.get(at + 1).filter(|next| spreadsheet::is_cut_in_two(text, next))?;
            Some((at, format!("{text},{next}")))
        };
        if let Some((at, text)) = cut(RouteColumn::To).or_else(|| cut(RouteColumn::Caller)) {
            if let Some((what, help)) = spreadsheet::damage(&text) {
                self.notes.error(code::BAD_PATTERN, line, Some(at), &what, &help);
            }
            return;
        }
        let surplus = (self.columns.len()..record.len()).find(|at| record.get(*at) != Some(""));
        if let Some(at) = surplus {
            let message = format!("{} fields, but the header has {} columns", record.len(), self.columns.len());
            let help = "targets are separated by spaces; quote a field that contains the separator";
            self.notes.error(code::SYNTAX, line, Some(at), &message, help);
        }
        let to = self.number(record, line, (RouteColumn::To, "to"));
        let caller = self.number(record, line, (RouteColumn::Caller, "caller"));
        let connect = match field(&self.columns, record, RouteColumn::Connect) {
            Some((at, text)) => self.connect(text, (line, at)),
            None if !self.placed.route.connect.is_empty() => Some((0, self.has_pieces)),
            None => {
                let help = "add it here, or connect = [\"trunk:NAME\"] in the [[route]] for all lines";
                self.notes.error(code::MISSING, line, None, "this line has no `connect`", help);
                None
            }
        };
        if surplus.is_some() {
            // Fields after the targets may be shifted by one column.
            return;
        }
        let rest = self.rest(record, line);
        let (Some(to), Some(caller), Some((connect, has_pieces)), Some(rest)) = (to, caller, connect, rest) else {
            return;
        };
        let is_bare = |column| field(&self.columns, record, column).is_none();
        if [RouteColumn::To, RouteColumn::Caller, RouteColumn::From, RouteColumn::When, RouteColumn::Share]
            .into_iter()
            .all(is_bare)
        {
            self.notes.take((line, None), |findings| {
                let help = "is a number missing? For all other calls use a [[route]] after this one";
                let message = format!("line {} has no condition: it matches every call", line.number);
                findings.warning(code::UNREACHABLE, Some(0..0), message, help);
            });
        }
        if has_pieces {
            let own = self.lines.targets_of(connect);
            let connect = if own.is_empty() { self.placed.route.connect.clone() } else { own };
            let or = |own: &Option<Pattern>, all: &[Pattern]| own.clone().map_or(all.to_vec(), |own| vec![own]);
            let table = &self.placed.route;
            let (to, caller) = (or(&to, &table.to), or(&caller, &table.caller));
            let placed = SpannedRoute::at(Route { to, caller, ..Route::named(&table.name, connect) }, 0..0);
            let at = self.columns.iter().position(|column| *column == RouteColumn::Connect);
            self.notes.take((line, at), |findings| pieces(&placed, findings));
        }
        self.lines.push(line.number, (to, caller), connect, rest);
    }

    /// Returns the pattern in a column, if present; `None` if it is invalid.
    fn number(
        &mut self,
        record: &StringRecord,
        line: CsvLine,
        (column, key): (RouteColumn, &str),
    ) -> Option<Option<Pattern>> {
        let Some((at, text)) = field(&self.columns, record, column) else { return Some(None) };
        if let Some((what, help)) = spreadsheet::damage(text) {
            self.notes.error(code::BAD_PATTERN, line, Some(at), &format!("`{key}`: {what}"), &help);
            return None;
        }
        let pattern = cell((key, text), (line, at), self.scope, &mut self.notes, routes::pattern)?;
        let numbers = &self.draft.edge.numbers;
        self.notes.take((line, Some(at)), |findings| number_form(key, &pattern, 0..text.len(), numbers, findings));
        Some(Some(pattern))
    }

    /// Reads targets separated by spaces.
    fn connect(&mut self, text: &str, (line, at): (CsvLine, usize)) -> Option<(u32, bool)> {
        if let Some(known) = self.connects.get(text) {
            return known.map_err(|known| self.notes.again(known, line, Some(at))).ok();
        }
        let errors = self.notes.errors();
        let mut found = Some(Vec::new());
        let mut places = Vec::new();
        for (position, word) in text.split_whitespace().enumerate() {
            let read = cell(("connect", word), (line, at), self.scope, &mut self.notes, |reader| {
                let before = reader.findings.has_errors();
                let read = targets::connect(reader);
                (before == reader.findings.has_errors()).then_some(read)
            });
            found = found.zip(read).map(|(mut all, read)| {
                for (target, place) in read {
                    all.push(target);
                    places.push(TargetSpan { by_ratio: place.by_ratio.map(|_| position), ..place });
                }
                all
            });
        }
        let known = found.map(|all: Vec<TargetSpec>| {
            let has_pieces = has_pieces(&all);
            let placed = SpannedRoute::at(Route::named(&self.placed.route.name, all.clone()), 0..0);
            let draft = self.draft;
            self.notes.take((line, Some(at)), |findings| {
                route_names(&placed, draft, findings);
                parts(&placed, draft, findings);
                if !has_pieces {
                    pieces(&placed, findings);
                }
            });
            let kept = self.lines.connect(all);
            self.lines.by_ratio(kept, TargetSpan::by_ratio(places.iter()));
            (kept, has_pieces)
        });
        let known = known.filter(|_| self.notes.errors() == errors);
        if self.connects.len() < REMEMBERED {
            self.connects.insert(text.to_owned(), known.ok_or_else(|| self.notes.last()));
        }
        known
    }

    /// Reads the columns other than numbers and targets. Returns the index of their stored values, 0 if all are empty,
    /// and `None` if a value is invalid.
    fn rest(&mut self, record: &StringRecord, line: CsvLine) -> Option<u32> {
        let fields = REST.map(|column| field(&self.columns, record, column));
        if fields.iter().all(Option::is_none) {
            return Some(0);
        }
        let written = fields.map(|field| field.map_or("", |(_, text)| text)).join("\u{1f}");
        if let Some(known) = self.rests.get(&written) {
            let at = fields.into_iter().flatten().map(|(at, _)| at).min();
            return known.map_err(|known| self.notes.again(known, line, at)).ok();
        }
        let errors = self.notes.errors();
        let rest = self.rest_of(fields, line);
        let known = (self.notes.errors() == errors).then(|| self.lines.store_settings(rest));
        if self.rests.len() < REMEMBERED {
            self.rests.insert(written, known.ok_or_else(|| self.notes.last()));
        }
        known
    }

    /// Reads each field separately, so that every error is reported.
    fn rest_of(&mut self, fields: [Option<(usize, &str)>; 7], line: CsvLine) -> LineSettings {
        let [from, when, share, fork, on_busy, ring_timeout, search_timeout] = fields;
        let mut rest = LineSettings::default();
        let (notes, scope) = (&mut self.notes, self.scope);
        rest.from = from.map(|(_, text)| text.split_whitespace().map(str::to_owned).collect()).unwrap_or_default();
        if let Some((at, text)) = when {
            rest.when.extend(cell(("when", text), (line, at), scope, notes, hours::read));
        }
        if let Some((at, text)) = share {
            let share = plain(("share", text), (line, at), scope, notes, routes::percent);
            rest.share = share.and_then(|share| u8::try_from(share).ok());
        }
        for (at, word) in fork.into_iter().flat_map(|(at, text)| text.split_whitespace().map(move |word| (at, word))) {
            rest.fork.extend(cell(("fork", word), (line, at), scope, notes, routes::listener));
        }
        if let Some((at, text)) = on_busy {
            rest.on_busy = plain(("on_busy", text), (line, at), scope, notes, |reader| reader.boolean());
        }
        if let Some((at, text)) = ring_timeout {
            rest.ring_timeout = cell(("ring_timeout", text), (line, at), scope, notes, |reader| reader.duration());
        }
        if let Some((at, text)) = search_timeout {
            rest.search_timeout = cell(("search_timeout", text), (line, at), scope, notes, |reader| reader.duration());
        }
        let route = || Route::named(&self.placed.route.name, Vec::new());
        for (field, route) in
            [(from, Route { from: rest.from.clone(), ..route() }), (fork, Route { fork: rest.fork.clone(), ..route() })]
        {
            let (Some((at, _)), placed, draft) = (field, SpannedRoute::at(route, 0..0), self.draft) else { continue };
            self.notes.take((line, Some(at)), |findings| {
                route_names(&placed, draft, findings);
                parts(&placed, draft, findings);
            });
        }
        rest
    }
}

/// Suggests a column for an unknown name.
fn column_meant(name: &str) -> String {
    if let Some((_, ours)) = ELSEWHERE.iter().find(|(theirs, _)| theirs.contains(&name)) {
        return format!("did you mean `{ours}`?");
    }
    let all = COLUMNS.iter().map(|(known, _)| *known);
    match nearest(name, all.clone()) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("the columns are {}", all.collect::<Vec<_>>().join(", ")),
    }
}

/// Returns index and text of a non-empty field in a column.
fn field<'r>(columns: &[RouteColumn], record: &'r StringRecord, column: RouteColumn) -> Option<(usize, &'r str)> {
    let at = columns.iter().position(|known| *known == column)?;
    record.get(at).filter(|text| !text.is_empty()).map(|text| (at, text))
}

/// Parses a field like a string of the configuration.
fn cell<T>(
    (key, text): (&str, &str),
    (line, at): (CsvLine, usize),
    scope: ReadScope<'_>,
    notes: &mut CsvDiagnostics<'_>,
    read: impl FnOnce(&mut KeyReader<'_>) -> Option<T>,
) -> Option<T> {
    let value = Spanned::new(0..text.len(), DeValue::String(text.into()));
    notes.take((line, Some(at)), |findings| read(&mut KeyReader { key, value: &value, scope, findings }))
}

/// Parses a field like a number or boolean of the configuration.
fn plain<T>(
    (key, text): (&str, &str),
    (line, at): (CsvLine, usize),
    scope: ReadScope<'_>,
    notes: &mut CsvDiagnostics<'_>,
    read: impl FnOnce(&mut KeyReader<'_>) -> Option<T>,
) -> Option<T> {
    let lower = text.to_ascii_lowercase();
    let string = || Spanned::new(0..lower.len(), DeValue::String(lower.as_str().into()));
    let value = DeValue::parse(&lower).unwrap_or_else(|_| string());
    notes.take((line, Some(at)), |findings| read(&mut KeyReader { key, value: &value, scope, findings }))
}

/// Returns whether targets use parts captured by patterns.
fn has_pieces(targets: &[TargetSpec]) -> bool {
    let named = |target: &TargetSpec| {
        let text = template(target).unwrap_or_default();
        text.contains('{') && names(text).is_none_or(|all| all.iter().any(|name| !ALWAYS.contains(name)))
    };
    targets
        .iter()
        .any(|target| if let TargetSpec::RingAll(members) = target { members.iter().any(named) } else { named(target) })
}
