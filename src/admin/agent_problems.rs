//! Problems of agents as `status` has them: down, skipped, failing in many calls, silent.

use trunkgate_call::view::{AgentFailures, AgentView, FaultView};
use trunkgate_route::TargetSpec;

use super::trunk_problems::{ONE_WAY, is_many_of, lately, lost, unreached};
use super::way::{Way, is_share};
use crate::limits;
use crate::system::problem::{Harm, Party, Problem, Urgency};
use trunkgate_call::agent_fix::{remedy, remedy_of, with_test};

/// What is wrong with an agent.
pub(super) fn of_agent(agent: &AgentView, way: &Way<'_>) -> Option<Problem> {
    let failed = agent.failed.as_ref();
    let without = way.without(|target| matches!(target, TargetSpec::Agent(name) if *name == agent.name));
    let problem = match (agent.state, failed) {
        ("down", _) => without.problem(format!("agent {} is down", agent.name)),
        ("skipped", _) => without.problem(format!("agent {} keeps failing and is skipped", agent.name)),
        // It is not skipped.
        (_, Some(failed)) if fails_often(failed) => {
            let AgentFailures { calls, of, recent, good_since, .. } = failed;
            let what = format!("agent {} failed in {calls} of {of} calls of the last hour", agent.name);
            // Where callers were hung up on, no other target took these calls.
            let (harm, instead) = if failed.hung_up > 0 { (Harm::Calls, "") } else { (without.harm, without.instead) };
            let what = format!("{what}{}{}{instead}", recent.beside(*calls, *of), hung_up(failed));
            lately(harm, *good_since, "good", what)
        }
        _ => return None,
    };
    let urgency = without.urgency.max(Urgency::Agent);
    let problem = problem.urgent(urgency).about(format!("agent {}", agent.name));
    let problem = problem.of(Party::Agent(agent.name.clone()), "fails").fixed_by(fix_of_agent(agent, way));
    let problem = problem.out(matches!(agent.state, "down" | "skipped") || failed.is_some_and(fails_always));
    let why = agent.last_problem.as_deref().unwrap_or("no answer");
    let is_out = matches!(agent.state, "down" | "skipped");
    // A probe, or calls that did not reach it since then, failed for another cause, which is that of now.
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
    // Those that did not reach it are most often those in which it failed: then it is enough to say what became of the callers.
    let failures = failed.map_or(0, |failed| failed.calls);
    let is_same = agent.unreached.calls == failures && newer.is_none();
    match unreached(&agent.unreached).filter(|_| !is_same) {
        Some(words) => shown.push_str(&format!("; {words}")),
        None => shown.push_str(&lost(&agent.unreached)),
    }
    // What was wrong before stands behind.
    shown.extend(newer.map(|failed| format!("; before that: {}", counted(failed))));
    Some(without.losing(problem.shown_by(shown), &agent.unreached))
}

/// In how many calls an agent failed, what became of their callers, and for which causes where there were several.
fn failures(failed: &AgentFailures) -> String {
    let AgentFailures { calls, of, recent, causes, .. } = failed;
    let more = recent.beside(*calls, *of);
    let of_each = match causes.as_slice() {
        [] | [_] => String::new(),
        _ => format!(": {}", counted(failed)),
    };
    format!("it failed in {calls} of {of} calls of the last hour{more}{}{of_each}", hung_up(failed))
}

/// The causes for which an agent failed, the newest first, each with its calls where there are several.
fn causes(failed: &AgentFailures) -> String {
    match failed.causes.as_slice() {
        [] => failed.cause.clone(),
        [one] => one.cause.clone(),
        _ => counted(failed),
    }
}

/// The causes for which an agent failed, the newest first, each with its calls.
fn counted(failed: &AgentFailures) -> String {
    let each = failed.causes.iter().map(|one| format!("{}× {}", one.calls, one.cause));
    each.collect::<Vec<_>>().join(", ")
}

/// Whether an agent fails in so many of its latest calls that it is no chance: the same shares as of a trunk that rejects calls.
fn fails_often(failed: &AgentFailures) -> bool {
    let AgentFailures { in_row, still, lately: [calls, of], .. } = failed;
    let share = (*calls, *of);
    let is_large = is_share(share, limits::AGENT_FAILED_HALF, 2)
        || is_share(share, limits::REJECTED_OFTEN, limits::REJECTED_ONE_IN);
    *still && (is_large || *in_row >= limits::AGENT_FAILED_LEAST)
}

/// Whether an agent fails in each of its latest calls.
fn fails_always(failed: &AgentFailures) -> bool {
    let [bad, of] = failed.lately;
    failed.still && failed.good_since == 0 && failed.in_row > 0 && bad == of
}

/// What became of the callers of calls in which it failed.
fn hung_up(failed: &AgentFailures) -> String {
    match failed.hung_up {
        0 => String::new(),
        1 if failed.calls == 1 => ", and its caller was hung up on".to_owned(),
        all if all == failed.calls => ", and their callers were hung up on".to_owned(),
        1 => ", and 1 caller was hung up on".to_owned(),
        some => format!(", and {some} callers were hung up on"),
    }
}

/// What would help an agent by the cause of its last failure, and what shows whether it did: the next call or probe withdraws the problem.
fn fix_of_agent(agent: &AgentView, way: &Way<'_>) -> String {
    let Some((loss, words)) = agent.loss.zip(agent.last_problem.as_deref()) else {
        return format!("`trunkgate agent test {}`", agent.name);
    };
    let known = way.table.agent(&agent.name);
    let fix = known.map_or_else(|| remedy(loss, words, false), |agent| remedy_of(agent, loss, words));
    let probe = known.map(|agent| agent.probe).filter(|probe| !probe.is_zero());
    let next = match (agent.state, agent.next_try_ms, probe) {
        ("skipped", _, Some(probe)) => {
            format!("calls skip it until a probe succeeds, and it is probed every {} s", probe.as_secs_f64())
        }
        ("skipped", Some(ms), None) => {
            format!("calls skip it now, and one of them tries it in {} s", ms.div_ceil(1_000))
        }
        ("skipped", None, None) => "calls skip it until the one that tries it now reaches it".to_owned(),
        _ => "the next call tries it".to_owned(),
    };
    format!("{}; {next}", with_test(fix, &agent.name))
}

/// Calls of the last hour that an agent had for long enough without a word of it.
pub(super) fn silent_agent(agent: &AgentView) -> Option<Problem> {
    let silent = agent.silent.as_ref().filter(|silent| silent.still)?;
    let FaultView { calls, of, recent, cause, fix, last_sid, good_since, .. } = silent;
    is_many_of(*calls, *of, *recent).then(|| {
        let more = recent.beside(*calls, *of);
        let what = format!("agent {} sent no audio in {calls} of {of} calls of the last hour{more}", agent.name);
        let problem =
            lately(Harm::Media, *good_since, "heard", what).about(format!("no audio from agent {}", agent.name));
        let problem = problem.shown_by(cause).fixed_by(fix).traced_in(last_sid);
        problem.harming(recent.calls, *calls).of(Party::Agent(agent.name.clone()), ONE_WAY)
    })
}
