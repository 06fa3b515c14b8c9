//! The store: everything that has to survive the process and is no output, in one SQLite database, and the journal of live calls beside
//! it. A thread of its own writes the database. Changes that come together are committed together; each is answered once it is on disk.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
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
pub(crate) use health::Health;
pub(crate) use record::Record;

/// How long a change that is not urgent waits for others, so that one write to the disk serves them all.
const GATHER: Duration = Duration::from_millis(STORE_GATHER_MILLISECONDS);
/// How long the file is left alone after it could not be opened.
const PAUSE: Duration = Duration::from_millis(STORE_PAUSE_MILLISECONDS);
/// Between two tries of a file that refuses changes.
const PROBE: Duration = Duration::from_millis(STORE_PROBE_MILLISECONDS);

/// When a change is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// With others that come within some milliseconds.
    Soon,
    /// At once: somebody waits for it.
    Now,
    /// At once, and nothing that it has removed can be read in the file any more.
    Wiped,
}

/// A store; clones are the same one. The last of them that goes waits until all is written.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    data: DataDirectory,
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    health: Health,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.jobs = None;
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A change: made in the transaction, told once that is committed.
struct Job {
    commit: Commit,
    /// Whether it only reads, so that a file which cannot be written serves it as well.
    reads: bool,
    work: Work,
}

/// Whether a store, or a file of call records, that cannot be opened may be usable later without a change of the configuration: its disk
/// is full, read-only, broken or not mounted. Not where another process has it, or it holds other data.
pub fn may_recover(error: &io::Error) -> bool {
    !matches!(
        error.kind(),
        io::ErrorKind::ResourceBusy
            | io::ErrorKind::WouldBlock
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::IsADirectory
    )
}

type Tell = Box<dyn FnOnce(Result<(), &io::Error>) + Send>;
type Work = Box<dyn FnOnce(Result<&Connection, &io::Error>) -> Done + Send>;

/// What came of a change, until the transaction is over.
struct Done {
    /// The error of the file or its disk, if that was the reason.
    failed: Option<io::Error>,
    tell: Tell,
}

impl Store {
    /// Starts the thread. The file is opened, and made where there is none, for the first change.
    ///
    /// # Errors
    /// The system's, where it has no thread.
    pub fn start(data: DataDirectory) -> io::Result<Store> {
        let (jobs, jobs_in) = sync_channel(STORE_JOBS);
        let health = Health::default();
        let keeper = Keeper {
            data: data.clone(),
            file: None,
            readable: None,
            is_suspect: false,
            refused: None,
            health: health.clone(),
        };
        let thread = std::thread::Builder::new().name("store".into()).spawn(move || keeper.run(&jobs_in))?;
        Ok(Store { inner: Arc::new(Inner { data, jobs: Some(jobs), thread: Some(thread), health }) })
    }

    /// Where it is.
    pub(crate) fn directory(&self) -> &Path {
        &self.inner.data.directory
    }

    /// Whether there is anything in it, or its directory cannot be looked at: without opening it.
    pub fn has_any(&self) -> bool {
        file::has_any(&self.inner.data)
    }

    /// Opens it now.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn open_now(&self) -> io::Result<()> {
        self.run_now(|_| Ok(()))
    }

    /// Returns whether it takes changes, as it is from moment to moment.
    pub fn health(&self) -> Health {
        self.inner.health.clone()
    }

    /// Makes a change; what it gives is known once it is on disk. Without anybody who waits it is made as well.
    pub fn run<T, W>(&self, commit: Commit, work: W) -> impl Future<Output = io::Result<T>> + Send + use<T, W>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.submit(commit, work, move |done| drop(answer.send(done)));
        async { answered.await.unwrap_or_else(|_| Err(io::Error::other("the store has ended"))) }
    }

    /// Reads without a change: also from a file that was found not to be writable when it was opened.
    pub fn read<T, W>(&self, work: W) -> impl Future<Output = io::Result<T>> + Send + use<T, W>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.queue((Commit::Now, true), work, move |done| drop(answer.send(done)));
        async { answered.await.unwrap_or_else(|_| Err(io::Error::other("the store has ended"))) }
    }

    /// Does so and waits for it: for threads that have nothing else to do.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn read_now<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (answer, answered) = sync_channel(1);
        self.queue((Commit::Now, true), work, move |done| drop(answer.send(done)));
        answered.recv().unwrap_or_else(|_| Err(io::Error::other("the store has ended")))
    }

    /// Makes a change and waits for it: for threads that have nothing else to do.
    ///
    /// # Errors
    /// Why it could not be made.
    pub fn run_now<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (answer, answered) = sync_channel(1);
        self.submit(Commit::Now, work, move |done| drop(answer.send(done)));
        answered.recv().unwrap_or_else(|_| Err(io::Error::other("the store has ended")))
    }

    /// Makes a change, and has `tell` told of it, mostly by the store's thread, which it must not hold up.
    pub fn submit<T: Send + 'static>(
        &self,
        commit: Commit,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        tell: impl FnOnce(io::Result<T>) + Send + 'static,
    ) {
        self.queue((commit, false), work, tell);
    }

    /// Queues a change, or what `reads` only.
    fn queue<T: Send + 'static>(
        &self,
        (commit, reads): (Commit, bool),
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        tell: impl FnOnce(io::Result<T>) + Send + 'static,
    ) {
        if let Err(error) = disk::step(Step::Change) {
            return tell(Err(error));
        }
        let work: Work = Box::new(move |file| {
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
                // What went wrong first is told.
                Err(error) => tell(done.and(Err(copied(error)))),
            });
            Done { failed, tell }
        });
        let Some(jobs) = &self.inner.jobs else { return };
        if let Err(refused) = jobs.try_send(Job { commit, reads, work }) {
            let (std::sync::mpsc::TrySendError::Full(job) | std::sync::mpsc::TrySendError::Disconnected(job)) = refused;
            let error = io::Error::new(io::ErrorKind::WouldBlock, "too many changes wait for the disk");
            ((job.work)(Err(&error)).tell)(Err(&error));
        }
    }
}

