//! RTP of any packet duration, order and clock as frames of 20 ms, in virtual time.

#![allow(clippy::unwrap_used, reason = "a test may unwrap")]
#![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use trunkgate_agent::limits::{FRAME, REORDER, SILENCE_AFTER};
use trunkgate_agent::{StreamTracks, TrackFrame, TrackInput, TrackName, TrackSet};

const INBOUND: TrackName = TrackName::Inbound;
const MS: Duration = Duration::from_millis(1);
const SILENCE: [u8; 160] = [0xff; 160];

/// RTP packet of a source, with its arrival time.
#[derive(Debug, Clone)]
struct Sent {
    at: Duration,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    payload: Vec<u8>,
}

/// Generates packets of `samples` samples from the stream's start on, each sent after its last sample. No sample is
/// silent.
fn source(packets: u32, samples: u32) -> Vec<Sent> {
    (0..packets)
        .map(|n| Sent {
            at: Duration::from_micros(u64::from(n * samples) * 125),
            ssrc: 7,
            sequence: 65_530_u16.wrapping_add(n as u16),
            timestamp: (u32::MAX - 1000).wrapping_add(n * samples),
            payload: audio(n * samples, samples),
        })
        .collect()
}

/// Returns the source's samples from a position on.
fn audio(from: u32, samples: u32) -> Vec<u8> {
    (from..from + samples).map(|n| (n % 251) as u8 & 0x7f ^ (n / 251 % 64) as u8).map(|byte| byte % 0x70).collect()
}

/// Frame returned by the tracks, with its time.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Left {
    at: Duration,
    frame: TrackFrame,
}

/// Tracks of a stream, which are fed with packets and polled after each packet and at each deadline.
struct Wire {
    start: Instant,
    tracks: StreamTracks,
    left: Vec<Left>,
}

impl Wire {
    fn new(set: TrackSet) -> Wire {
        Wire::of(false, set)
    }

    fn of(recorded: bool, set: TrackSet) -> Wire {
        let start = Instant::now();
        let tracks = if recorded { StreamTracks::recorded(start, set) } else { StreamTracks::new(start, set) };
        Wire { start, tracks, left: Vec::new() }
    }

    fn until(&mut self, at: Duration) {
        while let Some(due) = self.tracks.poll_timeout().filter(|due| *due < self.start + at) {
            let before = self.left.len();
            self.drain(due.max(self.start));
            assert!(self.left.len() > before, "a deadline brings a frame");
        }
    }

    fn push(&mut self, track: TrackName, sent: &Sent) {
        self.until(sent.at);
        let Sent { at, ssrc, sequence, timestamp, ref payload } = *sent;
        self.tracks.push(self.start + at, track, &TrackInput { ssrc, sequence, timestamp, payload });
        self.drain(self.start + at);
    }

    fn drain(&mut self, now: Instant) {
        while let Some(frame) = self.tracks.poll(now) {
            self.left.push(Left { at: now - self.start, frame });
        }
    }

    fn bytes(&self, track: TrackName) -> Vec<u8> {
        self.left.iter().filter(|left| left.frame.track == track).flat_map(|left| left.frame.audio).collect()
    }
}

/// Feeds packets to one track in the order of their arrival.
fn play(packets: &[Sent]) -> Wire {
    play_to(Wire::new(TrackSet::Inbound), packets)
}

fn play_to(mut wire: Wire, packets: &[Sent]) -> Wire {
    let mut order: Vec<&Sent> = packets.iter().collect();
    order.sort_by_key(|sent| sent.at);
    for sent in order {
        wire.push(INBOUND, sent);
    }
    wire.until(packets.iter().map(|sent| sent.at).max().unwrap_or_default() + Duration::from_millis(400));
    wire
}

fn concat(packets: &[Sent]) -> Vec<u8> {
    packets.iter().flat_map(|sent| sent.payload.clone()).collect()
}

