//! Emergency calls: exempt from every limit; numbers that only resemble one are not.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::time::Duration;

use crate::bench::*;
use trunkgate_call::intake::IntakeStep;
use trunkgate_call::{OperatorCommand, SipIntake};
use trunkgate_route::{CallerIdRule, Pattern, Route, TargetSpec, Trunk};

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap()
}

fn tight(name: &str, address: &str) -> Trunk {
    let limits = Trunk { max_calls: 1, calls_per_second: 1, peer_calls_per_second: 1, ..trunk(name, &[address]) };
    Trunk { pace: Duration::ZERO, ..limits }
}

fn limited(to: Trunk, connect: TargetSpec) -> Bench {
    let routes = vec![Route::named("main", vec![connect])];
    Bench::configured(table(vec![tight("carrier", CARRIER), to], routes), |config| {
        config.max_calls = 1;
        config.calls_per_second = 1;
    })
}

/// Returns the result of another call to this user part: the INVITE that is sent on, or the code.
fn call(bench: &mut Bench, call: u32, user: &str) -> Result<Sent, u16> {
    bench.sent.clear();
    let caller = Dialing { peer: CARRIER.into(), number: user.into(), call, cseq: 1, to_tag: String::new() };
    bench.receive(CARRIER, caller.request("INVITE", &offer(), ""));
    let to_pbx = bench.sent.iter().find(|sent| sent.to == PBX.parse().unwrap()).cloned();
    let refused = bench.sent.iter().map(Sent::code).find(|code| *code >= 300);
    to_pbx.ok_or_else(|| refused.unwrap_or_default())
}

#[test]
fn no_limit_refuses_one() {
    let deny = vec![pattern("*")];
    let caller_id = Some(CallerIdRule { allow: vec![pattern("+1900*")], default: None });
    let mut bench = limited(Trunk { deny, caller_id, ..tight("pbx", PBX) }, to_trunk("pbx"));
    assert_eq!(call(&mut bench, 1, "+14155550100").unwrap_err(), 403, "deny is in force");
    for (number, user) in (2..).zip(["911", "112", "%39%31%31", "911;phone-context=+1", "911;9005550123", "911"]) {
        let invite = call(&mut bench, number, user).unwrap();
        let uri = invite.first_line().split(' ').nth(1).unwrap().to_owned();
        // Text after `;` is a parameter, and is not sent on.
        assert!(uri.starts_with("sip:911@") || uri.starts_with("sip:112@"), "{uri}");
    }
}

#[test]
fn what_only_looks_like_one_is_limited() {
    let mut bench = limited(tight("pbx", PBX), to_trunk("pbx"));
    assert!(call(&mut bench, 1, "911").is_ok(), "it takes the one place that there is");
    let forms = ["9911", "+1911", "+19115550123", "911%3b9005550123", "911%23", "911,1", "9-1-1", "999"];
    for (number, user) in (2..).zip(forms) {
        assert_eq!(call(&mut bench, number, user).unwrap_err(), 503, "{user}");
    }
    assert!(call(&mut bench, 99, "911").is_ok());
}

#[test]
fn what_goes_out_decides_on_the_trunk_that_it_goes_to() {
    let to = |number: &str| TargetSpec::Trunk { name: "pbx".into(), number: Some(number.into()), weight: None };
    let far = || Trunk { deny: vec![pattern("+1900*"), pattern("112")], ..tight("pbx", PBX) };
    for (connect, dialled, expected) in [
        (to("+19005550123"), "911", Some(403)),
        (to("911"), "112", None),
        // A prefix for an outside line does not exempt a call from the limits of its incoming trunk.
        (to("911"), "9911", None),
    ] {
        let mut bench = limited(far(), connect);
        assert_eq!(call(&mut bench, 1, dialled).err(), expected, "{dialled}");
    }
}

#[test]
fn who_ends_its_work_refuses_it() {
    let mut bench = limited(tight("pbx", PBX), to_trunk("pbx"));
    bench.control(OperatorCommand::Drain { on: true });
    assert_eq!(call(&mut bench, 1, "911").unwrap_err(), 503);
}

#[test]
fn it_goes_before_other_new_calls_so_many_a_second() {
    let mut bench = limited(tight("pbx", PBX), to_trunk("pbx"));
    let mut urgent = |user: &str, from: &str, tag: &str| {
        let caller = Dialing { peer: from.into(), number: user.into(), call: 1, cseq: 1, to_tag: tag.into() };
        let message = bench.gateway.sort(bench.now, udp(from), caller.request("INVITE", &offer(), "").into());
        message.is_some_and(|message| bench.gateway.is_urgent(bench.now, &udp(from), &message))
    };
    assert!(!urgent("+14155550100", CARRIER, "") && !urgent("911%3b1", CARRIER, "") && !urgent("911", CARRIER, "x"));
    assert!(!urgent("911", "192.0.2.66:5060", ""), "of a stranger nothing is");
    let first = (0..50).filter(|_| urgent("911", CARRIER, "")).count();
    assert_eq!(first, usize::try_from(trunkgate_call::limits::URGENT_CALLS_PER_SECOND).unwrap());
}

#[test]
fn while_others_are_turned_away_it_is_served() {
    let mut bench = limited(tight("pbx", PBX), to_trunk("pbx"));
    let mut intake: SipIntake<()> = SipIntake::default();
    let mut message = |call: u32, user: &str| {
        let caller = Dialing { peer: CARRIER.into(), number: user.into(), call, cseq: 1, to_tag: String::new() };
        bench.gateway.sort(bench.now, udp(CARRIER), caller.request("INVITE", &offer(), "").into()).unwrap()
    };
    let others: Vec<_> = (1..200).map(|call| message(call, "+14155550100")).collect();
    let help = message(911, "911");
    let now = bench.now;
    for other in others {
        intake.offer(now, now, trunkgate_sip::SipPartyId(1), udp(CARRIER), other).unwrap();
    }
    let late = now + Duration::from_millis(400);
    intake.offer_first(late, late, udp(CARRIER), help).unwrap();
    let Some(IntakeStep::Message(_, first)) = intake.next(late) else { panic!("nothing is served") };
    assert_eq!(first.uri().unwrap().user, "911");
    assert!(matches!(intake.next(late), Some(IntakeStep::TurnAway(..))), "the others have waited for too long");
}
