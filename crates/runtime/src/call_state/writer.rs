//! Thread that writes the state file. Signalling never waits for it: if its queue is full or a write fails,
//! [`StateWriter::take_behind`] returns true, and all calls must be written again.
//!
//! The file of a crashed process remains until [`StateWriter::begin`]: if this process crashes before all calls that
//! it continues are written, the next one finds them in the earlier file, which also has a record of this start.

use std::collections::{HashMap, HashSet};
use std::fs::{DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use trunkgate_call::CallSnapshot;
use trunkgate_call::gateway::{ConferenceStates, GatewaySnapshot};
use trunkgate_system::clock::{self, ClockReading};
use trunkgate_system::{files, ownership};

use super::FILE_NAME;
use super::frames::{StateFrame, StateHeader, beginning};
use super::report::StateFigures;

/// Capacity of the command queue; one turn of the signalling loop changes far fewer calls.
const QUEUE: usize = 4096;
/// The file is rewritten once its length exceeds twice that of the latest frames plus this many bytes.
const SLACK: u64 = 256 << 10;
/// Time after which a start counts as successful.
const SETTLED: Duration = Duration::from_secs(10);
/// Pause after a failed write before the next attempt.
const PAUSE: Duration = Duration::from_secs(1);
/// Interval of updates of the modification time, which shows how long the process lived.
const TOUCH_INTERVAL: Duration = Duration::from_secs(5);
/// Interval of checks whether the file may begin.
const BEGIN_INTERVAL: Duration = Duration::from_millis(5);
/// Time after which the file begins even if the queue of the writer was always too short for all calls.
const BEGIN_WITHIN: Duration = Duration::from_secs(5);

/// Change of the state file.
#[derive(Debug)]
pub enum StateCommand {
    /// Latest snapshot of a call, with its key and the monotonic time at which it was taken.
    Call(u64, Duration, Box<CallSnapshot>),
    /// The call with this key has ended.
    Gone(u64),
    /// Only the calls with these keys exist; sent after changes were lost.
    Only(HashSet<u64>),
    /// Latest snapshot of the state that calls share, with the monotonic time at which it was taken.
    Shared(Duration, Box<GatewaySnapshot>),
    /// Latest snapshot of all conferences, with the monotonic time at which it was taken.
    Conferences(Duration, Box<ConferenceStates>),
}

/// Handle to the writer thread; dropping it ends the thread.
#[derive(Debug)]
pub struct StateWriter {
    commands: SyncSender<StateCommand>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<WriterState>,
}

#[derive(Debug, Default)]
struct WriterState {
    figures: Arc<StateFigures>,
    /// Whether a change was lost, because the queue was full or a write failed.
    is_behind: AtomicBool,
    /// Whether the file remains when the thread ends, for a successor or the next start.
    is_kept: AtomicBool,
    /// Whether all calls that this process continues have been queued.
    is_begun: AtomicBool,
}

impl StateWriter {
    /// Starts the thread. `crashes` is the number of consecutive starts with an early crash. `lock` is the file of a
    /// crashed process, which has a record of this start and stays locked until it is replaced at [`Self::begin`]. Any
    /// other file is removed at once: after a hand-over the numbers in it are used by this process, too.
    ///
    /// # Errors
    /// Returns the system's error if the thread cannot be created.
    pub fn start(
        directory: &Path,
        crashes: u32,
        lock: Option<File>,
        figures: Arc<StateFigures>,
    ) -> io::Result<StateWriter> {
        let header =
            StateHeader { version: env!("CARGO_PKG_VERSION").to_owned(), boot: ClockReading::now().boot, crashes };
        let file = StateFile::new(directory.join(FILE_NAME), header);
        if lock.is_none() {
            // A missing file is no failure, and any other one shows at the first write.
            let _ = std::fs::remove_file(&file.path);
        }
        let (commands, received) = sync_channel(QUEUE);
        let shared = Arc::new(WriterState { figures, ..WriterState::default() });
        let state = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("call-state".to_owned()).spawn(move || {
            let (failed, began) = (None, Instant::now());
            WriterThread { file, lock, state, failed, began, is_begun: false, is_settled: false, oldest: None }
                .run(&received);
        })?;
        Ok(StateWriter { commands, thread: Some(thread), shared })
    }

    /// Queues a change without waiting. If the queue is full, the change is lost, and [`Self::take_behind`] returns
    /// true.
    pub fn write(&self, command: StateCommand) {
        match self.commands.try_send(command) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.shared.is_behind.store(true, Ordering::Relaxed)
            }
        }
    }

    /// Returns whether changes were lost since the last call of this function, and resets the state. If so, the caller
    /// must write all calls again.
    pub fn take_behind(&self) -> bool {
        self.shared.is_behind.swap(false, Ordering::Relaxed)
    }

    /// Makes the thread replace the file of an earlier process by a new one, with the calls queued so far. If the file
    /// cannot be created, later changes try again.
    pub fn begin(&self) {
        self.shared.is_begun.store(true, Ordering::Release);
    }

    /// Ends the thread and keeps the file for a process that continues the calls.
    pub fn keep_file(self) {
        self.shared.is_kept.store(true, Ordering::Relaxed);
    }
}

