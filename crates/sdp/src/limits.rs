//! Hard limits of session descriptions.

/// Maximum length of a description, in bytes.
pub const BYTES: usize = 65_535;
/// Maximum length of a line, in bytes.
pub const LINE_BYTES: usize = 4_096;
/// Maximum total length of the lines of a description that are forwarded to the other leg, in bytes: forwarded
/// attributes, formats with their parameters, bandwidths.
pub(crate) const PASSED_BYTES: usize = 16_384;
/// Maximum length of a word in an m-line, in bytes.
pub const WORD_BYTES: usize = 64;
/// Maximum number of m-lines in a description.
pub const MEDIA: usize = 32;
/// Maximum number of formats in an m-line.
pub const FORMATS: usize = 64;
/// Maximum number of attributes per level.
pub const ATTRIBUTES: usize = 256;
/// Maximum number of other lines (`b=`, `i=`, `t=` …) per level.
pub(crate) const OTHER_LINES: usize = 64;
/// Maximum number of m-lines per call that the edge anchors; further ones are rejected with port 0.
pub const ANCHORED_STREAMS: usize = 4;
/// Maximum number of names listed in the text of a rejection.
pub const NAMES_IN_TEXT: usize = 16;
/// Maximum length of a name in the text of a rejection, in characters.
pub const NAME_CHARS_IN_TEXT: usize = 32;
/// Maximum length of an `a=crypto` value, in bytes; longer ones are ignored.
pub(crate) const CRYPTO_BYTES: usize = 2_048;
/// Maximum number of digits in a crypto tag (RFC 4568 §9.1).
pub const TAG_DIGITS: usize = 9;
/// Maximum number of master keys in a crypto line.
pub(crate) const KEYS_PER_LINE: usize = 16;
/// Maximum length of an MKI in packets, in bytes (RFC 4568 §9.2).
pub(crate) const MKI_BYTES: u8 = 128;
