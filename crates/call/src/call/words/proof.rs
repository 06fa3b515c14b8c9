//! Whether a far side is where its descriptions say that it is. A datagram's source address can be forged, and so can the media
//! address in it: media that is sent there before anything has come back would flood a third party.
//!
//! An address is proven that is the signalling's own or lies in its trunk's networks, where the signalling runs over a
//! connection or the INVITE was authenticated, and otherwise by a message that shows that ours arrive: the ACK or PRACK to
//! the INVITE that named it, an UPDATE (which repeats our tag), an answer to a request of ours (which repeats our branch).
//! RTP proves nothing: its source can be forged like that of the INVITE, the ports of the edge are few enough to try each,
//! and an SRTP key that the INVITE named is known to its sender. A worker sends nothing to other addresses, but for the early
//! media of a few calls.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use trunkgate_resources::limits::PROVEN_ADDRESSES;
use trunkgate_route::{Peer, Trunk};

/// What has proven the addresses in a leg's descriptions. By default they are proven.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proof {
    /// Whether the far side's INVITE was authenticated: nothing more is asked of it.
    authenticated: bool,
    /// Whether the far side's last INVITE has not been acknowledged.
    pub(crate) awaited: bool,
    /// Addresses that were proven before that INVITE.
    known: Vec<IpAddr>,
}

impl Proof {
    /// Returns that of a new INVITE's leg; credentials count once and for all.
    pub(crate) fn of_invite(authenticated: bool) -> Proof {
        Proof { authenticated, awaited: !authenticated, known: Vec::new() }
    }

    /// Takes a further INVITE of the far side; `known`: the addresses in force that are proven.
    pub(crate) fn ask(&mut self, mut known: Vec<IpAddr>) {
        known.truncate(PROVEN_ADDRESSES);
        (self.awaited, self.known) = (!self.authenticated, known);
    }

    /// Takes what shows that our messages arrive; whether that was missing.
    pub(crate) fn give(&mut self) -> bool {
        self.known.clear();
        std::mem::take(&mut self.awaited)
    }

    /// Returns the proof of a call that is restored. Its dialog was acknowledged once, and the ACK to a later INVITE is
    /// recognised no more.
    pub(crate) fn restored(mut self) -> Proof {
        self.give();
        self
    }

    pub(crate) fn covers(&self, ip: IpAddr) -> bool {
        !self.awaited || self.known.contains(&ip)
    }
}

/// Whether an address is one of a trunk's own, by the configuration.
pub(crate) fn is_of(trunk: &Trunk, ip: IpAddr) -> bool {
    let mut networks = trunk.accept_from.iter().chain(&trunk.media_from);
    networks.any(|network| network.contains(&ip)) || trunk.peers.iter().flat_map(Peer::addresses).any(|peer| peer == ip)
}
