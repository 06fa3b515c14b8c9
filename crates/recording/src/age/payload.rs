//! Payload: chunks of 64 KiB, each sealed with its number and a flag for the last one.

use std::ops::Range;

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::header::{self, OpenError};
use super::{AgeIdentities, FileKey, FileRandomness, Recipient};

/// Size of a full chunk before sealing, in bytes.
pub const CHUNK_BYTES: usize = 64 << 10;
/// Size of a full chunk in the file, in bytes.
pub(super) const SEALED_BYTES: u64 = (CHUNK_BYTES + TAG_BYTES) as u64;
const TAG_BYTES: usize = 16;
const NONCE_BYTES: usize = 16;

/// Payload key of a file, and the offset of its chunks.
pub struct PayloadKey {
    key: LessSafeKey,
    /// Bytes of the key, for another process that continues the file.
    bytes: Zeroizing<[u8; 32]>,
    begins: u64,
}

impl std::fmt::Debug for PayloadKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PayloadKey").field("begins", &self.begins).finish_non_exhaustive()
    }
}

impl PayloadKey {
    fn new(file_key: &FileKey, nonce: &[u8], begins: u64) -> Option<PayloadKey> {
        PayloadKey::of_bytes(Zeroizing::new(file_key.derive(nonce, b"payload")?), begins)
    }

    fn of_bytes(bytes: Zeroizing<[u8; 32]>, begins: u64) -> Option<PayloadKey> {
        let key = UnboundKey::new(&CHACHA20_POLY1305, bytes.as_slice()).ok().map(LessSafeKey::new)?;
        Some(PayloadKey { key, bytes, begins })
    }

    /// Parses the header at the beginning of a file, of which [`AGE_HEADER_BYTES`](crate::limits::AGE_HEADER_BYTES)
    /// suffice.
    ///
    /// # Errors
    ///
    /// Returns the reason why the file cannot be opened.
    pub fn open(beginning: &[u8], identities: &AgeIdentities) -> Result<PayloadKey, OpenError> {
        let (file_key, length) = header::read(beginning, identities)?;
        let nonce = beginning.get(length..length + NONCE_BYTES).ok_or(OpenError::Short)?;
        PayloadKey::new(&file_key, nonce, (length + NONCE_BYTES) as u64).ok_or(OpenError::Header)
    }

    /// Returns the offset of a chunk in the file.
    pub fn chunk_offset(&self, chunk: u64) -> u64 {
        self.begins + chunk * SEALED_BYTES
    }

    /// Returns the number of full chunks in a file of this length, and the number of bytes after them.
    pub(super) fn chunks(&self, file_bytes: u64) -> (u64, u64) {
        let bytes = file_bytes.saturating_sub(self.begins);
        (bytes / SEALED_BYTES, bytes % SEALED_BYTES)
    }

    /// Returns the number of the last chunk of a complete file, and the length of its contents; `None` if no complete
    /// file has this length.
    pub fn contents(&self, file_bytes: u64) -> Option<(u64, u64)> {
        let (whole, rest) = self.chunks(file_bytes);
        let chunks = whole + u64::from(rest > 0);
        let last = chunks.checked_sub(1)?;
        let bytes = file_bytes.checked_sub(self.begins)?.checked_sub(chunks * TAG_BYTES as u64)?;
        // An empty chunk is only valid as the first one.
        (rest == 0 || rest > TAG_BYTES as u64 || (rest == TAG_BYTES as u64 && whole == 0)).then_some((last, bytes))
    }

    /// Returns the range of a sealed chunk in a file with contents of this length.
    pub fn range(&self, chunk: u64, bytes: u64) -> Range<u64> {
        let begins = self.chunk_offset(chunk);
        let left = bytes.saturating_sub(chunk * CHUNK_BYTES as u64).min(CHUNK_BYTES as u64);
        begins..begins + left + TAG_BYTES as u64
    }

    /// Opens all chunks of a complete file.
    ///
    /// # Errors
    ///
    /// Returns [`OpenError::Payload`] if the file is incomplete, or a chunk does not belong to it.
    pub fn open_all(&self, file: &[u8]) -> Result<Vec<u8>, OpenError> {
        let (last, bytes) = self.contents(file.len() as u64).ok_or(OpenError::Payload)?;
        let mut contents = Vec::new();
        for chunk in 0..=last {
            let place = self.range(chunk, bytes);
            let sealed = usize::try_from(place.start).ok().zip(usize::try_from(place.end).ok());
            let mut sealed = sealed.and_then(|(from, to)| file.get(from..to)).ok_or(OpenError::Payload)?.to_vec();
            contents.extend_from_slice(self.open_chunk(chunk, chunk == last, &mut sealed)?);
        }
        Ok(contents)
    }

