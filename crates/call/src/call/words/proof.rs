//! Proof that a remote party is reachable at the media addresses in its descriptions. The source address of a datagram
//! can be forged, and so can the media address in it: media sent there before any confirmation could flood a third
//! party.
//!
//! An address is proven if it is the signalling address or lies in the trunk's networks, if the signalling uses a
//! connection, or if the INVITE was authenticated. Otherwise a message must show that ours arrive: the ACK or PRACK to
//! the INVITE that named the address, an UPDATE (which repeats our tag), or a response to a request of ours (which
//! repeats our branch). RTP is not proof: its source can be forged like that of the INVITE, the ports of the edge are
//! few enough to try each, and an SRTP key in the INVITE is known to its sender. The media worker sends nothing to
//! unproven addresses, except the early media of a few calls.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use trunkgate_resources::limits::PROVEN_ADDRESSES;
use trunkgate_route::{Peer, Trunk};

/// Proof of the media addresses in a leg's descriptions; proven by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proof {
    /// True if the remote party's INVITE was authenticated; if so, no further proof is needed.
    authenticated: bool,
    /// True until the remote party's last INVITE is acknowledged or another message proves its addresses.
    pub(crate) awaited: bool,
    /// Addresses that were proven before the remote party's last INVITE.
    known: Vec<IpAddr>,
}

impl Proof {
    /// Returns the proof for a new INVITE; authentication counts for the whole call.
    pub(crate) fn of_invite(authenticated: bool) -> Proof {
        Proof { authenticated, awaited: !authenticated, known: Vec::new() }
    }

    /// Requires a new proof after a further INVITE; `known` are the addresses already proven.
    pub(crate) fn ask(&mut self, mut known: Vec<IpAddr>) {
        known.truncate(PROVEN_ADDRESSES);
        (self.awaited, self.known) = (!self.authenticated, known);
    }

    /// Records a message that proves the addresses; returns whether a proof was missing.
    pub(crate) fn give(&mut self) -> bool {
        self.known.clear();
        std::mem::take(&mut self.awaited)
    }

    /// Returns the proof for a restored call. Its dialog was acknowledged before, and the ACK to a later INVITE would
    /// not be recognised.
    pub(crate) fn restored(mut self) -> Proof {
        self.give();
        self
    }

    pub(crate) fn covers(&self, ip: IpAddr) -> bool {
        !self.awaited || self.known.contains(&ip)
    }
}

/// Returns whether the configuration lists an address as one of the trunk's own.
pub(crate) fn is_of(trunk: &Trunk, ip: IpAddr) -> bool {
    let mut networks = trunk.accept_from.iter().chain(&trunk.media_from);
    networks.any(|network| network.contains(&ip)) || trunk.peers.iter().flat_map(Peer::addresses).any(|peer| peer == ip)
}
