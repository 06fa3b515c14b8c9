//! Normalisation with the numbering plans of several countries: possible numbers become E.164, all else stays.
#![allow(missing_docs, clippy::unwrap_used)]

use proptest::prelude::*;
use trunkgate_route::{AddressIncomplete, Number, NumberingPlan, Pattern, SendNumbers, Trunk};

fn numbers(country: &str) -> NumberingPlan {
    NumberingPlan::new(country).unwrap()
}

fn read(country: &str, user: &str) -> String {
    numbers(country).normalise(user, None).unwrap().text
}

#[test]
fn possible_numbers_become_e164() {
    let table = [
        ("US", "4155551234", "+14155551234"),
        ("US", "14155551234", "+14155551234"),
        ("US", "+14155551234", "+14155551234"),
        ("US", "+1 (415) 555-1234", "+14155551234"),
        ("US", "(415) 555.1234", "+14155551234"),
        ("US", "011 44 20 7946 0018", "+442079460018"),
        ("US", "00442079460018", "+442079460018"),
        ("US", "9995551234", "+19995551234"),
        ("DE", "030 123456", "+4930123456"),
        ("DE", "0170 1234567", "+491701234567"),
        ("DE", "0014155551234", "+14155551234"),
        ("DE", "+44 20 7946 0018", "+442079460018"),
        ("GB", "020 7946 0018", "+442079460018"),
        ("GB", "00 49 30 123456", "+4930123456"),
        ("AU", "(02) 5550 1234", "+61255501234"),
        ("AU", "0011 44 20 7946 0018", "+442079460018"),
        ("AU", "00 44 20 7946 0018", "+442079460018"),
        ("JP", "010 44 20 7946 0018", "+442079460018"),
        ("JP", "0044 20 7946 0018", "+442079460018"),
        ("IT", "06 1234 5678", "+390612345678"),
        ("US", "+39 06 1234 5678", "+390612345678"),
        ("FR", "01 23 45 67 89", "+33123456789"),
        ("FO", "123456", "+298123456"),
    ];
    for (country, user, expected) in table {
        assert_eq!(read(country, user), expected, "{country} {user}");
    }
}

#[test]
fn what_is_no_possible_number_stays_as_received() {
    let table = [
        ("US", "911"),
        ("US", "100"),
        ("US", "988"),
        ("US", "5551234"),
        ("US", "555-1234"),
        ("US", "service"),
        ("US", "1-800-FLOWERS"),
        ("US", "4155551234x12"),
        ("US", "*98"),
        ("US", "#31#4155551234"),
        ("US", "41555512345678901234567890"),
        ("US", "+1911"),
        ("US", "00"),
        ("US", "٤١٥٥٥٥١٢٣٤"),
        ("DE", "110"),
        ("DE", "112"),
        ("DE", "100"),
        ("DE", "1234"),
        ("GB", "999"),
        ("GB", "112"),
        ("GB", "100"),
        ("GB", "1234"),
        ("AU", "000"),
        ("AU", "100"),
        ("AU", "13 11 14"),
        ("ZA", "10111"),
        ("JP", "119"),
        ("JP", "0011442079460018"),
        ("FR", "15"),
        ("FR", "service"),
        ("IN", "100"),
    ];
    for (country, user) in table {
        let number = numbers(country).normalise(user, None).unwrap();
        assert_eq!((number.text.as_str(), number.is_e164), (user, false), "{country}");
        for form in [SendNumbers::E164, SendNumbers::PlusLess, SendNumbers::National, SendNumbers::AsIs] {
            assert_eq!(numbers(country).format(&number, form), user, "{country}");
        }
    }
}

#[test]
fn phone_context_begins_the_number() {
    let table = [
        ("US", "4155551234", "+1", "+14155551234"),
        ("DE", "4155551234", "+1", "+14155551234"),
        ("US", "5551234", "+1-415", "+14155551234"),
        ("US", "020 7946 0018", "+44", "+442079460018"),
        ("US", "+442079460018", "+1", "+442079460018"),
        ("US", "4155551234", "pbx.example.com", "+14155551234"),
        ("US", "911", "+1", "911"),
        ("US", "863", "pbx.example.com", "863"),
        ("US", "4155551234", "+nonsense", "4155551234"),
        ("US", "4155551234", "", "+14155551234"),
    ];
    for (country, user, context, expected) in table {
        let number = numbers(country).normalise(user, Some(context)).unwrap();
        assert_eq!(number.text, expected, "{country} {user} {context}");
        // A text that is a number only with its context is not kept without it.
        let is_the_same = numbers(country).normalise_caller(user, None).text == expected;
        assert_eq!(number.received, if is_the_same { user } else { expected }, "{country} {user} {context}");
    }
}

