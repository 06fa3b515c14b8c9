//! Minimal RTP to check the edge from outside, independent of the edge's own RTP.

use std::f64::consts::TAU;

/// Samples per second of G.711.
pub(crate) const SAMPLE_RATE: u32 = 8_000;

/// Encodes a sample in μ-law (ITU-T G.711).
pub(crate) fn ulaw(sample: i32) -> u8 {
    const BIAS: i32 = 0x84;
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = sample.abs().min(32_635) + BIAS;
    let exponent = (0..8).rev().find(|e| magnitude & (0x80 << e) != 0).unwrap_or(0);
    let mantissa = (magnitude >> (exponent + 3)) & 0x0F;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let byte = !(sign | (exponent << 4) | mantissa) as u8;
    byte
}

/// Returns `samples` of a 440 Hz tone in μ-law from time 0; repeated every 200 samples, the tone has no click.
pub(crate) fn tone_ulaw(samples: u32) -> Vec<u8> {
    #[allow(clippy::cast_possible_truncation)]
    (0..samples).map(|n| ulaw((8_000.0 * (TAU * 440.0 * f64::from(n) / 8_000.0).sin()) as i32)).collect()
}

/// Decodes a μ-law byte (ITU-T G.711).
pub(crate) fn linear(byte: u8) -> f64 {
    let byte = !byte;
    let magnitude = ((i32::from(byte & 0x0F) << 3) + 0x84) << ((byte >> 4) & 7);
    f64::from(if byte & 0x80 == 0 { magnitude - 0x84 } else { 0x84 - magnitude })
}

/// Returns the SNR of a 440 Hz tone in μ-law audio, in dB.
pub(crate) fn tone_snr_db(bytes: &[u8]) -> f64 {
    let samples: Vec<f64> = bytes.iter().copied().map(linear).collect();
    snr_db(&samples, 440)
}

/// Returns the SNR of a tone in samples, in dB.
pub(crate) fn snr_db(samples: &[f64], hz: u32) -> f64 {
    fit(samples, hz, SAMPLE_RATE).1
}

/// Returns the amplitude of a tone, and its SNR in dB: sine and cosine are fitted by least squares.
pub(crate) fn fit(samples: &[f64], hz: u32, rate_hz: u32) -> (f64, f64) {
    let (mut cc, mut ss, mut cs, mut xc, mut xs, mut xx) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
    for (n, x) in samples.iter().enumerate() {
        #[allow(clippy::cast_precision_loss)]
        let (s, c) = (TAU * f64::from(hz) * n as f64 / f64::from(rate_hz)).sin_cos();
        (cc, ss, cs) = (cc + c * c, ss + s * s, cs + c * s);
        (xc, xs, xx) = (xc + x * c, xs + x * s, xx + x * x);
    }
    let determinant: f64 = cc * ss - cs * cs;
    if determinant.abs() < 1e-9 || xx <= 0.0 {
        return (0.0, f64::NEG_INFINITY);
    }
    let (a, b) = ((xc * ss - xs * cs) / determinant, (xs * cc - xc * cs) / determinant);
    let signal = (a * xc + b * xs).max(f64::MIN_POSITIVE);
    (a.hypot(b), 10.0 * (signal / (xx - signal).max(f64::MIN_POSITIVE)).log10())
}

/// Returns the tones of a recording in order, each with its length in milliseconds; a pause below 300 ms does not split
/// a tone.
pub(crate) fn tones(samples: &[f64], known: &[u32]) -> Vec<(u32, u32)> {
    const PIECE: usize = 400;
    let mut found: Vec<(u32, u32)> = Vec::new();
    let mut silent = 0;
    for piece in samples.chunks_exact(PIECE) {
        let is_heard = |hz: &&u32| {
            let (level, snr) = fit(piece, **hz, SAMPLE_RATE);
            level > 2_000.0 && snr > 10.0
        };
        match (known.iter().find(is_heard), found.last_mut()) {
            (None, _) => silent += 1,
            (Some(hz), Some((last, length))) if last == hz && silent < 6 => (*length, silent) = (*length + 50, 0),
            (Some(hz), _) => {
                found.push((*hz, 50));
                silent = 0;
            }
        }
    }
    // Shorter pieces are the beginnings and ends of tones.
    found.retain(|(_, length)| *length >= 100);
    found
}

/// Returns whether μ-law audio can be heard.
pub(crate) fn is_heard(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| linear(*byte).abs() > 500.0)
}

/// Returns an RTP packet with 20 ms of PCMU.
pub(crate) fn packet(sequence: u16, timestamp: u32, ssrc: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80, 0];
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(timestamp.to_be_bytes());
    bytes.extend(ssrc.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Returns the sequence number and the payload of an RTP packet with a 12-byte header.
pub(crate) fn read(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let header = bytes.get(..12)?;
    let sequence = u16::from_be_bytes([*header.get(2)?, *header.get(3)?]);
    Some((sequence, bytes.get(12..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tones_of_a_recording_are_found_in_their_order() {
        let mut samples: Vec<f64> = Vec::new();
        for (hz, pieces) in [(630, 20), (0, 2), (630, 10), (0, 20), (630, 4), (760, 20), (890, 1), (440, 10)] {
            let tone = (0..pieces * 400).map(|n| 8_000.0 * (TAU * f64::from(hz) * f64::from(n) / 8_000.0).sin());
            samples.extend(tone);
        }
        assert_eq!(tones(&samples, &[440, 630, 760, 890]), [(630, 1_500), (630, 200), (760, 1_000), (440, 500)]);
        assert_eq!(tones(&samples, &[350]), []);
    }

    #[test]
    fn a_tone_is_told_from_a_broken_one() {
        let tone = tone_ulaw(8_000);
        assert!(tone_snr_db(&tone) > 35.0, "{}", tone_snr_db(&tone));
        let samples: Vec<f64> = tone.iter().copied().map(linear).collect();
        assert!(snr_db(&samples, 660) < 0.0, "another tone is none");
        let mut broken = tone.clone();
        // One frame is missing: the phase jumps.
        broken.drain(3_000..3_160);
        assert!(tone_snr_db(&broken) < 20.0, "{}", tone_snr_db(&broken));
        let silence = [0xFF; 160];
        assert!(tone_snr_db(&silence) < 0.0 && !is_heard(&silence) && is_heard(&tone));
    }
}
