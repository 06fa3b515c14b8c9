//! Problems of `status`, and their absence: a silent agent, repaired faults, packets of unknown sources, a drain.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::io::Read as _;
use std::net::{TcpListener, UdpSocket};

use crate::json::assert_documented;
use crate::support::calls::{Call, NUMBER, Phone, Speaking, rtp};
use crate::support::sip::{field, to_tag};
use crate::support::talk::{Rig, Talk, speech};
use crate::support::{Process, config, finish, until};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::accept;

fn status(edge: &Process) -> String {
    String::from_utf8(finish(&["status", "--url", &edge.url()]).stdout).unwrap()
}

fn check(edge: &Process) -> Option<i32> {
    finish(&["status", "--check", "--url", &edge.url()]).status.code()
}

fn problems(edge: &Process) -> Value {
    assert_documented(edge);
    edge.json("/v1/status")["problem_details"].clone()
}

fn hang_up(rig: &Rig, id: &str, tag: &str) {
    let (sip, caller) = (rig.edge.address("udp"), &rig.caller);
    caller.sip.send(sip, &caller.sip.request_with("BYE", NUMBER, sip, id, (2, tag), ""));
    caller.sip.receive("SIP/2.0 200");
    let sid = rig.edge.sid();
    until("the call is over", || (rig.edge.json(&format!("/v1/calls/{sid}"))["state"] == "ended").then_some(()));
}

/// Makes a call in which the caller hears the agent.
fn heard(rig: &Rig, id: &str) -> Talk {
    let mut talk = rig.call(id, "0");
    (0..10).for_each(|n| drop(talk.rtp.send_to(&rtp(7, n), talk.near)));
    talk.next("media");
    talk.say(&speech(1600));
    talk.mark("said");
    talk.next("mark");
    talk
}

/// Makes a call to an agent that is heard and then breaks its connection; the edge hangs up on the caller.
fn dropped(rig: &Rig, id: &str) {
    drop(heard(rig, id));
    let (bye, from) = rig.caller.sip.receive("BYE ");
    rig.caller.sip.send(from, &rig.caller.sip.answer(&bye, "200 OK", false));
    let sid = rig.edge.sid();
    until("the call is over", || (rig.edge.json(&format!("/v1/calls/{sid}"))["state"] == "ended").then_some(()));
}

/// The agent is killed during a call: its connection and its port disappear at once. Only a later probe or connection
/// can detect that it is down.
#[test]
fn an_answered_caller_who_is_lost_is_a_problem_at_once_and_a_killed_agent_is_down() {
    for probe in ["probe = \"1h\"\n", ""] {
        let (caller, door) = (Phone::new("127.0.0.1"), TcpListener::bind("127.0.0.1:0").unwrap());
        let address = door.local_addr().unwrap();
        let agent = format!("[agent.bot]\nurl = \"ws://{address}/media\"\n{probe}");
        let route = "[[route]]\nfrom = [\"carrier\"]\nconnect = [\"agent:bot\"]\n";
        let kill = killable(door);
        let edge = Process::start(&config(&(caller.trunk("carrier") + &agent + route)));
        let state = || edge.json("/v1/agents")["agents"][0]["state"].clone();
        if !probe.is_empty() {
            until("the first probe", || (state() == "up").then_some(()));
        }
        let sip = edge.address("udp");
        let offer = caller.description(1, "");
        caller.sip.send(sip, &caller.sip.request_with("INVITE", NUMBER, sip, "lost", (1, ""), &offer));
        let (ok, _) = caller.sip.receive("SIP/2.0 200");
        caller.sip.send(sip, &caller.sip.request_with("ACK", NUMBER, sip, "lost", (1, to_tag(&ok)), ""));
        kill.send(()).unwrap();
        let (bye, from) = caller.sip.receive("BYE ");
        caller.sip.send(from, &caller.sip.answer(&bye, "200 OK", false));
        let problem = until("the problem", || problems(&edge).as_array().unwrap().first().cloned());
        assert_eq!(
            (&problem["harm"], &problem["agent"], check(&edge)),
            (&json!("calls"), &json!("bot"), Some(1)),
            "{problem}"
        );
        assert!(problem.to_string().contains("caller was hung up on"), "{problem}");
        // An agent without probes may be down by now; one with probes may also be skipped, after its second failure.
        until("the agent is down", || (state() == "down" || state() == "skipped").then_some(()));
        let told = ["agent bot is down", "agent bot keeps failing and is skipped"];
        until("its problem", || told.iter().any(|told| problems(&edge)[0]["headline"] == *told).then_some(()));
        if probe.is_empty() {
            // This agent only accepts connections, which is enough for the probe.
            let _door = TcpListener::bind(address).unwrap();
            until("the agent is back", || (state() == "up").then_some(()));
            // The next call tries the agent, without an action of the operator.
            let status = edge.json("/v1/status");
            let all = status["problem_details"].as_array().unwrap();
            let problem = all.iter().find(|one| one["agent"] == "bot").unwrap_or_else(|| panic!("{status}"));
            assert_eq!((&status["without_target"], &problem["harm"]), (&json!(false), &json!("past")), "{problem}");
            assert!(problem["evidence"].as_str().unwrap().contains("; it is reached again"), "{problem}");
            assert!(problem["fix"].as_str().unwrap().starts_with("see the log of the bot"), "{problem}");
        }
    }
}

/// Starts an agent that serves streams until it is killed, when its port disappears together with the stream.
fn killable(door: TcpListener) -> std::sync::mpsc::Sender<()> {
    let (kill, killed) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = door.accept() {
            // A probe closes the connection before the handshake.
            let Ok(mut socket) = accept(stream) else { continue };
            while let Ok(message) = socket.read() {
                if message.to_text().is_ok_and(|text| text.contains("\"start\"")) {
                    let _ = killed.recv();
                    drop(door);
                    return;
                }
            }
        }
    });
    kill
}

