//! Diagnostics of a file, rendered for people (source line and caret) and as JSON.

use std::cell::OnceCell;
use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::code::{self, DiagnosticCode};
use super::cover;
use trunkgate_system::limits;
use trunkgate_system::terminal;

/// Error or warning about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Code such as `TG0104`, explained by `trunkgate help`.
    pub code: &'static str,
    /// True for an error, false for a warning.
    pub is_error: bool,
    /// Description of the problem.
    pub message: String,
    /// Byte range in the file; `None` if the problem has no position.
    pub span: Option<Range<usize>>,
    /// Suggested correction, printed after the caret.
    pub help: String,
    /// Position in another file, which the configuration names at `span`.
    pub elsewhere: Option<Excerpt>,
}

/// Quoted line of another file, to which a diagnostic refers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// Path of the other file.
    pub path: PathBuf,
    /// Line number, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Number of highlighted characters.
    pub width: usize,
    /// Text of the quoted line.
    pub text: String,
}

/// Diagnostics of a configuration, collected while it is read.
#[derive(Debug, Default)]
pub(super) struct Findings {
    list: Vec<Diagnostic>,
    /// Source text, used to quote values.
    source: String,
    /// Source text without secrets, once a value was quoted.
    covered: OnceCell<String>,
}

impl Findings {
    /// Returns an empty collection for a source text.
    pub(super) fn of(source: &str) -> Findings {
        Findings { source: source.to_owned(), ..Findings::default() }
    }

    /// Returns the source text of a range; empty if the source is unknown or the range has a secret.
    pub(super) fn written(&self, place: Range<usize>) -> &str {
        let written = self.source.get(place.clone()).unwrap_or_default();
        let covered = self.covered.get_or_init(|| cover::covered(&self.source));
        // Characters of several bytes are covered by one.
        let is_open = covered.len() == self.source.len() && covered.get(place) == Some(written);
        if is_open { written } else { "" }
    }

    pub(super) fn error(
        &mut self,
        code: DiagnosticCode,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(code, true, Some(span), message.into(), help.into());
    }

    pub(super) fn warning(
        &mut self,
        code: DiagnosticCode,
        span: Option<Range<usize>>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(code, false, span, message.into(), help.into());
    }

    /// Reports an error without a position.
    pub(super) fn error_of_file(&mut self, code: DiagnosticCode, message: impl Into<String>, help: impl Into<String>) {
        self.push(code, true, None, message.into(), help.into());
    }

    pub(super) fn has_errors(&self) -> bool {
        self.list.iter().any(|diagnostic| diagnostic.is_error)
    }

    /// Returns whether an error is reported at this position.
    pub(super) fn has_error_at(&self, place: &Range<usize>) -> bool {
        self.list.iter().any(|diagnostic| diagnostic.is_error && diagnostic.span.as_ref() == Some(place))
    }

    /// Removes the diagnostics that do not satisfy `keep`.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Diagnostic) -> bool) {
        self.list.retain(|diagnostic| keep(diagnostic));
    }

    /// Appends the preset's name to each diagnostic at one of these positions, unless the message already contains it.
    pub(super) fn come_from(&mut self, preset: &str, places: &[Range<usize>]) {
        let named = format!("preset {preset}");
        for found in &mut self.list {
            if found.span.as_ref().is_some_and(|span| places.contains(span)) && !found.message.contains(&named) {
                found.message.push_str(&format!(" (preset {preset})"));
            }
        }
    }

    /// Returns the diagnostics in file order; those without a position come last.
    pub(super) fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.list.sort_by_key(|diagnostic| diagnostic.span.as_ref().map_or(usize::MAX, |span| span.start));
        self.list
    }

    fn push(
        &mut self,
        code: DiagnosticCode,
        is_error: bool,
        span: Option<Range<usize>>,
        message: String,
        help: String,
    ) {
        self.add(Diagnostic { code: code.id, is_error, message, span, help, elsewhere: None });
    }

    /// Adds a diagnostic unless an equal one exists.
    pub(super) fn add(&mut self, mut found: Diagnostic) {
        found.message = cover::told_words(&found.message);
        found.help = cover::told_words(&found.help);
        // A group is checked once for each route that uses it.
        if !self.list.contains(&found) {
            self.list.push(found);
        }
    }
}

