//! DTMF between sides with different DTMF methods, under packet loss.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // helpers of tests are not `#[test]` themselves

use crate::support::*;
use trunkgate_media::agent::{StreamSettings, TrackSet};
use trunkgate_media::codec::g711::{decode_ulaw, encode_ulaw};
use trunkgate_media::codec::opus::OpusPreferences;
use trunkgate_media::codec::{g722, opus};
use trunkgate_media::rtp::RtpHeader;
use trunkgate_media::{
    AgentInput, DigitFormat, DropReason, DtmfConversion, EndId, MediaCommand, MediaEvent, PayloadCodec, TapSpec,
    TranscodeSpec, WireSpec,
};

const WANTED: OpusPreferences = OpusPreferences { max_rate_hz: 48_000, max_bit_rate: 0, fec: true, dtx: false };
type Audio = (u8, PayloadCodec);
/// Payload type and codec of a side's audio. Its telephone-events have the same clock (RFC 4733 §2.1).
const PCMU: (u8, PayloadCodec) = (0, PayloadCodec::Pcmu);
const G722: (u8, PayloadCodec) = (9, PayloadCodec::G722);
const OPUS: (u8, PayloadCodec) = (107, PayloadCodec::Opus(WANTED));
const EVENT: DigitFormat = DigitFormat::Event { payload: 96, clock_hz: 8000 };
const AGENT: EndId = EndId(7);
const KEYS: &str = "123A456B789C*0#D1122";
/// End bit of a telephone-event (RFC 4733 §2.5.1).
const END: u8 = 0x80;

/// Wires A, which sends telephone-events that are reported to signalling, to B, which receives telephone-events.
fn parted(clock_hz: u32) -> Bench {
    let mut bench = Bench::connected();
    let wire = |events, press| WireSpec {
        payloads: vec![(0, 0)],
        parted: Some(Box::new(DtmfConversion { events, press, ..DtmfConversion::default() })),
        ..WireSpec::default()
    };
    bench.command(MediaCommand::Wire { from: A, to: B, wire: wire(vec![(101, clock_hz)], None) });
    bench.command(MediaCommand::Wire { from: B, to: A, wire: wire(vec![], Some(EVENT)) });
    bench
}

/// Phone that sends audio and digits: a packet every 20 ms.
struct Presser {
    sequence: u16,
    timestamp: u32,
    clock_hz: u32,
    audio: (u8, PayloadCodec),
    g722: g722::G722Encoder,
    opus: opus::OpusEncoder,
}

impl Presser {
    fn new(clock_hz: u32) -> Presser {
        Presser { clock_hz, ..Presser::speaking(PCMU) }
    }

    fn speaking(audio: (u8, PayloadCodec)) -> Presser {
        let opus = opus::OpusEncoder::new(16_000, WANTED).unwrap();
        Presser { sequence: 0, timestamp: 0, clock_hz: audio.1.clock_hz(), audio, g722: g722::G722Encoder::new(), opus }
    }

    /// Builds a packet of 20 ms, the audio of which is a function of the time in seconds.
    fn say(&mut self, from_s: f64, sample: impl Fn(f64) -> f64) -> Vec<u8> {
        let rate = if self.audio.1 == PayloadCodec::Pcmu { 8000_u32 } else { 16_000 };
        let samples: Vec<i16> =
            (0..rate / 50).map(|n| sample(from_s + f64::from(n) / f64::from(rate)) as i16).collect();
        let payload = match self.audio.1 {
            PayloadCodec::G722 => samples.as_chunks::<2>().0.iter().map(|[a, b]| self.g722.encode(*a, *b)).collect(),
            PayloadCodec::Opus(_) => {
                let mut packet = vec![0; 1000];
                let bytes = self.opus.encode(&samples, &mut packet);
                packet.truncate(bytes);
                packet
            }
            _ => samples.iter().map(|sample| encode_ulaw(*sample)).collect::<Vec<u8>>(),
        };
        self.timestamp = self.timestamp.wrapping_add(self.clock_hz / 50);
        self.packet(self.audio.0, false, self.timestamp, &payload)
    }

    /// Advances the RTP timestamp without sending.
    fn pause(&mut self, ms: u32) {
        self.timestamp = self.timestamp.wrapping_add(self.clock_hz / 1000 * ms);
    }

