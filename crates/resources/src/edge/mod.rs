//! State shared by all calls. Each part owns its state; only `Edge` knows several parts.
//!
//! `base.rs` is used by every part. Independent parts above it: `trunk_states.rs` (with `peers.rs` and
//! `registration.rs`), `traces.rs`, `media.rs`, `agents.rs`; `notifier.rs` uses the trunks. `access.rs` has the
//! accessors for calls.

mod access;
mod agents;
mod base;
mod media;
mod notifier;
mod peers;
mod registration;
mod traces;
mod trunk_states;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use trunkgate_conference::JoinRequest;
use trunkgate_media::{EndCounters, EndId, MediaEvent, MediaId, RecordingId};
use trunkgate_route::locate::NameFault;
use trunkgate_route::{App, Destination, DestinationServer, RoutePlan, RoutingTable, Trunk};
use trunkgate_sip::{ClientId, Flow, Method, ResponseSpec, ServerId, SipMessage, SipPartyId, SipTransmit};
use trunkgate_story::numbers::plain;
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::trace::{TraceItem, TraceView};
use trunkgate_story::view::TrunkView;

use crate::admission::Admission;
use crate::admission::limited::CallLimit;
use crate::agents::AgentStates;
use crate::applications::AppStates;
use crate::applications::question::{AppQuestion, AppResource, DocumentRequest};
use crate::applications::recognition::RecognitionResult;
use crate::conferences::queues::{QueueEntry, QueueRefusal};
use crate::conferences::{ConferenceEffect as ConferenceDue, Joiner, NotJoined, ParticipantHandle};
use crate::config::{EdgeSettings, GatewayConfig};
use crate::edge::notifier::{Notifier, NotifierCx};
use crate::edge::trunk_states::{TrunkStates, UNKNOWN_USER, WRONG_PASSWORD};
use crate::io::{AgentProbe, ConfigChangeScope, GatewayOutput, MailboxMessages, QueryId};
use crate::limits::STRAY_USER_CHARS;
use crate::lookups::addressing::Addressing;
use crate::lookups::index::LegRef;
use crate::lookups::key::CallKey;
use crate::mailboxes::indications::KeptSubscription;
use crate::recordings::{OpenRecording, RecordingDone, RecordingRequest};
use crate::registration::registrar::KeptBinding;
use crate::sessions::ports::PortPool;
use crate::sessions::{MediaSessions, NewEnd};
use crate::sources::Sources;
use crate::sources::logins::WrongLogin;
use crate::trunks::WaitingAttempt;
use crate::trunks::health::TrunkAddress;
use crate::trunks::quotas::{CallNumbers, CountedCall, DayCount, ReachedQuota};

pub use base::{EdgeBase, KeptInvite, METHODS, PendingWork, not_served};
pub use traces::TraceStore;

/// State shared by all calls.
#[derive(Debug)]
pub struct Edge {
    /// State used by every part.
    base: EdgeBase,
    /// State of the trunks.
    states: TrunkStates,
    /// Message counts of mailboxes, and their subscribers.
    notifier: Notifier,
    /// State of each agent.
    agents: AgentStates,
    /// State of each application.
    apps: AppStates,
    /// Media sessions, recordings, conferences and queues.
    sessions: MediaSessions,
    /// Traces, and settings for copies of them.
    tracing: TraceStore,
    /// Limits of the edge, and fair shares of them.
    admission: Admission,
    /// Unknown sources, bans, and registrations of unknown users.
    sources: Sources,
}

impl Edge {
    /// Returns an edge without calls.
    pub fn new(config: GatewayConfig, table: Arc<RoutingTable>, addressing: Addressing) -> Edge {
        let now = config.epoch.0;
        let admission = Admission::new(config.max_calls, config.calls_per_second);
        let media_ports = config.media_ports;
        let mut base = EdgeBase::new(config, table, addressing);
        let ports = PortPool::new(media_ports, &mut base.random.rng);
        let mut edge = Edge {
            base,
            states: TrunkStates::default(),
            notifier: Notifier::default(),
            agents: AgentStates::default(),
            apps: AppStates::default(),
            sessions: MediaSessions::new(ports),
            tracing: TraceStore::new(),
            admission,
            sources: Sources::default(),
        };
        edge.configure_trunks(now);
        edge.configure_registrations(now);
        edge.agents.configure(now, &edge.base.table);
        edge.note_skipped();
        edge.note_waiting();
        edge
    }

