//! Contents of a file to its bytes: sealed where it is encrypted.

use crate::age::{Randomness, Recipient, Sealer};

/// Encryption of a file.
#[derive(Debug)]
pub struct Encryption {
    /// The key that it is sealed for.
    pub recipient: Recipient,
    /// Fresh random bytes.
    pub randomness: Randomness,
}

/// Envelope of one file.
#[derive(Debug)]
pub(crate) struct Envelope {
    sealer: Option<Sealer>,
    /// Contents that are not in the file yet; kept for its memory.
    plain: Vec<u8>,
}

impl Envelope {
    /// Begins a file; what precedes the contents is appended. `None` where a library refuses, for which no input gives cause.
    pub(crate) fn new(encryption: Option<&Encryption>, to: &mut Vec<u8>) -> Option<Envelope> {
        let sealer = match encryption {
            Some(by) => Some(Sealer::new(by.recipient, &by.randomness, to)?),
            None => None,
        };
        Some(Envelope { sealer, plain: Vec::new() })
    }

    /// Returns whether the file is encrypted.
    pub(crate) fn is_sealed(&self) -> bool {
        self.sealer.is_some()
    }

    /// Returns the contents that [`Envelope::write`] takes, to be appended to.
    pub(crate) fn plain(&mut self) -> &mut Vec<u8> {
        &mut self.plain
    }

    /// Takes the contents; bytes of the file are appended. Those of an open chunk of age stay.
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
