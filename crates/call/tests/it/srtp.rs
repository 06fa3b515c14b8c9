//! SRTP of a call's legs: offers accepted from a trunk, offers made to it, and the keys of each side.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::time::Duration;

use crate::bench::*;
use trunkgate_media::{MediaCommand, OwnSources, RemoteSpec, SrtpSpec, Suite};
use trunkgate_route::{Srtp, Trunk};

/// Keys of a peer: 30 bytes each.
const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
const NEW_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const SUITE: &str = "AES_CM_128_HMAC_SHA1_80";

/// Returns a peer's crypto line.
fn line(tag: u32, key: &str) -> String {
    format!("{tag} {SUITE} inline:{key}")
}

/// Returns a peer's description under another profile, with crypto lines.
fn under(body: &str, proto: &str, lines: &[String]) -> String {
    let lines: String = lines.iter().map(|line| format!("a=crypto:{line}\r\n")).collect();
    format!("{}{lines}", body.replace("RTP/AVP", proto))
}

fn bench(carrier: Srtp, pbx: Srtp) -> Bench {
    let with = |name: &str, address: &str, srtp| Trunk { srtp, ..trunk(name, &[address]) };
    let trunks = vec![with("carrier", CARRIER, carrier), with("pbx", PBX, pbx), trunk("backup", &[BACKUP])];
    Bench::with(table(trunks, vec![route(vec![to_trunk("pbx")])]))
}

/// Returns the values of `a=crypto` in a message of ours.
fn lines(sent: &Sent) -> Vec<String> {
    sent.body().lines().filter_map(|line| line.strip_prefix("a=crypto:")).map(str::to_owned).collect()
}

/// Returns the key in a crypto line, as written.
fn key_of(line: &str) -> &str {
    line.split("inline:").nth(1).unwrap()
}

fn proto(sent: &Sent) -> &str {
    let line = sent.body().lines().find(|line| line.starts_with("m=audio ")).unwrap();
    line.split(' ').nth(2).unwrap()
}

/// Returns the last remote address that the worker got for each end.
fn remotes(bench: &mut Bench) -> Vec<RemoteSpec> {
    let mut last = std::collections::BTreeMap::new();
    for command in bench.take_media() {
        if let MediaCommand::SetRemote { end, remote } = command {
            last.insert(end, remote);
        }
    }
    last.into_values().collect()
}

fn srtp_of(bench: &Bench) -> Vec<Option<&'static str>> {
    bench.gateway.calls(bench.now)[0].legs.iter().map(|leg| leg.srtp).collect()
}

fn hang_up(mut bench: Bench, mut caller: Dialing, callee: &Dialed) {
    caller.cseq += 10;
    bench.sent.clear();
    bench.receive(CARRIER, caller.request("BYE", "", ""));
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, callee.respond(&bye, 200, ""));
    bench.finish();
}

/// Makes an answered call between two sides with SRTP.
fn secure_call(bench: &mut Bench) -> (Dialing, Dialed) {
    let (offer, answer) =
        (under(&offer(), "RTP/SAVP", &[line(3, KEY)]), under(&answer(), "RTP/SAVP", &[line(2, NEW_KEY)]));
    bench.connected("+14155550100", &offer, &answer)
}