    /// Returns the settings in force.
    pub fn settings(&self) -> EdgeSettings {
        let (calls, calls_per_second) = self.admission.limits();
        EdgeSettings {
            table: Arc::clone(&self.base.table),
            addressing: self.base.addressing.clone(),
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

    /// Applies new settings to every part of the edge at once.
    pub fn configure(&mut self, now: Instant, settings: EdgeSettings) {
        let EdgeSettings { table, addressing, strangers, captures, recogniser, recordings, sampling, .. } = settings;
        let EdgeSettings { calls, calls_per_second, emergency_calls, announcement, .. } = settings;
        self.admission.emergencies.set_most(emergency_calls);
        self.apps.recognition.configure(recogniser);
        self.sessions.recordings.configure(recordings, announcement);
        (self.base.addressing, self.tracing.captures, self.tracing.sampling) = (addressing, captures, sampling);
        if self.admission.limits() != (calls, calls_per_second) {
            self.admission.limited.edge_reconfigured();
        }
        self.admission.set_limits(calls, calls_per_second);
        self.sources.strangers.configure(strangers);
        if !Arc::ptr_eq(&self.base.table, &table) {
            self.sources.logins.configure(&self.base.table, &table);
            self.base.table = table;
            self.configure_trunks(now);
            self.states.health.recheck(now).into_iter().for_each(|client| self.base.endpoint.drop_request(client));
            self.configure_registrations(now);
            self.configure_registrar();
            self.agents.configure(now, &self.base.table);
            self.apps.configure(&self.base.table);
            self.note_skipped();
            self.note_waiting();
        }
        self.recheck_registrations(now);
    }

    /// Updates the gauge of active recognition sessions.
    pub fn note_recognisers(&mut self) {
        self.base.metrics.recognition.sessions = u64::from(self.apps.recognition.sessions());
    }

    /// Notes the result of a recognition in a call. `why`: details of a failure.
    pub fn note_recognition(&mut self, now: Instant, sid: &str, result: RecognitionResult, why: &str) {
        *self.base.metrics.recognition.results.entry(result.slug()).or_default() += 1;
        self.apps.recognition.record_result(now, sid, result, why);
    }

    /// Requests a document or sound of an application from the shell. The response goes to call `key`, or with `None`
    /// to an announcement.
    pub fn ask_for(&mut self, key: Option<CallKey>, call: &str, app: &Arc<App>, wanted: AppResource) -> QueryId {
        let query = self.base.index.query();
        self.base.index.queries.extend(key.map(|key| (query, key)));
        self.app_question(Some(query), call, app, wanted);
        query
    }

    /// Sends a request of a call's application; its response is ignored.
    pub fn notify_app(&mut self, call: &str, app: &Arc<App>, request: DocumentRequest) {
        self.app_question(None, call, app, AppResource::Document(request));
    }

    /// Begins a recording of a call. Returns the id of its audio, and its SID.
    pub fn begin_recording(&mut self, now: Instant, call: &str, request: RecordingRequest) -> (RecordingId, String) {
        let sid = self.base.random.recording_sid();
        let id = self.sessions.recordings.begin(&sid, call);
        let begun = request.begun((id, &sid), call, self.date(now));
        let reports = self.sessions.recordings.links().map(|links| begun.reports(links)).unwrap_or_default();
        reports.into_iter().for_each(|report| self.call_back(report));
        self.base.output(GatewayOutput::Recording(Box::new(begun)));
        (id, sid)
    }

    /// Continues a recording of a restored call, which an earlier process began under this id.
    pub fn resume_recording(&mut self, id: RecordingId, sid: &str, call: &str) {
        self.sessions.recordings.resume(id, sid, call);
    }

    /// Notes that the file of a recording is complete, or has failed.
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

    fn app_question(&mut self, query: Option<QueryId>, call: &str, app: &Arc<App>, wanted: AppResource) {
        let cookies = self.apps.cookies.of_call(call);
        self.base.output(GatewayOutput::App(Box::new(AppQuestion::new(query, call, app, wanted, cookies))));
    }

    /// Records that a limit of the edge has refused a call of a trunk, unless `key` is empty, which means that the
    /// reason is not a limit.
    pub fn limit_alarm(&mut self, now: Instant, trunk: &Arc<str>, reason: ReasonSlug, key: &str) {
        if !key.is_empty() {
            self.alarm(now, "", trunk, reason, key);
        }
    }

    /// Counts a call of the API that a limit of the edge has refused. Returns the reason.
    pub fn note_limit(&mut self, now: Instant, reason: ReasonSlug) -> ReasonSlug {
        let Some(limit) = CallLimit::from_reason(None, false, reason) else { return reason };
        *self.base.metrics.limits_reached.entry(("".into(), reason.as_str())).or_default() += 1;
        let key = self.admission.limit_of(reason);
        self.admission.limited.count_refusal(now, limit, &key, None);
        reason
    }

    /// Clears problems of calls that changed keys may have fixed.
    pub fn reconfigured(&mut self, concerned: &ConfigChangeScope) {
        self.states.trunks.reconfigured(concerned);
        self.admission.limited.reconfigured(concerned);
        self.apps.reconfigured(concerned);
    }

    /// Records a request with wrong credentials.
    pub fn wrong_credentials(
        &mut self,
        now: Instant,
        trunk: &Arc<str>,
        remote: SocketAddr,
        (user, is_known): (&str, bool),
    ) {
        let fault = if is_known { WRONG_PASSWORD } else { UNKNOWN_USER };
        *self.base.metrics.wrong_credentials.entry((trunk.clone(), fault)).or_default() += 1;
        let login = WrongLogin {
            user: plain(&self.shown(user), STRAY_USER_CHARS),
            is_user_known: is_known,
            is_of_trunk: self.base.table.trunk_of(remote).is_some_and(|owner| owner.name == *trunk),
        };
        let text = format!("wrong credentials from {remote}: {}", login.fault());
        self.states.trunks.problem(now, trunk, text.clone());
        let due = self.sources.logins.failed(now, trunk, remote.ip(), login);
        let reason = Some(ReasonSlug::WrongCredentials);
        match due {
            Some(line) => self.warn("", line, reason),
            None if self.admission.may_log(now) => self.log("", format!("trunk {trunk}: {text}"), reason),
            None => {}
        }
    }

    /// Records a request with valid credentials, or to a trunk that requires none.
    pub fn right_credentials(&mut self, party: SipPartyId, remote: SocketAddr) {
        let trunk = self.party_name(party);
        self.sources.logins.passed(&trunk, remote.ip());
    }

    /// Applies the table's limits and addresses of each trunk.
    pub(crate) fn configure_trunks(&mut self, now: Instant) {
        self.states.configure_trunks(&mut self.base, now)
    }

    /// Records that a setting has refused a call from or to a trunk, and warns at intervals.
    pub fn alarm(&mut self, now: Instant, call: &str, trunk: &Arc<str>, reason: ReasonSlug, what: &str) {
        self.states.alarm(&mut self.base, now, call, trunk, reason, what)
    }

    /// Sorts the trunks of a plan that are ordered by answer-seizure ratio (`order = "asr"`), and adds the order to the
    /// trace. `may_probe`: a trunk with a low ratio may be tried first to measure it again.
    pub fn by_ratio(&mut self, now: Instant, key: CallKey, plan: &mut RoutePlan, may_probe: bool) {
        for order in self.states.by_ratio(&mut self.base, now, plan, may_probe) {
            self.decide(now, key, order);
        }
    }

    /// Returns the trunk that serves an address: by its peers and networks, or by a phone registered from there.
    pub fn owner_of(&self, remote: SocketAddr) -> Option<Arc<Trunk>> {
        self.states.owner_of(&self.base, remote)
    }

    /// Returns the 405 response to a method that is not served outside a dialog, and records it as a problem of the
    /// trunk.
    pub fn refuse_method(&mut self, now: Instant, trunk: &str, method: Method) -> ResponseSpec {
        self.states.refuse_method(now, trunk, method)
    }

    /// Counts a new call from a trunk.
    ///
    /// # Errors
    /// The limit that refuses the call.
    pub fn begin_trunk_call(&mut self, now: Instant, name: &Arc<str>) -> Result<(), ReasonSlug> {
        self.states.begin_trunk_call(&mut self.base, now, name)
    }

    /// Counts an attempt to call a trunk against the trunk's limits.
    ///
    /// # Errors
    /// The limit that refuses the attempt; [`ReasonSlug::LimitRate`] also while an earlier attempt waits.
    pub fn begin_target_call(&mut self, now: Instant, name: &Arc<str>, who: WaitingAttempt) -> Result<(), ReasonSlug> {
        self.states.begin_target_call(&mut self.base, now, name, who)
    }

    /// Counts a call that no limit refuses: an emergency call, or one restored from a snapshot.
    pub fn resume_trunk_call(&mut self, name: &Arc<str>) {
        self.states.resume_trunk_call(&mut self.base, name)
    }

    /// Removes an ended call of a trunk from its limits.
    pub fn end_trunk_call(&mut self, name: &Arc<str>) {
        self.states.end_trunk_call(&mut self.base, name)
    }

    /// Counts a call towards the trunk's limits that match its numbers.
    ///
    /// # Errors
    /// The limit that is reached; the call is then counted towards none.
    pub fn take_quota(
        &mut self,
        now: Instant,
        trunk: &str,
        call: CallNumbers<'_>,
        who: CountedCall,
    ) -> Result<(), ReachedQuota> {
        self.states.take_quota(&mut self.base, now, trunk, call, who)
    }

    /// Returns the state of a trunk.
    pub fn trunk_view(&self, now: Instant, trunk: &Trunk) -> TrunkView {
        self.states.trunk_view(&self.base, now, trunk)
    }

    /// Notes that a trunk has rejected a call because of congestion (`congested_on`), with the seconds of its
    /// Retry-After: other targets come first for a time.
    pub fn trunk_congested(&mut self, now: Instant, trunk: &Trunk, code: u16, retry_after: Option<u32>) {
        self.states.trunk_congested(&mut self.base, now, trunk, code, retry_after)
    }

    /// Sends the OPTIONS that are due, and gives up on overdue responses.
    pub fn check_peers(&mut self, now: Instant) {
        self.states.check_peers(&mut self.base, now)
    }

    /// Handles the response to an OPTIONS. Returns `false` if the request was no OPTIONS to a peer.
    pub fn peer_answered(&mut self, now: Instant, client: ClientId, code: u16, response: &SipMessage) -> bool {
        self.states.peer_answered(&mut self.base, now, client, code, response)
    }

    /// Handles an OPTIONS that was not sent or not answered in time. Returns `false` if the request was no OPTIONS to
    /// a peer.
    pub fn peer_unanswered(&mut self, now: Instant, client: ClientId, sent: bool) -> bool {
        self.states.peer_unanswered(&mut self.base, now, client, sent)
    }

    /// Records a response from an address, with the round-trip time if it was measured: the address is up.
    pub fn peer_heard(&mut self, spot: &TrunkAddress, rtt: Option<Duration>) {
        self.states.peer_heard(&mut self.base, spot, rtt)
    }

    /// Records that an address did not answer (`problem`); after several times it is down.
    pub fn peer_missed(&mut self, now: Instant, spot: &TrunkAddress, problem: String) {
        self.states.peer_missed(&mut self.base, now, spot, problem)
    }

    /// Returns whether a trunk can take a call: one of its addresses is up, or a phone is registered. `None`:
    /// unknown.
    pub fn is_trunk_up(&self, trunk: &Trunk) -> Option<bool> {
        self.states.is_trunk_up(trunk)
    }

    /// Applies the table's outbound registrations: new ones begin at once, removed ones are unregistered.
    pub(crate) fn configure_registrations(&mut self, now: Instant) {
        self.states.configure_registrations(&mut self.base, now)
    }

    /// Removes all outbound registrations, before the edge stops.
    pub fn unregister_all(&mut self, now: Instant) {
        self.states.unregister_all(&mut self.base, now)
    }

    /// Registers again if an address of this edge has changed.
    pub(crate) fn recheck_registrations(&mut self, now: Instant) {
        self.states.recheck_registrations(&mut self.base, now)
    }

    /// Registers again, after a lost connection, with a registrar that sends calls over it (RFC 5626 §4.5).
    pub fn registrar_lost(&mut self, now: Instant, lost: Flow) {
        self.states.registrar_lost(now, lost)
    }

    /// Sends the REGISTERs that are due, and gives up those without a response.
    pub fn registrations_due(&mut self, now: Instant) {
        self.states.registrations_due(&mut self.base, now)
    }

    /// Handles the DNS result for a registrar: sends the REGISTER, or notes the failure and schedules a retry.
    pub fn registrar_resolved(&mut self, now: Instant, query: QueryId, found: Result<&[DestinationServer], NameFault>) {
        self.states.registrar_resolved(&mut self.base, now, query, found)
    }

    /// Handles the challenge of a REGISTER, which the endpoint has sent again with the next CSeq.
    pub fn register_challenged(&mut self, now: Instant, id: ClientId) {
        self.states.register_challenged(now, id)
    }

    /// Handles the response to a REGISTER; `None` if there will be none.
    pub fn register_answered(&mut self, now: Instant, id: ClientId, response: Option<&SipMessage>) {
        self.states.register_answered(&mut self.base, now, id, response)
    }

    /// Forgets bindings of trunks that no longer accept registrations; all others survive a reload.
    pub(crate) fn configure_registrar(&mut self) {
        self.states.configure_registrar(&mut self.base)
    }

    /// Restores bindings of the previous process.
    pub fn restore_phones(&mut self, now: Instant, bindings: Vec<KeptBinding>) {
        self.states.restore_phones(&mut self.base, now, bindings)
    }

    /// Forgets bindings of phones that have expired.
    pub fn bindings_due(&mut self, now: Instant) {
        self.states.bindings_due(&mut self.base, now)
    }

    /// Forgets the phones behind a lost connection.
    pub fn flow_lost(&mut self, lost: Flow) {
        self.states.flow_lost(&mut self.base, lost)
    }

    /// Responds to an authenticated REGISTER.
    pub fn registering(&mut self, now: Instant, server: ServerId, party: SipPartyId, flow: Flow, request: &SipMessage) {
        self.states.registering(&mut self.base, &mut self.sources, now, server, (party, flow), request)
    }

    /// Adds an item to the trace of a live call.
    pub fn trace(&mut self, now: Instant, key: CallKey, item: TraceItem) {
        self.tracing.trace(&mut self.base, now, key, item)
    }

    /// Adds a decision to the trace of a live call.
    pub fn decide(&mut self, now: Instant, key: CallKey, text: impl Into<String>) {
        self.tracing.decide(&mut self.base, now, key, text)
    }

    /// Adds a DTMF digit of a leg to a call's trace.
    pub fn trace_digit(&mut self, now: Instant, at: LegRef, way: &str) {
        self.tracing.trace_digit(now, at, way)
    }

    /// Adds the message being handled to the trace of a leg, once.
    pub fn trace_received(&mut self, now: Instant, at: LegRef) {
        self.tracing.trace_received(&mut self.base, now, at)
    }

    /// Adds an outbound message to the trace of its leg.
    pub fn trace_sent(&mut self, now: Instant, at: LegRef, transmit: &SipTransmit) {
        self.tracing.trace_sent(&mut self.base, now, at, transmit)
    }

    /// Adds the response to a CANCEL, which the endpoint does not report, to the trace.
    pub(crate) fn trace_canceled(&mut self, now: Instant) {
        self.tracing.trace_canceled(&mut self.base, now)
    }

    /// Adds to the trace the 100 that answered an INVITE before its call existed.
    pub fn trace_trying(&mut self, now: Instant, at: LegRef, server: ServerId) {
        self.tracing.trace_trying(&mut self.base, now, at, server)
    }

    /// Records the answer of a call: its messages are compressed a little later, if it is still live.
    pub fn trace_answered(&mut self, now: Instant, key: CallKey) {
        self.tracing.trace_answered(now, key)
    }

    /// Compresses the messages of calls answered a while ago, a few at a time. No own deadline is needed: live calls
    /// have others.
    pub fn settle_traces(&mut self, now: Instant) {
        self.tracing.settle_traces(now)
    }

    /// Compresses the messages of an established call.
    pub fn settle_trace(&mut self, key: CallKey) {
        self.tracing.settle_trace(key)
    }

    /// Moves the trace of an ended call to the recent calls.
    pub fn keep_trace(&mut self, key: CallKey, head: TraceView, is_turned_down: bool) {
        self.tracing.keep_trace(key, head, is_turned_down)
    }

    /// Begins the trace of a call, and decides whether the call is sampled.
    pub fn begin_trace(&mut self, now: Instant, key: CallKey, sid: &str) {
        self.tracing.begin_trace(now, key, sid)
    }

    /// Returns the traceparent of a leg, if its call is sampled.
    pub fn traceparent(&self, key: CallKey, call: &str, leg: &str) -> Option<String> {
        self.tracing.traceparent(key, call, leg)
    }

    /// Opens a media session for a call. `beside` is an existing session from which an end will be moved to the new
    /// one.
    pub fn open_session(&mut self, key: CallKey, beside: Option<MediaId>) -> MediaId {
        self.sessions.open_session(&mut self.base, key, beside)
    }

    /// Adds an end with a port pair bound to `address`. Returns `None` if no pair is free.
    pub fn add_end(&mut self, id: MediaId, address: IpAddr) -> Option<NewEnd> {
        self.sessions.add_end(&mut self.base, id, address)
    }

    /// Returns the id of a new end without sockets: an agent or a player; `None` if the session is gone or has used all
    /// ids.
    pub fn new_end(&mut self, id: MediaId) -> Option<EndId> {
        self.sessions.new_end(id)
    }

    /// Closes the sockets of an end; its ports are free once the worker has reported this.
    pub fn remove_end(&mut self, id: MediaId, end: EndId) {
        self.sessions.remove_end(&mut self.base, id, end)
    }

    /// Opens a session restored from a snapshot; ids of new ends continue from `next_end`.
    pub fn resume_session(&mut self, id: MediaId, key: CallKey, next_end: u16) {
        self.sessions.resume_session(&mut self.base, id, key, next_end)
    }

    /// Restores an end of a restored session with the same ports.
    pub fn resume_end(&mut self, id: MediaId, end: EndId, bind: SocketAddr) -> Arc<EndCounters> {
        self.sessions.resume_end(&mut self.base, id, end, bind)
    }

    /// Forgets a call that could not be restored: removes its look-ups, dialogs, deadlines and trace, and closes its
    /// sessions. Requests of its remote parties get 481.
    pub fn forget_call(&mut self, key: CallKey) {
        for dialog in self.base.index.forget_call(key) {
            self.base.endpoint.forget_dialog(dialog);
        }
        self.base.deadlines.forget_call(key);
        self.sessions.close_sessions_of(&mut self.base, key);
        self.tracing.forget_call(key);
    }

    /// Frees the ports named by a worker's event. Returns the call that must handle the event; `None` if its session is
    /// closed, or the event only closes an end.
    pub fn settle_media(&mut self, id: MediaId, event: &MediaEvent) -> Option<CallKey> {
        self.sessions.settle_media(id, event)
    }

    /// Handles the result of a probe of an agent.
    pub fn agent_probed(&mut self, now: Instant, probe: AgentProbe) {
        self.agents.agent_probed(&mut self.base, now, probe)
    }

    /// Updates the gauge of skipped agents.
    pub fn note_skipped(&mut self) {
        self.agents.note_skipped(&mut self.base)
    }

    /// Updates the gauge of queued callers.
    pub fn note_waiting(&mut self) {
        self.agents.note_waiting(&mut self.base)
    }

    /// Adds an ACK that belongs to no dialog to the trace of the leg with its Call-ID.
    pub fn note_stray_ack(&mut self, now: Instant) {
        self.tracing.add_stray_ack(&self.base, now);
    }

    /// Adds a call to a conference, which is created if there is none with the name.
    ///
    /// # Errors
    /// As for [`Conferences::join`](crate::conferences::Conferences::join).
    pub fn join_conference(
        &mut self,
        now: Instant,
        name: &str,
        joining: JoinRequest,
        joiner: Joiner,
    ) -> Result<ParticipantHandle, NotJoined> {
        let random = &mut self.base.random;
        self.sessions.conferences.join(now, name, || random.conference_sid(), joining, joiner)
    }

    /// Announces a call that is placed for a conference. Returns the SID of the conference.
    pub fn expect_conference(&mut self, key: CallKey, sid_or_name: &str, date: SystemTime) -> String {
        let random = &mut self.base.random;
        self.sessions.conferences.expect(key, sid_or_name, || random.conference_sid(), date)
    }

    /// Returns the next effect of a change in a conference.
    pub fn poll_conferences(&mut self, now: Instant) -> Option<ConferenceDue> {
        let EdgeBase { wall, config, .. } = &self.base;
        self.sessions.conferences.poll(|| wall.at(now), &config.account_sid)
    }

    /// Adds a call to a queue, which is created if there is none with the name.
    ///
    /// # Errors
    /// As for [`Queues::enqueue`](crate::conferences::queues::Queues::enqueue).
    pub fn enqueue(
        &mut self,
        now: Instant,
        name_and_size: (&str, Option<u32>),
        entering: QueueEntry,
    ) -> Result<(), QueueRefusal> {
        let random = &mut self.base.random;
        self.sessions.queues.enqueue(now, name_and_size, || random.queue_sid(), entering)
    }

    /// Ends the handling of an input: completes the traces and forgets the input's message.
    pub fn end_input(&mut self, now: Instant) {
        self.settle_traces(now);
        self.base.turn.cause = None;
        self.trace_canceled(now);
        self.base.turn.arriving = None;
        self.base.turn.trying = None;
    }

    /// Replaces the set of peers' host names that could not be resolved, and updates the state of their trunks.
    pub fn set_unresolved(&mut self, now: Instant, names: HashMap<Destination, NameFault>) {
        self.states.health.unresolved = names;
        self.states.configure_health(&mut self.base, now);
    }

    /// Restores the counts of daily limits.
    pub fn resume_day_counts(&mut self, now: Instant, counts: &[DayCount]) {
        let at = self.timestamp(now);
        self.states.quotas.resume(at, counts);
    }

    /// Returns the notifier and the parts of the edge that its methods use.
    fn notifier(&mut self) -> (&mut Notifier, NotifierCx<'_>) {
        (&mut self.notifier, NotifierCx { base: &mut self.base, states: &mut self.states })
    }

    /// Handles endpoint events about subscriptions to mailboxes and their NOTIFYs. Returns any other event.
    pub fn take_notifier_event(
        &mut self,
        now: Instant,
        event: trunkgate_sip::EndpointEvent,
    ) -> Option<trunkgate_sip::EndpointEvent> {
        if let trunkgate_sip::EndpointEvent::Request {
            id: Some(_),
            dialog: None,
            method: Method::Subscribe,
            flow,
            party,
            ..
        } = &event
        {
            self.right_credentials(*party, flow.remote);
        }
        let (notifier, mut cx) = self.notifier();
        notifier.take(&mut cx, now, event)
    }

    /// Records the message counts of mailboxes, and notifies the subscribers of those that have changed.
    pub fn note_messages(&mut self, now: Instant, messages: Vec<MailboxMessages>) {
        for MailboxMessages { name, count, bytes } in &messages {
            self.sessions.recordings.note_messages(name, count.new.saturating_add(count.old), *bytes);
        }
        let (notifier, mut cx) = self.notifier();
        notifier.messages(&mut cx, now, messages);
    }

    /// Restores subscriptions of the previous process.
    pub fn restore_subscriptions(&mut self, now: Instant, kept: Vec<KeptSubscription>) {
        let (notifier, mut cx) = self.notifier();
        notifier.restore(&mut cx, now, kept);
    }

    /// Applies the table's mailboxes to the subscribers.
    pub fn configure_notifier(&mut self, now: Instant) {
        let (notifier, mut cx) = self.notifier();
        notifier.configure(&mut cx, now);
    }

    /// Notifies a phone that has registered.
    pub fn phone_registered(&mut self, now: Instant, party: SipPartyId) {
        let (notifier, mut cx) = self.notifier();
        notifier.registered(&mut cx, now, party);
    }

    /// Sends the notifications that are due, and ends expired subscriptions.
    pub fn notifications_due(&mut self, now: Instant) {
        let (notifier, mut cx) = self.notifier();
        notifier.due(&mut cx, now);
    }
}

impl Deref for Edge {
    type Target = EdgeBase;

    fn deref(&self) -> &EdgeBase {
        &self.base
    }
}

impl DerefMut for Edge {
    fn deref_mut(&mut self) -> &mut EdgeBase {
        &mut self.base
    }
}
