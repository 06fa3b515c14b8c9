//! `Calls/{sid}/Recordings`: starts, pauses, resumes and stops recordings of a live call.

use jiff::Timestamp;
use serde_json::Value;
use trunkgate_call::view::RecordingView;
use trunkgate_call::{
    BegunRecording, Channels, RecordingChange, RecordingControl, RecordingEvents, RecordingReceiver, RecordingRequest,
    RecordingSource, RecordingStart, RequestRefusal,
};
use trunkgate_media::RecordingPause;
use trunkgate_media::agent::TrackSet;
use trunkgate_route::{AppDocument, WebhookMethod};

use super::error::{Error, shown};
use super::parameters::Parameters;
use super::recordings::{self, RecordingParent};
use super::{Asked, calls, create};
pub(crate) use trunkgate_delivery::sinks::recordings::RecordingEntry;
use trunkgate_system::clock;

/// Alias for the newest recording in progress, in place of its SID.
pub(super) const CURRENT: &str = "Twilio.CURRENT";
/// Events of a recording that a client may subscribe to.
pub(super) const RECORDING_EVENTS: [&str; 3] = ["in-progress", "completed", "absent"];
/// Application under which callbacks for these recordings are counted.
const APP: &str = "api:recordings";

/// Starts a recording (`POST …/Calls/{sid}/Recordings.json`).
pub(super) async fn begin(cx: &Asked<'_>, call: &str, mut parameters: Parameters) -> Result<Value, Error> {
    let request = take_request(&mut parameters, RecordingSource::Request, false)?;
    parameters.finish()?;
    let Some(current) = cx.handle.call(call).await? else {
        calls::show(cx, call).await?;
        return Err(Error::later("Recordings of a dialled party's call (record the call that dialled it)"));
    };
    let request = reached(cx, current.app.as_deref(), request)?;
    let start = RecordingStart { sid: call.to_owned(), request: request.clone() };
    let begun = cx.handle.change(start).await?.map_err(refused)?;
    Ok(recordings::json(cx, &as_begun(call, &begun, &request), RecordingParent::Call(call), begun.view.status))
}

/// Returns an index entry for a recording that has just started and is not in the index yet.
fn as_begun(call: &str, begun: &BegunRecording, request: &RecordingRequest) -> RecordingEntry {
    let RecordingView { sid, source, channels, .. } = &begun.view;
    let started = Timestamp::try_from(begun.began).unwrap_or_default().as_millisecond();
    RecordingEntry {
        sid: sid.clone(),
        call_sid: call.to_owned(),
        source: (*source).to_owned(),
        channels: *channels,
        track: trunkgate_call::track_name(request.tracks).to_owned(),
        ..RecordingEntry::begun(started)
    }
}

/// Pauses, resumes or stops a recording (`POST …/Calls/{sid}/Recordings/{sid}.json`).
pub(super) async fn update(
    cx: &Asked<'_>,
    call: &str,
    recording: &str,
    parameters: Parameters,
) -> Result<Value, Error> {
    let change = take_change(parameters)?;
    let asked = Some(recording).filter(|sid| *sid != CURRENT).map(str::to_owned);
    let view = match cx.handle.change(RecordingControl { sid: call.to_owned(), recording: asked, change }).await? {
        Ok(view) => view,
        Err(RequestRefusal::UnknownCall | RequestRefusal::CallEnded) => {
            // An ended call leads to the same error for all its recordings.
            let current = cx.handle.call(call).await?;
            return Err(current.map_or_else(|| Error::not_found(cx.path), |_| ended()));
        }
        Err(RequestRefusal::UnknownRecording) => return Err(Error::not_found(cx.path)),
        // The alias names no recording, because none is in progress.
        Err(RequestRefusal::RecordingEnded) if recording == CURRENT => return Err(Error::not_found(cx.path)),
        Err(why) => return Err(refused(why)),
    };
    // The recording was changed even if its entry is missing because the writer is behind.
    match recordings::find(cx, RecordingParent::Call(call), &view.sid).await {
        Ok(entry) => Ok(recordings::json(cx, &entry, RecordingParent::Call(call), view.status)),
        Err(_) => {
            let request = RecordingRequest::new(RecordingSource::Request, Channels::Mono);
            let begun = BegunRecording { view: view.clone(), began: clock::wall() };
            Ok(recordings::json(cx, &as_begun(call, &begun, &request), RecordingParent::Call(call), view.status))
        }
    }
}

