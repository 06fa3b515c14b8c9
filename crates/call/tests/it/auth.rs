//! Credentials between the edge and its trunks: ours for a trunk that challenges, and theirs for a trunk that must
//! authenticate.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::time::Duration;

use crate::bench::credentials::{credentials, shown_by, shown_inviting};
use crate::bench::*;
use trunkgate_route::{Destination, TargetSpec, Transport, Trunk};

const CHALLENGE: &str = "WWW-Authenticate: Digest realm=\"pbx\", nonce=\"n1\", algorithm=SHA-256, qop=\"auth\"\r\n";

fn with_auth() -> Vec<Trunk> {
    let pbx = Trunk { auth: Some(credentials("secret")), ..trunk("pbx", &[PBX]) };
    vec![trunk("carrier", &[CARRIER]), pbx, trunk("backup", &[BACKUP])]
}

fn bench(connect: Vec<TargetSpec>) -> Bench {
    Bench::with(table(with_auth(), vec![route(connect)]))
}

/// Makes a call that the PBX challenges; returns the INVITE with credentials.
fn challenged(bench: &mut Bench) -> (Dialing, Sent, Dialed) {
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let first = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, first.answer_with(401, CHALLENGE));
    bench.expect(PBX, "ACK");
    let again = bench.expect(PBX, "INVITE");
    (caller, first.invite, Dialed::new(PBX, again))
}

#[test]
fn a_trunk_that_asks_gets_our_credentials_and_the_caller_notices_nothing() {
    let mut bench = bench(vec![to_trunk("pbx")]);
    let (mut caller, first, callee) = challenged(&mut bench);
    assert_eq!(first.header("Call-ID"), callee.invite.header("Call-ID"));
    assert_eq!(first.header("From"), callee.invite.header("From"));
    assert_eq!((first.header("CSeq"), callee.invite.header("CSeq")), ("1 INVITE", "2 INVITE"));
    assert_eq!(first.body(), callee.invite.body());
    assert_eq!(first.header("Contact"), callee.invite.header("Contact"), "the address shown stays the same");
    let shown = callee.invite.header("Authorization").to_owned();
    bench.receive(PBX, callee.answer(200, &answer()));
    assert_eq!(bench.expect(PBX, "ACK").header("CSeq"), "2 ACK");
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    assert!(!ok.text.contains("Digest"));
    caller.to_tag = ok.tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    let sid = bench.gateway.calls(bench.now)[0].sid.clone();
    let trace = serde_json::to_string(&bench.gateway.trace(&sid).unwrap()).unwrap();
    assert!(trace.contains("401 Whatever") || trace.contains("401"), "{trace}");
    let response = shown.split("response=\"").nth(1).unwrap().split('"').next().unwrap();
    for secret in [response, "secret", "nonce", "Digest"] {
        assert!(!trace.contains(secret) && !bench.logs.join("\n").contains(secret), "{secret} in {trace}");
    }
    bench.bye(&mut caller, &callee);
    assert_eq!(bench.reports[0].failovers, 0);
    bench.finish();
}

#[test]
fn silence_after_the_challenge_leads_on() {
    let mut bench = bench(vec![to_trunk("pbx"), to_trunk("backup")]);
    challenged(&mut bench);
    bench.pass(Duration::from_millis(3_900));
    assert!(bench.sent.iter().all(|sent| sent.to != BACKUP.parse().unwrap()));
    bench.pass(Duration::from_millis(200));
    bench.sent.retain(|sent| sent.to == BACKUP.parse().unwrap());
    bench.expect(BACKUP, "INVITE");
}

