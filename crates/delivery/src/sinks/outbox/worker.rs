//! Worker of a kind: connects the sources of deliveries, the store, the queue and the attempts.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::TryRng as _;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep_until, timeout};
use trunkgate_system::clock;
use trunkgate_system::limits::{
    APP_LAST_SECONDS, OUTBOX_BATCH, OUTBOX_LOOK_SECONDS, OUTBOX_WAITING, RECORDS_PAUSE_MILLISECONDS,
};
use trunkgate_system::text::number;

use super::queue::{Added, Coming, Fate, Id, Queue, Waiting};
use super::table::{self, Failure};
use super::{Event, Handed, Head, Intake, Kind, Refusal, Row};
use crate::sinks::store::{Commit, Store};

/// Sends rows of a kind and repeats failed attempts.
pub(in crate::sinks) struct Worker<K: Kind> {
    store: Store,
    kind: Arc<K>,
    queue: Queue,
    /// Results from the store's thread.
    news: (UnboundedSender<News<K>>, UnboundedReceiver<News<K>>),
    under_way: JoinSet<(Id, Attempt)>,
    /// Number of pending insertions into the store.
    adding: usize,
    /// Keys of finished rows that must be removed from the store.
    gone: Vec<Arc<str>>,
    /// Keys of rows being removed or settled; rows with these keys read meanwhile are ignored.
    leaving: HashSet<Arc<str>>,
    is_removing: bool,
    reading: Reading,
    /// Time of the next read of the store, if others write rows.
    look_at: Option<Instant>,
    /// Creation time of the last row in microseconds since 1970.
    last_created: i64,
}

/// Results of changes of the store.
enum News<K: Kind> {
    Added(Vec<Id>, io::Result<()>),
    Removed(Vec<Arc<str>>, io::Result<()>),
    /// Result of storing an attempt; the flag is true if the row has left the queue.
    Settled(Arc<str>, bool, io::Result<()>),
    Read(io::Result<(Vec<Head>, K::Seen)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    Needed,
    UnderWay,
    /// Reading is in progress, and must be repeated because the store may have changed since.
    Again,
    Done,
}

/// Result of an attempt.
enum Attempt {
    Made(Result<(), Refusal>),
    /// The row is no longer in the store.
    Missing,
    Unread(io::Error),
}

impl<K: Kind> Worker<K> {
    /// Creates the worker.
    pub(in crate::sinks) fn new(store: Store, kind: K) -> Worker<K> {
        let reading = if store.has_any() { Reading::Needed } else { Reading::Done };
        Worker {
            store,
            queue: Queue::new(kind.pace()),
            kind: Arc::new(kind),
            news: unbounded_channel(),
            under_way: JoinSet::new(),
            adding: 0,
            gone: Vec::new(),
            leaving: HashSet::new(),
            is_removing: false,
            reading,
            look_at: K::FOLLOWS_STORE.then(Instant::now),
            last_created: 0,
        }
    }

    /// Sends until the source ends; then, if rows are handed over, for some seconds those that need no pause.
    pub(in crate::sinks) async fn keep(mut self, mut intake: Intake<K::New>) {
        let mut chores = interval(Duration::from_millis(RECORDS_PAUSE_MILLISECONDS));
        chores.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.chores();
        loop {
            self.begin(Instant::now());
            let rests = [self.queue.poll_timeout(), self.look_at].into_iter().flatten().min();
            tokio::select! {
                handed = intake.next() => match handed {
                    Some(handed) => self.take(handed, &mut intake),
                    None => break,
                },
                Some(done) = self.under_way.join_next() => self.settle(done.ok()),
                Some(news) = self.news.1.recv() => self.hear(news),
                () = sleep(rests) => self.look_in_time(Instant::now()),
                _ = chores.tick(), if !self.gone.is_empty() || self.reading == Reading::Needed => self.chores(),
            }
        }
        if !K::FOLLOWS_STORE {
            let _ = timeout(Duration::from_secs(APP_LAST_SECONDS), self.finish()).await;
        }
        let lost = self.queue.unstored();
        if lost > 0 {
            tracing::error!("{} lost at the end: neither delivered nor stored", number(lost, K::NOUN));
        } else if self.queue.len() > 0 {
            tracing::info!("{} waiting for the next start", number(self.queue.len(), K::NOUN));
        }
    }

