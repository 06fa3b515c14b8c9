//! `Recordings` resources of the API: recordings of calls and conferences, their audio and their deletion.

use std::io;

use axum::http::HeaderMap;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use trunkgate_call::{CallView, RecordingSource, recorded_seconds};

use super::error::Error;
use super::page::PageRequest;
use super::parameters::Parameters;
use super::text::{moment, subresources};
use super::{Answer, Asked, calls, conferences};
use crate::audio::{AudioResponse, AudioSendError};
pub(crate) use trunkgate_delivery::sinks::recordings::{
    DeletionOutcome, RecordingEntry, RecordingFilter, RecordingOpenError, RecordingState, RecordingsHandle,
};

/// Number of digits of the time in a page key.
const TIME_DIGITS: usize = 20;

/// Resource that a list of recordings, or one recording, is below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordingParent<'a> {
    /// The account.
    Account,
    /// Call with this SID.
    Call(&'a str),
    /// Conference with this SID.
    Conference(&'a str),
}

impl RecordingParent<'_> {
    /// Returns the path of the list below the account.
    fn path(self) -> String {
        match self {
            RecordingParent::Account => "Recordings".to_owned(),
            RecordingParent::Call(sid) => format!("Calls/{sid}/Recordings"),
            RecordingParent::Conference(sid) => format!("Conferences/{sid}/Recordings"),
        }
    }

    /// Returns whether a recording is in the list below this resource.
    fn has(self, entry: &RecordingEntry) -> bool {
        match self {
            RecordingParent::Account => true,
            RecordingParent::Call(sid) => entry.call_sid == sid && entry.conference_sid.is_none(),
            RecordingParent::Conference(sid) => entry.conference_sid.as_deref() == Some(sid),
        }
    }
}

/// Runs work on the recordings that blocks on the disk. Returns the default value if there is no store, because the
/// first recording creates it.
pub(super) async fn on_disk<T: Default + Send + 'static>(
    cx: &Asked<'_>,
    work: impl FnOnce(&RecordingsHandle) -> io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    if !cx.handle.store.has_any() {
        return Ok(T::default());
    }
    let recordings = cx.handle.recordings.clone();
    let done = spawn_blocking(move || work(&recordings)).await;
    done.map_err(io::Error::other).and_then(|done| done).map_err(|error| Error::store(&error))
}

/// Finds a recording below a resource by its SID.
pub(super) async fn find(cx: &Asked<'_>, of: RecordingParent<'_>, sid: &str) -> Result<RecordingEntry, Error> {
    let wanted = sid.to_owned();
    let found = on_disk(cx, move |recordings| recordings.find(&wanted)).await?;
    found.filter(|entry| of.has(entry)).ok_or_else(|| Error::not_found(cx.path))
}

/// Lists recordings of the account, a call or a conference (`GET …/Recordings.json`).
pub(super) async fn list(cx: &Asked<'_>, of: RecordingParent<'_>, mut parameters: Parameters) -> Result<Value, Error> {
    let page = PageRequest::take(&cx.uri(&of.path()), cx.query, &mut parameters)?;
    let created = parameters.take_span("DateCreated")?;
    let includes_deleted = parameters.take_flag("IncludeSoftDeleted")?.unwrap_or(false);
    let (call_sid, conference_sid) = match of {
        RecordingParent::Call(sid) => (Some(sid.to_owned()), None),
        RecordingParent::Conference(sid) => (None, Some(sid.to_owned())),
        RecordingParent::Account => (parameters.take("CallSid"), parameters.take("ConferenceSid")),
    };
    parameters.finish()?;
    // The list below an unknown call or conference does not exist either.
    match of {
        RecordingParent::Call(sid) => drop(calls::show(cx, sid).await?),
        RecordingParent::Conference(sid) => drop(conferences::find(cx, sid).await?),
        RecordingParent::Account => {}
    }
    let part = RecordingFilter {
        behind: page.behind.as_deref().and_then(place),
        since: bound(created.from),
        before: bound(created.to).map(|last| last + 1),
        call_sid,
        conference_sid,
        mailbox: None,
        is_there: !includes_deleted,
    };
    let most = page.size + 1;
    let found = on_disk(cx, move |recordings| recordings.list(part, most)).await?;
    let live = statuses(cx, &found).await?;
    let show = |entry: &RecordingEntry| json(cx, entry, of, status_of(&live, entry));
    Ok(page.json("recordings", found, key, show))
}