/// Parses a change of a recording: pause, resume or stop.
pub(super) fn take_change(mut parameters: Parameters) -> Result<RecordingChange, Error> {
    let (status, pause) = (parameters.take("Status"), parameters.take("PauseBehavior"));
    parameters.finish()?;
    let pause = match pause.as_deref() {
        None => None,
        Some("silence") => Some(RecordingPause::Silence),
        Some("skip") => Some(RecordingPause::Cut),
        Some(other) => {
            let message = format!("PauseBehavior: \"{}\" is not supported: use one of skip, silence", shown(other));
            return Err(Error::bad_request(message));
        }
    };
    let change = match status.as_deref() {
        Some("paused") => RecordingChange::Pause(pause.unwrap_or(RecordingPause::Silence)),
        Some("in-progress") => RecordingChange::Resume,
        Some("stopped") => RecordingChange::Stop,
        other => {
            let given = shown(other.unwrap_or_default());
            return Err(Error::bad_request(format!(
                "Status: \"{given}\" is not supported: use one of in-progress, paused, stopped"
            )));
        }
    };
    if pause.is_some() && !matches!(change, RecordingChange::Pause(_)) {
        return Err(Error::bad_request("PauseBehavior: only with Status=paused"));
    }
    Ok(change)
}

/// Parses the parameters of a request to record. `trims`: silence is trimmed by default.
pub(super) fn take_request(
    parameters: &mut Parameters,
    source: RecordingSource,
    trims: bool,
) -> Result<RecordingRequest, Error> {
    let mut word = |name: &str, known: &[&'static str]| -> Result<&'static str, Error> {
        Ok(parameters.take_word(name, known)?.or(known.first().copied()).unwrap_or_default())
    };
    let channels = word("RecordingChannels", &["mono", "dual"])?;
    let track = word("RecordingTrack", &["both", "inbound", "outbound"])?;
    let trim: &[&str] = if trims { &["trim-silence", "do-not-trim"] } else { &["do-not-trim", "trim-silence"] };
    let trim = word("Trim", trim)?;
    let receiver = create::take_url(parameters, "RecordingStatusCallback", "RecordingStatusCallbackMethod")?;
    let events = take_events(parameters)?;
    let receiver = receiver.map(|(url, method)| Box::new(receiver_at(url, method, events)));
    Ok(RecordingRequest {
        source,
        channels: if channels == "dual" { Channels::Dual } else { Channels::Mono },
        tracks: match track {
            "inbound" => TrackSet::Inbound,
            "outbound" => TrackSet::Outbound,
            _ => TrackSet::Both,
        },
        trim: trim == "trim-silence",
        receiver,
        message: None,
        transcription: None,
        conference: None,
    })
}

fn receiver_at(url: String, method: WebhookMethod, events: RecordingEvents) -> RecordingReceiver {
    RecordingReceiver { app: APP.to_owned(), url, method, events, allow_private: false }
}

/// Parses the events to report, repeated or separated by spaces; without any, returns the end of the recording.
fn take_events(parameters: &mut Parameters) -> Result<RecordingEvents, Error> {
    let words = parameters.take_words("RecordingStatusCallbackEvent", &RECORDING_EVENTS)?;
    let [in_progress, completed, absent] = RECORDING_EVENTS.map(|event| words.contains(&event));
    let events = RecordingEvents { in_progress, completed, absent };
    Ok(if words.is_empty() { RecordingEvents::COMPLETED } else { events })
}

/// Checks that the callback URL of a recording can be reached under the rules of the application that controls the
/// call, or of `[api]`, and returns the request.
///
/// # Errors
/// Returns an error if the URL can never be reached.
pub(super) fn reached(
    cx: &Asked<'_>,
    current: Option<&str>,
    request: RecordingRequest,
) -> Result<RecordingRequest, Error> {
    let RecordingRequest { receiver, .. } = request;
    let Some(mut receiver) = receiver else { return Ok(RecordingRequest { receiver: None, ..request }) };
    let app = create::keys_of(cx, current, AppDocument::Text("".into()));
    create::judge_url(cx, "RecordingStatusCallback", &receiver.url, &app)?;
    receiver.allow_private = app.allow_private;
    Ok(RecordingRequest { receiver: Some(receiver), ..request })
}

fn ended() -> Error {
    Error::of_change("The recording is not changed: the call has ended")
}

fn refused(why: RequestRefusal) -> Error {
    if matches!(why, RequestRefusal::CallEnded | RequestRefusal::UnknownCall | RequestRefusal::NotAnswered) {
        return Error::of_change("Requested resource is not eligible for recording: the call is not in progress");
    }
    Error::of_change(&format!("The recording was not started or changed: {why}"))
}
