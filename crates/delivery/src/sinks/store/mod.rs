//! Store: persistent data of the edge except its output files, in one SQLite database, with the journal of live calls
//! beside it. A separate thread writes the database. Concurrent changes are committed together; each is confirmed when
//! it is on disk.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use disk::Step;

use trunkgate_config::DataDirectory;
use trunkgate_system::limits::{
    STORE_BATCH, STORE_GATHER_MILLISECONDS, STORE_JOBS, STORE_PAUSE_MILLISECONDS, STORE_PROBE_MILLISECONDS,
};

pub mod calls;
pub mod conversations;
pub(crate) mod disk;
mod file;
mod health;
pub(crate) mod journal;
mod live;
pub mod record;
pub(crate) mod retention;

#[cfg(test)]
pub(crate) use file::SCHEMA;
pub(crate) use health::StoreHealth;
pub(crate) use record::StoredRecord;

/// Time that a change without urgency waits for others, to share one write to the disk.
const GATHER: Duration = Duration::from_millis(STORE_GATHER_MILLISECONDS);
/// Pause after the file could not be opened.
const PAUSE: Duration = Duration::from_millis(STORE_PAUSE_MILLISECONDS);
/// Interval between retries while the file refuses changes.
const PROBE: Duration = Duration::from_millis(STORE_PROBE_MILLISECONDS);

/// Time of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// Within some milliseconds, together with other changes.
    Soon,
    /// Immediately, because a task waits for it.
    Now,
    /// Immediately, and removed data becomes unreadable in the file.
    Wiped,
}

/// Handle to a store; clones share it. Dropping the last one waits until everything is written.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<StoreInner>,
}

#[derive(Debug)]
struct StoreInner {
    data: DataDirectory,
    jobs: Option<SyncSender<StoreOrder>>,
    thread: Option<JoinHandle<()>>,
    health: StoreHealth,
}

impl Drop for StoreInner {
    fn drop(&mut self) {
        self.jobs = None;
        // A change may have had the last clone. This is the store's thread then, which ends by itself.
        let is_other = |thread: &JoinHandle<()>| thread.thread().id() != std::thread::current().id();
        let _ = self.thread.take().filter(is_other).map(JoinHandle::join);
    }
}

/// Order to the store's thread.
enum StoreOrder {
    Change(StoreJob),
    /// Closes the file and ends the thread.
    Close(SyncSender<()>),
}

/// Change of the store: made within the transaction, confirmed after the commit.
struct StoreJob {
    commit: Commit,
    /// True if the change only reads, so that a read-only file suffices.
    reads: bool,
    work: JobWork,
}

/// Returns whether a store or record file that cannot be opened may become usable without a configuration change: its
/// disk is full, read-only, broken or not mounted. False if another process uses it, or it contains other data.
pub fn may_recover(error: &io::Error) -> bool {
    !matches!(
        error.kind(),
        io::ErrorKind::ResourceBusy
            | io::ErrorKind::WouldBlock
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::IsADirectory
    )
}

type JobCallback = Box<dyn FnOnce(Result<(), &io::Error>) + Send>;
type JobWork = Box<dyn FnOnce(Result<&Connection, &io::Error>) -> JobResult + Send>;

/// Result of a change until the transaction ends.
struct JobResult {
    /// Error of the file or its disk, if any.
    failed: Option<io::Error>,
    tell: JobCallback,
}

impl Store {
    /// Starts the thread. The file is opened or created for the first change.
    ///
    /// # Errors
    /// Returns the system's error if the thread cannot be created.
    pub fn start(data: DataDirectory) -> io::Result<Store> {
        let (jobs, jobs_in) = sync_channel(STORE_JOBS);
        let health = StoreHealth::default();
        let keeper = StoreThread {
            data: data.clone(),
            file: None,
            readable: None,
            is_suspect: false,
            refused: None,
            health: health.clone(),
        };
        let thread = std::thread::Builder::new().name("store".into()).spawn(move || keeper.run(&jobs_in))?;
        Ok(Store { inner: Arc::new(StoreInner { data, jobs: Some(jobs), thread: Some(thread), health }) })
    }

