//! Agents among the legs of a call.

use std::time::Instant;

use trunkgate_media::EndId;
use trunkgate_resources::agents::KeptStream;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::limits::{AGENT_REQUESTS_NOTED, AGENT_TEXT_CHARS, FORKS_PER_CALL, LISTENERS_PER_CALL};
use trunkgate_resources::lookups::key::LegId;
use trunkgate_story::numbers::is_control_char;
use trunkgate_story::redact;
use trunkgate_story::trace::TraceItem;
use trunkgate_story::view::ForkView;

use crate::call::legs::agent_leg::AgentSide;
use crate::call::legs::leg::{Leg, LegState};
use crate::call::legs::leg_end::LegEnd;
use crate::call::legs::list::Legs;

impl Legs {
    /// Returns the number of legs towards targets so far.
    pub(crate) fn attempts(&self) -> usize {
        self.iter().skip(1).filter(|leg| !leg.is_beside()).count()
    }

    /// Traces a request that does not end the agent's time with the caller, up to a limit. Returns whether it was
    /// traced.
    pub(crate) fn note_request(&mut self, now: Instant, edge: &mut Edge, leg: LegId, text: &str) -> bool {
        let Some(side) = &mut self[leg].agent else { return false };
        side.requests = side.requests.saturating_add(1);
        let is_noted = side.requests <= AGENT_REQUESTS_NOTED;
        if is_noted {
            self.note(now, edge, leg, text);
        }
        is_noted
    }

    /// Traces a message of the media worker about an agent, and logs it if `logged`.
    pub(crate) fn agent_note(&mut self, now: Instant, edge: &mut Edge, end: EndId, text: &str, logged: bool) {
        let Some(leg) = self.agent_leg(end) else { return };
        self.note(now, edge, leg, text);
        if !logged {
            return;
        }
        if let Some(side) = &mut self[leg].agent {
            side.fault = Some((now, text.into()));
        }
        let line = format!("{}: {}", self.name_of(leg), shortened(text));
        let sid = self.sid().to_owned();
        edge.log(&sid, line, None);
    }

    /// Returns the leg of an agent's media end.
    pub(crate) fn agent_leg(&self, end: EndId) -> Option<LegId> {
        self.find(|leg| leg.agent.as_ref().is_some_and(|side| side.end == end))
    }

    /// Returns the leg of an agent's media end, unless the leg has ended.
    pub(crate) fn live_agent(&self, end: EndId) -> Option<LegId> {
        self.agent_leg(end).filter(|leg| self[*leg].state != LegState::Ended)
    }

    /// Returns the media end of an agent that acts as the caller: as a participant of a conference.
    pub(crate) fn agent_in_place_of_caller(&self) -> Option<EndId> {
        self.near_leg().agent.as_ref().map(|side| side.end)
    }

    /// Adds an event of an agent's leg to the trace.
    pub(crate) fn note(&self, now: Instant, edge: &mut Edge, leg: LegId, text: &str) {
        edge.trace(now, self.key, TraceItem::Agent { leg: leg.index(), text: redact::addresses(shortened(text)) });
    }

    /// Records that the WebSocket of the agent on `leg` is open.
    pub(crate) fn agent_can_be_had(&mut self, now: Instant, edge: &mut Edge, leg: LegId) {
        let Some(side) = self.talker(leg) else { return };
        let is_back = edge.agents_mut().can_be_had(now, &side.agent.name, side.began);
        tell_back(edge, &side.agent.name, is_back);
    }

    /// Records that the agent on `leg` has refused the call.
    pub(crate) fn agent_refused(&mut self, now: Instant, edge: &mut Edge, leg: LegId) {
        let Some(side) = self.talker(leg) else { return };
        let is_back = edge.agents_mut().refused(now, &side.agent.name, self.key, side.began);
        tell_back(edge, &side.agent.name, is_back);
    }

