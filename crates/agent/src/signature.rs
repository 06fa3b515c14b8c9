//! `X-Twilio-Signature` of a stream's handshake: it tells the agent that the socket comes from us. Of a webhook's signature
//! only the URL is here: a stream has no parameters.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// The header's name.
pub const HEADER: &str = "X-Twilio-Signature";

/// The header's value for a handshake to `url`, written as the agent is configured: scheme `wss` (or `ws`), host, port if
/// written, path. What is behind a `#` is not part of it.
pub fn sign(auth_token: &str, url: &str) -> String {
    let url = url.split('#').next().unwrap_or(url);
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(auth_token.as_bytes()) else { return String::new() };
    mac.update(url.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with `RequestValidator(token).compute_signature(url, {})` of the Python package twilio 9.13.0.
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

    /// The published vector of a form: its parameters stand behind the URL, sorted, without separators.
    #[test]
    fn agrees_with_the_published_vector() {
        let signed = "https://mycompany.com/myapp.php?foo=1&bar=2\
                      CallSidCA1234567890ABCDECaller+12349013030Digits1234From+12349013030To+18005551212";
        assert_eq!(sign("12345", signed), "0/KCTR6DLpKmkAf8muzZqo1nDgQ=");
    }

    #[test]
    fn the_fragment_is_not_signed() {
        assert_eq!(sign("12345", "wss://a.example/m#rc=2"), sign("12345", "wss://a.example/m"));
    }
}
