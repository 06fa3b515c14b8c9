//! Session keys of one direction, for RTP or for RTCP, and the layout of protected packets.
//!
//! | | after the payload |
//! | --- | --- |
//! | counter mode, RTP | MKI, tag |
//! | counter mode, RTCP | index word, MKI, tag |
//! | Galois/counter mode, RTP | tag, MKI |
//! | Galois/counter mode, RTCP | tag, index word, MKI |

use super::cm::CmKeys;
use super::derive::SessionKeys;
use super::gcm::{GcmKeys, TAG};
use super::key::SrtpKey;
use super::rtcp::{self, HEAD, WORD};
use crate::rtp::{PACKET, PacketBuf, SrtpHeader};

/// Session keys of one direction, for RTP or for RTCP, with the tag length of their suite.
pub(super) struct Cipher {
    mode: CipherMode,
    tag: usize,
    mki: Option<Box<[u8]>>,
}

/// Keys by the mode of the suite. Both variants are large; there is one value for each direction of a call.
#[expect(clippy::large_enum_variant, reason = "a box would cost a look-up for each packet and save 200 bytes a call")]
enum CipherMode {
    Cm(CmKeys),
    Gcm(GcmKeys),
}

impl Cipher {
    /// Creates the session keys for RTP.
    pub(super) fn rtp(key: &SrtpKey) -> Cipher {
        Cipher::new(key, &SessionKeys::rtp(key), key.suite().rtp_tag_len())
    }

    /// Creates the session keys for RTCP.
    pub(super) fn rtcp(key: &SrtpKey) -> Cipher {
        Cipher::new(key, &SessionKeys::rtcp(key), key.suite().rtcp_tag_len())
    }

    fn new(key: &SrtpKey, keys: &SessionKeys, tag: usize) -> Cipher {
        let mode =
            if key.suite().is_aead() { CipherMode::Gcm(GcmKeys::new(keys)) } else { CipherMode::Cm(CmKeys::new(keys)) };
        Cipher { mode, tag, mki: key.mki().map(Box::from) }
    }

    fn mki(&self) -> &[u8] {
        self.mki.as_deref().unwrap_or_default()
    }

    /// Returns the number of bytes by which encryption extends an RTP packet.
    pub(super) fn rtp_overhead(&self) -> usize {
        self.tag + self.mki().len()
    }

    /// Encrypts an RTP packet with the given `index` in place; returns false if the buffer has no room.
    pub(super) fn seal_rtp(&self, packet: &mut PacketBuf, head: &SrtpHeader, index: u64) -> bool {
        let len = packet.data().len();
        let Some((plain, trailer)) = packet.grow(self.rtp_overhead()).and_then(|all| all.split_at_mut_checked(len))
        else {
            return false;
        };
        let mki = self.mki();
        match &self.mode {
            CipherMode::Cm(cm) => {
                let Some(payload) = plain.get_mut(head.len..) else { return false };
                cm.apply(head.ssrc, index, payload);
                let Some((name, tag)) = trailer.split_at_mut_checked(mki.len()) else { return false };
                name.copy_from_slice(mki);
                cm.sign(plain, &counter(index), tag);
                true
            }
            CipherMode::Gcm(gcm) => {
                let Some((header, payload)) = plain.split_at_mut_checked(head.len) else { return false };
                let Some((tag, name)) = trailer.split_at_mut_checked(TAG) else { return false };
                name.copy_from_slice(mki);
                gcm.seal(head.ssrc, index, header, payload, tag)
            }
        }
    }

