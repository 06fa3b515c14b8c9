//! An agent's leg: its socket asked for, what the worker tells of it, what the agent wants of the call.

use std::sync::Arc;
use std::time::Instant;

use trunkgate_media::agent::{Format, Loss, Settings, TrackSet};
use trunkgate_media::{AgentQueue, AgentSpec, AgentWish, Command, EndCounters, EndId, RawSpec, SocketSpec, TapSpec};
use trunkgate_resources::deadlines::Timer;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::key::{Branch, LegId};
use trunkgate_resources::limits::{ATTEMPTS_PER_CALL, PARAMETER_HEADER_CHARS};
use trunkgate_route::{Agent, Facts, OnClose};
use trunkgate_story::numbers::plain;
use trunkgate_story::reason::ReasonSlug;

use crate::call::controller::StepResult;
use crate::call::legs::leg::{Leg, LegState};
use crate::call::legs::leg_end::EndedBy;
use crate::call::search::answer::Failure;
use crate::call::search::attempt::Progress;
use crate::call::{Call, State};

/// What a leg that is an agent has besides.
#[derive(Debug)]
pub(crate) struct AgentSide {
    /// The agent.
    pub(crate) agent: Arc<Agent>,
    /// Its end in the media session.
    pub(crate) end: EndId,
    /// Its counters.
    pub(crate) counters: Arc<EndCounters>,
    /// What of its audio waits; `None` of one that gets plain RTP.
    pub(crate) queue: Option<Arc<AgentQueue>>,
    /// When its socket was asked for.
    pub(crate) began: Instant,
    /// What it was added for.
    pub(crate) part: Part,
    /// The name of its stream.
    pub(crate) stream_sid: String,
    /// When it was open.
    pub(crate) opened: Option<Instant>,
    /// Whether it could not be reached, or was lost.
    pub(crate) has_failed: bool,
    /// Whether its socket is gone, or the agent has closed it.
    pub(crate) is_gone: bool,
    /// How many streams to the same agent have failed in a row before this one.
    pub(crate) retried: u32,
    /// How many wishes it had, but for what ends its part.
    pub(crate) wishes: u32,
    /// What of the caller a listener hears, and by which of its ends.
    pub(crate) hears: Option<(EndId, TapSpec)>,
    /// The sources of its copies, where it gets plain RTP.
    pub(crate) raw: Option<RawSpec>,
}

impl AgentSide {
    /// Whether it only listens.
    pub(crate) fn listens(&self) -> bool {
        self.part.listens()
    }
}

/// What an agent is to do in a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// Talk with the caller.
    Talk,
    /// Listen.
    Listen {
        /// To whom.
        tracks: TrackSet,
        /// What it is told besides what its configuration has it told.
        parameters: Vec<(String, String)>,
    },
}

impl Part {
    /// A listener's of the configuration: everything.
    pub(crate) fn listener() -> Part {
        Part::Listen { tracks: TrackSet::Both, parameters: Vec::new() }
    }
    /// Whether to listen only.
    fn listens(&self) -> bool {
        matches!(self, Part::Listen { .. })
    }
}

impl Call {
    /// Has the socket of the attempt's agent opened.
    pub(crate) fn open_agent(&mut self, now: Instant, edge: &mut Edge) -> Result<(), Failure> {
        let attempt = self.alone().and_then(|a| Some((a.agent.clone()?, a.ring_timeout, a.retried)));
        let opened =
            attempt.and_then(|(agent, wait, n)| Some((self.add_agent(now, edge, &agent, Part::Talk)?, wait, n)));
        let Some((leg, wait, retried)) = opened else {
            if let Some(agent) = self.search.attempts.remove(Branch::ALONE).and_then(|attempt| attempt.agent) {
                edge.agents.leave_line(&agent.name, self.key);
                edge.agents.let_go(now, &agent.name, self.key, now, None);
            }
            return Err(Failure::unreached(ReasonSlug::Internal));
        };
        if let Some(side) = &mut self.legs[leg].agent {
            side.retried = retried;
        }
        self.count_failover(edge);
        if let Some(attempt) = self.attempt_mut(Branch::ALONE) {
            attempt.progress = Progress::Opening(leg);
        }
        self.arm(now, edge, Timer::Ring(Branch::ALONE), wait);
        self.let_ring(now, edge);
        Ok(())
    }

