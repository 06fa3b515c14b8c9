//! `trunkgate help CODE`: SIP status codes, with the explanations of [`trunkgate_call::status`].

use trunkgate_call::status::status;
use trunkgate_sip::write::reason_phrase;

/// Explains a status code of three digits.
pub(super) fn explain(topic: &str) -> Option<String> {
    let code: u16 = topic.parse().ok().filter(|_| topic.len() == 3)?;
    let status = status(code)?;
    let sent = if status.sent.is_empty() { "Never on its own." } else { status.sent };
    Some(format!(
        "{code} {}: SIP status code\n\nSent by Trunkgate: {sent}\n\nReceived from a carrier or PBX: {}\n\nWhat to do: {}\n",
        reason_phrase(code),
        status.received,
        status.fix
    ))
}

/// Returns the explained status code closest to an unknown one of three digits.
pub(super) fn nearest(topic: &str) -> Option<&'static str> {
    const CLASSES: [&str; 6] = ["180", "200", "302", "400", "500", "600"];
    let code: u16 = topic.parse().ok().filter(|_| topic.len() == 3)?;
    // An unknown code is treated as x00 of its class (RFC 3261 §8.1.3.2).
    CLASSES.get(usize::from(code / 100).checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_explained_by_who_sends_it() {
        assert!(
            explain("503")
                .unwrap()
                .starts_with("503 Service Unavailable: SIP status code\n\nSent by Trunkgate: No target")
        );
        assert!(explain("0503").is_none() && explain("499").is_none());
        assert_eq!((nearest("499"), nearest("999"), nearest("x")), (Some("400"), None, None));
    }

    #[test]
    fn explained_codes_have_a_phrase_and_so_do_the_default_failover_codes() {
        for code in (100..700).filter(|code| status(*code).is_some()) {
            assert_ne!(reason_phrase(code), "Unknown", "{code}");
        }
        for code in [408, 429, 480, 500, 502, 503, 504] {
            assert!(explain(&code.to_string()).is_some(), "{code}");
        }
    }
}
