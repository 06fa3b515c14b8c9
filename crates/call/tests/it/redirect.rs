//! 3xx of a target: the contacts that are followed, their number, and those that are refused.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::sync::Arc;

use crate::bench::agents::{agent, to_agent};
use crate::bench::*;
use trunkgate_call::SmsEvent;
use trunkgate_route::{
    NumberingPlan, ParameterTemplate, Pattern, Peer, RedirectMode, Route, RoutingTable, SmsRecipients, SmsRule,
    TableDefinition, TargetSpec, TextOutcome, Trunk,
};

/// Makes a call that the PBX has received, with a backup trunk that no route names.
fn called(connect: Vec<TargetSpec>) -> (Bench, Dialing, Dialed) {
    let mut bench = Bench::with(table(usual_trunks(), vec![route(connect)]));
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let pbx = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    (bench, caller, pbx)
}

/// Responds with a 302 with these Contacts.
fn moved(bench: &mut Bench, callee: &Dialed, contacts: &str) {
    let text = callee.answer(302, "").replace(&format!("Contact: <sip:bob@{}>", callee.peer), contacts);
    bench.receive(&callee.peer, text.replace("\r\n\r\n\r\n", "\r\n\r\n"));
    bench.expect(&callee.peer, "ACK");
}

fn answered(mut bench: Bench, mut caller: Dialing, callee: &Dialed) {
    bench.receive(&callee.peer, callee.answer(200, &answer()));
    bench.expect(&callee.peer, "ACK");
    caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.bye(&mut caller, callee);
    bench.finish();
}

#[test]
fn rfc3261_8_1_3_4_the_contact_becomes_the_request_uri() {
    let (mut bench, caller, pbx) = called(vec![to_trunk("pbx")]);
    moved(&mut bench, &pbx, &format!("Contact: \"Mobile\" <sip:+14155550111@{BACKUP};user=phone>"));
    let invite = bench.expect(BACKUP, "INVITE");
    assert!(invite.first_line().starts_with(&format!("INVITE sip:+14155550111@{BACKUP};user=phone SIP/2.0")));
    let backup = Dialed::new(BACKUP, invite);
    let legs = bench.gateway.calls(bench.now).remove(0).legs;
    assert_eq!((legs[1].reason, legs[1].ended_by), (Some("transferred"), Some("far_end")));
    answered(bench, caller, &backup);
}

#[test]
fn contacts_are_tried_in_the_order_of_their_q() {
    let (mut bench, caller, pbx) = called(vec![to_trunk("pbx")]);
    let contact = |user: &str, peer: &str, q: &str| format!("<sip:{user}@{peer}>{q}");
    let contacts = [contact("1", BACKUP, ";q=0.2"), contact("2", PBX, ""), contact("3", BACKUP, ";q=0.9")].join(", ");
    moved(&mut bench, &pbx, &format!("Contact: {contacts}"));
    for (user, peer) in [("2", PBX), ("3", BACKUP)] {
        let asked = Dialed::new(peer, bench.expect(peer, &format!("INVITE sip:{user}@")));
        bench.receive(peer, asked.answer(480, ""));
        bench.expect(peer, "ACK");
    }
    let last = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE sip:1@"));
    answered(bench, caller, &last);
}

#[test]
fn a_refusal_where_it_was_sent_ends_the_search_as_any_does() {
    let (mut bench, _, pbx) = called(vec![to_trunk("pbx")]);
    moved(&mut bench, &pbx, &format!("Contact: <sip:1@{BACKUP}>, <sip:2@{BACKUP}>"));
    let backup = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE"));
    bench.receive(BACKUP, backup.answer(404, ""));
    bench.expect(BACKUP, "ACK");
    bench.expect(CARRIER, "SIP/2.0 404");
    bench.finish();
}

