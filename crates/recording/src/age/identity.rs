//! X25519 keys: the identity that decrypts files, and the recipient for which they are encrypted.

use std::fmt;

use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use zeroize::Zeroize as _;

use super::bech32;

const SECRET: &str = "age-secret-key-";
const PUBLIC: &str = "age";

/// Reason why a text is not an identity file; never contains any of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidIdentity {
    /// The text has no identity.
    Missing,
    /// The text is a recipient (`age1…`), which cannot decrypt.
    IsRecipient,
    /// The identity in the line with this number has a wrong checksum or length.
    Damaged(usize),
    /// The line with this number is neither an identity nor a comment.
    Unknown(usize),
}

impl fmt::Display for InvalidIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvalidIdentity::Missing => f.write_str("contains no age identity"),
            InvalidIdentity::IsRecipient => f.write_str(
                "is an age recipient (age1…), which cannot decrypt: the identity (AGE-SECRET-KEY-1…) is needed",
            ),
            InvalidIdentity::Damaged(line) => write!(f, "line {line} is an invalid age identity"),
            InvalidIdentity::Unknown(line) => write!(f, "line {line} is not an age identity (AGE-SECRET-KEY-1…)"),
        }
    }
}

/// Secret X25519 key.
#[derive(Clone, PartialEq, Eq)]
pub struct AgeIdentity {
    secret: [u8; 32],
    public: [u8; 32],
}

impl AgeIdentity {
    /// Parses `AGE-SECRET-KEY-1…`; `None` if it is invalid.
    pub fn parse(text: &str) -> Option<AgeIdentity> {
        AgeIdentity::from_secret(bech32::decode(SECRET, text)?)
    }

    /// Creates an identity from 32 random bytes.
    pub fn from_secret(secret: [u8; 32]) -> Option<AgeIdentity> {
        let key = PrivateKey::from_private_key(&X25519, &secret).ok()?;
        let public = key.compute_public_key().ok()?.as_ref().try_into().ok()?;
        Some(AgeIdentity { secret, public })
    }

    /// Returns the recipient for which files are encrypted.
    pub fn recipient(&self) -> Recipient {
        Recipient { public: self.public }
    }

    /// Returns the identity in the format of `age-keygen`.
    pub fn reveal(&self) -> String {
        bech32::encode(SECRET, &self.secret).to_ascii_uppercase()
    }

    /// Computes the shared secret with another public key, which may be untrusted; `None` for an invalid point.
    pub(super) fn shared_secret(&self, public: &[u8; 32]) -> Option<[u8; 32]> {
        let key = PrivateKey::from_private_key(&X25519, &self.secret).ok()?;
        let other = UnparsedPublicKey::new(&X25519, public);
        agree(&key, other, (), |shared| shared.try_into().map_err(drop)).ok()
    }
}

impl fmt::Debug for AgeIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.recipient())
    }
}

impl Drop for AgeIdentity {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

/// Public X25519 key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipient {
    pub(super) public: [u8; 32],
}

/// Formats the key as `age1…`.
impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bech32::encode(PUBLIC, &self.public))
    }
}

/// Identities of a file: new files are encrypted for the first one, all of them decrypt, so that a key can be replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgeIdentities {
    first: AgeIdentity,
    others: Vec<AgeIdentity>,
}

impl AgeIdentities {
    /// Parses an identity file: one identity per line, empty lines and comments with `#`.
    ///
    /// # Errors
    ///
    /// Returns the reason why the text is invalid.
    pub fn parse(text: &str) -> Result<AgeIdentities, InvalidIdentity> {
        let mut found = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let lower = line.get(..SECRET.len()).unwrap_or_default().to_ascii_lowercase();
            found.push(match AgeIdentity::parse(line) {
                Some(identity) => identity,
                None if lower == SECRET => return Err(InvalidIdentity::Damaged(at + 1)),
                None if bech32::decode(PUBLIC, line).is_some() => return Err(InvalidIdentity::IsRecipient),
                None => return Err(InvalidIdentity::Unknown(at + 1)),
            });
        }
        let mut found = found.into_iter();
        let first = found.next().ok_or(InvalidIdentity::Missing)?;
        Ok(AgeIdentities { first, others: found.collect() })
    }

    /// Returns the recipient of new files.
    pub fn recipient(&self) -> Recipient {
        self.first.recipient()
    }

    /// Iterates over the identities.
    pub fn all(&self) -> impl Iterator<Item = &AgeIdentity> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Identity of C2SP's test vectors.
    const TEXT: &str = "AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM0";

    #[test]
    fn identity_files_are_read_as_age_keygen_writes_them() {
        let file = format!("# created: 2026-11-25T00:00:00Z\n# public key: age1…\n\n{TEXT}\n");
        let identities = AgeIdentities::parse(&file).unwrap();
        assert_eq!((identities.all().count(), identities.first.reveal().as_str()), (1, TEXT));
        assert!(!format!("{identities:?}").contains("SECRET"));
        let recipient = identities.recipient().to_string();
        assert!(recipient.starts_with("age1"), "{recipient}");
        assert_eq!(AgeIdentities::parse(&recipient), Err(InvalidIdentity::IsRecipient));
        assert_eq!(AgeIdentities::parse("# none\n"), Err(InvalidIdentity::Missing));
        assert_eq!(AgeIdentities::parse("\nhunter2"), Err(InvalidIdentity::Unknown(2)));
        assert_eq!(AgeIdentities::parse(&TEXT.replace("EGT", "EGG")), Err(InvalidIdentity::Damaged(1)));
    }
}
