//! TwiML files named by the configuration and the files that they refer to. They are read with the configuration, so
//! that `check` finds mistakes before a caller does. Mistakes in a file named by the configuration are errors; mistakes
//! in files further on are warnings, because such a file may be created later.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use trunkgate_twiml::{DocumentLocation, DocumentPosition, DocumentReference, ReferenceKind, references};

use super::code::{self, DiagnosticCode};
use super::diagnostic::{Diagnostic, Excerpt, Findings, line_and_column};
use super::file_name;
use super::section::SpannedValue;
use super::values::KeyReader;
pub(crate) use trunkgate_system::below::{self, PathFault, below};
use trunkgate_system::files;
use trunkgate_system::limits::{APP_FILES_CHECKED, AUDIO_FILE_BYTES, WEBHOOK_DOCUMENT_BYTES};

/// Maximum number of directory entries searched for files that match a name with parameters.
const NAMES_LISTED: usize = 10_000;
/// Maximum number of characters displayed of a line, unless the error is further right.
const SHOWN_CHARS: usize = 120;
const NO_FILE: &str = "use a file below the directory of this configuration: file = \"menu.xml\"";

/// TwiML file named by the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TwimlFile {
    /// Normalised name of the document's file.
    pub(super) name: String,
    /// Text of the document; `None` if the file is not valid.
    pub(super) text: Option<Arc<str>>,
    /// Position of the first `Say` in the document or in one that it leads to.
    pub(super) speech: Option<Excerpt>,
    /// Position of the first `Gather` with speech input in the document or in one that it leads to.
    pub(super) speech_input: Option<Excerpt>,
}

impl TwimlFile {
    /// Returns a document without usable contents.
    fn unusable(name: String) -> TwimlFile {
        TwimlFile { name, text: None, speech: None, speech_input: None }
    }
}

/// Error in a document, with line and column from 1.
struct DocumentFault {
    line: usize,
    column: usize,
    what: String,
    help: String,
    /// True if the interpreter skips the faulty part; false if the document cannot run.
    is_warning: bool,
}

/// Returns line and column of a position in a document.
fn place(at: DocumentPosition) -> (usize, usize) {
    let figure = |figure: u32| usize::try_from(figure).unwrap_or(1).max(1);
    (figure(at.line), figure(at.column))
}

/// Checks the text of a document. The only code in this crate that parses TwiML.
fn judge_text(text: &str) -> Vec<DocumentFault> {
    let fault = |code: u16, at: DocumentPosition, what: String, is_warning| {
        let (line, column) = place(at);
        DocumentFault { line, column, what, help: format!("Twilio error {code}"), is_warning }
    };
    match trunkgate_twiml::parse(text) {
        Err(error) => vec![fault(error.code, error.position, error.message, false)],
        Ok(document) => {
            let warnings = document.warnings.list.into_iter();
            warnings.map(|one| fault(one.code, one.position, one.message, true)).collect()
        }
    }
}

/// Reads a TwiML file and checks the files that it refers to.
pub(super) fn file(reader: &mut KeyReader<'_>) -> Option<TwimlFile> {
    let written = reader.string()?;
    // A name without a normal form is reported by `read`.
    let name = below::normal(&written).unwrap_or(written);
    let (text, faults) = match read(reader.scope.folder, &name) {
        Ok(read) => read,
        Err((code, what)) => {
            reader.error(code, format!(": \"{name}\": {what}"), NO_FILE);
            return Some(TwimlFile::unusable(name));
        }
    };
    let is_usable = faults.iter().all(|fault| fault.is_warning);
    for fault in faults {
        let place = excerpt(reader.scope.folder, &name, &text, (fault.line, fault.column));
        reader.findings.add(found(reader.key, reader.value, fault, place));
    }
    if !is_usable {
        return Some(TwimlFile::unusable(name));
    }
    let usable = Arc::from(text.as_str());
    let (seen, speech, speech_input) = Default::default();
    let KeyReader { key, value, .. } = *reader;
    let (folder, findings) = (reader.scope.folder, &mut *reader.findings);
    let mut walk = ReferenceWalk { key, value, folder, findings, seen, speech, speech_input };
    walk.documents(NamedDocument { name: name.clone(), text });
    let ReferenceWalk { speech, speech_input, .. } = walk;
    Some(TwimlFile { name, text: Some(usable), speech, speech_input })
}

