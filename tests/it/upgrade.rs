//! `trunkgate upgrade`: another process continues the answered calls on the same sockets, packet by packet.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};
use trunkgate_media::rtp::RtpHeader;
use trunkgate_runtime::handover::PROTOCOL;

use crate::support::calls::{Call, NUMBER, Phone, Speaking, received, rtp};
use crate::support::listener::Listener;
use crate::support::secure::{Media, described, offered};
use crate::support::sip::{Party, field, to_tag};
use crate::support::talk::{Rig, Talk, speech};
use crate::support::tcp_phone::{TcpPhone, authorization};
use crate::support::tls_proxy::TlsProxy;
use crate::support::{Process, config, finish, has_pid_namespaces, http, until, whole_lines};

/// Process that runs in place of the first one; killed on drop.
pub(crate) struct Successor(Pid);

impl Drop for Successor {
    fn drop(&mut self) {
        // It has ended with the test's edge, if that was stopped.
        let _ = kill(self.0, Signal::SIGKILL);
    }
}

fn status(url: &str) -> Value {
    let status = finish(&["status", "--json", "--url", url]);
    serde_json::from_slice(&status.stdout).unwrap_or_default()
}

/// Upgrades the edge at this URL; returns once the new process accepts calls.
pub(crate) fn upgrade(url: &str) -> Successor {
    let before = status(url)["started_at"].clone();
    let output = finish(&["upgrade", "--url", url]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let pid = until("the new process runs", || {
        let status = status(url);
        let is_new = status["started_at"].is_string() && status["started_at"] != before && status["state"] == "ready";
        status["pid"].as_i64().filter(|_| is_new)
    });
    Successor(Pid::from_raw(pid as i32))
}

fn phones() -> (Phone, Phone) {
    (Phone::new("127.0.0.1"), Phone::new("127.0.0.3"))
}

fn routes((caller, callee): (&Phone, &Phone), keys: &str, rest: &str) -> String {
    let trunks = caller.trunk("carrier") + keys + &callee.trunk("pbx") + keys;
    config(&format!("{trunks}[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n{rest}"))
}

/// Returns the sequence numbers of all packets that wait in a socket.
fn sequences(socket: &UdpSocket) -> Vec<u16> {
    socket.set_nonblocking(true).unwrap();
    let mut bytes = [0; 2048];
    let mut all = Vec::new();
    while let Ok((len, _)) = socket.recv_from(&mut bytes) {
        // Keep-alives have a header only.
        if len > 12 {
            all.push(RtpHeader::parse(&bytes[..len]).unwrap().sequence);
        }
    }
    socket.set_nonblocking(false).unwrap();
    all
}

fn consecutive(all: &[u16]) -> bool {
    all.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1))
}

/// Sends one packet each way.
fn talk(call: &Call, caller: &Phone, callee: &Phone, sequence: u16) {
    for (from, to, at, back) in [(caller, callee, call.near, call.far), (callee, caller, call.far, call.near)] {
        from.rtp.send_to(&rtp(9, sequence), at).unwrap();
        assert_eq!(received(&to.rtp), (rtp(9, sequence), back));
    }
}

