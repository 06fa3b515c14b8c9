//! Root folders in which a release must work: one with nothing but a static busybox, and a minimal Debian 12. In each,
//! the commands of the install page run until a demo call with audio has ended, within a minute.
//!
//! A root is a folder for `chroot`, without a mount, so that nothing stays behind.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::Release;
use crate::commands::output;
use crate::interop::edge::target;
use crate::interop::install;

/// Path of the install page.
const PAGE: &str = "docs/operate/deploy.md";
/// URL of the release's folder in the commands of the page.
const URL_OF_PAGE: &str = "https://downloads.example.com/trunkgate/0.1.0";
/// Folder of the release inside a root.
const URL: &str = "/release";
/// Commands that install the Debian package of the release, and make the demo's calls.
const DEBIAN_PACKAGE: &str =
    "apt-get install -q -y --no-install-recommends ./trunkgate_*_amd64.deb\n/usr/bin/trunkgate demo\n";
/// Time limit of all commands in a root.
const LIMIT: Duration = Duration::from_secs(60);
/// Search path for programs inside a root.
const PROGRAMS: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const BUSYBOX: &str = "/bin/busybox";
/// Programs or files, each with its Debian package.
const PACKAGES: [(&str, &str); 2] =
    [("/var/lib/dpkg/info/busybox-static.list", "busybox-static"), ("debootstrap", "debootstrap")];

/// Runs the commands of the install page in each root.
pub(super) fn verify(release: &Release) -> anyhow::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("the roots of the release need root, for chroot and mknod: run this as root");
    }
    install::packages(&PACKAGES)?;
    let page = std::fs::read_to_string(PAGE)?;
    let commands =
        page_commands(&page).with_context(|| format!("{PAGE}, \"A release\": no commands with {URL_OF_PAGE}"))?;
    let busybox = with_release(release, make_busybox)?;
    run("a root with busybox alone", busybox.path(), &commands)?;
    let debian = with_release(release, make_debian)?;
    run("a bare Debian 12", debian.path(), &commands)?;
    run("a bare Debian 12 with the Debian package", debian.path(), DEBIAN_PACKAGE)
}

/// Returns the commands in the first block below "A release" on the page, with the release in [`URL`].
fn page_commands(page: &str) -> Option<String> {
    let section = page.split("\n## A release\n").nth(1)?;
    let block = section.split("```\n").nth(1)?;
    block.contains(URL_OF_PAGE).then(|| block.replace(URL_OF_PAGE, URL))
}

/// Makes a root with the files of the release; the folder is removed when the result is dropped.
fn with_release(release: &Release, make: fn(&Path) -> anyhow::Result<()>) -> anyhow::Result<tempfile::TempDir> {
    let root = tempfile::tempdir_in(target())?;
    make(root.path())?;
    let folder = root.path().join("release");
    std::fs::create_dir_all(&folder)?;
    for entry in std::fs::read_dir(&release.out)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            std::fs::copy(entry.path(), folder.join(entry.file_name()))?;
        }
    }
    Ok(root)
}

/// Makes a root with a static busybox, under the names of busybox' programs, `/tmp` and `/dev/null`.
fn make_busybox(root: &Path) -> anyhow::Result<()> {
    for folder in ["bin", "dev", "tmp"] {
        std::fs::create_dir_all(root.join(folder))?;
    }
    std::fs::copy(BUSYBOX, root.join("bin/busybox"))?;
    output(Command::new("mknod").args(["-m", "666"]).arg(root.join("dev/null")).args(["c", "1", "3"]))?;
    output(in_root(root).args([BUSYBOX, "--install", "-s", "/bin"]))?;
    Ok(())
}

/// Makes a root with a minimal Debian 12.
fn make_debian(root: &Path) -> anyhow::Result<()> {
    println!("debootstrap of Debian 12");
    // The search path of a non-login shell may lack /usr/sbin.
    output(Command::new("debootstrap").args(["--variant=minbase", "bookworm"]).arg(root).env("PATH", PROGRAMS))
        .context("debootstrap")?;
    Ok(())
}

/// Runs commands in the release folder of a root until one fails, and prints how long they took.
fn run(name: &str, root: &Path, commands: &str) -> anyhow::Result<()> {
    let began = Instant::now();
    let commands = format!("cd {URL}\n{commands}");
    let shown = output(in_root(root).args(["/bin/sh", "-ec", &commands]).env("DEBIAN_FRONTEND", "noninteractive"))
        .with_context(|| format!("{name}: no demo call within {LIMIT:?}"))?;
    // `demo` exits with 0 only if all audio arrived intact.
    if !shown.contains("all audio arrived intact") {
        bail!("{name}: the commands make no demo call:\n{shown}");
    }
    println!("{name}: a demo call after {:.1} s", began.elapsed().as_secs_f64());
    Ok(())
}

/// Returns the beginning of a command that runs in a root and is ended after [`LIMIT`].
fn in_root(root: &Path) -> Command {
    let mut command = Command::new("timeout");
    command.env_clear().env("PATH", PROGRAMS);
    command.args(["--kill-after=5", &LIMIT.as_secs().to_string(), "chroot"]).arg(root);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_install_page_has_commands_for_a_release() {
        let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(PAGE)).unwrap();
        let commands = page_commands(&page).unwrap();
        let first: Vec<&str> = commands.lines().filter_map(|line| line.split("  ").next()).collect();
        assert_eq!(first, ["TRUNKGATE_URL=/release sh install.sh", "trunkgate demo"]);
    }

    #[test]
    fn a_page_without_commands_is_refused() {
        assert_eq!(page_commands("# Deploying\n\n```\nsh install.sh\n```\n"), None);
        assert_eq!(page_commands("\n## A release\n\n```\nsh other.sh\n```\n"), None);
    }
}
