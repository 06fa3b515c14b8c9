//! Counter mode with HMAC-SHA1 (RFC 3711 §4): encrypts, then authenticates together with the packet's index.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

use super::aes_ctr::Aes;
use super::derive::SessionKeys;

/// Session keys of one direction in counter mode, for RTP or for RTCP.
pub(super) struct CmKeys {
    aes: Aes,
    salt: [u8; 14],
    /// HMAC state that includes the key; cloned for each packet.
    mac: Hmac<Sha1>,
}

impl CmKeys {
    pub(super) fn new(keys: &SessionKeys) -> CmKeys {
        CmKeys {
            aes: Aes::new(keys.key()),
            salt: keys.salt,
            mac: Hmac::new_from_slice(keys.auth.as_slice()).unwrap_or_else(|_| Hmac::new(&Default::default())),
        }
    }

    /// Encrypts or decrypts the bytes after the header of packet `index` of `ssrc`.
    pub(super) fn apply(&self, ssrc: u32, index: u64, bytes: &mut [u8]) {
        // salt · 2^16 ⊕ SSRC · 2^64 ⊕ index · 2^16
        let mut iv = [0; 16];
        let [.., i0, i1, i2, i3, i4, i5] = index.to_be_bytes();
        let [s0, s1, s2, s3] = ssrc.to_be_bytes();
        let mask = [0, 0, 0, 0, s0, s1, s2, s3, i0, i1, i2, i3, i4, i5];
        for ((to, salt), mask) in iv.iter_mut().zip(self.salt).zip(mask) {
            *to = salt ^ mask;
        }
        self.aes.apply(&iv, bytes);
    }

    /// Writes the tag over `packet` and `behind` (for RTP, the roll-over counter) into all of `tag`.
    pub(super) fn sign(&self, packet: &[u8], behind: &[u8], tag: &mut [u8]) {
        let mut mac = self.mac.clone();
        mac.update(packet);
        mac.update(behind);
        let bytes = mac.finalize().into_bytes();
        tag.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    }

    /// Verifies `tag` over `packet` and `behind`, in constant time.
    pub(super) fn verify(&self, packet: &[u8], behind: &[u8], tag: &[u8]) -> bool {
        let mut mac = self.mac.clone();
        mac.update(packet);
        mac.update(behind);
        mac.verify_truncated_left(tag).is_ok()
    }
}
