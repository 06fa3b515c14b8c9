//! Order of packets before a decoder and before an agent: in sequence, each once, within the maximum delay. The
//! simulated paths lose, delay and reorder packets, in virtual time and with a seed.
//!
//! `cargo test -p trunkgate-media --test it -- --nocapture jitter::measured` prints the figures of
//! docs/configure/agents.md.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may unwrap")]
#![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::support::*;
use proptest::prelude::*;
use trunkgate_media::agent::limits::{REORDER, REORDER_MOST};
use trunkgate_media::agent::{AgentFormat, StreamSettings};
use trunkgate_media::codec::g711::encode_ulaw;
use trunkgate_media::limits::{JITTER_BYTES, JITTER_PACKETS};
use trunkgate_media::rtp::RtpHeader;
use trunkgate_media::{AgentInput, DropReason, EndId, JitterBuffer, MediaCommand};

const AGENT: EndId = EndId(7);
const MS: Duration = Duration::from_millis(1);

/// Packet released by the jitter buffer: source, number, time and payload.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Left {
    ssrc: u32,
    sequence: u16,
    at: Duration,
    payload: Vec<u8>,
}

/// Jitter buffer in virtual time.
struct Wire {
    start: Instant,
    buffer: JitterBuffer,
    left: Vec<Left>,
}

impl Wire {
    fn new() -> Wire {
        Wire { start: Instant::now(), buffer: JitterBuffer::new(), left: Vec::new() }
    }

    fn until(&mut self, at: Duration) {
        while let Some(over) = self.buffer.poll_timeout().filter(|over| *over < self.start + at) {
            let before = self.left.len();
            self.buffer.handle_timeout(over, |rtp, payload| self.left.push(left(over - self.start, rtp, payload)));
            assert!(self.left.len() > before, "a deadline lets something leave");
        }
    }

    fn take(&mut self, at: Duration, ssrc: u32, sequence: u16, payload: &[u8]) -> Result<(), DropReason> {
        self.until(at);
        let rtp = RtpHeader { ssrc, sequence, timestamp: 0, ..header(0) };
        self.buffer.add_packet(self.start + at, &rtp, payload, |rtp, payload| self.left.push(left(at, rtp, payload)))
    }

    fn numbers(&self) -> Vec<u16> {
        self.left.iter().map(|left| left.sequence).collect()
    }
}

fn left(at: Duration, rtp: &RtpHeader, payload: &[u8]) -> Left {
    Left { ssrc: rtp.ssrc, sequence: rtp.sequence, at, payload: payload.to_vec() }
}

/// Feeds packets, given by arrival time in milliseconds and number; returns the released packets in the same form, and
/// the numbers of the rejected ones.
fn play(packets: &[(u64, u16)]) -> (Vec<(u64, u16)>, Vec<u16>) {
    let mut wire = Wire::new();
    let mut refused = Vec::new();
    for (ms, sequence) in packets {
        if let Err(reason) = wire.take(Duration::from_millis(*ms), 1, *sequence, &sequence.to_be_bytes()) {
            assert_eq!(reason, DropReason::Late);
            refused.push(*sequence);
        }
    }
    wire.until(Duration::from_secs(1000));
    assert!(!wire.buffer.waits() && wire.left.iter().all(|left| left.payload == left.sequence.to_be_bytes()));
    (wire.left.iter().map(|left| (left.at.as_millis() as u64, left.sequence)).collect(), refused)
}

