//! What all calls share: the SIP endpoint, the look-ups, ports, trunks, counters, and what waits to go out. Calls
//! speak to the endpoint only through here, so that every transaction and dialog is entered in the look-ups.

pub mod indicator;
pub(crate) mod registration;
pub(crate) mod watch;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use ipnet::IpNet;
use jiff::Timestamp;
use rand::RngExt as _;
use rustc_hash::FxHashMap;
use trunkgate_route::{App, CallInfo, Destination, Plan, ReferMode, Table, Target, TargetSpec, Trunk};
use trunkgate_sip::{
    Answer, Body, ClientId, DialogId, Endpoint, EndpointConfig, Extra, Flow, Identity, Invite, Method, OwnHosts, Party,
    ServerId,
};
use trunkgate_story::numbers::mask;
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::redact;
use trunkgate_story::sampled::Sampling;
use trunkgate_story::trace::Trace;
use trunkgate_story::wall::{Step, Wall};

use crate::admission::Admission;
use crate::agents::Agents;
use crate::applications::Apps;
use crate::applications::question::{AppCallback, AppQuestion, AppWanted, DocumentRequest};
use crate::applications::recognition::Recognised;
use crate::config::{GatewayConfig, Settings};
use crate::io::{Cause, LogLine, Output, QueryId};
use crate::limits::MESSAGE_TEXTS_BYTES;
use crate::lookups::addressing::Addressing;
use crate::lookups::deadlines::Deadlines;
use crate::lookups::index::{ClientEntry, Index, Place, Purpose};
use crate::lookups::key::CallKey;
use crate::lookups::sip::TIMER;
use crate::lookups::sip::extra;
use crate::mailboxes::indications::Indications;
use crate::metrics::Metrics;
use crate::random::{Random, pick};
use crate::recordings::{OpenRecording, RecordingDone, RecordingRequest};
use crate::registration::register::Registrations;
use crate::registration::registrar::Registrar;
use crate::sessions::Sessions;
use crate::sessions::ports::PortPool;
use crate::sources::logins::Logins;
use crate::sources::strangers::Strangers;
use crate::sources::strays::Strays;
use crate::sources::unknown::Unknown;
use crate::traces::recent::Recent;
use crate::traces::traced::Arriving;
use crate::traces::traced::Gathered;
use crate::trunks::health::Healths;
use crate::trunks::quotas::{Counted, Numbered, Quotas, Reached};
use crate::trunks::unproven::UnprovenEarly;
use crate::trunks::{Trunks, Waiting};
use trunkgate_media::RecordingId;

/// Methods that we serve; but for REGISTER and SUBSCRIBE also our Allow.
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

/// Returns the answer to a method that is served elsewhere and not here: 405 with those that are (RFC 3261 §21.4.6).
pub fn not_served(method: Method) -> Answer {
    let is_for_some = |served: Method| served == method || matches!(served, Method::Register | Method::Subscribe);
    let served = METHODS.iter().filter(|served| !is_for_some(**served));
    let allow = served.map(|method| method.as_str()).collect::<Vec<_>>().join(", ");
    Answer { code: 405, headers: vec![extra("Allow", allow)], ..Answer::default() }
}

/// Sets the rules of a trunk for requests from it and to it.
fn set_trunk(endpoint: &mut Endpoint, party: Party, trunk: &Trunk) {
    let of_peers = trunk.peers.iter().flat_map(|peer| peer.addresses().map(IpNet::from));
    let transfers = trunk.refer != ReferMode::Refuse;
    endpoint.set_credentials(party, trunk.auth.clone());
    endpoint.require_credentials(party, trunk.require_auth.clone());
    endpoint.challenge_with(party, &trunk.challenge_with);
    endpoint.compare_digest_uri(party, !trunk.any_digest_uri);
    endpoint.offer_reuse(party, trunk.shows_certificate);
    endpoint.allow_replaces(party, transfers && trunk.siprec.is_none());
    endpoint.allow_refer(party, transfers);
    endpoint.record_by(party, trunk.siprec.is_some());
    endpoint.show_hosts(party, trunk.own_hosts.clone());
    endpoint.set_reach(party, trunk.accept_from.iter().copied().chain(of_peers).collect());
}

