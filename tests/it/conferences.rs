//! Conferences through the real binary: parties on plain sockets, each with its own tone, hear all others but not
//! themselves.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::f64::consts::TAU;
use std::net::SocketAddr;
use std::time::Instant;

use serde_json::json;
use trunkgate_media::rtp::RtpHeader;

use crate::apps::{TOKEN, application, form, parameter, path};
use crate::support::calls::{NUMBER, Phone, is_keep_alive, media_of};
use crate::support::codecs::{Codec, Hearer, Speaker};
use crate::support::pace::Pace;
use crate::support::sip::{field, to_tag};
use crate::support::{PATIENCE, Process, config, until};
use trunkgate_media::agent::sign_form;

/// Amplitude of each tone.
const LEVEL: f64 = 5000.0;

/// Phone that sends one tone, with the audio that it receives.
pub(crate) struct Party {
    pub(crate) phone: Phone,
    codec: Codec,
    hz: f64,
    number: String,
    /// INVITE that the edge has sent to the party.
    invite: String,
    id: String,
    tag: String,
    edge: SocketAddr,
    at: Option<SocketAddr>,
    speaker: Speaker,
    hearer: Hearer,
    heard: Vec<i16>,
}

impl Party {
    pub(crate) fn new(number: usize, codec: Codec, hz: f64) -> Party {
        let phone = Phone::new(&format!("127.0.0.{}", 10 + number));
        phone.rtp.set_nonblocking(true).unwrap();
        let (speaker, hearer) = (Speaker::new(codec, false), Hearer::new(codec));
        let (id, tag, edge) = (format!("party-{number}"), String::new(), SocketAddr::from(([0, 0, 0, 0], 0)));
        Party {
            phone,
            codec,
            hz,
            number: NUMBER.to_owned(),
            invite: String::new(),
            id,
            tag,
            edge,
            at: None,
            speaker,
            hearer,
            heard: Vec::new(),
        }
    }

    /// Sets the number that the party calls.
    pub(crate) fn calling(self, number: &str) -> Party {
        Party { number: number.to_owned(), ..self }
    }

    /// Calls the edge, and waits for the answer.
    pub(crate) fn joins(&mut self, edge: &Process) {
        self.edge = edge.address("udp");
        let offer = self.codec.sdp(&self.phone);
        let sip = &self.phone.sip;
        sip.send(self.edge, &sip.request_with("INVITE", &self.number, self.edge, &self.id, (1, ""), &offer));
        let (ok, _) = sip.receive("SIP/2.0 200");
        self.tag = to_tag(&ok).to_owned();
        sip.send(self.edge, &sip.request_with("ACK", &self.number, self.edge, &self.id, (1, &self.tag), ""));
        self.at = Some(media_of(&ok));
    }

    pub(crate) fn leaves(&mut self) {
        let sip = &self.phone.sip;
        sip.send(self.edge, &sip.request_with("BYE", &self.number, self.edge, &self.id, (2, &self.tag), ""));
        sip.receive("SIP/2.0 200");
        self.at = None;
    }

    /// Answers a call from the edge at the party.
    pub(crate) fn answers(&mut self) {
        let (invite, from) = self.phone.sip.receive("INVITE ");
        self.phone.sip.send(from, &self.phone.sip.answer_with(&invite, "200 OK", &self.codec.sdp(&self.phone)));
        self.phone.sip.receive("ACK ");
        (self.edge, self.at) = (from, Some(media_of(&invite)));
        self.invite = invite;
    }

    /// Hangs up an answered call from the edge.
    pub(crate) fn hangs_up(&mut self) {
        let (sip, invite) = (&self.phone.sip, &self.invite);
        let (from, to, id) = (field(invite, "To"), field(invite, "From"), field(invite, "Call-ID"));
        let uri = field(invite, "Contact").trim_start_matches('<').trim_end_matches('>');
        let bye = format!(
            "BYE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKcallee\r\nMax-Forwards: 70\r\nFrom: {from};tag=callee\r\n\
             To: {to}\r\nCall-ID: {id}\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n",
            sip.address
        );
        sip.send(self.edge, &bye);
        sip.receive("SIP/2.0 200");
        self.at = None;
    }

    /// Receives the edge's BYE at the party.
    pub(crate) fn is_hung_up_on(&mut self) {
        let (bye, from) = self.phone.sip.receive("BYE ");
        self.phone.sip.send(from, &self.phone.sip.answer_with(&bye, "200 OK", ""));
        self.at = None;
    }

    /// Returns whether the party hears a tone.
    pub(crate) fn hears(&self, hz: f64) -> bool {
        self.level(hz) > -35.0
    }

    /// Returns the level of the party's own tone in the audio that it receives, in dBFS.
    pub(crate) fn own_level(&self) -> f64 {
        self.level(self.hz)
    }

    /// Stops the party's audio.
    pub(crate) fn falls_silent(&mut self) {
        self.at = None;
    }

