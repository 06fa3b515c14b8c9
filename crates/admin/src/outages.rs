//! Routes without an available target: one problem for each outage in place of one for each target.

use std::time::Instant;

use trunkgate_call::view::{LostCall, TrunkView, UnreachedView};
use trunkgate_route::{Route, TargetSpec};

use super::way::Way;
use trunkgate_system::problem::kind::{ProblemKind, TrunkProblem};
use trunkgate_system::problem::{Part, Party, Problem};

/// Routes without an available target that share the same targets.
struct Outage<'a> {
    routes: Vec<&'a str>,
    /// Indices of the problems of these targets.
    of: Vec<usize>,
}

/// Replaces the problems of targets by the outages of the routes that depend on them; each route belongs to one outage.
pub(super) fn joined(problems: Vec<Problem>, way: &Way<'_>) -> Vec<Problem> {
    let mut outages: Vec<Outage<'_>> = Vec::new();
    let mut without: Vec<(&Route, Vec<usize>)> =
        way.table.routes().iter().filter_map(|route| Some((&**route, of_targets(route, &problems)?))).collect();
    // A route with a single target keeps that target's problem, unless it is part of another route's outage.
    let parts: Vec<usize> = without.iter().filter(|(_, of)| of.len() > 1).flat_map(|(_, of)| of.clone()).collect();
    without.retain(|(_, of)| of.iter().all(|at| parts.contains(at)));
    for (route, of) in without {
        match outages.iter_mut().find(|outage| outage.of == of) {
            Some(outage) => outage.routes.push(&route.name),
            None => outages.push(Outage { routes: vec![&route.name], of }),
        }
    }
    if outages.is_empty() {
        return problems;
    }
    let whole = outages.iter().filter_map(|outage| outage.problem(&problems, way)).collect::<Vec<_>>();
    let is_part = |at: usize| outages.iter().any(|outage| outage.of.contains(&at));
    let others = problems.into_iter().enumerate().filter(|(at, _)| !is_part(*at)).map(|(_, problem)| problem);
    whole.into_iter().chain(others).collect()
}

/// Returns whether no route has an available target.
pub(super) fn is_total(problems: &[Problem], way: &Way<'_>) -> bool {
    let routes = way.table.routes();
    !routes.is_empty() && routes.iter().all(|route| route.file.is_none() && of_targets(route, problems).is_some())
}

/// Returns the indices of the problems of a route's targets, in their order; `None` if any target may still get calls.
fn of_targets(route: &Route, problems: &[Problem]) -> Option<Vec<usize>> {
    let mut all = Vec::new();
    for target in route.connect.iter().flat_map(TargetSpec::singles) {
        if matches!(target, TargetSpec::Reject(_)) {
            continue;
        }
        let party = party(target)?;
        let is_its = |problem: &Problem| problem.is_out && problem.party.as_ref() == Some(&party);
        let at = problems.iter().position(is_its)?;
        if !all.contains(&at) {
            all.push(at);
        }
    }
    (!all.is_empty()).then_some(all)
}

