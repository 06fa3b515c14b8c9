//! An agent answers a call: the caller rings until the agent's socket is open, and is answered by the edge itself.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use crate::bench::agents::{Told, agent, agent_table, from_agent_wire, hang_up, to_agent, to_agent_wire};
use crate::bench::{Bench, CARRIER, offer, route, sdp};
use trunkgate_media::agent::TrackSet;
use trunkgate_media::mos::MosCodec;
use trunkgate_media::{AgentRequest, EndId, MediaCommand, PayloadCodec, WireSpec};
use trunkgate_route::{Agent, ParameterTemplate};

#[test]
fn the_caller_is_answered_once_the_socket_is_open() {
    let mut bench = Bench::with_agents(vec![to_agent("desk")]);
    let mut caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let ringing = bench.expect(CARRIER, "SIP/2.0 180");
    assert_eq!(ringing.body(), "");
    bench.nothing();
    assert_eq!(bench.state(), "ringing");
    let (desk, settings) = bench.asked().remove(0);
    assert!(settings.talks && settings.tracks == TrackSet::Inbound);
    bench.pass(Duration::from_millis(120));
    bench.nothing();

    bench.open(desk);
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    assert!(ok.body().contains("RTP/AVP 0 101\r\n") && ok.body().contains("a=sendrecv"), "{}", ok.text);
    assert!(ok.body().contains("c=IN IP4 203.0.113.10"));
    caller.to_tag = ok.tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    let remote = bench.media.iter().find_map(|(_, command)| match command {
        MediaCommand::SetRemote { remote, .. } => Some(remote.clone()),
        _ => None,
    });
    let remote = remote.unwrap();
    assert_eq!(remote.rtp, Some("198.51.100.7:40000".parse().unwrap()));
    assert!(remote.may_send && remote.may_receive && remote.watch_idle);
    let (wires, rest): (Vec<_>, Vec<_>) = bench.told().into_iter().partition(|told| matches!(told, Told::Wire(..)));
    assert_eq!(wires, [Told::Wire(EndId(0), desk, to_agent_wire()), Told::Wire(desk, EndId(0), from_agent_wire())]);
    assert_eq!(rest, [Told::Agent(desk)]);

    let view = bench.gateway.calls(bench.now).remove(0);
    assert_eq!((view.state, view.outcome), ("answered", Some("answered")));
    let leg = &view.legs[1];
    assert_eq!((leg.kind, leg.agent.as_str(), leg.trunk.as_str(), leg.transport), ("agent", "desk", "", "ws"));
    assert_eq!((leg.remote, leg.sip_call_id.as_str(), leg.codec.as_str()), (None, "", "PCMU"));
    assert_eq!((leg.state, leg.direction), ("answered", "outbound"));
    assert!(leg.sid.starts_with("CA") && leg.sid.len() == 34 && leg.sid != view.sid);
    assert_eq!(view.legs[0].codec, "PCMU");
    assert!(bench.story().contains("agent 1: connecting\nagent 1: open after 120 ms"), "{}", bench.story());
    assert!(bench.story().contains("answered by desk after 0.1 s"), "{}", bench.story());

    bench.pass(Duration::from_secs(5));
    hang_up(&mut bench, &mut caller);
    assert_eq!(bench.told(), [Told::Remove(desk), Told::Close]);
    let record = &bench.reports[0];
    assert_eq!((record.call.outcome, record.call.reason), (Some("answered"), Some("caller_hung_up")));
    assert_eq!((record.call.legs[1].kind, record.call.legs[1].state), ("agent", "ended"));
    assert_eq!((record.sip_code, record.failovers), (200, 0));
    bench.finish();
}

#[test]
fn the_stream_is_told_who_calls() {
    let parameters = vec![
        ("tenant".to_owned(), ParameterTemplate::parse("acme").unwrap()),
        ("who".to_owned(), ParameterTemplate::parse("{caller} to {called} by {route} from {trunk}").unwrap()),
    ];
    let desk = Agent { parameters, extras: true, ping: Duration::from_secs(7), ..agent("desk") };
    let mut bench = Bench::with(agent_table(vec![desk], route(vec![to_agent("desk")])));
    bench.invite(CARRIER, "+14155550100", &offer());
    let (_, first) = bench.asked().remove(0);
    let expected = "+14155551234 to +14155550100 by main from carrier";
    assert_eq!(first.parameters, [("tenant".into(), "acme".into()), ("who".into(), expected.to_owned())]);
    assert_eq!(first.call_sid, bench.gateway.calls(bench.now)[0].sid);
    assert_eq!(first.account_sid, format!("AC{:032x}", 0));
    assert!(first.stream_sid.starts_with("MZ") && first.stream_sid.len() == 34, "{}", first.stream_sid);
    assert_eq!((first.extras, first.ping, first.connect_timeout.as_secs()), (true, Duration::from_secs(7), 10));
    bench.invite(CARRIER, "+14155550101", &offer());
    assert_ne!(bench.asked()[1].1.stream_sid, first.stream_sid);
}

