//! Digest credentials (RFC 7616, RFC 8760).

use std::fmt;

/// A user name and a password, for one realm or for any.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user name.
    pub username: String,
    /// The password.
    pub password: String,
    /// The realm that they are for. `None`: as a client, whichever the remote party names; as a server, the default one.
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
    /// `MD5`.
    Md5,
    /// `SHA-256`.
    Sha256,
    /// `SHA-512-256`.
    Sha512_256,
}

impl DigestHash {
    /// All of them.
    pub const ALL: [DigestHash; 3] = [DigestHash::Md5, DigestHash::Sha256, DigestHash::Sha512_256];
}
