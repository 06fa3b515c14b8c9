//! Runtime state of each agent: open sockets, the last problem, and whether the agent is skipped.

pub mod breaker;
mod call_results;
pub mod queue;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};
use trunkgate_media::AgentTurns;
use trunkgate_media::agent::StreamLoss;
use trunkgate_route::RoutingTable;
use trunkgate_story::diagnosis::Diagnosis;
use trunkgate_story::last_hour::LastHour;
use trunkgate_story::turns::TurnView;
use trunkgate_story::view::{AffectedCalls, AgentView, FaultView};
use trunkgate_story::wall::rfc3339;

use crate::agents::breaker::{Breaker, BreakerDecision};
use crate::agents::call_results::AgentCallResults;
pub use crate::agents::call_results::FailedStream;
use crate::agents::queue::{AgentSessions, SessionGrant};
use crate::failures::faults::fault_view;
use crate::failures::unreached::{UnreachedCall, UnreachedCalls};
use crate::limits::{AGENT_SHORT_IN_ROW, PROBE_FAILURES, PROVEN_SECONDS, SESSION_ENDS};
use crate::lookups::key::CallKey;

/// State of one agent in all calls: reachability, failures, sessions and turn latencies.
#[derive(Debug, Default)]
struct AgentState {
    sessions: u64,
    opened: u64,
    lost: u64,
    /// Whether the last attempt to open a socket succeeded.
    reached: Option<bool>,
    /// Last probe: time of its end, and duration of the handshake if it succeeded.
    last_probe: Option<(Instant, Option<Duration>)>,
    /// Consecutive failed probes.
    missed_probes: u32,
    /// Time of the next probe after a failed one.
    next_probe: Option<Instant>,
    /// Last problem and its time.
    last_problem: Option<(String, Instant, StreamLoss)>,
    /// Whether the last problem comes from a probe, not from a call.
    is_probes: bool,
    /// URL of the agent; a change resets its state.
    url: String,
    breaker: Breaker,
    /// Calls in which the agent spoke, was silent or failed.
    call_results: AgentCallResults,
    /// Calls that did not reach the agent: it was skipped, or its WebSocket never opened.
    unreached: UnreachedCalls,
    /// Whether the agent was heard in calls of sufficient length.
    audio_results: AgentAudioResults,
    /// Calls with a session, and calls queued for one.
    session_queue: AgentSessions,
    /// Turn latencies of all calls with the agent.
    turns: Arc<AgentTurns>,
}

/// Calls in which an agent was heard, or had the caller long enough and was not.
#[derive(Debug, Default)]
struct AgentAudioResults {
    /// All calls, and those in which the agent was not heard.
    calls: LastHour<2>,
    /// Most recent silent call, with its SID.
    last: Option<(Diagnosis, String)>,
    /// Calls since the most recent silent one, in all of which the agent was heard.
    heard: u64,
    /// Consecutive calls in which the agent was not heard.
    in_row: u64,
    /// SIDs of the most recent silent calls that were too short to count on their own, and are not counted yet.
    uncounted: Vec<String>,
}

impl AgentAudioResults {
    /// Notes whether an agent was heard in a call. Returns the SIDs of earlier calls that are counted with it.
    fn record_call(&mut self, now: Instant, sid: &str, silent: Option<&Diagnosis>) -> Vec<String> {
        let earlier = std::mem::take(&mut self.uncounted);
        match silent {
            Some(found) => {
                self.calls.add(now, [1 + earlier.len() as u64; 2]);
                (self.last, self.heard) = (Some((found.clone(), sid.to_owned())), 0);
                earlier
            }
            None => {
                self.calls.count(now, [true, false]);
                (self.heard, self.in_row) = (self.heard + 1, 0);
                Vec::new()
            }
        }
    }

    fn count_silent_call(&mut self, sid: &str, is_proven: bool) -> Option<u64> {
        self.in_row += 1;
        if is_proven || self.in_row >= AGENT_SHORT_IN_ROW {
            return Some(self.in_row);
        }
        self.uncounted.push(sid.to_owned());
        None
    }

