//! Compares the compiled index with a reference: routes tried one by one in file order.
#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::Arc;

use jiff::Timestamp;
use proptest::prelude::*;
use trunkgate_route::{
    Calendar, CallInfo, CallTarget, HeaderCondition, LineSettings, MatchResult, NumberingPlan, Pattern, Route,
    RouteLines, RoutePlan, RoutingTable, ScheduleHours, TableDefinition, TargetSpec, Trunk,
};

/// Generates patterns of few digits and short texts, so that they often match.
fn pattern() -> impl Strategy<Value = Pattern> {
    prop_oneof![
        4 => "\\+?[12]{1,4}",
        4 => "\\+?[12]{0,3}\\*",
        1 => "/\\^\\[\\+\\]\\?[12]{1,2}/",
        1 => "/\\^\\\\\\+[12]{1,2}(\\?|\\||)[12]\\$?/",
        1 => "/[12]{1,2}\\$/",
        1 => "x[12]?\\*?",
    ]
    .prop_map(|text| Pattern::parse(&text).unwrap())
}

fn some<T: std::fmt::Debug>(one: impl Strategy<Value = T>, most: usize) -> impl Strategy<Value = Vec<T>> {
    proptest::collection::vec(one, 0..most)
}

fn route() -> impl Strategy<Value = Route> {
    let from = some(proptest::sample::select(vec!["a", "b", "c"]), 3);
    let header = (proptest::sample::select(vec!["X-A", "x-a", "X-B"]), proptest::collection::vec(pattern(), 1..3));
    let header = header.prop_map(|(name, values)| HeaderCondition { name: name.to_owned(), values });
    let when = proptest::sample::select(vec!["mon-fri", "sat", "09:00-12:00", "12-25"]);
    let when = when.prop_map(|text| ScheduleHours::parse(text, &Calendar::default(), &|_| None).unwrap());
    let share = prop_oneof![4 => Just(100_u8), 1 => 1..100_u8];
    (from, some(pattern(), 4), some(pattern(), 3), some(header, 2), some(when, 2), share).prop_map(
        |(from, to, caller, header, when, share)| Route {
            from: from.into_iter().map(str::to_owned).collect(),
            to,
            caller,
            header,
            when,
            share,
            ..Route::named("", vec![TargetSpec::Reject(603)])
        },
    )
}

/// Returns whether a route takes a call, regardless of its percentage.
fn holds(route: &Route, call: &CallInfo<'_>) -> bool {
    let any = |patterns: &[Pattern], text: &str| patterns.iter().any(|pattern| pattern.matches(text));
    (route.from.is_empty() || route.from.iter().any(|name| name == call.from))
        && (route.to.is_empty() || any(&route.to, call.called))
        && (route.caller.is_empty() || any(&route.caller, call.caller))
        && route.header.iter().all(|condition| {
            let values = call.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(&condition.name));
            values.into_iter().any(|(_, value)| any(&condition.values, value))
        })
        && (route.when.is_empty() || route.when.iter().any(|hours| hours.is_active(call.at)))
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof!["\\+?[12]{0,5}", "x[12]{0,2}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn plan_and_explain_agree_with_the_plain_search(
        mut routes in proptest::collection::vec(route(), 0..80),
        from in proptest::sample::select(vec!["a", "b", "c", "d"]),
        called in number(),
        caller in number(),
        headers in some((proptest::sample::select(vec!["X-A", "X-B"]), number()), 4),
        hour in 0..100_i64,
        draw in any::<u32>(),
    ) {
        for (position, route) in routes.iter_mut().enumerate() {
            route.name = position.to_string().into();
        }
        let headers: Vec<_> = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        // From Christmas Eve, a Thursday, on.
        let at = "2026-12-24T00:00:00Z".parse::<Timestamp>().unwrap() + jiff::SignedDuration::from_hours(hour);
        let call = CallInfo { from, called: &called, caller: &caller, at, headers: &headers, draw: None };
        let trunks = ["a", "b", "c", "d"].map(Trunk::named).to_vec();
        let numbers = NumberingPlan::new("US").unwrap();
        let table = RoutingTable::new(TableDefinition { numbers, trunks, agents: vec![], routes: routes.clone() });
        let planned = |call: &CallInfo<'_>| table.plan(call, &mut |_| 0).map(|plan| plan.route.name.clone());

        // Without random numbers: routes that take every matching call.
        let naive = routes.iter().find(|route| route.share == 100 && holds(route, &call)).map(|route| route.name.clone());
        prop_assert_eq!(&planned(&call), &naive);
        // A table that has only this route, at its position behind routes that never match, decides on its
        // percentage.
        let drawn = CallInfo { draw: Some(draw), ..call };
        let nothing = || Route { from: vec!["nobody".to_owned()], ..Route::named("", vec![]) };
        let alone = |position: usize| {
            let mut alone: Vec<Route> = (0..position).map(|_| nothing()).collect();
            alone.push(routes[position].clone());
            let numbers = NumberingPlan::new("US").unwrap();
            let table = RoutingTable::new(TableDefinition { numbers, trunks: vec![], agents: vec![], routes: alone });
            table.plan(&drawn, &mut |_| 0).is_some()
        };
        let chosen = (0..routes.len()).find(|at| holds(&routes[*at], &drawn) && alone(*at));
        prop_assert_eq!(planned(&drawn), chosen.map(|at| routes[at].name.clone()));

        let verdicts = table.explain(&call);
        prop_assert_eq!(verdicts.len(), routes.len());
        let yes: Vec<_> = verdicts.iter().filter(|verdict| verdict.matched == MatchResult::Yes).collect();
        prop_assert_eq!(yes.first().map(|verdict| verdict.name.clone()), naive);
        prop_assert!(yes.len() <= 1);
        let after = verdicts.iter().skip_while(|verdict| verdict.matched != MatchResult::Yes).skip(1);
        prop_assert!(after.into_iter().all(|verdict| verdict.matched == MatchResult::NotReached));
    }
}

