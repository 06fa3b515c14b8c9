//! The store: everything that has to survive the process and is no output, in one SQLite database, and the journal of live calls beside
//! it. A thread of its own writes the database. Changes that come together are committed together; each is answered once it is on disk.

use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use disk::Step;

use crate::config::DataDirectory;
use crate::limits::{STORE_BATCH, STORE_GATHER_MILLISECONDS, STORE_JOBS, STORE_PAUSE_MILLISECONDS};

pub(crate) mod calls;
pub(crate) mod disk;
mod file;
pub(crate) mod journal;
mod previous;
pub(crate) mod record;

pub(crate) use previous::{JOURNAL, REFUSED};
pub(crate) use record::Record;

/// How long a change that is not urgent waits for others, so that one write to the disk serves them all.
const GATHER: Duration = Duration::from_millis(STORE_GATHER_MILLISECONDS);
/// How long the file is left alone after it could not be opened.
const PAUSE: Duration = Duration::from_millis(STORE_PAUSE_MILLISECONDS);

/// When a change is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Commit {
    /// With others that come within some milliseconds.
    Soon,
    /// At once: somebody waits for it.
    Now,
    /// At once, and nothing that it has removed can be read in the file any more.
    Wiped,
}

/// A store; clones are the same one. The last of them that goes waits until all is written.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    data: DataDirectory,
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    damage: Damage,
}

/// What was wrong with the file when it was opened, in a sentence; does not keep the store open.
#[derive(Debug, Clone, Default)]
pub(crate) struct Damage(Arc<Mutex<Option<String>>>);

impl Damage {
    pub(crate) fn told(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn tell(&self, what: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(what);
    }
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
    work: Work,
}

type Tell = Box<dyn FnOnce(Result<(), &io::Error>) + Send>;
type Work = Box<dyn FnOnce(Result<&Connection, &io::Error>) -> Done + Send>;

/// What came of a change, until the transaction is over.
struct Done {
    is_damaged: bool,
    tell: Tell,
}

impl Store {
    /// Starts the thread. The file is opened, and made where there is none, for the first change.
    ///
    /// # Errors
    /// The system's, where it has no thread.
    pub(crate) fn start(data: DataDirectory) -> io::Result<Store> {
        let (jobs, jobs_in) = sync_channel(STORE_JOBS);
        let damage = Damage::default();
        let keeper =
            Keeper { data: data.clone(), file: None, is_suspect: false, refused: None, damage: damage.clone() };
        let thread = std::thread::Builder::new().name("store".into()).spawn(move || keeper.run(&jobs_in))?;
        Ok(Store { inner: Arc::new(Inner { data, jobs: Some(jobs), thread: Some(thread), damage }) })
    }

    /// Where it is.
    pub(crate) fn directory(&self) -> &Path {
        &self.inner.data.directory
    }

    /// Whether there is anything in it, or from earlier versions: without opening it.
    pub(crate) fn has_any(&self) -> bool {
        file::has_any(&self.inner.data)
    }

    /// Opens it now.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub(crate) fn open_now(&self) -> io::Result<()> {
        self.run_now(|_| Ok(()))
    }

    /// What was wrong with the file.
    pub(crate) fn damage(&self) -> Damage {
        self.inner.damage.clone()
    }

    /// Makes a change; what it gives is known once it is on disk. Without anybody who waits it is made as well.
    pub(crate) fn run<T, W>(&self, commit: Commit, work: W) -> impl Future<Output = io::Result<T>> + Send + use<T, W>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.submit(commit, work, move |done| drop(answer.send(done)));
        async { answered.await.unwrap_or_else(|_| Err(io::Error::other("the store has ended"))) }
    }

    /// Makes a change and waits for it: for threads that have nothing else to do.
    ///
    /// # Errors
    /// Why it could not be made.
    pub(crate) fn run_now<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (answer, answered) = sync_channel(1);
        self.submit(Commit::Now, work, move |done| drop(answer.send(done)));
        answered.recv().unwrap_or_else(|_| Err(io::Error::other("the store has ended")))
    }

    /// Makes a change, and has `tell` told of it, mostly by the store's thread, which it must not hold up.
    pub(crate) fn submit<T: Send + 'static>(
        &self,
        commit: Commit,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        tell: impl FnOnce(io::Result<T>) + Send + 'static,
    ) {
        if let Err(error) = disk::step(Step::Change) {
            return tell(Err(error));
        }
        let work: Work = Box::new(move |file| {
            let done = file.map_err(copied).and_then(|file| within(file, work).map_err(|error| file::words(&error)));
            let is_damaged = done.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::InvalidData);
            let tell = Box::new(move |committed: Result<(), &io::Error>| match committed {
                Ok(()) => tell(done),
                // What went wrong first is told.
                Err(error) => tell(done.and(Err(copied(error)))),
            });
            Done { is_damaged, tell }
        });
        let Some(jobs) = &self.inner.jobs else { return };
        if let Err(refused) = jobs.try_send(Job { commit, work }) {
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
    /// It was found damaged while it was used.
    is_suspect: bool,
    /// Why it could not be opened, and when that was.
    refused: Option<(Instant, io::Error)>,
    damage: Damage,
}

impl Keeper {
    fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(first) = jobs.recv() {
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
                return batch.into_iter().for_each(|job| ((job.work)(Err(&error)).tell)(Err(&error)));
            }
        };
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
        let damaged = committed.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::InvalidData);
        self.suspect(damaged || done.iter().any(|done| done.is_damaged));
        for done in done {
            (done.tell)(committed.as_ref().copied());
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
        self.is_suspect = false;
        damage.into_iter().for_each(|damage| self.damage.tell(damage));
        Ok(file)
    }
}

#[cfg(test)]
mod tests;