#[test]
fn what_a_caller_may_offer() {
    for (srtp, profile, with_key, expected) in [
        (Srtp::Off, "RTP/AVP", false, Ok(false)),
        (Srtp::Off, "RTP/AVP", true, Ok(false)),
        (Srtp::Off, "RTP/SAVP", true, Err("srtp_off")),
        (Srtp::Off, "RTP/SAVPF", true, Err("srtp_off")),
        (Srtp::Optional, "RTP/AVP", false, Ok(false)),
        (Srtp::Optional, "RTP/AVP", true, Ok(true)),
        (Srtp::Optional, "RTP/SAVP", true, Ok(true)),
        (Srtp::Optional, "RTP/SAVPF", true, Ok(true)),
        (Srtp::Optional, "RTP/SAVP", false, Err("srtp_mismatch")),
        (Srtp::Required, "RTP/AVP", false, Err("srtp_required")),
        (Srtp::Required, "RTP/AVP", true, Ok(true)),
        (Srtp::Required, "RTP/AVPF", true, Ok(true)),
        (Srtp::Required, "RTP/SAVP", true, Ok(true)),
        (Srtp::Required, "RTP/SAVPF", true, Ok(true)),
        (Srtp::Required, "RTP/SAVP", false, Err("srtp_mismatch")),
    ] {
        let case = format!("{srtp:?} {profile} {with_key}");
        let mut bench = bench(srtp, Srtp::Off);
        let keys = if with_key { vec![line(7, KEY)] } else { vec![] };
        let mut caller = bench.invite(CARRIER, "+14155550100", &under(&offer(), profile, &keys));
        bench.expect(CARRIER, "SIP/2.0 100");
        let secure = match expected {
            Ok(secure) => secure,
            Err(reason) => {
                let sent = bench.expect(CARRIER, "SIP/2.0 488");
                assert!(sent.header("Warning").starts_with("399 Trunkgate \"offered audio RTP/"), "{}", sent.text);
                assert!(!sent.text.contains(KEY));
                bench.receive(CARRIER, caller.request("ACK", "", "").replace("-ACK-", "-INVITE-"));
                assert_eq!(bench.reports[0].call.reason, Some(reason), "{case}");
                bench.finish();
                continue;
            }
        };
        let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
        let feedback = if profile.ends_with('F') { "RTP/AVPF" } else { "RTP/AVP" };
        assert_eq!((proto(&callee.invite), lines(&callee.invite).len()), (feedback, 0), "{case}");
        bench.receive(PBX, callee.answer(200, &answer().replace("RTP/AVP", feedback)));
        bench.expect(PBX, "ACK");
        let ok = bench.expect(CARRIER, "SIP/2.0 200");
        assert_eq!(proto(&ok), profile, "an answer has the profile of its offer");
        let ours = lines(&ok);
        assert_eq!(ours.len(), usize::from(secure), "{case}");
        assert!(ours.iter().all(|line| line.starts_with(&format!("7 {SUITE} inline:"))), "{ours:?}");
        caller.to_tag = ok.tag("To");
        bench.receive(CARRIER, caller.request("ACK", "", ""));
        assert_eq!(srtp_of(&bench), [secure.then_some(SUITE), None], "{case}");
        let specs: Vec<_> = remotes(&mut bench).into_iter().map(|remote| remote.srtp.is_some()).collect();
        assert_eq!(specs, [secure, false], "{case}");
        hang_up(bench, caller, &callee);
    }
}

