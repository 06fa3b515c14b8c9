//! Random parts of a file: the secrets of its encryption, and the number of its Ogg stream.

use std::io;

use rand::TryRng as _;
use trunkgate_recording::Encryption;
use trunkgate_recording::age::{Identities, Randomness};

fn random<const BYTES: usize>() -> io::Result<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    rand::rngs::SysRng.try_fill_bytes(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

/// Returns the encryption of a new file, where there is a key.
///
/// # Errors
/// The system's, where it has no random numbers.
pub(super) fn encryption(key: Option<&Identities>) -> io::Result<Option<Encryption>> {
    let by = |key: &Identities| Ok(Encryption { recipient: key.recipient(), randomness: Randomness::new(random()?) });
    key.map(by).transpose()
}

/// Returns the serial number of a new Ogg stream.
///
/// # Errors
/// The system's, where it has no random numbers.
pub(super) fn serial() -> io::Result<u32> {
    random().map(u32::from_ne_bytes)
}
