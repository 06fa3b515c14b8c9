//! Base of all parts of an edge: settings in force, the SIP endpoint with its look-ups, clock, random generator,
//! metrics, and pending work of the current input. Imports no other part of the edge.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use jiff::Timestamp;
use rand::RngExt as _;
use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};
use trunkgate_media::{MediaCommand, MediaId};
use trunkgate_route::acl::translated;
use trunkgate_route::{CallInfo, CallTarget, Destination, RoutePlan, RoutingTable, TargetSpec};
use trunkgate_sip::{
    ClientId, ConnectionId, DialogId, EndedInvites, EndpointConfig, ExtraHeader, Flow, InviteRequest, MessageBody,
    Method, OpenInvite, ProcessIdentity, ResponseSpec, ServerId, SipEndpoint, SipMessage, SipPartyId, SipTransmit,
    Transport,
};
use trunkgate_story::captured::{CaptureRecord, CapturedItem};
use trunkgate_story::change::EdgeEvent;
use trunkgate_story::numbers::mask;
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::wall::{ClockStep, WallClock};
use trunkgate_story::{redact, unsent};

use crate::applications::question::AppCallback;
use crate::config::GatewayConfig;
use crate::io::{GatewayOutput, LogLine, QueryId, StreamFailure};
use crate::lookups::addressing::{Addressing, is_no_host};
use crate::lookups::deadlines::CallDeadlines;
use crate::lookups::index::{CallIndex, ClientEntry, LegRef, RequestPurpose};
use crate::lookups::key::CallKey;
use crate::lookups::sip::{TIMER, extra};
use crate::metrics::Metrics;
use crate::random::{Random, pick};
use crate::traces::traced::ReceivedMessage;
use crate::trunks::health::TrunkAddress;

/// Supported methods; Allow lists them without REGISTER and SUBSCRIBE.
pub const METHODS: [Method; 13] = [
    Method::Invite,
    Method::Ack,
    Method::Bye,
    Method::Cancel,
    Method::Options,
    Method::Prack,
    Method::Update,
    Method::Info,
    Method::Refer,
    Method::Notify,
    Method::Message,
    Method::Register,
    Method::Subscribe,
];

/// Returns the response to a method that is not served here: 405 with Allow (RFC 3261 §21.4.6).
pub fn not_served(method: Method) -> ResponseSpec {
    let is_for_some = |served: Method| served == method || matches!(served, Method::Register | Method::Subscribe);
    let served = METHODS.iter().filter(|served| !is_for_some(**served));
    let allow = served.map(|method| method.as_str()).collect::<Vec<_>>().join(", ");
    ResponseSpec { code: 405, headers: vec![extra("Allow", allow)], ..ResponseSpec::default() }
}

/// Supported option tags (Supported header).
const EXTENSIONS: [&str; 2] = ["100rel", TIMER];

/// Initial INVITE without a final response in plain data, for another process. It contains the name of
/// its trunk, because party ids differ between processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptInvite {
    trunk: String,
    invite: OpenInvite,
}

/// State of the input that is being handled: outputs and clean-up that must be finished before the next input.
#[derive(Debug, Default)]
pub struct PendingWork {
    /// Outputs of the endpoint that are not handled yet.
    pub pending: VecDeque<trunkgate_sip::EndpointOutput>,
    /// Outputs of the gateway that the caller has not taken yet.
    pub outputs: VecDeque<GatewayOutput>,
    /// Client transactions with a final response: forgotten at the end of the turn, after the last message is traced.
    pub finished: Vec<ClientId>,
    /// INVITEs rejected in this turn: forgotten at the end of the turn, after the last message is traced.
    pub refused: Vec<ServerId>,
    /// Re-INVITEs that were to move a leg to another call, but whose call has ended: waiting call, re-INVITE, and
    /// reason of the end.
    pub unjoined: Vec<(CallKey, ClientId, ReasonSlug)>,
    /// Cause of the connection failure that is being handled.
    pub cause: Option<StreamFailure>,
    /// The message that is being handled.
    pub arriving: Option<ReceivedMessage>,
    /// The 100 response to an INVITE that has no call yet.
    pub trying: Option<(ServerId, Flow, Bytes)>,
}

