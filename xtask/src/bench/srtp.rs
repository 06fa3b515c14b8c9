//! The SRTP side of the generator: a key of our own against a device's `a=crypto` line.

use anyhow::Context as _;
pub(super) use trunkgate_media::srtp::{Inbound, Outbound, SrtpKey, Suite};

use crate::interop::raw::Text;

/// A suite's name in SDP (RFC 4568 §6.2, RFC 7714 §14.2).
pub(crate) fn name(suite: Suite) -> &'static str {
    match suite {
        Suite::AeadAes128Gcm => "AEAD_AES_128_GCM",
        Suite::AesCm128HmacSha1_80
        | Suite::AesCm128HmacSha1_32
        | Suite::AesCm256HmacSha1_80
        | Suite::AesCm256HmacSha1_32
        | Suite::AeadAes256Gcm => "AES_CM_128_HMAC_SHA1_80",
    }
}

/// Our line in answer to the offered one of this suite, and (what we send with, what we receive with).
pub(crate) fn answer(offer: &Text, suite: Suite) -> anyhow::Result<(String, (SrtpKey, SrtpKey))> {
    let wanted = format!(" {} inline:", name(suite));
    let line = offer
        .0
        .lines()
        .find(|line| line.starts_with("a=crypto:") && line.contains(&wanted))
        .with_context(|| format!("no {} in the offer", name(suite)))?;
    let (tag, theirs) = line.trim_start_matches("a=crypto:").split_once(&wanted).context("a=crypto")?;
    let theirs = theirs.split(['|', ' ']).next().unwrap_or_default();
    // A key that nobody need guess: it protects silence.
    let ours: Vec<u8> = (0u8..).map(|n| n.wrapping_mul(37)).take(suite.key_len() + suite.salt_len()).collect();
    let text = base64(&ours);
    let key = |bytes: &[u8]| SrtpKey::new(suite, bytes, None).context("a key of the wrong length");
    let keys = (key(&ours)?, key(&from_base64(theirs)?)?);
    Ok((format!("{tag} {} inline:{text}", name(suite)), keys))
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn from_base64(text: &str) -> anyhow::Result<Vec<u8>> {
    use base64::Engine as _;
    Ok(base64::engine::general_purpose::STANDARD.decode(text)?)
}
