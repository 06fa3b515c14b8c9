//! DTMF of phones in different formats, and of agents, through the real binary.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::net::{SocketAddr, TcpListener};

use crate::support::calls::{Call, NUMBER, Phone, media_of, next_port, received, wait_until_bound};
use crate::support::pace::Watch;
use crate::support::sip::{field, to_tag};
use crate::support::talk::Talk;
use crate::support::{PATIENCE, Process, config};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio_tungstenite::tungstenite::{Message, accept};
use trunkgate_media::codec::g711::{decode_ulaw, encode_ulaw};
use trunkgate_media::codec::opus::OpusPreferences;
use trunkgate_media::codec::{g722, opus};
use trunkgate_media::rtp::RtpHeader;

const EVENTS: &str = "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n";
const OPUS: &str = "a=rtpmap:107 opus/48000/2\r\na=fmtp:107 useinbandfec=1\r\n";
const OPUS_EVENTS: &str = "a=rtpmap:101 telephone-event/48000\r\na=fmtp:101 0-15\r\n";
/// Codecs by payload type, of which a trunk may use one.
const CODECS: [(u8, &str); 3] = [(0, "PCMU"), (9, "G722"), (107, "opus")];

fn may_use(codec: u8) -> String {
    let (_, name) = CODECS.iter().find(|(number, _)| *number == codec).unwrap();
    format!("codecs = [\"{name}\"]\n")
}

/// Starts an edge between two trunks with these `dtmf` settings.
fn edge(caller: (&Phone, &str), callee: (&Phone, &str)) -> Process {
    edge_between((caller.0, caller.1, 0), (callee.0, callee.1, 0))
}

/// Starts an edge between two trunks with these `dtmf` settings and codecs.
fn edge_between(caller: (&Phone, &str, u8), callee: (&Phone, &str, u8)) -> Process {
    let trunk = |(phone, dtmf, codec): (&Phone, &str, u8), name: &str| {
        format!("{}dtmf = \"{dtmf}\"\n{}", phone.trunk(name), may_use(codec))
    };
    Process::start(&config(&format!(
        "{}{}[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n",
        trunk(caller, "carrier"),
        trunk(callee, "pbx")
    )))
}

fn described(phone: &Phone, dtmf: &str) -> String {
    let port = phone.rtp_address().port();
    match dtmf {
        "rfc4733" => phone.described(1, &format!("m=audio {port} RTP/AVP 0 101\r\n{EVENTS}")),
        _ => phone.described(1, &format!("m=audio {port} RTP/AVP 0\r\n")),
    }
}

fn packet(sequence: u16, payload_type: u8, timestamp: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    RtpHeader { marker: false, payload_type, sequence, timestamp, ssrc: 77, payload: 0..0 }.build(payload, &mut bytes);
    bytes
}

/// Returns the telephone-events of one digit that a phone receives: event code, end bit and duration so far.
fn press_heard(phone: &Phone) -> Vec<(u8, bool, u16)> {
    let mut heard = Vec::new();
    loop {
        let (bytes, _) = received(&phone.rtp);
        let rtp = RtpHeader::parse(&bytes).unwrap();
        if rtp.payload_type == 101 {
            let [event, flags, high, low] = bytes[rtp.payload] else { panic!("{bytes:?}") };
            heard.push((event, flags & 0x80 != 0, u16::from_be_bytes([high, low])));
        }
        if heard.iter().filter(|(_, ended, _)| *ended).count() == 3 {
            return heard;
        }
    }
}

#[test]
fn keys_reach_a_side_that_presses_them_in_another_way() {
    let (caller, callee) = (Phone::new("127.0.0.2"), Phone::new("127.0.0.5"));
    let edge = edge((&caller, "info"), (&callee, "rfc4733"));
    let sip = edge.address("udp");
    let (offer, answer) = (described(&caller, "info"), described(&callee, "rfc4733"));
    let call = Call::agree(sip, "dtmf-1", (&caller, &offer), (&callee, &answer));
    assert!(call.invite.0.contains("RTP/AVP 0 101\r\n") && call.ok.contains("RTP/AVP 0\r\n"), "{}", call.ok);
    // The caller sends an INFO.
    let key = "Signal=5\r\nDuration=160\r\n";
    let info = caller.sip.request_with("INFO", NUMBER, sip, "dtmf-1", (2, &call.tag), key);
    caller.sip.send(sip, &info.replace("application/sdp", "application/dtmf-relay"));
    caller.sip.receive("SIP/2.0 200");
    // Neither side has sent audio before.
    let heard = press_heard(&callee);
    assert_eq!(heard.first(), Some(&(5, false, 160)));
    assert_eq!(heard.last(), Some(&(5, true, 1280)));
    // The callee sends telephone-events, of which only the last but one packet arrives.
    callee.rtp.send_to(&packet(1, 0, 160, &[0x55; 160]), call.far).unwrap();
    assert_eq!(received(&caller.rtp).0.len(), 172);
    callee.rtp.send_to(&packet(9, 101, 320, &[11, 0x8a, 3, 0x20]), call.far).unwrap();
    let (told, from) = caller.sip.receive("INFO ");
    assert_eq!(field(&told, "Content-Type"), "application/dtmf-relay");
    assert!(told.ends_with("\r\n\r\nSignal=#\r\nDuration=100\r\n"), "{told}");
    caller.sip.send(from, &caller.sip.answer_with(&told, "200 OK", ""));
    // The digits must appear nowhere.
    let sid = edge.json("/v1/calls")["calls"][0]["sid"].as_str().unwrap().to_owned();
    let trace = edge.json(&format!("/v1/calls/{sid}/trace")).to_string();
    assert!(trace.contains("INFO") && !trace.contains("Signal"), "{trace}");
    call.hang_up(3, &caller, &callee);
}