/// Base of all parts of an edge. Calls use the endpoint only through this type, so that every transaction and dialog
/// is entered in the look-ups.
#[derive(Debug)]
pub struct EdgeBase {
    /// Settings fixed at the start of the edge.
    pub(super) config: GatewayConfig,
    /// Trunks, agents and routes in force.
    pub(super) table: Arc<RoutingTable>,
    /// Addresses shown to remote parties.
    pub(super) addressing: Addressing,
    /// The SIP endpoint.
    pub(super) endpoint: SipEndpoint,
    /// Look-ups of calls and legs.
    pub(super) index: CallIndex,
    /// Timers of calls.
    pub(super) deadlines: CallDeadlines,
    pub(super) parties: PartyTable,
    /// Pending work of the current input.
    pub(super) turn: PendingWork,
    /// Wall clock, which converts instants to dates.
    pub(super) wall: WallClock,
    /// Random generator.
    pub(super) random: Random,
    /// Metrics.
    pub(super) metrics: Metrics,
    /// During a restore after an upgrade: connections of the previous process that this process has taken over.
    kept_connections: FxHashSet<ConnectionId>,
}

/// Returns the identity that marks identifiers of this edge. A random part keeps edges apart that have the same name
/// and start at the same time: otherwise they would take each other's calls for loops.
fn identity(name: &str, start_ms: u64, random: u32) -> ProcessIdentity {
    // Truncation is intended: the value is an id, not a time.
    ProcessIdentity { edge: fnv1a(name.as_bytes()), generation: (start_ms as u32) ^ random, shard: 0 }
}

impl EdgeBase {
    /// Returns the base of an edge without calls.
    pub(super) fn new(config: GatewayConfig, table: Arc<RoutingTable>, addressing: Addressing) -> EdgeBase {
        let mut random = Random::new(config.seed);
        let identity = identity(&config.name, trunkgate_story::wall::unix_ms(config.epoch.1), random.rng.random());
        let endpoint = EndpointConfig {
            identity,
            product: "Trunkgate".into(),
            methods: METHODS.to_vec(),
            extensions: EXTENSIONS.map(str::to_owned).to_vec(),
            message_bytes: config.sip_message_bytes,
            limits: trunkgate_sip::EndpointLimits::default(),
        };
        let endpoint = SipEndpoint::new(endpoint, random.rng.random());
        EdgeBase {
            endpoint,
            index: CallIndex::default(),
            deadlines: CallDeadlines::default(),
            parties: PartyTable::new(),
            turn: PendingWork::default(),
            wall: WallClock::new(config.epoch),
            metrics: Metrics::new(),
            config,
            table,
            addressing,
            random,
            kept_connections: FxHashSet::default(),
        }
    }

    /// Sets the connections of the previous process that this process has taken over.
    pub fn keep_connections(&mut self, connections: impl IntoIterator<Item = ConnectionId>) {
        self.kept_connections = connections.into_iter().collect();
    }

    /// Returns the initial INVITEs of both directions without a final response, for the next process.
    pub fn kept_invites(&self) -> Vec<KeptInvite> {
        let invites = self.endpoint.open_invites().into_iter();
        invites.map(|invite| KeptInvite { trunk: self.party_name(invite.party()).to_string(), invite }).collect()
    }

    /// Ends INVITEs of the previous process, whose calls are lost: callers get `answer`, ringing phones a CANCEL.
    pub fn end_kept_invites(&mut self, now: Instant, kept: Vec<KeptInvite>, answer: &ResponseSpec) -> EndedInvites {
        let restored = |KeptInvite { trunk, invite }: KeptInvite| {
            // Party ids differ between processes.
            let flow = self.kept_flow(invite.flow());
            invite.restored(self.party(&trunk), flow)
        };
        let invites = kept.into_iter().map(restored).collect();
        self.endpoint.end_invites(now, invites, answer)
    }

    /// Returns a flow of the previous process. Its connection is removed unless this process has taken it over.
    pub fn kept_flow(&self, flow: Flow) -> Flow {
        Flow { connection: flow.connection.filter(|id| self.kept_connections.contains(id)), ..flow }
    }

    /// Reports a failed flow to the endpoint. `party` is its owner, if other parties have their own flows to the
    /// address.
    pub fn transport_failed(&mut self, now: Instant, flow: Flow, party: Option<SipPartyId>, was_up: bool) {
        self.endpoint.handle_input(now, trunkgate_sip::EndpointInput::TransportFailed { flow, party, was_up });
    }

    /// Adds an output of the current turn.
    pub fn output(&mut self, output: GatewayOutput) {
        self.turn.outputs.push_back(output);
    }

