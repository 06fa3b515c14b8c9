//! Galois/counter mode (RFC 7714): encryption and tag in one operation, with the header as associated data.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::derive::SessionKeys;
use crate::rtp::PACKET;

/// Bytes of the authentication tag.
pub(super) const TAG: usize = 16;

/// Session keys of one direction in Galois/counter mode, for RTP or for RTCP.
pub(super) struct GcmKeys {
    /// Key; `None` only if the library rejects a key of the right length, in which case no packet passes.
    key: Option<LessSafeKey>,
    salt: [u8; NONCE_LEN],
}

impl GcmKeys {
    pub(super) fn new(keys: &SessionKeys) -> GcmKeys {
        let algorithm = if keys.key().len() == 32 { &AES_256_GCM } else { &AES_128_GCM };
        let [salt @ .., _, _] = keys.salt;
        GcmKeys { key: UnboundKey::new(algorithm, keys.key()).ok().map(LessSafeKey::new), salt }
    }

    /// Returns the nonce of packet `index` of `ssrc`. The RTP index consists of roll-over counter and sequence number
    /// (RFC 7714 §8.1); the RTCP index has the same width (RFC 7714 §9.1).
    fn nonce(&self, ssrc: u32, index: u64) -> Nonce {
        let [.., i0, i1, i2, i3, i4, i5] = index.to_be_bytes();
        let [s0, s1, s2, s3] = ssrc.to_be_bytes();
        let mut nonce = [0, 0, s0, s1, s2, s3, i0, i1, i2, i3, i4, i5];
        nonce.iter_mut().zip(self.salt).for_each(|(to, salt)| *to ^= salt);
        Nonce::assume_unique_for_key(nonce)
    }

    /// Encrypts `bytes` and writes the tag over `header` and `bytes` into `tag`; returns false if the library fails.
    pub(super) fn seal(&self, ssrc: u32, index: u64, header: &[u8], bytes: &mut [u8], tag: &mut [u8]) -> bool {
        let Some(key) = &self.key else { return false };
        match key.seal_in_place_separate_tag(self.nonce(ssrc, index), Aad::from(header), bytes) {
            Ok(sealed) if sealed.as_ref().len() == tag.len() => {
                tag.copy_from_slice(sealed.as_ref());
                true
            }
            _ => false,
        }
    }

    /// Decrypts `bytes`, which end with the tag over `header` and the other bytes; in constant time. Returns false on
    /// failure; with `again` the bytes are then unchanged, otherwise they are destroyed.
    pub(super) fn open(&self, ssrc: u32, index: u64, header: &[u8], bytes: &mut [u8], again: bool) -> bool {
        let Some(key) = &self.key else { return false };
        let (nonce, header) = (self.nonce(ssrc, index), Aad::from(header));
        if !again {
            return key.open_in_place(nonce, header, bytes).is_ok();
        }
        let mut opened = [0; PACKET];
        let Some((sealed, tag)) = bytes.split_last_chunk_mut::<TAG>().map(|(sealed, tag)| (sealed, &*tag)) else {
            return false;
        };
        let Some(opened) = opened.get_mut(..sealed.len()) else { return false };
        let is_theirs = key.open_separate_gather(nonce, header, sealed, tag, opened).is_ok();
        if is_theirs {
            sealed.copy_from_slice(opened);
        }
        is_theirs
    }
}
