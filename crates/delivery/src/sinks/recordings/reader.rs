//! Random access to the audio of a completed recording, decrypted if needed.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use sha2::{Digest as _, Sha256};
use trunkgate_recording::Channels;
use trunkgate_recording::age::{AgeIdentities, CHUNK_BYTES, OpenError, PayloadKey};
use trunkgate_recording::limits::AGE_HEADER_BYTES;
use trunkgate_recording::wav::{self, DataBytes, HEADER_BYTES};

use super::index::RecordingEntry;
use super::shared::RecordingOpenError;
use trunkgate_system::text::hex;

/// Number of bytes of an unencrypted file read at once.
const BUFFER_BYTES: usize = 256 << 10;
/// Error for contents that cannot be decrypted.
pub(super) const OPEN: OpenError = OpenError::Payload;

/// Encryption and length of a recording's file.
#[derive(Debug)]
pub(super) enum FileContents {
    /// Unencrypted file of this size, in bytes.
    Plain { bytes: u64 },
    /// File encrypted in chunks; `last` is the index of the last chunk.
    Sealed { payload: PayloadKey, last: u64, bytes: u64 },
}

impl FileContents {
    pub(super) fn plain(bytes: u64) -> FileContents {
        FileContents::Plain { bytes }
    }

    /// Returns the contents of an encrypted file with this length; `None` if a complete file cannot have that length.
    pub(super) fn sealed(payload: PayloadKey, file_bytes: u64) -> Option<FileContents> {
        let (last, bytes) = payload.contents(file_bytes)?;
        Some(FileContents::Sealed { payload, last, bytes })
    }

    /// Returns the length of the decrypted contents in bytes.
    pub(super) fn bytes(&self) -> u64 {
        let (FileContents::Plain { bytes } | FileContents::Sealed { bytes, .. }) = self;
        *bytes
    }

    /// Returns the number of bytes read at once.
    fn part_bytes(&self) -> usize {
        match self {
            FileContents::Plain { .. } => BUFFER_BYTES,
            FileContents::Sealed { .. } => CHUNK_BYTES,
        }
    }

    /// Reads the part with index `at`, decrypted if needed.
    fn part(&self, file: &File, at: u64) -> io::Result<Vec<u8>> {
        match self {
            FileContents::Plain { bytes } => {
                let begins = at * BUFFER_BYTES as u64;
                let mut part = vec![0; bytes.saturating_sub(begins).min(BUFFER_BYTES as u64) as usize];
                file.read_exact_at(&mut part, begins)?;
                Ok(part)
            }
            FileContents::Sealed { payload, last, bytes } => {
                let place = payload.range(at, *bytes);
                let mut sealed = vec![0; (place.end - place.start) as usize];
                file.read_exact_at(&mut sealed, place.start)?;
                let opened = payload.open_chunk(at, at == *last, &mut sealed).map_err(io::Error::other)?.len();
                sealed.truncate(opened);
                Ok(sealed)
            }
        }
    }

    /// Reads all parts in order.
    pub(super) fn for_each(&self, file: &File, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        for at in 0..self.bytes().div_ceil(self.part_bytes() as u64) {
            take(&self.part(file, at)?);
        }
        Ok(())
    }
}

/// Reader of a recording's audio. An encrypted WAV file gets a header with its actual length, which its own header
/// lacks.
#[derive(Debug)]
pub struct RecordingReader {
    file: File,
    contents: FileContents,
    /// Length of the audio file in bytes; for a truncated WAV file, complete frames only.
    bytes: u64,
    header: Option<[u8; HEADER_BYTES as usize]>,
    /// Last part that was read, with its index.
    part: Option<(u64, Vec<u8>)>,
}

impl RecordingReader {
    pub(super) fn new(
        file: File,
        entry: &RecordingEntry,
        identities: Option<&AgeIdentities>,
    ) -> Result<RecordingReader, RecordingOpenError> {
        let length = file.metadata()?.len();
        RecordingReader::of(file, length, entry, identities)
    }