#[test]
fn what_a_target_is_offered_and_may_answer() {
    for (srtp, profile, tag, expected) in [
        (Srtp::Off, "RTP/AVP", None, Ok(false)),
        (Srtp::Off, "RTP/AVP", Some(2), Ok(false)),
        (Srtp::Off, "RTP/SAVP", Some(2), Err("codec_mismatch")),
        (Srtp::Optional, "RTP/SAVP", Some(2), Ok(true)),
        (Srtp::Optional, "RTP/SAVPF", Some(2), Ok(true)),
        (Srtp::Optional, "RTP/AVP", Some(2), Ok(true)),
        (Srtp::Optional, "RTP/AVP", None, Ok(false)),
        (Srtp::Optional, "RTP/SAVP", None, Err("srtp_mismatch")),
        (Srtp::Required, "RTP/SAVP", Some(2), Ok(true)),
        (Srtp::Required, "RTP/AVP", Some(2), Ok(true)),
        (Srtp::Required, "RTP/AVP", None, Err("srtp_required")),
        (Srtp::Required, "RTP/SAVP", None, Err("srtp_mismatch")),
        (Srtp::Required, "RTP/SAVP", Some(1), Err("srtp_mismatch")),
        (Srtp::Required, "RTP/SAVP", Some(9), Err("srtp_mismatch")),
    ] {
        let case = format!("{srtp:?} {profile} {tag:?}");
        let mut bench = bench(Srtp::Off, srtp);
        let mut caller = bench.invite(CARRIER, "+14155550100", &offer());
        bench.expect(CARRIER, "SIP/2.0 100");
        let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
        let offered = lines(&callee.invite);
        if srtp == Srtp::Off {
            assert_eq!((proto(&callee.invite), offered.len()), ("RTP/AVP", 0));
        } else {
            let suites: Vec<&str> = offered.iter().map(|line| line.split(' ').nth(1).unwrap()).collect();
            assert_eq!(proto(&callee.invite), "RTP/SAVP");
            assert_eq!(suites, ["AEAD_AES_128_GCM", SUITE, "AEAD_AES_256_GCM", "AES_256_CM_HMAC_SHA1_80"]);
        }
        let keys: Vec<String> = tag.iter().map(|tag| line(*tag, KEY)).collect();
        bench.receive(PBX, callee.answer(200, &under(&answer(), profile, &keys)));
        bench.expect(PBX, "ACK");
        if let Err(reason) = expected {
            let bye = bench.expect(PBX, "BYE");
            bench.receive(PBX, callee.respond(&bye, 200, ""));
            bench.expect(CARRIER, "SIP/2.0 488");
            bench.receive(CARRIER, caller.request("ACK", "", "").replace("-ACK-", "-INVITE-"));
            assert_eq!(bench.reports[0].call.reason, Some(reason), "{case}");
            bench.finish();
            continue;
        }
        let ok = bench.expect(CARRIER, "SIP/2.0 200");
        assert_eq!((proto(&ok), lines(&ok).len()), ("RTP/AVP", 0), "{case}");
        caller.to_tag = ok.tag("To");
        bench.receive(CARRIER, caller.request("ACK", "", ""));
        let secure = expected == Ok(true);
        assert_eq!(srtp_of(&bench), [None, secure.then_some(SUITE)], "{case}");
        let specs: Vec<_> = remotes(&mut bench).into_iter().map(|remote| remote.srtp.is_some()).collect();
        assert_eq!(specs, [false, secure], "{case}");
        hang_up(bench, caller, &callee);
    }
}

#[test]
fn both_sides_have_keys_of_their_own() {
    for (carrier, pbx) in [
        (Srtp::Required, Srtp::Required),
        (Srtp::Required, Srtp::Optional),
        (Srtp::Optional, Srtp::Required),
        (Srtp::Optional, Srtp::Optional),
    ] {
        let mut bench = bench(carrier, pbx);
        let mut caller = bench.invite(CARRIER, "+14155550100", &under(&offer(), "RTP/SAVP", &[line(3, KEY)]));
        bench.expect(CARRIER, "SIP/2.0 100");
        let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
        assert!(!callee.invite.text.contains(KEY));
        bench.receive(PBX, callee.answer(183, &under(&answer(), "RTP/SAVP", &[line(2, NEW_KEY)])));
        let early = bench.expect(CARRIER, "SIP/2.0 183");
        bench.receive(PBX, callee.answer(200, &under(&answer(), "RTP/SAVP", &[line(2, NEW_KEY)])));
        bench.expect(PBX, "ACK");
        let ok = bench.expect(CARRIER, "SIP/2.0 200");
        assert_eq!(lines(&early), lines(&ok), "early media goes on");
        assert!(!ok.text.contains(NEW_KEY));
        caller.to_tag = ok.tag("To");
        bench.receive(CARRIER, caller.request("ACK", "", ""));
        assert_eq!(srtp_of(&bench), [Some(SUITE); 2]);
        let specs: Vec<SrtpSpec> = remotes(&mut bench).into_iter().map(|remote| *remote.srtp.unwrap()).collect();
        assert_eq!(specs[0].receive.suite(), Suite::AesCm128HmacSha1_80);
        assert_eq!(specs[0].receive.material(), b"YS___semctl () {\t220;}\n}\nunles".as_slice());
        assert_eq!(specs[1].receive.material(), [0; 30]);
        assert_ne!(specs[0].send, specs[1].send);
        let texts = [&ok, &callee.invite].map(|sent| lines(sent).into_iter().find(|l| l.contains(SUITE)).unwrap());
        for (spec, text) in specs.iter().zip(&texts) {
            let written = trunkgate_sdp::CryptoAttribute::parse(text).unwrap();
            assert_eq!(spec.send.material(), written.keys[0].key_salt);
        }
        hang_up(bench, caller, &callee);
    }
}

