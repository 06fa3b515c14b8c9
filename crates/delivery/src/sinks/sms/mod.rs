//! Text messages after unanswered calls, and messages of the API. A separate thread stores them and sends each once
//! through a service.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rand::TryRng;
use rusqlite::Connection;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use trunkgate_call::SmsNews;
use trunkgate_call::numbers::mask;
use trunkgate_media::counters::Counter;
use url::Url;

mod due;
pub mod held;
pub mod kept;
mod message;
pub mod opt_out;
pub mod outlets;
pub mod reports;
pub mod segments;
mod texts;

use held::{Desk, Held};
use message::{Looked, Posted};
use outlets::{Channel, Outlets};
pub(crate) use texts::Ended;
use texts::{Bounds, Doubt, Job, Step};

use crate::sinks::store::{Commit, Store, retention};
use trunkgate_config::Sms;
use trunkgate_system::backoff::Backoff;
use trunkgate_system::clock;
use trunkgate_system::clock::ClockReading;
use trunkgate_system::limits;
use trunkgate_system::problem::kind::{ProblemKind, RecordProblem};
use trunkgate_system::problem::{Failure, Problem};
pub use trunkgate_system::web::{self, Answer, Fault};

/// Command to the text thread.
#[derive(Debug)]
pub enum SmsOrder {
    /// Command of a call. A text to be stored has a number; waiting messages are released when all texts up to it are
    /// stored.
    News(SmsNews, Option<u64>),
    /// New configuration; without a service the waiting texts are kept.
    Settings(Box<Outlets>),
    /// A message of the API was queued.
    Queued,
    /// A recipient opted out of text messages or in again; confirmed when stored.
    Opt {
        /// Recipient in E.164.
        recipient: String,
        /// True for an opt-out, false for an opt-in.
        out: bool,
        /// Receives true if the change was stored.
        kept: oneshot::Sender<bool>,
    },
    /// No further commands follow.
    Stop,
}

/// Counters of texts.
#[derive(Debug, Default)]
pub struct SmsCounters {
    ended: [Counter; Ended::ALL.len()],
    /// Repeated requests.
    pub(crate) retried: Counter,
    /// Texts that could not be stored; written by the text thread.
    unkept: Counter,
    /// Texts lost because the queue to the text thread was full.
    pub untold: Counter,
    /// Waiting texts.
    queued: AtomicU64,
    /// Waiting texts without a configured service.
    stranded: AtomicU64,
    /// Time in seconds since 1970 at which the call of the oldest waiting text ended.
    oldest: AtomicU64,
    /// Last failure, until a text is accepted.
    problem: Mutex<Option<Failure>>,
    /// Wakes the task that sends status callbacks.
    pub wake: Notify,
}

impl SmsCounters {
    /// Returns the number of texts by result.
    pub fn results(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let ended = Ended::ALL.iter().zip(&self.ended).map(|(ended, counter)| (ended.as_str(), counter.get()));
        let lost = self.unkept.get() + self.untold.get();
        ended.chain([("retried", self.retried.get()), ("lost", lost)])
    }
    /// Returns the number of waiting texts.
    pub fn queued(&self) -> u64 {
        self.queued.load(Ordering::Relaxed)
    }
    /// Returns the current problem.
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

/// Creates the channels to the text thread: for commands, for the signalling loop, and for the thread.
pub fn desk() -> (mpsc::Sender<SmsOrder>, Desk, SmsThread) {
    let (orders, orders_in) = mpsc::channel(limits::SMS_ORDERS);
    let (kept_in, kept) = watch::channel(0);
    let desk = Desk { orders: orders.clone(), kept, held: Held::default() };
    (orders, desk, SmsThread { orders: orders_in, kept: kept_in })
}

/// Adds a text to the trace of a call, by its SID.
pub(crate) type Note = Box<dyn Fn(&str, String) + Send>;

/// Receiving ends of the text thread before it starts.
#[derive(Debug)]
pub struct SmsThread {
    orders: mpsc::Receiver<SmsOrder>,
    kept: watch::Sender<u64>,
}

impl SmsThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn start(
        self,
        store: Store,
        settings: Outlets,
        full_numbers: bool,
        counters: Arc<SmsCounters>,
        note: Note,
    ) -> io::Result<JoinHandle<()>> {
        // A full disk delays no call: the step is retried.
        let taken_up = settings.is_any().then(|| store.run_now(|store| texts::take_up(store, clock::now())));
        let is_open = matches!(taken_up, Some(Ok(())));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let SmsThread { orders, kept } = self;
        let sender = Sender {
            store,
            is_open,
            refused: None,
            unheard: Vec::new(),
            unsettled: Vec::new(),
            settings,
            note,
            kept,
            counters,
            full_numbers,
            under_way: BTreeSet::new(),
            stranded_since: None,
            requests: JoinSet::new(),
        };
        std::thread::Builder::new().name("sms".into()).spawn(move || {
            runtime.block_on(sender.run(orders));
            // A DNS lookup may still be in progress.
            runtime.shutdown_background();
        })
    }
}