#[test]
fn a_caller_of_a_law_speaks_a_law() {
    let mut bench = Bench::with_agents(vec![to_agent("desk")]);
    let mut caller = bench.invite(CARRIER, "+14155550100", &sdp("198.51.100.7", 40_000, 1, "18 8", "sendrecv"));
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 180");
    let (desk, _) = bench.asked().remove(0);
    bench.open(desk);
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    assert!(ok.body().contains("RTP/AVP 8\r\n"), "{}", ok.text);
    caller.to_tag = ok.tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    let codec = Some(MosCodec::G711);
    let hears = WireSpec { payloads: vec![(8, 0)], coding: PayloadCodec::Pcma, codec, ..WireSpec::default() };
    let talks = WireSpec { payloads: vec![(0, 8)], coding: PayloadCodec::Pcma, ..WireSpec::default() };
    let told = bench.told();
    assert!(told.contains(&Told::Wire(EndId(0), desk, hears)) && told.contains(&Told::Wire(desk, EndId(0), talks)));
    assert_eq!(bench.gateway.calls(bench.now)[0].legs[0].codec, "PCMA");
}

#[test]
fn a_caller_without_offer_gets_ours_and_is_wired_by_its_ack() {
    let mut bench = Bench::with_agents(vec![to_agent("desk")]);
    let mut caller = bench.invite(CARRIER, "+14155550100", "");
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 180");
    let (desk, _) = bench.asked().remove(0);
    bench.open(desk);
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    assert!(ok.body().contains("RTP/AVP 0 8 96 101\r\n"), "{}", ok.text);
    assert_eq!(bench.told(), [Told::Agent(desk)]);
    caller.to_tag = ok.tag("To");
    bench.receive(CARRIER, caller.request("ACK", &sdp("198.51.100.7", 40_000, 1, "8 101", "sendrecv"), ""));
    let codec = Some(MosCodec::G711);
    let hears =
        WireSpec { payloads: vec![(8, 0)], coding: PayloadCodec::Pcma, keys: Some(101), codec, ..WireSpec::default() };
    let talks = WireSpec { payloads: vec![(0, 8)], coding: PayloadCodec::Pcma, ..WireSpec::default() };
    assert_eq!(bench.told(), [Told::Wire(EndId(0), desk, hears), Told::Wire(desk, EndId(0), talks)]);
    assert_eq!(bench.state(), "answered");
    hang_up(&mut bench, &mut caller);
    bench.finish();
}

#[test]
fn only_the_audio_stays_of_several_streams() {
    let mut bench = Bench::with_agents(vec![to_agent("desk")]);
    let body = format!("{}m=video 40002 RTP/AVP 31\r\n", offer());
    bench.invite(CARRIER, "+14155550100", &body);
    let (desk, _) = bench.asked().remove(0);
    bench.open(desk);
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 180");
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    assert!(ok.body().contains("m=video 0 "), "{}", ok.text);
    assert!(bench.told().contains(&Told::Remove(EndId(1))));
    assert_eq!(bench.gateway.status(bench.now).ports_in_use, 2);
}

