//! Ended conferences in the store. The running edge keeps the latest ones in memory and reads those of earlier
//! processes at its start.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, params};
use trunkgate_call::ConferenceReport;
use trunkgate_call::limits::ENDED_CONFERENCES;
use trunkgate_conference::{ConferenceStatus, EndReason};

use crate::sinks::store::{Commit, Store};

/// Ended conferences in the store, and those that it has refused.
#[derive(Debug, Clone)]
pub(crate) struct ConferenceList {
    store: Store,
    /// Conferences refused by the store, oldest first.
    unwritten: Arc<Mutex<VecDeque<ConferenceReport>>>,
}

impl ConferenceList {
    /// Creates the list on a store.
    pub(crate) fn new(store: Store) -> ConferenceList {
        ConferenceList { store, unwritten: Arc::default() }
    }

    /// Stores an ended conference, together with those that the store refused before. Does not block on the disk.
    pub(crate) fn add(&self, report: ConferenceReport) {
        let batch: Vec<ConferenceReport> = {
            let mut unwritten = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner);
            unwritten.push_back(report);
            unwritten.drain(..).collect()
        };
        let (written, unwritten) = (batch.clone(), Arc::clone(&self.unwritten));
        let add = move |store: &Connection| write(store, &written);
        self.store.submit(Commit::Soon, add, move |done| {
            let Err(error) = done else { return };
            tracing::debug!("conferences that have ended are stored later: {error}");
            let mut unwritten = unwritten.lock().unwrap_or_else(PoisonError::into_inner);
            batch.into_iter().rev().for_each(|report| unwritten.push_front(report));
            let surplus = unwritten.len().saturating_sub(ENDED_CONFERENCES);
            unwritten.drain(..surplus);
        });
    }

    /// Reads the conferences that ended since a time, oldest first; blocks on the disk.
    ///
    /// # Errors
    /// Returns the error of the store.
    pub(crate) fn read(&self, since: SystemTime) -> io::Result<Vec<ConferenceReport>> {
        if !self.store.has_any() {
            return Ok(Vec::new());
        }
        let since = milliseconds(since);
        self.store.read_now(move |store| read(store, since))
    }
}

fn milliseconds(at: SystemTime) -> i64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn date(milliseconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(milliseconds).unwrap_or_default())
}

/// Writes conferences, and removes the oldest ones beyond [`ENDED_CONFERENCES`].
fn write(store: &Connection, reports: &[ConferenceReport]) -> rusqlite::Result<()> {
    let mut add = store.prepare(
        "INSERT OR REPLACE INTO conference (sid, name, began, ended, reason, call) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for ConferenceReport { sid, name, began, ended, .. } in reports {
        let Some((at, reason, call)) = ended else { continue };
        add.execute(params![sid, name, milliseconds(*began), milliseconds(*at), reason.name(), call])?;
    }
    let most = i64::try_from(ENDED_CONFERENCES).unwrap_or(i64::MAX);
    let surplus = "DELETE FROM conference WHERE rowid NOT IN (SELECT rowid FROM conference ORDER BY ended DESC, sid DESC LIMIT ?1)";
    store.prepare(surplus)?.execute([most])?;
    Ok(())
}

fn read(store: &Connection, since: i64) -> rusqlite::Result<Vec<ConferenceReport>> {
    let mut rows = store.prepare(
        "SELECT sid, name, began, ended, reason, call FROM conference WHERE ended >= ?1 ORDER BY ended, sid",
    )?;
    let report = |row: &rusqlite::Row<'_>| {
        let reason: String = row.get("reason")?;
        let reason = EndReason::ALL.into_iter().find(|known| known.name() == reason).unwrap_or(EndReason::LastLeft);
        Ok(ConferenceReport {
            sid: row.get("sid")?,
            name: row.get("name")?,
            status: ConferenceStatus::Completed,
            began: date(row.get("began")?),
            ended: Some((date(row.get("ended")?), reason, row.get("call")?)),
            parties: Vec::new(),
            recordings: Vec::new(),
        })
    };
    rows.query_map([since], report)?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(at: i64, reason: EndReason, call: Option<&str>) -> ConferenceReport {
        ConferenceReport {
            sid: format!("CF{at:032x}"),
            name: "weekly".to_owned(),
            status: ConferenceStatus::Completed,
            began: date(at * 1000),
            ended: Some((date(at * 1000 + 500), reason, call.map(str::to_owned))),
            parties: Vec::new(),
            recordings: Vec::new(),
        }
    }

    #[test]
    fn conferences_are_read_as_they_were_written_and_the_oldest_are_removed() {
        let store = Connection::open_in_memory().unwrap();
        store.execute_batch(crate::sinks::store::SCHEMA).unwrap();
        let one = report(1, EndReason::ModeratorLeft, Some("CA1"));
        let two = report(2, EndReason::ViaApi, None);
        write(&store, &[two.clone(), one.clone()]).unwrap();
        assert_eq!(read(&store, 0).unwrap(), [one, two.clone()]);
        assert_eq!(read(&store, 2_000).unwrap(), [two]);
        let most = i64::try_from(ENDED_CONFERENCES).unwrap();
        let many: Vec<ConferenceReport> = (3..3 + most).map(|at| report(at, EndReason::LastLeft, None)).collect();
        write(&store, &many).unwrap();
        assert_eq!(read(&store, 0).unwrap(), many);
    }
}