/// Takes back the settings of [`set_trunk`] for a trunk that is gone, except credentials, which a registration may still need.
fn forget_trunk(endpoint: &mut Endpoint, party: Party) {
    endpoint.require_credentials(party, None);
    endpoint.offer_reuse(party, false);
    endpoint.allow_replaces(party, false);
    endpoint.allow_refer(party, true);
    endpoint.record_by(party, false);
    endpoint.show_hosts(party, OwnHosts::default());
}

/// Option tags that we know; our Supported.
const EXTENSIONS: [&str; 2] = ["100rel", TIMER];

/// Sources of SIP that belong to no trunk.
#[derive(Debug, Default)]
pub struct Sources {
    /// Unknown sources and bans.
    pub strangers: Strangers,
    /// SIP of nobody's.
    pub unknown: Unknown,
    /// Phones that want to register as nobody that there is.
    pub strays: Strays,
    /// Requests with wrong credentials.
    pub logins: Logins,
}

/// What one input leaves to be done before the next one.
#[derive(Debug, Default)]
pub struct Turn {
    /// What the endpoint has said and nobody has looked at yet.
    pub pending: VecDeque<trunkgate_sip::Output>,
    /// What goes out.
    pub outputs: VecDeque<Output>,
    /// Requests of ours that are final: forgotten at the end of the turn, when the last message about them is traced.
    pub finished: Vec<ClientId>,
    /// INVITEs that were refused in this turn: forgotten at its end, for the same reason.
    pub refused: Vec<ServerId>,
    /// Calls that wait for a leg of a call that is over: by which re-INVITE, and why it is.
    pub unjoined: Vec<(CallKey, ClientId, ReasonSlug)>,
    /// What the connection that is being given up failed at.
    pub cause: Option<Cause>,
    /// The message that is being dealt with.
    pub arriving: Option<Arriving>,
    /// The 100 that has answered an INVITE which no call is entered for yet.
    pub trying: Option<(ServerId, Flow, Bytes)>,
}

/// Traces of the calls that are held, and who is sent copies of them.
#[derive(Debug)]
pub struct Tracing {
    /// Traces of calls that are held.
    pub traces: BTreeMap<CallKey, Trace>,
    /// Calls that were answered lately, and when their messages are to be packed.
    pub answered: VecDeque<(Instant, CallKey)>,
    /// Whether a capture agent is told of messages and reports.
    pub captures: bool,
    /// Which calls are told of once they are over.
    pub sampling: Sampling,
    /// What is gathered of them.
    pub sampled: BTreeMap<CallKey, Gathered>,
    /// Bytes that messages in traces take.
    pub message_bytes: usize,
    /// Bytes that messages in traces may take.
    pub message_bytes_most: usize,
}

/// Everything that is not one call's own.
#[derive(Debug)]
pub struct Edge {
    /// Settings at the start.
    pub config: GatewayConfig,
    /// Trunks, agents and routes in force.
    pub table: Arc<Table>,
    /// Addresses that remote parties are shown.
    pub addressing: Addressing,
    /// The SIP endpoint.
    pub endpoint: Endpoint,
    /// Look-ups of calls and legs.
    pub index: Index,
    /// Timers of calls.
    pub deadlines: Deadlines,
    /// Media sessions.
    pub sessions: Sessions,
    /// State of each trunk.
    pub trunks: Trunks,
    /// What is used of their limits for some calls.
    pub quotas: Quotas,
    /// Calls whose early media goes to an address that is not proven.
    pub unproven_early: UnprovenEarly,
    /// Health of each address.
    pub health: Healths,
    /// Registrations of this edge with trunks.
    pub registrations: Registrations,
    /// Phones that are registered here.
    pub registrar: Registrar,
    /// Messages of mailboxes, and the parties that are notified of them.
    pub indications: Indications,
    /// State of each agent.
    pub agents: Agents,
    /// How calls of each application went.
    pub apps: Apps,
    /// Limits of the edge, and fair shares of them.
    pub admission: Admission,
    /// Counters.
    pub metrics: Metrics,
    /// Calls that have ended.
    pub recent: Recent,
    /// Dates of instants.
    pub wall: Wall,
    parties: Parties,
    /// Unknown sources, bans, and registrations that belong to no phone.
    pub sources: Sources,
    /// What the present input has left to be done.
    pub turn: Turn,
    /// Traces, and who is sent copies of them.
    pub tracing: Tracing,
    /// What is drawn at random.
    pub random: Random,
}

