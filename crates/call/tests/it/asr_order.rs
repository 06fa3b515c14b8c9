//! `order = "asr"`: targets are tried by their recent answer rates and recover; the basis of the figures.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::time::Duration;

use crate::bench::*;
use proptest::prelude::*;
use trunkgate_call::trace::{TraceEntry, TraceItem};
use trunkgate_route::{PerformanceFigures, Route, Trunk, TrunkOrder};

fn trunks() -> Vec<Trunk> {
    let quiet = |trunk: Trunk| Trunk { options_interval: Duration::ZERO, ..trunk };
    usual_trunks().into_iter().map(quiet).collect()
}

fn by_ratio() -> Bench {
    let route = Route { order: TrunkOrder::AnswerRatio, ..route(vec![to_trunk("pbx"), to_trunk("backup")]) };
    Bench::with(table(trunks(), vec![route]))
}

fn figures(bench: &Bench, trunk: &str) -> PerformanceFigures {
    bench.gateway.status(bench.now).trunks.into_iter().find(|view| view.name == trunk).unwrap().lately
}

/// Makes a call that each trunk answers with its code; returns the trunks called, in order.
fn call(bench: &mut Bench, number: &str, codes: [(&'static str, u16); 2]) -> Vec<&'static str> {
    bench.sent.clear();
    let mut caller = bench.invite(CARRIER, number, &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let mut asked = Vec::new();
    loop {
        let next = |(peer, _): &&(&str, u16)| {
            let address = peer.parse().unwrap();
            bench.sent.iter().any(|sent| sent.to == address && sent.first_line().starts_with("INVITE"))
        };
        let Some((peer, code)) = codes.iter().find(next) else { break };
        asked.push(*peer);
        let callee = Dialed::new(peer, bench.expect(peer, "INVITE"));
        let body = if *code == 200 { answer() } else { String::new() };
        bench.receive(peer, callee.answer(*code, &body));
        bench.expect(peer, "ACK");
        if *code == 200 {
            caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
            bench.receive(CARRIER, caller.request("ACK", "", ""));
            bench.bye(&mut caller, &callee);
            return asked;
        }
    }
    let refused = bench.next(CARRIER);
    assert!(refused.code() >= 400, "{}", refused.text);
    caller.to_tag = refused.tag("To");
    // ACK of the INVITE's own transaction (RFC 3261 §17.1.1.3).
    bench.receive(CARRIER, caller.request("ACK", "", "").replace("z9hG4bK-ACK", "z9hG4bK-INVITE"));
    asked
}

const NUMBER: &str = "+14155550100";

/// Returns the order of a call from its trace.
fn told(bench: &Bench) -> Option<String> {
    let sid = bench.reports.last().unwrap().call.sid.clone();
    let decided = |entry: &TraceEntry| match &entry.what {
        TraceItem::Decision { text } if text.starts_with("order asr: ") => Some(text.clone()),
        _ => None,
    };
    bench.gateway.trace(&sid)?.entries.iter().find_map(decided)
}

#[test]
fn a_trunk_that_fails_is_tried_last_and_comes_back_first() {
    let mut bench = by_ratio();
    let down = [(PBX, 503), (BACKUP, 200)];
    assert_eq!(call(&mut bench, NUMBER, down), [PBX, BACKUP]);
    assert_eq!(told(&bench).as_deref(), Some("order asr: pbx (no recent calls), backup (no recent calls)"));
    assert_eq!(call(&mut bench, NUMBER, down), [PBX, BACKUP]);
    assert_eq!(figures(&bench, "pbx").grade, 8);
    // The trunk is second now, except for about one call in twenty, and never two of them within ten seconds.
    let mut probes = 0;
    for _ in 0..150 {
        let order = call(&mut bench, NUMBER, down);
        probes += u32::from(order[0] == PBX);
        assert!(order == [BACKUP] || order == [PBX, BACKUP], "{order:?}");
        bench.pass(Duration::from_secs(3));
    }
    assert!((2..40).contains(&probes), "{probes}");
    let telling = told(&bench).unwrap();
    assert!(
        telling.starts_with("order asr: backup (answered 100 % of 30, grade 9), pbx (answered 0 % of "),
        "{telling}"
    );
    // The trunk works again: those calls show it, and it regains its place.
    let well = [(PBX, 200), (BACKUP, 200)];
    let back = (0..2_000).position(|_| {
        bench.pass(Duration::from_secs(3));
        call(&mut bench, NUMBER, well);
        figures(&bench, "pbx").grade == 9
    });
    assert!(back.is_some(), "{:?}", figures(&bench, "pbx"));
    assert_eq!(call(&mut bench, NUMBER, well), [PBX]);
    bench.finish();
}

#[test]
fn what_the_called_party_does_is_not_the_trunk_s() {
    let mut bench = Bench::with(table(trunks(), vec![route(vec![to_trunk("pbx"), to_trunk("backup")])]));
    for code in [404, 410, 480, 484, 486, 487, 600, 603, 604, 607] {
        call(&mut bench, NUMBER, [(PBX, code), (BACKUP, 486)]);
    }
    assert_eq!((figures(&bench, "pbx").calls, figures(&bench, "pbx").ratio), (0.0, None));
    for code in [403, 408, 429, 500, 502, 503, 504] {
        call(&mut bench, &format!("+1415555{code:04}"), [(PBX, code), (BACKUP, 486)]);
    }
    let pbx = figures(&bench, "pbx");
    assert_eq!((pbx.calls, pbx.ratio), (7.0, Some(0.0)));
}

#[test]
fn who_redials_a_number_that_does_not_work_turns_no_calls_away() {
    let mut bench = Bench::with(table(trunks(), vec![route(vec![to_trunk("pbx"), to_trunk("backup")])]));
    let failed = |bench: &mut Bench, number: &str, times: usize| {
        for _ in 0..times {
            call(bench, number, [(PBX, 503), (BACKUP, 486)]);
        }
        figures(bench, "pbx").calls
    };
    assert_eq!(failed(&mut bench, NUMBER, 20), 2.0);
    assert_eq!(failed(&mut bench, "+14155550199", 1), 3.0);
    bench.pass(Duration::from_secs(61));
    assert!(failed(&mut bench, NUMBER, 20) > 4.0);
}

#[test]
fn a_call_that_is_given_up_counts_where_nothing_ever_rang() {
    let mut bench = by_ratio();
    for (rings, seconds, calls) in [(true, 40, 0.0), (false, 5, 0.0), (false, 15, 1.0)] {
        let caller = bench.invite(CARRIER, NUMBER, &offer());
        bench.expect(CARRIER, "SIP/2.0 100");
        let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
        bench.receive(PBX, callee.answer(if rings { 180 } else { 100 }, ""));
        bench.pass(Duration::from_secs(seconds));
        bench.receive(CARRIER, caller.request("CANCEL", "", ""));
        let cancel = bench.expect(PBX, "CANCEL");
        bench.receive(PBX, callee.respond(&cancel, 200, ""));
        bench.receive(PBX, callee.answer(487, ""));
        bench.receive(CARRIER, caller.request("ACK", "", ""));
        bench.sent.clear();
        assert_eq!(figures(&bench, "pbx").calls.round(), calls, "{rings} {seconds}");
    }
}

#[test]
fn emergency_calls_find_out_nothing() {
    let mut bench = by_ratio();
    for _ in 0..5 {
        call(&mut bench, NUMBER, [(PBX, 503), (BACKUP, 200)]);
    }
    for _ in 0..60 {
        assert_eq!(call(&mut bench, "911", [(PBX, 200), (BACKUP, 200)]), [BACKUP]);
        bench.pass(Duration::from_secs(1));
    }
}

#[test]
fn a_reload_keeps_what_is_known_and_the_order_as_written_needs_none_of_it() {
    let mut bench = by_ratio();
    for _ in 0..5 {
        call(&mut bench, NUMBER, [(PBX, 503), (BACKUP, 200)]);
    }
    let before = figures(&bench, "pbx");
    let listed = table(trunks(), vec![route(vec![to_trunk("pbx"), to_trunk("backup")])]);
    bench.configure(|settings| settings.table = listed);
    assert_eq!(figures(&bench, "pbx"), before);
    assert_eq!(call(&mut bench, NUMBER, [(PBX, 503), (BACKUP, 200)]), [PBX, BACKUP]);
    assert_eq!(told(&bench), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]
    /// For any behaviour of the trunks, each call is answered by a working one, every trunk is called at most once, and
    /// a trunk that has failed all its recent calls is never before one that has answered all of its own.
    #[test]
    fn no_call_is_lost_for_the_order(seeds in proptest::collection::vec((0_u8..4, 0_u64..120), 1..40)) {
        let mut bench = by_ratio();
        for (kind, seconds) in seeds {
            let (pbx, backup) = [(200, 200), (503, 200), (200, 503), (503, 503)][usize::from(kind)];
            let (one, two) = (figures(&bench, "pbx"), figures(&bench, "backup"));
            let order = call(&mut bench, NUMBER, [(PBX, pbx), (BACKUP, backup)]);
            prop_assert!(order.len() <= 2 && (order.len() < 2 || order[0] != order[1]), "{order:?}");
            let text = told(&bench).unwrap();
            let probes = text.contains("tried first");
            let first = if one.grade >= two.grade { PBX } else { BACKUP };
            prop_assert_eq!(order[0] == first, !probes, "{} {:?} {:?}", text, one, two);
            bench.pass(Duration::from_secs(seconds));
        }
    }
}
