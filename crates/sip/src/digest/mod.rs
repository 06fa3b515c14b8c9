//! Digest authentication (RFC 7616, RFC 8760, RFC 3261 §22): hash computations. `fields` parses and writes the
//! headers, [`keyring`] is the client side and [`challenger`] the server side.

pub(crate) mod challenger;
pub(crate) mod fields;
pub(crate) mod keyring;

use md5::Md5;
use sha2::{Digest, Sha256, Sha512_256};

use trunkgate_terms::{Credentials, DigestHash};

use crate::header::HeaderName;
use crate::message::SipMessage;
use fields::{challenges, unquoted};

/// Returns the realms of the supported challenges in `refusal`, a 401 or 407.
pub fn asked_realms(refusal: &SipMessage) -> Vec<String> {
    let of = |name| challenges(refusal.headers(name));
    let all = [HeaderName::WwwAuthenticate, HeaderName::ProxyAuthenticate].into_iter().flat_map(of);
    all.map(|challenge| String::from_utf8_lossy(&unquoted(challenge.realm.as_bytes())).into_owned()).collect()
}

/// Digest algorithm as named in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DigestAlgorithm {
    pub(crate) hash: DigestHash,
    /// Whether the secret is hashed again with both nonces (`-sess` variants).
    pub(crate) session: bool,
}

impl DigestAlgorithm {
    /// Algorithm assumed if a header names none (RFC 7616 §3.3).
    pub(crate) const DEFAULT: DigestAlgorithm = DigestAlgorithm { hash: DigestHash::Md5, session: false };

    const ALL: [(&'static str, DigestHash, bool); 6] = [
        ("MD5", DigestHash::Md5, false),
        ("MD5-sess", DigestHash::Md5, true),
        ("SHA-256", DigestHash::Sha256, false),
        ("SHA-256-sess", DigestHash::Sha256, true),
        ("SHA-512-256", DigestHash::Sha512_256, false),
        ("SHA-512-256-sess", DigestHash::Sha512_256, true),
    ];

    pub(crate) fn from_token(token: &str) -> Option<DigestAlgorithm> {
        let known = DigestAlgorithm::ALL.into_iter().find(|(name, ..)| name.eq_ignore_ascii_case(token));
        known.map(|(_, hash, session)| DigestAlgorithm { hash, session })
    }

    pub(crate) fn as_str(self) -> &'static str {
        let known =
            DigestAlgorithm::ALL.into_iter().find(|(_, hash, session)| (*hash, *session) == (self.hash, self.session));
        known.map_or("", |(name, ..)| name)
    }
}

/// Quality of protection: the parts of a message that are authenticated (RFC 7616 §3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Qop {
    /// The digest covers method and URI.
    Auth,
    /// The digest covers method, URI and body.
    AuthInt,
}

impl Qop {
    pub(crate) fn from_token(token: &[u8]) -> Option<Qop> {
        match token {
            _ if token.eq_ignore_ascii_case(b"auth") => Some(Qop::Auth),
            _ if token.eq_ignore_ascii_case(b"auth-int") => Some(Qop::AuthInt),
            _ => None,
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Qop::Auth => "auth",
            Qop::AuthInt => "auth-int",
        }
    }
}

/// Parts of a request that its digest covers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DigestSubject<'a> {
    pub(crate) method: &'a [u8],
    pub(crate) uri: &'a [u8],
    pub(crate) body: &'a [u8],
}

/// Nonces of server and client in one exchange.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DigestNonces<'a> {
    pub(crate) nonce: &'a [u8],
    pub(crate) cnonce: &'a [u8],
    /// Nonce count as written: eight hexadecimal digits.
    pub(crate) count: &'a [u8],
}

/// Returns `H(user:realm:password)` in hexadecimal, the only form of a password that a server has to store.
pub(crate) fn secret(hash: DigestHash, username: &[u8], realm: &[u8], password: &[u8]) -> String {
    digest(hash, &[username, realm, password])
}

/// Computes the response (RFC 7616 §3.4.1, or RFC 2069 without `qop`). `secret` is the result of [`secret`].
pub(crate) fn response(
    algorithm: DigestAlgorithm,
    secret: &str,
    qop: Option<Qop>,
    nonces: DigestNonces<'_>,
    subject: DigestSubject<'_>,
) -> String {
    let hash = algorithm.hash;
    let DigestNonces { nonce, cnonce, count } = nonces;
    let session = algorithm.session.then(|| digest(hash, &[secret.as_bytes(), nonce, cnonce]));
    let secret = session.as_deref().unwrap_or(secret).as_bytes();
    let second = match qop {
        Some(Qop::AuthInt) => {
            let body = digest(hash, &[subject.body]);
            digest(hash, &[subject.method, subject.uri, body.as_bytes()])
        }
        Some(Qop::Auth) | None => digest(hash, &[subject.method, subject.uri]),
    };
    match qop {
        Some(qop) => digest(hash, &[secret, nonce, count, cnonce, qop.as_str().as_bytes(), second.as_bytes()]),
        None => digest(hash, &[secret, nonce, second.as_bytes()]),
    }
}

