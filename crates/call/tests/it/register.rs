//! Our registrations with a trunk, in virtual time.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::bench::*;
use trunkgate_call::{GatewayInput, OperatorCommand};
use trunkgate_route::locate::{DestinationServer, NameFault};
use trunkgate_route::{Credentials, Destination, RegistrationSettings, RoutingTable, Transport, Trunk};

/// Addresses of the registrar.
const FIRST: &str = "198.51.100.7:5060";
const SECOND: &str = "198.51.100.8:5060";

fn register(host: &str) -> RegistrationSettings {
    let (transport, is_fixed) = (Transport::Udp, false);
    RegistrationSettings {
        uri: format!("sip:{host}"),
        registrar: Destination { host: host.into(), port: None, transport, is_fixed },
        user: "acme".into(),
        expires: Duration::from_secs(600),
    }
}

fn registering(register: RegistrationSettings) -> Arc<RoutingTable> {
    let credentials = Credentials { username: "acme".into(), password: "secret".into(), realm: None };
    let carrier = Trunk { register: Some(register), auth: Some(credentials), ..trunk("carrier", &[FIRST]) };
    table(vec![carrier, trunk("pbx", &[PBX])], vec![route(vec![to_trunk("pbx")])])
}

/// Returns a bench that has sent one REGISTER at its start.
fn begun() -> (Bench, Sent) {
    let mut bench = Bench::with(registering(register("198.51.100.7")));
    bench.pass(Duration::ZERO);
    let request = bench.expect(FIRST, "REGISTER");
    bench.nothing();
    (bench, request)
}

/// Sends the registrar's response.
fn answer(bench: &mut Bench, request: &Sent, code: u16, lines: &str) {
    let text = Dialed::new(&request.to.to_string(), request.clone()).answer_with(code, lines);
    let text = if lines.contains("Contact") { text.replace("Contact: <sip:bob", "X: <sip:bob") } else { text };
    bench.receive(&request.to.to_string(), text);
}

fn granted(request: &Sent, seconds: u32) -> String {
    format!("Contact: {};expires={seconds}\r\n", request.header("Contact"))
}

fn state(bench: &Bench) -> (&'static str, Option<String>) {
    let view = bench.gateway.status(bench.now).trunks[0].registrations.registration.clone().unwrap();
    (view.state, view.last_problem)
}

fn last_problem(bench: &Bench) -> Option<String> {
    bench.gateway.status(bench.now).trunks[0].last_problem.clone()
}

fn fix(bench: &Bench) -> String {
    bench.gateway.status(bench.now).trunks[0].registrations.registration.clone().unwrap().fix.unwrap()
}

fn silent_for(bench: &mut Bench, time: Duration) {
    bench.pass(time);
    bench.nothing();
}

const A_SECOND: Duration = Duration::from_secs(1);

#[test]
fn rfc3261_10_2_registration_is_refreshed_and_removed() {
    let (mut bench, first) = begun();
    assert_eq!(first.first_line(), "REGISTER sip:198.51.100.7 SIP/2.0");
    assert_eq!(first.header("To"), "<sip:acme@198.51.100.7>");
    assert!(first.header("From").starts_with("<sip:acme@198.51.100.7>;tag="));
    assert_eq!(first.header("Contact"), "<sip:acme@203.0.113.10:5060>");
    assert_eq!((first.header("Expires"), first.header("CSeq")), ("600", "1 REGISTER"));
    assert_eq!(state(&bench).0, "trying");
    answer(&mut bench, &first, 401, "WWW-Authenticate: Digest realm=\"c\", nonce=\"n\", qop=\"auth\"\r\n");
    let again = bench.expect(FIRST, "REGISTER");
    assert!(again.header("Authorization").contains("uri=\"sip:198.51.100.7\""));
    assert_eq!(again.header("CSeq"), "2 REGISTER");
    answer(&mut bench, &again, 200, &granted(&first, 120));
    assert_eq!(state(&bench), ("registered", None));
    assert!(bench.logs.iter().any(|line| line == "trunk carrier: registered with 198.51.100.7:5060 for 120 s"));
    assert!(bench.gateway.metrics().registration_ends.contains_key("carrier"));
    silent_for(&mut bench, 59 * A_SECOND);
    bench.pass(A_SECOND);
    let refresh = bench.expect(FIRST, "REGISTER");
    assert_eq!(refresh.header("Call-ID"), first.header("Call-ID"));
    assert_eq!(refresh.header("CSeq"), "3 REGISTER");
    assert!(refresh.header("Authorization").ends_with("nc=00000002"), "without being asked");
    answer(&mut bench, &refresh, 200, "Expires: 600\r\n");
    silent_for(&mut bench, 299 * A_SECOND);
    bench.control(OperatorCommand::Unregister);
    let last = bench.expect(FIRST, "REGISTER");
    assert_eq!((last.header("Expires"), last.header("CSeq")), ("0", "4 REGISTER"));
    assert_eq!(bench.gateway.leaving_registrations(), 1);
    answer(&mut bench, &last, 200, "");
    assert_eq!(bench.gateway.leaving_registrations(), 0);
    assert!(bench.gateway.metrics().registration_ends.is_empty());
    bench.finish();
}