/// Result of a request.
enum Done {
    Posted(Posted),
    Looked(Looked, Doubt),
}

struct Sender {
    store: Store,
    /// True when the texts of an earlier process have been recovered; nothing is sent before.
    is_open: bool,
    /// Time of the last refusal by the store.
    refused: Option<Instant>,
    settings: Outlets,
    /// Answered calls not yet known to the store; their texts must not be sent.
    unheard: Vec<SmsNews>,
    /// Results of texts not yet known to the store.
    unsettled: Vec<(String, Step)>,
    note: Note,
    kept: watch::Sender<u64>,
    counters: Arc<SmsCounters>,
    full_numbers: bool,
    /// Calls with a request under way.
    under_way: BTreeSet<String>,
    /// Time of the oldest text waiting for a service that is not configured.
    stranded_since: Option<Timestamp>,
    requests: JoinSet<(Job, Done)>,
}

impl Sender {
    async fn run(mut self, mut orders: mpsc::Receiver<SmsOrder>) {
        let mut forget = tokio::time::interval(Duration::from_secs(limits::SMS_FORGET_SECONDS));
        loop {
            let pause = self.send_due().await;
            tokio::select! {
                order = orders.recv() => {
                    if !self.obey(order, &mut orders).await {
                        break;
                    }
                }
                Some(done) = self.requests.join_next() => self.settle(done.ok()).await,
                () = sleep(pause) => {}
                _ = forget.tick() => self.forget().await,
            }
        }
        // Requests under way may still complete; the others are looked up at the next start.
        let farewell = Duration::from_secs(limits::FAREWELL_SECONDS);
        let _ = tokio::time::timeout(farewell, async {
            while let Some(done) = self.requests.join_next().await {
                self.settle(done.ok()).await;
            }
        })
        .await;
    }

