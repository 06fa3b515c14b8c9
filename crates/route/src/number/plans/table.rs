//! Bytes of the tables: automata over digits, countries, calling codes, and prefix programs.

use super::Lengths;
use super::prefix::PrefixProgram;

/// Automaton states: ten transitions and the marks of a number that ends here, 16 bits each. State 0 rejects.
static STATES: &[u8] = include_bytes!("states.bin");
/// Countries, in the order of their calling codes; the main country of a code comes first.
static COUNTRIES: &[u8] = include_bytes!("countries.bin");
/// Calling codes in ascending order: code, first country, number of countries, 16 bits each.
static CODES: &[u8] = include_bytes!("codes.bin");
/// Prefix programs and texts of rules.
static PROGRAMS: &[u8] = include_bytes!("programs.bin");

const STATE_BYTES: usize = 22;
const COUNTRY_BYTES: usize = 30;
const CODE_BYTES: usize = 6;
const DIGITS: usize = 10;

/// Marks of a national number in a country's plan, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NumberMarks(u16);

impl NumberMarks {
    /// Returns whether the number has the general form of the plan, whatever its length.
    pub(super) const fn is_general(self) -> bool {
        self.0 & 1 != 0
    }

    /// Returns whether the number is in a range in use.
    pub(super) const fn is_valid(self) -> bool {
        self.0 & 2 != 0
    }

    /// Returns whether the number is in a premium-rate range.
    pub(super) const fn is_premium(self) -> bool {
        self.0 & 4 != 0
    }

    /// Returns whether the first digits distinguish the country from others with its calling code.
    pub(super) const fn has_leading_digits(self) -> bool {
        self.0 & 8 != 0
    }
}

/// Position of a country in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct CountryId(u16);

/// Numbering plan of a country.
#[derive(Debug, Clone, Copy)]
pub(super) struct CountryPlan {
    pub(super) calling_code: u16,
    start: u16,
    pub(super) lengths: Lengths,
    pub(super) fixed_lengths: Lengths,
    pub(super) international: Option<PrefixProgram>,
    pub(super) national: Option<PrefixProgram>,
    /// Replacement for the national prefix (`9$1`); empty if the prefix is removed.
    pub(super) rule: &'static [u8],
}

impl CountryId {
    /// Returns the country of an ISO 3166 alpha-2 code.
    pub(in super::super) fn of_code(code: &str) -> Option<CountryId> {
        let found = COUNTRIES.chunks_exact(COUNTRY_BYTES).position(|record| record.starts_with(code.as_bytes()))?;
        u16::try_from(found).ok().filter(|_| code.len() == 2).map(CountryId)
    }

    /// Returns the ISO 3166 alpha-2 code; `001` for the plan of a non-geographic calling code.
    pub(in super::super) fn code(self) -> &'static str {
        let record = self.record().get(..2).and_then(|code| std::str::from_utf8(code).ok()).unwrap_or_default();
        if record == "00" { "001" } else { record }
    }

    fn record(self) -> &'static [u8] {
        let at = usize::from(self.0) * COUNTRY_BYTES;
        COUNTRIES.get(at..at + COUNTRY_BYTES).unwrap_or_default()
    }

    pub(super) fn plan(self) -> CountryPlan {
        let record = self.record();
        let program = |at: usize| match half(record, at) {
            0 => None,
            from => Some(PrefixProgram(PROGRAMS.get(usize::from(from)..).unwrap_or_default())),
        };
        let rule = usize::from(half(record, 26));
        let rule_bytes = usize::from(half(record, 28));
        CountryPlan {
            calling_code: half(record, 2),
            start: half(record, 4),
            lengths: Lengths { possible: word(record, 6), local: word(record, 10) },
            fixed_lengths: Lengths { possible: word(record, 14), local: word(record, 18) },
            international: program(22),
            national: program(24),
            rule: PROGRAMS.get(rule..rule + rule_bytes).unwrap_or_default(),
        }
    }
}

impl CountryPlan {
    /// Returns the marks of a national number, given as ASCII digits.
    pub(super) fn marks(&self, national: &[u8]) -> NumberMarks {
        let mut state = self.start;
        for digit in national {
            let at = usize::from(state) * STATE_BYTES + usize::from(digit.wrapping_sub(b'0')) * 2;
            state = half(STATES, at);
            if state == 0 {
                return NumberMarks(0);
            }
        }
        NumberMarks(half(STATES, usize::from(state) * STATE_BYTES + 2 * DIGITS))
    }
}

/// Returns the countries of a calling code, the main one first.
pub(super) fn countries_of(code: u16) -> impl ExactSizeIterator<Item = CountryId> {
    let (first, count) = find_code(code).unwrap_or((0, 0));
    (first..first + count).map(CountryId)
}

fn find_code(code: u16) -> Option<(u16, u16)> {
    let (mut low, mut high) = (0, CODES.len() / CODE_BYTES);
    while low < high {
        let middle = low.midpoint(high);
        let at = middle * CODE_BYTES;
        match half(CODES, at).cmp(&code) {
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
            std::cmp::Ordering::Equal => return Some((half(CODES, at + 2), half(CODES, at + 4))),
        }
    }
    None
}

fn half(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|two| two.try_into().ok()).map_or(0, u16::from_le_bytes)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_le_bytes)
}
