//! Debian packages of the peers, which are installed if missing.

use std::fs::File;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// Programs, or files below /usr/lib, each with its package.
const PEERS: [(&str, &str); 4] = [
    ("sipp", "sip-tester"),
    ("kamailio", "kamailio"),
    ("kamailio/modules/tls.so", "kamailio-tls-modules"),
    ("baresip", "baresip-core"),
];

fn present(program: &str) -> bool {
    if program.contains('/') {
        let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().filter_map(Result::ok);
        return folders.into_iter().any(|folder| folder.path().join(program).is_file());
    }
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
        || ["/usr/sbin", "/usr/local/sbin"].iter().any(|folder| std::path::Path::new(folder).join(program).is_file())
}

/// Installs the peers of `cargo xtask interop`.
pub(crate) fn peers() -> anyhow::Result<()> {
    packages(&PEERS)
}

/// Installs the missing ones of these programs, given with their packages; root is needed only for that.
pub(crate) fn packages(wanted: &[(&str, &str)]) -> anyhow::Result<()> {
    let missing: Vec<&str> =
        wanted.iter().filter(|(program, _)| !present(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("installing {}", missing.join(" "));
    apt(&["update", "-q"])?;
    let mut install = vec!["install", "-q", "-y", "--no-install-recommends"];
    install.extend(&missing);
    apt(&install)?;
    match wanted.iter().find(|(program, _)| !present(program)) {
        Some((program, package)) => bail!("{program} is not there though {package} was installed"),
        None => Ok(()),
    }
}

/// Waits until no other process installs packages below the target folder; the lock ends with the returned file.
pub(crate) fn lock() -> anyhow::Result<File> {
    let target = super::edge::target();
    std::fs::create_dir_all(&target)?;
    let file = File::create(target.join("interop-install.lock"))?;
    file.lock()?;
    Ok(file)
}

fn apt(arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .context("apt-get")?;
    if !output.status.success() {
        bail!("apt-get {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
