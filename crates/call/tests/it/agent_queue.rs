//! Sessions of an agent, and the queue of callers for them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

use std::sync::Arc;
use std::time::Duration;

use crate::bench::agents::{agent, agent_table, to_agent};
use crate::bench::{Bench, CARRIER, Dialing, PBX, offer, route, to_trunk};
use trunkgate_call::limits::SESSION_ENDS;
use trunkgate_call::{GatewayInput, OperatorCommand};
use trunkgate_media::agent::StreamLoss;
use trunkgate_media::{AgentEvent, AgentRequest, EndId, MediaCommand, MediaEvent, MediaId, PlayerSound};
use trunkgate_route::{Agent, AnswerTime, HoldAudio, QueueSettings, RoutingTable, TargetSpec};

/// Socket of an agent.
type Socket = (MediaId, EndId);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn queue(size: u32, wait: u64) -> Option<QueueSettings> {
    Some(QueueSettings { size, wait: seconds(wait) })
}

fn music(byte: u8) -> Option<HoldAudio> {
    Some(HoldAudio { first: None, music: Some(vec![byte; 160].into()) })
}

/// Returns a table with a desk of this many sessions, a second agent, and a route.
fn table(desk: Agent, connect: Vec<TargetSpec>) -> Arc<RoutingTable> {
    agent_table(vec![desk, agent("night")], route(connect))
}

fn desk(max_sessions: u32, queue: Option<QueueSettings>) -> Agent {
    Agent { max_sessions, queue, ..agent("desk") }
}

fn bench(desk: Agent) -> Bench {
    Bench::with(table(desk, vec![to_agent("desk"), to_trunk("pbx")]))
}

/// Returns the sockets requested since the last call of this function, with their URLs.
fn asked(bench: &mut Bench) -> Vec<(Socket, String)> {
    let taken = std::mem::take(&mut bench.media);
    let asked = taken.into_iter().filter_map(|(id, command)| match command {
        MediaCommand::AddAgent { end, spec } => Some(((id, end), spec.socket.url.clone())),
        _ => None,
    });
    asked.collect()
}

/// Makes another call; returns the requested socket, if there is one.
fn call(bench: &mut Bench) -> (Dialing, Option<Socket>) {
    asked(bench);
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    (caller, asked(bench).pop().map(|(socket, _)| socket))
}

fn tell(bench: &mut Bench, (id, end): Socket, event: impl Fn(EndId) -> MediaEvent) {
    bench.input(GatewayInput::Media { id, event: event(end) });
}

fn open(bench: &mut Bench, socket: Socket) {
    tell(bench, socket, |end| MediaEvent::Agent { end, event: AgentEvent::Open });
}

fn lose(bench: &mut Bench, socket: Socket) {
    tell(bench, socket, |end| MediaEvent::Agent { end, event: AgentEvent::Lost(StreamLoss::Reset) });
}

fn hangs_up(bench: &mut Bench, socket: Socket) {
    tell(bench, socket, |end| MediaEvent::Agent { end, event: AgentEvent::Request(AgentRequest::Hangup) });
}

/// Returns the numbers of calls with the desk and of waiting calls.
fn counts(bench: &Bench) -> (u64, u64) {
    let desk = bench.gateway.status(bench.now).agents.remove(0);
    assert_eq!(bench.gateway.metrics().agent.waiting.get("desk"), Some(&desk.waiting));
    (desk.talking, desk.waiting)
}

/// Returns the decisions in all calls.
fn stories(bench: &Bench) -> String {
    let calls = bench.gateway.calls(bench.now);
    let entries = calls.iter().flat_map(|call| bench.gateway.trace(&call.sid).unwrap().entries);
    let text = |entry: trunkgate_call::trace::TraceEntry| match entry.what {
        trunkgate_call::trace::TraceItem::Decision { text } => Some(text),
        _ => None,
    };
    entries.filter_map(text).collect::<Vec<_>>().join("\n")
}

fn invited(bench: &mut Bench) -> usize {
    let invites = bench.sent.iter().filter(|sent| sent.to == PBX.parse().unwrap());
    let count = invites.filter(|sent| sent.first_line().starts_with("INVITE")).count();
    bench.sent.clear();
    count
}

