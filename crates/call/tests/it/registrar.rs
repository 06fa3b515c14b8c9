//! Phones that register with the edge, from any address.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::sync::Arc;
use std::time::Duration;

use crate::bench::credentials::{credentials, shown_registering};
use crate::bench::*;
use trunkgate_call::{BanRule, GatewayInput, SlowBan, UnknownSourceLimits};
use trunkgate_route::{RoutingTable, Trunk};
use trunkgate_sip::Flow;

/// A phone behind a NAT, a neighbour, and an unknown source.
const PHONE: &str = "203.0.113.77:40001";
const NEIGHBOUR: &str = "203.0.113.77:40002";
const STRANGER: &str = "203.0.113.66:5060";
const CONTACT: &str = "<sip:desk@192.168.1.5:5060>";

fn phones(accept_register: bool) -> Arc<RoutingTable> {
    let phones = Trunk { accept_register, require_auth: Some(credentials("right")), ..Trunk::named("phones") };
    table(vec![phones, trunk("pbx", &[PBX])], vec![route(vec![to_trunk("phones")])])
}

/// Returns a REGISTER of the user `acme`.
fn register(from: &str, cseq: u32, lines: &str) -> String {
    let dialing = Dialing { peer: from.into(), number: "acme".into(), call: 7, cseq, to_tag: String::new() };
    let text = dialing.request("REGISTER", "", lines);
    let contact = format!("Contact: <sip:alice@{from}>\r\n");
    text.replace(&contact, "")
}

/// Registers over a flow, after a challenge, with these additional lines; returns the response.
fn registered_by(bench: &mut Bench, flow: Flow, cseq: u32, lines: &str) -> Sent {
    let from = flow.remote.to_string();
    bench.input(GatewayInput::Received { flow, bytes: register(&from, cseq, lines).into() });
    let challenge = bench.expect(&from, "SIP/2.0 401");
    let shown = shown_registering("right", &challenge);
    let with = register(&from, cseq + 1, &format!("{shown}{lines}"));
    bench.input(GatewayInput::Received { flow, bytes: with.into() });
    bench.next(&from)
}

fn registered(bench: &mut Bench, from: &str, cseq: u32, lines: &str) -> Sent {
    registered_by(bench, udp(from), cseq, lines)
}

fn contact(expires: u32) -> String {
    format!("Contact: {CONTACT}\r\nExpires: {expires}\r\n")
}

/// Calls the phones from the PBX; returns the INVITE.
fn called(bench: &mut Bench, phone: &str) -> Sent {
    bench.invite(PBX, "+14155550100", &sdp("10.0.0.20", 30_000, 1, "0", "sendrecv"));
    bench.expect(PBX, "SIP/2.0 100");
    bench.expect(phone, "INVITE")
}

fn refused(bench: &mut Bench) {
    bench.invite(PBX, "+14155550100", &sdp("10.0.0.20", 30_000, 1, "0", "sendrecv"));
    bench.expect(PBX, "SIP/2.0 100");
    bench.expect(PBX, "SIP/2.0 503");
    bench.nothing();
}

/// Expects the end of a call that was being set up at a restart.
fn lost(bench: &mut Bench, phone: &str) {
    let refusal = bench.expect(PBX, "SIP/2.0 503");
    assert!(refusal.header("Reason").contains("edge_restarted"), "{}", refusal.text);
    bench.expect(phone, "CANCEL");
    bench.sent.clear();
}

fn dropped(bench: &Bench, reason: &str) -> u64 {
    bench.gateway.metrics().sip.dropped.get(reason).copied().unwrap_or_default()
}

#[test]
fn phones_stay_registered_over_a_hand_over_if_their_flow_goes_on() {
    let mut bench = Bench::with(phones(true));
    registered(&mut bench, PHONE, 1, &contact(120));
    bench.pass(Duration::from_secs(20));
    bench.restart(phones(true));
    assert_eq!(bench.gateway.registered_phones(), 1);
    let invite = called(&mut bench, PHONE);
    assert_eq!(invite.first_line(), "INVITE sip:desk@192.168.1.5:5060 SIP/2.0");
    bench.restart(phones(true));
    lost(&mut bench, PHONE);
    bench.pass(Duration::from_secs(101));
    bench.sent.clear();
    refused(&mut bench);

    registered_by(&mut bench, tcp(NEIGHBOUR, 7), 5, &contact(120));
    bench.restart_keeping(phones(true), &[6, 7]);
    assert_eq!(bench.gateway.registered_phones(), 1);
    called(&mut bench, NEIGHBOUR);
    bench.restart_keeping(phones(true), &[6]);
    lost(&mut bench, NEIGHBOUR);
    assert_eq!(bench.gateway.registered_phones(), 0, "its connection was lost");
    registered(&mut bench, PHONE, 9, &contact(120));
    bench.restart(phones(false));
    assert_eq!(bench.gateway.registered_phones(), 0, "they may not register any more");
}

