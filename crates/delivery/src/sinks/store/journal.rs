//! Journal of live calls. A call is written when it starts, when it is answered, whenever it tries another target, and
//! with its record if that cannot be delivered at once; it is removed after the delivery. A call that a crash
//! interrupts therefore gets its record at the next start. The modification time of the file shows how long the process
//! lived.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};
use trunkgate_call::{CallView, ReasonSlug};

use super::StoredRecord;
use super::disk::{self, LineFile, is_there, locked, named};
use super::live::LiveLines;
use trunkgate_system::clock;
use trunkgate_system::limits;
use trunkgate_system::text::number;

/// Journal file, locked against other processes.
#[derive(Debug)]
pub(crate) struct CallJournal {
    path: PathBuf,
    lines: LineFile,
    /// Lines that the journal contains of live calls.
    live: LiveLines,
    /// Number of lines in the file, including those of calls that have ended.
    count: usize,
    /// Time since which writes to the file have failed; it then lacks lines that are in memory.
    behind: Option<Instant>,
    /// SIDs of calls with a last line that is not in the file.
    unsaved: BTreeSet<String>,
    /// Records of the previous process's calls that this process is to continue, until [`CallJournal::take_lost`]
    /// learns which of them were not restored.
    continued: Vec<LeftoverRecord>,
    /// Time of the last check that the path still leads to the file.
    seen: Option<Instant>,
    /// Time at which the modification time was last updated.
    touched: Option<Instant>,
    /// Number of lines that were unreadable when the journal was opened.
    damaged: usize,
    /// True if the damaged file also has a second name; it must then be replaced, not changed.
    is_kept: bool,
}

/// Pause after a failed write, and interval of checks for a removed file.
const PAUSE: Duration = Duration::from_secs(1);

/// Interval of updates of the modification time. The time of a crash is known up to this interval and the writer's
/// pause.
const TOUCH_INTERVAL: Duration = Duration::from_secs(2);

impl CallJournal {
    /// Opens a journal. Also returns records for the calls in it, which must be written unless the file contains them,
    /// and then be removed from the journal.
    ///
    /// # Errors
    /// Returns the system's error, or an error if another process uses the journal.
    pub(crate) fn open(path: &Path) -> io::Result<(CallJournal, Vec<LeftoverRecord>)> {
        CallJournal::open_continued(path, &BTreeSet::new())
    }

    /// Opens a journal like [`Self::open`]. Calls in `continued` live on in this process and get no record yet.
    pub(crate) fn open_continued(
        path: &Path,
        continued: &BTreeSet<String>,
    ) -> io::Result<(CallJournal, Vec<LeftoverRecord>)> {
        let mut lines = locked(path)?;
        let mut text = Vec::new();
        let seen = lines.file().metadata().and_then(|about| about.modified());
        lines.file().read_to_end(&mut text).map_err(|error| named(path, &error))?;
        let mut left: Vec<LeftoverRecord> = cut_short(&text, last_seen(seen.ok()));
        let continued = left.extract_if(.., |left| continued.contains(&left.record.sid)).collect();
        let damaged = damaged_lines(&text);
        if damaged > 0 {
            report_damage(path, damaged, left.len());
            if left.is_empty() {
                lines = disk::rewritten(path, b"")?;
            }
        } else if left.is_empty() {
            lines.truncate(0).map_err(|error| named(path, &error))?;
        }
        let mut journal = CallJournal {
            path: path.to_owned(),
            lines,
            live: LiveLines::default(),
            count: 0,
            behind: None,
            unsaved: BTreeSet::new(),
            continued,
            seen: None,
            touched: None,
            damaged,
            is_kept: damaged > 0 && !left.is_empty(),
        };
        if !left.is_empty() {
            // The records are written to the journal, so each call has the same one however often the start is
            // repeated.
            let now = Instant::now();
            left.iter().for_each(|left| journal.live.insert(now, left.record.sid.clone(), left.lines()));
            if let Err(error) = journal.rewrite() {
                // A full disk delays no call at the start either.
                tracing::warn!(
                    reason = "cdr_failed",
                    "the journal of call records {} cannot be rewritten: {error}; its content is kept",
                    path.display()
                );
                journal.behind = Some(Instant::now());
            }
        }
        Ok((journal, left))
    }

    /// Returns the number of lines that were unreadable when the journal was opened.
    pub(crate) fn damaged(&self) -> usize {
        self.damaged
    }

