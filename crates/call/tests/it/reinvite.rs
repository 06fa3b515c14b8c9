//! Changes of an answered call: hold and resume, refresh, refusal, glare, and a remote party that has lost the call.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::time::Duration;

use crate::bench::sessions::bench_of;
use crate::bench::*;
use trunkgate_media::{MediaCommand, RemoteSpec};
use trunkgate_route::ReinviteMode;

fn held_offer() -> String {
    sdp("198.51.100.7", 40_000, 2, "0 8 101", "sendonly")
}

fn remotes(bench: &mut Bench) -> Vec<RemoteSpec> {
    let media = bench.take_media();
    media
        .into_iter()
        .filter_map(|c| match c {
            MediaCommand::SetRemote { remote, .. } => Some(remote),
            _ => None,
        })
        .collect()
}

fn hang_up(mut bench: Bench, mut caller: Dialing, callee: &Dialed) {
    caller.cseq += 1;
    bench.sent.clear();
    bench.receive(CARRIER, caller.request("BYE", "", ""));
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, callee.respond(&bye, 200, ""));
    bench.finish();
}

/// Sends a re-INVITE of the caller, which reaches the PBX.
fn reinvite(bench: &mut Bench, caller: &mut Dialing, body: &str) -> Sent {
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("INVITE", body, ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(PBX, "INVITE")
}

#[test]
fn hold_and_resume_go_through() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.answered();
    bench.take_media();
    let hold = reinvite(&mut bench, &mut caller, &held_offer());
    assert_eq!(hold.header("Call-ID"), callee.invite.header("Call-ID"));
    assert!(hold.body().contains("a=sendonly"));
    assert_eq!(hold.port(), callee.invite.port());
    assert!(hold.body().contains(" 2 IN IP4 10.0.0.5"), "the version rises: {}", hold.body());
    assert!(bench.media.is_empty(), "nothing changes before the answer");
    bench.receive(PBX, callee.respond(&hold, 200, &sdp("10.0.0.20", 30_000, 2, "0 101", "recvonly")));
    bench.expect(PBX, "ACK");
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    assert!(ok.body().contains("a=recvonly"));
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    let specs = remotes(&mut bench);
    assert_eq!(specs.len(), 2);
    assert!(specs.iter().all(|r| r.relatch && !r.watch_idle));
    assert_eq!((specs[0].may_send, specs[0].may_receive), (true, false));
    assert_eq!((specs[1].may_send, specs[1].may_receive), (false, true));
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "held");

    let resume = reinvite(&mut bench, &mut caller, &sdp("198.51.100.7", 40_000, 3, "0 8 101", "sendrecv"));
    bench.receive(PBX, callee.respond(&resume, 200, &sdp("10.0.0.20", 30_000, 3, "0 101", "sendrecv")));
    bench.expect(PBX, "ACK");
    bench.expect(CARRIER, "SIP/2.0 200");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    assert!(remotes(&mut bench).iter().all(|r| r.may_send && r.may_receive && r.watch_idle));
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "answered");
    bench.nothing();
    hang_up(bench, caller, &callee);
}

#[test]
fn the_callee_may_ask_too_and_may_move() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.answered();
    bench.take_media();
    let moved = sdp("10.0.0.88", 33_000, 2, "0 101", "sendrecv");
    bench.receive(PBX, callee.request("INVITE", 1, &moved));
    bench.expect(PBX, "SIP/2.0 100");
    let asked = bench.expect(CARRIER, "INVITE sip:alice@198.51.100.7:5060");
    assert!(!asked.text.contains("10.0.0."), "{}", asked.text);
    let same = sdp("198.51.100.7", 40_000, 1, "0 8 101", "sendrecv");
    bench.receive(CARRIER, caller.respond(&asked, 200, &same));
    bench.expect(CARRIER, "ACK");
    bench.expect(PBX, "SIP/2.0 200");
    bench.receive(PBX, callee.request("ACK", 1, ""));
    let specs = remotes(&mut bench);
    assert!(specs.iter().any(|r| r.rtp == Some("10.0.0.88:33000".parse().unwrap()) && r.relatch));
    assert!(!specs.iter().any(|r| r.rtp == Some("198.51.100.7:40000".parse().unwrap()) && r.relatch));
    caller.cseq = 1;
    hang_up(bench, caller, &callee);
}

