//! Registration lifetimes in a registrar's response (RFC 3261 §10.2.4), and header values in seconds.

use super::SipMessage;
use crate::flow::LocalAddress;
use crate::header::{HeaderName, NameAddr};
use crate::scan::{number, split};

impl SipMessage {
    /// Returns the lifetime of our binding granted by a registrar, in seconds: from the Contact that matches ours, or
    /// else one with our user (some registrars list the address they saw), or else from Expires (RFC 3261 §10.2.4,
    /// §10.3 step 8). `name` is the host name in our Contact if that replaces the address.
    pub fn granted_seconds(&self, user: &str, name: Option<&str>, local: LocalAddress) -> Option<u32> {
        let seconds = |value: &[u8]| number(value).and_then(|n| u32::try_from(n).ok());
        let contacts = self.addresses(HeaderName::Contact);
        let of_user = || contacts.iter().filter(|contact| contact.parsed_uri().is_some_and(|uri| uri.user == user));
        let is_ours = |contact: &&NameAddr<'_>| {
            let Some(host) = contact.parsed_uri().map(|uri| uri.host) else { return false };
            match name {
                Some(name) => host.host.eq_ignore_ascii_case(name) && host.port.is_none_or(|port| port == local.port),
                None => host.ip() == Some(local.ip) && host.port.unwrap_or(5060) == local.port,
            }
        };
        let found = of_user().find(is_ours).or_else(|| of_user().next());
        let of_answer = || self.header(HeaderName::Expires).and_then(|value| seconds(value.trim_ascii()));
        found.and_then(|contact| seconds(contact.param("expires")?)).or_else(of_answer)
    }

    /// Returns a header value in whole seconds, such as Min-Expires or Retry-After, ignoring comments and parameters.
    pub fn seconds(&self, name: &str) -> Option<u32> {
        let value = self.header_named(name)?;
        let first = split(value, b';').next()?;
        let digits = first.split(|&b| b == b'(').next()?.trim_ascii();
        number(digits).and_then(|n| u32::try_from(n).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn answer(lines: &str) -> SipMessage {
        let text = format!("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n{lines}Content-Length: 0\r\n\r\n");
        SipMessage::parse(Bytes::from(text)).unwrap()
    }

    #[test]
    fn rfc3261_10_2_4_what_a_registrar_grants() {
        let local = LocalAddress { ip: [192, 0, 2, 1].into(), port: 5080 };
        for (lines, granted) in [
            (
                "Contact: <sip:acme@192.0.2.9>;expires=9, <sip:acme@192.0.2.1:5080>;expires=60\r\nExpires: 3600\r\n",
                Some(60),
            ),
            ("Contact: <sip:other@192.0.2.1:5080>;expires=9\r\nExpires: 3600\r\n", Some(3600)),
            ("Contact: <sip:acme@203.0.113.1:40000>;expires=9\r\n", Some(9)),
            ("Contact: <sip:acme@192.0.2.1:5080>\r\nExpires: 120\r\n", Some(120)),
            ("Contact: <sip:acme@192.0.2.1:5080>;expires=99999999999\r\n", None),
            ("", None),
        ] {
            assert_eq!(answer(lines).granted_seconds("acme", None, local), granted, "{lines}");
        }
        // A binding by address from before the name was configured, and one of another edge, are not ours.
        let by_name = "Contact: <sip:acme@192.0.2.1:5080>;expires=9, <sip:acme@b.example:5080>;expires=8, \
                       <sip:acme@SBC.example.com:5080>;expires=60\r\n";
        assert_eq!(answer(by_name).granted_seconds("acme", Some("sbc.example.com"), local), Some(60));
        assert_eq!(answer("Min-Expires: 300\r\n").seconds("min-expires"), Some(300));
        assert_eq!(answer("Retry-After: 18 (in a meeting);duration=9\r\n").seconds("Retry-After"), Some(18));
        assert_eq!(answer("Retry-After: soon\r\n").seconds("Retry-After"), None);
    }
}
