//! E-mails in the outbox, as `status` shows them: those that wait, and those that were given up lately.

use rusqlite::{Connection, OptionalExtension as _, Row};
use trunkgate_system::limits::MAIL_FAILED_SECONDS;

use super::NAME;

/// Time for which an e-mail that was given up is kept.
pub(super) const FAILED_MILLISECONDS: i64 = MAIL_FAILED_SECONDS.cast_signed() * 1000;

/// An e-mail that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sinks::recordings) struct Failed {
    /// Name of the mailbox.
    pub(super) mailbox: String,
    /// Attempts that have failed.
    pub(super) attempts: u32,
    /// Why the last one has failed.
    pub(super) error: Option<String>,
}

/// E-mails of the store.
#[derive(Debug, Default)]
pub(in crate::sinks::recordings) struct Waiting {
    /// How many wait.
    pub(super) all: u64,
    /// How many were given up lately.
    pub(super) failed: u64,
    /// The last of those.
    pub(super) last_failed: Option<Failed>,
}

/// Counts those that wait; forgets those that were given up before a time.
pub(super) fn waiting(store: &Connection, failed_since: i64) -> rusqlite::Result<Waiting> {
    store.execute("DELETE FROM outbox WHERE kind = ?1 AND given_up < ?2", (NAME, failed_since))?;
    let counted = "SELECT count(*) - count(given_up), count(given_up) FROM outbox WHERE kind = ?1";
    let (all, failed): (i64, i64) = store.query_row(counted, [NAME], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let last = "SELECT share, attempts, error FROM outbox WHERE kind = ?1 AND given_up IS NOT NULL ORDER BY given_up DESC LIMIT 1";
    let failed_one = |row: &Row<'_>| Ok(Failed { mailbox: row.get(0)?, attempts: row.get(1)?, error: row.get(2)? });
    let last_failed = store.query_row(last, [NAME], failed_one).optional()?;
    Ok(Waiting { all: all.try_into().unwrap_or(0), failed: failed.try_into().unwrap_or(0), last_failed })
}
