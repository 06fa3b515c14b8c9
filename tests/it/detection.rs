//! Answering machine detection through the real binary: calls with `MachineDetection`, and parties of a Dial.

use std::net::SocketAddr;

use serde_json::{Value, json};
use trunkgate_media::agent::sign_form;
use trunkgate_media::codec::g711::encode_ulaw;
use trunkgate_media::rtp::RtpHeader as Header;

use crate::apps::{ACCOUNT, Rig, TOKEN, application, form, parameter, path};
use crate::requested::{TO, ask, rig};
use crate::support::calls::{NUMBER, Speaking, media_of, next_port, received, rtp, wait_until_bound};
use crate::support::endpoint::{Endpoint, Post};
use crate::support::pace::Watch;
use crate::support::until;

/// Samples per millisecond.
const MS: usize = 8;

/// Audio that a party sends after its answer.
#[derive(Default, Clone)]
struct Says(Vec<i16>);

impl Says {
    fn silence(mut self, ms: usize) -> Says {
        self.0.extend(std::iter::repeat_n(0, ms * MS));
        self
    }

    fn tone(mut self, hz: f32, ms: usize) -> Says {
        let at = |n: usize| 6000.0 * (std::f32::consts::TAU * hz * n as f32 / 8000.0).sin();
        self.0.extend((0..ms * MS).map(|n| at(n) as i16));
        self
    }

    /// Appends voice-like audio with a gliding pitch and its harmonics.
    fn speech(mut self, ms: usize) -> Says {
        let mut phase = 0.0;
        self.0.extend((0..ms * MS).map(|n| {
            let at = n as f32 / 8000.0;
            phase += 140.0 * (1.0 + 0.15 * (at * 5.0).sin()) / 8000.0;
            let harmonics = (1..12).map(|harmonic| (std::f32::consts::TAU * phase * harmonic as f32).sin());
            (1500.0 * (0.3 + 0.7 * (at * 12.0).sin().abs()) * harmonics.sum::<f32>()) as i16
        }));
        self
    }

    /// Returns the consecutive packets of the audio, followed by silence.
    fn packets(self) -> impl Fn(u16) -> Vec<u8> + Send + 'static {
        move |n| {
            let begin = usize::from(n) * 160;
            let samples = (begin..begin + 160).map(|at| self.0.get(at).copied().unwrap_or(0));
            let codes: Vec<u8> = samples.map(encode_ulaw).collect();
            let timestamp = u32::from(n) * 160;
            let header = Header { marker: n == 0, payload_type: 0, sequence: n, timestamp, ssrc: 7, payload: 0..0 };
            let mut packet = Vec::new();
            header.build(&codes, &mut packet);
            packet
        }
    }
}

/// Answers the call at the party, and sends this audio.
fn answers(rig: &Rig, says: Says) -> ((String, SocketAddr), Speaking) {
    let dialog = rig.pbx_answers();
    let far = media_of(&dialog.0);
    wait_until_bound(next_port(far));
    (dialog, Speaking::new(&rig.pbx.rtp, far, says.packets()))
}

/// Starts an application with a long document.
fn app() -> Endpoint {
    application(&[("/voice", "<Pause length=\"60\"/>"), ("/status", ""), ("/amd", "")])
}

/// Begins a call with these parameters; returns its SID.
fn begins(rig: &Rig, app: &Endpoint, parameters: &[(&str, &str)]) -> String {
    let url = |path: &str| format!("http://{}{path}", app.address);
    let (voice, status, amd) = (url("/voice"), url("/status"), url("/amd"));
    let own = [("To", TO), ("From", NUMBER), ("Url", &*voice), ("StatusCallback", &*status)];
    let is_async = parameters.contains(&("AsyncAmd", "true"));
    let receiver = [("AsyncAmdStatusCallback", &*amd)];
    let receiver = if is_async { &receiver[..] } else { &[] };
    let (code, created) = ask(rig, "POST", "Calls.json", &[&own[..], receiver, parameters].concat());
    assert_eq!((code, &created["answered_by"]), (201, &Value::Null), "{created}");
    created["sid"].as_str().unwrap().to_owned()
}

fn shown(rig: &Rig, sid: &str) -> Value {
    ask(rig, "GET", &format!("Calls/{sid}.json"), &[]).1
}

/// Tries a call up to three times: if this machine is late, the audio has gaps. `judged` returns whether the verdict is
/// as expected.
fn in_time(mut judged: impl FnMut() -> bool) {
    for _ in 0..3 {
        let watch = Watch::new();
        if judged() {
            return;
        }
        assert!(!watch.is_in_time(), "another verdict was expected");
    }
}

