//! Targets and whether calls go on without them: the harm of one that is down or rejects calls.

use trunkgate_call::status::not_tried;
use trunkgate_call::view::{AppView, Recent, RejectedView, TrunkView, UnreachedView};
use trunkgate_route::locate::NameFault;
use trunkgate_route::{AnswerTime, Table, TargetSpec};

use super::agents::AgentReport;
use trunkgate_system::limits;
use trunkgate_system::problem::kind::{Consequence, ProblemKind};
use trunkgate_system::problem::{Harm, Problem, Urgency};

/// What is known of all targets: whether calls go on without one of them.
pub(super) struct Way<'a> {
    pub(super) table: &'a Table,
    pub(super) trunks: &'a [TrunkView],
    pub(super) agents: &'a [AgentReport],
    pub(super) apps: &'a [AppView],
    /// Hosts of peers whose look-up failed, and why.
    pub(super) unanswered: &'a [(String, NameFault)],
}

/// How much harm a missing target does.
pub(super) struct Without {
    pub(super) harm: Harm,
    pub(super) urgency: Urgency,
    /// What becomes of calls.
    pub(super) consequence: Consequence,
}

impl Without {
    /// Returns the problem of this kind, that a target is missing.
    pub(super) fn problem(&self, kind: ProblemKind) -> Problem {
        Problem::of(kind).harms(self.harm).urgent(self.urgency)
    }

    /// Says how many calls the missing target has lost, and traces the last one. Calls that another target served are not lost.
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

    /// Returns the code that callers get where an agent is not reached and no other target serves; `None`: routes have several, or answer
    /// the caller before.
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

    /// The same of one that does not respond: where it is the last target, calls that the ones before it do not take are lost.
    pub(super) fn without_down(&self, trunk: &TrunkView) -> Without {
        let without = self.without_trunk(&trunk.name);
        let is_losing = trunk.unreached.recent_lost > 0;
        if !is_losing && without.urgency != Urgency::Unmet && !self.table.is_first(&trunk.name) {
            // Calls come to it only where others do not take them: their problems are those that lose calls.
            let is_last = self.table.behind(&trunk.name).is_none();
            let consequence = if is_last { Consequence::LastTarget } else { Consequence::FailoverTarget };
            return Without { harm: Harm::Detour, consequence, ..without };
        }
        match self.table.behind(&trunk.name) {
            None if without.harm == Harm::Detour && is_losing => {
                Without { harm: Harm::Calls, consequence: Consequence::None, ..without }
            }
            None if without.harm == Harm::Detour => Without { consequence: Consequence::LastTarget, ..without },
            _ => without,
        }
    }

    /// Returns the harm of a trunk's rejections, how many callers were lost by them, and what became of the calls.
    pub(super) fn without_rejecting(&self, trunk: &TrunkView, rejected: &RejectedView) -> (Harm, u64, Consequence) {
        let behind = self.table.behind(&trunk.name);
        // Those of the hour may have been lost as well: the latest ones are told apart.
        let ends_some = rejected.answers.iter().any(|one| one.present && !one.leads_on);
        if rejected.lost == 0 && !(rejected.in_row == 0 && behind.is_some() && ends_some) {
            let Without { harm, consequence, urgency } = self.without_trunk(&trunk.name);
            let is_without = consequence == Consequence::None && urgency != Urgency::Unmet && behind.is_none();
            // Some were answered since, and those between were lost.
            return (harm, if is_without { rejected.calls } else { 0 }, consequence);
        }
        let lost = rejected.present_lost.max(rejected.lost);
        (Harm::Calls, lost, if behind.is_some() { Consequence::NotTried } else { Consequence::None })
    }

    /// Why a target behind the trunk was not tried.
    pub(super) fn why_lost(&self, trunk: &TrunkView, rejected: &RejectedView) -> Option<String> {
        let behind = self.table.behind(&trunk.name)?;
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

    /// The harm where some targets fail, and what becomes of calls.
    pub(super) fn without(&self, missing: impl Fn(&TargetSpec) -> bool) -> Without {
        let (harm, urgency) = (Harm::Calls, Urgency::Down);
        if !self.table.names(&missing) {
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

/// Whether so many rejections are a problem now: of a trunk that went well for most of the hour the latest calls tell.
pub(super) fn rejects_many(rejected: &RejectedView) -> bool {
    let [calls, of] = rejected.lately;
    rejects_most(rejected) || rejected.still && (is_large_share(rejected) || is_often((calls, of)))
}

/// Whether a trunk rejects every call now: none was answered since those before were mended, or in the last minutes, or in a long row.
pub(super) fn rejects_all(rejected: &RejectedView) -> bool {
    let [bad, of] = rejected.lately;
    let Recent { calls, of: recent } = rejected.recent;
    let is_all = bad == of || calls == recent && calls > 0 || rejected.in_row >= limits::REJECTED_ROW;
    rejected.still && rejected.good_since == 0 && rejected.in_row > 0 && is_all
}

/// Whether a call to the trunk is likelier to be rejected than not.
fn rejects_most(rejected: &RejectedView) -> bool {
    let share = (rejected.calls, rejected.of);
    let is_most = is_share(share, limits::REJECTED_LEAST, 2)
        || is_share(share, limits::REJECTED_ALL, 1)
        || rejected.in_row >= limits::REJECTED_LEAST;
    rejected.still && (is_most || refuses_credentials(rejected))
}

/// Whether the latest call was rejected for its credentials: the next one will be as well.
fn refuses_credentials(rejected: &RejectedView) -> bool {
    rejected.answers.first().is_some_and(|newest| newest.present && matches!(newest.code, 401 | 407))
}

pub(super) fn is_large_share(rejected: &RejectedView) -> bool {
    is_often((rejected.calls, rejected.of))
}

/// Whether so many of some calls were rejected that it is no chance: three and one in three, or five and one in five.
fn is_often(calls: (u64, u64)) -> bool {
    is_share(calls, limits::REJECTED_LEAST, limits::REJECTED_FEW_ONE_IN)
        || is_share(calls, limits::REJECTED_OFTEN, limits::REJECTED_ONE_IN)
}

/// Whether at least so many calls failed, and one in so many.
pub(super) fn is_share((calls, of): (u64, u64), least: u64, one_in: u64) -> bool {
    calls >= least && calls * one_in >= of
}
