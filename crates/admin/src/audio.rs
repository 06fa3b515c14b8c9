//! Audio of a recording as an HTTP response: complete, or a byte range (RFC 9110 §14).

use std::io;
use std::mem;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, TryStreamExt as _};
use tokio::task::spawn_blocking;

pub(crate) use trunkgate_delivery::sinks::recordings::{
    RecordingEntry, RecordingOpenError, RecordingReader, RecordingsHandle,
};
use trunkgate_system::limits::{HTTP_RECORDING_PART_BYTES, HTTP_RECORDING_PROBE_BYTES};

/// Reason why a recording's audio is not sent.
#[derive(Debug)]
pub(super) enum AudioSendError {
    /// The requested range is outside of the audio, which has this many bytes.
    Outside(u64),
    /// The beginning of the file cannot be read.
    Unreadable(RecordingOpenError),
}

/// Voicemail message that is marked as heard once more of its audio is sent than a player reads as a probe.
#[derive(Debug)]
pub(super) struct MessagePlayback {
    pub(super) recordings: RecordingsHandle,
    pub(super) mailbox: String,
    pub(super) sid: String,
}

impl MessagePlayback {
    /// Marks the message as heard. Blocks on the disk.
    fn note(self) {
        let MessagePlayback { recordings, mailbox, sid } = self;
        // The audio is sent even if the message cannot be marked.
        if let Err(error) = recordings.heard(&mailbox, Some(&sid)) {
            tracing::warn!(
                reason = "recording_failed",
                "voicemail message {sid} stays new, because it could not be marked as heard: {error}"
            );
        }
    }
}

/// Response with audio: an open recording, and the range to send.
#[derive(Debug)]
pub(super) struct AudioResponse {
    sid: String,
    reader: RecordingReader,
    message: Option<MessagePlayback>,
    fields: Vec<(HeaderName, String)>,
    first: u64,
    length: u64,
    is_part: bool,
}

impl AudioResponse {
    /// Prepares a response to a request for audio, and reads the beginning of the range, so that a file damaged there
    /// leads to an error in place of a response without audio.
    ///
    /// # Errors
    /// Returns an error if the range is outside of the audio, or its beginning cannot be read.
    pub(super) async fn of(
        entry: &RecordingEntry,
        mut reader: RecordingReader,
        headers: &HeaderMap,
    ) -> Result<AudioResponse, AudioSendError> {
        let bytes = reader.bytes();
        let range = range(headers, bytes).map_err(|()| AudioSendError::Outside(bytes))?;
        let (kind, ending) = if entry.is_opus { ("audio/ogg", "opus") } else { ("audio/wav", "wav") };
        let (first, last) = range.unwrap_or((0, bytes.saturating_sub(1)));
        let length = if bytes == 0 { 0 } else { last + 1 - first };
        let prepared = spawn_blocking(move || reader.prepare(first).map(|()| reader)).await;
        let reader = prepared.map_err(io::Error::other).flatten().map_err(|error| {
            not_sent(&entry.sid, &error);
            AudioSendError::Unreadable(RecordingOpenError::Io(error))
        })?;
        let mut fields = vec![
            (header::CONTENT_TYPE, kind.to_owned()),
            (header::CONTENT_LENGTH, length.to_string()),
            (header::ACCEPT_RANGES, "bytes".to_owned()),
            // Browsers must not store the audio in their caches on disk.
            (header::CACHE_CONTROL, "no-store".to_owned()),
            (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{}.{ending}\"", entry.sid)),
        ];
        if range.is_some() {
            fields.push((header::CONTENT_RANGE, format!("bytes {first}-{last}/{bytes}")));
        }
        let sid = entry.sid.clone();
        Ok(AudioResponse { sid, reader, message: None, fields, first, length, is_part: range.is_some() })
    }

    /// Adds the message to be marked as heard, unless the request only probes the beginning.
    pub(super) fn heard_as(self, message: Option<MessagePlayback>) -> AudioResponse {
        let is_probe = self.length < self.reader.bytes() && self.length <= HTTP_RECORDING_PROBE_BYTES;
        AudioResponse { message: message.filter(|_| !is_probe), ..self }
    }

    /// Returns the status of the response: 206 for a range, otherwise 200.
    pub(super) fn status(&self) -> StatusCode {
        if self.is_part { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK }
    }
}

