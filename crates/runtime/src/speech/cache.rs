//! Disk cache of synthesized texts, keyed by the hash of text and settings, so that a start need not synthesize them
//! again.

use std::fs::{self, DirBuilder, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use nix::fcntl::OFlag;
use sha2::{Digest as _, Sha256};

use super::SpeechKey;
use trunkgate_audio::RATE_HZ;
use trunkgate_system::clock;
use trunkgate_system::limits::{ANNOUNCEMENT_SECONDS, SPEECH_CACHE_BYTES};
use trunkgate_system::text::hex;

/// Suffix of the cache's files; other files in the folder are ignored.
const ENDING: &str = ".ulaw";
const CHECK_BYTES: usize = 32;
/// Maximum size of a file in bytes.
const MOST_BYTES: usize = CHECK_BYTES + ANNOUNCEMENT_SECONDS * RATE_HZ;

/// Folder of synthesized texts: each file is a checksum followed by the audio. Anyone who can write to it controls the
/// announcements, so a folder that other users can write to is not used.
#[derive(Debug)]
pub(super) struct SpeechCache {
    folder: PathBuf,
    fault: Mutex<Option<String>>,
}

impl SpeechCache {
    /// Creates a cache; the folder is created when the first text is stored.
    pub(super) fn at(folder: PathBuf) -> SpeechCache {
        SpeechCache { folder, fault: Mutex::default() }
    }

    /// Returns the audio of a cached text; `None` if there is no file with a valid checksum.
    pub(super) fn find(&self, key: &SpeechKey) -> Option<Arc<[u8]>> {
        let mut bytes = Vec::new();
        if let Err(what) = self.is_ours() {
            self.note(what);
            return None;
        }
        // Avoid blocking on special files, and do not follow symbolic links.
        let flags = OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(self.path(key)).ok()?;
        let about = file.metadata().ok()?;
        if !about.is_file() || about.len() > MOST_BYTES as u64 || others_write(&about).is_some() {
            return None;
        }
        (&file).take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes).ok()?;
        let (check, codes) = bytes.split_at_checked(CHECK_BYTES)?;
        if codes.is_empty() || bytes.len() > MOST_BYTES || *check != *Sha256::digest(codes) {
            return None;
        }
        // Mark the file as recently used; a read-only folder is fine.
        let _ = file.set_modified(clock::wall());
        Some(codes.into())
    }

    /// Stores the audio of a synthesised text; the first failure is returned by [`Self::close`].
    pub(super) fn keep(&self, key: &SpeechKey, codes: &[u8]) {
        let made =
            DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(|error| error.to_string());
        let kept = made
            .and_then(|()| self.is_ours())
            .and_then(|()| self.write(key, codes).and_then(|()| self.shrink()).map_err(|error| error.to_string()));
        kept.unwrap_or_else(|what| self.note(what));
    }

    fn note(&self, what: String) {
        let fault = format!("{}: {what}", self.folder.display());
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
    }

    /// Checks that only the edge's user and root can write to the folder; a missing folder is accepted.
    ///
    /// # Errors
    /// Returns a description of the users who can write to it.
    fn is_ours(&self) -> Result<(), String> {
        match fs::metadata(&self.folder).ok().as_ref().and_then(others_write) {
            Some(who) => {
                Err(format!("{who} and could replace audio: only the user of the edge may access it (mode 0700)"))
            }
            None => Ok(()),
        }
    }

    /// Closes the cache.
    ///
    /// # Errors
    /// Returns the first failure to store a text.
    pub(super) fn close(self) -> Result<(), String> {
        self.fault.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    fn path(&self, key: &SpeechKey) -> PathBuf {
        self.folder.join(hex(key) + ENDING)
    }

    /// Writes a file atomically.
    fn write(&self, key: &SpeechKey, codes: &[u8]) -> io::Result<()> {
        let path = self.path(key);
        let begun = path.with_extension(format!("{}.part", std::process::id()));
        let _ = fs::remove_file(&begun);
        // Announcements may be private.
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&begun)?;
        let written = file.write_all(&Sha256::digest(codes)).and_then(|()| file.write_all(codes));
        let done = written.and_then(|()| fs::rename(&begun, &path));
        if done.is_err() {
            let _ = fs::remove_file(&begun);
        }
        done
    }

    /// Removes the least recently used files until the others are within the size limit.
    fn shrink(&self) -> io::Result<()> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let ours = name.to_str().and_then(|name| name.strip_suffix(ENDING));
            if !ours.is_some_and(|hash| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())) {
                continue;
            }
            // Another process may have removed it.
            let Ok(about) = entry.metadata() else { continue };
            all.push((about.modified()?, about.len(), entry.path()));
        }
        let mut total: u64 = all.iter().map(|(_, length, _)| length).sum();
        all.sort();
        for (_, length, path) in all {
            if total <= SPEECH_CACHE_BYTES {
                break;
            }
            let _ = fs::remove_file(path);
            total -= length;
        }
        Ok(())
    }
}

