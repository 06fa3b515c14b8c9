//! An agent that does not connect is a failed target: the next one is tried, and without one the caller gets 503.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use crate::bench::agents::{Told, to_agent};
use crate::bench::{Bench, CARRIER, Dialed, PBX, answer, offer, sdp, to_trunk};
use trunkgate_media::EndId;
use trunkgate_media::agent::StreamLoss;

#[test]
fn the_next_target_gets_the_call() {
    let mut bench = Bench::with_agents(vec![to_agent("desk"), to_trunk("pbx")]);
    let mut caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 180");
    let (desk, _) = bench.asked().remove(0);
    bench.lose(desk, StreamLoss::Status(404));
    assert!(bench.told().contains(&Told::Remove(desk)));
    let invite = bench.expect(PBX, "INVITE");
    assert!(invite.body().contains("RTP/AVP 0 8 107 101\r\n"), "the caller's own offer: {}", invite.text);
    let callee = Dialed::new(PBX, invite);
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    caller.to_tag = ok.tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    assert!(bench.story().contains("agent 1: failed: answered the handshake with 404"), "{}", bench.story());
    let failovers: Vec<_> = bench.gateway.metrics().failovers.iter().map(|((_, why), n)| (*why, *n)).collect();
    assert_eq!(failovers, [("agent_refused", 1)]);
    let desk = &bench.gateway.status(bench.now).agents[0];
    assert_eq!((desk.state, desk.lost), ("down", 1));
    assert_eq!(desk.last_problem.as_deref(), Some("answered the handshake with 404"));
    bench.receive(PBX, callee.request("BYE", 2, ""));
    bench.expect(PBX, "SIP/2.0 200");
    let bye = bench.expect(CARRIER, "BYE");
    bench.receive(CARRIER, caller.respond(&bye, 200, ""));
    assert_eq!((bench.reports[0].failovers, bench.reports[0].call.legs.len()), (1, 3));
    bench.finish();
}

#[test]
fn without_another_target_the_caller_gets_503() {
    for (loss, slug) in [
        (StreamLoss::Unreachable, "agent_unreachable"),
        (StreamLoss::Tls, "agent_tls_failed"),
        (StreamLoss::Status(503), "agent_refused"),
        (StreamLoss::NotWebSocket, "agent_not_websocket"),
        (StreamLoss::ConnectTimeout, "agent_connect_timeout"),
    ] {
        let mut bench = Bench::with_agents(vec![to_agent("desk"), to_agent("night")]);
        let caller = bench.invite(CARRIER, "+14155550100", &offer());
        bench.expect(CARRIER, "SIP/2.0 100");
        bench.expect(CARRIER, "SIP/2.0 180");
        let (desk, _) = bench.asked().remove(0);
        bench.lose(desk, loss);
        let (night, _) = bench.asked().remove(1);
        bench.nothing();
        bench.lose(night, loss);
        let refused = bench.expect(CARRIER, "SIP/2.0 503");
        assert!(refused.headers("Retry-After").is_empty(), "{}", refused.text);
        assert!(refused.header("Reason").contains(slug), "{}", refused.text);
        bench.receive(CARRIER, caller.request("ACK", "", ""));
        let record = &bench.reports[0];
        assert_eq!((record.call.outcome, record.call.reason), (Some("failed"), Some(slug)));
        assert_eq!((record.sip_code, record.failovers), (503, 1));
        bench.finish();
    }
}

#[test]
fn an_offer_without_g711_is_no_agents() {
    let mut bench = Bench::with_agents(vec![to_agent("desk")]);
    let caller = bench.invite(CARRIER, "+14155550100", &sdp("198.51.100.7", 40_000, 1, "18", "sendrecv"));
    bench.expect(CARRIER, "SIP/2.0 100");
    let refused = bench.expect(CARRIER, "SIP/2.0 488");
    assert_eq!(refused.header("Warning"), "305 Trunkgate \"offered G729; allowed PCMU, PCMA, opus\"");
    assert!(bench.asked().is_empty());
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.finish();

    // A trunk after it may accept a codec that no agent accepts.
    let mut bench = Bench::with_agents(vec![to_agent("desk"), to_trunk("pbx")]);
    bench.invite(CARRIER, "+14155550100", &sdp("198.51.100.7", 40_000, 1, "18", "sendrecv"));
    assert!(bench.expect(PBX, "INVITE").body().contains("RTP/AVP 18"));
}

#[test]
fn a_worker_that_says_nothing_is_not_waited_for_for_ever() {
    let mut bench = Bench::with_agents(vec![to_agent("desk")]);
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 180");
    let (desk, _) = bench.asked().remove(0);
    bench.pass(Duration::from_millis(11_900));
    bench.nothing();
    bench.pass(Duration::from_millis(200));
    let refused = bench.expect(CARRIER, "SIP/2.0 503");
    assert!(refused.header("Reason").contains("agent_connect_timeout"), "{}", refused.text);
    assert!(bench.told().contains(&Told::Remove(desk)));
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    // The socket opens late: the call is gone.
    bench.open(desk);
    bench.finish();
}

#[test]
fn a_caller_that_gives_up_takes_the_socket_with_it() {
    let mut bench = Bench::with_agents(vec![to_agent("desk"), to_trunk("pbx")]);
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 180");
    let (desk, _) = bench.asked().remove(0);
    bench.receive(CARRIER, caller.request("CANCEL", "", ""));
    bench.expect(CARRIER, "SIP/2.0 200");
    bench.expect(CARRIER, "SIP/2.0 487");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    assert_eq!(bench.told(), [Told::Agent(desk), Told::Remove(desk), Told::Close]);
    assert_eq!(bench.reports[0].call.outcome, Some("canceled"));
    bench.open(desk);
    bench.nothing();
    bench.finish();
}

#[test]
fn an_agent_may_stand_behind_a_trunk() {
    let mut bench = Bench::with_agents(vec![to_trunk("pbx"), to_agent("desk")]);
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(503, ""));
    bench.expect(PBX, "ACK");
    let (desk, _) = bench.asked().remove(0);
    assert_eq!(desk, EndId(2));
    bench.expect(CARRIER, "SIP/2.0 180");
    bench.open(desk);
    bench.expect(CARRIER, "SIP/2.0 200");
    assert_eq!(bench.state(), "answered");
}
