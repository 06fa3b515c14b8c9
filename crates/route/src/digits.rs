//! Numbers and their beginnings in eight bytes each, and a map of a million of them that costs sixteen bytes each.

use crate::pattern::Pattern;

/// Most digits of a number that is kept so; E.164 has 15 (ITU-T E.164 §6.1).
const MOST_DIGITS: usize = 17;
/// A `+` stands before the digits.
const PLUS: u64 = 1 << 63;
/// Not a whole number: what numbers begin with.
const BEGINNING: u64 = 1 << 62;

/// Digits with or without `+`, whole or a beginning: a 1, so that zeros in front count, and then the digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Digits(u64);

impl Digits {
    /// A whole number; `None` where it is no number or too long.
    pub(crate) fn whole(text: &str) -> Option<Digits> {
        let (plus, digits) = text.strip_prefix('+').map_or((0, text), |digits| (PLUS, digits));
        let fits = digits.len() <= MOST_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
        let value = |value: u64, byte: u8| value * 10 + u64::from(byte - b'0');
        fits.then(|| Digits(plus | digits.bytes().fold(1, value)))
    }

    /// What numbers begin with.
    pub(crate) fn beginning(text: &str) -> Option<Digits> {
        Digits::whole(text).map(|Digits(value)| Digits(value | BEGINNING))
    }

    /// As a pattern is written, where it is one of digits.
    pub(crate) fn of(pattern: &Pattern) -> Option<Digits> {
        match pattern {
            Pattern::Exact(text) => Digits::whole(text),
            Pattern::Prefix(text) => Digits::beginning(text),
            Pattern::Regex(_) => None,
        }
    }

    /// The pattern that it was made of.
    pub(crate) fn pattern(self) -> Pattern {
        let digits = (self.0 & !(PLUS | BEGINNING)).to_string();
        let plus = if self.0 & PLUS == 0 { "" } else { "+" };
        let text = format!("{plus}{}", digits.get(1..).unwrap_or_default());
        if self.0 & BEGINNING == 0 { Pattern::Exact(text) } else { Pattern::Prefix(text) }
    }

    /// Of a beginning, its length in bytes.
    pub(crate) fn beginning_len(self) -> Option<u32> {
        let digits = (self.0 & !(PLUS | BEGINNING)).checked_ilog10().unwrap_or(0);
        (self.0 & BEGINNING != 0).then(|| digits + u32::from(self.0 & PLUS != 0))
    }

    /// Whether a number is it, or begins with it.
    pub(crate) fn matches(self, number: &str) -> bool {
        match self.beginning_len() {
            None => Digits::whole(number) == Some(self),
            Some(len) => {
                let head = usize::try_from(len).ok().and_then(|len| number.get(..len));
                head.and_then(Digits::beginning) == Some(self)
            }
        }
    }

    /// As a number of 62 bits and two flags; never with bit 61.
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    /// What [`Digits::bits`] has given.
    pub(crate) fn from_bits(bits: u64) -> Digits {
        Digits(bits)
    }
}

/// Every beginning of a text that is one of digits and as long, in bytes, as a bit of `lengths` says.
pub(crate) fn beginnings(text: &str, lengths: u32) -> impl Iterator<Item = Digits> + '_ {
    let mut value = 1_u64;
    let mut plus = 0;
    let mut bytes = text.bytes();
    let mut length = 0_u32;
    let mut done = false;
    std::iter::from_fn(move || {
        while let Some(left @ 1..) = lengths.checked_shr(length).filter(|_| !done) {
            let here = (left & 1 == 1).then_some(Digits(value | plus | BEGINNING));
            match bytes.next() {
                Some(b'+') if length == 0 => plus = PLUS,
                Some(byte) if byte.is_ascii_digit() => {
                    value = value.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'))
                }
                Some(_) | None => done = true,
            }
            length += 1;
            if here.is_some() {
                return here;
            }
        }
        None
    })
}

/// What belongs to each of many numbers: a hash table that never changes, its buckets one behind the other.
#[derive(Debug, Clone)]
pub(crate) struct DigitMap {
    /// How far a hash is shifted to be the number of a bucket.
    shift: u32,
    /// Where each bucket begins, and where the last one ends.
    starts: Box<[u32]>,
    keys: Box<[u64]>,
    values: Box<[u32]>,
}