/// Reads a document and returns its text and errors.
fn read(folder: &Path, name: &str) -> Result<(String, Vec<DocumentFault>), (DiagnosticCode, String)> {
    let path = below(folder, name).map_err(|error| {
        let code = if matches!(error, PathFault::System(_)) { code::BAD_FILE } else { code::BAD_VALUE };
        (code, error.to_string())
    })?;
    let bytes = files::read(&path, WEBHOOK_DOCUMENT_BYTES).map_err(|error| (code::BAD_FILE, error.to_string()))?;
    if bytes.len() as u64 > WEBHOOK_DOCUMENT_BYTES {
        return Err((code::BAD_FILE, format!("more than {} KiB", WEBHOOK_DOCUMENT_BYTES >> 10)));
    }
    Ok(match String::from_utf8(bytes) {
        Ok(text) => {
            let faults = judge_text(&text);
            (text, faults)
        }
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            let (line, column) = line_and_column(&text, valid);
            let (what, help) = ("the document is not UTF-8".to_owned(), "save the file as UTF-8".to_owned());
            (text, vec![DocumentFault { line, column, what, help, is_warning: false }])
        }
    })
}

/// Returns the excerpt for a position in a document.
fn excerpt(folder: &Path, name: &str, text: &str, (line, column): (usize, usize)) -> Excerpt {
    let shown = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    let text = shown.chars().take(SHOWN_CHARS.max(column)).collect();
    Excerpt { path: folder.join(name), line, column, width: 1, text }
}

fn found(key: &str, value: &SpannedValue<'_>, fault: DocumentFault, place: Excerpt) -> Diagnostic {
    Diagnostic {
        code: code::BAD_DOCUMENT.id,
        is_error: !fault.is_warning,
        message: format!("`{key}`: {}", fault.what),
        span: Some(value.span()),
        help: fault.help,
        elsewhere: Some(place),
    }
}

/// Traversal of the file references of a document and of the documents that it leads to; each file is visited once. A
/// name with a parameter (`choice-{{Digits}}.xml`) leads to every file that it may match.
struct ReferenceWalk<'a, 'v> {
    key: &'a str,
    value: &'a SpannedValue<'v>,
    folder: &'a Path,
    findings: &'a mut Findings,
    /// References that were already followed.
    seen: HashSet<ReferenceKind>,
    speech: Option<Excerpt>,
    speech_input: Option<Excerpt>,
}

/// Document with its name.
struct NamedDocument {
    name: String,
    text: String,
}

impl ReferenceWalk<'_, '_> {
    fn documents(&mut self, first: NamedDocument) {
        self.seen.insert(ReferenceKind::Document(first.name.clone()));
        let mut waiting = VecDeque::from([first]);
        while let Some(document) = waiting.pop_front() {
            for DocumentReference { position, kind } in references(&document.text) {
                if self.speech.is_none() && kind == ReferenceKind::Speech {
                    self.speech = Some(self.excerpt(&document, position));
                }
                if self.speech_input.is_none() && kind == ReferenceKind::SpeechInput {
                    self.speech_input = Some(self.excerpt(&document, position));
                }
                waiting.extend(self.look(&document, position, kind));
            }
        }
    }

    /// Checks the file or files of a reference, once. Returns the documents to be followed.
    fn look(&mut self, from: &NamedDocument, at: DocumentPosition, kind: ReferenceKind) -> Vec<NamedDocument> {
        let (written, is_document, as_kind): (_, _, fn(String) -> ReferenceKind) = match kind {
            ReferenceKind::Document(written) => (written, true, ReferenceKind::Document),
            ReferenceKind::Sound(written) => (written, false, ReferenceKind::Sound),
            ReferenceKind::Speech | ReferenceKind::SpeechInput => return Vec::new(),
        };
        let names = match DocumentLocation::File(from.name.clone()).resolve(&written) {
            Ok(DocumentLocation::File(pattern)) if is_document && pattern.contains("{{") => {
                self.files_like(from, at, &pattern).into_iter().map(Ok).collect()
            }
            Ok(DocumentLocation::File(name)) => vec![Ok(name)],
            Ok(DocumentLocation::Url(_) | DocumentLocation::Inline) => Vec::new(),
            Err(what) => vec![Err((written, what))],
        };
        names.into_iter().filter_map(|name| self.look_at(from, at, name, as_kind)).collect()
    }

