//! `Calls/{sid}/Transcriptions`: live transcriptions of a call that a program starts and stops.

use std::sync::Arc;

use serde_json::{Value, json};
use trunkgate_call::twiml::limits::{HINT_CHARS, HINTS, LANGUAGE_CHARS, MODEL_CHARS, TRACK_LABEL_CHARS};
use trunkgate_call::twiml::{Method, RecognitionStep, Tracks, TranscriptStep};
use trunkgate_call::{CallRecordings, Refused};
use trunkgate_route::{AppDocument, WebhookMethod};
use trunkgate_twiml::compat::requests::START_TRANSCRIPTION;

use super::error::{Error, shown};
use super::parameters::Parameters;
use super::text::now;
use super::{Asked, create};

/// Most characters of a name.
const NAME_CHARS: usize = 256;
/// Language where a request names none, as in TwiML.
const LANGUAGE: &str = "en-US";

/// `POST …/Calls/{sid}/Transcriptions.json`: starts a live transcription.
pub(super) async fn start(cx: &Asked<'_>, call: &str, mut parameters: Parameters) -> Result<Value, Error> {
    parameters.judge(&START_TRANSCRIPTION)?;
    let name = text(&mut parameters, "Name", NAME_CHARS)?;
    let tracks = match parameters.take("Track").as_deref() {
        None | Some("both_tracks") => Tracks::Both,
        Some("inbound_track") => Tracks::Inbound,
        Some("outbound_track") => Tracks::Outbound,
        Some(other) => {
            let known = "inbound_track, outbound_track, both_tracks";
            return Err(Error::bad_request(format!("Track: \"{}\"; known: {known}", shown(other))));
        }
    };
    let receiver = create::take_url(&mut parameters, "StatusCallbackUrl", "StatusCallbackMethod")?;
    let status = receiver.map(|(url, method)| match method {
        WebhookMethod::Post => (url, Method::Post),
        WebhookMethod::Get => (url, Method::Get),
    });
    let inbound = text(&mut parameters, "InboundTrackLabel", TRACK_LABEL_CHARS)?;
    let outbound = text(&mut parameters, "OutboundTrackLabel", TRACK_LABEL_CHARS)?;
    let partial = parameters.take_flag("PartialResults")?.unwrap_or(false);
    let speech = take_speech(&mut parameters)?;
    // Of the recogniser, whatever a program asks for.
    for name in ["TranscriptionEngine", "EnableAutomaticPunctuation"] {
        parameters.take(name);
    }
    parameters.finish()?;
    let current = cx.handle.call(call).await?.ok_or_else(|| Error::not_found(cx.path))?;
    // The keys of the application that has the call, or of [api].
    let app = create::keys_of(cx, current.app.as_deref(), AppDocument::Text("".into()));
    if let Some((url, _)) = &status {
        create::judge_url(cx, "StatusCallbackUrl", url, &app)?;
    }
    let step = TranscriptStep { name: name.clone(), tracks, labels: [inbound, outbound], status, partial, speech };
    let (of_call, app) = (call.to_owned(), Arc::new(app));
    let begun = cx
        .handle
        .act(move |gateway, now| CallRecordings::of(gateway, &of_call).start_transcript(now, &app, step))
        .await?;
    let sid = begun.map_err(refused)?;
    Ok(shown_transcription(cx, call, &sid, name.as_deref(), "in-progress"))
}

/// `POST …/Calls/{sid}/Transcriptions/{name or sid}.json`: stops a live transcription.
pub(super) async fn stop(cx: &Asked<'_>, call: &str, which: &str, mut parameters: Parameters) -> Result<Value, Error> {
    let status = parameters.take("Status");
    parameters.finish()?;
    if status.as_deref() != Some("stopped") {
        let given = status.unwrap_or_default();
        return Err(Error::bad_request(format!("Status: \"{}\"; known: stopped", shown(&given))));
    }
    let (of_call, asked) = (call.to_owned(), which.to_owned());
    let done =
        cx.handle.act(move |gateway, now| CallRecordings::of(gateway, &of_call).stop_transcript(now, &asked)).await?;
    let is_unknown = |why: &Refused| matches!(why, Refused::UnknownTranscription | Refused::UnknownCall);
    let (sid, name) = done.map_err(|why| if is_unknown(&why) { Error::not_found(cx.path) } else { refused(why) })?;
    Ok(shown_transcription(cx, call, &sid, name.as_deref(), "stopped"))
}

/// Takes what the recogniser is to know.
fn take_speech(parameters: &mut Parameters) -> Result<RecognitionStep, Error> {
    let language = text(parameters, "LanguageCode", LANGUAGE_CHARS)?.unwrap_or_else(|| LANGUAGE.to_owned());
    if !language.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(Error::bad_request(format!("LanguageCode: \"{}\" is not a language tag", shown(&language))));
    }
    let hints = parameters.take("Hints").unwrap_or_default();
    let hints: Vec<String> =
        hints.split(',').map(str::trim).filter(|hint| !hint.is_empty()).map(str::to_owned).collect();
    if hints.len() > HINTS || hints.iter().any(|hint| hint.chars().count() > HINT_CHARS) {
        return Err(Error::bad_request(format!("Hints: at most {HINTS} of at most {HINT_CHARS} characters")));
    }
    let model = text(parameters, "SpeechModel", MODEL_CHARS)?;
    let profanity_filter = parameters.take_flag("ProfanityFilter")?.unwrap_or(true);
    Ok(RecognitionStep { id: 0, language, hints, model, enhanced: false, profanity_filter })
}

/// Takes a text of a bounded length, in one line.
fn text(parameters: &mut Parameters, name: &str, most: usize) -> Result<Option<String>, Error> {
    let text = parameters.take(name);
    if text.as_ref().is_some_and(|text| text.chars().count() > most || text.chars().any(char::is_control)) {
        return Err(Error::bad_request(format!("{name}: at most {most} characters, without control characters")));
    }
    Ok(text)
}

fn refused(why: Refused) -> Error {
    if matches!(why, Refused::CallEnded | Refused::UnknownCall) {
        return Error::call_ended();
    }
    if why == Refused::TranscriptionNameTaken {
        return Error::bad_request(format!("Name: {why}"));
    }
    Error::of_change(&format!("The transcription is not changed: {why}"))
}

fn shown_transcription(cx: &Asked<'_>, call: &str, sid: &str, name: Option<&str>, status: &str) -> Value {
    json!({
        "account_sid": cx.account,
        "call_sid": call,
        "date_updated": now(),
        "name": name,
        "sid": sid,
        "status": status,
        "uri": format!("{}.json", cx.uri(&format!("Calls/{call}/Transcriptions/{sid}"))),
    })
}
