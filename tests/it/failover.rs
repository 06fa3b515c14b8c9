//! Failing targets through the real binary: the call ends where its route leads, with one record, and its trace has
//! each attempt.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

use crate::support::calls::{Call, NUMBER, Phone};
use crate::support::sip::{field, to_tag};
use crate::support::{PATIENCE, Process, closed_address, config, finish, until, whole_lines};
use serde_json::Value;

/// Edge that calls `primary` and then `backup`, with a caller and the phones of both targets.
struct Rig {
    caller: Phone,
    primary: Phone,
    backup: Phone,
    edge: Process,
    /// Call-IDs of the INVITEs that the edge has sent.
    seen: RefCell<BTreeSet<String>>,
}

/// Timeout of a target that is long enough for a slow machine to cause no failover.
const SILENT: &str = "no_response_timeout = \"30s\"\n";

impl Rig {
    /// Starts the edge. `primary`: URI of the first target's peer, if that is not the phone; `times`: timeouts of the
    /// first target.
    fn new(primary: Option<String>, times: &str) -> Rig {
        let [caller, phone, backup] = [(); 3].map(|()| Phone::new("127.0.0.1"));
        let uri = primary.unwrap_or_else(|| format!("sip:{}", phone.sip.address));
        let edge = Process::start(&config(&format!(
            "{}{}{SILENT}[trunk.primary]\npeers = [\"{uri}\"]\noptions_interval = \"0s\"\n{times}\n[cdr]\nfile = \"cdr.jsonl\"\n\
             [[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:primary\", \"trunk:backup\"]\n",
            caller.trunk("carrier"),
            backup.trunk("backup"),
        )));
        Rig { caller, primary: phone, backup, edge, seen: RefCell::default() }
    }

    fn dial(&self, id: &str) {
        let sip = self.edge.address("udp");
        let offer = self.caller.description(1, "");
        self.caller.sip.send(sip, &self.caller.sip.request_with("INVITE", NUMBER, sip, id, (1, ""), &offer));
    }

    /// Receives the INVITE at the first target.
    fn rings(&self) -> (String, SocketAddr) {
        self.called(&self.primary)
    }

    /// Receives a new INVITE at a phone, skipping retransmissions.
    fn called(&self, phone: &Phone) -> (String, SocketAddr) {
        loop {
            let invite = phone.sip.receive("INVITE ");
            if self.seen.borrow_mut().insert(field(&invite.0, "Call-ID").to_owned()) {
                return invite;
            }
        }
    }

    fn primary_says(&self, invite: &(String, SocketAddr), status: &str) {
        self.primary.sip.send(invite.1, &self.primary.sip.answer_with(&invite.0, status, ""));
    }

    /// Answers at the backup, which then is the only target of the call.
    fn backup_answers(&self, id: &str) -> Call {
        let invite = self.called(&self.backup);
        let answer = self.backup.description(1, "");
        Call::answered(self.edge.address("udp"), id, &self.caller, invite, (&self.backup, &answer))
    }

    /// Hangs up at the caller; checks that the only record of the call has both legs, and that the trace has these
    /// words in order.
    fn ends_at_the_backup(&self, call: &Call, words: &[&str]) {
        let sid = self.edge.sid();
        call.hang_up(2, &self.caller, &self.backup);
        let record = self.record(&sid);
        assert_eq!((&record["outcome"], &record["failovers"]), (&"answered".into(), &1.into()), "{record}");
        assert_eq!(legs(&record), ["carrier", "primary", "backup"], "{record}");
        self.told(&sid, words);
    }

    /// Returns the only record of a call.
    fn record(&self, sid: &str) -> Value {
        let path = self.edge.file.with_file_name("cdr.jsonl");
        let of_call = || -> Option<Vec<Value>> {
            let text = std::fs::read_to_string(&path).ok()?;
            let records = whole_lines(&text).map(|line| serde_json::from_str(line).unwrap());
            Some(records.filter(|record: &Value| record["sid"] == sid).collect())
        };
        let records = until("the record is written", || of_call().filter(|records| !records.is_empty()));
        assert_eq!(records.len(), 1, "{records:?}");
        records[0].clone()
    }

