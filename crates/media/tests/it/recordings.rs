//! Recorders: both directions on the edge's clock, the caller's audio in the left channel, the audio sent to the caller
//! in the right one, through all changes of the call.

use crate::support::*;
use trunkgate_media::agent::TrackSet;
use trunkgate_media::codec::g711::{decode_alaw, decode_ulaw, encode_ulaw};
use trunkgate_media::rtp::RtpHeader;
use trunkgate_media::{
    AudioListenerSpec, EndId, MediaCommand, MediaEvent, PayloadCodec, PlayerSound, Recorded, RecordedSamples,
    RecorderEvent, RecorderSpec, RecordingId, RecordingPause, Session, TapSpec,
};

const RECORDER: EndId = EndId(7);
const PLAYER: EndId = EndId(8);
const SPEC: RecorderSpec = RecorderSpec { recording: RecordingId(5), tracks: TrackSet::Both, silence: None };

/// Recorded file with its two channels.
#[derive(Debug, Default)]
struct File {
    left: Vec<i16>,
    right: Vec<i16>,
    /// Number of frames, and the first and last frame with sound of the caller; `None` until the recording has ended.
    end: Option<(u64, Option<(u64, u64)>)>,
}

impl File {
    fn drain(&mut self, bench: &mut Bench) {
        bench.session.drain_recordings(|recording, piece| {
            assert_eq!((recording, self.end), (SPEC.recording, None));
            match piece {
                Recorded::Audio { first, samples } => {
                    assert_eq!(first * 160, self.left.len() as u64, "blocks follow each other");
                    let linear: Vec<i16> = match samples {
                        RecordedSamples::Linear(samples) => samples.to_vec(),
                        RecordedSamples::Pcmu(codes) => codes.iter().map(|code| decode_ulaw(*code)).collect(),
                        RecordedSamples::Pcma(codes) => codes.iter().map(|code| decode_alaw(code.0)).collect(),
                    };
                    self.left.extend(linear.iter().step_by(2));
                    self.right.extend(linear.iter().skip(1).step_by(2));
                }
                Recorded::End { frames, sound } => self.end = Some((frames, sound)),
            }
        });
    }

    /// Returns the μ-law code of each frame of a channel; `None` for a frame with several codes.
    fn codes(channel: &[i16]) -> Vec<Option<u8>> {
        let code = |frame: &[i16]| frame.iter().all(|sample| *sample == frame[0]).then(|| encode_ulaw(frame[0]));
        channel.chunks(160).map(code).collect()
    }
}

fn record(bench: &mut Bench, spec: RecorderSpec) -> File {
    bench.command(MediaCommand::AddListener { end: RECORDER, spec: AudioListenerSpec::Recorder(spec) });
    bench.command(MediaCommand::Tap { of: A, listener: RECORDER, audio: TapSpec::both(0, PayloadCodec::Pcmu) });
    File::default()
}

fn end(bench: &mut Bench, file: &mut File) {
    bench.command(MediaCommand::RemoveEnd { end: RECORDER });
    file.drain(bench);
}

fn packet(n: u16, code: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    header(n).build(&[code; 160], &mut bytes);
    bytes
}

fn said(codes: impl IntoIterator<Item = u8>) -> Vec<Option<u8>> {
    codes.into_iter().map(Some).collect()
}

/// Sends packets from both sides, each side with one code.
fn talk(bench: &mut Bench, file: &mut File, numbers: std::ops::Range<u16>, codes: (u8, u8)) {
    for n in numbers {
        bench.feed(A, false, A_RTP, &packet(n, codes.0));
        bench.feed(B, false, B_RTP, &packet(n, codes.1));
        bench.run(20);
        file.drain(bench);
    }
}