impl IntoResponse for AudioResponse {
    fn into_response(self) -> Response {
        let status = self.status();
        let AudioResponse { sid, reader, message, fields, first, length, .. } = self;
        let body = body(reader, message, first, length).inspect_err(move |error| not_sent(&sid, error));
        let mut response = Response::new(Body::from_stream(body));
        for (name, value) in fields {
            response.headers_mut().extend(value.parse().ok().map(|value| (name, value)));
        }
        *response.status_mut() = status;
        response
    }
}

/// Parses a range request (RFC 9110 §14.1.2) as first and last byte; `None` for the complete audio. Returns an error if
/// the range is outside of the audio.
fn range(headers: &HeaderMap, bytes: u64) -> Result<Option<(u64, u64)>, ()> {
    let written = headers.get(header::RANGE).and_then(|value| value.to_str().ok()?.strip_prefix("bytes="));
    let Some((first, last)) = written.and_then(|range| range.split_once('-')) else { return Ok(None) };
    let end = bytes.saturating_sub(1);
    let (first, last) = match (RangePosition::of(first), RangePosition::of(last)) {
        (RangePosition::At(first), RangePosition::At(last)) if first <= last => (first, last.min(end)),
        (RangePosition::At(first), RangePosition::Open) => (first, end),
        (RangePosition::Open, RangePosition::At(0)) => return Err(()),
        (RangePosition::Open, RangePosition::At(length)) => (bytes.saturating_sub(length), end),
        // Invalid ranges and requests for several ranges are ignored.
        _ => return Ok(None),
    };
    if first >= bytes { Err(()) } else { Ok(Some((first, last))) }
}

/// Number in a range request: present, absent or invalid.
#[derive(Debug, Clone, Copy)]
enum RangePosition {
    At(u64),
    Open,
    Malformed,
}

impl RangePosition {
    /// Parses a position in a byte range, which consists of digits only (RFC 9110 §14.1.1).
    fn of(text: &str) -> RangePosition {
        match text.parse() {
            _ if text.is_empty() => RangePosition::Open,
            Ok(position) if text.bytes().all(|byte| byte.is_ascii_digit()) => RangePosition::At(position),
            Ok(_) | Err(_) => RangePosition::Malformed,
        }
    }
}

/// Logs that the audio of a recording cannot be read to its end.
fn not_sent(sid: &str, error: &io::Error) {
    tracing::warn!(reason = "recording_failed", "the audio of recording {sid} was sent incompletely: {error}");
}

/// Streams audio at the pace of the client; a read error ends the response. The message is marked as heard once more
/// than a probe, or the whole range, is read.
fn body(
    reader: RecordingReader,
    message: Option<MessagePlayback>,
    first: u64,
    length: u64,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let state = (reader, message, first, length);
    futures_util::stream::try_unfold(state, move |(mut reader, mut message, at, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let read = spawn_blocking(move || {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(HTTP_RECORDING_PART_BYTES);
            let mut part = vec![0; most];
            let bytes = reader.read_at(at, &mut part)?;
            part.truncate(bytes);
            let next = at + bytes as u64;
            if bytes > 0 && (next - first > HTTP_RECORDING_PROBE_BYTES || next - first == length) {
                mem::take(&mut message).into_iter().for_each(MessagePlayback::note);
            }
            Ok::<_, io::Error>((reader, message, part))
        });
        let (reader, message, part) = read.await.map_err(io::Error::other)??;
        if part.is_empty() {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        let bytes = part.len() as u64;
        Ok(Some((Bytes::from(part), (reader, message, at + bytes, left - bytes))))
    })
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
        for text in ["bytes=9-1", "bytes=0-1,5-6", "lines=0-1", "bytes=a-b", "bytes=-", "bytes=+1-5", "bytes=1-+5"] {
            assert_eq!(of(text), Ok(None), "{text}");
        }
    }
}
