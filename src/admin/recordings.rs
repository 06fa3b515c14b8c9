//! `/v1/recordings`: the list of recordings, their audio by byte range, check and deletion.

use std::io;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use super::ApiError;
use super::asked::bad_query;
use super::calls::Sid;
use crate::limits::{HTTP_RECORDING_PART_BYTES, HTTP_RECORDINGS, HTTP_RECORDINGS_MOST};
use crate::runtime::handle::Handle;
use crate::sinks::recordings::{Deleted, Entry, NotOpened, Part, Reader, Recordings};

/// A recording as it is shown.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    sid: String,
    call_sid: String,
    conference_sid: Option<String>,
    source: String,
    channels: u16,
    state: &'static str,
    format: &'static str,
    encrypted: bool,
    started_at: String,
    duration_ms: u64,
    bytes: u64,
    sha256: Option<String>,
    gaps: u64,
    lost_ms: u64,
    error: Option<String>,
}

impl From<Entry> for Shown {
    fn from(entry: Entry) -> Shown {
        let started = Timestamp::from_millisecond(entry.started).unwrap_or_default();
        Shown {
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
        }
    }
}

/// Part of the list that is wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// SID of the call.
    call: Option<String>,
    /// Recordings that started at this time or later …
    since: Option<String>,
    /// … and before this one.
    until: Option<String>,
    /// SID of the recording that the part is behind.
    after: Option<String>,
    limit: Option<usize>,
}

/// Reads a time, in milliseconds since 1970.
fn time(name: &str, text: Option<&str>) -> Result<Option<i64>, ApiError> {
    let read = |text: &str| text.parse::<Timestamp>().map(Timestamp::as_millisecond);
    text.map(read).transpose().map_err(|error| {
        let message = format!("`{name}` is no time as \"2026-11-25T12:00:00Z\": {error}");
        ApiError::new(StatusCode::BAD_REQUEST, "bad_request", message)
    })
}

fn unknown(sid: &str) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "unknown_recording", format!("there is no recording {sid:?}"))
}

fn unreadable(error: &dyn std::fmt::Display) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "recordings_unreadable", error.to_string())
}

fn in_progress() -> ApiError {
    ApiError::new(StatusCode::CONFLICT, "recording_in_progress", "the recording has not ended")
}

fn not_opened(sid: &str, why: &NotOpened) -> ApiError {
    match why {
        NotOpened::Absent => unknown(sid),
        NotOpened::InProgress => in_progress(),
        NotOpened::Deleted => ApiError::new(StatusCode::GONE, "recording_deleted", why.to_string()),
        NotOpened::NoKey | NotOpened::Refused(_) | NotOpened::Io(_) => unreadable(why),
    }
}

/// Does what waits for the disk.
async fn on_disk<T: Send + 'static>(
    handle: &Handle,
    work: impl FnOnce(&Recordings) -> T + Send + 'static,
) -> Result<T, ApiError> {
    let recordings = handle.recordings.clone();
    spawn_blocking(move || work(&recordings)).await.map_err(|error| unreadable(&error))
}

/// Lists recordings, the newest first.
pub(super) async fn list(
    State(handle): State<Handle>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let Query(Wanted { call, since, until, after, limit }) = wanted.map_err(|error| bad_query(&error))?;
    let (since, before) = (time("since", since.as_deref())?, time("until", until.as_deref())?);
    let most = limit.unwrap_or(HTTP_RECORDINGS).clamp(1, HTTP_RECORDINGS_MOST);
    let found = on_disk(&handle, move |recordings| -> io::Result<Result<Vec<Entry>, String>> {
        let behind = match after {
            Some(sid) => match recordings.find(&sid)? {
                Some(entry) => Some((entry.started, entry.sid)),
                None => return Ok(Err(sid)),
            },
            None => None,
        };
        recordings.list(Part { behind, since, before, call_sid: call, conference_sid: None }, most).map(Ok)
    });
    let entries = found.await?.map_err(|error| unreadable(&error))?.map_err(|sid| unknown(&sid))?;
    let shown: Vec<Shown> = entries.into_iter().map(Shown::from).collect();
    Ok(Json(json!({ "recordings": shown })))
}

/// Shows one recording.
pub(super) async fn show(State(handle): State<Handle>, Sid(sid): Sid) -> Result<Json<Shown>, ApiError> {
    let wanted = sid.clone();
    let found = on_disk(&handle, move |recordings| recordings.find(&wanted)).await?;
    found.map_err(|error| unreadable(&error))?.map(|entry| Json(entry.into())).ok_or_else(|| unknown(&sid))
}

/// Deletes the file of a recording.
pub(super) async fn remove(State(handle): State<Handle>, Sid(sid): Sid) -> Result<Json<Value>, ApiError> {
    let wanted = sid.clone();
    let done = on_disk(&handle, move |recordings| recordings.delete(&wanted)).await?;
    match done.map_err(|error| unreadable(&error))? {
        Deleted::Done => Ok(Json(json!({ "sid": sid }))),
        Deleted::Absent => Err(unknown(&sid)),
        Deleted::InProgress => Err(in_progress()),
    }
}