#[test]
fn incomplete_called_parties_are_refused_and_callers_never() {
    let us = numbers("US");
    for user in ["", " ", "+", "+-", "+abc", "+1415555123x", "+1415*", "+1,415", "++14155551234", "+٤١٥"] {
        assert_eq!(us.normalise(user, None), Err(AddressIncomplete), "{user:?}");
        let caller = us.normalise_caller(user, None);
        assert_eq!((caller.text.as_str(), caller.is_e164), (user, false));
    }
}

#[test]
fn each_form_towards_a_trunk() {
    let us = numbers("US");
    let all = |country: &str, number: &Number| {
        let numbers = numbers(country);
        [SendNumbers::E164, SendNumbers::PlusLess, SendNumbers::National, SendNumbers::AsIs]
            .map(|form| numbers.format(number, form))
    };
    let domestic = us.normalise("(415) 555-1234", None).unwrap();
    assert_eq!(all("US", &domestic), ["+14155551234", "14155551234", "14155551234", "(415) 555-1234"]);
    assert_eq!(all("DE", &domestic)[2], "0014155551234");
    let london = us.normalise("+44 20 7946 0018", None).unwrap();
    assert_eq!(all("US", &london), ["+442079460018", "442079460018", "011442079460018", "+442079460018"]);
    assert_eq!(all("GB", &london)[2], "02079460018");
    assert_eq!(all("AU", &london)[2], "0011442079460018");
    let berlin = us.normalise("+4930123456", None).unwrap();
    assert_eq!(all("DE", &berlin)[2], "030123456");
}

#[test]
fn unknown_countries_are_refused() {
    for country in ["", "U", "USA", "ZZ", "XX", "001", "1", "ÜS"] {
        assert!(NumberingPlan::new(country).is_none(), "{country}");
    }
    assert_eq!(NumberingPlan::new("de").unwrap().country(), "DE");
}

#[test]
fn countries_that_share_a_calling_code_are_distinguished() {
    for (countries, numbers) in [
        ("US US US US US", "+14155551234 +18005551234 +19005551234 +19995551234 +14151551234"),
        // Ranges and area codes unknown to the plans count as the country of the area code.
        ("CA CA CA CA CA", "+12045551234 +12041551234 +19425551234 +18675551234 +16005551234"),
        ("US US US", "+14575551234 +16215551234 +18375551234"),
        ("JM JM DO BS BM SX", "+18765551234 +16585551234 +18095551234 +12423591234 +14412361234 +17215425678"),
        ("PR PR VI GU AS MP", "+17875551234 +19395551234 +13407751234 +16716351234 +16846221234 +16702341234"),
        ("GB GB JE JE", "+442079460018 +447924123456 +441534456789 +447797712345"),
        ("GG GG IM IM", "+441481234567 +447781123456 +441624712345 +447624123456"),
        ("RU KZ KZ", "+79161234567 +77011234567 +77172123456"),
        ("IT VA NO SJ FI AX", "+390612345678 +390669812345 +4721234567 +4779123456 +358401234567 +35818123456"),
        ("AU CX CC", "+61255501234 +61891641234 +61891621234"),
        ("RE YT CW BQ", "+262692123456 +262639012345 +59995181234 +5997151234"),
        ("SH TA MC XK", "+29022158 +2908999 +37744123456 +38349123456"),
        ("001 001 001", "+881612345678 +80012345678 +88213123456"),
    ] {
        for (country, number) in countries.split(' ').zip(numbers.split(' ')) {
            assert_eq!(NumberingPlan::country_of(number).as_deref(), Some(country), "{number}");
        }
        assert_eq!(countries.split(' ').count(), numbers.split(' ').count());
    }
    for text in ["+999123456", "alice", "", "+"] {
        assert_eq!(NumberingPlan::country_of(text), None, "{text}");
    }
}

