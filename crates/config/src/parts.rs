//! Checks of the agents in a route.

use trunkgate_route::{OnClose, TargetSpec};

use super::code;
use super::diagnostic::Findings;
use super::draft::{ConfigDraft, SpannedRoute};

/// Warns of duplicate listeners, of agents that would listen to themselves, and of `on_close = "next"` without a
/// following target.
pub(super) fn parts(placed: &SpannedRoute, draft: &ConfigDraft, findings: &mut Findings) {
    let route = &placed.route;
    let talks =
        |name: &str| route.connect.iter().any(|target| matches!(target, TargetSpec::Agent(agent) if **agent == *name));
    for (at, (name, span)) in route.fork.iter().zip(&placed.fork).enumerate() {
        if route.fork.iter().take(at).any(|other| other == name) {
            let message = format!("{name} is listed twice and would receive everything twice");
            findings.warning(code::IDLE_PART, Some(span.clone()), message, "name each listener once");
        } else if talks(name) {
            let message = format!("{name} is the agent of this route and would listen to itself");
            findings.warning(
                code::IDLE_PART,
                Some(span.clone()),
                message,
                "the connected agent receives the audio without `fork`",
            );
        }
    }
    let Some((TargetSpec::Agent(name), place)) = route.connect.last().zip(placed.connect.last()) else { return };
    let mut agents = draft.agents.iter().map(|placed| &placed.agent);
    if agents.any(|agent| *agent.name == **name && agent.on_close == OnClose::Next) {
        let message = format!("{name} has on_close = \"next\" but is the last target: its close ends the call");
        findings.warning(
            code::IDLE_PART,
            Some(place.span.clone()),
            message,
            "add a target after it, or remove `on_close`",
        );
    }
}