#[test]
fn callers_wait_their_turn_in_the_order_in_which_they_came() {
    let mut bench = bench(desk(1, queue(3, 120)));
    let (_, first) = call(&mut bench);
    open(&mut bench, first.unwrap());
    bench.sent.clear();
    for n in 1..=3 {
        let (_, socket) = call(&mut bench);
        assert_eq!(socket, None);
        bench.expect(CARRIER, "SIP/2.0 100");
        bench.expect(CARRIER, "SIP/2.0 180");
        bench.nothing();
        assert_eq!(counts(&bench), (1, n));
    }
    assert!(stories(&bench).contains("waiting for desk, position 3rd"), "{}", stories(&bench));
    bench.pass(seconds(7));
    let mut last = first.unwrap();
    for n in 1..=3 {
        hangs_up(&mut bench, last);
        assert_eq!((asked(&mut bench).len(), counts(&bench)), (0, (0, 4 - n)), "its stream is being ended");
        bench.pass(SESSION_ENDS);
        let next = asked(&mut bench);
        assert_eq!(next.len(), 1, "the next then, and no other");
        last = next[0].0;
        assert_eq!(last.0, MediaId(n), "in the order in which they came");
        assert_eq!(counts(&bench), (1, 3 - n));
        open(&mut bench, last);
    }
    assert!(stories(&bench).contains("desk: its turn, after 7.8 s"), "{}", stories(&bench));
    let waited = &bench.gateway.metrics().agent.wait_seconds;
    assert_eq!((waited.counts.iter().sum::<u64>(), (waited.sum * 10.0).round() / 10.0), (3, 25.5));
}

#[test]
fn a_full_queue_leads_on_at_once_and_none_at_all_too() {
    for (queue, places) in [(queue(1, 60), 1), (None, 0)] {
        let mut bench = bench(desk(2, queue));
        for _ in 0..2 + places {
            call(&mut bench);
        }
        assert_eq!((counts(&bench), invited(&mut bench)), ((2, places), 0));
        let (_, socket) = call(&mut bench);
        assert_eq!((socket, invited(&mut bench)), (None, 1));
        let failovers = &bench.gateway.metrics().failovers;
        assert_eq!(failovers.get(&("main".into(), "agent_full")), Some(&1));
        assert!(stories(&bench).contains("2 sessions"), "{}", stories(&bench));
    }
}

#[test]
fn who_has_waited_long_enough_goes_to_the_next_target_and_with_none_is_told_503() {
    let mut bench = bench(desk(1, queue(2, 30)));
    call(&mut bench);
    call(&mut bench);
    bench.pass(seconds(9));
    assert_eq!(invited(&mut bench), 0);
    // By then the desk's own stream has not opened in time either.
    let mut alone = Bench::with(table(desk(1, queue(2, 9)), vec![to_agent("desk")]));
    let (_, first) = call(&mut alone);
    open(&mut alone, first.unwrap());
    alone.sent.clear();
    call(&mut alone);
    alone.pass(Duration::from_millis(8_999));
    alone.expect(CARRIER, "SIP/2.0 100");
    alone.expect(CARRIER, "SIP/2.0 180");
    assert!(!alone.sent.iter().any(|sent| sent.first_line().contains("503")));
    alone.pass(Duration::from_millis(1));
    let refused = alone.sent.iter().find(|sent| sent.first_line().starts_with("SIP/2.0 503")).unwrap();
    assert!(refused.headers("Retry-After").is_empty(), "{}", refused.text);
    assert!(refused.header("Reason").contains("queue_timeout"), "{}", refused.text);
    assert_eq!(counts(&alone), (1, 0));
    assert!(stories(&alone).contains("desk: leaves the queue, after 9.0 s"), "{}", stories(&alone));
}

#[test]
fn who_hangs_up_leaves_the_line() {
    let mut bench = bench(desk(1, queue(3, 60)));
    let (_, first) = call(&mut bench);
    let (second, _) = call(&mut bench);
    call(&mut bench);
    bench.receive(CARRIER, second.request("CANCEL", "", ""));
    assert_eq!(counts(&bench), (1, 1));
    assert!(stories(&bench).contains("desk: leaves the queue"), "{}", stories(&bench));
    hangs_up(&mut bench, first.unwrap());
    open(&mut bench, first.unwrap());
    hangs_up(&mut bench, first.unwrap());
    bench.pass(SESSION_ENDS);
    assert_eq!(asked(&mut bench).pop().unwrap().0.0, MediaId(2));
    assert_eq!(counts(&bench), (1, 0));
}

#[test]
fn a_session_counts_from_when_it_is_asked_for() {
    let mut bench = bench(desk(1, queue(1, 60)));
    let (caller, first) = call(&mut bench);
    assert!(first.is_some());
    assert_eq!(counts(&bench), (1, 0), "its socket is not open yet");
    call(&mut bench);
    bench.receive(CARRIER, caller.request("CANCEL", "", ""));
    assert_eq!(asked(&mut bench).len(), 1);
    assert_eq!(counts(&bench), (1, 0));
}

