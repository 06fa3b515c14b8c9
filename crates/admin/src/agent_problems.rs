//! Problems of agents for `status`: agents that are down, skipped, silent, or fail in many calls.

use trunkgate_call::view::{AgentFailures, AgentView, CauseView, FaultView};
use trunkgate_media::agent::StreamLoss;
use trunkgate_route::TargetSpec;

use super::trunk_problems::{is_many_of, lost, tally, unreached};
use super::way::{Way, is_share};
use trunkgate_call::agent_fix::{LEFT_AT_ONCE, remedy, remedy_of, with_test};
use trunkgate_system::limits;
use trunkgate_system::problem::kind::{AgentProblem, Consequence, ProblemKind, Silence, Unheard};
use trunkgate_system::problem::{Harm, Party, Problem, Urgency, hung_up};

/// Returns the problem of an agent that is down, skipped or fails often; `None` for any other.
pub(super) fn of_agent(agent: &AgentView, way: &Way<'_>) -> Option<Problem> {
    let failed = agent.failed.as_ref();
    let without = way.without(|target| matches!(target, TargetSpec::Agent(name) if *name == agent.name));
    let consequence = without.consequence;
    let (harm, what) = match (agent.state, failed) {
        ("down", _) => (without.harm, AgentProblem::Down { consequence }),
        ("skipped", _) => (without.harm, AgentProblem::Skipped { consequence }),
        // An agent in any other state is still called.
        (_, Some(failed)) if fails_often(failed) => {
            let AgentFailures { calls, of, recent, good_since, .. } = failed;
            // Callers who were hung up on had no other target, so calls are lost.
            let is_lost = failed.hung_up > 0;
            let what = AgentProblem::Fails {
                tally: tally((*calls, *of), *recent, *good_since),
                ended_at_once: left_at_once(failed).map(|(calls, _)| calls),
                hung_up: failed.hung_up,
                consequence: if is_lost { Consequence::None } else { consequence },
                is_reached: failed.reached_since && *good_since == 0,
            };
            (if is_lost { Harm::Calls } else { without.harm }, what)
        }
        _ => return None,
    };
    let problem = without.problem(ProblemKind::Agent { agent: agent.name.clone(), what }).harms(harm);
    let problem = problem.urgent(without.urgency.max(Urgency::Agent)).fixed_by(fix_of_agent(agent, way, without.harm));
    let problem = problem.out(matches!(agent.state, "down" | "skipped") || failed.is_some_and(fails_always));
    let why = agent.last_problem.as_deref().unwrap_or("no answer");
    let is_out = matches!(agent.state, "down" | "skipped");
    // A probe or call after the last failed call has failed for another cause, which is the current one.
    let is_newer = |failed: &&AgentFailures| {
        let is_later = agent.problem_at.max(agent.unreached.at) > failed.at;
        is_out && is_later && failed.cause != why
    };
    let newer = failed.filter(is_newer);
    let (problem, mut shown) = match failed.filter(|failed| (failed.in_row > 0 || !is_out) && newer.is_none()) {
        Some(failed) => {
            let AgentFailures { cause, recent, calls, last_sid, .. } = failed;
            let shown = if is_out { format!("{cause}; {}", failures(failed)) } else { causes(failed) };
            let problem = if fails_often(failed) { problem.harming(recent.calls, *calls) } else { problem };
            (problem.traced_in(last_sid).latest(failed.at), shown)
        }
        None => (problem.latest(agent.unreached.at), why.to_owned()),
    };
    // If exactly the failed calls did not reach the agent, only the outcome for their callers is added.
    let failures = failed.map_or(0, |failed| failed.calls);
    let is_same = agent.unreached.calls == failures && newer.is_none();
    let is_said = is_same || newer.is_none() && failed.is_some_and(|failed| left_at_once(failed).is_some());
    match unreached(&agent.unreached).filter(|_| !is_said) {
        Some(words) => shown.push_str(&format!("; {words}")),
        None => shown.push_str(&lost(&agent.unreached)),
    }
    // The cause of the earlier calls comes last.
    shown.extend(
        newer.map(|failed| format!("; before that: {}{}", counted(failed), hung_up(failed.hung_up, failed.calls))),
    );
    let problem = without.losing(problem.shown_by(shown), &agent.unreached);
    // The trace is that of the newest failed call, even if an unreached call was traced before.
    let latest = failed.filter(|failed| failed.at > agent.unreached.at);
    Some(latest.into_iter().fold(problem, |problem, failed| problem.traced_in(&failed.last_sid)))
}

