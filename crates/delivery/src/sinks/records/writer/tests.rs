//! Tests of the record writer: each record reaches its destinations once, regardless of disk errors.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::sinks::records::tests::{began, record, store};
use crate::sinks::store::disk::{self, tests::crash_at, tests::set_room};
use trunkgate_config::{CdrFile, CdrFormat, CdrRetention, WebhookReceiver};
use trunkgate_system::limits::RECORDS_SEARCHED_BYTES;

/// Opens a writer with the store in a folder beside the file.
fn open(cdr: &CdrSettings) -> io::Result<Writer> {
    let path = &cdr.file.as_ref().unwrap().path;
    let store = store(&path.with_file_name("store"));
    let calls = CallList::new(store.clone(), None);
    Writer::open(cdr, store, Arc::new(calls), (true, BTreeSet::new()))
}

/// Waits until no change of the store is in progress.
fn settle(writer: &mut Writer) {
    run(async {
        while writer.queueing.is_some() {
            let stored = next_stored(&mut writer.queueing).await;
            writer.stored(stored).await;
        }
    });
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(work)
}

/// Returns the number of records that wait for the URL.
fn waiting(writer: &Writer) -> Option<usize> {
    writer.endpoint.is_set().then(|| queued(writer).len())
}

/// Returns the SIDs of records for the URL in the store; empty while the store refuses changes.
fn queued(writer: &Writer) -> BTreeSet<String> {
    let heads = writer.store.run_now(|store| table::heads(store, sender::NAME, usize::MAX)).unwrap_or_default();
    heads.into_iter().map(|head| head.key).collect()
}

fn cdr(path: &Path, format: CdrFormat) -> CdrSettings {
    let size = 2 * record("CA1").json.len() as u64 + 300;
    let file = CdrFile {
        path: path.to_owned(),
        format,
        rotate_bytes: Some(size),
        rotate_every: None,
        keep: CdrRetention::All,
    };
    let receiver = WebhookReceiver {
        url: "http://127.0.0.1:9/".to_owned(),
        secrets: Vec::new(),
        token: None,
        ca: None,
        timeout: Duration::from_secs(20),
    };
    CdrSettings { file: Some(file), url: Some(CdrUrl { receiver, most_waiting: 1 << 30 }) }
}

/// Counts how often each call occurs in the record files of a folder.
fn counts(folder: &Path) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() || path.extension().is_some_and(|ending| ending == "live" || ending == "new") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for line in text.lines().filter(|line| !line.starts_with("sid,")) {
            let json: Option<serde_json::Value> = serde_json::from_str(line).ok();
            let sid = json.and_then(|json| Some(json["sid"].as_str()?.to_owned()));
            let sid = sid.unwrap_or_else(|| line.split(',').next().unwrap().to_owned());
            assert!(sid.starts_with("CA"), "{}: {line}", path.display());
            *counts.entry(sid).or_default() += 1;
        }
    }
    counts
}

/// Writes records of calls that overlap.
fn work(writer: &mut Writer, begun: &mut Vec<String>) {
    for n in 0..9 {
        let sid = format!("CA{n}");
        writer.note(&sid, |journal| journal.begin(&began(&sid), 0));
        begun.push(sid);
        if n >= 2 {
            writer.take(record(&format!("CA{}", n - 2)));
        }
        if n % 3 == 1 {
            settle(writer);
        }
    }
}

/// Kills the process at every step that changes a file, with nothing, half or all of the data written, and again at
/// every step of the next start.
#[test]
fn one_record_a_call_wherever_the_process_is_killed() {
    let mut crashes = 0;
    for (format, sends) in [(CdrFormat::Jsonl, true), (CdrFormat::Csv, false)] {
        for quarters in [0, 2, 4] {
            for first in 0.. {
                let directory = tempfile::tempdir().unwrap();
                let mut cdr = cdr(&directory.path().join("cdr.jsonl"), format);
                cdr.url = cdr.url.filter(|_| sends);
                let mut begun = Vec::new();
                let died = crash_at(first, quarters, || {
                    work(&mut open(&cdr).unwrap(), &mut begun);
                });
                let mut second = first % 5;
                while crash_at(second, quarters, || settle(&mut open(&cdr).unwrap())) {
                    second += 1;
                    crashes += 1;
                }
                let mut writer = open(&cdr).unwrap();
                settle(&mut writer);
                let counts = counts(directory.path());
                let at = format!("{format:?} {sends} {quarters} {first}: {begun:?} {counts:?}");
                assert!(begun.iter().all(|sid| counts.contains_key(sid)), "{at}");
                assert!(counts.values().all(|n| *n == 1), "{at}");
                let queued = queued(&writer);
                assert!(!sends || counts.keys().all(|sid| queued.contains(sid)), "{at}");
                assert!(!sends || waiting(&writer) == Some(counts.len()), "{at}");
                if !died {
                    break;
                }
                crashes += 1;
            }
        }
    }
    assert!(crashes > 200, "{crashes}");
}

