//! Server side of the endpoint: server transactions (RFC 3261 §8.2, §17.2) and responses.
//!
//! This module has the transaction table (here), one transaction (`transaction`), responses (`answers`) and reliable
//! provisional responses (`reliable`). Dialogs are in `dialog`; `endpoint` decides which requests are served.

mod answers;
mod reliable;
mod transaction;

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use crate::cx::EndpointCx;
use crate::event::{ConnectionId, DialogId, ServerId, SipPartyId, TimerReason};
use crate::header::HeaderName;
use crate::limits;
use crate::message::SipMessage;
use crate::method::Method;
use crate::reply::reply_flow;
use crate::room::shrink;
use crate::shared::{EndpointShared, MessageOrigin, TimerOwner};
use crate::timer::T4;
use crate::transaction::key::{self, IndexKey};
use crate::transaction::{TimerChange, TimerSlots, TransactionStep};
use rustc_hash::FxHashMap;
use transaction::{ServerMachine, ServerTransaction};

/// Number of server transactions of one party, and the memory that they use.
#[derive(Debug, Clone, Copy, Default)]
struct PartyUsage {
    servers: usize,
    bytes: usize,
}

/// All server transactions of an endpoint.
#[derive(Debug)]
pub(crate) struct ServerTransactions {
    servers: FxHashMap<ServerId, Box<ServerTransaction>>,
    keys: HashMap<IndexKey, ServerId>,
    /// Open requests without To tag, to detect merged requests (RFC 3261 §8.2.2.2).
    merged: HashMap<IndexKey, ServerId>,
    /// Memory held by all transactions, in bytes.
    bytes: usize,
    /// Number of transactions and memory of each party.
    shares: FxHashMap<SipPartyId, PartyUsage>,
    /// Transactions with a final response, in order of that response; some may have been removed since.
    answered: VecDeque<(Instant, ServerId)>,
    /// Maximum number of transactions.
    most: usize,
    /// Maximum memory held by all transactions, in bytes.
    most_bytes: usize,
}

impl ServerTransactions {
    /// Creates an empty table for at most `most` transactions that hold at most `most_bytes`.
    pub(crate) fn new(most: usize, most_bytes: usize) -> ServerTransactions {
        ServerTransactions {
            servers: FxHashMap::default(),
            keys: HashMap::new(),
            merged: HashMap::new(),
            bytes: 0,
            shares: FxHashMap::default(),
            answered: VecDeque::new(),
            most,
            most_bytes,
        }
    }

    /// Returns the number of transactions.
    pub(crate) fn len(&self) -> usize {
        self.servers.len()
    }

    /// Returns the number of dialog slots that open requests have reserved.
    pub(crate) fn reserved(&self) -> usize {
        self.servers.values().filter(|server| server.reserved).count()
    }

    /// Returns the connections of requests without final response.
    pub(crate) fn open_connections(&self) -> HashSet<ConnectionId> {
        let open = self.servers.values().filter(|server| server.machine.is_open());
        open.filter_map(|server| server.source.connection).collect()
    }

    /// Returns the dialog of a request while its transaction exists.
    pub(crate) fn dialog_of(&self, id: ServerId) -> Option<DialogId> {
        self.servers.get(&id)?.dialog
    }

    /// Returns the transaction with the key in the scratch buffer, if any.
    pub(crate) fn at_key(&self, shared: &EndpointShared) -> Option<ServerId> {
        self.keys.get(shared.scratch.as_slice()).copied()
    }

    /// Returns the transaction of a party's request; look up an ACK or CANCEL with `method` INVITE. The key stays in
    /// the scratch buffer.
    pub(crate) fn find(
        &self,
        shared: &mut EndpointShared,
        party: SipPartyId,
        method: Method,
        request: &SipMessage,
    ) -> Option<ServerId> {
        key::server(&mut shared.scratch, party, method, request)?;
        self.at_key(shared)
    }

    /// Returns whether the same request arrived on another path before and its transaction is open (RFC 3261 §8.2.2.2).
    pub(crate) fn is_merged(&self, shared: &mut EndpointShared, request: &SipMessage) -> bool {
        key::merged(&mut shared.scratch, request).is_some() && self.merged.contains_key(shared.scratch.as_slice())
    }

    /// Returns whether a party may start no more transactions. A party may use as much as is still free: a single party
    /// up to half of the table, two parties up to a third each, so that a new party always finds room.
    pub(crate) fn is_full(&self, party: SipPartyId) -> bool {
        let own = self.shares.get(&party).copied().unwrap_or_default();
        let free = self.most.saturating_sub(self.servers.len());
        let free_bytes = self.most_bytes.saturating_sub(self.bytes);
        own.servers >= free || own.bytes >= free_bytes
    }

    /// Makes room for a party at its limit by removing the transactions that were answered longest ago, once T4 has
    /// passed and no message of theirs can still be in the network; new calls matter more than the remainder of 64·T1.
    /// A 2xx that awaits its ACK is kept.
    pub(crate) fn make_room(&mut self, cx: &mut EndpointCx<'_>, party: SipPartyId) {
        while self.is_full(party)
            && let Some((at, id)) = self.answered.front().copied()
            && cx.now.saturating_duration_since(at) >= T4
        {
            self.answered.pop_front();
            let Some(server) = self.servers.get(&id) else { continue };
            let dialog = server.dialog.and_then(|dialog| cx.dialogs.get(dialog));
            if dialog.is_some_and(|dialog| dialog.awaits_ack_of(id)) {
                self.answered.push_back((cx.now, id));
            } else {
                self.remove(cx, id);
            }
        }
    }

