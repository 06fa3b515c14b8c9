//! Hard limits of session descriptions.

/// Longest description read, in bytes.
pub const BYTES: usize = 65_535;
/// Longest line, in bytes.
pub const LINE_BYTES: usize = 4_096;
/// What all lines of one description may hold that go on to the other side, in bytes: attributes that pass, formats with their
/// parameters, bandwidths.
pub(crate) const PASSED_BYTES: usize = 16_384;
/// Longest word of an m-line, in bytes.
pub const WORD_BYTES: usize = 64;
/// m-lines in one description.
pub const MEDIA: usize = 32;
/// Formats in one m-line.
pub const FORMATS: usize = 64;
/// Attributes at one level.
pub const ATTRIBUTES: usize = 256;
/// Lines of other types (`b=`, `i=`, `t=` …) at one level.
pub(crate) const OTHER_LINES: usize = 64;
/// m-lines of one call that the edge anchors; further ones are refused with port 0.
pub const ANCHORED_STREAMS: usize = 4;
/// Names of one list in a refusal's text.
pub const NAMES_IN_TEXT: usize = 16;
/// Characters of one name in a refusal's text.
pub const NAME_CHARS_IN_TEXT: usize = 32;
/// Longest value of an `a=crypto` line that is looked at, in bytes.
pub(crate) const CRYPTO_BYTES: usize = 2_048;
/// Digits of its tag (RFC 4568 §9.1).
pub const TAG_DIGITS: usize = 9;
/// Master keys in one line.
pub(crate) const KEYS_PER_LINE: usize = 16;
/// Longest MKI in packets, in bytes (RFC 4568 §9.2).
pub(crate) const MKI_BYTES: u8 = 128;