    fn view(&self, now: Instant) -> Option<FaultView> {
        let [of, calls] = self.calls.sums(now);
        let (found, sid) = self.last.as_ref().filter(|_| calls > 0)?;
        let [recent_of, recent_calls] = self.calls.recent(now);
        let recent = AffectedCalls { calls: recent_calls, of: recent_of };
        Some(FaultView { recent, ..fault_view((calls, of, self.heard), found, sid) })
    }
}

impl AgentState {
    /// Returns whether a socket of the agent is open, or a call has a session or is queued.
    fn is_used(&self) -> bool {
        self.sessions > 0 || !self.session_queue.is_empty()
    }

    fn forget_problem(&mut self) {
        (self.reached, self.last_problem, self.is_probes) = (None, None, false);
    }

    /// Ends probing: problems that only probes have shown are forgotten.
    fn end_probes(&mut self, now: Instant) {
        (self.last_probe, self.missed_probes) = (None, 0);
        if self.breaker.is_by_probes() {
            self.breaker = Breaker::after_url_change(now);
        }
        if self.is_probes {
            self.forget_problem();
        }
    }
}

/// Change of an agent's availability caused by a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeEffect {
    /// The availability has not changed.
    AsBefore,
    /// The first failed probe in a row.
    Down,
    /// Calls with another target skip the agent from now on.
    Skipped,
    /// The agent answers again after failed probes.
    Back,
}

/// State of all agents, and streams that outlast a restart.
#[derive(Debug, Default)]
pub struct AgentStates {
    by_name: BTreeMap<Arc<str>, AgentState>,
    /// Streams that restored calls may continue.
    kept_streams: Vec<KeptStream>,
    /// Queued calls that must call [`AgentStates::turn`], because a session may be free.
    woken: Vec<CallKey>,
    /// Sessions with an ending stream and the time at which each is free, the earliest first.
    ending: VecDeque<(Instant, Arc<str>, CallKey)>,
}

/// Open stream of a call in plain data. After a restart, the next process continues it on the same connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptStream {
    /// SID of the call.
    pub call_sid: String,
    /// URL of the agent.
    pub url: String,
    /// Whether the agent takes part in the call; otherwise it only listens.
    pub talks: bool,
    /// SID of the stream.
    pub stream_sid: String,
}

impl AgentStates {
    /// Stores the streams of calls that are being restored, until [`AgentStates::take_kept_stream`] claims them.
    pub fn keep_streams(&mut self, streams: Vec<KeptStream>) {
        self.kept_streams = streams;
    }

    /// Removes and returns the SID of the stream that a restored call had to the agent at `url`; `None` if there is
    /// none, or it is claimed already.
    pub fn take_kept_stream(&mut self, call_sid: &str, url: &str, talks: bool) -> Option<String> {
        let is_asked = |one: &KeptStream| one.call_sid == call_sid && one.url == url && one.talks == talks;
        let at = self.kept_streams.iter().position(is_asked)?;
        Some(self.kept_streams.remove(at).stream_sid)
    }

    /// Applies a table. A removed agent is forgotten once its last socket is closed and its queue is empty; an agent
    /// with a new URL is no longer skipped.
    pub fn configure(&mut self, now: Instant, table: &RoutingTable) {
        self.by_name.retain(|name, state| state.is_used() || table.agent(name).is_some());
        let gone = self.by_name.iter().filter(|(name, _)| table.agent(name).is_none());
        self.woken.extend(gone.flat_map(|(_, state)| state.session_queue.waiting()));
        for agent in table.agents() {
            let state = self.by_name.entry(agent.name.clone()).or_default();
            if agent.probe.is_zero() {
                state.end_probes(now);
            }
            if state.url != agent.url {
                state.url.clone_from(&agent.url);
                state.breaker = Breaker::after_url_change(now);
                state.call_results.withdraw();
                state.audio_results = AgentAudioResults::default();
                state.forget_problem();
                (state.last_probe, state.missed_probes) = (None, 0);
            }
            let size = agent.queue.map_or(0, |queue| queue.size);
            state.session_queue.configure(agent.max_sessions, usize::try_from(size).unwrap_or(usize::MAX));
            self.woken.extend(state.session_queue.next());
        }
    }

