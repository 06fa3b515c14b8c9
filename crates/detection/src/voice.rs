//! Level, noise and voicing of frames.

use crate::limits::{FRAME_SAMPLES, NOISE_FRAMES, NOISE_MOST_DB, QUIET_DB, RATE_HZ, VOICED};

/// Pole of the high-pass filter that removes hum and DC: 200 Hz.
const POLE: f32 = 0.855;
/// Pitch periods of a voice, in samples: 400 to 70 Hz.
const PERIODS: std::ops::RangeInclusive<usize> = 20..=(RATE_HZ as usize / 70);
/// Level assigned to silence, in dB of full scale.
const SILENT_DB: f32 = -90.0;

/// Frame after the high-pass filter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FilteredFrame {
    pub(crate) samples: [f32; FRAME_SAMPLES],
    /// Sum of the squares of the samples.
    pub(crate) energy: f32,
    /// Level of the frame, in dB of full scale.
    pub(crate) level_db: f32,
}

/// Measurements of a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct FrameMeasurement {
    /// Level of the frame, in dB of full scale.
    pub(crate) level_db: f32,
    /// Line noise before the frame, in dB of full scale.
    pub(crate) noise_db: f32,
    /// Whether the frame is periodic like a voice.
    pub(crate) is_voiced: bool,
}

/// Measures frames in sequence.
#[derive(Debug, Clone)]
pub(crate) struct VoiceMeter {
    filter: (f32, f32),
    before: [f32; FRAME_SAMPLES],
    levels: [f32; NOISE_FRAMES],
    next: usize,
}

impl VoiceMeter {
    /// Creates the state of a new stream.
    pub(crate) fn new() -> VoiceMeter {
        VoiceMeter { filter: (0.0, 0.0), before: [0.0; FRAME_SAMPLES], levels: [NOISE_MOST_DB; NOISE_FRAMES], next: 0 }
    }

    /// Removes DC and hum from a frame by the high-pass filter.
    pub(crate) fn filter(&mut self, frame: &[i16; FRAME_SAMPLES]) -> FilteredFrame {
        let (mut input, mut output) = self.filter;
        let samples = frame.map(|sample| {
            let sample = f32::from(sample);
            output = sample - input + POLE * output;
            input = sample;
            output
        });
        self.filter = (input, output);
        let energy: f32 = samples.iter().map(|sample| sample * sample).sum();
        let mean = energy / FRAME_SAMPLES as f32 / (32_768.0 * 32_768.0);
        let level_db = if mean < 1e-9 { SILENT_DB } else { 10.0 * mean.log10() };
        FilteredFrame { samples, energy, level_db }
    }

    /// Measures level, noise and voicing of a frame.
    pub(crate) fn measure_frame(&mut self, frame: &FilteredFrame) -> FrameMeasurement {
        let is_voiced = frame.level_db >= QUIET_DB && self.periodicity(frame) >= VOICED;
        if let Some(place) = self.levels.get_mut(self.next) {
            *place = frame.level_db.min(NOISE_MOST_DB);
        }
        self.next = (self.next + 1) % NOISE_FRAMES;
        self.before = frame.samples;
        FrameMeasurement { level_db: frame.level_db, noise_db: self.noise_db(), is_voiced }
    }

    /// Returns the line noise, in dB of full scale: the minimum of the mean levels of any three consecutive recent
    /// frames.
    fn noise_db(&self) -> f32 {
        let three = self.levels.windows(3).map(|three| three.iter().sum::<f32>() / 3.0);
        three.fold(NOISE_MOST_DB, f32::min).max(SILENT_DB)
    }

    /// Returns the maximum similarity of a frame to the audio one pitch period earlier, at most 1.
    fn periodicity(&self, frame: &FilteredFrame) -> f32 {
        let mut both = [0.0; 2 * FRAME_SAMPLES];
        let samples = self.before.iter().chain(&frame.samples);
        both.iter_mut().zip(samples).for_each(|(to, sample)| *to = *sample);
        let best = PERIODS.map(|period| {
            let earlier = both.get(FRAME_SAMPLES - period..2 * FRAME_SAMPLES - period).unwrap_or_default();
            let (mut product, mut energy) = (0.0_f32, 0.0_f32);
            for (one, two) in frame.samples.iter().zip(earlier) {
                product += one * two;
                energy += two * two;
            }
            product / (frame.energy * energy).sqrt().max(1.0)
        });
        best.fold(0.0, f32::max)
    }
}
