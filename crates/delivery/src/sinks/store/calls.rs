//! Table of ended calls in the store. [`CallList`](crate::sinks::calls::CallList) uses it for the edge's list of calls.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

/// Call in its stored form.
#[derive(Debug, Clone)]
pub(crate) struct StoredCall {
    pub(crate) sid: String,
    /// Start of the call, formatted as in its record.
    pub(crate) started: String,
    /// End of the call in milliseconds since 1970.
    pub(crate) ended: i64,
    pub(crate) caller: String,
    pub(crate) called: String,
    /// SIDs under which the API shows the calls of the call's parties.
    pub(crate) parties: Vec<String>,
    /// Call record as JSON.
    pub(crate) record: Arc<[u8]>,
}

/// Text that sorts after every date and every SID.
const LAST: &str = "~";

/// Filter for a page of ended calls, newest first.
#[derive(Debug, Clone)]
pub struct CallFilter {
    /// Earliest end of a retained call, in milliseconds since 1970.
    pub ended_since: i64,
    /// Start and SID of the call before the page.
    pub behind: (String, String),
    /// Earliest start of a listed call, formatted as in the record.
    pub since: String,
    /// Number of the caller to match.
    pub caller: Option<String>,
    /// Called number that calls must have; `None` for any.
    pub called: Option<String>,
}

impl Default for CallFilter {
    fn default() -> CallFilter {
        let behind = (LAST.to_owned(), LAST.to_owned());
        CallFilter { ended_since: 0, behind, since: String::new(), caller: None, called: None }
    }
}

impl CallFilter {
    /// Restricts the filter to calls that started at this time or before.
    pub fn until(self, started: &str) -> CallFilter {
        CallFilter { behind: (started.to_owned(), LAST.to_owned()), ..self }
    }
}

/// Call as read: start, SID and record.
pub(crate) type ListedCall = (String, String, Vec<u8>);

/// Writes calls, except those that a request has removed. A call with the same SID is replaced.
pub(crate) fn add(store: &Connection, calls: &[StoredCall]) -> rusqlite::Result<()> {
    let mut call = store.prepare(
        "INSERT OR REPLACE INTO call (sid, started, ended, caller, called, record)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE NOT EXISTS (SELECT 1 FROM call_removed WHERE sid = ?1)",
    )?;
    let mut party = store.prepare("INSERT OR REPLACE INTO call_party (sid, call) VALUES (?1, ?2)")?;
    for StoredCall { sid, started, ended, caller, called, parties, record } in calls {
        let is_new = call.execute(params![sid, started, ended, caller, called, &**record])? > 0;
        for of_party in parties.iter().filter(|_| is_new) {
            party.execute((of_party, sid))?;
        }
    }
    Ok(())
}

/// Reads a page of at most `most` calls, newest first.
pub(crate) fn part(store: &Connection, part: &CallFilter, most: usize) -> rusqlite::Result<Vec<ListedCall>> {
    let mut rows = store.prepare(
        "SELECT started, sid, record FROM call
         WHERE (started, sid) < (?1, ?2) AND started >= ?3 AND ended >= ?4
           AND (?5 IS NULL OR caller = ?5) AND (?6 IS NULL OR called = ?6)
         ORDER BY started DESC, sid DESC LIMIT ?7",
    )?;
    let CallFilter { ended_since, behind: (started, sid), since, caller, called } = part;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let given = params![started, sid, since, ended_since, caller, called, most];
    let rows = rows.query_map(given, |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    rows.collect()
}

/// Returns the record of a call by its SID or that of a party's call; `None` if it ended before `ended_since`.
pub(crate) fn find(store: &Connection, sid: &str, ended_since: i64) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut found = store.prepare(
        "SELECT record FROM call WHERE ended >= ?2 AND sid = coalesce((SELECT call FROM call_party WHERE sid = ?1), ?1)",
    )?;
    found.query_row((sid, ended_since), |row| row.get(0)).optional()
}

/// Removes a call and the calls of its parties for a request at `now` (milliseconds since 1970). A record that arrives
/// later, also from the journal of live calls, does not add the call again. Returns whether the call existed.
pub(crate) fn remove(store: &Connection, sid: &str, now: i64) -> rusqlite::Result<bool> {
    store.prepare("INSERT OR REPLACE INTO call_removed (sid, removed) VALUES (?1, ?2)")?.execute((sid, now))?;
    delete(store, sid)
}

fn delete(store: &Connection, sid: &str) -> rusqlite::Result<bool> {
    store.prepare("DELETE FROM call_party WHERE call = ?1")?.execute([sid])?;
    Ok(store.prepare("DELETE FROM call WHERE sid = ?1")?.execute([sid])? > 0)
}

