//! Edge with a disk that is unusable at the start: the edge accepts calls, reports data that it cannot write, and
//! recovers when the disk is back.

#![allow(clippy::unwrap_used)] // helpers of tests are not `#[test]` themselves

use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value;

use crate::support::calls::{Call, Phone};
use crate::support::endpoint::{Endpoint, ok};
use crate::support::{Process, config, finish, until, whole_lines, write};

/// Returns a configuration with all data on a disk mounted at `disk`, next to the configuration.
fn on_disk(edge: &str, rest: &str) -> String {
    let edge = format!("[edge]\ndata_directory = \"disk/data\"\n{edge}");
    let sinks = "[cdr]\nfile = \"disk/cdr.jsonl\"\n[recording]\ndirectory = \"disk/recordings\"\n";
    config(&format!("{rest}{sinks}")).replace("[edge]\n", &edge)
}

fn trunks(caller: &Phone, callee: &Phone) -> String {
    let (caller, callee) = (caller.trunk("carrier"), callee.trunk("pbx"));
    format!("{caller}{callee}[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n")
}

fn problems(edge: &Process) -> Vec<String> {
    let status = edge.json("/v1/status");
    status["problems"].as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
}

fn records(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    whole_lines(&text).map(|line| serde_json::from_str(line).unwrap()).collect()
}

const UNWRITTEN: [&str; 3] =
    ["the store is not written: ", "call records are not written to the file: ", "recordings are not written: "];

#[test]
fn an_edge_without_its_disk_takes_calls_says_so_first_and_writes_once_the_disk_is_back() {
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.3"));
    let edge = Process::start(&on_disk("", &trunks(&caller, &callee)));
    let call = Call::set_up(&edge, "without-disk", &caller, &callee);
    call.hang_up(2, &caller, &callee);
    let first = until("status names all three", || {
        let found = problems(&edge);
        let is_named = |what: &&str| found.iter().any(|one| one.starts_with(*what));
        UNWRITTEN.iter().all(is_named).then_some(found)
    });
    let is_unwritten = |one: &String| UNWRITTEN.iter().any(|what| one.starts_with(what));
    assert!(first.iter().take(3).all(is_unwritten), "they come first: {first:#?}");
    assert!(first.iter().take(3).all(|one| one.contains("disk")), "each names its path: {first:#?}");
    until("the record is kept", || (edge.metric("trunkgate_cdr_waiting{sink=\"file\"}") == 1.0).then_some(()));
    let folder = edge.file.parent().unwrap();
    std::fs::create_dir(folder.join("disk")).unwrap();
    until("it is over", || (!problems(&edge).iter().any(&is_unwritten)).then_some(()));
    let file = folder.join("disk/cdr.jsonl");
    until("the record is written", || (records(&file).len() == 1).then_some(()));
    assert!(folder.join("disk/data/trunkgate.db").is_file() && folder.join("disk/recordings").is_dir());
    // The journal works again: a call that is cut short has its record.
    Call::set_up(&edge, "cut-short", &caller, &callee);
    until("the journal has it", || {
        std::fs::metadata(folder.join("disk/cdr.jsonl.live")).ok().filter(|about| about.len() > 0)
    });
    let _edge = edge.kill_and_start_again();
    until("its record is written", || (records(&file).len() == 2).then_some(()));
    assert_eq!(records(&file)[1]["reason"], "edge_restarted");
}

#[test]
fn records_of_an_earlier_process_are_sent_once_the_disk_is_back() {
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.3"));
    let refused: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let to = |address: SocketAddr| {
        let text = on_disk("", &trunks(&caller, &callee));
        text.replace("file = \"disk/cdr.jsonl\"", &format!("url = \"http://{address}/\""))
    };
    let endpoint = Endpoint::doing(|_, stream| ok(stream));
    let (directory, file) = write(&to(refused));
    std::fs::create_dir(directory.path().join("disk")).unwrap();
    let edge = Process::start_at(directory, file);
    let call = Call::set_up(&edge, "waits", &caller, &callee);
    call.hang_up(2, &caller, &callee);
    until("it waits", || (edge.metric("trunkgate_cdr_waiting{sink=\"url\"}") == 1.0).then_some(()));
    let text = to(endpoint.address);
    let edge = edge.kill_and_start_after(|folder| {
        std::fs::rename(folder.join("disk"), folder.join("away")).unwrap();
        std::fs::write(folder.join("trunkgate.toml"), text).unwrap();
    });
    let call = Call::set_up(&edge, "meanwhile", &caller, &callee);
    call.hang_up(2, &caller, &callee);
    until("the record is kept", || problems(&edge).iter().any(|one| one.starts_with("call records")).then_some(()));
    let folder = edge.file.parent().unwrap();
    std::fs::rename(folder.join("away"), folder.join("disk")).unwrap();
    let sent = |endpoint: &Endpoint| {
        let posts = endpoint.posts();
        posts.iter().map(|post| post.headers["webhook-id"].clone()).collect::<std::collections::BTreeSet<_>>()
    };
    until("both are sent", || (sent(&endpoint).len() == 2).then_some(()));
    let is_left = |one: &String| one.contains("not stored") || one.contains("not written") || one.contains("cannot be");
    until("nothing is left of it", || (!problems(&edge).iter().any(is_left)).then_some(()));
}

/// Starts an edge that must fail to start; returns the message.
fn refused(text: &str, make: impl FnOnce(&Path)) -> String {
    let (directory, file) = write(text);
    make(directory.path());
    let output = finish(&["--config", file.to_str().unwrap(), "run"]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && errors.contains("error[TG0202]"), "{errors}");
    errors
}

#[test]
fn where_data_is_required_each_of_the_three_stops_the_start() {
    let disk = |folder: &Path| std::fs::create_dir(folder.join("disk")).unwrap();
    let required = on_disk("data_required = true\n", "");
    assert!(refused(&required, |_| ()).contains("the store cannot be used"));
    let records = required.replace("disk/cdr.jsonl", "away/cdr.jsonl");
    assert!(refused(&records, disk).contains("away/cdr.jsonl"));
    let recordings = required.replace("disk/recordings", "away/recordings");
    assert!(refused(&recordings, disk).contains("away/recordings"));
}

#[test]
fn what_belongs_to_others_stops_the_start_whether_data_is_required_or_not() {
    let with = |name: &'static str, text: &'static str| {
        move |folder: &Path| {
            std::fs::create_dir_all(folder.join("disk/data")).unwrap();
            std::fs::write(folder.join(name), text).unwrap();
        }
    };
    let foreign = refused(&on_disk("", ""), with("disk/cdr.jsonl", "root:x:0:0\n"));
    assert!(foreign.contains("it contains data other than call records"), "{foreign}");
    let database = |change: &'static str| {
        move |folder: &Path| {
            std::fs::create_dir_all(folder.join("disk/data")).unwrap();
            let file = rusqlite::Connection::open(folder.join("disk/data/trunkgate.db")).unwrap();
            file.execute_batch(change).unwrap();
        }
    };
    let other = refused(&on_disk("", ""), database("CREATE TABLE of_others (id INTEGER)"));
    assert!(other.contains("it is not a store of trunkgate"), "{other}");
    let later = "PRAGMA application_id = 0x54477374; PRAGMA user_version = 1000; CREATE TABLE later (id INTEGER)";
    let later = refused(&on_disk("", ""), database(later));
    assert!(later.contains("it is a store of version 1000"), "{later}");
}
