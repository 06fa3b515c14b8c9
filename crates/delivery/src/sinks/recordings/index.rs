//! Index of recordings in the store.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::{Deserialize, Serialize};
use trunkgate_call::{RecordingReceiver, TranscriptionRequest, VoicemailMessage};

use super::{place, unlisted};

/// State of a recording, named as in Twilio's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordingState {
    /// In progress, or interrupted by a crash and not completed yet.
    InProgress,
    /// The recording has ended, and its file is complete.
    Completed,
    /// The recording ended without audio and has no file.
    Absent,
    /// The file was deleted by a request or has expired.
    Deleted,
}

impl RecordingState {
    const ALL: [RecordingState; 4] =
        [RecordingState::InProgress, RecordingState::Completed, RecordingState::Absent, RecordingState::Deleted];

    /// Returns the name in Twilio's API.
    pub const fn as_str(self) -> &'static str {
        match self {
            RecordingState::InProgress => "in-progress",
            RecordingState::Completed => "completed",
            RecordingState::Absent => "absent",
            RecordingState::Deleted => "deleted",
        }
    }
}

/// Index entry of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingEntry {
    /// SID of the recording.
    pub sid: String,
    /// SID of the recorded call.
    pub call_sid: String,
    /// SID of the recorded conference, if any.
    pub conference_sid: Option<String>,
    /// Origin of the recording, as named by Twilio.
    pub source: String,
    /// Number of channels, 1 or 2.
    pub channels: u16,
    /// State of the recording.
    pub state: RecordingState,
    /// Directory of recordings, and path of the file below it; `None` if there is no file.
    pub file: Option<(String, String)>,
    /// True for Opus, false for WAV.
    pub is_opus: bool,
    /// True if the file is encrypted.
    pub is_encrypted: bool,
    /// Time of the first frame, in milliseconds since 1970.
    pub started: i64,
    /// Time of the last change, in milliseconds since 1970.
    pub updated: i64,
    /// Duration of the audio in milliseconds.
    pub milliseconds: u64,
    /// Length of the file as stored, in bytes.
    pub bytes: u64,
    /// SHA-256 checksum of the file as stored, in hex; `None` if there is no file.
    pub sha256: Option<String>,
    /// Number of gaps in the audio.
    pub gaps: u64,
    /// Total duration of the gaps in milliseconds.
    pub lost_milliseconds: u64,
    /// Error that ended the recording; `None` if it ended normally.
    pub error: Option<String>,
    /// Recorded directions, as named by Twilio.
    pub track: String,
    /// Receiver of status callbacks about the recording, if any.
    pub receiver: Option<RecordingReceiver>,
    /// Twilio's error code for a recording without audio.
    pub error_code: Option<u32>,
    /// Mailbox and parties, if the recording is a voicemail message.
    pub message: Option<VoicemailMessage>,
    /// Requested transcription, if any.
    pub transcription: Option<TranscriptionRequest>,
    /// Time at which a voicemail message was first played, in milliseconds since 1970.
    pub heard: Option<i64>,
}

impl RecordingEntry {
    /// Returns an entry for a recording that starts at this time (milliseconds since 1970); all other fields are empty.
    pub fn begun(started: i64) -> RecordingEntry {
        RecordingEntry {
            sid: String::new(),
            call_sid: String::new(),
            conference_sid: None,
            source: String::new(),
            channels: 0,
            state: RecordingState::InProgress,
            file: None,
            is_opus: false,
            is_encrypted: false,
            started,
            updated: started,
            milliseconds: 0,
            bytes: 0,
            sha256: None,
            gaps: 0,
            lost_milliseconds: 0,
            error: None,
            track: String::new(),
            receiver: None,
            error_code: None,
            message: None,
            transcription: None,
            heard: None,
        }
    }
}

