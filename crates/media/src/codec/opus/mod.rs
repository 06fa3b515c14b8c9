//! Opus (RFC 6716) as RTP carries it (RFC 7587), one channel: what a far side's parameters say of it, and the library
//! behind it: [`ropus`], or libopus where the feature of this name is on.

#[cfg(feature = "libopus")]
pub mod libopus;
pub mod ropus;

#[cfg(feature = "libopus")]
use libopus as library;
#[cfg(not(feature = "libopus"))]
use ropus as library;

/// Its RTP clock, in Hz, whatever it is decoded at.
pub const CLOCK_HZ: u32 = 48_000;
/// Bits per second where the far side sets no lower limit: clear speech, of 4 kHz and of more.
const NARROW_BIT_RATE: u32 = 24_000;
const WIDE_BIT_RATE: u32 = 32_000;
/// What redundancy takes besides.
const FEC_BIT_RATE: u32 = 8000;
/// The lowest that the far side may set (RFC 7587 §6.1), and speech is still heard.
const LOWEST_BIT_RATE: u32 = 6000;
/// Of 0 to 10: half of the CPU time of 10 for a difference that narrow-band speech hardly shows.
const COMPLEXITY: u8 = 5;
/// The loss, in per cent, that redundancy is made for where it is wanted.
const LOSS_PERCENT: u8 = 10;
/// A packet of up to so many bytes says that nothing is heard (RFC 7587 §3.1.3).
const SILENT_BYTES: usize = 2;

/// What a far side's description says of the Opus that it wants to receive (RFC 7587 §6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Wanted {
    /// `maxplaybackrate`, in Hz.
    pub max_rate_hz: u32,
    /// `maxaveragebitrate`, in bits per second; 0: none is set.
    pub max_bit_rate: u32,
    /// `useinbandfec`.
    pub fec: bool,
    /// `usedtx`.
    pub dtx: bool,
}

impl Default for Wanted {
    fn default() -> Self {
        Wanted { max_rate_hz: CLOCK_HZ, max_bit_rate: 0, fec: false, dtx: false }
    }
}

/// The audio that an encoder keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Band {
    /// Up to 4 kHz.
    Narrow,
    /// Up to 6 kHz.
    Medium,
    /// Up to 8 kHz.
    Wide,
    /// Up to 12 kHz.
    SuperWide,
    /// All.
    Full,
}

/// What a library's encoder is told; that it is speech, on one channel, at a variable bit rate, is told it besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Samples per second: 8000, 16,000 or 48,000.
    pub rate_hz: u32,
    /// Bits per second.
    pub bit_rate: u32,
    /// 0 to 10.
    pub complexity: u8,
    /// At most so much.
    pub band: Band,
    /// Each packet brings the one before in short, for so much loss in per cent; 0: it does not.
    pub fec_percent: u8,
    /// Silence need not be sent.
    pub dtx: bool,
}

impl Settings {
    /// For a far side that wants such packets, of samples at `rate_hz`.
    pub fn new(rate_hz: u32, wanted: Wanted) -> Settings {
        let band = match wanted.max_rate_hz {
            ..=8000 => Band::Narrow,
            8001..=12_000 => Band::Medium,
            12_001..=16_000 => Band::Wide,
            16_001..=24_000 => Band::SuperWide,
            24_001.. => Band::Full,
        };
        let speech = if rate_hz <= 8000 { NARROW_BIT_RATE } else { WIDE_BIT_RATE };
        let ours = if wanted.fec { speech + FEC_BIT_RATE } else { speech };
        let most = if wanted.max_bit_rate == 0 { ours } else { wanted.max_bit_rate };
        Settings {
            rate_hz,
            bit_rate: most.clamp(LOWEST_BIT_RATE, ours),
            complexity: COMPLEXITY,
            band,
            fec_percent: if wanted.fec { LOSS_PERCENT } else { 0 },
            dtx: wanted.dtx,
        }
    }
}

/// Samples to packets.
#[derive(Debug)]
pub struct Encoder {
    inner: library::Encoder,
    fec: bool,
    tone: bool,
}

impl Encoder {
    /// Of samples at 8000, 16,000 or 48,000 Hz; `None` for another rate.
    pub fn new(rate_hz: u32, wanted: Wanted) -> Option<Encoder> {
        let settings = Settings::new(rate_hz, wanted);
        Some(Encoder { inner: library::Encoder::new(settings)?, fec: settings.fec_percent > 0, tone: false })
    }

    /// Whether what follows is a key's tone. That has no redundancy: it would be 0.7 dB too soft for want of the bits.
    pub(crate) fn set_tone(&mut self, tone: bool) {
        if self.fec && self.tone != tone {
            self.inner.set_fec(!tone);
        }
        self.tone = tone;
    }

    /// A frame of 10, 20, 40 or 60 ms; how many bytes it has, 0 where nothing need be sent.
    pub fn encode(&mut self, samples: &[i16], packet: &mut [u8]) -> usize {
        let bytes = self.inner.encode(samples, packet).unwrap_or(0);
        if bytes <= SILENT_BYTES { 0 } else { bytes }
    }
}

/// Packets to samples.
#[derive(Debug)]
pub struct Decoder {
    inner: library::Decoder,
}

impl Decoder {
    /// To samples at 8000, 16,000 or 48,000 Hz; `None` for another rate.
    pub fn new(rate_hz: u32) -> Option<Decoder> {
        Some(Decoder { inner: library::Decoder::new(rate_hz)? })
    }

    /// A packet; how many samples it has, `None` where it is damaged.
    pub fn decode(&mut self, packet: &[u8], samples: &mut [i16]) -> Option<usize> {
        // The library would take an empty one for one that was lost.
        let packet = Some(packet).filter(|packet| !packet.is_empty())?;
        self.inner.decode(packet, samples, false)
    }

    /// What was lost before `next`, its last frame out of that packet where it holds it; how many of the samples were made.
    /// `frame`: the samples of a packet, as it seems.
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