    /// Adds a request to the table.
    pub(crate) fn insert_request(
        &mut self,
        cx: &mut EndpointCx<'_>,
        arrival: MessageOrigin,
        key: IndexKey,
        request: SipMessage,
        dialog: Option<DialogId>,
    ) -> ServerId {
        let shared = &mut *cx.shared;
        let id = ServerId(shared.fresh_id());
        let method = request.method();
        let to_tag = key::to_tag(&request);
        let initial = to_tag.is_empty();
        let tag = if initial { shared.tokens.tag() } else { String::from_utf8_lossy(to_tag).into_owned() };
        let merged: Option<IndexKey> =
            (initial && key::merged(&mut shared.scratch, &request).is_some()).then(|| shared.scratch.as_slice().into());
        if let Some(merged) = &merged {
            self.merged.insert(merged.clone(), id);
        }
        let reserved = method.begins_dialog() && initial;
        cx.dialogs.reserve(reserved);
        self.keys.insert(key.clone(), id);
        let mut slots = TimerSlots::default();
        if method == Method::Invite {
            let lasts = TimerChange::Arm(TimerReason::InviteExpires, lifetime(&request));
            slots.apply(
                &mut shared.timers,
                cx.now,
                TimerOwner::Server(id),
                TransactionStep { timeout: lasts, ..TransactionStep::IDLE },
            );
        }
        let server = ServerTransaction {
            key,
            merged,
            method,
            machine: ServerMachine::start(method, arrival.flow.transport.is_reliable()),
            slots,
            source: arrival.flow,
            reply: reply_flow(&request, arrival.flow),
            local: arrival.local,
            party: arrival.party,
            cseq: request.cseq().map(|cseq| cseq.number).unwrap_or_default(),
            request: Some(request),
            tag,
            last: None,
            dialog,
            initial,
            reserved,
            reliable: None,
            weight: 0,
        };
        self.servers.insert(id, Box::new(server));
        self.shares.entry(arrival.party).or_default().servers += 1;
        self.update_memory(id);
        id
    }

    /// Records that a request has its final response; its transaction then only absorbs retransmissions.
    fn note_answered(&mut self, now: Instant, id: ServerId) {
        while self.answered.front().is_some_and(|(_, first)| !self.servers.contains_key(first)) {
            self.answered.pop_front();
        }
        self.answered.push_back((now, id));
    }

    /// Removes a transaction with its timers and index entries.
    fn remove(&mut self, cx: &mut EndpointCx<'_>, id: ServerId) {
        let Some(mut server) = self.servers.remove(&id) else { return };
        server.slots.clear(&mut cx.shared.timers);
        if let Some(reliable) = &mut server.reliable {
            reliable.stop(&mut cx.shared.timers);
        }
        self.keys.remove(&server.key);
        if let Some(merged) = server.merged {
            self.merged.remove(&merged);
        }
        cx.dialogs.release(server.reserved);
        self.bytes -= server.weight;
        if let Some(share) = self.shares.get_mut(&server.party) {
            share.servers -= 1;
            share.bytes -= server.weight;
            if share.servers == 0 {
                self.shares.remove(&server.party);
            }
        }
    }

    /// Updates the memory accounting of a transaction.
    fn update_memory(&mut self, id: ServerId) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        let weight = server.held_bytes();
        self.bytes = self.bytes - server.weight + weight;
        if let Some(share) = self.shares.get_mut(&server.party) {
            share.bytes = share.bytes - server.weight + weight;
        }
        server.weight = weight;
    }

    /// Shrinks the tables when they are nearly empty after a flood.
    pub(crate) fn shrink(&mut self) {
        shrink(&mut self.servers);
        shrink(&mut self.keys);
        shrink(&mut self.merged);
    }

    /// Checks that indexes and counters agree with the table; returns a description of the first violation.
    pub(crate) fn check(&self) -> Result<(), String> {
        let same = |what: &str, index: usize, table: usize| {
            if index == table { Ok(()) } else { Err(format!("{what}: {index} keys for {table} entries")) }
        };
        same("servers", self.keys.len(), self.servers.len())?;
        let merged = self.servers.values().filter(|server| server.merged.is_some()).count();
        same("merged", self.merged.len(), merged)?;
        let finals = self.servers.values().filter(|server| !server.machine.is_open()).count();
        if self.answered.len() < finals {
            return Err(format!("{finals} requests are answered, {} are known", self.answered.len()));
        }
        same("server bytes", self.bytes, self.servers.values().map(|server| server.weight).sum())?;
        same("shares", self.shares.values().map(|share| share.servers).sum(), self.servers.len())?;
        same("bytes of shares", self.shares.values().map(|share| share.bytes).sum(), self.bytes)
    }
}

/// Returns the maximum time without final response to an INVITE: its Expires (RFC 3261 §20.19), capped by the limit.
fn lifetime(request: &SipMessage) -> Duration {
    let expires = request.header(HeaderName::Expires).and_then(|value| std::str::from_utf8(value).ok());
    let seconds = expires.and_then(|value| value.trim().parse().ok()).unwrap_or(limits::INVITE_SECONDS);
    Duration::from_secs(seconds.min(limits::INVITE_SECONDS).into())
}