impl Outage<'_> {
    fn problem(&self, problems: &[Problem], way: &Way<'_>) -> Option<Problem> {
        let parts: Vec<&Problem> = self.of.iter().filter_map(|at| problems.get(*at)).collect();
        let first = parts.first()?;
        // The outage began after the last call that one of the targets answered.
        let since = parts.iter().filter_map(|part| answered_at(part, way)).max();
        let is_own = self.is_own(&parts, way);
        let [lost, of_hour] = [since, None].map(|since| match is_own {
            true => parts.iter().map(|part| lost_by(part, way, since)).sum::<u64>(),
            false if parts.iter().any(|part| rejects(part)) => 0,
            false => parts.iter().map(|part| self.lost_calls(part, way, since).count() as u64).sum(),
        });
        let mut fixes: Vec<&str> = Vec::new();
        for fix in parts.iter().filter_map(|part| part.fix.as_deref()) {
            if !fixes.contains(&fix) {
                fixes.push(fix);
            }
        }
        let shown = parts.iter().map(|part| match &part.evidence {
            Some(evidence) => format!("{}: {evidence}", part.headline),
            None => part.headline.clone(),
        });
        let shown = shown.collect::<Vec<_>>().join("; ");
        let kind = ProblemKind::NoTarget {
            party: first.party.clone()?,
            word: first.kind.word(),
            routes: self.routes.iter().map(|route| (*route).to_owned()).collect(),
            lost,
            is_since_answer: lost != of_hour,
        };
        let mut whole = Problem::of(kind).shown_by(shown).fixed_by(fixes.join("; ")).lost(lost);
        whole.others = parts.iter().skip(1).filter_map(|part| Part::of(part)).collect();
        // The trace is that of the last lost call.
        if is_own {
            let traced = parts.iter().filter(|part| part.command.is_some());
            let newest = traced.max_by_key(|part| part.at());
            whole.command = newest.and_then(|part| part.command.clone());
            return Some(whole);
        }
        let newest = parts.iter().flat_map(|part| self.lost_calls(part, way, None)).max_by_key(|call| call.at);
        Some(newest.iter().fold(whole, |whole, call| whole.traced_in(&call.sid)))
    }

    /// Returns whether only the routes of this outage use its targets; if so, all calls lost by the targets belong to
    /// them.
    fn is_own(&self, parts: &[&Problem], way: &Way<'_>) -> bool {
        let others = way.table.routes().iter().filter(|route| !self.routes.contains(&&*route.name));
        let mut targets = others.flat_map(|route| route.connect.iter().flat_map(TargetSpec::singles));
        !targets.any(|target| parts.iter().any(|part| part.party.is_some() && party(target) == part.party))
    }

    /// Returns the calls of these routes that did not reach a target, in the last hour or since a time. Rejected calls
    /// are missing, because no route is stored for them.
    fn lost_calls<'a>(
        &'a self,
        part: &Problem,
        way: &'a Way<'_>,
        since: Option<Instant>,
    ) -> impl Iterator<Item = &'a LostCall> {
        let calls = unreached(part, way).into_iter().flat_map(|unreached| &unreached.lost_calls);
        calls.filter(move |call| since.is_none_or(|since| call.at > since) && self.routes.contains(&&*call.route))
    }
}

/// Returns the trunk, agent or application that a target leads to.
fn party(target: &TargetSpec) -> Option<Party> {
    match target {
        TargetSpec::Trunk { name, .. } => Some(Party::Trunk(name.clone())),
        TargetSpec::Agent(name) => Some(Party::Agent(name.clone())),
        TargetSpec::App(name) => Some(Party::App(name.clone())),
        TargetSpec::Reject(_)
        | TargetSpec::Uri { .. }
        | TargetSpec::Play(_)
        | TargetSpec::Voicemail(_)
        | TargetSpec::Conference(_)
        | TargetSpec::RingAll(_) => None,
    }
}

/// Returns whether the problem is that a trunk rejects calls.
fn rejects(problem: &Problem) -> bool {
    matches!(problem.kind, ProblemKind::Trunk { what: TrunkProblem::Rejects { .. }, .. })
}

/// Returns the state of the trunk that a problem concerns; `None` if it concerns none.
fn trunk<'a>(problem: &Problem, way: &'a Way<'_>) -> Option<&'a TrunkView> {
    let Some(Party::Trunk(name)) = &problem.party else { return None };
    way.trunks.iter().find(|trunk| trunk.name == *name)
}

/// Returns the calls that did not reach the trunk or agent of a problem.
fn unreached<'a>(problem: &Problem, way: &'a Way<'_>) -> Option<&'a UnreachedView> {
    match problem.party.as_ref()? {
        Party::Trunk(_) => trunk(problem, way).map(|trunk| &trunk.unreached),
        Party::Agent(name) => {
            let its = way.agents.iter().find(|report| report.agent.name == *name)?;
            Some(&its.agent.unreached)
        }
        Party::App(_) => None,
    }
}

/// Returns the time of the last call answered by the trunk of a problem; `None` if it concerns no trunk.
fn answered_at(problem: &Problem, way: &Way<'_>) -> Option<Instant> {
    trunk(problem, way)?.last_hour.last_answered
}

/// Counts the callers lost because a target could not be reached, in the last hour or since a time.
fn lost_since(unreached: &UnreachedView, since: Option<Instant>) -> u64 {
    let since = since.map(|since| unreached.lost_calls.iter().filter(|call| call.at > since).count() as u64);
    since.map_or(unreached.lost, |lost| lost.min(unreached.lost))
}

/// Counts the callers lost by a target's problem, in the last hour or since a time.
fn lost_by(problem: &Problem, way: &Way<'_>, since: Option<Instant>) -> u64 {
    if rejects(problem) {
        return trunk(problem, way).and_then(|trunk| trunk.rejected.as_ref()).map_or(0, |rejected| rejected.lost);
    }
    unreached(problem, way).map_or(0, |unreached| lost_since(unreached, since))
}
