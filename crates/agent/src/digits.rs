//! Characters of DTMF digits.

/// Returns whether a byte is a DTMF digit: `0` to `9`, `*`, `#`, `A` to `D`.
pub(crate) fn is_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'*' | b'#' | b'A'..=b'D')
}
