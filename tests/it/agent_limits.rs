//! Limits of agents through the real binary: their callers, session duration, retries, and skipping.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::support::calls::{NUMBER, Phone, media_of, received};
use crate::support::listener::Listener;
use crate::support::sip::{field, to_tag};
use crate::support::{Process, config, until};
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Message, accept, accept_hdr};
use trunkgate_media::agent::sign;

/// Starts an edge between a caller and a PBX, with an agent as first target.
fn edge(caller: &Phone, pbx: &Phone, url: &str, keys: &str) -> Process {
    Process::start(&config(&format!(
        "{}{}[agent.bot]\nurl = \"{url}\"\n{keys}\n\
         [[route]]\nfrom = [\"carrier\"]\nconnect = [\"agent:bot\", \"trunk:pbx\"]\n",
        caller.trunk("carrier"),
        pbx.trunk("pbx")
    )))
}

fn invite(caller: &Phone, sip: SocketAddr, id: &str) {
    let offer = caller.description(1, "");
    caller.sip.send(sip, &caller.sip.request_with("INVITE", NUMBER, sip, id, (1, ""), &offer));
}

/// Receives the caller's 200 and acknowledges it; returns the 200.
fn answered(caller: &Phone, sip: SocketAddr, id: &str) -> (String, String) {
    let (ok, _) = caller.sip.receive("SIP/2.0 200");
    assert_eq!(field(&ok, "Call-ID"), id);
    let tag = to_tag(&ok).to_owned();
    caller.sip.send(sip, &caller.sip.request_with("ACK", NUMBER, sip, id, (1, &tag), ""));
    (ok, tag)
}

/// Rejects the call at the PBX until the caller gets the rejection. If the media ports of an INVITE are in use by
/// another program, the edge cancels it and sends a second one.
fn refused_by(pbx: &Phone, caller: &Phone, sip: SocketAddr, id: &str) {
    let answer = until("the caller has the refusal of the PBX", || {
        for invite in pbx.sip.heard().iter().filter(|text| text.starts_with("INVITE ")) {
            pbx.sip.send(sip, &pbx.sip.answer_with(invite, "404 Not Found", ""));
        }
        let is_it = |text: &String| text.starts_with("SIP/2.0 404") && field(text, "Call-ID") == id;
        caller.sip.heard().into_iter().find(is_it)
    });
    let ack = caller.sip.request("ACK", NUMBER, sip, id, 1, to_tag(&answer));
    caller.sip.send(sip, &ack.replace(&format!("{id}ACK1"), &format!("{id}INVITE1")));
}

/// WebSocket server of an agent that can be stopped and restarted on the same port.
struct Server {
    address: SocketAddr,
    is_open: Arc<AtomicBool>,
    /// Signature of each handshake after which the connection was closed with 1000 before any message.
    probes: Arc<std::sync::Mutex<Vec<String>>>,
}

impl Server {
    fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server {
            address: listener.local_addr().unwrap(),
            is_open: Arc::new(AtomicBool::new(true)),
            probes: Arc::default(),
        };
        let (is_open, probes) = (Arc::clone(&server.is_open), Arc::clone(&server.probes));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if !is_open.load(Ordering::Relaxed) {
                    continue;
                }
                let probes = Arc::clone(&probes);
                std::thread::spawn(move || {
                    let mut signature = String::new();
                    #[expect(clippy::result_large_err, reason = "the library's own")]
                    let look = |request: &Request, response: Response| {
                        signature = request.headers()["x-twilio-signature"].to_str().unwrap().to_owned();
                        Ok(response)
                    };
                    let Ok(mut socket) = accept_hdr(stream, look) else { return };
                    if let Ok(Message::Close(Some(frame))) = socket.read()
                        && frame.code == CloseCode::Normal
                    {
                        let _ = socket.flush();
                        probes.lock().unwrap().push(signature);
                    }
                });
            }
        });
        server
    }

    fn probes(&self) -> Vec<String> {
        self.probes.lock().unwrap().clone()
    }
}

