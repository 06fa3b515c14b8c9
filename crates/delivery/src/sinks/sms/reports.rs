//! States of messages that their receivers are still to hear of, in the store: each is written with the change of the message, so that
//! none is lost with the process, and leaves when it is made a callback in the same change.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::kept::{KeptMessage, find};
use super::texts::{millis, time};

/// Request that a reply wants to be made once its message is queued.
#[derive(Clone, PartialEq, Eq)]
pub struct Action {
    /// Address of the request.
    pub url: String,
    /// Whether it is a GET; else it is a POST.
    pub is_get: bool,
}

/// A state that a receiver is still to hear of.
#[derive(Clone, PartialEq, Eq)]
pub struct StatusReport {
    /// The message.
    pub message: KeptMessage,
    /// Status to report.
    pub status: String,
    /// Twilio's error code.
    pub error: Option<u32>,
    /// Time of the change.
    pub created: Timestamp,
    /// Request that is made instead of one to the message's own receiver.
    pub action: Option<Action>,
}

/// Has the receiver of a message hear that it has reached a state.
pub(super) fn add(
    store: &Connection,
    now: Timestamp,
    sid: &str,
    (status, error): (&str, Option<u32>),
) -> rusqlite::Result<()> {
    let mut add =
        store.prepare("INSERT INTO message_report (message, status, error, created) VALUES (?1, ?2, ?3, ?4)")?;
    add.execute(params![sid, status, error, millis(now)]).map(drop)
}

/// Has the `action` of a reply hear that its message is queued.
pub(super) fn add_action(store: &Connection, message: &KeptMessage, action: &Action) -> rusqlite::Result<()> {
    let mut add = store.prepare(
        "INSERT INTO message_report (message, status, created, url, is_get) VALUES (?1, 'queued', ?2, ?3, ?4)",
    )?;
    add.execute(params![message.sid, millis(message.created), action.url, action.is_get]).map(drop)
}

/// Reports that were removed from the store.
pub struct Taken {
    /// Those of messages that were not deleted meanwhile, in order.
    pub reports: Vec<StatusReport>,
    /// How many were removed.
    pub count: usize,
}

/// Removes the oldest reports.
pub fn take(store: &Connection, most: usize) -> rusqlite::Result<Taken> {
    let mut rows = store.prepare(
        "DELETE FROM message_report WHERE id IN (SELECT id FROM message_report ORDER BY id LIMIT ?1)
         RETURNING id, message, status, error, created, url, is_get",
    )?;
    let mut rows = rows.query([i64::try_from(most).unwrap_or(i64::MAX)])?;
    let (mut taken, mut count) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        count += 1;
        let (id, sid, created): (i64, String, i64) = (row.get(0)?, row.get(1)?, row.get(4)?);
        let Some(message) = find(store, &sid)? else { continue };
        let (url, is_get): (Option<String>, bool) = (row.get(5)?, row.get(6)?);
        let action = url.map(|url| Action { url, is_get });
        let report = StatusReport { message, status: row.get(2)?, error: row.get(3)?, created: time(created), action };
        taken.push((id, report));
    }
    // The order of RETURNING is not defined.
    taken.sort_by_key(|(id, _)| *id);
    Ok(Taken { reports: taken.into_iter().map(|(_, report)| report).collect(), count })
}
