//! Real time in tests. Audio needs a clock: each sender waits here for the time of its next packet. Nothing else in the
//! tests sleeps, except [`super::until`], which waits for events.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Audio duration of a packet.
pub(crate) const PACKET: Duration = Duration::from_millis(20);

/// Clock of a sender, with moments 20 ms apart, and the sender's lateness.
///
/// After a stall, the sender catches up at once, like a phone after a delay in the network.
pub(crate) struct Pace {
    begin: Instant,
    next: u32,
    late: Duration,
    latest: Duration,
    fell_behind: Duration,
}

impl Pace {
    /// Starts the clock.
    pub(crate) fn new() -> Pace {
        Pace {
            begin: Instant::now(),
            next: 0,
            late: Duration::ZERO,
            latest: Duration::ZERO,
            fell_behind: Duration::ZERO,
        }
    }

    /// Waits for the next moment, of which the first is the start.
    pub(crate) fn wait(&mut self) {
        let due = self.begin + PACKET * self.next;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let late = due.elapsed();
        self.fell_behind += late.saturating_sub(self.late);
        self.late = late;
        self.latest = self.latest.max(late);
        self.next += 1;
    }

    /// Returns the maximum lateness of the sender.
    pub(crate) fn latest(&self) -> Duration {
        self.latest
    }

    /// Returns the total time by which the sender fell behind its clock: a listener in real time had as much silence.
    ///
    /// For a sender that waits for each packet to be received, this includes delays of the edge.
    pub(crate) fn fell_behind(&self) -> Duration {
        self.fell_behind
    }
}

/// Monitor of delays in CPU scheduling, for tests that only listen: of a thread of its own that runs every 20 ms, and,
/// by kernel statistics, of the processes that the tests have started.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    latest_ms: Arc<AtomicU64>,
    is_edge_late: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Times that the threads of all child processes have waited for the CPU, in nanoseconds by thread.
struct Waits(HashMap<String, u64>);

impl Waits {
    fn read() -> Waits {
        let lines = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        let entries = |path: &Path| std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
        let own = entries(Path::new("/proc/self/task")).map(|task| lines(&task.join("children")));
        let children: Vec<String> =
            own.flat_map(|all| all.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect();
        let tasks = children.iter().flat_map(|child| entries(&Path::new("/proc").join(child).join("task")));
        let wait = |task: PathBuf| {
            let nanoseconds = lines(&task.join("schedstat")).split_whitespace().nth(1)?.parse().ok()?;
            Some((task.to_str()?.to_owned(), nanoseconds))
        };
        Waits(tasks.filter_map(wait).collect())
    }

    /// Returns the longest time that a single thread has waited since `before`.
    fn longest_since(&self, before: &Waits) -> Duration {
        let since =
            |(task, waited): (&String, &u64)| waited.saturating_sub(before.0.get(task).copied().unwrap_or(*waited));
        Duration::from_nanos(self.0.iter().map(since).max().unwrap_or_default())
    }
}

impl Watch {
    /// Starts the monitor.
    pub(crate) fn new() -> Watch {
        let (stop, is_edge_late) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let latest_ms = Arc::new(AtomicU64::new(0));
        let (stopped, latest, is_late) = (Arc::clone(&stop), Arc::clone(&latest_ms), Arc::clone(&is_edge_late));
        let thread = std::thread::spawn(move || {
            let (mut pace, mut waits) = (Pace::new(), Waits::read());
            while !stopped.load(Ordering::Relaxed) {
                pace.wait();
                latest.store(u64::try_from(pace.latest().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
                let now = Waits::read();
                is_late.fetch_or(now.longest_since(&waits) >= PACKET, Ordering::Relaxed);
                waits = now;
            }
        });
        Watch { stop, latest_ms, is_edge_late, thread: Some(thread) }
    }

    /// Returns whether no packet was delayed by more than two packets, and no thread of an edge waited as long as one:
    /// if so, late audio is not caused by lack of CPU time.
    pub(crate) fn is_in_time(&self) -> bool {
        let is_late = self.is_edge_late.load(Ordering::Relaxed);
        !is_late && Duration::from_millis(self.latest_ms.load(Ordering::Relaxed)) < 2 * PACKET
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