#[test]
fn only_a_gap_makes_wait() {
    for (packets, leaves, refused) in [
        // In order, at once, with any pauses; numbers roll over.
        (
            &[(0, 65_534), (20, 65_535), (500, 0), (501, 1)][..],
            &[(0, 65_534), (20, 65_535), (500, 0), (501, 1)][..],
            &[][..],
        ),
        // Two packets change places.
        (&[(0, 1), (20, 3), (25, 2), (40, 4)], &[(0, 1), (25, 2), (25, 3), (40, 4)], &[]),
        // One is lost: the next packets wait for 40 ms, and no longer.
        (&[(0, 1), (20, 3), (40, 4), (80, 6)], &[(0, 1), (60, 3), (60, 4), (120, 6)], &[]),
        // The second gap has its own timeout.
        (&[(0, 1), (20, 3), (50, 5)], &[(0, 1), (60, 3), (90, 5)], &[]),
        (&[(0, 1), (20, 5), (30, 3), (50, 2)], &[(0, 1), (50, 2), (50, 3), (60, 5)], &[]),
        // A late packet, and a duplicate.
        (&[(0, 1), (20, 3), (61, 2), (62, 3), (63, 4)], &[(0, 1), (60, 3), (63, 4)], &[2, 3]),
        (&[(0, 1), (1, 1), (20, 3), (21, 3), (22, 2), (23, 2)], &[(0, 1), (22, 2), (22, 3)], &[1, 3, 2]),
        // A long loss is not reordering.
        (&[(0, 1), (700, 34), (720, 35)], &[(0, 1), (700, 34), (720, 35)], &[]),
        // RFC 3550 A.1: a jump counts once a second packet confirms it.
        (&[(0, 1), (20, 30_000), (40, 2)], &[(0, 1), (40, 2)], &[30_000]),
        (&[(0, 1), (20, 3), (30, 30_000), (40, 30_001)], &[(0, 1), (40, 3), (40, 30_001)], &[30_000]),
        (&[(0, 200), (20, 99), (40, 100), (60, 101)], &[(0, 200), (40, 100), (60, 101)], &[99]),
        (&[(0, 200), (20, 101), (40, 102), (60, 201)], &[(0, 200), (60, 201)], &[101, 102]),
    ] {
        assert_eq!(play(packets), (leaves.to_vec(), refused.to_vec()), "{packets:?}");
    }
}

#[test]
fn another_source_has_its_own_numbers() {
    let mut wire = Wire::new();
    for (at, ssrc, sequence) in [(0, 1, 10), (20, 1, 12), (30, 2, 12), (50, 2, 13), (60, 2, 15), (70, 2, 14)] {
        wire.take(MS * at, ssrc, sequence, b"").unwrap();
    }
    let left: Vec<_> = wire.left.iter().map(|left| (left.at.as_millis(), left.ssrc, left.sequence)).collect();
    assert_eq!(left, [(0, 1, 10), (30, 1, 12), (30, 2, 12), (50, 2, 13), (70, 2, 14), (70, 2, 15)]);
}

#[test]
fn what_has_come_later_twice_is_waited_for() {
    let mut wire = Wire::new();
    let mut sequence = 0;
    let mut gap = |wire: &mut Wire, late: u32| {
        let at = MS * (u32::from(sequence) * 100);
        wire.take(at, 1, sequence, b"").unwrap();
        wire.take(at, 1, sequence + 2, b"").unwrap();
        let taken = wire.take(at + MS * late, 1, sequence + 1, b"").is_ok();
        sequence += 3;
        taken
    };
    let taken: Vec<bool> = [60, 60, 60, 70, 71, 95, 96, 97, 100, 101].map(|late| gap(&mut wire, late)).to_vec();
    assert_eq!(taken, [false, false, true, true, false, false, false, true, true, false]);
    // The path is good again: after 20 s the wait is back to 40 ms.
    for _ in 0..100 {
        assert!(gap(&mut wire, 0));
    }
    assert_eq!([39, 41].map(|late| gap(&mut wire, late)), [true, false]);
}

/// All packets wait for one that never arrives; the memory stays as large as at the start.
#[test]
fn a_flood_has_no_more_room_than_there_is() {
    for bytes in [0, 10, 300, 2000, JITTER_BYTES + 1] {
        let mut wire = Wire::new();
        wire.take(Duration::ZERO, 1, 0, b"").unwrap();
        let (mut most, mut held) = (0, 0);
        for n in 1..2000_u16 {
            wire.take(MS, 1, 2 * n, &vec![1; bytes]).unwrap();
            held = usize::from(n) + 1 - wire.left.len();
            most = most.max(held);
        }
        assert!(most <= JITTER_PACKETS && most * bytes <= JITTER_BYTES, "{most} of {bytes}");
        assert_eq!(held == 0, bytes > JITTER_BYTES);
        assert!(wire.numbers().is_sorted());
    }
}

