//! Conferences over `trunkgate upgrade` and after `kill -9`: the same SID, participants and recording, and each event
//! reported once.

#![allow(clippy::unwrap_used)] // helpers of tests are not `#[test]` themselves

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::apps::{application, parameter, path};
use crate::conferences::{Party, edge_config, hear, speak};
use crate::crash::until_stored;
use crate::support::codecs::Codec;
use crate::support::endpoint::Endpoint;
use crate::support::{Process, until, with_state};
use crate::twilio_api::{SID, TOKEN, fetched, posted};
use crate::twilio_messages::form;
use crate::upgrade::upgrade;
use crate::upgrade_recordings::files;

/// Length of the WAV header, in bytes.
const HEADER: usize = 80;
/// Samples of a second of a recording.
const SECOND: usize = 8_000;

/// Three parties in a recorded conference that reports its events.
struct Board {
    application: Endpoint,
    parties: Vec<Party>,
    edge: Process,
    sid: String,
}

impl Board {
    /// Starts an edge and joins the parties; the first one is muted, the second one is on hold.
    fn new(is_saved: bool) -> Board {
        let application = application(&[
            (
                "/voice",
                "<Dial><Conference record='record-from-start' trim='do-not-trim' statusCallback='/events' \
                 statusCallbackEvent='start end join leave mute hold' recordingStatusCallback='/recorded' \
                 recordingStatusCallbackEvent='in-progress completed'>board</Conference></Dial>",
            ),
            ("/events", ""),
            ("/recorded", ""),
            ("/hold", "<Play loop='0'>/menu.wav</Play>"),
        ]);
        let tones = [1000.0, 1400.0, 1900.0].into_iter().enumerate();
        let mut parties: Vec<Party> = tones.map(|(at, hz)| Party::new(40 + at, Codec::Pcmu, hz)).collect();
        let tables = format!(
            "[api]\naccount_sid = \"{SID}\"\nauth_token = \"{TOKEN}\"\nrequests_per_second = 0\n[recording]\n\
             directory = \"recordings\"\n[app.ivr]\nurl = \"http://{}/voice\"\nallow_private = true\n",
            application.address
        );
        let text = edge_config(&parties, &tables, "app:ivr");
        let edge = Process::start(&if is_saved { with_state(&text) } else { text });
        parties.iter_mut().for_each(|party| party.joins(&edge));
        speak(&mut parties, "all hear all others", |parties| hear(parties, |at, other| at != other));
        let sid = fetched(&edge, "Conferences.json")["conferences"][0]["sid"].as_str().unwrap().to_owned();
        let mut board = Board { application, parties, edge, sid };
        board.change(0, &[("Muted", "true")]);
        let hold = format!("http://{}/hold", board.application.address);
        board.change(1, &[("Hold", "true"), ("HoldUrl", &hold), ("HoldMethod", "POST")]);
        board.hear_roles();
        board
    }

    fn list(&self) -> String {
        format!("Conferences/{}/Participants.json", self.sid)
    }

    fn participants(&self) -> Vec<Value> {
        fetched(&self.edge, &self.list())["participants"].as_array().unwrap().clone()
    }

    /// Changes the participant with this number.
    fn change(&self, at: usize, fields: &[(&str, &str)]) {
        let all = self.participants();
        let call = all[at]["call_sid"].as_str().unwrap();
        posted(&self.edge, &format!("Conferences/{}/Participants/{call}.json", self.sid), &form(fields));
    }

    fn hear(&mut self, what: &str, hears: impl Fn(usize, usize) -> bool) {
        speak(&mut self.parties, what, |parties| hear(parties, &hears));
    }

    /// Waits until the first party is not heard, and the second one neither hears nor is heard.
    fn hear_roles(&mut self) {
        self.hear("the first is muted, the second on hold", |at, other| at != 1 && at != other && other == 2);
    }

