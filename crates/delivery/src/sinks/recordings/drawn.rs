//! Random values of a recording file: encryption secrets and the serial number of an Ogg stream.

use std::io;

use rand::TryRng as _;
use trunkgate_recording::FileEncryption;
use trunkgate_recording::age::{AgeIdentities, FileRandomness};

fn random<const BYTES: usize>() -> io::Result<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    rand::rngs::SysRng.try_fill_bytes(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

/// Returns new encryption secrets for a file; `None` if no key is configured.
///
/// # Errors
/// Returns the system's error if random numbers are unavailable.
pub(super) fn encryption(key: Option<&AgeIdentities>) -> io::Result<Option<FileEncryption>> {
    let by = |key: &AgeIdentities| {
        Ok(FileEncryption { recipient: key.recipient(), randomness: FileRandomness::new(random()?) })
    };
    key.map(by).transpose()
}

/// Returns the serial number of a new Ogg stream.
///
/// # Errors
/// Returns the system's error if random numbers are unavailable.
pub(super) fn serial() -> io::Result<u32> {
    random().map(u32::from_ne_bytes)
}