#[test]
fn probes_show_an_agent_that_is_gone_before_a_caller_meets_it() {
    let (caller, pbx, server) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.3"), Server::start());
    let url = format!("ws://{}/media", server.address);
    let edge = edge(&caller, &pbx, &url, "probe = \"2s\"\nauth_token = \"secret\"");
    let agent = || edge.json("/v1/agents")["agents"][0].clone();
    until("the first probe is answered", || (agent()["state"] == "up").then_some(()));
    assert!(agent()["probe_ms"].as_f64().unwrap() > 0.0 && agent()["last_probe"].is_string(), "{:#}", agent());
    until("it is closed in order", || (server.probes() == [sign("secret", &url)]).then_some(()));
    assert_eq!((&agent()["opened"], &agent()["lost"]), (&0.into(), &0.into()), "no call had it");

    server.is_open.store(false, Ordering::Relaxed);
    until("two probes have failed", || (agent()["state"] == "skipped").then_some(()));
    let problems = edge.json("/v1/status")["problems"].to_string();
    assert!(problems.contains("agent bot ") && problems.contains("probe: "), "{problems}");
    assert!(agent()["probe_ms"].is_null());
    let sip = edge.address("udp");
    invite(&caller, sip, "spared");
    refused_by(&pbx, &caller, sip, "spared");
    let trace = edge.json(&format!("/v1/calls/{}/trace", edge.sid())).to_string();
    assert!(trace.contains("bot is skipped") || trace.contains("skipped because of repeated failures"), "{trace}");

    server.is_open.store(true, Ordering::Relaxed);
    until("a probe is answered again", || (agent()["state"] == "up").then_some(()));
    assert_eq!(edge.json("/v1/status")["problems"].as_array().unwrap().len(), 0);
    let log = edge.whole_log();
    for line in ["does not answer its probe: ", "does not answer its probes and is skipped", "answers its probe again"]
    {
        assert!(log.contains(line), "{line}: {log}");
    }

    // After a reload without `probe`, the results of probes no longer count.
    server.is_open.store(false, Ordering::Relaxed);
    until("it is skipped again", || (agent()["state"] == "skipped").then_some(()));
    let text = std::fs::read_to_string(&edge.file).unwrap();
    std::fs::write(&edge.file, text.replace("probe = \"2s\"\n", "")).unwrap();
    assert_eq!(edge.ask("POST", "/v1/reload", "").0, 200);
    let after = agent();
    assert_eq!((&after["state"], &after["last_problem"]), (&"unknown".into(), &serde_json::Value::Null), "{after:#}");
    assert_eq!(edge.json("/v1/status")["problems"].as_array().unwrap().len(), 0);
    assert_eq!(edge.metric("trunkgate_agent_skipped{agent=\"bot\"}"), 0.0);
}

#[test]
fn max_call_ends_after_the_goodbye() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bye.wav");
    let spec =
        hound::WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut wav = hound::WavWriter::create(&path, spec).unwrap();
    // Thirty packets, each at a level of its own.
    for n in 0..30 * 160_i16 {
        wav.write_sample((n / 160 + 1) * 1_000).unwrap();
    }
    wav.finalize().unwrap();
    let (caller, pbx, agent) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.3"), Listener::start());
    let keys = format!("max_call = \"1s\"\ngoodbye = \"{}\"", path.display());
    let edge = edge(&caller, &pbx, &agent.url(), &keys);
    let sip = edge.address("udp");
    invite(&caller, sip, "long");
    let (ok, _) = answered(&caller, sip, "long");
    caller.rtp.send_to(&crate::support::calls::rtp(7, 0), media_of(&ok)).unwrap();
    let mut heard: Vec<u8> = Vec::new();
    while heard.len() < 30 {
        let (packet, _) = received(&caller.rtp);
        let payload = &packet[12..];
        if payload[0] != 0xff && payload[0] != 0x7f {
            assert!(payload.iter().all(|byte| *byte == payload[0]), "a packet of its own each");
            heard.push(payload[0]);
        }
    }
    let bye = caller.sip.receive("BYE ");
    caller.sip.send(bye.1, &caller.sip.answer_with(&bye.0, "200 OK", ""));
    assert!(field(&bye.0, "Reason").contains("max_call"), "{}", bye.0);
    assert_eq!(heard.iter().collect::<BTreeSet<_>>().len(), 30, "whole: {heard:?}");
    assert!(agent.first("its stream has ended", |stream| stream.closed.is_some()).stopped);
    assert!(pbx.sip.heard_nothing(), "no target gets the caller");
    let call = until("the call has ended", || {
        let call = edge.json("/v1/calls")["calls"][0].clone();
        (call["state"] == "ended").then_some(call)
    });
    assert_eq!(call["reason"], "max_call");
}

#[test]
fn who_is_not_on_the_list_gets_486_and_nobody_hears_of_the_call() {
    for (list, allowed) in [("[\"(415) 555-0100\", \"+49 30 901820\"]", true), ("[\"+14155550101\"]", false)] {
        let (caller, pbx, agent) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.3"), Listener::start());
        let edge = edge(&caller, &pbx, &agent.url(), &format!("allow_callers = {list}"));
        let sip = edge.address("udp");
        invite(&caller, sip, "who");
        if allowed {
            answered(&caller, sip, "who");
            continue;
        }
        let (refusal, _) = caller.sip.receive("SIP/2.0 486");
        assert!(field(&refusal, "Reason").contains("caller_not_allowed"), "{refusal}");
        assert!(pbx.sip.heard_nothing() && agent.streams().is_empty());
        let why =
            edge.json(&format!("/v1/why?from=carrier&called={}&caller=%2B14155550100", NUMBER.replace('+', "%2B")));
        assert_eq!(why["attempts"][0]["refused"], 486);
    }
}

