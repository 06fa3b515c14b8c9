//! Readings of a called number that is sent as received: the E.164 numbers that a remote party may reach with it.
//! Digits may follow an outside-line code (`9`), a carrier access code (`1010288`) or international prefixes (`9011`,
//! `0000`). Exchanges ignore digits after a complete number. Other systems interpret parameters (`;`), lists (`,`),
//! an end of dialling (`#`), service codes (`*67`, `#31#`) or letters, or discard everything except digits.

use rlibphonenumber::PHONE_NUMBER_UTIL;

use super::{NumberingPlan, compact, is_separator};
use crate::limits::{LONGEST_READ, RUNS, SHORTEST_BEHIND_PREFIX, STARTS};

/// International prefixes that do not begin with zero: Cuba, Chile, Russia and its neighbours, Finland.
const INTERNATIONAL: [&str; 9] = ["119", "1230", "1200", "130", "161", "810", "99", "990", "994"];
/// Maximum digits of an outside-line code.
const OUTSIDE_DIGITS: usize = 2;
/// Maximum number of consecutive international prefixes.
const DOUBLED: usize = 3;
/// Maximum number of `phone-context` values examined; a target of 256 bytes has no room for more.
const CONTEXTS: usize = 16;

/// Returns the numbers that a text may be understood as. `with_prefixes` also searches for numbers after prefixes,
/// which a complete number does not have.
pub(crate) fn read_numbers(numbers: &NumberingPlan, received: &str, with_prefixes: bool) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let (runs, global) = runs(numbers, received);
    let mut seen: Vec<&str> = Vec::new();
    for digits in &runs {
        let bare = digits.trim_start_matches('+');
        let is_outside = digits == bare && is_behind_outside_line(numbers, bare);
        // Digits after a complete number are ignored, unless all digits together are one number.
        let least = if is_outside { digits.len() } else { 0 };
        found.extend(numbers.longest(digits, least));
        found.extend(numbers.longest(&format!("+{bare}"), least));
        // A number in use is dialled as such, also after an outside-line code (`9,0201234567`).
        let is_whole = global.as_ref().is_some_and(|global| digits.starts_with(global))
            || (numbers.is_dialled_at_home(digits) && is_in_use(numbers, digits));
        if with_prefixes && !is_whole && !seen.contains(&bare) {
            seen.push(bare);
            behind_prefixes(numbers, bare, is_outside, &mut found);
        }
    }
    for context in contexts(received) {
        found.extend(numbers.longest(&context, 0));
    }
    let mut once: Vec<String> = Vec::with_capacity(found.len());
    for number in found {
        if !once.contains(&number) {
            once.push(number);
        }
    }
    once
}

/// Returns the digits at the start of a user part, up to its parameters or the end of dialling, without separators.
pub(super) fn dialled_digits(received: &str) -> String {
    let ends_dialling = |c: char| !(c.is_ascii_digit() || c == '+' || is_separator(c) || c.is_whitespace());
    let digits = ascii_digits(received);
    let dialled = digits.split(ends_dialling).next().unwrap_or_default();
    dialled.chars().filter(|c| !is_separator(*c) && !c.is_whitespace()).collect()
}

/// Returns whether digits are an ordinary domestic number after an outside-line code (`9` or `0`), or a number in use
/// with `00` after `9`. Digits that begin with `00` may start with an international prefix instead.
fn is_behind_outside_line(numbers: &NumberingPlan, digits: &str) -> bool {
    let nine = digits.strip_prefix('9');
    let behind = nine.or_else(|| digits.strip_prefix('0').filter(|rest| !rest.starts_with('0')));
    let Some(number) = behind.filter(|number| number.len() <= LONGEST_READ) else { return false };
    let is_international = nine.is_some() && number.starts_with("00");
    numbers.is_dialled_at_home(number) || (is_international && is_in_use(numbers, number))
}

/// Returns whether all digits together are one number in use.
pub(super) fn is_in_use(numbers: &NumberingPlan, digits: &str) -> bool {
    numbers.whole(digits).is_some_and(|number| NumberingPlan::is_in_use(&number))
}

/// Returns the digits of a text after each of its `phone-context` values (RFC 3966 §5.1.5). Only one is allowed; a
/// remote party may use any of several, before or after it unescapes the text.
pub(super) fn contexts(received: &str) -> Vec<String> {
    const NAME: &str = "phone-context=";
    let (number, params) = received.split_once(';').unwrap_or((received, ""));
    let local: String = ascii_digits(number).chars().filter(char::is_ascii_digit).collect();
    let params = ascii_digits(params).to_ascii_lowercase();
    let values = params.match_indices(NAME).filter_map(|(at, name)| params.get(at + name.len()..));
    let global = values.filter_map(|value| compact(value.split(';').next()?.trim()).filter(|c| c.starts_with('+')));
    global.take(CONTEXTS).map(|context| format!("{context}{local}")).collect()
}

