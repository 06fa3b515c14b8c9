//! Transcoders between all codecs, packet by packet: level and fidelity, packet durations, and treatment of loss,
//! silence, DTMF and comfort noise.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may unwrap")]
#![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]

use std::f64::consts::TAU;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use trunkgate_media::codec::opus::OpusPreferences;
use trunkgate_media::codec::{g711, g722, opus};
use trunkgate_media::dtmf::DtmfReceiver;
use trunkgate_media::rtp::{RtpHeader, StreamStart};
use trunkgate_media::transcode::Transcoder;
use trunkgate_media::{DropReason, EventsSpec, PacketBuf, PayloadCodec, TranscodeSpec};

const OPUS: PayloadCodec =
    PayloadCodec::Opus(OpusPreferences { max_rate_hz: 48_000, max_bit_rate: 0, fec: false, dtx: false });
const OPUS_FEC: PayloadCodec =
    PayloadCodec::Opus(OpusPreferences { max_rate_hz: 48_000, max_bit_rate: 0, fec: true, dtx: false });
const ALL: [PayloadCodec; 4] = [PayloadCodec::Pcmu, PayloadCodec::Pcma, PayloadCodec::G722, OPUS];
const FROM: u8 = 97;
const TO: u8 = 98;
const NUMBERS: (u32, u16, u32) = (0xabcd, 7, 1000);

fn rate(coding: PayloadCodec) -> usize {
    if coding == PayloadCodec::G722 { 16_000 } else { 8000 }
}

/// Generates 16-bit samples at the codec's rate.
fn tone(coding: PayloadCodec, hz: f64, ms: usize) -> Vec<i16> {
    let rate = rate(coding);
    (0..ms * rate / 1000).map(|n| (8000.0 * (TAU * hz * n as f64 / rate as f64).sin()) as i16).collect()
}

/// Encodes samples into packets of `ms` milliseconds.
fn encoded(coding: PayloadCodec, samples: &[i16], ms: usize) -> Vec<Vec<u8>> {
    let frames = samples.chunks_exact(rate(coding) / 1000 * ms);
    let mut g722 = g722::G722Encoder::new();
    let wanted = if coding == OPUS_FEC {
        OpusPreferences { fec: true, ..OpusPreferences::default() }
    } else {
        OpusPreferences::default()
    };
    let mut opus = opus::OpusEncoder::new(8000, wanted).unwrap();
    let one = |frame: &[i16]| match coding {
        PayloadCodec::Pcmu => frame.iter().map(|sample| g711::encode_ulaw(*sample)).collect(),
        PayloadCodec::Pcma => frame.iter().map(|sample| g711::encode_alaw(*sample)).collect(),
        PayloadCodec::G722 => frame.as_chunks::<2>().0.iter().map(|[a, b]| g722.encode(*a, *b)).collect(),
        PayloadCodec::Opus(_) => {
            let mut packet = vec![0; 1500];
            let bytes = opus.encode(frame, &mut packet);
            packet.truncate(bytes);
            packet
        }
        PayloadCodec::Linear(_) => panic!("an agent's"),
    };
    frames.map(one).collect()
}

fn decoded(coding: PayloadCodec, packets: &[(RtpHeader, Vec<u8>)]) -> Vec<i16> {
    let mut g722 = g722::G722Decoder::new();
    let mut opus = opus::OpusDecoder::new(8000).unwrap();
    let one = |(_, payload): &(RtpHeader, Vec<u8>)| -> Vec<i16> {
        match coding {
            PayloadCodec::Pcmu => payload.iter().map(|code| g711::decode_ulaw(*code)).collect(),
            PayloadCodec::Pcma => payload.iter().map(|code| g711::decode_alaw(*code)).collect(),
            PayloadCodec::G722 => payload.iter().flat_map(|code| g722.decode(*code)).collect(),
            PayloadCodec::Opus(_) => {
                let mut samples = vec![0; 960];
                let count = opus.decode(payload, &mut samples).unwrap();
                samples.truncate(count);
                samples
            }
            PayloadCodec::Linear(_) => panic!("an agent's"),
        }
    };
    packets.iter().flat_map(one).collect()
}