#[test]
fn answered_callers_hear_the_agents_own_music_and_leave_by_bye() {
    let desk = Agent { answer: AnswerTime::AtOnce, hold: music(0x31), ..desk(1, queue(2, 60)) };
    let mut bench = Bench::with(table(desk, vec![to_agent("desk"), to_trunk("pbx")]));
    call(&mut bench);
    bench.sent.clear();
    bench.media.clear();
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    let mut caller = Dialing { to_tag: ok.tag("To"), ..caller };
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    let plays = bench.media.iter().any(|(id, command)| {
        matches!(command, MediaCommand::AddPlayer { sound: PlayerSound::Hold(sound), .. } if *id == MediaId(1) && sound.music == music(0x31).unwrap().music)
    });
    assert!(plays, "{:?}", bench.media);
    assert_eq!(counts(&bench), (1, 1));
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("BYE", "", ""));
    bench.expect(CARRIER, "SIP/2.0 200");
    assert_eq!(counts(&bench), (1, 0));
    let call = &bench.reports[0].call;
    assert_eq!(call.reason, Some("caller_hung_up"));
    let verdict = bench.gateway.trace(&call.sid).unwrap().verdict;
    assert!(!verdict.contains("Tried"), "no caller was: {verdict}");
}

#[test]
fn a_caller_that_is_transferred_waits_too_and_hears_whom_it_waits_for() {
    let desk = Agent { hold: music(0x31), ..desk(1, queue(2, 60)) };
    let night = Agent { hold: music(0x77), ..agent("night") };
    let mut route = route(vec![to_agent("desk")]);
    route.name = "main".into();
    let mut bench = Bench::with(agent_table(vec![desk, night], route));
    let (_, first) = call(&mut bench);
    open(&mut bench, first.unwrap());
    let (waiting, _) = call(&mut bench);
    // The desk transfers its caller to itself: the caller queues behind the one that waits.
    bench.media.clear();
    let wish = AgentRequest::Transfer("agent:desk".into());
    tell(&mut bench, first.unwrap(), |end| MediaEvent::Agent { end, event: AgentEvent::Request(wish.clone()) });
    let plays = bench.media.iter().any(|(id, command)| {
        matches!(command, MediaCommand::AddPlayer { sound: PlayerSound::Hold(sound), .. } if *id == MediaId(0) && sound.music == music(0x31).unwrap().music)
    });
    assert!(plays, "{:?}", bench.media);
    bench.pass(SESSION_ENDS);
    let next = asked(&mut bench);
    assert_eq!((next.len(), next[0].0.0), (1, MediaId(1)));
    assert_eq!(counts(&bench), (1, 1));
    bench.receive(CARRIER, waiting.request("CANCEL", "", ""));
    let back = asked(&mut bench);
    assert_eq!((back.len(), back[0].0.0), (1, MediaId(0)));
    assert_eq!(counts(&bench), (1, 0));
}

#[test]
fn a_new_stream_keeps_its_session_and_the_pause_before_it_too() {
    let desk = Agent { retry: 3, ..desk(1, queue(2, 60)) };
    let mut bench = Bench::with(table(desk, vec![to_agent("desk"), to_trunk("pbx")]));
    let (_, mut socket) = call(&mut bench);
    call(&mut bench);
    // At once, then after 250 ms.
    for pause in [0, 250] {
        lose(&mut bench, socket.unwrap());
        assert_eq!(counts(&bench), (1, 1));
        bench.pass(Duration::from_millis(pause));
        let asked = asked(&mut bench);
        assert_eq!((asked.len(), asked[0].0.0), (1, MediaId(0)), "the session is still the first caller's");
        socket = Some(asked[0].0);
    }
    lose(&mut bench, socket.unwrap());
    bench.pass(Duration::from_millis(500));
    socket = asked(&mut bench).pop().map(|(socket, _)| socket);
    lose(&mut bench, socket.unwrap());
    assert_eq!(invited(&mut bench), 1, "its new streams are used up");
    assert_eq!(asked(&mut bench).pop().unwrap().0.0, MediaId(1));
    assert_eq!(counts(&bench), (1, 0));
}

#[test]
fn nobody_waits_for_an_agent_that_is_skipped() {
    let mut bench = bench(desk(5, queue(9, 60)));
    let sockets: Vec<Socket> = (0..5).map(|_| call(&mut bench).1.unwrap()).collect();
    for socket in &sockets {
        open(&mut bench, *socket);
    }
    for _ in 0..3 {
        call(&mut bench);
    }
    assert_eq!((counts(&bench), invited(&mut bench)), ((5, 3), 0));
    for socket in &sockets[..4] {
        lose(&mut bench, *socket);
    }
    // The waiting callers have got the free sessions; their streams are lost, too.
    assert_eq!(counts(&bench), (4, 0));
    let others: Vec<Socket> = asked(&mut bench).into_iter().map(|(socket, _)| socket).collect();
    assert_eq!(others.len(), 3);
    call(&mut bench);
    call(&mut bench);
    assert_eq!(counts(&bench), (5, 1));
    invited(&mut bench);
    lose(&mut bench, others[0]);
    assert_eq!(bench.gateway.status(bench.now).agents[0].state, "skipped");
    assert_eq!((counts(&bench), invited(&mut bench)), ((4, 0), 2), "the one that failed, and the one that waited");
    call(&mut bench);
    assert_eq!((counts(&bench), invited(&mut bench)), ((4, 0), 1), "nor does a new one wait");
}

