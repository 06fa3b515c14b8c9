//! Interoperability of the two Opus libraries (`--features libopus`), with libopus as the reference for ropus.

#![cfg(feature = "libopus")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may unwrap")]

use std::f64::consts::TAU;

use proptest::prelude::*;
use trunkgate_media::codec::opus::{OpusEncoder, OpusPreferences, OpusSettings, libopus, ropus};

const RATES: [u32; 3] = [8000, 16_000, 48_000];

/// Generates voice-like audio: harmonics of a moving pitch with hiss and changing volume.
fn voice(rate_hz: u32, ms: u32) -> Vec<i16> {
    let (mut phase, mut hiss) = (0.0, 1_u32);
    let rate = f64::from(rate_hz);
    let sample = |n: u32| {
        let t = f64::from(n) / rate;
        phase += (120.0 + 40.0 * (TAU * 1.3 * t).sin()) / rate;
        hiss = hiss.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let loud = 0.3 + 0.7 * (TAU * 3.1 * t).sin().powi(2);
        let harmonics = (1..24).map(|k| (TAU * phase * f64::from(k)).sin() / f64::from(k).sqrt()).sum::<f64>();
        (1800.0 * loud * harmonics + 60.0 * f64::from(hiss >> 16) / 32_768.0) as i16
    };
    (0..ms * rate_hz / 1000).map(sample).collect()
}

fn settings(rate_hz: u32) -> OpusSettings {
    OpusSettings::new(rate_hz, OpusPreferences::default())
}

fn fec(rate_hz: u32) -> OpusSettings {
    OpusSettings::new(rate_hz, OpusPreferences { fec: true, ..OpusPreferences::default() })
}

/// Lists every kind of packet: SILK, hybrid and CELT with their configuration numbers (RFC 6716 §3.1), and with FEC.
fn kinds() -> Vec<(OpusSettings, std::ops::Range<u8>)> {
    vec![
        (settings(8000), 0..4),
        (settings(16_000), 8..12),
        (OpusSettings { bit_rate: 24_000, ..settings(48_000) }, 12..16),
        (OpusSettings { bit_rate: 96_000, ..settings(48_000) }, 16..32),
        (fec(8000), 0..4),
        (fec(16_000), 8..12),
    ]
}

fn packets(
    settings: OpusSettings,
    samples: &[i16],
    mut encode: impl FnMut(&[i16], &mut [u8]) -> Option<usize>,
) -> Vec<Vec<u8>> {
    let packet = |frame: &[i16]| {
        let mut packet = vec![0; 1500];
        let bytes = encode(frame, &mut packet).unwrap();
        packet.truncate(bytes);
        packet
    };
    samples.chunks_exact(settings.rate_hz as usize / 50).map(packet).collect()
}

fn by_libopus(settings: OpusSettings, samples: &[i16]) -> Vec<Vec<u8>> {
    let mut encoder = libopus::Encoder::new(settings).unwrap();
    packets(settings, samples, |frame, packet| encoder.encode(frame, packet))
}

fn by_ropus(settings: OpusSettings, samples: &[i16]) -> Vec<Vec<u8>> {
    // Deliberate fault for `cargo xtask interop --sabotage opus-libopus`: fewer bits than configured.
    let broken = std::env::var_os("TRUNKGATE_SABOTAGE").is_some_and(|what| what == "opus");
    let bit_rate = if broken { settings.bit_rate / 2 } else { settings.bit_rate };
    let mut encoder = ropus::Encoder::new(OpusSettings { bit_rate, ..settings }).unwrap();
    packets(settings, samples, |frame, packet| encoder.encode(frame, packet))
}