#[test]
fn refused_credentials_are_a_failed_target() {
    let mut bench = bench(vec![to_trunk("pbx"), to_trunk("backup")]);
    let (_, _, again) = challenged(&mut bench);
    bench.receive(PBX, again.answer_with(401, &CHALLENGE.replace("n1", "n2")));
    bench.expect(PBX, "ACK");
    let backup = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE"));
    assert!(!backup.invite.text.contains("Authorization"), "another trunk never sees them");
    bench.receive(BACKUP, backup.answer(486, ""));
    bench.expect(BACKUP, "ACK");
    bench.expect(CARRIER, "SIP/2.0 486");
    let failovers = &bench.gateway.metrics().failovers;
    assert_eq!(failovers.get(&("main".into(), "credentials_refused")), Some(&1));
    let fault = "401: user or password of the trunk's `auth` is wrong";
    assert!(bench.story().contains(&format!("pbx answered {fault}")), "{}", bench.story());
    let sid = bench.gateway.calls(bench.now)[0].sid.clone();
    let verdict = bench.gateway.trace(&sid).unwrap().verdict;
    assert!(verdict.contains(&format!("pbx (answered {fault})")), "{verdict}");
    assert!(bench.logs.iter().any(|line| line.contains(fault)), "{:?}", bench.logs);
    let problem = format!("401 to INVITE from sip:{PBX}: user or password of the trunk's `auth` is wrong");
    let status = bench.gateway.status(bench.now);
    assert_eq!(status.trunks[1].last_problem, Some(problem));
    let rejected = status.trunks[1].rejected.as_ref().unwrap();
    assert_eq!(rejected.answers[0].fault.as_deref(), Some("user or password of the trunk's `auth` is wrong"));
    assert_eq!(rejected.fix, "check user, password and realm of `auth` in [trunk.pbx]");
    bench.finish();
}

#[test]
fn a_403_after_the_challenge_is_about_the_account() {
    for over in [403, 404] {
        let mut bench = bench(vec![to_trunk("pbx")]);
        let (_, _, again) = challenged(&mut bench);
        bench.receive(PBX, again.answer(over, ""));
        bench.expect(PBX, "ACK");
        bench.expect(CARRIER, &format!("SIP/2.0 {over}"));
        let sid = bench.gateway.calls(bench.now)[0].sid.clone();
        let verdict = bench.gateway.trace(&sid).unwrap().verdict;
        let status = bench.gateway.status(bench.now);
        let rejected = status.trunks[1].rejected.as_ref();
        let advice =
            "were accepted (not challenged again), so ask the carrier whether the account may call this number";
        let is_of_the_account = over == 403;
        assert_eq!(verdict.contains(advice), is_of_the_account, "{verdict}");
        assert_eq!(rejected.is_some_and(|all| all.fix.contains(advice)), is_of_the_account, "{rejected:?}");
        let fault = rejected.and_then(|all| all.answers[0].fault.as_deref());
        assert_eq!(fault, is_of_the_account.then_some("to a request with credentials"));
        bench.finish();
    }
}

#[test]
fn a_403_without_a_challenge_may_be_about_our_address() {
    let mut bench = bench(vec![to_trunk("pbx")]);
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(403, ""));
    bench.expect(PBX, "ACK");
    bench.expect(CARRIER, "SIP/2.0 403");
    let status = bench.gateway.status(bench.now);
    let rejected = status.trunks[1].rejected.as_ref().unwrap();
    assert!(rejected.fix.starts_with("Check the allow list"), "{}", rejected.fix);
    assert_eq!(rejected.answers[0].fault, None);
    bench.finish();
}

#[test]
fn a_realm_that_is_configured_must_be_asked_for() {
    let mut trunks = with_auth();
    trunks[1].auth.as_mut().unwrap().realm = Some("other".into());
    let mut bench = Bench::with(table(trunks, vec![route(vec![to_trunk("pbx")])]));
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer_with(407, &CHALLENGE.replace("WWW", "Proxy")));
    bench.expect(PBX, "ACK");
    let refused = bench.expect(CARRIER, "SIP/2.0 500");
    assert!(!refused.text.contains("Digest"));
    assert_eq!(refused.header("Reason"), "Q.850;cause=41;text=\"credentials_refused\"");
    let sid = bench.gateway.calls(bench.now)[0].sid.clone();
    assert_eq!(
        bench.gateway.trace(&sid).unwrap().verdict,
        "Not answered (500): pbx answered 407: `realm` of the trunk's `auth` is \"other\", but the challenge has \"pbx\". Tried: \
         pbx. Try: check `auth` of [trunk.pbx]: user, password, realm."
    );
    bench.finish();
}