#[test]
fn calls_go_on_over_two_upgrades_without_a_lost_packet_and_have_one_record_each() {
    let (caller, callee) = phones();
    let edge = Process::start(&routes((&caller, &callee), "", "[cdr]\nfile = \"cdr.jsonl\"\n"));
    let folder = edge.directory.path().to_owned();
    let call = Call::set_up(&edge, "kept", &caller, &callee);
    let sid = edge.sid();
    let speaking =
        [Speaking::new(&caller.rtp, call.near, |n| rtp(7, n)), Speaking::new(&callee.rtp, call.far, |n| rtp(8, n))];
    let (mut near, mut far) = (Vec::new(), Vec::new());
    let hear = |all: &mut Vec<u16>, phone: &Phone| {
        let before = all.len();
        until("audio is heard", || {
            all.extend(sequences(&phone.rtp));
            (all.len() > before + 10).then_some(())
        });
    };
    let mut successors = Vec::new();
    for upgrades in 0..=2 {
        if upgrades > 0 {
            successors.push(upgrade(&edge.url()));
        }
        hear(&mut near, &caller);
        hear(&mut far, &callee);
    }
    drop(speaking);
    assert!(consecutive(&near), "{near:?}");
    assert!(consecutive(&far), "{far:?}");
    let calls = edge.json("/v1/calls");
    assert_eq!((calls["calls"].as_array().unwrap().len(), &calls["calls"][0]["sid"]), (1, &json!(sid)), "{calls}");
    // The dialogs go on: a hold, a request of the callee, and the end.
    let held = caller.description(2, "a=sendonly\r\n");
    call.change(2, (&caller, &held), (&callee, &callee.description(2, "a=recvonly\r\n")));
    call.change(3, (&caller, &caller.description(3, "")), (&callee, &callee.description(3, "")));
    near.extend(sequences(&caller.rtp));
    far.extend(sequences(&callee.rtp));
    talk(&call, &caller, &callee, 1);
    let another = Call::set_up(&edge, "new", &caller, &callee);
    another.hang_up(2, &caller, &callee);
    call.hang_up(4, &caller, &callee);
    let records = until("both records are written", || {
        let text = std::fs::read_to_string(folder.join("cdr.jsonl")).ok()?;
        let all: Vec<Value> = whole_lines(&text).map(|line| serde_json::from_str(line).unwrap()).collect();
        (all.len() >= 2).then_some(all)
    });
    assert_eq!(records.len(), 2, "{records:?}");
    let record = records.iter().find(|record| record["sid"] == *sid).unwrap();
    assert_eq!((&record["outcome"], &record["reason"]), (&json!("answered"), &json!("caller_hung_up")), "{record}");
    // The last packets may have come while the sockets were read, and a few may be relayed between two snapshots.
    let relayed = |leg: usize| record["legs"][leg]["rtp"]["tx_packets"].as_u64().unwrap() as usize;
    let received = [near.len() + 1, far.len() + 1];
    assert!(relayed(0) + 3 >= received[0] && relayed(0) <= received[0] + 5, "{received:?} {record}");
    assert!(relayed(1) + 3 >= received[1] && relayed(1) <= received[1] + 5, "{received:?} {record}");
    // The first process stays as the parent of the others and ends with them.
    edge.signal(Signal::SIGTERM);
    let (status, _, log) = edge.end();
    assert!(status.success(), "{status}: {log}");
    assert!(log.contains("calls handed over to process"), "{log}");
    drop(successors);
}

/// Both directions continue under the same keys, and no packet index is used twice: the phones would reject a replay.
#[test]
fn srtp_goes_on_under_the_same_keys() {
    let (caller, callee) = phones();
    let edge = Process::start(&routes((&caller, &callee), "srtp = \"required\"\n", ""));
    let sip = edge.address("udp");
    let offer = described(&caller, 1, "0", Some((1, 3)), "sendrecv");
    caller.sip.send(sip, &caller.sip.request_with("INVITE", NUMBER, sip, "srtp", (1, ""), &offer));
    let invite = callee.sip.receive("INVITE ");
    let answer = described(&callee, 1, "0", Some((offered(&invite.0).unwrap().0, 9)), "sendrecv");
    let call = Call::answered(sip, "srtp", &caller, invite, (&callee, &answer));
    let mut near = Media::new(&caller, call.near, Some(3), &call.ok);
    let mut far = Media::new(&callee, call.far, Some(9), &call.invite.0);
    let both = |near: &mut Media<'_>, far: &mut Media<'_>, numbers: std::ops::Range<u16>| {
        for n in numbers {
            near.send(&rtp(7, n));
            assert_eq!(far.receive(), rtp(7, n));
            far.send(&rtp(8, n));
            assert_eq!(near.receive(), rtp(8, n));
        }
    };
    both(&mut near, &mut far, 1..50);
    let _successor = upgrade(&edge.url());
    both(&mut near, &mut far, 50..100);
    call.hang_up(2, &caller, &callee);
}

