//! One `a=crypto` line (RFC 4568 §4, §6): suite, master keys with salts, and session parameters. [`crate::keying`]
//! negotiates with these lines. `Debug` never prints keys.

use std::fmt;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use trunkgate_terms::Suite;

use crate::limits;

/// Base64 engine that writes padding and accepts input without it, as some implementations send.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Maximum lifetime of a master key, in packets (RFC 3711 §9.2).
const LIFETIME_PACKETS: u64 = 1 << 48;

/// Master key identifier, carried in packets to distinguish a sender's master keys (RFC 3711 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mki {
    /// Value of the master key identifier (MKI).
    pub value: u64,
    /// Length of the identifier in a packet, 1 to 128 bytes.
    pub len: u8,
}

impl Mki {
    fn parse(value: &str, len: &str) -> Option<Mki> {
        let (value, len) = (number(value)?, u8::try_from(number(len)?).ok()?);
        let fits = len >= 8 || value >> (u32::from(len) * 8) == 0;
        (fits && (1..=limits::MKI_BYTES).contains(&len)).then_some(Mki { value, len })
    }

    /// Returns the identifier as encoded in packets, big-endian.
    pub fn to_bytes(self) -> Vec<u8> {
        let len = usize::from(self.len);
        let value = self.value.to_be_bytes();
        let mut bytes = vec![0; len.saturating_sub(value.len())];
        bytes.extend(value.into_iter().skip(value.len().saturating_sub(len)));
        bytes
    }
}

/// Master key with its salt, as in an `inline:` parameter.
#[derive(Clone, PartialEq, Eq)]
pub struct InlineKey {
    /// Key followed by salt, with the lengths required by the suite.
    pub key_salt: Vec<u8>,
    /// Lifetime announced by the key's owner, in packets; not enforced here.
    pub lifetime: Option<u64>,
    /// Master key identifier in the packets of the key's owner.
    pub mki: Option<Mki>,
}

impl InlineKey {
    /// Creates a local key without lifetime and MKI.
    pub fn new(key_salt: Vec<u8>) -> InlineKey {
        InlineKey { key_salt, lifetime: None, mki: None }
    }

    /// Parses `inline:BASE64[|lifetime][|MKI:length]`. Returns `None` if it is malformed or does not fit the suite.
    fn parse(text: &str, suite: Suite) -> Option<InlineKey> {
        let (method, info) = text.split_once(':')?;
        let mut parts = info.split('|');
        let key_salt = BASE64.decode(parts.next().filter(|_| method.eq_ignore_ascii_case("inline"))?).ok()?;
        let mut key = InlineKey::new(key_salt);
        for part in parts {
            match part.split_once(':') {
                Some((value, len)) if key.mki.is_none() => key.mki = Some(Mki::parse(value, len)?),
                None if key.lifetime.is_none() && key.mki.is_none() => key.lifetime = Some(lifetime(part)?),
                Some(_) | None => return None,
            }
        }
        (key.key_salt.len() == suite.key_len() + suite.salt_len()).then_some(key)
    }
}

impl fmt::Debug for InlineKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InlineKey").field("mki", &self.mki).finish_non_exhaustive()
    }
}

impl fmt::Display for InlineKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "inline:{}", BASE64.encode(&self.key_salt))?;
        if let Some(packets) = self.lifetime {
            write!(f, "|{packets}")?;
        }
        self.mki.map_or(Ok(()), |mki| write!(f, "|{}:{}", mki.value, mki.len))
    }
}

/// Parsed `a=crypto` line of a supported suite.
#[derive(Clone, PartialEq, Eq)]
pub struct CryptoAttribute {
    /// Tag that identifies the line within its section; the answer repeats the tag of the selected line.
    pub tag: u32,
    /// Crypto suite of the attribute.
    pub suite: Suite,
    /// Suite name as written, repeated in an answer.
    pub name: String,
    /// Master keys, at least one; several are distinguished by MKI.
    pub keys: Vec<InlineKey>,
    /// Session parameters, as written.
    pub parameters: Vec<String>,
}

impl CryptoAttribute {
    /// Creates a local line with one key.
    pub fn new(tag: u32, suite: Suite, key: InlineKey) -> CryptoAttribute {
        CryptoAttribute { tag, suite, name: suite.as_str().to_owned(), keys: vec![key], parameters: Vec::new() }
    }

