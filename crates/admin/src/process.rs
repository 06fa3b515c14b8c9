//! Metrics `process_*`, from /proc/self.

use std::fs;

use jiff::Timestamp;
use nix::sys::resource::{Resource, getrlimit};

use super::exposition::{Exposition, MetricKind};

/// Writes the metrics of the process; a family with unreadable data is omitted.
pub(super) fn render(out: &mut Exposition, started: Timestamp) {
    let help = "Start time of the process.";
    out.single("process_start_time_seconds", MetricKind::Gauge, help, started.as_millisecond() as f64 / 1e3);
    if let Ok((most, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
        out.single("process_max_fds", MetricKind::Gauge, "Maximum number of open file descriptors.", most as f64);
    }
    if let Some(open) = open_descriptors() {
        out.single("process_open_fds", MetricKind::Gauge, "Open file descriptors.", open as f64);
    }
    if let Some(bytes) = resident_bytes() {
        out.single("process_resident_memory_bytes", MetricKind::Gauge, "Resident memory.", bytes as f64);
    }
    if let Some(seconds) = cpu_seconds() {
        out.single("process_cpu_seconds_total", MetricKind::Counter, "User and system CPU time.", seconds);
    }
}

/// Counts the open file descriptors, except the one that reads the directory; `None` if it cannot be read.
fn open_descriptors() -> Option<usize> {
    fs::read_dir("/proc/self/fd").ok().map(|all| all.count().saturating_sub(1))
}

fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

fn cpu_seconds() -> Option<f64> {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF).ok()?;
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Some(seconds(usage.user_time()) + seconds(usage.system_time()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_descriptors_and_used_time() {
        assert!(resident_bytes().unwrap() > 1 << 20);
        // Other tests open and close files at the same time, so these files stay open.
        let files: Vec<fs::File> = (0..100).map(|_| fs::File::open("/proc/self/status").unwrap()).collect();
        assert!(open_descriptors().unwrap() >= files.len());
        assert!(cpu_seconds().unwrap() >= 0.0);
    }
}
