//! Spellings of emergency numbers, for the limit on calls started by API requests. Carriers strip `+` and the country
//! code, PBXs strip outside-line codes, and North American networks strip `*67`: a called party therefore counts as an
//! emergency number if only such prefixes precede one, unless it is a number in use. Calls by callers are checked by
//! [`NumberingPlan::is_emergency`] instead.

use rlibphonenumber::PHONE_NUMBER_UTIL;

use super::readings::{access_codes, ascii_digits, contexts, is_in_use};
use super::{NumberingPlan, is_separator};
use crate::limits::LONGEST_EMERGENCY_SPELLING;

/// International prefixes that may precede a number; a run of more than two zeros counts too.
const INTERNATIONAL: [&str; 7] = ["00", "001", "0011", "009", "010", "011", "810"];
/// Digits used by PBXs for an outside line, and by countries as a trunk prefix.
const OUTSIDE: [char; 3] = ['0', '8', '9'];
/// URI schemes that an unescaped user part may begin with.
const SCHEMES: [&str; 3] = ["tel:", "sips:", "sip:"];
/// Characters that end the number: after them, parameters, pauses or a host follow.
const ENDS: &str = ";,?@:=&";

/// Kind of prefix that a network strips from a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DialPrefix {
    /// Plus sign of a global number.
    Plus,
    /// Service code such as `*67` or `#31#`.
    Service,
    /// Single digit of an outside-line code or of a trunk prefix.
    Outside,
    /// International prefix, such as `00` or `011`.
    International,
    /// Country code: the edge's own, or any after `+` or an international prefix.
    Country,
    /// Trunk prefix of two digits: `06` in Hungary.
    Trunk,
    /// Code that selects a carrier, or shows or hides the caller's number.
    Carrier,
}

/// Returns whether a remote party may dial an emergency number when it receives this unescaped user part.
pub(super) fn reach_emergency(numbers: &NumberingPlan, received: &str) -> bool {
    let text = ascii_digits(received).to_ascii_lowercase();
    let text = text.trim();
    // RFC 5031: `urn:service:sos` and subservices such as `urn:service:sos.police`.
    if let Some(urn) = text.strip_prefix("urn:") {
        return urn.contains("service:sos");
    }
    let text = SCHEMES.iter().find_map(|scheme| text.strip_prefix(scheme)).unwrap_or(text);
    let mut all = dial_strings(text).into_iter().chain(contexts(text));
    all.any(|dialled| {
        dialled.len() <= LONGEST_EMERGENCY_SPELLING && is_behind_prefixes(numbers, &dialled, &mut Vec::new())
    })
}

/// Returns the strings that a remote party may dial for a text: its digits, `+`, `*` and `#` up to a letter or one of
/// [`ENDS`], and up to any other character except separators. Each string is also returned up to each `*` and `#`,
/// and without all signs. A text that begins with a letter is a name and yields empty strings only.
fn dial_strings(text: &str) -> Vec<String> {
    let is_dialled = |c: char| c.is_ascii_digit() || matches!(c, '+' | '*' | '#');
    let begin = text.find(|c: char| is_dialled(c) || c.is_alphabetic());
    let text = begin.and_then(|begin| text.get(begin..)).unwrap_or_default();
    let number = text.split(|c: char| c.is_alphabetic() || ENDS.contains(c)).next().unwrap_or_default();
    let is_mark = |c: char| !(is_dialled(c) || is_separator(c) || c.is_whitespace());
    let unmarked = number.split(is_mark).next().unwrap_or_default();
    let mut found = Vec::new();
    for part in [number, unmarked] {
        let dialled: String = part.chars().filter(|c| is_dialled(*c)).collect();
        found.extend(dialled.match_indices(['*', '#']).filter_map(|(at, _)| dialled.get(..at)).map(str::to_owned));
        if dialled.trim_start_matches('+').contains(|c: char| !c.is_ascii_digit()) {
            found.push(dialled.chars().filter(char::is_ascii_digit).collect());
        }
        found.push(dialled);
    }
    found
}

/// Returns whether an emergency number follows after nothing but prefixes. A number in use does not count, because it
/// is dialled as such, with or without prefixes.
fn is_behind_prefixes(numbers: &NumberingPlan, rest: &str, removed: &mut Vec<DialPrefix>) -> bool {
    if numbers.is_emergency_text(rest) {
        return true;
    }
    for prefix in DialPrefix::ALL {
        if removed.iter().filter(|known| **known == prefix).count() >= prefix.most() {
            continue;
        }
        for behind in prefix.remove(numbers, rest, removed) {
            removed.push(prefix);
            let is_found = is_behind_prefixes(numbers, behind, removed);
            removed.pop();
            if is_found {
                // The caller of this function checks the digits after `+` itself.
                return removed.last() == Some(&DialPrefix::Plus) || !is_number(numbers, rest);
            }
        }
    }
    false
}

