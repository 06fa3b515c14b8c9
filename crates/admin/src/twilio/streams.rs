//! `Calls/{sid}/Streams`: starts and stops media streams of a live call.

use std::sync::Arc;

use serde_json::Value;
use trunkgate_call::twiml::{DocumentLocation, StreamStep, TrackSelection};
use trunkgate_call::{ListenerAction, ListenerControl};
use trunkgate_route::AppDocument;

use super::error::Error;
use super::listeners::NAME_CHARS;
use super::parameters::Parameters;
use super::{Asked, create, listeners};

/// Maximum number of a stream's custom parameters, as on Twilio.
const PARAMETERS: usize = 99;
/// Maximum length of a custom parameter's name and value together, in characters, as on Twilio.
const PARAMETER_CHARS: usize = 500;
/// Name of the list below a call, then of one of its entries.
const LIST: &str = "Streams";
const WHAT: &str = "stream";

/// Starts a unidirectional stream (`POST …/Calls/{sid}/Streams.json`).
pub(super) async fn start(cx: &Asked<'_>, call: &str, mut parameters: Parameters) -> Result<Value, Error> {
    let url = parameters.take("Url").ok_or_else(|| Error::bad_url("Url", "required"))?;
    let url = DocumentLocation::Inline.resolve_socket(&url).map_err(|what| Error::bad_url("Url", &what))?;
    let tracks = listeners::take_tracks(&mut parameters, TrackSelection::Inbound)?;
    let name = parameters.take_text("Name", NAME_CHARS)?;
    let status = listeners::take_receiver(&mut parameters, "StatusCallback")?;
    let custom = take_custom(&mut parameters)?;
    parameters.finish()?;
    let current = cx.handle.call(call).await?.ok_or_else(|| Error::not_found(cx.path))?;
    // The settings come from the application that controls the call, or from [api].
    let app = create::keys_of(cx, current.app.as_deref(), AppDocument::Text("".into()));
    create::judge_socket(cx, "Url", &url, &app)?;
    if let Some((url, _)) = &status {
        create::judge_url(cx, "StatusCallback", url, &app)?;
    }
    let stream = StreamStep { id: 0, url, name: name.clone(), tracks, status, parameters: custom };
    let action = ListenerAction::Start { app: Arc::new(app), step: stream };
    let begun = cx.handle.change(ListenerControl { sid: call.to_owned(), action }).await?;
    let sid = begun.map_err(|why| listeners::refused(WHAT, why))?;
    Ok(listeners::resource(cx, (call, LIST), (&sid, name.as_deref()), "in-progress"))
}

/// Stops a stream (`POST …/Calls/{sid}/Streams/{name or sid}.json`).
pub(super) async fn stop(cx: &Asked<'_>, call: &str, stream: &str, parameters: Parameters) -> Result<Value, Error> {
    listeners::take_stop(parameters)?;
    let action = ListenerAction::<StreamStep>::Stop { name: stream.to_owned() };
    let done = cx.handle.change(ListenerControl { sid: call.to_owned(), action }).await?;
    let sid = done.map_err(|why| listeners::not_stopped(cx, WHAT, why))?;
    let name = Some(stream).filter(|name| *name != sid);
    Ok(listeners::resource(cx, (call, LIST), (&sid, name), "stopped"))
}

/// Parses the custom parameters of a stream: `Parameter1.Name`, `Parameter1.Value` and so on.
fn take_custom(parameters: &mut Parameters) -> Result<Vec<(String, String)>, Error> {
    let mut custom = Vec::new();
    for n in 1..=PARAMETERS {
        let name = parameters.take(&format!("Parameter{n}.Name"));
        let value = parameters.take(&format!("Parameter{n}.Value"));
        match (name, value) {
            (Some(name), value) => {
                let value = value.unwrap_or_default();
                if name.chars().count() + value.chars().count() > PARAMETER_CHARS {
                    let message = format!("Parameter{n}: name and value exceed {PARAMETER_CHARS} characters together");
                    return Err(Error::bad_request(message));
                }
                custom.push((name, value));
            }
            (None, None) => {}
            (None, Some(_)) => {
                return Err(Error::bad_request(format!("Parameter{n}.Value: Parameter{n}.Name is missing")));
            }
        }
    }
    Ok(custom)
}