    /// Returns the directory of the store.
    pub(crate) fn directory(&self) -> &Path {
        &self.inner.data.directory
    }

    /// Returns whether the store has a file, without opening it; also true if its directory cannot be examined.
    pub fn has_any(&self) -> bool {
        file::has_any(&self.inner.data)
    }

    /// Opens the store now.
    ///
    /// # Errors
    /// Returns the reason why it cannot be used.
    pub fn open_now(&self) -> io::Result<()> {
        self.run_now(|_| Ok(()))
    }

    /// Closes the file, for another process that opens it next, and waits until it is closed. Later changes fail.
    pub fn close(&self) {
        let (answer, closed) = sync_channel(1);
        let Some(jobs) = &self.inner.jobs else { return };
        if jobs.send(StoreOrder::Close(answer)).is_ok() {
            // The thread has ended if there is no answer.
            let _ = closed.recv();
        }
    }

    /// Returns the current state of the store's writes.
    pub fn health(&self) -> StoreHealth {
        self.inner.health.clone()
    }

    /// Applies a change; the returned future completes when it is on disk. The change is applied even if the future is
    /// dropped.
    pub fn run<T, W>(&self, commit: Commit, work: W) -> impl Future<Output = io::Result<T>> + Send + use<T, W>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.submit(commit, work, move |done| drop(answer.send(done)));
        async { answered.await.unwrap_or_else(|_| Err(io::Error::other("the store has ended"))) }
    }

    /// Reads without a change, also from a file that is not writable.
    pub fn read<T, W>(&self, work: W) -> impl Future<Output = io::Result<T>> + Send + use<T, W>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.queue((Commit::Now, true), work, move |done| drop(answer.send(done)));
        async { answered.await.unwrap_or_else(|_| Err(io::Error::other("the store has ended"))) }
    }

    /// Reads and blocks until the result is available, for threads that may block.
    ///
    /// # Errors
    /// Returns the reason why it cannot be read.
    pub fn read_now<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (answer, answered) = sync_channel(1);
        self.queue((Commit::Now, true), work, move |done| drop(answer.send(done)));
        answered.recv().unwrap_or_else(|_| Err(io::Error::other("the store has ended")))
    }

    /// Applies a change and blocks until it is on disk, for threads that may block.
    ///
    /// # Errors
    /// Returns the reason why it could not be made.
    pub fn run_now<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (answer, answered) = sync_channel(1);
        self.submit(Commit::Now, work, move |done| drop(answer.send(done)));
        answered.recv().unwrap_or_else(|_| Err(io::Error::other("the store has ended")))
    }

    /// Applies a change and calls `tell` with the result, usually on the store's thread, which must not be blocked.
    pub fn submit<T: Send + 'static>(
        &self,
        commit: Commit,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        tell: impl FnOnce(io::Result<T>) + Send + 'static,
    ) {
        self.queue((commit, false), work, tell);
    }

    /// Queues a change, or with `reads` a query.
    fn queue<T: Send + 'static>(
        &self,
        (commit, reads): (Commit, bool),
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        tell: impl FnOnce(io::Result<T>) + Send + 'static,
    ) {
        if let Err(error) = disk::step(Step::Change) {
            return tell(Err(error));
        }
        let work: JobWork = Box::new(move |file| {
            let mut failed = None;
            let done = file.map_err(copied).and_then(|file| {
                within(file, work).map_err(|error| {
                    let words = file::words(&error);
                    failed = file::is_of_disk(&error).then(|| copied(&words));
                    words
                })
            });
            let tell = Box::new(move |committed: Result<(), &io::Error>| match committed {
                Ok(()) => tell(done),
                // The first error is reported.
                Err(error) => tell(done.and(Err(copied(error)))),
            });
            JobResult { failed, tell }
        });
        let Some(jobs) = &self.inner.jobs else { return };
        let (order, error) = match jobs.try_send(StoreOrder::Change(StoreJob { commit, reads, work })) {
            Ok(()) => return,
            Err(TrySendError::Full(order)) => (order, "too many changes wait for the disk"),
            Err(TrySendError::Disconnected(order)) => (order, "the store is closed"),
        };
        if let StoreOrder::Change(job) = order {
            let error = io::Error::new(io::ErrorKind::WouldBlock, error);
            ((job.work)(Err(&error)).tell)(Err(&error));
        }
    }
}