/// Hashes parts joined by colons. Returns hexadecimal digits.
fn digest(hash: DigestHash, parts: &[&[u8]]) -> String {
    match hash {
        DigestHash::Md5 => hash_of::<Md5>(parts),
        DigestHash::Sha256 => hash_of::<Sha256>(parts),
        DigestHash::Sha512_256 => hash_of::<Sha512_256>(parts),
    }
}

fn hash_of<D: Digest>(parts: &[&[u8]]) -> String {
    let mut hasher = D::new();
    for (n, part) in parts.iter().enumerate() {
        if n > 0 {
            hasher.update(b":");
        }
        hasher.update(part);
    }
    hex(&hasher.finalize())
}

/// Encodes bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |n: u8| DIGITS.get(usize::from(n)).copied().map_or('0', char::from);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get<'a>(uri: &'a str) -> DigestSubject<'a> {
        DigestSubject { method: b"GET", uri: uri.as_bytes(), body: b"" }
    }

    #[test]
    fn rfc_2617_3_5_the_example() {
        let secret = secret(DigestHash::Md5, b"Mufasa", b"testrealm@host.com", b"Circle Of Life");
        let nonces =
            DigestNonces { nonce: b"dcd98b7102dd2f0e8b11d0f600bfb0c093", cnonce: b"0a4f113b", count: b"00000001" };
        let response = response(DigestAlgorithm::DEFAULT, &secret, Some(Qop::Auth), nonces, get("/dir/index.html"));
        assert_eq!(response, "6629fae49393a05397450978507c4ef1");
    }

    #[test]
    fn rfc_7616_3_9_1_md5_and_sha_256() {
        let nonces = DigestNonces {
            nonce: b"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            cnonce: b"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            count: b"00000001",
        };
        for (name, expected) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let algorithm = DigestAlgorithm::from_token(name).unwrap();
            let secret = secret(algorithm.hash, b"Mufasa", b"http-auth@example.org", b"Circle of Life");
            assert_eq!(response(algorithm, &secret, Some(Qop::Auth), nonces, get("/dir/index.html")), expected);
        }
    }

    /// RFC 7616 §3.9.2 with the response of erratum 4897, since the published one was computed with another function.
    #[test]
    fn rfc_7616_3_9_2_sha_512_256() {
        let secret = secret(DigestHash::Sha512_256, "Jäsøn Doe".as_bytes(), b"api@example.org", b"Secret, or not?");
        let nonces = DigestNonces {
            nonce: b"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
            cnonce: b"NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
            count: b"00000001",
        };
        let algorithm = DigestAlgorithm::from_token("SHA-512-256").unwrap();
        let response = response(algorithm, &secret, Some(Qop::Auth), nonces, get("/doe.json"));
        assert_eq!(response, "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5");
    }

    /// RFC 2069 §2.4 with its erratum: response without `qop`.
    #[test]
    fn rfc_2069_2_4_without_qop() {
        let secret = secret(DigestHash::Md5, b"Mufasa", b"testrealm@host.com", b"CircleOfLife");
        let nonces = DigestNonces { nonce: b"dcd98b7102dd2f0e8b11d0f600bfb0c093", cnonce: b"", count: b"" };
        let response = response(DigestAlgorithm::DEFAULT, &secret, None, nonces, get("/dir/index.html"));
        assert_eq!(response, "1949323746fe6a43ef61f9606e7febea");
    }

    #[test]
    fn each_algorithm_is_known_by_its_name_in_any_case() {
        for (name, ..) in DigestAlgorithm::ALL {
            assert_eq!(
                DigestAlgorithm::from_token(&name.to_ascii_lowercase()).map(DigestAlgorithm::as_str),
                Some(name)
            );
        }
        assert_eq!(DigestAlgorithm::from_token("SHA-1"), None);
    }

    #[test]
    fn the_body_counts_with_auth_int_only_and_a_session_mixes_the_nonces_in() {
        let nonces = DigestNonces { nonce: b"n", cnonce: b"c", count: b"00000001" };
        let subject = |body| DigestSubject { method: b"INVITE", uri: b"sip:a@b", body };
        let md5 = DigestAlgorithm::DEFAULT;
        let with = |algorithm, qop, body: &'static [u8]| response(algorithm, "s", Some(qop), nonces, subject(body));
        assert_eq!(with(md5, Qop::Auth, b"x"), with(md5, Qop::Auth, b"y"));
        assert_ne!(with(md5, Qop::AuthInt, b"x"), with(md5, Qop::AuthInt, b"y"));
        let session = DigestAlgorithm { session: true, ..md5 };
        let mixed = digest(DigestHash::Md5, &[b"s", b"n", b"c"]);
        assert_eq!(with(session, Qop::Auth, b""), response(md5, &mixed, Some(Qop::Auth), nonces, subject(b"")));
    }

    #[test]
    fn credentials_are_not_shown() {
        let credentials = Credentials { username: "u".into(), password: "hidden".into(), realm: None };
        assert!(!format!("{credentials:?}").contains("hidden"));
    }
}
