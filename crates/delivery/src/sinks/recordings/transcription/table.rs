//! Table of transcriptions in the store.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use trunkgate_call::TranscriptionRequest;

/// State of a transcription, named as in Twilio's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The service has not responded yet.
    InProgress,
    /// The text is available.
    Completed,
    /// Permanent failure: there will be no text.
    Failed,
}

impl State {
    const ALL: [State; 3] = [State::InProgress, State::Completed, State::Failed];

    /// Returns the name in Twilio's API.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::InProgress => "in-progress",
            State::Completed => "completed",
            State::Failed => "failed",
        }
    }
}

/// Text as stored.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Stored {
    /// Unencrypted text.
    Plain(String),
    /// Text encrypted with age.
    Sealed(Vec<u8>),
}

/// Omits the text, which is private speech.
impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Stored::Plain(_)) { "Plain(…)" } else { "Sealed(…)" })
    }
}

/// Transcription as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transcription {
    /// SID, `TR` and 32 hex digits.
    pub sid: String,
    /// SID of the recording.
    pub recording: String,
    /// SID of its call.
    pub(crate) call: String,
    /// State of the transcription.
    pub state: State,
    /// Time of the request for the transcription, in milliseconds since 1970.
    pub created: i64,
    /// Time of the last change, in milliseconds since 1970.
    pub updated: i64,
    /// Length of the recording in milliseconds.
    pub milliseconds: u64,
    /// Number of failed requests.
    pub(super) attempts: u32,
    /// Time of the next request, in milliseconds since 1970.
    pub(super) due: i64,
    pub(super) text: Option<Stored>,
    /// Error of the last request.
    pub error: Option<String>,
    /// Transcription request of the recording; `None`: every recording is transcribed.
    pub(super) asked: Option<TranscriptionRequest>,
}

/// Filter for a page of the list, newest first.
#[derive(Debug, Clone, Default)]
pub struct Part {
    /// Time and SID of the transcription that precedes the page.
    pub behind: Option<(i64, String)>,
    /// SID of the recording.
    pub recording: Option<String>,
}

const COLUMNS: &str =
    "sid, recording, call, state, created, updated, milliseconds, attempts, due, text, is_encrypted, error, asked";

fn transcription(row: &Row<'_>) -> rusqlite::Result<Transcription> {
    let (state, text): (String, Option<Vec<u8>>) = (row.get("state")?, row.get("text")?);
    let (is_encrypted, asked): (bool, Option<String>) = (row.get("is_encrypted")?, row.get("asked")?);
    let milliseconds: i64 = row.get("milliseconds")?;
    let stored = |bytes: Vec<u8>| match is_encrypted {
        true => Stored::Sealed(bytes),
        false => Stored::Plain(String::from_utf8_lossy(&bytes).into_owned()),
    };
    Ok(Transcription {
        sid: row.get("sid")?,
        recording: row.get("recording")?,
        call: row.get("call")?,
        state: State::ALL.into_iter().find(|known| known.as_str() == state).unwrap_or(State::Failed),
        created: row.get("created")?,
        updated: row.get("updated")?,
        milliseconds: milliseconds.try_into().unwrap_or(0),
        attempts: row.get("attempts")?,
        due: row.get("due")?,
        text: text.map(stored),
        error: row.get("error")?,
        asked: asked.and_then(|asked| serde_json::from_str(&asked).ok()),
    })
}