#[test]
fn an_agent_that_drops_some_of_its_callers_is_named_until_as_many_are_good_as_its_share_asks_for() {
    let rig = Rig::new("");
    let good = |id: &str| hang_up(&rig, id, &heard(&rig, id).tag);
    for n in 0..3 {
        dropped(&rig, &format!("drop-{n}"));
        good(&format!("kept-{n}"));
    }
    let problem = problems(&rig.edge)[0].clone();
    let headline = "agent bot failed in 3 of 6 calls of the last hour, and their callers were hung up on";
    assert_eq!(
        (&problem["headline"], &problem["harm"], &problem["agent"], &problem["kind"]),
        (&json!(headline), &json!("calls"), &json!("bot"), &json!("fails"))
    );
    assert!(problem["evidence"].as_str().unwrap().contains("connection"), "{problem}");
    assert!(problem["fix"].as_str().unwrap().contains("`trunkgate agent test bot`"), "{problem}");
    assert!(problem["command"].as_str().unwrap().starts_with("trunkgate trace CA"), "{problem}");
    assert_eq!(check(&rig.edge), Some(1));
    let why = finish(&["why", "--url", &rig.edge.url(), "--from", "carrier", "--called", NUMBER]).stdout;
    let why = String::from_utf8(why).unwrap();
    let told = "failed in 3 of 6 calls of the last hour, 3 of which hung up on their callers: ";
    assert!(why.contains(told), "{why}");
    until("the log has it", || rig.edge.log().contains(&format!("problem: {headline}")).then_some(()));
    // One of two calls is dropped: two good ones may be chance, six in a row are not.
    (3..5).for_each(|n| good(&format!("kept-{n}")));
    let problem = problems(&rig.edge)[0].clone();
    let headline = "agent bot failed in 3 of 8 calls of the last hour, and their callers were hung up on";
    assert_eq!((&problem["headline"], &problem["harm"]), (&json!(headline), &json!("past")));
    (5..7).for_each(|n| good(&format!("kept-{n}")));
    assert_eq!(problems(&rig.edge), json!([]), "{}", rig.edge.json("/v1/status")["agents"]);
}

#[test]
fn an_agent_whose_audio_is_for_another_stream_is_named_until_it_is_heard() {
    let rig = Rig::new("");
    for id in ["lost-1", "lost-2"] {
        let mut talk = rig.call(id, "0");
        (0..10).for_each(|n| drop(talk.rtp.send_to(&rtp(7, n), talk.near)));
        talk.next("media");
        let media = json!({"event": "media", "streamSid": "MZwrong", "media": {"payload": "////"}}).to_string();
        (0..10).for_each(|_| talk.send(&media));
        let noted = || rig.trace().contains("the 10th of its kind").then_some(());
        until("the edge has read them", noted);
        hang_up(&rig, id, &talk.tag);
    }
    let call = rig.edge.json("/v1/calls")["calls"][0].clone();
    assert!(call["flags"].as_array().unwrap().contains(&json!("one_way")), "{call}");
    let verdict = rig.edge.json(&format!("/v1/calls/{}/trace", rig.edge.sid()))["verdict"].clone();
    let told = "No media from bot: it sent 10 messages for another streamSid and no audio for this call";
    assert!(verdict.as_str().unwrap().contains(told) && verdict.as_str().unwrap().contains("Try: put"), "{verdict}");
    let problem = problems(&rig.edge)[0].clone();
    let headline = "agent bot sent no audio in 2 of 2 calls of the last hour";
    assert_eq!(
        (&problem["headline"], &problem["harm"], &problem["agent"], &problem["kind"]),
        (&json!(headline), &json!("media"), &json!("bot"), &json!("one_way"))
    );
    assert!(problem["fix"].as_str().unwrap().contains("`trunkgate agent test bot`"), "{problem}");
    let page = status(&rig.edge);
    assert!(page.contains(&format!("taking calls, 1 problem: {headline}: it sent 10 messages")), "{page}");
    assert_eq!(check(&rig.edge), Some(1));
    assert_eq!(rig.edge.metric("trunkgate_agent_silent_calls_total{agent=\"bot\"}"), 2.0);
    let list = String::from_utf8(finish(&["calls", "--url", &rig.edge.url()]).stdout).unwrap();
    assert_eq!(list.matches("!silent").count(), 2, "{list}");
    // The list shows a flag by its short name.
    let wrong = finish(&["calls", "--flag", "silent", "--url", &rig.edge.url()]).stderr;
    let wrong = String::from_utf8(wrong).unwrap();
    assert!(wrong.contains("`silent` is not a known flag: did you mean `one_way`?"), "{wrong}");
    let happened = rig.edge.json("/v1/history")["troubles"].clone();
    let (kind, target, count) = (&happened[0]["kind"], &happened[0]["target"], &happened[0]["count"]);
    assert_eq!((kind, target, count), (&json!("one_way"), &json!("bot"), &json!(2)), "{happened}");
    for id in ["heard-1", "heard-2", "heard-3"] {
        hang_up(&rig, id, &heard(&rig, id).tag);
    }
    assert_eq!(problems(&rig.edge), json!([]));
}

