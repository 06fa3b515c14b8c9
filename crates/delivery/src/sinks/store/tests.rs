//! Tests of the store as a whole: shared commits, exclusive use of the file, and files that are damaged or of another
//! version.

use std::os::unix::fs::{FileExt as _, PermissionsExt as _};

use super::file::NAME;
use super::*;
use trunkgate_config::DataDirectory;
use trunkgate_testing::until::until;

fn start(folder: &Path) -> Store {
    Store::start(DataDirectory::of(folder)).unwrap()
}

/// Inserts a row that is unique by its key.
fn insert(file: &Connection, sid: &str, body: &str) -> rusqlite::Result<()> {
    let columns = "kind, key, line, host, place, share, created, due, body";
    let insert = format!("INSERT INTO outbox ({columns}) VALUES ('', ?1, '', '', '', '', 0, 0, ?2)");
    file.execute(&insert, [sid, body]).map(drop)
}

fn add(store: &Store, range: std::ops::Range<u32>) -> io::Result<()> {
    store.run_now(move |file| {
        for n in range {
            let json = format!("{{\"sid\":\"CA{n}\",\"filler\":\"{}\"}}", "x".repeat(500));
            insert(file, &format!("CA{n}"), &json)?;
        }
        Ok(())
    })
}

fn sids(store: &Store) -> Vec<String> {
    let sids = |file: &Connection| {
        let mut rows = file.prepare("SELECT key FROM outbox ORDER BY rowid")?;
        let rows = rows.query_map([], |row| row.get(0))?;
        rows.collect()
    };
    store.run_now(sids).unwrap()
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

#[test]
fn changes_that_come_together_are_all_made_but_for_one_that_fails() {
    let directory = tempfile::tempdir().unwrap();
    let store = start(directory.path());
    assert!(!store.has_any());
    let insert = |sid: &'static str| store.run(Commit::Soon, move |file| insert(file, sid, ""));
    let all = [insert("CA1"), insert("CA2"), insert("CA1"), insert("CA3")];
    let done: Vec<bool> = all.map(|one| wait(one).is_ok()).to_vec();
    assert_eq!(done, [true, true, false, true]);
    assert!(store.has_any());
    drop(store);
    assert_eq!(sids(&start(directory.path())), ["CA1", "CA2", "CA3"]);
}

#[test]
fn what_nobody_waits_for_is_made_before_the_last_clone_has_gone() {
    let directory = tempfile::tempdir().unwrap();
    let store = start(directory.path());
    for n in 0..1000 {
        drop(store.clone().run(Commit::Soon, move |file| insert(file, &format!("CA{n}"), "")));
    }
    drop(store);
    assert_eq!(sids(&start(directory.path())).len(), 1000);
}

#[test]
fn a_file_is_its_owner_s_alone_belongs_to_one_process_and_has_no_other_data() {
    let directory = tempfile::tempdir().unwrap();
    let first = start(directory.path());
    add(&first, 0..1).unwrap();
    for name in [NAME, "trunkgate.db-wal"] {
        let mode = std::fs::metadata(directory.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}");
    }
    let refused = |words: &str| {
        let error = start(directory.path()).open_now().unwrap_err().to_string();
        assert!(error.contains(NAME) && error.ends_with(words), "{error}");
    };
    refused("another process uses it");
    drop(first);
    let other = tempfile::tempdir().unwrap();
    let others = Connection::open(other.path().join(NAME)).unwrap();
    others.execute_batch("CREATE TABLE notes (text TEXT)").unwrap();
    drop(others);
    let error = start(other.path()).open_now().unwrap_err().to_string();
    assert!(error.ends_with("it is not a store of trunkgate"), "{error}");
    let missing = start(&other.path().join("not/there")).open_now().unwrap_err().to_string();
    assert!(missing.contains("not/there") && !other.path().join("not").exists(), "{missing}");
}

#[test]
fn a_full_disk_refuses_changes_until_there_is_room_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = start(directory.path());
    add(&store, 0..10).unwrap();
    let limit = |pages: u32| store.run_now(move |file| file.pragma_update(None, "max_page_count", pages)).unwrap();
    limit(1);
    let error = add(&store, 10..500).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{error}");
    let problem = store.health().problems()[0].to_string();
    assert!(problem.starts_with("the store is not written: ") && problem.contains(NAME), "{problem}");
    assert!(problem.ends_with(&format!("(`df -h {}`)", directory.path().display())), "{problem}");
    // A successful read does not show that the disk has room.
    assert_eq!((sids(&store).len(), store.health().is_failing()), (10, true));
    // The failure may take another change of the same batch with it.
    let (one, two) = (
        store.run(Commit::Soon, |file| file.execute("UPDATE outbox SET body = hex(zeroblob(4500000))", []).map(drop)),
        store.run(Commit::Soon, |file| file.execute("DELETE FROM outbox WHERE key = 'CA0'", []).map(drop)),
    );
    let (one, two) = (wait(one), wait(two));
    assert!(one.is_err(), "{two:?}");
    limit(1 << 20);
    add(&store, 10..20).unwrap();
    let expected: Vec<String> = (u32::from(two.is_ok())..20).map(|n| format!("CA{n}")).collect();
    assert_eq!(sids(&store), expected);
    assert!(!store.health().is_failing());
    assert!(store.health().problems().is_empty());
}

