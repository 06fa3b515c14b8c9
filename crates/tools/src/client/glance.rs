//! First line of `status`: whether calls are accepted, the number of problems, and the worst one.

use serde_json::Value;
use trunkgate_call::diagnosis::FaultCause;

use super::print::{GREEN, RED, paint};
use trunkgate_system::problem::HEADLINE_CHARS;
use trunkgate_system::text::number;

/// Length of `trunkgate trace SID` with a SID prefix that identifies a call.
const COMMAND_CHARS: usize = "trunkgate trace ".len() + 10;
/// Maximum length of a problem's evidence in the first line, in characters.
const EVIDENCE_CHARS: usize = 200;

/// Returns the first line of `status`: state, number of problems, and the problem with the greatest effect on calls.
pub(super) fn at_a_glance(answer: &Value) -> String {
    let (state, is_taking) = taking(answer);
    let colour = if is_taking { GREEN } else { RED };
    let all = answer["problem_details"].as_array().into_iter().flatten();
    let (notes, all): (Vec<&Value>, Vec<&Value>) = all.partition(|one| is_note(one));
    // Draining and starting are already named by the state.
    let first = all.iter().find(|problem| !(problem["kind"] == "draining" || problem["kind"] == "starting"));
    let first = first.map(|problem| {
        if is_taking && problem["harm"] == "past" { in_brief(problem) } else { with_fix(in_brief(problem), problem) }
    });
    match (all.len(), first) {
        (0, _) => {
            let note = notes.first().map(|note| format!("; {}", in_brief(note))).unwrap_or_default();
            format!("{}, no problems{note}", paint(state, colour))
        }
        (problems, None) => paint(&format!("{state}, {}", number(problems, "problem")), RED),
        (problems, Some(first)) => {
            format!("{}, {}: {first}", paint(state, colour), paint(&number(problems, "problem"), RED))
        }
    }
}

/// Returns the state of the edge in words, and whether calls are accepted.
pub(crate) fn taking(status: &Value) -> (&str, bool) {
    let first = status["problem_details"].as_array().and_then(|all| all.first());
    let is_refused = first.is_some_and(|one| one["kind"] == "calls_refused");
    match status["state"].as_str() {
        Some("ready") if is_refused && status["problem_details"][0]["harm"] == "edge" => ("refusing all calls", false),
        Some("ready") if is_refused => ("refusing calls that have to be recorded", false),
        Some("ready") if status["without_target"] == true => {
            ("ready, but no route has a target that takes calls", false)
        }
        Some("ready") => ("taking calls", true),
        Some(other) => (other, false),
        None => ("–", false),
    }
}

/// Appends the first step of a problem's fix, or the trace command for silent calls.
fn with_fix(brief: String, problem: &Value) -> String {
    // For silent calls a trace is more useful than the fix.
    if let Some(command) = problem["cause"].as_str().and(problem["command"].as_str()) {
        let short: String = command.chars().take(COMMAND_CHARS).collect();
        let whole = format!("{brief}; see: {short}");
        return if whole.chars().count() <= HEADLINE_CHARS { whole } else { brief };
    }
    let step = problem["fix"].as_str().and_then(|fix| fix.split("; ").next()).and_then(|fix| fix.split(". ").next());
    match step {
        Some(step) => format!("{brief}; try: {step}"),
        None => brief,
    }
}

/// Returns whether an entry of `status` is a note about unknown sources, which every public address has, and no problem
/// of the edge.
pub(crate) fn is_note(problem: &Value) -> bool {
    problem["harm"] == "strangers"
}

/// Maximum length of the line for a silent party, in characters.
const LINE_CHARS: usize = 98;

/// Returns the line for a silent party: the headline, the cause if known, and the age if there is room.
pub(super) fn in_line(headline: &str, cause: &str, since: &str) -> String {
    // `Nothing` means that the cause is unknown.
    let is_known = cause != FaultCause::Nothing.slug();
    let cause = if is_known { format!(" ({})", cause.replace('_', " ")) } else { String::new() };
    let mut line = headline.to_owned();
    for part in [cause.as_str(), since] {
        if line.chars().count() + part.chars().count() <= LINE_CHARS {
            line.push_str(part);
        }
    }
    line
}