    /// Decrypts the chunk with this number in place.
    ///
    /// # Errors
    ///
    /// Returns [`OpenError::Payload`] if this is another chunk.
    pub fn open_chunk<'a>(&self, chunk: u64, is_last: bool, sealed: &'a mut [u8]) -> Result<&'a mut [u8], OpenError> {
        self.key.open_in_place(nonce(chunk, is_last), Aad::empty(), sealed).map_err(|_| OpenError::Payload)
    }

    /// Encrypts a chunk and appends it to `to`.
    pub(super) fn seal_chunk(&self, chunk: u64, is_last: bool, contents: &[u8], to: &mut Vec<u8>) {
        let begins = to.len();
        to.extend_from_slice(contents);
        let sealed = to.get_mut(begins..).map(|part| {
            self.key
                .seal_in_place_separate_tag(nonce(chunk, is_last), Aad::empty(), part)
                .map(|tag| tag.as_ref().to_vec())
        });
        match sealed {
            Some(Ok(tag)) => to.extend_from_slice(&tag),
            // Fails only for contents of gigabytes; nothing leaves unsealed.
            _ => to.truncate(begins),
        }
    }
}

/// Returns the nonce: eleven bytes of the number, and the flag for the last chunk.
fn nonce(chunk: u64, is_last: bool) -> Nonce {
    let mut nonce = [0; 12];
    nonce[3..11].copy_from_slice(&chunk.to_be_bytes());
    nonce[11] = u8::from(is_last);
    Nonce::assume_unique_for_key(nonce)
}

/// Encrypts the contents of a file chunk by chunk.
#[derive(Debug)]
pub struct Sealer {
    payload: PayloadKey,
    chunk: u64,
    open: Vec<u8>,
}

/// Sealer as plain data, with the key of its file in clear.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SealerSnapshot {
    key: [u8; 32],
    begins: u64,
    chunk: u64,
    /// Contents of the open chunk, in base64.
    open: String,
}

impl std::fmt::Debug for SealerSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealerSnapshot").field("chunk", &self.chunk).finish_non_exhaustive()
    }
}

impl Drop for SealerSnapshot {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.key);
    }
}

impl Sealer {
    /// Returns the sealer as plain data.
    pub(crate) fn snapshot(&self) -> SealerSnapshot {
        SealerSnapshot {
            key: *self.payload.bytes,
            begins: self.payload.begins,
            chunk: self.chunk,
            open: STANDARD.encode(&self.open),
        }
    }

    /// Continues a file. Returns `None` if the snapshot is not usable.
    pub(crate) fn restore(snapshot: &SealerSnapshot) -> Option<Sealer> {
        let payload = PayloadKey::of_bytes(Zeroizing::new(snapshot.key), snapshot.begins)?;
        let open = STANDARD.decode(&snapshot.open).ok().filter(|open| open.len() <= CHUNK_BYTES)?;
        Some(Sealer { payload, chunk: snapshot.chunk, open })
    }

    /// Starts a file and appends its header. Returns `None` if the cryptographic library fails, which no input causes.
    pub fn new(recipient: Recipient, randomness: &FileRandomness, to: &mut Vec<u8>) -> Option<Sealer> {
        let (file_key, ephemeral, nonce) = randomness.parts();
        let header = header::write(&file_key, ephemeral, recipient)?;
        let payload = PayloadKey::new(&file_key, &nonce, (header.len() + NONCE_BYTES) as u64)?;
        to.extend_from_slice(&header);
        to.extend_from_slice(&nonce);
        Some(Sealer { payload, chunk: 0, open: Vec::with_capacity(CHUNK_BYTES) })
    }

    /// Adds contents; full chunks are appended to `to`, except one that may be the last.
    pub fn push(&mut self, mut contents: &[u8], to: &mut Vec<u8>) {
        while !contents.is_empty() {
            if self.open.len() == CHUNK_BYTES {
                self.payload.seal_chunk(self.chunk, false, &self.open, to);
                self.chunk += 1;
                self.open.clear();
            }
            let (now, later) = contents.split_at(contents.len().min(CHUNK_BYTES - self.open.len()));
            self.open.extend_from_slice(now);
            contents = later;
        }
    }

    /// Appends the last chunk.
    pub fn finish(self, to: &mut Vec<u8>) {
        self.payload.seal_chunk(self.chunk, true, &self.open, to);
    }
}