/// One change of a transaction: all of it, or nothing.
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

/// Who has the file.
struct Keeper {
    data: DataDirectory,
    file: Option<Connection>,
    /// The file, opened for reading alone while it cannot be opened otherwise.
    readable: Option<Connection>,
    /// It was found damaged while it was used.
    is_suspect: bool,
    /// Why it could not be opened, and when that was.
    refused: Option<(Instant, io::Error)>,
    health: Health,
}

impl Keeper {
    fn run(mut self, jobs: &Receiver<Job>) {
        while let Some(first) = self.next(jobs) {
            let until = Instant::now() + GATHER;
            let mut is_urgent = first.commit != Commit::Soon;
            let mut batch = vec![first];
            while batch.len() < STORE_BATCH {
                let patience = if is_urgent { Duration::ZERO } else { until.saturating_duration_since(Instant::now()) };
                match jobs.recv_timeout(patience) {
                    Ok(job) => {
                        is_urgent |= job.commit != Commit::Soon;
                        batch.push(job);
                    }
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
                }
            }
            self.make(batch);
        }
    }

    /// Waits for a change. While the last ones were refused, tries meanwhile whether the file takes any.
    fn next(&mut self, jobs: &Receiver<Job>) -> Option<Job> {
        while self.health.is_failing() {
            match jobs.recv_timeout(PROBE) {
                Err(RecvTimeoutError::Timeout) => self.probe(),
                done => return done.ok(),
            }
        }
        jobs.recv().ok()
    }

    /// Writes what the file has already.
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

    /// Notes whether the file took changes; `has_written`: there were any.
    fn note(&self, failed: Option<&io::Error>, has_written: bool) {
        match failed {
            Some(error) => self.health.refused(error, &self.data.directory),
            None if has_written => self.health.took(),
            None => {}
        }
    }

    /// Makes changes in one transaction, and tells what came of each.
    fn make(&mut self, batch: Vec<Job>) {
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
        let done: Vec<Done> = batch
            .into_iter()
            .map(|job| (job.work)(if file.is_autocommit() { Err(&ended) } else { Ok(file) }))
            .collect();
        let committed = match file.is_autocommit() {
            true => Err(ended),
            false => file.execute_batch("COMMIT").map_err(|error| {
                // Where that has ended it already there is nothing to roll back.
                let _ = file.execute_batch("ROLLBACK");
                file::words(&error)
            }),
        };
        if wipes && let Err(error) = file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
            tracing::warn!("what was removed from the store can still be read in its file: {error}");
        }
        let has_written = file.total_changes() > changes;
        let failed = || done.iter().filter_map(|done| done.failed.as_ref());
        // A disk that was full for one change has ended the transaction of the others.
        let failure = failed().next().or(committed.as_ref().err()).map(copied);
        let is_damaged = |error: &io::Error| error.kind() == io::ErrorKind::InvalidData;
        let damaged = committed.as_ref().is_err_and(is_damaged) || failed().any(is_damaged);
        self.note(failure.as_ref(), has_written);
        self.suspect(damaged);
        for done in done {
            (done.tell)(committed.as_ref().copied());
        }
    }

    /// Tells that changes are not made; what only reads is served from the file nevertheless, where that can be read.
    fn refuse(&mut self, batch: Vec<Job>, error: &io::Error) {
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

    /// Where the file is damaged, what can be read of it is saved with the next change.
    fn suspect(&mut self, is_damaged: bool) {
        if is_damaged && self.file.take().is_some() {
            self.is_suspect = true;
        }
    }

    /// The file; one that could not be opened is left alone for a while.
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
