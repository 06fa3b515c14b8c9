//! TLS in the gateway: the trunk of a connection, the calls that end with it, and the reason of a failed handshake.

#![allow(clippy::unwrap_used, clippy::panic)] // only tests stand here

use std::sync::Arc;
use std::time::Duration;

use crate::bench::*;
use trunkgate_call::{GatewayInput, StreamFailure, TlsIdentity};
use trunkgate_route::{Peer, RoutingTable, Transport, Trunk};
use trunkgate_sip::{ConnectionId, Flow};

/// Address of both trunks that are called over TLS.
const TWIN: &str = "10.0.0.20:5061";
/// Address of no trunk.
const ELSEWHERE: &str = "192.0.2.99:40000";

fn identified(connection: u64, trunk: &str, name: Option<&str>) -> GatewayInput {
    let identity = TlsIdentity { trunk: trunk.into(), certificate_name: name.map(Arc::from) };
    let remote = TWIN.parse().unwrap();
    GatewayInput::Identified { connection: ConnectionId(connection), remote, identity }
}

/// Returns a table in which a certificate with one of these names also identifies the carrier.
fn with_names(names: &[&str]) -> Arc<RoutingTable> {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    let carrier = Trunk { certificate_names: names, ..trunk("carrier", &[CARRIER]) };
    let trunks = vec![carrier, trunk("pbx", &[PBX]), trunk("backup", &[BACKUP])];
    table(trunks, vec![route(vec![to_trunk("pbx")])])
}

/// Sends an INVITE over a connection.
fn call(bench: &mut Bench, flow: Flow, number: u32) -> Dialing {
    let peer = flow.remote.to_string();
    let dialing = Dialing { peer, number: "+14155550100".into(), call: number, cseq: 1, to_tag: String::new() };
    send(bench, flow, &dialing.request("INVITE", &offer(), ""));
    dialing
}

fn send(bench: &mut Bench, flow: Flow, text: &str) {
    bench.input(GatewayInput::Received { flow, bytes: text.to_owned().into() });
}

#[test]
fn a_certificate_makes_a_trunk_of_a_strange_address_while_the_name_stands() {
    let mut bench = Bench::with(with_names(&["a.example", "b.example"]));
    call(&mut bench, tls(ELSEWHERE, 7), 901);
    bench.nothing();
    bench.input(identified(7, "carrier", Some("b.example")));
    call(&mut bench, tls(ELSEWHERE, 8), 902);
    bench.nothing();
    let mut caller = call(&mut bench, tls(ELSEWHERE, 7), 903);
    bench.expect(ELSEWHERE, "SIP/2.0 100");
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    caller.to_tag = bench.expect(ELSEWHERE, "SIP/2.0 200").tag("To");
    send(&mut bench, tls(ELSEWHERE, 7), &caller.request("ACK", "", ""));

    // The name is removed from the configuration: the call may end, no other begins.
    bench.configure(|settings| settings.table = with_names(&["a.example"]));
    call(&mut bench, tls(ELSEWHERE, 7), 904);
    assert!(!bench.sent.iter().any(|sent| sent.first_line().starts_with("INVITE")), "no call of a stranger");
    bench.sent.clear();
    caller.cseq += 1;
    send(&mut bench, tls(ELSEWHERE, 7), &caller.request("BYE", "", ""));
    bench.expect(ELSEWHERE, "SIP/2.0 200");
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, callee.respond(&bye, 200, ""));
    bench.input(GatewayInput::Disconnected { flow: tls(ELSEWHERE, 7), made_for: None, cause: None, was_up: false });
    bench.configure(|settings| settings.table = with_names(&["a.example", "b.example"]));
    call(&mut bench, tls(ELSEWHERE, 7), 905);
    bench.nothing();
}

#[test]
fn a_certificate_outweighs_the_address_and_keeps_out_of_others_dialogs() {
    let mut bench = Bench::with(with_names(&["a.example"]));
    let (mut caller, callee) = bench.answered();
    // A source at the PBX's address with the carrier's certificate does not count as the PBX.
    bench.input(identified(7, "carrier", Some("a.example")));
    send(&mut bench, tls("10.0.0.20:41000", 7), &callee.request("BYE", 2, ""));
    bench.expect("10.0.0.20:41000", "SIP/2.0 481");
    bench.nothing();
    bench.bye(&mut caller, &callee);
    bench.finish();
}

fn over_tls(name: &str) -> Trunk {
    let peer = Peer::at("10.0.0.20".parse().unwrap(), None, Transport::Tls);
    Trunk { peers: vec![peer], ..Trunk::named(name) }
}

/// Returns a bench with two trunks at one address.
fn twins() -> Bench {
    let trunks = vec![trunk("carrier", &[CARRIER]), over_tls("one"), over_tls("two"), trunk("backup", &[BACKUP])];
    let to_two = trunkgate_route::Route {
        name: "second".into(),
        to: vec![trunkgate_route::Pattern::parse("+1212*").unwrap()],
        ..route(vec![to_trunk("two"), to_trunk("backup")])
    };
    Bench::with(table(trunks, vec![to_two, route(vec![to_trunk("one"), to_trunk("backup")])]))
}