#[test]
fn a_refusal_comes_back_and_changes_nothing() {
    for (code, seen) in [(488, 488), (491, 491), (603, 603), (401, 500), (503, 500)] {
        let mut bench = Bench::new();
        let (mut caller, callee) = bench.answered();
        bench.take_media();
        let asked = reinvite(&mut bench, &mut caller, &held_offer());
        bench.receive(PBX, callee.respond(&asked, code, ""));
        bench.expect(PBX, "ACK");
        assert_eq!(bench.next(CARRIER).code(), seen);
        bench.receive(CARRIER, caller.request("ACK", "", "").replace("-ACK-", "-INVITE-"));
        assert!(bench.media.is_empty());
        assert_eq!(bench.gateway.calls(bench.now)[0].state, "answered");
        hang_up(bench, caller, &callee);
    }
}

#[test]
fn a_side_that_has_lost_the_call_ends_it() {
    for code in [481, 408] {
        let mut bench = Bench::new();
        let (mut caller, callee) = bench.answered();
        let asked = reinvite(&mut bench, &mut caller, &held_offer());
        bench.receive(PBX, callee.respond(&asked, code, ""));
        bench.expect(PBX, "ACK");
        assert_eq!(bench.next(CARRIER).code(), code);
        let bye = bench.expect(CARRIER, "BYE");
        bench.receive(CARRIER, caller.respond(&bye, 200, ""));
        let bye = bench.expect(PBX, "BYE");
        bench.receive(PBX, callee.respond(&bye, 481, ""));
        assert_eq!(bench.reports[0].call.reason, Some("unreachable"));
        bench.finish();
    }
    let mut bench = Bench::new();
    let (mut caller, _) = bench.answered();
    reinvite(&mut bench, &mut caller, &held_offer());
    bench.pass(Duration::from_secs(33));
    assert_eq!(bench.reports[0].call.reason, Some("unreachable"));
    bench.finish();
}

