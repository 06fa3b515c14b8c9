//! RTP header, parsed and rewritten in place (RFC 3550 §5.1).
//!
//! The parser checks the fields that a relay depends on: version, contributing sources, extension and padding must fit
//! the packet. The payload is never read.

use std::ops::Range;

/// Size of the fixed RTP header, in bytes.
pub const FIXED_HEADER: usize = 12;
const VERSION: u8 = 2;

/// Reason why a datagram is not a valid RTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseError {
    /// Description of the error, such as "not RTP version 2".
    pub what: &'static str,
    /// Offset of the error in the packet, in bytes.
    pub at: usize,
}

/// Header fields that a relay reads or changes, and the position of the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtpHeader {
    /// Marker bit of the packet.
    pub marker: bool,
    /// Payload type, 0–127.
    pub payload_type: u8,
    /// Sequence number of the packet, which wraps at 2¹⁶.
    pub sequence: u16,
    /// Timestamp, in units of the payload's clock.
    pub timestamp: u32,
    /// Synchronisation source (SSRC) of the packet.
    pub ssrc: u32,
    /// Position of the payload within the packet, without padding.
    pub payload: Range<usize>,
}

fn be16(packet: &[u8], at: usize) -> Option<u16> {
    packet.get(at..at.checked_add(2)?)?.try_into().ok().map(u16::from_be_bytes)
}

fn be32(packet: &[u8], at: usize) -> Option<u32> {
    packet.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_be_bytes)
}

/// Header fields readable in a packet that may be encrypted; padding is in the encrypted part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SrtpHeader {
    /// Sequence number of the packet, which wraps at 2¹⁶.
    pub sequence: u16,
    /// Synchronisation source (SSRC) of the packet.
    pub ssrc: u32,
    /// Size of the header in bytes, including contributing sources and extension.
    pub len: usize,
}

impl SrtpHeader {
    /// Parses the header of a packet that may be encrypted.
    ///
    /// # Errors
    ///
    /// Returns an error if the version is not 2, or contributing sources or extension exceed the packet.
    pub fn parse(packet: &[u8]) -> Result<SrtpHeader, ParseError> {
        let short = ParseError { what: "shorter than an RTP header", at: packet.len() };
        let &[first, _, ..] = packet else { return Err(short) };
        if first >> 6 != VERSION {
            return Err(ParseError { what: "not RTP version 2", at: 0 });
        }
        let sequence = be16(packet, 2).ok_or(short)?;
        let ssrc = be32(packet, 8).ok_or(short)?;
        let mut len = FIXED_HEADER + usize::from(first & 0x0f) * 4;
        if len > packet.len() {
            return Err(ParseError { what: "contributing sources beyond the packet", at: FIXED_HEADER });
        }
        if first & 0x10 != 0 {
            let beyond = ParseError { what: "extension beyond the packet", at: len };
            let words = be16(packet, len + 2).ok_or(beyond)?;
            len += 4 + usize::from(words) * 4;
            if len > packet.len() {
                return Err(beyond);
            }
        }
        Ok(SrtpHeader { sequence, ssrc, len })
    }
}

impl RtpHeader {
    /// Parses the header of an unencrypted packet.
    ///
    /// # Errors
    ///
    /// Returns an error if the version is not 2, or contributing sources, extension or padding exceed the packet.
    pub fn parse(packet: &[u8]) -> Result<RtpHeader, ParseError> {
        let SrtpHeader { sequence, ssrc, len: start } = SrtpHeader::parse(packet)?;
        let short = ParseError { what: "shorter than an RTP header", at: packet.len() };
        let &[first, second, ..] = packet else { return Err(short) };
        let timestamp = be32(packet, 4).ok_or(short)?;
        let mut end = packet.len();
        if first & 0x20 != 0 {
            let padding = usize::from(packet.last().copied().unwrap_or(0));
            if padding == 0 || padding > end - start {
                return Err(ParseError { what: "padding beyond the payload", at: end - 1 });
            }
            end -= padding;
        }
        Ok(RtpHeader {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7f,
            sequence,
            timestamp,
            ssrc,
            payload: start..end,
        })
    }

    /// Writes marker, payload type, sequence number, timestamp and SSRC back into the packet; everything else stays.
    /// Has no effect on a packet that is too short.
    pub fn write(&self, packet: &mut [u8]) {
        if let Some(fields) = packet.get_mut(1..FIXED_HEADER) {
            fields.copy_from_slice(&self.fields());
        }
    }

