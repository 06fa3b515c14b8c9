//! Complete check of a Vorbis setup header (Vorbis I §4.2.4) before its decoder sees it: a file can request gigabytes
//! in a few kilobytes, and the decoder may panic at undefined values.

use trunkgate_system::limits::VORBIS_CODEBOOK_VALUES;

/// Sync pattern at the beginning of each codebook.
const SYNC: u32 = 0x56_4342;
/// Maximum dimensions of a codebook; encoders use at most 16.
const DIMENSIONS: u32 = 32;
/// Maximum number of code word bits in one table of the decoder; each further bit doubles a table.
const TABLE_BITS: usize = 8;
/// Number of values that one table entry occupies in the decoder.
const ENTRY_VALUES: u64 = 3;
/// Maximum length of a code word, in bits.
const CODE_BITS: usize = 32;
/// Maximum number of amplitudes of a floor (Vorbis I §7.2.3).
const FLOOR_ENTRIES: u32 = 256;
/// Maximum points of a floor (Vorbis I §7.2.2).
const FLOOR_POINTS: usize = 65;

const CUT_OFF: &str = "its setup header is truncated";
const UNDEFINED: &str = "its setup header uses undefined values";

/// Checks a setup header, without its packet type and name, of a stream with this many channels.
pub(super) fn check(setup: &[u8], channels: u8) -> Result<(), String> {
    let mut bits = SetupBits { bytes: setup, at: 0 };
    let mut books = Vec::new();
    let mut values = 0_u64;
    for _ in 0..=bits.read_bits(8)? {
        let (book, size) = VorbisCodebook::read(&mut bits)?;
        values = values.saturating_add(size);
        if values > VORBIS_CODEBOOK_VALUES {
            return Err("its codebooks are larger than any encoder makes them".to_owned());
        }
        books.push(book);
    }
    // Placeholders for time domain transforms (Vorbis I §4.2.4).
    for _ in 0..=bits.read_bits(6)? {
        bits.expect_zero(16)?;
    }
    let floors = bits.read_bits(6)? + 1;
    for _ in 0..floors {
        floor(&mut bits, &books)?;
    }
    let residues = bits.read_bits(6)? + 1;
    for _ in 0..residues {
        residue(&mut bits, &books)?;
    }
    let mappings = bits.read_bits(6)? + 1;
    for _ in 0..mappings {
        mapping(&mut bits, u32::from(channels), floors, residues)?;
    }
    for _ in 0..=bits.read_bits(6)? {
        // A mode's block size, window and transform.
        bits.skip(1)?;
        bits.expect_zero(32)?;
        bits.read_below(8, mappings)?;
    }
    if bits.read_bits(1)? == 1 { Ok(()) } else { Err(UNDEFINED.to_owned()) }
}

/// Codebook (Vorbis I §3.2.1).
#[derive(Debug, Clone, Copy)]
struct VorbisCodebook {
    entries: u32,
    /// Whether the entries are vectors.
    has_vectors: bool,
}

impl VorbisCodebook {
    /// Parses a codebook; returns it with the number of values that its decoder keeps.
    fn read(bits: &mut SetupBits<'_>) -> Result<(VorbisCodebook, u64), String> {
        if bits.read_bits(24)? != SYNC {
            return Err("a codebook is missing".to_owned());
        }
        let (dimensions, entries) = (bits.read_bits(16)?, bits.read_bits(24)?);
        if !(1..=DIMENSIONS).contains(&dimensions) {
            return Err(format!("a codebook of {dimensions} dimensions, not 1 to {DIMENSIONS}"));
        }
        let mut values = CodeLengths::read(bits, entries)?.values()?;
        let kind = bits.read_bits(4)?;
        if kind > 0 {
            let all = u64::from(entries) * u64::from(dimensions);
            bits.skip(64)?;
            let width = u64::from(bits.read_bits(4)?) + 1;
            bits.skip(1)?;
            values = values.saturating_add(all);
            let written = match kind {
                1 => root(entries, dimensions).ok_or("a codebook has a number of entries that cannot be decoded")?,
                2 => all,
                _ => return Err("a codebook is of a kind that Vorbis I does not have".to_owned()),
            };
            bits.skip(written * width)?;
        }
        Ok((VorbisCodebook { entries, has_vectors: kind > 0 }, values))
    }
}

