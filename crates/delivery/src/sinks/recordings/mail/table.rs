//! Waiting and recently given-up e-mails in the outbox, for `status`.

use rusqlite::{Connection, OptionalExtension as _, Row};
use trunkgate_system::limits::MAIL_FAILED_SECONDS;

use super::NAME;

/// Time for which a given-up e-mail is kept.
pub(super) const FAILED_MILLISECONDS: i64 = MAIL_FAILED_SECONDS.cast_signed() * 1000;

/// E-mail that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sinks::recordings) struct Failed {
    /// Name of the mailbox.
    pub(super) mailbox: String,
    /// Number of failed attempts.
    pub(super) attempts: u32,
    /// Error of the last attempt.
    pub(super) error: Option<String>,
}

/// Counts of e-mails in the store.
#[derive(Debug, Default)]
pub(in crate::sinks::recordings) struct Waiting {
    /// Number of waiting e-mails.
    pub(super) all: u64,
    /// Number of recently given-up e-mails.
    pub(super) failed: u64,
    /// Last given-up e-mail.
    pub(super) last_failed: Option<Failed>,
}

/// Counts waiting e-mails, and removes those given up before a time.
pub(super) fn waiting(store: &Connection, failed_since: i64) -> rusqlite::Result<Waiting> {
    store.execute("DELETE FROM outbox WHERE kind = ?1 AND given_up < ?2", (NAME, failed_since))?;
    let counted = "SELECT count(*) - count(given_up), count(given_up) FROM outbox WHERE kind = ?1";
    let (all, failed): (i64, i64) = store.query_row(counted, [NAME], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let last = "SELECT share, attempts, error FROM outbox WHERE kind = ?1 AND given_up IS NOT NULL ORDER BY given_up DESC LIMIT 1";
    let failed_one = |row: &Row<'_>| Ok(Failed { mailbox: row.get(0)?, attempts: row.get(1)?, error: row.get(2)? });
    let last_failed = store.query_row(last, [NAME], failed_one).optional()?;
    Ok(Waiting { all: all.try_into().unwrap_or(0), failed: failed.try_into().unwrap_or(0), last_failed })
}
