//! Keys on wires between sides that press them in different ways, whatever is lost on the way.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // helpers of tests are not `#[test]` themselves

mod support;

use support::*;
use trunkgate_media::codec::g711::{decode_ulaw, encode_ulaw};
use trunkgate_media::rtp::Rtp;
use trunkgate_media::{Coding, Command, DropReason, EndId, Event, PartedSpec, PressSpec, TranscodeSpec, WireSpec};

const EVENT: PressSpec = PressSpec::Event { payload: 96, clock_hz: 8000 };
const AGENT: EndId = EndId(7);
const KEYS: &str = "123A456B789C*0#D1122";
/// RFC 4733 §2.5.1: the end.
const END: u8 = 0x80;

/// A sends telephone-events, of which signalling is told; B gets keys as telephone-events.
fn parted(clock_hz: u32) -> Bench {
    let mut bench = Bench::connected();
    let wire = |events, press| WireSpec {
        payloads: vec![(0, 0)],
        parted: Some(Box::new(PartedSpec { events, press, tones: false })),
        ..WireSpec::default()
    };
    bench.command(Command::Wire { from: A, to: B, wire: wire(vec![(101, clock_hz)], None) });
    bench.command(Command::Wire { from: B, to: A, wire: wire(vec![], Some(EVENT)) });
    bench
}

/// A phone that speaks and presses keys: a packet each 20 ms.
struct Presser {
    sequence: u16,
    timestamp: u32,
    clock_hz: u32,
}

