//! SIP endpoint: dispatches each received message to its transaction and dialog and emits an
//! [`EndpointEvent`](crate::EndpointEvent), and sends the requests and responses of the layer above.
//!
//! This module selects the part that handles a message, timer or call (here), decides which requests are served
//! (`request`), and handles in-dialog requests and the end of dialogs, which involve transactions of both sides
//! (`within`). The parts own their state: `client` (outgoing requests), `server` (received requests), `dialog`,
//! `digest` (credentials), `shared` (identifiers, timers, outputs).

mod request;
mod within;

pub use crate::client::COMPLETED_ELSEWHERE;
pub use crate::dialog::ReplacedDialog;
pub use request::DIGEST_URI_DIFFERS;

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ipnet::IpNet;

use crate::client::ClientTransactions;
use crate::cx::EndpointCx;
use crate::dialog::{Dialog, DialogSnapshot, DialogTable};
use crate::digest::challenger::Challenger;
use crate::event::{
    ClientId, Deadline, DialogId, DropReason, EndpointInput, EndpointOutput, Flow, InviteRequest, LocalAddress,
    MessageBody, NotifyRequest, OwnHosts, RegisterRequest, ResponseSpec, ServerId, SipPartyId, TimerReason, Transport,
};
use crate::header::Replaces;
use crate::identity::ProcessIdentity;
use crate::limits;
use crate::message::{MessageDefect, SipMessage};
use crate::method::Method;
use crate::open::{EndedInvites, OpenInvite, OpenInviteSide};
use crate::sanity::{RequestRejection, RequestRules};
use crate::server::ServerTransactions;
use crate::shared::{EndpointShared, MessageOrigin, TimerOwner};
use trunkgate_terms::{Credentials, DigestHash};

/// Settings of a SIP endpoint.
#[derive(Debug, Clone)]
pub struct EndpointConfig {
    /// Identity encoded in generated Call-IDs, tags and branches.
    pub identity: ProcessIdentity,
    /// Value of the Server and User-Agent headers.
    pub product: String,
    /// Methods served. Other known methods get 405 with Allow, unknown ones 501.
    pub methods: Vec<Method>,
    /// Supported option tags; others in Require get 420 with Unsupported. `100rel` enables reliable provisional
    /// responses.
    pub extensions: Vec<String>,
    /// Maximum message size, in bytes.
    pub message_bytes: usize,
    /// Limits on transactions and dialogs.
    pub limits: EndpointLimits,
}

/// Maximum number of each kind of state; defaults are in [`limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndpointLimits {
    /// Maximum number of server transactions.
    pub servers: usize,
    /// Maximum number of bytes held by all server transactions together.
    pub server_bytes: usize,
    /// Maximum number of client transactions. CANCEL and BYE are sent even at the limit, because each of them ends a
    /// call.
    pub clients: usize,
    /// Maximum number of dialogs, including those that open INVITEs and SUBSCRIBEs may still create.
    pub dialogs: usize,
    /// Maximum number of dialogs that forked responses to one INVITE may create.
    pub forks: usize,
}

impl Default for EndpointLimits {
    fn default() -> EndpointLimits {
        EndpointLimits {
            servers: limits::SERVER_TRANSACTIONS,
            server_bytes: limits::SERVER_TRANSACTION_BYTES,
            clients: limits::CLIENT_TRANSACTIONS,
            dialogs: limits::DIALOGS,
            forks: limits::FORKED_DIALOGS,
        }
    }
}

/// Numbers of live transactions and dialogs, for metrics and leak tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EndpointCounts {
    /// Number of live server transactions.
    pub servers: usize,
    /// Number of live client transactions.
    pub clients: usize,
    /// Number of live dialogs, early ones included.
    pub dialogs: usize,
}

/// All transactions and dialogs of one signalling loop. `Debug` prints only counts, because pending messages may
/// contain keys.
pub struct SipEndpoint {
    shared: EndpointShared,
    dialogs: DialogTable,
    clients: ClientTransactions,
    servers: ServerTransactions,
    /// Credentials required from each party that must authenticate.
    challenger: Challenger,
    /// Maximum message size, in bytes.
    message_bytes: usize,
}

