//! OPTIONS request to a peer and its response: the source address that the peer saw, header fields changed on the path,
//! and the peer's clock.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use jiff::fmt::rfc2822;
use trunkgate_call::numbers::plain;
use trunkgate_sip::header::Via;
use trunkgate_sip::{OwnUris, SipMessage, Transport};

use trunkgate_system::clock;

/// Maximum number of characters shown of a text received from the peer.
const SHOWN_CHARS: usize = 48;
/// Average rounding error of a Date header in milliseconds; the header counts whole seconds.
const HALF_A_SECOND_MS: i64 = 500;

/// OPTIONS request to one address of a peer.
#[derive(Debug, Clone)]
pub(super) struct Question {
    transport: Transport,
    /// Host of the peer, for the Request-URI.
    host: String,
    /// Local address from which the request was sent.
    us: SocketAddr,
    /// URIs in From and Contact of the request.
    own: OwnUris,
    /// Unique name used in branch, tag and Call-ID.
    name: String,
}

/// Response to the OPTIONS request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Status line of the response.
    pub(super) line: String,
    /// Source of the request as the peer saw it (RFC 3261 §18.2.1, RFC 3581 §4); `None` if the response does not
    /// contain it.
    pub(super) seen: Option<Seen>,
    /// Header fields that differ from the request, each as `Via 10.0.0.2:5060 → 203.0.113.10:61234`; `None` if the
    /// response cannot be compared.
    pub(super) rewritten: Option<Vec<String>>,
    /// Offset of the peer's clock in milliseconds, positive if it is ahead, accurate to a second; `None` if unknown.
    pub(super) ahead_ms: Option<i64>,
}

/// Source address of the request as the peer saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) ip: IpAddr,
    /// Source port; `None` if the peer does not support `rport`.
    pub(super) port: Option<u16>,
}

impl Question {
    /// Creates an OPTIONS request from `us` to a host.
    pub(super) fn new(transport: Transport, host: &str, us: SocketAddr, own: OwnUris) -> Question {
        let chance = std::process::id() ^ u32::try_from(clock::now().as_millisecond() & 0xffff_ffff).unwrap_or(0);
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        Question { transport, host, us, own, name: format!("doctor{chance}") }
    }

    pub(super) fn text(&self) -> String {
        let Question { transport, host, us, own: OwnUris { from, contact }, name } = self;
        let transport = transport.via_token();
        format!(
            "OPTIONS sip:{host} SIP/2.0\r\nVia: SIP/2.0/{transport} {us};branch=z9hG4bK{name};rport\r\n\
             Max-Forwards: 70\r\nFrom: {from};tag={name}\r\nTo: <sip:{host}>\r\nCall-ID: {name}@{us}\r\n\
             CSeq: 1 OPTIONS\r\nContact: {contact}\r\nAccept: application/sdp\r\nUser-Agent: Trunkgate\r\n\
             Content-Length: 0\r\n\r\n"
        )
    }

    /// Parses the response received `trip` after the request; the error says that it is not SIP.
    pub(super) fn read(&self, bytes: &[u8], trip: Duration) -> Result<Answer, String> {
        let text = String::from_utf8_lossy(bytes);
        let line = plain(text.trim_start().lines().next().unwrap_or_default(), 80);
        if !line.starts_with("SIP/2.0 ") {
            return Err("the response is not SIP".to_owned());
        }
        let message = SipMessage::parse(Bytes::copy_from_slice(bytes)).ok();
        let via = message.as_ref().and_then(SipMessage::via);
        let rewritten = message.as_ref().zip(via).map(|(message, via)| self.rewritten(message, &via));
        let ahead_ms = message.as_ref().and_then(|message| ahead(message.header_named("Date")?, trip));
        Ok(Answer { line, seen: via.and_then(|via| self.seen(&via)), rewritten, ahead_ms })
    }

    /// Returns the source address observed by the peer. A server adds `received` to Via if the source differs from
    /// sent-by, and always with `rport`.
    fn seen(&self, via: &Via<'_>) -> Option<Seen> {
        let port = via.rport.flatten();
        let written = std::str::from_utf8(via.received.unwrap_or_default()).unwrap_or_default();
        let ip = written.trim_matches(['[', ']']).parse().ok();
        let ip = ip.or_else(|| via.received.is_none().then_some(self.us.ip()).filter(|_| port.is_some()))?;
        Some(Seen { ip, port })
    }

    /// Returns the header fields that were changed on the path: a server copies Via, From and Call-ID (RFC 3261
    /// §8.2.6.2).
    fn rewritten(&self, message: &SipMessage, via: &Via<'_>) -> Vec<String> {
        let mut all = Vec::new();
        let mut compare = |what: &str, sent: String, came: Option<Cow<'_, str>>| {
            // A field missing in the response was dropped by the server, not by the path.
            if let Some(came) = came.filter(|came| *came != sent) {
                all.push(format!("{what} {sent} → {}", plain(&came, SHOWN_CHARS)));
            }
        };
        let us = self.us.to_string();
        let host = via.sent_by.host;
        let sent_by = match (host.parse::<IpAddr>(), via.sent_by.port) {
            (Ok(ip), port) => SocketAddr::new(ip, port.unwrap_or(5060)).to_string(),
            (Err(_), Some(port)) => format!("{host}:{port}"),
            (Err(_), None) => host.to_owned(),
        };
        compare("Via", us.clone(), Some(sent_by.into()));
        compare("the branch of Via", format!("z9hG4bK{}", self.name), text(via.branch));
        let from = self.own.from.trim_matches(['<', '>']).to_owned();
        compare("From", from, text(message.from().map(|from| from.uri)));
        compare("the tag of From", self.name.clone(), text(message.from_tag()));
        compare("Call-ID", format!("{}@{us}", self.name), text(message.call_id()));
        all
    }
}

