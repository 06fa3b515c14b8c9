//! Numbers of seven bits a byte, the lowest first, as they stand in what a call keeps (unsigned LEB128).

/// Returns the bytes of a number.
pub(crate) fn bytes_of(number: u64) -> impl Iterator<Item = u8> {
    let mut rest = Some(number);
    std::iter::from_fn(move || {
        let number = rest?;
        rest = Some(number >> 7).filter(|more| *more > 0);
        Some(number as u8 & 0x7f | if rest.is_some() { 0x80 } else { 0 })
    })
}

/// Reads a number from the front of `bytes`; `None` where none stands there.
pub(crate) fn read(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_were_written() {
        for (number, length) in [(0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (u64::MAX, 10)] {
            let bytes: Vec<u8> = bytes_of(number).chain([7]).collect();
            let mut left = bytes.as_slice();
            assert_eq!((read(&mut left), left, bytes.len()), (Some(number), [7].as_slice(), length + 1));
            assert_eq!(read(&mut &bytes[..length - 1]), None);
        }
        assert_eq!(read(&mut [0x80; 12].as_slice()), None);
    }
}
