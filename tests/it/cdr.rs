//! Call records of the real binary: exactly one per call, despite kills of the process and faults of its file and disk.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::support::calls::{Call, NUMBER, Phone};
use crate::support::sip::to_tag;
use crate::support::{Process, config, finish, until, until_in_journal, whole_lines};
use nix::sys::signal::Signal;
use serde_json::Value;

/// Returns a configuration of two phones with a trunk each; calls to [`NUMBER`] are routed from one to the other, all
/// others have no route.
fn between(caller: &Phone, callee: &Phone, cdr: &str) -> String {
    let (carrier, pbx) = (caller.trunk("carrier"), callee.trunk("pbx"));
    config(&format!(
        "{carrier}{pbx}[[route]]\nname = \"in\"\nfrom = [\"carrier\"]\nto = [\"{NUMBER}\"]\nconnect = [\"trunk:pbx\"]\n[cdr]\n{cdr}\n"
    ))
}

fn phones() -> (Phone, Phone) {
    (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"))
}

/// Makes a call for which there is no route.
fn refused(edge: &Process, caller: &Phone, id: &str) {
    let sip = edge.address("udp");
    caller.sip.send(sip, &caller.sip.request("INVITE", "+12125550199", sip, id, 1, ""));
    let (answer, _) = caller.sip.receive("SIP/2.0 404");
    caller.sip.send(sip, &caller.sip.request("ACK", "+12125550199", sip, id, 1, to_tag(&answer)));
}

/// Returns the records in all files of a folder with names that begin so.
fn records(folder: &Path, beginning: &str) -> Vec<Value> {
    let mut records = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.starts_with(beginning) && !name.contains(".live") && path.is_file() {
            let text = std::fs::read_to_string(&path).unwrap();
            records.extend(whole_lines(&text).map(|line| serde_json::from_str::<Value>(line).expect(line)));
        }
    }
    records
}

