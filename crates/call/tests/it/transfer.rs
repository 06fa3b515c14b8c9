//! REFER (RFC 3515) answered by the edge: one side of a call is connected with a third party, and the transferor is
//! notified of the result.

#![allow(clippy::unwrap_used, clippy::panic)] // only tests stand here

use std::sync::Arc;
use std::time::Duration;

use crate::bench::*;
use trunkgate_call::OperatorCommand;
use trunkgate_media::MediaCommand;
use trunkgate_route::{
    CallerIdRule, Destination, HoldMode, IdentityTrust, NumberingPlan, Pattern, ReferMode, Route, RoutingTable,
    TableDefinition, TargetSpec, Transport, Trunk,
};

const TARGET: &str = "+12125550100";

/// Returns routes for `+1415…` to the PBX, and for `+1212…` from the PBX and the carrier to the backup.
fn routes() -> Vec<Route> {
    let to =
        |prefix: &str, trunk: &str| Route { to: vec![Pattern::parse(prefix).unwrap()], ..route(vec![to_trunk(trunk)]) };
    vec![
        Route { name: Arc::from("in"), ..to("+1415*", "pbx") },
        Route { name: Arc::from("on"), from: vec!["pbx".into(), "carrier".into()], ..to("+1212*", "backup") },
    ]
}

fn with(change: impl Fn(&mut Trunk)) -> Bench {
    let mut trunks = usual_trunks();
    trunks.iter_mut().for_each(change);
    let numbers = NumberingPlan::new("US").unwrap();
    Bench::with(Arc::new(RoutingTable::new(TableDefinition { numbers, trunks, agents: vec![], routes: routes() })))
}

fn refer_to(request: &str, headers: &str) -> String {
    request.replace("Content-Length:", &format!("{headers}Content-Length:"))
}

/// Returns a REFER of the callee.
fn by_callee(callee: &Dialed, cseq: u32, headers: &str) -> String {
    refer_to(&callee.request("REFER", cseq, ""), headers)
}

fn to(number: &str) -> String {
    format!("Refer-To: <sip:{number}@{LOCAL}>\r\n")
}

/// Answers the next NOTIFY of a peer; returns its status line and its Subscription-State.
fn news(bench: &mut Bench, peer: &str, answer: impl Fn(&Sent) -> String) -> (String, String) {
    let notify = bench.expect(peer, "NOTIFY");
    assert_eq!(notify.header("Content-Type"), "message/sipfrag;version=2.0");
    assert!(notify.header("Contact").starts_with("<sip:"));
    bench.receive(peer, answer(&notify));
    (notify.body().trim_end().to_owned(), notify.header("Subscription-State").to_owned())
}

/// Begins a blind transfer by the callee, and returns the target.
fn referred(bench: &mut Bench, callee: &Dialed, headers: &str) -> Dialed {
    bench.receive(PBX, by_callee(callee, 1, &format!("{}{headers}", to(TARGET))));
    let accepted = bench.expect(PBX, "SIP/2.0 202");
    assert!(accepted.header("Contact").starts_with("<sip:"));
    let (line, state) = news(bench, PBX, |notify| {
        assert_eq!(notify.header("Event"), "refer;id=1");
        callee.respond(notify, 200, "")
    });
    assert_eq!((line.as_str(), state.as_str()), ("SIP/2.0 100 Trying", "active;expires=300"));
    let invite = bench.expect(BACKUP, "INVITE");
    bench.nothing();
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "transferring");
    Dialed { tag: "target".into(), ..Dialed::new(BACKUP, invite) }
}

fn answer_of_target() -> String {
    sdp("10.0.0.30", 32_000, 1, "0 101", "sendrecv")
}

/// Answers the call for the target.
fn taken(bench: &mut Bench, target: &Dialed) {
    bench.receive(BACKUP, target.answer(200, &answer_of_target()));
    bench.expect(BACKUP, "ACK");
}

