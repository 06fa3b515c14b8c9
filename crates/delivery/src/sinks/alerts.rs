//! Webhook of problems (`[alerts] url`), a kind of the outbox: a request when the edge starts, when a problem begins
//! and when it has ended, one after the other. An alert is stored before or during its first attempt, and repeated for
//! 24 hours.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde::Serialize;
use tokio::sync::mpsc;
use trunkgate_config::WebhookReceiver;
use trunkgate_system::backoff::Backoff;
use trunkgate_system::limits::{
    ALERT_GIVE_UP_SECONDS, ALERT_PAUSE_MOST_SECONDS, ALERT_QUEUE, ALERTS_WAITING, OUTBOX_BYTES,
};
use trunkgate_system::problem::kind::{ProblemKind, RecordProblem};
use trunkgate_system::problem::{Failure, Problem};

use super::outbox::{DestinationFigures, Event, Handed, Intake, Kind, Pace, Refusal, Row, Settled, Worker, table};
use super::post::PostTarget;
use super::store::Store;

/// Name of alerts among the kinds of the outbox, and their only line, host and share.
const NAME: &str = "alert";
/// Number of rejections after which an alert is given up.
const REJECTIONS: u32 = 3;
const PACE: Pace = Pace {
    rows: ALERTS_WAITING,
    bytes: OUTBOX_BYTES,
    ..Pace::new(
        1,
        1,
        Backoff::new(Duration::from_secs(1), Duration::from_secs(ALERT_PAUSE_MOST_SECONDS)),
        Duration::from_secs(ALERT_GIVE_UP_SECONDS),
    )
};

/// Body of a request to `[alerts] url`.
#[derive(Debug, Serialize)]
pub struct Alert {
    /// `edge.started`: problems of an earlier run are over unless they follow; `problem.began`, `problem.ended`.
    pub event: &'static str,
    /// Time of the event.
    pub timestamp: String,
    /// `[edge] name`.
    pub edge: String,
    /// The event as a sentence, escaped for chat services.
    pub text: String,
    /// The problem; absent for `edge.started`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// Receiver in force, and figures of its alerts.
#[derive(Debug, Default)]
struct AlertState {
    /// Settings of `[alerts]`; `None` without that table.
    receiver: Mutex<Option<WebhookReceiver>>,
    /// Figures of the receiver.
    url: DestinationFigures,
    /// Figures of the store, in which alerts wait.
    store: DestinationFigures,
}

impl AlertState {
    fn receiver(&self) -> Option<WebhookReceiver> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note_full(&self) {
        self.note_failure("too many alerts wait, further ones are lost");
    }

    fn note_failure(&self, what: &str) {
        if self.url.failed(what.to_owned().into()) {
            tracing::error!(reason = "alerts_failed", "alerts are not delivered: {what}");
        }
    }
}

/// Escapes markup of chat services: entities and links of Slack, and mentions such as `@all`. Responses of peers are
/// part of the text.
fn escaped(text: &str) -> String {
    let (mut escaped, mut before) = (String::with_capacity(text.len()), ' ');
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // A zero-width space; the `@` of a SIP address stays as it is.
            '@' if !before.is_alphanumeric() => escaped.push_str("@\u{200b}"),
            letter => escaped.push(letter),
        }
        before = letter;
    }
    escaped
}

/// Handle that hands alerts to the worker without blocking.
#[derive(Debug)]
pub struct AlertSender {
    /// `None` once the worker shall end.
    alerts: Mutex<Option<mpsc::Sender<Handed<Alert>>>>,
    /// Receiving end until the worker has it.
    incoming: Mutex<Option<mpsc::Receiver<Handed<Alert>>>>,
    state: Arc<AlertState>,
}

impl AlertSender {
    /// Creates the handle for the receiver of a configuration.
    pub fn new(receiver: Option<WebhookReceiver>) -> AlertSender {
        let (alerts, incoming) = mpsc::channel(ALERT_QUEUE);
        let state = Arc::new(AlertState { receiver: Mutex::new(receiver), ..AlertState::default() });
        AlertSender { alerts: Mutex::new(Some(alerts)), incoming: Mutex::new(Some(incoming)), state }
    }

    /// Sends alerts until [`AlertSender::end`], then for some more seconds those that wait for no pause. Only the first
    /// call does anything.
    pub fn keep(&self, store: Store) -> impl Future<Output = ()> + use<> {
        let incoming = self.incoming.lock().unwrap_or_else(PoisonError::into_inner).take();
        let worker = Worker::new(store, AlertOutbox(Arc::clone(&self.state)));
        async move {
            if let Some(incoming) = incoming {
                worker.keep(Intake::Handed(incoming)).await;
            }
        }
    }