#[test]
fn a_called_number_that_was_changed_on_the_way_is_refused_with_400() {
    let asking = |any_digest_uri| Trunk {
        require_auth: Some(credentials("right")),
        any_digest_uri,
        ..trunk("carrier", &[CARRIER])
    };
    for (any, changed, code) in
        [(false, "+14155550100", 100), (false, "+88112345678", 400), (true, "+88112345678", 100)]
    {
        let mut bench = Bench::with(table(vec![asking(any), trunk("pbx", &[PBX])], vec![route(vec![to_trunk("pbx")])]));
        let caller = bench.invite(CARRIER, "+14155550100", &offer());
        let challenge = bench.expect(CARRIER, "SIP/2.0 401");
        let line = shown_inviting("right", &format!("sip:+14155550100@{PUBLIC}"), &challenge);
        let number = changed.to_owned();
        let again = Dialing { number, cseq: 2, ..caller };
        bench.receive(CARRIER, again.request("INVITE", &offer(), &line));
        let answer = bench.next(CARRIER);
        assert_eq!(answer.code(), code, "{any} {changed}: {}", answer.text);
        let told = bench.gateway.status(bench.now).trunks[0].last_problem.clone().unwrap_or_default();
        if code == 400 {
            assert_eq!(answer.first_line(), "SIP/2.0 400 Bad Request: the digest uri is not the Request-URI");
            assert!(told.contains("INVITE was refused with 400: the digest uri is not the Request-URI"), "{told}");
            assert!(bench.logs.iter().any(|line| line.contains("`digest_uri = \"any\"`")), "{:?}", bench.logs);
            assert_eq!(bench.gateway.metrics().sources_banned, 0);
        }
    }
}

/// EnableSecurity ES2021-05: any party that can make us send a request may challenge us for a digest of our password.
#[test]
fn credentials_go_to_their_trunk_only() {
    // A bare URI that leads elsewhere.
    let uri = TargetSpec::Uri {
        in_call: false,
        uri: "sip:bob@203.0.113.66".into(),
        destination: Destination {
            host: "203.0.113.66".into(),
            port: None,
            transport: Transport::Udp,
            is_fixed: false,
        },
    };
    let mut away = bench(vec![uri]);
    away.invite(CARRIER, "+14155550100", &offer());
    let callee = Dialed::new("203.0.113.66:5060", away.expect("203.0.113.66:5060", "INVITE"));
    away.receive("203.0.113.66:5060", callee.answer_with(407, &CHALLENGE.replace("WWW", "Proxy")));
    away.expect("203.0.113.66:5060", "ACK");
    away.expect(CARRIER, "SIP/2.0 100");
    away.expect(CARRIER, "SIP/2.0 500");
    away.finish();
    // The caller's side, which challenges our BYE.
    let mut bench = bench(vec![to_trunk("pbx")]);
    let (caller, callee) = bench.answered();
    bench.receive(PBX, callee.request("BYE", 1, ""));
    bench.expect(PBX, "SIP/2.0 200");
    let bye = bench.expect(CARRIER, "BYE");
    let text = caller.respond(&bye, 407, "");
    bench.receive(CARRIER, text.replace("Content-Length", &format!("{CHALLENGE}Content-Length")));
    bench.nothing();
    bench.finish();
    // A redirection leads to peers of trunks only, so no other server can challenge us.
    let mut bench = self::bench(vec![to_trunk("pbx")]);
    bench.invite(CARRIER, "+14155550100", &offer());
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    let moved = callee.answer(302, "").replace("bob@10.0.0.20:5060", "bob@203.0.113.66");
    bench.receive(PBX, moved);
    bench.expect(PBX, "ACK");
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 500");
    bench.finish();
}