    /// Returns whether the last 400 ms that the party received are silent.
    pub(crate) fn hears_nothing(&self) -> bool {
        let count = self.codec.rate_hz() as usize * 2 / 5;
        let last = self.heard.len().checked_sub(count).map(|from| &self.heard[from..]);
        last.is_some_and(|last| last.iter().all(|sample| sample.unsigned_abs() < 100))
    }

    /// Returns the number of frames that the party has received.
    pub(crate) fn frames(&self) -> usize {
        self.heard.len() / (self.codec.rate_hz() as usize / 50)
    }

    /// Sends the next 20 ms of the party, and reads the packets that have arrived.
    fn turn(&mut self, n: usize) {
        let frame = self.codec.rate_hz() as usize / 50;
        let angle = |at: usize| TAU * self.hz * at as f64 / f64::from(self.codec.rate_hz());
        let samples: Vec<i16> = (n * frame..(n + 1) * frame).map(|at| (LEVEL * angle(at).sin()) as i16).collect();
        let payload = self.speaker.say(&samples);
        if let Some(at) = self.at {
            self.phone.rtp.send_to(&self.codec.packet(n, self.codec.number(), &payload), at).unwrap();
        }
        let mut bytes = [0; 2048];
        while let Ok((len, _)) = self.phone.rtp.recv_from(&mut bytes) {
            let packet = &bytes[..len];
            let Some(rtp) = RtpHeader::parse(packet).ok().filter(|_| !is_keep_alive(packet)) else { continue };
            if rtp.payload_type == self.codec.number() {
                self.heard.extend(self.hearer.hear(&packet[rtp.payload]));
            }
        }
    }

    /// Returns the level of a tone in the last 400 ms that the party received, in dBFS.
    fn level(&self, hz: f64) -> f64 {
        let rate = f64::from(self.codec.rate_hz());
        let count = (rate * 0.4) as usize;
        let Some(last) = self.heard.len().checked_sub(count).map(|from| &self.heard[from..]) else { return -120.0 };
        let (mut re, mut im) = (0.0, 0.0);
        for (n, sample) in last.iter().enumerate() {
            let window = 1.0 - (TAU * n as f64 / count as f64).cos();
            let angle = TAU * hz * n as f64 / rate;
            re += window * f64::from(*sample) * angle.cos();
            im += window * f64::from(*sample) * angle.sin();
        }
        20.0 * (2.0 * re.hypot(im) / count as f64 / 32_768.0).max(1e-6).log10()
    }
}

/// Lets all parties send and receive until a condition holds.
pub(crate) fn speak(parties: &mut [Party], what: &str, holds: impl Fn(&[Party]) -> bool) {
    let (began, mut pace) = (Instant::now(), Pace::new());
    let first = parties.iter().map(|party| party.heard.len()).max().unwrap_or_default();
    for n in first.. {
        parties.iter_mut().for_each(|party| party.turn(n));
        if n % 10 == 0 && holds(parties) {
            return;
        }
        let levels = || -> Vec<Vec<f64>> {
            let tones: Vec<f64> = parties.iter().map(|party| party.hz).collect();
            parties.iter().map(|party| tones.iter().map(|hz| party.level(*hz).round()).collect()).collect()
        };
        if began.elapsed() > PATIENCE {
            // Parties that had no CPU time for a tenth of the duration send and receive broken tones, which are not
            // judged.
            assert!(pace.fell_behind() > PATIENCE / 10, "waited too long until {what}: {:?}", levels());
            return;
        }
        pace.wait();
    }
}

/// Returns whether each party hears exactly the expected others, 20 dB above the rest.
pub(crate) fn hear(parties: &[Party], hears: impl Fn(usize, usize) -> bool) -> bool {
    parties.iter().enumerate().filter(|(_, party)| party.at.is_some()).all(|(at, party)| {
        let level = |other: usize| party.level(parties[other].hz);
        let (heard, unheard): (Vec<usize>, Vec<usize>) = (0..parties.len()).partition(|other| hears(at, *other));
        let quietest = heard.into_iter().map(level).fold(0.0, f64::min);
        let loudest = unheard.into_iter().map(level).fold(-120.0, f64::max);
        quietest > -35.0 && loudest < quietest - 20.0
    })
}

/// Starts an edge with a trunk for each party, and one route to these targets.
pub(crate) fn edge(parties: &[Party], tables: &str, connect: &str) -> Process {
    Process::start(&edge_config(parties, tables, connect))
}

/// Returns a configuration with a trunk for each party, and one route to these targets.
pub(crate) fn edge_config(parties: &[Party], tables: &str, connect: &str) -> String {
    let trunk = |(at, party): (usize, &Party)| {
        format!("{}codecs = [\"{}\"]\n", party.phone.trunk(&format!("phone{at}")), party.codec.name())
    };
    let trunks: String = parties.iter().enumerate().map(trunk).collect();
    config(&format!("{trunks}{tables}[[route]]\nconnect = [\"{connect}\"]\n"))
}

