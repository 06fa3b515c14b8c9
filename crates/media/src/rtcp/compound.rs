//! RTCP compounds of the edge's own making, written straight into a packet's buffer (RFC 3550 §6.1, §6.4–6.6).

use crate::rtp::PacketBuf;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;
const EXTENDED_REPORT: u8 = 207;
const CNAME: u8 = 1;

/// A VoIP metrics block of an extended report (RFC 3611 §4.7), as it stands there.
pub type VoipMetrics = [u8; 36];

/// The sender's part of a report: what we sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sending {
    /// The date, 32.32 bits.
    pub(crate) ntp: u64,
    /// That moment on the stream's clock.
    pub(crate) timestamp: u32,
    /// Packets since the source began.
    pub(crate) packets: u32,
    /// Bytes of their payloads.
    pub(crate) octets: u32,
}

/// A report block: what we received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// The source of the packets.
    pub(crate) ssrc: u32,
    /// Lost since the last report, in 256ths.
    pub(crate) fraction: u8,
    /// Lost in all; below zero where duplicates came.
    pub(crate) lost: i32,
    /// Highest sequence number with its roll-overs.
    pub(crate) highest: u32,
    /// Interarrival jitter, in units of the payload's clock.
    pub(crate) jitter: u32,
    /// Middle bits of the date in the source's last sender report; 0: none came.
    pub(crate) last_report: u32,
    /// Time since that came, in 2⁻¹⁶ s.
    pub(crate) delay: u32,
}

/// One compound.
#[derive(Debug, Clone, Copy)]
pub struct Compound {
    /// The source of the report.
    pub(crate) ssrc: u32,
    /// The sender's part, where we sent lately.
    pub(crate) sending: Option<Sending>,
    /// A report block, where we received since the last report.
    pub(crate) block: Option<Block>,
    /// Becomes our canonical name.
    pub(crate) name: u64,
    /// Metrics that are passed on, with the source that they speak of as the reader knows it.
    pub(crate) metrics: Option<(u32, VoipMetrics)>,
    /// Whether it is the last.
    pub(crate) bye: bool,
}

impl Compound {
    /// Puts the compound into `packet`; `None` where that has no room.
    pub fn write(&self, packet: &mut PacketBuf) -> Option<()> {
        let mut out = Writer { area: packet.receive_area(), len: 0 };
        self.report(&mut out)?;
        out.header(1, SOURCE_DESCRIPTION, 7)?;
        out.word(self.ssrc)?;
        out.put(&[CNAME, 16])?;
        for digit in (0..16).rev() {
            // Truncation is meant: four bits.
            let digit = (self.name >> (4 * digit)) as u8 & 0xf;
            out.put(&[if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }])?;
        }
        // The end of the chunk, filled up to a word.
        out.put(&[0; 2])?;
        if let Some((about, block)) = &self.metrics {
            out.header(0, EXTENDED_REPORT, 11)?;
            out.word(self.ssrc)?;
            out.put(block.get(..4)?)?;
            out.word(*about)?;
            out.put(block.get(8..)?)?;
        }
        if self.bye {
            out.header(1, GOODBYE, 2)?;
            out.word(self.ssrc)?;
        }
        let len = out.len;
        packet.set_len(len);
        Some(())
    }

    fn report(&self, out: &mut Writer<'_>) -> Option<()> {
        let blocks = u8::from(self.block.is_some());
        let words = 2 + u16::from(blocks) * 6;
        match self.sending {
            Some(sending) => {
                out.header(blocks, SENDER_REPORT, words + 5)?;
                out.word(self.ssrc)?;
                out.put(&sending.ntp.to_be_bytes())?;
                for word in [sending.timestamp, sending.packets, sending.octets] {
                    out.word(word)?;
                }
            }
            None => {
                out.header(blocks, RECEIVER_REPORT, words)?;
                out.word(self.ssrc)?;
            }
        }
        if let Some(block) = &self.block {
            // 24 bits, sign and all (RFC 3550 §6.4.1); the sign is kept by the cut.
            let lost = block.lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0xff_ffff;
            let lost = u32::from(block.fraction) << 24 | lost;
            for word in [block.ssrc, lost, block.highest, block.jitter, block.last_report, block.delay] {
                out.word(word)?;
            }
        }
        Some(())
    }
}

