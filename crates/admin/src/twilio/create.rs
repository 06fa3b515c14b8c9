//! `POST …/Calls.json`: places calls, and builds the temporary applications that requests define.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use trunkgate_call::REQUESTED_APP;
use trunkgate_call::twiml::{SensitiveText, is_digits};
use trunkgate_call::{CallRequest, ConnectTarget, RecordingRequest, RecordingSource};
use trunkgate_route::{App, AppDocument, StatusCallback, WebhookMethod};
use url::Url;

use super::error::{Error, shown};
use super::parameters::Parameters;
use super::{Asked, call_recordings, calls, detection, dialled};
use trunkgate_config as config;
use trunkgate_runtime::own_recordings::OwnRecordings;
use trunkgate_runtime::placing::{self, ApiCallError, PermittedCall};
use trunkgate_system::limits::{CALL_LIMIT_SECONDS, CALL_RING_SECONDS};
use trunkgate_system::reach::ReachRules;

/// Ringing time of a call in seconds: default, then maximum.
pub(super) const TIMEOUT_SECONDS: (u64, u64) = (60, CALL_RING_SECONDS);
/// Time limit of a call in seconds: default, then maximum.
pub(super) const LIMIT_SECONDS: (u64, u64) = (14_400, CALL_LIMIT_SECONDS);
/// Maximum number of digits in `SendDigits`.
const DIGITS: usize = 32;
/// Events that `StatusCallbackEvent` may name.
const EVENTS: [&str; 4] = ["initiated", "ringing", "answered", "completed"];
/// Places a call (`POST …/Calls.json`).
pub(super) async fn create(cx: &Asked<'_>, mut parameters: Parameters) -> Result<Value, Error> {
    let (to, from) = (parameters.take("To"), parameters.take("From"));
    let document = take_document(&mut parameters)?.ok_or_else(Error::no_url)?;
    let fallback = take_url(&mut parameters, "FallbackUrl", "FallbackMethod")?;
    let status_callback = take_callback(&mut parameters)?;
    let ring_timeout = take_seconds(&mut parameters, "Timeout", TIMEOUT_SECONDS.1)?;
    let ring_timeout = ring_timeout.unwrap_or(Duration::from_secs(TIMEOUT_SECONDS.0));
    let time_limit = take_time_limit(&mut parameters)?.unwrap_or(Duration::from_secs(LIMIT_SECONDS.0));
    let digits = parameters.take("SendDigits");
    let record = take_record(cx, &mut parameters)?;
    // Digits exclude answering machine detection, as on Twilio.
    let detection = detection::take(&mut parameters, detection::OF_CALL)?.filter(|_| digits.is_none());
    parameters.finish()?;
    if digits.as_ref().is_some_and(|digits| digits.len() > DIGITS || !is_digits(digits)) {
        return Err(Error::bad_request(format!("SendDigits: 1 to {DIGITS} of 0-9, A-D, #, *, w and W")));
    }
    let (from, PermittedCall { to, targets, headers }) = placed(cx, to, from)?;
    let (fallback_url, fallback_method) = fallback.map(|(url, method)| (Some(url), method)).unwrap_or_default();
    let app = App { status_callback, fallback_url, fallback_method, ..made(cx, document, None)? };
    judge_reach(cx, &app)?;
    detection::judge(cx, detection::OF_CALL.0, detection.as_ref(), &app)?;
    let onward = vec![ConnectTarget::App(Arc::new(app))];
    let digits = digits.map(SensitiveText::new);
    let detection = detection.map(Box::new);
    let request = CallRequest {
        from,
        to,
        targets,
        headers,
        onward,
        ring_timeout,
        time_limit,
        digits,
        record,
        participant: None,
        detection,
    };
    let begun = cx.handle.change(request).await?;
    calls::show_new(cx, &begun.map_err(ApiCallError::from)?.sid).await
}

/// Returns the calling number and the targets for a new call.
///
/// # Errors
/// Returns an error if a number is not permitted, or no target matches.
pub(super) fn placed(
    cx: &Asked<'_>,
    to: Option<String>,
    from: Option<String>,
) -> Result<(String, PermittedCall), Error> {
    let (to, from) = (to.map(|to| dialled(&to)), from.map(|from| dialled(&from)));
    let table = cx.handle.table();
    Ok(cx.config(|config| {
        let from = placing::judge_from(config, from.as_deref())?;
        placing::judge_to(config, &table, to.as_deref()).map(|placing| (from, placing))
    })?)
}

