//! Normalisation of numbers: a possible number becomes E.164, any other text stays as received.
//!
//! A number is possible if its length fits the country's numbering plan, whether or not its range is in use. The plans
//! come from libphonenumber, as tables (`plans`). The library itself formats numbers for people and for trunks with the
//! national format; it is given only digits and `+`.
//!
//! This module interprets numbers: all readings of a text as a number (`readings`), emergency numbers by country
//! (`emergency`) and their spellings (`emergency_spellings`), states of North American area codes (`area_codes`), and
//! validity (`lookup`). `pattern` holds patterns over digits, `caller_id` the caller ID policy of a trunk.

mod area_codes;
pub mod emergency;
mod emergency_spellings;
mod lookup;
mod plans;
mod readings;

use std::sync::Arc;

use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat, Region};

pub use lookup::{InvalidNumber, ValidNumber};

use plans::{CountryId, ParsedNumber};

use crate::limits::{
    LONGEST_NAME_DIGITS, LONGEST_READ, MAX_DIALLED_DIGITS, MAX_LONG_RUNS, MAX_NAME_CHARS, SHORTEST_BEHIND_PREFIX,
};

/// Maximum length of an E.164 number, country code included (ITU-T E.164 §6.1).
const MAX_E164_DIGITS: usize = 15;

/// Called or calling number after normalisation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Number {
    /// Number in E.164 (`+14155551234`), or the text as received if it is not a possible number.
    pub text: String,
    /// Whether `text` is E.164.
    pub is_e164: bool,
    /// Text as received, without escapes; equal to `text` if only a `phone-context` makes it that number.
    pub received: String,
}

impl Number {
    /// Returns the number of a caller without one, or with a withheld one: an empty text.
    pub fn unknown() -> Number {
        Number { text: String::new(), is_e164: false, received: String::new() }
    }
}

/// Format of numbers sent to a trunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SendNumbers {
    /// E.164: `+14155551234`.
    #[default]
    E164,
    /// E.164 without `+`: `14155551234`.
    PlusLess,
    /// National format, dialled inside the edge's country.
    National,
    /// The text as received, unchanged.
    AsIs,
}

/// Error for a called party that cannot be dialled, answered with 484.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressIncomplete;

/// Numbering plan and emergency numbers of the edge's country.
#[derive(Debug, Clone)]
pub struct NumberingPlan {
    country: String,
    region: Region,
    home: Option<CountryId>,
    emergency: Arc<[String]>,
}

/// Returns the numbering plan of the United States.
impl Default for NumberingPlan {
    fn default() -> NumberingPlan {
        let home = CountryId::of_code("US");
        NumberingPlan { country: "US".into(), region: Region::US, home, emergency: emergency::of_country("US") }
    }
}

impl NumberingPlan {
    /// Creates the numbering plan for an edge in `country` (ISO 3166 alpha-2), to which numbers without a country
    /// code belong. Returns `None` for an unknown country.
    pub fn new(country: &str) -> Option<NumberingPlan> {
        let country = country.to_ascii_uppercase();
        // "001" is not a country, but libphonenumber's region for non-geographic numbers.
        if country.len() != 2 {
            return None;
        }
        let region = Region::from_code(&country).ok()?;
        let home = Some(CountryId::of_code(&country)?);
        let emergency = emergency::of_country(&country);
        Some(NumberingPlan { country, region, home, emergency })
    }

    /// Loads libphonenumber, which only the national format needs: about 60 million instructions and 6 MB. All
    /// instances share the data.
    pub fn warm_up(&self) {
        if let Ok(example) = PHONE_NUMBER_UTIL.get_example_number(self.region) {
            let _ = PHONE_NUMBER_UTIL.format_out_of_country_calling_number(&example, self.region);
        }
    }

    /// Replaces the emergency numbers of the country by these.
    pub fn with_emergency(self, numbers: Vec<String>) -> NumberingPlan {
        NumberingPlan { emergency: numbers.into(), ..self }
    }

    /// Returns the emergency numbers that the edge recognises.
    pub fn emergency(&self) -> &[String] {
        &self.emergency
    }

    /// Returns whether a number, as received, is exactly an emergency number.
    pub fn is_emergency(&self, number: &Number) -> bool {
        !number.is_e164 && self.is_emergency_text(&number.received)
    }