impl fmt::Debug for SipEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SipEndpoint").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

/// Parts of an endpoint borrowed for one operation: the context, the client side and the server side.
struct EndpointParts<'a> {
    cx: EndpointCx<'a>,
    clients: &'a mut ClientTransactions,
    servers: &'a mut ServerTransactions,
}

impl SipEndpoint {
    /// Creates an endpoint that derives its identifiers from `seed`.
    pub fn new(config: EndpointConfig, seed: [u8; 32]) -> SipEndpoint {
        let EndpointConfig { identity, product, methods, extensions, message_bytes, limits } = config;
        let mut shared = EndpointShared::new(identity, RequestRules::new(methods, extensions), product, seed);
        SipEndpoint {
            challenger: Challenger::new(shared.tokens.key()),
            dialogs: DialogTable::new(limits.dialogs),
            clients: ClientTransactions::new(limits.clients, limits.forks),
            servers: ServerTransactions::new(limits.servers, limits.server_bytes),
            message_bytes,
            shared,
        }
    }

    fn parts(&mut self, now: Instant) -> EndpointParts<'_> {
        let cx = EndpointCx { now, shared: &mut self.shared, dialogs: &mut self.dialogs };
        EndpointParts { cx, clients: &mut self.clients, servers: &mut self.servers }
    }

    /// Handles an external input; drain [`Self::poll_output`] afterwards.
    pub fn handle_input(&mut self, now: Instant, input: EndpointInput) {
        match input {
            EndpointInput::Received { flow, local, party, message } => {
                let arrival = MessageOrigin { flow, local, party };
                if message.is_request() {
                    self.on_request(now, arrival, message);
                } else {
                    self.on_response(now, arrival, message);
                }
            }
            EndpointInput::TransportFailed { flow, party, was_up } => {
                // Dialogs on a lost connection must find another flow.
                if let Some(connection) = flow.connection {
                    self.dialogs.drop_connection(connection);
                }
                let EndpointParts { mut cx, clients, .. } = self.parts(now);
                clients.on_transport_failed(&mut cx, flow, party, was_up);
            }
            EndpointInput::Unreachable { flow, quoted } => {
                let EndpointParts { mut cx, clients, .. } = self.parts(now);
                clients.on_unreachable(&mut cx, flow, &quoted);
            }
        }
    }

    /// Fires all expired timers; drain [`Self::poll_output`] afterwards.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.dialogs.shrink();
        self.clients.shrink();
        self.servers.shrink();
        while let Some((owner, reason)) = self.shared.timers.pop_due(now) {
            let EndpointParts { mut cx, clients, servers } = self.parts(now);
            match owner {
                TimerOwner::Client(id) => clients.on_timer(&mut cx, id, reason),
                TimerOwner::Server(id) => servers.on_timer(&mut cx, id, reason),
                TimerOwner::Dialog(id) if reason == TimerReason::AckWait => self.on_ack_missing(now, id),
                TimerOwner::Dialog(id) => cx.dialogs.repeat_success(cx.shared, now, id),
            }
        }
    }

    /// Removes and returns the next output; `None` if there is none.
    pub fn poll_output(&mut self) -> Option<EndpointOutput> {
        self.shared.pop_output()
    }

    /// Postpones all timers by a time in which the process did not run: remote parties get theirs again.
    pub fn postpone(&mut self, pause: Duration) {
        self.shared.timers.postpone(pause);
    }

    /// Returns the next deadline and its reason, for [`Self::handle_timeout`]; `None` if no timer runs.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        self.shared.timers.next()
    }

    /// Rejects a malformed request that was not passed to [`EndpointInput::Received`] (a stream that lost its framing),
    /// without keeping state. Requires a readable Via.
    pub fn refuse(&mut self, flow: Flow, party: SipPartyId, request: &SipMessage, defect: MessageDefect) {
        if request.method() == Method::Ack || !request.is_request() {
            self.shared.drop_message(DropReason::Unanswerable);
        } else {
            self.shared.refuse_for(flow, party, request, defect.into(), Some(defect));
        }
    }

    /// Rejects a new request with 503 and the given headers, without keeping state (RFC 3261 §8.2.7). The caller must
    /// send retransmissions of the request here too.
    pub fn turn_away(
        &mut self,
        flow: Flow,
        party: SipPartyId,
        request: &SipMessage,
        headers: Vec<(&'static str, String)>,
    ) {
        self.shared.refuse_for(
            flow,
            party,
            request,
            RequestRejection { headers, ..RequestRejection::with_code(503) },
            None,
        );
    }

    /// Sets the networks of a party. Its Contacts and Record-Routes are followed only into these networks or to the
    /// address the party was heard from.
    pub fn set_reach(&mut self, party: SipPartyId, networks: Vec<IpNet>) {
        self.shared.peers.set_reach(party, networks);
    }

    /// Sets whether a party may send its own requests over TLS connections that we open to it, which our certificate
    /// has authenticated (RFC 5923 §4).
    pub fn offer_reuse(&mut self, party: SipPartyId, offered: bool) {
        self.shared.peers.offer_reuse(party, offered);
    }

    /// Sets whether a party may replace its own dialogs; only then do messages to it advertise `replaces` (RFC 3891
    /// §6.2).
    pub fn allow_replaces(&mut self, party: SipPartyId, allowed: bool) {
        self.shared.peers.allow_replaces(party, allowed);
    }

    /// Sets whether REFER from a party is accepted and listed in Allow, which is the default.
    pub fn allow_refer(&mut self, party: SipPartyId, allowed: bool) {
        self.shared.peers.allow_refer(party, allowed);
    }

    /// Sets whether a party is a recording server; our Contact then carries the feature tag `+sip.src` (RFC 7866
    /// §6.1.1).
    pub fn set_recorder(&mut self, party: SipPartyId, is_recorder: bool) {
        self.shared.peers.set_recorder(party, is_recorder);
    }

    /// Sets the host names shown to a party instead of our address.
    pub fn show_hosts(&mut self, party: SipPartyId, hosts: OwnHosts) {
        self.shared.peers.show_hosts(party, hosts);
    }

    /// Returns a URI of this endpoint in angle brackets, as shown to a party.
    pub fn own_address(&self, party: SipPartyId, user: &str, local: LocalAddress, transport: Transport) -> String {
        self.shared.peers.own_address(party, user, local, transport, false)
    }

    /// Sets the credentials that answer challenges from a party; `None` removes them.
    pub fn set_credentials(&mut self, party: SipPartyId, credentials: Option<Credentials>) {
        self.clients.set_credentials(party, credentials);
    }

    /// Sets the credentials required from a party before its requests are served; `None` requires none.
    pub fn require_credentials(&mut self, party: SipPartyId, credentials: Option<Credentials>) {
        self.challenger.set(party, credentials);
    }

    /// Sets the algorithms offered in challenges to a party, in order; the default is SHA-256, then MD5. Call
    /// [`SipEndpoint::require_credentials`] first.
    pub fn challenge_with(&mut self, party: SipPartyId, hashes: &[DigestHash]) {
        self.challenger.offer(party, hashes);
    }

    /// Sets whether the `uri` of a party's credentials must match the Request-URI (RFC 7616 §3.4.6); it must by
    /// default. Call [`SipEndpoint::require_credentials`] first.
    pub fn compare_digest_uri(&mut self, party: SipPartyId, is_compared: bool) {
        self.challenger.compare_uri(party, is_compared);
    }

    /// Sends an INVITE that begins a dialog. If a table is full,
    /// [`EndpointEvent::TransportFailed`](crate::EndpointEvent::TransportFailed) follows at once.
    pub fn invite(&mut self, now: Instant, invite: InviteRequest) -> ClientId {
        let EndpointParts { mut cx, clients, .. } = self.parts(now);
        clients.invite(&mut cx, invite)
    }

    /// Sends OPTIONS outside any dialog. If the table is full,
    /// [`EndpointEvent::TransportFailed`](crate::EndpointEvent::TransportFailed) follows at once.
    pub fn options(&mut self, now: Instant, flow: Flow, local: LocalAddress, party: SipPartyId, uri: &str) -> ClientId {
        let EndpointParts { mut cx, clients, .. } = self.parts(now);
        clients.options(&mut cx, (flow, local, party), uri)
    }

    /// Sends an unsolicited NOTIFY. If the table is full,
    /// [`EndpointEvent::TransportFailed`](crate::EndpointEvent::TransportFailed)
    /// follows at once.
    pub fn notify(&mut self, now: Instant, notify: NotifyRequest) -> ClientId {
        let EndpointParts { mut cx, clients, .. } = self.parts(now);
        clients.notify(&mut cx, &notify)
    }

    /// Sends a REGISTER that adds, refreshes or removes the binding of an address-of-record to our Contact (RFC 3261
    /// §10.2). If the table is full, [`EndpointEvent::TransportFailed`](crate::EndpointEvent::TransportFailed) follows
    /// at once.
    pub fn register(&mut self, now: Instant, register: RegisterRequest) -> ClientId {
        let EndpointParts { mut cx, clients, .. } = self.parts(now);
        clients.register(&mut cx, register)
    }

    /// Cancels an INVITE (RFC 3261 §9.1): CANCEL is sent once a provisional response has arrived. A 2xx that crosses
    /// the CANCEL is still reported as [`EndpointEvent::Response`](crate::EndpointEvent::Response) and must be followed
    /// by ACK and BYE.
    pub fn cancel(&mut self, now: Instant, id: ClientId) {
        let EndpointParts { mut cx, clients, .. } = self.parts(now);
        clients.cancel(&mut cx, id);
    }

    /// Records that the call of a cancelled INVITE was answered elsewhere. The CANCEL then carries this Reason, and
    /// phones that support it list no missed call (RFC 3326 §3.1).
    pub fn answered_elsewhere(&mut self, id: ClientId) {
        self.clients.answered_elsewhere(id);
    }

    /// Stops retransmitting an unanswered INVITE but keeps its transaction: until Timer B the endpoint itself answers
    /// a late provisional response with CANCEL and a late 2xx with ACK and BYE, and reports no further events. After a
    /// provisional response this is [`Self::cancel`] without further events.
    pub fn abandon(&mut self, now: Instant, id: ClientId) {
        let EndpointParts { mut cx, clients, .. } = self.parts(now);
        for dialog in clients.abandon(&mut cx, id) {
            self.hang_up(now, id, dialog);
        }
    }

    /// Acknowledges a 2xx (RFC 3261 §13.2.2.4). The endpoint stores the ACK and resends it for each retransmitted 2xx.
    pub fn ack(&mut self, now: Instant, dialog: DialogId, body: Option<MessageBody>) {
        let EndpointParts { mut cx, clients, .. } = self.parts(now);
        clients.send_ack(&mut cx, dialog, body.as_ref());
    }

    /// Acknowledges the reliable provisional response that carried the offer to an INVITE without one, and sends our
    /// answer in the PRACK (RFC 3262 §5). Returns whether such a response was pending.
    pub fn answer_early(&mut self, now: Instant, dialog: DialogId, body: MessageBody) -> bool {
        let due = self.dialogs.get_mut(dialog).and_then(Dialog::take_prack_due);
        let EndpointParts { mut cx, clients, .. } = self.parts(now);
        due.is_some_and(|due| clients.prack(&mut cx, dialog, due, Some(&body)))
    }

    /// Drops a non-INVITE request outside any dialog: retransmission stops, and a later response counts as stray.
    pub fn drop_request(&mut self, id: ClientId) {
        self.clients.drop_request(&mut self.shared, &mut self.dialogs, id);
    }

    /// Responds to a request. Returns its dialog, if it has one; `None` also if its transaction is gone.
    ///
    /// A provisional response above 100 to an INVITE carries our tag and creates an early dialog; a 2xx creates a
    /// confirmed one and is retransmitted until its ACK. A 2xx to a SUBSCRIBE outside any dialog creates a confirmed
    /// dialog that lasts until [`Self::forget_dialog`] or a BYE.
    ///
    /// A reliable provisional response, and a 2xx after one with a session description, may have to wait for a PRACK.
    /// The endpoint then stores the response and sends it later (RFC 3262 §3).
    pub fn respond(&mut self, now: Instant, id: ServerId, answer: ResponseSpec) -> Option<DialogId> {
        let EndpointParts { mut cx, servers, .. } = self.parts(now);
        servers.respond(&mut cx, id, answer)
    }

    /// Returns whether provisional responses to an INVITE may be reliable: its sender supports `100rel`, as this
    /// endpoint does.
    pub fn may_be_reliable(&self, id: ServerId) -> bool {
        self.servers.may_be_reliable(&self.shared, id)
    }

    /// Returns whether a 2xx passed to [`Self::respond`] is held back until a PRACK arrives (RFC 3262 §3).
    pub fn holds_back(&self, id: ServerId) -> bool {
        self.servers.holds_back(id)
    }

    /// Returns whether a provisional response to an INVITE awaits its PRACK.
    pub fn awaits_prack(&self, id: ServerId) -> bool {
        self.servers.awaits_prack(id)
    }

    /// Removes the dialog of a terminated subscription (RFC 6665 §4.1.3); later requests in it get 481.
    pub fn forget_dialog(&mut self, dialog: DialogId) {
        self.dialogs.forget(&mut self.shared, dialog);
    }

    /// Returns the dialog of a received request; `None` if it has none, or its transaction is gone.
    pub fn dialog_of(&self, id: ServerId) -> Option<DialogId> {
        self.servers.dialog_of(id)
    }

    /// Returns whether a request already has a server transaction; if so, it is a retransmission.
    pub fn has_begun(&mut self, party: SipPartyId, request: &SipMessage) -> bool {
        self.servers.find(&mut self.shared, party, request.method(), request).is_some()
    }

    /// Returns the party that a response from `source` belongs to. Several parties may share an address; the branch
    /// identifies the one the request was sent to.
    pub fn responding_party(&mut self, response: &SipMessage, source: IpAddr) -> Option<SipPartyId> {
        self.clients.find_party(&mut self.shared, response, source)
    }

    /// Returns the flow of an outgoing request; `None` once its transaction is gone.
    pub fn client_flow(&self, id: ClientId) -> Option<Flow> {
        self.clients.flow(id)
    }

    /// Returns the Call-ID of an outgoing request; `None` once its transaction is gone.
    pub fn call_id(&self, id: ClientId) -> Option<&str> {
        self.clients.call_id(id)
    }

    /// Returns the flow on which requests reach the remote party of a dialog; `None` if the dialog is gone.
    pub fn dialog_flow(&self, dialog: DialogId) -> Option<Flow> {
        self.dialogs.get(dialog).map(|dialog| dialog.plain().flow)
    }

    /// Returns the outgoing INVITE open in a dialog: the initial one in an early dialog, or a re-INVITE.
    pub fn invite_of(&self, dialog: DialogId) -> Option<ClientId> {
        self.dialogs.get(dialog)?.invite_out()
    }

    /// Returns the CSeq of the last request sent in a dialog (RFC 3261 §12.2.1.1).
    pub fn last_cseq(&self, dialog: DialogId) -> Option<u32> {
        self.dialogs.get(dialog).map(|dialog| dialog.plain().local_cseq)
    }

    /// Returns the identifiers of a dialog as a Replaces header sent to its remote party contains them; `None` if the
    /// dialog is gone.
    pub fn dialog_names(&self, dialog: DialogId) -> Option<Replaces> {
        let plain = self.dialogs.get(dialog)?.plain();
        let [call_id, to_tag, from_tag] = [&plain.call_id, &plain.remote_tag, &plain.local_tag].map(String::clone);
        Some(Replaces { call_id, to_tag, from_tag, early_only: false })
    }

    /// Returns the dialog named by a Replaces header, if it belongs to `party`.
    pub fn replaced_dialog(&mut self, party: SipPartyId, replaces: &Replaces) -> Option<ReplacedDialog> {
        self.dialogs.replaced(&mut self.shared, party, replaces)
    }

    /// Returns the serializable state of a confirmed and acknowledged dialog, otherwise `None`. Open session changes
    /// are not included: after a restore their responses match no transaction, and retransmitted requests are rejected
    /// for their CSeq. The flow's connection is included; if the other process does not have it, remove it before the
    /// restore.
    pub fn snapshot_dialog(&self, dialog: DialogId) -> Option<DialogSnapshot> {
        self.dialogs.get(dialog)?.snapshot()
    }

    /// Returns whether [`Self::snapshot_dialog`] returns a snapshot: the dialog is confirmed, and neither an ACK nor a
    /// deferred BYE is outstanding.
    pub fn is_settled(&self, dialog: DialogId) -> bool {
        self.dialogs.get(dialog).is_some_and(Dialog::is_settled)
    }

    /// Restores a dialog from a snapshot and returns its new id.
    pub fn restore_dialog(&mut self, snapshot: DialogSnapshot) -> DialogId {
        self.dialogs.insert(&mut self.shared, Dialog::restored(snapshot))
    }

    /// Returns the initial INVITEs of both directions that have no final response. A received one with headers that are
    /// not UTF-8 is omitted.
    pub fn open_invites(&self) -> Vec<OpenInvite> {
        self.servers.open_invites().chain(self.clients.open_invites()).collect()
    }

    /// Ends INVITEs of another process, after its dialogs have been restored: received ones get `answer`, and sent ones
    /// a CANCEL, an ACK to their final response, and a BYE if that is a 2xx. INVITEs that belong to a restored dialog
    /// are omitted: they were answered after they had been written.
    pub fn end_invites(&mut self, now: Instant, mut invites: Vec<OpenInvite>, answer: &ResponseSpec) -> EndedInvites {
        let mut ended = EndedInvites::default();
        let answered: HashSet<&str> = self.dialogs.call_ids().collect();
        invites.retain(|invite| !answered.contains(invite.call_id.as_str()));
        for OpenInvite { flow, local, party, call_id, side } in invites {
            let EndpointParts { mut cx, clients, servers } = self.parts(now);
            let origin = MessageOrigin { flow, local, party };
            match side {
                OpenInviteSide::Received { head, tag } => {
                    let request = SipMessage::parse(Bytes::from(head));
                    let is_refused =
                        request.is_ok_and(|request| servers.refuse_open(&mut cx, origin, request, tag, answer.clone()));
                    ended.refused += usize::from(is_refused);
                }
                OpenInviteSide::Sent(invite) => {
                    let is_withdrawn = clients.withdraw_open(&mut cx, origin, &call_id, invite);
                    ended.withdrawn += usize::from(is_withdrawn);
                }
            }
        }
        ended
    }

    /// Returns the numbers of live transactions and dialogs.
    pub fn counts(&self) -> EndpointCounts {
        EndpointCounts { servers: self.servers.len(), clients: self.clients.len(), dialogs: self.dialogs.len() }
    }

    /// Returns for each flow whether its stream is in use by a dialog or by a request of either side without final
    /// response.
    pub fn are_in_use(&self, flows: &[Flow]) -> Vec<bool> {
        let open = self.servers.open_connections();
        let is_in_use = |flow: &Flow| {
            let is_open = |connection| open.contains(&connection) || self.dialogs.use_connection(connection);
            flow.connection.is_some_and(is_open) || self.clients.is_asked(flow)
        };
        flows.iter().map(is_in_use).collect()
    }

    /// Checks that all indexes agree and that no timer outlives its owner; for debug builds and tests.
    ///
    /// # Errors
    /// Returns a description of the first violated invariant.
    pub fn check_invariants(&self) -> Result<(), String> {
        self.servers.check()?;
        self.clients.check()?;
        self.dialogs.check(self.servers.reserved() + self.clients.reserved())?;
        let timers = self.shared.timers.len();
        if self.counts() == EndpointCounts::default() && timers > 0 {
            return Err(format!("timers: {timers} keys for 0 entries"));
        }
        Ok(())
    }
}