#[test]
fn without_description_it_is_answered_here() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.answered();
    bench.take_media();
    caller.cseq = 2;
    bench.receive(CARRIER, caller.request("INVITE", "", ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    assert!(ok.body().contains("m=audio"), "{}", ok.text);
    bench.receive(CARRIER, caller.request("ACK", &offer().replace("0 8 101", "0 101"), ""));
    bench.nothing();
    assert!(remotes(&mut bench).iter().all(|r| r.rtp != Some("198.51.100.7:40000".parse().unwrap()) || r.may_send));
    // The answer may change the media address.
    caller.cseq = 3;
    bench.receive(CARRIER, caller.request("INVITE", "", ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 200");
    let moved = sdp("198.51.100.8", 41_000, 2, "0 101", "sendrecv");
    bench.receive(CARRIER, caller.request("ACK", &moved, ""));
    let specs = remotes(&mut bench);
    assert_eq!(specs.len(), 1);
    assert_eq!((specs[0].rtp, specs[0].relatch), (Some("198.51.100.8:41000".parse().unwrap()), true));
    // An ACK without an answer changes nothing.
    caller.cseq = 4;
    bench.receive(CARRIER, caller.request("INVITE", "", ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 200");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    assert!(bench.media.is_empty());
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "answered");
    hang_up(bench, caller, &callee);
}

#[test]
fn glare_is_491_on_both_sides() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.answered();
    let asked = reinvite(&mut bench, &mut caller, &held_offer());
    bench.receive(PBX, callee.request("INVITE", 1, &answer()));
    bench.expect(PBX, "SIP/2.0 491");
    bench.receive(PBX, callee.respond(&asked, 491, ""));
    bench.expect(CARRIER, "SIP/2.0 491");
    bench.receive(CARRIER, caller.request("ACK", "", "").replace("-ACK-", "-INVITE-"));
    hang_up(bench, caller, &callee);
}

/// The owner of the Call-ID waits longer, so that the two do not collide again.
#[test]
fn rfc3261_14_1_a_re_invite_of_ours_waits_after_a_glare() {
    let mut waits = std::collections::BTreeSet::new();
    for from_caller in [true, false].into_iter().cycle().take(8) {
        let mut bench = Bench::new();
        let (mut caller, callee) = bench.answered();
        // A hold in the ACK to our offer: the other side gets a re-INVITE of our own.
        let (asks, asked) = if from_caller { (CARRIER, PBX) } else { (PBX, CARRIER) };
        caller.cseq = 2;
        let held = "sendonly";
        let (invite, ack) = if from_caller {
            (
                caller.request("INVITE", "", ""),
                caller.request("ACK", &sdp("198.51.100.7", 40_000, 2, "0 101", held), ""),
            )
        } else {
            let held = sdp("10.0.0.20", 30_000, 2, "0 101", held);
            (callee.request("INVITE", 1, ""), callee.request("ACK", 1, &held))
        };
        bench.receive(asks, invite);
        bench.expect(asks, "SIP/2.0 100");
        bench.expect(asks, "SIP/2.0 200");
        bench.receive(asks, ack);
        let respond = |request: &Sent, code, body: &str| {
            if from_caller { callee.respond(request, code, body) } else { caller.respond(request, code, body) }
        };
        for _ in 0..3 {
            let again = bench.expect(asked, "INVITE");
            assert!(again.body().contains("a=sendonly"), "{}", again.body());
            bench.receive(asked, respond(&again, 491, ""));
            bench.expect(asked, "ACK");
            let began = bench.now;
            while bench.sent.is_empty() {
                bench.pass(Duration::from_millis(10));
            }
            let waited = bench.now - began;
            let range = if from_caller { 2_100..=4_000 } else { 0..=2_000 };
            assert!(range.contains(&waited.as_millis()), "{waited:?}");
            waits.insert(waited);
        }
        // The fourth attempt is the last.
        let again = bench.expect(asked, "INVITE");
        bench.receive(asked, respond(&again, 491, ""));
        bench.expect(asked, "ACK");
        bench.pass(Duration::from_secs(5));
        bench.nothing();
        hang_up(bench, caller, &callee);
    }
    assert!(waits.len() > 3, "drawn again each time: {waits:?}");
}

#[test]
fn an_unusable_offer_is_refused_here() {
    for (body, code) in [
        ("nonsense".to_owned(), 400),
        (held_offer().replace("0 8 101", "101"), 488),
        (held_offer().replace("c=IN IP4 198.51.100.7", "c=IN IP4 127.0.0.1"), 488),
    ] {
        let mut bench = Bench::new();
        let (mut caller, callee) = bench.answered();
        caller.cseq = 2;
        bench.receive(CARRIER, caller.request("INVITE", &body, ""));
        bench.expect(CARRIER, "SIP/2.0 100");
        assert_eq!(bench.next(CARRIER).code(), code, "{body}");
        bench.receive(CARRIER, caller.request("ACK", "", "").replace("-ACK-", "-INVITE-"));
        bench.nothing();
        hang_up(bench, caller, &callee);
    }
}

#[test]
fn a_withdrawn_change_that_the_other_side_made_is_put_back() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.answered();
    let asked = reinvite(&mut bench, &mut caller, &held_offer());
    bench.receive(PBX, callee.respond(&asked, 180, ""));
    bench.receive(CARRIER, caller.request("CANCEL", "", ""));
    bench.expect(CARRIER, "SIP/2.0 200");
    bench.expect(CARRIER, "SIP/2.0 487");
    bench.receive(CARRIER, caller.request("ACK", "", "").replace("-ACK-", "-INVITE-"));
    let cancel = bench.expect(PBX, "CANCEL");
    bench.receive(PBX, callee.respond(&cancel, 200, ""));
    bench.receive(PBX, callee.respond(&asked, 200, &sdp("10.0.0.20", 30_000, 2, "0 101", "recvonly")));
    bench.expect(PBX, "ACK");
    let back = bench.expect(PBX, "INVITE");
    assert!(back.body().contains("a=sendrecv"), "{}", back.body());
    bench.receive(PBX, callee.respond(&back, 200, &sdp("10.0.0.20", 30_000, 3, "0 101", "sendrecv")));
    bench.expect(PBX, "ACK");
    bench.nothing();
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "answered");
    hang_up(bench, caller, &callee);
}

#[test]
fn an_answer_that_does_not_fit_is_refused_and_put_back() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.answered();
    let asked = reinvite(&mut bench, &mut caller, &held_offer());
    bench.receive(PBX, callee.respond(&asked, 200, &sdp("10.0.0.20", 30_000, 2, "18", "recvonly")));
    bench.expect(PBX, "ACK");
    bench.expect(CARRIER, "SIP/2.0 488");
    bench.receive(CARRIER, caller.request("ACK", "", "").replace("-ACK-", "-INVITE-"));
    let back = bench.expect(PBX, "INVITE");
    bench.receive(PBX, callee.respond(&back, 488, ""));
    bench.expect(PBX, "ACK");
    bench.nothing();
    hang_up(bench, caller, &callee);
}

