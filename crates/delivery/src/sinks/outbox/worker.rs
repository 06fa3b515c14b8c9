//! Worker of a delivery kind: connects the source of deliveries, the store, the queue and the attempts.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::TryRng as _;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep_until, timeout, timeout_at};
use trunkgate_system::clock;
use trunkgate_system::limits::{APP_LAST_SECONDS, OUTBOX_BATCH, RECORDS_PAUSE_MILLISECONDS};
use trunkgate_system::text::number;

use super::queue::{Added, Coming, Fate, Id, Queue};
use super::{Event, Failure, Handed, Head, Intake, Kind, Outcome, Refusal, Row, Settled, table};
use crate::sinks::store::{Commit, Store};

/// Pause between retries of a failed read of the store, and between two changes that store failed attempts.
const CHORES: Duration = Duration::from_millis(RECORDS_PAUSE_MILLISECONDS);

/// Worker that sends the rows of a delivery kind and repeats failed attempts.
pub(in crate::sinks) struct Worker<K: Kind> {
    store: Store,
    kind: Arc<K>,
    queue: Queue,
    /// Channel for results of the store's thread.
    news: (UnboundedSender<News<K>>, UnboundedReceiver<News<K>>),
    under_way: JoinSet<(Id, Attempt<K::Taken>)>,
    /// Number of pending insertions into the store.
    adding: usize,
    /// Outcomes that are not stored yet.
    outcomes: Outcomes<K>,
    /// Outcomes in the change of the store that is in progress.
    settling: Outcomes<K>,
    /// Time of the last change of the store that recorded outcomes; `None` before the first.
    settled: Option<Instant>,
    reading: Reading,
    /// Creation time of the newest row in microseconds since 1970, so that each row gets a later one.
    last_created: i64,
}

/// Latest outcome of each row, by the row's key.
type Outcomes<K> = HashMap<Arc<str>, Arc<Outcome<<K as Kind>::Taken>>>;

/// Result of a change or read of the store.
enum News<K: Kind> {
    Added(Vec<Id>, io::Result<()>),
    Settled(io::Result<K::Seen>),
    Read(io::Result<(Vec<Head>, K::Seen)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    Needed,
    UnderWay,
    /// A read is in progress and must be repeated, because the store may have changed since it began.
    Again,
    Done,
}

/// Result of an attempt by the worker.
enum Attempt<T> {
    Made(Result<T, Refusal>),
    /// The row has been removed from the store.
    Missing,
    Unread(io::Error),
}

impl<K: Kind> Worker<K> {
    /// Creates the worker of a delivery kind.
    pub(in crate::sinks) fn new(store: Store, kind: K) -> Worker<K> {
        let reading = if store.has_any() { Reading::Needed } else { Reading::Done };
        Worker {
            store,
            queue: Queue::new(kind.pace()),
            kind: Arc::new(kind),
            news: unbounded_channel(),
            under_way: JoinSet::new(),
            adding: 0,
            outcomes: HashMap::new(),
            settling: HashMap::new(),
            settled: None,
            reading,
            last_created: 0,
        }
    }

    /// Sends rows until the source ends, then waits for pending changes of the store, at most [`APP_LAST_SECONDS`].
    /// Meanwhile, rows handed over through a channel are still sent unless they wait for a back-off pause.
    pub(in crate::sinks) async fn keep(mut self, mut intake: Intake<K::New>) {
        let mut chores = interval(CHORES);
        chores.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.resume().await;
        loop {
            let next = self.begin(Instant::now());
            tokio::select! {
                handed = intake.next() => match handed {
                    Some(handed) => self.take(handed, &mut intake),
                    None => break,
                },
                Some(done) = self.under_way.join_next() => self.attempted(done.ok()),
                Some(news) = self.news.1.recv() => self.hear(news),
                () = sleep(next) => {}
                _ = chores.tick(), if !self.outcomes.is_empty() || self.reading == Reading::Needed => self.chores(),
            }
        }
        self.settle();
        let sends = matches!(intake, Intake::Handed(_));
        let _ = timeout(Duration::from_secs(APP_LAST_SECONDS), self.finish(sends)).await;
        let lost = self.queue.unstored();
        if lost > 0 {
            tracing::error!("{} lost at shutdown: neither delivered nor stored", number(lost, K::NOUN));
        } else if self.queue.len() > 0 {
            tracing::info!("{} waiting for the next start", number(self.queue.len(), K::NOUN));
        }
    }