/// A call that rings cannot be handed over: its caller gets a 503 at once, and the phone stops ringing.
#[test]
fn a_call_that_rings_ends_cleanly() {
    let (caller, callee) = phones();
    let edge = Process::start(&routes((&caller, &callee), "", ""));
    let sip = edge.address("udp");
    let invite = caller.sip.request_with("INVITE", NUMBER, sip, "rings", (1, ""), &caller.description(1, ""));
    caller.sip.send(sip, &invite);
    let (invite, from) = callee.sip.receive("INVITE ");
    callee.sip.send(from, &callee.sip.answer_with(&invite, "180 Ringing", ""));
    caller.sip.receive("SIP/2.0 180");
    let url = edge.url();
    let _successor = std::thread::scope(|scope| {
        let upgrading = scope.spawn(|| upgrade(&url));
        let (canceled, from) = callee.sip.receive("CANCEL ");
        callee.sip.send(from, &callee.sip.answer_with(&canceled, "200 OK", ""));
        callee.sip.send(from, &callee.sip.answer_with(&invite, "487 Request Terminated", ""));
        upgrading.join().unwrap()
    });
    let (refused, _) = caller.sip.receive("SIP/2.0 503");
    assert!(field(&refused, "Reason").contains("draining") || refused.contains("Retry-After"), "{refused}");
}

#[test]
fn an_installed_program_that_rejects_the_file_leaves_everything_as_it_is() {
    let (caller, callee) = phones();
    let text = routes((&caller, &callee), "", "");
    let edge = Process::start(&text);
    let call = Call::set_up(&edge, "stays", &caller, &callee);
    let refusals = [
        (text.replace("[media]", "[mediaa]"), "rejects the configuration"),
        (
            text.replace("address = \"127.0.0.1:0\"\n[media]", "address = \"127.0.0.9:0\"\n[media]"),
            "[[listen]] has changed",
        ),
    ];
    for (changed, why) in refusals {
        std::fs::write(&edge.file, changed).unwrap();
        let (code, refused) = edge.post("/v1/upgrade", &Value::Null);
        assert_eq!((code, &refused["error"]["code"]), (422, &json!("not_upgraded")), "{refused}");
        assert!(refused["error"]["message"].as_str().unwrap().contains(why), "{refused}");
        talk(&call, &caller, &callee, 1);
    }
    std::fs::write(&edge.file, text).unwrap();
    let output = finish(&["upgrade", "--url", &edge.url()]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.contains("1 call handed over"), "{said}{:?}", output.stderr);
    let pid = said.split("process ").nth(1).unwrap().split(|at: char| !at.is_ascii_digit()).next().unwrap();
    let _successor = Successor(Pid::from_raw(pid.parse().unwrap()));
    talk(&call, &caller, &callee, 2);
    call.hang_up(2, &caller, &callee);
}

/// Replaces the installed program by a script; `check` succeeds.
fn install(edge: &Process, run: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let (new, program) = (edge.directory.path().join("new"), edge.directory.path().join("program"));
    std::fs::write(&new, format!("#!/bin/sh\ncase \"$*\" in *check) exit 0;; esac\n{run}\n")).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(&new, &program).unwrap();
}

/// Returns a command that says to the running edge that it is ready.
fn ready(edge: &Process, protocol: u32) -> String {
    let any = "127.0.0.1:0";
    let places = json!({
        "sip": [["u", "udp", any], ["t", "tcp", any]], "http": any, "api": null, "challenge": null,
        "data": edge.directory.path(), "is_data_required": false, "records": null,
    });
    let message = json!({ "Ready": { "protocol": protocol, "version": "9.9.9", "places": places } }).to_string();
    let file = edge.directory.path().join("message");
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    std::fs::write(&file, [&length[..], &[0; 4], message.as_bytes()].concat()).unwrap();
    format!("cat {} >&0", file.display())
}

