//! WAV files as they are found: PCM of 8 to 32 bits, floating point, μ-law and A-law, with the sizes that a writer to a pipe
//! leaves in them.

use trunkgate_media::codec::g711::{decode_alaw, decode_ulaw};

use super::decode::Sink;

/// A size that stands in a file whose writer did not know it, or more.
const UNKNOWN_BYTES: u32 = 0x7fff_0000;
/// Bytes decoded before the next are.
const PIECE_BYTES: usize = 1 << 16;

/// Kinds of samples (RFC 2361 and the format's own).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pcm,
    Float,
    ALaw,
    MuLaw,
}

/// What the `fmt` chunk says.
#[derive(Debug, Clone, Copy)]
struct Form {
    kind: Kind,
    channels: usize,
    rate: u32,
    /// Of one sample.
    bytes: usize,
}

/// Decodes a file that begins with `RIFF`.
pub(super) fn decode(file: &[u8], sink: &mut Sink) -> Result<(), String> {
    let (form, samples) = parts(file)?;
    let frame = form.bytes * form.channels;
    for piece in samples.chunks(PIECE_BYTES / frame * frame) {
        // What is left of a frame at the end is no sample.
        let samples = piece.chunks_exact(frame).flat_map(|frame| frame.chunks_exact(form.bytes));
        sink.push(form.rate, form.channels, samples.map(|bytes| sample(form, bytes)))?;
    }
    Ok(())
}

/// The form and the bytes of the samples.
fn parts(file: &[u8]) -> Result<(Form, &[u8]), String> {
    let mut rest = file.get(12..).filter(|_| file.get(8..12) == Some(b"WAVE")).ok_or("RIFF, but not a WAV file")?;
    let mut form = None;
    while let Some((head, behind)) = rest.split_at_checked(8) {
        let (name, size) = head.split_at(4);
        let written = little(size);
        let size = usize::try_from(written).unwrap_or(usize::MAX);
        match name {
            b"fmt " => form = Some(form_of(behind.get(..size).unwrap_or(behind))?),
            b"data" => {
                let form = form.ok_or("its samples precede the format chunk")?;
                let Some(samples) = behind.get(..size) else {
                    let missing = size.saturating_sub(behind.len());
                    return match written {
                        UNKNOWN_BYTES.. => Ok((form, behind)),
                        _ => Err(format!("it ends in the middle: {missing} bytes are missing")),
                    };
                };
                return Ok((form, samples));
            }
            _ => {}
        }
        // Chunks begin at even offsets.
        rest = size.checked_add(size % 2).and_then(|size| behind.get(size..)).unwrap_or_default();
    }
    Err("a WAV file without samples".to_owned())
}

fn form_of(body: &[u8]) -> Result<Form, String> {
    let short = |at: usize| body.get(at..at + 2).map(little);
    let missing = "a WAV file with a truncated format chunk";
    let (tag, channels, rate) = (short(0).ok_or(missing)?, short(2).ok_or(missing)?, body.get(4..8).map(little));
    let (rate, bits) = (rate.ok_or(missing)?, short(14).ok_or(missing)?);
    // The extensible form says the kind further down.
    let tag = if tag == 0xfffe { short(24).ok_or(missing)? } else { tag };
    let kind = match (tag, bits) {
        (1, 8 | 16 | 24 | 32) => Kind::Pcm,
        (3, 32 | 64) => Kind::Float,
        (6, 8) => Kind::ALaw,
        (7, 8) => Kind::MuLaw,
        _ => return Err(format!("a WAV file with format {tag}, {bits} bits: not PCM, μ-law or A-law")),
    };
    if channels == 0 || channels > 64 {
        return Err(format!("{channels} channels"));
    }
    let whole = |number: u32| usize::try_from(number).unwrap_or(1);
    Ok(Form { kind, channels: whole(channels), rate, bytes: whole(bits / 8) })
}

/// Up to 32 bits, little-endian.
fn little(bytes: &[u8]) -> u32 {
    bytes.iter().take(4).rev().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// A sample, full scale from −1 to 1.
fn sample(form: Form, bytes: &[u8]) -> f32 {
    let whole = |sample: i16| f32::from(sample) / 32_768.0;
    let first = bytes.first().copied().unwrap_or_default();
    match form.kind {
        Kind::MuLaw => whole(decode_ulaw(first)),
        Kind::ALaw => whole(decode_alaw(first)),
        // Of 8 bits they have no sign.
        Kind::Pcm if form.bytes == 1 => (f32::from(first) - 128.0) / 128.0,
        Kind::Pcm => {
            // The upper bits are the sample's; a cast keeps them.
            let shifted = little(bytes) << (32 - 8 * form.bytes);
            shifted as i32 as f32 / 2_147_483_648.0
        }
        Kind::Float => {
            let sample = match bytes.try_into() {
                Ok(bytes) => f64::from_le_bytes(bytes) as f32,
                Err(_) => f32::from_bits(little(bytes)),
            };
            if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 }
        }
    }
}
