//! Tests of the endpoint's responses, and of the room for waiting records.

use hyper::StatusCode;
use tokio::sync::mpsc;

use super::*;
use crate::sinks::outbox::{Failure as Failed, Handed, Intake, Outcome, Worker};
use crate::sinks::records::tests::{record, store};
use trunkgate_config::WebhookReceiver;

fn target() -> PostTarget {
    let settings = WebhookReceiver {
        url: "http://127.0.0.1:9/?key=hush".to_owned(),
        secrets: Vec::new(),
        token: None,
        ca: None,
        timeout: Duration::from_secs(20),
    };
    PostTarget::new(settings).unwrap()
}

fn sender(store: &Store, most_bytes: u64) -> Sender {
    let endpoint = Endpoint::default();
    endpoint.set(Some((target(), most_bytes)));
    Sender::new(store, Arc::new(endpoint), Arc::default())
}

/// Evaluates a response to a record; returns whether the record is given up.
fn answer(sender: &Sender, sid: &str, outcome: Result<(), PostRefusal>) -> bool {
    sender.judge(&row(&record(sid)), &target(), outcome).is_err_and(|refusal| refusal.is_final)
}

fn bad_request() -> Result<(), PostRefusal> {
    Err(PostRefusal::Answered(StatusCode::BAD_REQUEST, None))
}

/// Returns the SIDs of the records that wait in the store.
fn waiting(store: &Store) -> Vec<String> {
    let heads = store.run_now(|store| table::heads(store, NAME, usize::MAX)).unwrap();
    heads.into_iter().map(|head| head.key).collect()
}

fn add(store: &Store, sid: &str) {
    let row = row(&record(sid));
    store.run_now(move |store| table::add(store, NAME, &[row])).unwrap();
}

#[test]
fn a_record_that_alone_is_refused_again_and_again_is_put_aside() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let sender = sender(&store, 1 << 20);
    add(&store, "CA1");
    // An endpoint that accepts nothing is at fault, not the record.
    for _ in 0..3 * CDR_REFUSALS {
        assert!(!answer(&sender, "CA1", bad_request()));
    }
    assert!(!answer(&sender, "CA2", Ok(())));
    assert!(answer(&sender, "CA1", bad_request()));
    sender.note("CA1", &NAME.into(), Event::Entered(0));
    sender.note("CA1", &NAME.into(), Event::Over(0, false));
    assert_eq!((sender.figures.url.lost.get(), sender.figures.url.waiting.get()), (1, 0));
    let aside = std::fs::read_to_string(directory.path().join("refused.jsonl")).unwrap();
    assert!(aside.starts_with("{\"sid\":\"CA1\"") && aside.lines().count() == 1, "{aside}");
    let over = move |store: &Connection| {
        let failure = Failed { attempts: 1, at: 0, due: 0, error: String::new() };
        table::settle(store, NAME, "CA1", &Outcome::<()>::GivenUp(failure))?;
        sender.settle(store, &[])
    };
    store.run_now(over).unwrap();
    assert!(waiting(&store).is_empty(), "nor do they wait after a restart");
}

#[test]
fn an_endpoint_that_fails_is_asked_seldom_and_by_one_record_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let sender = sender(&store(directory.path()), 1 << 20);
    let now = Instant::now();
    assert_eq!(sender.most(now), (CDR_AT_ONCE, None));
    // Four concurrent requests fail together.
    for n in 0..CDR_AT_ONCE {
        answer(&sender, &format!("CA{n}"), Err(PostRefusal::Unheard("connection refused".to_owned())));
    }
    assert_eq!(sender.endpoint.lock().failures, 1);
    assert!(matches!(sender.most(now), (0, Some(at)) if at > now), "it rests");
    let later = PostRefusal::Answered(StatusCode::SERVICE_UNAVAILABLE, Some(Duration::from_secs(600)));
    sender.endpoint.lock().rests = None;
    assert_eq!(sender.most(now), (1, None));
    answer(&sender, "CA0", Err(later));
    assert!(sender.endpoint.lock().rests.is_some_and(|at| at >= now + Duration::from_secs(600)), "as it asks");
    let problems = sender.figures.problems();
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0]
            .to_string()
            .starts_with("call records are not delivered to the URL: http://127.0.0.1:9/: it answered 503"),
        "{problems:?}"
    );
    sender.endpoint.lock().rests = None;
    answer(&sender, "CA0", Ok(()));
    assert_eq!((sender.endpoint.lock().failures, sender.figures.problems().len()), (0, 0));
}

#[test]
fn the_oldest_stay_in_a_full_queue_and_that_is_told_once() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let sender = sender(&store, 1000);
    let (figures, worker) = (Arc::clone(&sender.figures), Worker::new(store.clone(), sender));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let kept = runtime.block_on(async {
        let (sending, handed) = mpsc::channel(10);
        let worker = tokio::spawn(worker.keep(Intake::Handed(handed)));
        for n in 0..10 {
            let sid = format!("CA{n}");
            add(&store, &sid);
            sending.send(Handed::Stored(row(&record(&sid)).head)).await.unwrap();
        }
        drop(sending);
        worker.await.unwrap();
        waiting(&store)
    });
    assert!(!kept.is_empty() && figures.url.lost.get() == 10 - kept.len() as u64, "{kept:?}");
    assert_eq!(kept[0], "CA0");
    let problems = figures.problems();
    assert!(problems.iter().any(|one| one.to_string().contains("for the URL: full")), "{problems:?}");
}

#[test]
fn what_was_not_delivered_waits_after_a_restart_in_its_order_and_no_record_twice() {
    let directory = tempfile::tempdir().unwrap();
    let first = store(directory.path());
    for n in [0, 1, 2, 1] {
        add(&first, &format!("CA{n}"));
    }
    first.run_now(|store| table::settle(store, NAME, "CA0", &Outcome::Delivered(()))).unwrap();
    drop(first);
    assert_eq!(waiting(&store(directory.path())), ["CA1", "CA2"]);
}
