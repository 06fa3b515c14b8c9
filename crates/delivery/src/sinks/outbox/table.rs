//! Table of rows in the store.

use std::borrow::Borrow;

use rusqlite::{Connection, OptionalExtension as _, Row as Record, params};

use super::{Head, Row};

const HEAD: &str =
    "key, line, host, place, share, created, due, attempts, length(body) + length(line) + length(place) + 150 AS bytes";

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

/// Inserts rows of a kind; an existing row stays unchanged unless it was given up.
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

/// Reads the oldest waiting rows without their bodies, in order.
pub(in crate::sinks) fn heads(store: &Connection, kind: &str, most: usize) -> rusqlite::Result<Vec<Head>> {
    let mut rows = store.prepare(&format!(
        "SELECT {HEAD} FROM outbox WHERE kind = ?1 AND given_up IS NULL ORDER BY created, rowid LIMIT ?2"
    ))?;
    rows.query_map(params![kind, i64::try_from(most).unwrap_or(i64::MAX)], head)?.collect()
}

/// Reads a waiting row, if the store has it.
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

/// Removes a delivered row, and rows to the same place that were given up, because the place accepts deliveries again.
pub(super) fn delivered(store: &Connection, kind: &str, key: &str) -> rusqlite::Result<()> {
    store.execute(
        "DELETE FROM outbox WHERE kind = ?1 AND given_up IS NOT NULL
         AND place = (SELECT place FROM outbox WHERE kind = ?1 AND key = ?2)",
        [kind, key],
    )?;
    remove(store, kind, &[key])
}

/// Failed attempt as stored; times are in milliseconds since 1970.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) key: String,
    /// Number of failed attempts.
    pub(super) attempts: u32,
    /// Time of the next attempt.
    pub(super) due: i64,
    pub(super) error: String,
    /// Time at which it was given up.
    pub(super) given_up: Option<i64>,
}

/// Stores the result of an attempt, unless the row was removed meanwhile.
pub(super) fn failed(store: &Connection, kind: &str, failure: &Failure) -> rusqlite::Result<()> {
    let Failure { key, attempts, due, error, given_up } = failure;
    let mut update = store.prepare(
        "UPDATE outbox SET attempts = ?3, due = ?4, error = ?5, given_up = ?6 WHERE kind = ?1 AND key = ?2 AND given_up IS NULL",
    )?;
    update.execute(params![kind, key, attempts, due, error, given_up]).map(drop)
}

/// Advances the first attempt of a row to `due`, if that is earlier.
pub(in crate::sinks) fn hasten(store: &Connection, kind: &str, key: &str, due: i64) -> rusqlite::Result<()> {
    let sooner =
        "UPDATE outbox SET due = min(due, ?3) WHERE kind = ?1 AND key = ?2 AND given_up IS NULL AND attempts = 0";
    store.execute(sooner, params![kind, key, due]).map(drop)
}
