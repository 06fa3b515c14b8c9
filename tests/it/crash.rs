//! Answered calls that continue in the process after `kill -9` (`[edge] state = "file"`).

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::collections::HashSet;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use trunkgate_media::Suite;

use crate::support::calls::{Call, NUMBER, Phone, Speaking, received, rtp};
use crate::support::secure::{Media, described_under, offered_under};
use crate::support::sip::{field, to_tag};
use crate::support::talk::Rig;
use crate::support::{Process, config, until, until_in_journal, whole_lines, with_state};

pub(crate) fn routes((caller, callee): (&Phone, &Phone), keys: &str, rest: &str) -> String {
    let trunks = caller.trunk("carrier") + keys + &callee.trunk("pbx") + keys;
    with_state(&config(&format!("{trunks}[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n{rest}")))
}

pub(crate) fn phones() -> (Phone, Phone) {
    (Phone::new("127.0.0.1"), Phone::new("127.0.0.3"))
}

/// Waits until the file has this number of calls.
pub(crate) fn until_stored(edge: &Process, calls: f64) {
    until("the calls are in the file", || (edge.metric("trunkgate_call_state_calls") == calls).then_some(()));
}

/// Waits until the part of the file that calls share has been written twice; the first write may have begun before.
fn until_shared_is_written(edge: &Process, phone: &Phone) {
    let (sip, file) = (edge.address("udp"), edge.directory.path().join("state/calls.state"));
    let size = || std::fs::metadata(&file).unwrap().len();
    for id in ["change-1", "change-2"] {
        let before = size();
        phone.sip.send(sip, &phone.sip.request("OPTIONS", NUMBER, sip, id, 1, ""));
        phone.sip.receive("SIP/2.0 200");
        until("the shared part is written", || (size() != before).then_some(()));
    }
}

/// Sends packets each way until both are heard: the first packets may be sent before the sockets are open again.
pub(crate) fn until_heard(call: &Call, caller: &Phone, callee: &Phone) {
    for (from, to, at) in [(caller, callee, call.near), (callee, caller, call.far)] {
        let mut sequence = 100;
        to.rtp.set_nonblocking(true).unwrap();
        until("audio is heard again", || {
            sequence += 1;
            from.rtp.send_to(&rtp(9, sequence), at).unwrap();
            let mut bytes = [0; 2048];
            let (len, _) = to.rtp.recv_from(&mut bytes).ok()?;
            (len > 12).then_some(())
        });
        let mut bytes = [0; 2048];
        // Packets on their way are read before the next direction is judged.
        while to.rtp.recv_from(&mut bytes).is_ok() {}
        to.rtp.set_nonblocking(false).unwrap();
    }
}

fn records(folder: &Path, count: usize) -> Vec<Value> {
    until("the records are written", || {
        let text = std::fs::read_to_string(folder.join("cdr.jsonl")).ok()?;
        let all: Vec<Value> = whole_lines(&text).map(|line| serde_json::from_str(line).unwrap()).collect();
        (all.len() >= count).then_some(all)
    })
}