#[test]
fn a_target_that_takes_no_srtp_is_asked_again_where_it_is_optional() {
    let mut bench = bench(Srtp::Off, Srtp::Optional);
    let mut caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let first = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    assert_eq!(proto(&first.invite), "RTP/SAVP");
    bench.receive(PBX, first.answer(488, ""));
    bench.expect(PBX, "ACK");
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    assert_eq!((proto(&callee.invite), lines(&callee.invite).len()), ("RTP/AVP", 0));
    assert_ne!(first.invite.header("Call-ID"), callee.invite.header("Call-ID"));
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    assert_eq!(srtp_of(&bench), [None, None, None]);
    hang_up(bench, caller, &callee);

    // Retried once, and only then.
    for (srtp, code, again) in [
        (Srtp::Optional, 488, true),
        (Srtp::Optional, 603, false),
        (Srtp::Required, 488, false),
        (Srtp::Off, 488, false),
    ] {
        let mut bench = self::bench(Srtp::Off, srtp);
        let caller = bench.invite(CARRIER, "+14155550100", &offer());
        bench.expect(CARRIER, "SIP/2.0 100");
        for _ in 0..1 + u8::from(again) {
            let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
            bench.receive(PBX, callee.answer(code, ""));
            bench.expect(PBX, "ACK");
        }
        bench.expect(CARRIER, &format!("SIP/2.0 {code}"));
        bench.receive(CARRIER, caller.request("ACK", "", "").replace("-ACK-", "-INVITE-"));
        assert_eq!(bench.reports[0].failovers, 0, "the same target in another form is no failover");
        bench.finish();
    }
}

