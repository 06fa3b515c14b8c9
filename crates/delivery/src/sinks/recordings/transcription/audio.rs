//! Audio of a recording in the form that the transcription service gets.

use std::io;

use trunkgate_recording::wav::{self, DataBytes, HEADER_BYTES};
use trunkgate_recording::{Channels, mix};

use crate::sinks::recordings::index::RecordingEntry;
use crate::sinks::recordings::reader::RecordingReader;
use trunkgate_system::limits::TRANSCRIPTION_AUDIO_BYTES;

/// Number of bytes read at once, a multiple of a frame with both channels.
const PART_BYTES: usize = 64 << 10;

/// Audio file for the transcription service.
#[derive(Debug)]
pub(super) struct Audio {
    pub(super) bytes: Vec<u8>,
    pub(super) name: String,
    pub(super) media_type: &'static str,
}

/// Reads the audio of a recording. The channels of a WAV file are mixed; an Opus file is unchanged.
///
/// # Errors
/// Returns the error of the disk, or [`io::ErrorKind::FileTooLarge`] if the file exceeds the service's limit.
pub(super) fn read(entry: &RecordingEntry, reader: &mut RecordingReader) -> io::Result<Audio> {
    let is_mixed = !entry.is_opus && entry.channels == 2;
    let length = if is_mixed { HEADER_BYTES + reader.bytes().saturating_sub(HEADER_BYTES) / 2 } else { reader.bytes() };
    if length > TRANSCRIPTION_AUDIO_BYTES as u64 {
        let what = format!("the audio is longer than {} MiB", TRANSCRIPTION_AUDIO_BYTES >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    let (ending, media_type) = if entry.is_opus { ("ogg", "audio/ogg") } else { ("wav", "audio/wav") };
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    if is_mixed {
        bytes.extend_from_slice(&[0; HEADER_BYTES as usize]);
    }
    let (mut part, mut mono) = (vec![0; PART_BYTES], Vec::new());
    let mut at = if is_mixed { HEADER_BYTES } else { 0 };
    loop {
        let read = reader.fill(at, &mut part)?;
        let part = part.get(..read).unwrap_or_default();
        at += read as u64;
        if is_mixed {
            let stereo: Vec<i16> = part.as_chunks().0.iter().map(|sample| i16::from_le_bytes(*sample)).collect();
            mono.clear();
            mix(Channels::Mono, &stereo, &mut mono);
            bytes.extend(mono.iter().flat_map(|sample| sample.to_le_bytes()));
        } else {
            bytes.extend_from_slice(part);
        }
        if read < PART_BYTES {
            break;
        }
    }
    let data = (bytes.len() as u64).saturating_sub(HEADER_BYTES);
    let header = wav::header(Channels::Mono, DataBytes::Known(data));
    if let Some(place) = bytes.get_mut(..header.len()).filter(|_| is_mixed) {
        place.copy_from_slice(&header);
    }
    Ok(Audio { bytes, name: format!("{}.{ending}", entry.sid), media_type })
}