    /// Requests a session with an agent for a call. `returns` is true if its last stream there has failed.
    pub fn enter(&mut self, name: &Arc<str>, key: CallKey, returns: bool) -> SessionGrant {
        self.by_name.entry(name.clone()).or_default().session_queue.enter(key, returns)
    }

    /// Grants a queued call its session if the call is next and a session is free. Returns whether it was granted.
    pub fn turn(&mut self, name: &str, key: CallKey) -> bool {
        let Some(state) = self.by_name.get_mut(name) else { return false };
        let has = state.session_queue.take_turn(key);
        self.woken.extend(state.session_queue.next());
        has
    }

    /// Releases the session of a call, or its position in the queue.
    pub fn leave_line(&mut self, name: &str, key: CallKey) {
        if let Some(state) = self.by_name.get_mut(name) {
            state.session_queue.leave(key);
            self.woken.extend(state.session_queue.next());
        }
    }

    /// Releases the session of a call that has asked its stream to end. The session still counts for [`SESSION_ENDS`],
    /// until the stream has ended.
    pub fn end_session(&mut self, now: Instant, name: &Arc<str>, key: CallKey) {
        let until = now + SESSION_ENDS;
        if let Some(state) = self.by_name.get_mut(name) {
            if state.session_queue.begin_leaving(key, until) {
                self.ending.push_back((until, name.clone(), key));
            }
            self.woken.extend(state.session_queue.next());
        }
    }

    /// Returns the time at which the next session with an ending stream is free; `None` if there is none.
    pub fn next_end(&self) -> Option<Instant> {
        self.ending.front().map(|(until, ..)| *until)
    }

    /// Frees sessions with ended streams, and wakes the queued calls that are next.
    pub fn sessions_due(&mut self, now: Instant) {
        while let Some((until, name, key)) = self.ending.pop_front_if(|(until, ..)| *until <= now) {
            if let Some(state) = self.by_name.get_mut(&name) {
                state.session_queue.end_leaving(key, until);
                self.woken.extend(state.session_queue.next());
            }
        }
    }

    /// Removes and returns the queued calls that must call [`AgentStates::turn`], because a session may be free.
    pub fn woken(&mut self) -> Vec<CallKey> {
        std::mem::take(&mut self.woken)
    }

    /// Returns the number of queued calls of each named agent.
    pub fn waiting(&self) -> impl Iterator<Item = (&Arc<str>, u64)> {
        let named = self.by_name.iter().filter(|(name, _)| !name.is_empty());
        named.map(|(name, state)| (name, state.session_queue.waiting().len() as u64))
    }

    /// Returns the sessions and the queue of each agent.
    pub fn lines(&self) -> impl Iterator<Item = (&Arc<str>, &AgentSessions)> {
        self.by_name.iter().map(|(name, state)| (name, &state.session_queue))
    }

    /// Returns the last problem of an agent in plain text, and its kind.
    pub fn last_problem(&self, name: &str) -> Option<(&str, StreamLoss)> {
        let (problem, _, loss) = self.by_name.get(name)?.last_problem.as_ref()?;
        Some((problem, *loss))
    }

    /// Asks the breaker for permission to try an agent.
    pub fn ask_breaker(&mut self, now: Instant, name: &Arc<str>, key: CallKey) -> BreakerDecision {
        self.by_name.entry(name.clone()).or_default().breaker.request_permission(now, key)
    }

    /// Returns the permission that a call would get, without a change of state.
    pub fn permission(&self, now: Instant, name: &str) -> BreakerDecision {
        self.by_name.get(name).map_or(BreakerDecision::Try, |state| state.breaker.permission(now))
    }

