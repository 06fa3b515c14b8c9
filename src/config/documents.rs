//! Files of TwiML that the configuration names: read when it is loaded, so that a mistake is found by `check` and not by a caller.

use std::path::Path;
use std::sync::Arc;

use trunkgate_twiml::Position;

use super::code;
use super::diagnostic::{Diagnostic, Excerpt, Findings, line_and_column};
use super::keys::Around;
use super::section::Value;
use super::values;
use crate::limits::WEBHOOK_DOCUMENT_BYTES;
use crate::system::below::{NotBelow, below};
use crate::system::files;

/// Characters of a line that are shown; more where the mistake is further on.
const SHOWN_CHARS: usize = 120;
const NO_FILE: &str = "use a file below the directory of this configuration: file = \"menu.xml\"";

/// A file of TwiML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Document {
    /// Its name, as written.
    pub(super) name: String,
    /// What is in it, where it can be used.
    pub(super) text: Option<Arc<str>>,
}

/// What is wrong with a document, at its place there; both figures begin at 1.
struct Fault {
    line: usize,
    column: usize,
    what: String,
    help: String,
    /// Skipped when the document runs, instead of a document that cannot run.
    is_warning: bool,
}

/// Judges the text of a document. The one place in the configuration that knows what a document may be.
fn judge_text(text: &str) -> Vec<Fault> {
    let fault = |code: u16, at: Position, what: String, is_warning| {
        let place = |figure: u32| usize::try_from(figure).unwrap_or(1).max(1);
        let help = format!("Twilio error {code}");
        Fault { line: place(at.line), column: place(at.column), what, help, is_warning }
    };
    match trunkgate_twiml::parse(text) {
        Err(error) => vec![fault(error.code, error.position, error.message, false)],
        Ok(document) => {
            let warnings = document.warnings.list.into_iter();
            warnings.map(|one| fault(one.code, one.position, one.message, true)).collect()
        }
    }
}

/// Reads a file of TwiML.
pub(super) fn file(key: &str, value: &Value<'_>, around: Around<'_>, findings: &mut Findings) -> Option<Document> {
    let name = values::string(key, value, findings)?;
    let text = read(key, &name, value, around.folder, findings);
    Some(Document { name, text })
}

fn read(key: &str, name: &str, value: &Value<'_>, folder: &Path, findings: &mut Findings) -> Option<Arc<str>> {
    let path = match below(folder, name) {
        Ok(path) => path,
        Err(error) => {
            let code = if matches!(error, NotBelow::System(_)) { code::BAD_FILE } else { code::BAD_VALUE };
            findings.error(code, value.span(), format!("`{key}`: \"{name}\": {error}"), NO_FILE);
            return None;
        }
    };
    let bytes = match files::read(&path, WEBHOOK_DOCUMENT_BYTES) {
        Ok(bytes) if bytes.len() as u64 <= WEBHOOK_DOCUMENT_BYTES => bytes,
        other => {
            let what = match other {
                Ok(_) => format!("more than {} KiB", WEBHOOK_DOCUMENT_BYTES >> 10),
                Err(error) => error.to_string(),
            };
            findings.error(code::BAD_FILE, value.span(), format!("`{key}`: \"{name}\": {what}"), NO_FILE);
            return None;
        }
    };
    let (text, faults) = match String::from_utf8(bytes) {
        Ok(text) => {
            let faults = judge_text(&text);
            (text, faults)
        }
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            let (line, column) = line_and_column(&text, valid);
            let (what, help) = ("the document is not UTF-8".to_owned(), "save the file as UTF-8".to_owned());
            (text, vec![Fault { line, column, what, help, is_warning: false }])
        }
    };
    let is_usable = faults.iter().all(|fault| fault.is_warning);
    for fault in faults {
        let shown = text.lines().nth(fault.line.saturating_sub(1)).unwrap_or_default();
        let excerpt = Excerpt {
            path: folder.join(name),
            line: fault.line,
            column: fault.column,
            width: 1,
            text: shown.chars().take(SHOWN_CHARS.max(fault.column)).collect(),
        };
        findings.add(Diagnostic {
            code: code::BAD_DOCUMENT.id,
            is_error: !fault.is_warning,
            message: format!("`{key}`: {}", fault.what),
            span: Some(value.span()),
            help: fault.help,
            elsewhere: Some(excerpt),
        });
    }
    is_usable.then(|| text.into())
}
