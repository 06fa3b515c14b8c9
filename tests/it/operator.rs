//! HTTP requests for calls between two parties, through the real binary: hold, resume, play, DTMF and transfer, with
//! SIP and RTP on plain sockets.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::collections::VecDeque;
use std::f64::consts::TAU;

use serde_json::json;
use trunkgate_media::codec::g711::encode_ulaw;
use trunkgate_media::rtp::RtpHeader;

use crate::support::calls::{Call, NUMBER, Phone, received, rtp};
use crate::support::codecs::{Codec, Hearer, Speaker, tone};
use crate::support::secure::{Media, described as secure, offered};
use crate::support::{Process, config, until};

/// Sample values of the music, and of the announcement.
const MUSIC: i16 = 3_000;
const SOUND: i16 = -8_000;

/// Returns a WAV file with one sample value throughout, at 8 kHz.
fn wav(sample: i16, milliseconds: usize) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let spec =
        hound::WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut wav = hound::WavWriter::new(&mut bytes, spec).unwrap();
    (0..milliseconds * 8).for_each(|_| wav.write_sample(sample).unwrap());
    wav.finalize().unwrap();
    bytes.into_inner()
}

/// Edge with an answered call between two trunks.
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

    /// Sends a request for the call; returns the status and the response.
    fn ask(&self, what: &str, body: &str) -> (u16, serde_json::Value) {
        self.edge.ask("POST", &format!("/v1/calls/{}/{what}", self.edge.sid()), body)
    }

    fn state(&self) -> String {
        self.edge.json(&format!("/v1/calls/{}", self.edge.sid()))["state"].as_str().unwrap().to_owned()
    }

    fn trace(&self) -> String {
        self.edge.get(&format!("/v1/calls/{}/trace.txt", self.edge.sid())).1
    }

    /// Checks that each side receives the numbered packets of the other.
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

/// Returns the audio of the next packet that a phone receives.
fn payload(phone: &Phone) -> Vec<u8> {
    let (packet, _) = received(&phone.rtp);
    let audio = RtpHeader::parse(&packet).unwrap().payload;
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

/// Returns a WAV file with a tone, at 8 kHz.
fn wav_of_tone(hz: f64, milliseconds: usize) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let spec =
        hound::WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut wav = hound::WavWriter::new(&mut bytes, spec).unwrap();
    (0..milliseconds * 8)
        .for_each(|n| wav.write_sample((8000.0 * (TAU * hz * n as f64 / 8000.0).sin()) as i16).unwrap());
    wav.finalize().unwrap();
    bytes.into_inner()
}

/// Number of packets needed to recognise a tone.
const WINDOW: usize = 15;

/// Phone that uses one codec, with or without SRTP.
struct Talker<'a> {
    media: Media<'a>,
    codec: Codec,
    speaker: Speaker,
    hearer: Hearer,
    said: usize,
}