#[test]
fn what_fails_for_one_trunk_fails_for_no_other_at_the_same_address() {
    let mut bench = twins();
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.invite(CARRIER, "+12125550100", &offer());
    for _ in 0..2 {
        assert!(bench.expect("10.0.0.20:5061", "INVITE").header("Via").starts_with("SIP/2.0/TLS 10.0.0.5:5061"));
    }
    bench.sent.clear();
    let what = "its certificate has expired".to_owned();
    bench.input(GatewayInput::Disconnected {
        flow: tls("10.0.0.20:5061", 3),
        made_for: Some("two".into()),
        cause: Some(StreamFailure::Tls(what.clone())),
        was_up: false,
    });
    bench.expect(BACKUP, "INVITE");
    bench.nothing();
    assert!(bench.logs.iter().any(|line| line.contains(&what)), "{:?}", bench.logs);
    let traces: Vec<String> = bench
        .gateway
        .calls(bench.now)
        .iter()
        .map(|call| format!("{:?}", bench.gateway.trace(&call.sid).unwrap().entries))
        .collect();
    assert!(traces.iter().any(|trace| trace.contains("TLS failed: its certificate has expired")), "{traces:?}");
    let failovers = &bench.gateway.metrics().failovers;
    assert_eq!(failovers.get(&("second".into(), "tls_failed")), Some(&1), "{failovers:?}");
    // Without a TLS error the target was merely unreachable, and the trace has the reason.
    let cause = Some(StreamFailure::Stream("connection refused".into()));
    bench.input(GatewayInput::Disconnected {
        flow: tls("10.0.0.20:5061", 4),
        made_for: Some("one".into()),
        cause,
        was_up: false,
    });
    bench.expect(BACKUP, "INVITE");
    let traced = |sid: &str| serde_json::to_string(&bench.gateway.trace(sid).unwrap().entries).unwrap();
    let all: String = bench.gateway.calls(bench.now).iter().map(|call| traced(&call.sid)).collect();
    assert!(all.contains("INVITE to ") && all.contains(": could not be sent: connection refused"), "{all}");
    assert!(bench.gateway.metrics().failovers.iter().any(|((_, reason), _)| *reason == "unreachable"));
}

#[test]
fn a_connection_made_for_a_trunk_is_its_own_whoever_else_has_the_address() {
    let mut bench = twins();
    let request = |call| {
        let dialing = Dialing {
            peer: "10.0.0.20:5061".into(),
            number: "+14155550100".into(),
            call,
            cseq: 1,
            to_tag: String::new(),
        };
        dialing.request("OPTIONS", "", "")
    };
    bench.input(identified(3, "two", None));
    send(&mut bench, tls("10.0.0.20:5061", 3), &request(801));
    send(&mut bench, tls("10.0.0.20:5061", 4), &request(802));
    let requests = &bench.gateway.metrics().sip.requests;
    for name in ["one", "two"] {
        assert_eq!(requests.get(&(name.into(), "OPTIONS", "in")), Some(&1), "{name}: {requests:?}");
    }
}

/// Makes a call to trunk `two` without any response for the four seconds of its `no_response_timeout`.
fn unanswered(bench: &mut Bench) {
    bench.invite(CARRIER, "+12125550100", &offer());
    bench.expect(TWIN, "INVITE");
    bench.sent.clear();
    bench.pass(Duration::from_millis(4_100));
}

fn story(bench: &Bench) -> String {
    let sid = bench.gateway.calls(bench.now)[0].sid.clone();
    let trace = bench.gateway.trace(&sid).unwrap();
    format!("{} {}", serde_json::to_string(&trace.entries).unwrap(), trace.verdict)
}

fn reasons(bench: &Bench) -> Vec<&'static str> {
    bench.gateway.metrics().failovers.keys().map(|(_, why)| *why).collect()
}

#[test]
fn an_invite_that_waits_for_a_handshake_is_no_target_without_a_response() {
    // The connection reports the reason within its own limit, shortly after the INVITE's.
    let mut bench = twins();
    unanswered(&mut bench);
    bench.nothing();
    let cause = Some(StreamFailure::Tls("handshake not finished within 4 s".into()));
    bench.input(GatewayInput::Disconnected { flow: tls(TWIN, 3), made_for: Some("two".into()), cause, was_up: false });
    bench.expect(BACKUP, "INVITE");
    assert!(story(&bench).contains("TLS failed: handshake not finished within 4 s"), "{}", story(&bench));
    assert_eq!(reasons(&bench), ["tls_failed"]);

    // The connection reports nothing.
    let mut bench = twins();
    unanswered(&mut bench);
    bench.pass(Duration::from_millis(400));
    bench.expect(BACKUP, "INVITE");
    assert!(story(&bench).contains("TLS failed: connection not up within 4 s"), "{}", story(&bench));
    assert_eq!(reasons(&bench), ["tls_failed"]);

    // Over an established connection a missing response stays a missing response.
    let mut bench = twins();
    bench.input(identified(3, "two", None));
    unanswered(&mut bench);
    bench.expect(BACKUP, "INVITE");
    assert_eq!(reasons(&bench), ["no_response"]);
}

#[test]
fn an_options_that_waits_for_a_handshake_blames_tls() {
    for (is_up, problem) in
        [(false, "TLS failed: connection not up in time for OPTIONS"), (true, "no answer to OPTIONS")]
    {
        let two = Trunk { options_interval: Duration::from_secs(30), ..over_tls("two") };
        let mut bench = Bench::with(table(vec![trunk("carrier", &[CARRIER]), two], vec![route(vec![to_trunk("two")])]));
        if is_up {
            bench.input(identified(3, "two", None));
        }
        bench.pass(Duration::from_secs(90));
        let trunks = bench.gateway.status(bench.now).trunks;
        let two = trunks.into_iter().find(|trunk| trunk.name == "two").unwrap();
        assert!(two.last_problem.as_deref().unwrap_or_default().ends_with(problem), "{:?}", two.last_problem);
    }
}
