//! Diagnosis of failed authentication towards a trunk, for the operator.

use trunkgate_route::Credentials;
use trunkgate_sip::{SipMessage, asked_realms};

/// Maximum characters of a realm in messages.
const REALM_SHOWN: usize = 64;

/// Returns the fix for a rejected `auth` of a trunk.
pub(crate) fn auth_fix(trunk: &str) -> String {
    format!("check user, password and realm of `auth` in [trunk.{trunk}]")
}

/// Describes the fault of a trunk's `auth` after a final 401 or 407.
pub fn auth_fault(auth: Option<&Credentials>, refusal: &SipMessage) -> String {
    let is_challenge = |name: &[u8]| {
        [&b"WWW-Authenticate"[..], b"Proxy-Authenticate"].iter().any(|known| name.eq_ignore_ascii_case(known))
    };
    if !refusal.fields().any(|(name, _)| is_challenge(name)) {
        return "it came without a challenge (no WWW-Authenticate, no Proxy-Authenticate), so no credentials can be sent".to_owned();
    }
    let Some(auth) = auth else { return "the trunk has no `auth`".to_owned() };
    let realms = asked_realms(refusal);
    let Some(first) = realms.first() else {
        return "its challenge has no digest with MD5, SHA-256 or SHA-512-256".to_owned();
    };
    match &auth.realm {
        Some(own) if !realms.contains(own) => {
            let asked: String = first.chars().take(REALM_SHOWN).collect();
            format!("`realm` of the trunk's `auth` is \"{own}\", but the challenge has \"{asked}\"")
        }
        Some(_) | None => "user or password of the trunk's `auth` is wrong".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_has_its_words() {
        let refusal = |lines: &str| {
            let text = format!(
                "SIP/2.0 407 No\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=2\r\n\
                 Call-ID: c\r\nCSeq: 1 INVITE\r\n{lines}Content-Length: 0\r\n\r\n"
            );
            SipMessage::parse(text.into()).unwrap()
        };
        let asks = refusal("Proxy-Authenticate: Digest realm=\"carrier \\\"x\\\"\", nonce=\"n\"\r\n");
        let auth = |realm: Option<&str>| {
            let realm = realm.map(str::to_owned);
            Some(Credentials { username: "u".into(), password: "p".into(), realm })
        };
        for (auth, refusal, expected) in [
            (None, &asks, "no `auth`"),
            (auth(None), &asks, "user or password"),
            (auth(Some("carrier \"x\"")), &asks, "user or password"),
            (auth(Some("other")), &asks, "is \"other\", but the challenge has \"carrier \"x\"\""),
            (auth(None), &refusal(""), "without a challenge"),
            (
                auth(None),
                &refusal("WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", algorithm=TIGER\r\n"),
                "no digest",
            ),
            (auth(None), &refusal("WWW-Authenticate: Basic realm=\"r\"\r\n"), "no digest"),
        ] {
            let words = auth_fault(auth.as_ref(), refusal);
            assert!(words.contains(expected), "{words} instead of {expected}");
        }
        let long = "r".repeat(300);
        let words = auth_fault(
            auth(Some("x")).as_ref(),
            &refusal(&format!("WWW-Authenticate: Digest realm=\"{long}\", nonce=\"n\"\r\n")),
        );
        assert!(words.len() < 150, "{words}");
    }
}
