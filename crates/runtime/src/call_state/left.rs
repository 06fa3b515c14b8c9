//! Reader of the state file of a crashed process, called at the start, before the file is replaced.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use trunkgate_call::gateway::{ConferenceStates, GatewaySnapshot};
use trunkgate_call::{CallSnapshot, CrashGap};
use trunkgate_system::clock::{self, ClockReading};
use trunkgate_system::files::named;

use super::FILE_NAME;
use super::frames::{self, PackedState, StateContents, StateFrame, StateHeader};

/// Number of starts that end while restoring a call, from which on that call is given up.
const CALL_ATTEMPTS: usize = 2;
/// Number of consecutive starts with an early crash after which no call is restored.
const STARTS: u32 = 5;
/// Time since the crash after which the parties of a call have hung up.
const LONGEST_ABSENCE: Duration = Duration::from_secs(300);
/// Maximum bytes read of a file, more than the calls of one edge need.
const LONGEST: u64 = 1 << 30;

/// Calls of a crashed process, and its state file, which remains until the calls continue.
#[derive(Debug)]
pub struct LeftState {
    /// Calls in the order of their arrival, with the state that they share.
    pub calls: GatewaySnapshot,
    /// SIDs of calls that are not continued, with the reason.
    pub set_aside: Vec<(String, &'static str)>,
    /// Ages of the oldest and of the newest snapshot; `None` without calls.
    pub ages: Option<(Duration, Duration)>,
    /// Number of consecutive starts with an early crash, this start included.
    pub crashes: u32,
    /// Whether the file is damaged before its last change; if so, calls are missing or restored from older states.
    pub is_damaged: bool,
    file: File,
}

/// Reason why the calls in a file are not continued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateRefusal {
    /// The file is damaged, or has the format of another version of the program.
    Unreadable,
    /// The machine has been restarted since the file was written.
    Rebooted,
    /// The edge crashed long ago.
    Outdated,
    /// The edge has crashed too often soon after its start; another attempt might crash it again.
    CrashLoop,
}

impl StateRefusal {
    /// Returns the reason as a clause for messages.
    pub fn as_str(self) -> &'static str {
        match self {
            StateRefusal::Unreadable => "it is damaged, or was written by another program",
            StateRefusal::Rebooted => "the machine has been restarted since",
            StateRefusal::Outdated => "the edge crashed more than five minutes ago",
            StateRefusal::CrashLoop => "the edge has crashed five times within 10 s of its start",
        }
    }
}

/// Outcome of reading a state file.
#[derive(Debug)]
pub enum StateReading {
    /// There is no state file.
    Nothing,
    /// Calls that can continue.
    Left(Box<LeftState>),
    /// The calls are not continued. The path is that of the renamed file; `None` after a restart of the machine or a
    /// long absence, when the file is of no further use.
    Refused(StateRefusal, Option<PathBuf>),
}