/// Compares the file with its check sum.
pub(super) async fn verify(State(handle): State<Handle>, Sid(sid): Sid) -> Result<Json<Value>, ApiError> {
    let wanted = sid.clone();
    let is_same = on_disk(&handle, move |recordings| recordings.verify(&wanted)).await?;
    let is_same = is_same.map_err(|why| not_opened(&sid, &why))?;
    Ok(Json(json!({ "sid": sid, "intact": is_same })))
}

/// Bytes of a range request (RFC 9110 §14.1.2): first and last; `None`: all of them. The error: it lies outside.
fn range(headers: &HeaderMap, bytes: u64) -> Result<Option<(u64, u64)>, ()> {
    let written = headers.get(header::RANGE).and_then(|value| value.to_str().ok()?.strip_prefix("bytes="));
    let Some((first, last)) = written.and_then(|range| range.split_once('-')) else { return Ok(None) };
    let end = bytes.saturating_sub(1);
    let (first, last) = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => (first, last.min(end)),
        (Ok(first), Err(_)) if last.is_empty() => (first, end),
        (Err(_), Ok(length)) if first.is_empty() && length > 0 => (bytes.saturating_sub(length), end),
        (Err(_), Ok(_)) if first.is_empty() => return Err(()),
        // One that is not valid, and several, are left aside.
        _ => return Ok(None),
    };
    if first >= bytes { Err(()) } else { Ok(Some((first, last))) }
}

/// Sends the audio, or a range of it.
pub(super) async fn audio(
    State(handle): State<Handle>,
    Sid(sid): Sid,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let wanted = sid.clone();
    let opened = on_disk(&handle, move |recordings| recordings.open(&wanted)).await?;
    let (entry, reader) = opened.map_err(|why| not_opened(&sid, &why))?;
    let bytes = reader.bytes();
    let Ok(range) = range(&headers, bytes) else {
        let refused =
            ApiError::new(StatusCode::RANGE_NOT_SATISFIABLE, "bad_range", "the range is outside of the audio");
        return Ok(([(header::CONTENT_RANGE, format!("bytes */{bytes}"))], refused).into_response());
    };
    let (kind, ending) = if entry.is_opus { ("audio/ogg", "opus") } else { ("audio/wav", "wav") };
    let (first, last) = range.unwrap_or((0, bytes.saturating_sub(1)));
    let length = if bytes == 0 { 0 } else { last + 1 - first };
    let mut response = Response::new(body(reader, first, length)).into_response();
    let name = format!("attachment; filename=\"{}.{ending}\"", entry.sid);
    let fields = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::CONTENT_DISPOSITION, name),
    ];
    for (name, value) in fields {
        response.headers_mut().extend(value.parse().ok().map(|value| (name, value)));
    }
    if range.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let value = format!("bytes {first}-{last}/{bytes}").parse().ok();
        response.headers_mut().extend(value.map(|value| (header::CONTENT_RANGE, value)));
    }
    Ok(response)
}

/// Reads part by part as the client takes them.
fn body(reader: Reader, first: u64, length: u64) -> Body {
    let parts = futures_util::stream::try_unfold((reader, first, length), |(mut reader, at, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let read = spawn_blocking(move || {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(HTTP_RECORDING_PART_BYTES);
            let mut part = vec![0; most];
            let bytes = reader.read_at(at, &mut part)?;
            part.truncate(bytes);
            Ok::<_, io::Error>((reader, part))
        });
        let (reader, part) = read.await.map_err(io::Error::other)??;
        if part.is_empty() {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        let bytes = part.len() as u64;
        Ok(Some((Bytes::from(part), (reader, at + bytes, left - bytes))))
    });
    Body::from_stream(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_the_audio_or_refused() {
        let of = |text: &'static str| {
            let headers = HeaderMap::from_iter([(header::RANGE, text.parse().unwrap())]);
            range(&headers, 1000)
        };
        assert_eq!(range(&HeaderMap::new(), 1000), Ok(None));
        for (text, expected) in [
            ("bytes=0-99", (0, 99)),
            ("bytes=990-2000", (990, 999)),
            ("bytes=500-", (500, 999)),
            ("bytes=-10", (990, 999)),
            ("bytes=-5000", (0, 999)),
        ] {
            assert_eq!(of(text), Ok(Some(expected)), "{text}");
        }
        for text in ["bytes=1000-", "bytes=5000-6000", "bytes=-0"] {
            assert_eq!(of(text), Err(()), "{text}");
        }
        for text in ["bytes=9-1", "bytes=0-1,5-6", "lines=0-1", "bytes=a-b", "bytes=-"] {
            assert_eq!(of(text), Ok(None), "{text}");
        }
    }
}