/// Filter for a page of the index, newest first.
#[derive(Debug, Clone, Default)]
pub struct RecordingFilter {
    /// Start and SID of the recording before the page; `None` for the first page.
    pub behind: Option<(i64, String)>,
    /// Earliest start, in milliseconds since 1970.
    pub since: Option<i64>,
    /// Time before which the recording started, in milliseconds since 1970.
    pub before: Option<i64>,
    /// SID of the recorded call; recordings of a conference do not match.
    pub call_sid: Option<String>,
    /// SID of the recorded conference.
    pub conference_sid: Option<String>,
    /// Name of the mailbox.
    pub mailbox: Option<String>,
    /// True if deleted recordings are left out.
    pub is_there: bool,
}

const COLUMNS: &str = "sid, call, conference, source, channels, state, directory, path, is_opus, is_encrypted, started, updated, \
                       milliseconds, bytes, sha256, gaps, lost_milliseconds, error, track, receiver, error_code, mailbox, caller, called, transcription, heard";

fn entry(row: &Row<'_>) -> rusqlite::Result<RecordingEntry> {
    let state: String = row.get("state")?;
    let whole = |name: &str| -> rusqlite::Result<u64> { Ok(row.get::<_, i64>(name)?.try_into().unwrap_or(0)) };
    let receiver: Option<String> = row.get("receiver")?;
    let file: (Option<String>, Option<String>) = (row.get("directory")?, row.get("path")?);
    let (mailbox, transcription): (Option<String>, Option<String>) = (row.get("mailbox")?, row.get("transcription")?);
    let (from, to): (Option<String>, Option<String>) = (row.get("caller")?, row.get("called")?);
    let message = |mailbox| VoicemailMessage { mailbox, from: from.unwrap_or_default(), to: to.unwrap_or_default() };
    Ok(RecordingEntry {
        sid: row.get("sid")?,
        call_sid: row.get("call")?,
        conference_sid: row.get("conference")?,
        source: row.get("source")?,
        channels: row.get("channels")?,
        state: RecordingState::ALL.into_iter().find(|known| known.as_str() == state).unwrap_or(RecordingState::Absent),
        file: file.0.zip(file.1),
        is_opus: row.get("is_opus")?,
        is_encrypted: row.get("is_encrypted")?,
        started: row.get("started")?,
        updated: row.get("updated")?,
        milliseconds: whole("milliseconds")?,
        bytes: whole("bytes")?,
        sha256: row.get("sha256")?,
        gaps: whole("gaps")?,
        lost_milliseconds: whole("lost_milliseconds")?,
        error: row.get("error")?,
        track: row.get("track")?,
        receiver: receiver.and_then(|receiver| serde_json::from_str(&receiver).ok()),
        error_code: row.get("error_code")?,
        message: mailbox.map(message),
        transcription: transcription.and_then(|asked| serde_json::from_str(&asked).ok()),
        heard: row.get("heard")?,
    })
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Inserts an entry into the index, or replaces the entry with the same SID.
pub(super) fn put(store: &Connection, entry: &RecordingEntry) -> rusqlite::Result<()> {
    let mut put = store.prepare(&format!(
        "INSERT OR REPLACE INTO recording ({COLUMNS}) VALUES \
         (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26)"
    ))?;
    // Serialising texts and flags to JSON cannot fail.
    let receiver = entry.receiver.as_ref().and_then(|receiver| serde_json::to_string(receiver).ok());
    let transcription = entry.transcription.as_ref().and_then(|asked| serde_json::to_string(asked).ok());
    let message = entry.message.as_ref();
    let (directory, path) = entry.file.as_ref().map(|(directory, path)| (directory, path)).unzip();
    put.execute(params![
        entry.sid,
        entry.call_sid,
        entry.conference_sid,
        entry.source,
        entry.channels,
        entry.state.as_str(),
        directory,
        path,
        entry.is_opus,
        entry.is_encrypted,
        entry.started,
        entry.updated,
        signed(entry.milliseconds),
        signed(entry.bytes),
        entry.sha256,
        signed(entry.gaps),
        signed(entry.lost_milliseconds),
        entry.error,
        entry.track,
        receiver,
        entry.error_code,
        message.map(|message| &message.mailbox),
        message.map(|message| &message.from),
        message.map(|message| &message.to),
        transcription,
        entry.heard,
    ])?;
    Ok(())
}

/// Reads the entry of a recording.
pub(super) fn find(store: &Connection, sid: &str) -> rusqlite::Result<Option<RecordingEntry>> {
    store.prepare(&format!("SELECT {COLUMNS} FROM recording WHERE sid = ?1"))?.query_row([sid], entry).optional()
}

/// Reads a page of at most `most` entries, newest first.
pub(super) fn list(store: &Connection, part: &RecordingFilter, most: usize) -> rusqlite::Result<Vec<RecordingEntry>> {
    let mut rows = store.prepare(&format!(
        "SELECT {COLUMNS} FROM recording
         WHERE (?1 IS NULL OR (started, sid) < (?1, ?2)) AND (?3 IS NULL OR started >= ?3) AND (?4 IS NULL OR started < ?4)
           AND (?5 IS NULL OR call = ?5 AND conference IS NULL) AND (?6 IS NULL OR conference = ?6) AND (?8 = 0 OR state <> 'deleted') AND (?9 IS NULL OR mailbox = ?9)
         ORDER BY started DESC, sid DESC LIMIT ?7"
    ))?;
    let RecordingFilter { behind, since, before, call_sid, conference_sid, mailbox, is_there } = part;
    let (started, sid) = behind.clone().unzip();
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let values = params![started, sid, since, before, call_sid, conference_sid, most, is_there, mailbox];
    rows.query_map(values, entry)?.collect()
}

/// Numbers of new and heard messages of one mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailboxCounts {
    /// Name of the mailbox.
    pub mailbox: String,
    /// Number of messages not played yet.
    pub new: u64,
    /// Number of messages already played.
    pub heard: u64,
    /// Total file size of the messages in bytes.
    pub bytes: u64,
}

