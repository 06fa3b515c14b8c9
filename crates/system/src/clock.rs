//! Wall clock, and detection of its steps against the monotonic clock: set by hand or by NTP, or after the machine
//! slept.

use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use nix::time::{ClockId, clock_gettime};

use trunkgate_call::ClockStep;

/// Interval at which the clocks are compared.
const INTERVAL: Duration = Duration::from_secs(1);
/// Maximum difference of the clocks that does not count as a step: the wall clock is slewed, or was read late.
const TOLERANCE: Duration = Duration::from_secs(1);

/// Latest date returned for the wall clock, 9999-01-01T00:00:00Z, so that dates computed from it can still be
/// formatted.
const LATEST: Duration = Duration::from_secs(253_370_764_800);

/// Returns the wall clock, limited to the years 1970 to 9999.
pub fn wall() -> SystemTime {
    bounded(SystemTime::now())
}

/// Returns the wall clock as a timestamp, limited as by [`wall`].
pub fn now() -> Timestamp {
    // Every date within these limits fits into a timestamp.
    Timestamp::try_from(wall()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Returns the monotonic clock of the machine, which all its processes share (`CLOCK_MONOTONIC`).
pub fn monotonic() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}

/// Formats a date for HTTP: `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7).
pub fn http_date(date: Timestamp) -> String {
    // Every date within the limits of the wall clock can be formatted.
    DateTimePrinter::new().timestamp_to_rfc9110_string(&date).unwrap_or_default()
}

fn bounded(date: SystemTime) -> SystemTime {
    let since = date.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + since.min(LATEST)
}

/// Simultaneous reading of the wall clock and of a clock that is never set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClockReading {
    /// Boot id of the machine; empty if the kernel provides none.
    pub boot: String,
    /// Time since that boot in milliseconds, including suspended time (`CLOCK_BOOTTIME`).
    pub uptime: i64,
    /// Wall clock in milliseconds since 1970.
    pub wall: i64,
}

impl ClockReading {
    /// Reads the wall clock and the time since boot.
    pub fn now() -> ClockReading {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let uptime = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from);
        let uptime = i64::try_from(uptime.as_millis()).unwrap_or(i64::MAX);
        ClockReading { boot: boot.trim().to_owned(), uptime, wall: now().as_millisecond() }
    }
}

/// Detects steps of the wall clock by a reference time in both clocks, and pauses of the process.
#[derive(Debug, Clone, Copy)]
pub struct ClockMonitor {
    /// Detector of pauses.
    pub pauses: PauseMonitor,
    epoch: (Instant, SystemTime),
    looked: Instant,
}

/// Detects pauses of the process: a stopped process, a paused virtual machine, a starved thread.
#[derive(Debug, Clone, Copy)]
pub struct PauseMonitor {
    looked: Instant,
}

/// Interval at which a loop asks its [`PauseMonitor`]; each interval that takes [`PAUSE`] longer is a pause.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Shortest pause that is detected.
const PAUSE: Duration = Duration::from_millis(500);

impl PauseMonitor {
    /// Creates a monitor that has looked at `now`.
    pub fn new(now: Instant) -> PauseMonitor {
        PauseMonitor { looked: now }
    }

    /// Returns the time at which the loop must look again at the latest.
    pub fn next(&self) -> Instant {
        self.looked + LOOK_INTERVAL
    }

    /// Returns the length of the pause that has just ended: the time since the last look, of which the process may have
    /// run up to a second; `None` without a pause.
    pub fn look(&mut self, now: Instant) -> Option<Duration> {
        let since = now.saturating_duration_since(self.looked);
        self.looked = now;
        (since >= LOOK_INTERVAL + PAUSE).then_some(since)
    }
}

/// Step of the wall clock that was detected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockSet {
    /// Date after the step.
    pub date: SystemTime,
    /// Difference to the expected date.
    pub step: ClockStep,
}

impl ClockMonitor {
    /// Creates a monitor with a reference time in both clocks.
    pub fn new(epoch: (Instant, SystemTime)) -> ClockMonitor {
        ClockMonitor { pauses: PauseMonitor::new(epoch.0), epoch, looked: epoch.0 }
    }

    /// Compares the clocks, at most once per second. Returns a detected step and makes the new date the reference;
    /// `None` without a step.
    pub fn look(&mut self, now: Instant, read: impl FnOnce() -> SystemTime) -> Option<ClockSet> {
        if now.saturating_duration_since(self.looked) < INTERVAL {
            return None;
        }
        self.looked = now;
        let (at, date) = self.epoch;
        let expected = date.checked_add(now.saturating_duration_since(at))?;
        let date = read();
        let step = ClockStep::between(expected, date);
        if step.size() <= TOLERANCE {
            return None;
        }
        self.epoch = (now, date);
        Some(ClockSet { date, step })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_to_any_date_is_read_as_one_that_can_be_written() {
        let after = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(86_400 * 365 * 300);
        assert_eq!(bounded(before), SystemTime::UNIX_EPOCH);
        assert_eq!(bounded(after(1_800_000_000)), after(1_800_000_000));
        for seconds in [253_402_300_799, 253_402_300_800, 1 << 40, 1 << 60] {
            let read = Timestamp::try_from(bounded(after(seconds))).unwrap();
            assert_eq!(read.to_string(), "9999-01-01T00:00:00Z");
            assert!(read.checked_add(Duration::from_secs(86_400 * 300)).is_ok(), "dates ahead of it can be written");
        }
    }

    #[test]
    fn a_pause_is_a_look_that_comes_too_late() {
        let (start, ms) = (Instant::now(), Duration::from_millis);
        let mut monitor = PauseMonitor::new(start);
        assert_eq!(monitor.next(), start + ms(1_000));
        assert_eq!(monitor.look(start + ms(1_499)), None);
        assert_eq!(monitor.look(start + ms(1_500)), None, "looked in between");
        assert_eq!(monitor.look(start + ms(67_500)), Some(ms(66_000)));
        assert_eq!(monitor.look(start + ms(68_500)), None);
    }

    #[test]
    fn a_step_is_told_once_with_its_size() {
        let (start, date) = (Instant::now(), SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let mut clock = ClockMonitor::new((start, date));
        let mut look = |after_ms: u64, reads_ms: u64| {
            let step = clock.look(start + Duration::from_millis(after_ms), || date + Duration::from_millis(reads_ms));
            step.map(|set| set.step.to_string())
        };
        assert_eq!(look(500, 900_000), None, "not so often");
        assert_eq!(look(1_000, 2_000), None, "a second is tolerated");
        assert_eq!(look(2_000, 86_402_000).as_deref(), Some("forward by 86400.0 s"));
        assert_eq!(look(3_000, 86_403_000), None, "by the new clock");
        assert_eq!(look(4_000, 4_500).as_deref(), Some("back by 86399.5 s"));
        // A clock that drifts is corrected each time it is a second off.
        let crept: Vec<String> = (5..200).filter_map(|s| look(s * 1_000, s * 1_000 + 500 + s * 20)).collect();
        assert_eq!(crept.len(), 3, "{crept:?}");
    }
}
