//! Conferences and participants over the Twilio-compatible API, with parties on plain sockets.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use serde_json::{Value, json};
use trunkgate_twiml::compat::RESOURCES;

use crate::apps::{application, parameter, path};
use crate::conferences::{Party, edge, hear, speak};
use crate::support::calls::NUMBER;
use crate::support::codecs::Codec;
use crate::support::{Process, http, until};
use crate::twilio_api::{SID, TOKEN, ask, assert_shape, fetched, posted};
use crate::twilio_compat::is_as_on_the_page;
use crate::twilio_messages;

/// Edge with three parties in a conference, each with a tone.
struct Rig {
    parties: Vec<Party>,
    edge: Process,
}

impl Rig {
    fn new() -> Rig {
        Rig::with("", "conference:weekly")
    }

    /// Starts an edge with these tables and targets, and joins the parties.
    fn with(tables: &str, connect: &str) -> Rig {
        let mut rig = Rig::alone(tables, connect);
        rig.parties.iter_mut().for_each(|party| party.joins(&rig.edge));
        rig
    }

    /// Starts an edge before any party has called.
    fn alone(tables: &str, connect: &str) -> Rig {
        let tones = [1000.0, 1400.0, 1900.0];
        let parties: Vec<Party> =
            tones.into_iter().enumerate().map(|(at, hz)| Party::new(20 + at, Codec::Pcmu, hz)).collect();
        let api = format!(
            "[api]\naccount_sid = \"{SID}\"\nauth_token = \"{TOKEN}\"\nconnect = [\"trunk:phone2\"]\nrequests_per_second = 0\n\
             [[number]]\nnumber = \"{NUMBER}\"\n{tables}"
        );
        let edge = edge(&parties, &api, connect);
        Rig { parties, edge }
    }

