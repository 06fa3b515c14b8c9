//! Client side of the endpoint: client transactions (RFC 3261 §8.1, §17.1), forks of outgoing INVITEs, and digest
//! credentials.
//!
//! This module has the transaction table (here), one transaction (`transaction`), the composition of outgoing requests
//! (`requests`), and the handling of responses with the dialogs they create (`responses`). Dialogs are in `dialog`. A
//! dialog that must be hung up on is returned to `endpoint`, which ends the dialog and every transaction open in it.

mod requests;
mod responses;
mod transaction;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use crate::cx::EndpointCx;
use crate::dialog::DialogTable;
use crate::digest::keyring::Keyring;
use crate::event::{ClientId, DialogId, Flow, SipPartyId, Transport};
use crate::limits;
use crate::method::Method;
use crate::open::{OpenInvite, OpenInviteSide, OutgoingInvite};
use crate::room::shrink;
use crate::shared::{EndpointShared, MessageOrigin, TimerOwner};
use crate::timer::T4;
use crate::transaction::client_invite::ClientInviteState;
use crate::transaction::key::{self, IndexKey};
use crate::transaction::{ClientEvent, StatusClass, TransactionStep};
use rustc_hash::FxHashMap;
use transaction::{CancelState, ClientTransaction, InviteState};
use trunkgate_terms::Credentials;

pub(crate) use requests::InDialogRequest;
pub(crate) use responses::HangUp;
pub use transaction::COMPLETED_ELSEWHERE;

/// All client transactions of an endpoint, and the credentials its requests carry.
#[derive(Debug)]
pub(crate) struct ClientTransactions {
    clients: FxHashMap<ClientId, Box<ClientTransaction>>,
    keys: HashMap<IndexKey, ClientId>,
    /// Requests without a final response, which a transport failure ends, ordered by remote address and transport.
    waiting: BTreeSet<(SocketAddr, Transport, ClientId)>,
    /// INVITEs that have a final response, in order of arrival; some may have been removed since.
    settled: VecDeque<(Instant, ClientId)>,
    /// Credentials used to answer challenges.
    keyring: Keyring,
    /// Maximum number of transactions. CANCEL and BYE are sent even when the table is full, because each of them ends
    /// a call.
    most: usize,
    /// Maximum number of dialogs that forked responses to one INVITE may create.
    most_forks: usize,
}

impl ClientTransactions {
    /// Creates an empty table for at most `most` transactions, with at most `most_forks` dialogs per INVITE.
    pub(crate) fn new(most: usize, most_forks: usize) -> ClientTransactions {
        ClientTransactions {
            clients: FxHashMap::default(),
            keys: HashMap::new(),
            waiting: BTreeSet::new(),
            settled: VecDeque::new(),
            keyring: Keyring::default(),
            most,
            most_forks,
        }
    }

    /// Sets the credentials used towards a party; `None` removes them.
    pub(crate) fn set_credentials(&mut self, party: SipPartyId, credentials: Option<Credentials>) {
        self.keyring.set(party, credentials);
    }

    /// Returns the number of transactions.
    pub(crate) fn len(&self) -> usize {
        self.clients.len()
    }

    /// Returns the number of dialog slots that open INVITEs have reserved.
    pub(crate) fn reserved(&self) -> usize {
        self.clients.values().filter(|client| client.reserved).count()
    }

    /// Returns whether a transaction exists.
    pub(crate) fn contains(&self, id: ClientId) -> bool {
        self.clients.contains_key(&id)
    }

    /// Returns the flow of a request; `None` once its transaction is gone.
    pub(crate) fn flow(&self, id: ClientId) -> Option<Flow> {
        self.clients.get(&id).map(|client| client.flow)
    }

    /// Returns the Call-ID of a request; `None` once its transaction is gone.
    pub(crate) fn call_id(&self, id: ClientId) -> Option<&str> {
        self.clients.get(&id).map(|client| client.call_id.as_str())
    }

    /// Returns whether a request was sent in this dialog; false once its transaction is gone.
    pub(crate) fn is_within(&self, id: ClientId, dialog: DialogId) -> bool {
        self.clients.get(&id).is_some_and(|client| client.dialog == Some(dialog))
    }