impl Drop for StateWriter {
    fn drop(&mut self) {
        // The thread ends with the last sender.
        self.commands = sync_channel(0).0;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Creates the state directory for this user only, and checks that no other user can change it.
///
/// # Errors
/// Returns the system's error, or an error if another user owns the directory or can change it.
pub fn prepare(directory: &Path) -> io::Result<()> {
    if !directory.exists() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let about = std::fs::metadata(directory)?;
    if !about.is_dir() {
        return Err(io::Error::other(format!("{} is not a directory", directory.display())));
    }
    if ownership::fault_of(&about).is_some() {
        let why = "belongs to another user or can be changed by others: `chmod go-w` it, or name another directory";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("{} {why}", directory.display())));
    }
    Ok(())
}

/// State file, with a copy of its latest frames for rewriting it.
#[derive(Debug)]
struct StateFile {
    path: PathBuf,
    /// Open file; `None` until it could be created.
    file: Option<File>,
    header: StateHeader,
    /// Latest frame of each call.
    calls: HashMap<u64, Vec<u8>>,
    /// Latest frame of the state that calls share.
    common: Vec<u8>,
    /// Latest frame of the conferences.
    conferences: Vec<u8>,
    /// Length of the file, in bytes.
    len: u64,
    /// Total length of the latest frames, in bytes.
    valid: u64,
}

impl StateFile {
    fn new(path: PathBuf, header: StateHeader) -> StateFile {
        let (calls, common, conferences) = (HashMap::new(), Vec::new(), Vec::new());
        StateFile { path, file: None, header, calls, common, conferences, len: 0, valid: 0 }
    }

    /// Appends frames that are already stored as the latest ones, or rewrites the file if it is too long or the write
    /// fails.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(file) = &mut self.file else { return self.rewrite() };
        if file.write_all(bytes).is_err() {
            // A part of the frames would hide those behind it. A shorter file may find room.
            let _ = file.set_len(self.len);
            return self.rewrite();
        }
        self.len += bytes.len() as u64;
        if self.len > 2 * self.valid + SLACK { self.rewrite() } else { Ok(()) }
    }

    /// Updates the modification time.
    fn touch(&self) {
        // A failure shows at the next write.
        let _ = self.file.as_ref().map(|file| file.set_modified(clock::wall()));
    }

    fn rewrite(&mut self) -> io::Result<()> {
        let mut text = beginning(self.header.clone());
        text.extend_from_slice(&self.common);
        text.extend_from_slice(&self.conferences);
        self.calls.values().for_each(|call| text.extend_from_slice(call));
        let file = match replaced(&self.path, &text) {
            Err(_) if self.file.is_none() => {
                // Calls of another process must not come back later, and their file takes room.
                let _ = std::fs::remove_file(&self.path);
                replaced(&self.path, &text)?
            }
            replaced => replaced?,
        };
        self.file = Some(file);
        (self.len, self.valid) = (text.len() as u64, text.len() as u64);
        Ok(())
    }

    /// Stores the latest frame of a call; `None` removes the call.
    fn note(&mut self, key: u64, frame: Option<Vec<u8>>) {
        self.valid += frame.as_ref().map_or(0, Vec::len) as u64;
        let before = match frame {
            Some(frame) => self.calls.insert(key, frame),
            None => self.calls.remove(&key),
        };
        self.valid = self.valid.saturating_sub(before.map_or(0, |frame| frame.len()) as u64);
    }
}

/// Replaces a file by one with this content, which only the edge's user can read, and locks it against other processes.
fn replaced(path: &Path, text: &[u8]) -> io::Result<File> {
    let new = path.with_extension("new");
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = files::create_new(&new, files::SECRET)?;
    file.write_all(text)?;
    file.try_lock()?;
    std::fs::rename(&new, path)?;
    Ok(file)
}

struct WriterThread {
    file: StateFile,
    /// Locked file of an earlier process, until it is replaced.
    lock: Option<File>,
    state: Arc<WriterState>,
    /// Time of the last failed write.
    failed: Option<Instant>,
    began: Instant,
    is_begun: bool,
    is_settled: bool,
    /// Time by the monotonic clock of the oldest snapshot that is being written.
    oldest: Option<Duration>,
}

