//! Recordings over `trunkgate upgrade`: the same file with the audio of every packet, and one report of its end.

#![allow(clippy::unwrap_used)] // helpers of tests are not `#[test]` themselves

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use trunkgate_media::codec::g711::encode_ulaw;

use crate::apps::{parameter, path};
use crate::support::calls::{Call, Phone, packet};
use crate::support::endpoint::Endpoint;
use crate::support::pace::Pace;
use crate::support::{Process, config, until, whole_lines};
use crate::upgrade::upgrade;

/// Length of the WAV header, in bytes.
const HEADER: usize = 80;
/// First μ-law code of numbers by the caller, and by the callee; both are loud.
pub(crate) const NEAR: u8 = 0x00;
const FAR: u8 = 0x80;
/// Number of digits that a code can have.
const DIGITS: u16 = 48;
/// Lateness up to which a recording keeps every packet.
const KEPT_WITHIN: Duration = Duration::from_millis(150);

fn phones() -> (Phone, Phone) {
    (Phone::new("127.0.0.1"), Phone::new("127.0.0.3"))
}

fn edge(caller: &Phone, callee: &Phone, route: &str, recording: &str) -> Process {
    Process::start(&config(&format!(
        "{}{}[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n{route}\n[cdr]\nfile = \"cdr.jsonl\"\n\
         [recording]\ndirectory = \"recordings\"\n{recording}",
        caller.trunk("carrier"),
        callee.trunk("pbx")
    )))
}

/// Returns a packet whose audio is its number, in two digits.
pub(crate) fn numbered(ssrc: u32, first: u8, n: u16) -> Vec<u8> {
    let mut bytes = packet(ssrc, n, first + (n / DIGITS % DIGITS) as u8);
    bytes[12 + 80..].fill(first + (n % DIGITS) as u8);
    bytes
}

/// Returns the number in a frame; `None` for silence.
fn number(frame: &[u8], first: u8) -> Option<u16> {
    if frame.iter().all(|code| *code == 0xff) {
        return None;
    }
    let digit = |half: &[u8]| {
        assert!(half.iter().all(|code| *code == half[0]), "a part of a packet: {frame:?}");
        u16::from(half[0] - first)
    };
    Some(digit(&frame[..80]) * DIGITS + digit(&frame[80..]))
}

/// Returns the numbers of both channels by frame, after a check of the header against the length.
fn numbers(file: &Path) -> [Vec<Option<u16>>; 2] {
    let bytes = std::fs::read(file).unwrap();
    let length = u32::from_le_bytes(bytes[HEADER - 4..HEADER].try_into().unwrap());
    assert_eq!(length as usize, bytes.len() - HEADER);
    let channel = |at: usize, first: u8| {
        let sample = |pair: &[u8]| encode_ulaw(i16::from_le_bytes([pair[at], pair[at + 1]]));
        let codes: Vec<u8> = bytes[HEADER..].chunks_exact(4).map(sample).collect();
        codes.chunks(160).map(|frame| number(frame, first)).collect()
    };
    [channel(0, NEAR), channel(2, FAR)]
}

/// Returns the files of recordings.
pub(crate) fn files(edge: &Process) -> Vec<PathBuf> {
    fn below(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() { below(&path, found) } else { found.push(path) }
        }
    }
    let mut found = Vec::new();
    below(&edge.file.with_file_name("recordings"), &mut found);
    // The edge tests the directory by a file.
    found.retain(|file| file.file_name().unwrap().to_string_lossy().starts_with("RE"));
    found
}

/// Conversation in numbers: the next one that both parties send.
struct Conversation {
    next: AtomicU16,
    is_over: AtomicBool,
}

impl Conversation {
    /// Talks both ways while `act` runs; returns its result, and whether all packets were sent in time.
    fn during<T>(call: &Call, (caller, callee): (&Phone, &Phone), act: impl FnOnce(&Conversation) -> T) -> (T, bool) {
        let talk = Conversation { next: AtomicU16::new(0), is_over: AtomicBool::new(false) };
        let sides = [(&caller.rtp, call.near, 1, NEAR), (&callee.rtp, call.far, 2, FAR)];
        std::thread::scope(|scope| {
            let speaking = scope.spawn(|| {
                let mut pace = Pace::new();
                while !talk.is_over.load(Ordering::Relaxed) {
                    pace.wait();
                    let n = talk.now();
                    for (socket, to, ssrc, first) in sides {
                        socket.send_to(&numbered(ssrc, first, n), to).unwrap();
                    }
                    talk.next.store(n + 1, Ordering::Relaxed);
                }
                pace.latest() < KEPT_WITHIN
            });
            let result = {
                let _ended = EndOnDrop(&talk.is_over);
                act(&talk)
            };
            (result, speaking.join().unwrap())
        })
    }

    /// Returns the next number.
    fn now(&self) -> u16 {
        self.next.load(Ordering::Relaxed)
    }

    /// Waits until this many further packets are sent.
    fn go_on(&self, packets: u16) {
        let until_number = self.now() + packets;
        until("packets are sent", || (self.now() >= until_number).then_some(()));
    }
}

/// Ends the conversation also if a test fails.
struct EndOnDrop<'a>(&'a AtomicBool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn ended(edge: &Process) -> Value {
    let records = edge.file.with_file_name("cdr.jsonl");
    until("the record is written", || {
        let text = std::fs::read_to_string(&records).ok()?;
        whole_lines(&text).next().map(|line| serde_json::from_str(line).unwrap())
    })
}

fn completed(edge: &Process, count: f64) {
    until("the file is closed", || {
        (edge.metric("trunkgate_recordings_total{result=\"completed\"}") == count).then_some(())
    });
}