#[test]
fn nobody_has_the_edge_call_whom_it_likes() {
    // No peer of a trunk, another scheme, no contact, the edge itself, and a number denied by the trunk.
    for (contact, seen) in [
        ("Contact: <sip:+14155550111@192.0.2.66>".to_owned(), 500),
        ("Contact: <sip:+14155550111@elsewhere.example>".to_owned(), 500),
        (format!("Contact: <sip:+14155550111@{LOCAL}:5090>"), 500),
        (format!("Contact: <sip:+14155550111@{LOCAL};maddr=192.0.2.66>"), 500),
        ("X-None: 1".to_owned(), 500),
        (format!("Contact: <sip:+14155550111@{}:0>", BACKUP.split(':').next().unwrap()), 500),
        (format!("Contact: <sip:+14155550111@{}:99999>", BACKUP.split(':').next().unwrap()), 500),
        (format!("Contact: <sip:+14155550100@{PBX}>"), 500),
        (format!("Contact: <sip:+881612345678@{BACKUP}>"), 403),
    ] {
        let mut trunks = usual_trunks();
        trunks[2] = Trunk { deny: vec![Pattern::parse("+881*").unwrap()], ..trunks[2].clone() };
        let mut bench = Bench::with(table(trunks, vec![route(vec![to_trunk("pbx")])]));
        bench.invite(CARRIER, "+14155550100", &offer());
        bench.expect(CARRIER, "SIP/2.0 100");
        let pbx = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
        moved(&mut bench, &pbx, &contact);
        assert_eq!(bench.next(CARRIER).code(), seen, "{contact}");
        bench.nothing();
        bench.finish();
    }
}

#[test]
fn who_is_not_followed_is_a_failed_target() {
    let (mut bench, caller, pbx) = called(vec![to_trunk("pbx"), to_trunk("backup")]);
    moved(&mut bench, &pbx, "Contact: <sip:x@192.0.2.66>");
    let backup = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE sip:+14155550100@"));
    answered(bench, caller, &backup);
}

#[test]
fn five_are_followed_and_no_circle() {
    let (mut bench, _, mut asked) = called(vec![to_trunk("pbx")]);
    let trunks = [BACKUP, PBX];
    for n in 0..5 {
        let peer = trunks[n % 2];
        // The first contact is already known, and not called again.
        moved(&mut bench, &asked, &format!("Contact: <sip:+14155550100@{PBX}>, <sip:{n}@{peer}>"));
        asked = Dialed::new(peer, bench.expect(peer, &format!("INVITE sip:{n}@")));
        bench.nothing();
    }
    moved(&mut bench, &asked, &format!("Contact: <sip:6@{BACKUP}>"));
    bench.expect(CARRIER, "SIP/2.0 500");
    bench.finish();
}