    /// Returns the turn counters of an agent.
    pub fn turns(&mut self, name: &Arc<str>) -> Arc<AgentTurns> {
        self.by_name.entry(name.clone()).or_default().turns.clone()
    }

    /// Notes that a socket of a talking or listening agent is open.
    pub fn opened(&mut self, name: &Arc<str>) {
        let state = self.by_name.entry(name.clone()).or_default();
        state.sessions += 1;
        state.opened += 1;
        state.reached = Some(true);
    }

    /// Notes that a socket of a talking agent, requested at `began`, is open. Returns whether the agent is no longer
    /// skipped.
    pub fn can_be_had(&mut self, now: Instant, name: &Arc<str>, began: Instant) -> bool {
        let state = self.by_name.entry(name.clone()).or_default();
        state.call_results.note_reached();
        state.breaker.opened(now, began)
    }

    /// Notes that a talking agent, requested at `began`, has rejected a call: it is reachable, and this call does not
    /// try it again. Returns whether the agent is no longer skipped.
    pub fn refused(&mut self, now: Instant, name: &Arc<str>, key: CallKey, began: Instant) -> bool {
        let is_back = self.can_be_had(now, name, began);
        if let Some(state) = self.by_name.get_mut(name) {
            state.breaker.given_up(key);
        }
        is_back
    }

    /// Notes the first audio of a talking agent in a call. Returns whether the agent is no longer skipped.
    pub fn spoke(&mut self, now: Instant, name: &Arc<str>, key: CallKey, began: Instant) -> bool {
        let state = self.by_name.entry(name.clone()).or_default();
        state.call_results.note_words(now, key);
        state.breaker.spoke(began)
    }

    /// Notes whether an agent was heard in an ended call. `silent` is the reason why it was not heard, if it had
    /// the caller long enough. Returns the SIDs of earlier calls that now count as silent too.
    pub fn listened(&mut self, now: Instant, name: &Arc<str>, sid: &str, silent: Option<&Diagnosis>) -> Vec<String> {
        let state = self.by_name.entry(name.clone()).or_default();
        let earlier = state.audio_results.record_call(now, sid, silent);
        if silent.is_some() {
            state.call_results.note_silent(now, 1 + earlier.len() as u64);
        }
        earlier
    }

    /// Counts an ended call in which an agent was not heard, before [`Self::listened`]. Returns the number of such
    /// calls in a row if that must be reported. `is_proven`: the call was long enough to count on its own. `None`
    /// otherwise.
    pub fn silent_in_row(&mut self, name: &Arc<str>, sid: &str, is_proven: bool) -> Option<u64> {
        self.by_name.entry(name.clone()).or_default().audio_results.count_silent_call(sid, is_proven)
    }

    /// Notes that a socket counted by [`AgentStates::opened`] is closed.
    pub fn closed(&mut self, name: &str) {
        if let Some(state) = self.by_name.get_mut(name) {
            state.sessions = state.sessions.saturating_sub(1);
        }
    }

    /// Notes that a call has released its stream, requested at `began` and open since `open`. Returns whether the
    /// agent is no longer skipped.
    pub fn stream_released(
        &mut self,
        now: Instant,
        name: &str,
        key: CallKey,
        began: Instant,
        open: Option<Instant>,
    ) -> bool {
        let is_proven = |open| now.saturating_duration_since(open) >= Duration::from_secs(PROVEN_SECONDS);
        let Some(state) = self.by_name.get_mut(name) else { return false };
        // Keeping the call does not prove that the agent spoke: if it did not, earlier failures remain.
        state.call_results.note_end(key);
        let is_back = open.is_some_and(is_proven) && state.breaker.went_well(began);
        state.breaker.given_up(key);
        is_back
    }

    /// Notes that the agent ended its part of a call normally. Returns whether the agent is no longer skipped.
    pub fn went_well(&mut self, name: &str, key: CallKey, began: Instant) -> bool {
        let Some(state) = self.by_name.get_mut(name) else { return false };
        state.call_results.note_went_well(key);
        state.breaker.went_well(began)
    }