fn text(bytes: Option<&[u8]>) -> Option<Cow<'_, str>> {
    bytes.map(String::from_utf8_lossy)
}

/// Returns how far a Date header (RFC 3261 §20.17) is ahead of the local clock, in milliseconds. The peer wrote the
/// header half a round trip before it arrived.
fn ahead(date: &[u8], trip: Duration) -> Option<i64> {
    let date = std::str::from_utf8(date).ok()?;
    let theirs = rfc2822::DateTimeParser::new().relaxed_weekday(true).parse_timestamp(date.trim()).ok()?;
    let half = i64::try_from(trip.as_millis() / 2).ok()?;
    let ours = clock::now().as_millisecond().checked_sub(half)?;
    theirs.as_millisecond().checked_add(HALF_A_SECOND_MS)?.checked_sub(ours)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn question() -> Question {
        let us: SocketAddr = "10.0.0.2:40000".parse().unwrap();
        let own = OwnUris { from: format!("<sip:{us}>"), contact: format!("<sip:{us}>") };
        Question { transport: Transport::Udp, host: "sbc.example".into(), us, own, name: "doctor7".into() }
    }

    /// Builds the response of RFC 3261 §8.2.6.2, with these replacements in the copied header fields.
    fn answer(changes: &[(&str, &str)]) -> Answer {
        let sent = question().text();
        let kept = ["Via: ", "From: ", "To: ", "Call-ID: ", "CSeq: "];
        let lines = sent.lines().filter(|line| kept.iter().any(|kept| line.starts_with(kept)));
        let mut text = format!("SIP/2.0 200 OK\r\n{}\r\n", lines.collect::<Vec<_>>().join("\r\n"));
        for (from, to) in changes {
            assert!(text.contains(from), "{from} in {text}");
            text = text.replace(from, to);
        }
        question().read(format!("{text}Content-Length: 0\r\n\r\n").as_bytes(), Duration::ZERO).unwrap()
    }

    #[test]
    fn how_a_peer_sees_us_stands_in_our_via() {
        let seen = |via: &str| answer(&[(";rport", via)]).seen.map(|seen| (seen.ip.to_string(), seen.port));
        assert_eq!(seen(";rport=61234;received=203.0.113.10"), Some(("203.0.113.10".into(), Some(61234))));
        assert_eq!(seen(";received=203.0.113.10;rport"), Some(("203.0.113.10".into(), None)));
        assert_eq!(seen(";rport=40000"), Some(("10.0.0.2".into(), Some(40000))));
        assert_eq!(seen(";rport=40000;received=[2001:db8::1]"), Some(("2001:db8::1".into(), Some(40000))));
        for silent in ["", ";rport", ";received=nonsense;rport=1"] {
            assert_eq!(seen(silent), None, "{silent}");
        }
    }

    #[test]
    fn what_was_rewritten_is_named() {
        assert_eq!(answer(&[]).rewritten, Some(vec![]));
        let via = answer(&[("UDP 10.0.0.2:40000", "UDP 203.0.113.10:61234")]).rewritten.unwrap();
        assert_eq!(via, ["Via 10.0.0.2:40000 → 203.0.113.10:61234"]);
        let everywhere = answer(&[("10.0.0.2:40000", "203.0.113.10:9")]).rewritten.unwrap();
        let names: Vec<&str> = everywhere.iter().map(|one| one.split(' ').next().unwrap()).collect();
        assert_eq!(names, ["Via", "From", "Call-ID"]);
        let tag = answer(&[(";tag=doctor7", ";tag=other")]).rewritten.unwrap();
        assert_eq!(tag, ["the tag of From doctor7 → other"]);
        let branch = answer(&[("z9hG4bKdoctor7", "z9hG4bK1")]).rewritten.unwrap();
        assert_eq!(branch, ["the branch of Via z9hG4bKdoctor7 → z9hG4bK1"]);
        assert_eq!(answer(&[("From: ", "X: ")]).rewritten, Some(vec![]), "leaving out is not a rewriting");
        let bare = question().read(b"SIP/2.0 200 OK\r\n\r\n", Duration::ZERO).unwrap();
        assert_eq!((bare.rewritten, bare.seen, bare.ahead_ms), (None, None, None));
        assert!(question().read(b"HTTP/1.1 400 Bad Request\r\n\r\n", Duration::ZERO).is_err());
    }

    #[test]
    fn a_date_tells_their_clock() {
        let ahead = |seconds: i64| {
            let date = Timestamp::from_second(Timestamp::now().as_second() + seconds).unwrap();
            let date = date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
            answer(&[("CSeq: ", &format!("Date: {date}\r\nCSeq: "))]).ahead_ms.unwrap()
        };
        for seconds in [-3600, 0, 180] {
            assert!((ahead(seconds) - seconds * 1000).abs() < 30_000, "{seconds}");
        }
        assert_eq!(answer(&[("CSeq: ", "Date: yesterday\r\nCSeq: ")]).ahead_ms, None);
    }
}