#[test]
fn rfc3261_10_3_phone_is_called_over_its_flow() {
    let mut bench = Bench::with(phones(true));
    refused(&mut bench);
    let ok = registered(&mut bench, PHONE, 1, &contact(120));
    assert_eq!((ok.code(), ok.header("Contact")), (200, "<sip:desk@192.168.1.5:5060>;expires=120"));
    let invite = called(&mut bench, PHONE);
    assert_eq!(invite.first_line(), "INVITE sip:desk@192.168.1.5:5060 SIP/2.0");
    assert!(invite.header("To").starts_with("<sip:+14155550100@"), "{}", invite.text);
    let phone = Dialed::new(PHONE, invite);
    bench.receive(PHONE, phone.answer(200, &sdp("192.168.1.5", 4_000, 1, "0", "sendrecv")));
    bench.expect(PHONE, "ACK");
    bench.expect(PBX, "SIP/2.0 200");
    bench.receive(PHONE, phone.request("BYE", 2, ""));
    bench.expect(PHONE, "SIP/2.0 200");
    bench.sent.clear();
    // The phone's own calls use the flow too, with credentials.
    bench.invite(PHONE, "+14155550100", &offer());
    bench.expect(PHONE, "SIP/2.0 401");
    bench.invite(NEIGHBOUR, "+14155550100", &offer());
    bench.nothing();
    bench.sent.clear();
    bench.pass(Duration::from_secs(121));
    bench.sent.clear();
    refused(&mut bench);
    bench.invite(PHONE, "+14155550100", &offer());
    bench.nothing();
}

#[test]
fn a_connection_is_a_phone_s_once_its_register_is_successful() {
    let mut bench = Bench::with(phones(true));
    let [first, second] = [1, 2].map(|id| Flow {
        transport: trunkgate_sip::Transport::Tcp,
        connection: Some(trunkgate_sip::ConnectionId(id)),
        ..udp(if id == 1 { PHONE } else { NEIGHBOUR })
    });
    bench.input(GatewayInput::Received { flow: second, bytes: register(NEIGHBOUR, 1, &contact(120)).into() });
    let challenge = bench.expect(NEIGHBOUR, "SIP/2.0 401");
    let wrong = shown_registering("wrong", &challenge);
    bench.input(GatewayInput::Received { flow: second, bytes: register(NEIGHBOUR, 2, &wrong).into() });
    assert!(bench.registered.is_empty(), "a challenge and a wrong password are nothing");
    assert_eq!(registered_by(&mut bench, first, 1, &contact(120)).code(), 200);
    assert_eq!(bench.registered, [trunkgate_sip::ConnectionId(1)]);
    registered(&mut bench, STRANGER, 1, &contact(120));
    assert_eq!(bench.registered.len(), 1, "a datagram has no connection");
}

#[test]
fn that_nobody_is_registered_is_the_verdict_with_where_to_look() {
    let mut bench = Bench::with(phones(true));
    refused(&mut bench);
    let verdict = |bench: &Bench| {
        let sid = &bench.gateway.calls(bench.now)[0].sid;
        bench.gateway.trace(sid).unwrap().verdict
    };
    let told = "a target could not be reached: no phone is registered at phones. Tried: phones. \
                Try: check user, password and server in the phone (`trunkgate status`, trunk phones).";
    assert_eq!(verdict(&bench), format!("Not answered (503): {told}"));
    // If another target answers the call, the missing phone is noted beside that.
    let of_phones = Trunk { accept_register: true, ..Trunk::named("phones") };
    let trunks = vec![of_phones, trunk("pbx", &[PBX]), trunk("backup", &[BACKUP])];
    let mut bench = Bench::with(table(trunks, vec![route(vec![to_trunk("phones"), to_trunk("backup")])]));
    bench.invite(PBX, "+14155550100", &sdp("10.0.0.20", 30_000, 1, "0", "sendrecv"));
    bench.expect(PBX, "SIP/2.0 100");
    let backup = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE"));
    bench.receive(BACKUP, backup.answer(200, &sdp("10.0.0.30", 4_000, 1, "0", "sendrecv")));
    let verdict = verdict(&bench);
    // The route provides for this case, so there is no fix.
    let told = "Answered by backup. No phone is registered at phones: the next target was called.";
    assert_eq!(verdict, told);
}