#[test]
fn packets_of_20_ms_leave_at_once_and_as_they_came() {
    let sent = source(500, 160);
    let wire = play(&sent);
    for (sent, left) in sent.iter().zip(&wire.left) {
        assert_eq!((sent.at, &sent.payload[..]), (left.at, &left.frame.audio[..]));
    }
    assert_eq!((wire.tracks.counts(INBOUND).anchors, wire.tracks.counts(INBOUND).slips), (1, 0));
}

#[test]
fn any_packet_time_becomes_20_ms() {
    for samples in [40, 80, 160, 240, 320, 480, 720, 960, 1456] {
        let sent = source(8000 / samples + 40, samples);
        let (wire, spoken) = (play(&sent), concat(&sent));
        let heard = wire.bytes(INBOUND);
        assert_eq!(heard[..spoken.len()], spoken, "{samples}");
        assert!(heard[spoken.len()..].iter().all(|byte| *byte == 0xff));
        // A frame leaves with the packet that completes it.
        for (index, left) in wire.left.iter().enumerate().take(spoken.len() / 160) {
            let end = (index + 1) * 160;
            let completes = sent.iter().enumerate().find(|(n, _)| (n + 1) * samples as usize >= end).unwrap().1;
            assert_eq!(left.at, completes.at, "{samples}, frame {index}");
        }
    }
}

#[test]
fn only_a_gap_makes_it_wait() {
    let mut sent = source(10, 160);
    sent.remove(4);
    let wire = play(&sent);
    let mut expected = source(10, 160);
    expected[4].payload = SILENCE.to_vec();
    assert_eq!(wire.bytes(INBOUND)[..1600], concat(&expected));
    let at: Vec<u128> = wire.left.iter().take(10).map(|left| left.at.as_millis()).collect();
    // Packet 5 arrives at 100 ms: 4 is given up, and all later ones leave 40 ms later.
    assert_eq!(at, [0, 20, 40, 60, 140, 140, 140, 140, 160, 180]);
    assert_eq!(wire.tracks.counts(INBOUND).filled_frames as usize, wire.left.len() - 9);
}

#[test]
fn what_comes_late_but_in_time_is_heard() {
    let mut sent = source(10, 160);
    sent[4].at = sent[5].at + REORDER - MS;
    let wire = play(&sent);
    assert_eq!(wire.bytes(INBOUND)[..1600], concat(&sent));
    assert_eq!(wire.left[4].at, Duration::from_millis(139));
    assert_eq!(wire.tracks.counts(INBOUND).late_packets, 0);
}

#[test]
fn what_comes_too_late_is_not_heard_and_moves_nothing() {
    let mut sent = source(50, 160);
    sent[4].at = sent[5].at + REORDER + 10 * MS;
    let wire = play(&sent);
    sent[4].payload = SILENCE.to_vec();
    assert_eq!(wire.bytes(INBOUND)[..8000], concat(&sent));
    assert_eq!(wire.tracks.counts(INBOUND).late_packets, 1);
}

#[test]
fn packets_twice_are_heard_once() {
    let mut sent = source(50, 160);
    let twice: Vec<Sent> = sent.iter().cloned().map(|sent| Sent { at: sent.at + 30 * MS, ..sent }).collect();
    let spoken = concat(&sent);
    sent.extend(twice);
    assert_eq!(play(&sent).bytes(INBOUND)[..8000], spoken);
}

