//! Comparison with libphonenumber: over its examples of all countries and over random digits, whose number
//! `TRUNKGATE_NUMBERS` sets when the tests are compiled.

use rlibphonenumber::{
    NumberLengthType, PHONE_NUMBER_UTIL, PhoneNumber, PhoneNumberFormat, PhoneNumberType, Region, ValidationError,
};

use super::{CountryId, ParsedNumber};

/// All results about one text.
#[derive(Debug, PartialEq, Eq)]
struct Results {
    e164: String,
    is_possible: bool,
    is_short: bool,
    is_valid: bool,
    /// Whether the number is premium rate, if its type is known.
    premium: Option<bool>,
    country: Option<String>,
    main_country: Option<String>,
}

/// Returns the results of the tables.
fn own(text: &str, home: Option<Region>) -> Option<Results> {
    let home = home.map(|region| CountryId::of_code(region.as_region_str().as_str()).unwrap());
    let number = ParsedNumber::parse(text, home)?;
    let code = |country: CountryId| country.code().to_owned();
    Some(Results {
        e164: number.to_e164(),
        is_possible: number.is_possible(),
        is_short: number.is_shorter_than_subscribers(),
        is_valid: number.is_valid(),
        premium: number.is_premium(),
        country: number.country().map(code),
        main_country: number.main_country().map(code),
    })
}

/// Returns the results of the library.
fn expected(text: &str, home: Option<Region>) -> Option<Results> {
    let util = &*PHONE_NUMBER_UTIL;
    let number: PhoneNumber = util.parse(text, home).ok()?;
    let code = |region: Region| region.as_region_str().as_str().to_owned();
    let kind = util.get_number_type(&number);
    Some(Results {
        e164: util.format(&number, PhoneNumberFormat::E164).into_owned(),
        is_possible: util.is_possible_number_with_reason(&number) == Ok(NumberLengthType::IsPossible),
        is_short: matches!(
            util.is_possible_number_for_type_with_reason(&number, PhoneNumberType::FixedLine),
            Err(ValidationError::TooShort) | Ok(NumberLengthType::IsPossibleLocalOnly)
        ),
        is_valid: util.is_valid_number(&number),
        premium: (kind != PhoneNumberType::Unknown).then_some(kind == PhoneNumberType::PremiumRate),
        country: util.get_region_for_number(&number).map(code),
        main_country: util.get_region_for_country_code(number.country_code).map(code),
    })
}

fn regions() -> Vec<Region> {
    let mut regions: Vec<Region> = PHONE_NUMBER_UTIL.get_supported_regions().collect();
    regions.sort_unstable_by_key(|region| region.as_region_str().as_str().to_owned());
    regions
}

fn compare(text: &str, home: Option<Region>) {
    assert_eq!(own(text, home), expected(text, home), "{text} dialled in {home:?}");
}

const TYPES: [PhoneNumberType; 10] = [
    PhoneNumberType::FixedLine,
    PhoneNumberType::Mobile,
    PhoneNumberType::TollFree,
    PhoneNumberType::PremiumRate,
    PhoneNumberType::SharedCost,
    PhoneNumberType::VoIP,
    PhoneNumberType::PersonalNumber,
    PhoneNumberType::Pager,
    PhoneNumberType::UAN,
    PhoneNumberType::VoiceMail,
];

/// Returns an example of each type of number in each country.
fn examples() -> Vec<(Region, PhoneNumber)> {
    let of = |region: Region| {
        let example = move |kind| PHONE_NUMBER_UTIL.get_example_number_for_type_and_region(region, kind).ok();
        TYPES.into_iter().filter_map(example).map(move |number| (region, number))
    };
    regions().into_iter().flat_map(of).collect()
}

#[test]
fn examples_of_all_countries_are_read_as_by_the_library() {
    let all = examples();
    assert!(all.len() > 1_000, "{}", all.len());
    let digits = |text: &str| text.chars().filter(|c| c.is_ascii_digit() || *c == '+').collect::<String>();
    for (region, number) in all {
        let e164 = PHONE_NUMBER_UTIL.format(&number, PhoneNumberFormat::E164).into_owned();
        let national = digits(&PHONE_NUMBER_UTIL.format(&number, PhoneNumberFormat::National));
        let bare = e164.trim_start_matches('+').to_owned();
        for from in [region, Region::AR] {
            let abroad = digits(&PHONE_NUMBER_UTIL.format_out_of_country_calling_number(&number, from));
            for text in [&e164, &national, &bare, &abroad, &format!("0{national}"), &format!("{bare}0")] {
                compare(text, Some(from));
            }
        }
        compare(&e164, None);
        // Each beginning, and each with another digit behind.
        for end in 1..e164.len() {
            compare(&e164[..end], Some(region));
            compare(&format!("{}{}", &e164[..end], end % 10), None);
        }
        for end in 1..national.len() {
            compare(&national[..end], Some(region));
        }
    }
    for code in 1..1_000 {
        if let Ok(number) = PHONE_NUMBER_UTIL.get_example_number_for_non_geo_entity(code) {
            compare(&PHONE_NUMBER_UTIL.format(&number, PhoneNumberFormat::E164), None);
        }
        compare(&format!("+{code}"), None);
        compare(&format!("+{code}123456789"), Some(Region::GB));
    }
}

/// Returns pseudo-random numbers (SplitMix64).
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[test]
fn random_digits_are_read_as_by_the_library() {
    let count = option_env!("TRUNKGATE_NUMBERS").and_then(|count| count.parse().ok()).unwrap_or(10_000_u64);
    let (regions, examples) = (regions(), examples());
    let mut state = 67;
    let mut below = |most: usize| usize::try_from(random(&mut state)).unwrap_or(0) % most;
    for _ in 0..count {
        let region = regions[below(regions.len())];
        let begin = match below(6) {
            0 => String::new(),
            1 => "+".to_owned(),
            2 => ["0", "00", "1", "011", "0011", "810", "15", "09"][below(8)].to_owned(),
            3 => format!("+{}", below(1_000)),
            // An example with changed digits.
            _ => {
                let (_, number) = &examples[below(examples.len())];
                let text = PHONE_NUMBER_UTIL.format(number, PhoneNumberFormat::E164).into_owned();
                let keep = 1 + below(text.len());
                text[if below(2) == 0 { 0 } else { 1 }..keep.max(1)].to_owned()
            }
        };
        let rest: String = (0..below(19)).map(|_| char::from(b'0' + u8::try_from(below(10)).unwrap_or(0))).collect();
        compare(&format!("{begin}{rest}"), if below(4) == 0 { None } else { Some(region) });
    }
}

#[test]
fn long_digits_are_no_number() {
    for length in [18, 30, 63, 64, 65, 200, 1_000] {
        for begin in ["", "+", "+49", "00", "011"] {
            let text = format!("{begin}{}", "1".repeat(length));
            compare(&text, Some(Region::US));
            compare(&text, Some(Region::DE));
        }
    }
}