/// Number of code words of each length.
struct CodeLengths([u64; CODE_BITS + 1]);

impl CodeLengths {
    fn read(bits: &mut SetupBits<'_>, entries: u32) -> Result<CodeLengths, String> {
        let mut lengths = CodeLengths([0; CODE_BITS + 1]);
        if bits.read_bits(1)? == 0 {
            let is_sparse = bits.read_bits(1)? == 1;
            for _ in 0..entries {
                if !is_sparse || bits.read_bits(1)? == 1 {
                    let length = bits.read_bits(5)? + 1;
                    lengths.add(length, 1)?;
                }
            }
            return Ok(lengths);
        }
        let mut length = bits.read_bits(5)? + 1;
        let mut left = entries;
        while left > 0 {
            let count = bits.read_bits(u32::BITS - left.leading_zeros())?;
            left = left.checked_sub(count).ok_or(UNDEFINED)?;
            if count > 0 {
                lengths.add(length, count)?;
            }
            length = length.saturating_add(1);
        }
        Ok(lengths)
    }

    fn add(&mut self, length: u32, count: u32) -> Result<(), String> {
        let known = usize::try_from(length).ok().and_then(|length| self.0.get_mut(length));
        *known.ok_or("a code word is longer than 32 bits")? += u64::from(count);
        Ok(())
    }

    /// Returns the number of values in the decoder's tables for these code words. Returns an error unless the code
    /// words form a complete tree, or are a single word of one bit.
    fn values(&self) -> Result<u64, String> {
        let longest = self.0.iter().rposition(|count| *count > 0).ok_or("a codebook is empty")?;
        let words = self.0.iter().sum::<u64>();
        let mut values = words;
        // Free nodes of the tree at each depth.
        let mut open = 1_u64;
        for (length, count) in self.0.iter().enumerate().take(longest + 1).skip(1) {
            if length % TABLE_BITS == 1 {
                values += (open << TABLE_BITS) * ENTRY_VALUES;
            }
            open = (open * 2).checked_sub(*count).ok_or("a codebook has more code words than fit")?;
        }
        if open == 0 || words == 1 && longest == 1 {
            Ok(values)
        } else {
            Err("a codebook has code words without a meaning".to_owned())
        }
    }
}

/// Returns the largest number whose power of `dimensions` is not larger than `entries` (Vorbis I §9.2.3). Returns
/// `None` if the decoder, which computes the number in single precision, would find another one.
fn root(entries: u32, dimensions: u32) -> Option<u64> {
    let fits = |number: u64| number.checked_pow(dimensions).is_some_and(|power| power <= u64::from(entries));
    let found = (entries as f32).powf(1.0 / dimensions as f32).floor() as u64;
    (fits(found) && !fits(found + 1)).then_some(found)
}

/// Checks a floor (Vorbis I §7.2.2). Floors of type 0 have not been produced since before Vorbis I.
fn floor(bits: &mut SetupBits<'_>, books: &[VorbisCodebook]) -> Result<(), String> {
    if bits.read_bits(16)? != 1 {
        return Err("a floor is not of type 1".to_owned());
    }
    let partitions = bits.read_bits(5)?;
    let classes = (0..partitions).map(|_| bits.read_bits(4)).collect::<Result<Vec<_>, _>>()?;
    let mut dimensions = Vec::new();
    for _ in 0..classes.iter().max().map_or(0, |most| most + 1) {
        dimensions.push(bits.read_bits(3)? + 1);
        let sub_classes = bits.read_bits(2)?;
        if sub_classes > 0 {
            bits.book(books)?;
        }
        for _ in 0..1 << sub_classes {
            let number = bits.read_bits(8)?;
            let Some(number) = number.checked_sub(1) else { continue };
            let book = usize::try_from(number).ok().and_then(|number| books.get(number)).ok_or(UNDEFINED)?;
            if book.entries > FLOOR_ENTRIES {
                return Err("a floor has amplitudes out of its range".to_owned());
            }
        }
    }
    bits.skip(2)?;
    let range = bits.read_bits(4)?;
    let mut points = vec![0, 1_u32 << range];
    for class in classes {
        let class = usize::try_from(class).ok().and_then(|class| dimensions.get(class));
        for _ in 0..class.copied().unwrap_or_default() {
            points.push(bits.read_bits(range)?);
        }
    }
    let count = points.len();
    points.sort_unstable();
    points.dedup();
    if points.len() < count || count > FLOOR_POINTS { Err("a floor has a point twice".to_owned()) } else { Ok(()) }
}