/// Returns the state of the phones' trunk, its last problem, the phones, and its state in the metrics.
fn known(bench: &Bench) -> (&'static str, Option<String>, Vec<String>, Option<bool>) {
    let view = bench.gateway.status(bench.now).trunks.remove(0);
    let shown = bench.gateway.metrics().trunk_up.get("phones").copied();
    let phones = view.registrations.phones.unwrap().iter().map(|phone| phone.address.to_string()).collect();
    (view.state, view.last_problem, phones, shown)
}

#[test]
fn the_phones_that_are_registered_are_seen() {
    let mut bench = Bench::with(phones(true));
    let nobody = ("down", None, Vec::new(), Some(false));
    assert_eq!(known(&bench), nobody);
    registered(&mut bench, PHONE, 1, &contact(60));
    let one = ("up", None, vec![PHONE.to_owned()], Some(true));
    assert_eq!(known(&bench), one, "the challenge that each phone gets first is no problem");
    bench.configure(|settings| settings.table = phones(true));
    assert_eq!(known(&bench), one, "after a reload");
    bench.pass(Duration::from_secs(61));
    assert_eq!(known(&bench), nobody);
    let gone = format!("trunk phones: the phone at {PHONE} did not refresh its registration");
    assert!(bench.logs.iter().any(|line| line.contains(&gone)), "{:?}", bench.logs);
    bench.configure(|settings| settings.table = phones(false));
    assert!(bench.gateway.status(bench.now).trunks[0].registrations.phones.is_none());
}

#[test]
fn unknown_source_gets_only_a_challenge() {
    let mut bench = Bench::with(phones(true));
    for method in ["OPTIONS", "INVITE", "SUBSCRIBE", "BYE", "ACK"] {
        let dialing = Dialing { peer: STRANGER.into(), number: "acme".into(), call: 1, cseq: 1, to_tag: String::new() };
        bench.receive(STRANGER, dialing.request(method, "", ""));
        bench.nothing();
    }
    bench.receive(STRANGER, register(STRANGER, 1, &contact(60)).replace("acme", "admin"));
    bench.receive(STRANGER, register(STRANGER, 1, &contact(60)).replace("acme", "akme"));
    bench.receive(STRANGER, "garbage");
    bench.nothing();
    assert!(dropped(&bench, "unknown_source") >= 6);
    // Only the operator of the edge gets the suggestion.
    let told = bench.logs.iter().find(|line| line.contains("did you mean")).unwrap();
    let line = "REGISTER of \"akme\" from 203.0.113.66 dropped: no trunk has that user in `require_auth`: did you mean \"acme\"?";
    assert_eq!(told, line);
    let stray = bench.gateway.status(bench.now).stray.unwrap();
    assert_eq!((stray.user.as_str(), stray.near.as_deref(), stray.registers), ("akme", Some("acme"), 2));
    let text = register(STRANGER, 1, &contact(60));
    bench.receive(STRANGER, &text);
    let challenge = bench.expect(STRANGER, "SIP/2.0 401");
    let wrong = shown_registering("wrong", &challenge);
    bench.receive(STRANGER, register(STRANGER, 2, &format!("{wrong}{}", contact(60))));
    bench.expect(STRANGER, "SIP/2.0 401");
    refused(&mut bench);
    // Without registration of phones there is no suggestion.
    bench.configure(|settings| settings.table = phones(false));
    bench.receive(STRANGER, register(STRANGER, 3, &contact(60)));
    bench.nothing();
}

/// The user with the similar name is registered, and leaves: that does not admit another user.
#[test]
fn a_phone_that_leaves_or_stays_is_not_the_one_that_was_mistyped() {
    let mut bench = Bench::with(phones(true));
    registered(&mut bench, PHONE, 1, &contact(60));
    let other = format!("{}:7070", ip(PHONE.rsplit_once(':').unwrap().0));
    bench.receive(&other, register(&other, 1, &contact(60)).replace("acme", "akme"));
    let near = |bench: &Bench| bench.gateway.status(bench.now).stray.and_then(|stray| stray.near);
    assert_eq!(near(&bench).as_deref(), Some("acme"));
    registered(&mut bench, PHONE, 3, &contact(60));
    registered(&mut bench, PHONE, 5, &contact(0));
    assert_eq!(near(&bench).as_deref(), Some("acme"));
}

