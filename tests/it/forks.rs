//! Forks over HTTP: start, stop and tracks of listeners, in calls that also get other requests.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::net::UdpSocket;

use crate::support::calls::{Call, Phone, received, rtp};
use crate::support::listener::Listener;
use crate::support::{PATIENCE, Process, closed_address, config, http, http_with_headers, until};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

/// Edge between two phones, with a listener in its configuration.
struct Rig {
    edge: Process,
    caller: Phone,
    callee: Phone,
    scribe: Listener,
}

impl Rig {
    fn new() -> Rig {
        Rig::with(Listener::start(), "")
    }

    fn with(scribe: Listener, rest: &str) -> Rig {
        let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.3"));
        let trunks = caller.trunk("carrier") + &callee.trunk("pbx");
        let edge = Process::start(&config(&format!(
            "{trunks}[agent.scribe]\nurl = \"{}\"\nparameters = {{ tenant = \"acme\" }}\n{rest}\
             [[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n",
            scribe.url()
        )));
        Rig { edge, caller, callee, scribe }
    }

    /// Sets up a call; returns the call, and the path of its forks.
    fn call(&self, id: &str) -> (Call, String) {
        let call = Call::set_up(&self.edge, id, &self.caller, &self.callee);
        (call, format!("/v1/calls/{}/forks", self.edge.sid()))
    }

    /// Waits until a fork listens.
    fn listening(&self, forks: &str, fork: &Value) {
        until("the fork listens", || {
            let all = self.edge.json(forks)["forks"].clone();
            let this = all.as_array().unwrap().iter().find(|other| other["id"] == fork["id"]).unwrap().clone();
            (this["state"] == "answered").then_some(())
        });
    }

    /// Returns the status and the error code of a request that is rejected.
    fn refused(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let (status, answer) = self.edge.ask(method, path, body);
        (status, answer["error"]["code"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned())
    }

    /// Relays one packet in each direction.
    fn talk(&self, call: &Call, sequence: u16) {
        for (from, to, at) in [(&self.caller, &self.callee, call.near), (&self.callee, &self.caller, call.far)] {
            from.rtp.send_to(&rtp(7, sequence), at).unwrap();
            assert_eq!(received(&to.rtp).0, rtp(7, sequence));
        }
    }
}

#[test]
fn a_fork_begins_and_ends_in_mid_call() {
    let rig = Rig::new();
    let (call, forks) = rig.call("begun");
    rig.talk(&call, 1);
    let body = json!({"agent": "scribe", "parameters": {"case": "7"}});
    let (status, headers, text) =
        http_with_headers("POST", &format!("{}{forks}", rig.edge.url()), &[], &body.to_string());
    let fork: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status, 201, "{fork}");
    let place = format!("{forks}/{}", fork["id"].as_str().unwrap());
    assert_eq!(headers["location"], place.as_str());
    assert_eq!((&fork["agent"], &fork["url"]), (&json!("scribe"), &json!(rig.scribe.url())));
    assert_eq!((&fork["tracks"], &fork["state"]), (&json!(["inbound", "outbound"]), &json!("trying")));
    rig.listening(&forks, &fork);
    rig.talk(&call, 2);
    let stream = rig.scribe.first("audio of both sides", |stream| {
        stream.inbound.iter().any(|frame| frame.audio == [2; 160])
            && stream.outbound.iter().any(|frame| frame.audio == [2; 160])
    });
    let start = &stream.start["start"];
    assert_eq!(start["streamSid"], fork["streamSid"]);
    assert_eq!((&start["callSid"], &start["tracks"]), (&json!(rig.edge.sid()), &fork["tracks"]));
    assert_eq!(start["customParameters"], json!({"tenant": "acme", "case": "7"}));
    assert!(!stream.inbound.iter().any(|frame| frame.audio == [1; 160]), "what was said before is past");
    let leg = rig.edge.json(&forks.replace("/forks", ""))["legs"][2].clone();
    assert_eq!((&leg["sid"], &leg["agent"], &leg["state"]), (&fork["id"], &json!("scribe"), &json!("answered")));

