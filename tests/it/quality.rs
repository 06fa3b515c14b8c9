//! Quality of calls through the running edge: figures, records, metrics, one-way audio.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use crate::support::calls::{Call, NUMBER, Phone, is_keep_alive, next_port, received, rtp};
use crate::support::pace::Pace;
use crate::support::talk::Rig;
use crate::support::{Process, config, until};
use serde_json::Value;

const SSRC: u32 = 7;

fn edge(caller: &Phone, callee: &Phone) -> Process {
    let trunks = caller.trunk("carrier") + &callee.trunk("pbx");
    let routes = "[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n[cdr]\nfile = \"cdr.jsonl\"\n";
    Process::start(&config(&(trunks + routes)))
}

fn sender_report(date: u64) -> Vec<u8> {
    let mut report = vec![0x80, 200, 0, 6];
    report.extend(SSRC.to_be_bytes());
    report.extend(date.to_be_bytes());
    report.extend([0; 12]);
    report
}

/// Returns a receiver report about the edge's source, from a receiver that got the edge's sender report `waited` ago.
fn answer(date: u64, waited: Duration) -> Vec<u8> {
    let mut report = vec![0x81, 201, 0, 7, 0, 0, 0, 9];
    let waited = (waited.as_secs_f64() * 65_536.0) as u32;
    for word in [SSRC, 0x1a00_000f, 0, 80, (date >> 16) as u32, waited] {
        report.extend(word.to_be_bytes());
    }
    report
}

fn sid(edge: &Process) -> String {
    edge.json("/v1/calls")["calls"][0]["sid"].as_str().unwrap().to_owned()
}

fn one_way(edge: &Process) -> String {
    let (_, text) = edge.get("/metrics");
    text.lines().filter(|line| line.starts_with("trunkgate_media_one_way_total")).collect()
}

/// Checks that a call with a silent callee does not show the score of the caller alone.
fn has_no_score_in_the_table(edge: &Process) {
    let (_, table) = edge.get("/v1/calls?format=csv");
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
    let column = rows[0].iter().position(|name| *name == "mos").unwrap();
    assert_eq!(rows[1][column], "", "{table}");
}

#[test]
fn a_silent_callee_is_told_and_what_the_caller_sounds_like_is_shown_and_recorded() {
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let edge = edge(&caller, &callee);
    let _directory = std::sync::Arc::clone(&edge.directory);
    let call = Call::set_up(&edge, "quality", &caller, &callee);
    let stranger = UdpSocket::bind("127.0.0.2:0").unwrap();
    let (mut pace, mut asked) = (Pace::new(), None);
    // Every tenth packet is lost, and twice two in a row. The callee receives and reports, but sends no audio, while an
    // unknown source does.
    let date = 0x0123_4567_89ab_cdef;
    for n in 0..350u16 {
        if n % 10 != 5 && n != 46 && n != 246 {
            caller.rtp.send_to(&rtp(SSRC, n), call.near).unwrap();
        }
        if n % 50 == 0 {
            stranger.send_to(&rtp(9, n), call.far).unwrap();
        }
        if n == 100 {
            caller.rtcp.send_to(&sender_report(date), next_port(call.near)).unwrap();
            let (passed, _) = received(&callee.rtcp);
            assert_eq!(passed, sender_report(date));
            asked = Some(Instant::now());
        }
        if n == 102 {
            callee.rtcp.send_to(&answer(date, asked.unwrap().elapsed() / 2), next_port(call.far)).unwrap();
        }
        pace.wait();
    }
    let silent = "trunkgate_media_one_way_total{trunk=\"pbx\",silent=\"callee\"} 1";
    until("the silent side is counted", || (one_way(&edge) == silent).then_some(()));

    let sid = sid(&edge);
    let shown = edge.json(&format!("/v1/calls/{sid}"));
    let (near, far) = (&shown["legs"][0]["rtp"], &shown["legs"][1]["rtp"]);
    assert_eq!((&near["lost"], &near["rx_packets"]), (&37.into(), &313.into()), "{near}");
    assert_eq!(near["lost_in_a_row"], serde_json::json!([33, 2, 0, 0, 0, 0, 0, 0, 0, 0]), "{near}");
    let (_, drawn) = edge.get(&format!("/v1/calls/{sid}/trace.txt"));
    assert!(drawn.contains("\n  carrier: 37 packets lost, in a row: 1 ×33, 2 ×2\n"), "{drawn}");
    assert!(near["jitter_ms"].is_number() && near["rtt_ms"].is_null() && near["far"].is_null(), "{near}");
    // 10.6 % loss: MOS of R = 92.5 − 27.1, minus the effect of jitter.
    assert!((2.0..3.45).contains(&near["mos"].as_f64().unwrap()), "{near}");
    assert_eq!((&far["rx_packets"], &far["mos"]), (&0.into(), &Value::Null), "{far}");
    assert!((0.0..5000.0).contains(&far["rtt_ms"].as_f64().unwrap()), "{far}");
    assert_eq!((&far["far"]["lost"], &far["far"]["jitter_ms"]), (&15.into(), &10.0.into()), "{far}");

    story(&edge, &sid, &callee, &stranger, &call);

    // The caller had no audio to hear, and keep-alives maintained its NAT binding.
    let mut packet = [0; 200];
    let (len, source) = caller.rtp.recv_from(&mut packet).unwrap();
    assert!(is_keep_alive(&packet[..len]) && source == call.near, "{:?}", &packet[..len]);

    series(&edge, &sid);
    call.hang_up(2, &caller, &callee);
    let record = until("the record is written", || {
        let text = std::fs::read_to_string(edge.file.with_file_name("cdr.jsonl")).ok()?;
        serde_json::from_str::<Value>(text.lines().next()?).ok()
    });
    let (lowest, mean) = (record["mos_min"].as_f64().unwrap(), record["mos_avg"].as_f64().unwrap());
    assert!(lowest <= mean && (1.5..3.6).contains(&mean), "{record}");
    assert_eq!(record["legs"][0]["rtp"]["mos"], near["mos"]);
    assert_eq!(record["legs"][0]["rtp"]["lost_in_a_row"], near["lost_in_a_row"]);
    has_no_score_in_the_table(&edge);
    let count = |name: &str| edge.metric(&format!("trunkgate_{name}_count"));
    assert_eq!((count("call_mos"), count("rtp_round_trip_seconds"), count("rtp_jitter_seconds")), (1.0, 1.0, 1.0));
    assert_eq!(one_way(&edge), silent, "counted once");
    assert!(edge.metric("trunkgate_rtp_lost_total") >= 37.0);
    assert!(edge.metric("trunkgate_rtp_keepalives_total") >= 1.0);
}

