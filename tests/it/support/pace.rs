//! Real time in tests. Audio needs a clock: each sender waits here for the time of its next packet. Nothing else in the
//! tests sleeps, except [`super::until`], which waits for events.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use trunkgate_testing::cpu_waits::CpuWaits;

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

impl Watch {
    /// Starts the monitor.
    pub(crate) fn new() -> Watch {
        let (stop, is_edge_late) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let latest_ms = Arc::new(AtomicU64::new(0));
        let (stopped, latest, is_late) = (Arc::clone(&stop), Arc::clone(&latest_ms), Arc::clone(&is_edge_late));
        let thread = std::thread::spawn(move || {
            let (mut pace, mut waits) = (Pace::new(), CpuWaits::read());
            while !stopped.load(Ordering::Relaxed) {
                pace.wait();
                latest.store(u64::try_from(pace.latest().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
                let now = CpuWaits::read();
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
