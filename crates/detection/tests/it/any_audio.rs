//! Property tests: any audio gets exactly one verdict.

use proptest::prelude::*;
use trunkgate_detection::{AnsweredBy, DetectionMode, DetectionSettings, fuzz};

use crate::support::Party;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_bytes_have_one_verdict(data in proptest::collection::vec(any::<u8>(), 0..6_000)) {
        fuzz::detection(&data);
    }

    /// A party that speaks for less than the threshold is a human, any other a machine.
    #[test]
    fn cadence_decides(lead in 100_usize..900, speech in 300_usize..4_000, threshold in 1_000_u32..3_000, noise in 0.0_f32..120.0) {
        let party = Party::default().silence(lead).speech(speech).silence(3_000).noise(noise);
        let verdict = party.judged(DetectionSettings::new(DetectionMode::Enable, [None, Some(threshold), None, None]));
        let difference = speech as i64 - i64::from(threshold);
        if difference.abs() > 150 {
            let expected = if difference > 0 { AnsweredBy::MachineStart } else { AnsweredBy::Human };
            prop_assert_eq!(verdict.answered_by, expected);
        }
    }

    /// A beep of any frequency and duration ends a message.
    #[test]
    fn beeps_are_heard(hz in 650.0_f32..2_050.0, ms in 180_usize..1_500, pause in 200_usize..1_000) {
        let party = Party::default().silence(300).speech(3_000).silence(pause).tone(&[hz], ms);
        prop_assert_eq!(party.heard(DetectionMode::DetectMessageEnd).0, AnsweredBy::MachineEndBeep);
    }
}
