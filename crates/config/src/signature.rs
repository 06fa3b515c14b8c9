//! Signatures of Standard Webhooks 1.0.0: HMAC-SHA256 of `webhook-id`, `webhook-timestamp` and the body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::Secret;

/// Prefix of a signing secret (Standard Webhooks).
const PREFIX: &str = "whsec_";
/// Length of the decoded secret in bytes.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Decodes a secret (`whsec_` and base64) into its key.
pub(crate) fn key(secret: &str) -> Option<Vec<u8>> {
    let key = STANDARD.decode(secret.strip_prefix(PREFIX)?).ok()?;
    KEY_BYTES.contains(&key.len()).then_some(key)
}

/// Returns the value of `webhook-signature`: one signature per secret, so that a receiver can rotate secrets.
pub fn sign(secrets: &[Secret], id: &str, timestamp: i64, body: &[u8]) -> String {
    let signature = |secret: &Secret| {
        let mut mac = Hmac::<Sha256>::new_from_slice(&key(secret.reveal())?).ok()?;
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    };
    secrets.iter().filter_map(signature).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected value: `Webhook(secret).sign(id, timestamp, body)` of the Python package standardwebhooks 1.1.0.
    #[test]
    fn signatures_are_those_of_the_standards_own_library() {
        let secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="];
        let secrets = secrets.map(|secret| Secret::new(secret.to_owned()));
        let signed =
            sign(&secrets, "CA0123456789abcdef0123456789abcdef", 1_614_265_330, "{\"test\": 2432232314}".as_bytes());
        assert_eq!(
            signed,
            "v1,N28nx6berRHwhlmmFlidWAcIOP/MCPw8jDL+sbn5F/s= v1,KXTofFTUhASyS6w0zYE3H4OwRJkIfZ2t50ADhqjC9ec="
        );
    }

    #[test]
    fn a_secret_is_24_to_64_bytes_in_base64_behind_its_prefix() {
        let secret = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
        assert_eq!(key(&secret(24)).map(|key| key.len()), Some(24));
        assert_eq!(key(&secret(64)).map(|key| key.len()), Some(64));
        for wrong in [secret(23), secret(65), secret(32).replace("whsec_", ""), "whsec_*".to_owned(), String::new()] {
            assert_eq!(key(&wrong), None, "{wrong}");
        }
    }
}
