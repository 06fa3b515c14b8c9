//! How many calls have counted with the limits by the day, over restarts: one line each time, of which the last holds. The file
//! is written anew at the start and when many lines have gathered.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use trunkgate_call::DayCount;

use super::Figures;
use super::disk::{self, Lines, is_there, locked, named};
use crate::limits::DAY_COUNT_SPARE_LINES;

/// How long nothing is tried after the file could not be written.
const PAUSE: Duration = Duration::from_secs(1);
/// How a file of ours begins.
const START: &[u8] = b"{\"trunk\":";

/// A line.
#[derive(Debug, Serialize, Deserialize)]
struct Line<'a> {
    trunk: Cow<'a, str>,
    limit: Cow<'a, str>,
    day: Cow<'a, str>,
    count: u32,
}

/// Trunk, limit, day.
type Key = (Arc<str>, String, Date);

/// The counts and their file, which is made with the first of them; another process with the same file is kept out by a lock.
#[derive(Debug, Default)]
pub(super) struct DayCounts {
    /// `None`: nothing is kept.
    path: Option<PathBuf>,
    /// The file, once it has been read.
    lines: Option<Lines>,
    /// Lines in it.
    count: usize,
    known: BTreeMap<Key, u32>,
    /// The file lacks what is in memory: since then, it could not be read or written.
    behind: Option<Instant>,
    figures: Arc<Figures>,
}

impl DayCounts {
    /// Reads what is there. What is wrong is told, and tried again with the next count.
    pub(super) fn open(path: Option<PathBuf>, figures: Arc<Figures>) -> DayCounts {
        let mut days = DayCounts { path, figures, ..DayCounts::default() };
        // None is made where no limit needs it.
        if days.path.as_deref().is_some_and(|path| std::fs::symlink_metadata(path).is_ok()) {
            let written = days.rewrite();
            days.tell(written);
        }
        days
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<DayCount> {
        let count = |((trunk, limit, day), count): (&Key, &u32)| DayCount {
            trunk: trunk.clone(),
            limit: limit.clone(),
            day: *day,
            count: *count,
        };
        self.known.iter().map(count).collect()
    }

    /// Keeps one.
    pub(super) fn note(&mut self, one: DayCount) {
        let Some(path) = &self.path else { return };
        let key = (one.trunk, one.limit, one.day);
        let line = line(&key, one.count);
        self.known.insert(key, one.count);
        if self.behind.is_some_and(|since| since.elapsed() < PAUSE) {
            return;
        }
        let is_long = self.count > 2 * self.known.len() + DAY_COUNT_SPARE_LINES;
        let written = match &mut self.lines {
            Some(lines) if self.behind.is_none() && !is_long && is_there(path, lines) => {
                self.count += 1;
                line.and_then(|line| lines.append(&line))
            }
            _ => self.rewrite(),
        };
        self.tell(written);
    }

    /// Goes on in another file. What cannot be taken there stays where it is.
    pub(super) fn change(&mut self, path: Option<&Path>) {
        if self.path.as_deref() == path {
            return;
        }
        let mut other =
            DayCounts { path: path.map(Path::to_owned), figures: Arc::clone(&self.figures), ..DayCounts::default() };
        if self.lines.is_some() || !self.known.is_empty() {
            other.known = self.known.clone();
            if let Err(error) = other.rewrite() {
                tracing::warn!("where day counts of limits are kept is not changed: {error}");
                return;
            }
        }
        let old = std::mem::replace(self, other);
        self.figures.days.took();
        if let (Some(path), true) = (&old.path, old.lines.is_some())
            && let Err(error) = disk::remove(path)
        {
            tracing::debug!("old day counts stay: {error}");
        }
    }

    /// Reads the file where that has not been done: of what is in memory, too, the greater holds.
    fn read(&mut self, path: &Path) -> io::Result<()> {
        if self.lines.is_some() {
            return Ok(());
        }
        let lines = locked(path)?;
        let mut text = Vec::new();
        lines.file().read_to_end(&mut text).map_err(|error| named(path, &error))?;
        if !text.starts_with(START) && !START.starts_with(&text) {
            return Err(named(path, &io::Error::other("it contains other data than day counts")));
        }
        for (key, count) in parse(&text) {
            let known = self.known.entry(key).or_default();
            *known = count.max(*known);
        }
        self.lines = Some(lines);
        Ok(())
    }

    /// Only what may still count stays.
    fn rewrite(&mut self) -> io::Result<()> {
        let Some(path) = self.path.clone() else { return Ok(()) };
        self.read(&path)?;
        // It is never another day than yesterday, today or tomorrow of UTC, in whatever zone; or the last one, where the clock
        // is wrong.
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        let days = [today.yesterday().unwrap_or(today), today, today.tomorrow().unwrap_or(today)];
        let last = self.known.keys().map(|(_, _, day)| *day).max();
        self.known.retain(|(_, _, day), _| days.contains(day) || Some(*day) == last);
        let mut text = Vec::new();
        for (key, count) in &self.known {
            text.extend(line(key, *count)?);
        }
        self.lines = Some(disk::rewritten(&path, &text)?);
        self.count = self.known.len();
        Ok(())
    }

    /// Tells how it went, where that is new.
    fn tell(&mut self, written: io::Result<()>) {
        let Err(error) = written else {
            self.behind = None;
            if self.figures.days.took() {
                tracing::info!("day counts of limits are stored again");
            }
            return;
        };
        self.behind = Some(Instant::now());
        if self.figures.days.failed(&error.to_string()) {
            tracing::error!(
                "day counts of limits cannot be stored: {error}; after a restart they start at 0. Calls are not affected"
            );
        }
    }
}

fn line((trunk, limit, day): &Key, count: u32) -> io::Result<Vec<u8>> {
    let line = Line { trunk: (&**trunk).into(), limit: limit.into(), day: day.to_string().into(), count };
    let mut line = serde_json::to_vec(&line)?;
    line.push(b'\n');
    Ok(line)
}

/// The last count of each. A torn line is nobody's.
fn parse(text: &[u8]) -> BTreeMap<Key, u32> {
    let key = |line: &[u8]| {
        let line: Line<'_> = serde_json::from_slice(line).ok()?;
        Some(((line.trunk.into(), line.limit.into_owned(), line.day.parse().ok()?), line.count))
    };
    text.split(|byte| *byte == b'\n').filter_map(key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::records::disk::tests::set_room;

    fn count(limit: &str, day: Date, count: u32) -> DayCount {
        DayCount { trunk: "far".into(), limit: limit.to_owned(), day, count }
    }

    fn today() -> Date {
        Timestamp::now().to_zoned(TimeZone::UTC).date()
    }

    fn open(path: &Path) -> DayCounts {
        DayCounts::open(Some(path.to_owned()), Arc::default())
    }

    fn counts(path: &Path) -> Vec<u32> {
        open(path).all().iter().map(|one| one.count).collect()
    }

    #[test]
    fn the_last_line_holds_and_a_torn_one_and_old_days_are_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("calls_per_day.jsonl");
        let mut days = open(&path);
        assert!(days.all().is_empty() && !path.exists(), "made with the first count");
        let long_ago = "2020-02-02".parse().unwrap();
        for one in [count("all calls", today(), 1), count("to +44*", long_ago, 8), count("all calls", today(), 2)] {
            days.note(one);
        }
        days.lines.as_mut().unwrap().append(b"{\"trunk\":\"far\",\"limit\":\"all calls\",\"da").unwrap();
        assert!(days.figures.problems().is_empty());
        drop(days);
        assert_eq!(open(&path).all(), [count("all calls", today(), 2)]);
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1);
    }