    /// Lets the parties speak and hear while `act` runs.
    fn speak_during<T: Send>(&mut self, act: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let acting = scope.spawn(act);
            speak(&mut self.parties, "it is done", |_| acting.is_finished());
            acting.join().unwrap()
        })
    }

    /// Lets the parties speak for a second: the state of their changes is in the file then.
    fn speak_on(&mut self) {
        let heard = self.parties[0].frames();
        speak(&mut self.parties, "they go on", |parties| parties[0].frames() >= heard + 50);
    }

    /// Returns the state of conference, participants and recordings as the API shows it.
    fn shown(&self) -> [Value; 3] {
        let recordings = format!("Conferences/{}/Recordings.json", self.sid);
        ["Conferences.json", &self.list(), &recordings].map(|path| fetched(&self.edge, path))
    }

    /// Returns sequence number and name of each reported event.
    fn events(&self) -> Vec<(u64, String)> {
        let posts = self.application.posts();
        let of = posts.iter().filter(|post| path(post) == "/events");
        of.map(|post| (parameter(post, "SequenceNumber").parse().unwrap(), parameter(post, "StatusCallbackEvent")))
            .collect()
    }

    /// Lets all hear each other again and hang up. Returns all events, and the samples of the only recording.
    fn ends(&mut self) -> (Vec<(u64, String)>, Vec<i16>) {
        self.change(0, &[("Muted", "false")]);
        self.change(1, &[("Hold", "false")]);
        self.hear("all hear all others again", |at, other| at != other);
        self.parties.iter_mut().for_each(Party::leaves);
        until("the end is reported", || self.events().iter().any(|(_, event)| event == "conference-end").then_some(()));
        until("the file is closed", || {
            (self.edge.metric("trunkgate_recordings_total{result=\"completed\"}") == 1.0).then_some(())
        });
        let all: Vec<PathBuf> = files(&self.edge);
        assert_eq!(all.len(), 1, "{all:?}");
        let bytes = std::fs::read(&all[0]).unwrap();
        let samples = bytes[HEADER..].as_chunks().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect();
        (self.events(), samples)
    }
}

/// Returns the longest silence in a recording, in samples.
fn longest_silence(samples: &[i16]) -> usize {
    samples.split(|sample| sample.unsigned_abs() > 500).map(<[i16]>::len).max().unwrap_or_default()
}

fn names(events: &[(u64, String)]) -> Vec<&str> {
    events.iter().map(|(_, event)| event.as_str()).collect()
}

/// Events of the conference, in order.
const REPORTED: [&str; 12] = [
    "participant-join",
    "conference-start",
    "participant-join",
    "participant-join",
    "participant-mute",
    "participant-hold",
    "participant-unmute",
    "participant-unhold",
    "participant-leave",
    "participant-leave",
    "participant-leave",
    "conference-end",
];

#[test]
fn a_conference_goes_on_over_two_upgrades() {
    let mut board = Board::new(false);
    let url = board.edge.url();
    let mut successors = Vec::new();
    for _ in 0..2 {
        let before = board.shown();
        successors.push(board.speak_during(|| upgrade(&url)));
        assert_eq!(board.shown(), before);
        board.speak_on();
        board.hear_roles();
    }
    let (events, samples) = board.ends();
    assert_eq!(names(&events), REPORTED);
    assert_eq!(events.iter().map(|(number, _)| *number).collect::<Vec<_>>(), (1..=12).collect::<Vec<_>>());
    // The third party speaks all the time.
    assert!(samples.len() > 4 * SECOND, "{}", samples.len());
    let silence = longest_silence(&samples);
    assert!(silence < SECOND / 2, "{silence} samples of {} are silent", samples.len());
    let recordings = fetched(&board.edge, &format!("Recordings.json?ConferenceSid={}", board.sid));
    let recording = &recordings["recordings"][0];
    let shown = board.edge.json(&format!("/v1/recordings/{}", recording["sid"].as_str().unwrap()));
    assert_eq!((&shown["state"], &shown["lost_ms"]), (&json!("completed"), &json!(0)), "{shown}");
}

#[test]
fn a_conference_goes_on_after_a_kill() {
    let mut board = Board::new(true);
    board.speak_on();
    until_stored(&board.edge, 3.0);
    let before = board.shown();
    let Board { application, parties, edge, sid } = board;
    let edge = edge.kill_and_start_again();
    assert_eq!((edge.metric("trunkgate_calls_continued"), edge.metric("trunkgate_calls_lost")), (3.0, 0.0));
    let mut board = Board { application, parties, edge, sid };
    assert_eq!(board.shown(), before);
    board.hear_roles();
    board.speak_on();
    let (events, samples) = board.ends();
    assert_eq!(names(&events), REPORTED);
    assert!(events.is_sorted_by(|(one, _), (other, _)| one < other), "{events:?}");
    assert!(samples.len() > 3 * SECOND, "{}", samples.len());
    let recordings = fetched(&board.edge, &format!("Recordings.json?ConferenceSid={}", board.sid));
    let recording = &recordings["recordings"][0];
    let shown = board.edge.json(&format!("/v1/recordings/{}", recording["sid"].as_str().unwrap()));
    assert_eq!(shown["state"], json!("completed"), "{shown}");
    // The time without an edge is silence in the file.
    let (silence, lost) = (longest_silence(&samples), shown["lost_ms"].as_u64().unwrap());
    assert!(lost > 0 && silence as u64 * 1000 / SECOND as u64 + 100 >= lost, "{silence} {shown}");
}
