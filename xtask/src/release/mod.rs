//! `cargo xtask release`: the artefacts of a release, in one folder: archive and Debian package for x86_64 and for
//! aarch64, image, list of components, installer, checksums, and the text of the release page. The same commit gives
//! the same bytes: `--check` builds twice and compares the results, then verifies the artefacts.
//!
//! A part in this folder makes one artefact from a [`Release`] and imports no other part; the binaries share
//! `compiler`. `verify` calls `roots` and `emulation`, which run the artefacts.

mod aarch64;
mod archive;
mod compiler;
mod components;
mod emulation;
mod image;
mod notes;
mod roots;
mod static_binary;
mod verify;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};

use self::compiler::Platform;
use crate::commands::output;
use crate::interop::edge::target;
use crate::package;

/// Options of `cargo xtask release`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Folder of the artefacts [default: target/release-files]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Build twice from nothing and compare the checksums, then verify as --verify does; takes more than twice as long
    #[arg(long)]
    check: bool,
    /// Verify the artefacts in the folder, without making them: checksums, components, a demo in empty roots and under
    /// qemu, unit tests
    #[arg(long, conflicts_with = "check")]
    verify: bool,
    /// Leave out the container image (it needs buildah, and root or user namespaces)
    #[arg(long)]
    no_image: bool,
    /// Leave out aarch64 (it needs Debian's architecture arm64)
    #[arg(long)]
    no_aarch64: bool,
}

/// Release to be made: its version, commit, and the time of all files.
#[derive(Debug)]
struct Release {
    version: String,
    commit: String,
    /// Time of the commit in seconds since 1970: artefacts do not depend on the time of the build.
    seconds: u64,
    /// Folder to which the artefacts are written.
    out: PathBuf,
}

impl Release {
    /// Reads the version and the commit of the checkout.
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

    /// Returns the common beginning of the archive's and the folder's name.
    fn name(&self, machine: &str) -> String {
        format!("trunkgate-{}-{machine}-linux", self.version)
    }
}

/// Makes all artefacts and prints their checksums, or verifies existing ones.
pub(crate) fn run_release(options: &Options) -> anyhow::Result<bool> {
    let out = options.out.clone().unwrap_or_else(|| target().join("release-files"));
    let release = Release::of_checkout(out.clone())?;
    if !options.verify {
        let first = artefacts(&release, "release-build", options)?;
        println!("{first}");
        if options.check {
            let again = artefacts(&Release::of_checkout(out.with_extension("again"))?, "release-build-again", options)?;
            let differing: Vec<&str> = first.lines().filter(|line| !again.contains(*line)).collect();
            if !differing.is_empty() {
                bail!("a second build gave other bytes for:\n{}", differing.join("\n"));
            }
            println!("a second build gave the same bytes");
        }
    }
    if options.verify || options.check {
        verify::run(&release, !options.no_aarch64, &target().join("release-tests"))?;
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
    let mut platforms = vec![static_binary::PLATFORM];
    if !options.no_aarch64 {
        // Missing tools are reported before the first build.
        aarch64::install_tools()?;
        platforms.push(aarch64::PLATFORM);
    }
    let static_binary = static_binary::build(release, &folder)?;
    package::write_pages(&static_binary, &target().join("package"))?;
    pack(release, &static_binary, static_binary::PLATFORM)?;
    let mut glibc = None;
    if !options.no_aarch64 {
        let binary = aarch64::build(release, &folder)?;
        glibc = Some(aarch64::oldest_glibc(&binary)?);
        pack(release, &binary, aarch64::PLATFORM)?;
    }
    let targets: Vec<&str> = platforms.iter().map(|platform| platform.target).collect();
    components::write(release, &targets)?;
    notes::write(release, glibc.as_deref())?;
    std::fs::copy("deploy/install.sh", release.out.join("install.sh"))?;
    if !options.no_image {
        image::write(release, &static_binary)?;
    }
    write_checksums(&release.out)
}

/// Packs the archive and the Debian package for a platform.
fn pack(release: &Release, binary: &Path, platform: Platform) -> anyhow::Result<()> {
    archive::pack(release, binary, platform.machine)?;
    package::pack_built(binary, platform.target, release.seconds, &release.out)
}

/// Writes SHA256SUMS with all files of the folder, in the format of sha256sum; returns the lines.
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
