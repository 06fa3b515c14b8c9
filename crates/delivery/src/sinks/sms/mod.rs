//! Text messages after unanswered calls, and messages of the API. A separate thread stores them and sends each once
//! through a service. They are a kind of the outbox.

use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::interval;
use trunkgate_call::SmsEvent;
use trunkgate_media::counters::Counter;

mod bounds;
pub mod held;
pub mod kept;
mod message;
pub mod opt_out;
pub mod outlets;
pub mod reports;
pub mod segments;
mod sender;
mod texts;
pub mod webhooks;

use bounds::Bounds;
use held::{Desk, Held};
use outlets::Outlets;
pub(crate) use texts::Ended;
use texts::Queue;

use crate::sinks::outbox::{Handed, Head, Intake, Worker};
use crate::sinks::store::{Commit, Store, retention};
use trunkgate_system::clock;
use trunkgate_system::clock::ClockReading;
use trunkgate_system::limits;
use trunkgate_system::problem::kind::{ProblemKind, RecordProblem};
use trunkgate_system::problem::{Failure, Problem};
pub use trunkgate_system::web::{self, ExchangeFault, HttpAnswer};

/// Command to the thread that sends text messages.
#[derive(Debug)]
pub enum SmsOrder {
    /// Command of a call. A text to be stored has a number; the SIP messages held for it are released when all texts up
    /// to that number are stored.
    News(SmsEvent, Option<u64>),
    /// New configuration. Without a service, the waiting texts stay in the store.
    Settings(Box<Outlets>),
    /// A message of the API was queued as this row of the outbox.
    Queued(Box<Head>),
    /// A recipient has opted out of text messages, or has opted in again.
    Opt {
        /// Phone number of the recipient in E.164.
        recipient: String,
        /// True for an opt-out, false for an opt-in.
        out: bool,
        /// Receives whether the change was stored.
        kept: oneshot::Sender<bool>,
    },
    /// Ends the thread; no further commands follow.
    Stop,
}

/// Counters of texts and messages.
#[derive(Debug, Default)]
pub struct SmsCounters {
    ended: [Counter; Ended::ALL.len()],
    /// Number of requests repeated after a failure.
    pub(crate) retried: Counter,
    /// Number of texts that could not be stored; only the text thread changes it.
    unkept: Counter,
    /// Number of texts lost because the queue of the text thread was full.
    pub untold: Counter,
    /// Number of texts that wait to be sent.
    queued: AtomicU64,
    /// Number of waiting texts without a configured service.
    stranded: AtomicU64,
    /// Time in seconds since 1970 at which the call of the oldest waiting text ended.
    oldest: AtomicU64,
    /// Last failure; `None` after a text was accepted.
    problem: Mutex<Option<Failure>>,
    /// Wakes the task that sends status callbacks about messages.
    pub wake: Notify,
}

impl SmsCounters {
    /// Returns the number of texts for each result, with its label in metrics.
    pub fn results(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let ended = Ended::ALL.iter().zip(&self.ended).map(|(ended, counter)| (ended.as_str(), counter.get()));
        let lost = self.unkept.get() + self.untold.get();
        ended.chain([("retried", self.retried.get()), ("lost", lost)])
    }

    /// Returns the number of waiting texts.
    pub fn queued(&self) -> u64 {
        self.queued.load(Ordering::Relaxed)
    }

    /// Returns the problem with texts that `status` reports, if there is one.
    pub fn problem_now(&self, now: Timestamp) -> Option<Problem> {
        let problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let seconds = u64::try_from(now.as_second()).unwrap_or(0);
        let waits = seconds.saturating_sub(self.oldest.load(Ordering::Relaxed));
        let stranded = self.stranded.load(Ordering::Relaxed);
        if stranded > 0 {
            return Some(Problem::of(ProblemKind::Record(RecordProblem::SmsWithoutService { messages: stranded })));
        }
        let (texts, failure) = (self.queued(), problem.unwrap_or_else(|| "sending in progress".to_owned().into()));
        (texts > 0 && waits >= limits::SMS_STUCK_SECONDS).then(|| {
            let kind = RecordProblem::SmsQueued { messages: texts, minutes: waits / 60 };
            Problem::of(ProblemKind::Record(kind)).shown_by(failure.to_string()).caused_by(&failure)
        })
    }

    fn seen(&self, queue: Queue, bounds: &Bounds) {
        self.queued.store(queue.texts, Ordering::Relaxed);
        let oldest = queue.oldest.and_then(|at| u64::try_from(at.as_second()).ok()).unwrap_or(0);
        self.oldest.store(oldest, Ordering::Relaxed);
        self.stranded.store(queue.stranded(bounds), Ordering::Relaxed);
    }

    fn count(&self, ended: Ended) {
        if let Some(at) = Ended::ALL.iter().position(|known| *known == ended)
            && let Some(counter) = self.ended.get(at)
        {
            counter.add(1);
        }
    }

    fn tell_problem(&self, problem: Option<Failure>) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }
}