#[test]
fn rfc3261_10_2_8_a_brief_interval_is_made_longer() {
    let (mut bench, first) = begun();
    answer(&mut bench, &first, 423, "Min-Expires: 1800\r\n");
    let longer = bench.expect(FIRST, "REGISTER");
    assert_eq!(longer.header("Expires"), "1800");
    answer(&mut bench, &longer, 423, "Min-Expires: 1800\r\n");
    bench.nothing();
    assert_eq!(state(&bench), ("failed", Some("423 without a usable Min-Expires".into())));
}

#[test]
fn rfc5626_4_5_pauses_are_limited() {
    let (mut bench, mut request) = begun();
    let mut pauses = Vec::new();
    for _ in 0..9 {
        answer(&mut bench, &request, 503, "");
        bench.nothing();
        let before = bench.now;
        while bench.sent.is_empty() {
            bench.pass(A_SECOND);
        }
        pauses.push((bench.now - before).as_secs());
        request = bench.expect(FIRST, "REGISTER");
        bench.sent.clear();
    }
    let mut longest = 30;
    for pause in &pauses {
        assert!((longest / 2..=longest + 1).contains(pause), "{pauses:?}");
        longest = (2 * longest).min(1_800);
    }
    assert_eq!(state(&bench), ("failed", Some("503 to REGISTER".into())));
    answer(&mut bench, &request, 503, "Retry-After: 1700\r\n");
    assert_eq!(state(&bench), ("failed", Some("503 to REGISTER (Retry-After 1700)".into())));
    assert!(fix(&bench).starts_with("ask the carrier for the state of its registrar"), "{}", fix(&bench));
    silent_for(&mut bench, 1_699 * A_SECOND);
}

#[test]
fn a_silent_or_unwilling_address_leads_to_the_next() {
    let mut bench = Bench::with(registering(register("registrar.example")));
    bench.pass(Duration::ZERO);
    let (query, host) = bench.resolves.pop().unwrap();
    assert_eq!(host, "registrar.example");
    let server = |priority, address: &str| {
        let address: std::net::SocketAddr = address.parse().unwrap();
        let transport = Transport::Udp;
        DestinationServer { transport, port: 5060, tier: 0, priority, weight: 0, addresses: vec![address.ip()] }
    };
    let servers = vec![server(1, FIRST), server(2, SECOND)];
    bench.input(GatewayInput::Resolved { query, found: Ok(servers.clone()) });
    bench.expect(FIRST, "REGISTER sip:registrar.example");
    bench.pass(Duration::from_millis(4_000));
    bench.sent.retain(|sent| sent.to == SECOND.parse().unwrap());
    let second = bench.expect(SECOND, "REGISTER");
    assert_eq!(second.header("To"), "<sip:acme@registrar.example>");
    answer(&mut bench, &second, 200, &granted(&second, 600));
    bench.sent.clear();
    // The refresh goes to the address that has the binding.
    bench.pass(300 * A_SECOND);
    bench.sent.clear();
    let (query, _) = bench.resolves.pop().unwrap();
    bench.input(GatewayInput::Resolved { query, found: Ok(servers) });
    let refresh = bench.expect(SECOND, "REGISTER");
    answer(&mut bench, &refresh, 200, &granted(&refresh, 600));
    // A call from that address belongs to the trunk, although no peer of it has the address.
    bench.invite(SECOND, "+14155550100", &offer());
    bench.expect(SECOND, "SIP/2.0 100");
    bench.expect(PBX, "INVITE");
}

