//! Codecs of phones: payload types and SDP, encoding and decoding of packets.

use std::f64::consts::TAU;

use trunkgate_media::codec::opus::OpusPreferences;
use trunkgate_media::codec::{g711, g722, opus};
use trunkgate_media::rtp::RtpHeader;

use super::calls::Phone;

/// Codec with its payload type, its clock ticks for 20 ms, and its name in SDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    Pcmu,
    Pcma,
    G722,
    Opus,
}

impl Codec {
    pub(crate) fn number(self) -> u8 {
        match self {
            Codec::Pcmu => 0,
            Codec::Pcma => 8,
            Codec::G722 => 9,
            Codec::Opus => 107,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Codec::Pcmu => "PCMU",
            Codec::Pcma => "PCMA",
            Codec::G722 => "G722",
            Codec::Opus => "opus",
        }
    }

    pub(crate) fn ticks(self) -> u32 {
        if self == Codec::Opus { 960 } else { 160 }
    }

    /// Returns the sample rate that [`Speaker`] accepts and [`Hearer`] produces.
    pub(crate) fn rate_hz(self) -> u32 {
        if self == Codec::G722 { 16_000 } else { 8000 }
    }

    /// Returns a phone's SDP with only this codec, and telephone-event; `fec`: whether to request Opus FEC.
    pub(crate) fn described(self, phone: &Phone, version: u32, fec: bool) -> String {
        let map = match self {
            Codec::Opus => format!("a=rtpmap:107 opus/48000/2\r\na=fmtp:107 useinbandfec={}\r\n", u8::from(fec)),
            Codec::Pcmu | Codec::Pcma | Codec::G722 => String::new(),
        };
        let (port, number) = (phone.rtp_address().port(), self.number());
        let events = "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n";
        phone.described(version, &format!("m=audio {port} RTP/AVP {number} 101\r\n{map}{events}"))
    }

    pub(crate) fn sdp(self, phone: &Phone) -> String {
        self.described(phone, 1, true)
    }

    /// Returns packet number `n` of a stream that starts at 0, with 20 ms of audio.
    pub(crate) fn packet(self, n: usize, payload_type: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let timestamp = n as u32 * self.ticks();
        let rtp = RtpHeader { marker: n == 0, payload_type, sequence: n as u16, timestamp, ssrc: 77, payload: 0..0 };
        rtp.build(payload, &mut bytes);
        bytes
    }
}

/// Returns `count` samples of a 500 Hz tone, from sample `from` on.
pub(crate) fn tone(codec: Codec, from: usize, count: usize) -> Vec<i16> {
    let angle = |n: usize| TAU * 500.0 * n as f64 / f64::from(codec.rate_hz());
    (from..from + count).map(|n| (8000.0 * angle(n).sin()) as i16).collect()
}

/// Encoder from samples to payloads.
pub(crate) struct Speaker {
    codec: Codec,
    g722: g722::G722Encoder,
    opus: opus::OpusEncoder,
}

impl Speaker {
    pub(crate) fn new(codec: Codec, fec: bool) -> Speaker {
        let opus = opus::OpusEncoder::new(8000, OpusPreferences { fec, ..OpusPreferences::default() }).unwrap();
        Speaker { codec, g722: g722::G722Encoder::new(), opus }
    }

    /// Encodes a frame of 20 ms.
    pub(crate) fn say(&mut self, frame: &[i16]) -> Vec<u8> {
        match self.codec {
            Codec::Pcmu => frame.iter().map(|sample| g711::encode_ulaw(*sample)).collect(),
            Codec::Pcma => frame.iter().map(|sample| g711::encode_alaw(*sample)).collect(),
            Codec::G722 => frame.as_chunks::<2>().0.iter().map(|[a, b]| self.g722.encode(*a, *b)).collect(),
            Codec::Opus => {
                let mut packet = vec![0; 1000];
                let bytes = self.opus.encode(frame, &mut packet);
                packet.truncate(bytes);
                packet
            }
        }
    }
}

/// Decoder from payloads to samples.
pub(crate) struct Hearer {
    codec: Codec,
    g722: g722::G722Decoder,
    opus: opus::OpusDecoder,
}

impl Hearer {
    pub(crate) fn new(codec: Codec) -> Hearer {
        Hearer { codec, g722: g722::G722Decoder::new(), opus: opus::OpusDecoder::new(8000).unwrap() }
    }

    pub(crate) fn hear(&mut self, payload: &[u8]) -> Vec<i16> {
        match self.codec {
            Codec::Pcmu => payload.iter().map(|code| g711::decode_ulaw(*code)).collect(),
            Codec::Pcma => payload.iter().map(|code| g711::decode_alaw(*code)).collect(),
            Codec::G722 => payload.iter().flat_map(|code| self.g722.decode(*code)).collect(),
            Codec::Opus => {
                let mut samples = vec![0; 960];
                let count = self.opus.decode(payload, &mut samples).unwrap();
                samples.truncate(count);
                samples
            }
        }
    }

    /// Returns audio in place of this many packets lost before `next`, by Opus FEC or concealment.
    pub(crate) fn conceal(&mut self, next: &[u8], lost: usize) -> Vec<i16> {
        let mut samples = vec![0; 160 * lost];
        assert_eq!(self.opus.conceal(next, 160, &mut samples), samples.len());
        samples
    }
}
