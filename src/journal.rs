//! The journal of live calls beside the file of call records: a call is written when it begins and crossed out when its
//! record is, so that one that a crash cut short still gets its one record, at the next start.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::{Value, json};
use trunkgate_call::{CallView, ReasonSlug};

use crate::limits;

/// The journal of one file of call records; another process with the same file is kept out by a lock.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    /// The lines of calls that have not ended.
    live: BTreeMap<String, Box<[u8]>>,
    /// Lines in the file.
    lines: usize,
}

impl Journal {
    /// Opens the journal of `records`. Also gives the records of calls that were cut short: to be written at once, as
    /// the journal forgets them.
    ///
    /// # Errors
    /// The system's, or that another process keeps this journal.
    pub(crate) fn open(records: &Path) -> io::Result<(Journal, Vec<Value>)> {
        let mut path = records.as_os_str().to_owned();
        path.push(".live");
        let path = PathBuf::from(path);
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(&path).map_err(named)?;
        file.try_lock().map_err(|error| named(error.into()))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(named)?;
        let mut left = cut_short(&text);
        if !left.is_empty() {
            // The crash may have come between a record and its crossing out.
            let written = last_sids(records)?;
            left.retain(|sid, _| !written.contains(sid));
        }
        file.set_len(0).map_err(named)?;
        let closed = left.into_values().map(closed).collect();
        Ok((Journal { path, file, live: BTreeMap::new(), lines: 0 }, closed))
    }

    /// Notes that a call has begun.
    pub(crate) fn begin(&mut self, call: &CallView) -> io::Result<()> {
        let mut line = serde_json::to_vec(&json!({ "began": call }))?;
        line.push(b'\n');
        self.append(&line)?;
        self.live.insert(call.sid.clone(), line.into_boxed_slice());
        Ok(())
    }

    /// Notes that a call's record is written.
    pub(crate) fn end(&mut self, sid: &str) -> io::Result<()> {
        if self.live.remove(sid).is_none() {
            return Ok(());
        }
        if self.live.is_empty() || self.lines > 2 * self.live.len() + limits::JOURNAL_SPARE_LINES {
            return self.rewrite();
        }
        let mut line = serde_json::to_vec(&json!({ "ended": sid }))?;
        line.push(b'\n');
        self.append(&line)
    }

    /// Goes on beside another file of call records.
    pub(crate) fn move_to(&mut self, mut other: Journal) -> io::Result<()> {
        other.live = std::mem::take(&mut self.live);
        other.rewrite()?;
        let old = std::mem::replace(self, other);
        std::fs::remove_file(&old.path)
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        self.file.write_all(line)?;
        self.lines += 1;
        Ok(())
    }

    /// Only what is live stays.
    fn rewrite(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.lines = self.live.len();
        self.file.write_all(&self.live.values().flatten().copied().collect::<Vec<u8>>())
    }
}

/// Calls that have begun and not ended, by sid. A torn last line is nobody's.
fn cut_short(journal: &[u8]) -> BTreeMap<String, Value> {
    let mut live = BTreeMap::new();
    for mut line in journal.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok()) {
        if let Some(sid) = line.get("ended").and_then(Value::as_str) {
            live.remove(sid);
        } else if let Some(call) = line.get_mut("began").map(Value::take)
            && let Some(sid) = call.get("sid").and_then(Value::as_str)
        {
            live.insert(sid.to_owned(), call);
        }
    }
    live
}

/// The sids of the last records.
fn last_sids(records: &Path) -> io::Result<BTreeSet<String>> {
    let mut file = match File::open(records) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(error),
    };
    let skipped = file.metadata()?.len().saturating_sub(limits::RECORDS_SEARCHED_BYTES);
    file.seek(SeekFrom::Start(skipped))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let lines = text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    Ok(lines.filter_map(|record| record.get("sid")?.as_str().map(str::to_owned)).collect())
}