#[test]
fn a_bye_in_the_middle_of_a_change_ends_all() {
    for from_caller in [true, false] {
        let mut bench = Bench::new();
        let (mut caller, callee) = bench.answered();
        let asked = reinvite(&mut bench, &mut caller, &held_offer());
        if from_caller {
            caller.cseq = 3;
            bench.receive(CARRIER, caller.request("BYE", "", ""));
            let bye = bench.expect(PBX, "BYE");
            bench.receive(PBX, callee.respond(&bye, 200, ""));
            bench.receive(PBX, callee.respond(&asked, 487, ""));
        } else {
            bench.receive(PBX, callee.request("BYE", 1, ""));
            bench.receive(PBX, callee.respond(&asked, 487, ""));
            bench.expect(CARRIER, "SIP/2.0 487");
            let bye = bench.expect(CARRIER, "BYE");
            bench.receive(CARRIER, caller.respond(&bye, 200, ""));
        }
        assert_eq!(bench.reports.len(), 1);
        bench.finish();
    }
}

#[test]
fn a_new_stream_gets_ports_on_both_sides_and_loses_them_again() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.answered();
    let ports = bench.gateway.metrics().media_ports_in_use;
    let two = |version, ip: &str, port: u16| {
        format!("{}m=audio {port} RTP/AVP 0\r\n", sdp(ip, 40_000, version, "0 101", "sendrecv"))
    };
    let asked = reinvite(&mut bench, &mut caller, &two(2, "198.51.100.7", 40_010));
    assert_eq!(asked.body().matches("m=audio").count(), 2);
    assert_eq!(bench.gateway.metrics().media_ports_in_use, ports + 4);
    bench.receive(PBX, callee.respond(&asked, 488, ""));
    bench.expect(CARRIER, "SIP/2.0 488");
    bench.receive(CARRIER, caller.request("ACK", "", "").replace("-ACK-", "-INVITE-"));
    assert_eq!(bench.gateway.metrics().media_ports_in_use, ports);
    bench.sent.clear();

    let asked = reinvite(&mut bench, &mut caller, &two(3, "198.51.100.7", 40_010));
    bench.receive(PBX, callee.respond(&asked, 200, &two(2, "10.0.0.20", 30_010)));
    bench.expect(CARRIER, "SIP/2.0 200");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    assert_eq!(bench.gateway.metrics().media_ports_in_use, ports + 4);
    bench.sent.clear();
    bench.take_media();
    let asked = reinvite(&mut bench, &mut caller, &two(4, "198.51.100.7", 0));
    bench.receive(PBX, callee.respond(&asked, 200, &two(3, "10.0.0.20", 0)));
    bench.expect(CARRIER, "SIP/2.0 200");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    assert!(bench.take_media().iter().any(|c| matches!(c, MediaCommand::RemoveEnd { .. })));
    assert_eq!(bench.gateway.metrics().media_ports_in_use, ports);
    hang_up(bench, caller, &callee);
}

