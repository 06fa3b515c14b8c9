//! Negotiated master key of one direction, never printed or logged.

use std::fmt;

use zeroize::Zeroizing;

use super::suite::Suite;
use crate::limits::SRTP_MKI_BYTES;

/// Master key and salt of one direction, with the optional master key identifier (MKI) of its packets. Wiped when
/// dropped.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "StoredSrtpKey", into = "StoredSrtpKey")]
pub struct SrtpKey {
    suite: Suite,
    material: Zeroizing<Vec<u8>>,
    mki: Option<Box<[u8]>>,
}

/// Reason why a master key is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyError {
    /// The length of key and salt does not match the suite.
    Material,
    /// The MKI is empty or longer than [`SRTP_MKI_BYTES`].
    Mki,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyError::Material => "key and salt do not have the length of the suite",
            KeyError::Mki => "the MKI is empty or too long",
        })
    }
}

impl std::error::Error for KeyError {}

impl SrtpKey {
    /// Creates a key from a master key followed by its salt, as in `inline:` (RFC 4568 §6.1).
    ///
    /// # Errors
    ///
    /// Returns an error if the length of `material` does not match the suite, or the MKI has a wrong length.
    pub fn new(suite: Suite, material: &[u8], mki: Option<&[u8]>) -> Result<SrtpKey, KeyError> {
        if material.len() != suite.key_len() + suite.salt_len() {
            return Err(KeyError::Material);
        }
        if mki.is_some_and(|mki| mki.is_empty() || mki.len() > SRTP_MKI_BYTES) {
            return Err(KeyError::Mki);
        }
        Ok(SrtpKey { suite, material: Zeroizing::new(material.to_vec()), mki: mki.map(Box::from) })
    }

    /// Returns the crypto suite that the key is for.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Returns the master key followed by the salt.
    pub fn material(&self) -> &[u8] {
        &self.material
    }

    /// Returns the MKI that packets carry; `None` if they carry none.
    pub fn mki(&self) -> Option<&[u8]> {
        self.mki.as_deref()
    }

    /// Returns master key and salt separately.
    pub(super) fn parts(&self) -> (&[u8], &[u8]) {
        self.material.split_at_checked(self.suite.key_len()).unwrap_or_default()
    }
}

impl fmt::Debug for SrtpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SrtpKey").field("suite", &self.suite).finish_non_exhaustive()
    }
}

/// Serialized form of a key in a snapshot.
#[derive(serde::Serialize, serde::Deserialize)]
struct StoredSrtpKey {
    suite: Suite,
    material: Vec<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mki: Option<Vec<u8>>,
}

impl TryFrom<StoredSrtpKey> for SrtpKey {
    type Error = KeyError;
    fn try_from(plain: StoredSrtpKey) -> Result<SrtpKey, KeyError> {
        let material = Zeroizing::new(plain.material);
        SrtpKey::new(plain.suite, &material, plain.mki.as_deref())
    }
}

impl From<SrtpKey> for StoredSrtpKey {
    fn from(key: SrtpKey) -> StoredSrtpKey {
        StoredSrtpKey { suite: key.suite, material: key.material.to_vec(), mki: key.mki.map(Vec::from) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_the_suite() {
        for suite in Suite::ALL {
            let bytes = vec![7; suite.key_len() + suite.salt_len() + 1];
            let right = bytes.len() - 1;
            let key = SrtpKey::new(suite, &bytes[..right], Some(&[1])).unwrap();
            assert_eq!((key.parts().0.len(), key.parts().1.len()), (suite.key_len(), suite.salt_len()));
            for wrong in [0, right - 1, right + 1] {
                assert_eq!(SrtpKey::new(suite, &bytes[..wrong], None), Err(KeyError::Material));
            }
        }
    }

    #[test]
    fn an_mki_is_neither_empty_nor_too_long() {
        let bytes = [0; 30];
        let key = |mki: usize| SrtpKey::new(Suite::AesCm128HmacSha1_80, &bytes, Some(&vec![0; mki]));
        assert!(key(SRTP_MKI_BYTES).is_ok());
        assert_eq!(key(SRTP_MKI_BYTES + 1), Err(KeyError::Mki));
        assert_eq!(key(0), Err(KeyError::Mki));
    }

    #[test]
    fn nothing_shows_it_and_a_snapshot_keeps_it() {
        let key = SrtpKey::new(Suite::AeadAes128Gcm, &[99; 28], Some(&[0, 1])).unwrap();
        assert_eq!(format!("{key:?}"), "SrtpKey { suite: AeadAes128Gcm, .. }");
        let text = serde_json::to_string(&key).unwrap();
        assert_eq!(serde_json::from_str::<SrtpKey>(&text).unwrap(), key);
        assert!(serde_json::from_str::<SrtpKey>(&text.replacen("99,", "", 1)).is_err());
    }
}
