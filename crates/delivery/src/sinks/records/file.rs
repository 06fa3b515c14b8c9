//! Call record file: appends lines, rotates by size or time, and reopens a file that was moved or removed.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;

use super::csv;
use super::written::tail;
use crate::sinks::store::StoredRecord;
use crate::sinks::store::disk::{self, LineFile, named};
use trunkgate_config::{CdrFile, CdrFormat, CdrRetention};
use trunkgate_system::clock;

/// Format of the rotation time in a file name.
const STAMP: &str = "%Y%m%dT%H%M%SZ";
/// Length of the rotation time in a file name.
const STAMP_BYTES: usize = 16;

/// Call record file, with its rotation and retention.
#[derive(Debug)]
pub(super) struct RecordsFile {
    settings: CdrFile,
    /// Whether no other process writes to the file; if so, it may be repaired and rotated.
    alone: bool,
    open: Option<Open>,
    passed: Passed,
}

/// Lower bound of the current time, used to remove old files: the time of the newest file at the start, advanced by the
/// monotonic clock. A wall clock that jumps ahead or starts with a wrong date therefore makes no file old.
#[derive(Debug, Clone, Copy)]
struct Passed {
    at: Timestamp,
    since: Instant,
}

impl Passed {
    /// Starts with the modification time of the newest of a file and its rotated files; without any, with the wall
    /// clock.
    fn of(path: &Path) -> Passed {
        let written = |path: &Path| {
            let about = std::fs::metadata(path).ok().filter(|about| about.len() > 0)?;
            Timestamp::from_second(about.mtime()).ok()
        };
        // A folder that cannot be listed is reported later, when old files are to be removed.
        let aside = aside(path).unwrap_or_default();
        let last = aside.iter().filter_map(|(.., path)| written(path)).chain(written(path)).max();
        Passed { at: last.unwrap_or_else(clock::now), since: Instant::now() }
    }

    /// Returns the modification time of the newest file plus the time since; the current time, unless the clock has
    /// jumped.
    fn now(self) -> Timestamp {
        self.at.saturating_add(self.since.elapsed()).unwrap_or(self.at)
    }
}

/// Record file that is open for writing.
#[derive(Debug)]
struct Open {
    lines: LineFile,
    /// Device and inode number, to notice that the path leads to another file.
    identity: (u64, u64),
    /// Rotation period in which the last record was written.
    period: i64,
}

impl RecordsFile {
    /// Returns the directory of the record file.
    pub(super) fn directory(&self) -> &Path {
        self.settings.path.parent().unwrap_or(Path::new(""))
    }

    /// Opens the record file for appending.
    ///
    /// # Errors
    /// Returns the system's error, or an error if the file has other contents.
    pub(super) fn open(settings: CdrFile, alone: bool) -> io::Result<RecordsFile> {
        // The time is taken before the file is created or repaired, which would change it.
        let passed = Passed::of(&settings.path);
        let mut file = RecordsFile { settings: settings.clone(), alone, open: None, passed };
        file.change(settings)?;
        Ok(file)
    }

    /// Reopens the file with new settings; if that fails, the old ones remain in force.
    ///
    /// # Errors
    /// Returns the same errors as [`RecordsFile::open`].
    pub(super) fn change(&mut self, settings: CdrFile) -> io::Result<()> {
        let old = std::mem::replace(&mut self.settings, settings);
        if old.path != self.settings.path {
            let other = Passed::of(&self.settings.path);
            self.passed = if other.now() < self.passed.now() { other } else { self.passed };
        }
        let opened = self.reopen().and_then(|()| self.forget_old(clock::now()));
        if opened.is_err() {
            // The file with the old settings is opened for the next record.
            (self.settings, self.open) = (old, None);
        }
        opened
    }

    /// Returns the path of the file.
    pub(super) fn path(&self) -> &Path {
        &self.settings.path
    }

    /// Appends a record. After an error the file contains no part of it.
    pub(super) fn write(&mut self, record: &StoredRecord, now: Timestamp) -> io::Result<()> {
        let line = match self.settings.format {
            CdrFormat::Jsonl => [&record.json, b"\n".as_slice()].concat(),
            CdrFormat::Csv => csv::row(&record.value()),
        };
        let written = self.add(&line, now);
        if written.is_err() {
            // The disk may have been mounted again, so the path is opened for the next record.
            self.open = None;
        }
        written
    }

