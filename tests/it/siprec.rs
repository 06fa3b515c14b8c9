//! Calls that recording servers record, through the real binary: both streams as RTP and SRTP, failover, pause, and
//! `required`.

#![allow(clippy::unwrap_used)] // helpers of tests are not `#[test]` themselves

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};

use crate::json::assert_documented;
use crate::support::calls::{Call, Phone, Speaking};
use crate::support::sip::{Party, field};
use crate::support::{PATIENCE, Process, config, finish, until, whole_lines};
use crate::upgrade::upgrade;
use serde_json::{Value, json};

/// μ-law codes that the caller and the callee send throughout.
const NEAR: u8 = 0x21;
const FAR: u8 = 0xa3;

/// Recording server: a SIP endpoint, and a socket for each stream.
struct Server {
    sip: Party,
    rtp: [UdpSocket; 2],
}

impl Server {
    fn new(ip: &str) -> Server {
        let socket = || {
            let socket = UdpSocket::bind((ip, 0)).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket
        };
        Server { sip: Party::new(ip), rtp: [socket(), socket()] }
    }

    fn uri(&self) -> String {
        format!("sip:{}", self.sip.address)
    }

    fn described(&self, version: u32, direction: &str) -> String {
        let ip = self.sip.address.ip();
        let streams: String = self
            .rtp
            .iter()
            .map(|rtp| format!("m=audio {} RTP/AVP 0\r\na={direction}\r\n", rtp.local_addr().unwrap().port()))
            .collect();
        format!("v=0\r\no=- 9 {version} IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n{streams}")
    }

    /// Accepts a recording session at the server; returns the INVITE.
    fn record(&self) -> (String, SocketAddr) {
        let (invite, from) = self.sip.receive("INVITE ");
        self.sip.send(from, &self.sip.answer_with(&invite, "200 OK", &self.described(1, "recvonly")));
        self.sip.receive("ACK ");
        (invite, from)
    }

    /// Rejects a recording session at the server.
    fn refuse(&self) {
        let (invite, from) = self.sip.receive("INVITE ");
        self.sip.send(from, &self.sip.answer_with(&invite, "488 Not Acceptable Here", ""));
        self.sip.receive("ACK ");
    }

    /// Receives a stream until this many packets consist of the code alone; returns the sequence numbers of all
    /// packets.
    fn hears(&self, stream: usize, code: u8, count: usize) -> Vec<u16> {
        let (mut numbers, mut whole) = (Vec::new(), 0);
        let mut bytes = [0; 2048];
        while whole < count {
            let length = self.rtp[stream].recv(&mut bytes).expect("RTP of the stream");
            let packet = &bytes[..length];
            assert_eq!((packet[0], packet[1] & 0x7f, length), (0x80, 0, 172));
            // There is silence before the party sends audio, and in place of late packets.
            assert!(packet[12..].iter().all(|byte| [code, 0xff].contains(byte)), "{packet:?}");
            whole += usize::from(packet[12..].iter().all(|byte| *byte == code));
            numbers.push(u16::from_be_bytes([packet[2], packet[3]]));
        }
        numbers
    }

    fn bye(&self) {
        let (bye, from) = self.sip.receive("BYE ");
        self.sip.send(from, &self.sip.answer_with(&bye, "200 OK", ""));
    }
}

fn edge(caller: &Phone, callee: &Phone, servers: &[&Server], more: &str) -> Process {
    let peers: Vec<String> = servers.iter().map(|server| format!("\"{}\"", server.uri())).collect();
    Process::start(&config(&format!(
        "{}{}[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\nsiprec = [\"vault\"]\n[cdr]\nfile = \"cdr.jsonl\"\n\
         [siprec.vault]\npeers = [{}]\noptions_interval = \"0s\"\n{more}",
        caller.trunk("carrier"),
        callee.trunk("pbx"),
        peers.join(", "),
    )))
}

fn phones() -> (Phone, Phone) {
    (Phone::new("127.0.0.1"), Phone::new("127.0.0.3"))
}

fn speaking(call: &Call, caller: &Phone, callee: &Phone) -> [Speaking; 2] {
    Speaking::codes(call, caller, callee, (NEAR, FAR))
}

fn ended(edge: &Process) -> Value {
    let records = edge.file.with_file_name("cdr.jsonl");
    until("the record is written", || {
        let text = std::fs::read_to_string(&records).ok()?;
        whole_lines(&text).next().map(|line| serde_json::from_str(line).unwrap())
    })
}

