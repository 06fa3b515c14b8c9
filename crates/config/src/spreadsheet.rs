//! Phone numbers altered by spreadsheets: `1.41556E+10`, `14155551234.0`, and the text markers that prevent this.

use std::sync::LazyLock;

use regex::Regex;

/// Rounded number: `1.41556E+10`, with a point or a comma.
static ROUNDED: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\+?\d([.,]\d+)?[eE]\+\d{1,2}$").ok());
/// Number with decimals: `14155551234.0`.
static DECIMALS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^(\+?\d{5,})[.,]0+$").ok());

/// Returns message and help text for an altered number; `None` for any other text.
pub(super) fn damage(text: &str) -> Option<(String, String)> {
    if ROUNDED.as_ref()?.is_match(text) {
        let help = "format the column as text, and enter the complete numbers again: +14155551234";
        return Some((format!("a spreadsheet has rounded \"{text}\": its last digits are lost"), help.to_owned()));
    }
    if let Some(number) = DECIMALS.as_ref()?.captures(text).and_then(|captures| captures.get(1)) {
        let help = format!("write {}", number.as_str());
        return Some((format!("\"{text}\" is a decimal amount, not a phone number"), help));
    }
    let formula = text.strip_prefix('=').map(|rest| rest.trim_matches('"'));
    let (what, rest) = match formula {
        Some(rest) => ("a formula", rest),
        None => ("text after an apostrophe", text.strip_prefix(['\'', '\u{2018}', '\u{2019}', '`'])?),
    };
    let is_number = rest.contains(|c: char| c.is_ascii_digit()) && !rest.contains(|c: char| c.is_alphabetic());
    let help = if is_number { format!("write {rest}") } else { "write the number itself".to_owned() };
    Some((format!("\"{text}\" is {what} of a spreadsheet, not a phone number"), help))
}

/// Returns whether two fields are one rounded number, `1,41556E+10`, split at its comma.
pub(super) fn is_cut_in_two(one: &str, next: &str) -> bool {
    let joined = format!("{one}.{next}");
    next.contains(['e', 'E']) && ROUNDED.as_ref().is_some_and(|pattern| pattern.is_match(&joined))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_spreadsheet_makes_of_numbers_is_told_and_nothing_else() {
        for (text, message, help) in [
            ("1.41556E+10", "rounded", "enter the complete numbers again"),
            ("1,41556e+10", "rounded", "enter the complete numbers again"),
            ("1E+10", "rounded", "column as text"),
            ("14155551234.0", "decimal", "write 14155551234"),
            ("'+14155551234", "apostrophe", "write +14155551234"),
            ("\u{2019}112", "apostrophe", "write 112"),
            ("=\"+14155551234\"", "formula", "write +14155551234"),
            ("=\"+1415*\"", "formula", "write +1415*"),
            ("=TEXT(A1;\"0\")", "formula", "write the number itself"),
        ] {
            let (what, right) = damage(text).unwrap();
            assert!(what.contains(message) && what.contains(text) && right.contains(help), "{what}: {right}");
        }
        for text in ["+14155551234", "+1415*", "112", "service", "1e10", "one'two", "/^\\+1=5/", "415.555.1234", "*"] {
            assert_eq!(damage(text), None, "{text}");
        }
    }

    #[test]
    fn a_number_that_its_comma_has_cut_in_two() {
        assert!(is_cut_in_two("1", "41556E+10"));
        for (one, next) in [("1", "41556"), ("+14155551234", "41556E+10"), ("", "E+10"), ("1", "E+10")] {
            assert!(!is_cut_in_two(one, next), "{one} {next}");
        }
    }
}
