//! Masking of phone numbers in traces, as in the log.

use std::borrow::Cow;

use trunkgate_call::numbers::mask;
use trunkgate_call::sentence::without_numbers;

/// Rule by which phone numbers are masked in spans.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NumberMask {
    /// True for `[log] numbers = "full"`.
    pub(crate) full: bool,
}

impl NumberMask {
    /// Returns a number for a trace, masked unless [`NumberMask::full`]; names are unchanged.
    pub(super) fn number(self, number: &str) -> String {
        if self.full { number.to_owned() } else { mask(number) }
    }

    /// Masks the phone numbers in a sentence; `own` are the numbers of the call, which are found in any notation.
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
        without_numbers(&text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MASKED: NumberMask = NumberMask { full: false };

    #[test]
    fn numbers_in_sentences_are_masked() {
        for (text, shown) in [
            (
                "carrier is shown +14155550100 instead of +14155550199",
                "carrier is shown +1415****100 instead of +1415****199",
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
        assert_eq!(NumberMask { full: true }.text("+14155550100", ["", ""]), "+14155550100");
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
