//! `[otel]`: traces of calls that a collector gets, and calls while the collector fails.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::net::{TcpListener, TcpStream};

use crate::support::calls::{Call, NUMBER, Phone};
use crate::support::endpoint::{Endpoint, Post, ok, say};
use crate::support::sip::to_tag;
use crate::support::{PATIENCE, Process, config, finish, until, write};
use nix::sys::signal::Signal;
use serde_json::Value;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::{WebSocket, accept_hdr};

/// Carrier, PBX for calls to `NUMBER`, and agent for calls to `TO_AGENT`.
struct Parties {
    caller: Phone,
    callee: Phone,
    door: TcpListener,
}

const TO_AGENT: &str = "+14155550177";

impl Parties {
    fn new() -> Parties {
        let door = TcpListener::bind("127.0.0.1:0").unwrap();
        Parties { caller: Phone::new("127.0.0.1"), callee: Phone::new("127.0.0.2"), door }
    }

    fn config(&self, otel: &str) -> String {
        let trunks = self.caller.trunk("carrier") + &self.callee.trunk("pbx");
        let agent = self.door.local_addr().unwrap();
        config(&format!(
            "{trunks}[agent.desk]\nurl = \"ws://{agent}/media\"\n\
             [[route]]\nname = \"desk\"\nto = [\"{TO_AGENT}\"]\nconnect = [\"agent:desk\"]\n\
             [[route]]\nname = \"main\"\nto = [\"{NUMBER}\"]\nconnect = [\"trunk:pbx\"]\n{otel}"
        ))
    }

    fn start(&self, collector: &Endpoint, keys: &str) -> Process {
        Process::start(&self.config(&to(collector, keys)))
    }

    /// Makes a complete call to the PBX.
    fn call(&self, edge: &Process, id: &str) {
        Call::set_up(edge, id, &self.caller, &self.callee).hang_up(2, &self.caller, &self.callee);
    }

    /// Makes a call to the agent, which closes the stream; returns the `traceparent` of its handshake.
    fn talk(&self, edge: &Process, id: &str) -> Option<String> {
        let (sip, caller) = (edge.address("udp"), &self.caller);
        caller
            .sip
            .send(sip, &caller.sip.request_with("INVITE", TO_AGENT, sip, id, (1, ""), &caller.description(1, "")));
        let (mut agent, parent) = connected(&self.door);
        let (answer, _) = caller.sip.receive("SIP/2.0 200");
        caller.sip.send(sip, &caller.sip.request_with("ACK", TO_AGENT, sip, id, (1, to_tag(&answer)), ""));
        agent.close(None).unwrap();
        until("the edge closes too", || agent.read().is_err().then_some(()));
        let (bye, _) = caller.sip.receive("BYE ");
        caller.sip.send(sip, &caller.sip.answer(&bye, "200 OK", false));
        parent
    }

    /// Makes a call for which there is no route.
    fn refused(&self, edge: &Process, id: &str) {
        let (sip, caller) = (edge.address("udp"), &self.caller);
        let request = |method: &str, tag: &str| caller.sip.request(method, "+14155550166", sip, id, 1, tag);
        caller.sip.send(sip, &request("INVITE", ""));
        let (answer, _) = caller.sip.receive("SIP/2.0 404");
        caller.sip.send(sip, &request("ACK", to_tag(&answer)));
    }
}

/// Accepts the edge's connection to the agent; returns its WebSocket and `traceparent`.
fn connected(door: &TcpListener) -> (WebSocket<TcpStream>, Option<String>) {
    // After a lost connection, the edge first connects without a handshake, and disconnects.
    loop {
        if let Some(socket) = opened(door.accept().unwrap().0) {
            return socket;
        }
    }
}

