//! Test tone of a phone: 440 Hz in G.711, with each 20 ms frame marked so that no two are equal.
//!
//! Everything in a stream follows from its SSRC: first sequence number, first timestamp and all payloads. Each payload
//! contains the SSRC and frame index of its voice. A receiver can therefore verify bit for bit that a packet was sent,
//! even if its header was rewritten on the way.

use std::f64::consts::TAU;
use std::sync::OnceLock;

use trunkgate_media::codec::g711;

/// Frequency of the test tone, in Hz.
pub const TONE_HZ: f64 = 440.0;
/// Sampling rate of the phone's audio, in Hz.
pub const SAMPLE_RATE: u32 = 8000;
/// Samples, and therefore G.711 bytes, in a frame of 20 ms.
pub const FRAME_SAMPLES: usize = 160;
/// Duration of a frame, in milliseconds.
pub const FRAME_MS: u64 = 20;
/// Length of an RTP header without extensions, in bytes.
pub(crate) const RTP_HEADER_BYTES: usize = 12;
/// Length of a packet with its RTP header, in bytes.
pub const PACKET_BYTES: usize = RTP_HEADER_BYTES + FRAME_SAMPLES;
/// Number of frames after which the tone repeats its phase: 800 samples are 44 whole periods.
const CYCLE_FRAMES: usize = 5;
/// Peak amplitude of the tone on the 16-bit scale, about −10 dBFS.
pub(crate) const AMPLITUDE: f64 = 10_000.0;
/// Full scale of 16-bit samples.
pub(crate) const FULL_SCALE: f64 = 32_768.0;

/// G.711 codecs in which a phone generates audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum G711Codec {
    /// μ-law, payload type 0.
    Pcmu,
    /// A-law, payload type 8.
    Pcma,
}

impl G711Codec {
    /// Returns the codec with this static payload type (RFC 3551 §6).
    pub const fn of_payload(number: u8) -> Option<G711Codec> {
        match number {
            0 => Some(G711Codec::Pcmu),
            8 => Some(G711Codec::Pcma),
            _ => None,
        }
    }

    /// Returns the codec with this rtpmap name.
    pub fn of_name(name: &str) -> Option<G711Codec> {
        [G711Codec::Pcmu, G711Codec::Pcma].into_iter().find(|codec| codec.name().eq_ignore_ascii_case(name))
    }

    /// Returns the static payload type of the codec (RFC 3551 §6).
    pub const fn payload(self) -> u8 {
        match self {
            G711Codec::Pcmu => 0,
            G711Codec::Pcma => 8,
        }
    }

    /// Returns the rtpmap name of the codec.
    pub const fn name(self) -> &'static str {
        match self {
            G711Codec::Pcmu => "PCMU",
            G711Codec::Pcma => "PCMA",
        }
    }

    /// Returns a frame of the unmarked tone at this phase, of [`CYCLE_FRAMES`].
    fn phase(self, phase: usize) -> &'static [u8; FRAME_SAMPLES] {
        type ToneCycle = [[u8; FRAME_SAMPLES]; CYCLE_FRAMES];
        static CYCLES: [OnceLock<ToneCycle>; 2] = [OnceLock::new(), OnceLock::new()];
        let [pcmu, pcma] = &CYCLES;
        let cycle = match self {
            G711Codec::Pcmu => pcmu,
            G711Codec::Pcma => pcma,
        };
        let sample = |n: usize| AMPLITUDE * (TAU * TONE_HZ * (n as f64) / f64::from(SAMPLE_RATE)).sin();
        let frame = |phase: usize| std::array::from_fn(|n| self.encode(sample(phase * FRAME_SAMPLES + n) as i16));
        let [a, b, c, d, e] = cycle.get_or_init(|| std::array::from_fn(frame));
        match phase % CYCLE_FRAMES {
            0 => a,
            1 => b,
            2 => c,
            3 => d,
            _ => e,
        }
    }

    pub(crate) fn encode(self, sample: i16) -> u8 {
        match self {
            G711Codec::Pcmu => g711::encode_ulaw(sample),
            G711Codec::Pcma => g711::encode_alaw(sample),
        }
    }

    /// Decodes one sample to linear 16-bit audio.
    pub fn decode(self, byte: u8) -> i16 {
        match self {
            G711Codec::Pcmu => g711::decode_ulaw(byte),
            G711Codec::Pcma => g711::decode_alaw(byte),
        }
    }
}