#[test]
fn a_bye_that_is_challenged_is_repeated_to_its_end() {
    let mut bench = bench(vec![to_trunk("pbx")]);
    let (mut caller, callee) = bench.answered();
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("BYE", "", ""));
    bench.expect(CARRIER, "SIP/2.0 200");
    let bye = bench.expect(PBX, "BYE");
    let text = callee.respond(&bye, 401, "");
    bench.receive(PBX, text.replace("Content-Length", &format!("{CHALLENGE}Content-Length")));
    let again = bench.expect(PBX, "BYE");
    assert_eq!((bye.header("CSeq"), again.header("CSeq")), ("2 BYE", "3 BYE"));
    assert!(again.header("Authorization").starts_with("Digest username=\"acme\""));
    bench.receive(PBX, callee.respond(&again, 200, ""));
    bench.finish();
}

#[test]
fn a_reload_takes_credentials_away() {
    let mut bench = bench(vec![to_trunk("pbx")]);
    bench.configure(|settings| settings.table = table(usual_trunks(), vec![route(vec![to_trunk("pbx")])]));
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer_with(401, CHALLENGE));
    bench.expect(PBX, "ACK");
    bench.expect(CARRIER, "SIP/2.0 500");
    bench.finish();
}

fn asking() -> Bench {
    let carrier = Trunk { require_auth: Some(credentials("right")), ..trunk("carrier", &[CARRIER]) };
    Bench::with(table(vec![carrier, trunk("pbx", &[PBX])], vec![route(vec![to_trunk("pbx")])]))
}

#[test]
fn a_trunk_that_must_show_credentials_is_challenged_first() {
    let mut bench = asking();
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    let refused = bench.expect(CARRIER, "SIP/2.0 401");
    let challenges = refused.headers("WWW-Authenticate");
    assert!(challenges.iter().all(|value| value.starts_with("Digest realm=\"trunkgate\", nonce=\"")));
    assert!(challenges[0].contains("algorithm=SHA-256,") && challenges[1].contains("algorithm=MD5,"));
    bench.nothing();
    assert_eq!((bench.gateway.calls(bench.now).len(), bench.gateway.held_calls()), (0, 0), "no call of it");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.nothing();
    // A trunk's own responses and requests in dialogs pass without credentials.
    let caller = bench.invite(PBX, "+14155550100", &sdp("10.0.0.20", 30_000, 1, "0", "sendrecv"));
    assert_eq!(caller.peer, PBX);
    bench.expect(PBX, "SIP/2.0 100");
}

#[test]
fn credentials_of_a_trunk_open_the_way_once() {
    let mut bench = asking();
    let options = |cseq: u32, extra: &str| {
        let dialing = Dialing { peer: CARRIER.into(), number: "x".into(), call: 9, cseq, to_tag: String::new() };
        dialing.request("OPTIONS", "", extra)
    };
    bench.receive(CARRIER, options(1, ""));
    let refused = bench.expect(CARRIER, "SIP/2.0 401");
    let wrong = shown_by("wrong", &refused);
    bench.receive(CARRIER, options(2, &wrong));
    let again = bench.expect(CARRIER, "SIP/2.0 401");
    assert!(!again.text.contains("stale"));
    assert_eq!(
        bench.logs,
        ["trunk carrier: wrong credentials from 198.51.100.7:5060: wrong password for user \"acme\""]
    );
    let unknown = wrong.replace("acme", "nobody");
    bench.receive(CARRIER, options(3, &unknown));
    let other = bench.expect(CARRIER, "SIP/2.0 401");
    let shape =
        |sent: &Sent| sent.text.lines().map(|line| line.split(['"', ';']).next().unwrap().len()).collect::<Vec<_>>();
    assert_eq!(shape(&again), shape(&other), "nothing tells a wrong password from an unknown user");
    let right = shown_by("right", &again);
    bench.receive(CARRIER, options(4, &right));
    bench.expect(CARRIER, "SIP/2.0 200");
    bench.receive(CARRIER, options(5, &right));
    let replayed = bench.expect(CARRIER, "SIP/2.0 401");
    assert!(replayed.headers("WWW-Authenticate")[0].ends_with("stale=true"));
}
