//! `/v1/recordings`: list of recordings, audio by byte range, verification and deletion.

use std::io;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use trunkgate_call::VoicemailMessage;

use super::ApiError;
use super::asked::bad_query;
use super::audio::{AudioResponse, AudioSendError, MessagePlayback};
use super::calls::Sid;
use trunkgate_delivery::sinks::recordings::{
    DeletionOutcome, RecordingEntry, RecordingFilter, RecordingOpenError, RecordingsHandle, Transcription,
    TranscriptionPart, UnlistedFiles,
};
use trunkgate_runtime::handle::EdgeHandle;
use trunkgate_system::limits::{HTTP_RECORDINGS, HTTP_RECORDINGS_MOST};

/// Recording as shown in the API.
#[derive(Debug, Serialize)]
pub(super) struct RecordingResponse {
    /// `RE` and 32 hex digits.
    sid: String,
    /// SID of the recorded call.
    call_sid: String,
    /// SID of the recorded conference; null for a recording of a call.
    conference_sid: Option<String>,
    /// Origin, as Twilio names it: `DialVerb`, `Conference`, `RecordVerb`, `StartCallRecordingTwiML` (TwiML),
    /// `OutboundAPI` (a call made with `Record`), `StartCallRecordingAPI` (a request), `Trunking` (`record` of a
    /// route); `Voicemail`: a message.
    source: String,
    /// 1, or 2: caller left, audio to the caller right.
    channels: u16,
    /// `in-progress`, `completed`, `absent` (without audio), `deleted`, `incomplete` (cut by a crash, and cannot be
    /// completed: `error` says why).
    state: &'static str,
    /// `wav`, `opus`.
    format: &'static str,
    /// Whether the file is encrypted.
    encrypted: bool,
    /// Time of the first frame.
    started_at: String,
    /// Length of the audio, in milliseconds.
    duration_ms: u64,
    /// Length of the stored file, in bytes.
    bytes: u64,
    /// SHA-256 checksum of the stored file, in hex.
    sha256: Option<String>,
    /// Number of gaps; each contains silence.
    gaps: u64,
    /// Audio missing in gaps and at the end, in milliseconds.
    lost_ms: u64,
    /// First error of the disk, or the reason for the state `incomplete`.
    error: Option<String>,
    /// Mailbox of a voicemail message; absent for other recordings, like `from`, `to` and `heard_at`.
    #[serde(skip_serializing_if = "Option::is_none")]
    voicemail: Option<String>,
    /// Calling number of a voicemail message.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    /// Called number of a voicemail message.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    /// Time at which the message was first [heard](../configure/voicemail.md#new-messages).
    #[serde(skip_serializing_if = "Option::is_none")]
    heard_at: Option<Option<String>>,
    /// [Transcriptions](../configure/recording.md#transcription), the newest first; absent in lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    transcriptions: Vec<ShownTranscription>,
}

/// Transcription as shown in the API.
#[derive(Debug, Serialize)]
struct ShownTranscription {
    /// `TR` and 32 hex digits.
    sid: String,
    /// `in-progress`, `completed`, `failed`.
    state: &'static str,
    /// Time of the request.
    created_at: String,
    /// Text of the transcription; null until the service has returned it.
    text: Option<String>,
    /// Reason why the last request failed, or why the text cannot be decrypted.
    error: Option<String>,
}

impl ShownTranscription {
    fn of(recordings: &RecordingsHandle, one: Transcription) -> ShownTranscription {
        let created = Timestamp::from_millisecond(one.created).unwrap_or_default();
        let (text, refusal) = match recordings.text_of(&one) {
            Ok(text) => (text, None),
            Err(why) => (None, Some(why.to_string())),
        };
        let (state, created_at) = (one.state.as_str(), format!("{created:.3}"));
        ShownTranscription { state, created_at, text, error: refusal.or(one.error), sid: one.sid }
    }
}

/// State of a recording that a crash interrupted and that cannot be completed.
const INCOMPLETE: &str = "incomplete";

impl RecordingResponse {
    /// Returns a recording for the API, with data that the index does not contain.
    fn of(recordings: &RecordingsHandle, entry: RecordingEntry) -> RecordingResponse {
        let why = recordings
            .why_incomplete(&entry.sid)
            .filter(|_| entry.state == trunkgate_delivery::sinks::recordings::RecordingState::InProgress);
        match why {
            Some(why) => RecordingResponse { state: INCOMPLETE, error: Some(why), ..entry.into() },
            None => entry.into(),
        }
    }
}

