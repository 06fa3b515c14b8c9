//! Helpers for SIP headers and option tags.

use trunkgate_sip::ExtraHeader;

/// Option tag of session timers (RFC 4028).
pub const TIMER: &str = "timer";

/// Returns an additional header field.
pub fn extra(name: &str, value: impl Into<String>) -> ExtraHeader {
    ExtraHeader { name: name.into(), value: value.into() }
}
