//! Networks of a case's own: namespaces with cables (veth) between them, each a machine as far as its addresses, routes and
//! firewall go.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, anyhow, ensure};
use nix::sched::{CloneFlags, setns};

use super::{SKIPPED, install};

/// Where `ip netns` keeps them.
const FOLDER: &str = "/run/netns";
/// Where files stand that programs in one see in the place of those of /etc, in a folder of its name.
const FILES: &str = "/etc/netns";

/// One network, taken down when dropped.
#[derive(Debug)]
pub(crate) struct Namespace {
    name: String,
}

/// Why there can be none here.
pub(crate) fn missing() -> Option<String> {
    let tried = install::packages(&[("ip", "iproute2"), ("nft", "nftables")]).and_then(|()| {
        let probe = Namespace::new("probe")?;
        probe.rules("table inet probe { chain out { type filter hook output priority 0; accept; }; }")?;
        probe.enter(|| Ok(()))
    });
    tried.err().map(|error| format!("{SKIPPED}no network of its own can be had here: {error:#}"))
}

impl Namespace {
    /// Makes one; `role` tells it from others of this process.
    pub(crate) fn new(role: &str) -> anyhow::Result<Namespace> {
        let name = format!("trunkgate-{}-{role}", std::process::id());
        done(Command::new("ip").args(["netns", "add", &name]))?;
        let namespace = Namespace { name };
        done(namespace.command("ip").args(["link", "set", "lo", "up"]))?;
        Ok(namespace)
    }

    /// Lays a cable to another: the address with its prefix length at this end, and at the other, whose way to everywhere it is.
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

    /// Gives its programs a table of host names.
    pub(crate) fn hosts(&self, table: &str) -> anyhow::Result<()> {
        let folder = Path::new(FILES).join(&self.name);
        std::fs::create_dir_all(&folder)?;
        Ok(std::fs::write(folder.join("hosts"), table)?)
    }

    /// A program in it.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Its firewall from now on, in nft's words; none: everything passes.
    pub(crate) fn rules(&self, rules: &str) -> anyhow::Result<()> {
        let mut child = self.command("nft").args(["-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut stdin = child.stdin.take().context("nft's stdin")?;
        stdin.write_all(format!("flush ruleset\n{rules}\n").as_bytes())?;
        drop(stdin);
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "nft: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Does something in it, on a thread of its own: what that starts, and threads of what it makes, are in it as well.
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

/// Runs a command that says something only where it fails.
fn done(command: &mut Command) -> anyhow::Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
