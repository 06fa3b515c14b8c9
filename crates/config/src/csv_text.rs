//! CSV file as text: its lines, the positions of fields, and a bounded number of diagnostics.

use std::io::{ErrorKind, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::code::DiagnosticCode;
use super::diagnostic::{Diagnostic, Excerpt, Findings};
use super::draft::SourceSpan;
use super::encoding;
use trunkgate_system::files;
use trunkgate_system::limits::ROUTES_FILE_BYTES;

/// Maximum number of errors and warnings reported per file; the rest is counted.
const TOLD: usize = 100;
/// Maximum length of a line in bytes.
pub(super) const LINE_BYTES: usize = 16_384;
/// Maximum number of bytes displayed of a line, unless the error is further right.
const SHOWN_BYTES: usize = 160;
/// Number of lines read between two checks of the clock.
const LINES_AT_ONCE: usize = 65_536;
/// Interval between progress messages while a long file is read.
const PATIENCE: Duration = Duration::from_secs(1);

/// Contents of a CSV file with its delimiter.
#[derive(Debug)]
pub(super) struct CsvText {
    text: String,
    delimiter: u8,
}

/// Position of a CSV line in the text.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct CsvLine {
    /// Line number, from 1.
    pub(super) number: u32,
    begin: usize,
}

impl CsvText {
    /// Reads a file; the error is a message and a help text.
    pub(super) fn read(path: &Path) -> Result<CsvText, (String, String)> {
        let bytes = files::read_whole(path, ROUTES_FILE_BYTES).map_err(|error| {
            let help = if error.kind() == ErrorKind::FileTooLarge {
                "split it into several files, each in its own [[route]]"
            } else {
                "use a readable CSV file in UTF-8 with the header to,connect"
            };
            (error.to_string(), help.to_owned())
        })?;
        let mut text = encoding::text(bytes).map_err(|(what, from)| (what, encoding::remedy(from, path)))?;
        let first = text.lines().next().unwrap_or_default();
        if let Some(delimiter) = separator_named(first) {
            // Turn the line into a comment, so that it is skipped and the line numbers stay.
            text.replace_range(..1, "#");
            return Ok(CsvText { text, delimiter });
        }
        // Spreadsheets of many countries use semicolons.
        let first = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with('#')).unwrap_or_default();
        let delimiter = [b',', b';', b'\t'].into_iter().find(|one| first.contains(char::from(*one))).unwrap_or(b',');
        Ok(CsvText { text, delimiter })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn delimiter(&self) -> u8 {
        self.delimiter
    }

    /// Returns the first record line at or after a byte offset, skipping empty lines and comments.
    pub(super) fn line_at(&self, last: &CsvLine, from: u64) -> CsvLine {
        let mut begin = usize::try_from(from).unwrap_or(usize::MAX);
        while let Some(rest) = self.text.get(begin..) {
            let line = rest.split('\n').next().unwrap_or_default();
            if (!line.trim().is_empty() && !line.starts_with('#')) || line.len() >= rest.len() {
                break;
            }
            begin += line.len() + 1;
        }
        let between = self.text.as_bytes().get(last.begin..begin).unwrap_or_default();
        let lines = between.iter().filter(|byte| **byte == b'\n').count();
        CsvLine { number: last.number.max(1) + u32::try_from(lines).unwrap_or(0), begin }
    }

    /// Returns a line by number; scans the file from its start.
    fn line(&self, number: u32) -> CsvLine {
        let before = usize::try_from(number.saturating_sub(1)).unwrap_or(0);
        CsvLine { number, begin: self.text.split_inclusive('\n').take(before).map(str::len).sum() }
    }

