//! Calls that continue after a crash of the edge: their timers count from the answer, and the changes since then are
//! listed for the state file.
#![allow(clippy::unwrap_used, clippy::panic)] // only tests stand here

use std::sync::Arc;
use std::time::Duration;

use crate::bench::agents::{agent, agent_table, hang_up, to_agent};
use crate::bench::sessions::{SECOND, call, is_over, with};
use crate::bench::*;
use trunkgate_call::CrashGap;
use trunkgate_call::gateway::ChangeFeed;
use trunkgate_route::{Agent, RoutingTable};

fn usual() -> Arc<RoutingTable> {
    table(usual_trunks(), vec![route(vec![to_trunk("pbx"), to_trunk("backup")])])
}

/// Age of the snapshot from which a call is restored, for a call that was answered 20 s before.
const AGES: [Duration; 4] = [Duration::ZERO, Duration::from_millis(30), SECOND, Duration::from_secs(15)];

/// Returns the number of CSeqs that a call skips after a crash with a snapshot of this age.
fn skipped(age: Duration) -> u128 {
    32 * (1 + age.as_millis() / 250)
}

#[test]
fn max_call_counts_from_the_time_when_the_agent_got_the_caller() {
    for age in AGES {
        let desk =
            || agent_table(vec![Agent { max_call: SECOND * 60, ..agent("desk") }], route(vec![to_agent("desk")]));
        let mut bench = Bench::with(desk());
        let (caller, ..) = bench.talking();
        bench.pass(SECOND * 20);
        bench.crash(desk(), age);
        let (again, _) = bench.asked().remove(0);
        bench.pass(SECOND);
        bench.open(again);
        bench.pass(SECOND * 39 - age - Duration::from_millis(1));
        bench.nothing();
        bench.pass(Duration::from_millis(1));
        let bye = bench.expect(CARRIER, "BYE");
        assert!(bye.header("Reason").contains("max_call"), "{age:?}: {}", bye.text);
        bench.receive(CARRIER, caller.respond(&bye, 200, ""));
        bench.finish();
    }
}

#[test]
fn rfc4028_a_session_is_refreshed_at_its_time() {
    for age in AGES {
        let mut bench = Bench::new();
        let (_, callee, _) = call(&mut bench, "", "Session-Expires: 1800;refresher=uac\r\n");
        bench.pass(SECOND * 20);
        bench.crash(usual(), age);
        bench.pass(SECOND * 880 - age - SECOND);
        bench.nothing();
        bench.pass(SECOND);
        let refresh = bench.expect(PBX, "INVITE");
        assert_eq!(refresh.header("CSeq"), format!("{} INVITE", 2 + skipped(age)), "{age:?}");
        let ok = with(&callee.respond(&refresh, 200, &answer()), "Session-Expires: 1800;refresher=uac\r\n");
        bench.receive(PBX, ok);
        bench.expect(PBX, "ACK");
    }
}

#[test]
fn rfc4028_a_session_that_the_remote_party_does_not_refresh_ends_at_its_time() {
    for age in AGES {
        let mut bench = Bench::new();
        let (caller, callee, _) = call(&mut bench, "", "Session-Expires: 1800;refresher=uas\r\n");
        bench.pass(SECOND * 20);
        bench.crash(usual(), age);
        bench.pass(SECOND * (1_800 - 32 - 20) - age - SECOND);
        bench.nothing();
        bench.pass(SECOND);
        is_over(&mut bench, &caller, &callee);
    }
}

/// A session that has expired while the edge was down ends soon after its start.
#[test]
fn deadlines_that_pass_during_the_downtime_are_met_afterwards() {
    let desk = || agent_table(vec![Agent { max_call: SECOND * 60, ..agent("desk") }], route(vec![to_agent("desk")]));
    let mut bench = Bench::with(desk());
    let (caller, ..) = bench.talking();
    bench.pass(SECOND * 50);
    bench.crash(desk(), SECOND * 30);
    let (again, _) = bench.asked().remove(0);
    bench.open(again);
    bench.pass(Duration::from_millis(1));
    let bye = bench.expect(CARRIER, "BYE");
    bench.receive(CARRIER, caller.respond(&bye, 200, ""));
    bench.finish();
}

#[test]
fn requests_go_on_behind_those_that_a_crash_may_have_hidden() {
    let mut bench = Bench::with(usual());
    let (caller, callee) = bench.answered();
    bench.crash(usual(), SECOND);
    bench.receive(PBX, callee.request("BYE", 1, ""));
    bench.expect(PBX, "SIP/2.0 200");
    let bye = bench.expect(CARRIER, "BYE");
    assert_eq!(bye.header("CSeq"), format!("{} BYE", 1 + skipped(SECOND)));
    bench.receive(CARRIER, caller.respond(&bye, 200, ""));
    bench.finish();
}