/// Number of samples that have SSRC and frame index in their lowest bits.
const NAME_BITS: usize = 64;
/// Number of samples after [`NAME_BITS`] that have a checksum of SSRC and frame index in their lowest bits.
const CHECK_BITS: usize = 32;
/// Odd multiplier that spreads SSRC and index over all bits, reversibly.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
/// Inverse multiplier: `SPREAD * UNSPREAD = 1` modulo 2⁶⁴.
const UNSPREAD: u64 = 0xf1de_83e1_9937_733d;

/// Sent stream of marked frames of the tone.
#[derive(Debug, Clone)]
pub struct MarkedVoice {
    ssrc: u32,
    codec: G711Codec,
}

impl MarkedVoice {
    /// Creates the voice with this SSRC.
    pub fn new(ssrc: u32, codec: G711Codec) -> MarkedVoice {
        MarkedVoice { ssrc, codec }
    }

    /// Returns the SSRC of the voice.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Returns the codec of the voice.
    pub fn codec(&self) -> G711Codec {
        self.codec
    }

    /// Returns the sequence number of frame 0, spread so that many streams soon wrap around.
    pub(crate) fn first_sequence(&self) -> u16 {
        (mix(u64::from(self.ssrc)) & 0xffff) as u16
    }

    /// Returns the timestamp of frame 0.
    pub(crate) fn first_timestamp(&self) -> u32 {
        (mix(u64::from(self.ssrc)) >> 32) as u32
    }

    /// Returns the sequence number of a frame.
    pub fn sequence(&self, index: u32) -> u16 {
        self.first_sequence().wrapping_add((index & 0xffff) as u16)
    }

    /// Returns the RTP timestamp of a frame.
    pub fn timestamp(&self, index: u32) -> u32 {
        self.first_timestamp().wrapping_add(index.wrapping_mul(FRAME_SAMPLES as u32))
    }

    /// Returns the payload of a frame: the tone, with the mark in the lowest bits of 96 samples.
    pub fn payload(&self, index: u32) -> [u8; FRAME_SAMPLES] {
        let mut frame = *self.codec.phase(index as usize);
        let name = (u64::from(self.ssrc) << 32) | u64::from(index);
        let (bits, check) = (name.wrapping_mul(SPREAD), mix(name));
        let (name_part, rest) = frame.split_at_mut(NAME_BITS);
        write_bits(name_part, bits);
        let (check_part, _) = rest.split_at_mut(CHECK_BITS);
        write_bits(check_part, check);
        frame
    }

    /// Returns SSRC and index of the frame with this payload, or `None` if any bit differs from a frame of the tone.
    pub fn identify(codec: G711Codec, payload: &[u8]) -> Option<(u32, u32)> {
        let (named, bare) = payload.split_at_checked(NAME_BITS + CHECK_BITS)?;
        // The unmarked samples determine the phase of the tone.
        let tone = (0..CYCLE_FRAMES).map(|phase| codec.phase(phase)).find(|tone| tone.ends_with(bare))?;
        let heard = named.iter().zip(tone).take(NAME_BITS).enumerate();
        let spread = heard.fold(0u64, |sum, (bit, (heard, tone))| sum | (u64::from((heard ^ tone) & 1) << bit));
        let name = spread.wrapping_mul(UNSPREAD);
        let (ssrc, index) = ((name >> 32) as u32, name as u32);
        (MarkedVoice::new(ssrc, codec).payload(index) == payload).then_some((ssrc, index))
    }

    /// Returns a frame as an RTP packet (RFC 3550 §5.1); the first one has the marker bit (RFC 3551 §4.1).
    pub fn packet(&self, index: u32, payload_number: u8) -> [u8; PACKET_BYTES] {
        self.packed(index, payload_number, &self.payload(index))
    }

    /// Returns a frame as an RTP packet with its part of `audio` instead of the tone, padded with silence.
    pub fn packet_of(&self, index: u32, payload_number: u8, audio: &[i16]) -> [u8; PACKET_BYTES] {
        let start = (index as usize).saturating_mul(FRAME_SAMPLES);
        self.packet_saying(index, payload_number, audio.get(start..).unwrap_or_default())
    }

    /// Returns a frame as an RTP packet with these samples instead of the tone, padded with silence.
    pub(crate) fn packet_saying(&self, index: u32, payload_number: u8, samples: &[i16]) -> [u8; PACKET_BYTES] {
        let sample = |at: usize| samples.get(at).copied().unwrap_or_default();
        self.packed(index, payload_number, &std::array::from_fn(|at| self.codec.encode(sample(at))))
    }