/// Encoder and decoder of a phone in one codec.
struct Voice {
    codec: u8,
    sequence: u16,
    says: (g722::G722Encoder, opus::OpusEncoder),
    hears: (g722::G722Decoder, opus::OpusDecoder),
}

impl Voice {
    fn new(codec: u8) -> Voice {
        let opus = (opus::OpusEncoder::new(16_000, OpusPreferences::default()), opus::OpusDecoder::new(16_000));
        let (says, hears) = (g722::G722Encoder::new(), g722::G722Decoder::new());
        Voice { codec, sequence: 0, says: (says, opus.0.unwrap()), hears: (hears, opus.1.unwrap()) }
    }

    fn rate(&self) -> f64 {
        if self.codec == 0 { 8000.0 } else { 16_000.0 }
    }

    /// Returns the SDP with the codec of the phone.
    fn described(&self, phone: &Phone, events: bool) -> String {
        let (codec, port) = (self.codec, phone.rtp_address().port());
        let map = if codec == 107 { OPUS } else { "" };
        let (number, events) = match (events, codec) {
            (false, _) => ("", ""),
            (true, 107) => (" 101", OPUS_EVENTS),
            (true, _) => (" 101", EVENTS),
        };
        phone.described(1, &format!("m=audio {port} RTP/AVP {codec}{number}\r\n{map}{events}"))
    }

    /// Sends 200 ms of the tone of digit 5 and 200 ms of silence.
    fn press_five(&mut self, phone: &Phone, to: SocketAddr) {
        let rate = self.rate();
        let value = |hz: f64, n: usize| (std::f64::consts::TAU * hz * n as f64 / rate).sin();
        let tone = |n: usize| (7000.0 * (value(770.0, n) + value(1336.0, n))) as i16;
        let samples = rate as usize / 50;
        for at in 0..20 {
            let frame: Vec<i16> =
                (at * samples..(at + 1) * samples).map(|n| if at < 10 { tone(n) } else { 0 }).collect();
            let payload = match self.codec {
                9 => frame.as_chunks::<2>().0.iter().map(|[a, b]| self.says.0.encode(*a, *b)).collect(),
                107 => {
                    let mut packet = vec![0; 1000];
                    let bytes = self.says.1.encode(&frame, &mut packet);
                    packet.truncate(bytes);
                    packet
                }
                _ => frame.iter().map(|sample| encode_ulaw(*sample)).collect::<Vec<u8>>(),
            };
            let ticks = if self.codec == 107 { 960 } else { 160 };
            let timestamp = u32::from(self.sequence) * ticks;
            phone.rtp.send_to(&packet(self.sequence, self.codec, timestamp, &payload), to).unwrap();
            self.sequence += 1;
        }
    }

    /// Returns the share of digit 5's tone in the next packet that the phone receives.
    fn hears_five(&mut self, phone: &Phone) -> f64 {
        let (bytes, _) = received(&phone.rtp);
        let rtp = RtpHeader::parse(&bytes).unwrap();
        assert_eq!(rtp.payload_type, self.codec);
        let payload = &bytes[rtp.payload];
        let samples: Vec<i16> = match self.codec {
            9 => payload.iter().flat_map(|code| self.hears.0.decode(*code)).collect(),
            107 => {
                let mut samples = vec![0; 1920];
                let count = self.hears.1.decode(payload, &mut samples).unwrap();
                samples.truncate(count);
                samples
            }
            _ => payload.iter().map(|code| decode_ulaw(*code)).collect(),
        };
        share_of_five(&samples, self.rate())
    }
}

