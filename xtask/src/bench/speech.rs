//! Speech for sessions without a common codec: sentences of a synthesizer, which are encoded before the run and decoded
//! and analysed after it.

use std::process::Command;

use anyhow::{Context as _, bail};
use trunkgate_media::codec::g711::{decode_alaw, decode_ulaw, encode_alaw, encode_ulaw};
use trunkgate_media::codec::opus::{OpusDecoder, OpusEncoder, OpusPreferences};
use trunkgate_media::resample::FileResampler;

use crate::interop::raw::Text;

/// Text of the speech: lists 1 and 2 of IEEE 297 ("Harvard sentences"), 27 s.
const TEXT: &str = "The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background. \
    It's easy to tell the depth of a well. These days a chicken leg is a rare dish. Rice is often served in round bowls. \
    The juice of lemons makes fine punch. The box was thrown beside the parked truck. The hogs were fed chopped corn and \
    garbage. Four hours of steady work faced us. A large size in stockings is hard to sell.";
/// Sample rate of a side with Opus: wide-band, as is usual.
const WIDE_HZ: u32 = 16_000;
/// Packets per second in a stream.
const PACKETS: usize = 50;
/// Number of input samples on each side that [`at_16_khz`] uses for an output sample.
const REACH: isize = 24;
/// Maximum distance, in packets, between a received packet and the one sent at the time of its arrival.
const FAR_OFF: usize = 10;
/// Minimum similarity of the packets' loudness, and maximum difference of the total loudness in dB, at which two
/// streams count as the same speech: rtpengine converts mono to two channels for Opus, each 3 dB softer.
const LEAST_ALIKE: f64 = 0.85;
const MOST_DB: f64 = 4.0;

/// Codec of one side of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    Pcmu,
    Pcma,
    Opus,
}

impl Codec {
    /// Returns the codec's name in `a=rtpmap`.
    pub(crate) fn rtpmap(self) -> &'static str {
        match self {
            Codec::Pcmu => "PCMU/8000",
            Codec::Pcma => "PCMA/8000",
            Codec::Opus => "opus/48000/2",
        }
    }

    /// Returns the codec's name in the configurations of the edge and of rtpengine.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Codec::Pcmu => "PCMU",
            Codec::Pcma => "PCMA",
            Codec::Opus => "opus",
        }
    }

    /// Returns the payload type of the codec in an offer.
    pub(crate) fn number_in(self, offer: &Text) -> anyhow::Result<u8> {
        let number = |line: &str| {
            let (number, name) = line.strip_prefix("a=rtpmap:")?.split_once(' ')?;
            name.trim().eq_ignore_ascii_case(self.rtpmap()).then(|| number.parse().ok())?
        };
        // Static payload types need no `a=rtpmap` line (RFC 3551 §6).
        let fixed = match self {
            Codec::Pcmu => Some(0),
            Codec::Pcma => Some(8),
            Codec::Opus => None,
        };
        fixed.or_else(|| offer.0.lines().find_map(number)).with_context(|| format!("no {} in the offer", self.rtpmap()))
    }

    /// Returns the RTP clock ticks for each packet.
    pub(crate) fn ticks(self) -> u32 {
        match self {
            Codec::Pcmu | Codec::Pcma => 160,
            Codec::Opus => 960,
        }
    }
}

/// Sentences that every side sends repeatedly.
#[derive(Debug)]
pub(crate) struct Speech {
    /// Frames of 20 ms of the speech at 8 kHz.
    frames: Vec<Vec<i16>>,
    opus: Vec<Vec<u8>>,
}

impl Speech {
    /// Synthesizes the sentences.
    pub(crate) fn new() -> anyhow::Result<Speech> {
        let output = Command::new("espeak-ng").args(["--stdout", TEXT]).output().context("espeak-ng")?;
        // The WAV file has one 16-bit channel after a header of 44 bytes.
        let (header, data) = output.stdout.split_at_checked(44).context("espeak-ng said nothing")?;
        let rate = header.get(24..28).and_then(|bytes| Some(u32::from_le_bytes(bytes.try_into().ok()?)));
        let samples: Vec<i16> = data.as_chunks::<2>().0.iter().map(|bytes| i16::from_le_bytes(*bytes)).collect();
        let wide = at_16_khz(&samples, rate.context("no sample rate")?);
        let mut narrow = Vec::new();
        let mut down = FileResampler::new(WIDE_HZ).context("16 kHz")?;
        down.push(&wide.iter().map(|sample| f32::from(*sample) / 32_768.0).collect::<Vec<_>>(), &mut narrow);
        down.finish(&mut narrow);
        let mut encoder = OpusEncoder::new(WIDE_HZ, OpusPreferences::default()).context("no Opus encoder")?;
        let coded = |frame: &[i16]| {
            let mut packet = vec![0; 1500];
            let bytes = encoder.encode(frame, &mut packet);
            packet.truncate(bytes);
            packet
        };
        let opus: Vec<_> = wide.chunks_exact(WIDE_HZ as usize / PACKETS).map(coded).collect();
        let frames: Vec<_> = narrow.chunks_exact(8000 / PACKETS).map(<[i16]>::to_vec).collect();
        if opus.len() != frames.len() || opus.len() < 10 * PACKETS || opus.iter().any(Vec::is_empty) {
            bail!("the speech is cut short: {} packets of Opus, {} of G.711", opus.len(), frames.len());
        }
        Ok(Speech { frames, opus })
    }

