//! Audio files for playing to callers: read, decoded and converted to 8 kHz μ-law once when the configuration is
//! loaded, and then shared. Identical files are decoded once, also across a reload. The crate also writes WAV files.

#![allow(clippy::disallowed_methods, reason = "the shell has clocks, threads and sockets")]

mod aiff_file;
mod au_file;
mod decode;
mod gsm;
#[cfg(test)]
mod hostile;
mod mp3;
#[cfg(test)]
mod mutation;
mod ogg;
mod opus;
mod samples;
mod seam;
mod vorbis;
mod vorbis_setup;
pub mod wav;
mod wav_file;

use std::collections::HashMap;
use std::io::Read as _;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use sha2::{Digest as _, Sha256};
use trunkgate_media::codec::g711::encode_ulaw;
use trunkgate_system::files;

/// Sampling rate, in Hz.
pub const RATE_HZ: usize = 8000;

/// Way in which decoded audio is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Use {
    /// The audio is played once.
    Once,
    /// The audio is played in a loop, with a smooth transition from its end to its beginning.
    Again,
}

/// Format of headerless audio, as a media type identifies it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BareAudio {
    /// μ-law samples at 8 kHz, one channel.
    MuLaw,
    /// Frames of GSM 06.10.
    Gsm,
}

impl BareAudio {
    /// Returns the format of a media type; `None` if files of the type have a header.
    pub fn from_media_type(media_type: &str) -> Option<BareAudio> {
        match media_type {
            "audio/basic" | "audio/ulaw" | "audio/x-ulaw" | "audio/mulaw" | "audio/x-mulaw" | "audio/pcmu" => {
                Some(BareAudio::MuLaw)
            }
            "audio/gsm" | "audio/x-gsm" => Some(BareAudio::Gsm),
            _ => None,
        }
    }
}

/// Limits of an audio file.
#[derive(Debug, Clone, Copy)]
pub struct AudioLimits {
    /// Maximum size, in bytes.
    pub bytes: u64,
    /// Maximum duration, in seconds.
    pub seconds: usize,
}

type AudioKey = ([u8; 32], Use);

/// Decoded audio that is in use, by the digest of its file and the way in which it is played.
static DECODED: LazyLock<Mutex<HashMap<AudioKey, Weak<[u8]>>>> = LazyLock::new(Mutex::default);

/// Returns a file's audio as μ-law at 8 kHz, shared with other users of an identical file.
///
/// # Errors
///
/// Returns the reason as text if the file cannot be read or decoded, is incomplete, or exceeds a limit.
pub fn mulaw(path: &Path, most: AudioLimits, how: Use) -> Result<Arc<[u8]>, String> {
    let bytes = read(path, most.bytes)?;
    wav_file::judge_whole(&bytes)?;
    mulaw_of(&bytes, None, most, how)
}

/// Decodes the content of a file to μ-law at 8 kHz; `bare` is its format if no known header is found. The result is
/// shared with other users of the same content.
///
/// # Errors
///
/// Returns the reason as text if the content cannot be decoded or is too long.
pub fn mulaw_of(bytes: &[u8], bare: Option<BareAudio>, most: AudioLimits, how: Use) -> Result<Arc<[u8]>, String> {
    let mut key = ([0; 32], how);
    key.0.copy_from_slice(&digest_of(bytes, bare));
    let known = |length: usize| length <= most.seconds * RATE_HZ;
    let decoded = || DECODED.lock().unwrap_or_else(PoisonError::into_inner);
    let found = decoded().get(&key).and_then(Weak::upgrade);
    if let Some(found) = found.filter(|found| known(found.len())) {
        return Ok(found);
    }
    let mut samples = decode::decode_as(bytes, bare, most.seconds)?;
    if how == Use::Again {
        seam::close(&mut samples);
    }
    let codes: Arc<[u8]> = samples.into_iter().map(encode_ulaw).collect();
    let mut decoded = decoded();
    decoded.retain(|_, codes| codes.strong_count() > 0);
    decoded.insert(key, Arc::downgrade(&codes));
    Ok(codes)
}

/// Returns a digest of a file's content and of `bare`, so that equal digests mean equal decoded audio.
pub fn digest_of(bytes: &[u8], bare: Option<BareAudio>) -> [u8; 32] {
    let digest = Sha256::new().chain_update(bytes);
    match bare {
        None => digest.finalize().into(),
        Some(bare) => digest.chain_update(format!("{bare:?}")).finalize().into(),
    }
}

/// Returns a file's audio as 16-bit samples at 8 kHz.
///
/// # Errors
///
/// Returns the reason as text if the file cannot be read or decoded, is incomplete, or exceeds a limit.
pub fn linear_samples(path: &Path, most: AudioLimits) -> Result<Arc<[i16]>, String> {
    let bytes = read(path, most.bytes)?;
    wav_file::judge_whole(&bytes)?;
    Ok(decode::decode(&bytes, most.seconds)?.into())
}

/// Returns the error text for audio longer than `seconds`.
pub fn too_long(seconds: usize) -> String {
    format!("longer than {seconds} s")
}

/// Reads a file of at most `most` bytes.
///
/// # Errors
///
/// Returns the reason as text if the file cannot be read or is larger than `most` bytes.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let wrong = |error: std::io::Error| error.to_string();
    let file = files::open(path).map_err(wrong)?;
    let about = file.metadata().map_err(wrong)?;
    let too_large = || format!("more than {} MiB", most >> 20);
    if about.len() > most {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(wrong)?;
    if bytes.len() as u64 > most { Err(too_large()) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: AudioLimits = AudioLimits { bytes: 1 << 20, seconds: 5 };

    #[test]
    fn the_same_audio_is_decoded_once_and_forgotten_with_its_last_user() {
        let file = decode::tests::wav(1, 8000, &[1000; 400]);
        let (one, other) =
            (mulaw_of(&file, None, MOST, Use::Once).unwrap(), mulaw_of(&file, None, MOST, Use::Once).unwrap());
        assert!(Arc::ptr_eq(&one, &other));
        let again = mulaw_of(&file, None, MOST, Use::Again).unwrap();
        assert!(!Arc::ptr_eq(&one, &again));
        let key = (<[u8; 32]>::from(Sha256::digest(&file)), Use::Once);
        drop((one, other));
        assert!(DECODED.lock().unwrap().get(&key).is_none_or(|known| known.upgrade().is_none()));
        assert!(
            mulaw_of(&file, None, AudioLimits { seconds: 0, ..MOST }, Use::Again).is_err(),
            "a limit holds for what is known too"
        );
    }

    #[test]
    fn what_is_no_file_or_too_large_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let wrong = |path: &Path| mulaw(path, MOST, Use::Once).unwrap_err();
        assert_eq!(wrong(folder.path()), "it is a directory, not a regular file");
        assert_eq!(wrong(Path::new("/dev/zero")), "it is a device, not a regular file");
        let ring = folder.path().join("ring");
        std::os::unix::fs::symlink(&ring, &ring).unwrap();
        assert!(wrong(&ring).contains("symbolic links"), "{}", wrong(&ring));
        let large = folder.path().join("large");
        std::fs::File::create(&large).unwrap().set_len(1 << 30).unwrap();
        assert_eq!(wrong(&large), "more than 1 MiB");
    }
}