struct Writer<'a> {
    area: &'a mut [u8],
    len: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        self.area.get_mut(self.len..self.len + bytes.len())?.copy_from_slice(bytes);
        self.len += bytes.len();
        Some(())
    }

    fn word(&mut self, word: u32) -> Option<()> {
        self.put(&word.to_be_bytes())
    }

    /// A packet of so many words in all.
    fn header(&mut self, count: u8, kind: u8, words: u16) -> Option<()> {
        let [high, low] = words.checked_sub(1)?.to_be_bytes();
        self.put(&[0x80 | count & 0x1f, kind, high, low])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rtcp_types::{Packet, RtcpPacketParserExt as _};

    use super::*;
    use crate::rtcp::is_well_formed;

    fn block() -> impl Strategy<Value = Block> {
        let counts = (any::<u8>(), any::<i32>(), any::<u32>());
        (any::<u32>(), counts, any::<u32>(), any::<u32>(), any::<u32>()).prop_map(
            |(ssrc, (fraction, lost, highest), jitter, last_report, delay)| Block {
                ssrc,
                fraction,
                lost,
                highest,
                jitter,
                last_report,
                delay,
            },
        )
    }

    fn sending() -> impl Strategy<Value = Sending> {
        (any::<u64>(), any::<u32>(), any::<u32>(), any::<u32>()).prop_map(|(ntp, timestamp, packets, octets)| Sending {
            ntp,
            timestamp,
            packets,
            octets,
        })
    }

    fn written(compound: &Compound) -> Vec<u8> {
        let mut packet = PacketBuf::new();
        compound.write(&mut packet).unwrap();
        packet.data().to_vec()
    }

    proptest! {
        /// Another's parser reads what we write.
        #[test]
        fn rfc3550_6_what_is_written_is_read(
            (ssrc, name, bye) in any::<(u32, u64, bool)>(),
            sending in proptest::option::of(sending()),
            block in proptest::option::of(block()),
            metrics in proptest::option::of((any::<u32>(), any::<[u8; 28]>())),
        ) {
            let metrics = metrics.map(|(about, rest)| {
                let mut block = [0; 36];
                block[..4].copy_from_slice(&[7, 0, 0, 8]);
                block[8..].copy_from_slice(&rest);
                (about, block)
            });
            let compound = Compound { ssrc, sending, block, name, metrics, bye };
            let bytes = written(&compound);
            prop_assert!(is_well_formed(&bytes));
            let packets: Vec<Packet<'_>> = rtcp_types::Compound::parse(&bytes).unwrap().map(Result::unwrap).collect();
            let read = |block: rtcp_types::ReportBlock<'_>| Block {
                ssrc: block.ssrc(),
                fraction: block.fraction_lost(),
                lost: (block.cumulative_lost() << 8) as i32 >> 8,
                highest: block.extended_sequence_number(),
                jitter: block.interarrival_jitter(),
                last_report: block.last_sender_report_timestamp(),
                delay: block.delay_since_last_sender_report_timestamp(),
            };
            let expected = block.map(|block| Block { lost: block.lost.clamp(-0x80_0000, 0x7f_ffff), ..block });
            match (&packets[0], sending) {
                (Packet::Sr(sr), Some(sent)) => {
                    prop_assert_eq!((sr.ssrc(), sr.ntp_timestamp(), sr.rtp_timestamp()), (ssrc, sent.ntp, sent.timestamp));
                    prop_assert_eq!((sr.packet_count(), sr.octet_count()), (sent.packets, sent.octets));
                    prop_assert_eq!(sr.report_blocks().map(read).next(), expected);
                }
                (Packet::Rr(rr), None) => {
                    prop_assert_eq!((rr.ssrc(), rr.report_blocks().map(read).next()), (ssrc, expected));
                }
                (other, _) => prop_assert!(false, "{:?}", other),
            }
            let Packet::Sdes(sdes) = &packets[1] else { panic!("{packets:?}") };
            let chunk = sdes.chunks().next().unwrap();
            let item = chunk.items().next().unwrap();
            prop_assert_eq!((chunk.ssrc(), item.type_()), (ssrc, 1));
            prop_assert_eq!(item.get_value_string().unwrap(), format!("{name:016x}"));
            let mut rest = packets[2..].iter();
            if let Some((about, block)) = metrics {
                let Some(Packet::Xr(xr)) = rest.next() else { panic!("{packets:?}") };
                prop_assert_eq!((xr.sender_ssrc(), xr.count()), (ssrc, 0));
                let at = bytes.windows(4).rposition(|window| window == [7, 0, 0, 8]).unwrap();
                prop_assert_eq!(&bytes[at + 4..at + 8], &about.to_be_bytes());
                prop_assert_eq!(&bytes[at + 8..at + 36], &block[8..]);
            }
            if bye {
                let Some(Packet::Bye(bye)) = rest.next() else { panic!("{packets:?}") };
                prop_assert_eq!(bye.ssrcs().collect::<Vec<_>>(), [ssrc]);
            }
            prop_assert!(rest.next().is_none());
        }
    }
}