    /// Checks that the trace of a call has these words in order, each with its time.
    fn told(&self, sid: &str, words: &[&str]) {
        let trace = self.edge.json(&format!("/v1/calls/{sid}/trace"));
        let mut left = trace["entries"].as_array().unwrap().iter();
        for word in words {
            let entry = left.find(|entry| entry["text"].as_str().is_some_and(|text| text.contains(word)));
            let entry = entry.unwrap_or_else(|| panic!("no {word:?} in its place in {trace}"));
            assert!(entry["at_us"].is_u64(), "{entry}");
        }
    }
}

fn legs(record: &Value) -> Vec<&str> {
    record["legs"].as_array().unwrap().iter().map(|leg| leg["trunk"].as_str().unwrap()).collect()
}

#[test]
fn codes_that_lead_on_end_at_the_backup() {
    let rig = Rig::new(None, SILENT);
    for code in [503, 500, 502, 504, 408, 429, 480] {
        let id = format!("on-{code}");
        rig.dial(&id);
        rig.primary_says(&rig.rings(), &format!("{code} Sorry"));
        rig.primary.sip.receive("ACK ");
        let call = rig.backup_answers(&id);
        rig.ends_at_the_backup(&call, &["target primary", &format!("answered {code}"), "target backup"]);
    }
    let status = rig.edge.json("/v1/status");
    let problem = &status["problem_details"][0];
    let headline = "trunk primary rejected 6 of 7 calls in the last hour, calls go to their next target";
    assert_eq!((&problem["harm"], &problem["headline"]), (&"detour".into(), &headline.into()), "{status}");
    let code = |flag: &[&str]| finish(&[&["status", "--url", &rig.edge.url()], flag].concat()).status.code();
    assert_eq!((code(&[]), code(&["--check"]), code(&["--check", "--json"])), (Some(0), Some(1), Some(1)));
}

#[test]
fn the_status_of_an_edge_without_problems_passes_the_check() {
    let rig = Rig::new(None, SILENT);
    let check = || finish(&["status", "--check", "--url", &rig.edge.url()]).status.code();
    assert_eq!(check(), Some(0));
    assert_eq!(rig.edge.post("/v1/drain", &serde_json::json!({"on": true})).0, 202);
    until("it takes no calls", || (check() == Some(1)).then_some(()));
}

/// Twilio tries no other address on these codes either: the caller receives the code, and no other target is tried.
#[test]
fn codes_of_the_stop_list_end_the_search_and_go_back_as_they_are() {
    let rig = Rig::new(None, SILENT);
    for (n, code) in [400, 404, 405, 410, 416, 482, 484, 486, 600, 603, 604, 606, 403, 410].into_iter().enumerate() {
        rig.dial(&format!("off-{n}"));
        rig.primary_says(&rig.rings(), &format!("{code} Sorry"));
        rig.primary.sip.receive("ACK ");
        let (refused, from) = rig.caller.sip.receive(&format!("SIP/2.0 {code}"));
        let sid = rig.edge.sid();
        let ack = rig.caller.sip.request("ACK", NUMBER, from, &format!("off-{n}"), 1, to_tag(&refused));
        rig.caller.sip.send(from, &ack.replace(&format!("off-{n}ACK1"), &format!("off-{n}INVITE1")));
        let record = rig.record(&sid);
        assert_eq!((&record["sip_code"], &record["failovers"]), (&code.into(), &0.into()), "{record}");
        assert_eq!(legs(&record), ["carrier", "primary"]);
        rig.told(&sid, &["target primary", &format!("answered {code}")]);
    }
    assert!(rig.backup.sip.heard_nothing(), "no target is called after a final refusal");
    let status = rig.edge.json("/v1/status");
    let problem = &status["problem_details"][0];
    // A single rejected number is not a fault of the trunk, and a 606 concerns codecs.
    let headline = "trunk primary rejected 11 of 14 calls in the last hour, and their callers got no other target";
    assert_eq!((&problem["harm"], &problem["headline"]), (&"calls".into(), &headline.into()), "{status}");
    let fix = problem["fix"].as_str().unwrap();
    assert!(
        fix.starts_with("backup was not tried, because 410, ")
            && fix.contains(" are not in `failover_on` of [trunk.primary]"),
        "{fix}"
    );
    assert!(problem["since"].is_string(), "{problem}");
    let logged = until("the log has it", || rig.edge.log().contains("problem: trunk primary rejected").then_some(true));
    assert!(logged && rig.edge.metric("trunkgate_problems{harm=\"calls\"}") >= 1.0);
}