proptest! {
    /// With any delays up to 40 ms, any losses and any duplicates, each received packet is released once, in order.
    #[test]
    fn reordering_within_40_ms_loses_nothing(
        first in any::<u16>(),
        packets in proptest::collection::vec((0_u64..=40, any::<bool>(), 0_u8..10), 1..200),
        packet_ms in proptest::sample::select(&[10_u64, 20, 30, 60][..]),
    ) {
        let mut arrivals = Vec::new();
        for (n, (delay, twice, lost)) in packets.iter().enumerate() {
            let at = n as u64 * packet_ms + delay;
            // The first one sets the initial number.
            if *lost > 0 || n == 0 {
                arrivals.push((if n == 0 { 0 } else { at }, n));
                arrivals.extend(twice.then_some((at + 41, n)));
            }
        }
        arrivals.sort_unstable();
        let mut came: Vec<u16> = arrivals.iter().map(|(_, n)| first.wrapping_add(*n as u16)).collect();
        let (left, refused) = play(&arrivals.iter().map(|(at, n)| (*at, first.wrapping_add(*n as u16))).collect::<Vec<_>>());
        let duplicates = came.len();
        came.sort_unstable_by_key(|sequence| sequence.wrapping_sub(first));
        came.dedup();
        prop_assert_eq!(left.iter().map(|(_, sequence)| *sequence).collect::<Vec<_>>(), came.clone());
        prop_assert_eq!(refused.len(), duplicates - came.len());
    }

    /// For any packets, each accepted packet is released once, with its payload, within 100 ms, and numbers only grow
    /// except at restarts.
    #[test]
    fn any_packets_at_all(
        packets in proptest::collection::vec((0_u64..60, 0_u32..8, any::<u16>(), 0_u16..60, 0_usize..3000), 0..200),
    ) {
        let mut wire = Wire::new();
        let (mut at, mut taken) = (Duration::ZERO, HashMap::new());
        for (index, (wait, kind, anywhere, near, bytes)) in packets.into_iter().enumerate() {
            at += MS * wait as u32;
            let sequence = if kind == 7 { anywhere } else { (index as u16).wrapping_add(near) };
            let mut payload = (index as u32).to_be_bytes().to_vec();
            payload.resize(bytes.max(4), 0);
            if wire.take(at, u32::from(kind == 6), sequence, &payload).is_ok() {
                taken.insert(payload, at);
            }
        }
        wire.until(Duration::from_secs(100));
        prop_assert_eq!(wire.left.len(), taken.len());
        let restarts = wire.left.windows(2).filter(|pair| {
            let ahead = pair[1].sequence.wrapping_sub(pair[0].sequence);
            pair[0].ssrc == pair[1].ssrc && !(1..3100).contains(&ahead)
        });
        // A restart takes two packets.
        prop_assert!(restarts.count() * 2 <= taken.len());
        for left in &wire.left {
            let came = taken.remove(&left.payload);
            prop_assert!(came.is_some_and(|came| left.at <= came + REORDER_MOST), "{:?} {came:?}", left.at);
        }
    }
}

/// Random number generator (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }
}

/// Simulated path for packets of 20 ms.
#[derive(Debug, Clone, Copy)]
struct Path {
    name: &'static str,
    loss_percent: u64,
    /// Delays are uniformly distributed up to this value.
    jitter_ms: u64,
    /// Each packet takes one of two routes; the second is longer by this value.
    detour_ms: u64,
    /// Every two seconds the path stalls for this time and then delivers everything.
    stall_ms: u64,
}

const PATHS: [Path; 6] = [
    Path { name: "clean", loss_percent: 0, jitter_ms: 0, detour_ms: 0, stall_ms: 0 },
    Path { name: "5 % loss", loss_percent: 5, jitter_ms: 0, detour_ms: 0, stall_ms: 0 },
    Path { name: "5 % loss, 30 ms jitter", loss_percent: 5, jitter_ms: 30, detour_ms: 0, stall_ms: 0 },
    Path { name: "5 % loss, 60 ms jitter", loss_percent: 5, jitter_ms: 60, detour_ms: 0, stall_ms: 0 },
    Path { name: "1 % loss, two lines, one 70 ms longer", loss_percent: 1, jitter_ms: 5, detour_ms: 70, stall_ms: 0 },
    Path { name: "150 ms of standstill in each 2 s", loss_percent: 0, jitter_ms: 0, detour_ms: 0, stall_ms: 150 },
];

impl Path {
    /// Lists the arrival times of packets.
    fn arrivals(&self, seed: u64, packets: u64) -> Vec<(Duration, u64)> {
        let mut chance = Chance(seed);
        let mut arrivals = Vec::new();
        for n in 0..packets {
            let delay_us = chance.below(self.jitter_ms * 1000) + chance.below(2) * self.detour_ms * 1000;
            let at_us = n * 20_000 + delay_us;
            let begun_us = at_us / 2_000_000 * 2_000_000;
            if chance.below(100) >= self.loss_percent {
                arrivals.push((Duration::from_micros(at_us.max(begun_us + self.stall_ms * 1000)), n));
            }
        }
        arrivals.sort_unstable();
        arrivals
    }
}

/// Share of the received packets whose audio was used, and the times that they waited.
#[derive(Debug)]
struct Figures {
    used: f64,
    p50: Duration,
    p99: Duration,
    most: Duration,
}