#[test]
fn while_the_disk_is_full_records_are_kept_and_written_in_their_order_later() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cdr.jsonl");
    let mut cdr = cdr(&path, CdrFormat::Jsonl);
    cdr.file.as_mut().unwrap().rotate_bytes = None;
    cdr.url = None;
    let mut writer = open(&cdr).unwrap();
    let figures = writer.figures();
    writer.take(record("CA0"));
    set_room(Some(40));
    for n in 1..=RECORDS_KEPT + 3 {
        writer.take(record(&format!("CA{n}")));
    }
    let problems: Vec<String> = figures.problems().iter().map(ToString::to_string).collect();
    assert!(
        problems[0].starts_with("call records are not written to the file: ")
            && problems[0]
                .contains("; 10000 wait; beyond 10000, further ones are lost; try: make room on the disk of /"),
        "{problems:?}"
    );
    let no_restart = "; do not restart the edge before that: 10000 records are in memory only and would be lost";
    assert!(problems[0].ends_with(no_restart), "{problems:?}");
    assert_eq!(problems[1], "3 call records lost since the start: not in the file");
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1);
    set_room(None);
    writer.refused = (None, None);
    writer.flush();
    assert_eq!(figures.problems().len(), 1, "the loss is still reported");
    assert_eq!(figures.file.waiting.get(), 0);
    let sids: Vec<String> = std::fs::read_to_string(&path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["sid"].as_str().unwrap().to_owned())
        .collect();
    let expected: Vec<String> = (0..=RECORDS_KEPT).map(|n| format!("CA{n}")).collect();
    assert_eq!(sids, expected);
}

#[test]
fn what_waits_at_the_end_is_lost_only_where_the_journal_takes_it_neither() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cdr.jsonl");
    let cdr = CdrSettings { url: None, ..cdr(&path, CdrFormat::Jsonl) };
    let mut writer = open(&cdr).unwrap();
    let figures = writer.figures();
    // A folder in place of the file leaves the first record to the journal; then the disk is full.
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    writer.take(record("CA0"));
    assert_eq!(figures.only_in_memory.get(), 0);
    set_room(Some(40));
    writer.take(record("CA1"));
    writer.take(record("CA2"));
    assert_eq!((figures.only_in_memory.get(), figures.file.waiting.get()), (2, 3));
    writer.account();
    assert_eq!(figures.file.lost.get(), 2);
    set_room(None);
    writer.account();
    assert_eq!(figures.file.lost.get(), 2, "the journal took them");
    drop(writer);
    std::fs::remove_dir(&path).unwrap();
    drop(open(&cdr).unwrap());
    assert_eq!(counts(directory.path()), ["CA0", "CA1", "CA2"].map(|sid| (sid.to_owned(), 1)).into());
}

#[test]
fn what_was_kept_when_the_process_died_is_in_the_journal() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("records/cdr.jsonl");
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    let cdr = cdr(&path, CdrFormat::Jsonl);
    let mut writer = open(&cdr).unwrap();
    // A folder takes the place of the file.
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    writer.take(record("CA1"));
    drop(writer);
    std::fs::remove_dir(&path).unwrap();
    drop(open(&cdr).unwrap());
    assert_eq!(counts(path.parent().unwrap()), BTreeMap::from([("CA1".to_owned(), 1)]));
}

#[test]
fn a_file_that_cannot_be_opened_leaves_all_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let old = directory.path().join("old.jsonl");
    let to = |path: &Path| CdrSettings { url: None, ..cdr(path, CdrFormat::Jsonl) };
    let mut writer = open(&to(&old)).unwrap();
    let folder = directory.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    for bad in [directory.path().join("nowhere/new.jsonl"), folder] {
        run(writer.change(&to(&bad), false)).unwrap_err();
        writer.note("CA1", |journal| journal.begin(&began("CA1"), 0));
        writer.take(record("CA1"));
    }
    assert_eq!(std::fs::read_to_string(&old).unwrap().matches("CA1").count(), 2);
    assert!(directory.path().join("old.jsonl.live").exists());
}

#[test]
fn a_journal_that_cannot_be_moved_leaves_all_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (directory.path().join("old"), directory.path().join("new"));
    let to = |folder: &Path| {
        std::fs::create_dir_all(folder).unwrap();
        cdr(&folder.join("cdr.jsonl"), CdrFormat::Jsonl)
    };
    let mut writer = open(&to(&old)).unwrap();
    writer.note("CA9", |journal| journal.begin(&began("CA9"), 0));
    writer.take(record("CA3"));
    let other = to(&new);
    std::fs::create_dir(new.join("cdr.jsonl.live.new")).unwrap();
    run(writer.change(&other, true)).unwrap_err();
    writer.take(record("CA4"));
    settle(&mut writer);
    assert_eq!((waiting(&writer), counts(&old)["CA4"]), (Some(2), 1));
    assert!(!counts(&new).contains_key("CA4"), "{:?}", counts(&new));
    std::fs::remove_dir(new.join("cdr.jsonl.live.new")).unwrap();
    run(writer.change(&other, true)).unwrap();
    writer.take(record("CA5"));
    settle(&mut writer);
    assert_eq!((waiting(&writer), counts(&new)), (Some(3), BTreeMap::from([("CA5".to_owned(), 1)])));
    assert!(!counts(&old).contains_key("CA5"));
}