/// Removes calls that ended before `ended_before`, and the oldest ones beyond `most`, but at most `at_once`. Returns
/// the number of removed calls.
pub(crate) fn prune(store: &Connection, ended_before: i64, most: usize, at_once: usize) -> rusqlite::Result<usize> {
    store.prepare("DELETE FROM call_removed WHERE removed < ?1")?.execute([ended_before])?;
    let count: i64 = store.query_row("SELECT count(*) FROM call", [], |row| row.get(0))?;
    let beyond = count.saturating_sub(i64::try_from(most).unwrap_or(i64::MAX)).max(0);
    let at_once = i64::try_from(at_once).unwrap_or(i64::MAX);
    let over: Vec<String> = {
        let mut over = store.prepare("SELECT sid FROM call WHERE ended < ?1 ORDER BY ended LIMIT ?2")?;
        over.query_map((ended_before, at_once), |row| row.get(0))?.collect::<rusqlite::Result<_>>()?
    };
    let over = match over.is_empty() {
        false => over,
        true => {
            let mut oldest = store.prepare("SELECT sid FROM call ORDER BY ended LIMIT ?1")?;
            oldest.query_map([beyond.min(at_once)], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?
        }
    };
    for sid in &over {
        delete(store, sid)?;
    }
    Ok(over.len())
}

#[cfg(test)]
mod tests {
    use super::super::Store;
    use super::*;
    use trunkgate_config::DataDirectory;

    fn call(n: u32) -> StoredCall {
        StoredCall {
            sid: format!("CA{n}"),
            started: format!("2026-01-01T00:00:{:02}.000Z", n / 2),
            ended: 1000 + i64::from(n),
            caller: format!("+1{}", n % 3),
            called: "+2".to_owned(),
            parties: vec![format!("CP{n}")],
            record: format!("{{\"n\":{n}}}").into_bytes().into(),
        }
    }

    fn filled() -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::start(DataDirectory::of(directory.path())).unwrap();
        store.run_now(|file| add(file, &(0..10).map(call).collect::<Vec<_>>())).unwrap();
        (directory, store)
    }

    fn sids(store: &Store, wanted: CallFilter, most: usize) -> Vec<String> {
        let found = store.run_now(move |file| part(file, &wanted, most)).unwrap();
        found.into_iter().map(|(_, sid, _)| sid).collect()
    }

    #[test]
    fn parts_follow_each_other_also_while_calls_come() {
        let (_directory, store) = filled();
        let first = sids(&store, CallFilter::default(), 3);
        assert_eq!(first, ["CA9", "CA8", "CA7"]);
        store.run_now(|file| add(file, &[call(10)])).unwrap();
        let behind = (call(7).started, "CA7".to_owned());
        assert_eq!(sids(&store, CallFilter { behind, ..CallFilter::default() }, 3), ["CA6", "CA5", "CA4"]);
        assert_eq!(
            sids(&store, CallFilter { caller: Some("+10".to_owned()), ..CallFilter::default() }, 9),
            ["CA9", "CA6", "CA3", "CA0"]
        );
        assert_eq!(sids(&store, CallFilter::default().until(&call(3).started), 9), ["CA3", "CA2", "CA1", "CA0"]);
        assert_eq!(
            sids(&store, CallFilter { since: call(8).started, ..CallFilter::default() }, 9),
            ["CA10", "CA9", "CA8"]
        );
        assert_eq!(sids(&store, CallFilter { ended_since: 1009, ..CallFilter::default() }, 9), ["CA10", "CA9"]);
    }

    #[test]
    fn a_call_is_found_by_each_sid_until_it_is_removed() {
        let (_directory, store) = filled();
        let found = |sid: &'static str| store.run_now(move |file| find(file, sid, 0)).unwrap();
        assert_eq!(found("CA4"), Some(b"{\"n\":4}".to_vec()));
        assert_eq!(found("CP4"), found("CA4"));
        assert_eq!(store.run_now(|file| find(file, "CA4", 1005)).unwrap(), None, "its time is over");
        let remove = |now: i64| store.run_now(move |file| remove(file, "CA4", now)).unwrap();
        assert!(remove(2000) && !remove(2000));
        assert_eq!((found("CA4"), found("CP4"), found("unknown")), (None, None, None));
        // The call may be added again only after its removal has been pruned.
        let again = |pruned_before: i64| {
            store.run_now(move |file| prune(file, pruned_before, 100, 0).and_then(|_| add(file, &[call(4)]))).unwrap();
            (found("CA4").is_some(), found("CP4").is_some())
        };
        assert_eq!((again(2000), again(2001)), ((false, false), (true, true)));
    }

    #[test]
    fn the_oldest_go_in_portions_when_their_time_is_over_or_there_are_too_many() {
        let (_directory, store) = filled();
        let prune = |before: i64, most: usize| store.run_now(move |file| prune(file, before, most, 2)).unwrap();
        assert_eq!([prune(1003, 100), prune(1003, 100), prune(1003, 100)], [2, 1, 0]);
        assert_eq!([prune(0, 4), prune(0, 4), prune(0, 4)], [2, 1, 0]);
        assert_eq!(sids(&store, CallFilter::default(), 100), ["CA9", "CA8", "CA7", "CA6"]);
        let parties: i64 =
            store.run_now(|file| file.query_row("SELECT count(*) FROM call_party", [], |row| row.get(0))).unwrap();
        assert_eq!(parties, 4);
    }
}