    fn excerpt(&self, path: &Path, line: CsvLine, field: Option<usize>) -> Excerpt {
        let text = self.text.get(line.begin..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        let text = beginning(text, LINE_BYTES);
        let whole = || 0..beginning(text, SHOWN_BYTES).trim_end().len();
        let place = field.map_or_else(whole, |field| self.field(text, field));
        let shown = beginning(text, SHOWN_BYTES.max(place.end));
        let chars = |range: SourceSpan| text.get(range).unwrap_or_default().chars().count();
        Excerpt {
            path: path.to_owned(),
            line: usize::try_from(line.number.max(1)).unwrap_or(1),
            column: chars(0..place.start) + 1,
            width: chars(place),
            text: shown.to_owned(),
        }
    }

    /// Returns the position of a field in a line, without surrounding spaces.
    fn field(&self, line: &str, wanted: usize) -> SourceSpan {
        let (mut start, mut end, mut at, mut is_quoted) = (0, line.len(), 0, false);
        for (place, byte) in line.bytes().enumerate() {
            if byte == b'"' {
                is_quoted = !is_quoted;
            } else if byte == self.delimiter && !is_quoted {
                if at == wanted {
                    end = place;
                    break;
                }
                (at, start) = (at + 1, place + 1);
            }
        }
        let text = line.get(start..end).unwrap_or_default();
        start + (text.len() - text.trim_start().len())..start + text.trim_end().len()
    }
}

/// Returns the delimiter of a `sep=;` line, which Excel does not treat as data.
fn separator_named(first: &str) -> Option<u8> {
    let line = first.trim_end_matches([',', '\r']).trim_matches('"');
    match line.as_bytes() {
        [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', one @ (b',' | b';' | b'\t' | b'|')] => Some(*one),
        [b's' | b'S', b'e' | b'E', b'p' | b'P', b'='] if first.contains("=,") => Some(b','),
        _ => None,
    }
}

/// Returns the first `bytes` bytes, rounded down to a character boundary.
fn beginning(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

/// Marker for an error that was already added to the diagnostics.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReportedError {
    code: &'static str,
    line: u32,
}

/// Diagnostics of one CSV file.
#[derive(Debug)]
pub(super) struct CsvDiagnostics<'a> {
    path: &'a Path,
    text: &'a CsvText,
    /// Position of the file name in the configuration.
    span: SourceSpan,
    told: Vec<Diagnostic>,
    errors: usize,
    warnings: usize,
    /// Code and line of the last error.
    last: (&'static str, u32),
}

impl<'a> CsvDiagnostics<'a> {
    pub(super) fn new(path: &'a Path, text: &'a CsvText, span: SourceSpan) -> CsvDiagnostics<'a> {
        CsvDiagnostics { path, text, span, told: Vec::new(), errors: 0, warnings: 0, last: ("", 0) }
    }

    /// Returns the last error, so that identical ones can refer to it.
    pub(super) fn last(&self) -> ReportedError {
        ReportedError { code: self.last.0, line: self.last.1 }
    }

    /// Reports an error identical to one in another line.
    pub(super) fn again(&mut self, known: ReportedError, line: CsvLine, field: Option<usize>) {
        let message = format!("same error as in line {}", known.line);
        self.note((known.code, true), (|| line, field), message, "correct it here as well".to_owned());
    }

    pub(super) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Returns the number of errors so far.
    pub(super) fn errors(&self) -> usize {
        self.errors
    }

    pub(super) fn error(
        &mut self,
        code: DiagnosticCode,
        line: CsvLine,
        field: Option<usize>,
        message: &str,
        help: &str,
    ) {
        self.note((code.id, true), (|| line, field), message.to_owned(), help.to_owned());
    }

    /// Reports a warning for a line given by number.
    pub(super) fn warning(&mut self, code: DiagnosticCode, number: u32, message: String, help: String) {
        let text = self.text;
        self.note((code.id, false), (|| text.line(number), None), message, help);
    }

    /// Runs a value reader and reports its findings at the field.
    pub(super) fn take<T>(
        &mut self,
        (line, field): (CsvLine, Option<usize>),
        read: impl FnOnce(&mut Findings) -> T,
    ) -> T {
        let mut findings = Findings::default();
        let done = read(&mut findings);
        for found in findings.into_sorted() {
            self.note((found.code, found.is_error), (|| line, field), found.message, found.help);
        }
        done
    }

    /// Moves all diagnostics to `findings`, in line order.
    pub(super) fn end(mut self, findings: &mut Findings) {
        self.told.sort_by_key(|found| found.elsewhere.as_ref().map(|excerpt| (excerpt.line, excerpt.column)));
        for (count, is_error, word) in [(self.errors, true, "error"), (self.warnings, false, "warning")] {
            let Some(last) = self.told.iter().rfind(|found| found.is_error == is_error) else { continue };
            let (code, more) = (last.code, count.saturating_sub(TOLD));
            if more > 0 {
                let (span, help) = (Some(self.span.clone()), format!("the first {TOLD} are shown"));
                let message =
                    format!("{}: {more} more {word}{}", self.path.display(), if more == 1 { "" } else { "s" });
                self.told.push(Diagnostic { code, is_error, message, span, help, elsewhere: None });
            }
        }
        self.told.into_iter().for_each(|found| findings.add(found));
    }

    fn note(
        &mut self,
        (code, is_error): (&'static str, bool),
        (line, field): (impl FnOnce() -> CsvLine, Option<usize>),
        message: String,
        help: String,
    ) {
        let count = if is_error { &mut self.errors } else { &mut self.warnings };
        *count += 1;
        if *count > TOLD {
            return;
        }
        let line = line();
        if is_error {
            self.last = (code, line.number);
        }
        let elsewhere = Some(self.text.excerpt(self.path, line, field));
        self.told.push(Diagnostic { code, is_error, message, span: Some(self.span.clone()), help, elsewhere });
    }
}

/// Progress messages for the reading of a large file.
#[derive(Debug)]
pub(super) struct CsvProgress<'a> {
    path: &'a Path,
    begun: Instant,
    told: Instant,
}

impl<'a> CsvProgress<'a> {
    pub(super) fn new(now: Instant, path: &'a Path) -> CsvProgress<'a> {
        CsvProgress { path, begun: now, told: now }
    }

    /// Returns whether the clock should be checked after this many lines.
    pub(super) fn is_due(lines: usize) -> bool {
        lines.is_multiple_of(LINES_AT_ONCE)
    }

    /// Stores and returns a progress message; `None` if the last one is less than [`PATIENCE`] ago.
    pub(super) fn so_far(&mut self, now: Instant, lines: usize) -> Option<String> {
        if now.saturating_duration_since(self.told) < PATIENCE {
            return None;
        }
        self.told = now;
        let text = format!("{}: {lines} lines read", self.path.display());
        *READING.lock().unwrap_or_else(PoisonError::into_inner) = Some((self.path.to_owned(), text.clone()));
        Some(text)
    }

    /// Returns the final message if reading took long.
    pub(super) fn end(self, now: Instant, lines: usize) -> Option<String> {
        let taken = now.saturating_duration_since(self.begun);
        let text = || format!("{}: {lines} lines read in {:.1} s", self.path.display(), taken.as_secs_f32());
        (taken >= PATIENCE).then(text)
    }
}

/// Progress of the large file that is being read.
static READING: Mutex<Option<(PathBuf, String)>> = Mutex::new(None);

/// Returns the progress of the large file that is being read, or `None`.
pub fn reading() -> Option<String> {
    READING.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(_, text)| text.clone())
}

impl Drop for CsvProgress<'_> {
    fn drop(&mut self) {
        READING.lock().unwrap_or_else(PoisonError::into_inner).take_if(|(path, _)| path == self.path);
    }
}

