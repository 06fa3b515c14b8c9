//! A route's targets for one call, peers already in order.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::agent::Agent;
use crate::app::App;
use crate::locate::Destination;
use crate::route::Route;
use crate::target::TargetSpec;
use crate::trunk::{Peer, Trunk};

/// Whether a route matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Matched {
    /// It did.
    Yes,
    /// It takes so many of a hundred such calls; the others go on.
    Share(u8),
    /// The first condition that failed, in words, e.g. `to: +14155551234 is none of +1212*`.
    No(String),
    /// An earlier route took the call.
    NotReached,
}

/// One line of an explanation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteVerdict {
    /// The route.
    pub name: Arc<str>,
    /// What became of it.
    pub matched: Matched,
}

/// One target, ready to be tried.
#[derive(Debug, Clone)]
pub enum Target {
    /// A trunk.
    Trunk {
        /// The trunk.
        trunk: Arc<Trunk>,
        /// Number to call instead of the called one.
        number: Option<String>,
        /// Peers in the order to try them (priority, then weight).
        peers: Vec<Peer>,
    },
    /// A SIP URI that belongs to no trunk.
    Uri {
        /// As written.
        uri: String,
        /// Where it leads.
        destination: Destination,
        /// Whether an agent, an operator or an application named it in mid-call.
        in_call: bool,
        /// Further headers of its INVITE, which an application has asked for.
        headers: Vec<(String, String)>,
    },
    /// An agent that talks with the caller.
    Agent(Arc<Agent>),
    /// An application that decides what happens to the call.
    App(Arc<App>),
    /// An answer.
    Reject(u16),
    /// Trunks and URIs that ring at once.
    RingAll(Vec<Target>),
}

impl Target {
    /// The trunk that it is, where it is one.
    pub fn trunk(&self) -> Option<&Arc<Trunk>> {
        match self {
            Target::Trunk { trunk, .. } => Some(trunk),
            Target::Uri { .. } | Target::Agent(_) | Target::App(_) | Target::Reject(_) | Target::RingAll(_) => None,
        }
    }

    /// As written in `connect`.
    pub fn spec(&self) -> TargetSpec {
        match self {
            Target::Trunk { trunk, number, .. } => {
                TargetSpec::Trunk { name: trunk.name.to_string(), number: number.clone(), weight: None }
            }
            Target::Uri { uri, destination, in_call, .. } => {
                TargetSpec::Uri { uri: uri.clone(), destination: destination.clone(), in_call: *in_call }
            }
            Target::Agent(agent) => TargetSpec::Agent(agent.name.to_string()),
            Target::App(app) => app.spec(),
            Target::Reject(code) => TargetSpec::Reject(*code),
            Target::RingAll(targets) => TargetSpec::RingAll(targets.iter().map(Target::spec).collect()),
        }
    }
}

/// A route's targets in order.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The route that matched.
    pub route: Arc<Route>,
    /// Targets in order.
    pub targets: Vec<Target>,
    /// Trunks among them that stand side by side, two or more, and go by [`Order::AnswerRatio`](crate::Order).
    pub by_ratio: Vec<Range<usize>>,
    /// Agents that listen from first to last packet.
    pub forks: Vec<Arc<Agent>>,
    /// Per target, where the route says so.
    pub ring_timeout: Option<Duration>,
}

impl Plan {
    /// Puts trunks that go by their ratio in order, by what `rank` says of each; equals stay as they are.
    pub fn sort<R: Ord>(&mut self, rank: impl Fn(&Arc<Trunk>) -> R) {
        for run in &self.by_ratio {
            if let Some(run) = self.targets.get_mut(run.clone()) {
                run.sort_by_key(|target| target.trunk().map(&rank));
            }
        }
    }

    /// Notes which of the targets from `from` on go by their ratio.
    pub(crate) fn runs_of(targets: &[Target], from: usize, runs: &mut Vec<Range<usize>>) {
        let mut at = from;
        let behind = targets.get(from..).unwrap_or_default();
        for run in behind.chunk_by(|one, next| one.trunk().is_some() && next.trunk().is_some()) {
            if run.len() > 1 {
                runs.push(at..at + run.len());
            }
            at += run.len();
        }
    }

    /// How long its targets but the last may take together; `None` where there is one alone, or no limit.
    pub fn search_timeout(&self) -> Option<Duration> {
        let timeout = self.route.search_timeout;
        (self.targets.len() > 1 && !timeout.is_zero()).then_some(timeout)
    }
}
