//! Lookup of a number as on lookups.twilio.com: validity, country and formats, by the numbering plans. Requests for
//! data that carriers sell (line type, caller name, SIM swap) are rejected.

use serde_json::{Value, json};
use trunkgate_route::{InvalidNumber, NumberingPlan, ValidNumber};
use trunkgate_sip::uri::unescape;

use super::error::{Error, shown};
use super::parameters::Parameters;
use super::{Asked, dialled};
use trunkgate_system::twilio_hosts::LOOKUPS;

/// Version of the Lookup API that a request uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// Answers `GET /v1/PhoneNumbers/{number}` or `GET /v2/PhoneNumbers/{number}`; `number` is still percent-encoded.
pub(super) fn answer(
    cx: &Asked<'_>,
    version: Version,
    number: &str,
    mut parameters: Parameters,
) -> Result<Value, Error> {
    let country = parameters.take("CountryCode");
    parameters.finish()?;
    let numbers = match country {
        Some(country) => NumberingPlan::new(&country).ok_or_else(|| unknown_country(&country))?,
        None => cx.config(|config| config.edge.numbers.clone()),
    };
    let text = dialled(&unescape(number));
    let found = numbers.look_up(&text);
    match (version, found) {
        (Version::V1, Ok(number)) => Ok(v1(&number)),
        (Version::V1, Err(_)) => Err(Error::not_found(cx.path)),
        (Version::V2, found) => Ok(v2(&shown(&text), &found)),
    }
}

fn unknown_country(given: &str) -> Error {
    Error::bad_request(format!("CountryCode: \"{}\" is not a valid ISO 3166 country code, such as US", shown(given)))
}

/// Returns the URL of a number at Twilio.
fn url_of(version: &str, number: &str) -> String {
    format!("https://{LOOKUPS}/{version}/PhoneNumbers/{number}")
}

fn v1(number: &ValidNumber) -> Value {
    json!({
        "add_ons": null,
        "caller_name": null,
        "carrier": null,
        "country_code": number.country,
        "national_format": number.national,
        "phone_number": number.e164,
        "url": url_of("v1", &number.e164),
    })
}

/// Returns the response of version 2, which repeats an invalid number as it was given.
fn v2(text: &str, found: &Result<ValidNumber, InvalidNumber>) -> Value {
    let number = found.as_ref().ok();
    let phone_number = number.map_or(text, |number| number.e164.as_str());
    let errors: Vec<&str> = found.as_ref().err().map(|reason| word_of(*reason)).into_iter().collect();
    json!({
        "call_forwarding": null,
        "caller_name": null,
        "calling_country_code": number.map(|number| number.calling_code.as_str()),
        "country_code": number.and_then(|number| number.country.as_deref()),
        "identity_match": null,
        "line_status": null,
        "line_type_intelligence": null,
        "national_format": number.map(|number| number.national.as_str()),
        "phone_number": phone_number,
        "phone_number_quality_score": null,
        "pre_fill": null,
        "reassigned_number": null,
        "sim_swap": null,
        "sms_pumping_risk": null,
        "url": url_of("v2", phone_number),
        "valid": number.is_some(),
        "validation_errors": errors,
    })
}

/// Returns Twilio's word for the reason why a number is invalid.
fn word_of(reason: InvalidNumber) -> &'static str {
    match reason {
        InvalidNumber::TooShort => "TOO_SHORT",
        InvalidNumber::TooLong => "TOO_LONG",
        InvalidNumber::InvalidButPossible => "INVALID_BUT_POSSIBLE",
        InvalidNumber::InvalidCountryCode => "INVALID_COUNTRY_CODE",
        InvalidNumber::InvalidLength => "INVALID_LENGTH",
        InvalidNumber::NotANumber => "NOT_A_NUMBER",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_number_is_repeated_with_the_reason() {
        let answer = v2("+141599299600", &Err(InvalidNumber::TooLong));
        assert_eq!((&answer["valid"], &answer["validation_errors"]), (&json!(false), &json!(["TOO_LONG"])));
        assert_eq!(answer["phone_number"], "+141599299600");
        assert_eq!(answer["url"], "https://lookups.twilio.com/v2/PhoneNumbers/+141599299600");
        for unknown in ["calling_country_code", "country_code", "national_format"] {
            assert_eq!(answer[unknown], Value::Null, "{unknown}");
        }
    }
}
