//! Encryption and decryption of single records in one direction: nonce, additional data, sequence number.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use rustls::{ContentType, Error, PeerMisbehaved};

use crate::snapshot::{AeadSuite, TlsVersion, TrafficKeys};

/// Length of a record header in bytes: type, version, length.
pub(crate) const HEADER_BYTES: usize = 5;
/// Maximum length of the data in a record, in bytes.
pub(crate) const FRAGMENT_BYTES: usize = 1 << 14;
/// Length of the part of a GCM nonce that TLS 1.2 sends in each record (RFC 5288 §3), in bytes.
const EXPLICIT_NONCE_BYTES: usize = 8;
/// Length of the authentication tag, equal for all suites, in bytes.
const TAG_BYTES: usize = 16;
/// Version in the header of a protected record.
const LEGACY_VERSION: [u8; 2] = [3, 3];
/// Number of records after which an AES-GCM key is replaced, below the bound of RFC 8446 §5.5.
const GCM_RECORDS: u64 = 1 << 23;

/// Key of one direction with the sequence number of its next record.
#[derive(Debug)]
pub(crate) struct RecordKey {
    version: TlsVersion,
    suite: AeadSuite,
    keys: TrafficKeys,
    aead: LessSafeKey,
    sequence: u64,
}

impl RecordKey {
    /// Creates the key of a direction, for a next record with this sequence number.
    ///
    /// # Errors
    /// Returns an error if aws-lc-rs rejects the key.
    pub(crate) fn new(
        version: TlsVersion,
        suite: AeadSuite,
        keys: TrafficKeys,
        sequence: u64,
    ) -> Result<RecordKey, Error> {
        let algorithm = match suite {
            AeadSuite::Aes128Gcm => &AES_128_GCM,
            AeadSuite::Aes256Gcm => &AES_256_GCM,
            AeadSuite::Chacha20Poly1305 => &CHACHA20_POLY1305,
        };
        let key = keys.key.get(..algorithm.key_len()).ok_or(Error::EncryptError)?;
        let aead = UnboundKey::new(algorithm, key).map(LessSafeKey::new).map_err(|_| Error::EncryptError)?;
        Ok(RecordKey { version, suite, keys, aead, sequence })
    }

    /// Replaces the key by that of the next generation; sequence numbers restart at 0.
    ///
    /// # Errors
    /// Returns an error if aws-lc-rs rejects the key.
    pub(crate) fn replace(&mut self, keys: TrafficKeys) -> Result<(), Error> {
        *self = RecordKey::new(self.version, self.suite, keys, 0)?;
        Ok(())
    }

    /// Returns the key with its initialization vector, and the sequence number of the next record.
    pub(crate) fn into_parts(self) -> (TrafficKeys, u64) {
        (self.keys, self.sequence)
    }

    /// Returns whether the key must be replaced before further data is sent: its suite's limit of records is reached,
    /// and the few records left are for KeyUpdate and alerts.
    pub(crate) fn is_worn(&self) -> bool {
        match self.suite {
            AeadSuite::Aes128Gcm | AeadSuite::Aes256Gcm => self.sequence >= GCM_RECORDS,
            AeadSuite::Chacha20Poly1305 => self.sequence >= u64::MAX - u64::from(u16::MAX),
        }
    }

    /// Appends a protected record with at most [`FRAGMENT_BYTES`] bytes of data.
    ///
    /// # Errors
    /// Returns an error if the data is too long or the sequence numbers are used up; nothing is appended then.
    pub(crate) fn seal(&mut self, kind: ContentType, data: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let following = self.sequence.checked_add(1).ok_or(Error::EncryptError)?;
        let nonce = self.nonce();
        let explicit: &[u8] = if self.has_explicit_nonce() { nonce.get(4..).unwrap_or_default() } else { &[] };
        let inner_type: &[u8] = if self.version == TlsVersion::Tls13 { &[kind.into()] } else { &[] };
        let outer = if self.version == TlsVersion::Tls13 { ContentType::ApplicationData } else { kind };
        let length = explicit.len() + data.len() + inner_type.len() + TAG_BYTES;
        let length = u16::try_from(length).ok().filter(|_| data.len() <= FRAGMENT_BYTES).ok_or(Error::EncryptError)?;
        let (header, start) = (header(outer, length), out.len());
        out.extend([&header, explicit].into_iter().flatten());
        let from = out.len();
        out.extend([data, inner_type].into_iter().flatten());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let plain = out.get_mut(from..).unwrap_or_default();
        let tag = match self.version {
            TlsVersion::Tls13 => self.aead.seal_in_place_separate_tag(nonce, Aad::from(header), plain),
            TlsVersion::Tls12 => {
                let additional = Aad::from(self.additional_data(header, data.len()));
                self.aead.seal_in_place_separate_tag(nonce, additional, plain)
            }
        };
        let Ok(tag) = tag else {
            out.truncate(start);
            return Err(Error::EncryptError);
        };
        out.extend_from_slice(tag.as_ref());
        self.sequence = following;
        Ok(())
    }