/// Lets the PBX change its description, and returns CSeq and version of the re-INVITE that the carrier gets.
fn changed_by_pbx(bench: &mut Bench, callee: &Dialed, cseq: u32, direction: &str) -> (u64, u64) {
    bench.receive(
        PBX,
        callee.request("INVITE", cseq, &sdp("10.0.0.20", 30_000, u64::from(cseq) + 1, "0 101", direction)),
    );
    let invite = bench.expect(CARRIER, "INVITE");
    let number = |text: &str, at: usize| text.split(' ').nth(at).unwrap().parse().unwrap();
    let origin = invite.body().lines().find(|line| line.starts_with("o=")).unwrap().to_owned();
    (number(invite.header("CSeq"), 0), number(&origin, 2))
}

/// The process that was started after a crash crashes before it has written the call: the next one reads the same
/// snapshot, and repeats no number of the two before it.
#[test]
fn no_number_is_used_twice_after_two_crashes_in_a_row() {
    for (first, second) in [(0, 0), (5, 10), (300, 900)] {
        let mut bench = Bench::with(usual());
        let (_, callee) = bench.answered();
        let snapshot = bench.written();
        let mut used = vec![changed_by_pbx(&mut bench, &callee, 1, "sendonly")];
        let mut age = Duration::ZERO;
        for (unwritten, down) in [first, second].into_iter().enumerate() {
            bench.pass(Duration::from_millis(down));
            age += Duration::from_millis(down);
            bench.restore_left(usual(), snapshot.clone(), CrashGap::new(unwritten as u32, age));
            // The peer's description may be the one that it sent before, and that this process does not know.
            let cseq = 2 + unwritten as u32;
            used.push(changed_by_pbx(&mut bench, &callee, cseq, "sendonly"));
        }
        assert!(used.is_sorted_by(|one, next| one.0 < next.0 && one.1 < next.1), "{used:?}");
    }
}

