//! Targets of a route for one call, with peers already in order.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::agent::Agent;
use crate::app::App;
use crate::locate::Destination;
use crate::route::Route;
use crate::target::TargetSpec;
use crate::trunk::{Peer, Trunk};

/// Result of matching one route with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MatchResult {
    /// The route matches and takes the call.
    Yes,
    /// The route matches, but takes only this percentage of calls; the others continue with later routes.
    Share(u8),
    /// The route does not match: the first condition that failed, e.g. `to: +14155551234 matches none of +1212*`.
    No(String),
    /// The route was not tested, because an earlier one takes the call.
    NotReached,
}

/// Result for one route in an explanation of the routing (`why`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteVerdict {
    /// Name of the route.
    pub name: Arc<str>,
    /// Result of matching the route with the call.
    pub matched: MatchResult,
}

/// Target of one call, resolved from the configuration and ready to be tried.
#[derive(Debug, Clone)]
pub enum CallTarget {
    /// Trunk that the edge calls.
    Trunk {
        /// Configuration of the trunk.
        trunk: Arc<Trunk>,
        /// Number to call instead of the called number; `None` calls the called number.
        number: Option<String>,
        /// Peers in the order to try them (priority, then weight).
        peers: Vec<Peer>,
    },
    /// SIP URI that belongs to no trunk.
    Uri {
        /// URI as written in the configuration or the request.
        uri: String,
        /// Host, port and transport of the URI.
        destination: Destination,
        /// Whether an agent, an operator or an application named the URI during the call.
        in_call: bool,
        /// Headers that an application adds to the INVITE.
        headers: Vec<(String, String)>,
    },
    /// Agent that handles the call.
    Agent(Arc<Agent>),
    /// Application that controls the call.
    App(Arc<App>),
    /// Rejection of the call with this status code.
    Reject(u16),
    /// Trunks and URIs that ring simultaneously.
    RingAll(Vec<CallTarget>),
}

impl CallTarget {
    /// Returns whether the target is a party that rings: a trunk or a SIP URI.
    pub fn is_party(&self) -> bool {
        matches!(self, CallTarget::Trunk { .. } | CallTarget::Uri { .. })
    }

    /// Returns the trunk, if the target is a single trunk.
    pub fn trunk(&self) -> Option<&Arc<Trunk>> {
        match self {
            CallTarget::Trunk { trunk, .. } => Some(trunk),
            CallTarget::Uri { .. }
            | CallTarget::Agent(_)
            | CallTarget::App(_)
            | CallTarget::Reject(_)
            | CallTarget::RingAll(_) => None,
        }
    }

    /// Returns the target as written in `connect`.
    pub fn spec(&self) -> TargetSpec {
        match self {
            CallTarget::Trunk { trunk, number, .. } => {
                TargetSpec::Trunk { name: trunk.name.to_string(), number: number.clone(), weight: None }
            }
            CallTarget::Uri { uri, destination, in_call, .. } => {
                TargetSpec::Uri { uri: uri.clone(), destination: destination.clone(), in_call: *in_call }
            }
            CallTarget::Agent(agent) => TargetSpec::Agent(agent.name.to_string()),
            CallTarget::App(app) => app.spec(),
            CallTarget::Reject(code) => TargetSpec::Reject(*code),
            CallTarget::RingAll(targets) => TargetSpec::RingAll(targets.iter().map(CallTarget::spec).collect()),
        }
    }
}

/// Targets of a route for one call, in order.
#[derive(Debug, Clone)]
pub struct RoutePlan {
    /// Route that takes the call.
    pub route: Arc<Route>,
    /// Targets to try, in order.
    pub targets: Vec<CallTarget>,
    /// Ranges of two or more adjacent trunks that are ordered by [`TrunkOrder::AnswerRatio`](crate::TrunkOrder).
    pub by_ratio: Vec<Range<usize>>,
    /// Agents that listen to the whole call (`fork`).
    pub forks: Vec<Arc<Agent>>,
    /// Ring timeout per target, if the route sets one; `None` uses that of each trunk.
    pub ring_timeout: Option<Duration>,
}

impl RoutePlan {
    /// Sorts the trunks of each range in `by_ratio` by `rank`, lowest first; equals keep their order.
    pub fn sort<R: Ord>(&mut self, rank: impl Fn(&Arc<Trunk>) -> R) {
        for run in &self.by_ratio {
            if let Some(run) = self.targets.get_mut(run.clone()) {
                run.sort_by_key(|target| target.trunk().map(&rank));
            }
        }
    }

    /// Appends to `runs` the ranges of two or more adjacent trunks among the targets from `from` on.
    pub(crate) fn trunk_ranges(targets: &[CallTarget], from: usize, runs: &mut Vec<Range<usize>>) {
        let mut at = from;
        let behind = targets.get(from..).unwrap_or_default();
        for run in behind.chunk_by(|one, next| one.trunk().is_some() && next.trunk().is_some()) {
            if run.len() > 1 {
                runs.push(at..at + run.len());
            }
            at += run.len();
        }
    }

    /// Returns the time limit for all targets but the last together; `None` for a single target or no limit.
    pub fn search_timeout(&self) -> Option<Duration> {
        let timeout = self.route.search_timeout;
        (self.targets.len() > 1 && !timeout.is_zero()).then_some(timeout)
    }
}