/// Writes to the log, and to stderr if the log is not yet set up and stderr is a terminal.
pub(super) fn say(text: &str) {
    tracing::info!("{text}");
    if !tracing::enabled!(tracing::Level::INFO) && std::io::stderr().is_terminal() {
        eprintln!("{text}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_told_once_a_second() {
        let begun = Instant::now();
        let after = |ms: u64| begun + Duration::from_millis(ms);
        let mut progress = CsvProgress::new(begun, Path::new("n.csv"));
        let asked = (1..=4 * LINES_AT_ONCE).filter(|lines| CsvProgress::is_due(*lines)).count();
        assert_eq!(asked, 4);
        for (ms, lines, expected) in [
            (900, 1, None),
            (1_000, 2, Some("n.csv: 2 lines read")),
            (1_900, 3, None),
            (2_100, 4, Some("n.csv: 4 lines read")),
        ] {
            assert_eq!(progress.so_far(after(ms), lines).as_deref(), expected, "{ms}");
        }
        assert_eq!(reading().as_deref(), Some("n.csv: 4 lines read"), "what a reload is asked for");
        assert_eq!(progress.end(after(2_340), 5).as_deref(), Some("n.csv: 5 lines read in 2.3 s"));
        assert_eq!(reading(), None);
        assert_eq!(CsvProgress::new(begun, Path::new("n.csv")).end(after(999), 5), None);
    }

    #[test]
    fn a_first_line_may_name_the_separator() {
        for (line, expected) in [
            ("sep=;", Some(b';')),
            ("SEP=,\r", Some(b',')),
            ("\"sep=;\"", Some(b';')),
            ("sep=\t", Some(b'\t')),
            ("sep=|", Some(b'|')),
            ("sep=;,,", Some(b';')),
            ("sep=x", None),
            ("sep;to", None),
            ("sep=", None),
            ("to,connect", None),
        ] {
            assert_eq!(separator_named(line), expected, "{line}");
        }
    }
}
