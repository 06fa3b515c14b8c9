//! An agent is lost before the caller's ACK. A caller without an offer names its media address only there: the edge
//! waits for it, and the next target gets the call.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use crate::bench::agents::{Told, from_agent_wire, hang_up, to_agent, to_agent_wire};
use crate::bench::{Bench, CARRIER, Dialed, Dialing, PBX, answer, sdp, to_trunk};
use trunkgate_media::agent::StreamLoss;
use trunkgate_media::{AgentEvent, AgentRequest, EndId, MediaEvent};
use trunkgate_route::TargetSpec;

/// Makes a call without an offer that has its 200 but no ACK, and loses its agent.
fn unacknowledged(connect: Vec<TargetSpec>, news: impl Fn(EndId) -> MediaEvent) -> (Bench, Dialing, EndId) {
    let mut bench = Bench::with_agents(connect);
    let mut caller = bench.invite(CARRIER, "+14155550100", "");
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 180");
    let (desk, _) = bench.asked().remove(0);
    bench.open(desk);
    caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
    bench.told();
    bench.news(news(desk));
    bench.nothing();
    assert_eq!(bench.told(), [Told::Remove(desk)]);
    assert_eq!(bench.state(), "transferring");
    (bench, caller, desk)
}

fn reset(end: EndId) -> MediaEvent {
    MediaEvent::Agent { end, event: AgentEvent::Lost(StreamLoss::Reset) }
}

fn where_it_is() -> String {
    sdp("198.51.100.7", 40_000, 1, "0 101", "sendrecv")
}

#[test]
fn the_ack_is_waited_for_and_the_next_target_gets_the_call() {
    let (mut bench, mut caller, desk) = unacknowledged(vec![to_agent("desk"), to_trunk("pbx")], reset);
    bench.receive(CARRIER, caller.request("ACK", &where_it_is(), ""));
    let player = EndId(desk.0 + 2);
    assert_eq!(bench.told(), [Told::Ringback(player), Told::Wire(player, EndId(0), from_agent_wire())]);
    let invite = bench.expect(PBX, "INVITE");
    assert!(invite.body().contains("RTP/AVP 0 8 107 101\r\n"), "{}", invite.text);
    let callee = Dialed::new(PBX, invite);
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    assert_eq!(bench.state(), "answered");
    hang_up(&mut bench, &mut caller);
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, callee.respond(&bye, 200, ""));
    assert_eq!((bench.reports[0].failovers, bench.reports[0].call.reason), (1, Some("caller_hung_up")));
    bench.finish();
}

#[test]
fn so_does_the_next_agent_and_the_target_of_a_transfer() {
    let to_night =
        |end| MediaEvent::Agent { end, event: AgentEvent::Request(AgentRequest::Transfer("agent:night".into())) };
    for (connect, news) in [
        (vec![to_agent("desk"), to_agent("night")], &reset as &dyn Fn(EndId) -> MediaEvent),
        (vec![to_agent("desk")], &to_night),
    ] {
        let (mut bench, mut caller, _) = unacknowledged(connect, news);
        bench.receive(CARRIER, caller.request("ACK", &where_it_is(), ""));
        let (night, _) = bench.asked().pop().unwrap();
        bench.told();
        bench.open(night);
        let told = bench.told();
        assert_eq!(
            told[..2],
            [Told::Wire(EndId(0), night, to_agent_wire()), Told::Wire(night, EndId(0), from_agent_wire())]
        );
        assert_eq!(bench.state(), "answered");
        hang_up(&mut bench, &mut caller);
        bench.finish();
    }
}

#[test]
fn an_ack_that_says_nothing_ends_the_call() {
    for body in ["", "v=0\r\nnonsense", &sdp("198.51.100.7", 40_000, 1, "18", "sendrecv")] {
        let (mut bench, caller, _) = unacknowledged(vec![to_agent("desk"), to_trunk("pbx")], reset);
        bench.receive(CARRIER, caller.request("ACK", body, ""));
        let bye = bench.expect(CARRIER, "BYE");
        bench.receive(CARRIER, caller.respond(&bye, 200, ""));
        bench.finish();
    }
}

#[test]
fn an_ack_that_never_comes_ends_the_call() {
    let (mut bench, caller, _) = unacknowledged(vec![to_agent("desk"), to_trunk("pbx")], reset);
    bench.pass(Duration::from_secs(33));
    bench.sent.retain(|sent| !sent.first_line().starts_with("SIP/2.0 200"));
    let bye = bench.expect(CARRIER, "BYE");
    bench.receive(CARRIER, caller.respond(&bye, 200, ""));
    assert_eq!(bench.reports[0].call.reason, Some("ack_timeout"));
    bench.finish();
}

#[test]
fn a_caller_that_hangs_up_instead_ends_the_call() {
    let (mut bench, mut caller, _) = unacknowledged(vec![to_agent("desk"), to_trunk("pbx")], reset);
    hang_up(&mut bench, &mut caller);
    bench.sent.clear();
    bench.finish();
}

#[test]
fn an_answer_to_a_later_offer_of_ours_is_taken_while_the_next_target_rings() {
    let mut bench = Bench::with_agents(vec![to_agent("desk"), to_trunk("pbx")]);
    let (mut caller, own, desk) = bench.talking();
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("INVITE", "", ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 200");
    bench.lose(desk, StreamLoss::Reset);
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.media.clear();
    bench.receive(CARRIER, caller.request("ACK", &sdp("198.51.100.9", 41_000, 2, "0 101", "sendrecv"), ""));
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    let moved = bench.media.iter().filter_map(|(_, command)| match command {
        trunkgate_media::MediaCommand::SetRemote { end, remote } if *end == own => remote.rtp,
        _ => None,
    });
    let moved: Vec<_> = moved.collect();
    assert!(moved.iter().all(|rtp| rtp.to_string() == "198.51.100.9:41000") && !moved.is_empty(), "{moved:?}");
    assert_eq!(bench.state(), "answered");
    hang_up(&mut bench, &mut caller);
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, callee.respond(&bye, 200, ""));
    bench.finish();
}
