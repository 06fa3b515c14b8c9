//! `cargo xtask release --verify`: checks that the artefacts in a folder work for their users.

use std::path::Path;
use std::process::Command;

use anyhow::bail;

use super::{Release, components, emulation, roots};
use crate::commands::output;

/// Verifies the checksums, the list of components, demo calls in roots and under emulation, and unit tests for aarch64.
pub(super) fn run(release: &Release, has_aarch64: bool, tests: &Path) -> anyhow::Result<()> {
    verify_checksums(&release.out)?;
    components::verify(release)?;
    roots::verify(release)?;
    if has_aarch64 {
        emulation::run_demo(release)?;
        emulation::run_tests(tests)?;
    }
    Ok(())
}

/// Checks every file named in SHA256SUMS with sha256sum.
fn verify_checksums(folder: &Path) -> anyhow::Result<()> {
    if !folder.join("SHA256SUMS").is_file() {
        bail!("{} has no SHA256SUMS: `cargo xtask release` makes the artefacts", folder.display());
    }
    output(Command::new("sha256sum").args(["--check", "--strict", "--quiet", "SHA256SUMS"]).current_dir(folder))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let error = verify_checksums(folder.path()).unwrap_err().to_string();
        assert!(error.contains("has no SHA256SUMS"), "{error}");
        std::fs::write(folder.path().join("a"), "abc").unwrap();
        let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        std::fs::write(folder.path().join("SHA256SUMS"), format!("{sum}  a\n")).unwrap();
        verify_checksums(folder.path()).unwrap();
        std::fs::write(folder.path().join("a"), "abd").unwrap();
        let error = verify_checksums(folder.path()).unwrap_err().to_string();
        assert!(error.contains("a: FAILED"), "{error}");
    }
}
