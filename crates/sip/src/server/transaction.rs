//! One request to us.

use bytes::Bytes;

use super::reliable::Reliable;
use crate::event::{DialogId, Flow, Local, Party, Sent, ServerId};
use crate::message::Message;
use crate::method::Method;
use crate::transaction::key::Key;
use crate::transaction::server::{Server as ServerOther, State as ServerState};
use crate::transaction::server_invite::{ServerInvite, State as ServerInviteState};
use crate::transaction::{ServerEvent, Slots, Step};

/// A request to us, from its arrival until nothing of it can come again.
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

impl Server {
    /// Describes a response of this transaction.
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

    /// Returns what it holds of messages, in bytes. The keys hold the names of the request once more.
    pub(super) fn held_bytes(&self) -> usize {
        let request = self.request.as_ref().map_or(0, |request| request.as_bytes().len());
        let keys = self.key.len() + self.merged.as_ref().map_or(0, |key| key.len());
        let reliable = self.reliable.as_ref().map_or(0, |reliable| reliable.weight());
        request + reliable + self.last.as_ref().map_or(0, |(bytes, _)| bytes.len()) + 2 * keys
    }
}
