//! Warm transfers of an agent's caller through the real binary: by a message on the agent's socket and over HTTP, with
//! digits as telephone-events.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::net::SocketAddr;

use crate::support::calls::{media_of, next_port, rtp, wait_until_bound};
use crate::support::talk::{Rig, Talk, speech};
use crate::support::until;
use serde_json::{Value, json};
use trunkgate_media::rtp::RtpHeader;

const TARGET: &str = "trunk:pbx/+14155550199";

/// Party that has answered a warm transfer and hears the question.
struct Asked {
    rig: Rig,
    talk: Talk,
    /// Address for the party's RTP at the edge.
    far: SocketAddr,
}

/// Requests a warm transfer, which the target's phone answers.
fn asked(over_http: bool) -> Asked {
    let rig = Rig::new("");
    let mut talk = rig.call("warm", "0 101");
    let wanted = json!({ "event": "transfer", "target": TARGET, "warm": { "accept": "1" } });
    if over_http {
        let wanted = json!({ "target": TARGET, "warm": { "accept": "1" } });
        let (status, answer) = rig.edge.post(&format!("/v1/calls/{}/transfer", rig.edge.sid()), &wanted);
        assert_eq!((status, &answer["warm"]), (202, &json!(true)));
    } else {
        talk.send(&wanted.to_string());
    }
    let (invite, from) = rig.pbx.sip.receive("INVITE sip:+14155550199@");
    let events = "a=rtpmap:101 telephone-event/8000\r\n";
    let media = format!("m=audio {} RTP/AVP 0 101\r\n{events}", rig.pbx.rtp_address().port());
    let description = rig.pbx.described(1, &media);
    rig.pbx.sip.send(from, &rig.pbx.sip.answer_with(&invite, "200 OK", &description));
    rig.pbx.sip.receive("ACK ");
    let far = media_of(&invite);
    wait_until_bound(next_port(far));
    assert_eq!(call(&rig)["state"], "transferring");
    Asked { rig, talk, far }
}

fn call(rig: &Rig) -> Value {
    rig.edge.json(&format!("/v1/calls/{}", rig.edge.sid()))
}

impl Asked {
    /// Sends a DTMF digit from the party.
    fn press(&self, event: u8) {
        for n in 0..3_u16 {
            let mut packet = rtp(9, 500 + n);
            packet.truncate(12);
            packet[1] = 101;
            packet[4..8].copy_from_slice(&80_000_u32.to_be_bytes());
            packet.extend([event, 0x80 | 10, 3, 0x20]);
            self.rig.pbx.rtp.send_to(&packet, self.far).unwrap();
        }
    }

    /// Checks that the caller hears music, and not the audio that the agent sends meanwhile.
    fn hears_music(&mut self) {
        let said = speech(1600);
        self.talk.say(&said);
        self.talk.mark("meanwhile");
        let before = self.talk.heard.len();
        until("the caller hears music", || {
            self.talk.take_in();
            let new = &self.talk.heard[before..];
            let loud = new.iter().filter(|(_, payload)| payload.iter().any(|code| *code & 0x7f < 0x50)).count();
            (loud > 20).then_some(())
        });
        assert!(!self.talk.audio().windows(160).any(|part| part == &said[..160]), "the agent is not heard");
    }
}

#[test]
fn a_party_that_accepts_by_a_digit_is_connected_with_the_caller() {
    for over_http in [false, true] {
        let mut asked = asked(over_http);
        asked.hears_music();
        asked.press(1);
        asked.talk.next("stop");
        let Asked { rig, talk, far } = &mut asked;
        until("the caller hears the party", || {
            rig.pbx.rtp.send_to(&rtp(9, 77), *far).unwrap();
            talk.take_in();
            talk.heard.iter().any(|(_, payload)| payload[..] == rtp(9, 77)[12..]).then_some(())
        });
        let (first, last): (&RtpHeader, &RtpHeader) = (&talk.heard[0].0, &talk.heard.last().unwrap().0);
        assert_eq!(first.ssrc, last.ssrc, "one stream");
        assert!(rig.caller.sip.heard_nothing(), "the caller is neither asked nor hung up on");
        let call = call(rig);
        assert_eq!((&call["state"], &call["legs"][1]["reason"]), (&json!("answered"), &json!("transferred")));
    }
}

#[test]
fn a_party_that_declines_leaves_the_caller_with_its_agent() {
    for over_http in [false, true] {
        let mut asked = asked(over_http);
        asked.hears_music();
        asked.press(2);
        asked.rig.pbx.sip.receive("BYE ");
        let Asked { rig, talk, .. } = &mut asked;
        // Audio that the agent has sent meanwhile is not played later.
        assert_eq!(talk.next("mark")["mark"]["name"], "meanwhile");
        let told = talk.next("transferFailed");
        assert_eq!(told["transferFailed"], json!({ "target": TARGET, "reason": "transfer_declined" }), "{told}");
        let said: Vec<u8> = speech(3200).split_off(1600);
        talk.say(&said);
        until("the caller hears the agent again", || {
            talk.take_in();
            // The music fades out in the first packet.
            talk.audio().windows(said.len() - 320).any(|part| part == &said[320..]).then_some(())
        });
        let call = call(rig);
        assert_eq!((&call["state"], &call["legs"][2]["reason"]), (&json!("answered"), &json!("transfer_declined")));
        assert!(rig.caller.sip.heard_nothing(), "the caller is neither asked nor hung up on");
    }
}

#[test]
fn a_request_that_cannot_be_used_says_what_is_wrong() {
    let rig = Rig::new("");
    let _talk = rig.call("wrong", "0");
    let path = format!("/v1/calls/{}/transfer", rig.edge.sid());
    for (warm, what) in [
        (json!({ "accept": "12" }), "`accept` is not a single digit"),
        (json!({ "stay": "coach" }), "\"stay\" is not a field of `warm`"),
        (json!({ "whisper": {} }), "`whisper` needs one of"),
    ] {
        let (status, answer) = rig.edge.post(&path, &json!({ "target": TARGET, "warm": warm }));
        let text = answer.to_string().replace("\\\"", "\"");
        assert!(status == 400 && text.contains(what), "{status} {text}");
    }
    let (status, answer) = rig.edge.post(&path, &json!({ "target": "agent:bot", "warm": {} }));
    assert_eq!((status, &answer["error"]["code"]), (422, &json!("bad_target")), "{answer}");
}
