//! Tests of the sender with a store and a receiver on loopback.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;

use trunkgate_call::{AppPlace, DocumentRequest};
use trunkgate_route::WebhookMethod;

use super::figures::CallbackCounts;
use super::*;
use crate::sinks::outbox::table;
use crate::sinks::store::Store;
use crate::sinks::store::disk::tests::refuse_changes;
use trunkgate_config::DataDirectory;
use trunkgate_system::limits::OUTBOX_WAITING;

/// HTTP server that responds with a list of statuses, then always with 200.
struct Receiver {
    url: String,
    bodies: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    fn start(statuses: &'static [u16]) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let bodies: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&bodies);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let body = read(&stream);
                let number = {
                    let mut bodies = kept.lock().unwrap();
                    bodies.push(body);
                    bodies.len() - 1
                };
                let status = statuses.get(number).unwrap_or(&200);
                let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                (&stream).write_all(answer.as_bytes()).unwrap();
            }
        });
        Receiver { url, bodies }
    }

    fn bodies(&self) -> Vec<String> {
        self.bodies.lock().unwrap().clone()
    }
}

fn read(stream: &TcpStream) -> String {
    let (mut reader, mut length) = (BufReader::new(stream), 0);
    for line in reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()) {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    String::from_utf8(body).unwrap()
}

fn callback(url: &str, event: &str, allow_private: bool) -> AppCallback {
    let request = DocumentRequest {
        place: AppPlace::Url(url.to_owned()),
        method: WebhookMethod::Post,
        purpose: "status",
        parameters: vec![("Event".to_owned(), event.to_owned())],
    };
    AppCallback { call: "CA1".into(), about: "CA1".into(), app: "ivr".into(), allow_private, request }
}

fn means() -> CallbackHooks {
    let sending = |allow_private| (ReachRules { allow_private, ..ReachRules::default() }, None);
    CallbackHooks { sending: Box::new(sending), tried: Box::new(|_| {}) }
}

fn store(folder: &std::path::Path) -> Store {
    Store::start(DataDirectory::of(folder)).unwrap()
}

/// Sends callbacks until none of them can be sent without a pause; returns the counters.
fn send(store: &Store, callbacks: Vec<AppCallback>) -> Arc<CallbackFigures> {
    run(store, callbacks, |_| true)
}

/// Sends callbacks until a condition holds; returns the counters.
fn run(store: &Store, callbacks: Vec<AppCallback>, is_done: fn(&CallbackFigures) -> bool) -> Arc<CallbackFigures> {
    let figures: Arc<CallbackFigures> = Arc::default();
    let (desk, incoming) = desk(&figures);
    callbacks.into_iter().for_each(|callback| desk.hand_over(Box::new(callback)));
    let sender = CallbackWorker::new(store.clone(), means(), Arc::clone(&figures));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let sending = tokio::spawn(sender.keep(incoming));
        while !is_done(&figures) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        drop(desk);
        sending.await.unwrap();
    });
    figures
}

fn is_all_over(figures: &CallbackFigures) -> bool {
    figures.counts().get("ivr").is_some_and(|counts| counts.waiting == 0)
}

/// Returns the numbers of waiting, delivered and given-up callbacks.
fn counts(figures: &CallbackFigures) -> (u64, u64, u64) {
    let counts = figures.counts()["ivr"].clone();
    (counts.waiting, counts.delivered, counts.given_up)
}

fn stored(store: &Store) -> usize {
    store.run_now(|file| table::heads(file, NAME, OUTBOX_WAITING)).unwrap().len()
}

#[test]
fn what_is_delivered_is_in_no_store_and_what_is_not_is_sent_by_the_next_process() {
    let (directory, receiver) = (tempfile::tempdir().unwrap(), Receiver::start(&[200, 500, 503]));
    let first = store(directory.path());
    let events = ["one", "two", "three"].map(|event| callback(&receiver.url, event, true));
    let figures = send(&first, events.into());
    assert_eq!((counts(&figures), receiver.bodies().len()), ((2, 1, 0), 2), "the third waits for the second");
    drop(first);
    let second = store(directory.path());
    assert_eq!(stored(&second), 2);
    let figures = run(&second, vec![], is_all_over);
    assert_eq!(counts(&figures), (0, 2, 0));
    assert_eq!(receiver.bodies(), ["Event=one", "Event=two", "Event=two", "Event=two", "Event=three"]);
    assert_eq!(stored(&second), 0);
}