impl<'a> Talker<'a> {
    fn new(media: Media<'a>, codec: Codec) -> Talker<'a> {
        Talker { media, codec, speaker: Speaker::new(codec, true), hearer: Hearer::new(codec), said: 0 }
    }

    /// Sends 20 ms of a 500 Hz tone.
    fn say(&mut self) {
        let samples = self.codec.rate_hz() as usize / 50;
        let payload = self.speaker.say(&tone(self.codec, self.said * samples, samples));
        self.media.send(&self.codec.packet(self.said, self.codec.number(), &payload));
        self.said += 1;
    }

    /// Decrypts and decodes packets until they contain a loud tone; calls `before` before each packet.
    fn hears(&mut self, hz: f64, mut before: impl FnMut()) {
        let mut last = VecDeque::new();
        until("the tone is heard", || {
            before();
            let packet = self.media.receive();
            let rtp = RtpHeader::parse(&packet).unwrap();
            assert_eq!(rtp.payload_type, self.codec.number());
            last.push_back(self.hearer.hear(&packet[rtp.payload]));
            if last.len() > WINDOW {
                last.pop_front();
            }
            let samples: Vec<i16> = last.iter().flatten().copied().collect();
            let (mut re, mut im, mut all) = (0.0, 0.0, 1.0);
            for (n, sample) in samples.iter().enumerate() {
                let (angle, sample) = (TAU * hz * n as f64 / f64::from(self.codec.rate_hz()), f64::from(*sample));
                (re, im, all) = (re + sample * angle.cos(), im + sample * angle.sin(), all + sample * sample);
            }
            let is_loud = all / samples.len() as f64 > 4000.0 * 4000.0;
            let is_tone = 2.0 * (re * re + im * im) / samples.len() as f64 / all > 0.9;
            (last.len() == WINDOW && is_loud && is_tone).then_some(())
        });
    }
}

/// Checks that each side hears the other side's 500 Hz tone.
fn talk(near: &mut Talker<'_>, far: &mut Talker<'_>) {
    far.hears(500.0, || near.say());
    near.hears(500.0, || far.say());
}

/// The caller has SRTP and PCMU; the callee has A-law and SRTP with other keys, or Opus and plain RTP. Music and sounds
/// reach each side in its own codec and with its own keys, and afterwards both sides hear each other again.
#[test]
fn parties_with_other_keys_and_codecs_are_held_played_to_and_talk_again() {
    for far_codec in [Codec::Pcma, Codec::Opus] {
        let [caller, callee] = ["127.0.0.2", "127.0.0.5"].map(Phone::new);
        let is_secure = far_codec == Codec::Pcma;
        let srtp = if is_secure { "srtp = \"required\"\n" } else { "" };
        let text = format!(
            "{}codecs = [\"PCMU\"]\nsrtp = \"required\"\nhold_music = \"music.wav\"\nhold = \"local\"\n\
             {}codecs = [\"{}\"]\n{srtp}hold_music = \"music.wav\"\nhold = \"local\"\n\
             [[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n",
            caller.trunk("carrier"),
            callee.trunk("pbx"),
            far_codec.name()
        );
        let files = [("music.wav", &wav_of_tone(1000.0, 1000)[..]), ("closed.wav", &wav_of_tone(1500.0, 2000)[..])];
        let edge = Process::start_with_documents(&config(&text), &files);
        let sip = edge.address("udp");
        let offer = secure(&caller, 1, "0", Some((1, 3)), "sendrecv");
        caller.sip.send(sip, &caller.sip.request_with("INVITE", NUMBER, sip, "keys", (1, ""), &offer));
        let invite = callee.sip.receive("INVITE ");
        let answer = match offered(&invite.0).filter(|_| is_secure) {
            Some((tag, _)) => secure(&callee, 1, "8", Some((tag, 9)), "sendrecv"),
            None => far_codec.sdp(&callee),
        };
        let call = Call::answered(sip, "keys", &caller, invite, (&callee, &answer));
        let mut near = Talker::new(Media::new(&caller, call.near, Some(3), &call.ok), Codec::Pcmu);
        let seed = is_secure.then_some(9);
        let mut far = Talker::new(Media::new(&callee, call.far, seed, &call.invite.0), far_codec);
        talk(&mut near, &mut far);
        let sid = edge.sid();
        let ask = |what: &str, body: &str| edge.ask("POST", &format!("/v1/calls/{sid}/{what}"), body).0;
        assert_eq!(ask("hold", r#"{"party":"both"}"#), 200);
        near.hears(1000.0, || ());
        far.hears(1000.0, || ());
        assert_eq!(ask("resume", ""), 200);
        talk(&mut near, &mut far);
        assert_eq!(ask("play", r#"{"file":"closed.wav","party":"both"}"#), 202);
        near.hears(1500.0, || ());
        far.hears(1500.0, || ());
        let state = || edge.json(&format!("/v1/calls/{sid}"))["state"].clone();
        until("the sound is over", || (state() == "answered").then_some(()));
        talk(&mut near, &mut far);
        for reason in ["auth", "replay"] {
            assert_eq!(edge.metric(&format!("trunkgate_srtp_errors_total{{reason=\"{reason}\"}}")), 0.0);
        }
        call.hang_up(2, &caller, &callee);
    }
}
