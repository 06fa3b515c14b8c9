//! Several targets that ring at once: the winner, the messages to the others and to the caller, and the next step if
//! all fail.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::time::Duration;

use crate::bench::*;
use trunkgate_media::MediaCommand;
use trunkgate_route::{Route, TargetSpec, Trunk};

const ELSEWHERE: &str = "SIP;cause=200;text=\"Call completed elsewhere\"";
const LAST: &str = "10.0.0.40:5060";

fn all(names: &[&str]) -> TargetSpec {
    TargetSpec::RingAll(names.iter().map(|name| to_trunk(name)).collect())
}

/// Makes a call for which the PBX and the backup ring at once, with another trunk after them.
fn ringing(change: impl FnOnce(&mut Route)) -> (Bench, Dialing, Dialed, Dialed) {
    let mut trunks = usual_trunks();
    trunks.push(trunk("last", &[LAST]));
    let mut routed = route(vec![all(&["pbx", "backup"]), to_trunk("last")]);
    change(&mut routed);
    let mut bench = Bench::with(table(trunks, vec![routed]));
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let pbx = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    let backup = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE"));
    bench.nothing();
    (bench, caller, pbx, backup)
}

/// Sends a target's final response, and checks its ACK.
fn refuse(bench: &mut Bench, callee: &Dialed, code: u16) {
    bench.receive(&callee.peer, callee.answer(code, ""));
    bench.expect(&callee.peer, "ACK");
}

/// Completes the withdrawal of a target.
fn withdrawn(bench: &mut Bench, callee: &Dialed) -> Sent {
    let cancel = bench.expect(&callee.peer, "CANCEL");
    bench.receive(&callee.peer, callee.respond(&cancel, 200, ""));
    refuse(bench, callee, 487);
    cancel
}

fn wires(commands: &[MediaCommand]) -> usize {
    commands.iter().filter(|command| matches!(command, MediaCommand::Wire { .. })).count()
}

fn next_is_asked(bench: &mut Bench) {
    bench.expect(LAST, "INVITE");
    bench.nothing();
}

#[test]
fn the_first_that_answers_gets_the_call_and_the_others_are_told_so() {
    for winner_is_last in [false, true] {
        let (mut bench, mut caller, pbx, backup) = ringing(|_| {});
        let (winner, loser) = if winner_is_last { (backup, pbx) } else { (pbx, backup) };
        bench.receive(&loser.peer, loser.answer(180, ""));
        bench.expect(CARRIER, "SIP/2.0 180");
        bench.receive(&winner.peer, winner.answer(180, ""));
        bench.nothing();
        assert_eq!(bench.gateway.calls(bench.now)[0].state, "ringing");
        bench.receive(&winner.peer, winner.answer(200, &answer()));
        bench.expect(&winner.peer, "ACK");
        caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
        assert_eq!(withdrawn(&mut bench, &loser).header("Reason"), ELSEWHERE);
        bench.nothing();
        bench.receive(CARRIER, caller.request("ACK", "", ""));
        let call = bench.gateway.calls(bench.now).remove(0);
        assert_eq!(call.state, "answered");
        let lost = call.legs.iter().find(|leg| leg.reason == Some("answered_elsewhere")).unwrap();
        assert_eq!((lost.state, lost.ended_by), ("ended", Some("edge")));
        assert_eq!(bench.gateway.status(bench.now).ports_in_use, 4, "the others' ports are free again");
        bench.bye(&mut caller, &winner);
        assert_eq!((bench.reports[0].call.outcome, bench.reports[0].failovers), (Some("answered"), 0));
        assert_eq!(bench.reports[0].call.legs.len(), 3);
        bench.finish();
    }
}

#[test]
fn who_gave_no_sign_of_life_is_withdrawn_as_soon_as_it_does() {
    let (mut bench, caller, pbx, backup) = ringing(|_| {});
    bench.receive(PBX, pbx.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    let to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
    bench.nothing();
    bench.receive(BACKUP, backup.answer(180, ""));
    assert_eq!(withdrawn(&mut bench, &backup).header("Reason"), ELSEWHERE);
    let mut caller = Dialing { to_tag, ..caller };
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.bye(&mut caller, &pbx);
    bench.finish();
}

#[test]
fn an_answer_that_crosses_the_cancel_is_acknowledged_and_hung_up_on() {
    let (mut bench, mut caller, pbx, backup) = ringing(|_| {});
    bench.receive(BACKUP, backup.answer(180, ""));
    bench.expect(CARRIER, "SIP/2.0 180");
    bench.receive(PBX, pbx.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    let cancel = bench.expect(BACKUP, "CANCEL");
    bench.receive(BACKUP, backup.answer(200, &answer()));
    bench.expect(BACKUP, "ACK");
    let bye = bench.expect(BACKUP, "BYE");
    assert_eq!(bye.header("Reason"), format!("{ELSEWHERE}, Q.850;cause=26;text=\"answered_elsewhere\""));
    bench.receive(BACKUP, backup.respond(&cancel, 481, ""));
    bench.receive(BACKUP, backup.respond(&bye, 200, ""));
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "answered");
    bench.nothing();
    bench.bye(&mut caller, &pbx);
    bench.finish();
}

#[test]
fn an_answer_that_cannot_be_used_leaves_the_others_ringing() {
    let (mut bench, mut caller, pbx, backup) = ringing(|_| {});
    bench.receive(BACKUP, backup.answer(180, ""));
    bench.expect(CARRIER, "SIP/2.0 180");
    bench.receive(PBX, pbx.answer(200, "nonsense"));
    bench.expect(PBX, "ACK");
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, pbx.respond(&bye, 200, ""));
    bench.nothing();
    bench.receive(BACKUP, backup.answer(200, &answer()));
    bench.expect(BACKUP, "ACK");
    caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.bye(&mut caller, &backup);
    bench.finish();
}

