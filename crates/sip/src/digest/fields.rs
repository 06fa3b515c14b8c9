//! Parses and writes the headers of digest authentication: WWW-Authenticate, Proxy-Authenticate, Authorization and
//! Proxy-Authorization (RFC 7616 §3.3, §3.4; RFC 3261 §20.7, §20.27, §20.28, §20.44).

use std::borrow::Cow;

use super::{DigestAlgorithm, Qop};
use crate::limits::{AUTH_PARAMETERS, AUTHORIZATION_BYTES, CHALLENGE_BYTES, CHALLENGES};
use crate::scan::{ByteScanner, split};

/// Parameters of one scheme, in order. Quoted values keep their escapes, because they are hashed and sent back in
/// exactly this form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct AuthParameters<'a>(Vec<(&'a [u8], &'a [u8])>);

impl<'a> AuthParameters<'a> {
    fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| *value)
    }

    /// Returns a parameter as text, unless it contains control characters or invalid UTF-8.
    fn text(&self, name: &str) -> Option<&'a str> {
        let text = std::str::from_utf8(self.get(name)?).ok()?;
        (!text.chars().any(char::is_control)).then_some(text)
    }

    /// Returns whether a parameter occurs twice, which makes the header ambiguous.
    fn has_doubles(&self) -> bool {
        let same = |(n, (name, _)): (usize, &(&[u8], &[u8]))| {
            self.0.iter().take(n).any(|(other, _)| other.eq_ignore_ascii_case(name))
        };
        self.0.iter().enumerate().any(same)
    }
}

/// Returns the schemes in the values of a header with their parameters, at most [`CHALLENGES`]. One header may contain
/// several (RFC 9110 §11.6.1); parsing of a header stops at the first malformed part.
fn schemes<'a>(values: impl Iterator<Item = &'a [u8]>, longest: usize) -> Vec<(&'a [u8], AuthParameters<'a>)> {
    let mut schemes: Vec<(&[u8], AuthParameters<'_>)> = Vec::new();
    for value in values.filter(|value| value.len() <= longest) {
        let mut is_first = true;
        for entry in split(value, b',') {
            let mut scan = ByteScanner::new(entry);
            let Some(mut name) = scan.token() else {
                // Empty list elements are not errors (RFC 9110 §5.6.1).
                if scan.is_done() { continue } else { break }
            };
            scan.skip_lws();
            let begins = is_first || scan.peek() != Some(b'=');
            if begins {
                is_first = false;
                if schemes.len() >= CHALLENGES {
                    return schemes;
                }
                schemes.push((name, AuthParameters::default()));
                match scan.token() {
                    Some(parameter) => name = parameter,
                    None if scan.is_done() => continue,
                    None => break,
                }
                scan.skip_lws();
            }
            let Some((_, parameters)) = schemes.last_mut() else { break };
            if !scan.consume_byte(b'=') || parameters.0.len() >= AUTH_PARAMETERS {
                break;
            }
            scan.skip_lws();
            let value = match scan.peek() {
                Some(b'"') => match scan.quoted() {
                    Some(quoted) => quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default(),
                    None => break,
                },
                // A URI, or a value written without the required quotes.
                _ => scan.take_while(|byte| !crate::scan::is_lws(byte) && byte != b'"'),
            };
            scan.skip_lws();
            if !scan.is_done() {
                break;
            }
            parameters.0.push((name, value));
        }
    }
    schemes
}

/// Digest challenge received from a remote party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DigestChallenge {
    /// Realm, with escapes as received.
    pub(crate) realm: String,
    /// Nonce, with escapes as received.
    pub(crate) nonce: String,
    /// Opaque value, with escapes as received.
    pub(crate) opaque: Option<String>,
    pub(crate) algorithm: DigestAlgorithm,
    /// Whether the challenge names its algorithm, in which case the credentials do too.
    pub(crate) names_algorithm: bool,
    /// Quality of protection; `None` selects the computation of RFC 2069.
    pub(crate) qop: Option<Qop>,
    /// Whether the nonce was the only problem.
    pub(crate) stale: bool,
}

/// Returns the challenges of a header that are supported, in order. The server lists its preferred challenge of a
/// realm first (RFC 8760 §2.4).
pub(crate) fn challenges<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<DigestChallenge> {
    let schemes = schemes(values, CHALLENGE_BYTES).into_iter();
    schemes.filter_map(|(scheme, parameters)| challenge(scheme, &parameters)).collect()
}