fn spec(from: PayloadCodec, to: PayloadCodec, packet_ms: u8) -> TranscodeSpec {
    let events = vec![EventsSpec { from: (101, from.clock_hz()), to: (96, to.clock_hz()) }];
    TranscodeSpec { from: vec![(FROM, from)], to: (TO, to), packet_ms, events, noise: None }
}

/// Transcoder with its input stream.
struct Bench {
    transcoder: Transcoder,
    now: Instant,
    ticks: u32,
    next: RtpHeader,
}

impl Bench {
    fn new(spec: TranscodeSpec, ms: u32) -> Bench {
        let ticks = spec.from[0].1.clock_hz() / 1000 * ms;
        let transcoder = Transcoder::new(spec, 1, NUMBERS).unwrap();
        let next = RtpHeader {
            marker: false,
            payload_type: FROM,
            sequence: 65_530,
            timestamp: u32::MAX - 500,
            ssrc: 5,
            payload: 0..0,
        };
        Bench { transcoder, now: Instant::now(), ticks, next }
    }

    /// Changes the codec of the source: continues with another transcoder to the same sink.
    fn change(&mut self, spec: TranscodeSpec, ms: u32) {
        self.ticks = spec.from[0].1.clock_hz() / 1000 * ms;
        let idle = Transcoder::new(spec.clone(), 2, NUMBERS).unwrap();
        let before = std::mem::replace(&mut self.transcoder, idle);
        let (ssrc, sequence, timestamp) = NUMBERS;
        let start = StreamStart { serial: 3, ssrc, sequence, timestamp };
        self.transcoder = Transcoder::after(Some(before), spec, start).unwrap();
    }

    fn skip(&mut self) {
        self.now += Duration::from_millis(20);
        self.next.sequence = self.next.sequence.wrapping_add(1);
        self.next.timestamp = self.next.timestamp.wrapping_add(self.ticks);
    }

    fn feed(&mut self, rtp: &RtpHeader, payload: &[u8]) -> Result<Vec<(RtpHeader, Vec<u8>)>, DropReason> {
        self.transcoder.push(self.now, rtp, payload)?;
        let mut out = Vec::new();
        let mut packet = PacketBuf::new();
        while let Some(rtp) = self.transcoder.poll(&mut packet) {
            assert_eq!(RtpHeader::parse(packet.data()).unwrap(), rtp);
            let payload = packet.data()[rtp.payload.clone()].to_vec();
            out.push((rtp, payload));
        }
        Ok(out)
    }

    fn say(&mut self, payload: &[u8]) -> Vec<(RtpHeader, Vec<u8>)> {
        let rtp = self.next.clone();
        let out = self.feed(&rtp, payload).unwrap();
        self.skip();
        out
    }
}

/// Generates voice-like audio: harmonics of a moving pitch with changing volume.
fn voice(per_ms: usize, ms: usize) -> Vec<i16> {
    let mut phase = 0.0;
    let rate = per_ms as f64 * 1000.0;
    let sample = |n: usize| {
        let t = n as f64 / rate;
        phase += (120.0 + 40.0 * (TAU * 1.3 * t).sin()) / rate;
        let loud = 0.3 + 0.7 * (TAU * 3.1 * t).sin().powi(2);
        let harmonics = (1..12).map(|k| (TAU * phase * f64::from(k)).sin() / f64::from(k).sqrt()).sum::<f64>();
        (2000.0 * loud * harmonics) as i16
    };
    (0..ms * per_ms).map(sample).collect()
}

fn level(samples: &[i16]) -> f64 {
    10.0 * (samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len() as f64).log10()
}

/// Returns the power ratio of a tone to all other audio.
fn snr(samples: &[i16], rate: usize, hz: f64) -> f64 {
    let (mut re, mut im, mut all) = (0.0, 0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let angle = TAU * hz * n as f64 / rate as f64;
        re += f64::from(*sample) * angle.cos();
        im += f64::from(*sample) * angle.sin();
        all += f64::from(*sample).powi(2);
    }
    let tone = 2.0 * (re * re + im * im) / samples.len() as f64;
    10.0 * (tone / (all - tone).max(1e-9)).log10()
}

