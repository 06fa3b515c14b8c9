//! Index word of an SRTCP packet: encryption flag and index (RFC 3711 §3.4).

/// Bytes before the encrypted part: header and sender SSRC of the first packet.
pub(super) const HEAD: usize = 8;
/// Bytes of the index word.
pub(super) const WORD: usize = 4;
/// Number of RTCP indices: they have 31 bits.
pub(super) const INDICES: u64 = 1 << 31;
const ENCRYPTED: u32 = 1 << 31;

/// Returns the sender SSRC of an RTCP packet; `None` if the packet is too short.
pub(super) fn sender(packet: &[u8]) -> Option<u32> {
    packet.get(4..HEAD)?.try_into().ok().map(u32::from_be_bytes)
}

/// Returns the index word of an encrypted RTCP packet.
pub(super) fn word(index: u64) -> [u8; WORD] {
    // Truncation cannot happen: the caller keeps the index below `INDICES`.
    (ENCRYPTED | index as u32).to_be_bytes()
}

/// Reads the index word of an RTCP packet: whether the packet is encrypted, and its index.
pub(super) fn read(word: [u8; WORD]) -> (bool, u64) {
    let word = u32::from_be_bytes(word);
    (word & ENCRYPTED != 0, u64::from(word & !ENCRYPTED))
}
