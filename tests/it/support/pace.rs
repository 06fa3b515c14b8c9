//! Real time in tests. Audio is paced by a clock by its nature: each sender waits here for the time of its next packet, and
//! nothing else in the tests sleeps but [`super::until`], which looks for an event.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The time of a packet.
pub(crate) const PACKET: Duration = Duration::from_millis(20);

/// The clock of a sender: moments 20 ms apart, and how late the sender was for them.
///
/// A sender that was not run for a while catches up at once, as a phone does whose packets were held up on their way.
pub(crate) struct Pace {
    begin: Instant,
    next: u32,
    late: Duration,
    latest: Duration,
    fell_behind: Duration,
}

impl Pace {
    /// Begins now.
    pub(crate) fn new() -> Pace {
        Pace {
            begin: Instant::now(),
            next: 0,
            late: Duration::ZERO,
            latest: Duration::ZERO,
            fell_behind: Duration::ZERO,
        }
    }

    /// Waits for the next moment; the first is the beginning.
    pub(crate) fn wait(&mut self) {
        let due = self.begin + PACKET * self.next;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let late = due.elapsed();
        self.fell_behind += late.saturating_sub(self.late);
        self.late = late;
        self.latest = self.latest.max(late);
        self.next += 1;
    }

    /// Returns the longest time by which the sender was late.
    pub(crate) fn latest(&self) -> Duration {
        self.latest
    }

    /// Returns the time in all by which the sender fell behind its clock: a listener in real time had silence as long.
    ///
    /// Of a sender that waits for each packet to be heard, the time by which the edge fell behind is part of it.
    pub(crate) fn fell_behind(&self) -> Duration {
        self.fell_behind
    }
}

/// Measures how long this machine keeps a thread waiting for a CPU that wants it every 20 ms, for tests that only listen: an
/// edge beside it waits as long.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    latest_ms: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins now.
    pub(crate) fn new() -> Watch {
        let (stop, latest_ms) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, latest) = (Arc::clone(&stop), Arc::clone(&latest_ms));
        let thread = std::thread::spawn(move || {
            let mut pace = Pace::new();
            while !stopped.load(Ordering::Relaxed) {
                pace.wait();
                latest.store(u64::try_from(pace.latest().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        });
        Watch { stop, latest_ms, thread: Some(thread) }
    }

    /// Returns whether no packet was due for longer than two packets last: audio is not late for want of a CPU.
    pub(crate) fn is_in_time(&self) -> bool {
        Duration::from_millis(self.latest_ms.load(Ordering::Relaxed)) < 2 * PACKET
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