/// Whose names an edge makes. By the time alone, two edges of one name that start together would take each other's calls
/// for loops.
fn identity(name: &str, start_ms: u64, random: u32) -> Identity {
    // Truncation is meant: it is a name, not a time.
    Identity { edge: fnv1a(name.as_bytes()), generation: (start_ms as u32) ^ random, shard: 0 }
}

impl Edge {
    /// Without calls.
    pub fn new(config: GatewayConfig, table: Arc<Table>, addressing: Addressing) -> Edge {
        let mut random = Random::new(config.seed);
        let (wall, now) = (Wall::new(config.epoch), config.epoch.0);
        let identity = identity(&config.name, trunkgate_story::wall::unix_ms(config.epoch.1), random.rng.random());
        let endpoint = EndpointConfig {
            identity,
            product: "Trunkgate".into(),
            methods: METHODS.to_vec(),
            extensions: EXTENSIONS.map(str::to_owned).to_vec(),
            message_bytes: config.sip_message_bytes,
            limits: trunkgate_sip::Limits::default(),
        };
        let endpoint = Endpoint::new(endpoint, random.rng.random());
        let ports = PortPool::new(config.media_ports, &mut random.rng);
        let mut edge = Edge {
            endpoint,
            admission: Admission::new(config.max_calls, config.calls_per_second),
            index: Index::default(),
            deadlines: Deadlines::default(),
            trunks: Trunks::default(),
            quotas: Quotas::default(),
            unproven_early: UnprovenEarly::default(),
            health: Healths::default(),
            registrations: Registrations::default(),
            registrar: Registrar::default(),
            indications: Indications::default(),
            agents: Agents::default(),
            apps: Apps::default(),
            metrics: Metrics::new(),
            recent: Recent::default(),
            wall,
            parties: Parties::new(),
            config,
            table,
            addressing,
            sessions: Sessions::new(ports),
            sources: Sources::default(),
            turn: Turn::default(),
            tracing: Tracing {
                traces: BTreeMap::new(),
                answered: VecDeque::new(),
                captures: false,
                sampling: Sampling::NONE,
                sampled: BTreeMap::new(),
                message_bytes: 0,
                message_bytes_most: MESSAGE_TEXTS_BYTES,
            },
            random,
        };
        edge.configure_trunks(now);
        edge.configure_registrations(now);
        edge.agents.configure(now, &edge.table);
        edge.note_skipped();
        edge.note_waiting();
        edge
    }

    /// Returns the settings in force.
    pub fn settings(&self) -> Settings {
        let (calls, calls_per_second) = self.admission.limits();
        Settings {
            table: Arc::clone(&self.table),
            addressing: self.addressing.clone(),
            calls,
            calls_per_second,
            emergency_calls: self.admission.emergencies.most(),
            strangers: self.sources.strangers.limits(),
            captures: self.tracing.captures,
            recogniser: self.apps.recognition.spec().cloned(),
            recordings: self.sessions.recordings.links_shared(),
            announcement: self.sessions.recordings.announcement().cloned(),
            sampling: self.tracing.sampling,
        }
    }