/// A description that equals the last written one has a new version, because another one may have been sent after it.
#[test]
fn rfc3264_a_refresh_after_a_crash_has_a_new_version() {
    let mut bench = Bench::new();
    let (_, callee, _) = call(&mut bench, "", "Session-Expires: 1800;refresher=uac\r\n");
    let before = callee.invite.body().to_owned();
    bench.crash(usual(), SECOND);
    bench.pass(SECOND * 899);
    let refresh = bench.expect(PBX, "INVITE");
    let version = |body: &str| body.lines().nth(1).unwrap().split(' ').nth(2).unwrap().parse::<u64>().unwrap();
    assert!(version(refresh.body()) > version(&before) + 32, "{} {before}", refresh.body());
    let without =
        |body: &str| body.lines().filter(|line| !line.starts_with("o=")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(without(refresh.body()), without(&before));
}

#[test]
fn each_touched_call_is_listed_once() {
    let mut bench = Bench::with(usual());
    let (mut first, callee) = bench.answered();
    bench.gateway.track_changes();
    let [one] = bench.gateway.take_changes().try_into().unwrap();
    assert!(bench.gateway.take_changes().is_empty());
    // Several events of a call, and of another one that begins between them.
    let info = |cseq| callee.request("INFO", cseq, "");
    bench.receive(PBX, info(1));
    let second = bench.invite(CARRIER, "+14155550101", &offer());
    bench.receive(PBX, info(2));
    bench.receive(CARRIER, second.request("INVITE", &offer(), ""));
    let changed = bench.gateway.take_changes();
    assert_eq!((changed.len(), changed[0]), (2, one), "{changed:?}");
    assert!(bench.gateway.snapshot_call(bench.now, changed[0]).is_some());
    assert!(bench.gateway.snapshot_call(bench.now, changed[1]).is_none() && bench.gateway.is_live(changed[1]));
    // A call that has ended is listed for the last time.
    bench.sent.clear();
    first.cseq += 1;
    hang_up(&mut bench, &mut first);
    assert_eq!((bench.gateway.take_changes(), bench.gateway.is_live(one)), (vec![one], false));
}

#[test]
fn a_call_is_written_soon_then_at_intervals_and_removed_at_once() {
    let mut bench = Bench::with(usual());
    let mut feed = ChangeFeed::new(bench.now, &mut bench.gateway);
    let (mut caller, callee) = bench.answered();
    assert!(feed.take_ended(&mut bench.gateway).is_empty());
    let now = bench.now;
    let [key] = feed.take_due(feed.poll_timeout().unwrap()).try_into().unwrap();
    feed.note_written(now, key);
    assert_eq!(feed.poll_timeout(), None);
    // Later changes wait for the interval of the call, and are written together.
    for cseq in 1..4 {
        bench.receive(PBX, callee.request("INFO", cseq, ""));
        assert!(feed.take_ended(&mut bench.gateway).is_empty() && feed.is_waiting(key));
        assert!(feed.take_due(now + Duration::from_millis(249)).is_empty());
    }
    let due = feed.poll_timeout().unwrap();
    assert_eq!((due, feed.take_due(due)), (now + Duration::from_millis(250), vec![key]));
    feed.note_written(due, key);
    // After a loss of writes all calls are due.
    assert_eq!(feed.begin_again(due, &bench.gateway), [key]);
    assert_eq!(feed.take_due(feed.poll_timeout().unwrap()), [key]);
    bench.sent.clear();
    caller.cseq += 1;
    hang_up(&mut bench, &mut caller);
    assert_eq!(feed.take_ended(&mut bench.gateway), [key]);
    assert!(!feed.is_waiting(key));
}

#[test]
fn many_calls_are_written_in_slices_and_new_ones_first() {
    let mut bench = Bench::with(usual());
    let mut feed = ChangeFeed::new(bench.now, &mut bench.gateway);
    let (_, callee) = bench.answered();
    feed.take_ended(&mut bench.gateway);
    let [oldest] = feed.take_due(feed.poll_timeout().unwrap()).try_into().unwrap();
    feed.note_written(bench.now, oldest);
    bench.receive(PBX, callee.request("INFO", 1, ""));
    bench.sent.clear();
    for _ in 0..99 {
        bench.answered();
    }
    feed.take_ended(&mut bench.gateway);
    let now = bench.now + Duration::from_secs(1);
    let first = feed.take_due(now);
    assert!(feed.has_more() && first.len() < 99 && !first.contains(&oldest), "{first:?}");
    let later = feed.poll_timeout().unwrap();
    assert!(now < later && later < now + Duration::from_millis(20));
    let second = feed.take_due(later);
    assert!(!feed.has_more() && first.len() + second.len() == 100 && second.contains(&oldest), "{second:?}");
    assert_eq!(feed.poll_timeout(), None);
}

/// The caller gets 503 with the tag that it knows, and the phone a CANCEL. If the phone has answered meanwhile, it is
/// hung up on.
#[test]
fn calls_that_were_being_set_up_end_on_both_sides() {
    for is_answered in [false, true] {
        let mut bench = Bench::new();
        let caller = bench.invite(CARRIER, "+14155550100", &offer());
        bench.expect(CARRIER, "SIP/2.0 100");
        let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
        bench.receive(PBX, callee.answer(180, ""));
        let ringing = bench.expect(CARRIER, "SIP/2.0 180");
        bench.crash(usual(), SECOND);
        let refusal = bench.expect(CARRIER, "SIP/2.0 503");
        assert_eq!(refusal.tag("To"), ringing.tag("To"));
        assert!(refusal.header("Reason").contains("edge_restarted"), "{}", refusal.text);
        assert!(!refusal.text.contains("Retry-After"), "new calls are accepted at once");
        let ack = Dialing { to_tag: refusal.tag("To"), ..caller }.request("ACK", "", "");
        bench.receive(CARRIER, ack.replace("z9hG4bK-ACK", "z9hG4bK-INVITE"));
        if is_answered {
            bench.answered_too_late(&callee);
        } else {
            bench.withdrawn(&callee);
        }
        bench.pass(SECOND * 40);
        bench.nothing();
        assert!(bench.gateway.calls(bench.now).is_empty());
    }
}

/// The part of the file that calls share may be older than the calls.
#[test]
fn a_call_that_was_answered_after_the_list_was_written_goes_on() {
    let mut bench = Bench::new();
    let mut caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    let listed = bench.gateway.snapshot(bench.now).invites;
    assert_eq!(listed.len(), 2);
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.crash_with(usual(), SECOND, |written| {
        assert!(written.invites.is_empty());
        written.invites = listed;
    });
    bench.nothing();
    // A 200 that the phone repeats belongs to no INVITE of this process.
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.nothing();
    bench.bye(&mut caller, &callee);
    bench.finish();
}
