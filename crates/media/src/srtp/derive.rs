//! Derives session keys from a master key (RFC 3711 §4.3, RFC 6188 §3, RFC 7714 §11). The key derivation rate is zero:
//! keys are derived once.

use zeroize::Zeroizing;

use super::aes_ctr::Aes;
use super::key::SrtpKey;

/// Session keys of one direction, derived under three labels (RFC 3711 §4.3.2), each as long as the longest suite
/// needs.
pub(super) struct SessionKeys {
    key: Zeroizing<[u8; 32]>,
    key_len: usize,
    /// Authentication key for HMAC-SHA1.
    pub(super) auth: Zeroizing<[u8; 20]>,
    /// Salt of 14 bytes, all of which counter mode uses; Galois/counter mode uses the first 12.
    pub(super) salt: [u8; 14],
}

impl SessionKeys {
    /// Derives the keys for RTP.
    pub(super) fn rtp(master: &SrtpKey) -> SessionKeys {
        SessionKeys::derive(master, [0, 1, 2])
    }

    /// Derives the keys for RTCP.
    pub(super) fn rtcp(master: &SrtpKey) -> SessionKeys {
        SessionKeys::derive(master, [3, 4, 5])
    }

    /// Returns the encryption key, in the length that the suite uses.
    pub(super) fn key(&self) -> &[u8] {
        self.key.get(..self.key_len).unwrap_or_default()
    }

    #[cfg(test)]
    pub(super) fn new(key: &[u8], auth: &[u8; 20], salt: &[u8]) -> SessionKeys {
        let mut keys = SessionKeys {
            key: Zeroizing::default(),
            key_len: key.len(),
            auth: Zeroizing::new(*auth),
            salt: salt.try_into().unwrap_or_default(),
        };
        keys.key.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
        keys
    }

    fn derive(master: &SrtpKey, [encryption, authentication, salting]: [u8; 3]) -> SessionKeys {
        let (key, salt) = master.parts();
        // A salt of 96 bits is padded with zeros (RFC 7714 §11).
        let mut iv = [0; 16];
        iv.iter_mut().zip(salt).for_each(|(to, from)| *to = *from);
        let prf = Aes::new(key);
        let draw = |label: u8, out: &mut [u8]| {
            let mut iv = iv;
            iv[7] ^= label;
            prf.apply(&iv, out);
        };
        let mut keys =
            SessionKeys { key: Zeroizing::default(), key_len: key.len(), auth: Zeroizing::default(), salt: [0; 14] };
        draw(encryption, keys.key.get_mut(..key.len()).unwrap_or_default());
        draw(authentication, keys.auth.as_mut_slice());
        draw(salting, &mut keys.salt);
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::Suite;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(digits).collect()
    }

    fn derived(suite: Suite, key: &str, salt: &str) -> SessionKeys {
        SessionKeys::rtp(&SrtpKey::new(suite, &bytes(&format!("{key}{salt}")), None).unwrap())
    }

    #[test]
    fn rfc3711_appendix_b3_session_keys() {
        let master = ("E1F97A0D3E018BE0D64FA32C06DE4139", "0EC675AD498AFEEBB6960B3AABE6");
        let keys = derived(Suite::AesCm128HmacSha1_80, master.0, master.1);
        assert_eq!(keys.key(), bytes("C61E7A93744F39EE10734AFE3FF7A087"));
        assert_eq!(keys.salt.as_slice(), bytes("30CBBC08863D8C85D49DB34A9AE1"));
        assert_eq!(keys.auth.as_slice(), bytes("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"));
    }

    #[test]
    fn rfc6188_section_7_2_session_keys() {
        let master =
            ("f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6", "3b04803de51ee7c96423ab5b78d2");
        let keys = derived(Suite::AesCm256HmacSha1_80, master.0, master.1);
        assert_eq!(keys.key(), bytes("5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4"));
        assert_eq!(keys.salt.as_slice(), bytes("fa31791685ca444a9e07c6c64e93"));
        assert_eq!(keys.auth.as_slice(), bytes("fd9c32d39ed5fbb5a9dc96b30818454d1313dc05"));
    }

    #[test]
    fn rtcp_has_keys_of_its_own() {
        let key = SrtpKey::new(Suite::AeadAes256Gcm, &[3; 44], None).unwrap();
        let (rtp, rtcp) = (SessionKeys::rtp(&key), SessionKeys::rtcp(&key));
        assert!(rtp.key() != rtcp.key() && rtp.salt != rtcp.salt && rtp.auth != rtcp.auth);
    }
}
