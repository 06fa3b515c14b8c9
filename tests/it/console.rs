//! Tests the console's files and the HTTP API behind them with the real binary: content types, policies, tokens; order
//! of events and the limit of listeners; filters, history, routes and unknown sources.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Instant;

use crate::support::calls::{Call, NUMBER, Phone};
use crate::support::{PATIENCE, Process, closed_address, config, http, http_with_headers, until};
use crate::twilio_api::{SID, TOKEN, authorization};
use nix::sys::signal::Signal;
use regex::Regex;
use serde_json::Value;

fn between(caller: &Phone, callee: &Phone) -> String {
    let route = "[[route]]\nname = \"in\"\nfrom = [\"carrier\"]\nto = [\"+1415*\"]\nconnect = [\"trunk:pbx\"]\n";
    config(&(caller.trunk("carrier") + &callee.trunk("pbx") + route))
}

/// Fetches all files linked from the page.
fn files(edge: &Process) -> BTreeMap<String, String> {
    let link = Regex::new(r#"(?:src|href)="(/[^"]*)"|from '\./([a-z]+\.js)'"#).unwrap();
    let mut files = BTreeMap::new();
    let mut left = vec!["/".to_owned()];
    while let Some(path) = left.pop() {
        let (status, text) = edge.get(&path);
        assert_eq!(status, 200, "{path}");
        for found in link.captures_iter(&text) {
            let path = match (found.get(1), found.get(2)) {
                (Some(path), _) => path.as_str().to_owned(),
                (None, name) => format!("/console/{}", name.unwrap().as_str()),
            };
            if !files.contains_key(&path) {
                left.push(path);
            }
        }
        files.insert(path, text);
    }
    files
}

#[test]
fn every_file_has_its_type_and_a_policy_that_lets_nothing_else_in() {
    let edge = Process::start(&config(""));
    let files = files(&edge);
    assert!(files.len() >= 20, "{:?}", files.keys());
    for path in files.keys() {
        let (status, headers, text) = http_with_headers("GET", &format!("{}{path}", edge.url()), &[], "");
        let kind = match path.rsplit_once('.') {
            None => "text/html; charset=utf-8",
            Some((_, "css")) => "text/css; charset=utf-8",
            Some((_, "svg")) => "image/svg+xml",
            Some((_, "js")) => "text/javascript; charset=utf-8",
            Some(other) => panic!("{other:?}"),
        };
        assert_eq!((status, headers["content-type"].to_str().unwrap()), (200, kind), "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        for part in ["default-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{path}: {policy}");
        assert!(!text.is_empty(), "{path}");
    }
    let url = edge.url();
    assert_eq!(edge.get("/console/").0, 404);
    assert_eq!(edge.get("/console/../Cargo.toml").0, 404);
    assert_eq!(http("POST", &format!("{url}/"), &[], "").0, 405);
    assert_eq!(http("GET", &format!("{url}/"), &[("host", "evil.example")], "").0, 403);
    assert_eq!(http("GET", &format!("{url}/console/app.js"), &[("origin", "http://evil.example")], "").0, 403);
}

#[test]
fn with_a_token_the_page_opens_without_it_and_holds_nothing() {
    let edge = Process::start(&config("").replace("[http]\n", "[http]\ntoken = \"open sesame\"\n"));
    for (path, text) in files(&edge) {
        assert!(!text.contains("open sesame") && !text.contains("under-test"), "{path}");
    }
    let url = edge.url();
    for path in ["/v1/status", "/v1/events", "/v1/history", "/v1/routes", "/v1/security", "/v1/calls", "/metrics"] {
        assert_eq!(edge.get(path).0, 401, "{path}");
        let wrong = [("authorization", "Bearer open")];
        assert_eq!(http("GET", &format!("{url}{path}"), &wrong, "").0, 401, "{path}");
    }
    let right = [("authorization", "Bearer open sesame")];
    assert_eq!(http("GET", &format!("{url}/v1/history"), &right, "").0, 200);
}

#[test]
fn proxied_requests_need_a_token() {
    let edge = Process::start(&config(&format!("[api]\naccount_sid = \"{SID}\"\nauth_token = \"{TOKEN}\"\n")));
    let host = edge.address("http").to_string();
    let ask =
        |method: &str, path: &str, extra: &[(&str, &str)]| http(method, &format!("{}{path}", edge.url()), extra, "");
    let basic = authorization(SID, TOKEN);
    for header in ["X-Forwarded-For", "X-Forwarded-Host", "Forwarded", "Via", "X-Real-IP"] {
        // These headers are as nginx sends them: Host is that of its upstream.
        let passed_on = [("host", host.as_str()), (header, "192.0.2.7")];
        for path in ["/", "/console/app.js", "/v1/status", "/v1/calls", "/v1/events", "/v1/twilio/ca", "/metrics"] {
            let (status, text) = ask("GET", path, &passed_on);
            assert!(status == 403 && text.contains("token_required"), "{header} {path}: {status} {text}");
        }
        for path in ["/v1/calls", "/v1/drain", "/v1/reload"] {
            assert_eq!(ask("POST", path, &passed_on).0, 403, "{header} {path}");
        }
        assert_eq!(ask("GET", "/healthz", &passed_on).0, 200);
        assert_eq!(ask("GET", "/readyz", &passed_on).0, 200);
        let path = format!("/2010-04-01/Accounts/{SID}/Calls.json");
        let with_credentials = [passed_on[1], (basic.0, basic.1.as_str())];
        assert_eq!(ask("GET", &path, &with_credentials).0, 200, "{header}");
        assert_eq!(ask("GET", &path, &passed_on[1..]).0, 401, "{header}");
    }
    assert_eq!(ask("GET", "/v1/calls", &[]).0, 200);
}

/// Client of `/v1/events`.
pub(crate) struct Follower {
    lines: BufReader<TcpStream>,
}

impl Follower {
    /// Connects to `/v1/events` and waits until the stream is open.
    pub(crate) fn begin(edge: &Process) -> Follower {
        let mut follower = Follower::ask(edge);
        follower.line(": following");
        follower
    }

    fn ask(edge: &Process) -> Follower {
        Follower::ask_with(edge, "")
    }

    /// Connects to `/v1/events` with an additional header line.
    fn ask_with(edge: &Process, line: &str) -> Follower {
        let mut stream = TcpStream::connect(edge.address("http")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let host = edge.address("http");
        stream.write_all(format!("GET /v1/events HTTP/1.1\r\nHost: {host}\r\n{line}\r\n").as_bytes()).unwrap();
        Follower { lines: BufReader::new(stream) }
    }

    /// Returns the rest of the next line in the stream with this prefix.
    fn line(&mut self, front: &str) -> String {
        // Comments arrive while there are no events.
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < PATIENCE, "waited too long for {front:?}");
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "the stream has ended before {front:?}");
            if let Some(rest) = line.trim_end().strip_prefix(front) {
                return rest.trim().to_owned();
            }
        }
    }

    /// Returns the next event with one of these names.
    pub(crate) fn next(&mut self, names: &[&str]) -> (String, Value) {
        loop {
            let name = self.line("event:");
            let data = serde_json::from_str(&self.line("data:")).unwrap();
            if names.contains(&name.as_str()) {
                return (name, data);
            }
        }
    }
}

