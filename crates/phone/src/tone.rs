//! What a phone says: a 440 Hz tone in G.711, each 20 ms frame marked so that no two are alike.
//!
//! All of a stream follows from its SSRC: first sequence number, first timestamp, every payload. So whoever hears a
//! packet can tell, bit for bit, whether it is the one that was sent.

use std::f64::consts::TAU;

use trunkgate_media::codec::g711;

/// Frequency of the tone.
pub const TONE_HZ: f64 = 440.0;
/// Samples a second.
pub const SAMPLE_RATE: u32 = 8000;
/// Samples, and so G.711 bytes, in one frame of 20 ms.
pub const FRAME_SAMPLES: usize = 160;
/// Length of an RTP header without extensions, in bytes.
pub const RTP_HEADER_BYTES: usize = 12;
/// Length of one packet, in bytes.
pub const PACKET_BYTES: usize = RTP_HEADER_BYTES + FRAME_SAMPLES;
/// After so many frames the tone is at its first phase again: 800 samples are 44 whole periods.
const CYCLE_FRAMES: usize = 5;
/// Peak of the tone on the 16-bit scale: about −10 dB below full.
const AMPLITUDE: f64 = 10_000.0;

/// The codecs a phone speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// μ-law, payload number 0.
    Pcmu,
    /// A-law, payload number 8.
    Pcma,
}

impl Codec {
    /// By static payload number (RFC 3551 §6).
    pub const fn of_payload(number: u8) -> Option<Codec> {
        match number {
            0 => Some(Codec::Pcmu),
            8 => Some(Codec::Pcma),
            _ => None,
        }
    }
    /// By rtpmap name.
    pub fn of_name(name: &str) -> Option<Codec> {
        [Codec::Pcmu, Codec::Pcma].into_iter().find(|codec| codec.name().eq_ignore_ascii_case(name))
    }
    /// Its static payload number.
    pub const fn payload(self) -> u8 {
        match self {
            Codec::Pcmu => 0,
            Codec::Pcma => 8,
        }
    }
    /// Its rtpmap name.
    pub const fn name(self) -> &'static str {
        match self {
            Codec::Pcmu => "PCMU",
            Codec::Pcma => "PCMA",
        }
    }
    pub(crate) fn encode(self, sample: i16) -> u8 {
        match self {
            Codec::Pcmu => g711::encode_ulaw(sample),
            Codec::Pcma => g711::encode_alaw(sample),
        }
    }
    pub(crate) fn decode(self, byte: u8) -> i16 {
        match self {
            Codec::Pcmu => g711::decode_ulaw(byte),
            Codec::Pcma => g711::decode_alaw(byte),
        }
    }
}

/// One stream as it is sent.
#[derive(Debug, Clone)]
pub struct Voice {
    ssrc: u32,
    codec: Codec,
    cycle: Vec<u8>,
}

impl Voice {
    /// The voice named by `ssrc`.
    pub fn new(ssrc: u32, codec: Codec) -> Voice {
        let cycle = (0..CYCLE_FRAMES * FRAME_SAMPLES)
            .map(|n| {
                let phase = TAU * TONE_HZ * (n as f64) / f64::from(SAMPLE_RATE);
                codec.encode((AMPLITUDE * phase.sin()) as i16)
            })
            .collect();
        Voice { ssrc, codec, cycle }
    }
    /// Its SSRC.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }
    /// Its codec.
    pub fn codec(&self) -> Codec {
        self.codec
    }
    /// Sequence number of frame 0; spread, so that many streams wrap around early.
    pub fn first_sequence(&self) -> u16 {
        (mix(u64::from(self.ssrc)) & 0xffff) as u16
    }
    /// Timestamp of frame 0.
    pub fn first_timestamp(&self) -> u32 {
        (mix(u64::from(self.ssrc)) >> 32) as u32
    }
    /// Sequence number of a frame.
    pub fn sequence(&self, index: u32) -> u16 {
        self.first_sequence().wrapping_add((index & 0xffff) as u16)
    }
    /// Timestamp of a frame.
    pub fn timestamp(&self, index: u32) -> u32 {
        self.first_timestamp().wrapping_add(index.wrapping_mul(FRAME_SAMPLES as u32))
    }
    /// The frame's payload: the tone, and in the lowest bits of 64 samples a mark made of SSRC and index.
    pub fn payload(&self, index: u32) -> [u8; FRAME_SAMPLES] {
        let mut frame = [0u8; FRAME_SAMPLES];
        let at = (index as usize % CYCLE_FRAMES) * FRAME_SAMPLES;
        for (to, from) in frame.iter_mut().zip(self.cycle.iter().skip(at)) {
            *to = *from;
        }
        let mark = mix((u64::from(self.ssrc) << 32) | u64::from(index));
        for (bit, sample) in frame.iter_mut().take(64).enumerate() {
            *sample ^= ((mark >> bit) & 1) as u8;
        }
        frame
    }
    /// The frame as an RTP packet (RFC 3550 §5.1); the first one carries the marker bit (RFC 3551 §4.1).
    pub fn packet(&self, index: u32, payload_number: u8) -> [u8; PACKET_BYTES] {
        let mut packet = [0u8; PACKET_BYTES];
        let marker = if index == 0 { 0x80 } else { 0 };
        let [s0, s1] = self.sequence(index).to_be_bytes();
        let [t0, t1, t2, t3] = self.timestamp(index).to_be_bytes();
        let [r0, r1, r2, r3] = self.ssrc.to_be_bytes();
        let header = [0x80, marker | (payload_number & 0x7f), s0, s1, t0, t1, t2, t3, r0, r1, r2, r3];
        let (head, body) = packet.split_at_mut(RTP_HEADER_BYTES);
        head.copy_from_slice(&header);
        body.copy_from_slice(&self.payload(index));
        packet
    }
}

/// SplitMix64's finisher: spreads a number over 64 bits.
pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_ssrc_same_stream() {
        let (a, b) = (Voice::new(7, Codec::Pcmu), Voice::new(7, Codec::Pcmu));
        for index in [0, 1, 4, 5, 70_000] {
            assert_eq!(a.packet(index, 0), b.packet(index, 0));
        }
    }

    #[test]
    fn no_two_frames_are_alike() {
        let voice = Voice::new(7, Codec::Pcma);
        let frames: std::collections::BTreeSet<_> = (0..2000).map(|i| voice.payload(i).to_vec()).collect();
        assert_eq!(frames.len(), 2000);
        assert_ne!(voice.payload(3), Voice::new(8, Codec::Pcma).payload(3));
    }

    #[test]
    fn sequence_and_timestamp_wrap() {
        let voice = Voice::new(1, Codec::Pcmu);
        assert_eq!(voice.sequence(65_536), voice.first_sequence());
        assert_eq!(voice.timestamp(2), voice.first_timestamp().wrapping_add(320));
    }
}