fn challenge(scheme: &[u8], parameters: &AuthParameters<'_>) -> Option<DigestChallenge> {
    if !scheme.eq_ignore_ascii_case(b"Digest") || parameters.has_doubles() {
        return None;
    }
    let algorithm = parameters.text("algorithm");
    let qop = match parameters.get("qop") {
        Some(list) => {
            let known: Vec<Qop> = split(list, b',').filter_map(Qop::from_token).collect();
            Some(known.iter().copied().find(|qop| *qop == Qop::Auth).or(known.first().copied())?)
        }
        None => None,
    };
    Some(DigestChallenge {
        realm: parameters.text("realm")?.to_owned(),
        nonce: parameters.text("nonce")?.to_owned(),
        opaque: match parameters.get("opaque") {
            Some(_) => Some(parameters.text("opaque")?.to_owned()),
            None => None,
        },
        algorithm: algorithm.map_or(Some(DigestAlgorithm::DEFAULT), DigestAlgorithm::from_token)?,
        names_algorithm: algorithm.is_some(),
        qop,
        stale: parameters.get("stale").is_some_and(|value| value.eq_ignore_ascii_case(b"true")),
    })
}

/// Digest credentials received in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Authorization<'a> {
    pub(crate) username: &'a [u8],
    pub(crate) realm: &'a [u8],
    pub(crate) nonce: &'a [u8],
    pub(crate) uri: &'a [u8],
    pub(crate) response: &'a [u8],
    pub(crate) algorithm: DigestAlgorithm,
    pub(crate) qop: Option<Qop>,
    pub(crate) cnonce: &'a [u8],
    /// Nonce count as received; empty if absent.
    pub(crate) count: &'a [u8],
}

impl Authorization<'_> {
    /// Returns the nonce count; 1 without `qop`, so that such a nonce can be used once. `None` if it is malformed.
    pub(crate) fn nonce_count(&self) -> Option<u32> {
        match self.qop {
            Some(_) => {
                let digits = std::str::from_utf8(self.count).ok().filter(|text| !text.starts_with('+'))?;
                u32::from_str_radix(digits, 16).ok()
            }
            None => Some(1),
        }
    }
}

/// Returns the digest credentials in the values of a header, for any realm.
pub(crate) fn authorizations<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<Authorization<'a>> {
    let schemes = schemes(values, AUTHORIZATION_BYTES).into_iter();
    schemes.filter_map(|(scheme, parameters)| authorization(scheme, &parameters)).collect()
}

fn authorization<'a>(scheme: &[u8], parameters: &AuthParameters<'a>) -> Option<Authorization<'a>> {
    if !scheme.eq_ignore_ascii_case(b"Digest") || parameters.has_doubles() {
        return None;
    }
    let algorithm = parameters.text("algorithm");
    let qop = match parameters.get("qop") {
        Some(token) => Some(Qop::from_token(token)?),
        None => None,
    };
    Some(Authorization {
        username: parameters.get("username")?,
        realm: parameters.get("realm")?,
        nonce: parameters.get("nonce")?,
        uri: parameters.get("uri")?,
        response: parameters.get("response")?,
        algorithm: algorithm.map_or(Some(DigestAlgorithm::DEFAULT), DigestAlgorithm::from_token)?,
        qop,
        cnonce: parameters.get("cnonce").unwrap_or_default(),
        count: parameters.get("nc").unwrap_or_default(),
    })
}

/// Escapes text for a quoted string (RFC 3261 §25.1).
pub(crate) fn quoted(text: &str) -> Cow<'_, str> {
    if text.contains(['"', '\\']) { text.replace('\\', "\\\\").replace('"', "\\\"").into() } else { text.into() }
}

