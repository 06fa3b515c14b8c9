//! Agents as conference participants: they hear the others but not themselves, are heard by them, and leave like any
//! participant.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::f64::consts::TAU;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message};
use trunkgate_media::codec::g711::{decode_ulaw, encode_ulaw};

use crate::conferences::{Party, edge, hear, speak};
use crate::support::calls::NUMBER;
use crate::support::codecs::Codec;
use crate::support::listener::{Listener, Stream};
use crate::support::{Process, until};
use crate::twilio_api::{SID, TOKEN, ask, fetched, posted, refused};
use crate::twilio_messages::form;

/// Tones of the two phones in Hz; `AGENT` is the agent's. Periods are whole in 20 ms, so that frames join without a
/// step.
const PHONES: [f64; 2] = [700.0, 1_100.0];
const AGENT: f64 = 1_900.0;
/// API path of the conference's participants, by the name of the conference.
const LIST: &str = "Conferences/weekly/Participants.json";

/// Two phones in a conference, and an agent that sends its tone while it is there.
struct Rig {
    parties: Vec<Party>,
    edge: Process,
    agent: Listener,
    leaves: Arc<AtomicBool>,
}

impl Rig {
    fn new(keys: &str) -> Rig {
        let leaves = Arc::<AtomicBool>::default();
        let goes = Arc::clone(&leaves);
        let agent = Listener::doing(move |socket, stream| {
            let Some(sid) = stream.start["streamSid"].as_str() else { return true };
            socket.send(Message::text(tone(sid, AGENT).to_string())).is_ok() && !goes.load(Ordering::Relaxed)
        });
        let mut parties: Vec<Party> =
            PHONES.into_iter().enumerate().map(|(at, hz)| Party::new(26 + at, Codec::Pcmu, hz)).collect();
        let tables = format!(
            "[agent.bot]\nurl = \"{}\"\n{keys}[api]\naccount_sid = \"{SID}\"\nauth_token = \"{TOKEN}\"\nrequests_per_second = 0\n\
             [[number]]\nnumber = \"{NUMBER}\"\n[client]\nhelper = \"agent:bot\"\n",
            agent.url()
        );
        let edge = edge(&parties, &tables, "conference:weekly");
        parties.iter_mut().for_each(|party| party.joins(&edge));
        Rig { parties, edge, agent, leaves }
    }

    /// Calls the agent into the conference and waits for it; returns the SID of that call.
    fn calls_agent(&self, fields: &[(&str, &str)]) -> String {
        let fields = [&[("To", "agent:bot"), ("Label", "assistant")], fields].concat();
        let added = posted(&self.edge, LIST, &form(&fields));
        assert_eq!((&added["status"], &added["label"]), (&json!("queued"), &json!("assistant")));
        let sid = added["call_sid"].as_str().unwrap().to_owned();
        until("the agent is a party", || (self.count() == 3).then_some(()));
        sid
    }

    fn conference(&self) -> Option<Value> {
        let all = fetched(&self.edge, "Conferences.json?Status=in-progress");
        all["conferences"].as_array().unwrap().first().cloned()
    }

    fn count(&self) -> usize {
        let Some(conference) = self.conference() else { return 0 };
        let path = format!("Conferences/{}/Participants.json", conference["sid"].as_str().unwrap());
        fetched(&self.edge, &path)["participants"].as_array().unwrap().len()
    }

    fn record(&self, sid: &str) -> Value {
        until("the call of the agent is over", || {
            let call = self.edge.json(&format!("/v1/calls/{sid}"));
            (call["state"] == "ended").then_some(call)
        })
    }
}

/// Returns a media message with 20 ms of a tone.
pub(crate) fn tone(sid: &str, hz: f64) -> Value {
    let sample = |n: u8| (5_000.0 * (TAU * hz * f64::from(n) / 8_000.0).sin()) as i16;
    let codes: Vec<u8> = (0..160).map(|n| encode_ulaw(sample(n))).collect();
    json!({ "event": "media", "streamSid": sid, "media": { "payload": STANDARD.encode(codes) } })
}

/// Returns the level of a tone in the last 400 ms that the agent heard, in dBFS.
pub(crate) fn level(stream: &Stream, hz: f64) -> f64 {
    let samples: Vec<i16> = stream
        .inbound
        .iter()
        .rev()
        .take(20)
        .rev()
        .flat_map(|frame| &frame.audio)
        .map(|code| decode_ulaw(*code))
        .collect();
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let angle = TAU * hz * n as f64 / 8_000.0;
        re += f64::from(*sample) * angle.cos();
        im += f64::from(*sample) * angle.sin();
    }
    20.0 * (2.0 * re.hypot(im) / samples.len().max(1) as f64 / 32_768.0).max(1e-6).log10()
}

