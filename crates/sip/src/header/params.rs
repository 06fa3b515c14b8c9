//! Parameters after a header value: `;name=value;flag` (RFC 3261 §7.3.1, generic-param).

use crate::scan::{ByteClass, ByteScanner, split, split_once, trim};

/// Returns a parameter by case-insensitive name, including quotes; a parameter without value is `Some(b"")`.
pub(crate) fn find<'a>(params: &'a [u8], name: &str) -> Option<&'a [u8]> {
    split(params, b';').find_map(|entry| {
        let (key, value) = split_once(entry, b'=').unwrap_or((entry, b""));
        trim(key).eq_ignore_ascii_case(name.as_bytes()).then(|| trim(value))
    })
}

/// Returns whether `params` is a possibly empty sequence of well-formed `;name[=value]`.
pub(crate) fn are_sound(params: &[u8]) -> bool {
    let mut rest = HeaderParams::new(params);
    while rest.next().is_some() {}
    rest.are_sound()
}

/// Iterator over `;name[=value]` parameters that stops at the first malformed one.
pub(crate) struct HeaderParams<'a> {
    scan: ByteScanner<'a>,
}

impl<'a> HeaderParams<'a> {
    pub(crate) fn new(params: &'a [u8]) -> HeaderParams<'a> {
        let mut scan = ByteScanner::new(params);
        scan.skip_lws();
        HeaderParams { scan }
    }

    /// Returns whether the input was well-formed and has been read completely.
    pub(crate) fn are_sound(&self) -> bool {
        self.scan.is_done()
    }
}

impl<'a> Iterator for HeaderParams<'a> {
    type Item = (&'a [u8], &'a [u8]);

    /// Returns name and value of the next parameter; the value keeps its quotes and is empty if absent.
    fn next(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let mut scan = self.scan;
        if !scan.consume_byte(b';') {
            return None;
        }
        scan.skip_lws();
        let name = scan.token()?;
        scan.skip_lws();
        let mut value = b"".as_slice();
        if scan.consume_byte(b'=') {
            scan.skip_lws();
            // Quoted string, token or host; opaque values seen in practice (`=` padding) are accepted too.
            value = match scan.peek() {
                Some(b'"') => scan.quoted()?,
                _ => scan.take_while(is_value),
            };
            if value.is_empty() {
                return None;
            }
            scan.skip_lws();
        }
        self.scan = scan;
        Some((name, value))
    }
}

fn is_value(byte: u8) -> bool {
    static VALUE: ByteClass = ByteClass::all_but_controls_and(b" ;,\"<>");
    VALUE.has(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_by_name_through_white_space_and_quotes() {
        let params = b" ;\r\n  A = \"x;tag=1\" ; tag    = 1918181833n ;lr";
        assert_eq!(find(params, "tag"), Some(b"1918181833n".as_slice()));
        assert_eq!(find(params, "a"), Some(b"\"x;tag=1\"".as_slice()));
        assert_eq!(find(params, "LR"), Some(b"".as_slice()));
        assert_eq!(find(params, "x"), None);
    }

    #[test]
    fn empty_parameters_are_unsound() {
        for params in ["", ";a", ";a=b;c", " ; a = \"b;;\" ; c", ";received=[2001:db8::1]"] {
            assert!(are_sound(params.as_bytes()), "{params}");
        }
        for params in [";", ";;", ";a;;b", ";a=", ";=b", "a", ";a=\"b", ";a b", ";a=b c"] {
            assert!(!are_sound(params.as_bytes()), "{params}");
        }
    }
}