#[test]
fn rfc3261_16_7_what_the_caller_gets_and_what_is_next_where_all_fail() {
    // (the two responses, whether the route continues when busy, the caller's response; 0: the next target is called)
    for (first, second, on_busy, expected) in [
        (480, 503, false, 0),
        (404, 480, false, 0),
        (486, 480, false, 0),
        (486, 486, false, 486),
        (486, 486, true, 0),
        (486, 404, false, 486),
        (404, 484, false, 484),
        (403, 404, true, 403),
    ] {
        let (mut bench, _, pbx, backup) = ringing(|route| route.on_busy = on_busy);
        refuse(&mut bench, &pbx, first);
        bench.nothing();
        refuse(&mut bench, &backup, second);
        if expected == 0 {
            next_is_asked(&mut bench);
            continue;
        }
        assert_eq!(bench.next(CARRIER).code(), expected, "{first} {second} {on_busy}");
        bench.nothing();
        bench.finish();
    }
}

#[test]
fn with_nobody_behind_them_the_best_answer_of_all_is_the_callers() {
    for (first, second, expected) in [(500, 480, 480), (480, 500, 480), (503, 503, 503), (502, 484, 484)] {
        let (mut bench, _, pbx, backup) = ringing(|route| route.connect.truncate(1));
        refuse(&mut bench, &pbx, first);
        refuse(&mut bench, &backup, second);
        assert_eq!(bench.next(CARRIER).code(), expected, "{first} {second}");
        bench.finish();
    }
}

#[test]
fn a_6xx_is_for_all_of_them() {
    for (code, on_busy, goes_on) in [(603, true, false), (600, false, false), (600, true, true), (604, false, false)] {
        let (mut bench, _, pbx, backup) = ringing(|route| route.on_busy = on_busy);
        bench.receive(BACKUP, backup.answer(180, ""));
        bench.expect(CARRIER, "SIP/2.0 180");
        refuse(&mut bench, &pbx, code);
        let cancel = withdrawn(&mut bench, &backup);
        assert!(cancel.headers("Reason").is_empty(), "no target has answered");
        if goes_on {
            next_is_asked(&mut bench);
            continue;
        }
        assert_eq!(bench.next(CARRIER).code(), code);
        bench.finish();
    }
}

#[test]
fn each_has_its_own_time() {
    let (mut bench, _, pbx, backup) = ringing(|route| route.ring_timeout = Some(Duration::from_secs(15)));
    bench.receive(PBX, pbx.answer(180, ""));
    bench.expect(CARRIER, "SIP/2.0 180");
    // The other target does not respond: its INVITE is retransmitted, then it has failed, and the ringing one
    // continues.
    bench.pass(Duration::from_millis(4_100));
    bench.sent.retain(|sent| !sent.text.starts_with("INVITE"));
    bench.nothing();
    assert_eq!(bench.gateway.live_calls(), 1);
    bench.receive(BACKUP, backup.answer(180, ""));
    let cancel = bench.expect(BACKUP, "CANCEL");
    assert!(cancel.headers("Reason").is_empty());
    bench.nothing();
    bench.pass(Duration::from_secs(11));
    bench.sent.retain(|sent| sent.to != BACKUP.parse().unwrap());
    bench.expect(PBX, "CANCEL");
    bench.expect(LAST, "INVITE");
}