/// Inserts a transcription.
pub(in crate::sinks::recordings) fn add(store: &Connection, new: &Transcription) -> rusqlite::Result<()> {
    let mut add = store.prepare(
        "INSERT INTO transcription (sid, recording, call, state, created, updated, milliseconds, due, asked)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    let milliseconds = i64::try_from(new.milliseconds).unwrap_or(i64::MAX);
    // Serialising texts and flags to JSON cannot fail.
    let asked = new.asked.as_ref().and_then(|asked| serde_json::to_string(asked).ok());
    let Transcription { sid, recording, call, state, created, updated, due, .. } = new;
    add.execute(params![sid, recording, call, state.as_str(), created, updated, milliseconds, due, asked])?;
    Ok(())
}

/// Stores the result of a request; returns whether the transcription still exists and is pending.
pub(super) fn update(store: &Connection, changed: &Transcription) -> rusqlite::Result<bool> {
    let mut update = store.prepare(
        "UPDATE transcription SET state = ?2, updated = ?3, attempts = ?4, due = ?5, text = ?6, is_encrypted = ?7, error = ?8
         WHERE sid = ?1 AND state = 'in-progress'",
    )?;
    let Transcription { sid, state, updated, attempts, due, text, error, .. } = changed;
    let (bytes, is_encrypted) = match text {
        None => (None, false),
        Some(Stored::Plain(text)) => (Some(text.as_bytes()), false),
        Some(Stored::Sealed(bytes)) => (Some(bytes.as_slice()), true),
    };
    let values = params![sid, state.as_str(), updated, attempts, due, bytes, is_encrypted, error];
    Ok(update.execute(values)? > 0)
}

/// Reads a transcription.
pub(super) fn find(store: &Connection, sid: &str) -> rusqlite::Result<Option<Transcription>> {
    let mut found = store.prepare(&format!("SELECT {COLUMNS} FROM transcription WHERE sid = ?1"))?;
    found.query_row([sid], transcription).optional()
}

/// Reads a page of the list with at most `most` entries.
pub(super) fn list(store: &Connection, part: &Part, most: usize) -> rusqlite::Result<Vec<Transcription>> {
    let mut rows = store.prepare(&format!(
        "SELECT {COLUMNS} FROM transcription
         WHERE (?1 IS NULL OR (created, sid) < (?1, ?2)) AND (?3 IS NULL OR recording = ?3)
         ORDER BY created DESC, sid DESC LIMIT ?4"
    ))?;
    let (created, sid) = part.behind.clone().unzip();
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    rows.query_map(params![created, sid, part.recording, most], transcription)?.collect()
}

/// Pending transcriptions.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Due transcriptions, oldest first.
    pub(super) due: Vec<Transcription>,
    /// Time of the next request after the due ones.
    pub(super) next: Option<i64>,
    /// Number of pending transcriptions.
    pub(super) all: u64,
    /// Number of recently given-up transcriptions.
    pub(super) failed: u64,
    /// Last given-up transcription.
    pub(super) last_failed: Option<Transcription>,
}

/// Reads pending transcriptions, at most `most` due ones, and those given up since a time.
pub(super) fn waiting(store: &Connection, now: i64, failed_since: i64, most: usize) -> rusqlite::Result<Waiting> {
    let mut rows = store.prepare(&format!(
        "SELECT {COLUMNS} FROM transcription WHERE state = 'in-progress' AND due <= ?1 ORDER BY due, created, sid LIMIT ?2"
    ))?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let due = rows.query_map(params![now, most], transcription)?.collect::<rusqlite::Result<_>>()?;
    let (next, all): (Option<i64>, i64) = store.query_row(
        "SELECT min(CASE WHEN due > ?1 THEN due END), count(*) FROM transcription WHERE state = 'in-progress'",
        [now],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let failed: i64 = store.query_row(
        "SELECT count(*) FROM transcription WHERE state = 'failed' AND updated >= ?1",
        [failed_since],
        |row| row.get(0),
    )?;
    let mut last = store.prepare(&format!(
        "SELECT {COLUMNS} FROM transcription WHERE state = 'failed' AND updated >= ?1 ORDER BY updated DESC LIMIT 1"
    ))?;
    let last_failed = last.query_map([failed_since], transcription)?.next().transpose()?;
    let (all, failed) = (all.try_into().unwrap_or(0), failed.try_into().unwrap_or(0));
    Ok(Waiting { due, next, all, failed, last_failed })
}

/// Deletes a transcription; returns whether it existed.
pub(super) fn delete(store: &Connection, sid: &str) -> rusqlite::Result<bool> {
    Ok(store.execute("DELETE FROM transcription WHERE sid = ?1", [sid])? > 0)
}

/// Deletes the transcriptions of a recording.
pub(in crate::sinks::recordings) fn delete_of(store: &Connection, recording: &str) -> rusqlite::Result<()> {
    store.execute("DELETE FROM transcription WHERE recording = ?1", [recording]).map(drop)
}