    /// Hands over an alert if the configuration has a receiver; if the queue is full, the alert is dropped and counted.
    pub fn hand_over(&self, alert: Alert) {
        let alerts = self.alerts.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(alerts) = alerts.as_ref().filter(|_| self.state.receiver().is_some()) else { return };
        let alert = Alert { text: escaped(&alert.text), ..alert };
        if alerts.try_send(Handed::New(Box::new(alert))).is_err() {
            self.state.url.lost.add(1);
            self.state.note_full();
        }
    }

    /// Changes the receiver; alerts that wait are sent to the new one at once, and kept for 24 hours without one.
    /// Returns whether there was none before.
    pub fn configure(&self, receiver: Option<WebhookReceiver>) -> bool {
        let is_added = receiver.is_some();
        let before =
            std::mem::replace(&mut *self.state.receiver.lock().unwrap_or_else(PoisonError::into_inner), receiver);
        // The failure was that of the old receiver.
        self.state.url.took();
        if let Some(alerts) = &*self.alerts.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = alerts.try_send(Handed::EndPauses);
        }
        is_added && before.is_none()
    }

    /// Ends the worker after the alerts that wait for no pause.
    pub fn end(&self) {
        self.alerts.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Returns the figures of the receiver.
    pub fn figures(&self) -> &DestinationFigures {
        &self.state.url
    }

    /// Returns the problem of alerts that `status` reports.
    pub fn problem(&self) -> Option<Problem> {
        let AlertState { url, store, .. } = &*self.state;
        let (waiting, failure) = (url.waiting.get(), url.problem().or_else(|| store.problem())?);
        let problem = Problem::of(ProblemKind::Record(RecordProblem::AlertsNotDelivered));
        Some(problem.shown_by(format!("{failure}; {waiting} wait")).caused_by(&failure))
    }
}

/// Alerts as a kind of deliveries in the outbox.
struct AlertOutbox(Arc<AlertState>);

impl Kind for AlertOutbox {
    const NAME: &'static str = NAME;
    const NOUN: &'static str = "alert";

    type New = Alert;
    type Taken = ();
    type Seen = ();

    fn pace(&self) -> Pace {
        PACE
    }

    fn row(&self, alert: Alert, created: i64) -> Option<Row> {
        let mut row =
            Row::alone(&format!("AL{created:x}"), [NAME; 3], Duration::ZERO, serde_json::to_string(&alert).ok()?);
        NAME.clone_into(&mut row.head.line);
        row.head.created = created;
        Some(row)
    }

    fn most(&self, _: Instant) -> (usize, Option<Instant>) {
        (usize::from(self.0.receiver().is_some()), None)
    }

    async fn attempt(&self, row: &Row, number: u32) -> Result<(), Refusal> {
        let removed = || Refusal::here("the configuration has no [alerts]".to_owned());
        let target = PostTarget::new(self.0.receiver().ok_or_else(removed)?).map_err(Refusal::here)?;
        let (outcome, _) = target.post(None, &row.head.key, row.body.clone().into_bytes()).await;
        outcome.map_err(|refusal| {
            let later = refusal.retry_after();
            // The next alerts wait behind this one.
            let is_final = number >= REJECTIONS && refusal.is_rejection();
            Refusal { later, is_final, ..Refusal::here(format!("{}: {refusal}", target.origin())) }
        })
    }

    fn note(&self, _: &str, _: &Arc<str>, event: Event<'_>) {
        let url = &self.0.url;
        url.count(&event);
        match event {
            Event::Failed(_, refusal, _) | Event::GivenUp(_, refusal) => self.0.note_failure(&refusal.what),
            Event::Dropped | Event::MadeWay(_) => self.0.note_full(),
            Event::Over(_, true) => {
                if url.took() {
                    tracing::info!("alerts are delivered again");
                }
            }
            Event::Entered(_) | Event::Retried | Event::Over(_, false) => {}
        }
    }

    fn stored(&self, done: &io::Result<()>, directory: &Path) {
        match done {
            Ok(()) => drop(self.0.store.took()),
            Err(error) => drop(self.0.store.failed(Failure::of(error, directory))),
        }
    }

    fn settle(&self, store: &Connection, _: &[Settled<()>]) -> rusqlite::Result<()> {
        table::forget(store, NAME, i64::MAX)
    }

    fn seen(&self, (): ()) {}
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn texts_of_peers_are_no_markup() {
        let text = "403 <!channel> @all & sip:ann@example.com (@here)";
        let shown = "403 &lt;!channel&gt; @\u{200b}all &amp; sip:ann@example.com (@\u{200b}here)";
        assert_eq!(escaped(text), shown);
    }
}
