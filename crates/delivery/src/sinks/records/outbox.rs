//! Sends waiting records to the URL: several concurrently while it accepts them, one at a time with growing intervals
//! while it does not.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::TryRng as _;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::Figures;
use super::post::{Connection, Refusal, Target};
use super::queue::{self, Queue, Stored, Ticket};
use crate::sinks::store::disk::{Lines, named};
use crate::sinks::store::{Commit, Record, Store};
use trunkgate_system::backoff::Backoff;
use trunkgate_system::limits::{CDR_AT_ONCE, CDR_PAUSE_SECONDS, CDR_REFUSALS};
use trunkgate_system::problem::Failure;

/// File for records that the URL permanently rejects, in the directory of the store.
const REFUSED: &str = "refused.jsonl";
/// Retry intervals while the endpoint rejects everything, and for a single rejected record.
const PAUSES: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(CDR_PAUSE_SECONDS));

/// Waiting records and their destination, shared by the writer and the sender.
#[derive(Debug)]
pub(super) struct Outbox {
    store: Store,
    /// Finished records that could not be removed from the store.
    unremoved: Arc<Mutex<BTreeSet<Ticket>>>,
    inner: Mutex<Inner>,
    /// Signals new work.
    woken: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    way: Option<(Queue, Arc<Target>)>,
    /// Records under way, including those to a previous destination.
    sending: BTreeSet<Ticket>,
    /// Number of changes of the destination, used to ignore results of earlier requests.
    version: u64,
    /// True if no further records follow.
    ending: bool,
}

/// Destination of records.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) target: Arc<Target>,
    /// Maximum total size of the waiting records in bytes.
    pub(super) most_bytes: u64,
    /// Records waiting in the store; `None`: already known.
    pub(super) stored: Option<Vec<Stored>>,
}

/// Records being written to the store.
pub(super) struct Queueing {
    sids: BTreeSet<String>,
    bytes: u64,
    stored: Pin<Box<dyn Future<Output = io::Result<Vec<Stored>>> + Send>>,
}

impl std::fmt::Debug for Queueing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queueing").field("sids", &self.sids).finish_non_exhaustive()
    }
}

impl Queueing {
    /// Waits until the records are stored.
    pub(super) async fn stored(&mut self) -> io::Result<Vec<Stored>> {
        (&mut self.stored).await
    }
}

/// Record to be sent.
struct Letter {
    ticket: Ticket,
    target: Arc<Target>,
    version: u64,
}

/// Result of sending a record.
struct Answer {
    ticket: Ticket,
    /// Body of the record; `None`: it was not in the store.
    json: Option<Vec<u8>>,
    version: u64,
    outcome: Result<(), Refusal>,
    connection: Option<Connection>,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn new(store: Store) -> Outbox {
        Outbox { store, unremoved: Arc::default(), inner: Mutex::default(), woken: Notify::new() }
    }

    /// Runs a function on the queue, if there is a destination.
    pub(super) fn with_queue<T>(&self, work: impl FnOnce(&mut Queue) -> T) -> Option<T> {
        self.lock().way.as_mut().map(|(queue, _)| work(queue))
    }

    /// Starts to write records to the store. Returns the SIDs of records that exceed the queue and are dropped.
    pub(super) fn begin(&self, records: Vec<Record>, figures: &Figures) -> (Vec<String>, Queueing) {
        let (mut fits, mut lost) = (Vec::new(), Vec::new());
        for record in records {
            let bytes = record.json.len() as u64;
            // Without a destination the records are dropped.
            match self.with_queue(|queue| queue.reserve(bytes)) {
                Some(true) => fits.push(record),
                Some(false) => {
                    full(figures);
                    lost.push(record.sid);
                }
                None => lost.push(record.sid),
            }
        }
        let sids = fits.iter().map(|record| record.sid.clone()).collect();
        let bytes = fits.iter().map(|record| record.json.len() as u64).sum();
        let stored = Box::pin(self.store.run(Commit::Soon, move |store| queue::add(store, &fits)));
        (lost, Queueing { sids, bytes, stored })
    }