#[test]
fn an_agent_hears_the_mix_without_itself_and_speaks_into_it() {
    let mut rig = Rig::new("");
    speak(&mut rig.parties, "the phones hear each other", |parties| hear(parties, |at, other| at != other));
    let sid = rig.calls_agent(&[]);
    let agent = &rig.agent;
    speak(&mut rig.parties, "all hear all others", |parties| {
        let stream = agent.streams().pop().unwrap_or_default();
        let hears = PHONES.iter().all(|hz| level(&stream, *hz) > -35.0) && level(&stream, AGENT) < -55.0;
        hears && parties.iter().all(|party| party.hears(AGENT)) && hear(parties, |at, other| at != other)
    });
    let start = rig.agent.streams().pop().unwrap().start;
    assert_eq!(start["start"]["callSid"], json!(sid));
    let call = rig.edge.json(&format!("/v1/calls/{sid}"));
    assert_eq!((&call["state"], &call["conference"]["name"]), (&json!("answered"), &json!("weekly")));
    // While muted, the agent is heard by neither phone; on hold, it also hears neither.
    let conference = rig.conference().unwrap()["sid"].as_str().unwrap().to_owned();
    let path = format!("Conferences/{conference}/Participants/assistant.json");
    posted(&rig.edge, &path, "Muted=true");
    speak(&mut rig.parties, "a muted agent is not heard", |parties| parties.iter().all(|party| !party.hears(AGENT)));
    posted(&rig.edge, &path, "Muted=false&Hold=true");
    let agent = &rig.agent;
    speak(&mut rig.parties, "an agent on hold hears neither", |parties| {
        let stream = agent.streams().pop().unwrap_or_default();
        PHONES.iter().all(|hz| level(&stream, *hz) < -55.0) && parties.iter().all(|party| !party.hears(AGENT))
    });
    posted(&rig.edge, &path, "Hold=false");
    speak(&mut rig.parties, "it is back", |parties| parties.iter().all(|party| party.hears(AGENT)));
    // The session of a removed agent ends, and the others stay.
    assert_eq!(ask(&rig.edge, "DELETE", &path, "").0, 204);
    assert_eq!(rig.record(&sid)["outcome"], json!("answered"));
    until("its stream is closed", || rig.agent.streams().pop().and_then(|stream| stream.closed));
    speak(&mut rig.parties, "the others hear each other", |parties| hear(parties, |at, other| at != other));
    assert_eq!(rig.count(), 2);
}

#[test]
fn an_agent_that_dies_leaves_the_others_and_a_moderator_ends_the_conference() {
    let mut rig = Rig::new("");
    let sid = rig.calls_agent(&[]);
    speak(&mut rig.parties, "the agent is heard", |parties| parties.iter().all(|party| party.hears(AGENT)));
    rig.leaves.store(true, Ordering::Relaxed);
    let record = rig.record(&sid);
    assert_eq!((&record["reason"], &record["outcome"]), (&json!("agent_reset"), &json!("answered")));
    speak(&mut rig.parties, "the others hear each other", |parties| {
        hear(parties, |at, other| at != other) && parties.iter().all(|party| !party.hears(AGENT))
    });
    assert_eq!(rig.count(), 2);
    // If an agent with `EndConferenceOnExit` leaves by itself, the conference ends too.
    rig.leaves.store(false, Ordering::Relaxed);
    let sid = rig.calls_agent(&[("EndConferenceOnExit", "true")]);
    rig.leaves.store(true, Ordering::Relaxed);
    rig.parties.iter_mut().for_each(Party::is_hung_up_on);
    rig.record(&sid);
    assert_eq!(rig.conference(), None);
    until("no call is left", || (rig.edge.json("/v1/status")["calls"] == 0).then_some(()));
}

