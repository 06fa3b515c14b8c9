//! What tells why nothing, or nothing of use, is heard of a far side: noticed where a packet is dropped, or only until
//! the first sound, so that a packet of a healthy stream costs nothing more.

use std::net::SocketAddr;
use std::sync::OnceLock;

use crate::codec::g711::ULAW_SILENCE;
use crate::counters::{Counter, DropReason};
use crate::end::End;
use crate::latch::canonical;
use crate::rtp::Rtp;
use crate::session::Session;
use crate::spec::EndId;

/// A payload no longer than this may be a key (RFC 4733 §2.3) or the comfort noise of a codec: it is no sound.
const ASIDE_BYTES: usize = 4;
/// The codes of both zeros in μ-law, and those in A-law next to zero (ITU-T G.711).
const SILENT_ULAW: [u8; 2] = [ULAW_SILENCE, 0x7f];
const SILENT_ALAW: [u8; 2] = [0xd5, 0x55];

/// Why the system of this machine did not send what it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsent {
    /// A rule of its own forbids it: EPERM, EACCES.
    Forbidden,
    /// No route leads there, or its interface is down: ENETUNREACH, ENETDOWN, EHOSTUNREACH.
    NoRoute,
    /// Not from the address that it is sent from: EINVAL, EADDRNOTAVAIL.
    NotFromThere,
    /// Anything else.
    Other,
}

/// What an ICMP error says of a datagram that was not delivered (RFC 792, RFC 4443 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undelivered {
    /// Nobody has that port, or a firewall says so.
    Port,
    /// That host does not answer its own network.
    Host,
    /// No route leads to it.
    Network,
    /// A firewall on the way forbids it.
    Forbidden,
}

impl Unsent {
    const ALL: [Unsent; 4] = [Unsent::Forbidden, Unsent::NoRoute, Unsent::NotFromThere, Unsent::Other];
    fn numbered(number: u64) -> Option<Unsent> {
        Unsent::ALL.get(usize::try_from(number.checked_sub(1)?).ok()?).copied()
    }
}

impl Undelivered {
    const ALL: [Undelivered; 4] = [Undelivered::Port, Undelivered::Host, Undelivered::Network, Undelivered::Forbidden];
    fn numbered(number: u64) -> Option<Undelivered> {
        Undelivered::ALL.get(usize::try_from(number.checked_sub(1)?).ok()?).copied()
    }
}

/// What was noticed of an end, in counters that its worker writes and anybody reads.
#[derive(Debug, Default)]
pub struct Symptoms {
    /// Packets of G.711 that were nothing but digital silence, before the first that was not.
    pub silent: Counter,
    /// 1 once a packet was not, or was of a codec of which that is not known.
    pub sounded: Counter,
    /// The last payload number that came and was not agreed on, and 1 more; 0: none.
    pub odd_payload: Counter,
    /// ICMP errors that came back for RTP that was sent to the far side.
    pub unreachable: Counter,
    undelivered: Counter,
    unsent: Counter,
    /// RTP packets for the far side that the system refused, keep-alive packets among them.
    pub refused: Counter,
    /// Datagrams for its RTP port that the system dropped because the socket was full.
    pub unread: Counter,
    /// The first who sent there without being expected.
    pub stranger: OnceLock<SocketAddr>,
}

impl Symptoms {
    /// What the last ICMP error said; `None`: there was none.
    pub fn undelivered(&self) -> Option<Undelivered> {
        Undelivered::numbered(self.undelivered.get())
    }
    /// Counts an ICMP error for RTP that was sent to the far side.
    pub fn note_undelivered(&self, how: Undelivered) {
        self.unreachable.add_alone(1);
        self.undelivered.set(how as u64 + 1);
    }
    /// Why the last of the [`refused`](Self::refused) packets was; `None`: none was.
    pub fn unsent(&self) -> Option<Unsent> {
        Unsent::numbered(self.unsent.get())
    }
    /// Counts an RTP packet that the system refused.
    pub fn note_unsent(&self, why: Unsent) {
        self.refused.add_alone(1);
        self.unsent.set(why as u64 + 1);
    }
}