#[test]
fn rfc3515_target_is_connected_and_referrer_notified() {
    let mut bench = with(|_| {});
    let (mut caller, callee) = bench.answered();
    bench.take_media();
    let target = referred(&mut bench, &callee, "Referred-By: <sip:bob@10.0.0.20>\r\n");
    let told = &target.invite;
    assert!(told.first_line().starts_with("INVITE sip:+12125550100@10.0.0.30"), "{}", told.text);
    assert!(told.header("From").contains("+14155551234"), "the caller is who calls");
    assert_eq!(told.header("Referred-By"), "<sip:bob@10.0.0.5>");
    assert_eq!(told.header("Max-Forwards"), "68");
    assert!(!told.text.contains("10.0.0.20") && !told.text.contains("198.51.100.7"), "{}", told.text);
    // The caller hears ringback meanwhile, the transferor does not.
    let media = bench.take_media();
    assert!(media.iter().any(|command| matches!(command, MediaCommand::AddPlayer { .. })), "{media:?}");
    bench.receive(BACKUP, target.answer(180, ""));
    assert_eq!(news(&mut bench, PBX, |n| callee.respond(n, 200, "")).0, "SIP/2.0 180 Ringing");
    taken(&mut bench, &target);
    let (line, state) = news(&mut bench, PBX, |n| callee.respond(n, 200, ""));
    assert_eq!((line.as_str(), state.as_str()), ("SIP/2.0 200 OK", "terminated;reason=noresource"));
    // The caller's session is unchanged: it gets no re-INVITE.
    bench.nothing();
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "answered");
    bench.receive(PBX, callee.request("BYE", 2, ""));
    bench.expect(PBX, "SIP/2.0 200");
    bench.nothing();
    bench.bye(&mut caller, &target);
    bench.finish();
    let record = &bench.reports[0].call;
    assert_eq!((record.reason, record.legs[1].reason), (Some("caller_hung_up"), Some("transferred")));
}

#[test]
fn a_target_at_a_trunk_by_a_bare_uri_is_shown_that_trunks_name_of_the_edge() {
    let destination =
        Destination { host: "10.0.0.30".into(), port: Some(5060), transport: Transport::Udp, is_fixed: true };
    let uri = TargetSpec::Uri { in_call: false, uri: format!("sip:bob@{BACKUP}"), destination };
    let on = Route { from: vec!["pbx".into()], to: vec![Pattern::parse("+1212*").unwrap()], ..route(vec![uri]) };
    let mut trunks = usual_trunks();
    trunks[2].own_hosts.from = Some("sbc.example.com".into());
    let (numbers, routes) = (NumberingPlan::new("US").unwrap(), vec![routes().remove(0), on]);
    let mut bench =
        Bench::with(Arc::new(RoutingTable::new(TableDefinition { numbers, trunks, agents: vec![], routes })));
    let (_, callee) = bench.answered();
    let target = referred(&mut bench, &callee, "Referred-By: <sip:bob@10.0.0.20>\r\n");
    assert!(target.invite.header("From").contains("@sbc.example.com>"), "{}", target.invite.text);
    assert_eq!(target.invite.header("Referred-By"), "<sip:bob@sbc.example.com>");
}

#[test]
fn who_refers_is_told_only_as_far_as_both_sides_rules_for_callers_allow() {
    let rule = |allow: &str| {
        let default = Some(NumberingPlan::default().normalise_caller("+14155550199", None));
        CallerIdRule { allow: vec![Pattern::parse(allow).unwrap()], default }
    };
    let shown = Some("<sip:+14155550123@10.0.0.5>");
    for (may_show, is_shown, told) in [
        (None, None, shown),
        (Some("+1415*"), Some("+14155550123"), shown),
        (Some("+1212*"), None, None),
        (None, Some("+1212*"), None),
        (Some("+1415*"), Some("+1212*"), None),
    ] {
        let mut bench = with(|trunk| match &*trunk.name {
            "pbx" => trunk.caller_id_in = may_show.map(rule),
            "backup" => trunk.caller_id = is_shown.map(rule),
            _ => {}
        });
        let (_, callee) = bench.answered();
        let target = referred(&mut bench, &callee, "Referred-By: <sip:+14155550123@10.0.0.20>\r\n");
        assert_eq!(target.invite.headers("Referred-By").first().copied(), told, "{may_show:?} {is_shown:?}");
    }
}

