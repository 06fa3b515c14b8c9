//! Via header (RFC 3261 §20.42, RFC 3581), parsed leniently, because even an error response to a malformed one needs
//! it.

use crate::Transport;
use crate::header::params::{self, HeaderParams};
use crate::scan::{ByteScanner, number, split, trim};
use crate::uri::{HostPort, is_host, is_ipv6};

/// Topmost Via entry (RFC 3261 §20.42, RFC 3581).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Via<'a> {
    /// Transport, if supported.
    pub transport: Option<Transport>,
    /// Host and port of sent-by.
    pub sent_by: HostPort<'a>,
    /// Value of the `branch` parameter, if present.
    pub branch: Option<&'a [u8]>,
    /// Value of `rport`; `Some(None)` if present without value.
    pub rport: Option<Option<u16>>,
    /// Value of the `received` parameter, if present.
    pub received: Option<&'a [u8]>,
    /// Complete entry as received, without the entries after it.
    pub raw: &'a [u8],
    /// Whether every part is well-formed and the protocol is `SIP/2.0`. A malformed entry is parsed as far as
    /// possible.
    pub sound: bool,
}

impl<'a> Via<'a> {
    /// Parses the first entry of a field value. Returns `None` if sent-by has no readable host.
    pub fn parse(value: &'a [u8]) -> Option<Via<'a>> {
        let raw = split(value, b',').next()?;
        let mut scan = ByteScanner::new(raw);
        let (mut sound, transport) = sent_protocol(&mut scan)?;
        let sent_by = sent_by(&mut scan, &mut sound)?;
        scan.skip_lws();
        let behind = scan.rest();
        let mut via = Via { transport, sent_by, branch: None, rport: None, received: None, raw, sound };
        let mut params = HeaderParams::new(behind);
        for (name, value) in params.by_ref() {
            via.take(name, value);
        }
        if !params.are_sound() {
            via.sound = false;
            via.take_unsound(behind);
        }
        Some(via)
    }

    /// Reads the parameters of a malformed entry one by one.
    fn take_unsound(&mut self, behind: &'a [u8]) {
        for entry in split(behind, b';') {
            let mut entry = ByteScanner::new(entry);
            let name = entry.token().unwrap_or_default();
            entry.skip_lws();
            let value = if entry.consume_byte(b'=') { trim(entry.rest()) } else { b"" };
            self.take(name, value);
        }
    }

    /// Stores a parameter, unless it is already set.
    fn take(&mut self, name: &[u8], value: &'a [u8]) {
        if name.eq_ignore_ascii_case(b"branch") {
            self.branch.get_or_insert(value);
        } else if name.eq_ignore_ascii_case(b"received") {
            self.received.get_or_insert(value);
        } else if name.eq_ignore_ascii_case(b"rport") && self.rport.is_none() {
            let port = number(value).and_then(|port| u16::try_from(port).ok());
            self.sound &= value.is_empty() || port.is_some();
            self.rport = Some(port);
        }
    }

    /// Returns a parameter by case-insensitive name; a parameter without value is `Some(b"")`.
    pub fn param(&self, name: &str) -> Option<&'a [u8]> {
        params::find(self.raw, name)
    }
}

/// Parses `SIP/2.0/UDP` with optional white space. Returns whether the protocol is SIP/2.0, and the transport.
fn sent_protocol(scan: &mut ByteScanner<'_>) -> Option<(bool, Option<Transport>)> {
    let mut words = [b"".as_slice(); 3];
    for (position, word) in words.iter_mut().enumerate() {
        scan.skip_lws();
        if position > 0 {
            if !scan.consume_byte(b'/') {
                return None;
            }
            scan.skip_lws();
        }
        *word = scan.token()?;
    }
    let [protocol, version, transport] = words;
    let transport = [Transport::Udp, Transport::Tcp, Transport::Tls]
        .into_iter()
        .find(|known| transport.eq_ignore_ascii_case(known.via_token().as_bytes()));
    Some((protocol.eq_ignore_ascii_case(b"SIP") && version == b"2.0", transport))
}

/// Parses `host [: port]` with optional white space.
fn sent_by<'a>(scan: &mut ByteScanner<'a>, sound: &mut bool) -> Option<HostPort<'a>> {
    scan.skip_lws();
    let host = if scan.consume_byte(b'[') {
        let host = std::str::from_utf8(scan.take_while(|byte| byte != b']')).ok()?;
        *sound &= scan.consume_byte(b']') && is_ipv6(host);
        host
    } else {
        let host =
            std::str::from_utf8(scan.take_while(|byte| !matches!(byte, b':' | b';' | b' ' | b'\t' | b'\r' | b'\n')));
        let host = host.ok()?;
        *sound &= is_host(host.as_bytes());
        host
    };
    if host.is_empty() {
        return None;
    }
    scan.skip_lws();
    let mut port = None;
    if scan.consume_byte(b':') {
        scan.skip_lws();
        let digits = scan.take_while(|byte| !matches!(byte, b';' | b' ' | b'\t' | b'\r' | b'\n'));
        port = number(digits).and_then(|port| u16::try_from(port).ok()).filter(|&port| port != 0);
        *sound &= port.is_some();
    }
    Some(HostPort { host, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_white_space_and_folds_between_all_parts() {
        let value = b"SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8  ,\r\n SIP/2.0/UDP x";
        let via = Via::parse(value).unwrap();
        assert!(via.sound);
        assert_eq!(via.transport, Some(Transport::Tcp));
        assert_eq!(via.sent_by, HostPort { host: "spindle.example.com", port: None });
        assert_eq!(via.branch, Some(b"z9hG4bK9ikj8".as_slice()));
        assert!(via.raw.ends_with(b"z9hG4bK9ikj8"));
    }

    #[test]
    fn reads_rport_received_and_ipv6() {
        let via = Via::parse(b"SIP/2.0/UDP [2001:db8::1]:5070;rport;branch=z9hG4bKa;received=192.0.2.1;ttl=1").unwrap();
        assert_eq!(via.sent_by, HostPort { host: "2001:db8::1", port: Some(5070) });
        assert_eq!((via.rport, via.received), (Some(None), Some(b"192.0.2.1".as_slice())));
        assert_eq!(via.param("TTL"), Some(b"1".as_slice()));
        let via = Via::parse(b"SIP/2.0/UDP a;rport=40000").unwrap();
        assert_eq!(via.rport, Some(Some(40000)));
    }

    #[test]
    fn damaged_entries_are_read_but_not_sound() {
        for value in [
            "SIP/7.0/UDP c.example.com;branch=z9hG4bKkdjuw",
            "SIP/2.0/UDP 192.0.2.15;;,;,,",
            "SIP/2.0/UDP 192.0.2.15:99999;branch=z9hG4bKk",
            "SIP/2.0/UDP 192.0.2.15:0",
            "SIP/2.0/UDP 192.0.2.15:;branch=z9hG4bKk",
            "SIP/2.0/UDP [2001:db8::1;branch=z9hG4bKk",
            "SIP/2.0/UDP h;rport=x",
            "SIP/2.0/UDP h_!;branch=1",
        ] {
            assert!(!Via::parse(value.as_bytes()).unwrap().sound, "{value}");
        }
        for value in ["", "SIP/2.0/UDP", "SIP/2.0 h", "SIP/2.0/UDP ;branch=1"] {
            assert_eq!(Via::parse(value.as_bytes()), None, "{value}");
        }
    }
}
