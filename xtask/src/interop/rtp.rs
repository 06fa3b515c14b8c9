//! Just enough RTP to check the edge from outside, written apart from the edge's own.

use std::f64::consts::TAU;

/// μ-law of one sample (ITU-T G.711).
fn ulaw(sample: i32) -> u8 {
    const BIAS: i32 = 0x84;
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = sample.abs().min(32_635) + BIAS;
    let exponent = (0..8).rev().find(|e| magnitude & (0x80 << e) != 0).unwrap_or(0);
    let mantissa = (magnitude >> (exponent + 3)) & 0x0F;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let byte = !(sign | (exponent << 4) | mantissa) as u8;
    byte
}

/// 440 Hz in μ-law, `samples` long from time 0; repeats without a click every 200 samples.
pub(crate) fn tone_ulaw(samples: u32) -> Vec<u8> {
    #[allow(clippy::cast_possible_truncation)]
    (0..samples).map(|n| ulaw((8_000.0 * (TAU * 440.0 * f64::from(n) / 8_000.0).sin()) as i32)).collect()
}

/// A packet: PCMU, 20 ms.
pub(crate) fn packet(sequence: u16, timestamp: u32, ssrc: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80, 0];
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(timestamp.to_be_bytes());
    bytes.extend(ssrc.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Sequence number and payload of a plain 12-byte-header packet.
pub(crate) fn read(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let header = bytes.get(..12)?;
    let sequence = u16::from_be_bytes([*header.get(2)?, *header.get(3)?]);
    Some((sequence, bytes.get(12..)?))
}