/// Makes a call in which the trunk of this name gets no re-INVITE.
fn kept(name: &str) -> (Bench, Dialing, Dialed) {
    let mut bench = bench_of(|trunk| {
        if *trunk.name == *name {
            trunk.reinvite = ReinviteMode::Local;
        }
    });
    let (caller, callee) = bench.answered();
    bench.take_media();
    (bench, caller, callee)
}

/// Sends a re-INVITE of the caller that the edge answers itself; returns the 200.
fn changed_here(bench: &mut Bench, caller: &mut Dialing, body: &str) -> Sent {
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("INVITE", body, ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.nothing();
    ok
}

#[test]
fn a_callee_that_is_sent_no_changes_keeps_its_session() {
    let (mut bench, mut caller, callee) = kept("pbx");
    let moved = sdp("198.51.100.8", 41_000, 2, "0 8 101", "sendrecv");
    let ok = changed_here(&mut bench, &mut caller, &moved);
    assert!(ok.body().contains("a=sendrecv") && ok.body().contains("RTP/AVP 0"), "{}", ok.body());
    let specs = remotes(&mut bench);
    assert!(specs.iter().any(|r| r.rtp == Some("198.51.100.8:41000".parse().unwrap()) && r.relatch), "{specs:?}");
    assert!(specs.iter().all(|r| r.rtp != Some("10.0.0.20:30000".parse().unwrap()) || !r.relatch), "{specs:?}");
    // Another codec is transcoded.
    let ok = changed_here(&mut bench, &mut caller, &sdp("198.51.100.8", 41_000, 3, "8 101", "sendrecv"));
    assert!(ok.body().contains("RTP/AVP 8"), "{}", ok.body());
    // A hold, although `hold` is relayed, and its end.
    let ok = changed_here(&mut bench, &mut caller, &sdp("198.51.100.8", 41_000, 4, "8 101", "sendonly"));
    assert!(ok.body().contains("a=recvonly"), "{}", ok.body());
    let ok = changed_here(&mut bench, &mut caller, &sdp("198.51.100.8", 41_000, 5, "8 101", "sendrecv"));
    assert!(ok.body().contains("a=sendrecv"), "{}", ok.body());
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "answered");
    hang_up(bench, caller, &callee);
}