/// Waits for the application's request with this path.
fn request(app: &Endpoint, wanted: &str) -> Post {
    until(wanted, || app.posts().into_iter().find(|post| path(post) == wanted))
}

#[test]
fn the_document_of_a_call_waits_for_the_verdict() {
    for (says, parameters, answered_by) in [
        (Says::default().silence(300).speech(500), &[("MachineDetection", "Enable")][..], "human"),
        (
            Says::default().silence(300).speech(3_000).silence(400).tone(1_000.0, 400),
            &[("MachineDetection", "DetectMessageEnd")],
            "machine_end_beep",
        ),
        (Says::default().silence(300).speech(4_000), &[("MachineDetection", "Enable")], "machine_start"),
        (Says::default(), &[("MachineDetection", "Enable"), ("MachineDetectionSilenceTimeout", "2000")], "unknown"),
        (
            Says::default().speech(9_000),
            &[
                ("MachineDetection", "Enable"),
                ("MachineDetectionTimeout", "3"),
                ("MachineDetectionSpeechThreshold", "6000"),
            ],
            "unknown",
        ),
    ] {
        in_time(|| {
            let (app, rig) = (app(), rig(""));
            let sid = begins(&rig, &app, parameters);
            let (dialog, _speaking) = answers(&rig, says.clone());
            let voice = request(&app, "/voice");
            if parameter(&voice, "AnsweredBy") != answered_by {
                eprintln!("{}", rig.trace());
                return false;
            }
            assert!(parameter(&voice, "MachineDetectionDuration").parse::<u32>().unwrap() > 0);
            assert_eq!(shown(&rig, &sid)["answered_by"], answered_by);
            rig.pbx_hangs_up(&dialog);
            assert_eq!(parameter(&request(&app, "/status"), "AnsweredBy"), answered_by);
            let legs = &rig.edge.json(&format!("/v1/calls/{sid}"))["legs"];
            assert_eq!(legs[1]["answered_by"], answered_by, "{legs}");
            assert!(
                rig.trace().contains(&format!("answering-machine detection: {answered_by} after")),
                "{}",
                rig.trace()
            );
            true
        });
    }
}

#[test]
fn an_asynchronous_verdict_is_posted_while_the_document_runs() {
    in_time(|| {
        let (app, rig) = (app(), rig(""));
        let sid = begins(&rig, &app, &[("MachineDetection", "Enable"), ("AsyncAmd", "true")]);
        let (_, _speaking) = answers(&rig, Says::default().silence(300).tone(2_100.0, 3_000));
        let voice = request(&app, "/voice");
        assert!(form(&voice).iter().all(|(name, _)| name != "AnsweredBy"), "{voice:?}");
        let amd = request(&app, "/amd");
        if parameter(&amd, "AnsweredBy") != "fax" {
            eprintln!("{}", rig.trace());
            return false;
        }
        let duration = parameter(&amd, "MachineDetectionDuration");
        let expected = [("CallSid", &*sid), ("AccountSid", ACCOUNT), ("AnsweredBy", "fax")];
        let expected = expected.into_iter().chain([("MachineDetectionDuration", &*duration)]);
        let expected: Vec<(String, String)> = expected.map(|(name, value)| (name.into(), value.into())).collect();
        assert_eq!(form(&amd), expected);
        let url = format!("http://{}/amd", app.address);
        assert_eq!(amd.headers["x-twilio-signature"], sign_form(TOKEN, &url, &form(&amd)));
        assert_eq!(
            (&shown(&rig, &sid)["answered_by"], &shown(&rig, &sid)["status"]),
            (&json!("fax"), &json!("in-progress"))
        );
        true
    });
}

#[test]
fn a_party_that_hangs_up_meanwhile_is_not_judged() {
    let (app, rig) = (app(), rig(""));
    let sid = begins(&rig, &app, &[("MachineDetection", "Enable")]);
    let (dialog, _speaking) = answers(&rig, Says::default());
    until("it is judged", || rig.trace().contains("answering-machine detection begins").then_some(()));
    rig.pbx_hangs_up(&dialog);
    let status = request(&app, "/status");
    assert_eq!(parameter(&status, "CallStatus"), "completed");
    assert!(form(&status).iter().all(|(name, _)| name != "AnsweredBy"), "{status:?}");
    assert_eq!(shown(&rig, &sid)["answered_by"], Value::Null);
    assert!(app.posts().iter().all(|post| path(post) != "/voice"), "the document is not asked for");
}