/// Creates the command channel, the handle for the signalling loop and the thread for text messages, not yet started.
pub fn desk() -> (mpsc::Sender<SmsOrder>, Desk, SmsThread) {
    let (orders, orders_in) = mpsc::channel(limits::SMS_ORDERS);
    let (kept_in, kept) = watch::channel(0);
    let desk = Desk { orders: orders.clone(), kept, held: Held::default() };
    (orders, desk, SmsThread { orders: orders_in, kept: kept_in })
}

/// Function that adds a line to the trace of the call with this SID.
pub(crate) type Note = Box<dyn Fn(&str, String) + Send + Sync>;

/// Thread for text messages, not yet started.
#[derive(Debug)]
pub struct SmsThread {
    orders: mpsc::Receiver<SmsOrder>,
    kept: watch::Sender<u64>,
}

impl SmsThread {
    /// Starts the thread for text messages.
    ///
    /// # Errors
    /// Returns the system's error if the thread cannot be created.
    pub fn start(
        self,
        store: Store,
        settings: Outlets,
        full_numbers: bool,
        counters: Arc<SmsCounters>,
        note: Note,
    ) -> io::Result<JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let SmsThread { orders, kept } = self;
        let (settings, is_unstored) = (Mutex::new(settings), AtomicBool::new(false));
        let texts = Arc::new(Texts { store, settings, counters, note, full_numbers, is_unstored });
        let (rows, rows_in) = mpsc::channel(limits::SMS_BATCH);
        let worker = Worker::new(texts.store.clone(), Arc::clone(&texts));
        let intake = TextIntake { texts, is_taken_up: false, unheard: Vec::new(), rows, kept };
        std::thread::Builder::new().name("sms".into()).spawn(move || {
            runtime.block_on(async {
                let worker = tokio::spawn(worker.keep(Intake::Handed(rows_in)));
                intake.run(orders).await;
                // The worker ends when the channel for its rows is closed.
                let _ = worker.await;
            });
            // A DNS lookup may still block a thread of the runtime.
            runtime.shutdown_background();
        })
    }
}

/// State shared by the intake of texts and the outbox worker that sends them.
struct Texts {
    store: Store,
    settings: Mutex<Outlets>,
    counters: Arc<SmsCounters>,
    note: Note,
    full_numbers: bool,
    /// Whether the store refused the last change.
    is_unstored: AtomicBool,
}

impl Texts {
    /// Returns the services of the current configuration.
    fn settings(&self) -> Outlets {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes a change of the store, and records whether it succeeded.
    async fn change<T: Send + 'static>(
        &self,
        commit: Commit,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let done = self.store.run(commit, change).await;
        self.note_stored(done.as_ref().err());
        done
    }

    /// Records whether the store accepted a change, and logs when that changes.
    fn note_stored(&self, error: Option<&io::Error>) {
        let was_unstored = self.is_unstored.swap(error.is_some(), Ordering::Relaxed);
        match error {
            None if was_unstored => tracing::info!("text messages are stored again"),
            Some(error) if !was_unstored => {
                tracing::error!(
                    reason = "sms_not_kept",
                    "text messages cannot be stored in {}: {error}; new ones are lost, and waiting ones are not sent until they can",
                    self.store.directory().display()
                );
                self.counters.tell_problem(Some(Failure::of(error, self.store.directory())));
            }
            None | Some(_) => {}
        }
    }

    fn seen(&self, queue: Queue) {
        self.counters.seen(queue, &Bounds::of(&self.settings()));
    }
}

/// Intake of the text thread: stores the commands of calls, and hands the rows of texts to the worker.
struct TextIntake {
    texts: Arc<Texts>,
    /// Whether the texts of an earlier process have been taken up.
    is_taken_up: bool,
    /// Answered calls that are not stored yet. Their stored texts must not be sent after a restart.
    unheard: Vec<SmsEvent>,
    rows: mpsc::Sender<Handed<Infallible>>,
    kept: watch::Sender<u64>,
}

impl TextIntake {
    async fn run(mut self, mut orders: mpsc::Receiver<SmsOrder>) {
        let every = |seconds| interval(Duration::from_secs(seconds));
        let (mut forget, mut retry) = (every(limits::SMS_FORGET_SECONDS), every(limits::SMS_STORE_PAUSE_SECONDS));
        // Rows of messages that the full channel did not accept are read from the store.
        let mut look = every(limits::OUTBOX_LOOK_SECONDS);
        loop {
            tokio::select! {
                biased;
                _ = retry.tick() => self.catch_up().await,
                _ = forget.tick() => self.forget().await,
                _ = look.tick() => self.hand_over(Handed::Look).await,
                order = orders.recv() => {
                    if !self.obey(order, &mut orders).await {
                        return;
                    }
                }
            }
        }
    }