#[test]
fn a_recorded_call_has_one_file_with_every_packet_over_two_upgrades() {
    let receiver = Endpoint::taking();
    let (caller, callee) = phones();
    let edge = edge(&caller, &callee, "record = true", &format!("url = \"http://{}/all\"\n", receiver.address));
    let call = Call::set_up(&edge, "recorded", &caller, &callee);
    let url = edge.url();
    let (_successors, is_in_time) = Conversation::during(&call, (&caller, &callee), |talk| {
        let mut successors = Vec::new();
        for _ in 0..2 {
            talk.go_on(50);
            successors.push(upgrade(&url));
        }
        talk.go_on(50);
        successors
    });
    let live = edge.json(&format!("/v1/calls/{}", edge.sid()))["recordings"].clone();
    assert_eq!((live.as_array().unwrap().len(), &live[0]["status"]), (1, &json!("in-progress")), "{live}");
    let sid = live[0]["sid"].as_str().unwrap();
    call.hang_up(2, &caller, &callee);
    let record = ended(&edge);
    assert_eq!(record["recordings"].as_array().unwrap().len(), 1, "{record}");
    let recorded = &record["recordings"][0];
    assert_eq!((&recorded["sid"], recorded["lost"].is_null()), (&json!(sid), true), "{record}");
    completed(&edge, 1.0);
    let all = files(&edge);
    assert!(all.len() == 1 && all[0].to_str().unwrap().contains(sid), "{all:?}");
    let channels = numbers(&all[0]);
    for channel in &channels {
        let heard: Vec<u16> = channel.iter().flatten().copied().collect();
        assert!(heard.is_sorted_by(|a, b| a < b), "none is doubled: {heard:?}");
        let span = usize::from(heard[heard.len() - 1] - heard[0]) + 1;
        assert!(!is_in_time || heard.len() == span, "{} of {span}: {heard:?}", heard.len());
        assert!(heard.len() >= 100, "{heard:?}");
    }
    let place = |channel: usize, n: u16| channels[channel].iter().position(|number| *number == Some(n));
    let last = channels[0].iter().flatten().next_back().copied().unwrap();
    let apart = place(0, last).zip(place(1, last)).map(|(near, far)| near.abs_diff(far));
    assert!(!is_in_time || apart.is_some_and(|frames| frames <= 5), "both sides in place: {apart:?}");
    let states = || -> Vec<String> {
        let posts = receiver.posts();
        posts.iter().filter(|post| path(post) == "/all").map(|post| parameter(post, "RecordingStatus")).collect()
    };
    until("the end is reported", || (states().len() >= 2).then_some(()));
    assert_eq!(states(), ["in-progress", "completed"]);
    let seconds = (channels[0].len() as f64 / 50.0).round() as u64;
    let posts = receiver.posts();
    assert_eq!(parameter(posts.last().unwrap(), "RecordingDuration"), seconds.to_string());
    let shown = edge.json(&format!("/v1/recordings/{sid}"));
    assert_eq!((&shown["state"], &shown["lost_ms"]), (&json!("completed"), &json!(0)), "{shown}");
}

#[test]
fn a_paused_recording_of_a_request_stays_paused_and_goes_on_with_its_sid() {
    let (caller, callee) = phones();
    let edge = edge(&caller, &callee, "", "");
    let call = Call::set_up(&edge, "paused", &caller, &callee);
    let url = edge.url();
    let asked = format!("/v1/calls/{}/recording", edge.sid());
    let ask = |body: Value| {
        let (status, answer) = edge.post(&asked, &body);
        assert!(status < 300, "{status} {answer}");
        answer
    };
    let ((sid, pause, resume, _successor), is_in_time) = Conversation::during(&call, (&caller, &callee), |talk| {
        let sid = ask(json!({"action": "start"}))["sid"].as_str().unwrap().to_owned();
        talk.go_on(50);
        ask(json!({"action": "pause", "pause": "cut"}));
        let pause = talk.now();
        talk.go_on(25);
        let successor = upgrade(&url);
        let live = edge.json(&format!("/v1/calls/{}", edge.sid()))["recordings"][0].clone();
        assert_eq!((&live["sid"], &live["status"]), (&json!(sid), &json!("paused")), "{live}");
        assert_eq!(edge.json(&format!("/v1/recordings/{sid}"))["state"], "in-progress");
        talk.go_on(50);
        let resume = talk.now();
        assert_eq!(ask(json!({"action": "resume", "recording": sid}))["status"], "in-progress");
        talk.go_on(50);
        ask(json!({"action": "stop", "recording": sid}));
        (sid, pause, resume, successor)
    });
    completed(&edge, 1.0);
    let all = files(&edge);
    assert!(all.len() == 1 && all[0].to_str().unwrap().contains(&sid), "{all:?}");
    for channel in numbers(&all[0]) {
        let heard: Vec<u16> = channel.iter().flatten().copied().collect();
        assert!(heard.is_sorted_by(|a, b| a < b), "none is doubled: {heard:?}");
        let in_pause = heard.iter().filter(|n| (pause + 5..resume.saturating_sub(5)).contains(*n));
        assert!(!is_in_time || in_pause.count() == 0, "{pause}..{resume}: {heard:?}");
        assert!(heard.iter().any(|n| *n < pause) && heard.iter().any(|n| *n >= resume), "{pause} {resume} {heard:?}");
    }
    call.hang_up(2, &caller, &callee);
    assert_eq!(ended(&edge)["recordings"].as_array().unwrap().len(), 1);
}