    fn add(&mut self, line: &[u8], now: Timestamp) -> io::Result<()> {
        let about = std::fs::metadata(&self.settings.path).ok();
        let there = about.as_ref().map(|about| (about.dev(), about.ino()));
        if self.open.as_ref().map(|open| open.identity) != there || there.is_none() {
            self.reopen()?;
        } else if let (Some(open), Some(about)) = (&mut self.open, about) {
            open.lines.set_bytes(about.len());
        }
        if self.is_due(line.len() as u64, now) {
            self.rotate(now)?;
            self.reopen()?;
            self.forget_old(now)?;
        }
        let period = self.period(now);
        let open = self.open.as_mut().ok_or_else(|| io::Error::other("not open"))?;
        if open.lines.bytes() == 0 && self.settings.format == CdrFormat::Csv {
            open.lines.append(&csv::head())?;
        }
        open.lines.append(line)?;
        open.period = period;
        Ok(())
    }

    /// Opens the path and makes the file end with a complete line. A file in another format or with other columns is
    /// rotated first.
    fn reopen(&mut self) -> io::Result<()> {
        self.open = None;
        let path = &self.settings.path;
        for _ in 0..2 {
            let mut lines = LineFile::open(path)?;
            if self.alone {
                mend(&mut lines).map_err(|error| named(path, &error))?;
            }
            let about = lines.file().metadata()?;
            let mut first = lines.file();
            if fits(&mut first, self.settings.format).map_err(|error| named(path, &error))? {
                let period = self.period(Timestamp::from_second(about.mtime()).unwrap_or_default());
                self.open = Some(Open { lines, identity: (about.dev(), about.ino()), period });
                return Ok(());
            }
            self.rotate(clock::now())?;
        }
        Err(named(path, &io::Error::new(io::ErrorKind::ResourceBusy, "another program is writing to it")))
    }

    /// Returns the number of the rotation period that contains a time.
    fn period(&self, now: Timestamp) -> i64 {
        let every = self.settings.rotate_every.map_or(0, |every| every.as_secs());
        i64::try_from(every).ok().filter(|every| *every > 0).map_or(0, |every| now.as_second().div_euclid(every))
    }

    fn is_due(&self, more: u64, now: Timestamp) -> bool {
        let Some(open) = &self.open else { return false };
        let head = if self.settings.format == CdrFormat::Csv { csv::head().len() as u64 } else { 0 };
        let full = self.settings.rotate_bytes.is_some_and(|most| open.lines.bytes() + more > most);
        self.alone && open.lines.bytes() > head && (full || self.period(now) > open.period)
    }

    /// Renames the file to a name with the time; does not overwrite another file.
    fn rotate(&self, now: Timestamp) -> io::Result<()> {
        let path = &self.settings.path;
        let stamp = now.strftime(STAMP);
        let aside = (1..u32::MAX).map(|number| match number {
            1 => beside(path, &format!("-{stamp}")),
            _ => beside(path, &format!("-{stamp}-{number}")),
        });
        let free = aside.into_iter().find(|aside| !aside.exists());
        disk::rename(path, &free.ok_or_else(|| io::Error::other("no free name"))?)
    }

    /// Removes rotated files that are old by the wall clock and by the lower bound of the time.
    fn forget_old(&self, now: Timestamp) -> io::Result<()> {
        if self.settings.keep == CdrRetention::All || !self.alone {
            return Ok(());
        }
        let now = now.min(self.passed.now());
        let aside = aside(&self.settings.path)?;
        let old = match self.settings.keep {
            CdrRetention::All => 0,
            CdrRetention::Files(most) => aside.len().saturating_sub(most),
            CdrRetention::For(time) => aside.iter().take_while(|(at, ..)| older(*at, time, now)).count(),
        };
        aside.iter().take(old).try_for_each(|(.., path)| disk::remove(path))
    }
}

