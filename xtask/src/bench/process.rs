//! Process of a measured device: started on a core of its own, with CPU time and memory read from outside.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::Context as _;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::{Pid, SysconfVar, sysconf};

/// Core on which the generator runs.
const GENERATOR_CORE: usize = 0;
/// Core on which devices run; that of the generator if there is only one core.
const DEVICE_CORE: usize = 1;

/// Child process of a device, killed on drop.
#[derive(Debug)]
pub(crate) struct Device {
    child: Child,
}

impl Device {
    /// Takes ownership of a child process.
    pub(crate) fn new(child: Child) -> Device {
        Device { child }
    }

    /// Returns the child process.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Returns the process ID of the device.
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

/// Returns a command pinned to the devices' core.
pub(crate) fn on_device_core(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.arg("-c").arg(DEVICE_CORE.min(cores() - 1).to_string()).arg(program);
    command
}

/// Pins the calling thread to the generator's core.
pub(crate) fn stay_on_generator_core() -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(GENERATOR_CORE)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

/// Returns the number of cores of this machine, independent of the thread's affinity.
pub(crate) fn cores() -> usize {
    let online = sysconf(SysconfVar::_NPROCESSORS_ONLN).ok().flatten();
    online.and_then(|cores| usize::try_from(cores).ok()).unwrap_or(1).max(1)
}

/// Returns the processor's name and the kernel's release, for reports.
pub(crate) fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown processor");
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{} cores, {}, Linux {}", cores(), model.trim_start_matches(['\t', ' ', ':']), kernel.trim())
}

/// Time until a new edge has completed its start and released the memory that the start used.
pub(crate) const STARTED: Duration = Duration::from_secs(10);

/// Returns the bytes of resident memory that the process has written and does not share: pages of a file could be read
/// again.
pub(crate) fn private_bytes(pid: u32) -> anyhow::Result<u64> {
    of_memory(pid, &["Private_Dirty:"])
}

/// Returns the proportional set size of a process in bytes.
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

/// Returns the fields of /proc/PID/stat after the second one, a name in brackets that may contain spaces. For a thread,
/// `pid` is `PID/task/TID`.
fn stat(pid: impl Display) -> anyhow::Result<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = stat.rsplit_once(')').context("/proc/PID/stat")?;
    Ok(rest.split_ascii_whitespace().map(str::to_owned).collect())
}

/// Context switches of threads so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Work {
    /// Number of voluntary context switches.
    pub(crate) woken: u64,
    /// Number of involuntary context switches.
    pub(crate) pushed_off: u64,
    pub(crate) cpu: Duration,
}

impl Work {
    /// Adds the context switches between `before` and `now`.
    pub(crate) fn add(&mut self, now: Work, before: Work) {
        self.woken += now.woken.saturating_sub(before.woken);
        self.pushed_off += now.pushed_off.saturating_sub(before.pushed_off);
        self.cpu += now.cpu.saturating_sub(before.cpu);
    }
}

/// Returns the context switches of a process' threads, grouped by thread name.
pub(crate) fn threads(pid: u32) -> anyhow::Result<BTreeMap<String, Work>> {
    let mut all: BTreeMap<String, Work> = BTreeMap::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let thread = entry?.path();
        let read = |file: &str| std::fs::read_to_string(thread.join(file));
        // The thread has just ended.
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

/// Returns the CPU time of all threads of a process, including ended ones; for one thread, `pid` is `PID/task/TID`.
pub(crate) fn cpu(pid: impl Display) -> anyhow::Result<Duration> {
    let stat = stat(pid)?;
    let field = |n: usize| stat.get(n).and_then(|value| value.parse::<u64>().ok());
    let ticks = field(11).zip(field(12)).map(|(user, system)| user + system).context("no times in /proc/PID/stat")?;
    let hertz = sysconf(SysconfVar::CLK_TCK)?.and_then(|hz| u64::try_from(hz).ok()).context("CLK_TCK")?;
    Ok(Duration::from_micros(ticks * 1_000_000 / hertz))
}

/// Returns the IDs of a process and its children, unordered.
pub(crate) fn family(pid: u32) -> anyhow::Result<Vec<u32>> {
    let mut all = vec![pid];
    for entry in std::fs::read_dir("/proc")?.filter_map(Result::ok) {
        let Some(child) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // The process may have ended meanwhile.
        let parent = stat(child).ok().and_then(|stat| stat.get(1)?.parse().ok());
        if parent == Some(pid) {
            all.push(child);
        }
    }
    Ok(all)
}

/// Raises the descriptor limit of this process to the permitted maximum.
pub(crate) fn raise_descriptor_limit() -> anyhow::Result<()> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}