/// Checks a residue (Vorbis I §8.6.1).
fn residue(bits: &mut SetupBits<'_>, books: &[VorbisCodebook]) -> Result<(), String> {
    bits.read_below(16, 3)?;
    let (begin, end) = (bits.read_bits(24)?, bits.read_bits(24)?);
    if end < begin {
        return Err(UNDEFINED.to_owned());
    }
    bits.skip(24)?;
    let classes = bits.read_bits(6)? + 1;
    bits.book(books)?;
    let mut used = 0;
    for _ in 0..classes {
        let low = bits.read_bits(3)?;
        let high = if bits.read_bits(1)? == 1 { bits.read_bits(5)? } else { 0 };
        used += (high << 3 | low).count_ones();
    }
    for _ in 0..used {
        if !bits.book(books)?.has_vectors {
            return Err("a residue has a codebook without vectors".to_owned());
        }
    }
    Ok(())
}

/// Checks a mapping (Vorbis I §4.2.4).
fn mapping(bits: &mut SetupBits<'_>, channels: u32, floors: u32, residues: u32) -> Result<(), String> {
    bits.expect_zero(16)?;
    let submaps = if bits.read_bits(1)? == 1 { bits.read_bits(4)? + 1 } else { 1 };
    if bits.read_bits(1)? == 1 {
        let width = u32::BITS - (channels - 1).leading_zeros();
        for _ in 0..=bits.read_bits(8)? {
            if bits.read_below(width, channels)? == bits.read_below(width, channels)? {
                return Err("a channel is coupled with itself".to_owned());
            }
        }
    }
    bits.expect_zero(2)?;
    if submaps > 1 {
        for _ in 0..channels {
            bits.read_below(4, submaps)?;
        }
    }
    for _ in 0..submaps {
        bits.skip(8)?;
        bits.read_below(8, floors)?;
        bits.read_below(8, residues)?;
    }
    Ok(())
}

/// Bit reader of a setup header, the lowest bit of each byte first.
struct SetupBits<'a> {
    bytes: &'a [u8],
    at: u64,
}

impl SetupBits<'_> {
    /// Reads up to 32 bits.
    fn read_bits(&mut self, count: u32) -> Result<u32, String> {
        let mut number = 0;
        for place in 0..count {
            let byte = usize::try_from(self.at / 8).ok().and_then(|at| self.bytes.get(at)).ok_or(CUT_OFF)?;
            number |= u32::from(byte >> (self.at % 8) & 1) << place;
            self.at += 1;
        }
        Ok(number)
    }

    fn skip(&mut self, count: u64) -> Result<(), String> {
        self.at = self.at.saturating_add(count);
        if self.at <= self.bytes.len() as u64 * 8 { Ok(()) } else { Err(CUT_OFF.to_owned()) }
    }

    /// Reads a number of `count` bits that must be below `limit`.
    fn read_below(&mut self, count: u32, limit: u32) -> Result<u32, String> {
        let number = self.read_bits(count)?;
        if number < limit { Ok(number) } else { Err(UNDEFINED.to_owned()) }
    }

    /// Reads bits that must all be 0.
    fn expect_zero(&mut self, count: u32) -> Result<(), String> {
        if self.read_bits(count)? == 0 { Ok(()) } else { Err(UNDEFINED.to_owned()) }
    }

    /// Reads the number of a codebook.
    fn book(&mut self, books: &[VorbisCodebook]) -> Result<VorbisCodebook, String> {
        let number = self.read_bits(8)?;
        let book = usize::try_from(number).ok().and_then(|number| books.get(number));
        Ok(*book.ok_or(UNDEFINED)?)
    }
}
