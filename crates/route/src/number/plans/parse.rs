//! Parsing of digits by the rules of libphonenumber: international prefix, country code, national prefix.

use super::LengthFit;
use super::table::{self, CountryId, CountryPlan};

/// Minimum digits of a national number.
const SHORTEST_NATIONAL: usize = 2;
/// Maximum digits of a national number.
const LONGEST_NATIONAL: usize = 17;
/// Maximum digits of a country calling code.
const LONGEST_CODE: usize = 3;
/// Maximum digits examined: more than all prefixes, a calling code and a national number together.
const MAX_DIGITS: usize = 64;

/// Number with its country calling code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct ParsedNumber {
    code: u16,
    national: Digits,
}

/// ASCII digits in place.
#[derive(Debug, Clone, Copy)]
struct Digits {
    bytes: [u8; MAX_DIGITS],
    length: u8,
}

impl PartialEq for Digits {
    fn eq(&self, other: &Digits) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Digits {}

impl Digits {
    fn of(parts: &[&[u8]]) -> Option<Digits> {
        let mut digits = Digits { bytes: [0; MAX_DIGITS], length: 0 };
        for part in parts {
            let begin = usize::from(digits.length);
            digits.bytes.get_mut(begin..begin + part.len())?.copy_from_slice(part);
            digits.length = u8::try_from(begin + part.len()).ok()?;
        }
        Some(digits)
    }

    fn of_number(mut number: u16) -> Digits {
        let (mut reversed, mut length) = ([0; 5], 0);
        for digit in &mut reversed {
            if number == 0 {
                break;
            }
            *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
            number /= 10;
            length += 1;
        }
        let mut digits = Digits { bytes: [0; MAX_DIGITS], length };
        for (to, digit) in digits.bytes.iter_mut().zip(reversed.iter().take(usize::from(length)).rev()) {
            *to = *digit;
        }
        digits
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

/// Reason why digits are no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ParseFault {
    /// The country calling code is not assigned.
    UnknownCode,
    /// Any other reason.
    Other,
}

impl ParsedNumber {
    /// Parses digits with or without `+`. Digits without `+` are dialled in the country `home`. Returns `None` if they
    /// are no number of any plan.
    pub(in super::super) fn parse(text: &str, home: Option<CountryId>) -> Option<ParsedNumber> {
        let (is_global, digits) = match text.as_bytes() {
            [b'+', digits @ ..] => (true, digits),
            digits => (false, digits),
        };
        let least = if is_global { SHORTEST_NATIONAL + 1 } else { SHORTEST_NATIONAL };
        let is_readable = digits.iter().all(u8::is_ascii_digit) && (least..=MAX_DIGITS).contains(&digits.len());
        if !is_readable || (!is_global && home.is_none()) {
            return None;
        }
        let plan = home.map(CountryId::plan);
        let found = if is_global { of_global(digits) } else { of_dialled(digits, plan.as_ref()) };
        let (code, national) = match found {
            // Digits after `+` that begin with no calling code are tried as dialled.
            Err(ParseFault::UnknownCode) if is_global => {
                of_dialled(digits, plan.as_ref()).ok().filter(|(code, _)| code.is_some())?
            }
            found => found.ok()?,
        };
        let plan = match code {
            Some(code) => table::countries_of(code).next()?.plan(),
            None => plan?,
        };
        let stripped = (national.length > 1).then(|| without_national_prefix(&plan, &national)).flatten()?;
        let national = match plan.lengths.judge(stripped.as_bytes().len()) {
            LengthFit::Possible | LengthFit::TooLong => stripped,
            LengthFit::Local | LengthFit::TooShort | LengthFit::Impossible => national,
        };
        let fits = (SHORTEST_NATIONAL..=LONGEST_NATIONAL).contains(&usize::from(national.length));
        fits.then_some(ParsedNumber { code: code.unwrap_or(plan.calling_code), national })
    }

    /// Returns the country calling code.
    pub(super) fn calling_code(&self) -> u16 {
        self.code
    }

    /// Returns the national number as ASCII digits, leading zeros included.
    pub(super) fn national(&self) -> &[u8] {
        self.national.as_bytes()
    }

