//! Limits of what is read of a number.

/// Digits of a called party without `+`, above which nothing can be dialled: three of an outside line, seven of a carrier access
/// code, five of an international prefix, fifteen of E.164. Longer ones are answered 484.
pub(crate) const MAX_DIALLED_DIGITS: usize = 30;
/// Digits of which a name with separators may consist (`100-1`); more of them are a number, whose separators mean nothing.
pub(crate) const LONGEST_NAME_DIGITS: usize = 7;
/// Digits of a run in which a number is looked for, with `+`.
pub(crate) const LONGEST_READ: usize = 20;
/// Digits that a number has at least, country code included, where it is looked for behind prefixes.
pub const SHORTEST_BEHIND_PREFIX: usize = 7;
/// Beginnings of a number that are looked at in one run of digits.
pub const STARTS: usize = 48;
/// Runs of digits of a received number that are looked at one by one; all digits together are looked at besides.
pub(crate) const RUNS: usize = 64;
/// Characters of a called party that is no number (a name, or digits with letters). Longer ones are answered 484.
pub(crate) const MAX_NAME_CHARS: usize = 128;
/// Runs of at least [`SHORTEST_BEHIND_PREFIX`] digits in a called party, since each is searched for numbers behind prefixes. A
/// called party with more of them is answered 484.
pub(crate) const MAX_LONG_RUNS: usize = 4;
/// Characters of a called party in which an emergency number is looked for behind prefixes: two service codes, an outside-line
/// code, an international prefix, a country code, a carrier access code, and six digits.
pub(crate) const LONGEST_EMERGENCY_SPELLING: usize = 32;