/// Returns line and column of an offset, both from 1; the column counts characters.
pub(super) fn line_and_column(source: &str, offset: usize) -> (usize, usize) {
    let before = source.get(..offset).unwrap_or(source);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
    (before.matches('\n').count() + 1, column)
}

/// Returns `file:line:column` of an offset.
pub(super) fn place(path: &Path, source: &str, offset: usize) -> String {
    let (line, column) = line_and_column(source, offset);
    format!("{}:{line}:{column}", path.display())
}

/// Renders diagnostics as text, errors before warnings, each with its source line and a caret.
pub fn render(path: &Path, source: &str, diagnostics: &[Diagnostic]) -> String {
    let mut out = String::new();
    let shown = cover::covered(source);
    let (wrong, doubtful): (Vec<&Diagnostic>, Vec<&Diagnostic>) = diagnostics.iter().partition(|one| one.is_error);
    for diagnostic in wrong.into_iter().chain(doubtful) {
        render_one(&mut out, path, (source, &shown), diagnostic);
        out.push('\n');
    }
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error).count();
    let warnings = diagnostics.len() - errors;
    let count = |number: usize, word: &str| match number {
        0 => None,
        1 => Some(format!("1 {word}")),
        _ => Some(format!("{number} {word}s")),
    };
    let counts: Vec<String> = [count(errors, "error"), count(warnings, "warning")].into_iter().flatten().collect();
    if !counts.is_empty() {
        out.push_str(&counts.join(", "));
        out.push('\n');
    }
    // Names and lines come from the file: remove terminal control characters.
    terminal::harmless(&out)
}

/// Returns the number of errors and the first one with its position, in one line; empty without errors.
pub fn summary(path: &Path, source: &str, diagnostics: &[Diagnostic]) -> String {
    let mut errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error);
    let Some(first) = errors.next() else { return String::new() };
    let place = place_of(path, source, first);
    // Other help texts are longer or refer to a list.
    let is_brief = first.code == code::SYNTAX.id || first.help.starts_with("did you mean");
    let is_brief = is_brief && first.help.chars().count() <= limits::HELP_IN_LINE_CHARS;
    let help = if is_brief { format!(" ({})", first.help) } else { String::new() };
    match errors.count() {
        0 => format!("1 error: {} at {place}{help}", first.message),
        more => format!("{} errors: {} at {place}{help} (and {more} more: trunkgate check)", more + 1, first.message),
    }
}

fn place_of(path: &Path, source: &str, diagnostic: &Diagnostic) -> String {
    match (&diagnostic.elsewhere, &diagnostic.span) {
        (Some(at), _) => format!("{}:{}:{}", at.path.display(), at.line, at.column),
        (None, Some(span)) => place(path, source, span.start),
        (None, None) => path.display().to_string(),
    }
}

/// Returns the first error with its position, and the number of further errors, in one line; empty without errors.
pub fn brief(path: &Path, source: &str, diagnostics: &[Diagnostic]) -> String {
    let mut errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error);
    let Some(first) = errors.next() else { return String::new() };
    let place = place_of(path, source, first);
    let more = match errors.count() {
        0 => String::new(),
        1 => " (and 1 more error)".to_owned(),
        more => format!(" (and {more} more errors)"),
    };
    format!("[{}]: {place}: {}{more}", first.code, first.message)
}

