//! REFER to a user of its own trunk (`refer = "return"`): its Refer-To is called at the trunk's own peers.

use crate::bench::credentials::{credentials, shown_registering};
use crate::bench::*;
use trunkgate_route::{ReferMode, Trunk};

/// A user of the PBX without a number.
const USER: &str = "sip:10.0.0.20;x-m=8:orgid:fce2158f-0e99";
const TARGET: &str = "+12125550100";
const PHONE: &str = "203.0.113.77:40001";

/// Returns a bench with a PBX that gets its own Refer-To back, with this change of that trunk.
fn bench_of(change: impl FnOnce(&mut Trunk)) -> Bench {
    let mut trunks = usual_trunks();
    trunks[1].refer = ReferMode::Return;
    change(&mut trunks[1]);
    Bench::with(table(trunks, vec![route(vec![to_trunk("pbx")])]))
}

/// Returns a REFER of the callee to the user.
fn refer(callee: &Dialed) -> String {
    let refer = callee.request("REFER", 1, "");
    refer.replace("Content-Length:", &format!("Refer-To: <{USER}>\r\nContent-Length:"))
}

/// Answers the next NOTIFY, and returns its status line.
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

/// The host of a user without a number is no number: neither the next party nor a recording server treats it as one.
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

/// A foreign dialog does not make an invalid user callable.
#[test]
fn an_unusable_user_is_refused_with_replaces_as_without() {
    for replaces in ["", "?Replaces=unknown%3Bto-tag%3D1%3Bfrom-tag%3D2"] {
        let mut bench = bench_of(|_| {});
        let (_, callee) = bench.answered();
        let to = format!("Refer-To: <sip:+abc@10.0.0.20{replaces}>\r\nContent-Length:");
        bench.receive(PBX, callee.request("REFER", 1, "").replace("Content-Length:", &to));
        bench.expect(PBX, "SIP/2.0 484");
    }
}

/// Phones of a trunk are tried before its peers; a user named by a peer is known only to the peers.
#[test]
fn a_phone_that_has_registered_gets_no_call_for_a_user_of_a_peer() {
    let mut bench = bench_of(|pbx| {
        pbx.accept_register = true;
        pbx.require_auth = Some(credentials("right"));
    });
    let registered = |shown: &str| {
        let phone = Dialing { peer: PHONE.into(), number: "acme".into(), call: 7, cseq: 1, to_tag: String::new() };
        let contact = format!("Contact: <sip:alice@{PHONE}>\r\n");
        let headers = format!("{shown}Contact: <sip:desk@192.168.1.5:5060>\r\nExpires: 600\r\n");
        phone.request("REGISTER", "", &headers).replace(&contact, "")
    };
    bench.receive(PHONE, registered(""));
    let challenge = bench.expect(PHONE, "SIP/2.0 401");
    bench.receive(PHONE, registered(&shown_registering("right", &challenge)));
    bench.expect(PHONE, "SIP/2.0 200");
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    // The call itself goes to the phone first.
    let phone = Dialed::new(PHONE, bench.expect(PHONE, "INVITE"));
    bench.receive(PHONE, phone.answer(503, ""));
    bench.expect(PHONE, "ACK");
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    bench.expect(CARRIER, "SIP/2.0 200");
    returned(&mut bench, &callee);
    bench.nothing();
}

/// The caller's Privacy is sent to the user as to the first target, with an anonymous From.
#[test]
fn rfc3323_a_returned_refer_keeps_the_privacy_of_the_caller() {
    for (brought, sent) in [
        ("", "id"),
        ("Privacy: none\r\n", "id"),
        ("Privacy: none;critical\r\n", "critical;id"),
        ("Privacy: id\r\n", "id"),
        ("Privacy: header;session\r\n", "header;session;id"),
        ("Privacy: user; id\r\n", "user;id"),
    ] {
        let mut bench = bench_of(|pbx| pbx.from_user = Some("acme".into()));
        let caller =
            Dialing { peer: CARRIER.into(), number: "+14155550100".into(), call: 1, cseq: 1, to_tag: String::new() };
        let from = "From: <sip:anonymous@anonymous.invalid>";
        let invite = caller.request("INVITE", &offer(), brought);
        let shown = invite.lines().find(|line| line.starts_with("From: ")).unwrap();
        let shown = shown.split(";tag=").next().unwrap();
        bench.receive(CARRIER, invite.replace(shown, from));
        bench.expect(CARRIER, "SIP/2.0 100");
        let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
        bench.receive(PBX, callee.answer(200, &answer()));
        bench.expect(PBX, "ACK");
        bench.expect(CARRIER, "SIP/2.0 200");
        let user = returned(&mut bench, &callee);
        for invite in [&callee.invite, &user.invite] {
            assert_eq!(invite.headers("Privacy"), [sent], "{brought}{}", invite.text);
            assert!(invite.header("From").starts_with("\"Anonymous\" <sip:acme@"), "{}", invite.text);
        }
    }
}
