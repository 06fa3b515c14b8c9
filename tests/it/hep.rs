//! `[hep]`: packets that a capture server receives, read by an independent decoder.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use crate::support::calls::{Call, Phone};
use crate::support::{PATIENCE, Process, config, finish, until, write};
use serde_json::Value;

/// Socket of a capture server.
struct Server(UdpSocket);

/// HEP packet: its chunks by type.
struct Packet(BTreeMap<u16, Vec<u8>>);

impl Server {
    fn new() -> Server {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Server(socket)
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    fn packet(&self) -> Packet {
        let mut buffer = [0; 65_536];
        let length = self.0.recv(&mut buffer).unwrap();
        let half = |at: usize| u16::from_be_bytes([buffer[at], buffer[at + 1]]);
        assert_eq!((&buffer[..4], usize::from(half(4))), (&b"HEP3"[..], length));
        let (mut at, mut chunks) = (6, BTreeMap::new());
        while at < length {
            let (vendor, kind, size) = (half(at), half(at + 2), usize::from(half(at + 4)));
            assert_eq!(vendor, 0);
            assert!(chunks.insert(kind, buffer[at + 6..at + size].to_vec()).is_none(), "chunk {kind} twice");
            at += size;
        }
        assert_eq!(at, length);
        Packet(chunks)
    }

    /// Returns the packets that arrive, up to and including the first wanted one.
    fn until(&self, wanted: impl Fn(&Packet) -> bool) -> Vec<Packet> {
        let mut all = Vec::new();
        loop {
            let packet = self.packet();
            let found = wanted(&packet);
            all.push(packet);
            if found {
                return all;
            }
        }
    }
}

impl Packet {
    fn text(&self, kind: u16) -> String {
        String::from_utf8(self.0[&kind].clone()).unwrap()
    }

    fn number(&self, kind: u16) -> u32 {
        self.0[&kind].iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
    }

    fn payload(&self) -> String {
        self.text(0x0f)
    }