    /// Handles the result of writing records; returns the SIDs of records that need no further attempt.
    pub(super) fn stored(
        &self,
        queueing: &Queueing,
        stored: io::Result<Vec<Stored>>,
        figures: &Figures,
    ) -> Option<BTreeSet<String>> {
        self.with_queue(|queue| queue.release(queueing.bytes));
        match stored {
            Ok(stored) => {
                self.with_queue(|queue| queue.added(stored));
                if !queueing.sids.is_empty() && figures.store.took() {
                    tracing::info!("the queue of call records accepts records again");
                }
                self.woken.notify_one();
                Some(queueing.sids.clone())
            }
            Err(error) => {
                self.refused(&error, figures);
                None
            }
        }
    }

    /// Records that the store refuses access.
    pub(super) fn refused(&self, error: &io::Error, figures: &Figures) {
        figures.url.failures.add(1);
        if figures.store.failed(Failure::of(error, self.store.directory())) {
            tracing::error!(reason = "cdr_failed", "call records cannot be queued for the URL: {error}");
        }
    }

    /// Changes the destination; waiting records are kept.
    pub(super) fn change(&self, way: Option<Way>) {
        let mut inner = self.lock();
        let old = inner.way.take().map(|(queue, _)| queue);
        inner.way = way.map(|Way { target, most_bytes, stored }| {
            let mut queue = match (stored, old) {
                (None, Some(old)) => old,
                (stored, _) => Queue::new(stored.unwrap_or_default(), most_bytes),
            };
            queue.wake_all();
            queue.limit(most_bytes);
            (queue, target)
        });
        let Inner { way, sending, .. } = &mut *inner;
        if let Some((queue, _)) = way {
            sending.iter().for_each(|ticket| queue.take(ticket));
            let unremoved = self.unremoved.lock().unwrap_or_else(PoisonError::into_inner);
            unremoved.iter().for_each(|ticket| queue.done(ticket));
        }
        inner.version += 1;
        drop(inner);
        self.woken.notify_one();
    }

    /// Adds stored records of an earlier process that could not be read at the start.
    pub(super) fn restore(&self, stored: Vec<Stored>) {
        let mut inner = self.lock();
        let Inner { way, sending, .. } = &mut *inner;
        if let Some((queue, _)) = way {
            queue.added(stored);
            sending.iter().for_each(|ticket| queue.take(ticket));
            let unremoved = self.unremoved.lock().unwrap_or_else(PoisonError::into_inner);
            unremoved.iter().for_each(|ticket| queue.done(ticket));
        }
        drop(inner);
        self.woken.notify_one();
    }

    /// Returns whether there is a destination.
    pub(super) fn has_way(&self) -> bool {
        self.lock().way.is_some()
    }

    /// Announces that no further records follow.
    pub(super) fn end(&self) {
        self.lock().ending = true;
        self.woken.notify_one();
    }

    fn next(&self, now: Instant) -> Result<Letter, Option<Instant>> {
        let mut inner = self.lock();
        let version = inner.version;
        let Inner { way, sending, .. } = &mut *inner;
        let Some((queue, target)) = way else { return Err(None) };
        let ticket = queue.next(now)?;
        sending.insert(ticket.clone());
        Ok(Letter { ticket, target: Arc::clone(target), version })
    }

    /// Removes a finished record.
    fn done(&self, ticket: &Ticket) {
        self.with_queue(|queue| queue.done(ticket));
        // A failed removal is retried with the next one.
        let unremoved = Arc::clone(&self.unremoved);
        let mut ids = std::mem::take(&mut *unremoved.lock().unwrap_or_else(PoisonError::into_inner));
        ids.insert(ticket.clone());
        let gone = ids.clone();
        let tell = move |removed: io::Result<()>| {
            if removed.is_err() {
                unremoved.lock().unwrap_or_else(PoisonError::into_inner).extend(ids);
            }
        };
        self.store.submit(Commit::Now, move |store| queue::remove(store, &gone), tell);
    }

    /// Appends a permanently rejected record to a file for the operator.
    fn set_aside(&self, ticket: &Ticket, json: &[u8]) -> io::Result<PathBuf> {
        let path = self.store.directory().join(REFUSED);
        let mut lines = Lines::open(&path)?;
        let most_bytes = self.with_queue(|queue| queue.most_bytes()).unwrap_or(0);
        if lines.bytes() + json.len() as u64 > most_bytes {
            return Err(named(&path, &io::Error::from(io::ErrorKind::QuotaExceeded)));
        }
        lines.append(&[json, b"\n"].concat())?;
        self.done(ticket);
        Ok(path)
    }
}