#[test]
fn one_of_those_that_ring_at_once_may_be_elsewhere() {
    let both = TargetSpec::RingAll(vec![to_trunk("pbx"), to_trunk("backup")]);
    let (mut bench, caller, pbx) = called(vec![both]);
    let backup = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE"));
    bench.receive(BACKUP, backup.answer(180, ""));
    bench.expect(CARRIER, "SIP/2.0 180");
    moved(&mut bench, &pbx, &format!("Contact: <sip:2000@{PBX}>"));
    let other = Dialed::new(PBX, bench.expect(PBX, "INVITE sip:2000@"));
    bench.nothing();
    bench.receive(PBX, other.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    let cancel = bench.expect(BACKUP, "CANCEL");
    bench.receive(BACKUP, backup.respond(&cancel, 200, ""));
    bench.receive(BACKUP, backup.answer(487, ""));
    bench.expect(BACKUP, "ACK");
    let to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
    let mut caller = Dialing { to_tag, ..caller };
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.bye(&mut caller, &other);
    bench.finish();
}

#[test]
fn nobody_sends_a_call_back_into_the_edge() {
    // A PBX on our own machine, with our own host address.
    let beside = format!("{LOCAL}:5080");
    let pbx = Trunk { redirect: RedirectMode::Peers, ..trunk("pbx", &[&beside]) };
    let mut bench = Bench::with(table(vec![trunk("carrier", &[CARRIER]), pbx], vec![route(vec![to_trunk("pbx")])]));
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let pbx = Dialed::new(&beside, bench.expect(&beside, "INVITE"));
    moved(&mut bench, &pbx, &format!("Contact: <sip:1@{LOCAL}:5060;transport=udp>, <sip:2@{LOCAL}:5082>"));
    let next = Dialed::new(&format!("{LOCAL}:5082"), bench.expect(&format!("{LOCAL}:5082"), "INVITE sip:2@"));
    answered(bench, caller, &next);
}

#[test]
fn a_trunk_s_problem_shows_nobody_s_whole_number() {
    let (mut bench, _, pbx) = called(vec![to_trunk("pbx")]);
    moved(&mut bench, &pbx, &format!("Contact: <sip:+14155550111@{BACKUP}>"));
    let backup = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE"));
    bench.receive(BACKUP, backup.answer(480, ""));
    bench.expect(BACKUP, "ACK");
    bench.expect(CARRIER, "SIP/2.0 480");
    let status = bench.gateway.status(bench.now);
    let trunk = status.trunks.iter().find(|trunk| trunk.name == "backup").unwrap();
    let problem = trunk.last_problem.as_deref().unwrap();
    assert!(problem.contains("+1415****111@") && !problem.contains("5550111"), "{problem}");
}

#[test]
fn no_redirection_leads_to_another_trunk_by_the_rules_of_its_own() {
    // `carrier-b` shares the host of the PBX, and its number is denied there.
    for (contact, by_name) in [
        (format!("+14155550199@{}", PBX.replace("5060", "5062")), false),
        ("+14155550199@pbx.test:5062".to_owned(), true),
    ] {
        let mut trunks = usual_trunks();
        let beside = trunk("carrier-b", &["10.0.0.20:5062"]);
        trunks.push(Trunk { deny: vec![Pattern::parse("+14155550199").unwrap()], ..beside });
        if by_name {
            trunks[1].peers[0] = Peer::to("sip:pbx.test".into(), name("pbx.test"));
        }
        let mut bench = Bench::with(table(trunks, vec![route(vec![to_trunk("pbx")])]));
        bench.invite(CARRIER, "+14155550100", &offer());
        bench.expect(CARRIER, "SIP/2.0 100");
        if by_name {
            let (query, _) = bench.resolves.pop().unwrap();
            bench.resolve(query, &[PBX]);
        }
        let pbx = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
        moved(&mut bench, &pbx, &format!("Contact: <sip:{contact}>"));
        if by_name {
            let (query, _) = bench.resolves.pop().unwrap();
            bench.resolve(query, &["10.0.0.20:5062"]);
        }
        assert_eq!(bench.next(CARRIER).code(), 403, "{contact}");
        bench.nothing();
        bench.finish();
    }
}

/// Returns a bench that routes the carrier's calls to `connect`, and the PBX's to the backup or, with prefix 9, to an
/// agent.
fn forwarding(connect: TargetSpec, change: impl Fn(&mut Trunk)) -> Bench {
    let mut trunks = usual_trunks();
    trunks.iter_mut().for_each(change);
    let of_pbx = |name: &str, to: &str, target| Route {
        name: Arc::from(name),
        from: vec!["pbx".into()],
        to: vec![Pattern::parse(to).unwrap()],
        ..route(vec![target])
    };
    let routes = vec![
        Route { from: vec!["carrier".into()], ..route(vec![connect]) },
        of_pbx("desk", "+1212*", to_agent("desk")),
        of_pbx("circle", "2*", to_trunk("pbx")),
        of_pbx("both", "+1415*", TargetSpec::RingAll(vec![to_trunk("backup"), to_trunk("carrier")])),
        of_pbx("on", "+1*", to_trunk("backup")),
    ];
    let numbers = NumberingPlan::new("US").unwrap();
    Bench::with(Arc::new(RoutingTable::new(TableDefinition { numbers, trunks, agents: vec![agent("desk")], routes })))
}

/// Makes a call that the PBX forwards.
fn forwarded(bench: &mut Bench, contacts: &str) -> Dialing {
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let pbx = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    moved(bench, &pbx, contacts);
    caller
}

#[test]
fn a_number_at_the_edge_itself_is_called_as_from_that_trunk() {
    for contact in [
        format!("<sip:+16505550111@{LOCAL}:5060>"),
        format!("<sip:+16505550111@{LOCAL}>;q=0.5"),
        format!("<sip:+1-650-555-0111@{PUBLIC};transport=tcp>"),
        format!("<sips:+16505550111@{LOCAL}:5061>"),
        "<tel:+1-650-555-0111>".to_owned(),
        "<sip:+16505550111@SBC.example.com:5060>".to_owned(),
    ] {
        let mut bench = forwarding(to_trunk("pbx"), |trunk| trunk.own_hosts.contact = Some("sbc.example.com".into()));
        let caller = forwarded(&mut bench, &format!("Contact: {contact}"));
        let invite = bench.expect(BACKUP, "INVITE sip:+16505550111@");
        assert!(
            invite.header("From").contains("+14155551234"),
            "who calls is still the caller: {}",
            invite.header("From")
        );
        assert_eq!(invite.header("Max-Forwards"), "68", "{contact}");
        let backup = Dialed::new(BACKUP, invite);
        let story = bench.story();
        assert!(story.contains("pbx forwards the call to +16505550111: route on"), "{story}");
        answered(bench, caller, &backup);
    }
}

/// A trunk that knows the edge by a host name forwards to that name.
#[test]
fn a_number_at_the_host_name_that_a_trunk_is_shown_is_at_the_edge() {
    let named = |name: &'static str| {
        move |trunk: &mut Trunk| {
            if &*trunk.name == name {
                trunk.own_hosts.contact = Some("sbc.example.com".into());
            }
        }
    };
    let contact = "Contact: <sip:+16505550111@SBC.example.com;user=phone>";
    let mut bench = forwarding(to_trunk("pbx"), named("pbx"));
    let caller = forwarded(&mut bench, contact);
    let backup = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE sip:+16505550111@"));
    answered(bench, caller, &backup);
    // A host name shown only to another trunk is not followed.
    let mut bench = forwarding(to_trunk("pbx"), named("carrier"));
    forwarded(&mut bench, contact);
    bench.expect(CARRIER, "SIP/2.0 500");
    bench.finish();
}

