//! `[edge] data_directory`: where what has to survive the process is kept, and where earlier versions kept it.

use std::path::{Path, PathBuf};

use super::cdr::Cdr;
use super::code;
use super::diagnostic::Findings;
use super::section::{Section, Value};
use super::values;

/// As earlier versions named what they kept.
const TEXTS: &str = "sms.db";
const RECORDS: &str = "cdr.spool";
const DAY_COUNTS: &str = "calls_per_day.jsonl";

/// Where what has to survive the process is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDirectory {
    /// The directory.
    pub directory: PathBuf,
    /// What is taken over from where earlier versions kept it.
    pub previous: Previous,
}

/// Where versions before the store kept what is in it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Previous {
    /// The database of text messages.
    pub texts: PathBuf,
    /// The folder of call records that wait.
    pub records: PathBuf,
    /// The file of day counts of limits.
    pub day_counts: PathBuf,
}

impl DataDirectory {
    /// A directory in which earlier versions have kept everything as well.
    pub fn of(directory: &Path) -> DataDirectory {
        let previous = Previous {
            texts: directory.join(TEXTS),
            records: directory.join(RECORDS),
            day_counts: directory.join(DAY_COUNTS),
        };
        DataDirectory { directory: directory.to_owned(), previous }
    }
}

/// Reads the three keys; `cdr` is what call records are written to.
pub(super) fn read(
    [edge, cdr, sms]: [Option<&Section<'_>>; 3],
    records: &Cdr,
    folder: &Path,
    findings: &mut Findings,
) -> DataDirectory {
    let mut path = |section: Option<&Section<'_>>, key: &str| {
        let written = section?.read(key, findings, some_path)?;
        Some(values::relative_to(folder, &written))
    };
    let (directory, spool, store) = (path(edge, "data_directory"), path(cdr, "spool"), path(sms, "store"));
    for (section, key) in [(cdr, "spool"), (sms, "store")] {
        if let Some(value) = section.and_then(|section| section.get(key)) {
            let message = format!("`{key}` is where an earlier version kept what is in [edge] data_directory now");
            let help = "what is there is moved at the next start: remove the key then";
            findings.warning(code::BAD_VALUE, Some(value.span()), message, help);
        }
    }
    let usual = state_directory();
    let beside = records.file.as_ref().and_then(|file| file.path.parent()).unwrap_or(folder);
    let usual_or = |other: &Path| usual.as_deref().unwrap_or(other).to_owned();
    DataDirectory {
        directory: directory.unwrap_or_else(|| usual_or(folder)),
        previous: Previous {
            texts: store.unwrap_or_else(|| usual_or(folder).join(TEXTS)),
            records: spool.unwrap_or_else(|| beside.join(RECORDS)),
            day_counts: usual_or(beside).join(DAY_COUNTS),
        },
    }
}

fn some_path(key: &str, value: &Value<'_>, findings: &mut Findings) -> Option<String> {
    let text = values::string(key, value, findings)?;
    if text.is_empty() {
        findings.error(code::BAD_VALUE, value.span(), format!("`{key}` is empty"), "use \"/var/lib/trunkgate\"");
        return None;
    }
    Some(text)
}

/// Where the service manager lets us keep things.
fn state_directory() -> Option<PathBuf> {
    let state = std::env::var_os("STATE_DIRECTORY").filter(|state| !state.is_empty())?;
    // systemd names several with colons between.
    Some(PathBuf::from(state.to_str()?.split(':').next()?))
}