    /// Puts settings in force, all of them at once.
    pub fn configure(&mut self, now: Instant, settings: Settings) {
        let Settings { table, addressing, strangers, captures, recogniser, recordings, sampling, .. } = settings;
        let Settings { calls, calls_per_second, emergency_calls, announcement, .. } = settings;
        self.admission.emergencies.set_most(emergency_calls);
        self.apps.recognition.configure(recogniser);
        self.sessions.recordings.configure(recordings, announcement);
        (self.addressing, self.tracing.captures, self.tracing.sampling) = (addressing, captures, sampling);
        if self.admission.limits() != (calls, calls_per_second) {
            self.admission.limited.edge_reconfigured();
        }
        self.admission.set_limits(calls, calls_per_second);
        self.sources.strangers.configure(strangers);
        if !Arc::ptr_eq(&self.table, &table) {
            self.sources.logins.configure(&self.table, &table);
            self.table = table;
            self.configure_trunks(now);
            self.health.recheck(now).into_iter().for_each(|client| self.endpoint.forget(client));
            self.configure_registrations(now);
            self.configure_registrar();
            self.agents.configure(now, &self.table);
            self.apps.configure(&self.table);
            self.note_skipped();
            self.note_waiting();
        }
        self.recheck_registrations(now);
    }

    /// Takes over what the table says of each trunk: its limits, and the addresses that are its own.
    pub fn configure_trunks(&mut self, now: Instant) {
        self.trunks.configure(&self.table);
        self.quotas.configure(&self.table);
        self.count_limits();
        self.configure_health(now);
        let table = Arc::clone(&self.table);
        for (party, name) in self.parties.all() {
            if table.trunk(&name).is_none() {
                if !self.registrations.needs_credentials(party) {
                    self.endpoint.set_credentials(party, None);
                }
                forget_trunk(&mut self.endpoint, party);
            }
        }
        for trunk in table.trunks() {
            let party = self.party(&trunk.name);
            set_trunk(&mut self.endpoint, party, trunk);
        }
    }

    /// Brings the gauge of skipped agents up to date.
    pub fn note_skipped(&mut self) {
        self.metrics.agent.skipped = self.agents.skipped().map(|(name, skipped)| (Arc::clone(name), skipped)).collect();
    }

    /// Brings the gauge of recognisers that listen up to date.
    pub fn note_recognisers(&mut self) {
        self.metrics.recognition.sessions = u64::from(self.apps.recognition.sessions());
    }

    /// Notes how a recognition in a call ended. `why`: what is known of a failure.
    pub fn note_recognition(&mut self, now: Instant, sid: &str, result: Recognised, why: &str) {
        *self.metrics.recognition.results.entry(result.slug()).or_default() += 1;
        self.apps.recognition.note(now, sid, result, why);
    }

    /// Brings the gauge of waiting callers up to date.
    pub fn note_waiting(&mut self) {
        self.metrics.agent.waiting = self.agents.waiting().map(|(name, count)| (Arc::clone(name), count)).collect();
    }

    /// Tells the endpoint that a way is gone; `party`: whose it was, where others have ways of their own there.
    pub fn transport_failed(&mut self, now: Instant, flow: Flow, party: Option<Party>, was_up: bool) {
        self.endpoint.handle_input(now, trunkgate_sip::Input::TransportFailed { flow, party, was_up });
    }

    /// Collects what the endpoint has to say.
    pub fn pump(&mut self) {
        while let Some(output) = self.endpoint.poll_output() {
            self.turn.pending.push_back(output);
        }
    }

    /// Sends the INVITE of an attempt.
    pub fn invite(&mut self, now: Instant, at: Place, invite: Invite) -> ClientId {
        let id = self.endpoint.invite(now, invite);
        self.index.clients.insert(id, ClientEntry { at, purpose: Purpose::Invite, sent: Some(now) });
        self.pump();
        id
    }