fn names(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            names.insert(name.clone());
            self::names(value, names);
        }),
        Value::Array(list) => list.iter().for_each(|value| self::names(value, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn a_record_has_every_field_that_its_document_names() {
    let (caller, callee) = phones();
    let edge = Process::start(&between(&caller, &callee, "file = \"cdr.jsonl\""));
    let call = Call::set_up(&edge, "documented", &caller, &callee);
    call.hang_up(2, &caller, &callee);
    let folder = edge.file.parent().unwrap();
    let record = until("the record is written", || records(folder, "cdr").pop());
    assert_eq!(
        (&record["sip_code"], &record["q850_cause"], &record["failovers"]),
        (&200.into(), &16.into(), &0.into())
    );
    assert_eq!((&record["from"], &record["to"]), (&"+14155550100".into(), &NUMBER.into()), "numbers are whole");
    for field in ["post_dial_ms", "mos_min", "mos_avg", "turn_p50_ms", "turn_p95_ms"] {
        assert!(record.get(field).is_some(), "{field} in {record}");
    }
    let shown = edge.json(&format!("/v1/calls/{}", record["sid"].as_str().unwrap()));
    for (field, value) in shown.as_object().unwrap().iter().filter(|(field, _)| *field != "legs") {
        assert_eq!(&record[field], value, "{field}");
    }
    let document = include_str!("../../docs/reference/call-records.md");
    let mut found = BTreeSet::new();
    names(&record, &mut found);
    assert!(found.len() > 30, "{found:?}");
    let documented = |name: &String| [format!("`{name}`"), format!(".{name}`")].iter().any(|n| document.contains(n));
    let missing: Vec<_> = found.iter().filter(|name| !documented(name)).collect();
    assert!(missing.is_empty(), "not in docs/reference/call-records.md: {missing:?}");
}

/// The edge is killed repeatedly by SIGKILL, and its file is full after seventy records.
#[test]
fn no_call_has_two_records_and_none_that_was_up_has_none_after_sigkill_over_rotation() {
    let (caller, callee) = phones();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cdr.jsonl");
    let configuration = between(&caller, &callee, &format!("file = {file:?}\nrotate = \"64 KiB\""));
    let (mut up, mut done) = (BTreeSet::new(), 0);
    for round in 0..8 {
        let edge = Process::start(&configuration);
        Call::set_up(&edge, &format!("up-{round}"), &caller, &callee);
        let sid = edge.sid();
        until_in_journal(directory.path(), &sid);
        for n in 0..20 + 3 * round {
            refused(&edge, &caller, &format!("refused-{round}-{n}"));
            done += 1;
        }
        up.insert(sid);
        drop(edge);
        // Retransmissions of the killed edge are discarded.
        while !crate::support::calls::is_silent(&callee.rtp) {}
    }
    drop(Process::start(&configuration));
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    let records = records(directory.path(), "cdr");
    for record in &records {
        *counts.entry(record["sid"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    assert!(counts.values().all(|n| *n == 1), "{counts:?}");
    assert!(up.iter().all(|sid| counts.contains_key(sid)), "{up:?} in {counts:?}");
    let restarted = records.iter().filter(|record| record["reason"] == "edge_restarted").count();
    assert!(restarted >= up.len(), "{restarted}");
    assert!(records.len() > done / 2, "{} records of {done} calls", records.len());
    let files = std::fs::read_dir(directory.path()).unwrap().count();
    assert!(files > 3, "rotated: {files} files");
}

#[test]
fn a_call_that_was_up_after_a_failover_is_recorded_with_the_leg_that_carried_it() {
    let (caller, callee) = phones();
    let backup = Phone::new("127.0.0.1");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cdr.jsonl");
    let configuration = between(&caller, &callee, &format!("file = {file:?}"))
        .replace("[[route]]", &format!("{}[[route]]", backup.trunk("backup")))
        .replace("connect = [\"trunk:pbx\"]", "connect = [\"trunk:pbx\", \"trunk:backup\"]");
    let edge = Process::start(&configuration);
    let sip = edge.address("udp");
    caller.sip.send(sip, &caller.sip.request_with("INVITE", NUMBER, sip, "over", (1, ""), &caller.description(1, "")));
    let (first, from) = callee.sip.receive("INVITE ");
    callee.sip.send(from, &callee.sip.answer(&first, "503 Service Unavailable", false));
    let second = backup.sip.receive("INVITE ");
    let _call = Call::answered(sip, "over", &caller, second, (&backup, &backup.description(1, "")));
    let journal = directory.path().join("cdr.jsonl.live");
    until_in_journal(directory.path(), "{\"answered\":");
    drop(edge);
    // The state is as if the last write came just before the kill.
    let died = std::time::SystemTime::now();
    std::fs::File::options().append(true).open(&journal).unwrap().set_modified(died).unwrap();
    let edge = Process::start(&configuration);
    let record = until("the record is written", || records(directory.path(), "cdr").pop());
    drop(edge);
    let trunks: Vec<_> = record["legs"].as_array().unwrap().iter().map(|leg| leg["trunk"].as_str().unwrap()).collect();
    assert_eq!(trunks, ["carrier", "pbx", "backup"], "{record}");
    assert_eq!((&record["failovers"], &record["sip_code"]), (&1.into(), &200.into()), "{record}");
    assert_eq!((&record["outcome"], &record["reason"]), (&"answered".into(), &"edge_restarted".into()));
    let ended: jiff::Timestamp = record["ended_at"].as_str().unwrap().parse().unwrap();
    let died = jiff::Timestamp::try_from(died).unwrap();
    assert_eq!(ended.as_millisecond(), died.as_millisecond(), "downtime is no call time: {record}");
}

#[test]
fn a_file_that_was_moved_is_made_anew_by_sighup_and_by_the_next_record() {
    let (caller, callee) = phones();
    let edge = Process::start(&between(&caller, &callee, "file = \"cdr.jsonl\""));
    let file = edge.file.with_file_name("cdr.jsonl");
    let lines = |path: &Path| std::fs::read_to_string(path).unwrap_or_default().lines().count();
    refused(&edge, &caller, "first");
    until("the record is written", || (lines(&file) == 1).then_some(()));
    let moved = edge.file.with_file_name("cdr.jsonl.1");
    std::fs::rename(&file, &moved).unwrap();
    edge.signal(Signal::SIGHUP);
    until("the file is there again", || file.exists().then_some(()));
    refused(&edge, &caller, "second");
    until("the record is written", || (lines(&file) == 1).then_some(()));
    std::fs::remove_file(&file).unwrap();
    refused(&edge, &caller, "third");
    until("the record is written", || (lines(&file) == 1).then_some(()));
    assert_eq!(lines(&moved), 1);
}

#[test]
fn while_the_file_cannot_be_written_calls_go_on_and_their_records_come_later() {
    let (caller, callee) = phones();
    let edge = Process::start(&between(&caller, &callee, "file = \"cdr.jsonl\""));
    let file = edge.file.with_file_name("cdr.jsonl");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    for id in ["first", "second"] {
        refused(&edge, &caller, id);
    }
    let waiting = || edge.metric("trunkgate_cdr_waiting{sink=\"file\"}");
    until("both wait", || (waiting() == 2.0).then_some(()));
    assert!(edge.metric("trunkgate_cdr_failures_total{sink=\"file\"}") >= 1.0);
    let problems = edge.json("/v1/status")["problems"].to_string();
    assert!(
        problems.contains("call records are not written to the file: ") && problems.contains("2 wait"),
        "{problems}"
    );
    assert_eq!(edge.whole_log().matches("\"call records are not written").count(), 1, "{}", edge.log());
    std::fs::remove_dir(&file).unwrap();
    until("both are written", || (records(file.parent().unwrap(), "cdr").len() == 2).then_some(()));
    until("nothing waits", || (waiting() == 0.0).then_some(()));
    assert_eq!(edge.json("/v1/status")["problems"], Value::Array(vec![]));
    assert_eq!(edge.metric("trunkgate_cdr_lost_total{sink=\"file\"}"), 0.0);
}

#[test]
fn records_that_wait_at_the_end_are_counted_in_the_log_and_written_by_the_next_start() {
    let (caller, callee) = phones();
    let edge = Process::start(&between(&caller, &callee, "file = \"cdr.jsonl\""));
    let file = edge.file.with_file_name("cdr.jsonl");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    refused(&edge, &caller, "first");
    until("it waits", || (edge.metric("trunkgate_cdr_waiting{sink=\"file\"}") == 1.0).then_some(()));
    // The journal has the record: a restart loses nothing, and no problem is reported.
    let problems = edge.json("/v1/status")["problems"].to_string();
    assert!(problems.contains("1 wait") && !problems.contains("do not restart"), "{problems}");
    edge.signal(Signal::SIGTERM);
    let (_, _, log) = edge.end();
    let last = log.lines().find(|line| line.contains("not written before shutdown: 1 call record; "));
    assert!(last.is_some_and(|line| line.contains("cdr.jsonl.live keeps them")), "{log}");
}

#[test]
fn csv_is_one_line_a_call_and_no_text_of_a_caller_is_a_formula() {
    let (caller, callee) = phones();
    let edge = Process::start(&between(&caller, &callee, "file = \"cdr.csv\"\nformat = \"csv\""));
    let sip = edge.address("udp");
    let invite = caller.sip.request("INVITE", "+12125550199", sip, "formula", 1, "");
    let invite = invite.replace("From: <sip:+14155550100@", "From: \"=1+1\" <sip:=cmd%7C'/C%20calc'!A0@");
    caller.sip.send(sip, &invite);
    caller.sip.receive("SIP/2.0 404");
    let file = edge.file.with_file_name("cdr.csv");
    let text = until("the record is written", || {
        std::fs::read_to_string(&file).ok().filter(|text| text.matches("\r\n").count() == 2)
    });
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let names = reader.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let field = |name: &str| rows[0].get(names.iter().position(|one| one == name).unwrap()).unwrap();
    assert_eq!(
        (rows.len(), field("to"), field("reason"), field("caller_trunk")),
        (1, "+12125550199", "no_route", "carrier")
    );
    assert!(field("from").starts_with("'=cmd"), "{}", field("from"));
    let legs: Value = serde_json::from_str(field("legs")).unwrap();
    assert_eq!(legs[0]["sid"], field("sid"));
    let document = include_str!("../../docs/reference/call-records.md");
    let columns = names.iter().collect::<Vec<_>>().join(", ");
    assert!(document.replace('\n', " ").contains(&columns), "{columns}");
    // The list has the same columns; those that only the record knows are empty.
    let output = finish(&["calls", "--csv", "--url", &edge.url()]);
    let mut listed = csv::Reader::from_reader(output.stdout.as_slice());
    assert_eq!(listed.headers().unwrap(), &names, "{output:?}");
    let listed: Vec<csv::StringRecord> = listed.records().map(Result::unwrap).collect();
    assert_eq!(listed.len(), 1);
    for (name, (listed, written)) in names.iter().zip(listed[0].iter().zip(&rows[0])) {
        let only_there =
            ["q850_cause", "failovers", "post_dial_ms", "mos_min", "mos_avg", "turn_p50_ms", "turn_p95_ms"]
                .contains(&name);
        assert_eq!(listed, if only_there { "" } else { written }, "{name}");
    }
}
