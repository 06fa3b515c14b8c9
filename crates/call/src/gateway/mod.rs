//! The gateway: all calls of the edge behind the single object that the signalling loop uses.

pub(crate) mod announcements;
pub(crate) mod arrival;
mod attended;
mod change_feed;
mod conferences;
pub mod control;
pub(crate) mod dispatch;
pub mod fuzz;
pub mod intake;
pub(crate) mod invariants;
mod kept;
mod queues;
mod recordings;
mod silent;
pub mod snapshot;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use trunkgate_media::{MediaEvent, MediaId, RecordingId, canonical};
use trunkgate_resources::agents::KeptStream;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::io::{GatewayInput, GatewayOutput, OperatorCommand, StreamFailure};
use trunkgate_resources::limits::CAUSE_CHARS;
use trunkgate_resources::lookups::addressing::Addressing;
use trunkgate_resources::lookups::index::IdentifiedConnection;
use trunkgate_resources::lookups::key::CallKey;
use trunkgate_resources::metrics::Metrics;
use trunkgate_resources::traces::recent::EndedCalls;
use trunkgate_route::RoutingTable;
use trunkgate_sip::{ConnectionId, Flow, SipMessage, SipPartyId};
use trunkgate_story::numbers::plain;
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::series::QualityRecord;
use trunkgate_story::trace::TraceView;
use trunkgate_story::view::{AgentView, BanView, CallView, ForkView, QualityView, SourceView, StatusView, UnknownView};

use crate::call::legs::event::{CallEvent, ProgramEvent, SearchEvent, SideEvent};
use crate::call::legs::leg::LegState;
use crate::call::parts::snapshot::CallSnapshot;
use crate::call::parts::{Call, CallParts};
use crate::call::shared::CallCx;
use crate::call::story::verdict::of_live;
use crate::call::words::refused::RequestRefusal;
use crate::call::words::state::CallState;
use crate::gateway::announcements::Announcements;
use crate::gateway::arrival::ArrivalDispatch;
use crate::gateway::invariants::Invariants;
use crate::gateway::silent::silent_now;

pub use change_feed::ChangeFeed;
pub use conferences::{ComingReport, ConferenceStates, coming, conferences, conferences_live};
pub use kept::{Capture, kept};
pub use queues::{QueuesCounted, queues, queues_counted};
pub use snapshot::{CallRestoration, GatewaySnapshot};
pub use trunkgate_resources::config::{EdgeSettings, GatewayConfig};

/// All calls of an edge, with the state that they share.
#[derive(Debug)]
pub struct Gateway {
    pub(crate) edge: Edge,
    /// Calls in the order of arrival.
    pub(crate) calls: BTreeMap<CallKey, Box<Call>>,
    pub(crate) next_call: u64,
    /// Finished calls, until the turn ends.
    pub(crate) done: Vec<CallKey>,
    /// Call that is being handled; it is ended if the code panics.
    pub(crate) at_work: Option<CallKey>,
    /// Calls that were handled since [`Gateway::take_changes`]; `None` if nothing follows the changes.
    changed: Option<Vec<CallKey>>,
    /// Announcements in conferences.
    announcements: Announcements,
}