    /// Reads the rows of the previous process before new ones join the queue, because the rows of a line are sent in
    /// order. A slow disk is waited for at most [`APP_LAST_SECONDS`]: late in another order is better than not at all.
    async fn resume(&mut self) {
        self.chores();
        let until = Instant::now() + Duration::from_secs(APP_LAST_SECONDS);
        while matches!(self.reading, Reading::UnderWay | Reading::Again) {
            let Ok(Some(news)) = timeout_at(until.into(), self.news.1.recv()).await else { return };
            self.hear(news);
        }
    }

    /// Waits for pending changes of the store. If `sends`, also sends the rows that wait for no back-off pause.
    ///
    /// These changes refer to the kind, which may refer to the store, and the store's own thread must not drop the last
    /// handle.
    async fn finish(&mut self, sends: bool) {
        loop {
            if sends {
                self.begin(Instant::now());
            }
            let is_reading = matches!(self.reading, Reading::UnderWay | Reading::Again);
            let is_idle = self.adding == 0 && self.settling.is_empty() && !is_reading;
            if is_idle && (self.under_way.is_empty() || !sends) {
                return;
            }
            tokio::select! {
                Some(done) = self.under_way.join_next(), if sends => self.attempted(done.ok()),
                Some(news) = self.news.1.recv() => self.hear(news),
            }
        }
    }

    /// Requests a read of the store, or its repetition if one is in progress.
    fn look(&mut self) {
        self.reading = match self.reading {
            Reading::UnderWay | Reading::Again => Reading::Again,
            Reading::Needed | Reading::Done => Reading::Needed,
        };
        self.chores();
    }

    /// Reads the rows of the store if that is needed and an attempt may be made, and stores outcomes.
    fn chores(&mut self) {
        if self.reading == Reading::Needed && !self.store.has_any() {
            self.reading = Reading::Done;
        }
        if self.reading == Reading::Needed && self.kind.most(Instant::now()).0 > 0 {
            self.reading = Reading::UnderWay;
            let (kind, news) = (Arc::clone(&self.kind), self.news.0.clone());
            let read = move |store: &rusqlite::Connection| {
                Ok((table::heads(store, K::NAME, kind.pace().rows)?, kind.settle(store, &[])?))
            };
            self.store.submit(Commit::Now, read, move |read| drop(news.send(News::Read(read))));
        }
        self.settle();
    }

    /// Handles `first` and what else has been handed over. New deliveries join the queue and are written to the store,
    /// but their first attempts do not wait for that.
    fn take(&mut self, first: Handed<K::New>, intake: &mut Intake<K::New>) {
        let (now, mut batch, mut stored) = (Instant::now(), Vec::new(), Vec::new());
        let mut next = Some(first);
        while let Some(handed) = next {
            match handed {
                Handed::New(new) => {
                    self.last_created = clock::now().as_microsecond().max(self.last_created + 1);
                    batch.extend(self.kind.row(*new, self.last_created).and_then(|row| self.add(now, row)));
                }
                Handed::Stored(head) => stored.push(head),
                Handed::Look => self.look(),
                Handed::EndPauses => self.queue.end_pauses(),
            }
            let is_full = batch.len() + stored.len() >= OUTBOX_BATCH;
            next = if is_full { None } else { intake.try_next() };
        }
        self.store(batch);
        self.restore(stored);
    }

    fn add(&mut self, now: Instant, row: Row) -> Option<(Id, Arc<Row>)> {
        let (head, row) = (row.head.clone(), Arc::new(row));
        let expires = now + self.kind.pace().give_up;
        self.enter(Coming { head, expires, rests: None, whole: Some(Arc::clone(&row)) }).map(|id| (id, row))
    }

    /// Adds a row to the queue, which may displace waiting rows; returns `None` if the queue is full.
    fn enter(&mut self, coming: Coming) -> Option<Id> {
        let (key, share): (Arc<str>, Arc<str>) = (coming.head.key.as_str().into(), coming.head.share.as_str().into());
        let (is_stored, attempts) = (coming.whole.is_none(), coming.head.attempts);
        self.queue.set_pace(self.kind.pace());
        let Added { id, dropped } = self.queue.add(coming);
        match id {
            Some(_) => self.kind.note(&key, &share, Event::Entered(attempts)),
            None => {
                self.kind.note(&key, &share, Event::Dropped);
                if is_stored {
                    self.conclude(key, Outcome::Dropped);
                }
            }
        }
        for waiting in dropped {
            self.kind.note(&waiting.key, waiting.share(), Event::MadeWay(waiting.attempts));
            self.conclude(waiting.key, Outcome::Dropped);
        }
        id
    }

