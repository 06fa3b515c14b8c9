//! RFC 3263 as a table: zone, destination, queries and resulting servers.

#![allow(clippy::unwrap_used, clippy::panic)] // this file contains only tests

use std::collections::BTreeMap;
use std::net::IpAddr;

use proptest::prelude::*;
use trunkgate_route::locate::{
    AvailableTransports, DnsAnswer, DnsQuery, DnsRecords, LocateStep, LocatedServers, NAPTR_RECORDS, NameFault, Naptr,
    SERVER_ADDRESSES, SERVERS, ServerSearch, Srv, in_order,
};
use trunkgate_route::{Destination, DestinationServer, Transport};

use Transport::{Tcp, Tls, Udp};

/// DNS data of a test; other names have no records.
#[derive(Default)]
struct Zone(BTreeMap<DnsQuery, (DnsRecords, Option<u32>)>);

impl Zone {
    fn with(mut self, question: DnsQuery, records: DnsRecords, ttl: u32) -> Zone {
        self.0.insert(question, (records, Some(ttl)));
        self
    }

    fn naptr(self, name: &str, records: &[(u16, u16, &str, &str)]) -> Zone {
        let naptr = |(order, preference, service, replacement): &(u16, u16, &str, &str)| Naptr {
            order: *order,
            preference: *preference,
            flags: "S".into(),
            service: (*service).into(),
            replacement: (*replacement).into(),
        };
        self.with(DnsQuery::Naptr(name.into()), DnsRecords::Naptr(records.iter().map(naptr).collect()), 600)
    }

    fn srv(self, name: &str, records: &[(u16, u16, u16, &str)]) -> Zone {
        let srv = |(priority, weight, port, target): &(u16, u16, u16, &str)| Srv {
            priority: *priority,
            weight: *weight,
            port: *port,
            target: (*target).into(),
        };
        self.with(DnsQuery::Srv(name.into()), DnsRecords::Srv(records.iter().map(srv).collect()), 300)
    }

    fn a(self, name: &str, addresses: &[&str]) -> Zone {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        self.with(DnsQuery::Addresses(name.into()), DnsRecords::Addresses(addresses), 60)
    }

    fn fails(self, question: DnsQuery) -> Zone {
        self.with(question, DnsRecords::Failed(NameFault::Unanswered), 1)
    }

    fn answer(&self, question: &DnsQuery) -> DnsAnswer {
        let (records, ttl_seconds) = self.0.get(question).cloned().unwrap_or((DnsRecords::Nothing, None));
        DnsAnswer { records, ttl_seconds }
    }

    /// Runs a search to its end. Returns the rounds of queries and the result.
    fn locate(&self, destination: Destination, means: &AvailableTransports) -> (Vec<Vec<String>>, LocatedServers) {
        let mut locating = ServerSearch::new(destination, means.clone());
        let (mut next, mut rounds) = (locating.start_search(), Vec::new());
        loop {
            match next {
                LocateStep::Found(located) => return (rounds, located),
                LocateStep::Ask(questions) => {
                    let words = |question: &DnsQuery| match question {
                        DnsQuery::Naptr(name) => format!("NAPTR {name}"),
                        DnsQuery::Srv(name) => format!("SRV {name}"),
                        DnsQuery::Addresses(name) => format!("A {name}"),
                    };
                    rounds.push(questions.iter().map(words).collect());
                    assert!(rounds.len() <= 4, "it does not end: {rounds:?}");
                    let answers: Vec<_> =
                        questions.into_iter().map(|q| (self.answer(&q), q)).map(|(a, q)| (q, a)).collect();
                    next = locating.process_answers(&answers);
                }
            }
        }
    }
}

fn means() -> AvailableTransports {
    AvailableTransports { transports: vec![Udp, Tcp, Tls], v4: true, v6: true }
}

fn to(host: &str, port: Option<u16>, transport: Transport, is_fixed: bool) -> Destination {
    Destination { host: host.into(), port, transport, is_fixed }
}

