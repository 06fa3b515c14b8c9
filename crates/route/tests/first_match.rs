//! The indexed look-up against the plainest one: routes tried in the order of the file.
#![allow(missing_docs, clippy::unwrap_used)]

use proptest::prelude::*;
use trunkgate_route::{CallInfo, Definition, Matched, Numbers, Pattern, Route, Table, TargetSpec, Trunk};

/// Few digits and short texts, so that patterns meet numbers often.
fn pattern() -> impl Strategy<Value = Pattern> {
    prop_oneof![
        4 => "\\+?[12]{1,4}",
        4 => "\\+?[12]{0,3}\\*",
        1 => "/\\^\\[\\+\\]\\?[12]{1,2}/",
        1 => "/[12]{1,2}\\$/",
    ]
    .prop_map(|text| Pattern::parse(&text).unwrap())
}

fn route() -> impl Strategy<Value = Route> {
    let names = proptest::collection::vec(proptest::sample::select(vec!["a", "b", "c"]), 0..3);
    let patterns = || proptest::collection::vec(pattern(), 0..4);
    (names, patterns(), patterns()).prop_map(|(from, to, caller)| Route {
        from: from.into_iter().map(str::to_owned).collect(),
        to,
        caller,
        ..Route::named("", vec![TargetSpec::Reject(603)])
    })
}

proptest! {
    #[test]
    fn plan_and_explain_agree_with_the_plain_search(
        mut routes in proptest::collection::vec(route(), 0..24),
        from in proptest::sample::select(vec!["a", "b", "c", "d"]),
        called in "\\+?[12]{1,5}",
        caller in "\\+?[12]{0,4}",
    ) {
        for (position, route) in routes.iter_mut().enumerate() {
            route.name = position.to_string().into();
        }
        let call = CallInfo { from, called: &called, caller: &caller, ..CallInfo::default() };
        let naive = routes.iter().find(|route| {
            (route.from.is_empty() || route.from.iter().any(|name| name == from))
                && (route.to.is_empty() || route.to.iter().any(|pattern| pattern.matches(&called)))
                && (route.caller.is_empty() || route.caller.iter().any(|pattern| pattern.matches(&caller)))
        });
        let naive = naive.map(|route| route.name.clone());
        let trunks = ["a", "b", "c", "d"].map(Trunk::named).to_vec();
        let numbers = Numbers::new("US").unwrap();
        let table = Table::new(Definition { numbers, trunks, agents: vec![], routes: routes.clone() });
        let planned = table.plan(&call, &mut |_| 0).map(|plan| plan.route.name.clone());
        prop_assert_eq!(&planned, &naive);

        let verdicts = table.explain(&call);
        prop_assert_eq!(verdicts.len(), routes.len());
        let yes: Vec<_> = verdicts.iter().filter(|verdict| verdict.matched == Matched::Yes).collect();
        prop_assert_eq!(yes.first().map(|verdict| verdict.name.clone()), naive);
        prop_assert!(yes.len() <= 1);
        let after = verdicts.iter().skip_while(|verdict| verdict.matched != Matched::Yes).skip(1);
        prop_assert!(after.into_iter().all(|verdict| verdict.matched == Matched::NotReached));
    }
}
