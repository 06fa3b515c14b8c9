//! What is kept of each transaction, and how it gets into the tables and out of them.

use std::time::Instant;

use bytes::Bytes;

use super::reliable::Reliable;
use super::{Endpoint, Timer};
use crate::dialog::Dialog;
use crate::digest::keyring::Answered;
use crate::event::{ClientId, DialogId, Extra, Flow, Local, Party, Sent, ServerId};
use crate::message::Message;
use crate::method::Method;
use crate::transaction::client::{Client as ClientOther, State as ClientState};
use crate::transaction::client_invite::{ClientInvite, State as ClientInviteState};
use crate::transaction::key::{self, Key};
use crate::transaction::server::{Server as ServerOther, State as ServerState};
use crate::transaction::server_invite::{ServerInvite, State as ServerInviteState};
use crate::transaction::{ClientEvent, ServerEvent, Slots, Step};

/// What one party has of the server transactions.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Share {
    pub(super) servers: usize,
    pub(super) bytes: usize,
}

/// A request of ours.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) key: Key,
    pub(super) method: Method,
    pub(super) machine: ClientMachine,
    pub(super) slots: Slots,
    pub(super) flow: Flow,
    pub(super) local: Local,
    pub(super) party: Party,
    /// The request as sent.
    pub(super) request: Bytes,
    pub(super) call_id: String,
    /// The dialog it was sent in.
    pub(super) dialog: Option<DialogId>,
    /// Whether the layer above is told nothing of it.
    pub(super) silent: bool,
    /// Whether it was sent once more, since its connection was lost.
    pub(super) sent_once_more: bool,
    /// Whether a place in the table of dialogs is kept for it.
    pub(super) reserved: bool,
    /// Challenges that have been answered for it.
    pub(super) answered: Answered,
    /// Whether it was sent again for a longer session.
    pub(super) lengthened: bool,
    /// What an INVITE needs besides.
    pub(super) invite: Option<Box<Inviting>>,
}

/// A request of ours and the first step of its machine.
pub(super) type NewClient = (Client, Step);

/// What an INVITE of ours needs for its ACK, CANCEL and dialogs.
#[derive(Debug, Clone)]
pub(super) struct Inviting {
    pub(super) branch: String,
    pub(super) uri: String,
    pub(super) routes: Vec<String>,
    /// From without tag.
    pub(super) local_uri: String,
    pub(super) local_tag: String,
    /// To as sent.
    pub(super) to: String,
    /// To without tag.
    pub(super) remote_uri: String,
    pub(super) cseq: u32,
    /// Whether it has a body: an offer of ours.
    pub(super) offers: bool,
    pub(super) contact_user: String,
    /// The credentials that it takes along; its ACK repeats them (RFC 3261 §22.1).
    pub(super) credentials: Vec<Extra>,
    pub(super) cancel: Cancel,
    /// The call has been answered elsewhere, which its CANCEL says (RFC 3326 §3.1).
    pub(super) elsewhere: bool,
    /// The ACK to a non-2xx final.
    pub(super) ack: Option<Bytes>,
    /// The dialogs it has made, or for a re-INVITE the one it is in once a 2xx has come.
    pub(super) forks: Vec<Fork>,
    /// Requests that answers to it have caused.
    pub(super) caused: Vec<ClientId>,
}

/// How far withdrawing an INVITE has come (RFC 3261 §9.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cancel {
    /// Not asked for.
    No,
    /// Asked for, but no provisional has come.
    Wanted,
    /// Sent.
    Sent,
}

/// One far end that an INVITE of ours has reached.
#[derive(Debug, Clone)]
pub(super) struct Fork {
    pub(super) tag: Key,
    pub(super) dialog: DialogId,
    /// Whether its 2xx has come.
    pub(super) confirmed: bool,
    /// The ACK to that, repeated for each repetition of the 2xx.
    pub(super) ack: Option<(Flow, Bytes)>,
}

/// One of the two client machines.
#[derive(Debug)]
pub(super) enum ClientMachine {
    Invite(ClientInvite),
    Other(ClientOther),
}

impl ClientMachine {
    fn start(method: Method, reliable: bool) -> (ClientMachine, Step) {
        if method == Method::Invite {
            let (machine, step) = ClientInvite::start(reliable);
            (ClientMachine::Invite(machine), step)
        } else {
            let (machine, step) = ClientOther::start(reliable);
            (ClientMachine::Other(machine), step)
        }
    }
    pub(super) fn step(&mut self, event: ClientEvent) -> Step {
        match self {
            ClientMachine::Invite(machine) => machine.step(event),
            ClientMachine::Other(machine) => machine.step(event),
        }
    }
    pub(super) fn is_over(&self) -> bool {
        match self {
            ClientMachine::Invite(machine) => machine.state() == ClientInviteState::Terminated,
            ClientMachine::Other(machine) => machine.state() == ClientState::Terminated,
        }
    }
    /// Whether nothing has been heard of it.
    pub(super) fn is_unheard(&self) -> bool {
        match self {
            ClientMachine::Invite(machine) => machine.state() == ClientInviteState::Calling,
            ClientMachine::Other(machine) => machine.state() == ClientState::Trying,
        }
    }
    /// Where an INVITE stands; `None` for others.
    pub(super) fn invite_state(&self) -> Option<ClientInviteState> {
        match self {
            ClientMachine::Invite(machine) => Some(machine.state()),
            ClientMachine::Other(_) => None,
        }
    }
}