/// A user that cannot be displayed unchanged is no typing error.
#[test]
fn no_user_is_guessed_for_what_is_no_name() {
    let mut bench = Bench::with(phones(true));
    for user in ["acm%00e", "acme%E2%80%AE", &"acme".repeat(11)] {
        bench.receive(STRANGER, register(STRANGER, 1, &contact(60)).replace("acme@", &format!("{user}@")));
    }
    let stray = bench.gateway.status(bench.now).stray.unwrap();
    assert_eq!(stray.near, None, "{stray:?}");
    assert!(!bench.logs.iter().any(|line| line.contains("did you mean")), "{:?}", bench.logs);
}

#[test]
fn rfc3261_10_3_fetch_remove_too_brief_and_out_of_order() {
    let mut bench = Bench::with(phones(true));
    assert!(registered(&mut bench, PHONE, 1, "").headers("Contact").is_empty(), "nothing is bound");
    let brief = registered(&mut bench, PHONE, 3, &contact(10));
    assert_eq!((brief.code(), brief.header("Min-Expires")), (423, "60"));
    let long = registered(&mut bench, PHONE, 25, &contact(999_999));
    assert!(long.header("Contact").ends_with(";expires=3600"));
    let fetched = registered(&mut bench, PHONE, 27, "");
    assert_eq!(fetched.header("Contact"), "<sip:desk@192.168.1.5:5060>;expires=3600");
    assert_eq!(registered(&mut bench, PHONE, 10, &contact(60)).code(), 500, "an older one");
    assert_eq!(registered(&mut bench, PHONE, 29, "Contact: *\r\n").code(), 400);
    assert_eq!(registered(&mut bench, PHONE, 31, "Contact: <mailto:x@y>\r\n").code(), 400);
    let twice = format!("Contact: {CONTACT}\r\n{}", contact(60));
    assert_eq!(registered(&mut bench, PHONE, 33, &twice).headers("Contact").len(), 1, "named twice");
    let other = registered(&mut bench, PHONE, 35, "Contact: <sip:other@192.168.1.6>;expires=60\r\n");
    assert_eq!(other.headers("Contact").len(), 2);
    let one = registered(&mut bench, PHONE, 37, &format!("Contact: {CONTACT};expires=0\r\n"));
    let said = bench.logs.iter().any(|line| line.starts_with("trunk phones: a registration removed by "));
    assert!(said, "{:#?}", bench.logs);
    assert_eq!(one.headers("Contact"), ["<sip:other@192.168.1.6>;expires=60"]);
    let none = registered(&mut bench, PHONE, 39, "Contact: *\r\nExpires: 0\r\n");
    assert_eq!((none.code(), none.headers("Contact").len()), (200, 0));
    refused(&mut bench);
}

#[test]
fn what_was_said_before_changes_nothing_and_nobody_registers_for_another() {
    let mut bench = Bench::with(phones(true));
    registered(&mut bench, PHONE, 25, &contact(600));
    // Number 26 has made the binding. After its transaction, and with another branch, it is no retransmission.
    bench.pass(Duration::from_secs(40));
    let mut code = |cseq: u32, lines: &str, user: &str| {
        bench.receive(PHONE, register(PHONE, 100 + cseq, ""));
        let shown = shown_registering("right", &bench.expect(PHONE, "SIP/2.0 401"));
        let text = register(PHONE, cseq, &format!("{shown}{lines}")).replace("REGISTER-7", "REGISTER-again");
        bench.receive(PHONE, text.replace("To: <sip:acme@", &format!("To: <sip:{user}@")));
        bench.next(PHONE).code()
    };
    assert_eq!(code(26, &contact(60), "acme"), 500);
    assert_eq!(code(24, "Contact: *\r\nExpires: 0\r\n", "acme"), 500);
    assert_eq!(code(40, &contact(60), "other"), 404);
    called(&mut bench, PHONE);
}

#[test]
fn the_flow_follows_the_phone_and_a_reload_keeps_it() {
    let mut bench = Bench::with(phones(true));
    registered(&mut bench, PHONE, 1, &contact(600));
    registered(&mut bench, NEIGHBOUR, 3, &contact(600));
    bench.configure(|settings| settings.table = phones(true));
    called(&mut bench, NEIGHBOUR);
    bench.nothing();
    bench.configure(|settings| settings.table = phones(false));
    bench.configure(|settings| settings.table = phones(true));
    refused(&mut bench);
}