#[test]
fn states_are_those_of_the_area_code() {
    for (number, state) in [
        ("+14155551234", Some("CA")),
        ("+13125551234", Some("IL")),
        ("+14165551234", Some("ON")),
        ("+19025551234", None),
        ("+18005551234", None),
        ("+17875551234", None),
        ("+442079460018", None),
        ("4155551234", None),
        ("alice", None),
    ] {
        assert_eq!(NumberingPlan::state_of(number), state, "{number}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic_and_e164_stays_itself(
        user in "\\PC{0,40}|[+0-9(). -]{0,30}",
        context in proptest::option::of("\\PC{0,20}|\\+[0-9-]{0,8}|\\+(1|27|44|49|81)[0-9]{0,4}"),
        country in proptest::sample::select(vec!["US", "DE", "GB", "AU", "IT", "JP", "BR", "AR", "MX", "KR", "SG"]),
    ) {
        let numbers = numbers(country);
        let number = numbers.normalise_caller(&user, context.as_deref());
        // A text that needs its context is kept as the resulting number; a global number has no separators.
        let whole = context.is_some() && number.is_e164 && number.received == number.text;
        prop_assert!(number.received == user || whole || number.received == bare(&user), "{:?}", number);
        for form in [SendNumbers::E164, SendNumbers::PlusLess, SendNumbers::National, SendNumbers::AsIs] {
            prop_assert_eq!(numbers.format(&number, form).is_empty(), user.is_empty());
        }
        if number.is_e164 {
            let digits = number.text.strip_prefix('+').unwrap();
            prop_assert!(digits.bytes().all(|byte| byte.is_ascii_digit()) && (2..=15).contains(&digits.len()));
            prop_assert_eq!(&numbers.normalise(&number.text, None).unwrap().text, &number.text);
        } else {
            prop_assert!(number.text == user || number.text == bare(&user));
        }
    }

    /// RFC 3966 §5.1.1: separators are insignificant, regardless of position and number.
    #[test]
    fn separators_change_no_judgement(
        text in "\\+?[0-9]{1,34}|[019]{0,2}(00|011|0011|1010288|810)?(1809|1900|881|882|44|7)[0-9]{4,10}",
        places in proptest::collection::vec((0_usize..40, "[-. ()]{1,70}"), 0..5),
        country in proptest::sample::select(vec!["US", "DE", "GB", "AU"]),
        form in proptest::sample::select(vec![SendNumbers::E164, SendNumbers::PlusLess, SendNumbers::AsIs]),
    ) {
        let numbers = numbers(country);
        let mut spaced = text.clone();
        for (place, separators) in &places {
            spaced.insert_str((*place).min(spaced.len()), separators);
        }
        let (plain, spaced) = (numbers.normalise(&text, None), numbers.normalise(&spaced, None));
        prop_assert_eq!(plain.is_ok(), spaced.is_ok());
        let (Ok(plain), Ok(spaced)) = (plain, spaced) else { return Ok(()) };
        prop_assert_eq!(plain.is_e164, spaced.is_e164);
        prop_assert_eq!(numbers.spoken_forms(&plain, form), numbers.spoken_forms(&spaced, form));
        let trunk = |deny: &str| Trunk {
            deny: vec![Pattern::parse(deny).unwrap()],
            allow_prefixes: vec!["+".into(), "9".into(), "0".into(), "1".into()],
            send_numbers: form,
            ..Trunk::named("far")
        };
        for deny in ["+1809*", "+44*", "900*"] {
            prop_assert_eq!(trunk(deny).screening_rejection(&numbers, &plain), trunk(deny).screening_rejection(&numbers, &spaced));
        }
        // A global number is sent without separators.
        let sent = numbers.format(&spaced, form);
        prop_assert!(!sent.starts_with('+') || sent == bare(&sent), "{}", sent);
    }
}

fn bare(text: &str) -> String {
    text.chars().filter(|c| !"-.() ".contains(*c)).collect()
}

#[test]
fn too_many_digits_and_control_characters_are_refused() {
    let us = numbers("US");
    for user in [
        "+1809555012345678",
        "+1-8-0-9-5-5-5-0-1-2-3-4-5-6-7-8",
        "(+1)809555012345678",
        "+1\u{2011}8095550123",
        "\u{a0}+18095550123",
        "(+1)809555012x",
        "0000000000000000000000000000008816512345",
        "9999999999999999999999999999999",
        "1809555\t0123",
        "+18095550123\0",
        "100\u{7f}",
        "\u{85}100",
        "desk\r\nX: 1",
        "1800\u{ad}5550123",
        "1800\u{3164}5550123",
        "1800\u{fe0f}5550123",
        "1800\u{e0020}5550123",
    ] {
        assert_eq!(us.normalise(user, None), Err(AddressIncomplete), "{user:?}");
    }
    let many = format!("+1{}8095550123", "-".repeat(500));
    assert_eq!(us.normalise(&many, None).unwrap().text, "+18095550123");
    let many = format!("{}809.555.0123{}", "(".repeat(500), ")".repeat(500));
    assert_eq!(us.normalise(&many, None).unwrap().text, "+18095550123");
    for user in ["100-1", "13 11 14", "9-011-441"] {
        let number = us.normalise(user, None).unwrap();
        assert_eq!((number.text.as_str(), number.received.as_str()), (user, user));
    }
    let long = us.normalise("9-1 (809) 555-0123", None).unwrap();
    assert_eq!((long.text.as_str(), long.received.as_str()), ("918095550123", "9-1 (809) 555-0123"));
}

/// The remote party decides how to read digits without `+`: outside lines, carriers and prefixes.
#[test]
fn a_number_behind_prefixes_is_judged_as_that_number() {
    let outside = ["", "9", "0", "8", "99"];
    let carriers = ["", "1010288", "10288", "01033", "1167"];
    let prefixes =
        ["011", "00", "000", "0000000", "0011", "010", "0018", "00700", "810", "01", "01100", "00011", "119"];
    for country in ["US", "DE", "AU"] {
        let numbers = numbers(country);
        let all = outside.iter().flat_map(|outside| carriers.iter().map(move |carrier| format!("{outside}{carrier}")));
        for (before, prefix) in all.flat_map(|before| prefixes.iter().map(move |prefix| (before.clone(), prefix))) {
            let dialled = format!("{before}{prefix}881651234567");
            let Ok(number) = numbers.normalise(&dialled, None) else { continue };
            if number.is_e164 {
                continue;
            }
            let ways = numbers.spoken_forms(&number, SendNumbers::E164);
            assert!(ways.iter().any(|way| way.starts_with("+881")), "{country} {dialled}: {ways:?}");
        }
    }
}

#[test]
fn extensions_codes_and_numbers_of_the_country_have_no_other_reading() {
    for (country, users) in [
        ("US", &["100", "2001", "911", "411", "988", "5551234", "1010288", "*98", "sales", "20012"][..]),
        ("DE", &["10", "110", "112", "115", "100"]),
        ("GB", &["999", "112", "111", "1471"]),
        ("AU", &["000", "131114", "1234"]),
    ] {
        let numbers = numbers(country);
        for user in users {
            let number = numbers.normalise(user, None).unwrap();
            assert_eq!(numbers.spoken_forms(&number, SendNumbers::E164), [(*user).to_owned()], "{country} {user}");
        }
    }
    // A domestic number behind an outside line is only that number.
    let us = numbers("US");
    let number = us.normalise("914152901234", None).unwrap();
    let ways = us.spoken_forms(&number, SendNumbers::E164);
    assert!(ways.contains(&"+14152901234".to_owned()) && !ways.iter().any(|way| way.starts_with("+290")), "{ways:?}");
    let freephone = us.normalise("8002901234", None).unwrap();
    assert!(!us.spoken_forms(&freephone, SendNumbers::AsIs).iter().any(|way| way.starts_with("+290")));
}

#[test]
fn what_needs_its_context_is_sent_on_as_what_it_means() {
    let numbers = NumberingPlan::new("US").unwrap();
    for (user, context, sent) in [
        ("2079460018", Some("+44"), "+442079460018"),
        ("5551234", Some("+1415"), "+14155551234"),
        ("4155551234", Some("+1"), "4155551234"),
        ("4155551234", None, "4155551234"),
        ("+14155551234", Some("+44"), "+14155551234"),
        ("0000", Some("+270"), "+2700000"),
        ("911", Some("+1"), "911"),
        ("service", Some("example.com"), "service"),
    ] {
        let number = numbers.normalise_caller(user, context);
        assert_eq!(numbers.format(&number, SendNumbers::AsIs), sent, "{user} {context:?}");
    }
}