/// Twilio's origination, like any carrier, tries its next address on the code that the caller receives.
#[test]
fn where_nobody_is_reached_the_caller_s_network_may_try_elsewhere() {
    let closed = closed_address();
    let mut rig = Rig::new(Some(format!("sip:{closed}")), "");
    // The backup's socket is closed, too.
    rig.backup = Phone::new("127.0.0.1");
    rig.dial("nobody");
    let (refused, _) = rig.caller.sip.receive("SIP/2.0 503");
    assert!(!refused.contains("Retry-After"), "{refused}");
    let sid = rig.edge.sid();
    let record = rig.record(&sid);
    assert_eq!((&record["reason"], legs(&record).len()), (&"unreachable".into(), 3), "{record}");
    rig.told(&sid, &["target primary", "could not be sent", "target backup", "could not be sent"]);
}

#[test]
fn who_refuses_the_connection_is_left_at_once() {
    let closed = closed_address();
    let rig = Rig::new(Some(format!("sip:{closed};transport=tcp")), "");
    rig.dial("refused");
    let call = rig.backup_answers("refused");
    rig.ends_at_the_backup(&call, &["target primary", "could not be sent", "target backup"]);
}

/// Both targets answer: the first, which was silent, after failover, while the other one rings.
#[test]
fn who_is_silent_and_answers_late_is_hung_up_on() {
    let rig = Rig::new(None, "no_response_timeout = \"500ms\"");
    rig.dial("late");
    let late = rig.rings();
    let invite = rig.called(&rig.backup);
    rig.primary.sip.send(late.1, &rig.primary.sip.answer_with(&late.0, "200 OK", &rig.primary.description(1, "")));
    rig.primary.sip.receive("ACK ");
    let (bye, from) = rig.primary.sip.receive("BYE ");
    rig.primary.sip.send(from, &rig.primary.sip.answer_with(&bye, "200 OK", ""));
    let answer = rig.backup.description(1, "");
    let call = Call::answered(rig.edge.address("udp"), "late", &rig.caller, invite, (&rig.backup, &answer));
    assert_eq!(to_tag(&call.ok), call.tag);
    rig.ends_at_the_backup(&call, &["target primary", "no response from the target", "target backup"]);
}

/// The target rings without answering; then its 200 crosses the CANCEL.
#[test]
fn who_rings_for_ever_is_withdrawn_and_its_crossing_answer_hung_up_on() {
    let rig = Rig::new(None, &format!("{SILENT}ring_timeout = \"10s\""));
    rig.dial("rings");
    let invite = rig.rings();
    rig.primary_says(&invite, "180 Ringing");
    rig.caller.sip.receive("SIP/2.0 180");
    let (cancel, from) = rig.primary.sip.receive("CANCEL ");
    assert_eq!(field(&cancel, "Call-ID"), field(&invite.0, "Call-ID"));
    rig.primary.sip.send(from, &rig.primary.sip.answer_with(&cancel, "200 OK", ""));
    rig.primary.sip.send(from, &rig.primary.sip.answer_with(&invite.0, "200 OK", &rig.primary.description(1, "")));
    rig.primary.sip.receive("ACK ");
    let (bye, from) = rig.primary.sip.receive("BYE ");
    rig.primary.sip.send(from, &rig.primary.sip.answer_with(&bye, "200 OK", ""));
    let call = rig.backup_answers("rings");
    rig.ends_at_the_backup(
        &call,
        &["target primary", "180 Ringing", "no answer within the ring timeout", "target backup"],
    );
}

#[test]
fn who_loses_its_connection_while_it_rings_is_left_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let rig = Rig::new(Some(format!("sip:{};transport=tcp", listener.local_addr().unwrap())), SILENT);
    rig.dial("broken");
    let (mut stream, _) = listener.accept().unwrap();
    let invite = request(&mut stream);
    stream.write_all(rig.primary.sip.answer_with(&invite, "180 Ringing", "").as_bytes()).unwrap();
    rig.caller.sip.receive("SIP/2.0 180");
    drop((stream, listener));
    let call = rig.backup_answers("broken");
    rig.ends_at_the_backup(&call, &["target primary", "180 Ringing", "could not be sent", "target backup"]);
}

