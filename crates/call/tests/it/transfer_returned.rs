//! REFER to a user of the trunk that it comes from (`refer = "return"`): its Refer-To is called at the trunk's own peers.

use crate::bench::*;
use trunkgate_route::{ReferMode, Trunk};

/// A user of the PBX without a number.
const USER: &str = "sip:10.0.0.20;x-m=8:orgid:fce2158f-0e99";
const TARGET: &str = "+12125550100";

/// A bench whose PBX gets its own Refer-To back, with this change of that trunk.
fn bench_of(change: impl FnOnce(&mut Trunk)) -> Bench {
    let mut trunks = usual_trunks();
    trunks[1].refer = ReferMode::Return;
    change(&mut trunks[1]);
    Bench::with(table(trunks, vec![route(vec![to_trunk("pbx")])]))
}

/// A REFER of the callee to the user.
fn refer(callee: &Dialed) -> String {
    let refer = callee.request("REFER", 1, "");
    refer.replace("Content-Length:", &format!("Refer-To: <{USER}>\r\nContent-Length:"))
}

/// Takes the next NOTIFY, and returns the status line that it has.
fn notified(bench: &mut Bench, callee: &Dialed) -> String {
    let notify = bench.expect(PBX, "NOTIFY");
    bench.receive(PBX, callee.respond(&notify, 200, ""));
    notify.body().trim_end().to_owned()
}

/// Transfers the caller to the user, and returns the INVITE to that user.
fn returned(bench: &mut Bench, callee: &Dialed) -> Dialed {
    bench.receive(PBX, refer(callee));
    bench.expect(PBX, "SIP/2.0 202");
    notified(bench, callee);
    let invite = bench.expect(PBX, "INVITE");
    assert_eq!(invite.first_line(), format!("INVITE {USER} SIP/2.0"));
    Dialed { tag: "user".into(), ..Dialed::new(PBX, invite) }
}

/// The host of a user without a number is no number: neither the next party nor a recording server sees it as one.
#[test]
fn a_user_without_a_number_calls_the_next_party_anonymously() {
    let mut bench = bench_of(|_| {});
    let (mut caller, callee) = bench.answered();
    let user = returned(&mut bench, &callee);
    assert!(bench.story().contains("transfers the other side to 10.0.0.20: back to trunk pbx"));
    bench.receive(PBX, user.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    assert_eq!(notified(&mut bench, &callee), "SIP/2.0 200 OK");
    bench.receive(PBX, callee.request("BYE", 2, ""));
    bench.expect(PBX, "SIP/2.0 200");

    caller.cseq += 1;
    let to = format!("Refer-To: <sip:{TARGET}@{LOCAL}>\r\n");
    bench.receive(CARRIER, caller.request("REFER", "", &to));
    bench.expect(CARRIER, "SIP/2.0 202");
    let notify = bench.expect(CARRIER, "NOTIFY");
    bench.receive(CARRIER, caller.respond(&notify, 200, ""));
    let invite = bench.expect(PBX, "INVITE");
    assert!(invite.header("From").starts_with("\"Anonymous\" <sip:anonymous@anonymous.invalid>"), "{}", invite.text);
}
