//! Early media: wired by the 18x, kept by the 200, and replaceable after another target answers.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use crate::bench::*;
use trunkgate_media::MediaCommand;

fn wires(commands: &[MediaCommand]) -> usize {
    commands.iter().filter(|c| matches!(c, MediaCommand::Wire { .. })).count()
}

#[test]
fn a_183_with_description_wires_the_media_at_once() {
    let mut bench = Bench::new();
    let mut caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.take_media();
    bench.receive(PBX, callee.answer(183, &answer()));
    let progress = bench.expect(CARRIER, "SIP/2.0 183");
    assert!(progress.body().contains("m=audio"));
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "early");
    let media = bench.take_media();
    assert_eq!(wires(&media), 2);
    let watched = |c: &MediaCommand| matches!(c, MediaCommand::SetRemote { remote, .. } if remote.watch_idle);
    assert!(!media.iter().any(watched), "silence before the answer is not a fault");

    bench.receive(PBX, callee.answer(180, ""));
    let ringing = bench.expect(CARRIER, "SIP/2.0 180");
    assert_eq!(ringing.body(), "");
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "early");

    // The 200 may repeat the answer or omit it, with the same meaning.
    bench.receive(PBX, callee.answer(200, ""));
    bench.expect(PBX, "ACK");
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    assert_eq!(ok.body(), progress.body());
    let media = bench.take_media();
    assert_eq!(wires(&media), 0);
    assert_eq!(media.iter().filter(|c| watched(c)).count(), 2);
    caller.to_tag = ok.tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.bye(&mut caller, &callee);
    bench.finish();
}

#[test]
fn another_answer_in_the_200_changes_the_wires_and_the_version() {
    let mut bench = Bench::new();
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(183, &answer()));
    let progress = bench.expect(CARRIER, "SIP/2.0 183");
    bench.take_media();
    bench.receive(PBX, callee.answer(200, &sdp("10.0.0.77", 32_000, 2, "8 101", "sendrecv")));
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    assert_eq!(ok.port(), progress.port());
    assert!(ok.body().contains("RTP/AVP 8 101"), "{}", ok.body());
    let version = |sent: &Sent| -> u64 {
        let line = sent.body().lines().find(|l| l.starts_with("o=")).unwrap().to_owned();
        line.split(' ').nth(2).unwrap().parse().unwrap()
    };
    assert_eq!(version(&ok), version(&progress) + 1);
    let media = bench.take_media();
    assert_eq!(wires(&media), 2);
    assert!(media.iter().any(
        |c| matches!(c, MediaCommand::SetRemote { remote, .. } if remote.relatch && remote.rtp == Some("10.0.0.77:32000".parse().unwrap()))
    ));
}

#[test]
fn after_a_target_with_early_media_fails_the_next_ones_answer_is_usable() {
    let mut bench = Bench::new();
    let mut caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(183, &answer()));
    let progress = bench.expect(CARRIER, "SIP/2.0 183");
    bench.take_media();
    bench.receive(PBX, callee.answer(503, ""));
    bench.expect(PBX, "ACK");
    let media = bench.take_media();
    assert!(media.iter().any(|c| matches!(c, MediaCommand::RemoveEnd { .. })));
    let backup = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE"));
    bench.receive(BACKUP, backup.answer(200, &sdp("10.0.0.30", 31_000, 5, "0 101", "sendrecv")));
    bench.expect(BACKUP, "ACK");
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    assert_eq!(ok.body(), progress.body(), "the same answer: the caller need not look twice");
    assert_eq!(wires(&bench.take_media()), 2);
    caller.to_tag = ok.tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.bye(&mut caller, &backup);
    bench.finish();
}

#[test]
fn an_unusable_description_in_a_183_is_left_out() {
    let mut bench = Bench::new();
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(183, "nonsense"));
    assert_eq!(bench.expect(CARRIER, "SIP/2.0 183").body(), "");
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(CARRIER, "SIP/2.0 200");
}

#[test]
fn a_200_that_cannot_be_used_fails_the_target() {
    for body in
        ["", "nonsense", &sdp("127.0.0.1", 30_000, 1, "0", "sendrecv"), &sdp("10.0.0.20", 30_000, 1, "18", "sendrecv")]
    {
        let mut bench = Bench::new();
        bench.invite(CARRIER, "+14155550100", &offer());
        bench.expect(CARRIER, "SIP/2.0 100");
        let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
        bench.receive(PBX, callee.answer(200, body));
        bench.expect(PBX, "ACK");
        let bye = bench.expect(PBX, "BYE");
        bench.receive(PBX, callee.respond(&bye, 200, ""));
        let backup = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE"));
        bench.receive(BACKUP, backup.answer(503, ""));
        bench.expect(BACKUP, "ACK");
        bench.expect(CARRIER, "SIP/2.0 488");
        bench.finish();
    }
}
