//! An agent that sends in real time and is sometimes late: the resulting delay is removed without loss of speech. Audio
//! of an agent that sends ahead is played completely.

use std::time::Duration;

use crate::support::*;
use trunkgate_media::agent::StreamSettings;
use trunkgate_media::{AgentInput, EndId, MediaCommand};

const AGENT: EndId = EndId(7);
/// Loud μ-law codes, distinguished by their order.
const LOUD: [u8; 7] = [0x80, 0x91, 0x82, 0x93, 0x84, 0x95, 0x86];
/// μ-law code far below speech, but different from the edge's own silence.
const QUIET: u8 = 0xfc;
const FRAME_MS: u64 = 20;

fn with_agent() -> Bench {
    let mut bench = Bench::unconnected();
    bench.set_remote(A, remote(A_RTP));
    let settings = StreamSettings {
        stream_sid: "MZ1".into(),
        call_sid: "CA1".into(),
        account_sid: "AC1".into(),
        ..StreamSettings::default()
    };
    bench.add_agent(AGENT, settings);
    bench.agent(AGENT, AgentInput::Opened);
    bench.command(MediaCommand::Wire { from: AGENT, to: A, wire: ULAW.spec() });
    bench
}

/// Returns the code of a frame of continuous speech: 400 ms of loud frames, 100 ms of quiet ones, repeated.
fn code(frame: usize) -> u8 {
    if frame % 25 < 20 { LOUD[frame % LOUD.len()] } else { QUIET }
}

/// Advances the time while the agent answers pings; returns one code of each packet, from a part of it without a
/// cross-fade.
fn heard(bench: &mut Bench, ms: u64) -> Vec<u8> {
    let end = bench.now + Duration::from_millis(ms);
    let mut codes = Vec::new();
    loop {
        let left = end.saturating_duration_since(bench.now).as_millis() as u64;
        codes.extend(bench.run(left.min(1000)).iter().map(|made| made.payload()[120]));
        bench.agent(AGENT, AgentInput::Pong);
        if left <= 1000 {
            return codes;
        }
    }
}

fn of_speech(codes: &[u8]) -> Vec<u8> {
    codes.iter().copied().filter(|code| LOUD.contains(code)).collect()
}

fn of_agent(codes: &[u8]) -> usize {
    codes.iter().filter(|code| **code != 0xff).count()
}

/// Sends frames in real time, delayed by stalls; returns the codes played, and the length of the queue at each frame.
fn in_real_time(
    bench: &mut Bench,
    frames: usize,
    stalls: &[(u64, u64)],
    mut each: impl FnMut(&mut Bench, usize),
) -> (Vec<u8>, Vec<u64>) {
    let start = bench.now;
    let (mut codes, mut waits) = (Vec::new(), Vec::new());
    for frame in 0..frames {
        let due = frame as u64 * FRAME_MS + 7;
        let stall = stalls.iter().find(|(from, ms)| (*from..from + ms).contains(&due));
        let arrives = start + Duration::from_millis(stall.map_or(due, |(from, ms)| from + ms));
        if let Some(ahead) = arrives.checked_duration_since(bench.now) {
            codes.extend(heard(bench, ahead.as_millis() as u64));
        }
        bench.say_audio(AGENT, &[code(frame)]);
        each(bench, frame);
        waits.push(bench.queue.unheard.now());
    }
    codes.extend(heard(bench, 1000));
    (codes, waits)
}

fn median(waits: &[u64]) -> u64 {
    let mut sorted = waits.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}

#[test]
fn the_delay_of_late_frames_goes_away_again_and_no_speech_with_it() {
    let mut bench = with_agent();
    // Ten minutes with a stall of 40 to 240 ms every 40 s.
    let stalls: Vec<(u64, u64)> = (0..15).map(|n| (n * 40_000 + 3_003, 40 + n * 83 % 200)).collect();
    let frames = 30_000;
    let (codes, waits) = in_real_time(&mut bench, frames, &stalls, |_, _| {});
    let sent: Vec<u8> = (0..frames).map(code).collect();
    assert!(of_speech(&codes) == of_speech(&sent), "all speech is heard, in order");
    assert!(waits.iter().any(|wait| *wait >= 200), "the stalls are heard");
    for (second, waits) in waits.chunks(50).enumerate() {
        // 20 ms of the queue are the frame that just arrived.
        let rests = second % 40 >= 30;
        assert!(!rests || median(waits) <= 60, "{second}: {waits:?}");
    }
    assert!(median(&waits) <= 60, "{}", median(&waits));
    let (late, removed) = (bench.worker.agent_late_frames.get(), bench.worker.agent_frames_removed.get());
    assert_eq!(removed as usize, sent.len() - of_agent(&codes));
    assert!(removed > 40 && removed <= late, "{removed} of {late}");
}