/// Reads a request with its body from a stream.
fn request(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut text, mut bytes) = (String::new(), [0; 4096]);
    loop {
        let len = stream.read(&mut bytes).unwrap();
        assert!(len > 0, "closed after {text}");
        text.push_str(&String::from_utf8_lossy(&bytes[..len]));
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && field(head, "Content-Length").parse::<usize>().unwrap() <= body.len()
        {
            return text;
        }
    }
}

/// The first target rings, and the next one would ring too: when the total time is over, the last one gets the call.
#[test]
fn when_the_time_of_the_search_is_over_the_last_target_is_next() {
    let [caller, one, two, last] = [(); 4].map(|()| Phone::new("127.0.0.1"));
    let trunks = [("carrier", &caller), ("one", &one), ("two", &two), ("last", &last)];
    let trunks: String = trunks.map(|(name, phone)| phone.trunk(name) + SILENT).concat();
    let edge = Process::start(&config(&format!(
        "{trunks}[[route]]\nfrom = [\"carrier\"]\nsearch_timeout = \"3s\"\n\
         connect = [\"trunk:one\", \"trunk:two\", \"trunk:last\"]\n"
    )));
    let path = edge.file.to_str().unwrap().to_owned();
    let why = finish(&["--config", &path, "why", "--from", "carrier", "--called", NUMBER]);
    let why = String::from_utf8(why.stdout).unwrap();
    assert!(why.contains("\n  the last target is tried after at most 3 s\ncarrier has "), "{why}");
    let rig = Rig { caller, primary: one, backup: last, edge, seen: RefCell::default() };
    rig.dial("time");
    let invite = rig.rings();
    rig.primary_says(&invite, "180 Ringing");
    let (cancel, from) = rig.primary.sip.receive("CANCEL ");
    rig.primary.sip.send(from, &rig.primary.sip.answer_with(&cancel, "200 OK", ""));
    rig.primary_says(&invite, "487 Request Terminated");
    let call = rig.backup_answers("time");
    let sid = rig.edge.sid();
    call.hang_up(2, &rig.caller, &rig.backup);
    rig.told(
        &sid,
        &["target one", "search_timeout: 3 s have passed, trying the last target, 1 left out", "target last"],
    );
    let legs = &rig.edge.json("/v1/calls")["calls"][0]["legs"];
    assert_eq!((&legs[1]["reason"], &legs[2]["trunk"]), (&"search_timeout".into(), &"last".into()), "{legs}");
    assert!(two.sip.heard_nothing(), "there was no time for it");
}

/// Two edges with routes to each other: the one that receives the call a second time ends the loop.
#[test]
fn a_call_that_goes_round_between_two_edges_ends_where_it_comes_by_again() {
    let caller = Phone::new("127.0.0.1");
    // The ports were free a moment ago.
    let [first, second] = ["127.0.0.21:0", "127.0.0.22:0"].map(|at| UdpSocket::bind(at).unwrap().local_addr().unwrap());
    let edge = |own: SocketAddr, other: SocketAddr| {
        let ip = own.ip();
        Process::start(&format!(
            "[edge]\nname = \"twin\"\n[[listen]]\ntransport = \"udp\"\naddress = \"{own}\"\n\
             [media]\naddress = [\"{ip}\"]\nthreads = 1\n[http]\naddress = \"127.0.0.1:0\"\n[cdr]\nfile = \"cdr.jsonl\"\n\
             {}[trunk.twin]\npeers = [\"sip:{other}\"]\noptions_interval = \"0s\"\n[[route]]\nconnect = [\"trunk:twin\"]\n",
            caller.trunk("carrier"),
        ))
    };
    let (one, two) = (edge(first, second), edge(second, first));
    let offer = caller.description(1, "");
    caller.sip.send(first, &caller.sip.request_with("INVITE", NUMBER, first, "round", (1, ""), &offer));
    let (refused, _) = caller.sip.receive("SIP/2.0 4");
    assert!(refused.starts_with("SIP/2.0 482"), "{refused}");
    // The call goes from the caller to the first edge, the second, the first and the second, which recognises it.
    for (edge, reasons) in [(&one, ["target_rejected", "target_rejected"]), (&two, ["loop", "target_rejected"])] {
        let calls = edge.json("/v1/calls");
        let mut told: Vec<_> = calls["calls"].as_array().unwrap().iter().map(|call| call["reason"].as_str()).collect();
        told.sort_unstable();
        assert_eq!(told, reasons.map(Some), "{calls}");
    }
}
