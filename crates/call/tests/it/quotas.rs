//! Limits of a trunk by called and calling number and per day, high-risk numbers, alarms; and counts that survive a
//! reload.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use crate::bench::*;
use jiff::tz::TimeZone;
use trunkgate_call::trace::TraceItem;
use trunkgate_call::{DayCount, GatewayInput};
use trunkgate_route::{Destination, Pattern, Quota, RoutingTable, TargetSpec, Transport, Trunk};

fn quota(to: &[&str], caller: &[&str], limits: [u32; 3]) -> Quota {
    let patterns = |texts: &[&str]| texts.iter().map(|text| Pattern::parse(text).unwrap()).collect();
    let [max_calls, calls_per_second, calls_per_day] = limits;
    let zone = TimeZone::get("Asia/Kathmandu").unwrap();
    Quota { to: patterns(to), caller: patterns(caller), max_calls, calls_per_second, calls_per_day, zone }
}

fn tables(from: Vec<Quota>, to: Vec<Quota>) -> Arc<RoutingTable> {
    let carrier = Trunk { quotas: from, ..trunk("carrier", &[CARRIER]) };
    let pbx = Trunk { quotas: to, pace: Duration::ZERO, ..trunk("pbx", &[PBX]) };
    table(vec![carrier, pbx], vec![route(vec![to_trunk("pbx")])])
}

/// Returns the result of another call: `None` if it was sent on, or the code.
fn call(bench: &mut Bench, number: u32, called: &str) -> Option<u16> {
    bench.sent.clear();
    let caller = Dialing { peer: CARRIER.into(), number: called.into(), call: number, cseq: 1, to_tag: String::new() };
    bench.receive(CARRIER, caller.request("INVITE", &offer(), ""));
    match bench.sent.iter().any(|sent| sent.to == PBX.parse().unwrap()) {
        true => None,
        false => bench.sent.iter().map(Sent::code).find(|code| *code >= 300),
    }
}

fn reached(bench: &Bench, trunk: &str, reason: &'static str) -> u64 {
    bench.gateway.metrics().limits_reached.get(&(Arc::from(trunk), reason)).copied().unwrap_or_default()
}

const UK: &str = "+442079460018";
const US: &str = "+14155550100";

#[test]
fn calls_count_with_the_limits_that_are_for_them() {
    // The bench's caller is +14155551234.
    for (quotas, calls) in [
        (vec![quota(&["+44*"], &[], [2, 0, 0])], vec![(UK, None), (US, None), (UK, None), (UK, Some(503)), (US, None)]),
        (vec![quota(&[], &["+1415*"], [1, 0, 0])], vec![(UK, None), (US, Some(503))]),
        (vec![quota(&[], &["+1212*"], [1, 0, 0])], vec![(UK, None), (US, None)]),
        (vec![quota(&["+44*"], &["+1212*"], [1, 0, 0])], vec![(UK, None), (UK, None)]),
        (vec![quota(&["+44*"], &[], [0, 1, 0])], vec![(UK, None), (UK, Some(503)), (US, None)]),
        (vec![quota(&[], &[], [0, 0, 2])], vec![(UK, None), (US, None), (US, Some(503)), ("911", None)]),
        // The same number in other forms.
        (
            vec![quota(&["+44*"], &[], [0, 0, 1])],
            vec![
                (UK, None),
                ("44207946001899", Some(503)),
                ("0044207946001899", Some(503)),
                ("442079460018%23", Some(503)),
                ("442079460018,1", Some(503)),
                ("*67442079460018", Some(503)),
                (US, None),
            ],
        ),
        // A call refused by one limit counts towards no other.
        (
            vec![quota(&["+44*"], &[], [1, 0, 0]), quota(&[], &[], [0, 0, 2])],
            vec![(UK, None), (UK, Some(503)), (UK, Some(503)), (US, None), (US, Some(503))],
        ),
    ] {
        for (from, to) in [(quotas.clone(), vec![]), (vec![], quotas.clone())] {
            let mut bench = Bench::with(tables(from, to));
            for (number, (called, expected)) in (1..).zip(&calls) {
                assert_eq!(call(&mut bench, number, called), *expected, "{number}: {called} of {quotas:?}");
            }
        }
    }
}

