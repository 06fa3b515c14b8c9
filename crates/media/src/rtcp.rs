//! RTCP packets, as far as a relay needs them: told from RTP (RFC 5761 §4), and their frame checked (RFC 3550 §6.1).
//! Their contents are passed as they are.

/// What a datagram on a media port is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// By its first two bytes RTP.
    Rtp,
    /// By its first two bytes RTCP.
    Rtcp,
    /// Something else: STUN, DTLS, T.38, garbage.
    Other,
}

/// Tells RTP from RTCP by the packet type: 192–223 is RTCP, which rules payload numbers 64–95 out (RFC 5761 §4).
pub fn classify(packet: &[u8]) -> Kind {
    match packet {
        [first, ..] if first >> 6 != 2 => Kind::Other,
        [_, 192..=223, ..] => Kind::Rtcp,
        [_, _, ..] => Kind::Rtp,
        _ => Kind::Other,
    }
}

/// Whether a datagram is one or more RTCP packets whose lengths add up to it. Reduced-size packets (RFC 5506) pass:
/// what comes first is not looked at; only the last may have padding.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rtcp_types::{Compound, ReceiverReport, RtcpPacketWriter, RtcpPacketWriterExt, Sdes, SdesChunk, SdesItem};

    use super::*;

    /// A receiver report and a source description, as phones send them.
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
            let kind = if (192..=223).contains(&second) { Kind::Rtcp } else { Kind::Rtp };
            assert_eq!(classify(&[0x80, second, 0, 0]), kind, "{second}");
            assert_eq!(classify(&[0x00, second, 0, 0]), Kind::Other);
        }
        assert_eq!(classify(&[0x80]), Kind::Other);
        assert_eq!(classify(&[]), Kind::Other);
    }

    #[test]
    fn lengths_must_add_up() {
        let bytes = compound();
        assert_eq!(classify(&bytes), Kind::Rtcp);
        assert!(is_well_formed(&bytes));
        for len in 0..bytes.len() {
            // The first packet alone is whole too.
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

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = (classify(&bytes), is_well_formed(&bytes));
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
