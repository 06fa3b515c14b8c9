//! Outbox: persistent deliveries with retries. It contains the table of rows, the order and times of attempts, and the
//! worker that makes them, but no URL, header or protocol. The outbox depends on the store and on none of its kinds.
//!
//! A **kind** (`Kind`) is one sort of delivery: callbacks, e-mail, transcriptions, call records, texts, webhooks of
//! received messages. It makes one attempt (renders the row as a request and evaluates the response), and receives each
//! event for its counters and its problem "not delivered". Each kind has its own worker and limits, so no kind takes
//! room or turns from another.
//!
//! A **row** (`Row`) has a key, equal in every attempt, by which a receiver recognises a repetition; a line: rows of
//! one line are sent in order, one at a time; a host, which takes turns with other hosts; a place, the receiver at that
//! host; and a share, the party for which it is sent. A row has these states; the store only distinguishes waiting from
//! given up:
//!
//! ```text
//! behind (others of its line) ──> ready (waits for a turn of its host) ──> under way ──> delivered: the row is removed
//! ^                                         │ └──── resting (back-off, Retry-After) <───┴──────> given up: removed, or
//! kept for `status`
//! ```
//!
//! `queue.rs` owns these states. It uses no clock, thread or store: inputs are rows and times, outputs are the next row
//! to send and the time of the next check. `worker.rs` owns the tasks of attempts and the changes of the store. A row
//! is stored before or during its first attempt, by the worker or by others within their own transactions, and removed
//! after a response: delivery is at least once, even across `kill -9`. Outcomes are stored together with changes that
//! the kind makes for them (`Kind::settle()`); failures at most once a second.

mod figures;
pub(super) mod queue;
mod shares;
pub(super) mod table;
mod worker;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::mpsc;
use tokio::time::timeout;

use trunkgate_system::backoff::Backoff;
use trunkgate_system::clock;
use trunkgate_system::limits::{OUTBOX_BYTES, OUTBOX_LOOK_SECONDS, OUTBOX_WAITING};

pub use figures::DestinationFigures;
pub(super) use worker::Worker;

use super::wake::TaskWaker;

/// Row without its body: the fields that determine its turn in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Key of the delivery, unique within its kind, equal in every attempt.
    pub(super) key: String,
    /// Name of the line; the rows of a line are sent in order.
    pub(super) line: String,
    /// Host and port of the destination.
    pub(super) host: String,
    /// Receiver at the host, such as a URL.
    pub(super) place: String,
    /// Party for which the row is sent; it shares the room of the queue with other parties.
    pub(super) share: String,
    /// Time of creation in microseconds since 1970.
    pub(super) created: i64,
    /// Time of the next attempt, in milliseconds since 1970.
    pub(super) due: i64,
    /// Number of failed attempts recorded in the store.
    pub(super) attempts: u32,
    /// Size of the row in memory, in bytes.
    pub(super) bytes: usize,
}

/// Delivery in the outbox with its body.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) head: Head,
    /// Serialised delivery; only the kind interprets it.
    pub(super) body: String,
}

impl Row {
    /// Creates a row in a line of its own, whose first attempt is made after a pause.
    pub(super) fn alone(key: &str, [host, place, share]: [&str; 3], pause: Duration, body: String) -> Row {
        let [key, host, place, share] = [key, host, place, share].map(str::to_owned);
        let now = clock::now();
        let (created, due) = (now.as_microsecond(), now.checked_add(pause).unwrap_or(now).as_millisecond());
        let bytes = table::bytes(&key, &place, &body);
        Row { head: Head { line: key.clone(), key, host, place, share, created, due, attempts: 0, bytes }, body }
    }
}

/// Omits the body, which may contain secrets and numbers.
impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Row").field("key", &self.head.key).finish_non_exhaustive()
    }
}

/// Concurrency limits and retry times of a delivery kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Maximum number of concurrent attempts of the kind.
    pub(super) at_once: usize,
    /// Maximum number of concurrent attempts to a host that responded to the last attempt.
    pub(super) of_host: usize,
    /// Maximum number of concurrent attempts to a host that has not responded yet.
    pub(super) of_unknown: usize,
    /// Maximum number of concurrent attempts to a host that did not respond to the last attempt.
    pub(super) of_failing: usize,
    /// Pauses between the attempts of a row.
    pub(super) pauses: Backoff,
    /// Age at which a row is given up.
    pub(super) give_up: Duration,
    /// Maximum number of rows in the queue.
    pub(super) rows: usize,
    /// Maximum size of the rows in the queue, in bytes.
    pub(super) bytes: usize,
}

impl Pace {
    /// Age limit for a kind that gives rows up by its own rules.
    pub(super) const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);

    /// Returns limits with the same number of concurrent attempts to every host, whether it responds or not.
    pub(super) const fn new(at_once: usize, of_host: usize, pauses: Backoff, give_up: Duration) -> Pace {
        let (rows, bytes) = (OUTBOX_WAITING, OUTBOX_BYTES);
        Pace { at_once, of_host, of_unknown: of_host, of_failing: of_host, pauses, give_up, rows, bytes }
    }
}

/// Failure of an attempt, with the rules for the next one.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    /// Error code defined by the kind.
    pub(super) code: u32,
    /// Reason of the failure, as a clause.
    pub(super) what: String,
    /// SID of the call that the row describes; empty if unknown.
    pub(super) call: String,
    /// True if the failure does not mean that the host is unresponsive: it responded, or was not contacted.
    pub(super) is_heard: bool,
    /// True if no further attempt can succeed.
    pub(super) is_final: bool,
    /// Minimum pause requested by the receiver.
    pub(super) later: Duration,
    /// Maximum pause until the next attempt.
    pub(super) latest: Duration,
}