    /// Sends the rows that need no pause, and waits for pending changes of the store.
    async fn finish(&mut self) {
        loop {
            self.begin(Instant::now());
            if self.under_way.is_empty() && self.adding == 0 && !self.is_removing {
                return;
            }
            tokio::select! {
                Some(done) = self.under_way.join_next() => self.settle(done.ok()),
                Some(news) = self.news.1.recv() => self.hear(news),
            }
        }
    }

    /// Reads the store if others write rows and the last read is too long ago.
    fn look_in_time(&mut self, now: Instant) {
        if self.look_at.is_some_and(|at| at <= now) {
            self.look();
        }
    }

    /// Requests a read of the store.
    fn look(&mut self) {
        self.reading = match self.reading {
            Reading::UnderWay | Reading::Again => Reading::Again,
            Reading::Needed | Reading::Done => Reading::Needed,
        };
        self.chores();
    }

    /// Reads the rows of the store, and retries failed removals.
    fn chores(&mut self) {
        self.look_at = K::FOLLOWS_STORE.then(|| Instant::now() + Duration::from_secs(OUTBOX_LOOK_SECONDS));
        if self.reading == Reading::Needed && !self.store.has_any() {
            self.reading = Reading::Done;
        }
        if self.reading == Reading::Needed {
            self.reading = Reading::UnderWay;
            let news = self.news.0.clone();
            let read =
                |store: &rusqlite::Connection| Ok((table::heads(store, K::NAME, OUTBOX_WAITING)?, K::look(store)?));
            self.store.submit(Commit::Now, read, move |read| drop(news.send(News::Read(read))));
        }
        self.remove_gone();
    }

    /// Takes deliveries: each is stored, but its first attempt does not wait for that.
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

