//! An agent that keeps failing is skipped, and tried again by one call at a time.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

use std::sync::Arc;
use std::time::Duration;

use crate::bench::agents::{agent, agent_table, hang_up, to_agent};
use crate::bench::{Bench, CARRIER, Dialing, PBX, offer, route, to_trunk};
use trunkgate_call::{AgentProbe, GatewayInput};
use trunkgate_media::agent::StreamLoss;
use trunkgate_media::{AgentEvent, AgentRequest, EndId, MediaCommand, MediaEvent, MediaId};
use trunkgate_route::{Agent, RoutingTable, TargetSpec};

/// Makes another call; returns the agent's requested socket, if there is one.
fn call(bench: &mut Bench) -> (Dialing, Option<(MediaId, EndId)>) {
    bench.media.clear();
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    let asked = bench.media.iter().find_map(|(id, command)| match command {
        MediaCommand::AddAgent { end, .. } => Some((*id, *end)),
        _ => None,
    });
    (caller, asked)
}

fn news(bench: &mut Bench, (id, end): (MediaId, EndId), event: impl Fn(EndId) -> MediaEvent) {
    bench.input(GatewayInput::Media { id, event: event(end) });
}

fn lose(bench: &mut Bench, socket: (MediaId, EndId)) {
    news(bench, socket, |end| MediaEvent::Agent { end, event: AgentEvent::Lost(StreamLoss::Status(503)) });
}

fn opens(bench: &mut Bench, socket: (MediaId, EndId)) {
    news(bench, socket, |end| MediaEvent::Agent { end, event: AgentEvent::Open });
}

/// Returns whether the last call went straight to the PBX.
fn skipped(bench: &mut Bench) -> bool {
    let (_, asked) = call(bench);
    let invited = bench.sent.iter().any(|sent| sent.to == PBX.parse().unwrap());
    bench.sent.clear();
    assert_eq!(asked.is_none(), invited);
    invited
}

fn state(bench: &Bench) -> (&'static str, Option<u64>) {
    let agent = bench.gateway.status(bench.now).agents.remove(0);
    (agent.state, agent.next_try_ms)
}

/// Makes five calls that the agent refuses.
fn failing(connect: Vec<TargetSpec>) -> Bench {
    let mut bench = Bench::with_agents(connect);
    for n in 0..5 {
        assert_eq!(state(&bench).0, if n == 0 { "unknown" } else { "down" });
        let (_, asked) = call(&mut bench);
        lose(&mut bench, asked.unwrap());
        bench.sent.clear();
    }
    bench
}

#[test]
fn after_five_failures_calls_go_straight_on() {
    let mut bench = failing(vec![to_agent("desk"), to_trunk("pbx")]);
    assert_eq!(state(&bench), ("skipped", Some(1_000)));
    assert!(bench.gateway.metrics().agent.skipped["desk"] && !bench.gateway.metrics().agent.skipped["night"]);
    let said =
        "agent desk keeps failing and is skipped, except for one test call at a time: answered the handshake with 503";
    assert_eq!(bench.logs.iter().filter(|line| *line == said).count(), 1, "{:#?}", bench.logs);
    assert!(skipped(&mut bench));
    let story = bench.story();
    assert!(story.contains("desk: skipped because of repeated failures; next test in 1.0 s"), "{story}");
    let reasons: Vec<_> = bench.gateway.metrics().failovers.iter().map(|((_, why), n)| (*why, *n)).collect();
    assert_eq!(reasons, [("agent_refused", 5), ("agent_skipped", 1)]);
}