#[test]
fn a_store_that_refuses_changes_is_tried_without_any() {
    let directory = tempfile::tempdir().unwrap();
    let store = start(directory.path());
    add(&store, 0..1).unwrap();
    // Changes within existing pages succeed, as those of the retry do.
    store.run_now(|file| file.pragma_update(None, "max_page_count", 1)).unwrap();
    assert!(add(&store, 1..500).is_err() && store.health().is_failing());
    until("the store is tried", || (!store.health().is_failing()).then_some(()));
    assert_eq!(store.health().refused_changes(), 1);
}

/// Overwrites a range of the file with noise; returns the rows that remain readable, and the description of the damage.
fn damaged(at: impl FnOnce(u64) -> std::ops::Range<u64>) -> (Vec<String>, Option<String>) {
    let directory = tempfile::tempdir().unwrap();
    let store = start(directory.path());
    add(&store, 0..200).unwrap();
    store.run_now(|file| file.execute("INSERT INTO opted_out VALUES ('+1', 0)", []).map(drop)).unwrap();
    drop(store);
    let path = directory.path().join(NAME);
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    let at = at(file.metadata().unwrap().len());
    let noise: Vec<u8> = at.clone().map(|at| (at * 31 % 251) as u8).collect();
    file.write_all_at(&noise, at.start).unwrap();
    let before = std::fs::read(&path).unwrap();
    let store = start(directory.path());
    let read = sids(&store);
    let told = store.health().damage();
    if told.is_some() {
        assert_eq!(std::fs::read(directory.path().join("trunkgate.db.damaged")).unwrap(), before);
    }
    // The recovered store works normally, and the next start reports no damage.
    add(&store, 1000..1001).unwrap();
    drop(store);
    let store = start(directory.path());
    assert_eq!((sids(&store).len(), store.health().damage()), (read.len() + 1, None));
    (read, told)
}

#[test]
fn what_can_be_read_of_a_damaged_file_is_kept_and_the_damage_told() {
    let (all, told) = damaged(|_| 0..0);
    assert_eq!((all.len(), told), (200, None));
    let (some, told) = damaged(|length| length * 3 / 4..length * 3 / 4 + 6000);
    assert!(some.len() > 150 && some.len() < 200, "{}", some.len());
    assert!(some.contains(&"CA0".to_owned()) && some.contains(&"CA199".to_owned()));
    assert!(told.unwrap().contains("was damaged"));
    let (none, told) = damaged(|_| 0..4096);
    assert!(none.is_empty() && told.is_some());
}

#[test]
fn a_start_that_was_cut_short_while_it_saved_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let (path, new) = (directory.path().join(NAME), directory.path().join("trunkgate.db.new"));
    let store = start(directory.path());
    add(&store, 0..3).unwrap();
    drop(store);
    // The damaged file is set aside, but the new one has not taken its place yet.
    std::fs::rename(&path, &new).unwrap();
    assert_eq!(sids(&start(directory.path())).len(), 3);
    // The damaged file has not been set aside yet.
    std::fs::write(&new, "half").unwrap();
    assert_eq!((sids(&start(directory.path())).len(), new.exists()), (3, false));
}