/// Decodes the same packets with both libraries; `None` is a lost packet recovered from the next one, an empty one is
/// lost for good.
fn decoded(rate_hz: u32, packets: &[Option<&[u8]>]) -> [Vec<i16>; 2] {
    let mut one = libopus::Decoder::new(rate_hz).unwrap();
    let mut other = ropus::Decoder::new(rate_hz).unwrap();
    let frame = rate_hz as usize / 50;
    let mut out = [Vec::new(), Vec::new()];
    let mut is_lost = false;
    for packet in packets {
        let Some(packet) = packet else {
            is_lost = true;
            continue;
        };
        let before = std::mem::take(&mut is_lost).then_some(true);
        for before in before.into_iter().chain([false]) {
            let mut samples = vec![0; frame];
            assert_eq!(one.decode(packet, &mut samples, before), Some(frame));
            out[0].extend(&samples);
            assert_eq!(other.decode(packet, &mut samples, before), Some(frame));
            out[1].extend(&samples);
        }
    }
    out
}

fn energy(samples: impl Iterator<Item = f64>) -> f64 {
    samples.map(|sample| sample * sample).sum()
}

/// Returns the signal-to-noise ratio in dB, at the delay that maximises it.
fn snr(said: &[i16], heard: &[i16]) -> f64 {
    let at = |delay: usize| {
        let pairs = || heard.iter().skip(delay).zip(said).map(|(heard, said)| (f64::from(*heard), f64::from(*said)));
        10.0 * (energy(pairs().map(|(_, said)| said)) / energy(pairs().map(|(heard, said)| heard - said))).log10()
    };
    // The look-ahead of the encoder is 6.5 ms.
    (0..330).map(at).fold(f64::MIN, f64::max)
}

fn whole(packets: &[Vec<u8>]) -> Vec<Option<&[u8]>> {
    packets.iter().map(|packet| Some(packet.as_slice())).collect()
}

#[test]
fn what_ropus_encodes_is_as_good_as_libopus_own_and_as_long() {
    for (settings, modes) in kinds() {
        let said = voice(settings.rate_hz, 1000);
        let (ours, theirs) = (by_ropus(settings, &said), by_libopus(settings, &said));
        assert!(ours.iter().skip(10).all(|packet| modes.contains(&(packet[0] >> 3))), "{settings:?}");
        let heard = |packets: &[Vec<u8>]| {
            let [by_libopus, by_ropus] = decoded(settings.rate_hz, &whole(packets));
            (snr(&said, &by_libopus), snr(&said, &by_ropus))
        };
        let ((one, other), (own, _)) = (heard(&ours), heard(&theirs));
        eprintln!("{settings:?}: libopus' {own:.2} dB, ropus' {one:.2} dB, by ropus {other:.2} dB");
        assert!(one > own - 0.3 && (one - other).abs() < 0.1, "{settings:?}: {own} {one} {other}");
        let bytes = |packets: &[Vec<u8>]| packets.iter().map(Vec::len).sum::<usize>() as f64;
        let ratio = bytes(&ours) / bytes(&theirs);
        assert!((0.95..1.05).contains(&ratio), "{settings:?}: {ratio}");
    }
}

#[test]
fn ropus_decodes_what_libopus_encodes_to_the_last_bits() {
    for (settings, modes) in kinds() {
        let packets = by_libopus(settings, &voice(settings.rate_hz, 1000));
        assert!(packets.iter().skip(10).all(|packet| modes.contains(&(packet[0] >> 3))), "{settings:?}");
        // The speech coder is specified bit-exactly (RFC 6716 §4.2), the transform is not.
        let most = if modes.end <= 12 { 0 } else { 4 };
        for rate_hz in RATES {
            let [one, other] = decoded(rate_hz, &whole(&packets));
            let differences = one.iter().zip(&other).map(|(a, b)| (i32::from(*a) - i32::from(*b)).abs());
            let difference = differences.max().unwrap();
            eprintln!("{settings:?} at {rate_hz}: {difference}, {:.1} dB", snr(&one, &other));
            assert!(one.len() == other.len() && difference <= most, "{settings:?} at {rate_hz}: {difference}");
        }
    }
}