#[test]
fn a_call_that_is_over_leaves_its_place() {
    for (from, to) in [(vec![quota(&[], &[], [1, 0, 0])], vec![]), (vec![], vec![quota(&[], &[], [1, 0, 0])])] {
        let mut bench = Bench::with(tables(from, to));
        for _ in 0..3 {
            let (mut caller, callee) = bench.answered();
            assert_eq!(call(&mut bench, 77, US), Some(503));
            bench.bye(&mut caller, &callee);
            bench.pass(Duration::from_secs(40));
            bench.sent.clear();
        }
        // A failed attempt frees its slot, too.
        bench.sent.clear();
        bench.invite(CARRIER, US, &offer());
        bench.expect(CARRIER, "SIP/2.0 100");
        let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
        bench.receive(PBX, callee.answer(404, ""));
        assert_eq!(call(&mut bench, 78, US), None);
    }
}

#[test]
fn a_day_ends_at_midnight_of_its_zone() {
    let mut bench = Bench::with(tables(vec![], vec![quota(&[], &[], [0, 0, 1])]));
    assert_eq!(call(&mut bench, 1, US), None);
    assert_eq!(call(&mut bench, 2, US), Some(503));
    // The bench begins at 08:00 UTC, when it is 13:45 in Kathmandu.
    bench.pass(Duration::from_secs(10 * 3600 + 14 * 60));
    assert_eq!(call(&mut bench, 3, US), Some(503));
    bench.pass(Duration::from_secs(120));
    assert_eq!(call(&mut bench, 4, US), None);
    assert_eq!(call(&mut bench, 5, US), Some(503));
    assert_eq!(reached(&bench, "pbx", "limit_day"), 3);
}

#[test]
fn days_follow_a_clock_that_is_set_and_what_was_counted_stays() {
    let mut bench = Bench::with(tables(vec![], vec![quota(&[], &[], [0, 0, 1])]));
    let at = |days: u64| GatewayInput::Clock(UNIX_EPOCH + Duration::from_secs(1_800_000_000 + days * 86_400));
    assert_eq!([1, 2].map(|number| call(&mut bench, number, US)), [None, Some(503)]);
    bench.input(at(12));
    assert_eq!([3, 4].map(|number| call(&mut bench, number, US)), [None, Some(503)]);
    bench.input(at(0));
    assert_eq!(call(&mut bench, 5, US), Some(503), "it is the first day again");
    bench.input(at(1));
    assert_eq!([6, 7].map(|number| call(&mut bench, number, US)), [None, Some(503)]);
    // Counts read at a start with a wrong clock apply once the clock is right.
    let count = bench.counts[0].clone();
    let mut bench = Bench::with(tables(vec![], vec![quota(&[], &[], [0, 0, 1])]));
    bench.input(at(400));
    bench.input(GatewayInput::DayCounts(vec![count]));
    bench.input(at(0));
    assert_eq!(call(&mut bench, 1, US), Some(503));
}

/// Returns the trace lines of all calls that contain a word.
fn told(bench: &Bench, word: &str) -> Vec<String> {
    let calls = bench.gateway.calls(bench.now);
    let entries = calls.iter().flat_map(|call| bench.gateway.trace(&call.sid).unwrap().entries);
    let texts = entries.filter_map(|entry| match entry.what {
        TraceItem::Decision { text } => Some(text),
        _ => None,
    });
    texts.filter(|text| text.contains(word)).collect()
}

#[test]
fn the_trace_tells_once_which_limit_refused_a_target() {
    let mut bench = Bench::with(tables(vec![], vec![quota(&["+1415*"], &[], [0, 0, 1])]));
    assert_eq!([1, 2].map(|number| call(&mut bench, number, US)), [None, Some(503)]);
    assert_eq!(told(&bench, "pbx: too many"), ["pbx: too many calls today (`calls_per_day = 1` (to +1415*))"]);
    for pace in [Duration::ZERO, Duration::from_secs(1)] {
        let pbx = Trunk { max_calls: 1, pace, ..trunk("pbx", &[PBX]) };
        let mut bench = Bench::with(table(vec![trunk("carrier", &[CARRIER]), pbx], vec![route(vec![to_trunk("pbx")])]));
        call(&mut bench, 1, US);
        call(&mut bench, 2, US);
        bench.pass(pace);
        let mut expected = vec!["pbx: too many concurrent calls (calls to it)"];
        if !pace.is_zero() {
            expected.insert(0, "pbx: too many concurrent calls, the call waits");
        }
        assert_eq!(told(&bench, "pbx: too many"), expected);
    }
    let pbx = Trunk { deny: vec![Pattern::parse("+44*").unwrap()], ..trunk("pbx", &[PBX]) };
    let mut bench = Bench::with(table(vec![trunk("carrier", &[CARRIER]), pbx], vec![route(vec![to_trunk("pbx")])]));
    assert_eq!(call(&mut bench, 1, UK), Some(403));
    let pbx: Vec<String> = told(&bench, "pbx").into_iter().filter(|text| *text != "target pbx").collect();
    assert_eq!(pbx, ["403: trunk pbx does not allow calls to +442079460018 (deny +44*)"]);
}

