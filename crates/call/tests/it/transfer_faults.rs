//! Transfers (RFC 3515) that meet another transfer, a fax, or an unanswered NOTIFY.

#![allow(clippy::unwrap_used, clippy::panic)] // only tests stand here

use std::sync::Arc;
use std::time::Duration;

use crate::bench::*;
use trunkgate_route::{NumberingPlan, Pattern, Route, RoutingTable, TableDefinition};

/// Returns a bench that routes `+1415…` to the PBX and `+1212…` to the backup.
fn desk() -> Bench {
    let to =
        |prefix: &str, trunk: &str| Route { to: vec![Pattern::parse(prefix).unwrap()], ..route(vec![to_trunk(trunk)]) };
    let routes = vec![to("+1415*", "pbx"), to("+1212*", "backup")];
    let numbers = NumberingPlan::new("US").unwrap();
    Bench::with(Arc::new(RoutingTable::new(TableDefinition {
        numbers,
        trunks: usual_trunks(),
        agents: vec![],
        routes,
    })))
}

/// Turns a request of either side into a REFER.
fn refer(request: &str, number: &str) -> String {
    request.replace("Content-Length:", &format!("Refer-To: <sip:{number}@{LOCAL}>\r\nContent-Length:"))
}

fn refer_by_caller(bench: &mut Bench, caller: &mut Dialing, number: &str) {
    caller.cseq += 1;
    bench.receive(&caller.peer.clone(), refer(&caller.request("REFER", "", ""), number));
}

/// Answers the next NOTIFY of the caller; returns its status line.
fn told(bench: &mut Bench, caller: &Dialing) -> String {
    let notify = bench.expect(&caller.peer, "NOTIFY");
    bench.receive(&caller.peer, caller.respond(&notify, 200, ""));
    notify.body().trim_end().to_owned()
}

fn target(bench: &mut Bench, tag: &str) -> Dialed {
    Dialed { tag: tag.into(), ..Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE")) }
}

fn taken(bench: &mut Bench, target: &Dialed) {
    bench.receive(BACKUP, target.answer(200, &sdp("10.0.0.30", 32_000, 1, "0 101", "sendrecv")));
    bench.expect(BACKUP, "ACK");
}

#[test]
fn a_side_that_transfers_while_the_one_before_has_not_left_stays_until_it_is_done() {
    let mut bench = desk();
    let (mut caller, callee) = bench.answered();
    refer_by_caller(&mut bench, &mut caller, "+12125550100");
    bench.expect(CARRIER, "SIP/2.0 202");
    told(&mut bench, &caller);
    let first = target(&mut bench, "first");
    taken(&mut bench, &first);
    assert_eq!(told(&mut bench, &caller), "SIP/2.0 200 OK");
    // The caller does not hang up, and the callee transfers the target.
    bench.pass(Duration::from_secs(4));
    bench.receive(PBX, refer(&callee.request("REFER", 1, ""), "+12125550101"));
    bench.expect(PBX, "SIP/2.0 202");
    let trying = bench.expect(PBX, "NOTIFY");
    bench.receive(PBX, callee.respond(&trying, 200, ""));
    let second = target(&mut bench, "second");
    bench.receive(BACKUP, second.answer(180, ""));
    let ringing = bench.expect(PBX, "NOTIFY");
    bench.receive(PBX, callee.respond(&ringing, 200, ""));
    bench.pass(Duration::from_millis(1_200));
    let bye = bench.expect(CARRIER, "BYE");
    bench.receive(CARRIER, caller.respond(&bye, 200, ""));
    bench.nothing();
    bench.receive(BACKUP, second.answer(486, ""));
    bench.expect(BACKUP, "ACK");
    let busy = bench.expect(PBX, "NOTIFY");
    assert_eq!(busy.body(), "SIP/2.0 486 Busy Here\r\n");
    bench.receive(PBX, callee.respond(&busy, 200, ""));
    bench.nothing();
    bench.receive(PBX, callee.request("BYE", 2, ""));
    bench.expect(PBX, "SIP/2.0 200");
    let bye = bench.expect(BACKUP, "BYE");
    bench.receive(BACKUP, first.respond(&bye, 200, ""));
    bench.finish();
}

#[test]
fn a_call_that_is_no_audio_now_is_not_lost_by_a_transfer() {
    let mut bench = desk();
    let (mut caller, callee) = bench.answered();
    let fax = |ip: &str, port: u16| {
        format!(
            "v=0\r\no=peer 77 2 IN IP4 {ip}\r\ns=x\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio 0 RTP/AVP 0\r\nm=image {port} udptl t38\r\na=T38FaxVersion:0\r\n"
        )
    };
    bench.receive(PBX, callee.request("INVITE", 1, &fax("10.0.0.20", 30_010)));
    bench.expect(PBX, "SIP/2.0 100");
    let change = bench.expect(CARRIER, "INVITE");
    bench.receive(CARRIER, caller.respond(&change, 200, &fax("198.51.100.7", 40_010)));
    bench.expect(CARRIER, "ACK");
    bench.expect(PBX, "SIP/2.0 200");
    bench.receive(PBX, callee.request("ACK", 1, ""));
    refer_by_caller(&mut bench, &mut caller, "+12125550100");
    let answer = bench.next(CARRIER);
    assert_eq!(answer.code(), 488, "{}", answer.text);
    bench.nothing();
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "answered");
    bench.bye(&mut caller, &callee);
    bench.finish();
}

#[test]
fn rfc3515_each_refer_hears_its_own_end() {
    let mut bench = desk();
    let (mut caller, callee) = bench.answered();
    refer_by_caller(&mut bench, &mut caller, "+12125550100");
    bench.expect(CARRIER, "SIP/2.0 202");
    let first = bench.expect(CARRIER, "NOTIFY");
    let busy = target(&mut bench, "busy");
    bench.receive(BACKUP, busy.answer(486, ""));
    bench.expect(BACKUP, "ACK");
    bench.nothing();
    // The first NOTIFY has no response yet, and another REFER arrives.
    refer_by_caller(&mut bench, &mut caller, "+12125550101");
    bench.expect(CARRIER, "SIP/2.0 491");
    bench.receive(CARRIER, caller.respond(&first, 200, ""));
    assert_eq!(told(&mut bench, &caller), "SIP/2.0 486 Busy Here");
    bench.nothing();
    bench.bye(&mut caller, &callee);
    bench.finish();
}

#[test]
fn who_was_reached_by_a_transfer_calls_by_its_own_number() {
    let mut bench = desk();
    let (mut caller, callee) = bench.answered();
    refer_by_caller(&mut bench, &mut caller, "+12125550100");
    bench.expect(CARRIER, "SIP/2.0 202");
    told(&mut bench, &caller);
    let first = target(&mut bench, "first");
    taken(&mut bench, &first);
    assert_eq!(told(&mut bench, &caller), "SIP/2.0 200 OK");
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("BYE", "", ""));
    bench.expect(CARRIER, "SIP/2.0 200");
    // The callee transfers the target to another one: the target is the caller now.
    bench.receive(PBX, refer(&callee.request("REFER", 1, ""), "+12125550101"));
    bench.expect(PBX, "SIP/2.0 202");
    bench.expect(PBX, "NOTIFY");
    let second = target(&mut bench, "second");
    assert!(second.invite.header("From").starts_with("<sip:+12125550100@"), "{}", second.invite.text);
    assert!(!second.invite.text.contains("5550100@10.0.0.5;"), "{}", second.invite.text);
}
