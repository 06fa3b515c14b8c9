//! Look-ups from transactions, dialogs, DNS queries and Call-IDs to calls and legs. Entries are added and removed
//! with the object to which they refer; there are no searches.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use trunkgate_route::Trunk;
use trunkgate_sip::{ClientId, ConnectionId, DialogId, ServerId, SipPartyId};

use crate::lookups::key::{CallKey, LegId, QueryId};

/// A leg of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegRef {
    /// Key of the call.
    pub key: CallKey,
    /// Id of the leg.
    pub leg: LegId,
}

/// Purpose of a request that the edge has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestPurpose {
    /// The INVITE of an attempt.
    Invite,
    /// A re-INVITE.
    Reinvite,
    /// A re-INVITE that moves a leg to another call.
    Join,
    /// An UPDATE.
    Update,
    /// A session refresh by re-INVITE (RFC 4028 §7.4).
    Refresh,
    /// A session refresh by UPDATE without SDP.
    RefreshByUpdate,
    /// OPTIONS to a remote party on hold.
    HoldCheck,
    /// A relayed INFO.
    Info,
    /// A relayed MESSAGE.
    Message,
    /// A relayed REFER.
    Refer,
    /// A relayed NOTIFY of a REFER.
    News,
    /// A NOTIFY about a transfer.
    Notify,
    /// The BYE that ends a leg.
    Bye,
}

impl RequestPurpose {
    /// Returns the method of the request for messages.
    pub const fn method(self) -> &'static str {
        match self {
            RequestPurpose::Invite | RequestPurpose::Join => "INVITE",
            RequestPurpose::Reinvite | RequestPurpose::Refresh => "re-INVITE",
            RequestPurpose::Update | RequestPurpose::RefreshByUpdate => "UPDATE",
            RequestPurpose::HoldCheck => "OPTIONS",
            RequestPurpose::Info => "INFO",
            RequestPurpose::Message => "MESSAGE",
            RequestPurpose::Refer => "REFER",
            RequestPurpose::News | RequestPurpose::Notify => "NOTIFY",
            RequestPurpose::Bye => "BYE",
        }
    }
}

/// A request that the edge has sent.
#[derive(Debug, Clone, Copy)]
pub struct ClientEntry {
    /// Leg of the request.
    pub at: LegRef,
    /// Purpose of the request.
    pub purpose: RequestPurpose,
    /// Time of sending; `None` once the time to the final response is measured.
    pub sent: Option<Instant>,
}

/// Owner of a Call-ID, and the sources allowed to use it.
#[derive(Debug, Clone)]
pub struct CallIdOwner {
    /// Leg with the Call-ID.
    pub at: LegRef,
    /// Party of the leg.
    pub party: SipPartyId,
    /// Trunk of the leg, with the settings that were in force when the leg began.
    pub trunk: Option<Arc<Trunk>>,
    /// Address to which the leg's signalling is sent.
    pub remote: IpAddr,
}

impl CallIdOwner {
    /// Returns whether a source is an address of the leg's trunk, or the address to which the leg's signalling is sent.
    pub fn covers(&self, source: IpAddr) -> bool {
        let by_trunk = |trunk: &Arc<Trunk>| {
            trunk.accept_from.iter().any(|n| n.contains(&source))
                || trunk.peers.iter().any(|p| p.addresses().any(|address| address == source))
        };
        source == self.remote || self.trunk.as_ref().is_some_and(by_trunk)
    }
}

/// All look-ups by which messages, responses and queries find their calls and legs.
#[derive(Debug, Default)]
pub struct CallIndex {
    /// Open INVITEs, re-INVITEs and UPDATEs with an offer, received from remote parties.
    pub servers: FxHashMap<ServerId, LegRef>,
    /// Requests that the edge has sent.
    pub clients: FxHashMap<ClientId, ClientEntry>,
    /// Legs by dialog.
    pub dialogs: FxHashMap<DialogId, LegRef>,
    /// Pending DNS and application queries.
    pub queries: FxHashMap<QueryId, CallKey>,
    /// Calls by SID.
    pub sids: HashMap<String, CallKey>,
    /// Identities of TLS connections, once reported.
    pub identities: FxHashMap<ConnectionId, IdentifiedConnection>,
    names: HashMap<Vec<u8>, CallIdOwner>,
    far_ends: HashMap<IpAddr, u32>,
    next_query: u64,
}