/// Counts the messages in each mailbox that has any.
pub(super) fn messages(store: &Connection) -> rusqlite::Result<Vec<MailboxCounts>> {
    let mut rows = store.prepare(
        "SELECT mailbox, count(*) - count(heard), count(heard), coalesce(sum(bytes), 0) FROM recording
         WHERE mailbox IS NOT NULL AND state = 'completed' GROUP BY mailbox ORDER BY mailbox",
    )?;
    let count =
        |row: &Row<'_>, at: usize| -> rusqlite::Result<u64> { Ok(row.get::<_, i64>(at)?.try_into().unwrap_or(0)) };
    let messages = |row: &Row<'_>| {
        Ok(MailboxCounts { mailbox: row.get(0)?, new: count(row, 1)?, heard: count(row, 2)?, bytes: count(row, 3)? })
    };
    rows.query_map([], messages)?.collect()
}

/// Counts the messages of one mailbox.
pub(super) fn messages_of(store: &Connection, mailbox: String) -> rusqlite::Result<MailboxCounts> {
    let mut count = store.prepare(
        "SELECT count(*) - count(heard), count(heard), coalesce(sum(bytes), 0) FROM recording
         WHERE mailbox = ?1 AND state = 'completed'",
    )?;
    let [new, heard, bytes] =
        count.query_row([&mailbox], |row| Ok([row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?]))?;
    let unsigned = |count: i64| count.try_into().unwrap_or(0);
    Ok(MailboxCounts { mailbox, new: unsigned(new), heard: unsigned(heard), bytes: unsigned(bytes) })
}

/// Marks one message of a mailbox as played, or all without a SID; returns the number of marked messages. A message
/// played before keeps its time.
pub(super) fn heard(store: &Connection, mailbox: &str, sid: Option<&str>, now: i64) -> rusqlite::Result<usize> {
    let mut heard = store.prepare(
        "UPDATE recording SET heard = coalesce(heard, ?1)
         WHERE mailbox = ?2 AND state = 'completed' AND (?3 IS NULL OR sid = ?3)",
    )?;
    heard.execute(params![now, mailbox, sid])
}