/// Damage of an index, which the check at the start does not find.
#[test]
fn a_file_that_proves_damaged_while_it_is_used_is_saved_with_the_next_change() {
    let directory = tempfile::tempdir().unwrap();
    let store = start(directory.path());
    add(&store, 0..50).unwrap();
    let corrupt = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    let error = store.run_now::<()>(move |_| Err(rusqlite::Error::SqliteFailure(corrupt, None))).unwrap_err();
    assert_eq!((error.kind(), store.health().damage()), (io::ErrorKind::InvalidData, None));
    assert_eq!(sids(&store).len(), 50);
    assert!(store.health().damage().unwrap().contains("50 entries were read"));
    assert!(directory.path().join("trunkgate.db.damaged").exists());
    drop(store);
    let store = start(directory.path());
    assert_eq!((sids(&store).len(), store.health().damage()), (50, None));
}

/// A file left by a process that ended, and one with a log that a killed process has left.
#[test]
fn a_store_of_an_older_or_a_newer_version_is_refused_and_stays_as_it_is() {
    for (version, has_log) in [(0, false), (0, true), (2, false), (2, true), (-1, false), (99, true)] {
        let (directory, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = start(directory.path());
        add(&store, 0..3).unwrap();
        store.run_now(move |file| file.pragma_update(None, "user_version", version)).unwrap();
        let names: &[&str] = if has_log { &[NAME, "trunkgate.db-wal"] } else { &[NAME] };
        let store = Some(store).filter(|_| has_log);
        let copied = |name: &&str| std::fs::copy(directory.path().join(name), copy.path().join(name)).unwrap();
        assert!(names.iter().all(|name| copied(name) > 0));
        drop(store);
        let read = || names.iter().map(|name| std::fs::read(copy.path().join(name)).unwrap()).collect::<Vec<_>>();
        let before = read();
        let error = start(copy.path()).open_now().unwrap_err();
        let told = format!("{NAME}: it is a store of version {version}, and this trunkgate reads version 1; ");
        assert!(error.to_string().contains(&told) && error.to_string().contains("move the file away"), "{error}");
        assert!(!may_recover(&error), "the edge does not start");
        assert!(read() == before, "{version}");
    }
}

/// A store that a killed process has left, on a disk that is then read-only.
#[test]
fn a_store_that_cannot_be_written_is_read_with_its_log_and_is_written_once_it_can_be() {
    let directory = tempfile::tempdir().unwrap();
    let (from, at) = (directory.path().join("a ?#%"), directory.path().join("b ?#%"));
    let first = start(&from);
    add(&first, 0..3).unwrap();
    std::fs::create_dir(&at).unwrap();
    for name in [NAME, "trunkgate.db-wal"] {
        std::fs::copy(from.join(name), at.join(name)).unwrap();
    }
    drop(first);
    disk::tests::set_read_only(&at, true);
    let count = |file: &Connection| file.query_row("SELECT count(*) FROM outbox", [], |row| row.get::<_, u32>(0));
    let file = file::open_read_only(&DataDirectory::of(&at)).unwrap();
    assert_eq!(count(&file).unwrap(), 3, "all that was committed");
    assert!(file.execute("DELETE FROM outbox", []).is_err());
    drop(file);
    let store = start(&at);
    assert!(may_recover(&store.open_now().unwrap_err()));
    assert!(store.health().is_failing() && add(&store, 3..4).is_err());
    assert_eq!(store.read_now(count).unwrap(), 3);
    assert!(store.read_now(|file| file.execute("DELETE FROM outbox", [])).is_err(), "no change is made so");
    disk::tests::set_read_only(&at, false);
    wait(store.health().writable());
    add(&store, 3..4).unwrap();
    assert_eq!((sids(&store).len(), store.read_now(count).unwrap(), store.health().is_failing()), (4, 4, false));
    // Closing merges the log into the file.
    drop(store);
    assert_eq!(count(&file::open_read_only(&DataDirectory::of(&at)).unwrap()).unwrap(), 4);
    std::fs::remove_file(at.join(NAME)).unwrap();
    assert!(file::open_read_only(&DataDirectory::of(&at)).is_err() && !at.join(NAME).exists());
}
