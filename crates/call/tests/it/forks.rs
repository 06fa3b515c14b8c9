//! Forks requested during a call: listeners are added and removed without effect on the call.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

use std::sync::Arc;

use crate::bench::agents::{Told, agent, agent_table, hang_up, to_agent};
use crate::bench::{Bench, CARRIER, Dialed, PBX, answer, offer, route, sdp, to_trunk, usual_trunks};
use trunkgate_call::limits::{FORKS_PER_CALL, LISTENERS_PER_CALL};
use trunkgate_call::twiml::SensitiveText;
use trunkgate_call::view::ForkView;
use trunkgate_call::{
    CallAction, CallParty, ForkDestination, ForkRequest, OperatorCommand, RequestRefusal, TransferMode,
};
use trunkgate_media::agent::{StreamLoss, TrackSet};
use trunkgate_media::{AgentRequest, EndId, MediaCommand, PayloadCodec, TapSpec};
use trunkgate_route::{Agent, HeaderPattern, ParameterTemplate, Route, RoutingTable, TargetSpec, Trunk};

const URL: &str = "wss://listener.example/media";

fn table(connect: Vec<TargetSpec>) -> Arc<RoutingTable> {
    let caller = ("caller".to_owned(), ParameterTemplate::parse("{caller}").unwrap());
    let tenant = ("tenant".to_owned(), ParameterTemplate::parse("acme").unwrap());
    let scribe = Agent { parameters: vec![caller, tenant], ..agent("scribe") };
    let recorder = Agent::at("recorder", "rtp://127.0.0.1:4000");
    agent_table(vec![agent("desk"), scribe, recorder], route(connect))
}

fn to_pbx() -> Bench {
    Bench::with(table(vec![to_trunk("pbx")]))
}

fn sid(bench: &Bench) -> String {
    bench.gateway.calls(bench.now)[0].sid.clone()
}

fn named(name: &str) -> ForkRequest {
    ForkRequest { listener: ForkDestination::Agent(name.into()), tracks: TrackSet::Both, parameters: vec![] }
}

fn at(url: &str, tracks: TrackSet) -> ForkRequest {
    let parameters = vec![("case".to_owned(), "7".to_owned())];
    ForkRequest { listener: ForkDestination::Url(url.into()), tracks, parameters }
}

fn begin(bench: &mut Bench, request: &ForkRequest) -> Result<ForkView, RequestRefusal> {
    let sid = sid(bench);
    let begun = bench.begin_fork(&sid, request);
    bench.drain();
    begun
}

fn end(bench: &mut Bench, id: &str) -> Result<ForkView, RequestRefusal> {
    let sid = sid(bench);
    let ended = bench.end_fork(&sid, id);
    bench.drain();
    ended
}

#[test]
fn a_fork_begins_and_ends_in_mid_call_and_nobody_else_is_told() {
    let mut bench = to_pbx();
    let (mut caller, callee) = bench.answered();
    bench.take_media();
    let fork = begin(&mut bench, &named("scribe")).unwrap();
    let (scribe, settings) = bench.asked().remove(0);
    assert_eq!((settings.talks, settings.tracks), (false, TrackSet::Both));
    assert_eq!(bench.told(), [Told::Agent(scribe), Told::Tap(EndId(0), scribe, TapSpec::both(0, PayloadCodec::Pcmu))]);
    assert_eq!(
        (fork.agent.as_deref(), fork.url.as_str(), fork.state),
        (Some("scribe"), "ws://127.0.0.1/scribe", "trying")
    );
    assert_eq!((fork.stream_sid.as_deref(), fork.ssrc), (Some(settings.stream_sid.as_str()), None));
    assert_eq!(fork.tracks, ["inbound", "outbound"]);
    bench.open(scribe);
    let shown = bench.gateway.forks(&sid(&bench)).unwrap();
    assert_eq!(shown, [ForkView { state: "answered", ..fork.clone() }]);
    let legs: Vec<_> = bench.gateway.calls(bench.now)[0].legs.iter().map(|leg| leg.sid.clone()).collect();
    assert!(legs.contains(&fork.id), "its id is its leg's");
    assert_eq!(end(&mut bench, &fork.id).unwrap().state, "ended");
    assert_eq!(bench.told(), [Told::Remove(scribe)]);
    assert_eq!(end(&mut bench, &fork.id), Err(RequestRefusal::ForkEnded));
    assert_eq!(bench.gateway.metrics().agent.sessions, 0);
    bench.nothing();
    assert_eq!(bench.state(), "answered");
    bench.bye(&mut caller, &callee);
    assert_eq!((bench.reports[0].call.legs.len(), bench.reports[0].failovers), (3, 0));
    bench.finish();
}