#[test]
fn both_directions_are_recorded_as_they_are_heard() {
    let (mut bench, mut plain) = (Bench::connected(), Bench::connected());
    let mut file = record(&mut bench, SPEC);
    for n in 0..55_u16 {
        for (end, source, code) in [(A, A_RTP, n as u8), (B, B_RTP, 130 + n as u8)] {
            assert_eq!(
                bench.feed(end, false, source, &packet(n, code)),
                plain.feed(end, false, source, &packet(n, code))
            );
        }
        bench.run(20);
        plain.run(20);
        file.drain(&mut bench);
    }
    assert_eq!(file.left.len(), 50 * 160, "whole blocks");
    end(&mut bench, &mut file);
    assert_eq!(File::codes(&file.left), said(0..55));
    assert_eq!(File::codes(&file.right), said(130..185));
    assert_eq!(file.end, Some((55, Some((0, 54)))));
    assert!(bench.events().contains(&MediaEvent::Recorder {
        end: RECORDER,
        event: RecorderEvent::Ended { frames: 55, sound: Some((0, 54)) }
    }));
    assert_eq!(bench.counters[0].tx_packets.get(), plain.counters[0].tx_packets.get());
}

/// G.711 codes go to the file writer as received; no audio is lost when the kind changes.
#[test]
fn audio_of_another_kind_goes_on_where_the_last_one_ended() {
    let mut bench = Bench::connected();
    let mut file = record(&mut bench, SPEC);
    let both = vec![(0, PayloadCodec::Pcmu), (8, PayloadCodec::Pcma)];
    bench.command(MediaCommand::Tap {
        of: A,
        listener: RECORDER,
        audio: TapSpec { inbound: both.clone(), outbound: both },
    });
    let packet = |n: u16, payload_type: u8, code: u8| {
        let mut bytes = Vec::new();
        RtpHeader { payload_type, ..header(n) }.build(&[code; 160], &mut bytes);
        bytes
    };
    for n in 0..30_u16 {
        // The caller is a packet ahead, and changes its codec.
        let (number, code) = if n < 15 { (0, 5) } else { (8, 5 ^ 0x55) };
        bench.feed(A, false, A_RTP, &packet(n, number, code));
        if n > 0 {
            bench.feed(B, false, B_RTP, &packet(n - 1, 0, 6));
        }
        bench.run(20);
        file.drain(&mut bench);
    }
    end(&mut bench, &mut file);
    let mut left = vec![decode_ulaw(5); 15 * 160];
    left.resize(30 * 160, decode_alaw(5 ^ 0x55));
    assert_eq!(file.left, left);
    // The other side started a frame later.
    let right = said([0xff].into_iter().chain([6; 28]));
    assert_eq!(File::codes(&file.right)[..29], right);
}

#[test]
fn what_is_a_law_throughout_is_recorded_as_it_came() {
    let mut bench = Bench::connected();
    let mut file = record(&mut bench, RecorderSpec { tracks: TrackSet::Inbound, ..SPEC });
    bench.command(MediaCommand::Tap { of: A, listener: RECORDER, audio: TapSpec::both(8, PayloadCodec::Pcma) });
    for n in 0..12_u16 {
        let mut bytes = Vec::new();
        RtpHeader { payload_type: 8, ..header(n) }.build(&[0x2a; 160], &mut bytes);
        bench.feed(A, false, A_RTP, &bytes);
        bench.feed(B, false, B_RTP, &bytes);
        bench.run(20);
        file.drain(&mut bench);
    }
    end(&mut bench, &mut file);
    assert_eq!(file.left, vec![decode_alaw(0x2a); 12 * 160]);
    assert_eq!(file.right, vec![decode_alaw(0xd5); 12 * 160], "silence");
}

#[test]
fn what_the_edge_plays_to_the_caller_is_recorded_too() {
    let mut bench = Bench::unconnected();
    bench.set_remote(A, remote(A_RTP));
    let mut file = record(&mut bench, SPEC);
    bench.command(MediaCommand::AddPlayer { end: PLAYER, sound: PlayerSound::Once(vec![66; 1600].into()) });
    bench.command(MediaCommand::Wire { from: PLAYER, to: A, wire: ULAW.spec() });
    for n in 0..10 {
        bench.feed(A, false, A_RTP, &packet(n, 5));
        bench.run(20);
        file.drain(&mut bench);
    }
    end(&mut bench, &mut file);
    assert_eq!(File::codes(&file.left), said([5; 10]));
    assert_eq!(File::codes(&file.right), said([66; 10]));
}

