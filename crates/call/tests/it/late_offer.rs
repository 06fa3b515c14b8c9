//! INVITEs without offer: the target gets our offer, its answer becomes our offer to the caller, and the ACK brings the
//! caller's answer (RFC 3261 §13.2.1).

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use crate::bench::*;
use trunkgate_media::MediaCommand;
use trunkgate_route::Trunk;

#[test]
fn the_ack_brings_the_answer() {
    let mut bench = Bench::new();
    let mut caller = bench.invite(CARRIER, "+14155550100", "");
    bench.expect(CARRIER, "SIP/2.0 100");
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    assert!(callee.invite.body().contains("RTP/AVP 0 8 96 101"), "{}", callee.invite.body());
    bench.receive(PBX, callee.answer(183, &answer()));
    assert_eq!(bench.expect(CARRIER, "SIP/2.0 183").body(), "", "no offer in an unreliable answer");
    bench.take_media();
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    assert!(ok.body().contains("c=IN IP4 203.0.113.10"), "{}", ok.body());
    assert!(ok.body().contains("RTP/AVP 0 8 107 101"), "{}", ok.body());
    assert!(!ok.text.contains("10.0.0."), "{}", ok.text);
    assert!(bench.media.is_empty(), "the caller's media address is not known yet");
    caller.to_tag = ok.tag("To");
    bench.receive(CARRIER, caller.request("ACK", &sdp("198.51.100.7", 40_000, 1, "0 101", "sendrecv"), ""));
    let media = bench.take_media();
    assert_eq!(media.iter().filter(|c| matches!(c, MediaCommand::Wire { .. })).count(), 2);
    assert_eq!(
        media.iter().filter(|c| matches!(c, MediaCommand::SetRemote { remote, .. } if remote.watch_idle)).count(),
        2
    );
    bench.bye(&mut caller, &callee);
    bench.finish();
}

#[test]
fn an_ack_without_a_usable_answer_ends_the_call() {
    for (body, reason) in
        [("", "bad_media"), ("nonsense", "bad_media"), (&*offer().replace("0 8 101", "18"), "codec_mismatch")]
    {
        let mut bench = Bench::new();
        let mut caller = bench.invite(CARRIER, "+14155550100", "");
        bench.expect(CARRIER, "SIP/2.0 100");
        let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
        bench.receive(PBX, callee.answer(200, &answer()));
        bench.expect(PBX, "ACK");
        caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
        bench.receive(CARRIER, caller.request("ACK", body, ""));
        let bye = bench.expect(CARRIER, "BYE");
        bench.receive(CARRIER, caller.respond(&bye, 200, ""));
        let bye = bench.expect(PBX, "BYE");
        bench.receive(PBX, callee.respond(&bye, 200, ""));
        assert_eq!(bench.reports[0].call.reason, Some(reason));
        bench.finish();
    }
}

#[test]
fn codecs_of_both_trunks_are_offered_before_the_target_s_others() {
    let only = |name: &str, address: &str, codec: &str| Trunk { codecs: vec![codec.into()], ..trunk(name, &[address]) };
    let trunks = vec![trunk("carrier", &[CARRIER]), only("pbx", PBX, "PCMA")];
    let mut bench = Bench::with(table(trunks, vec![route(vec![to_trunk("pbx")])]));
    bench.invite(CARRIER, "+14155550100", "");
    let invite = bench.expect(PBX, "INVITE");
    assert!(invite.body().contains("RTP/AVP 8 101"), "{}", invite.body());

    let trunks = vec![only("carrier", CARRIER, "PCMU"), only("pbx", PBX, "PCMA")];
    let mut bench = Bench::with(table(trunks, vec![route(vec![to_trunk("pbx")])]));
    bench.invite(CARRIER, "+14155550100", "");
    let invite = bench.expect(PBX, "INVITE");
    assert!(invite.body().contains("RTP/AVP 8 101"), "what will be converted: {}", invite.body());

    let two = Trunk { codecs: vec!["PCMA".into(), "PCMU".into()], ..trunk("pbx", &[PBX]) };
    let trunks = vec![only("carrier", CARRIER, "PCMU"), two];
    let mut bench = Bench::with(table(trunks, vec![route(vec![to_trunk("pbx")])]));
    bench.invite(CARRIER, "+14155550100", "");
    let invite = bench.expect(PBX, "INVITE");
    assert!(invite.body().contains("RTP/AVP 0 8 101"), "what both may use comes first: {}", invite.body());
}