#[test]
fn a_packet_of_an_unknown_source_is_told_and_is_no_problem() {
    let caller = Phone::new("127.0.0.1");
    let edge = Process::start(&config(&(caller.trunk("carrier") + "[[route]]\nconnect = [\"trunk:carrier\"]\n")));
    let stranger = UdpSocket::bind("127.0.0.9:0").unwrap();
    let me = stranger.local_addr().unwrap();
    let options = format!(
        "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bKs\r\nFrom: <sip:s@{me}>;tag=1\r\nTo: <sip:a@b>\r\n\
         Call-ID: s\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    );
    stranger.send_to(options.as_bytes(), edge.address("udp")).unwrap();
    until("it is known", || (problems(&edge)[0]["harm"] == "strangers").then_some(()));
    let page = status(&edge);
    assert!(page.contains("taking calls, no problems; SIP from unknown sources is dropped: 1 message"), "{page}");
    assert!(page.contains("\ni SIP from unknown sources is dropped"), "{page}");
    assert_eq!(check(&edge), Some(0));
    assert_eq!(edge.post("/v1/drain", &json!({"on": true})).0, 202);
    let page = until("it drains", || Some(status(&edge)).filter(|page| page.contains("draining, 1 problem")));
    assert!(
        page.contains("! draining: new calls get 503") && page.contains("\n  try: trunkgate drain --undo"),
        "{page}"
    );
}

/// Makes a call that the callee rejects with this status, and acknowledges the rejection.
fn rejected(edge: &Process, (caller, callee): (&Phone, &Phone), id: &str, status: &str) {
    let sip = edge.address("udp");
    caller.sip.send(sip, &caller.sip.request("INVITE", NUMBER, sip, id, 1, ""));
    let (invite, from) = callee.sip.receive("INVITE ");
    callee.sip.send(from, &callee.sip.answer(&invite, status, false));
    callee.sip.receive("ACK ");
    let refused = loop {
        let (answer, _) = caller.sip.receive("SIP/2.0 ");
        if field(&answer, "Call-ID") == id && !answer.starts_with("SIP/2.0 1") {
            break answer;
        }
    };
    let ack = caller.sip.request_with("ACK", NUMBER, sip, id, (1, to_tag(&refused)), "");
    caller.sip.send(sip, &ack.replacen("ACK1;", "INVITE1;", 1));
}

#[test]
fn the_fault_of_now_stands_before_those_that_were_mended() {
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let trunks = caller.trunk("pbx") + &callee.trunk("carrier");
    let edge = Process::start(&config(&(trunks + "[[route]]\nfrom = [\"pbx\"]\nconnect = [\"trunk:carrier\"]\n")));
    let both = (&caller, &callee);
    for n in 0..4 {
        rejected(&edge, both, &format!("forbidden-{n}"), "403 Forbidden");
    }
    let headline = "trunk carrier rejected 4 of 4 calls in the last hour, and their callers were lost";
    assert_eq!(problems(&edge)[0]["headline"], headline);
    for n in 0..3 {
        Call::set_up(&edge, &format!("good-{n}"), &caller, &callee).hang_up(2, &caller, &callee);
    }
    assert_eq!(problems(&edge), json!([]), "mended");
    rejected(&edge, both, "unpaid", "402 Account suspended");
    let problem = problems(&edge)[0].clone();
    let evidence = "1× 402 Account suspended; before that, and solved: 4× 403";
    assert_eq!((&problem["evidence"], &problem["kind"]), (&json!(evidence), &json!("rejects")), "{problem}");
    assert_eq!(problem["fix"], "Check the balance of the carrier account");
    let happened = edge.json("/v1/history")["troubles"].clone();
    let rows: Vec<_> =
        happened.as_array().unwrap().iter().map(|one| (one["code"].clone(), one["count"].clone())).collect();
    assert_eq!(rows, [(json!(403), json!(4)), (json!(402), json!(1))], "{happened}");
    assert!(happened.as_array().unwrap().iter().all(|one| one["target"] == "carrier"), "{happened}");
}

/// Makes a call that the edge itself refuses, and acknowledges the refusal.
fn turned_away(edge: &Process, caller: &Phone, id: &str) {
    let sip = edge.address("udp");
    caller.sip.send(sip, &caller.sip.request("INVITE", NUMBER, sip, id, 1, ""));
    let refused = loop {
        let (answer, _) = caller.sip.receive("SIP/2.0 ");
        if field(&answer, "Call-ID") == id && !answer.starts_with("SIP/2.0 1") {
            break answer;
        }
    };
    assert!(refused.starts_with("SIP/2.0 503"), "{refused}");
    let ack = caller.sip.request_with("ACK", NUMBER, sip, id, (1, to_tag(&refused)), "");
    caller.sip.send(sip, &ack.replacen("ACK1;", "INVITE1;", 1));
}

#[test]
fn a_limit_that_turns_callers_away_is_the_first_problem_and_is_counted() {
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let trunks = caller.trunk("carrier") + &callee.trunk("pbx");
    let route = "[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n";
    let text = config(&format!("{trunks}{route}[limits]\ncalls = 1\n"));
    let edge = Process::start(&text);
    let counted = "trunkgate_limits_reached_total{trunk=\"carrier\",reason=\"limit_calls\"}";
    assert_eq!(edge.metric(counted), 0.0, "an increase from nothing is none for Prometheus");
    let first = Call::set_up(&edge, "first", &caller, &callee);
    // A call without audio is a problem of its own.
    let _speaking = Speaking::codes(&first, &caller, &callee, (0x21, 0xa3));
    (0..3).for_each(|n| turned_away(&edge, &caller, &format!("late-{n}")));
    let problem = problems(&edge)[0].clone();
    assert_eq!(
        (&problem["headline"], &problem["harm"], &problem["trunk"]),
        (&json!("calls = 1 of [limits] refused 3 calls in the last hour"), &json!("calls"), &Value::Null)
    );
    let evidence = problem["evidence"].as_str().unwrap();
    let shown =
        "too many concurrent calls (limit_calls), limit `calls = 1` of [limits]; their callers got 503, the latest ";
    assert!(evidence.starts_with(shown), "{evidence}");
    assert!(problem["fix"].as_str().unwrap().starts_with("raise `calls = 1` of [limits]"), "{problem}");
    let command = problem["command"].as_str().unwrap().to_owned();
    let sid = command.strip_prefix("trunkgate trace ").unwrap();
    assert_eq!(edge.json(&format!("/v1/calls/{sid}"))["reason"], "limit_calls");
    let page = status(&edge);
    assert!(
        page.contains("CALLS      1 / 1\n") && page.contains("1 problem: calls = 1 of [limits] refused 3 calls"),
        "{page}"
    );
    assert_eq!((check(&edge), edge.metric(counted)), (Some(1), 3.0));
    let refused = json!([{"trunk": "carrier", "reason": "limit_calls", "count": 3}]);
    assert_eq!(edge.json("/v1/security")["refused"], refused);
    // Another limit is a separate problem.
    let file = std::fs::read_to_string(&edge.file).unwrap();
    std::fs::write(&edge.file, file.replace("calls = 1\n", "calls = 2\n")).unwrap();
    assert_eq!(edge.post("/v1/reload", &json!({})).0, 200);
    assert_eq!(problems(&edge), json!([]));
    first.hang_up(2, &caller, &callee);
}

#[test]
fn a_limit_of_a_trunk_is_a_problem_of_that_trunk() {
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let trunks = caller.trunk("carrier") + "max_calls = 1\n" + &callee.trunk("pbx");
    let route = "[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n";
    let edge = Process::start(&config(&(trunks + route)));
    let first = Call::set_up(&edge, "first", &caller, &callee);
    turned_away(&edge, &caller, "late");
    let problem = problems(&edge)[0].clone();
    assert_eq!(
        (&problem["headline"], &problem["harm"], &problem["trunk"], &problem["kind"]),
        (
            &json!("max_calls = 1 of [trunk.carrier] refused 1 call from it in the last hour"),
            &json!("calls"),
            &json!("carrier"),
            &json!("limit")
        )
    );
    assert!(
        problem["evidence"].as_str().unwrap().contains("limit `max_calls = 1`; their callers got 503"),
        "{problem}"
    );
    first.hang_up(2, &caller, &callee);
}

/// Makes a call that fails, and acknowledges the final response; returns its status line.
fn lost(edge: &Process, caller: &Phone, id: &str) -> String {
    let sip = edge.address("udp");
    caller.sip.send(sip, &caller.sip.request("INVITE", NUMBER, sip, id, 1, ""));
    let refused = loop {
        let (answer, _) = caller.sip.receive("SIP/2.0 ");
        if field(&answer, "Call-ID") == id && !answer.starts_with("SIP/2.0 1") {
            break answer;
        }
    };
    let ack = caller.sip.request_with("ACK", NUMBER, sip, id, (1, to_tag(&refused)), "");
    caller.sip.send(sip, &ack.replacen("ACK1;", "INVITE1;", 1));
    refused.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn a_route_without_any_target_is_one_problem_with_the_callers_that_were_lost() {
    let (caller, silent) = (Phone::new("127.0.0.1"), UdpSocket::bind("127.0.0.1:0").unwrap());
    let second = Phone::new("127.0.0.1");
    let address = second.sip.address;
    let first = format!(
        "[trunk.first]\npeers = [\"sip:{}\"]\noptions_interval = \"0s\"\nno_response_timeout = \"200ms\"\n",
        silent.local_addr().unwrap()
    );
    let route = "[[route]]\nname = \"out\"\nfrom = [\"pbx\"]\nconnect = [\"trunk:first\", \"trunk:second\"]\n";
    let trunks = caller.trunk("pbx") + &first + &second.trunk("second");
    let edge = Process::start(&config(&(trunks + route)));
    // The second trunk has taken the call: nothing is lost, but the caller waited.
    let (sip, id) = (edge.address("udp"), "detour");
    caller.sip.send(sip, &caller.sip.request_with("INVITE", NUMBER, sip, id, (1, ""), &caller.description(1, "")));
    let invite = second.sip.receive("INVITE ");
    Call::answered(sip, id, &caller, invite, (&second, &second.description(1, ""))).hang_up(2, &caller, &second);
    let problem = problems(&edge)[0].clone();
    assert_eq!(problem["headline"], "trunk first is down, calls go to their next target", "{problem}");
    let shown = problem["evidence"].as_str().unwrap();
    assert!(
        shown.contains("; 1 call did not reach it in the last hour; each call waits 0.2 s for it before its next target; not checked"),
        "{problem}"
    );
    let fix = problem["fix"].as_str().unwrap();
    assert!(
        fix.contains("until then `order = \"asr\"` in the route or another order of `connect` avoids the wait"),
        "{problem}"
    );
    assert!(problem["command"].as_str().unwrap().ends_with(&edge.sid()), "{problem}");
    let why = finish(&["why", "--url", &edge.url(), "--from", "pbx", "--called", NUMBER]).stdout;
    let why = String::from_utf8(why).unwrap();
    assert!(why.contains("each call waits 0.2 s for it before the next target (`no_response_timeout`)"), "{why}");
    let verdict = edge.json(&format!("/v1/calls/{}/trace", edge.sid()))["verdict"].as_str().unwrap().to_owned();
    assert!(verdict.contains("until it responds each call waits `no_response_timeout` for it"), "{verdict}");
    // The trunk's socket is closed: two callers are lost.
    drop(second);
    for id in ["lost-1", "lost-2"] {
        assert!(lost(&edge, &caller, id).starts_with("SIP/2.0 503"), "{id}");
    }
    let all = problems(&edge);
    assert_eq!(all.as_array().unwrap().len(), 1, "one outage is one problem: {all}");
    let problem = &all[0];
    let headline = "route out has no target left, and 2 callers were lost in the last hour";
    assert_eq!((&problem["headline"], &problem["harm"]), (&json!(headline), &json!("calls")), "{problem}");
    let of = (&problem["trunk"], &problem["others"]);
    assert_eq!(of, (&json!("first"), &json!([{"trunk": "second", "kind": "down"}])), "{problem}");
    let shown = problem["evidence"].as_str().unwrap();
    assert!(shown.starts_with("trunk first is down: ") && shown.contains("; trunk second is down: "), "{shown}");
    assert!(
        shown.contains("3 calls did not reach it in the last hour; not"),
        "the callers of none were lost there: {shown}"
    );
    assert!(shown.contains(&format!("{address}: INVITE was refused")), "{shown}");
    assert!(shown.contains("2 calls did not reach it in the last hour, and their callers were lost"), "{shown}");
    let fix = problem["fix"].as_str().unwrap();
    assert!(fix.contains("[trunk.first]") && fix.contains("[trunk.second]"), "{fix}");
    assert_eq!(check(&edge), Some(1));
}

/// Makes a call with audio in both directions, and hangs it up.
fn good_call(edge: &Process, id: &str, caller: &Phone, callee: &Phone) {
    let call = Call::set_up(edge, id, caller, callee);
    let speaking = [Speaking::tone(&caller.rtp, call.near), Speaking::tone(&callee.rtp, call.far)];
    until("both are heard", || {
        let legs = edge.json(&format!("/v1/calls/{}", edge.sid()))["legs"].clone();
        let heard = |leg: &Value| leg["rtp"]["rx_packets"].as_u64() >= Some(5);
        legs.as_array().unwrap().iter().all(heard).then_some(())
    });
    drop(speaking);
    call.hang_up(2, caller, callee);
    until("it is over", || (edge.json("/v1/status")["calls"] == 0).then_some(()));
}

#[test]
fn audio_that_stops_in_several_calls_is_named_until_good_calls_came_after_them() {
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let trunks = caller.trunk("pbx") + &callee.trunk("carrier");
    let route = "[[route]]\nfrom = [\"pbx\"]\nconnect = [\"trunk:carrier\"]\n";
    let edge = Process::start(&config(&(trunks + route)));
    let calls: Vec<Call> = (0..4).map(|n| Call::set_up(&edge, &format!("stops-{n}"), &caller, &callee)).collect();
    let speaking: Vec<Speaking> = calls.iter().map(|call| Speaking::tone(&caller.rtp, call.near)).collect();
    let answering: Vec<Speaking> = calls.iter().map(|call| Speaking::tone(&callee.rtp, call.far)).collect();
    let all_heard = |leg: usize, packets: u64| {
        let list = edge.json("/v1/calls")["calls"].clone();
        let heard = |call: &Value| call["legs"][leg]["rtp"]["rx_packets"].as_u64() >= Some(packets);
        list.as_array().unwrap().iter().all(heard).then_some(())
    };
    until("the callees have been heard for some seconds", || all_heard(1, 170));
    drop(answering);
    let stopped = || edge.json("/v1/trunks")["trunks"][1]["stopped"].clone();
    let named = || {
        let problem = problems(&edge)[0].clone();
        assert_eq!((&problem["kind"], &problem["harm"]), (&json!("stopped"), &json!("media")), "{}", stopped());
        assert_eq!(check(&edge), Some(1));
        problem
    };
    until("each is known to have stopped", || (stopped()["calls"] == 4).then_some(()));
    named();
    // Ten seconds after the answer, each side counts as heard.
    until("the calls go on", || all_heard(0, 520));
    named();
    drop(speaking);
    calls.iter().for_each(|call| call.hang_up(2, &caller, &callee));
    until("all are over", || (edge.json("/v1/status")["calls"] == 0).then_some(()));
    let problem = named();
    assert!(
        problem["headline"].as_str().unwrap().starts_with("audio stopped in 4 of 4 calls of the last hour"),
        "{problem}"
    );
    assert_eq!((&stopped()["still"], &stopped()["good_since"]), (&json!(true), &json!(0)));
    let why = finish(&["why", "--url", &edge.url(), "--from", "pbx", "--called", NUMBER]).stdout;
    let why = String::from_utf8(why).unwrap();
    assert!(
        why.contains("its audio stopped in mid-call in 4 of 4 calls of the last hour: no packets arrived"),
        "{why}"
    );
    good_call(&edge, "good-1", &caller, &callee);
    good_call(&edge, "good-2", &caller, &callee);
    let problem = problems(&edge)[0].clone();
    assert_eq!(
        problem["headline"],
        "audio stopped in 4 of 6 calls of the last hour with carrier; the latest 2 were good"
    );
    good_call(&edge, "good-3", &caller, &callee);
    assert_eq!(problems(&edge), json!([]), "three good calls came after them");
    until("the log says that it is over", || edge.log().contains("problem over after ").then_some(()));
}

#[test]
fn calls_refused_for_a_disk_that_takes_no_recordings_are_the_first_problem() {
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("recordings");
    let trunks = caller.trunk("pbx") + &callee.trunk("carrier");
    let route = "[[route]]\nfrom = [\"pbx\"]\nconnect = [\"trunk:carrier\"]\nrecord = true\n";
    let recording = format!("[recording]\ndirectory = '{}'\non_full = \"refuse_calls\"\n", directory.display());
    let edge = Process::start(&config(&(trunks + route + &recording)));
    until("the edge has tried the directory", || directory.is_dir().then_some(()));
    // The directory may contain the file by which the edge tests it.
    until("the directory is empty", || std::fs::remove_dir(&directory).ok());
    std::fs::write(&directory, "in its place").unwrap();
    let headline = "calls are refused: the disk accepts no recordings (on_full = \"refuse_calls\")";
    until("status says so", || (problems(&edge)[0]["headline"] == headline).then_some(()));
    for id in ["lost-1", "lost-2", "lost-3"] {
        assert!(lost(&edge, &caller, id).starts_with("SIP/2.0 503"), "{id}");
    }
    let problem = problems(&edge)[0].clone();
    let headline = format!("{headline}: 3 callers lost");
    assert_eq!((&problem["headline"], &problem["harm"]), (&json!(headline), &json!("edge")), "{problem}");
    assert!(problem["fix"].as_str().unwrap().contains("`on_full = \"continue\"` of [recording]"), "{problem}");
    assert!(problem["command"].as_str().unwrap().ends_with(&edge.sid()), "{problem}");
    assert_eq!(edge.metric("trunkgate_problems{harm=\"edge\"}"), 1.0);
    let page = finish(&["status", "--url", &edge.url()]).stdout;
    assert!(
        String::from_utf8(page).unwrap().contains("   refusing all calls, 1 problem: the disk accepts no recordings ")
    );
    let why = finish(&["why", "--url", &edge.url(), "--from", "pbx", "--called", NUMBER]).stdout;
    let why = String::from_utf8(why).unwrap();
    assert!(why.contains("→ 503 now: the call cannot be recorded ("), "{why}");
    std::fs::remove_file(&directory).unwrap();
    until("the disk takes recordings", || (directory.is_dir() && problems(&edge) == json!([])).then_some(()));
    Call::set_up(&edge, "good", &caller, &callee).hang_up(2, &caller, &callee);
}

#[test]
fn a_trunk_that_rejects_one_call_in_three_is_named_until_enough_good_ones_came_in_a_row() {
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let trunks = caller.trunk("pbx") + &callee.trunk("carrier");
    let edge = Process::start(&config(&(trunks + "[[route]]\nfrom = [\"pbx\"]\nconnect = [\"trunk:carrier\"]\n")));
    let both = (&caller, &callee);
    let good = |id: &str| Call::set_up(&edge, id, &caller, &callee).hang_up(2, &caller, &callee);
    for n in 0..3 {
        good(&format!("first-{n}"));
        good(&format!("second-{n}"));
        rejected(&edge, both, &format!("forbidden-{n}"), "403 Forbidden");
    }
    let problem = problems(&edge)[0].clone();
    let headline = "trunk carrier rejected 3 of 9 calls in the last hour, and their callers were lost";
    assert_eq!((&problem["headline"], &problem["harm"]), (&json!(headline), &json!("calls")), "{problem}");
    // Of seven calls since the first rejection, three were rejected: exactly the required share.
    (0..6).for_each(|n| good(&format!("since-{n}")));
    assert_ne!(problems(&edge), json!([]), "two in a row are good anyway");
    good("enough");
    assert_eq!(problems(&edge), json!([]));
}

#[test]
fn the_first_two_calls_of_a_trunk_that_rejects_both_are_a_problem() {
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let trunks = caller.trunk("pbx") + &callee.trunk("carrier");
    let edge = Process::start(&config(&(trunks + "[[route]]\nfrom = [\"pbx\"]\nconnect = [\"trunk:carrier\"]\n")));
    rejected(&edge, (&caller, &callee), "one", "503 Service Unavailable");
    assert_eq!(problems(&edge), json!([]), "one call is chance");
    rejected(&edge, (&caller, &callee), "two", "503 Service Unavailable");
    let headline = "trunk carrier rejected 2 of 2 calls in the last hour, and their callers were lost";
    assert_eq!(problems(&edge)[0]["headline"], headline);
}

#[test]
fn rejections_before_an_outage_stand_behind_it_and_their_callers_are_counted_once() {
    let (caller, first, second) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let route = "[[route]]\nname = \"out\"\nfrom = [\"pbx\"]\nconnect = [\"trunk:first\", \"trunk:second\"]\n";
    let trunks = caller.trunk("pbx") + &first.trunk("first") + &second.trunk("second");
    let edge = Process::start(&config(&(trunks + route)));
    for n in 0..4 {
        rejected(&edge, (&caller, &first), &format!("forbidden-{n}"), "403 Forbidden");
    }
    let headline = "trunk first rejected 4 of 4 calls in the last hour, and their callers got no other target";
    assert_eq!(problems(&edge)[0]["headline"], headline);
    // The sockets of both trunks are closed.
    drop((first, second));
    for id in ["lost-1", "lost-2", "lost-3"] {
        assert!(lost(&edge, &caller, id).starts_with("SIP/2.0 503"), "{id}");
    }
    let all = problems(&edge);
    let outage = "route out has no target left, and 3 callers were lost in the last hour";
    assert_eq!(all[0]["headline"], outage, "{all}");
    // The headline is one line: the evidence has its last clause.
    assert_eq!((&all[1]["headline"], &all[1]["harm"]), (&json!(headline), &json!("past")), "{all}");
    let whole = format!("{headline}; since then it does not respond: ");
    assert!(all[1]["evidence"].as_str().unwrap().starts_with(&whole), "{all}");
}

#[test]
fn the_last_target_of_a_route_has_no_next_one() {
    let (caller, first, second) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let route = "[[route]]\nname = \"out\"\nfrom = [\"pbx\"]\nconnect = [\"trunk:first\", \"trunk:second\"]\n";
    let trunks = caller.trunk("pbx") + &first.trunk("first") + &second.trunk("second");
    let trunks = trunks.replace("[trunk.first]\n", "[trunk.first]\nfailover_on = [503]\n");
    let edge = Process::start(&config(&(trunks + route)));
    drop(second);
    rejected(&edge, (&caller, &first), "lost-1", "503 Service Unavailable");
    rejected(&edge, (&caller, &first), "lost-2", "503 Service Unavailable");
    let all = problems(&edge);
    let shown = all.to_string();
    assert!(!shown.contains("trunk second is down, calls go to their next target"), "{shown}");
    assert!(all.as_array().unwrap().iter().all(|one| one["harm"] == "calls"), "{shown}");
}

/// Starts an agent that drops this many connections and answers the others with a status; with `None`, it accepts them
/// and sends nothing.
fn poor_agent(drops: usize, status: Option<&'static str>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for (n, connection) in listener.incoming().enumerate() {
            let mut connection = connection.unwrap();
            if n < drops {
                continue;
            }
            match status {
                Some(status) => {
                    let mut request = [0; 4096];
                    let _ = std::io::Read::read(&mut connection, &mut request);
                    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                    let _ = std::io::Write::write_all(&mut connection, answer.as_bytes());
                }
                None => kept.push(connection),
            }
        }
    });
    address
}

