//! Table of the outbox in the store.

use std::borrow::Borrow;

use rusqlite::{Connection, OptionalExtension as _, Row as Record, params};

use super::{Failure, Head, Outcome, Row};

const HEAD: &str = "key, line, host, place, share, created, due, attempts, octet_length(body) + length(line) + length(place) + 150 AS bytes";

/// Returns the size of a row in bytes, computed as in [`HEAD`].
pub(super) fn bytes(line: &str, place: &str, body: &str) -> usize {
    body.len() + line.len() + place.len() + 150
}

fn head(record: &Record<'_>) -> rusqlite::Result<Head> {
    let bytes: u32 = record.get("bytes")?;
    Ok(Head {
        key: record.get("key")?,
        line: record.get("line")?,
        host: record.get("host")?,
        place: record.get("place")?,
        share: record.get("share")?,
        created: record.get("created")?,
        due: record.get("due")?,
        attempts: record.get("attempts")?,
        bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
    })
}

/// Inserts rows of a delivery kind. An existing row stays unchanged, unless it was given up: then it is replaced.
pub(in crate::sinks) fn add(store: &Connection, kind: &str, rows: &[impl Borrow<Row>]) -> rusqlite::Result<()> {
    let mut insert = store.prepare(
        "INSERT INTO outbox (kind, key, line, host, place, share, created, due, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (kind, key) DO UPDATE SET created = excluded.created, due = excluded.due, attempts = 0, error = NULL,
             given_up = NULL, body = excluded.body WHERE given_up IS NOT NULL",
    )?;
    for Row { head, body } in rows.iter().map(Borrow::borrow) {
        let Head { key, line, host, place, share, created, due, .. } = head;
        insert.execute(params![kind, key, line, host, place, share, created, due, body])?;
    }
    Ok(())
}

/// Reads the waiting rows of a delivery kind without their bodies, oldest first.
pub(in crate::sinks) fn heads(store: &Connection, kind: &str, most: usize) -> rusqlite::Result<Vec<Head>> {
    let mut rows = store.prepare(&format!(
        "SELECT {HEAD} FROM outbox WHERE kind = ?1 AND given_up IS NULL ORDER BY created, rowid LIMIT ?2"
    ))?;
    rows.query_map(params![kind, i64::try_from(most).unwrap_or(i64::MAX)], head)?.collect()
}

/// Reads a waiting row with its body; `None` if the store has none with this key.
pub(super) fn read(store: &Connection, kind: &str, key: &str) -> rusqlite::Result<Option<Row>> {
    let mut found =
        store.prepare(&format!("SELECT {HEAD}, body FROM outbox WHERE kind = ?1 AND key = ?2 AND given_up IS NULL"))?;
    let row = |record: &Record<'_>| Ok(Row { head: head(record)?, body: record.get("body")? });
    found.query_row([kind, key], row).optional()
}

/// Removes rows, including those given up.
pub(in crate::sinks) fn remove(store: &Connection, kind: &str, keys: &[impl AsRef<str>]) -> rusqlite::Result<()> {
    let mut remove = store.prepare("DELETE FROM outbox WHERE kind = ?1 AND key = ?2")?;
    keys.iter().try_for_each(|key| remove.execute([kind, key.as_ref()]).map(drop))
}

/// Stores the outcome of a row, unless the row was removed meanwhile. A delivery also removes the given-up rows to the
/// same place, because the place accepts deliveries again.
pub(in crate::sinks) fn settle<T>(
    store: &Connection,
    kind: &str,
    key: &str,
    outcome: &Outcome<T>,
) -> rusqlite::Result<()> {
    match outcome {
        Outcome::Delivered(_) => {
            let mut others = store.prepare(
                "DELETE FROM outbox WHERE kind = ?1 AND given_up IS NOT NULL
                 AND place = (SELECT place FROM outbox WHERE kind = ?1 AND key = ?2)",
            )?;
            others.execute([kind, key])?;
            remove(store, kind, &[key])
        }
        Outcome::Dropped => remove(store, kind, &[key]),
        Outcome::Failed(failure) => failed(store, kind, key, failure, None),
        Outcome::GivenUp(failure) => failed(store, kind, key, failure, Some(failure.at)),
    }
}

fn failed(
    store: &Connection,
    kind: &str,
    key: &str,
    Failure { attempts, due, error, .. }: &Failure,
    given_up: Option<i64>,
) -> rusqlite::Result<()> {
    let mut update = store.prepare(
        "UPDATE outbox SET attempts = ?3, due = ?4, error = ?5, given_up = ?6 WHERE kind = ?1 AND key = ?2 AND given_up IS NULL",
    )?;
    update.execute(params![kind, key, attempts, due, error, given_up]).map(drop)
}

/// Removes rows that were given up before a time, in milliseconds since 1970.
pub(in crate::sinks) fn forget(store: &Connection, kind: &str, before: i64) -> rusqlite::Result<()> {
    store.execute("DELETE FROM outbox WHERE kind = ?1 AND given_up < ?2", params![kind, before]).map(drop)
}

/// Row that was given up, as `status` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sinks) struct GivenUp {
    /// Party for which the row was sent.
    pub(in crate::sinks) share: String,
    /// Number of failed attempts.
    pub(in crate::sinks) attempts: u32,
    /// Error of the last attempt.
    pub(in crate::sinks) error: Option<String>,
}

/// Numbers of rows of a delivery kind.
#[derive(Debug, Default)]
pub(in crate::sinks) struct Counts {
    /// Number of rows that wait for delivery.
    pub(in crate::sinks) all: u64,
    /// Number of rows that were given up recently.
    pub(in crate::sinks) failed: u64,
    /// Row that was given up last; `None` if there is none.
    pub(in crate::sinks) last_failed: Option<GivenUp>,
}

/// Counts the rows of a delivery kind, after removing those given up before `failed_since` (milliseconds since 1970).
pub(in crate::sinks) fn counts(store: &Connection, kind: &str, failed_since: i64) -> rusqlite::Result<Counts> {
    forget(store, kind, failed_since)?;
    let counted = "SELECT count(*) - count(given_up), count(given_up) FROM outbox WHERE kind = ?1";
    let (all, failed): (i64, i64) = store.query_row(counted, [kind], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let last = "SELECT share, attempts, error FROM outbox WHERE kind = ?1 AND given_up IS NOT NULL ORDER BY given_up DESC LIMIT 1";
    let given_up = |row: &Record<'_>| Ok(GivenUp { share: row.get(0)?, attempts: row.get(1)?, error: row.get(2)? });
    let last_failed = store.query_row(last, [kind], given_up).optional()?;
    Ok(Counts { all: all.try_into().unwrap_or(0), failed: failed.try_into().unwrap_or(0), last_failed })
}

/// Advances the first attempt of a waiting row to `due` (milliseconds since 1970), if that is earlier.
pub(in crate::sinks) fn hasten(store: &Connection, kind: &str, key: &str, due: i64) -> rusqlite::Result<()> {
    let sooner =
        "UPDATE outbox SET due = min(due, ?3) WHERE kind = ?1 AND key = ?2 AND given_up IS NULL AND attempts = 0";
    store.execute(sooner, params![kind, key, due]).map(drop)
}