    /// Decrypts the RTP packet with the given `index`; returns false if authentication fails. With `again`, a failure
    /// leaves the packet unchanged, so that another index or key can be tried.
    pub(super) fn open_rtp(&self, packet: &mut PacketBuf, head: &SrtpHeader, index: u64, again: bool) -> bool {
        let mki = self.mki();
        let data = packet.data_mut();
        let Some(len) = data.len().checked_sub(self.rtp_overhead()).filter(|len| *len >= head.len) else {
            return false;
        };
        let opened = match &self.mode {
            CipherMode::Cm(cm) => {
                let Some((body, trailer)) = data.split_at_mut_checked(len) else { return false };
                let Some((name, tag)) = trailer.split_at_checked(mki.len()) else { return false };
                let is_theirs = same(name, mki) && cm.verify(body, &counter(index), tag);
                if is_theirs && let Some(payload) = body.get_mut(head.len..) {
                    cm.apply(head.ssrc, index, payload);
                }
                is_theirs
            }
            CipherMode::Gcm(gcm) => {
                let Some((sealed, name)) = data.split_at_mut_checked(len + TAG) else { return false };
                let Some((header, sealed)) = sealed.split_at_mut_checked(head.len) else { return false };
                same(name, mki) && gcm.open(head.ssrc, index, header, sealed, again)
            }
        };
        if opened {
            packet.cut(len);
        }
        opened
    }

    /// Encrypts an RTCP packet of `ssrc` with the given `index` in place; returns false if the buffer has no room.
    pub(super) fn seal_rtcp(&self, packet: &mut PacketBuf, ssrc: u32, index: u64) -> bool {
        let len = packet.data().len();
        let (mki, word) = (self.mki(), rtcp::word(index));
        let Some(all) = packet.grow(self.tag + WORD + mki.len()) else { return false };
        match &self.mode {
            CipherMode::Cm(cm) => {
                let Some((body, trailer)) = all.split_at_mut_checked(len + WORD) else { return false };
                let Some((plain, end)) = body.split_at_mut_checked(len) else { return false };
                let Some(payload) = plain.get_mut(HEAD..) else { return false };
                cm.apply(ssrc, index, payload);
                end.copy_from_slice(&word);
                let Some((name, tag)) = trailer.split_at_mut_checked(mki.len()) else { return false };
                name.copy_from_slice(mki);
                cm.sign(body, &[], tag);
                true
            }
            CipherMode::Gcm(gcm) => {
                let Some((plain, trailer)) = all.split_at_mut_checked(len) else { return false };
                let Some((header, payload)) = plain.split_at_mut_checked(HEAD) else { return false };
                let Some((tag, end)) = trailer.split_at_mut_checked(TAG) else { return false };
                let Some((end, name)) = end.split_at_mut_checked(WORD) else { return false };
                end.copy_from_slice(&word);
                name.copy_from_slice(mki);
                let Some(header) = aad(header, word) else { return false };
                gcm.seal(ssrc, index, &header, payload, tag)
            }
        }
    }

    /// Reads the index of an RTCP packet; `None` if the packet is too short.
    pub(super) fn rtcp_index(&self, packet: &[u8]) -> Option<u64> {
        let (least, tag) = match self.mode {
            CipherMode::Cm(_) => (HEAD, self.tag),
            CipherMode::Gcm(_) => (HEAD + self.tag, 0),
        };
        let (body, _) = packet.split_at_checked(packet.len().checked_sub(tag + self.mki().len())?)?;
        let (body, word) = body.split_last_chunk::<WORD>()?;
        (body.len() >= least).then(|| rtcp::read(*word).1)
    }

    /// Decrypts an RTCP packet of `ssrc`; returns false if authentication fails. With `again`, a failure leaves the
    /// packet unchanged, so that another key can be tried. Packets that are only authenticated (RFC 3711 §3.4) are
    /// accepted too.
    pub(super) fn open_rtcp(&self, packet: &mut PacketBuf, ssrc: u32, again: bool) -> bool {
        let mki = self.mki();
        let data = packet.data_mut();
        let overhead = self.tag + WORD + mki.len();
        let Some(len) = data.len().checked_sub(overhead).filter(|len| *len >= HEAD) else { return false };
        let opened = match &self.mode {
            CipherMode::Cm(cm) => {
                let Some((body, trailer)) = data.split_at_mut_checked(len + WORD) else { return false };
                let Some((name, tag)) = trailer.split_at_checked(mki.len()) else { return false };
                let is_theirs = same(name, mki) && cm.verify(body, &[], tag);
                let Some((sealed, word)) = body.split_last_chunk_mut::<WORD>() else { return false };
                let (encrypted, index) = rtcp::read(*word);
                if is_theirs
                    && encrypted
                    && let Some(payload) = sealed.get_mut(HEAD..)
                {
                    cm.apply(ssrc, index, payload);
                }
                is_theirs
            }
            CipherMode::Gcm(gcm) => {
                let Some((sealed, end)) = data.split_at_mut_checked(len + TAG) else { return false };
                let Some((word, name)) = end.split_first_chunk::<WORD>() else { return false };
                let (encrypted, index) = rtcp::read(*word);
                same(name, mki)
                    && if encrypted {
                        let Some((header, sealed)) = sealed.split_at_mut_checked(HEAD) else { return false };
                        let Some(header) = aad(header, *word) else { return false };
                        gcm.open(ssrc, index, &header, sealed, again)
                    } else {
                        open_bare(gcm, ssrc, index, sealed, *word)
                    }
            }
        };
        if opened {
            packet.cut(len);
        }
        opened
    }
}