/// Describes the users other than the edge's own and root who can write to a folder; `None` if there are none.
fn others_write(about: &Metadata) -> Option<String> {
    let owner = about.uid();
    if owner != 0 && owner != nix::unistd::geteuid().as_raw() {
        return Some(format!("user {owner} owns it"));
    }
    (about.mode() & 0o022 != 0).then(|| format!("others may write to it (mode {:04o})", about.mode() & 0o7777))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Duration;

    use std::time::SystemTime;

    use super::*;

    fn key(number: u8) -> SpeechKey {
        [number; 32]
    }

    #[test]
    fn only_the_owner_reads_what_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let cache = SpeechCache::at(folder.path().join("a/b"));
        assert_eq!(cache.find(&key(1)), None);
        cache.keep(&key(1), &[7; 100]);
        assert_eq!(cache.find(&key(1)).as_deref(), Some(&[7; 100][..]));
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(cache.folder.clone()), mode(cache.path(&key(1)))), (0o700, 0o600));
        assert_eq!(fs::read_dir(&cache.folder).unwrap().count(), 1);
        assert_eq!(cache.close(), Ok(()));
    }

    #[test]
    fn the_oldest_go_and_strangers_stay() {
        let folder = tempfile::tempdir().unwrap();
        let cache = SpeechCache::at(folder.path().to_owned());
        let stranger = folder.path().join("notes.ulaw");
        fs::File::create(&stranger).unwrap().set_len(2 * SPEECH_CACHE_BYTES).unwrap();
        cache.keep(&key(1), &[1; 10]);
        cache.keep(&key(2), &[2; 10]);
        let age = |number, seconds, length| {
            let file = OpenOptions::new().write(true).open(cache.path(&key(number))).unwrap();
            file.set_len(length).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
        };
        age(1, 1000, 42);
        age(2, 2000, SPEECH_CACHE_BYTES);
        cache.keep(&key(3), &[3; 10]);
        assert!(!cache.path(&key(2)).exists() && stranger.exists());
        assert!(cache.find(&key(1)).is_some() && cache.find(&key(3)).is_some());
    }

    /// Opening a pipe would block until a process writes to it.
    #[test]
    fn a_pipe_or_a_link_in_a_file_s_place_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let cache = SpeechCache::at(folder.path().to_owned());
        nix::unistd::mkfifo(&cache.path(&key(1)), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(cache.find(&key(1)), None);
        cache.keep(&key(2), &[2; 10]);
        std::os::unix::fs::symlink(cache.path(&key(2)), cache.path(&key(3))).unwrap();
        assert_eq!((cache.find(&key(3)), cache.find(&key(2)).is_some()), (None, true));
    }

    #[test]
    fn what_others_may_write_to_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let at = || SpeechCache::at(folder.path().to_owned());
        at().keep(&key(1), &[1; 10]);
        let set = |path: PathBuf, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        for mode in [0o777, 0o720, 0o702] {
            set(folder.path().to_owned(), mode);
            let cache = at();
            assert_eq!(cache.find(&key(1)), None);
            cache.keep(&key(2), &[2; 10]);
            assert!(!cache.path(&key(2)).exists());
            let told = cache.close().unwrap_err();
            assert!(told.contains(&format!("others may write to it (mode {mode:04o})")), "{told}");
        }
        set(folder.path().to_owned(), 0o755);
        assert!(at().find(&key(1)).is_some());
        set(at().path(&key(1)), 0o666);
        assert_eq!(at().find(&key(1)), None, "nor is a file");
        if nix::unistd::geteuid().is_root() {
            set(at().path(&key(1)), 0o600);
            std::os::unix::fs::chown(folder.path(), Some(12_345), None).unwrap();
            let cache = at();
            assert_eq!(cache.find(&key(1)), None);
            assert!(cache.close().unwrap_err().contains("user 12345 owns it"));
        }
    }

    #[test]
    fn what_cannot_be_kept_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let cache = SpeechCache::at(file.clone());
        cache.keep(&key(1), &[1; 10]);
        assert!(cache.close().unwrap_err().contains(&file.display().to_string()));
    }
}
