//! Store: persistent data of the edge except its output files, in one SQLite database, with the journal of live calls
//! beside it. A separate thread writes the database. Concurrent changes share a commit; each is confirmed when it is on
//! disk.

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

/// Time that a change waits for others to share one write to the disk, unless it is urgent.
const GATHER: Duration = Duration::from_millis(STORE_GATHER_MILLISECONDS);
/// Pause after the database could not be opened.
const PAUSE: Duration = Duration::from_millis(STORE_PAUSE_MILLISECONDS);
/// Interval between retries while the database refuses changes.
const PROBE: Duration = Duration::from_millis(STORE_PROBE_MILLISECONDS);

/// Time at which a change is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// Within some milliseconds, together with other changes.
    Soon,
    /// Immediately, because a task waits for it.
    Now,
    /// Immediately; removed data becomes unreadable in the file.
    Wiped,
}

/// Handle of a store; clones share it. Dropping the last one waits until all changes are written.
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
        // A change may own the last clone; then this is the store's thread, which ends by itself.
        let is_other = |thread: &JoinHandle<()>| thread.thread().id() != std::thread::current().id();
        let _ = self.thread.take().filter(is_other).map(JoinHandle::join);
    }
}

/// Command to the thread that owns the database.
enum StoreOrder {
    Change(StoreJob),
    /// Closes the file and ends the thread.
    Close(SyncSender<()>),
}

/// Change of the store, made within a transaction and confirmed after the commit.
struct StoreJob {
    commit: Commit,
    /// True if the job only reads; if so, a read-only file suffices.
    reads: bool,
    work: JobWork,
}

/// Returns whether a store or record file that cannot be opened may become usable without a configuration change: its
/// disk is full, read-only, broken or not mounted. False if another process uses the file, or it contains other data.
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

/// Result of a job, until its transaction ends.
struct JobResult {
    /// Error that concerns the file or its disk, if any.
    failed: Option<io::Error>,
    tell: JobCallback,
}

impl Store {
    /// Starts the store's thread. The database is opened or created for the first change.
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

    /// Returns whether the store has a database file, without opening it; also true if the directory cannot be
    /// examined.
    pub fn has_any(&self) -> bool {
        file::has_any(&self.inner.data)
    }

    /// Opens or creates the database now.
    ///
    /// # Errors
    /// Returns the reason why the database cannot be used.
    pub fn open_now(&self) -> io::Result<()> {
        self.run_now(|_| Ok(()))
    }

    /// Closes the database, because another process opens it next, and waits until that is done. Later changes fail.
    pub fn close(&self) {
        let (answer, closed) = sync_channel(1);
        let Some(jobs) = &self.inner.jobs else { return };
        if jobs.send(StoreOrder::Close(answer)).is_ok() {
            // Without an answer the thread has ended, which closes the file.
            let _ = closed.recv();
        }
    }

    /// Returns the health of the store's writes.
    pub fn health(&self) -> StoreHealth {
        self.inner.health.clone()
    }

    /// Makes a change; the returned future completes when the change is on disk. The change is made even if the future
    /// is dropped.
    pub fn run<T, W>(&self, commit: Commit, work: W) -> impl Future<Output = io::Result<T>> + Send + use<T, W>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.submit(commit, work, move |done| drop(answer.send(done)));
        async { answered.await.unwrap_or_else(|_| Err(io::Error::other("the thread of the store has ended"))) }
    }

    /// Reads the store, also from a file that cannot be written.
    pub fn read<T, W>(&self, work: W) -> impl Future<Output = io::Result<T>> + Send + use<T, W>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.queue((Commit::Now, true), work, move |done| drop(answer.send(done)));
        async { answered.await.unwrap_or_else(|_| Err(io::Error::other("the thread of the store has ended"))) }
    }

    /// Reads the store and blocks until the result is available; for threads that may block.
    ///
    /// # Errors
    /// Returns the reason why the store cannot be read.
    pub fn read_now<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (answer, answered) = sync_channel(1);
        self.queue((Commit::Now, true), work, move |done| drop(answer.send(done)));
        answered.recv().unwrap_or_else(|_| Err(io::Error::other("the thread of the store has ended")))
    }

    /// Makes a change and blocks until it is on disk; for threads that may block.
    ///
    /// # Errors
    /// Returns the reason why the change was not made.
    pub fn run_now<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (answer, answered) = sync_channel(1);
        self.submit(Commit::Now, work, move |done| drop(answer.send(done)));
        answered.recv().unwrap_or_else(|_| Err(io::Error::other("the thread of the store has ended")))
    }

    /// Makes a change and calls `tell` with the result, usually on the store's thread, which `tell` must not block.
    pub fn submit<T: Send + 'static>(
        &self,
        commit: Commit,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        tell: impl FnOnce(io::Result<T>) + Send + 'static,
    ) {
        self.queue((commit, false), work, tell);
    }

    /// Queues a change, or a query if `reads`.
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
                // An error of the change itself precedes that of the commit.
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