const OF_CALLS: [&str; 5] = ["call.trying", "call.ringing", "call.answered", "call.failed_over", "call.ended"];

#[test]
fn events_of_a_call_arrive_in_order_with_the_fields_of_the_list() {
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let edge = Process::start(&between(&caller, &callee));
    let mut follower = Follower::begin(&edge);
    let udp = edge.address("udp");
    caller.sip.send(udp, &caller.sip.request_with("INVITE", NUMBER, udp, "told", (1, ""), &caller.description(1, "")));
    let invite = callee.sip.receive("INVITE ");
    callee.sip.send(invite.1, &callee.sip.answer_with(&invite.0, "180 Ringing", ""));
    caller.sip.receive("SIP/2.0 180");
    let call = Call::answered(udp, "told", &caller, invite, (&callee, &callee.description(1, "")));
    let sid = edge.sid();
    assert_eq!(edge.delete(&format!("/v1/calls/{sid}")).0, 202);
    let events: Vec<(String, Value)> = (0..4).map(|_| follower.next(&OF_CALLS)).collect();
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["call.trying", "call.ringing", "call.answered", "call.ended"]);
    for (name, data) in &events {
        assert_eq!(
            (&data["sid"], &data["to"], &data["trunk"]),
            (&sid.as_str().into(), &NUMBER.into(), &"carrier".into()),
            "{name}"
        );
        assert!(data["at"].as_str().unwrap().ends_with('Z'), "{data}");
    }
    assert_eq!((&events[2].1["state"], &events[3].1["state"]), (&"answered".into(), &"ended".into()));
    assert_eq!((&events[3].1["reason"], &events[3].1["outcome"]), (&"operator".into(), &"answered".into()));
    drop(call);

    // Events that belong to no call: two reloads, then drain on and off.
    edge.signal(Signal::SIGHUP);
    assert_eq!(follower.next(&["config.reloaded", "config.refused"]).0, "config.reloaded");
    std::fs::write(&edge.file, "colour = 1\n[http]\ntoken = [\n'S3cret']\n").unwrap();
    edge.signal(Signal::SIGHUP);
    let (name, data) = follower.next(&["config.reloaded", "config.refused"]);
    assert_eq!(name, "config.refused");
    let text = data["text"].as_str().unwrap();
    assert!(text.contains(" errors: unknown key `colour` at ") && text.contains(":1:1 (and "), "{data}");
    for on in [true, false] {
        edge.post("/v1/drain", &serde_json::json!({ "on": on }));
        let (_, data) = follower.next(&["drain"]);
        assert_eq!(data["text"].as_str().unwrap().contains("503"), on, "{data}");
    }
}

