//! Messages in an agent's stream through the real binary, from the first to the close: fields, order and numbers.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use crate::support::calls::NUMBER;
use crate::support::talk::{Rig, Talk};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use trunkgate_media::rtp::RtpHeader;

/// Returns the RTP packets for key 5 (RFC 4733): the start, then the end three times.
fn press() -> Vec<Vec<u8>> {
    let event = |sequence: u16, end: u8, duration: u16| {
        let header =
            RtpHeader { marker: sequence == 900, payload_type: 101, sequence, timestamp: 7000, ssrc: 7, payload: 0..0 };
        let mut packet = Vec::new();
        header.build(&[&[5, end << 7 | 10][..], &duration.to_be_bytes()].concat(), &mut packet);
        packet
    };
    vec![event(900, 0, 160), event(901, 0, 320), event(902, 1, 480), event(903, 1, 480), event(904, 1, 480)]
}

#[test]
fn every_message_of_a_call_has_its_number_its_stream_and_its_place() {
    let rig = Rig::new("parameters = { tenant = 'acme' }");
    let mut talk = rig.call("stream", "0 101");
    let sid = talk.start["streamSid"].clone();
    let start = &talk.start["start"];
    assert_eq!((&talk.start["sequenceNumber"], &start["streamSid"]), (&json!("1"), &sid));
    assert_eq!((&start["tracks"], &start["callSid"]), (&json!(["inbound"]), &json!(rig.edge.sid())));
    assert_eq!(start["customParameters"], json!({"tenant": "acme"}));
    assert_eq!(talk.start.get("customParameters"), None);

    let name = "a \"b\" \\ \u{1}\n ü";
    talk.say(&[0x20; 800]);
    talk.send(&json!({"event": "mark", "streamSid": sid, "mark": {"name": name}}).to_string());
    let (mut all, mut pressed): (Vec<Value>, bool) = (Vec::new(), false);
    let closed = loop {
        match talk.agent.read().unwrap() {
            Message::Text(text) => all.push(serde_json::from_str(&text).unwrap()),
            Message::Close(frame) => break frame.map(|frame| u16::from(frame.code)),
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
        let of = |event: &str| all.iter().filter(|message| message["event"] == event).count();
        if of("mark") == 1 && !pressed {
            press().iter().for_each(|packet| drop(talk.rtp.send_to(packet, talk.near)));
            pressed = true;
        }
        if of("dtmf") == 1 && all.last().unwrap()["event"] == "dtmf" {
            let (sip, caller) = (rig.edge.address("udp"), &rig.caller);
            caller.sip.send(sip, &caller.sip.request_with("BYE", NUMBER, sip, "stream", (2, &talk.tag), ""));
        }
    };
    assert_eq!((closed, &all.last().unwrap()["event"]), (Some(1000), &json!("stop")));
    for (n, message) in (2..).zip(&all) {
        assert_eq!((&message["sequenceNumber"], &message["streamSid"]), (&json!(n.to_string()), &sid), "{message}");
    }
    let of = |event: &str| all.iter().filter(|message| message["event"] == event).collect::<Vec<_>>();
    for (n, message) in (0..).zip(of("media")) {
        let media = &message["media"];
        let expected = (json!((n + 1).to_string()), json!((n * 20).to_string()), json!("inbound"));
        assert_eq!((media["chunk"].clone(), media["timestamp"].clone(), media["track"].clone()), expected);
    }
    assert_eq!(of("mark").iter().map(|mark| &mark["mark"]["name"]).collect::<Vec<_>>(), [name]);
    let keys = of("dtmf");
    assert_eq!(keys.len(), 1, "its end came three times");
    assert_eq!(keys[0]["dtmf"]["digit"], "5");
    assert_eq!((of("stop").len(), of("connected").len(), of("start").len()), (1, 0, 0));
}

/// Returns the audio of the agent's next 20 ms.
fn next_audio(talk: &mut Talk) -> Vec<u8> {
    STANDARD.decode(talk.next("media")["media"]["payload"].as_str().unwrap()).unwrap()
}

/// During a pause, the softphone sends nothing; afterwards, it continues its timestamps and sequence numbers as if
/// there had been no pause.
#[test]
fn words_behind_a_pause_are_heard_from_their_first_packet_on() {
    let rig = Rig::new("");
    let mut talk = rig.call("pauses", "0");
    let mut sequence = 0_u16;
    // Frames of silence that the agent hears in each pause: 0.4 s, 0.7 s, 1.2 s.
    for pause in [20, 35, 60] {
        for _ in 0..3 {
            let header = RtpHeader {
                marker: false,
                payload_type: 0,
                sequence,
                timestamp: u32::from(sequence) * 160,
                ssrc: 7,
                payload: 0..0,
            };
            let mut packet = Vec::new();
            header.build(&[sequence as u8; 160], &mut packet);
            talk.rtp.send_to(&packet, talk.near).unwrap();
            let audio = (0..200).map(|_| next_audio(&mut talk)).find(|audio| audio.iter().any(|code| *code != 0xff));
            assert_eq!(audio, Some(vec![sequence as u8; 160]), "packet {sequence}");
            sequence += 1;
        }
        for _ in 0..pause {
            assert_eq!(next_audio(&mut talk), [0xff; 160]);
        }
    }
}