    /// Sends a BYE, re-INVITE, UPDATE, INFO, MESSAGE, REFER, NOTIFY or OPTIONS.
    pub fn request(
        &mut self,
        now: Instant,
        at: Place,
        dialog: DialogId,
        purpose: Purpose,
        headers: Vec<Extra>,
        body: Option<Body>,
    ) -> Option<ClientId> {
        let method = match purpose {
            Purpose::Invite | Purpose::Reinvite | Purpose::Join | Purpose::Refresh => Method::Invite,
            Purpose::Update | Purpose::RefreshByUpdate => Method::Update,
            Purpose::HoldCheck => Method::Options,
            Purpose::Info => Method::Info,
            Purpose::Message => Method::Message,
            Purpose::Refer => Method::Refer,
            Purpose::News | Purpose::Notify => Method::Notify,
            Purpose::Bye => Method::Bye,
        };
        let id = self.endpoint.request(now, dialog, method, headers, body);
        if let Some(id) = id {
            self.index.clients.insert(id, ClientEntry { at, purpose, sent: Some(now) });
        }
        self.pump();
        id
    }

    /// Returns the answer to a method that is not served outside of a dialog; its trunk learns of it.
    pub fn refuse_method(&mut self, now: Instant, trunk: &str, method: Method) -> Answer {
        self.trunks.problem(now, trunk, format!("its {} was rejected with 405", method.as_str()));
        not_served(method)
    }

    /// Whose a dialog is; an early one that a target has made is that of our INVITE.
    pub fn place_of(&self, dialog: DialogId) -> Option<Place> {
        let entered = self.index.dialogs.get(&dialog).copied();
        entered.or_else(|| self.index.clients.get(&self.endpoint.invite_of(dialog)?).map(|client| client.at))
    }

    /// Answers a request.
    pub fn respond(&mut self, now: Instant, id: ServerId, answer: Answer) -> Option<DialogId> {
        let dialog = self.endpoint.respond(now, id, answer);
        self.pump();
        dialog
    }

    /// Acknowledges a 2xx.
    pub fn ack(&mut self, now: Instant, dialog: DialogId) {
        self.endpoint.ack(now, dialog, None);
        self.pump();
    }

    /// Withdraws an INVITE that has had a provisional answer.
    pub fn cancel(&mut self, now: Instant, id: ClientId) {
        self.endpoint.cancel(now, id);
        self.pump();
    }

    /// Has the CANCEL of an INVITE, should there be one, say that the call was answered elsewhere.
    pub fn answered_elsewhere(&mut self, id: ClientId) {
        self.endpoint.answered_elsewhere(id);
    }

    /// Gives up an INVITE that has had no answer.
    pub fn abandon(&mut self, now: Instant, id: ClientId) {
        self.endpoint.abandon(now, id);
        self.pump();
    }

    /// Asks the name service.
    pub fn resolve(&mut self, key: CallKey, destination: Destination) -> QueryId {
        let query = self.question(destination);
        self.index.queries.insert(query, key);
        query
    }

    /// Asks the shell for a document or sound of a call's application.
    pub fn ask_for(&mut self, key: CallKey, call: &str, app: &Arc<App>, wanted: AppWanted) -> QueryId {
        let query = self.index.query();
        self.index.queries.insert(query, key);
        self.app_question(Some(query), call, app, wanted);
        query
    }

    /// Gives up a question of a call's application.
    pub fn give_up(&mut self, query: QueryId) {
        if self.index.queries.remove(&query).is_some() {
            self.turn.outputs.push_back(Output::AppGivenUp(query));
        }
    }

    /// Makes a request of a call's application whose answer is not run.
    pub fn notify_app(&mut self, call: &str, app: &Arc<App>, request: DocumentRequest) {
        self.app_question(None, call, app, AppWanted::Document(request));
    }

    /// Notifies an application of an event.
    pub fn call_back(&mut self, callback: AppCallback) {
        self.turn.outputs.push_back(Output::Callback(Box::new(callback)));
    }

    /// Begins a recording of a call; returns the number of its audio, and its SID.
    pub fn begin_recording(&mut self, now: Instant, call: &str, request: RecordingRequest) -> (RecordingId, String) {
        let sid = self.random.recording_sid();
        let id = self.sessions.recordings.begin(&sid, call);
        let begun = request.begun((id, &sid), call, self.date(now));
        let reports = self.sessions.recordings.links().map(|links| begun.reports(links)).unwrap_or_default();
        reports.into_iter().for_each(|report| self.call_back(report));
        self.turn.outputs.push_back(Output::Recording(Box::new(begun)));
        (id, sid)
    }

