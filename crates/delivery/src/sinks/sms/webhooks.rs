//! Webhooks for received messages, a kind of the outbox. An attempt requests the webhook of a number, and is repeated
//! only if the store fails; the replies are stored together with its outcome. Messages from one sender to one number
//! share a line.

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::Connection;

use super::kept::{self, KeptMessage, Reply, Withheld};
use super::texts::millis;
use crate::sinks::outbox::{Event, Head, Intake, Kind, Outcome, Pace, Refusal, Row, Settled, Worker, table};
use crate::sinks::store::{Commit, Store};
use crate::sinks::wake::TaskWaker;
use trunkgate_system::backoff::Backoff;
use trunkgate_system::limits::{MESSAGE_WEBHOOKS, MESSAGE_WEBHOOKS_OF_HOST, SMS_STORE_PAUSE_SECONDS};

/// Name of these webhooks among the kinds of the outbox.
const NAME: &str = "message";
const PAUSE: Duration = Duration::from_secs(SMS_STORE_PAUSE_SECONDS);

/// Future of the replies to a message, from its application.
type Replies = Pin<Box<dyn Future<Output = Vec<Reply>> + Send>>;

/// Functions of the running edge that the webhooks need.
pub struct Means {
    /// Requests the webhook for a message, given with Twilio's name of its opt-out keyword, if any; returns the
    /// replies.
    pub request: Box<dyn Fn(KeptMessage, Option<String>) -> Replies + Send + Sync>,
    /// Receives the replies to a message that were stored.
    pub answered: Box<dyn Fn(Answered) + Send + Sync>,
}

/// SID of a received message, outbox rows of its replies, and numbers of replies that were not queued.
pub type Answered = (String, Vec<Head>, Withheld);

/// Returns a task that requests the webhooks of received messages, and a function that makes it read the store.
pub fn worker(store: Store, means: Means) -> (impl Future<Output = ()> + Send, impl Fn() + Send) {
    let wake = Arc::<TaskWaker>::default();
    let webhooks = Webhooks { store: store.clone(), means, is_failing: AtomicBool::new(false) };
    (Worker::new(store, webhooks).keep(Intake::Woken(Arc::clone(&wake))), move || wake.wake())
}

/// Adds the outbox row for a received message; `host` is the host of its webhook.
pub(super) fn add(
    store: &Connection,
    message: &KeptMessage,
    opt_out: Option<&str>,
    host: &str,
) -> rusqlite::Result<()> {
    let head = Head {
        key: message.sid.clone(),
        line: format!("{} {}", message.from.as_deref().unwrap_or_default(), message.to),
        host: host.to_owned(),
        place: message.to.clone(),
        share: message.to.clone(),
        created: message.created.as_microsecond(),
        due: millis(message.created),
        attempts: 0,
        bytes: 0,
    };
    table::add(store, NAME, &[Row { head, body: opt_out.unwrap_or_default().to_owned() }])
}

/// Outbox kind of webhooks for received messages.
struct Webhooks {
    store: Store,
    means: Means,
    /// Whether the last access to the store failed.
    is_failing: AtomicBool,
}

impl Kind for Webhooks {
    const NAME: &'static str = NAME;
    const NOUN: &'static str = "received message";

    type New = Infallible;
    type Taken = Vec<Reply>;
    type Seen = Vec<Answered>;

    fn pace(&self) -> Pace {
        Pace::new(MESSAGE_WEBHOOKS, MESSAGE_WEBHOOKS_OF_HOST, Backoff::new(PAUSE, PAUSE), Pace::NEVER)
    }

    fn row(&self, new: Infallible, _: i64) -> Option<Row> {
        match new {}
    }

    async fn attempt(&self, row: &Row, _: u32) -> Result<Vec<Reply>, Refusal> {
        let sid = row.head.key.clone();
        let found = self.store.run(Commit::Now, move |store: &Connection| kept::find(store, &sid)).await;
        let found = found.map_err(|error| Refusal::here(format!("the store cannot be read: {error}")))?;
        let deleted = || Refusal { is_final: true, ..Refusal::here("the message was deleted".to_owned()) };
        let opt_out = Some(row.body.clone()).filter(|word| !word.is_empty());
        Ok((self.means.request)(found.ok_or_else(deleted)?, opt_out).await)
    }

    fn note(&self, sid: &str, _: &Arc<str>, event: Event<'_>) {
        if let Event::Dropped | Event::MadeWay(_) = event {
            tracing::error!("message {sid} is never passed to its webhook, because the queue of messages is full");
        }
    }

    fn stored(&self, done: &io::Result<()>, _: &Path) {
        let was_failing = self.is_failing.swap(done.is_err(), Ordering::Relaxed);
        if let Err(error) = done
            && !was_failing
        {
            tracing::error!(
                "webhooks of messages wait, because messages cannot be read from the store, or replies not written to it: {error}"
            );
        }
    }

    fn settle(&self, store: &Connection, settled: &[Settled<Vec<Reply>>]) -> rusqlite::Result<Vec<Answered>> {
        let mut all = Vec::new();
        for (sid, outcome) in settled {
            match &**outcome {
                Outcome::Delivered(replies) => {
                    let rows = replies.iter().map(|(message, channel, _)| message.head(*channel)).collect();
                    all.push((sid.to_string(), rows, kept::settle_inbound(store, replies)?));
                }
                Outcome::GivenUp(_) => table::remove(store, NAME, &[sid])?,
                Outcome::Failed(_) | Outcome::Dropped => {}
            }
        }
        Ok(all)
    }

    fn seen(&self, all: Vec<Answered>) {
        all.into_iter().for_each(&self.means.answered);
    }
}