#[test]
fn other_limits_come_into_force_at_once_and_the_order_stays() {
    let connect = || vec![to_agent("desk"), to_trunk("pbx")];
    let mut bench = bench(desk(1, queue(5, 60)));
    for _ in 0..5 {
        call(&mut bench);
    }
    asked(&mut bench);
    assert_eq!(counts(&bench), (1, 4));
    let moved = Agent { url: "ws://127.0.0.1/moved".into(), ..desk(3, queue(5, 60)) };
    bench.configure(|settings| settings.table = table(moved, connect()));
    let sessions: Vec<(u64, String)> = asked(&mut bench).into_iter().map(|((id, _), url)| (id.0, url)).collect();
    let url = || "ws://127.0.0.1/moved".to_owned();
    assert_eq!(sessions, [(1, url()), (2, url())], "in their order, to where the agent is now");
    assert_eq!(counts(&bench), (3, 2));
    bench.configure(|settings| settings.table = table(desk(1, None), connect()));
    assert_eq!((counts(&bench), invited(&mut bench)), ((3, 2), 0), "who waits goes on waiting");
    let (_, none) = call(&mut bench);
    assert_eq!((none, invited(&mut bench)), (None, 1));
    bench.configure(|settings| settings.table = table(desk(0, None), connect()));
    assert_eq!((asked(&mut bench).len(), counts(&bench)), (2, (5, 0)), "no limit");
}

#[test]
fn an_agent_that_is_gone_lets_its_callers_go_on() {
    let mut bench = bench(desk(1, queue(5, 60)));
    let (_, first) = call(&mut bench);
    open(&mut bench, first.unwrap());
    call(&mut bench);
    call(&mut bench);
    bench.sent.clear();
    bench.configure(|settings| settings.table = agent_table(vec![agent("night")], route(vec![to_agent("night")])));
    assert_eq!(invited(&mut bench), 2, "the targets that they had");
    assert!(stories(&bench).contains("removed from the configuration"), "{}", stories(&bench));
    hangs_up(&mut bench, first.unwrap());
    bench.configure(|settings| settings.table = table(desk(1, None), vec![to_agent("desk")]));
    assert_eq!(counts(&bench), (0, 0));
}

#[test]
fn a_drain_leaves_those_that_wait_and_its_end_tells_them() {
    let mut bench = Bench::with(table(desk(1, queue(5, 60)), vec![to_agent("desk")]));
    let (_, first) = call(&mut bench);
    call(&mut bench);
    bench.control(OperatorCommand::Drain { on: true });
    assert_eq!(counts(&bench), (1, 1));
    open(&mut bench, first.unwrap());
    hangs_up(&mut bench, first.unwrap());
    bench.pass(SESSION_ENDS);
    assert_eq!(asked(&mut bench).len(), 1, "its turn comes");
    bench.sent.clear();
    bench.control(OperatorCommand::EndAll);
    bench.expect(CARRIER, "SIP/2.0 503");
    assert_eq!(counts(&bench), (0, 0));
}

#[test]
fn a_restart_puts_waiting_callers_in_line_again() {
    let desk = || Agent { answer: AnswerTime::AtOnce, hold: music(0x31), ..desk(1, queue(2, 60)) };
    let mut bench = Bench::with(table(desk(), vec![to_agent("desk"), to_trunk("pbx")]));
    for _ in 0..3 {
        asked(&mut bench);
        bench.sent.clear();
        let caller = bench.invite(CARRIER, "+14155550100", &offer());
        bench.expect(CARRIER, "SIP/2.0 100");
        let ok = bench.expect(CARRIER, "SIP/2.0 200");
        let caller = Dialing { to_tag: ok.tag("To"), ..caller };
        bench.receive(CARRIER, caller.request("ACK", "", ""));
    }
    assert_eq!(counts(&bench), (1, 2));
    bench.restart(table(desk(), vec![to_agent("desk"), to_trunk("pbx")]));
    assert_eq!((asked(&mut bench).len(), counts(&bench)), (1, (1, 2)));
}