#[test]
fn a_call_goes_on_after_a_kill_and_has_one_record() {
    let (caller, callee) = phones();
    let edge = Process::start(&routes((&caller, &callee), "", "[cdr]\nfile = \"cdr.jsonl\"\n"));
    let folder = edge.directory.path().to_owned();
    let call = Call::set_up(&edge, "kept", &caller, &callee);
    until_heard(&call, &caller, &callee);
    let sid = edge.sid();
    until_stored(&edge, 1.0);
    let mut edge = edge;
    for crashes in 1..=2 {
        edge = edge.kill_and_start_again();
        assert_eq!((edge.metric("trunkgate_calls_continued"), edge.metric("trunkgate_calls_lost")), (1.0, 0.0));
        let taken_over = edge.json("/v1/status")["taken_over"].clone();
        assert_eq!((&taken_over["after"], &taken_over["continued"]), (&json!("crash"), &json!(1)), "{taken_over}");
        assert_eq!((&taken_over["lost"], &taken_over["lost_calls"]), (&json!(0), &json!([])), "{taken_over}");
        until("the calls are logged", || edge.log().contains("1 of its calls continue").then_some(()));
        until_heard(&call, &caller, &callee);
        let calls = edge.json("/v1/calls");
        assert_eq!((calls["calls"].as_array().unwrap().len(), &calls["calls"][0]["sid"]), (1, &json!(sid)), "{calls}");
        // The dialogs go on in both directions.
        let version = 2 * crashes;
        let held = caller.description(version, "a=sendonly\r\n");
        let answer = callee.description(version, "a=recvonly\r\n");
        call.change(version, (&caller, &held), (&callee, &answer));
        let again = version + 1;
        call.change(again, (&caller, &caller.description(again, "")), (&callee, &callee.description(again, "")));
        until_heard(&call, &caller, &callee);
        until_stored(&edge, 1.0);
    }
    call.hang_up(6, &caller, &callee);
    let records = records(&folder, 1);
    assert_eq!((records.len(), &records[0]["sid"]), (1, &json!(sid)), "{records:?}");
    assert_eq!((&records[0]["outcome"], &records[0]["reason"]), (&json!("answered"), &json!("caller_hung_up")));
    until_stored(&edge, 0.0);
    // A stop leaves no calls for the next start.
    edge.signal(Signal::SIGTERM);
    let (status, ..) = edge.end();
    assert!(status.success() && !folder.join("state/calls.state").exists());
}

/// A call with SRTP on both sides, and the media of both phones.
struct SecureCall<'a> {
    call: Call,
    media: [Media<'a>; 2],
    /// Number of the last packet sent.
    number: u16,
}

impl<'a> SecureCall<'a> {
    fn set_up(suite: Suite, edge: &Process, caller: &'a Phone, callee: &'a Phone) -> SecureCall<'a> {
        let sip = edge.address("udp");
        let offer = described_under(suite, caller, 1, "0", Some((1, 3)), "sendrecv");
        caller.sip.send(sip, &caller.sip.request_with("INVITE", NUMBER, sip, "srtp", (1, ""), &offer));
        let invite = callee.sip.receive("INVITE ");
        let tag = offered_under(suite, &invite.0).unwrap().0;
        let answer = described_under(suite, callee, 1, "0", Some((tag, 9)), "sendrecv");
        let call = Call::answered(sip, "srtp", caller, invite, (callee, &answer));
        let near = Media::under(suite, caller, call.near, Some(3), &call.ok);
        let far = Media::under(suite, callee, call.far, Some(9), &call.invite.0);
        SecureCall { call, media: [near, far], number: 0 }
    }

    /// Sends packets each way, and returns the SSRCs under which they arrive at the callee and the caller.
    fn talk(&mut self) -> [u32; 2] {
        let [near, far] = &mut self.media;
        // Packets of the process before wait in the sockets.
        [&mut *near, &mut *far].into_iter().for_each(|media| drop(media.drain()));
        let at = [far.heard.len(), near.heard.len()];
        // Packets are sent until both sides hear each other: the first ones may come before the sockets are open again.
        for is_caller in [true, false] {
            until("audio is heard", || {
                self.number += 1;
                let (from, to, ssrc) = if is_caller { (&mut *near, &mut *far, 7) } else { (&mut *far, &mut *near, 8) };
                from.send(&rtp(ssrc, self.number));
                (!to.drain().is_empty()).then_some(())
            });
        }
        for _ in 0..20 {
            self.number += 1;
            near.send(&rtp(7, self.number));
            far.send(&rtp(8, self.number));
            far.receive();
            near.receive();
        }
        let heard = [&far.heard[at[0]..], &near.heard[at[1]..]];
        heard.map(|heard| {
            let mut sources: Vec<u32> = heard.iter().map(|(ssrc, _)| *ssrc).collect();
            sources.dedup();
            assert_eq!(sources.len(), 1, "{sources:?}");
            sources[0]
        })
    }
}

