//! The first line of `status`: whether calls are taken, how many problems there are, and the worst.

use serde_json::Value;

use super::print::{GREEN, RED, paint};
use crate::sinks::recordings::REFUSED;
use crate::system::text::number;

/// Characters of a problem's evidence in the first line.
const EVIDENCE_CHARS: usize = 200;

/// Whether calls are taken, how many problems there are, and the one that harms calls most: what is read first at night.
pub(super) fn at_a_glance(answer: &Value) -> String {
    let (state, is_taking) = taking(answer);
    let colour = if is_taking { GREEN } else { RED };
    let all = answer["problem_details"].as_array().into_iter().flatten();
    let (notes, all): (Vec<&Value>, Vec<&Value>) = all.partition(|one| is_note(one));
    // That the edge drains, or starts, is the state.
    let first = all.iter().find(|problem| problem["headline"].as_str().is_some_and(|headline| headline != state));
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

/// Returns whether calls are taken, and the words for it.
pub(crate) fn taking(status: &Value) -> (&str, bool) {
    let first = status["problem_details"].as_array().and_then(|all| all.first());
    let is_refused = first.and_then(|one| one["headline"].as_str()).is_some_and(|text| text.starts_with(REFUSED));
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

/// Adds the first step of what to do.
fn with_fix(brief: String, problem: &Value) -> String {
    let step = problem["fix"].as_str().and_then(|fix| fix.split("; ").next()).and_then(|fix| fix.split(". ").next());
    match step {
        Some(step) => format!("{brief}; try: {step}"),
        None => brief,
    }
}

/// Whether what `status` lists is no problem of the edge: what unknown sources do, as they do at every public address.
pub(crate) fn is_note(problem: &Value) -> bool {
    problem["harm"] == "strangers"
}

/// The headline of a problem and the beginning of what shows it.
fn in_brief(problem: &Value) -> String {
    let headline = problem["headline"].as_str().unwrap_or("–");
    // The state says it already.
    let headline = headline.strip_prefix("calls are refused: ").unwrap_or(headline).to_owned();
    let Some(evidence) = problem["evidence"].as_str() else { return headline };
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
            let headline = format!("{REFUSED} (on_full = \"refuse_calls\"): 2 callers lost");
            let fix = "free space on this disk: `df -h /rec`; until then `on_full = \"continue\"`";
            let problem =
                json!({"headline": headline, "harm": harm, "evidence": "No space left on device, at /rec", "fix": fix});
            let status = json!({"state": "ready", "without_target": without_target, "problem_details": [problem]});
            at_a_glance(&status)
        };
        let rest = "1 problem: the disk takes no recordings (on_full = \"refuse_calls\"): 2 callers lost: \
                    No space left on device, at /rec; try: free space on this disk: `df -h /rec`";
        assert_eq!(glance("edge", true), format!("refusing all calls, {rest}"));
        assert_eq!(glance("calls", false), format!("refusing calls that have to be recorded, {rest}"));
        let down = json!({"headline": "agent bot is down", "harm": "calls", "evidence": "refused", "fix": "start the bot: do. Or not"});
        let status = json!({"state": "ready", "without_target": true, "problem_details": [down]});
        let expected = "ready, but no route has a target that takes calls, 1 problem: agent bot is down: refused; try: start the bot: do";
        assert_eq!(at_a_glance(&status), expected);
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