    /// Collects the outputs of the endpoint.
    pub fn pump(&mut self) {
        while let Some(output) = self.endpoint.poll_output() {
            self.turn.pending.push_back(output);
        }
    }

    /// Responds to a request. Returns the dialog if the response creates one.
    pub fn respond(&mut self, now: Instant, id: ServerId, answer: ResponseSpec) -> Option<DialogId> {
        let dialog = self.endpoint.respond(now, id, answer);
        self.pump();
        dialog
    }

    /// Returns the stable party number of a trunk.
    pub fn party(&mut self, name: &str) -> SipPartyId {
        self.parties.intern(name)
    }

    /// Returns the trunk name of a party; an empty name if the party stands for SIP URIs that belong to no trunk.
    pub fn party_name(&self, party: SipPartyId) -> Arc<str> {
        self.parties.name(party)
    }

    /// Writes a log line. `call` is the SID of the call; empty for none.
    pub fn log(&mut self, call: &str, text: String, reason: Option<ReasonSlug>) {
        self.output(GatewayOutput::Log(log_line(call, false, text, reason)));
    }

    /// Writes a log line that asks an operator to act. `call` is the SID of the call; empty for none.
    pub fn warn(&mut self, call: &str, text: String, reason: Option<ReasonSlug>) {
        self.output(GatewayOutput::Log(log_line(call, true, text, reason)));
    }

    /// Returns a number in the form permitted in log lines, masked by default.
    pub fn shown(&self, number: &str) -> String {
        if self.config.full_numbers { number.to_owned() } else { mask(number) }
    }

    /// Returns the name of a target for log lines: numbers masked, URIs without password.
    pub fn shown_name(&self, name: &str) -> String {
        name_with(&redact::sip_uri(name), |number| self.shown(number))
    }

    /// Returns the date of an instant as a timestamp.
    pub fn timestamp(&self, now: Instant) -> Timestamp {
        Timestamp::try_from(self.date(now)).unwrap_or_default()
    }

    /// Returns the date of an instant.
    pub fn date(&self, now: Instant) -> SystemTime {
        self.wall.at(now)
    }

    /// Starts a DNS query that is not entered in the look-ups: the caller keeps the id.
    pub fn question(&mut self, destination: Destination) -> QueryId {
        let query = self.index.query();
        self.output(GatewayOutput::Resolve { query, destination });
        query
    }

    /// Sends a command to a session's media worker.
    pub fn media(&mut self, id: MediaId, command: MediaCommand) {
        self.output(GatewayOutput::Media { id, command });
    }

    /// Sends an item to the capture agent.
    pub fn capture(&mut self, now: Instant, call: String, what: CapturedItem) {
        let at = self.date(now);
        self.output(GatewayOutput::Captured(Box::new(CaptureRecord { call, at, what })));
    }

    /// Publishes an event for clients that watch the edge (`GET /v1/events`).
    pub fn changed(&mut self, change: EdgeEvent) {
        self.output(GatewayOutput::Changed(Box::new(change)));
    }

    /// Returns the reason why a request (`what`) could not be sent to an address, for traces and logs.
    pub fn why_unsent(&self, what: &str, transport: Transport, address: SocketAddr) -> String {
        why_unsent(self.turn.cause.as_ref(), what, transport, address)
    }

    /// Returns the reason why a request (`what`) to an address has no response; `sent` is false if it could not be
    /// sent.
    pub fn why_unanswered(&self, what: &str, spot: &TrunkAddress, sent: bool) -> String {
        if sent { format!("no answer to {what}") } else { self.why_unsent(what, spot.transport, spot.address) }
    }

    /// Returns the leg of a dialog; an early dialog belongs to the leg of its outbound INVITE. `None` if no call has
    /// it.
    pub fn place_of(&self, dialog: DialogId) -> Option<LegRef> {
        let entered = self.index.dialogs.get(&dialog).copied();
        entered.or_else(|| self.index.clients.get(&self.endpoint.invite_of(dialog)?).map(|client| client.at))
    }

    /// Returns the leg of the INVITE that a CANCEL of the endpoint cancels; `None` if the message is no CANCEL or no
    /// leg has its Call-ID.
    pub fn place_of_cancel(&self, transmit: &SipTransmit) -> Option<LegRef> {
        let what = &transmit.what;
        let is_cancel = what.method == Method::Cancel && what.code.is_none();
        let message = is_cancel.then(|| SipMessage::parse(transmit.bytes.clone()).ok()).flatten()?;
        Some(self.index.named(message.call_id()?)?.at)
    }

