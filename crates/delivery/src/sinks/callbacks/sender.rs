//! Sends callbacks: the loop between the calls, the store, the queue and the receivers.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::TryRng as _;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep_until, timeout};

use super::figures::Last;
use super::queue::{Added, Coming, Fate, GIVE_UP, Id, Queue, Waiting};
use super::stored::{self, Callback, Head};
use super::{CallbackFigures, Handed, Incoming, Means, Tried};
use crate::sinks::store::{Commit, Store};
use crate::webhooks::client::Client;
use crate::webhooks::outcome::{Failure, Reply};
use crate::webhooks::request::{Content, Purpose, Request};
use crate::webhooks::{host_of, shown_origin};
use trunkgate_system::clock;
use trunkgate_system::limits::{
    APP_LAST_SECONDS, CALLBACK_ATTEMPTS_TRACED, CALLBACK_BATCH, RECORDS_PAUSE_MILLISECONDS,
};

/// Twilio's codes of URLs that no attempt can reach: malformed, with an unknown policy.
const UNUSABLE: [u32; 2] = [11_100, 11_243];
/// Seconds of a day.
const GIVE_UP_MICROS: u128 = GIVE_UP.as_micros();

/// Sends callbacks and repeats those that receivers do not take.
pub struct Callbacks {
    store: Store,
    means: Arc<Means>,
    /// Of its own: what waits for receivers takes no place of documents.
    client: Arc<Client>,
    figures: Arc<CallbackFigures>,
    queue: Queue,
    /// From the store's thread.
    news: (UnboundedSender<News>, UnboundedReceiver<News>),
    under_way: JoinSet<(Id, Attempt)>,
    /// Changes of the store that add callbacks and are not made yet.
    adding: usize,
    /// Tokens of callbacks that the store still has and that wait no more.
    gone: Vec<Arc<str>>,
    is_removing: bool,
    restoring: Restoring,
    /// When the last callback was made, in microseconds since 1970.
    last_created: i64,
}