impl Presser {
    fn new(clock_hz: u32) -> Presser {
        Presser { sequence: 0, timestamp: 0, clock_hz }
    }
    fn packet(&mut self, payload_type: u8, marker: bool, timestamp: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let rtp = Rtp { marker, payload_type, sequence: self.sequence, timestamp, ssrc: 7, payload: 0..0 };
        rtp.build(payload, &mut bytes);
        self.sequence += 1;
        bytes
    }
    fn audio(&mut self) -> Vec<u8> {
        self.timestamp = self.timestamp.wrapping_add(self.clock_hz / 50);
        self.packet(0, false, self.timestamp, &[0x55; 160])
    }
    /// The packets of a key's tone, so many of 20 ms.
    fn tone(&mut self, key: char, packets: u32) -> Vec<Vec<u8>> {
        let at = "123A456B789C*0#D".chars().position(|each| each == key).unwrap();
        let (row, column) = ([697.0, 770.0, 852.0, 941.0][at / 4], [1209.0, 1336.0, 1477.0, 1633.0][at % 4]);
        let sample = |n: u32| {
            let value = |hz: f64| (std::f64::consts::TAU * hz * f64::from(n) / 8000.0).sin();
            encode_ulaw((7000.0 * (value(row) + value(column))) as i16)
        };
        let packet = |n: u32| {
            let payload: Vec<u8> = (n * 160..(n + 1) * 160).map(sample).collect();
            self.timestamp = self.timestamp.wrapping_add(160);
            self.packet(0, false, self.timestamp, &payload)
        };
        (0..packets).map(packet).collect()
    }
    /// Softly spoken.
    fn noise(&mut self) -> Vec<u8> {
        self.timestamp = self.timestamp.wrapping_add(160);
        let seed = u32::from(self.sequence);
        let payload: Vec<u8> = (0..160).map(|n| encode_ulaw(((seed + n) * 7919 % 301) as i16 - 150)).collect();
        self.packet(0, false, self.timestamp, &payload)
    }
    /// The packets of a press: so many of 20 ms, and the last one thrice; a longer one in segments (RFC 4733 §2.5.1.3).
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

/// A line that loses so many packets of a hundred.
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
        Event::Key { end: A, key, ms } => Some((key, ms)),
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
                for (event, key) in events().zip(KEYS.chars()) {
                    let packets = phone.press(event, 8);
                    let mut heard = false;
                    for packet in packets.into_iter().chain((0..12).map(|_| phone.audio()).collect::<Vec<_>>()) {
                        if !line.loses() {
                            heard |= packet[1] & 0x7f == 101;
                            let left = bench.feed(A, false, A_RTP, &packet);
                            assert_eq!(left.is_some(), packet[1] & 0x7f == 0, "a key passes as such");
                        }
                        bench.run(20);
                    }
                    keys.extend(told(&mut bench));
                    // Of ten packets at 40 %, all are lost once in 10,000 presses.
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
        // 20 s: beyond what one segment can say, on either clock.
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
    // The next one begins before the last one's end was heard of, whose packets come after that.
    let (first, second) = (phone.press(6, 5), phone.press(7, 5));
    for packet in [&first[1], &first[0], &second[0], &first[6], &second[4], &second[3], &second[5], &first[4]] {
        bench.feed(A, false, A_RTP, packet);
    }
    bench.run(1000);
    assert_eq!(told(&mut bench), [('6', 40), ('7', 100)]);
    // An event that is no key, one cut short, an unknown number.
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
    let mut heard: Vec<Rtp> = Vec::new();
    let mut keys: Vec<(Rtp, [u8; 4])> = Vec::new();
    for n in 0..50 {
        if n == 10 {
            let (press, digits) = (EVENT, "12".to_owned());
            bench.command(Command::Press { end: B, press, digits, ms: 100 });
        }
        if let Some((transmit, bytes)) = bench.feed(A, false, A_RTP, &phone.audio()) {
            assert_eq!(transmit.via, B);
            heard.push(Rtp::parse(&bytes).unwrap());
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
    // One stream without a gap in its numbers, whose time goes on.
    assert!(heard.windows(2).all(|pair| pair[0].ssrc == pair[1].ssrc));
    assert!(heard.windows(2).all(|pair| pair[1].sequence == pair[0].sequence.wrapping_add(1)));
    let audio: Vec<&Rtp> = heard.iter().filter(|rtp| rtp.payload_type == 0).collect();
    for (n, rtp) in audio.iter().enumerate() {
        // No packet begins less than 20 ms after another.
        let silent = if n < 10 { 0 } else { 51 - audio.len() as u32 };
        assert_eq!(rtp.timestamp, audio[0].timestamp + (n as u32 + silent) * 160, "{n}");
    }
    assert_eq!(bench.dropped(A, DropReason::KeyPressed), 50 - audio.len() as u64);
    assert!((16..=18).contains(&(50 - audio.len())), "{}", audio.len());
    // Also while the other side sends nothing at all; and it takes no key's place after that.
    bench.command(Command::Press { end: B, press: EVENT, digits: "3".into(), ms: 60 });
    assert_eq!(bench.run(400).len(), 5);
    assert!(bench.feed(A, false, A_RTP, &phone.audio()).is_some());
}

/// How a side presses keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Events,
    Info,
    Tones,
}

const TONE: PressSpec = PressSpec::Tone { payload: 0, coding: Coding::Pcmu };

/// A wire that takes keys of both kinds out of PCMU.
fn taking(press: Option<PressSpec>) -> WireSpec {
    let (from, to) = (vec![(0, Coding::Pcmu)], (0, Coding::Pcmu));
    let transcode = TranscodeSpec { from, to, packet_ms: 20, events: vec![], noise: None };
    let parted = PartedSpec { events: vec![(101, 8000), (96, 8000)], tones: true, press };
    WireSpec { transcode: Some(Box::new(transcode)), parted: Some(Box::new(parted)), ..WireSpec::default() }
}

/// The far side of B: what it is sent, and which keys it finds in it.
struct Reader {
    bench: Bench,
    line: Line,
    keys: String,
    audio: Vec<Vec<u8>>,
}

impl Reader {
    fn new(line: Line) -> Reader {
        let mut bench = Bench::connected();
        bench.command(Command::Wire { from: A, to: B, wire: taking(None) });
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

/// Presses all keys along a wire: what the other side is told.
fn pressed(from: Way, to: Way, percent: u32) -> String {
    let mut bench = Bench::connected();
    let press = match to {
        Way::Events => Some(EVENT),
        Way::Tones => Some(TONE),
        Way::Info => None,
    };
    bench.command(Command::Wire { from: A, to: B, wire: taking(press) });
    let (near, far) = if from == Way::Info { (0, percent) } else { (percent, 0) };
    let (mut phone, mut line) = (Presser::new(8000), Line { seed: 5, percent: near });
    let (mut reader, mut by_info) = (Reader::new(Line { seed: 5, percent: far }), String::new());
    for key in KEYS.chars() {
        let mut packets = match from {
            Way::Events => phone.press(events_of(key), 10),
            Way::Tones => phone.tone(key, 10),
            Way::Info => {
                match press {
                    Some(press) => bench.command(Command::Press { end: B, press, digits: key.into(), ms: 200 }),
                    None => by_info.push(key),
                }
                Vec::new()
            }
        };
        packets.extend((0..30).map(|_| phone.noise()));
        for packet in packets {
            if !line.loses()
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
fn each_way_of_pressing_becomes_each_other_whatever_is_lost() {
    for percent in [0, 10, 40] {
        for from in [Way::Events, Way::Info, Way::Tones] {
            for to in [Way::Events, Way::Info, Way::Tones] {
                assert_eq!(pressed(from, to, percent), KEYS, "{from:?} to {to:?}, {percent} % lost");
            }
        }
    }
}

#[test]
fn a_tone_that_is_a_key_is_kept_out_of_the_audio() {
    let mut bench = Bench::connected();
    bench.command(Command::Wire { from: A, to: B, wire: taking(None) });
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
    // Its first 20 ms have a window of it: none of it passes. What is said before and after does.
    assert!(heard[..5].iter().chain(&heard[17..]).all(|most| (100..200).contains(most)), "{heard:?}");
    assert!(heard[5..15].iter().all(|most| *most == 0), "{heard:?}");
}

#[test]
fn a_tone_whose_audio_ends_with_it_is_one_key() {
    let mut bench = Bench::connected();
    bench.command(Command::Wire { from: A, to: B, wire: taking(None) });
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
    let mut bench = Bench::unconnected();
    bench.set_remote(A, remote(A_RTP));
    bench.add_agent(AGENT, trunkgate_media::agent::Settings { stream_sid: "MZ1".into(), ..Default::default() });
    bench.agent(AGENT, trunkgate_media::AgentInput::Opened);
    let parted = Some(Box::new(PartedSpec { tones: true, ..PartedSpec::default() }));
    bench.command(Command::Wire { from: A, to: AGENT, wire: WireSpec { parted, coding: Coding::Pcmu, ..ULAW.spec() } });
    let mut phone = Presser::new(8000);
    for packet in [phone.tone('#', 5), (0..10).map(|_| phone.noise()).collect(), phone.tone('1', 5)].concat() {
        bench.feed(A, false, A_RTP, &packet);
        bench.run(20);
    }
    let messages = bench.written(AGENT);
    let keys: Vec<_> = messages.iter().filter(|message| message["event"] == "dtmf").collect();
    let keys: Vec<_> = keys.iter().map(|key| key["dtmf"]["digit"].as_str().unwrap()).collect();
    assert_eq!(keys, ["#", "1"]);
    let frames = messages.iter().filter(|message| message["event"] == "media").map(audio);
    assert!(frames.flatten().all(|code| decode_ulaw(code).unsigned_abs() < 200));
}

#[test]
fn tones_are_made_in_a_stream_that_goes_on_and_in_the_edge_s_own() {
    // In one that another side feeds.
    let mut bench = Bench::connected();
    bench.command(Command::Press { end: B, press: TONE, digits: "5".into(), ms: 100 });
    let made = bench.run(300);
    // 100 ms and the beginning of a pause.
    assert_eq!(made.len(), 7);
    assert!(made.windows(2).all(|pair| pair[1].rtp().timestamp == pair[0].rtp().timestamp + 160));
    let loudest = |made: &Made| made.payload().iter().map(|code| decode_ulaw(*code).unsigned_abs()).max().unwrap();
    assert!(made[..5].iter().all(|made| loudest(made) > 10_000) && made[5..].iter().all(|made| loudest(made) == 0));
}
