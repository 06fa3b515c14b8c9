//! Minimal RTCP parsing for a relay: distinguishes RTCP from RTP (RFC 5761 §4) and checks the framing (RFC 3550
//! §6.1). Contents are forwarded unchanged, except texts in which phones send their addresses, names and software.

/// Kind of a datagram received on a media port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatagramKind {
    /// RTP, by its first two bytes.
    Rtp,
    /// RTCP, by its first two bytes.
    Rtcp,
    /// Anything else: STUN, DTLS, T.38, garbage.
    Other,
}

/// Classifies a datagram by its packet type: 192–223 is RTCP, which excludes payload types 64–95 (RFC 5761 §4).
pub fn classify(packet: &[u8]) -> DatagramKind {
    match packet {
        [first, ..] if first >> 6 != 2 => DatagramKind::Other,
        [_, 192..=223, ..] => DatagramKind::Rtcp,
        [_, _, ..] => DatagramKind::Rtp,
        _ => DatagramKind::Other,
    }
}

/// Returns whether a datagram consists of RTCP packets whose lengths add up to its size. Reduced-size packets (RFC
/// 5506) pass, because the type of the first packet is not checked; only the last packet may have padding.
pub fn is_well_formed(packet: &[u8]) -> bool {
    let mut rest = packet;
    loop {
        let &[first, kind, high, low, ..] = rest else { return false };
        if first >> 6 != 2 || !(192..=223).contains(&kind) {
            return false;
        }
        let len = (usize::from(u16::from_be_bytes([high, low])) + 1) * 4;
        let Some((one, next)) = rest.split_at_checked(len) else { return false };
        let padded = first & 0x20 != 0;
        if next.is_empty() {
            let padding = one.last().copied().map_or(0, usize::from);
            return !padded || (padding > 0 && padding.is_multiple_of(4) && padding <= len - 4);
        }
        if padded {
            return false;
        }
        rest = next;
    }
}

/// Lists the packets of a well-formed compound.
pub(crate) fn packets(compound: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = compound;
    std::iter::from_fn(move || {
        let &[_, _, high, low, ..] = rest else { return None };
        let (one, next) = rest.split_at_checked((usize::from(u16::from_be_bytes([high, low])) + 1) * 4)?;
        rest = next;
        Some(one)
    })
}

const SOURCE_DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;
const CNAME: u8 = 1;
const PRIVATE: u8 = 8;
/// Character that replaces texts in RTCP.
const COVER: u8 = b'-';

/// Replaces the texts of a well-formed packet in place, without a change of length: a canonical name by its `pseudonym`
/// (the same for the same name, so that streams stay associated, RFC 3550 §6.5.1), every other text by dashes. The
/// texts would expose addresses (`alice@10.0.0.5`), people and software to the other side. Returns false if the texts
/// exceed their packet, which must then not be forwarded.
#[must_use]
pub fn cover_texts(packet: &mut [u8], pseudonym: impl Fn(&[u8]) -> u64) -> bool {
    let mut rest = packet;
    while let &mut [first, kind, high, low, ..] = rest {
        let len = (usize::from(u16::from_be_bytes([high, low])) + 1) * 4;
        let Some((one, next)) = rest.split_at_mut_checked(len) else { return false };
        let Some((_, contents)) = one.split_at_mut_checked(4) else { return false };
        let count = usize::from(first & 0x1f);
        let fits = match kind {
            SOURCE_DESCRIPTION => cover_chunks(contents, count, &pseudonym),
            GOODBYE => cover_reason(contents, count),
            _ => true,
        };
        if !fits {
            return false;
        }
        rest = next;
    }
    true
}

/// Replaces the texts in the chunks of a source description: each chunk is an SSRC with its items, terminated by a zero
/// and padded to four bytes (RFC 3550 §6.5). Returns false if a chunk exceeds the packet.
fn cover_chunks(contents: &mut [u8], count: usize, pseudonym: &impl Fn(&[u8]) -> u64) -> bool {
    let mut at = 0;
    for _ in 0..count {
        at += 4;
        loop {
            let (kind, len) = match contents.get(at..) {
                Some(&[0, ..]) => break,
                Some(&[kind, len, ..]) => (kind, usize::from(len)),
                Some(_) | None => return false,
            };
            let Some(text) = contents.get_mut(at + 2..at + 2 + len) else { return false };
            match (kind, text) {
                (CNAME, text) => rename(text, pseudonym),
                // The value of a private item begins with the length of a prefix.
                (PRIVATE, [prefix, value @ ..]) => {
                    *prefix = 0;
                    value.fill(COVER);
                }
                (_, text) => text.fill(COVER),
            }
            at += 2 + len;
        }
        at = (at + 4) / 4 * 4;
    }
    true
}

fn rename(text: &mut [u8], pseudonym: &impl Fn(&[u8]) -> u64) {
    let name = pseudonym(text);
    for (n, byte) in (0..).zip(text.iter_mut()) {
        let digit = (name.rotate_left(4 * (n % 16)) & 0xf) as u8;
        *byte = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
    }
}