#[test]
fn trunk_up_trunk_down_and_failover_are_events() {
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let dead = closed_address();
    // The dead trunk gets no OPTIONS, since their failure could precede the follower: the events come from calls.
    let trunks = caller.trunk("carrier")
        + &format!("[trunk.dead]\npeers = [\"sip:{dead}\"]\noptions_interval = \"0s\"\n")
        + &callee.trunk("pbx").replace("\"0s\"", "\"1h\"");
    let route = "[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:dead\", \"trunk:pbx\"]\n";
    let edge = Process::start(&config(&(trunks + route)));
    let mut follower = Follower::begin(&edge);
    // Three consecutive failures are needed; simultaneous ones may count as one.
    for id in ["one", "two", "three", "four", "five", "six"] {
        Call::set_up(&edge, id, &caller, &callee);
    }
    // The order of the events varies.
    let mut seen = BTreeSet::new();
    let wanted = [("call.failed_over", "dead"), ("trunk.down", "dead"), ("trunk.up", "pbx")];
    while !wanted.iter().all(|(name, trunk)| seen.contains(&((*name).to_owned(), (*trunk).to_owned()))) {
        let (name, data) = follower.next(&["call.failed_over", "trunk.down", "trunk.up"]);
        assert!(name != "call.failed_over" || data["reason"] == "unreachable", "{data}");
        assert!(name != "trunk.up" || data["trunk"] != "dead", "{data}");
        seen.insert((name, data["trunk"].as_str().unwrap().to_owned()));
    }
    let calls = edge.json("/v1/calls?flag=failed_over")["calls"].as_array().unwrap().clone();
    assert!(calls.iter().any(|call| call["flags"] == serde_json::json!(["failed_over"])), "{calls:?}");
    let troubles = until("the failover is in the history", || {
        let troubles = edge.json("/v1/history")["troubles"].as_array().unwrap().clone();
        (!troubles.is_empty()).then_some(troubles)
    });
    assert_eq!(troubles[0]["kind"], "failed_over");
    assert!(troubles[0]["count"].as_u64().is_some_and(|count| count > 0), "{troubles:?}");
    assert!(!troubles[0]["sentence"].as_str().unwrap().is_empty());
}