#[test]
fn calls_that_do_not_reach_it_are_counted_with_those_whose_callers_are_lost() {
    for (connect, lost) in [(vec![to_agent("desk"), to_trunk("pbx")], 0), (vec![to_agent("desk")], 6)] {
        let mut bench = failing(connect);
        let (_, asked) = call(&mut bench);
        assert!(asked.is_none(), "it is skipped");
        let desk = bench.gateway.status(bench.now).agents.remove(0);
        let calls = bench.gateway.calls(bench.now);
        assert_eq!((desk.unreached.calls, desk.unreached.lost), (6, lost));
        let passed_over = calls.iter().flat_map(|call| &call.passed_over);
        let passed_over: Vec<_> = passed_over.map(|one| (one.target.as_str(), one.reason)).collect();
        assert_eq!(passed_over, [("desk", "agent_skipped")]);
    }
    // An agent that opens with a new stream was reached.
    let again = Agent { retry: 1, ..agent("desk") };
    let mut bench = Bench::with(agent_table(vec![again], route(vec![to_agent("desk")])));
    let (_, asked) = call(&mut bench);
    bench.media.clear();
    lose(&mut bench, asked.unwrap());
    bench.pass(Duration::from_secs(2));
    let (id, end) = bench
        .media
        .iter()
        .find_map(|(id, command)| match command {
            MediaCommand::AddAgent { end, .. } => Some((*id, *end)),
            _ => None,
        })
        .unwrap();
    opens(&mut bench, (id, end));
    assert_eq!(bench.gateway.status(bench.now).agents[0].unreached.calls, 0);
}

#[test]
fn one_call_at_a_time_tries_it_again() {
    let mut bench = failing(vec![to_agent("desk"), to_trunk("pbx")]);
    bench.pass(Duration::from_secs(1));
    bench.sent.clear();
    let (_, trial) = call(&mut bench);
    assert_eq!(state(&bench), ("skipped", None));
    for _ in 0..20 {
        assert!(skipped(&mut bench), "another call is testing it");
    }
    lose(&mut bench, trial.unwrap());
    assert_eq!(state(&bench), ("skipped", Some(2_000)));
    bench.pass(Duration::from_secs(2));
    bench.sent.clear();
    let (_, trial) = call(&mut bench);
    opens(&mut bench, trial.unwrap());
    assert_eq!(state(&bench), ("up", None));
    assert!(!bench.gateway.metrics().agent.skipped["desk"]);
    assert!(bench.logs.iter().any(|line| line == "agent desk works again and is no longer skipped"));
    assert!(!skipped(&mut bench) && !skipped(&mut bench), "all may");
    // A stream that breaks at once: one such call proves little, two are enough.
    let (_, second) = call(&mut bench);
    lose(&mut bench, trial.unwrap());
    assert_ne!(state(&bench).0, "skipped");
    lose(&mut bench, second.unwrap());
    assert_eq!(state(&bench).0, "skipped");
    bench.sent.clear();
    assert!(skipped(&mut bench));
}

/// One caller for whom the agent fails again and again, with the maximum number of new streams.
#[test]
fn one_call_alone_does_not_have_an_agent_skipped_for_all() {
    let again = Agent { retry: 10, ..agent("desk") };
    let table = agent_table(vec![again], route(vec![to_agent("desk"), to_trunk("pbx")]));
    let mut bench = Bench::with(table);
    let (_, mut asked) = call(&mut bench);
    let mut streams = 0;
    while let Some(socket) = asked {
        streams += 1;
        bench.media.clear();
        news(&mut bench, socket, |end| MediaEvent::Agent { end, event: AgentEvent::Lost(StreamLoss::Reset) });
        bench.pass(Duration::from_secs(2));
        asked = bench.media.iter().find_map(|(id, command)| match command {
            MediaCommand::AddAgent { end, .. } => Some((*id, *end)),
            _ => None,
        });
    }
    assert_eq!((streams, state(&bench).0), (11, "down"));
    bench.sent.clear();
    assert!(!skipped(&mut bench));
}

