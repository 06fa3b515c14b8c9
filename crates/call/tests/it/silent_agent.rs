//! A voice agent that has the caller and sends no audio is reported: flag, verdict, metric, event, and status.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::sync::Arc;
use std::time::Duration;

use crate::bench::agents::{hang_up, to_agent};
use crate::bench::*;
use trunkgate_call::GatewayInput;
use trunkgate_call::view::{AgentView, FaultView};
use trunkgate_media::agent::StreamLoss;
use trunkgate_media::{AgentEvent, AgentQueue, EndCounters, EndId, MediaCommand, MediaEvent, MediaId};

/// End of the agent in the newest call.
struct Asked {
    id: MediaId,
    end: EndId,
    counters: Arc<EndCounters>,
    queue: Arc<AgentQueue>,
    /// Counters of the caller's end.
    caller: Arc<EndCounters>,
}

/// Makes a call with the agent; the caller is heard.
fn talking(bench: &mut Bench) -> (Dialing, Asked) {
    bench.media.clear();
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    let asked = bench.media.iter().find_map(|(id, command)| match command {
        MediaCommand::AddAgent { end, spec } => Some((*id, *end, spec.counters.clone(), spec.queue.clone())),
        _ => None,
    });
    let caller_end = bench.media.iter().find_map(|(_, command)| match command {
        MediaCommand::AddEnd { spec, .. } => Some(spec.counters.clone()),
        _ => None,
    });
    let (id, end, counters, queue) = asked.unwrap();
    let asked = Asked { id, end, counters, queue, caller: caller_end.unwrap() };
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 180");
    news(bench, &asked, MediaEvent::Agent { end, event: AgentEvent::Open });
    let caller = Dialing { to_tag: bench.expect(CARRIER, "SIP/2.0 200").tag("To"), ..caller };
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    asked.caller.rx_packets.set(250);
    (caller, asked)
}

fn news(bench: &mut Bench, asked: &Asked, event: MediaEvent) {
    bench.input(GatewayInput::Media { id: asked.id, event });
}

/// Sends the agent's first audio.
fn speak(bench: &mut Bench, asked: &Asked) {
    asked.counters.rx_packets.set(50);
    news(bench, asked, MediaEvent::Agent { end: asked.end, event: AgentEvent::Spoke });
}

/// Hangs up for the caller; earlier requests of ours stay unanswered.
fn end(bench: &mut Bench, caller: &mut Dialing) {
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("BYE", "", ""));
    bench.sent.clear();
}

fn desk(bench: &Bench) -> AgentView {
    bench.gateway.agents(bench.now).into_iter().find(|agent| agent.name == "desk").unwrap()
}

fn silent(bench: &Bench) -> Option<(u64, u64, bool)> {
    desk(bench).silent.map(|FaultView { calls, of, still, .. }| (calls, of, still))
}

fn verdict(bench: &Bench) -> String {
    let sid = bench.gateway.calls(bench.now)[0].sid.clone();
    bench.gateway.trace(&sid).unwrap().verdict
}

fn flags(bench: &Bench) -> Vec<&'static str> {
    bench.gateway.calls(bench.now)[0].flags.clone()
}

#[test]
fn ten_seconds_without_a_word_are_reported_while_the_call_is_up_and_counted_when_it_ends() {
    let mut bench = Bench::with_agents(vec![to_agent("desk")]);
    let (mut caller, _) = talking(&mut bench);
    bench.pass(Duration::from_secs(6));
    assert_eq!(flags(&bench), ["agent"], "it may listen first");
    bench.pass(Duration::from_secs(5));
    assert_eq!(flags(&bench), ["one_way", "agent"]);
    let told = "No media from desk: its WebSocket opened, but no `media` message arrived in 10.0 s. Try: `trunkgate agent test \
                desk` shows the messages that the agent sends; `first_audio_timeout = \"8s\"` in [agent.desk] makes";
    assert!(verdict(&bench).contains(told), "{}", verdict(&bench));
    let live = bench.gateway.status(bench.now).silent;
    assert_eq!((live.len(), live[0].name.as_str(), live[0].kind), (1, "desk", "no_agent_audio"));
    assert_eq!(silent(&bench), None, "it is counted at its end");
    assert_eq!(bench.gateway.metrics().agent.silent["desk"], 1);
    assert!(bench.logs.iter().any(|line| line.starts_with("no audio from desk in an answered call: ")));
    bench.pass(Duration::from_secs(20));
    hang_up(&mut bench, &mut caller);
    assert_eq!((silent(&bench), bench.gateway.metrics().agent.silent["desk"]), (Some((1, 1, true)), 1));
    assert_eq!(
        bench.gateway.trace(&bench.reports[0].call.sid).unwrap().verdict.matches("No media from desk").count(),
        1
    );
    for heard in 1..=3 {
        let (mut caller, asked) = talking(&mut bench);
        speak(&mut bench, &asked);
        hang_up(&mut bench, &mut caller);
        assert_eq!(silent(&bench), Some((1, 1 + heard, heard < 3)), "three calls with a word withdraw it");
    }
    bench.finish();
}