#[test]
fn an_agent_neither_stays_behind_alone_nor_begins_a_conference_that_is_over() {
    let slow = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut rig = Rig::new(&format!("[agent.slow]\nurl = \"ws://{}/\"\n", slow.local_addr().unwrap()));
    let sid = rig.calls_agent(&[]);
    let asked = |to: &str, label: &str| {
        posted(&rig.edge, LIST, &form(&[("To", to), ("Label", label)]))["call_sid"].as_str().unwrap().to_owned()
    };
    let given_up = asked("agent:slow", "given up");
    let path = format!("Conferences/weekly/Participants/{given_up}.json");
    assert_eq!(fetched(&rig.edge, &path)["status"], json!("queued"));
    assert_eq!(rig.count(), 4, "it is shown");
    assert_eq!(ask(&rig.edge, "DELETE", &path, "").0, 204);
    assert_eq!(rig.record(&given_up)["outcome"], json!("canceled"));
    assert_eq!((ask(&rig.edge, "GET", &path, "").0, rig.count()), (404, 3));
    drop(slow.accept().unwrap());
    let late = asked("agent:slow", "late");
    let (socket, _) = slow.accept().unwrap();
    rig.parties.iter_mut().for_each(Party::leaves);
    assert_eq!(rig.record(&sid)["outcome"], json!("answered"));
    assert_eq!(rig.conference(), None);
    let _open = tungstenite::accept(socket).unwrap();
    assert_eq!(rig.record(&late)["reason"], json!("conference_refused"), "the conference is over");
    assert_eq!(rig.conference(), None);
}

#[test]
fn an_agent_that_cannot_join_is_refused_at_once() {
    let rig = Rig::new("");
    rig.calls_agent(&[]);
    for (fields, code) in [
        ("To=agent%3Abot&Label=assistant", 16_026),
        ("To=agent%3Abot&CallSidToCoach=CA1", 13_240),
        ("To=agent%3Abot&MaxParticipants=3", 16_020),
        ("To=agent%3Anone", 21_211),
        ("To=agent%3Abot&MachineDetection=Enable&AmdStatusCallback=https%3A%2F%2Fa.example", 20_001),
        ("To=agent%3Abot&From=%2B14155550999", 21_210),
    ] {
        assert_eq!(refused(&rig.edge, "POST", LIST, fields), (400, code), "{fields}");
    }
}

#[test]
fn a_client_that_is_an_agent_joins_as_one_and_has_no_document() {
    let mut rig = Rig::new("");
    let added = posted(&rig.edge, LIST, &form(&[("To", "client:helper?topic=tyres"), ("Label", "assistant")]));
    let sid = added["call_sid"].as_str().unwrap().to_owned();
    until("the agent is a party", || (rig.count() == 3).then_some(()));
    speak(&mut rig.parties, "the agent is heard", |parties| parties.iter().all(|party| party.hears(AGENT)));
    let call = rig.edge.json(&format!("/v1/calls/{sid}"));
    assert_eq!((&call["state"], &call["conference"]["name"]), (&json!("answered"), &json!("weekly")));
    for fields in ["To=client%3Ahelper&Record=true", "To=client%3Ahelper&MachineDetection=Enable"] {
        assert_eq!(refused(&rig.edge, "POST", LIST, fields).0, 400, "{fields}");
    }
    let document =
        form(&[("To", "client:helper"), ("From", NUMBER), ("Twiml", "<Response><Say>hello</Say></Response>")]);
    assert_eq!(refused(&rig.edge, "POST", "Calls.json", &document), (400, 21_211));
}

#[test]
fn a_document_dials_an_agent_and_goes_on_when_it_has_left() {
    let mut rig = Rig::new("");
    speak(&mut rig.parties, "the phones hear each other", |parties| hear(parties, |at, other| at != other));
    let calls = fetched(&rig.edge, "Calls.json?Status=in-progress");
    let sid = calls["calls"][0]["sid"].as_str().unwrap().to_owned();
    let document =
        "<Response><Dial><Client>helper</Client></Dial><Dial><Conference>weekly</Conference></Dial></Response>";
    posted(&rig.edge, &format!("Calls/{sid}.json"), &form(&[("Twiml", document)]));
    let agent = &rig.agent;
    speak(&mut rig.parties, "agent and caller hear each other", |parties| {
        let stream = agent.streams().pop().unwrap_or_default();
        let heard = PHONES.iter().filter(|hz| level(&stream, **hz) > -35.0).count();
        heard == 1 && parties.iter().filter(|party| party.hears(AGENT)).count() == 1
    });
    let children = fetched(&rig.edge, &format!("Calls.json?ParentCallSid={sid}"));
    let child = &children["calls"][0];
    for (name, value) in [("to", "client:helper"), ("status", "in-progress"), ("direction", "outbound-dial")] {
        assert_eq!(child[name], json!(value), "{name}");
    }
    rig.leaves.store(true, Ordering::Relaxed);
    speak(&mut rig.parties, "the caller is back in the conference", |parties| {
        hear(parties, |at, other| at != other) && parties.iter().all(|party| !party.hears(AGENT))
    });
    let child = fetched(&rig.edge, &format!("Calls/{}.json", child["sid"].as_str().unwrap()));
    assert_eq!(child["status"], json!("completed"));
}