/// While no packets arrive, frames of silence follow the wall clock; afterwards the source has its former position
/// again.
#[test]
fn hold_is_filled() {
    for (pause, timestamps_go_on) in [(10_u32, true), (500, true), (500, false), (30_000, true), (30_000, false)] {
        let mut sent = source(20, 160);
        for (index, sent) in sent.iter_mut().enumerate().skip(10) {
            sent.at += FRAME * pause;
            sent.payload = audio(index as u32 * 160, 160);
            if timestamps_go_on {
                sent.timestamp = sent.timestamp.wrapping_add(pause * 160);
            }
        }
        let wire = play(&sent);
        let mut expected = concat(&sent[..10]);
        expected.extend(vec![0xff; pause as usize * 160]);
        expected.extend(concat(&sent[10..]));
        assert!(wire.bytes(INBOUND)[..expected.len()] == expected, "{pause} {timestamps_go_on}");
        let back = wire.left.iter().find(|left| left.frame.audio[..] == sent[10].payload[..]).unwrap();
        assert_eq!(back.at, sent[10].at, "no wait when it comes back");
        // Each frame of the pause leaves 20 ms after the previous one, 80 ms after its time.
        let filled: Vec<Duration> = wire.left[10..10 + pause as usize - 6].iter().map(|left| left.at).collect();
        for (index, at) in filled.iter().enumerate().take(pause as usize - 6) {
            assert_eq!(*at, FRAME * (11 + index as u32) + SILENCE_AFTER);
        }
    }
}

/// After a pause (DTX) that is no multiple of 20 ms, the source continues at the start of a frame, so that each packet
/// is returned on arrival as one whole frame.
#[test]
fn talk_spurts_begin_on_a_frame() {
    let mut sent = Vec::new();
    let mut timestamp = 0;
    for spurt in 0..50_u32 {
        for n in 0..20 {
            let n = spurt * 20 + n;
            sent.push(Sent {
                at: Duration::from_micros(u64::from(timestamp) * 125),
                ssrc: 7,
                sequence: n as u16,
                timestamp,
                payload: audio(n * 160, 160),
            });
            timestamp += 160;
        }
        timestamp += 1000 + spurt * 77;
    }
    let wire = play(&sent);
    let mut frames = wire.left.iter().enumerate();
    for sent in &sent {
        let (index, left) = frames.find(|(_, left)| left.frame.audio[..] == sent.payload[..]).expect("as it came");
        assert_eq!(left.at, sent.at, "at once");
        let time = FRAME * index as u32;
        assert!(time + 30 * MS > sent.at && time < sent.at + 30 * MS, "{time:?} {:?}", sent.at);
    }
}

/// The correction after a pause never cuts off audio before the pause.
#[test]
fn a_short_pause_cuts_nothing_off() {
    let mut sent = source(40, 180);
    for sent in &mut sent[18..] {
        // 18 packets end 40 samples into a frame; the source pauses for 10 more.
        sent.timestamp = sent.timestamp.wrapping_add(10);
        sent.at += 2 * MS;
    }
    let heard = play(&sent).bytes(INBOUND);
    assert_eq!(heard[..18 * 180], concat(&sent[..18]));
    assert_eq!(heard[3360..3360 + 22 * 180], concat(&sent[18..]));
}

/// The first of these packets of 90 ms is ahead of the wall clock, because the stream began with it; after a pause the
/// packets are on time.
#[test]
fn a_pause_puts_long_packets_in_place() {
    let mut sent = source(110, 720);
    for sent in &mut sent[100..] {
        sent.timestamp = sent.timestamp.wrapping_add(8000);
        sent.at += Duration::from_secs(1);
    }
    let wire = play(&sent);
    assert_eq!(wire.tracks.counts(INBOUND).slips, 0);
    let heard = wire.bytes(INBOUND);
    for (index, ahead) in [(99, 70), (100, 0), (109, 0)] {
        // The last 20 ms of the packet are expected at its arrival.
        let expected = sent[index].at.as_millis() as usize * 8 - 560;
        let near = &heard[expected - 1600..];
        let from = near.windows(720).position(|window| window == &sent[index].payload[..]).expect("whole");
        let place = from as i64 / 8 - 200;
        assert!((ahead - 20..=ahead).contains(&place), "packet {index}: {place} ms ahead");
    }
}

