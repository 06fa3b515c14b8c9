//! What is known of each agent at run time: its sockets, what went wrong last, and whether it is skipped.

pub mod breaker;
mod kept;
pub mod queue;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use trunkgate_media::AgentTurns;
use trunkgate_media::agent::Loss;
use trunkgate_route::Table;
use trunkgate_story::diagnosis::Diagnosis;
use trunkgate_story::last_hour::LastHour;
use trunkgate_story::turns::TurnView;
use trunkgate_story::view::{AgentView, FaultView, Recent};
use trunkgate_story::wall::rfc3339;

use crate::agents::breaker::{Breaker, Permission};
pub use crate::agents::kept::FailedStream;
use crate::agents::kept::Kept;
use crate::agents::queue::{Entry, Line};
use crate::failures::faults::fault_view;
use crate::failures::unreached::{Unreached, UnreachedCall};
use crate::limits::{AGENT_SHORT_IN_ROW, PROBE_FAILURES, PROVEN_SECONDS, SESSION_ENDS};
use crate::lookups::key::CallKey;

/// One agent's state.
#[derive(Debug, Default)]
struct AgentState {
    sessions: u64,
    opened: u64,
    lost: u64,
    /// Whether the last attempt to open a socket of its was good.
    reached: Option<bool>,
    /// The last probe: when it was over, and how long the handshake took if it was good.
    last_probe: Option<(Instant, Option<Duration>)>,
    /// Probes that have failed in a row.
    missed_probes: u32,
    /// When the next probe is due, after one that failed.
    next_probe: Option<Instant>,
    /// What went wrong last, and when.
    last_problem: Option<(String, Instant, Loss)>,
    /// Whether a probe says so, and no call.
    is_probes: bool,
    /// Where it is; one that has moved begins anew.
    url: String,
    breaker: Breaker,
    /// Calls in which it spoke, was silent or failed.
    kept: Kept,
    /// Calls that did not reach it: skipped, or its WebSocket never opened.
    unreached: Unreached,
    /// Whether it was heard in calls that it had for long enough.
    hearing: Hearing,
    /// Calls that have a session, and those that wait for one.
    line: Line,
    /// Turns of all its calls.
    turns: Arc<AgentTurns>,
}

/// Calls in which an agent was heard, or had the caller for long enough and was not.
#[derive(Debug, Default)]
struct Hearing {
    /// All of them, and those in which it was not.
    calls: LastHour<2>,
    /// The last of these, with its call's sid.
    last: Option<(Diagnosis, String)>,
    /// Calls in which it was heard since.
    heard: u64,
    /// Calls in a row in which it was not heard, up to now.
    in_row: u64,
    /// SIDs of the latest of these that were too short to tell by themselves, and are not counted yet.
    uncounted: Vec<String>,
}

impl Hearing {
    /// Notes a call; returns the SIDs of earlier ones that are counted with it.
    fn note(&mut self, now: Instant, sid: &str, silent: Option<&Diagnosis>) -> Vec<String> {
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

    fn is_told(&mut self, sid: &str, is_proven: bool) -> Option<u64> {
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
        let recent = Recent { calls: recent_calls, of: recent_of };
        Some(FaultView { recent, ..fault_view((calls, of, self.heard), found, sid) })
    }
}

impl AgentState {
    /// Whether a call has anything of it.
    fn is_used(&self) -> bool {
        self.sessions > 0 || !self.line.is_empty()
    }

    fn forget_problem(&mut self) {
        (self.reached, self.last_problem, self.is_probes) = (None, None, false);
    }

    /// It is not probed any more: what probes alone have said of it is past.
    fn end_probes(&mut self, now: Instant) {
        (self.last_probe, self.missed_probes) = (None, 0);
        if self.breaker.is_by_probes() {
            self.breaker = Breaker::begin(now);
        }
        if self.is_probes {
            self.forget_problem();
        }
    }
}

/// What a probe has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probed {
    /// Nothing.
    AsBefore,
    /// The agent did not answer, for the first time.
    Down,
    /// Calls that have another target skip it from now on.
    Skipped,
    /// It answers again.
    Back,
}

/// All agents by name.
#[derive(Debug, Default)]
pub struct Agents {
    by_name: BTreeMap<Arc<str>, AgentState>,
    /// Calls that wait, and have to look again.
    woken: Vec<CallKey>,
    /// Sessions whose stream has been told to end, the first first.
    ending: VecDeque<(Instant, Arc<str>, CallKey)>,
}