    /// Writes rows into the store.
    fn store(&mut self, batch: Vec<(Id, Arc<Row>)>) {
        if batch.is_empty() {
            return;
        }
        let (ids, rows): (Vec<Id>, Vec<Arc<Row>>) = batch.into_iter().unzip();
        let news = self.news.0.clone();
        self.adding += 1;
        let add = move |store: &rusqlite::Connection| table::add(store, K::NAME, &rows);
        self.store.submit(Commit::Now, add, move |done| drop(news.send(News::Added(ids, done))));
    }

    /// Starts all attempts that are due; returns the time of the next one.
    fn begin(&mut self, now: Instant) -> Option<Instant> {
        let (most, until) = self.kind.most(now);
        loop {
            if self.under_way.len() >= most {
                return until;
            }
            let Some(id) = self.queue.next(now) else { return self.queue.poll_timeout() };
            let Some(waiting) = self.queue.get(id) else { continue };
            let attempts = waiting.attempts;
            if attempts > 1 {
                self.kind.note(&waiting.key, waiting.share(), Event::Retried);
            }
            let kind = Arc::clone(&self.kind);
            match &waiting.whole {
                Some(whole) => {
                    let whole = Arc::clone(whole);
                    self.under_way.spawn(async move { (id, Attempt::Made(kind.attempt(&whole, attempts).await)) });
                }
                None => {
                    let key = Arc::clone(&waiting.key);
                    let read = self.store.run(Commit::Now, move |store| table::read(store, K::NAME, &key));
                    self.under_way.spawn(async move {
                        let attempt = match read.await {
                            Ok(Some(row)) => Attempt::Made(kind.attempt(&row, attempts).await),
                            Ok(None) => Attempt::Missing,
                            Err(error) => Attempt::Unread(error),
                        };
                        (id, attempt)
                    });
                }
            }
        }
    }

    /// Handles the result of an attempt.
    fn attempted(&mut self, done: Option<(Id, Attempt<K::Taken>)>) {
        let Some((id, attempt)) = done else { return };
        let attempts = self.queue.get(id).map_or(0, |waiting| waiting.attempts);
        let taken = match attempt {
            Attempt::Made(Ok(taken)) => Some(taken),
            Attempt::Made(Err(refusal)) => return self.failed(id, attempts, refusal),
            Attempt::Missing => None,
            Attempt::Unread(error) => {
                return self.failed(id, attempts, Refusal::here(format!("the store cannot be read: {error}")));
            }
        };
        let Some(waiting) = self.queue.delivered(id) else { return };
        self.kind.note(&waiting.key, waiting.share(), Event::Over(attempts.saturating_sub(1), taken.is_some()));
        if let Some(taken) = taken {
            self.conclude(waiting.key, Outcome::Delivered(taken));
        }
    }

    fn failed(&mut self, id: Id, attempts: u32, refusal: Refusal) {
        let random = rand::rngs::SysRng.try_next_u32().unwrap_or_default();
        let (now, date) = (Instant::now(), clock::now());
        let fate = self.queue.failed(now, id, &refusal, random);
        let Some(waiting) = self.queue.get(id) else { return };
        let (key, share) = (Arc::clone(&waiting.key), Arc::clone(waiting.share()));
        let at = date.as_millisecond();
        if fate == Fate::GivenUp {
            self.kind.note(&key, &share, Event::GivenUp(attempts, &refusal));
            self.kind.note(&key, &share, Event::Over(attempts.saturating_sub(1), false));
            self.queue.remove(id);
            return self.conclude(key, Outcome::GivenUp(Failure { attempts, at, due: at, error: refusal.what }));
        }
        let next = waiting.rests_for(now).and_then(|rest| date.checked_add(rest).ok());
        let unstored = waiting.whole.as_ref().filter(|_| !waiting.is_stored).map(|whole| (id, Arc::clone(whole)));
        self.kind.note(&key, &share, Event::Failed(attempts, &refusal, next));
        self.store(unstored.into_iter().collect());
        let due = next.unwrap_or(date).as_millisecond();
        self.conclude(key, Outcome::Failed(Failure { attempts, at, due, error: refusal.what }));
    }