#[test]
fn one_by_its_url_is_told_what_was_asked_for() {
    let mut bench = to_pbx();
    bench.answered();
    bench.take_media();
    let fork = begin(&mut bench, &at(URL, TrackSet::Outbound)).unwrap();
    let (listener, settings) = bench.asked().remove(0);
    assert_eq!(
        (settings.tracks, settings.parameters.as_slice()),
        (TrackSet::Outbound, &[("case".into(), "7".into())][..])
    );
    assert_eq!((fork.agent, fork.url.as_str(), fork.tracks), (None, URL, vec!["outbound"]));
    let MediaCommand::AddAgent { spec, .. } = &bench.media[0].1 else { panic!("{:?}", bench.media) };
    assert_eq!((spec.socket.url.as_str(), &spec.socket.auth_token), (URL, &None));
    assert!(!spec.socket.plain_networks.is_empty(), "looked at when it is called");
    bench.lose(listener, StreamLoss::Tls);
    bench.nothing();
    assert!(bench.story().contains("failed: TLS failed"), "{}", bench.story());
    let call = bench.gateway.calls(bench.now).remove(0);
    assert_eq!((call.state, call.legs[2].agent.as_str(), call.legs[2].state), ("answered", URL, "ended"));
    assert!(bench.logs.iter().any(|line| line.starts_with(URL)), "{:?}", bench.logs);
    let agents = bench.gateway.status(bench.now).agents;
    assert!(agents.iter().all(|agent| agent.lost == 0), "no agent of the configuration: {agents:?}");
}

#[test]
fn parameters_come_besides_those_of_the_configuration() {
    let mut bench = to_pbx();
    bench.answered();
    bench.take_media();
    let parameters = vec![("tenant".to_owned(), "umbra".to_owned()), ("case".to_owned(), "{caller}".to_owned())];
    begin(&mut bench, &ForkRequest { parameters, ..named("scribe") }).unwrap();
    let (_, settings) = bench.asked().remove(0);
    let told: Vec<_> = settings.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(told, [("caller", "+14155551234"), ("tenant", "umbra"), ("case", "{caller}")], "as they were given");
}

#[test]
fn it_is_told_of_the_callers_headers_however_late_it_comes() {
    let mut carrier = usual_trunks().remove(0);
    carrier.headers.pass = Some(vec![HeaderPattern::parse("X-*").unwrap()]);
    let trunks: Vec<Trunk> = [carrier].into_iter().chain(usual_trunks().into_iter().skip(1)).collect();
    let routes = vec![Route { ..route(vec![to_trunk("pbx")]) }];
    let mut bench = Bench::with(crate::bench::table(trunks, routes));
    let dialing = crate::bench::Dialing {
        peer: CARRIER.into(),
        number: "+14155550100".into(),
        call: 1,
        cseq: 1,
        to_tag: String::new(),
    };
    bench.receive(CARRIER, dialing.request("INVITE", &offer(), "X-Tenant: acme\r\n"));
    bench.expect(CARRIER, "SIP/2.0 100");
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.take_media();
    begin(&mut bench, &ForkRequest { parameters: vec![], ..at(URL, TrackSet::Both) }).unwrap();
    let (_, settings) = bench.asked().remove(0);
    assert_eq!(settings.parameters, [("SipHeader_X-Tenant".to_owned(), "acme".to_owned())]);
}

#[test]
fn what_cannot_be_heard_is_refused_and_nothing_is_begun() {
    let mut bench = to_pbx();
    let missing = bench.begin_fork("CA0", &named("scribe"));
    assert_eq!(missing, Err(RequestRefusal::UnknownCall));
    assert_eq!(bench.gateway.forks("CA0"), Err(RequestRefusal::UnknownCall));
    let mut caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    assert_eq!(begin(&mut bench, &named("scribe")), Err(RequestRefusal::NotAnswered));
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    assert_eq!(begin(&mut bench, &named("unknown")), Err(RequestRefusal::UnknownAgent));
    assert_eq!(begin(&mut bench, &named("")), Err(RequestRefusal::UnknownAgent));
    let far_leg = bench.gateway.calls(bench.now)[0].legs[1].sid.clone();
    for id in ["CA0", "", &sid(&bench), &far_leg] {
        assert_eq!(end(&mut bench, id), Err(RequestRefusal::UnknownFork), "{id}");
    }
    assert!(bench.asked().is_empty());
    // Its BYE to the callee has no response yet.
    hang_up(&mut bench, &mut caller);
    assert_eq!(begin(&mut bench, &named("scribe")), Err(RequestRefusal::CallEnded));
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, callee.respond(&bye, 200, ""));
    assert_eq!(begin(&mut bench, &named("scribe")), Err(RequestRefusal::CallEnded));
    assert_eq!(bench.gateway.forks(&sid(&bench)), Err(RequestRefusal::CallEnded));
    bench.finish();
}

