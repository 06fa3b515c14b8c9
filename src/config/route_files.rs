//! `routes_file` of a route: a CSV file with a route in each line, read into few bytes a line. What is wrong with it is told
//! at its place there.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use csv::{ReaderBuilder, StringRecord, Trim};
use toml::Spanned;
use toml::de::DeValue;
use trunkgate_route::captured::{ALWAYS, names};
use trunkgate_route::{LineRest, Pattern, Route, RouteFile, RouteLines, TargetSpec};

use super::checks::{number_form, route_names, takes_all_of};
use super::code;
use super::csv_text::{CsvText, LINE_BYTES, Line, Notes, Progress};
use super::diagnostic::{Findings, nearest};
use super::draft::{Draft, PlacedRoute};
use super::parts::parts;
use super::pieces::pieces;
use super::section::Value;
use super::{hours, routes, targets, values};

/// What a column says of each line: the key of `[[route]]` of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
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
    /// For people.
    Note,
}

const COLUMNS: [(&str, Column); 11] = [
    ("to", Column::To),
    ("caller", Column::Caller),
    ("from", Column::From),
    ("when", Column::When),
    ("share", Column::Share),
    ("connect", Column::Connect),
    ("fork", Column::Fork),
    ("on_busy", Column::OnBusy),
    ("ring_timeout", Column::RingTimeout),
    ("search_timeout", Column::SearchTimeout),
    ("note", Column::Note),
];

/// Columns besides numbers and targets.
const REST: [Column; 7] = [
    Column::From,
    Column::When,
    Column::Share,
    Column::Fork,
    Column::OnBusy,
    Column::RingTimeout,
    Column::SearchTimeout,
];

/// What columns are called elsewhere.
const ELSEWHERE: [(&[&str], &str); 4] = [
    (&["number", "did", "called", "callee", "phone", "dnis", "destination_number", "prefix"], "to"),
    (&["ani", "cli", "calling", "caller_id", "source"], "caller"),
    (&["target", "targets", "trunk", "destination", "route"], "connect"),
    (&["comment", "comments", "description", "remark", "customer", "name"], "note"),
];

