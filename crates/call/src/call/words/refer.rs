//! REFER (RFC 3515 §2.4, RFC 4488): parses the party that the sender wants the other side to be connected to.

use trunkgate_resources::limits::PASSED_VALUE_BYTES;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_route::locate::same_host;
use trunkgate_route::number::AddressIncomplete;
use trunkgate_route::{Number, NumberingPlan, Peer, ReferMode, Trunk};
use trunkgate_sip::header::{NameAddr, Replaces};
use trunkgate_sip::message::unfolded;
use trunkgate_sip::write::reason_phrase;
use trunkgate_sip::{HeaderName, ResponseSpec, Scheme, SipMessage, Uri, has_control};
use trunkgate_story::numbers::{is_control_char, plain, shortened};

/// Transfer requested by a REFER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReferRequest {
    /// Number to call; `None` if `returned` or `replaces` alone identifies the party.
    pub(crate) number: Option<Number>,
    /// Name of the target in traces and logs: its number, else its user part, else the host of a trunk user.
    pub(crate) name: String,
    /// Dialog that the new call replaces (RFC 3891).
    pub(crate) replaces: Option<Replaces>,
    /// Referred-By as received (RFC 3892).
    pub(crate) referred_by: Option<String>,
    /// CSeq of the REFER, which identifies the subscription (RFC 3515 §2.4.6).
    pub(crate) cseq: u32,
    /// True if the sender wants no NOTIFY (RFC 4488).
    pub(crate) is_silent: bool,
    /// Refer-To as Request-URI of an INVITE to the trunk that sent the REFER (`refer = "return"`).
    pub(crate) returned: Option<ReturnedUri>,
}

impl ReferRequest {
    /// Creates a transfer for an HTTP request; `name` is the target in that request.
    pub(crate) fn requested(number: Number, name: &str) -> ReferRequest {
        let (number, name) = (Some(number), name.to_owned());
        ReferRequest { number, name, replaces: None, referred_by: None, cseq: 0, is_silent: true, returned: None }
    }
}

/// Transfer in progress, for which targets are called.
#[derive(Debug, Clone)]
pub(crate) struct ActiveReferral {
    /// Leg of the party that requested the transfer.
    pub(crate) by: LegId,
    /// Requested transfer.
    pub(crate) refer: ReferRequest,
}

/// URI at a host of a trunk, sent back to that trunk unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReturnedUri {
    /// Complete URI without headers.
    pub(crate) text: String,
    host: String,
}

impl ReturnedUri {
    /// Reads the URI of a Refer-To. Returns `None` if the call is not to be returned to its trunk: the host is none of
    /// the trunk's peers, or the URI has parts that a Request-URI must not have (RFC 3261 §19.1.1) or a `maddr`.
    fn of(address: &NameAddr<'_>, uri: &Uri<'_>, trunk: &Trunk) -> Option<ReturnedUri> {
        let text = std::str::from_utf8(address.uri).ok()?.split('?').next()?;
        let is_at = |peer: &Peer| {
            let ports = peer.destination.port.zip(uri.host.port);
            same_host(&peer.destination.host, uri.host.host) && ports.is_none_or(|(own, named)| own == named)
        };
        let is_own = trunk.peers.iter().any(is_at);
        let is_callable = uri.scheme == Scheme::Sip && uri.param("maddr").or(uri.param("method")).is_none();
        let fits = text.len() <= PASSED_VALUE_BYTES && !has_control(text);
        let (text, host) = (text.to_owned(), uri.host.host.to_owned());
        (trunk.refer == ReferMode::Return && is_own && is_callable && fits).then_some(ReturnedUri { text, host })
    }

    /// Returns the peers of the trunk in the order of attempts: those with the URI's host, then by priority.
    pub(crate) fn peers(&self, trunk: &Trunk) -> Vec<Peer> {
        let mut peers = trunk.peers.clone();
        peers.sort_by_key(|peer| (!same_host(&peer.destination.host, &self.host), peer.priority));
        peers
    }
}

/// Refusal of a REFER that cannot be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReferRefusal {
    /// Status code of the refusal.
    pub(crate) code: u16,
    /// Faulty part of the REFER, for the reason phrase.
    pub(crate) part: &'static str,
}

impl ReferRefusal {
    /// Returns the refusal as a response.
    pub(crate) fn answer(self) -> ResponseSpec {
        let reason =
            if self.part.is_empty() { String::new() } else { format!("{}: {}", reason_phrase(self.code), self.part) };
        ResponseSpec { code: self.code, reason, ..ResponseSpec::default() }
    }
}

const fn unreadable(code: u16, part: &'static str) -> ReferRefusal {
    ReferRefusal { code, part }
}

