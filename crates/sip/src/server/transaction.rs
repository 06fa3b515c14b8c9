//! One server transaction: its request, its state machine, and the last response.

use bytes::Bytes;

use super::reliable::ReliableResponses;
use crate::event::{DialogId, Flow, LocalAddress, SentMessage, ServerId, SipPartyId};
use crate::message::SipMessage;
use crate::method::Method;
use crate::transaction::key::IndexKey;
use crate::transaction::server::{ServerNonInvite as ServerOther, ServerState};
use crate::transaction::server_invite::{ServerInvite, ServerInviteState};
use crate::transaction::{ServerEvent, TimerSlots, TransactionStep};

/// Received request and its responses, until no message of the transaction can arrive any more.
#[derive(Debug)]
pub(super) struct ServerTransaction {
    pub(super) key: IndexKey,
    /// Key by which a merged copy of the request is detected; `None` for a request with To tag.
    pub(super) merged: Option<IndexKey>,
    pub(super) method: Method,
    pub(super) machine: ServerMachine,
    pub(super) slots: TimerSlots,
    /// Flow on which the request arrived.
    pub(super) source: Flow,
    /// Flow of the responses.
    pub(super) reply: Flow,
    pub(super) local: LocalAddress,
    pub(super) party: SipPartyId,
    /// Received request; `None` after the final response.
    pub(super) request: Option<SipMessage>,
    /// Local tag, added to To in the responses.
    pub(super) tag: String,
    pub(super) cseq: u32,
    /// Last response, with its status code.
    pub(super) last: Option<(Bytes, u16)>,
    /// Dialog that the request belongs to or has created.
    pub(super) dialog: Option<DialogId>,
    /// Whether the request arrived outside any dialog.
    pub(super) initial: bool,
    /// Whether a slot in the dialog table is reserved for this request.
    pub(super) reserved: bool,
    /// Reliable provisional responses to the request.
    pub(super) reliable: Option<Box<ReliableResponses>>,
    /// Memory held for messages, in bytes, as included in the total.
    pub(super) weight: usize,
}

/// State machine of a server transaction, for INVITE or for other methods.
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

    pub(super) fn step(&mut self, event: ServerEvent) -> TransactionStep {
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

    /// Returns whether no final response has been sent yet.
    pub(super) fn is_open(&self) -> bool {
        match self {
            ServerMachine::Invite(machine) => machine.state() == ServerInviteState::Proceeding,
            ServerMachine::Other(machine) => matches!(machine.state(), ServerState::Trying | ServerState::Proceeding),
        }
    }
}

impl ServerTransaction {
    /// Returns the description of a response of this transaction, for metrics and tracing.
    pub(super) fn sent(&self, id: ServerId, code: u16, again: bool) -> SentMessage {
        SentMessage {
            method: self.method,
            code: Some(code),
            party: self.party,
            again,
            client: None,
            server: Some(id),
            dialog: self.dialog,
        }
    }

    /// Returns the memory held for messages and keys, in bytes; keys repeat identifiers of the request.
    pub(super) fn held_bytes(&self) -> usize {
        let request = self.request.as_ref().map_or(0, |request| request.as_bytes().len());
        let keys = self.key.len() + self.merged.as_ref().map_or(0, |key| key.len());
        let reliable = self.reliable.as_ref().map_or(0, |reliable| reliable.weight());
        request + reliable + self.last.as_ref().map_or(0, |(bytes, _)| bytes.len()) + 2 * keys
    }
}
