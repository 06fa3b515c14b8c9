//! `cargo xtask deb`: the Debian package, with manual pages and shell completions that the binary generates.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::interop::edge;

/// Shells, each with Debian's name for its completion script; `[package.metadata.deb]` has the destinations.
const SCRIPTS: [(&str, &str); 3] = [("bash", "trunkgate.bash"), ("zsh", "_trunkgate"), ("fish", "trunkgate.fish")];

/// Builds the binary, generates its pages and completions, and makes the Debian package.
pub(crate) fn deb() -> anyhow::Result<bool> {
    edge::build()?;
    write_pages(&edge::binary(), &edge::target().join("package"))?;
    pack(edge::cargo().arg("deb"))?;
    Ok(true)
}

/// Packs an existing binary into a Debian package in `out`, with all times at `seconds` since 1970.
pub(crate) fn pack_built(binary: &Path, platform: &str, seconds: u64, out: &Path) -> anyhow::Result<()> {
    // cargo-deb takes the binary from the folder of the target.
    let folder = binary.ancestors().nth(3).context("folder of the build")?;
    let mut cargo = edge::cargo();
    cargo.env("CARGO_TARGET_DIR", folder).env("SOURCE_DATE_EPOCH", seconds.to_string());
    pack(cargo.args(["deb", "--no-strip", "--quiet", "--target", platform, "--output"]).arg(out))
}

/// Runs `cargo deb` on files that are already built.
fn pack(deb: &mut Command) -> anyhow::Result<()> {
    let packed = deb.args(["--no-build", "--profile", edge::PROFILE]).status().context("cargo deb")?;
    if !packed.success() {
        bail!("cargo deb failed: `cargo install cargo-deb --locked` installs it");
    }
    Ok(())
}

/// Writes the manual pages and completions of a binary below `folder`.
pub(crate) fn write_pages(binary: &Path, folder: &Path) -> anyhow::Result<()> {
    // Otherwise, pages of removed commands would stay.
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    let scripts = folder.join("completions");
    std::fs::create_dir_all(&scripts)?;
    let run = |arguments: &[&std::ffi::OsStr]| -> anyhow::Result<Vec<u8>> {
        let output = Command::new(binary).args(arguments).output()?;
        if !output.status.success() {
            bail!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(output.stdout)
    };
    run(&["man".as_ref(), folder.join("man").as_ref()])?;
    for (shell, name) in SCRIPTS {
        std::fs::write(scripts.join(name), run(&["completions".as_ref(), shell.as_ref()])?)?;
    }
    Ok(())
}