impl LeftState {
    /// Reads and locks the state file in the state directory, and records this start in it, before this process sends
    /// anything: the next start then knows that this one may have used numbers of the calls. The write needs no sync,
    /// because the file is only used until the machine is restarted.
    ///
    /// # Errors
    /// Returns the system's error, or an error if another process uses the file or another user could have written it.
    pub fn read(directory: &Path) -> io::Result<StateReading> {
        let path = directory.join(FILE_NAME);
        let flags = nix::fcntl::OFlag::O_NOFOLLOW.bits();
        let file = match OpenOptions::new().read(true).append(true).custom_flags(flags).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(StateReading::Nothing),
            Err(error) => return Err(named(&path, &error)),
        };
        let about = file.metadata()?;
        if !about.is_file() || about.uid() != nix::unistd::geteuid().as_raw() || about.mode() & 0o077 != 0 {
            let why = io::Error::other("is not a file of this user with mode 0600");
            return Err(named(&path, &why));
        }
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => named(&path, &io::Error::other("another edge uses it")),
            TryLockError::Error(error) => named(&path, &error),
        })?;
        if clock::wall().duration_since(about.modified()?).is_ok_and(|absence| absence > LONGEST_ABSENCE) {
            return Ok(StateReading::Refused(StateRefusal::Outdated, None));
        }
        let mut bytes = Vec::new();
        // A longer file is none of an edge.
        (&file).take(LONGEST).read_to_end(&mut bytes).map_err(|error| named(&path, &error))?;
        let boot = ClockReading::now().boot;
        match LeftContents::of(&bytes, &boot, clock::monotonic()) {
            Ok(contents) => {
                // The frames of this start follow the last complete one.
                file.set_len(contents.complete as u64)?;
                let LeftContents { calls, set_aside, ages, crashes, complete: _, is_damaged } = contents;
                let mut left = LeftState { calls, set_aside, ages, crashes, is_damaged, file };
                left.append(&StateFrame::Start)?;
                Ok(StateReading::Left(Box::new(left)))
            }
            Err(StateRefusal::Rebooted) => Ok(StateReading::Refused(StateRefusal::Rebooted, None)),
            Err(refusal) => {
                let kept = path.with_extension("refused");
                std::fs::rename(&path, &kept)?;
                Ok(StateReading::Refused(refusal, Some(kept)))
            }
        }
    }

    /// Records in the file that this call is restored next, so that the next start can recognise a call that crashes
    /// the process when it is restored.
    pub fn continues(&mut self, sid: &str) {
        // Without the note, only the search for a call that crashes the process is less exact.
        let _ = self.append(&StateFrame::Continues { sid: sid.to_owned() });
    }

    /// Records in the file that all calls are restored: a later crash has another cause than the last of them.
    pub fn is_restored(&mut self) {
        self.continues("");
    }

    /// Returns the file, which stays locked until this copy of it is closed, too.
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn lock(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    fn append(&mut self, frame: &StateFrame) -> io::Result<()> {
        let mut bytes = Vec::new();
        frame.write_to(&mut bytes);
        self.file.write_all(&bytes)
    }
}

