//! Sounds used as targets (`play:FILE`) and as mailbox greetings, each read and decoded once.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::code::{self, DiagnosticCode};
use super::diagnostic::Findings;
use super::draft::SourceSpan;
use super::hold;
use trunkgate_audio::Use;
use trunkgate_system::below::below;
use trunkgate_system::limits::ANNOUNCEMENT_SECONDS;

/// Unusable file: code, message and help text.
type UnusableSound = (DiagnosticCode, String, String);
type DecodedSound = Result<Arc<[u8]>, UnusableSound>;

/// Cache of sounds by their names in the configuration, since a hundred thousand lines of a `routes_file` may name the
/// same sound.
#[derive(Debug)]
pub(super) struct SoundCache {
    folder: PathBuf,
    read: RefCell<BTreeMap<String, DecodedSound>>,
}

impl SoundCache {
    /// Returns an empty cache for the sounds below a folder.
    pub(super) fn below(folder: &Path) -> SoundCache {
        SoundCache { folder: folder.to_owned(), read: RefCell::default() }
    }

    /// Reads a sound unless it is cached. `of` is the text or key that names it.
    pub(super) fn judge(&self, (of, name): (&str, &str), span: SourceSpan, findings: &mut Findings) {
        let mut read = self.read.borrow_mut();
        let found = read.entry(name.to_owned()).or_insert_with(|| self.decode(name));
        if let Err((code, message, help)) = found {
            findings.error(*code, span, format!("{of}: {message}"), help.clone());
        }
    }

    /// Returns the playable sounds: μ-law at 8 kHz.
    pub(super) fn into_audio(self) -> BTreeMap<String, Arc<[u8]>> {
        let read = self.read.into_inner().into_iter();
        read.filter_map(|(name, codes)| Some((name, codes.ok()?))).collect()
    }

    fn decode(&self, name: &str) -> DecodedSound {
        let path = below(&self.folder, name).map_err(|error| {
            let code = if error.is_name() { code::BAD_TARGET } else { code::BAD_FILE };
            let help = "use a file below the directory of this configuration: sounds/closed.wav";
            (code, error.to_string(), help.to_owned())
        })?;
        hold::sound(&path, ANNOUNCEMENT_SECONDS, Use::Once).map_err(|(what, help)| (code::BAD_FILE, what, help))
    }
}