/// Describes the failed calls of an agent: their number, the outcome for their callers, and the causes if there are
/// several.
fn failures(failed: &AgentFailures) -> String {
    let AgentFailures { calls, of, recent, causes, .. } = failed;
    let more = tally((*calls, *of), *recent, 0).recent();
    let of_each = match causes.as_slice() {
        [] | [_] => String::new(),
        _ => format!(": {}", counted(failed)),
    };
    format!("it failed in {calls} of {of} calls of the last hour{more}{}{of_each}", hung_up(failed.hung_up, *calls))
}

/// Lists the causes of an agent's failures, newest first; several causes with their numbers of calls.
fn causes(failed: &AgentFailures) -> String {
    if let Some((_, how)) = left_at_once(failed) {
        let before = counts(failed.causes.iter().skip(1));
        return if before.is_empty() { how.to_owned() } else { format!("{how}; before that: {before}") };
    }
    match failed.causes.as_slice() {
        [] => failed.cause.clone(),
        [one] => one.cause.clone(),
        _ => counted(failed),
    }
}

/// Lists the causes of an agent's failures with their numbers of calls, newest first.
fn counted(failed: &AgentFailures) -> String {
    counts(failed.causes.iter())
}

fn counts<'a>(causes: impl Iterator<Item = &'a CauseView>) -> String {
    causes.map(|one| format!("{}× {}", one.calls, one.cause)).collect::<Vec<_>>().join(", ")
}

/// Returns the number of calls that the agent ended at once, and the way it did so; `None` if its newest failure is
/// another one.
fn left_at_once(failed: &AgentFailures) -> Option<(u64, &str)> {
    let newest = failed.causes.first()?;
    let how = newest.cause.strip_prefix(LEFT_AT_ONCE)?;
    Some((newest.calls, how.trim_start_matches(": ")))
}

/// Returns whether an agent fails in a significant share of its latest calls, with the thresholds for a trunk that
/// rejects calls.
fn fails_often(failed: &AgentFailures) -> bool {
    let AgentFailures { in_row, still, lately: [calls, of], .. } = failed;
    let share = (*calls, *of);
    let is_large = is_share(share, limits::AGENT_FAILED_HALF, 2)
        || is_share(share, limits::REJECTED_OFTEN, limits::REJECTED_ONE_IN);
    // The loss of a caller after the answer is systematic, so the next caller would be lost, too.
    let is_losing = failed.hung_up > 0 && *in_row > 0;
    *still && (is_large || *in_row >= limits::AGENT_FAILED_LEAST || is_losing)
}

/// Returns whether an agent fails in each of its latest calls; if so, no caller reaches it. An agent that was reached
/// since, or that ends calls at once, still has callers.
fn fails_always(failed: &AgentFailures) -> bool {
    let [bad, of] = failed.lately;
    let has_callers = failed.reached_since || left_at_once(failed).is_some();
    !has_callers && failed.still && failed.good_since == 0 && failed.in_row > 0 && bad == of
}

/// Returns the fix for the cause of an agent's last failure, and the next probe or call, which clears the problem if it
/// succeeds.
fn fix_of_agent(agent: &AgentView, way: &Way<'_>, harm: Harm) -> String {
    // An agent without a session is "up" because of its last probe or connection.
    let is_refusal_past = agent.sessions == 0 && agent.loss == Some(StreamLoss::Unreachable);
    if agent.state == "up" && (is_refusal_past || agent.failed.as_ref().is_some_and(|failed| failed.reached_since)) {
        return "see the log of the bot and of its host for why it could not be reached then".to_owned();
    }
    let Some((loss, words)) = agent.loss.zip(agent.last_problem.as_deref()) else {
        return format!("`trunkgate agent test {}`", agent.name);
    };
    let known = way.table.agent(&agent.name);
    let fix = known.map_or_else(|| remedy(loss, words, false), |agent| remedy_of(agent, loss, words));
    let probe = known.map(|agent| agent.probe).filter(|probe| !probe.is_zero());
    let probed = probe.map(|probe| format!("it is probed every {} s", probe.as_secs_f64()));
    let is_alone = harm == Harm::Calls;
    let next = match (agent.state, agent.next_try_ms, probed) {
        ("skipped", _, Some(probed)) if is_alone && agent.is_by_probes => {
            format!("calls without another target still try it, and {probed}")
        }
        ("skipped", _, Some(probed)) => format!("calls skip it until a probe succeeds, and {probed}"),
        ("skipped", Some(ms), None) => {
            format!("calls skip it now; the next test call is due in {} s", ms.div_ceil(1_000))
        }
        ("skipped", None, None) => "calls skip it until the call that tests it now reaches it".to_owned(),
        _ => "the next call tries it".to_owned(),
    };
    let hangs_up = agent.failed.as_ref().is_some_and(|failed| failed.in_row > 0 && failed.hung_up > 0);
    let until = match way.rejection_without_agent(&agent.name).filter(|_| is_alone) {
        _ if hangs_up && agent.state == "up" => {
            "; until it is fixed, callers are answered and then hung up on".to_owned()
        }
        Some(code) => format!("; until it is reached callers get {code}"),
        None => String::new(),
    };
    format!("{}; {next}{until}", with_test(fix, &agent.name))
}

