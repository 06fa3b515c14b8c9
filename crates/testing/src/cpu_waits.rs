//! Times that threads of child processes have waited for a CPU, by the statistics of the kernel's scheduler. A test or
//! measurement that listens to audio in real time distinguishes a busy machine from a slow edge by them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Times that the threads of all child processes have waited for a CPU since their start, by thread.
#[derive(Debug)]
pub struct CpuWaits(HashMap<PathBuf, Duration>);

impl CpuWaits {
    /// Reads the times from `/proc`. A thread that ends meanwhile is missing.
    #[must_use]
    pub fn read() -> CpuWaits {
        let entries = |path: &Path| std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
        let children = entries(Path::new("/proc/self/task"))
            .filter_map(|task| std::fs::read_to_string(task.join("children")).ok())
            .flat_map(|list| list.split_whitespace().map(|pid| Path::new("/proc").join(pid)).collect::<Vec<_>>());
        let wait = |task: PathBuf| {
            let figures = std::fs::read_to_string(task.join("schedstat")).ok()?;
            Some((task, Duration::from_nanos(figures.split_whitespace().nth(1)?.parse().ok()?)))
        };
        let tasks = children.flat_map(|child| entries(&child.join("task")).collect::<Vec<_>>());
        CpuWaits(tasks.filter_map(wait).collect())
    }

    /// Returns the longest time that one thread has waited since `before`; a new thread counts as not having waited.
    #[must_use]
    pub fn longest_since(&self, before: &CpuWaits) -> Duration {
        let waited = |(task, wait): (&PathBuf, &Duration)| wait.saturating_sub(*before.0.get(task).unwrap_or(wait));
        self.0.iter().map(waited).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_wait_is_that_of_one_thread() {
        let waits = |waits: [(&str, u64); 2]| {
            CpuWaits(waits.map(|(task, ms)| (PathBuf::from(task), Duration::from_millis(ms))).into())
        };
        let before = waits([("1", 5), ("2", 1)]);
        let now = waits([("1", 11), ("3", 90)]);
        assert_eq!(now.longest_since(&before), Duration::from_millis(6));
    }
}