#[test]
fn rfc3323_who_hides_from_strangers_does_so_from_a_target_of_a_transfer() {
    let mut bench = with(|trunk| {
        if &*trunk.name == "backup" {
            trunk.identity = IdentityTrust::Strip;
        }
    });
    let mut caller =
        Dialing { peer: CARRIER.into(), number: "+14155550100".into(), call: 1, cseq: 1, to_tag: String::new() };
    let private = "Privacy: id\r\nP-Asserted-Identity: <sip:+14155551234@198.51.100.7>\r\n";
    bench.receive(CARRIER, caller.request("INVITE", &offer(), private));
    bench.expect(CARRIER, "SIP/2.0 100");
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    let target = referred(&mut bench, &callee, "");
    assert!(!target.invite.text.contains("4155551234"), "{}", target.invite.text);
    taken(&mut bench, &target);
    news(&mut bench, PBX, |n| callee.respond(n, 200, ""));
    bench.receive(PBX, callee.request("BYE", 2, ""));
    bench.expect(PBX, "SIP/2.0 200");
    bench.bye(&mut caller, &target);
    bench.finish();
}

#[test]
fn a_caller_sends_the_called_side_on_and_leaves() {
    let mut bench = with(|_| {});
    let (mut caller, callee) = bench.answered();
    caller.cseq += 1;
    bench.receive(CARRIER, refer_to(&caller.request("REFER", "", ""), &to(TARGET)));
    bench.expect(CARRIER, "SIP/2.0 202");
    let respond = caller.clone();
    assert_eq!(news(&mut bench, CARRIER, |n| respond.respond(n, 200, "")).0, "SIP/2.0 100 Trying");
    let invite = bench.expect(BACKUP, "INVITE");
    assert!(invite.header("From").contains("+14155550100"), "who was called calls now: {}", invite.text);
    assert!(!invite.text.contains("Alice"), "{}", invite.text);
    let target = Dialed { tag: "target".into(), ..Dialed::new(BACKUP, invite) };
    // The caller hangs up before the target answers: the transfer continues.
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("BYE", "", ""));
    bench.expect(CARRIER, "SIP/2.0 200");
    bench.nothing();
    taken(&mut bench, &target);
    bench.nothing();
    let sid = bench.gateway.calls(bench.now)[0].sid.clone();
    assert_eq!(bench.gateway.calls(bench.now)[0].legs.iter().filter(|leg| leg.state == "answered").count(), 2);
    // Both sides remain sides: a hold is relayed from one to the other.
    bench.receive(PBX, callee.request("INVITE", 1, &sdp("10.0.0.20", 30_000, 2, "0 101", "sendonly")));
    bench.expect(PBX, "SIP/2.0 100");
    let hold = bench.expect(BACKUP, "INVITE");
    assert!(hold.body().contains("a=sendonly"));
    bench.receive(BACKUP, target.respond(&hold, 200, &sdp("10.0.0.30", 32_000, 2, "0 101", "recvonly")));
    bench.expect(BACKUP, "ACK");
    bench.expect(PBX, "SIP/2.0 200");
    bench.receive(PBX, callee.request("ACK", 1, ""));
    bench.receive(BACKUP, target.request("BYE", 1, ""));
    bench.expect(BACKUP, "SIP/2.0 200");
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, callee.respond(&bye, 200, ""));
    bench.finish();
    assert_eq!(bench.reports[0].call.sid, sid);
    assert_eq!(bench.reports[0].call.reason, Some("callee_hung_up"));
}

