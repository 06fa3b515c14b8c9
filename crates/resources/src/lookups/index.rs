//! Which call and leg a transaction, dialog, name-service question or Call-ID belongs to. Every entry is made and taken
//! away with what it points at; nothing is searched.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use rustc_hash::FxHashMap;
use trunkgate_route::Trunk;
use trunkgate_sip::{ClientId, ConnectionId, DialogId, Party, ServerId};

use crate::lookups::key::{CallKey, LegId, QueryId};

/// A leg of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The call.
    pub key: CallKey,
    /// Its leg.
    pub leg: LegId,
}

/// What a request of ours is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The INVITE of an attempt.
    Invite,
    /// A re-INVITE.
    Reinvite,
    /// One that takes a leg to another call.
    Join,
    /// An UPDATE.
    Update,
    /// A re-INVITE that changes nothing (RFC 4028 §7.4).
    Refresh,
    /// An UPDATE without a description, for the same.
    RefreshByUpdate,
    /// OPTIONS to a far end on hold.
    HoldCheck,
    /// An INFO that goes on.
    Info,
    /// A MESSAGE that goes on.
    Message,
    /// A REFER that goes on.
    Refer,
    /// News of it that go on.
    News,
    /// News of a transfer.
    Notify,
    /// The BYE that ends a leg.
    Bye,
}

impl Purpose {
    /// Returns the method of the request, in words.
    pub const fn method(self) -> &'static str {
        match self {
            Purpose::Invite | Purpose::Join => "INVITE",
            Purpose::Reinvite | Purpose::Refresh => "re-INVITE",
            Purpose::Update | Purpose::RefreshByUpdate => "UPDATE",
            Purpose::HoldCheck => "OPTIONS",
            Purpose::Info => "INFO",
            Purpose::Message => "MESSAGE",
            Purpose::Refer => "REFER",
            Purpose::News | Purpose::Notify => "NOTIFY",
            Purpose::Bye => "BYE",
        }
    }
}

/// A request of ours.
#[derive(Debug, Clone, Copy)]
pub struct ClientEntry {
    /// Whose.
    pub at: Place,
    /// What for.
    pub purpose: Purpose,
    /// When it was sent; `None` once its final answer has been timed.
    pub sent: Option<Instant>,
}

/// Whose a Call-ID is, and who may speak under it.
#[derive(Debug, Clone)]
pub struct Named {
    /// The leg.
    pub at: Place,
    /// Its party.
    pub party: Party,
    /// Its trunk as the call knows it.
    pub trunk: Option<Arc<Trunk>>,
    /// Where its signalling goes.
    pub remote: IpAddr,
}

impl Named {
    /// Whether a source is one of that trunk's addresses, or the one that the leg was sent to.
    pub fn covers(&self, source: IpAddr) -> bool {
        let by_trunk = |trunk: &Arc<Trunk>| {
            trunk.accept_from.iter().any(|n| n.contains(&source))
                || trunk.peers.iter().any(|p| p.addresses().any(|address| address == source))
        };
        source == self.remote || self.trunk.as_ref().is_some_and(by_trunk)
    }
}

/// All look-ups.
#[derive(Debug, Default)]
pub struct Index {
    /// Open INVITEs and re-INVITEs from far ends.
    pub servers: FxHashMap<ServerId, Place>,
    /// Our requests.
    pub clients: FxHashMap<ClientId, ClientEntry>,
    /// Dialogs.
    pub dialogs: FxHashMap<DialogId, Place>,
    /// Questions to the name service.
    pub queries: FxHashMap<QueryId, CallKey>,
    /// Calls by sid.
    pub sids: HashMap<String, CallKey>,
    /// Whose TLS connections are that have said so.
    pub identities: FxHashMap<ConnectionId, Identified>,
    names: HashMap<Vec<u8>, Named>,
    far_ends: HashMap<IpAddr, u32>,
    next_query: u64,
}

/// The trunk that a TLS connection belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The trunk.
    pub trunk: Arc<str>,
    /// The name of the trunk in its client certificate; `None`: the edge has made the connection, for this trunk.
    pub certificate_name: Option<Arc<str>>,
}

/// The address and trunk of a TLS connection that is up.
#[derive(Debug)]
pub struct Identified {
    /// The address of the remote party.
    pub remote: SocketAddr,
    /// Who it is.
    pub identity: Identity,
}

impl Index {
    /// Returns whether a TLS connection over which a trunk gets requests at an address is up. One that the trunk has opened comes from
    /// another port.
    pub fn is_connected(&self, trunk: &str, remote: SocketAddr) -> bool {
        self.identities.values().any(|known| {
            let is_reused = known.identity.certificate_name.is_some() && known.remote.ip() == remote.ip();
            *known.identity.trunk == *trunk && (known.remote == remote || is_reused)
        })
    }

    /// Returns the id of a new question to the name service.
    pub fn query(&mut self) -> QueryId {
        self.next_query += 1;
        QueryId(self.next_query - 1)
    }

    /// Enters a leg's Call-ID and far end. A Call-ID that another leg has already stays that leg's: the far end chose it.
    pub fn enter(&mut self, call_id: &[u8], named: Named) {
        *self.far_ends.entry(named.remote).or_default() += 1;
        self.names.entry(call_id.to_vec()).or_insert(named);
    }
    /// Gives a Call-ID to another leg, whose far end it has become.
    pub fn pass_on(&mut self, call_id: &[u8], from: Place, named: Named) {
        self.release(call_id, from);
        self.enter(call_id, named);
    }
    /// Takes both away.
    pub fn leave(&mut self, call_id: &[u8], at: Place, remote: IpAddr) {
        self.release(call_id, at);
        if let Some(count) = self.far_ends.get_mut(&remote) {
            *count -= 1;
            if *count == 0 {
                self.far_ends.remove(&remote);
            }
        }
    }
    fn release(&mut self, call_id: &[u8], at: Place) {
        if self.names.get(call_id).is_some_and(|n| n.at == at) {
            self.names.remove(call_id);
        }
    }
    /// Whose a Call-ID is.
    pub fn named(&self, call_id: &[u8]) -> Option<&Named> {
        self.names.get(call_id)
    }
    /// Whether a live leg's signalling goes to an address: it may be one that no trunk names (any more).
    pub fn is_far_end(&self, source: IpAddr) -> bool {
        self.far_ends.contains_key(&source)
    }
    /// Every place that is pointed at, for the invariants.
    pub fn places(&self) -> impl Iterator<Item = (&'static str, Place)> {
        let servers = self.servers.values().map(|at| ("server", *at));
        let clients = self.clients.values().map(|c| ("client", c.at));
        let dialogs = self.dialogs.values().map(|at| ("dialog", *at));
        let names = self.names.values().map(|n| ("Call-ID", n.at));
        servers.chain(clients).chain(dialogs).chain(names)
    }
    /// Far ends in all, for the invariants.
    pub fn far_end_count(&self) -> usize {
        self.far_ends.values().map(|n| usize::try_from(*n).unwrap_or(usize::MAX)).sum()
    }
}
