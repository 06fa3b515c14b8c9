//! AES in counter mode (RFC 3711 §4.1.1) with a precomputed key schedule.

use aes::cipher::{InnerIvInit as _, KeyInit as _, StreamCipher as _, StreamCipherCoreWrapper};
use aes::{Aes128Enc, Aes256Enc};
use ctr::{CtrCore, flavors::Ctr32BE};

/// AES key schedule for counter mode.
pub(super) enum Aes {
    Of128(Aes128Enc),
    Of256(Aes256Enc),
}

impl Aes {
    /// Creates the key schedule: AES-256 for a key of 32 bytes, otherwise AES-128. [`SrtpKey`](super::SrtpKey) has
    /// checked the length.
    pub(super) fn new(key: &[u8]) -> Aes {
        match key.try_into() {
            Ok(key) => {
                let key: [u8; 32] = key;
                Aes::Of256(Aes256Enc::new(&key.into()))
            }
            Err(_) => {
                let mut short = [0; 16];
                short.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
                Aes::Of128(Aes128Enc::new(&short.into()))
            }
        }
    }

    /// Encrypts or decrypts (the same operation). The lowest 16 bits of `iv` are zero, so the 16-bit counter (RFC 3711
    /// §4.1.1) never overflows: no packet has 2^16 blocks.
    pub(super) fn apply(&self, iv: &[u8; 16], bytes: &mut [u8]) {
        let iv = &(*iv).into();
        match self {
            Aes::Of128(aes) => {
                let core = CtrCore::<_, Ctr32BE>::inner_iv_init(aes, iv);
                StreamCipherCoreWrapper::from_core(core).apply_keystream(bytes);
            }
            Aes::Of256(aes) => {
                let core = CtrCore::<_, Ctr32BE>::inner_iv_init(aes, iv);
                StreamCipherCoreWrapper::from_core(core).apply_keystream(bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_stream(key: &[u8]) -> Vec<u8> {
        let mut iv = [0; 16];
        (0xf0..=0xfd).zip(&mut iv).for_each(|(value, byte)| *byte = value);
        let mut stream = vec![0; 0xff02 * 16];
        Aes::new(key).apply(&iv, &mut stream);
        stream
    }

    fn block(stream: &[u8], n: usize) -> String {
        stream[n * 16..n * 16 + 16].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn rfc3711_appendix_b2_key_stream() {
        let key = 0x2B7E_1516_28AE_D2A6_ABF7_1588_09CF_4F3C_u128.to_be_bytes();
        let stream = key_stream(&key);
        for (n, expected) in [
            (0, "e03ead0935c95e80e166b16dd92b4eb4"),
            (1, "d23513162b02d0f72a43a2fe4a5f97ab"),
            (2, "41e95b3bb0a2e8dd477901e4fca894c0"),
            (0xfeff, "ec8cdf7398607cb0f2d21675ea9ea1e4"),
            (0xff00, "362b7c3c6773516318a077d7fc5073ae"),
            (0xff01, "6a2cc3787889374fbeb4c81b17ba6c44"),
        ] {
            assert_eq!(block(&stream, n), expected);
        }
    }

    #[test]
    fn rfc6188_section_7_1_key_stream() {
        let mut key = 0x57f8_2fe3_613f_d170_a85e_c93c_40b1_f092_u128.to_be_bytes().to_vec();
        key.extend_from_slice(&0x2ec4_cb0d_c025_b582_7214_7cc4_3894_4a98_u128.to_be_bytes());
        let stream = key_stream(&key);
        for (n, expected) in [
            (0, "92bdd28a93c3f52511c677d08b5515a4"),
            (1, "9da71b2378a854f67050756ded165bac"),
            (2, "63c4868b7096d88421b563b8c94c9a31"),
            (0xfeff, "cea518c90fd91ced9cbb18c078a54711"),
            (0xff00, "3dbc4814f4da5f00a08772b63c6a046d"),
            (0xff01, "6eb246913062a16891433e97dd01a57f"),
        ] {
            assert_eq!(block(&stream, n), expected);
        }
    }
}
