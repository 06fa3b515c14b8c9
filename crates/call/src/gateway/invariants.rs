//! Invariants between two turns: no index entry dangles, and no resource is held without an owner.

use std::collections::BTreeMap;

use trunkgate_media::EndId;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::lookups::deadlines::CallTimer;
use trunkgate_resources::lookups::key::{CallKey, LegId};

use crate::call::legs::leg::{Leg, LegState};
use crate::call::parts::Call;
use crate::call::search::attempt::AttemptState;
use crate::call::words::state::CallState;

/// The calls of an edge and their shared state, for mutual checks.
pub(crate) struct Invariants<'g> {
    /// State shared by all calls.
    pub(crate) edge: &'g Edge,
    /// Calls of the edge.
    pub(crate) calls: &'g BTreeMap<CallKey, Box<Call>>,
}

impl Invariants<'_> {
    /// Checks all invariants between the calls and the state of the edge.
    ///
    /// # Errors
    /// The first invariant that does not hold, as text.
    pub(crate) fn check(&self) -> Result<(), String> {
        let edge = self.edge;
        for (what, at) in edge.index().places() {
            let call = self.calls.get(&at.key).ok_or_else(|| format!("{what} of call {at:?}, which is gone"))?;
            hold(call.shared.legs.has(at.leg), || format!("{what} of leg {at:?}, which is none"))?;
        }
        for (at, key, timer) in edge.deadlines().iter() {
            let known = self.calls.get(key).and_then(|call| call.shared.deadlines.get(*timer));
            hold(known == Some(at), || format!("deadline {timer:?} of {key:?} that the call does not know"))?;
        }
        for key in edge.index().queries.values().chain(edge.index().sids.values()) {
            hold(self.calls.contains_key(key), || format!("{key:?} is looked up but gone"))?;
        }
        for key in edge.sessions().conferences.calls() {
            let is_seated = self.calls.get(&key).is_some_and(|call| call.parts.program.conference.is_joined());
            hold(is_seated, || format!("{key:?} is a party of a conference that it is not in"))?;
        }
        for key in edge.sessions().conferences.expected_calls() {
            let origin = self.calls.get(&key).and_then(|call| call.shared.origin.as_ref());
            let is_coming = origin.is_some_and(|origin| origin.participant().is_some());
            hold(is_coming, || format!("{key:?} is expected in a conference that it is not called for"))?;
        }
        for key in edge.sessions().queues.calls() {
            let has_place = self.calls.get(&key).is_some_and(|call| call.parts.program.queue.has_place());
            hold(has_place, || format!("{key:?} has a place in a queue that it does not know"))?;
        }
        for key in edge.unproven_early().calls() {
            let lives = self.calls.get(&key).is_some_and(|call| call.shared.state != CallState::Ended);
            hold(lives, || format!("early media of {key:?} is counted, which is over"))?;
        }
        for key in edge.tracing().traces.keys() {
            hold(self.calls.contains_key(key), || format!("trace of {key:?}, which is gone"))?;
        }
        hold(edge.tracing().sampled.keys().all(|key| self.calls.contains_key(key)), || {
            "a call is reported that does not exist".into()
        })?;
        hold(edge.tracing().traces.len() == self.calls.len(), || "a call without trace".into())?;
        let texts: usize = edge.tracing().traces.values().map(|trace| trace.message_bytes()).sum();
        let texts = texts + edge.recent().message_bytes();
        hold(edge.tracing().message_bytes == texts, || {
            format!("messages take {texts}, not {}", edge.tracing().message_bytes)
        })?;
        self.calls.values().try_for_each(|call| self.check_call(call))?;
        self.check_counts()
    }

    fn check_call(&self, call: &Call) -> Result<(), String> {
        let sid = call.shared.legs.sid();
        let deadlines = self.edge.deadlines().iter().filter(|(_, key, _)| *key == call.shared.key).count();
        hold(deadlines == call.shared.deadlines.len(), || format!("{sid}: a deadline that never comes"))?;
        let program = call.parts.program.run();
        hold(program.is_some() == call.shared.is_programmed, || format!("{sid}: a program that is not noted"))?;
        let is_served = program.is_some_and(|run| !run.of_caller().has_side());
        if let Some(run) = program.filter(|run| !run.has_side() && call.shared.state != CallState::Ended) {
            hold(call.parts.program.is_waiting(), || format!("{sid}: a program that waits for nothing: {run:?}"))?;
            let forgets = is_served && call.shared.legs.callee.is_some();
            hold(!forgets, || format!("{sid}: a program that forgets a party"))?;
        }
        if let Some(run) = program.filter(|run| run.has_deadline() && call.shared.state != CallState::Ended) {
            let is_armed = call.shared.deadlines.contains(CallTimer::Program);
            hold(is_armed, || format!("{sid}: a program whose time never comes: {run:?}"))?;
        }
        match call.shared.state {
            CallState::Searching => {
                hold(call.parts.search.attempts.first().is_some() != is_served, || {
                    format!("{sid}: searching without an attempt")
                })?;
                let is_requested = call.shared.is_requested();
                hold(is_requested || call.shared.legs[LegId::CALLER].sip.server.is_some(), || {
                    format!("{sid}: searching without an INVITE to answer")
                })
            }
            CallState::Answered => {
                check_agent_is_heard(call).map_err(|what| format!("{sid}: {what}"))?;
                let callee = call.shared.legs.callee.and_then(|at| call.shared.legs.get(at));
                let talks = |leg: &Leg| leg.sip.dialog.is_some() || leg.agent.is_some();
                let answered = callee.is_some_and(|leg| leg.state == LegState::Answered && talks(leg));
                let joins = call.parts.bridge.negotiation.is_in_join();
                hold(answered || joins, || format!("{sid}: answered without a callee"))?;
                hold(call.parts.search.attempts.first().is_none(), || format!("{sid}: answered and still searching"))
            }
            CallState::Rerouting => {
                check_hears_music(call).map_err(|what| format!("{sid}: {what}"))?;
                let is_served = is_served || call.shared.awaits_verdict;
                let waits = is_served || call.parts.bridge.waits_for_ack(&call.shared);
                hold(call.parts.search.attempts.first().is_none() == waits, || {
                    format!("{sid}: rerouting without an attempt")
                })?;
                let has = call.shared.legs.callee.and_then(|at| call.shared.legs.get(at));
                let talks = has.is_some_and(|leg| leg.agent.is_some() && leg.state == LegState::Answered);
                hold(talks == call.parts.search.is_consulting(), || {
                    format!("{sid}: rerouting from a connected target")
                })?;
                hold(talks || call.shared.legs.callee.is_none(), || format!("{sid}: rerouting from a far end"))?;
                let is_silent = talks && !call.parts.search.consults.holds_caller()
                    || call.parts.transfers.is_under_way() && call.parts.bridge.media.spoken.is_none();
                let is_played_to = call.parts.bridge.media.player.is_some();
                hold(is_served || is_played_to != (waits || is_silent), || format!("{sid}: rerouting in silence"))
            }
            CallState::Leaving => {
                hold(call.parts.search.attempts.first().is_none(), || format!("{sid}: leaving and still searching"))?;
                let goodbye = call.parts.bridge.media.player.is_some_and(|player| player.last.is_some());
                hold(goodbye, || format!("{sid}: leaving in silence"))
            }
            CallState::Ended => {
                hold(!call.shared.is_done(), || format!("{sid}: ended and not let go"))?;
                hold(call.shared.ending.is_some(), || format!("{sid}: ended without a record"))?;
                hold(call.shared.session.is_none(), || format!("{sid}: ended with a media session"))?;
                let waits = |leg: &Leg| match leg.state {
                    LegState::Closing => leg.sip.bye.is_some(),
                    LegState::Canceling => leg.sip.invite.is_some(),
                    LegState::Ended => true,
                    LegState::Trying | LegState::Ringing | LegState::Early | LegState::Answered => false,
                };
                hold(call.shared.legs.iter().all(waits), || format!("{sid}: ended with a leg that nothing ends"))
            }
        }
    }

    fn check_counts(&self) -> Result<(), String> {
        let edge = self.edge;
        let live = self.calls.values().filter(|call| call.shared.state != CallState::Ended).count();
        hold(live == edge.admission().live(), || format!("{live} calls, {} counted", edge.admission().live()))?;
        let held = edge.sessions().ports_held();
        hold(held == edge.sessions().ports.in_use(), || {
            format!("{held} port pairs held, {} taken", edge.sessions().ports.in_use())
        })?;
        let legs = self.calls.values().flat_map(|call| &call.shared.legs);
        let legs = legs.filter(|leg| leg.agent.is_none() && !leg.is_request()).count();
        let far_ends = edge.index().far_end_count();
        hold(legs == far_ends, || format!("{legs} legs, {far_ends} far ends"))?;
        let open = self.calls.values().flat_map(|call| &call.shared.legs);
        let open = open.filter(|leg| leg.agent.is_some() && leg.state == LegState::Answered).count() as u64;
        let counted = (edge.agents().sessions(), edge.metrics().agent.sessions);
        hold(counted == (open, open), || format!("{open} agents' sockets, {counted:?} counted"))?;
        for (name, key) in edge.agents().trials() {
            let call = self.calls.get(&key);
            let attempt = call.and_then(|call| call.parts.search.alone());
            let listens_to = |leg: &Leg| {
                let is_it = leg.agent.as_ref().is_some_and(|side| side.agent.name == *name && !side.listens());
                is_it && leg.state == LegState::Answered
            };
            let has_it = call.is_some_and(|call| call.shared.legs.iter().any(listens_to));
            let tries = has_it
                || attempt.is_some_and(|attempt| {
                    let this = attempt.agent.as_ref().is_some_and(|agent| agent.name == *name);
                    this && matches!(attempt.progress, AttemptState::Opening(_))
                });
            hold(tries, || format!("agent {name}: the call that should try it does not"))?;
        }
        let is_live = |key: CallKey| self.calls.get(&key).is_some_and(|call| call.shared.state != CallState::Ended);
        let mut counted = edge.quotas().live().chain(edge.admission().emergencies.live());
        hold(counted.all(is_live), || "a call that is over counts with a limit".into())?;
        self.check_lines()?;
        let mut by_trunk: BTreeMap<&str, u64> = BTreeMap::new();
        for call in self.calls.values().filter(|call| call.shared.state != CallState::Ended) {
            let attempts = call.parts.search.attempts.values().filter(|a| a.is_counted).filter_map(|a| a.limited_by());
            let legs = call
                .parts
                .transfers
                .counted_legs(&call.shared, &call.parts.bridge.negotiation)
                .filter_map(|at| call.shared.legs[at].limited_by());
            for trunk in legs.chain(attempts) {
                *by_trunk.entry(&trunk.name).or_default() += 1;
            }
        }
        for (name, counted) in edge.trunks().calls() {
            let calls = by_trunk.get(&**name).copied().unwrap_or_default();
            hold(calls == counted, || format!("trunk {name}: {calls} calls, {counted} counted"))?;
        }
        let (clients, alive) = (edge.index().clients.len(), edge.endpoint().counts().clients);
        hold(edge.turn().pending.is_empty(), || "messages left undone".into())?;
        let orphans = self.calls.is_empty() && clients > 0;
        hold(!orphans, || format!("{clients} requests without an owner, {alive} alive"))
    }

    /// Checks that an agent's sessions belong to calls that have or try it, that a waiting call has its timer, and that
    /// none waits while a session is free.
    fn check_lines(&self) -> Result<(), String> {
        let (mut sessions, mut waiting) = (0, 0);
        for (name, line) in self.edge.agents().lines() {
            sessions += line.sessions().len();
            waiting += line.waiting().len();
            for key in line.sessions() {
                let is_had = self
                    .calls
                    .get(&key)
                    .is_some_and(|call| call.parts.search.sessions(&call.shared).any(|with| with == name));
                hold(is_had, || format!("agent {name}: a session of {key:?}, which has none"))?;
            }
            for key in line.waiting() {
                let call = self.calls.get(&key).filter(|call| call.shared.deadlines.contains(CallTimer::Queue));
                let attempt = call.and_then(|call| call.parts.search.alone());
                let waits = attempt.is_some_and(|attempt| {
                    let this = attempt.agent.as_ref().is_some_and(|agent| agent.name == *name);
                    this && matches!(attempt.progress, AttemptState::Queued { .. })
                });
                hold(waits, || format!("agent {name}: {key:?} is in line and does not wait"))?;
            }
            hold(line.next().is_none(), || format!("agent {name}: a session is free, and a call waits"))?;
        }
        let had: usize = self.calls.values().map(|call| call.parts.search.sessions(&call.shared).count()).sum();
        hold(had == sessions, || format!("{had} calls have an agent, {sessions} sessions are counted"))?;
        let progress = self.calls.values().filter_map(|call| Some(call.parts.search.alone()?.progress));
        let queued = progress.filter(|progress| matches!(progress, AttemptState::Queued { .. })).count();
        hold(queued == waiting, || format!("{queued} calls wait for an agent, {waiting} are in line"))
    }
}

