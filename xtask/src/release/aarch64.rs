//! Binary for aarch64: dynamically linked with glibc, cross-compiled with Debian's packages.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use super::Release;
use super::compiler::{COMPILER, Platform};
use crate::commands::output;
use crate::interop::install;

/// Platform of the aarch64 binary.
pub(super) const PLATFORM: Platform =
    Platform { machine: "aarch64", target: "aarch64-unknown-linux-gnu", c_compiler: "aarch64-linux-gnu-gcc" };
/// Debian's name of the architecture.
const ARCHITECTURE: &str = "arm64";
/// Path of dpkg's list of the files in the architecture's standard library.
const LIBRARY: &str = "/var/lib/dpkg/info/libstd-rust-web-dev:arm64.list";
/// Programs or files, each with its Debian package.
const PACKAGES: [(&str, &str); 5] = [
    (COMPILER, "rustc-web"),
    (LIBRARY, "libstd-rust-web-dev:arm64"),
    (PLATFORM.c_compiler, "gcc-aarch64-linux-gnu"),
    ("/usr/aarch64-linux-gnu/include/stdio.h", "libc6-dev-arm64-cross"),
    // Needed to determine the dependencies of the Debian package.
    ("dpkg-shlibdeps", "dpkg-dev"),
];

/// Installs the Debian packages that are missing for the build.
pub(super) fn install_tools() -> anyhow::Result<()> {
    if !Path::new(LIBRARY).is_file() {
        // The administrator decides which architectures apt knows.
        let known = output(Command::new("dpkg").arg("--print-foreign-architectures"))?;
        if let Some(problem) = missing_architecture(&known) {
            bail!(problem);
        }
    }
    install::packages(&PACKAGES)
}

/// Returns an error message unless apt knows the packages of the other architecture; `known` is dpkg's list.
fn missing_architecture(known: &str) -> Option<String> {
    let is_known = known.lines().any(|line| line.trim() == ARCHITECTURE);
    (!is_known).then(|| {
        format!(
            "the standard library for aarch64 is the package libstd-rust-web-dev:{ARCHITECTURE}, and apt does not know the architecture \
             {ARCHITECTURE}. Run `dpkg --add-architecture {ARCHITECTURE}`, or leave these artefacts out with --no-aarch64"
        )
    })
}

/// Builds the binary for aarch64 below `folder`, and returns its path.
pub(super) fn build(release: &Release, folder: &Path) -> anyhow::Result<PathBuf> {
    install_tools()?;
    let folder = std::path::absolute(folder)?;
    let binary = PLATFORM.build(release, &folder, PLATFORM.cargo(&folder, &[])?)?;
    let header = output(Command::new("aarch64-linux-gnu-readelf").arg("--file-header").arg(&binary))?;
    if !header.contains("AArch64") {
        bail!("{} is not a binary for aarch64:\n{header}", binary.display());
    }
    Ok(binary)
}

/// Returns the oldest version of glibc with which the binary runs.
pub(super) fn oldest_glibc(binary: &Path) -> anyhow::Result<String> {
    let symbols = output(Command::new("aarch64-linux-gnu-readelf").arg("--version-info").arg(binary))?;
    newest_version(&symbols).context("the binary names no version of glibc")
}

/// Returns the newest version of glibc that readelf's list of versions names.
fn newest_version(symbols: &str) -> Option<String> {
    let number = |text: &str| -> Option<(u32, u32)> {
        let (major, minor) = text.split_once('.')?;
        // `2.2.5` counts as `2.2`.
        Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
    };
    let versions = symbols.split("GLIBC_").skip(1).filter_map(|rest| rest.split_whitespace().next());
    let (major, minor) = versions.filter_map(number).max()?;
    Some(format!("{major}.{minor}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_architecture_is_named_with_its_command() {
        assert_eq!(missing_architecture("armhf\narm64\n"), None);
        let problem = missing_architecture("armhf\n").unwrap();
        assert!(problem.contains("`dpkg --add-architecture arm64`") && problem.contains("--no-aarch64"), "{problem}");
    }

    #[test]
    fn the_newest_version_of_glibc_counts() {
        let symbols = "  0x0010:   Name: GLIBC_2.17  Flags: none\n  0x0020:   Name: GLIBC_2.34  Flags: none\n  Name: GLIBC_2.9\n  Name: GCC_3.0";
        assert_eq!(newest_version(symbols).as_deref(), Some("2.34"));
        assert_eq!(newest_version("Name: GCC_3.0"), None);
    }
}