impl WriterThread {
    fn run(&mut self, commands: &Receiver<StateCommand>) {
        loop {
            if self.is_begun && !self.is_settled && self.began.elapsed() >= SETTLED {
                self.settle();
            }
            // Before the queue is read, which then has all calls.
            let may_begin = self.may_begin();
            let first = match commands.recv_timeout(if self.is_begun { TOUCH_INTERVAL } else { BEGIN_INTERVAL }) {
                Ok(command) => Some(command),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let is_idle = first.is_none();
            let mut bytes = Vec::new();
            first.into_iter().chain(commands.try_iter().take(QUEUE)).for_each(|one| self.take(one, &mut bytes));
            if may_begin && !self.is_begun {
                self.is_begun = true;
                self.write(&bytes);
                self.lock = None;
            } else if is_idle {
                self.file.touch();
            } else if self.is_begun {
                self.write(&bytes);
            }
        }
        self.end();
    }

    /// Returns whether the file of an earlier process may be replaced.
    fn may_begin(&self) -> bool {
        self.state.is_begun.load(Ordering::Acquire) || self.began.elapsed() >= BEGIN_WITHIN
    }

    /// Removes the file, unless another process continues the calls, or has left them and they did not begin here.
    fn end(&self) {
        if self.is_begun && !self.state.is_kept.load(Ordering::Relaxed) {
            let _ = std::fs::remove_file(&self.file.path);
        }
    }

    fn settle(&mut self) {
        self.is_settled = true;
        self.file.header.crashes = 0;
        let mut bytes = Vec::new();
        StateFrame::Settled.write_to(&mut bytes);
        self.write(&bytes);
    }

    fn take(&mut self, command: StateCommand, bytes: &mut Vec<u8>) {
        let mut frame = Vec::new();
        if let StateCommand::Call(_, at, _) | StateCommand::Shared(at, _) | StateCommand::Conferences(at, _) = &command
        {
            self.oldest = Some(self.oldest.map_or(*at, |oldest| oldest.min(*at)));
        }
        match command {
            StateCommand::Call(key, at, snapshot) => match StateFrame::call(key, at, &*snapshot) {
                Ok(call) => {
                    call.write_to(&mut frame);
                    bytes.extend_from_slice(&frame);
                    self.file.note(key, Some(frame));
                }
                Err(error) => tracing::error!(
                    "call {} would not survive a crash, because its state cannot be serialised: {error}",
                    snapshot.sid
                ),
            },
            StateCommand::Gone(key) => {
                StateFrame::Gone { key }.write_to(bytes);
                self.file.note(key, None);
            }
            StateCommand::Only(live) => {
                let ended: Vec<u64> = self.file.calls.keys().filter(|key| !live.contains(key)).copied().collect();
                ended.into_iter().for_each(|key| self.take(StateCommand::Gone(key), bytes));
            }
            StateCommand::Shared(at, snapshot) => match StateFrame::shared(at, &*snapshot) {
                Ok(shared) => {
                    shared.write_to(&mut frame);
                    bytes.extend_from_slice(&frame);
                    self.file.valid = self.file.valid + frame.len() as u64 - self.file.common.len() as u64;
                    self.file.common = frame;
                }
                Err(error) => tracing::error!(
                    "the latest state that calls share would not survive a crash, because it cannot be serialised: {error}"
                ),
            },
            StateCommand::Conferences(at, snapshot) => match StateFrame::conferences(at, &*snapshot) {
                Ok(conferences) => {
                    conferences.write_to(&mut frame);
                    bytes.extend_from_slice(&frame);
                    self.file.valid = self.file.valid + frame.len() as u64 - self.file.conferences.len() as u64;
                    self.file.conferences = frame;
                }
                Err(error) => tracing::error!(
                    "the latest state of conferences would not survive a crash, because it cannot be serialised: {error}"
                ),
            },
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        let figures = &self.state.figures;
        if self.failed.is_some_and(|at| at.elapsed() < PAUSE) {
            return self.state.is_behind.store(true, Ordering::Relaxed);
        }
        // After a failure all latest frames are written, since some of them are missing in the file.
        let written = if self.failed.is_some() { self.file.rewrite() } else { self.file.append(bytes) };
        match (&written, self.failed) {
            (Err(error), None) => tracing::error!(
                reason = "state_failed",
                "the state of calls cannot be written to {}: {error}. Calls would not survive a crash",
                self.file.path.display()
            ),
            (Ok(()), Some(_)) => tracing::info!("the state of calls is written again"),
            (Err(_), Some(_)) | (Ok(()), None) => {}
        }
        self.failed = written.is_err().then(Instant::now);
        if written.is_err() {
            self.state.is_behind.store(true, Ordering::Relaxed);
        }
        figures.is_failing.store(written.is_err(), Ordering::Relaxed);
        figures.calls.set(self.file.calls.len() as u64);
        figures.bytes.set(self.file.len);
        if let Some(oldest) = self.oldest.take_if(|_| written.is_ok()) {
            figures
                .lag_us
                .set(u64::try_from(clock::monotonic().saturating_sub(oldest).as_micros()).unwrap_or(u64::MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::super::frames;
    use super::*;

    fn at(path: PathBuf) -> StateFile {
        let header = StateHeader { version: "0.1.0".to_owned(), boot: "b".to_owned(), crashes: 0 };
        let mut file = StateFile::new(path, header);
        file.append(&[]).unwrap();
        file
    }

    fn put(file: &mut StateFile, key: u64, text: &str) {
        let mut frame = Vec::new();
        StateFrame::call(key, Duration::ZERO, &text).unwrap().write_to(&mut frame);
        file.note(key, Some(frame.clone()));
        file.append(&frame).unwrap();
    }

    #[test]
    fn a_long_file_is_rewritten_with_the_latest_frames() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        let mut file = at(path.clone());
        // Text that cannot be compressed.
        let long: String =
            (0..40_000u32).map(|n| char::from(b'!' + (n.wrapping_mul(2_654_435_761) >> 25) as u8 % 90)).collect();
        for round in 0..400 {
            put(&mut file, round % 5, &format!("{round}{long}"));
        }
        file.note(4, None);
        let mut gone = Vec::new();
        StateFrame::Gone { key: 4 }.write_to(&mut gone);
        file.append(&gone).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len() as u64, file.len);
        assert!(file.len <= 2 * file.valid + SLACK + 100_000, "{} {}", file.len, file.valid);
        let frames::StateContents { dictionary, frames: read, complete, .. } = frames::read(&bytes).unwrap();
        assert_eq!(complete, bytes.len());
        let mut latest = HashMap::new();
        for frame in read {
            match frame {
                StateFrame::Call { key, state, .. } => {
                    drop(latest.insert(key, state.value::<String>(&dictionary).unwrap()))
                }
                StateFrame::Gone { key } => drop(latest.remove(&key)),
                StateFrame::Header(_)
                | StateFrame::Shared { .. }
                | StateFrame::Conferences { .. }
                | StateFrame::Settled
                | StateFrame::Start
                | StateFrame::Continues { .. } => {}
            }
        }
        assert_eq!(latest.len(), 4);
        for (key, text) in latest {
            assert!(text.starts_with(&(395 + key).to_string()), "{key}");
        }
    }

    #[test]
    fn state_file_is_private_and_locked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        let _file = at(path.clone());
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(File::open(&path).unwrap().try_lock().is_err());
    }

    fn call() -> StateCommand {
        let call: CallSnapshot = serde_json::from_str(include_str!("dictionary.json")).unwrap();
        StateCommand::Call(1, Duration::ZERO, Box::new(call))
    }

    /// Waits until a condition is met; the writer thread reports nothing.
    fn until(met: impl Fn() -> bool) {
        while !met() {
            std::thread::yield_now();
        }
    }

    /// A process that crashes before all calls are queued leaves the file of the process before it.
    #[test]
    fn the_file_of_an_earlier_process_is_replaced_once_all_calls_are_queued() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        std::fs::write(&path, b"earlier").unwrap();
        let (earlier, figures) = (File::open(&path).unwrap(), Arc::new(StateFigures::default()));
        earlier.try_lock().unwrap();
        let start = || StateWriter::start(folder.path(), 1, Some(earlier.try_clone().unwrap()), Arc::clone(&figures));
        let handed_over = || StateWriter::start(folder.path(), 0, None, Arc::clone(&figures));
        let writer = start().unwrap();
        writer.write(call());
        writer.keep_file();
        assert_eq!(std::fs::read(&path).unwrap(), b"earlier");
        // A process that ends before that leaves it, too.
        drop(start().unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"earlier");
        let writer = start().unwrap();
        writer.write(call());
        writer.begin();
        until(|| std::fs::read(&path).unwrap() != b"earlier");
        let read = frames::read(&std::fs::read(&path).unwrap()).unwrap();
        assert!(matches!(read.frames[..], [StateFrame::Call { key: 1, .. }]), "{:?}", read.frames);
        drop(writer);
        assert!(!path.exists());
        // A process that hands its calls over has left a file with numbers that the next one uses, too.
        std::fs::write(&path, b"earlier").unwrap();
        let writer = handed_over().unwrap();
        assert!(!path.exists());
        drop(writer);
    }

    #[test]
    fn shared_directories_are_refused() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let new = folder.path().join("run/trunkgate");
        prepare(&new).unwrap();
        assert_eq!(std::fs::metadata(&new).unwrap().mode() & 0o777, 0o700);
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o770)).unwrap();
        assert!(prepare(&new).unwrap_err().to_string().contains("chmod go-w"));
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert!(prepare(&folder.path().join("file")).is_err());
    }
}