#[test]
fn other_audio_is_refused_but_not_as_plain_rtp() {
    let mut bench = to_pbx();
    bench.invite(CARRIER, "+14155550100", &sdp("198.51.100.7", 40_000, 1, "18", "sendrecv"));
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(200, &sdp("10.0.0.20", 30_000, 1, "18", "sendrecv")));
    bench.take_media();
    assert_eq!(begin(&mut bench, &named("scribe")), Err(RequestRefusal::OtherAudio));
    let fork = begin(&mut bench, &named("recorder")).unwrap();
    assert!(fork.stream_sid.is_none() && fork.ssrc.is_some());
    let (end, settings) = bench.asked().remove(0);
    assert_eq!(settings.tracks, TrackSet::Both);
    assert_eq!(bench.told(), [Told::Agent(end), Told::Tap(EndId(0), end, TapSpec::default())]);
}

#[test]
fn no_call_has_more_than_its_limits_and_its_targets_are_not_counted_among_them() {
    let mut bench = Bench::with(table(vec![to_agent("desk"), to_trunk("pbx")]));
    let (mut caller, _, desk) = bench.talking();
    let mut begun = 0;
    while begun < FORKS_PER_CALL {
        let room = LISTENERS_PER_CALL.min(FORKS_PER_CALL - begun);
        let forks: Vec<_> = (0..room).map(|_| begin(&mut bench, &named("scribe")).unwrap()).collect();
        begun += room;
        assert_eq!(begin(&mut bench, &named("scribe")), Err(RequestRefusal::TooManyForks), "{begun}");
        for fork in forks {
            end(&mut bench, &fork.id).unwrap();
        }
    }
    assert_eq!(begin(&mut bench, &named("scribe")), Err(RequestRefusal::TooManyForks), "in all");
    // The caller can still be transferred.
    bench.wish(desk, AgentRequest::Transfer("trunk:pbx".into()));
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    hang_up(&mut bench, &mut caller);
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, callee.respond(&bye, 200, ""));
    bench.finish();
}

/// A fork added during a transfer hears the caller, the caller's ringback, and then the target.
#[test]
fn a_fork_of_a_call_that_is_being_transferred_hears_all_of_it() {
    let mut bench = Bench::with(table(vec![to_agent("desk")]));
    let (mut caller, own, desk) = bench.talking();
    bench.wish(desk, AgentRequest::Transfer("trunk:pbx".into()));
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    assert_eq!(bench.state(), "transferring");
    bench.take_media();
    begin(&mut bench, &named("scribe")).unwrap();
    let (scribe, _) = bench.asked().remove(0);
    assert_eq!(bench.told(), [Told::Agent(scribe), Told::Tap(own, scribe, TapSpec::both(0, PayloadCodec::Pcmu))]);
    assert!(!bench.story().contains("listeners receive no audio"), "{}", bench.story());
    bench.open(scribe);
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    let told = bench.told();
    assert!(!told.iter().any(|told| matches!(told, Told::Tap(..))), "the same audio of the same end: {told:?}");
    hang_up(&mut bench, &mut caller);
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, callee.respond(&bye, 200, ""));
    bench.finish();
}

#[test]
fn a_fork_whose_call_hangs_up_goes_with_it() {
    let mut bench = to_pbx();
    let (mut caller, callee) = bench.answered();
    begin(&mut bench, &named("scribe")).unwrap();
    bench.take_media();
    bench.bye(&mut caller, &callee);
    assert!(matches!(bench.told()[..], [Told::Remove(_), Told::Close]));
    bench.finish();
}