/// Telephone-events (RFC 4733) and comfort noise have sequence numbers of the same stream, but leave no gap in the
/// audio.
#[test]
fn packets_that_are_no_audio_are_no_gap() {
    let mut sent = source(20, 160);
    for sent in &mut sent[8..14] {
        sent.payload.clear();
        // All packets of an event have the timestamp of its beginning.
        sent.timestamp = (u32::MAX - 1000).wrapping_add(8 * 160);
    }
    let wire = play(&sent);
    for (index, left) in wire.left.iter().enumerate().take(20) {
        let expected = if (8..14).contains(&index) { &SILENCE[..] } else { &sent[index].payload };
        assert_eq!(left.frame.audio[..], *expected, "{index}");
    }
    assert_eq!(wire.left[14].at, sent[14].at);
}

/// The callee changes during a call (failover, transfer): the new source continues after the old one.
#[test]
fn another_source_goes_on() {
    let mut sent = source(20, 160);
    for (index, sent) in sent.iter_mut().enumerate().skip(10) {
        sent.ssrc = 99;
        sent.sequence = 1000 + index as u16;
        sent.timestamp = 5_000_000 + index as u32 * 160;
        sent.at += Duration::from_millis(7);
    }
    let wire = play(&sent);
    assert_eq!(wire.bytes(INBOUND)[..3200], concat(&sent));
    assert_eq!(wire.tracks.counts(INBOUND).anchors, 2);
}

/// After a jump of the source's timestamps, ahead or back by any amount, its position is correct again within 300 ms,
/// and no frame is missing.
#[test]
fn a_jump_of_the_clock_is_survived() {
    for jump in [-3_000_000_i32, -8000, -1600, 1600, 8000, 3_000_000] {
        let mut sent = source(100, 160);
        for sent in &mut sent[30..] {
            sent.timestamp = sent.timestamp.wrapping_add_signed(jump);
        }
        let wire = play(&sent);
        let heard = wire.bytes(INBOUND);
        assert_eq!(heard[..4800], concat(&sent[..30]), "{jump}");
        assert_eq!(heard[45 * 160..100 * 160], concat(&sent[45..]), "{jump}");
    }
}

/// The path becomes longer by 150 ms permanently: late audio then follows the silence inserted for it.
#[test]
fn a_longer_way_is_followed() {
    let mut sent = source(200, 160);
    for sent in &mut sent[50..] {
        sent.at += 150 * MS;
    }
    let wire = play(&sent);
    let heard = wire.bytes(INBOUND);
    assert_eq!(heard[..50 * 160], concat(&sent[..50]));
    assert!(heard[50 * 160..53 * 160].iter().all(|byte| *byte == 0xff));
    assert_eq!(heard[53 * 160..203 * 160], concat(&sent[50..]));
    assert_eq!(wire.tracks.counts(INBOUND).late_packets, 0);
}

/// Until a moment, stalls the path for `ms` in every 2 s, after which all packets arrive at once.
fn standing(mut sent: Vec<Sent>, ms: u32, until: Duration) -> Vec<Sent> {
    let period = Duration::from_secs(2);
    for sent in sent.iter_mut().filter(|sent| sent.at >= period && sent.at < until) {
        let into = Duration::from_nanos((sent.at.as_nanos() % period.as_nanos()) as u64);
        sent.at += (MS * ms).saturating_sub(into);
    }
    sent
}

#[test]
fn what_comes_late_since_the_path_stood_still_follows_the_silence() {
    for (ms, samples, filled) in
        [(70, 160, 0), (150, 160, 4), (150, 240, 5), (150, 480, 5), (230, 160, 8), (375, 160, 15)]
    {
        let sent = standing(source(20_000 / (samples / 8), samples), ms, Duration::from_secs(20));
        let wire = play(&sent);
        let spoken = concat(&sent);
        let heard: Vec<u8> = wire.bytes(INBOUND);
        let counts = wire.tracks.counts(INBOUND);
        assert_eq!((counts.late_packets, counts.anchors), (0, 1), "{ms} {samples}");
        // Only once: from the second time on the wait is longer.
        let silence = heard[..spoken.len() + 1600].iter().filter(|byte| **byte == 0xff).count();
        let audio: Vec<u8> = heard.iter().copied().filter(|byte| *byte != 0xff).collect();
        assert!(audio == spoken, "{ms} {samples}");
        assert!(silence <= 1600 + 160 * filled, "{ms} {samples}: {silence}");
    }
}