#[test]
fn lost_packets_and_silence_have_their_length() {
    let mut bench = Bench::connected();
    let mut file = record(&mut bench, SPEC);
    for n in 0..400_u16 {
        if n % 10 != 3 {
            bench.feed(A, false, A_RTP, &packet(n, 5));
        }
        // The other side is on hold for 6 s.
        if !(50..350).contains(&n) {
            bench.feed(B, false, B_RTP, &packet(n, 6));
        }
        bench.run(20);
        file.drain(&mut bench);
    }
    end(&mut bench, &mut file);
    assert_eq!(file.end.map(|(frames, _)| frames), Some(400));
    let left: Vec<Option<u8>> = (0..400).map(|n| Some(if n % 10 == 3 { 0xff } else { 5 })).collect();
    assert_eq!(File::codes(&file.left), left);
    let right: Vec<Option<u8>> = (0..400).map(|n| Some(if (50..350).contains(&n) { 0xff } else { 6 })).collect();
    assert_eq!(File::codes(&file.right), right);
}

/// With inaccurate clocks of the senders, each sound is recorded within 40 ms of its arrival during an hour.
#[test]
fn sounds_stay_where_they_were_heard_for_an_hour() {
    // A packet lasts 20 ms by the sender's clock.
    for (name, micros) in [("100 ppm fast", 19_998_u64), ("100 ppm slow", 20_002)] {
        // Without pauses it is harder, because no frame is quiet.
        for (talks, seconds) in [(true, 3_600), (false, 600)] {
            let mut bench = Bench::connected();
            let began = bench.now;
            let mut file = record(&mut bench, SPEC);
            let mut clicks = Vec::new();
            let packets = seconds * 1_000_000 / micros;
            for n in 0..packets {
                let due = began + std::time::Duration::from_micros(n * micros);
                bench.run_until(due);
                // A click every 5 s, with continuous noise or silence in between.
                let click = n % 250 == 249;
                clicks.extend(click.then_some(due));
                let code = if click {
                    0x80
                } else if talks {
                    0x40 + (n % 2) as u8
                } else {
                    0xff
                };
                let number = (n & 0xffff) as u16;
                let mut bytes = Vec::new();
                let timestamp = (n * 160) as u32;
                RtpHeader { timestamp, ..header(number) }.build(&[code; 160], &mut bytes);
                for (end, source) in [(A, A_RTP), (B, B_RTP)] {
                    bench.feed(end, false, source, &bytes);
                }
                file.drain(&mut bench);
            }
            end(&mut bench, &mut file);
            let loud = decode_ulaw(0x80);
            for channel in [&file.left, &file.right] {
                let mut places = Vec::new();
                for (frame, samples) in channel.chunks(160).enumerate() {
                    if samples.iter().filter(|sample| **sample == loud).count() > 80 {
                        places.push(frame as i64 * 20);
                    }
                }
                // A frame that is given up may contain a click.
                assert!(clicks.len() - places.len() <= 2 || !talks, "{name}: {} of {}", places.len(), clicks.len());
                let mut at = places.iter();
                let mut place = at.next();
                let mut worst = 0;
                for click in &clicks {
                    let heard = click.saturating_duration_since(began).as_millis() as i64;
                    let Some(found) = place else { break };
                    if (found - heard).abs() < 1_000 {
                        worst = worst.max((found - heard).abs());
                        place = at.next();
                    }
                }
                assert!(worst <= 40, "{name}: a click is {worst} ms off");
                assert!(place.is_none(), "{name}: every click has its place");
            }
        }
    }
}