#[test]
fn on_a_full_disk_callbacks_are_sent_and_stored_once_there_is_room() {
    let (directory, receiver) = (tempfile::tempdir().unwrap(), Receiver::start(&[200, 500, 500]));
    let store = store(directory.path());
    refuse_changes(true);
    let figures = send(&store, vec![callback(&receiver.url, "one", true)]);
    assert_eq!(counts(&figures), (0, 1, 0));
    let problem = figures.problems()[0].to_string();
    assert!(problem.starts_with("callbacks are not stored: ") && problem.contains("a restart would lose"), "{problem}");
    // The disk has room again at the second attempt.
    let is_retried = |figures: &CallbackFigures| {
        if figures.counts().get("ivr").is_some_and(|counts| counts.retried == 0) {
            refuse_changes(false);
        }
        figures.counts().get("ivr").is_some_and(|counts| counts.retried > 0)
    };
    let figures = run(&store, vec![callback(&receiver.url, "two", true)], is_retried);
    assert_eq!((counts(&figures), stored(&store)), ((1, 0, 0), 1));
    assert!(figures.problems().iter().all(|problem| !problem.to_string().contains("not stored")));
}

#[test]
fn one_that_is_a_day_old_is_tried_once_more_and_given_up() {
    let (directory, receiver) = (tempfile::tempdir().unwrap(), Receiver::start(&[500, 500]));
    let store = store(directory.path());
    let day_ago = jiff::Timestamp::now().as_microsecond() - 86_500 * 1_000_000;
    let old = StoredCallback::of(callback(&receiver.url, "old", true), day_ago).unwrap();
    store.run_now(move |file| write(file, &old).map(drop)).unwrap();
    let figures = run(&store, vec![], is_all_over);
    assert_eq!((counts(&figures), receiver.bodies().len(), stored(&store)), ((0, 0, 1), 1, 0));
}

#[test]
fn a_private_address_is_not_reached_and_a_url_that_is_none_given_up() {
    let (directory, receiver) = (tempfile::tempdir().unwrap(), Receiver::start(&[]));
    let store = store(directory.path());
    let figures = send(&store, vec![callback(&receiver.url, "one", false)]);
    assert_eq!((counts(&figures), receiver.bodies().len()), ((1, 0, 0), 0));
    let figures = run(&store, vec![callback("nowhere", "one", true)], |figures| {
        figures.counts().get("ivr").is_some_and(|counts| counts.given_up == 1)
    });
    assert_eq!(counts(&figures), (1, 0, 1));
}

#[test]
fn what_the_store_has_for_a_dead_receiver_keeps_no_other_out() {
    let (directory, receiver) = (tempfile::tempdir().unwrap(), Receiver::start(&[]));
    let store = store(directory.path());
    let now = jiff::Timestamp::now().as_microsecond();
    let dead = StoredCallback::of(callback("http://127.0.0.1:1/", "old", true), now).unwrap();
    store
        .run_now(move |file| {
            let all =
                (0..OUTBOX_WAITING).map(|n| StoredCallback { token: n.to_string(), ..dead.clone() }.row().unwrap());
            table::add(file, NAME, &all.collect::<Vec<_>>())
        })
        .unwrap();
    let figures: Arc<CallbackFigures> = Arc::default();
    let (desk, incoming) = desk(&figures);
    let sender = CallbackWorker::new(store.clone(), means(), Arc::clone(&figures));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let wait = |is_done: fn(&CallbackCounts) -> bool| {
        let figures = Arc::clone(&figures);
        async move {
            // A lost callback would make this loop wait forever.
            while figures.counts().get("ivr").is_none_or(|counts| counts.dropped < 2)
                && !figures.counts().get("ivr").is_some_and(is_done)
            {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        }
    };
    runtime.block_on(async {
        let sending = tokio::spawn(sender.keep(incoming));
        wait(|counts| counts.waiting == OUTBOX_WAITING as u64).await;
        desk.hand_over(Box::new(callback(&receiver.url, "new", true)));
        wait(|counts| counts.delivered == 1).await;
        drop(desk);
        sending.await.unwrap();
    });
    assert_eq!((receiver.bodies(), figures.counts()["ivr"].dropped), (vec!["Event=new".to_owned()], 1));
    assert_eq!(counts(&figures), (OUTBOX_WAITING as u64 - 1, 1, 0));
}
