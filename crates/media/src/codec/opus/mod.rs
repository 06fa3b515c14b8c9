//! Opus (RFC 6716) over RTP (RFC 7587), mono: the format parameters of a remote party and the library, [`ropus`], or
//! libopus with the feature of that name.

#[cfg(feature = "libopus")]
pub mod libopus;
pub mod ropus;

#[cfg(feature = "libopus")]
use libopus as library;
#[cfg(not(feature = "libopus"))]
use ropus as library;

/// RTP clock rate of Opus, in Hz, for every sampling rate.
pub const CLOCK_HZ: u32 = 48_000;
/// Bit rates for clear speech of 4 kHz and of wider bandwidth, in bits per second; the remote party may set a lower
/// one.
const NARROW_BIT_RATE: u32 = 24_000;
const WIDE_BIT_RATE: u32 = 32_000;
/// Additional bit rate for FEC, in bits per second.
const FEC_BIT_RATE: u32 = 8000;
/// Lowest bit rate that a remote party may set (RFC 7587 §6.1) with intelligible speech.
const LOWEST_BIT_RATE: u32 = 6000;
/// Complexity, 0 to 10: takes half the CPU time of 10, with hardly any difference for narrow-band speech.
const COMPLEXITY: u8 = 5;
/// Packet loss for which FEC is tuned, in per cent.
const LOSS_PERCENT: u8 = 10;
/// Largest size of a packet that signals silence, in bytes (RFC 7587 §3.1.3).
const SILENT_BYTES: usize = 2;

/// Preferences of an Opus receiver from its format parameters (RFC 7587 §6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct OpusPreferences {
    /// `maxplaybackrate`: highest sampling rate that the receiver plays, in Hz.
    pub max_rate_hz: u32,
    /// `maxaveragebitrate`: highest bit rate to the receiver, in bits per second; 0 if absent.
    pub max_bit_rate: u32,
    /// `useinbandfec`: the receiver decodes in-band forward error correction.
    pub fec: bool,
    /// `usedtx`: the receiver prefers that silence is not sent.
    pub dtx: bool,
}

impl Default for OpusPreferences {
    fn default() -> Self {
        OpusPreferences { max_rate_hz: CLOCK_HZ, max_bit_rate: 0, fec: false, dtx: false }
    }
}

/// Audio bandwidth to which an encoder is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpusBandwidth {
    /// Narrowband: audio up to 4 kHz.
    Narrow,
    /// Medium band: audio up to 6 kHz.
    Medium,
    /// Wideband: audio up to 8 kHz.
    Wide,
    /// Super-wideband: audio up to 12 kHz.
    SuperWide,
    /// Full band: audio up to 20 kHz.
    Full,
}

/// Settings of the library's encoder. Speech mode, one channel and a variable bit rate are fixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpusSettings {
    /// Sampling rate: 8000, 16,000 or 48,000 Hz.
    pub rate_hz: u32,
    /// Bit rate of the encoder, in bits per second.
    pub bit_rate: u32,
    /// Computational complexity of the encoder, 0 to 10.
    pub complexity: u8,
    /// Maximum audio bandwidth of the encoder.
    pub band: OpusBandwidth,
    /// Expected packet loss for FEC, in per cent; 0 turns FEC off.
    pub fec_percent: u8,
    /// Whether the encoder may omit packets of silence (DTX).
    pub dtx: bool,
}

impl OpusSettings {
    /// Creates settings for samples at `rate_hz` and a receiver with these preferences.
    pub fn new(rate_hz: u32, wanted: OpusPreferences) -> OpusSettings {
        let band = match wanted.max_rate_hz {
            ..=8000 => OpusBandwidth::Narrow,
            8001..=12_000 => OpusBandwidth::Medium,
            12_001..=16_000 => OpusBandwidth::Wide,
            16_001..=24_000 => OpusBandwidth::SuperWide,
            24_001.. => OpusBandwidth::Full,
        };
        let speech = if rate_hz <= 8000 { NARROW_BIT_RATE } else { WIDE_BIT_RATE };
        let ours = if wanted.fec { speech + FEC_BIT_RATE } else { speech };
        let most = if wanted.max_bit_rate == 0 { ours } else { wanted.max_bit_rate };
        OpusSettings {
            rate_hz,
            bit_rate: most.clamp(LOWEST_BIT_RATE, ours),
            complexity: COMPLEXITY,
            band,
            fec_percent: if wanted.fec { LOSS_PERCENT } else { 0 },
            dtx: wanted.dtx,
        }
    }
}

/// Opus encoder from samples to packets.
#[derive(Debug)]
pub struct OpusEncoder {
    inner: library::Encoder,
    fec: bool,
    tone: bool,
}

impl OpusEncoder {
    /// Creates an encoder of samples at 8000, 16,000 or 48,000 Hz; `None` for another rate.
    pub fn new(rate_hz: u32, wanted: OpusPreferences) -> Option<OpusEncoder> {
        let settings = OpusSettings::new(rate_hz, wanted);
        Some(OpusEncoder { inner: library::Encoder::new(settings)?, fec: settings.fec_percent > 0, tone: false })
    }

    /// Sets whether the next samples are a DTMF tone. FEC is off during a tone, because it would take bits from the
    /// tone and lower its level by 0.7 dB.
    pub(crate) fn set_tone(&mut self, tone: bool) {
        if self.fec && self.tone != tone {
            self.inner.set_fec(!tone);
        }
        self.tone = tone;
    }

    /// Encodes a frame of 10, 20, 40 or 60 ms and returns the number of bytes; 0 if the frame need not be sent (DTX).
    pub fn encode(&mut self, samples: &[i16], packet: &mut [u8]) -> usize {
        let bytes = self.inner.encode(samples, packet).unwrap_or(0);
        if bytes <= SILENT_BYTES { 0 } else { bytes }
    }
}

/// Opus decoder from packets to samples.
#[derive(Debug)]
pub struct OpusDecoder {
    inner: library::Decoder,
}

impl OpusDecoder {
    /// Creates a decoder to samples at 8000, 16,000 or 48,000 Hz; `None` for another rate.
    pub fn new(rate_hz: u32) -> Option<OpusDecoder> {
        Some(OpusDecoder { inner: library::Decoder::new(rate_hz)? })
    }

    /// Decodes a packet and returns the number of samples; `None` if the packet is damaged.
    pub fn decode(&mut self, packet: &[u8], samples: &mut [i16]) -> Option<usize> {
        // The library would treat an empty packet as a lost one.
        let packet = Some(packet).filter(|packet| !packet.is_empty())?;
        self.inner.decode(packet, samples, false)
    }

    /// Conceals samples lost before the packet `next` and returns the number of samples made; the last lost frame comes
    /// from the FEC data of `next` if present. `frame` is the assumed number of samples per packet.
    pub fn conceal(&mut self, next: &[u8], frame: usize, samples: &mut [i16]) -> usize {
        let (mut made, lost) = (0, samples.len());
        while frame > 0 && made + frame <= lost {
            let is_last = made + 2 * frame > lost;
            let packet = if is_last { next } else { &[][..] };
            let Some(room) = samples.get_mut(made..made + frame) else { break };
            if self.inner.decode(packet, room, is_last) != Some(frame) {
                break;
            }
            made += frame;
        }
        made
    }
}