/// A request to us.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) key: Key,
    /// Its key among requests without To tag.
    pub(super) merged: Option<Key>,
    pub(super) method: Method,
    pub(super) machine: ServerMachine,
    pub(super) slots: Slots,
    /// The way it came.
    pub(super) source: Flow,
    /// The way its answers go.
    pub(super) reply: Flow,
    pub(super) local: Local,
    pub(super) party: Party,
    /// The request, until its final answer.
    pub(super) request: Option<Message>,
    /// To tag of its answers.
    pub(super) tag: String,
    pub(super) cseq: u32,
    /// The last answer.
    pub(super) last: Option<(Bytes, u16)>,
    /// The dialog it is in or has made.
    pub(super) dialog: Option<DialogId>,
    /// Whether it began outside of any dialog.
    pub(super) initial: bool,
    /// Whether a place in the table of dialogs is kept for it.
    pub(super) reserved: bool,
    /// The reliable provisional answers to it.
    pub(super) reliable: Option<Box<Reliable>>,
    /// What it holds of messages, in bytes, as counted in the endpoint.
    pub(super) weight: usize,
}

/// One of the two server machines.
#[derive(Debug)]
pub(super) enum ServerMachine {
    Invite(ServerInvite),
    Other(ServerOther),
}

impl ServerMachine {
    pub(super) fn start(method: Method, reliable: bool) -> ServerMachine {
        if method == Method::Invite {
            ServerMachine::Invite(ServerInvite::start(reliable))
        } else {
            ServerMachine::Other(ServerOther::start(reliable))
        }
    }
    pub(super) fn step(&mut self, event: ServerEvent) -> Step {
        match self {
            ServerMachine::Invite(machine) => machine.step(event),
            ServerMachine::Other(machine) => machine.step(event),
        }
    }
    pub(super) fn is_over(&self) -> bool {
        match self {
            ServerMachine::Invite(machine) => machine.state() == ServerInviteState::Terminated,
            ServerMachine::Other(machine) => machine.state() == ServerState::Terminated,
        }
    }
    /// Whether it has no final answer yet.
    pub(super) fn is_open(&self) -> bool {
        match self {
            ServerMachine::Invite(machine) => machine.state() == ServerInviteState::Proceeding,
            ServerMachine::Other(machine) => matches!(machine.state(), ServerState::Trying | ServerState::Proceeding),
        }
    }
}

impl Endpoint {
    /// Takes a request of ours into the tables and sends it.
    pub(super) fn start_client(&mut self, now: Instant, id: ClientId, mut client: Client, step: Step) {
        client.slots.apply(&mut self.timers, now, Timer::Client(id), step);
        self.waiting.insert((client.flow.remote, client.flow.transport, id));
        self.client_keys.insert(client.key.clone(), id);
        self.reserved += usize::from(client.reserved);
        let (flow, bytes, what) = (client.flow, client.request.clone(), client.sent(id, client.method, false));
        self.clients.insert(id, Box::new(client));
        self.transmit(flow, bytes, what);
    }

    /// Takes it out, with the early dialogs that its INVITE leaves behind.
    pub(super) fn remove_client(&mut self, id: ClientId) {
        let Some(mut client) = self.clients.remove(&id) else { return };
        client.slots.clear(&mut self.timers);
        self.client_keys.remove(&client.key);
        self.waiting.remove(&(client.flow.remote, client.flow.transport, id));
        self.reserved -= usize::from(client.reserved);
        if let Some(dialog) = client.dialog.filter(|_| client.method == Method::Update) {
            self.update_out_over(dialog, id);
        }
        let Some(inviting) = client.invite else { return };
        for fork in inviting.forks.iter().filter(|fork| !fork.confirmed) {
            self.remove_dialog(fork.dialog);
        }
        if let Some(dialog) = client.dialog.and_then(|dialog| self.dialogs.get_mut(&dialog))
            && dialog.invite_out == Some(id)
            && dialog.ack_due.is_none()
        {
            dialog.invite_out = None;
        }
    }