#[test]
fn event_listeners_are_limited_and_a_closed_one_frees_its_place() {
    let edge = Process::start(&config(""));
    let mut all: Vec<Follower> =
        (0..trunkgate_system::limits::EVENT_LISTENERS).map(|_| Follower::begin(&edge)).collect();
    let (status, answer) = edge.ask("GET", "/v1/events", "");
    assert_eq!((status, &answer["error"]["code"]), (503, &"too_many_listeners".into()));
    all.pop();
    until("the place is free", || {
        let mut next = Follower::ask(&edge);
        let mut status = String::new();
        next.lines.read_line(&mut status).unwrap();
        status.contains("200").then_some(())
    });
}

#[test]
fn an_event_stream_ends_when_its_token_is_replaced() {
    let edge = Process::start(&config("").replace("[http]\n", "[http]\ntoken = \"first\"\n"));
    let mut follower = Follower::ask_with(&edge, "Authorization: Bearer first\r\n");
    follower.line(": following");
    // A reload with the same token keeps the stream.
    edge.signal(Signal::SIGHUP);
    follower.next(&["config.reloaded"]);
    let text = std::fs::read_to_string(&edge.file).unwrap();
    std::fs::write(&edge.file, text.replace("\"first\"", "\"second\"")).unwrap();
    edge.signal(Signal::SIGHUP);
    // Nothing but the last chunk (RFC 9112 §7.1) follows.
    let mut line = String::new();
    while line.trim_end() != "0" {
        line.clear();
        assert!(follower.lines.read_line(&mut line).unwrap() > 0, "the stream should end");
        assert!(!line.starts_with("event:"), "{line}");
    }
}

