//! Byte buffers for call data that is seldom read: capacity grows in small steps to avoid unused memory. Numbers are
//! unsigned LEB128 (seven bits per byte, the lowest first).

/// Appends bytes; if needed, capacity grows by at least `step`.
pub(crate) fn push(kept: &mut Vec<u8>, bytes: &[u8], step: usize) {
    if kept.capacity() - kept.len() < bytes.len() {
        kept.reserve_exact(bytes.len().max(step));
    }
    kept.extend_from_slice(bytes);
}

/// Appends a number.
pub(crate) fn push_number(kept: &mut Vec<u8>, mut number: u64, step: usize) {
    while number > 0x7f {
        push(kept, &[0x80 | number as u8], step);
        number >>= 7;
    }
    push(kept, &[number as u8], step);
}

/// Reads a number from the front of `bytes`; `None` if there is no complete number.
pub(crate) fn read_number(bytes: &mut &[u8]) -> Option<u64> {
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
            let mut bytes = Vec::new();
            push_number(&mut bytes, number, 4);
            push(&mut bytes, &[7], 4);
            let mut left = bytes.as_slice();
            assert_eq!((read_number(&mut left), left, bytes.len()), (Some(number), [7].as_slice(), length + 1));
            assert_eq!(read_number(&mut &bytes[..length - 1]), None);
        }
        assert_eq!(read_number(&mut [0x80; 12].as_slice()), None);
    }
}
