//! The endpoint: a thin dispatcher. A message in, its transaction and dialog found, an [`Event`](crate::Event) out; our
//! requests and answers the other way.
//!
//! This room decides which part a message, a deadline or a verb belongs to (here), which requests to us are served (`request`),
//! and what becomes of a dialog's requests and of its end, which concern transactions of both sides (`within`). The parts
//! have their own state: `client` (our requests), `server` (requests to us), `dialog`, `digest` (credentials), `shared`
//! (names, deadlines, outputs).

mod request;
mod within;

pub use crate::client::COMPLETED_ELSEWHERE;
pub use crate::dialog::Replaced;
pub use request::DIGEST_URI_DIFFERS;

use std::fmt;
use std::net::IpAddr;
use std::time::Instant;

use ipnet::IpNet;

use crate::client::Clients;
use crate::cx::Cx;
use crate::dialog::{Dialog, DialogSnapshot, Dialogs};
use crate::digest::challenger::Challenger;
use crate::event::{
    Answer, Body, ClientId, Deadline, DialogId, DropReason, Flow, Input, Invite, Local, Notify, Output, OwnHosts,
    Party, Reason, Register, ServerId, Transport,
};
use crate::header::Replaces;
use crate::identity::Identity;
use crate::limits;
use crate::message::{Defect, Message};
use crate::method::Method;
use crate::sanity::{Refusal, Rules};
use crate::server::Servers;
use crate::shared::{Arrival, Shared, Timer};
use trunkgate_terms::{Credentials, DigestHash};

/// The settings of an endpoint.
#[derive(Debug, Clone)]
pub struct EndpointConfig {
    /// The identity that our names are made of.
    pub identity: Identity,
    /// Server and User-Agent.
    pub product: String,
    /// Methods we serve: others known get 405 with Allow, unknown ones 501.
    pub methods: Vec<Method>,
    /// Option tags we know: others in Require get 420 with Unsupported. `100rel` makes provisional answers reliable.
    pub extensions: Vec<String>,
    /// Longest message, in bytes.
    pub message_bytes: usize,
    /// Limits of what is alive at once.
    pub limits: Limits,
}

/// The most of each kind that may be alive at once; the default is [`limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Server transactions.
    pub servers: usize,
    /// Bytes that the server transactions may hold.
    pub server_bytes: usize,
    /// Client transactions. A CANCEL and a BYE of ours go out all the same: each ends something else.
    pub clients: usize,
    /// Dialogs, those that an open INVITE or SUBSCRIBE may still make included.
    pub dialogs: usize,
    /// Dialogs that one INVITE of ours may make by forked answers.
    pub forks: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            servers: limits::SERVER_TRANSACTIONS,
            server_bytes: limits::SERVER_TRANSACTION_BYTES,
            clients: limits::CLIENT_TRANSACTIONS,
            dialogs: limits::DIALOGS,
            forks: limits::FORKED_DIALOGS,
        }
    }
}

/// Counts, for metrics and for tests that nothing is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Server transactions alive.
    pub servers: usize,
    /// Client transactions alive.
    pub clients: usize,
    /// Dialogs alive, early ones too.
    pub dialogs: usize,
}

/// All transactions and dialogs of one signalling loop. `Debug` counts them: messages that wait to be repeated hold keys.
pub struct Endpoint {
    shared: Shared,
    dialogs: Dialogs,
    clients: Clients,
    servers: Servers,
    /// The parties that have to show credentials.
    challenger: Challenger,
    /// Longest message, in bytes.
    message_bytes: usize,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

/// The parts of an endpoint that a change may touch: the context, our requests, and requests to us.
struct Parts<'a> {
    cx: Cx<'a>,
    clients: &'a mut Clients,
    servers: &'a mut Servers,
}