/// Checks the reports about the unheard callee.
fn story(edge: &Process, sid: &str, callee: &Phone, stranger: &UdpSocket, call: &Call) {
    let (announced, from) = (callee.rtp_address(), stranger.local_addr().unwrap());
    let verdict = edge.json(&format!("/v1/calls/{sid}/trace"))["verdict"].as_str().unwrap().to_owned();
    let told = format!(
        " packets came from another address, the last from {from} (announced {announced}, expected from 127.0.0.1; our SDP says {})",
        call.far
    );
    assert!(verdict.contains("No media from pbx: ") && verdict.contains(&told), "{verdict}");
    until("the log says so", || edge.log().contains("no media from pbx 5 s after it was expected").then_some(()));
}

/// Checks the quality of the same call over time: each packet counts in one interval, as JSON and as CSV.
fn series(edge: &Process, sid: &str) {
    let quality = edge.json(&format!("/v1/calls/{sid}/quality"));
    assert_eq!((&quality["sid"], &quality["interval_s"]), (&sid.into(), &5.into()), "{quality}");
    let series: Vec<&Value> = quality["series"].as_array().unwrap().iter().collect();
    let names: Vec<String> = series.iter().map(|s| format!("{} {}", s["party"], s["direction"])).collect();
    assert_eq!(names, ["\"carrier\" \"received\"", "\"carrier\" \"sent\"", "\"pbx\" \"received\"", "\"pbx\" \"sent\""]);
    let samples = series[0]["samples"].as_array().unwrap();
    let sum = |key: &str| samples.iter().map(|sample| sample[key].as_u64().unwrap()).sum::<u64>();
    assert!(samples.len() >= 2 && (sum("packets"), sum("lost")) == (313, 37), "{samples:?}");
    assert!(samples[0]["mos"].as_f64().unwrap() < 3.5 && samples[0]["seconds"] == 5.0, "{samples:?}");
    let told = series[3]["samples"].as_array().unwrap();
    assert_eq!(told.iter().filter(|sample| sample["lost"] == 15).count(), 1, "the callee reported once: {told:?}");
    // The call continues, so an interval may end between two requests.
    let table = until("the table has what the series have", || {
        let quality = edge.json(&format!("/v1/calls/{sid}/quality"));
        let (status, table) = edge.get(&format!("/v1/calls/{sid}/quality.csv"));
        let all = quality["series"].as_array().unwrap().iter().map(|s| s["samples"].as_array().unwrap().len());
        (status == 200 && table.lines().count() == 1 + all.sum::<usize>()).then_some(table)
    });
    assert!(table.contains(",\"pbx\",\"PCMU\",sent,"), "{table}");
    let (status, text) = edge.get("/v1/calls/CA0/quality");
    assert!(status == 404 && text.contains("unknown_call"), "{text}");
}