#[test]
fn a_name_that_is_not_found_is_asked_for_again() {
    let mut bench = Bench::with(registering(register("registrar.example")));
    bench.pass(Duration::ZERO);
    let (query, _) = bench.resolves.pop().unwrap();
    bench.input(GatewayInput::Resolved { query, found: Err(NameFault::NotFound) });
    assert_eq!(state(&bench), ("failed", Some("name not found in DNS".into())));
    let ends = bench.gateway.metrics().registration_ends.get("carrier").copied();
    assert_eq!(ends, Some(SystemTime::UNIX_EPOCH), "an alert finds it, though it never was registered");
    bench.pass(31 * A_SECOND);
    let (unanswered, _) = bench.resolves.pop().unwrap();
    bench.pass(5 * A_SECOND);
    bench.input(GatewayInput::Resolved { query: unanswered, found: Err(NameFault::Unanswered) });
    assert_eq!(state(&bench), ("failed", Some("no DNS server answers for registrar.example".into())));
}

#[test]
fn a_registration_that_dns_makes_fail_says_what_dns_answered() {
    let mut bench = Bench::with(registering(register("registrar.example")));
    bench.pass(Duration::ZERO);
    for (fault, words, fix) in [
        (NameFault::ServerFailure, "the DNS server answers SERVFAIL for registrar.example", "DNSSEC"),
        (NameFault::Refused, "the DNS server answers REFUSED for registrar.example", "allow its address there"),
        (NameFault::NotFound, "name not found in DNS", "check the host name in `register` of [trunk.carrier]"),
    ] {
        let (query, _) = bench.resolves.pop().unwrap();
        bench.input(GatewayInput::Resolved { query, found: Err(fault) });
        assert_eq!(state(&bench), ("failed", Some(words.into())));
        let status = bench.gateway.status(bench.now);
        let trunk = status.trunks.into_iter().find(|trunk| trunk.name == "carrier").unwrap();
        let advice = trunk.registrations.registration.unwrap().fix.unwrap();
        assert!(advice.contains(fix), "{advice}");
        bench.resolves.clear();
        while bench.resolves.is_empty() {
            bench.pass(A_SECOND);
        }
    }
}

#[test]
fn a_call_to_the_name_that_we_are_registered_by_is_for_whom_to_names() {
    let (mut bench, first) = begun();
    answer(&mut bench, &first, 200, &granted(&first, 600));
    let caller = Dialing { peer: FIRST.into(), number: "acme".into(), call: 5, cseq: 1, to_tag: String::new() };
    let invite = caller.request("INVITE", &offer(), "").replace("To: <sip:acme@", "To: <sip:+14155550100@");
    bench.receive(FIRST, invite);
    bench.expect(FIRST, "SIP/2.0 100");
    assert!(bench.expect(PBX, "INVITE").first_line().starts_with("INVITE sip:+14155550100@"));
}

#[test]
fn a_reload_takes_an_old_registration_back_and_makes_the_new_one() {
    let (mut bench, first) = begun();
    answer(&mut bench, &first, 200, &granted(&first, 600));
    bench.configure(|settings| settings.table = registering(register("198.51.100.7")));
    bench.pass(Duration::ZERO);
    bench.nothing();
    bench.configure(|settings| {
        settings.table = registering(RegistrationSettings { user: "other".into(), ..register("198.51.100.7") })
    });
    bench.pass(Duration::ZERO);
    let (back, new) = (bench.expect(FIRST, "REGISTER"), bench.expect(FIRST, "REGISTER"));
    assert_eq!((back.header("Expires"), back.header("To")), ("0", "<sip:acme@198.51.100.7>"));
    assert_eq!((new.header("Expires"), new.header("To")), ("600", "<sip:other@198.51.100.7>"));
    answer(&mut bench, &back, 200, "");
    answer(&mut bench, &new, 200, &granted(&new, 600));
    bench.configure(|settings| settings.table = table(usual_trunks(), vec![]));
    let gone = bench.expect(FIRST, "REGISTER");
    assert_eq!((gone.header("Expires"), gone.header("To")), ("0", "<sip:other@198.51.100.7>"));
    bench.pass(40 * A_SECOND);
    bench.sent.clear();
    bench.finish();
}