/// Returns the headline of a problem without its time.
pub(crate) fn brief(problem: &Value) -> &str {
    problem["brief"].as_str().or_else(|| problem["headline"].as_str()).unwrap_or("–")
}

/// Formats a problem as its headline and the start of its evidence.
fn in_brief(problem: &Value) -> String {
    if let Some(cause) = problem["cause"].as_str() {
        return in_line(brief(problem), cause, "");
    }
    // The state already contains the headline of this kind.
    let is_refused = problem["kind"] == "calls_refused";
    let headline = if is_refused { brief(problem) } else { problem["headline"].as_str().unwrap_or("–") };
    let Some(evidence) = problem["evidence"].as_str() else { return headline.to_owned() };
    let mut brief: String = evidence.chars().take(EVIDENCE_CHARS).collect();
    if brief.len() < evidence.len() {
        brief.push('…');
    }
    format!("{headline}: {brief}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_edge_that_takes_no_calls_says_why_and_what_to_do_first() {
        let glance = |harm: &str, without_target: bool| {
            let brief = "the disk accepts no recordings (on_full = \"refuse_calls\"): 2 callers lost";
            let fix = "make room on the disk of /rec (`df -h /rec`); until then `on_full = \"continue\"`";
            let problem = json!({"kind": "calls_refused", "brief": brief, "harm": harm, "evidence": "No space left on device, at /rec", "fix": fix});
            let status = json!({"state": "ready", "without_target": without_target, "problem_details": [problem]});
            at_a_glance(&status)
        };
        let rest = "1 problem: the disk accepts no recordings (on_full = \"refuse_calls\"): 2 callers lost: \
                    No space left on device, at /rec; try: make room on the disk of /rec (`df -h /rec`)";
        assert_eq!(glance("edge", true), format!("refusing all calls, {rest}"));
        assert_eq!(glance("calls", false), format!("refusing calls that have to be recorded, {rest}"));
        let down = json!({"headline": "agent bot is down", "harm": "calls", "evidence": "refused", "fix": "start the bot: do. Or not"});
        let status = json!({"state": "ready", "without_target": true, "problem_details": [down]});
        let expected = "ready, but no route has a target that takes calls, 1 problem: agent bot is down: refused; try: start the bot: do";
        assert_eq!(at_a_glance(&status), expected);
    }

    #[test]
    fn a_silence_is_one_line_with_its_cause_and_the_command_that_shows_more() {
        let sid = "CA77f57320847d48425b3aaf4caa6eae01";
        let line = |name: &str, cause: &str| {
            let brief = format!("no media from {name} in 3 of 3 calls");
            let problem = json!({"brief": brief, "harm": "media", "cause": cause, "evidence": "proof ".repeat(60), "fix": "do",
                "command": format!("trunkgate trace {sid}")});
            at_a_glance(&json!({"state": "ready", "problem_details": [problem]}))
        };
        let first = "taking calls, 1 problem: no media from pbx in 3 of 3 calls (private address); see: trunkgate trace CA77f57320";
        assert_eq!(line("pbx", "private_address"), first);
        assert_eq!(line("pbx", "nothing"), first.replace(" (private address)", ""), "no cause is known");
        for (name, cause) in [("pbx", "echoed"), (&*"x".repeat(60), "unexpected_source"), (&*"x".repeat(40), "nothing")]
        {
            let line = line(name, cause);
            let problem = line.strip_prefix("taking calls, 1 problem: ").unwrap();
            assert!(problem.chars().count() <= HEADLINE_CHARS && !problem.contains("proof"), "{problem}");
        }
    }

    #[test]
    fn a_problem_has_its_first_step_and_one_that_is_past_has_none() {
        let glance = |harm: &str| {
            let problem = json!({"headline": "agent bot sent no audio", "harm": harm, "fix": "see why: ask. Or not"});
            at_a_glance(&json!({"state": "ready", "problem_details": [problem]}))
        };
        let line = "taking calls, 1 problem: agent bot sent no audio";
        assert_eq!(glance("media"), format!("{line}; try: see why: ask"));
        assert_eq!(glance("past"), line);
    }
}
