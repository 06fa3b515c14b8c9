//! WAV files: what an end of a call plays, and what one has heard. One channel at 8000 Hz, 16-bit PCM or μ-law.

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use trunkgate_media::codec::g711::{decode_ulaw, encode_ulaw};

/// Samples in a second.
const RATE_HZ: u32 = 8000;
/// The format tag of μ-law (RFC 2361 §A.7), which the reader of PCM does not know.
const MULAW: u16 = 7;

/// The samples of a file, as they stand there.
enum Samples {
    Linear(Vec<i16>),
    Mulaw(Vec<u8>),
}

/// The file's samples in μ-law; neither longer than `bytes` nor than `seconds`.
///
/// # Errors
/// What is wrong with it, as a clause.
pub(crate) fn mulaw(path: &Path, bytes: u64, seconds: usize) -> Result<Arc<[u8]>, String> {
    Ok(match read(path, bytes, seconds)? {
        Samples::Linear(samples) => samples.into_iter().map(encode_ulaw).collect(),
        Samples::Mulaw(samples) => samples.into(),
    })
}

/// The same as numbers of 16 bits.
///
/// # Errors
/// What is wrong with it, as a clause.
pub(crate) fn linear(path: &Path, bytes: u64, seconds: usize) -> Result<Arc<[i16]>, String> {
    Ok(match read(path, bytes, seconds)? {
        Samples::Linear(samples) => samples.into(),
        Samples::Mulaw(samples) => samples.into_iter().map(decode_ulaw).collect(),
    })
}

/// Writes 16-bit PCM.
///
/// # Errors
/// Why not, in words.
pub(crate) fn write(path: &Path, samples: &[i16]) -> Result<(), String> {
    let spec = WavSpec { channels: 1, sample_rate: RATE_HZ, bits_per_sample: 16, sample_format: SampleFormat::Int };
    let written = || {
        let mut writer = WavWriter::create(path, spec)?;
        samples.iter().try_for_each(|sample| writer.write_sample(*sample))?;
        writer.finalize()
    };
    written().map_err(|error: hound::Error| error.to_string())
}

fn read(path: &Path, most_bytes: u64, most_seconds: usize) -> Result<Samples, String> {
    let about = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if about.len() > most_bytes {
        return Err(format!("more than {} MiB", most_bytes >> 20));
    }
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let samples = match in_mulaw(&bytes) {
        Some(samples) => Samples::Mulaw(samples?),
        None => Samples::Linear(pcm(&bytes)?),
    };
    let length = match &samples {
        Samples::Linear(samples) => samples.len(),
        Samples::Mulaw(samples) => samples.len(),
    };
    match length {
        0 => Err("it holds no audio".to_owned()),
        length if length > RATE_HZ as usize * most_seconds => Err(format!("longer than {most_seconds} s")),
        _ => Ok(samples),
    }
}

fn pcm(bytes: &[u8]) -> Result<Vec<i16>, String> {
    if bytes.get(..4) != Some(b"RIFF") || bytes.get(8..12) != Some(b"WAVE") {
        return Err("not a WAV file".to_owned());
    }
    let mut reader = WavReader::new(Cursor::new(bytes)).map_err(|error| error.to_string())?;
    let spec = reader.spec();
    fits(spec.channels, spec.sample_rate)?;
    if (spec.sample_format, spec.bits_per_sample) != (SampleFormat::Int, 16) {
        return Err(format!("{} bits a sample, not 16-bit PCM or μ-law", spec.bits_per_sample));
    }
    reader.samples::<i16>().collect::<Result<_, _>>().map_err(|error| error.to_string())
}

fn fits(channels: u16, rate: u32) -> Result<(), String> {
    match (channels, rate) {
        (1, RATE_HZ) => Ok(()),
        (1, rate) => Err(format!("{rate} Hz, not {RATE_HZ} Hz")),
        (channels, _) => Err(format!("{channels} channels, not one")),
    }
}