/// Reads the files that routes name.
pub(super) fn read(draft: &mut Draft, folder: &Path, findings: &mut Findings) {
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
        let mut reader = Reader {
            draft,
            placed,
            columns: Vec::new(),
            lines: RouteLines::default(),
            connects: HashMap::new(),
            rests: HashMap::new(),
            has_pieces: has_pieces(&placed.route.connect),
            notes: Notes::new(&path, &text, span.clone()),
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

/// Different texts of one kind that are remembered with what they mean; others are read each time.
const REMEMBERED: usize = 65_536;

/// Where targets are kept, and whether they take pieces of numbers over; `None` where they cannot be used.
type Targets = Option<(u32, bool)>;

struct Reader<'a> {
    draft: &'a Draft,
    /// The route that names the file.
    placed: &'a PlacedRoute,
    columns: Vec<Column>,
    lines: RouteLines,
    /// By what is written.
    connects: HashMap<String, Targets>,
    rests: HashMap<String, Option<u32>>,
    /// The targets of the route itself take pieces over.
    has_pieces: bool,
    notes: Notes<'a>,
}

impl Reader<'_> {
    fn read(&mut self, path: &Path, text: &CsvText) -> Option<RouteFile> {
        let mut csv = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(text.delimiter())
            .comment(Some(b'#'))
            .trim(Trim::All)
            .from_reader(text.as_str().as_bytes());
        let mut progress = Progress::new(path);
        let mut record = StringRecord::new();
        let mut line = Line::default();
        let mut has_header = false;
        let mut count = 0_usize;
        loop {
            let from = csv.position().byte();
            // From memory, and of text that is UTF-8: nothing can fail.
            if !csv.read_record(&mut record).unwrap_or(false) {
                break;
            }
            line = text.line_at(&line, from);
            if record.iter().all(str::is_empty) {
                continue;
            }
            if record.as_slice().len() + record.len() > LINE_BYTES {
                let help = "a line for each number, and quotes (\") in pairs";
                self.notes.error(code::BAD_FILE, line, None, &format!("a line of more than {LINE_BYTES} bytes"), help);
                return None;
            }
            if has_header {
                self.line(&record, line);
                count += 1;
                progress.tell(count);
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
                "an empty file",
                "the first line names the columns: to,connect",
            );
            return None;
        }
        if self.notes.has_errors() {
            return None;
        }
        let file = std::mem::take(&mut self.lines).compile(&path.display().to_string());
        for (before, hidden) in file.hidden(takes_all_of) {
            let message = format!("line {hidden} is never reached: line {before} before it takes its calls");
            let help = format!("move it before line {before}, or remove it");
            self.notes.warning(code::UNREACHABLE, hidden, message, help);
        }
        progress.end(count);
        Some(file)
    }

    /// Reads the names of the columns.
    fn header(&mut self, record: &StringRecord, line: Line) -> bool {
        let known = |name: &str| COLUMNS.iter().find(|(known, _)| *known == name).map(|(_, column)| *column);
        let names: Vec<String> = record.iter().map(str::to_ascii_lowercase).collect();
        if !names.iter().any(|name| known(name).is_some() || nearest(name, COLUMNS.iter().map(|(n, _)| *n)).is_some())
            && names.iter().any(|name| name.contains(|c: char| c.is_ascii_digit()))
        {
            let help = "put a line before it, as to,connect";
            self.notes.error(code::MISSING, line, None, "the first line does not name the columns", help);
            return false;
        }
        let mut seen = BTreeSet::new();
        for (at, name) in names.iter().enumerate() {
            let column = if name.is_empty() { Some(Column::Note) } else { known(name) };
            if column.is_none() {
                let message = format!("unknown column `{name}`");
                self.notes.error(code::UNKNOWN_KEY, line, Some(at), &message, &column_meant(name));
            } else if !name.is_empty() && !seen.insert(name) {
                self.notes.error(
                    code::DUPLICATE,
                    line,
                    Some(at),
                    &format!("`{name}` is there twice"),
                    "keep one of them",
                );
            }
            self.columns.push(column.unwrap_or(Column::Note));
        }
        let has = |column| self.columns.contains(&column);
        if !self.notes.has_errors() && !has(Column::To) && !has(Column::Caller) {
            self.notes.error(
                code::MISSING,
                line,
                None,
                "no column `to`",
                "the called number of each line, as +14155551234",
            );
        } else if !self.notes.has_errors() && !has(Column::Connect) && self.placed.route.connect.is_empty() {
            let help = "add it, or connect = [\"trunk:NAME\"] to the [[route]], for all lines";
            self.notes.error(code::MISSING, line, None, "no column `connect`", help);
        }
        !self.notes.has_errors()
    }

    fn line(&mut self, record: &StringRecord, line: Line) {
        if let Some(at) = record.iter().position(|field| field.contains('\n')) {
            let help = "a quote that is never closed?";
            self.notes.error(code::SYNTAX, line, Some(at), "a field over several lines", help);
            return;
        }
        if let Some(at) = (self.columns.len()..record.len()).find(|at| record.get(*at) != Some("")) {
            let message = format!("{} fields, and the first line names {} columns", record.len(), self.columns.len());
            let help = "targets are separated by spaces; a field with the separator in it stands in quotes";
            self.notes.error(code::SYNTAX, line, Some(at), &message, help);
            return;
        }
        let number = |column: Column, key: &str, notes: &mut Notes<'_>| {
            let Some((at, text)) = field(&self.columns, record, column) else { return Some(None) };
            let pattern = cell(text, (line, at), notes, |value, findings| routes::pattern(key, value, findings))?;
            let numbers = &self.draft.edge.numbers;
            notes.take((line, Some(at)), |findings| number_form(key, &pattern, 0..text.len(), numbers, findings));
            Some(Some(pattern))
        };
        let to = number(Column::To, "to", &mut self.notes);
        let caller = number(Column::Caller, "caller", &mut self.notes);
        let connect = match field(&self.columns, record, Column::Connect) {
            Some((at, text)) => self.connect(text, (line, at)),
            None if !self.placed.route.connect.is_empty() => Some((0, self.has_pieces)),
            None => {
                let help = "here, or connect = [\"trunk:NAME\"] in the [[route]], for all lines";
                self.notes.error(code::MISSING, line, None, "a line without `connect`", help);
                None
            }
        };
        let rest = self.rest(record, line);
        let (Some(to), Some(caller), Some((connect, has_pieces)), Some(rest)) = (to, caller, connect, rest) else {
            return;
        };
        let is_bare = |column| field(&self.columns, record, column).is_none();
        if [Column::To, Column::Caller, Column::From, Column::When, Column::Share].into_iter().all(is_bare) {
            self.notes.take((line, None), |findings| {
                let help = "a number is missing? For all other calls, a [[route]] after this one is clearer";
                let message = format!("line {} has no condition: it takes every call", line.number);
                findings.warning(code::UNREACHABLE, Some(0..0), message, help);
            });
        }
        if has_pieces {
            let own = self.lines.targets_of(connect);
            let connect = if own.is_empty() { self.placed.route.connect.clone() } else { own };
            let or = |own: &Option<Pattern>, all: &[Pattern]| own.clone().map_or(all.to_vec(), |own| vec![own]);
            let table = &self.placed.route;
            let (to, caller) = (or(&to, &table.to), or(&caller, &table.caller));
            let placed = PlacedRoute::at(Route { to, caller, ..Route::named(&table.name, connect) }, 0..0);
            let at = self.columns.iter().position(|column| *column == Column::Connect);
            self.notes.take((line, at), |findings| pieces(&placed, findings));
        }
        self.lines.push(line.number, (to, caller), connect, rest);
    }

    /// Targets, separated by spaces.
    fn connect(&mut self, text: &str, (line, at): (Line, usize)) -> Targets {
        if let Some(known) = self.connects.get(text) {
            return *known;
        }
        let (numbers, groups) = (&self.draft.edge.numbers, Some(&self.draft.groups));
        let mut found = Some(Vec::new());
        for word in text.split_whitespace() {
            let read = |value: &Value<'_>, findings: &mut Findings| {
                let before = findings.has_errors();
                let read = targets::connect(value, numbers, groups, findings);
                (before == findings.has_errors()).then_some(read)
            };
            let read = cell(word, (line, at), &mut self.notes, read);
            found = found.zip(read).map(|(mut all, read)| {
                all.extend(read.into_iter().map(|(target, _)| target));
                all
            });
        }
        let known = found.map(|all: Vec<TargetSpec>| {
            let has_pieces = has_pieces(&all);
            let placed = PlacedRoute::at(Route::named(&self.placed.route.name, all.clone()), 0..0);
            let draft = self.draft;
            self.notes.take((line, Some(at)), |findings| {
                route_names(&placed, draft, findings);
                parts(&placed, draft, findings);
                if !has_pieces {
                    pieces(&placed, findings);
                }
            });
            (self.lines.connect(all), has_pieces)
        });
        if self.connects.len() < REMEMBERED {
            self.connects.insert(text.to_owned(), known);
        }
        known
    }

    /// What a line says besides numbers and targets; 0 where that is nothing.
    fn rest(&mut self, record: &StringRecord, line: Line) -> Option<u32> {
        let fields = REST.map(|column| field(&self.columns, record, column));
        if fields.iter().all(Option::is_none) {
            return Some(0);
        }
        let written = fields.map(|field| field.map_or("", |(_, text)| text)).join("\u{1f}");
        if let Some(known) = self.rests.get(&written) {
            return *known;
        }
        let known = self.rest_of(fields, line).map(|rest| self.lines.rest(rest));
        if self.rests.len() < REMEMBERED {
            self.rests.insert(written, known);
        }
        known
    }

    fn rest_of(&mut self, fields: [Option<(usize, &str)>; 7], line: Line) -> Option<LineRest> {
        let [from, when, share, fork, on_busy, ring_timeout, search_timeout] = fields;
        let mut rest = LineRest::default();
        let notes = &mut self.notes;
        rest.from = from.map(|(_, text)| text.split_whitespace().map(str::to_owned).collect()).unwrap_or_default();
        if let Some((at, text)) = when {
            let calendar = &self.draft.edge.calendar;
            rest.when.push(cell(text, (line, at), notes, |value, f| hours::read("when", value, calendar, f))?);
        }
        if let Some((at, text)) = share {
            let share = plain(text, (line, at), notes, |value, findings| routes::percent("share", value, findings))?;
            rest.share = u8::try_from(share).ok();
        }
        for (at, word) in fork.into_iter().flat_map(|(at, text)| text.split_whitespace().map(move |word| (at, word))) {
            rest.fork.push(cell(word, (line, at), notes, |value, f| routes::listener("fork", value, f))?);
        }
        if let Some((at, text)) = on_busy {
            rest.on_busy = Some(plain(text, (line, at), notes, |value, f| values::boolean("on_busy", value, f))?);
        }
        if let Some((at, text)) = ring_timeout {
            rest.ring_timeout = Some(cell(text, (line, at), notes, |v, f| values::duration("ring_timeout", v, f))?);
        }
        if let Some((at, text)) = search_timeout {
            rest.search_timeout = Some(cell(text, (line, at), notes, |v, f| values::duration("search_timeout", v, f))?);
        }
        let (from, fork) = (rest.from.clone(), rest.fork.clone());
        let placed = PlacedRoute::at(Route { from, fork, ..Route::named(&self.placed.route.name, Vec::new()) }, 0..0);
        let draft = self.draft;
        self.notes.take((line, fields[0].or(fields[3]).map(|(at, _)| at)), |findings| {
            route_names(&placed, draft, findings);
            parts(&placed, draft, findings);
        });
        Some(rest)
    }
}

