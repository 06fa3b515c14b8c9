//! An INVITE that was given up is still matched until Timer B, even if a reload has removed its trunk.

use std::time::Duration;

use crate::bench::*;

#[test]
fn a_late_200_of_a_removed_trunk_is_acknowledged_and_ended() {
    let mut bench = Bench::new();
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(CARRIER, caller.request("CANCEL", "", ""));
    bench.configure(|settings| settings.table = table(vec![trunk("carrier", &[CARRIER])], vec![]));
    bench.pass(Duration::from_secs(3));
    bench.sent.clear();
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, callee.respond(&bye, 200, ""));
    bench.finish();
}

#[test]
fn a_reload_puts_all_settings_in_force_at_once() {
    let mut bench = Bench::new();
    let moved = table(vec![trunk("carrier", &[CARRIER])], vec![]);
    bench.configure(|settings| {
        settings.table = moved.clone();
        settings.addressing.public_addresses = vec!["203.0.113.99".parse().unwrap()];
        (settings.calls, settings.calls_per_second, settings.captures) = (7, 3, true);
    });
    let now = bench.gateway.settings();
    assert!(std::sync::Arc::ptr_eq(&now.table, &moved));
    assert_eq!(now.addressing.public_addresses, ["203.0.113.99".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!((now.calls, now.calls_per_second, now.captures), (7, 3, true));
}