    /// Notes that a call has ended its stream without a result for the agent: an ended call, or a failure that is not
    /// the agent's fault.
    pub fn dropped(&mut self, name: &str, key: CallKey) {
        if let Some(state) = self.by_name.get_mut(name) {
            state.call_results.drop(key);
        }
    }

    /// Notes that a socket was refused or, if `was_open`, lost. A loss does not predict whether the next socket opens.
    pub fn lost(&mut self, now: Instant, name: &Arc<str>, (loss, problem): (StreamLoss, String), was_open: bool) {
        let state = self.by_name.entry(name.clone()).or_default();
        state.lost += 1;
        if !was_open {
            state.reached = Some(false);
        }
        (state.last_problem, state.is_probes) = (Some((problem, now, loss)), false);
    }

    /// Notes that a stream of a talking agent has failed. Returns whether the agent is skipped from now on.
    pub fn failed(&mut self, now: Instant, name: &Arc<str>, stream: &FailedStream<'_>) -> bool {
        let state = self.by_name.entry(name.clone()).or_default();
        state.call_results.note_failed(now, stream);
        let opens = state.breaker.failed(now, stream.began, stream.key, stream.stage);
        if opens {
            // No call waits for a skipped agent.
            self.woken.extend(state.session_queue.waiting());
        }
        opens
    }

    /// Notes that an agent has ended a call at once without speaking, so that the caller was hung up on. Its
    /// WebSocket works, so the breaker counts a success. Returns whether the agent is no longer skipped.
    pub fn left_at_once(&mut self, now: Instant, name: &Arc<str>, stream: &FailedStream<'_>) -> bool {
        let state = self.by_name.entry(name.clone()).or_default();
        state.call_results.note_failed(now, stream);
        state.call_results.note_hung_up(now, stream.key);
        state.breaker.went_well(stream.began)
    }

    /// Notes that a call has ended because the agent failed, without another target for the caller.
    pub fn hung_up(&mut self, now: Instant, name: &str, key: CallKey) {
        if let Some(state) = self.by_name.get_mut(name) {
            state.call_results.note_hung_up(now, key);
        }
    }

    /// Notes a call that did not reach an agent: skipped, or connection failed.
    pub fn unreached(&mut self, now: Instant, name: &Arc<str>, call: UnreachedCall<'_>) {
        self.by_name.entry(name.clone()).or_default().unreached.note(now, call);
    }

    /// Notes a successful probe, with its start and duration; `None` if the agent has only accepted a connection.
    pub fn probed(&mut self, now: Instant, name: &Arc<str>, probe: Option<(Instant, Duration)>) -> ProbeEffect {
        let state = self.by_name.entry(name.clone()).or_default();
        let was_down = std::mem::replace(&mut state.missed_probes, 0) > 0;
        state.reached = Some(true);
        let is_refusal = matches!(state.last_problem, Some((.., StreamLoss::Unreachable)));
        if was_down {
            state.call_results.note_back();
        } else if probe.is_some() || is_refusal {
            // A connection alone does not clear a failed handshake.
            state.call_results.note_reached();
        }
        let is_back = probe.is_some_and(|(began, took)| {
            state.last_probe = Some((now, Some(took)));
            state.breaker.opened(now, began)
        });
        if is_back || was_down { ProbeEffect::Back } else { ProbeEffect::AsBefore }
    }

    /// Notes a failed probe. After the second in a row, calls skip the agent until a probe succeeds or `pause` is over.
    /// `counts` is true if the agent is the cause of the failure.
    pub(crate) fn missed_probe(
        &mut self,
        now: Instant,
        name: &Arc<str>,
        (loss, problem): (StreamLoss, String),
        (counts, pause, next): (bool, Duration, Instant),
    ) -> ProbeEffect {
        let state = self.by_name.entry(name.clone()).or_default();
        state.next_probe = Some(next);
        state.missed_probes = state.missed_probes.saturating_add(1);
        state.reached = Some(false);
        state.last_probe = Some((now, None));
        (state.last_problem, state.is_probes) = (Some((problem, now, loss)), true);
        if counts && state.missed_probes >= PROBE_FAILURES && state.breaker.missed(now, pause) {
            self.woken.extend(state.session_queue.waiting());
            return ProbeEffect::Skipped;
        }
        if state.missed_probes == 1 { ProbeEffect::Down } else { ProbeEffect::AsBefore }
    }