    /// Returns the path of the journal.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a call that starts or tries another target, with its number of failovers so far.
    pub(crate) fn begin(&mut self, call: &CallView, failovers: u32) -> io::Result<()> {
        let mut line = serde_json::to_vec(&CallStartLine { began: JournalCall { call, failovers } })?;
        line.push(b'\n');
        self.note(call.sid.clone(), line.into(), 0)
    }

    /// Returns the records of the calls in `lost`, which this process was to continue but did not restore. Discards the
    /// records of the other continued calls.
    pub(crate) fn take_lost(&mut self, lost: &[String]) -> Vec<LeftoverRecord> {
        let mut records = std::mem::take(&mut self.continued);
        records.retain(|left| lost.contains(&left.record.sid));
        records
    }

    /// Writes the answer of a call; does nothing for a call that is not in the journal.
    pub(crate) fn answer(&mut self, sid: &str, at: Timestamp) -> io::Result<()> {
        let Some(began) = self.live.get(sid) else { return Ok(()) };
        let mut line = serde_json::to_vec(&json!({ "answered": sid, "at": format!("{at:.3}") }))?;
        line.push(b'\n');
        let (lines, from) = ([&began, line.as_slice()].concat(), began.len());
        self.note(sid.to_owned(), lines.into(), from)?;
        self.live.settle(Instant::now(), sid.to_owned());
        Ok(())
    }

    /// Writes the end of a call, with its record.
    pub(crate) fn close(&mut self, record: &StoredRecord) -> io::Result<()> {
        self.note(record.sid.clone(), closing(record), 0)
    }

    /// Writes that the record file contains the record of an ended call.
    pub(crate) fn file(&mut self, sid: &str) -> io::Result<()> {
        let Some(closing) = self.live.get(sid) else { return Ok(()) };
        let (lines, from) = ([&closing, filed(sid).as_slice()].concat(), closing.len());
        self.note(sid.to_owned(), lines.into(), from)
    }

    /// Keeps the lines of a call in memory, and appends those from an offset to the file.
    fn note(&mut self, sid: String, lines: Box<[u8]>, from: usize) -> io::Result<()> {
        let is_behind = self.behind.is_some() || !self.is_there();
        self.unsaved.insert(sid.clone());
        let written = (!is_behind).then(|| self.lines.append(lines.get(from..).unwrap_or_default()));
        self.live.insert(Instant::now(), sid.clone(), lines);
        let Some(written) = written else { return self.catch_up() };
        if written.is_ok() {
            self.unsaved.remove(&sid);
        }
        self.wrote(written)
    }

    /// Returns whether the journal contains any call.
    pub(crate) fn has_live(&self) -> bool {
        !self.live.is_empty()
    }

    /// Updates the modification time even if no call starts or ends. Rewrites the file if the path no longer
    /// leads to it or lines are missing.
    pub(crate) fn look(&mut self) -> io::Result<()> {
        self.live.pack(Instant::now());
        if self.has_live() && self.touched.is_none_or(|touched| touched.elapsed() >= TOUCH_INTERVAL) {
            self.touched = Some(Instant::now());
            // Without an update, the time of the last line counts.
            drop(self.lines.file().set_modified(clock::wall()));
        }
        if self.has_live() && (self.behind.is_some() || !self.is_there()) { self.catch_up() } else { Ok(()) }
    }

    /// Returns whether the path still leads to the file; checked at most every [`PAUSE`].
    fn is_there(&mut self) -> bool {
        if self.seen.is_none_or(|seen| seen.elapsed() >= PAUSE) {
            self.seen = is_there(&self.path, &self.lines).then(Instant::now);
        }
        self.seen.is_some()
    }

    /// Removes a call after its record was delivered.
    pub(crate) fn end(&mut self, sid: &str) -> io::Result<()> {
        self.unsaved.remove(sid);
        if !self.live.remove(sid) {
            return Ok(());
        }
        if self.live.is_empty() && self.is_kept {
            return self.catch_up();
        }
        if self.live.is_empty() {
            self.lines.truncate(0)?;
            (self.count, self.behind) = (0, None);
            return Ok(());
        }
        if self.behind.is_some() || self.count > 3 * self.live.len() + limits::JOURNAL_SPARE_LINES {
            return self.catch_up();
        }
        let mut line = serde_json::to_vec(&json!({ "ended": sid }))?;
        line.push(b'\n');
        let written = self.lines.append(&line);
        self.wrote(written)
    }