    /// Parses the attribute value. Returns `None` for an unsupported suite or an unusable key.
    pub fn parse(value: &str) -> Option<CryptoAttribute> {
        if value.len() > limits::CRYPTO_BYTES {
            return None;
        }
        let mut words = value.split_ascii_whitespace();
        let tag = words.next().filter(|tag| tag.len() <= limits::TAG_DIGITS)?;
        let tag = u32::try_from(number(tag)?).ok()?;
        let name = words.next()?;
        let suite = Suite::of_name(name)?;
        let mut keys: Vec<InlineKey> = Vec::new();
        for text in words.next()?.split(';') {
            let key = InlineKey::parse(text, suite).filter(|_| keys.len() < limits::KEYS_PER_LINE)?;
            keys.push(key);
        }
        if !can_be_told_apart(&keys) {
            return None;
        }
        let parameters: Vec<String> = words.map(str::to_owned).collect();
        Some(CryptoAttribute { tag, suite, name: name.to_owned(), keys, parameters })
    }

    /// Returns whether the session parameters are acceptable (RFC 4568 §6.3). Parameters that reduce protection or
    /// change key derivation are not, nor are unknown mandatory ones.
    pub fn is_usable(&self) -> bool {
        self.parameters.iter().all(|parameter| {
            let name = parameter.split('=').next().unwrap_or_default().to_ascii_uppercase();
            name.starts_with('-') || matches!(name.as_str(), "FEC_ORDER" | "FEC_KEY" | "WSH")
        })
    }
}

impl fmt::Debug for CryptoAttribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Session parameters may contain a key (FEC_KEY) and are not printed.
        write!(f, "Crypto({} {} {} keys)", self.tag, self.suite.as_str(), self.keys.len())
    }
}

impl fmt::Display for CryptoAttribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.tag, self.name)?;
        for (at, key) in self.keys.iter().enumerate() {
            write!(f, "{}{key}", if at == 0 { "" } else { ";" })?;
        }
        self.parameters.iter().try_for_each(|parameter| write!(f, " {parameter}"))
    }
}

/// Returns whether packets identify the key that they use: several keys need MKIs of equal length and different values
/// (RFC 4568 §6.1).
/// (RFC 4568 §6.1).
fn can_be_told_apart(keys: &[InlineKey]) -> bool {
    let different = |(at, key): (usize, &InlineKey)| {
        let before = keys.get(..at).unwrap_or_default();
        key.mki.is_some_and(|mki| {
            before.iter().all(|other| other.mki.is_some_and(|o| o.len == mki.len && o.value != mki.value))
        })
    };
    keys.len() == 1 || keys.iter().enumerate().all(different)
}