/// Returns whether `name` from a packet is the MKI of the key. An empty MKI skips the comparison: the processor takes
/// 75 ns for the dangling pointer of an empty slice (AVX-512's masked loads, AMD EPYC).
fn same(name: &[u8], mki: &[u8]) -> bool {
    mki.is_empty() || name == mki
}

/// Returns the roll-over counter, the upper 32 bits of an RTP index, in network byte order.
fn counter(index: u64) -> [u8; 4] {
    // Truncation cannot happen: an index has 48 bits.
    ((index >> 16) as u32).to_be_bytes()
}

/// Returns the associated data of an encrypted RTCP packet: its header and the index word (RFC 7714 §9.2).
fn aad(header: &[u8], word: [u8; WORD]) -> Option<[u8; HEAD + WORD]> {
    let mut aad = [0; HEAD + WORD];
    let (first, last) = aad.split_at_mut_checked(HEAD)?;
    first.copy_from_slice(header.first_chunk::<HEAD>()?);
    last.copy_from_slice(&word);
    Some(aad)
}

/// Verifies an RTCP packet that is authenticated but not encrypted: all of it and the index word are associated data
/// (RFC 7714 §9.3). Returns false on failure.
fn open_bare(gcm: &GcmKeys, ssrc: u32, index: u64, bare: &mut [u8], word: [u8; WORD]) -> bool {
    let mut all = [0; PACKET + WORD];
    let Some((plain, tag)) = bare.split_last_chunk_mut::<TAG>() else { return false };
    let Some(aad) = all.get_mut(..plain.len() + WORD) else { return false };
    let Some((first, last)) = aad.split_at_mut_checked(plain.len()) else { return false };
    first.copy_from_slice(plain);
    last.copy_from_slice(&word);
    let mut tag = *tag;
    gcm.open(ssrc, index, aad, &mut tag, false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::Suite;

    pub(super) fn bytes(hex: &str) -> Vec<u8> {
        let hex: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        hex.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    fn packet(bytes: &[u8]) -> PacketBuf {
        let mut packet = PacketBuf::new();
        packet.receive_area()[..bytes.len()].copy_from_slice(bytes);
        packet.set_len(bytes.len());
        packet
    }

    /// Builds a cipher with the session keys of RFC 7714 §16 and §17: 00 01 02 …, and this salt.
    fn gcm(key_len: usize) -> Cipher {
        let key: Vec<u8> = (0..key_len as u8).collect();
        let keys = SessionKeys::new(&key, &[0; 20], &bytes("517569642070726f2071756f0000"));
        Cipher { mode: CipherMode::Gcm(GcmKeys::new(&keys)), tag: TAG, mki: None }
    }

    const PLAIN: &str = "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070
        61727465 73207472 6573";
    const SEALED_128: &str = "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a
        51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce";
    const SEALED_256: &str = "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02
        76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13";

    #[test]
    fn rfc7714_section_16_rtp() {
        for (key_len, sealed) in [(16, SEALED_128), (32, SEALED_256)] {
            let cipher = gcm(key_len);
            let mut packet = packet(&bytes(PLAIN));
            let head = SrtpHeader::parse(packet.data()).unwrap();
            assert!(cipher.seal_rtp(&mut packet, &head, 0xf17b));
            assert_eq!(packet.data(), bytes(sealed));
            // Fails with the wrong index and leaves the packet unchanged, then succeeds.
            for (index, again, opens) in [(0x1_f17b, true, false), (0xf17b, true, true)] {
                assert_eq!(cipher.open_rtp(&mut packet, &head, index, again), opens);
            }
            assert_eq!(packet.data(), bytes(PLAIN));
        }
    }

    const REPORT: &str = "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef
        deadbeef deadbeef deadbeef";
    const REPORT_128: &str = "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda
        4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4";
    const REPORT_256: &str = "81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50 a2eaa5c1 110555be
        8415f658 c61de047 6f1b6fad 1d1eb30c 4446839f 57ff6f6c b26ac3be 800005d4";
    const TAGGED_128: &str = "841dd968 3dd78ec9 2ae58790 125f62b3 000005d4";
    const TAGGED_256: &str = "91db4afb feee5a97 8fab4393 ed2615fe 000005d4";

    #[test]
    fn rfc7714_section_17_rtcp() {
        for (key_len, sealed, tagged) in [(16, REPORT_128, TAGGED_128), (32, REPORT_256, TAGGED_256)] {
            let cipher = gcm(key_len);
            let mut sent = packet(&bytes(REPORT));
            assert!(cipher.seal_rtcp(&mut sent, 0x4d61_7273, 0x5d4));
            assert_eq!(sent.data(), bytes(sealed));
            assert_eq!(cipher.rtcp_index(sent.data()), Some(0x5d4));
            assert!(!cipher.open_rtcp(&mut sent, 0x4d61_7274, true));
            assert!(cipher.open_rtcp(&mut sent, 0x4d61_7273, false));
            assert_eq!(sent.data(), bytes(REPORT));
            // Authenticated only (RFC 7714 §17.3, §17.4).
            let mut bare = packet(&bytes(&format!("{REPORT}{tagged}")));
            assert!(cipher.open_rtcp(&mut bare, 0x4d61_7273, false));
            assert_eq!(bare.data(), bytes(REPORT));
            let mut forged = bytes(&format!("{REPORT}{tagged}"));
            forged[9] ^= 1;
            assert!(!cipher.open_rtcp(&mut packet(&forged), 0x4d61_7273, false));
        }
    }

    #[test]
    fn rtcp_that_is_only_authenticated_is_taken_in_counter_mode_too() {
        let key = SrtpKey::new(Suite::AesCm128HmacSha1_32, &[5; 30], None).unwrap();
        let (cipher, keys) = (Cipher::rtcp(&key), SessionKeys::rtcp(&key));
        let mut bare = bytes(REPORT);
        bare.extend_from_slice(&[0, 0, 0, 9]);
        let mut tag = [0; 10];
        CmKeys::new(&keys).sign(&bare, &[], &mut tag);
        bare.extend_from_slice(&tag);
        let mut packet = packet(&bare);
        assert_eq!(cipher.rtcp_index(packet.data()), Some(9));
        assert!(cipher.open_rtcp(&mut packet, 0x4d61_7273, false));
        assert_eq!(packet.data(), bytes(REPORT));
    }

    #[test]
    fn a_packet_without_room_is_refused() {
        for suite in Suite::ALL {
            let key = SrtpKey::new(suite, &vec![1; suite.key_len() + suite.salt_len()], Some(&[9; 128])).unwrap();
            let mut packet = PacketBuf::new();
            packet.receive_area()[..12].copy_from_slice(&[0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1]);
            packet.set_len(PACKET);
            let head = SrtpHeader::parse(packet.data()).unwrap();
            assert!(Cipher::rtp(&key).seal_rtp(&mut packet, &head, 1));
            while Cipher::rtp(&key).seal_rtp(&mut packet, &head, 1) {}
            packet.set_len(PACKET);
            assert!(Cipher::rtcp(&key).seal_rtcp(&mut packet, 1, 1));
        }
    }
}