/// Applies one change of a transaction completely or not at all.
fn within<T>(file: &Connection, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    file.execute_batch("SAVEPOINT change")?;
    let done = work(file);
    // A full disk may have ended the whole transaction.
    if !file.is_autocommit() {
        file.execute_batch(if done.is_ok() { "RELEASE change" } else { "ROLLBACK TO change; RELEASE change" })?;
    }
    done
}

fn copied(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}

/// Owner of the file.
struct StoreThread {
    data: DataDirectory,
    file: Option<Connection>,
    /// Read-only handle, used while the file cannot be opened for writing.
    readable: Option<Connection>,
    /// True if the file was found damaged while in use.
    is_suspect: bool,
    /// Time and reason of the last failed attempt to open the file.
    refused: Option<(Instant, io::Error)>,
    health: StoreHealth,
}

impl StoreThread {
    fn run(mut self, jobs: &Receiver<StoreOrder>) {
        let closing = loop {
            let first = match self.next(jobs) {
                Some(StoreOrder::Change(first)) => first,
                Some(StoreOrder::Close(answer)) => break Some(answer),
                None => break None,
            };
            let until = Instant::now() + GATHER;
            let mut is_urgent = first.commit != Commit::Soon;
            let (mut batch, mut closing) = (vec![first], None);
            while batch.len() < STORE_BATCH {
                let patience = if is_urgent { Duration::ZERO } else { until.saturating_duration_since(Instant::now()) };
                match jobs.recv_timeout(patience) {
                    Ok(StoreOrder::Change(job)) => {
                        is_urgent |= job.commit != Commit::Soon;
                        batch.push(job);
                    }
                    Ok(StoreOrder::Close(answer)) => {
                        closing = Some(answer);
                        break;
                    }
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
                }
            }
            self.make(batch);
            if closing.is_some() {
                break closing;
            }
        };
        (self.file, self.readable) = (None, None);
        // The waiting thread may have ended.
        let _ = closing.map(|answer| answer.send(()));
    }

    /// Waits for a change. While changes are refused, retries the file meanwhile.
    fn next(&mut self, jobs: &Receiver<StoreOrder>) -> Option<StoreOrder> {
        while self.health.is_failing() {
            match jobs.recv_timeout(PROBE) {
                Err(RecvTimeoutError::Timeout) => self.probe(),
                done => return done.ok(),
            }
        }
        jobs.recv().ok()
    }

    /// Tests the file by writing data that it already has.
    fn probe(&mut self) {
        let written = |file: &Connection| -> rusqlite::Result<()> {
            let version: u32 = file.query_row("PRAGMA user_version", [], |row| row.get(0))?;
            file.execute_batch(&format!("BEGIN IMMEDIATE; PRAGMA user_version = {version}; COMMIT"))
        };
        let done = self.open().and_then(|file| {
            written(file).map_err(|error| {
                let _ = file.execute_batch("ROLLBACK");
                file::words(&error)
            })
        });
        self.note(done.as_ref().err(), true);
    }

    /// Records whether the file accepted changes; `has_written` is true if there were any.
    fn note(&self, failed: Option<&io::Error>, has_written: bool) {
        match failed {
            Some(error) => self.health.refused(error, &self.data.directory),
            None if has_written => self.health.took(),
            None => {}
        }
    }

