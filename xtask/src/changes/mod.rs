//! `cargo xtask changes`: each change visible to users is a fragment, a file of `changes/`; a release moves the
//! fragments into CHANGELOG.md. `fragment` parses the files, `changelog` the sections of CHANGELOG.md.

mod changelog;
mod fragment;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};

use fragment::Fragment;

/// Folder of the fragments, at the top of the repository.
const FOLDER: &str = "changes";
const CHANGELOG: &str = "CHANGELOG.md";

/// Options of `changes`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Move the fragments into CHANGELOG.md, below the version with today's date (UTC)
    #[arg(long, value_name = "VERSION")]
    release: Option<String>,
}

/// Checks the fragments, and moves them into the changelog with `--release`; returns `false` if a fragment has a fault.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    let root = repository();
    let (fragments, faults) = read(&root)?;
    if !faults.is_empty() {
        println!("{}", faults.join("\n"));
        return Ok(false);
    }
    match &options.release {
        Some(version) => {
            release(&root, &fragments, version, &jiff::Timestamp::now().strftime("%Y-%m-%d").to_string())?;
            println!("fragments moved into {CHANGELOG}: {}", fragments.len());
        }
        None => println!("fragments in {FOLDER}/: {}", fragments.len()),
    }
    Ok(true)
}

/// Returns the changes of a version for the text of its release: its section of CHANGELOG.md, followed by the fragments
/// that are not yet part of it.
pub(crate) fn text_of_version(version: &str) -> anyhow::Result<String> {
    let root = repository();
    let (fragments, faults) = read(&root)?;
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    let changelog = fs::read_to_string(root.join(CHANGELOG)).context(CHANGELOG)?;
    let text =
        changelog::join(changelog::section(&changelog, version).unwrap_or_default(), &fragment::list(&fragments));
    ensure!(!text.is_empty(), "{CHANGELOG} has no section of {version}, and {FOLDER}/ has no fragment");
    Ok(text)
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns the fragments in the order of the changelog, and the faults of invalid files.
fn read(root: &Path) -> anyhow::Result<(Vec<Fragment>, Vec<String>)> {
    let (mut fragments, mut faults) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(root.join(FOLDER)).context(FOLDER)? {
        let path = entry?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if file == "README.md" {
            continue;
        }
        let text = fs::read_to_string(&path).with_context(|| format!("{FOLDER}/{file}"))?;
        match Fragment::parse(&file, &text) {
            Ok(fragment) => fragments.push(fragment),
            Err(fault) => faults.push(format!("{FOLDER}/{file}: {fault}")),
        }
    }
    fragments.sort();
    faults.sort();
    Ok((fragments, faults))
}

/// Writes the fragments into the changelog's section of the version, and removes the fragment files.
fn release(root: &Path, fragments: &[Fragment], version: &str, date: &str) -> anyhow::Result<()> {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if version.split('.').count() != 3 || !version.split('.').all(is_number) {
        bail!("version {version:?} is not MAJOR.MINOR.PATCH");
    }
    let path = root.join(CHANGELOG);
    let changelog = fs::read_to_string(&path).context(CHANGELOG)?;
    fs::write(&path, changelog::with_release(&changelog, version, date, &fragment::list(fragments))?)?;
    for fragment in fragments {
        let file = fragment.file();
        fs::remove_file(root.join(FOLDER).join(&file)).with_context(|| format!("{FOLDER}/{file}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a repository with these fragments in `changes/`.
    fn repository_with(fragments: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join(FOLDER)).unwrap();
        fs::write(root.path().join(CHANGELOG), "# Changelog\n\n## 0.1.0 (2026-11-28)\n\n- First.\n").unwrap();
        for (file, text) in fragments {
            fs::write(root.path().join(FOLDER).join(file), text).unwrap();
        }
        root
    }

    fn files(root: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(root.join(FOLDER))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_release_moves_the_fragments() {
        let root = repository_with(&[
            ("README.md", "# Fragments\n"),
            ("b.fixed.md", "A fault is gone.\n"),
            ("b.added.md", "A flag `--b`.\n"),
            ("a.added.md", "A key `a`.\n"),
        ]);
        let (fragments, faults) = read(root.path()).unwrap();
        assert_eq!(faults, [""; 0]);
        release(root.path(), &fragments, "0.2.0", "2026-12-01").unwrap();
        assert_eq!(
            fs::read_to_string(root.path().join(CHANGELOG)).unwrap(),
            "# Changelog\n\n## 0.2.0 (2026-12-01)\n\n### Added\n\n- A key `a`.\n- A flag `--b`.\n\n\
             ### Fixed\n\n- A fault is gone.\n\n## 0.1.0 (2026-11-28)\n\n- First.\n"
        );
        assert_eq!(files(root.path()), ["README.md"]);
    }

    #[test]
    fn a_refused_release_changes_nothing() {
        let root = repository_with(&[("a.added.md", "A key `a`.\n")]);
        let changelog = fs::read_to_string(root.path().join(CHANGELOG)).unwrap();
        let (fragments, _) = read(root.path()).unwrap();
        for version in ["0.1.0", "0.2", "0.2.0.0", "0.2.x", "v0.2.0", "0..2", ""] {
            assert!(release(root.path(), &fragments, version, "2026-12-01").is_err(), "{version}");
            assert_eq!(fs::read_to_string(root.path().join(CHANGELOG)).unwrap(), changelog, "{version}");
            assert_eq!(files(root.path()), ["a.added.md"], "{version}");
        }
    }

    #[test]
    fn a_file_that_is_no_fragment_is_named() {
        let root =
            repository_with(&[("a.added.md", "A key `a`.\n"), ("a.added.md~", "A key.\n"), ("b.new.md", "B.\n")]);
        let (fragments, faults) = read(root.path()).unwrap();
        assert_eq!(fragments.len(), 1);
        let files: Vec<&str> = faults.iter().map(|fault| fault.split(": ").next().unwrap()).collect();
        assert_eq!(files, ["changes/a.added.md~", "changes/b.new.md"]);
    }
}
