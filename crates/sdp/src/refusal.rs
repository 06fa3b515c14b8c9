//! A refused offer or answer, and names from the wire in the form in which its text may hold them.

use crate::limits;

/// An offer or answer that cannot be used: becomes 488 with a Warning (RFC 3261 §20.43).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Warn code: 301 address family, 304 media type, 305 format, 399 other (SRTP, an answer that does not fit its offer).
    pub warn_code: u16,
    /// Text that names both lists, e.g. `offered G729; allowed PCMU, PCMA`. Fit for a quoted string.
    pub text: String,
}

/// Lists names for people, each once.
pub(crate) fn list(names: impl Iterator<Item = String>) -> String {
    let mut unique: Vec<String> = Vec::new();
    for name in names.take(limits::FORMATS) {
        if !unique.contains(&name) && unique.len() < limits::NAMES_IN_TEXT {
            unique.push(name);
        }
    }
    if unique.is_empty() { "nothing".to_owned() } else { unique.join(", ") }
}

/// A name from the wire, fit for a quoted string of any protocol.
pub(crate) fn plain(name: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-._+/".contains(c) { c } else { '?' };
    name.chars().take(limits::NAME_CHARS_IN_TEXT).map(safe).collect()
}
