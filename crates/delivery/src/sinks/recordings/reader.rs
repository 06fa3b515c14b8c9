//! Audio of a completed recording, from any place on, decrypted where it is encrypted.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use sha2::{Digest as _, Sha256};
use trunkgate_recording::Channels;
use trunkgate_recording::age::{CHUNK_BYTES, Identities, Payload, Refusal};
use trunkgate_recording::limits::AGE_HEADER_BYTES;
use trunkgate_recording::wav::{self, DataBytes, HEADER_BYTES};

use super::index::Entry;
use super::shared::NotOpened;
use trunkgate_system::text::hex;

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 256 << 10;
/// Refusal of contents that do not open.
pub(super) const OPEN: Refusal = Refusal::Payload;

/// Contents of a file.
#[derive(Debug)]
pub(super) enum Contents {
    /// The file itself.
    Plain { bytes: u64 },
    /// Chunks, of which this is the last one.
    Sealed { payload: Payload, last: u64, bytes: u64 },
}

impl Contents {
    pub(super) fn plain(bytes: u64) -> Contents {
        Contents::Plain { bytes }
    }

    /// Makes those of a file of this length; `None` where no whole file has it.
    pub(super) fn sealed(payload: Payload, file_bytes: u64) -> Option<Contents> {
        let (last, bytes) = payload.contents(file_bytes)?;
        Some(Contents::Sealed { payload, last, bytes })
    }

    /// Returns their length.
    pub(super) fn bytes(&self) -> u64 {
        let (Contents::Plain { bytes } | Contents::Sealed { bytes, .. }) = self;
        *bytes
    }

    /// Returns how many bytes are read at once.
    fn part_bytes(&self) -> usize {
        match self {
            Contents::Plain { .. } => BUFFER_BYTES,
            Contents::Sealed { .. } => CHUNK_BYTES,
        }
    }

    /// Reads a part of them, by its number.
    fn part(&self, file: &File, at: u64) -> io::Result<Vec<u8>> {
        match self {
            Contents::Plain { bytes } => {
                let begins = at * BUFFER_BYTES as u64;
                let mut part = vec![0; bytes.saturating_sub(begins).min(BUFFER_BYTES as u64) as usize];
                file.read_exact_at(&mut part, begins)?;
                Ok(part)
            }
            Contents::Sealed { payload, last, bytes } => {
                let place = payload.range(at, *bytes);
                let mut sealed = vec![0; (place.end - place.start) as usize];
                file.read_exact_at(&mut sealed, place.start)?;
                let opened = payload.open_chunk(at, at == *last, &mut sealed).map_err(io::Error::other)?.len();
                sealed.truncate(opened);
                Ok(sealed)
            }
        }
    }

    /// Reads all of them in order.
    pub(super) fn for_each(&self, file: &File, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        for at in 0..self.bytes().div_ceil(self.part_bytes() as u64) {
            take(&self.part(file, at)?);
        }
        Ok(())
    }
}

/// Audio of a recording. A WAV file that was written within encryption gets the header of its length.
#[derive(Debug)]
pub struct Reader {
    file: File,
    contents: Contents,
    /// Length of the audio file: of a WAV file that was cut, whole frames only.
    bytes: u64,
    header: Option<[u8; HEADER_BYTES as usize]>,
    /// The part that was read last, with its number.
    part: Option<(u64, Vec<u8>)>,
}

impl Reader {
    pub(super) fn new(file: File, entry: &Entry, identities: Option<&Identities>) -> Result<Reader, NotOpened> {
        let length = file.metadata()?.len();
        Reader::of(file, length, entry, identities)
    }

    /// Makes one of the beginning of a file, which has so many bytes: what was appended to it is left out.
    pub(super) fn of(
        file: File,
        length: u64,
        entry: &Entry,
        identities: Option<&Identities>,
    ) -> Result<Reader, NotOpened> {
        if !entry.is_encrypted {
            return Ok(Reader { file, contents: Contents::plain(length), bytes: length, header: None, part: None });
        }
        let mut beginning = vec![0; usize::try_from(length).unwrap_or(usize::MAX).min(AGE_HEADER_BYTES)];
        file.read_exact_at(&mut beginning, 0)?;
        let payload = Payload::open(&beginning, identities.ok_or(NotOpened::NoKey)?).map_err(NotOpened::Refused)?;
        let contents = Contents::sealed(payload, length).ok_or(NotOpened::Refused(OPEN))?;
        let channels = Channels::of(entry.channels).filter(|_| !entry.is_opus);
        let data = channels.map(|channels| wav::data_bytes(channels, contents.bytes()));
        let header = channels.zip(data).map(|(channels, data)| wav::header(channels, DataBytes::Known(data)));
        let bytes = data.map_or(contents.bytes(), |data| HEADER_BYTES + data);
        Ok(Reader { file, contents, bytes, header, part: None })
    }

    /// Returns the length of the audio file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Opens what is read first from a place on, so that damage there shows before any of it is sent. Waits for the disk.
    ///
    /// # Errors
    /// The disk's, or that the contents do not open.
    pub fn prepare(&mut self, place: u64) -> io::Result<()> {
        if place < self.bytes { self.hold(place / self.contents.part_bytes() as u64) } else { Ok(()) }
    }

    /// Reads a part, unless it was the last one that was read.
    fn hold(&mut self, number: u64) -> io::Result<()> {
        if self.part.as_ref().is_none_or(|(known, _)| *known != number) {
            self.part = Some((number, self.contents.part(&self.file, number)?));
        }
        Ok(())
    }

    /// Reads all of the audio. Waits for the disk.
    ///
    /// # Errors
    /// The disk's, or that the contents do not open.
    pub fn read_whole(&mut self) -> io::Result<Vec<u8>> {
        let mut audio = vec![0; usize::try_from(self.bytes).unwrap_or(0)];
        let filled = self.fill(0, &mut audio)?;
        audio.truncate(filled);
        Ok(audio)
    }

    /// Reads from a place on until the buffer is full or the audio ends; returns how many bytes were read. Waits for the disk.
    ///
    /// # Errors
    /// The disk's, or that the contents do not open.
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

    /// Reads from a place on; returns how many bytes were read, 0 at the end. Waits for the disk.
    ///
    /// # Errors
    /// The disk's, or that the contents do not open.
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

/// Returns length and SHA-256 of a file as it is stored.
pub(super) fn check_sum(file: &File) -> io::Result<(u64, String)> {
    let bytes = file.metadata()?.len();
    let mut hash = Sha256::new();
    Contents::plain(bytes).for_each(file, |part| hash.update(part))?;
    Ok((bytes, hex(&hash.finalize())))
}