fn edge_of_agent(caller: &Phone, agent: std::net::SocketAddr, more: &str) -> Process {
    let agent = format!("[agent.bot]\nurl = \"ws://{agent}/media\"\n{more}");
    let route = "[[route]]\nfrom = [\"pbx\"]\nconnect = [\"agent:bot\"]\n";
    Process::start(&config(&(caller.trunk("pbx") + &agent + route)))
}

#[test]
fn an_agent_that_fails_for_another_cause_now_is_shown_with_that_and_its_fix() {
    let caller = Phone::new("127.0.0.1");
    let edge = edge_of_agent(&caller, poor_agent(2, Some("401 Unauthorized")), "");
    for id in ["drop-1", "drop-2"] {
        assert!(lost(&edge, &caller, id).starts_with("SIP/2.0 503"), "{id}");
    }
    let evidence = problems(&edge)[0]["evidence"].as_str().unwrap().to_owned();
    assert!(!evidence.contains("401"), "{evidence}");
    for id in ["refused-1", "refused-2"] {
        assert!(lost(&edge, &caller, id).starts_with("SIP/2.0 503"), "{id}");
    }
    let problem = problems(&edge)[0].clone();
    let evidence = problem["evidence"].as_str().unwrap();
    assert!(evidence.starts_with("answered the handshake with 401; 4 calls did not reach it"), "{problem}");
    assert!(problem["fix"].as_str().unwrap().contains("`auth_token`"), "{problem}");
    assert!(problem["command"].as_str().unwrap().ends_with(&edge.sid()), "{problem}");
    let verdict = edge.json(&format!("/v1/calls/{}/trace", edge.sid()))["verdict"].as_str().unwrap().to_owned();
    assert!(verdict.contains("set `auth_token` to the token that the bot verifies"), "{verdict}");
}

