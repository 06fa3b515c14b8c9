//! Date for retention periods (`keep`), which follows the time that has passed instead of the wall clock.
//!
//! A wall clock that is temporarily wrong (a bad NTP server, a restored machine) would otherwise delete all data that
//! is younger than its error. After a step nothing is deleted for a day. Then the date approaches the wall clock at
//! twice its speed, so that an uncorrected clock deletes one day's data too early for each further day.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use trunkgate_system::clock::ClockReading;

/// Time without deletions after a step of the wall clock, in milliseconds.
const HOLD_MILLISECONDS: i64 = 24 * 60 * 60 * 1_000;
/// Maximum time that counts as passed between two readings in different boots, in milliseconds; a longer one counts as
/// a step.
const MOST_OFF_MILLISECONDS: i64 = 60 * 60 * 1_000;
/// Minimum difference between wall clock and passed time that counts as a step, in milliseconds.
const STEP_MILLISECONDS: i64 = 60_000;
/// Maximum drift of a clock that NTP corrects: one part in this many of the passed time.
const DRIFT_PART: i64 = 1_000;

/// Last reading of the clocks, with the resulting date.
#[derive(Debug, Clone, PartialEq, Eq)]
struct RetentionClock {
    last: ClockReading,
    /// Date from which ages are computed, in milliseconds since 1970.
    age: i64,
    /// Remaining time without deletions, in milliseconds.
    hold: i64,
}

impl RetentionClock {
    /// Creates the clock with the date of the wall clock.
    fn new(reading: ClockReading) -> RetentionClock {
        RetentionClock { age: reading.wall, last: reading, hold: 0 }
    }

    /// Advances the date to a later reading of the clocks.
    fn advance(&mut self, reading: ClockReading) {
        let moved = reading.wall.saturating_sub(self.last.wall);
        let passed = match reading.boot == self.last.boot {
            true => reading.uptime.saturating_sub(self.last.uptime).max(0),
            false => moved.clamp(0, MOST_OFF_MILLISECONDS),
        };
        let step = moved.saturating_sub(passed);
        self.hold = match step.saturating_abs() > STEP_MILLISECONDS.saturating_add(passed / DRIFT_PART) {
            true => HOLD_MILLISECONDS,
            false => self.hold.saturating_sub(passed).max(0),
        };
        self.age = self.age.saturating_add(passed);
        if self.hold == 0 {
            self.age = self.age.saturating_add(passed).min(reading.wall);
        }
        self.last = reading;
    }

    /// Returns the date from which ages are computed; `None` while nothing may be deleted.
    fn date(&self) -> Option<Timestamp> {
        let date = Timestamp::from_millisecond(self.age.min(self.last.wall)).ok();
        date.filter(|_| self.hold == 0)
    }
}

