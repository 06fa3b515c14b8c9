//! Session-Expires and Min-SE headers (RFC 4028 §4, §5).

use std::fmt;

use super::params;
use crate::scan::{ByteScanner, number, trim};

/// Side that refreshes the session, relative to the request with the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresher {
    /// The sender of the request refreshes the session.
    Uac,
    /// The recipient of the request refreshes the session.
    Uas,
}

/// Value of a Session-Expires header (RFC 4028 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionExpires {
    /// Session interval in seconds, saturated at 32 bits.
    pub seconds: u32,
    /// Refresher; `None` lets the responding side choose. An unknown value counts as `None`.
    pub refresher: Option<Refresher>,
}

impl SessionExpires {
    /// Parses a value. Returns `None` if it does not begin with a number or its parameters are malformed.
    pub fn parse(value: &[u8]) -> Option<SessionExpires> {
        let (seconds, params) = delta(value)?;
        let refresher = params::find(params, "refresher").and_then(|word| {
            let is = |known: &str| word.eq_ignore_ascii_case(known.as_bytes());
            if is("uac") { Some(Refresher::Uac) } else { is("uas").then_some(Refresher::Uas) }
        });
        Some(SessionExpires { seconds, refresher })
    }
}

impl fmt::Display for SessionExpires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refresher = match self.refresher {
            Some(Refresher::Uac) => ";refresher=uac",
            Some(Refresher::Uas) => ";refresher=uas",
            None => "",
        };
        write!(f, "{}{refresher}", self.seconds)
    }
}

/// Parses a Min-SE value, in seconds (RFC 4028 §5).
pub(crate) fn min_se(value: &[u8]) -> Option<u32> {
    Some(delta(value)?.0)
}

/// Parses a number of seconds and returns it with the parameters that follow.
fn delta(value: &[u8]) -> Option<(u32, &[u8])> {
    let mut scan = ByteScanner::new(trim(value));
    let digits = scan.take_while(|byte| byte.is_ascii_digit());
    if digits.is_empty() {
        return None;
    }
    let seconds = number(digits).and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(u32::MAX);
    let params = scan.rest();
    params::are_sound(params).then_some((seconds, params))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc4028_4_session_expires_is_read_with_who_refreshes() {
        for (value, seconds, refresher) in [
            ("1800", 1800, None),
            (" 90 ;refresher=uas", 90, Some(Refresher::Uas)),
            ("4000;x=\";refresher=uas\"; Refresher = UAC", 4000, Some(Refresher::Uac)),
            ("120;refresher=proxy", 120, None),
            ("0001800", 1800, None),
            ("4294967296", u32::MAX, None),
            ("99999999999999999999999999;refresher=uac", u32::MAX, Some(Refresher::Uac)),
        ] {
            assert_eq!(SessionExpires::parse(value.as_bytes()), Some(SessionExpires { seconds, refresher }), "{value}");
        }
        for value in ["", "soon", "-1", "18 00", "1800,90", "1800;", "1800;;refresher=uac", ";refresher=uac"] {
            assert_eq!(SessionExpires::parse(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn rfc4028_5_min_se_is_a_number() {
        for (value, least) in [("90", Some(90)), (" 120 ; a=b", Some(120)), ("x", None), ("", None), ("90 s", None)] {
            assert_eq!(min_se(value.as_bytes()), least, "{value}");
        }
    }
}