/// The indices that a crashed process has used are unknown, so no packet has the SSRC of a process before it, in either
/// direction and under any suite. The second crash comes before the process has written the call.
#[test]
fn rfc3711_9_1_no_ssrc_and_index_is_used_twice_under_a_key_after_crashes() {
    for suite in Suite::ALL {
        let (caller, callee) = phones();
        let keys = format!("srtp = \"required\"\nsrtp_suites = [\"{}\"]\n", suite.as_str());
        let edge = Process::start(&routes((&caller, &callee), &keys, ""));
        let mut secure = SecureCall::set_up(suite, &edge, &caller, &callee);
        let mut sources = vec![secure.talk()];
        assert_eq!(sources, [[7, 8]]);
        until_stored(&edge, 1.0);
        let (file, earlier) = ("state/calls.state", "state/earlier");
        let edge = edge.kill_and_start_after(|folder| {
            std::fs::hard_link(folder.join(file), folder.join(earlier)).unwrap();
        });
        sources.push(secure.talk());
        // The file of the first process, in which the second one has recorded its start.
        let edge = edge.kill_and_start_after(|folder| {
            std::fs::rename(folder.join(earlier), folder.join(file)).unwrap();
        });
        sources.push(secure.talk());
        until_stored(&edge, 1.0);
        let _edge = edge.kill_and_start_again();
        sources.push(secure.talk());
        for (at, media) in [1, 0].into_iter().enumerate() {
            let of_side: HashSet<u32> = sources.iter().map(|sources| sources[at]).collect();
            assert_eq!(of_side.len(), sources.len(), "{suite:?}: {sources:?}");
            // All were decrypted with the same key. No stream is long enough for a roll-over.
            let heard = &secure.media[media].heard;
            let packets: HashSet<(u32, u16)> = heard.iter().copied().collect();
            assert_eq!(packets.len(), heard.len(), "{suite:?}");
        }
        secure.call.hang_up(2, &caller, &callee);
    }
}

/// A call that has ended before the crash is not restored. One that is not answered is lost: its caller gets 503, and
/// the phone stops ringing.
#[test]
fn only_answered_calls_go_on() {
    let (caller, callee) = phones();
    let edge = Process::start(&routes((&caller, &callee), "", "[cdr]\nfile = \"cdr.jsonl\"\n"));
    let folder = edge.directory.path().to_owned();
    let sip = edge.address("udp");
    let ended = Call::set_up(&edge, "ended", &caller, &callee);
    until_stored(&edge, 1.0);
    ended.hang_up(2, &caller, &callee);
    until_stored(&edge, 0.0);
    assert_eq!(records(&folder, 1).len(), 1);
    let invite = caller.sip.request_with("INVITE", NUMBER, sip, "rings", (1, ""), &caller.description(1, ""));
    caller.sip.send(sip, &invite);
    let (ringing, from) = callee.sip.receive("INVITE ");
    callee.sip.send(from, &callee.sip.answer_with(&ringing, "180 Ringing", ""));
    caller.sip.receive("SIP/2.0 180");
    until_in_journal(&folder, &edge.sid());
    until_shared_is_written(&edge, &caller);
    let edge = edge.kill_and_start_again();
    assert_eq!(edge.metric("trunkgate_calls_continued"), 0.0);
    let (cancel, from) = callee.sip.receive("CANCEL ");
    assert_eq!(field(&cancel, "Via"), field(&ringing, "Via"));
    callee.sip.send(from, &callee.sip.answer_with(&cancel, "200 OK", ""));
    callee.sip.send(from, &callee.sip.answer_with(&ringing, "487 Request Terminated", ""));
    callee.sip.receive("ACK ");
    let (refusal, from) = caller.sip.receive("SIP/2.0 503");
    assert!(field(&refusal, "Reason").contains("edge_restarted"), "{refusal}");
    let ack = caller.sip.request("ACK", NUMBER, sip, "rings", 1, to_tag(&refusal));
    caller.sip.send(from, &ack.replace("ringsACK1", "ringsINVITE1"));
    let records = records(&folder, 2);
    assert_eq!(records.len(), 2, "{records:?}");
    let another = Call::set_up(&edge, "new", &caller, &callee);
    assert_eq!(received_by(&another, &caller, &callee), rtp(9, 1));
    another.hang_up(2, &caller, &callee);
}

