//! Agents of a call: creation of their legs, and records of their failures.

use std::sync::Arc;

use trunkgate_media::agent::{AgentFormat, NORMAL_CLOSE, StreamLoss, StreamSettings, TrackSet};
use trunkgate_media::{AgentQueue, AgentSpec, EndCounters, LegTurns, MediaCommand, SocketSpec};
use trunkgate_resources::agents::FailedStream;
use trunkgate_resources::agents::breaker::{StreamStage, is_failure};
use trunkgate_resources::limits::{AGENT_SHORT_AFTER, ATTEMPTS_PER_CALL, PARAMETER_HEADER_CHARS};
use trunkgate_resources::lookups::key::LegId;
use trunkgate_route::{Agent, OnClose, TemplateValues};
use trunkgate_story::agent_fix::LEFT_AT_ONCE;
use trunkgate_story::change::{EdgeEvent, EdgeEventKind};
use trunkgate_story::numbers::plain;
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::agent_leg::{AgentRole, AgentSide, AgentTurnTimes, socket_spec};
use crate::call::legs::agents::tell_back;
use crate::call::legs::leg::Leg;
use crate::call::shared::CallCx;

impl CallCx<'_> {
    /// Adds an agent's leg and requests its WebSocket; `None` if the call has too many legs, or no media session.
    pub(crate) fn add_agent(&mut self, agent: &Arc<Agent>, part: AgentRole) -> Option<LegId> {
        let media = self.call.session?;
        let listens = part.listens();
        let full =
            if listens { self.call.legs.has_all_listeners() } else { self.call.legs.attempts() >= ATTEMPTS_PER_CALL };
        if full {
            return None;
        }
        let end = self.edge.new_end(media)?;
        let (counters, queue) = (Arc::new(EndCounters::default()), Arc::new(AgentQueue::default()));
        let turns = (!listens).then(|| Arc::new(LegTurns::new(self.edge.agents_mut().turns(&agent.name))));
        let raw = agent.is_raw().then(|| self.edge.random_mut().raw_sources());
        let kept = self.edge.agents_mut().take_kept_stream(self.call.legs.sid(), &agent.url, !listens);
        let is_continued = kept.is_some();
        let settings = self.settings(agent, &part, kept);
        let stream_sid = settings.stream_sid.clone();
        let sid = self.edge.random_mut().sid();
        let spec = AgentSpec {
            settings,
            socket: SocketSpec {
                traceparent: self.edge.traceparent(self.call.key, self.call.legs.sid(), &sid),
                ..socket_spec(agent, &self.edge.addressing().local_networks)
            },
            counters: counters.clone(),
            queue: queue.clone(),
            turns: turns.clone(),
            clear_fade: agent.clear_fade,
            raw,
        };
        self.edge.media(media, MediaCommand::AddAgent { end, spec: Arc::new(spec) });
        let url = agent.url.clone();
        let side = AgentSide {
            queue: raw.is_none().then_some(queue),
            stream_sid,
            raw,
            is_continued,
            ..AgentSide::new(
                agent.clone(),
                (end, counters),
                turns.map_or(AgentTurnTimes::None, AgentTurnTimes::Counted),
                self.now,
                part,
            )
        };
        let former = if is_continued && !listens { self.call.legs.cut_off_agent(&agent.name) } else { None };
        let leg = match former {
            // The leg continues with the stream.
            Some(leg) => {
                self.call.legs.resume_agent(leg, side);
                leg
            }
            None => {
                // A leg is large, and a listener is often the last one.
                self.call.legs.reserve_exact(1);
                self.call.legs.push(Leg::of_agent(sid, side))
            }
        };
        let line = match raw {
            // The line names the SSRCs, by which a receiver of many calls distinguishes them.
            Some(raw) => format!(
                "listener: {}, SSRC {:#010x} from the caller, {:#010x} to the caller",
                url, raw.inbound, raw.outbound
            ),
            None if is_continued => "its stream continues".to_owned(),
            None if listens => "connecting, to listen".to_owned(),
            None => "connecting".to_owned(),
        };
        self.call.legs.note(self.now, self.edge, leg, &line);
        Some(leg)
    }

    /// Returns the settings of a stream; `kept` is the SID of a stream of an earlier process that it continues.
    fn settings(&mut self, agent: &Agent, part: &AgentRole, kept: Option<String>) -> StreamSettings {
        let caller = self.call.facts.caller.shown();
        let shown = |(name, value): &(String, String)| (name.clone(), plain(value.trim(), PARAMETER_HEADER_CHARS));
        let headers: Vec<_> = self.call.facts.headers.iter().map(shown).collect();
        let facts = TemplateValues {
            caller: &caller,
            called: &self.call.facts.called.text,
            route: &self.call.facts.route,
            trunk: self.call.legs[LegId::CALLER].trunk_name(),
            headers: &headers,
            ..TemplateValues::default()
        };
        let mut parameters: Vec<_> =
            agent.parameters.iter().map(|(name, value)| (name.clone(), value.fill(&facts))).collect();
        let tracks = match part {
            AgentRole::Talk => TrackSet::Inbound,
            AgentRole::Listen { tracks, parameters: more } => {
                parameters.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
                parameters.extend_from_slice(more);
                *tracks
            }
        };
        self.call.legs.add_headers(&headers, &mut parameters);
        StreamSettings {
            account_sid: self.edge.config().account_sid.clone(),
            call_sid: self.call.legs.sid().to_owned(),
            stream_sid: kept.unwrap_or_else(|| self.edge.random_mut().stream_sid()),
            tracks,
            talks: !part.listens(),
            format: AgentFormat::from_name(agent.format).unwrap_or_default(),
            parameters,
            extras: agent.extras,
            connect_timeout: agent.connect_timeout,
            first_audio_timeout: agent.first_audio_timeout,
            ping: agent.ping,
            ..StreamSettings::default()
        }
    }

    /// Records that the agent on `leg` has failed the call.
    pub(crate) fn agent_failed(&mut self, leg: LegId, loss: StreamLoss) {
        let Some(side) = &mut self.call.legs[leg].agent else { return };
        side.has_failed = true;
        let (name, began, was_open) = (side.agent.name.clone(), side.began, side.opened.is_some());
        let (listens, problem) = (side.listens(), side.why_lost(self.now, loss));
        side.problem = Some(problem.as_str().into());
        side.loss = Some(loss);
        self.edge.agents_mut().lost(self.now, &name, (loss, problem.clone()), was_open);
        let change = self.call.change_for(EdgeEventKind::AgentFailed, &problem, None);
        let agent = Some(self.edge.shown_name(&name));
        self.edge.changed(EdgeEvent { agent, was_open, ..change });
        if listens {
            return;
        }
        if !is_failure(loss) {
            self.call.legs.agent_refused(self.now, self.edge, leg);
            return;
        }
        let number = self.call.facts.caller.known_number();
        let stage = match was_open {
            true if loss == StreamLoss::Silent => StreamStage::Silent(number),
            true => StreamStage::Open(number),
            false => StreamStage::Opening,
        };
        let (key, sid) = (self.call.key, self.call.legs.sid());
        let stream = FailedStream { key, sid, began, stage, cause: &problem };
        if self.edge.agents_mut().failed(self.now, &name, &stream) {
            let text =
                format!("agent {name} keeps failing and is skipped, except for one test call at a time: {problem}");
            self.edge.warn("", text, Some(ReasonSlug::AgentSkipped));
            self.edge.note_skipped();
        }
    }

    /// Records that the agent on `leg` has closed its WebSocket with 1000, which ends the call or passes its caller on.
    pub(crate) fn agent_closed(&mut self, leg: LegId, consults: bool) {
        let on_close = self.call.legs[leg].agent.as_ref().map(|side| side.agent.on_close);
        if on_close == Some(OnClose::Hangup) && !consults {
            self.agent_ends_call(leg, "closed with 1000");
        } else {
            self.call.legs.agent_went_well(self.edge, leg);
        }
    }

    /// Records that the agent on `leg` ends the call. `how` names the means in a clause. An agent that ends the call at
    /// once without audio counts as failed, but is not skipped for that, because its WebSocket works.
    pub(crate) fn agent_ends_call(&mut self, leg: LegId, how: &str) {
        let is_mute = self.call.legs[leg].rtp().rx_packets == 0 && self.call.legs.callee == Some(leg);
        let Some(side) = self.call.legs[leg].agent.as_mut().filter(|side| !side.listens()) else { return };
        let held = side.opened.map(|opened| self.now.saturating_duration_since(opened));
        if !is_mute || held.is_none_or(|held| held >= AGENT_SHORT_AFTER) {
            self.call.legs.agent_went_well(self.edge, leg);
            return;
        }
        let (name, began, loss) = (side.agent.name.clone(), side.began, StreamLoss::Closed(Some(NORMAL_CLOSE)));
        side.left_at_once = true;
        side.problem = Some(format!("{how}: at once, without audio").into());
        side.loss = Some(loss);
        let cause = format!("{LEFT_AT_ONCE}: {how}");
        self.edge.agents_mut().lost(self.now, &name, (loss, cause.clone()), true);
        let change = self.call.change_for(EdgeEventKind::AgentFailed, &cause, None);
        let agent = Some(self.edge.shown_name(&name));
        self.edge.changed(EdgeEvent { agent, ..change });
        let (key, sid) = (self.call.key, self.call.legs.sid());
        let stream = FailedStream { key, sid, began, stage: StreamStage::Open(None), cause: &cause };
        let is_back = self.edge.agents_mut().left_at_once(self.now, &name, &stream);
        tell_back(self.edge, &name, is_back);
    }

    /// Records the end of an answered call without a remaining target, if its last talking agent has failed.
    pub(crate) fn note_hung_up(&mut self) {
        let talks = |side: &&AgentSide| !side.listens();
        let last = self.call.legs.iter().rev().filter_map(|leg| leg.agent.as_deref()).find(talks);
        if let Some(name) = last.filter(|side| side.has_failed).map(|side| side.agent.name.clone()) {
            self.edge.agents_mut().hung_up(self.now, &name, self.call.key);
        }
    }

    /// Opens the WebSockets of a route's listeners.
    pub(crate) fn open_listeners(&mut self, forks: &[Arc<Agent>]) {
        for agent in forks {
            self.add_agent(agent, AgentRole::listener());
        }
    }

    /// Opens the listeners of a route that are not connected yet.
    pub(crate) fn take_listeners(&mut self, forks: &[Arc<Agent>]) {
        let listens = |agent: &Arc<Agent>| {
            let mut listening = self.call.legs.iter().filter(|leg| leg.is_active_listener());
            listening.any(|leg| leg.agent.as_ref().is_some_and(|side| side.agent.name == agent.name))
        };
        let missing: Vec<Arc<Agent>> = forks.iter().filter(|agent| !listens(agent)).cloned().collect();
        self.open_listeners(&missing);
    }

    pub(crate) fn report_transfer_failure(
        &mut self,
        leg: LegId,
        target: &str,
        reason: &'static str,
        code: Option<u16>,
    ) {
        if let (Some(media), Some(side)) = (self.call.session, &self.call.legs[leg].agent) {
            let target = target.to_owned();
            self.edge.media(media, MediaCommand::TransferFailed { end: side.end, target, reason, code });
        }
    }

    /// Notifies an agent that a party has accepted its caller, and that the agent stays as a coach.
    pub(crate) fn tell_coach(&mut self, leg: LegId, target: &str) {
        if let (Some(media), Some(side)) = (self.call.session, &self.call.legs[leg].agent) {
            self.edge.media(media, MediaCommand::TransferAccepted { end: side.end, target: target.to_owned() });
        }
    }
}
