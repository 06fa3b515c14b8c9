//! Numbers: what is a possible number becomes E.164, all else stays as received (the contract's rule 3).
//!
//! Possible means that the length fits the country's numbering plan; whether a range is in use is never asked.
//! The numbering plans are those of libphonenumber, which sees only digits and `+` here.
//!
//! This room holds the meaning of numbers: every reading of a text that may be one (`readings`), the emergency numbers
//! of each country (`emergency`) and their spellings (`emergency_spellings`), the states of North American area codes
//! (`area_codes`), and whether a number is valid (`lookup`). Patterns over digits are in `pattern`, the rules of a
//! trunk for callers in `caller_id`.

mod area_codes;
pub mod emergency;
mod emergency_spellings;
mod lookup;
mod readings;

use std::sync::Arc;

use rlibphonenumber::{
    NumberLengthType, PHONE_NUMBER_UTIL, PhoneNumber, PhoneNumberFormat, PhoneNumberType, Region, ValidationError,
};

pub use lookup::{InvalidNumber, ValidNumber};

use crate::limits::{
    LONGEST_NAME_DIGITS, LONGEST_READ, MAX_DIALLED_DIGITS, MAX_LONG_RUNS, MAX_NAME_CHARS, SHORTEST_BEHIND_PREFIX,
};

/// Longest number of the world, country code included (ITU-T E.164 §6.1).
const MAX_E164_DIGITS: usize = 15;

/// A called or calling party after normalisation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Number {
    /// `+14155551234`, or the text as received where it is not a possible number.
    pub text: String,
    /// Whether `text` is E.164.
    pub is_e164: bool,
    /// As received (escapes undone); `text`, where only a `phone-context` has made it that number.
    pub received: String,
}

impl Number {
    /// Returns the number of a party that has none, or hides it: its text is empty.
    pub fn unknown() -> Number {
        Number { text: String::new(), is_e164: false, received: String::new() }
    }
}

/// The form of numbers towards a trunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SendNumbers {
    /// `+14155551234`
    #[default]
    E164,
    /// `14155551234`
    PlusLess,
    /// As dialled inside the edge's country.
    National,
    /// As received.
    AsIs,
}

/// Why a called party cannot be used at all: answered 484.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incomplete;

/// The numbering of one country.
#[derive(Debug, Clone)]
pub struct Numbers {
    country: String,
    region: Region,
    emergency: Arc<[String]>,
}

/// The numbering of the United States.
impl Default for Numbers {
    fn default() -> Numbers {
        Numbers { country: "US".into(), region: Region::US, emergency: emergency::of_country("US") }
    }
}

impl Numbers {
    /// Numbers without a country code are read as of `country` (ISO 3166 alpha-2). `None` for an unknown one.
    pub fn new(country: &str) -> Option<Numbers> {
        let country = country.to_ascii_uppercase();
        // "001" is a region of libphonenumber's own, for numbers that belong to no country.
        if country.len() != 2 {
            return None;
        }
        let region = Region::from_code(&country).ok()?;
        PHONE_NUMBER_UTIL.get_country_code_for_region(region)?;
        let emergency = emergency::of_country(&country);
        Some(Numbers { country, region, emergency })
    }

    /// Loads what the first number of the country would otherwise load: the numbering plans and their expressions, some 60 million
    /// instructions. What is loaded is shared by all.
    pub fn warm_up(&self) {
        if let Ok(example) = PHONE_NUMBER_UTIL.get_example_number(self.region) {
            let text = PHONE_NUMBER_UTIL.format(&example, PhoneNumberFormat::E164);
            let _ = (self.dialled(&text), self.is_premium(&text), Numbers::country_of(&text));
        }
    }

    /// The same with these emergency numbers.
    pub fn with_emergency(self, numbers: Vec<String>) -> Numbers {
        Numbers { emergency: numbers.into(), ..self }
    }

    /// The emergency numbers.
    pub fn emergency(&self) -> &[String] {
        &self.emergency
    }

    /// Whether a number is an emergency number, digit by digit, as it was received and as it goes on.
    pub fn is_emergency(&self, number: &Number) -> bool {
        !number.is_e164 && self.is_emergency_text(&number.received)
    }

    /// Returns whether a number is written as an emergency number: separators, parameters (RFC 3966 §3) and what stands
    /// behind an end of dialling are left out.
    pub fn is_written_as_emergency(&self, number: &Number) -> bool {
        self.is_emergency(number) || self.is_emergency_text(&readings::dialled_digits(&number.received))
    }

