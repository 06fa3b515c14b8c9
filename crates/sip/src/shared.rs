//! State shared by all parts of an endpoint: identifiers, timers, settings of each party, and queued outputs.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use bytes::Bytes;
use ipnet::IpNet;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::compose::{self, OwnUris};
use crate::event::{
    ClientId, DialogId, DropReason, EndpointEvent, EndpointOutput, Flow, LocalAddress, OwnHosts, SentMessage, ServerId,
    SipPartyId, SipTransmit, Transport,
};
use crate::identity::{ProcessIdentity, TokenSource};
use crate::message::{MessageDefect, SipMessage};
use crate::method::Method;
use crate::reply::reply_flow;
use crate::sanity::{PartyFeatures, RequestRejection, RequestRules};
use crate::timer::TimerQueue;
use crate::transaction::key;
use crate::write::{MessageWriter, reason_phrase};

/// Transaction that owns a timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimerOwner {
    /// Timer of a client transaction.
    Client(ClientId),
    /// Timer of a server transaction.
    Server(ServerId),
    /// Timer of a dialog, which awaits an ACK.
    Dialog(DialogId),
}

/// Origin of a received message: flow, local address towards the source, and party.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MessageOrigin {
    pub(crate) flow: Flow,
    pub(crate) local: LocalAddress,
    pub(crate) party: SipPartyId,
}

/// Settings of the parties that are known to the endpoint.
#[derive(Debug, Default)]
pub(crate) struct PartySettings {
    /// Networks of each party, in addition to the address it is heard from.
    reach: FxHashMap<SipPartyId, Vec<IpNet>>,
    /// Parties that may send their requests over our connections.
    reusing: FxHashSet<SipPartyId>,
    /// Parties that may replace their dialogs (RFC 3891).
    replacing: FxHashSet<SipPartyId>,
    /// Parties that may not send REFER, which Allow then omits.
    not_referring: FxHashSet<SipPartyId>,
    /// Recording servers; our Contact towards them marks us as the source of recording sessions (RFC 7866 §6.1.1).
    recording: FxHashSet<SipPartyId>,
    /// Host names shown to parties instead of our address.
    hosts: FxHashMap<SipPartyId, OwnHosts>,
}

impl PartySettings {
    /// Sets the networks of a party.
    pub(crate) fn set_reach(&mut self, party: SipPartyId, networks: Vec<IpNet>) {
        self.reach.insert(party, networks);
    }

    /// Returns the networks of a party; empty if unknown.
    pub(crate) fn reach(&self, party: SipPartyId) -> &[IpNet] {
        self.known_reach(party).unwrap_or_default()
    }

    /// Returns the networks of a party, or `None` if unknown.
    pub(crate) fn known_reach(&self, party: SipPartyId) -> Option<&[IpNet]> {
        self.reach.get(&party).map(Vec::as_slice)
    }

    /// Sets whether a party may send its own requests over our connections to it.
    pub(crate) fn offer_reuse(&mut self, party: SipPartyId, offered: bool) {
        set(&mut self.reusing, party, offered);
    }

    /// Returns whether a party may send its own requests over our connections to it.
    pub(crate) fn offers_reuse(&self, party: SipPartyId) -> bool {
        self.reusing.contains(&party)
    }

    /// Sets whether a party may replace its dialogs.
    pub(crate) fn allow_replaces(&mut self, party: SipPartyId, allowed: bool) {
        set(&mut self.replacing, party, allowed);
    }

    /// Returns whether a party may replace its dialogs.
    pub(crate) fn may_replace(&self, party: SipPartyId) -> bool {
        self.replacing.contains(&party)
    }

    /// Sets whether REFER from a party is accepted.
    pub(crate) fn allow_refer(&mut self, party: SipPartyId, allowed: bool) {
        set(&mut self.not_referring, party, !allowed);
    }

    /// Returns the optional features granted to a party.
    pub(crate) fn abilities(&self, party: SipPartyId) -> PartyFeatures {
        PartyFeatures { replaces: self.may_replace(party), refers: !self.not_referring.contains(&party) }
    }