    /// Returns the names of up to [`APP_FILES_CHECKED`] files that a name with parameters may match; warns if there are
    /// none.
    fn files_like(&mut self, from: &NamedDocument, at: DocumentPosition, pattern: &str) -> Vec<String> {
        let (directory, _) = pattern.rsplit_once('/').unwrap_or_default();
        let seen = ReferenceKind::Document(pattern.to_owned());
        // A directory name with a parameter is known only during a call.
        if directory.contains("{{") || self.seen.contains(&seen) {
            return Vec::new();
        }
        let names = self.names_in(directory).filter(|name| file_name::may_be(pattern, name));
        let mut names: Vec<String> = names.take(APP_FILES_CHECKED).collect();
        names.sort();
        if names.is_empty() {
            self.seen.insert(seen);
            let what = format!("no file has a name like \"{pattern}\"");
            self.warn(
                self.excerpt(from, at),
                what,
                "create a file for each value of the parameter, or correct the name".to_owned(),
            );
        }
        names
    }

    /// Returns the names of the files in a directory, relative to the configuration's folder.
    fn names_in(&self, directory: &str) -> impl Iterator<Item = String> + use<> {
        let front = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        // The folder of `trunkgate.toml` without a path is empty, which names no directory.
        let path = if directory.is_empty() { Some(self.folder.join(".")) } else { below(self.folder, directory).ok() };
        let entries = path.and_then(|path| std::fs::read_dir(path).ok()).into_iter().flatten().take(NAMES_LISTED);
        entries.filter_map(move |entry| Some(format!("{front}{}", entry.ok()?.file_name().to_str()?)))
    }

    /// Checks one file, once, and reports an invalid name. Returns a document to be followed.
    fn look_at(
        &mut self,
        from: &NamedDocument,
        at: DocumentPosition,
        found: Result<String, (String, String)>,
        as_kind: fn(String) -> ReferenceKind,
    ) -> Option<NamedDocument> {
        let seen = as_kind(found.clone().unwrap_or_else(|(written, _)| written));
        if self.seen.len() >= APP_FILES_CHECKED || !self.seen.insert(seen.clone()) {
            return None;
        }
        let looked = match (found, seen) {
            (Err((_, what)), _) => Err((what, "use a URL, or a file below the directory of the configuration")),
            (Ok(name), ReferenceKind::Document(_)) => self.document(name).map(Some),
            (Ok(name), ReferenceKind::Sound(_) | ReferenceKind::Speech | ReferenceKind::SpeechInput) => {
                self.sound(&name).map(|()| None)
            }
        };
        looked.unwrap_or_else(|(what, help)| {
            let place = self.excerpt(from, at);
            self.warn(place, what, help.to_owned());
            None
        })
    }

    /// Reads a document and warns of its errors.
    fn document(&mut self, name: String) -> Result<NamedDocument, (String, &'static str)> {
        let wrong = |(_, what)| (format!("the document \"{name}\": {what}"), "write that file, or correct its name");
        let (text, faults) = read(self.folder, &name).map_err(wrong)?;
        for fault in faults {
            self.warn(excerpt(self.folder, &name, &text, (fault.line, fault.column)), fault.what, fault.help);
        }
        Ok(NamedDocument { name, text })
    }

    fn sound(&self, name: &str) -> Result<(), (String, &'static str)> {
        let help = "callers hear nothing there: record that file, or correct its name";
        let wrong = |what: &dyn fmt::Display| (format!("the sound \"{name}\": {what}"), help);
        let path = below(self.folder, name).map_err(|error| wrong(&error))?;
        let about = files::open(&path).and_then(|file| file.metadata()).map_err(|error| wrong(&error))?;
        match about.len() > AUDIO_FILE_BYTES {
            true => Err(wrong(&format!("more than {} MiB", AUDIO_FILE_BYTES >> 20))),
            false => Ok(()),
        }
    }

    fn excerpt(&self, document: &NamedDocument, at: DocumentPosition) -> Excerpt {
        excerpt(self.folder, &document.name, &document.text, place(at))
    }

    fn warn(&mut self, place: Excerpt, what: String, help: String) {
        let fault = DocumentFault { line: place.line, column: place.column, what, help, is_warning: true };
        self.findings.add(found(self.key, self.value, fault, place));
    }
}