fn figures(came: usize, mut delays: Vec<Duration>) -> Figures {
    delays.sort_unstable();
    let at = |percent: usize| delays[(delays.len() - 1) * percent / 100];
    Figures { used: delays.len() as f64 * 100.0 / came as f64, p50: at(50), p99: at(99), most: at(100) }
}

fn print(what: &str, path: &Path, before: Option<f64>, figures: &Figures) {
    let Figures { used, p50, p99, most } = figures;
    let before = before.map_or(String::new(), |before| format!(" (as they came: {before:.2} %)"));
    println!("{what}, {}: {used:.2} % used{before}, delay p50 {p50:?}, p99 {p99:?}, most {most:?}", path.name);
}

#[test]
fn measured_before_a_decoder() {
    for path in PATHS {
        let arrivals = path.arrivals(1, 30_000);
        let mut wire = Wire::new();
        let (mut in_order, mut highest) = (0, None);
        for (at, n) in &arrivals {
            let _ = wire.take(*at, 1, *n as u16, &n.to_be_bytes());
            in_order += u64::from(highest < Some(*n));
            highest = highest.max(Some(*n));
        }
        wire.until(Duration::from_secs(10_000));
        let came: HashMap<u64, Duration> = arrivals.iter().map(|(at, n)| (*n, *at)).collect();
        let number = |left: &Left| u64::from_be_bytes(left.payload[..].try_into().unwrap());
        let delays = wire.left.iter().map(|left| left.at - came[&number(left)]).collect();
        let figures = figures(arrivals.len(), delays);
        print("decoder", &path, Some(in_order as f64 * 100.0 / arrivals.len() as f64), &figures);
        judge(&path, &figures);
    }
}

/// Checks the figures of a path: no waiting on a clean path, 40 ms after a loss, and nearly every received packet is
/// used.
fn judge(path: &Path, figures: &Figures) {
    assert_eq!(figures.p50, Duration::ZERO);
    match (path.loss_percent, path.detour_ms) {
        (0, _) if path.stall_ms == 0 => assert_eq!((figures.used, figures.most), (100.0, Duration::ZERO)),
        // Audio that arrives after its silence follows it, except in the stall at the beginning.
        (0, _) => assert!(figures.used >= 99.9 && figures.most == Duration::ZERO, "{figures:?}"),
        (_, 0) if path.jitter_ms <= 40 => assert!(figures.used == 100.0 && figures.most <= REORDER, "{figures:?}"),
        _ => assert!(figures.used > 99.9 && figures.most <= REORDER_MOST, "{figures:?}"),
    }
}

/// Measures the time from a packet's arrival to the agent's message with its audio, as linear audio from PCMU.
#[test]
fn measured_before_an_agent() {
    for path in PATHS {
        let arrivals = path.arrivals(2, 6000);
        let mut bench = Bench::unconnected();
        bench.set_remote(A, remote(A_RTP));
        bench.add_agent(
            AGENT,
            StreamSettings { format: AgentFormat::L16Rate8000, ping: Duration::ZERO, ..StreamSettings::default() },
        );
        bench.agent(AGENT, AgentInput::Opened);
        bench.command(MediaCommand::Wire { from: A, to: AGENT, wire: ULAW.spec() });
        let start = bench.now;
        let (mut waiting, mut delays) = (HashMap::new(), Vec::new());
        for (at, n) in &arrivals {
            while let Some(due) = bench.session.poll_timeout().filter(|due| *due <= start + *at) {
                bench.now = bench.now.max(due);
                bench.session.handle_timeout(bench.now);
                take_frames(&mut bench, &mut waiting, &mut delays);
            }
            bench.now = start + *at;
            let mut packet = Vec::new();
            RtpHeader { sequence: *n as u16, timestamp: *n as u32 * 160, ..header(0) }
                .build(&[(n % 100) as u8; 160], &mut packet);
            waiting.insert((n % 100) as u8, bench.now);
            bench.feed(A, false, A_RTP, &packet);
            take_frames(&mut bench, &mut waiting, &mut delays);
        }
        let figures = figures(arrivals.len(), delays);
        print("agent", &path, None, &figures);
        judge(&path, &figures);
    }
}

/// Measures the waiting time of the packets whose audio is sent now; each byte of a packet is its number modulo 100.
fn take_frames(bench: &mut Bench, waiting: &mut HashMap<u8, Instant>, delays: &mut Vec<Duration>) {
    for message in bench.written(AGENT).iter().filter(|message| message["event"] == "media") {
        let first = audio(message)[..2].try_into().unwrap();
        if let Some(came) = waiting.remove(&encode_ulaw(i16::from_le_bytes(first))) {
            delays.push(bench.now - came);
        }
    }
}