#[test]
fn who_is_refused_has_nobody_else_kept_from_the_agent() {
    let mut bench = Bench::with_agents(vec![to_agent("desk"), to_trunk("pbx")]);
    for _ in 0..20 {
        let (_, asked) = call(&mut bench);
        news(&mut bench, asked.unwrap(), |end| MediaEvent::Agent {
            end,
            event: AgentEvent::Lost(StreamLoss::Status(403)),
        });
        bench.sent.clear();
    }
    assert_eq!(state(&bench).0, "down");
    // A trial that is refused does not count either: it proves that the agent responds, so all calls may use it.
    let mut bench = failing(vec![to_agent("desk"), to_trunk("pbx")]);
    bench.pass(Duration::from_secs(1));
    bench.sent.clear();
    let (_, trial) = call(&mut bench);
    news(&mut bench, trial.unwrap(), |end| MediaEvent::Agent { end, event: AgentEvent::Lost(StreamLoss::Status(403)) });
    bench.sent.clear();
    assert_eq!(state(&bench), ("down", None));
    assert!(bench.logs.iter().any(|line| line == "agent desk works again and is no longer skipped"));
    assert!(!skipped(&mut bench) && !skipped(&mut bench));
}

#[test]
fn an_agent_that_has_moved_does_not_pay_for_its_old_place() {
    let moved = Agent { retry: 0, ..Agent::at("desk", "ws://127.0.0.1/elsewhere") };
    let mut bench = Bench::with_agents(vec![to_agent("desk"), to_trunk("pbx")]);
    let old: Vec<_> = (0..6).map(|_| call(&mut bench).1.unwrap()).collect();
    old.iter().for_each(|socket| opens(&mut bench, *socket));
    bench.pass(Duration::from_secs(1));
    bench.configure(|settings| {
        settings.table = agent_table(vec![moved], route(vec![to_agent("desk"), to_trunk("pbx")]))
    });
    for socket in old {
        news(&mut bench, socket, |end| MediaEvent::Agent { end, event: AgentEvent::Lost(StreamLoss::Reset) });
    }
    bench.sent.clear();
    assert_ne!(state(&bench).0, "skipped");
    assert!(!skipped(&mut bench));
}

/// Two hundred calls at once while the agent is down, and when it comes back.
#[test]
fn a_crowd_leaves_one_trial() {
    let agents = vec![agent("desk"), agent("night"), agent("scribe")];
    let table = agent_table(agents, route(vec![to_agent("desk"), to_trunk("pbx")]));
    let mut bench = Bench::configured(table, |config| {
        config.max_calls = 1_000;
        config.media_ports = (16_384, 26_383);
    });
    let crowd: Vec<_> = (0..200).map(|_| call(&mut bench).1.unwrap()).collect();
    for socket in &crowd {
        opens(&mut bench, *socket);
    }
    for socket in &crowd {
        news(&mut bench, *socket, |end| MediaEvent::Agent { end, event: AgentEvent::Lost(StreamLoss::Reset) });
    }
    assert_eq!(state(&bench), ("skipped", Some(1_000)));
    bench.pass(Duration::from_secs(1));
    bench.sent.clear();
    let tried: Vec<_> = (0..200).filter_map(|_| call(&mut bench).1).collect();
    assert_eq!(tried.len(), 1);
    bench.sent.clear();
    opens(&mut bench, tried[0]);
    let tried = (0..200).filter(|_| call(&mut bench).1.is_some()).count();
    assert_eq!(tried, 200);
}