    #[test]
    fn the_last_day_outlives_a_start_with_a_wrong_clock() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("days");
        let day = |text: &str| text.parse().unwrap();
        let mut days = open(&path);
        days.note(count("all calls", day("2021-03-04"), 7));
        days.note(count("all calls", day("2021-03-05"), 9));
        drop(days);
        assert_eq!(counts(&path), [9]);
    }

    #[test]
    fn it_does_not_grow_with_calls_and_comes_back_where_it_is_taken_away() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("days");
        let mut days = open(&path);
        for n in 1..=u32::try_from(2 * DAY_COUNT_SPARE_LINES).unwrap() {
            days.note(count("all calls", today(), n));
        }
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= DAY_COUNT_SPARE_LINES + 8, "{lines}");
        std::fs::remove_file(&path).unwrap();
        days.note(count("all calls", today(), 7));
        let other = directory.path().join("other");
        days.change(Some(&other));
        assert!(!path.exists());
        days.note(count("to +44*", today(), 9));
        drop(days);
        assert_eq!(counts(&other), [7, 9]);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_told_until_it_can_and_one_of_others_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("days");
        let mut days = open(&path);
        set_room(Some(0));
        days.note(count("all calls", today(), 1));
        set_room(None);
        assert_eq!(days.figures.problems().len(), 1, "{:?}", days.figures.problems());
        days.behind = days.behind.and_then(|since| since.checked_sub(PAUSE));
        days.note(count("all calls", today(), 2));
        assert!(days.figures.problems().is_empty());
        let second = open(&path);
        assert!(second.figures.problems().first().unwrap().contains("days: "), "it is the first one's");
        drop((days, second));
        assert_eq!(counts(&path), [2]);
        std::fs::write(&path, "root:x:0:0\n").unwrap();
        let mut days = open(&path);
        days.note(count("all calls", today(), 3));
        assert!(days.figures.problems().first().unwrap().contains("other data"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "root:x:0:0\n");
    }
}
