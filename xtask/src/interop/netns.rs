//! Network namespaces with cables (veth) between them; each has addresses, routes and a firewall like a machine of its
//! own.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, anyhow, ensure};
use nix::sched::{CloneFlags, setns};

use super::{SKIPPED, install};

/// Folder in which `ip netns` keeps namespaces.
const FOLDER: &str = "/run/netns";
/// Folder with a subfolder for each namespace: for programs in the namespace, its files replace those of /etc.
const FILES: &str = "/etc/netns";

/// Network namespace, removed on drop.
#[derive(Debug)]
pub(crate) struct Namespace {
    name: String,
}

/// Returns the reason why no namespace can be created here; `None` if one can be created.
pub(crate) fn missing() -> Option<String> {
    let tried = install::packages(&[("ip", "iproute2"), ("nft", "nftables")]).and_then(|()| {
        let probe = Namespace::new("probe")?;
        probe.rules("table inet probe { chain out { type filter hook output priority 0; accept; }; }")?;
        probe.enter(|| Ok(()))
    });
    tried.err().map(|error| format!("{SKIPPED}no network of its own can be had here: {error:#}"))
}

impl Namespace {
    /// Creates a namespace; `role` distinguishes it from other namespaces of this process.
    pub(crate) fn new(role: &str) -> anyhow::Result<Namespace> {
        let name = format!("trunkgate-{}-{role}", std::process::id());
        done(Command::new("ip").args(["netns", "add", &name]))?;
        let namespace = Namespace { name };
        done(namespace.command("ip").args(["link", "set", "lo", "up"]))?;
        Ok(namespace)
    }

    /// Creates a cable to another namespace, with an address and prefix length at this end (`here`) and at the other
    /// one, for which the cable is the default route.
    pub(crate) fn cable(&self, here: &str, other: &Namespace, there: &str, device: &str) -> anyhow::Result<()> {
        let far = format!("{device}-far");
        let link = ["link", "add", device, "netns", &self.name, "type", "veth", "peer", "name", &far];
        done(Command::new("ip").args(link).args(["netns", &other.name]))?;
        for (namespace, device, address) in [(self, device, here), (other, far.as_str(), there)] {
            done(namespace.command("ip").args(["address", "add", address, "dev", device]))?;
            done(namespace.command("ip").args(["link", "set", device, "up"]))?;
        }
        let gateway = here.split('/').next().unwrap_or(here);
        done(other.command("ip").args(["route", "add", "default", "via", gateway]))
    }

    /// Sets the table of host names for programs in the namespace.
    pub(crate) fn hosts(&self, table: &str) -> anyhow::Result<()> {
        let folder = Path::new(FILES).join(&self.name);
        std::fs::create_dir_all(&folder)?;
        Ok(std::fs::write(folder.join("hosts"), table)?)
    }

    /// Returns the command of a program in the namespace.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Replaces the firewall rules of the namespace, in nft syntax; if empty, everything passes.
    pub(crate) fn rules(&self, rules: &str) -> anyhow::Result<()> {
        let mut child = self.command("nft").args(["-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut stdin = child.stdin.take().context("nft's stdin")?;
        stdin.write_all(format!("flush ruleset\n{rules}\n").as_bytes())?;
        drop(stdin);
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "nft: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Runs `work` in the namespace, on a new thread: children and threads that it starts are in the namespace as well.
    pub(crate) fn enter<T: Send>(&self, work: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
        let file = File::open(format!("{FOLDER}/{}", self.name)).context("its namespace")?;
        std::thread::scope(|scope| {
            let entered = scope.spawn(move || {
                setns(file, CloneFlags::CLONE_NEWNET).context("setns")?;
                work()
            });
            entered.join().map_err(|_| anyhow!("the thread in the namespace panicked"))?
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(done(Command::new("ip").args(["netns", "delete", &self.name])));
        drop(std::fs::remove_dir_all(Path::new(FILES).join(&self.name)));
    }
}

/// Runs a command that writes nothing unless it fails.
fn done(command: &mut Command) -> anyhow::Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