#[test]
fn calls_are_found_by_every_filter() {
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let edge = Process::start(&between(&caller, &callee));
    let call = Call::set_up(&edge, "found-by-this", &caller, &callee);
    let sid = edge.sid();
    let live = edge.json(&format!("/v1/calls/{sid}"));
    let media = &live["legs"][0]["media"];
    assert_eq!(media["announced"].as_str().unwrap(), caller.rtp_address().to_string());
    assert_eq!(
        (&media["used"], media["ours"].as_str().unwrap()),
        (&media["announced"], call.near.to_string().as_str())
    );
    let lives = || edge.json("/v1/calls?state=live")["calls"].as_array().unwrap().len();
    assert_eq!(lives(), 1);
    edge.delete(&format!("/v1/calls/{sid}"));
    until("the call has ended", || (edge.json("/v1/calls")["calls"][0]["state"] == "ended").then_some(()));
    assert_eq!(lives(), 0);
    assert!(edge.json("/v1/trunks")["since"].is_string() && edge.json("/v1/agents")["since"].is_string());
    for (bad, status) in [
        ("app=none", 404),
        ("failed=none", 404),
        ("failing=none", 404),
        ("failed_reason=no_response", 400),
        ("code=486,x", 400),
    ] {
        assert_eq!(edge.get(&format!("/v1/calls?{bad}")).0, status, "{bad}");
    }
    let found = |query: &str| edge.json(&format!("/v1/calls?{query}"))["calls"].as_array().unwrap().len();
    for query in [
        "search=found-by",
        "search=5550123",
        "reason=operator",
        "outcome=answered",
        "route=in",
        "longer=0",
        "shorter=3600",
        "code=200,486",
        "since=2026-01-01T00:00:00Z&until=2100-01-01T00:00:00Z",
    ] {
        assert_eq!(found(query), 1, "{query}");
    }
    let with_sid = format!("search={sid}");
    assert_eq!(found(&with_sid), 1);
    for query in ["search=elsewhere", "reason=no_route", "outcome=failed", "flag=srtp", "longer=3600", "shorter=0"] {
        assert_eq!(found(query), 0, "{query}");
    }
    let route = edge.json("/v1/routes")["routes"][0].clone();
    assert_eq!(
        (&route["name"], &route["connect"][0], &route["to"][0]),
        (&"in".into(), &"trunk:pbx".into(), &"+1415*".into())
    );
    assert_eq!(route["calls"], serde_json::json!({ "answered": 1 }));
    let history = edge.json("/v1/history?span=hour");
    let samples = history["samples"].as_array().unwrap();
    assert_eq!(history["seconds"], 10);
    let fields: BTreeSet<&str> = samples[0].as_object().unwrap().keys().map(String::as_str).collect();
    for field in
        ["at", "calls", "begun", "answered", "failed", "one_way", "mos", "mos_lowest", "ports_in_use", "trunks"]
    {
        assert!(fields.contains(field), "{field}: {fields:?}");
    }
    let last = samples.last().unwrap()["at"].as_str().unwrap();
    let after = edge.json(&format!("/v1/history?since={last}"))["samples"].as_array().unwrap().clone();
    assert!(after.iter().all(|sample| sample["at"].as_str().unwrap() > last), "{after:?}");
    assert!(edge.json("/v1/history?span=day")["samples"].as_array().unwrap().is_empty());
    for bad in ["/v1/history?span=year", "/v1/history?since=now", "/v1/history?colour=red"] {
        assert_eq!(edge.get(bad).0, 400, "{bad}");
    }
}

/// Makes a call that the callee rejects; returns the final response that the caller received.
fn rejected(edge: &Process, id: &str, caller: &Phone, callee: &Phone) -> String {
    let udp = edge.address("udp");
    let invite = caller.sip.request_with("INVITE", NUMBER, udp, id, (1, ""), &caller.description(1, ""));
    caller.sip.send(udp, &invite);
    let (invite, from) = callee.sip.receive("INVITE ");
    callee.sip.send(from, &callee.sip.answer_with(&invite, "403 Call Rejected", ""));
    let (answer, _) = caller.sip.receive("SIP/2.0 4");
    answer.split_whitespace().nth(1).unwrap().to_owned()
}