/// Parses a lifetime, `2^20` or a number of packets.
fn lifetime(text: &str) -> Option<u64> {
    let packets = match text.strip_prefix("2^") {
        Some(power) => 1_u64.checked_shl(u32::try_from(number(power)?).ok()?)?,
        None => number(text)?,
    };
    (1..=LIFETIME_PACKETS).contains(&packets).then_some(packets)
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys of 30, 46, 28 and 44 bytes.
    const KEY_30: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
    const KEY_46: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLQ==";
    const KEY_28: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw==";
    const KEY_44: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKis=";

    #[test]
    fn rfc4568_9_1_examples() {
        for line in [
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_30}"),
            format!("999999999 AES_CM_128_HMAC_SHA1_32 inline:{KEY_30}|1048576|1:4"),
            format!("2 AES_CM_128_HMAC_SHA1_80 inline:{KEY_30}|1:4;inline:{KEY_30}|2:4 FEC_ORDER=FEC_SRTP"),
            format!("3 AES_256_CM_HMAC_SHA1_80 inline:{KEY_46}"),
            format!("3 AES_CM_256_HMAC_SHA1_32 inline:{KEY_46}"),
            format!("4 AEAD_AES_128_GCM inline:{KEY_28}"),
            format!("5 AEAD_AES_256_GCM inline:{KEY_44} WSH=64 -own"),
        ] {
            let crypto = CryptoAttribute::parse(&line).unwrap();
            assert_eq!(crypto.to_string(), line);
            assert!(crypto.is_usable(), "{line}");
        }
        let short = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_30}|2^20|1:4");
        let key = CryptoAttribute::parse(&short).unwrap().keys.remove(0);
        assert_eq!((key.lifetime, key.mki), (Some(1 << 20), Some(Mki { value: 1, len: 4 })));
        assert_eq!(key.mki.unwrap().to_bytes(), [0, 0, 0, 1]);
        assert_eq!(Mki { value: 258, len: 9 }.to_bytes(), [0, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(Mki { value: 258, len: 2 }.to_bytes(), [1, 2]);
    }

    #[test]
    fn padding_may_be_missing_and_names_have_any_case() {
        for line in [
            format!("1 AEAD_AES_128_GCM inline:{}", KEY_28.trim_end_matches('=')),
            format!(" 1  aead_aes_128_gcm  INLINE:{KEY_28} "),
        ] {
            assert_eq!(CryptoAttribute::parse(&line).unwrap().suite, Suite::AeadAes128Gcm, "{line}");
        }
    }

    #[test]
    fn what_nobody_could_use_is_left_out() {
        for line in [
            String::new(),
            "1".to_owned(),
            "1 AES_CM_128_HMAC_SHA1_80".to_owned(),
            format!("1 F8_128_HMAC_SHA1_80 inline:{KEY_30}"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_28}"),
            format!("1 AEAD_AES_128_GCM inline:{KEY_30}"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_30}=="),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_30}!"),
            format!("1 AES_CM_128_HMAC_SHA1_80 uri:{KEY_30}"),
            format!("1 AES_CM_128_HMAC_SHA1_80 {KEY_30}"),
            format!("x AES_CM_128_HMAC_SHA1_80 inline:{KEY_30}"),
            format!("-1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_30}"),
            format!("1234567890 AES_CM_128_HMAC_SHA1_80 inline:{KEY_30}"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_30}|2^49"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_30}|2^64"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_30}|0"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_30}|1:0"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_30}|1:129"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_30}|256:1"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_30}|1:4|2^20"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_30}|1:4|1:4"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_30};inline:{KEY_30}"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_30}|1:4;inline:{KEY_30}|1:4"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_30}|1:4;inline:{KEY_30}|2:2"),
        ] {
            assert_eq!(CryptoAttribute::parse(&line), None, "{line}");
        }
    }

    #[test]
    fn rfc4568_6_3_parameters_decide_whether_a_line_may_be_chosen() {
        for (parameters, usable) in [
            ("FEC_ORDER=SRTP_FEC FEC_KEY=inline:abc WSH=128", true),
            ("-anything=1", true),
            ("KDR=0", false),
            ("KDR=24", false),
            ("UNENCRYPTED_SRTP", false),
            ("unencrypted_srtcp", false),
            ("UNAUTHENTICATED_SRTP", false),
            ("WSH=64 newer=1", false),
        ] {
            let line = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_30} {parameters}");
            assert_eq!(CryptoAttribute::parse(&line).unwrap().is_usable(), usable, "{parameters}");
        }
    }

    #[test]
    fn limits_hold() {
        let keys = |count: usize| {
            let keys: Vec<String> = (0..count).map(|n| format!("inline:{KEY_30}|{n}:4")).collect();
            CryptoAttribute::parse(&format!("1 AES_CM_128_HMAC_SHA1_80 {}", keys.join(";")))
        };
        assert_eq!(keys(limits::KEYS_PER_LINE).unwrap().keys.len(), limits::KEYS_PER_LINE);
        assert_eq!(keys(limits::KEYS_PER_LINE + 1), None);
        let line = |len: usize| format!("{:len$}", format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_30}"));
        assert!(CryptoAttribute::parse(&line(limits::CRYPTO_BYTES)).is_some());
        assert_eq!(CryptoAttribute::parse(&line(limits::CRYPTO_BYTES + 1)), None);
    }

    #[test]
    fn debug_shows_no_key() {
        let line = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_30}|1:4 FEC_KEY=inline:{KEY_30}");
        let crypto = CryptoAttribute::parse(&line).unwrap();
        let shown = format!("{crypto:?} {:?}", crypto.keys);
        assert!(!shown.contains("WVN") && !shown.contains("89, 83"), "{shown}");
    }
}