    /// Returns whether a request was sent outside any dialog, as an initial INVITE is; false once its transaction is
    /// gone.
    pub(crate) fn is_initial(&self, id: ClientId) -> bool {
        self.clients.get(&id).is_some_and(|client| client.dialog.is_none())
    }

    /// Returns whether a request sent on this flow awaits a response.
    pub(crate) fn is_asked(&self, flow: &Flow) -> bool {
        self.waiting_at(flow).next().is_some()
    }

    fn waiting_at(&self, flow: &Flow) -> impl Iterator<Item = ClientId> {
        let at = |id| (flow.remote, flow.transport, ClientId(id));
        self.waiting.range(at(0)..=at(u64::MAX)).map(|&(_, _, id)| id)
    }

    /// Returns the transaction whose key is in the scratch buffer.
    fn at_key(&self, shared: &EndpointShared) -> Option<ClientId> {
        self.keys.get(shared.scratch.as_slice()).copied()
    }

    fn inviting(&self, id: ClientId) -> Option<&InviteState> {
        self.clients.get(&id)?.invite.as_deref()
    }

    fn inviting_mut(&mut self, id: ClientId) -> Option<&mut InviteState> {
        self.clients.get_mut(&id)?.invite.as_deref_mut()
    }

    /// Adds a request to the table, starts its timers and sends it.
    fn start(&mut self, cx: &mut EndpointCx<'_>, id: ClientId, client: ClientTransaction, step: TransactionStep) {
        let (flow, bytes, what) = (client.flow, client.request.clone(), client.sent(id, client.method, false));
        self.insert(cx, id, client, step);
        cx.shared.transmit(flow, bytes, what);
    }

    /// Adds a request to the table and starts its timers.
    fn insert(&mut self, cx: &mut EndpointCx<'_>, id: ClientId, mut client: ClientTransaction, step: TransactionStep) {
        client.slots.apply(&mut cx.shared.timers, cx.now, TimerOwner::Client(id), step);
        self.waiting.insert((client.flow.remote, client.flow.transport, id));
        self.keys.insert(client.key.clone(), id);
        cx.dialogs.reserve(client.reserved);
        self.clients.insert(id, Box::new(client));
    }

    /// Removes a request, together with the early dialogs its INVITE created.
    fn remove(&mut self, shared: &mut EndpointShared, dialogs: &mut DialogTable, id: ClientId) {
        let Some(mut client) = self.clients.remove(&id) else { return };
        client.slots.clear(&mut shared.timers);
        self.keys.remove(&client.key);
        self.waiting.remove(&(client.flow.remote, client.flow.transport, id));
        dialogs.release(client.reserved);
        if client.method == Method::Update
            && let Some(dialog) = client.dialog.and_then(|dialog| dialogs.get_mut(dialog))
        {
            dialog.end_update_out(id);
        }
        let Some(inviting) = client.invite else { return };
        for fork in inviting.forks.iter().filter(|fork| !fork.confirmed) {
            dialogs.remove(shared, fork.dialog);
        }
        if let Some(dialog) = client.dialog.and_then(|dialog| dialogs.get_mut(dialog)) {
            dialog.invite_out_gone(id);
        }
    }

    /// Drops a non-INVITE request outside any dialog: retransmission stops, and a later response counts as stray.
    pub(crate) fn drop_request(&mut self, shared: &mut EndpointShared, dialogs: &mut DialogTable, id: ClientId) {
        if self.clients.get(&id).is_some_and(|client| client.invite.is_none() && client.dialog.is_none()) {
            self.remove(shared, dialogs, id);
        }
    }

    /// Records the final response to an INVITE; its transaction now exists only to acknowledge retransmitted
    /// responses.
    fn note_settled(&mut self, now: Instant, id: ClientId) {
        while self.settled.front().is_some_and(|(_, first)| !self.clients.contains_key(first)) {
            self.settled.pop_front();
        }
        self.settled.push_back((now, id));
    }