    fn wrote(&mut self, written: io::Result<()>) -> io::Result<()> {
        match &written {
            Ok(()) => self.count += 1,
            Err(_) => self.behind = Some(Instant::now()),
        }
        written
    }

    /// Rewrites a file that lacks lines, unless that failed less than [`PAUSE`] ago.
    fn catch_up(&mut self) -> io::Result<()> {
        if self.behind.is_some_and(|since| since.elapsed() < PAUSE) {
            return Ok(());
        }
        let written = self.rewrite();
        self.behind = written.is_err().then(Instant::now);
        written
    }

    /// Returns the SIDs of calls with a last line that is not in the file.
    pub(crate) fn unsaved(&self) -> &BTreeSet<String> {
        &self.unsaved
    }

    /// Rewrites a file that lacks lines, even right after a failure.
    ///
    /// # Errors
    /// Returns the system's error.
    pub(crate) fn save(&mut self) -> io::Result<()> {
        self.behind.map_or(Ok(()), |_| self.rewrite())?;
        self.behind = None;
        Ok(())
    }

    /// Removes all calls from the file, because records are no longer configured.
    ///
    /// # Errors
    /// Returns the system's error with the path.
    pub(crate) fn forget(mut self) -> io::Result<()> {
        let path = self.path.display();
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("{path}: cannot empty the journal: {error}"));
        self.lines.truncate(0).map_err(named)
    }

    /// Moves the calls to another journal, beside a new record file.
    ///
    /// # Errors
    /// Returns the system's error; the journal then stays unchanged.
    pub(crate) fn move_to(&mut self, mut other: CallJournal) -> io::Result<()> {
        other.live.extend(Instant::now(), &self.live);
        other.rewrite()?;
        let old = std::mem::replace(self, other);
        if let Err(error) = disk::remove(&old.path) {
            tracing::warn!(reason = "cdr_failed", "the journal of the previous file was not deleted: {error}");
        }
        Ok(())
    }

    /// Rewrites the file with the lines of live calls only.
    fn rewrite(&mut self) -> io::Result<()> {
        self.lines = disk::rewritten(&self.path, &self.live.text())?;
        (self.count, self.is_kept) = (self.live.len(), false);
        self.unsaved.clear();
        Ok(())
    }
}

/// Prefixes of the kinds of lines.
const STARTS: [&[u8]; 5] = [b"{\"answered\":", b"{\"began\":", b"{\"closing\":", b"{\"ended\":", b"{\"filed\":"];

/// Counts lines of no known kind. An incomplete last line does not count, because a crash may leave one.
fn damaged_lines(journal: &[u8]) -> usize {
    let is_whole = |line: &[u8]| STARTS.iter().any(|start| line.starts_with(start)) && is_json(line);
    let is_torn = |line: &[u8]| STARTS.iter().any(|start| line.starts_with(start) || start.starts_with(line));
    journal
        .split_inclusive(|byte| *byte == b'\n')
        .filter(|line| match line.strip_suffix(b"\n") {
            Some(b"") => false,
            Some(line) => !is_whole(line),
            None => !is_torn(line),
        })
        .count()
}

fn is_json(line: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(line).is_ok()
}

/// Logs the damage of a journal, and keeps the file under a second name because its lines may contain interrupted
/// calls.
fn report_damage(path: &Path, damaged: usize, calls: usize) {
    let kept = disk::keep_damaged(path);
    let path = path.display();
    let (damaged, calls) = (number(damaged, "damaged line"), number(calls, "call"));
    match kept {
        Ok(kept) => tracing::warn!(
            reason = "cdr_failed",
            "{path}: {damaged}, calls in them have no record; {calls} read; the file is kept as {}",
            kept.display()
        ),
        Err(error) => tracing::warn!(
            reason = "cdr_failed",
            "{path}: {damaged}, calls in them have no record; {calls} read; the file is not kept: {error}"
        ),
    }
}

/// Journal line for the start of a call.
#[derive(Serialize)]
struct CallStartLine<'a> {
    began: JournalCall<'a>,
}

/// Call in progress, with its number of failovers so far.
#[derive(Serialize)]
struct JournalCall<'a> {
    #[serde(flatten)]
    call: &'a CallView,
    failovers: u32,
}

