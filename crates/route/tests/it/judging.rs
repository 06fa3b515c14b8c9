//! Screening of called numbers by trunks, over the numbering plans of all regions of libphonenumber.
#![allow(missing_docs, clippy::unwrap_used)]

use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat, PhoneNumberType, Region};
use trunkgate_route::{AddressIncomplete, Number, NumberingPlan, Pattern, SendNumbers, Trunk};

fn regions() -> Vec<Region> {
    let mut regions: Vec<Region> = PHONE_NUMBER_UTIL.get_supported_regions().collect();
    regions.sort_by_key(|region| region.as_region_str().as_str().to_owned());
    regions
}

fn code(region: Region) -> String {
    region.as_region_str().as_str().to_owned()
}

/// Returns a region's example number as dialled inside the region.
fn example(region: Region, kind: PhoneNumberType) -> Option<String> {
    let number = PHONE_NUMBER_UTIL.get_example_number_for_type_and_region(region, kind).ok()?;
    let national = PHONE_NUMBER_UTIL.format(&number, PhoneNumberFormat::National);
    Some(national.chars().filter(char::is_ascii_digit).collect())
}

/// Returns whether a trunk that rejects high-risk numbers rejects a called number.
fn is_denied(numbers: &NumberingPlan, called: &str, form: SendNumbers) -> bool {
    let trunk = Trunk { send_numbers: form, ..Trunk::named("carrier") };
    trunk.screening_rejection(numbers, &numbers.normalise_caller(called, None)).is_some()
}

#[test]
fn the_premium_rate_number_of_every_region_is_found_in_national_form() {
    let mut missed = Vec::new();
    for region in regions() {
        let numbers = NumberingPlan::new(&code(region));
        let (Some(national), Some(numbers)) = (example(region, PhoneNumberType::PremiumRate), numbers) else {
            continue;
        };
        for (outside, form) in [("", SendNumbers::E164), ("", SendNumbers::AsIs), ("9", SendNumbers::AsIs)] {
            let called = format!("{outside}{national}");
            if !is_denied(&numbers, &called, form) {
                missed.push(format!("{} {called} {form:?}", code(region)));
            }
        }
    }
    // Ordinary numbers in use without an outside line.
    assert_eq!(missed, ["HR 906001234 AsIs", "LU 990012345 AsIs"]);
}

#[test]
fn ordinary_numbers_behind_an_outside_line_are_not_premium_rate() {
    let (mut refused, mut surplus) = (Vec::new(), Vec::new());
    for region in regions() {
        let Some(numbers) = NumberingPlan::new(&code(region)) else { continue };
        let kinds = [PhoneNumberType::FixedLine, PhoneNumberType::Mobile];
        for national in kinds.into_iter().filter_map(|kind| example(region, kind)) {
            for outside in ["", "9", "0"] {
                let called = format!("{outside}{national}");
                // Routes and trunks receive the premium-rate number that it is without an outside line.
                if numbers.is_premium(&numbers.normalise_caller(&called, None).text) {
                    refused.push(format!("{} {called}", code(region)));
                    continue;
                }
                assert!(!is_denied(&numbers, &called, SendNumbers::AsIs), "{} {called}", code(region));
                if is_denied(&numbers, &called, SendNumbers::E164) {
                    surplus.push(format!("{} {called}", code(region)));
                }
            }
        }
    }
    assert_eq!(refused, ["AT 901234567890", "NZ 9032345678", "RS 9010234567"]);
    // In E.164 the outside-line code is gone, leaving a premium-rate number followed by digits.
    assert_eq!(surplus, ["BG 902123456", "NL 90612345678", "RS 90601234567"]);
}

#[test]
fn ordinary_numbers_of_britain_behind_a_nine_are_not_premium_rate() {
    let numbers = NumberingPlan::new("GB").unwrap();
    let areas = ["020 7946", "020 3496", "0113 496", "0117 320", "0121 234", "0141 496", "0161 496", "01904 55"];
    let others = ["07400 12", "07911 12", "0800 123", "0808 157", "0345 123", "0300 123"];
    for start in areas.into_iter().chain(others) {
        for end in ["0018", "5678", "9001"] {
            let mut called = format!("9{start}").replace(' ', "");
            let missing = 12 - end.len() - called.len();
            called.push_str("123456".get(..missing).unwrap());
            called.push_str(end);
            assert!(!is_denied(&numbers, &called, SendNumbers::AsIs), "{called}");
        }
    }
    for called in ["9 0909 879 0000", "9 0909 879 0000 55", "0909 879 0000 55", "909 879 0000 5", "9 00 881 651234567"]
    {
        assert!(is_denied(&numbers, called, SendNumbers::AsIs), "{called}");
    }
}