#[test]
fn a_forwarded_call_may_ring_many_or_reach_an_agent() {
    let mut bench = forwarding(to_trunk("pbx"), |_| {});
    forwarded(&mut bench, &format!("Contact: <sip:+14155550199@{LOCAL}>"));
    bench.expect(BACKUP, "INVITE sip:+14155550199@");
    bench.expect(CARRIER, "INVITE sip:+14155550199@");
    let mut bench = forwarding(to_trunk("pbx"), |_| {});
    forwarded(&mut bench, &format!("Contact: <sip:+12125550100@{LOCAL}>"));
    assert_eq!(bench.asked().len(), 1, "the agent is connected");
}

#[test]
fn the_route_of_a_number_at_the_edge_takes_the_call_from_the_other_contacts() {
    let mut bench = forwarding(to_trunk("pbx"), |_| {});
    let contacts = format!("<sip:+16505550111@{LOCAL}>;q=0.9, <sip:+14155550177@{BACKUP}>;q=0.8");
    forwarded(&mut bench, &format!("Contact: {contacts}"));
    let asked = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE sip:+16505550111@"));
    let story = bench.story();
    assert!(story.contains("the route's targets are tried instead of 1 more Contacts"), "{story}");
    bench.receive(BACKUP, asked.answer(480, ""));
    bench.expect(BACKUP, "ACK");
    bench.expect(CARRIER, "SIP/2.0 480");
}

#[test]
fn a_forwarded_call_has_the_listeners_and_the_text_of_the_route_that_takes_it() {
    let text = SmsRule {
        to: ParameterTemplate::parse_ended("{caller}").unwrap(),
        from: "+14155550001".into(),
        body: ParameterTemplate::parse_ended("Missed.").unwrap(),
        on: vec![TextOutcome::Busy],
        recipients: SmsRecipients::Any,
    };
    let (from_pbx, text) = (vec!["pbx".into()], Some(Arc::new(text)));
    let fork = vec!["scribe".to_owned()];
    let routes = vec![
        Route { from: vec!["carrier".into()], fork: fork.clone(), ..route(vec![to_trunk("pbx")]) },
        Route {
            from: from_pbx,
            fork: vec![fork[0].clone(), "judge".into()],
            sms: text,
            ..route(vec![to_trunk("backup")])
        },
    ];
    let agents = vec![agent("scribe"), agent("judge")];
    let numbers = NumberingPlan::new("US").unwrap();
    let table = Arc::new(RoutingTable::new(TableDefinition { numbers, trunks: usual_trunks(), agents, routes }));
    let mut bench = Bench::with(Arc::clone(&table));
    forwarded(&mut bench, &format!("Contact: <sip:911@{LOCAL}>"));
    let ambulance = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE sip:911@"));
    bench.receive(BACKUP, ambulance.answer(486, ""));
    bench.expect(BACKUP, "ACK");
    bench.expect(CARRIER, "SIP/2.0 486");
    assert!(!bench.texts.iter().any(|news| matches!(news, SmsEvent::Send(_))), "none of an emergency call");
    let mut bench = Bench::with(table);
    forwarded(&mut bench, &format!("Contact: <sip:+16505550111@{LOCAL}>"));
    assert_eq!(bench.asked().len(), 2, "the scribe listens already, the judge comes");
    let backup = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE sip:+16505550111@"));
    bench.receive(BACKUP, backup.answer(486, ""));
    bench.expect(BACKUP, "ACK");
    bench.expect(CARRIER, "SIP/2.0 486");
    assert!(bench.texts.iter().any(|news| matches!(news, SmsEvent::Send(sms) if sms.body == "Missed.")));
}

