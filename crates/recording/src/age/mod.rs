//! The age file format (age-encryption.org/v1) for one X25519 recipient: a header with the wrapped file key, then
//! chunks of 64 KiB.
//!
//! A chunk is sealed with its number and a flag for the last one, so a truncated file does not open as a whole.
//! [`completion`] returns the changes that complete it: the last full chunk is sealed again as the last one, without a
//! change of its length.

mod bech32;
mod completion;
mod header;
mod identity;
mod payload;
mod stanza;

pub use completion::{FileCompletion, completion};
pub use header::OpenError;
pub use identity::{AgeIdentities, AgeIdentity, InvalidIdentity, Recipient};
pub(crate) use payload::SealerSnapshot;
pub use payload::{CHUNK_BYTES, PayloadKey, Sealer};

/// Fresh random bytes for one file: its key, the ephemeral secret that wraps it, and the nonce of the payload.
#[derive(Clone)]
pub struct FileRandomness([u8; 64]);

impl FileRandomness {
    /// Wraps bytes of a cryptographic generator; each file needs its own.
    pub const fn new(bytes: [u8; 64]) -> FileRandomness {
        FileRandomness(bytes)
    }

    fn parts(&self) -> (FileKey, [u8; 32], [u8; 16]) {
        let (mut key, mut secret, mut nonce) = ([0; 16], [0; 32], [0; 16]);
        key.copy_from_slice(&self.0[..16]);
        secret.copy_from_slice(&self.0[16..48]);
        nonce.copy_from_slice(&self.0[48..]);
        (FileKey(key), secret, nonce)
    }
}

impl std::fmt::Debug for FileRandomness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Randomness(…)")
    }
}

impl Drop for FileRandomness {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

/// Key of one file, which its header wraps for each recipient.
struct FileKey([u8; 16]);

impl FileKey {
    /// Derives a key of 32 bytes (HKDF with SHA-256).
    fn derive(&self, salt: &[u8], info: &[u8]) -> Option<[u8; 32]> {
        derive(&self.0, salt, info)
    }
}

impl Drop for FileKey {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

fn derive(secret: &[u8], salt: &[u8], info: &[u8]) -> Option<[u8; 32]> {
    use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
    let mut key = [0; 32];
    let derived = Salt::new(HKDF_SHA256, salt).extract(secret);
    derived.expand(&[info], HKDF_SHA256).ok()?.fill(&mut key).ok()?;
    Some(key)
}
