//! Names of parameters: names that the API has, names that are near to one, and names that are never ignored.

use super::requests::OPERATIONS;

/// Returns whether an operation of the API has a parameter of this name.
pub fn is_known(name: &str) -> bool {
    let is_written_so = |known: &str| match known.split_once("{n}") {
        Some((front, back)) => name.strip_prefix(front).is_some_and(|rest| rest.ends_with(back)),
        None => known == name,
    };
    OPERATIONS.iter().flat_map(|operation| operation.parameters).any(|(known, _)| is_written_so(known))
}

/// Parts of parameter names that are never ignored: recording, privacy, audio between parties, money, time limits,
/// emergencies, and called parties.
const GUARDED: &[&str] = &[
    "record",
    "transcri",
    "redact",
    "retention",
    "privacy",
    "private",
    "anonym",
    "clir",
    "withheld",
    "withhold",
    "hide",
    "hidden",
    "mask",
    "conceal",
    "restrict",
    "secret",
    "encrypt",
    "callerid",
    "emergency",
    "price",
    "cost",
    "charge",
    "budget",
    "limit",
    "timeout",
    "duration",
    "expir",
    "deadline",
    "maxlength",
    "trim",
    "schedule",
    "sendat",
    "mute",
    "coach",
    "hold",
    "digits",
    "participant",
    "callee",
    "recipient",
    "destination",
    "exit",
    "pause",
    "media",
    "policy",
    "keytype",
];
/// Words that protect a parameter only as whole words, because they occur within other words: `ToNumber`, `ClipMode`,
/// `MaxCalls`.
const GUARDED_WORDS: &[&str] = &["to", "from", "rec", "clip", "spend", "fee", "ttl", "max", "maximum"];
/// Words that protect a parameter even if misspelled: `PirvacyMode`. Short words are excluded, because they resemble
/// other words.
const GUARDED_WITH_SLIPS: &[&str] = &[
    "record",
    "redact",
    "privacy",
    "private",
    "anonymous",
    "encrypt",
    "timeout",
    "duration",
    "retention",
    "recipient",
];

/// Returns whether an unknown parameter with this name must not be ignored: it concerns recording, privacy, audio
/// between parties, money, time limits, emergencies or called parties.
pub fn is_guarded(name: &str) -> bool {
    let words = words(name);
    let joined = words.concat();
    let is_word = |word: &str| GUARDED_WORDS.contains(&word);
    let is_slip = |word: &str| GUARDED_WITH_SLIPS.iter().any(|known| is_near(word, known));
    GUARDED.iter().any(|part| joined.contains(part))
        || is_word(&joined)
        || words.iter().any(|word| is_word(word) || is_slip(word))
}

/// Splits a name into lower-case words; a word starts at a capital letter or after a character that is neither letter
/// nor digit.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut before: Option<char> = None;
    let mut rest = name.chars().peekable();
    while let Some(char) = rest.next() {
        if !char.is_ascii_alphanumeric() {
            before = None;
            continue;
        }
        // The last of several capital letters starts the next word: `CLIRMode`.
        let is_last_capital = rest.peek().is_some_and(char::is_ascii_lowercase);
        let begins = |before: char| char.is_ascii_uppercase() && (!before.is_ascii_uppercase() || is_last_capital);
        if before.is_none_or(begins) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(char.to_ascii_lowercase());
        }
        before = Some(char);
    }
    words
}

/// Returns the known parameter that differs from a name by one typing error or by case only; a parameter that is
/// never ignored is preferred.
pub fn meant(name: &str) -> Option<&'static str> {
    let names = OPERATIONS.iter().flat_map(|operation| operation.parameters).map(|(known, _)| *known);
    let is_meant = |known: &&str| known.is_ascii() && !known.contains('{') && is_near(name, known);
    let near: Vec<&'static str> = names.filter(is_meant).collect();
    near.iter().find(|known| is_guarded(known)).or(near.first()).copied()
}

/// Returns whether two names differ by one typing error (a letter missing, added or replaced, or two adjacent ones
/// swapped) or by case only.
fn is_near(given: &str, known: &str) -> bool {
    if given.eq_ignore_ascii_case(known) {
        return given != known;
    }
    let (given, known) = (given.as_bytes(), known.as_bytes());
    if given.is_empty() || given.len().abs_diff(known.len()) > 1 {
        return false;
    }
    let is_same = |(one, other): &(&u8, &u8)| one.eq_ignore_ascii_case(other);
    let front = given.iter().zip(known).take_while(is_same).count();
    let back = given.iter().rev().zip(known.iter().rev()).take_while(is_same).count();
    let longest = given.len().max(known.len());
    if front + back + 1 >= longest {
        return true;
    }
    let is_swapped = match (given.get(front..), known.get(front..)) {
        (Some([first, second, ..]), Some([other_first, other_second, ..])) => {
            first.eq_ignore_ascii_case(other_second) && second.eq_ignore_ascii_case(other_first)
        }
        _ => false,
    };
    is_swapped && given.len() == known.len() && front + back + 2 == longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_one_slip_off_is_recognised() {
        for (given, known) in [
            ("StatusCalback", "StatusCallback"),
            ("StatusCallbackk", "StatusCallback"),
            ("Methid", "Method"),
            ("statuscallback", "StatusCallback"),
            ("TimeLimt", "TimeLimit"),
            ("Recort", "Record"),
            ("Recrod", "Record"),
            ("Reocrd", "Record"),
            ("Form", "From"),
            ("Fron", "From"),
            ("FROM", "From"),
            ("Frm", "From"),
            ("Too", "To"),
            ("Tp", "To"),
            ("T", "To"),
            ("Ot", "To"),
            ("MachineDetction", "MachineDetection"),
        ] {
            assert_eq!(meant(given), Some(known), "{given}");
        }
        for given in ["Method", "Bogus", "Foo", "Id", "Format", "Room", "", "StatusCall", "\u{e4}\u{e4}\u{e4}"] {
            assert_eq!(meant(given), None, "{given}");
        }
    }

    #[test]
    fn parameters_of_weight_are_guarded() {
        for name in [
            "RecordCall",
            "MaxPrice",
            "time_limit",
            "Timeouts",
            "ContentRetention",
            "to",
            "FROM",
            "PciRedaction",
            "Mutedd",
            "Privacy",
            "PrivacyMode",
            "PirvacyMode",
            "Anonymous",
            "Clir",
            "CLIRMode",
            "ClipMode",
            "Withheld",
            "HideNumber",
            "MaskFrom",
            "Encryption",
            "caller-id",
            "Caller_Id",
            "Rec",
            "RecrodCall",
            "Cost",
            "MaxCost",
            "Charge",
            "Budget",
            "MaxCalls",
            "CallDuration",
            "ExpiresAt",
            "ToNumber",
            "to_number",
            "CallFrom",
            "t.o",
            "Recipient",
            "EmergencyFloor",
        ] {
            assert!(is_guarded(name), "{name}");
        }
        for name in
            ["CallReason", "Tags", "Colour", "Tokens", "Platform", "Clipboard", "Total", "Suspend", "StatusCallbackk"]
        {
            assert!(!is_guarded(name), "{name}");
        }
    }
}
