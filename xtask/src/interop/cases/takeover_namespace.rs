//! `trunkgate run --take-over` between processes in PID namespaces of their own, as in containers: a call of SIPp to
//! baresip goes from the first process to a second one while the first drains after SIGTERM, then to a third one,
//! after which the second process's whole namespace is killed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::commands::output;
use crate::interop::baresip::Baresip;
use crate::interop::edge::{self, Edge};
use crate::interop::lasting::{self, LastingCall, PATIENCE, PHONE_HZ, PHONE_NUMBER, SIPP_HZ, TRUNKS};
use crate::interop::netns::{self, Namespace};
use crate::interop::sniffer::Sniffer;
use crate::interop::{SKIPPED, Setting};

/// IP address of SIPp.
const CALLER: &str = "127.0.4.1";
/// Flags of `unshare` for a PID namespace whose first process is the command, and which ends with `unshare`.
const PID_NAMESPACE: [&str; 4] = ["--pid", "--fork", "--mount-proc", "--kill-child"];
/// Shell command that becomes an edge with the further arguments.
const START: &str = "exec \"$EDGE\" \"$@\" --take-over \"$SOCKET\"";

/// Process before a take-over; its PID namespace is killed on drop.
struct Predecessor(Child);

impl Drop for Predecessor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Call with its parties.
struct Rig {
    edge: Edge,
    socket: PathBuf,
    sniffer: Sniffer,
    phone: Baresip,
    caller: LastingCall,
}

/// Makes a call in a network namespace, which outlives two PID namespaces.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let probe = || output(Command::new("unshare").args(PID_NAMESPACE).arg("true")).err();
    let no_namespace = || probe().map(|error| format!("{SKIPPED}no PID namespace can be created here: {error:#}"));
    if let Some(skipped) = netns::missing().or_else(no_namespace) {
        return Ok(skipped);
    }
    let folder = tempfile::tempdir()?;
    let here = Namespace::new("takeover")?;
    here.enter(|| {
        let mut rig = Rig::start(folder.path())?;
        let taken = rig.take_over_twice(setting);
        taken.with_context(|| format!("{}\n{}", rig.edge.log_tail(), rig.phone.log()))?;
        rig.end()?;
        Ok("a call goes on after a take-over from a draining process and after one before a kill -9 of the namespace; \
            re-INVITE and BYE, 1 record"
            .to_owned())
    })
}

/// Returns the command of an edge that is the first process of a PID namespace and serves a take-over socket.
fn container(socket: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new("unshare");
    command.args(PID_NAMESPACE).args(["sh", "-c", START, "sh"]);
    command.env("EDGE", std::path::absolute(edge::binary())?).env("SOCKET", socket);
    Ok(command)
}

/// Returns the process that `unshare` has started for the edge, which is the first one of its PID namespace.
fn first_process(edge: &Edge) -> anyhow::Result<Pid> {
    let unshare = edge.pid();
    let children = std::fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children"))?;
    let first = children.trim();
    let status = std::fs::read_to_string(format!("/proc/{first}/status")).with_context(|| format!("{first:?}"))?;
    let ids = status.lines().find(|line| line.starts_with("NSpid:")).context("no NSpid")?;
    ensure!(ids.ends_with("\t1"), "the edge is not the first process of its namespace: {ids}");
    Ok(Pid::from_raw(first.parse()?))
}

impl Rig {
    fn start(folder: &Path) -> anyhow::Result<Rig> {
        let socket = folder.join("takeover.sock");
        let route = "[[route]]\nfrom = [\"callers\"]\nconnect = [\"trunk:desk\"]\n";
        let edge = Edge::start_by(container(&socket)?, &format!("{TRUNKS}{route}"))?;
        let (sniffer, phone) = (Sniffer::start()?, lasting::phone()?);
        let caller = LastingCall::start(edge.udp, CALLER, PHONE_NUMBER, None)?;
        Ok(Rig { edge, socket, sniffer, phone, caller })
    }

    fn take_over_twice(&mut self, setting: &Setting) -> anyhow::Result<()> {
        self.is_heard(Instant::now(), 0).context("before a take-over")?;
        let first = first_process(&self.edge)?;
        // Broken: the process is killed before another one takes over.
        kill(first, if setting.sabotage { Signal::SIGKILL } else { Signal::SIGTERM })?;
        if !setting.sabotage {
            self.edge.wait_until("the edge drains", PATIENCE, |edge| Ok(edge.log_tail().contains("draining for")))?;
        }
        let mut predecessor = self.hand_over()?;
        let status = predecessor.0.wait()?;
        ensure!(status.success() || setting.sabotage, "the draining process ended with {status}");
        self.is_heard(Instant::now(), self.phone.heard()?.len()).context("after the end of a draining process")?;

        let second = first_process(&self.edge)?;
        let mut predecessor = self.hand_over()?;
        kill(second, Signal::SIGKILL)?;
        predecessor.0.wait()?;
        self.is_heard(Instant::now(), self.phone.heard()?.len()).context("after a kill of the namespace")
    }

    /// Has a process in another PID namespace take over.
    fn hand_over(&mut self) -> anyhow::Result<Predecessor> {
        let predecessor = Predecessor(self.edge.hand_over_to(container(&self.socket)?)?);
        first_process(&self.edge)?;
        Ok(predecessor)
    }

    /// Waits until both parties have heard each other after these marks.
    fn is_heard(&mut self, since: Instant, samples: usize) -> anyhow::Result<()> {
        self.caller.hears(&self.sniffer, PHONE_HZ, since)?;
        lasting::phone_hears(&self.phone, SIPP_HZ, samples)?;
        self.caller.goes_on()
    }

    /// Renews the session and hangs up at SIPp.
    fn end(mut self) -> anyhow::Result<()> {
        self.caller.end()?;
        self.phone.wait_for("terminated", PATIENCE)?;
        lasting::has_one_record_each(&self.edge, &[PHONE_NUMBER])?;
        let first = first_process(&self.edge)?;
        kill(first, Signal::SIGTERM)?;
        self.edge.gone()
    }
}
