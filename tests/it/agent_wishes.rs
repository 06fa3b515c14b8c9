//! Actions that an agent requests, by a message on its socket and over HTTP, through the real binary.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::net::{Shutdown, SocketAddr};

use crate::support::calls::{NUMBER, Phone, media_of, next_port, received, rtp, wait_until_bound};
use crate::support::talk::{Rig, Talk, speech};
use crate::support::until;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use trunkgate_media::rtp::RtpHeader;

/// Target that the agent consults.
const CONSULTED: &str = "trunk:pbx/+14155550199";

/// Checks that the agent's stream ends as the protocol requires.
fn ends_well(talk: &mut Talk) {
    talk.next("stop");
    let closed = loop {
        if let Message::Close(frame) = talk.agent.read().unwrap() {
            break frame.map(|frame| u16::from(frame.code));
        }
    };
    assert_eq!(closed, Some(1000));
}

/// Waits until one phone receives the other's audio bit for bit.
fn hears(listener: &Phone, speaker: &Phone, at: SocketAddr) {
    let (mut packet, said) = ([0; 2048], rtp(9, 77));
    listener.rtp.set_nonblocking(true).unwrap();
    until("what is said is heard", || {
        speaker.rtp.send_to(&said, at).unwrap();
        std::iter::from_fn(|| listener.rtp.recv_from(&mut packet).ok().map(|(len, _)| packet[12..len] == said[12..]))
            .any(|same| same)
            .then_some(())
    });
    listener.rtp.set_nonblocking(false).unwrap();
}

#[test]
fn agents_transfer_by_socket_and_http() {
    for over_http in [false, true] {
        let rig = Rig::new("");
        let mut talk = rig.call("transfer", "0");
        let target = "trunk:pbx/+14155550199";
        if over_http {
            let path = format!("/v1/calls/{}/transfer", rig.edge.sid());
            assert_eq!(rig.edge.post(&path, &json!({ "target": target })).0, 202);
        } else {
            talk.send(&json!({"event": "transfer", "target": target}).to_string());
        }
        let (invite, from) = rig.pbx.sip.receive("INVITE sip:+14155550199@");
        ends_well(&mut talk);
        rig.pbx.sip.send(from, &rig.pbx.sip.answer_with(&invite, "200 OK", &rig.pbx.description(1, "")));
        rig.pbx.sip.receive("ACK ");
        let far = media_of(&invite);
        wait_until_bound(next_port(far));
        hears(&rig.pbx, &rig.caller, talk.near);
        hears(&rig.caller, &rig.pbx, far);
        assert!(rig.caller.sip.heard_nothing(), "neither asked nor hung up on");
        let call = rig.edge.json(&format!("/v1/calls/{}", rig.edge.sid()));
        assert_eq!((&call["state"], &call["legs"][1]["reason"]), (&json!("answered"), &json!("transferred")));
    }
}

/// Requests a transfer with `consult` and waits until the target rings; returns its INVITE and source address.
fn consulting(rig: &Rig, talk: &mut Talk, over_http: bool) -> (String, SocketAddr) {
    let wish = json!({ "target": CONSULTED, "consult": true });
    if over_http {
        let path = format!("/v1/calls/{}/transfer", rig.edge.sid());
        let (status, answer) = rig.edge.post(&path, &wish);
        assert_eq!((status, &answer["consult"]), (202, &json!(true)));
    } else {
        talk.send(&json!({ "event": "transfer", "target": CONSULTED, "consult": true }).to_string());
    }
    let (invite, from) = rig.pbx.sip.receive("INVITE sip:+14155550199@");
    rig.pbx.sip.send(from, &rig.pbx.sip.answer_with(&invite, "180 Ringing", ""));
    until("it rings", || (call(rig)["legs"][2]["state"] == "ringing").then_some(()));
    assert_eq!(call(rig)["state"], "transferring");
    (invite, from)
}