#[test]
fn both_streams_reach_the_second_server_where_the_first_refuses() {
    let (caller, callee) = phones();
    let (first, second) = (Server::new("127.0.0.5"), Server::new("127.0.0.6"));
    // Of two peers with the same weight, the first is tried first.
    let edge = edge(&caller, &callee, &[&first, &second], "");
    let (invites, call) = std::thread::scope(|scope| {
        let served = scope.spawn(|| {
            first.refuse();
            second.record()
        });
        let call = Call::set_up(&edge, "recorded", &caller, &callee);
        (served.join().unwrap(), call)
    });
    let (invite, _) = invites;
    assert_eq!(field(&invite, "Require"), "siprec");
    assert!(field(&invite, "Contact").ends_with(";+sip.src"), "{invite}");
    assert!(invite.contains("Content-Type: application/rs-metadata+xml") && invite.contains("<label>2</label>"));
    let speaking = speaking(&call, &caller, &callee);
    for (stream, code) in [NEAR, FAR].into_iter().enumerate() {
        let numbers = second.hears(stream, code, 50);
        let follow = numbers.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1));
        assert!(follow, "stream {stream} without a gap: {numbers:?}");
    }
    let live = edge.json(&format!("/v1/calls/{}", edge.sid()))["siprec"][0].clone();
    assert_eq!((&live["name"], &live["status"]), (&"vault".into(), &"in-progress".into()));
    assert_eq!(live["server"], second.uri());
    assert_eq!(edge.metric("trunkgate_siprec_sessions{siprec=\"vault\"}"), 1.0);
    drop(speaking);
    std::thread::scope(|scope| {
        scope.spawn(|| second.bye());
        call.hang_up(2, &caller, &callee);
    });
    let record = ended(&edge);
    assert_eq!((&record["siprec"][0]["status"], &record["outcome"]), (&"stopped".into(), &"answered".into()));
    let kinds: Vec<&str> = record["legs"].as_array().unwrap().iter().map(|leg| leg["kind"].as_str().unwrap()).collect();
    // Each server is tried over TCP first, although it does not listen there.
    assert_eq!(kinds, ["sip", "sip", "siprec", "siprec", "siprec", "siprec"]);
    assert_eq!(edge.metric("trunkgate_siprec_total{siprec=\"vault\",result=\"recorded\"}"), 1.0);
    assert_eq!(edge.metric("trunkgate_siprec_sessions{siprec=\"vault\"}"), 0.0);
}

#[test]
fn a_pause_by_request_stops_both_streams() {
    let (caller, callee) = phones();
    let server = Server::new("127.0.0.5");
    let edge = edge(&caller, &callee, &[&server], "");
    let call = std::thread::scope(|scope| {
        let served = scope.spawn(|| server.record());
        let call = Call::set_up(&edge, "paused", &caller, &callee);
        served.join().unwrap();
        call
    });
    let speaking = speaking(&call, &caller, &callee);
    server.hears(0, NEAR, 10);
    server.hears(1, FAR, 10);
    let path = format!("/v1/calls/{}/siprec", edge.sid());
    let said = Arc::new(Mutex::new(String::new()));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (invite, from) = server.sip.receive("INVITE ");
            server.sip.send(from, &server.sip.answer_with(&invite, "200 OK", &server.described(2, "inactive")));
            server.sip.receive("ACK ");
            *said.lock().unwrap() = invite;
        });
        let (status, paused) = edge.post(&path, &json!({"name": "vault", "action": "pause"}));
        assert_eq!((status, &paused["status"]), (200, &"paused".into()), "{paused}");
    });
    let invite = said.lock().unwrap().clone();
    assert_eq!(
        (invite.matches("a=inactive").count(), invite.matches("<disassociate-time>").count()),
        (2, 2),
        "{invite}"
    );
    // Packets in flight are read; then no packet may arrive while the call continues.
    let relayed = || edge.json(&format!("/v1/calls/{}", edge.sid()))["legs"][0]["rtp"]["rx_packets"].as_u64().unwrap();
    for rtp in &server.rtp {
        rtp.set_nonblocking(true).unwrap();
        let came = || (0..).take_while(|_| rtp.recv(&mut [0; 2048]).is_ok()).count();
        came();
        let before = relayed();
        until("the call goes on", || (relayed() >= before + 20).then_some(()));
        assert!(came() < 3, "packets come during the pause");
        rtp.set_nonblocking(false).unwrap();
    }
    let (status, error) = edge.post(&path, &json!({"name": "attic", "action": "pause"}));
    assert_eq!((status, &error["error"]["code"]), (404, &"unknown_recording".into()));
    drop(speaking);
    std::thread::scope(|scope| {
        scope.spawn(|| server.bye());
        call.hang_up(2, &caller, &callee);
    });
    assert_eq!(ended(&edge)["siprec"][0]["status"], "stopped");
}

/// Returns the next SIP message on a TCP connection.
fn message(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        bytes.extend(byte);
    }
    let head = String::from_utf8(bytes).unwrap();
    let mut body = vec![0; field(&head, "Content-Length").parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    head + &String::from_utf8(body).unwrap()
}

