//! Checks that no other user can replace the files of a directory.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;

/// Permission bits with which other users can replace files.
const OTHERS_WRITE: u32 = 0o022;

/// Reason why another user could replace the files of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirectoryFault {
    /// The directory belongs to the user with this id, which is neither root nor the user of this process.
    OtherOwner(u32),
    /// Other users can write to the directory.
    OthersWrite,
}

/// Returns the reason why another user could replace files in a directory; `None` if only root and this process's user
/// can.
pub fn fault_of(directory: &Metadata) -> Option<DirectoryFault> {
    let owner = directory.uid();
    if owner != nix::unistd::geteuid().as_raw() && owner != 0 {
        Some(DirectoryFault::OtherOwner(owner))
    } else {
        (directory.mode() & OTHERS_WRITE != 0).then_some(DirectoryFault::OthersWrite)
    }
}
