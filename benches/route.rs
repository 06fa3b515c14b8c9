//! Cost of routing a call: finding its trunk, parsing its numbers, and finding its route among 1,000. Also the maximum
//! time of a look-up among 100,000 routes, and in a file of 1,000,000 numbers.
#![allow(missing_docs, clippy::expect_used)]

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use trunkgate_route::{
    CallInfo, NumberingPlan, Pattern, Peer, Route, RouteLines, RouteList, RoutingTable, TableDefinition, TargetSpec,
    Transport, Trunk,
};

const ROUTES: u32 = 1_000;

fn table() -> RoutingTable {
    let mut carrier = Trunk::named("carrier");
    carrier.accept_from = vec!["198.51.100.0/24".parse().expect("a network")];
    carrier.peers = vec![Peer::at([198, 51, 100, 7].into(), None, Transport::Udp)];
    let mut pbx = Trunk::named("pbx");
    pbx.peers = (1..=4).map(|host| Peer::at([10, 0, 0, host].into(), None, Transport::Udp)).collect();
    let route = |position: u32| Route {
        from: vec!["carrier".into()],
        to: vec![Pattern::parse(&format!("+1415555{position:04}")).expect("a pattern")],
        ..Route::named(
            &format!("did-{position}"),
            vec![TargetSpec::Trunk { name: "pbx".into(), number: None, weight: None }],
        )
    };
    let mut routes: Vec<Route> = (0..ROUTES).map(route).collect();
    for (position, route) in routes.iter_mut().enumerate().skip(500).take(100) {
        route.to = vec![Pattern::parse(&format!("+44{position}*")).expect("a pattern")];
    }
    let numbers = NumberingPlan::new("US").expect("a country");
    RoutingTable::new(TableDefinition { numbers, trunks: vec![carrier, pbx], agents: vec![], routes })
}

fn benches(criterion: &mut Criterion) {
    let table = table();
    let source: SocketAddr = "198.51.100.200:40000".parse().expect("an address");
    criterion.bench_function("trunk_of/network", |b| b.iter(|| table.trunk_of(black_box(source))));
    let stranger: SocketAddr = "203.0.113.9:5060".parse().expect("an address");
    criterion.bench_function("trunk_of/stranger", |b| b.iter(|| table.trunk_of(black_box(stranger))));
    for (name, called) in [("first", "+14155550000"), ("last", "+14155550999"), ("none", "+14159999999")] {
        let call = CallInfo { from: "carrier", called, caller: "+12125550100", ..CallInfo::default() };
        criterion.bench_function(&format!("plan/1000_routes/{name}"), |b| {
            b.iter(|| table.plan(black_box(&call), &mut |_| 0));
        });
    }
    for (name, user) in [("e164", "+14155551234"), ("national", "4155551234"), ("extension", "100")] {
        criterion.bench_function(&format!("normalise/{name}"), |b| {
            b.iter(|| table.numbers().normalise(black_box(user), None));
        });
    }
    for (name, number) in [("us", "+14155551234"), ("de", "+4930123456"), ("ar", "+5491123456789")] {
        criterion.bench_function(&format!("is_premium/{name}"), |b| {
            b.iter(|| table.numbers().is_premium(black_box(number)));
        });
    }
}

/// Returns a number of ten digits that depends on `number` without a visible pattern.
fn scattered(number: u64) -> u64 {
    (number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) % 10_000_000_000
}

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).expect("a pattern")
}

fn to_pbx(number: Option<u64>) -> Vec<TargetSpec> {
    vec![TargetSpec::Trunk { name: "pbx".into(), number: number.map(|number| number.to_string()), weight: None }]
}

/// Returns 100,000 routes: seven in ten match a number, two a prefix of 4 to 8 digits, one a caller; one in ten
/// thousand has a regular expression.
fn hundred_thousand() -> RouteList {
    let route = |at: u64| {
        let number = scattered(at);
        let (to, caller) = match at % 10 {
            _ if at % 10_000 == 9_999 => (vec![pattern(&format!("/^[+]1{number}.$/"))], vec![]),
            0 => (vec![], vec![pattern(&format!("+1{number:010}"))]),
            1 | 2 => {
                let digits = format!("{number:010}");
                let length = 4 + usize::try_from(at % 5).unwrap_or(0);
                (vec![pattern(&format!("+1{}*", digits.get(..length).unwrap_or_default()))], vec![])
            }
            _ => (vec![pattern(&format!("+1{number:010}"))], vec![]),
        };
        Route { from: vec!["carrier".into()], to, caller, ..Route::named(&format!("r{at}"), to_pbx(None)) }
    };
    (0..100_000).map(route).collect::<Vec<_>>().into()
}

/// Returns a route with a file of a million numbers.
fn million() -> RouteList {
    let mut lines = RouteLines::default();
    for (line, at) in (2..).zip(0..1_000_000) {
        let connect = lines.connect(to_pbx(Some(at)));
        lines.push(line, (Some(pattern(&format!("+1{:010}", scattered(at)))), None), connect, 0);
    }
    let file = Some(Arc::new(lines.compile("numbers.csv")));
    vec![Route { from: vec!["carrier".into()], file, ..Route::named("numbers", Vec::new()) }].into()
}

/// Prints the durations of look-ups without common data, each measured by itself including the clock.
fn spread(name: &str, routes: &RouteList, has_target: impl Fn(u64) -> bool) {
    const CALLS: u64 = 500_000;
    let mut nanoseconds = Vec::new();
    let mut found = 0;
    for call in 0..CALLS {
        let at = scattered(call.wrapping_mul(7_919)) % 1_100_000;
        let (called, caller) = (format!("+1{:010}", scattered(at)), format!("+1{:010}", scattered(at + 5)));
        let info = CallInfo { from: "carrier", called: &called, caller: &caller, ..CallInfo::default() };
        let begun = Instant::now();
        let route = black_box(routes.first(black_box(&info)));
        let taken = begun.elapsed();
        found += usize::from(route.is_some());
        assert!(route.is_some() || !has_target(at), "{called}");
        nanoseconds.push(u64::try_from(taken.as_nanos()).unwrap_or(u64::MAX));
    }
    nanoseconds.sort_unstable();
    let at = |share: usize| nanoseconds.get(nanoseconds.len() * share / 1_000).copied().unwrap_or_default();
    let (p50, p99, p999) = (at(500), at(990), at(999));
    println!("{name}: p50 {p50} ns, p99 {p99} ns, p99.9 {p999} ns, {found} of {CALLS} found");
}

/// Measures route look-ups; printed before the results of single functions.
fn look_up(_: &mut Criterion) {
    let begun = Instant::now();
    let routes = hundred_thousand();
    println!("100,000 routes compiled in {} ms", begun.elapsed().as_millis());
    spread("look-up among 100,000 routes", &routes, |at| at < 100_000 && at % 10 != 0 && at % 10_000 != 9_999);
    let begun = Instant::now();
    let routes = million();
    println!("1,000,000 lines compiled in {} ms", begun.elapsed().as_millis());
    spread("look-up in a file of 1,000,000 numbers", &routes, |at| at < 1_000_000);
}

criterion_group!(route, look_up, benches);
criterion_main!(route);
