//! Tests of the outbox with a minimal kind: rows written by others, stored failures, and kills of the process at any
//! time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::sinks::store::Store;
use crate::sinks::store::disk::tests::refuse_changes;
use trunkgate_config::DataDirectory;

/// Result of an attempt in a test.
#[derive(Debug, Clone, Copy)]
enum Answer {
    Taken,
    /// The attempt succeeds, and the disk is full from then on.
    TakenOnFullDisk,
    Busy,
    Refused,
    /// The attempt gets no response.
    Hangs,
}

/// Kind of a test with a list of results; every further attempt succeeds.
#[derive(Debug, Default)]
struct Notes {
    answers: Mutex<Vec<Answer>>,
    attempts: Arc<Mutex<Vec<(String, u32)>>>,
    waiting: Arc<AtomicUsize>,
}

impl Kind for Notes {
    const NAME: &'static str = "note";
    const NOUN: &'static str = "note";

    type New = Row;
    type Taken = ();
    type Seen = usize;

    fn pace(&self) -> Pace {
        let pauses = Backoff::new(Duration::from_millis(2), Duration::from_millis(4));
        let give_up = Duration::from_secs(3600);
        Pace { at_once: 4, of_host: 4, of_unknown: 4, of_failing: 4, pauses, give_up, rows: 99, bytes: 1 << 20 }
    }

    fn row(&self, new: Row, _: i64) -> Option<Row> {
        Some(new)
    }

    async fn attempt(&self, row: &Row, number: u32) -> Result<(), Refusal> {
        self.attempts.lock().unwrap().push((row.head.key.clone(), number));
        let answer = {
            let mut answers = self.answers.lock().unwrap();
            if answers.is_empty() { Answer::Taken } else { answers.remove(0) }
        };
        match answer {
            Answer::Taken => Ok(()),
            Answer::TakenOnFullDisk => {
                refuse_changes(true);
                Ok(())
            }
            Answer::Busy => Err(Refusal::here("busy".to_owned())),
            Answer::Refused => Err(Refusal { is_final: true, ..Refusal::here("refused".to_owned()) }),
            Answer::Hangs => std::future::pending().await,
        }
    }

    fn note(&self, _: &str, _: &Arc<str>, _: Event<'_>) {}

    fn stored(&self, done: &io::Result<()>, _: &Path) {
        // The disk has room again after the failure was noticed.
        if done.is_err() {
            refuse_changes(false);
        }
    }

    fn settle(&self, store: &Connection, _: &[Settled<()>]) -> rusqlite::Result<usize> {
        Ok(table::heads(store, Notes::NAME, 99)?.len())
    }

    fn seen(&self, seen: usize) {
        self.waiting.store(seen, Ordering::Relaxed);
    }
}

fn row(key: &str, line: &str) -> Row {
    let [key, line] = [key, line].map(str::to_owned);
    let (host, place, share) = ("h:1".to_owned(), "place".to_owned(), "share".to_owned());
    let created = clock::now().as_microsecond();
    Row { head: Head { key, line, host, place, share, created, due: 0, attempts: 0, bytes: 0 }, body: String::new() }
}

fn write(store: &Store, rows: Vec<Row>) {
    store.run_now(move |file| table::add(file, Notes::NAME, &rows)).unwrap();
}

/// Key, attempts, error, and whether the row was given up, as stored.
type Stored = (String, u32, Option<String>, bool);

/// Reads all rows; fails while the disk is full.
fn read(store: &Store) -> io::Result<Vec<Stored>> {
    let read = |file: &Connection| {
        let mut rows = file.prepare("SELECT key, attempts, error, given_up IS NOT NULL FROM outbox ORDER BY key")?;
        rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?.collect()
    };
    store.run_now(read)
}

fn stored(store: &Store) -> Vec<Stored> {
    read(store).unwrap()
}

/// Runs a worker with these results until the condition holds, then stops it like a killed process. Returns the
/// attempts as key and number.
fn work(store: &Store, answers: &[Answer], is_so: impl Fn(&[(String, u32)], &[Stored]) -> bool) -> Vec<(String, u32)> {
    let notes = Notes { answers: Mutex::new(answers.to_vec()), ..Notes::default() };
    let attempts = Arc::clone(&notes.attempts);
    let wake = Arc::<TaskWaker>::default();
    let worker = Worker::new(store.clone(), notes);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::spawn(worker.keep(Intake::Woken(wake)));
        loop {
            tokio::time::sleep(Duration::from_millis(2)).await;
            let made = attempts.lock().unwrap().clone();
            if read(store).is_ok_and(|rows| is_so(&made, &rows)) {
                return made;
            }
        }
    })
}