/// Reads the clocks and returns the date for retention periods; `None` while nothing may be deleted.
///
/// # Errors
/// Returns the error of the store.
pub(crate) fn date(store: &Connection, reading: ClockReading) -> rusqlite::Result<Option<Timestamp>> {
    let select = "SELECT boot, uptime, wall, age, hold FROM retention_clock";
    let kept = store.query_row(select, [], |row| {
        let last = ClockReading { boot: row.get(0)?, uptime: row.get(1)?, wall: row.get(2)? };
        Ok(RetentionClock { last, age: row.get(3)?, hold: row.get(4)? })
    });
    let (clock, was_held) = match kept.optional()? {
        Some(mut clock) => {
            let was_held = clock.hold > 0;
            clock.advance(reading);
            (clock, was_held)
        }
        None => (RetentionClock::new(reading), false),
    };
    if clock.hold > 0 && !was_held {
        tracing::warn!(
            "the wall clock was set: recordings and other data with a retention period are not deleted for a day"
        );
    }
    let RetentionClock { last: ClockReading { boot, uptime, wall }, age, hold } = &clock;
    store.execute(
        "INSERT OR REPLACE INTO retention_clock (id, boot, uptime, wall, age, hold) VALUES (0, ?1, ?2, ?3, ?4, ?5)",
        params![boot, uptime, wall, age, hold],
    )?;
    Ok(clock.date())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = HOLD_MILLISECONDS;
    const MINUTE: i64 = 60_000;
    const START: i64 = 1_795_000_000_000;

    /// Simulated machine with a wall clock that may be wrong.
    struct Machine {
        boot: u32,
        /// Milliseconds since the first start.
        passed: i64,
        booted: i64,
        /// Error of the wall clock in milliseconds.
        wrong: i64,
        clock: RetentionClock,
    }

    impl Machine {
        fn new() -> Machine {
            let reading = ClockReading { boot: "0".into(), uptime: 0, wall: START };
            Machine { boot: 0, passed: 0, booted: 0, wrong: 0, clock: RetentionClock::new(reading) }
        }
        fn after(&mut self, milliseconds: i64) -> Option<i64> {
            self.passed += milliseconds;
            let uptime = self.passed - self.booted;
            let reading = ClockReading { boot: self.boot.to_string(), uptime, wall: START + self.passed + self.wrong };
            self.clock.advance(reading);
            self.clock.date().map(|date| date.as_millisecond() - START)
        }
        fn set(&mut self, wrong: i64) -> Option<i64> {
            self.wrong = wrong;
            self.after(MINUTE)
        }
        fn reboot(&mut self, off: i64, wrong: i64) -> Option<i64> {
            self.boot += 1;
            self.wrong = wrong;
            self.booted = self.passed + off;
            self.after(off)
        }
    }

    #[test]
    fn time_that_passes_counts_in_full() {
        let mut machine = Machine::new();
        for day in 1..40 {
            assert_eq!(machine.after(DAY), Some(day * DAY));
        }
        assert_eq!(machine.reboot(3 * MINUTE, 0), Some(39 * DAY + 3 * MINUTE));
        // NTP slews the clock.
        for minute in 1..600 {
            machine.wrong += 30;
            let date = machine.after(MINUTE).unwrap();
            assert!((0..30_000).contains(&(date - 39 * DAY - 3 * MINUTE - minute * MINUTE)), "{date}");
        }
    }

    #[test]
    fn a_step_deletes_nothing_for_a_day_and_nothing_too_early_afterwards() {
        for wrong in [40 * DAY, -40 * DAY, 400 * 365 * DAY, 2 * MINUTE, -2 * MINUTE] {
            let mut machine = Machine::new();
            machine.after(DAY);
            assert_eq!(machine.set(wrong), None, "{wrong}");
            assert_eq!(machine.after(5 * MINUTE), None, "{wrong}");
            // The correction is a step, too.
            assert_eq!(machine.set(0), None, "{wrong}");
            assert_eq!(machine.after(DAY - MINUTE), None, "{wrong}");
            assert_eq!(machine.after(MINUTE), Some(machine.passed), "{wrong}");
        }
    }

    #[test]
    fn a_step_is_seen_after_a_restart_of_process_and_machine() {
        let mut machine = Machine::new();
        assert_eq!(machine.reboot(MINUTE, 40 * DAY), None);
        assert_eq!(machine.reboot(MINUTE, 0), None);
        assert_eq!(machine.after(DAY), Some(machine.passed));
        // After a long time off, the date follows the wall clock again.
        assert_eq!(machine.reboot(10 * DAY, 0), None);
        let mut dates = (0..12).map(|_| machine.after(DAY)).collect::<Vec<_>>();
        assert!(dates.is_sorted(), "{dates:?}");
        assert_eq!(dates.pop().unwrap(), Some(machine.passed));
    }

    #[test]
    fn a_clock_that_stays_wrong_deletes_a_day_too_early_for_each_day() {
        let mut machine = Machine::new();
        machine.set(400 * DAY);
        for day in 1..30 {
            if let Some(date) = machine.after(DAY) {
                assert!(date <= machine.passed + day * DAY, "{day}: {date}");
            }
        }
        assert_eq!(machine.set(0), None);
        assert_eq!(machine.after(DAY), Some(machine.passed), "and is right once the clock is");
    }

    #[test]
    fn no_sequence_of_steps_gets_ahead_by_more_than_what_has_passed() {
        use proptest::prelude::*;
        let step = (0..3 * DAY, prop_oneof![Just(None), (-500 * DAY..500 * DAY).prop_map(Some)], any::<bool>());
        proptest!(|(steps in prop::collection::vec(step, 1..60))| {
            let (mut machine, mut most) = (Machine::new(), MINUTE);
            for (passed, wrong, reboots) in steps {
                most += 2 * passed + if reboots { 2 * MOST_OFF_MILLISECONDS } else { 0 };
                let is_step = wrong.is_some_and(|wrong| (wrong - machine.wrong).abs() > 2 * MINUTE + passed / 500);
                machine.wrong = wrong.unwrap_or(machine.wrong);
                let date = match reboots {
                    true => machine.reboot(passed, machine.wrong),
                    false => machine.after(passed),
                };
                prop_assert!(!(is_step && !reboots && date.is_some()), "a step is held");
                if let Some(date) = date {
                    prop_assert!(date <= most, "{} after {}", date, machine.passed);
                }
            }
        });
    }

    #[test]
    fn extreme_dates_are_no_panic() {
        for wall in [i64::MIN, -1, 0, i64::MAX] {
            for uptime in [i64::MIN, 0, i64::MAX] {
                let mut clock = Machine::new().clock;
                for boot in ["0", "1"] {
                    clock.advance(ClockReading { boot: boot.into(), uptime, wall });
                    let _ = clock.date();
                }
            }
        }
    }

    #[test]
    fn the_store_keeps_the_clock() {
        let store = Connection::open_in_memory().unwrap();
        store.execute_batch(crate::sinks::store::SCHEMA).unwrap();
        let read = |uptime: i64, wall: i64| {
            let reading = ClockReading { boot: "a".into(), uptime, wall };
            date(&store, reading).unwrap().map(Timestamp::as_millisecond)
        };
        assert_eq!(read(0, START), Some(START));
        assert_eq!(read(1_000, START + 1_000), Some(START + 1_000));
        assert_eq!(read(2_000, START + 40 * DAY), None);
        assert_eq!(read(2_000 + DAY, START + 41 * DAY), Some(START + 2_000 + 2 * DAY));
    }
}
