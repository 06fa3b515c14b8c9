//! Lookup of a number in the numbering plans: validity, country and formats.

use rlibphonenumber::{
    NumberLengthType, PHONE_NUMBER_UTIL, ParseError, PhoneNumber, PhoneNumberFormat, ValidationError,
};

use super::{NumberingPlan, area_codes, compact};
use crate::limits::MAX_DIALLED_DIGITS;

/// Number in a range that its numbering plan has assigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidNumber {
    /// Number in E.164: `+14155551234`.
    pub e164: String,
    /// Country calling code: `1`.
    pub calling_code: String,
    /// Country (ISO 3166 alpha-2); `None` for a non-geographic number, such as one after `+800`.
    pub country: Option<String>,
    /// Number in national format: `(415) 555-1234`.
    pub national: String,
}

/// Reason why a text is not a valid number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidNumber {
    /// The number has fewer digits than any number of its plan, or no area code.
    TooShort,
    /// The number has more digits than any number of its plan.
    TooLong,
    /// The number has a possible length, but is in no assigned range.
    InvalidButPossible,
    /// The country calling code is not assigned.
    InvalidCountryCode,
    /// The number has a length between two possible lengths of its plan.
    InvalidLength,
    /// The text contains characters other than digits and separators, or hardly any digits.
    NotANumber,
}

impl NumberingPlan {
    /// Looks up a number in the numbering plans. A number without `+` is interpreted as dialled inside the country.
    ///
    /// # Errors
    /// Fails with [`InvalidNumber`] if the text is not a number, or not one of an assigned range.
    pub fn look_up(&self, text: &str) -> Result<ValidNumber, InvalidNumber> {
        let digits = compact(text).ok_or(InvalidNumber::NotANumber)?;
        if digits.len() > MAX_DIALLED_DIGITS + 1 {
            return Err(InvalidNumber::TooLong);
        }
        let number = PHONE_NUMBER_UTIL.parse(&digits, Some(self.region)).map_err(|error| match error {
            ParseError::InvalidCountryCode => InvalidNumber::InvalidCountryCode,
            ParseError::NotANumber(_) => InvalidNumber::NotANumber,
            ParseError::TooShortAfterIdd | ParseError::TooShortNsn => InvalidNumber::TooShort,
            ParseError::TooLongNsn => InvalidNumber::TooLong,
        })?;
        let e164 = PHONE_NUMBER_UTIL.format(&number, PhoneNumberFormat::E164).into_owned();
        if !PHONE_NUMBER_UTIL.is_valid_number(&number) && !has_assigned_area_code(&e164) {
            return Err(fault_of(&number));
        }
        Ok(ValidNumber {
            calling_code: number.country_code.to_string(),
            country: NumberingPlan::country_of(&e164).filter(|country| country.len() == 2),
            national: PHONE_NUMBER_UTIL.format(&number, PhoneNumberFormat::National).into_owned(),
            e164,
        })
    }
}

/// Returns whether a number has an assigned area code of the United States or Canada, and an exchange code from 200
/// on as the plan requires. libphonenumber lists new area codes late.
fn has_assigned_area_code(e164: &str) -> bool {
    let exchange = e164.as_bytes().get("+1415".len());
    area_codes::place_of(e164).is_some() && exchange.is_some_and(|first| (b'2'..=b'9').contains(first))
}

fn fault_of(number: &PhoneNumber) -> InvalidNumber {
    match PHONE_NUMBER_UTIL.is_possible_number_with_reason(number) {
        Ok(NumberLengthType::IsPossible) => InvalidNumber::InvalidButPossible,
        Ok(NumberLengthType::IsPossibleLocalOnly) | Err(ValidationError::TooShort) => InvalidNumber::TooShort,
        Err(ValidationError::TooLong) => InvalidNumber::TooLong,
        Err(ValidationError::InvalidLength) => InvalidNumber::InvalidLength,
        Err(ValidationError::InvalidCountryCode) => InvalidNumber::InvalidCountryCode,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_numbers_have_country_and_forms() {
        for (country, text, e164, calling_code, of, national) in [
            ("US", "+14159929960", "+14159929960", "1", Some("US"), "(415) 992-9960"),
            ("US", "(415) 992-9960", "+14159929960", "1", Some("US"), "(415) 992-9960"),
            ("US", "+1 204 555 1234", "+12045551234", "1", Some("CA"), "(204) 555-1234"),
            ("US", "+18765551234", "+18765551234", "1", Some("JM"), "(876) 555-1234"),
            ("GB", "020 7946 0123", "+442079460123", "44", Some("GB"), "020 7946 0123"),
            ("US", "+441534456789", "+441534456789", "44", Some("JE"), "01534 456789"),
            ("US", "+80012345678", "+80012345678", "800", None, "1234 5678"),
            // Area codes that libphonenumber does not know yet.
            ("US", "+14575551234", "+14575551234", "1", Some("US"), "(457) 555-1234"),
            ("US", "+12732345678", "+12732345678", "1", Some("CA"), "(273) 234-5678"),
        ] {
            let expected = ValidNumber {
                e164: e164.to_owned(),
                calling_code: calling_code.to_owned(),
                country: of.map(str::to_owned),
                national: national.to_owned(),
            };
            assert_eq!(NumberingPlan::new(country).unwrap().look_up(text), Ok(expected), "{country} {text}");
        }
    }

    #[test]
    fn the_reason_of_an_invalid_number_is_named() {
        let long = "1".repeat(200);
        for (country, text, reason) in [
            ("US", "+1415992", InvalidNumber::TooShort),
            ("US", "992-9960", InvalidNumber::TooShort),
            ("DE", "+493", InvalidNumber::TooShort),
            ("US", "911", InvalidNumber::TooShort),
            ("US", "+141599299600", InvalidNumber::TooLong),
            ("US", long.as_str(), InvalidNumber::TooLong),
            ("US", "+19995551234", InvalidNumber::InvalidButPossible),
            ("US", "+14151551234", InvalidNumber::InvalidButPossible),
            ("US", "+999123456789", InvalidNumber::InvalidCountryCode),
            ("SG", "+65315800001", InvalidNumber::InvalidLength),
            ("US", "1-800-FLOWERS", InvalidNumber::NotANumber),
            ("US", "alice", InvalidNumber::NotANumber),
            ("US", "", InvalidNumber::NotANumber),
            ("US", "+", InvalidNumber::NotANumber),
        ] {
            assert_eq!(NumberingPlan::new(country).unwrap().look_up(text), Err(reason), "{country} {text}");
        }
    }
}