#[test]
fn an_agent_that_never_speaks_is_skipped_until_it_does() {
    let mut bench = Bench::with_agents(vec![to_agent("desk"), to_trunk("pbx")]);
    let falls_silent = |bench: &mut Bench, socket| {
        opens(bench, socket);
        news(bench, socket, |end| MediaEvent::Agent { end, event: AgentEvent::Lost(StreamLoss::Silent) });
        bench.sent.clear();
    };
    let failed = |bench: &Bench| {
        let failed = bench.gateway.status(bench.now).agents.remove(0).failed.unwrap();
        (failed.calls, failed.of, failed.in_row, failed.cause)
    };
    for _ in 0..5 {
        let socket = call(&mut bench).1.unwrap();
        falls_silent(&mut bench, socket);
    }
    assert_eq!(failed(&bench), (5, 5, 5, "did not speak in time".to_owned()));
    for pause in [1_000, 2_000] {
        assert_eq!(state(&bench), ("skipped", Some(pause)));
        bench.pass(Duration::from_millis(pause));
        bench.sent.clear();
        let socket = call(&mut bench).1.unwrap();
        opens(&mut bench, socket);
        assert_eq!(state(&bench).0, "skipped", "an open WebSocket is no voice");
        assert!(skipped(&mut bench), "others do not wait for it");
        news(&mut bench, socket, |end| MediaEvent::Agent { end, event: AgentEvent::Lost(StreamLoss::Silent) });
    }
    bench.pass(Duration::from_secs(4));
    bench.sent.clear();
    let socket = call(&mut bench).1.unwrap();
    opens(&mut bench, socket);
    news(&mut bench, socket, |end| MediaEvent::Agent { end, event: AgentEvent::Spoke });
    assert_eq!(state(&bench), ("up", None));
    assert_eq!(failed(&bench), (7, 8, 0, "did not speak in time".to_owned()));
    assert!(
        bench.logs.iter().any(|line| line == "agent desk works again and is no longer skipped"),
        "{:#?}",
        bench.logs
    );
    bench.sent.clear();
    assert!(!skipped(&mut bench));
}

#[test]
fn a_trial_whose_caller_gives_up_is_nobodys() {
    let mut bench = failing(vec![to_agent("desk"), to_trunk("pbx")]);
    bench.pass(Duration::from_secs(1));
    bench.sent.clear();
    let (caller, trial) = call(&mut bench);
    assert!(trial.is_some() && skipped(&mut bench));
    bench.receive(CARRIER, caller.request("CANCEL", "", ""));
    bench.sent.clear();
    assert!(!skipped(&mut bench), "the next call tries");
}

#[test]
fn a_trial_that_a_silent_agent_refuses_leaves_the_next_call_to_try() {
    let mut bench = Bench::with_agents(vec![to_agent("desk"), to_trunk("pbx")]);
    for _ in 0..5 {
        let socket = call(&mut bench).1.unwrap();
        opens(&mut bench, socket);
        news(&mut bench, socket, |end| MediaEvent::Agent { end, event: AgentEvent::Lost(StreamLoss::Silent) });
    }
    bench.pass(Duration::from_secs(1));
    bench.sent.clear();
    let trial = call(&mut bench).1.unwrap();
    assert!(skipped(&mut bench), "another call is testing it");
    news(&mut bench, trial, |end| MediaEvent::Agent { end, event: AgentEvent::Lost(StreamLoss::Status(404)) });
    bench.sent.clear();
    assert_eq!(state(&bench).0, "skipped", "it has answered, and has not spoken");
    assert!(!skipped(&mut bench), "the next call tries");
}

#[test]
fn its_own_time_out_counts_like_the_workers_word() {
    let mut bench = Bench::with_agents(vec![to_agent("desk"), to_trunk("pbx")]);
    for _ in 0..5 {
        call(&mut bench);
    }
    // The worker does not report.
    bench.pass(Duration::from_secs(12));
    assert_eq!(state(&bench).0, "skipped");
}

#[test]
fn streams_that_go_well_take_failures_back() {
    let mut bench = Bench::with_agents(vec![to_agent("desk"), to_trunk("pbx")]);
    for _ in 0..20 {
        let (_, asked) = call(&mut bench);
        lose(&mut bench, asked.unwrap());
        let (_, asked) = call(&mut bench);
        opens(&mut bench, asked.unwrap());
        news(&mut bench, asked.unwrap(), |end| MediaEvent::Agent { end, event: AgentEvent::Ended });
        bench.sent.clear();
        bench.pass(Duration::from_millis(100));
        bench.sent.clear();
    }
    assert_ne!(state(&bench).0, "skipped");
}