/// A new program that ends, in whichever step, loses no call. The old process continues the calls as long as it has
/// them; after the handover, the old program is started again.
#[test]
fn a_new_program_that_ends_leaves_the_calls_to_the_old_one() {
    let (caller, callee) = phones();
    let edge = Process::start_copied(&routes((&caller, &callee), "", ""));
    let url = edge.url();
    let call = Call::set_up(&edge, "stays", &caller, &callee);
    let mut phone = TcpPhone::connect("127.0.0.1", edge.address("tcp"));
    let mut is_answered = |n: u32| {
        phone.send(&phone.request("OPTIONS", edge.address("tcp"), "stays", (n, ""), ""));
        field(&phone.receive("SIP/2.0 200"), "CSeq") == format!("{n} OPTIONS")
    };
    assert!(is_answered(1));
    let refusals = [
        ("exit 1".to_owned(), "has not become ready"),
        ("echo nonsense >&0; sleep 60".to_owned(), "has not become ready"),
        (format!("{}; sleep 60", ready(&edge, 0)), "uses another handover format"),
    ];
    for (script, why) in refusals {
        install(&edge, &script);
        let (code, refused) = edge.post("/v1/upgrade", &Value::Null);
        assert_eq!((code, &refused["error"]["code"]), (422, &json!("not_upgraded")), "{refused}");
        assert!(refused["error"]["message"].as_str().unwrap().contains(why), "{refused}");
        talk(&call, &caller, &callee, 1);
    }
    let before = status(&url)["started_at"].clone();
    // It ends only after the verdict: before that, the old process would refuse it and keep the calls.
    install(&edge, &format!("{}; head -c 1 >/dev/null", ready(&edge, PROTOCOL)));
    let output = finish(&["upgrade", "--url", &url]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("runs again with its calls"), "{said}");
    assert_ne!(status(&url)["started_at"], before);
    talk(&call, &caller, &callee, 2);
    assert!(is_answered(2));
    call.hang_up(2, &caller, &callee);
    let line = until("the process is named", || {
        edge.log().lines().find(|line| line.contains("calls handed over to process")).map(str::to_owned)
    });
    let pid = line.split("process ").nth(1).unwrap().split(':').next().unwrap().parse().unwrap();
    drop(Successor(Pid::from_raw(pid)));
}

/// Another process with the same path takes over; the first one stays until its signal. A process that ends hands its
/// calls over as well, and its successor accepts calls.
#[test]
fn a_process_started_elsewhere_takes_over_at_the_socket() {
    let (caller, callee) = phones();
    let mut first = Process::start_for_takeover(&routes((&caller, &callee), "", ""));
    let call = Call::set_up(&first, "kept", &caller, &callee);
    // A process that connects and says nothing does not keep others from taking over.
    let _silent = std::os::unix::net::UnixStream::connect(first.directory.path().join("edge.sock")).unwrap();
    let mut second = first.start_successor();
    assert_eq!(second.address("udp"), first.address("udp"));
    talk(&call, &caller, &callee, 1);
    until("the first process waits", || first.log().contains("waits for SIGTERM").then_some(()));
    first.signal(Signal::SIGTERM);
    until("the first process ends", || (!first.is_running()).then_some(()));
    talk(&call, &caller, &callee, 2);
    second.signal(Signal::SIGTERM);
    until("the second process drains", || second.log().contains("draining for at most").then_some(()));
    let third = second.start_successor();
    until("the second process ends", || (!second.is_running()).then_some(()));
    talk(&call, &caller, &callee, 3);
    let another = Call::set_up(&third, "new", &caller, &callee);
    another.hang_up(2, &caller, &callee);
    call.hang_up(2, &caller, &callee);
    third.signal(Signal::SIGTERM);
    let directory = std::sync::Arc::clone(&third.directory);
    let (status, _, log) = third.end();
    assert!(status.success(), "{status}: {log}");
    assert!(!directory.path().join("edge.sock").exists());
    drop((first, second));
}

/// To a process in another container, the first one has no process ID.
#[test]
fn a_process_in_another_pid_namespace_takes_over() {
    if !has_pid_namespaces() {
        return;
    }
    let (caller, callee) = phones();
    let first = Process::start_for_takeover(&routes((&caller, &callee), "", ""));
    let call = Call::set_up(&first, "kept", &caller, &callee);
    let second = first.start_first_successor();
    until("the first process waits", || first.log().contains("waits for SIGTERM").then_some(()));
    talk(&call, &caller, &callee, 1);
    call.hang_up(2, &caller, &callee);
    drop(second);
}

#[test]
fn a_process_with_other_addresses_is_told_why_it_may_not_take_over() {
    let (caller, callee) = phones();
    let text = routes((&caller, &callee), "", "");
    let edge = Process::start_for_takeover(&text);
    let call = Call::set_up(&edge, "stays", &caller, &callee);
    let now = std::fs::read_to_string(&edge.file).unwrap();
    let other = "address = \"127.0.0.9:0\"\n[media]";
    std::fs::write(&edge.file, now.replace("address = \"127.0.0.1:0\"\n[media]", other)).unwrap();
    let refused = edge.refused_successor();
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{why}");
    assert!(why.contains("[[listen]] has changed"), "{why}");
    talk(&call, &caller, &callee, 1);
    call.hang_up(2, &caller, &callee);
}