#[test]
fn an_agent_that_is_gone_now_is_shown_with_that_and_the_calls_of_each_cause() {
    let caller = Phone::new("127.0.0.1");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let agent = listener.local_addr().unwrap();
    // After the data was read, closing the connection does not reset it.
    let dropping = std::thread::spawn(move || {
        for _ in 0..2 {
            assert!(listener.accept().unwrap().0.read(&mut [0; 4096]).unwrap() > 0);
        }
    });
    let edge = edge_of_agent(&caller, agent, "");
    for id in ["drop-1", "drop-2"] {
        assert!(lost(&edge, &caller, id).starts_with("SIP/2.0 503"), "{id}");
    }
    dropping.join().unwrap();
    assert!(lost(&edge, &caller, "gone").starts_with("SIP/2.0 503"));
    let status = edge.json("/v1/status");
    let problem = status["problem_details"][0].clone();
    let evidence = problem["evidence"].as_str().unwrap();
    assert!(evidence.starts_with("cannot be reached: "), "{problem}");
    assert!(evidence.contains("; it failed in 3 of 3 calls of the last hour: 1× cannot be reached: "), "{problem}");
    assert!(evidence.contains(", 2× "), "{problem}");
    let fix = problem["fix"].as_str().unwrap();
    assert!(fix.starts_with("start the bot: no program on this machine listens"), "{problem}");
    assert!(fix.ends_with("; until it is reached callers get 503"), "{problem}");
    let why = finish(&["why", "--url", &edge.url(), "--from", "pbx", "--called", NUMBER]).stdout;
    let why = String::from_utf8(why).unwrap();
    assert!(why.contains("\n→ 503 now, unless a target is reached: each is down or skipped\n"), "{why}");
    assert_eq!(status["without_target"], true);
    // The trace of that call has the same advice.
    let verdict = edge.json(&format!("/v1/calls/{}/trace", edge.sid()))["verdict"].as_str().unwrap().to_owned();
    assert!(verdict.contains("Try: start the bot: no program on this machine listens"), "{verdict}");
    assert!(verdict.contains("`trunkgate agent test bot` shows whether it helped"), "{verdict}");
}