/// Returns the time until which the process that wrote the journal lived; not later than now.
fn last_seen(changed: Option<SystemTime>) -> Timestamp {
    let changed = changed.and_then(|changed| Timestamp::try_from(changed).ok());
    changed.map_or_else(clock::now, |changed| changed.min(clock::now()))
}

fn closing(record: &StoredRecord) -> Box<[u8]> {
    [br#"{"closing":"#.as_slice(), &record.json, b"}\n"].concat().into()
}

fn filed(sid: &str) -> Vec<u8> {
    format!("{}\n", json!({ "filed": sid })).into_bytes()
}

/// Record of a call that an earlier process left in the journal.
#[derive(Debug, Clone)]
pub(crate) struct LeftoverRecord {
    pub(crate) record: StoredRecord,
    /// True if the journal shows that the record file contains the record.
    pub(crate) is_filed: bool,
}

impl LeftoverRecord {
    fn lines(&self) -> Box<[u8]> {
        let filed = if self.is_filed { filed(&self.record.sid) } else { Vec::new() };
        [&*closing(&self.record), &filed].concat().into()
    }
}

/// Returns a record for each call that a journal contains; an incomplete last line is ignored.
fn cut_short(journal: &[u8], seen: Timestamp) -> Vec<LeftoverRecord> {
    let mut live: BTreeMap<String, Value> = BTreeMap::new();
    let mut filed: BTreeSet<String> = BTreeSet::new();
    for mut line in journal.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok()) {
        if let Some(sid) = line.get("ended").and_then(Value::as_str) {
            live.remove(sid);
            filed.remove(sid);
            continue;
        }
        if let Some(sid) = line.get("filed").and_then(Value::as_str) {
            filed.insert(sid.to_owned());
            continue;
        }
        if let Some(sid) = line.get("answered").and_then(Value::as_str) {
            let at = line.get("at").cloned().unwrap_or_default();
            live.get_mut(sid).and_then(Value::as_object_mut).into_iter().for_each(|call| answered(call, at.clone()));
            continue;
        }
        let record = line.get_mut("closing").map(Value::take);
        let Some(record) = record.or_else(|| line.get_mut("began").map(|call| closed(call.take(), seen))) else {
            continue;
        };
        if let Some(sid) = record.get("sid").and_then(Value::as_str) {
            live.insert(sid.to_owned(), record);
        }
    }
    let left = |(sid, record): (String, Value)| {
        let is_filed = filed.contains(&sid);
        LeftoverRecord { record: StoredRecord { sid, json: record.to_string().into_bytes().into() }, is_filed }
    };
    live.into_iter().map(left).collect()
}

/// Marks an interrupted call as answered at this time, and sets its end to that time if the end would be earlier.
fn answered(call: &mut Map<String, Value>, at: Value) {
    let of = |value: Option<&Value>| value.and_then(Value::as_str).and_then(|text| text.parse::<Timestamp>().ok());
    if of(call.get("ended_at")) < of(Some(&at)) {
        call.insert("ended_at".to_owned(), at.clone());
    }
    for (key, value) in [("answered_at", at), ("outcome", "answered".into()), ("sip_code", 200.into())] {
        call.insert(key.to_owned(), value);
    }
}

