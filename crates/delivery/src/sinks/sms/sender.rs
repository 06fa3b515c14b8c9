//! Delivery of texts, a kind of the outbox: requests of an attempt, evaluation of their responses, and counters.

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use jiff::Timestamp;
use rusqlite::Connection;
use trunkgate_call::numbers::mask;
use url::Url;

use super::Texts;
use super::bounds::Bounds;
use super::message::{self, Looked, Posted};
use super::outlets::{self, Channel, Outlets};
use super::texts::{self, Begun, Doubt, End, Ended, Job, NAME, Queue};
use crate::sinks::outbox::{Event, Kind, Outcome, Pace, Refusal, Row, Settled, table};
use crate::sinks::store::Commit;
use trunkgate_config::SmsSettings;
use trunkgate_system::backoff::Backoff;
use trunkgate_system::clock;
use trunkgate_system::limits::{
    SMS_ANSWER_BYTES, SMS_BACKOFF_FIRST_MILLISECONDS, SMS_BACKOFF_MOST_SECONDS, SMS_REQUESTS, SMS_SETTLE_SECONDS,
    SMS_STORE_PAUSE_SECONDS,
};
use trunkgate_system::web::{self, ExchangeFault, HttpAnswer};

/// Error code of a failed request; failures of this machine have none.
const ASKED: u32 = 1;
/// Maximum pause after a failed attempt.
const PAUSE_MOST: Duration = Duration::from_secs(SMS_BACKOFF_MOST_SECONDS);

impl Texts {
    /// Makes the request for a text: sends it, or looks it up if it may already have been accepted.
    async fn ask(&self, outlets: &Outlets, job: &Job) -> Result<End, Refusal> {
        match (job.channel, &outlets.twilio, &outlets.service) {
            (Channel::Service, _, Some(service)) => {
                let request = outlets::post(service, &job.call, &job.message, outlets.status_url.as_deref());
                self.posted(job, outlets::judge(&job.call, &answer(service.timeout, request).await)).await
            }
            (Channel::Call | Channel::Twilio, Some(twilio), _) => match job.look {
                Some(doubt) => {
                    let answer = answer(twilio.timeout, message::look(twilio, &job.message)).await;
                    let looked = message::judge_look(&answer, &job.message, doubt.sent, &job.known);
                    self.looked(job, looked, doubt).await
                }
                None => self.posted(job, message::judge_post(&post(twilio, outlets, job).await)).await,
            },
            (Channel::Call | Channel::Twilio, None, _) | (Channel::Service, _, None) => {
                self.retry(job, None).await;
                Err(stranded(PAUSE_MOST))
            }
        }
    }

    /// Evaluates the response to a request that sends a text.
    async fn posted(&self, job: &Job, posted: Posted) -> Result<End, Refusal> {
        match posted {
            Posted::Taken(sid) => Ok(self.sent(job, &format!(": {sid}"), sid)),
            Posted::Refused { opted_out, code, why } => {
                let ended = if opted_out { Ended::OptedOut } else { Ended::Refused };
                self.counters.tell_problem((!opted_out).then(|| why.clone().into()));
                self.ended(&job.call, ended, &format!(" to {}: {why}", self.shown(job)));
                Ok(End { ended, sid: None, code })
            }
            Posted::Later(later, why) => {
                self.retry(job, None).await;
                Err(Refusal { later, ..self.failed(job, &why, "not accepted") })
            }
            Posted::Doubtful(why) => {
                self.retry(job, Some(clock::now())).await;
                Err(self.failed(job, &why, "may have been accepted"))
            }
        }
    }

    /// Evaluates the response to a look-up of a text.
    async fn looked(&self, job: &Job, looked: Looked, doubt: Doubt) -> Result<End, Refusal> {
        match looked {
            Looked::Found(sid) => Ok(self.sent(job, &format!(", found in Twilio's list of messages: {sid}"), sid)),
            Looked::Absent => {
                // The service may still accept an abandoned request, and its list may lag behind.
                let settled = doubt.since + Duration::from_secs(SMS_SETTLE_SECONDS);
                let left = Duration::try_from(settled.duration_since(clock::now())).unwrap_or_default();
                if left.is_zero() {
                    self.retry(job, None).await;
                }
                let what = "Twilio has no such message".to_owned();
                Err(Refusal { later: left, latest: left, ..Refusal::here(what) })
            }
            Looked::Doubtful(why) => Err(self.failed(job, &why, "cannot be looked up")),
        }
    }

    /// Stores that the request for a text is to be repeated. If the store refuses that, the text is looked up first.
    async fn retry(&self, job: &Job, doubted: Option<Timestamp>) {
        let call = job.call.clone();
        let retry = move |store: &Connection| texts::retry(store, &call, doubted);
        let _ = self.change(Commit::Now, retry).await;
    }

    fn sent(&self, job: &Job, details: &str, sid: String) -> End {
        self.counters.tell_problem(None);
        self.ended(&job.call, Ended::Sent, &format!(" to {}{details}", self.shown(job)));
        End { ended: Ended::Sent, sid: Some(sid), code: None }
    }