    /// Returns whether an agent is skipped because of probes only.
    pub fn is_skipped_by_probes(&self, name: &str) -> bool {
        self.by_name.get(name).is_some_and(|state| state.breaker.is_by_probes())
    }

    /// Returns the time until the next probe after failed ones; `None` if probes succeed or are disabled.
    pub fn next_probe(&self, now: Instant, name: &str) -> Option<Duration> {
        let state = self.by_name.get(name).filter(|state| state.missed_probes > 0)?;
        Some(state.next_probe?.saturating_duration_since(now))
    }

    /// Returns each named agent, and whether it is skipped.
    pub fn skipped(&self) -> impl Iterator<Item = (&Arc<str>, bool)> {
        self.by_name.iter().filter(|(name, _)| !name.is_empty()).map(|(name, state)| (name, state.breaker.is_open()))
    }

    /// Returns the calls that are trials, for invariant checks.
    pub fn trials(&self) -> impl Iterator<Item = (&Arc<str>, CallKey)> {
        self.by_name.iter().filter_map(|(name, state)| Some((name, state.breaker.trial()?)))
    }

    /// Returns the number of open sockets, for invariant checks.
    pub fn sessions(&self) -> u64 {
        self.by_name.values().map(|state| state.sessions).sum()
    }

    /// Returns the state of an agent for display.
    pub fn view(&self, now: Instant, date: impl Fn(Instant) -> SystemTime, name: &str) -> AgentView {
        let state = self.by_name.get(name);
        let breaker = state.map(|state| &state.breaker);
        let wait = match self.permission(now, name) {
            BreakerDecision::Wait(wait) => Some(wait),
            BreakerDecision::Try | BreakerDecision::Trial | BreakerDecision::Tried => None,
        };
        let problem = state.and_then(|state| state.last_problem.clone());
        let probe = state.and_then(|state| state.last_probe);
        let turns = state.map(|state| state.turns.clone()).unwrap_or_default();
        AgentView {
            name: name.to_owned(),
            state: match state.map(|state| (state.reached, state.sessions)) {
                _ if breaker.is_some_and(Breaker::is_open) => "skipped",
                Some((Some(true), _) | (Some(false), 1..)) => "up",
                Some((Some(false), 0)) => "down",
                Some((None, _)) | None => "unknown",
            },
            sessions: state.map_or(0, |state| state.sessions),
            talking: state.map_or(0, |state| state.session_queue.sessions().len() as u64),
            waiting: state.map_or(0, |state| state.session_queue.waiting().len() as u64),
            failed: state.and_then(|state| state.call_results.view(now)),
            unreached: state.map(|state| state.unreached.view(now)).unwrap_or_default(),
            silent: state.and_then(|state| state.audio_results.view(now)),
            opened: state.map_or(0, |state| state.opened),
            lost: state.map_or(0, |state| state.lost),
            last_problem_at: problem.as_ref().map(|(_, at, _)| rfc3339(date(*at))),
            loss: problem.as_ref().map(|(.., loss)| *loss),
            problem_at: problem.as_ref().map(|(_, at, _)| *at),
            last_problem: problem.map(|(text, ..)| text),
            last_probe: probe.map(|(at, _)| rfc3339(date(at))),
            probe_ms: probe.and_then(|(_, took)| took).map(|took| (took.as_secs_f64() * 1e4).round() / 10.0),
            next_try_ms: wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
            is_by_probes: breaker.is_some_and(Breaker::is_by_probes),
            turn_ms: TurnView::of_agent(&turns),
            turns,
        }
    }
}
