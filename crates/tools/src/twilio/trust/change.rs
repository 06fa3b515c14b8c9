//! Changes of trust stores: to files, or by commands of the stores' own programs.

use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::block;
use trunkgate_system::files::{self, ReplacedRights};

/// Permissions of a certificate readable by all programs.
const READABLE: u32 = 0o644;
/// Maximum size of a certificate bundle, in bytes.
const BUNDLE_BYTES: u64 = 16 << 20;

/// Change of a trust store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StoreChange {
    /// Writes a separate file with the edge's certificate, or removes it.
    Write {
        file: PathBuf,
        text: String,
    },
    Remove {
        file: PathBuf,
    },
    /// Adds a certificate to another program's bundle, or removes it.
    Add {
        bundle: PathBuf,
        ca: String,
    },
    TakeOut {
        bundle: PathBuf,
    },
    /// Runs a command with this text as standard input.
    Run {
        command: Vec<String>,
        input: String,
    },
}

impl fmt::Display for StoreChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreChange::Write { file, .. } => write!(f, "write {}", file.display()),
            StoreChange::Remove { file } => write!(f, "remove {}", file.display()),
            StoreChange::Add { bundle, .. } => write!(f, "add the CA to {}", bundle.display()),
            StoreChange::TakeOut { bundle } => write!(f, "remove the CA from {}", bundle.display()),
            StoreChange::Run { command, .. } => write!(f, "run {}", command.join(" ")),
        }
    }
}

impl StoreChange {
    /// Writes or removes the file, or runs the command, of the change.
    ///
    /// # Errors
    /// Returns a message if the file cannot be changed or the command fails.
    pub(super) fn make(&self) -> Result<(), String> {
        match self {
            StoreChange::Write { file, text } => {
                files::write(file, text.as_bytes(), READABLE).map_err(|error| failed(file, &error))
            }
            StoreChange::Remove { file } => fs::remove_file(file).map_err(|error| failed(file, &error)),
            StoreChange::Add { bundle, ca } => rewrite(bundle, |text| block::added(text, ca)),
            StoreChange::TakeOut { bundle } => rewrite(bundle, block::removed),
            StoreChange::Run { command, input } => run(command, input),
        }
    }
}

fn failed(file: &Path, error: &io::Error) -> String {
    let who =
        if error.kind() == io::ErrorKind::PermissionDenied { ": run this as the owner, most often root" } else { "" };
    format!("{}: {error}{who}", file.display())
}

/// Reads a bundle.
///
/// # Errors
/// Returns the error with the name of the bundle.
pub(super) fn read_bundle(bundle: &Path) -> Result<String, String> {
    files::read_to_string(bundle, BUNDLE_BYTES).map_err(|error| failed(bundle, &error))
}

/// Replaces a file atomically, keeping its permissions and owner, because programs may be reading it.
fn rewrite(bundle: &Path, with: impl FnOnce(&str) -> String) -> Result<(), String> {
    let text = with(&read_bundle(bundle)?);
    files::replace(bundle, text.as_bytes(), ReplacedRights::Kept).map_err(|error| failed(bundle, &error))
}

fn run(command: &[String], input: &str) -> Result<(), String> {
    let (program, arguments) = command.split_first().ok_or("no program")?;
    let mut begun = Command::new(program);
    begun.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = begun.spawn().map_err(|error| format!("{program}: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that needs no input may have closed its stdin.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stderr, output.stdout].concat();
    let said = String::from_utf8_lossy(&said).lines().next().unwrap_or("no reason given").trim().to_owned();
    Err(format!("{program}: {}: {said}", output.status))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_bundle_keeps_its_rights_and_is_restored_to_the_byte() {
        let folder = tempfile::tempdir().unwrap();
        let bundle = folder.path().join("cacert.pem");
        fs::write(&bundle, "roots").unwrap();
        fs::set_permissions(&bundle, fs::Permissions::from_mode(0o640)).unwrap();
        StoreChange::Add { bundle: bundle.clone(), ca: "CA\n".to_owned() }.make().unwrap();
        assert!(fs::read_to_string(&bundle).unwrap().starts_with("roots\n#"));
        assert_eq!(fs::metadata(&bundle).unwrap().permissions().mode() & 0o777, 0o640);
        StoreChange::TakeOut { bundle: bundle.clone() }.make().unwrap();
        assert_eq!(fs::read_to_string(&bundle).unwrap(), "roots");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_program_that_fails_is_quoted() {
        let run = |script: &str| {
            let command = ["sh", "-c", script].map(str::to_owned).to_vec();
            StoreChange::Run { command, input: "CA".to_owned() }.make()
        };
        assert_eq!(run("test $(cat) = CA"), Ok(()));
        let failed = run("echo no such store >&2; exit 3").unwrap_err();
        assert!(failed.contains("sh: exit status: 3: no such store"), "{failed}");
        let missing = StoreChange::Run { command: vec!["/no/such/program".to_owned()], input: String::new() };
        assert!(missing.make().unwrap_err().contains("/no/such/program"));
    }
}
