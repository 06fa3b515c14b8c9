//! CSeq header (RFC 3261 §20.16).

use crate::method::Method;
use crate::scan::{ByteScanner, number};

/// Value of a CSeq header (RFC 3261 §20.16).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CSeq {
    /// Sequence number of the request, below 2³¹.
    pub number: u32,
    /// Method, [`Method::Other`] if unknown.
    pub method: Method,
}

impl CSeq {
    /// Parses a value. Returns `None` if it is malformed or its number is 2³¹ or more (RFC 3261 §8.1.1.5).
    pub fn parse(value: &[u8]) -> Option<CSeq> {
        let (number, token) = CSeq::split(value)?;
        Some(CSeq { number, method: Method::from_token(token) })
    }

    /// Returns the number and the method token as received, which distinguishes unknown methods.
    pub(crate) fn split(value: &[u8]) -> Option<(u32, &[u8])> {
        let mut scan = ByteScanner::new(value);
        let number = number(scan.take_while(|byte| byte.is_ascii_digit()))?;
        let number = u32::try_from(number).ok().filter(|&number| number < 1 << 31)?;
        let before = scan.at();
        scan.skip_lws();
        if scan.at() == before {
            return None;
        }
        let token = scan.token()?;
        scan.is_done().then_some((number, token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_folds_and_leading_zeros() {
        let read = CSeq::parse(b"0009\r\n  INVITE");
        assert_eq!(read, Some(CSeq { number: 9, method: Method::Invite }));
    }

    #[test]
    fn refuses_numbers_out_of_range_and_bad_forms() {
        assert_eq!(CSeq::parse(b"2147483647 BYE").map(|cseq| cseq.number), Some(2_147_483_647));
        for value in
            ["2147483648 BYE", "36893488147419103232 BYE", "-1 BYE", "1BYE", "1", "1 ", "BYE", "1 B YE", "1 BYE;x"]
        {
            assert_eq!(CSeq::parse(value.as_bytes()), None, "{value}");
        }
    }
}