/// Returns whether a text is exactly one number in use, in global or domestic form.
fn is_number(numbers: &NumberingPlan, text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    is_plain && (is_in_use(numbers, text) || numbers.is_dialled_at_home(text))
}

impl DialPrefix {
    const ALL: [DialPrefix; 7] = [
        DialPrefix::Plus,
        DialPrefix::Service,
        DialPrefix::Outside,
        DialPrefix::International,
        DialPrefix::Country,
        DialPrefix::Trunk,
        DialPrefix::Carrier,
    ];

    /// Returns the maximum number of times this kind of prefix may precede a number.
    fn most(self) -> usize {
        match self {
            DialPrefix::Plus | DialPrefix::Service | DialPrefix::Outside => 2,
            DialPrefix::International | DialPrefix::Country | DialPrefix::Trunk | DialPrefix::Carrier => 1,
        }
    }

    /// Returns the rest of a text after each prefix of this kind. `removed` lists the prefixes already removed
    /// before.
    fn remove<'d>(self, numbers: &NumberingPlan, text: &'d str, removed: &[DialPrefix]) -> Vec<&'d str> {
        match self {
            DialPrefix::Plus => text.strip_prefix('+').into_iter().collect(),
            DialPrefix::Service => behind_service_codes(text),
            DialPrefix::Outside => {
                // Extensions begin with 8 or 9, not with 0.
                let behind = text.strip_prefix(OUTSIDE);
                behind.filter(|behind| text.starts_with('0') || !is_short(behind)).into_iter().collect()
            }
            DialPrefix::International => {
                let zeros = text.starts_with("00").then(|| text.trim_start_matches('0'));
                INTERNATIONAL.iter().filter_map(|prefix| text.strip_prefix(prefix)).chain(zeros).collect()
            }
            DialPrefix::Country => {
                let is_global = removed.iter().any(|one| matches!(one, DialPrefix::Plus | DialPrefix::International));
                behind_country_codes(numbers, text, is_global)
            }
            // Other trunk prefixes are covered by the outside-line digits.
            DialPrefix::Trunk => text.strip_prefix("06").filter(|_| numbers.country == "HU").into_iter().collect(),
            // `3651` is a carrier code only in France; elsewhere local numbers begin with it.
            DialPrefix::Carrier => access_codes(text).filter(|_| text.starts_with(['0', '1'])).collect(),
        }
    }
}

/// Returns whether digits are as short as a two-digit emergency number: with one more digit before them they may be
/// an extension.
fn is_short(digits: &str) -> bool {
    digits.len() <= 2
}

/// Returns the rest of a text after service codes of two and three digits.
fn behind_service_codes(text: &str) -> Vec<&str> {
    let code = text.trim_start_matches(['*', '#']);
    let lengths = if code.len() < text.len() { 2..4 } else { 0..0 };
    let behind = lengths.filter_map(|length| {
        let (digits, behind) = code.split_at_checked(length)?;
        let is_code = digits.bytes().all(|byte| byte.is_ascii_digit());
        is_code.then(|| behind.trim_start_matches(['*', '#']))
    });
    behind.collect()
}