/// Returns a diagnostic in one line, with position and help, for the log.
pub fn in_line(path: &Path, source: &str, found: &Diagnostic) -> String {
    let help = if found.help.is_empty() { String::new() } else { format!("; {}", found.help) };
    format!("[{}]: {}: {}{help}", found.code, place_of(path, source, found), found.message)
}

/// Returns one line per diagnostic, at most [`limits::WARNINGS_TOLD`].
pub fn in_lines(path: &Path, found: &[Diagnostic]) -> Vec<String> {
    let source = if found.is_empty() { String::new() } else { super::text(path).unwrap_or_default() };
    found.iter().take(limits::WARNINGS_TOLD).map(|one| in_line(path, &source, one)).collect()
}

fn render_one(out: &mut String, path: &Path, (source, shown): (&str, &str), diagnostic: &Diagnostic) {
    let severity = if diagnostic.is_error { "error" } else { "warning" };
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{severity}[{}]: {}", diagnostic.code, diagnostic.message);
    let Some(span) = diagnostic.span.clone() else {
        let _ = writeln!(out, "  --> {}", path.display());
        if !diagnostic.help.is_empty() {
            let _ = writeln!(out, "   = help: {}", diagnostic.help);
        }
        return;
    };
    let here = || {
        let (line, column) = line_and_column(source, span.start);
        let width = source.get(span).unwrap_or_default().lines().next().unwrap_or_default().chars().count();
        let line_of = |text: &str| text.lines().nth(line - 1).unwrap_or_default().to_owned();
        let text = cover::shown_line(&line_of(source), &line_of(shown));
        Excerpt { path: path.to_owned(), line, column, width, text }
    };
    let foreign = |excerpt: &Excerpt| Excerpt { text: cover::foreign_line(&excerpt.text), ..excerpt.clone() };
    let Excerpt { path, line, column, width, text } = diagnostic.elsewhere.as_ref().map_or_else(here, foreign);
    let number = line.to_string();
    let gutter = " ".repeat(number.len());
    // Keep tabs, so that the caret lines up with the text at any tab width.
    let lead: String = text.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let left = text.chars().count().saturating_sub(column - 1);
    let carets = "^".repeat(width.min(left).max(1));
    let _ = writeln!(out, "{gutter}--> {}:{line}:{column}", path.display());
    let _ = writeln!(out, "{gutter} |");
    let _ = writeln!(out, "{number} | {text}");
    let _ = writeln!(out, "{}", format!("{gutter} | {lead}{carets} {}", diagnostic.help).trim_end());
}

