//! RSeq and RAck headers (RFC 3262 §7.1, §7.2).

use crate::header::CSeq;
use crate::method::Method;
use crate::scan::{ByteScanner, number};

/// Parses the RSeq of a reliable provisional response, 1 to 2³²−1.
pub(crate) fn rseq(value: &[u8]) -> Option<u32> {
    number(value).and_then(|number| u32::try_from(number).ok()).filter(|&number| number != 0)
}

/// Value of a RAck header: the provisional response that a PRACK acknowledges (RFC 3262 §7.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RAck {
    /// RSeq number of the acknowledged provisional response.
    pub rseq: u32,
    /// CSeq of the request that the provisional response belongs to.
    pub cseq: CSeq,
}

impl RAck {
    /// Parses a value. Returns `None` if it is malformed.
    pub fn parse(value: &[u8]) -> Option<RAck> {
        let mut scan = ByteScanner::new(value);
        let rseq = rseq(scan.take_while(|byte| byte.is_ascii_digit()))?;
        let before = scan.at();
        scan.skip_lws();
        let rest = value.get(scan.at()..).filter(|_| scan.at() > before)?;
        CSeq::parse(rest).map(|cseq| RAck { rseq, cseq })
    }

    /// Returns the RAck value for a provisional response to an INVITE.
    pub(crate) fn of_invite(rseq: u32, cseq: u32) -> String {
        format!("{rseq} {cseq} {}", Method::Invite)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3262_7_1_numbers_of_provisional_answers() {
        for (value, expected) in [
            ("1", Some(1)),
            ("0988789", Some(988_789)),
            ("4294967295", Some(u32::MAX)),
            ("0", None),
            ("4294967296", None),
            ("-1", None),
            ("1 2", None),
            ("", None),
        ] {
            assert_eq!(rseq(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn rfc3262_7_2_three_parts() {
        let read = RAck::parse(b"776656 1\r\n INVITE");
        assert_eq!(read, Some(RAck { rseq: 776_656, cseq: CSeq { number: 1, method: Method::Invite } }));
        assert_eq!(
            RAck::parse(RAck::of_invite(7, 3).as_bytes()).map(|rack| (rack.rseq, rack.cseq.number)),
            Some((7, 3))
        );
        for value in [
            "",
            "1",
            "1 INVITE",
            "1 2",
            "1 2 ",
            "0 2 INVITE",
            "1 2147483648 INVITE",
            "4294967296 1 INVITE",
            "1 2 INVITE 3",
            "x 1 INVITE",
            "1x 1 INVITE",
        ] {
            assert_eq!(RAck::parse(value.as_bytes()), None, "{value}");
        }
    }
}