    /// Returns whether a number is an emergency number after removal of separators, parameters (RFC 3966 §3) and text
    /// after the end of dialling.
    pub fn is_written_as_emergency(&self, number: &Number) -> bool {
        self.is_emergency(number) || self.is_emergency_text(&readings::dialled_digits(&number.received))
    }

    /// Returns whether a remote party may dial an emergency number when it receives this number, also after `+`, the
    /// country code, an outside-line code and other prefixes. A number in use is dialled as such. PBX extensions that
    /// look like a prefix and an emergency number (`9911`, `1911`) are unknown here and count. The result includes
    /// more numbers than [`NumberingPlan::is_emergency`], which grants an exemption; use it only to limit calls started
    /// by API requests.
    pub fn may_reach_emergency(&self, number: &Number) -> bool {
        self.is_written_as_emergency(number)
            || emergency_spellings::reach_emergency(self, &number.received)
            || (number.text != number.received && emergency_spellings::reach_emergency(self, &number.text))
    }

    /// Returns whether an unescaped user part is exactly an emergency number, digit by digit.
    pub fn is_emergency_text(&self, user: &str) -> bool {
        self.emergency.iter().any(|known| known == user)
    }

    /// Returns the country of the edge (ISO 3166 alpha-2), in upper case.
    pub fn country(&self) -> &str {
        &self.country
    }

    /// Normalises the unescaped user part of a called party, with its `phone-context`.
    ///
    /// # Errors
    /// Fails with [`AddressIncomplete`] if the text is empty, contains control or invisible characters, has `+` with
    /// anything but digits and separators, exceeds the digits of an E.164 number (with `+`) or of any dialled number
    /// (without), or is a name that is not [readable](is_readable).
    pub fn normalise(&self, user: &str, phone_context: Option<&str>) -> Result<Number, AddressIncomplete> {
        if user.trim().is_empty() || user.contains(is_control_char) {
            return Err(AddressIncomplete);
        }
        let is_global = user.trim_start_matches(|c: char| is_separator(c) || c.is_whitespace()).starts_with('+');
        match compact(user) {
            Some(digits) if is_global && digits.len() > MAX_E164_DIGITS + 1 => return Err(AddressIncomplete),
            Some(digits) if digits.len() > MAX_DIALLED_DIGITS => return Err(AddressIncomplete),
            None if is_global || !is_readable(user) => return Err(AddressIncomplete),
            Some(_) | None => {}
        }
        Ok(self.normalise_caller(user, phone_context))
    }

    /// Normalises a calling number, which is never rejected for its form.
    pub fn normalise_caller(&self, user: &str, phone_context: Option<&str>) -> Number {
        let digits = compact(user);
        // Separators are insignificant (RFC 3966 §5.1.1) and are removed from global numbers.
        let received = match &digits {
            Some(digits) if digits.starts_with('+') => digits.clone(),
            Some(_) | None => user.to_owned(),
        };
        match self.e164(user, phone_context) {
            // A text that is this number only with its context is forwarded as the number, because the context is not
            // forwarded.
            Some(text) if phone_context.is_some() && self.e164(user, None).as_ref() != Some(&text) => {
                Number { received: text.clone(), text, is_e164: true }
            }
            Some(text) => Number { text, is_e164: true, received },
            None => {
                // Short names of digits and separators keep the separators: `100-1` is not `1001`.
                let text =
                    digits.filter(|digits| digits.len() > LONGEST_NAME_DIGITS).unwrap_or_else(|| received.clone());
                Number { text, is_e164: false, received }
            }
        }
    }

    /// Formats a number as a trunk expects it; a text that is not E.164 stays as received.
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

    /// Returns a number without separators, followed by the numbers that a remote party may understand instead.
    pub fn spoken_forms(&self, number: &Number, form: SendNumbers) -> Vec<String> {
        let text = compact(&number.text).unwrap_or_else(|| number.text.clone());
        std::iter::once(text).chain(self.readings(number, form)).collect()
    }

    /// Returns the numbers of [`NumberingPlan::spoken_forms`] and the number as written, to count calls under any of
    /// them.
    pub fn spellings(&self, number: &Number, form: SendNumbers) -> Vec<String> {
        let mut all = self.spoken_forms(number, form);
        if !all.contains(&number.text) {
            all.push(number.text.clone());
        }
        all
    }