impl Session {
    /// An ICMP error (RFC 792, RFC 4443) that came back for what an end has sent `to`: one about another address than its RTP
    /// goes to is old, or forged.
    pub fn count_unreachable(&self, end: EndId, to: SocketAddr, how: Undelivered) {
        let goes_to = |end: &End| Some(end.latch.rtp_destination(end.remote.as_ref()?)?.0);
        let end = self.ends.iter().find(|each| each.id == end);
        if let Some(end) = end.filter(|end| goes_to(end).is_some_and(|goes| canonical(goes) == canonical(to))) {
            end.counters.symptoms.note_undelivered(how);
        }
    }
    /// The system refused an RTP packet of an end.
    pub fn count_unsent(&self, end: EndId, why: Unsent) {
        self.count_drop(end, DropReason::SendFailed);
        if let Some(end) = self.ends.iter().find(|each| each.id == end) {
            end.counters.symptoms.note_unsent(why);
        }
    }
    /// How many datagrams the system has dropped at an end's RTP socket since that was bound.
    pub fn set_unread(&self, end: EndId, datagrams: u64) {
        if let Some(end) = self.ends.iter().find(|each| each.id == end) {
            end.counters.symptoms.unread.set(datagrams);
        }
    }
    /// The next end of which packets are missing since the last time: the system may have dropped them here; after
    /// [`Self::handle_timeout`].
    pub fn poll_lossy(&mut self) -> Option<EndId> {
        self.lossy.pop()
    }
    /// A payload number came that nobody agreed on.
    pub(crate) fn note_odd(&self, at: usize, packet: &[u8]) {
        if let (Some(end), Some(second)) = (self.ends.get(at), packet.get(1)) {
            end.counters.symptoms.odd_payload.set(u64::from(second & 0x7f) + 1);
        }
    }
}

impl End {
    /// Notes a source whose packets do not count, and returns why they are dropped. A source that is only too early for the
    /// latch is no finding.
    pub(crate) fn note_stranger(&mut self, source: SocketAddr) -> DropReason {
        if self.remote.as_ref().is_some_and(|remote| self.latch.waits_for_another(source, remote)) {
            return DropReason::UnexpectedSource;
        }
        if self.stranger.is_none() {
            // Of who came first, the first word counts.
            let _ = self.counters.symptoms.stranger.set(source);
        }
        self.stranger = Some(source);
        DropReason::UnexpectedSource
    }
    /// Looks for a sound in a packet, until there was one.
    #[inline]
    pub(crate) fn listen_for_sound(&mut self, rtp: &Rtp, packet: &[u8]) {
        if !self.sounded {
            self.look_for_sound(rtp, packet);
        }
    }

    fn look_for_sound(&mut self, rtp: &Rtp, packet: &[u8]) {
        let payload = packet.get(rtp.payload.clone()).unwrap_or_default();
        if payload.len() <= ASIDE_BYTES {
            return;
        }
        let is_silent = |codes: [u8; 2]| payload.iter().all(|code| codes.contains(code));
        let (is_silent, is_known) = match rtp.payload_type {
            0 => (is_silent(SILENT_ULAW), true),
            8 => (is_silent(SILENT_ALAW), true),
            number => (false, self.wire.as_ref().is_some_and(|wire| wire.payload(number).is_some())),
        };
        let symptoms = &self.counters.symptoms;
        if is_silent {
            symptoms.silent.add_alone(1);
        } else if is_known {
            symptoms.sounded.set(1);
            self.sounded = true;
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]

    use std::sync::Arc;
    use std::time::Instant;

    use super::*;
    use crate::counters::EndCounters;

    fn end() -> End {
        let bind = "127.0.0.1:4000".parse().unwrap();
        End::new(Instant::now(), EndId(0), 0, bind, Arc::new(EndCounters::default()))
    }

    #[test]
    fn silence_is_counted_until_the_first_sound() {
        for (number, silence, sound) in [(0, [0xff, 0x7f], 0xfe), (8, [0xd5, 0x55], 0xd4)] {
            let mut end = end();
            let hear = |end: &mut End, payload_type: u8, payload: &[u8]| {
                let rtp =
                    Rtp { marker: false, payload_type, sequence: 1, timestamp: 1, ssrc: 1, payload: 0..payload.len() };
                end.listen_for_sound(&rtp, payload);
                (end.counters.symptoms.silent.get(), end.sounded)
            };
            assert_eq!(hear(&mut end, number, &[silence[0]; 160]), (1, false));
            assert_eq!(hear(&mut end, number, &[silence[1]; 160]), (2, false));
            // A key, comfort noise, and a number that nobody agreed on.
            assert_eq!(hear(&mut end, 101, &[1, 10, 0, 160]), (2, false));
            assert_eq!(hear(&mut end, 13, &[60]), (2, false));
            assert_eq!(hear(&mut end, 96, &[7; 40]), (2, false));
            let mut spoken = [silence[0]; 160];
            spoken[159] = sound;
            assert_eq!(hear(&mut end, number, &spoken), (2, true));
        }
    }

    #[test]
    fn the_first_stranger_is_kept_and_the_last_one_told() {
        let mut end = end();
        let [one, two] = ["192.0.2.1:4", "192.0.2.2:4"].map(|at| at.parse::<SocketAddr>().unwrap());
        end.note_stranger(one);
        end.note_stranger(two);
        assert_eq!((end.counters.symptoms.stranger.get(), end.stranger), (Some(&one), Some(two)));
    }
}