impl From<RecordingEntry> for RecordingResponse {
    fn from(entry: RecordingEntry) -> RecordingResponse {
        let started = Timestamp::from_millisecond(entry.started).unwrap_or_default();
        let message = entry.message.map(|VoicemailMessage { mailbox, from, to }| (mailbox, (from, to)));
        let (voicemail, numbers) = message.unzip();
        let (from, to) = numbers.unzip();
        let moment = |time| format!("{:.3}", Timestamp::from_millisecond(time).unwrap_or_default());
        let heard_at = voicemail.is_some().then(|| entry.heard.map(moment));
        RecordingResponse {
            sid: entry.sid,
            call_sid: entry.call_sid,
            conference_sid: entry.conference_sid,
            source: entry.source,
            channels: entry.channels,
            state: entry.state.as_str(),
            format: if entry.is_opus { "opus" } else { "wav" },
            encrypted: entry.is_encrypted,
            started_at: format!("{started:.3}"),
            duration_ms: entry.milliseconds,
            bytes: entry.bytes,
            sha256: entry.sha256,
            gaps: entry.gaps,
            lost_ms: entry.lost_milliseconds,
            error: entry.error,
            voicemail,
            from,
            to,
            heard_at,
            transcriptions: Vec::new(),
        }
    }
}

/// Query of the list of recordings: filters and paging.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordingsQuery {
    /// SID of the recorded call.
    call: Option<String>,
    /// Name of the mailbox.
    voicemail: Option<String>,
    /// Earliest start of a recording.
    since: Option<String>,
    /// Exclusive upper limit for the start of a recording.
    until: Option<String>,
    /// SID of the last recording on the previous page.
    after: Option<String>,
    limit: Option<usize>,
}

/// Parses an RFC 3339 time of the query as milliseconds since 1970.
fn time(name: &str, text: Option<&str>) -> Result<Option<i64>, ApiError> {
    let read = |text: &str| text.parse::<Timestamp>().map(Timestamp::as_millisecond);
    text.map(read).transpose().map_err(|error| {
        let message = format!("`{name}` is not a valid time, such as \"2026-11-25T12:00:00Z\": {error}");
        ApiError::new(StatusCode::BAD_REQUEST, "bad_request", message)
    })
}

fn unknown(sid: &str) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "unknown_recording", format!("unknown recording {sid:?}"))
}

pub(super) fn unreadable(error: &dyn std::fmt::Display) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "recordings_unreadable", error.to_string())
}

fn in_progress() -> ApiError {
    ApiError::new(StatusCode::CONFLICT, "recording_in_progress", "the recording has not ended")
}

fn not_opened(sid: &str, why: &RecordingOpenError) -> ApiError {
    match why {
        RecordingOpenError::Absent => unknown(sid),
        RecordingOpenError::InProgress => in_progress(),
        RecordingOpenError::Deleted => ApiError::new(StatusCode::GONE, "recording_deleted", why.to_string()),
        RecordingOpenError::Incomplete(_)
        | RecordingOpenError::Cut { .. }
        | RecordingOpenError::NoKey
        | RecordingOpenError::Refused(_)
        | RecordingOpenError::Io(_) => unreadable(why),
    }
}

/// Runs work on the recordings that blocks on the disk, on another thread.
pub(super) async fn on_disk<T: Send + 'static>(
    handle: &EdgeHandle,
    work: impl FnOnce(&RecordingsHandle) -> T + Send + 'static,
) -> Result<T, ApiError> {
    let recordings = handle.recordings.clone();
    spawn_blocking(move || work(&recordings)).await.map_err(|error| unreadable(&error))
}

/// Lists recordings, newest first.
pub(super) async fn list(
    State(handle): State<EdgeHandle>,
    wanted: Result<Query<RecordingsQuery>, QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let Query(RecordingsQuery { call, voicemail, since, until, after, limit }) =
        wanted.map_err(|error| bad_query(&error))?;
    let (since, before) = (time("since", since.as_deref())?, time("until", until.as_deref())?);
    let most = limit.unwrap_or(HTTP_RECORDINGS).clamp(1, HTTP_RECORDINGS_MOST);
    let found = on_disk(&handle, move |recordings| -> io::Result<Result<Vec<RecordingResponse>, String>> {
        let behind = match after {
            Some(sid) => match recordings.find(&sid)? {
                Some(entry) => Some((entry.started, entry.sid)),
                None => return Ok(Err(sid)),
            },
            None => None,
        };
        let (call_sid, mailbox) = (call, voicemail);
        let entries = recordings
            .list(RecordingFilter { behind, since, before, call_sid, mailbox, ..RecordingFilter::default() }, most)?;
        Ok(Ok(entries.into_iter().map(|entry| RecordingResponse::of(recordings, entry)).collect()))
    });
    let shown = found.await?.map_err(|error| unreadable(&error))?.map_err(|sid| unknown(&sid))?;
    let mut answer = json!({ "recordings": shown });
    let UnlistedFiles { files, example } = handle.recordings.unlisted();
    if let Some(example) = example {
        answer["unlisted"] = json!({ "files": files, "example": example.display().to_string() });
    }
    Ok(Json(answer))
}