#[test]
fn a_source_that_was_moved_on_goes_back_in_quiet_moments() {
    let mut sent = standing(source(2000, 160), 230, Duration::from_secs(8));
    for sent in sent.iter_mut().enumerate().filter(|(n, _)| n % 50 > 40).map(|(_, sent)| sent) {
        sent.payload.fill(0x7e);
    }
    let wire = play(&sent);
    let heard = wire.bytes(INBOUND);
    let counts = wire.tracks.counts(INBOUND);
    assert_eq!((counts.late_packets, counts.anchors), (0, 1));
    let speech = |bytes: &[u8]| bytes.iter().copied().filter(|byte| *byte < 0x70).collect::<Vec<u8>>();
    assert!(speech(&heard) == speech(&concat(&sent)), "no speech is given up");
    // 7 frames of silence were inserted; all but the 40 ms of allowed lead are removed again.
    assert_eq!(counts.slips, 5);
    let ahead = heard.windows(160).rposition(|window| window == &sent[1990].payload[..]).unwrap() / 160;
    assert_eq!(ahead, 1992);
}

/// A stalled path and a paused source cannot be distinguished before more packets arrive. After a long stall the first
/// 300 ms and one packet are used, which limits the lead over the wall clock.
#[test]
fn of_a_long_stall_the_rest_is_given_up() {
    let sent = standing(source(500, 160), 700, Duration::from_secs(3));
    let wire = play(&sent);
    let (heard, counts) = (wire.bytes(INBOUND), wire.tracks.counts(INBOUND));
    assert_eq!((counts.late_packets, counts.anchors), (20, 2));
    assert_eq!(heard[135 * 160..151 * 160], concat(&sent[100..116]));
    assert_eq!(heard[151 * 160..515 * 160], concat(&sent[136..]));
}

/// Behaviour of a source's timestamps after a pause.
#[derive(Debug, Clone, Copy)]
enum Clock {
    /// Timestamps continue as if there had been no pause.
    Stands,
    /// Timestamps go back, or ahead by more than the pause.
    JumpsBy(i32),
}

const CLOCKS: [Clock; 6] = [
    Clock::Stands,
    Clock::JumpsBy(-160),
    Clock::JumpsBy(-4000),
    Clock::JumpsBy(-3_000_000),
    Clock::JumpsBy(90_000),
    Clock::JumpsBy(i32::MIN),
];

/// Generates words of one second with pauses between them, with continuous sequence numbers.
fn words(count: u32, pause_ms: u32, clock: Clock) -> Vec<Sent> {
    let mut sent = source(count * 50, 160);
    for (n, sent) in sent.iter_mut().enumerate() {
        let word = n as u32 / 50;
        sent.at += MS * pause_ms * word;
        if let Clock::JumpsBy(ticks) = clock {
            sent.timestamp = sent.timestamp.wrapping_add((ticks as u32).wrapping_mul(word));
        }
    }
    sent
}

/// Removes silence, which no sample of a source is.
fn without_silence(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().filter(|byte| *byte != 0xff).collect()
}