    /// Adds an agent's leg, and asks for its socket; `None` where the call has too many legs.
    pub(crate) fn add_agent(&mut self, now: Instant, edge: &mut Edge, agent: &Arc<Agent>, part: Part) -> Option<LegId> {
        let media = self.media.session?;
        let listens = part.listens();
        let full = if listens { self.legs.has_all_listeners() } else { self.legs.attempts() >= ATTEMPTS_PER_CALL };
        if full {
            return None;
        }
        let end = edge.new_end(media)?;
        let (counters, queue) = (Arc::new(EndCounters::default()), Arc::new(AgentQueue::default()));
        let raw = agent.is_raw().then(|| edge.raw_sources());
        let settings = self.settings(edge, agent, &part);
        let stream_sid = settings.stream_sid.clone();
        let sid = edge.sid();
        let spec = AgentSpec {
            settings,
            socket: SocketSpec {
                url: agent.url.clone(),
                auth_token: agent.auth_token.clone(),
                ca: agent.ca.clone(),
                plain_networks: edge.addressing.local_networks.clone(),
                traceparent: edge.traceparent(self.key, self.legs.sid(), &sid),
            },
            counters: counters.clone(),
            queue: queue.clone(),
            clear_fade: agent.clear_fade,
            raw,
        };
        edge.media(media, Command::AddAgent { end, spec: Arc::new(spec) });
        let url = agent.url.clone();
        let side = AgentSide {
            agent: agent.clone(),
            end,
            counters,
            queue: raw.is_none().then_some(queue),
            began: now,
            opened: None,
            has_failed: false,
            is_gone: false,
            retried: 0,
            part,
            stream_sid,
            wishes: 0,
            hears: None,
            raw,
        };
        let leg = self.legs.next_id();
        // Not small, and a fork is often the last.
        self.legs.reserve_exact(1);
        self.legs.push(Leg::of_agent(sid, side));
        let line = match raw {
            // By these a receiver of many calls tells them apart.
            Some(raw) => format!(
                "listener: {}, SSRC {:#010x} from the caller, {:#010x} to the caller",
                url, raw.inbound, raw.outbound
            ),
            None if listens => "connecting, to listen".to_owned(),
            None => "connecting".to_owned(),
        };
        self.legs.note(now, edge, leg, &line);
        Some(leg)
    }

    /// Whether there may be one more, so that enough are left for the targets that come later.
    pub(crate) fn has_room_for_another(&self) -> bool {
        self.legs.attempts() + self.search.controller.legs_kept() < ATTEMPTS_PER_CALL
    }

    fn settings(&self, edge: &mut Edge, agent: &Agent, part: &Part) -> Settings {
        let caller = self.facts.caller.shown();
        let shown = |(name, value): &(String, String)| (name.clone(), plain(value.trim(), PARAMETER_HEADER_CHARS));
        let headers: Vec<_> = self.facts.headers.iter().map(shown).collect();
        let facts = Facts {
            caller: &caller,
            called: &self.facts.called.text,
            route: &self.facts.route,
            trunk: self.legs[LegId::CALLER].trunk_name(),
            headers: &headers,
            ..Facts::default()
        };
        let mut parameters: Vec<_> =
            agent.parameters.iter().map(|(name, value)| (name.clone(), value.fill(&facts))).collect();
        let tracks = match part {
            Part::Talk => TrackSet::Inbound,
            Part::Listen { tracks, parameters: more } => {
                parameters.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
                parameters.extend_from_slice(more);
                *tracks
            }
        };
        self.legs.add_headers(&headers, &mut parameters);
        Settings {
            account_sid: edge.config.account_sid.clone(),
            call_sid: self.legs.sid().to_owned(),
            stream_sid: edge.stream_sid(),
            tracks,
            talks: !part.listens(),
            format: Format::from_name(agent.format).unwrap_or_default(),
            parameters,
            extras: agent.extras,
            connect_timeout: agent.connect_timeout,
            first_audio_timeout: agent.first_audio_timeout,
            ping: agent.ping,
            ..Settings::default()
        }
    }

    /// An agent's socket is open.
    pub(crate) fn agent_open(&mut self, now: Instant, edge: &mut Edge, end: EndId) {
        let Some(leg) = self.legs.agent_leg(end).filter(|leg| self.legs[*leg].state == LegState::Trying) else {
            return;
        };
        self.legs[leg].state = LegState::Answered;
        let Some(side) = &mut self.legs[leg].agent else { return };
        side.opened = Some(now);
        let (name, listens) = (side.agent.name.clone(), side.listens());
        let after = now.saturating_duration_since(side.began);
        edge.agents.opened(&name);
        edge.metrics.agent_sessions += 1;
        edge.metrics.agent_connect_seconds.observe(after.as_secs_f64());
        self.legs.note(now, edge, leg, &format!("open after {} ms", after.as_millis()));
        self.legs.agent_can_be_had(edge, leg);
        if !listens && self.is_opening(leg) {
            self.agent_takes_call(now, edge, leg);
        }
    }

    fn agent_takes_call(&mut self, now: Instant, edge: &mut Edge, leg: LegId) {
        let agent = self.legs[leg].agent.as_ref().map(|side| &side.agent);
        if let Some(agent) = agent.cloned() {
            self.take_sounds(&agent);
        }
        if self.state == State::Rerouting {
            self.state = State::Answered;
            return self.joined(now, edge, leg);
        }
        self.state = State::Answered;
        match self.first_description(now, edge) {
            Ok(ours) => {
                self.converse(now, edge, leg);
                self.stop_player(edge);
                self.answer_caller(now, edge, leg, ours, Vec::new());
            }
            Err(failure) => {
                self.state = State::Searching;
                self.fail_target(now, edge, Branch::ALONE, StepResult::Failed(failure));
            }
        }
    }

