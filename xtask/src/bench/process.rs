//! A device's process: started on a core of its own, its CPU time and memory read from outside.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::Context as _;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::{Pid, SysconfVar, sysconf};

/// The generator's core.
const GENERATOR_CORE: usize = 0;
/// The devices' core; the generator's where there is only one.
const DEVICE_CORE: usize = 1;

/// A child that is killed when dropped.
#[derive(Debug)]
pub(crate) struct Device {
    child: Child,
}

impl Device {
    /// Takes over a child.
    pub(crate) fn new(child: Child) -> Device {
        Device { child }
    }

    /// The child.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A command that runs on the devices' core alone.
pub(crate) fn on_device_core(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.arg("-c").arg(DEVICE_CORE.min(cores() - 1).to_string()).arg(program);
    command
}

/// Keeps the calling thread on the generator's core.
pub(crate) fn stay_on_generator_core() -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(GENERATOR_CORE)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

/// Cores of this machine, whichever of them the calling thread is kept on.
pub(crate) fn cores() -> usize {
    let online = sysconf(SysconfVar::_NPROCESSORS_ONLN).ok().flatten();
    online.and_then(|cores| usize::try_from(cores).ok()).unwrap_or(1).max(1)
}

/// The processor's name and the kernel's release: the machine's shape, for the report.
pub(crate) fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown processor");
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{} cores, {}, Linux {}", cores(), model.trim_start_matches(['\t', ' ', ':']), kernel.trim())
}

/// Until a new edge has done all that it does at its start, and given back what that has used.
pub(crate) const STARTED: Duration = Duration::from_secs(10);

/// Resident memory that it has written and shares with no other process, in bytes: pages of its file can be read again.
pub(crate) fn private_bytes(pid: u32) -> anyhow::Result<u64> {
    of_memory(pid, &["Private_Dirty:"])
}

/// Resident memory, what is shared divided among those who share it, in bytes.
pub(crate) fn proportional_bytes(pid: u32) -> anyhow::Result<u64> {
    of_memory(pid, &["Pss:"])
}

fn of_memory(pid: u32, names: &[&'static str]) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let mut kib = 0;
    for name in names {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).context(*name)?;
        kib += line.trim().strip_suffix("kB").context(*name)?.trim().parse::<u64>()?;
    }
    Ok(1024 * kib)
}

/// The fields of /proc/PID/stat behind the second, which is a name in brackets that may hold spaces. Of a thread: `PID/task/TID`.
fn stat(pid: impl Display) -> anyhow::Result<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = stat.rsplit_once(')').context("/proc/PID/stat")?;
    Ok(rest.split_ascii_whitespace().map(str::to_owned).collect())
}

/// What threads have done so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Work {
    /// How often they had to be woken, having waited.
    pub(crate) woken: u64,
    /// How often others took their core.
    pub(crate) pushed_off: u64,
    pub(crate) cpu: Duration,
}

impl Work {
    /// Adds what has been done since `before`.
    pub(crate) fn add(&mut self, now: Work, before: Work) {
        self.woken += now.woken.saturating_sub(before.woken);
        self.pushed_off += now.pushed_off.saturating_sub(before.pushed_off);
        self.cpu += now.cpu.saturating_sub(before.cpu);
    }
}

/// The threads of a process by their names; those of one name together.
pub(crate) fn threads(pid: u32) -> anyhow::Result<BTreeMap<String, Work>> {
    let mut all: BTreeMap<String, Work> = BTreeMap::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let thread = entry?.path();
        let read = |file: &str| std::fs::read_to_string(thread.join(file));
        // One that has just ended is nobody's business.
        let (Ok(name), Ok(status)) = (read("comm"), read("status")) else { continue };
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|value| value.trim().parse().ok()).with_context(|| name.to_owned())
        };
        let seen = Work {
            woken: field("voluntary_ctxt_switches")?,
            pushed_off: field("nonvoluntary_ctxt_switches")?,
            cpu: cpu(thread.strip_prefix("/proc")?.display())?,
        };
        all.entry(name.trim().to_owned()).or_default().add(seen, Work::default());
    }
    Ok(all)
}

/// CPU time of all threads of a process, those that ended too; of one thread: `PID/task/TID`.
pub(crate) fn cpu(pid: impl Display) -> anyhow::Result<Duration> {
    let stat = stat(pid)?;
    let field = |n: usize| stat.get(n).and_then(|value| value.parse::<u64>().ok());
    let ticks = field(11).zip(field(12)).map(|(user, system)| user + system).context("no times in /proc/PID/stat")?;
    let hertz = sysconf(SysconfVar::CLK_TCK)?.and_then(|hz| u64::try_from(hz).ok()).context("CLK_TCK")?;
    Ok(Duration::from_micros(ticks * 1_000_000 / hertz))
}

/// A process with its children, in no order.
pub(crate) fn family(pid: u32) -> anyhow::Result<Vec<u32>> {
    let mut all = vec![pid];
    for entry in std::fs::read_dir("/proc")?.filter_map(Result::ok) {
        let Some(child) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // Gone meanwhile: nobody's child.
        let parent = stat(child).ok().and_then(|stat| stat.get(1)?.parse().ok());
        if parent == Some(pid) {
            all.push(child);
        }
    }
    Ok(all)
}

/// Lets this process open as many descriptors as it may.
pub(crate) fn raise_descriptor_limit() -> anyhow::Result<()> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}
