//! Availability of targets: the harm to calls if a target is down or rejects them.

use trunkgate_call::status::not_tried;
use trunkgate_call::view::{AffectedCalls, AppView, RejectedView, TrunkView, UnreachedView};
use trunkgate_route::locate::NameFault;
use trunkgate_route::{AnswerTime, RoutingTable, TargetSpec};

use super::agents::AgentReport;
use trunkgate_system::limits;
use trunkgate_system::problem::kind::{Consequence, ProblemKind};
use trunkgate_system::problem::{Harm, Problem, Urgency};

/// State of all targets, which decides whether calls succeed without one of them.
pub(super) struct Way<'a> {
    pub(super) table: &'a RoutingTable,
    pub(super) trunks: &'a [TrunkView],
    pub(super) agents: &'a [AgentReport],
    pub(super) apps: &'a [AppView],
    /// Hosts of peers that could not be looked up, with the causes.
    pub(super) unanswered: &'a [(String, NameFault)],
}

/// Effect of a target that does not serve calls.
pub(super) struct Without {
    pub(super) harm: Harm,
    pub(super) urgency: Urgency,
    /// Consequence for the calls to the target.
    pub(super) consequence: Consequence,
}

impl Without {
    /// Creates the problem of the target, with the harm of its effect.
    pub(super) fn problem(&self, kind: ProblemKind) -> Problem {
        Problem::of(kind).harms(self.harm).urgent(self.urgency)
    }

    /// Adds the number of calls lost by the target, and the trace of the last one. Calls that another target served are
    /// not lost.
    pub(super) fn losing(&self, problem: Problem, unreached: &UnreachedView) -> Problem {
        let is_detour = unreached.lost > 0 || self.harm != Harm::Calls;
        let problem = problem.lost(if is_detour { unreached.lost } else { unreached.calls });
        unreached.last_sid.iter().fold(problem, |problem, sid| problem.traced_in(sid))
    }
}

impl Way<'_> {
    pub(super) fn without_trunk(&self, trunk: &str) -> Without {
        self.without(|target| matches!(target, TargetSpec::Trunk { name, .. } if name == trunk))
    }

    /// Returns the SIP code that callers get if an agent cannot be reached and no other target serves them; `None` if
    /// it differs between routes, or if the caller was already answered.
    pub(super) fn rejection_without_agent(&self, name: &str) -> Option<u16> {
        let is_it = |target: &TargetSpec| matches!(target, TargetSpec::Agent(agent) if agent == name);
        let is_answered = self.table.agent(name).is_some_and(|agent| agent.answer == AnswerTime::AtOnce);
        let routes =
            self.table.routes().iter().filter(|route| route.connect.iter().flat_map(TargetSpec::singles).any(is_it));
        let mut codes = routes.map(|route| match route.connect.last() {
            Some(TargetSpec::Reject(code)) => *code,
            Some(_) | None => 503,
        });
        let first = codes.next().filter(|_| !is_answered)?;
        codes.all(|code| code == first).then_some(first)
    }

    /// Returns the effect of a trunk that does not respond. As the last target it loses the calls that no earlier
    /// target serves.
    pub(super) fn without_down(&self, trunk: &TrunkView) -> Without {
        let without = self.without_trunk(&trunk.name);
        let is_losing = trunk.unreached.recent_lost > 0;
        if !is_losing && without.urgency != Urgency::Unmet && !self.table.is_first(&trunk.name) {
            // A mere failover target gets only calls that others do not serve, and the problems of those count the lost
            // calls.
            let is_last = self.table.fallback_of(&trunk.name).is_none();
            let consequence = if is_last { Consequence::LastTarget } else { Consequence::FailoverTarget };
            return Without { harm: Harm::Detour, consequence, ..without };
        }
        match self.table.fallback_of(&trunk.name) {
            None if without.harm == Harm::Detour && is_losing => {
                Without { harm: Harm::Calls, consequence: Consequence::None, ..without }
            }
            None if without.harm == Harm::Detour => Without { consequence: Consequence::LastTarget, ..without },
            _ => without,
        }
    }

    /// Returns the effect of a trunk that rejects calls: the harm, the number of lost callers, and the consequence for
    /// the calls.
    pub(super) fn without_rejecting(&self, trunk: &TrunkView, rejected: &RejectedView) -> (Harm, u64, Consequence) {
        let behind = self.table.fallback_of(&trunk.name);
        // The latest calls decide, although earlier calls of the hour may have been lost as well.
        let ends_some = rejected.answers.iter().any(|one| one.present && !one.leads_on);
        if rejected.lost == 0 && !(rejected.in_row == 0 && behind.is_some() && ends_some) {
            let Without { harm, consequence, urgency } = self.without_trunk(&trunk.name);
            let is_without = consequence == Consequence::None && urgency != Urgency::Unmet && behind.is_none();
            // Some calls were answered since, so the lost ones are those before.
            return (harm, if is_without { rejected.calls } else { 0 }, consequence);
        }
        let lost = rejected.present_lost.max(rejected.lost);
        (Harm::Calls, lost, if behind.is_some() { Consequence::NotTried } else { Consequence::None })
    }

    /// Returns the reason why the next target was not tried after a rejection; `None` if it was tried or there is none.
    pub(super) fn why_lost(&self, trunk: &TrunkView, rejected: &RejectedView) -> Option<String> {
        let behind = self.table.fallback_of(&trunk.name)?;
        let ending = rejected.answers.iter().filter(|one| one.present && !one.leads_on);
        let mut codes: Vec<u16> = Vec::new();
        for code in ending.map(|one| one.code) {
            if !codes.contains(&code) && codes.len() < limits::REJECTIONS_TOLD {
                codes.push(code);
            }
        }
        let is_down = self.trunks.iter().any(|one| one.name == behind && one.state == "down");
        let first = if is_down { format!("{behind} is down: mend it first. ") } else { String::new() };
        (!codes.is_empty()).then(|| format!("{first}{}", not_tried(behind, &codes, &trunk.name)))
    }

    /// Returns the effect of the targets selected by `missing`.
    pub(super) fn without(&self, missing: impl Fn(&TargetSpec) -> bool) -> Without {
        let (harm, urgency) = (Harm::Calls, Urgency::Down);
        if !self.table.names_target(&missing) {
            return Without { harm, urgency: Urgency::Unmet, consequence: Consequence::None };
        }
        match self.table.goes_on_without(missing, |target| self.serves(target)) {
            true => Without { harm: Harm::Detour, urgency, consequence: Consequence::NextTarget },
            false => Without { harm, urgency, consequence: Consequence::None },
        }
    }

    fn serves(&self, target: &TargetSpec) -> bool {
        match target {
            TargetSpec::Trunk { name, .. } => {
                let its = |trunk: &&TrunkView| trunk.name == *name;
                self.trunks.iter().find(its).is_some_and(|trunk| {
                    let registers = trunk.registrations.registration.as_ref().is_none_or(|one| one.state != "failed");
                    trunk.state != "down" && registers && !trunk.rejected.as_ref().is_some_and(rejects_most)
                })
            }
            TargetSpec::Agent(name) => {
                let its = |report: &&AgentReport| report.agent.name == *name;
                let agent = self.agents.iter().find(its);
                agent.is_some_and(|report| !matches!(report.agent.state, "down" | "skipped"))
            }
            TargetSpec::App(name) => !self.apps.iter().any(|app| app.name == *name && app.still),
            TargetSpec::Uri { .. } | TargetSpec::Play(_) | TargetSpec::Voicemail(_) | TargetSpec::Conference(_) => true,
            TargetSpec::Reject(_) | TargetSpec::RingAll(_) => false,
        }
    }
}

