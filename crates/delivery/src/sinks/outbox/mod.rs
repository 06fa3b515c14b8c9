//! The outbox: deliveries that wait in the store until their destination takes them. Here belong the table of rows, the order and the times
//! of attempts, and the worker that makes them; no URL, header or protocol does. The outbox imports the store and nothing of its kinds.
//!
//! A **kind** (`Kind`) is one sort of delivery: callbacks, e-mail. It makes one attempt (it renders the row as a request, and judges the
//! response), and hears of each event, for its figures and its problem "not delivered". It has its own worker and its own limits, so no kind
//! takes the room or the turns of another.
//!
//! A **row** (`Row`) has a key, the same in every attempt, by which a receiver recognises a repetition; a line: rows of one line are sent
//! one after the other, in the order in which they were made; a host, which has a turn among hosts; a place, the receiver at that host; and a
//! share, the party that it is for. The states of a row; the store has only that it waits, or that it was given up:
//!
//! ```text
//! behind (others of its line) ──> ready (waits for a turn of its host) ──> under way ──> delivered: the row is removed
//!                                   ^                                         │
//!                                   └──── resting (back-off, Retry-After) <───┴──────> given up: removed, or kept for `status`
//! ```
//!
//! `queue.rs` owns these states. It knows no clock, thread or store: rows and a time go in, the next row to be sent and the time of the
//! next look come out. `worker.rs` owns the tasks of attempts and the changes of the store. A row is in the store before, or while, its first
//! attempt is made, and leaves it after an answer: delivery is at least once, across `kill -9`. A kind that
//! follows the store (`FOLLOWS_STORE`) has rows that others write within their own changes; its failures are kept in the row.
//!
//! Call records, texts and transcriptions are no kinds: each has a queue of its own.

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

/// A row without its body: everything that decides on its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Name of the delivery among those of its kind.
    pub(super) key: String,
    /// Name of the order that it belongs to.
    pub(super) line: String,
    /// Host and port of its destination.
    pub(super) host: String,
    /// Receiver at the host.
    pub(super) place: String,
    /// Party that it is for.
    pub(super) share: String,
    /// Microseconds since 1970.
    pub(super) created: i64,
    /// Time of the next attempt, in milliseconds since 1970.
    pub(super) due: i64,
    /// Attempts that have failed, as far as they are stored.
    pub(super) attempts: u32,
    /// Its size.
    pub(super) bytes: usize,
}

/// A delivery, whole.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) head: Head,
    /// The kind's own text.
    pub(super) body: String,
}

/// Without the body, which may hold secrets and numbers.
impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Row").field("key", &self.head.key).finish_non_exhaustive()
    }
}

/// How many of a kind are under way, and when attempts are repeated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Attempts under way.
    pub(super) at_once: usize,
    /// Attempts under way to a host that answers.
    pub(super) of_host: usize,
    /// To one that has not answered yet.
    pub(super) of_unknown: usize,
    /// To one that gave no answer to the last attempt.
    pub(super) of_failing: usize,
    /// Pauses after failures.
    pub(super) pauses: Backoff,
    /// Time after which a row is given up.
    pub(super) give_up: Duration,
}

/// Reason why an attempt has failed.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    /// A code of the kind.
    pub(super) code: u32,
    /// The reason, as a clause.
    pub(super) what: String,
    /// SID of the call that the row is about; empty where that is not known.
    pub(super) call: String,
    /// Whether the receiver gave some answer, or was not asked.
    pub(super) is_heard: bool,
    /// Whether no attempt can succeed.
    pub(super) is_final: bool,
    /// The shortest pause that the receiver has asked for.
    pub(super) later: Duration,
}

impl Refusal {
    /// Returns one for a reason on this machine.
    pub(super) fn here(what: String) -> Refusal {
        Refusal { code: 0, what, call: String::new(), is_heard: true, is_final: false, later: Duration::ZERO }
    }
}

/// An event in the life of a row.
#[derive(Debug)]
pub(super) enum Event<'a> {
    /// It waits.
    Entered,
    /// There was no room for it.
    Dropped,
    /// It waited, and was dropped for others, after so many attempts.
    MadeWay(u32),
    /// An attempt beyond the first begins.
    Retried,
    /// An attempt has failed, of so many, and the next one is at this time.
    Failed(u32, &'a Refusal, Option<Timestamp>),
    /// The last attempt has failed, of so many.
    GivenUp(u32, &'a Refusal),
    /// It waits no more, after so many attempts that failed; whether it was delivered.
    Over(u32, bool),
}

/// A sort of delivery.
pub(super) trait Kind: Send + Sync + 'static {
    /// Its name in the store.
    const NAME: &'static str;
    /// A row of it in messages.
    const NOUN: &'static str;
    /// Whether others write and remove its rows: those of the store are read again where `Wake` says so, and failures are stored.
    const FOLLOWS_STORE: bool;
    /// A delivery as it is handed over, before it is a row.
    type New: Send;
    /// What it reads of the store each time.
    type Seen: Send + 'static;

    /// Returns its limits.
    fn pace(&self) -> Pace;

    /// Makes a row, which was made at this time, in microseconds since 1970; `None`: there is nothing to be delivered.
    fn row(&self, new: Self::New, created: i64) -> Option<Row>;

    /// Makes an attempt, by its number from 1 on.
    fn attempt(&self, row: &Row, number: u32) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// Notes an event of the row of this key and share.
    fn note(&self, key: &str, share: &Arc<str>, event: Event<'_>);

    /// Notes whether the store of this directory has taken a change.
    fn stored(&self, done: &io::Result<()>, directory: &Path);

    /// Reads more than its rows.
    ///
    /// # Errors
    /// Those of the store.
    fn look(store: &Connection) -> rusqlite::Result<Self::Seen>;

    /// Takes what was read.
    fn seen(&self, seen: Self::Seen);
}

/// A delivery on its way to the worker.
#[derive(Debug)]
pub enum Handed<N> {
    /// One that is not stored yet.
    New(Box<N>),
    /// One that the store has.
    Stored(Head),
    /// The store has others than before.
    Look,
}

/// The way to a worker.
#[derive(Debug)]
pub(super) enum Intake<N> {
    /// Deliveries are handed over.
    Handed(mpsc::Receiver<Handed<N>>),
    /// The worker is woken.
    Woken(Arc<Wake>),
}

impl<N> Intake<N> {
    /// Waits for the next delivery; `None`: the worker is to end.
    async fn next(&mut self) -> Option<Handed<N>> {
        match self {
            Intake::Handed(handed) => handed.recv().await,
            Intake::Woken(wake) => {
                wake.woken().await;
                (!wake.is_stopped()).then_some(Handed::Look)
            }
        }
    }

    /// Returns one that is here already.
    fn try_next(&mut self) -> Option<Handed<N>> {
        match self {
            Intake::Handed(handed) => handed.try_recv().ok(),
            Intake::Woken(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