/// Accepts a WebSocket connection; returns `None` if the edge disconnects without a handshake.
fn opened(stream: TcpStream) -> Option<(WebSocket<TcpStream>, Option<String>)> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut parent = None;
    #[allow(clippy::result_large_err)] // the library's form
    let look = |request: &Request, response: Response| {
        parent = request.headers().get("traceparent").map(|value| value.to_str().unwrap().to_owned());
        Ok(response)
    };
    let socket = accept_hdr(stream, look).ok()?;
    Some((socket, parent))
}

fn to(collector: &Endpoint, keys: &str) -> String {
    format!("[otel]\nendpoint = \"http://{}\"\n{keys}", collector.address)
}

/// Returns all spans in these posts.
fn spans(posts: &[Post]) -> Vec<Value> {
    let of_post = |post: &Post| {
        let request: Value = serde_json::from_str(&post.body).unwrap();
        request["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone()
    };
    posts.iter().flat_map(of_post).collect()
}

/// Waits until this many spans have arrived at the collector.
fn spans_at(collector: &Endpoint, count: usize) -> Vec<Value> {
    until("the spans come", || Some(spans(&collector.posts())).filter(|spans| spans.len() >= count))
}

fn attribute<'a>(span: &'a Value, key: &str) -> &'a Value {
    let all = span["attributes"].as_array().unwrap();
    let value = all.iter().find(|one| one["key"] == key).and_then(|one| one["value"].as_object()?.values().next());
    value.unwrap_or(&Value::Null)
}

fn named<'a>(spans: &'a [Value], name: &str) -> &'a Value {
    spans.iter().find(|span| span["name"] == name).unwrap_or_else(|| panic!("no {name} in {spans:#?}"))
}

fn result(edge: &Process, result: &str) -> f64 {
    edge.metric(&format!("trunkgate_otel_spans_total{{result=\"{result}\"}}"))
}

