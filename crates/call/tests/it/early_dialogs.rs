//! Several remote parties behind one INVITE of ours: the early description of each stays its own.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::net::SocketAddr;

use crate::bench::*;
use trunkgate_media::MediaCommand;

fn said(host: u8, version: u64) -> String {
    sdp(&format!("10.0.0.{host}"), 30_000 + u16::from(host) * 2, version, "0 101", "sendrecv")
}

fn at(host: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, host], 30_000 + u16::from(host) * 2))
}

/// Returns the destinations of the target's media since the last call of this function, in order.
fn pointed(bench: &mut Bench) -> Vec<SocketAddr> {
    let remote = |command: MediaCommand| match command {
        MediaCommand::SetRemote { remote, .. } => remote.rtp.filter(|rtp| rtp.ip() != ip("198.51.100.7")),
        _ => None,
    };
    bench.take_media().into_iter().filter_map(remote).collect()
}

/// Makes a call with one INVITE that two remote parties have received.
fn forked() -> (Bench, Dialing, Dialed, Dialed) {
    let mut bench = Bench::with(table(usual_trunks(), vec![route(vec![to_trunk("pbx")])]));
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let one = Dialed { tag: "one".into(), ..Dialed::new(PBX, bench.expect(PBX, "INVITE")) };
    let two = Dialed { tag: "two".into(), ..one.clone() };
    bench.take_media();
    (bench, caller, one, two)
}

fn end(mut bench: Bench, mut caller: Dialing, callee: &Dialed) {
    bench.expect(PBX, "ACK");
    caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.bye(&mut caller, callee);
    bench.finish();
}

#[test]
fn an_answer_without_description_means_what_its_own_fork_has_said() {
    for first_wins in [true, false] {
        let (mut bench, caller, one, two) = forked();
        bench.receive(PBX, one.answer(183, &said(51, 1)));
        bench.receive(PBX, two.answer(183, &said(52, 1)));
        bench.sent.retain(|sent| sent.code() != 183);
        assert_eq!(pointed(&mut bench), [at(51), at(52)], "the newest is heard");
        let winner = if first_wins { one } else { two };
        bench.receive(PBX, winner.answer(200, ""));
        let expected = at(if first_wins { 51 } else { 52 });
        assert_eq!(pointed(&mut bench), [expected], "first wins: {first_wins}");
        end(bench, caller, &winner);
    }
}

#[test]
fn the_media_of_the_one_that_answers_counts_alone() {
    let (mut bench, caller, one, two) = forked();
    bench.receive(PBX, one.answer(183, &said(51, 1)));
    bench.receive(PBX, two.answer(183, &said(52, 1)));
    bench.sent.retain(|sent| sent.code() != 183);
    bench.take_media();
    bench.receive(PBX, one.answer(200, &said(53, 2)));
    assert_eq!(pointed(&mut bench), [at(53)]);
    end(bench, caller, &one);
}

#[test]
fn an_answer_without_description_is_of_no_use_where_only_another_fork_has_said_one() {
    let (mut bench, _, one, two) = forked();
    bench.receive(PBX, one.answer(183, &said(51, 1)));
    bench.expect(CARRIER, "SIP/2.0 183");
    bench.receive(PBX, two.answer(200, ""));
    bench.expect(PBX, "ACK");
    let bye = bench.expect(PBX, "BYE");
    assert_eq!(bye.tag("To"), "two");
    bench.receive(PBX, two.respond(&bye, 200, ""));
    bench.expect(CARRIER, "SIP/2.0 488");
    bench.finish();
}

#[test]
fn a_fork_that_says_the_same_again_takes_nobodys_place() {
    let (mut bench, _, one, two) = forked();
    bench.receive(PBX, one.answer(183, &said(51, 1)));
    bench.receive(PBX, two.answer(183, &said(52, 1)));
    bench.receive(PBX, one.answer(183, &said(51, 1)));
    assert_eq!(pointed(&mut bench), [at(51), at(52)]);
}

#[test]
fn rfc6228_a_199_ends_one_early_dialog_and_is_never_shown() {
    let (mut bench, caller, one, two) = forked();
    bench.receive(PBX, one.answer(183, &said(51, 1)));
    bench.receive(PBX, two.answer(183, &said(52, 1)));
    bench.sent.clear();
    let dialogs = bench.gateway.sip_counts().dialogs;
    bench.take_media();
    bench.receive(PBX, two.answer_with(199, "Reason: SIP;cause=486;text=\"Busy Here\"\r\n"));
    bench.nothing();
    assert_eq!(pointed(&mut bench), [at(51)], "the one that is left is heard again");
    assert_eq!(bench.gateway.sip_counts().dialogs, dialogs - 1);
    // A 199 of an unknown early dialog has no effect.
    bench.receive(PBX, Dialed { tag: "three".into(), ..one.clone() }.answer(199, ""));
    bench.receive(PBX, two.answer(199, ""));
    bench.nothing();
    assert_eq!(bench.gateway.sip_counts().dialogs, dialogs - 1);
    assert_eq!(bench.gateway.live_calls(), 1);
    bench.receive(PBX, one.answer(200, ""));
    end(bench, caller, &one);
}

#[test]
fn the_199_of_the_only_one_leaves_the_invite_open() {
    let (mut bench, caller, one, two) = forked();
    bench.receive(PBX, one.answer(183, &said(51, 1)));
    bench.expect(CARRIER, "SIP/2.0 183");
    bench.receive(PBX, one.answer(199, ""));
    bench.nothing();
    bench.take_media();
    bench.receive(PBX, two.answer(183, &said(52, 1)));
    bench.expect(CARRIER, "SIP/2.0 183");
    assert_eq!(pointed(&mut bench), [at(52)]);
    bench.receive(PBX, two.answer(200, &said(52, 1)));
    end(bench, caller, &two);
}