/// Trunk of a TLS connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsIdentity {
    /// Name of the trunk.
    pub trunk: Arc<str>,
    /// Name of the trunk in its client certificate; `None` if the edge has opened the connection to this trunk.
    pub certificate_name: Option<Arc<str>>,
}

/// Address and trunk of an open TLS connection.
#[derive(Debug)]
pub struct IdentifiedConnection {
    /// Address of the remote party.
    pub remote: SocketAddr,
    /// Identity of the remote party.
    pub identity: TlsIdentity,
}

impl CallIndex {
    /// Returns whether a TLS connection for requests to a trunk's address is open. A connection opened by the trunk
    /// comes from another port.
    pub fn is_connected(&self, trunk: &str, remote: SocketAddr) -> bool {
        self.identities.values().any(|known| {
            let is_reused = known.identity.certificate_name.is_some() && known.remote.ip() == remote.ip();
            *known.identity.trunk == *trunk && (known.remote == remote || is_reused)
        })
    }

    /// Returns a new query id.
    pub fn query(&mut self) -> QueryId {
        self.next_query += 1;
        QueryId(self.next_query - 1)
    }

    /// Adds the Call-ID and remote address of a leg. A Call-ID that another leg already has stays with that leg,
    /// because the remote party chose it.
    pub fn enter(&mut self, call_id: &[u8], named: CallIdOwner) {
        *self.far_ends.entry(named.remote).or_default() += 1;
        self.names.entry(call_id.to_vec()).or_insert(named);
    }

    /// Moves a Call-ID to another leg, which has taken over its remote party.
    pub fn pass_on(&mut self, call_id: &[u8], from: LegRef, named: CallIdOwner) {
        self.release(call_id, from);
        self.enter(call_id, named);
    }

    /// Removes the Call-ID and the remote address of a leg.
    pub fn leave(&mut self, call_id: &[u8], at: LegRef, remote: IpAddr) {
        self.release(call_id, at);
        if let Some(count) = self.far_ends.get_mut(&remote) {
            *count -= 1;
            if *count == 0 {
                self.far_ends.remove(&remote);
            }
        }
    }

    fn release(&mut self, call_id: &[u8], at: LegRef) {
        if self.names.get(call_id).is_some_and(|n| n.at == at) {
            self.names.remove(call_id);
        }
    }

    /// Returns the owner of a Call-ID.
    pub fn named(&self, call_id: &[u8]) -> Option<&CallIdOwner> {
        self.names.get(call_id)
    }

    /// Returns whether a live leg sends its signalling to this address. The address may no longer belong to a trunk.
    pub fn is_far_end(&self, source: IpAddr) -> bool {
        self.far_ends.contains_key(&source)
    }

    /// Removes all entries of a call whose legs are not known, and returns its dialogs.
    pub(crate) fn forget_call(&mut self, key: CallKey) -> Vec<DialogId> {
        self.servers.retain(|_, at| at.key != key);
        self.clients.retain(|_, client| client.at.key != key);
        self.queries.retain(|_, of| *of != key);
        self.sids.retain(|_, of| *of != key);
        let names = self.names.iter().filter(|(_, named)| named.at.key == key);
        let names: Vec<_> = names.map(|(call_id, named)| (call_id.clone(), named.at, named.remote)).collect();
        names.into_iter().for_each(|(call_id, at, remote)| self.leave(&call_id, at, remote));
        self.dialogs.extract_if(|_, at| at.key == key).map(|(dialog, _)| dialog).collect()
    }

    /// Returns all legs that look-ups refer to, for invariant checks.
    pub fn places(&self) -> impl Iterator<Item = (&'static str, LegRef)> {
        let servers = self.servers.values().map(|at| ("server", *at));
        let clients = self.clients.values().map(|c| ("client", c.at));
        let dialogs = self.dialogs.values().map(|at| ("dialog", *at));
        let names = self.names.values().map(|n| ("Call-ID", n.at));
        servers.chain(clients).chain(dialogs).chain(names)
    }

    /// Returns the number of remote addresses, counted per leg, for invariant checks.
    pub fn far_end_count(&self) -> usize {
        self.far_ends.values().map(|n| usize::try_from(*n).unwrap_or(usize::MAX)).sum()
    }
}