    /// Sets whether a party is a recording server.
    pub(crate) fn set_recorder(&mut self, party: SipPartyId, is_recorder: bool) {
        set(&mut self.recording, party, is_recorder);
    }

    /// Sets the host names shown to a party instead of our address; default names remove them.
    pub(crate) fn show_hosts(&mut self, party: SipPartyId, hosts: OwnHosts) {
        if hosts == OwnHosts::default() {
            self.hosts.remove(&party);
        } else {
            self.hosts.insert(party, hosts);
        }
    }

    /// Returns our URI as shown to a party, with a user part unless `user` is empty.
    pub(crate) fn own_address(
        &self,
        party: SipPartyId,
        user: &str,
        local: LocalAddress,
        transport: Transport,
        secure: bool,
    ) -> String {
        let host = self.hosts.get(&party).and_then(|hosts| hosts.contact.as_deref());
        compose::contact(user, host, local, transport, secure)
    }

    /// Returns our Contact towards a party, with its header parameters.
    pub(crate) fn contact(
        &self,
        party: SipPartyId,
        user: &str,
        local: LocalAddress,
        transport: Transport,
        secure: bool,
    ) -> String {
        let contact = self.own_address(party, user, local, transport, secure);
        if self.recording.contains(&party) { contact + ";+sip.src" } else { contact }
    }

    /// Returns our URIs in a request without caller to `uri`, such as OPTIONS, as shown to a party.
    pub(crate) fn own_uris(&self, party: SipPartyId, local: LocalAddress, transport: Transport, uri: &str) -> OwnUris {
        let none = OwnHosts::default();
        OwnUris::new(self.hosts.get(&party).unwrap_or(&none), local, transport, uri)
    }
}

fn set(parties: &mut FxHashSet<SipPartyId>, party: SipPartyId, is_in: bool) {
    if is_in {
        parties.insert(party);
    } else {
        parties.remove(&party);
    }
}

/// State common to all tables of an endpoint.
pub(crate) struct EndpointShared {
    /// Rules for the validation of requests.
    pub(crate) rules: RequestRules,
    /// Generator of Call-IDs, tags and branches.
    pub(crate) tokens: TokenSource,
    /// Timers of all transactions and dialogs.
    pub(crate) timers: TimerQueue<TimerOwner>,
    /// Settings of the known parties.
    pub(crate) peers: PartySettings,
    /// Buffer in which keys are composed for a lookup.
    pub(crate) scratch: Vec<u8>,
    product: String,
    /// Secret mixed into the tags of stateless responses and the hashes of ended dialogs.
    secret: u64,
    last_id: u64,
    out: VecDeque<EndpointOutput>,
}

impl EndpointShared {
    /// Creates the shared state of an endpoint that derives its identifiers from `seed`.
    pub(crate) fn new(
        identity: ProcessIdentity,
        rules: RequestRules,
        product: String,
        seed: [u8; 32],
    ) -> EndpointShared {
        let mut hasher = DefaultHasher::new();
        seed.hash(&mut hasher);
        EndpointShared {
            rules,
            tokens: TokenSource::new(identity, seed),
            timers: TimerQueue::new(),
            peers: PartySettings::default(),
            scratch: Vec::new(),
            product,
            secret: hasher.finish(),
            last_id: 0,
            out: VecDeque::new(),
        }
    }

    /// Returns a unique id.
    pub(crate) fn fresh_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Returns the product name for Server and User-Agent.
    pub(crate) fn product(&self) -> &str {
        &self.product
    }

    /// Writes the Server header, if configured.
    pub(crate) fn write_product(&self, writer: &mut MessageWriter) {
        if !self.product.is_empty() {
            writer.header("Server", &self.product);
        }
    }

    /// Queues an event for the layer above.
    pub(crate) fn queue_event(&mut self, event: EndpointEvent) {
        self.out.push_back(EndpointOutput::Event(event));
    }