/// Returns the calling number that a party, which may be an agent, is shown. An agent gets the name of the conference
/// if the request has no number.
///
/// # Errors
/// Returns an error if the number does not belong to the edge, or if a telephone is called and the request has no
/// number.
pub(super) fn caller_of_agent(
    cx: &Asked<'_>,
    placing: &PermittedCall,
    (from, conference): (Option<&str>, &str),
) -> Result<String, Error> {
    if from.is_none() && placing.has_agents_alone() {
        return Ok(conference.to_owned());
    }
    Ok(cx.config(|config| placing::judge_from(config, from.map(dialled).as_deref()))?)
}

/// Parses the recording parameters of a new call; they have no effect without `Record=true`.
pub(super) fn take_record(cx: &Asked<'_>, parameters: &mut Parameters) -> Result<Option<RecordingRequest>, Error> {
    let is_recorded = parameters.take_flag("Record")?.unwrap_or(false);
    let request = call_recordings::take_request(parameters, RecordingSource::OutboundApi, true)?;
    if !is_recorded {
        return Ok(None);
    }
    if cx.config(|config| config.recording.is_none()) {
        return Err(Error::of_change("Record: the edge records no calls: its configuration has no [recording]"));
    }
    call_recordings::reached(cx, None, request).map(Some)
}

/// Parses the document of a call (`Url` or `Twiml`); `None` without one.
pub(super) fn take_document(parameters: &mut Parameters) -> Result<Option<AppDocument>, Error> {
    let (url, twiml, method) = (parameters.take("Url"), parameters.take("Twiml"), take_method(parameters, "Method")?);
    match (url, twiml) {
        (Some(_), Some(_)) => Err(Error::bad_request("Url: not together with Twiml")),
        (None, None) => Ok(None),
        (None, Some(text)) => match trunkgate_twiml::parse(&text) {
            Ok(_) => Ok(Some(AppDocument::Text(text.into()))),
            Err(error) => Err(Error::document(&error)),
        },
        (Some(url), None) => Ok(Some(AppDocument::Url { url: parsed_url("Url", &url)?, method })),
    }
}

/// Builds the application of one call, with the settings of the application `current` or of `[api]`.
///
/// # Errors
/// Returns an error if the document's URL can never be reached.
pub(super) fn made(cx: &Asked<'_>, document: AppDocument, current: Option<&str>) -> Result<App, Error> {
    let app = keys_of(cx, current, document);
    if let AppDocument::Url { url, .. } = &app.document {
        judge_heard(cx, "Url", url, &app)?;
    }
    Ok(app)
}

/// Checks the callback and fallback URLs of an application, which a call may request later.
///
/// # Errors
/// Returns an error if a URL can never be reached.
pub(super) fn judge_reach(cx: &Asked<'_>, app: &App) -> Result<(), Error> {
    let callback = app.status_callback.as_ref().map(|callback| callback.url.as_str());
    for (name, url) in [("StatusCallback", callback), ("FallbackUrl", app.fallback_url.as_deref())] {
        url.map_or(Ok(()), |url| judge_url(cx, name, url, app))?;
    }
    Ok(())
}

/// Checks a URL by the rules for URLs of an application.
///
/// # Errors
/// Returns an error if the URL is invalid or can never be reached.
pub(super) fn judge_url(cx: &Asked<'_>, name: &str, url: &str, app: &App) -> Result<(), Error> {
    config::judge_url(name, url, &reach_of(cx, app.allow_private)).map_err(|what| Error::unusable_url(&what))
}

/// Checks the URL of a document or sound. Recordings of this edge are permitted, because they are read without an HTTP
/// request.
///
/// # Errors
/// Returns an error if the URL is invalid or can never be reached.
pub(super) fn judge_heard(cx: &Asked<'_>, name: &str, url: &str, app: &App) -> Result<(), Error> {
    let reach = reach_of(cx, app.allow_private);
    let own = cx.handle.shared.running(|running| OwnRecordings::of(cx.handle, running));
    match own.named_by(url, &reach) {
        Some(_) => Ok(()),
        None => judge_url(cx, name, url, app),
    }
}