impl DigitMap {
    /// Of keys that are there once each.
    pub(crate) fn new(entries: &[(Digits, u32)]) -> DigitMap {
        let buckets = entries.len().next_power_of_two().max(2);
        let shift = 64 - buckets.ilog2();
        let mut map = DigitMap { shift, starts: Box::default(), keys: Box::default(), values: Box::default() };
        let mut starts = vec![0_u32; buckets + 1];
        for (key, _) in entries {
            if let Some(count) = starts.get_mut(map.bucket(*key) + 1) {
                *count += 1;
            }
        }
        let mut total = 0;
        for start in &mut starts {
            total += *start;
            *start = total;
        }
        // Each entry takes the next place of its bucket; the places are put back to the beginnings afterwards.
        let (mut keys, mut values) = (vec![0; entries.len()], vec![0; entries.len()]);
        for (key, value) in entries.iter().rev() {
            if let Some(end) = starts.get_mut(map.bucket(*key) + 1) {
                *end -= 1;
                let at = usize::try_from(*end).unwrap_or(usize::MAX);
                if let (Some(slot), Some(held)) = (keys.get_mut(at), values.get_mut(at)) {
                    (*slot, *held) = (key.0, *value);
                }
            }
        }
        starts.remove(0);
        starts.push(total);
        (map.starts, map.keys, map.values) = (starts.into(), keys.into(), values.into());
        map
    }

    /// What belongs to a number.
    pub(crate) fn get(&self, key: Digits) -> Option<u32> {
        let bucket = self.bucket(key);
        let place = |at: usize| self.starts.get(at).and_then(|at| usize::try_from(*at).ok());
        let (first, end) = (place(bucket)?, place(bucket + 1)?);
        let at = self.keys.get(first..end)?.iter().position(|known| *known == key.0)?;
        self.values.get(first + at).copied()
    }

    fn bucket(&self, key: Digits) -> usize {
        let mixed = (key.0 ^ (key.0 >> 29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        usize::try_from(mixed >> self.shift).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_what_was_written() {
        for text in ["+14155551234", "0", "00", "112", "+", "", "12345678901234567", "*", "+1415*", "0049*", "+*"] {
            let pattern = if text.is_empty() { Pattern::Exact(String::new()) } else { Pattern::parse(text).unwrap() };
            assert_eq!(Digits::of(&pattern).unwrap().pattern().to_string(), text);
        }
        for text in ["123456789012345678", "+1a", "service", "1+", "++1", "/1/"] {
            assert_eq!(Digits::of(&Pattern::parse(text).unwrap()), None, "{text}");
        }
    }

    #[test]
    fn they_match_what_their_pattern_matches() {
        let numbers = ["", "+", "1", "+1", "01", "+14", "+141", "14", "a", "1a", "99999999999999999999"];
        for text in ["+14", "+1*", "*", "1*", "1", "0*", "01", "+*", "99999999999999999*"] {
            let pattern = Pattern::parse(text).unwrap();
            for number in numbers {
                assert_eq!(Digits::of(&pattern).unwrap().matches(number), pattern.matches(number), "{text} {number}");
            }
        }
    }

    #[test]
    fn the_beginnings_of_a_number_are_those_that_are_asked_for() {
        let all = |text, lengths| beginnings(text, lengths).map(|d| d.pattern().to_string()).collect::<Vec<_>>();
        assert_eq!(all("+141", u32::MAX), ["*", "+*", "+1*", "+14*", "+141*"]);
        assert_eq!(all("+141", 0b10110), ["+*", "+1*", "+141*"]);
        assert_eq!(all("112", 0b1001), ["*", "112*"]);
        assert_eq!(all("1x2", 0b1111), ["*", "1*"]);
        assert_eq!(all("", 0b11), ["*"]);
        assert_eq!(all("12", 0), [""; 0]);
    }

    #[test]
    fn every_number_of_a_map_is_found_and_no_other() {
        let key = |number: u32| Digits::whole(&format!("+1415{number}")).unwrap();
        for count in [0, 1, 2, 3, 1_000, 5_000] {
            let entries: Vec<_> = (0..count).map(|number| (key(number * 7), number)).collect();
            let map = DigitMap::new(&entries);
            for (key, value) in entries {
                assert_eq!(map.get(key), Some(value), "of {count}");
            }
            assert_eq!(map.get(key(3)), None);
            assert_eq!(map.get(Digits::beginning("+14150").unwrap()), None);
        }
    }
}