    /// Returns the payloads of the whole speech in a codec.
    pub(crate) fn payloads(&self, codec: Codec) -> Vec<Vec<u8>> {
        let each = |encode: fn(i16) -> u8| {
            let frames = self.frames.iter();
            frames.map(|frame| frame.iter().map(|sample| encode(*sample)).collect()).collect()
        };
        match codec {
            Codec::Pcmu => each(encode_ulaw),
            Codec::Pcma => each(encode_alaw),
            Codec::Opus => self.opus.clone(),
        }
    }

    /// Returns the loudness of each packet of a stream that began with packet `first`.
    fn said(&self, first: usize, packets: usize) -> Vec<f64> {
        self.frames.iter().cycle().skip(first % self.frames.len()).take(packets).map(|frame| loudness(frame)).collect()
    }
}

fn at_16_khz(samples: &[i16], rate_hz: u32) -> Vec<i16> {
    let (rate, cut) = (f64::from(rate_hz), 0.95 * f64::from(WIDE_HZ.min(rate_hz)) / f64::from(rate_hz));
    let outputs = samples.len() as u64 * u64::from(WIDE_HZ) / u64::from(rate_hz);
    let output = |n: u64| {
        let place = n as f64 * rate / f64::from(WIDE_HZ);
        let sum: f64 = (-REACH + 1..=REACH)
            .filter_map(|tap| {
                let at = place as isize + tap;
                let sample = samples.get(usize::try_from(at).ok()?)?;
                let distance = place - at as f64;
                let angle = std::f64::consts::PI * distance;
                let sinc = if angle.abs() < 1e-9 { cut } else { (cut * angle).sin() / angle };
                let window = (angle / (2.0 * REACH as f64)).cos().powi(2);
                Some(f64::from(*sample) * sinc * window)
            })
            .sum();
        sum.clamp(-32_768.0, 32_767.0) as i16
    };
    (0..outputs).map(output).collect()
}

fn loudness(samples: &[i16]) -> f64 {
    (samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / samples.len().max(1) as f64).sqrt()
}

/// Packet that a side received.
#[derive(Debug)]
pub(crate) struct Heard {
    /// Arrival time of the packet in ns since the start.
    pub(crate) at: u64,
    /// RTP timestamp of the packet.
    pub(crate) timestamp: u32,
    /// Payload of the packet in the codec.
    pub(crate) payload: Vec<u8>,
}