/// Returns one recording with its transcriptions.
pub(super) async fn show(State(handle): State<EdgeHandle>, Sid(sid): Sid) -> Result<Json<RecordingResponse>, ApiError> {
    let wanted = sid.clone();
    let found = on_disk(&handle, move |recordings| -> io::Result<Option<RecordingResponse>> {
        let Some(entry) = recordings.find(&wanted)? else { return Ok(None) };
        let part = TranscriptionPart { recording: Some(wanted), ..TranscriptionPart::default() };
        let all = recordings.transcriptions(part, HTTP_RECORDINGS)?;
        let transcriptions = all.into_iter().map(|one| ShownTranscription::of(recordings, one)).collect();
        Ok(Some(RecordingResponse { transcriptions, ..RecordingResponse::of(recordings, entry) }))
    });
    found.await?.map_err(|error| unreadable(&error))?.map(Json).ok_or_else(|| unknown(&sid))
}

/// Deletes the file of a recording; its entry stays.
pub(super) async fn remove(State(handle): State<EdgeHandle>, Sid(sid): Sid) -> Result<Json<Value>, ApiError> {
    let wanted = sid.clone();
    let done = on_disk(&handle, move |recordings| recordings.delete(&wanted)).await?;
    match done.map_err(|error| unreadable(&error))? {
        DeletionOutcome::Done => Ok(Json(json!({ "sid": sid }))),
        DeletionOutcome::Absent => Err(unknown(&sid)),
        DeletionOutcome::Before => Err(not_opened(&sid, &RecordingOpenError::Deleted)),
        DeletionOutcome::InProgress => Err(in_progress()),
    }
}

/// Compares the file of a recording with its checksum.
pub(super) async fn verify(State(handle): State<EdgeHandle>, Sid(sid): Sid) -> Result<Json<Value>, ApiError> {
    let wanted = sid.clone();
    let is_same = on_disk(&handle, move |recordings| recordings.verify(&wanted)).await?;
    let is_same = is_same.map_err(|why| not_opened(&sid, &why))?;
    Ok(Json(json!({ "sid": sid, "intact": is_same })))
}

/// Returns an error if no recording has this SID.
pub(super) async fn known(handle: &EdgeHandle, sid: &str) -> Result<(), ApiError> {
    let wanted = sid.to_owned();
    let found = on_disk(handle, move |recordings| recordings.find(&wanted)).await?;
    found.map_err(|error| unreadable(&error))?.map(drop).ok_or_else(|| unknown(sid))
}

/// Permits one waveform computation at a time, because each one occupies a core.
#[derive(Debug, Clone)]
pub(super) struct OneWaveform(Arc<Semaphore>);

impl Default for OneWaveform {
    fn default() -> OneWaveform {
        OneWaveform(Arc::new(Semaphore::new(1)))
    }
}

/// Sends the waveform of a recording.
pub(super) async fn peaks(
    State(handle): State<EdgeHandle>,
    Extension(OneWaveform(one)): Extension<OneWaveform>,
    Sid(sid): Sid,
) -> Result<Json<Value>, ApiError> {
    let turn = one.acquire_owned().await.map_err(|error| unreadable(&error))?;
    let wanted = sid.clone();
    let read = on_disk(&handle, move |recordings| {
        // The permit is kept until the end of the computation, even if the client disconnects.
        let _turn = turn;
        recordings.waveform(&wanted)
    });
    let waveform = read.await?.map_err(|why| not_opened(&sid, &why))?;
    Ok(Json(json!({ "sid": sid, "peaks": waveform.levels, "sampled": waveform.is_sampled })))
}

/// Sends the audio of a recording, or a range of it. A GET for more than a probe marks a voicemail message as heard.
pub(super) async fn audio(
    State(handle): State<EdgeHandle>,
    Sid(sid): Sid,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let wanted = sid.clone();
    let opened = on_disk(&handle, move |recordings| recordings.open(&wanted)).await?;
    let (entry, reader) = opened.map_err(|why| not_opened(&sid, &why))?;
    let is_new = entry.heard.is_none() && method == Method::GET;
    let message = entry.message.as_ref().filter(|_| is_new).map(|message| MessagePlayback {
        recordings: handle.recordings.clone(),
        mailbox: message.mailbox.clone(),
        sid: sid.clone(),
    });
    match AudioResponse::of(&entry, reader, &headers).await {
        Ok(audio) => Ok(audio.heard_as(message).into_response()),
        Err(AudioSendError::Unreadable(why)) => Err(not_opened(&sid, &why)),
        Err(AudioSendError::Outside(bytes)) => {
            let refused =
                ApiError::new(StatusCode::RANGE_NOT_SATISFIABLE, "bad_range", "the range is outside of the audio");
            Ok(([(header::CONTENT_RANGE, format!("bytes */{bytes}"))], refused).into_response())
        }
    }
}