    /// Sends the ACK, without SDP, for the 2xx that established a dialog.
    pub fn ack(&mut self, now: Instant, dialog: DialogId) {
        self.endpoint.ack(now, dialog, None);
        self.pump();
    }

    /// Cancels an INVITE that has a provisional response.
    pub fn cancel(&mut self, now: Instant, id: ClientId) {
        self.endpoint.cancel(now, id);
        self.pump();
    }

    /// Marks an INVITE as answered elsewhere: a CANCEL sent for it gets that Reason.
    pub fn answered_elsewhere(&mut self, id: ClientId) {
        self.endpoint.answered_elsewhere(id);
    }

    /// Gives up an INVITE to which no response has arrived.
    pub fn abandon(&mut self, now: Instant, id: ClientId) {
        self.endpoint.abandon(now, id);
        self.pump();
    }

    /// Sends the INVITE of an attempt and enters it in the look-ups.
    pub fn invite(&mut self, now: Instant, at: LegRef, invite: InviteRequest) -> ClientId {
        let id = self.endpoint.invite(now, invite);
        self.index.clients.insert(id, ClientEntry { at, purpose: RequestPurpose::Invite, sent: Some(now) });
        self.pump();
        id
    }

    /// Sends a BYE, re-INVITE, UPDATE, INFO, MESSAGE, REFER, NOTIFY or OPTIONS within a dialog, and enters it in the
    /// look-ups. `None` if the endpoint did not send it.
    pub fn request(
        &mut self,
        now: Instant,
        at: LegRef,
        dialog: DialogId,
        purpose: RequestPurpose,
        headers: Vec<ExtraHeader>,
        body: Option<MessageBody>,
    ) -> Option<ClientId> {
        let method = match purpose {
            RequestPurpose::Invite | RequestPurpose::Reinvite | RequestPurpose::Join | RequestPurpose::Refresh => {
                Method::Invite
            }
            RequestPurpose::Update | RequestPurpose::RefreshByUpdate => Method::Update,
            RequestPurpose::HoldCheck => Method::Options,
            RequestPurpose::Info => Method::Info,
            RequestPurpose::Message => Method::Message,
            RequestPurpose::Refer => Method::Refer,
            RequestPurpose::News | RequestPurpose::Notify => Method::Notify,
            RequestPurpose::Bye => Method::Bye,
        };
        let id = self.endpoint.request(now, dialog, method, headers, body);
        if let Some(id) = id {
            self.index.clients.insert(id, ClientEntry { at, purpose, sent: Some(now) });
        }
        self.pump();
        id
    }

    /// Starts a DNS query for a call.
    pub fn resolve(&mut self, key: CallKey, destination: Destination) -> QueryId {
        let query = self.question(destination);
        self.index.queries.insert(query, key);
        query
    }

    /// Sends a callback to an application.
    pub fn call_back(&mut self, callback: AppCallback) {
        self.output(GatewayOutput::Callback(Box::new(callback)));
    }

    /// Cancels a pending request of an application; its response is dropped.
    pub fn give_up(&mut self, query: QueryId) {
        self.index.queries.remove(&query);
        self.output(GatewayOutput::AppGivenUp(query));
    }

    /// Postpones all waits for remote parties by a time in which the process did not run.
    pub fn postpone(&mut self, pause: Duration) {
        self.endpoint.postpone(pause);
        self.deadlines.postpone(pause);
    }

    /// Sets the wall clock and shifts the expiry dates of registrations in the metrics.
    pub fn set_clock(&mut self, now: Instant, date: SystemTime) -> ClockStep {
        let step = ClockStep::between(self.wall.at(now), date);
        self.wall = WallClock::new((now, date));
        for ends in self.metrics.registration_ends.values_mut().filter(|ends| **ends > SystemTime::UNIX_EPOCH) {
            *ends = step.apply_to(*ends);
        }
        step
    }

    /// Returns whether a target named by an agent or operator must not resolve to an address: this machine's
    /// addresses and those of no host, except the exact address and port of a trunk's peer.
    pub fn is_forbidden(&self, remote: SocketAddr) -> bool {
        let ip = remote.ip().to_canonical();
        let is_inside = |ip: IpAddr| is_no_host(ip) || self.addressing.is_ours(ip);
        let mut hidden = translated(ip).map(IpAddr::V4);
        (is_inside(ip) || hidden.any(is_inside)) && !self.table.is_peer(SocketAddr::new(ip, remote.port()))
    }