#[test]
fn a_tone_through_every_pair_is_as_loud_and_clear() {
    for from in ALL {
        for to in ALL {
            for hz in [400.0, 1000.0] {
                let mut bench = Bench::new(spec(from, to, 20), 20);
                let said = tone(from, hz, 1000);
                let packets = encoded(from, &said, 20);
                let heard: Vec<_> = packets.iter().flat_map(|payload| bench.say(payload)).collect();
                assert_eq!(heard.len(), packets.len(), "a packet for each, at once: {from:?} to {to:?}");
                let heard = decoded(to, &heard);
                // Both codecs settle within half a second.
                let heard = &heard[heard.len() / 2..];
                let by = level(heard) - level(&said);
                // Opus treats a tone as speech, for which it is not designed.
                let opus = from == OPUS || to == OPUS;
                let (most, least) = if opus { (1.5, 15.0) } else { (0.5, 30.0) };
                assert!(by.abs() < most, "{from:?} to {to:?}: {hz} Hz by {by} dB");
                let snr = snr(heard, rate(to), hz);
                assert!(snr > least, "{from:?} to {to:?}: {hz} Hz at {snr} dB");
            }
        }
    }
}

#[test]
fn a_voice_through_every_pair_is_as_loud() {
    for from in ALL {
        for to in ALL {
            let said = voice(rate(from) / 1000, 3000);
            let mut bench = Bench::new(spec(from, to, 20), 20);
            let heard: Vec<_> = encoded(from, &said, 20).iter().flat_map(|payload| bench.say(payload)).collect();
            let by = level(&decoded(to, &heard)) - level(&said);
            // Two Opus codecs attenuate twice.
            assert!(by.abs() < if from == OPUS && to == OPUS { 1.0 } else { 0.5 }, "{from:?} to {to:?}: by {by} dB");
        }
    }
}

#[test]
fn mu_law_to_a_law_is_the_table_of_both() {
    let mut bench = Bench::new(spec(PayloadCodec::Pcmu, PayloadCodec::Pcma, 20), 20);
    let codes: Vec<u8> = (0..160).map(|n| (n * 37) as u8).collect();
    let out = bench.say(&codes);
    let expected: Vec<u8> = codes.iter().map(|code| g711::ulaw_to_alaw(*code)).collect();
    assert_eq!(out[0].1, expected);
    let first =
        RtpHeader { marker: true, payload_type: TO, sequence: 7, timestamp: 1000, ssrc: 0xabcd, payload: 12..172 };
    assert_eq!(out[0].0, first, "numbers of its own");
    assert_eq!(bench.say(&codes)[0].0, RtpHeader { marker: false, sequence: 8, timestamp: 1160, ..first });
}

#[test]
fn packets_leave_in_the_length_of_the_sink() {
    for (coding, step) in [(PayloadCodec::Pcma, 8), (PayloadCodec::G722, 8), (OPUS, 48)] {
        for (ms_in, ms_out) in [(10, 20), (20, 10), (20, 60), (60, 20), (30, 20), (20, 30), (40, 60)] {
            // Opus has no packet of 30 ms.
            let ms_made = if step == 48 && ms_out == 30 { 20 } else { ms_out };
            let mut bench = Bench::new(spec(PayloadCodec::Pcmu, coding, ms_out), ms_in);
            let packets = encoded(PayloadCodec::Pcmu, &tone(PayloadCodec::Pcmu, 500.0, 1200), ms_in as usize);
            let mut heard: Vec<(RtpHeader, Vec<u8>)> = Vec::new();
            for (at, payload) in packets.iter().enumerate() {
                heard.extend(bench.say(payload));
                assert_eq!(
                    heard.len(),
                    (at + 1) * ms_in as usize / usize::from(ms_made),
                    "{coding:?} {ms_in} {ms_out}"
                );
            }
            for (n, (rtp, payload)) in heard.iter().enumerate() {
                let n = n as u32;
                assert_eq!(rtp.timestamp, 1000 + n * u32::from(ms_made) * step, "{coding:?} {ms_in} {ms_out}");
                assert_eq!((rtp.sequence, rtp.marker), (7 + n as u16, n == 0));
                if step == 8 {
                    assert_eq!(payload.len(), usize::from(ms_made) * 8);
                }
            }
        }
    }
}

