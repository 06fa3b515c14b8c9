//! Accessors of the parts of an edge.

use std::sync::Arc;

use trunkgate_route::{NumberingPlan, RoutingTable};
use trunkgate_sip::SipEndpoint;
use trunkgate_story::wall::WallClock;

use crate::admission::Admission;
use crate::agents::AgentStates;
use crate::applications::AppStates;
use crate::config::GatewayConfig;
use crate::edge::Edge;
use crate::edge::base::{EdgeBase, PendingWork};
use crate::edge::traces::TraceStore;
use crate::lookups::addressing::Addressing;
use crate::lookups::deadlines::CallDeadlines;
use crate::lookups::index::CallIndex;
use crate::mailboxes::indications::Indications;
use crate::metrics::Metrics;
use crate::random::Random;
use crate::registration::register::Registrations;
use crate::registration::registrar::Registrar;
use crate::sessions::MediaSessions;
use crate::sources::Sources;
use crate::traces::recent::RecentCalls;
use crate::trunks::Trunks;
use crate::trunks::health::HealthTable;
use crate::trunks::quotas::Quotas;
use crate::trunks::unproven::UnprovenEarly;

impl EdgeBase {
    /// Returns the settings fixed at the start of the edge.
    pub fn config(&self) -> &GatewayConfig {
        &self.config
    }

    /// Returns the addresses shown to remote parties.
    pub fn addressing(&self) -> &Addressing {
        &self.addressing
    }

    /// Returns the trunks, agents and routes in force.
    pub fn table(&self) -> &Arc<RoutingTable> {
        &self.table
    }

    /// Returns the rules for numbers in force.
    pub fn numbers(&self) -> &NumberingPlan {
        self.table.numbers()
    }

    /// Returns the wall clock, which converts instants to dates.
    pub fn wall(&self) -> &WallClock {
        &self.wall
    }

    /// Returns the look-ups of calls and legs.
    pub fn index(&self) -> &CallIndex {
        &self.index
    }

    /// Returns the look-ups of calls and legs for modification.
    pub fn index_mut(&mut self) -> &mut CallIndex {
        &mut self.index
    }

    /// Returns the SIP endpoint.
    pub fn endpoint(&self) -> &SipEndpoint {
        &self.endpoint
    }

    /// Returns the SIP endpoint for modification.
    pub fn endpoint_mut(&mut self) -> &mut SipEndpoint {
        &mut self.endpoint
    }

    /// Returns the timers of calls.
    pub fn deadlines(&self) -> &CallDeadlines {
        &self.deadlines
    }

    /// Returns the timers of calls for modification.
    pub fn deadlines_mut(&mut self) -> &mut CallDeadlines {
        &mut self.deadlines
    }

    /// Returns the metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Returns the metrics for modification.
    pub fn metrics_mut(&mut self) -> &mut Metrics {
        &mut self.metrics
    }

    /// Returns the random generator.
    pub fn random(&self) -> &Random {
        &self.random
    }

    /// Returns the random generator for modification.
    pub fn random_mut(&mut self) -> &mut Random {
        &mut self.random
    }

    /// Returns the pending work of the current input.
    pub fn turn(&self) -> &PendingWork {
        &self.turn
    }

    /// Returns the pending work of the current input for modification.
    pub fn turn_mut(&mut self) -> &mut PendingWork {
        &mut self.turn
    }
}

impl Edge {
    /// Returns the state of all trunks.
    pub fn trunks(&self) -> &Trunks {
        &self.states.trunks
    }

    /// Returns the state of all trunks for modification.
    pub fn trunks_mut(&mut self) -> &mut Trunks {
        &mut self.states.trunks
    }

    /// Returns the use of trunks' limits.
    pub fn quotas(&self) -> &Quotas {
        &self.states.quotas
    }

    /// Returns the use of trunks' limits for modification.
    pub fn quotas_mut(&mut self) -> &mut Quotas {
        &mut self.states.quotas
    }

    /// Returns the calls that send early media to an unproven address.
    pub fn unproven_early(&self) -> &UnprovenEarly {
        &self.states.unproven_early
    }

    /// Returns the calls that send early media to an unproven address, for modification.
    pub fn unproven_early_mut(&mut self) -> &mut UnprovenEarly {
        &mut self.states.unproven_early
    }

    /// Returns the health of all addresses of trunks.
    pub fn health(&self) -> &HealthTable {
        &self.states.health
    }

    /// Returns the health of all addresses of trunks for modification.
    pub fn health_mut(&mut self) -> &mut HealthTable {
        &mut self.states.health
    }

    /// Returns the outbound registrations.
    pub fn registrations(&self) -> &Registrations {
        &self.states.registrations
    }

    /// Returns the registered phones.
    pub fn registrar(&self) -> &Registrar {
        &self.states.registrar
    }

    /// Returns the subscribers of message-waiting indications.
    pub fn indications(&self) -> &Indications {
        &self.notifier.indications
    }

    /// Returns the state of all agents.
    pub fn agents(&self) -> &AgentStates {
        &self.agents
    }

    /// Returns the state of all agents for modification.
    pub fn agents_mut(&mut self) -> &mut AgentStates {
        &mut self.agents
    }

    /// Returns the state of all applications.
    pub fn apps(&self) -> &AppStates {
        &self.apps
    }

    /// Returns the state of all applications for modification.
    pub fn apps_mut(&mut self) -> &mut AppStates {
        &mut self.apps
    }

    /// Returns the media sessions.
    pub fn sessions(&self) -> &MediaSessions {
        &self.sessions
    }

    /// Returns the media sessions for modification.
    pub fn sessions_mut(&mut self) -> &mut MediaSessions {
        &mut self.sessions
    }

    /// Returns the traces.
    pub fn tracing(&self) -> &TraceStore {
        &self.tracing
    }

    /// Returns the traces for modification.
    pub fn tracing_mut(&mut self) -> &mut TraceStore {
        &mut self.tracing
    }

    /// Returns the recently ended calls.
    pub fn recent(&self) -> &RecentCalls {
        &self.tracing.recent
    }

    /// Returns the recently ended calls for modification.
    pub fn recent_mut(&mut self) -> &mut RecentCalls {
        &mut self.tracing.recent
    }

    /// Returns the limits of the edge.
    pub fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Returns the limits of the edge for modification.
    pub fn admission_mut(&mut self) -> &mut Admission {
        &mut self.admission
    }

    /// Returns the unknown sources and bans.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Returns the unknown sources and bans for modification.
    pub fn sources_mut(&mut self) -> &mut Sources {
        &mut self.sources
    }
}