#[test]
fn a_transfer_that_fails_leaves_both_as_they_were_and_tells_why() {
    for (code, told) in [(486, "SIP/2.0 486 Busy Here"), (603, "SIP/2.0 603 Decline"), (404, "SIP/2.0 404 Not Found")] {
        let mut bench = with(|_| {});
        let (mut caller, callee) = bench.answered();
        bench.take_media();
        let target = referred(&mut bench, &callee, "");
        bench.take_media();
        bench.receive(BACKUP, target.answer(code, ""));
        bench.expect(BACKUP, "ACK");
        let (line, state) = news(&mut bench, PBX, |n| callee.respond(n, 200, ""));
        assert_eq!((line.as_str(), state.as_str()), (told, "terminated;reason=noresource"));
        let wired = bench.take_media().iter().filter(|command| matches!(command, MediaCommand::Wire { .. })).count();
        assert_eq!(wired, 2, "both hear each other again");
        bench.nothing();
        assert_eq!(bench.gateway.calls(bench.now)[0].state, "answered");
        // A later transfer may succeed.
        bench.receive(PBX, by_callee(&callee, 2, &to(TARGET)));
        bench.expect(PBX, "SIP/2.0 202");
        let trying = bench.expect(PBX, "NOTIFY");
        assert_eq!(trying.header("Event"), "refer;id=2");
        bench.receive(PBX, callee.respond(&trying, 200, ""));
        let again = Dialed { tag: "target".into(), ..Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE")) };
        taken(&mut bench, &again);
        assert_eq!(news(&mut bench, PBX, |n| callee.respond(n, 200, "")).0, "SIP/2.0 200 OK");
        // A notified transferor that does not hang up gets BYE.
        bench.pass(Duration::from_secs(5));
        let bye = bench.expect(PBX, "BYE");
        bench.receive(PBX, callee.respond(&bye, 200, ""));
        bench.bye(&mut caller, &again);
        assert_eq!(bench.reports[0].failovers, 0, "another transfer is no failover of the first");
        bench.finish();
    }
}

#[test]
fn a_transfer_that_fails_after_the_referrer_has_left_ends_the_call() {
    let mut bench = with(|_| {});
    let (caller, callee) = bench.answered();
    let target = referred(&mut bench, &callee, "");
    bench.receive(PBX, callee.request("BYE", 2, ""));
    bench.expect(PBX, "SIP/2.0 200");
    bench.receive(BACKUP, target.answer(486, ""));
    bench.expect(BACKUP, "ACK");
    let bye = bench.expect(CARRIER, "BYE");
    bench.receive(CARRIER, caller.respond(&bye, 200, ""));
    bench.finish();
    assert_eq!(bench.reports[0].call.reason, Some("target_busy"));
}

#[test]
fn a_side_that_was_on_hold_hears_the_target() {
    let mut bench = with(|_| {});
    let (mut caller, callee) = bench.answered();
    bench.receive(PBX, callee.request("INVITE", 1, &sdp("10.0.0.20", 30_000, 2, "0 101", "sendonly")));
    bench.expect(PBX, "SIP/2.0 100");
    let hold = bench.expect(CARRIER, "INVITE");
    bench.receive(CARRIER, caller.respond(&hold, 200, &sdp("198.51.100.7", 40_000, 2, "0 101", "recvonly")));
    bench.expect(CARRIER, "ACK");
    bench.expect(PBX, "SIP/2.0 200");
    bench.receive(PBX, callee.request("ACK", 1, ""));
    bench.receive(PBX, by_callee(&callee, 2, &to(TARGET)));
    bench.expect(PBX, "SIP/2.0 202");
    news(&mut bench, PBX, |n| callee.respond(n, 200, ""));
    let invite = bench.expect(BACKUP, "INVITE");
    assert!(!invite.body().contains("recvonly"), "{}", invite.text);
    let target = Dialed { tag: "target".into(), ..Dialed::new(BACKUP, invite) };
    taken(&mut bench, &target);
    news(&mut bench, PBX, |n| callee.respond(n, 200, ""));
    let resumed = bench.expect(CARRIER, "INVITE");
    assert!(resumed.body().contains("a=sendrecv"), "{}", resumed.text);
    bench.receive(CARRIER, caller.respond(&resumed, 200, &sdp("198.51.100.7", 40_000, 3, "0 101", "sendrecv")));
    bench.expect(CARRIER, "ACK");
    bench.receive(PBX, callee.request("BYE", 3, ""));
    bench.expect(PBX, "SIP/2.0 200");
    bench.bye(&mut caller, &target);
    bench.finish();
}

#[test]
fn a_hold_that_ends_here_goes_on_where_the_transfer_fails() {
    let mut bench = with(|trunk| trunk.hold = HoldMode::Local);
    let (mut caller, callee) = bench.answered();
    bench.receive(PBX, callee.request("INVITE", 1, &sdp("10.0.0.20", 30_000, 2, "0 101", "sendonly")));
    bench.expect(PBX, "SIP/2.0 100");
    bench.expect(PBX, "SIP/2.0 200");
    bench.receive(PBX, callee.request("ACK", 1, ""));
    bench.receive(PBX, by_callee(&callee, 2, &to(TARGET)));
    bench.expect(PBX, "SIP/2.0 202");
    news(&mut bench, PBX, |n| callee.respond(n, 200, ""));
    let target = Dialed { tag: "target".into(), ..Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE")) };
    bench.receive(BACKUP, target.answer(486, ""));
    bench.expect(BACKUP, "ACK");
    news(&mut bench, PBX, |n| callee.respond(n, 200, ""));
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "held");
    bench.receive(PBX, callee.request("INVITE", 3, &sdp("10.0.0.20", 30_000, 3, "0 101", "sendrecv")));
    bench.expect(PBX, "SIP/2.0 100");
    bench.expect(PBX, "SIP/2.0 200");
    bench.receive(PBX, callee.request("ACK", 3, ""));
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "answered");
    bench.bye(&mut caller, &callee);
    bench.finish();
}