    /// Returns whether a far end may dial an emergency number where it is sent a number: also behind `+`, the country
    /// code, an outside-line code and other prefixes. A number in use is dialled as that one. Extensions of a PBX that
    /// read so (`9911`, `1911`) are not known here, and count. More numbers than [`Numbers::is_emergency`], which grants
    /// an exemption: for bounds on calls that requests begin alone.
    pub fn may_reach_emergency(&self, number: &Number) -> bool {
        self.is_written_as_emergency(number)
            || emergency_spellings::reach_emergency(self, &number.received)
            || (number.text != number.received && emergency_spellings::reach_emergency(self, &number.text))
    }

    /// Returns whether a user part (escapes undone) is an emergency number, digit by digit.
    pub fn is_emergency_text(&self, user: &str) -> bool {
        self.emergency.iter().any(|known| known == user)
    }

    /// The country, in upper case.
    pub fn country(&self) -> &str {
        &self.country
    }

    /// Reads a user part (escapes undone), with the `phone-context` that stood with it.
    ///
    /// # Errors
    /// [`Incomplete`] for an empty one, one with characters that [steer](steers) how it is shown, `+` with anything but digits and separators, or with
    /// more digits than a number has, more digits without `+` than anything has that can be dialled, and a name that is not
    /// [readable](is_readable).
    pub fn normalise(&self, user: &str, phone_context: Option<&str>) -> Result<Number, Incomplete> {
        if user.trim().is_empty() || user.contains(steers) {
            return Err(Incomplete);
        }
        let is_global = user.trim_start_matches(|c: char| is_separator(c) || c.is_whitespace()).starts_with('+');
        match compact(user) {
            Some(digits) if is_global && digits.len() > MAX_E164_DIGITS + 1 => return Err(Incomplete),
            Some(digits) if digits.len() > MAX_DIALLED_DIGITS => return Err(Incomplete),
            None if is_global || !is_readable(user) => return Err(Incomplete),
            Some(_) | None => {}
        }
        Ok(self.normalise_caller(user, phone_context))
    }

    /// The same for a calling party, which is never refused for its form.
    pub fn normalise_caller(&self, user: &str, phone_context: Option<&str>) -> Number {
        let digits = compact(user);
        // Separators mean nothing (RFC 3966 §5.1.1): in a global number they are not kept.
        let received = match &digits {
            Some(digits) if digits.starts_with('+') => digits.clone(),
            Some(_) | None => user.to_owned(),
        };
        match self.e164(user, phone_context) {
            // What means another number without its context, or none, is sent on as what it means: the context is not.
            Some(text) if phone_context.is_some() && self.e164(user, None).as_ref() != Some(&text) => {
                Number { received: text.clone(), text, is_e164: true }
            }
            Some(text) => Number { text, is_e164: true, received },
            None => {
                // Names with digits and separators alone are short, and keep them: `100-1` is not `1001`.
                let text =
                    digits.filter(|digits| digits.len() > LONGEST_NAME_DIGITS).unwrap_or_else(|| received.clone());
                Number { text, is_e164: false, received }
            }
        }
    }

    /// A number in the form that a trunk wants.
    pub fn format(&self, number: &Number, form: SendNumbers) -> String {
        if !number.is_e164 {
            return number.received.clone();
        }
        match form {
            SendNumbers::E164 => number.text.clone(),
            SendNumbers::PlusLess => number.text.trim_start_matches('+').to_owned(),
            SendNumbers::National => self.national(&number.text).unwrap_or_else(|| number.text.clone()),
            SendNumbers::AsIs => number.received.clone(),
        }
    }

    /// A number as it is, without separators, and as a far end may read it.
    pub fn ways(&self, number: &Number, form: SendNumbers) -> Vec<String> {
        let text = compact(&number.text).unwrap_or_else(|| number.text.clone());
        std::iter::once(text).chain(self.readings(number, form)).collect()
    }

    /// The same ([`Numbers::ways`]) and the number as written, for what counts calls of any of them.
    pub fn spellings(&self, number: &Number, form: SendNumbers) -> Vec<String> {
        let mut all = self.ways(number, form);
        if !all.contains(&number.text) {
            all.push(number.text.clone());
        }
        all
    }

    /// The E.164 numbers that a far end may make of one that goes to it as received ([`readings`]).
    fn readings(&self, number: &Number, form: SendNumbers) -> Vec<String> {
        if !number.is_e164 {
            return readings::of(self, &number.received, true);
        }
        let is_in_use = Numbers::is_in_use(&number.text);
        match form {
            // A number that is in use is dialled as that one: no prefixes are looked for in it.
            SendNumbers::AsIs => readings::of(self, &number.received, !is_in_use),
            SendNumbers::E164 | SendNumbers::PlusLess | SendNumbers::National if is_in_use => Vec::new(),
            // One that is not may be a number of premium rate with digits behind it.
            SendNumbers::E164 | SendNumbers::PlusLess | SendNumbers::National => {
                let digits = compact(&number.received).unwrap_or_default();
                self.longest(&digits, 0).filter(|read| *read != number.text && self.is_premium(read)).collect()
            }
        }
    }