    /// Takes a request to us out.
    pub(super) fn remove_server(&mut self, id: ServerId) {
        let Some(mut server) = self.servers.remove(&id) else { return };
        server.slots.clear(&mut self.timers);
        if let Some(reliable) = &mut server.reliable {
            reliable.stop(&mut self.timers);
        }
        self.server_keys.remove(&server.key);
        if let Some(merged) = server.merged {
            self.merged.remove(&merged);
        }
        self.reserved -= usize::from(server.reserved);
        self.server_bytes -= server.weight;
        if let Some(share) = self.shares.get_mut(&server.party) {
            share.servers -= 1;
            share.bytes -= server.weight;
            if share.servers == 0 {
                self.shares.remove(&server.party);
            }
        }
    }

    /// Counts what a server transaction holds now.
    pub(super) fn weigh_server(&mut self, id: ServerId) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        let request = server.request.as_ref().map_or(0, |request| request.as_bytes().len());
        // The keys hold the names of the request once more.
        let keys = server.key.len() + server.merged.as_ref().map_or(0, |key| key.len());
        let reliable = server.reliable.as_ref().map_or(0, |reliable| reliable.weight());
        let weight = request + reliable + server.last.as_ref().map_or(0, |(bytes, _)| bytes.len()) + 2 * keys;
        self.server_bytes = self.server_bytes - server.weight + weight;
        if let Some(share) = self.shares.get_mut(&server.party) {
            share.bytes = share.bytes - server.weight + weight;
        }
        server.weight = weight;
    }

    /// Takes a dialog into the tables.
    pub(super) fn insert_dialog(&mut self, dialog: Dialog) -> DialogId {
        let id = DialogId(self.fresh_id());
        let plain = &dialog.plain;
        let names = (plain.call_id.as_bytes(), plain.local_tag.as_bytes(), plain.remote_tag.as_bytes());
        key::dialog(&mut self.scratch, names.0, names.1, names.2);
        if let Some(old) = self.dialog_keys.insert(self.scratch.as_slice().into(), id) {
            // Only a snapshot taken back twice can do this: the names are ours and random.
            self.dialogs.remove(&old);
        }
        if let Some(connection) = plain.flow.connection {
            self.streams.insert((connection, id));
        }
        self.dialogs.insert(id, Box::new(dialog));
        id
    }

    /// Takes a dialog out; its transactions go on by themselves.
    pub(super) fn remove_dialog(&mut self, id: DialogId) {
        let Some(dialog) = self.dialogs.remove(&id) else { return };
        let plain = &dialog.plain;
        let names = (plain.call_id.as_bytes(), plain.local_tag.as_bytes(), plain.remote_tag.as_bytes());
        key::dialog(&mut self.scratch, names.0, names.1, names.2);
        self.dialog_keys.remove(self.scratch.as_slice());
        self.remember_ended(&dialog);
        if let Some(connection) = dialog.plain.flow.connection {
            self.streams.remove(&(connection, id));
        }
        if let Some(unacked) = dialog.unacked {
            self.timers.cancel(unacked.retransmit);
            self.timers.cancel(unacked.wait);
        }
    }

    /// Notes where a dialog's far end was heard last.
    pub(super) fn set_dialog_flow(&mut self, id: DialogId, flow: Flow) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        let old = std::mem::replace(&mut dialog.plain.flow, flow);
        dialog.flow_lost = false;
        if old.connection != flow.connection {
            if let Some(connection) = old.connection {
                self.streams.remove(&(connection, id));
            }
            if let Some(connection) = flow.connection {
                self.streams.insert((connection, id));
            }
        }
    }
}

impl Client {
    /// A request outside of any dialog that is no INVITE; callers change what is different.
    pub(super) fn new(method: Method, key: Key, way: (Flow, Local, Party), request: Bytes, call_id: &str) -> NewClient {
        let (flow, local, party) = way;
        let (machine, step) = ClientMachine::start(method, flow.transport.is_reliable());
        let client = Client {
            key,
            method,
            machine,
            slots: Slots::default(),
            flow,
            local,
            party,
            request,
            call_id: call_id.to_owned(),
            dialog: None,
            silent: false,
            sent_once_more: false,
            reserved: false,
            answered: Answered::default(),
            lengthened: false,
            invite: None,
        };
        (client, step)
    }

    /// What a message of this transaction is.
    pub(super) fn sent(&self, id: ClientId, method: Method, again: bool) -> Sent {
        Sent { method, code: None, party: self.party, again, client: Some(id), server: None, dialog: self.dialog }
    }
}

impl Server {
    /// What an answer of this transaction is.
    pub(super) fn sent(&self, id: ServerId, code: u16, again: bool) -> Sent {
        Sent {
            method: self.method,
            code: Some(code),
            party: self.party,
            again,
            client: None,
            server: Some(id),
            dialog: self.dialog,
        }
    }
}