/// Returns the rotated files with their time and their number within that second, oldest first.
fn aside(path: &Path) -> io::Result<Vec<(Timestamp, u32, PathBuf)>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (stem, ending) = (path.file_stem().unwrap_or_default(), path.extension().unwrap_or_default());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| named(folder, &error))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        // A record file is a regular file.
        if !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let own = path.extension().unwrap_or_default() == ending;
        let rest = path.file_stem().and_then(|name| name.to_str()?.strip_prefix(stem.to_str()?)?.strip_prefix('-'));
        let Some((stamp, number)) = rest.filter(|_| own).and_then(|rest| rest.split_at_checked(STAMP_BYTES)) else {
            continue;
        };
        let number = if number.is_empty() { Some(1) } else { number.strip_prefix('-').and_then(|n| n.parse().ok()) };
        let at = jiff::civil::DateTime::strptime(STAMP, stamp).ok();
        let at = at.and_then(|at| at.to_zoned(jiff::tz::TimeZone::UTC).ok());
        if let (Some(at), Some(number)) = (at, number) {
            found.push((at.timestamp(), number, path));
        }
    }
    found.sort();
    Ok(found)
}

fn older(at: Timestamp, time: Duration, now: Timestamp) -> bool {
    u64::try_from(now.duration_since(at).as_secs()).is_ok_and(|age| age > time.as_secs())
}

/// Returns the path with a suffix before its extension: `cdr.jsonl` and `-x` give `cdr-x.jsonl`.
fn beside(path: &Path, more: &str) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(more);
    if let Some(ending) = path.extension() {
        name.push(".");
        name.push(ending);
    }
    path.with_file_name(name)
}

/// Returns whether records in this format may be appended to a file. A CSV file of an earlier version has fewer
/// columns, so they may not.
fn fits(file: &mut &std::fs::File, format: CdrFormat) -> io::Result<bool> {
    use std::io::{Read as _, Seek as _};
    file.rewind()?;
    let head = csv::head();
    let mut start = Vec::new();
    file.take(head.len() as u64).read_to_end(&mut start)?;
    match start.as_slice() {
        b"" => Ok(true),
        [b'{', ..] => Ok(format == CdrFormat::Jsonl),
        // The header line may be incomplete, because another process is writing it.
        start if start.starts_with(b"sid,") => Ok(format == CdrFormat::Csv && head.starts_with(start)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "it contains data other than call records")),
    }
}