/// Checks the numbers of an agent's messages: no message is missing, and the media time goes on.
#[derive(Default)]
struct Numbers {
    sequence: u64,
    chunk: u64,
}

impl Numbers {
    fn check(&mut self, message: &Value) {
        let number = |value: &Value| value.as_str().unwrap().parse::<u64>().unwrap();
        let sequence = number(&message["sequenceNumber"]);
        assert!(self.sequence == 0 || sequence == self.sequence + 1, "{message} after {}", self.sequence);
        self.sequence = sequence;
        if message["event"] == "media" {
            let media = &message["media"];
            assert!(self.chunk == 0 || number(&media["chunk"]) == self.chunk + 1, "{message} after {}", self.chunk);
            self.chunk = number(&media["chunk"]);
            assert_eq!(number(&media["timestamp"]), (self.chunk - 1) * 20);
        }
    }
}

/// The agent notices nothing: the same connection and stream, every message numbered, every mark in time. The caller
/// hears its queued audio sample by sample.
#[test]
fn an_agent_goes_on_in_its_conversation() {
    goes_on_in_its_conversation(&Rig::new(""));
}

/// Both sides keep their keys: rustls of the agent accepts every record of three processes.
#[test]
fn an_agent_over_tls_goes_on_in_its_conversation() {
    for version in [&TLS13, &TLS12] {
        let (rig, proxy) = Rig::over_tls(&[version]);
        goes_on_in_its_conversation(&rig);
        assert_eq!(proxy.accepted(), 1);
    }
}

fn goes_on_in_its_conversation(rig: &Rig) {
    let url = rig.edge.url();
    let mut talk = rig.call("agent", "0");
    let sid = talk.start["streamSid"].clone();
    let near = talk.near;
    let speaking = Speaking::new(&rig.caller.rtp, near, |n| rtp(7, n));
    let audio = speech(24_000);
    for (n, piece) in audio.chunks(4000).enumerate() {
        talk.say(piece);
        talk.mark(&format!("m{n}"));
    }
    let mut numbers = Numbers::default();
    let mut next_mark = |talk: &mut Talk, expected: usize| loop {
        let message = talk.next_of(&["mark", "media", "stop", "start"]);
        assert!(message["event"] != "stop" && message["event"] != "start", "{message}");
        numbers.check(&message);
        talk.take_in();
        if message["event"] == "mark" {
            assert_eq!(message["mark"]["name"], format!("m{expected}"));
            assert_eq!(message["mark"]["playedMs"], ((expected + 1) * 500).to_string());
            return;
        }
    };
    next_mark(&mut talk, 0);
    let _first = upgrade(&url);
    next_mark(&mut talk, 1);
    let _second = upgrade(&url);
    (2..6).for_each(|expected| next_mark(&mut talk, expected));
    talk.until_silence();
    assert_eq!(talk.audio(), audio);
    drop(speaking);
    let calls = rig.edge.json("/v1/calls");
    let forks: Vec<&Value> =
        calls["calls"][0]["legs"].as_array().unwrap().iter().filter(|leg| leg["kind"] == "agent").collect();
    assert_eq!((forks.len(), &forks[0]["state"]), (1, &json!("answered")), "{calls}");
    let played = forks[0]["rtp"]["rx_packets"].as_u64().unwrap();
    // A few may be relayed between the snapshot of the call and that of its media.
    assert!((147..=152).contains(&played), "{played} of 150 packets of the agent: {calls}");
    let bye = rig.caller.sip.request_with("BYE", NUMBER, rig.edge.address("udp"), "agent", (2, &talk.tag), "");
    rig.caller.sip.send(rig.edge.address("udp"), &bye);
    assert_eq!(talk.next("stop")["streamSid"], sid);
}

/// Sends a re-INVITE from one phone of a call to the other; both confirm it on their connections.
fn change((from, request, ack): (&mut TcpPhone, &str, &str), (to, answer): (&mut TcpPhone, &str)) {
    from.send(request);
    let invite = to.receive("INVITE ");
    to.send(&to.answer(&invite, "200 OK", answer));
    to.receive("ACK ");
    from.receive("SIP/2.0 200");
    from.send(ack);
}