/// Replaces the reason text after the SSRCs of a BYE (RFC 3550 §6.6); returns false if it exceeds the packet.
fn cover_reason(contents: &mut [u8], count: usize) -> bool {
    let at = count * 4;
    let Some(&len) = contents.get(at) else { return contents.len() >= at };
    contents.get_mut(at + 1..at + 1 + usize::from(len)).map(|text| text.fill(COVER)).is_some()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rtcp_types::{Compound, ReceiverReport, RtcpPacketWriter, RtcpPacketWriterExt, Sdes, SdesChunk, SdesItem};

    use super::*;

    /// Returns a receiver report and a source description, as phones send them.
    fn compound() -> Vec<u8> {
        let name = SdesChunk::builder(7).add_item(SdesItem::builder(SdesItem::CNAME, "x"));
        let packet =
            Compound::builder().add_packet(ReceiverReport::builder(7)).add_packet(Sdes::builder().add_chunk(name));
        let mut bytes = vec![0; packet.calculate_size().unwrap()];
        packet.write_into(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn rfc5761_section_4_ranges() {
        for second in 0..=255 {
            let kind = if (192..=223).contains(&second) { DatagramKind::Rtcp } else { DatagramKind::Rtp };
            assert_eq!(classify(&[0x80, second, 0, 0]), kind, "{second}");
            assert_eq!(classify(&[0x00, second, 0, 0]), DatagramKind::Other);
        }
        assert_eq!(classify(&[0x80]), DatagramKind::Other);
        assert_eq!(classify(&[]), DatagramKind::Other);
    }

    #[test]
    fn lengths_must_add_up() {
        let bytes = compound();
        assert_eq!(classify(&bytes), DatagramKind::Rtcp);
        assert!(is_well_formed(&bytes));
        for len in 0..bytes.len() {
            // The first packet alone is complete too.
            assert_eq!(is_well_formed(&bytes[..len]), len == 8, "{len}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(!is_well_formed(&longer));
    }

    #[test]
    fn padding_only_at_the_end() {
        let mut bytes = compound();
        bytes[0] |= 0x20;
        assert!(!is_well_formed(&bytes));
        let mut last = vec![0xa0, 201, 0, 2, 0, 0, 0, 7, 0, 0, 0, 4];
        assert!(is_well_formed(&last));
        for wrong in [0, 3, 12, 255] {
            last[11] = wrong;
            assert!(!is_well_formed(&last), "{wrong}");
        }
    }

    #[test]
    fn texts_are_covered_and_nothing_else_changes() {
        let text = |kind, text: &'static str| SdesItem::builder(kind, text);
        let chunk = SdesChunk::builder(7)
            .add_item(text(SdesItem::CNAME, "alice@10.0.0.5"))
            .add_item(text(SdesItem::TOOL, "PBX 1.2"))
            .add_item(text(SdesItem::NAME, "Alice"));
        let second = SdesChunk::builder(8).add_item(text(SdesItem::CNAME, "alice@10.0.0.5"));
        let goodbye = rtcp_types::Bye::builder().add_source(7).reason("to 10.0.0.6");
        let packet = Compound::builder()
            .add_packet(ReceiverReport::builder(7))
            .add_packet(Sdes::builder().add_chunk(chunk).add_chunk(second))
            .add_packet(goodbye);
        let mut before = vec![0; packet.calculate_size().unwrap()];
        packet.write_into(&mut before).unwrap();
        let mut after = before.clone();
        assert!(cover_texts(&mut after, |name| 0x0123_4567_89ab_cdef ^ name.len() as u64));
        assert!(is_well_formed(&after) && Compound::parse(&after).is_ok());
        let shown = String::from_utf8_lossy(&after).into_owned();
        for leak in ["alice", "10.0", "PBX", "Alice", "0.6"] {
            assert!(!shown.contains(leak), "{leak}: {shown}");
        }
        assert_eq!(shown.matches("10123456789abc").count(), 2, "one name is one name: {shown}");
        // Types and lengths stay; covering again changes nothing.
        let mut again = after.clone();
        assert!(cover_texts(&mut again, |name| 0x0123_4567_89ab_cdef ^ name.len() as u64));
        assert_eq!(again, after);
    }

    #[test]
    fn a_private_item_keeps_its_shape_and_texts_must_fit() {
        let mut private = [0x81, 202, 0, 3, 0, 0, 0, 7, 8, 4, 2, b'a', b'b', b'c', 0, 0];
        assert!(is_well_formed(&private) && cover_texts(&mut private, |_| 0));
        assert_eq!(private[8..], [8, 4, 0, b'-', b'-', b'-', 0, 0]);
        for wrong in [
            &mut [0x81, 202, 0, 2, 0, 0, 0, 7, 1, 9, b'a', b'b'][..],
            &mut [0x82, 202, 0, 2, 0, 0, 0, 7, 1, 1, b'a', 0],
            &mut [0x81, 202, 0, 0],
            &mut [0x81, 203, 0, 2, 0, 0, 0, 7, 4, b'a', b'b', b'c'],
            &mut [0x82, 203, 0, 1, 0, 0, 0, 7],
        ] {
            assert!(is_well_formed(wrong) && !cover_texts(wrong, |_| 0), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = (classify(&bytes), is_well_formed(&bytes));
            let _ = cover_texts(&mut bytes.clone(), |_| 7);
        }

        #[test]
        fn what_a_strict_parser_takes_passes(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut bytes = bytes;
            bytes.resize(bytes.len() / 4 * 4 + 4, 0);
            let words = bytes.len() / 4 - 1;
            bytes[..4].copy_from_slice(&[0x80, 201, 0, words as u8]);
            if Compound::parse(&bytes).is_ok() {
                prop_assert!(is_well_formed(&bytes));
            }
        }
    }
}