impl Agents {
    /// Takes a table over. An agent that is gone is forgotten once its last socket is closed, and nobody waits for it any
    /// more; one with another URL is no longer skipped.
    pub fn configure(&mut self, now: Instant, table: &Table) {
        self.by_name.retain(|name, state| state.is_used() || table.agent(name).is_some());
        let gone = self.by_name.iter().filter(|(name, _)| table.agent(name).is_none());
        self.woken.extend(gone.flat_map(|(_, state)| state.line.waiting()));
        for agent in table.agents() {
            let state = self.by_name.entry(agent.name.clone()).or_default();
            if agent.probe.is_zero() {
                state.end_probes(now);
            }
            if state.url != agent.url {
                state.url.clone_from(&agent.url);
                state.breaker = Breaker::begin(now);
                state.kept.withdraw();
                state.hearing = Hearing::default();
                state.forget_problem();
                (state.last_probe, state.missed_probes) = (None, 0);
            }
            let size = agent.queue.map_or(0, |queue| queue.size);
            state.line.configure(agent.max_sessions, usize::try_from(size).unwrap_or(usize::MAX));
            self.woken.extend(state.line.next());
        }
    }
    /// A call wants a session with an agent; `returns`: its last stream there has failed.
    pub fn enter(&mut self, name: &Arc<str>, key: CallKey, returns: bool) -> Entry {
        self.by_name.entry(name.clone()).or_default().line.enter(key, returns)
    }
    /// Whether it is the turn of a call that waits: it has a session then.
    pub fn turn(&mut self, name: &str, key: CallKey) -> bool {
        let Some(state) = self.by_name.get_mut(name) else { return false };
        let has = state.line.turn(key);
        self.woken.extend(state.line.next());
        has
    }
    /// A call gives its session up, or its place among those that wait.
    pub fn leave_line(&mut self, name: &str, key: CallKey) {
        if let Some(state) = self.by_name.get_mut(name) {
            state.line.leave(key);
            self.woken.extend(state.line.next());
        }
    }
    /// The same of one whose stream has just been told to end.
    pub fn end_session(&mut self, now: Instant, name: &Arc<str>, key: CallKey) {
        let until = now + SESSION_ENDS;
        if let Some(state) = self.by_name.get_mut(name) {
            if state.line.end(key, until) {
                self.ending.push_back((until, name.clone(), key));
            }
            self.woken.extend(state.line.next());
        }
    }
    /// When the next session has ended.
    pub fn next_end(&self) -> Option<Instant> {
        self.ending.front().map(|(until, ..)| *until)
    }
    /// Has those wait no longer whose turn it is, as streams have ended.
    pub fn sessions_due(&mut self, now: Instant) {
        while let Some((until, name, key)) = self.ending.pop_front_if(|(until, ..)| *until <= now) {
            if let Some(state) = self.by_name.get_mut(&name) {
                state.line.ended(key, until);
                self.woken.extend(state.line.next());
            }
        }
    }
    /// Calls that wait, and have to look again.
    pub fn woken(&mut self) -> Vec<CallKey> {
        std::mem::take(&mut self.woken)
    }
    /// How many wait for each agent that has a name.
    pub fn waiting(&self) -> impl Iterator<Item = (&Arc<str>, u64)> {
        let named = self.by_name.iter().filter(|(name, _)| !name.is_empty());
        named.map(|(name, state)| (name, state.line.waiting().len() as u64))
    }
    /// Each agent's sessions and those that wait.
    pub fn lines(&self) -> impl Iterator<Item = (&Arc<str>, &Line)> {
        self.by_name.iter().map(|(name, state)| (name, &state.line))
    }
    /// Returns an agent's last failure in words, and its kind.
    pub fn last_problem(&self, name: &str) -> Option<(&str, Loss)> {
        let (problem, _, loss) = self.by_name.get(name)?.last_problem.as_ref()?;
        Some((problem, *loss))
    }
    /// Asks for a call whether its agent may be tried.
    pub fn ask(&mut self, now: Instant, name: &Arc<str>, key: CallKey) -> Permission {
        self.by_name.entry(name.clone()).or_default().breaker.ask(now, key)
    }
    /// The same, and nothing follows from it.
    pub fn permission(&self, now: Instant, name: &str) -> Permission {
        self.by_name.get(name).map_or(Permission::Try, |state| state.breaker.permission(now))
    }
    /// Returns where the turns of an agent's calls are counted.
    pub fn turns(&mut self, name: &Arc<str>) -> Arc<AgentTurns> {
        self.by_name.entry(name.clone()).or_default().turns.clone()
    }
    /// Notes that a socket is open, of an agent that talks or listens.
    pub fn opened(&mut self, name: &Arc<str>) {
        let state = self.by_name.entry(name.clone()).or_default();
        state.sessions += 1;
        state.opened += 1;
        state.reached = Some(true);
    }
    /// Notes that a socket of one that talks, asked for at `began`, is open; whether it is no longer skipped.
    pub fn can_be_had(&mut self, now: Instant, name: &Arc<str>, began: Instant) -> bool {
        let state = self.by_name.entry(name.clone()).or_default();
        state.kept.note_reached();
        state.breaker.opened(now, began)
    }
    /// Notes that one that talks, asked for at `began`, does not want the call: it can be had, and this call tries it no longer; whether it is
    /// no longer skipped.
    pub fn refused(&mut self, now: Instant, name: &Arc<str>, key: CallKey, began: Instant) -> bool {
        let is_back = self.can_be_had(now, name, began);
        if let Some(state) = self.by_name.get_mut(name) {
            state.breaker.given_up(key);
        }
        is_back
    }
    /// Notes that one that talks, asked for at `began`, has said its first words in a call; whether it is no longer skipped.
    pub fn spoke(&mut self, now: Instant, name: &Arc<str>, key: CallKey, began: Instant) -> bool {
        let state = self.by_name.entry(name.clone()).or_default();
        state.kept.note_words(now, key);
        state.breaker.spoke(began)
    }
    /// Notes whether an agent was heard in a call that is over; `silent`: it had the caller for long enough, and why it was not.
    /// Returns the SIDs of earlier calls that this one shows to be silent too.
    pub fn listened(&mut self, now: Instant, name: &Arc<str>, sid: &str, silent: Option<&Diagnosis>) -> Vec<String> {
        let state = self.by_name.entry(name.clone()).or_default();
        let earlier = state.hearing.note(now, sid, silent);
        if silent.is_some() {
            state.kept.note_silent(now, 1 + earlier.len() as u64);
        }
        earlier
    }
    /// Counts a call that is over and in which an agent was not heard, before [`Self::listened`]; returns how many there were in a
    /// row where that is to be reported: `is_proven`: this call alone shows it, a short one does not.
    pub fn silent_in_row(&mut self, name: &Arc<str>, sid: &str, is_proven: bool) -> Option<u64> {
        self.by_name.entry(name.clone()).or_default().hearing.is_told(sid, is_proven)
    }
    /// Notes that a socket which was open is no longer ours.
    pub fn closed(&mut self, name: &str) {
        if let Some(state) = self.by_name.get_mut(name) {
            state.sessions = state.sessions.saturating_sub(1);
        }
    }
    /// Notes that a call has no more use for a stream which it asked for at `began`, and which was open since `open`, if
    /// it ever was; whether the agent is no longer skipped.
    pub fn let_go(&mut self, now: Instant, name: &str, key: CallKey, began: Instant, open: Option<Instant>) -> bool {
        let is_proven = |open| now.saturating_duration_since(open) >= Duration::from_secs(PROVEN_SECONDS);
        let Some(state) = self.by_name.get_mut(name) else { return false };
        // That it kept the call is no sign that it spoke: if it did not, what it failed in before stands.
        state.kept.note_end(key);
        let is_back = open.is_some_and(is_proven) && state.breaker.went_well(began);
        state.breaker.given_up(key);
        is_back
    }
    /// Notes that the agent itself ended its part, in good order; whether it is no longer skipped.
    pub fn went_well(&mut self, name: &str, key: CallKey, began: Instant) -> bool {
        let Some(state) = self.by_name.get_mut(name) else { return false };
        state.kept.note_went_well(key);
        state.breaker.went_well(began)
    }
    /// Notes that a call has dropped its stream, also where it failed without a fault of the agent.
    pub fn dropped(&mut self, name: &str, key: CallKey) {
        if let Some(state) = self.by_name.get_mut(name) {
            state.kept.drop(key);
        }
    }
    /// Notes that a socket was refused, or lost where it `was_open`: that says nothing of whether the next one opens.
    pub fn lost(&mut self, now: Instant, name: &Arc<str>, (loss, problem): (Loss, String), was_open: bool) {
        let state = self.by_name.entry(name.clone()).or_default();
        state.lost += 1;
        if !was_open {
            state.reached = Some(false);
        }
        (state.last_problem, state.is_probes) = (Some((problem, now, loss)), false);
    }
    /// Notes that this was one that talks; whether it is skipped from now on.
    pub fn failed(&mut self, now: Instant, name: &Arc<str>, stream: &FailedStream<'_>) -> bool {
        let state = self.by_name.entry(name.clone()).or_default();
        state.kept.note_failed(now, stream);
        let opens = state.breaker.failed(now, stream.began, stream.key, stream.stage);
        if opens {
            // Nobody is to wait for one that is skipped.
            self.woken.extend(state.line.waiting());
        }
        opens
    }
    /// Notes that an agent has ended a call at once, without a word: its caller was hung up on. That its WebSocket works counts all the same;
    /// whether the agent is no longer skipped.
    pub fn left_at_once(&mut self, now: Instant, name: &Arc<str>, stream: &FailedStream<'_>) -> bool {
        let state = self.by_name.entry(name.clone()).or_default();
        state.kept.note_failed(now, stream);
        state.kept.note_hung_up(now, stream.key);
        state.breaker.went_well(stream.began)
    }
    /// Notes that a call has ended because the agent failed in it: its caller got no other target.
    pub fn hung_up(&mut self, now: Instant, name: &str, key: CallKey) {
        if let Some(state) = self.by_name.get_mut(name) {
            state.kept.note_hung_up(now, key);
        }
    }
    /// Notes a call that did not reach an agent: it was skipped, or could not be connected with.
    pub fn unreached(&mut self, now: Instant, name: &Arc<str>, call: UnreachedCall<'_>) {
        self.by_name.entry(name.clone()).or_default().unreached.note(now, call);
    }
    /// Notes that an agent has answered a probe, with when it was asked and how long that took; `None`: it has only accepted a connection.
    pub fn probed(&mut self, now: Instant, name: &Arc<str>, probe: Option<(Instant, Duration)>) -> Probed {
        let state = self.by_name.entry(name.clone()).or_default();
        let was_down = std::mem::replace(&mut state.missed_probes, 0) > 0;
        state.reached = Some(true);
        let is_refusal = matches!(state.last_problem, Some((.., Loss::Unreachable)));
        if was_down {
            state.kept.note_back();
        } else if probe.is_some() || is_refusal {
            // A connection alone shows nothing of a handshake that failed.
            state.kept.note_reached();
        }
        let is_back = probe.is_some_and(|(began, took)| {
            state.last_probe = Some((now, Some(took)));
            state.breaker.opened(now, began)
        });
        if is_back || was_down { Probed::Back } else { Probed::AsBefore }
    }
    /// Notes that a probe has failed. The second in a row has calls skip the agent until a probe is good again or `pause` is over;
    /// `counts`: it tells that the agent is not well.
    pub(crate) fn missed_probe(
        &mut self,
        now: Instant,
        name: &Arc<str>,
        (loss, problem): (Loss, String),
        (counts, pause, next): (bool, Duration, Instant),
    ) -> Probed {
        let state = self.by_name.entry(name.clone()).or_default();
        state.next_probe = Some(next);
        state.missed_probes = state.missed_probes.saturating_add(1);
        state.reached = Some(false);
        state.last_probe = Some((now, None));
        (state.last_problem, state.is_probes) = (Some((problem, now, loss)), true);
        if counts && state.missed_probes >= PROBE_FAILURES && state.breaker.missed(now, pause) {
            self.woken.extend(state.line.waiting());
            return Probed::Skipped;
        }
        if state.missed_probes == 1 { Probed::Down } else { Probed::AsBefore }
    }
    /// Whether an agent is skipped for what probes alone have said.
    pub fn is_skipped_by_probes(&self, name: &str) -> bool {
        self.by_name.get(name).is_some_and(|state| state.breaker.is_by_probes())
    }
    /// How long until the next probe of an agent whose probes fail; `None`: they do not, or there are none.
    pub fn next_probe(&self, now: Instant, name: &str) -> Option<Duration> {
        let state = self.by_name.get(name).filter(|state| state.missed_probes > 0)?;
        Some(state.next_probe?.saturating_duration_since(now))
    }
    /// Each agent that has a name, and whether it is skipped.
    pub fn skipped(&self) -> impl Iterator<Item = (&Arc<str>, bool)> {
        self.by_name.iter().filter(|(name, _)| !name.is_empty()).map(|(name, state)| (name, state.breaker.is_open()))
    }
    /// The calls that try an agent for the others, for the invariants.
    pub fn trials(&self) -> impl Iterator<Item = (&Arc<str>, CallKey)> {
        self.by_name.iter().filter_map(|(name, state)| Some((name, state.breaker.trial()?)))
    }
    /// Open sockets in all, for the invariants.
    pub fn sessions(&self) -> u64 {
        self.by_name.values().map(|state| state.sessions).sum()
    }
    /// An agent at a glance.
    pub fn view(&self, now: Instant, date: impl Fn(Instant) -> SystemTime, name: &str) -> AgentView {
        let state = self.by_name.get(name);
        let breaker = state.map(|state| &state.breaker);
        let wait = match self.permission(now, name) {
            Permission::Wait(wait) => Some(wait),
            Permission::Try | Permission::Trial | Permission::Tried => None,
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
            talking: state.map_or(0, |state| state.line.sessions().len() as u64),
            waiting: state.map_or(0, |state| state.line.waiting().len() as u64),
            failed: state.and_then(|state| state.kept.view(now)),
            unreached: state.map(|state| state.unreached.view(now)).unwrap_or_default(),
            silent: state.and_then(|state| state.hearing.view(now)),
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