/// What a column is meant as.
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

/// What a line has in a column, where it has anything, and in which field.
fn field<'r>(columns: &[Column], record: &'r StringRecord, column: Column) -> Option<(usize, &'r str)> {
    let at = columns.iter().position(|known| *known == column)?;
    record.get(at).filter(|text| !text.is_empty()).map(|text| (at, text))
}

/// Reads a field as a string of the configuration is read.
fn cell<T>(
    text: &str,
    (line, at): (Line, usize),
    notes: &mut Notes<'_>,
    read: impl FnOnce(&Value<'_>, &mut Findings) -> Option<T>,
) -> Option<T> {
    let value = Spanned::new(0..text.len(), DeValue::String(text.into()));
    notes.take((line, Some(at)), |findings| read(&value, findings))
}

/// Reads a field as a number or `true` of the configuration is read.
fn plain<T>(
    text: &str,
    (line, at): (Line, usize),
    notes: &mut Notes<'_>,
    read: impl FnOnce(&Value<'_>, &mut Findings) -> Option<T>,
) -> Option<T> {
    let lower = text.to_ascii_lowercase();
    let string = || Spanned::new(0..lower.len(), DeValue::String(lower.as_str().into()));
    let value = DeValue::parse(&lower).unwrap_or_else(|_| string());
    notes.take((line, Some(at)), |findings| read(&value, findings))
}

/// Whether targets take over pieces that patterns name.
fn has_pieces(targets: &[TargetSpec]) -> bool {
    let text = |target: &TargetSpec| match target {
        TargetSpec::Trunk { number: Some(number), .. } => number.clone(),
        TargetSpec::Uri { uri, .. } => uri.clone(),
        TargetSpec::Trunk { .. } | TargetSpec::Agent(_) | TargetSpec::Reject(_) | TargetSpec::RingAll(_) => {
            String::new()
        }
    };
    let named = |target: &TargetSpec| {
        let text = text(target);
        text.contains('{') && names(&text).is_none_or(|all| all.iter().any(|name| !ALWAYS.contains(name)))
    };
    targets.iter().any(|target| match target {
        TargetSpec::RingAll(members) => members.iter().any(named),
        TargetSpec::Trunk { .. } | TargetSpec::Uri { .. } | TargetSpec::Agent(_) | TargetSpec::Reject(_) => {
            named(target)
        }
    })
}
