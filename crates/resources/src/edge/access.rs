//! Access of calls to the parts of an edge.

use std::sync::Arc;

use trunkgate_route::{Numbers, Table};
use trunkgate_sip::Endpoint;
use trunkgate_story::wall::Wall;

use crate::admission::Admission;
use crate::agents::Agents;
use crate::applications::Apps;
use crate::config::GatewayConfig;
use crate::edge::Edge;
use crate::edge::base::{EdgeBase, Turn};
use crate::edge::traces::Tracing;
use crate::lookups::addressing::Addressing;
use crate::lookups::deadlines::Deadlines;
use crate::lookups::index::Index;
use crate::mailboxes::indications::Indications;
use crate::metrics::Metrics;
use crate::random::Random;
use crate::registration::register::Registrations;
use crate::registration::registrar::Registrar;
use crate::sessions::Sessions;
use crate::sources::Sources;
use crate::traces::recent::Recent;
use crate::trunks::Trunks;
use crate::trunks::health::Healths;
use crate::trunks::quotas::Quotas;
use crate::trunks::unproven::UnprovenEarly;

impl EdgeBase {
    /// Returns the settings of the start.
    pub fn config(&self) -> &GatewayConfig {
        &self.config
    }

    /// Returns the addresses that remote parties are shown.
    pub fn addressing(&self) -> &Addressing {
        &self.addressing
    }

    /// Returns the trunks, agents and routes in force.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// Returns the rules for numbers in force.
    pub fn numbers(&self) -> &Numbers {
        self.table.numbers()
    }

    /// Returns the dates of instants.
    pub fn wall(&self) -> &Wall {
        &self.wall
    }

    /// Returns the look-ups of calls and legs.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Returns the look-ups of calls and legs, to be changed.
    pub fn index_mut(&mut self) -> &mut Index {
        &mut self.index
    }

    /// Returns the SIP endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Returns the SIP endpoint, to be changed.
    pub fn endpoint_mut(&mut self) -> &mut Endpoint {
        &mut self.endpoint
    }

    /// Returns the timers of calls.
    pub fn deadlines(&self) -> &Deadlines {
        &self.deadlines
    }

    /// Returns the timers of calls, to be changed.
    pub fn deadlines_mut(&mut self) -> &mut Deadlines {
        &mut self.deadlines
    }

    /// Returns the counters.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Returns the counters, to be changed.
    pub fn metrics_mut(&mut self) -> &mut Metrics {
        &mut self.metrics
    }

    /// Returns the source of randomness.
    pub fn random(&self) -> &Random {
        &self.random
    }

    /// Returns the source of randomness, to be changed.
    pub fn random_mut(&mut self) -> &mut Random {
        &mut self.random
    }

    /// Returns the work that the present input leaves.
    pub fn turn(&self) -> &Turn {
        &self.turn
    }

    /// Returns the work that the present input leaves, to be changed.
    pub fn turn_mut(&mut self) -> &mut Turn {
        &mut self.turn
    }
}

impl Edge {
    /// Returns the state of each trunk.
    pub fn trunks(&self) -> &Trunks {
        &self.states.trunks
    }

    /// Returns the state of each trunk, to be changed.
    pub fn trunks_mut(&mut self) -> &mut Trunks {
        &mut self.states.trunks
    }

    /// Returns the use of trunks' limits.
    pub fn quotas(&self) -> &Quotas {
        &self.states.quotas
    }

    /// Returns the use of trunks' limits, to be changed.
    pub fn quotas_mut(&mut self) -> &mut Quotas {
        &mut self.states.quotas
    }

    /// Returns the calls with early media to an unproven address.
    pub fn unproven_early(&self) -> &UnprovenEarly {
        &self.states.unproven_early
    }

    /// Returns the calls with early media to an unproven address, to be changed.
    pub fn unproven_early_mut(&mut self) -> &mut UnprovenEarly {
        &mut self.states.unproven_early
    }

    /// Returns the health of each address.
    pub fn health(&self) -> &Healths {
        &self.states.health
    }

    /// Returns the health of each address, to be changed.
    pub fn health_mut(&mut self) -> &mut Healths {
        &mut self.states.health
    }

    /// Returns the registrations of this edge.
    pub fn registrations(&self) -> &Registrations {
        &self.states.registrations
    }

    /// Returns the phones that are registered here.
    pub fn registrar(&self) -> &Registrar {
        &self.states.registrar
    }

    /// Returns the parties that are notified of messages.
    pub fn indications(&self) -> &Indications {
        &self.notifier.indications
    }

    /// Returns the state of each agent.
    pub fn agents(&self) -> &Agents {
        &self.agents
    }

    /// Returns the state of each agent, to be changed.
    pub fn agents_mut(&mut self) -> &mut Agents {
        &mut self.agents
    }

    /// Returns the state of each application.
    pub fn apps(&self) -> &Apps {
        &self.apps
    }

    /// Returns the state of each application, to be changed.
    pub fn apps_mut(&mut self) -> &mut Apps {
        &mut self.apps
    }

    /// Returns the media sessions.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Returns the media sessions, to be changed.
    pub fn sessions_mut(&mut self) -> &mut Sessions {
        &mut self.sessions
    }

    /// Returns the traces.
    pub fn tracing(&self) -> &Tracing {
        &self.tracing
    }

    /// Returns the traces, to be changed.
    pub fn tracing_mut(&mut self) -> &mut Tracing {
        &mut self.tracing
    }

    /// Returns the calls that have ended.
    pub fn recent(&self) -> &Recent {
        &self.tracing.recent
    }

    /// Returns the calls that have ended, to be changed.
    pub fn recent_mut(&mut self) -> &mut Recent {
        &mut self.tracing.recent
    }

    /// Returns the limits of the edge.
    pub fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Returns the limits of the edge, to be changed.
    pub fn admission_mut(&mut self) -> &mut Admission {
        &mut self.admission
    }

    /// Returns the unknown sources and bans.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Returns the unknown sources and bans, to be changed.
    pub fn sources_mut(&mut self) -> &mut Sources {
        &mut self.sources
    }
}