/// A registrar removes the binding with the Contact that it gets, so the host name stays the same until the end.
#[test]
fn rfc3261_10_2_2_a_binding_is_taken_back_with_the_host_name_that_it_was_made_with() {
    let named = |host: &str| {
        let mut carrier = Trunk::clone(registering(register("198.51.100.7")).trunk("carrier").unwrap());
        carrier.own_hosts.contact = Some(host.into());
        table(vec![carrier, trunk("pbx", &[PBX])], vec![route(vec![to_trunk("pbx")])])
    };
    let mut bench = Bench::with(named("a.example"));
    bench.pass(Duration::ZERO);
    let first = bench.expect(FIRST, "REGISTER");
    assert!(first.header("Contact").starts_with("<sip:acme@a.example:5060"), "{}", first.header("Contact"));
    answer(&mut bench, &first, 200, &granted(&first, 600));
    bench.configure(|settings| settings.table = named("b.example"));
    bench.pass(Duration::ZERO);
    let (back, new) = (bench.expect(FIRST, "REGISTER"), bench.expect(FIRST, "REGISTER"));
    assert_eq!((back.header("Expires"), back.header("Contact")), ("0", first.header("Contact")));
    assert!(new.header("Contact").starts_with("<sip:acme@b.example:5060"), "{}", new.header("Contact"));
    answer(&mut bench, &back, 200, "");
    answer(&mut bench, &new, 200, &granted(&new, 600));
    bench.configure(|settings| settings.table = table(usual_trunks(), vec![]));
    let gone = bench.expect(FIRST, "REGISTER");
    assert_eq!((gone.header("Expires"), gone.header("Contact")), ("0", new.header("Contact")));
    bench.pass(40 * A_SECOND);
    bench.sent.clear();
    bench.finish();
}

#[test]
fn a_changed_address_is_told_at_once() {
    let (mut bench, first) = begun();
    answer(&mut bench, &first, 200, &granted(&first, 600));
    let mut addressing = addressing();
    bench.configure(|settings| settings.addressing = addressing.clone());
    bench.pass(Duration::ZERO);
    bench.nothing();
    addressing.public_addresses = vec!["203.0.113.99".parse().unwrap()];
    bench.configure(|settings| settings.addressing = addressing);
    bench.pass(Duration::ZERO);
    assert_eq!(bench.expect(FIRST, "REGISTER").header("Contact"), "<sip:acme@203.0.113.99:5060>");
}

#[test]
fn a_lost_connection_to_the_registrar_is_made_anew() {
    let destination = Destination { transport: Transport::Tcp, is_fixed: true, ..register("198.51.100.7").registrar };
    let mut bench =
        Bench::with(registering(RegistrationSettings { registrar: destination, ..register("198.51.100.7") }));
    bench.pass(Duration::ZERO);
    let first = bench.expect(FIRST, "REGISTER");
    let text = Dialed::new(FIRST, first.clone()).answer_with(200, "Expires: 600\r\n");
    bench.input(GatewayInput::Received { flow: tcp(FIRST, 4), bytes: text.into() });
    assert_eq!(state(&bench).0, "registered");
    bench.input(GatewayInput::Disconnected { flow: tcp(FIRST, 4), made_for: None, cause: None, was_up: false });
    bench.pass(A_SECOND);
    bench.expect(FIRST, "REGISTER");
}

#[test]
fn a_password_that_was_mended_is_tried_at_once() {
    let (mut bench, first) = begun();
    let challenge = "WWW-Authenticate: Digest realm=\"c\", nonce=\"n\", qop=\"auth\"\r\n";
    answer(&mut bench, &first, 401, challenge);
    let again = bench.expect(FIRST, "REGISTER");
    answer(&mut bench, &again, 401, &challenge.replace("\"n\"", "\"m\""));
    let problem = "401 to REGISTER: user or password of the trunk's `auth` is wrong";
    assert_eq!(state(&bench), ("failed", Some(problem.to_owned())));
    let told = "check user, password and realm of `auth` in [trunk.carrier]; the next try is in ";
    assert!(fix(&bench).starts_with(told), "{}", fix(&bench));
    assert!(fix(&bench).ends_with(" s, at once after a `trunkgate reload` that changes `auth` or `register`"));
    assert_eq!(last_problem(&bench), Some(format!("not registered: {problem}")));
    let with = |password: &str| {
        let credentials = Credentials { username: "acme".into(), password: password.into(), realm: None };
        let carrier =
            Trunk { register: Some(register("198.51.100.7")), auth: Some(credentials), ..trunk("carrier", &[FIRST]) };
        table(vec![carrier, trunk("pbx", &[PBX])], vec![route(vec![to_trunk("pbx")])])
    };
    bench.configure(|settings| settings.table = with("secret"));
    silent_for(&mut bench, A_SECOND);
    bench.configure(|settings| settings.table = with("mended"));
    bench.pass(Duration::ZERO);
    let third = bench.expect(FIRST, "REGISTER");
    answer(&mut bench, &third, 401, challenge);
    let shown = bench.expect(FIRST, "REGISTER");
    answer(&mut bench, &shown, 200, &granted(&third, 600));
    assert_eq!((state(&bench), last_problem(&bench)), (("registered", None), None));
    // While the registration holds, a changed password is used at once, too.
    bench.configure(|settings| settings.table = with("newer"));
    bench.pass(Duration::ZERO);
    bench.expect(FIRST, "REGISTER");
}