#[test]
fn a_reload_keeps_what_is_known_unless_the_agent_has_moved() {
    let with = |url: &str| -> Arc<RoutingTable> {
        let desk = Agent { retry: 1, ..Agent::at("desk", url) };
        agent_table(vec![desk, agent("night")], route(vec![to_agent("desk"), to_trunk("pbx")]))
    };
    let mut bench = failing(vec![to_agent("desk"), to_trunk("pbx")]);
    bench.configure(|settings| settings.table = with(&agent("desk").url));
    assert_eq!(state(&bench), ("skipped", Some(1_000)));
    assert!(skipped(&mut bench));
    bench.configure(|settings| settings.table = with("ws://127.0.0.1/elsewhere"));
    assert_ne!(state(&bench).0, "skipped");
    assert!(!bench.gateway.metrics().agent.skipped["desk"]);
    assert!(!skipped(&mut bench));
}

#[test]
fn a_caller_without_another_target_is_not_kept_from_it() {
    let connect = vec![to_agent("desk")];
    let again = Agent { retry: 2, ..agent("desk") };
    let mut bench = Bench::with(agent_table(vec![again], route(connect)));
    let (mut caller, _, desk) = bench.talking();
    for _ in 0..5 {
        let (_, asked) = call(&mut bench);
        // Each call has up to three streams.
        lose(&mut bench, asked.unwrap());
        bench.sent.clear();
        if state(&bench).0 == "skipped" {
            break;
        }
    }
    assert_eq!(state(&bench).0, "skipped");
    let (_, asked) = call(&mut bench);
    assert_eq!(asked, None, "an unanswered caller gets 503, so that its network tries elsewhere");
    bench.sent.clear();
    bench.media.clear();
    bench.lose(desk, StreamLoss::Reset);
    let (again, _) = bench.asked().pop().unwrap();
    bench.open(again);
    let answered = bench.gateway.calls(bench.now).into_iter().filter(|call| call.state == "answered").count();
    assert_eq!((answered, state(&bench).0), (1, "up"));
    hang_up(&mut bench, &mut caller);
}

#[test]
fn listeners_neither_count_nor_are_skipped() {
    let mut bench = Bench::with(agent_table(
        vec![agent("desk"), agent("scribe")],
        trunkgate_route::Route { fork: vec!["desk".into()], ..route(vec![to_trunk("pbx")]) },
    ));
    for _ in 0..10 {
        let (_, asked) = call(&mut bench);
        lose(&mut bench, asked.unwrap());
    }
    assert_eq!(state(&bench).0, "down");
}

#[test]
fn an_agent_is_down_only_where_it_cannot_be_reached() {
    let mut bench = Bench::with_agents(vec![to_agent("desk")]);
    let seen = |bench: &Bench| {
        let desk = bench.gateway.status(bench.now).agents.remove(0);
        (desk.state, desk.sessions, desk.last_problem.unwrap_or_default())
    };
    let [first, second] = [(); 2].map(|()| call(&mut bench).1.unwrap());
    opens(&mut bench, first);
    lose(&mut bench, second);
    let refused = "answered the handshake with 503".to_owned();
    assert_eq!(seen(&bench), ("up", 1, refused.clone()), "it talks with another caller");
    news(&mut bench, first, |end| MediaEvent::Agent { end, event: AgentEvent::Lost(StreamLoss::Reset) });
    assert_eq!(seen(&bench), ("down", 0, "the connection was reset".into()), "the last one could not be opened");
    let third = call(&mut bench).1.unwrap();
    opens(&mut bench, third);
    news(&mut bench, third, |end| MediaEvent::Agent { end, event: AgentEvent::Lost(StreamLoss::Reset) });
    assert_eq!(seen(&bench), ("up", 0, "the connection was reset".into()), "lost in mid-call: the next may well open");
    let fourth = call(&mut bench).1.unwrap();
    lose(&mut bench, fourth);
    assert_eq!(seen(&bench), ("down", 0, refused));
}

/// One caller with whom its agent breaks, and who dials again each time.
#[test]
fn one_number_alone_does_not_have_an_agent_skipped_for_all() {
    let mut bench = Bench::with_agents(vec![to_agent("desk"), to_trunk("pbx")]);
    for _ in 0..12 {
        bench.pass(Duration::from_secs(1));
        let (_, asked) = call(&mut bench);
        opens(&mut bench, asked.unwrap());
        news(&mut bench, asked.unwrap(), |end| MediaEvent::Agent { end, event: AgentEvent::Lost(StreamLoss::Reset) });
        bench.sent.clear();
    }
    assert_ne!(state(&bench).0, "skipped");
    assert!(!skipped(&mut bench));
}

