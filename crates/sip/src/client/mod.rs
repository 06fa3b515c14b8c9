//! Our requests: the client transactions (RFC 3261 §8.1, §17.1), the forks of our INVITEs, and credentials for whom asks.
//!
//! This room holds their table (here), one transaction (`transaction`), what is sent (`requests`), and what comes back, with
//! the dialogs that it makes (`responses`). Dialogs are in `dialog`; one that has to be hung up on is returned to `endpoint`,
//! which ends it with all that is open in it.

mod requests;
mod responses;
mod transaction;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use crate::cx::Cx;
use crate::dialog::Dialogs;
use crate::digest::keyring::Keyring;
use crate::event::{ClientId, DialogId, Flow, Party, Transport};
use crate::limits;
use crate::method::Method;
use crate::room::shrink;
use crate::shared::{Shared, Timer};
use crate::timer::T4;
use crate::transaction::client_invite::State;
use crate::transaction::key::{self, Key};
use crate::transaction::{ClientEvent, Step};
use rustc_hash::FxHashMap;
use transaction::{Cancel, Client, Inviting};
use trunkgate_terms::Credentials;

pub(crate) use requests::Within;
pub(crate) use responses::HangUp;
pub use transaction::COMPLETED_ELSEWHERE;

/// All client transactions of an endpoint, and the credentials that its requests show.
#[derive(Debug)]
pub(crate) struct Clients {
    clients: FxHashMap<ClientId, Box<Client>>,
    keys: HashMap<Key, ClientId>,
    /// Requests that a failing transport ends, by the way that they went.
    waiting: BTreeSet<(SocketAddr, Transport, ClientId)>,
    /// INVITEs that have their final answer, in the order of that; some may be gone.
    settled: VecDeque<(Instant, ClientId)>,
    /// Our credentials, for challenges of others.
    keyring: Keyring,
    /// Transactions at most. A CANCEL and a BYE of ours go out all the same: each ends something else.
    most: usize,
    /// Dialogs that one INVITE may make by forked answers.
    most_forks: usize,
}

impl Clients {
    /// Makes an empty table with room for so many, each of which may make so many dialogs.
    pub(crate) fn new(most: usize, most_forks: usize) -> Clients {
        Clients {
            clients: FxHashMap::default(),
            keys: HashMap::new(),
            waiting: BTreeSet::new(),
            settled: VecDeque::new(),
            keyring: Keyring::default(),
            most,
            most_forks,
        }
    }

    /// Takes our credentials towards a party.
    pub(crate) fn set_credentials(&mut self, party: Party, credentials: Option<Credentials>) {
        self.keyring.set(party, credentials);
    }

    /// Returns the number of transactions.
    pub(crate) fn len(&self) -> usize {
        self.clients.len()
    }

    /// Returns the number of places among the dialogs that they have reserved.
    pub(crate) fn reserved(&self) -> usize {
        self.clients.values().filter(|client| client.reserved).count()
    }

    /// Reports whether a transaction lives.
    pub(crate) fn contains(&self, id: ClientId) -> bool {
        self.clients.contains_key(&id)
    }

    /// Returns the way that a request went, while its transaction lives.
    pub(crate) fn flow(&self, id: ClientId) -> Option<Flow> {
        self.clients.get(&id).map(|client| client.flow)
    }

    /// Returns the Call-ID of a request, while its transaction lives.
    pub(crate) fn call_id(&self, id: ClientId) -> Option<&str> {
        self.clients.get(&id).map(|client| client.call_id.as_str())
    }

    /// Reports whether a request was sent in a dialog.
    pub(crate) fn is_within(&self, id: ClientId, dialog: DialogId) -> bool {
        self.clients.get(&id).is_some_and(|client| client.dialog == Some(dialog))
    }

    /// Reports whether an INVITE lives that began outside of any dialog.
    pub(crate) fn is_initial(&self, id: ClientId) -> bool {
        self.clients.get(&id).is_some_and(|client| client.dialog.is_none())
    }

    /// Reports whether a request waits for an answer by this way.
    pub(crate) fn is_asked(&self, flow: &Flow) -> bool {
        self.waiting_at(flow).next().is_some()
    }

    fn waiting_at(&self, flow: &Flow) -> impl Iterator<Item = ClientId> {
        let at = |id| (flow.remote, flow.transport, ClientId(id));
        self.waiting.range(at(0)..=at(u64::MAX)).map(|&(_, _, id)| id)
    }

    /// Returns the transaction whose key stands in the scratch buffer.
    fn at_key(&self, shared: &Shared) -> Option<ClientId> {
        self.keys.get(shared.scratch.as_slice()).copied()
    }

    fn inviting(&self, id: ClientId) -> Option<&Inviting> {
        self.clients.get(&id)?.invite.as_deref()
    }

    fn inviting_mut(&mut self, id: ClientId) -> Option<&mut Inviting> {
        self.clients.get_mut(&id)?.invite.as_deref_mut()
    }

    /// Takes a request into the table and sends it.
    fn start(&mut self, cx: &mut Cx<'_>, id: ClientId, mut client: Client, step: Step) {
        client.slots.apply(&mut cx.shared.timers, cx.now, Timer::Client(id), step);
        self.waiting.insert((client.flow.remote, client.flow.transport, id));
        self.keys.insert(client.key.clone(), id);
        cx.dialogs.reserve(client.reserved);
        let (flow, bytes, what) = (client.flow, client.request.clone(), client.sent(id, client.method, false));
        self.clients.insert(id, Box::new(client));
        cx.shared.transmit(flow, bytes, what);
    }