    /// E.164 numbers that digits with or without `+` begin with, `least` digits long or longer: the longest that is possible, a
    /// number of premium rate that it begins with where digits are left over, and the longest short number of premium rate.
    pub(crate) fn longest(&self, digits: &str, least: usize) -> impl Iterator<Item = String> {
        let mut lengths = (least.max(1)..=digits.len().min(LONGEST_READ)).rev();
        let mut read = |short: &mut Option<String>| {
            lengths.find_map(|len| match self.judged(digits.get(..len)?)? {
                Judged::Number(text) => Some((len, text)),
                Judged::Short(text) => {
                    short.get_or_insert(text);
                    None
                }
            })
        };
        let mut short = None;
        let whole = read(&mut short);
        let is_all = |(len, text): &(usize, String)| *len == digits.len() && Numbers::is_in_use(text);
        let may_have_surplus = whole.as_ref().is_some_and(|whole| !is_all(whole) && !self.is_premium(&whole.1));
        let mut premium = None;
        while may_have_surplus && premium.is_none() {
            let Some((_, text)) = read(&mut short) else { break };
            premium = Some(text).filter(|text| self.is_premium(text));
        }
        whole.map(|(_, text)| text).into_iter().chain(premium).chain(short)
    }

    /// E.164 of all these digits, also of a short number of premium rate.
    pub(crate) fn whole(&self, digits: &str) -> Option<String> {
        let fits = digits.len() <= MAX_DIALLED_DIGITS + 1;
        fits.then(|| self.judged(digits)).flatten().map(|(Judged::Number(text) | Judged::Short(text))| text)
    }

    /// Whether digits are a number in use, written as it is dialled inside the country.
    pub(crate) fn is_dialled_at_home(&self, digits: &str) -> bool {
        let number = PHONE_NUMBER_UTIL.parse(digits, Some(self.region)).ok();
        let number = number.filter(|number| PHONE_NUMBER_UTIL.is_valid_number(number));
        number.is_some_and(|number| {
            let forms = [
                PHONE_NUMBER_UTIL.format(&number, PhoneNumberFormat::National),
                PHONE_NUMBER_UTIL.format_out_of_country_calling_number(&number, self.region),
            ];
            forms.iter().any(|form| form.chars().filter(char::is_ascii_digit).eq(digits.chars()))
        })
    }

    /// Whether an E.164 number is in a range that is in use, as libphonenumber knows the plans.
    pub(crate) fn is_in_use(e164: &str) -> bool {
        let number = PHONE_NUMBER_UTIL.parse(e164, None).ok();
        number.is_some_and(|number| PHONE_NUMBER_UTIL.is_valid_number(&number))
    }

    fn e164(&self, user: &str, phone_context: Option<&str>) -> Option<String> {
        if self.is_emergency_text(user) {
            return None;
        }
        let digits = compact(user)?;
        // RFC 3966 §5.1.5: a global context is the number's own beginning; a domain says nothing of the digits.
        let context = phone_context.filter(|context| context.starts_with('+') && !digits.starts_with('+'));
        let judged = match context {
            Some(context) => self.possible(&format!("{}{digits}", compact(context)?)),
            None => self.dialled(&digits),
        };
        // Some plans have very short numbers of rare kinds, which extensions, short codes and emergency numbers
        // would pass for: digits alone must be as long as the country's shortest subscriber number.
        match judged? {
            Judged::Number(text) => Some(text),
            Judged::Short(_) => None,
        }
    }

    /// The number that digits with or without `+` are; a short one only of premium rate, since extensions would pass for others.
    fn judged(&self, digits: &str) -> Option<Judged> {
        let is_code = self.is_emergency_text(digits);
        let read = (!is_code).then(|| self.dialled(digits)).flatten();
        read.filter(|read| match read {
            Judged::Number(_) => true,
            Judged::Short(text) => self.is_premium(text),
        })
    }

    /// Reads digits with or without `+`, with `00` for any international prefix.
    fn dialled(&self, digits: &str) -> Option<Judged> {
        let global = digits.strip_prefix("00").and_then(|international| self.possible(&format!("+{international}")));
        global.or_else(|| self.possible(digits))
    }

    /// E.164 of digits with or without `+`, where their length is possible.
    fn possible(&self, digits: &str) -> Option<Judged> {
        let number = PHONE_NUMBER_UTIL.parse(digits, Some(self.region)).ok()?;
        // Local only (a number without its area code) is not enough: no E.164 can be made of it.
        if PHONE_NUMBER_UTIL.is_possible_number_with_reason(&number) != Ok(NumberLengthType::IsPossible) {
            return None;
        }
        let is_short = !digits.starts_with('+') && shorter_than_subscribers(&number);
        let mut text = PHONE_NUMBER_UTIL.format(&number, PhoneNumberFormat::E164).into_owned();
        // It comes with room for a longer one, and a call keeps it.
        text.shrink_to_fit();
        let fits = text.len() <= MAX_E164_DIGITS + 1;
        fits.then_some(if is_short { Judged::Short(text) } else { Judged::Number(text) })
    }