#[test]
fn a_connection_that_is_lost_takes_its_phone_along() {
    let mut bench = Bench::with(phones(true));
    let flow = tcp(PHONE, 9);
    assert_eq!(registered_by(&mut bench, flow, 1, &contact(600)).code(), 200);
    called(&mut bench, PHONE);
    // The same address on another connection has proven nothing.
    bench.input(GatewayInput::Received {
        flow: tcp(PHONE, 10),
        bytes: register(PHONE, 5, "").replace("acme", "x").into(),
    });
    bench.input(GatewayInput::Disconnected { flow, made_for: None, cause: None, was_up: false });
    bench.sent.clear();
    refused(&mut bench);
}

#[test]
fn phones_of_one_trunk_are_bounded() {
    let mut bench = Bench::with(phones(true));
    let most = u32::try_from(trunkgate_call::limits::BINDINGS_PER_TRUNK).unwrap();
    for n in 0..most {
        let lines = format!("Contact: <sip:p{n}@192.168.1.5>;expires=600\r\n");
        assert_eq!(registered(&mut bench, PHONE, 1 + 2 * n, &lines).code(), 200, "{n}");
    }
    let more = registered(&mut bench, PHONE, 1_000, "Contact: <sip:more@192.168.1.5>\r\n");
    assert_eq!((more.code(), dropped(&bench, "bindings_full")), (403, 1));
    let many: Vec<String> = (0..9).map(|n| format!("<sip:q{n}@192.168.1.5>")).collect();
    let crowd = registered(&mut bench, PHONE, 1_010, &format!("Contact: {}\r\n", many.join(", ")));
    assert_eq!(crowd.code(), 400);
}

#[test]
fn guessing_bans_a_proven_address() {
    let mut bench = Bench::with(phones(true));
    let (within, lasting, slow) = (Duration::from_secs(10), Duration::from_secs(60), SlowBan::default());
    let ban = BanRule { after: 5, within, lasting, slow };
    bench.configure(|settings| settings.strangers = UnknownSourceLimits { messages_per_second: 0, ban });
    bench.receive(STRANGER, register(STRANGER, 1, &contact(60)));
    let challenge = bench.expect(STRANGER, "SIP/2.0 401");
    let wrong = shown_registering("wrong", &challenge);
    // With a forged source: that address has never received this nonce.
    for cseq in 10..30 {
        bench.receive(PHONE, register(PHONE, cseq, &wrong));
        bench.expect(PHONE, "SIP/2.0 401");
    }
    for cseq in 2..6 {
        bench.receive(STRANGER, register(STRANGER, cseq, &wrong));
        bench.expect(STRANGER, "SIP/2.0 401");
    }
    assert_eq!(bench.gateway.metrics().sources_banned, 0);
    bench.receive(STRANGER, register(STRANGER, 6, &wrong));
    bench.expect(STRANGER, "SIP/2.0 401");
    assert_eq!(bench.gateway.metrics().sources_banned, 1);
    let banned = "203.0.113.66 is banned for 60 s: too many failures (last: wrong credentials); its SIP is dropped";
    assert!(bench.logs.iter().any(|line| line == banned));
    bench.receive(STRANGER, register(STRANGER, 7, ""));
    bench.nothing();
    assert_eq!(dropped(&bench, "banned"), 1);
    bench.receive(PHONE, register(PHONE, 40, ""));
    bench.expect(PHONE, "SIP/2.0 401");
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.gateway.metrics().sources_banned, 0);
    bench.receive(STRANGER, register(STRANGER, 8, ""));
    bench.expect(STRANGER, "SIP/2.0 401");
}

#[test]
fn messages_of_unknown_sources_are_limited() {
    let mut bench = Bench::with(phones(true));
    // Long enough for its response not to be longer.
    let long = format!("User-Agent: {}\r\n", "x".repeat(400));
    for cseq in 1..=300 {
        bench.receive(STRANGER, register(STRANGER, cseq, &long));
    }
    assert_eq!((bench.sent.len(), dropped(&bench, "unknown_limit")), (200, 100));
    bench.sent.clear();
    bench.receive(PHONE, register(PHONE, 1, ""));
    bench.expect(PHONE, "SIP/2.0 401");
}