    fn packet(&mut self, payload_type: u8, marker: bool, timestamp: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let rtp = RtpHeader { marker, payload_type, sequence: self.sequence, timestamp, ssrc: 7, payload: 0..0 };
        rtp.build(payload, &mut bytes);
        self.sequence += 1;
        bytes
    }

    fn audio(&mut self) -> Vec<u8> {
        self.timestamp = self.timestamp.wrapping_add(self.clock_hz / 50);
        self.packet(0, false, self.timestamp, &[0x55; 160])
    }

    /// Returns the packets of a digit's tone, 20 ms each.
    fn tone(&mut self, key: char, packets: u32) -> Vec<Vec<u8>> {
        let at = "123A456B789C*0#D".chars().position(|each| each == key).unwrap();
        let (row, column) = ([697.0, 770.0, 852.0, 941.0][at / 4], [1209.0, 1336.0, 1477.0, 1633.0][at % 4]);
        let value = |hz: f64, at: f64| (std::f64::consts::TAU * hz * at).sin();
        let sample = |at: f64| 7000.0 * (value(row, at) + value(column, at));
        (0..packets).map(|n| self.say(f64::from(n) * 0.02, sample)).collect()
    }

    /// Builds a packet of soft noise.
    fn noise(&mut self) -> Vec<u8> {
        let seed = f64::from(self.sequence);
        self.say(seed * 0.02, |at| (at * 16_000.0 * 7919.0).round() % 301.0 - 150.0)
    }

    /// Returns the packets of an event, 20 ms each, the last one three times; a long event in segments (RFC 4733
    /// §2.5.1.3).
    fn press(&mut self, event: u8, packets: u32) -> Vec<Vec<u8>> {
        let tick = self.clock_hz / 50;
        let (mut begin, mut all) = (self.timestamp.wrapping_add(tick), Vec::new());
        let mut before = 0;
        for n in 1..=packets + 2 {
            let lasts = n.min(packets) * tick - before;
            let said = u16::try_from(lasts).unwrap_or(u16::MAX);
            let end = if n >= packets && lasts <= 0xffff { END } else { 0 };
            let [high, low] = said.to_be_bytes();
            all.push(self.packet(101, n == 1, begin, &[event, end | 10, high, low]));
            if lasts > 0xffff {
                (begin, before) = (begin.wrapping_add(0xffff), before + 0xffff);
            }
        }
        self.timestamp = self.timestamp.wrapping_add((packets + 2) * tick);
        all
    }
}

/// Simulated path that loses a percentage of packets.
struct Line {
    seed: u32,
    percent: u32,
}

impl Line {
    fn loses(&mut self) -> bool {
        self.seed = self.seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.seed >> 16) % 100 < self.percent
    }
}

fn told(bench: &mut Bench) -> Vec<(char, u32)> {
    let key = |event| match event {
        MediaEvent::Key { end: A, key, ms } => Some((key, ms)),
        _ => None,
    };
    bench.events().into_iter().filter_map(key).collect()
}

fn events() -> impl Iterator<Item = u8> {
    KEYS.chars().map(events_of)
}

#[test]
fn one_press_is_one_key_whatever_is_lost() {
    for (percent, seeds) in [(0, 1..2), (10, 1..20), (40, 1..12)] {
        for seed in seeds {
            for clock_hz in [8000, 16_000, 48_000] {
                let mut bench = parted(clock_hz);
                let (mut phone, mut line) = (Presser::new(clock_hz), Line { seed, percent });
                let mut keys = Vec::new();
                let mut pressed = String::new();
                let mut next = None;
                for (event, key) in events().zip(KEYS.chars()) {
                    let packets = phone.press(event, 8);
                    let mut heard = false;
                    for packet in packets.into_iter().chain((0..12).map(|_| phone.audio()).collect::<Vec<_>>()) {
                        if !line.loses() {
                            heard |= packet[1] & 0x7f == 101;
                            let left = bench.feed(A, false, A_RTP, &packet);
                            assert_eq!(left.is_some(), packet[1] & 0x7f == 0, "a key passes as such");
                            // No gap in the numbers after a digit: a listener counts no loss.
                            if let Some(rtp) =
                                left.filter(|_| percent == 0).and_then(|(_, bytes)| RtpHeader::parse(&bytes).ok())
                            {
                                assert!(next.is_none_or(|next| next == rtp.sequence));
                                next = Some(rtp.sequence.wrapping_add(1));
                            }
                        }
                        bench.run(20);
                    }
                    keys.extend(told(&mut bench));
                    // At 40 % loss, all of ten packets are lost once in 10,000 digits.
                    pressed.extend(heard.then_some(key));
                }
                let read: String = keys.iter().map(|(key, _)| key).collect();
                assert_eq!(read, pressed, "{percent} % {seed}");
                assert_eq!(read, KEYS, "{percent} % {seed}");
                assert!(keys.iter().all(|(_, ms)| (20..=160).contains(ms)), "{keys:?}");
                if percent == 0 {
                    assert!(keys.iter().all(|(_, ms)| *ms == 160), "{keys:?}");
                }
            }
        }
    }
}