/// Returns the same routes twice: as lines of a file within one route, and as routes of a table.
fn lines(routes: &[Route]) -> (Route, Vec<Route>) {
    let mut lines = RouteLines::default();
    for (number, route) in (1..).zip(routes) {
        let connect = lines.connect(route.connect.clone());
        let (from, when) = (route.from.clone(), route.when.clone());
        let rest =
            lines.store_settings(LineSettings { from, when, share: Some(route.share), ..LineSettings::default() });
        lines.push(number, (route.to.first().cloned(), route.caller.first().cloned()), connect, rest);
    }
    let file = Arc::new(lines.compile("numbers.csv"));
    (Route { file: Some(file), ..Route::named("file", vec![TargetSpec::Reject(604)]) }, routes.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn the_lines_of_a_file_are_routes_in_their_order(
        mut routes in proptest::collection::vec(route(), 0..80),
        from in proptest::sample::select(vec!["a", "b", "c", "d"]),
        called in number(),
        caller in number(),
        hour in 0..100_i64,
    ) {
        for (number, route) in (1..).zip(&mut routes) {
            route.name = number.to_string().into();
            route.to.truncate(1);
            route.caller.truncate(1);
            route.header.clear();
            route.connect = vec![
                TargetSpec::Trunk { name: from.into(), number: Some(format!("{number}")), weight: None },
                TargetSpec::Trunk { name: from.into(), number: Some(format!("0{number}x")), weight: None },
                TargetSpec::Trunk { name: from.into(), number: None, weight: Some(number) },
                TargetSpec::Reject(486),
            ];
        }
        let (file, routes) = lines(&routes);
        let table = |routes: Vec<Route>| {
            let trunks = ["a", "b", "c", "d"].map(Trunk::named).to_vec();
            RoutingTable::new(TableDefinition { numbers: NumberingPlan::new("US").unwrap(), trunks, agents: vec![], routes })
        };
        let at = "2026-12-24T00:00:00Z".parse::<Timestamp>().unwrap() + jiff::SignedDuration::from_hours(hour);
        let call = CallInfo { from, called: &called, caller: &caller, at, headers: &[], draw: None };
        let (plain, by_file) = (table(routes.clone()), table(vec![file.clone()]));
        let (plain, planned) = (plain.plan(&call, &mut |_| 0), by_file.plan(&call, &mut |_| 0));
        let number = planned.as_ref().map(|plan| plan.route.line.as_ref().unwrap().line.to_string());
        prop_assert_eq!(&number, &plain.as_ref().map(|plan| plan.route.name.to_string()));
        let targets = |plan: Option<RoutePlan>| plan.map(|plan| plan.targets.iter().map(CallTarget::spec).collect::<Vec<_>>());
        prop_assert_eq!(targets(planned.clone()), targets(plain));
        if let Some(plan) = &planned {
            prop_assert_eq!(&plan.route.connect, &routes[number.unwrap().parse::<usize>().unwrap() - 1].connect);
        }
        let told = &by_file.explain(&call)[0].matched;
        let perhaps = routes.iter().find(|route| route.share < 100 && holds(route, &call)).map(|route| route.share);
        match (planned, perhaps) {
            (Some(_), _) => prop_assert_eq!(told, &MatchResult::Yes),
            (None, Some(share)) => prop_assert_eq!(told, &MatchResult::Share(share)),
            (None, None) => prop_assert!(matches!(told, MatchResult::No(why) if why.contains("numbers.csv")), "{:?}", told),
        }
        // A line with the same conditions as an earlier one is hidden, by that or by one before it.
        let same = |one: &Route, other: &Route| {
            let texts = |patterns: &[Pattern]| patterns.iter().map(Pattern::to_string).collect::<Vec<_>>();
            texts(&one.to) == texts(&other.to) && texts(&one.caller) == texts(&other.caller)
                && one.from == other.from && one.when == other.when
        };
        let found: Vec<u32> = file.file.unwrap().hidden(same).map(|(_, hidden)| hidden).collect();
        let expected = (0..routes.len()).filter(|at| routes[..*at].iter().any(|other| same(other, &routes[*at])));
        prop_assert_eq!(found, expected.map(|at| u32::try_from(at).unwrap() + 1).collect::<Vec<_>>());
    }
}