/// Returns the rest of a text after the edge's country code or, if `is_global`, after that of any country.
fn behind_country_codes<'d>(numbers: &NumberingPlan, text: &'d str, is_global: bool) -> Vec<&'d str> {
    let own = PHONE_NUMBER_UTIL.get_country_code_for_region(numbers.region);
    let behind = (1..4).filter_map(|length| {
        let (digits, behind) = text.split_at_checked(length)?;
        let is_code = !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
        let code: i32 = digits.parse().ok().filter(|_| is_code)?;
        let is_country = (Some(code) == own && (is_global || !is_short(behind)))
            || (is_global && PHONE_NUMBER_UTIL.get_region_for_country_code(code).is_some());
        is_country.then_some(behind)
    });
    behind.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::emergency::of_country;

    fn may_reach(country: &str, user: &str) -> bool {
        let numbers = NumberingPlan::new(country).unwrap();
        let (user, context) = user.split_once(" in ").map_or((user, None), |(user, context)| (user, Some(context)));
        numbers.may_reach_emergency(&numbers.normalise_caller(user, context))
    }

    #[test]
    fn an_emergency_number_behind_prefixes_or_marks_may_be_reached() {
        for user in [
            "911",
            "112",
            "+911",
            "+112",
            "+1911",
            "+1-911",
            "1911",
            "1112",
            "9911",
            "0911",
            "8911",
            "99911",
            "91911",
            "81911",
            "00911",
            "011911",
            "9011911",
            "+011911",
            "+9911",
            "+19911",
            "19911",
            "+44911",
            "0044112",
            "000911",
            "*67911",
            "*821911",
            "*67*911",
            "#31#911",
            "*31#9911",
            "1167911",
            "1010288911",
            "*911",
            "911#",
            "+911#",
            "911*5",
            "#31#911#5",
            "9911,123",
            "+911x",
            "'911'",
            "\"911\"",
            "~911",
            "~+1911",
            "_9911",
            "(9)(911)",
            "9/1/1",
            "9!9!1!1",
            "911/5",
            "９９１１",
            "tel:911",
            "TEL:+1911",
            "sip:911@carrier",
            "9911;phone-context=pbx",
            "11;phone-context=+9",
            "9-911;x=y",
            "urn:service:sos",
            "URN:service:sos.police",
            "urn:nena:service:sos",
        ] {
            assert!(may_reach("US", user), "{user}");
        }
    }

    #[test]
    fn prefixes_are_those_of_the_country() {
        for (country, user) in [
            ("GB", "999"),
            ("GB", "+44999"),
            ("GB", "0044999"),
            ("GB", "9999"),
            ("GB", "141999"),
            ("GB", "#31#112"),
            ("DE", "+49110"),
            ("DE", "49112"),
            ("DE", "0112"),
            ("DE", "00112"),
            ("DE", "0110"),
            ("DE", "0110 in +49"),
            ("HU", "06107"),
            ("RU", "8101"),
            ("FR", "015"),
            ("FR", "+3315"),
            ("AU", "0000"),
        ] {
            assert!(may_reach(country, user), "{country} {user}");
        }
    }

    #[test]
    fn ordinary_numbers_extensions_and_names_may_reach_no_emergency_number() {
        for user in [
            "+14155550911",
            "14155550911",
            "4155550911",
            "914155550911",
            "+14155550112",
            "+1 415 555 0911",
            "415-555-0911",
            "+18005550911",
            "8009110911",
            "8005551112",
            "18009110112",
            "9115550123",
            "+19115550123",
            "*6714155550911",
            "+442079460911",
            "+493020911911",
            "+911234567890",
            "9011441632960911",
            "+819012345911",
            "100",
            "1001",
            "4112",
            "2911",
            "3112",
            "7911",
            "51911",
            "112233",
            "911555",
            "411",
            "611",
            "*97",
            "*98",
            "alice",
            "alice911",
            "bob.112",
            "alice;x=911",
            "9115550123;x=911",
            "4155550911;phone-context=+1",
            "tel:4155550911",
            "urn:service:counseling",
            "",
        ] {
            assert!(!may_reach("US", user), "{user}");
        }
        for (country, user) in [
            ("GB", "+442079460999"),
            ("GB", "02079460999"),
            ("GB", "1911"),
            ("GB", "1999"),
            ("DE", "+4930110112"),
            ("DE", "030110112"),
            ("DE", "0911112"),
            ("DE", "1112"),
            ("DK", "80045112"),
            ("FR", "915"),
            ("FR", "818"),
            ("FR", "3315"),
            ("DK", "980045112"),
            ("DK", "+4580045112"),
        ] {
            assert!(!may_reach(country, user), "{country} {user}");
        }
    }

    #[test]
    fn the_emergency_numbers_of_each_country_are_found() {
        for country in ["AU", "BR", "CN", "ER", "FM", "FR", "IN", "IT", "JP", "KR", "LT", "NE", "RU", "SE", "UZ", "ZA"]
        {
            for text in of_country(country).iter() {
                for user in
                    [text.clone(), format!("+{text}"), format!("*67{text}"), format!("'{text}'"), format!("{text};x=y")]
                {
                    assert!(may_reach(country, &user), "{country} {user}");
                }
            }
        }
        let own = NumberingPlan::default().with_emergency(vec!["5555".into()]);
        for (user, expected) in [("+15555", true), ("95555", true), ("+1911", false), ("+14155555555", false)] {
            assert_eq!(own.may_reach_emergency(&own.normalise_caller(user, None)), expected, "{user}");
        }
    }
}