#[test]
fn what_was_lost_is_concealed_when_the_next_comes() {
    for from in ALL {
        let mut bench = Bench::new(spec(from, PayloadCodec::Pcmu, 20), 20);
        let packets = encoded(from, &tone(from, 400.0, 2000), 20);
        let mut heard = Vec::new();
        for (at, payload) in packets.iter().enumerate() {
            match at {
                50 => bench.skip(),
                51 => {
                    let out = bench.say(payload);
                    assert_eq!(out.len(), 2, "{from:?}: the lost one and its own");
                    heard.extend(out);
                }
                _ => heard.extend(bench.say(payload)),
            }
        }
        let steps = heard
            .windows(2)
            .map(|w| (w[1].0.sequence.wrapping_sub(w[0].0.sequence), w[1].0.timestamp - w[0].0.timestamp));
        assert!(steps.into_iter().all(|step| step == (1, 160)), "{from:?}: continuous");
        let lost = decoded(PayloadCodec::Pcmu, &heard[50..51]);
        let around = decoded(PayloadCodec::Pcmu, &heard[40..50]);
        assert!(level(&lost) > level(&around) - 8.0, "{from:?}: by {} dB", level(&lost) - level(&around));
    }
}

#[test]
fn rfc7587_redundancy_in_the_next_packet_is_what_was_lost() {
    // Fidelity of every tenth packet, lost and concealed, in dB.
    let near = |coding: PayloadCodec| {
        let packets = encoded(coding, &voice(8, 4000), 20);
        let (mut whole, mut lossy) = (
            Bench::new(spec(coding, PayloadCodec::Pcmu, 20), 20),
            Bench::new(spec(coding, PayloadCodec::Pcmu, 20), 20),
        );
        let (mut said, mut wrong) = (0.0, 0.0);
        let mut expected: Vec<i16> = Vec::new();
        for (at, payload) in packets.iter().enumerate() {
            let heard = decoded(PayloadCodec::Pcmu, &whole.say(payload));
            if at % 10 == 9 {
                (expected, _) = (heard, lossy.skip());
                continue;
            }
            let out = lossy.say(payload);
            if at % 10 == 0 && at > 0 {
                assert_eq!(out.len(), 2);
                let made = decoded(PayloadCodec::Pcmu, &out[..1]);
                said += expected.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
                wrong += expected.iter().zip(&made).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>();
            }
        }
        10.0 * (said / wrong).log10()
    };
    let (with, without) = (near(OPUS_FEC), near(OPUS));
    assert!(with > without + 3.0, "{with} dB with, {without} dB without");
}

#[test]
fn a_long_loss_stays_a_gap() {
    let mut bench = Bench::new(spec(PayloadCodec::Pcmu, PayloadCodec::Pcma, 20), 20);
    bench.say(&[0x90; 160]);
    (0..10).for_each(|_| bench.skip());
    let out = bench.say(&[0x90; 160]);
    assert_eq!(out.len(), 1);
    assert_eq!((out[0].0.sequence, out[0].0.timestamp, out[0].0.marker), (7 + 11, 1000 + 11 * 160, false));
}

#[test]
fn late_and_repeated_packets_are_dropped() {
    let mut bench = Bench::new(spec(PayloadCodec::Pcmu, PayloadCodec::Pcma, 20), 20);
    bench.say(&[0x90; 160]);
    let late = bench.next.clone();
    bench.skip();
    bench.say(&[0x90; 160]);
    assert_eq!(bench.feed(&late, &[0x90; 160]), Err(DropReason::Late));
    let last =
        RtpHeader { sequence: late.sequence.wrapping_add(1), timestamp: late.timestamp.wrapping_add(160), ..late };
    assert_eq!(bench.feed(&last, &[0x90; 160]), Err(DropReason::Late));
    assert_eq!(bench.say(&[0x90; 160]).len(), 1);
}