#[test]
fn a_reload_keeps_what_has_been_counted() {
    let mut bench = Bench::with(tables(vec![], vec![quota(&["+44*"], &[], [0, 0, 2])]));
    assert_eq!([1, 2, 3].map(|number| call(&mut bench, number, UK)), [None, None, Some(503)]);
    let other = quota(&["+1*"], &[], [0, 0, 1]);
    bench.configure(|settings| settings.table = tables(vec![], vec![other.clone(), quota(&["+44*"], &[], [0, 0, 3])]));
    assert_eq!([4, 5].map(|number| call(&mut bench, number, UK)), [None, Some(503)], "one more is allowed now");
    assert_eq!([6, 7].map(|number| call(&mut bench, number, US)), [None, Some(503)]);
    // Counts without a limit are dropped.
    bench.configure(|settings| settings.table = tables(vec![], vec![other.clone()]));
    assert_eq!(call(&mut bench, 8, UK), None);
    bench.configure(|settings| settings.table = tables(vec![], vec![other, quota(&["+44*"], &[], [0, 0, 1])]));
    assert_eq!([9, 10].map(|number| call(&mut bench, number, UK)), [None, Some(503)]);
}

#[test]
fn numbers_of_high_risk_are_refused_and_told_once_a_minute() {
    let table =
        |pbx: Trunk, target: TargetSpec| table(vec![trunk("carrier", &[CARRIER]), pbx], vec![route(vec![target])]);
    let pbx = || trunk("pbx", &[PBX]);
    let to = |number: &str| TargetSpec::Trunk { name: "pbx".into(), number: Some(number.into()), weight: None };
    for (trunk, target, called, expected) in [
        (pbx(), to_trunk("pbx"), "+881651234567", Some(403)),
        (pbx(), to_trunk("pbx"), "011881651234567", Some(403)),
        (pbx(), to_trunk("pbx"), "+19005550123", Some(403)),
        (pbx(), to("+19005550123"), US, Some(403)),
        (pbx(), to(US), "+19005550123", None),
        (Trunk { takes_high_risk: true, ..pbx() }, to_trunk("pbx"), "+19005550123", None),
        (Trunk { allow_prefixes: vec!["+44".into()], ..pbx() }, to_trunk("pbx"), US, Some(403)),
        (Trunk { allow_prefixes: vec!["+44".into()], ..pbx() }, to_trunk("pbx"), UK, None),
        (Trunk { allow_prefixes: vec!["+44".into()], ..pbx() }, to_trunk("pbx"), "911", None),
    ] {
        let mut bench = Bench::with(table(trunk, target));
        assert_eq!(call(&mut bench, 1, called), expected, "{called}");
    }
    let mut bench = Bench::with(table(pbx(), to_trunk("pbx")));
    for number in 1..=5 {
        assert_eq!(call(&mut bench, number, "+19005550123"), Some(403));
    }
    let alarms = |bench: &Bench| bench.logs.iter().filter(|line| line.starts_with("alarm: ")).count();
    assert_eq!((reached(&bench, "pbx", "high_risk"), alarms(&bench)), (5, 1));
    bench.pass(Duration::from_secs(61));
    call(&mut bench, 6, "+19005550123");
    assert_eq!((reached(&bench, "pbx", "high_risk"), alarms(&bench)), (6, 2));
    let text = bench.logs.iter().find(|line| line.starts_with("alarm: ")).unwrap();
    assert_eq!(
        text,
        "alarm: trunk pbx: the number is in a range known for toll fraud (+1900****123, high_risk: premium rate)"
    );
}

