//! Byte cursor used by all parsers of lines and header values, so that every bounds check is here.

/// Cursor in received bytes that cannot leave them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ByteScanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> ByteScanner<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> ByteScanner<'a> {
        ByteScanner { bytes, at: 0 }
    }

    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(crate) fn is_done(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// Returns the remaining bytes.
    pub(crate) fn rest(&self) -> &'a [u8] {
        tail(self.bytes, self.at)
    }

    /// Returns the bytes between an earlier position and this one.
    pub(crate) fn since(&self, from: usize) -> &'a [u8] {
        part(self.bytes, from, self.at)
    }

    /// Consumes `byte` if it is next. Returns whether it was.
    pub(crate) fn consume_byte(&mut self, byte: u8) -> bool {
        let hit = self.peek() == Some(byte);
        self.at += usize::from(hit);
        hit
    }

    /// Skips white space and folds.
    pub(crate) fn skip_lws(&mut self) {
        self.take_while(is_lws);
    }

    /// Consumes up to `length` bytes.
    pub(crate) fn consume_bytes(&mut self, length: usize) -> &'a [u8] {
        let rest = self.rest();
        let length = length.min(rest.len());
        self.at += length;
        part(rest, 0, length)
    }

    /// Consumes the longest run of bytes of a class, possibly empty.
    pub(crate) fn take_while(&mut self, class: impl Fn(u8) -> bool) -> &'a [u8] {
        self.consume_bytes(self.rest().iter().position(|&byte| !class(byte)).unwrap_or(usize::MAX))
    }

    /// Consumes a token (RFC 3261 §25.1), or returns `None` if there is none.
    pub(crate) fn token(&mut self) -> Option<&'a [u8]> {
        let token = self.take_while(is_token);
        (!token.is_empty()).then_some(token)
    }

    /// Consumes a quoted string including its quotes, or returns `None` if there is none or it is not closed.
    pub(crate) fn quoted(&mut self) -> Option<&'a [u8]> {
        let from = self.at;
        if !self.consume_byte(b'"') {
            return None;
        }
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'"' => return Some(self.since(from)),
                b'\\' => self.at = (self.at + 1).min(self.bytes.len()),
                _ => {}
            }
        }
        self.at = from;
        None
    }
}

/// Returns `bytes[from..to]`, or an empty slice if out of bounds.
pub(crate) fn part(bytes: &[u8], from: usize, to: usize) -> &[u8] {
    bytes.get(from..to).unwrap_or_default()
}

/// Returns `bytes[from..]`, or an empty slice if out of bounds.
pub(crate) fn tail(bytes: &[u8], from: usize) -> &[u8] {
    bytes.get(from..).unwrap_or_default()
}

/// Returns whether a byte is white space inside a header value, line folds included (RFC 3261 §7.3.1).
pub(crate) const fn is_lws(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Byte class as a table, with one lookup per byte instead of a dozen comparisons.
#[derive(Debug)]
pub(crate) struct ByteClass([bool; 256]);

impl ByteClass {
    /// Creates a class of ASCII letters, digits and `others`.
    pub(crate) const fn alphanumeric_and(others: &[u8]) -> ByteClass {
        ByteClass([false; 256]).with_all(true).with_bytes(others, true)
    }

    /// Creates a class of all bytes except controls and `others`, non-ASCII included.
    pub(crate) const fn all_but_controls_and(others: &[u8]) -> ByteClass {
        ByteClass([false; 256]).with_all(false).with_bytes(others, false)
    }

    /// Adds the ASCII letters and digits if `alphanumeric`, otherwise all bytes that are not control characters.
    #[allow(clippy::indexing_slicing)] // a byte always indexes a table of 256
    const fn with_all(mut self, alphanumeric: bool) -> ByteClass {
        let mut byte = 0_u8;
        loop {
            self.0[byte as usize] = if alphanumeric { byte.is_ascii_alphanumeric() } else { !byte.is_ascii_control() };
            if byte == u8::MAX {
                return self;
            }
            byte += 1;
        }
    }

    #[allow(clippy::indexing_slicing)] // a byte always indexes a table of 256
    const fn with_bytes(mut self, others: &[u8], are_in: bool) -> ByteClass {
        let mut rest = others;
        while let [byte, behind @ ..] = rest {
            self.0[*byte as usize] = are_in;
            rest = behind;
        }
        self
    }

    /// Returns whether a byte belongs to the class.
    pub(crate) fn has(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte)).is_some_and(|has| *has)
    }
}

/// Returns whether a byte may occur in a token (RFC 3261 §25.1).
pub(crate) fn is_token(byte: u8) -> bool {
    static TOKEN: ByteClass = ByteClass::alphanumeric_and(b"-.!%*_+`'~");
    TOKEN.has(byte)
}

/// Returns whether `bytes` is exactly one token.
pub(crate) fn is_whole_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_token(byte))
}

/// Removes white space and folds at both ends.
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let [first, inner @ ..] = rest
        && is_lws(*first)
    {
        rest = inner;
    }
    while let [inner @ .., last] = rest
        && is_lws(*last)
    {
        rest = inner;
    }
    rest
}

/// Splits at the first `byte`, which belongs to neither part.
pub(crate) fn split_once(bytes: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(byte, bytes)?;
    Some((part(bytes, 0, at), tail(bytes, at + 1)))
}

/// Parses a decimal number; leading zeros are allowed. Returns `None` for any other byte or above [`u64::MAX`].
pub(crate) fn number(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0_u64, |sum, byte| match byte {
        b'0'..=b'9' => sum.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

/// Splits a value at `separator` outside quotes and angle brackets. Entries are trimmed and may be empty; after an
/// unclosed quote or bracket the rest is one entry.
pub(crate) fn split(value: &[u8], separator: u8) -> ByteSplit<'_> {
    ByteSplit { rest: Some(value), separator }
}

/// Iterator returned by [`split`].
#[derive(Debug, Clone)]
pub(crate) struct ByteSplit<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
}

impl<'a> Iterator for ByteSplit<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let mut scan = ByteScanner::new(rest);
        while let Some(offset) = memchr::memchr3(self.separator, b'"', b'<', scan.rest()) {
            scan.at += offset;
            match scan.peek() {
                Some(b'"') => {
                    if scan.quoted().is_none() {
                        break;
                    }
                }
                Some(b'<') => match memchr::memchr(b'>', scan.rest()) {
                    Some(length) => scan.at += length + 1,
                    None => break,
                },
                _ => {
                    self.rest = Some(tail(rest, scan.at + 1));
                    return Some(trim(scan.since(0)));
                }
            }
        }
        self.rest = None;
        Some(trim(rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_outside_of_quotes_and_brackets_only() {
        let entries: Vec<_> = split(br#" "a,\"b" <sip:c,d@e> , f,, "g,h"#, b',').collect();
        assert_eq!(entries, [br#""a,\"b" <sip:c,d@e>"#.as_slice(), b"f", b"", br#""g,h"#]);
    }

    #[test]
    fn an_unfinished_quote_ends_nowhere_outside() {
        let mut scan = ByteScanner::new(br#""abc\"#);
        assert_eq!(scan.quoted(), None);
        assert_eq!(scan.at(), 0);
    }

    #[test]
    fn numbers_are_digits_only_and_bounded() {
        assert_eq!(number(b"0068"), Some(68));
        assert_eq!(number(b""), None);
        assert_eq!(number(b"-1"), None);
        assert_eq!(number(b"36893488147419103232"), None);
    }
}
