//! Symptoms of a remote party of which nothing, or nothing of use, is heard: noted where a packet is dropped, or only
//! until the first sound, so that a packet of a healthy stream costs nothing more.

use std::net::SocketAddr;
use std::sync::OnceLock;

use super::counter::Counter;

/// Reason why the system of this machine did not send a packet.
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

/// ICMP error about a datagram that was not delivered (RFC 792, RFC 4443 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undelivered {
    /// The port is not open, or a firewall says so.
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

/// Symptoms of an end, in counters that its worker writes and any thread reads.
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
    /// Keep-alive packets of this edge that the far side sent back.
    pub echoed: Counter,
    /// The first who sent there without being expected.
    pub stranger: OnceLock<SocketAddr>,
}

impl Symptoms {
    /// Returns the last ICMP error; `None`: there was none.
    pub fn undelivered(&self) -> Option<Undelivered> {
        Undelivered::numbered(self.undelivered.get())
    }

    /// Counts an ICMP error for RTP that was sent to the far side.
    pub(crate) fn note_undelivered(&self, how: Undelivered) {
        self.unreachable.add_alone(1);
        self.undelivered.set(how as u64 + 1);
    }

    /// Returns why the last of the [`refused`](Self::refused) packets was; `None`: none was.
    pub fn unsent(&self) -> Option<Unsent> {
        Unsent::numbered(self.unsent.get())
    }

    /// Counts an RTP packet that the system refused.
    pub fn note_unsent(&self, why: Unsent) {
        self.refused.add_alone(1);
        self.unsent.set(why as u64 + 1);
    }
}