/// Returns the origin of a recording as named by Twilio. A voicemail message counts as recorded by the `<Record>` verb.
fn source(entry: &RecordingEntry) -> &str {
    if entry.message.is_some() { RecordingSource::RecordVerb.as_str() } else { &entry.source }
}

/// Returns an end of a time span in milliseconds since 1970; `None` if it is open.
fn bound(at: Timestamp) -> Option<i64> {
    (at != Timestamp::MIN && at != Timestamp::MAX).then(|| at.as_millisecond())
}

/// Returns the page key of a recording, time and SID; the newest one has the greatest.
fn key(entry: &RecordingEntry) -> String {
    key_of(entry.started, &entry.sid)
}

/// Formats the page key for this time and SID.
pub(super) fn key_of(time: i64, sid: &str) -> String {
    format!("{time:0TIME_DIGITS$}{sid}")
}

/// Parses a page key as time and SID.
pub(super) fn place(key: &str) -> Option<(i64, String)> {
    let (time, sid) = key.split_at_checked(TIME_DIGITS)?;
    Some((time.parse().ok()?, sid.to_owned()))
}

/// Returns a recording (`GET …/Recordings/{sid}.json`).
pub(super) async fn fetch(
    cx: &Asked<'_>,
    of: RecordingParent<'_>,
    sid: &str,
    mut parameters: Parameters,
) -> Result<Value, Error> {
    let includes_deleted = parameters.take_flag("IncludeSoftDeleted")?.unwrap_or(false);
    parameters.finish()?;
    let entry = find(cx, of, sid).await?;
    if entry.state == RecordingState::Deleted && !includes_deleted {
        return Err(Error::not_found(cx.path));
    }
    let live = statuses(cx, std::slice::from_ref(&entry)).await?;
    Ok(json(cx, &entry, of, status_of(&live, &entry)))
}

/// Deletes the file of a recording (`DELETE …/Recordings/{sid}.json`); its index entry stays for 40 days.
pub(super) async fn delete(
    cx: &Asked<'_>,
    of: RecordingParent<'_>,
    sid: &str,
    parameters: Parameters,
) -> Result<(), Error> {
    parameters.finish()?;
    let entry = find(cx, of, sid).await?;
    let done = on_disk(cx, move |recordings| recordings.delete(&entry.sid).map(Some)).await?;
    match done.unwrap_or(DeletionOutcome::Absent) {
        DeletionOutcome::Done => Ok(()),
        DeletionOutcome::Absent | DeletionOutcome::Before => Err(Error::not_found(cx.path)),
        DeletionOutcome::InProgress => Err(Error::incomplete()),
    }
}

