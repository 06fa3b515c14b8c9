//! Records on their way to the URL, on disk until it has taken them. Segments of a few megabytes hold a record a line: a mark
//! (a space while it waits, `-` once it is done) and its JSON. A segment whose records are all done goes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Bound;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::Record;
use super::disk::{self, Lines, named};
use crate::limits::SPOOL_SEGMENT_BYTES;
use crate::system::files;

const WAITS: u8 = b' ';
const DONE: &[u8] = b"-";
/// How the name of a segment ends.
const ENDING: &str = "records";
/// Where records are put aside that the endpoint does not take.
const REFUSED: &str = "refused.jsonl";
/// Kept locked while a process has the spool.
const LOCK: &str = "lock";

/// Where a record stands: its segment, and its place there. The order of records is the order of these.
pub(super) type Place = (u64, u64);

/// The records that wait.
#[derive(Debug)]
pub(super) struct Spool {
    folder: PathBuf,
    most_bytes: u64,
    segments: BTreeMap<u64, Segment>,
    /// The segment that is written.
    current: Option<Lines>,
    waiting: BTreeMap<Place, Waiting>,
    bytes: u64,
    _lock: File,
}

#[derive(Debug)]
struct Segment {
    file: File,
    bytes: u64,
    waiting: usize,
}

/// A record that waits.
#[derive(Debug)]
struct Waiting {
    sid: String,
    bytes: usize,
    /// It is under way.
    taken: bool,
    /// Not before this time.
    rests: Option<Instant>,
    /// How often it was sent in vain.
    attempts: u32,
    /// How often of these it was answered, and how many records had been delivered before the first time.
    refusals: u32,
    delivered: u64,
}

/// Whether a record is in the spool.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It is.
    Kept,
    /// There is no room for it.
    Full,
}

/// A record to be sent.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) place: Place,
    pub(super) sid: String,
    pub(super) json: Vec<u8>,
}

/// What was copied from one spool to another.
#[derive(Debug)]
pub(super) struct Copied {
    /// What was the last in the other before.
    behind: Option<Place>,
    /// Where it stands in the one.
    from: Vec<Place>,
}

