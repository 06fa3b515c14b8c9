//! One client transaction: its request, its state machine, and the additional state of an INVITE.

use bytes::Bytes;

use crate::compose::{RequestHead, tagged};
use crate::digest::keyring::AnsweredChallenges;
use crate::event::{ClientId, DialogId, ExtraHeader, Flow, LocalAddress, SentMessage, SipPartyId};
use crate::method::Method;
use crate::open::OutgoingInvite;
use crate::transaction::client::{ClientNonInvite as ClientOther, ClientState};
use crate::transaction::client_invite::{ClientInvite, ClientInviteState};
use crate::transaction::key::IndexKey;
use crate::transaction::{ClientEvent, TimerSlots, TransactionStep};

/// Max-Forwards of requests that the edge originates instead of forwarding a received one (RFC 3261 §8.1.1.6).
pub(super) const MAX_FORWARDS: u8 = 70;
/// Reason header value of a CANCEL or BYE sent because another target answered the call (RFC 3326 §3.1).
pub const COMPLETED_ELSEWHERE: &str = "SIP;cause=200;text=\"Call completed elsewhere\"";

/// Client transaction with its request.
#[derive(Debug)]
pub(super) struct ClientTransaction {
    pub(super) key: IndexKey,
    pub(super) method: Method,
    pub(super) machine: ClientMachine,
    pub(super) slots: TimerSlots,
    pub(super) flow: Flow,
    pub(super) local: LocalAddress,
    pub(super) party: SipPartyId,
    /// The request as sent.
    pub(super) request: Bytes,
    pub(super) call_id: String,
    /// Dialog in which the request was sent.
    pub(super) dialog: Option<DialogId>,
    /// Whether the layer above receives no event about this request.
    pub(super) silent: bool,
    /// Whether another process has sent the request, and perhaps further ones in its dialogs.
    pub(super) is_taken_over: bool,
    /// Whether the request was resent after its connection was lost.
    pub(super) sent_once_more: bool,
    /// Whether a slot in the dialog table is reserved for this request.
    pub(super) reserved: bool,
    /// Challenges that were already answered for this request.
    pub(super) answered: AnsweredChallenges,
    /// Whether the request was repeated with a longer session interval.
    pub(super) lengthened: bool,
    /// Additional state of an INVITE; `None` for other methods.
    pub(super) invite: Option<Box<InviteState>>,
}

/// New client transaction and the first step of its state machine.
pub(super) type NewClient = (ClientTransaction, TransactionStep);

/// State that an outgoing INVITE keeps for its ACK, CANCEL and dialogs.
#[derive(Debug, Clone)]
pub(super) struct InviteState {
    pub(super) branch: String,
    pub(super) uri: String,
    pub(super) routes: Vec<String>,
    /// Value of From, without tag.
    pub(super) local_uri: String,
    pub(super) local_tag: String,
    /// Value of To as sent.
    pub(super) to: String,
    /// Value of To, without tag.
    pub(super) remote_uri: String,
    pub(super) cseq: u32,
    /// Whether the INVITE carries an offer.
    pub(super) offers: bool,
    pub(super) contact_user: String,
    /// Credentials in the INVITE, repeated by its ACK (RFC 3261 §22.1).
    pub(super) credentials: Vec<ExtraHeader>,
    pub(super) cancel: CancelState,
    /// Whether the call was answered elsewhere, for the Reason of the CANCEL (RFC 3326 §3.1).
    pub(super) elsewhere: bool,
    /// ACK to the non-2xx final response, once one has arrived.
    pub(super) ack: Option<Bytes>,
    /// Dialogs created by the INVITE; for a re-INVITE its own dialog, once a 2xx has arrived.
    pub(super) forks: Vec<ForkedBranch>,
    /// Requests caused by responses to the INVITE.
    pub(super) caused: Vec<ClientId>,
}

/// Progress of cancelling an INVITE (RFC 3261 §9.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CancelState {
    /// The cancellation was not requested.
    No,
    /// The cancellation was requested; CANCEL waits for a provisional response.
    Wanted,
    /// The CANCEL was sent.
    Sent,
}

/// Branch of a forked INVITE, identified by its remote tag.
#[derive(Debug, Clone)]
pub(super) struct ForkedBranch {
    pub(super) tag: IndexKey,
    pub(super) dialog: DialogId,
    /// Whether a 2xx with this tag has arrived.
    pub(super) confirmed: bool,
    /// ACK to the 2xx, resent for each retransmitted 2xx.
    pub(super) ack: Option<(Flow, Bytes)>,
}

