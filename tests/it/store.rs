//! Store of the real binary: persistent data survives the end of the process, at any time and in any way.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::TryRng as _;
use rusqlite::Connection;
use serde_json::Value;

use crate::support::endpoint::{Endpoint, ok, say};
use crate::support::sip::{Party, field, to_tag};
use crate::support::twilio::{Deed, Twilio};
use crate::support::{PATIENCE, PUBLIC_URL, Process, config, until};

const OURS: &str = "+14155551234";

/// Number of kills, unless `TRUNKGATE_KILLS` is set.
const KILLS: u32 = 6;

/// Returns a configuration in which records go to a file and to a URL, a missed call gets a text, and each call counts
/// towards a daily limit.
fn configuration(caller: &Party, callee: &Party, twilio: &Twilio, endpoint: SocketAddr) -> String {
    let trunk = |name: &str, party: &Party| {
        format!("[trunk.{name}]\npeers = [\"sip:{}\"]\noptions_interval = \"0s\"\n", party.address)
    };
    config(&format!(
        "{PUBLIC_URL}[limits]\ncalls_per_second = 0\n{}calls_per_day = 1000000\n{}{}\
         [cdr]\nfile = \"cdr.jsonl\"\nrotate = \"64 KiB\"\nurl = \"http://{endpoint}/\"\n\
         [[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n\
         sms_on_failure = {{ to = \"{{caller}}\", from = \"{OURS}\", body = \"Missed.\" }}\n",
        trunk("carrier", caller),
        trunk("pbx", callee),
        twilio.keys("timeout = \"3s\"\n[sms]\nper_day = 0"),
    ))
}

fn number(call: u32) -> String {
    format!("+1415666{call:04}")
}

/// Rejects every call as busy until the thread is stopped.
fn refuse_all(callee: &Party) -> JoinHandle<()> {
    let party = callee.shared();
    std::thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while let Ok((length, from)) = party.socket.recv_from(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if text.starts_with("INVITE ") {
                party.send(from, &party.answer(&text, "486 Busy Here", false));
            } else if text.starts_with("STOP") {
                return;
            }
        }
    })
}

/// Returns whether the endpoint accepts a post. Of 150 posts, one gets an error instead, and one gets no response.
fn is_taken(post: usize) -> bool {
    post % 150 != 7 && post % 150 != 90
}

/// Returns how long a process lives, with calls throughout.
fn lifetime() -> Duration {
    Duration::from_millis(50 + u64::from(rand::rngs::SysRng.try_next_u32().unwrap() % 300))
}

/// Makes calls during one lifetime of the edge, at least `least`; returns those that were rejected, in the order of
/// their final responses.
fn dial_for(edge: &Process, caller: &Party, (time, least): (Duration, usize), next: &mut u32) -> Vec<u32> {
    let (to, until, patience) = (edge.address("udp"), Instant::now() + time, Instant::now() + PATIENCE);
    let (mut refused, mut open, mut dialled) = (Vec::new(), BTreeSet::new(), 0);
    let mut buffer = [0; 65_536];
    caller.socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    while Instant::now() < until || refused.len() < least {
        assert!(Instant::now() < patience, "only {} of {least} calls are refused", refused.len());
        while open.len() < 8 && dialled < 40 {
            let invite = caller.request("INVITE", "+14155550123", to, &format!("store-{next}"), 1, "");
            caller.send(to, &invite.replace("sip:+14155550100@", &format!("sip:{}@", number(*next))));
            open.insert(*next);
            (*next, dialled) = (*next + 1, dialled + 1);
        }
        let Ok((length, _)) = caller.socket.recv_from(&mut buffer) else { continue };
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let call = field(&text, "Call-ID").strip_prefix("store-").and_then(|call| call.parse().ok());
        let (Some(call), Some(code)) = (call, text.get(8..11).and_then(|code| code.parse::<u16>().ok())) else {
            continue;
        };
        if code < 200 {
            continue;
        }
        let ack = caller.request("ACK", "+14155550123", to, &format!("store-{call}"), 1, to_tag(&text));
        let ack = ack.replace(&format!("store-{call}ACK1"), &format!("store-{call}INVITE1"));
        caller.send(to, &ack.replace("sip:+14155550100@", &format!("sip:{}@", number(call))));
        if open.remove(&call) && code == 486 {
            refused.push(call);
        }
    }
    refused
}

/// Returns the number of records for each call in all files of a folder, and the callers in these records.
fn records(folder: &Path) -> (BTreeMap<String, u32>, BTreeSet<String>) {
    let (mut counts, mut callers) = (BTreeMap::new(), BTreeSet::new());
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "jsonl") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        // A line without its end is still being written.
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let record: Value = serde_json::from_str(line).unwrap();
            *counts.entry(record["sid"].as_str().unwrap().to_owned()).or_default() += 1;
            callers.insert(record["from"].as_str().unwrap().to_owned());
        }
    }
    (counts, callers)
}

/// Returns how often each record was delivered to the endpoint.
fn taken(endpoint: &Endpoint) -> BTreeMap<String, u32> {
    let mut taken: BTreeMap<String, u32> = BTreeMap::new();
    for (_, post) in endpoint.posts().into_iter().enumerate().filter(|(post, _)| is_taken(*post)) {
        *taken.entry(post.headers["webhook-id"].clone()).or_default() += 1;
    }
    taken
}

