//! Limits on the parsing of called and calling numbers.

/// Maximum digits of a called number without `+`: three for an outside line, seven for a carrier access code, five
/// for an international prefix, fifteen for E.164. A longer number is answered with 484.
pub(crate) const MAX_DIALLED_DIGITS: usize = 30;
/// Maximum digits of a name with separators (`100-1`). A text with more digits is a number, and its separators are
/// insignificant.
pub(crate) const LONGEST_NAME_DIGITS: usize = 7;
/// Maximum length of a run of digits, including `+`, in which a number is searched for.
pub(crate) const LONGEST_READ: usize = 20;
/// Minimum digits of a number after dialling prefixes, including its country code.
pub const SHORTEST_BEHIND_PREFIX: usize = 7;
/// Maximum number of start positions examined in a run of digits.
pub const STARTS: usize = 48;
/// Maximum number of runs of digits examined in a received number, in addition to all its digits together.
pub(crate) const RUNS: usize = 64;
/// Maximum characters of a called party that is not a number (a name, or digits with letters). A longer one is
/// answered with 484.
pub(crate) const MAX_NAME_CHARS: usize = 128;
/// Maximum number of runs with at least [`SHORTEST_BEHIND_PREFIX`] digits in a called party, each of which is searched
/// for numbers behind prefixes. A called party with more is answered with 484.
pub(crate) const MAX_LONG_RUNS: usize = 4;
/// Maximum characters of a called party that is searched for an emergency number behind prefixes: two service codes,
/// an outside-line code, an international prefix, a country code, a carrier access code, and six digits.
pub(crate) const LONGEST_EMERGENCY_SPELLING: usize = 32;
