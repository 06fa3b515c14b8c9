//! The phone numbers of `[[number]]`, as Twilio's IncomingPhoneNumbers.

use serde_json::{Value, json};
use trunkgate_route::{App, AppDocument, WebhookMethod};

use super::Asked;
use super::error::Error;
use super::page::Page;
use super::parameters::Parameters;
use super::text::{formatted, moment};
use crate::config::{Config, PhoneNumber, stable_sid};

/// Returns the SID of a number: the same as long as it and the trunks that it is called by are.
pub(super) fn sid(number: &PhoneNumber) -> String {
    stable_sid("PN", &format!("trunkgate number {} {}", number.number, number.from.join(",")))
}

/// `GET …/IncomingPhoneNumbers.json`
pub(super) fn list(cx: &Asked<'_>, mut parameters: Parameters) -> Result<Value, Error> {
    let page = Page::take(&cx.uri("IncomingPhoneNumbers"), cx.query, &mut parameters)?;
    // Part of a number, with * for any digit; a whole one in any form.
    let number = parameters.take("PhoneNumber").map(|part| (cx.number(&part), part));
    let name = parameters.take("FriendlyName");
    parameters.finish()?;
    cx.config(|config| {
        let wanted = |one: &&PhoneNumber| {
            number.as_ref().is_none_or(|(whole, part)| has(&one.number, part) || *whole == one.number)
                && name.as_deref().is_none_or(|name| name == friendly(one))
        };
        let mut found: Vec<&PhoneNumber> = config.numbers.iter().filter(wanted).collect();
        found.sort_by_cached_key(|one| sid(one));
        let rest = found.into_iter().filter(|one| page.behind.as_deref().is_none_or(|key| sid(one).as_str() > key));
        let found = rest.take(page.size + 1).collect();
        Ok(page.json("incoming_phone_numbers", found, |one| sid(one), |one| json(cx, config, one)))
    })
}

/// `GET …/IncomingPhoneNumbers/{sid}.json`
pub(super) fn fetch(cx: &Asked<'_>, wanted: &str, parameters: Parameters) -> Result<Value, Error> {
    parameters.finish()?;
    cx.config(|config| {
        let found = config.numbers.iter().find(|one| sid(one) == wanted);
        found.map(|one| json(cx, config, one)).ok_or_else(|| Error::not_found(cx.path))
    })
}

fn friendly(number: &PhoneNumber) -> String {
    number.name.clone().unwrap_or_else(|| formatted(&number.number))
}

/// Whether a number has this part; `*` is any one digit.
fn has(number: &str, part: &str) -> bool {
    let part: Vec<char> = part.chars().filter(|c| c.is_ascii_digit() || *c == '*').collect();
    let digits: Vec<char> = number.chars().filter(char::is_ascii_digit).collect();
    !part.is_empty()
        && digits.windows(part.len()).any(|run| run.iter().zip(&part).all(|(digit, c)| c == digit || *c == '*'))
}

fn json(cx: &Asked<'_>, config: &Config, number: &PhoneNumber) -> Value {
    let sid = sid(number);
    let app: Option<&App> = number.app.as_ref().and_then(|name| config.apps.iter().find(|app| *app.name == **name));
    let (voice_url, method) = match app.map(|app| &app.document) {
        Some(AppDocument::Url { url, method }) => (Some(url.as_str()), *method),
        Some(AppDocument::File(_) | AppDocument::Sound(_) | AppDocument::Text(_)) | None => {
            (None, WebhookMethod::default())
        }
    };
    let since = moment(cx.handle.shared.started_at);
    let uri = cx.uri(&format!("IncomingPhoneNumbers/{sid}"));
    json!({
        "account_sid": cx.account,
        "address_requirements": "none",
        "address_sid": null,
        "api_version": super::VERSION,
        "beta": false,
        "bundle_sid": null,
        "capabilities": { "voice": true, "sms": false, "mms": false, "fax": false },
        "date_created": since,
        "date_updated": since,
        "emergency_address_sid": null,
        "emergency_address_status": null,
        "emergency_status": null,
        "friendly_name": friendly(number),
        "identity_sid": null,
        "origin": "hosted",
        "phone_number": number.number,
        "sid": sid,
        "sms_application_sid": null,
        "sms_fallback_method": "POST",
        "sms_fallback_url": null,
        "sms_method": "POST",
        "sms_url": null,
        "status": "in-use",
        "status_callback": app.and_then(|app| app.status_callback.as_ref()).map(|callback| &callback.url),
        "status_callback_method": "POST",
        "trunk_sid": null,
        "uri": format!("{uri}.json"),
        "voice_application_sid": null,
        "voice_caller_id_lookup": false,
        "voice_fallback_method": "POST",
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