    /// Counts a failed request that will be repeated.
    fn failed(&self, job: &Job, why: &str, what: &str) -> Refusal {
        self.counters.retried.add(1);
        self.counters.tell_problem(Some(why.to_owned().into()));
        Refusal { code: ASKED, ..Refusal::here(format!("text to {} {what}: {why}", self.shown(job))) }
    }

    fn shown(&self, job: &Job) -> String {
        if self.full_numbers { job.message.to.clone() } else { mask(&job.message.to) }
    }

    /// Counts and logs the outcome of a text.
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
        (self.note)(call, text);
    }
}

impl Kind for Arc<Texts> {
    const NAME: &'static str = NAME;
    const NOUN: &'static str = "text message";

    type New = Infallible;
    type Taken = End;
    type Seen = Queue;

    fn pace(&self) -> Pace {
        // `expires` is checked by each attempt, because a reload may change it.
        let first = Duration::from_millis(SMS_BACKOFF_FIRST_MILLISECONDS);
        Pace::new(SMS_REQUESTS, SMS_REQUESTS, Backoff::new(first, PAUSE_MOST), Pace::NEVER)
    }

    fn row(&self, new: Infallible, _: i64) -> Option<Row> {
        match new {}
    }

    async fn attempt(&self, row: &Row, _: u32) -> Result<End, Refusal> {
        let (call, outlets) = (row.head.key.clone(), self.settings());
        let bounds = Bounds::of(&outlets);
        let begin = move |store: &Connection| texts::begin(store, clock::now(), &bounds, &call);
        match self.change(Commit::Now, begin).await {
            Ok(Begun::Job(job)) => self.ask(&outlets, &job).await,
            Ok(Begun::Over(end)) => {
                let is_refused = end.ended == Ended::Refused;
                let why = if is_refused { ": `allow_prefixes` of [sms] does not permit its recipient" } else { "" };
                self.ended(&row.head.key, end.ended, why);
                Ok(end)
            }
            Ok(Begun::Stranded(left)) => Err(stranded(left)),
            Ok(Begun::Gone) => {
                Err(Refusal { is_final: true, ..Refusal::here("the text does not wait any more".to_owned()) })
            }
            Err(error) => {
                let refusal = Refusal::here(format!("the store cannot be used: {error}"));
                Err(Refusal { later: Duration::from_secs(SMS_STORE_PAUSE_SECONDS), ..refusal })
            }
        }
    }

    fn note(&self, call: &str, _: &Arc<str>, event: Event<'_>) {
        if let Event::Failed(_, Refusal { code: ASKED, what, .. }, next) = event {
            let pause = next.map(|next| Duration::try_from(next.duration_since(clock::now())).unwrap_or_default());
            let text = format!("{what}; {} s until the next attempt", pause.unwrap_or_default().as_secs_f32());
            tracing::info!(call = %call, reason = "sms_retried", "{text}");
            (self.note)(call, text);
        }
    }

    fn stored(&self, done: &io::Result<()>, _: &Path) {
        self.note_stored(done.as_ref().err());
    }

    fn settle(&self, store: &Connection, settled: &[Settled<End>]) -> rusqlite::Result<Queue> {
        let now = clock::now();
        for (call, outcome) in settled {
            match &**outcome {
                Outcome::Delivered(end) => texts::end(store, now, call, end)?,
                Outcome::Failed(_) => {}
                Outcome::GivenUp(_) => table::remove(store, NAME, &[call])?,
                // A dropped text waits in the store until the queue has room.
                Outcome::Dropped => texts::add_stored(store, call)?,
            }
        }
        texts::queue(store)
    }

    fn seen(&self, queue: Queue) {
        Texts::seen(self, queue);
        // Outcomes of messages lead to status callbacks.
        self.counters.wake.notify_one();
    }
}

/// Returns the failure of a text without a configured service; the text expires after this time.
fn stranded(left: Duration) -> Refusal {
    let what = "its service is not configured any more".to_owned();
    Refusal { later: PAUSE_MOST, latest: left, ..Refusal::here(what) }
}

/// Request with its URL, or the reason why it cannot be made.
type Made = Result<(Url, Request<Full<Bytes>>), String>;

async fn post(twilio: &SmsSettings, outlets: &Outlets, job: &Job) -> Result<HttpAnswer, ExchangeFault> {
    let status_url = match job.channel {
        Channel::Call => twilio.status_callback.as_deref(),
        Channel::Twilio | Channel::Service => outlets.status_url.as_deref(),
    };
    answer(twilio.timeout, message::post(twilio, &job.message, status_url)).await
}

/// Sends a request and returns the response.
async fn answer(within: Duration, request: Made) -> Result<HttpAnswer, ExchangeFault> {
    let (url, request) = request.map_err(ExchangeFault::NotSent)?;
    let asked = web::ask(&url, request, |_| SMS_ANSWER_BYTES);
    match tokio::time::timeout(within, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(ExchangeFault::Unanswered(format!("no answer within {} s", within.as_secs_f32()))),
    }
}
