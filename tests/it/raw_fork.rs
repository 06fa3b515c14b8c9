//! Listener that receives plain RTP: both directions of a call, bit by bit, each with an SSRC of its own.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::net::{SocketAddr, UdpSocket};

use crate::support::sip::{Party, field, to_tag};
use crate::support::{PATIENCE, Process, config};

/// Returns the RTP address in the SDP of a message.
fn media(message: &str) -> SocketAddr {
    let after = |prefix: &str| message.lines().find_map(|line| line.strip_prefix(prefix)).unwrap().to_owned();
    let port: u16 = after("m=audio ").split(' ').next().unwrap().parse().unwrap();
    SocketAddr::new(after("c=IN IP4 ").parse().unwrap(), port)
}

fn packet(ssrc: u32, number: u16) -> Vec<u8> {
    let mut bytes = vec![0x80, 0];
    bytes.extend((1000 + number).to_be_bytes());
    bytes.extend((u32::from(number) * 160).to_be_bytes());
    bytes.extend(ssrc.to_be_bytes());
    bytes.extend((0..160u16).map(|n| (n ^ number ^ (ssrc & 0xff) as u16) as u8));
    bytes
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

#[test]
fn both_sides_of_a_call_are_copied_bit_for_bit() {
    let listener = UdpSocket::bind("127.0.0.1:0").unwrap();
    listener.set_read_timeout(Some(PATIENCE)).unwrap();
    let (caller, callee) = (Party::new("127.0.0.2"), Party::new("127.0.0.3"));
    let process = Process::start(&config(&format!(
        "[trunk.near]\naccept_from = [\"127.0.0.2/32\"]\n[trunk.far]\npeers = [\"sip:{}\"]\noptions_interval = \"0s\"\n\
         [agent.scribe]\nurl = \"rtp://localhost:{}\"\n\
         [[route]]\nfrom = [\"near\"]\nconnect = [\"trunk:far\"]\nfork = [\"agent:scribe\"]\n",
        callee.address,
        listener.local_addr().unwrap().port()
    )));
    let edge = process.address("udp");
    caller.send(edge, &caller.request("INVITE", "+14155550123", edge, "raw", 1, ""));
    let (invite, from) = callee.receive("INVITE");
    callee.send(from, &callee.answer(&invite, "200 OK", true));
    let (answer, _) = caller.receive("200");
    caller.send(edge, &caller.request("ACK", "+14155550123", edge, "raw", 1, to_tag(&answer)));
    let (near, far) = (UdpSocket::bind("127.0.0.2:0").unwrap(), UdpSocket::bind("127.0.0.3:0").unwrap());
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    crate::support::until("the listener's address is found", || {
        let agents = process.json("/v1/agents");
        (agents["agents"][0]["sessions"] == 1).then_some(())
    });
    for number in 0..50 {
        near.send_to(&packet(7, number), media(&answer)).unwrap();
        far.send_to(&packet(9, number), media(&invite)).unwrap();
    }
    let (mut said, mut heard) = (Vec::new(), Vec::new());
    for _ in 0..100 {
        let mut buffer = [0; 2048];
        let (len, source) = listener.recv_from(&mut buffer).unwrap();
        assert_eq!(source.ip(), edge.ip());
        let copy = buffer[..len].to_vec();
        // The directions are distinguished by content, since the SSRCs are the edge's own.
        let is_said = copy[12] == packet(7, word(&copy, 4) as u16 / 160)[12];
        if is_said { said.push(copy) } else { heard.push(copy) }
    }
    for (ssrc, copies) in [(7, &said), (9, &heard)] {
        let mut numbers: Vec<u32> = copies.iter().map(|copy| word(copy, 4) / 160).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..50).collect::<Vec<u32>>());
        for copy in copies {
            let sent = packet(ssrc, (word(copy, 4) / 160) as u16);
            assert_eq!((&copy[..8], &copy[12..]), (&sent[..8], &sent[12..]));
            assert_eq!(word(copy, 8), word(&copies[0], 8), "one source for each direction");
        }
    }
    assert_ne!(word(&said[0], 8), word(&heard[0], 8));
    // A listener identifies a call by the SSRCs: they are in the call's data, and in its trace.
    let call = process.json("/v1/calls")["calls"][0].clone();
    let leg = call["legs"].as_array().unwrap().iter().find(|leg| leg["agent"] == "scribe").unwrap().clone();
    assert_eq!((&leg["transport"], &leg["rtp"]["tx_packets"]), (&"rtp".into(), &100.into()), "{leg}");
    let sources = (word(&said[0], 8), word(&heard[0], 8));
    assert_eq!((&leg["ssrc"]["inbound"], &leg["ssrc"]["outbound"]), (&sources.0.into(), &sources.1.into()));
    let (_, trace) = process.get(&format!("/v1/calls/{}/trace.txt", call["sid"].as_str().unwrap()));
    assert!(trace.contains(&format!("SSRC {:#010x} from the caller", sources.0)), "{trace}");
    assert_eq!(field(&answer, "CSeq"), "1 INVITE");
    assert_eq!(process.metric("trunkgate_agent_frames_dropped_total"), 0.0);
}