#[test]
fn calls_come_as_traces_and_the_agent_is_told_its_place() {
    let (parties, collector) = (Parties::new(), Endpoint::taking());
    let keys = "service_name = \"edge under test\"\nheaders = { Authorization = { env = \"OTLP_KEY\" }, x-scope = \"acme\" }\n";
    let edge = Process::start_with(&parties.config(&to(&collector, keys)), &[("OTLP_KEY", "Bearer open sesame")]);
    parties.call(&edge, "answered");
    let answered = edge.sid();
    parties.refused(&edge, "refused");
    let parent = parties.talk(&edge, "agent").unwrap();
    let spans = spans_at(&collector, 5);
    assert_eq!(spans.len(), 5, "{spans:#?}");
    // The call to the PBX has these spans.
    let (first, below) = (named(&spans, "INVITE main"), named(&spans, "INVITE pbx"));
    assert_eq!((&first["traceId"], &below["traceId"]), (&answered[2..].into(), &answered[2..].into()));
    assert_eq!((&below["parentSpanId"], &first["parentSpanId"]), (&first["spanId"], &Value::Null));
    assert_eq!((&first["kind"], &below["kind"], &first["status"]), (&2.into(), &3.into(), &serde_json::json!({})));
    assert_eq!(attribute(first, "trunkgate.to"), "+1415****123");
    assert_eq!(
        (attribute(first, "trunkgate.outcome"), attribute(first, "trunkgate.reason")),
        (&"answered".into(), &"caller_hung_up".into())
    );
    assert_eq!(attribute(below, "server.address"), "127.0.0.2");
    let names: Vec<&str> =
        below["events"].as_array().unwrap().iter().map(|event| event["name"].as_str().unwrap()).collect();
    for name in ["SIP INVITE", "SIP 200", "SIP ACK", "SIP BYE", "trunkgate.answered"] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    // The call without a route has this span.
    let refused = named(&spans, "INVITE");
    assert_eq!((&refused["status"]["code"], attribute(refused, "error.type")), (&2.into(), &"no_route".into()));
    assert_eq!(attribute(refused, "sip.response.status_code"), "404");
    // The agent's own spans would be children of this one.
    let (call, desk) = (named(&spans, "INVITE desk"), named(&spans, "agent desk"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    assert_eq!(parent, format!("00-{}-{}-01", text(&call["traceId"]), text(&desk["spanId"])));
    assert_eq!(
        (attribute(desk, "trunkgate.ended_by"), attribute(desk, "trunkgate.agent")),
        (&"far_end".into(), &"desk".into())
    );
    for post in collector.posts() {
        assert!(post.line.starts_with("POST /v1/traces HTTP/1.1"), "{}", post.line);
        assert_eq!((&*post.headers["authorization"], &*post.headers["x-scope"]), ("Bearer open sesame", "acme"));
        assert_eq!(post.headers["content-type"], "application/json");
        for secret in ["5550100", "5550123", "5550177", "5550166", "sesame"] {
            assert!(!post.body.contains(secret), "{secret} in {}", post.body);
        }
        let request: Value = serde_json::from_str(&post.body).unwrap();
        let resource = &request["resourceSpans"][0]["resource"];
        assert_eq!(attribute(resource, "service.name"), "edge under test");
        assert_eq!(attribute(resource, "service.instance.id"), "under-test");
    }
    until("they are counted", || (result(&edge, "sent") == 5.0).then_some(()));
    assert!(!edge.whole_log().contains("sesame"), "{}", edge.log());
}

#[test]
fn what_is_not_taken_is_sent_again_and_what_is_refused_is_not() {
    let parties = Parties::new();
    let collector = Endpoint::doing(|number, stream| match number {
        0 => say(stream, "503 Service Unavailable", "Retry-After: 1\r\n"),
        2 => say(stream, "400 Bad Request", ""),
        _ => ok(stream),
    });
    let edge = parties.start(&collector, "");
    parties.call(&edge, "first");
    let posts = until("it is sent again", || Some(collector.posts()).filter(|posts| posts.len() > 1));
    assert_eq!(posts[0].body, posts[1].body);
    until("it is taken", || (result(&edge, "sent") == 2.0).then_some(()));
    parties.call(&edge, "second");
    until("it is refused", || (result(&edge, "refused") == 2.0).then_some(()));
    parties.call(&edge, "third");
    until("the next is taken", || (result(&edge, "sent") == 4.0).then_some(()));
    let posts = collector.posts();
    let ids: Vec<Value> = posts.iter().map(|post| spans(std::slice::from_ref(post))[0]["traceId"].clone()).collect();
    assert_eq!((ids.len(), &ids[0]), (4, &ids[1]));
    assert!(ids[2] != ids[1] && ids[3] != ids[2], "{ids:?}");
    let log = edge.whole_log();
    assert_eq!(log.matches("not all traces are delivered").count(), 1, "one line a minute: {log}");
    assert_eq!(result(&edge, "dropped"), 0.0);
}

#[test]
fn a_collector_that_hangs_delays_no_call_and_no_end() {
    let parties = Parties::new();
    let collector = Endpoint::doing(|_, _| {
        std::thread::park();
        false
    });
    let edge = parties.start(&collector, "timeout = \"60s\"\n");
    parties.call(&edge, "first");
    until("it hangs", || (collector.posts().len() == 1).then_some(()));
    for id in ["second", "third"] {
        parties.call(&edge, id);
    }
    edge.signal(Signal::SIGTERM);
    let (status, _, log) = edge.end();
    assert!(status.success() && log.contains("because they were not sent to [otel] before shutdown: 6"), "{log}");
}

#[test]
fn what_waits_is_sent_at_the_end() {
    let (parties, collector) = (Parties::new(), Endpoint::taking());
    let edge = parties.start(&collector, "");
    parties.call(&edge, "last");
    let sid = edge.sid();
    edge.signal(Signal::SIGTERM);
    let (status, _, log) = edge.end();
    assert!(status.success() && !log.contains("not sent"), "{log}");
    let spans = spans(&collector.posts());
    assert_eq!(spans.iter().filter(|span| span["traceId"] == sid[2..]).count(), 2, "{spans:#?}");
}

#[test]
fn a_reload_turns_it_on_and_off() {
    let (parties, collector) = (Parties::new(), Endpoint::taking());
    let edge = parties.start(&collector, "sample = 0\n");
    assert_eq!(parties.talk(&edge, "none"), None);
    let reload = |otel: &str| {
        std::fs::write(&edge.file, parties.config(otel)).unwrap();
        assert_eq!(edge.post("/v1/reload", &Value::Null).0, 200);
    };
    reload(&to(&collector, "sample = 1.0\n"));
    let parent = parties.talk(&edge, "all").unwrap();
    let spans = spans_at(&collector, 2);
    assert!(
        spans.len() == 2 && spans.iter().all(|span| parent.contains(span["traceId"].as_str().unwrap())),
        "{spans:#?}"
    );
    reload("");
    assert_eq!(parties.talk(&edge, "off"), None);
}

#[test]
fn a_reload_lets_finish_what_is_under_way_to_the_same_collector() {
    let parties = Parties::new();
    let (answer, is_to_answer) = std::sync::mpsc::channel::<()>();
    let is_to_answer = std::sync::Mutex::new(is_to_answer);
    let collector = Endpoint::doing(move |number, stream| {
        if number == 0 {
            let _ = is_to_answer.lock().unwrap().recv();
        }
        ok(stream)
    });
    let edge = parties.start(&collector, "timeout = \"60s\"\n");
    parties.call(&edge, "first");
    until("it is under way", || (collector.posts().len() == 1).then_some(()));
    std::fs::write(&edge.file, parties.config(&to(&collector, "timeout = \"60s\"\nservice_name = \"other\"\n")))
        .unwrap();
    assert_eq!(edge.post("/v1/reload", &Value::Null).0, 200);
    answer.send(()).unwrap();
    until("it is taken", || (result(&edge, "sent") == 2.0).then_some(()));
    parties.call(&edge, "second");
    until("the next is taken", || (result(&edge, "sent") == 4.0).then_some(()));
    let posts = collector.posts();
    assert_eq!(posts.len(), 2, "each once: {posts:#?}");
    assert!(posts[0].body.contains("\"trunkgate\"") && posts[1].body.contains("\"other\""), "{posts:#?}");
}

#[test]
fn mistakes_in_it_are_named_where_they_are() {
    for (otel, code, line) in [
        ("[otel]\n", "TG0106", 0),
        ("[otel]\nendpoint = \"127.0.0.1:4318\"\n", "TG0108", 1),
        ("[otel]\nendpoint = \"http://192.0.2.9:4318\"\n", "TG0108", 1),
        ("[otel]\nendpoint = \"https://h\"\nsample = 2\n", "TG0105", 2),
        ("[otel]\nendpoint = \"https://h\"\nheaders = { a = { env = \"NO_SUCH_VARIABLE\" } }\n", "TG0110", 2),
        ("[otel]\nendpoint = \"https://h\"\nprotocol = \"grpc\"\n", "TG0104", 2),
    ] {
        let text = config(otel);
        let at = text.find("[otel]").map(|at| text[..at].lines().count() + 1 + line).unwrap();
        let (_directory, file) = write(&text);
        let output = finish(&["check", "--config", file.to_str().unwrap()]);
        let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(told.contains(&format!("error[{code}]")), "{otel}: {told}");
        assert!(told.contains(&format!("trunkgate.toml:{at}:")), "{otel}: {told}");
    }
    for otel in
        ["endpoint = \"http://collector:4318\"", "endpoint = \"https://h/otlp\"\nsample = 0.1\ntimeout = \"3s\""]
    {
        let (_directory, file) = write(&config(&format!("[otel]\n{otel}\n")));
        let output = finish(&["check", "--config", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{otel}: {output:?}");
    }
}