    let (status, ended) = rig.edge.delete(&place);
    assert_eq!((status, &ended["state"], &ended["id"]), (200, &json!("ended"), &fork["id"]));
    let stream = rig.scribe.first("its end", |stream| stream.closed.is_some());
    assert_eq!((stream.stopped, stream.closed), (true, Some(Some(1000))));
    let (status, again) = rig.edge.delete(&place);
    assert_eq!((status, &again["error"]["code"]), (409, &json!("fork_ended")));
    rig.talk(&call, 3);
    call.hang_up(2, &rig.caller, &rig.callee);
    let (status, gone) = rig.edge.delete(&place);
    assert_eq!((status, &gone["error"]["code"]), (409, &json!("call_ended")));
}

#[test]
fn several_listen_at_once_each_to_what_it_asked_for() {
    let rig = Rig::new();
    let (call, forks) = rig.call("several");
    let others: Vec<Listener> = (0..2).map(|_| Listener::start()).collect();
    let recorder = UdpSocket::bind("127.0.0.1:0").unwrap();
    recorder.set_read_timeout(Some(PATIENCE)).unwrap();
    let bodies = [
        json!({"agent": "scribe"}),
        json!({"url": others[0].url(), "tracks": ["inbound"]}),
        json!({"url": others[1].url(), "tracks": ["outbound"]}),
        json!({"url": format!("rtp://{}", recorder.local_addr().unwrap()), "tracks": ["outbound"]}),
    ];
    let begun: Vec<Value> = bodies
        .iter()
        .map(|body| rig.edge.post(&forks, body))
        .map(|(status, fork)| {
            assert_eq!(status, 201, "{fork}");
            fork
        })
        .collect();
    let (status, fifth) = rig.edge.post(&forks, &json!({"agent": "scribe"}));
    assert_eq!((status, &fifth["error"]["code"]), (409, &json!("too_many_forks")));
    begun.iter().for_each(|fork| rig.listening(&forks, fork));
    assert_eq!((&begun[3]["streamSid"], begun[3]["ssrc"]["outbound"].is_u64()), (&Value::Null, true));
    rig.talk(&call, 9);
    let has = |frames: &[crate::support::listener::Frame]| frames.iter().any(|frame| frame.audio == [9; 160]);
    rig.scribe.first("both", |stream| has(&stream.inbound) && has(&stream.outbound));
    let said = others[0].first("from the caller", |stream| has(&stream.inbound));
    assert_eq!((said.outbound.len(), &said.start["start"]["tracks"]), (0, &json!(["inbound"])));
    let heard = others[1].first("to the caller", |stream| has(&stream.outbound));
    assert_eq!((heard.inbound.len(), &heard.start["start"]["tracks"]), (0, &json!(["outbound"])));
    // The only copy of the two packets: the callee's audio, with the reported SSRC.
    let (copy, _) = received(&recorder);
    let ssrc = u32::from_be_bytes(copy[8..12].try_into().unwrap());
    assert_eq!((json!(ssrc), &copy[12..]), (begun[3]["ssrc"]["outbound"].clone(), &[9; 160][..]));
    assert!(crate::support::calls::is_silent(&recorder));
    // Once a fork has ended, the limit permits another one.
    rig.edge.delete(&format!("{forks}/{}", begun[1]["id"].as_str().unwrap()));
    let (status, fork) = rig.edge.post(&forks, &json!({"agent": "scribe"}));
    assert_eq!(status, 201, "{fork}");
    call.hang_up(2, &rig.caller, &rig.callee);
    for listener in [&rig.scribe, &others[0], &others[1]] {
        listener.first("the end of the call", |stream| stream.stopped && stream.closed == Some(Some(1000)));
    }
}