#[test]
fn parties_of_all_codecs_hear_all_others_and_not_themselves() {
    let codecs = [Codec::Pcmu, Codec::Opus, Codec::G722, Codec::Pcma, Codec::Opus];
    let tones = [500.0, 700.0, 1100.0, 1600.0, 2300.0];
    let mut parties: Vec<Party> =
        codecs.into_iter().zip(tones).enumerate().map(|(at, (codec, hz))| Party::new(at, codec, hz)).collect();
    let edge = edge(&parties, "", "conference:weekly");
    parties.iter_mut().for_each(|party| party.joins(&edge));
    speak(&mut parties, "all hear all others", |parties| hear(parties, |at, other| at != other));
    let call = edge.json(&format!("/v1/calls/{}", edge.sid()));
    assert_eq!((&call["conference"]["name"], &call["state"]), (&json!("weekly"), &json!("answered")));
    // One party leaves, and the others continue without it.
    parties[1].leaves();
    speak(&mut parties, "it is heard no longer", |parties| hear(parties, |at, other| at != other && other != 1));
    // The party returns as a new participant.
    parties[1].id = "again".to_owned();
    parties[1].joins(&edge);
    speak(&mut parties, "it is heard again", |parties| hear(parties, |at, other| at != other));
    parties.iter_mut().for_each(Party::leaves);
    until("no call is left", || (edge.json("/v1/status")["calls"] == 0).then_some(()));
}

#[test]
fn an_application_leads_to_a_conference_and_is_told_of_it() {
    let application = application(&[
        (
            "/voice",
            r#"<Dial action="/after"><Conference muted="false" endConferenceOnExit="true" waitUrl="" statusCallback="/events"
               statusCallbackEvent="start end join leave">board</Conference></Dial>"#,
        ),
        ("/after", "<Hangup/>"),
        ("/events", ""),
    ]);
    let url = format!("http://{}/voice", application.address);
    let tables = format!("[app.ivr]\nurl = \"{url}\"\nallow_private = true\n[api]\nauth_token = \"{TOKEN}\"\n");
    let mut parties = vec![Party::new(0, Codec::Pcmu, 600.0), Party::new(1, Codec::Pcma, 1300.0)];
    let edge = edge(&parties, &tables, "app:ivr");
    parties.iter_mut().for_each(|party| party.joins(&edge));
    speak(&mut parties, "both hear each other", |parties| hear(parties, |at, other| at != other));
    parties[0].leaves();
    parties[1].is_hung_up_on();
    let events = until("the end is reported", || {
        let posts = application.posts();
        let events: Vec<_> = posts.into_iter().filter(|post| path(post) == "/events").collect();
        events.iter().any(|post| parameter(post, "StatusCallbackEvent") == "conference-end").then_some(events)
    });
    let names: Vec<String> = events.iter().map(|post| parameter(post, "StatusCallbackEvent")).collect();
    let joins = ["participant-join", "conference-start", "participant-join"];
    assert_eq!(names, [&joins[..], &["participant-leave", "participant-leave", "conference-end"]].concat());
    let events_url = format!("http://{}/events", application.address);
    assert_eq!(events[0].headers["x-twilio-signature"], sign_form(TOKEN, &events_url, &form(&events[0])));
    let afters: Vec<String> = until("both actions are requested", || {
        let posts = application.posts();
        let afters: Vec<_> = posts.iter().filter(|post| path(post) == "/after").collect();
        (afters.len() == 2).then(|| afters.iter().map(|post| parameter(post, "DialCallStatus")).collect())
    });
    assert_eq!(afters, ["answered", "answered"]);
}

#[test]
fn a_call_that_a_full_conference_does_not_take_is_refused_without_an_answer() {
    let [one, other] = ["127.0.0.4", "127.0.0.5"].map(crate::support::sip::Party::new);
    let trunk = |name: &str, party: &crate::support::sip::Party| {
        format!("[trunk.{name}]\npeers = [\"sip:{}\"]\noptions_interval = \"0s\"\n", party.address)
    };
    let tables = "[app.room]\nfile = \"room.xml\"\n[[route]]\nconnect = [\"app:room\"]\n";
    let room = b"<Response><Dial><Conference maxParticipants='1'>weekly</Conference></Dial></Response>";
    let text = config(&format!("{}{}{tables}", trunk("one", &one), trunk("other", &other)));
    let edge = Process::start_with_documents(&text, &[("room.xml", room)]);
    let sip = edge.address("udp");
    one.send(sip, &one.request("INVITE", "+14155550123", sip, "f1", 1, ""));
    let (ok, _) = one.receive("SIP/2.0 200");
    one.send(sip, &one.request("ACK", "+14155550123", sip, "f1", 1, to_tag(&ok)));
    until("it is in the conference", || {
        (edge.json("/v1/conferences")["conferences"][0]["status"] != json!(null)).then_some(())
    });
    other.send(sip, &other.request("INVITE", "+14155550123", sip, "f2", 1, ""));
    let final_answer = loop {
        let (answer, _) = other.receive("SIP/2.0 ");
        if !answer.starts_with("SIP/2.0 1") {
            break answer;
        }
    };
    assert!(final_answer.starts_with("SIP/2.0 603 ") && final_answer.contains("conference_refused"), "{final_answer}");
}
