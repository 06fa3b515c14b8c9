//! `X-Twilio-Signature`: proves to an agent that a stream's handshake comes from the edge, and to the edge that a
//! webhook comes from Twilio.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// Name of the signature's HTTP header.
pub const HEADER: &str = "X-Twilio-Signature";

/// Returns the signature of a handshake to `url`, which is signed as configured: scheme `wss` (or `ws`), host, port
/// if present, path. A fragment after `#` is ignored.
pub fn sign(auth_token: &str, url: &str) -> String {
    compute_signature(auth_token, [url.split('#').next().unwrap_or(url)].into_iter())
}

/// Returns the signature of a form posted to `url`, over the URL followed by the parameters sorted by name, each name
/// directly followed by its value. Duplicate parameters count once.
pub fn sign_form(auth_token: &str, url: &str, form: &[(String, String)]) -> String {
    let form: BTreeSet<&(String, String)> = form.iter().collect();
    let pieces = form.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
    compute_signature(auth_token, [url.split('#').next().unwrap_or(url)].into_iter().chain(pieces))
}

fn compute_signature<'a>(auth_token: &str, pieces: impl Iterator<Item = &'a str>) -> String {
    // HMAC accepts keys of any length.
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(auth_token.as_bytes()) else { return String::new() };
    pieces.for_each(|piece| mac.update(piece.as_bytes()));
    STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Generated with `RequestValidator(token).compute_signature(url, {})` of the Python package twilio 9.13.0.
    const VECTORS: [(&str, &str, &str); 5] = [
        ("12345", "wss://agent.example.com/media", "TCuyLsF3K3bRblNbw7eu4s9Zuks="),
        ("0123456789abcdef0123456789abcdef", "wss://agent.example.com:8443/media/acme", "8b/plJn8KKnyi11ToAkzlCHlbH4="),
        ("töken", "ws://127.0.0.1:9000/", "jf1i2ldooa18ydEq1noDxTDTnfU="),
        ("", "wss://a.example/m", "K1uxEONqnTw1BxfZXaig5MWiFW0="),
        (
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "wss://a.example/m?tenant=acme&b=1",
            "PMnzmCL3vYIcUt+E6DC4+J0iwo8=",
        ),
    ];

    #[test]
    fn signs_as_twilios_validator_expects() {
        for (token, url, signature) in VECTORS {
            assert_eq!(sign(token, url), signature, "{url}");
        }
    }

    /// Published vector of a form.
    #[test]
    fn agrees_with_the_published_vector() {
        let url = "https://mycompany.com/myapp.php?foo=1&bar=2";
        let form = [
            ("To", "+18005551212"),
            ("CallSid", "CA1234567890ABCDE"),
            ("From", "+12349013030"),
            ("Caller", "+12349013030"),
            ("Digits", "1234"),
            ("Digits", "1234"),
        ];
        let form = form.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(sign_form("12345", url, &form), "0/KCTR6DLpKmkAf8muzZqo1nDgQ=");
        assert_eq!(sign_form("12345", url, &[]), sign("12345", url));
    }

    #[test]
    fn the_fragment_is_not_signed() {
        assert_eq!(sign("12345", "wss://a.example/m#rc=2"), sign("12345", "wss://a.example/m"));
    }
}