#[test]
fn the_edge_answers_hold_and_other_codecs_itself() {
    let mut bench = Bench::with_agents(vec![to_agent("desk")]);
    let (mut caller, _, desk) = bench.talking();
    let mut change = |bench: &mut Bench, body: &str| {
        caller.cseq += 1;
        bench.receive(CARRIER, caller.request("INVITE", body, ""));
        bench.expect(CARRIER, "SIP/2.0 100");
        let answer = bench.next(CARRIER);
        bench.receive(CARRIER, caller.request("ACK", "", ""));
        bench.nothing();
        answer
    };
    let held = change(&mut bench, &sdp("198.51.100.7", 40_000, 2, "0 8 101", "sendonly"));
    assert!(held.code() == 200 && held.body().contains("a=recvonly"), "{}", held.text);
    let far = |bench: &mut Bench| {
        let mut newest = bench.media.iter().rev();
        let last = newest.find_map(|(_, command)| match command {
            MediaCommand::SetRemote { remote, .. } => Some((remote.may_send, remote.may_receive, remote.rtp)),
            _ => None,
        });
        (last.unwrap(), bench.told())
    };
    let ((sends, receives, _), told) = far(&mut bench);
    assert_eq!((sends, receives, told), (true, false, vec![]));

    let resumed = change(&mut bench, &sdp("198.51.100.7", 40_100, 3, "8 101", "sendrecv"));
    assert!(resumed.body().contains("RTP/AVP 8 101\r\n") && resumed.body().contains("a=sendrecv"), "{}", resumed.text);
    let ((sends, receives, rtp), told) = far(&mut bench);
    assert_eq!((sends, receives, rtp), (true, true, Some("198.51.100.7:40100".parse().unwrap())));
    let codec = Some(MosCodec::G711);
    let hears =
        WireSpec { payloads: vec![(8, 0)], coding: PayloadCodec::Pcma, keys: Some(101), codec, ..WireSpec::default() };
    let talks = WireSpec { payloads: vec![(0, 8)], coding: PayloadCodec::Pcma, ..WireSpec::default() };
    assert_eq!(told, [Told::Wire(EndId(0), desk, hears), Told::Wire(desk, EndId(0), talks)]);

    let refused = change(&mut bench, &sdp("198.51.100.7", 40_100, 4, "18", "sendrecv"));
    assert!(refused.code() == 488 && refused.header("Warning").starts_with("305 "), "{}", refused.text);
    assert_eq!((bench.told(), bench.state()), (vec![], "answered"));

    // Without an offer the edge makes one, and the ACK brings the answer.
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("INVITE", "", ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    let ours = bench.expect(CARRIER, "SIP/2.0 200");
    assert!(ours.body().contains("RTP/AVP 8 101\r\n"), "{}", ours.text);
    bench.receive(CARRIER, caller.request("ACK", &sdp("198.51.100.7", 40_200, 5, "8 101", "sendrecv"), ""));
    let ((.., rtp), told) = far(&mut bench);
    assert_eq!((rtp, told), (Some("198.51.100.7:40200".parse().unwrap()), vec![]));
    hang_up(&mut bench, &mut caller);
    bench.finish();
}

#[test]
fn agents_are_counted() {
    let mut bench = Bench::with_agents(vec![to_agent("desk")]);
    let (mut caller, _, _) = bench.talking();
    let metrics = bench.gateway.metrics();
    assert_eq!(metrics.agent.sessions, 1);
    assert_eq!(metrics.agent.connect_seconds.counts.iter().sum::<u64>(), 1);
    let desk = |bench: &Bench| bench.gateway.status(bench.now).agents[0].clone();
    assert_eq!((desk(&bench).name.as_str(), desk(&bench).state, desk(&bench).sessions), ("desk", "up", 1));
    hang_up(&mut bench, &mut caller);
    assert_eq!((bench.gateway.metrics().agent.sessions, desk(&bench).sessions, desk(&bench).opened), (0, 0, 1));
    assert_eq!(bench.gateway.status(bench.now).agents[1].state, "unknown");
    bench.finish();
}

#[test]
fn a_late_or_foreign_word_of_a_worker_does_nothing() {
    let mut bench = Bench::with_agents(vec![to_agent("desk")]);
    let (mut caller, own, desk) = bench.talking();
    bench.open(desk);
    bench.open(EndId(77));
    bench.open(own);
    bench.wish(EndId(77), AgentRequest::Hangup);
    bench.news(trunkgate_media::MediaEvent::Played { end: desk });
    bench.nothing();
    assert_eq!((bench.state(), bench.told()), ("answered", vec![]));
    hang_up(&mut bench, &mut caller);
    bench.lose(desk, trunkgate_media::agent::StreamLoss::Reset);
    assert_eq!(bench.reports.len(), 1);
    bench.finish();
}

#[test]
fn what_is_converted_between_a_caller_and_an_agent_is_told() {
    for (formats, format, codecs) in [
        ("0 101", "mulaw/8000", [("PCMU", None), ("PCMU", None)]),
        ("8 101", "mulaw/8000", [("PCMA", Some("PCMU")), ("PCMU", Some("PCMA"))]),
        ("0 101", "l16/16000", [("PCMU", Some("L16")), ("L16", Some("PCMU"))]),
    ] {
        let desk = Agent { format, ..agent("desk") };
        let mut bench = Bench::with(agent_table(vec![desk], route(vec![to_agent("desk")])));
        bench.invite(CARRIER, "+14155550100", &sdp("198.51.100.7", 40_000, 1, formats, "sendrecv"));
        bench.expect(CARRIER, "SIP/2.0 100");
        bench.expect(CARRIER, "SIP/2.0 180");
        let (end, _) = bench.asked().remove(0);
        bench.open(end);
        bench.expect(CARRIER, "SIP/2.0 200");
        let legs = bench.gateway.calls(bench.now).remove(0).legs;
        let told: Vec<_> = legs.iter().map(|leg| (leg.codec.as_str(), leg.converted_to)).collect();
        assert_eq!(told, codecs, "{formats} {format}");
        let [(caller, into), (of_agent, _)] = codecs;
        let line = format!("media: {caller} with carrier, {of_agent} with desk: converted");
        assert_eq!(bench.story().contains(&line), into.is_some(), "{}", bench.story());
    }
}