#[test]
fn every_packet_behind_a_pause_is_heard_whatever_its_timestamp() {
    for recorded in [false, true] {
        for clock in CLOCKS {
            for pause_ms in [100, 200, 300, 400, 410, 500, 700, 900, 1000, 1100, 5000] {
                let sent = words(6, pause_ms, clock);
                let wire = play_to(Wire::of(recorded, TrackSet::Inbound), &sent);
                let heard = wire.bytes(INBOUND);
                assert!(without_silence(&heard) == concat(&sent), "{recorded} {clock:?} {pause_ms} ms");
                assert_eq!(wire.tracks.counts(INBOUND).late_packets, 0, "{recorded} {clock:?} {pause_ms} ms");
                // Each packet leaves on arrival, and its frame is near the wall clock's.
                let mut frames = wire.left.iter().enumerate();
                for sent in &sent {
                    let is_heard = |left: &Left| left.frame.audio[..] == sent.payload[..];
                    let (index, left) = frames.find(|(_, left)| is_heard(left)).expect("as it came");
                    assert_eq!(left.at, sent.at, "{recorded} {clock:?} {pause_ms} ms");
                    let time = FRAME * index as u32;
                    let near = time + 110 * MS >= sent.at && time <= sent.at + 110 * MS;
                    assert!(near, "{recorded} {clock:?} {pause_ms} ms: {time:?} {:?}", sent.at);
                }
            }
        }
    }
}

/// No audio is lost if the first two packets after a pause arrive in reverse order; if one of them is lost, the others
/// are used.
#[test]
fn reordering_behind_a_pause_loses_nothing() {
    for clock in CLOCKS {
        for pause_ms in [200, 400, 500, 900, 1100, 5000] {
            let mut sent = words(4, pause_ms, clock);
            for first in [50, 100, 150] {
                sent[first].at = sent[first + 1].at + 5 * MS;
            }
            let wire = play(&sent);
            let heard = without_silence(&wire.bytes(INBOUND));
            assert!(heard == concat(&sent), "{clock:?} {pause_ms} ms");
            for first in [150, 100, 50] {
                sent.remove(first);
            }
            let heard = without_silence(&play(&sent).bytes(INBOUND));
            assert!(heard == concat(&sent), "{clock:?} {pause_ms} ms, lost");
        }
    }
}

/// Packets in order are used with any timestamps within a word: constant, at half or double speed, or going back each
/// time.
#[test]
fn packets_in_order_are_heard_by_any_clock() {
    for step in [0, 1, 80, 159, 161, 240, 320, u32::MAX, 160_u32.wrapping_neg(), 0x8000_0000] {
        // After a pause too, except with a fast clock, which looks like a longer pause.
        let pauses: &[u32] = if (200..1000).contains(&step) { &[0] } else { &[0, 500, 5000] };
        for &pause_ms in pauses {
            let mut sent = words(3, pause_ms, Clock::Stands);
            for (n, sent) in sent.iter_mut().enumerate() {
                sent.timestamp = step.wrapping_mul(n as u32);
            }
            let wire = play(&sent);
            assert!(without_silence(&wire.bytes(INBOUND)) == concat(&sent), "{step} {pause_ms} ms");
            assert_eq!(wire.tracks.counts(INBOUND).late_packets, 0, "{step} {pause_ms} ms");
        }
    }
}

/// Frames of both directions with the same number contain audio of the same moment.
#[test]
fn directions_are_aligned() {
    let mut wire = Wire::new(TrackSet::Both);
    let (inbound, mut outbound) = (source(500, 160), source(500, 160));
    for sent in &mut outbound {
        sent.at += Duration::from_millis(13);
    }
    // The caller is on hold for a while; the callee changes in the middle.
    for (index, (inbound, outbound)) in inbound.iter().zip(&mut outbound).enumerate() {
        if !(100..200).contains(&index) {
            wire.push(INBOUND, inbound);
        }
        if index >= 250 {
            (outbound.ssrc, outbound.timestamp) = (8, outbound.timestamp.wrapping_add(77_777));
        }
        wire.push(TrackName::Outbound, outbound);
    }
    let (inbound, outbound) = (wire.bytes(INBOUND), wire.bytes(TrackName::Outbound));
    for frame in [0, 50, 220, 240, 300, 499] {
        let range = frame * 160..frame * 160 + 160;
        assert_eq!(inbound[range.clone()], outbound[range.clone()], "{frame}");
        assert_eq!(inbound[range], audio(frame as u32 * 160, 160));
    }
    assert!(inbound[110 * 160..195 * 160].iter().all(|byte| *byte == 0xff));
}