    /// Appends a complete packet without contributing sources, extension and padding; `self.payload` is ignored.
    pub fn build(&self, payload: &[u8], out: &mut Vec<u8>) {
        out.push(VERSION << 6);
        out.extend_from_slice(&self.fields());
        out.extend_from_slice(payload);
    }

    /// Returns bytes 1 to 11 of the header.
    fn fields(&self) -> [u8; FIXED_HEADER - 1] {
        let [s0, s1] = self.sequence.to_be_bytes();
        let [t0, t1, t2, t3] = self.timestamp.to_be_bytes();
        let [c0, c1, c2, c3] = self.ssrc.to_be_bytes();
        [u8::from(self.marker) << 7 | self.payload_type & 0x7f, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> RtpHeader {
        RtpHeader {
            marker: true,
            payload_type: 101,
            sequence: 0xfffe,
            timestamp: 0xdead_beef,
            ssrc: 0x0102_0304,
            payload: 12..15,
        }
    }

    fn built() -> Vec<u8> {
        let mut packet = Vec::new();
        sample().build(b"abc", &mut packet);
        packet
    }

    #[test]
    fn what_is_built_is_read() {
        let packet = built();
        assert_eq!(packet[..4], [0x80, 0x80 | 101, 0xff, 0xfe]);
        assert_eq!(RtpHeader::parse(&packet), Ok(sample()));
    }

    #[test]
    fn short_packets_and_other_versions_are_refused() {
        let packet = built();
        for len in 0..FIXED_HEADER {
            assert!(RtpHeader::parse(&packet[..len]).is_err(), "{len}");
        }
        assert!(RtpHeader::parse(&packet[..FIXED_HEADER]).is_ok());
        for version in [0x00, 0x40, 0xc0] {
            let mut other = packet.clone();
            other[0] = version;
            assert_eq!(RtpHeader::parse(&other).unwrap_err().what, "not RTP version 2");
        }
    }

    #[test]
    fn contributing_sources_must_fit() {
        let mut packet = built();
        packet[0] |= 1;
        assert_eq!(RtpHeader::parse(&packet).unwrap_err().what, "contributing sources beyond the packet");
        packet.push(0);
        assert_eq!(RtpHeader::parse(&packet).unwrap().payload, 16..16);
    }

    #[test]
    fn extension_must_fit() {
        let mut packet = built();
        packet[0] |= 0x10;
        assert_eq!(RtpHeader::parse(&packet).unwrap_err().what, "extension beyond the packet");
        packet.truncate(12);
        packet.extend_from_slice(&[0xbe, 0xde, 0, 1, 1, 2, 3]);
        assert_eq!(RtpHeader::parse(&packet).unwrap_err().what, "extension beyond the packet");
        packet.extend_from_slice(&[4, 9, 9]);
        assert_eq!(RtpHeader::parse(&packet).unwrap().payload, 20..22);
    }

    #[test]
    fn padding_must_fit() {
        let mut packet = built();
        packet[0] |= 0x20;
        for (last, payload) in [(0, None), (1, Some(12..14)), (3, Some(12..12)), (4, None), (255, None)] {
            packet[14] = last;
            assert_eq!(RtpHeader::parse(&packet).ok().map(|rtp| rtp.payload), payload, "{last}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(rtp) = RtpHeader::parse(&bytes) {
                prop_assert!(rtp.payload.end <= bytes.len() && rtp.payload.start <= rtp.payload.end);
            }
        }

        #[test]
        fn writing_changes_only_its_fields(mut bytes in proptest::collection::vec(any::<u8>(), 12..80)) {
            bytes[0] = 0x80 | bytes[0] & 0x0f;
            let before = bytes.clone();
            if let Ok(mut rtp) = RtpHeader::parse(&bytes) {
                rtp.write(&mut bytes);
                prop_assert_eq!(&bytes, &before);
                rtp.sequence = rtp.sequence.wrapping_add(1);
                rtp.ssrc ^= 0xffff_ffff;
                rtp.write(&mut bytes);
                prop_assert_eq!(RtpHeader::parse(&bytes).unwrap(), rtp);
                prop_assert_eq!(bytes[0], before[0]);
                prop_assert_eq!(&bytes[12..], &before[12..]);
            }
        }
    }
}