#[test]
fn rfc7587_redundancy_is_heard_by_both() {
    for rate_hz in [8000, 16_000] {
        let said = voice(rate_hz, 2000);
        let packets = by_libopus(fec(rate_hz), &said);
        let lost = |(n, packet)| if n % 5 == 4 { None } else { Some(packet) };
        let some: Vec<Option<&[u8]>> = packets[..99].iter().map(Vec::as_slice).enumerate().map(lost).collect();
        let with = decoded(rate_hz, &some).map(|heard| snr(&said, &heard));
        // For comparison, without recovery the loss is concealed.
        let without: Vec<_> = some.iter().map(|packet| Some(packet.unwrap_or_default())).collect();
        let without = decoded(rate_hz, &without).map(|heard| snr(&said, &heard));
        eprintln!("redundancy at {rate_hz}, libopus and ropus: {with:.2?} dB, without {without:.2?} dB");
        assert!((with[0] - with[1]).abs() < 0.2, "{rate_hz}: {with:?}");
        assert!(with[0] > without[0] + 1.0 && with[1] > without[1] + 1.0, "{rate_hz}: {with:?} {without:?}");
    }
}

#[test]
fn a_loss_is_concealed_as_well_by_both() {
    for rate_hz in [8000, 16_000] {
        let said = voice(rate_hz, 2000);
        let packets = by_libopus(settings(rate_hz), &said);
        let lost = |(n, packet)| Some(if n % 7 == 3 { &[][..] } else { packet });
        let some: Vec<Option<&[u8]>> = packets.iter().map(Vec::as_slice).enumerate().map(lost).collect();
        let both = decoded(rate_hz, &some);
        let [one, other] = both.map(|heard| snr(&said, &heard));
        // Audio that was never received is invented by each library in its own way.
        eprintln!("lost at {rate_hz}: libopus {one:.2} dB, ropus {other:.2} dB");
        assert!(other > one - 0.5, "{rate_hz}: {one} {other}");
    }
}

#[test]
fn both_are_silent_at_the_same_time() {
    for rate_hz in RATES {
        let settings = OpusSettings::new(rate_hz, OpusPreferences { dtx: true, ..OpusPreferences::default() });
        let mut said = voice(rate_hz, 1000);
        said.extend(vec![0; 2 * rate_hz as usize]);
        said.extend(voice(rate_hz, 500));
        let silent = |packets: Vec<Vec<u8>>| packets.iter().map(|packet| packet.len() <= 2).collect::<Vec<_>>();
        let (ours, theirs) = (silent(by_ropus(settings, &said)), silent(by_libopus(settings, &said)));
        let of = |silent: &[bool]| silent.iter().filter(|silent| **silent).count();
        assert!(of(&theirs) > 60 && of(&theirs[..50]) == 0, "{rate_hz}: {theirs:?}");
        let differ = ours.iter().zip(&theirs).filter(|(one, other)| one != other).count();
        assert!(differ <= 2, "{rate_hz}: {ours:?} {theirs:?}");
    }
}

/// Checks that the feature `libopus` selects that library.
#[test]
fn the_codec_is_libopus() {
    let said = voice(16_000, 1000);
    let wanted = OpusPreferences::default();
    let mut encoder = OpusEncoder::new(16_000, wanted).unwrap();
    for (frame, theirs) in said.chunks_exact(320).zip(by_libopus(OpusSettings::new(16_000, wanted), &said)) {
        let mut packet = [0; 1500];
        let bytes = encoder.encode(frame, &mut packet);
        assert_eq!(packet[..bytes], theirs);
    }
}

proptest! {
    /// A packet is damaged for both libraries or for neither.
    #[test]
    fn any_bytes_are_as_long_by_both(
        packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..80), 1..20),
    ) {
        let mut one = libopus::Decoder::new(16_000).unwrap();
        let mut other = ropus::Decoder::new(16_000).unwrap();
        for packet in packets {
            let mut samples = [0; 1920];
            prop_assert_eq!(
                one.decode(&packet, &mut samples, false),
                other.decode(&packet, &mut samples, false),
                "{:?}", packet
            );
        }
    }
}
