//! Forks that are asked for in mid-call: who is to hear a call from now on, and who no longer. They are listeners like
//! those of a route ([`crate::call::agent::listen`]): nothing of the call waits for them, and no packet of it is changed.

use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use trunkgate_media::agent::{TrackName, TrackSet};
use trunkgate_resources::edge::Edge;
use trunkgate_route::Agent;
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::view::{ForkView, SourcesView};

use crate::call::Call;
use crate::call::agent::agent_leg::{AgentSide, Part};
use crate::call::legs::leg::{Leg, LegState};
use crate::call::legs::leg_end::EndedBy;
use crate::call::refused::Refused;

/// Who is to listen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Listener {
    /// An agent of the configuration.
    Agent(String),
    /// Whoever is there: `ws://`, `wss://` or `rtp://`, with every default of the configuration. Where audio may go in
    /// the clear is looked at when it is called.
    Url(String),
}

impl Listener {
    /// What one was asked for by.
    pub(crate) fn of(agent: &Agent) -> Listener {
        if agent.name.is_empty() { Listener::Url(agent.url.clone()) } else { Listener::Agent(agent.name.to_string()) }
    }
    /// The agent; `None` where the configuration has none of this name.
    pub(crate) fn agent(&self, edge: &Edge) -> Option<Arc<Agent>> {
        match self {
            Listener::Agent(name) => edge.table.agent(name).filter(|agent| !agent.name.is_empty()).cloned(),
            Listener::Url(url) => Some(Arc::new(Agent::at("", url))),
        }
    }
    /// Said of one that a restart did not bring back.
    pub(crate) fn left_out(&self) -> String {
        let (Listener::Agent(who) | Listener::Url(who)) = self;
        format!("{who} no longer listens: removed from the configuration")
    }
}

/// A fork as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForkRequest {
    /// Who is to listen.
    pub listener: Listener,
    /// To what.
    pub tracks: TrackSet,
    /// `customParameters`, besides those that its configuration names; of one name, these are told.
    pub parameters: Vec<(String, String)>,
}

impl Call {
    /// Lets somebody listen from now on.
    pub(crate) fn begin_fork(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        request: &ForkRequest,
    ) -> Result<ForkView, Refused> {
        let agent = request.listener.agent(edge).ok_or(Refused::UnknownAgent)?;
        if self.legs.has_all_listeners() {
            return Err(Refused::TooManyForks);
        }
        if !agent.is_raw() && self.speaks_other_audio() {
            return Err(Refused::OtherAudio);
        }
        let (tracks, parameters) = (request.tracks, request.parameters.clone());
        let leg = self.add_agent(now, edge, &agent, Part::Listen { tracks, parameters }).ok_or(Refused::Internal)?;
        self.tap_caller(now, edge);
        let (sid, line) =
            (self.legs.sid().to_owned(), format!("{} is connected as a listener, as requested", agent.shown()));
        edge.log(&sid, line, None);
        self.legs[leg].fork_view().ok_or(Refused::Internal)
    }

    /// Lets a listener go.
    pub(crate) fn end_fork(&mut self, now: Instant, edge: &mut Edge, id: &str) -> Result<ForkView, Refused> {
        let leg = self.legs.find(|leg| leg.listens() && leg.sid == id).ok_or(Refused::UnknownFork)?;
        if self.legs[leg].state == LegState::Ended {
            return Err(Refused::ForkEnded);
        }
        self.legs.note(now, edge, leg, "disconnected, as requested");
        self.legs[leg].end_with(ReasonSlug::Operator, EndedBy::Edge);
        self.close_agent(now, edge, leg);
        let (sid, line) =
            (self.legs.sid().to_owned(), format!("{} no longer listens, as requested", self.legs.name_of(leg)));
        edge.log(&sid, line, None);
        self.legs[leg].fork_view().ok_or(Refused::Internal)
    }
}

impl Leg {
    /// As a fork; `None` where it is none.
    pub(crate) fn fork_view(&self) -> Option<ForkView> {
        let side: &AgentSide = self.agent.as_ref()?;
        let Part::Listen { tracks, .. } = side.part else { return None };
        let name = &side.agent.name;
        let both = [TrackName::Inbound, TrackName::Outbound].into_iter();
        Some(ForkView {
            id: self.sid.clone(),
            agent: (!name.is_empty()).then(|| name.to_string()),
            url: trunkgate_route::url_place(&side.agent.url).to_owned(),
            stream_sid: side.raw.is_none().then(|| side.stream_sid.clone()),
            tracks: both.filter(|track| tracks.has(*track)).map(TrackName::name).collect(),
            state: self.state.as_str(),
            reason: self.shown_end().map(|end| end.reason.as_str()),
            ended_by: self.shown_end().map(|end| end.by.as_str()),
            ssrc: side.raw.map(|raw| SourcesView { inbound: raw.inbound, outbound: raw.outbound }),
        })
    }
}
