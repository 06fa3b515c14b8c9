//! The sizes of a Vorbis stream's codebooks (Vorbis I §3.2.1), looked at before its decoder makes tables of them: in a few
//! kilobytes a file can ask for gigabytes.

use crate::limits::VORBIS_CODEBOOK_VALUES;

/// The identification header, which the setup header follows.
const IDENTIFICATION_BYTES: usize = 30;
/// Kind and name of a header.
const NAME_BYTES: usize = 7;
/// What begins each codebook.
const SYNC: u32 = 0x56_4342;
/// Values that the tree of one entry is worth.
const ENTRY_VALUES: u64 = 8;

const CUT_OFF: &str = "its codebooks are truncated";

/// Whether the codebooks behind these headers are of a size that a file really has.
pub(super) fn check(headers: &[u8]) -> Result<(), String> {
    let setup = headers.get(IDENTIFICATION_BYTES + NAME_BYTES..).ok_or(CUT_OFF)?;
    let mut bits = Bits { bytes: setup, at: 0 };
    let mut values = 0_u64;
    for _ in 0..=bits.take(8).ok_or(CUT_OFF)? {
        values = values.saturating_add(codebook(&mut bits)?);
        if values > VORBIS_CODEBOOK_VALUES {
            return Err("its codebooks are larger than any encoder makes them".to_owned());
        }
    }
    Ok(())
}

/// What one codebook asks for.
fn codebook(bits: &mut Bits<'_>) -> Result<u64, String> {
    if bits.take(24).ok_or(CUT_OFF)? != SYNC {
        return Err("a codebook is missing".to_owned());
    }
    let (dimensions, entries) = (bits.take(16).ok_or(CUT_OFF)?, bits.take(24).ok_or(CUT_OFF)?);
    lengths(bits, entries).ok_or(CUT_OFF)?;
    let kind = bits.take(4).ok_or(CUT_OFF)?;
    let (entries, dimensions) = (u64::from(entries), u64::from(dimensions));
    let mut values = entries * ENTRY_VALUES;
    if kind > 0 {
        bits.skip(64).ok_or(CUT_OFF)?;
        let width = u64::from(bits.take(4).ok_or(CUT_OFF)?) + 1;
        bits.skip(1).ok_or(CUT_OFF)?;
        values += entries * dimensions;
        let written = if kind == 1 { root(entries, dimensions) } else { entries * dimensions };
        bits.skip(written * width).ok_or(CUT_OFF)?;
    }
    Ok(values)
}

/// Passes over the lengths of the code words.
fn lengths(bits: &mut Bits<'_>, entries: u32) -> Option<()> {
    if bits.take(1)? == 0 {
        if bits.take(1)? == 0 {
            return bits.skip(5 * u64::from(entries));
        }
        for _ in 0..entries {
            if bits.take(1)? == 1 {
                bits.skip(5)?;
            }
        }
        return Some(());
    }
    bits.skip(5)?;
    let mut left = entries;
    while left > 0 {
        left = left.checked_sub(bits.take(u32::BITS - left.leading_zeros())?)?;
    }
    Some(())
}

/// The largest number whose power is not larger than `entries`.
fn root(entries: u64, dimensions: u64) -> u64 {
    let exponent = u32::try_from(dimensions).unwrap_or(u32::MAX);
    let fits = |number: u64| number.checked_pow(exponent).is_some_and(|power| power <= entries);
    let (mut low, mut high) = (0, entries.saturating_add(1));
    while low + 1 < high {
        let middle = low.midpoint(high);
        if fits(middle) { low = middle } else { high = middle }
    }
    low
}

/// Bits, the lowest of each byte first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: u64,
}

impl Bits<'_> {
    /// Up to 32 bits.
    fn take(&mut self, count: u32) -> Option<u32> {
        let mut number = 0;
        for place in 0..count {
            let byte = self.bytes.get(usize::try_from(self.at / 8).ok()?)?;
            number |= u32::from(byte >> (self.at % 8) & 1) << place;
            self.at += 1;
        }
        Some(number)
    }

    fn skip(&mut self, count: u64) -> Option<()> {
        self.at = self.at.checked_add(count)?;
        (self.at <= self.bytes.len() as u64 * 8).then_some(())
    }
}