/// Returns the share of digit 5's tone in audio.
fn share_of_five(samples: &[i16], rate: f64) -> f64 {
    let samples: Vec<f64> = samples.iter().map(|sample| f64::from(*sample)).collect();
    let all: f64 = samples.iter().map(|sample| sample * sample).sum();
    let power = |hz: f64| {
        let (mut re, mut im) = (0.0, 0.0);
        for (n, sample) in samples.iter().enumerate() {
            let angle = std::f64::consts::TAU * hz * n as f64 / rate;
            (re, im) = (re + sample * angle.cos(), im + sample * angle.sin());
        }
        re * re + im * im
    };
    2.0 * (power(770.0) + power(1336.0)) / samples.len() as f64 / all.max(1.0)
}

#[test]
fn tones_become_telephone_events_and_telephone_events_tones() {
    for (near, far) in [(0, 0), (107, 0), (0, 107), (9, 107)] {
        let (caller, callee) = (Phone::new("127.0.0.2"), Phone::new("127.0.0.5"));
        let edge = edge_between((&caller, "inband", near), (&callee, "rfc4733", far));
        let sip = edge.address("udp");
        let (mut voice, other) = (Voice::new(near), Voice::new(far));
        let (offer, answer) = (voice.described(&caller, false), other.described(&callee, true));
        let call = Call::agree(sip, "dtmf-2", (&caller, &offer), (&callee, &answer));
        // The clock is that of the audio (RFC 4733 §2.1).
        let ticks = if far == 107 { 6 } else { 1 };
        // The caller sends a tone of 200 ms, which the callee must not hear.
        voice.press_five(&caller, call.near);
        let heard = press_heard(&callee);
        let (event, _, lasts) = heard[heard.len() - 1];
        assert!(event == 5 && (1280..=1920).contains(&(lasts / ticks)), "{near} {far}: {heard:?}");
        // The callee sends a telephone-event.
        callee.rtp.send_to(&packet(1, 101, 160, &[5, 0x8a, 3, 0x20]), call.far).unwrap();
        let mut tones = 0;
        while tones < 3 {
            tones += u32::from(voice.hears_five(&caller) > 0.9);
        }
        call.hang_up(2, &caller, &callee);
    }
}

/// Starts an edge with a carrier that sends DTMF in this format, and makes a call from the carrier to an agent.
fn with_agent(dtmf: &str, codec: u8, variables: &[(&str, &str)]) -> (Process, Phone, Talk) {
    let caller = Phone::new("127.0.0.1");
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let edge = Process::start_with(
        &config(&format!(
            "{}dtmf = \"{dtmf}\"\n{}[agent.bot]\nurl = \"ws://{}/media\"\n[[route]]\nfrom = [\"carrier\"]\nconnect = [\"agent:bot\"]\n",
            caller.trunk("carrier"),
            may_use(codec),
            door.local_addr().unwrap()
        )),
        variables,
    );
    let (sip, offer) = (edge.address("udp"), Voice::new(codec).described(&caller, false));
    caller.sip.send(sip, &caller.sip.request_with("INVITE", NUMBER, sip, "dtmf-agent", (1, ""), &offer));
    let stream = door.accept().unwrap().0;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let agent = accept(stream).unwrap();
    let (ok, _) = caller.sip.receive("SIP/2.0 200");
    let (tag, near) = (to_tag(&ok).to_owned(), media_of(&ok));
    caller.sip.send(sip, &caller.sip.request_with("ACK", NUMBER, sip, "dtmf-agent", (1, &tag), ""));
    wait_until_bound(next_port(near));
    let rtp = caller.rtp.try_clone().unwrap();
    let mut talk = Talk { agent, start: Value::Null, tag, near, rtp, heard: vec![], watch: Watch::new() };
    talk.start = talk.next("start");
    (edge, caller, talk)
}

