//! WAV decoder: PCM of 8 to 32 bits, floating point, μ-law, A-law and GSM, including streamed files with unknown sizes
//! and truncated files.

use super::decode::NarrowbandSink;
use super::gsm;
use super::samples::{ByteOrder, SampleFormat, SampleKind, little};

/// Size in a header from which it counts as unknown, as left by a streaming writer.
const UNKNOWN_BYTES: u64 = 0x7fff_0000;
/// Number of bytes before the first chunk.
const HEAD_BYTES: usize = 12;

/// Format of a file's samples.
#[derive(Debug, Clone, Copy)]
enum WavFormat {
    Samples(SampleFormat),
    /// GSM 06.10 in blocks of two frames, with its sampling rate in Hz.
    Gsm(u32),
}

/// Decodes a file that begins with `RIFF`.
pub(super) fn decode(file: &[u8], sink: &mut NarrowbandSink) -> Result<(), String> {
    let (format, samples, _) = parts(file)?;
    match format {
        WavFormat::Samples(format) => format.decode(samples, sink),
        WavFormat::Gsm(rate) => gsm::decode_blocks(samples, rate, sink),
    }
}

/// Checks that a file has all the samples that its header announces; a configured file may still be in the process of
/// being copied.
///
/// # Errors
///
/// Returns the number of missing bytes in words.
pub(super) fn judge_whole(file: &[u8]) -> Result<(), String> {
    let Ok((.., missing)) = parts(file) else { return Ok(()) };
    if missing > 0 { Err(format!("it ends in the middle: {missing} bytes are missing")) } else { Ok(()) }
}

/// Returns the format, the bytes of the samples, and the number of missing bytes. If the size is unknown or the file
/// is truncated, all bytes after the header count as samples.
fn parts(file: &[u8]) -> Result<(WavFormat, &[u8], usize), String> {
    let mut rest =
        file.get(HEAD_BYTES..).filter(|_| file.get(8..12) == Some(b"WAVE")).ok_or("RIFF, but not a WAV file")?;
    let claimed = file.get(4..8).map_or(0, little);
    let mut format = None;
    while let Some((head, behind)) = rest.split_at_checked(8) {
        let (name, size) = head.split_at(4);
        let written = little(size);
        let size = usize::try_from(written).unwrap_or(usize::MAX);
        match name {
            b"fmt " => format = Some(format_of(behind.get(..size).unwrap_or(behind))?),
            b"data" => {
                let format = format.ok_or("its samples precede the format chunk")?;
                let before = file.len() - behind.len();
                let is_unknown = written >= UNKNOWN_BYTES || is_never_written(written, claimed, before);
                if is_unknown {
                    return Ok((format, behind, 0));
                }
                let samples = behind.get(..size).unwrap_or(behind);
                return Ok((format, samples, size - samples.len()));
            }
            _ => {}
        }
        // Chunks begin at even offsets.
        rest = size.checked_add(size % 2).and_then(|size| behind.get(size..)).unwrap_or_default();
    }
    Err("a WAV file without samples".to_owned())
}

/// Returns whether the writer never updated the sizes in the header: `size` of the samples is 0, and the file size
/// `claimed` is unknown or ends before the samples.
fn is_never_written(size: u64, claimed: u64, before: usize) -> bool {
    size == 0 && (claimed == 0 || claimed >= UNKNOWN_BYTES || claimed.saturating_add(8) <= before as u64)
}

fn format_of(body: &[u8]) -> Result<WavFormat, String> {
    let short = |at: usize| body.get(at..at + 2).map(little);
    let missing = "a WAV file with a truncated format chunk";
    let (tag, channels, rate) = (short(0).ok_or(missing)?, short(2).ok_or(missing)?, body.get(4..8).map(little));
    let (rate, bits) = (rate.ok_or(missing)?, short(14).ok_or(missing)?);
    let rate = u32::try_from(rate).unwrap_or(u32::MAX);
    // The extensible format has its encoding tag further down.
    let tag = if tag == 0xfffe { short(24).ok_or(missing)? } else { tag };
    let kind = match (tag, bits) {
        // 8-bit PCM is unsigned.
        (1, 8) => SampleKind::Unsigned,
        (1, 16 | 24 | 32) => SampleKind::Pcm,
        (3, 32 | 64) => SampleKind::Float,
        (6, 8) => SampleKind::ALaw,
        (7, 8) => SampleKind::MuLaw,
        (0x31, _) if channels == 1 => return Ok(WavFormat::Gsm(rate)),
        _ => return Err(format!("a WAV file with format {tag}, {bits} bits: not PCM, μ-law, A-law or GSM")),
    };
    let whole = |number: u64| usize::try_from(number).unwrap_or_default();
    let (order, channels, bytes) = (ByteOrder::Little, whole(channels), whole(bits / 8));
    Ok(WavFormat::Samples(SampleFormat { kind, order, channels, rate, bytes }))
}