#[test]
fn no_record_text_or_webhook_is_lost_or_doubled_whenever_the_edge_is_killed() {
    let kills = std::env::var("TRUNKGATE_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let (caller, callee) = (Party::new("127.0.0.1"), Party::new("127.0.0.1"));
    let twilio = Twilio::start(|_, _| Deed::Take);
    let endpoint = Endpoint::doing(|post, stream| match () {
        () if is_taken(post) => ok(stream),
        () if post % 150 == 7 => say(stream, "500 Internal Server Error", ""),
        () => false,
    });
    let refuser = refuse_all(&callee);
    let mut edge = Process::start(&configuration(&caller, &callee, &twilio, endpoint.address));
    let (mut next, mut lives) = (0, Vec::new());
    for _ in 0..kills {
        lives.push(dial_for(&edge, &caller, (lifetime(), 0), &mut next));
        edge = edge.kill_and_start_again();
    }
    lives.push(dial_for(&edge, &caller, (Duration::from_secs(1), 1), &mut next));
    until("nothing waits", || {
        let has_ended = edge.json("/v1/status")["calls"] == 0;
        let waiting = ["trunkgate_sms_queued", "trunkgate_cdr_waiting{sink=\"url\"}"].map(|name| edge.metric(name));
        (has_ended && waiting == [0.0, 0.0]).then_some(())
    });
    let problems = edge.json("/v1/status")["problems"].clone();
    let is_of_kill =
        |problem: &Value| problem.as_str().unwrap().starts_with("the previous process did not shut down cleanly");
    assert!(problems.as_array().unwrap().iter().all(is_of_kill), "{problems}");

    // Calls that have no final response when the last lifetime ends get their records meanwhile.
    let (taken, counts, callers) = until("the URL has each record that a file has, and no other", || {
        let taken = taken(&endpoint);
        let (counts, callers) = records(edge.directory.path());
        taken.keys().eq(counts.keys()).then_some((taken, counts, callers))
    });
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
    // After a kill, the newest calls may be missing from the journal; earlier calls, and all of the last lifetime, are
    // in it.
    let is_recorded = |call: &u32| callers.contains(&number(*call));
    for refused in &lives {
        assert!(refused.iter().is_sorted_by_key(|call| !is_recorded(call)), "a gap in {refused:?}: {callers:?}");
    }
    assert!(lives[lives.len() - 1].iter().all(is_recorded), "{lives:?}: {callers:?}");
    let state = twilio.state();
    for call in lives.iter().flatten() {
        assert_eq!(state.taken(&number(*call)), 1, "texts to {}", number(*call));
    }
    assert!((0..next).all(|call| state.taken(&number(call)) <= 1));
    assert_eq!(taken.keys().collect::<Vec<_>>(), counts.keys().collect::<Vec<_>>());
    // Deliveries that were answered but not yet stored at a kill are repeated with the same id: at most four at once.
    let again = taken.values().map(|count| count - 1).sum::<u32>();
    assert!(again <= 4 * kills, "{again} were sent again");
    let directory = std::sync::Arc::clone(&edge.directory);
    drop(edge);
    let store = Connection::open(directory.path().join("trunkgate.db")).unwrap();
    let counted: u32 = store.query_row("SELECT sum(count) FROM day_count", [], |row| row.get(0)).unwrap();
    let last = lives[lives.len() - 1].len() as u32;
    assert!((last..=next).contains(&counted), "{last} <= {counted} <= {next}");
    println!("{kills} kills, {next} calls, {} records, {again} posts sent again", counts.len());
    caller.send(callee.address, "STOP");
    refuser.join().unwrap();
}

#[test]
fn a_store_that_is_damaged_is_told_and_calls_texts_and_records_go_on() {
    let (caller, callee) = (Party::new("127.0.0.1"), Party::new("127.0.0.1"));
    let (twilio, endpoint) = (Twilio::start(|_, _| Deed::Take), Endpoint::taking());
    let refuser = refuse_all(&callee);
    let edge = Process::start(&configuration(&caller, &callee, &twilio, endpoint.address));
    // A checkpoint of a running edge could overwrite the damage.
    let edge = edge.kill_and_start_after(|directory| {
        std::fs::write(directory.join("trunkgate.db"), [0x55; 9000]).unwrap();
        let _ = std::fs::remove_file(directory.join("trunkgate.db-wal"));
    });
    let problems = edge.json("/v1/status")["problems"].to_string();
    assert!(problems.contains("trunkgate.db was damaged"), "{problems}");
    assert!(edge.directory.path().join("trunkgate.db.damaged").exists());
    let refused = dial_for(&edge, &caller, (Duration::from_millis(500), 1), &mut 0);
    until("each is reported", || {
        (refused.iter().all(|call| twilio.state().taken(&number(*call)) == 1)
            && endpoint.posts().len() >= refused.len())
        .then_some(())
    });
    caller.send(callee.address, "STOP");
    refuser.join().unwrap();
}
