//! SRTP side of the generator: our key in answer to a device's `a=crypto` line.

use anyhow::Context as _;
pub(crate) use trunkgate_media::srtp::{SrtpInbound, SrtpKey, SrtpOutbound, Suite};

use crate::interop::raw::Text;

/// Returns our `a=crypto` line in answer to the offered one of this suite, and the keys for sending and receiving.
pub(crate) fn answer(offer: &Text, suite: Suite) -> anyhow::Result<(String, (SrtpKey, SrtpKey))> {
    let wanted = format!(" {} inline:", suite.as_str());
    let line = offer
        .0
        .lines()
        .find(|line| line.starts_with("a=crypto:") && line.contains(&wanted))
        .with_context(|| format!("no {} in the offer", suite.as_str()))?;
    let (tag, theirs) = line.trim_start_matches("a=crypto:").split_once(&wanted).context("a=crypto")?;
    let theirs = theirs.split(['|', ' ']).next().unwrap_or_default();
    // The key may be predictable, since it protects silence.
    let ours: Vec<u8> = (0u8..).map(|n| n.wrapping_mul(37)).take(suite.key_len() + suite.salt_len()).collect();
    let text = base64(&ours);
    let key = |bytes: &[u8]| SrtpKey::new(suite, bytes, None).context("a key of the wrong length");
    let keys = (key(&ours)?, key(&from_base64(theirs)?)?);
    Ok((format!("{tag} {} inline:{text}", suite.as_str()), keys))
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn from_base64(text: &str) -> anyhow::Result<Vec<u8>> {
    use base64::Engine as _;
    // Some devices omit the padding.
    Ok(base64::engine::general_purpose::STANDARD_NO_PAD.decode(text.trim_end_matches('='))?)
}