#[test]
fn the_caller_hears_the_first_with_media_and_another_where_that_one_fails() {
    let (mut bench, mut caller, pbx, backup) = ringing(|_| {});
    bench.take_media();
    bench.receive(BACKUP, backup.answer(180, ""));
    bench.expect(CARRIER, "SIP/2.0 180");
    bench.receive(PBX, pbx.answer(183, &answer()));
    let progress = bench.expect(CARRIER, "SIP/2.0 183");
    assert!(progress.body().contains("m=audio"));
    assert_eq!(wires(&bench.take_media()), 2);
    // The second early media is kept, but not heard; the caller does not ring again either.
    bench.receive(BACKUP, backup.answer(183, &sdp("10.0.0.30", 31_000, 5, "8 101", "sendrecv")));
    bench.receive(BACKUP, backup.answer(180, ""));
    bench.nothing();
    assert_eq!(bench.take_media().len(), 0);
    refuse(&mut bench, &pbx, 480);
    let progress = bench.expect(CARRIER, "SIP/2.0 183");
    assert!(progress.body().contains("RTP/AVP 8 101"), "{}", progress.body());
    let media = bench.take_media();
    assert_eq!(wires(&media), 2);
    assert!(media.iter().any(|command| matches!(command, MediaCommand::RemoveEnd { .. })));
    // Its 2xx has no answer: the earlier one counts.
    bench.receive(BACKUP, backup.answer(200, ""));
    bench.expect(BACKUP, "ACK");
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    assert_eq!(ok.body(), progress.body());
    caller.to_tag = ok.tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.bye(&mut caller, &backup);
    bench.finish();
}

#[test]
fn the_media_is_the_winners_whoever_was_heard_before() {
    let (mut bench, mut caller, pbx, backup) = ringing(|_| {});
    bench.receive(PBX, pbx.answer(183, &answer()));
    bench.expect(CARRIER, "SIP/2.0 183");
    bench.take_media();
    bench.receive(BACKUP, backup.answer(200, &sdp("10.0.0.30", 31_000, 5, "8 101", "sendrecv")));
    bench.expect(BACKUP, "ACK");
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    assert!(ok.body().contains("RTP/AVP 8 101"), "{}", ok.body());
    let media = bench.take_media();
    let removed = media.iter().filter(|command| matches!(command, MediaCommand::RemoveEnd { .. })).count();
    assert_eq!((wires(&media), removed), (2, 1));
    withdrawn(&mut bench, &pbx);
    caller.to_tag = ok.tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.bye(&mut caller, &backup);
    bench.finish();
}

#[test]
fn a_caller_that_gives_up_withdraws_all() {
    let (mut bench, caller, pbx, backup) = ringing(|_| {});
    bench.receive(PBX, pbx.answer(180, ""));
    bench.receive(BACKUP, backup.answer(180, ""));
    bench.expect(CARRIER, "SIP/2.0 180");
    bench.receive(CARRIER, caller.request("CANCEL", "", ""));
    assert_eq!(bench.next(CARRIER).header("CSeq"), "1 CANCEL");
    bench.expect(CARRIER, "SIP/2.0 487");
    for callee in [&pbx, &backup] {
        assert!(withdrawn(&mut bench, callee).headers("Reason").is_empty());
    }
    assert_eq!(bench.reports[0].call.outcome, Some("canceled"));
    bench.finish();
}

#[test]
fn one_pbx_may_ring_two_of_its_numbers_each_in_its_turn() {
    let number = |number: &str| TargetSpec::Trunk {
        name: "pbx".into(),
        number: Some(format!("+1415555{number}")),
        weight: None,
    };
    let limited = Trunk { calls_per_second_out: 1, ..trunk("pbx", &[PBX]) };
    let routed = route(vec![TargetSpec::RingAll(vec![number("0101"), number("0102")])]);
    let mut bench = Bench::with(table(vec![trunk("carrier", &[CARRIER]), limited], vec![routed]));
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let first = Dialed::new(PBX, bench.expect(PBX, "INVITE sip:+14155550101@"));
    bench.receive(PBX, first.answer(180, ""));
    bench.expect(CARRIER, "SIP/2.0 180");
    bench.nothing();
    bench.pass(Duration::from_millis(1_001));
    let second = Dialed::new(PBX, bench.expect(PBX, "INVITE sip:+14155550102@"));
    bench.receive(PBX, second.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    let to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
    withdrawn(&mut bench, &first);
    let mut caller = Dialing { to_tag, ..caller };
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.bye(&mut caller, &second);
    bench.finish();
}

#[test]
fn a_target_that_cannot_be_tried_leaves_the_others() {
    let denied = Trunk { deny: vec![trunkgate_route::Pattern::parse("+1415*").unwrap()], ..trunk("pbx", &[PBX]) };
    let trunks = vec![trunk("carrier", &[CARRIER]), denied.clone(), trunk("backup", &[BACKUP])];
    let mut bench = Bench::with(table(trunks, vec![route(vec![all(&["pbx", "backup"])])]));
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let backup = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE"));
    bench.nothing();
    bench.receive(CARRIER, caller.request("CANCEL", "", ""));
    bench.receive(BACKUP, backup.answer(487, ""));
    bench.sent.clear();
    bench.finish();
    // No target can be tried.
    let trunks = vec![trunk("carrier", &[CARRIER]), denied];
    let mut bench = Bench::with(table(trunks, vec![route(vec![all(&["pbx"])])]));
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 403");
    bench.finish();
}