/// State machine of a client transaction, for INVITE or for other methods.
#[derive(Debug)]
pub(super) enum ClientMachine {
    Invite(ClientInvite),
    Other(ClientOther),
}

impl ClientMachine {
    fn start(method: Method, reliable: bool) -> (ClientMachine, TransactionStep) {
        if method == Method::Invite {
            let (machine, step) = ClientInvite::start(reliable);
            (ClientMachine::Invite(machine), step)
        } else {
            let (machine, step) = ClientOther::start(reliable);
            (ClientMachine::Other(machine), step)
        }
    }

    pub(super) fn step(&mut self, event: ClientEvent) -> TransactionStep {
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

    /// Returns whether no response to the request has arrived yet.
    pub(super) fn is_unheard(&self) -> bool {
        match self {
            ClientMachine::Invite(machine) => machine.state() == ClientInviteState::Calling,
            ClientMachine::Other(machine) => machine.state() == ClientState::Trying,
        }
    }

    /// Returns the state of an INVITE transaction, or `None` for other methods.
    pub(super) fn invite_state(&self) -> Option<ClientInviteState> {
        match self {
            ClientMachine::Invite(machine) => Some(machine.state()),
            ClientMachine::Other(_) => None,
        }
    }
}

impl ClientTransaction {
    /// Creates a non-INVITE transaction outside any dialog; callers change the fields that differ.
    pub(super) fn new(
        method: Method,
        key: IndexKey,
        way: (Flow, LocalAddress, SipPartyId),
        request: Bytes,
        call_id: &str,
    ) -> NewClient {
        let (flow, local, party) = way;
        let (machine, step) = ClientMachine::start(method, flow.transport.is_reliable());
        let client = ClientTransaction {
            key,
            method,
            machine,
            slots: TimerSlots::default(),
            flow,
            local,
            party,
            request,
            call_id: call_id.to_owned(),
            dialog: None,
            silent: false,
            is_taken_over: false,
            sent_once_more: false,
            reserved: false,
            answered: AnsweredChallenges::default(),
            lengthened: false,
            invite: None,
        };
        (client, step)
    }

    /// Creates the transaction of an INVITE that another process has sent, to be cancelled.
    pub(super) fn taken_over(
        key: IndexKey,
        way: (Flow, LocalAddress, SipPartyId),
        call_id: &str,
        invite: OutgoingInvite,
    ) -> ClientTransaction {
        let OutgoingInvite { branch, uri, local_uri, local_tag, to, cseq, elsewhere } = invite;
        let inviting = InviteState {
            branch,
            uri,
            routes: Vec::new(),
            local_uri,
            local_tag,
            remote_uri: to.clone(),
            to,
            cseq,
            offers: true,
            contact_user: String::new(),
            credentials: Vec::new(),
            cancel: CancelState::Wanted,
            elsewhere,
            ack: None,
            forks: Vec::new(),
            caused: Vec::new(),
        };
        let (client, _) = ClientTransaction::new(Method::Invite, key, way, Bytes::new(), call_id);
        ClientTransaction { silent: true, is_taken_over: true, invite: Some(Box::new(inviting)), ..client }
    }

    /// Returns the description of an outgoing message of this transaction, for metrics and tracing; `again` marks a
    /// retransmission.
    pub(super) fn sent(&self, id: ClientId, method: Method, again: bool) -> SentMessage {
        SentMessage {
            method,
            code: None,
            party: self.party,
            again,
            client: Some(id),
            server: None,
            dialog: self.dialog,
        }
    }

    /// Builds the CANCEL of an INVITE, or the ACK to its non-2xx final response with the To of that response. Both
    /// repeat the Via, Request-URI, Route, From and CSeq number of the INVITE (RFC 3261 §9.1, §17.1.1.3).
    pub(super) fn build_tied_request(
        &self,
        method: Method,
        to: Option<&str>,
        product: &str,
        alias: bool,
    ) -> Option<Bytes> {
        let inviting = self.invite.as_deref()?;
        let head = RequestHead {
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
        let mut writer = head.write_head();
        if method == Method::Cancel && inviting.elsewhere {
            writer.header("Reason", COMPLETED_ELSEWHERE);
        }
        Some(writer.finish(None))
    }

    /// Returns whether an INVITE was cancelled, or will be once a provisional response has arrived.
    pub(super) fn is_withdrawn(&self) -> bool {
        self.invite.as_deref().is_some_and(|inviting| inviting.cancel != CancelState::No)
    }
}
