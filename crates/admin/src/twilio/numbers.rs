//! `IncomingPhoneNumbers` resources of the API: the phone numbers of `[[number]]`.

use serde_json::{Value, json};
use trunkgate_route::{App, AppDocument, WebhookMethod};

use super::Asked;
use super::error::Error;
use super::page::PageRequest;
use super::parameters::Parameters;
use super::text::{formatted, moment};
use trunkgate_config::{Config, NumberParameter, ParameterKind, PhoneNumber, judge_url};
use trunkgate_delivery::sinks::sms::outlets::Outlets;
use trunkgate_runtime::handle::RunningConfig;
use trunkgate_runtime::overrides::{self, NumberChange};

/// Maximum length of `FriendlyName`, in characters.
const NAME_CHARS: usize = 64;

/// Lists phone numbers (`GET …/IncomingPhoneNumbers.json`).
pub(super) fn list(cx: &Asked<'_>, mut parameters: Parameters) -> Result<Value, Error> {
    let page = PageRequest::take(&cx.uri("IncomingPhoneNumbers"), cx.query, &mut parameters)?;
    // The filter is a part of a number with `*` for any digit, or a whole number in any notation.
    let number = parameters.take("PhoneNumber").map(|part| (cx.number(&part), part));
    let name = parameters.take("FriendlyName");
    parameters.finish()?;
    cx.handle.shared.running(|running| {
        let config = &running.config;
        let wanted = |one: &&PhoneNumber| {
            number.as_ref().is_none_or(|(whole, part)| has(&one.number, part) || *whole == one.number)
                && name.as_deref().is_none_or(|name| name == friendly(one))
        };
        let mut found: Vec<&PhoneNumber> = config.numbers.iter().filter(wanted).collect();
        found.sort_by_cached_key(|one| one.sid());
        let rest = found.into_iter().filter(|one| page.behind.as_deref().is_none_or(|key| one.sid().as_str() > key));
        let found = rest.take(page.size + 1).collect();
        Ok(page.json("incoming_phone_numbers", found, |one| one.sid(), |one| json(cx, running, one)))
    })
}

/// Returns a phone number (`GET …/IncomingPhoneNumbers/{sid}.json`).
pub(super) fn fetch(cx: &Asked<'_>, wanted: &str, parameters: Parameters) -> Result<Value, Error> {
    parameters.finish()?;
    find(cx, wanted, |running, number| json(cx, running, number))
}

/// Sets values that override the configuration (`POST …/IncomingPhoneNumbers/{sid}.json`); an empty value removes the
/// override.
pub(super) async fn update(cx: &Asked<'_>, wanted: &str, mut parameters: Parameters) -> Result<Value, Error> {
    let mut changes: Vec<NumberChange> = Vec::new();
    for (name, parameter, kind) in NumberParameter::ALL {
        let Some(value) = parameters.take_given(name) else { continue };
        let value = Some(value).filter(|value| !value.is_empty());
        if let Some(value) = &value {
            judge_value(name, kind, value)?;
        }
        changes.push((parameter, value));
    }
    parameters.finish()?;
    for (url, method) in NumberParameter::METHODS {
        let is_removed = changes.contains(&(url, None));
        // A method without its URL would have no meaning.
        if is_removed && !changes.iter().any(|(parameter, _)| *parameter == method) {
            changes.push((method, None));
        }
    }
    find(cx, wanted, |running, number| judge(cx, running, number, &changes))??;
    if !changes.is_empty() {
        overrides::set(cx.handle, wanted, changes).await?.map_err(|error| Error::store(&error))?;
    }
    find(cx, wanted, |running, number| json(cx, running, number))
}

/// Calls `look` with the phone number that has this SID, as it is in force.
fn find<T>(cx: &Asked<'_>, wanted: &str, look: impl FnOnce(&RunningConfig, &PhoneNumber) -> T) -> Result<T, Error> {
    cx.handle.shared.running(|running| {
        let found = running.config.numbers.iter().find(|one| one.sid() == wanted);
        found.map(|one| look(running, one)).ok_or_else(|| Error::not_found(cx.path))
    })
}

/// Checks a single value by its kind.
fn judge_value(name: &str, kind: ParameterKind, value: &str) -> Result<(), Error> {
    let is_name = value.chars().count() <= NAME_CHARS && !value.chars().any(char::is_control);
    match kind {
        ParameterKind::Text if !is_name => {
            Err(Error::bad_request(format!("{name}: at most {NAME_CHARS} characters, in one line")))
        }
        ParameterKind::Method if !matches!(value, "GET" | "POST") => Err(Error::number_method(name, value)),
        ParameterKind::Text | ParameterKind::Method | ParameterKind::Url => Ok(()),
    }
}