    /// Handles all available commands as a batch. Returns false after the last command.
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
                SmsOrder::Queued => self.take_up().await,
                SmsOrder::Opt { recipient, out, kept } => {
                    let opt = move |store: &Connection| texts::opt(store, clock::now(), &recipient, out);
                    let done = self.store.run(Commit::Now, opt).await;
                    let _ = kept.send(self.has_kept(done, 0));
                }
                SmsOrder::Stop => go_on = false,
            }
            next = orders.try_recv().ok().filter(|_| go_on && news.len() < limits::SMS_BATCH);
        }
        if !news.is_empty() {
            self.take_in(news).await;
        }
        // Messages do not wait for a text that cannot be stored.
        if let Some(last) = last {
            self.kept.send_replace(last);
        }
        go_on
    }

    /// Stores the commands of calls.
    async fn take_in(&mut self, news: Vec<SmsNews>) {
        let news: Vec<SmsNews> = self.unheard.drain(..).chain(news).collect();
        let texts = news.iter().filter(|news| matches!(news, SmsNews::Send(_))).count();
        let texts = u64::try_from(texts).unwrap_or(u64::MAX);
        let forget = news.iter().filter(|news| matches!(news, SmsNews::Forget(_))).take(limits::SMS_ORDERS);
        let forget: Vec<SmsNews> = forget.cloned().collect();
        let done = if self.is_open {
            self.store.run(Commit::Now, move |store| texts::take_in(store, clock::now(), &news)).await
        } else {
            Err(io::Error::other("the store cannot be used"))
        };
        if !self.has_kept(done, texts) {
            // An answered call must not get a text after a restart.
            self.unheard = forget;
        }
        self.tell_queue().await;
    }

    /// Repeats changes refused by the store.
    async fn catch_up(&mut self) {
        let pause = Duration::from_secs(limits::SMS_STORE_PAUSE_SECONDS);
        if self.refused.is_some_and(|since| since.elapsed() < pause) {
            return;
        }
        self.take_up().await;
        if self.is_open && !self.unheard.is_empty() {
            self.take_in(Vec::new()).await;
        }
        if self.is_open && !self.unsettled.is_empty() {
            self.settle_steps(Vec::new()).await;
        }
    }

    /// Handles the result of a store operation; returns whether it succeeded. After a failure `texts` texts count as
    /// lost.
    fn has_kept(&mut self, done: io::Result<()>, texts: u64) -> bool {
        let Err(error) = done else {
            if self.refused.take().is_some() {
                tracing::info!("text messages are stored again");
            }
            return true;
        };
        self.counters.unkept.add(texts);
        if self.refused.replace(Instant::now()).is_none() {
            tracing::error!(reason = "sms_not_kept", "text messages cannot be stored: {error}");
            self.counters.tell_problem(Some(Failure::of(&error, self.store.directory())));
        }
        false
    }

    async fn change(&mut self, settings: Outlets) {
        self.settings = settings;
        self.take_up().await;
        self.look_for_stranded().await;
    }

    /// Recovers the texts of an earlier process, once.
    async fn take_up(&mut self) {
        // Without a service the waiting texts expire nevertheless.
        if self.has_any() && !self.is_open {
            let done = self.store.run(Commit::Now, |store| texts::take_up(store, clock::now())).await;
            self.is_open = self.has_kept(done, 0);
            self.look_for_stranded().await;
        }
    }

    /// Updates the texts without a service.
    async fn look_for_stranded(&mut self) {
        if !self.is_open {
            return;
        }
        let bounds = self.bounds();
        let look = move |store: &Connection| due::all_stranded(store, &bounds);
        let Ok((texts, oldest)) = self.store.run(Commit::Now, look).await else { return };
        self.counters.stranded.store(texts, Ordering::Relaxed);
        self.stranded_since = oldest;
        self.tell_queue().await;
    }

    /// Ends expired texts without a service; returns the time until the next one expires.
    async fn expire_stranded(&mut self, now: Timestamp) -> Option<Duration> {
        let bounds = self.bounds();
        let after = Duration::from_secs(u64::try_from(bounds.expires).unwrap_or(0));
        let is_over = |since: Timestamp| since + after < now;
        if after.is_zero() {
            return None;
        }
        if self.stranded_since.is_some_and(is_over) {
            let expire = move |store: &Connection| texts::expire(store, now, &bounds);
            let over = self.store.run(Commit::Now, expire).await.unwrap_or_default();
            over.iter().for_each(|(call, ended)| self.ended(call, *ended, ": its service is not configured any more"));
            self.counters.wake.notify_one();
            self.look_for_stranded().await;
        }
        let left = Duration::try_from((self.stranded_since? + after).duration_since(now)).unwrap_or_default();
        Some(left + Duration::from_secs(1))
    }

    /// Returns whether texts are possible: a service is configured or a store exists.
    fn has_any(&self) -> bool {
        self.settings.is_any() || self.store.has_any()
    }

    async fn forget(&mut self) {
        self.take_up().await;
        if self.is_open {
            let forget = |store: &Connection| match retention::date(store, ClockReading::now())? {
                Some(date) => texts::forget(store, date),
                None => Ok(()),
            };
            let done = self.store.run(Commit::Wiped, forget).await;
            self.has_kept(done, 0);
            self.look_for_stranded().await;
        }
    }

    /// Returns the limits of texts after calls; API messages have no daily limits.
    fn bounds(&self) -> Bounds {
        let (twilio, service) = (self.settings.twilio.as_ref(), self.settings.service.is_some());
        let expires = twilio.map_or(limits::MESSAGE_EXPIRES_SECONDS, |twilio| twilio.expires.as_secs());
        Bounds {
            per_recipient: twilio.map_or(0, |twilio| twilio.per_recipient_per_day),
            per_day: twilio.map_or(0, |twilio| twilio.per_day),
            expires: i64::try_from(expires).unwrap_or(i64::MAX / 1_000),
            twilio: twilio.is_some(),
            service,
            allow_prefixes: self.settings.allow_prefixes.clone(),
        }
    }

    /// Starts due requests; returns the time until the next one is due.
    async fn send_due(&mut self) -> Option<Duration> {
        self.catch_up().await;
        if !self.has_any() {
            return None;
        }
        let now = clock::now();
        let most = limits::SMS_REQUESTS.saturating_sub(self.under_way.len());
        if !self.is_open || !self.unheard.is_empty() || !self.unsettled.is_empty() {
            return Some(Duration::from_secs(limits::SMS_STORE_PAUSE_SECONDS));
        }
        let expiry = self.expire_stranded(now).await;
        if most == 0 || !self.settings.is_any() {
            return expiry;
        }
        let bounds = self.bounds();
        let (under_way, of_due) = (self.under_way.clone(), bounds.clone());
        let due = move |store: &Connection| texts::due(store, now, &of_due, &under_way, most);
        let (jobs, over) = match self.store.run(Commit::Now, due).await {
            Ok(found) => found,
            Err(error) => {
                self.has_kept(Err(error), 0);
                return Some(Duration::from_secs(limits::SMS_STORE_PAUSE_SECONDS));
            }
        };
        for (call, ended) in &over {
            let is_refused = *ended == Ended::Refused;
            let why = if is_refused { ": `allow_prefixes` of [sms] does not permit its recipient" } else { "" };
            self.ended(call, *ended, why);
        }
        if !over.is_empty() {
            self.counters.wake.notify_one();
            self.tell_queue().await;
        }
        for job in jobs {
            self.under_way.insert(job.call.clone());
            self.requests.spawn(ask(self.settings.clone(), job));
        }
        let under_way = self.under_way.clone();
        let next = self.store.run(Commit::Now, move |store| texts::next_due(store, &bounds, &under_way)).await;
        let pause = next.ok().flatten().map(|next| {
            let pause = Duration::try_from(next.duration_since(clock::now())).unwrap_or(Duration::ZERO);
            // A text that is due already waits for another one to the same recipient.
            pause.max(Duration::from_millis(limits::SMS_PAUSE_MILLISECONDS))
        });
        pause.into_iter().chain(expiry).min()
    }

    /// Handles the result of a request and all further available ones.
    async fn settle(&mut self, first: Option<(Job, Done)>) {
        let now = clock::now();
        let mut steps = Vec::new();
        let mut next = first;
        while let Some((job, done)) = next {
            let step = self.step(now, &job, done);
            steps.push((job.call, step));
            next = self.requests.try_join_next().and_then(Result::ok);
        }
        self.settle_steps(steps).await;
    }

    /// Stores the results of texts, including those refused before. Until stored, a request counts as under way.
    async fn settle_steps(&mut self, steps: Vec<(String, Step)>) {
        self.unsettled.extend(steps);
        let (now, steps) = (clock::now(), self.unsettled.clone());
        let done = self.store.run(Commit::Now, move |store| texts::settle(store, now, &steps)).await;
        if self.has_kept(done, 0) {
            for (call, _) in self.unsettled.drain(..) {
                self.under_way.remove(&call);
            }
            self.counters.wake.notify_one();
            self.tell_queue().await;
        }
    }

    /// Returns the next step of a text after a request.
    fn step(&self, now: Timestamp, job: &Job, done: Done) -> Step {
        let to = if self.full_numbers { job.message.to.clone() } else { mask(&job.message.to) };
        let (call, failures) = (&job.call, job.tries + 1);
        let again = |least: Duration, why: &str, what: &str| {
            self.counters.retried.add(1);
            self.counters.tell_problem(Some(why.to_owned().into()));
            let pause = pause(failures).max(least);
            let text = format!("text to {to} {what}: {why}; {} s until the next attempt", pause.as_secs_f32());
            tracing::info!(call = %call, reason = "sms_retried", "{text}");
            self.note(call, text);
            now + pause
        };
        match done {
            Done::Posted(Posted::Taken(sid)) => {
                self.counters.tell_problem(None);
                self.ended(call, Ended::Sent, &format!(" to {to}: {sid}"));
                Step::End(Ended::Sent, Some(sid), None)
            }
            Done::Posted(Posted::Refused { opted_out, code, why }) => {
                let ended = if opted_out { Ended::OptedOut } else { Ended::Refused };
                self.counters.tell_problem((!opted_out).then(|| why.clone().into()));
                self.ended(call, ended, &format!(" to {to}: {why}"));
                Step::End(ended, None, code)
            }
            Done::Posted(Posted::Later(least, why)) => Step::Again(again(least, &why, "not taken"), failures),
            Done::Posted(Posted::Doubtful(why)) => {
                Step::Doubt(again(Duration::ZERO, &why, "may have been taken"), failures)
            }
            Done::Looked(Looked::Found(sid), _) => {
                self.counters.tell_problem(None);
                self.ended(call, Ended::Sent, &format!(" to {to}, as a look at Twilio's list shows: {sid}"));
                Step::End(Ended::Sent, Some(sid), None)
            }
            Done::Looked(Looked::Absent, doubt) => {
                let settled = doubt.since + Duration::from_secs(limits::SMS_SETTLE_SECONDS);
                // An abandoned request may still be accepted, and Twilio's list may lag behind.
                if now < settled { Step::LookUp(settled, job.tries) } else { Step::Again(now, job.tries) }
            }
            Done::Looked(Looked::Doubtful(why), _) => {
                Step::LookUp(again(Duration::ZERO, &why, "cannot be looked up"), failures)
            }
        }
    }

    fn ended(&self, call: &str, ended: Ended, details: &str) {
        self.counters.count(ended);
        let what = match ended {
            Ended::Sent => "text sent",
            Ended::Refused => "text refused",
            Ended::OptedOut => "no text message: the recipient opted out (STOP)",
            Ended::Limited => "no text message: the daily limit is reached",
            Ended::Expired => "no text message: expired",
            Ended::Unknown => "delivery of the text message is unknown, and it has expired",
        };
        let text = format!("{what}{details}");
        if ended == Ended::Refused {
            tracing::warn!(call = %call, reason = "sms_refused", "{text}");
        } else {
            tracing::info!(call = %call, "{text}");
        }
        self.note(call, text);
    }

    /// Adds a text to the call's trace; if the signalling loop is overloaded, it is only logged.
    fn note(&self, call: &str, text: String) {
        (self.note)(call, text);
    }

    async fn tell_queue(&self) {
        let Ok(queue) = self.store.run(Commit::Now, texts::queue).await else { return };
        self.counters.queued.store(queue.texts, Ordering::Relaxed);
        let oldest = queue.oldest.and_then(|at| u64::try_from(at.as_second()).ok()).unwrap_or(0);
        self.counters.oldest.store(oldest, Ordering::Relaxed);
    }
}

