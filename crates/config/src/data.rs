//! `[edge] data_directory` and `state_directory`: the directories of persistent data and of the calls' state, and
//! `standby`, which needs that state.

use std::path::{Path, PathBuf};

use super::code;
use super::diagnostic::Findings;
use super::section::Section;
use super::values::{self, KeyReader};

/// Directory for data that survives a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDirectory {
    /// Path of the directory.
    pub directory: PathBuf,
    /// True if the edge must not start while the store, the call record file or the recording directory is not
    /// writable.
    pub is_required: bool,
    /// Directory of the state of answered calls (`state = "file"`); `None` if a crash ends them.
    pub state: Option<PathBuf>,
    /// True if a second process of `trunkgate keeper` waits to take over after a crash.
    pub has_standby: bool,
}

impl DataDirectory {
    /// Returns the settings of a directory that is not required.
    pub fn of(directory: &Path) -> DataDirectory {
        DataDirectory { directory: directory.to_owned(), is_required: false, state: None, has_standby: false }
    }
}

/// Reads `data_directory`, `data_required`, `state`, `state_directory` and `standby` of `[edge]`.
pub(super) fn read(edge: &Section<'_>, findings: &mut Findings) -> DataDirectory {
    let is_required = edge.read("data_required", findings, |reader| reader.boolean()).unwrap_or(false);
    let directory = edge.read("data_directory", findings, directory);
    let folder = edge.scope().folder;
    // The configuration file was named without a directory.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let directory = directory.or_else(|| assigned("STATE_DIRECTORY")).unwrap_or_else(|| folder.to_owned());
    let state = call_state(edge, findings);
    let has_standby = edge.read("standby", findings, |reader| {
        let has_standby = reader.boolean()?;
        if has_standby && state.is_none() {
            let help = "add state = \"file\" to [edge]: without it, no call continues after a crash";
            reader.warning(code::BAD_VALUE, "has no effect without state = \"file\"", help);
        }
        Some(has_standby)
    });
    DataDirectory { directory, is_required, has_standby: has_standby.unwrap_or(false) && state.is_some(), state }
}

fn directory(reader: &mut KeyReader<'_>) -> Option<PathBuf> {
    let written = reader.string()?;
    if written.is_empty() {
        return reader.reject(code::BAD_VALUE, "cannot be \"\"", "use \"/var/lib/trunkgate\"");
    }
    let directory = values::relative_to(reader.scope.folder, &written);
    if let Some(parent) = directory.parent().filter(|parent| !parent.as_os_str().is_empty())
        && !parent.exists()
    {
        let help = "create it on the machine of the edge: the edge makes the last directory of the path only";
        reader.warning(code::NO_CALL_RECORDS, format!(": {} does not exist", parent.display()), help);
    }
    if std::fs::metadata(&directory).is_ok_and(|about| !about.is_dir()) {
        let help = "use a directory, or a path that does not exist yet";
        reader.error(code::NO_CALL_RECORDS, "is not a directory", help);
    }
    Some(directory)
}

/// Reads `state` and `state_directory`.
fn call_state(edge: &Section<'_>, findings: &mut Findings) -> Option<PathBuf> {
    let is_file = edge.read("state", findings, |reader| match reader.text() {
        Some(text) if text.starts_with("redis") => {
            reader.reject(code::NOT_IN_THIS_VERSION, "cannot be a URL in this version", "use \"file\" or \"memory\"")
        }
        _ => reader.one_of(&[("memory", false), ("file", true)]),
    });
    let named = edge.read("state_directory", findings, |reader| {
        if is_file != Some(true) {
            reader.warning(code::BAD_VALUE, "has no effect without state = \"file\"", "add state = \"file\" to [edge]");
        }
        directory(reader)
    });
    if is_file != Some(true) {
        return None;
    }
    let found = named.or_else(|| assigned("RUNTIME_DIRECTORY"));
    if found.is_none() && edge.span_of("state_directory").is_none() {
        edge.read("state", findings, |reader| -> Option<()> {
            let help = "add state_directory = \"/run/trunkgate\" to [edge], or RuntimeDirectory=trunkgate to the unit of systemd";
            reader.reject(code::BAD_VALUE, "\"file\" needs a directory: `$RUNTIME_DIRECTORY` is not set", help)
        });
    }
    found
}

/// Returns the directory that the service manager has assigned in this variable.
fn assigned(variable: &str) -> Option<PathBuf> {
    let state = std::env::var_os(variable).filter(|state| !state.is_empty())?;
    // systemd separates several directories by colons.
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
        assert_eq!(read("/etc/t/trunkgate.toml", "[edge]\ndata_directory = 'd'\n").0.directory, Path::new("/etc/t/d"));
    }

    #[test]
    fn the_state_of_calls_needs_a_directory() {
        assert_eq!(read("/etc/t/t.toml", "[edge]\nstate = 'memory'\n").0.state, None);
        let (data, found) = read("/etc/t.toml", "[edge]\nstate = 'file'\nstate_directory = 's'\n");
        assert_eq!((data.state.as_deref(), found), (Some(Path::new("/etc/s")), Vec::new()));
        let (data, found) = read("/etc/t.toml", "[edge]\nstate_directory = 's'\n");
        assert!(data.state.is_none() && found.len() == 1 && found[0].contains("no effect"), "{found:?}");
        let trunk = "[trunk.a]\npeers = ['sip:192.0.2.9']\n[[route]]\nconnect = ['trunk:a']\n";
        for (state, code, help) in [
            ("file", "TG0105", "state_directory = "),
            ("redis://192.0.2.9", "TG0190", "\"file\""),
            ("disk", "TG0105", "memory, file"),
        ] {
            let found = parse(Path::new("t.toml"), &format!("{trunk}[edge]\nstate = '{state}'\n")).unwrap_err();
            assert!(found.iter().any(|one| one.code == code && one.help.contains(help)), "{found:?}");
        }
    }

    #[test]
    fn a_standby_process_needs_the_state_of_calls() {
        let (data, found) = read("/etc/t.toml", "[edge]\nstate = 'file'\nstate_directory = 's'\nstandby = true\n");
        assert!(data.has_standby && found.is_empty(), "{found:?}");
        let (data, found) = read("/etc/t.toml", "[edge]\nstandby = true\n");
        assert!(!data.has_standby && found.len() == 1 && found[0].contains("no effect"), "{found:?}");
        assert!(!read("/etc/t.toml", "[edge]\nstandby = false\n").0.has_standby);
    }

    #[test]
    fn a_key_of_another_place_is_an_error_that_names_the_key_to_use() {
        for (more, key) in
            [("[cdr]\nfile = 'c'\nspool = 'waiting'\n", "spool"), ("[sms]\nstore = '/x/sms.db'\n", "store")]
        {
            let text = format!("[trunk.a]\npeers = ['sip:192.0.2.9']\n[[route]]\nconnect = ['trunk:a']\n{more}");
            let found = parse(Path::new("t.toml"), &text).unwrap_err();
            let unknown = found.iter().find(|one| one.code == "TG0104").unwrap();
            assert!(unknown.message.contains(&format!("`{key}`")), "{unknown:?}");
            assert!(unknown.help.contains("`data_directory` of [edge]"), "{unknown:?}");
        }
    }
}
