//! What a far end may make of a called party that goes to it as received: the E.164 numbers that may be reached by it. Digits
//! may stand behind an outside-line code (`9`), a carrier access code (`1010288`), an international prefix or several
//! (`9011`, `0000`); exchanges ignore what stands behind a whole number; other systems read parameters (`;`), lists (`,`), an
//! end of dialling (`#`), service codes (`*67`, `#31#`) or letters, or throw away what is no digit.

use rlibphonenumber::PHONE_NUMBER_UTIL;

use crate::limits::{RUNS, SHORTEST_BEHIND_PREFIX, STARTS};
use crate::number::{Numbers, compact, is_separator};

/// International prefixes that begin with no zero: Cuba, Chile, Russia and its neighbours, Finland.
const INTERNATIONAL: [&str; 9] = ["119", "1230", "1200", "130", "161", "810", "99", "990", "994"];
/// Most digits of an outside-line code.
const OUTSIDE_DIGITS: usize = 2;
/// Most international prefixes, one behind the other.
const DOUBLED: usize = 3;

/// The numbers that may be made of a text; `with_prefixes`: also behind prefixes, which a number that is whole does not have.
pub(crate) fn of(numbers: &Numbers, received: &str, with_prefixes: bool) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for digits in runs(received) {
        found.extend(numbers.longest(&digits));
        found.extend(numbers.longest(&format!("+{}", digits.trim_start_matches('+'))));
        if with_prefixes {
            behind_prefixes(numbers, digits.trim_start_matches('+'), &mut found);
        }
    }
    let mut once: Vec<String> = Vec::with_capacity(found.len());
    for number in found {
        if !once.contains(&number) {
            once.push(number);
        }
    }
    once
}

/// The numbers behind an outside-line code, carrier access codes and international prefixes.
fn behind_prefixes(numbers: &Numbers, digits: &str, found: &mut Vec<String>) {
    let mut seen: Vec<&str> = Vec::new();
    for outside in 0..=OUTSIDE_DIGITS {
        let Some(rest) = digits.get(outside..).filter(|rest| rest.len() >= SHORTEST_BEHIND_PREFIX) else { return };
        let whole = numbers.whole(rest).filter(|number| outside > 0 && Numbers::is_in_use(number));
        if let Some(number) = whole {
            // Nothing else is likely to be meant.
            return found.push(number);
        }
        let mut starts = vec![rest];
        for _ in 0..2 {
            let behind: Vec<&str> = starts.iter().flat_map(|start| access_codes(start)).collect();
            starts.extend(behind);
        }
        for start in starts {
            let is_behind = outside > 0 || start != rest;
            if is_behind && start.len() >= SHORTEST_BEHIND_PREFIX {
                if let Some(number) = numbers.whole(start).filter(|number| Numbers::is_in_use(number)) {
                    found.push(number);
                    continue;
                }
                found.extend(numbers.longest(start));
            }
            // Two digits before a number without a prefix would find one in every long extension.
            let is_near = outside < OUTSIDE_DIGITS || start != rest;
            let mut inner = if is_near { vec![start] } else { Vec::new() };
            international(start, DOUBLED, &mut inner);
            for start in inner {
                look_global(numbers, start, found, &mut seen);
            }
        }
    }
}

/// Looks for a number that begins with its country code.
fn look_global<'d>(numbers: &Numbers, start: &'d str, found: &mut Vec<String>, seen: &mut Vec<&'d str>) {
    let is_new = start.len() >= SHORTEST_BEHIND_PREFIX && !start.starts_with('0') && !seen.contains(&start);
    if is_new && seen.len() < STARTS {
        seen.push(start);
        let number = numbers.longest(&format!("+{start}"));
        found.extend(number.filter(|number| number.len() > SHORTEST_BEHIND_PREFIX));
    }
}

/// What stands behind a carrier access code: `101XXXX` and `10XXX` (North America), `010XX` and `0100XX` (Germany), `11XX` (a
/// service code of a dial, `*67`), `141`, `1470`, `1280` (Great Britain).
fn access_codes(digits: &str) -> impl Iterator<Item = &str> {
    const CODES: [(&str, usize); 8] =
        [("101", 7), ("10", 5), ("0100", 6), ("010", 5), ("11", 4), ("141", 3), ("1470", 4), ("1280", 4)];
    // Of `101` the short form is not used.
    let is_long = digits.starts_with("101");
    let fits = move |(code, length): &(&str, usize)| digits.starts_with(code) && !(is_long && *length == 5);
    CODES.into_iter().filter(fits).filter_map(|(_, length)| digits.get(length..))
}

/// What stands behind an international prefix, or several: any number of zeros with up to three digits of a carrier behind them
/// (`00`, `0011`, `00700`), `01`, `010` to `019`, and those that begin with no zero.
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

/// What a text may have of numbers: each run of digits and separators, without the digits of a service code before it too, all
/// digits together, and those with letters as on a telephone's keys.
fn runs(received: &str) -> Vec<String> {
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
            // `*67` and its like stand before a number without anything between.
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
    found.push(all);
    if has_letters {
        found.push(text.chars().filter_map(key).collect());
    }
    found.retain(|digits| digits.len() > 2);
    found.dedup();
    found
}

/// Digits of every script as those of ASCII.
fn ascii_digits(text: &str) -> String {
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

/// The key of a telephone that has a letter (ITU-T E.161); a digit is its own.
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
