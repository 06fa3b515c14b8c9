//! A trunk that has more calls than it accepts: one of its addresses speaks for all, and other targets come first for a time.

#![allow(clippy::unwrap_used, clippy::panic)] // only tests stand here

use std::time::Duration;

use crate::bench::*;
use trunkgate_route::{TargetSpec, Trunk};

/// A provider with two addresses, and a backup.
fn bench(connect: Vec<TargetSpec>) -> Bench {
    let provider = Trunk { congested_on: vec![429, 503], ..trunk("provider", &[PBX, PBX2]) };
    let trunks = vec![trunk("carrier", &[CARRIER]), provider, trunk("backup", &[BACKUP])];
    Bench::with(table(trunks, vec![route(connect)]))
}

fn dials(bench: &mut Bench, number: &str) -> Dialing {
    let caller = bench.invite(CARRIER, number, &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    caller
}

/// The caller is refused.
fn over(bench: &mut Bench, mut caller: Dialing, code: u16) {
    let refused = bench.expect(CARRIER, &format!("SIP/2.0 {code}"));
    caller.to_tag = refused.tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", "").replace("-ACK-", "-INVITE-"));
    bench.nothing();
}

/// The provider gets the call, and refuses it.
fn refused(bench: &mut Bench, code: u16, extra: &str) {
    let provider = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, provider.answer_with(code, extra));
    bench.expect(PBX, "ACK");
}

/// The backup gets it, and refuses it for good.
fn ends_at_the_backup(bench: &mut Bench, caller: Dialing) {
    let backup = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE"));
    bench.receive(BACKUP, backup.answer(404, ""));
    bench.expect(BACKUP, "ACK");
    over(bench, caller, 404);
}

#[test]
fn one_address_speaks_for_all_of_them_and_other_targets_come_first_for_a_time() {
    for (code, extra, seconds) in [(503, "", 1), (429, "", 1), (503, "Retry-After: 7\r\n", 7)] {
        let mut bench = bench(vec![to_trunk("provider"), to_trunk("backup")]);
        let caller = dials(&mut bench, "+14155550101");
        refused(&mut bench, code, extra);
        ends_at_the_backup(&mut bench, caller);
        let caller = dials(&mut bench, "+14155550102");
        assert!(
            bench.story().contains("provider: the trunk accepts no more calls for now: skipped"),
            "{}",
            bench.story()
        );
        ends_at_the_backup(&mut bench, caller);
        bench.pass(Duration::from_millis(seconds * 1000 - 1));
        let caller = dials(&mut bench, "+14155550103");
        ends_at_the_backup(&mut bench, caller);
        bench.pass(Duration::from_millis(1));
        let caller = dials(&mut bench, "+14155550104");
        refused(&mut bench, 404, "");
        over(&mut bench, caller, 404);
        bench.finish();
    }
}

#[test]
fn the_last_target_is_tried_at_one_address_whatever_it_said_before() {
    for connect in [vec![to_trunk("provider")], vec![to_trunk("provider"), TargetSpec::Reject(486)]] {
        let mut bench = bench(connect.clone());
        for number in ["+14155550101", "+14155550102"] {
            let caller = dials(&mut bench, number);
            refused(&mut bench, 503, "");
            over(&mut bench, caller, if connect.len() == 1 { 500 } else { 486 });
        }
        bench.finish();
    }
}

#[test]
fn an_emergency_call_skips_nothing() {
    let mut bench = bench(vec![to_trunk("provider"), to_trunk("backup")]);
    let caller = dials(&mut bench, "+14155550101");
    refused(&mut bench, 503, "");
    ends_at_the_backup(&mut bench, caller);
    dials(&mut bench, "911");
    bench.expect(PBX, "INVITE");
}