/// Contents of a state file, interpreted.
#[derive(Debug)]
struct LeftContents {
    calls: GatewaySnapshot,
    set_aside: Vec<(String, &'static str)>,
    ages: Option<(Duration, Duration)>,
    crashes: u32,
    /// Length of the complete frames, in bytes.
    complete: usize,
    /// Whether a damaged frame follows them, not an incomplete one.
    is_damaged: bool,
}

impl LeftContents {
    /// Interprets the bytes of a state file; `now` is the monotonic time and `boot` the boot id of the machine.
    fn of(bytes: &[u8], boot: &str, now: Duration) -> Result<LeftContents, StateRefusal> {
        let StateContents { header, dictionary, frames, complete, is_damaged } =
            frames::read(bytes).ok_or(StateRefusal::Unreadable)?;
        let StateHeader { version: _, boot: before, mut crashes } = header;
        if before != boot {
            return Err(StateRefusal::Rebooted);
        }
        let (mut calls, mut shared, mut conferences) = (BTreeMap::new(), None, None);
        // Last call of each start that has not restored all of them.
        let mut suspects: Vec<Option<String>> = Vec::new();
        for frame in frames {
            match frame {
                StateFrame::Header(_) => return Err(StateRefusal::Unreadable),
                StateFrame::Call { key, at, state } => drop(calls.insert(key, (at, state))),
                StateFrame::Gone { key } => drop(calls.remove(&key)),
                StateFrame::Shared { at, state } => shared = Some((at, state)),
                StateFrame::Conferences { at, state } => conferences = Some((at, state)),
                StateFrame::Settled => crashes = 0,
                StateFrame::Start => suspects.push(None),
                StateFrame::Continues { sid } => drop(suspects.last_mut().and_then(|last| last.replace(sid))),
            }
        }
        crashes = crashes.saturating_add(1);
        if crashes >= STARTS || suspects.len() >= STARTS as usize {
            return Err(StateRefusal::CrashLoop);
        }
        // Each start may have continued the calls, and crashed before it had written them to a file of its own.
        let gap = |at: Duration| CrashGap::new(suspects.len() as u32, now.saturating_sub(at));
        let mut left = LeftContents {
            calls: match shared {
                Some((at, state)) => {
                    let mut calls: GatewaySnapshot = state.value(&dictionary).map_err(|_| StateRefusal::Unreadable)?;
                    calls.outlive_crash(gap(at));
                    calls
                }
                None => GatewaySnapshot::default(),
            },
            set_aside: Vec::new(),
            ages: None,
            crashes,
            complete,
            is_damaged,
        };
        if let Some((at, state)) = conferences {
            // Without them, the calls of their participants join new ones.
            let mut states: ConferenceStates = state.value(&dictionary).unwrap_or_default();
            states.outlive_crash(gap(at));
            left.calls.conferences = states;
        }
        for (at, state) in calls.into_values() {
            let call = state.value::<CallSnapshot>(&dictionary);
            let sid = call.as_ref().map_or_else(|_| sid_in(&state, &dictionary), |call| call.sid.clone());
            if suspects.iter().flatten().filter(|suspect| **suspect == sid).count() >= CALL_ATTEMPTS {
                left.set_aside.push((sid, "the edge crashed twice while it was restored"));
                continue;
            }
            let Ok(mut call) = call else {
                left.set_aside.push((sid, "its state is of another version"));
                continue;
            };
            let gap = gap(at);
            let (oldest, newest) = left.ages.unwrap_or((gap.age(), gap.age()));
            left.ages = Some((oldest.max(gap.age()), newest.min(gap.age())));
            call.outlive_crash(gap);
            left.calls.calls.push(call);
        }
        Ok(left)
    }
}

/// Returns the call's SID from a snapshot that cannot be parsed as a call; `?` if it cannot be found.
fn sid_in(state: &PackedState, dictionary: &[u8]) -> String {
    let value: serde_json::Value = state.value(dictionary).unwrap_or_default();
    value.get("sid").and_then(|sid| sid.as_str()).unwrap_or("?").to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    const BOOT: &str = "boot";

    fn file(crashes: u32, frames: &[StateFrame]) -> Vec<u8> {
        let header = StateHeader { version: "0.1.0".to_owned(), boot: BOOT.to_owned(), crashes };
        let mut bytes = frames::beginning(header);
        frames.iter().for_each(|frame| frame.write_to(&mut bytes));
        bytes
    }

    fn call(key: u64, sid: &str) -> StateFrame {
        StateFrame::call(key, Duration::from_secs(1), &serde_json::json!({ "sid": sid })).unwrap()
    }

    fn continues(sid: &str) -> StateFrame {
        StateFrame::Continues { sid: sid.to_owned() }
    }

    fn read(bytes: &[u8]) -> Result<LeftContents, StateRefusal> {
        LeftContents::of(bytes, BOOT, Duration::from_secs(5))
    }

    /// Returns the calls that are set aside, each with its reason.
    fn set_aside(frames: &[StateFrame]) -> Vec<(String, &'static str)> {
        read(&file(0, frames)).unwrap().set_aside
    }

    #[test]
    fn a_call_of_another_version_is_named_and_one_that_has_ended_is_not() {
        let told = set_aside(&[call(1, "CA1"), call(2, "CA2"), StateFrame::Gone { key: 1 }]);
        assert_eq!(told, [("CA2".to_owned(), "its state is of another version")]);
    }

    #[test]
    fn a_call_that_crashed_two_restores_is_set_aside() {
        let once = [StateFrame::Start, continues("CA1"), continues("CA2")];
        let calls = [call(1, "CA1"), call(2, "CA2"), call(3, "CA3")];
        let why = |starts: usize, sid: &str| {
            let frames: Vec<StateFrame> = calls.iter().chain(once.iter().cycle().take(3 * starts)).cloned().collect();
            set_aside(&frames).into_iter().find(|(other, _)| other == sid).unwrap().1
        };
        assert_eq!([why(1, "CA2"), why(2, "CA1")], ["its state is of another version"; 2]);
        assert!(why(2, "CA2").contains("crashed twice") && why(2, "CA3").contains("version"));
    }

    /// Once all calls were restored, a crash is not due to the one that was restored last.
    #[test]
    fn a_call_restored_before_two_crashes_is_not_set_aside() {
        let start = [StateFrame::Start, continues("CA1"), continues("")];
        let frames: Vec<StateFrame> = [call(1, "CA1")].into_iter().chain(start.into_iter().cycle().take(9)).collect();
        assert_eq!(set_aside(&frames), [("CA1".to_owned(), "its state is of another version")]);
    }

    /// A process that has crashed before it wrote the calls may have used numbers of them, which the next one leaves
    /// out, too.
    #[test]
    fn each_start_without_a_file_of_its_own_widens_the_gap() {
        let call: CallSnapshot = serde_json::from_str(include_str!("dictionary.json")).unwrap();
        let frames = |starts: usize| {
            let call = StateFrame::call(1, Duration::from_secs(5), &call).unwrap();
            [call].into_iter().chain(std::iter::repeat_n(StateFrame::Start, starts)).collect::<Vec<_>>()
        };
        let cseq = |starts: usize| {
            let left = read(&file(0, &frames(starts))).unwrap();
            let call = serde_json::to_value(&left.calls.calls[0]).unwrap();
            call["legs"]["kept"][1]["sip"]["dialog"]["local_cseq"].as_u64().unwrap()
        };
        let [none, one, two] = [cseq(0), cseq(1), cseq(2)];
        assert!(none + 32 <= one && one + 32 <= two, "{none} {one} {two}");
    }

    #[test]
    fn a_crash_loop_ends_and_a_settled_start_begins_it_again() {
        assert_eq!(read(&file(3, &[])).unwrap().crashes, 4);
        assert_eq!(read(&file(4, &[])).unwrap_err(), StateRefusal::CrashLoop);
        assert_eq!(read(&file(5, &[StateFrame::Settled])).unwrap().crashes, 1);
        let starts = vec![StateFrame::Start; 5];
        assert_eq!(read(&file(0, &starts[..4])).unwrap().crashes, 1);
        assert_eq!(read(&file(0, &starts)).unwrap_err(), StateRefusal::CrashLoop);
    }

    #[test]
    fn a_file_of_another_boot_or_program_is_refused() {
        let bytes = file(0, &[call(1, "CA1")]);
        assert_eq!(LeftContents::of(&bytes, "another", Duration::ZERO).unwrap_err(), StateRefusal::Rebooted);
        assert_eq!(read(b"anything").unwrap_err(), StateRefusal::Unreadable);
        // A torn end hides no call before it.
        let torn = read(&bytes[..bytes.len() - 1]).unwrap();
        assert!(torn.set_aside.is_empty() && torn.complete < bytes.len() - 1 && !torn.is_damaged);
        let mut damaged = file(0, &[call(1, "CA1"), call(2, "CA2")]);
        *damaged.last_mut().unwrap() ^= 1;
        assert!(read(&damaged).unwrap().is_damaged);
    }

    #[test]
    fn a_file_that_others_can_read_or_that_is_in_use_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(LeftState::read(folder.path()).unwrap(), StateReading::Nothing));
        let path = folder.path().join(FILE_NAME);
        std::fs::write(&path, file(0, &[])).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(LeftState::read(folder.path()).unwrap_err().to_string().contains("mode 0600"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let other = File::open(&path).unwrap();
        other.try_lock().unwrap();
        assert!(LeftState::read(folder.path()).is_err());
        drop(other);
        // The test's file is of another boot.
        let refused = LeftState::read(folder.path()).unwrap();
        assert!(matches!(refused, StateReading::Refused(StateRefusal::Rebooted, None)));
        let written = File::options().write(true).open(&path).unwrap();
        written.set_modified(SystemTime::now() - LONGEST_ABSENCE - Duration::from_secs(60)).unwrap();
        let refused = LeftState::read(folder.path()).unwrap();
        assert!(matches!(refused, StateReading::Refused(StateRefusal::Outdated, None)));
        std::fs::write(&path, b"anything").unwrap();
        let StateReading::Refused(StateRefusal::Unreadable, Some(kept)) = LeftState::read(folder.path()).unwrap()
        else {
            panic!("it was read");
        };
        assert!(kept.exists() && !path.exists());
        std::os::unix::fs::symlink(&kept, &path).unwrap();
        assert!(LeftState::read(folder.path()).is_err());
    }
}