#[test]
fn a_server_that_listens_for_tcp_gets_its_long_invite_there() {
    let (caller, callee) = phones();
    let server = Server::new("127.0.0.5");
    let listener = TcpListener::bind(server.sip.address).unwrap();
    let edge = edge(&caller, &callee, &[&server], "");
    std::thread::scope(|scope| {
        let served = scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let invite = message(&mut stream);
            assert!(invite.len() > 1_300 && field(&invite, "Via").starts_with("SIP/2.0/TCP"), "{invite}");
            let answer = server.sip.answer_with(&invite, "200 OK", &server.described(1, "recvonly"));
            stream.write_all(answer.as_bytes()).unwrap();
            assert!(message(&mut stream).starts_with("ACK "));
            stream
        });
        let call = Call::set_up(&edge, "by-tcp", &caller, &callee);
        let mut stream = served.join().unwrap();
        let speaking = speaking(&call, &caller, &callee);
        server.hears(0, NEAR, 10);
        server.hears(1, FAR, 10);
        drop(speaking);
        let ending = scope.spawn(move || {
            let bye = message(&mut stream);
            assert!(bye.starts_with("BYE "), "{bye}");
            stream
        });
        call.hang_up(2, &caller, &callee);
        ending.join().unwrap();
    });
    assert_eq!(ended(&edge)["siprec"][0]["status"], "stopped");
}

#[test]
fn a_call_that_has_to_be_recorded_ends_where_every_server_refuses() {
    let (caller, callee) = phones();
    let server = Server::new("127.0.0.5");
    let edge = edge(&caller, &callee, &[&server], "required = true\n");
    // The rejection ends the call, so the media ports are checked before.
    Call::set_up(&edge, "required", &caller, &callee);
    server.refuse();
    let (bye, from) = caller.sip.receive("BYE ");
    assert!(bye.contains("recording_unavailable"), "{bye}");
    caller.sip.send(from, &caller.sip.answer_with(&bye, "200 OK", ""));
    let (bye, from) = callee.sip.receive("BYE ");
    callee.sip.send(from, &callee.sip.answer_with(&bye, "200 OK", ""));
    let record = ended(&edge);
    assert_eq!(
        (&record["reason"], &record["siprec"][0]["status"]),
        (&"recording_unavailable".into(), &"failed".into())
    );
    let problem = record["siprec"][0]["problem"].as_str().unwrap();
    assert!(problem.contains("488"), "{problem}");
    let status = finish(&["status", "--check", "--url", &edge.url()]);
    let text = String::from_utf8(status.stdout).unwrap();
    assert_eq!(status.status.code(), Some(1), "{text}");
    let said = "no recording server of [siprec.vault] recorded 1 of 1 calls of the last hour, which were ended: ";
    assert!(text.contains(said) && text.contains("agree `codecs` and `srtp` of [siprec.vault]"), "{text}");
    assert_eq!(edge.metric("trunkgate_siprec_failing{siprec=\"vault\"}"), 1.0);
    assert_documented(&edge);
}

/// The server notices nothing: session and dialog stay the same, and its streams continue their sequence numbers.
#[test]
fn a_server_keeps_its_session_over_an_upgrade_until_the_call_ends() {
    let (caller, callee, server) = (phones().0, phones().1, Server::new("127.0.0.4"));
    let edge = edge(&caller, &callee, &[&server], "");
    let call = Call::set_up(&edge, "kept", &caller, &callee);
    let (invite, _) = server.record();
    let speaking = speaking(&call, &caller, &callee);
    let path = format!("/v1/calls/{}", edge.sid());
    let session = || {
        let session = edge.json(&path)["siprec"][0].clone();
        assert_eq!(session["status"], "in-progress", "{session}");
        session["session_id"].clone()
    };
    let before = [(0, NEAR), (1, FAR)].map(|(stream, code)| server.hears(stream, code, 20));
    let id = session();
    let _successor = upgrade(&edge.url());
    assert_eq!(session(), id);
    for ((stream, code), before) in [(0, NEAR), (1, FAR)].into_iter().zip(before) {
        // Those that were sent before the upgrade wait in the socket.
        let numbers: Vec<u16> = before.into_iter().chain(server.hears(stream, code, 200)).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)), "{numbers:?}");
    }
    drop(speaking);
    let paused = edge.post(&format!("{path}/siprec"), &json!({"name": "vault", "action": "pause"}));
    assert_eq!((paused.0, &paused.1["status"]), (200, &json!("paused")), "{}", paused.1);
    let (change, from) = server.sip.receive("INVITE ");
    assert_eq!(field(&change, "Call-ID"), field(&invite, "Call-ID"), "a change, and no new session");
    server.sip.send(from, &server.sip.answer_with(&change, "200 OK", &server.described(2, "inactive")));
    server.sip.receive("ACK ");
    call.hang_up(2, &caller, &callee);
    let (bye, from) = server.sip.receive("BYE ");
    assert_eq!(field(&bye, "Call-ID"), field(&invite, "Call-ID"));
    server.sip.send(from, &server.sip.answer_with(&bye, "200 OK", ""));
}