#[test]
fn a_uri_that_leads_to_a_trunk_counts_with_all_its_limits() {
    let destination =
        Destination { host: "10.0.0.20".into(), port: Some(5060), transport: Transport::Udp, is_fixed: true };
    let uri = TargetSpec::Uri { uri: format!("sip:+442079460018@{PBX}"), destination, in_call: false };
    let tables = |limit: fn(&mut Trunk)| {
        let mut pbx = Trunk { pace: Duration::ZERO, ..trunk("pbx", &[PBX]) };
        limit(&mut pbx);
        table(vec![trunk("carrier", &[CARRIER]), pbx], vec![route(vec![uri.clone()])])
    };
    let limits: [fn(&mut Trunk); 5] = [
        |trunk| trunk.max_calls = 1,
        |trunk| trunk.calls_per_second = 1,
        |trunk| trunk.calls_per_second_out = 1,
        |trunk| trunk.peer_calls_per_second = 1,
        |trunk| trunk.quotas = vec![quota(&["+44*"], &[], [0, 0, 1])],
    ];
    for limit in limits {
        let mut bench = Bench::with(tables(limit));
        assert_eq!(call(&mut bench, 1, US), None);
        assert_eq!(call(&mut bench, 2, US), Some(503));
    }
    // For the duration of the call, over a restart too, and no longer.
    let mut bench = Bench::with(tables(limits[0]));
    let (mut caller, callee) = bench.answered();
    assert_eq!(call(&mut bench, 3, US), Some(503));
    bench.pass(Duration::from_secs(40));
    bench.restart(tables(limits[0]));
    assert_eq!(call(&mut bench, 4, US), Some(503));
    bench.sent.clear();
    bench.bye(&mut caller, &callee);
    let calls =
        |bench: &Bench| bench.gateway.status(bench.now).trunks.iter().map(|trunk| trunk.calls).collect::<Vec<_>>();
    assert_eq!(calls(&bench), [0, 0]);
    assert_eq!(call(&mut bench, 5, US), None);
    assert_eq!(calls(&bench), [1, 1]);
}

/// Creates an edge with these limits, and restores the counts of another run.
fn begun(quotas: Vec<Quota>, kept: &[DayCount], later: Duration) -> Bench {
    let mut bench = Bench::with(tables(vec![], quotas));
    bench.pass(later);
    bench.input(GatewayInput::DayCounts(kept.to_vec()));
    bench
}

#[test]
fn a_day_goes_on_after_a_restart() {
    let uk = |limits| quota(&["+44*"], &[], limits);
    let all = |limits| quota(&[], &[], limits);
    let mut bench = Bench::with(tables(vec![], vec![uk([0, 0, 3]), all([0, 0, 9]), all([5, 0, 0])]));
    assert_eq!([(1, UK), (2, US), (3, UK)].map(|(number, called)| call(&mut bench, number, called)), [None; 3]);
    let told = |count: &DayCount| (count.trunk.to_string(), count.limit.clone(), count.day.to_string(), count.count);
    let line = |limit: &str, count| ("pbx".to_owned(), limit.to_owned(), "2027-01-15".to_owned(), count);
    let counts: Vec<_> = bench.counts.iter().map(told).collect();
    let expected =
        [line("to +44*", 1), line("all calls", 1), line("all calls", 2), line("to +44*", 2), line("all calls", 3)];
    assert_eq!(counts, expected, "nothing of the one without a limit by the day");
    let kept = bench.counts;

    let none = Duration::ZERO;
    let mut bench = begun(vec![uk([0, 0, 3]), all([0, 0, 9])], &kept, none);
    assert_eq!([1, 2].map(|number| call(&mut bench, number, UK)), [None, Some(503)]);
    assert_eq!(bench.counts.first().map(|count| count.count), Some(3), "it goes on from there");
    let mut bench = begun(vec![uk([0, 0, 2])], &kept, none);
    assert_eq!(call(&mut bench, 1, UK), Some(503), "another number, the same calls");
    bench.input(GatewayInput::DayCounts(kept.iter().take(1).cloned().collect()));
    assert_eq!(call(&mut bench, 2, UK), Some(503), "a late report takes nothing back");
    for other in [quota(&["+4420*"], &[], [0, 0, 1]), quota(&["+44*"], &["+1*"], [0, 0, 1])] {
        assert_eq!(call(&mut begun(vec![other], &kept, none), 1, UK), None, "other calls");
    }
    // 13:45 in Kathmandu, and ten and a half hours later.
    let mut bench = begun(vec![uk([0, 0, 2])], &kept, Duration::from_secs(10 * 3600 + 1800));
    assert_eq!([1, 2, 3].map(|number| call(&mut bench, number, UK)), [None, None, Some(503)], "another day");
}

#[test]
fn of_two_limits_for_the_same_calls_the_one_that_has_counted_for_longer_is_told() {
    let all = || quota(&[], &[], [0, 0, 9]);
    let mut bench = Bench::with(tables(vec![], vec![all()]));
    assert_eq!(call(&mut bench, 1, US), None);
    bench.configure(|settings| settings.table = tables(vec![], vec![all(), all()]));
    assert_eq!(call(&mut bench, 2, US), None);
    assert_eq!(bench.counts.iter().map(|count| count.count).collect::<Vec<_>>(), [1, 2]);
}