#[test]
fn hold_one_packet_and_a_short_call_are_no_one_way_audio() {
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let edge = edge(&caller, &callee);
    // This call is short.
    Call::set_up(&edge, "short", &caller, &callee).hang_up(2, &caller, &callee);
    // This call is held by the callee since the answer.
    let (offer, held) = (caller.description(1, ""), callee.description(1, "a=inactive\r\n"));
    let hold = Call::agree(edge.address("udp"), "held", (&caller, &offer), (&callee, &held));
    // The callee sends one packet, then nothing, as with comfort noise or a mute key.
    let quiet = Call::set_up(&edge, "quiet", &caller, &callee);
    caller.rtp.send_to(&rtp(SSRC, 1), quiet.near).unwrap();
    callee.rtp.send_to(&rtp(8, 1), quiet.far).unwrap();
    let answered = Instant::now();
    until("seven seconds have passed", || (answered.elapsed() > Duration::from_secs(7)).then_some(()));
    assert_eq!(one_way(&edge), "");
    assert!(!edge.whole_log().contains("no media from"), "{}", edge.log());
    hold.hang_up(2, &caller, &callee);
    quiet.hang_up(2, &caller, &callee);
}

/// The series shows audio that the agent has sent and that is not played yet: all of it at first, then less, and
/// nothing after a `clear`.
#[test]
fn an_agents_queue_grows_falls_and_is_cleared() {
    const SECONDS: u64 = 60;
    let rig = Rig::new("");
    let mut talk = rig.call("queue", "0");
    let sid = rig.edge.sid();
    let samples = |party: &str, direction: &str| -> Vec<Value> {
        let quality = rig.edge.json(&format!("/v1/calls/{sid}/quality"));
        let all = quality["series"].as_array().unwrap().iter();
        let of = all.filter(|series| (&series["party"], &series["direction"]) == (&party.into(), &direction.into()));
        of.flat_map(|series| series["samples"].as_array().unwrap().clone()).collect()
    };
    let most = |all: &[Value]| all.iter().filter_map(|one| one["queue_max_ms"].as_u64()).max().unwrap_or(0);
    let last = |all: &[Value]| all.last().and_then(|one| one["queue_ms"].as_u64()).unwrap_or(0);
    for _ in 0..SECONDS {
        talk.say(&[0x20; 8000]);
    }
    // Part of the audio is played while the rest arrives.
    until("it waits", || (most(&samples("bot", "received")) > SECONDS * 1000 / 2).then_some(()));
    until("the caller hears it", || {
        let said = samples("bot", "received");
        (last(&said) > 0 && last(&said) + 1000 < most(&said)).then_some(())
    });
    talk.clear();
    let said = until("nothing waits", || {
        let said = samples("bot", "received");
        (last(&said) == 0).then_some(said)
    });
    assert!(most(&said) > SECONDS * 1000 / 2, "what was is still seen: {said:?}");
    let heard = samples("bot", "sent");
    assert!(heard.iter().all(|one| one["queue_ms"].is_u64() && one["lost"] == 0), "{heard:?}");
    let caller = samples("carrier", "sent");
    assert!(!caller.is_empty() && caller.iter().all(|one| one["queue_ms"].is_null()), "{caller:?}");
    let (sip, caller) = (rig.edge.address("udp"), &rig.caller);
    caller.sip.send(sip, &caller.sip.request_with("BYE", NUMBER, sip, "queue", (2, &talk.tag), ""));
    until("the call has ended", || (rig.edge.json(&format!("/v1/calls/{sid}"))["state"] == "ended").then_some(()));
    assert!(most(&samples("bot", "received")) > SECONDS * 1000 / 2);
    let (_, table) = rig.edge.get(&format!("/v1/calls/{sid}/quality.csv"));
    assert!(table.lines().next().unwrap().ends_with(",queue_ms,queue_max_ms"), "{table}");
}