    /// Returns the E.164 numbers that a remote party may understand when it is sent a number ([`readings`]).
    fn readings(&self, number: &Number, form: SendNumbers) -> Vec<String> {
        if !number.is_e164 {
            return readings::read_numbers(self, &number.received, true);
        }
        let is_in_use = NumberingPlan::is_in_use(&number.text);
        match form {
            // A number in use is dialled as such, so it is not searched for prefixes.
            SendNumbers::AsIs => readings::read_numbers(self, &number.received, !is_in_use),
            SendNumbers::E164 | SendNumbers::PlusLess | SendNumbers::National if is_in_use => Vec::new(),
            // A number not in use may be a premium-rate number followed by digits.
            SendNumbers::E164 | SendNumbers::PlusLess | SendNumbers::National => {
                let digits = compact(&number.received).unwrap_or_default();
                self.longest(&digits, 0).filter(|read| *read != number.text && self.is_premium(read)).collect()
            }
        }
    }

    /// Returns the E.164 numbers of at least `least` digits with which `digits` begins: the longest possible one; if
    /// digits are left over, the longest premium-rate one; and the longest short premium-rate number.
    pub(crate) fn longest(&self, digits: &str, least: usize) -> impl Iterator<Item = String> {
        let mut lengths = (least.max(1)..=digits.len().min(LONGEST_READ)).rev();
        let mut read = |short: &mut Option<String>| {
            lengths.find_map(|len| match self.classify_digits(digits.get(..len)?)? {
                ClassifiedNumber::Number(text) => Some((len, text)),
                ClassifiedNumber::Short(text) => {
                    short.get_or_insert(text);
                    None
                }
            })
        };
        let mut short = None;
        let whole = read(&mut short);
        let is_all = |(len, text): &(usize, String)| *len == digits.len() && NumberingPlan::is_in_use(text);
        let may_have_surplus = whole.as_ref().is_some_and(|whole| !is_all(whole) && !self.is_premium(&whole.1));
        let mut premium = None;
        while may_have_surplus && premium.is_none() {
            let Some((_, text)) = read(&mut short) else { break };
            premium = Some(text).filter(|text| self.is_premium(text));
        }
        whole.map(|(_, text)| text).into_iter().chain(premium).chain(short)
    }

    /// Returns the E.164 number that all digits form together, or `None`. Short premium-rate numbers are included.
    pub(crate) fn whole(&self, digits: &str) -> Option<String> {
        let fits = digits.len() <= MAX_DIALLED_DIGITS + 1;
        fits.then(|| self.classify_digits(digits))
            .flatten()
            .map(|(ClassifiedNumber::Number(text) | ClassifiedNumber::Short(text))| text)
    }

    /// Returns whether digits are a number in use, written as dialled inside the country.
    pub(crate) fn is_dialled_at_home(&self, digits: &str) -> bool {
        if !ParsedNumber::parse(digits, self.home).is_some_and(|number| number.is_valid()) {
            return false;
        }
        let number = PHONE_NUMBER_UTIL.parse(digits, Some(self.region)).ok();
        number.is_some_and(|number| {
            let forms = [
                PHONE_NUMBER_UTIL.format(&number, PhoneNumberFormat::National),
                PHONE_NUMBER_UTIL.format_out_of_country_calling_number(&number, self.region),
            ];
            forms.iter().any(|form| form.chars().filter(char::is_ascii_digit).eq(digits.chars()))
        })
    }

    /// Returns whether an E.164 number is in a range in use, according to libphonenumber.
    pub(crate) fn is_in_use(e164: &str) -> bool {
        ParsedNumber::parse(e164, None).is_some_and(|number| number.is_valid())
    }

    fn e164(&self, user: &str, phone_context: Option<&str>) -> Option<String> {
        if self.is_emergency_text(user) {
            return None;
        }
        let digits = compact(user)?;
        // RFC 3966 §5.1.5: a global context is the prefix of the number; a domain does not affect the digits.
        let context = phone_context.filter(|context| context.starts_with('+') && !digits.starts_with('+'));
        let judged = match context {
            Some(context) => self.possible(&format!("{}{digits}", compact(context)?)),
            None => self.dialled(&digits),
        };
        // Some plans have very short numbers of rare types, which would match extensions, short codes and emergency
        // numbers. Without `+`, digits must therefore have the length of the country's shortest subscriber number.
        match judged? {
            ClassifiedNumber::Number(text) => Some(text),
            ClassifiedNumber::Short(_) => None,
        }
    }