    /// Evicts the oldest completed INVITEs from a full table once T4 has passed since their final response, when no
    /// message of theirs can still be in the network. Returns whether the table is still full.
    pub(crate) fn is_full(&mut self, cx: &mut EndpointCx<'_>) -> bool {
        while self.clients.len() >= self.most
            && let Some((at, id)) = self.settled.front().copied()
            && cx.now.saturating_duration_since(at) >= T4
        {
            self.settled.pop_front();
            let Some(client) = self.clients.get(&id) else { continue };
            let acknowledged = client.invite.as_deref().is_some_and(|inviting| {
                let refused = client.machine.invite_state() == Some(ClientInviteState::Completed);
                refused || inviting.forks.iter().all(|fork| fork.confirmed && fork.ack.is_some())
            });
            if acknowledged {
                self.remove(cx.shared, cx.dialogs, id);
            } else {
                self.settled.push_back((cx.now, id));
            }
        }
        self.clients.len() >= self.most
    }

    /// Returns whether a response to an INVITE may cause one more request, and forgets caused requests that have ended.
    /// Without this limit, one misbehaving remote party could fill the table shared by all calls.
    fn may_cause_request(&mut self, invite: ClientId) -> bool {
        let Some(caused) = self.inviting_mut(invite).map(|inviting| std::mem::take(&mut inviting.caused)) else {
            return false;
        };
        let open: Vec<ClientId> = caused.into_iter().filter(|id| self.clients.contains_key(id)).collect();
        let has_room = open.len() < limits::CAUSED_REQUESTS;
        if let Some(inviting) = self.inviting_mut(invite) {
            inviting.caused = open;
        }
        has_room
    }

    /// Records that a response to `invite` caused the request `caused`, which counts towards the limit.
    pub(crate) fn note_caused(&mut self, invite: ClientId, caused: ClientId) {
        if let Some(inviting) = self.inviting_mut(invite) {
            inviting.caused.push(caused);
        }
    }

    /// Withdraws an INVITE (RFC 3261 §9.1); see [`SipEndpoint::cancel`](crate::SipEndpoint::cancel).
    pub(crate) fn cancel(&mut self, cx: &mut EndpointCx<'_>, id: ClientId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let state = client.machine.invite_state();
        let Some(inviting) = client.invite.as_deref_mut() else { return };
        match state {
            Some(ClientInviteState::Calling) => inviting.cancel = CancelState::Wanted,
            Some(ClientInviteState::Proceeding) => self.send_cancel(cx, id),
            Some(ClientInviteState::Completed | ClientInviteState::Accepted | ClientInviteState::Terminated) | None => {
            }
        }
    }

    /// Records that the call was answered elsewhere; the CANCEL of the INVITE then carries that Reason.
    pub(crate) fn answered_elsewhere(&mut self, id: ClientId) {
        if let Some(inviting) = self.inviting_mut(id) {
            inviting.elsewhere = true;
        }
    }

    /// Abandons an INVITE; see [`SipEndpoint::abandon`](crate::SipEndpoint::abandon). Returns the confirmed dialogs to
    /// hang up on, for which the layer above has not sent an ACK.
    pub(crate) fn abandon(&mut self, cx: &mut EndpointCx<'_>, id: ClientId) -> Vec<DialogId> {
        let Some(client) = self.clients.get_mut(&id).filter(|client| client.invite.is_some()) else {
            return Vec::new();
        };
        client.silent = true;
        self.give_up(cx, id);
        let forks = self.inviting(id).map(|inviting| inviting.forks.as_slice());
        let open = forks.into_iter().flatten().filter(|fork| fork.confirmed && fork.ack.is_none());
        open.map(|fork| fork.dialog).collect()
    }

    /// Returns the initial INVITEs without a final response.
    pub(crate) fn open_invites(&self) -> impl Iterator<Item = OpenInvite> {
        self.clients.values().filter_map(|client| {
            let inviting = client.invite.as_deref().filter(|_| client.dialog.is_none())?;
            let is_open = matches!(
                client.machine.invite_state(),
                Some(ClientInviteState::Calling | ClientInviteState::Proceeding)
            );
            is_open.then(|| OpenInvite {
                flow: client.flow,
                local: client.local,
                party: client.party,
                call_id: client.call_id.clone(),
                side: OpenInviteSide::Sent(OutgoingInvite {
                    branch: inviting.branch.clone(),
                    uri: inviting.uri.clone(),
                    local_uri: inviting.local_uri.clone(),
                    local_tag: inviting.local_tag.clone(),
                    to: inviting.to.clone(),
                    cseq: inviting.cseq,
                    elsewhere: inviting.elsewhere,
                }),
            })
        })
    }