#[test]
fn who_may_not_or_asks_for_what_cannot_be_is_refused() {
    let rows: [(ReferMode, String, u16); 8] = [
        (ReferMode::Local, format!("Refer-To: <sip:{TARGET}@x?Replaces=1%3Bto-tag%3D2>\r\n"), 400),
        (ReferMode::Refuse, to(TARGET), 403),
        (ReferMode::Local, String::new(), 400),
        (ReferMode::Local, "Refer-To: <mailto:bob@example.com>\r\n".into(), 416),
        (ReferMode::Local, format!("Refer-To: <sip:{TARGET}@x;method=BYE>\r\n"), 403),
        // No route of that trunk leads there, regardless of the host in the URI.
        (ReferMode::Local, "Refer-To: <sip:+19005550100@192.0.2.99>\r\n".into(), 404),
        (ReferMode::Local, "Refer-To: <sip:+1x@192.0.2.99>\r\n".into(), 484),
        (ReferMode::Local, format!("{}Require: something\r\n", to(TARGET)), 420),
    ];
    for (mode, headers, code) in rows {
        let mut bench = with(|trunk| trunk.refer = mode);
        let (mut caller, callee) = bench.answered();
        bench.receive(PBX, by_callee(&callee, 1, &headers));
        assert_eq!(bench.next(PBX).code(), code, "{headers}");
        bench.nothing();
        assert_eq!(bench.gateway.calls(bench.now)[0].state, "answered");
        bench.bye(&mut caller, &callee);
        bench.finish();
    }
}

#[test]
fn a_denied_number_is_no_target_of_a_transfer_either() {
    let mut bench = with(|trunk| {
        if &*trunk.name == "backup" {
            trunk.deny = vec![Pattern::parse("+1212*").unwrap()];
        }
    });
    let (mut caller, callee) = bench.answered();
    bench.receive(PBX, by_callee(&callee, 1, &to(TARGET)));
    bench.expect(PBX, "SIP/2.0 202");
    assert_eq!(news(&mut bench, PBX, |n| callee.respond(n, 200, "")).0, "SIP/2.0 100 Trying");
    assert_eq!(news(&mut bench, PBX, |n| callee.respond(n, 200, "")).0, "SIP/2.0 403 Forbidden");
    bench.nothing();
    bench.bye(&mut caller, &callee);
    bench.finish();
}