#[test]
fn one_of_those_that_ring_at_once_may_forward_its_call() {
    let both = TargetSpec::RingAll(vec![to_trunk("pbx"), to_trunk("backup")]);
    let mut bench = forwarding(both, |_| {});
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let pbx = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    let backup = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE"));
    // An agent answers at once and cannot ring with others; the contact after it can.
    moved(&mut bench, &pbx, &format!("Contact: <sip:+12125550100@{LOCAL}>;q=0.9, <sip:+16505550111@{LOCAL}>;q=0.5"));
    assert_eq!(bench.asked().len(), 0);
    let on = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE sip:+16505550111@"));
    bench.receive(BACKUP, backup.answer(480, ""));
    bench.expect(BACKUP, "ACK");
    answered(bench, caller, &on);
}

#[test]
fn a_forwarded_call_is_subject_to_what_a_call_of_that_trunk_is() {
    let deny = |trunk: &mut Trunk| {
        if &*trunk.name == "backup" {
            trunk.deny = vec![Pattern::parse("+1900*").unwrap()];
        }
    };
    let slow = |trunk: &mut Trunk| {
        if &*trunk.name == "pbx" {
            trunk.calls_per_second = 1;
        }
    };
    let says = |mode: RedirectMode| move |trunk: &mut Trunk| trunk.redirect = mode;
    type Change = Box<dyn Fn(&mut Trunk)>;
    let cases: [(Change, &str, u16); 5] = [
        (Box::new(deny), "+19005550111", 403),
        (Box::new(slow), "+16505550111", 503),
        (Box::new(|_| {}), "+44205550111", 404),
        (Box::new(says(RedirectMode::Peers)), "+16505550111", 500),
        (Box::new(says(RedirectMode::Refuse)), "+16505550111", 500),
    ];
    for (change, number, code) in cases {
        let mut bench = forwarding(to_trunk("pbx"), change);
        forwarded(&mut bench, &format!("Contact: <sip:{number}@{LOCAL}:5060>"));
        assert_eq!(bench.next(CARRIER).code(), code, "{number}");
        bench.nothing();
        bench.finish();
    }
    let mut bench = forwarding(to_trunk("pbx"), says(RedirectMode::Refuse));
    forwarded(&mut bench, &format!("Contact: <sip:+16505550111@{BACKUP}>"));
    assert_eq!(bench.next(CARRIER).code(), 500, "peers neither");
    bench.nothing();
}

#[test]
fn the_trace_says_which_number_a_call_is_not_forwarded_to() {
    let mut bench = forwarding(to_trunk("pbx"), |_| {});
    let numbers = ["+44205550111", "+44205550112"];
    let contacts = numbers.map(|number| format!("<sip:{number}@{LOCAL}:5060>")).join(", ");
    forwarded(&mut bench, &format!("Contact: {contacts}"));
    assert_eq!(bench.next(CARRIER).code(), 404);
    let story = bench.story();
    let said: Vec<&str> = story.lines().filter(|line| line.contains("no route matches")).collect();
    let not = |number: &str| format!("pbx forwards the call to {number}: no route matches (404)");
    assert_eq!(said, [&*not(numbers[0]), &*not(numbers[1]), "refused with 404: no route matches"]);
}

#[test]
fn a_call_is_forwarded_five_times_at_most_and_in_no_circle() {
    let mut bench = forwarding(to_trunk("pbx"), |_| {});
    forwarded(&mut bench, &format!("Contact: <sip:200@{LOCAL}>"));
    for n in 0..4 {
        let pbx = Dialed::new(PBX, bench.expect(PBX, &format!("INVITE sip:20{n}@")));
        moved(&mut bench, &pbx, &format!("Contact: <sip:200@{LOCAL}>, <sip:20{}@{LOCAL}>", n + 1));
    }
    let pbx = Dialed::new(PBX, bench.expect(PBX, "INVITE sip:204@"));
    moved(&mut bench, &pbx, &format!("Contact: <sip:205@{LOCAL}>"));
    bench.expect(CARRIER, "SIP/2.0 500");
    bench.finish();
}
