//! Numbers and prefixes packed into eight bytes, and a map for millions of them with about sixteen bytes per entry.

use crate::pattern::Pattern;

/// Maximum number of digits that a packed number can have; E.164 has 15 (ITU-T E.164 §6.1).
const MOST_DIGITS: usize = 17;
/// Flag of a number with a leading `+`.
const PLUS: u64 = 1 << 63;
/// Flag of a prefix; it is clear for a whole number.
const BEGINNING: u64 = 1 << 62;

/// Packed number or prefix, with or without `+`: the digit 1, which preserves leading zeros, followed by the digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PackedDigits(u64);

impl PackedDigits {
    /// Packs a whole number; returns `None` if it contains other characters or is too long.
    pub(crate) fn whole(text: &str) -> Option<PackedDigits> {
        let (plus, digits) = text.strip_prefix('+').map_or((0, text), |digits| (PLUS, digits));
        let fits = digits.len() <= MOST_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
        let value = |value: u64, byte: u8| value * 10 + u64::from(byte - b'0');
        fits.then(|| PackedDigits(plus | digits.bytes().fold(1, value)))
    }

    /// Packs the digits of a prefix; returns `None` as for [`PackedDigits::whole`].
    pub(crate) fn beginning(text: &str) -> Option<PackedDigits> {
        PackedDigits::whole(text).map(|PackedDigits(value)| PackedDigits(value | BEGINNING))
    }

    /// Packs a pattern; returns `None` if it does not consist of digits.
    pub(crate) fn from_pattern(pattern: &Pattern) -> Option<PackedDigits> {
        match pattern {
            Pattern::Exact(text) => PackedDigits::whole(text),
            Pattern::Prefix(text) => PackedDigits::beginning(text),
            Pattern::Regex(_) => None,
        }
    }

    /// Returns the exact number or prefix that was packed.
    pub(crate) fn pattern(self) -> Pattern {
        let digits = (self.0 & !(PLUS | BEGINNING)).to_string();
        let plus = if self.0 & PLUS == 0 { "" } else { "+" };
        let text = format!("{plus}{}", digits.get(1..).unwrap_or_default());
        if self.0 & BEGINNING == 0 { Pattern::Exact(text) } else { Pattern::Prefix(text) }
    }

    /// Returns the length of a prefix in bytes, or `None` for a whole number.
    pub(crate) fn beginning_len(self) -> Option<u32> {
        let digits = (self.0 & !(PLUS | BEGINNING)).checked_ilog10().unwrap_or(0);
        (self.0 & BEGINNING != 0).then(|| digits + u32::from(self.0 & PLUS != 0))
    }

    /// Returns whether a number equals this number or begins with this prefix.
    pub(crate) fn matches(self, number: &str) -> bool {
        match self.beginning_len() {
            None => PackedDigits::whole(number) == Some(self),
            Some(len) => {
                let head = usize::try_from(len).ok().and_then(|len| number.get(..len));
                head.and_then(PackedDigits::beginning) == Some(self)
            }
        }
    }

    /// Returns the packed form as an integer, in which bit 61 is always clear.
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    /// Restores a value from [`PackedDigits::bits`].
    pub(crate) fn from_bits(bits: u64) -> PackedDigits {
        PackedDigits(bits)
    }
}

/// Iterates over the numeric prefixes of a text with the lengths, in bytes, selected by the bits of `lengths`.
pub(crate) fn beginnings(text: &str, lengths: u32) -> impl Iterator<Item = PackedDigits> + '_ {
    let mut value = 1_u64;
    let mut plus = 0;
    let mut bytes = text.bytes();
    let mut length = 0_u32;
    let mut done = false;
    std::iter::from_fn(move || {
        while let Some(left @ 1..) = lengths.checked_shr(length).filter(|_| !done) {
            let here = (left & 1 == 1).then_some(PackedDigits(value | plus | BEGINNING));
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

/// Immutable hash map from packed numbers to values, with all entries of a bucket adjacent in memory.
#[derive(Debug, Clone)]
pub(crate) struct DigitMap {
    /// Right shift that reduces a hash to the number of its bucket.
    shift: u32,
    /// Index of the first entry of each bucket, and the end of the last bucket.
    starts: Box<[u32]>,
    keys: Box<[u64]>,
    values: Box<[u32]>,
}

impl DigitMap {
    /// Creates a map from entries with distinct keys.
    pub(crate) fn new(entries: &[(PackedDigits, u32)]) -> DigitMap {
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
        // Each entry takes the next slot of its bucket, counted down from the end of the bucket to its start.
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

    /// Returns the value stored for a packed number or prefix.
    pub(crate) fn get(&self, key: PackedDigits) -> Option<u32> {
        let bucket = self.bucket(key);
        let place = |at: usize| self.starts.get(at).and_then(|at| usize::try_from(*at).ok());
        let (first, end) = (place(bucket)?, place(bucket + 1)?);
        let at = self.keys.get(first..end)?.iter().position(|known| *known == key.0)?;
        self.values.get(first + at).copied()
    }

    fn bucket(&self, key: PackedDigits) -> usize {
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
            assert_eq!(PackedDigits::from_pattern(&pattern).unwrap().pattern().to_string(), text);
        }
        for text in ["123456789012345678", "+1a", "service", "1+", "++1", "/1/"] {
            assert_eq!(PackedDigits::from_pattern(&Pattern::parse(text).unwrap()), None, "{text}");
        }
    }

    #[test]
    fn they_match_what_their_pattern_matches() {
        let numbers = ["", "+", "1", "+1", "01", "+14", "+141", "14", "a", "1a", "99999999999999999999"];
        for text in ["+14", "+1*", "*", "1*", "1", "0*", "01", "+*", "99999999999999999*"] {
            let pattern = Pattern::parse(text).unwrap();
            for number in numbers {
                assert_eq!(
                    PackedDigits::from_pattern(&pattern).unwrap().matches(number),
                    pattern.matches(number),
                    "{text} {number}"
                );
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
        let key = |number: u32| PackedDigits::whole(&format!("+1415{number}")).unwrap();
        for count in [0, 1, 2, 3, 1_000, 5_000] {
            let entries: Vec<_> = (0..count).map(|number| (key(number * 7), number)).collect();
            let map = DigitMap::new(&entries);
            for (key, value) in entries {
                assert_eq!(map.get(key), Some(value), "of {count}");
            }
            assert_eq!(map.get(key(3)), None);
            assert_eq!(map.get(PackedDigits::beginning("+14150").unwrap()), None);
        }
    }
}