/// Sends the audio of a recording in its stored format, regardless of the path's extension.
pub(super) async fn audio(
    cx: &Asked<'_>,
    name: &str,
    headers: &HeaderMap,
    mut parameters: Parameters,
) -> Result<Answer, Error> {
    let (sid, ending) = name.split_once('.').map_or((name, None), |(sid, ending)| (sid, Some(ending)));
    if ending.is_some_and(|ending| !matches!(ending, "wav" | "mp3" | "opus" | "ogg")) {
        return Err(Error::not_found(cx.path));
    }
    let channels = parameters.take_number("RequestedChannels", 1..=2)?;
    parameters.finish()?;
    let wanted = sid.to_owned();
    let opened = on_disk(cx, move |recordings| Ok(Some(recordings.open(&wanted)))).await?;
    let (entry, reader) = match opened {
        Some(Ok(opened)) => opened,
        None | Some(Err(RecordingOpenError::Absent | RecordingOpenError::Deleted)) => {
            return Err(Error::not_found(cx.path));
        }
        Some(Err(RecordingOpenError::InProgress)) => return Err(Error::not_recorded_yet()),
        Some(Err(
            why @ (RecordingOpenError::Incomplete(_)
            | RecordingOpenError::Cut { .. }
            | RecordingOpenError::NoKey
            | RecordingOpenError::Refused(_)
            | RecordingOpenError::Io(_)),
        )) => return Err(Error::unreadable(sid, &why)),
    };
    if channels.is_some_and(|wanted| wanted != usize::from(entry.channels)) {
        let message = format!("RequestedChannels: the recording has {} and is not converted", entry.channels);
        return Err(Error::later(&message));
    }
    match AudioResponse::of(&entry, reader, headers).await {
        Ok(audio) => Ok(Answer::Audio(Box::new(audio))),
        Err(AudioSendError::Outside(bytes)) => Ok(Answer::Outside(bytes)),
        Err(AudioSendError::Unreadable(why)) => Err(Error::unreadable(sid, &why)),
    }
}

/// Returns SID and status of those recordings that are in progress.
async fn statuses(cx: &Asked<'_>, entries: &[RecordingEntry]) -> Result<Vec<(String, &'static str)>, Error> {
    let mut found = Vec::new();
    for entry in entries.iter().filter(|entry| entry.state == RecordingState::InProgress) {
        if let Some(conference) = &entry.conference_sid {
            found.extend(conferences::recording_status(cx, conference, &entry.sid).await?);
            continue;
        }
        let call: Option<CallView> = cx.handle.call(&entry.call_sid).await?;
        let recordings = call.into_iter().flat_map(|call| call.recordings);
        found.extend(recordings.filter(|one| one.sid == entry.sid).map(|one| (one.sid, one.status)));
    }
    Ok(found)
}

/// Returns the status of a recording as named by Twilio.
fn status_of(live: &[(String, &'static str)], entry: &RecordingEntry) -> &'static str {
    match (entry.state, live.iter().find(|(sid, _)| *sid == entry.sid)) {
        (RecordingState::InProgress, Some((_, status @ ("paused" | "in-progress")))) => status,
        // The recording has ended, but its file is not closed yet.
        (RecordingState::InProgress, _) => "processing",
        (other, _) => other.as_str(),
    }
}

/// Returns the JSON of a recording; its fields depend on the resource that it is below.
pub(super) fn json(cx: &Asked<'_>, entry: &RecordingEntry, of: RecordingParent<'_>, status: &'static str) -> Value {
    let started = Timestamp::from_millisecond(entry.started).unwrap_or_default();
    let updated = Timestamp::from_millisecond(entry.updated).unwrap_or_default();
    let uri = cx.uri(&format!("{}/{}", of.path(), entry.sid));
    let has_ended = entry.state != RecordingState::InProgress;
    let mut shown = json!({
        "account_sid": cx.account,
        "api_version": super::VERSION,
        "call_sid": entry.call_sid,
        "channels": entry.channels,
        "conference_sid": entry.conference_sid,
        "date_created": moment(started),
        "date_updated": moment(updated),
        "duration": has_ended.then(|| recorded_seconds(entry.milliseconds).to_string()),
        "encryption_details": null,
        "error_code": entry.error_code,
        "price": null,
        "price_unit": null,
        "sid": entry.sid,
        "source": source(entry),
        "start_time": moment(started),
        "status": status,
        "uri": format!("{uri}.json"),
    });
    match of {
        RecordingParent::Call(_) => shown["track"] = entry.track.as_str().into(),
        RecordingParent::Conference(_) => {}
        RecordingParent::Account => {
            shown["media_url"] = cx.recording_url(&entry.sid).into();
            shown["subresource_uris"] = subresources(&uri, &["add_on_results", "transcriptions"]);
        }
    }
    shown
}