    /// Withdraws an INVITE of another process. The CANCEL is sent at once: whether a provisional response has arrived
    /// at the other process is unknown, and a remote party without the INVITE answers 481. Returns false if the table
    /// is full.
    pub(crate) fn withdraw_open(
        &mut self,
        cx: &mut EndpointCx<'_>,
        origin: MessageOrigin,
        call_id: &str,
        invite: OutgoingInvite,
    ) -> bool {
        if self.is_full(cx) {
            return false;
        }
        key::client(&mut cx.shared.scratch, invite.branch.as_bytes(), Method::Invite);
        if self.at_key(cx.shared).is_some() {
            return false;
        }
        let way = (origin.flow, origin.local, origin.party);
        let key = cx.shared.scratch.as_slice().into();
        let mut client = ClientTransaction::taken_over(key, way, call_id, invite);
        let id = ClientId(cx.shared.fresh_id());
        let step = client.machine.step(ClientEvent::Response(StatusClass::Provisional));
        self.insert(cx, id, client, step);
        self.send_cancel(cx, id);
        true
    }

    /// Stops the retransmission of an INVITE, and cancels the INVITE once a provisional response has arrived.
    pub(crate) fn give_up(&mut self, cx: &mut EndpointCx<'_>, id: ClientId) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.slots.stop_retransmission(&mut cx.shared.timers);
            self.cancel(cx, id);
        }
    }

    /// Ends the request, still without a response, that an ICMP error quotes (RFC 3261 §18.4).
    pub(crate) fn on_unreachable(&mut self, cx: &mut EndpointCx<'_>, failed: Flow, quoted: &[u8]) {
        let is_it = |client: &ClientTransaction| {
            client.flow.listener == failed.listener
                && client.request.starts_with(quoted)
                && key::branch_end(&client.request).is_some_and(|end| end <= quoted.len())
        };
        let mut waiting = self.waiting_at(&failed);
        let found = waiting.find(|id| self.clients.get(id).is_some_and(|client| is_it(client)));
        drop(waiting);
        if let Some(id) = found {
            self.on_failed(cx, id);
        }
    }

    /// Ends the requests that await a response on a failed flow (RFC 3261 §17.1.4), or resends them if an established
    /// connection was lost.
    pub(crate) fn on_transport_failed(
        &mut self,
        cx: &mut EndpointCx<'_>,
        failed: Flow,
        party: Option<SipPartyId>,
        was_up: bool,
    ) {
        let waiting: Vec<ClientId> = self.waiting_at(&failed).collect();
        for id in waiting {
            let Some(client) = self.clients.get(&id) else { continue };
            let other = client.flow.connection.is_some() && client.flow.connection != failed.connection;
            let its = party.is_none_or(|party| client.party == party);
            let waits_there = its && client.flow.listener == failed.listener && !other;
            if waits_there && !(was_up && self.send_once_more(cx, id)) {
                self.on_failed(cx, id);
            }
        }
    }

    fn on_failed(&mut self, cx: &mut EndpointCx<'_>, id: ClientId) {
        let tell = self.step(cx, id, ClientEvent::TransportFailed);
        self.end_transaction(cx, id, tell);
    }

    /// Shrinks the tables when they are nearly empty after a flood.
    pub(crate) fn shrink(&mut self) {
        shrink(&mut self.clients);
        shrink(&mut self.keys);
    }

    /// Checks that every transaction has a key and that the index of waiting requests is empty if the table is; returns
    /// a description of the first violation.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.keys.len() != self.clients.len() {
            return Err(format!("clients: {} keys for {} entries", self.keys.len(), self.clients.len()));
        }
        if self.clients.is_empty() && !self.waiting.is_empty() {
            return Err(format!("waiting: {} keys for 0 entries", self.waiting.len()));
        }
        Ok(())
    }
}