/// The record of a call that a crash cut short. When it was answered, and when it ended, nobody knows any more.
fn closed(mut call: Value) -> Value {
    let reason = ReasonSlug::EdgeRestarted;
    if let Some(call) = call.as_object_mut() {
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
            ("outcome", reason.outcome().into()),
            ("reason", reason.as_str().into()),
            ("ended_at", format!("{:.3}", Timestamp::now()).into()),
            ("sip_code", Value::Null),
            ("q850_cause", reason.q850().into()),
            ("failovers", 0.into()),
            ("post_dial_ms", Value::Null),
            ("mos_min", Value::Null),
            ("mos_avg", Value::Null),
        ] {
            call.insert(key.to_owned(), value);
        }
    }
    call
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(sid: &str) -> CallView {
        CallView {
            sid: sid.into(),
            state: "trying",
            outcome: None,
            reason: None,
            route: "r".into(),
            from: "+1".into(),
            to: "+2".into(),
            started_at: "2026-01-01T00:00:00.000Z".into(),
            answered_at: None,
            ended_at: None,
            legs: vec![],
        }
    }

    fn sids(left: &[Value]) -> Vec<&str> {
        left.iter().map(|record| record["sid"].as_str().unwrap()).collect()
    }

    #[test]
    fn what_a_crash_cut_short_is_told_once() {
        let directory = tempfile::tempdir().unwrap();
        let records = directory.path().join("cdr.jsonl");
        let (mut journal, left) = Journal::open(&records).unwrap();
        assert!(left.is_empty());
        for sid in ["CA1", "CA2", "CA3"] {
            journal.begin(&call(sid)).unwrap();
        }
        journal.end("CA2").unwrap();
        // The crash came before this one was crossed out, and in the middle of another line.
        std::fs::write(&records, "{\"sid\":\"CA3\"}\n").unwrap();
        journal.append(b"{\"began\":{\"sid\":\"CA4\"").unwrap();
        drop(journal);
        let (journal, left) = Journal::open(&records).unwrap();
        assert_eq!(sids(&left), ["CA1"]);
        assert_eq!((&left[0]["reason"], &left[0]["outcome"]), (&json!("edge_restarted"), &json!("failed")));
        assert_eq!(
            (&left[0]["state"], &left[0]["route"], &left[0]["sip_code"]),
            (&json!("ended"), &json!("r"), &Value::Null)
        );
        drop(journal);
        assert!(Journal::open(&records).unwrap().1.is_empty());
    }

    #[test]
    fn the_legs_of_a_call_that_was_cut_short_ended_with_the_edge_unless_they_had_ended() {
        let lost = json!({"state": "ended", "reason": "agent_reset", "ended_by": "far_end"});
        let record = closed(json!({"legs": [{"state": "answered", "reason": null, "ended_by": null}, lost]}));
        let cut_short = json!({"state": "ended", "reason": "edge_restarted", "ended_by": "edge"});
        assert_eq!(record["legs"], json!([cut_short, lost]));
    }

    #[test]
    fn a_journal_belongs_to_one_process() {
        let directory = tempfile::tempdir().unwrap();
        let records = directory.path().join("cdr.jsonl");
        let _first = Journal::open(&records).unwrap();
        let second = Journal::open(&records).unwrap_err();
        assert!(second.to_string().contains("cdr.jsonl.live: "), "{second}");
    }

    #[test]
    fn it_grows_with_live_calls_only() {
        let directory = tempfile::tempdir().unwrap();
        let records = directory.path().join("cdr.jsonl");
        let (mut journal, _) = Journal::open(&records).unwrap();
        journal.begin(&call("CA-long")).unwrap();
        for n in 0..3 * limits::JOURNAL_SPARE_LINES {
            let sid = format!("CA{n}");
            journal.begin(&call(&sid)).unwrap();
            journal.end(&sid).unwrap();
        }
        assert!(journal.lines <= limits::JOURNAL_SPARE_LINES + 8, "{}", journal.lines);
        let (other, _) = Journal::open(&directory.path().join("other.jsonl")).unwrap();
        journal.move_to(other).unwrap();
        journal.begin(&call("CA-new")).unwrap();
        drop(journal);
        assert!(!directory.path().join("cdr.jsonl.live").exists());
        let (journal, left) = Journal::open(&directory.path().join("other.jsonl")).unwrap();
        assert_eq!(sids(&left), ["CA-long", "CA-new"]);
        assert_eq!(journal.file.metadata().unwrap().len(), 0);
    }
}
