//! Test signals of parties, and their verdicts.

use std::f32::consts::TAU;
use std::time::{Duration, Instant};

use trunkgate_detection::limits::{FRAME, FRAME_SAMPLES};
use trunkgate_detection::{AnsweredBy, DetectionMode, DetectionSettings, DetectionVerdict, MachineDetector};

/// Number of samples in a millisecond.
const MS: usize = 8;

/// Generated audio of a party that has answered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Party {
    samples: Vec<f32>,
}

impl Party {
    /// Appends silence.
    pub(crate) fn silence(mut self, ms: usize) -> Party {
        self.samples.extend(std::iter::repeat_n(0.0, ms * MS));
        self
    }

    /// Appends speech: syllables of a voice with gliding pitch, four a second.
    pub(crate) fn speech(mut self, ms: usize) -> Party {
        let mut phase = 0.0;
        self.samples.extend((0..ms * MS).map(|n| {
            let at = n as f32 / 8000.0;
            let pitch = 140.0 * (1.0 + 0.15 * (at * 5.0).sin());
            phase += pitch / 8000.0;
            let formants = [550.0 + 200.0 * (at * 9.0).sin(), 1500.0 + 400.0 * (at * 7.0).cos()];
            let harmonics = (1..20).map(|harmonic| {
                let hz = pitch * harmonic as f32;
                let gain: f32 = formants.iter().map(|formant| 1.0 / (1.0 + ((hz - formant) / 120.0).powi(2))).sum();
                gain * (TAU * phase * harmonic as f32).sin()
            });
            let syllable = 0.15 + 0.85 * (TAU * 2.0 * at).sin().abs();
            2500.0 * syllable * harmonics.sum::<f32>()
        }));
        self
    }

    /// Appends a tone of one or several frequencies.
    pub(crate) fn tone(mut self, hz: &[f32], ms: usize) -> Party {
        let at = |n: usize| hz.iter().map(|hz| 6000.0 * (TAU * hz * n as f32 / 8000.0).sin()).sum::<f32>();
        self.samples.extend((0..ms * MS).map(|n| at(n) / hz.len() as f32));
        self
    }

    /// Adds noise of a level, as peak sample value, to all audio so far.
    pub(crate) fn noise(mut self, level: f32) -> Party {
        let mut state = 7_u32;
        for sample in &mut self.samples {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *sample += level * ((state >> 8) as f32 / 8_388_608.0 - 1.0);
        }
        self
    }

    /// Repeats the audio `count` times.
    pub(crate) fn times(mut self, count: usize) -> Party {
        self.samples = self.samples.repeat(count);
        self
    }

    /// Returns the verdict on the audio, after which the party is silent.
    pub(crate) fn judged(&self, settings: DetectionSettings) -> DetectionVerdict {
        let limit = settings.timeout + FRAME;
        #[expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]
        let began = Instant::now();
        let (mut now, mut detector) = (began, MachineDetector::new(began, settings));
        let mut frames = self.samples.chunks(FRAME_SAMPLES);
        while now < began + limit {
            let mut frame = [0; FRAME_SAMPLES];
            let samples = frames.next().unwrap_or_default();
            frame.iter_mut().zip(samples).for_each(|(to, sample)| *to = *sample as i16);
            now += FRAME;
            detector.add_frame(now, &frame);
            detector.handle_timeout(now);
            if let Some(verdict) = detector.poll_verdict() {
                assert_eq!((detector.poll_timeout(), detector.poll_verdict()), (None, None));
                return verdict;
            }
        }
        panic!("no verdict")
    }

    /// Returns the verdict with the default thresholds, and its time in milliseconds.
    pub(crate) fn heard(&self, mode: DetectionMode) -> (AnsweredBy, u64) {
        let verdict = self.judged(DetectionSettings::new(mode, [None; 4]));
        (verdict.answered_by, u64::try_from(verdict.duration.as_millis()).unwrap())
    }
}

/// Returns whether two times differ by 200 ms at most.
pub(crate) fn is_near(ms: u64, expected: u64) -> bool {
    ms.abs_diff(expected) <= Duration::from_millis(200).as_millis() as u64
}