/// Counts a record that is dropped because the queue is full.
fn full(figures: &Figures) {
    figures.url.lost.add(1);
    let kept = "full: the oldest records are kept, new ones are not sent";
    if figures.store.failed(kept.to_owned().into()) {
        tracing::error!(reason = "cdr_failed", "the queue of call records is {kept}");
    }
}

/// Sends waiting records until the outbox ends; then those that need no pause.
pub(super) struct Sender {
    outbox: Arc<Outbox>,
    figures: Arc<Figures>,
    under_way: JoinSet<Answer>,
    connections: Vec<Connection>,
    /// Number of consecutive pauses.
    failures: u32,
    rests: Option<Instant>,
    delivered: u64,
    version: u64,
    /// True if the endpoint permanently rejects all records (410).
    gone: bool,
}

impl Sender {
    pub(super) fn new(outbox: Arc<Outbox>, figures: Arc<Figures>) -> Sender {
        Sender {
            outbox,
            figures,
            under_way: JoinSet::new(),
            connections: Vec::new(),
            failures: 0,
            rests: None,
            delivered: 0,
            version: 0,
            gone: false,
        }
    }

    pub(super) async fn run(mut self) {
        let outbox = Arc::clone(&self.outbox);
        loop {
            let (version, ending, waiting) = {
                let inner = outbox.lock();
                (inner.version, inner.ending, inner.way.as_ref().map_or(0, |(queue, _)| queue.len()))
            };
            self.figures.url.waiting.set(waiting as u64);
            if version != self.version {
                (self.version, self.failures, self.rests, self.gone) = (version, 0, None, false);
                self.connections.clear();
                self.figures.url.took();
            }
            if ending && (waiting == 0 || self.failures > 0 || self.gone) {
                return;
            }
            let wake = self.begin(Instant::now());
            tokio::select! {
                Some(answer) = self.under_way.join_next() => {
                    if let Ok(answer) = answer {
                        self.settle(answer);
                    }
                }
                () = outbox.woken.notified() => {}
                () = sleep(wake) => {}
            }
        }
    }

    /// Starts due requests; returns the time of the next check.
    fn begin(&mut self, now: Instant) -> Option<Instant> {
        loop {
            let at_once = if self.failures > 0 { 1 } else { CDR_AT_ONCE };
            if self.gone || self.under_way.len() >= at_once {
                return None;
            }
            if let Some(at) = self.rests.filter(|at| *at > now) {
                return Some(at);
            }
            let Letter { ticket, target, version } = match self.outbox.next(now) {
                Ok(letter) => letter,
                Err(soonest) => return soonest,
            };
            let kept = self.connections.pop();
            let wanted = ticket.clone();
            let stored = self.outbox.store.run(Commit::Now, move |store| queue::json(store, &wanted));
            self.under_way.spawn(async move {
                let (json, (outcome, connection)) = match stored.await {
                    Ok(Some(json)) => (Some(json.clone()), target.post(kept, &ticket.sid, json).await),
                    Ok(None) => (None, (Ok(()), kept)),
                    Err(error) => (Some(Vec::new()), (Err(Refusal::Unheard(format!("not read: {error}"))), kept)),
                };
                Answer { ticket, json, version, outcome, connection }
            });
        }
    }

