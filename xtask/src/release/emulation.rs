//! Artefacts for aarch64 under qemu's user emulation: the demo with the packed binary, and unit tests of the crates
//! that are involved in every call.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, bail};

use super::{Release, aarch64};
use crate::commands::output;
use crate::interop::install;

/// Program that emulates aarch64.
const EMULATOR: &str = "qemu-aarch64-static";
/// Emulator options for the folder with glibc for aarch64: otherwise an aarch64 glibc of the machine itself would be
/// found first, and if that differs from the loader's, it causes an endless loop at the first thread.
const LIBRARIES: [&str; 4] = ["-L", "/usr/aarch64-linux-gnu", "-E", "LD_LIBRARY_PATH=/lib"];
/// Crates of which the unit tests run.
const TESTED: [&str; 3] = ["trunkgate-sip", "trunkgate-media", "trunkgate-call"];
/// Programs or files, each with its Debian package.
const PACKAGES: [(&str, &str); 2] =
    [(EMULATOR, "qemu-user-static"), ("/usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1", "libc6-arm64-cross")];

/// Runs the demo with the binary in the archive for aarch64.
pub(super) fn run_demo(release: &Release) -> anyhow::Result<()> {
    install::packages(&PACKAGES)?;
    let name = release.name(aarch64::PLATFORM.machine);
    let unpacked = tempfile::tempdir()?;
    let archive = release.out.join(format!("{name}.tar.gz"));
    if !archive.is_file() {
        bail!("{} is missing: make it, or leave aarch64 out with --no-aarch64", archive.display());
    }
    output(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(unpacked.path()))?;
    let binary = unpacked.path().join(name).join("trunkgate");
    let began = Instant::now();
    let version = output(emulated(&binary).arg("--version")).context("the binary for aarch64 does not run")?;
    if !version.contains("platform: aarch64-linux-gnu") {
        bail!("the binary for aarch64 is one of another platform:\n{version}");
    }
    output(emulated(&binary).arg("demo")).context("the demo fails under qemu-aarch64")?;
    println!("aarch64 under qemu: a demo call after {:.1} s", began.elapsed().as_secs_f64());
    Ok(())
}

/// Builds the unit tests for aarch64 below `folder` and runs them.
pub(super) fn run_tests(folder: &Path) -> anyhow::Result<()> {
    aarch64::install_tools()?;
    install::packages(&PACKAGES)?;
    let mut cargo = aarch64::PLATFORM.cargo(&std::path::absolute(folder)?, &[])?;
    cargo.args(["test", "--locked", "--quiet", "--lib", "--target", aarch64::PLATFORM.target]);
    for package in TESTED {
        cargo.args(["--package", package]);
    }
    let began = Instant::now();
    println!("unit tests for aarch64 under qemu");
    let status = cargo
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", format!("{EMULATOR} {}", LIBRARIES.join(" ")))
        // Tests that decode audio are slow under emulation.
        .env("CARGO_PROFILE_TEST_OPT_LEVEL", "1")
        .status()?;
    if !status.success() {
        bail!("unit tests fail for aarch64");
    }
    println!("unit tests for aarch64: passed after {:.0} s", began.elapsed().as_secs_f64());
    Ok(())
}

/// Returns the beginning of a command that runs a binary for aarch64 in the emulator.
fn emulated(binary: &Path) -> Command {
    let mut command = Command::new(EMULATOR);
    command.args(LIBRARIES).arg(binary);
    command
}