/// Returns the content of a quoted string with its escapes removed.
pub(crate) fn unquoted(raw: &[u8]) -> Cow<'_, [u8]> {
    if !raw.contains(&b'\\') {
        return raw.into();
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut escaped = false;
    for &byte in raw {
        if byte == b'\\' && !escaped {
            escaped = true;
        } else {
            escaped = false;
            bytes.push(byte);
        }
    }
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::super::DigestHash;
    use super::*;

    fn read(value: &str) -> Vec<DigestChallenge> {
        challenges(std::iter::once(value.as_bytes()))
    }

    #[test]
    fn rfc_7616_3_3_a_challenge_in_all_its_forms() {
        let all = read(
            "Digest realm=\"a \\\"b\\\", c\",\r\n nonce = \"n==\" , opaque=\"\",algorithm=sha-256,qop=\"auth-int,auth\", \
             stale=TRUE, domain=\"sip:x\", userhash=false",
        );
        let expected = DigestChallenge {
            realm: "a \\\"b\\\", c".into(),
            nonce: "n==".into(),
            opaque: Some(String::new()),
            algorithm: DigestAlgorithm { hash: DigestHash::Sha256, session: false },
            names_algorithm: true,
            qop: Some(Qop::Auth),
            stale: true,
        };
        assert_eq!(all, [expected]);
        let [old] = read("digest nonce=\"n\",realm=\"r\"").try_into().unwrap();
        assert_eq!(
            (old.algorithm, old.names_algorithm, old.qop, old.stale),
            (DigestAlgorithm::DEFAULT, false, None, false)
        );
        assert_eq!(read("Digest realm=r, nonce=n, qop=auth-int, algorithm=\"MD5\"")[0].qop, Some(Qop::AuthInt));
    }

    #[test]
    fn several_challenges_stand_in_one_header_and_in_several() {
        let one = "Digest realm=\"a\", nonce=\"1\", algorithm=SHA-512-256, Basic realm=\"b\", Negotiate, \
                   Digest nonce=\"2\", realm=\"c\",,";
        let two = "Digest realm=\"d\", nonce=\"3\"";
        let all = challenges([one.as_bytes(), two.as_bytes()].into_iter());
        let names: Vec<(&str, &str)> = all.iter().map(|c| (c.realm.as_str(), c.nonce.as_str())).collect();
        assert_eq!(names, [("a", "1"), ("c", "2"), ("d", "3")]);
    }

    #[test]
    fn what_cannot_be_answered_is_no_challenge() {
        for value in [
            "",
            "Digest",
            "Basic realm=\"r\"",
            "Digest realm=\"r\"",
            "Digest nonce=\"n\"",
            "Digest realm=\"r\", nonce=\"n\", algorithm=SHA-1",
            "Digest realm=\"r\", nonce=\"n\", qop=\"confidential\"",
            "Digest realm=\"r\", nonce=\"n\", nonce=\"m\"",
            "Digest realm=\"r\", nonce=\"n",
            "Digest realm=\"r\r\n x\", nonce=\"n\"",
            "Digest realm=\"r\" x, nonce=\"n\"",
            "Digest realm, nonce=\"n\"",
        ] {
            assert_eq!(read(value), [], "{value}");
        }
        let long = format!("Digest realm=\"r\", nonce=\"{}\"", "n".repeat(CHALLENGE_BYTES));
        assert_eq!(read(&long), []);
        let many: String = (0..AUTH_PARAMETERS).map(|n| format!("x{n}=1, ")).collect();
        assert_eq!(read(&format!("Digest {many}realm=\"r\", nonce=\"n\"")), []);
        let crowd = vec!["Digest realm=\"r\", nonce=\"n\""; 20].join(", ");
        assert_eq!(read(&crowd).len(), CHALLENGES);
    }

    #[test]
    fn an_authorization_as_phones_write_it() {
        let value = "Digest username=\"a\\\"b\", realm=\"r\", nonce=\"n\", uri=\"sip:x@y;a=b,c\", response=\"00ff\", \
                     algorithm=MD5, cnonce=\"c\", qop=auth, nc=0000000a";
        let [read] = authorizations(std::iter::once(value.as_bytes())).try_into().unwrap();
        assert_eq!(unquoted(read.username), b"a\"b".as_slice());
        assert_eq!((read.uri, read.qop, read.nonce_count()), (b"sip:x@y;a=b,c".as_slice(), Some(Qop::Auth), Some(10)));
        for count in ["", "+1", "x", "123456789"] {
            let value = value.replace("0000000a", count);
            let read = authorizations(std::iter::once(value.as_bytes()));
            assert!(read.iter().all(|read| read.nonce_count().is_none()), "{count}");
        }
        let long = value.replace("00ff", &"0".repeat(AUTHORIZATION_BYTES));
        assert_eq!(authorizations(std::iter::once(long.as_bytes())), []);
        let doubled = format!("{value}, username=\"root\"");
        assert_eq!(authorizations(std::iter::once(doubled.as_bytes())), []);
    }

    #[test]
    fn quotes_go_there_and_back() {
        for text in ["plain", "a\"b", "a\\b", "\\\"", ""] {
            assert_eq!(unquoted(quoted(text).as_bytes()), text.as_bytes());
        }
    }
}