/// Returns the pause after this many failures.
fn pause(failures: u32) -> Duration {
    const BACKOFF: Backoff = Backoff::new(
        Duration::from_millis(limits::SMS_BACKOFF_FIRST_MILLISECONDS),
        Duration::from_secs(limits::SMS_BACKOFF_MOST_SECONDS),
    );
    BACKOFF.pause(failures, rand::rngs::SysRng.try_next_u32().unwrap_or(0))
}

async fn sleep(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}

/// Makes the next request for a text.
async fn ask(outlets: Outlets, job: Job) -> (Job, Done) {
    let done = match (job.channel, &outlets.twilio, &outlets.service) {
        (Channel::Service, _, Some(service)) => {
            let request = outlets::post(service, &job.call, &job.message, outlets.status_url.as_deref());
            Done::Posted(outlets::judge(&job.call, &answer(service.timeout, request).await))
        }
        (Channel::Call | Channel::Twilio, Some(twilio), _) => ask_twilio(twilio, &outlets, &job).await,
        (Channel::Call | Channel::Twilio, None, _) | (Channel::Service, _, None) => {
            Done::Posted(Posted::Later(Duration::ZERO, "its service is not configured any more".to_owned()))
        }
    };
    (job, done)
}

async fn ask_twilio(twilio: &Sms, outlets: &Outlets, job: &Job) -> Done {
    let status_url = match job.channel {
        Channel::Call => twilio.status_callback.as_deref(),
        Channel::Twilio | Channel::Service => outlets.status_url.as_deref(),
    };
    let request = match job.look {
        Some(_) => message::look(twilio, &job.message),
        None => message::post(twilio, &job.message, status_url),
    };
    let answer = answer(twilio.timeout, request).await;
    match job.look {
        Some(doubt) => Done::Looked(message::judge_look(&answer, &job.message, doubt.sent, &job.known), doubt),
        None => Done::Posted(message::judge_post(&answer)),
    }
}

/// Sends a request, if it could be built.
async fn answer(
    within: Duration,
    request: Result<(Url, hyper::Request<http_body_util::Full<hyper::body::Bytes>>), String>,
) -> Result<Answer, Fault> {
    let (url, request) = request.map_err(Fault::NotSent)?;
    let asked = web::ask(&url, request, |_| limits::SMS_ANSWER_BYTES);
    match tokio::time::timeout(within, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(Fault::Unanswered(format!("no answer within {} s", within.as_secs_f32()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkgate_config::{Replies, Secret};

    pub(super) fn settings() -> Sms {
        Sms {
            account_sid: "AC0123456789abcdef0123456789abcdef".into(),
            auth_token: Secret::new("12345".into()),
            base_url: "https://api.twilio.com".into(),
            timeout: Duration::from_secs(10),
            status_callback: None,
            expires: Duration::from_secs(3_600),
            per_recipient_per_day: 5,
            per_day: 1_000,
            replies: Replies::default(),
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
