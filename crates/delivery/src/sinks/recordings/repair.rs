//! Completion of recording files that were truncated by a crash, or by a disk that was full when the recording ended.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use trunkgate_recording::age::{AgeIdentities, OpenError, PayloadKey, completion};
use trunkgate_recording::limits::{AGE_HEADER_BYTES, FRAME_SAMPLES};
use trunkgate_recording::ogg::PageCounter;
use trunkgate_recording::wav::{self, DataBytes, HEADER_BYTES};
use trunkgate_recording::{Channels, EncoderSnapshot};

use super::index::RecordingEntry;
use super::reader::{FileContents, OPEN};
use crate::sinks::store::disk;

/// Maximum number of bytes cut off a file: an incomplete write and two chunks. If more is unreadable, the file has
/// other damage and stays unchanged.
const MOST_CUT_BYTES: u64 = 256 << 10;

/// Reason why a recording file cannot be completed.
#[derive(Debug)]
pub(super) enum RecordingRepairError {
    /// The file is encrypted, and no identity is configured.
    NoKey,
    /// The file cannot be decrypted.
    Refused(OpenError),
    /// The file is damaged far before its end.
    Damaged,
    /// The disk failed.
    Io(io::Error),
}

impl From<io::Error> for RecordingRepairError {
    fn from(error: io::Error) -> RecordingRepairError {
        RecordingRepairError::Io(error)
    }
}

impl std::fmt::Display for RecordingRepairError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RecordingRepairError::NoKey => f.write_str("it is encrypted, and [recording] has no `key`"),
            RecordingRepairError::Refused(refusal) => refusal.fmt(f),
            RecordingRepairError::Damaged => f.write_str("it is damaged far before its end, and left as it is"),
            RecordingRepairError::Io(error) => error.fmt(f),
        }
    }
}

/// Completes a file as described by its entry; returns the duration of its audio in milliseconds.
///
/// # Errors
/// Returns the reason why the file stays unchanged.
pub(super) fn repair(
    file: &File,
    entry: &RecordingEntry,
    identities: Option<&AgeIdentities>,
) -> Result<u64, RecordingRepairError> {
    let channels = Channels::of(entry.channels).unwrap_or(Channels::Dual);
    if entry.is_encrypted {
        return sealed(file, entry, channels, identities);
    }
    let length = file.metadata()?.len();
    if entry.is_opus {
        let pages = complete_pages(file, length)?;
        file.set_len(pages.bytes())?;
        return Ok(pages.milliseconds());
    }
    let data = wav::data_bytes(channels, length);
    if data > 0 {
        file.set_len(HEADER_BYTES + data)?;
        file.write_all_at(&wav::header(channels, DataBytes::Known(data)), 0)?;
    }
    Ok(wav::milliseconds(channels, data))
}

/// Returns the state in which a plain file of this length is continued, and the length of its usable part; `None` if
/// the file is damaged or has ended.
pub(super) fn continued(
    file: &File,
    length: u64,
    (is_opus, channels): (bool, Channels),
) -> Option<(EncoderSnapshot, u64)> {
    if is_opus {
        let pages = complete_pages(file, length).ok()?;
        return Some((EncoderSnapshot::of_pages(channels, &pages)?, pages.bytes()));
    }
    let of_frame = u64::from(channels.count()) * 2 * FRAME_SAMPLES as u64;
    let frames = length.checked_sub(HEADER_BYTES)? / of_frame;
    Some((EncoderSnapshot::of_wav(channels, frames), HEADER_BYTES + frames * of_frame))
}

/// Counts the complete pages of a plain Ogg file of this length.
fn complete_pages(file: &File, length: u64) -> Result<PageCounter, RecordingRepairError> {
    let mut pages = PageCounter::default();
    FileContents::plain(length).for_each(file, |part| pages.push(part))?;
    may_be_cut(length, pages.bytes())?;
    Ok(pages)
}

fn may_be_cut(length: u64, to: u64) -> Result<(), RecordingRepairError> {
    if length.saturating_sub(to) <= MOST_CUT_BYTES { Ok(()) } else { Err(RecordingRepairError::Damaged) }
}

fn sealed(
    file: &File,
    entry: &RecordingEntry,
    channels: Channels,
    identities: Option<&AgeIdentities>,
) -> Result<u64, RecordingRepairError> {
    let length = file.metadata()?.len();
    let mut beginning = vec![0; usize::try_from(length).unwrap_or(usize::MAX).min(AGE_HEADER_BYTES)];
    file.read_exact_at(&mut beginning, 0)?;
    let payload = match PayloadKey::open(&beginning, identities.ok_or(RecordingRepairError::NoKey)?) {
        Ok(payload) => payload,
        // The crash came before the first chunk was written.
        Err(OpenError::Short) => return Ok(0),
        Err(refusal) => return Err(RecordingRepairError::Refused(refusal)),
    };
    let read = |place: u64, bytes: usize| -> io::Result<Vec<u8>> {
        let mut sealed = vec![0; bytes];
        file.read_exact_at(&mut sealed, place)?;
        Ok(sealed)
    };
    let completion = completion(&payload, length, read)?;
    may_be_cut(length, completion.length)?;
    if let Some((place, bytes)) = completion.write {
        disk::write_all_at(file, &bytes, place)?;
    }
    file.set_len(completion.length)?;
    let contents = FileContents::sealed(payload, completion.length).ok_or(RecordingRepairError::Refused(OPEN))?;
    if !entry.is_opus {
        return Ok(wav::milliseconds(channels, wav::data_bytes(channels, contents.bytes())));
    }
    let mut count = PageCounter::default();
    contents.for_each(file, |part| count.push(part))?;
    Ok(count.milliseconds())
}