#[test]
fn a_damaged_packet_is_as_good_as_lost() {
    let mut bench = Bench::new(spec(OPUS, PayloadCodec::Pcmu, 20), 20);
    let packets = encoded(OPUS, &tone(OPUS, 400.0, 200), 20);
    packets[..5].iter().for_each(|payload| assert_eq!(bench.say(payload).len(), 1));
    // A code 3 packet without its frame count byte (RFC 6716 §3.2.5).
    let rtp = bench.next.clone();
    assert_eq!(bench.feed(&rtp, &[0x03]), Err(DropReason::Damaged));
    bench.skip();
    assert_eq!(bench.say(&packets[6]).len(), 2);
}

#[test]
fn silence_that_was_not_sent_is_a_jump_of_time_and_a_talk_spurt() {
    let mut bench = Bench::new(spec(PayloadCodec::Pcmu, PayloadCodec::Pcma, 30), 20);
    assert_eq!(bench.say(&[0x90; 160]).len(), 0);
    // Sequence numbers continue, the timestamp jumps by 200 ms.
    bench.next.timestamp = bench.next.timestamp.wrapping_add(1600);
    let out = bench.say(&[0x90; 160]);
    assert_eq!(out.len(), 1, "what was begun is filled up");
    assert_eq!((out[0].0.timestamp, out[0].1.len()), (1000, 240));
    let out = bench.say(&[0x90; 160]);
    assert_eq!((out[0].0.sequence, out[0].0.timestamp, out[0].0.marker), (8, 1000 + 160 + 1600, true));
}

#[test]
fn another_stream_goes_on_under_the_same_numbers() {
    let mut bench = Bench::new(spec(PayloadCodec::G722, PayloadCodec::Pcma, 20), 20);
    bench.say(&[0x90; 160]);
    bench.now += Duration::from_millis(100);
    bench.next = RtpHeader { ssrc: 6, sequence: 3, timestamp: 77, ..bench.next.clone() };
    let out = bench.say(&[0x90; 160]);
    assert_eq!((out[0].0.ssrc, out[0].0.sequence, out[0].0.timestamp), (0xabcd, 8, 1000 + 160 + 800));
    // Also a timestamp far from the elapsed time.
    bench.next.timestamp = bench.next.timestamp.wrapping_add(1_000_000);
    let out = bench.say(&[0x90; 160]);
    assert_eq!((out[0].0.sequence, out[0].0.timestamp), (9, 1000 + 160 + 800 + 160));
}

/// Returns the largest jump in a tone relative to its amplitude, after the tone was removed by a notch filter.
fn click(samples: &[i16], rate: usize, hz: f64) -> f64 {
    let by = 2.0 * (TAU * hz / rate as f64).cos();
    let left = samples.windows(3).map(|w| (f64::from(w[0]) + f64::from(w[2]) - by * f64::from(w[1])).abs() / 8000.0);
    left.fold(0.0, f64::max)
}

#[test]
fn codec_change_makes_no_click() {
    let said = ALL.map(|coding| encoded(coding, &tone(coding, 500.0, 600), 20));
    for to in ALL {
        for (one, other) in (0..ALL.len()).flat_map(|one| (0..ALL.len()).map(move |other| (one, other))) {
            let (before, after) = (ALL[one], ALL[other]);
            let mut bench = Bench::new(spec(before, to, 20), 20);
            let mut heard: Vec<_> = said[one][..15].iter().flat_map(|payload| bench.say(payload)).collect();
            bench.change(spec(after, to, 20), 20);
            heard.extend(said[other][15..].iter().flat_map(|payload| bench.say(payload)));
            assert_eq!(heard.len(), 30);
            let samples = decoded(to, &heard);
            // With more bandwidth from now on, the Opus decoders start over.
            let widens =
                to == OPUS && before != OPUS && rate(before) < 16_000 && (after == OPUS || after == PayloadCodec::G722);
            let per_s = rate(to);
            let click = click(&samples[per_s * 28 / 100..per_s * 36 / 100], per_s, 500.0);
            assert!(click < if widens { 1.2 } else { 0.2 }, "{before:?} to {after:?} before {to:?}: {click}");
        }
    }
}