    /// Records an outcome, and stores it at once if the row has left the queue or the last change is at least
    /// [`CHORES`] ago.
    fn conclude(&mut self, key: Arc<str>, outcome: Outcome<K::Taken>) {
        let is_over = outcome.is_over();
        self.outcomes.insert(key, Arc::new(outcome));
        if is_over || self.settled.is_none_or(|at| at.elapsed() >= CHORES) {
            self.settle();
        }
    }

    /// Starts to store all recorded outcomes, unless a change is in progress; then they follow with the next one.
    fn settle(&mut self) {
        if self.outcomes.is_empty() || !self.settling.is_empty() {
            return;
        }
        self.settled = Some(Instant::now());
        self.settling = std::mem::take(&mut self.outcomes);
        let settled: Vec<Settled<K::Taken>> =
            self.settling.iter().map(|(key, outcome)| (Arc::clone(key), Arc::clone(outcome))).collect();
        let (kind, news) = (Arc::clone(&self.kind), self.news.0.clone());
        let change = move |store: &rusqlite::Connection| {
            settled.iter().try_for_each(|(key, outcome)| table::settle(store, K::NAME, key, outcome))?;
            kind.settle(store, &settled)
        };
        self.store.submit(Commit::Soon, change, move |done| drop(news.send(News::Settled(done))));
    }

    /// Returns true if the row with this key has left the queue, but its outcome is not stored yet.
    fn is_leaving(&self, key: &str) -> bool {
        [&self.outcomes, &self.settling].iter().any(|all| all.get(key).is_some_and(|outcome| outcome.is_over()))
    }

    fn hear(&mut self, news: News<K>) {
        match news {
            News::Added(ids, done) => {
                self.adding -= 1;
                self.kind.stored(&done, self.store.directory());
                if done.is_ok() {
                    ids.into_iter().for_each(|id| self.queue.stored(id));
                }
            }
            News::Settled(done) => {
                let settled = std::mem::take(&mut self.settling);
                let done = done.map(|seen| self.kind.seen(seen));
                self.kind.stored(&done, self.store.directory());
                if done.is_err() {
                    // The outcomes are stored later; until then, rows that have left the queue are not sent again.
                    settled.into_iter().for_each(|(key, outcome)| _ = self.outcomes.entry(key).or_insert(outcome));
                } else if self.outcomes.values().any(|outcome| outcome.is_over()) {
                    self.settle();
                }
            }
            News::Read(read) => self.read(read),
        }
    }

    fn read(&mut self, read: io::Result<(Vec<Head>, K::Seen)>) {
        let is_stale = self.reading == Reading::Again;
        match read {
            Ok((heads, seen)) => {
                self.reading = if is_stale { Reading::Needed } else { Reading::Done };
                self.kind.stored(&Ok(()), self.store.directory());
                self.kind.seen(seen);
                self.restore(heads);
                if is_stale {
                    self.chores();
                }
            }
            Err(error) => {
                self.reading = Reading::Needed;
                self.kind.stored(&Err(error), self.store.directory());
            }
        }
    }

    /// Adds the rows read from the store to the queue.
    fn restore(&mut self, heads: Vec<Head>) {
        let (now, date) = (Instant::now(), clock::now().as_microsecond());
        let give_up = self.kind.pace().give_up;
        for head in heads {
            let rests = u64::try_from(head.due.saturating_sub(date / 1000)).ok().filter(|left| *left > 0);
            let rests = rests.map(|left| now + Duration::from_millis(left));
            if self.queue.has(&head.key) {
                self.queue.hasten(&head.key, rests.unwrap_or(now));
            } else if !self.is_leaving(&head.key) {
                let expires = now + left(head.created, date, give_up);
                self.enter(Coming { head, expires, rests, whole: None });
            }
        }
    }
}

/// Returns the time until a row is given up; times are in microseconds since 1970. A row created in the future has the
/// full time.
fn left(created: i64, now: i64, give_up: Duration) -> Duration {
    let age = u64::try_from(now.saturating_sub(created)).unwrap_or(0);
    give_up.saturating_sub(Duration::from_micros(age))
}

async fn sleep(until: Option<Instant>) {
    match until {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