/// After a transfer, the recording of the caller's side continues with another end.
#[test]
fn another_end_is_recorded_behind_the_first() {
    let mut bench = Bench::connected();
    let mut file = record(&mut bench, SPEC);
    talk(&mut bench, &mut file, 0..20, (5, 6));
    bench.set_remote(C, remote(C_RTP));
    bench.wire(C, B);
    bench.wire(B, C);
    bench.command(MediaCommand::Tap { of: C, listener: RECORDER, audio: TapSpec::both(0, PayloadCodec::Pcmu) });
    for n in 20..40 {
        bench.feed(A, false, A_RTP, &packet(n, 5));
        bench.feed(C, false, C_RTP, &packet(n + 3_000, 7));
        bench.feed(B, false, B_RTP, &packet(n, 8));
        bench.run(20);
        file.drain(&mut bench);
    }
    end(&mut bench, &mut file);
    assert_eq!(File::codes(&file.left), said([[5; 20], [7; 20]].concat()));
    assert_eq!(File::codes(&file.right), said([[6; 20], [8; 20]].concat()));
}

#[test]
fn a_pause_is_silence_or_is_cut_out() {
    for (pause, frames) in [(RecordingPause::Silence, 60), (RecordingPause::Cut, 40)] {
        let mut bench = Bench::connected();
        let mut file = record(&mut bench, SPEC);
        talk(&mut bench, &mut file, 0..20, (5, 6));
        bench.command(MediaCommand::PauseRecorder { end: RECORDER, pause: Some(pause) });
        talk(&mut bench, &mut file, 20..40, (7, 8));
        bench.command(MediaCommand::PauseRecorder { end: RECORDER, pause: None });
        talk(&mut bench, &mut file, 40..60, (9, 10));
        end(&mut bench, &mut file);
        assert_eq!(file.end, Some((frames, Some((0, frames - 1)))));
        let silence = frames as usize - 40;
        let heard = |before, after| said([vec![before; 20], vec![0xff; silence], vec![after; 20]].concat());
        assert_eq!(File::codes(&file.left), heard(5, 9));
        assert_eq!(File::codes(&file.right), heard(6, 10));
    }
}

/// Moves the session of a bench, with its recorders, to another process.
fn cross(bench: &mut Bench, file: &mut File) {
    let mut rest = Vec::new();
    let recorders = bench.session.suspend_recorders(bench.now, |_, piece| {
        let Recorded::Audio { first, samples: RecordedSamples::Pcmu(codes) } = piece else { panic!("{piece:?}") };
        assert_eq!(first * 160, (file.left.len() + rest.len() / 2) as u64);
        rest.extend(codes.iter().map(|code| decode_ulaw(*code)));
    });
    file.left.extend(rest.iter().step_by(2));
    file.right.extend(rest.iter().skip(1).step_by(2));
    let text = serde_json::to_string(&(bench.session.snapshot(), recorders)).unwrap();
    let (session, recorders) = serde_json::from_str(&text).unwrap();
    bench.session = Session::restore(bench.now, session);
    bench.session.resume_recorders(bench.now, recorders);
    // Signalling adds it again, which changes nothing.
    record(bench, SPEC);
}

#[test]
fn a_recorder_goes_on_in_another_process_with_its_pause() {
    for paused in [false, true] {
        let mut bench = Bench::connected();
        let mut file = record(&mut bench, SPEC);
        talk(&mut bench, &mut file, 0..23, (5, 6));
        if paused {
            bench.command(MediaCommand::PauseRecorder { end: RECORDER, pause: Some(RecordingPause::Cut) });
        }
        cross(&mut bench, &mut file);
        talk(&mut bench, &mut file, 23..40, (7, 8));
        cross(&mut bench, &mut file);
        bench.command(MediaCommand::PauseRecorder { end: RECORDER, pause: None });
        talk(&mut bench, &mut file, 40..60, (9, 10));
        end(&mut bench, &mut file);
        let between = if paused { 0 } else { 17 };
        let heard = |codes: [u8; 3]| said([vec![codes[0]; 23], vec![codes[1]; between], vec![codes[2]; 20]].concat());
        assert_eq!(File::codes(&file.left), heard([5, 7, 9]));
        assert_eq!(File::codes(&file.right), heard([6, 8, 10]));
        let frames = 43 + between as u64;
        assert_eq!(file.end, Some((frames, Some((0, frames - 1)))));
    }
}

