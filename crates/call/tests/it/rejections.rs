//! A carrier that rejects calls: its code and reason appear in the leg, the verdict and the trunk.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::time::Duration;

use crate::bench::*;
use trunkgate_call::view::{LegView, RejectedView};
use trunkgate_route::TargetSpec;

const REASON: &str = "Reason: Q.850;cause=21;text=\"Call Rejected\"\r\n";

fn bench(connect: Vec<TargetSpec>) -> Bench {
    let trunks = vec![trunk("carrier", &[CARRIER]), trunk("pbx", &[PBX]), trunk("backup", &[BACKUP])];
    Bench::with(table(trunks, vec![route(connect)]))
}

/// Makes a call that the PBX rejects; the caller's final response has this code.
fn rejected(bench: &mut Bench, (code, headers): (u16, &str), seen: u16) {
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer_with(code, headers));
    bench.expect(PBX, "ACK");
    bench.expect(CARRIER, &format!("SIP/2.0 {seen}"));
    // After the end of its transactions the next call is a new one.
    bench.pass(Duration::from_secs(40));
    bench.sent.clear();
}

fn leg(bench: &Bench, at: usize) -> LegView {
    bench.gateway.calls(bench.now)[0].legs[at].clone()
}

fn of_pbx(bench: &Bench) -> Option<RejectedView> {
    bench.gateway.status(bench.now).trunks.into_iter().find(|trunk| trunk.name == "pbx").unwrap().rejected
}

fn verdict(bench: &Bench) -> String {
    let sid = bench.gateway.calls(bench.now)[0].sid.clone();
    bench.gateway.trace(&sid).unwrap().verdict
}

#[test]
fn its_code_and_words_stand_in_leg_record_and_verdict_with_what_helps() {
    let mut bench = bench(vec![to_trunk("pbx")]);
    rejected(&mut bench, (403, REASON), 403);
    let leg = leg(&bench, 1);
    assert_eq!((leg.sip_code, leg.sip_text.as_deref()), (Some(403), Some("Whatever \"Call Rejected\" (Q.850 21)")));
    let recorded = &bench.reports[0].call.legs[1];
    assert_eq!((recorded.sip_code, &recorded.sip_text), (leg.sip_code, &leg.sip_text));
    let verdict = verdict(&bench);
    // The most frequent cause of a 403 is visible without the messages.
    let told = "pbx answered 403 Whatever \"Call Rejected\" (Q.850 21) (caller ID sent: From +1415****234, no P-Asserted-Identity).";
    assert!(verdict.contains(told), "{verdict}");
    assert!(verdict.contains("Try: Check the allow list for your public address"), "{verdict}");
    // A code that is not passed to the caller is reported as the target's own.
    rejected(&mut bench, (401, "Retry-After: 0\r\n"), 500);
    assert!(bench.gateway.calls(bench.now)[0].legs[1].sip_code == Some(401), "the caller got 500");
    bench.finish();
}

#[test]
fn of_several_targets_each_has_its_own_words() {
    let mut bench = bench(vec![to_trunk("pbx"), to_trunk("backup")]);
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    for (at, code) in [(PBX, 503), (BACKUP, 403)] {
        let callee = Dialed::new(at, bench.expect(at, "INVITE"));
        bench.receive(at, callee.answer(code, ""));
        bench.expect(at, "ACK");
    }
    bench.expect(CARRIER, "SIP/2.0 403");
    let verdict = verdict(&bench);
    let told = "pbx (503 Whatever), backup (403 Whatever; caller ID sent: From +1415****234, no P-Asserted-Identity). Try: Check";
    assert!(verdict.contains(told), "{verdict}");
}

#[test]
fn a_call_that_failed_over_says_what_would_help_with_the_target_that_failed() {
    let mut bench = bench(vec![to_trunk("pbx"), to_trunk("backup")]);
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let first = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, first.answer(503, ""));
    bench.expect(PBX, "ACK");
    let second = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE"));
    bench.receive(BACKUP, second.answer(200, &answer()));
    let verdict = verdict(&bench);
    let told =
        "Answered by backup. 1 target failed: pbx (503 Whatever). Try: Compare `max_calls` and `calls_per_second`";
    assert!(verdict.starts_with(told), "{verdict}");
    assert!(!verdict.contains("add a second"), "there is one: {verdict}");
}

