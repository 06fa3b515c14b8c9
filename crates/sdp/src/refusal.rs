//! Rejection of an offer or answer, with remote names sanitized for its text.

use crate::limits;

/// Offer or answer that cannot be used; answered with 488 and a Warning (RFC 3261 §20.43).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SdpRejection {
    /// Warn code: 301 address family, 304 media type, 305 format, 399 other (SRTP, answer that does not match its
    /// offer).
    pub warn_code: u16,
    /// Text with both lists, e.g. `offered G729; allowed PCMU, PCMA`, suitable for a quoted string.
    pub text: String,
}

/// Joins names with commas for a message, without duplicates.
pub(crate) fn list(names: impl Iterator<Item = String>) -> String {
    let mut unique: Vec<String> = Vec::new();
    for name in names.take(limits::FORMATS) {
        if !unique.contains(&name) && unique.len() < limits::NAMES_IN_TEXT {
            unique.push(name);
        }
    }
    if unique.is_empty() { "nothing".to_owned() } else { unique.join(", ") }
}

/// Sanitizes a received name for use in a quoted string of any protocol.
pub(crate) fn plain(name: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-._+/".contains(c) { c } else { '?' };
    name.chars().take(limits::NAME_CHARS_IN_TEXT).map(safe).collect()
}
