//! REFER as it is read (RFC 3515 §2.4, RFC 4488): the party that the sender wants the other side to be connected with.

use trunkgate_resources::limits::PASSED_VALUE_BYTES;
use trunkgate_route::number::Incomplete;
use trunkgate_route::{Number, Numbers};
use trunkgate_sip::header::{NameAddr, Replaces};
use trunkgate_sip::message::unfolded;
use trunkgate_sip::write::reason_phrase;
use trunkgate_sip::{Answer, HeaderName, Message, Scheme};
use trunkgate_story::numbers::{plain, shortened, steers};

/// What a REFER asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refer {
    /// Who is to be called.
    pub(crate) number: Number,
    /// Whether that number can be called; one that cannot is read only where Replaces says who is meant.
    pub(crate) is_callable: bool,
    /// The dialog that the call to it is to replace (RFC 3891).
    pub(crate) replaces: Option<Replaces>,
    /// Referred-By as it came (RFC 3892).
    pub(crate) referred_by: Option<String>,
    /// Its CSeq, which names the subscription (RFC 3515 §2.4.6).
    pub(crate) cseq: u32,
    /// Whether it wants to hear nothing of what comes of it (RFC 4488).
    pub(crate) is_silent: bool,
}

/// Why a REFER is none that can be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unreadable {
    /// Status code.
    pub(crate) code: u16,
    /// The part that is wrong, for the reason phrase.
    pub(crate) part: &'static str,
}

impl Unreadable {
    /// As an answer.
    pub(crate) fn answer(self) -> Answer {
        let reason =
            if self.part.is_empty() { String::new() } else { format!("{}: {}", reason_phrase(self.code), self.part) };
        Answer { code: self.code, reason, ..Answer::default() }
    }
}

const fn unreadable(code: u16, part: &'static str) -> Unreadable {
    Unreadable { code, part }
}

impl Refer {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it: its Refer-To is missing, double or no address, no URI of a scheme that can be called, asks for
    /// something else than an INVITE, or names nobody.
    pub(crate) fn read(request: &Message, numbers: &Numbers) -> Result<Refer, Unreadable> {
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
        let (number, is_callable) = match numbers.normalise(&user, uri.user_param("phone-context")) {
            Ok(number) => (number, true),
            // Who is meant is said by the dialog, where that is one of this edge.
            Err(Incomplete) if replaces.is_some() && !user.contains(steers) => {
                (Number { text: user.clone(), is_e164: false, received: user }, false)
            }
            Err(Incomplete) => return Err(unreadable(484, "")),
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
        Ok(Refer { number, is_callable, replaces, referred_by, cseq, is_silent })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn refer(headers: &str) -> Result<Refer, Unreadable> {
        let text = format!(
            "REFER sip:edge@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK-1\r\nMax-Forwards: 70\r\nFrom: <sip:a@192.0.2.2>;tag=1\r\nTo: <sip:b@192.0.2.1>;tag=2\r\nCall-ID: 1\r\nCSeq: 7 REFER\r\n{headers}Content-Length: 0\r\n\r\n"
        );
        let request = Message::parse(Bytes::from(text)).unwrap();
        Refer::read(&request, &Numbers::new("US").unwrap())
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
            assert_eq!((refer.number.text.as_str(), refer.cseq, refer.is_silent), (called, 7, false), "{headers}");
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
    fn rfc3892_who_refers_is_kept_as_it_came() {
        let by = refer("Refer-To: <sip:201@192.0.2.1>\r\nb: <sip:a@192.0.2.2>\r\n").unwrap().referred_by;
        assert_eq!(by.as_deref(), Some("<sip:a@192.0.2.2>"));
    }
}