    /// Decrypts a record in place; returns the type and the data.
    ///
    /// # Errors
    /// Returns the fault of the record; the connection must end then.
    pub(crate) fn open<'a>(&mut self, record: &'a mut [u8]) -> Result<(ContentType, &'a [u8]), Error> {
        let Some((header, protected)) = record.split_first_chunk_mut::<HEADER_BYTES>() else {
            return Err(Error::DecryptError);
        };
        let following = self.sequence.checked_add(1).ok_or(Error::DecryptError)?;
        let [kind, ..] = *header;
        let kind = ContentType::from(kind);
        let (kind, data) = match self.version {
            TlsVersion::Tls13 if kind != ContentType::ApplicationData => return Err(unprotected(kind)),
            TlsVersion::Tls13 => {
                let nonce = Nonce::assume_unique_for_key(self.nonce());
                let opened = self.aead.open_in_place(nonce, Aad::from(*header), protected);
                unpadded(opened.map_err(|_| Error::DecryptError)?)?
            }
            TlsVersion::Tls12 => {
                let mut nonce = self.nonce();
                let protected = if self.has_explicit_nonce() {
                    let split = protected.split_first_chunk_mut::<EXPLICIT_NONCE_BYTES>();
                    let (explicit, protected) = split.ok_or(Error::DecryptError)?;
                    nonce.iter_mut().skip(NONCE_LEN - EXPLICIT_NONCE_BYTES).zip(explicit).for_each(|(to, from)| {
                        *to = *from;
                    });
                    protected
                } else {
                    protected
                };
                let length = protected.len().checked_sub(TAG_BYTES).ok_or(Error::DecryptError)?;
                let additional = Aad::from(self.additional_data(*header, length));
                let opened = self.aead.open_in_place(Nonce::assume_unique_for_key(nonce), additional, protected);
                (kind, &*opened.map_err(|_| Error::DecryptError)?)
            }
        };
        if data.len() > FRAGMENT_BYTES {
            return Err(Error::PeerSentOversizedRecord);
        }
        self.sequence = following;
        Ok((kind, data))
    }

    fn has_explicit_nonce(&self) -> bool {
        self.version == TlsVersion::Tls12 && self.suite != AeadSuite::Chacha20Poly1305
    }

    /// Returns the nonce of the next record (RFC 8446 §5.3). rustls derives the explicit part of TLS 1.2 in the same
    /// way.
    fn nonce(&self) -> [u8; NONCE_LEN] {
        let mut nonce = self.keys.iv;
        nonce.iter_mut().skip(NONCE_LEN - size_of::<u64>()).zip(self.sequence.to_be_bytes()).for_each(|(to, byte)| {
            *to ^= byte;
        });
        nonce
    }

    /// Returns the additional data of TLS 1.2 (RFC 5246 §6.2.3.3): sequence number, type and version of the header, and
    /// `length` in place of the header's length.
    fn additional_data(&self, header: [u8; HEADER_BYTES], length: usize) -> [u8; 13] {
        let mut additional = [0; 13];
        let length = u16::try_from(length).unwrap_or(u16::MAX);
        let bytes =
            self.sequence.to_be_bytes().into_iter().chain(header.into_iter().take(3)).chain(length.to_be_bytes());
        additional.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        additional
    }
}

fn header(kind: ContentType, length: u16) -> [u8; HEADER_BYTES] {
    let ([major, minor], [high, low]) = (LEGACY_VERSION, length.to_be_bytes());
    [kind.into(), major, minor, high, low]
}

/// Returns the error for a plaintext record on a connection that only permits protected ones.
fn unprotected(kind: ContentType) -> Error {
    Error::InappropriateMessage { expect_types: vec![ContentType::ApplicationData], got_type: kind }
}

/// Returns the type and the data of a decrypted record of TLS 1.3, without padding (RFC 8446 §5.2).
fn unpadded(inner: &[u8]) -> Result<(ContentType, &[u8]), Error> {
    let at = inner.iter().rposition(|byte| *byte != 0);
    let split = at.and_then(|at| Some((inner.get(at)?, inner.get(..at)?)));
    let (kind, data) = split.ok_or(PeerMisbehaved::IllegalTlsInnerPlaintext)?;
    Ok((ContentType::from(*kind), data))
}
