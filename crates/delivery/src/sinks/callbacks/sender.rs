//! Callbacks as a kind of the outbox: rendering of requests, evaluation of responses, and counters.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Connection;
use trunkgate_call::AppCallback;
use trunkgate_call::trace::FINAL_CODES;

use super::figures::LastFailure;
use super::stored::StoredCallback;
use super::{CallbackAttempt, CallbackFigures, CallbackHooks, CallbackReceiver, NAME};
use crate::sinks::outbox::{Event, Intake, Kind, Pace, Refusal, Row, Settled, Worker, table};
use crate::sinks::store::Store;
use crate::webhooks::client::WebhookClient;
use crate::webhooks::outcome::WebhookFailure;
use crate::webhooks::request::{RequestContent, WebhookPurpose, WebhookRequest};
use crate::webhooks::shown_origin;
use trunkgate_system::backoff::Backoff;
use trunkgate_system::clock;
use trunkgate_system::limits::{
    CALLBACK_ATTEMPTS_TOLD, CALLBACK_ATTEMPTS_TRACED, CALLBACK_GIVE_UP_SECONDS, CALLBACK_PAUSE_MILLISECONDS,
    CALLBACK_PAUSE_MOST_SECONDS, CALLBACKS_AT_ONCE, CALLBACKS_AT_ONCE_OF_FAILING, CALLBACKS_AT_ONCE_OF_HOST,
    CALLBACKS_AT_ONCE_OF_UNKNOWN, OUTBOX_BYTES, OUTBOX_WAITING,
};

/// Error code for a failure of this machine, before any request.
const HERE: u32 = 11_200;
const PACE: Pace = Pace {
    at_once: CALLBACKS_AT_ONCE,
    of_host: CALLBACKS_AT_ONCE_OF_HOST,
    of_unknown: CALLBACKS_AT_ONCE_OF_UNKNOWN,
    of_failing: CALLBACKS_AT_ONCE_OF_FAILING,
    pauses: Backoff::new(
        Duration::from_millis(CALLBACK_PAUSE_MILLISECONDS),
        Duration::from_secs(CALLBACK_PAUSE_MOST_SECONDS),
    ),
    give_up: Duration::from_secs(CALLBACK_GIVE_UP_SECONDS),
    rows: OUTBOX_WAITING,
    bytes: OUTBOX_BYTES,
};

/// Sends callbacks and repeats those not accepted by their receivers.
pub struct CallbackWorker(Worker<CallbackOutbox>);

impl CallbackWorker {
    /// Creates the worker that sends callbacks.
    pub fn new(store: Store, means: CallbackHooks, figures: Arc<CallbackFigures>) -> CallbackWorker {
        CallbackWorker(Worker::new(store, CallbackOutbox { means, client: WebhookClient::new(), figures }))
    }

    /// Sends callbacks until all handles are dropped, then for some more seconds those that wait for no back-off pause.
    pub async fn keep(self, incoming: CallbackReceiver) {
        self.0.keep(Intake::Handed(incoming)).await;
    }
}

/// Callbacks as a kind of deliveries in the outbox.
struct CallbackOutbox {
    means: CallbackHooks,
    /// Client of callbacks only, so that they do not use the connections of document requests.
    client: WebhookClient,
    figures: Arc<CallbackFigures>,
}

/// Returns whether an attempt count is high enough to be reported in `status`.
fn is_failing(attempts: u32) -> bool {
    attempts >= CALLBACK_ATTEMPTS_TOLD
}

impl CallbackOutbox {
    /// Builds the HTTP request of a callback with the rules and the signing token currently in force.
    fn render(&self, callback: &StoredCallback) -> WebhookRequest {
        let (reach, auth_token) = (self.means.sending)(callback.allow_private);
        let content = RequestContent::Form(callback.parameters.clone());
        let mut request = WebhookRequest::new(&callback.url, content, WebhookPurpose::Callback, reach);
        request.asker = callback.app.as_str().into();
        request.method = callback.method;
        request.auth_token = auth_token;
        request.idempotency_token.clone_from(&callback.token);
        request
    }
}

fn judge(callback: &StoredCallback, failure: &WebhookFailure) -> Refusal {
    Refusal {
        code: failure.code,
        what: format!("{} ({})", failure.what, shown_origin(&callback.url)),
        call: callback.call.clone(),
        is_heard: failure.answer.is_some(),
        is_final: FINAL_CODES.iter().any(|code| u32::from(*code) == failure.code),
        later: Duration::ZERO,
        latest: Duration::MAX,
    }
}

fn last(refusal: &Refusal, next: Option<Timestamp>) -> LastFailure {
    let Refusal { code, what, call, .. } = refusal.clone();
    LastFailure { code: if code == 0 { HERE } else { code }, what, call, at: clock::now(), next }
}

impl Kind for CallbackOutbox {
    const NAME: &'static str = NAME;
    const NOUN: &'static str = "callback";

    type New = AppCallback;
    type Taken = ();
    type Seen = ();

    fn pace(&self) -> Pace {
        PACE
    }

    fn row(&self, new: AppCallback, created: i64) -> Option<Row> {
        StoredCallback::of(new, created)?.row().ok()
    }

    async fn attempt(&self, row: &Row, number: u32) -> Result<(), Refusal> {
        let unreadable =
            |error| Refusal { is_final: true, ..Refusal::here(format!("its row is not readable: {error}")) };
        let callback = StoredCallback::of_row(row).map_err(unreadable)?;
        let result = self.client.fetch(&self.render(&callback)).await;
        let refusal = result.as_ref().err().map(|failure| judge(&callback, failure));
        if number <= CALLBACK_ATTEMPTS_TRACED || refusal.is_none() {
            (self.means.tried)(CallbackAttempt { callback: &callback, attempt: number, result });
        }
        refusal.map_or(Ok(()), Err)
    }

    fn note(&self, _: &str, app: &Arc<str>, event: Event<'_>) {
        let figures = &self.figures;
        match event {
            Event::Entered(attempts) => figures.added(app, is_failing(attempts)),
            Event::Dropped => figures.dropped(app),
            Event::MadeWay(attempts) => figures.made_way(app, is_failing(attempts)),
            Event::Retried => figures.retried(app),
            Event::Failed(attempts, refusal, next) => {
                let begins = is_failing(attempts) && !is_failing(attempts.saturating_sub(1));
                figures.failed(app, last(refusal, next), begins);
            }
            Event::GivenUp(attempts, refusal) => {
                let last = last(refusal, None);
                tracing::warn!(
                    call = %last.call, "callback of app {app} abandoned after {attempts} attempts: error {}: {}",
                    last.code, last.what
                );
                figures.gave_up(app, last);
            }
            Event::Over(failed, is_delivered) => figures.over(app, is_failing(failed), is_delivered),
        }
    }

    fn stored(&self, done: &io::Result<()>, directory: &Path) {
        self.figures.stored(done, directory);
    }

    fn settle(&self, store: &Connection, _: &[Settled<()>]) -> rusqlite::Result<()> {
        table::forget(store, NAME, i64::MAX)
    }

    fn seen(&self, (): ()) {}
}
