//! Silence at the beginning and the end of a recording is removed: the frames between become a file of their own, which takes the place of
//! the first one. A crash in between leaves the whole recording.

use std::fs::File;
use std::io;

use rand::TryRng as _;
use trunkgate_call::trimmed;
use trunkgate_recording::age::{Identities, Randomness};
use trunkgate_recording::limits::FRAME_MS;
use trunkgate_recording::{Channels, Container, Cut, Encryption};

use super::Sound;
use super::index::Entry;
use super::place::Place;
use super::reader::Reader;
use crate::sinks::store::disk;

fn random<const BYTES: usize>() -> io::Result<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    rand::rngs::SysRng.try_fill_bytes(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

/// Removes silence around the sound of a finished file. Returns the file that is in its place then, and the duration of its audio in
/// milliseconds; `None`: it has no silence there and stays as it is.
///
/// # Errors
/// Why it stays as it is.
pub(super) fn trim(
    file: &File,
    place: &Place,
    entry: &Entry,
    sound: Sound,
    identities: Option<&Identities>,
) -> io::Result<Option<(File, u64)>> {
    let of_frame = u64::from(FRAME_MS);
    let frames = entry.milliseconds / of_frame;
    let kept = trimmed(frames, sound);
    if kept == (0..frames) || kept.is_empty() {
        return Ok(None);
    }
    let milliseconds = (kept.end - kept.start) * of_frame;
    let encryption = match identities.filter(|_| entry.is_encrypted) {
        Some(key) => Some(Encryption { recipient: key.recipient(), randomness: Randomness::new(random()?) }),
        None => None,
    };
    let container = if entry.is_opus { Container::Opus } else { Container::Wav };
    let channels = Channels::of(entry.channels).unwrap_or(Channels::Dual);
    let mut reader =
        Reader::new(file.try_clone()?, entry, identities).map_err(|why| io::Error::other(why.to_string()))?;
    let spare = place.spare();
    spare.remove_file()?;
    let to = spare.create()?;
    let mut bytes = Vec::new();
    let serial = u32::from_ne_bytes(random()?);
    let mut cut = Cut::new((container, channels), kept, encryption.as_ref(), serial, &mut bytes)
        .ok_or_else(|| io::Error::other("the encoder cannot be made"))?;
    let (mut at, mut written, mut part) = (0, 0, vec![0; PART_BYTES]);
    let made = loop {
        let read = match reader.read_at(at, &mut part) {
            Ok(0) => {
                cut.finish(&mut bytes);
                let done = write(&to, &bytes, &mut written).and_then(|()| to.sync_all());
                break done.and_then(|()| spare.replace(place));
            }
            Ok(read) => read,
            Err(error) => break Err(error),
        };
        at += read as u64;
        cut.push(part.get(..read).unwrap_or_default(), &mut bytes);
        if let Err(error) = write(&to, &bytes, &mut written) {
            break Err(error);
        }
        bytes.clear();
    };
    match made {
        Ok(()) => Ok(Some((to, milliseconds))),
        Err(error) => {
            let _ = spare.remove_file();
            Err(error)
        }
    }
}

fn write(file: &File, mut bytes: &[u8], written: &mut u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let taken = disk::write_at(file, bytes, *written)?;
        *written += taken as u64;
        bytes = bytes.get(taken..).unwrap_or_default();
    }
    Ok(())
}

/// Bytes that are read at once.
const PART_BYTES: usize = 64 << 10;