#[test]
fn rfc4733_2_5_1_3_a_long_press_is_one_key_as_long_as_it_was() {
    for (clock_hz, percent) in [(8000, 0), (48_000, 0), (8000, 40), (48_000, 40)] {
        let mut bench = parted(clock_hz);
        let (mut phone, mut line) = (Presser::new(clock_hz), Line { seed: 3, percent });
        // 20 s: more than one segment on either clock.
        for packet in phone.press(5, 1000) {
            if !line.loses() {
                bench.feed(A, false, A_RTP, &packet);
            }
            bench.run(20);
        }
        bench.run(1000);
        let keys = told(&mut bench);
        assert!(matches!(keys[..], [('5', ms)] if ms <= 20_000 && (percent > 0 || ms == 20_000)), "{keys:?}");
    }
}

#[test]
fn a_lost_end_is_waited_for_and_what_comes_late_is_no_other_key() {
    let mut bench = parted(8000);
    let mut phone = Presser::new(8000);
    let packets = phone.press(5, 5);
    for packet in &packets[..3] {
        bench.feed(A, false, A_RTP, packet);
        bench.run(20);
    }
    assert_eq!(told(&mut bench), []);
    bench.run(179);
    assert_eq!(told(&mut bench), []);
    bench.run(1);
    assert_eq!(told(&mut bench), [('5', 60)]);
    for packet in &packets {
        bench.feed(A, false, A_RTP, packet);
    }
    bench.run(1000);
    assert_eq!(told(&mut bench), []);
    // The next digit begins before the last one's end arrives.
    let (first, second) = (phone.press(6, 5), phone.press(7, 5));
    for packet in [&first[1], &first[0], &second[0], &first[6], &second[4], &second[3], &second[5], &first[4]] {
        bench.feed(A, false, A_RTP, packet);
    }
    bench.run(1000);
    assert_eq!(told(&mut bench), [('6', 40), ('7', 100)]);
    // An event that is no digit, a truncated one, an unknown payload type.
    for (payload_type, payload) in [(101, &[16, 0x8a, 3, 0x20][..]), (101, &[5, 0x8a]), (102, &[5, 0x8a, 3, 0x20])] {
        let packet = phone.packet(payload_type, true, phone.timestamp + 5000, payload);
        assert_eq!(bench.feed(A, false, A_RTP, &packet), None);
    }
    bench.run(1000);
    assert_eq!((told(&mut bench), bench.dropped(A, DropReason::UnknownPayload)), (vec![], 1));
}