#[test]
fn an_address_that_may_be_forged_gets_no_more_than_it_sends() {
    let mut bench = Bench::with(phones(true));
    let challenges = |answer: &Sent| answer.text.matches("WWW-Authenticate: ").count();
    let (mut there, mut back) = (0, 0);
    for cseq in 1..=100 {
        let text = register(STRANGER, cseq, "");
        there += text.len();
        bench.receive(STRANGER, text);
        for answer in bench.sent.drain(..) {
            assert_eq!(challenges(&answer), 1, "the shortest alone: {}", answer.text);
            assert!(answer.text.contains("algorithm=MD5") && !answer.text.contains("Server:"), "{}", answer.text);
            back += answer.text.len();
        }
    }
    let spare = usize::try_from(trunkgate_call::limits::STRANGER_CREDIT_BYTES).unwrap();
    assert!(there / 2 < back && back < there + 2 * spare, "{there} bytes there, {back} back");
    assert!(dropped(&bench, "unknown_limit") > 0);
    // A long enough request gets both challenges, and the source of a connection cannot be forged.
    let long = format!("User-Agent: {}\r\n", "x".repeat(400));
    bench.receive(PHONE, register(PHONE, 1, &long));
    assert_eq!(challenges(&bench.expect(PHONE, "SIP/2.0 401")), 2);
    let flow = tcp(NEIGHBOUR, 1);
    for cseq in 1..=100 {
        bench.input(GatewayInput::Received { flow, bytes: register(NEIGHBOUR, cseq, "").into() });
        assert_eq!(challenges(&bench.expect(NEIGHBOUR, "SIP/2.0 401")), 2);
    }
}

#[test]
fn a_guesser_below_the_rate_of_the_ban_is_shut_out_of_the_account_alone() {
    let mut bench = Bench::with(phones(true));
    let slow = SlowBan { after: 5, within: Duration::from_secs(3_600), lasting: Duration::from_secs(7_200) };
    let ban = BanRule { slow, ..UnknownSourceLimits::default().ban };
    bench.configure(|settings| settings.strangers = UnknownSourceLimits { messages_per_second: 0, ban });
    // The same phone is registered from the same address, with another port.
    let at_home = "203.0.113.66:5061";
    assert_eq!(registered(&mut bench, at_home, 100, &contact(7_000)).code(), 200);
    for cseq in 0..5 {
        bench.pass(Duration::from_secs(60));
        bench.receive(STRANGER, register(STRANGER, 10 + 2 * cseq, &contact(60)));
        let challenge = bench.expect(STRANGER, "SIP/2.0 401");
        bench.receive(STRANGER, register(STRANGER, 11 + 2 * cseq, &shown_registering("wrong", &challenge)));
        bench.expect(STRANGER, "SIP/2.0 401");
    }
    assert_eq!(bench.gateway.metrics().sources_banned, 0);
    let line = "trunk phones is closed to 203.0.113.66 for 7200 s: too many wrong passwords";
    assert!(bench.logs.iter().any(|logged| logged == line), "{:?}", bench.logs);
    bench.receive(STRANGER, register(STRANGER, 30, &contact(60)));
    bench.nothing();
    assert_eq!(dropped(&bench, "banned"), 1);
    // Other sources and the registered phone are not affected.
    bench.receive(PHONE, register(PHONE, 40, ""));
    bench.expect(PHONE, "SIP/2.0 401");
    assert_eq!(registered(&mut bench, at_home, 110, &contact(7_000)).code(), 200);
    bench.pass(Duration::from_secs(7_200));
    bench.receive(STRANGER, register(STRANGER, 31, &contact(60)));
    bench.expect(STRANGER, "SIP/2.0 401");
}

#[test]
fn a_trunk_of_the_file_is_never_banned_and_may_not_register_unasked() {
    let pbx = Trunk { require_auth: Some(credentials("right")), ..trunk("pbx", &[PBX]) };
    let mut bench = Bench::with(table(vec![pbx], vec![]));
    bench.receive(PBX, register(PBX, 1, ""));
    let wrong = shown_registering("wrong", &bench.expect(PBX, "SIP/2.0 401"));
    for cseq in 2..60 {
        bench.receive(PBX, register(PBX, cseq, &wrong));
        bench.expect(PBX, "SIP/2.0 401");
    }
    assert_eq!(bench.gateway.metrics().sources_banned, 0);
    let mut bench = Bench::with(table(vec![trunk("pbx", &[PBX])], vec![]));
    bench.receive(PBX, register(PBX, 1, ""));
    let refused = bench.expect(PBX, "SIP/2.0 405");
    assert_eq!(
        refused.header("Allow"),
        "INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, INFO, REFER, NOTIFY, MESSAGE"
    );
}