/// Formats servers as `udp 192.0.2.1:5060`, by tier and priority.
fn shown(servers: &[DestinationServer]) -> Vec<String> {
    let all = servers.iter().flat_map(|s| s.sockets().map(move |socket| format!("{} {socket}", s.transport.as_str())));
    all.collect()
}

fn shop() -> Zone {
    Zone::default()
        .naptr(
            "shop.example",
            &[
                (50, 50, "SIPS+D2T", "_sips._tcp.shop.example."),
                (90, 50, "SIP+D2T", "_sip._tcp.shop.example."),
                (100, 50, "sip+d2u", "_sip._udp.shop.example."),
                (10, 10, "E2U+sip", "elsewhere.example."),
            ],
        )
        .srv("_sips._tcp.shop.example.", &[(0, 1, 5061, "one.shop.example.")])
        .srv("_sip._tcp.shop.example.", &[(0, 1, 5060, "one.shop.example."), (1, 1, 5070, "two.shop.example.")])
        .srv("_sip._udp.shop.example.", &[(0, 1, 5060, "one.shop.example.")])
        .a("one.shop.example.", &["2001:db8::1", "192.0.2.1"])
        .a("two.shop.example.", &["192.0.2.2"])
        .srv("_sip._udp.shop.example", &[(0, 1, 5080, "two.shop.example.")])
        .srv("_sips._tcp.shop.example", &[(0, 1, 5081, "two.shop.example.")])
        .a("shop.example", &["192.0.2.9"])
}

#[test]
fn rfc3263_4_1_naptr_orders_transports() {
    let (rounds, located) = shop().locate(to("shop.example", None, Udp, false), &means());
    assert_eq!(rounds[0], ["NAPTR shop.example"]);
    assert_eq!(
        rounds[1],
        ["SRV _sips._tcp.shop.example.", "SRV _sip._tcp.shop.example.", "SRV _sip._udp.shop.example."]
    );
    assert_eq!(rounds[2], ["A one.shop.example.", "A two.shop.example."]);
    let expected = [
        "tls 192.0.2.1:5061",
        "tls [2001:db8::1]:5061",
        "tcp 192.0.2.1:5060",
        "tcp [2001:db8::1]:5060",
        "tcp 192.0.2.2:5070",
        "udp 192.0.2.1:5060",
        "udp [2001:db8::1]:5060",
    ];
    assert_eq!(shown(&in_order(&located.servers, &mut |_| 0)), expected);
    assert_eq!((located.ttl_seconds, located.is_complete()), (Some(60), true), "the shortest life of all");
}

#[test]
fn rfc3263_4_1_only_services_that_both_sides_have() {
    let only = |transports: &[Transport]| AvailableTransports { transports: transports.to_vec(), ..means() };
    let (_, located) = shop().locate(to("shop.example", None, Udp, false), &only(&[Udp]));
    assert_eq!(shown(&located.servers), ["udp 192.0.2.1:5060", "udp [2001:db8::1]:5060"]);
    let (_, located) =
        shop().locate(to("shop.example", None, Udp, false), &AvailableTransports { v6: false, ..only(&[Udp]) });
    assert_eq!(shown(&located.servers), ["udp 192.0.2.1:5060"], "no address that none of our listeners can reach");
    // `sips` requires TLS, regardless of the domain's preference.
    let (_, located) = shop().locate(to("shop.example", None, Tls, false), &means());
    assert_eq!(shown(&located.servers), ["tls 192.0.2.1:5061", "tls [2001:db8::1]:5061"]);
}