impl Endpoint {
    /// Makes an endpoint whose names come from `seed`.
    pub fn new(config: EndpointConfig, seed: [u8; 32]) -> Endpoint {
        let EndpointConfig { identity, product, methods, extensions, message_bytes, limits } = config;
        let mut shared = Shared::new(identity, Rules::new(methods, extensions), product, seed);
        Endpoint {
            challenger: Challenger::new(shared.tokens.key()),
            dialogs: Dialogs::new(limits.dialogs),
            clients: Clients::new(limits.clients, limits.forks),
            servers: Servers::new(limits.servers, limits.server_bytes),
            message_bytes,
            shared,
        }
    }

    fn parts(&mut self, now: Instant) -> Parts<'_> {
        let cx = Cx { now, shared: &mut self.shared, dialogs: &mut self.dialogs };
        Parts { cx, clients: &mut self.clients, servers: &mut self.servers }
    }

    /// Takes a change from outside; drain [`Self::poll_output`] afterwards.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Received { flow, local, party, message } => {
                let arrival = Arrival { flow, local, party };
                if message.is_request() {
                    self.on_request(now, arrival, message);
                } else {
                    self.on_response(now, arrival, message);
                }
            }
            Input::TransportFailed { flow, party, was_up } => {
                // Dialogs on a lost connection look for another.
                if let Some(connection) = flow.connection {
                    self.dialogs.lose(connection);
                }
                let Parts { mut cx, clients, .. } = self.parts(now);
                clients.on_transport_failed(&mut cx, flow, party, was_up);
            }
            Input::Unreachable { flow, quoted } => {
                let Parts { mut cx, clients, .. } = self.parts(now);
                clients.on_unreachable(&mut cx, flow, &quoted);
            }
        }
    }

    /// Fires what is due; drain afterwards.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.dialogs.shrink();
        self.clients.shrink();
        self.servers.shrink();
        while let Some((owner, reason)) = self.shared.timers.pop_due(now) {
            let Parts { mut cx, clients, servers } = self.parts(now);
            match owner {
                Timer::Client(id) => clients.on_timer(&mut cx, id, reason),
                Timer::Server(id) => servers.on_timer(&mut cx, id, reason),
                Timer::Dialog(id) if reason == Reason::AckWait => self.on_ack_missing(now, id),
                Timer::Dialog(id) => cx.dialogs.repeat_success(cx.shared, now, id),
            }
        }
    }

    /// Returns the next output, or `None` when idle.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.shared.pop_output()
    }

    /// Returns the next deadline and its reason.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        self.shared.timers.next()
    }

    /// Answers a request with a wrong part that never came to [`Input::Received`] (a stream that lost its framing), where
    /// its Via can be read; nothing is kept of it.
    pub fn refuse(&mut self, flow: Flow, party: Party, request: &Message, defect: Defect) {
        if request.method() == Method::Ack || !request.is_request() {
            self.shared.drop_message(DropReason::Unanswerable);
        } else {
            self.shared.refuse_for(flow, party, request, defect.into(), Some(defect));
        }
    }

    /// Refuses a new request with 503 and these headers. Nothing is kept of it (RFC 3261 §8.2.7), so the caller sees to it
    /// that its repetitions come here too.
    pub fn turn_away(&mut self, flow: Flow, party: Party, request: &Message, headers: Vec<(&'static str, String)>) {
        self.shared.refuse_for(flow, party, request, Refusal { headers, ..Refusal::plain(503) }, None);
    }

    /// Sets the addresses that are a party's own. Its Contacts and Record-Routes lead there, or to the address it was heard
    /// from; elsewhere nothing is sent for them.
    pub fn set_reach(&mut self, party: Party, networks: Vec<IpNet>) {
        self.shared.peers.set_reach(party, networks);
    }

    /// Says whether a party may send requests of its own on the TLS connections that we open to it: our certificate has shown
    /// it whose they are (RFC 5923 §4).
    pub fn offer_reuse(&mut self, party: Party, offered: bool) {
        self.shared.peers.offer_reuse(party, offered);
    }

    /// Says whether a party may replace dialogs of its own: only then our messages say that we know how (RFC 3891 §6.2).
    pub fn allow_replaces(&mut self, party: Party, allowed: bool) {
        self.shared.peers.allow_replaces(party, allowed);
    }

    /// Says whether a party's REFER is followed: only then our Allow towards it has REFER. By default it has.
    pub fn allow_refer(&mut self, party: Party, allowed: bool) {
        self.shared.peers.allow_refer(party, allowed);
    }

    /// Says whether a party is a recording server: our Contact towards it has the feature tag `+sip.src` (RFC 7866 §6.1.1).
    pub fn record_by(&mut self, party: Party, is_recorder: bool) {
        self.shared.peers.record_by(party, is_recorder);
    }

    /// Sets the names of ours that a party is shown in the place of an address.
    pub fn show_hosts(&mut self, party: Party, hosts: OwnHosts) {
        self.shared.peers.show_hosts(party, hosts);
    }

    /// Returns a URI that leads to us, in brackets, as a party is shown our address.
    pub fn own_address(&self, party: Party, user: &str, local: Local, transport: Transport) -> String {
        self.shared.peers.own_address(party, user, local, transport, false)
    }

    /// Sets our credentials towards a party: its challenges are answered with them, and those of no other.
    pub fn set_credentials(&mut self, party: Party, credentials: Option<Credentials>) {
        self.clients.set_credentials(party, credentials);
    }

    /// Sets the credentials that a party has to show before its requests are served; `None`: it need not.
    pub fn require_credentials(&mut self, party: Party, credentials: Option<Credentials>) {
        self.challenger.set(party, credentials);
    }

    /// Sets the algorithms that a party is challenged with, in order, once [`Endpoint::require_credentials`] has said that it
    /// is. The default is SHA-256 and MD5.
    pub fn challenge_with(&mut self, party: Party, hashes: &[DigestHash]) {
        self.challenger.offer(party, hashes);
    }

    /// Says whether the `uri` of a party's credentials must be the Request-URI (RFC 7616 §3.4.6), once
    /// [`Endpoint::require_credentials`] has said that it is challenged. By default it must.
    pub fn compare_digest_uri(&mut self, party: Party, is_compared: bool) {
        self.challenger.compare_uri(party, is_compared);
    }

    /// Sends an INVITE that begins a dialog. With full tables it ends at once with
    /// [`Event::TransportFailed`](crate::Event::TransportFailed).
    pub fn invite(&mut self, now: Instant, invite: Invite) -> ClientId {
        let Parts { mut cx, clients, .. } = self.parts(now);
        clients.invite(&mut cx, invite)
    }

    /// Sends OPTIONS outside of any dialog. With a full table it ends at once with
    /// [`Event::TransportFailed`](crate::Event::TransportFailed).
    pub fn options(&mut self, now: Instant, flow: Flow, local: Local, party: Party, uri: &str) -> ClientId {
        let Parts { mut cx, clients, .. } = self.parts(now);
        clients.options(&mut cx, (flow, local, party), uri)
    }

    /// Sends a NOTIFY that no SUBSCRIBE has asked for. With a full table it ends at once with
    /// [`Event::TransportFailed`](crate::Event::TransportFailed).
    pub fn notify(&mut self, now: Instant, notify: Notify) -> ClientId {
        let Parts { mut cx, clients, .. } = self.parts(now);
        clients.notify(&mut cx, &notify)
    }

    /// Sends a REGISTER: a binding of an address of record to our Contact, refreshed or taken back (RFC 3261 §10.2). With a
    /// full table it ends at once with [`Event::TransportFailed`](crate::Event::TransportFailed).
    pub fn register(&mut self, now: Instant, register: Register) -> ClientId {
        let Parts { mut cx, clients, .. } = self.parts(now);
        clients.register(&mut cx, register)
    }

    /// Withdraws an INVITE (RFC 3261 §9.1): CANCEL goes out once a provisional has come. A 2xx that crosses it still comes
    /// as [`Event::Response`](crate::Event::Response) (answer it with ack and BYE).
    pub fn cancel(&mut self, now: Instant, id: ClientId) {
        let Parts { mut cx, clients, .. } = self.parts(now);
        clients.cancel(&mut cx, id);
    }

    /// Notes that an INVITE of ours is withdrawn, or will be, because the call was answered elsewhere: a phone that reads this
    /// in the CANCEL lists no missed call (RFC 3326 §3.1).
    pub fn answered_elsewhere(&mut self, id: ClientId) {
        self.clients.answered_elsewhere(id);
    }

    /// Stops retransmitting an INVITE that has had no answer, without forgetting it: until Timer B a late provisional
    /// is answered by CANCEL and a late 2xx by ACK and BYE, all by the endpoint itself; the layer above hears no more of it.
    /// After a provisional it is [`Self::cancel`] with the same silence.
    pub fn abandon(&mut self, now: Instant, id: ClientId) {
        let Parts { mut cx, clients, .. } = self.parts(now);
        for dialog in clients.abandon(&mut cx, id) {
            self.hang_up(now, id, dialog);
        }
    }

    /// Acknowledges a 2xx (RFC 3261 §13.2.2.4); the endpoint keeps the ACK and repeats it for repeated 2xx.
    pub fn ack(&mut self, now: Instant, dialog: DialogId, body: Option<Body>) {
        let Parts { mut cx, clients, .. } = self.parts(now);
        clients.send_ack(&mut cx, dialog, body.as_ref());
    }

    /// Acknowledges the provisional answer that brought the offer which an INVITE of ours without one has asked for, with our
    /// answer to it (RFC 3262 §5). Reports whether there was one.
    pub fn answer_early(&mut self, now: Instant, dialog: DialogId, body: Body) -> bool {
        let due = self.dialogs.get_mut(dialog).and_then(Dialog::take_prack_due);
        let Parts { mut cx, clients, .. } = self.parts(now);
        due.is_some_and(|due| clients.prack(&mut cx, dialog, due, Some(&body)))
    }

    /// Forgets a request that is no INVITE and in no dialog: it is repeated no more, and its answer is a stray one.
    pub fn forget(&mut self, id: ClientId) {
        self.clients.forget(&mut self.shared, &mut self.dialogs, id);
    }

    /// Answers a request. A 2xx to a SUBSCRIBE outside of any dialog makes a confirmed one, which lives until [`Self::forget_dialog`] or a
    /// BYE. For an INVITE: provisionals above 100 carry our tag and make an early dialog, a 2xx a
    /// confirmed one (retransmitted until its ACK); the dialog is returned. `None` too where the transaction is gone.
    /// A reliable provisional answer, and a 2xx behind one with a session description, may have to wait for a PRACK: they are
    /// kept, and go out by themselves (RFC 3262 §3).
    pub fn respond(&mut self, now: Instant, id: ServerId, answer: Answer) -> Option<DialogId> {
        let Parts { mut cx, servers, .. } = self.parts(now);
        servers.respond(&mut cx, id, answer)
    }

    /// Reports whether provisional answers to an INVITE may be reliable: its sender can acknowledge them.
    pub fn may_be_reliable(&self, id: ServerId) -> bool {
        self.servers.may_be_reliable(&self.shared, id)
    }

    /// Reports whether the 2xx to an INVITE waits for a PRACK (RFC 3262 §3): given to [`Self::respond`], and not sent yet.
    pub fn holds_back(&self, id: ServerId) -> bool {
        self.servers.holds_back(id)
    }

    /// Reports whether a provisional answer to an INVITE waits for its PRACK.
    pub fn awaits_prack(&self, id: ServerId) -> bool {
        self.servers.awaits_prack(id)
    }

    /// Forgets the dialog of a subscription that is over (RFC 6665 §4.1.3): what comes in it from now on gets 481.
    pub fn forget_dialog(&mut self, dialog: DialogId) {
        self.dialogs.forget(&mut self.shared, dialog);
    }

    /// Returns the dialog of a request of the far end, while its transaction lives.
    pub fn dialog_of(&self, id: ServerId) -> Option<DialogId> {
        self.servers.dialog_of(id)
    }

    /// Reports whether a request of a party has its transaction here: then it has come before.
    pub fn has_begun(&mut self, party: Party, request: &Message) -> bool {
        self.servers.find(&mut self.shared, party, request.method(), request).is_some()
    }

    /// Returns the party whose request of ours a response from an address answers. Several parties may share an address, and the
    /// branch says which one was asked.
    pub fn asked(&mut self, response: &Message, source: IpAddr) -> Option<Party> {
        self.clients.asked(&mut self.shared, response, source)
    }

    /// Returns the way that a request of ours went, while its transaction lives.
    pub fn client_flow(&self, id: ClientId) -> Option<Flow> {
        self.clients.flow(id)
    }

    /// Returns the Call-ID of a request of ours, while its transaction lives.
    pub fn call_id(&self, id: ClientId) -> Option<&str> {
        self.clients.call_id(id)
    }

    /// Returns the way to a dialog's far end.
    pub fn dialog_flow(&self, dialog: DialogId) -> Option<Flow> {
        self.dialogs.get(dialog).map(|dialog| dialog.plain().flow)
    }

    /// Returns the INVITE of ours that a dialog is open by: an early one, or one with a re-INVITE.
    pub fn invite_of(&self, dialog: DialogId) -> Option<ClientId> {
        self.dialogs.get(dialog)?.invite_out()
    }

    /// Returns the CSeq of the last request sent in a dialog (RFC 3261 §12.2.1.1).
    pub fn last_cseq(&self, dialog: DialogId) -> Option<u32> {
        self.dialogs.get(dialog).map(|dialog| dialog.plain().local_cseq)
    }

    /// Returns a dialog as a Replaces header to its far end names it.
    pub fn dialog_names(&self, dialog: DialogId) -> Option<Replaces> {
        let plain = self.dialogs.get(dialog)?.plain();
        let [call_id, to_tag, from_tag] = [&plain.call_id, &plain.remote_tag, &plain.local_tag].map(String::clone);
        Some(Replaces { call_id, to_tag, from_tag, early_only: false })
    }

    /// Returns the dialog that a Replaces header of a party names: one of its own, no other is found.
    pub fn replaced_dialog(&mut self, party: Party, replaces: &Replaces) -> Option<Replaced> {
        self.dialogs.replaced(&mut self.shared, party, replaces)
    }

    /// Returns a confirmed and acknowledged dialog in plain data. A change that is under way in it is left out: its requests
    /// and answers are stray ones afterwards, and a repetition is refused for its number. So is its connection: no other
    /// process has that.
    pub fn snapshot_dialog(&self, dialog: DialogId) -> Option<DialogSnapshot> {
        self.dialogs.get(dialog)?.snapshot()
    }

    /// Takes a dialog back from a snapshot.
    pub fn restore_dialog(&mut self, snapshot: DialogSnapshot) -> DialogId {
        self.dialogs.insert(&mut self.shared, Dialog::restored(snapshot))
    }

    /// Returns the numbers of what is alive.
    pub fn counts(&self) -> Counts {
        Counts { servers: self.servers.len(), clients: self.clients.len(), dialogs: self.dialogs.len() }
    }

    /// Reports whether the stream of each flow is needed: by a dialog, or by a request, of either side, that has no final
    /// answer yet.
    pub fn are_in_use(&self, flows: &[Flow]) -> Vec<bool> {
        let open = self.servers.open_connections();
        let is_in_use = |flow: &Flow| {
            let is_open = |connection| open.contains(&connection) || self.dialogs.use_connection(connection);
            flow.connection.is_some_and(is_open) || self.clients.is_asked(flow)
        };
        flows.iter().map(is_in_use).collect()
    }

    /// Checks, in debug builds and tests, that no index points nowhere and no deadline is left of what has ended.
    ///
    /// # Errors
    /// The first invariant that does not hold, in words.
    pub fn check_invariants(&self) -> Result<(), String> {
        self.servers.check()?;
        self.clients.check()?;
        self.dialogs.check(self.servers.reserved() + self.clients.reserved())?;
        let timers = self.shared.timers.len();
        if self.counts() == Counts::default() && timers > 0 {
            return Err(format!("timers: {timers} keys for 0 entries"));
        }
        Ok(())
    }
}
