//! Symptoms of a remote party that sends no audio, or no usable audio. They are noted when a packet is dropped, or only
//! until the first sound, so that packets of a healthy stream cost nothing more.

use std::net::SocketAddr;
use std::sync::OnceLock;

use super::counter::Counter;

/// Reason why the local system did not send a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendFailure {
    /// A local firewall rule forbids the packet: EPERM, EACCES.
    Forbidden,
    /// No route to the destination, or its interface is down: ENETUNREACH, ENETDOWN, EHOSTUNREACH.
    NoRoute,
    /// The local address cannot be used as source: EINVAL, EADDRNOTAVAIL.
    NotFromThere,
    /// Any other error with which the send failed.
    Other,
}

/// ICMP error about a datagram that was not delivered (RFC 792, RFC 4443 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IcmpError {
    /// Port unreachable: the port is closed, or a firewall rejects the packet.
    Port,
    /// Host unreachable: the host does not answer in its own network.
    Host,
    /// Network unreachable: a router has no route to the network.
    Network,
    /// Administratively prohibited by a firewall on the path.
    Forbidden,
}

impl SendFailure {
    const ALL: [SendFailure; 4] =
        [SendFailure::Forbidden, SendFailure::NoRoute, SendFailure::NotFromThere, SendFailure::Other];
    fn numbered(number: u64) -> Option<SendFailure> {
        SendFailure::ALL.get(usize::try_from(number.checked_sub(1)?).ok()?).copied()
    }
}

impl IcmpError {
    const ALL: [IcmpError; 4] = [IcmpError::Port, IcmpError::Host, IcmpError::Network, IcmpError::Forbidden];
    fn numbered(number: u64) -> Option<IcmpError> {
        IcmpError::ALL.get(usize::try_from(number.checked_sub(1)?).ok()?).copied()
    }
}

/// Symptoms of an end, in counters written by its worker and readable by any thread.
#[derive(Debug, Default)]
pub struct EndSymptoms {
    /// G.711 packets of pure digital silence before the first packet with sound.
    pub silent: Counter,
    /// 1 once a packet had sound, or had a codec that is not checked for silence.
    pub sounded: Counter,
    /// Last received payload type that was not negotiated, plus 1; 0 if there was none.
    pub odd_payload: Counter,
    /// ICMP errors received for RTP sent to the remote party.
    pub unreachable: Counter,
    undelivered: Counter,
    unsent: Counter,
    /// RTP packets for the remote party that the system refused, including keep-alive packets.
    pub refused: Counter,
    /// Datagrams for the RTP port that the system dropped because the socket buffer was full.
    pub unread: Counter,
    /// Keep-alive packets of this edge echoed by the remote party.
    pub echoed: Counter,
    /// First unknown source that sent to the port.
    pub stranger: OnceLock<SocketAddr>,
}

impl EndSymptoms {
    /// Returns the last ICMP error, if any.
    pub fn undelivered(&self) -> Option<IcmpError> {
        IcmpError::numbered(self.undelivered.get())
    }

    /// Counts an ICMP error for RTP sent to the remote party.
    pub(crate) fn note_undelivered(&self, how: IcmpError) {
        self.unreachable.add_alone(1);
        self.undelivered.set(how as u64 + 1);
    }

    /// Returns the reason for the last of the [`refused`](Self::refused) packets, if any.
    pub fn unsent(&self) -> Option<SendFailure> {
        SendFailure::numbered(self.unsent.get())
    }

    /// Counts an RTP packet that the system refused.
    pub fn note_unsent(&self, why: SendFailure) {
        self.refused.add_alone(1);
        self.unsent.set(why as u64 + 1);
    }
}