/// A packet that was partly filled under one codec of the source is completed under the next one.
#[test]
fn what_did_not_fill_a_packet_leaves_with_what_comes_next() {
    let mut bench = Bench::new(spec(PayloadCodec::Pcmu, PayloadCodec::Pcma, 20), 30);
    let codes = |coding: PayloadCodec| encoded(coding, &tone(coding, 500.0, 30), 30).remove(0);
    assert_eq!(bench.say(&codes(PayloadCodec::Pcmu)).len(), 1);
    bench.change(spec(PayloadCodec::G722, PayloadCodec::Pcma, 20), 30);
    assert_eq!(bench.say(&codes(PayloadCodec::G722)).len(), 2, "10 ms and 30 ms");
}

#[test]
fn rfc4733_a_key_passes_in_its_order_on_the_sink_s_clock() {
    for (from, to, scale) in
        [(PayloadCodec::Pcmu, OPUS, 6), (PayloadCodec::Pcmu, PayloadCodec::Pcma, 1), (PayloadCodec::G722, OPUS, 6)]
    {
        let mut bench = Bench::new(spec(from, to, 20), 20);
        let audio = encoded(from, &tone(from, 500.0, 200), 20);
        let last = audio[..5].iter().flat_map(|payload| bench.say(payload)).last().unwrap().0;
        let begun = bench.next.timestamp;
        for n in 1..=5_u16 {
            let rtp = RtpHeader { marker: n == 1, payload_type: 101, timestamp: begun, ..bench.next.clone() };
            let [high, low] = (n * 160).to_be_bytes();
            let out = bench.feed(&rtp, &[5, 10, high, low]).unwrap();
            bench.skip();
            assert_eq!(out.len(), 1);
            let (key, payload) = &out[0];
            assert_eq!((key.payload_type, key.marker, key.sequence), (96, n == 1, last.sequence + n));
            assert_eq!(key.timestamp, last.timestamp + 160 * scale, "all of a press begin together");
            assert_eq!(payload[2..], (n * 160 * scale as u16).to_be_bytes());
        }
        let out = bench.say(&audio[5]);
        assert_eq!((out[0].0.sequence, out[0].0.timestamp), (last.sequence + 6, last.timestamp + 6 * 160 * scale));
    }
}

#[test]
fn rfc4733_2_5_1_3_a_long_press_is_one_key_on_the_other_clock_too() {
    for (from, to) in [(PayloadCodec::Pcmu, OPUS), (OPUS, PayloadCodec::Pcmu), (PayloadCodec::G722, PayloadCodec::Pcmu)]
    {
        let mut bench = Bench::new(spec(from, to, 20), 20);
        let audio = encoded(from, &tone(from, 500.0, 120), 20);
        let before = audio[..5].iter().flat_map(|payload| bench.say(payload)).last().unwrap().0;
        // 20 s, in segments on the sender's clock.
        let (mut begins, mut told) = (bench.next.timestamp, 0);
        let (mut keys, mut read, mut last) = (DtmfReceiver::default(), String::new(), None);
        for n in 1..=1002_u32 {
            let lasts = n.min(1000) * bench.ticks - told;
            let end = if n >= 1000 && lasts <= 0xffff { 0x80 } else { 0 };
            let [high, low] = u16::try_from(lasts).unwrap_or(u16::MAX).to_be_bytes();
            let rtp = RtpHeader { marker: n == 1, payload_type: 101, timestamp: begins, ..bench.next.clone() };
            for (rtp, payload) in bench.feed(&rtp, &[5, end | 10, high, low]).unwrap() {
                read.extend(keys.take(&rtp, &payload));
                last = Some((payload[1], rtp.timestamp + u32::from(u16::from_be_bytes([payload[2], payload[3]]))));
            }
            bench.skip();
            if lasts > 0xffff {
                (begins, told) = (begins.wrapping_add(0xffff), told + 0xffff);
            }
        }
        let clock_hz = to.clock_hz();
        let begun = before.timestamp + clock_hz / 50;
        assert_eq!((read.as_str(), last), ("5", Some((0x8a, begun + 20 * clock_hz))), "{from:?} to {to:?}");
        // The next audio is later by the elapsed time.
        let next = bench.say(&audio[5])[0].0.clone();
        assert_eq!((next.sequence, next.timestamp), (before.sequence + 1003, begun + 1002 * (clock_hz / 50)));
    }
}

