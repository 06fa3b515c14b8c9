//! Gap that the numbers of a restored call leave, because those that a crashed process used last are unknown.

use std::time::Duration;

/// Shortest interval between two writes of one call to the state file. A process uses fewer numbers of each kind within
/// it than the margin of that kind.
pub(crate) const WRITE_INTERVAL: Duration = Duration::from_millis(250);

/// Processes that may have used numbers of a call after its snapshot was taken, and the age of the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrashGap {
    processes: u32,
    age: Duration,
}

impl CrashGap {
    /// Creates the gap behind a snapshot of this age. `unwritten` is the number of later processes that have restored
    /// the call and crashed before they wrote it.
    pub fn new(unwritten: u32, age: Duration) -> CrashGap {
        CrashGap { processes: unwritten.saturating_add(1), age }
    }

    /// Returns the age of the snapshot.
    pub fn age(self) -> Duration {
        self.age
    }

    /// Returns the number of processes that may have used numbers since the snapshot: at least 1.
    pub(crate) fn processes(self) -> u32 {
        self.processes
    }

    /// Returns the number of margins to skip: one for each process, and one for each interval in which a change of the
    /// call may not have been written, for instance because the disk was full. The next process skips more than this
    /// one, even if this one writes nothing.
    pub(crate) fn margins(self) -> u32 {
        let intervals = self.age.as_millis() / WRITE_INTERVAL.as_millis();
        self.processes.saturating_add(u32::try_from(intervals).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_process_and_each_interval_has_a_margin() {
        let margins = |unwritten, ms| CrashGap::new(unwritten, Duration::from_millis(ms)).margins();
        assert_eq!([margins(0, 0), margins(0, 249), margins(0, 250), margins(1, 0), margins(2, 600)], [1, 1, 2, 2, 5]);
        assert_eq!(CrashGap::new(u32::MAX, Duration::MAX).margins(), u32::MAX);
    }
}
