//! Numbering plans of all countries, as tables that `cargo xtask numbers` compiles from the metadata of libphonenumber.
//! They give the results of that library for digits, without regular expressions and without allocation: `parse` finds
//! country code and national number, `prefix` the prefixes before them, `table` reads the bytes.
//!
//! Tests compare each function with the library over its examples of all countries and over random digits.

mod parse;
mod prefix;
mod table;
#[cfg(test)]
mod tests;

pub(super) use parse::ParsedNumber;
pub(super) use table::CountryId;

use table::{CountryPlan, NumberMarks};

/// Possible length of a national number for its plan or for one type of number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LengthFit {
    Possible,
    /// Possible only when dialled within its area.
    Local,
    TooShort,
    TooLong,
    /// Between two possible lengths, or no number of this type exists.
    Impossible,
}

/// Possible lengths of national numbers, as a bit for each length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lengths {
    possible: u32,
    local: u32,
}

impl Lengths {
    fn judge(self, digits: usize) -> LengthFit {
        let bit = u32::try_from(digits).ok().and_then(|digits| 1_u32.checked_shl(digits)).unwrap_or(0);
        let shortest = usize::try_from(self.possible.trailing_zeros()).unwrap_or(usize::MAX);
        let longest = usize::try_from(self.possible.checked_ilog2().unwrap_or(0)).unwrap_or(usize::MAX);
        if self.possible == 0 {
            LengthFit::Impossible
        } else if self.local & bit != 0 {
            LengthFit::Local
        } else if self.possible & bit != 0 {
            LengthFit::Possible
        } else if digits < shortest {
            LengthFit::TooShort
        } else if digits > longest {
            LengthFit::TooLong
        } else {
            LengthFit::Impossible
        }
    }
}

impl ParsedNumber {
    /// Returns whether the length is possible for a number that is dialled from everywhere.
    pub(super) fn is_possible(&self) -> bool {
        self.main_plan().is_some_and(|plan| plan.lengths.judge(self.national().len()) == LengthFit::Possible)
    }

    /// Returns whether the number is shorter than a fixed-line number with its area code.
    pub(super) fn is_shorter_than_subscribers(&self) -> bool {
        let fit = self.main_plan().map(|plan| plan.fixed_lengths.judge(self.national().len()));
        matches!(fit, Some(LengthFit::TooShort | LengthFit::Local))
    }

    /// Returns whether the number is in a range in use.
    pub(super) fn is_valid(&self) -> bool {
        self.country().is_some_and(|country| self.marks(&country.plan()).is_valid())
    }

    /// Returns whether the number is in a premium-rate range; `None` if it is in no known range.
    pub(super) fn is_premium(&self) -> Option<bool> {
        let marks = self.marks(&self.country()?.plan());
        marks.is_valid().then(|| marks.is_premium())
    }

    /// Returns the country whose plan has the number. `None` if no country of its calling code has it, unless the code
    /// belongs to a single country.
    pub(super) fn country(&self) -> Option<CountryId> {
        let mut countries = table::countries_of(self.calling_code());
        if countries.len() == 1 {
            return countries.next();
        }
        countries.find(|country| {
            let marks = self.marks(&country.plan());
            marks.has_leading_digits() || marks.is_valid()
        })
    }

    /// Returns the country with which the calling code is mainly associated.
    pub(super) fn main_country(&self) -> Option<CountryId> {
        table::countries_of(self.calling_code()).next()
    }

    fn main_plan(&self) -> Option<CountryPlan> {
        self.main_country().map(CountryId::plan)
    }

    fn marks(&self, plan: &CountryPlan) -> NumberMarks {
        plan.marks(self.national())
    }
}