#[test]
fn late_frames_that_come_often_keep_their_delay() {
    let mut bench = with_agent();
    // The second stall is covered by the delay of the first one, and is not audible.
    let stalls: Vec<(u64, u64)> = (0..60).map(|n| (n * 5_000 + 2_003, 150)).collect();
    let (codes, waits) = in_real_time(&mut bench, 15_000, &stalls, |_, _| {});
    assert_eq!(of_agent(&codes), 15_000);
    assert!(waits[200..].iter().all(|wait| *wait >= 20));
    assert!(bench.worker.agent_late_frames.get() <= 8 && bench.worker.agent_frames_removed.get() == 0);
}

#[test]
fn a_loud_agent_without_quiet_moments_loses_nothing() {
    let mut bench = with_agent();
    let start = bench.now;
    let mut codes = Vec::new();
    for frame in 0..3000_u64 {
        let due = if (100..110).contains(&frame) { 110 } else { frame };
        let until = start + Duration::from_millis(due * FRAME_MS + 7);
        let ahead = until.saturating_duration_since(bench.now).as_millis() as u64;
        codes.extend(heard(&mut bench, ahead));
        bench.say_audio(AGENT, &[LOUD[frame as usize % LOUD.len()]]);
    }
    codes.extend(heard(&mut bench, 1000));
    assert_eq!(of_agent(&codes), 3000);
    assert!(bench.worker.agent_late_frames.get() >= 9);
}

#[test]
fn marks_return_in_order_behind_their_audio_while_delay_is_removed() {
    let mut bench = with_agent();
    let stalls: Vec<(u64, u64)> = (0..4).map(|n| (n * 30_000 + 2_003, 220)).collect();
    let mut returned = Vec::new();
    let (codes, _) = in_real_time(&mut bench, 6_000, &stalls, |bench, frame| {
        if frame % 10 == 9 {
            bench.say(AGENT, &mark(&frame.to_string()));
        }
        let marks = bench.written(AGENT).into_iter().filter(|message| message["event"] == "mark");
        returned.extend(marks.map(|mark| mark["mark"]["name"].as_str().unwrap().parse::<usize>().unwrap()));
    });
    let marks = bench.written(AGENT).into_iter().filter(|message| message["event"] == "mark");
    returned.extend(marks.map(|mark| mark["mark"]["name"].as_str().unwrap().parse::<usize>().unwrap()));
    let expected: Vec<usize> = (0..6_000).filter(|frame| frame % 10 == 9).collect();
    assert_eq!(returned, expected);
    assert!(bench.worker.agent_frames_removed.get() >= 20, "{}", bench.worker.agent_frames_removed.get());
    assert_eq!(of_speech(&codes), of_speech(&(0..6_000).map(code).collect::<Vec<_>>()));
}

/// Sends `pieces` of `frames` frames, one every `every_ms`, with a pause after each `row` of them.
fn ahead(pieces: usize, frames: usize, every_ms: u64, row: usize, pause_ms: u64) {
    let mut bench = with_agent();
    let (mut codes, mut sent) = (Vec::new(), 0);
    for piece in 0..pieces {
        let audio: Vec<u8> = (sent..sent + frames).map(code).collect();
        bench.say_audio(AGENT, &audio);
        sent += frames;
        let pause = if piece % row == row - 1 { pause_ms } else { 0 };
        codes.extend(heard(&mut bench, every_ms + pause));
    }
    codes.extend(heard(&mut bench, 60_000));
    assert_eq!(of_agent(&codes), sent, "{pieces} pieces of {frames} frames each {every_ms} ms");
    assert_eq!(bench.worker.agent_frames_removed.get(), 0);
}

#[test]
fn an_agent_that_sends_faster_than_real_time_is_heard_whole() {
    // Ten seconds at once, followed by pauses of all lengths.
    for pause in [10_000, 10_040, 10_200, 10_700, 12_500, 15_000] {
        ahead(6, 500, 0, 1, pause);
    }
    // At double real time, sentence by sentence.
    for pause in [3_000, 3_060, 3_600, 5_000] {
        ahead(60, 20, 200, 15, pause);
    }
    // In real time, and at double real time after a pause.
    let mut bench = with_agent();
    let (mut codes, _) = in_real_time(&mut bench, 250, &[], |_, _| {});
    for piece in 0..100 {
        let audio: Vec<u8> = (0..20).map(|frame| code(piece * 20 + frame)).collect();
        bench.say_audio(AGENT, &audio);
        codes.extend(heard(&mut bench, 200));
    }
    codes.extend(heard(&mut bench, 30_000));
    assert_eq!((of_agent(&codes), bench.worker.agent_frames_removed.get()), (2_250, 0));
    // In real time after half a second sent in advance.
    let mut bench = with_agent();
    bench.say_audio(AGENT, &[QUIET; 25]);
    let (codes, waits) = in_real_time(&mut bench, 3_000, &[], |_, _| {});
    assert!(of_agent(&codes) == 3_025 && waits.iter().all(|wait| *wait >= 500));
}