/// What the store says.
enum News {
    Added(Vec<Id>, io::Result<()>),
    Removed(Vec<Arc<str>>, io::Result<()>),
    Restored(io::Result<Vec<Head>>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Restoring {
    Needed,
    UnderWay,
    Done,
}

/// What came of an attempt.
enum Attempt {
    Made(Arc<Callback>, Box<Result<Reply, Failure>>),
    /// The store does not have it any more.
    Missing,
    Unread(io::Error),
}

impl Callbacks {
    /// Makes the sender.
    pub fn new(store: Store, means: Means, figures: Arc<CallbackFigures>) -> Callbacks {
        let restoring = if store.has_any() { Restoring::Needed } else { Restoring::Done };
        Callbacks {
            store,
            means: Arc::new(means),
            client: Arc::new(Client::new()),
            figures,
            queue: Queue::default(),
            news: unbounded_channel(),
            under_way: JoinSet::new(),
            adding: 0,
            gone: Vec::new(),
            is_removing: false,
            restoring,
            last_created: 0,
        }
    }

    /// Sends until the signalling loop has ended, and then for some seconds what can be sent at once.
    pub async fn keep(mut self, mut incoming: Incoming) {
        let mut chores = interval(Duration::from_millis(RECORDS_PAUSE_MILLISECONDS));
        chores.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.chores();
        loop {
            self.begin(Instant::now());
            let rests = self.queue.poll_timeout();
            tokio::select! {
                callback = incoming.recv() => match callback {
                    Some(handed) => self.take(handed, &mut incoming),
                    None => break,
                },
                Some(done) = self.under_way.join_next() => self.settle(done.ok()),
                Some(news) = self.news.1.recv() => self.hear(news),
                () = sleep(rests) => {}
                _ = chores.tick(), if !self.gone.is_empty() || self.restoring == Restoring::Needed => self.chores(),
            }
        }
        let _ = timeout(Duration::from_secs(APP_LAST_SECONDS), self.finish()).await;
        let lost = self.queue.unstored();
        if lost > 0 {
            tracing::error!("{lost} callbacks are lost at the end: they were neither delivered nor stored");
        } else if self.queue.len() > 0 {
            tracing::info!("{} callbacks wait for the next start", self.queue.len());
        }
    }

    /// Sends what needs no pause, and waits until the store has what it is to have.
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

    /// Reads what the store has at the start, and removes from it what it would not remove before.
    fn chores(&mut self) {
        if self.restoring == Restoring::Needed {
            self.restoring = Restoring::UnderWay;
            let news = self.news.0.clone();
            self.store.submit(Commit::Now, stored::heads, move |heads| drop(news.send(News::Restored(heads))));
        }
        self.remove_gone();
    }

    /// Takes callbacks: each is stored, and its first attempt does not wait for that.
    fn take(&mut self, first: Handed, incoming: &mut Incoming) {
        let (now, mut batch, mut stored) = (Instant::now(), Vec::new(), Vec::new());
        let mut next = Some(first);
        while let Some(handed) = next {
            match handed {
                Handed::Event(asked) => {
                    self.last_created = clock::now().as_microsecond().max(self.last_created + 1);
                    batch.extend(Callback::of(*asked, self.last_created).and_then(|callback| self.add(now, callback)));
                }
                Handed::Stored(head) => stored.push(head),
            }
            let is_full = batch.len() + stored.len() >= CALLBACK_BATCH;
            next = if is_full { None } else { incoming.try_recv().ok() };
        }
        self.store(batch);
        self.restore(stored);
    }

    fn add(&mut self, now: Instant, callback: Callback) -> Option<(Id, Arc<Callback>)> {
        let callback = Arc::new(callback);
        let coming = Coming {
            token: callback.token.clone(),
            line: line_of(&callback.about, &callback.url),
            host: host_of(&callback.url),
            place: without_query(&callback.url),
            app: callback.app.as_str().into(),
            bytes: callback.bytes(),
            expires: now + GIVE_UP,
            whole: Some(Arc::clone(&callback)),
        };
        self.enter(coming).map(|id| (id, callback))
    }

    /// Adds a callback to the queue, where one that waits may have to make way for it.
    fn enter(&mut self, coming: Coming) -> Option<Id> {
        let (app, token) = (Arc::clone(&coming.app), coming.whole.is_none().then(|| coming.token.as_str().into()));
        let Added { id, dropped } = self.queue.add(coming);
        match id {
            Some(_) => self.figures.added(&app),
            None => {
                self.figures.dropped(&app);
                self.gone.extend(token);
            }
        }
        for waiting in dropped {
            self.figures.made_way(waiting.app(), Waiting::is_failing(waiting.attempts));
            self.gone.push(waiting.token);
        }
        id
    }

    /// Has callbacks written into the store.
    fn store(&mut self, batch: Vec<(Id, Arc<Callback>)>) {
        if batch.is_empty() {
            return;
        }
        let (ids, callbacks): (Vec<Id>, Vec<Arc<Callback>>) = batch.into_iter().unzip();
        let news = self.news.0.clone();
        self.adding += 1;
        let add = move |store: &rusqlite::Connection| stored::add(store, &callbacks);
        self.store.submit(Commit::Now, add, move |done| drop(news.send(News::Added(ids, done))));
    }

    /// Begins the attempts that may be made now.
    fn begin(&mut self, now: Instant) {
        while let Some(id) = self.queue.next(now) {
            let Some(waiting) = self.queue.get(id) else { continue };
            if waiting.attempts > 1 {
                self.figures.retried(waiting.app());
            }
            let (client, means) = (Arc::clone(&self.client), Arc::clone(&self.means));
            match &waiting.whole {
                Some(whole) => {
                    let whole = Arc::clone(whole);
                    self.under_way.spawn(async move { (id, attempt(&client, &means, whole).await) });
                }
                None => {
                    let token = Arc::clone(&waiting.token);
                    let read = self.store.run(Commit::Now, move |store| stored::read(store, &token));
                    self.under_way.spawn(async move {
                        let attempt = match read.await {
                            Ok(Some(whole)) => attempt(&client, &means, Arc::new(whole)).await,
                            Ok(None) => Attempt::Missing,
                            Err(error) => Attempt::Unread(error),
                        };
                        (id, attempt)
                    });
                }
            }
        }
    }

    /// Takes what came of an attempt.
    fn settle(&mut self, done: Option<(Id, Attempt)>) {
        let Some((id, attempt)) = done else { return };
        let attempts = self.queue.get(id).map_or(0, |waiting| waiting.attempts);
        match attempt {
            Attempt::Made(callback, result) => {
                let result = *result;
                let failure = result.as_ref().err().map(|failure| Failed::of(&callback, failure));
                if attempts <= CALLBACK_ATTEMPTS_TRACED || failure.is_none() {
                    (self.means.tried)(Tried { callback: &callback, attempt: attempts, result });
                }
                match failure {
                    None => {
                        let waiting = self.queue.delivered(id);
                        self.over(waiting, attempts - 1, true);
                    }
                    Some(failed) => self.failed(id, attempts, failed),
                }
            }
            Attempt::Missing => {
                tracing::error!("a callback is not in the store any more");
                self.failed(id, attempts, Failed::here("it is not in the store any more".to_owned(), true));
            }
            Attempt::Unread(error) => {
                self.failed(id, attempts, Failed::here(format!("the store cannot be read: {error}"), false));
            }
        }
    }

    fn failed(&mut self, id: Id, attempts: u32, failed: Failed) {
        let Failed { last, is_heard, is_final } = failed;
        let random = rand::rngs::SysRng.try_next_u32().unwrap_or_default();
        let fate = self.queue.failed(Instant::now(), id, (is_heard, is_final), random);
        let Some(waiting) = self.queue.get(id) else { return };
        let begins = Waiting::is_failing(attempts) && !Waiting::is_failing(attempts.saturating_sub(1));
        if fate == Fate::GivenUp {
            tracing::warn!(
                call = %last.call, "callback of app {} is given up after {attempts} attempts: error {}: {}",
                waiting.app(), last.code, last.what
            );
            self.figures.gave_up(waiting.app(), last);
            let waiting = self.queue.remove(id);
            return self.over(waiting, attempts.saturating_sub(1), false);
        }
        let next = waiting.rests_for(Instant::now()).and_then(|rest| clock::now().checked_add(rest).ok());
        self.figures.failed(waiting.app(), Last { next, ..last }, begins);
        if let Some(whole) = waiting.whole.as_ref().filter(|_| !waiting.is_stored) {
            let again = (id, Arc::clone(whole));
            self.store(vec![again]);
        }
    }

    /// A callback waits no more; so many of its attempts failed before the last.
    fn over(&mut self, waiting: Option<Waiting>, failed: u32, is_delivered: bool) {
        let Some(waiting) = waiting else { return };
        self.figures.over(waiting.app(), Waiting::is_failing(failed), is_delivered);
        self.gone.push(waiting.token);
        self.remove_gone();
    }

    /// Removes from the store what waits no more; what comes meanwhile goes with the next change.
    fn remove_gone(&mut self) {
        if self.is_removing || self.gone.is_empty() {
            return;
        }
        self.is_removing = true;
        let (tokens, news) = (std::mem::take(&mut self.gone), self.news.0.clone());
        let removed = tokens.clone();
        let remove = move |store: &rusqlite::Connection| stored::remove(store, &removed);
        self.store.submit(Commit::Soon, remove, move |done| drop(news.send(News::Removed(tokens, done))));
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Added(ids, done) => {
                self.adding -= 1;
                self.figures.stored(&done, self.store.directory());
                if done.is_ok() {
                    ids.into_iter().for_each(|id| self.queue.stored(id));
                }
            }
            News::Removed(tokens, done) => {
                self.is_removing = false;
                match done {
                    Ok(()) => self.remove_gone(),
                    // They are tried again in a while; after a crash they are sent once more.
                    Err(_) => self.gone.extend(tokens),
                }
            }
            News::Restored(Ok(heads)) => {
                self.restoring = Restoring::Done;
                self.figures.stored(&Ok(()), self.store.directory());
                let count = self.restore(heads);
                if count > 0 {
                    tracing::info!("{count} callbacks of an earlier run are sent");
                }
            }
            News::Restored(Err(error)) => {
                self.restoring = Restoring::Needed;
                self.figures.stored(&Err(error), self.store.directory());
            }
        }
    }

    /// Takes up what the store has; returns how many of them are new to the queue.
    fn restore(&mut self, heads: Vec<Head>) -> usize {
        let (now, date) = (Instant::now(), clock::now().as_microsecond());
        let mut count = 0;
        for Head { token, created, app, about, url, bytes } in heads {
            if self.queue.has(&token) {
                continue;
            }
            let coming = Coming {
                token,
                line: line_of(&about, &url),
                host: host_of(&url),
                place: without_query(&url),
                app: app.into(),
                bytes,
                expires: now + left(created, date),
                whole: None,
            };
            count += usize::from(self.enter(coming).is_some());
        }
        count
    }
}

/// Returns the time that a callback still has; dates are microseconds since 1970. One from the future has all of it.
fn left(created: i64, now: i64) -> Duration {
    let age = u128::try_from(now.saturating_sub(created)).unwrap_or(0);
    let left = GIVE_UP_MICROS.saturating_sub(age);
    Duration::from_micros(u64::try_from(left).unwrap_or(u64::MAX))
}

fn line_of(about: &str, url: &str) -> String {
    format!("{about} {url}")
}

fn without_query(url: &str) -> String {
    url.split(['?', '#']).next().unwrap_or_default().to_owned()
}

/// A failure, as far as the next attempt depends on it.
struct Failed {
    last: Last,
    /// The receiver gave some answer, or was not asked.
    is_heard: bool,
    /// No attempt can succeed.
    is_final: bool,
}

impl Failed {
    fn of(callback: &Callback, failure: &Failure) -> Failed {
        let what = format!("{} ({})", failure.what, shown_origin(&callback.url));
        let last = Last { code: failure.code, what, call: callback.call.clone(), at: clock::now(), next: None };
        Failed { last, is_heard: failure.answer.is_some(), is_final: UNUSABLE.contains(&failure.code) }
    }

    fn here(what: String, is_final: bool) -> Failed {
        let last = Last { code: 11_200, what, call: String::new(), at: clock::now(), next: None };
        Failed { last, is_heard: true, is_final }
    }
}

/// Makes one attempt; rules for addresses and the token that signs are those of now.
async fn attempt(client: &Client, means: &Means, callback: Arc<Callback>) -> Attempt {
    let (reach, auth_token) = (means.sending)(callback.allow_private);
    let content = Content::Form(callback.parameters.clone());
    let mut request = Request::new(&callback.url, content, Purpose::Callback, reach);
    request.asker = callback.app.as_str().into();
    request.method = callback.method;
    request.auth_token = auth_token;
    request.idempotency_token.clone_from(&callback.token);
    let result = client.fetch(&request).await;
    Attempt::Made(callback, Box::new(result))
}

async fn sleep(until: Option<Instant>) {
    match until {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