    /// Adds a row to the queue, which may displace a waiting one.
    fn enter(&mut self, coming: Coming) -> Option<Id> {
        let (key, share): (Arc<str>, Arc<str>) = (coming.head.key.as_str().into(), coming.head.share.as_str().into());
        let is_stored = coming.whole.is_none();
        let Added { id, dropped } = self.queue.add(coming);
        match id {
            Some(_) => self.kind.note(&key, &share, Event::Entered),
            None => {
                self.kind.note(&key, &share, Event::Dropped);
                if is_stored {
                    self.let_go(key);
                }
            }
        }
        for waiting in dropped {
            self.kind.note(&waiting.key, waiting.share(), Event::MadeWay(waiting.attempts));
            self.let_go(waiting.key);
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

    /// Starts the attempts that are due.
    fn begin(&mut self, now: Instant) {
        while let Some(id) = self.queue.next(now) {
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
    fn settle(&mut self, done: Option<(Id, Attempt)>) {
        let Some((id, attempt)) = done else { return };
        let attempts = self.queue.get(id).map_or(0, |waiting| waiting.attempts);
        match attempt {
            Attempt::Made(Ok(())) => {
                let Some(waiting) = self.queue.delivered(id) else { return };
                self.kind.note(&waiting.key, waiting.share(), Event::Over(attempts.saturating_sub(1), true));
                self.leave(waiting);
            }
            Attempt::Made(Err(refusal)) => self.failed(id, attempts, refusal),
            // It was removed with its entry.
            Attempt::Missing if K::FOLLOWS_STORE => drop(self.queue.delivered(id)),
            Attempt::Missing => {
                tracing::error!("a {} is not in the store any more", K::NOUN);
                let what = "it is not in the store any more".to_owned();
                self.failed(id, attempts, Refusal { is_final: true, ..Refusal::here(what) });
            }
            Attempt::Unread(error) => {
                self.failed(id, attempts, Refusal::here(format!("the store cannot be read: {error}")));
            }
        }
    }

    fn failed(&mut self, id: Id, attempts: u32, refusal: Refusal) {
        let random = rand::rngs::SysRng.try_next_u32().unwrap_or_default();
        let fate = self.queue.failed(Instant::now(), id, &refusal, random);
        let Some(waiting) = self.queue.get(id) else { return };
        let (key, share) = (Arc::clone(&waiting.key), Arc::clone(waiting.share()));
        if fate == Fate::GivenUp {
            self.kind.note(&key, &share, Event::GivenUp(attempts, &refusal));
            self.kind.note(&key, &share, Event::Over(attempts.saturating_sub(1), false));
            let waiting = self.queue.remove(id);
            return match K::FOLLOWS_STORE {
                true => self.keep_failure(&key, attempts, None, refusal.what),
                false => waiting.into_iter().for_each(|waiting| self.leave(waiting)),
            };
        }
        let next = waiting.rests_for(Instant::now()).and_then(|rest| clock::now().checked_add(rest).ok());
        let unstored = waiting.whole.as_ref().filter(|_| !waiting.is_stored).map(|whole| (id, Arc::clone(whole)));
        self.kind.note(&key, &share, Event::Failed(attempts, &refusal, next));
        if K::FOLLOWS_STORE {
            let due = next.unwrap_or_else(clock::now).as_millisecond();
            return self.keep_failure(&key, attempts, Some(due), refusal.what);
        }
        self.store(unstored.into_iter().collect());
    }

    /// Stores a failed attempt; without a time for the next one the row is given up.
    fn keep_failure(&mut self, key: &Arc<str>, attempts: u32, due: Option<i64>, error: String) {
        let now = clock::now().as_millisecond();
        let given_up = due.is_none().then_some(now);
        let failure = Failure { key: key.to_string(), attempts, due: due.unwrap_or(now), error, given_up };
        self.settle_in_store(Arc::clone(key), due.is_none(), move |store| table::failed(store, K::NAME, &failure));
    }

    /// Removes a row that was delivered, or given up and not kept, from the store.
    fn leave(&mut self, waiting: Waiting) {
        if K::FOLLOWS_STORE {
            let key = Arc::clone(&waiting.key);
            return self.settle_in_store(waiting.key, true, move |store| table::delivered(store, K::NAME, &key));
        }
        self.let_go(waiting.key);
        self.remove_gone();
    }

    /// Removes a row from the store with the next change.
    fn let_go(&mut self, key: Arc<str>) {
        self.leaving.insert(Arc::clone(&key));
        self.gone.push(key);
    }

    fn settle_in_store(
        &mut self,
        key: Arc<str>,
        is_over: bool,
        change: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<()> + Send + 'static,
    ) {
        if is_over {
            self.leaving.insert(Arc::clone(&key));
        }
        let news = self.news.0.clone();
        self.store.submit(Commit::Now, change, move |done| drop(news.send(News::Settled(key, is_over, done))));
    }

    /// Removes finished rows from the store; rows that finish meanwhile follow with the next change.
    fn remove_gone(&mut self) {
        if self.is_removing || self.gone.is_empty() {
            return;
        }
        self.is_removing = true;
        let (keys, news) = (std::mem::take(&mut self.gone), self.news.0.clone());
        let removed = keys.clone();
        let remove = move |store: &rusqlite::Connection| table::remove(store, K::NAME, &removed);
        self.store.submit(Commit::Soon, remove, move |done| drop(news.send(News::Removed(keys, done))));
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
            News::Removed(keys, done) => {
                self.is_removing = false;
                match done {
                    Ok(()) => {
                        keys.iter().for_each(|key| _ = self.leaving.remove(key));
                        self.remove_gone();
                    }
                    // The removal is retried later; after a crash the rows are sent once more.
                    Err(_) => self.gone.extend(keys),
                }
            }
            News::Settled(key, is_over, done) => {
                self.kind.stored(&done, self.store.directory());
                if done.is_err() && is_over {
                    // The row is removed when the store accepts changes, and not sent again meanwhile.
                    self.gone.push(key);
                } else {
                    self.leaving.remove(&key);
                }
                self.look();
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
                let count = self.restore(heads);
                if count > 0 && !K::FOLLOWS_STORE {
                    tracing::info!("{} of an earlier run", number(count, K::NOUN));
                }
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

    /// Adds stored rows to the queue; returns the number of new ones.
    fn restore(&mut self, heads: Vec<Head>) -> usize {
        let (now, date) = (Instant::now(), clock::now().as_microsecond());
        let give_up = self.kind.pace().give_up;
        let mut count = 0;
        for head in heads {
            let rests = u64::try_from(head.due.saturating_sub(date / 1000)).ok().filter(|left| *left > 0);
            let rests = rests.map(|left| now + Duration::from_millis(left));
            if self.queue.has(&head.key) {
                self.queue.hasten(&head.key, rests.unwrap_or(now));
            } else if !self.leaving.contains(&*head.key) {
                let expires = now + left(head.created, date, give_up);
                count += usize::from(self.enter(Coming { head, expires, rests, whole: None }).is_some());
            }
        }
        count
    }
}

/// Returns the remaining time of a row; times are in microseconds since 1970. A creation time in the future leaves the
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
