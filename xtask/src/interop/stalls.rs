//! Stalls of the machine during a long measurement: a thread that wakes every 20 ms counts the ticks in which it woke
//! late itself, or in which a thread of the edge or of an agent waited for a CPU. Audio is late then without a fault of
//! the edge.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};

use super::recording::FRAME;

/// Lateness from which a tick counts as a stall: half of what makes a packet late.
const STALL: Duration = Duration::from_millis(10);
/// Largest share of ticks with a stall at which a measurement still means something: one in this number.
const MOST: usize = 100;

/// Runs `measured` beside the monitor; returns its result and the number of ticks with a stall.
///
/// # Errors
/// Fails with the error of `measured`, and if more than one tick in a hundred had a stall.
pub(crate) fn during<T>(measured: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(T, usize)> {
    let is_over = AtomicBool::new(false);
    let (result, ticks, stalls) = std::thread::scope(|scope| {
        let monitor = scope.spawn(|| count(&is_over));
        let result = measured();
        is_over.store(true, Ordering::Relaxed);
        monitor.join().map(|(ticks, stalls)| (result, ticks, stalls)).map_err(|_| anyhow!("the monitor panicked"))
    })?;
    let result = result?;
    if stalls > ticks.div_ceil(MOST) {
        bail!("the machine is too busy for this case: it stood still in {stalls} of {ticks} ticks of 20 ms");
    }
    Ok((result, stalls))
}

/// Counts ticks, and those with a stall, until `is_over` is set.
fn count(is_over: &AtomicBool) -> (usize, usize) {
    let (mut due, mut waits) = (Instant::now(), waits());
    let (mut ticks, mut stalls) = (0, 0);
    while !is_over.load(Ordering::Relaxed) {
        due += FRAME;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let own = due.elapsed();
        let now = self::waits();
        ticks += 1;
        if own.max(longest(&waits, &now)) >= STALL {
            stalls += 1;
        }
        waits = now;
        // Ticks that passed during a stall count once.
        due = due.max(Instant::now().checked_sub(FRAME).unwrap_or(due));
    }
    (ticks, stalls)
}

/// Returns the time that each thread of the child processes has waited for a CPU since its start, in nanoseconds.
fn waits() -> HashMap<PathBuf, u64> {
    let entries = |path: &Path| std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let children = entries(Path::new("/proc/self/task"))
        .filter_map(|task| std::fs::read_to_string(task.join("children")).ok())
        .flat_map(|list| list.split_whitespace().map(|pid| Path::new("/proc").join(pid)).collect::<Vec<_>>());
    let wait = |task: PathBuf| {
        let figures = std::fs::read_to_string(task.join("schedstat")).ok()?;
        Some((task, figures.split_whitespace().nth(1)?.parse().ok()?))
    };
    children.flat_map(|child| entries(&child.join("task")).collect::<Vec<_>>()).filter_map(wait).collect()
}

/// Returns the longest time that one thread has waited between two readings.
fn longest(before: &HashMap<PathBuf, u64>, now: &HashMap<PathBuf, u64>) -> Duration {
    let waited = |(task, wait): (&PathBuf, &u64)| wait.saturating_sub(before.get(task).copied().unwrap_or(*wait));
    Duration::from_nanos(now.iter().map(waited).max().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_wait_is_that_of_one_thread() {
        let of = |waits: [(&str, u64); 2]| waits.map(|(task, wait)| (PathBuf::from(task), wait)).into();
        let before = of([("1", 5_000_000), ("2", 1_000_000)]);
        // A thread that is new has no wait yet.
        let now = of([("1", 11_000_000), ("3", 90_000_000)]);
        assert_eq!(longest(&before, &now), Duration::from_millis(6));
    }

    #[test]
    fn a_measurement_returns_its_result_or_its_error() {
        assert!(during(|| -> anyhow::Result<()> { bail!("broken") }).is_err());
    }
}
