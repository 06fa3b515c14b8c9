//! Recorded calls: audio of each side in the file, plain and SRTP, through pauses and a crash; and the report about
//! calls that are not recorded.

#![allow(clippy::unwrap_used)] // helpers of tests are not `#[test]` themselves

use std::path::{Path, PathBuf};

use crate::apps::{LEVEL, wav};
use crate::support::calls::{Call, NUMBER, Phone, Speaking, packet, received};
use crate::support::pace::Pace;
use crate::support::secure::{Media, described, offered};
use crate::support::{Process, config, finish, until, whole_lines};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use trunkgate_media::codec::g711::{decode_ulaw, encode_ulaw};

/// Length of a WAV file's header, in bytes.
const HEADER: usize = 80;
/// μ-law codes that the caller and the callee send throughout.
const NEAR: u8 = 0x21;
const FAR: u8 = 0xa3;

fn edge(caller: &Phone, callee: &Phone, route: &str, recording: &str) -> Process {
    Process::start(&config(&format!(
        "{}{}[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n{route}\n[cdr]\nfile = \"cdr.jsonl\"\n{recording}",
        caller.trunk("carrier"),
        callee.trunk("pbx")
    )))
}

fn phones() -> (Phone, Phone) {
    (Phone::new("127.0.0.1"), Phone::new("127.0.0.3"))
}

const RECORDING: &str = "[recording]\ndirectory = \"recordings\"\n";

fn speaking(call: &Call, caller: &Phone, callee: &Phone) -> [Speaking; 2] {
    Speaking::codes(call, caller, callee, (NEAR, FAR))
}

/// Returns the paths of recordings' files in any state.
fn files(edge: &Process) -> Vec<PathBuf> {
    fn below(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() { below(&path, found) } else { found.push(path) }
        }
    }
    let mut found = Vec::new();
    below(&edge.file.with_file_name("recordings"), &mut found);
    found
}

/// Returns the total size of all recordings' files.
fn recorded_bytes(edge: &Process) -> u64 {
    files(edge).iter().map(|file| std::fs::metadata(file).map_or(0, |about| about.len())).sum()
}

/// Returns the channels of a WAV file, after checking the header against the length of the file.
fn channels(file: &Path) -> [Vec<u8>; 2] {
    let bytes = std::fs::read(file).unwrap();
    assert_eq!((&bytes[..4], &bytes[8..12]), (&b"RIFF"[..], &b"WAVE"[..]), "{}", file.display());
    let length = u32::from_le_bytes(bytes[HEADER - 4..HEADER].try_into().unwrap());
    assert_eq!((&bytes[HEADER - 8..HEADER - 4], length as usize), (&b"data"[..], bytes.len() - HEADER));
    let sample = |at: usize| move |pair: &[u8]| encode_ulaw(i16::from_le_bytes([pair[at], pair[at + 1]]));
    let pairs = || bytes[HEADER..].chunks_exact(4);
    [pairs().map(sample(0)).collect(), pairs().map(sample(2)).collect()]
}

/// Returns a code after a conversion to linear and back.
fn heard(code: u8) -> u8 {
    encode_ulaw(decode_ulaw(code))
}