/// Checks that a caller hears only music while the target of its warm transfer rings or is prompted, and that its agent
/// hears nothing.
fn check_hears_music(call: &Call) -> Result<(), String> {
    let media = &call.parts.bridge.media;
    let Some((caller, _)) = media.spoken_end(&call.shared).filter(|_| call.parts.search.consults.holds_caller()) else {
        return Ok(());
    };
    let feeders: Vec<EndId> = media.wires.iter().filter(|(_, (to, _))| *to == caller).map(|(from, _)| from).collect();
    let player = media.player.map(|player| player.end);
    hold(feeders.len() == 1 && feeders.first().copied() == player, || {
        format!("a warm transfer whose caller hears {feeders:?}, not {player:?}")
    })?;
    let agent = call.shared.legs.callee.and_then(|at| Some(call.shared.legs[at].agent.as_ref()?.end));
    let is_wired = |end: EndId| media.wires.iter().any(|(from, (to, _))| from == end || *to == end);
    hold(!agent.is_some_and(is_wired), || "a warm transfer whose agent takes part".into())
}

/// Checks that the caller of an agent hears the agent.
fn check_agent_is_heard(call: &Call) -> Result<(), String> {
    let media = &call.parts.bridge.media;
    let agent = call.shared.legs.callee.and_then(|at| Some(call.shared.legs[at].agent.as_ref()?.end));
    let Some((agent, (caller, _))) = agent.zip(media.spoken_end(&call.shared)) else { return Ok(()) };
    let is_heard = media.wires.get(agent).is_some_and(|(to, _)| *to == caller);
    hold(is_heard, || "an agent whose caller does not hear it".into())
}

fn hold(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}
