//! Trims silence at the beginning and the end of a recording: the remaining frames are written to a new file, which
//! then replaces the old one. A crash in between leaves the complete recording.

use std::fs::File;
use std::io;

use trunkgate_call::trimmed;
use trunkgate_recording::age::AgeIdentities;
use trunkgate_recording::limits::FRAME_MS;
use trunkgate_recording::{Channels, Container, FrameExtractor};

use super::SoundRange;
use super::drawn;
use super::index::RecordingEntry;
use super::place::RecordingLocation;
use super::reader::RecordingReader;
use crate::sinks::store::disk;

/// Number of bytes read at once.
const PART_BYTES: usize = 64 << 10;

/// Trims silence around the sound of a finished file. Returns the new file and the duration of its audio in
/// milliseconds; `None` if there is no silence to remove.
///
/// # Errors
/// Returns the error of the disk or of decryption; the file then stays unchanged.
pub(super) fn trim(
    file: &File,
    place: &RecordingLocation,
    entry: &RecordingEntry,
    sound: SoundRange,
    identities: Option<&AgeIdentities>,
) -> io::Result<Option<(File, u64)>> {
    let of_frame = u64::from(FRAME_MS);
    let frames = entry.milliseconds / of_frame;
    let kept = trimmed(frames, sound);
    if kept == (0..frames) || kept.is_empty() {
        return Ok(None);
    }
    let milliseconds = (kept.end - kept.start) * of_frame;
    let encryption = drawn::encryption(identities.filter(|_| entry.is_encrypted))?;
    let container = if entry.is_opus { Container::Opus } else { Container::Wav };
    let channels = Channels::of(entry.channels).unwrap_or(Channels::Dual);
    let mut reader =
        RecordingReader::new(file.try_clone()?, entry, identities).map_err(|why| io::Error::other(why.to_string()))?;
    let spare = place.spare();
    spare.remove_file()?;
    let to = spare.create()?;
    let mut bytes = Vec::new();
    let serial = drawn::serial()?;
    let mut cut = FrameExtractor::new((container, channels), kept, encryption.as_ref(), serial, &mut bytes)
        .ok_or_else(|| io::Error::other("the encoder cannot be made"))?;
    let (mut at, mut written, mut part) = (0, 0, vec![0; PART_BYTES]);
    let made = || -> io::Result<()> {
        loop {
            let read = reader.read_at(at, &mut part)?;
            if read == 0 {
                break;
            }
            at += read as u64;
            cut.push(part.get(..read).unwrap_or_default(), &mut bytes);
            disk::write_all_at(&to, &bytes, written)?;
            written += bytes.len() as u64;
            bytes.clear();
        }
        cut.finish(&mut bytes);
        disk::write_all_at(&to, &bytes, written)?;
        to.sync_all()?;
        spare.replace(place)
    };
    if let Err(error) = made() {
        let _ = spare.remove_file();
        return Err(error);
    }
    Ok(Some((to, milliseconds)))
}
