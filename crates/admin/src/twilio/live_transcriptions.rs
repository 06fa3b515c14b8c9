//! `Calls/{sid}/Transcriptions`: starts and stops live transcriptions of a call.

use std::sync::Arc;

use serde_json::Value;
use trunkgate_call::twiml::limits::{HINT_CHARS, HINTS, LANGUAGE_CHARS, MODEL_CHARS, TRACK_LABEL_CHARS};
use trunkgate_call::twiml::{RecognitionStep, TrackSelection, TranscriptStep};
use trunkgate_call::{ListenerAction, ListenerControl};
use trunkgate_route::AppDocument;

use super::error::{Error, shown};
use super::listeners::NAME_CHARS;
use super::parameters::Parameters;
use super::{Asked, create, listeners};

/// Name of the list below a call, then of one of its entries.
const LIST: &str = "Transcriptions";
const WHAT: &str = "transcription";
/// Default language of a transcription, as in TwiML.
const LANGUAGE: &str = "en-US";

/// Starts a live transcription (`POST …/Calls/{sid}/Transcriptions.json`).
pub(super) async fn start(cx: &Asked<'_>, call: &str, mut parameters: Parameters) -> Result<Value, Error> {
    let name = parameters.take_text("Name", NAME_CHARS)?;
    let tracks = listeners::take_tracks(&mut parameters, TrackSelection::Both)?;
    let status = listeners::take_receiver(&mut parameters, "StatusCallbackUrl")?;
    let inbound = parameters.take_text("InboundTrackLabel", TRACK_LABEL_CHARS)?;
    let outbound = parameters.take_text("OutboundTrackLabel", TRACK_LABEL_CHARS)?;
    let partial = parameters.take_flag("PartialResults")?.unwrap_or(false);
    let speech = take_speech(&mut parameters)?;
    // The speech recogniser decides on these, so the parameters are accepted without effect.
    for name in ["TranscriptionEngine", "EnableAutomaticPunctuation"] {
        parameters.take(name);
    }
    parameters.finish()?;
    let current = cx.handle.call(call).await?.ok_or_else(|| Error::not_found(cx.path))?;
    // The settings come from the application that controls the call, or from [api].
    let app = create::keys_of(cx, current.app.as_deref(), AppDocument::Text("".into()));
    if let Some((url, _)) = &status {
        create::judge_url(cx, "StatusCallbackUrl", url, &app)?;
    }
    let step = TranscriptStep { name, tracks, labels: [inbound, outbound], status, partial, speech };
    let action = ListenerAction::Start { app: Arc::new(app), step };
    let begun = cx.handle.change(ListenerControl { sid: call.to_owned(), action }).await?;
    let (sid, name) = begun.map_err(|why| listeners::refused(WHAT, why))?;
    Ok(listeners::resource(cx, (call, LIST), (&sid, name.as_deref()), "in-progress"))
}

/// Stops a live transcription (`POST …/Calls/{sid}/Transcriptions/{name or sid}.json`).
pub(super) async fn stop(cx: &Asked<'_>, call: &str, which: &str, parameters: Parameters) -> Result<Value, Error> {
    listeners::take_stop(parameters)?;
    let action = ListenerAction::<TranscriptStep>::Stop { name: which.to_owned() };
    let done = cx.handle.change(ListenerControl { sid: call.to_owned(), action }).await?;
    let (sid, name) = done.map_err(|why| listeners::not_stopped(cx, WHAT, why))?;
    Ok(listeners::resource(cx, (call, LIST), (&sid, name.as_deref()), "stopped"))
}

/// Parses the parameters for the speech recogniser.
fn take_speech(parameters: &mut Parameters) -> Result<RecognitionStep, Error> {
    let language = parameters.take_text("LanguageCode", LANGUAGE_CHARS)?.unwrap_or_else(|| LANGUAGE.to_owned());
    if !language.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(Error::bad_request(format!("LanguageCode: \"{}\" is not a language tag", shown(&language))));
    }
    let hints = parameters.take("Hints").unwrap_or_default();
    let hints: Vec<String> =
        hints.split(',').map(str::trim).filter(|hint| !hint.is_empty()).map(str::to_owned).collect();
    if hints.len() > HINTS || hints.iter().any(|hint| hint.chars().count() > HINT_CHARS) {
        return Err(Error::bad_request(format!("Hints: at most {HINTS} of at most {HINT_CHARS} characters")));
    }
    let model = parameters.take_text("SpeechModel", MODEL_CHARS)?;
    let profanity_filter = parameters.take_flag("ProfanityFilter")?.unwrap_or(true);
    Ok(RecognitionStep { id: 0, language, hints, model, enhanced: false, profanity_filter })
}