impl Spool {
    /// Opens a spool with what it holds.
    ///
    /// # Errors
    /// The system's, or that another process uses it.
    pub(super) fn open(folder: &Path, most_bytes: u64) -> io::Result<Spool> {
        // No more than the folder itself is made: where something is misspelt, that is told and nothing is left behind.
        match std::fs::DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(named(folder, &error)),
            Ok(()) | Err(_) => {}
        }
        let path = folder.join(LOCK);
        let lock = files::append(&path, files::SECRET);
        let lock = lock.map_err(|error| named(&path, &error))?;
        disk::lock(&lock).map_err(|error| named(&path, &error))?;
        let mut spool = Spool {
            folder: folder.to_owned(),
            most_bytes,
            segments: BTreeMap::new(),
            current: None,
            waiting: BTreeMap::new(),
            bytes: 0,
            _lock: lock,
        };
        for entry in std::fs::read_dir(folder).map_err(|error| named(folder, &error))? {
            let path = entry?.path();
            // As we name them, and nothing else.
            let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
            let number = number.filter(|number| *number < u64::MAX && spool.path(*number) == path);
            if let (Some(number), true) = (number, path.extension().is_some_and(|ending| ending == ENDING)) {
                spool.take_up(number, &path).map_err(|error| named(&path, &error))?;
            }
        }
        Ok(spool)
    }

    /// Reads what a segment holds; a torn last line is in the journal.
    fn take_up(&mut self, number: u64, path: &Path) -> io::Result<()> {
        let mut file = files::open_to_change(path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let (mut at, mut waiting) = (0, 0);
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let place = (number, at);
            at += line.len() as u64;
            let Some((&WAITS, json)) = line.strip_suffix(b"\n").and_then(<[u8]>::split_first) else { continue };
            let Some(sid) = sid_of(json) else { continue };
            self.waiting.insert(place, Waiting::new(sid, json.len()));
            waiting += 1;
        }
        if waiting == 0 {
            return disk::remove(path);
        }
        self.bytes += at;
        self.segments.insert(number, Segment { file, bytes: at, waiting });
        Ok(())
    }

    /// The calls whose records wait.
    pub(super) fn sids(&self) -> BTreeSet<String> {
        self.waiting.values().map(|waiting| waiting.sid.clone()).collect()
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Where it is.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// May hold so many bytes from now on.
    pub(super) fn limit(&mut self, most_bytes: u64) {
        self.most_bytes = most_bytes;
    }

    /// Takes a record in, behind all others.
    pub(super) fn push(&mut self, record: &Record) -> io::Result<Pushed> {
        if self.bytes + line_bytes(record.json.len()) > self.most_bytes {
            return Ok(Pushed::Full);
        }
        self.add(&record.sid, &record.json)?;
        Ok(Pushed::Kept)
    }

    fn add(&mut self, sid: &str, json: &[u8]) -> io::Result<()> {
        let line = [&[WAITS], json, b"\n"].concat();
        let last = self.segments.last_key_value().map(|(number, segment)| (*number, segment.bytes));
        let number = match last {
            Some((number, bytes)) if self.current.is_some() && bytes < SPOOL_SEGMENT_BYTES => number,
            Some((number, _)) => self.begin(number + 1)?,
            None => self.begin(1)?,
        };
        let (Some(lines), Some(segment)) = (&mut self.current, self.segments.get_mut(&number)) else {
            return Err(io::Error::other("the spool has no segment"));
        };
        let place = (number, lines.bytes());
        if let Err(error) = lines.append(&line) {
            // The next record goes to a segment of its own.
            self.current = None;
            if segment.waiting == 0 {
                self.forget(number);
            }
            return Err(named(&self.folder, &error));
        }
        segment.bytes += line.len() as u64;
        segment.waiting += 1;
        self.bytes += line.len() as u64;
        self.waiting.insert(place, Waiting::new(sid.to_owned(), json.len()));
        Ok(())
    }

    fn begin(&mut self, number: u64) -> io::Result<u64> {
        let path = self.path(number);
        let lines = Lines::open(&path)?;
        let file = files::open_to_change(&path).map_err(|error| named(&path, &error))?;
        self.segments.insert(number, Segment { file, bytes: 0, waiting: 0 });
        self.current = Some(lines);
        Ok(number)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:010}.{ENDING}"))
    }

    /// The first record that may be sent now; else when one may.
    pub(super) fn next(&mut self, now: Instant) -> Result<Ticket, Option<Instant>> {
        let mut soonest: Option<Instant> = None;
        for (&place, waiting) in self.waiting.iter_mut().filter(|(_, waiting)| !waiting.taken) {
            match waiting.rests.filter(|at| *at > now) {
                Some(at) => soonest = Some(soonest.map_or(at, |other| other.min(at))),
                None => {
                    waiting.taken = true;
                    if let Some(json) = read(&self.segments, place, waiting) {
                        return Ok(Ticket { place, sid: waiting.sid.clone(), json });
                    }
                }
            }
        }
        Err(soonest)
    }

    /// A record has been delivered.
    pub(super) fn done(&mut self, place: Place) {
        if self.waiting.remove(&place).is_none() {
            return;
        }
        if let Some(segment) = self.segments.get_mut(&place.0) {
            segment.waiting -= 1;
            // One that cannot be marked is sent again after a restart.
            let _ = disk::write_at(&segment.file, DONE, place.1);
            if segment.waiting == 0 {
                self.forget(place.0);
            }
        }
    }

    /// A record was not taken: it rests as long as `pause` says of so many attempts. `answered`: there was an answer, and so
    /// many records had been delivered. Gives how often it was answered so, and how many others were delivered since the
    /// first time.
    pub(super) fn put_back(
        &mut self,
        place: Place,
        answered: Option<u64>,
        pause: impl FnOnce(u32) -> Instant,
    ) -> (u32, u64) {
        let Some(waiting) = self.waiting.get_mut(&place) else { return (0, 0) };
        waiting.attempts = waiting.attempts.saturating_add(1);
        (waiting.taken, waiting.rests) = (false, Some(pause(waiting.attempts)));
        let Some(delivered) = answered else { return (waiting.refusals, 0) };
        if waiting.refusals == 0 {
            waiting.delivered = delivered;
        }
        waiting.refusals += 1;
        (waiting.refusals, delivered.saturating_sub(waiting.delivered))
    }

    /// All may be sent at once: who answers has changed.
    pub(super) fn wake_all(&mut self) {
        for waiting in self.waiting.values_mut() {
            (waiting.taken, waiting.rests) = (false, None);
            (waiting.attempts, waiting.refusals) = (0, 0);
        }
    }

    /// Puts a record aside that is never taken, for whoever looks after it.
    pub(super) fn set_aside(&mut self, ticket: &Ticket) -> io::Result<PathBuf> {
        let path = self.folder.join(REFUSED);
        let mut lines = Lines::open(&path)?;
        if lines.bytes() + ticket.json.len() as u64 > self.most_bytes {
            return Err(named(&path, &io::Error::from(io::ErrorKind::QuotaExceeded)));
        }
        lines.append(&[&*ticket.json, b"\n"].concat())?;
        self.done(ticket.place);
        Ok(path)
    }

    /// Copies what waits in another behind what waits here: all of it, or nothing. That one stays as it is.
    ///
    /// # Errors
    /// The system's, or that it does not fit.
    pub(super) fn copy(&mut self, other: &Spool) -> io::Result<Copied> {
        let more: u64 = other.waiting.values().map(|waiting| line_bytes(waiting.bytes)).sum();
        if self.bytes + more > self.most_bytes {
            let (count, from) = (other.len(), other.folder.display());
            let what = format!("no room for {count} queued records in {from}, {more} bytes: see spool_size");
            return Err(named(&self.folder, &io::Error::new(io::ErrorKind::QuotaExceeded, what)));
        }
        let mut copied = Copied { behind: self.waiting.last_key_value().map(|(place, _)| *place), from: Vec::new() };
        for (&place, waiting) in &other.waiting {
            let Some(json) = read(&other.segments, place, waiting) else { continue };
            if let Err(error) = self.add(&waiting.sid, &json) {
                self.take_back(&copied);
                return Err(error);
            }
            copied.from.push(place);
        }
        Ok(copied)
    }

    /// What was copied last is not here any more.
    pub(super) fn take_back(&mut self, copied: &Copied) {
        let behind = copied.behind.map_or(Bound::Unbounded, Bound::Excluded);
        let places: Vec<Place> = self.waiting.range((behind, Bound::Unbounded)).map(|(place, _)| *place).collect();
        places.into_iter().for_each(|place| self.done(place));
    }

    /// What was copied from here is elsewhere now.
    pub(super) fn hand_over(&mut self, copied: Copied) {
        copied.from.into_iter().for_each(|place| self.done(place));
    }

    fn forget(&mut self, number: u64) {
        let Some(segment) = self.segments.remove(&number) else { return };
        self.bytes -= segment.bytes;
        if self.segments.range((Bound::Excluded(number), Bound::Unbounded)).next().is_none() {
            self.current = None;
        }
        // One that stays is found empty at the next start.
        let _ = disk::remove(&self.path(number));
    }
}