#[test]
fn keys_are_pressed_into_a_stream_that_goes_on() {
    let mut bench = parted(8000);
    let mut phone = Presser::new(8000);
    let mut heard: Vec<RtpHeader> = Vec::new();
    let mut keys: Vec<(RtpHeader, [u8; 4])> = Vec::new();
    for n in 0..50 {
        if n == 10 {
            let (press, digits) = (EVENT, "12".to_owned());
            bench.command(MediaCommand::Press { end: B, press, digits, ms: 100 });
        }
        if let Some((transmit, bytes)) = bench.feed(A, false, A_RTP, &phone.audio()) {
            assert_eq!(transmit.via, B);
            heard.push(RtpHeader::parse(&bytes).unwrap());
        }
        for made in bench.run(20) {
            keys.push((made.rtp(), made.payload().try_into().unwrap()));
            heard.push(made.rtp());
        }
    }
    assert_eq!(keys.len(), 14);
    assert!(keys.iter().all(|(rtp, _)| rtp.payload_type == 96));
    let ends: Vec<u8> = keys.iter().filter(|(_, key)| key[1] & END != 0).map(|(_, key)| key[0]).collect();
    assert_eq!(ends, [1, 1, 1, 2, 2, 2]);
    // One stream without a gap in its numbers and with continuous time.
    assert!(heard.windows(2).all(|pair| pair[0].ssrc == pair[1].ssrc));
    assert!(heard.windows(2).all(|pair| pair[1].sequence == pair[0].sequence.wrapping_add(1)));
    let audio: Vec<&RtpHeader> = heard.iter().filter(|rtp| rtp.payload_type == 0).collect();
    for (n, rtp) in audio.iter().enumerate() {
        // No packet follows another within less than 20 ms.
        let silent = if n < 10 { 0 } else { 51 - audio.len() as u32 };
        assert_eq!(rtp.timestamp, audio[0].timestamp + (n as u32 + silent) * 160, "{n}");
    }
    assert_eq!(bench.dropped(A, DropReason::KeyPressed), 50 - audio.len() as u64);
    assert!((16..=18).contains(&(50 - audio.len())), "{}", audio.len());
    // Digits are also sent while the other side is silent, and its later packets do not displace them.
    bench.command(MediaCommand::Press { end: B, press: EVENT, digits: "3".into(), ms: 60 });
    assert_eq!(bench.run(400).len(), 5);
    assert!(bench.feed(A, false, A_RTP, &phone.audio()).is_some());
}

/// DTMF method of a side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Events,
    Info,
    Tones,
}

/// Returns a wire that removes digits of either method from PCMU.
fn taking(press: Option<DigitFormat>) -> WireSpec {
    taking_out_of(PCMU, PCMU, press)
}

/// Returns a wire that removes digits of either method from one side's audio and transcodes the audio for the other
/// side.
fn taking_out_of(from: (u8, PayloadCodec), to: (u8, PayloadCodec), press: Option<DigitFormat>) -> WireSpec {
    let clock_hz = from.1.clock_hz();
    let transcode = TranscodeSpec { from: vec![from], to, packet_ms: 20, events: vec![], noise: Some((13, Some(13))) };
    let events = vec![(101, clock_hz), (96, clock_hz)];
    let parted = DtmfConversion { events, tones: true, press, ..DtmfConversion::default() };
    WireSpec {
        clocks: vec![(from.0, clock_hz)],
        transcode: Some(Box::new(transcode)),
        parted: Some(Box::new(parted)),
        ..WireSpec::default()
    }
}

/// Remote party of end B: the packets sent to it, and the digits detected in them.
struct Reader {
    bench: Bench,
    line: Line,
    keys: String,
    audio: Vec<Vec<u8>>,
}

impl Reader {
    fn new(line: Line, audio: (u8, PayloadCodec)) -> Reader {
        let mut bench = Bench::connected();
        bench.command(MediaCommand::Wire { from: A, to: B, wire: taking_out_of(audio, PCMU, None) });
        Reader { bench, line, keys: String::new(), audio: Vec::new() }
    }

    fn read(&mut self, bytes: &[u8]) {
        if !self.line.loses() {
            let left = self.bench.feed(A, false, A_RTP, bytes);
            self.audio.extend(left.map(|(_, bytes)| bytes));
        }
    }

    fn pass(&mut self) {
        self.bench.run(20);
        self.keys.extend(told(&mut self.bench).iter().map(|(key, _)| key));
    }
}

/// Sends digits over a wire between these codecs, each followed by `speech` packets of speech; returns the digits
/// detected on the other side.
fn pressed(
    (from, near): (Way, (u8, PayloadCodec)),
    (to, far): (Way, (u8, PayloadCodec)),
    percent: u32,
    (keys, speech): (&str, u32),
) -> String {
    let mut bench = Bench::connected();
    let press = match to {
        Way::Events => Some(DigitFormat::Event { payload: 96, clock_hz: far.1.clock_hz() }),
        Way::Tones => Some(DigitFormat::Tone { payload: far.0, coding: far.1 }),
        Way::Info => None,
    };
    bench.command(MediaCommand::Wire { from: A, to: B, wire: taking_out_of(near, far, press) });
    let losses = if from == Way::Info { (0, percent) } else { (percent, 0) };
    let (mut phone, mut line) = (Presser::speaking(near), Line { seed: 5, percent: losses.0 });
    let (mut reader, mut by_info) = (Reader::new(Line { seed: 5, percent: losses.1 }, far), String::new());
    for key in keys.chars() {
        let mut packets = match from {
            Way::Events => phone.press(events_of(key), 10),
            Way::Tones => phone.tone(key, 10),
            Way::Info => {
                match press {
                    Some(press) => bench.command(MediaCommand::Press { end: B, press, digits: key.into(), ms: 200 }),
                    None => by_info.push(key),
                }
                Vec::new()
            }
        };
        packets.extend((0..speech).map(|_| phone.noise()));
        phone.pause(20 * (30 - speech));
        packets.extend((speech..30).map(|_| Vec::new()));
        for packet in packets {
            if !packet.is_empty()
                && !line.loses()
                && let Some((_, bytes)) = bench.feed(A, false, A_RTP, &packet)
            {
                reader.read(&bytes);
            }
            for made in bench.run(20) {
                reader.read(&made.bytes);
            }
            reader.pass();
            by_info.extend(told(&mut bench).iter().map(|(key, _)| key));
        }
    }
    if to == Way::Info { by_info } else { reader.keys }
}

