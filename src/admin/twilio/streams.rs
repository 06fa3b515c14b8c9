//! `Calls/{sid}/Streams`: media streams of a live call that a program starts and stops.

use std::sync::Arc;

use serde_json::{Value, json};
use trunkgate_call::Refused;
use trunkgate_call::twiml::{Location, Method, StreamStep, Tracks};
use trunkgate_route::{AppDocument, WebhookMethod};

use super::error::{Error, shown};
use super::parameters::Parameters;
use super::text::now;
use super::{Asked, create};

/// Most custom parameters of a stream, as at Twilio.
const PARAMETERS: usize = 99;
/// Most characters of the name and the value of one, as at Twilio.
const PARAMETER_CHARS: usize = 500;
/// Most characters of a stream's name.
const NAME_CHARS: usize = 256;

/// `POST …/Calls/{sid}/Streams.json`: starts a stream that listens.
pub(super) async fn start(cx: &Asked<'_>, call: &str, mut parameters: Parameters) -> Result<Value, Error> {
    let url = parameters.take("Url").ok_or_else(|| Error::bad_url("Url", "Url is required"))?;
    let url = Location::Inline.resolve_socket(&url).map_err(|what| Error::bad_url("Url", &what))?;
    let tracks = match parameters.take("Track").as_deref() {
        None | Some("inbound_track") => Tracks::Inbound,
        Some("outbound_track") => Tracks::Outbound,
        Some("both_tracks") => Tracks::Both,
        Some(other) => {
            let known = "inbound_track, outbound_track, both_tracks";
            return Err(Error::bad_request(format!("Track: \"{}\"; known: {known}", shown(other))));
        }
    };
    let name = parameters.take("Name");
    if name.as_ref().is_some_and(|name| name.chars().count() > NAME_CHARS || name.chars().any(char::is_control)) {
        return Err(Error::bad_request(format!("Name: at most {NAME_CHARS} characters, without control characters")));
    }
    let receiver = create::take_url(&mut parameters, "StatusCallback", "StatusCallbackMethod")?;
    let status = receiver.map(|(url, method)| match method {
        WebhookMethod::Post => (url, Method::Post),
        WebhookMethod::Get => (url, Method::Get),
    });
    let custom = take_custom(&mut parameters)?;
    parameters.finish()?;
    let current = cx.handle.call(call).await?.ok_or_else(|| Error::not_found(cx.path))?;
    // The keys of the application that has the call, or of [api].
    let app = create::keys_of(cx, current.app.as_deref(), AppDocument::Text("".into()));
    create::judge_socket(cx, "Url", &url, &app)?;
    if let Some((url, _)) = &status {
        create::judge_url(cx, "StatusCallback", url, &app)?;
    }
    let stream = StreamStep { id: 0, url, name: name.clone(), tracks, status, parameters: custom };
    let (of_call, app) = (call.to_owned(), Arc::new(app));
    let begun = cx.handle.act(move |gateway, now| gateway.start_stream(now, &of_call, &app, &stream)).await?;
    let sid = begun.map_err(refused)?;
    Ok(shown_stream(cx, call, &sid, name.as_deref(), "in-progress"))
}

/// `POST …/Calls/{sid}/Streams/{name or sid}.json`: stops a stream.
pub(super) async fn stop(cx: &Asked<'_>, call: &str, stream: &str, mut parameters: Parameters) -> Result<Value, Error> {
    let status = parameters.take("Status");
    parameters.finish()?;
    if status.as_deref() != Some("stopped") {
        let given = status.unwrap_or_default();
        return Err(Error::bad_request(format!("Status: \"{}\"; known: stopped", shown(&given))));
    }
    let (of_call, asked) = (call.to_owned(), stream.to_owned());
    let done = cx.handle.act(move |gateway, now| gateway.stop_stream(now, &of_call, &asked)).await?;
    let is_unknown = |why: &Refused| matches!(why, Refused::UnknownFork | Refused::UnknownCall);
    let sid = done.map_err(|why| if is_unknown(&why) { Error::not_found(cx.path) } else { refused(why) })?;
    let name = Some(stream).filter(|name| *name != sid);
    Ok(shown_stream(cx, call, &sid, name, "stopped"))
}

/// Takes `Parameter1.Name`, `Parameter1.Value` and so on.
fn take_custom(parameters: &mut Parameters) -> Result<Vec<(String, String)>, Error> {
    let mut custom = Vec::new();
    for n in 1..=PARAMETERS {
        let name = parameters.take(&format!("Parameter{n}.Name"));
        let value = parameters.take(&format!("Parameter{n}.Value"));
        match (name, value) {
            (Some(name), value) => {
                let value = value.unwrap_or_default();
                if name.chars().count() + value.chars().count() > PARAMETER_CHARS {
                    let message = format!("Parameter{n}: name and value have more than {PARAMETER_CHARS} characters");
                    return Err(Error::bad_request(message));
                }
                custom.push((name, value));
            }
            (None, None) => {}
            (None, Some(_)) => return Err(Error::bad_request(format!("Parameter{n}.Value: without a Name"))),
        }
    }
    Ok(custom)
}

fn refused(why: Refused) -> Error {
    if matches!(why, Refused::CallEnded | Refused::UnknownCall) {
        return Error::call_ended();
    }
    if why == Refused::StreamNameTaken {
        return Error::bad_request(format!("Name: {why}"));
    }
    Error::of_change(&format!("The stream is not changed: {why}"))
}

fn shown_stream(cx: &Asked<'_>, call: &str, sid: &str, name: Option<&str>, status: &str) -> Value {
    json!({
        "account_sid": cx.account,
        "call_sid": call,
        "date_updated": now(),
        "name": name,
        "sid": sid,
        "status": status,
        "uri": format!("{}.json", cx.uri(&format!("Calls/{call}/Streams/{sid}"))),
    })
}