/// Makes two probes of the agent fail, ten seconds apart.
fn probes_fail(bench: &mut Bench) {
    for _ in 0..2 {
        bench.pass(Duration::from_secs(10));
        let outcome = Err((StreamLoss::ConnectTimeout, String::new()));
        let url = agent("desk").url;
        let probe = AgentProbe { name: "desk".into(), url, began: bench.now, is_connection: false, outcome };
        bench.input(GatewayInput::AgentProbed(Box::new(probe)));
    }
}

#[test]
fn an_agent_that_fails_its_probes_is_tried_by_a_caller_without_another_target() {
    let probed = Agent { probe: Duration::from_secs(10), ..agent("desk") };
    let mut bench = Bench::with(agent_table(vec![probed.clone()], route(vec![to_agent("desk")])));
    probes_fail(&mut bench);
    assert_eq!(state(&bench).0, "skipped");
    let (_, asked) = call(&mut bench);
    opens(&mut bench, asked.expect("it may be back"));
    assert_eq!(bench.gateway.status(bench.now).agents[0].unreached.calls, 0);

    // A caller with another target does not wait for the agent.
    let mut bench = Bench::with(agent_table(vec![probed], route(vec![to_agent("desk"), to_trunk("pbx")])));
    probes_fail(&mut bench);
    bench.pass(Duration::from_secs(4));
    assert!(skipped(&mut bench));
    let story = bench.story();
    assert!(story.contains("desk: skipped because of repeated failures; next probe in 6.0 s"), "{story}");
}

#[test]
fn an_agent_that_was_skipped_was_not_tried() {
    let mut bench = failing(vec![to_agent("desk")]);
    call(&mut bench);
    let sid = bench.gateway.calls(bench.now)[0].sid.clone();
    let verdict = bench.gateway.trace(&sid).unwrap().verdict;
    assert!(verdict.contains(" Skipped: desk.") && !verdict.contains("Tried"), "{verdict}");
}

#[test]
fn an_agent_that_ends_calls_at_once_without_audio_has_failed_in_them() {
    let mut bench = Bench::with_agents(vec![to_agent("desk"), to_trunk("pbx")]);
    let ends = |bench: &mut Bench, seconds: u64, hangs_up: bool| {
        let (_, asked) = call(bench);
        opens(bench, asked.unwrap());
        bench.pass(Duration::from_secs(seconds));
        news(bench, asked.unwrap(), |end| match hangs_up {
            true => MediaEvent::Agent { end, event: AgentEvent::Request(AgentRequest::Hangup) },
            false => MediaEvent::Agent { end, event: AgentEvent::Ended },
        });
        bench.pass(Duration::from_secs(90));
        bench.sent.clear();
        let agent = bench.gateway.status(bench.now).agents.remove(0);
        let failed = agent.failed.unwrap();
        let is_marked = bench.reports.last().unwrap().call.flags.contains(&"agent_failed");
        assert_eq!(agent.state, "up", "no call skips it");
        (is_marked, [failed.calls, failed.of, failed.hung_up, failed.good_since], failed.cause)
    };
    let cause = |how: &str| format!("ended the call at once, without audio: {how}");
    assert_eq!(ends(&mut bench, 0, false), (true, [1, 1, 1, 0], cause("closed with 1000")));
    assert_eq!(ends(&mut bench, 1, true), (true, [2, 2, 2, 0], cause("hung up")));
    for calls in 3..8 {
        assert_eq!(ends(&mut bench, 0, false).1, [calls, calls, calls, 0]);
    }
    assert_eq!(
        ends(&mut bench, 2, false),
        (false, [7, 7, 7, 1], cause("closed with 1000")),
        "it had the call for long enough"
    );
}
