//! Digest credentials (RFC 7616, RFC 8760).

use std::fmt;

/// User name and password, for one realm or for any.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User name, as sent in Authorization.
    pub username: String,
    /// Password in clear text; never shown by `Debug`.
    pub password: String,
    /// Realm of the credentials. `None` stands for any realm (client), or the default realm (server).
    pub realm: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({}, …)", self.username)
    }
}

/// A hash function that a challenge may name (RFC 8760 §2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigestHash {
    /// MD5 (RFC 1321).
    Md5,
    /// SHA-256 (FIPS 180-4).
    Sha256,
    /// SHA-512/256, which is SHA-512 truncated to 256 bits (FIPS 180-4).
    Sha512_256,
}

impl DigestHash {
    /// All supported hash functions.
    pub const ALL: [DigestHash; 3] = [DigestHash::Md5, DigestHash::Sha256, DigestHash::Sha512_256];
}