/// Returns the record of an interrupted call; `seen` is the last time at which the process is known to have lived.
fn closed(mut call: Value, seen: Timestamp) -> Value {
    let reason = ReasonSlug::EdgeRestarted;
    if let Some(call) = call.as_object_mut() {
        let at =
            |call: &Map<String, Value>, key: &str| call.get(key).and_then(Value::as_str)?.parse::<Timestamp>().ok();
        let was_answered = call.get("answered_at").is_some_and(|at| !at.is_null());
        // The clock may have been set back, but the end must not precede the start.
        let ended = seen.max(at(call, "answered_at").or_else(|| at(call, "started_at")).unwrap_or(seen));
        for leg in call.get_mut("legs").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(leg) = leg.as_object_mut() {
                if leg.get("reason").is_none_or(Value::is_null) {
                    leg.insert("reason".to_owned(), reason.as_str().into());
                    leg.insert("ended_by".to_owned(), "edge".into());
                }
                leg.insert("state".to_owned(), "ended".into());
            }
        }
        for (key, value) in [
            ("state", Value::from("ended")),
            ("outcome", if was_answered { "answered" } else { reason.outcome() }.into()),
            ("reason", reason.as_str().into()),
            ("ended_at", format!("{ended:.3}").into()),
            ("sip_code", if was_answered { 200.into() } else { Value::Null }),
            ("q850_cause", reason.q850().into()),
            ("post_dial_ms", Value::Null),
            ("mos_min", Value::Null),
            ("mos_avg", Value::Null),
            ("turn_p50_ms", Value::Null),
            ("turn_p95_ms", Value::Null),
        ] {
            call.insert(key.to_owned(), value);
        }
        call.entry("failovers").or_insert_with(|| 0.into());
    }
    call
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::store::record::tests::record;
    use trunkgate_testing::views::began;

    fn sids(left: &[LeftoverRecord]) -> Vec<&str> {
        left.iter().map(|left| left.record.sid.as_str()).collect()
    }

    fn json(left: &LeftoverRecord) -> Value {
        left.record.value()
    }

    #[test]
    fn a_call_that_was_to_go_on_and_does_not_has_a_record() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cdr.jsonl.live");
        let (mut journal, _) = CallJournal::open(&path).unwrap();
        for sid in ["CA1", "CA2", "CA3"] {
            journal.begin(&began(sid), 0).unwrap();
        }
        drop(journal);
        let continued = BTreeSet::from(["CA1".to_owned(), "CA2".to_owned()]);
        let (mut journal, left) = CallJournal::open_continued(&path, &continued).unwrap();
        assert_eq!(sids(&left), ["CA3"]);
        let lost_sids = ["CA2".to_owned()];
        let lost = journal.take_lost(&lost_sids);
        journal.begin(&began("CA1"), 0).unwrap();
        assert_eq!(sids(&lost), ["CA2"]);
        assert_eq!(json(&lost[0])["reason"], "edge_restarted");
        assert!(journal.take_lost(&lost_sids).is_empty());
    }

    #[test]
    fn what_the_file_has_is_known_over_every_start_until_it_is_crossed_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cdr.jsonl.live");
        let (mut journal, _) = CallJournal::open(&path).unwrap();
        for sid in ["CA1", "CA2", "CA3"] {
            journal.close(&record(sid)).unwrap();
        }
        journal.file("CA1").unwrap();
        journal.file("CA3").unwrap();
        journal.end("CA3").unwrap();
        journal.file("CA9").unwrap();
        drop(journal);
        for _ in 0..2 {
            let (journal, left) = CallJournal::open(&path).unwrap();
            let is_filed: Vec<bool> = left.iter().map(|left| left.is_filed).collect();
            assert_eq!((sids(&left), is_filed, journal.damaged()), (vec!["CA1", "CA2"], vec![true, false], 0));
        }
    }

    #[test]
    fn what_a_crash_cut_short_is_there_until_it_is_crossed_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cdr.jsonl.live");
        let (mut journal, left) = CallJournal::open(&path).unwrap();
        assert!(left.is_empty());
        for sid in ["CA1", "CA2", "CA3"] {
            journal.begin(&began(sid), 0).unwrap();
        }
        journal.close(&record("CA2")).unwrap();
        journal.end("CA2").unwrap();
        journal.close(&record("CA3")).unwrap();
        let at: Timestamp = "2026-01-01T00:00:09.5Z".parse().unwrap();
        journal.answer("CA1", at).unwrap();
        journal.answer("CA2", at).unwrap();
        // The crash came while a line was written.
        journal.lines.append(b"{\"began\":{\"sid\":\"CA4\"").unwrap();
        drop(journal);
        let (journal, left) = CallJournal::open(&path).unwrap();
        assert_eq!(sids(&left), ["CA1", "CA3"]);
        let first = json(&left[0]);
        assert_eq!((&first["reason"], &first["outcome"]), (&json!("edge_restarted"), &json!("answered")));
        assert_eq!((&first["answered_at"], &first["sip_code"]), (&json!("2026-01-01T00:00:09.500Z"), &json!(200)));
        assert_eq!((&first["state"], &first["route"]), (&json!("ended"), &json!("r")));
        assert_eq!(json(&left[1])["reason"], "caller_hung_up", "its record was known");
        drop(journal);
        // A second crash before the records are written changes nothing.
        let (mut journal, again) = CallJournal::open(&path).unwrap();
        assert_eq!(again.iter().map(json).collect::<Vec<_>>(), left.iter().map(json).collect::<Vec<_>>());
        journal.end("CA1").unwrap();
        journal.end("CA3").unwrap();
        drop(journal);
        assert!(CallJournal::open(&path).unwrap().1.is_empty());
    }

    #[test]
    fn a_call_that_had_failed_over_is_told_with_all_its_targets_and_ends_when_the_edge_was_last_seen() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cdr.jsonl.live");
        let (mut journal, _) = CallJournal::open(&path).unwrap();
        journal.begin(&began("CA1"), 0).unwrap();
        journal.answer("CA1", "2026-01-01T00:00:09.5Z".parse().unwrap()).unwrap();
        let answered_at = Some("2026-01-01T00:00:09.500Z".to_owned());
        journal
            .begin(&CallView { route: "later".into(), answered_at, outcome: Some("answered"), ..began("CA1") }, 2)
            .unwrap();
        journal.begin(&began("CA2"), 1).unwrap();
        let seen: Timestamp = "2026-01-01T00:10:00Z".parse().unwrap();
        journal.lines.file().set_modified(seen.into()).unwrap();
        drop(journal);
        let (mut journal, left) = CallJournal::open(&path).unwrap();
        let [first, second] = [json(&left[0]), json(&left[1])];
        assert_eq!((&first["route"], &first["failovers"]), (&json!("later"), &json!(2)));
        assert_eq!((&first["outcome"], &first["sip_code"]), (&json!("answered"), &json!(200)));
        assert_eq!((&second["outcome"], &second["sip_code"]), (&json!("failed"), &Value::Null));
        for record in [first, second] {
            assert_eq!(record["ended_at"], "2026-01-01T00:10:00.000Z");
        }
        // The modification time is updated while calls are live, even without events.
        journal.lines.file().set_modified(seen.into()).unwrap();
        journal.look().unwrap();
        assert!(last_seen(std::fs::metadata(&path).unwrap().modified().ok()) > seen);
        // The clock has been set back.
        let late: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
        let call = closed(json!({"started_at": late.to_string(), "answered_at": null}), seen);
        assert_eq!(call["ended_at"], "2027-01-01T00:00:00.000Z");
    }

    #[test]
    fn the_legs_of_a_call_that_was_cut_short_ended_with_the_edge_unless_they_had_ended() {
        let lost = json!({"state": "ended", "reason": "agent_reset", "ended_by": "far_end"});
        let record =
            closed(json!({"legs": [{"state": "answered", "reason": null, "ended_by": null}, lost]}), Timestamp::now());
        let cut_short = json!({"state": "ended", "reason": "edge_restarted", "ended_by": "edge"});
        assert_eq!(record["legs"], json!([cut_short, lost]));
    }

    /// Calls left by a crash, and the number of damaged lines.
    #[test]
    fn a_damaged_journal_is_counted_and_kept_and_what_can_be_read_of_it_counts() {
        let whole = |sid: &str| serde_json::to_string(&json!({"closing": {"sid": sid}})).unwrap() + "\n";
        let damaged = |text: &[u8]| {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("cdr.jsonl.live");
            std::fs::write(&path, text).unwrap();
            let (mut journal, left) = CallJournal::open(&path).unwrap();
            let sids: Vec<String> = left.iter().map(|left| left.record.sid.clone()).collect();
            sids.iter().for_each(|sid| journal.end(sid).unwrap());
            let count = journal.damaged();
            drop(journal);
            // The next start finds no damage, and the damaged file is kept.
            let (again, nothing) = CallJournal::open(&path).unwrap();
            assert_eq!((again.damaged(), nothing.len()), (0, 0));
            let kept = std::fs::read(directory.path().join("cdr.jsonl.live.damaged")).ok();
            assert_eq!(kept.as_deref(), (count > 0).then_some(text), "{}", String::from_utf8_lossy(text));
            (count, sids)
        };
        let (one, two) = (whole("CA1"), whole("CA2"));
        let sids = |of: &[&str]| of.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(damaged(b""), (0, vec![]));
        assert_eq!(damaged([one.as_bytes(), b"{\"began\":{\"sid\":\"CA3"].concat().as_slice()), (0, sids(&["CA1"])));
        assert_eq!(damaged([one.as_bytes(), b"{\"be"].concat().as_slice()), (0, sids(&["CA1"])));
        assert_eq!(damaged(b"root:x:0:0\n"), (1, vec![]));
        assert_eq!(damaged(&[0; 4096]), (1, vec![]));
        let middle = [one.as_bytes(), b"{\"began\":{\"sid\":\"CA3\n\xff\xfe\n{}\n", two.as_bytes()].concat();
        assert_eq!(damaged(&middle), (3, sids(&["CA1", "CA2"])));
    }

    #[test]
    fn a_later_damage_takes_the_place_of_an_earlier_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cdr.jsonl.live");
        for text in ["first\n", "second\n"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(CallJournal::open(&path).unwrap().0.damaged(), 1);
            assert_eq!(std::fs::read_to_string(directory.path().join("cdr.jsonl.live.damaged")).unwrap(), text);
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_fifo_in_the_place_of_a_journal_is_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cdr.jsonl.live");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let error = CallJournal::open(&path).unwrap_err().to_string();
        assert!(error.ends_with("cdr.jsonl.live: it is a FIFO, not a regular file"), "{error}");
    }

    #[test]
    fn one_that_cannot_be_moved_keeps_its_calls() {
        let directory = tempfile::tempdir().unwrap();
        let (path, new) = (directory.path().join("a.jsonl.live"), directory.path().join("b.jsonl.live"));
        let (mut journal, _) = CallJournal::open(&path).unwrap();
        journal.begin(&began("CA1"), 0).unwrap();
        let (other, _) = CallJournal::open(&new).unwrap();
        std::fs::create_dir(directory.path().join("b.jsonl.live.new")).unwrap();
        assert!(journal.move_to(other).is_err());
        // A second call starts and ends.
        journal.begin(&began("CA2"), 0).unwrap();
        journal.end("CA2").unwrap();
        drop(journal);
        assert_eq!(sids(&CallJournal::open(&path).unwrap().1), ["CA1"]);
    }

    #[test]
    fn a_start_on_a_full_disk_keeps_what_a_crash_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cdr.jsonl.live");
        CallJournal::open(&path).unwrap().0.begin(&began("CA1"), 0).unwrap();
        disk::tests::set_room(Some(5));
        let (mut journal, left) = CallJournal::open(&path).unwrap();
        assert_eq!(sids(&left), ["CA1"]);
        disk::tests::set_room(None);
        // The disk has room again after the pause.
        journal.behind = journal.behind.and_then(|since| since.checked_sub(PAUSE));
        journal.look().unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().starts_with("{\"closing\""));
    }

    #[test]
    fn a_journal_belongs_to_one_process() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cdr.jsonl.live");
        let (mut first, _) = CallJournal::open(&path).unwrap();
        let second = CallJournal::open(&path).unwrap_err();
        assert!(second.to_string().contains("cdr.jsonl.live: "), "{second}");
        first.begin(&began("CA1"), 0).unwrap();
        first.rewrite().unwrap();
        assert!(CallJournal::open(&path).is_err(), "and so does the file that took its place");
    }

    #[test]
    fn it_grows_with_live_calls_only_and_comes_back_where_it_is_taken_away() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cdr.jsonl.live");
        let (mut journal, _) = CallJournal::open(&path).unwrap();
        journal.begin(&began("CA-long"), 0).unwrap();
        for n in 0..2 * limits::JOURNAL_SPARE_LINES {
            let sid = format!("CA{n}");
            journal.begin(&began(&sid), 0).unwrap();
            journal.end(&sid).unwrap();
        }
        assert!(journal.count <= limits::JOURNAL_SPARE_LINES + 8, "{}", journal.count);
        std::fs::remove_file(&path).unwrap();
        // The next check is due.
        journal.seen = None;
        journal.look().unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().contains("CA-long"));
        std::fs::remove_file(&path).unwrap();
        journal.seen = None;
        journal.begin(&began("CA-later"), 0).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().contains("CA-long"));
        let other = directory.path().join("other.jsonl.live");
        journal.move_to(CallJournal::open(&other).unwrap().0).unwrap();
        journal.begin(&began("CA-new"), 0).unwrap();
        drop(journal);
        assert!(!path.exists());
        let (mut journal, left) = CallJournal::open(&other).unwrap();
        assert_eq!(sids(&left), ["CA-later", "CA-long", "CA-new"]);
        left.iter().for_each(|left| journal.end(&left.record.sid).unwrap());
        assert_eq!(journal.lines.file().metadata().unwrap().len(), 0);
    }
}
