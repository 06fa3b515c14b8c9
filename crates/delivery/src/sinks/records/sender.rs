//! Delivery of call records to the URL, a kind of the outbox: several at once while the endpoint accepts them,
//! otherwise one at a time with growing pauses. The writer stores the records; a reload may change the endpoint.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::TryRng as _;
use rusqlite::Connection;

use super::Figures;
use crate::sinks::outbox::{Event, Kind, Pace, Refusal, Row, Settled, table};
use crate::sinks::post::{PostConnection, PostRefusal, PostTarget};
use crate::sinks::store::disk::{LineFile, named};
use crate::sinks::store::{Store, StoredRecord};
use trunkgate_system::backoff::Backoff;
use trunkgate_system::limits::{CDR_AT_ONCE, CDR_PAUSE_SECONDS, CDR_REFUSALS};
use trunkgate_system::problem::Failure;

/// Name of call records among the kinds of the outbox.
pub(super) const NAME: &str = "record";
/// File for records that the endpoint rejects, in the directory of the store.
const REJECTED: &str = "refused.jsonl";
/// Back-off intervals after failures of the endpoint, and between the attempts of a record that it rejects.
const PAUSES: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(CDR_PAUSE_SECONDS));

/// Returns the outbox row of a call record.
pub(super) fn row(record: &StoredRecord) -> Row {
    Row::alone(&record.sid, [NAME; 3], Duration::ZERO, String::from_utf8_lossy(&record.json).into_owned())
}

/// Endpoint of call records, shared by the writer and the sender.
#[derive(Debug, Default)]
pub(super) struct Endpoint(Mutex<State>);

/// State of the endpoint since the last reload.
#[derive(Debug, Default)]
struct State {
    /// HTTP endpoint; `None` if records are not sent.
    target: Option<Arc<PostTarget>>,
    /// Maximum total size of waiting records, in bytes.
    most_bytes: u64,
    /// Number of the reload that set the endpoint.
    version: u64,
    /// Whether the endpoint has responded with 410 and wants no more records.
    is_gone: bool,
    /// Number of consecutive pauses because of failures.
    failures: u32,
    /// End of the pause after a failure; `None` if requests may be made.
    rests: Option<Instant>,
    connections: Vec<PostConnection>,
    /// Number of records that the endpoint has accepted.
    delivered: u64,
    /// Number of rejections of each record by SID, with `delivered` at the first one.
    rejections: HashMap<String, (u32, u64)>,
}

impl State {
    /// Counts a rejection. Returns true if the record was rejected many times while the endpoint accepted others.
    fn rejects(&mut self, sid: &str) -> bool {
        let (count, since) = self.rejections.entry(sid.to_owned()).or_insert((0, self.delivered));
        *count += 1;
        *count >= CDR_REFUSALS && self.delivered > *since
    }
}

impl Endpoint {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the endpoint and the maximum size of waiting records. Failures of requests to the old endpoint no longer
    /// count.
    pub(super) fn set(&self, endpoint: Option<(PostTarget, u64)>) {
        let mut state = self.lock();
        let (version, old) = (state.version + 1, state.most_bytes);
        let (target, most_bytes) = endpoint.map_or((None, old), |(target, most)| (Some(Arc::new(target)), most));
        *state = State { target, most_bytes, version, ..State::default() };
    }

    /// Returns true if records are sent to an endpoint.
    pub(super) fn is_set(&self) -> bool {
        self.lock().target.is_some()
    }
}

/// Call records as a kind of deliveries in the outbox.
pub(super) struct Sender {
    endpoint: Arc<Endpoint>,
    figures: Arc<Figures>,
    /// Directory of the store.
    directory: PathBuf,
}

impl Sender {
    pub(super) fn new(store: &Store, endpoint: Arc<Endpoint>, figures: Arc<Figures>) -> Sender {
        Sender { endpoint, figures, directory: store.directory().to_owned() }
    }

    /// Evaluates a response of the endpoint to a record.
    fn judge(&self, row: &Row, target: &PostTarget, outcome: Result<(), PostRefusal>) -> Result<(), Refusal> {
        let (sid, now) = (row.head.key.as_str(), Instant::now());
        let mut state = self.endpoint.lock();
        let Err(refusal) = outcome else {
            state.delivered += 1;
            state.rejections.remove(sid);
            (state.failures, state.rests) = (0, None);
            if self.figures.url.took() {
                tracing::info!("call records are delivered again");
            }
            return Ok(());
        };
        self.report(target, &refusal);
        state.is_gone |= refusal == PostRefusal::Gone;
        // Concurrent requests fail together, and count as one failure.
        if state.rests.is_none_or(|at| at <= now) {
            let random = rand::rngs::SysRng.try_next_u32().unwrap_or_default();
            state.failures = state.failures.saturating_add(1);
            state.rests = Some(now + refusal.retry_after().max(PAUSES.pause(state.failures, random)));
        }
        let is_rejected = matches!(refusal, PostRefusal::Answered(..)) && state.rejects(sid);
        let is_final = is_rejected && self.set_aside(row, state.most_bytes, &refusal);
        if is_final {
            state.rejections.remove(sid);
        }
        Err(Refusal { is_final, ..Refusal::here(refusal.to_string()) })
    }

