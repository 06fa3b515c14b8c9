//! Masking of telephone numbers in sentences, in any notation.

use std::net::IpAddr;

use crate::numbers::mask;

/// Digits from which a word may be a telephone number.
const NUMBER_DIGITS: usize = 7;
/// Separators between the digits of a number: those of RFC 3966 §5.1.1, and others in common use.
const SEPARATORS: [char; 7] = ['-', '.', '(', ')', '/', ' ', '\u{a0}'];

/// Returns a sentence with its numbers masked, with and without separators. SIDs, addresses, ports and dates stay.
pub fn without_numbers(text: &str) -> String {
    let text = parted(text);
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

/// Returns the text with those numbers masked that have separators between their digits (`415 555-0100`).
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

/// Masks a run of digits and separators as one number, except words that are addresses, ports or dates.
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

/// Returns whether a word is an address, a network, a range of ports or a date.
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

/// Returns whether a word has as many digits as a number, and is neither a SID nor a hexadecimal number.
fn may_be_number(word: &str) -> bool {
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_sid =
        word.len() == 34 && word.get(2..).is_some_and(is_hex) && (word.starts_with("CA") || word.starts_with("MZ"));
    let is_source = word.strip_prefix("0x").is_some_and(|digits| digits.len() <= 8 && is_hex(digits));
    !is_sid && !is_source && word.chars().filter(|c| c.is_numeric()).count() >= NUMBER_DIGITS
}