/// Appends to `found` the numbers after an outside-line code, carrier access codes and international prefixes.
fn behind_prefixes(numbers: &NumberingPlan, digits: &str, is_outside: bool, found: &mut Vec<String>) {
    let mut seen: Vec<&str> = Vec::new();
    for outside in 0..=OUTSIDE_DIGITS {
        let Some(rest) = digits.get(outside..) else { return };
        if rest.len() < SHORTEST_BEHIND_PREFIX {
            // A rest this short can only be a short premium-rate number.
            found.extend(numbers.whole(rest).filter(|number| numbers.is_premium(number)));
            continue;
        }
        let whole = numbers.whole(rest).filter(|number| outside > 0 && NumberingPlan::is_in_use(number));
        if let Some(number) = whole {
            // A number in use after an outside-line code leaves no other reading.
            return found.push(number);
        }
        for start in behind_access_codes(rest) {
            let is_behind = outside > 0 || start != rest;
            if is_behind && start.len() >= SHORTEST_BEHIND_PREFIX {
                if let Some(number) = numbers.whole(start).filter(|number| NumberingPlan::is_in_use(number)) {
                    found.push(number);
                    continue;
                }
                found.extend(numbers.longest(start, 0));
            }
            // If two digits were skipped without a prefix, every long extension would contain a number.
            let is_near = (outside < OUTSIDE_DIGITS || start != rest) && (is_behind || !is_outside);
            let mut inner = if is_near { vec![start] } else { Vec::new() };
            international(start, DOUBLED, &mut inner);
            for start in inner {
                look_global(numbers, start, found, &mut seen);
            }
        }
    }
}

/// Appends to `found` the numbers at `start` that begin with their country code.
fn look_global<'d>(numbers: &NumberingPlan, start: &'d str, found: &mut Vec<String>, seen: &mut Vec<&'d str>) {
    let is_new = start.len() >= SHORTEST_BEHIND_PREFIX && !start.starts_with('0') && !seen.contains(&start);
    if is_new && seen.len() < STARTS {
        seen.push(start);
        found.extend(numbers.longest(&format!("+{start}"), SHORTEST_BEHIND_PREFIX + 1));
    }
}

/// Returns the digits themselves and the rest after one or two access codes, with and without the `0` for an operator.
fn behind_access_codes(digits: &str) -> Vec<&str> {
    let mut starts = vec![digits];
    let mut begin = 0;
    for _ in 0..2 {
        let behind: Vec<&str> = starts.iter().skip(begin).flat_map(|start| access_codes(start)).collect();
        begin = starts.len();
        for start in behind.iter().flat_map(|start| [Some(*start), start.strip_prefix('0')]).flatten() {
            if !starts.contains(&start) {
                starts.push(start);
            }
        }
    }
    starts
}

/// Codes before a number that select a carrier, or show or hide the caller's number, each with its total length.
const ACCESS_CODES: [(&str, usize); 23] = [
    // North America: `101XXXX`, `10XXX`, and `11XX`, the rotary-dial form of a service code (`*67`).
    ("101", 7),
    ("10", 5),
    ("11", 4),
    // Germany: `010XX`, `0100XX`.
    ("0100", 6),
    ("010", 5),
    // Great Britain.
    ("141", 3),
    ("1470", 4),
    ("1280", 4),
    ("18185", 5),
    ("18866", 5),
    ("1899", 4),
    // Australia.
    ("1831", 4),
    ("1832", 4),
    ("1411", 4),
    ("1414", 4),
    ("1456", 4),
    // France.
    ("3651", 4),
    // Japan.
    ("184", 3),
    ("186", 3),
    // Hong Kong.
    ("133", 3),
    // Spain.
    ("067", 3),
    // New Zealand.
    ("0196", 4),
    ("0197", 4),
];

/// Returns the rest after a carrier access code or a code that shows or hides the caller's number.
pub(super) fn access_codes(digits: &str) -> impl Iterator<Item = &str> {
    // The short form `10XXX` does not apply to `101`.
    let is_long = digits.starts_with("101");
    let fits = move |(code, length): &(&str, usize)| digits.starts_with(code) && !(is_long && *length == 5);
    ACCESS_CODES.into_iter().filter(fits).filter_map(|(_, length)| digits.get(length..))
}