fn events_of(key: char) -> u8 {
    "0123456789*#ABCD".chars().position(|each| each == key).unwrap() as u8
}

#[test]
fn dtmf_converts_despite_loss() {
    for percent in [0, 10, 40] {
        for from in [Way::Events, Way::Info, Way::Tones] {
            for to in [Way::Events, Way::Info, Way::Tones] {
                let read = pressed((from, PCMU), (to, PCMU), percent, (KEYS, 30));
                assert_eq!(read, KEYS, "{from:?} to {to:?}, {percent} % lost");
            }
        }
    }
}

/// Tests all combinations of methods between these codecs with a few digits of low and of high tones, one of them
/// twice.
fn between(pairs: &[(Audio, Audio)]) {
    for (near, far) in pairs {
        for percent in [0, 10, 40] {
            for from in [Way::Events, Way::Info, Way::Tones] {
                for to in [Way::Events, Way::Info, Way::Tones] {
                    let read = pressed((from, *near), (to, *far), percent, ("1DD", 2));
                    assert_eq!(read, "1DD", "{near:?} {from:?} to {far:?} {to:?}, {percent} % lost");
                }
            }
        }
    }
}

#[test]
fn the_same_from_opus() {
    between(&[(OPUS, PCMU), (OPUS, G722)]);
}

#[test]
fn the_same_to_opus() {
    between(&[(PCMU, OPUS), (G722, OPUS)]);
}

#[test]
fn the_same_between_two_of_a_kind_and_g722() {
    between(&[(OPUS, OPUS), (G722, PCMU), (PCMU, G722), (G722, G722)]);
}

#[test]
fn comfort_noise_and_silence_that_is_not_sent_between_tones() {
    for audio in [PCMU, OPUS, G722] {
        let mut bench = Bench::connected();
        bench.command(MediaCommand::Wire { from: A, to: B, wire: taking_out_of(audio, PCMU, None) });
        let mut phone = Presser::speaking(audio);
        // Comfort noise during a digit does not end it; a pause of 60 ms without any packet does.
        for (key, noise, pause) in [('5', true, 0), ('5', false, 60), ('5', false, 100)] {
            let mut packets = phone.tone(key, 10);
            if noise {
                let at = RtpHeader::parse(&packets[5]).unwrap();
                let (sequence, timestamp) = (phone.sequence, phone.timestamp);
                phone.sequence = at.sequence;
                packets[5] = phone.packet(13, false, at.timestamp, &[60]);
                (phone.sequence, phone.timestamp) = (sequence, timestamp);
            }
            for packet in packets {
                bench.feed(A, false, A_RTP, &packet);
                bench.run(20);
            }
            phone.pause(pause);
            bench.run(pause.into());
        }
        let first: Vec<char> = told(&mut bench).iter().map(|(key, _)| *key).collect();
        bench.run(1000);
        let rest: Vec<char> = told(&mut bench).iter().map(|(key, _)| *key).collect();
        assert_eq!([first, rest].concat(), ['5', '5'], "{audio:?}");
    }
}

