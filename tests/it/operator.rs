//! Requests over HTTP for calls between two parties, through the real binary: hold, resume, play, digits and transfer, with SIP and RTP on
//! bare sockets.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use serde_json::json;
use trunkgate_media::codec::g711::encode_ulaw;
use trunkgate_media::rtp::Rtp;

use crate::support::calls::{Call, NUMBER, Phone, received, rtp};
use crate::support::{Process, config, until};

/// Sample of the music, and that of the announcement.
const MUSIC: i16 = 3_000;
const SOUND: i16 = -8_000;

/// WAV of one sample, 8 kHz.
fn wav(sample: i16, milliseconds: usize) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let spec =
        hound::WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut wav = hound::WavWriter::new(&mut bytes, spec).unwrap();
    (0..milliseconds * 8).for_each(|_| wav.write_sample(sample).unwrap());
    wav.finalize().unwrap();
    bytes.into_inner()
}

/// An edge, and an answered call between two trunks.
struct Rig {
    edge: Process,
    caller: Phone,
    callee: Phone,
    desk: Phone,
    call: Call,
}

impl Rig {
    fn new() -> Rig {
        let [caller, callee, desk] = ["127.0.0.1", "127.0.0.1", "127.0.0.3"].map(Phone::new);
        let text = format!(
            "{}hold = \"local\"\n{}hold_music = \"music.wav\"\nhold = \"local\"\n{}[[route]]\nfrom = [\"carrier\"]\n\
             connect = [\"trunk:pbx\"]\n",
            caller.trunk("carrier"),
            callee.trunk("pbx"),
            desk.trunk("desk")
        );
        let files = [("music.wav", &wav(MUSIC, 100)[..]), ("closed.wav", &wav(SOUND, 200)[..])];
        let edge = Process::start_with_documents(&config(&text), &files);
        let call = Call::set_up(&edge, "operator", &caller, &callee);
        Rig { edge, caller, callee, desk, call }
    }

    /// Asks for something of the call: the status and the answer.
    fn ask(&self, what: &str, body: &str) -> (u16, serde_json::Value) {
        self.edge.ask("POST", &format!("/v1/calls/{}/{what}", self.edge.sid()), body)
    }

    fn state(&self) -> String {
        self.edge.json(&format!("/v1/calls/{}", self.edge.sid()))["state"].as_str().unwrap().to_owned()
    }

    fn trace(&self) -> String {
        self.edge.get(&format!("/v1/calls/{}/trace.txt", self.edge.sid())).1
    }

    /// Each hears the other, who says the number of its packet.
    fn talk(&self) {
        let sides = [(&self.caller, self.call.near, &self.callee), (&self.callee, self.call.far, &self.caller)];
        for (says, to, hears) in sides {
            until("a party hears the other", || {
                says.rtp.send_to(&rtp(9, 7), to).unwrap();
                (payload(hears) == [7; 160]).then_some(())
            });
        }
    }
}

/// The audio of the next packet of a phone.
fn payload(phone: &Phone) -> Vec<u8> {
    let (packet, _) = received(&phone.rtp);
    let audio = Rtp::parse(&packet).unwrap().payload;
    packet[audio].to_vec()
}

fn hears(phone: &Phone, sample: i16) {
    let wanted = encode_ulaw(sample);
    until("it is heard", || payload(phone).iter().all(|code| *code == wanted).then_some(()));
}

#[test]
fn parties_are_held_by_a_request_and_talk_again() {
    let rig = Rig::new();
    rig.talk();
    let sid = rig.edge.sid();
    assert_eq!(rig.ask("hold", ""), (200, json!({ "sid": sid, "parties": ["caller"] })));
    hears(&rig.caller, MUSIC);
    assert_eq!(rig.state(), "held");
    assert_eq!(rig.ask("hold", r#"{"party":"both"}"#).0, 200);
    let own = |code: &u8| *code < 0xc0 && *code != 7;
    until("the callee hears the edge's own music", || payload(&rig.callee).iter().any(own).then_some(()));
    assert_eq!(rig.ask("resume", ""), (200, json!({ "sid": sid, "parties": ["caller", "callee"] })));
    rig.talk();
    let (status, answer) = rig.ask("resume", "{}");
    assert_eq!((status, answer["error"]["code"].as_str()), (409, Some("not_held")), "{answer}");
    let trace = rig.trace();
    for line in
        ["carrier (the caller) is put on hold, as requested", "pbx (the callee) is taken off hold, as requested"]
    {
        assert!(trace.contains(line), "no {line} in {trace}");
    }
    rig.call.hang_up(2, &rig.caller, &rig.callee);
}

#[test]
fn a_sound_is_played_to_a_party_and_digits_are_sent() {
    let rig = Rig::new();
    rig.talk();
    let (status, answer) = rig.ask("play", r#"{"file":"closed.wav"}"#);
    assert_eq!((status, &answer["ms"], &answer["parties"]), (202, &json!(200), &json!(["caller"])), "{answer}");
    hears(&rig.caller, SOUND);
    until("the sound is over", || (rig.state() == "answered").then_some(()));
    rig.talk();
    let trace = rig.trace();
    assert!(trace.contains("carrier (the caller) hears closed.wav, as requested"), "{trace}");
    for (body, expected) in [
        (r#"{"digits":"1"}"#, (409, "no_telephone_event")),
        (r#"{"digits":"1","party":"callee"}"#, (409, "no_telephone_event")),
        (r#"{"digits":"?","party":"callee"}"#, (422, "bad_digits")),
    ] {
        let (status, answer) = rig.ask("dtmf", body);
        assert_eq!((status, answer["error"]["code"].as_str().unwrap()), expected, "{answer}");
    }
    rig.call.hang_up(2, &rig.caller, &rig.callee);
}

#[test]
fn a_party_is_connected_with_another_by_a_request() {
    let rig = Rig::new();
    rig.talk();
    let (status, answer) = rig.ask("transfer", r#"{"target":"trunk:desk/+14155550177"}"#);
    assert_eq!(status, 202, "{answer}");
    let (invite, from) = rig.desk.sip.receive("INVITE ");
    assert!(invite.starts_with("INVITE sip:+14155550177@"), "{invite}");
    assert_eq!(rig.state(), "transferring");
    rig.desk.sip.send(from, &rig.desk.sip.answer_with(&invite, "200 OK", &rig.desk.description(1, "")));
    rig.desk.sip.receive("ACK ");
    let (bye, from) = rig.callee.sip.receive("BYE ");
    rig.callee.sip.send(from, &rig.callee.sip.answer_with(&bye, "200 OK", ""));
    until("the caller hears the desk", || {
        let to = crate::support::calls::media_of(&invite);
        rig.desk.rtp.send_to(&rtp(11, 5), to).unwrap();
        (payload(&rig.caller) == [5; 160]).then_some(())
    });
    assert_eq!(rig.state(), "answered");
    let bye = rig.caller.sip.request_with("BYE", NUMBER, rig.call.sip, &rig.call.id, (2, &rig.call.tag), "");
    rig.caller.sip.send(rig.call.sip, &bye);
    rig.desk.sip.receive("BYE ");
    let legs = rig.edge.json(&format!("/v1/calls/{}", rig.edge.sid()))["legs"].clone();
    assert_eq!((&legs[1]["reason"], &legs[1]["ended_by"]), (&json!("transferred"), &json!("edge")), "{legs}");
}