#[test]
fn rfc4733_2_5_1_3_the_end_of_a_press_is_told_whatever_was_lost_before() {
    let mut bench = Bench::new(spec(PayloadCodec::Pcmu, OPUS, 20), 20);
    let rtp = RtpHeader { payload_type: 101, ..bench.next.clone() };
    let [high, low] = 20_000_u16.to_be_bytes();
    // 2.5 s: a segment and 54,465 ticks.
    let (key, payload) = bench.feed(&rtp, &[5, 0x8a, high, low]).unwrap().remove(0);
    assert_eq!((key.timestamp, &payload[..]), (1000 + 65_535, &[5, 0x8a, 0xd4, 0xc1][..]));
}

#[test]
fn rfc3389_comfort_noise_is_relayed_or_encoded() {
    for to in [Some(13), None] {
        let mut bench =
            Bench::new(TranscodeSpec { noise: Some((13, to)), ..spec(PayloadCodec::Pcmu, PayloadCodec::Pcma, 20) }, 20);
        bench.say(&[0x90; 160]);
        let rtp = RtpHeader { payload_type: 13, ..bench.next.clone() };
        let out = bench.feed(&rtp, &[50, 1, 2]).unwrap();
        assert_eq!((out.len(), out[0].0.sequence, out[0].0.timestamp), (1, 8, 1160));
        match to {
            Some(number) => assert_eq!((out[0].0.payload_type, &out[0].1[..]), (number, &[50, 1, 2][..])),
            None => {
                let by = level(&decoded(PayloadCodec::Pcma, &out)) - 20.0 * 32_767_f64.log10();
                assert!((by + 50.0).abs() < 2.0, "{by}");
            }
        }
        // Speech resumes 400 ms later.
        bench.next.sequence = rtp.sequence.wrapping_add(1);
        bench.next.timestamp = rtp.timestamp.wrapping_add(3200);
        let out = bench.say(&[0x90; 160]);
        assert_eq!((out[0].0.sequence, out[0].0.timestamp, out[0].0.marker), (9, 1160 + 3200, true));
    }
}

#[test]
fn opus_dtx_is_silent() {
    let quiet = PayloadCodec::Opus(OpusPreferences { dtx: true, ..OpusPreferences::default() });
    let mut bench = Bench::new(spec(PayloadCodec::Pcmu, quiet, 20), 20);
    let sent: usize = (0..200).map(|_| bench.say(&[0xff; 160]).len()).sum();
    assert!(sent < 40, "{sent} of 200 packets of silence");
    let speech = encoded(PayloadCodec::Pcmu, &tone(PayloadCodec::Pcmu, 500.0, 20), 20);
    let out: Vec<_> = (0..5).flat_map(|_| bench.say(&speech[0])).collect();
    assert!(out[0].0.marker && out.len() >= 4, "a talk spurt begins");
    assert_eq!(out[1].0.timestamp - out[0].0.timestamp, 960);
}

/// Feeds a packet every millisecond for 10 s; returns the milliseconds of audio sent.
fn left_of(from: PayloadCodec, to: PayloadCodec, packet: impl Fn(u16) -> (RtpHeader, Vec<u8>)) -> usize {
    let mut bench = Bench::new(TranscodeSpec { noise: Some((13, None)), ..spec(from, to, 20) }, 20);
    let (mut left, mut dropped) = (0, 0);
    for n in 0..10_000 {
        bench.now += Duration::from_millis(1);
        let (rtp, payload) = packet(n);
        let out = bench.feed(&rtp, &payload);
        dropped += usize::from(out == Err(DropReason::TooFast));
        left += out.unwrap_or_default().iter().filter(|(rtp, _)| rtp.payload_type == TO).count();
    }
    assert!(dropped > 5000, "{dropped}");
    left * 20
}