#[test]
fn routes_that_share_a_target_each_have_their_own_lost_callers() {
    let (caller, other, spare) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let agent = "[agent.dead]\nurl = \"ws://127.0.0.1:9/media\"\n";
    let alone = "[[route]]\nname = \"seven\"\nfrom = [\"pbx\"]\nconnect = [\"agent:dead\"]\n";
    let two = "[[route]]\nname = \"five\"\nfrom = [\"office\"]\nconnect = [\"agent:dead\", \"trunk:spare\"]\n";
    let trunks = caller.trunk("pbx") + &other.trunk("office") + &spare.trunk("spare");
    let edge = Process::start(&config(&(trunks + agent + two + alone)));
    drop(spare);
    for id in ["seven-1", "seven-2", "seven-3"] {
        assert!(lost(&edge, &caller, id).starts_with("SIP/2.0 503"), "{id}");
    }
    let of_seven = edge.sid();
    assert!(lost(&edge, &other, "five-1").starts_with("SIP/2.0 503"));
    let all = problems(&edge);
    let found = |route: &str| {
        let is_its = |one: &&Value| one["headline"].as_str().unwrap().starts_with(&format!("route {route} has "));
        all.as_array().unwrap().iter().find(is_its).unwrap_or_else(|| panic!("{all}")).clone()
    };
    let (five, seven) = (found("five"), found("seven"));
    assert_eq!(five["headline"], "route five has no target left, and 1 caller was lost in the last hour");
    assert_eq!(seven["headline"], "route seven has no target left, and 3 callers were lost in the last hour");
    assert_eq!(five["command"], format!("trunkgate trace {}", edge.sid()), "{five}");
    assert_eq!(seven["command"], format!("trunkgate trace {of_seven}"), "{seven}");
}