#[test]
fn totals_are_of_all_calls_that_match() {
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let edge = Process::start(&between(&caller, &callee));
    let call = Call::set_up(&edge, "answered", &caller, &callee);
    edge.delete(&format!("/v1/calls/{}", edge.sid()));
    drop(call);
    for id in ["rejected-1", "rejected-2"] {
        assert_eq!(rejected(&edge, id, &caller, &callee), "403");
    }
    let summary = |query: &str| edge.json(&format!("/v1/calls?summary=true&limit=1&{query}"));
    let all = until("the calls have ended", || {
        let answer = summary("");
        (answer["summary"]["live"] == 0 && answer["summary"]["total"] == 3).then_some(answer)
    });
    assert_eq!(all["calls"].as_array().unwrap().len(), 1);
    let durations = all["summary"]["durations"].as_array().unwrap();
    assert_eq!((&durations[0]["from"], &durations[0]["to"], &durations[0]["calls"]), (&0.into(), &5.into(), &1.into()));
    assert_eq!(all["summary"]["codes"]["403"], 2);
    assert_eq!(all["summary"]["reasons"]["operator"], 1);
    // A filter does not affect the counts of its own choices.
    let found = summary("code=403")["summary"].clone();
    assert_eq!(
        (&found["total"], &found["codes"]["200"], &found["reasons"]["operator"]),
        (&2.into(), &1.into(), &Value::Null)
    );
    let found = summary("longer=100")["summary"].clone();
    assert_eq!((&found["total"], &found["durations"][0]["calls"]), (&0.into(), &1.into()));
    assert_eq!(summary("since=2099-01-01T00:00:00%2B01:00")["summary"]["total"], 0);
    assert_eq!(summary("until=2099-01-01T00:00:00Z")["summary"]["total"], 3);
    assert!(edge.json("/v1/calls")["summary"].is_null());
    for bad in ["since=yesterday", "format=xml", "summary=maybe"] {
        assert_eq!(edge.get(&format!("/v1/calls?{bad}")).0, 400, "{bad}");
    }
    let trunks = edge.json("/v1/trunks")["trunks"].clone();
    let (carrier, pbx) = (&trunks[0]["hour"], &trunks[1]["hour"]);
    assert_eq!((&carrier["calls_in"], &carrier["calls_out"], &carrier["live_in"]), (&3.into(), &0.into(), &0.into()));
    assert_eq!((&pbx["calls_in"], &pbx["calls_out"]), (&0.into(), &3.into()));
    // The trunk rejected two calls to it, and the edge two calls of the caller.
    let codes = |direction: &str| serde_json::json!([{ "direction": direction, "code": 403, "calls": 2 }]);
    assert_eq!((&pbx["codes"], &carrier["codes"]), (&codes("received"), &codes("sent")));
}

#[test]
fn calls_are_a_table_for_a_spreadsheet() {
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let edge = Process::start(&between(&caller, &callee));
    assert_eq!(rejected(&edge, "rejected", &caller, &callee), "403");
    let table = |query: &str| {
        let url = format!("{}/v1/calls?format=csv{query}", edge.url());
        let (status, headers, text) = http_with_headers("GET", &url, &[], "");
        assert_eq!(
            (status, headers["content-type"].to_str().unwrap()),
            (200, "text/csv; charset=utf-8; header=present")
        );
        let line = |line: &str| line.split(',').map(str::to_owned).collect::<Vec<String>>();
        text.lines().map(line).collect::<Vec<_>>()
    };
    let whole = until("the call has ended", || Some(table("")).filter(|rows| rows[1][10] == "ended"));
    let cell =
        |rows: &[Vec<String>], name: &str| rows[1][rows[0].iter().position(|head| head == name).unwrap()].clone();
    assert_eq!(whole.len(), 2);
    assert_eq!((cell(&whole, "to"), cell(&whole, "source")), (NUMBER.to_owned(), "carrier".to_owned()));
    assert_eq!((cell(&whole, "target"), cell(&whole, "sip_code")), ("pbx".to_owned(), "403".to_owned()));
    assert_eq!(cell(&whole, "ended_by"), "target");
    let masked = cell(&table("&mask=true"), "to");
    assert!(masked.contains("****") && !masked.contains(NUMBER), "{masked}");
    assert_eq!(table("&state=answered").len(), 1);
}

#[test]
fn unknown_sources_are_shown() {
    let edge = Process::start(&config("[trunk.carrier]\npeers = [\"sip:192.0.2.1\"]\noptions_interval = \"0s\"\n"));
    let stranger = Phone::new("127.0.0.1");
    let udp = edge.address("udp");
    stranger.sip.send(udp, &stranger.sip.request_with("INVITE", NUMBER, udp, "stranger", (1, ""), ""));
    let seen = until("the message is counted", || {
        let seen = edge.json("/v1/security");
        seen["dropped"]["unknown_source"].is_u64().then_some(seen)
    });
    assert_eq!((&seen["dropped"]["unknown_source"], &seen["unknown"]["last"]), (&1.into(), &"127.0.0.1".into()));
    assert_eq!((&seen["banned"], &seen["banned_in_all"]), (&serde_json::json!([]), &0.into()));
}