#[test]
fn a_change_to_an_unknown_codec_is_rejected_where_the_other_side_is_sent_none() {
    let (mut bench, mut caller, callee) = kept("pbx");
    caller.cseq += 1;
    let g729 = sdp("198.51.100.7", 40_000, 2, "18 101", "sendrecv");
    bench.receive(CARRIER, caller.request("INVITE", &g729, ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 488");
    bench.receive(CARRIER, caller.request("ACK", "", "").replace("-ACK-", "-INVITE-"));
    assert!(bench.media.is_empty(), "the session stays as it is");
    bench.nothing();
    hang_up(bench, caller, &callee);
}

#[test]
fn a_caller_that_is_sent_no_changes_keeps_its_session() {
    let (mut bench, mut caller, callee) = kept("carrier");
    let moved = sdp("10.0.0.88", 33_000, 2, "0 101", "sendrecv");
    bench.receive(PBX, callee.request("INVITE", 1, &moved));
    bench.expect(PBX, "SIP/2.0 100");
    bench.expect(PBX, "SIP/2.0 200");
    bench.receive(PBX, callee.request("ACK", 1, ""));
    bench.nothing();
    let specs = remotes(&mut bench);
    assert!(specs.iter().any(|r| r.rtp == Some("10.0.0.88:33000".parse().unwrap()) && r.relatch), "{specs:?}");
    caller.cseq = 1;
    hang_up(bench, caller, &callee);
}

/// The carrier offered PCMU and PCMA, and our answer has only PCMU.
#[test]
fn a_caller_that_is_sent_no_changes_gets_no_codec_that_it_has_not_agreed_on() {
    let (mut bench, mut caller, callee) = kept("carrier");
    bench.receive(PBX, callee.request("INVITE", 1, &sdp("10.0.0.20", 30_000, 2, "8 101", "sendrecv")));
    bench.expect(PBX, "SIP/2.0 100");
    let ok = bench.expect(PBX, "SIP/2.0 200");
    assert!(ok.body().contains("RTP/AVP 8"), "{}", ok.body());
    bench.receive(PBX, callee.request("ACK", 1, ""));
    bench.nothing();
    let is_converted = |command: MediaCommand| match command {
        MediaCommand::Wire { wire, .. } => Some(wire.transcode.is_some()),
        _ => None,
    };
    let wires: Vec<bool> = bench.take_media().into_iter().filter_map(is_converted).collect();
    assert_eq!(wires, [true, true], "PCMA with the PBX, PCMU with the carrier");
    caller.cseq = 1;
    hang_up(bench, caller, &callee);
}

#[test]
fn a_stream_that_a_kept_side_does_not_have_is_refused_and_one_that_it_has_can_rest() {
    let two = |version, ip: &str, port: u16| {
        format!("{}m=audio {port} RTP/AVP 0\r\n", sdp(ip, 40_000, version, "0 101", "sendrecv"))
    };
    let (mut bench, mut caller, callee) = kept("pbx");
    let ports = bench.gateway.metrics().media_ports_in_use;
    let ok = changed_here(&mut bench, &mut caller, &two(2, "198.51.100.7", 40_010));
    assert_eq!(
        (ok.body().matches("m=audio").count(), ok.body().matches("m=audio 0 ").count()),
        (2, 1),
        "{}",
        ok.body()
    );
    assert_eq!(bench.gateway.metrics().media_ports_in_use, ports);
    hang_up(bench, caller, &callee);

    let mut bench = bench_of(|trunk| trunk.reinvite = ReinviteMode::Local);
    let (mut caller, callee) =
        bench.connected("+14155550100", &two(1, "198.51.100.7", 40_010), &two(1, "10.0.0.20", 30_010));
    bench.take_media();
    let ports = bench.gateway.metrics().media_ports_in_use;
    let ok = changed_here(&mut bench, &mut caller, &two(2, "198.51.100.7", 0));
    assert!(ok.body().contains("m=audio 0 "), "{}", ok.body());
    assert!(bench.take_media().iter().any(|c| matches!(c, MediaCommand::RemoveEnd { .. })), "its silence ends no call");
    assert_eq!(bench.gateway.metrics().media_ports_in_use, ports - 2);
    let ok = changed_here(&mut bench, &mut caller, &two(3, "198.51.100.7", 40_010));
    assert!(!ok.body().contains("m=audio 0 "), "{}", ok.body());
    assert_eq!(bench.gateway.metrics().media_ports_in_use, ports);
    hang_up(bench, caller, &callee);
}

/// A hold in the ACK to our own offer would be relayed by a re-INVITE.
#[test]
fn a_callee_that_is_sent_no_changes_hears_of_no_hold_in_an_ack() {
    let (mut bench, mut caller, callee) = kept("pbx");
    caller.cseq = 2;
    bench.receive(CARRIER, caller.request("INVITE", "", ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 200");
    bench.receive(CARRIER, caller.request("ACK", &sdp("198.51.100.7", 40_000, 2, "0 101", "sendonly"), ""));
    bench.nothing();
    hang_up(bench, caller, &callee);
}