fn call(rig: &Rig) -> Value {
    rig.edge.json(&format!("/v1/calls/{}", rig.edge.sid()))
}

/// Checks that the agent hears the caller, and the caller hears the agent, in the same stream as before.
fn they_talk(rig: &Rig, talk: &mut Talk, say: &[u8]) {
    let before = talk.audio();
    talk.say(say);
    until("the caller hears the agent", || {
        talk.take_in();
        (talk.audio() == [&before[..], say].concat()).then_some(())
    });
    let said = rtp(9, 77);
    rig.caller.rtp.send_to(&said, talk.near).unwrap();
    let heard = STANDARD.encode(&said[12..]);
    while talk.next("media")["media"]["payload"] != heard {}
}

#[test]
fn an_agent_stays_until_the_target_answers_by_its_socket_and_over_http() {
    for over_http in [false, true] {
        let rig = Rig::new("");
        let mut talk = rig.call("consult", "0");
        let (invite, from) = consulting(&rig, &mut talk, over_http);
        they_talk(&rig, &mut talk, &speech(1600));
        rig.pbx.sip.send(from, &rig.pbx.sip.answer_with(&invite, "200 OK", &rig.pbx.description(1, "")));
        rig.pbx.sip.receive("ACK ");
        ends_well(&mut talk);
        talk.take_in();
        let (last, far) = (talk.heard.last().unwrap().0.clone(), media_of(&invite));
        wait_until_bound(next_port(far));
        rig.pbx.rtp.send_to(&rtp(9, 77), far).unwrap();
        let (bytes, _) = received(&rig.caller.rtp);
        let next = RtpHeader::parse(&bytes).unwrap();
        assert_eq!((next.ssrc, next.sequence), (last.ssrc, last.sequence.wrapping_add(1)), "one stream");
        hears(&rig.pbx, &rig.caller, talk.near);
        hears(&rig.caller, &rig.pbx, far);
        assert!(rig.caller.sip.heard_nothing(), "neither asked nor hung up on");
        let call = call(&rig);
        assert_eq!((&call["state"], &call["legs"][1]["reason"]), (&json!("answered"), &json!("transferred")));
        assert_eq!(call["legs"][1]["ended_by"], if over_http { "edge" } else { "far_end" });
    }
}

#[test]
fn an_agent_whose_target_is_busy_is_told_so_and_talks_on() {
    for over_http in [false, true] {
        let rig = Rig::new("");
        let mut talk = rig.call("busy", "0");
        let (invite, from) = consulting(&rig, &mut talk, over_http);
        rig.pbx.sip.send(from, &rig.pbx.sip.answer_with(&invite, "486 Busy Here", ""));
        rig.pbx.sip.receive("ACK ");
        let told = talk.next("transferFailed");
        assert_eq!(
            told["transferFailed"],
            json!({ "target": CONSULTED, "reason": "target_busy", "code": "486" }),
            "{told}"
        );
        assert_eq!(told["streamSid"], talk.start["streamSid"]);
        they_talk(&rig, &mut talk, &speech(800));
        let call = call(&rig);
        assert_eq!((&call["state"], &call["legs"][2]["reason"]), (&json!("answered"), &json!("target_busy")));
        let trace = rig.trace();
        assert!(trace.contains("the transfer failed: ") && trace.contains("the caller stays with bot"), "{trace}");
        assert!(rig.caller.sip.heard_nothing(), "neither asked nor hung up on");
    }
}