/// Without clock drift, every packet of an hour is returned on arrival, unchanged.
#[test]
fn an_hour_without_drift() {
    let mut wire = Wire::new(TrackSet::Inbound);
    for n in 0..180_000_u32 {
        let payload = vec![(n % 100) as u8; 160];
        let at = FRAME * n + MS * (n * 7 % 15);
        let sent = Sent { at, ssrc: 1, sequence: n as u16, timestamp: n.wrapping_mul(160), payload };
        wire.push(INBOUND, &sent);
        let left = wire.left.pop().unwrap();
        assert_eq!((left.at, left.frame.audio[0], wire.left.len()), (at, (n % 100) as u8, 0));
    }
    let counts = wire.tracks.counts(INBOUND);
    assert_eq!((counts.anchors, counts.slips, counts.late_packets, counts.filled_frames), (1, 0, 0, 0));
}

/// With a clock drift of 200 ppm for half an hour, a source is never more than 110 ms away from the wall clock. The
/// correction drops or inserts single frames, in quiet moments if there are any.
#[test]
fn half_an_hour_of_another_clock() {
    for (micros, talks_on) in [(19_996_u32, false), (20_004, false), (19_996, true), (20_004, true)] {
        let mut wire = Wire::new(TrackSet::Inbound);
        let (mut frames, mut wrong, mut loud) = (0_i64, 0, 0);
        for n in 0..90_000_u32 {
            let quiet = !talks_on && n % 50 > 45;
            let payload = vec![if quiet { 0xfe } else { (n % 100) as u8 }; 160];
            let at = Duration::from_micros(u64::from(micros) * u64::from(n));
            let sent = Sent { at, ssrc: 1, sequence: n as u16, timestamp: n.wrapping_mul(160), payload };
            wire.push(INBOUND, &sent);
            for left in wire.left.drain(..) {
                frames += 1;
                wrong += i64::from(left.frame.audio == SILENCE);
                loud += u32::from(left.frame.audio[0] < 0x70);
            }
            let ahead = frames * 20 - at.as_millis() as i64;
            assert!(ahead.abs() <= 110, "{ahead} ms ahead after {n} packets");
        }
        let counts = wire.tracks.counts(INBOUND);
        // 360 ms in all are 18 frames, less the allowed deviation.
        assert!((10..=18).contains(&counts.slips), "{counts:?}");
        assert_eq!((counts.anchors, counts.late_packets), (1, 0), "{counts:?}");
        let expected = if micros < 20_000 { 0 } else { counts.slips as i64 };
        assert_eq!(wrong, expected, "only what was put in is silence");
        let spoken = if talks_on { 90_000 } else { 90_000 / 50 * 46 };
        let cut = if talks_on && micros < 20_000 { counts.slips as u32 } else { 0 };
        assert_eq!(loud, spoken - cut, "speech is cut only where there is nothing else");
    }
}

/// The signalling loop was suspended for two seconds and finds the packets of that time in its sockets: they are too
/// late, but the positions of later ones are correct.
#[test]
fn a_stall_of_the_edge_is_over_when_it_is_over() {
    let mut sent = source(200, 160);
    for sent in &mut sent[50..150] {
        sent.at = Duration::from_secs(3);
    }
    let mut wire = Wire::new(TrackSet::Inbound);
    for sent in &sent {
        // No deadline is processed meanwhile.
        let Sent { at, ssrc, sequence, timestamp, ref payload } = *sent;
        wire.tracks.push(wire.start + at, INBOUND, &TrackInput { ssrc, sequence, timestamp, payload });
        wire.drain(wire.start + at);
    }
    let heard = wire.bytes(INBOUND);
    let rest = concat(&sent[153..]);
    assert!(heard.ends_with(&rest));
    let frames = heard.len() / 160;
    assert!((200..=202).contains(&frames), "{frames}");
}

