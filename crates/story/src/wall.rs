//! Wall-clock time for reports: one reference instant in both clocks dates all others.

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A step of a wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockStep {
    /// Clock set forward.
    Ahead(Duration),
    /// Clock set back.
    Back(Duration),
}

impl fmt::Display for ClockStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match self {
            ClockStep::Ahead(_) => "forward",
            ClockStep::Back(_) => "back",
        };
        write!(f, "{way} by {:.1} s", self.size().as_secs_f64())
    }
}

impl ClockStep {
    /// Returns the step of a clock that was expected to read `before` and reads `after`.
    pub fn between(before: SystemTime, after: SystemTime) -> ClockStep {
        match after.duration_since(before) {
            Ok(ahead) => ClockStep::Ahead(ahead),
            Err(back) => ClockStep::Back(back.duration()),
        }
    }

    /// Returns the size of the step, without its direction.
    pub fn size(self) -> Duration {
        match self {
            ClockStep::Ahead(size) | ClockStep::Back(size) => size,
        }
    }

    /// Returns a date converted to the clock after the step.
    pub fn apply_to(self, date: SystemTime) -> SystemTime {
        match self {
            ClockStep::Ahead(ahead) => date.checked_add(ahead),
            ClockStep::Back(back) => date.checked_sub(back),
        }
        .unwrap_or(date)
    }
}

/// Conversion of monotonic instants to dates.
#[derive(Debug, Clone, Copy)]
pub struct WallClock {
    epoch: (Instant, SystemTime),
}

impl WallClock {
    /// Returns the conversion for a reference instant in both clocks.
    pub fn new(epoch: (Instant, SystemTime)) -> WallClock {
        WallClock { epoch }
    }

    /// Returns the date of an instant, which may be before the reference.
    pub fn at(&self, now: Instant) -> SystemTime {
        let (at, date) = self.epoch;
        match now.checked_duration_since(at) {
            Some(later) => date.checked_add(later),
            None => date.checked_sub(at.saturating_duration_since(now)),
        }
        .unwrap_or(date)
    }
}

/// Returns milliseconds since 1970, for snapshots.
pub fn unix_ms(time: SystemTime) -> u64 {
    let ms = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    u64::try_from(ms).unwrap_or(u64::MAX)
}

/// Returns a duration in milliseconds.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Returns the time `ms` milliseconds after 1970.
pub fn of_unix_ms(ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(ms)
}

/// Formats a time by RFC 3339 in UTC with milliseconds.
pub fn rfc3339(time: SystemTime) -> String {
    let ms = unix_ms(time);
    let (days, in_day) = (ms / 86_400_000, ms % 86_400_000);
    let (year, month, day) = civil(days);
    let (hour, minute, second, ms) = (in_day / 3_600_000, in_day / 60_000 % 60, in_day / 1000 % 60, in_day % 1000);
    // Performance: about ten a call, so no `format!`.
    let mut text = *b"0000-00-00T00:00:00.000Z";
    let parts =
        [(0, 4, year), (5, 2, month), (8, 2, day), (11, 2, hour), (14, 2, minute), (17, 2, second), (20, 3, ms)];
    for (from, digits, mut number) in parts {
        for place in text.iter_mut().skip(from).take(digits).rev() {
            *place = b'0' + (number % 10) as u8;
            number /= 10;
        }
    }
    str::from_utf8(&text).unwrap_or_default().to_owned()
}

/// Formats a time by RFC 2822 in UTC, as Twilio does: `Mon, 23 Nov 2026 16:40:18 +0000`.
pub fn rfc2822(time: SystemTime) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = unix_ms(time) / 1000;
    let (days, in_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (in_day / 3600, in_day / 60 % 60, in_day % 60);
    let named = |names: &[&'static str], at: u64| usize::try_from(at).ok().and_then(|at| names.get(at).copied());
    let weekday = named(&DAYS, days % 7).unwrap_or_default();
    let month = named(&MONTHS, month - 1).unwrap_or_default();
    format!("{weekday}, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} +0000")
}

/// Returns year, month and day of a day counted from 1970-01-01, by eras of 400 years that begin on 1 March, so that
/// the leap day is the last day of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_around_leap_days() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (951_868_800, "2000-03-01T00:00:00.000Z"),
            (1_709_164_800, "2024-02-29T00:00:00.000Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
        assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_millis(1_234)), "1970-01-01T00:00:01.234Z");
    }

    #[test]
    fn rfc2822_dates_name_day_and_month() {
        for (seconds, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 +0000"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 +0000"),
            (1_795_365_618, "Sun, 22 Nov 2026 16:40:18 +0000"),
        ] {
            assert_eq!(rfc2822(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }
}
