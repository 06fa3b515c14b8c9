//! Daily call counts for limits. They outlive a restart; changes are stored in batches.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use rusqlite::Connection;
use trunkgate_call::DayCount;

use super::Figures;
use crate::sinks::store::{Commit, Store};
use trunkgate_system::clock;
use trunkgate_system::limits::RECORDS_PAUSE_MILLISECONDS;
use trunkgate_system::problem::Failure;

/// Pause after the store has refused a change.
const PAUSE: Duration = Duration::from_millis(RECORDS_PAUSE_MILLISECONDS);

/// Trunk, limit and day that a count belongs to.
type Key = (Arc<str>, String, Date);
type Counts = BTreeMap<Key, u32>;

/// Daily call counts, with the changes not stored yet.
pub(super) struct DayCounts {
    store: Store,
    /// Counts that have changed since the last write to the store.
    changed: Counts,
    /// Changed counts that are being stored, with the pending result.
    under_way: Option<(Counts, Stored)>,
    /// Time at which the store last refused a change.
    refused: Option<Instant>,
    figures: Arc<Figures>,
}

type Stored = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

impl DayCounts {
    pub(super) fn new(store: Store, figures: Arc<Figures>) -> DayCounts {
        DayCounts { store, changed: Counts::new(), under_way: None, refused: None, figures }
    }

    /// Reads the stored counts, and removes those of past days. Failures are logged.
    pub(super) fn read(&self) -> Vec<DayCount> {
        // Reading would create the store, which no limit may need.
        if !self.store.has_any() {
            return Vec::new();
        }
        let today = clock::now().to_zoned(TimeZone::UTC).date();
        let days = [today.yesterday().unwrap_or(today), today, today.tomorrow().unwrap_or(today)];
        // On a full disk the counts of past days remain.
        if let Err(error) = self.store.run_now(move |store| forget_old(store, &days)) {
            tracing::debug!("day counts of past days were not deleted: {error}");
        }
        let read = self.store.read_now(move |store| read(store, &days));
        read.unwrap_or_else(|error| {
            self.tell(Err(error));
            Vec::new()
        })
    }

    /// Records a changed count.
    pub(super) fn note(&mut self, one: DayCount) {
        self.changed.insert((one.trunk, one.limit, one.day), one.count);
        self.begin();
    }

    /// Returns whether any change is not stored yet.
    pub(super) fn is_behind(&self) -> bool {
        !self.changed.is_empty() || self.under_way.is_some()
    }

    /// Ends the pause after a refusal.
    pub(super) fn hurry(&mut self) {
        self.refused = None;
        self.begin();
    }

    /// Starts to store the changes, unless the store is pausing or already storing some.
    pub(super) fn begin(&mut self) {
        let rests = self.refused.is_some_and(|since| since.elapsed() < PAUSE);
        if rests || self.under_way.is_some() || self.changed.is_empty() {
            return;
        }
        let counts = std::mem::take(&mut self.changed);
        let taken = counts.clone();
        let stored = self.store.run(Commit::Soon, move |store| write(store, &taken));
        self.under_way = Some((counts, Box::pin(stored)));
    }

    /// Waits for the changes being stored, then stores the later ones. Never completes if no changes are being stored.
    pub(super) async fn settle(&mut self) {
        let Some((_, stored)) = &mut self.under_way else { return std::future::pending().await };
        let done = stored.await;
        let sent = self.under_way.take().map(|(counts, _)| counts).unwrap_or_default();
        self.refused = done.is_err().then(Instant::now);
        if done.is_err() {
            for (key, count) in sent {
                self.changed.entry(key).or_insert(count);
            }
        }
        self.tell(done);
        self.begin();
    }

    /// Logs the result of a write if it differs from the last one.
    fn tell(&self, written: io::Result<()>) {
        match written {
            Ok(()) if self.figures.days.took() => tracing::info!("counts of `calls_per_day` are stored again"),
            Ok(()) => {}
            Err(error) => {
                if self.figures.days.failed(Failure::of(&error, self.store.directory())) {
                    tracing::error!(
                        "counts of `calls_per_day` cannot be read or stored: {error}; a restart continues with the counts stored last, or with 0 if they cannot be read. Calls are not affected"
                    );
                }
            }
        }
    }
}

