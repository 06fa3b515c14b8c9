//! E-mails in the store: those that wait, and those that were given up lately.

use rusqlite::{Connection, Row, params};

/// An e-mail about a message in a mailbox.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::sinks::recordings) struct Letter {
    /// SID of the recording that is the message.
    pub(super) recording: String,
    /// Name of the mailbox.
    pub(super) mailbox: String,
    /// Address.
    pub(super) recipient: String,
    /// When the message was complete, in milliseconds since 1970.
    pub(super) created: i64,
    /// Time of the last change, in milliseconds since 1970.
    pub(super) updated: i64,
    /// Time of the next attempt, in milliseconds since 1970.
    pub(super) due: i64,
    /// Attempts that have failed.
    pub(super) attempts: u32,
    /// Whether it was given up.
    pub(super) is_failed: bool,
    /// Why the last attempt has failed.
    pub(super) error: Option<String>,
}

/// Without the address.
impl std::fmt::Debug for Letter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Letter")
            .field("recording", &self.recording)
            .field("mailbox", &self.mailbox)
            .finish_non_exhaustive()
    }
}

const COLUMNS: &str = "recording, mailbox, recipient, created, updated, due, attempts, is_failed, error";

fn letter(row: &Row<'_>) -> rusqlite::Result<Letter> {
    Ok(Letter {
        recording: row.get("recording")?,
        mailbox: row.get("mailbox")?,
        recipient: row.get("recipient")?,
        created: row.get("created")?,
        updated: row.get("updated")?,
        due: row.get("due")?,
        attempts: row.get("attempts")?,
        is_failed: row.get("is_failed")?,
        error: row.get("error")?,
    })
}

/// Writes one in the place of an earlier one about the same message.
pub(in crate::sinks::recordings) fn put(store: &Connection, one: &Letter) -> rusqlite::Result<()> {
    let mut put = store
        .prepare(&format!("INSERT OR REPLACE INTO mail ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"))?;
    let Letter { recording, mailbox, recipient, created, updated, due, attempts, is_failed, error } = one;
    put.execute(params![recording, mailbox, recipient, created, updated, due, attempts, is_failed, error])?;
    Ok(())
}

/// Writes what an attempt has led to; whether it is still there, and waits for that.
pub(super) fn update(store: &Connection, changed: &Letter) -> rusqlite::Result<bool> {
    let mut update = store.prepare(
        "UPDATE mail SET updated = ?2, due = ?3, attempts = ?4, is_failed = ?5, error = ?6 WHERE recording = ?1 AND is_failed = 0",
    )?;
    let Letter { recording, updated, due, attempts, is_failed, error, .. } = changed;
    Ok(update.execute(params![recording, updated, due, attempts, is_failed, error])? > 0)
}

/// Has the e-mail about a message sent now whose text it has waited for.
pub(in crate::sinks::recordings) fn text_is_known(
    store: &Connection,
    recording: &str,
    now: i64,
) -> rusqlite::Result<()> {
    let sent = "UPDATE mail SET due = min(due, ?2) WHERE recording = ?1 AND is_failed = 0 AND attempts = 0";
    store.execute(sent, params![recording, now]).map(drop)
}

/// Removes one that was sent, and with it those to the same address that were given up: it takes e-mail again.
pub(super) fn sent(store: &Connection, one: &Letter) -> rusqlite::Result<()> {
    delete_of(store, &one.recording)?;
    store.execute("DELETE FROM mail WHERE recipient = ?1 AND is_failed = 1", [&one.recipient]).map(drop)
}

/// Removes that of a recording.
pub(in crate::sinks::recordings) fn delete_of(store: &Connection, recording: &str) -> rusqlite::Result<()> {
    store.execute("DELETE FROM mail WHERE recording = ?1", [recording]).map(drop)
}

/// E-mails that wait, and what is known of those that do not.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Those whose attempt is due, the oldest first.
    pub(super) due: Vec<Letter>,
    /// Time of the next attempt after these.
    pub(super) next: Option<i64>,
    /// How many wait.
    pub(super) all: u64,
    /// How many were given up lately.
    pub(super) failed: u64,
    /// The last of those.
    pub(super) last_failed: Option<Letter>,
}

/// Reads those that wait, `most` of the due ones; forgets those that were given up before a time.
pub(super) fn waiting(store: &Connection, now: i64, failed_since: i64, most: usize) -> rusqlite::Result<Waiting> {
    store.execute("DELETE FROM mail WHERE is_failed = 1 AND updated < ?1", [failed_since])?;
    let mut rows = store.prepare(&format!(
        "SELECT {COLUMNS} FROM mail WHERE is_failed = 0 AND due <= ?1 ORDER BY due, created, recording LIMIT ?2"
    ))?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let due = rows.query_map(params![now, most], letter)?.collect::<rusqlite::Result<_>>()?;
    let counted = "SELECT min(CASE WHEN due > ?1 THEN due END), count(*) FROM mail WHERE is_failed = 0";
    let (next, all): (Option<i64>, i64) = store.query_row(counted, [now], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let failed: i64 = store.query_row("SELECT count(*) FROM mail WHERE is_failed = 1", [], |row| row.get(0))?;
    let mut last =
        store.prepare(&format!("SELECT {COLUMNS} FROM mail WHERE is_failed = 1 ORDER BY updated DESC LIMIT 1"))?;
    let last_failed = last.query_map([], letter)?.next().transpose()?;
    Ok(Waiting { due, next, all: all.try_into().unwrap_or(0), failed: failed.try_into().unwrap_or(0), last_failed })
}