/// Reads at most `most` entries in a state, oldest first, that started before a time and follow the position `behind`.
pub(super) fn of_state(
    store: &Connection,
    state: RecordingState,
    (before, behind): (i64, &(i64, String)),
    most: usize,
) -> rusqlite::Result<Vec<RecordingEntry>> {
    let mut rows = store.prepare(&format!(
        "SELECT {COLUMNS} FROM recording WHERE state = ?1 AND started < ?2 AND (started, sid) > (?3, ?4)
         ORDER BY started, sid LIMIT ?5"
    ))?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let rows = rows.query_map(params![state.as_str(), before, behind.0, behind.1, most], entry)?;
    rows.collect()
}

/// Returns the paths below a directory that belong to no entry, neither as its file nor as the temporary file that
/// replaces it.
pub(super) fn without_entry(store: &Connection, root: &Path, paths: Vec<String>) -> rusqlite::Result<Vec<String>> {
    let mut known = store.prepare("SELECT directory, path FROM recording WHERE sid = ?1 AND path IS NOT NULL")?;
    let mut left = Vec::new();
    for path in paths {
        let place = |row: &Row<'_>| -> rusqlite::Result<(String, String)> { Ok((row.get(0)?, row.get(1)?)) };
        let named = match unlisted::sid_of(&path) {
            Some(sid) => known.query_row([sid], place).optional()?,
            None => None,
        };
        let is_spare = |known: &str| path.strip_prefix(known).is_some_and(|rest| rest == place::SPARE);
        if !named.is_some_and(|(of, known)| Path::new(&of) == root && (known == path || is_spare(&known))) {
            left.push(path);
        }
    }
    Ok(left)
}

