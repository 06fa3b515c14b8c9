//! Parameters and errors that media streams and live transcriptions of a call share.

use serde_json::{Value, json};
use trunkgate_call::RequestRefusal;
use trunkgate_call::twiml::{HttpMethod, TrackSelection};
use trunkgate_route::WebhookMethod;

use super::error::{Error, shown};
use super::parameters::Parameters;
use super::text::now;
use super::{Asked, create};

/// Maximum length of a listener's name, in characters.
pub(super) const NAME_CHARS: usize = 256;

/// Parses `Track`; returns `default` if it is absent.
pub(super) fn take_tracks(parameters: &mut Parameters, default: TrackSelection) -> Result<TrackSelection, Error> {
    let all = [TrackSelection::Inbound, TrackSelection::Outbound, TrackSelection::Both];
    let given = parameters.take_word("Track", &all.map(TrackSelection::name))?;
    Ok(all.into_iter().find(|tracks| Some(tracks.name()) == given).unwrap_or(default))
}

/// Parses the status callback: its URL in the parameter `name`, and `StatusCallbackMethod`.
pub(super) fn take_receiver(parameters: &mut Parameters, name: &str) -> Result<Option<(String, HttpMethod)>, Error> {
    let receiver = create::take_url(parameters, name, "StatusCallbackMethod")?;
    Ok(receiver.map(|(url, method)| match method {
        WebhookMethod::Post => (url, HttpMethod::Post),
        WebhookMethod::Get => (url, HttpMethod::Get),
    }))
}

/// Parses `Status=stopped`, the only change that is supported.
pub(super) fn take_stop(mut parameters: Parameters) -> Result<(), Error> {
    let status = parameters.take("Status").unwrap_or_default();
    parameters.finish()?;
    if status != "stopped" {
        return Err(Error::bad_request(format!("Status: \"{}\" is not supported: use stopped", shown(&status))));
    }
    Ok(())
}

/// Returns the error for a listener that was not started or stopped; `what` is its kind.
pub(super) fn refused(what: &str, why: RequestRefusal) -> Error {
    if matches!(why, RequestRefusal::CallEnded | RequestRefusal::UnknownCall) {
        return Error::call_ended();
    }
    if matches!(why, RequestRefusal::StreamNameTaken | RequestRefusal::TranscriptionNameTaken) {
        return Error::bad_request(format!("Name: {why}"));
    }
    Error::of_change(&format!("The {what} was not changed: {why}"))
}

/// Returns the error for a listener that was not stopped, 404 for an unknown one; `what` is its kind.
pub(super) fn not_stopped(cx: &Asked<'_>, what: &str, why: RequestRefusal) -> Error {
    if matches!(why, RequestRefusal::UnknownFork | RequestRefusal::UnknownTranscription | RequestRefusal::UnknownCall) {
        return Error::not_found(cx.path);
    }
    refused(what, why)
}

/// Returns the JSON of a listener in `list` below a call.
pub(super) fn resource(
    cx: &Asked<'_>,
    (call, list): (&str, &str),
    (sid, name): (&str, Option<&str>),
    status: &str,
) -> Value {
    json!({
        "account_sid": cx.account,
        "call_sid": call,
        "date_updated": now(),
        "name": name,
        "sid": sid,
        "status": status,
        "uri": format!("{}.json", cx.uri(&format!("Calls/{call}/{list}/{sid}"))),
    })
}
