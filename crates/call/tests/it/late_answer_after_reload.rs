//! An INVITE that was given up is still answered for until Timer B, even if its trunk has gone with a reload since.

use std::time::Duration;

use crate::bench::*;
use trunkgate_call::Input;

#[test]
fn a_late_200_of_a_removed_trunk_is_acknowledged_and_ended() {
    let mut bench = Bench::new();
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(CARRIER, caller.request("CANCEL", "", ""));
    bench.input(Input::Table(table(vec![trunk("carrier", &[CARRIER])], vec![])));
    bench.pass(Duration::from_secs(3));
    bench.sent.clear();
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, callee.respond(&bye, 200, ""));
    bench.finish();
}