    /// Returns the country of an E.164 number (ISO 3166 alpha-2), as the plans have it: of those that share a calling
    /// code, the one that has the range. A range that no country is known to have belongs to the first of them, since
    /// new ones appear daily; in North America to the country of its area code. `001`: no country's. `None` for a text
    /// that is no number.
    pub fn country_of(e164: &str) -> Option<String> {
        if let Some(place) = area_codes::place_of(e164) {
            return Some(place.country.to_owned());
        }
        let number = PHONE_NUMBER_UTIL.parse(e164, None).ok()?;
        let known = PHONE_NUMBER_UTIL.get_region_for_number(&number);
        let region = known.or_else(|| PHONE_NUMBER_UTIL.get_region_for_country_code(number.country_code))?;
        Some(region.as_region_str().as_str().to_owned())
    }

    /// Returns the state or province (two letters) of an E.164 number of the United States or Canada, by its area code;
    /// `None` for a code of several provinces or of no place, and for any other number.
    pub fn state_of(e164: &str) -> Option<&'static str> {
        area_codes::place_of(e164)?.state
    }

    /// Whether an E.164 number is in a range of premium rate, as libphonenumber knows the plans.
    pub fn is_premium(&self, e164: &str) -> bool {
        let number = Some(e164).filter(|text| text.starts_with('+'));
        let number = number.and_then(|text| PHONE_NUMBER_UTIL.parse(text, None).ok());
        number.is_some_and(|number| {
            let kind = PHONE_NUMBER_UTIL.get_number_type(&number);
            kind == PhoneNumberType::PremiumRate
                || kind == PhoneNumberType::Unknown && is_short_finnish_premium(&number)
        })
    }

    /// As dialled inside the country.
    fn national(&self, e164: &str) -> Option<String> {
        let number = PHONE_NUMBER_UTIL.parse(e164, None).ok()?;
        let text = PHONE_NUMBER_UTIL.format_out_of_country_calling_number(&number, self.region);
        compact(&text)
    }
}

/// What digits may be.
enum Judged {
    /// A number as long as those of subscribers, or with its country code.
    Number(String),
    /// A number shorter than any subscriber's, without its country code.
    Short(String),
}

fn shorter_than_subscribers(number: &PhoneNumber) -> bool {
    matches!(
        PHONE_NUMBER_UTIL.is_possible_number_for_type_with_reason(number, PhoneNumberType::FixedLine),
        Err(ValidationError::TooShort) | Ok(NumberLengthType::IsPossibleLocalOnly)
    )
}

/// Finland's `0600` and `0700` with four digits behind, which libphonenumber does not have.
fn is_short_finnish_premium(number: &PhoneNumber) -> bool {
    number.country_code == 358 && matches!(number.national_number / 10_000, 600 | 700)
}

/// Whether a character steers a terminal, breaks a line, turns its reading direction, or is not seen at all (Unicode TR 36
/// §2.5): it can have another number shown than the one that is dialled.
pub fn steers(c: char) -> bool {
    // `Default_Ignorable_Code_Point` (Unicode 16, DerivedCoreProperties.txt), and the ends of lines and paragraphs.
    let unseen = matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}');
    c.is_control() || unseen
}

/// Whether a user part can be searched for numbers, in little time, and shown as it is: at most 128 characters, at most four
/// runs of seven digits or more, and none that [steers].
pub fn is_readable(user: &str) -> bool {
    let (mut chars, mut run, mut long_runs) = (0, 0, 0);
    for c in user.chars() {
        chars += 1;
        run = match c {
            _ if c.is_numeric() => run + 1,
            _ if is_separator(c) => run,
            _ => 0,
        };
        if run == SHORTEST_BEHIND_PREFIX && c.is_numeric() {
            long_runs += 1;
        }
    }
    chars <= MAX_NAME_CHARS && long_runs <= MAX_LONG_RUNS && !user.contains(steers)
}

/// Returns digits and a leading `+` only; `None` where anything else but separators stands there, so that names and vanity
/// numbers never become digits.
pub fn compact(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_digit() || (c == '+' && out.is_empty()) {
            out.push(c);
        } else if !is_separator(c) {
            return None;
        }
    }
    out.contains(|c: char| c.is_ascii_digit()).then_some(out)
}

pub(crate) fn is_separator(c: char) -> bool {
    matches!(c, '-' | '.' | '(' | ')' | ' ')
}
