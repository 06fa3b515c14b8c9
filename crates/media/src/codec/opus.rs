//! Opus (RFC 6716) as RTP carries it (RFC 7587), one channel: what a far side's parameters say of it, and the library
//! behind it.

use ropus::{Application, Bandwidth, Bitrate, Channels, DecodeMode, Decoder as RopusDecoder, Encoder as RopusEncoder};
use ropus::{InbandFec, Signal};

/// Its RTP clock, in Hz, whatever it is decoded at.
pub const CLOCK_HZ: u32 = 48_000;
/// The longest packet, in milliseconds (RFC 6716 §2.1.4).
pub const LONGEST_MS: usize = 120;
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

/// Samples to packets.
pub struct Encoder {
    inner: RopusEncoder,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("rate_hz", &self.inner.sample_rate()).finish_non_exhaustive()
    }
}

impl Encoder {
    /// Of samples at 8000, 16,000 or 48,000 Hz; `None` for another rate.
    pub fn new(rate_hz: u32, wanted: Wanted) -> Option<Encoder> {
        let bandwidth = match wanted.max_rate_hz {
            ..=8000 => Bandwidth::Narrowband,
            8001..=12_000 => Bandwidth::Mediumband,
            12_001..=16_000 => Bandwidth::Wideband,
            16_001..=24_000 => Bandwidth::Superwideband,
            24_001.. => Bandwidth::Fullband,
        };
        let speech = if rate_hz <= 8000 { NARROW_BIT_RATE } else { WIDE_BIT_RATE };
        let ours = if wanted.fec { speech + FEC_BIT_RATE } else { speech };
        let most = if wanted.max_bit_rate == 0 { ours } else { wanted.max_bit_rate };
        let inner = RopusEncoder::builder(rate_hz, Channels::Mono, Application::Voip)
            .bitrate(Bitrate::Bits(most.clamp(LOWEST_BIT_RATE, ours)))
            .complexity(COMPLEXITY)
            .signal(Signal::Voice)
            .max_bandwidth(bandwidth)
            .inband_fec(if wanted.fec { InbandFec::Enabled } else { InbandFec::Disabled })
            .packet_loss_perc(if wanted.fec { LOSS_PERCENT } else { 0 })
            .dtx(wanted.dtx)
            .build()
            .ok()?;
        Some(Encoder { inner })
    }
    /// A frame of 10, 20, 40 or 60 ms; how many bytes it has, 0 where nothing need be sent.
    pub fn encode(&mut self, samples: &[i16], packet: &mut [u8]) -> usize {
        let bytes = self.inner.encode(samples, packet).unwrap_or(0);
        if bytes <= SILENT_BYTES { 0 } else { bytes }
    }
}

/// Packets to samples.
pub struct Decoder {
    inner: RopusDecoder,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").field("rate_hz", &self.inner.sample_rate()).finish_non_exhaustive()
    }
}

impl Decoder {
    /// To samples at 8000, 16,000 or 48,000 Hz; `None` for another rate.
    pub fn new(rate_hz: u32) -> Option<Decoder> {
        Some(Decoder { inner: RopusDecoder::new(rate_hz, Channels::Mono).ok()? })
    }
    /// A packet; how many samples it has, `None` where it is damaged.
    pub fn decode(&mut self, packet: &[u8], samples: &mut [i16]) -> Option<usize> {
        // The library would take an empty one for one that was lost.
        let packet = Some(packet).filter(|packet| !packet.is_empty())?;
        self.inner.decode(packet, samples, DecodeMode::Normal).ok()
    }
    /// What was lost before `next`, its last frame out of that packet where it holds it; how many of the samples were made.
    /// `frame`: the samples of a packet, as it seems.
    pub fn conceal(&mut self, next: &[u8], frame: usize, samples: &mut [i16]) -> usize {
        let (mut made, lost) = (0, samples.len());
        while frame > 0 && made + frame <= lost {
            let is_last = made + 2 * frame > lost;
            let (packet, mode) = if is_last { (next, DecodeMode::Fec) } else { (&[][..], DecodeMode::Normal) };
            let Some(room) = samples.get_mut(made..made + frame) else { break };
            if !self.inner.decode(packet, room, mode).is_ok_and(|count| count == frame) {
                break;
            }
            made += frame;
        }
        made
    }
}