impl ReferRequest {
    /// Parses a REFER from a trunk.
    ///
    /// # Errors
    /// Refer-To is missing, repeated or invalid, has an unsupported scheme, requests another method than
    /// INVITE, or identifies no party.
    pub(crate) fn read(
        request: &SipMessage,
        numbers: &NumberingPlan,
        from: Option<&Trunk>,
    ) -> Result<ReferRequest, ReferRefusal> {
        let mut all = request.headers(HeaderName::ReferTo);
        // RFC 3515 §2.4.2: exactly one.
        let (Some(value), None) = (all.next(), all.next()) else {
            return Err(unreadable(400, "Refer-To"));
        };
        let value = unfolded(value);
        let address = NameAddr::parse(&value).ok_or(unreadable(400, "Refer-To"))?;
        let uri = address.parsed_uri().ok_or(unreadable(400, "Refer-To"))?;
        let user = match uri.scheme {
            Scheme::Tel => uri.user.to_owned(),
            Scheme::Sip | Scheme::Sips => uri.user_unescaped(),
            Scheme::Other => return Err(unreadable(416, "")),
        };
        if uri.param("method").is_some_and(|method| !method.eq_ignore_ascii_case("INVITE")) {
            return Err(unreadable(403, ""));
        }
        let replaces = Replaces::in_uri(uri.headers).map(|read| read.ok_or(unreadable(400, "Replaces"))).transpose()?;
        let user = shortened(&user);
        let mut returned = from.and_then(|trunk| ReturnedUri::of(&address, &uri, trunk));
        let (number, name) = match numbers.normalise(&user, uri.user_param("phone-context")) {
            Ok(number) => (Some(number.clone()), number.text),
            // A user of the trunk without a number: the trunk identifies the party by URI parameters.
            Err(AddressIncomplete) if user.is_empty() && returned.is_some() => (None, uri.host.host.to_owned()),
            // The dialog in Replaces identifies the party, if it is a dialog of this edge.
            Err(AddressIncomplete) if replaces.is_some() && !user.contains(is_control_char) => {
                returned = None;
                (None, user)
            }
            Err(AddressIncomplete) => return Err(unreadable(484, "")),
        };
        let referred_by = request.header(HeaderName::ReferredBy).map(|value| {
            let text = String::from_utf8_lossy(&unfolded(value)).into_owned();
            plain(&text, PASSED_VALUE_BYTES)
        });
        let is_silent = request.header_named("Refer-Sub").is_some_and(|value| {
            let word = value.split(|byte| *byte == b';').next().unwrap_or_default();
            word.trim_ascii().eq_ignore_ascii_case(b"false")
        });
        let cseq = request.cseq().map(|cseq| cseq.number).unwrap_or_default();
        Ok(ReferRequest { number, name, replaces, referred_by, cseq, is_silent, returned })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use std::net::Ipv4Addr;

    use trunkgate_route::{Destination, Transport};

    use super::*;

    fn refer(headers: &str) -> Result<ReferRequest, ReferRefusal> {
        refer_from(headers, None)
    }

    fn refer_from(headers: &str, from: Option<&Trunk>) -> Result<ReferRequest, ReferRefusal> {
        let text = format!(
            "REFER sip:edge@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK-1\r\nMax-Forwards: 70\r\nFrom: <sip:a@192.0.2.2>;tag=1\r\nTo: <sip:b@192.0.2.1>;tag=2\r\nCall-ID: 1\r\nCSeq: 7 REFER\r\n{headers}Content-Length: 0\r\n\r\n"
        );
        let request = SipMessage::parse(Bytes::from(text)).unwrap();
        ReferRequest::read(&request, &NumberingPlan::new("US").unwrap(), from)
    }

    /// A trunk with two host names and an address.
    fn hubs(refer: ReferMode) -> Trunk {
        let peer = |host: &str, priority| {
            let destination =
                Destination { host: host.to_owned(), port: None, transport: Transport::Tls, is_fixed: true };
            Peer { priority, ..Peer::to(format!("sip:{host};transport=tls"), destination) }
        };
        let address = Peer::at(Ipv4Addr::new(192, 0, 2, 7).into(), None, Transport::Udp);
        let peers = vec![peer("hub1.example.com", 1), peer("hub2.example.com", 2), Peer { priority: 3, ..address }];
        Trunk { refer, peers, ..Trunk::named("teams") }
    }

    #[test]
    fn a_refer_to_at_a_host_of_the_trunk_is_returned_as_it_is() {
        let trunk = hubs(ReferMode::Return);
        for (uri, called, name) in [
            ("sip:hub2.example.com:5061;transport=tls;x-m=8:orgid:fce2158f-0e99", None, "hub2.example.com"),
            ("sip:HUB2.example.com;x-t=a%3D", None, "HUB2.example.com"),
            ("sip:+14155550199@hub2.example.com:5061;user=phone", Some("+14155550199"), "+14155550199"),
        ] {
            let refer = refer_from(&format!("Refer-To: <{uri}>\r\n"), Some(&trunk)).unwrap();
            let returned = refer.returned.unwrap();
            let number = refer.number.as_ref().map(|number| number.text.as_str());
            assert_eq!((returned.text.as_str(), number, refer.name.as_str()), (uri, called, name));
            let order: Vec<String> = returned.peers(&trunk).into_iter().map(|peer| peer.destination.host).collect();
            assert_eq!(order, ["hub2.example.com", "hub1.example.com", "192.0.2.7"]);
        }
        let with_replaces = "Refer-To: <sip:192.0.2.7;x-m=1?Replaces=a%3Bto-tag%3D1%3Bfrom-tag%3D2>\r\n";
        let refer = refer_from(with_replaces, Some(&trunk)).unwrap();
        assert_eq!(refer.returned.unwrap().text, "sip:192.0.2.7;x-m=1");
        assert!(refer.replaces.is_some() && refer.number.is_none());
    }

    #[test]
    fn a_refer_to_elsewhere_is_not_returned() {
        let trunk = hubs(ReferMode::Return);
        for uri in [
            "sip:elsewhere.example;x-m=1",
            "sip:xhub1.example.com",
            "sip:hub1.example.com;maddr=192.0.2.9",
            "sips:hub1.example.com",
            "sip:hub1.example.com;method=INVITE",
            "sip:+1x@hub1.example.com",
            "sip:hub1.example.com;x=%0D%0AX-Header:1",
        ] {
            let refer = refer_from(&format!("Refer-To: <{uri}>\r\n"), Some(&trunk));
            assert_eq!(refer.unwrap_err().code, 484, "{uri}");
        }
        let elsewhere = "Refer-To: <sip:+14155550199@elsewhere.example>\r\n";
        assert_eq!(refer_from(elsewhere, Some(&trunk)).unwrap().returned, None);
        for mode in [ReferMode::Local, ReferMode::Relay, ReferMode::Refuse] {
            let trunk = hubs(mode);
            let to_user = "Refer-To: <sip:hub1.example.com;x-m=1>\r\n";
            assert_eq!(refer_from(to_user, Some(&trunk)).unwrap_err().code, 484, "{mode:?}");
            let to_number = "Refer-To: <sip:+14155550199@hub1.example.com>\r\n";
            assert_eq!(refer_from(to_number, Some(&trunk)).unwrap().returned, None, "{mode:?}");
        }
    }

    #[test]
    fn rfc3515_2_4_2_one_refer_to_with_an_address_that_can_be_called() {
        for (headers, called) in [
            ("Refer-To: <sip:+14155550199@192.0.2.1>\r\n", "+14155550199"),
            ("r: sip:4155550199@elsewhere.example\r\n", "+14155550199"),
            ("Refer-To: <tel:+1-415-555-0199>\r\n", "+14155550199"),
            ("Refer-To: \"Bob\" <sips:201@192.0.2.1;transport=tcp>\r\n", "201"),
            ("Refer-To: <sip:%32%30%31@192.0.2.1;method=INVITE>\r\n", "201"),
        ] {
            let refer = refer(headers).unwrap();
            assert_eq!((refer.name.as_str(), refer.cseq, refer.is_silent), (called, 7, false), "{headers}");
            assert_eq!(refer.number.map(|number| number.text).as_deref(), Some(called), "{headers}");
        }
        for (headers, code) in [
            ("", 400),
            ("Refer-To: <sip:201@192.0.2.1>\r\nRefer-To: <sip:202@192.0.2.1>\r\n", 400),
            ("Refer-To: <sip:201@192.0.2.1\r\n", 400),
            ("Refer-To: hello world\r\n", 400),
            ("Refer-To: <http://192.0.2.1/>\r\n", 416),
            ("Refer-To: <sip:201@192.0.2.1;method=BYE>\r\n", 403),
            ("Refer-To: <sip:192.0.2.1>\r\n", 484),
            ("Refer-To: <sip:+1x@192.0.2.1>\r\n", 484),
            ("Refer-To: <sip:201%00@192.0.2.1>\r\n", 484),
            ("Refer-To: <sip:201%0D@192.0.2.1?Replaces=a%3Bto-tag%3D1%3Bfrom-tag%3D2>\r\n", 484),
            ("Refer-To: <tel:+1-809-555-0123-4567-89>\r\n", 484),
        ] {
            assert_eq!(refer(headers).unwrap_err().code, code, "{headers}");
        }
    }

    #[test]
    fn rfc4488_who_wants_no_news_says_so() {
        let to = "Refer-To: <sip:201@192.0.2.1>\r\n";
        assert!(refer(&format!("{to}Refer-Sub: false\r\n")).unwrap().is_silent);
        assert!(refer(&format!("{to}Refer-Sub: FALSE ;x=1\r\n")).unwrap().is_silent);
        assert!(!refer(&format!("{to}Refer-Sub: true\r\n")).unwrap().is_silent);
    }

    #[test]
    fn rfc3892_referrer_is_kept() {
        let by = refer("Refer-To: <sip:201@192.0.2.1>\r\nb: <sip:a@192.0.2.2>\r\n").unwrap().referred_by;
        assert_eq!(by.as_deref(), Some("<sip:a@192.0.2.2>"));
    }
}
