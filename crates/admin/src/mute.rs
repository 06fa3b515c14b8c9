//! Calls without audio from either side: one problem, in place of one for each side.

use trunkgate_call::diagnosis::{COMMON, Cause};

use trunkgate_system::problem::{Part, Problem, Silence};

/// How headlines of a side that is not heard begin; its name and ` in ` follow.
const ONE_SIDE: &str = "no media from ";

/// Replaces the problem of a side by that of the other one, where the other one is not heard in the same calls either.
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
                // The ones before may have had this one as their partner.
                at = 0;
            }
            None => at += 1,
        }
    }
    problems
}

/// The place of the problem that has all calls of this one; of two with the same calls, that of the first.
fn partner(one: &Problem, at: usize, problems: &[Problem]) -> Option<usize> {
    let own = one.silence.as_ref().filter(|own| own.calls > 0)?;
    let has_all = |(place, other): &(usize, &Problem)| {
        let Some(others) = other.silence.as_ref().filter(|_| *place != at && other.harm == one.harm) else {
            return false;
        };
        let shared = own.both.iter().find(|(name, _)| *name == others.name).map_or(0, |(_, calls)| *calls);
        let is_behind = (others.calls, at) > (own.calls, *place);
        shared >= own.calls && is_behind
    };
    problems.iter().enumerate().find(has_all).map(|(place, _)| place)
}

/// Makes the problem of one side that of both.
fn take_in(kept: &mut Problem, other: Problem) {
    let (Some(of_kept), Some(of_other)) = (kept.silence.clone(), other.silence) else { return };
    let Silence { name, calls, cause, .. } = *of_kept;
    let is_first = kept.headline.starts_with(ONE_SIDE);
    let both: u64 = of_kept.both.iter().map(|(_, calls)| *calls).sum();
    let rest = kept.headline.strip_prefix(&format!("{ONE_SIDE}{name} in "));
    kept.headline = match rest {
        Some(rest) if both >= calls => format!("no audio from either side, {name} and {}, in {rest}", of_other.name),
        // A further one of several.
        None if !is_first && kept.headline.starts_with("no audio from either side, ") => {
            kept.headline.replacen(", in ", &format!(" or {}, in ", of_other.name), 1)
        }
        Some(_) | None => {
            format!("{}; in {} of them none from {} either", kept.headline, of_other.calls, of_other.name)
        }
    };
    let said = |name: &str, text: Option<&str>| format!("of {name}: {}", text.unwrap_or("nothing came"));
    let of_own =
        if is_first { said(&name, kept.evidence.as_deref()) } else { kept.evidence.clone().unwrap_or_default() };
    kept.evidence = Some(format!("{of_own}; {}", said(&of_other.name, other.evidence.as_deref())));
    // What helps against one of which nothing comes helps against the other in the same way.
    let is_common = is_first && both >= calls && [cause, of_other.cause] == [Cause::Nothing.slug(); 2];
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
    kept.others.extend(other.party.zip(other.kind).map(|(party, kind)| Part { party, kind }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkgate_system::problem::{Harm, Party};

    fn unheard(name: &str, calls: u64, both: &[(&str, u64)]) -> Problem {
        let both = both.iter().map(|(name, calls)| ((*name).to_owned(), *calls)).collect();
        let problem =
            Problem::new(Harm::Media, format!("no media from {name} in {calls} of {calls} calls of the last hour"));
        let problem = problem.shown_by(format!("no packets at {name}")).fixed_by(format!("mend {name}"));
        let problem = problem.silent(Silence { name: name.to_owned(), calls, cause: Cause::Nothing.slug(), both });
        problem.of(Party::Trunk(name.to_owned()), "one_way")
    }

    #[test]
    fn both_sides_of_silent_calls_are_one_problem() {
        let all = joined(vec![unheard("carrier", 3, &[("pbx", 3)]), unheard("pbx", 3, &[("carrier", 3)])]);
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
            let carrier = unheard("carrier", own, &[("a", 2), ("b", 1)]);
            joined(vec![unheard("a", 2, &[("carrier", 2)]), carrier, unheard("b", 1, &[("carrier", 1)])])
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
        let apart = vec![unheard("carrier", 3, &[("pbx", 1)]), unheard("pbx", 2, &[("carrier", 1)])];
        assert_eq!(joined(apart).len(), 2);
        let mut past = vec![unheard("carrier", 3, &[("pbx", 3)]), unheard("pbx", 3, &[("carrier", 3)])];
        past[1].harm = Harm::Past;
        assert_eq!(joined(past).len(), 2, "one of them is heard again");
    }
}