fn bench(rows: &[(&str, &str)]) -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::start(DataDirectory::of(directory.path())).unwrap();
    write(&store, rows.iter().map(|(key, line)| row(key, line)).collect());
    (directory, store)
}

fn numbers(made: &[(String, u32)], key: &str) -> Vec<u32> {
    made.iter().filter(|(made, _)| made == key).map(|(_, number)| *number).collect()
}

#[test]
fn rows_are_sent_in_the_order_of_their_line_and_leave_the_store() {
    let (_directory, store) = bench(&[("a", "1"), ("b", "1"), ("c", "2")]);
    let made = work(&store, &[Answer::Busy], |_, rows| rows.is_empty());
    assert_eq!([numbers(&made, "a"), numbers(&made, "b"), numbers(&made, "c")], [vec![1, 2], vec![1], vec![1]]);
    let last = |key: &str| made.iter().rposition(|(made, _)| made == key);
    assert!(last("a") < last("b"), "{made:?}");
}

#[test]
fn rows_of_the_previous_process_are_sent_before_new_ones_of_their_line() {
    let (_directory, store) = bench(&[("a", "1"), ("b", "1")]);
    let notes = Notes::default();
    let attempts = Arc::clone(&notes.attempts);
    let (hand, handed) = mpsc::channel(1);
    hand.try_send(Handed::New(Box::new(row("c", "1")))).unwrap();
    drop(hand);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(Worker::new(store.clone(), notes).keep(Intake::Handed(handed)));
    assert_eq!(*attempts.lock().unwrap(), ["a", "b", "c"].map(|key| (key.to_owned(), 1)));
    assert_eq!(stored(&store), []);
}

#[test]
fn an_attempt_that_the_end_of_the_process_cuts_is_repeated_and_failures_are_kept() {
    let (_directory, store) = bench(&[("a", "1")]);
    let made =
        work(&store, &[Answer::Busy, Answer::Busy, Answer::Hangs], |made, rows| made.len() == 3 && rows[0].1 == 2);
    assert_eq!(numbers(&made, "a"), [1, 2, 3]);
    assert_eq!(stored(&store), [("a".to_owned(), 2, Some("busy".to_owned()), false)]);
    let made = work(&store, &[], |_, rows| rows.is_empty());
    assert_eq!(numbers(&made, "a"), [3]);
}

#[test]
fn a_row_that_is_given_up_is_kept_until_its_place_takes_another_one() {
    let (_directory, store) = bench(&[("a", "1")]);
    let is_given_up = |_: &[(String, u32)], rows: &[Stored]| rows[0].3;
    assert_eq!(work(&store, &[Answer::Refused], is_given_up).len(), 1);
    assert_eq!(stored(&store), [("a".to_owned(), 1, Some("refused".to_owned()), true)]);
    write(&store, vec![row("b", "2")]);
    let made = work(&store, &[], |_, rows| rows.is_empty());
    assert_eq!((numbers(&made, "a").len(), numbers(&made, "b").len()), (0, 1));
}

#[test]
fn a_row_that_a_full_disk_does_not_let_go_is_not_sent_again() {
    let (_directory, store) = bench(&[("a", "1"), ("b", "1")]);
    let made = work(&store, &[Answer::TakenOnFullDisk], |_, rows| rows.is_empty());
    // The second row may not be readable from the store at first.
    assert_eq!((numbers(&made, "a"), numbers(&made, "b").len()), (vec![1], 1));
}