#[test]
fn tracks_that_were_not_asked_for_are_passed_over() {
    let mut wire = Wire::new(TrackSet::Outbound);
    wire.push(INBOUND, &source(1, 160)[0]);
    assert_eq!(wire.left, []);
    wire.push(TrackName::Outbound, &source(1, 160)[0]);
    assert_eq!(wire.left.len(), 1);
    assert_eq!(wire.tracks.counts(INBOUND), trunkgate_agent::TrackCounts::default());
}

proptest! {
    /// Checks that any delays up to 40 ms and any losses give the same frames as no delays.
    #[test]
    fn reordering_within_40_ms_changes_nothing(
        delays in proptest::collection::vec(0_u64..=40, 60),
        lost in proptest::collection::btree_set(1_usize..60, 0..10),
        samples in proptest::sample::select(&[80_u32, 160, 240, 320, 480][..]),
    ) {
        let lost: BTreeSet<usize> = lost;
        let kept: Vec<Sent> = source(60, samples)
            .into_iter()
            .enumerate()
            .filter(|(index, _)| !lost.contains(index))
            .map(|(_, sent)| sent)
            .collect();
        let mut late = kept.clone();
        // The first one sets the time.
        for (sent, delay) in late.iter_mut().zip(delays).skip(1) {
            sent.at += MS * delay as u32;
        }
        let (straight, mixed) = (play(&kept), play(&late));
        let spoken = 60 * samples as usize / 160 * 160;
        prop_assert_eq!(&straight.bytes(INBOUND)[..spoken], &mixed.bytes(INBOUND)[..spoken]);
        prop_assert_eq!(mixed.tracks.counts(INBOUND).late_packets, 0);
        let there: usize = mixed.bytes(INBOUND).iter().filter(|byte| **byte != 0xff).count();
        prop_assert_eq!(there, kept.len() * samples as usize);
    }

    /// Checks that no frame is filled or lost with delays up to 70 ms that keep the order.
    #[test]
    fn jitter_loses_nothing(delays in proptest::collection::vec(0_u64..=70, 100)) {
        let mut sent = source(100, 160);
        let mut last = Duration::ZERO;
        for (sent, delay) in sent.iter_mut().zip(delays).skip(1) {
            sent.at = last.max(sent.at + MS * delay as u32);
            last = sent.at;
        }
        let wire = play(&sent);
        prop_assert_eq!(&wire.bytes(INBOUND)[..16_000], &concat(&sent)[..]);
        for (sent, left) in sent.iter().zip(&wire.left) {
            prop_assert_eq!(sent.at, left.at);
        }
    }

    /// Checks that no packets cause a panic, and frames follow the wall clock.
    #[test]
    fn any_packets_at_all(
        packets in proptest::collection::vec(
            (0_u64..200, 0_u32..3, any::<u16>(), any::<u32>(), 0_usize..2000, any::<bool>()), 0..100),
    ) {
        let mut wire = Wire::new(TrackSet::Both);
        let (mut at, mut ms) = (Duration::ZERO, [0_i64; 2]);
        for (index, (wait, ssrc, sequence, timestamp, length, near)) in packets.into_iter().enumerate() {
            at += MS * wait as u32;
            let (sequence, timestamp) = if near { (index as u16, index as u32 * 160) } else { (sequence, timestamp) };
            let sent = Sent { at, ssrc, sequence, timestamp, payload: vec![1; length] };
            wire.push(if near { INBOUND } else { TrackName::Outbound }, &sent);
            for left in wire.left.drain(..) {
                ms[usize::from(left.frame.track == INBOUND)] += 20;
            }
            let wall = at.as_millis() as i64;
            let most = wall + 20 + 100 + 320 + 20 + 300;
            prop_assert!(ms.iter().all(|ms| *ms >= wall - 160 - 20 && *ms <= most), "{ms:?} at {wall}");
        }
    }
}
