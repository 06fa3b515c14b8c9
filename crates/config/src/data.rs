//! `[edge] data_directory`: where what has to survive the process is kept, and where earlier versions kept it.

use std::path::{Path, PathBuf};

use toml::Spanned;

use super::cdr::Cdr;
use super::code;
use super::diagnostic::Findings;
use super::section::Section;
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
    /// Whether the edge does not start while the store, the call record file or the directory of recordings cannot be written.
    pub is_required: bool,
}

/// Where versions before the store kept what is in it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Previous {
    /// Where the database of text messages may be.
    pub texts: Vec<PathBuf>,
    /// The folder of call records that wait.
    pub records: PathBuf,
    /// Where the file of day counts of limits may be.
    pub day_counts: Vec<PathBuf>,
}

impl DataDirectory {
    /// A directory in which earlier versions have kept everything as well.
    pub fn of(directory: &Path) -> DataDirectory {
        let previous = Previous {
            texts: vec![directory.join(TEXTS)],
            records: directory.join(RECORDS),
            day_counts: vec![directory.join(DAY_COUNTS)],
        };
        DataDirectory { directory: directory.to_owned(), previous, is_required: false }
    }
}

/// Reads the three keys; `cdr` is what call records are written to.
pub(super) fn read(
    [edge, cdr, sms]: [Option<&Section<'_>>; 3],
    records: &Cdr,
    folder: &Path,
    findings: &mut Findings,
) -> DataDirectory {
    let is_required = edge.and_then(|edge| edge.read("data_required", findings, values::boolean)).unwrap_or(false);
    let mut path = |section: Option<&Section<'_>>, key: &str| {
        let written = section?.read(key, findings, values::string)?;
        let value = section?.get(key)?;
        // What of a directory is read away may not be the root, or where everything else is.
        if written.is_empty() || key != "data_directory" && Path::new(&written).file_name().is_none() {
            let help = if key == "data_directory" { "use \"/var/lib/trunkgate\"" } else { "remove the key" };
            findings.error(code::BAD_VALUE, value.span(), format!("`{key}` cannot be \"{written}\""), help);
            return None;
        }
        Some(values::relative_to(folder, &written))
    };
    let (directory, spool, store) = (path(edge, "data_directory"), path(cdr, "spool"), path(sms, "store"));
    if let Some(parent) = directory.as_deref().and_then(Path::parent).filter(|parent| !parent.as_os_str().is_empty())
        && !parent.exists()
    {
        let message = format!("`data_directory`: {} does not exist", parent.display());
        let help = "create it on the machine of the edge: the edge makes the last directory of the path only";
        let span = edge.and_then(|edge| edge.get("data_directory")).map(Spanned::span);
        findings.warning(code::NO_CALL_RECORDS, span, message, help);
    }
    if let Some(value) = edge.and_then(|edge| edge.get("data_directory"))
        && directory.as_deref().is_some_and(|path| std::fs::metadata(path).is_ok_and(|about| !about.is_dir()))
    {
        let help = "name a directory, or a new name: the edge creates it";
        findings.error(code::NO_CALL_RECORDS, value.span(), "`data_directory` is not a directory", help);
    }
    for (section, key) in [(cdr, "spool"), (sms, "store")] {
        if let Some(value) = section.and_then(|section| section.get(key)) {
            let message = format!("`{key}` is where an earlier version kept what is in [edge] data_directory now");
            let help = "what is there is moved at the next start: remove the key then";
            findings.warning(code::BAD_VALUE, Some(value.span()), message, help);
        }
    }
    // A configuration that is named without a directory.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let usual = state_directory();
    let beside = records.file.as_ref().and_then(|file| file.path.parent()).unwrap_or(folder);
    // An earlier version may have been started without `$STATE_DIRECTORY`.
    let places =
        |other: &Path, name: &str| usual.iter().map(|path| path.join(name)).chain([other.join(name)]).collect();
    let previous = Previous {
        texts: store.map_or_else(|| places(folder, TEXTS), |store| vec![store]),
        records: spool.unwrap_or_else(|| beside.join(RECORDS)),
        day_counts: places(beside, DAY_COUNTS),
    };
    let directory = directory.or_else(|| usual.clone()).unwrap_or_else(|| folder.to_owned());
    DataDirectory { directory, previous, is_required }
}

/// Where the service manager lets us keep things.
fn state_directory() -> Option<PathBuf> {
    let state = std::env::var_os("STATE_DIRECTORY").filter(|state| !state.is_empty())?;
    // systemd names several with colons between.
    state.to_str()?.split(':').find(|path| !path.is_empty()).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    fn read(path: &str, more: &str) -> (DataDirectory, Vec<String>) {
        let trunk = "[trunk.a]\npeers = ['sip:192.0.2.9']\n[[route]]\nconnect = ['trunk:a']\n";
        let (config, found) = parse(Path::new(path), &format!("{trunk}{more}")).unwrap();
        (config.data, found.into_iter().map(|one| one.message).collect())
    }

    #[test]
    fn it_is_beside_the_configuration_wherever_that_is_named() {
        assert_eq!(read("trunkgate.toml", "").0.directory, Path::new("."));
        let (data, _) = read("/etc/t/trunkgate.toml", "[cdr]\nfile = '/var/cdr.jsonl'\n");
        assert_eq!(data.directory, Path::new("/etc/t"));
        let previous = Previous {
            texts: vec!["/etc/t/sms.db".into()],
            records: "/var/cdr.spool".into(),
            day_counts: vec!["/var/calls_per_day.jsonl".into()],
        };
        assert_eq!(data.previous, previous);
        assert_eq!(read("/etc/t/trunkgate.toml", "[edge]\ndata_directory = 'd'\n").0.directory, Path::new("/etc/t/d"));
    }

    #[test]
    fn keys_of_earlier_versions_name_where_it_was_and_are_warned_of() {
        let (data, found) = read("/t/t.toml", "[cdr]\nfile = 'c'\nspool = 'waiting'\n[sms]\nstore = '/x/sms.db'\n");
        assert_eq!(
            (data.previous.records, data.previous.texts),
            ("/t/waiting".into(), vec![PathBuf::from("/x/sms.db")])
        );
        assert_eq!(found.iter().filter(|text| text.contains("an earlier version kept")).count(), 2, "{found:?}");
    }
}