impl Gateway {
    /// Returns the dispatcher for arriving messages.
    pub(crate) fn arrivals(&mut self) -> ArrivalDispatch<'_> {
        ArrivalDispatch { edge: &mut self.edge }
    }

    /// Sorts a received packet by its source. Returns `None` if the packet has been handled; for an unknown source that
    /// costs no more than a table look-up. A returned message may be queued before it is passed back as
    /// [`crate::GatewayInput::Message`].
    pub fn sort(&mut self, now: Instant, flow: Flow, bytes: Bytes) -> Option<SipMessage> {
        self.arrivals().sort(now, flow, bytes)
    }

    /// Returns whether a sorted message begins an emergency call, which does not wait behind other new calls.
    pub fn is_urgent(&mut self, now: Instant, flow: &Flow, message: &SipMessage) -> bool {
        self.arrivals().is_urgent(now, flow, message)
    }

    /// Returns the trunk that determines the queue of a sorted INVITE; INVITEs without a trunk share a queue.
    pub fn origin(&mut self, flow: &Flow, message: &SipMessage) -> SipPartyId {
        self.arrivals().origin(flow, message)
    }

    /// Checks, in debug builds and tests, that no index entry dangles and that nothing is left of ended calls.
    ///
    /// # Errors
    /// An invariant does not hold: the first such invariant, in plain text.
    pub fn check_invariants(&self) -> Result<(), String> {
        Invariants { edge: &self.edge, calls: &self.calls }.check()
    }

    /// Creates a gateway without calls.
    pub fn new(config: GatewayConfig, table: Arc<RoutingTable>, addressing: Addressing) -> Gateway {
        let edge = Edge::new(config, table, addressing);
        let (calls, announcements) = (BTreeMap::new(), Announcements::default());
        Gateway { edge, calls, next_call: 0, done: Vec::new(), at_work: None, changed: None, announcements }
    }

    /// Returns the settings in force, which [`GatewayInput::Configure`] replaces as a whole.
    pub fn settings(&self) -> EdgeSettings {
        self.edge.settings()
    }

    /// Handles an external event; drain [`Self::poll_output`] afterwards.
    pub fn handle_input(&mut self, now: Instant, input: GatewayInput) {
        match input {
            GatewayInput::Received { flow, bytes } => {
                if let Some(message) = self.arrivals().sort(now, flow, bytes) {
                    self.arrivals().deliver(now, flow, message);
                }
            }
            GatewayInput::Message { flow, message } => self.arrivals().deliver(now, flow, message),
            GatewayInput::TurnAway { flow, message } => self.arrivals().reject_overload(now, flow, message),
            GatewayInput::Broken { flow, bytes, what } => self.arrivals().broken(flow, bytes, what),
            GatewayInput::TransportFailed { flow, why } => {
                self.edge.turn_mut().cause = why.map(StreamFailure::Unsent);
                self.edge.transport_failed(now, Flow { remote: canonical(flow.remote), ..flow }, None, false);
            }
            GatewayInput::Unreachable { flow, quoted } => {
                let flow = Flow { remote: canonical(flow.remote), ..flow };
                self.edge.endpoint_mut().handle_input(now, trunkgate_sip::EndpointInput::Unreachable { flow, quoted });
            }
            GatewayInput::Identified { connection, remote, identity } => {
                self.edge
                    .index_mut()
                    .identities
                    .insert(connection, IdentifiedConnection { remote: canonical(remote), identity });
            }
            GatewayInput::Disconnected { flow, made_for, cause, was_up } => {
                self.edge.flow_lost(flow);
                self.edge.registrar_lost(now, Flow { remote: canonical(flow.remote), ..flow });
                let party = made_for.map(|trunk| self.edge.party(&trunk));
                if let Some(connection) = flow.connection {
                    self.edge.index_mut().identities.remove(&connection);
                }
                let short = |what: String| plain(&what, CAUSE_CHARS);
                self.edge.turn_mut().cause = cause.map(|cause| match cause {
                    StreamFailure::Tls(what) => StreamFailure::Tls(short(what)),
                    StreamFailure::Stream(what) => StreamFailure::Stream(short(what)),
                    StreamFailure::Unsent(why) => StreamFailure::Unsent(why),
                });
                self.edge.transport_failed(now, Flow { remote: canonical(flow.remote), ..flow }, party, was_up);
            }
            GatewayInput::Media { id, event } => self.media_event(now, id, event),
            GatewayInput::Resolved { query, found } => {
                if let Some(key) = self.edge.index().queries.get(&query).copied() {
                    self.tell(now, key, CallEvent::Search(SearchEvent::Resolved { query, found }));
                } else {
                    self.edge.registrar_resolved(now, query, found.as_deref().map_err(|fault| *fault));
                }
            }
            GatewayInput::AppAnswered { query, answer } => match self.edge.index().queries.get(&query).copied() {
                Some(key) => self.tell(now, key, CallEvent::Program(ProgramEvent::Answered { query, answer })),
                None => self.announcements.answered(&mut self.edge, now, query, *answer),
            },
            GatewayInput::CookiesSet { call, cookies } if self.live(&call).is_some() => {
                let date = self.edge.date(now);
                self.edge.apps_mut().cookies.store(&call, cookies, date);
            }
            GatewayInput::CookiesSet { .. } => {}
            GatewayInput::Conference(event) => conferences::take(self, now, event),
            GatewayInput::ConferencesEnded(reports) => self.edge.sessions_mut().conferences.add_ended(reports),
            GatewayInput::Recorded(done) => {
                recordings::lack(self, done.id, &done.lost);
                self.edge.recording_done(&done);
            }
            GatewayInput::RecordingLost(id, lost) => recordings::lack(self, id, &lost),
            GatewayInput::RecordingsRefused(refused) => self.edge.sessions_mut().recordings.refuse(refused),
            GatewayInput::RecordingsFail(fails) => self.edge.sessions_mut().recordings.fail(fails),
            GatewayInput::Configure(settings) => {
                self.edge.configure(now, *settings);
                self.edge.configure_notifier(now);
            }
            GatewayInput::Messages(messages) => self.edge.note_messages(now, messages),
            GatewayInput::Unresolved(names) => self.edge.set_unresolved(now, names),
            GatewayInput::DayCounts(counts) => self.edge.resume_day_counts(now, &counts),
            GatewayInput::Reconfigured(concerned) => self.edge.reconfigured(&concerned),
            GatewayInput::AgentProbed(probe) => self.edge.agent_probed(now, *probe),
            GatewayInput::Paused(pause) => {
                self.edge.postpone(pause);
                for key in self.call_keys() {
                    self.act_on(now, key, |_, cx| cx.postpone_sessions(pause));
                }
            }
            GatewayInput::Clock(date) => {
                let step = self.edge.set_clock(now, date);
                self.calls.values_mut().for_each(|call| call.shared.set_clock(step));
            }
            GatewayInput::Control(control) => self.control(now, control),
        }
        self.settle(now);
        self.edge.end_input(now);
    }

    /// Fires expired timers; drain [`Self::poll_output`] afterwards.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.edge.endpoint_mut().handle_timeout(now);
        self.settle(now);
        self.edge.check_peers(now);
        self.edge.registrations_due(now);
        self.edge.bindings_due(now);
        self.edge.notifications_due(now);
        self.edge.sources_mut().strangers.release(now);
        self.edge.agents_mut().sessions_due(now);
        self.edge.metrics_mut().sources_banned = self.edge.sources().strangers.banned() as u64;
        self.settle(now);
        while let Some((key, timer)) = self.edge.deadlines_mut().pop_due(now) {
            self.tell(now, key, CallEvent::Due(timer));
            self.settle(now);
        }
        self.edge.settle_traces(now);
    }

    /// Recovers from a panic that the caller has caught: ends the call being handled, as its state is in doubt. A call
    /// that was being restored is forgotten without a BYE; its session is closed.
    pub fn recover(&mut self, now: Instant) {
        match self.at_work.take() {
            Some(key) if self.calls.contains_key(&key) => {
                self.tell(now, key, CallEvent::Side(SideEvent::Hangup(ReasonSlug::Internal)));
            }
            Some(key) => self.edge.forget_call(key),
            None => {}
        }
        self.settle(now);
    }

    /// Returns the next output, or `None` when idle.
    pub fn poll_output(&mut self) -> Option<GatewayOutput> {
        self.edge.turn_mut().outputs.pop_front()
    }

    /// Returns the time of the next timeout, and its cause.
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let own = self.edge.deadlines().next().map(|(at, timer)| (at, timer.as_str()));
        let sip = self.edge.endpoint().poll_timeout().map(|(at, reason)| (at, reason.as_str()));
        let health = self.edge.health().next().map(|at| (at, "options"));
        let registration = self.edge.registrations().next().map(|at| (at, "registration"));
        let binding = self.edge.registrar().next().map(|at| (at, "binding"));
        let message = self.edge.indications().next().map(|at| (at, "message waiting"));
        let ban = self.edge.sources().strangers.next().map(|at| (at, "ban"));
        let session = self.edge.agents().next_end().map(|at| (at, "session"));
        let conference = conferences::next(self).map(|at| (at, "conference"));
        let all = [own, sip, health, registration, binding, message, ban, session, conference];
        all.into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Returns the live and recent calls, newest first.
    pub fn calls(&self, _now: Instant) -> Vec<CallView> {
        let (live, _) = self.live_views(None, usize::MAX);
        live.into_iter().chain(self.edge.recent().newest_first().map(|call| (**call).clone())).collect()
    }

    /// Returns up to `most` live calls older than `before`, newest first, and the key from which to continue, if more
    /// may follow.
    pub fn live_views(&self, before: Option<CallKey>, most: usize) -> (Vec<CallView>, Option<CallKey>) {
        let mut last = None;
        let all = self.calls.range((Bound::Unbounded, before.map_or(Bound::Unbounded, Bound::Excluded))).rev();
        let live = all.filter(|(_, call)| call.shared.state != CallState::Ended).take(most);
        let views: Vec<CallView> = live.inspect(|(key, _)| last = Some(**key)).map(|(_, call)| call.view()).collect();
        let next = last.filter(|_| views.len() == most);
        (views, next)
    }

    /// Returns a shared snapshot of the ended calls, so that a search in them does not block the loop.
    pub fn ended_calls(&self) -> EndedCalls {
        self.edge.recent().shared()
    }

    /// Iterates over the live legs: the name of the trunk or agent, and whether the call came from it.
    pub fn live_legs(&self) -> impl Iterator<Item = (&str, bool)> {
        let live = self.calls.values().filter(|call| call.shared.state != CallState::Ended);
        let legs = live.flat_map(|call| call.shared.legs.iter());
        legs.filter(|leg| leg.state != LegState::Ended).map(|leg| {
            let agent = leg.agent.as_ref().map(|side| &*side.agent.name);
            (agent.unwrap_or_else(|| leg.trunk_name()), leg.inbound)
        })
    }

    /// Returns a call, live or recent; `None` if it is unknown or no longer stored.
    pub fn call(&self, _now: Instant, sid: &str) -> Option<CallView> {
        let live = self.live(sid).filter(|call| call.shared.state != CallState::Ended).map(|call| call.view());
        live.or_else(|| self.edge.recent().call(sid).cloned())
    }

    /// Returns the live call that has a leg with this SID.
    pub fn call_of_leg(&self, sid: &str) -> Option<CallView> {
        let mut live = self.calls.values().filter(|call| call.shared.state != CallState::Ended);
        live.find(|call| call.shared.legs.iter().any(|leg| leg.sid == sid)).map(|call| call.view())
    }

    /// Returns the view of a live call, and its number of failovers; `None` if the call has ended.
    pub fn standing(&self, sid: &str) -> Option<(CallView, u32)> {
        let call = self.live(sid).filter(|call| call.shared.state != CallState::Ended)?;
        Some((call.view(), call.shared.story.failovers))
    }

    /// Returns the SIDs of the calls in the queue of an agent, the next first.
    pub fn waiting_for(&self, agent: &str) -> Vec<&str> {
        let line = self.edge.agents().lines().find(|(name, _)| ***name == *agent).map(|(_, line)| line);
        let calls = line.into_iter().flat_map(|line| line.waiting()).filter_map(|key| self.calls.get(&key));
        calls.map(|call| call.shared.legs.sid()).collect()
    }

    /// Returns a summary of the SIP traffic from unknown sources in the last hour, if there was any.
    pub fn unknown_sources(&self, now: Instant) -> Option<UnknownView> {
        self.edge.sources().unknown.view(now)
    }

    /// Returns the unknown sources of SIP in the last hour.
    pub fn unknown_senders(&self, now: Instant) -> Vec<SourceView> {
        self.edge.sources().unknown.sources(now)
    }

    /// Returns up to `most` banned addresses, by the end of their bans.
    pub fn banned(&self, now: Instant, most: usize) -> Vec<BanView> {
        let seconds = |until: Instant| until.saturating_duration_since(now).as_secs();
        let banned = self.edge.sources().strangers.first_banned(most);
        banned.map(|(until, address)| BanView { address, seconds: seconds(until) }).collect()
    }

    /// Returns the quality of a call, live or recent, over time. `None` if the call is unknown, or was not answered.
    pub fn quality(&self, now: Instant, sid: &str) -> Option<QualityView> {
        let live = self.live(sid).filter(|call| call.shared.state != CallState::Ended);
        let live = live.and_then(|call| call.shared.quality(now)).map(|kept| kept.view());
        live.or_else(|| self.edge.recent().series(sid).map(QualityRecord::view))
    }

    /// Returns the trace of a call, live or recent; `None` if none is stored.
    pub fn trace(&self, sid: &str) -> Option<TraceView> {
        self.traced(sid, false).map(|(_, trace)| trace)
    }

    /// Returns the trace of a call with the SIP messages as sent on the wire, as far as they are kept, with secrets
    /// overwritten.
    pub fn raw_trace(&self, sid: &str) -> Option<TraceView> {
        self.traced(sid, true).map(|(_, trace)| trace)
    }

    /// Returns the content of a call's capture file; `None` if the call has no trace.
    pub fn capture(&self, now: Instant, sid: &str) -> Option<Capture> {
        let (began, trace) = self.traced(sid, true)?;
        Some(Capture { call: self.call(now, sid)?, trace, began: self.edge.date(began) })
    }

    /// Returns the status of the edge.
    pub fn status(&self, now: Instant) -> StatusView {
        let edge = &self.edge;
        StatusView {
            edge: edge.config().name.clone(),
            calls: edge.admission().live(),
            calls_limit: edge.admission().limits().0,
            conferences: conferences_live(self),
            queues: queues(self).totals(now),
            limited: edge.admission().limited.views(now),
            unrecorded: edge.sessions().recordings.refused(now),
            logins: edge.sources().logins.views(now),
            draining: edge.admission().draining,
            ports_in_use: 2 * edge.sessions().ports.in_use(),
            ports: self.media_ports(),
            trunks: edge.table().trunks().iter().map(|trunk| edge.trunk_view(now, trunk)).collect(),
            agents: self.agents(now),
            failing_apps: edge.table().apps().iter().filter_map(|app| edge.apps().view(now, &app.name)).collect(),
            recognition: edge.apps().recognition.view(now),
            unknown: self.unknown_sources(now),
            stray: self.edge.sources().strays.lately(now),
            silent: silent_now(self.calls.values().rev().map(|call| &call.shared), edge),
        }
    }

    /// Returns the state of each configured agent.
    pub fn agents(&self, now: Instant) -> Vec<AgentView> {
        let edge = &self.edge;
        edge.table().agents().iter().map(|agent| edge.agents().view(now, |at| edge.date(at), &agent.name)).collect()
    }

    /// Returns the total number of media ports.
    pub fn media_ports(&self) -> usize {
        2 * self.edge.sessions().ports.total()
    }

    /// Returns the counters and histograms.
    pub fn metrics(&self) -> &Metrics {
        self.edge.metrics()
    }

    /// Returns, for each trunk, the calls that it has answered or rejected since the start, and those that it rejected.
    pub fn decisions(&self) -> Vec<(Arc<str>, [u64; 2])> {
        self.edge.trunks().decisions().map(|(name, decisions)| (name.clone(), decisions)).collect()
    }

    /// Returns the errors of applications since the start, except webhook errors: application, code, count.
    pub fn app_errors(&self) -> Vec<(Arc<str>, u32, u64)> {
        self.edge.apps().errors().map(|(name, code, count)| (name.clone(), code, count)).collect()
    }

    /// Returns the number of live calls.
    pub fn live_calls(&self) -> usize {
        self.edge.admission().live()
    }

    /// Returns for each flow whether its connection is needed: by a dialog, an open request, or a registered phone.
    pub fn are_in_use(&self, flows: &[Flow]) -> Vec<bool> {
        let by_requests = self.edge.endpoint().are_in_use(flows);
        let is_in_use = |(flow, needed): (&Flow, bool)| needed || self.edge.registrar().party_of(flow).is_some();
        flows.iter().zip(by_requests).map(is_in_use).collect()
    }

    /// Returns the number of registrations that are being removed.
    pub fn leaving_registrations(&self) -> usize {
        self.edge.registrations().leaving()
    }

    /// Returns the number of registered phones.
    pub fn registered_phones(&self) -> usize {
        self.edge.registrar().count()
    }

    /// Returns the number of calls in memory: live ones, and ended ones that wait for a last response.
    pub fn held_calls(&self) -> usize {
        self.calls.len()
    }

    /// Returns the trunk of an outgoing message; empty for none.
    pub fn trunk_of(&self, party: SipPartyId) -> Arc<str> {
        self.edge.party_name(party)
    }

    /// Returns the counts of the SIP endpoint: all zero once all calls and their transactions have ended.
    pub fn sip_counts(&self) -> trunkgate_sip::EndpointCounts {
        self.edge.endpoint().counts()
    }

    /// Returns the number of calls that a snapshot omits or cuts short: those being set up, those whose answer or offer
    /// is not confirmed yet, and ended ones that wait for a response.
    pub fn unsettled_calls(&self) -> usize {
        self.calls.values().filter(|call| !call.is_settled(&self.edge)).count()
    }

    /// Returns the open streams of agents over WebSockets, which another process can continue on their sockets.
    pub fn open_streams(&self) -> Vec<KeptStream> {
        self.calls.values().flat_map(|call| call.shared.legs.open_streams()).collect()
    }

    /// Sets the streams of agents that calls continue after [`Self::restore`], because their sockets are handed over.
    /// The callers hear no tone meanwhile.
    pub fn keep_streams(&mut self, streams: Vec<KeptStream>) {
        self.edge.agents_mut().keep_streams(streams);
    }

    /// Sets the SIP connections of the previous process that this process has taken over under the same ids. Dialogs
    /// restored by [`Self::restore`] use them; all others need new connections.
    pub fn keep_connections(&mut self, connections: impl IntoIterator<Item = ConnectionId>) {
        self.edge.keep_connections(connections);
    }

    /// Returns the answered calls as plain data; calls being set up are omitted. The socket of an agent is not part of
    /// it: only the agent's name is.
    pub fn snapshot(&self, now: Instant) -> GatewaySnapshot {
        let calls = self.calls.values().filter_map(|call| call.snapshot(now, &self.edge)).collect();
        GatewaySnapshot { calls, ..GatewaySnapshot::without_calls(self, now) }
    }

    /// Returns the number of changes of conferences so far that [`ConferenceStates::of`] may show.
    pub fn conference_changes(&self) -> u64 {
        self.edge.sessions().conferences.changes()
    }

    /// Lists the recordings of calls and conferences that are in progress and not paused.
    pub fn running_recordings(&self) -> Vec<RecordingId> {
        let of_calls = self.calls.values().flat_map(|call| call.parts.recorders.recordings.running());
        of_calls.chain(self.edge.sessions().conferences.running_recordings()).collect()
    }

    /// Returns the keys of all calls, for [`Self::snapshot_call`].
    pub fn call_keys(&self) -> Vec<CallKey> {
        self.calls.keys().copied().collect()
    }

    /// Starts to record which calls change, for [`Self::take_changes`]; all existing calls count as changed.
    pub fn track_changes(&mut self) {
        self.changed = Some(self.call_keys());
    }

    /// Removes and returns the calls that may have changed since the last time, each once; calls that have ended are
    /// included. Empty without [`Self::track_changes`].
    pub fn take_changes(&mut self) -> Vec<CallKey> {
        let Some(changed) = &mut self.changed else { return Vec::new() };
        let mut changed = std::mem::take(changed);
        changed.sort_unstable();
        changed.dedup();
        changed
    }

    /// Returns whether a call exists and has not ended.
    pub fn is_live(&self, key: CallKey) -> bool {
        self.calls.get(&key).is_some_and(|call| call.shared.state != CallState::Ended)
    }

    /// Marks a call as the one that is being handled, and as changed.
    fn begin_work(&mut self, key: CallKey) {
        self.at_work = Some(key);
        if let Some(changed) = self.changed.as_mut().filter(|changed| changed.last() != Some(&key)) {
            changed.push(key);
        }
    }

    /// Returns one call as plain data; `None` if a snapshot omits it. If this panics, [`Self::recover`] ends the call.
    pub fn snapshot_call(&mut self, now: Instant, key: CallKey) -> Option<CallSnapshot> {
        self.at_work = Some(key);
        let call = self.calls.get(&key).and_then(|call| call.snapshot(now, &self.edge));
        self.at_work = None;
        call
    }

    /// Restores calls. The commands of their media sessions are output again as [`GatewayOutput::Media`], unless the
    /// caller of this method has restored the sessions. Talking and listening agents get new streams. If the talking
    /// agent fails, the next target is tried; meanwhile the caller hears a ringback tone.
    pub fn restore(&mut self, now: Instant, snapshot: GatewaySnapshot) {
        let mut restoration = CallRestoration::begin(self, now, snapshot);
        while restoration.restore_next(self, now) {}
    }

    /// Returns the start of a call, and its trace.
    fn traced(&self, sid: &str, raw: bool) -> Option<(Instant, TraceView)> {
        let live = self.live(sid).and_then(|call| {
            let trace = self.edge.tracing().traces.get(&call.shared.key)?;
            Some((trace.began(), of_live(&call.shared, &call.parts.search.status(), trace, raw)))
        });
        live.or_else(|| self.edge.recent().trace(sid, raw))
    }

    fn live(&self, sid: &str) -> Option<&Call> {
        self.calls.get(self.edge.index().sids.get(sid)?).map(|call| &**call)
    }

    fn media_event(&mut self, now: Instant, id: MediaId, event: MediaEvent) {
        let Some(key) = self.edge.settle_media(id, &event) else { return };
        // A session outlives its call, so its events may come later.
        if self.calls.get(&key).is_some_and(|call| call.shared.session == Some(id)) {
            self.tell(now, key, CallEvent::Media(event));
        }
    }

    fn control(&mut self, now: Instant, control: OperatorCommand) {
        match control {
            OperatorCommand::Drain { on } => {
                self.edge.admission_mut().draining = on;
                self.edge.metrics_mut().draining = on;
            }
            OperatorCommand::EndAll => self.end_all(now),
            OperatorCommand::EndUnanswered { all } => self.end_unanswered(now, all),
            OperatorCommand::Unregister => self.edge.unregister_all(now),
            OperatorCommand::Hangup { sid } => {
                if let Some(key) = self.edge.index().sids.get(&sid).copied() {
                    self.tell(now, key, CallEvent::Side(SideEvent::Hangup(ReasonSlug::Operator)));
                }
            }
        }
    }

    /// Returns the forks of a live call, including ended ones.
    ///
    /// # Errors
    /// No call has the SID, or the call has ended.
    pub fn forks(&self, sid: &str) -> Result<Vec<ForkView>, RequestRefusal> {
        let call = self.live(sid).filter(|call| call.shared.state != CallState::Ended);
        call.map(|call| call.shared.legs.forks()).ok_or_else(|| self.missing(sid))
    }

    /// Runs a function on an answered call.
    ///
    /// # Errors
    /// The refusal if there is no such call or it is not answered, or the function's own.
    fn ask<T>(
        &mut self,
        now: Instant,
        sid: &str,
        act: impl FnOnce(&mut CallParts, &mut CallCx<'_>) -> Result<T, RequestRefusal>,
    ) -> Result<T, RequestRefusal> {
        match self.live(sid) {
            Some(call) if call.shared.state == CallState::Searching => Err(RequestRefusal::NotAnswered),
            _ => self.ask_live(now, sid, act),
        }
    }

    /// Runs a function on a call that has not ended.
    ///
    /// # Errors
    /// The refusal if there is no such call or it has ended, or the function's own.
    fn ask_live<T>(
        &mut self,
        now: Instant,
        sid: &str,
        act: impl FnOnce(&mut CallParts, &mut CallCx<'_>) -> Result<T, RequestRefusal>,
    ) -> Result<T, RequestRefusal> {
        let key = self.edge.index().sids.get(sid).copied().ok_or_else(|| self.missing(sid))?;
        if self.calls.get(&key).is_some_and(|call| call.shared.state == CallState::Ended) {
            return Err(RequestRefusal::CallEnded);
        }
        let done = self.act_on(now, key, act).ok_or(RequestRefusal::UnknownCall)?;
        self.settle(now);
        done
    }

    /// Runs a function on a call, and schedules the removal of the call if it is finished; `None` if there is no such
    /// call.
    fn act_on<T>(
        &mut self,
        now: Instant,
        key: CallKey,
        act: impl FnOnce(&mut CallParts, &mut CallCx<'_>) -> T,
    ) -> Option<T> {
        self.begin_work(key);
        let done = self.calls.get_mut(&key).map(|call| call.act_on_request(now, &mut self.edge, act));
        self.at_work = None;
        self.note_if_done(key);
        done
    }

    fn missing(&self, sid: &str) -> RequestRefusal {
        let known = self.edge.index().sids.contains_key(sid) || self.edge.recent().call(sid).is_some();
        if known { RequestRefusal::CallEnded } else { RequestRefusal::UnknownCall }
    }

    /// Outputs the data of sampled calls that have ended but still wait for a last response, before the process ends.
    pub fn tell_ended(&mut self) {
        for call in self.calls.values() {
            call.tell_sampled(&mut self.edge);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;
    use trunkgate_resources::lookups::key::LegId;

    use trunkgate_media::LatchMode;

    use std::net::SocketAddr;

    use bytes::Bytes;

    use super::*;
    use trunkgate_resources::limits::MESSAGE_TEXTS_BYTES;
    use trunkgate_resources::lookups::addressing::{Interfaces, ListenerSpec};
    use trunkgate_resources::lookups::index::LegRef;
    use trunkgate_resources::traces::traced::ReceivedMessage;
    use trunkgate_route::{NumberingPlan, Peer, Route, TableDefinition, TargetSpec, Trunk};
    use trunkgate_sip::{ListenerId, SipMessage, Transport};
    use trunkgate_story::trace::CallTrace;

    #[allow(clippy::disallowed_methods)] // only the start of virtual time
    fn gateway() -> (Instant, Gateway) {
        let now = Instant::now();
        let config = GatewayConfig {
            name: "edge".into(),
            epoch: (now, std::time::SystemTime::UNIX_EPOCH),
            seed: [1; 32],
            max_calls: 10,
            calls_per_second: 0,
            sip_message_bytes: 65_535,
            media_ports: (20_000, 20_099),
            latch: LatchMode::Strict,
            idle_timeout: Duration::ZERO,
            full_numbers: false,
            account_sid: format!("AC{:032x}", 0),
        };
        let bound = SocketAddr::from(([192, 0, 2, 1], 5060));
        let listener = ListenerSpec {
            id: ListenerId(0),
            name: "udp".into(),
            transport: Transport::Udp,
            bound,
            public_addresses: vec![],
        };
        let addressing = Addressing {
            listeners: vec![listener],
            public_addresses: vec![bound.ip()],
            local_networks: vec![],
            interfaces: Interfaces { default_v4: Some(bound.ip()), ..Interfaces::default() },
            media_bind: vec![bound.ip()],
        };
        let peer = |ip: &str| Peer::at(ip.parse().unwrap(), None, Transport::Udp);
        let trunk = |name, ip| Trunk { peers: vec![peer(ip)], ..Trunk::named(name) };
        let route = Route::named("main", vec![TargetSpec::Trunk { name: "pbx".into(), number: None, weight: None }]);
        let trunks = vec![trunk("carrier", "198.51.100.7"), trunk("pbx", "198.51.100.8")];
        let table = RoutingTable::new(TableDefinition {
            numbers: NumberingPlan::new("US").unwrap(),
            trunks,
            routes: vec![route],
            agents: vec![],
        });
        (now, Gateway::new(config, Arc::new(table), addressing))
    }

    fn invite(call: u8) -> GatewayInput {
        let remote = SocketAddr::from(([198, 51, 100, 7], 5060));
        let flow = Flow { transport: Transport::Udp, listener: ListenerId(0), remote, connection: None };
        let text = format!(
            "INVITE sip:+14155550100@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP {remote};branch=z9hG4bK{call}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:a@{remote}>;tag={call}\r\nTo: <sip:b@192.0.2.1>\r\nCall-ID: {call}\r\n\
             CSeq: 1 INVITE\r\nContact: <sip:a@{remote}>\r\nContent-Length: 0\r\n\r\n"
        );
        GatewayInput::Received { flow, bytes: Bytes::from(text) }
    }

    #[test]
    fn an_address_of_a_link_keeps_its_interface() {
        let (now, mut gateway) = gateway();
        let remote: SocketAddr = "[fe80::1%3]:5060".parse().unwrap();
        let far = Peer::at(remote.ip(), None, Transport::Udp);
        let trunks = vec![Trunk { peers: vec![far], ..Trunk::named("near") }];
        let table = RoutingTable::new(TableDefinition {
            numbers: NumberingPlan::new("US").unwrap(),
            trunks,
            routes: vec![],
            agents: vec![],
        });
        let mut settings = EdgeSettings { table: Arc::new(table), ..gateway.settings() };
        settings.addressing.public_addresses.push("fe80::2".parse().unwrap());
        gateway.handle_input(now, GatewayInput::Configure(Box::new(settings)));
        let flow = Flow { transport: Transport::Udp, listener: ListenerId(0), remote, connection: None };
        let text = "OPTIONS sip:[fe80::2] SIP/2.0\r\nVia: SIP/2.0/UDP [fe80::1]:5060;branch=z9hG4bK1;rport\r\n\
            Max-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:[fe80::2]>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n\
            Content-Length: 0\r\n\r\n";
        gateway.handle_input(now, GatewayInput::Received { flow, bytes: Bytes::from_static(text.as_bytes()) });
        let mut sent = Vec::new();
        while let Some(output) = gateway.poll_output() {
            if let GatewayOutput::Transmit(transmit) = output {
                sent.push(transmit.flow.remote);
            }
        }
        assert_eq!(sent, [remote]);
    }

    #[test]
    fn messages_of_ended_calls_go_first_then_those_of_the_oldest() {
        let (now, mut gateway) = gateway();
        let GatewayInput::Received { flow, bytes } = invite(1) else { return };
        let head = String::from_utf8_lossy(&bytes).trim_end().to_owned();
        let edge = &mut gateway.edge;
        assert_eq!(edge.tracing().message_bytes_most, MESSAGE_TEXTS_BYTES);
        edge.tracing_mut().message_bytes_most = 10_000;
        for call in 0..30 {
            edge.tracing_mut().traces.insert(CallKey(call), CallTrace::new(now, "CA0"));
            for n in 0..3 {
                let message = SipMessage::parse(Bytes::from(format!("{head}{n}\r\n\r\n"))).unwrap();
                edge.turn_mut().arriving = Some(ReceivedMessage::new(flow, message));
                edge.trace_received(now, LegRef { key: CallKey(call), leg: LegId::CALLER });
                assert!(edge.tracing().message_bytes <= edge.tracing().message_bytes_most);
            }
            if (7..10).contains(&call) {
                let trace = edge.tracing_mut().traces.remove(&CallKey(call)).unwrap();
                edge.recent_mut().push_trace(TraceView::of(call.to_string(), String::new(), vec![]), trace, false);
            }
        }
        for sid in ["7", "8", "9"] {
            let (_, trace) = edge.recent().trace(sid, true).unwrap();
            assert!(trace.entries.iter().all(|entry| entry.message.is_none()), "{sid} has ended");
        }
        let kept: Vec<u64> =
            edge.tracing().traces.iter().filter(|(_, trace)| trace.message_bytes() > 0).map(|(key, _)| key.0).collect();
        let newest = kept.len() as u64;
        assert!((5..20).contains(&newest), "{kept:?}");
        assert_eq!(kept, (30 - newest..30).collect::<Vec<_>>(), "the newest");
        assert_eq!(edge.metrics().message_texts.dropped, 3 * (30 - newest));
    }

    #[test]
    fn a_panic_ends_one_call() {
        let (now, mut gateway) = gateway();
        for call in 1..=2 {
            gateway.handle_input(now, invite(call));
        }
        assert_eq!((gateway.live_calls(), gateway.at_work), (2, None));
        while gateway.poll_output().is_some() {}
        gateway.at_work = Some(CallKey(0));
        gateway.recover(now);
        let mut reasons = Vec::new();
        while let Some(output) = gateway.poll_output() {
            if let GatewayOutput::Report(record) = output {
                reasons.push((record.call.reason, record.sip_code));
            }
        }
        assert_eq!(reasons, [(Some("internal"), 503)]);
        assert_eq!((gateway.live_calls(), gateway.at_work), (1, None));
        gateway.recover(now);
        assert_eq!(gateway.live_calls(), 1, "nobody was at work");
        gateway.check_invariants().unwrap();
    }

    #[test]
    fn a_panic_during_a_restore_leaves_nothing_of_its_call() {
        let (now, mut gateway) = gateway();
        for call in 1..=2 {
            gateway.handle_input(now, invite(call));
        }
        while gateway.poll_output().is_some() {}
        // A restored call is entered in the look-ups before it is among the calls, and counted last.
        let call = gateway.calls.remove(&CallKey(0)).unwrap();
        gateway.edge.admission_mut().end(call.shared.legs.iter().next().unwrap().trunk_name());
        for trunk in ["carrier", "pbx"] {
            gateway.edge.end_trunk_call(&trunk.into());
        }
        assert!(gateway.check_invariants().is_err());
        gateway.at_work = Some(CallKey(0));
        gateway.recover(now);
        let mut closed = Vec::new();
        while let Some(output) = gateway.poll_output() {
            if let GatewayOutput::Media { id, command: trunkgate_media::MediaCommand::Close } = output {
                closed.push(id);
            }
        }
        assert_eq!(closed.len(), 1);
        gateway.check_invariants().unwrap();
    }
}