    /// Carries out all commands that are available; returns false when the thread must end.
    async fn obey(&mut self, first: Option<SmsOrder>, orders: &mut mpsc::Receiver<SmsOrder>) -> bool {
        let (mut news, mut last) = (Vec::new(), None);
        let mut next = first;
        let mut go_on = true;
        while let Some(order) = next {
            match order {
                SmsOrder::News(one, number) => {
                    news.push(one);
                    last = number.or(last);
                }
                SmsOrder::Settings(settings) => self.change(*settings).await,
                SmsOrder::Queued(head) => self.hand_over(Handed::Stored(*head)).await,
                SmsOrder::Opt { recipient, out, kept } => {
                    let opt = move |store: &Connection| texts::opt(store, clock::now(), &recipient, out);
                    let _ = kept.send(self.texts.change(Commit::Now, opt).await.is_ok());
                }
                SmsOrder::Stop => go_on = false,
            }
            next = orders.try_recv().ok().filter(|_| go_on && news.len() < limits::SMS_BATCH);
        }
        if !news.is_empty() {
            self.take_in(news).await;
        }
        // SIP messages are released even if their texts cannot be stored.
        if let Some(last) = last {
            self.kept.send_replace(last);
        }
        go_on
    }

    /// Stores commands of calls, including those that the store refused before, and takes up the texts of an earlier
    /// process.
    async fn take_in(&mut self, news: Vec<SmsEvent>) {
        let news: Vec<SmsEvent> = self.unheard.drain(..).chain(news).collect();
        let texts = news.iter().filter(|news| matches!(news, SmsEvent::Send(_))).count();
        let forget = news.iter().filter(|news| matches!(news, SmsEvent::Forget(_))).take(limits::SMS_ORDERS);
        let forget: Vec<SmsEvent> = forget.cloned().collect();
        let is_first = !self.is_taken_up;
        let take_in = move |store: &Connection| -> rusqlite::Result<(Vec<Head>, Queue)> {
            if is_first {
                texts::take_up(store)?;
            }
            Ok((texts::take_in(store, clock::now(), &news)?, texts::queue(store)?))
        };
        match self.texts.change(Commit::Now, take_in).await {
            Ok((heads, queue)) => {
                self.is_taken_up = true;
                self.texts.seen(queue);
                for head in heads {
                    self.hand_over(Handed::Stored(head)).await;
                }
                if is_first {
                    self.hand_over(Handed::Look).await;
                }
            }
            Err(_) => {
                self.texts.counters.unkept.add(u64::try_from(texts).unwrap_or(u64::MAX));
                // A restart would otherwise send a text for an answered call.
                self.unheard = forget;
            }
        }
    }

    async fn hand_over(&self, row: Handed<Infallible>) {
        let _ = self.rows.send(row).await;
    }

    /// Applies a configuration. If the configuration has changed, waiting texts are sent at once.
    async fn change(&mut self, settings: Outlets) {
        let has_changed = {
            let mut now = self.texts.settings.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *now, settings.clone()) != settings
        };
        self.catch_up().await;
        if has_changed {
            self.hand_over(Handed::EndPauses).await;
            self.hand_over(Handed::Look).await;
        }
    }

    /// Takes up the texts of an earlier process, and stores again what the store has refused.
    async fn catch_up(&mut self) {
        // Texts also expire without a service.
        let has_any = || self.texts.settings().is_any() || self.texts.store.has_any();
        if !self.unheard.is_empty() || !self.is_taken_up && has_any() {
            self.take_in(Vec::new()).await;
        }
    }

    async fn forget(&self) {
        if self.is_taken_up {
            let forget = |store: &Connection| match retention::date(store, ClockReading::now())? {
                Some(date) => texts::forget(store, date),
                None => Ok(()),
            };
            let _ = self.texts.change(Commit::Wiped, forget).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkgate_config::{OptOutReplies, Secret, SmsSettings};

    pub(super) fn settings() -> SmsSettings {
        SmsSettings {
            account_sid: "AC0123456789abcdef0123456789abcdef".into(),
            auth_token: Secret::new("12345".into()),
            base_url: "https://api.twilio.com".into(),
            timeout: Duration::from_secs(10),
            status_callback: None,
            expires: Duration::from_secs(3_600),
            per_recipient_per_day: 5,
            per_day: 1_000,
            replies: OptOutReplies::default(),
        }
    }

    #[test]
    fn only_what_waits_for_long_is_a_problem() {
        let counters = SmsCounters::default();
        let now = Timestamp::now();
        assert_eq!(counters.problem_now(now), None);
        counters.queued.store(3, Ordering::Relaxed);
        counters.oldest.store(now.as_second().unsigned_abs() - 600, Ordering::Relaxed);
        counters.tell_problem(Some("answered 500".to_owned().into()));
        let problem = counters.problem_now(now).unwrap().to_string();
        assert_eq!(problem, "3 text messages are queued, the oldest for 10 min: answered 500");
        counters.stranded.store(2, Ordering::Relaxed);
        let problem = counters.problem_now(now).unwrap().to_string();
        assert!(problem.starts_with("2 text messages wait for a service that is not configured any more"), "{problem}");
        counters.count(Ended::Sent);
        assert!(counters.results().any(|result| result == ("sent", 1)));
    }
}