/// Appends to `found` the rest of the digits after one or more international prefixes: any number of zeros with up to
/// three carrier digits (`00`, `0011`, `00700`), `01`, `010` to `019`, and those that do not begin with zero.
fn international<'d>(digits: &'d str, depth: usize, found: &mut Vec<&'d str>) {
    if depth == 0 || digits.len() < SHORTEST_BEHIND_PREFIX || found.len() > STARTS {
        return;
    }
    let rest = digits.trim_start_matches('0');
    let zeros = digits.len() - rest.len();
    let lengths = match zeros {
        0 => 0..0,
        1 if rest.starts_with('1') => 1..3,
        1 => 0..0,
        _ => 0..4,
    };
    let of_list = INTERNATIONAL.iter().filter_map(|prefix| digits.strip_prefix(prefix));
    for behind in lengths.filter_map(|length| rest.get(length..)).chain(of_list) {
        if !found.contains(&behind) {
            found.push(behind);
            international(behind, depth - 1, found);
        }
    }
}

/// Returns the candidates for numbers in a text: each run of digits and separators, also without a preceding service
/// code; all digits together; and all digits with letters as on a telephone keypad. Also returns the `+` number in use
/// at the start of the text, if any.
fn runs(numbers: &NumberingPlan, received: &str) -> (Vec<String>, Option<String>) {
    let text = ascii_digits(received);
    let mut found: Vec<String> = Vec::new();
    let ends = |c: char| !c.is_ascii_digit() && !is_separator(c);
    let mut before = None;
    let mut rest = text.as_str();
    while !rest.is_empty() && found.len() < RUNS {
        let plus = if rest.starts_with('+') { 1 } else { 0 };
        let end = rest.get(plus..).and_then(|rest| rest.find(ends)).map_or(rest.len(), |at| at + plus);
        let (run, behind) = rest.split_at(end);
        if let Some(digits) = compact(run).filter(|digits| digits.len() > 2) {
            // Service codes such as `*67` precede a number without a separator.
            if matches!(before, Some('*' | '#')) {
                found.extend([2, 3].into_iter().filter_map(|code| digits.get(code..).map(str::to_owned)));
            }
            found.push(digits);
        }
        // A `+` begins the next run.
        before = behind.chars().next();
        rest = match before {
            Some(c) if c != '+' => behind.get(c.len_utf8()..).unwrap_or_default(),
            Some(_) | None => behind,
        };
    }
    let all: String = text.chars().filter(char::is_ascii_digit).collect();
    let begins = text.chars().find(|c| !is_separator(*c)).is_some_and(|c| c.is_ascii_digit() || c == '+');
    let has_letters = begins && all.len() > 2 && text.contains(|c: char| c.is_ascii_alphabetic());
    // Text after a `+` number in use continues that number or is ignored; the digits without `+` are not another
    // number.
    let global = found.first().filter(|run| run.starts_with('+') && all.starts_with(run.trim_start_matches('+')));
    let global = global.filter(|run| is_in_use(numbers, run)).cloned();
    let plus = if global.is_some() { "+" } else { "" };
    found.push(format!("{plus}{all}"));
    if has_letters {
        found.push(plus.chars().chain(text.chars().filter_map(key)).collect());
    }
    found.retain(|digits| digits.len() > 2);
    found.dedup();
    (found, global)
}

/// Converts the digits of all scripts to ASCII.
pub(super) fn ascii_digits(text: &str) -> String {
    let mut buffer = [0; 4];
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{ff0b}' => out.push('+'),
            _ if c.is_numeric() && !c.is_ascii() => {
                let digit = PHONE_NUMBER_UTIL.normalize_digits_only(c.encode_utf8(&mut buffer));
                out.push_str(if digit.is_empty() { " " } else { &digit });
            }
            _ => out.push(c),
        }
    }
    out
}

/// Returns the key of a letter on a telephone keypad (ITU-T E.161), a digit itself, or `None` for other characters.
fn key(c: char) -> Option<char> {
    Some(match c.to_ascii_lowercase() {
        'a'..='c' => '2',
        'd'..='f' => '3',
        'g'..='i' => '4',
        'j'..='l' => '5',
        'm'..='o' => '6',
        'p'..='s' => '7',
        't'..='v' => '8',
        'w'..='z' => '9',
        digit @ '0'..='9' => digit,
        _ => return None,
    })
}