    /// Creates a reader of the first `length` bytes of a file; data appended later is ignored.
    pub(super) fn of(
        file: File,
        length: u64,
        entry: &RecordingEntry,
        identities: Option<&AgeIdentities>,
    ) -> Result<RecordingReader, RecordingOpenError> {
        if !entry.is_encrypted {
            return Ok(RecordingReader {
                file,
                contents: FileContents::plain(length),
                bytes: length,
                header: None,
                part: None,
            });
        }
        let mut beginning = vec![0; usize::try_from(length).unwrap_or(usize::MAX).min(AGE_HEADER_BYTES)];
        file.read_exact_at(&mut beginning, 0)?;
        let payload = PayloadKey::open(&beginning, identities.ok_or(RecordingOpenError::NoKey)?)
            .map_err(RecordingOpenError::Refused)?;
        let contents = FileContents::sealed(payload, length).ok_or(RecordingOpenError::Refused(OPEN))?;
        let channels = Channels::of(entry.channels).filter(|_| !entry.is_opus);
        let data = channels.map(|channels| wav::data_bytes(channels, contents.bytes()));
        let header = channels.zip(data).map(|(channels, data)| wav::header(channels, DataBytes::Known(data)));
        let bytes = data.map_or(contents.bytes(), |data| HEADER_BYTES + data);
        Ok(RecordingReader { file, contents, bytes, header, part: None })
    }

    /// Returns the length of the audio file in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads the part at an offset in advance, so that damage is detected before any data is sent. Blocks on the disk.
    pub fn prepare(&mut self, place: u64) -> io::Result<()> {
        if place < self.bytes { self.hold(place / self.contents.part_bytes() as u64) } else { Ok(()) }
    }

    /// Reads a part, unless it is already in memory.
    fn hold(&mut self, number: u64) -> io::Result<()> {
        if self.part.as_ref().is_none_or(|(known, _)| *known != number) {
            self.part = Some((number, self.contents.part(&self.file, number)?));
        }
        Ok(())
    }

    /// Reads all of the audio. Blocks on the disk.
    ///
    /// # Errors
    /// Returns an error if the disk fails or the contents cannot be decrypted.
    pub fn read_whole(&mut self) -> io::Result<Vec<u8>> {
        let mut audio = vec![0; usize::try_from(self.bytes).unwrap_or(0)];
        let filled = self.fill(0, &mut audio)?;
        audio.truncate(filled);
        Ok(audio)
    }

    /// Reads from an offset until the buffer is full or the audio ends, and returns the number of bytes. Blocks on the
    /// disk.
    pub(super) fn fill(&mut self, place: u64, to: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = to.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let read = self.read_at(place + filled as u64, rest)?;
            if read == 0 {
                break;
            }
            filled += read;
        }
        Ok(filled)
    }

    /// Reads from an offset and returns the number of bytes, 0 at the end of the audio. Blocks on the disk.
    pub fn read_at(&mut self, place: u64, to: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.bytes.saturating_sub(place)).unwrap_or(usize::MAX);
        let most = to.len().min(left);
        let to = to.get_mut(..most).unwrap_or_default();
        if to.is_empty() {
            return Ok(0);
        }
        let header = self.header.as_ref().and_then(|header| header.get(usize::try_from(place).ok()?..));
        if let Some(rest) = header.filter(|rest| !rest.is_empty()) {
            let bytes = rest.len().min(to.len());
            for (to, from) in to.iter_mut().zip(rest) {
                *to = *from;
            }
            return Ok(bytes);
        }
        let of_part = self.contents.part_bytes() as u64;
        let (number, within) = (place / of_part, (place % of_part) as usize);
        self.hold(number)?;
        let part = self.part.as_ref().and_then(|(_, part)| part.get(within..)).unwrap_or_default();
        let bytes = part.len().min(to.len());
        for (to, from) in to.iter_mut().zip(part) {
            *to = *from;
        }
        Ok(bytes)
    }
}

/// Returns length in bytes and SHA-256 of a file as stored.
pub(super) fn check_sum(file: &File) -> io::Result<(u64, String)> {
    let bytes = file.metadata()?.len();
    let mut hash = Sha256::new();
    FileContents::plain(bytes).for_each(file, |part| hash.update(part))?;
    Ok((bytes, hex(&hash.finalize())))
}
