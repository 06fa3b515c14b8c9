//! Table of transcriptions in the store.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row as Record, params};
use trunkgate_call::TranscriptionRequest;

use super::NAME;
use crate::sinks::outbox::{Row, table as outbox};

/// Host of all rows: one service transcribes all recordings.
const HOST: &str = NAME;

/// State of a transcription, named as in Twilio's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The service has not responded yet.
    InProgress,
    /// The service has returned the text.
    Completed,
    /// The service has permanently failed, so there is no text.
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

/// Text of a transcription as stored.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Stored {
    /// Unencrypted transcript.
    Plain(String),
    /// Transcript encrypted with age.
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
    /// SID of the transcription, `TR` and 32 hex digits.
    pub sid: String,
    /// SID of the transcribed recording.
    pub recording: String,
    /// SID of the recorded call.
    pub(crate) call: String,
    /// State of the transcription.
    pub state: State,
    /// Time of the request for the transcription, in milliseconds since 1970.
    pub created: i64,
    /// Time of the last change, in milliseconds since 1970.
    pub updated: i64,
    /// Duration of the recording in milliseconds.
    pub milliseconds: u64,
    pub(super) text: Option<Stored>,
    /// Error of the last request; `None` if there was none.
    pub error: Option<String>,
    /// Request for this transcription; `None` if all recordings are transcribed.
    pub(super) asked: Option<TranscriptionRequest>,
}

/// Filter for a page of transcriptions, newest first.
#[derive(Debug, Clone, Default)]
pub struct Part {
    /// Creation time and SID of the transcription before the page; `None` for the first page.
    pub behind: Option<(i64, String)>,
    /// SID of the recording to match.
    pub recording: Option<String>,
}

const COLUMNS: &str = "sid, recording, call, state, created, updated, milliseconds, text, is_encrypted, error, asked";

fn transcription(row: &Record<'_>) -> rusqlite::Result<Transcription> {
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
        text: text.map(stored),
        error: row.get("error")?,
        asked: asked.and_then(|asked| serde_json::from_str(&asked).ok()),
    })
}

/// Inserts a pending transcription, and its row in the outbox.
pub(in crate::sinks::recordings) fn add(store: &Connection, new: &Transcription) -> rusqlite::Result<()> {
    let mut add = store.prepare(
        "INSERT INTO transcription (sid, recording, call, state, created, updated, milliseconds, asked)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    let milliseconds = i64::try_from(new.milliseconds).unwrap_or(i64::MAX);
    // Serialising texts and flags to JSON cannot fail.
    let asked = new.asked.as_ref().and_then(|asked| serde_json::to_string(asked).ok());
    let Transcription { sid, recording, call, state, created, updated, .. } = new;
    add.execute(params![sid, recording, call, state.as_str(), created, updated, milliseconds, asked])?;
    let row = Row::alone(sid, [HOST, recording, recording], Duration::ZERO, String::new());
    outbox::add(store, NAME, &[row])
}

/// Stores the new state of a transcription that is still pending.
pub(super) fn update(store: &Connection, changed: &Transcription) -> rusqlite::Result<()> {
    let mut update = store.prepare(
        "UPDATE transcription SET state = ?2, updated = ?3, text = ?4, is_encrypted = ?5, error = ?6 WHERE sid = ?1",
    )?;
    let Transcription { sid, state, updated, text, error, .. } = changed;
    let (bytes, is_encrypted) = match text {
        None => (None, false),
        Some(Stored::Plain(text)) => (Some(text.as_bytes()), false),
        Some(Stored::Sealed(bytes)) => (Some(bytes.as_slice()), true),
    };
    update.execute(params![sid, state.as_str(), updated, bytes, is_encrypted, error]).map(drop)
}

/// Reads a transcription by its SID.
pub(super) fn find(store: &Connection, sid: &str) -> rusqlite::Result<Option<Transcription>> {
    let mut found = store.prepare(&format!("SELECT {COLUMNS} FROM transcription WHERE sid = ?1"))?;
    found.query_row([sid], transcription).optional()
}

/// Reads a page of at most `most` transcriptions, newest first.
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

/// Deletes a transcription; returns whether it existed.
pub(super) fn delete(store: &Connection, sid: &str) -> rusqlite::Result<bool> {
    outbox::remove(store, NAME, &[sid])?;
    Ok(store.execute("DELETE FROM transcription WHERE sid = ?1", [sid])? > 0)
}

/// Deletes all transcriptions of a recording.
pub(in crate::sinks::recordings) fn delete_of(store: &Connection, recording: &str) -> rusqlite::Result<()> {
    let mut of = store.prepare("SELECT sid FROM transcription WHERE recording = ?1")?;
    let sids: Vec<String> = of.query_map([recording], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    sids.iter().try_for_each(|sid| delete(store, sid).map(drop))
}