/// Makes one change of a transaction completely or not at all.
fn within<T>(file: &Connection, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    file.execute_batch("SAVEPOINT change")?;
    let done = work(file);
    // SQLite may have ended the whole transaction, as on a full disk.
    if !file.is_autocommit() {
        file.execute_batch(if done.is_ok() { "RELEASE change" } else { "ROLLBACK TO change; RELEASE change" })?;
    }
    done
}

fn copied(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}

/// State of the store's thread, which owns the database.
struct StoreThread {
    data: DataDirectory,
    file: Option<Connection>,
    /// Read-only connection, used while the database cannot be opened for writing.
    readable: Option<Connection>,
    /// Whether the database was found damaged while in use.
    is_suspect: bool,
    /// Time and reason of the last failure to open the database.
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
        // The thread that waits for the close may have ended.
        let _ = closing.map(|answer| answer.send(()));
    }

    /// Waits for a command, and retries refused changes meanwhile.
    fn next(&mut self, jobs: &Receiver<StoreOrder>) -> Option<StoreOrder> {
        while self.health.is_failing() {
            match jobs.recv_timeout(PROBE) {
                Err(RecvTimeoutError::Timeout) => self.probe(),
                done => return done.ok(),
            }
        }
        jobs.recv().ok()
    }

    /// Tests whether the database accepts changes by writing a value that it already has.
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

    /// Records whether the database accepted changes; `has_written` is false if there were only queries.
    fn note(&self, failed: Option<&io::Error>, has_written: bool) {
        match failed {
            Some(error) => self.health.refused(error, &self.data.directory),
            None if has_written => self.health.took(),
            None => {}
        }
    }

    /// Makes a batch of changes in one transaction, and reports the result of each.
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
                // The error may already have ended the transaction, so a failed rollback is not an error.
                let _ = file.execute_batch("ROLLBACK");
                file::words(&error)
            }),
        };
        if wipes && let Err(error) = file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
            tracing::warn!("deleted data can still be read in the store's files: {error}");
        }
        let has_written = file.total_changes() > changes;
        let failed = || done.iter().filter_map(|done| done.failed.as_ref());
        // A change that met a full disk has ended the transaction of the others as well.
        let failure = failed().next().or(committed.as_ref().err()).map(copied);
        let is_damaged = |error: &io::Error| error.kind() == io::ErrorKind::InvalidData;
        let damaged = committed.as_ref().is_err_and(is_damaged) || failed().any(is_damaged);
        self.note(failure.as_ref(), has_written);
        self.suspect(damaged);
        for done in done {
            (done.tell)(committed.as_ref().copied());
        }
    }

    /// Reports that the changes of a batch cannot be made. Queries are still answered if the file can be read.
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

    /// Closes a damaged database; the next change recovers its readable rows.
    fn suspect(&mut self, is_damaged: bool) {
        if is_damaged && self.file.take().is_some() {
            self.is_suspect = true;
        }
    }

    /// Opens the database; after a failure the next attempt is made after [`PAUSE`].
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