#[test]
fn an_agent_that_listens_first_and_a_caller_that_is_not_heard_are_no_fault() {
    let mut bench = Bench::with_agents(vec![to_agent("desk")]);
    let (mut caller, asked) = talking(&mut bench);
    bench.pass(Duration::from_secs(12));
    assert_eq!(flags(&bench), ["one_way", "agent"]);
    speak(&mut bench, &asked);
    assert_eq!(flags(&bench), ["agent"]);
    hang_up(&mut bench, &mut caller);
    assert!(!verdict(&bench).contains("No media"), "{}", verdict(&bench));
    assert_eq!(silent(&bench), None);
    let (mut caller, _) = talking(&mut bench);
    bench.pass(Duration::from_secs(8));
    hang_up(&mut bench, &mut caller);
    assert_eq!(silent(&bench), None, "a short call");
    let (mut caller, asked) = talking(&mut bench);
    asked.caller.rx_packets.set(0);
    bench.pass(Duration::from_secs(30));
    assert_eq!(flags(&bench), ["agent"], "nothing of the caller came: it has nothing to answer");
    hang_up(&mut bench, &mut caller);
    assert_eq!(silent(&bench), None);
    bench.finish();
}

#[test]
fn messages_for_another_stream_are_the_cause_and_need_no_ten_seconds() {
    let mut bench = Bench::with_agents(vec![to_agent("desk")]);
    let (mut caller, asked) = talking(&mut bench);
    asked.queue.foreign.set(240);
    let text = "for another stream: \"MZwrong\"".to_owned();
    news(&mut bench, &asked, MediaEvent::Agent { end: asked.end, event: AgentEvent::Note { text, logged: true } });
    bench.pass(Duration::from_secs(3));
    hang_up(&mut bench, &mut caller);
    let told = "No media from desk: it sent 240 messages for another streamSid and no audio for this call, the last error: for \
                another stream: \"MZwrong\". Try: put the `streamSid` of this stream's `start` message into each `media` message";
    assert!(verdict(&bench).contains(told), "{}", verdict(&bench));
    assert_eq!(silent(&bench), Some((1, 1, true)));
    bench.finish();
}

#[test]
fn invalid_messages_alone_are_the_cause_and_need_no_ten_seconds() {
    let mut bench = Bench::with_agents(vec![to_agent("desk")]);
    let (mut caller, asked) = talking(&mut bench);
    let note = |text: &str| MediaEvent::Agent {
        end: asked.end,
        event: AgentEvent::Note { text: text.to_owned(), logged: true },
    };
    asked.queue.invalid.set(1);
    news(&mut bench, &asked, note("no valid JSON: line 1, column 2"));
    assert_eq!(flags(&bench), ["agent"], "one may be chance while the call is young");
    asked.queue.invalid.set(10);
    news(&mut bench, &asked, note("no valid JSON: line 1, column 2: the 10th of its kind"));
    assert_eq!(flags(&bench), ["one_way", "agent"], "at once");
    assert_eq!(bench.gateway.status(bench.now).silent[0].kind, "no_agent_audio");
    asked.queue.invalid.set(100);
    bench.pass(Duration::from_secs(2));
    hang_up(&mut bench, &mut caller);
    let told = "No media from desk: it sent 100 invalid messages and no audio, the last error: no valid JSON: line 1, column 2: the \
                10th of its kind. Try: send text messages of JSON with `event`, and audio as base64 in `media.payload` (docs/configure/agents.md); \
                `trunkgate agent test desk` shows the messages that the agent sends.";
    assert!(verdict(&bench).contains(told), "{}", verdict(&bench));
    assert_eq!((silent(&bench), bench.gateway.metrics().agent.silent["desk"]), (Some((1, 1, true)), 1));

    // A whole greeting in one binary message.
    let (mut caller, asked) = talking(&mut bench);
    asked.queue.invalid.set(1);
    asked.caller.rx_packets.set(0);
    bench.pass(Duration::from_secs(1));
    hang_up(&mut bench, &mut caller);
    assert_eq!((flags(&bench), silent(&bench)), (vec!["one_way", "agent"], Some((2, 2, true))));

    let (mut caller, asked) = talking(&mut bench);
    asked.queue.invalid.set(40);
    speak(&mut bench, &asked);
    hang_up(&mut bench, &mut caller);
    assert_eq!((flags(&bench), silent(&bench)), (vec!["agent"], Some((2, 3, true))), "audio came as well");
    bench.finish();
}

