//! Keep-alive packets that open NAT bindings to a silent remote party and keep them open while nothing else is sent
//! (RFC 6263).
//!
//! A keep-alive is a bare RTP header with a dynamic payload type that was not negotiated (RFC 6263 §4.6). RTP
//! receivers ignore it (RFC 3550 §5.1), peers that wait for a first packet to learn the destination get one, and SRTP
//! protects it like any other packet, unlike an empty datagram (§4.1) or another version (§4.5). It has its own SSRC
//! and numbers: the number of the media stream would be mistaken for a later packet, and used twice with one key.

use std::time::Instant;

use crate::limits::{KEEP_ALIVE_INTERVAL, PROBE_INTERVAL, PROBES};

use super::header::{FIXED_HEADER, RtpHeader};
use super::packet::PacketBuf;

/// Highest dynamic payload type (RFC 3551 §6), and the lowest.
const DYNAMIC: (u8, u8) = (127, 96);

/// Returns whether a packet is an RTP header without a payload: a remote party's keep-alive, if its payload type was
/// not negotiated (RFC 6263 §4.6).
pub(crate) fn is_header_alone(packet: &PacketBuf) -> bool {
    packet.data().len() == FIXED_HEADER
}

/// Keep-alive state of an end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeepAlive {
    /// Time of the last keep-alive; before the first one, the time at which the remote party was described.
    since: Instant,
    /// Number of keep-alives since the description.
    probes: u32,
    sequence: u16,
    /// Whether a keep-alive is to be sent now.
    wanted: bool,
}

impl KeepAlive {
    /// Creates the state before the first keep-alive.
    pub(crate) fn new(now: Instant) -> KeepAlive {
        KeepAlive { since: now, probes: 0, sequence: 0, wanted: false }
    }

    /// Restarts the schedule for a new description of the remote party. Sequence numbers continue, because SRTP must
    /// not use an index twice.
    pub(crate) fn again(&mut self, now: Instant) {
        *self = KeepAlive { sequence: self.sequence, ..KeepAlive::new(now) };
    }

    /// Restores the state after a restart with the next sequence number.
    pub(crate) fn resumed(now: Instant, sequence: u16) -> KeepAlive {
        KeepAlive { sequence, ..KeepAlive::new(now) }
    }

    /// Returns whether a keep-alive is to be sent now.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Skips the keep-alive that is due.
    pub(crate) fn pass_over(&mut self) {
        self.wanted = false;
    }

    /// Returns the sequence number of the next keep-alive.
    pub(crate) fn sequence(&self) -> u16 {
        self.sequence
    }

    /// Sets whether a keep-alive is due: `sent_at` is the time of the last other packet sent, `heard` whether the
    /// remote party has sent anything.
    pub(crate) fn look(&mut self, now: Instant, sent_at: Option<Instant>, heard: bool) {
        let wait = if heard || self.probes >= PROBES { KEEP_ALIVE_INTERVAL } else { PROBE_INTERVAL };
        let last = sent_at.map_or(self.since, |sent_at| sent_at.max(self.since));
        self.wanted = now.saturating_duration_since(last) >= wait;
    }

    /// Writes a keep-alive with a dynamic payload type that is not in `taken`; `None` if there is none.
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
        let rtp = RtpHeader {
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

    /// Lists the seconds at which packets are sent, checked once a second.
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
    fn rfc6263_7_keep_alives_every_15_seconds() {
        assert_eq!(leave(60, 99, |_| None), [1, 2, 3, 4, 5, 20, 35, 50]);
        assert_eq!(leave(60, 0, |_| None), [15, 30, 45, 60]);
        assert_eq!(leave(40, 3, |_| None), [1, 2, 17, 32]);
        // No keep-alives while media is sent, and again once it stops.
        assert_eq!(leave(60, 99, Some), Vec::<u64>::new());
        assert_eq!(leave(60, 0, |second| Some(second.min(10))), [25, 40, 55]);
    }

    #[test]
    fn rfc6263_4_6_a_number_that_means_nothing_to_the_far_side() {
        let (mut keep_alive, mut packet) = (KeepAlive::new(Instant::now()), PacketBuf::new());
        for (taken, number) in [(200..=200, 127), (127..=127, 126), (100..=127, 99)] {
            keep_alive.write(Instant::now(), 7, |n| taken.contains(&n), &mut packet).unwrap();
            let rtp = RtpHeader::parse(packet.data()).unwrap();
            assert_eq!((rtp.payload_type, rtp.ssrc, rtp.payload.len()), (number, 7, 0));
        }
        assert_eq!(RtpHeader::parse(packet.data()).unwrap().sequence, 2);
        assert_eq!(keep_alive.write(Instant::now(), 7, |_| true, &mut packet), None);
    }
}
