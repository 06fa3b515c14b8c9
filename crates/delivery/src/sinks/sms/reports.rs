//! Status callbacks about messages, waiting in the store. Each is written in one transaction with the state of its
//! message, and removed in one transaction with the creation of its callback, so none is lost.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::kept::{KeptMessage, find};
use super::texts::{millis, time};

/// Request to the `action` URL of a reply, made when the reply is queued.
#[derive(Clone, PartialEq, Eq)]
pub struct Action {
    /// URL that the document names as `action`.
    pub url: String,
    /// True for GET, false for POST.
    pub is_get: bool,
}

/// Status of a message, to be reported to a receiver.
#[derive(Clone, PartialEq, Eq)]
pub struct StatusReport {
    /// Message in the state to report.
    pub message: KeptMessage,
    /// Status to report.
    pub status: String,
    /// Twilio's error code; `None` without an error.
    pub error: Option<u32>,
    /// Time at which the message reached the status.
    pub created: Timestamp,
    /// Request to an `action` URL, made instead of the status callback.
    pub action: Option<Action>,
}

/// Adds a status callback about a message.
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

/// Adds the request to the `action` URL of a queued reply.
pub(super) fn add_action(store: &Connection, message: &KeptMessage, action: &Action) -> rusqlite::Result<()> {
    let mut add = store.prepare(
        "INSERT INTO message_report (message, status, created, url, is_get) VALUES (?1, 'queued', ?2, ?3, ?4)",
    )?;
    add.execute(params![message.sid, millis(message.created), action.url, action.is_get]).map(drop)
}

/// Status callbacks that were removed from the store to be sent.
pub struct Taken {
    /// Status callbacks about messages that still exist, in order.
    pub reports: Vec<StatusReport>,
    /// Number of status callbacks removed, including those about deleted messages.
    pub count: usize,
}

/// Removes and returns the oldest status callbacks, at most `most`.
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
    // RETURNING guarantees no order.
    taken.sort_by_key(|(id, _)| *id);
    Ok(Taken { reports: taken.into_iter().map(|(_, report)| report).collect(), count })
}