    /// Takes note of a recording whose file is complete, or will not be.
    pub fn recording_done(&mut self, done: &RecordingDone) {
        let Some(OpenRecording { sid, call, after }) = self.sessions.recordings.done(done.id) else { return };
        if let Some(error) = &done.error {
            self.log(&call, format!("recording {sid} failed: {error}"), None);
        } else if done.lost.total() > 0 {
            let text = format!("recording {sid} has gaps: {} ms were lost on the way to the disk", done.lost.total());
            self.log(&call, text, None);
        }
        let after = after.filter(|_| done.milliseconds > 0).map(|after| after.request(done.milliseconds));
        if let Some((app, request)) = after {
            self.notify_app(&call, &app, request);
        }
    }

    fn app_question(&mut self, query: Option<QueryId>, call: &str, app: &Arc<App>, wanted: AppWanted) {
        let cookies = self.apps.cookies.of_call(call);
        self.turn.outputs.push_back(Output::App(Box::new(AppQuestion::new(query, call, app, wanted, cookies))));
    }

    /// The same for whoever keeps the question's name itself.
    pub fn question(&mut self, destination: Destination) -> QueryId {
        let query = self.index.query();
        self.turn.outputs.push_back(Output::Resolve { query, destination });
        query
    }

    /// The targets of the first route that takes a call now.
    pub fn plan(&mut self, now: Instant, call: CallInfo<'_>) -> Option<Plan> {
        let at = self.timestamp(now);
        let draw = self.table.has_shares().then(|| self.random.rng.random());
        self.table.plan(&CallInfo { at, draw, ..call }, &mut pick(&mut self.random.rng))
    }

    /// A target that is named in mid-call; none that could only listen.
    pub fn target(&mut self, target: &TargetSpec) -> Option<Target> {
        let found = self.table.target(target, &mut pick(&mut self.random.rng))?;
        let only_listens = matches!(&found, Target::Agent(agent) if agent.is_raw());
        (!only_listens).then_some(found)
    }

    /// Counts a call with the limits that a trunk has for it, or says which one is reached.
    pub fn take_quota(&mut self, now: Instant, trunk: &str, call: Numbered<'_>, who: Counted) -> Result<(), Reached> {
        let at = self.timestamp(now);
        let counts = self.quotas.begin((now, at), trunk, call, who)?;
        self.turn.outputs.extend(counts.into_iter().map(Output::Counted));
        Ok(())
    }

    /// Counts a call of a trunk in, or says which limit forbids it.
    pub fn begin_trunk_call(&mut self, now: Instant, name: &Arc<str>) -> Result<(), ReasonSlug> {
        self.trunks.begin(now, name)?;
        *self.metrics.calls_active.entry(name.clone()).or_default() += 1;
        Ok(())
    }

    /// Counts an attempt towards a trunk in, behind those that wait for it.
    pub fn begin_target_call(&mut self, now: Instant, name: &Arc<str>, who: Waiting) -> Result<(), ReasonSlug> {
        self.trunks.begin_outbound(now, name, who)?;
        *self.metrics.calls_active.entry(name.clone()).or_default() += 1;
        Ok(())
    }

    /// Counts a call in that no limit refuses: an emergency call, or one that comes back from a snapshot.
    pub fn resume_trunk_call(&mut self, name: &Arc<str>) {
        self.trunks.resume(name);
        *self.metrics.calls_active.entry(name.clone()).or_default() += 1;
    }

    /// Counts a call of a trunk out.
    pub fn end_trunk_call(&mut self, name: &Arc<str>) {
        self.trunks.end(name);
        if let Some(active) = self.metrics.calls_active.get_mut(name) {
            *active = active.saturating_sub(1);
        }
    }

    /// A trunk's party; the same for ever.
    pub fn party(&mut self, name: &str) -> Party {
        self.parties.intern(name)
    }

    /// A party's trunk name; empty for bare URIs.
    pub fn party_name(&self, party: Party) -> Arc<str> {
        self.parties.name(party)
    }

