//! Header: the file key, wrapped for each recipient, and the code that authenticates the header.

use std::fmt;

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac;

use super::stanza::{Stanza, decode, encode, line};
use super::{AgeIdentities, AgeIdentity, FileKey, Recipient, derive};

const VERSION: &[u8] = b"age-encryption.org/v1";
const X25519: &[u8] = b"X25519";
const WRAP: &[u8] = b"age-encryption.org/v1/X25519";
const MAC: &[u8] = b"header";
const TAG_BYTES: usize = 16;

/// Reason why a file cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenError {
    /// The file ends within its header.
    Short,
    /// The header is not of age v1.
    Header,
    /// The file is encrypted for other keys.
    OtherKey,
    /// The header was modified.
    Altered,
    /// A chunk is damaged, missing, or at another position.
    Payload,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OpenError::Short => "the file ends within its header",
            OpenError::Header => "the file has no valid age header",
            OpenError::OtherKey => "the file is encrypted for another key",
            OpenError::Altered => "the header of the file has been altered",
            OpenError::Payload => "the encrypted contents are damaged or incomplete",
        })
    }
}

impl std::error::Error for OpenError {}

fn cipher(key: &[u8; 32]) -> Option<LessSafeKey> {
    UnboundKey::new(&CHACHA20_POLY1305, key).ok().map(LessSafeKey::new)
}

/// Returns the nonce, constant because each wrapping key is used once.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

fn mac_key(file_key: &FileKey) -> Option<hmac::Key> {
    Some(hmac::Key::new(hmac::HMAC_SHA256, &file_key.derive(&[], MAC)?))
}

fn wrapping_key(shared: &[u8; 32], share: &[u8; 32], recipient: &[u8; 32]) -> Option<LessSafeKey> {
    cipher(&derive(shared, &[&share[..], recipient].concat(), WRAP)?)
}

/// Writes the header of a file for a recipient; `None` if the cryptographic library fails, which no input causes.
pub(super) fn write(file_key: &FileKey, ephemeral: [u8; 32], recipient: Recipient) -> Option<Vec<u8>> {
    let ephemeral = AgeIdentity::from_secret(ephemeral)?;
    let share = ephemeral.recipient().public;
    let shared = ephemeral.shared_secret(&recipient.public)?;
    let mut body = file_key.0.to_vec();
    wrapping_key(&shared, &share, &recipient.public)?
        .seal_in_place_append_tag(nonce(), Aad::empty(), &mut body)
        .ok()?;
    let mut header = VERSION.to_vec();
    header.extend_from_slice(format!("\n-> X25519 {}\n{}\n---", encode(&share), encode(&body)).as_bytes());
    let mac = hmac::sign(&mac_key(file_key)?, &header);
    header.extend_from_slice(format!(" {}\n", encode(mac.as_ref())).as_bytes());
    Some(header)
}

/// Parses the header at the beginning of a file; returns the file key and the header's length.
pub(super) fn read(file: &[u8], identities: &AgeIdentities) -> Result<(FileKey, usize), OpenError> {
    let mut rest = file;
    if line(&mut rest).ok_or_else(|| short(file))? != VERSION {
        return Err(OpenError::Header);
    }
    let mut stanzas = Vec::new();
    let (mac, length) = loop {
        let begins = file.len() - rest.len();
        let text = line(&mut rest).ok_or(OpenError::Short)?;
        if let Some(arguments) = text.strip_prefix(b"-> ") {
            stanzas.push(Stanza::read(arguments, &mut rest).ok_or(OpenError::Header)?);
        } else {
            let mac = text.strip_prefix(b"--- ").and_then(decode).filter(|mac| mac.len() == 32);
            break (mac.ok_or(OpenError::Header)?, (begins + 3, file.len() - rest.len()));
        }
    };
    if stanzas.is_empty() {
        return Err(OpenError::Header);
    }
    let file_key = unwrap(&stanzas, identities)?.ok_or(OpenError::OtherKey)?;
    let signed = file.get(..length.0).ok_or(OpenError::Header)?;
    let key = mac_key(&file_key).ok_or(OpenError::Altered)?;
    hmac::verify(&key, signed, &mac).map_err(|_| OpenError::Altered)?;
    Ok((file_key, length.1))
}

/// Returns the error for an incomplete first line, which may be a truncated header.
fn short(file: &[u8]) -> OpenError {
    if VERSION.starts_with(file) { OpenError::Short } else { OpenError::Header }
}

/// Finds a stanza that one of the identities opens, and unwraps its file key.
fn unwrap(stanzas: &[Stanza<'_>], identities: &AgeIdentities) -> Result<Option<FileKey>, OpenError> {
    let mut found = None;
    for stanza in stanzas.iter().filter(|stanza| stanza.kind == X25519) {
        let [share] = stanza.arguments[..] else { return Err(OpenError::Header) };
        let share: [u8; 32] = decode(share).and_then(|share| share.try_into().ok()).ok_or(OpenError::Header)?;
        if stanza.body.len() != 16 + TAG_BYTES {
            return Err(OpenError::Header);
        }
        for identity in identities.all() {
            let shared = identity.shared_secret(&share).ok_or(OpenError::Header)?;
            let mut body = stanza.body.clone();
            let opened = wrapping_key(&shared, &share, &identity.recipient().public)
                .and_then(|key| key.open_in_place(nonce(), Aad::empty(), &mut body).ok().map(|key| key.to_vec()));
            found = found.or_else(|| opened?.try_into().ok().map(FileKey));
        }
    }
    Ok(found)
}