    /// Returns the targets of the first route that accepts a call now; `None` if no route does.
    pub fn plan(&mut self, now: Instant, call: CallInfo<'_>) -> Option<RoutePlan> {
        let at = self.timestamp(now);
        let draw = self.table.has_shares().then(|| self.random.rng.random());
        self.table.plan(&CallInfo { at, draw, ..call }, &mut pick(&mut self.random.rng))
    }

    /// Returns the target that an agent, operator or application names in mid-call; `None` if it is unknown, or an
    /// agent that can only listen.
    pub fn target(&mut self, target: &TargetSpec) -> Option<CallTarget> {
        let found = self.table.target(target, &mut pick(&mut self.random.rng))?;
        let only_listens = matches!(&found, CallTarget::Agent(agent) if agent.is_raw());
        (!only_listens).then_some(found)
    }
}

fn why_unsent(cause: Option<&StreamFailure>, what: &str, transport: Transport, address: SocketAddr) -> String {
    match cause {
        Some(StreamFailure::Tls(why)) => format!("TLS failed: {why}"),
        Some(StreamFailure::Stream(why)) => format!("{what} could not be sent: {why}"),
        Some(StreamFailure::Unsent(why)) => unsent::text(*why, &address.to_string()),
        None if transport == Transport::Udp => {
            format!("{what} was refused: no listener at this port, or a firewall rejects it")
        }
        None => format!("{what} could not be sent"),
    }
}

/// Returns a log line.
fn log_line(call: &str, warn: bool, text: String, reason: Option<ReasonSlug>) -> LogLine {
    let (call, text, reason) = (call.to_owned(), redact::addresses(text), reason.map(ReasonSlug::as_str));
    LogLine { call, warn, text, reason }
}

/// Trunk names as stable numbers, so that dialogs keep their owners after a reload.
#[derive(Debug)]
pub(super) struct PartyTable {
    names: Vec<Arc<str>>,
    numbers: FxHashMap<Arc<str>, SipPartyId>,
}

impl PartyTable {
    /// Returns the list with party 0 (anonymous), which stands for bare URIs.
    pub(super) fn new() -> PartyTable {
        let unknown: Arc<str> = Arc::from("");
        PartyTable { names: vec![unknown.clone()], numbers: FxHashMap::from_iter([(unknown, SipPartyId(0))]) }
    }

    pub(super) fn intern(&mut self, name: &str) -> SipPartyId {
        if let Some(party) = self.numbers.get(name) {
            return *party;
        }
        let party = SipPartyId(u32::try_from(self.names.len()).unwrap_or(u32::MAX));
        let name: Arc<str> = Arc::from(name);
        self.names.push(name.clone());
        self.numbers.insert(name, party);
        party
    }

    /// Returns the named parties (party 0 is anonymous).
    pub(super) fn all(&self) -> Vec<(SipPartyId, Arc<str>)> {
        self.numbers.iter().filter(|(name, _)| !name.is_empty()).map(|(name, party)| (*party, name.clone())).collect()
    }

    pub(super) fn name(&self, party: SipPartyId) -> Arc<str> {
        let at = usize::try_from(party.0).unwrap_or(usize::MAX);
        self.names.get(at).cloned().unwrap_or_else(|| Arc::from(""))
    }
}

/// Returns the 32-bit FNV-1a hash, used as id of the edge; not for secrets.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// Returns the name of a target with its number replaced by `shown`.
fn name_with(name: &str, shown: impl Fn(&str) -> String) -> String {
    if let Some((trunk, number)) = name.split_once('/').filter(|(trunk, _)| trunk.starts_with("trunk:")) {
        return format!("{trunk}/{}", shown(number));
    }
    match name.split_once(':').and_then(|(scheme, rest)| Some((scheme, rest.split_once('@')?))) {
        Some((scheme, (user, host))) => format!("{scheme}:{}@{host}", shown(user)),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_party_keeps_its_number() {
        let mut parties = PartyTable::new();
        let (a, b) = (parties.intern("a"), parties.intern("b"));
        assert_ne!(a, b);
        assert_eq!(parties.intern("a"), a);
        assert_eq!(&*parties.name(b), "b");
        assert_eq!(&*parties.name(SipPartyId(99)), "");
        assert_eq!(parties.intern(""), SipPartyId(0));
    }

    #[test]
    fn fnv1a_known_values() {
        assert_eq!((fnv1a(b""), fnv1a(b"a")), (0x811c_9dc5, 0xe40c_292c));
    }
}
