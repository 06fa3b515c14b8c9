//! Opus, as a phone speaks it: its voice is that of G.711, coded once more.

use std::time::Instant;

use trunkgate_media::codec::opus::{CLOCK_HZ, Decoder, Encoder, Wanted};
use trunkgate_media::rtp::Rtp;

use crate::call::Speech;
use crate::ear::Ear;
use crate::tone::{Codec, FRAME_SAMPLES, SAMPLE_RATE};

/// Room for a packet of a frame, in bytes: far more than it takes.
const PACKET_BYTES: usize = 400;
/// Samples of the longest packet that there is.
const LONGEST: usize = 120 * SAMPLE_RATE as usize / 1000;

/// What a phone speaks in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spoken {
    G711(Codec),
    Opus,
}

impl Spoken {
    /// By rtpmap name.
    pub(crate) fn of_name(name: &str) -> Option<Spoken> {
        if name.eq_ignore_ascii_case("opus") { Some(Spoken::Opus) } else { Codec::of_name(name).map(Spoken::G711) }
    }
    /// What its voice is made of.
    pub(crate) fn voice(self) -> Codec {
        match self {
            Spoken::G711(codec) => codec,
            Spoken::Opus => Codec::Pcmu,
        }
    }
}

/// One call's coder.
#[derive(Debug)]
pub(crate) struct Coded {
    encoder: Encoder,
    decoder: Decoder,
}

impl Coded {
    pub(crate) fn new() -> Option<Coded> {
        Some(Coded { encoder: Encoder::new(SAMPLE_RATE, Wanted::default())?, decoder: Decoder::new(SAMPLE_RATE)? })
    }
    /// A packet of a voice as it leaves.
    pub(crate) fn code(&mut self, voice: Codec, packet: &[u8]) -> Option<Vec<u8>> {
        let rtp = Rtp::parse(packet).ok()?;
        let mut samples = [0; FRAME_SAMPLES];
        for (sample, byte) in samples.iter_mut().zip(packet.get(rtp.payload.clone())?) {
            *sample = voice.decode(*byte);
        }
        let mut payload = [0; PACKET_BYTES];
        let length = self.encoder.encode(&samples, &mut payload);
        let timestamp = rtp.timestamp.wrapping_mul(CLOCK_HZ / SAMPLE_RATE);
        let mut bytes = Vec::with_capacity(PACKET_BYTES);
        Rtp { timestamp, ..rtp }.build(payload.get(..length)?, &mut bytes);
        Some(bytes)
    }
    /// The samples of a packet that was heard; none where it is damaged.
    pub(crate) fn decode(&mut self, payload: &[u8]) -> Vec<i16> {
        let mut samples = vec![0; LONGEST];
        let count = self.decoder.decode(payload, &mut samples).unwrap_or(0);
        samples.truncate(count);
        samples
    }
}

/// Hears audio that was converted on its way.
pub(crate) fn listen(speech: &mut Speech, ear: &mut Ear, now: Instant, packet: &[u8]) {
    let Ok(rtp) = Rtp::parse(packet) else { return };
    let payload = packet.get(rtp.payload.clone()).unwrap_or_default();
    let samples = match (&mut speech.coded, Codec::of_payload(rtp.payload_type)) {
        (_, Some(codec)) => payload.iter().map(|byte| codec.decode(*byte)).collect(),
        (Some(coded), None) if rtp.payload_type == speech.payload => coded.decode(payload),
        (Some(_) | None, None) => return,
    };
    ear.hear(now, rtp.sequence, &samples);
}