#[test]
fn a_few_bytes_never_make_much_more_audio_than_time_goes_by() {
    let rtp = |payload_type, sequence, timestamp| RtpHeader {
        marker: false,
        payload_type,
        sequence,
        timestamp,
        ssrc: 5,
        payload: 0..0,
    };
    let speech = encoded(PayloadCodec::Pcmu, &tone(PayloadCodec::Pcmu, 500.0, 120), 120).remove(0);
    // Five seconds at once, and double real time.
    for (what, left) in [
        (
            "a byte, and 100 ms lost before it",
            left_of(PayloadCodec::Pcmu, PayloadCodec::Pcma, |n| (rtp(FROM, 2 * n, u32::from(n) * 801), vec![0x90])),
        ),
        (
            "120 ms in each packet",
            left_of(PayloadCodec::Pcmu, PayloadCodec::Pcma, |n| (rtp(FROM, n, u32::from(n) * 960), speech.clone())),
        ),
        (
            "always the same time",
            left_of(PayloadCodec::Pcmu, PayloadCodec::Pcma, |n| (rtp(FROM, n, 0), speech.clone())),
        ),
        (
            "other streams",
            left_of(PayloadCodec::Pcmu, PayloadCodec::Pcma, |n| {
                (RtpHeader { ssrc: n.into(), ..rtp(FROM, n, 0) }, speech.clone())
            }),
        ),
        ("noise", left_of(PayloadCodec::Pcmu, PayloadCodec::G722, |n| (rtp(13, n, 0), vec![40]))),
        (
            "a byte and a key",
            left_of(PayloadCodec::Pcmu, PayloadCodec::Pcma, |n| match n % 2 {
                0 => (rtp(FROM, n, u32::from(n)), vec![0x90]),
                _ => (rtp(101, n, u32::from(n)), vec![5, 10, 0, 160]),
            }),
        ),
    ] {
        assert!((10_000..26_000).contains(&left), "{what}: {left} ms");
    }
}

#[test]
fn what_waited_on_its_way_for_four_seconds_is_converted_whole() {
    let mut bench = Bench::new(spec(PayloadCodec::Pcmu, PayloadCodec::Pcma, 20), 20);
    bench.say(&[0x90; 160]);
    for _ in 0..3 {
        let came = bench.now + Duration::from_secs(4);
        for _ in 0..200 {
            bench.now = came;
            assert_eq!(bench.say(&[0x90; 160]).len(), 1);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_comes_numbers_and_time_only_grow(
        packets in proptest::collection::vec((0_u16..40, 0_u32..40, 0_u8..6, 0_usize..400, 0_u64..60), 1..60),
        pair in 0_usize..16,
        ms in 5_u8..80,
    ) {
        let (from, to) = (ALL[pair % 4], ALL[pair / 4]);
        let spec = TranscodeSpec { noise: Some((13, Some(13))), ..spec(from, to, ms) };
        let mut bench = Bench::new(spec, 20);
        let mut last: Option<(u16, u32)> = None;
        for (sequence, frame, kind, bytes, wait) in packets {
            bench.now += Duration::from_millis(wait);
            let payload_type = match kind { 4 => 101, 5 => 13, _ => FROM };
            let rtp = RtpHeader { sequence, timestamp: frame * bench.ticks, payload_type, ..bench.next.clone() };
            let payload: Vec<u8> = (0..bytes).map(|n| (n as u8).wrapping_mul(31) ^ kind).collect();
            for (out, _) in bench.feed(&rtp, &payload).unwrap_or_default() {
                // All packets of an event have the timestamp of its beginning.
                if out.payload_type == TO {
                    let grows = last.is_none_or(|(_, time)| out.timestamp.wrapping_sub(time) < u32::MAX / 2);
                    prop_assert!(grows, "{last:?} {out:?}");
                }
                if let Some((before, _)) = last {
                    prop_assert!((1..0x8000).contains(&out.sequence.wrapping_sub(before)));
                }
                let time = if out.payload_type == TO { out.timestamp } else { last.map_or(out.timestamp, |(_, t)| t) };
                last = Some((out.sequence, time));
            }
        }
    }
}