/// The agent is killed without any message: the target continues to ring, the caller hears the ringback tone, and both
/// are connected.
#[test]
fn an_agent_that_is_killed_while_its_target_rings_does_not_take_the_caller_with_it() {
    let rig = Rig::new("");
    let mut talk = rig.call("killed", "0");
    let (invite, from) = consulting(&rig, &mut talk, false);
    talk.agent.get_ref().shutdown(Shutdown::Both).unwrap();
    until("it is noticed", || (call(&rig)["legs"][1]["state"] == "ended").then_some(()));
    until("the caller hears a tone", || {
        talk.take_in();
        (talk.audio().len() >= 1600).then_some(())
    });
    assert_eq!(call(&rig)["state"], "transferring");
    rig.pbx.sip.send(from, &rig.pbx.sip.answer_with(&invite, "200 OK", &rig.pbx.description(1, "")));
    rig.pbx.sip.receive("ACK ");
    let far = media_of(&invite);
    wait_until_bound(next_port(far));
    hears(&rig.pbx, &rig.caller, talk.near);
    hears(&rig.caller, &rig.pbx, far);
    assert!(rig.caller.sip.heard_nothing(), "neither asked nor hung up on");
    assert_eq!(call(&rig)["state"], "answered");
}

#[test]
fn a_caller_that_hangs_up_while_a_target_rings_has_it_withdrawn() {
    let rig = Rig::new("");
    let mut talk = rig.call("leaves", "0");
    consulting(&rig, &mut talk, false);
    let edge = rig.edge.address("udp");
    rig.caller.sip.send(edge, &rig.caller.sip.request_with("BYE", NUMBER, edge, "leaves", (2, &talk.tag), ""));
    rig.caller.sip.receive("SIP/2.0 200");
    rig.pbx.sip.receive("CANCEL ");
    ends_well(&mut talk);
}

#[test]
fn an_agent_hangs_up_by_its_socket_and_over_http() {
    for over_http in [false, true] {
        let rig = Rig::with("", r#""agent:bot", "trunk:pbx""#);
        let mut talk = rig.call("hangup", "0");
        if over_http {
            let (status, answer) = rig.edge.delete(&format!("/v1/calls/{}", rig.edge.sid()));
            assert!(status < 300, "{status} {answer}");
        } else {
            talk.send(r#"{"event":"hangup"}"#);
        }
        let (bye, from) = rig.caller.sip.receive("BYE ");
        rig.caller.sip.send(from, &rig.caller.sip.answer_with(&bye, "200 OK", ""));
        ends_well(&mut talk);
        assert!(rig.pbx.sip.heard_nothing(), "it is no agent that was lost");
        until("the call is over", || (rig.edge.json("/v1/calls")["calls"][0]["state"] == "ended").then_some(()));
    }
}

#[test]
fn keys_that_an_agent_presses_reach_the_caller_by_its_socket_and_over_http() {
    for over_http in [false, true] {
        let rig = Rig::new("");
        let mut talk = rig.call("keys", "0 101");
        if over_http {
            let path = format!("/v1/calls/{}/dtmf", rig.edge.sid());
            assert_eq!(rig.edge.post(&path, &json!({"digits": "12#"})).0, 202);
        } else {
            talk.send(r#"{"event":"dtmf","digits":"12#"}"#);
        }
        // Event code and time of each key, and the number of its end packets.
        let (mut keys, mut last): (Vec<(u8, u32, u32)>, Option<RtpHeader>) = (Vec::new(), None);
        while keys.iter().filter(|key| key.2 == 3).count() < 3 {
            let (bytes, _) = received(&talk.rtp);
            let packet = RtpHeader::parse(&bytes).unwrap();
            if let Some(last) = last {
                assert_eq!((packet.ssrc, packet.sequence), (last.ssrc, last.sequence.wrapping_add(1)), "one stream");
            }
            if packet.payload_type == 101 {
                let (event, is_end) = (bytes[12], u32::from(bytes[13] >> 7));
                match keys.last_mut() {
                    Some(key) if key.1 == packet.timestamp => key.2 += is_end,
                    _ => keys.push((event, packet.timestamp, is_end)),
                }
            }
            last = Some(packet);
        }
        assert_eq!(keys.iter().map(|key| key.0).collect::<Vec<_>>(), [1, 2, 11]);
        let trace = rig.trace();
        assert!(trace.contains("3 DTMF digits") && !trace.contains("12#"), "{trace}");
    }
}