    /// Queues an event about a message that was dropped for this reason.
    pub(crate) fn drop_message(&mut self, reason: DropReason) {
        self.queue_event(EndpointEvent::Dropped(reason));
    }

    /// Queues a message to send.
    pub(crate) fn transmit(&mut self, flow: Flow, bytes: Bytes, what: SentMessage) {
        self.out.push_back(EndpointOutput::Transmit(SipTransmit { flow, bytes, what }));
    }

    /// Removes and returns the next output.
    pub(crate) fn pop_output(&mut self) -> Option<EndpointOutput> {
        self.out.pop_front()
    }

    /// Returns the number of queued outputs.
    pub(crate) fn outputs(&self) -> usize {
        self.out.len()
    }

    /// Exchanges the ACK queued at `first` with the response's event queued behind it, so that a trace shows the order
    /// on the wire.
    pub(crate) fn put_event_first(&mut self, first: usize) {
        if let (Some(EndpointOutput::Transmit(_)), Some(EndpointOutput::Event(_))) =
            (self.out.get(first), self.out.get(first + 1))
        {
            self.out.swap(first, first + 1);
        }
    }

    /// Returns the To tag of a stateless response, equal for retransmissions of the same request (RFC 3261 §8.2.7).
    pub(crate) fn stateless_tag(&self, request: &SipMessage) -> String {
        let mut hasher = DefaultHasher::new();
        self.secret.hash(&mut hasher);
        request.call_id().hash(&mut hasher);
        key::from_tag(request).hash(&mut hasher);
        request.cseq().map(|cseq| cseq.number).hash(&mut hasher);
        request.via().and_then(|via| via.branch).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }

    /// Returns a keyed hash of a party's dialog; the dialog's key is in the scratch buffer.
    pub(crate) fn name_of_dialog(&self, party: SipPartyId) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.secret, party.0, self.scratch.as_slice()).hash(&mut hasher);
        hasher.finish()
    }

    /// Responds without a transaction. A retransmitted request gets the same response with the same To tag.
    pub(crate) fn refuse(&mut self, arrival: &MessageOrigin, request: &SipMessage, refusal: RequestRejection) {
        self.refuse_for(arrival.flow, arrival.party, request, refusal, None);
    }

    /// Rejects a request because a table is full: 503 with Retry-After (RFC 3261 §21.5.4).
    pub(crate) fn refuse_full(&mut self, arrival: &MessageOrigin, request: &SipMessage) {
        let seconds = 1 + self.tokens.below(10);
        self.refuse(arrival, request, RequestRejection::with_header(503, "Retry-After", seconds.to_string()));
    }

    /// Responds without a transaction, and reports the defect that caused the rejection, if any.
    pub(crate) fn refuse_for(
        &mut self,
        source: Flow,
        party: SipPartyId,
        request: &SipMessage,
        refusal: RequestRejection,
        defect: Option<MessageDefect>,
    ) {
        if request.method() == Method::Ack {
            return self.drop_message(DropReason::StrayAck);
        }
        if request.via().is_none() {
            return self.drop_message(DropReason::Unanswerable);
        }
        let RequestRejection { code, what, headers } = refusal;
        let reason = if what.is_empty() { String::new() } else { format!("{}: {what}", reason_phrase(code)) };
        let tag = self.stateless_tag(request);
        let mut writer = compose::begin_response(request, source, code, &reason, &tag, false);
        for (name, value) in &headers {
            writer.header(name, value);
        }
        // A challenge is kept short: a request with a forged source may direct it to an uninvolved host.
        if code != 401 {
            self.write_product(&mut writer);
        }
        let method = request.method();
        let sent =
            SentMessage { method, code: Some(code), party, again: false, client: None, server: None, dialog: None };
        self.transmit(reply_flow(request, source), writer.finish(None), sent);
        // A challenge is not a rejection; the repeated request decides.
        if code >= 300 && code != 401 {
            self.queue_event(EndpointEvent::Refused { party, method, code, defect });
        }
    }
}