#[test]
fn a_403_is_blamed_on_credentials_only_where_the_registrar_has_seen_them() {
    let (mut bench, first) = begun();
    answer(&mut bench, &first, 403, "");
    assert_eq!(state(&bench), ("failed", Some("403 to REGISTER".to_owned())));
    let (mut telling, asked) = begun();
    answer(&mut telling, &asked, 403, "Reason: SIP;cause=403;text=\"account suspended\"\r\n");
    let (_, problem) = state(&telling);
    assert!(problem.clone().unwrap().ends_with(" \"account suspended\""), "{problem:?}");
    let own = fix(&telling);
    assert!(
        own.starts_with("ask the carrier about its answer, ") && own.contains("\"account suspended\"; else check"),
        "{own}"
    );
    assert!(fix(&bench).starts_with("check `user` of `register` in [trunk.carrier]"), "{}", fix(&bench));
    let (mut bench, first) = begun();
    answer(&mut bench, &first, 401, "WWW-Authenticate: Digest realm=\"c\", nonce=\"n\", qop=\"auth\"\r\n");
    let shown = bench.expect(FIRST, "REGISTER");
    answer(&mut bench, &shown, 403, "");
    let (_, problem) = state(&bench);
    assert!(problem.unwrap().starts_with("403 to REGISTER with the trunk's `auth`: its user or password is rejected"));
    assert!(
        fix(&bench).starts_with("check user, password and realm of `auth` in [trunk.carrier]; "),
        "{}",
        fix(&bench)
    );
}

/// A registrar at an address that no trunk names, and that challenges each request.
#[test]
fn a_binding_is_taken_back_at_a_registrar_that_no_trunk_names_any_more() {
    for trunk_goes in [false, true] {
        let mut bench = begun_elsewhere();
        if trunk_goes {
            bench.configure(|settings| {
                settings.table = table(vec![trunk("pbx", &[PBX])], vec![route(vec![to_trunk("pbx")])])
            });
        } else {
            bench.control(OperatorCommand::Unregister);
        }
        let last = bench.expect(SECOND, "REGISTER");
        assert_eq!(last.header("Expires"), "0");
        // Only the response is accepted from that address, if no trunk has it.
        let invite =
            Dialing { peer: SECOND.into(), number: "+14155550100".into(), call: 7, cseq: 1, to_tag: String::new() };
        bench.receive(SECOND, invite.request("INVITE", &offer(), ""));
        bench.nothing();
        answer(
            &mut bench,
            &last,
            401,
            "WWW-Authenticate: Digest realm=\"c\", nonce=\"other\", stale=true, qop=\"auth\"\r\n",
        );
        let again = bench.expect(SECOND, "REGISTER");
        assert!(again.header("Authorization").contains("nonce=\"other\""), "{}", again.text);
        assert_eq!((again.header("Expires"), bench.gateway.leaving_registrations()), ("0", 1));
        answer(&mut bench, &again, 200, "");
        assert_eq!(bench.gateway.leaving_registrations(), 0);
        let unknown = |bench: &Bench| bench.gateway.unknown_sources(bench.now).map_or(0, |unknown| unknown.messages);
        assert_eq!(unknown(&bench), 1, "the INVITE");
        // The registration is over: the address is an unknown source again.
        answer(&mut bench, &again, 200, "");
        assert_eq!(unknown(&bench), 2);
        bench.finish();
    }
}

/// Returns a bench that is registered at a registrar that is no peer.
fn begun_elsewhere() -> Bench {
    let mut bench = Bench::with(registering(register("198.51.100.8")));
    bench.pass(Duration::ZERO);
    let first = bench.expect(SECOND, "REGISTER");
    answer(&mut bench, &first, 401, "WWW-Authenticate: Digest realm=\"c\", nonce=\"n\", qop=\"auth\"\r\n");
    let again = bench.expect(SECOND, "REGISTER");
    answer(&mut bench, &again, 200, &granted(&first, 120));
    assert_eq!(state(&bench), ("registered", None));
    bench
}
