//! Conferences and participants over the Twilio-compatible API, with parties on bare sockets.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use serde_json::{Value, json};

use crate::conferences::{Party, edge, hear, speak};
use crate::support::calls::NUMBER;
use crate::support::codecs::Codec;
use crate::support::{Process, http, until};
use crate::twilio_api::{SID, TOKEN, assert_shape, authorization};
use crate::twilio_compat::is_as_on_the_page;

/// Three parties in a conference, each with a tone.
struct Rig {
    parties: Vec<Party>,
    edge: Process,
}

impl Rig {
    fn new() -> Rig {
        let tones = [1000.0, 1400.0, 1900.0];
        let mut parties: Vec<Party> =
            tones.into_iter().enumerate().map(|(at, hz)| Party::new(20 + at, Codec::Pcmu, hz)).collect();
        let api = format!(
            "[api]\naccount_sid = \"{SID}\"\nauth_token = \"{TOKEN}\"\nconnect = [\"trunk:phone2\"]\nrequests_per_second = 0\n\
             [[number]]\nnumber = \"{NUMBER}\"\n"
        );
        let edge = edge(&parties, &api, "conference:weekly");
        parties.iter_mut().for_each(|party| party.joins(&edge));
        Rig { parties, edge }
    }
    fn ask(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> (u16, Value) {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let headers = [authorization(SID, TOKEN), ("content-type", "application/x-www-form-urlencoded".to_owned())];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        let url = format!("{}/2010-04-01/Accounts/{SID}/{path}", self.edge.url());
        let (status, answer) = http(method, &url, &headers, &body);
        (status, serde_json::from_str(&answer).unwrap_or(Value::Null))
    }
    fn get(&self, path: &str) -> Value {
        let (status, answer) = self.ask("GET", path, &[]);
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }
    fn post(&self, path: &str, fields: &[(&str, &str)]) -> Value {
        let (status, answer) = self.ask("POST", path, fields);
        assert!(matches!(status, 200 | 201), "{path}: {answer}");
        answer
    }
    fn listed(&self, path: &str, name: &str) -> Vec<Value> {
        self.get(path)[name].as_array().unwrap().clone()
    }
    fn hear(&mut self, what: &str, hears: impl Fn(usize, usize) -> bool) {
        speak(&mut self.parties, what, |parties| hear(parties, &hears));
    }
}

/// The one conference is found by what it is.
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
    // Muted: heard by no other one.
    assert_eq!(rig.post(&path(0), &[("Muted", "true")])["muted"], json!(true));
    assert_eq!(rig.listed(&format!("{list}?Muted=true"), "participants").len(), 1);
    rig.hear("a muted party is not heard", |at, other| at != other && other != 0);
    rig.post(&path(0), &[("Muted", "false")]);
    // On hold: it hears music alone, and is not heard.
    assert_eq!(rig.post(&path(1), &[("Hold", "true")])["hold"], json!(true));
    rig.hear("a held party hears none and is not heard", |at, other| at != other && at != 1 && other != 1);
    rig.post(&path(1), &[("Hold", "false")]);
    rig.hear("all hear all others again", |at, other| at != other);
    // A coach is heard by one alone.
    let coaching = rig.post(&path(2), &[("CallSidToCoach", &calls[0])]);
    assert_eq!((&coaching["coaching"], &coaching["call_sid_to_coach"]), (&json!(true), &json!(calls[0])));
    rig.hear("a coach is heard by one", |at, other| at != other && (other != 2 || at == 0));
    // Removed: its call has nothing behind the conference.
    assert_eq!(rig.ask("DELETE", &path(2), &[]).0, 204);
    rig.parties[2].is_hung_up_on();
    assert_eq!(rig.ask("GET", &path(2), &[]).0, 404);
    rig.hear("the others go on", |at, other| at != other && other != 2);
    // Called for the conference, and there once it answers.
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
        ("POST", conference.clone(), &[("AnnounceUrl", "https://a.example/")], (501, 20_501)),
        ("DELETE", conference, &[], (405, 20_004)),
        ("POST", party.clone(), &[("Muted", "perhaps")], (400, 20_001)),
        ("POST", party.clone(), &[("Coaching", "true")], (400, 13_240)),
        ("POST", party.clone(), &[("CallSidToCoach", "CA1")], (400, 13_240)),
        ("POST", party, &[("HoldUrl", "ftp://a.example/")], (400, 21_205)),
        ("GET", format!("Conferences/{sid}/Recordings.json"), &[], (501, 20_501)),
        ("GET", format!("Conferences/{sid}/Nothing.json"), &[], (404, 20_404)),
        ("GET", "Conferences.json?Status=odd".to_owned(), &[], (400, 20_001)),
    ] {
        let (status, answer) = rig.ask(method, &path, fields);
        assert_shape(status, &answer);
        assert_eq!((status, answer["code"].as_u64().unwrap()), expected, "{method} {path}");
    }
}