/// How long the line of a record is.
const fn line_bytes(json: usize) -> u64 {
    json as u64 + 2
}

/// A record that waits; one that a disk does not give now it may give after a restart.
fn read(segments: &BTreeMap<u64, Segment>, place: Place, waiting: &Waiting) -> Option<Vec<u8>> {
    let mut json = vec![0; waiting.bytes];
    let read = segments.get(&place.0).map(|segment| segment.file.read_exact_at(&mut json, place.1 + 1));
    if matches!(read, Some(Ok(()))) {
        return Some(json);
    }
    tracing::error!(call = %waiting.sid, reason = "cdr_failed", "a record cannot be read from the spool");
    None
}

impl Waiting {
    fn new(sid: String, bytes: usize) -> Waiting {
        Waiting { sid, bytes, taken: false, rests: None, attempts: 0, refusals: 0, delivered: 0 }
    }
}

fn sid_of(json: &[u8]) -> Option<String> {
    serde_json::from_slice::<serde_json::Value>(json).ok()?.get("sid")?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sinks::records::disk::tests::{crash_at, set_room};
    use crate::sinks::records::tests::record;

    const LARGE: u64 = 1 << 30;

    fn sids(spool: &mut Spool) -> Vec<String> {
        let now = Instant::now();
        std::iter::from_fn(|| spool.next(now).ok().map(|ticket| ticket.sid)).collect()
    }

    #[test]
    fn what_was_not_delivered_is_there_after_a_crash_in_its_order() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("spool");
        let mut spool = Spool::open(&folder, LARGE).unwrap();
        for n in 0..10 {
            assert_eq!(spool.push(&record(&format!("CA{n}"))).unwrap(), Pushed::Kept);
        }
        assert!(Spool::open(&folder, LARGE).unwrap_err().to_string().contains("lock: "), "it has one owner");
        let now = Instant::now();
        let first = spool.next(now).unwrap();
        assert_eq!((first.sid.as_str(), &*first.json), ("CA0", &*record("CA0").json));
        let second = spool.next(now).unwrap();
        spool.done(second.place);
        drop(spool);
        let mut spool = Spool::open(&folder, LARGE).unwrap();
        assert_eq!(sids(&mut spool), ["CA0", "CA2", "CA3", "CA4", "CA5", "CA6", "CA7", "CA8", "CA9"]);
        let places: Vec<Place> = spool.waiting.keys().copied().collect();
        places.into_iter().for_each(|place| spool.done(place));
        assert_eq!((spool.len(), spool.bytes), (0, 0));
        let left: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["lock"]);
    }

    #[test]
    fn the_oldest_stay_where_there_is_no_room_for_all() {
        let directory = tempfile::tempdir().unwrap();
        let size = record("CA1").json.len() as u64 + 2;
        let mut spool = Spool::open(directory.path(), 2 * size).unwrap();
        assert_eq!(spool.push(&record("CA1")).unwrap(), Pushed::Kept);
        assert_eq!(spool.push(&record("CA2")).unwrap(), Pushed::Kept);
        assert_eq!(spool.push(&record("CA3")).unwrap(), Pushed::Full);
        let now = Instant::now();
        let (first, second) = (spool.next(now).unwrap(), spool.next(now).unwrap());
        assert_eq!((first.sid.as_str(), second.sid.as_str()), ("CA1", "CA2"));
        spool.done(first.place);
        spool.done(second.place);
        assert_eq!(spool.push(&record("CA4")).unwrap(), Pushed::Kept);
    }

    #[test]
    fn a_record_that_is_refused_rests_while_others_go_on() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(directory.path(), LARGE).unwrap();
        for sid in ["CA1", "CA2"] {
            spool.push(&record(sid)).unwrap();
        }
        let now = Instant::now();
        let later = now + Duration::from_secs(5);
        let first = spool.next(now).unwrap();
        assert_eq!(spool.put_back(first.place, Some(7), |_| later), (1, 0));
        let second = spool.next(now).unwrap();
        assert_eq!(second.sid, "CA2");
        spool.done(second.place);
        assert_eq!(spool.next(now).unwrap_err(), Some(later));
        let again = spool.next(later).unwrap();
        assert_eq!(spool.put_back(again.place, Some(8), |_| later), (2, 1));
        let path = spool.set_aside(&again).unwrap();
        assert_eq!(spool.len(), 0);
        assert!(std::fs::read_to_string(path).unwrap().starts_with("{\"sid\":\"CA1\""));
    }

    #[test]
    fn another_folder_takes_over_what_waits() {
        let directory = tempfile::tempdir().unwrap();
        let mut old = Spool::open(&directory.path().join("old"), LARGE).unwrap();
        for sid in ["CA1", "CA2"] {
            old.push(&record(sid)).unwrap();
        }
        let _under_way = old.next(Instant::now()).unwrap();
        let mut new = Spool::open(&directory.path().join("new"), LARGE).unwrap();
        let copied = new.copy(&old).unwrap();
        old.hand_over(copied);
        assert_eq!((sids(&mut new), old.len()), (vec!["CA1".to_owned(), "CA2".to_owned()], 0));
    }

    #[test]
    fn what_does_not_go_into_another_folder_as_a_whole_stays_where_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let mut old = Spool::open(&directory.path().join("old"), LARGE).unwrap();
        for n in 0..9 {
            old.push(&record(&format!("CA{n}"))).unwrap();
        }
        let size = line_bytes(record("CA1").json.len());
        let to = directory.path().join("new");
        Spool::open(&to, LARGE).unwrap().push(&record("CB1")).unwrap();
        let mut new = Spool::open(&to, 10 * size - 1).unwrap();
        let before = new.bytes;
        let refused = new.copy(&old).unwrap_err();
        assert!(refused.kind() == io::ErrorKind::QuotaExceeded && refused.to_string().contains("9 queued records"));
        new.limit(LARGE);
        set_room(Some(3 * usize::try_from(size).unwrap() + 20));
        new.copy(&old).unwrap_err();
        set_room(None);
        assert_eq!((new.len(), new.bytes, old.len()), (1, before, 9));
        let copied = new.copy(&old).unwrap();
        new.take_back(&copied);
        assert_eq!((sids(&mut new), new.bytes, sids(&mut old).len()), (vec!["CB1".to_owned()], before, 9));
        Spool::open(&directory.path().join("not/there"), LARGE).unwrap_err();
        assert!(!directory.path().join("not").exists());
    }

    #[test]
    fn a_full_disk_tears_no_other_record() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(directory.path(), LARGE).unwrap();
        spool.push(&record("CA1")).unwrap();
        set_room(Some(20));
        assert!(spool.push(&record("CA2")).is_err());
        set_room(None);
        spool.push(&record("CA3")).unwrap();
        drop(spool);
        assert_eq!(sids(&mut Spool::open(directory.path(), LARGE).unwrap()), ["CA1", "CA3"]);
    }

    #[test]
    fn wherever_the_process_is_killed_no_record_is_forgotten() {
        for quarters in [0, 2, 4] {
            for number in 0.. {
                let directory = tempfile::tempdir().unwrap();
                let (mut pushed, mut done) = (Vec::new(), Vec::new());
                let died = crash_at(number, quarters, || {
                    let mut spool = Spool::open(directory.path(), LARGE).unwrap();
                    for n in 0..6 {
                        spool.push(&record(&format!("CA{n}"))).unwrap();
                        pushed.push(format!("CA{n}"));
                        if n % 3 > 0 {
                            let ticket = spool.next(Instant::now()).unwrap();
                            done.push(ticket.sid.clone());
                            spool.done(ticket.place);
                        }
                    }
                });
                let left = sids(&mut Spool::open(directory.path(), LARGE).unwrap());
                let missing = pushed.iter().filter(|sid| !left.contains(sid) && !done.contains(sid)).count();
                assert_eq!(missing, 0, "{number} {quarters}: {pushed:?} {done:?} {left:?}");
                if !died {
                    break;
                }
            }
        }
    }
}