    /// Notes that the agent at `end` has sent its first audio: it is not silent, and calls no longer skip it.
    pub(crate) fn agent_spoke(&mut self, now: Instant, edge: &mut Edge, end: EndId) {
        let Some(leg) = self.agent_leg(end) else { return };
        // Silence of an agent that listens first is not a fault.
        self[leg].quality.unheard = None;
        let Some(side) = self.talker(leg) else { return };
        let is_back = edge.agents_mut().spoke(now, &side.agent.name, self.key, side.began);
        tell_back(edge, &side.agent.name, is_back);
    }

    /// Records that the agent on `leg` has ended its time with the caller as intended.
    pub(crate) fn agent_went_well(&self, edge: &mut Edge, leg: LegId) {
        let Some(side) = self.talker(leg) else { return };
        let is_back = edge.agents_mut().went_well(&side.agent.name, self.key, side.began);
        tell_back(edge, &side.agent.name, is_back);
    }

    /// Returns the agent on `leg`, unless it only listens.
    fn talker(&self, leg: LegId) -> Option<&AgentSide> {
        self[leg].agent.as_deref().filter(|side| !side.listens())
    }

    /// Returns all forks of the call, past and present.
    pub(crate) fn forks(&self) -> Vec<ForkView> {
        self.iter().filter_map(Leg::fork_view).collect()
    }

    /// Returns the ended leg of an agent that a restart has cut off. `name` is the agent's; `None` if there is no such
    /// leg.
    pub(crate) fn cut_off_agent(&self, name: &str) -> Option<LegId> {
        let is_cut_off = |leg: &Leg| {
            leg.end == Some(LegEnd::BY_RESTART) && leg.agent.as_ref().is_some_and(|side| &*side.agent.name == name)
        };
        self.iter().position(is_cut_off).map(LegId::nth)
    }

    /// Continues the leg of an agent that a restart has cut off, with its SID and figures.
    pub(crate) fn resume_agent(&mut self, leg: LegId, side: AgentSide) {
        let former = &mut self[leg];
        let (sid, quality) = (std::mem::take(&mut former.sid), std::mem::take(&mut former.quality));
        *former = Leg { quality, ..Leg::of_agent(sid, side) };
    }

    /// Returns the open streams of agents that another process may continue: those over WebSockets.
    pub(crate) fn open_streams(&self) -> Vec<KeptStream> {
        let stream = |side: &AgentSide| KeptStream {
            call_sid: self.sid().to_owned(),
            url: side.agent.url.clone(),
            talks: !side.listens(),
            stream_sid: side.stream_sid.clone(),
        };
        let is_open = |side: &&AgentSide| side.opened.is_some() && !side.is_gone && side.raw.is_none();
        let sides = self.iter().filter(|leg| leg.state != LegState::Ended).filter_map(|leg| leg.agent.as_deref());
        sides.filter(is_open).map(stream).collect()
    }

    /// Returns the ends of the talking agents whose streams another process has begun, and which do not have the call
    /// yet.
    pub(crate) fn continued_agents(&self) -> Vec<EndId> {
        let waiting = self.iter().filter(|leg| leg.state == LegState::Trying).filter_map(|leg| leg.agent.as_deref());
        waiting.filter(|side| side.is_continued && !side.listens()).map(|side| side.end).collect()
    }

    /// Returns the legs of the active listeners.
    pub(crate) fn active_listeners(&self) -> impl Iterator<Item = LegId> {
        self.ids().filter(|leg| self[*leg].is_active_listener())
    }

    /// Returns whether the limit of listeners is reached.
    pub(crate) fn has_all_listeners(&self) -> bool {
        let all = self.iter().filter(|leg| leg.listens()).count();
        self.active_listeners().count() >= LISTENERS_PER_CALL || all >= FORKS_PER_CALL
    }
}

/// Logs that an agent is no longer skipped; does nothing unless `is_back`.
pub(crate) fn tell_back(edge: &mut Edge, name: &str, is_back: bool) {
    if is_back {
        edge.log("", format!("agent {name} works again and is no longer skipped"), None);
        edge.note_skipped();
    }
}

/// Sanitises and shortens a text from an agent for display.
pub(crate) fn shortened(text: &str) -> String {
    let plain = text.chars().map(|c| if is_control_char(c) { ' ' } else { c });
    plain.take(AGENT_TEXT_CHARS).collect()
}