    /// Takes a request out, with the early dialogs that its INVITE leaves behind.
    fn remove(&mut self, shared: &mut Shared, dialogs: &mut Dialogs, id: ClientId) {
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

    /// Forgets a request that is no INVITE and in no dialog: it is repeated no more, and its answer is a stray one.
    pub(crate) fn forget(&mut self, shared: &mut Shared, dialogs: &mut Dialogs, id: ClientId) {
        if self.clients.get(&id).is_some_and(|client| client.invite.is_none() && client.dialog.is_none()) {
            self.remove(shared, dialogs, id);
        }
    }

    /// Notes that an INVITE has its final answer: what is kept of it only acknowledges repetitions.
    fn note_settled(&mut self, now: Instant, id: ClientId) {
        while self.settled.front().is_some_and(|(_, first)| !self.clients.contains_key(first)) {
            self.settled.pop_front();
        }
        self.settled.push_back((now, id));
    }

    /// Reports whether there is no room for one more request, though the oldest INVITEs have given theirs up that were
    /// answered and acknowledged, once no message of theirs is under way any more (T4).
    pub(crate) fn is_full(&mut self, cx: &mut Cx<'_>) -> bool {
        while self.clients.len() >= self.most
            && let Some((at, id)) = self.settled.front().copied()
            && cx.now.saturating_duration_since(at) >= T4
        {
            self.settled.pop_front();
            let Some(client) = self.clients.get(&id) else { continue };
            let acknowledged = client.invite.as_deref().is_some_and(|inviting| {
                let refused = client.machine.invite_state() == Some(State::Completed);
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

    /// Reports whether an answer to an INVITE may have us send one more request: else one far end, by answers that no sound
    /// one sends, would fill the table that all calls share.
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

    /// Notes a request that an answer has caused.
    pub(crate) fn note_caused(&mut self, invite: ClientId, caused: ClientId) {
        if let Some(inviting) = self.inviting_mut(invite) {
            inviting.caused.push(caused);
        }
    }

    /// Withdraws an INVITE (RFC 3261 §9.1), as [`Endpoint::cancel`](crate::Endpoint::cancel) says.
    pub(crate) fn cancel(&mut self, cx: &mut Cx<'_>, id: ClientId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let state = client.machine.invite_state();
        let Some(inviting) = client.invite.as_deref_mut() else { return };
        match state {
            Some(State::Calling) => inviting.cancel = Cancel::Wanted,
            Some(State::Proceeding) => self.send_cancel(cx, id),
            Some(State::Completed | State::Accepted | State::Terminated) | None => {}
        }
    }

    /// Notes that the call of an INVITE was answered elsewhere, which its CANCEL says.
    pub(crate) fn answered_elsewhere(&mut self, id: ClientId) {
        if let Some(inviting) = self.inviting_mut(id) {
            inviting.elsewhere = true;
        }
    }

    /// Abandons an INVITE, as [`Endpoint::abandon`](crate::Endpoint::abandon) says. Returns the dialogs to hang up on: those
    /// with a 2xx that the layer above has not acknowledged.
    pub(crate) fn abandon(&mut self, cx: &mut Cx<'_>, id: ClientId) -> Vec<DialogId> {
        let Some(client) = self.clients.get_mut(&id).filter(|client| client.invite.is_some()) else {
            return Vec::new();
        };
        client.silent = true;
        self.give_up(cx, id);
        let forks = self.inviting(id).map(|inviting| inviting.forks.as_slice());
        let open = forks.into_iter().flatten().filter(|fork| fork.confirmed && fork.ack.is_none());
        open.map(|fork| fork.dialog).collect()
    }

    /// Ends the retransmission of an INVITE; it is withdrawn where an answer comes all the same.
    pub(crate) fn give_up(&mut self, cx: &mut Cx<'_>, id: ClientId) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.slots.stop_retransmission(&mut cx.shared.timers);
            self.cancel(cx, id);
        }
    }

    /// Ends the request that an ICMP error quotes, where it still waits (RFC 3261 §18.4).
    pub(crate) fn on_unreachable(&mut self, cx: &mut Cx<'_>, failed: Flow, quoted: &[u8]) {
        let is_it = |client: &Client| {
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

    /// Ends the requests that wait on a way that failed (RFC 3261 §17.1.4), or sends them once more where it was a connection
    /// that had been up.
    pub(crate) fn on_transport_failed(&mut self, cx: &mut Cx<'_>, failed: Flow, party: Option<Party>, was_up: bool) {
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

    fn on_failed(&mut self, cx: &mut Cx<'_>, id: ClientId) {
        let tell = self.step(cx, id, ClientEvent::TransportFailed);
        self.end(cx, id, tell);
    }

    /// Gives back the room of tables that are nearly empty after a flood.
    pub(crate) fn shrink(&mut self) {
        shrink(&mut self.clients);
        shrink(&mut self.keys);
    }

    /// Checks that every transaction has its key, and that none is waited for that is gone.
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