/// A connection that the caller has opened and one that the edge has opened: both go on, in both directions.
#[test]
fn a_call_over_tcp_keeps_its_connections_over_two_upgrades() {
    let listener = TcpListener::bind("127.0.0.3:0").unwrap();
    let edge = Process::start(&config(&format!(
        "[trunk.carrier]\naccept_from = [\"127.0.0.5/32\"]\n\
         [trunk.pbx]\npeers = [\"sip:{};transport=tcp\"]\noptions_interval = \"0s\"\n\
         [[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n",
        listener.local_addr().unwrap()
    )));
    let (url, sip) = (edge.url(), edge.address("tcp"));
    let mut caller = TcpPhone::connect("127.0.0.5", sip);
    caller.send(&caller.request("INVITE", sip, "tcp", (1, ""), &caller.phone.description(1, "")));
    let mut callee = TcpPhone::accept(&listener, Phone::new("127.0.0.3"));
    let invite = callee.receive("INVITE ");
    callee.send(&callee.answer(&invite, "200 OK", &callee.phone.description(1, "")));
    callee.receive("ACK ");
    let ok = caller.receive("SIP/2.0 200");
    let tag = to_tag(&ok).to_owned();
    caller.send(&caller.request("ACK", sip, "tcp", (1, &tag), ""));

    let _first = upgrade(&url);
    for (cseq, ours, theirs) in [(2, "a=sendonly\r\n", "a=recvonly\r\n"), (3, "", "")] {
        let offer = caller.phone.description(cseq, ours);
        let request = caller.request("INVITE", sip, "tcp", (cseq, &tag), &offer);
        let ack = caller.request("ACK", sip, "tcp", (cseq, &tag), "");
        let answer = callee.phone.description(cseq, theirs);
        change((&mut caller, &request, &ack), (&mut callee, &answer));
    }
    let _second = upgrade(&url);
    let offer = callee.phone.description(4, "a=sendonly\r\n");
    let of_callee = |callee: &TcpPhone, method: &str, cseq: u32, body: &str| {
        let (from, to, id) = (field(&invite, "To"), field(&invite, "From"), field(&invite, "Call-ID"));
        let uri = field(&invite, "Contact").trim_start_matches('<').split('>').next().unwrap();
        let (me, kind) =
            (callee.phone.sip.address, if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" });
        callee.on_stream(&format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bKcallee{method}{cseq}\r\nMax-Forwards: 70\r\n\
             From: {from};tag=callee\r\nTo: {to}\r\nCall-ID: {id}\r\nCSeq: {cseq} {method}\r\n\
             Contact: <sip:callee@{me}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    };
    let (request, ack) = (of_callee(&callee, "INVITE", 1, &offer), of_callee(&callee, "ACK", 1, ""));
    let answer = caller.phone.description(4, "a=recvonly\r\n");
    change((&mut callee, &request, &ack), (&mut caller, &answer));
    callee.send(&of_callee(&callee, "BYE", 2, ""));
    let bye = caller.receive("BYE ");
    caller.send(&caller.answer(&bye, "200 OK", ""));
    callee.receive("SIP/2.0 200");
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "the edge has opened no other connection");
}

/// Requests that a phone sends without a pause get one response each, in order, also one that is cut in half by the
/// upgrade.
#[test]
fn no_message_of_a_tcp_phone_is_lost_or_handled_twice() {
    let edge = Process::start(&config("[trunk.carrier]\naccept_from = [\"127.0.0.5/32\"]\n"));
    let (url, sip) = (edge.url(), edge.address("tcp"));
    let mut phone = TcpPhone::connect("127.0.0.5", sip);
    let halved = phone.request("OPTIONS", sip, "half", (1, ""), "");
    let (first, rest) = halved.split_at(halved.len() / 2);
    phone.send(&(phone.request("OPTIONS", sip, "whole", (1, ""), "") + first));
    assert_eq!(field(&phone.receive("SIP/2.0 200"), "Call-ID"), "whole");
    let _first = upgrade(&url);
    phone.send(rest);
    assert_eq!(field(&phone.receive("SIP/2.0 200"), "Call-ID"), "half");

    let (done, mut stream) = (AtomicBool::new(false), phone.stream());
    let template = phone.request("OPTIONS", sip, "many", (0, ""), "");
    let request =
        |n: u32| template.replace("OPTIONS0", &format!("OPTIONS{n}")).replace("CSeq: 0", &format!("CSeq: {n}"));
    let (sending, sent) = sync_channel(8);
    let _second = std::thread::scope(|scope| {
        scope.spawn(|| {
            let sending = sending;
            for n in (1..100_000).take_while(|n| *n < 200 || !done.load(Ordering::Relaxed)) {
                sending.send(n).unwrap();
                // Each message in two segments.
                let request = request(n);
                let (first, rest) = request.split_at(100);
                stream.write_all(first.as_bytes()).unwrap();
                std::thread::yield_now();
                stream.write_all(rest.as_bytes()).unwrap();
            }
        });
        scope.spawn(|| {
            for n in sent {
                // 503 while the edge takes no calls before the upgrade.
                assert_eq!(field(&phone.receive("SIP/2.0 "), "CSeq"), format!("{n} OPTIONS"));
            }
        });
        let successor = upgrade(&url);
        done.store(true, Ordering::Relaxed);
        successor
    });
}

/// Trunk of phones that register.
const REGISTRAR: &str = "[trunk.phones]\naccept_register = true\n\
    require_auth = { username = \"desk\", password = \"right\", algorithms = [\"SHA-256\"] }\n";

/// Returns a REGISTER for the user of [`REGISTRAR`].
fn register(party: &Party, edge: SocketAddr, cseq: u32, lines: &str) -> String {
    let text = party.request("REGISTER", "desk", edge, "register", cseq, "");
    text.replacen("Max-Forwards", &format!("{lines}Expires: 600\r\nMax-Forwards"), 1)
}

#[test]
fn registered_phones_are_called_after_an_upgrade() {
    for transport in ["udp", "tcp"] {
        let caller = Phone::new("127.0.0.5");
        let route = "[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:phones\"]\n";
        let edge = Process::start(&config(&format!("{}{REGISTRAR}{route}", caller.trunk("carrier"))));
        let (url, at) = (edge.url(), edge.address(transport));
        let uri = format!("sip:desk@{at}");
        let mut phone = TcpPhone::connect("127.0.0.6", edge.address("tcp"));
        let exchange = |phone: &mut TcpPhone, text: &str, what: &str| {
            if transport == "tcp" {
                phone.send(&phone.on_stream(text));
                return phone.receive(what);
            }
            phone.phone.sip.send(at, text);
            phone.phone.sip.receive(what).0
        };
        let text = register(&phone.phone.sip, at, 1, "");
        let challenge = exchange(&mut phone, &text, "SIP/2.0 401");
        let text = register(&phone.phone.sip, at, 2, &authorization(&challenge, "desk", "right", &uri));
        exchange(&mut phone, &text, "SIP/2.0 200");
        let _successor = upgrade(&url);
        let shown = status(&url)["trunks"].as_array().unwrap().iter().find(|trunk| trunk["name"] == "phones").cloned();
        assert_eq!(shown.unwrap()["phones"].as_array().unwrap().len(), 1);
        let sip = edge.address("udp");
        let invite = caller.sip.request_with("INVITE", NUMBER, sip, "call", (1, ""), &caller.description(1, ""));
        caller.sip.send(sip, &invite);
        let (invite, from) = match transport {
            "tcp" => (phone.receive("INVITE "), None),
            _ => {
                let (invite, from) = phone.phone.sip.receive("INVITE ");
                (invite, Some(from))
            }
        };
        let ok = phone.phone.sip.answer_with(&invite, "200 OK", &phone.phone.description(1, ""));
        match from {
            None => phone.send(&phone.on_stream(&ok)),
            Some(from) => phone.phone.sip.send(from, &ok),
        }
        let (ok, _) = caller.sip.receive("SIP/2.0 200");
        caller.sip.send(sip, &caller.sip.request_with("ACK", NUMBER, sip, "call", (1, to_tag(&ok)), ""));
        match transport {
            "tcp" => drop(phone.receive("ACK ")),
            _ => drop(phone.phone.sip.receive("ACK ")),
        }
    }
}

#[test]
fn a_banned_source_stays_banned() {
    let limits = "[limits]\nban = { after = 3, within = \"10m\", lasting = \"1h\" }\n";
    let edge = Process::start(&config(&format!("{limits}{REGISTRAR}")));
    let (url, at) = (edge.url(), edge.address("udp"));
    let guesser = Party::new("127.0.0.7");
    for n in 0..3 {
        guesser.send(at, &register(&guesser, at, 2 * n + 1, ""));
        let (challenge, _) = guesser.receive("SIP/2.0 401");
        let shown = authorization(&challenge, "desk", "wrong", &format!("sip:desk@{at}"));
        guesser.send(at, &register(&guesser, at, 2 * n + 2, &shown));
    }
    until("it is banned", || (edge.metric("trunkgate_sources_banned") == 1.0).then_some(()));
    let _successor = upgrade(&url);
    assert_eq!(edge.metric("trunkgate_sources_banned"), 1.0);
    drop(guesser.heard());
    guesser.send(at, &register(&guesser, at, 99, ""));
    until("the request is dropped", || {
        let (_, page) = http("GET", &format!("{url}/metrics"), &[], "");
        page.contains("trunkgate_sip_dropped_total{reason=\"banned\"} 1").then_some(())
    });
    assert!(guesser.heard_nothing());
}

/// A message that has not arrived completely cannot cross: the agent gets a new stream in the same call.
#[test]
fn an_agent_in_the_middle_of_a_message_is_connected_again() {
    let (rig, proxy) = Rig::over_tls(&[&TLS13]);
    let mut talk = rig.call("agent", "0");
    let sid = talk.start["start"]["callSid"].clone();
    let mark = br#"{"event":"mark","mark":{"name":"m"}}"#;
    let whole = [&[0x81, u8::try_from(mark.len()).unwrap()], &mark[..]].concat();
    // The beginning of a second message comes with the first one, which is answered.
    talk.agent.get_mut().write_all(&[&whole[..], &whole[..9]].concat()).unwrap();
    assert_eq!(talk.next("mark")["mark"]["name"], "m");
    let _successor = upgrade(&rig.edge.url());
    let mut again = rig.talk(rig.connected(), talk.near, talk.tag.clone());
    assert_eq!(again.start["start"]["callSid"], sid);
    assert_eq!(proxy.accepted(), 2);
    let sip = rig.edge.address("udp");
    rig.caller.sip.send(sip, &rig.caller.sip.request_with("BYE", NUMBER, sip, "agent", (2, &talk.tag), ""));
    again.next("stop");
}

/// A listener over TLS gets every frame of both parties, in one stream.
#[test]
fn a_fork_over_tls_goes_on() {
    let (caller, callee) = phones();
    let scribe = Listener::start();
    let proxy = TlsProxy::new(scribe.address, &[&TLS13]);
    let url = format!("wss://localhost:{}/media", proxy.address.port());
    let agent = format!("[agent.scribe]\nurl = \"{url}\"\nca = {:?}\n", proxy.ca());
    let edge = Process::start(&routes((&caller, &callee), "", &agent));
    let call = Call::set_up(&edge, "forked", &caller, &callee);
    let speaking =
        [Speaking::new(&caller.rtp, call.near, |n| rtp(7, n)), Speaking::new(&callee.rtp, call.far, |n| rtp(8, n))];
    let (code, fork) = edge.post(&format!("/v1/calls/{}/forks", edge.sid()), &json!({ "agent": "scribe" }));
    assert_eq!(code, 201, "{fork}");
    let mut heard = [0, 0];
    let mut hear = || {
        let before = heard;
        let stream = scribe.first("both parties are heard", |stream| {
            stream.inbound.len() > before[0] + 10 && stream.outbound.len() > before[1] + 10
        });
        heard = [stream.inbound.len(), stream.outbound.len()];
        stream
    };
    hear();
    let _first = upgrade(&edge.url());
    hear();
    let _second = upgrade(&edge.url());
    let stream = hear();
    drop(speaking);
    for track in [&stream.inbound, &stream.outbound] {
        assert!((1..).zip(track).all(|(chunk, frame)| frame.chunk == chunk), "{track:?}");
    }
    call.hang_up(2, &caller, &callee);
    let stream = scribe.first("the end of the stream", |stream| stream.closed.is_some());
    assert_eq!((stream.stopped, stream.closed), (true, Some(Some(1000))));
    assert_eq!((scribe.streams().len(), proxy.accepted()), (1, 1));
}