fn received_by(call: &Call, caller: &Phone, callee: &Phone) -> Vec<u8> {
    caller.rtp.send_to(&rtp(9, 1), call.near).unwrap();
    received(&callee.rtp).0
}

/// A file of another user's making, of another program, or torn, never stops the edge from taking calls.
#[test]
fn a_damaged_file_is_kept_and_reported() {
    let (caller, callee) = phones();
    let edge = Process::start(&routes((&caller, &callee), "", ""));
    let call = Call::set_up(&edge, "lost", &caller, &callee);
    until_stored(&edge, 1.0);
    let edge = edge.kill_and_start_after(|folder| {
        let file = folder.join("state/calls.state");
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[0] ^= 1;
        std::fs::write(&file, bytes).unwrap();
    });
    until("the reason is logged", || edge.log().contains("damaged, or was written by another program").then_some(()));
    assert!(edge.directory.path().join("state/calls.refused").exists());
    let status = edge.json("/v1/status");
    assert_eq!(status["taken_over"]["lost"], Value::Null, "{status}");
    assert!(status["taken_over"]["refused"].as_str().unwrap().contains("damaged"), "{status}");
    // The dialog is unknown.
    let sip = edge.address("udp");
    caller.sip.send(sip, &caller.sip.request_with("INVITE", NUMBER, sip, "next", (1, ""), &caller.description(1, "")));
    callee.sip.receive("INVITE ");
    drop(call);
}

/// One file, with a gap as long as the edge was gone.
#[test]
fn a_recording_goes_on_in_its_file() {
    let (caller, callee) = phones();
    let recording = "[recording]\ndirectory = \"recordings\"\n[cdr]\nfile = \"cdr.jsonl\"\n";
    let text = routes((&caller, &callee), "", recording)
        .replace("connect = [\"trunk:pbx\"]\n", "connect = [\"trunk:pbx\"]\nrecord = true\n");
    let edge = Process::start(&text);
    let folder = edge.directory.path().to_owned();
    let call = Call::set_up(&edge, "recorded", &caller, &callee);
    let speaking =
        [Speaking::new(&caller.rtp, call.near, |n| rtp(7, n)), Speaking::new(&callee.rtp, call.far, |n| rtp(8, n))];
    let size = || {
        let find = std::process::Command::new("find").arg(folder.join("recordings")).args(["-name", "*.wav"]).output();
        let files = String::from_utf8(find.unwrap().stdout).unwrap();
        let files: Vec<&str> = files.lines().collect();
        assert!(files.len() <= 1, "{files:?}");
        files.first().map_or(0, |file| std::fs::metadata(file).unwrap().len())
    };
    let grown = |by: u64| {
        let before = size();
        until("more is recorded", || (size() > before + by).then_some(()));
    };
    grown(32_000);
    until_stored(&edge, 1.0);
    let edge = edge.kill_and_start_again();
    grown(32_000);
    drop(speaking);
    call.hang_up(2, &caller, &callee);
    let record = records(&folder, 1).remove(0);
    let recordings = record["recordings"].as_array().unwrap();
    assert_eq!(recordings.len(), 1, "{record}");
    let lost = &recordings[0]["lost"];
    assert!(lost.to_string().contains("restart"), "{record}");
    drop(edge);
}

/// The connection is lost with the process: the agent gets a new stream of the same call.
#[test]
fn an_agent_is_connected_again() {
    let mut rig = Rig::with_state("");
    let talk = rig.call("agent", "0");
    let sid = talk.start["start"]["callSid"].clone();
    until_stored(&rig.edge, 1.0);
    rig.edge = rig.edge.kill_and_start_again();
    let mut again = rig.talk(rig.connected(), talk.near, talk.tag.clone());
    assert_eq!(again.start["start"]["callSid"], sid);
    again.say(&[0x20; 800]);
    until("the caller hears the agent", || {
        again.take_in();
        again.heard.iter().any(|(_, payload)| payload.contains(&0x20)).then_some(())
    });
    let sip = rig.edge.address("udp");
    rig.caller.sip.send(sip, &rig.caller.sip.request_with("BYE", NUMBER, sip, "agent", (2, &talk.tag), ""));
    again.next("stop");
}