fn write(store: &Connection, counts: &Counts) -> rusqlite::Result<()> {
    // The stored count may be unknown to this process, so the greater of the two applies.
    let mut insert = store.prepare(
        "INSERT INTO day_count (trunk, scope, day, count) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (trunk, scope, day) DO UPDATE SET count = max(count, excluded.count)",
    )?;
    for ((trunk, limit, day), count) in counts {
        insert.execute((&**trunk, limit, day.to_string(), count))?;
    }
    Ok(())
}

/// Condition for the days to keep: yesterday, today and tomorrow in UTC, one of which is today in any time zone; and
/// the last day, because the clock may be wrong.
const STILL_COUNTS: &str = "(day IN (?1, ?2, ?3) OR day = (SELECT max(day) FROM day_count))";

fn read(store: &Connection, days: &[Date; 3]) -> rusqlite::Result<Vec<DayCount>> {
    let counts = format!("SELECT trunk, scope, day, count FROM day_count WHERE {STILL_COUNTS}");
    let mut rows = store.prepare(&counts)?;
    let rows = rows.query_map(days.map(|day| day.to_string()), |row| {
        let (trunk, limit, day, count): (String, String, String, u32) =
            (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        Ok(day.parse().ok().map(|day| DayCount { trunk: trunk.into(), limit, day, count }))
    })?;
    rows.filter_map(Result::transpose).collect()
}

fn forget_old(store: &Connection, days: &[Date; 3]) -> rusqlite::Result<()> {
    let old = format!("DELETE FROM day_count WHERE NOT {STILL_COUNTS}");
    store.execute(&old, days.map(|day| day.to_string())).map(drop)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::sinks::records::tests::store;
    use trunkgate_testing::until::until;

    fn count(limit: &str, day: Date, count: u32) -> DayCount {
        DayCount { trunk: "far".into(), limit: limit.to_owned(), day, count }
    }

    fn open(folder: &std::path::Path) -> DayCounts {
        DayCounts::new(store(folder), Arc::default())
    }

    fn settle(days: &mut DayCounts) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            while days.under_way.is_some() {
                days.settle().await;
            }
        });
    }

    #[test]
    fn the_last_count_holds_and_old_days_are_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        let mut days = open(directory.path());
        assert!(days.read().is_empty());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "made with the first count");
        let long_ago = "2020-02-02".parse().unwrap();
        for one in [count("all calls", today, 1), count("to +44*", long_ago, 8), count("all calls", today, 2)] {
            days.note(one);
        }
        settle(&mut days);
        assert!(!days.is_behind() && days.figures.problems().is_empty());
        drop(days);
        let mut days = open(directory.path());
        days.read();
        // Another process has stored a greater count.
        days.note(count("all calls", today, 1));
        settle(&mut days);
        drop(days);
        assert_eq!(open(directory.path()).read(), [count("all calls", today, 2)]);
    }

    #[test]
    fn the_last_day_outlives_a_start_with_a_wrong_clock() {
        let directory = tempfile::tempdir().unwrap();
        let day = |text: &str| text.parse().unwrap();
        let mut days = open(directory.path());
        days.note(count("all calls", day("2021-03-04"), 7));
        days.note(count("all calls", day("2021-03-05"), 9));
        settle(&mut days);
        drop(days);
        assert_eq!(open(directory.path()).read(), [count("all calls", day("2021-03-05"), 9)]);
    }

    #[test]
    fn what_the_store_does_not_take_is_told_until_it_does() {
        let directory = tempfile::tempdir().unwrap();
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        let mut first = open(directory.path());
        first.note(count("all calls", today, 1));
        settle(&mut first);
        let mut second = open(directory.path());
        assert!(second.read().is_empty());
        assert!(
            second.figures.problems()[0].to_string().contains("another process uses it"),
            "{:?}",
            second.figures.problems()
        );
        second.note(count("all calls", today, 2));
        settle(&mut second);
        drop(first);
        until("the store takes it", || {
            second.note(count("all calls", today, 3));
            second.hurry();
            settle(&mut second);
            second.figures.problems().is_empty().then_some(())
        });
        drop(second);
        assert_eq!(open(directory.path()).read(), [count("all calls", today, 3)]);
    }
}
