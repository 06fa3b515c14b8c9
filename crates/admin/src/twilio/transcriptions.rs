//! `Transcriptions` resources of the API: transcriptions of recordings.

use std::io;

use jiff::Timestamp;
use serde_json::{Value, json};
use trunkgate_call::recorded_seconds;

use super::error::Error;
use super::page::PageRequest;
use super::parameters::Parameters;
use super::recordings::{RecordingParent, find as find_recording, key_of, on_disk, place};
use super::text::moment;
use super::{Answer, Asked};
use trunkgate_delivery::sinks::recordings::{RecordingOpenError, RecordingState, Transcription, TranscriptionPart};

/// Extension of a path with which the plain text is requested.
const TEXT: &str = ".txt";

/// Lists transcriptions of the account or of a recording (`GET …/Transcriptions.json`).
pub(super) async fn list(cx: &Asked<'_>, recording: Option<&str>, mut parameters: Parameters) -> Result<Value, Error> {
    let path = recording.map_or_else(|| "Transcriptions".to_owned(), |sid| format!("Recordings/{sid}/Transcriptions"));
    let page = PageRequest::take(&cx.uri(&path), cx.query, &mut parameters)?;
    parameters.finish()?;
    if let Some(sid) = recording {
        // The list below an unknown recording does not exist either.
        let entry = find_recording(cx, RecordingParent::Account, sid).await?;
        if entry.state == RecordingState::Deleted {
            return Err(Error::not_found(cx.path));
        }
    }
    let part =
        TranscriptionPart { behind: page.behind.as_deref().and_then(place), recording: recording.map(str::to_owned) };
    let most = page.size + 1;
    let found = on_disk(cx, move |recordings| {
        let found = recordings.transcriptions(part, most)?;
        Ok(found.into_iter().map(|one| (recordings.text_of(&one), one)).collect::<Vec<_>>())
    });
    let found = found.await?;
    let shown: Result<Vec<_>, Error> = found.into_iter().map(|(text, one)| Ok((readable(text)?, one))).collect();
    Ok(page.json(
        "transcriptions",
        shown?,
        |(_, one)| key_of(one.created, &one.sid),
        |(text, one)| json(cx, one, text.as_deref()),
    ))
}

async fn find(cx: &Asked<'_>, recording: Option<&str>, sid: &str) -> Result<(Option<String>, Transcription), Error> {
    let wanted = sid.to_owned();
    let found = on_disk(cx, move |recordings| {
        Ok(recordings.transcription(&wanted)?.map(|one| (recordings.text_of(&one), one)))
    });
    let found = found.await?.filter(|(_, one)| recording.is_none_or(|recording| recording == one.recording));
    let (text, one) = found.ok_or_else(|| Error::not_found(cx.path))?;
    Ok((readable(text)?, one))
}

fn readable(text: Result<Option<String>, RecordingOpenError>) -> Result<Option<String>, Error> {
    text.map_err(|why| Error::store(&io::Error::other(why.to_string())))
}

/// Returns a transcription (`GET …/Transcriptions/{sid}.json`), or its plain text with `.txt`.
pub(super) async fn fetch(
    cx: &Asked<'_>,
    recording: Option<&str>,
    sid: &str,
    parameters: Parameters,
) -> Result<Answer, Error> {
    parameters.finish()?;
    let is_text = cx.path.ends_with(TEXT);
    let (text, one) = find(cx, recording, sid.strip_suffix(TEXT).unwrap_or(sid)).await?;
    if is_text {
        return Ok(Answer::Text(text.unwrap_or_default()));
    }
    Ok(Answer::from(json(cx, &one, text.as_deref())))
}

pub(super) async fn delete(
    cx: &Asked<'_>,
    recording: Option<&str>,
    sid: &str,
    parameters: Parameters,
) -> Result<(), Error> {
    parameters.finish()?;
    let wanted = sid.to_owned();
    let named = recording.map(str::to_owned);
    let done = on_disk(cx, move |recordings| {
        let found = recordings.transcription(&wanted)?;
        let is_named = found.is_some_and(|one| named.is_none_or(|named| named == one.recording));
        Ok(is_named && recordings.delete_transcription(&wanted)?)
    });
    if done.await? { Ok(()) } else { Err(Error::not_found(cx.path)) }
}

/// Returns the JSON of a transcription; `text` is its decrypted text.
fn json(cx: &Asked<'_>, one: &Transcription, text: Option<&str>) -> Value {
    let at = |milliseconds| moment(Timestamp::from_millisecond(milliseconds).unwrap_or_default());
    json!({
        "account_sid": cx.account,
        "api_version": super::VERSION,
        "date_created": at(one.created),
        "date_updated": at(one.updated),
        "duration": recorded_seconds(one.milliseconds).to_string(),
        "price": null,
        "price_unit": null,
        "recording_sid": one.recording,
        "sid": one.sid,
        "status": one.state.as_str(),
        "transcription_text": text,
        "type": "fast",
        "uri": format!("{}.json", cx.uri(&format!("Transcriptions/{}", one.sid))),
    })
}