/// Checks the URL of a WebSocket by the address rules of an application.
///
/// # Errors
/// Returns an error if the URL can never be reached.
pub(super) fn judge_socket(cx: &Asked<'_>, name: &str, url: &str, app: &App) -> Result<(), Error> {
    let Ok(url) = Url::parse(url) else { return Ok(()) };
    let judged = reach_of(cx, app.allow_private).judge_url(&url);
    judged.map_err(|why| Error::bad_url(name, &format!("it can never be reached: {why}")))
}

/// Returns an application for a document, with the settings of the application `current` or of `[api]`.
pub(super) fn keys_of(cx: &Asked<'_>, current: Option<&str>, document: AppDocument) -> App {
    cx.config(|config| {
        let api = &config.api;
        let current = config.apps.iter().find(|app| Some(&*app.name) == current);
        App {
            allow_private: current.map_or(api.allow_private, |app| app.allow_private),
            auth_token: api.auth_token.as_ref().map(|token| token.reveal().to_owned()),
            connect: api.connect.clone(),
            is_made: true,
            ..App::new(REQUESTED_APP, document)
        }
    })
}

/// Returns the rules for addresses that a URL may lead to.
pub(super) fn reach_of(cx: &Asked<'_>, allow_private: bool) -> ReachRules {
    cx.handle.shared.running(|running| cx.handle.shared.own.borrow().reach(allow_private, &running.interfaces))
}

pub(super) fn take_seconds(parameters: &mut Parameters, name: &str, most: u64) -> Result<Option<Duration>, Error> {
    Ok(parameters.take_number(name, 1..=most)?.map(Duration::from_secs))
}

/// Parses the time limit of a call; `None` without one.
pub(super) fn take_time_limit(parameters: &mut Parameters) -> Result<Option<Duration>, Error> {
    take_seconds(parameters, "TimeLimit", LIMIT_SECONDS.1)
}

/// Parses the status callback of a call with its events; `None` without one.
pub(super) fn take_callback(parameters: &mut Parameters) -> Result<Option<StatusCallback>, Error> {
    let receiver = take_url(parameters, "StatusCallback", "StatusCallbackMethod")?;
    let events = take_events(parameters)?;
    Ok(receiver.map(|(url, method)| callback(url, method, &events)))
}

pub(super) fn take_method(parameters: &mut Parameters, name: &str) -> Result<WebhookMethod, Error> {
    take_method_or(parameters, name, WebhookMethod::Post)
}

/// Parses the HTTP method in a parameter; returns `default` if it is absent.
pub(super) fn take_method_or(
    parameters: &mut Parameters,
    name: &str,
    default: WebhookMethod,
) -> Result<WebhookMethod, Error> {
    match parameters.take(name).as_deref() {
        None => Ok(default),
        Some("POST") => Ok(WebhookMethod::Post),
        Some("GET") => Ok(WebhookMethod::Get),
        Some(other) => {
            Err(Error::bad_request(format!("{name}: \"{}\" is not supported: use one of GET, POST", shown(other))))
        }
    }
}

pub(super) fn take_url(
    parameters: &mut Parameters,
    name: &str,
    method: &str,
) -> Result<Option<(String, WebhookMethod)>, Error> {
    let method = take_method(parameters, method)?;
    let Some(url) = parameters.take(name) else { return Ok(None) };
    Ok(Some((parsed_url(name, &url)?, method)))
}

/// Checks a URL and returns it in normalized form; control characters such as line breaks are rejected.
pub(super) fn parsed_url(name: &str, url: &str) -> Result<String, Error> {
    let bad = |what: String| Error::bad_url(name, &what);
    if url.chars().any(char::is_control) {
        return Err(bad("it has control characters".to_owned()));
    }
    trunkgate_twiml::DocumentLocation::url(url).map(|_| url.to_owned()).map_err(bad)
}

/// Parses the events to report, repeated or separated by spaces; without any, returns `completed`.
fn take_events(parameters: &mut Parameters) -> Result<Vec<&'static str>, Error> {
    let named = parameters.take_events("StatusCallbackEvent", &EVENTS)?;
    Ok(if named.is_empty() { vec!["completed"] } else { named })
}

fn callback(url: String, method: WebhookMethod, events: &[&str]) -> StatusCallback {
    let [initiated, ringing, answered, completed] = EVENTS.map(|event| events.contains(&event));
    StatusCallback { url, method, initiated, ringing, answered, completed }
}
