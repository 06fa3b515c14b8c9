//! Disks: free space for the data that the edge writes.

use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};

use crate::findings::Finding;
#[cfg(test)]
use crate::findings::Level;
use trunkgate_config::{Config, DirectoryProblem};
use trunkgate_system::limits::{DISK_LEAST_BYTES, DISK_LOW_BYTES};
use trunkgate_system::problem::{fix_of_permission, fix_of_read_only};

/// Directory that the edge writes to, with a name for its content.
type Use = (&'static str, PathBuf);

fn uses(config: &Config) -> Vec<Use> {
    let records = config.cdr.file.as_ref().and_then(|file| file.path.parent()).map(Path::to_owned);
    let recordings = config.recording.as_ref().map(|recording| recording.directory.clone());
    let store = Some(config.data.directory.clone());
    let all = [("store", store), ("call records", records), ("recordings", recordings)];
    // `file = "cdr.jsonl"` is relative to the working directory.
    let named = |directory: PathBuf| if directory.as_os_str().is_empty() { PathBuf::from(".") } else { directory };
    all.into_iter().filter_map(|(what, directory)| Some((what, named(directory?)))).collect()
}

/// Returns `directory` if it exists, otherwise its nearest existing ancestor.
fn existing(directory: &Path) -> PathBuf {
    let absolute = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    absolute.ancestors().find(|one| one.is_dir()).unwrap_or(Path::new("/")).to_owned()
}

/// Returns the free space for the user of the edge, in bytes, and the number of free inodes.
fn free(directory: &Path) -> nix::Result<(u64, u64)> {
    let there = statvfs(directory)?;
    // A file system that reports no inode count never runs out of inodes.
    let files = if there.files() == 0 { u64::MAX } else { there.files_available() };
    Ok((there.blocks_available().saturating_mul(there.fragment_size()), files))
}

fn size(bytes: u64) -> String {
    let mebibytes = bytes >> 20;
    if mebibytes < 10 << 10 { format!("{mebibytes} MiB") } else { format!("{} GiB", mebibytes >> 10) }
}

/// Returns the finding about the directories: those that cannot be written come first, then the free space.
pub(super) fn examine(config: &Config) -> Finding {
    let recordings = config.recording.as_ref().and_then(|recording| of_recordings(&recording.directory));
    let unfit = of_records(config).into_iter().chain(recordings);
    unfit.fold(judge(uses(config), free), |all, one| {
        let fix = match (one.fix.as_str(), all.fix.as_str()) {
            (fix, "") => fix.to_owned(),
            (fix, others) if others.contains(fix) => others.to_owned(),
            (fix, others) => format!("{fix}; {others}"),
        };
        Finding { text: format!("{}; {}", one.text, all.text), fix, level: one.level.max(all.level), ..all }
    })
}

/// Returns `directory` or its nearest existing ancestor if that is on a read-only file system.
fn read_only(directory: &Path) -> Option<PathBuf> {
    let there = existing(directory);
    (access(&there, AccessFlags::W_OK) == Err(Errno::EROFS)).then_some(there)
}

/// Returns a failure if a directory is on a read-only file system, which even root cannot write to.
fn of_read_only(what: &str, directory: &Path) -> Option<Finding> {
    read_only(directory).map(|there| on_read_only(what, directory, &there))
}

fn on_read_only(what: &str, directory: &Path, there: &Path) -> Finding {
    let shown = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    let text = format!("{what} cannot be written: {} is on a file system that is mounted read-only", shown.display());
    Finding::fail("disk", text, fix_of_read_only(there))
}

/// Returns a finding if the recordings directory cannot be used.
fn of_recordings(directory: &Path) -> Option<Finding> {
    of_read_only("recordings", directory).or_else(|| {
        let unfit = DirectoryProblem::of(directory)?;
        Some(Finding::warn("disk", format!("recordings cannot be written: {}", unfit.what), unfit.fix))
    })
}

/// Returns findings about the directories of call records and of the store. They must exist and be writable; the edge
/// does not create that of call records.
fn of_records(config: &Config) -> Vec<Finding> {
    let lacks = |what: &str, directory: &Path, is_made: bool| {
        let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
        if let Some(found) = of_read_only(what, &directory) {
            return Some(found);
        }
        let shown = directory.display();
        if !directory.is_dir() {
            let text = format!("{what} cannot be written: directory {shown} does not exist");
            let fix = format!("create it for the user of the edge: `install -d -m 750 -o USER {shown}`");
            return (!is_made).then(|| Finding::fail("disk", text, fix));
        }
        // `doctor` may run as another user than the edge.
        let is_denied = access(&directory, AccessFlags::W_OK | AccessFlags::X_OK) == Err(Errno::EACCES);
        let text = format!("{what} may not be written: this user may not write to {shown}");
        is_denied.then(|| Finding::warn("disk", text, fix_of_permission(&directory)))
    };
    let folder = config.cdr.file.as_ref().and_then(|file| file.path.parent());
    let records = folder.map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    let records = records.and_then(|folder| lacks("call records", folder, false));
    records.into_iter().chain(lacks("the store", &config.data.directory, true)).collect()
}

fn judge(uses: Vec<Use>, free: impl Fn(&Path) -> nix::Result<(u64, u64)>) -> Finding {
    let (mut told, mut least) = (Vec::new(), u64::MAX);
    let mut worst: Option<PathBuf> = None;
    for (what, directory) in uses {
        let there = existing(&directory);
        let (bytes, files) = match free(&there) {
            Ok(free) => free,
            Err(error) => {
                let fix = format!("`ls -ld {}`", there.display());
                return Finding::warn("disk", format!("{what} in {}: {error}", directory.display()), fix);
            }
        };
        let room = if files == 0 { 0 } else { bytes };
        let files = if files == 0 { ", but no file more" } else { "" };
        let there_yet = if directory.is_dir() { "" } else { " (not there yet)" };
        told.push(format!("{what} in {}{there_yet}: {} free{files}", directory.display(), size(bytes)));
        if room < least {
            (least, worst) = (room, Some(there));
        }
    }
    let text = told.join("; ");
    let Some(worst) = worst else { return Finding::ok("disk", text) };
    let fix = format!("free space: `df -h {0}`, `df -i {0}`", worst.display());
    match least {
        ..DISK_LEAST_BYTES => Finding::fail("disk", text, fix),
        DISK_LEAST_BYTES..DISK_LOW_BYTES => Finding::warn("disk", text, fix),
        _ => Finding::ok("disk", text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_call_records_that_is_missing_fails() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("missing/cdr.jsonl");
        let config = super::super::configured(&format!("[cdr]\nfile = {file:?}\n"));
        let found = of_records(&config).remove(0);
        assert_eq!(found.level, Level::Fail);
        assert!(
            found.text.contains("call records cannot be written: directory") && found.fix.contains("install -d"),
            "{found:?}"
        );
        std::fs::create_dir(file.parent().unwrap()).unwrap();
        assert_eq!(of_records(&config), []);
    }

    #[test]
    fn a_directory_on_a_read_only_mount_is_named_with_what_remounts_it() {
        let found = on_read_only("recordings", Path::new("/srv/rec"), Path::new("/srv"));
        assert_eq!(found.level, Level::Fail);
        assert_eq!(found.text, "recordings cannot be written: /srv/rec is on a file system that is mounted read-only");
        assert!(found.fix.contains("`findmnt -T /srv`") && found.fix.contains("remount,rw"), "{found:?}");
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let mounts = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        let is_denied = |path: &&str| Path::new(path).is_dir() && access(*path, AccessFlags::W_OK) == Err(Errno::EROFS);
        // If this machine has such a mount, a missing directory below it is detected, too.
        if let Some(mount) = mounts.into_iter().find(is_denied) {
            let below = of_recordings(&Path::new(mount).join("not/there")).unwrap();
            assert!(below.text.contains("mounted read-only") && below.level == Level::Fail, "{below:?}");
        }
        let here = super::super::configured("[cdr]\nfile = \"cdr.jsonl\"\n");
        let named = uses(&here).into_iter().find(|(what, _)| *what == "call records");
        assert_eq!(named, Some(("call records", PathBuf::from("."))), "not an empty name");
    }

    #[test]
    fn a_disk_that_is_full_fails_and_one_that_soon_is_warns() {
        let uses = || vec![("store", PathBuf::from("/")), ("recordings", PathBuf::from("/not/there/yet"))];
        let level = |bytes, files| judge(uses(), |_| Ok((bytes, files))).level;
        assert_eq!(level(DISK_LOW_BYTES, 1), Level::Ok);
        assert_eq!(level(DISK_LOW_BYTES - 1, 1), Level::Warn);
        assert_eq!(level(DISK_LEAST_BYTES - 1, 1), Level::Fail);
        assert_eq!(level(u64::MAX, 0), Level::Fail);
        let full = judge(uses(), |_| Ok((0, 1)));
        assert_eq!(full.text, "store in /: 0 MiB free; recordings in /not/there/yet (not there yet): 0 MiB free");
        assert_eq!(full.fix, "free space: `df -h /`, `df -i /`");
        assert!(free(&existing(Path::new("/not/there"))).unwrap().0 > 0);
        let gone = judge(uses(), |_| Err(Errno::EIO));
        assert_eq!((gone.level, gone.fix.as_str()), (Level::Warn, "`ls -ld /`"));
    }
}