#[test]
fn forks_outlive_a_restart_as_they_were_asked_for() {
    let mut bench = to_pbx();
    let (mut caller, callee) = bench.answered();
    begin(&mut bench, &at(URL, TrackSet::Inbound)).unwrap();
    begin(&mut bench, &ForkRequest { tracks: TrackSet::Outbound, ..named("scribe") }).unwrap();
    begin(&mut bench, &named("desk")).unwrap();
    let ended = begin(&mut bench, &named("scribe")).unwrap();
    end(&mut bench, &ended.id).unwrap();
    // An agent that the new configuration does not contain.
    let scribe = agent_table(vec![agent("scribe")], route(vec![to_trunk("pbx")]));
    bench.restart(scribe);
    let asked = bench.asked();
    let tracks: Vec<_> = asked.iter().map(|(_, settings)| settings.tracks).collect();
    assert_eq!(tracks, [TrackSet::Inbound, TrackSet::Outbound]);
    assert_eq!(asked[0].1.parameters, [("case".to_owned(), "7".to_owned())]);
    let forks = bench.gateway.forks(&sid(&bench)).unwrap();
    let shown: Vec<_> = forks.iter().map(|fork| (fork.agent.as_deref(), fork.url.as_str())).collect();
    assert_eq!(shown, [(None, URL), (Some("scribe"), "ws://127.0.0.1/scribe")]);
    assert!(bench.story().contains("desk no longer listens"), "{}", bench.story());
    let taps = bench.told().into_iter().filter(|told| matches!(told, Told::Tap(..))).count();
    assert_eq!(taps, 2);
    end(&mut bench, &forks[0].id).unwrap();
    let later = begin(&mut bench, &named("scribe")).unwrap();
    let (listener, _) = bench.asked().pop().unwrap();
    assert!(bench.told().contains(&Told::Tap(EndId(0), listener, TapSpec::both(0, PayloadCodec::Pcmu))), "{later:?}");
    bench.bye(&mut caller, &callee);
    bench.finish();
}

fn transfer(bench: &mut Bench, target: &str) -> Result<(), RequestRefusal> {
    let sid = sid(bench);
    let asked = bench.transfer(&sid, target, TransferMode::AtOnce);
    bench.drain();
    asked
}

fn press(bench: &mut Bench, digits: &str) -> Result<(), RequestRefusal> {
    let sid = sid(bench);
    let digits = SensitiveText::new(digits);
    let asked = bench.change_call(&sid, CallAction::SendDigits { party: CallParty::Caller, digits });
    bench.drain();
    asked
}

#[test]
fn an_operator_sends_the_caller_of_an_agent_on() {
    let mut bench = Bench::with(table(vec![to_agent("desk")]));
    let (mut caller, _, desk) = bench.talking();
    for (target, why) in [
        ("pbx", RequestRefusal::BadTarget),
        ("reject:486", RequestRefusal::BadTarget),
        ("trunk:nowhere", RequestRefusal::UnknownTarget),
        ("agent:unknown", RequestRefusal::UnknownTarget),
        // This agent can only listen.
        ("agent:recorder", RequestRefusal::UnknownTarget),
    ] {
        assert_eq!(transfer(&mut bench, target), Err(why), "{target}");
    }
    bench.wish(desk, AgentRequest::Transfer("agent:recorder".into()));
    assert_eq!((bench.told(), bench.state()), (vec![], "answered"));
    transfer(&mut bench, "trunk:pbx/+14155550199").unwrap();
    assert!(bench.told().contains(&Told::Remove(desk)));
    assert_eq!(transfer(&mut bench, "trunk:pbx"), Err(RequestRefusal::Transferring));
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE sip:+14155550199"));
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    hang_up(&mut bench, &mut caller);
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, callee.respond(&bye, 200, ""));
    bench.finish();
}

#[test]
fn an_operator_presses_keys_towards_the_caller_of_an_agent() {
    let mut bench = Bench::with(table(vec![to_agent("desk")]));
    let (mut caller, own, _) = bench.talking();
    let many = "1".repeat(65);
    for (digits, other) in
        [("", None), ("12a", Some('a')), ("1 2", Some(' ')), ("é", Some('é')), ("E", Some('E')), (many.as_str(), None)]
    {
        assert_eq!(press(&mut bench, digits), Err(RequestRefusal::BadDigits(other)), "{digits}");
    }
    assert_eq!(bench.told(), []);
    press(&mut bench, "19*#AD").unwrap();
    assert_eq!(bench.told(), [Told::Press(own, 101, "19*#AD".into())]);
    assert!(bench.story().contains("6 DTMF digits are sent") && !bench.story().contains("19*#"), "{}", bench.story());
    hang_up(&mut bench, &mut caller);
    bench.finish();

    let mut bench = Bench::with(table(vec![to_agent("desk")]));
    let caller = bench.invite(CARRIER, "+14155550100", &sdp("198.51.100.7", 40_000, 1, "0", "sendrecv"));
    let (desk, _) = bench.asked().remove(0);
    bench.open(desk);
    assert_eq!(press(&mut bench, "1"), Err(RequestRefusal::NoTelephoneEvent));
    drop(caller);
    let mut bench = to_pbx();
    bench.answered();
    bench.control(OperatorCommand::EndAll);
    assert_eq!(press(&mut bench, "1"), Err(RequestRefusal::CallEnded));
}