    /// Moves a record that the endpoint rejects while it accepts others to [`REJECTED`]. Returns false if
    /// that fails.
    fn set_aside(&self, row: &Row, most_bytes: u64, refusal: &PostRefusal) -> bool {
        let (sid, path) = (&row.head.key, self.directory.join(REJECTED));
        let moved = LineFile::open(&path).and_then(|mut lines| {
            if lines.bytes() + row.body.len() as u64 > most_bytes {
                return Err(named(&path, &io::Error::from(io::ErrorKind::QuotaExceeded)));
            }
            lines.append(format!("{}\n", row.body).as_bytes())
        });
        match &moved {
            Ok(()) => tracing::error!(
                call = %sid, reason = "cdr_refused",
                "call record rejected {CDR_REFUSALS} times while others were accepted: {refusal}. It was moved to {}",
                path.display()
            ),
            Err(error) => tracing::debug!(call = %sid, "a refused record cannot be put aside: {error}"),
        }
        moved.is_ok()
    }

    fn report(&self, target: &PostTarget, refusal: &PostRefusal) {
        let ends = if *refusal == PostRefusal::Gone { ": delivery stops until the next reload" } else { "" };
        let problem = format!("{}: {refusal}{ends}", target.place());
        if self.figures.url.failed(problem.clone().into()) {
            tracing::error!(
                reason = "cdr_failed",
                "call records are not delivered: {problem}; they are kept on disk and retried"
            );
        }
    }
}

impl Kind for Sender {
    const NAME: &'static str = NAME;
    const NOUN: &'static str = "call record";

    type New = Row;
    type Taken = ();
    type Seen = ();

    fn pace(&self) -> Pace {
        let bytes = usize::try_from(self.endpoint.lock().most_bytes).unwrap_or(usize::MAX);
        Pace { rows: usize::MAX, bytes, ..Pace::new(CDR_AT_ONCE, CDR_AT_ONCE, PAUSES, Pace::NEVER) }
    }

    fn most(&self, now: Instant) -> (usize, Option<Instant>) {
        let state = self.endpoint.lock();
        match state.rests.filter(|at| *at > now) {
            _ if state.target.is_none() || state.is_gone => (0, None),
            Some(at) => (0, Some(at)),
            None if state.failures > 0 => (1, None),
            None => (CDR_AT_ONCE, None),
        }
    }

    fn row(&self, new: Row, _: i64) -> Option<Row> {
        Some(new)
    }

    async fn attempt(&self, row: &Row, _: u32) -> Result<(), Refusal> {
        loop {
            let (target, kept, version) = {
                let mut state = self.endpoint.lock();
                (state.target.clone(), state.connections.pop(), state.version)
            };
            let Some(target) = target else { return Err(Refusal::here("[cdr] has no `url`".to_owned())) };
            let json = row.body.clone().into_bytes();
            let (outcome, connection) = target.post(kept, &row.head.key, json).await;
            let is_current = {
                let mut state = self.endpoint.lock();
                let is_current = state.version == version;
                state.connections.extend(connection.filter(|_| is_current));
                is_current
            };
            match outcome {
                outcome if is_current => return self.judge(row, &target, outcome),
                Ok(()) => return Ok(()),
                // The request went to the old endpoint; the next one goes to the new one.
                Err(_) => {}
            }
        }
    }

    fn note(&self, _: &str, _: &Arc<str>, event: Event<'_>) {
        let Figures { url, full, .. } = &*self.figures;
        url.count(&event);
        match event {
            Event::Entered(_) => {
                if full.took() {
                    tracing::info!("the queue of call records accepts records again");
                }
            }
            Event::Dropped | Event::MadeWay(_) => {
                let kept = "full: the oldest records are kept, new ones are not sent";
                if full.failed(kept.to_owned().into()) {
                    tracing::error!(reason = "cdr_failed", "the queue of call records is {kept}");
                }
            }
            Event::Retried | Event::Failed(..) | Event::GivenUp(..) | Event::Over(..) => {}
        }
    }

    fn stored(&self, done: &io::Result<()>, directory: &Path) {
        note_stored(&self.figures, done, directory);
    }

    fn settle(&self, store: &Connection, _: &[Settled<()>]) -> rusqlite::Result<()> {
        table::forget(store, NAME, i64::MAX)
    }

    fn seen(&self, (): ()) {}
}

/// Records whether the store in `directory` accepted a change of the queue.
pub(super) fn note_stored(figures: &Figures, done: &io::Result<()>, directory: &Path) {
    match done {
        Ok(()) => {
            if figures.store.took() {
                tracing::info!("the queue of call records accepts records again");
            }
        }
        Err(error) => {
            figures.url.failures.add(1);
            if figures.store.failed(Failure::of(error, directory)) {
                tracing::error!(
                    reason = "cdr_failed",
                    "{}: call records cannot be queued for the URL: {error}; `trunkgate status` shows what is lost",
                    directory.display()
                );
            }
        }
    }
}

#[cfg(test)]
mod tests;