/// Returns the sent packet to which each received one corresponds by content; `None` for a packet before the first. A
/// device renumbers transcoded packets, may begin late, and may leave gaps in time.
///
/// # Errors
/// Returns an error if the packets cannot be decoded or contain other speech.
pub(crate) fn places(
    heard: &[Heard],
    codec: Codec,
    speech: &Speech,
    first: usize,
) -> anyhow::Result<Vec<Option<usize>>> {
    let Some(begin) = heard.first().map(|packet| packet.timestamp) else { bail!("nothing came") };
    let mut opus = OpusDecoder::new(8000).context("no Opus decoder")?;
    let mut came = Vec::with_capacity(heard.len());
    for packet in heard {
        let mut samples = vec![0; 960];
        let count = match codec {
            Codec::Pcmu => each(&packet.payload, &mut samples, decode_ulaw),
            Codec::Pcma => each(&packet.payload, &mut samples, decode_alaw),
            Codec::Opus => opus.decode(&packet.payload, &mut samples).unwrap_or(0),
        };
        if count != 160 {
            bail!("{} bytes of {} are {count} samples instead of 160", packet.payload.len(), codec.name());
        }
        let ticks = packet.timestamp.wrapping_sub(begin);
        let at = usize::try_from(ticks / codec.ticks())?;
        if at > 2 * heard.len() + FAR_OFF {
            bail!("a timestamp jumped by {ticks}");
        }
        came.push((at, loudness(samples.get(..count).unwrap_or_default())));
    }
    let said = speech.said(first, came.iter().map(|(at, _)| at + 1).max().unwrap_or(0) + FAR_OFF);
    let place = |at: usize, shift: usize| (at + shift).checked_sub(FAR_OFF);
    let alike = |shift: usize| {
        let pairs = came.iter().filter_map(|(at, came)| Some((*came, *said.get(place(*at, shift)?)?)));
        let (mut product, mut one, mut other) = (0.0, 1e-9, 1e-9);
        for (came, said) in pairs {
            product += came * said;
            one += came * came;
            other += said * said;
        }
        (product / f64::sqrt(one * other), 10.0 * f64::log10(one / other))
    };
    let best = (0..2 * FAR_OFF).max_by(|one, other| alike(*one).0.total_cmp(&alike(*other).0)).unwrap_or(0);
    let (likeness, db) = alike(best);
    if likeness < LEAST_ALIKE || db.abs() > MOST_DB {
        bail!("what came as {} is not what was said: likeness {likeness:.2}, {db:.1} dB louder", codec.name());
    }
    Ok(came.into_iter().map(|(at, _)| place(at, best)).collect())
}

fn each(payload: &[u8], samples: &mut [i16], decode: impl Fn(u8) -> i16) -> usize {
    samples.iter_mut().zip(payload).map(|(to, code)| *to = decode(*code)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speech() -> Speech {
        let frame = |n: u32| {
            let loud = ((n / 5).wrapping_mul(0x9e37_79b9) >> 29) as i16;
            (0..160).map(|at| ((at * 400) % 8000 - 4000) as i16 / 8 * loud).collect()
        };
        let frames: Vec<Vec<i16>> = (0..500).map(frame).collect();
        let mut encoder = OpusEncoder::new(8000, OpusPreferences::default()).unwrap();
        let coded = |frame: &Vec<i16>| {
            let mut packet = vec![0; 1500];
            let bytes = encoder.encode(frame, &mut packet);
            packet.truncate(bytes);
            packet
        };
        let opus = frames.iter().map(coded).collect();
        Speech { frames, opus }
    }

    fn stream(speech: &Speech, codec: Codec, skip: usize) -> Vec<Heard> {
        let packets = speech.payloads(codec).into_iter().skip(skip).take(100).enumerate();
        let timestamp = |n: usize| 0xffff_ff00_u32.wrapping_add(n as u32 * codec.ticks());
        packets.map(|(n, payload)| Heard { at: 0, timestamp: timestamp(n), payload }).collect()
    }

    #[test]
    fn a_packet_is_known_by_what_is_heard_in_it() {
        let speech = speech();
        for codec in [Codec::Pcmu, Codec::Pcma, Codec::Opus] {
            for late in [0, 1, 3] {
                let mut heard = stream(&speech, codec, 40 + late);
                heard.remove(10);
                let places = places(&heard, codec, &speech, 40).unwrap();
                let expected = [0, 9, 11].map(|at| Some(late + at));
                assert_eq!([places[0], places[9], places[10]], expected, "{codec:?}");
            }
            let mut heard = stream(&speech, codec, 39);
            heard.iter_mut().skip(1).for_each(|packet| packet.timestamp = packet.timestamp.wrapping_add(codec.ticks()));
            let places = places(&heard, codec, &speech, 40).unwrap();
            assert_eq!(places[..3], [None, Some(0), Some(1)], "{codec:?}");
        }
    }

    #[test]
    fn what_is_not_the_codec_or_not_the_speech_is_refused() {
        let speech = speech();
        assert!(places(&[], Codec::Pcmu, &speech, 0).is_err());
        assert!(places(&stream(&speech, Codec::Pcmu, 0), Codec::Pcma, &speech, 0).is_err());
        assert!(places(&stream(&speech, Codec::Pcmu, 0), Codec::Opus, &speech, 0).is_err());
        assert!(places(&stream(&speech, Codec::Opus, 0), Codec::Pcmu, &speech, 0).is_err());
        let mut silent = stream(&speech, Codec::Pcmu, 0);
        silent.iter_mut().for_each(|packet| packet.payload.fill(0xff));
        assert!(places(&silent, Codec::Pcmu, &speech, 0).is_err());
    }
}