/// Checks changes of a phone number: URLs must be reachable under the rules of its application, and each change must
/// have an effect.
fn judge(cx: &Asked<'_>, running: &RunningConfig, number: &PhoneNumber, changes: &[NumberChange]) -> Result<(), Error> {
    use NumberParameter as P;
    let sid = number.sid();
    let written = running.written.numbers.iter().find(|one| one.sid() == sid).and_then(|one| one.app.as_deref());
    let written: Option<&App> = running.written.apps.iter().find(|app| Some(&*app.name) == written);
    let allow_private = written.map_or(running.config.api.allow_private, |app| app.allow_private);
    let reach = cx.handle.shared.own.borrow().reach(allow_private, &running.interfaces);
    let set = |parameter: P| changes.iter().find(|(one, _)| *one == parameter).map(|(_, value)| value.as_deref());
    let held = |parameter: P| running.overrides.as_ref().and_then(|all| all.get(&sid)?.get(parameter));
    let has_url = set(P::VoiceUrl).unwrap_or_else(|| held(P::VoiceUrl)).is_some();
    let is_fetched = has_url || written.is_some_and(|app| matches!(app.document, AppDocument::Url { .. }));
    for (parameter, value) in changes {
        let (name, Some(value)) = (parameter.as_str(), value) else { continue };
        if name.ends_with("Url") || *parameter == P::StatusCallback {
            judge_url(name, value, &reach).map_err(|what| Error::number_url(&what))?;
        }
        let (is_of_calls, has_app) = (parameter.is_of_calls(), has_url || written.is_some());
        if is_of_calls && number.route.is_none() {
            return Err(Error::bad_request(format!(
                "{name}: the number receives no calls: its trunks accept only registered phones"
            )));
        }
        if *parameter == P::VoiceFallbackUrl && !has_app {
            return Err(Error::fallback_alone());
        }
        if is_of_calls && !has_app || *parameter == P::VoiceMethod && !is_fetched {
            return Err(Error::bad_request(format!("{name}: has no effect without VoiceUrl: set both")));
        }
    }
    Ok(())
}

fn friendly(number: &PhoneNumber) -> String {
    number.name.clone().unwrap_or_else(|| formatted(&number.number))
}

/// Returns whether a number contains `part`, in which `*` matches any digit.
fn has(number: &str, part: &str) -> bool {
    let part: Vec<char> = part.chars().filter(|c| c.is_ascii_digit() || *c == '*').collect();
    let digits: Vec<char> = number.chars().filter(char::is_ascii_digit).collect();
    !part.is_empty()
        && digits.windows(part.len()).any(|run| run.iter().zip(&part).all(|(digit, c)| c == digit || *c == '*'))
}

fn app<'a>(config: &'a Config, number: &PhoneNumber) -> Option<&'a App> {
    config.apps.iter().find(|app| number.app.as_deref() == Some(&*app.name))
}

fn json(cx: &Asked<'_>, running: &RunningConfig, number: &PhoneNumber) -> Value {
    let sid = number.sid();
    let app = app(&running.config, number);
    let (voice_url, method) = match app.map(|app| &app.document) {
        Some(AppDocument::Url { url, method }) => (Some(url.as_str()), *method),
        Some(AppDocument::File(_) | AppDocument::Sound(_) | AppDocument::Mailbox(_) | AppDocument::Text(_))
        | Some(AppDocument::Conference(_))
        | None => (None, WebhookMethod::default()),
    };
    let callback = app.and_then(|app| app.status_callback.as_ref());
    let created = cx.created(running, &sid);
    let changed = running.overrides.as_ref().and_then(|all| all.get(&sid)).map(|set| set.updated().max(created));
    let sends = Outlets::of(&running.config).is_any();
    let uri = cx.uri(&format!("IncomingPhoneNumbers/{sid}"));
    json!({
        "account_sid": cx.account,
        "address_requirements": "none",
        "address_sid": null,
        "api_version": super::VERSION,
        "beta": false,
        "bundle_sid": null,
        "capabilities": { "voice": true, "sms": sends, "mms": false, "fax": false },
        "date_created": moment(created),
        "date_updated": moment(changed.unwrap_or(created)),
        "emergency_address_sid": null,
        "emergency_address_status": null,
        "emergency_status": null,
        "friendly_name": friendly(number),
        "identity_sid": null,
        "origin": "hosted",
        "phone_number": number.number,
        "sid": sid,
        "sms_application_sid": null,
        "sms_fallback_method": number.sms.fallback_method.as_str(),
        "sms_fallback_url": number.sms.fallback_url,
        "sms_method": number.sms.method.as_str(),
        "sms_url": number.sms.url.as_ref().or(running.config.messages.inbound.as_ref()),
        "status": "in-use",
        "status_callback": callback.map(|callback| &callback.url),
        "status_callback_method": callback.map_or(WebhookMethod::default(), |callback| callback.method).as_str(),
        "trunk_sid": null,
        "type": null,
        "uri": format!("{uri}.json"),
        "voice_application_sid": null,
        "voice_caller_id_lookup": false,
        "voice_fallback_method": app.map_or(WebhookMethod::default(), |app| app.fallback_method).as_str(),
        "voice_fallback_url": app.and_then(|app| app.fallback_url.as_deref()),
        "voice_method": method.as_str(),
        "voice_receive_mode": "voice",
        "voice_url": voice_url,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_numbers_are_found() {
        for part in ["+14155550100", "415555", "0100", "415***01", "*"] {
            assert!(has("+14155550100", part), "{part}");
        }
        for part in ["", "+", "42", "0100*", "141555501000"] {
            assert!(!has("+14155550100", part), "{part}");
        }
    }
}