    fn packed(&self, index: u32, payload_number: u8, payload: &[u8; FRAME_SAMPLES]) -> [u8; PACKET_BYTES] {
        let mut packet = [0u8; PACKET_BYTES];
        let marker = if index == 0 { 0x80 } else { 0 };
        let [s0, s1] = self.sequence(index).to_be_bytes();
        let [t0, t1, t2, t3] = self.timestamp(index).to_be_bytes();
        let [r0, r1, r2, r3] = self.ssrc.to_be_bytes();
        let header = [0x80, marker | (payload_number & 0x7f), s0, s1, t0, t1, t2, t3, r0, r1, r2, r3];
        let (head, body) = packet.split_at_mut(RTP_HEADER_BYTES);
        head.copy_from_slice(&header);
        body.copy_from_slice(payload);
        packet
    }
}

/// Flips the lowest bit of a sample for each bit that is set.
fn write_bits(samples: &mut [u8], bits: u64) {
    for (bit, sample) in samples.iter_mut().enumerate() {
        *sample ^= ((bits >> bit) & 1) as u8;
    }
}

/// Finisher of SplitMix64, which spreads a number over 64 bits.
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
        let (a, b) = (MarkedVoice::new(7, G711Codec::Pcmu), MarkedVoice::new(7, G711Codec::Pcmu));
        for index in [0, 1, 4, 5, 70_000] {
            assert_eq!(a.packet(index, 0), b.packet(index, 0));
        }
    }

    #[test]
    fn audio_is_said_frame_by_frame_and_silence_follows() {
        let voice = MarkedVoice::new(7, G711Codec::Pcma);
        let audio: Vec<i16> = (0..200).map(|n| n * 100).collect();
        let said = |index: u32| -> Vec<i16> {
            voice.packet_of(index, 8, &audio)[RTP_HEADER_BYTES..].iter().map(|b| G711Codec::Pcma.decode(*b)).collect()
        };
        let coded = |samples: &[i16]| -> Vec<i16> {
            samples.iter().map(|s| G711Codec::Pcma.decode(G711Codec::Pcma.encode(*s))).collect()
        };
        assert_eq!(said(0), coded(&audio[..160]));
        assert_eq!((&said(1)[..40], &said(1)[40..]), (&coded(&audio[160..])[..], &coded(&[0; 120])[..]));
        assert_eq!(said(u32::MAX), coded(&[0; 160]));
        assert_eq!(voice.packet_of(3, 8, &audio)[..RTP_HEADER_BYTES], voice.packet(3, 8)[..RTP_HEADER_BYTES]);
    }

    #[test]
    fn no_two_frames_are_alike() {
        let voice = MarkedVoice::new(7, G711Codec::Pcma);
        let frames: std::collections::BTreeSet<_> = (0..2000).map(|i| voice.payload(i).to_vec()).collect();
        assert_eq!(frames.len(), 2000);
        assert_ne!(voice.payload(3), MarkedVoice::new(8, G711Codec::Pcma).payload(3));
    }

    #[test]
    fn every_payload_tells_its_name_and_no_wrong_bit_is_overlooked() {
        assert_eq!(SPREAD.wrapping_mul(UNSPREAD), 1);
        for codec in [G711Codec::Pcmu, G711Codec::Pcma] {
            for (ssrc, index) in [(0, 0), (7, 3), (u32::MAX, 70_004), (0x8000_0000, u32::MAX)] {
                let mut payload = MarkedVoice::new(ssrc, codec).payload(index);
                assert_eq!(MarkedVoice::identify(codec, &payload), Some((ssrc, index)));
                for at in 0..FRAME_SAMPLES {
                    for bit in 0..8 {
                        payload[at] ^= 1 << bit;
                        assert_eq!(MarkedVoice::identify(codec, &payload), None, "{at}.{bit}");
                        payload[at] ^= 1 << bit;
                    }
                }
                assert_eq!(MarkedVoice::identify(codec, &payload[1..]), None);
            }
        }
    }

    #[test]
    fn sequence_and_timestamp_wrap() {
        let voice = MarkedVoice::new(1, G711Codec::Pcmu);
        assert_eq!(voice.sequence(65_536), voice.first_sequence());
        assert_eq!(voice.timestamp(2), voice.first_timestamp().wrapping_add(320));
    }
}