/// Returns the seconds of a channel that have this code; the rest must be silence.
fn seconds_of(channel: &[u8], code: u8) -> f64 {
    let count = channel.iter().filter(|sample| **sample == heard(code)).count();
    let silent = channel.iter().filter(|sample| **sample == heard(0xff)).count();
    assert_eq!(count + silent, channel.len(), "nothing else is in the file");
    count as f64 / 8000.0
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
fn a_route_has_both_sides_recorded_from_the_answer_to_the_end() {
    let (caller, callee) = phones();
    let edge = edge(&caller, &callee, "record = true", RECORDING);
    let call = Call::set_up(&edge, "recorded", &caller, &callee);
    let speaking = speaking(&call, &caller, &callee);
    until("a second is recorded", || {
        let file = files(&edge).pop()?;
        (std::fs::metadata(file).ok()?.len() > 32_000).then_some(())
    });
    let live = edge.json(&format!("/v1/calls/{}", edge.sid()))["recordings"][0].clone();
    assert_eq!(
        (&live["status"], &live["source"], &live["channels"]),
        (&json!("in-progress"), &json!("Trunking"), &json!(2))
    );
    drop(speaking);
    call.hang_up(2, &caller, &callee);
    let record = ended(&edge);
    assert_eq!(record["recordings"][0]["sid"], live["sid"]);
    completed(&edge, 1.0);
    let file = files(&edge).pop().unwrap();
    let name = format!("{}.wav", live["sid"].as_str().unwrap());
    assert_eq!(file.file_name().unwrap().to_str().unwrap(), name, "the file has the name of the recording");
    let [left, right] = channels(&file);
    let (near, far) = (seconds_of(&left, NEAR), seconds_of(&right, FAR));
    assert!(near > 0.8 && far > 0.8, "{near} {far}");
    let talked = |name: &str| record[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let took = (talked("ended_at") - talked("answered_at")).total(jiff::Unit::Second).unwrap();
    let length = left.len() as f64 / 8000.0;
    assert!((length - took).abs() < 0.2, "{length} s of a call of {took} s");
    let trace = edge.get(&format!("/v1/calls/{}/trace.txt", record["sid"].as_str().unwrap())).1;
    assert!(trace.contains("recording RE") && trace.contains(" completed: "), "{trace}");
}

#[test]
fn parties_hear_the_announcement_and_then_each_other() {
    let (caller, callee) = phones();
    let file = config(&format!(
        "{}{}[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\nrecord = true\n[recording]\ndirectory = \"recordings\"\nannounce = \"notice.wav\"\n",
        caller.trunk("carrier"),
        callee.trunk("pbx")
    ));
    let edge = Process::start_with_documents(&file, &[("notice.wav", &wav(400))]);
    let call = Call::set_up(&edge, "announced", &caller, &callee);
    let notice = heard(encode_ulaw(LEVEL));
    let hears = |phone: &Phone, code: u8| {
        until("it is heard", || {
            let (packet, _) = received(&phone.rtp);
            packet.get(12..)?.iter().all(|sample| heard(*sample) == heard(code)).then_some(())
        });
    };
    let speaking = speaking(&call, &caller, &callee);
    for (phone, other) in [(&caller, FAR), (&callee, NEAR)] {
        hears(phone, notice);
        hears(phone, other);
    }
    drop(speaking);
    call.hang_up(2, &caller, &callee);
    completed(&edge, 1.0);
    let [left, right] = channels(&files(&edge).pop().unwrap());
    assert!(left.iter().all(|sample| [heard(NEAR), heard(0xff)].contains(sample)), "the caller's words alone");
    let place = |code: u8| right.iter().position(|sample| *sample == heard(code)).unwrap();
    assert!(place(notice) < place(FAR), "what the caller hears has the notice first");
}

#[test]
fn a_call_with_srtp_is_recorded_in_clear() {
    let (caller, callee) = phones();
    let secure = |phone: &Phone, name: &str| phone.trunk(name) + "srtp = \"required\"\n";
    let edge = Process::start(&config(&format!(
        "{}{}[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\nrecord = true\n{RECORDING}",
        secure(&caller, "carrier"),
        secure(&callee, "pbx")
    )));
    let sip = edge.address("udp");
    let offer = described(&caller, 1, "0", Some((1, 3)), "sendrecv");
    caller.sip.send(sip, &caller.sip.request_with("INVITE", NUMBER, sip, "secret", (1, ""), &offer));
    let invite = callee.sip.receive("INVITE ");
    let tag = offered(&invite.0).unwrap().0;
    let answer = described(&callee, 1, "0", Some((tag, 90)), "sendrecv");
    let call = Call::answered(sip, "secret", &caller, invite, (&callee, &answer));
    let mut near = Media::new(&caller, call.near, Some(3), &call.ok);
    let mut far = Media::new(&callee, call.far, Some(90), &call.invite.0);
    let mut pace = Pace::new();
    for n in 0..100 {
        pace.wait();
        near.send(&packet(1, n, NEAR));
        far.receive();
        far.send(&packet(2, n, FAR));
        near.receive();
    }
    call.hang_up(2, &caller, &callee);
    completed(&edge, 1.0);
    let [left, right] = channels(&files(&edge).pop().unwrap());
    let least = (1.8 - pace.fell_behind().as_secs_f64()).max(0.0);
    let (near, far) = (seconds_of(&left, NEAR), seconds_of(&right, FAR));
    assert!(near > least && far > least, "{near} {far} of at least {least}");
}

#[test]
fn requests_begin_pause_and_end_recordings() {
    let (caller, callee) = phones();
    let edge = edge(&caller, &callee, "", RECORDING);
    let call = Call::set_up(&edge, "asked", &caller, &callee);
    let path = format!("/v1/calls/{}/recording", edge.sid());
    let ask = |body: Value| edge.post(&path, &body);
    assert_eq!(ask(json!({"action": "stop"})).0, 404);
    let speaking = speaking(&call, &caller, &callee);
    let (status, begun) = ask(json!({"action": "start", "tracks": ["inbound"]}));
    assert_eq!((status, &begun["status"]), (201, &json!("in-progress")), "{begun}");
    let (status, mono) = ask(json!({"action": "start", "channels": "mono"}));
    assert_eq!((status, &mono["channels"]), (201, &json!(1)), "{mono}");
    let sid = begun["sid"].as_str().unwrap();
    for (body, state) in [
        (json!({"action": "pause", "pause": "cut", "recording": sid}), "paused"),
        (json!({"action": "resume", "recording": sid}), "in-progress"),
        (json!({"action": "pause"}), "paused"),
    ] {
        let before = recorded_bytes(&edge);
        until("more is recorded", || (recorded_bytes(&edge) > before + 6_400).then_some(()));
        let (status, changed) = ask(body.clone());
        assert_eq!((status, &changed["status"]), (200, &json!(state)), "{body}: {changed}");
    }
    for (body, status, code) in [
        (json!({"action": "start", "tracks": ["both"]}), 422, "bad_tracks"),
        (json!({"action": "begin"}), 400, "bad_json"),
        (json!({"action": "start", "pause": "cut"}), 400, "bad_json"),
        (json!({"action": "resume", "recording": "RE0"}), 404, "unknown_recording"),
    ] {
        let (got, answer) = ask(body.clone());
        assert_eq!((got, &answer["error"]["code"]), (status, &json!(code)), "{body}: {answer}");
    }
    let (status, stopped) = ask(json!({"action": "stop", "recording": sid}));
    assert_eq!((status, &stopped["status"]), (200, &json!("stopped")));
    assert_eq!(ask(json!({"action": "resume", "recording": sid})).0, 409);
    completed(&edge, 1.0);
    let file = files(&edge).into_iter().find(|file| file.to_str().unwrap().contains(sid)).unwrap();
    let [left, right] = channels(&file);
    assert!(seconds_of(&left, NEAR) > 0.0 && seconds_of(&right, FAR) == 0.0, "one direction alone");
    drop(speaking);
    call.hang_up(2, &caller, &callee);
    completed(&edge, 2.0);
}

#[test]
fn a_flood_of_requests_for_recordings_ends_at_the_most_that_a_call_may_have() {
    let (caller, callee) = phones();
    let edge = edge(&caller, &callee, "", RECORDING);
    let call = Call::set_up(&edge, "flood", &caller, &callee);
    let path = format!("/v1/calls/{}/recording", edge.sid());
    let mut statuses = std::collections::BTreeMap::new();
    for _ in 0..500 {
        for action in ["start", "stop"] {
            let (status, _) = edge.post(&path, &json!({ "action": action }));
            *statuses.entry((action, status)).or_insert(0) += 1;
        }
    }
    let expected = [(("start", 201), 64), (("start", 409), 436), (("stop", 200), 64), (("stop", 409), 436)];
    assert_eq!(statuses, expected.into_iter().collect());
    call.hang_up(2, &caller, &callee);
    assert_eq!(ended(&edge)["recordings"].as_array().unwrap().len(), 64);
    until("all are closed", || (edge.metric("trunkgate_recordings_active") == 0.0).then_some(()));
}

#[test]
fn a_call_and_its_record_name_what_a_broken_disk_has_cost_its_recording() {
    let (caller, callee) = phones();
    let edge = edge(&caller, &callee, "record = true", RECORDING);
    let root = edge.file.with_file_name("recordings");
    until("the directory is there", || root.is_dir().then_some(()));
    std::fs::remove_dir_all(&root).unwrap();
    std::fs::write(&root, "in its place").unwrap();
    let call = Call::set_up(&edge, "broken", &caller, &callee);
    let speaking = speaking(&call, &caller, &callee);
    let path = format!("/v1/calls/{}", edge.sid());
    let lost = |call: &Value| {
        let lost = &call["recordings"][0]["lost"][0];
        Some((lost["reason"].as_str()?.to_owned(), lost["seconds"].as_f64()?)).filter(|(_, seconds)| *seconds >= 1.0)
    };
    let live = until("the loss is shown while it goes on", || lost(&edge.json(&path)));
    assert_eq!(live.0, "disk_failed");
    drop(speaking);
    call.hang_up(2, &caller, &callee);
    let record = lost(&ended(&edge)).unwrap();
    assert!(record.0 == "disk_failed" && record.1 >= live.1, "{record:?}");
}

#[test]
fn without_recording_there_is_an_answer_that_says_so() {
    let (caller, callee) = phones();
    let edge = edge(&caller, &callee, "", "");
    Call::set_up(&edge, "none", &caller, &callee);
    let (status, answer) = edge.post(&format!("/v1/calls/{}/recording", edge.sid()), &json!({"action": "start"}));
    assert_eq!((status, &answer["error"]["code"]), (409, &json!("no_recording")), "{answer}");
    let text = std::fs::read_to_string(&edge.file).unwrap().replace("[cdr]", "record = true\n[cdr]");
    let bad = edge.file.with_file_name("bad.toml");
    std::fs::write(&bad, text).unwrap();
    let checked = finish(&["check", "--config", bad.to_str().unwrap()]);
    let errors = String::from_utf8_lossy(&checked.stderr).into_owned() + &String::from_utf8_lossy(&checked.stdout);
    assert!(
        !checked.status.success() && errors.contains("`record` of the route route-1 needs [recording]"),
        "{errors}"
    );
}

#[test]
fn what_was_recorded_survives_a_kill() {
    let (caller, callee) = phones();
    let mut edge = edge(&caller, &callee, "record = true", RECORDING);
    let call = Call::set_up(&edge, "killed", &caller, &callee);
    let speaking = speaking(&call, &caller, &callee);
    until("a second is recorded", || {
        let file = files(&edge).pop()?;
        (std::fs::metadata(file).ok()?.len() > 32_000).then_some(())
    });
    edge.signal(Signal::SIGKILL);
    until("the edge is gone", || (!edge.is_running()).then_some(()));
    drop(speaking);
    let [left, right] = channels(&files(&edge).pop().unwrap());
    assert!(left.len() >= 8_000 && seconds_of(&left, NEAR) > 0.5 && seconds_of(&right, FAR) > 0.5);
    let edge = edge.kill_and_start_again();
    until("the file is completed", || {
        (edge.metric("trunkgate_recordings_total{result=\"recovered\"}") == 1.0).then_some(())
    });
}
