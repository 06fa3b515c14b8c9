//! Outbox: persistent deliveries with retries. It contains the table of rows, the order and times of attempts, and the
//! worker that makes them, but no URL, header or protocol. The outbox depends on the store and on none of its kinds.
//!
//! A **kind** (`Kind`) is one sort of delivery: callbacks, e-mail. It makes one attempt (renders the row as a request
//! and evaluates the response), and receives each event for its counters and its problem "not delivered". Each kind has
//! its own worker and limits, so no kind takes room or turns from another.
//!
//! A **row** (`Row`) has a key, equal in every attempt, by which a receiver recognises a repetition; a line: rows of
//! one line are sent in order, one at a time; a host, which takes turns with other hosts; a place, the receiver at that
//! host; and a share, the party for which it is sent. A row has these states; the store only distinguishes waiting from
//! given up:
//!
//! ```text
//! behind (others of its line) ──> ready (waits for a turn of its host) ──> under way ──> delivered: the row is removed
//!                                   ^                                         │
//!                                   └──── resting (back-off, Retry-After) <───┴──────> given up: removed, or kept for `status`
//! ```
//!
//! `queue.rs` owns these states. It uses no clock, thread or store: inputs are rows and times, outputs are the next row
//! to send and the time of the next check. `worker.rs` owns the tasks of attempts and the changes of the store. A row
//! is stored before or during its first attempt, and removed after a response: delivery is at least once, even across
//! `kill -9`. The rows of a kind that follows the store (`FOLLOWS_STORE`) are written by others within their own
//! transactions; its failures are stored in the row.
//!
//! Call records, texts and transcriptions are not kinds: each has its own queue.

pub(super) mod queue;
mod shares;
pub(super) mod table;
mod worker;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::mpsc;

use trunkgate_system::backoff::Backoff;

pub(super) use worker::Worker;

use super::wake::Wake;

/// Row without its body: the fields that determine its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Key of the delivery, unique within its kind.
    pub(super) key: String,
    /// Name of the line; rows of a line are sent in order.
    pub(super) line: String,
    /// Host and port of the destination.
    pub(super) host: String,
    /// Receiver at the host.
    pub(super) place: String,
    /// Party for which it is sent, used to share the room of the queue.
    pub(super) share: String,
    /// Time of creation in microseconds since 1970.
    pub(super) created: i64,
    /// Time of the next attempt, in milliseconds since 1970.
    pub(super) due: i64,
    /// Number of failed attempts recorded in the store.
    pub(super) attempts: u32,
    /// Size in bytes.
    pub(super) bytes: usize,
}

/// Row with its body.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) head: Head,
    /// Serialised delivery, interpreted by the kind.
    pub(super) body: String,
}

/// Omits the body, which may contain secrets and numbers.
impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Row").field("key", &self.head.key).finish_non_exhaustive()
    }
}

/// Concurrency limits and retry times of a kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Maximum number of concurrent attempts.
    pub(super) at_once: usize,
    /// Maximum number of concurrent attempts to a responsive host.
    pub(super) of_host: usize,
    /// Maximum number of concurrent attempts to a host that has not responded yet.
    pub(super) of_unknown: usize,
    /// Maximum number of concurrent attempts to a host that did not respond to the last attempt.
    pub(super) of_failing: usize,
    /// Intervals between attempts.
    pub(super) pauses: Backoff,
    /// Age at which a row is given up.
    pub(super) give_up: Duration,
}

/// Failure of an attempt.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    /// Error code defined by the kind.
    pub(super) code: u32,
    /// Reason, as a clause.
    pub(super) what: String,
    /// SID of the call that the row describes; empty if unknown.
    pub(super) call: String,
    /// True if the receiver responded, or was not contacted.
    pub(super) is_heard: bool,
    /// True if no further attempt can succeed.
    pub(super) is_final: bool,
    /// Minimum pause requested by the receiver.
    pub(super) later: Duration,
}

impl Refusal {
    /// Returns a failure with a local reason.
    pub(super) fn here(what: String) -> Refusal {
        Refusal { code: 0, what, call: String::new(), is_heard: true, is_final: false, later: Duration::ZERO }
    }
}

/// Event of a row.
#[derive(Debug)]
pub(super) enum Event<'a> {
    /// The row waits for delivery.
    Entered,
    /// The row was dropped because the queue was full.
    Dropped,
    /// The waiting row was dropped in favour of others, after this many attempts.
    MadeWay(u32),
    /// A retry starts.
    Retried,
    /// An attempt failed; with the number of attempts, the failure and the time of the next attempt.
    Failed(u32, &'a Refusal, Option<Timestamp>),
    /// The last attempt failed; with the number of attempts and the failure.
    GivenUp(u32, &'a Refusal),
    /// The row has left the queue after this many failed attempts; true if it was delivered.
    Over(u32, bool),
}

/// Kind of delivery.
pub(super) trait Kind: Send + Sync + 'static {
    /// Name of the kind in the store.
    const NAME: &'static str;
    /// Noun for a row in messages.
    const NOUN: &'static str;
    /// True if other code writes and removes rows in the store. The worker then rereads the store when `Wake` signals,
    /// and stores failures.
    const FOLLOWS_STORE: bool;
    /// Delivery as handed over, before it becomes a row.
    type New: Send;
    /// Additional data read from the store.
    type Seen: Send + 'static;

    /// Returns the limits of the kind.
    fn pace(&self) -> Pace;

    /// Creates the row of a delivery made at `created` (microseconds since 1970); `None` if there is nothing to
    /// deliver.
    fn row(&self, new: Self::New, created: i64) -> Option<Row>;

    /// Makes an attempt; `number` counts from 1.
    fn attempt(&self, row: &Row, number: u32) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// Records an event of the row with this key and share.
    fn note(&self, key: &str, share: &Arc<str>, event: Event<'_>);

    /// Records whether the store in this directory accepted a change.
    fn stored(&self, done: &io::Result<()>, directory: &Path);

    /// Reads additional data from the store.
    ///
    /// # Errors
    /// Returns the error of the store.
    fn look(store: &Connection) -> rusqlite::Result<Self::Seen>;

    /// Receives the additional data.
    fn seen(&self, seen: Self::Seen);
}

/// Delivery handed to the worker.
#[derive(Debug)]
pub enum Handed<N> {
    /// Delivery that is not stored yet.
    New(Box<N>),
    /// Row that is already in the store.
    Stored(Head),
    /// Request to reread the store.
    Look,
}

/// Source of deliveries of a worker.
#[derive(Debug)]
pub(super) enum Intake<N> {
    /// Deliveries are handed over through a channel.
    Handed(mpsc::Receiver<Handed<N>>),
    /// The worker is woken to read the store.
    Woken(Arc<Wake>),
}

impl<N> Intake<N> {
    /// Waits for the next delivery; `None`: the worker must end.
    async fn next(&mut self) -> Option<Handed<N>> {
        match self {
            Intake::Handed(handed) => handed.recv().await,
            Intake::Woken(wake) => {
                wake.woken().await;
                (!wake.is_stopped()).then_some(Handed::Look)
            }
        }
    }

    /// Returns a delivery that is already available.
    fn try_next(&mut self) -> Option<Handed<N>> {
        match self {
            Intake::Handed(handed) => handed.try_recv().ok(),
            Intake::Woken(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