/// Removes entries without a file that were last changed before a time.
pub(super) fn forget(store: &Connection, updated_before: i64) -> rusqlite::Result<usize> {
    store.execute("DELETE FROM recording WHERE state IN ('deleted', 'absent') AND updated < ?1", [updated_before])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> Connection {
        let store = Connection::open_in_memory().unwrap();
        store.execute_batch(crate::sinks::store::SCHEMA).unwrap();
        store
    }

    fn entry(at: u8, call: &str) -> RecordingEntry {
        RecordingEntry {
            sid: format!("RE{at:032x}"),
            call_sid: call.into(),
            conference_sid: (at == 3).then(|| "CF1".into()),
            source: "DialVerb".into(),
            channels: 2,
            state: RecordingState::Completed,
            file: Some(("/r".into(), format!("2026/01/01/RE{at:032x}.wav"))),
            is_opus: false,
            is_encrypted: true,
            started: i64::from(at) * 1000,
            updated: 1,
            milliseconds: 2,
            bytes: 3,
            sha256: Some("00".into()),
            gaps: 4,
            lost_milliseconds: 5,
            error: None,
            track: "inbound".into(),
            receiver: Some(RecordingReceiver::of_all("https://a.example/")),
            error_code: Some(16_101),
            message: (at == 4).then(|| VoicemailMessage {
                mailbox: "front".into(),
                from: "+1".into(),
                to: "+2".into(),
            }),
            transcription: (at == 3).then(|| TranscriptionRequest {
                app: "front".into(),
                url: Some("https://a.example/t".into()),
                allow_private: true,
                from: "+1".into(),
                to: "+2".into(),
            }),
            heard: (at == 4).then_some(7),
        }
    }

    #[test]
    fn a_file_has_an_entry_where_that_names_its_place() {
        let store = store();
        put(&store, &entry(1, "CA1")).unwrap();
        put(&store, &RecordingEntry { file: None, ..entry(2, "CA1") }).unwrap();
        let of = |root: &str, path: String| !without_entry(&store, Path::new(root), vec![path]).unwrap().is_empty();
        let path = |number: u8, ending: &str| format!("2026/01/01/RE{number:032x}.{ending}");
        assert!(!of("/r", path(1, "wav")) && !of("/r/", path(1, "wav")) && !of("/r", path(1, "wav.trimmed")));
        assert!(of("/other", path(1, "wav")) && of("/r", path(1, "opus")), "it is another file");
        assert!(of("/r", path(2, "wav")) && of("/r", path(3, "wav")), "deleted, and unknown");
        assert!(of("/r", "a.txt".into()) && of("/r", format!("old/{}", path(1, "wav"))));
    }

    #[test]
    fn messages_are_new_until_they_are_heard() {
        let store = store();
        for (at, mailbox) in [(1, "front"), (2, "front"), (4, "back"), (5, "")] {
            let message = VoicemailMessage { mailbox: mailbox.into(), from: "+1".into(), to: "+2".into() };
            let message = Some(message).filter(|message| !message.mailbox.is_empty());
            put(&store, &RecordingEntry { message, heard: None, ..entry(at, "CA1") }).unwrap();
        }
        let counts = || -> Vec<(String, u64, u64)> {
            messages(&store).unwrap().into_iter().map(|one| (one.mailbox, one.new, one.heard)).collect()
        };
        assert_eq!(counts(), [("back".into(), 1, 0), ("front".into(), 2, 0)]);
        let first = format!("RE{:032x}", 1);
        assert_eq!(heard(&store, "front", Some(&first), 10).unwrap(), 1);
        assert_eq!(heard(&store, "back", Some(&first), 10).unwrap(), 0, "it is another mailbox's");
        assert_eq!(counts(), [("back".into(), 1, 0), ("front".into(), 1, 1)]);
        for all in messages(&store).unwrap() {
            assert_eq!(messages_of(&store, all.mailbox.clone()).unwrap(), all);
        }
        let none = MailboxCounts { mailbox: "none".into(), new: 0, heard: 0, bytes: 0 };
        assert_eq!(messages_of(&store, "none".into()).unwrap(), none);
        assert_eq!(heard(&store, "front", None, 20).unwrap(), 2);
        assert_eq!(find(&store, &first).unwrap().unwrap().heard, Some(10), "the first time stays");
        put(
            &store,
            &RecordingEntry { state: RecordingState::Deleted, file: None, ..find(&store, &first).unwrap().unwrap() },
        )
        .unwrap();
        assert_eq!(counts(), [("back".into(), 1, 0), ("front".into(), 0, 1)]);
    }

    #[test]
    fn entries_are_listed_by_page_call_conference_and_date() {
        let store = store();
        let all: Vec<RecordingEntry> = (1..=5).map(|at| entry(at, if at % 2 == 0 { "CA2" } else { "CA1" })).collect();
        all.iter().for_each(|entry| put(&store, entry).unwrap());
        let sids = |part: &RecordingFilter, most| -> Vec<i64> {
            list(&store, part, most).unwrap().iter().map(|entry| entry.started / 1000).collect()
        };
        assert_eq!(find(&store, &all[2].sid).unwrap().as_ref(), Some(&all[2]));
        assert_eq!(sids(&RecordingFilter::default(), 3), [5, 4, 3]);
        let behind = RecordingFilter { behind: Some((3000, all[2].sid.clone())), ..RecordingFilter::default() };
        assert_eq!(sids(&behind, 9), [2, 1]);
        assert_eq!(
            sids(&RecordingFilter { call_sid: Some("CA1".into()), ..RecordingFilter::default() }, 9),
            [5, 1],
            "a conference is none of a call"
        );
        assert_eq!(sids(&RecordingFilter { conference_sid: Some("CF1".into()), ..RecordingFilter::default() }, 9), [3]);
        assert_eq!(sids(&RecordingFilter { mailbox: Some("front".into()), ..RecordingFilter::default() }, 9), [4]);
        assert_eq!(find(&store, &all[3].sid).unwrap().as_ref(), Some(&all[3]));
        assert_eq!(
            sids(&RecordingFilter { since: Some(2000), before: Some(4000), ..RecordingFilter::default() }, 9),
            [3, 2]
        );
        let oldest = of_state(&store, RecordingState::Completed, (4000, &(1000, all[0].sid.clone())), 9).unwrap();
        assert_eq!(oldest.iter().map(|entry| entry.started).collect::<Vec<_>>(), [2000, 3000]);
        put(&store, &RecordingEntry { state: RecordingState::Deleted, file: None, ..all[0].clone() }).unwrap();
        assert_eq!(sids(&RecordingFilter { is_there: true, ..RecordingFilter::default() }, 9), [5, 4, 3, 2]);
        assert_eq!((forget(&store, 1).unwrap(), forget(&store, 2).unwrap()), (0, 1));
    }
}
