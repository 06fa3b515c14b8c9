//! Verdicts on parties of each kind.

use std::time::Duration;

use trunkgate_detection::{AnsweredBy, DetectionMode, DetectionSettings};

use crate::support::{Party, is_near};

use AnsweredBy::{Fax, Human, MachineEndBeep, MachineEndOther, MachineEndSilence, MachineStart, Unknown};

fn quiet() -> Party {
    Party::default().silence(400)
}

#[test]
fn a_short_greeting_is_a_human_and_a_long_one_a_machine() {
    for (party, answered_by, ms) in [
        (quiet().speech(500), Human, 2_100),
        (quiet().speech(500).noise(100.0), Human, 2_100),
        (quiet().speech(400).silence(800).speech(400), Human, 3_200),
        (quiet().speech(5_000), MachineStart, 2_800),
        (quiet().speech(5_000).noise(100.0), MachineStart, 2_800),
        // 300 ms of a pause count as speech.
        (quiet().speech(1_000).silence(900).speech(4_000), MachineStart, 3_400),
        (quiet().speech(900).silence(400).tone(&[1_000.0], 400), MachineStart, 1_820),
    ] {
        let heard = party.heard(DetectionMode::Enable);
        assert!(heard.0 == answered_by && is_near(heard.1, ms), "{heard:?}, not {answered_by:?} after {ms} ms");
    }
}

#[test]
fn the_end_of_a_message_is_a_beep_or_silence() {
    let message = || quiet().speech(4_000).silence(500);
    for (party, answered_by, ms) in [
        (message().tone(&[1_000.0], 400), MachineEndBeep, 5_320),
        (message().tone(&[440.0], 800), MachineEndBeep, 5_740),
        (message().tone(&[700.0, 1_050.0], 500), MachineEndBeep, 5_440),
        (message(), MachineEndSilence, 5_600),
        (quiet().speech(600).silence(400).tone(&[1_400.0], 300), MachineEndBeep, 1_740),
        (quiet().speech(600), Human, 2_200),
        (quiet().speech(60_000), MachineEndOther, 30_000),
    ] {
        let heard = party.heard(DetectionMode::DetectMessageEnd);
        assert!(heard.0 == answered_by && is_near(heard.1, ms), "{heard:?}, not {answered_by:?} after {ms} ms");
    }
}

#[test]
fn tones_are_fax_machines_announcements_and_no_speech() {
    let sit = || quiet().tone(&[950.0], 330).tone(&[1_400.0], 330).tone(&[1_776.0], 330);
    for (party, mode, answered_by, ms) in [
        // ITU-T T.30: the answer tone, and the calling tone.
        (quiet().tone(&[2_100.0], 3_000), DetectionMode::Enable, Fax, 1_000),
        (quiet().tone(&[2_100.0], 3_000).noise(200.0), DetectionMode::DetectMessageEnd, Fax, 1_000),
        (quiet().tone(&[1_100.0], 500).silence(3_000).times(3), DetectionMode::Enable, Fax, 960),
        // ITU-T E.180: special information tones, and an announcement.
        (sit().speech(3_000), DetectionMode::Enable, MachineStart, 1_220),
        (sit().speech(3_000), DetectionMode::DetectMessageEnd, MachineEndSilence, 5_590),
        // Ringback of North America, Europe and Britain.
        (Party::default().tone(&[440.0, 480.0], 2_000).silence(4_000).times(6), DetectionMode::Enable, Unknown, 30_000),
        (Party::default().tone(&[425.0], 1_000).silence(4_000).times(8), DetectionMode::Enable, Unknown, 30_000),
        (
            quiet().tone(&[400.0, 450.0], 400).silence(200).times(2).silence(400).speech(500),
            DetectionMode::Enable,
            Human,
            4_100,
        ),
    ] {
        let heard = party.heard(mode);
        assert!(heard.0 == answered_by && is_near(heard.1, ms), "{heard:?}, not {answered_by:?} after {ms} ms");
    }
}

#[test]
fn silence_and_noise_are_unknown() {
    for party in [Party::default(), quiet().silence(9_000).noise(300.0), quiet().silence(9_000).noise(3_000.0)] {
        assert_eq!(party.heard(DetectionMode::Enable), (Unknown, 5_000));
    }
    // A click is no speech.
    assert_eq!(quiet().speech(40).heard(DetectionMode::Enable), (Unknown, 5_000));
    // Endless speech of the first kind, with a short timeout.
    let settings = DetectionSettings::new(DetectionMode::Enable, [Some(3), Some(6_000), None, None]);
    let verdict = quiet().speech(9_000).judged(settings);
    assert_eq!((verdict.answered_by, verdict.duration), (Unknown, Duration::from_secs(3)));
}

#[test]
fn thresholds_move_the_verdict() {
    let of = |party: Party, values| party.judged(DetectionSettings::new(DetectionMode::Enable, values));
    let fast = [None, Some(1_500), Some(600), Some(2_000)];
    assert_eq!(of(quiet().speech(2_000), fast).answered_by, MachineStart);
    assert_eq!(of(quiet().speech(2_000), [None; 4]).answered_by, Human);
    assert_eq!(of(quiet().speech(3_000), [None, Some(4_000), None, None]).answered_by, Human);
    let verdict = of(Party::default(), fast);
    assert_eq!((verdict.answered_by, verdict.duration), (Unknown, Duration::from_secs(2)));
    let verdict = of(quiet().speech(500), fast);
    assert!(verdict.answered_by == Human && verdict.duration < Duration::from_millis(1_700), "{verdict:?}");
}
