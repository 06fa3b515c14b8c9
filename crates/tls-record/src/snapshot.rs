//! State of an established connection for another process. Keys are wiped when they are dropped, and never printed.

use std::fmt;

use rustls::{ConnectionTrafficSecrets, Error};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize as _;

/// Length of the longest key, in bytes.
pub(crate) const KEY_BYTES: usize = 32;
/// Length of an initialization vector, in bytes.
pub(crate) const IV_BYTES: usize = 12;

/// Negotiated version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TlsVersion {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// AEAD of a cipher suite; nothing else of the suite matters after the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AeadSuite {
    Aes128Gcm,
    Aes256Gcm,
    Chacha20Poly1305,
}

/// Role in the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TlsSide {
    Client,
    Server,
}

/// Key and initialization vector of one direction.
#[derive(Serialize, Deserialize)]
pub(crate) struct TrafficKeys {
    /// Key, padded; the suite determines how many of the bytes are used.
    pub(crate) key: [u8; KEY_BYTES],
    pub(crate) iv: [u8; IV_BYTES],
}

impl TrafficKeys {
    /// Returns the keys of one direction with their suite.
    ///
    /// # Errors
    /// Returns an error for a suite without a variant in [`AeadSuite`].
    pub(crate) fn extract(secrets: &ConnectionTrafficSecrets) -> Result<(AeadSuite, TrafficKeys), Error> {
        let (suite, key, iv) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (AeadSuite::Aes128Gcm, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (AeadSuite::Aes256Gcm, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (AeadSuite::Chacha20Poly1305, key, iv),
            _ => return Err(Error::General("keys of an unknown cipher suite".to_owned())),
        };
        let mut keys = TrafficKeys { key: [0; KEY_BYTES], iv: [0; IV_BYTES] };
        keys.key.iter_mut().zip(key.as_ref()).for_each(|(to, from)| *to = *from);
        keys.iv.iter_mut().zip(iv.as_ref()).for_each(|(to, from)| *to = *from);
        Ok((suite, keys))
    }
}

impl fmt::Debug for TrafficKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TrafficKeys")
    }
}

impl Drop for TrafficKeys {
    fn drop(&mut self) {
        self.key.zeroize();
        self.iv.zeroize();
    }
}

/// Keys of one direction, current and future.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DirectionKeys {
    pub(crate) current: TrafficKeys,
    /// Sequence number of the next record.
    pub(crate) sequence: u64,
    /// Keys of the next generations, in order.
    pub(crate) next: Vec<TrafficKeys>,
}

/// Keys of an established connection in both directions, with the negotiated parameters.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ConnectionKeys {
    pub(crate) version: TlsVersion,
    pub(crate) suite: AeadSuite,
    pub(crate) side: TlsSide,
    pub(crate) sending: DirectionKeys,
    pub(crate) receiving: DirectionKeys,
}

/// State of an established connection, from which [`crate::TlsSession::resume`] continues it.
#[derive(Serialize, Deserialize)]
pub struct TlsSnapshot {
    pub(crate) keys: ConnectionKeys,
    pub(crate) bytes: ConnectionBytes,
}

/// Bytes of a connection that are not processed, read or sent yet.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct ConnectionBytes {
    /// Received bytes of an incomplete record.
    pub(crate) received: Vec<u8>,
    /// Decrypted bytes that have not been read.
    pub(crate) plaintext: Vec<u8>,
    /// Encrypted bytes that have not been sent.
    pub(crate) unsent: Vec<u8>,
}

impl fmt::Debug for TlsSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSnapshot").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl Drop for ConnectionBytes {
    fn drop(&mut self) {
        self.plaintext.zeroize();
    }
}