    /// An agent could not be reached, or is lost.
    pub(crate) fn agent_lost(&mut self, now: Instant, edge: &mut Edge, end: EndId, loss: Loss) {
        let Some(leg) = self.legs.live_agent(end) else { return };
        let Some(side) = &self.legs[leg].agent else { return };
        let listens = side.listens();
        self.agent_failed(now, edge, leg, loss);
        let was_had = self.legs[leg].state == LegState::Answered;
        self.legs.note(now, edge, leg, &format!("{}: {loss}", if was_had { "lost" } else { "failed" }));
        let failure = Failure::of_loss(loss);
        self.legs[leg].fail_with(failure.reason);
        let by_far_end = self.legs[leg].end.is_some_and(|end| end.by == EndedBy::FarEnd);
        if let Some(side) = &mut self.legs[leg].agent {
            side.is_gone = by_far_end;
        }
        if listens {
            self.lose_listener(now, edge, leg, &failure);
        } else if self.is_opening(leg) {
            self.fail_target(now, edge, Branch::ALONE, StepResult::Failed(failure));
        } else if self.legs.callee == Some(leg) {
            self.go_on(now, edge, leg, Some(failure));
        }
    }

    /// An agent closed in good order.
    pub(crate) fn agent_ended(&mut self, now: Instant, edge: &mut Edge, end: EndId) {
        let Some(leg) = self.legs.live_agent(end) else { return };
        self.legs.note(now, edge, leg, "closed with 1000");
        self.legs.agent_went_well(edge, leg);
        let Some(side) = &mut self.legs[leg].agent else { return };
        side.is_gone = true;
        let (on_close, listens) = (side.agent.on_close, side.listens());
        if listens || self.legs.callee == Some(leg) {
            self.legs[leg].end_with(ReasonSlug::AgentHungUp, EndedBy::FarEnd);
        }
        match on_close {
            _ if listens => self.close_agent(now, edge, leg),
            _ if self.legs.callee != Some(leg) => {}
            // It has said where its caller is to go.
            _ if self.is_consulting() => self.go_on(now, edge, leg, None),
            OnClose::Hangup => self.end(now, edge, ReasonSlug::AgentHungUp),
            OnClose::Next => {
                self.go_on(now, edge, leg, Some(Failure::unreached(ReasonSlug::AgentHungUp)));
            }
        }
    }

    /// An agent wants something of the call. Only the one that talks with the caller may.
    pub(crate) fn agent_wishes(&mut self, now: Instant, edge: &mut Edge, end: EndId, wish: AgentWish) {
        let Some(leg) = self.legs.live_agent(end) else { return };
        if self.legs.callee != Some(leg) {
            self.legs.note_wish(now, edge, leg, "requests an action for a call that it is not in");
            return;
        }
        match wish {
            AgentWish::Hangup => {
                self.legs.note(now, edge, leg, "hangs up");
                self.legs[leg].end_with(ReasonSlug::AgentHungUp, EndedBy::FarEnd);
                self.legs.agent_went_well(edge, leg);
                self.end(now, edge, ReasonSlug::AgentHungUp);
            }
            AgentWish::Dtmf(digits) => self.press(now, edge, leg, &digits),
            AgentWish::Transfer(text) => self.agent_transfers(now, edge, leg, &text, false),
            AgentWish::Consult(text) => self.agent_transfers(now, edge, leg, &text, true),
        }
    }

    /// Presses keys towards the caller. The digits are for its ear only: never in a trace or a log.
    fn press(&mut self, now: Instant, edge: &mut Edge, leg: LegId, digits: &str) {
        if !self.press_for_caller(now, edge, digits) {
            self.legs.note_wish(now, edge, leg, "sends DTMF, but the caller does not support telephone-event");
            return;
        }
        self.legs.note_wish(now, edge, leg, &format!("sends {} DTMF digits", digits.chars().count()));
    }

    /// Ends an agent's stream: its end goes, and with it the socket.
    pub(crate) fn close_agent(&mut self, now: Instant, edge: &mut Edge, leg: LegId) {
        let was = std::mem::replace(&mut self.legs[leg].state, LegState::Ended);
        let (Some(side), Some(media)) = (&self.legs[leg].agent, self.media.session) else { return };
        if was == LegState::Ended {
            return;
        }
        if was == LegState::Answered {
            edge.agents.closed(&side.agent.name);
            edge.metrics.agent_sessions = edge.metrics.agent_sessions.saturating_sub(1);
        }
        if !side.listens() && was == LegState::Answered && !side.is_gone {
            edge.agents.end_session(now, &side.agent.name, self.key);
        } else if !side.listens() {
            edge.agents.leave_line(&side.agent.name, self.key);
        }
        if !side.listens() && !side.has_failed {
            edge.agents.let_go(now, &side.agent.name, self.key, side.began, side.opened);
        }
        let gone = side.end;
        self.media.wires.retain(|from, (to, _)| from != gone && *to != gone);
        edge.remove_end(media, gone);
    }

    /// Whether an agent's leg is the one that the attempt waits for.
    fn is_opening(&self, leg: LegId) -> bool {
        self.alone().is_some_and(|attempt| attempt.progress == Progress::Opening(leg))
    }
}