/// Returns the digits of a region's example number with its country code.
fn example_e164(region: Region, kind: PhoneNumberType) -> Option<String> {
    let number = PHONE_NUMBER_UTIL.get_example_number_for_type_and_region(region, kind).ok()?;
    let text = PHONE_NUMBER_UTIL.format(&number, PhoneNumberFormat::E164);
    text.strip_prefix('+').map(str::to_owned)
}

fn is_in_use(numbers: &NumberingPlan, called: &str) -> bool {
    let number = PHONE_NUMBER_UTIL.parse(numbers.normalise_caller(called, None).text, None).ok();
    number.is_some_and(|number| PHONE_NUMBER_UTIL.is_valid_number(&number))
}

#[test]
fn surplus_digits_hide_no_premium_rate_number() {
    let us = NumberingPlan::default();
    let mut missed = Vec::new();
    for region in regions() {
        let numbers = NumberingPlan::new(&code(region));
        let national = example(region, PhoneNumberType::PremiumRate);
        let (Some(national), Some(numbers)) = (national, numbers) else { continue };
        let global = example_e164(region, PhoneNumberType::PremiumRate).unwrap();
        let dialled = [(&numbers, "", &national), (&us, "+", &global), (&us, "011", &global), (&us, "9011", &global)];
        for (numbers, before, number) in dialled {
            for surplus in ["1", "12"] {
                let called = format!("{before}{number}{surplus}");
                let is_other = is_in_use(numbers, &called)
                    || (!before.is_empty() && is_in_use(&us, &format!("+{global}{surplus}")));
                for form in [SendNumbers::E164, SendNumbers::AsIs] {
                    if !is_other && !is_denied(numbers, &called, form) {
                        missed.push(format!("{} {called} {form:?}", code(region)));
                    }
                }
            }
        }
    }
    // Numbers in use behind an outside line: 9 01 234 561, 0 91 234 561.
    let outside = ["LB 901234561 ", "NE 091234561 "];
    missed.retain(|missed| !outside.iter().any(|number| missed.starts_with(number)));
    assert_eq!(missed, [""; 0]);
    for (country, called) in [
        ("DE", "0900 1 234567 1"),
        ("NL", "0900 1234567 1"),
        ("NL", "0900 1234 5"),
        ("NL", "0900 1234 56"),
        ("IT", "899 123456 1"),
        ("JP", "0990 123456 1"),
        ("FI", "0700 123456 1"),
        ("FI", "0700 1234"),
        ("FI", "0600 1234 5"),
        ("BR", "0900 1234567 1"),
        ("AU", "1900 123456 12"),
        ("CH", "0900 123456 12"),
        ("SE", "0900 123456 12"),
        ("US", "+49 900 1234567 1"),
        ("US", "011 49 900 1234567 1"),
        ("US", "9 011 49 900 1234567 1"),
    ] {
        let numbers = NumberingPlan::new(country).unwrap();
        for form in [SendNumbers::E164, SendNumbers::National, SendNumbers::AsIs] {
            assert!(is_denied(&numbers, called, form), "{country} {called} {form:?}");
        }
    }
}

#[test]
fn ordinary_numbers_of_all_regions_are_not_premium_rate_elsewhere() {
    let kinds = [PhoneNumberType::FixedLine, PhoneNumberType::Mobile];
    let all: Vec<String> = regions()
        .into_iter()
        .flat_map(|region| kinds.into_iter().filter_map(move |kind| example_e164(region, kind)))
        .chain(["919812345678", "902122345678", "905321234567", "81312345678", "82212345678"].map(str::to_owned))
        .collect();
    let mut refused = Vec::new();
    for country in ["GB", "FR", "DE", "US", "AU", "JP", "IN", "BR"] {
        let numbers = NumberingPlan::new(country).unwrap();
        for digits in &all {
            for (called, form) in [
                (format!("+{digits}"), SendNumbers::E164),
                (format!("+{digits}"), SendNumbers::AsIs),
                (format!("+{} {};npdi", digits.get(..3).unwrap(), digits.get(3..).unwrap()), SendNumbers::AsIs),
                (format!("00{digits}"), SendNumbers::AsIs),
            ] {
                // Brazil has carrier digits after `00`.
                let is_other = country == "BR" && called.starts_with('0');
                if !is_other && is_denied(&numbers, &called, form) {
                    refused.push(format!("{country} {called} {form:?}"));
                }
            }
        }
    }
    assert_eq!(refused, [""; 0]);
}