/// Makes a file end with a complete line after a crash while one was written. The journal contains that call, unless
/// only the line end is missing.
fn mend(lines: &mut LineFile) -> io::Result<()> {
    let (start, text) = tail(&mut lines.file().try_clone()?)?;
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let Some(rest) = text.get(whole..).filter(|rest| !rest.is_empty()) else { return Ok(()) };
    if serde_json::from_slice::<Value>(rest).is_ok_and(|record| record.is_object()) {
        return lines.append(b"\n");
    }
    // A file without any line end, or with a last line longer than any record, may not be ours and is not truncated.
    let ours = rest.starts_with(b"{") || rest.starts_with(b"CA") || csv::head().starts_with(rest);
    if ours && (whole > 0 || start == 0) { lines.truncate(start + whole as u64) } else { lines.append(b"\n") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::records::tests::record;

    fn settings(path: &Path, format: CdrFormat) -> CdrFile {
        CdrFile { path: path.to_owned(), format, rotate_bytes: None, rotate_every: None, keep: CdrRetention::All }
    }

    fn now(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// Returns each file of a folder with the SIDs in its lines.
    fn all(folder: &Path) -> Vec<(String, Vec<String>)> {
        let mut found: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                let text = std::fs::read_to_string(&path).unwrap();
                let sid = |line: &str| {
                    let json: Option<Value> = serde_json::from_str(line).ok();
                    json.map_or_else(|| line[..3].to_owned(), |json| json["sid"].as_str().unwrap().to_owned())
                };
                (path.file_name().unwrap().to_str().unwrap().to_owned(), text.lines().map(sid).collect())
            })
            .collect();
        found.sort();
        found
    }

    fn named(name: &str, sids: &[&str]) -> (String, Vec<String>) {
        (name.to_owned(), sids.iter().map(|sid| (*sid).to_owned()).collect())
    }

    #[test]
    fn a_file_that_was_moved_or_removed_is_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cdr.jsonl");
        let mut file = RecordsFile::open(settings(&path, CdrFormat::Jsonl), true).unwrap();
        let at = now("2026-01-01T00:00:00Z");
        file.write(&record("CA1"), at).unwrap();
        std::fs::rename(&path, directory.path().join("cdr.jsonl.1")).unwrap();
        file.write(&record("CA2"), at).unwrap();
        std::fs::remove_file(&path).unwrap();
        file.write(&record("CA3"), at).unwrap();
        // Some log rotations truncate the file in place (`copytruncate`).
        std::fs::File::create(&path).unwrap();
        file.write(&record("CA4"), at).unwrap();
        assert_eq!(all(directory.path()), [named("cdr.jsonl", &["CA4"]), named("cdr.jsonl.1", &["CA1"])]);
    }

    #[test]
    fn a_full_file_is_put_aside_under_its_time_and_the_oldest_go() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cdr.jsonl");
        let size = record("CA1").json.len() as u64 + 1;
        let full =
            CdrFile { rotate_bytes: Some(2 * size), keep: CdrRetention::Files(2), ..settings(&path, CdrFormat::Jsonl) };
        let mut file = RecordsFile::open(full, true).unwrap();
        let at = now("2026-03-04T05:06:07.999Z");
        for sid in ["CA1", "CA2", "CA3", "CA4", "CA5", "CA6", "CA7"] {
            file.write(&record(sid), at).unwrap();
        }
        let expected = [
            named("cdr-20260304T050607Z-2.jsonl", &["CA3", "CA4"]),
            named("cdr-20260304T050607Z-3.jsonl", &["CA5", "CA6"]),
            named("cdr.jsonl", &["CA7"]),
        ];
        assert_eq!(all(directory.path()), expected);
        std::fs::write(directory.path().join("cdr-notes.jsonl"), "").unwrap();
        std::fs::create_dir(directory.path().join("cdr-20160101T000000Z.jsonl")).unwrap();
        assert_eq!(aside(&path).unwrap().len(), 2, "what others have put there is theirs");
    }

    #[test]
    fn a_day_has_a_file_also_over_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cdr.csv");
        let daily = CdrFile {
            rotate_every: Some(Duration::from_secs(86_400)),
            keep: CdrRetention::For(Duration::from_secs(2 * 86_400)),
            ..settings(&path, CdrFormat::Csv)
        };
        let mut file = RecordsFile::open(daily.clone(), true).unwrap();
        file.write(&record("CA1"), now("2099-01-01T23:59:59Z")).unwrap();
        file.write(&record("CA2"), now("2099-01-02T00:00:00Z")).unwrap();
        file.write(&record("CA3"), now("2099-01-02T23:00:00Z")).unwrap();
        let two = [named("cdr-20990102T000000Z.csv", &["sid", "CA1"]), named("cdr.csv", &["sid", "CA2", "CA3"])];
        assert_eq!(all(directory.path()), two);
        drop(file);
        // The file was last written today, which is long ago for the clock of 2099.
        let mut file = RecordsFile::open(daily, true).unwrap();
        file.passed.at = now("2099-01-04T00:00:01Z");
        file.write(&record("CA4"), now("2099-01-04T00:00:01Z")).unwrap();
        let old_gone = [named("cdr-20990104T000001Z.csv", &["sid", "CA2", "CA3"]), named("cdr.csv", &["sid", "CA4"])];
        assert_eq!(all(directory.path()), old_gone);
    }

    #[test]
    fn a_step_of_the_clock_removes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cdr.jsonl");
        let daily = CdrFile {
            rotate_every: Some(Duration::from_secs(86_400)),
            keep: CdrRetention::For(Duration::from_secs(30 * 86_400)),
            ..settings(&path, CdrFormat::Jsonl)
        };
        let today = Timestamp::now();
        let on = |days: i64| today + jiff::SignedDuration::from_hours(24 * days);
        let aside = |days: i64| {
            let aside = beside(&path, &format!("-{}", on(days).strftime(STAMP)));
            std::fs::write(&aside, "CA0\n").unwrap();
            let file = std::fs::File::options().write(true).open(&aside).unwrap();
            file.set_modified(std::time::SystemTime::from(on(days))).unwrap();
        };
        let names = || all(directory.path()).len();
        for days in [-60, -31, -29, -2, -1] {
            aside(days);
        }
        std::fs::write(&path, [&record("CA0").json, b"\n".as_slice()].concat()).unwrap();
        // Old files are removed at the start and at each rotation.
        let mut file = RecordsFile::open(daily.clone(), true).unwrap();
        assert_eq!(names(), 3 + 1);
        file.write(&record("CA1"), on(0)).unwrap();
        // The clock jumps ahead by twelve years, as without a battery, and back again.
        for days in [12 * 365, 12 * 365 + 1, 0] {
            file.write(&record("CA2"), on(days)).unwrap();
        }
        assert_eq!(names(), 3 + 1 + 2, "{:?}", all(directory.path()));
        // Neither a reload nor a start with the wrong clock makes a file old.
        file.write(&record("CA3"), on(12 * 365 + 2)).unwrap();
        file.change(daily).unwrap();
        assert_eq!(names(), 3 + 1 + 3, "{:?}", all(directory.path()));
        drop(file);
        let file = RecordsFile::open(settings(&path, CdrFormat::Jsonl), true).unwrap();
        let passed = file.passed.now().duration_since(today).as_secs();
        assert!((-1..600).contains(&passed), "{passed} s after the last record");
    }

    #[test]
    fn another_format_is_put_aside_and_what_is_no_record_is_not_touched() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cdr");
        let mut file = RecordsFile::open(settings(&path, CdrFormat::Jsonl), true).unwrap();
        file.write(&record("CA1"), Timestamp::now()).unwrap();
        drop(file);
        let mut file = RecordsFile::open(settings(&path, CdrFormat::Csv), true).unwrap();
        file.write(&record("CA2"), Timestamp::now()).unwrap();
        let sids: Vec<_> = all(directory.path()).into_iter().map(|(_, sids)| sids).collect();
        assert_eq!(sids, [vec!["sid".to_owned(), "CA2".to_owned()], vec!["CA1".to_owned()]]);
        std::fs::write(&path, "root:x:0:0\n").unwrap();
        let error = RecordsFile::open(settings(&path, CdrFormat::Csv), true).unwrap_err();
        assert!(error.to_string().ends_with("it contains data other than call records"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "root:x:0:0\n");
        let error =
            RecordsFile::open(settings(Path::new("/nonexistent/cdr.jsonl"), CdrFormat::Jsonl), true).unwrap_err();
        assert!(error.to_string().starts_with("/nonexistent/cdr.jsonl: "), "{error}");
    }

    #[test]
    fn columns_of_an_earlier_version_are_put_aside() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cdr.csv");
        let earlier = String::from_utf8(csv::head()).unwrap().replace(",flags", "") + "CA1,x\r\n";
        std::fs::write(&path, &earlier).unwrap();
        let mut file = RecordsFile::open(settings(&path, CdrFormat::Csv), true).unwrap();
        file.write(&record("CA2"), Timestamp::now()).unwrap();
        let (_, _, aside) = aside(&path).unwrap().remove(0);
        assert_eq!(std::fs::read_to_string(aside).unwrap(), earlier);
        let now = std::fs::read(&path).unwrap();
        assert!(now.starts_with(&[csv::head().as_slice(), b"CA2,"].concat()), "{}", String::from_utf8_lossy(&now));
        // The edge appends to its own files.
        drop(file);
        let mut file = RecordsFile::open(settings(&path, CdrFormat::Csv), true).unwrap();
        file.write(&record("CA3"), Timestamp::now()).unwrap();
        assert_eq!(super::aside(&path).unwrap().len(), 1);
    }

    #[test]
    fn a_line_that_a_crash_tore_is_cut_off_and_one_without_its_end_gets_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cdr.jsonl");
        let whole = String::from_utf8(record("CA1").json.to_vec()).unwrap();
        for (text, left) in [
            (format!("{whole}\n{}", &whole[..20]), format!("{whole}\n")),
            (whole.clone(), format!("{whole}\n")),
            (whole[..30].to_owned(), String::new()),
            (String::new(), String::new()),
        ] {
            std::fs::write(&path, text).unwrap();
            RecordsFile::open(settings(&path, CdrFormat::Jsonl), true).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), left);
        }
        let head = String::from_utf8(csv::head()).unwrap();
        for (text, left) in [("sid,star".to_owned(), ""), (format!("{head}CA1,\"a"), &head)] {
            std::fs::write(&path, text).unwrap();
            RecordsFile::open(settings(&path, CdrFormat::Csv), true).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), left);
        }
    }
}