#[test]
fn what_cannot_be_done_is_said_and_why() {
    let rig = Rig::new();
    let (call, forks) = rig.call("wrong");
    let media = format!(r#"{{"url":"rtp://{}"}}"#, call.near);
    let to = |url: &str, listener: &str| {
        let address = rig.edge.address(listener);
        format!(r#"{{"url":"{url}"}}"#)
            .replace("HOST", &address.to_string())
            .replace("PORT", &address.port().to_string())
    };
    let (udp, http, mapped) =
        (to("rtp://HOST", "udp"), to("ws://HOST/", "http"), to("ws://[::ffff:127.0.0.1]:PORT/", "http"));
    let long = format!(r#"{{"url":"wss://a.example/{}"}}"#, "a".repeat(3000));
    let named = format!(r#"{{"agent":"scribe","parameters":{{"a":"{}"}}}}"#, "a".repeat(5000));
    let many: Vec<String> = (0..100).map(|n| format!(r#""p{n}":"""#)).collect();
    let many = format!(r#"{{"agent":"scribe","parameters":{{{}}}}}"#, many.join(","));
    let big = format!(r#"{{"agent":"{}"}}"#, "a".repeat(70_000));
    for (body, expected) in [
        ("", (400, "bad_json")),
        ("{", (400, "bad_json")),
        ("[]", (400, "bad_json")),
        ("{}", (400, "bad_json")),
        (r#"{"agent":"scribe","url":"wss://a.example/"}"#, (400, "bad_json")),
        (r#"{"agent":7}"#, (400, "bad_json")),
        (r#"{"agent":"scribe","track":"inbound"}"#, (400, "bad_json")),
        (r#"["scribe",null,null,null]"#, (400, "bad_json")),
        (r#"{"agent":"scribe","parameters":{"a":1}}"#, (422, "bad_parameters")),
        (r#"{"agent":"scribe","parameters":{"a":null}}"#, (422, "bad_parameters")),
        (r#"{"agent":"scribe","parameters":[]}"#, (400, "bad_json")),
        (r#"{"agent":"scribe"}{}"#, (400, "bad_json")),
        (r#"{"agent":"nobody"}"#, (422, "unknown_agent")),
        (r#"{"agent":""}"#, (422, "unknown_agent")),
        (r#"{"agent":"scribe","tracks":[]}"#, (422, "bad_tracks")),
        (r#"{"agent":"scribe","tracks":["both"]}"#, (422, "bad_tracks")),
        (r#"{"url":""}"#, (422, "bad_url")),
        (r#"{"url":"http://127.0.0.1/"}"#, (422, "bad_url")),
        (r#"{"url":"ws://203.0.113.1/media"}"#, (422, "bad_url")),
        (r#"{"url":"ws://169.254.169.254/latest"}"#, (422, "bad_url")),
        (r#"{"url":"ws://0.0.0.0:9000/"}"#, (422, "bad_url")),
        (r#"{"url":"wss://a.example/?token=x"}"#, (422, "bad_url")),
        (r#"{"url":"rtp://203.0.113.1:4000"}"#, (422, "bad_url")),
        (r#"{"url":"rtp://127.0.0.1"}"#, (422, "bad_url")),
        (&media, (422, "bad_url")),
        (&udp, (422, "bad_url")),
        (&http, (422, "bad_url")),
        (&mapped, (422, "bad_url")),
        (r#"{"url":"rtp://0x7f.1:4000"}"#, (422, "bad_url")),
        (r#"{"url":"ws://2130706433:4000/"}"#, (422, "bad_url")),
        (&long, (422, "bad_url")),
        (&named, (422, "bad_parameters")),
        (&many, (422, "bad_parameters")),
        (&big, (413, "body_too_large")),
    ] {
        let (status, text) = rig.refused("POST", &forks, body);
        assert_eq!((status, text.as_str()), expected, "{body}");
    }
    assert_eq!(rig.edge.json(&forks), json!({"forks": []}), "nothing of it was begun");
    rig.talk(&call, 1);
}

#[test]
fn a_refusal_names_what_it_refuses_and_what_there_is() {
    let rig = Rig::new();
    let (_call, forks) = rig.call("named");
    for (body, sentence) in [
        ("[]", "the body is not a JSON object; expected body: "),
        (r#"{"agent":"nobody"}"#, r#""nobody": unknown agent; known: scribe"#),
        (r#"{"agent":"scribe","parameters":{"a":1}}"#, r#"`parameters`: "a" is a number, expected a string"#),
        (
            r#"{"url":"ws://203.0.113.1/media"}"#,
            "`url`: audio and secrets would be sent to 203.0.113.1 unencrypted (use wss://; ws:// and rtp:// are allowed for loopback \
             and [edge] local_networks only)",
        ),
    ] {
        let (_, answer) = rig.edge.ask("POST", &forks, body);
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.starts_with(sentence), "{body}: {message}");
    }
}

/// The edge knows the address of a host name only after looking it up.
#[test]
fn no_fork_leads_back_into_the_edge_by_a_name() {
    let rig = Rig::new();
    let (call, forks) = rig.call("names");
    let port = |listener: &str| rig.edge.address(listener).port();
    for (url, what) in [
        (format!("rtp://localhost:{}", call.near.port()), "[media] ports"),
        (format!("rtp://localhost:{}", port("udp")), "listener for SIP"),
        (format!("ws://localhost:{}/", port("http")), "for SIP or HTTP"),
    ] {
        let (status, fork) = rig.edge.post(&forks, &json!({"url": url}));
        assert_eq!(status, 201, "{fork}");
        until("the fork is over", || {
            let all = rig.edge.json(&forks)["forks"].clone();
            let this = all.as_array().unwrap().iter().find(|other| other["id"] == fork["id"]).unwrap().clone();
            (this["state"] == "ended").then_some(())
        });
        let (_, trace) = rig.edge.get(&forks.replace("/forks", "/trace.txt"));
        assert!(trace.contains(what), "{url}: {trace}");
    }
    rig.talk(&call, 1);
}

#[test]
fn what_a_call_cannot_be_asked_for_is_said_and_why() {
    let rig = Rig::new();
    let (call, forks) = rig.call("asked");
    let sid = rig.edge.sid();
    let call_path = |rest: &str| format!("/v1/calls/{sid}/{rest}");
    for (method, path, body, expected) in [
        ("POST", "/v1/calls/CA0/forks".to_owned(), r#"{"agent":"scribe"}"#, (404, "unknown_call")),
        ("GET", "/v1/calls/CA0/forks".to_owned(), "", (404, "unknown_call")),
        ("DELETE", "/v1/calls/CA0/forks/CA1".to_owned(), "", (404, "unknown_call")),
        ("DELETE", call_path("forks/CA1"), "", (404, "unknown_fork")),
        ("DELETE", call_path("forks"), "", (405, "method_not_allowed")),
        ("POST", call_path("transfer"), r#"{"target":"trunk:pbx","consult":true}"#, (409, "no_agent")),
        ("POST", call_path("transfer"), r#"{"target":"trunk:nowhere"}"#, (422, "unknown_target")),
        ("POST", call_path("transfer"), r#"{"to":"trunk:pbx"}"#, (400, "bad_json")),
        ("POST", call_path("dtmf"), r#"{"digits":"x"}"#, (422, "bad_digits")),
        ("POST", call_path("dtmf"), r#"{"digits":"1","party":"both"}"#, (400, "bad_json")),
        ("POST", call_path("hold"), r#"{"party":"nobody"}"#, (400, "bad_json")),
        ("POST", call_path("hold"), "caller", (400, "bad_json")),
        ("POST", call_path("resume"), "", (409, "not_held")),
        ("POST", call_path("play"), r#"{"file":"a.wav"}"#, (422, "bad_file")),
        ("POST", call_path("play"), r#"{"file":"../../etc/passwd"}"#, (422, "bad_file")),
        ("POST", call_path("play"), "", (400, "bad_json")),
        ("POST", "/v1/calls/CA0/play".to_owned(), r#"{"file":"a.wav"}"#, (404, "unknown_call")),
        ("POST", call_path("recording"), "", (400, "bad_json")),
        ("POST", call_path("recording"), r#"{"action":"start"}"#, (409, "no_recording")),
        ("POST", "/v1/calls/CA0/recording".to_owned(), r#"{"action":"stop"}"#, (404, "unknown_call")),
        ("POST", "/v1/calls/CA0/hold".to_owned(), "", (404, "unknown_call")),
    ] {
        let (status, text) = rig.refused(method, &path, body);
        assert_eq!((status, text.as_str()), expected, "{method} {path} {body}");
    }
    assert_eq!(rig.edge.json(&forks), json!({"forks": []}), "nothing of it was begun");
    // This call still rings.
    rig.caller
        .sip
        .send(call.sip, &rig.caller.sip.request("INVITE", crate::support::calls::NUMBER, call.sip, "rings", 1, ""));
    rig.callee.sip.receive("INVITE ");
    let ringing = rig.edge.sid();
    assert_ne!(ringing, sid);
    let (status, text) = rig.refused("POST", &format!("/v1/calls/{ringing}/forks"), r#"{"agent":"scribe"}"#);
    assert_eq!((status, text.as_str()), (409, "not_answered"));
    rig.talk(&call, 1);
}

/// A page in a browser must not start forks: access is controlled as for other requests.
#[test]
fn nobody_without_the_token_or_from_a_foreign_page_begins_a_fork() {
    let rig = Rig::new();
    let (_call, forks) = rig.call("doors");
    let url = format!("{}{forks}", rig.edge.url());
    let body = r#"{"agent":"scribe"}"#;
    let (status, _) = http("POST", &url, &[("origin", "https://evil.example")], body);
    assert_eq!(status, 403);
    let (status, _) = http("POST", &url, &[("host", "evil.example")], body);
    assert_eq!(status, 403);
    assert_eq!(rig.edge.json(&forks), json!({"forks": []}));
}

#[test]
fn a_listener_that_goes_talks_or_cannot_be_reached_harms_nobody() {
    let rude = Listener::doing(|socket, stream| {
        let sid = stream.start["streamSid"].clone();
        for text in [
            json!({"event": "media", "streamSid": sid, "media": {"payload": "AAAA"}}).to_string(),
            json!({"event": "hangup"}).to_string(),
            json!({"event": "transfer", "target": "trunk:pbx"}).to_string(),
            "{nonsense".repeat(1000),
        ] {
            for _ in 0..50 {
                if socket.send(Message::text(text.clone())).is_err() {
                    return false;
                }
            }
        }
        // The agent disconnects without a close.
        stream.outbound.is_empty()
    });
    let rig = Rig::with(rude, "");
    let (call, forks) = rig.call("rude");
    let free = closed_address();
    let (status, nobody) = rig.edge.post(&forks, &json!({"url": format!("ws://{free}/")}));
    assert_eq!(status, 201, "{nobody}");
    let (status, fork) = rig.edge.post(&forks, &json!({"agent": "scribe"}));
    assert_eq!(status, 201, "{fork}");
    let mut sequence = 0;
    until("both are gone", || {
        sequence += 1;
        rig.talk(&call, sequence);
        let all = rig.edge.json(&forks)["forks"].clone();
        all.as_array().unwrap().iter().all(|fork| fork["state"] == "ended").then_some(())
    });
    let call_path = forks.replace("/forks", "");
    assert_eq!(rig.edge.json(&call_path)["state"], "answered");
    let (_, trace) = rig.edge.get(&format!("{call_path}/trace.txt"));
    let noted = trace.lines().filter(|line| line.contains("from an agent that only listens")).count();
    assert!((1..10).contains(&noted) && trace.contains(" more like this: "), "{trace}");
    rig.talk(&call, sequence + 1);
    call.hang_up(2, &rig.caller, &rig.callee);
}

/// There are many requests for forks, and a hang-up among them: later requests are rejected, and nothing leaks.
#[test]
fn a_thousand_requests_for_forks_and_a_hang_up_among_them() {
    let rig = Rig::new();
    for n in 0..4 {
        let (call, forks) = rig.call(&format!("race{n}"));
        let url = rig.edge.url();
        std::thread::scope(|scope| {
            for thread in 0..5 {
                let (url, forks) = (&url, &forks);
                scope.spawn(move || {
                    for n in 0..50 {
                        let (status, text) = http("POST", &format!("{url}{forks}"), &[], r#"{"agent":"scribe"}"#);
                        let answer: Value = serde_json::from_str(&text).unwrap();
                        let code = answer["error"]["code"].as_str().unwrap_or("begun");
                        assert!(
                            matches!((status, code), (201, "begun") | (409, "too_many_forks" | "call_ended")),
                            "{answer}"
                        );
                        if let Some(id) = answer["id"].as_str().filter(|_| (n + thread) % 3 != 0) {
                            let (status, text) = http("DELETE", &format!("{url}{forks}/{id}"), &[], "");
                            assert!(matches!(status, 200 | 409), "{text}");
                        }
                    }
                });
            }
            for sequence in 0..200 {
                rig.talk(&call, sequence);
            }
            call.hang_up(2, &rig.caller, &rig.callee);
        });
    }
    until("every stream is closed", || {
        let open = rig.scribe.streams().iter().filter(|stream| stream.closed.is_none()).count();
        (open == 0 && rig.edge.metric("trunkgate_agent_sessions") == 0.0).then_some(())
    });
    assert_eq!(rig.edge.json("/v1/status")["calls"], 0);
    assert_eq!(rig.edge.metric("trunkgate_panics_total"), 0.0);
    until("no session is left", || (rig.edge.metric("trunkgate_media_sessions") == 0.0).then_some(()));
}