/// Returns diagnostics as a JSON array of `{code, severity, message, file, line, column, help}`; line and column are
/// `null` without a position.
pub fn to_json(path: &Path, source: &str, diagnostics: &[Diagnostic]) -> serde_json::Value {
    let one = |diagnostic: &Diagnostic| {
        let elsewhere = diagnostic.elsewhere.as_ref();
        let here = || diagnostic.span.as_ref().map(|span| line_and_column(source, span.start));
        let place = elsewhere.map(|excerpt| (excerpt.line, excerpt.column)).or_else(here);
        serde_json::json!({
            "code": diagnostic.code,
            "severity": if diagnostic.is_error { "error" } else { "warning" },
            "message": diagnostic.message,
            "file": elsewhere.map_or(path, |excerpt| &excerpt.path).display().to_string(),
            "line": place.map(|(line, _)| line),
            "column": place.map(|(_, column)| column),
            "help": diagnostic.help,
        })
    };
    diagnostics.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::super::code;
    use super::*;

    #[test]
    fn text_for_a_person_is_as_the_contract_shows_it() {
        let source = "[edge]\n\n\n\n\n\n\n\n\n\n\n\n[trunk.carrier]\ncodec = [\"PCMU\"]\n";
        let mut findings = Findings::default();
        let at = source.find("codec").unwrap();
        let message = "unknown key `codec` in [trunk.carrier]";
        findings.error(code::UNKNOWN_KEY, at..at + 5, message, "did you mean `codecs`?");
        let text = render(Path::new("trunkgate.toml"), source, &findings.into_sorted());
        let expected = "\
error[TG0104]: unknown key `codec` in [trunk.carrier]
  --> trunkgate.toml:14:1
   |
14 | codec = [\"PCMU\"]
   | ^^^^^ did you mean `codecs`?

1 error
";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_a_file_holds_does_not_steer_the_terminal() {
        let source = "[trunk.carrier]\nname = '\u{9b}31m\x1b[31m'\n";
        let mut findings = Findings::default();
        findings.error(code::UNKNOWN_KEY, 16..20, "unknown \x1b[2J", "as \u{202e}");
        let text = render(Path::new("a\x07.toml"), source, &findings.into_sorted());
        assert!(!text.contains(|c: char| c.is_control() && c != '\n') && !text.contains('\u{202e}'), "{text:?}");
        assert!(text.contains("name = '·31m·[31m'"), "{text}");
    }

    #[test]
    fn places_count_characters_and_keep_tabs() {
        let source = "a = 1\n\tñ = [\n  2\n]\n";
        let at = source.find('[').unwrap();
        let diagnostic = |span, is_error| {
            let (message, help) = ("m".into(), String::new());
            Diagnostic { code: "TG0105", is_error, message, span, help, elsewhere: None }
        };
        let found =
            [diagnostic(Some(at..source.len() - 1), true), diagnostic(None, false), diagnostic(Some(0..0), false)];
        let text = render(Path::new("f"), source, &found);
        let expected = "\
error[TG0105]: m
 --> f:2:6
  |
2 | \tñ = [
  | \t    ^

warning[TG0105]: m
  --> f

warning[TG0105]: m
 --> f:1:1
  |
1 | a = 1
  | ^

1 error, 2 warnings
";
        assert_eq!(text, expected);
        let json = to_json(Path::new("f"), source, &found);
        assert_eq!((json[0]["line"].as_u64(), json[0]["column"].as_u64()), (Some(2), Some(6)));
        assert!(json[1]["line"].is_null());
        assert_eq!(json[1]["severity"], "warning");
    }

    #[test]
    fn a_secret_is_never_shown_with_its_mistake() {
        for line in [
            "tokn = \"S3cret\"",
            "token = { value = \"S3cret\" }",
            "token = \"S3cret",
            "token = S3cret",
            "Auth_Token=[\"S3cret\"]",
            "http = { token = \"S3cret\" }",
            "auth = { username = \"u\", pasword = \"S3cret\" }",
        ] {
            let source = format!("[http]\n{line}\n");
            let mut findings = Findings::default();
            findings.error(code::UNKNOWN_KEY, 7..11, "unknown", "did you mean?");
            let text = render(Path::new("t.toml"), &source, &findings.into_sorted());
            let key = line.split('=').next().unwrap();
            assert!(!text.contains("S3cret") && text.contains(&format!("2 | {key}=")), "{text}");
            assert_eq!(cover::covered(&source).chars().count(), source.chars().count());
        }
        for (line, shown) in [
            (
                "token = { env = \"NAME\", x = \"S3cret\", file = '/run/x' }",
                "token = { env = \"NAME\", x = \"******\", file = '/run/x' }",
            ),
            (
                "auth = { user = 'me', pasword = 'geheim', G3heim = '' }",
                "auth = { user = '**', pasword = '******', G3heim = '' }",
            ),
            (
                "[trunk.a]\nheaders = { pass = ['X-A'], remov = 'X-B' }",
                "[trunk.a]\nheaders = { pass = ['X-A'], remov = 'X-B' }",
            ),
            ("pass = 'geheim'", "pass = '******'"),
            ("token = \"env = 'a'\"", "token = \"*********\""),
            ("codec = [\"PCMU\"]", "codec = [\"PCMU\"]"),
        ] {
            assert_eq!(cover::covered(line), shown);
        }
    }
}