/// The samples of a μ-law file; `None` where it is something else.
fn in_mulaw(bytes: &[u8]) -> Option<Result<Vec<u8>, String>> {
    let mut rest = bytes.strip_prefix(b"RIFF")?.get(4..)?.strip_prefix(b"WAVE")?;
    let mut format = None;
    while let Some((head, behind)) = rest.split_at_checked(8) {
        let (name, size) = head.split_at(4);
        let size = usize::try_from(u32::from_le_bytes(size.try_into().ok()?)).ok()?;
        // A file that was cut off, or written to a pipe, ends before its chunk does.
        let (body, after) = behind.split_at_checked(size).unwrap_or((behind, &[]));
        match name {
            b"fmt " => {
                let short = |at: usize| Some(u16::from_le_bytes(body.get(at..at + 2)?.try_into().ok()?));
                let rate = u32::from_le_bytes(body.get(4..8)?.try_into().ok()?);
                format = Some((short(0).filter(|tag| *tag == MULAW)?, short(2)?, rate));
            }
            b"data" => {
                let (_, channels, rate) = format?;
                return Some(fits(channels, rate).map(|()| body.to_vec()));
            }
            _ => {}
        }
        // Chunks begin at even offsets.
        rest = after.get(size % 2..).unwrap_or_default();
    }
    format.map(|_| Err("no chunk of data".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{AGENT_FILE_BYTES, GOODBYE_SECONDS};

    fn written(bytes: &[u8]) -> Result<Arc<[u8]>, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        mulaw(file.path(), AGENT_FILE_BYTES, GOODBYE_SECONDS)
    }

    fn pcm_file(channels: u16, rate: u32, bits: u16, samples: &[i16]) -> Vec<u8> {
        let mut out = Cursor::new(Vec::new());
        let spec = WavSpec { channels, sample_rate: rate, bits_per_sample: bits, sample_format: SampleFormat::Int };
        let mut writer = WavWriter::new(&mut out, spec).unwrap();
        for sample in samples {
            writer.write_sample(*sample).unwrap();
        }
        writer.finalize().unwrap();
        out.into_inner()
    }

    fn mulaw_file(rate: u32, samples: &[u8]) -> Vec<u8> {
        let mut bytes = b"RIFF\0\0\0\0WAVEfmt ".to_vec();
        bytes.extend(18_u32.to_le_bytes());
        for short in [MULAW, 1] {
            bytes.extend(short.to_le_bytes());
        }
        bytes.extend(rate.to_le_bytes());
        bytes.extend(rate.to_le_bytes());
        bytes.extend([1, 0, 8, 0, 0, 0]);
        bytes.extend(b"fact\x03\0\0\0abc\0data");
        bytes.extend(u32::try_from(samples.len()).unwrap().to_le_bytes());
        bytes.extend(samples);
        bytes
    }

    #[test]
    fn pcm_becomes_mulaw() {
        let samples = [0, 1000, -1000, i16::MAX, i16::MIN];
        let read = written(&pcm_file(1, 8000, 16, &samples)).unwrap();
        assert_eq!(&*read, samples.map(encode_ulaw));
    }

    #[test]
    fn mulaw_stays_as_it_is() {
        assert_eq!(&*written(&mulaw_file(8000, &[0xff, 0x00, 0x80])).unwrap(), [0xff, 0x00, 0x80]);
    }

    #[test]
    fn what_is_written_is_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let samples = [0, 1, -1, i16::MAX, i16::MIN];
        write(file.path(), &samples).unwrap();
        assert_eq!(&*linear(file.path(), AGENT_FILE_BYTES, 1).unwrap(), samples);
        assert!(linear(file.path(), 10, 1).is_err());
        assert!(write(Path::new("/nowhere/heard.wav"), &samples).is_err());
        std::fs::write(file.path(), mulaw_file(8000, &[0xff, 0x00])).unwrap();
        assert_eq!(&*linear(file.path(), AGENT_FILE_BYTES, 1).unwrap(), [0xff, 0x00].map(decode_ulaw));
    }

    #[test]
    fn other_files_are_refused_with_the_reason() {
        let long = vec![0x7f; 8000 * GOODBYE_SECONDS + 1];
        for (bytes, reason) in [
            (pcm_file(1, 16_000, 16, &[1]), "16000 Hz"),
            (pcm_file(2, 8000, 16, &[1, 1]), "2 channels"),
            (pcm_file(1, 8000, 8, &[1]), "8 bits"),
            (pcm_file(1, 8000, 16, &[]), "no audio"),
            (mulaw_file(16_000, &[1]), "16000 Hz"),
            (mulaw_file(8000, &[]), "no audio"),
            (mulaw_file(8000, &long), "longer than"),
            (b"RIFF\0\0\0\0WAVE".to_vec(), ""),
            (b"ID3 an mp3 that is longer".to_vec(), "not a WAV file"),
            (b"ID3".to_vec(), "not a WAV file"),
            (vec![], "not a WAV file"),
        ] {
            let error = written(&bytes).unwrap_err();
            assert!(error.contains(reason), "{error} does not name {reason}");
        }
        assert!(mulaw(Path::new("/nowhere/goodbye.wav"), 1, 1).is_err());
    }
}