    /// Writes a line of the log.
    pub fn log(&mut self, call: &str, text: String, reason: Option<ReasonSlug>) {
        self.turn.outputs.push_back(Output::Log(log_line(call, false, text, reason)));
    }

    /// The same for a line that asks an operator to act.
    pub fn warn(&mut self, call: &str, text: String, reason: Option<ReasonSlug>) {
        self.turn.outputs.push_back(Output::Log(log_line(call, true, text, reason)));
    }

    /// A number as log lines may show it.
    pub fn shown(&self, number: &str) -> String {
        if self.config.full_numbers { number.to_owned() } else { mask(number) }
    }

    /// Returns a target's name as log lines may show it: the numbers in it masked, and a URI without its password.
    pub fn shown_name(&self, name: &str) -> String {
        name_with(&redact::sip_uri(name), |number| self.shown(number))
    }

    /// Returns the date of an instant.
    pub fn timestamp(&self, now: Instant) -> Timestamp {
        Timestamp::try_from(self.date(now)).unwrap_or_default()
    }

    /// Goes on by another wall clock. Ends of registrations, which metrics have as dates, are as far away as before.
    pub fn set_clock(&mut self, now: Instant, date: SystemTime) -> Step {
        let step = Step::between(self.wall.at(now), date);
        self.wall = Wall::new((now, date));
        for ends in self.metrics.registration_ends.values_mut().filter(|ends| **ends > SystemTime::UNIX_EPOCH) {
            *ends = step.of(*ends);
        }
        step
    }

    /// The date of a moment.
    pub fn date(&self, now: Instant) -> SystemTime {
        self.wall.at(now)
    }
}

/// Makes a line of the log.
fn log_line(call: &str, warn: bool, text: String, reason: Option<ReasonSlug>) -> LogLine {
    let (call, text, reason) = (call.to_owned(), redact::addresses(text), reason.map(ReasonSlug::as_str));
    LogLine { call, warn, text, reason }
}

/// Trunk names as numbers that stay the same for ever, so that a reload leaves dialogs with their owners.
#[derive(Debug)]
struct Parties {
    names: Vec<Arc<str>>,
    numbers: FxHashMap<Arc<str>, Party>,
}

impl Parties {
    /// Party 0 is nobody's name: bare URIs.
    fn new() -> Parties {
        let nobody: Arc<str> = Arc::from("");
        Parties { names: vec![nobody.clone()], numbers: FxHashMap::from_iter([(nobody, Party(0))]) }
    }
    fn intern(&mut self, name: &str) -> Party {
        if let Some(party) = self.numbers.get(name) {
            return *party;
        }
        let party = Party(u32::try_from(self.names.len()).unwrap_or(u32::MAX));
        let name: Arc<str> = Arc::from(name);
        self.names.push(name.clone());
        self.numbers.insert(name, party);
        party
    }
    /// Every party but nobody, with its name.
    fn all(&self) -> Vec<(Party, Arc<str>)> {
        self.numbers.iter().filter(|(name, _)| !name.is_empty()).map(|(name, party)| (*party, name.clone())).collect()
    }
    fn name(&self, party: Party) -> Arc<str> {
        let at = usize::try_from(party.0).unwrap_or(usize::MAX);
        self.names.get(at).cloned().unwrap_or_else(|| Arc::from(""))
    }
}

/// FNV-1a over 32 bits: names the edge in what it makes; not for secrets.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// Returns a target's name with the number in it as `shown` has it.
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
        let mut parties = Parties::new();
        let (a, b) = (parties.intern("a"), parties.intern("b"));
        assert_ne!(a, b);
        assert_eq!(parties.intern("a"), a);
        assert_eq!(&*parties.name(b), "b");
        assert_eq!(&*parties.name(Party(99)), "");
        assert_eq!(parties.intern(""), Party(0));
    }

    #[test]
    fn fnv1a_known_values() {
        assert_eq!((fnv1a(b""), fnv1a(b"a")), (0x811c_9dc5, 0xe40c_292c));
    }
}