/// Zone, destination, rounds of queries, servers.
type Row<'a> = (&'a Zone, Destination, &'a [&'a [&'a str]], &'a [&'a str]);

#[test]
fn rfc3263_4_1_and_4_2_what_is_asked_for_which_uri() {
    let bare = Zone::default().a("bare.example", &["192.0.2.7"]);
    let with_srv =
        Zone::default().srv("_sip._tcp.s.example", &[(0, 0, 5090, "h.example.")]).a("h.example.", &["192.0.2.8"]);
    let declined = Zone::default().srv("_sip._udp.s.example", &[(0, 0, 0, ".")]).a("s.example", &["192.0.2.9"]);
    let v6_only = Zone::default().a("s.example", &["2001:db8::5"]);
    let rows: [Row<'_>; 9] = [
        (&bare, to("192.0.2.5", None, Udp, false), &[], &["udp 192.0.2.5:5060"]),
        (&bare, to("2001:db8::5", None, Tls, false), &[], &["tls [2001:db8::5]:5061"]),
        // An explicit port disables NAPTR and SRV.
        (&shop(), to("shop.example", Some(5099), Udp, false), &[&["A shop.example"]], &["udp 192.0.2.9:5099"]),
        (&shop(), to("shop.example", Some(5099), Tcp, true), &[&["A shop.example"]], &["tcp 192.0.2.9:5099"]),
        // An explicit transport disables NAPTR.
        (
            &shop(),
            to("shop.example", None, Tls, true),
            &[&["SRV _sips._tcp.shop.example"], &["A two.shop.example."]],
            &["tls 192.0.2.2:5081"],
        ),
        // Without NAPTR, SRV is queried for each transport; `sip` does not use TLS.
        (
            &with_srv,
            to("s.example", None, Udp, false),
            &[&["NAPTR s.example"], &["SRV _sip._udp.s.example", "SRV _sip._tcp.s.example"], &["A h.example."]],
            &["tcp 192.0.2.8:5090"],
        ),
        // Without SRV, the host is used at its default port.
        (
            &bare,
            to("bare.example", None, Tls, false),
            &[&["NAPTR bare.example"], &["SRV _sips._tcp.bare.example"], &["A bare.example"]],
            &["tls 192.0.2.7:5061"],
        ),
        // RFC 2782: the root as target means that the service is not available.
        (&declined, to("s.example", None, Udp, true), &[&["SRV _sip._udp.s.example"]], &[]),
        (&v6_only, to("s.example", Some(5060), Udp, true), &[&["A s.example"]], &["udp [2001:db8::5]:5060"]),
    ];
    for (zone, destination, questions, servers) in rows {
        let (rounds, located) = zone.locate(destination.clone(), &means());
        assert_eq!(rounds, questions, "{destination:?}");
        assert_eq!(shown(&located.servers), servers, "{destination:?}");
        assert!(located.is_complete());
    }
}

#[test]
fn a_question_without_an_answer_is_told_and_the_host_itself_is_tried() {
    let zone = Zone::default()
        .fails(DnsQuery::Naptr("s.example".into()))
        .fails(DnsQuery::Srv("_sip._udp.s.example".into()))
        .a("s.example", &["192.0.2.9"]);
    let (_, located) = zone.locate(to("s.example", None, Udp, false), &means());
    assert_eq!(shown(&located.servers), ["udp 192.0.2.9:5060"]);
    assert!(!located.is_complete(), "what was known before may be better");
    let (_, located) = Zone::default().locate(to("s.example", None, Udp, false), &means());
    assert_eq!((located.servers.len(), located.is_complete()), (0, true), "there is no such name");
}

#[test]
fn rfc2782_weights_choose_among_equals_and_addresses_take_turns() {
    let server = |priority, weight, addresses: &[&str]| DestinationServer {
        transport: Udp,
        port: 5060,
        tier: 0,
        priority,
        weight,
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
    };
    let servers = [
        server(2, 9, &["192.0.2.20"]),
        server(1, 30, &["192.0.2.1"]),
        server(1, 10, &["192.0.2.2", "192.0.2.3", "2001:db8::2"]),
        server(1, 0, &["192.0.2.4"]),
    ];
    let mut firsts = BTreeMap::new();
    for number in 0..41 {
        let mut asked = 0;
        let ordered = in_order(&servers, &mut |total| {
            asked += 1;
            if asked == 1 { (number % total).min(total - 1) } else { 0 }
        });
        *firsts.entry(ordered[0].weight).or_insert(0) += 1;
        assert_eq!(ordered[3].priority, 2, "the lower priority only at the end");
    }
    assert_eq!(firsts, BTreeMap::from([(0, 1), (10, 10), (30, 30)]));
    let turned = in_order(&servers[2..3], &mut |total| total - 1);
    assert_eq!(shown(&turned), ["udp 192.0.2.3:5060", "udp 192.0.2.2:5060", "udp [2001:db8::2]:5060"]);
}

#[test]
fn what_is_kept_of_an_answer_is_bounded() {
    let many: Vec<String> = (0..200).map(|n| format!("192.0.2.{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let names: Vec<String> = (0..100).map(|n| format!("h{n}.example.")).collect();
    let records: Vec<_> = (0..100_u16).map(|n| (0, 0, 5060 + n, names[usize::from(n)].as_str())).collect();
    let mut zone = Zone::default().srv("_sip._udp.s.example", &records);
    for name in &names {
        zone = zone.a(name, &many);
    }
    let (rounds, located) = zone.locate(to("s.example", None, Udp, true), &means());
    assert_eq!((rounds[1].len(), located.servers.len()), (SERVERS, SERVERS));
    assert!(located.servers.iter().all(|server| server.addresses.len() == SERVER_ADDRESSES));
    let services: Vec<_> = (0..50_u16).map(|n| (n, 0, "SIP+D2U", names[usize::from(n)].as_str())).collect();
    let zone = Zone::default().naptr("n.example", &services);
    let (rounds, _) = zone.locate(to("n.example", None, Udp, false), &means());
    assert_eq!(rounds[1].len(), NAPTR_RECORDS);
}

fn any_records() -> impl Strategy<Value = DnsRecords> {
    let name = prop::sample::select(vec!["", ".", "a.", "b.", "_sip._udp.s"]);
    let naptr = (any::<u16>(), any::<u16>(), "[sSaUp]{0,2}", "(SIP|SIPS|x)[+]D2[UTS]", name.clone()).prop_map(
        |(order, preference, flags, service, replacement)| Naptr {
            order,
            preference,
            flags,
            service,
            replacement: replacement.into(),
        },
    );
    let srv = (any::<u16>(), any::<u16>(), any::<u16>(), name).prop_map(|(priority, weight, port, target)| Srv {
        priority,
        weight,
        port,
        target: target.into(),
    });
    prop_oneof![
        prop::collection::vec(naptr, 0..20).prop_map(DnsRecords::Naptr),
        prop::collection::vec(srv, 0..40).prop_map(DnsRecords::Srv),
        prop::collection::vec(any::<IpAddr>(), 0..40).prop_map(DnsRecords::Addresses),
        Just(DnsRecords::Nothing),
        Just(DnsRecords::Failed(NameFault::ServerFailure)),
    ]
}

proptest! {
    #[test]
    fn any_answers_come_to_an_end_and_to_few_servers(
        answers in prop::collection::vec((any_records(), any::<Option<u32>>()), 1..40),
        is_fixed: bool,
        secure: bool,
        number: u32,
    ) {
        let transport = if secure { Tls } else { Udp };
        let mut locating = ServerSearch::new(to("s", None, transport, is_fixed), means());
        let (mut next, mut given) = (locating.start_search(), answers.iter().cycle());
        for _ in 0..4 {
            let LocateStep::Ask(questions) = &next else { break };
            let mut answer = |question: &DnsQuery| {
                let (records, ttl_seconds) = given.next().unwrap().clone();
                (question.clone(), DnsAnswer { records, ttl_seconds })
            };
            let answers: Vec<_> = questions.iter().map(&mut answer).collect();
            next = locating.process_answers(&answers);
        }
        let LocateStep::Found(located) = next else { panic!("it does not end") };
        prop_assert!(located.servers.len() <= SERVERS);
        prop_assert!(located.servers.iter().all(|s| !s.addresses.is_empty() && s.addresses.len() <= SERVER_ADDRESSES));
        prop_assert!(!secure || located.servers.iter().all(|s| s.transport == Tls));
        let ordered = in_order(&located.servers, &mut |total| number % total.max(1));
        prop_assert_eq!(ordered.len(), located.servers.len());
        prop_assert!(ordered.windows(2).all(|two| (two[0].tier, two[0].priority) <= (two[1].tier, two[1].priority)));
    }
}