#[test]
fn a_tone_that_is_a_key_is_kept_out_of_the_audio() {
    let mut bench = Bench::connected();
    bench.command(MediaCommand::Wire { from: A, to: B, wire: taking(None) });
    // Listeners get none of it either.
    let settings = StreamSettings { stream_sid: "MZ1".into(), tracks: TrackSet::Inbound, ..StreamSettings::default() };
    bench.add_agent(AGENT, settings);
    bench.agent(AGENT, AgentInput::Opened);
    let audio = TapSpec { inbound: vec![PCMU], outbound: Vec::new() };
    bench.command(MediaCommand::Tap { of: A, listener: AGENT, audio });
    let mut phone = Presser::new(8000);
    let mut heard = Vec::new();
    let packets: Vec<Vec<u8>> =
        [(0..5).map(|_| phone.noise()).collect(), phone.tone('5', 10), (0..5).map(|_| phone.noise()).collect()]
            .concat();
    for packet in packets {
        let (_, bytes) = bench.feed(A, false, A_RTP, &packet).unwrap();
        let most = bytes[12..].iter().map(|code| decode_ulaw(*code).unsigned_abs()).max().unwrap();
        heard.push(most);
        bench.run(20);
    }
    assert_eq!(told(&mut bench).len(), 1);
    // The detector needs 20 ms of a tone to mute it completely; the audio before and after it passes.
    assert!(heard[..5].iter().chain(&heard[17..]).all(|most| (100..200).contains(most)), "{heard:?}");
    assert!(heard[5..15].iter().all(|most| *most == 0), "{heard:?}");
    let messages = bench.written(AGENT);
    let frames = messages.iter().filter(|message| message["event"] == "media").map(crate::support::audio);
    let most: Vec<u16> =
        frames.map(|frame| frame.iter().map(|code| decode_ulaw(*code).unsigned_abs()).max().unwrap()).collect();
    assert_eq!(most[..heard.len()], heard[..], "listeners hear what the other side does");
}

#[test]
fn a_tone_whose_audio_ends_with_it_is_one_key() {
    let mut bench = Bench::connected();
    bench.command(MediaCommand::Wire { from: A, to: B, wire: taking(None) });
    for packet in Presser::new(8000).tone('9', 10) {
        bench.feed(A, false, A_RTP, &packet);
        bench.run(20);
    }
    assert_eq!(told(&mut bench), []);
    bench.run(200);
    assert!(matches!(told(&mut bench)[..], [('9', 180..=210)]));
}

#[test]
fn an_agent_is_told_of_a_tone_and_does_not_hear_it() {
    for audio in [PCMU, G722, OPUS] {
        let mut bench = Bench::unconnected();
        bench.set_remote(A, remote(A_RTP));
        bench.add_agent(AGENT, StreamSettings { stream_sid: "MZ1".into(), ..StreamSettings::default() });
        bench.agent(AGENT, AgentInput::Opened);
        let parted = Some(Box::new(DtmfConversion { tones: true, ..DtmfConversion::default() }));
        let form = WireFrom { payload: audio.0, coding: audio.1 };
        let clocks = vec![(audio.0, audio.1.clock_hz())];
        bench.command(MediaCommand::Wire { from: A, to: AGENT, wire: WireSpec { parted, clocks, ..form.spec() } });
        let mut phone = Presser::speaking(audio);
        let send = |bench: &mut Bench, packets: Vec<Vec<u8>>| {
            for packet in packets {
                bench.feed(A, false, A_RTP, &packet);
                bench.run(20);
            }
        };
        let packets = [phone.tone('#', 5), (0..10).map(|_| phone.noise()).collect(), phone.tone('1', 5)].concat();
        send(&mut bench, packets);
        // A tone that was active when the audio stopped has ended when it resumes.
        phone.pause(300);
        bench.run(300);
        send(&mut bench, phone.tone('1', 5));
        let messages = bench.written(AGENT);
        let keys: Vec<_> = messages.iter().filter(|message| message["event"] == "dtmf").collect();
        let keys: Vec<_> = keys.iter().map(|key| key["dtmf"]["digit"].as_str().unwrap()).collect();
        assert_eq!(keys, ["#", "1", "1"], "{audio:?}");
        let frames = messages.iter().filter(|message| message["event"] == "media").map(crate::support::audio);
        let is_loud = |frame: &Vec<u8>| frame.iter().any(|code| decode_ulaw(*code).unsigned_abs() > 250);
        let loud = frames.filter(is_loud).count();
        // With G.722 and Opus, the beginning of the tone is in the packet before the first one that is detected.
        assert!(loud <= if audio == PCMU { 0 } else { 3 }, "{audio:?}: {loud}");
    }
}