    fn settle(&mut self, answer: Answer) {
        let Answer { ticket, json, version, outcome, connection } = answer;
        self.outbox.lock().sending.remove(&ticket);
        if version != self.outbox.lock().version {
            // Of the result for an earlier destination only success counts.
            match outcome {
                Ok(()) => self.outbox.done(&ticket),
                Err(_) => drop(self.outbox.with_queue(|queue| queue.wake(ticket.id))),
            }
            return;
        }
        self.connections.extend(connection);
        let Some(json) = json else {
            tracing::error!(call = %ticket.sid, reason = "cdr_failed", "a call record is not in the store any more");
            self.figures.url.lost.add(1);
            return self.outbox.done(&ticket);
        };
        let Err(refusal) = outcome else {
            self.outbox.done(&ticket);
            self.delivered += 1;
            (self.failures, self.rests) = (0, None);
            if self.figures.url.took() {
                tracing::info!("call records are delivered again");
            }
            return;
        };
        let now = Instant::now();
        self.tell(&refusal);
        self.gone |= refusal == Refusal::Gone;
        let asked = if let Refusal::Answered(_, later) = refusal { later } else { None };
        // Concurrent requests that fail together count as one failure.
        if self.rests.is_none_or(|at| at <= now) {
            self.failures = self.failures.saturating_add(1);
            self.rests = Some(now + asked.unwrap_or_default().max(pause(self.failures)));
        }
        let answered = matches!(refusal, Refusal::Answered(..)).then_some(self.delivered);
        let rests = |attempts| now + pause(attempts);
        let counted = self.outbox.with_queue(|queue| queue.put_back(ticket.id, answered, rests));
        if let Some((CDR_REFUSALS.., 1..)) = counted {
            self.set_aside(&ticket, &json, &refusal);
        }
    }

    /// Sets a record aside because the endpoint accepts others but not this one.
    fn set_aside(&mut self, ticket: &Ticket, json: &[u8], refusal: &Refusal) {
        match self.outbox.set_aside(ticket, json) {
            Ok(path) => {
                self.figures.url.lost.add(1);
                tracing::error!(
                    call = %ticket.sid, reason = "cdr_refused",
                    "call record rejected {CDR_REFUSALS} times while others were accepted: {refusal}. It was moved to {}",
                    path.display()
                );
            }
            Err(error) => tracing::debug!(call = %ticket.sid, "a refused record cannot be put aside: {error}"),
        }
    }

    fn tell(&self, refusal: &Refusal) {
        let place = self.outbox.lock().way.as_ref().map(|(_, target)| target.place().to_owned()).unwrap_or_default();
        let problem = format!("{place}: {refusal}");
        if self.figures.url.failed(problem.clone().into()) {
            tracing::error!(
                reason = "cdr_failed",
                "call records are not delivered: {problem}; they are kept on disk and retried"
            );
        }
    }
}

/// Returns the pause after this many failed attempts.
fn pause(attempts: u32) -> Duration {
    PAUSES.pause(attempts, rand::rngs::SysRng.try_next_u32().unwrap_or_default())
}