#[test]
fn a_trunk_that_answers_half_of_its_calls_leaves_no_route_without_a_target() {
    let (caller, first, second) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let route = "[[route]]\nname = \"out\"\nfrom = [\"pbx\"]\nconnect = [\"trunk:first\", \"trunk:second\"]\n";
    let trunks = caller.trunk("pbx") + &first.trunk("first") + &second.trunk("second");
    let edge = Process::start(&config(&(trunks + route)));
    // The socket of the spare trunk is closed: three calls fail over to it, and are lost.
    drop(second);
    let both = (&caller, &first);
    for n in 0..3 {
        rejected(&edge, both, &format!("overloaded-{n}"), "503 Service Unavailable");
        Call::set_up(&edge, &format!("good-a{n}"), &caller, &first).hang_up(2, &caller, &first);
        rejected(&edge, both, &format!("forbidden-{n}"), "403 Forbidden");
        Call::set_up(&edge, &format!("good-b{n}"), &caller, &first).hang_up(2, &caller, &first);
    }
    let status = edge.json("/v1/status");
    assert_eq!(status["without_target"], false);
    let all = &status["problem_details"];
    let headline = "trunk first rejected 6 of 12 calls in the last hour, and the callers of 3 got no other target";
    assert_eq!((&all[0]["headline"], &all[0]["harm"]), (&json!(headline), &json!("calls")), "{all}");
    let fix = all[0]["fix"].as_str().unwrap();
    let told =
        "second is down: mend it first. second was not tried, because 403 is not in `failover_on` of [trunk.first]";
    assert!(fix.starts_with(told), "{fix}");
    assert!(fix.contains("The trunk answers other calls, so it accepts your address"), "{fix}");
    assert!(!fix.contains("add a second peer or target"), "{fix}");
    assert_eq!((&all[1]["trunk"], &all[1]["kind"]), (&json!("second"), &json!("down")), "{all}");
    assert!(!all.to_string().contains("no target left"), "{all}");
    // After the failure of the first trunk, only later callers count as lost by the outage.
    drop(first);
    assert!(lost(&edge, &caller, "gone").starts_with("SIP/2.0 503"));
    let problem = problems(&edge)[0].clone();
    let headline = "route out has no target left, and 1 caller was lost since the last answered call";
    assert_eq!(problem["headline"], headline, "{problem}");
    assert!(problem["command"].as_str().unwrap().ends_with(&edge.sid()), "{problem}");
    let verdict = edge.json(&format!("/v1/calls/{}/trace", edge.sid()))["verdict"].as_str().unwrap().to_owned();
    assert!(verdict.contains("INVITE was refused: no listener at this port"), "{verdict}");
}