/// Returns whether the rejections of a trunk are a current problem. If it worked for most of the hour, its latest calls
/// decide.
pub(super) fn rejects_many(rejected: &RejectedView) -> bool {
    let [calls, of] = rejected.lately;
    rejects_most(rejected) || rejected.still && (is_large_share(rejected) || is_often((calls, of)))
}

/// Returns whether a trunk currently rejects every call: it answered none of its latest calls, none in the last five
/// minutes, or rejected [`REJECTED_ROW`](limits::REJECTED_ROW) in a row.
pub(super) fn rejects_all(rejected: &RejectedView) -> bool {
    let [bad, of] = rejected.lately;
    let AffectedCalls { calls, of: recent } = rejected.recent;
    let is_all = bad == of || calls == recent && calls > 0 || rejected.in_row >= limits::REJECTED_ROW;
    rejected.still && rejected.good_since == 0 && rejected.in_row > 0 && is_all
}

/// Returns whether a trunk rejects most calls, which makes the rejection of the next one likely.
fn rejects_most(rejected: &RejectedView) -> bool {
    let share = (rejected.calls, rejected.of);
    let is_most = is_share(share, limits::REJECTED_LEAST, 2)
        || is_share(share, limits::REJECTED_ALL, 1)
        || rejected.in_row >= limits::REJECTED_LEAST;
    rejected.still && (is_most || refuses_credentials(rejected))
}

/// Returns whether a trunk rejected its latest call for the credentials, and will therefore reject the next one, too.
fn refuses_credentials(rejected: &RejectedView) -> bool {
    rejected.answers.first().is_some_and(|newest| newest.present && matches!(newest.code, 401 | 407))
}

pub(super) fn is_large_share(rejected: &RejectedView) -> bool {
    is_often((rejected.calls, rejected.of))
}

/// Returns whether the share of rejected calls is significant: at least three calls and one in three, or five and one
/// in five.
fn is_often(calls: (u64, u64)) -> bool {
    is_share(calls, limits::REJECTED_LEAST, limits::REJECTED_FEW_ONE_IN)
        || is_share(calls, limits::REJECTED_OFTEN, limits::REJECTED_ONE_IN)
}

/// Returns whether at least `least` calls are affected, and at least one in `one_in`.
pub(super) fn is_share((calls, of): (u64, u64), least: u64, one_in: u64) -> bool {
    calls >= least && calls * one_in >= of
}
