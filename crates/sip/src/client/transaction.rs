//! One request of ours.

use bytes::Bytes;

use crate::compose::{Head, tagged};
use crate::digest::keyring::Answered;
use crate::event::{ClientId, DialogId, Extra, Flow, Local, Party, Sent};
use crate::method::Method;
use crate::transaction::client::{Client as ClientOther, State as ClientState};
use crate::transaction::client_invite::{ClientInvite, State as ClientInviteState};
use crate::transaction::key::Key;
use crate::transaction::{ClientEvent, Slots, Step};

/// Max-Forwards of requests that no call brings along (RFC 3261 §8.1.1.6).
pub(super) const MAX_FORWARDS: u8 = 70;
/// The Reason of a CANCEL, or of a BYE, where the call has been answered elsewhere (RFC 3326 §3.1).
pub const COMPLETED_ELSEWHERE: &str = "SIP;cause=200;text=\"Call completed elsewhere\"";

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

    /// The CANCEL of an INVITE, or the ACK to its non-2xx final with that answer's To: the same Via, Request-URI,
    /// Route, From and CSeq number (RFC 3261 §9.1, §17.1.1.3).
    pub(super) fn tied(&self, method: Method, to: Option<&str>, product: &str, alias: bool) -> Option<Bytes> {
        let inviting = self.invite.as_deref()?;
        let head = Head {
            method,
            uri: &inviting.uri,
            transport: self.flow.transport,
            local: self.local,
            branch: &inviting.branch,
            max_forwards: MAX_FORWARDS,
            routes: &inviting.routes,
            from: &tagged(&inviting.local_uri, &inviting.local_tag),
            to: to.unwrap_or(&inviting.to),
            call_id: &self.call_id,
            cseq: inviting.cseq,
            product,
            alias,
        };
        let mut writer = head.begin();
        if method == Method::Cancel && inviting.elsewhere {
            writer.header("Reason", COMPLETED_ELSEWHERE);
        }
        Some(writer.finish(None))
    }

    /// Reports whether an INVITE is withdrawn, or will be.
    pub(super) fn is_withdrawn(&self) -> bool {
        self.invite.as_deref().is_some_and(|inviting| inviting.cancel != Cancel::No)
    }
}
