//! Progress reports of a REFER, sent by its recipient in NOTIFY.

use trunkgate_sip::message::unfolded;
use trunkgate_sip::{HeaderName, SipMessage};

/// Progress report of a REFER in a NOTIFY (RFC 3515 §2.4.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReferReport {
    /// Status code in the body, if any.
    pub(crate) code: Option<u16>,
    /// Subscription state: `active`, `pending` or `terminated`.
    pub(crate) state: &'static str,
    /// Remaining time of the subscription, in seconds.
    pub(crate) expires: Option<u32>,
    /// CSeq of the REFER to which the report belongs.
    pub(crate) id: Option<u32>,
}

impl ReferReport {
    /// Parses a NOTIFY; `None` if it does not belong to a REFER.
    pub(crate) fn read(notify: &SipMessage) -> Option<ReferReport> {
        let event = unfolded(notify.header(HeaderName::Event)?).into_owned();
        let mut event = event.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let package = event.next().unwrap_or_default();
        if !package.eq_ignore_ascii_case(b"refer") {
            return None;
        }
        let id = event.find_map(|part| std::str::from_utf8(part.strip_prefix(b"id=")?).ok()?.parse().ok());
        let state = String::from_utf8_lossy(notify.header(HeaderName::SubscriptionState)?).to_ascii_lowercase();
        let mut parts = state.split(';').map(str::trim);
        let word = parts.next().unwrap_or_default();
        let state = ["active", "pending", "terminated"].into_iter().find(|known| *known == word)?;
        let expires = parts.find_map(|part| part.strip_prefix("expires=")?.parse().ok());
        Some(ReferReport { code: status(notify.body()), state, expires, id })
    }
}

/// Returns the status code in the first line of a message/sipfrag (RFC 3420). `None` if there is none from 100 to 699.
pub(crate) fn status(fragment: &[u8]) -> Option<u16> {
    let rest = fragment.strip_prefix(b"SIP/2.0 ")?;
    let digits = rest.get(..3)?;
    let ends = rest.get(3).is_none_or(|byte| matches!(byte, b' ' | b'\r' | b'\n'));
    let code: u16 = std::str::from_utf8(digits).ok().filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()?;
    (ends && (100..700).contains(&code)).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3420_a_fragment_begins_with_a_status_line() {
        assert_eq!(status(b"SIP/2.0 200 OK\r\nContact: <sip:a@192.0.2.1>\r\n"), Some(200));
        assert_eq!(status(b"SIP/2.0 180"), Some(180));
        for bad in
            ["", "SIP/2.0 ", "SIP/2.0 20", "SIP/2.0 2000 OK", "SIP/2.0 +20 OK", "SIP/2.0 999 X", "HTTP/1.1 200 OK"]
        {
            assert_eq!(status(bad.as_bytes()), None, "{bad}");
        }
    }
}