    /// Applies changes in one transaction, and reports the result of each.
    fn make(&mut self, batch: Vec<StoreJob>) {
        let wipes = batch.iter().any(|job| job.commit == Commit::Wiped);
        let begun = self.open().and_then(|file| {
            file.execute_batch("BEGIN IMMEDIATE").map_err(|error| file::words(&error))?;
            Ok(file)
        });
        let file = match begun {
            Ok(file) => file,
            Err(error) => {
                self.suspect(error.kind() == io::ErrorKind::InvalidData);
                self.note(Some(&error), false);
                return self.refuse(batch, &error);
            }
        };
        let changes = file.total_changes();
        let ended = io::Error::other("another change that was made with it failed");
        let done: Vec<JobResult> = batch
            .into_iter()
            .map(|job| (job.work)(if file.is_autocommit() { Err(&ended) } else { Ok(file) }))
            .collect();
        let committed = match file.is_autocommit() {
            true => Err(ended),
            false => file.execute_batch("COMMIT").map_err(|error| {
                // If the error has already ended the transaction, there is nothing to roll back.
                let _ = file.execute_batch("ROLLBACK");
                file::words(&error)
            }),
        };
        if wipes && let Err(error) = file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
            tracing::warn!("deleted data can still be read in the store's files: {error}");
        }
        let has_written = file.total_changes() > changes;
        let failed = || done.iter().filter_map(|done| done.failed.as_ref());
        // A disk that was full for one change has ended the transaction of the others, too.
        let failure = failed().next().or(committed.as_ref().err()).map(copied);
        let is_damaged = |error: &io::Error| error.kind() == io::ErrorKind::InvalidData;
        let damaged = committed.as_ref().is_err_and(is_damaged) || failed().any(is_damaged);
        self.note(failure.as_ref(), has_written);
        self.suspect(damaged);
        for done in done {
            (done.tell)(committed.as_ref().copied());
        }
    }

    /// Reports that changes cannot be made; queries are served if the file can be read.
    fn refuse(&mut self, batch: Vec<StoreJob>, error: &io::Error) {
        let has_reader = batch.iter().any(|job| job.reads) && self.file.is_none() && may_recover(error);
        if has_reader && self.readable.is_none() {
            self.readable = file::open_read_only(&self.data)
                .inspect_err(|error| tracing::debug!("the store cannot be read either: {error}"))
                .ok();
        }
        let readable = self.readable.as_ref().filter(|_| has_reader);
        for job in batch {
            match readable.filter(|_| job.reads) {
                Some(file) => ((job.work)(Ok(file)).tell)(Ok(())),
                None => ((job.work)(Err(error)).tell)(Err(error)),
            }
        }
    }

    /// Marks a damaged file; its readable rows are recovered with the next change.
    fn suspect(&mut self, is_damaged: bool) {
        if is_damaged && self.file.take().is_some() {
            self.is_suspect = true;
        }
    }

    /// Opens the file; after a failure no attempt is made for some time.
    fn open(&mut self) -> io::Result<&Connection> {
        if let (None, Some((since, error))) = (&self.file, &self.refused)
            && since.elapsed() < PAUSE
        {
            return Err(copied(error));
        }
        let file = match self.file.take() {
            Some(file) => file,
            None => self.open_anew().inspect_err(|error| self.refused = Some((Instant::now(), copied(error))))?,
        };
        Ok(self.file.insert(file))
    }

    fn open_anew(&mut self) -> io::Result<Connection> {
        let (file, damage) = file::open(&self.data, self.is_suspect)?;
        self.readable = None;
        self.is_suspect = false;
        damage.into_iter().for_each(|damage| self.health.damaged(damage));
        Ok(file)
    }
}

#[cfg(test)]
mod tests;
