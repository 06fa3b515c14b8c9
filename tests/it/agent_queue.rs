//! Callers waiting for an agent without a free session, through the real binary.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use crate::support::calls::{NUMBER, Phone, received};
use crate::support::listener::Listener;
use crate::support::sip::to_tag;
use crate::support::{Process, config, finish, until};
use trunkgate_media::rtp::RtpHeader;

/// Starts an edge with two targets: an agent with one session, then a PBX.
fn edge(callers: &[&Phone], pbx: &Phone, agent: &Listener, keys: &str) -> Process {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hold.wav");
    let spec =
        hound::WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut wav = hound::WavWriter::create(&path, spec).unwrap();
    (0..1_600).for_each(|_| wav.write_sample(8_000_i16).unwrap());
    wav.finalize().unwrap();
    let trunks: String = callers.iter().enumerate().map(|(n, phone)| phone.trunk(&format!("carrier-{n}"))).collect();
    Process::start(&config(&format!(
        "{trunks}{}[agent.bot]\nurl = \"{}\"\nmax_sessions = 1\nhold = {{ strategy = \"music\", music = \"{}\" }}\n{keys}\n\
         [[route]]\nconnect = [\"agent:bot\", \"trunk:pbx\"]\n",
        pbx.trunk("pbx"),
        agent.url(),
        path.display()
    )))
}

/// Call from a phone to the edge.
struct Caller<'a> {
    phone: &'a Phone,
    edge: &'a Process,
    id: &'a str,
    tag: String,
}

impl<'a> Caller<'a> {
    fn new(phone: &'a Phone, edge: &'a Process, id: &'a str) -> Caller<'a> {
        let sip = edge.address("udp");
        let offer = phone.description(1, "");
        phone.sip.send(sip, &phone.sip.request_with("INVITE", NUMBER, sip, id, (1, ""), &offer));
        Caller { phone, edge, id, tag: String::new() }
    }

    fn answered(mut self) -> Caller<'a> {
        let (ok, _) = self.phone.sip.receive("SIP/2.0 200");
        self.tag = to_tag(&ok).to_owned();
        self.say("ACK", 1);
        self
    }

    fn say(&self, method: &str, cseq: u32) {
        let sip = self.edge.address("udp");
        self.phone.sip.send(sip, &self.phone.sip.request_with(method, NUMBER, sip, self.id, (cseq, &self.tag), ""));
    }

    fn hang_up(&self) {
        self.say("BYE", 2);
        self.phone.sip.receive("SIP/2.0 200");
    }

    /// Waits for a packet of hold audio or, without `music`, of a silent agent.
    fn hears(&self, music: bool) {
        until("the caller hears something else", || {
            let (packet, _) = received(&self.phone.rtp);
            let payload = RtpHeader::parse(&packet).unwrap().payload;
            packet[payload].iter().all(|code| (*code == 0xff) != music).then_some(())
        });
    }
}

/// Returns the number of sessions, and that of waiting callers.
fn counts(edge: &Process) -> (u64, u64) {
    let agent = edge.json("/v1/agents")["agents"][0].clone();
    (agent["talking"].as_u64().unwrap(), agent["waiting"].as_u64().unwrap())
}

#[test]
fn callers_hear_music_in_line_and_get_the_next_session_in_their_order() {
    let phones = ["127.0.0.1", "127.0.0.4", "127.0.0.5", "127.0.0.6"].map(Phone::new);
    let (pbx, agent) = (Phone::new("127.0.0.3"), Listener::start());
    let all: Vec<&Phone> = phones.iter().collect();
    let keys = "answer = \"at_once\"\nqueue = { size = 2, wait = \"2m\" }";
    let edge = edge(&all, &pbx, &agent, keys);
    let sids = |edge: &Process| {
        let calls = edge.json("/v1/calls")["calls"].as_array().unwrap().clone();
        let mut sids: Vec<String> = calls.iter().map(|call| call["sid"].as_str().unwrap().to_owned()).collect();
        sids.reverse();
        sids
    };
    let first = Caller::new(&phones[0], &edge, "first").answered();
    first.hears(false);
    let second = Caller::new(&phones[1], &edge, "second").answered();
    let third = Caller::new(&phones[2], &edge, "third").answered();
    second.hears(true);
    third.hears(true);
    assert_eq!(counts(&edge), (1, 2));
    assert_eq!(edge.metric("trunkgate_agent_waiting{agent=\"bot\"}"), 2.0);
    let (file, url) = (edge.file.display().to_string(), edge.url());
    let status = String::from_utf8(finish(&["--config", &file, "status", "--url", &url]).stdout).unwrap();
    assert!(status.contains("1/1, 2 wait"), "{status}");
    // The fourth caller finds the queue full.
    Caller::new(&phones[3], &edge, "fourth");
    pbx.sip.receive("INVITE ");
    let sids = sids(&edge);
    first.hang_up();
    second.hears(false);
    third.hears(true);
    assert_eq!(counts(&edge), (1, 1));
    second.hang_up();
    third.hears(false);
    let heard: Vec<String> =
        agent.streams().iter().map(|stream| stream.start["start"]["callSid"].as_str().unwrap().to_owned()).collect();
    assert_eq!(heard, sids[..3], "each in its turn");
    let trace = edge.get(&format!("/v1/calls/{}/trace.txt", sids[2])).1;
    assert!(trace.contains("waiting for bot, position 2nd") && trace.contains("bot: its turn, after"), "{trace}");
    third.hang_up();
    assert_eq!(counts(&edge), (0, 0));
    assert_eq!(edge.metric("trunkgate_agent_wait_seconds_count"), 2.0);
}

#[test]
fn who_gives_up_leaves_the_line_and_who_has_waited_for_long_enough_goes_on() {
    let phones = ["127.0.0.1", "127.0.0.4", "127.0.0.5"].map(Phone::new);
    let (pbx, agent) = (Phone::new("127.0.0.3"), Listener::start());
    let all: Vec<&Phone> = phones.iter().collect();
    let edge = edge(&all, &pbx, &agent, "queue = { wait = \"2s\" }");
    let first = Caller::new(&phones[0], &edge, "first").answered();
    let second = Caller::new(&phones[1], &edge, "second");
    second.phone.sip.receive("SIP/2.0 180");
    assert_eq!(counts(&edge), (1, 1));
    let sip = edge.address("udp");
    let cancel = second.phone.sip.request_with("CANCEL", NUMBER, sip, "second", (1, ""), "");
    second.phone.sip.send(sip, &cancel.replace("secondCANCEL1", "secondINVITE1"));
    second.phone.sip.receive("SIP/2.0 487");
    assert_eq!(counts(&edge), (1, 0));
    let third = Caller::new(&phones[2], &edge, "third");
    third.phone.sip.receive("SIP/2.0 180");
    assert!(pbx.sip.heard_nothing());
    let (got, from) = pbx.sip.receive("INVITE ");
    pbx.sip.send(from, &pbx.sip.answer_with(&got, "200 OK", &pbx.description(1, "")));
    pbx.sip.receive("ACK ");
    let third = third.answered();
    assert_eq!(counts(&edge), (1, 0));
    assert_eq!(edge.metric("trunkgate_failovers_total{route=\"route-1\",reason=\"queue_timeout\"}"), 1.0);
    first.hang_up();
    third.say("BYE", 2);
    pbx.sip.receive("BYE ");
}
