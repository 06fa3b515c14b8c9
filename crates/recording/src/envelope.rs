//! Optional encryption between the contents and the bytes of a file.

use crate::age::{FileRandomness, Recipient, Sealer, SealerSnapshot};

/// Encryption of a file.
#[derive(Debug)]
pub struct FileEncryption {
    /// Recipient of the file.
    pub recipient: Recipient,
    /// Fresh random bytes for the keys of the file.
    pub randomness: FileRandomness,
}

/// Encryption state of one file.
#[derive(Debug)]
pub(crate) struct FileEnvelope {
    sealer: Option<Sealer>,
    /// Contents that were not written to the file yet; the buffer is kept to reuse its memory.
    plain: Vec<u8>,
}

impl FileEnvelope {
    /// Starts a file and appends the data before the contents. Returns `None` if a library fails, which no input
    /// causes.
    pub(crate) fn new(encryption: Option<&FileEncryption>, to: &mut Vec<u8>) -> Option<FileEnvelope> {
        let sealer = match encryption {
            Some(by) => Some(Sealer::new(by.recipient, &by.randomness, to)?),
            None => None,
        };
        Some(FileEnvelope { sealer, plain: Vec::new() })
    }

    /// Returns the encryption state as plain data; `None` for a file that is not encrypted. All contents must have been
    /// written.
    pub(crate) fn snapshot(&self) -> Option<SealerSnapshot> {
        self.sealer.as_ref().map(Sealer::snapshot)
    }

    /// Continues a file. Returns `None` if the snapshot is not usable.
    pub(crate) fn restore(snapshot: Option<&SealerSnapshot>) -> Option<FileEnvelope> {
        let sealer = match snapshot {
            Some(snapshot) => Some(Sealer::restore(snapshot)?),
            None => None,
        };
        Some(FileEnvelope { sealer, plain: Vec::new() })
    }

    /// Returns whether the file is encrypted.
    pub(crate) fn is_sealed(&self) -> bool {
        self.sealer.is_some()
    }

    /// Returns the buffer of contents for [`FileEnvelope::write`].
    pub(crate) fn plain(&mut self) -> &mut Vec<u8> {
        &mut self.plain
    }

    /// Writes the buffered contents, encrypted if required, to `to`. Contents of an incomplete age chunk are not
    /// written yet.
    pub(crate) fn write(&mut self, to: &mut Vec<u8>) {
        match &mut self.sealer {
            Some(sealer) => sealer.push(&self.plain, to),
            None => to.extend_from_slice(&self.plain),
        }
        self.plain.clear();
    }

    /// Appends the end of the file.
    pub(crate) fn finish(mut self, to: &mut Vec<u8>) {
        self.write(to);
        if let Some(sealer) = self.sealer {
            sealer.finish(to);
        }
    }
}
