//! Parameters that Twilio's libraries can send, extracted from the installed packages and compared with the list in the
//! repository.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::interop::{Setting, python};
use crate::libraries;

/// Extracts the list of parameters and compares it with the one in the repository.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let installed = libraries::python_package()?;
    // Broken: a package sends a parameter by another name.
    let of_python = if setting.sabotage { changed(&installed, folder.path())? } else { installed };
    let list = libraries::list(&of_python, &libraries::node_package()?)?;
    let differences = libraries::differences(&list)?;
    ensure!(differences.is_empty(), "{differences}");
    Ok(libraries::counts(&list))
}

/// Copies a package into a folder and renames one of the package's parameters.
fn changed(package: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let copy = folder.join("twilio");
    python::run(Command::new("cp").arg("-r").arg(package).arg(&copy)).context("cp")?;
    let file = copy.join("rest/api/v2010/account/call/__init__.py");
    let source = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    std::fs::write(&file, source.replace("\"CallReason\":", "\"CallerReason\":"))?;
    Ok(copy)
}
