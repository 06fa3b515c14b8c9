//! Archive of a release: binary, manual pages, completions, unit and licences in one folder, with sorted names, one
//! time and no owner.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use super::Release;
use crate::commands::output;
use crate::interop::edge::target;

/// Files of the checkout, each with its path in the archive.
const FILES: [(&str, &str); 9] = [
    ("README.md", "README.md"),
    ("CHANGELOG.md", "CHANGELOG.md"),
    ("SECURITY.md", "SECURITY.md"),
    ("LICENSE-APACHE", "LICENSE-APACHE"),
    ("LICENSE-MIT", "LICENSE-MIT"),
    ("deploy/debian/copyright", "COPYRIGHT"),
    ("deploy/trunkgate.service", "deploy/trunkgate.service"),
    ("deploy/trunkgate.toml", "deploy/trunkgate.toml"),
    ("deploy/sysctl.d/60-trunkgate.conf", "deploy/60-trunkgate.conf"),
];

/// Packs the archive with the binary for this machine.
pub(super) fn pack(release: &Release, binary: &Path, machine: &str) -> anyhow::Result<()> {
    let name = release.name(machine);
    let staging = tempfile::tempdir()?;
    let folder = staging.path().join(&name);
    for (from, to) in FILES {
        copy(Path::new(from), &folder.join(to))?;
    }
    copy(binary, &folder.join("trunkgate"))?;
    for part in ["man", "completions"] {
        for entry in std::fs::read_dir(target().join("package").join(part))? {
            let entry = entry?;
            copy(&entry.path(), &folder.join(part).join(entry.file_name()))?;
        }
    }
    let tar = staging.path().join("archive.tar");
    output(
        Command::new("tar")
            .args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mode=u=rwX,go=rX", "--format=ustar"])
            .arg(format!("--mtime=@{}", release.seconds))
            .arg("-C")
            .arg(staging.path())
            .arg("-cf")
            .arg(&tar)
            .arg(&name),
    )?;
    // Without the name and the time of the file.
    output(Command::new("gzip").args(["-9", "-n"]).arg(&tar))?;
    std::fs::copy(staging.path().join("archive.tar.gz"), release.out.join(format!("{name}.tar.gz")))?;
    Ok(())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::copy(from, to).with_context(|| from.display().to_string())?;
    Ok(())
}