#[test]
fn extensions_are_not_premium_rate() {
    for region in regions() {
        let Some(numbers) = NumberingPlan::new(&code(region)) else { continue };
        let extensions = (10..100_000_u32).step_by(1_999).chain((100..10_000).step_by(397));
        for extension in extensions {
            let called = extension.to_string();
            assert!(!is_denied(&numbers, &called, SendNumbers::E164), "{} {called}", code(region));
        }
    }
}

#[test]
fn numbers_behind_access_codes_are_judged() {
    for (country, called) in [
        ("US", "10102880 900 555 0123"),
        ("US", "9 1010288 0 900 555 0123"),
        ("US", "1010288 01 881 651234567"),
        ("US", "9 1010288 01 881 651234567"),
        ("AU", "1831 1902 123 456"),
        ("AU", "0 1832 1902 123 456"),
        ("AU", "1411 1900 123 456"),
        ("FR", "3651 0891 12 34 56"),
        ("FR", "0 3651 0891 12 34 56"),
        ("GB", "18185 0909 879 0000"),
        ("GB", "18866 0909 879 0000"),
        ("GB", "1899 0909 879 0000"),
        ("GB", "9 1899 00 881 651234567"),
        ("GB", "141 18185 0909 879 0000"),
        ("JP", "184 0990 123 456"),
        ("JP", "186 0990 123 456"),
        ("HK", "133 900 1234 5678"),
        ("ES", "067 803 12 34 56"),
        ("NZ", "0197 0900 12 345"),
    ] {
        let numbers = NumberingPlan::new(country).unwrap();
        assert!(is_denied(&numbers, called, SendNumbers::AsIs), "{country} {called}");
    }
    for (country, called) in [
        ("US", "1010288 1 415 555 0100"),
        ("US", "1010288 0 415 555 0100"),
        ("AU", "1831 02 5550 1234"),
        ("AU", "1411 02 5550 1234"),
        ("BR", "0 21 11 2345 6789"),
        ("BR", "9 0 21 11 2345 6789"),
        ("GB", "9 00 44 20 7946 0123"),
        ("GB", "9 00 49 30 12345678"),
        ("IT", "9,0892123"),
        ("FR", "3651 01 23 45 67 89"),
        ("GB", "18185 020 7946 0018"),
        ("JP", "184 03 1234 5678"),
        ("HK", "133 2123 4567"),
        ("ES", "067 810 12 34 56"),
    ] {
        let numbers = NumberingPlan::new(country).unwrap();
        assert!(!is_denied(&numbers, called, SendNumbers::AsIs), "{country} {called}");
    }
}

/// RFC 3966 §3 allows a parameter once; it is unknown which of several a remote party uses.
#[test]
fn each_phone_context_of_a_text_is_judged() {
    let numbers = NumberingPlan::new("US").unwrap();
    let caribbean = Trunk { deny: vec![Pattern::parse("+1809*").unwrap()], ..Trunk::named("carrier") };
    for (text, denied) in [
        ("5550123;phone-context=+1809", true),
        ("5550123;phone-context=+1415;phone-context=+1809", true),
        ("5550123;phone-context=+1809;phone-context=+1415", true),
        ("5550123;x=1;PHONE-CONTEXT=+1-809", true),
        ("+5550123;phone-context=+1809", true),
        ("911;phone-context=+18095550", true),
        ("5550123;phone-context=+1415", false),
        ("911;phone-context=+1", false),
        ("5550123;phone-context=pbx.example.com", false),
    ] {
        let number = Number { text: "5550123".into(), is_e164: false, received: text.into() };
        assert_eq!(caribbean.denied_as(&numbers, &number, SendNumbers::AsIs).is_some(), denied, "{text}");
    }
}

#[test]
fn what_cannot_be_searched_in_little_time_is_refused() {
    let numbers = NumberingPlan::new("US").unwrap();
    for text in ["128010288123x".repeat(138), "a".repeat(129), "1010288x".repeat(5), "1\u{661}2 3456x".repeat(5)] {
        assert_eq!(numbers.normalise(&text, None), Err(AddressIncomplete), "{text}");
    }
    for text in ["a".repeat(128), "1010288x".repeat(4), "550e8400-e29b-41d4-a716-446655440000".to_owned()] {
        assert!(numbers.normalise(&text, None).is_ok(), "{text}");
    }
}