#[test]
fn a_call_that_lives_while_no_records_are_wanted_is_not_cut_short() {
    let directory = tempfile::tempdir().unwrap();
    let cdr = cdr(&directory.path().join("cdr.jsonl"), CdrFormat::Jsonl);
    let mut writer = open(&cdr).unwrap();
    writer.note("CA1", |journal| journal.begin(&began("CA1"), 0));
    run(writer.change(&CdrSettings::default(), false)).unwrap();
    run(writer.change(&cdr, false)).unwrap();
    assert!(counts(directory.path()).is_empty());
    writer.take(record("CA1"));
    assert_eq!(counts(directory.path())["CA1"], 1);
}

#[test]
fn what_the_file_has_is_not_written_again_however_much_came_behind_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cdr.jsonl");
    let mut cdr = cdr(&path, CdrFormat::Jsonl);
    cdr.file.as_mut().unwrap().rotate_bytes = None;
    let mut writer = open(&cdr).unwrap();
    disk::tests::refuse_changes(true);
    // The number exceeds the records that a start searches.
    let many = 2 * RECORDS_SEARCHED_BYTES as usize / record("CA1").json.len();
    assert!(many < RECORDS_KEPT);
    for n in 0..many {
        writer.take(record(&format!("CA{n}")));
    }
    drop(writer);
    disk::tests::refuse_changes(false);
    let mut writer = open(&cdr).unwrap();
    while writer.queueing.is_some() {
        settle(&mut writer);
    }
    assert_eq!((counts(directory.path()).len(), waiting(&writer)), (many, Some(many)));
    assert!(counts(directory.path()).values().all(|count| *count == 1));
}

#[test]
fn a_store_that_takes_nothing_costs_the_file_no_record() {
    let directory = tempfile::tempdir().unwrap();
    let mut cdr = cdr(&directory.path().join("cdr.jsonl"), CdrFormat::Jsonl);
    cdr.file.as_mut().unwrap().rotate_bytes = None;
    let mut writer = open(&cdr).unwrap();
    disk::tests::refuse_changes(true);
    for n in 0..RECORDS_KEPT + 3 {
        writer.take(record(&format!("CA{n}")));
    }
    assert_eq!((counts(directory.path()).len(), writer.figures.file.lost.get()), (RECORDS_KEPT + 3, 0));
    assert_eq!(writer.figures.url.lost.get(), 3);
    disk::tests::refuse_changes(false);
}

#[test]
fn what_waits_stays_where_the_url_goes_away_and_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let cdr = cdr(&directory.path().join("cdr.jsonl"), CdrFormat::Jsonl);
    let mut writer = open(&cdr).unwrap();
    writer.take(record("CA1"));
    settle(&mut writer);
    run(writer.change(&CdrSettings { url: None, ..cdr.clone() }, false)).unwrap();
    writer.take(record("CA2"));
    assert_eq!((waiting(&writer), counts(directory.path()).len()), (None, 2));
    run(writer.change(&cdr, false)).unwrap();
    assert_eq!(waiting(&writer), Some(1));
}

#[test]
fn a_store_that_is_not_there_keeps_no_record_from_the_file_and_gets_it_later() {
    let directory = tempfile::tempdir().unwrap();
    let cdr = cdr(&directory.path().join("cdr.jsonl"), CdrFormat::Jsonl);
    let mut writer = open(&cdr).unwrap();
    disk::tests::refuse_changes(true);
    writer.take(record("CA1"));
    settle(&mut writer);
    assert_eq!((waiting(&writer), counts(directory.path()).len()), (Some(0), 1));
    assert!(
        writer.figures.problems()[0].to_string().starts_with("call records cannot be queued for the URL: "),
        "{:?}",
        writer.figures.problems()
    );
    disk::tests::refuse_changes(false);
    writer.refused = (None, None);
    writer.flush();
    settle(&mut writer);
    assert_eq!((waiting(&writer), writer.waiting.len()), (Some(1), 0));
    assert!(writer.figures.problems().is_empty());
}

#[test]
fn another_file_takes_over_live_calls_and_what_waits() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (directory.path().join("old.jsonl"), directory.path().join("new.jsonl"));
    let mut writer = open(&cdr(&old, CdrFormat::Jsonl)).unwrap();
    writer.note("CA1", |journal| journal.begin(&began("CA1"), 0));
    run(writer.change(&cdr(&new, CdrFormat::Jsonl), false)).unwrap();
    assert!(!directory.path().join("old.jsonl.live").exists());
    drop(writer);
    drop(open(&cdr(&new, CdrFormat::Jsonl)).unwrap());
    assert!(std::fs::read_to_string(&new).unwrap().contains("CA1"));
}
