//! Words of the SIP core: headers, option tags.

use trunkgate_sip::Extra;

/// The extension's option tag.
pub const TIMER: &str = "timer";

/// A header.
pub fn extra(name: &str, value: impl Into<String>) -> Extra {
    Extra { name: name.into(), value: value.into() }
}