#[test]
fn a_trunk_that_rejects_is_counted_by_code_and_words_until_it_answers() {
    let mut bench = bench(vec![to_trunk("pbx")]);
    assert!(of_pbx(&bench).is_none());
    for _ in 0..2 {
        rejected(&mut bench, (403, REASON), 403);
    }
    // The number may be wrong, or the called party busy.
    rejected(&mut bench, (404, ""), 404);
    rejected(&mut bench, (486, ""), 486);
    let found = of_pbx(&bench).unwrap();
    assert_eq!((found.calls, found.of, found.still), (2, 4, true));
    rejected(&mut bench, (403, REASON), 403);
    let found = of_pbx(&bench).unwrap();
    let answers: Vec<_> = found.answers.iter().map(|one| (one.code, one.text.as_deref(), one.calls)).collect();
    assert_eq!(answers, [(403, Some("Whatever \"Call Rejected\" (Q.850 21)"), 3)]);
    assert!(found.still && found.fix.starts_with("Check the allow list"), "{found:?}");
    bench.pass(Duration::from_secs(3_700));
    assert!(of_pbx(&bench).is_none(), "an hour later");
}

#[test]
fn a_rejection_on_which_no_other_target_is_tried_loses_its_call() {
    for (connect, code, seen, lost) in
        [(vec!["pbx"], 503, 503, 1), (vec!["pbx", "backup"], 403, 403, 1), (vec!["pbx", "backup"], 503, 0, 0)]
    {
        let mut bench = bench(connect.into_iter().map(to_trunk).collect());
        bench.invite(CARRIER, "+14155550100", &offer());
        bench.expect(CARRIER, "SIP/2.0 100");
        let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
        bench.receive(PBX, callee.answer(code, ""));
        bench.expect(PBX, "ACK");
        if seen == 0 {
            bench.expect(BACKUP, "INVITE");
        } else {
            bench.expect(CARRIER, &format!("SIP/2.0 {seen}"));
        }
        let found = of_pbx(&bench).unwrap();
        assert_eq!((found.calls, found.in_row, found.lost), (1, 1, lost), "{code}");
    }
}

#[test]
fn a_trunk_whose_other_address_answers_rejects_nothing_and_one_of_its_calls_counts_once() {
    let trunks = vec![trunk("carrier", &[CARRIER]), trunk("pbx", &[PBX, BACKUP])];
    let mut bench = Bench::with(table(trunks, vec![route(vec![to_trunk("pbx")])]));
    for last in [486, 503] {
        bench.invite(CARRIER, "+14155550100", &offer());
        bench.expect(CARRIER, "SIP/2.0 100");
        for (at, code) in [(PBX, 500), (BACKUP, last)] {
            let callee = Dialed::new(at, bench.expect(at, "INVITE"));
            bench.receive(at, callee.answer(code, ""));
            bench.expect(at, "ACK");
        }
        bench.pass(Duration::from_secs(40));
        bench.sent.clear();
        let found = of_pbx(&bench).map(|found| (found.calls, found.of));
        assert_eq!(found, (last == 503).then_some((1, 2)));
    }
}

/// The verdict quotes the response that the caller got.
#[test]
fn of_two_that_ring_at_once_the_one_whose_answer_counts_is_quoted() {
    let both = TargetSpec::RingAll(vec![to_trunk("pbx"), to_trunk("backup")]);
    let mut bench = bench(vec![both]);
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let called = [PBX, BACKUP].map(|at| (at, Dialed::new(at, bench.expect(at, "INVITE"))));
    for ((at, callee), code) in called.iter().zip([403, 486]) {
        bench.receive(at, callee.answer(code, ""));
        bench.expect(at, "ACK");
    }
    let verdict = verdict(&bench);
    assert!(!verdict.contains("on_busy") || verdict.starts_with("Not answered (486)"), "{verdict}");
}