/// Sends one REFER too many: the last one is refused, the earlier ones fail with the target.
fn too_fast(mut bench: Bench, allowed: u32) {
    let (mut caller, callee) = bench.answered();
    for cseq in 1..=allowed {
        bench.receive(PBX, by_callee(&callee, cseq, &to(TARGET)));
        bench.expect(PBX, "SIP/2.0 202");
        news(&mut bench, PBX, |n| callee.respond(n, 200, ""));
        let target = Dialed { tag: "target".into(), ..Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE")) };
        bench.receive(BACKUP, target.answer(486, ""));
        bench.expect(BACKUP, "ACK");
        assert_eq!(news(&mut bench, PBX, |n| callee.respond(n, 200, "")).0, "SIP/2.0 486 Busy Here");
    }
    bench.receive(PBX, by_callee(&callee, allowed + 1, &to(TARGET)));
    let refusal = bench.expect(PBX, "SIP/2.0 503");
    assert!(refusal.header("Reason").contains("limit_rate"), "{}", refusal.text);
    bench.nothing();
    bench.bye(&mut caller, &callee);
    bench.finish();
}

#[test]
fn nobody_dials_faster_by_transfers_than_by_calls() {
    // The call itself counts as one of the edge's two.
    let mut bench = with(|_| {});
    bench.configure(|settings| (settings.calls, settings.calls_per_second) = (10, 2));
    too_fast(bench, 1);
    let asked = with(|trunk| trunk.calls_per_second_in = if &*trunk.name == "pbx" { 2 } else { 0 });
    too_fast(asked, 2);
}

#[test]
fn a_refer_waits_for_a_change_and_outside_a_dialog_there_is_nothing_to_transfer() {
    let mut bench = with(|_| {});
    let stray = Dialing { peer: PBX.into(), number: "x".into(), call: 9, cseq: 1, to_tag: String::new() };
    bench.receive(PBX, refer_to(&stray.request("REFER", "", ""), &to(TARGET)));
    bench.expect(PBX, "SIP/2.0 481");
    let (mut caller, callee) = bench.answered();
    // A change of the other side is in progress.
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("INVITE", &sdp("198.51.100.7", 40_002, 2, "0 101", "sendrecv"), ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    let change = bench.expect(PBX, "INVITE");
    bench.receive(PBX, by_callee(&callee, 1, &to(TARGET)));
    bench.nothing();
    bench.receive(PBX, by_callee(&callee, 2, &to(TARGET)));
    bench.expect(PBX, "SIP/2.0 491");
    bench.receive(PBX, callee.respond(&change, 200, &answer()));
    bench.expect(PBX, "ACK");
    bench.expect(CARRIER, "SIP/2.0 200");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    // One transfer at a time; and neither side changes anything while the target rings.
    bench.expect(PBX, "SIP/2.0 202");
    news(&mut bench, PBX, |n| callee.respond(n, 200, ""));
    let target = Dialed { tag: "target".into(), ..Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE")) };
    bench.receive(PBX, by_callee(&callee, 3, &to(TARGET)));
    bench.expect(PBX, "SIP/2.0 491");
    bench.receive(PBX, callee.request("INVITE", 4, &answer()));
    bench.expect(PBX, "SIP/2.0 100");
    bench.expect(PBX, "SIP/2.0 491");
    bench.receive(PBX, callee.request("ACK", 4, ""));
    bench.nothing();
    // The caller hangs up: all ends, and the transferor is notified.
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("BYE", "", ""));
    bench.expect(CARRIER, "SIP/2.0 200");
    bench.receive(BACKUP, target.answer(180, ""));
    let cancel = bench.expect(BACKUP, "CANCEL");
    bench.receive(BACKUP, target.respond(&cancel, 200, ""));
    bench.receive(BACKUP, target.answer(487, ""));
    bench.expect(BACKUP, "ACK");
    let last = bench.expect(PBX, "NOTIFY");
    assert_eq!(last.body(), "SIP/2.0 487 Request Terminated\r\n");
    bench.receive(PBX, callee.respond(&last, 200, ""));
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, callee.respond(&bye, 200, ""));
    bench.finish();
}

#[test]
fn rfc4488_who_wants_no_news_gets_none() {
    let mut bench = with(|_| {});
    let (mut caller, callee) = bench.answered();
    bench.receive(PBX, by_callee(&callee, 1, &format!("{}Refer-Sub: false\r\n", to(TARGET))));
    assert_eq!(bench.expect(PBX, "SIP/2.0 202").header("Refer-Sub"), "false");
    let target = Dialed { tag: "target".into(), ..Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE")) };
    bench.receive(BACKUP, target.answer(180, ""));
    taken(&mut bench, &target);
    bench.nothing();
    bench.receive(PBX, callee.request("BYE", 2, ""));
    bench.expect(PBX, "SIP/2.0 200");
    bench.bye(&mut caller, &target);
    bench.finish();
}

#[test]
fn news_go_out_one_after_the_other_and_end_where_nobody_wants_them() {
    let mut bench = with(|_| {});
    let (mut caller, callee) = bench.answered();
    bench.receive(PBX, by_callee(&callee, 1, &to(TARGET)));
    bench.expect(PBX, "SIP/2.0 202");
    let trying = bench.expect(PBX, "NOTIFY");
    let target = Dialed { tag: "target".into(), ..Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE")) };
    bench.receive(BACKUP, target.answer(180, ""));
    bench.receive(BACKUP, target.answer(183, ""));
    bench.nothing();
    bench.receive(PBX, callee.respond(&trying, 200, ""));
    let ringing = bench.expect(PBX, "NOTIFY");
    assert_eq!(ringing.body(), "SIP/2.0 183 Session Progress\r\n", "the last word counts");
    bench.receive(PBX, callee.respond(&ringing, 481, ""));
    taken(&mut bench, &target);
    bench.nothing();
    bench.receive(PBX, callee.request("BYE", 2, ""));
    bench.expect(PBX, "SIP/2.0 200");
    bench.bye(&mut caller, &target);
    bench.finish();
}

#[test]
fn a_call_that_its_caller_has_transferred_outlives_a_restart() {
    let mut bench = with(|_| {});
    let (mut caller, callee) = bench.answered();
    caller.cseq += 1;
    bench.receive(CARRIER, refer_to(&caller.request("REFER", "", "Refer-Sub: false\r\n"), &to(TARGET)));
    bench.expect(CARRIER, "SIP/2.0 202");
    let target = Dialed { tag: "target".into(), ..Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE")) };
    taken(&mut bench, &target);
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("BYE", "", ""));
    bench.expect(CARRIER, "SIP/2.0 200");
    let sid = bench.gateway.calls(bench.now)[0].sid.clone();
    bench.restart(Arc::new(RoutingTable::new(TableDefinition {
        numbers: NumberingPlan::new("US").unwrap(),
        trunks: usual_trunks(),
        agents: vec![],
        routes: routes(),
    })));
    let call = bench.gateway.calls(bench.now)[0].clone();
    assert_eq!((call.sid, call.legs[0].direction, call.legs[1].direction), (sid, "outbound", "outbound"));
    bench.receive(PBX, callee.request("BYE", 1, ""));
    bench.expect(PBX, "SIP/2.0 200");
    let bye = bench.expect(BACKUP, "BYE");
    bench.receive(BACKUP, target.respond(&bye, 200, ""));
    bench.pass(Duration::from_secs(80));
    assert_eq!(bench.gateway.live_calls(), 0);
}

#[test]
fn a_transferred_call_outlives_a_restart_and_an_operator_ends_it() {
    let mut bench = with(|_| {});
    let (caller, callee) = bench.answered();
    let target = referred(&mut bench, &callee, "");
    taken(&mut bench, &target);
    news(&mut bench, PBX, |n| callee.respond(n, 200, ""));
    bench.receive(PBX, callee.request("BYE", 2, ""));
    bench.expect(PBX, "SIP/2.0 200");
    let numbers = NumberingPlan::new("US").unwrap();
    let table = Arc::new(RoutingTable::new(TableDefinition {
        numbers,
        trunks: usual_trunks(),
        agents: vec![],
        routes: routes(),
    }));
    bench.restart(table);
    let sid = bench.gateway.calls(bench.now)[0].sid.clone();
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "answered");
    bench.control(OperatorCommand::Hangup { sid });
    let bye = bench.expect(CARRIER, "BYE");
    bench.receive(CARRIER, caller.respond(&bye, 200, ""));
    let bye = bench.expect(BACKUP, "BYE");
    bench.receive(BACKUP, target.respond(&bye, 200, ""));
    bench.pass(Duration::from_secs(80));
    assert_eq!(bench.gateway.live_calls(), 0);
}

#[test]
fn a_refer_that_has_waited_for_long_enough_or_for_a_call_that_ends_is_refused() {
    for (ends, code) in [(false, 491), (true, 487)] {
        let mut bench = with(|_| {});
        let (mut caller, callee) = bench.answered();
        caller.cseq += 1;
        bench.receive(CARRIER, caller.request("INVITE", &sdp("198.51.100.7", 40_002, 2, "0 101", "sendrecv"), ""));
        let change = bench.expect(PBX, "INVITE");
        bench.receive(PBX, callee.respond(&change, 180, ""));
        bench.receive(PBX, by_callee(&callee, 1, &to(TARGET)));
        if ends {
            caller.cseq += 1;
            bench.receive(CARRIER, caller.request("BYE", "", ""));
        } else {
            bench.pass(Duration::from_secs(17));
        }
        let refused = bench.sent.iter().find(|sent| sent.code() > 200 && sent.header("CSeq") == "1 REFER");
        assert_eq!(refused.map(|sent| sent.code()), Some(code));
    }
}
