//! What of a call's texts goes out: numbers masked as in the log.

use std::borrow::Cow;
use std::net::IpAddr;

use trunkgate_call::numbers::mask;

/// Digits from which a word may be somebody's number.
const NUMBER_DIGITS: usize = 7;
/// What may stand between the digits of a number (RFC 3966 §5.1.1), and what people write.
const SEPARATORS: [char; 7] = ['-', '.', '(', ')', '/', ' ', '\u{a0}'];

/// How numbers are shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown {
    /// `[log] numbers = "full"`
    pub(crate) full: bool,
}

impl Shown {
    /// A number, or a name.
    pub(super) fn number(self, number: &str) -> String {
        if self.full { number.to_owned() } else { mask(number) }
    }

    /// A sentence, each number in it masked; `own`: numbers of the call, however they are written.
    pub(super) fn text(self, text: &str, own: [&str; 2]) -> String {
        if self.full {
            return text.to_owned();
        }
        let mut text = Cow::Borrowed(text);
        for number in own.into_iter().filter(|number| mask(number) != **number) {
            if text.contains(number) {
                text = text.replace(number, &mask(number)).into();
            }
        }
        let text = parted(&text);
        let is_inside = |c: char| c.is_alphanumeric() || matches!(c, '+' | '*' | '_');
        let (mut out, mut rest) = (String::with_capacity(text.len()), text.as_str());
        while let Some(c) = rest.chars().next() {
            let inside = is_inside(c);
            let end = rest.find(|c| is_inside(c) != inside).unwrap_or(rest.len());
            let (word, behind) = rest.split_at(end);
            if inside && may_be_number(word) {
                out.push_str(&mask(word))
            } else {
                out.push_str(word)
            }
            rest = behind;
        }
        out
    }
}

/// Numbers with separators in them, each masked.
fn parted(text: &str) -> String {
    let is_inside = |c: char| c.is_ascii_digit() || c == '+' || SEPARATORS.contains(&c);
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(c) = rest.chars().next() {
        let inside = is_inside(c);
        let end = rest.find(|c| is_inside(c) != inside).unwrap_or(rest.len());
        let (run, behind) = rest.split_at(end);
        if inside {
            numbers(run, &mut out)
        } else {
            out.push_str(run)
        }
        rest = behind;
    }
    out
}

/// Digits and separators: words that are addresses, ports and dates stay, others are one number.
fn numbers(run: &str, out: &mut String) {
    let mut number = String::new();
    for word in run.split_inclusive([' ', '\u{a0}']) {
        if is_plain(word.trim_end_matches([' ', '\u{a0}', '.', ')']).trim_start_matches('(')) {
            flush(&mut number, out);
            out.push_str(word);
        } else {
            number.push_str(word);
        }
    }
    flush(&mut number, out);
}

fn flush(number: &mut String, out: &mut String) {
    let bare = number.trim_matches(|c| c == ' ' || c == '\u{a0}' || c == '.' || c == '/');
    let digits: String = bare.chars().filter(|c| !SEPARATORS.contains(c)).collect();
    let is_one = bare.contains(SEPARATORS) && digits.chars().filter(char::is_ascii_digit).count() >= NUMBER_DIGITS;
    match number.split_once(bare).filter(|_| is_one) {
        Some((before, behind)) => out.extend([before, &mask(&digits), behind]),
        None => out.push_str(number),
    }
    number.clear();
}

/// An address, a network, two ports, a date.
fn is_plain(word: &str) -> bool {
    let address = word.split('/').next().unwrap_or_default();
    let ports = word.split_once('-').is_some_and(|(first, last)| {
        let port = |text: &str| text.len() >= 4 && text.parse::<u16>().is_ok();
        port(first) && port(last)
    });
    let is_date = word.len() == 10
        && word
            .bytes()
            .enumerate()
            .all(|(at, byte)| if matches!(at, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() });
    address.parse::<IpAddr>().is_ok() || ports || is_date
}

/// Whether a word has as many digits as a number, and is neither a sid nor a hexadecimal number.
fn may_be_number(word: &str) -> bool {
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_sid =
        word.len() == 34 && word.get(2..).is_some_and(is_hex) && (word.starts_with("CA") || word.starts_with("MZ"));
    let is_source = word.strip_prefix("0x").is_some_and(|digits| digits.len() <= 8 && is_hex(digits));
    !is_sid && !is_source && word.chars().filter(|c| c.is_numeric()).count() >= NUMBER_DIGITS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MASKED: Shown = Shown { full: false };

    #[test]
    fn numbers_in_sentences_are_masked() {
        for (text, shown) in [
            (
                "carrier is shown +14155550100 in the place of +14155550199",
                "carrier is shown +1415****100 in the place of +1415****199",
            ),
            (
                "sip:4930123456@h.example (a target did not answer in time)",
                "sip:****@h.example (a target did not answer in time)",
            ),
            ("target trunk:pbx/+14155550100, then agent:desk", "target trunk:pbx/+1415****100, then agent:desk"),
            (
                "ends after 12.5 s; 198.51.100.17:16384, [2001:db8::1]:5060",
                "ends after 12.5 s; 198.51.100.17:16384, [2001:db8::1]:5060",
            ),
            ("call CA0123456789abcdef0123456789abcdef", "call CA0123456789abcdef0123456789abcdef"),
            ("SSRC 0x12345678 what the caller says", "SSRC 0x12345678 what the caller says"),
            ("alice1234567 und äöü１２３４５６７", "alice****567 und ****"),
            ("(415) 555-0100 called", "(415)****100 called"),
            ("to tel:+1-415-555-0123, then", "to tel:+1415****123, then"),
            ("call +1 415 555 0123 or 415.555.0188 again.", "call +1415****123 or **** again."),
            ("trunk:pbx/+1-415-555-0155", "trunk:pbx/+1415****155"),
            (
                "on 2026-11-21 udp 16384-32767 of 198.51.100.17 203.0.113.0/24",
                "on 2026-11-21 udp 16384-32767 of 198.51.100.17 203.0.113.0/24",
            ),
            ("0x4155550123", "0x415****123"),
            ("", ""),
        ] {
            assert_eq!(MASKED.text(text, ["(415) 555-0100", "service"]), shown);
        }
        assert_eq!(Shown { full: true }.text("+14155550100", ["", ""]), "+14155550100");
        assert_eq!((MASKED.number("+14155550100"), MASKED.number("911")), ("+1415****100".into(), "911".into()));
    }

    proptest! {
        #[test]
        fn no_number_stays(before in "[a-z ,:/@(<-]{0,9}[ ,:/@(<-]", number in "\\+?[0-9]{7,15}", behind in "[ ,:/@)>;-][a-z ]{0,9}") {
            let shown = MASKED.text(&format!("{before}{number}{behind}"), ["", ""]);
            prop_assert!(!shown.contains(&number), "{}", shown);
        }

        #[test]
        fn any_text_is_shown(text: String, own: (String, String)) {
            MASKED.text(&text, [&own.0, &own.1]);
        }
    }
}