/// All closed streams count as one failure, of one call.
#[test]
fn an_agent_that_closes_at_once_gets_all_new_streams_and_one_call_has_nobody_skipped() {
    let (caller, pbx) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.3"));
    let agent = Listener::doing(|socket, stream| {
        let going = CloseFrame { code: 1001.into(), reason: "".into() };
        stream.start.is_null() || socket.close(Some(going)).is_err()
    });
    let edge = edge(&caller, &pbx, &agent.url(), "retry = 10");
    let sip = edge.address("udp");
    invite(&caller, sip, "again");
    let (_, tag) = answered(&caller, sip, "again");
    let (got, from) = pbx.sip.receive("INVITE ");
    let names: BTreeSet<String> =
        agent.streams().iter().map(|stream| stream.start["start"]["streamSid"].to_string()).collect();
    assert_eq!((names.len(), agent.streams().len()), (11, 11), "{names:?}");
    assert_ne!(edge.json("/v1/agents")["agents"][0]["state"], "skipped");
    pbx.sip.send(from, &pbx.sip.answer_with(&got, "200 OK", &pbx.description(1, "")));
    pbx.sip.receive("ACK ");
    until("the PBX has the caller", || (edge.json("/v1/calls")["calls"][0]["state"] == "answered").then_some(()));
    caller.sip.send(sip, &caller.sip.request_with("BYE", NUMBER, sip, "again", (2, &tag), ""));
    pbx.sip.receive("BYE ");
}

#[test]
fn an_agent_that_keeps_failing_is_skipped_and_had_again_by_one_call() {
    let (caller, pbx) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.3"));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/media", listener.local_addr().unwrap());
    let (is_well, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (well, count) = (Arc::clone(&is_well), Arc::clone(&asked));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            count.fetch_add(1, Ordering::SeqCst);
            if well.load(Ordering::SeqCst) {
                std::thread::spawn(move || {
                    let mut socket = accept(stream).unwrap();
                    while socket.read().is_ok() {}
                });
                continue;
            }
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let edge = edge(&caller, &pbx, &url, "");
    let sip = edge.address("udp");
    for n in 0..5 {
        let id = format!("down{n}");
        invite(&caller, sip, &id);
        refused_by(&pbx, &caller, sip, &id);
    }
    let state = || edge.json("/v1/agents")["agents"][0].clone();
    // The pause doubles after each failed call; one of these calls may be an attempt after a pause.
    for n in 0..20 {
        let id = format!("skipped{n}");
        invite(&caller, sip, &id);
        refused_by(&pbx, &caller, sip, &id);
        assert_eq!(state()["state"], "skipped");
    }
    let tried = asked.load(Ordering::SeqCst);
    assert!((5..15).contains(&tried), "{tried} of 25 calls have tried it");
    assert_eq!(edge.metric("trunkgate_agent_skipped{agent=\"bot\"}"), 1.0);
    let status = edge.json("/v1/status");
    let problem = status["problems"].to_string();
    assert!(problem.contains("agent bot keeps failing and is skipped, calls go to their next target"), "{status}");
    let fix = "check the log of the bot, and that of a proxy in front of it: a proxy answers 502, 503 or 504 if the bot does not run; \
               `trunkgate agent test bot` shows whether it helped";
    let told = format!("25 calls did not reach it in the last hour; try: {fix}");
    assert!(problem.contains(&told), "no caller was lost: {status}");
    let (bot, of_bot) = (state(), edge.json("/v1/calls?trunk=bot&limit=100")["calls"].as_array().unwrap().len());
    assert_eq!(
        (&bot["unreached"], &bot["unreached_lost"], &bot["hour"]["calls_out"]),
        (&25.into(), &0.into(), &25.into())
    );
    assert_eq!(of_bot, 25, "those that passed it over are its calls as well");
    let calls = edge.json("/v1/calls?trunk=bot&limit=100")["calls"].clone();
    let skipped = serde_json::json!([{"target": "bot", "reason": "agent_skipped"}]);
    let passing = calls.as_array().unwrap().iter().filter(|call| call["passed_over"] == skipped).count();
    assert!(passing > 10, "{passing} of 25 calls passed it over, the others have tried it");
    is_well.store(true, Ordering::SeqCst);
    until("it may be tried", || state()["next_try_ms"].is_null().then_some(()));
    invite(&caller, sip, "back");
    answered(&caller, sip, "back");
    assert_eq!((state()["state"].as_str(), edge.metric("trunkgate_agent_skipped{agent=\"bot\"}")), (Some("up"), 0.0));
}
