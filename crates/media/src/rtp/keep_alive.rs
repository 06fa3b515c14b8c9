//! Packets that keep the way to a silent far side open, or open it in the first place, where nothing else is sent there
//! (RFC 6263).
//!
//! The packet is an RTP header alone, with a dynamic payload number that was not agreed (RFC 6263 §4.6): who knows RTP
//! ignores it (RFC 3550 §5.1), who waits for a first packet to learn where to send gets one, and SRTP protects it as it
//! does any other, which an empty datagram (§4.1) or another version (§4.5) would not allow. It has a source and
//! numbers of its own: the stream's would be taken for a packet that comes later, and used twice with one key.

use std::time::Instant;

use crate::limits::{KEEP_ALIVE_INTERVAL, PROBE_INTERVAL, PROBES};

use super::header::{FIXED_HEADER, Rtp};
use super::packet::PacketBuf;

/// The highest dynamic number (RFC 3551 §6), and the lowest.
const DYNAMIC: (u8, u8) = (127, 96);

/// Tells whether a packet is an RTP header without a payload: a remote party's keep-alive where its payload number
/// means nothing (RFC 6263 §4.6).
pub(crate) fn is_header_alone(packet: &PacketBuf) -> bool {
    packet.data().len() == FIXED_HEADER
}

/// An end's keep-alive packets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeepAlive {
    /// The time when the last one left, or when the remote party was described.
    since: Instant,
    /// The number that have left since then.
    probes: u32,
    sequence: u16,
    /// Whether one is to be made now.
    wanted: bool,
}

impl KeepAlive {
    /// None yet.
    pub(crate) fn new(now: Instant) -> KeepAlive {
        KeepAlive { since: now, probes: 0, sequence: 0, wanted: false }
    }

    /// Begins again: the remote party was described again. Numbers go on: SRTP sends none twice.
    pub(crate) fn again(&mut self, now: Instant) {
        *self = KeepAlive { sequence: self.sequence, ..KeepAlive::new(now) };
    }

    /// After a restart: the number that is next.
    pub(crate) fn resumed(now: Instant, sequence: u16) -> KeepAlive {
        KeepAlive { sequence, ..KeepAlive::new(now) }
    }

    /// Returns whether a packet is to be made now.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Makes none for now.
    pub(crate) fn pass_over(&mut self) {
        self.wanted = false;
    }

    /// Returns the number that its next packet has.
    pub(crate) fn sequence(&self) -> u16 {
        self.sequence
    }

    /// Sees whether one is due: `sent_at` is when something else left last, `heard` whether the far side has spoken.
    pub(crate) fn look(&mut self, now: Instant, sent_at: Option<Instant>, heard: bool) {
        let wait = if heard || self.probes >= PROBES { KEEP_ALIVE_INTERVAL } else { PROBE_INTERVAL };
        let last = sent_at.map_or(self.since, |sent_at| sent_at.max(self.since));
        self.wanted = now.saturating_duration_since(last) >= wait;
    }

    /// Puts the packet into `packet`; `taken`: the payload numbers that mean something to the far side.
    pub(crate) fn write(
        &mut self,
        now: Instant,
        ssrc: u32,
        taken: impl Fn(u8) -> bool,
        packet: &mut PacketBuf,
    ) -> Option<()> {
        self.wanted = false;
        self.since = now;
        self.probes = self.probes.saturating_add(1);
        let (high, low) = DYNAMIC;
        let payload_type = (low..=high).rev().find(|number| !taken(*number))?;
        let area = packet.receive_area().get_mut(..FIXED_HEADER)?;
        *area.first_mut()? = 0x80;
        packet.set_len(FIXED_HEADER);
        let rtp = Rtp {
            marker: false,
            payload_type,
            sequence: self.sequence,
            timestamp: u32::from(self.sequence),
            ssrc,
            payload: FIXED_HEADER..FIXED_HEADER,
        };
        self.sequence = self.sequence.wrapping_add(1);
        rtp.write(packet.data_mut());
        Some(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]

    use std::time::Duration;

    use super::*;

    /// The seconds at which packets leave within a time, looked for each second.
    fn leave(seconds: u64, heard_from: u64, sent: impl Fn(u64) -> Option<u64>) -> Vec<u64> {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let (mut keep_alive, mut packet) = (KeepAlive::new(start), PacketBuf::new());
        let mut left = Vec::new();
        for second in 1..=seconds {
            keep_alive.look(at(second), sent(second).map(at), second >= heard_from);
            if keep_alive.wanted {
                keep_alive.write(at(second), 7, |_| false, &mut packet).unwrap();
                left.push(second);
            }
        }
        left
    }

    #[test]
    fn rfc6263_7_a_few_at_first_then_each_fifteen_seconds() {
        assert_eq!(leave(60, 99, |_| None), [1, 2, 3, 4, 5, 20, 35, 50]);
        assert_eq!(leave(60, 0, |_| None), [15, 30, 45, 60]);
        assert_eq!(leave(40, 3, |_| None), [1, 2, 17, 32]);
        // None while something else leaves, and again once it has stopped.
        assert_eq!(leave(60, 99, Some), Vec::<u64>::new());
        assert_eq!(leave(60, 0, |second| Some(second.min(10))), [25, 40, 55]);
    }

    #[test]
    fn rfc6263_4_6_a_number_that_means_nothing_to_the_far_side() {
        let (mut keep_alive, mut packet) = (KeepAlive::new(Instant::now()), PacketBuf::new());
        for (taken, number) in [(200..=200, 127), (127..=127, 126), (100..=127, 99)] {
            keep_alive.write(Instant::now(), 7, |n| taken.contains(&n), &mut packet).unwrap();
            let rtp = Rtp::parse(packet.data()).unwrap();
            assert_eq!((rtp.payload_type, rtp.ssrc, rtp.payload.len()), (number, 7, 0));
        }
        assert_eq!(Rtp::parse(packet.data()).unwrap().sequence, 2);
        assert_eq!(keep_alive.write(Instant::now(), 7, |_| true, &mut packet), None);
    }
}
