//! Calls without audio from either side: merges the problems of both sides into one.

use trunkgate_call::diagnosis::{COMMON, FaultCause};

use trunkgate_system::problem::kind::{ProblemKind, Silence, Unheard};
use trunkgate_system::problem::{Part, Problem};

/// Merges the problem of a party that is not heard into that of the party on the other side, if in all its calls
/// neither was heard.
pub(super) fn joined(mut problems: Vec<Problem>) -> Vec<Problem> {
    let mut at = 0;
    while at < problems.len() {
        match problems.get(at).and_then(|one| partner(one, at, &problems)) {
            Some(other) => {
                let one = problems.remove(at);
                let other = if other > at { other - 1 } else { other };
                if let Some(kept) = problems.get_mut(other) {
                    take_in(kept, one);
                }
                // Earlier problems may have had the merged problem as their partner.
                at = 0;
            }
            None => at += 1,
        }
    }
    problems
}

/// Returns the calls without audio from one side, if the other side may be the cause; `None` for other problems.
fn unheard(problem: &Problem) -> Option<&Unheard> {
    let ProblemKind::Unheard(unheard) = &problem.kind else { return None };
    // Digital silence has other causes, and nothing is known about the other side in ended calls of an agent.
    let is_one_of_two = unheard.silence != Silence::Digital && unheard.cause.is_some();
    is_one_of_two.then_some(unheard)
}

/// Returns the index of the problem that includes all calls of this one. If both have the same calls, that is the first
/// of them.
fn partner(one: &Problem, at: usize, problems: &[Problem]) -> Option<usize> {
    let own = unheard(one).filter(|own| own.calls() > 0)?;
    let has_all = |(place, other): &(usize, &Problem)| {
        let Some(others) = unheard(other).filter(|_| *place != at && other.harm == one.harm) else {
            return false;
        };
        let shared = own.both.iter().find(|(name, _)| *name == others.name).map_or(0, |(_, calls)| *calls);
        let is_behind = (others.calls(), at) > (own.calls(), *place);
        shared >= own.calls() && is_behind
    };
    problems.iter().enumerate().find(has_all).map(|(place, _)| place)
}

/// Adds the other side to the problem of one side.
fn take_in(kept: &mut Problem, other: Problem) {
    let (Some(of_kept), Some(of_other)) = (unheard(kept).cloned(), unheard(&other).cloned()) else { return };
    let name = &of_kept.name;
    let is_first = of_kept.silence == Silence::NoMedia && of_kept.taken_in.is_empty();
    let side = (of_other.name.clone(), of_other.calls());
    kept.change(|kind| {
        if let ProblemKind::Unheard(unheard) = kind {
            unheard.taken_in.push(side);
        }
    });
    let said = |name: &str, text: Option<&str>| format!("of {name}: {}", text.unwrap_or("nothing came"));
    let of_own =
        if is_first { said(name, kept.evidence.as_deref()) } else { kept.evidence.clone().unwrap_or_default() };
    kept.evidence = Some(format!("{of_own}; {}", said(&of_other.name, other.evidence.as_deref())));
    // No packet arrives from either side, so both have the same fix.
    let is_common = is_first
        && of_kept.is_of_both_sides()
        && [of_kept.cause, of_other.cause] == [Some(FaultCause::Nothing.slug()); 2];
    let fix = match (kept.fix.take(), other.fix) {
        (Some(one), Some(_)) if is_common => {
            format!("look first at {COMMON}; then, for {name} and in the same way for {}: {one}", of_other.name)
        }
        (Some(one), Some(other)) if one == other || one.contains(&other) => one,
        (Some(one), Some(other)) if is_first => format!("for {name}: {one}; for {}: {other}", of_other.name),
        (Some(one), Some(other)) => format!("{one}; for {}: {other}", of_other.name),
        (one, other) => one.or(other).unwrap_or_default(),
    };
    kept.fix = Some(fix).filter(|fix| !fix.is_empty());
    kept.others.extend(other.party.map(|party| Part { party, kind: other.kind.word() }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkgate_system::problem::kind::Tally;
    use trunkgate_system::problem::{Harm, Party};

    fn silent(name: &str, calls: u64, both: &[(&str, u64)]) -> Problem {
        let both = both.iter().map(|(name, calls)| ((*name).to_owned(), *calls)).collect();
        let kind = Unheard {
            party: Some(Party::Trunk(name.to_owned())),
            name: name.to_owned(),
            silence: Silence::NoMedia,
            cause: Some(FaultCause::Nothing.slug()),
            live_calls: None,
            tally: Some(Tally { calls, of: calls, ..Tally::default() }),
            both,
            taken_in: Vec::new(),
        };
        let problem = Problem::of(ProblemKind::Unheard(Box::new(kind)));
        problem.shown_by(format!("no packets at {name}")).fixed_by(format!("mend {name}"))
    }

    #[test]
    fn both_sides_of_silent_calls_are_one_problem() {
        let all = joined(vec![silent("carrier", 3, &[("pbx", 3)]), silent("pbx", 3, &[("carrier", 3)])]);
        let [one] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!(one.headline, "no audio from either side, carrier and pbx, in 3 of 3 calls of the last hour");
        assert_eq!(one.evidence.as_deref(), Some("of carrier: no packets at carrier; of pbx: no packets at pbx"));
        let fix = one.fix.as_deref().unwrap();
        assert!(
            fix.contains(COMMON) && fix.ends_with("then, for carrier and in the same way for pbx: mend carrier"),
            "{fix}"
        );
        assert_eq!(one.party, Some(Party::Trunk("carrier".to_owned())));
        assert_eq!(one.others.first().map(|part| &part.party), Some(&Party::Trunk("pbx".to_owned())));
    }

    #[test]
    fn a_side_that_is_silent_with_several_others_has_them_all() {
        let of = |own: u64| {
            let carrier = silent("carrier", own, &[("a", 2), ("b", 1)]);
            joined(vec![silent("a", 2, &[("carrier", 2)]), carrier, silent("b", 1, &[("carrier", 1)])])
        };
        let all = of(3);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].headline, "no audio from either side, carrier and a or b, in 3 of 3 calls of the last hour");
        assert_eq!(all[0].others.len(), 2);
        let all = of(9);
        let headline = "no media from carrier in 9 of 9 calls of the last hour; in 2 of them none from a either; in 1 of them none from b either";
        assert_eq!(all[0].headline, headline);
        assert!(!all[0].fix.as_deref().unwrap().contains(COMMON), "most of these calls are silent one way: {all:?}");
    }

    #[test]
    fn one_way_calls_stay_problems_of_their_sides() {
        let apart = vec![silent("carrier", 3, &[("pbx", 1)]), silent("pbx", 2, &[("carrier", 1)])];
        assert_eq!(joined(apart).len(), 2);
        let mut past = vec![silent("carrier", 3, &[("pbx", 3)]), silent("pbx", 3, &[("carrier", 3)])];
        past[1].harm = Harm::Past;
        assert_eq!(joined(past).len(), 2, "one of them is heard again");
    }
}