    /// Returns the number that digits represent. A short number counts only if it is premium rate, because others
    /// would match extensions.
    fn classify_digits(&self, digits: &str) -> Option<ClassifiedNumber> {
        let is_code = self.is_emergency_text(digits);
        let read = (!is_code).then(|| self.dialled(digits)).flatten();
        read.filter(|read| match read {
            ClassifiedNumber::Number(_) => true,
            ClassifiedNumber::Short(text) => self.is_premium(text),
        })
    }

    /// Parses digits with or without `+`; a leading `00` stands for any international prefix.
    fn dialled(&self, digits: &str) -> Option<ClassifiedNumber> {
        let global = digits.strip_prefix("00").and_then(|international| self.possible(&format!("+{international}")));
        global.or_else(|| self.possible(digits))
    }

    /// Returns the E.164 number of digits with or without `+`, if their length is possible.
    fn possible(&self, digits: &str) -> Option<ClassifiedNumber> {
        // A local number without area code cannot be converted to E.164.
        let number = ParsedNumber::parse(digits, self.home).filter(ParsedNumber::is_possible)?;
        let is_short = !digits.starts_with('+') && number.is_shorter_than_subscribers();
        let text = number.to_e164();
        let fits = text.len() <= MAX_E164_DIGITS + 1;
        fits.then_some(if is_short { ClassifiedNumber::Short(text) } else { ClassifiedNumber::Number(text) })
    }

    /// Returns the country of an E.164 number (ISO 3166 alpha-2) according to the numbering plans: among countries
    /// that share a calling code, the one that owns the range. An unknown range counts as the first of these
    /// countries, since new ranges appear daily; in North America as the country of the area code. `001` means a
    /// non-geographic number; `None` means that the text is not a number.
    pub fn country_of(e164: &str) -> Option<String> {
        if let Some(place) = area_codes::place_of(e164) {
            return Some(place.country.to_owned());
        }
        let number = ParsedNumber::parse(e164, None)?;
        let country = number.country().or_else(|| number.main_country())?;
        Some(country.code().to_owned())
    }

    /// Returns the state or province (two letters) of an E.164 number of the United States or Canada, from its area
    /// code. Returns `None` for a shared or non-geographic code and for any other number.
    pub fn state_of(e164: &str) -> Option<&'static str> {
        area_codes::place_of(e164)?.state
    }

    /// Returns whether an E.164 number is in a premium-rate range, according to libphonenumber.
    pub fn is_premium(&self, e164: &str) -> bool {
        let number = ParsedNumber::parse(e164, None);
        number.is_some_and(|number| number.is_premium().unwrap_or_else(|| is_short_finnish_premium(&number)))
    }

    /// Formats an E.164 number as dialled inside the country; `None` if it is not a number.
    fn national(&self, e164: &str) -> Option<String> {
        let number = PHONE_NUMBER_UTIL.parse(e164, None).ok()?;
        let text = PHONE_NUMBER_UTIL.format_out_of_country_calling_number(&number, self.region);
        compact(&text)
    }
}

/// Number that digits represent, in E.164.
enum ClassifiedNumber {
    /// Number of a subscriber's length, or with country code.
    Number(String),
    /// Number shorter than any subscriber number, without country code.
    Short(String),
}

/// Returns whether a number is Finnish `0600` or `0700` with four more digits, which libphonenumber does not know.
fn is_short_finnish_premium(number: &ParsedNumber) -> bool {
    [b"600", b"700"].iter().any(|begin| number.is_in(358, *begin, 7))
}

/// Returns whether a character controls a terminal, breaks a line, changes the writing direction, or is invisible
/// (Unicode TR 36 §2.5). With it, the displayed number could differ from the dialled one.
pub fn is_control_char(c: char) -> bool {
    // `Default_Ignorable_Code_Point` (Unicode 16, DerivedCoreProperties.txt), line and paragraph separators.
    let unseen = matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}');
    c.is_control() || unseen
}

/// Returns whether a user part can be searched for numbers at low cost and displayed safely: at most 128 characters,
/// at most four runs of seven or more digits, and no control or invisible characters.
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
    chars <= MAX_NAME_CHARS && long_runs <= MAX_LONG_RUNS && !user.contains(is_control_char)
}

/// Returns the digits of a text and its leading `+`. Returns `None` if it contains other characters than separators,
/// so that names and vanity numbers never become digits.
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