    /// Returns the number in E.164, with exactly the needed capacity.
    pub(in super::super) fn to_e164(self) -> String {
        let code = Digits::of_number(self.code);
        let mut text = String::with_capacity(1 + code.as_bytes().len() + self.national().len());
        text.push('+');
        text.extend(code.as_bytes().iter().chain(self.national()).map(|digit| char::from(*digit)));
        text
    }

    /// Returns whether the number has this calling code and, without leading zeros, a national number of this length
    /// that begins with these digits.
    pub(in super::super) fn is_in(&self, code: u16, begin: &[u8], length: usize) -> bool {
        let zeros = self.national().iter().take_while(|digit| **digit == b'0').count();
        let digits = self.national().get(zeros..).unwrap_or_default();
        self.code == code && digits.len() == length && digits.starts_with(begin)
    }
}

/// Splits digits after `+` or an international prefix into calling code and national number.
fn of_global(digits: &[u8]) -> Result<(Option<u16>, Digits), ParseFault> {
    if digits.len() <= SHORTEST_NATIONAL {
        return Err(ParseFault::Other);
    }
    let mut code = 0;
    for (at, digit) in digits.iter().take(LONGEST_CODE).enumerate() {
        code = code * 10 + u16::from(digit - b'0');
        if code == 0 {
            break;
        }
        if table::countries_of(code).len() > 0 {
            let national = Digits::of(&[digits.get(at + 1..).unwrap_or_default()]).ok_or(ParseFault::Other)?;
            return Ok((Some(code), national));
        }
    }
    Err(ParseFault::UnknownCode)
}

/// Splits dialled digits: after an international prefix of the country, or after its calling code if they are no number
/// of the country without it.
fn of_dialled(digits: &[u8], plan: Option<&CountryPlan>) -> Result<(Option<u16>, Digits), ParseFault> {
    let all = Digits::of(&[digits]).ok_or(ParseFault::Other)?;
    let Some(plan) = plan else { return Ok((None, all)) };
    let prefix = plan.international.and_then(|program| program.find(digits));
    let behind = prefix.and_then(|prefix| digits.get(prefix.length..));
    if let Some(behind) = behind.filter(|behind| !behind.starts_with(b"0")) {
        return of_global(behind);
    }
    let code = Digits::of_number(plan.calling_code);
    if let Some(rest) = digits.strip_prefix(code.as_bytes()) {
        let rest = Digits::of(&[rest]).ok_or(ParseFault::Other)?;
        let rest = without_national_prefix(plan, &rest).ok_or(ParseFault::Other)?;
        let becomes_general = !plan.marks(digits).is_general() && plan.marks(rest.as_bytes()).is_general();
        if becomes_general || plan.lengths.judge(digits.len()) == LengthFit::TooLong {
            return Ok((Some(plan.calling_code), rest));
        }
    }
    Ok((None, all))
}

/// Removes or replaces the national prefix, unless only the number with it has the form of the plan. Returns `None` if
/// the result is too long for any number.
fn without_national_prefix(plan: &CountryPlan, number: &Digits) -> Option<Digits> {
    let digits = number.as_bytes();
    let Some(found) = plan.national.filter(|_| !digits.is_empty()).and_then(|program| program.find(digits)) else {
        return Some(*number);
    };
    let (first, second) = (found.group(digits, 1), found.group(digits, 2));
    let is_replaced = !plan.rule.is_empty()
        && first.is_some_and(|first| match second {
            Some(second) => !second.is_empty(),
            None => !first.is_empty(),
        });
    let rest = digits.get(found.length..).unwrap_or_default();
    let changed = if is_replaced {
        let mut text = Digits::of(&[])?;
        let mut rule = plan.rule.iter();
        while let Some(one) = rule.next() {
            let part = match one {
                b'$' => match rule.next()? {
                    b'1' => first.unwrap_or_default(),
                    _ => second.unwrap_or_default(),
                },
                digit => std::slice::from_ref(digit),
            };
            text = Digits::of(&[text.as_bytes(), part])?;
        }
        Digits::of(&[text.as_bytes(), rest])?
    } else {
        Digits::of(&[rest])?
    };
    let loses_form = plan.marks(digits).is_general() && !plan.marks(changed.as_bytes()).is_general();
    Some(if loses_form { *number } else { changed })
}