    fn ask(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> (u16, Value) {
        ask(&self.edge, method, path, &twilio_messages::form(fields))
    }

    fn get(&self, path: &str) -> Value {
        fetched(&self.edge, path)
    }

    fn post(&self, path: &str, fields: &[(&str, &str)]) -> Value {
        posted(&self.edge, path, &twilio_messages::form(fields))
    }

    fn listed(&self, path: &str, name: &str) -> Vec<Value> {
        self.get(path)[name].as_array().unwrap().clone()
    }

    fn hear(&mut self, what: &str, hears: impl Fn(usize, usize) -> bool) {
        speak(&mut self.parties, what, |parties| hear(parties, &hears));
    }
}

/// Checks that the only conference is found by each property.
fn is_found(rig: &Rig) {
    for (query, count) in
        [("FriendlyName=weekly", 1), ("FriendlyName=other", 0), ("Status=init", 0), ("DateCreated%3C=2020-01-01", 0)]
    {
        assert_eq!(rig.listed(&format!("Conferences.json?{query}"), "conferences").len(), count, "{query}");
    }
}

#[test]
fn parties_are_muted_held_removed_added_and_the_conference_is_ended() {
    let mut rig = Rig::new();
    rig.hear("all hear all others", |at, other| at != other);
    let [conference] = &rig.listed("Conferences.json?Status=in-progress", "conferences")[..] else { panic!() };
    let sid = conference["sid"].as_str().unwrap().to_owned();
    assert_eq!((&conference["friendly_name"], &conference["status"]), (&json!("weekly"), &json!("in-progress")));
    assert_eq!(rig.get(&format!("Conferences/{sid}.json")), *conference);
    is_found(&rig);
    let list = format!("Conferences/{sid}/Participants.json");
    let calls: Vec<String> =
        rig.listed(&list, "participants").iter().map(|one| one["call_sid"].as_str().unwrap().to_owned()).collect();
    assert_eq!(calls.len(), 3);
    let first = rig.get(&format!("{list}?PageSize=2"));
    let next = first["next_page_uri"].as_str().unwrap().rsplit_once('/').unwrap().1.to_owned();
    assert_eq!(rig.listed(&format!("Conferences/{sid}/{next}"), "participants").len(), 1);
    let path = |at: usize| format!("Conferences/{sid}/Participants/{}.json", calls[at]);
    // While muted, a participant is heard by no other party.
    assert_eq!(rig.post(&path(0), &[("Muted", "true")])["muted"], json!(true));
    assert_eq!(rig.listed(&format!("{list}?Muted=true"), "participants").len(), 1);
    rig.hear("a muted party is not heard", |at, other| at != other && other != 0);
    rig.post(&path(0), &[("Muted", "false")]);
    // On hold, a participant hears only music, and is not heard.
    assert_eq!(rig.post(&path(1), &[("Hold", "true")])["hold"], json!(true));
    rig.hear("a held party hears none and is not heard", |at, other| at != other && at != 1 && other != 1);
    rig.post(&path(1), &[("Hold", "false")]);
    rig.hear("all hear all others again", |at, other| at != other);
    // A coach is heard by one party only.
    let coaching = rig.post(&path(2), &[("CallSidToCoach", &calls[0])]);
    assert_eq!((&coaching["coaching"], &coaching["call_sid_to_coach"]), (&json!(true), &json!(calls[0])));
    rig.hear("a coach is heard by one", |at, other| at != other && (other != 2 || at == 0));
    // After the removal, the participant's call has no further document.
    assert_eq!(rig.ask("DELETE", &path(2), &[]).0, 204);
    rig.parties[2].is_hung_up_on();
    assert_eq!(rig.ask("GET", &path(2), &[]).0, 404);
    rig.hear("the others go on", |at, other| at != other && other != 2);
    // A number is called into the conference, and a participant once it answers.
    let fields = [
        ("To", NUMBER),
        ("From", NUMBER),
        ("Label", "back again"),
        ("Beep", "false"),
        ("StartConferenceOnEnter", "true"),
    ];
    let (status, added) = rig.ask("POST", &list, &fields);
    assert_eq!((status, &added["status"], &added["label"]), (201, &json!("queued"), &json!("back again")), "{added}");
    rig.parties[2].answers();
    rig.hear("the one who was called is heard", |at, other| at != other);
    let there = until("it is a party", || {
        let (status, party) = rig.ask("GET", &format!("Conferences/{sid}/Participants/back%20again.json"), &[]);
        (status == 200).then_some(party)
    });
    assert_eq!((&there["call_sid"], &there["status"]), (&added["call_sid"], &json!("connected")));
    let metrics = ["trunkgate_conferences", "trunkgate_conference_parties"].map(|name| rig.edge.metric(name));
    assert_eq!(metrics, [1.0, 3.0]);
    let status = rig.edge.json("/v1/status");
    assert_eq!((&status["conferences"], &status["conference_parties"]), (&json!(1), &json!(3)));
    let ended = rig.post(&format!("Conferences/{sid}.json"), &[("Status", "completed")]);
    assert_eq!(
        (&ended["status"], &ended["reason_conference_ended"]),
        (&json!("completed"), &json!("conference-ended-via-api"))
    );
    rig.parties.iter_mut().for_each(Party::is_hung_up_on);
    assert!(rig.listed(&list, "participants").is_empty());
    assert_eq!(rig.listed("Conferences.json?Status=completed", "conferences").len(), 1);
    let record = rig.edge.json(&format!("/v1/calls/{}", calls[0]));
    assert_eq!((&record["reason"], &record["conference"]["sid"]), (&json!("conference_ended"), &json!(sid)));
}

#[test]
fn a_participant_that_rings_is_shown_and_taken_back() {
    let mut rig = Rig::new();
    rig.parties[2].leaves();
    let sid = rig.listed("Conferences.json?Status=in-progress", "conferences")[0]["sid"].as_str().unwrap().to_owned();
    let list = format!("Conferences/{sid}/Participants.json");
    until("two are left", || (rig.listed(&list, "participants").len() == 2).then_some(()));
    let asked = |more: &[(&str, &str)]| rig.ask("POST", &list, &[&[("To", NUMBER), ("From", NUMBER)], more].concat());
    let (status, added) = asked(&[("Label", "late"), ("Muted", "true")]);
    assert_eq!((status, &added["status"]), (201, &json!("queued")));
    let sip = &rig.parties[2].phone.sip;
    let (invite, from) = sip.receive("INVITE ");
    sip.send(from, &sip.answer_with(&invite, "180 Ringing", ""));
    let path = format!("Conferences/{sid}/Participants/late.json");
    let rings = until("it rings", || Some(rig.get(&path)).filter(|one| one["status"] == "ringing"));
    assert_eq!((&rings["call_sid"], &rings["muted"]), (&added["call_sid"], &json!(true)));
    let states: Vec<Value> =
        rig.listed(&list, "participants").into_iter().map(|mut one| one["status"].take()).collect();
    assert_eq!(states, ["connected", "connected", "ringing"]);
    // These are rejected at once: a label in use, an unknown call to coach, a participant above the maximum.
    for (more, code) in [
        (&[("Label", "late")][..], 16_026),
        (&[("CallSidToCoach", "CA1")], 13_240),
        (&[("MaxParticipants", "2")], 16_020),
    ] {
        let (status, answer) = asked(more);
        assert_shape(status, &answer);
        assert_eq!((status, answer["code"].as_u64()), (400, Some(code)), "{more:?}");
    }
    assert_eq!(rig.ask("POST", &path, &[("Muted", "false")]).0, 400, "it cannot be changed yet");
    assert_eq!(rig.ask("DELETE", &path, &[]).0, 204);
    let (cancel, from) = sip.receive("CANCEL ");
    sip.send(from, &sip.answer_with(&cancel, "200 OK", ""));
    sip.send(from, &sip.answer_with(&invite, "487 Request Terminated", ""));
    sip.receive("ACK ");
    assert_eq!((rig.ask("GET", &path, &[]).0, rig.ask("DELETE", &path, &[]).0), (404, 404));
    let call = format!("Calls/{}.json", added["call_sid"].as_str().unwrap());
    until("its call is over", || (rig.get(&call)["status"] == "canceled").then_some(()));
    assert_eq!(rig.listed(&list, "participants").len(), 2);
}

#[test]
fn a_conference_has_its_sid_before_its_first_participant_answers() {
    let mut rig = Rig::new();
    rig.parties[2].leaves();
    until("two are left", || (rig.edge.json("/v1/status")["calls"] == 2).then_some(()));
    let list = "Conferences/another/Participants.json";
    let fields = [("To", NUMBER), ("From", NUMBER)];
    let conference = |sid: &str| rig.get(&format!("Conferences/{sid}.json"));
    let sip = &rig.parties[2].phone.sip;
    // The conference ends when its only call is canceled.
    let added = rig.post(list, &fields);
    let sid = added["conference_sid"].as_str().unwrap().to_owned();
    let (invite, from) = sip.receive("INVITE ");
    assert_eq!(
        rig.listed(list, "participants"),
        rig.listed(&format!("Conferences/{sid}/Participants.json"), "participants")
    );
    assert_eq!(rig.listed(list, "participants").len(), 1);
    assert_eq!((&conference(&sid)["status"], &conference(&sid)["friendly_name"]), (&json!("init"), &json!("another")));
    let path = added["uri"].as_str().unwrap().split_once("/Conferences/").unwrap().1;
    // Before the participant has joined, it can be read, but not changed.
    assert_eq!(rig.get(&format!("Conferences/{path}"))["conference_sid"], json!(sid));
    let (status, refused) = rig.ask("POST", &format!("Conferences/{path}"), &[("Muted", "true")]);
    assert_eq!((status, refused["message"].as_str().unwrap().contains("has not answered yet")), (400, true));
    assert_eq!(rig.ask("DELETE", &format!("Conferences/{path}"), &[]).0, 204);
    sip.send(from, &sip.answer_with(&invite, "486 Busy Here", ""));
    until("its call is over", || (rig.edge.json("/v1/status")["calls"] == 2).then_some(()));
    assert_eq!(rig.ask("GET", list, &[]).0, 404);
    let over = conference(&sid);
    assert_eq!(
        (&over["status"], &over["reason_conference_ended"]),
        (&json!("completed"), &json!("last-participant-left"))
    );
    // A request ends the conference: calls that ring for it are canceled.
    let both = [rig.post(list, &fields), rig.post(list, &fields)];
    let other = both[0]["conference_sid"].as_str().unwrap().to_owned();
    assert_eq!((&both[1]["conference_sid"], other == sid), (&json!(other), false));
    let invites = [sip.receive("INVITE "), sip.receive("INVITE ")];
    let ended = rig.post(&format!("Conferences/{other}.json"), &[("Status", "completed")]);
    assert_eq!(
        (&ended["status"], &ended["reason_conference_ended"]),
        (&json!("completed"), &json!("conference-ended-via-api"))
    );
    for (invite, from) in invites {
        sip.send(from, &sip.answer_with(&invite, "486 Busy Here", ""));
    }
    until("their calls are over", || (rig.edge.json("/v1/status")["calls"] == 2).then_some(()));
    for name in ["n".repeat(129), "a%0Ab".to_owned()] {
        let (status, refused) = rig.ask("POST", &format!("Conferences/{name}/Participants.json"), &fields);
        assert_eq!((status, refused["code"].as_u64()), (400, Some(20_001)), "{refused}");
    }
    // The conference keeps this SID when the first party joins. Blanks around a name are not part of it.
    let added = rig.post("Conferences/%20another%20/Participants.json", &fields);
    let sid = added["conference_sid"].as_str().unwrap().to_owned();
    rig.parties[2].answers();
    let path = format!("Conferences/{sid}/Participants/{}.json", added["call_sid"].as_str().unwrap());
    until("it is a party", || Some(rig.get(&path)).filter(|one| one["status"] == "connected"));
    assert_eq!(rig.listed("Conferences.json?FriendlyName=another", "conferences").len(), 3);
}

#[test]
fn fields_of_conferences_and_participants_are_those_of_the_page() {
    let mut rig = Rig::new();
    let live = rig.listed("Conferences.json", "conferences");
    let sid = live[0]["sid"].as_str().unwrap().to_owned();
    let list = format!("Conferences/{sid}/Participants.json");
    let parties = rig.listed(&list, "participants");
    let calls: Vec<&str> = parties.iter().map(|one| one["call_sid"].as_str().unwrap()).collect();
    let coach = rig.post(&format!("Conferences/{sid}/Participants/{}.json", calls[1]), &[("CallSidToCoach", calls[0])]);
    let fields = [("To", NUMBER), ("From", NUMBER), ("Label", "x")];
    let labelled = rig.post("Conferences/another/Participants.json", &fields);
    is_as_on_the_page("participant", &[parties.clone(), vec![coach, labelled]].concat());
    rig.parties.iter_mut().for_each(Party::leaves);
    let ended = until("it is over", || {
        let conference = rig.get(&format!("Conferences/{sid}.json"));
        (conference["status"] == "completed").then_some(conference)
    });
    is_as_on_the_page("conference", &[live, vec![ended]].concat());
}

#[test]
fn what_cannot_be_changed_is_an_error() {
    let rig = Rig::new();
    let sid = rig.listed("Conferences.json", "conferences")[0]["sid"].as_str().unwrap().to_owned();
    let call = rig.listed(&format!("Conferences/{sid}/Participants.json"), "participants")[0]["call_sid"].clone();
    let (conference, party) =
        (format!("Conferences/{sid}.json"), format!("Conferences/{sid}/Participants/{}.json", call.as_str().unwrap()));
    let none = format!("Conferences/CF{:032x}", 7);
    for (method, path, fields, expected) in [
        ("GET", format!("{none}.json"), &[][..], (404, 20_404)),
        ("GET", format!("{none}/Participants.json"), &[], (404, 20_404)),
        ("POST", format!("{none}/Participants.json"), &[("To", NUMBER), ("From", NUMBER)], (404, 20_404)),
        ("POST", conference.clone(), &[("Status", "paused")], (400, 20_001)),
        ("POST", conference.clone(), &[("AnnounceUrl", "ftp://a.example/")], (400, 21_205)),
        ("POST", party.clone(), &[("AnnounceUrl", "http://127.0.0.1/")], (400, 21_205)),
        ("DELETE", conference, &[], (405, 20_004)),
        ("POST", party.clone(), &[("Muted", "perhaps")], (400, 20_001)),
        ("POST", party.clone(), &[("Coaching", "true")], (400, 13_240)),
        ("POST", party.clone(), &[("CallSidToCoach", "CA1")], (400, 13_240)),
        ("POST", party, &[("HoldUrl", "ftp://a.example/")], (400, 21_205)),
        ("GET", format!("{none}/Recordings.json"), &[], (404, 20_404)),
        ("POST", format!("Conferences/{sid}/Recordings/Twilio.CURRENT.json"), &[("Status", "stopped")], (404, 20_404)),
        ("POST", format!("Conferences/{sid}/Recordings/Twilio.CURRENT.json"), &[("Status", "gone")], (400, 20_001)),
        ("GET", format!("Conferences/{sid}/Recordings/RE1.json"), &[], (404, 20_404)),
        ("GET", format!("Conferences/{sid}/Nothing.json"), &[], (404, 20_404)),
        ("GET", "Conferences.json?Status=odd".to_owned(), &[], (400, 20_001)),
    ] {
        let (status, answer) = rig.ask(method, &path, fields);
        assert_shape(status, &answer);
        assert_eq!((status, answer["code"].as_u64().unwrap()), expected, "{method} {path}");
    }
}

/// Returns the maximum level of a tone in a recording in dBFS, over blocks of a tenth of a second.
fn level_in(wav: &[u8], hz: f64) -> f64 {
    let samples: Vec<f64> = wav[80..].as_chunks().0.iter().map(|pair| f64::from(i16::from_le_bytes(*pair))).collect();
    let level = |block: &[f64]| {
        let (mut re, mut im) = (0.0, 0.0);
        for (n, sample) in block.iter().enumerate() {
            let angle = std::f64::consts::TAU * hz * n as f64 / 8_000.0;
            re += sample * angle.cos();
            im += sample * angle.sin();
        }
        20.0 * (2.0 * re.hypot(im) / block.len() as f64 / 32_768.0).max(1e-6).log10()
    };
    samples.chunks_exact(800).map(level).fold(-120.0, f64::max)
}

/// Returns the paths of all files below a folder.
fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn a_conference_is_recorded_listed_paused_ended_and_deleted() {
    let application = application(&[
        (
            "/voice",
            "<Dial><Conference record='record-from-start' trim='do-not-trim' recordingStatusCallback='/recorded' \
             recordingStatusCallbackEvent='in-progress completed'>board</Conference></Dial>",
        ),
        ("/recorded", ""),
    ]);
    let tables = format!(
        "[recording]\ndirectory = \"recordings\"\n[app.ivr]\nurl = \"http://{}/voice\"\nallow_private = true\n",
        application.address
    );
    let mut rig = Rig::with(&tables, "app:ivr");
    rig.hear("all hear all others", |at, other| at != other);
    let conference = rig.listed("Conferences.json", "conferences")[0]["sid"].as_str().unwrap().to_owned();
    let list = format!("Conferences/{conference}/Recordings.json");
    let begun = until("it is recorded", || rig.listed(&list, "recordings").pop());
    let sid = begun["sid"].as_str().unwrap().to_owned();
    let one = format!("Conferences/{conference}/Recordings/{sid}.json");
    for (name, value) in [
        ("status", json!("in-progress")),
        ("source", json!("Conference")),
        ("channels", json!(1)),
        ("conference_sid", json!(conference)),
        ("uri", json!(format!("/2010-04-01/Accounts/{SID}/{one}"))),
    ] {
        assert_eq!(begun[name], value, "{name}");
    }
    assert_eq!(rig.get(&one), begun);
    let current = format!("Conferences/{conference}/Recordings/Twilio.CURRENT.json");
    assert_eq!(rig.post(&current, &[("Status", "paused"), ("PauseBehavior", "skip")])["status"], json!("paused"));
    assert_eq!(rig.get(&one)["status"], json!("paused"));
    assert_eq!(rig.post(&one, &[("Status", "in-progress")])["status"], json!("in-progress"));
    rig.hear("some more is recorded", |at, other| at != other);
    assert_eq!(rig.ask("DELETE", &one, &[]).0, 409, "it is being made");
    assert_eq!(rig.post(&one, &[("Status", "stopped")])["status"], json!("stopped"));
    let ended = until("it is complete", || {
        let recording = rig.get(&one);
        (recording["status"] == "completed").then_some(recording)
    });
    assert!(ended["duration"].as_str().unwrap().parse::<u32>().unwrap() > 0);
    let page = RESOURCES.iter().find(|resource| resource.name.starts_with("recording below")).unwrap();
    let mut fields: Vec<&str> = page.fields.iter().map(|(field, _)| *field).collect();
    fields.sort_unstable();
    assert_eq!(ended.as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>(), fields);
    let (status, answer) = rig.ask("POST", &one, &[("Status", "paused")]);
    assert_eq!((status, &answer["code"]), (400, &json!(21_220)), "{answer}");
    let of_account = rig.listed(&format!("Recordings.json?ConferenceSid={conference}"), "recordings");
    assert_eq!((&of_account[0]["sid"], &of_account[0]["conference_sid"]), (&json!(sid), &json!(conference)));
    let wav = rig.edge.file.with_file_name("recordings");
    let wav = std::fs::read(files(&wav).pop().unwrap()).unwrap();
    for hz in [1000.0, 1400.0, 1900.0] {
        assert!(level_in(&wav, hz) > -35.0, "{hz} Hz: {} dB", level_in(&wav, hz));
    }
    assert!(level_in(&wav, 2500.0) < -45.0);
    let states = until("its end is reported", || {
        let posts = application.posts();
        let of = posts.iter().filter(|post| path(post) == "/recorded");
        let states: Vec<[String; 2]> =
            of.map(|post| ["RecordingStatus", "ConferenceSid"].map(|name| parameter(post, name))).collect();
        (states.len() == 2).then_some(states)
    });
    assert_eq!(states, ["in-progress", "completed"].map(|state| [state.to_owned(), conference.clone()]));
    assert_eq!(rig.ask("DELETE", &one, &[]).0, 204);
    assert!(rig.listed(&list, "recordings").is_empty());
    // The conference continues without that party.
    rig.hear("all hear all others again", |at, other| at != other);
}

#[test]
fn announcements_are_heard_by_all_or_by_one_and_reported() {
    let application = application(&[
        (
            "/voice",
            "<Dial><Conference statusCallback='/events' statusCallbackEvent='announcement'>board</Conference></Dial>",
        ),
        ("/news", "<Play loop='5'>/menu.wav</Play>"),
        ("/pause", "<Pause length='1'/>"),
        ("/broken", "<Gather/>"),
        ("/events", ""),
    ]);
    let at = |path: &str| format!("http://{}{path}", application.address);
    let tables = format!("[app.ivr]\nurl = \"{}\"\nallow_private = true\n", at("/voice"));
    let mut rig = Rig::with(&tables, "app:ivr");
    rig.hear("all hear all others", |at, other| at != other);
    let conference = rig.listed("Conferences.json", "conferences")[0]["sid"].as_str().unwrap().to_owned();
    let party =
        rig.listed(&format!("Conferences/{conference}/Participants.json"), "participants")[0]["call_sid"].clone();
    let party = format!("Conferences/{conference}/Participants/{}.json", party.as_str().unwrap());
    let conference = format!("Conferences/{conference}.json");
    rig.post(&conference, &[("AnnounceUrl", &at("/news"))]);
    rig.post(&party, &[("AnnounceUrl", &at("/pause")), ("AnnounceMethod", "POST")]);
    rig.post(&conference, &[("AnnounceUrl", &at("/broken"))]);
    // The mixer plays the sound while the parties send audio.
    let reported = |application: &crate::support::endpoint::Endpoint| -> Vec<[String; 2]> {
        let posts = application.posts();
        let of = posts.iter().filter(|post| path(post) == "/events");
        of.map(|post| ["StatusCallbackEvent", "AnnounceUrl"].map(|name| parameter(post, name))).collect()
    };
    speak(&mut rig.parties, "all are reported", |_| reported(&application).len() == 3);
    let mut found = reported(&application);
    found.sort();
    let expected = [
        ["announcement-end".to_owned(), at("/news")],
        ["announcement-end".to_owned(), at("/pause")],
        ["announcement-fail".to_owned(), at("/broken")],
    ];
    assert_eq!(found, expected);
    let news = application.posts().into_iter().find(|post| path(post) == "/news").unwrap();
    assert_eq!((parameter(&news, "FriendlyName"), news.line.starts_with("POST")), ("board".to_owned(), true));
}

#[test]
fn a_conference_that_is_over_is_known_after_a_restart() {
    let mut rig = Rig::new();
    rig.hear("all hear all others", |at, other| at != other);
    let sid = rig.listed("Conferences.json", "conferences")[0]["sid"].as_str().unwrap().to_owned();
    rig.post(&format!("Conferences/{sid}.json"), &[("Status", "completed")]);
    rig.parties.iter_mut().for_each(Party::is_hung_up_on);
    let ended = rig.get(&format!("Conferences/{sid}.json"));
    until("no call is left", || (rig.edge.json("/v1/status")["calls"] == 0).then_some(()));
    // Once a later write to the store is visible, the conference is in the store, too.
    rig.post("Keys.json", &[("FriendlyName", "later")]);
    let Rig { parties, edge } = rig;
    let rig = Rig { parties, edge: edge.kill_and_start_again() };
    assert_eq!(rig.get(&format!("Conferences/{sid}.json")), ended);
    assert_eq!(rig.listed("Conferences.json?Status=completed", "conferences"), [ended]);
}

#[test]
fn a_person_sees_who_talks_and_mutes_holds_removes_and_ends() {
    let mut rig = Rig::new();
    rig.hear("all hear all others", |at, other| at != other);
    let conference = |rig: &Rig| rig.edge.json("/v1/conferences")["conferences"][0].clone();
    let live = conference(&rig);
    assert_eq!(
        (&live["name"], &live["status"], &live["ended_at"]),
        (&json!("weekly"), &json!("in-progress"), &Value::Null)
    );
    let parties = live["parties"].as_array().unwrap();
    assert!(parties.iter().all(|party| party["talking"] == true && party["from"].is_string()), "{live}");
    let call = |at: usize| parties[at]["call"].as_str().unwrap();
    let sid = live["sid"].as_str().unwrap();
    let act = |rig: &Rig, path: &str| {
        let (status, answer) = http("POST", &format!("{}/v1/conferences/{sid}/{path}", rig.edge.url()), &[], "");
        (status, serde_json::from_str::<Value>(&answer).unwrap())
    };
    for (action, field, value) in
        [("mute", "muted", true), ("unmute", "muted", false), ("hold", "held", true), ("resume", "held", false)]
    {
        assert_eq!(act(&rig, &format!("parties/{}/{action}", call(0))).0, 200, "{action}");
        assert_eq!(conference(&rig)["parties"][0][field], json!(value), "{action}");
    }
    assert_eq!(act(&rig, &format!("parties/{}/remove", call(2))).0, 200);
    rig.parties[2].is_hung_up_on();
    assert_eq!(conference(&rig)["parties"].as_array().unwrap().len(), 2);
    for (path, slug) in [
        (format!("parties/{}/remove", call(2)), "unknown_conference"),
        (format!("parties/{}/sing", call(0)), "not_found"),
    ] {
        let (status, answer) = act(&rig, &path);
        assert_eq!((status, &answer["error"]["code"]), (404, &json!(slug)), "{answer}");
    }
    let (status, ended) = act(&rig, "end");
    assert_eq!(
        (status, &ended["status"], &ended["end_reason"]),
        (200, &json!("completed"), &json!("conference-ended-via-api"))
    );
    assert!(ended["ended_at"].is_string());
    rig.parties[..2].iter_mut().for_each(Party::is_hung_up_on);
    assert_eq!(act(&rig, "end").1["error"]["code"], json!("unknown_conference"));
    assert_eq!(conference(&rig), ended);
}

/// Two requests move both legs of a Dial into a conference, as programs do for hold and consultative transfer.
#[test]
fn both_parties_of_a_dial_are_moved_into_a_conference_and_hear_each_other() {
    let application =
        application(&[("/voice", "<Dial action=\"/after\">+14155550177</Dial>"), ("/after", "<Pause length=\"60\"/>")]);
    let app = format!("[app.ivr]\nurl = \"http://{}/voice\"\nallow_private = true\n", application.address);
    let mut rig = Rig::alone(&app, "app:ivr");
    rig.parties[0].joins(&rig.edge);
    rig.parties[2].answers();
    rig.hear("the two hear each other", |at, other| at != other && other != 1);
    let calls = rig.listed("Calls.json", "calls");
    let of = |direction: &str| {
        let found = calls.iter().find(|call| call["direction"] == json!(direction)).unwrap();
        found["sid"].as_str().unwrap().to_owned()
    };
    let (caller, party) = (of("inbound"), of("outbound-dial"));
    let room = "<Response><Dial><Conference endConferenceOnExit='true'>hold</Conference></Dial></Response>";
    // The request has an unreachable callback URL together with a document: neither is applied.
    let never = [("Twiml", "<Response><Hangup/></Response>"), ("StatusCallback", "http://169.254.169.254/")];
    let (status, refused) = rig.ask("POST", &format!("Calls/{party}.json"), &never);
    assert_eq!((status, &refused["code"]), (400, &json!(21_205)), "{refused}");
    rig.hear("the two still hear each other", |at, other| at != other && other != 1);
    // The party gets another document first: it hears the document, and is disconnected from the caller.
    let (status, moved) =
        rig.ask("POST", &format!("Calls/{party}.json"), &[("Twiml", "<Response><Pause length='60'/></Response>")]);
    assert_eq!((status, &moved["sid"], &moved["status"]), (200, &json!(party), &json!("in-progress")), "{moved}");
    assert_eq!((&moved["direction"], &moved["parent_call_sid"]), (&json!("outbound-dial"), &json!(caller)));
    rig.hear("they are parted", |_, _| false);
    for sid in [&party, &caller] {
        rig.post(&format!("Calls/{sid}.json"), &[("Twiml", room)]);
    }
    rig.hear("they hear each other in the conference", |at, other| at != other && other != 1);
    let listed = rig.listed(&format!("Calls.json?ParentCallSid={caller}"), "calls");
    assert_eq!(listed.iter().map(|call| call["sid"].clone()).collect::<Vec<_>>(), [json!(party)], "it is listed once");
    assert_eq!(rig.listed("Calls.json", "calls").len(), 2);
    rig.parties[0].leaves();
    rig.parties[2].is_hung_up_on();
    let ended = until("both have ended", || {
        let calls = rig.listed("Calls.json", "calls");
        calls.iter().all(|call| call["status"] == "completed").then_some(calls)
    });
    assert_eq!(ended.len(), 2);
    let Rig { parties, edge } = rig;
    let rig = Rig { parties, edge: edge.stop_and_start_again() };
    assert_eq!(rig.get(&format!("Calls/{party}.json"))["parent_call_sid"], json!(caller), "from the store");
    let listed = rig.listed(&format!("Calls.json?ParentCallSid={caller}"), "calls");
    assert_eq!(listed.iter().map(|call| call["sid"].clone()).collect::<Vec<_>>(), [json!(party)], "from there, too");
}