/// Returns the problem of an agent that sent no audio in a significant share of the last hour's calls that were long
/// enough to judge; `None` if they are fewer or no longer occur.
pub(super) fn silent_agent(agent: &AgentView) -> Option<Problem> {
    let silent = agent.silent.as_ref().filter(|silent| silent.still)?;
    let FaultView { calls, of, recent, cause, fix, last_sid, good_since, .. } = silent;
    is_many_of(*calls, *of, *recent).then(|| {
        let kind = Unheard {
            party: Some(Party::Agent(agent.name.clone())),
            name: agent.name.clone(),
            silence: Silence::Agent,
            cause: None,
            live_calls: None,
            tally: Some(tally((*calls, *of), *recent, *good_since)),
            both: Vec::new(),
            taken_in: Vec::new(),
        };
        let problem = Problem::of(ProblemKind::Unheard(Box::new(kind))).harming(recent.calls, *calls);
        problem.shown_by(cause).fixed_by(fix).traced_in(last_sid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkgate_call::view::AffectedCalls;

    fn failing(causes: &[(&str, u64)]) -> AgentFailures {
        let causes: Vec<CauseView> =
            causes.iter().map(|(cause, calls)| CauseView { cause: (*cause).to_owned(), calls: *calls }).collect();
        AgentFailures {
            calls: 6,
            of: 6,
            recent: AffectedCalls { calls: 6, of: 6 },
            hung_up: 3,
            in_row: 6,
            still: true,
            good_since: 0,
            lately: [6, 6],
            reached_since: false,
            cause: causes[0].cause.clone(),
            causes,
            last_sid: "CA1".to_owned(),
            at: None,
        }
    }

    #[test]
    fn one_answered_and_lost_caller_is_a_problem_until_the_agent_keeps_a_call() {
        let one = |hung_up, in_row, still| AgentFailures {
            calls: 1,
            of: 40,
            recent: AffectedCalls { calls: 1, of: 40 },
            hung_up,
            in_row,
            still,
            lately: [1, 40],
            ..failing(&[("the connection was reset", 1)])
        };
        assert!(fails_often(&one(1, 1, true)));
        assert!(!fails_often(&one(0, 1, true)), "another target took the call");
        assert!(!fails_often(&one(1, 0, true)) && !fails_often(&one(1, 1, false)), "it has kept calls since");
    }

    #[test]
    fn an_agent_that_ends_calls_at_once_has_callers() {
        let at_once = "ended the call at once, without audio: closed with 1000";
        let refused = failing(&[("cannot be reached: Connection refused", 6)]);
        assert!(fails_always(&refused) && left_at_once(&refused).is_none());
        assert!(!fails_always(&AgentFailures { reached_since: true, ..refused }));
        let newest = failing(&[(at_once, 3), ("cannot be reached: Connection refused", 3)]);
        assert!(!fails_always(&newest) && fails_often(&newest));
        assert_eq!(left_at_once(&newest), Some((3, "closed with 1000")));
        assert_eq!(causes(&newest), "closed with 1000; before that: 3× cannot be reached: Connection refused");
        assert_eq!(causes(&failing(&[(at_once, 6)])), "closed with 1000");
        assert!(fails_always(&failing(&[("cannot be reached: Connection refused", 3), (at_once, 3)])));
    }
}