#[test]
fn a_spare_trunk_that_is_down_and_loses_no_call_stands_behind_those_that_do() {
    let (caller, first, second) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let route = "[[route]]\nname = \"out\"\nfrom = [\"pbx\"]\nconnect = [\"trunk:first\", \"trunk:second\"]\n";
    let trunks = caller.trunk("pbx") + &first.trunk("first") + &second.trunk("second");
    let edge = Process::start(&config(&(trunks + route)));
    Call::set_up(&edge, "good", &caller, &first).hang_up(2, &caller, &first);
    for n in 0..3 {
        rejected(&edge, (&caller, &first), &format!("forbidden-{n}"), "403 Forbidden");
        let verdict = edge.json(&format!("/v1/calls/{}/trace", edge.sid()))["verdict"].clone();
        let told = "second was not tried, because 403 is not in `failover_on` of [trunk.first]";
        assert!(verdict.as_str().unwrap().contains(told), "{verdict}");
        Call::set_up(&edge, &format!("good-{n}"), &caller, &first).hang_up(2, &caller, &first);
    }
    drop(second);
    // Only now does the edge probe the trunk by OPTIONS.
    let mut text = std::fs::read_to_string(&edge.file).unwrap();
    let last = text.rfind("\"0s\"").unwrap();
    text.replace_range(last..last + "\"0s\"".len(), "\"1s\"");
    std::fs::write(&edge.file, text).unwrap();
    assert_eq!(edge.ask("POST", "/v1/reload", "").0, 200);
    let all = until("the spare is down", || {
        let all = problems(&edge);
        (all.as_array().unwrap().len() == 2).then_some(all)
    });
    assert_eq!((&all[0]["trunk"], &all[0]["harm"]), (&json!("first"), &json!("calls")), "{all}");
    let headline = "trunk second is down, the last target of its routes";
    assert_eq!((&all[1]["headline"], &all[1]["harm"]), (&json!(headline), &json!("detour")), "{all}");
}

#[test]
fn an_agent_that_accepts_connections_and_answers_no_handshake_is_blocked_and_not_behind_a_firewall() {
    let caller = Phone::new("127.0.0.1");
    let edge = edge_of_agent(&caller, poor_agent(0, None), "connect_timeout = \"2s\"\n");
    for id in ["hangs-1", "hangs-2"] {
        assert!(lost(&edge, &caller, id).starts_with("SIP/2.0 503"), "{id}");
    }
    let problem = problems(&edge)[0].clone();
    let hangs = "it accepts the connection and does not answer the WebSocket handshake";
    assert!(problem["evidence"].as_str().unwrap().contains(hangs), "{problem}");
    let fix = problem["fix"].as_str().unwrap();
    assert!(fix.contains("look for what blocks the bot") && !fix.contains("firewall"), "{problem}");
    let verdict = edge.json(&format!("/v1/calls/{}/trace", edge.sid()))["verdict"].as_str().unwrap().to_owned();
    assert!(verdict.contains(hangs) && verdict.contains("look for what blocks the bot"), "{verdict}");
}
