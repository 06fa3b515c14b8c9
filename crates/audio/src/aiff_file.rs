//! AIFF and AIFC decoder: PCM in either byte order, floating point, μ-law and A-law.

use super::decode::NarrowbandSink;
use super::samples::{ByteOrder, SampleFormat, SampleKind, big};

/// Biased exponent of the value 1 in an 80-bit number (IEEE 754 extended).
const EXPONENT_OF_ONE: u64 = 16_383;

/// Decodes a file that begins with `FORM`.
pub(super) fn decode(file: &[u8], sink: &mut NarrowbandSink) -> Result<(), String> {
    let is_aiff = matches!(file.get(8..12), Some(b"AIFF" | b"AIFC"));
    let mut rest = file.get(12..).filter(|_| is_aiff).ok_or("an IFF file, but not AIFF")?;
    let (mut format, mut samples) = (None, None);
    while let Some((head, behind)) = rest.split_at_checked(8) {
        let (name, size) = head.split_at(4);
        let size = usize::try_from(big(size)).unwrap_or(usize::MAX);
        let body = behind.get(..size).unwrap_or(behind);
        match name {
            b"COMM" => format = Some(format_of(body)?),
            b"SSND" => {
                // Offset of the first sample, followed by an unused block size.
                let offset = usize::try_from(body.get(..4).map_or(0, big)).unwrap_or(usize::MAX);
                samples = Some(offset.checked_add(8).and_then(|offset| body.get(offset..)).unwrap_or_default());
            }
            _ => {}
        }
        rest = size.checked_add(size % 2).and_then(|size| behind.get(size..)).unwrap_or_default();
    }
    let format: SampleFormat = format.ok_or("an AIFF file without a format")?;
    format.decode(samples.ok_or("an AIFF file without samples")?, sink)
}

fn format_of(body: &[u8]) -> Result<SampleFormat, String> {
    let missing = "an AIFF file with a truncated format";
    let [channels, bits] = [body.get(..2), body.get(6..8)].map(|bytes| bytes.map(big));
    let (channels, bits) = (channels.ok_or(missing)?, bits.ok_or(missing)?);
    let rate = extended(body.get(8..18).ok_or(missing)?);
    // AIFF, unlike AIFC, names no compression.
    let kind = body.get(18..22).unwrap_or(b"NONE");
    let (kind, order, bits) = match kind {
        b"NONE" | b"twos" => (SampleKind::Pcm, ByteOrder::Big, bits),
        b"sowt" => (SampleKind::Pcm, ByteOrder::Little, bits),
        b"in24" => (SampleKind::Pcm, ByteOrder::Big, 24),
        b"in32" => (SampleKind::Pcm, ByteOrder::Big, 32),
        b"raw " => (SampleKind::Unsigned, ByteOrder::Big, 8),
        b"fl32" | b"FL32" => (SampleKind::Float, ByteOrder::Big, 32),
        b"fl64" | b"FL64" => (SampleKind::Float, ByteOrder::Big, 64),
        b"ulaw" | b"ULAW" => (SampleKind::MuLaw, ByteOrder::Big, 8),
        b"alaw" | b"ALAW" => (SampleKind::ALaw, ByteOrder::Big, 8),
        other => {
            let name = other.escape_ascii();
            return Err(format!("an AIFC file with the compression {name}: not PCM, μ-law or A-law"));
        }
    };
    if !matches!(bits, 1..=64) || kind == SampleKind::Pcm && bits > 32 {
        return Err(format!("an AIFF file with {bits} bits"));
    }
    let whole = |number: u64| usize::try_from(number).unwrap_or_default();
    // Samples fill whole bytes, left-aligned.
    Ok(SampleFormat { kind, order, channels: whole(channels), rate, bytes: whole(bits.div_ceil(8)) })
}