#[test]
fn a_party_of_a_dial_is_judged_once_it_is_connected() {
    in_time(|| {
        let app = application(&[
            (
                "/voice",
                "<Dial><Number machineDetection=\"DetectMessageEnd\" amdStatusCallback=\"/amd\" statusCallback=\"/status\">\
                 +14155550199</Number></Dial>",
            ),
            ("/amd", ""),
            ("/status", ""),
        ]);
        let url = format!("http://{}/voice", app.address);
        let rig = Rig::new(&format!("[app.ivr]\nurl = \"{url}\"\nallow_private = true\n"), r#""app:ivr""#, &[]);
        rig.invite();
        rig.answered();
        // Two tones, since the beginning of one may be lost on a busy machine.
        let says =
            Says::default().silence(300).speech(3_000).silence(400).tone(440.0, 800).silence(400).tone(440.0, 800);
        let (dialog, _speaking) = answers(&rig, says);
        let amd = request(&app, "/amd");
        if parameter(&amd, "AnsweredBy") != "machine_end_beep" {
            eprintln!("{}", rig.trace());
            return false;
        }
        let sid = parameter(&amd, "CallSid");
        assert_ne!(sid, rig.edge.sid(), "the party's own");
        assert_eq!(shown(&rig, &sid)["answered_by"], "machine_end_beep");
        assert_eq!(shown(&rig, &rig.edge.sid())["answered_by"], Value::Null);
        rig.pbx_hangs_up(&dialog);
        assert_eq!(parameter(&request(&app, "/status"), "AnsweredBy"), "machine_end_beep");
        true
    });
}

/// The verdict arrives while the party hears its document, as on Twilio: a machine is not connected with the caller.
#[test]
fn a_party_that_hears_a_document_is_judged_from_its_answer_on() {
    in_time(|| {
        let app = application(&[
            (
                "/voice",
                "<Dial><Number url=\"/whisper\" machineDetection=\"Enable\" amdStatusCallback=\"/amd\">+14155550199</Number></Dial>",
            ),
            ("/whisper", "<Pause length=\"60\"/>"),
            ("/amd", ""),
        ]);
        let url = format!("http://{}/voice", app.address);
        let rig = Rig::new(&format!("[app.ivr]\nurl = \"{url}\"\nallow_private = true\n"), r#""app:ivr""#, &[]);
        rig.invite();
        rig.answered();
        let (dialog, _speaking) = answers(&rig, Says::default().silence(300).speech(4_000));
        let amd = request(&app, "/amd");
        if parameter(&amd, "AnsweredBy") != "machine_start" {
            eprintln!("{}", rig.trace());
            return false;
        }
        let sid = parameter(&amd, "CallSid");
        assert_eq!(
            (&shown(&rig, &sid)["answered_by"], &shown(&rig, &sid)["status"]),
            (&json!("machine_start"), &json!("in-progress"))
        );
        rig.pbx_hangs_up(&dialog);
        true
    });
}

/// A party can press keys for its document even if its caller cannot send DTMF.
#[test]
fn keys_of_a_party_reach_its_document_where_the_caller_has_none() {
    let app = application(&[
        ("/voice", "<Dial><Number url=\"/whisper\">+14155550199</Number></Dial>"),
        ("/whisper", "<Gather numDigits=\"1\" timeout=\"60\" action=\"/chosen\"/>"),
        ("/chosen", ""),
    ]);
    let url = format!("http://{}/voice", app.address);
    let rig = Rig::new(&format!("[app.ivr]\nurl = \"{url}\"\nallow_private = true\n"), r#""app:ivr""#, &[]);
    let (sip, caller) = (rig.edge.address("udp"), &rig.caller);
    let offer = caller.described(1, &format!("m=audio {} RTP/AVP 0\r\n", caller.rtp_address().port()));
    caller.sip.send(sip, &caller.sip.request_with("INVITE", NUMBER, sip, "app", (1, ""), &offer));
    let near = media_of(&rig.answered());
    let (invite, from) = rig.pbx.sip.receive("INVITE ");
    assert!(invite.contains("a=rtpmap:101 telephone-event/8000"), "{invite}");
    let events = "a=rtpmap:101 telephone-event/8000\r\n";
    let media = format!("m=audio {} RTP/AVP 0 101\r\n{events}", rig.pbx.rtp_address().port());
    rig.pbx.sip.send(from, &rig.pbx.sip.answer_with(&invite, "200 OK", &rig.pbx.described(1, &media)));
    rig.pbx.sip.receive("ACK ");
    let far = media_of(&invite);
    wait_until_bound(next_port(far));
    request(&app, "/whisper");
    let key = |n: u16| {
        let mut packet = rtp(9, 500 + n);
        packet.truncate(12);
        packet[1] = 101;
        packet[4..8].copy_from_slice(&(80_000 + 8_000 * u32::from(n)).to_be_bytes());
        packet.extend([5, 0x80 | 10, 3, 0x20]);
        packet
    };
    let mut pressed = 0;
    until("the key is known", || {
        // Each is another digit, because digits before the prompt are not collected.
        rig.pbx.rtp.send_to(&key(pressed), far).unwrap();
        pressed += 1;
        app.posts()
            .into_iter()
            .find(|post| path(post) == "/chosen")
            .map(|post| assert_eq!(parameter(&post, "Digits"), "5"))
    });
    // After the connection the caller does not hear the party's digits, and its audio is unchanged.
    for n in [9_000, 9_001] {
        until("the caller hears the party", || {
            rig.pbx.rtp.send_to(&rtp(9, n), far).unwrap();
            rig.caller.rtp.send_to(&rtp(7, 1), near).unwrap();
            let (packet, _) = received(&rig.caller.rtp);
            assert_ne!(packet[1] & 0x7f, 101, "a key");
            (packet[12..] == rtp(9, n)[12..]).then_some(())
        });
        rig.pbx.rtp.send_to(&key(pressed), far).unwrap();
        pressed += 1;
    }
}

/// The party joins without delay, and the verdict is posted.
#[test]
fn a_participant_of_a_conference_is_judged_while_it_is_there() {
    let app = app();
    let rig = rig("");
    for (says, who) in [
        (Says::default().silence(300).speech(700).silence(6_000), "human"),
        (Says::default().silence(300).speech(4_000), "machine_start"),
    ] {
        let amd = format!("http://{}/amd", app.address);
        let fields = [
            ("To", TO),
            ("From", NUMBER),
            ("MachineDetection", "Enable"),
            ("AmdStatusCallback", &*amd),
            ("Beep", "false"),
        ];
        let (code, added) = ask(&rig, "POST", "Conferences/room/Participants.json", &fields);
        assert_eq!(code, 201, "{added}");
        let sid = added["call_sid"].as_str().unwrap().to_owned();
        let _speaking = answers(&rig, says);
        let post = until("the verdict is posted", || {
            app.posts().into_iter().find(|post| path(post) == "/amd" && parameter(post, "CallSid") == sid)
        });
        assert_eq!(parameter(&post, "AnsweredBy"), who, "{}", rig.trace());
        assert_eq!(shown(&rig, &sid)["answered_by"], who);
        let conference = rig.edge.json(&format!("/v1/calls/{sid}"))["conference"]["name"].clone();
        assert_eq!(conference, "room", "it is there");
        assert_eq!(ask(&rig, "POST", &format!("Calls/{sid}.json"), &[("Status", "completed")]).0, 200);
        let (bye, from) = rig.pbx.sip.receive("BYE ");
        rig.pbx.sip.send(from, &rig.pbx.sip.answer_with(&bye, "200 OK", ""));
    }
}

#[test]
fn parameters_of_a_detection_have_ranges() {
    let rig = rig("");
    let own = [("To", TO), ("From", NUMBER), ("Twiml", "<Response/>"), ("MachineDetection", "Enable")];
    for (name, value, code) in [
        ("MachineDetection", "enable", 20_001),
        ("MachineDetectionTimeout", "2", 20_001),
        ("MachineDetectionTimeout", "61", 20_001),
        ("MachineDetectionSpeechThreshold", "999", 20_001),
        ("MachineDetectionSpeechThreshold", "6001", 20_001),
        ("MachineDetectionSpeechEndThreshold", "499", 20_001),
        ("MachineDetectionSpeechEndThreshold", "5001", 20_001),
        ("MachineDetectionSilenceTimeout", "1999", 20_001),
        ("MachineDetectionSilenceTimeout", "10001", 20_001),
        ("MachineDetectionSilenceTimeout", "soon", 20_001),
        ("AsyncAmd", "perhaps", 20_001),
        ("AsyncAmdStatusCallback", "ftp://a.example/", 21_205),
        ("AsyncAmdStatusCallbackMethod", "PUT", 20_001),
    ] {
        let (status, answer) = ask(&rig, "POST", "Calls.json", &[&own[..], &[(name, value)]].concat());
        assert_eq!((status, &answer["code"]), (400, &json!(code)), "{name}={value}: {answer}");
        assert!(answer["message"].as_str().unwrap().starts_with(name), "{answer}");
    }
    let unreached = [("AsyncAmd", "true"), ("AsyncAmdStatusCallback", "http://169.254.169.254/")];
    let (status, answer) = ask(&rig, "POST", "Calls.json", &[&own[..], &unreached].concat());
    assert_eq!((status, &answer["code"]), (400, &json!(21_205)), "{answer}");
    assert_eq!(rig.edge.json("/v1/calls")["calls"], json!([]), "none has begun");
}
