//! Text messages after unanswered calls, and those of the API: a thread of its own keeps them in the store and has a service send each once.

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
use trunkgate_system::problem::{Failure, Harm, Problem};
pub use trunkgate_system::web::{self, Answer, Fault};

/// What the thread is told.
#[derive(Debug)]
pub enum SmsOrder {
    /// By a call; a text that is to be kept has a number, and whoever waits is told once all up to it are kept.
    News(SmsNews, Option<u64>),
    /// By a new configuration; where no service is left to send, what waits is kept.
    Settings(Box<Outlets>),
    /// A message of the API waits.
    Queued,
    /// A recipient opted out of text messages, or wants them again; reported once it is stored.
    Opt {
        /// E.164.
        recipient: String,
        /// Whether none.
        out: bool,
        /// Whether it is kept.
        kept: oneshot::Sender<bool>,
    },
    /// Nothing more comes.
    Stop,
}

/// What is counted of texts.
#[derive(Debug, Default)]
pub struct SmsCounters {
    ended: [Counter; Ended::ALL.len()],
    /// Requests that have to be made again.
    pub(crate) retried: Counter,
    /// Texts that could not be kept: written by the thread.
    unkept: Counter,
    /// The same, where the thread could not even be told.
    pub untold: Counter,
    /// Texts that wait.
    queued: AtomicU64,
    /// Those of them that have no service.
    stranded: AtomicU64,
    /// When the call of the oldest of them ended, in seconds since 1970.
    oldest: AtomicU64,
    /// What went wrong last, until a text is taken.
    problem: Mutex<Option<Failure>>,
    /// Wakes the task that reports the status of messages.
    pub wake: Notify,
}

impl SmsCounters {
    /// How texts have ended, by result.
    pub fn results(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let ended = Ended::ALL.iter().zip(&self.ended).map(|(ended, counter)| (ended.as_str(), counter.get()));
        let lost = self.unkept.get() + self.untold.get();
        ended.chain([("retried", self.retried.get()), ("lost", lost)])
    }
    /// Texts that wait.
    pub fn queued(&self) -> u64 {
        self.queued.load(Ordering::Relaxed)
    }
    /// Returns what is wrong now.
    pub fn problem_now(&self, now: Timestamp) -> Option<Problem> {
        let problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let seconds = u64::try_from(now.as_second()).unwrap_or(0);
        let waits = seconds.saturating_sub(self.oldest.load(Ordering::Relaxed));
        let stranded = self.stranded.load(Ordering::Relaxed);
        if stranded > 0 {
            let what = format!("{stranded} text messages wait for a service that is not configured any more");
            let fix = "add [twilio] or `url` of [messages] again; each fails once `expires` of [sms] has passed";
            return Some(Problem::new(Harm::Records, what).about("text messages without a service").fixed_by(fix));
        }
        let (texts, failure) = (self.queued(), problem.unwrap_or_else(|| "sending in progress".to_owned().into()));
        (texts > 0 && waits >= limits::SMS_STUCK_SECONDS).then(|| {
            let queued = format!("{texts} text messages are queued, the oldest for {} min", waits / 60);
            Problem::new(Harm::Records, queued).shown_by(failure.to_string()).caused_by(&failure)
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

/// Begins the way from calls to the thread: for whoever wants to tell it something, for the signalling loop, for the thread.
pub fn desk() -> (mpsc::Sender<SmsOrder>, Desk, SmsThread) {
    let (orders, orders_in) = mpsc::channel(limits::SMS_ORDERS);
    let (kept_in, kept) = watch::channel(0);
    let desk = Desk { orders: orders.clone(), kept, held: Held::default() };
    (orders, desk, SmsThread { orders: orders_in, kept: kept_in })
}

/// Adds a text to the trace of a call, by its sid.
pub(crate) type Note = Box<dyn Fn(&str, String) + Send>;

/// What the thread is told by, before it has begun.
#[derive(Debug)]
pub struct SmsThread {
    orders: mpsc::Receiver<SmsOrder>,
    kept: watch::Sender<u64>,
}

impl SmsThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system's.
    pub fn start(
        self,
        store: Store,
        settings: Outlets,
        full_numbers: bool,
        counters: Arc<SmsCounters>,
        note: Note,
    ) -> io::Result<JoinHandle<()>> {
        // A full disk keeps no call waiting: it is tried again.
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
            // A name may still be looked up.
            runtime.shutdown_background();
        })
    }
}

/// What a request came to.
enum Done {
    Posted(Posted),
    Looked(Looked, Doubt),
}

struct Sender {
    store: Store,
    /// What an earlier process had begun is taken up: nothing is sent before.
    is_open: bool,
    /// When the store last took nothing.
    refused: Option<Instant>,
    settings: Outlets,
    /// Calls that were answered, which the store does not know yet: their texts are not to be sent.
    unheard: Vec<SmsNews>,
    /// What has become of texts, which the store does not know yet.
    unsettled: Vec<(String, Step)>,
    note: Note,
    kept: watch::Sender<u64>,
    counters: Arc<SmsCounters>,
    full_numbers: bool,
    /// The calls of the texts that a request is under way for.
    under_way: BTreeSet<String>,
    /// Time of the oldest text that waits for a service which is not configured.
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
        // What is under way may still be answered; what is not is looked up at the next start.
        let farewell = Duration::from_secs(limits::FAREWELL_SECONDS);
        let _ = tokio::time::timeout(farewell, async {
            while let Some(done) = self.requests.join_next().await {
                self.settle(done.ok()).await;
            }
        })
        .await;
    }

    /// Takes in what has been said, all of it in one go. `false`: that was the end.
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
        // What cannot be kept is not waited for either.
        if let Some(last) = last {
            self.kept.send_replace(last);
        }
        go_on
    }

    /// Has the store take what calls have said.
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
            // An answered call must get no text after a restart.
            self.unheard = forget;
        }
        self.tell_queue().await;
    }

    /// Repeats what the store has not taken.
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

    /// Whether the file has taken something; if not, so many texts are lost.
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

    /// Takes up what an earlier process had begun, once.
    async fn take_up(&mut self) {
        // Without a service what waits expires all the same.
        if self.has_any() && !self.is_open {
            let done = self.store.run(Commit::Now, |store| texts::take_up(store, clock::now())).await;
            self.is_open = self.has_kept(done, 0);
            self.look_for_stranded().await;
        }
    }

    /// Notes which texts have no service.
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

    /// Ends texts without a service once their time is over; returns when the next one is.
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

    /// Whether there may be texts.
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

    /// Bounds of texts; those of messages are the same without limits of a day.
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

    /// Begins the requests that are due; until when nothing else is, where anything is.
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
            // One that is due already waits for another to the same recipient.
            pause.max(Duration::from_millis(limits::SMS_PAUSE_MILLISECONDS))
        });
        pause.into_iter().chain(expiry).min()
    }

    /// Notes what requests came to: this one's, and what else is there.
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

    /// Notes what has become of texts, and of those whose step could not be noted before. Until then a request counts as under way.
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

    /// What follows from a request's end.
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
                // What was given up may be taken still, and the list may be behind.
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

    /// Adds to the call's trace; where the loop has too much to do, the log alone has it.
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

/// Until a request that has failed so often is made again.
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

/// Makes the request that a text needs next.
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

/// Sends a request, if one could be made.
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
