//! `cargo xtask release`: the artefacts of a release, in one folder: archive, Debian package, image, list of components, installer,
//! checksums, and the text of the release page. The same commit gives the same bytes: `--check` builds twice and compares.
//!
//! A part here makes one artefact from a [`Release`]; none of them imports another.

mod archive;
mod components;
mod image;
mod notes;
mod static_binary;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};

use crate::commands::output;
use crate::interop::edge::target;
use crate::package;

/// What to make.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Folder of the artefacts [default: target/release-files]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Build twice from nothing and compare the checksums; takes about twice as long
    #[arg(long)]
    check: bool,
    /// Leave out the container image (it needs buildah, and root or user namespaces)
    #[arg(long)]
    no_image: bool,
}

/// A release: version, commit and the time that all files bear.
#[derive(Debug)]
struct Release {
    version: String,
    commit: String,
    /// Time of the commit, in seconds since 1970: nothing in an artefact depends on when it is made.
    seconds: u64,
    /// Folder of the artefacts.
    out: PathBuf,
}

impl Release {
    /// Reads version and commit of the checkout.
    fn of_checkout(out: PathBuf) -> anyhow::Result<Release> {
        let git = |arguments: &[&str]| output(Command::new("git").args(arguments));
        let commit = git(&["rev-parse", "--short=12", "HEAD"])?.trim().to_owned();
        let is_changed = !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
        if is_changed {
            println!("the checkout differs from its commit: the artefacts are not those of {commit}");
        }
        Ok(Release {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: if is_changed { format!("{commit}-changed") } else { commit },
            seconds: git(&["log", "-1", "--format=%ct"])?.trim().parse().context("time of the commit")?,
            out,
        })
    }

    /// Returns the name that archive and folder begin with.
    fn name(&self, machine: &str) -> String {
        format!("trunkgate-{}-{machine}-linux", self.version)
    }
}

/// Makes all artefacts, and prints what they are.
pub(crate) fn run_release(options: &Options) -> anyhow::Result<bool> {
    let out = options.out.clone().unwrap_or_else(|| target().join("release-files"));
    let first = artefacts(&Release::of_checkout(out.clone())?, "release-build", options)?;
    println!("{first}");
    if options.check {
        let again = artefacts(&Release::of_checkout(out.with_extension("again"))?, "release-build-again", options)?;
        let differing: Vec<&str> = first.lines().filter(|line| !again.contains(*line)).collect();
        if !differing.is_empty() {
            bail!("a second build gave other bytes for:\n{}", differing.join("\n"));
        }
        println!("a second build gave the same bytes");
    }
    println!("{}", out.display());
    Ok(true)
}

/// Makes the artefacts with a target folder of its own, and returns the lines of SHA256SUMS.
fn artefacts(release: &Release, build: &str, options: &Options) -> anyhow::Result<String> {
    if release.out.exists() {
        std::fs::remove_dir_all(&release.out)?;
    }
    std::fs::create_dir_all(&release.out)?;
    let folder = target().join(build);
    if options.check && folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    let binary = static_binary::build(release, &folder)?;
    package::write_pages(&binary, &target().join("package"))?;
    archive::pack(release, &binary, static_binary::MACHINE)?;
    package::pack_static(&binary, static_binary::TARGET, release.seconds, &release.out)?;
    components::write(release, static_binary::TARGET)?;
    notes::write(release)?;
    std::fs::copy("deploy/install.sh", release.out.join("install.sh"))?;
    if !options.no_image {
        image::write(release, &binary)?;
    }
    write_checksums(&release.out)
}

/// Writes SHA256SUMS over all files of the folder, in the form of sha256sum.
fn write_checksums(folder: &Path) -> anyhow::Result<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<_>>()?;
    names.sort_unstable();
    let mut lines = String::new();
    for name in names {
        let digest = Sha256::digest(std::fs::read(folder.join(&name))?);
        let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        lines.push_str(&format!("{digits}  {name}\n"));
    }
    std::fs::write(folder.join("SHA256SUMS"), &lines)?;
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_sha256sum() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("b"), "abc").unwrap();
        std::fs::write(folder.path().join("a"), "").unwrap();
        let lines = write_checksums(folder.path()).unwrap();
        assert_eq!(
            lines,
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a\n\
             ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  b\n"
        );
        assert_eq!(std::fs::read_to_string(folder.path().join("SHA256SUMS")).unwrap(), lines);
    }
}
