//! Refused calls have a record, a trace with the reason, and a line in `calls`; many of them displace no other call.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::net::SocketAddr;

use crate::json::assert_documented;
use crate::support::calls::{Call, NUMBER, Phone};
use crate::support::sip::{field, to_tag};
use crate::support::{Process, closed_address, config, finish, media_ports, until, whole_lines};
use serde_json::{Value, json};

const ROUTE: &str = "[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n[cdr]\nfile = \"cdr.jsonl\"\n";

fn phones() -> (Phone, Phone) {
    (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"))
}

/// Starts an edge between two phones, with further keys for the trunk of each.
fn edge((caller, of_caller): (&Phone, &str), (callee, of_callee): (&Phone, &str)) -> Process {
    let trunks = caller.trunk("carrier") + of_caller + &callee.trunk("pbx") + of_callee;
    Process::start(&config(&(trunks + ROUTE)))
}

/// Makes a call that the edge refuses, and acknowledges the refusal; returns its status line.
fn refused(edge: &Process, caller: &Phone, id: &str) -> String {
    let sip = edge.address("udp");
    caller.sip.send(sip, &caller.sip.request("INVITE", NUMBER, sip, id, 1, ""));
    let answer = loop {
        let (answer, _) = caller.sip.receive("SIP/2.0 ");
        if field(&answer, "Call-ID") == id && !answer.starts_with("SIP/2.0 1") {
            break answer;
        }
    };
    acknowledge(caller, sip, id, &answer);
    answer.lines().next().unwrap_or_default().to_owned()
}

/// Sends the ACK in the transaction of the INVITE (RFC 3261 §17.1.1.3).
fn acknowledge(caller: &Phone, sip: SocketAddr, id: &str, answer: &str) {
    let ack = caller.sip.request_with("ACK", NUMBER, sip, id, (1, to_tag(answer)), "");
    caller.sip.send(sip, &ack.replacen("ACK1;", "INVITE1;", 1));
}

/// Returns the SID of the newest ended call.
fn ended(edge: &Process) -> String {
    let calls = edge.json("/v1/calls");
    let ended = calls["calls"].as_array().unwrap().iter().find(|call| call["state"] == "ended").unwrap();
    ended["sid"].as_str().unwrap().to_owned()
}

fn records(edge: &Process) -> Vec<Value> {
    let text = std::fs::read_to_string(edge.file.with_file_name("cdr.jsonl")).unwrap_or_default();
    whole_lines(&text).map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn trace(edge: &Process) -> (String, String) {
    let sid = ended(edge);
    let page = finish(&["trace", &sid, "--url", &edge.url()]).stdout;
    let verdict = edge.json(&format!("/v1/calls/{sid}/trace"))["verdict"].as_str().unwrap().to_owned();
    // Long lines are folded on the page.
    let page = String::from_utf8(page).unwrap();
    (page.split_whitespace().collect::<Vec<_>>().join(" "), verdict)
}

#[test]
fn a_limit_of_the_callers_trunk_is_named_and_recorded() {
    let (caller, callee) = phones();
    let edge = edge((&caller, "max_calls = 1\n"), (&callee, ""));
    let first = Call::set_up(&edge, "first", &caller, &callee);
    assert_eq!(refused(&edge, &caller, "second"), "SIP/2.0 503 Service Unavailable");
    let (page, verdict) = trace(&edge);
    assert!(
        verdict.starts_with(
            "Not answered (503): too many concurrent calls: trunk carrier, `max_calls = 1`. Try: raise `max_calls`"
        ),
        "{verdict}"
    );
    assert!(page.contains(&verdict) && page.contains("─INVITE─") && page.contains("503 Service"), "{page}");
    assert!(page.contains(" began 20") && page.contains(" UTC ") && page.contains("carrier: Call-ID second"), "{page}");
    let record = until("it is recorded", || records(&edge).into_iter().next());
    assert_eq!(
        (&record["sip_code"], &record["outcome"], &record["reason"], &record["legs"][0]["trunk"]),
        (&json!(503), &json!("refused"), &json!("limit_calls"), &json!("carrier"))
    );
    let calls = String::from_utf8(finish(&["calls", "--url", &edge.url()]).stdout).unwrap();
    assert!(calls.lines().next().unwrap().contains("CODE"), "{calls}");
    assert!(calls.lines().any(|line| line.contains("503") && line.contains("limit_calls")), "{calls}");
    let shown = String::from_utf8(finish(&["calls", "show", &ended(&edge), "--url", &edge.url()]).stdout).unwrap();
    assert!(shown.contains("sip_code     503\n"), "{shown}");
    for (reason, help) in [
        ("limit_cals", "did you mean `limit_calls`?"),
        ("agent_xyzzyxyzzy", "did you mean one of agent_hung_up, "),
        ("nosuch", "`nosuch` is not a known reason: `trunkgate help reasons --markdown` lists all"),
    ] {
        let refused = finish(&["calls", "--reason", reason, "--url", &edge.url()]);
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        let refused = String::from_utf8(refused.stderr).unwrap();
        assert!(refused.contains(help) && refused.len() < 400, "{refused}");
    }
    // The refused call did not count for the trunk: its slot is free once the first call has ended, and not before.
    first.hang_up(2, &caller, &callee);
    assert_eq!(edge.metric("trunkgate_calls_active{trunk=\"carrier\"}"), 0.0);
    Call::set_up(&edge, "third", &caller, &callee).hang_up(2, &caller, &callee);
    until("all are recorded once", || (records(&edge).len() == 3).then_some(()));
    let question = ["--from", "carrier", "--called", NUMBER];
    let file = edge.file.to_str().unwrap();
    let why = finish(&[&["--config", file, "why"][..], &question[..]].concat()).stdout;
    assert!(String::from_utf8_lossy(&why).contains("limits of carrier: max_calls 1 (503 beyond them)\n"));
}

#[test]
fn a_call_while_draining_leaves_a_trace() {
    let (caller, callee) = phones();
    let edge = edge((&caller, ""), (&callee, ""));
    assert_eq!(edge.post("/v1/drain", &json!({"on": true})).0, 202);
    assert!(refused(&edge, &caller, "late").starts_with("SIP/2.0 503"));
    let record = until("it is recorded", || records(&edge).into_iter().next());
    assert_eq!((&record["reason"], &record["outcome"]), (&json!("draining"), &json!("refused")));
    assert!(trace(&edge).1.starts_with("Not answered (503): the edge is draining."), "{}", trace(&edge).1);
}

#[test]
fn a_target_that_a_limit_stopped_stands_in_the_verdict() {
    let (caller, callee) = phones();
    let edge = edge((&caller, ""), (&callee, "max_calls = 1\npace = \"0s\"\n"));
    let first = Call::set_up(&edge, "first", &caller, &callee);
    refused(&edge, &caller, "second");
    let told = "too many concurrent calls: trunk pbx, `max_calls = 1`. Tried: pbx. Try: raise `max_calls`";
    assert!(trace(&edge).1.contains(told), "{}", trace(&edge).1);
    first.hang_up(2, &caller, &callee);
}

#[test]
fn a_flood_of_refused_calls_pushes_no_other_out() {
    let (caller, callee) = phones();
    let edge = edge((&caller, "max_calls = 1\n"), (&callee, ""));
    let first = Call::set_up(&edge, "first", &caller, &callee);
    first.hang_up(2, &caller, &callee);
    let kept = edge.sid();
    let live = Call::set_up(&edge, "live", &caller, &callee);
    for n in 0..200 {
        refused(&edge, &caller, &format!("flood-{n}"));
    }
    let counted = edge.metric("trunkgate_calls_total{trunk=\"carrier\",route=\"\",outcome=\"refused\"}");
    assert_eq!(counted, 200.0);
    let calls = edge.json("/v1/calls?limit=1000");
    let calls = calls["calls"].as_array().unwrap();
    let refused = calls.iter().filter(|call| call["reason"] == "limit_calls").count();
    // Ten calls are recorded at once, and ten per second after that, for any duration.
    assert!((10..=200).contains(&refused), "{refused}");
    assert!(calls.iter().any(|call| call["sid"] == kept.as_str()));
    // Newest calls are first, across both kinds.
    let ends: Vec<&str> = calls.iter().filter_map(|call| call["ended_at"].as_str()).collect();
    assert!(ends.is_sorted_by(|a, b| a >= b), "{ends:?}");
    live.hang_up(2, &caller, &callee);
}

#[test]
fn where_no_target_is_there_the_call_has_failed() {
    let (caller, callee) = phones();
    // One target has a closed port, and the other does not respond.
    let closed = closed_address();
    for (peer, reason, patience) in [(closed, "unreachable", 30), (callee.sip.address, "no_response", 1)] {
        let trunk = format!(
            "[trunk.pbx]\npeers = [\"sip:{peer}\"]\noptions_interval = \"0s\"\nno_response_timeout = \"{patience}s\"\n"
        );
        let edge = Process::start(&config(&(caller.trunk("carrier") + &trunk + ROUTE)));
        assert!(refused(&edge, &caller, reason).starts_with("SIP/2.0 503"));
        let record = until("it is recorded", || records(&edge).into_iter().next());
        assert_eq!((&record["reason"], &record["outcome"]), (&json!(reason), &json!("failed")), "{record}");
        // The alert TrunkgateCallsFailing uses this metric.
        assert!(edge.get("/metrics").1.contains(",outcome=\"failed\"} 1\n"));
        let (page, verdict) = trace(&edge);
        assert!(
            verdict.contains("Tried: pbx. Try: check whether it runs")
                || verdict.contains("Tried: pbx. Try: check its address"),
            "{verdict}"
        );
        assert!(page.contains("503 Service"), "the last word to the caller: {page}");
    }
}

#[test]
fn the_ladder_ends_with_what_the_caller_was_told_once() {
    let (caller, callee) = phones();
    let edge = edge((&caller, ""), (&callee, ""));
    let sip = edge.address("udp");
    // There is no route.
    let elsewhere = edge_without_route(&caller);
    assert!(refused(&elsewhere, &caller, "nowhere").starts_with("SIP/2.0 404"));
    assert_eq!(trace(&elsewhere).0.matches("404 Not Fou").count(), 1, "{}", trace(&elsewhere).0);
    // The callee is busy.
    caller.sip.send(sip, &caller.sip.request("INVITE", NUMBER, sip, "busy", 1, ""));
    let (invite, from) = callee.sip.receive("INVITE ");
    callee.sip.send(from, &callee.sip.answer_with(&invite, "486 Busy Here", ""));
    let (busy, _) = caller.sip.receive("SIP/2.0 486");
    acknowledge(&caller, sip, "busy", &busy);
    assert_eq!(trace(&edge).0.matches("486 Busy").count(), 2, "{}", trace(&edge).0);
    // The caller cancels.
    caller.sip.send(sip, &caller.sip.request("INVITE", NUMBER, sip, "gone", 1, ""));
    // This must not be a retransmission of the previous call.
    let (invite, from) = std::iter::repeat_with(|| callee.sip.receive("INVITE "))
        .find(|(again, _)| field(again, "Call-ID") != field(&invite, "Call-ID"))
        .unwrap();
    callee.sip.send(from, &callee.sip.answer_with(&invite, "180 Ringing", ""));
    caller.sip.receive("SIP/2.0 180");
    let cancel = caller.sip.request_with("CANCEL", NUMBER, sip, "gone", (1, ""), "");
    caller.sip.send(sip, &cancel.replacen("CANCEL1;", "INVITE1;", 1));
    let (refusal, _) = caller.sip.receive("SIP/2.0 487");
    acknowledge(&caller, sip, "gone", &refusal);
    callee.sip.receive("CANCEL ");
    // The trace shows each transmission: the response is retransmitted if the ACK is late (RFC 3261 §17.2.1).
    let shown = trace(&edge).0.matches("487 Request").count();
    assert!(shown == 1 || caller.sip.receive_any("SIP/2.0 487").0 == refusal, "{}", trace(&edge).0);
}

/// Starts an edge that knows the caller, but has no route for its calls.
fn edge_without_route(caller: &Phone) -> Process {
    let route = "[[route]]\nfrom = [\"carrier\"]\nto = [\"+99*\"]\nconnect = [\"reject:404\"]\n";
    Process::start(&config(&(caller.trunk("carrier") + route)))
}

#[test]
fn a_refused_reload_says_first_what_is_wrong() {
    let (caller, callee) = phones();
    let edge = edge((&caller, ""), (&callee, ""));
    let good = std::fs::read_to_string(&edge.file).unwrap();
    // A warning (the port range begins with an odd port) precedes the error.
    let warned = media_ports::replaced(&good, 20_001, 24_096);
    std::fs::write(&edge.file, warned + "[trunk.other]\npears = 1\n").unwrap();
    let (status, answer) = edge.post("/v1/reload", &json!({}));
    let text = answer["error"]["message"].as_str().unwrap();
    assert!(status == 422 && text.starts_with("error[") && text.contains("warning[TG0105]"), "{text}");
    let line =
        until("it is logged", || edge.log().lines().find(|line| line.contains("reload rejected")).map(str::to_owned));
    assert!(line.contains("ERROR"), "{line}");
    let told = String::from_utf8(finish(&["reload", "--url", &edge.url()]).stderr).unwrap();
    assert!(told.ends_with("\nreload rejected: the running configuration is unchanged\n"), "{told}");
}

/// The carrier is `up` and rejects every call.
#[test]
fn a_carrier_that_rejects_every_call_is_the_first_problem_with_its_codes_and_words_until_it_answers() {
    let (caller, callee) = phones();
    let edge = edge((&caller, ""), (&callee, ""));
    let party = callee.sip.shared();
    let rejects = std::thread::spawn(move || {
        for n in 0..4 {
            let (invite, from) = party.receive("INVITE ");
            let status = if n < 3 { "403 Forbidden" } else { "404 Not Found" };
            let answer = party.answer(&invite, status, false);
            let reason = "\r\nReason: Q.850;cause=21;text=\"Call Rejected +14155550100\"\r\nCSeq";
            party.send(from, &if n < 3 { answer.replacen("\r\nCSeq", reason, 1) } else { answer });
            party.receive("ACK ");
        }
    });
    for n in 0..4 {
        refused(&edge, &caller, &format!("rejected-{n}"));
    }
    rejects.join().unwrap();
    let (page, verdict) = trace(&edge);
    assert!(verdict.starts_with("Not answered (404): pbx answered 404 Not Found. Tried: pbx."), "{verdict}");
    assert!(page.contains("check `send_numbers`"), "{page}");
    let problems = edge.json("/v1/status")["problems"].clone();
    let first = problems[0].as_str().unwrap();
    assert_documented(&edge);
    // Numbers that do not exist may be faults of the caller.
    let told = "trunk pbx rejected 3 of 4 calls in the last hour, and their callers were lost: 3× 403 Forbidden \"Call Rejected +1415****100\" (Q.850 21, call rejected); \
                try: Check the allow list";
    assert!(first.starts_with(told), "{first}");
    let with_code = edge.json("/v1/calls?code=403")["calls"].clone();
    assert_eq!(with_code.as_array().unwrap().len(), 3);
    let leg = &with_code[0]["legs"][1];
    let text = "Forbidden \"Call Rejected +1415****100\" (Q.850 21, call rejected)";
    assert_eq!((&leg["sip_code"], &leg["sip_text"]), (&json!(403), &json!(text)));
    let listed = finish(&["calls", "ls", "--code", "404", "--url", &edge.url()]).stdout;
    assert_eq!(String::from_utf8(listed).unwrap().lines().count(), 2, "a head and a call");
    let shown = String::from_utf8(finish(&["calls", "show", "last", "--url", &edge.url()]).stdout).unwrap();
    assert!(shown.contains("rejected     pbx answered 404 Not Found\n"), "{shown}");
    assert!(!edge.whole_log().contains("+14155550100"), "{}", edge.log());
    // Next to the route, by a running edge, and by the configuration file of a running edge.
    let question = ["--from", "carrier", "--called", NUMBER];
    let by_edge = finish(&[&["why", "--url", &edge.url()][..], &question].concat()).stdout;
    let file = std::fs::read_to_string(&edge.file).unwrap();
    let (known, unknown) = (tempfile::tempdir().unwrap(), edge.file.to_str().unwrap());
    let known = known.path().join("known.toml");
    let http = format!("[http]\naddress = \"{}\"", edge.address("http"));
    std::fs::write(&known, file.replace("[http]\naddress = \"127.0.0.1:0\"", &http)).unwrap();
    let by_file = |file: &str, from: &str| finish(&["--config", file, "why", "--from", from, "--called", NUMBER]);
    let told = "\n    now up; rejected 3 of 4 calls in the last hour (3× 403 Forbidden \"Call Rejected +1415****100\" (Q.850 21, call rejected), \
         on which no other target is tried)\n";
    for page in [by_edge, by_file(known.to_str().unwrap(), "carrier").stdout] {
        let page = String::from_utf8(page).unwrap();
        assert!(page.contains(told), "{page}");
    }
    // No running edge is known by this file, which leaves the port to the system.
    let page = String::from_utf8(by_file(unknown, "carrier").stdout).unwrap();
    assert!(page.contains("\n  states of the targets are unknown: running edge not queried\n"), "{page}");
    let mistyped = by_file(unknown, "carier");
    let error = String::from_utf8(mistyped.stderr).unwrap();
    assert!(error.ends_with("`carier` is neither a trunk nor an address: did you mean \"carrier\"?\n"), "{error}");
    assert_eq!(mistyped.status.code(), Some(2));
    let records = until("all are recorded", || Some(records(&edge)).filter(|records| records.len() == 4));
    assert!(records.iter().all(|record| record["legs"][1]["sip_code"].is_u64()), "{records:?}");
    for n in 0..3 {
        let problems = edge.json("/v1/status")["problems"].as_array().unwrap().len();
        assert_eq!(problems, 1, "one good call may be chance, {n} were");
        let call = Call::set_up(&edge, &format!("answered-{n}"), &caller, &callee);
        call.hang_up(2, &caller, &callee);
    }
    assert_eq!(edge.json("/v1/status")["problems"], json!([]), "it is good again");
}

/// A single call is enough if the next one will fail too; a trunk with an unreachable next hop is at fault as
/// well.
#[test]
fn a_trunk_that_refuses_credentials_or_times_out_behind_it_is_a_problem() {
    let (caller, callee) = phones();
    let edge = edge((&caller, ""), (&callee, ""));
    let answers = |status: &'static str, calls: usize| {
        let party = callee.sip.shared();
        let answers = std::thread::spawn(move || {
            for _ in 0..calls {
                let (invite, from) = party.receive("INVITE ");
                let challenge = "\r\nProxy-Authenticate: Digest realm=\"a\", nonce=\"1\"\r\nCSeq";
                party.send(from, &party.answer(&invite, status, false).replacen("\r\nCSeq", challenge, 1));
                party.receive("ACK ");
            }
        });
        for n in 0..calls {
            refused(&edge, &caller, &format!("{}-{n}", &status[..3]));
        }
        answers.join().unwrap();
        let shown = String::from_utf8(finish(&["status", "--url", &edge.url()]).stdout).unwrap();
        (edge.json("/v1/status")["problems"][0].as_str().unwrap_or_default().to_owned(), shown)
    };
    let (problem, shown) = answers("407 Proxy Authentication Required", 1);
    let told = "trunk pbx rejected 1 of 1 calls in the last hour, and their callers were lost: 1× 407";
    assert!(problem.starts_with(told), "{problem}");
    assert!(problem.contains("Set `auth` of the trunk"), "{problem}");
    assert!(shown.contains("answered 0 of 1   "), "no grade of a single call: {shown}");
    Call::set_up(&edge, "good", &caller, &callee).hang_up(2, &caller, &callee);
    let (problem, shown) = answers("408 Request Timeout", 3);
    assert!(problem.starts_with("trunk pbx rejected 4 of 5 calls"), "{problem}");
    assert!(problem.contains("3× 408 Request Timeout"), "{problem}");
    assert!(shown.contains("answered 1 of 5   "), "{shown}");
}