impl Refusal {
    /// Returns the failure of an attempt for a reason on this machine.
    pub(super) fn here(what: String) -> Refusal {
        let (call, later, latest) = (String::new(), Duration::ZERO, Duration::MAX);
        Refusal { code: 0, what, call, is_heard: true, is_final: false, later, latest }
    }
}

/// Event of a row, for the counters of its kind.
#[derive(Debug)]
pub(super) enum Event<'a> {
    /// The row entered the queue, after this many failed attempts.
    Entered(u32),
    /// The new row was dropped because the queue was full.
    Dropped,
    /// The waiting row was dropped in favour of others, after this many attempts.
    MadeWay(u32),
    /// A further attempt starts after a failed one.
    Retried,
    /// An attempt failed; contains the number of attempts, the failure and the time of the next attempt.
    Failed(u32, &'a Refusal, Option<Timestamp>),
    /// The last attempt failed; contains the number of attempts and the failure.
    GivenUp(u32, &'a Refusal),
    /// The row left the queue after this many failed attempts; true if it was delivered.
    Over(u32, bool),
}

/// Outcome of a row, as it is stored.
#[derive(Debug)]
pub(super) enum Outcome<T> {
    /// The receiver accepted the row, which is removed from the store.
    Delivered(T),
    /// An attempt failed, and another one follows.
    Failed(Failure),
    /// The last attempt failed. The row stays in the store until the kind removes it.
    GivenUp(Failure),
    /// The queue was full; the row is removed from the store.
    Dropped,
}

/// Key of a row with its outcome.
pub(super) type Settled<T> = (Arc<str>, Arc<Outcome<T>>);

/// Failed attempt as stored; times are in milliseconds since 1970.
#[derive(Debug)]
pub(super) struct Failure {
    /// Number of failed attempts of the row.
    pub(super) attempts: u32,
    /// Time of the last failure.
    pub(super) at: i64,
    /// Time of the next attempt.
    pub(super) due: i64,
    /// Reason of the last failure, as a clause.
    pub(super) error: String,
}

impl<T> Outcome<T> {
    /// Returns true if the row has left the queue.
    fn is_over(&self) -> bool {
        !matches!(self, Outcome::Failed(_))
    }
}

/// Kind of delivery: makes attempts for rows, and counts their events.
pub(super) trait Kind: Send + Sync + 'static {
    /// Name of the kind in the store.
    const NAME: &'static str;
    /// Noun for a row in messages.
    const NOUN: &'static str;
    /// Delivery as handed over, before it becomes a row.
    type New: Send;
    /// Result of a successful attempt, passed to [`Kind::settle`].
    type Taken: Send + Sync + 'static;
    /// Data that the kind reads from its tables.
    type Seen: Send + 'static;

    /// Returns the limits and retry times of the kind.
    fn pace(&self) -> Pace;

    /// Returns the maximum number of concurrent attempts at this time, and the time at which that changes by itself.
    fn most(&self, _now: Instant) -> (usize, Option<Instant>) {
        (usize::MAX, None)
    }

    /// Creates the row of a delivery made at `created` (microseconds since 1970); `None` if there is nothing to
    /// deliver.
    fn row(&self, new: Self::New, created: i64) -> Option<Row>;

    /// Makes an attempt to deliver a row; `number` counts from 1.
    fn attempt(&self, row: &Row, number: u32) -> impl Future<Output = Result<Self::Taken, Refusal>> + Send;

    /// Records an event of the row with this key and share.
    fn note(&self, key: &str, share: &Arc<str>, event: Event<'_>);

    /// Records whether the store in this directory accepted a change.
    fn stored(&self, done: &io::Result<()>, directory: &Path);

    /// Changes the kind's own tables in the transaction that stores these outcomes, and reads them. Also called without
    /// outcomes.
    ///
    /// # Errors
    /// Returns the error of the store.
    fn settle(&self, store: &Connection, settled: &[Settled<Self::Taken>]) -> rusqlite::Result<Self::Seen>;

    /// Receives the data read by [`Kind::settle`], after the transaction is committed.
    fn seen(&self, seen: Self::Seen);
}

/// Message to the worker of a delivery kind.
#[derive(Debug)]
pub enum Handed<N> {
    /// Delivery that is not stored yet.
    New(Box<N>),
    /// Row that is already in the store.
    Stored(Head),
    /// Request to read the rows of the store again.
    Look,
    /// The receivers have changed: resting rows are sent at once.
    EndPauses,
}

/// Source of the deliveries of a worker.
#[derive(Debug)]
pub(super) enum Intake<N> {
    /// Deliveries are handed over through a channel.
    Handed(mpsc::Receiver<Handed<N>>),
    /// The worker is woken to read the store, in which others have written or removed rows.
    Woken(Arc<TaskWaker>),
}

impl<N> Intake<N> {
    /// Waits for the next message; `None` if the worker must end.
    async fn next(&mut self) -> Option<Handed<N>> {
        match self {
            Intake::Handed(handed) => handed.recv().await,
            Intake::Woken(wake) => {
                let _ = timeout(Duration::from_secs(OUTBOX_LOOK_SECONDS), wake.woken()).await;
                (!wake.is_stopped()).then_some(Handed::Look)
            }
        }
    }

    /// Returns a message that is already available.
    fn try_next(&mut self) -> Option<Handed<N>> {
        match self {
            Intake::Handed(handed) => handed.try_recv().ok(),
            Intake::Woken(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
