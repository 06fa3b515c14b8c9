//! What a call costs in routing: finding its trunk, reading its numbers, finding its route among 1,000.
#![allow(missing_docs, clippy::expect_used)]

use std::hint::black_box;
use std::net::SocketAddr;

use criterion::{Criterion, criterion_group, criterion_main};
use trunkgate_route::{CallInfo, Definition, Numbers, Pattern, Peer, Route, Table, TargetSpec, Transport, Trunk};

const ROUTES: u32 = 1_000;

fn table() -> Table {
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
    let numbers = Numbers::new("US").expect("a country");
    Table::new(Definition { numbers, trunks: vec![carrier, pbx], agents: vec![], routes })
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
}

criterion_group!(route, benches);
criterion_main!(route);