async fn sleep(until: Option<Instant>) {
    match until {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;

    use super::*;
    use crate::sinks::records::tests::{record, store};
    use trunkgate_config::CdrUrl;

    fn sender(folder: &std::path::Path) -> Sender {
        let settings = CdrUrl {
            url: "http://127.0.0.1:9/?key=hush".to_owned(),
            secrets: Vec::new(),
            token: None,
            ca: None,
            timeout: Duration::from_secs(20),
            most_waiting: 1 << 20,
        };
        let target = Arc::new(Target::new(settings).unwrap());
        let outbox = Arc::new(Outbox::new(store(folder)));
        outbox.change(Some(Way { target, most_bytes: 1 << 20, stored: Some(Vec::new()) }));
        Sender::new(outbox, Arc::default())
    }

    /// Hands over a record; returns whether it was stored.
    fn take(sender: &Sender, sid: &str) -> bool {
        let (lost, mut queueing) = sender.outbox.begin(vec![record(sid)], &sender.figures);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let stored = runtime.block_on(queueing.stored());
        sender.outbox.stored(&queueing, stored, &sender.figures).unwrap();
        lost.is_empty()
    }

    /// Simulates the result of the next record due at a time; returns its SID.
    fn answer(sender: &mut Sender, at: Instant, outcome: Result<(), Refusal>) -> String {
        let Letter { ticket, version, .. } = sender.outbox.next(at).ok().unwrap();
        let sid = ticket.sid.clone();
        let json = Some(record(&sid).json.to_vec());
        sender.settle(Answer { ticket, json, version, outcome, connection: None });
        sid
    }

    fn bad_request() -> Result<(), Refusal> {
        Err(Refusal::Answered(StatusCode::BAD_REQUEST, None))
    }

    #[test]
    fn a_record_that_alone_is_refused_again_and_again_is_put_aside() {
        let directory = tempfile::tempdir().unwrap();
        let mut sender = sender(directory.path());
        let late = Instant::now() + Duration::from_secs(86_400);
        assert!(take(&sender, "CA1"));
        // While everything is rejected, the endpoint is at fault and no record is set aside.
        for _ in 0..3 * CDR_REFUSALS {
            assert_eq!(answer(&mut sender, late, bad_request()), "CA1");
        }
        assert!(take(&sender, "CA2"));
        let one = Instant::now();
        assert_eq!(answer(&mut sender, one, Ok(())), "CA2", "it does not keep the others waiting");
        assert_eq!(answer(&mut sender, late, bad_request()), "CA1");
        assert!(sender.outbox.next(late).is_err());
        assert_eq!((sender.figures.url.lost.get(), sender.outbox.with_queue(|queue| queue.len())), (1, Some(0)));
        let aside = std::fs::read_to_string(directory.path().join("refused.jsonl")).unwrap();
        assert!(aside.starts_with("{\"sid\":\"CA1\"") && aside.lines().count() == 1, "{aside}");
        drop(sender);
        assert!(store(directory.path()).run_now(queue::read).unwrap().is_empty(), "nor do they wait after a restart");
    }

    #[test]
    fn an_endpoint_that_fails_is_asked_seldom_and_by_one_record_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let mut sender = sender(directory.path());
        for n in 0..8 {
            assert!(take(&sender, &format!("CA{n}")));
        }
        let now = Instant::now();
        // Four concurrent requests fail together.
        for _ in 0..CDR_AT_ONCE {
            answer(&mut sender, now, Err(Refusal::Unheard("connection refused".to_owned())));
        }
        assert_eq!(sender.failures, 1);
        assert!(sender.begin(now).is_some_and(|at| at > now), "it rests");
        let later = Refusal::Answered(StatusCode::SERVICE_UNAVAILABLE, Some(Duration::from_secs(600)));
        sender.rests = None;
        answer(&mut sender, now, Err(later));
        assert!(sender.rests.is_some_and(|at| at >= now + Duration::from_secs(600)), "as it asks");
        let problems = sender.figures.problems();
        assert_eq!(problems.len(), 1);
        assert!(
            problems[0]
                .to_string()
                .starts_with("call records are not delivered to the URL: http://127.0.0.1:9/: it answered 503"),
            "{problems:?}"
        );
        sender.rests = None;
        answer(&mut sender, now, Ok(()));
        assert_eq!((sender.failures, sender.figures.problems().len()), (0, 0));
    }

    #[test]
    fn the_oldest_stay_in_a_full_queue_and_that_is_told_once() {
        let directory = tempfile::tempdir().unwrap();
        let sender = sender(directory.path());
        sender.outbox.with_queue(|queue| queue.limit(1000));
        let kept = (0..10).filter(|n| take(&sender, &format!("CA{n}"))).count();
        assert_eq!(sender.outbox.with_queue(|queue| queue.len()), Some(kept));
        assert!(kept > 0 && sender.figures.url.lost.get() == 10 - kept as u64);
        assert_eq!(sender.outbox.next(Instant::now()).ok().unwrap().ticket.sid, "CA0");
        assert!(
            sender.figures.problems()[0].to_string().contains("for the URL: full"),
            "{:?}",
            sender.figures.problems()
        );
    }

    #[test]
    fn what_was_not_delivered_waits_after_a_restart_in_its_order_and_no_record_twice() {
        let directory = tempfile::tempdir().unwrap();
        let mut sender = sender(directory.path());
        for n in [0, 1, 2, 1] {
            take(&sender, &format!("CA{n}"));
        }
        assert_eq!(answer(&mut sender, Instant::now(), Ok(())), "CA0");
        drop(sender);
        let stored = store(directory.path()).run_now(queue::read).unwrap();
        let mut queue = Queue::new(stored, 1 << 20);
        let sids: Vec<String> = std::iter::from_fn(|| Some(queue.next(Instant::now()).ok()?.sid)).collect();
        assert_eq!(sids, ["CA1", "CA2"]);
    }
}