#[test]
fn new_keys_of_either_side_stay_on_that_side() {
    let mut bench = bench(Srtp::Required, Srtp::Optional);
    let (mut caller, callee) = secure_call(&mut bench);
    let before = remotes(&mut bench);
    caller.cseq += 1;
    let rekeyed = under(&offer().replace("77 1", "77 2"), "RTP/SAVP", &[line(1, NEW_KEY)]);
    bench.receive(CARRIER, caller.request("INVITE", &rekeyed, ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.nothing();
    assert!(lines(&ok)[0].starts_with(&format!("1 {SUITE} inline:")), "{}", ok.body());
    assert!(ok.body().contains(" 2 IN IP4 "), "the version rises: {}", ok.body());
    let after = remotes(&mut bench);
    assert_eq!(after.len(), 1, "the other side is as it was");
    let (old, new) = (before[0].srtp.as_ref().unwrap(), after[0].srtp.as_ref().unwrap());
    assert_eq!(new.receive.material(), [0; 30]);
    assert_ne!(new.send, old.send, "who has a new key may be another machine");
    assert_eq!((after[0].rtp, after[0].may_send, after[0].may_receive), (before[0].rtp, true, true));

    let rekeyed = under(&answer().replace("77 1", "77 2"), "RTP/SAVP", &[line(4, KEY)]);
    bench.receive(PBX, callee.request("INVITE", 1, &rekeyed));
    bench.expect(PBX, "SIP/2.0 100");
    let ok = bench.expect(PBX, "SIP/2.0 200");
    bench.receive(PBX, callee.request("ACK", 1, ""));
    bench.nothing();
    assert!(lines(&ok)[0].starts_with(&format!("4 {SUITE} inline:")) && ok.body().contains("RTP/SAVP 0 101"));
    let after = remotes(&mut bench);
    assert_eq!(after.len(), 1);
    assert_ne!(after[0].srtp.as_ref().unwrap().receive, before[1].srtp.as_ref().unwrap().receive);
    hang_up(bench, caller, &callee);
}

#[test]
fn hold_and_resume_keep_the_keys() {
    let mut bench = bench(Srtp::Optional, Srtp::Optional);
    let (mut caller, callee) = secure_call(&mut bench);
    let before: Vec<_> = remotes(&mut bench).into_iter().map(|remote| remote.srtp).collect();
    let first = lines(&callee.invite);
    for (version, direction, reply) in [(2, "sendonly", "recvonly"), (3, "sendrecv", "sendrecv")] {
        caller.cseq += 1;
        let ask = sdp("198.51.100.7", 40_000, version, "0 8 101", direction);
        bench.receive(CARRIER, caller.request("INVITE", &under(&ask, "RTP/SAVP", &[line(3, KEY)]), ""));
        bench.expect(CARRIER, "SIP/2.0 100");
        let asked = bench.expect(PBX, "INVITE");
        assert_eq!(proto(&asked), "RTP/SAVP");
        let again = lines(&asked);
        assert!(again[0].starts_with(&format!("1 {SUITE}")), "the suite in force comes first: {again:?}");
        for suite in ["AEAD_AES_128_GCM", SUITE] {
            let key = |lines: &[String]| key_of(lines.iter().find(|l| l.contains(suite)).unwrap()).to_owned();
            assert_eq!(key(&again), key(&first));
        }
        let reply = sdp("10.0.0.20", 30_000, version, "0 101", reply);
        bench.receive(PBX, callee.respond(&asked, 200, &under(&reply, "RTP/SAVP", &[line(1, NEW_KEY)])));
        bench.expect(PBX, "ACK");
        bench.expect(CARRIER, "SIP/2.0 200");
        bench.receive(CARRIER, caller.request("ACK", "", ""));
        let after: Vec<_> = remotes(&mut bench).into_iter().map(|remote| remote.srtp).collect();
        assert_eq!(after, before);
    }
    hang_up(bench, caller, &callee);
}

#[test]
fn a_side_may_give_srtp_up_only_where_it_is_optional() {
    for (srtp, allowed) in [(Srtp::Optional, true), (Srtp::Required, false)] {
        let mut bench = bench(srtp, Srtp::Optional);
        let (mut caller, callee) = secure_call(&mut bench);
        bench.take_media();
        caller.cseq += 1;
        bench.receive(CARRIER, caller.request("INVITE", &offer().replace("77 1", "77 2"), ""));
        bench.expect(CARRIER, "SIP/2.0 100");
        if allowed {
            let asked = bench.expect(PBX, "INVITE");
            assert_eq!(proto(&asked), "RTP/SAVP", "the other side stays as it is");
            bench.receive(PBX, callee.respond(&asked, 200, &under(&answer(), "RTP/SAVP", &[line(1, NEW_KEY)])));
            bench.expect(PBX, "ACK");
            let ok = bench.expect(CARRIER, "SIP/2.0 200");
            assert_eq!((proto(&ok), lines(&ok).len()), ("RTP/AVP", 0));
            bench.receive(CARRIER, caller.request("ACK", "", ""));
            assert_eq!(srtp_of(&bench), [None, Some(SUITE)]);
            assert_eq!(remotes(&mut bench)[0].srtp, None);
        } else {
            let no = bench.expect(CARRIER, "SIP/2.0 488");
            assert!(no.header("Warning").contains("offered audio RTP/AVP; allowed RTP/SAVP with"), "{}", no.text);
            bench.receive(CARRIER, caller.request("ACK", "", "").replace("-ACK-", "-INVITE-"));
            assert_eq!(srtp_of(&bench), [Some(SUITE); 2]);
            assert!(bench.media.is_empty());
        }
        hang_up(bench, caller, &callee);
    }
}

#[test]
fn a_side_that_is_asked_in_mid_call_cannot_answer_without_it() {
    let mut bench = bench(Srtp::Optional, Srtp::Required);
    let (mut caller, callee) = secure_call(&mut bench);
    bench.take_media();
    caller.cseq += 1;
    let hold = sdp("198.51.100.7", 40_000, 2, "0 8 101", "sendonly");
    bench.receive(CARRIER, caller.request("INVITE", &under(&hold, "RTP/SAVP", &[line(3, KEY)]), ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    let asked = bench.expect(PBX, "INVITE");
    bench.receive(PBX, callee.respond(&asked, 200, &sdp("10.0.0.20", 30_000, 2, "0 101", "recvonly")));
    bench.expect(PBX, "ACK");
    bench.expect(CARRIER, "SIP/2.0 488");
    bench.receive(CARRIER, caller.request("ACK", "", "").replace("-ACK-", "-INVITE-"));
    // The accepted change is undone.
    let again = bench.expect(PBX, "INVITE");
    assert!(again.body().contains("a=sendrecv") && proto(&again) == "RTP/SAVP", "{}", again.body());
    bench.receive(PBX, callee.respond(&again, 200, &under(&answer(), "RTP/SAVP", &[line(1, NEW_KEY)])));
    bench.expect(PBX, "ACK");
    assert_eq!(srtp_of(&bench), [Some(SUITE); 2]);
    assert!(remotes(&mut bench).iter().all(|remote| remote.srtp.is_some()));
    hang_up(bench, caller, &callee);
}

#[test]
fn a_caller_without_offer_gets_one_that_it_can_answer() {
    for (srtp, profile, with_key, expected) in [
        (Srtp::Off, "RTP/AVP", false, Ok(false)),
        (Srtp::Optional, "RTP/AVP", false, Ok(false)),
        (Srtp::Optional, "RTP/AVP", true, Ok(true)),
        (Srtp::Required, "RTP/SAVP", true, Ok(true)),
        (Srtp::Required, "RTP/AVP", false, Err("srtp_required")),
    ] {
        let mut bench = bench(srtp, Srtp::Required);
        let mut caller = bench.invite(CARRIER, "+14155550100", "");
        bench.expect(CARRIER, "SIP/2.0 100");
        let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
        assert_eq!((proto(&callee.invite), lines(&callee.invite).len()), ("RTP/SAVP", 4));
        bench.receive(PBX, callee.answer(200, &under(&answer(), "RTP/SAVP", &[line(2, NEW_KEY)])));
        bench.expect(PBX, "ACK");
        let ok = bench.expect(CARRIER, "SIP/2.0 200");
        let form = if srtp == Srtp::Required { "RTP/SAVP" } else { "RTP/AVP" };
        assert_eq!((proto(&ok), lines(&ok).is_empty()), (form, srtp == Srtp::Off));
        assert!(!ok.text.contains(NEW_KEY));
        caller.to_tag = ok.tag("To");
        let keys = if with_key { vec![line(2, KEY)] } else { vec![] };
        let ours = sdp("198.51.100.7", 40_000, 1, "0 101", "sendrecv");
        bench.receive(CARRIER, caller.request("ACK", &under(&ours, profile, &keys), ""));
        match expected {
            Ok(secure) => {
                assert_eq!(srtp_of(&bench), [secure.then_some(SUITE), Some(SUITE)]);
                hang_up(bench, caller, &callee);
            }
            Err(reason) => {
                let bye = bench.expect(CARRIER, "BYE");
                bench.receive(CARRIER, caller.respond(&bye, 200, ""));
                let bye = bench.expect(PBX, "BYE");
                bench.receive(PBX, callee.respond(&bye, 200, ""));
                assert_eq!(bench.reports[0].call.reason, Some(reason));
                bench.finish();
            }
        }
    }
}

#[test]
fn targets_need_srtp_too() {
    for keys in [vec![], vec![line(9, KEY)]] {
        let mut bench = bench(Srtp::Off, Srtp::Required);
        let mut caller = bench.invite(CARRIER, "+14155550100", "");
        bench.expect(CARRIER, "SIP/2.0 100");
        let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
        bench.receive(PBX, callee.answer(200, &under(&answer(), "RTP/AVP", &keys)));
        bench.expect(PBX, "ACK");
        let bye = bench.expect(PBX, "BYE");
        bench.receive(PBX, callee.respond(&bye, 200, ""));
        caller.to_tag = bench.expect(CARRIER, "SIP/2.0 488").tag("To");
        bench.receive(CARRIER, caller.request("ACK", "", "").replace("-ACK-", "-INVITE-"));
        let reason = if keys.is_empty() { "srtp_required" } else { "srtp_mismatch" };
        assert_eq!(bench.reports[0].call.reason, Some(reason));
        bench.finish();
    }
}

#[test]
fn asked_for_an_offer_in_mid_call_we_offer_what_is_in_force() {
    let mut bench = bench(Srtp::Required, Srtp::Required);
    let (mut caller, callee) = secure_call(&mut bench);
    let before = remotes(&mut bench);
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("INVITE", "", ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    assert_eq!((proto(&ok), lines(&ok).len()), ("RTP/SAVP", 1));
    let moved = sdp("198.51.100.7", 40_002, 2, "0 101", "sendrecv");
    bench.receive(CARRIER, caller.request("ACK", &under(&moved, "RTP/SAVP", &[line(3, NEW_KEY)]), ""));
    let after = remotes(&mut bench);
    let (old, new) = (before[0].srtp.as_ref().unwrap(), after[0].srtp.as_ref().unwrap());
    assert_eq!((&new.send, new.receive.material()), (&old.send, [0; 30].as_slice()));
    hang_up(bench, caller, &callee);
}

#[test]
fn a_restart_keeps_the_keys_and_nothing_shows_them() {
    let trunks = || {
        let with = |name: &str, address: &str| Trunk { srtp: Srtp::Required, ..trunk(name, &[address]) };
        table(vec![with("carrier", CARRIER), with("pbx", PBX)], vec![route(vec![to_trunk("pbx")])])
    };
    let mut bench = Bench::with(trunks());
    let (mut caller, callee) = secure_call(&mut bench);
    let ours = key_of(&lines(&callee.invite)[1]).to_owned();
    let before: Vec<_> = remotes(&mut bench).into_iter().map(|remote| remote.srtp).collect();
    let snapshot = bench.gateway.snapshot(bench.now);
    let trace = serde_json::to_string(&bench.gateway.trace(&bench.gateway.calls(bench.now)[0].sid)).unwrap();
    assert!(
        trace.contains("media: PCMU, AES_CM_128_HMAC_SHA1_80 with carrier, AES_CM_128_HMAC_SHA1_80 with pbx"),
        "{trace}"
    );
    let shown = format!("{:#?} {snapshot:#?} {trace} {:?}", bench.gateway, bench.logs);
    for secret in [KEY, NEW_KEY, &ours, "inline:"] {
        assert!(
            !shown.contains(secret),
            "{secret}: {:#?}",
            shown.find(secret).map(|at| shown.get(at.saturating_sub(1500)..at + 60))
        );
    }
    bench.restart(trunks());
    let after: Vec<_> = remotes(&mut bench).into_iter().map(|remote| remote.srtp).collect();
    // The worker of the new process may lack the indices of the one before, and has SSRCs of its own.
    let sources = |remotes: &[Option<Box<SrtpSpec>>]| -> Vec<Option<OwnSources>> {
        remotes.iter().flatten().map(|srtp| srtp.own_sources).collect()
    };
    let without = |srtp: Option<Box<SrtpSpec>>| srtp.map(|srtp| Box::new(SrtpSpec { own_sources: None, ..*srtp }));
    let rolled = |srtp: Option<Box<SrtpSpec>>| srtp.map(|srtp| Box::new(SrtpSpec { rolled: 1, ..*srtp }));
    let mut all = sources(&before);
    let resumed: Vec<_> = before.into_iter().map(without).map(rolled).collect();
    all.extend(sources(&after));
    assert_eq!(after.into_iter().map(without).collect::<Vec<_>>(), resumed);
    // The roll-overs of a call are not added up over restarts.
    bench.restart(trunks());
    let after: Vec<_> = remotes(&mut bench).into_iter().map(|remote| remote.srtp).collect();
    all.extend(sources(&after));
    assert_eq!(after.into_iter().map(without).collect::<Vec<_>>(), resumed);
    assert!(
        all.len() == 6 && all.iter().all(Option::is_some) && (1..6).all(|n| !all[..n].contains(&all[n])),
        "{all:?}"
    );
    assert_eq!(srtp_of(&bench), [Some(SUITE); 2]);
    bench.pass(Duration::from_secs(1));
    caller.cseq += 1;
    bench.bye(&mut caller, &callee);
    bench.finish();
}

#[test]
fn a_trunk_is_offered_the_suites_that_it_names_and_may_offer_no_others() {
    let named = vec![Suite::AesCm128HmacSha1_80, Suite::AesCm128HmacSha1_32];
    let secure = |name: &str, address: &str| Trunk {
        srtp: Srtp::Required,
        srtp_suites: named.clone(),
        ..trunk(name, &[address])
    };
    let trunks = || vec![secure("carrier", CARRIER), secure("pbx", PBX)];
    let mut bench = Bench::with(table(trunks(), vec![route(vec![to_trunk("pbx")])]));
    let gcm = format!("1 AEAD_AES_128_GCM inline:{KEY}");
    let (caller, callee) = {
        let offered = [format!("4 AEAD_AES_128_GCM inline:{}", &KEY[..38]), line(3, KEY)];
        let mut caller = bench.invite(CARRIER, "+14155550100", &under(&offer(), "RTP/SAVP", &offered));
        bench.expect(CARRIER, "SIP/2.0 100");
        let invite = bench.expect(PBX, "INVITE");
        let suites: Vec<_> = lines(&invite).iter().map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect();
        assert_eq!(suites, [SUITE, "AES_CM_128_HMAC_SHA1_32"]);
        let callee = Dialed::new(PBX, invite);
        bench.receive(PBX, callee.answer(200, &under(&answer(), "RTP/SAVP", &[line(1, NEW_KEY)])));
        bench.expect(PBX, "ACK");
        let ok = bench.expect(CARRIER, "SIP/2.0 200");
        assert!(lines(&ok)[0].starts_with(&format!("3 {SUITE} ")), "{}", ok.text);
        caller.to_tag = ok.tag("To");
        bench.receive(CARRIER, caller.request("ACK", "", ""));
        (caller, callee)
    };
    hang_up(bench, caller, &callee);
    let mut bench = Bench::with(table(trunks(), vec![route(vec![to_trunk("pbx")])]));
    bench.invite(CARRIER, "+14155550100", &under(&offer(), "RTP/SAVP", &[gcm]));
    bench.expect(CARRIER, "SIP/2.0 100");
    let refused = bench.expect(CARRIER, "SIP/2.0 488");
    let warning = refused.header("Warning");
    assert!(
        warning.contains("AEAD_AES_128_GCM; allowed RTP/SAVP with AES_CM_128_HMAC_SHA1_80, AES_CM_128_HMAC_SHA1_32"),
        "{warning}"
    );
}

/// The numbers of the remote party's stream may have rolled over once in each 655 s, and once more. Our own stream begins
/// under a new SSRC, because the indices that the crashed edge has used are unknown.
#[test]
fn rfc3711_roll_overs_after_a_crash_count_from_the_answer() {
    let required = [("carrier", CARRIER), ("pbx", PBX)];
    let required = || required.map(|(name, address)| Trunk { srtp: Srtp::Required, ..trunk(name, &[address]) });
    let routing = || table(required().to_vec(), vec![route(vec![to_trunk("pbx")])]);
    for (lived, down, rolled) in [(20, 1, 1), (650, 3, 1), (654, 3, 2), (6_600, 1, 11)] {
        let mut bench = Bench::with(routing());
        secure_call(&mut bench);
        bench.pass(Duration::from_secs(lived));
        bench.crash(routing(), Duration::from_secs(down));
        let resumed = remotes(&mut bench)
            .into_iter()
            .map(|remote| remote.srtp.map(|srtp| (srtp.rolled, srtp.own_sources.is_some_and(OwnSources::is_resumed))));
        assert_eq!(resumed.collect::<Vec<_>>(), [Some((rolled, true)); 2], "after {lived} s");
    }
}