#[test]
fn an_agent_is_told_of_tones_in_any_codec_and_its_keys_are_heard_as_tones() {
    for (codec, _) in CODECS {
        let (_edge, caller, mut talk) = with_agent("inband", codec, &[]);
        let mut voice = Voice::new(codec);
        voice.press_five(&caller, talk.near);
        voice.press_five(&caller, talk.near);
        let (mut keys, mut heard) = (Vec::new(), Vec::new());
        while keys.len() < 2 || heard.len() < 40 {
            let Message::Text(text) = talk.agent.read().unwrap() else { continue };
            let message: Value = serde_json::from_str(&text).unwrap();
            if message["event"] == "dtmf" {
                keys.push(message["dtmf"]["digit"].as_str().unwrap().to_owned());
            } else if message["event"] == "media" {
                let codes = STANDARD.decode(message["media"]["payload"].as_str().unwrap()).unwrap();
                let samples: Vec<i16> = codes.iter().map(|code| decode_ulaw(*code)).collect();
                let loud = samples.iter().any(|sample| sample.unsigned_abs() > 500);
                heard.push(loud && share_of_five(&samples, 8000.0) > 0.8);
            }
        }
        assert_eq!(keys, ["5", "5"], "codec {codec}");
        // The tone is suppressed, except for its beginning before the detection.
        assert!(heard.iter().filter(|is_tone| **is_tone).count() <= 2, "codec {codec}: {heard:?}");
        talk.send(r#"{"event":"dtmf","digits":"5"}"#);
        let mut tones = 0;
        while tones < 3 {
            tones += u32::from(voice.hears_five(&caller) > 0.9);
        }
    }
}

#[test]
fn an_agent_s_keys_are_told_by_info_in_order() {
    let (edge, caller, mut talk) = with_agent("info", 107, &[]);
    let sip = edge.address("udp");
    let key = "Signal=5\r\nDuration=160\r\n";
    let info = caller.sip.request_with("INFO", NUMBER, sip, "dtmf-agent", (2, &talk.tag), key);
    caller.sip.send(sip, &info.replace("application/sdp", "application/dtmf-relay"));
    caller.sip.receive("SIP/2.0 200");
    assert_eq!(talk.next("dtmf")["dtmf"]["digit"], "5");
    talk.send(r##"{"event":"dtmf","digits":"1#"}"##);
    for key in ["1", "#"] {
        let (told, from) = caller.sip.receive("INFO ");
        assert!(told.ends_with(&format!("\r\n\r\nSignal={key}\r\nDuration=100\r\n")), "{told}");
        caller.sip.send(from, &caller.sip.answer_with(&told, "200 OK", ""));
    }
}

#[test]
fn keys_by_info_that_would_wait_for_long_are_refused_and_the_call_goes_on() {
    let (caller, callee) = (Phone::new("127.0.0.2"), Phone::new("127.0.0.5"));
    let edge = edge((&caller, "info"), (&callee, "rfc4733"));
    let sip = edge.address("udp");
    let (offer, answer) = (described(&caller, "info"), described(&callee, "rfc4733"));
    let call = Call::agree(sip, "dtmf-3", (&caller, &offer), (&callee, &answer));
    for (cseq, answer) in [(2, "SIP/2.0 200"), (3, "SIP/2.0 500")] {
        let key = "Signal=5\r\nDuration=10000\r\n";
        let info = caller.sip.request_with("INFO", NUMBER, sip, "dtmf-3", (cseq, &call.tag), key);
        caller.sip.send(sip, &info.replace("application/sdp", "application/dtmf-relay"));
        let (answer, _) = caller.sip.receive(answer);
        assert!(cseq == 2 || field(&answer, "Retry-After") == "1", "{answer}");
    }
    call.hang_up(4, &caller, &callee);
}

#[test]
fn no_key_stands_in_a_log_or_a_trace() {
    // The log level is the most verbose one.
    let (edge, caller, mut talk) = with_agent("info", 0, &[("TRUNKGATE_LOG", "trace,trunkgate=trace")]);
    let sip = edge.address("udp");
    let key = "Signal=#\r\nDuration=4321\r\n";
    let info = caller.sip.request_with("INFO", NUMBER, sip, "dtmf-agent", (2, &talk.tag), key);
    caller.sip.send(sip, &info.replace("application/sdp", "application/dtmf-relay"));
    caller.sip.receive("SIP/2.0 200");
    talk.next("dtmf");
    talk.send(r##"{"event":"dtmf","digits":"#"}"##);
    let (told, from) = caller.sip.receive("INFO ");
    caller.sip.send(from, &caller.sip.answer_with(&told, "200 OK", ""));
    judge(&edge);
    let (edge, caller, mut talk) = with_agent("inband", 107, &[("TRUNKGATE_LOG", "trace,trunkgate=trace")]);
    Voice::new(107).press_five(&caller, talk.near);
    talk.next("dtmf");
    talk.send(r#"{"event":"dtmf","digits":"5D#"}"#);
    talk.mark("m");
    talk.next("mark");
    judge(&edge);
}

/// Checks that no output about the call contains the digits.
fn judge(edge: &Process) {
    let sid = edge.sid();
    let log = edge.whole_log();
    let told = edge.get(&format!("/v1/calls/{sid}/trace")).1 + &edge.get(&format!("/v1/calls/{sid}/trace.txt")).1;
    assert!(log.contains(&sid) && told.contains(" DTMF digits"), "{log}{told}");
    // A time of day or a port may contain these digits.
    let is_there = |text: &str| text.split(|c: char| !c.is_alphanumeric()).any(|word| word == "4321");
    assert!(!is_there(&log) && !is_there(&told), "the duration is there: {log}{told}");
    for sign in ["Signal", "5D#", "'#'", "'5'", "\"#\"", "\\\"#", "Duration", "\"digit", "digits:"] {
        assert!(!log.contains(sign), "the log has {sign}: {log}");
        assert!(!told.contains(sign), "the trace has {sign}: {told}");
    }
}