/// Parses an 80-bit floating-point number, the form of a sampling rate in AIFF, rounded down; 0 if it is out of range.
fn extended(bytes: &[u8]) -> u32 {
    let (exponent, mantissa) = bytes.split_at_checked(2).unwrap_or_default();
    let exponent = big(exponent);
    let Some(shift) = exponent.checked_sub(EXPONENT_OF_ONE).filter(|shift| *shift < 32) else { return 0 };
    u32::try_from(big(mantissa) >> (63 - shift)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use crate::decode::decode;

    /// 8 kHz and 44,100 Hz as 80-bit numbers.
    const RATES: [(u32, [u8; 10]); 2] =
        [(8000, [0x40, 0x0b, 0xfa, 0, 0, 0, 0, 0, 0, 0]), (44_100, [0x40, 0x0e, 0xac, 0x44, 0, 0, 0, 0, 0, 0])];

    fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let mut chunk = [name.as_slice(), &(body.len() as u32).to_be_bytes(), body].concat();
        chunk.extend(vec![0; body.len() % 2]);
        chunk
    }

    fn file(kind: Option<&[u8; 4]>, bits: u16, rate: [u8; 10], channels: u16, samples: &[u8]) -> Vec<u8> {
        let mut comm = [&channels.to_be_bytes()[..], &[0; 4], &bits.to_be_bytes(), &rate].concat();
        comm.extend(kind.into_iter().flatten());
        comm.extend(kind.map(|_| [0, 0]).into_iter().flatten());
        let sound = chunk(b"SSND", &[&[0; 8], samples].concat());
        let form = if kind.is_some() { b"AIFC" } else { b"AIFF" };
        let body = [form.as_slice(), &chunk(b"NAME", b"x"), &chunk(b"COMM", &comm), &sound].concat();
        chunk(b"FORM", &body)
    }

    #[test]
    fn every_kind_of_samples_is_decoded() {
        let samples: [i16; 5] = [0, 256, -256, 32_512, -32_768];
        let be: Vec<u8> = samples.iter().flat_map(|sample| sample.to_be_bytes()).collect();
        let le: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let of_24: Vec<u8> =
            samples.iter().flat_map(|sample| [sample.to_be_bytes()[0], sample.to_be_bytes()[1], 0]).collect();
        let of_8: Vec<u8> = samples.iter().map(|sample| sample.to_be_bytes()[0]).collect();
        let raw: Vec<u8> = of_8.iter().map(|byte| byte ^ 0x80).collect();
        let float = |sample: &i16| f32::from(*sample) / 32_768.0;
        let of_32: Vec<u8> = samples.iter().flat_map(|sample| float(sample).to_be_bytes()).collect();
        let of_64: Vec<u8> = samples.iter().flat_map(|sample| f64::from(float(sample)).to_be_bytes()).collect();
        let (rate, channels) = (RATES[0].1, 1);
        for (kind, bits, bytes) in [
            (None, 16, &be),
            (None, 24, &of_24),
            (None, 8, &of_8),
            (Some(b"NONE"), 16, &be),
            (Some(b"twos"), 16, &be),
            (Some(b"sowt"), 16, &le),
            (Some(b"in24"), 24, &of_24),
            (Some(b"raw "), 8, &raw),
            (Some(b"fl32"), 32, &of_32),
            (Some(b"fl64"), 64, &of_64),
        ] {
            assert_eq!(decode(&file(kind, bits, rate, channels, bytes), 1).unwrap(), samples, "{kind:?} {bits}");
        }
        let laws = |kind| decode(&file(Some(kind), 16, rate, channels, &[0xff; 80]), 1).unwrap();
        assert_eq!((laws(b"ulaw"), laws(b"ULAW")), (vec![0; 80], vec![0; 80]));
        assert_eq!(laws(b"alaw").len(), 80);
    }

    #[test]
    fn any_rate_is_resampled_and_a_file_that_is_cut_short_is_heard_as_far_as_it_goes() {
        let stereo = vec![0x10; 4 * 44_100];
        let whole = file(None, 16, RATES[1].1, 2, &stereo);
        assert!((decode(&whole, 2).unwrap().len() as i64 - 8000).abs() <= 1);
        assert!((decode(&whole[..whole.len() / 2], 2).unwrap().len() as i64 - 4000).abs() <= 8);
    }

    #[test]
    fn other_files_are_refused_with_the_reason() {
        let rate = RATES[0].1;
        for (bytes, reason) in [
            (file(Some(b"ima4"), 16, rate, 1, &[0; 34]), "compression ima4"),
            (file(None, 16, [0; 10], 1, &[0; 34]), "0 Hz"),
            (file(None, 16, [0xff; 10], 1, &[0; 34]), "0 Hz"),
            (file(None, 0, rate, 1, &[0; 34]), "0 bits"),
            (file(None, 64, rate, 1, &[0; 34]), "64 bits"),
            (file(None, 16, rate, 0, &[0; 34]), "0 channels"),
            (file(None, 16, rate, 1, &[]), "no audio"),
            (b"FORM\0\0\0\x04ILBM".to_vec(), "not AIFF"),
            (b"FORM\0\0\0\x04AIFF".to_vec(), "without a format"),
        ] {
            let error = decode(&bytes, 1).unwrap_err();
            assert!(error.contains(reason), "{error} does not name {reason}");
        }
    }
}
