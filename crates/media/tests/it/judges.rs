//! Answering machine detection on one end's audio.

use std::f32::consts::TAU;

use trunkgate_media::agent::TrackName;
use trunkgate_media::codec::g711::encode_ulaw;
use trunkgate_media::detection::{AnsweredBy, DetectionMode, DetectionSettings, DetectionVerdict};
use trunkgate_media::{
    AudioListenerSpec, EndId, MachineDetectionSpec, MediaCommand, MediaEvent, PayloadCodec, TapSpec,
};

use crate::support::*;

const JUDGE: EndId = EndId(20);

fn judges(bench: &mut Bench, track: TrackName, mode: DetectionMode) {
    let settings = DetectionSettings::new(mode, [None, None, None, Some(2_000)]);
    bench.command(MediaCommand::AddListener {
        end: JUDGE,
        spec: AudioListenerSpec::Detector(MachineDetectionSpec { track, settings }),
    });
    bench.command(MediaCommand::Tap { of: A, listener: JUDGE, audio: TapSpec::both(0, PayloadCodec::Pcmu) });
}

fn verdicts(bench: &mut Bench) -> Vec<DetectionVerdict> {
    let events = bench.events();
    events
        .iter()
        .filter_map(|event| if let MediaEvent::Judged { end: JUDGE, verdict } = event { Some(*verdict) } else { None })
        .collect()
}

/// Returns a packet of a fax machine's answer tone.
fn fax(n: u16) -> Vec<u8> {
    let at = |sample: usize| 6000.0 * (TAU * 2100.0 * (usize::from(n) * 160 + sample) as f32 / 8000.0).sin();
    let codes: Vec<u8> = (0..160).map(|sample| encode_ulaw(at(sample) as i16)).collect();
    let mut bytes = Vec::new();
    header(n).build(&codes, &mut bytes);
    bytes
}

#[test]
fn the_direction_that_is_named_is_judged_once() {
    for (track, answered_by) in [(TrackName::Inbound, AnsweredBy::Unknown), (TrackName::Outbound, AnsweredBy::Fax)] {
        let mut bench = Bench::connected();
        judges(&mut bench, track, DetectionMode::Enable);
        for n in 0..200 {
            bench.feed(B, false, B_RTP, &fax(n));
            bench.run(20);
        }
        let all = verdicts(&mut bench);
        assert_eq!(all.iter().map(|verdict| verdict.answered_by).collect::<Vec<_>>(), [answered_by], "{track:?}");
    }
}

#[test]
fn a_party_that_sends_nothing_is_unknown_and_a_judge_that_was_removed_says_nothing() {
    let mut bench = Bench::connected();
    judges(&mut bench, TrackName::Inbound, DetectionMode::DetectMessageEnd);
    bench.run(1_900);
    assert_eq!(verdicts(&mut bench), []);
    bench.run(400);
    assert_eq!(verdicts(&mut bench)[0].answered_by, AnsweredBy::Unknown);
    bench.command(MediaCommand::RemoveEnd { end: JUDGE });
    judges(&mut bench, TrackName::Inbound, DetectionMode::Enable);
    bench.command(MediaCommand::RemoveEnd { end: JUDGE });
    bench.run(5_000);
    assert_eq!(verdicts(&mut bench), []);
}
