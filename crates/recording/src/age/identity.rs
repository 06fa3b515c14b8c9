//! X25519 keys: the identity that opens files, the recipient that they are sealed for.

use std::fmt;

use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use zeroize::Zeroize as _;

use super::bech32;

const SECRET: &str = "age-secret-key-";
const PUBLIC: &str = "age";

/// The reason why a text is no identity file; it never contains any of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidIdentity {
    /// There is no identity in it.
    Missing,
    /// A recipient (`age1…`): it encrypts, and opens nothing.
    IsRecipient,
    /// An identity with a wrong checksum or length, in this line.
    Damaged(usize),
    /// Neither an identity nor a comment, in this line.
    Unknown(usize),
}

impl fmt::Display for InvalidIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvalidIdentity::Missing => f.write_str("contains no age identity"),
            InvalidIdentity::IsRecipient => f.write_str(
                "is an age recipient (age1…), which cannot decrypt: the identity (AGE-SECRET-KEY-1…) is needed",
            ),
            InvalidIdentity::Damaged(line) => write!(f, "line {line} is an age identity with an error in it"),
            InvalidIdentity::Unknown(line) => write!(f, "line {line} is not an age identity (AGE-SECRET-KEY-1…)"),
        }
    }
}

/// A secret X25519 key.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    secret: [u8; 32],
    public: [u8; 32],
}

impl Identity {
    /// Reads `AGE-SECRET-KEY-1…`.
    pub fn parse(text: &str) -> Option<Identity> {
        Identity::of(bech32::decode(SECRET, text)?)
    }

    /// Makes one of 32 random bytes.
    pub fn of(secret: [u8; 32]) -> Option<Identity> {
        let key = PrivateKey::from_private_key(&X25519, &secret).ok()?;
        let public = key.compute_public_key().ok()?.as_ref().try_into().ok()?;
        Some(Identity { secret, public })
    }

    /// Returns the key that files are sealed with for it.
    pub fn recipient(&self) -> Recipient {
        Recipient { public: self.public }
    }

    /// Returns it as `age-keygen` writes it.
    pub fn reveal(&self) -> String {
        bech32::encode(SECRET, &self.secret).to_ascii_uppercase()
    }

    /// Agrees on a secret with another key, which may have come from outside; `None` for a point that gives none.
    pub(super) fn agree(&self, public: &[u8; 32]) -> Option<[u8; 32]> {
        let key = PrivateKey::from_private_key(&X25519, &self.secret).ok()?;
        let other = UnparsedPublicKey::new(&X25519, public);
        agree(&key, other, (), |shared| shared.try_into().map_err(drop)).ok()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.recipient())
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

/// A public X25519 key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipient {
    pub(super) public: [u8; 32],
}

/// `age1…`
impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bech32::encode(PUBLIC, &self.public))
    }
}

/// The identities of a file: the first one seals new files, all of them open files, so that a key can be replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identities {
    first: Identity,
    others: Vec<Identity>,
}

impl Identities {
    /// Reads an identity file: one identity a line, empty lines and comments with `#`.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(text: &str) -> Result<Identities, InvalidIdentity> {
        let mut found = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let lower = line.get(..SECRET.len()).unwrap_or_default().to_ascii_lowercase();
            found.push(match Identity::parse(line) {
                Some(identity) => identity,
                None if lower == SECRET => return Err(InvalidIdentity::Damaged(at + 1)),
                None if bech32::decode(PUBLIC, line).is_some() => return Err(InvalidIdentity::IsRecipient),
                None => return Err(InvalidIdentity::Unknown(at + 1)),
            });
        }
        let mut found = found.into_iter();
        let first = found.next().ok_or(InvalidIdentity::Missing)?;
        Ok(Identities { first, others: found.collect() })
    }

    /// Returns the key that new files are sealed with.
    pub fn recipient(&self) -> Recipient {
        self.first.recipient()
    }

    /// Returns all of them.
    pub fn all(&self) -> impl Iterator<Item = &Identity> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The identity of C2SP's test vectors.
    const TEXT: &str = "AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM0";

    #[test]
    fn identity_files_are_read_as_age_keygen_writes_them() {
        let file = format!("# created: 2026-11-25T00:00:00Z\n# public key: age1…\n\n{TEXT}\n");
        let identities = Identities::parse(&file).unwrap();
        assert_eq!((identities.all().count(), identities.first.reveal().as_str()), (1, TEXT));
        assert!(!format!("{identities:?}").contains("SECRET"));
        let recipient = identities.recipient().to_string();
        assert!(recipient.starts_with("age1"), "{recipient}");
        assert_eq!(Identities::parse(&recipient), Err(InvalidIdentity::IsRecipient));
        assert_eq!(Identities::parse("# none\n"), Err(InvalidIdentity::Missing));
        assert_eq!(Identities::parse("\nhunter2"), Err(InvalidIdentity::Unknown(2)));
        assert_eq!(Identities::parse(&TEXT.replace("EGT", "EGG")), Err(InvalidIdentity::Damaged(1)));
    }
}