    fn ends(&self) -> (SocketAddr, SocketAddr) {
        let ip = |kind| IpAddr::from(Ipv4Addr::from(self.number(kind)));
        let port = |kind| u16::try_from(self.number(kind)).unwrap();
        (SocketAddr::new(ip(3), port(7)), SocketAddr::new(ip(4), port(8)))
    }
}

fn with_hep(caller: &Phone, callee: &Phone, hep: &str) -> String {
    let trunks = caller.trunk("carrier") + &callee.trunk("pbx");
    config(&format!("{trunks}[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n{hep}"))
}

/// Returns whether `/metrics` has this line.
fn has(edge: &Process, line: &str) -> bool {
    edge.get("/metrics").1.lines().any(|other| other == line)
}

#[test]
fn both_legs_and_the_reports_on_their_media_come_under_one_id() {
    let (caller, callee, server) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"), Server::new());
    let hep = format!("[hep]\naddress = \"{}\"\nid = 2001\npassword = \"open sesame\"\n", server.address());
    let edge = Process::start(&with_hep(&caller, &callee, &hep));
    let call = Call::set_up(&edge, "hep", &caller, &callee);
    let (sid, sip) = (edge.sid(), edge.address("udp"));
    // The call has audio, so that there is quality to report.
    for n in 0..50_u16 {
        caller.rtp.send_to(&crate::support::calls::rtp(7, n), call.near).unwrap();
    }
    until("the packets are heard", || has(&edge, "trunkgate_rtp_packets_total{direction=\"in\"} 50").then_some(()));
    edge.delete(&format!("/v1/calls/{sid}"));
    let packets = server.until(|packet| packet.number(0x0b) == 5);
    for packet in &packets {
        assert_eq!(packet.text(0x11), sid, "one id for all");
        assert_eq!((packet.text(0x13).as_str(), packet.number(0x0c)), ("under-test", 2001));
        assert_eq!((packet.text(0x0e).as_str(), packet.number(0x01)), ("open sesame", 2));
        assert!(packet.number(0x09) > 1_700_000_000 && packet.number(0x0a) < 1_000_000);
    }
    let (report, messages) = packets.split_last().unwrap();
    // The packets have the same bytes as the trace, between the same addresses.
    let trace = edge.json(&format!("/v1/calls/{sid}/trace?raw=true"));
    let traced = trace["entries"].as_array().unwrap().iter().filter(|entry| entry["kind"] == "message");
    for (packet, entry) in messages.iter().zip(traced) {
        assert_eq!((packet.number(0x0b), packet.number(0x02)), (1, 17));
        assert_eq!(Value::from(packet.payload()), entry["raw"]);
        let remote: SocketAddr = entry["remote"].as_str().unwrap().parse().unwrap();
        let ends = if entry["received"] == true { (remote, sip) } else { (sip, remote) };
        assert_eq!(packet.ends(), ends, "{entry:#}");
    }
    assert!(messages.iter().any(|packet| packet.payload() == call.invite.0), "the callee's leg");
    assert!(messages.len() >= 7);
    let said: Value = serde_json::from_str(&report.payload()).unwrap();
    assert_eq!((&said["type"], &said["party"], &said["codec"]), (&200.into(), &"carrier".into(), &"PCMU".into()));
    assert_eq!(said["packets_expected"], 50, "{said:#}");
    assert_eq!(said["report_blocks"][0]["packets_lost"], 0);
    assert_eq!(report.ends(), (call.near, caller.rtp_address()));
    assert!(has(&edge, "trunkgate_hep_packets_total{result=\"dropped\"} 0"));
}

#[test]
fn a_reload_turns_it_on_and_off_and_no_secret_is_in_it() {
    let (caller, callee, server) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"), Server::new());
    let without = with_hep(&caller, &callee, "");
    let edge = Process::start(&without);
    Call::set_up(&edge, "before", &caller, &callee);
    let with = with_hep(&caller, &callee, &format!("[hep]\naddress = \"{}\"\n", server.address()));
    std::fs::write(&edge.file, with).unwrap();
    assert_eq!(edge.post("/v1/reload", &Value::Null).0, 200);
    let key = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";
    let offer = caller.description(1, &format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}\r\n"));
    let sip = edge.address("udp");
    let call = Call::agree(sip, "after", (&caller, &offer), (&callee, &callee.description(1, "")));
    let first = server.packet().payload();
    assert!(first.starts_with("INVITE ") && first.contains("Call-ID: after"), "not the call before: {first}");
    assert!(!first.contains(key) && first.contains(&format!("inline:{}", "X".repeat(key.len()))), "{first}");
    server.until(|packet| packet.payload() == call.invite.0);
    std::fs::write(&edge.file, without).unwrap();
    assert_eq!(edge.post("/v1/reload", &Value::Null).0, 200);
}

#[test]
fn a_server_that_is_not_there_harms_no_call() {
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let edge = Process::start(&with_hep(&caller, &callee, "[hep]\naddress = \"no-such-host.invalid:9060\"\n"));
    Call::set_up(&edge, "alone", &caller, &callee);
    until("what cannot be sent is counted", || {
        (!has(&edge, "trunkgate_hep_packets_total{result=\"failed\"} 0")).then_some(())
    });
    assert!(edge.whole_log().contains("[hep] address no-such-host.invalid:9060 cannot be reached"), "{}", edge.log());
}

#[test]
fn mistakes_in_it_are_named() {
    for (hep, code) in [
        ("[hep]\n", "TG0106"),
        ("[hep]\naddress = \"127.0.0.1\"\n", "TG0108"),
        ("[hep]\naddress = \"0.0.0.0:9060\"\n", "TG0108"),
        ("[hep]\naddress = \"a b:9060\"\n", "TG0108"),
        ("[hep]\naddress = \"homer:0\"\n", "TG0108"),
        ("[hep]\naddress = \"homer:9060\"\nid = 0\n", "TG0105"),
        ("[hep]\naddress = \"homer:9060\"\nnode = 1\n", "TG0104"),
        ("[hep]\naddress = \"homer:9060\"\npassword = { env = \"NO_SUCH_VARIABLE\" }\n", "TG0110"),
    ] {
        let (_directory, file) = write(&config(hep));
        let output = finish(&["check", "--config", file.to_str().unwrap()]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(text.contains(&format!("error[{code}]")), "{hep}: {text}");
    }
    for hep in ["address = \"[::1]:9060\"", "address = \"homer.example.com:9060\"\nid = 2001\npassword = \"x\""] {
        let (_directory, file) = write(&config(&format!("[hep]\n{hep}\n")));
        let output = finish(&["check", "--config", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{hep}: {output:?}");
    }
}