#[test]
fn short_calls_in_a_row_without_a_word_are_reported_from_the_third_on() {
    let mut bench = Bench::with_agents(vec![to_agent("desk")]);
    let short = |bench: &mut Bench, seconds| {
        let (mut caller, asked) = talking(bench);
        bench.pass(Duration::from_secs(seconds));
        hang_up(bench, &mut caller);
        asked
    };
    short(&mut bench, 3);
    short(&mut bench, 1);
    short(&mut bench, 2);
    assert_eq!((flags(&bench), silent(&bench)), (vec!["agent"], None), "two of them, and one too short to count");
    let (mut caller, asked) = talking(&mut bench);
    speak(&mut bench, &asked);
    hang_up(&mut bench, &mut caller);
    short(&mut bench, 3);
    short(&mut bench, 4);
    assert_eq!(silent(&bench), None, "it was heard in between");
    short(&mut bench, 3);
    assert_eq!((flags(&bench), silent(&bench)), (vec!["one_way", "agent"], Some((3, 4, true))), "all three count");
    let marked = bench.gateway.calls(bench.now).iter().filter(|call| call.flags.contains(&"one_way")).count();
    assert_eq!(marked, 3, "the calls that are counted are those that are marked");
    let told = "No media from desk: its WebSocket opened, but no `media` message arrived in 3.0 s, in the 3rd call in a row. Try: \
                `trunkgate agent test desk` shows";
    assert!(verdict(&bench).contains(told), "{}", verdict(&bench));
    short(&mut bench, 2);
    assert_eq!((flags(&bench), silent(&bench)), (vec!["one_way", "agent"], Some((4, 5, true))));
    assert_eq!(bench.gateway.metrics().agent.silent["desk"], 2);
    let (mut caller, asked) = talking(&mut bench);
    asked.caller.rx_packets.set(0);
    bench.pass(Duration::from_secs(3));
    hang_up(&mut bench, &mut caller);
    assert_eq!((flags(&bench), silent(&bench)), (vec!["agent"], Some((4, 5, true))), "the caller was not heard");
    bench.finish();
}

#[test]
fn a_silent_call_does_not_take_back_that_an_agent_failed() {
    let mut bench = Bench::with_agents(vec![to_agent("desk")]);
    let fail = |bench: &mut Bench| {
        let (_, asked) = talking(bench);
        news(bench, &asked, MediaEvent::Agent { end: asked.end, event: AgentEvent::Lost(StreamLoss::Reset) });
        bench.sent.clear();
    };
    (0..3).for_each(|_| fail(&mut bench));
    let in_row = |bench: &Bench| desk(bench).failed.unwrap().in_row;
    assert_eq!(in_row(&bench), 3);
    assert_eq!(flags(&bench), ["agent_failed", "agent"], "the caller was answered and lost the call to it");
    assert_eq!(
        verdict(&bench).matches("Try: look for an exception in the bot's log").count(),
        1,
        "{}",
        verdict(&bench)
    );
    let (mut caller, _) = talking(&mut bench);
    bench.pass(Duration::from_secs(15));
    bench.sent.clear();
    end(&mut bench, &mut caller);
    assert_eq!((in_row(&bench), silent(&bench)), (3, Some((1, 1, true))));
    let (mut caller, asked) = talking(&mut bench);
    speak(&mut bench, &asked);
    end(&mut bench, &mut caller);
    assert_eq!(in_row(&bench), 0, "a call in which it spoke does");
}