#[test]
fn one_direction_alone_leaves_the_other_channel_silent() {
    for (tracks, left, right) in [(TrackSet::Inbound, 5, 0xff), (TrackSet::Outbound, 0xff, 6)] {
        let mut bench = Bench::connected();
        let mut file = record(&mut bench, RecorderSpec { tracks, ..SPEC });
        talk(&mut bench, &mut file, 0..20, (5, 6));
        end(&mut bench, &mut file);
        assert_eq!(File::codes(&file.left), said([left; 20]));
        assert_eq!(File::codes(&file.right), said([right; 20]));
        assert_eq!(file.end, Some((20, Some((0, 19)))));
    }
}

#[test]
fn the_sound_of_a_recording_is_that_of_what_is_recorded() {
    for (tracks, sound) in
        [(TrackSet::Both, Some((10, 34))), (TrackSet::Inbound, Some((10, 19))), (TrackSet::Outbound, Some((30, 34)))]
    {
        let mut bench = Bench::connected();
        let mut file = record(&mut bench, RecorderSpec { tracks, ..SPEC });
        for (range, codes) in [
            (0..10, (0xff, 0xff)),
            (10..20, (5, 0xff)),
            (20..30, (0xff, 0xff)),
            (30..35, (0xff, 6)),
            (35..40, (0xff, 0xff)),
        ] {
            talk(&mut bench, &mut file, range, codes);
        }
        end(&mut bench, &mut file);
        assert_eq!(file.end, Some((40, sound)), "{tracks:?}");
    }
}

#[test]
fn silence_of_the_caller_is_reported_once_until_a_sound() {
    let mut bench = Bench::connected();
    let limit = std::time::Duration::from_millis(500);
    let mut file = record(&mut bench, RecorderSpec { silence: Some(limit), tracks: TrackSet::Inbound, ..SPEC });
    let silent = |events: Vec<MediaEvent>| {
        let of_recorder = |event| {
            if let MediaEvent::Recorder { event: RecorderEvent::Silent { was_heard }, .. } = event {
                Some(was_heard)
            } else {
                None
            }
        };
        events.into_iter().filter_map(of_recorder).collect::<Vec<bool>>()
    };
    talk(&mut bench, &mut file, 0..100, (0xff, 6));
    assert_eq!(silent(bench.events()), [false]);
    talk(&mut bench, &mut file, 100..110, (5, 6));
    talk(&mut bench, &mut file, 110..130, (0xff, 6));
    assert_eq!(silent(bench.events()), [false; 0]);
    talk(&mut bench, &mut file, 130..160, (0xff, 6));
    assert_eq!(silent(bench.events()), [true]);
    // Without any packets the result is the same.
    talk(&mut bench, &mut file, 160..170, (5, 6));
    for _ in 0..50 {
        bench.run(20);
    }
    assert_eq!(silent(bench.events()), [true]);
    // A pause is not reported as silence.
    talk(&mut bench, &mut file, 170..180, (5, 6));
    bench.command(MediaCommand::PauseRecorder { end: RECORDER, pause: Some(RecordingPause::Silence) });
    talk(&mut bench, &mut file, 180..240, (0xff, 6));
    assert_eq!(silent(bench.events()), [false; 0]);
    end(&mut bench, &mut file);
}

#[test]
fn the_end_of_the_session_ends_the_recording() {
    let mut bench = Bench::connected();
    let mut file = record(&mut bench, SPEC);
    talk(&mut bench, &mut file, 0..3, (5, 6));
    bench.command(MediaCommand::Close);
    file.drain(&mut bench);
    assert_eq!(file.end.map(|(frames, _)| frames), Some(3));
    let events = bench.events();
    assert_eq!(events.last(), Some(&MediaEvent::Closed), "{events:?}");
}
