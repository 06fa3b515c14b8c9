//! DTMF detection in samples (ITU-T Q.24) by the power at each of the eight frequencies (Goertzel algorithm), robust
//! against speech.

use std::f32::consts::TAU;

use super::synth::{COLUMNS_HZ, DIGITS, PEAK_0_DBM0, ROWS_HZ};

/// Sampling rate of the analysed audio, in Hz.
const RATE_HZ: u32 = 8000;
/// Samples of a window: 78 Hz wide, which accepts ±1.5 % and rejects ±3.5 %.
const WINDOW: usize = 102;
/// Number of samples between the starts of two windows.
const STEP: usize = WINDOW / 2;
/// Consecutive windows with one digit that make a tone: 32 ms of the minimum duration of 40 ms (Q.24).
const HITS: u32 = 4;
/// Consecutive windows without the digit that end its tone.
const MISSES: u32 = 3;
/// Power relative to the tone's below which the tone ends at once: 20 dB.
const SILENT: f32 = 0.01;
/// Minimum power of each of the two frequencies: −30 dBm0.
const LEAST: f32 = {
    let amplitude = PEAK_0_DBM0 * 0.0316 * (WINDOW as f32) / 2.0;
    amplitude * amplitude
};
/// Maximum power ratio between the high and the low frequency, 8 dB either way (Q.24: at least 5).
const TWIST: f32 = 6.3;
/// Minimum power ratio of each frequency to the other frequencies of its group: 8 dB.
const ALONE: f32 = 6.3;
/// Minimum share of the two frequencies in the total power.
const SHARE: f32 = 0.78;

/// Event of a DTMF detector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DigitDetection {
    /// The tone of a digit has begun.
    Begun(char),
    /// The tone has ended after this many milliseconds.
    Over(u32),
}

/// DTMF detector for a stream of samples.
#[derive(Debug)]
pub(crate) struct Goertzel {
    /// Number of input samples averaged into one analysed sample: 1 at 8 kHz, 2 at 16 kHz.
    every: usize,
    window: [f32; WINDOW],
    filled: usize,
    /// Whether the next window is the first after a loss, which may be distorted by concealment.
    is_behind_loss: bool,
    coefficients: [f32; 8],
    /// Digit found in the latest windows; `hits` is the number of these windows, `power` their power.
    candidate: Option<char>,
    hits: u32,
    power: f32,
    pressed: Option<char>,
    misses: u32,
    /// Number of samples since the tone began.
    lasted: usize,
}

impl Goertzel {
    /// Creates a detector of samples at 8,000 or 16,000 Hz.
    pub(crate) fn new(rate_hz: u32) -> Goertzel {
        let mut coefficients = [0.0; 8];
        for (to, hz) in coefficients.iter_mut().zip(ROWS_HZ.iter().chain(&COLUMNS_HZ)) {
            *to = 2.0 * (TAU * hz / RATE_HZ as f32).cos();
        }
        Goertzel {
            every: (rate_hz / RATE_HZ).max(1) as usize,
            window: [0.0; WINDOW],
            filled: 0,
            is_behind_loss: false,
            coefficients,
            candidate: None,
            hits: 0,
            power: 0.0,
            pressed: None,
            misses: 0,
            lasted: 0,
        }
    }

    /// Records a loss: the next samples do not continue the last ones.
    pub(crate) fn skip(&mut self) {
        (self.filled, self.is_behind_loss) = (0, true);
    }

    /// Returns whether the last window contains a digit or a tone is in progress; if so, the audio must not be
    /// forwarded.
    pub(crate) fn is_tone(&self) -> bool {
        self.candidate.is_some() || self.pressed.is_some()
    }

    /// Analyses samples; calls `heard` for each tone that begins or ends.
    pub(crate) fn analyse_samples(&mut self, samples: &[i16], mut heard: impl FnMut(DigitDetection)) {
        for chunk in samples.chunks(self.every) {
            let sum: i32 = chunk.iter().map(|sample| i32::from(*sample)).sum();
            if let Some(place) = self.window.get_mut(self.filled) {
                *place = sum as f32 / chunk.len() as f32;
                self.filled += 1;
            }
            if self.filled == WINDOW {
                self.evaluate_window(&mut heard);
                self.window.copy_within(STEP.., 0);
                self.filled = WINDOW - STEP;
            }
        }
    }

    /// Ends the current tone, because its audio has stopped.
    pub(crate) fn end(&mut self, heard: impl FnOnce(DigitDetection)) {
        (self.candidate, self.hits, self.filled) = (None, 0, 0);
        if self.pressed.take().is_some() {
            let ms = self.lasted * 1000 / RATE_HZ as usize;
            heard(DigitDetection::Over(u32::try_from(ms).unwrap_or(u32::MAX)));
        }
    }

    fn evaluate_window(&mut self, mut heard: impl FnMut(DigitDetection)) {
        let all: f32 = self.window.iter().map(|sample| sample * sample).sum();
        let key = self.digit_in(all);
        let is_silent = all < self.power * SILENT;
        if std::mem::take(&mut self.is_behind_loss) && key.is_none() && !is_silent {
            self.lasted += STEP;
            return;
        }
        self.hits = if key.is_some() && key == self.candidate { self.hits + 1 } else { u32::from(key.is_some()) };
        self.candidate = key;
        if self.pressed.is_some() && key == self.pressed {
            self.misses = 0;
            self.power = self.power.max(all);
        } else if self.pressed.is_some() {
            self.misses += 1;
        }
        self.lasted += STEP;
        if is_silent || self.misses >= MISSES || self.hits >= HITS && key != self.pressed {
            let misses = self.misses as usize;
            self.lasted = self.lasted.saturating_sub(misses * STEP);
            let (candidate, hits, filled) = (self.candidate, self.hits, self.filled);
            self.end(&mut heard);
            (self.candidate, self.hits, self.filled) = (candidate, hits, filled);
            (self.misses, self.power) = (0, 0.0);
        }
        if let Some(key) = key.filter(|_| self.pressed.is_none() && self.hits >= HITS) {
            self.pressed = Some(key);
            (self.power, self.lasted) = (all, WINDOW + (HITS as usize - 1) * STEP);
            heard(DigitDetection::Begun(key));
        }
    }

    /// Returns the digit if its two frequencies make up most of the window's energy `all`.
    fn digit_in(&self, all: f32) -> Option<char> {
        // Goertzel algorithm: the power at each frequency.
        let powers = self.coefficients.map(|coefficient| {
            let (mut one, mut two) = (0.0_f32, 0.0_f32);
            for sample in &self.window {
                (one, two) = (sample + coefficient * one - two, one);
            }
            one * one + two * two - coefficient * one * two
        });
        let (rows, columns) = powers.split_at(4);
        let strongest = |group: &[f32]| {
            let (at, most) = group.iter().copied().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b))?;
            let alone = group.iter().enumerate().all(|(each, power)| each == at || power * ALONE < most);
            alone.then_some((at, most))
        };
        let ((row, low), (column, high)) = (strongest(rows)?, strongest(columns)?);
        let strong = low >= LEAST && high >= LEAST;
        let even = low <= high * TWIST && high <= low * TWIST;
        let share = (low + high) >= SHARE * all * (WINDOW as f32) / 2.0;
        (strong && even && share).then(|| DIGITS.get(row * 4 + column).copied()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtmf::synth::Synth;

    const MS: usize = 8;

    /// Generates two sines of these frequencies and levels (dBm0) for `ms` milliseconds, and a pause of the same
    /// length.
    fn tones(row: (f64, f64), column: (f64, f64), ms: usize) -> Vec<i16> {
        let one = |(hz, level): (f64, f64), n: usize| {
            let peak = f64::from(PEAK_0_DBM0) * 10.0_f64.powf(level / 20.0);
            peak * (std::f64::consts::TAU * hz * n as f64 / 8000.0).sin()
        };
        let tone = (0..ms * MS).map(|n| (one(row, n) + one(column, n)) as i16);
        tone.chain(std::iter::repeat_n(0, ms.max(40) * MS)).collect()
    }

    fn hz(key: char) -> (f64, f64) {
        let at = DIGITS.iter().position(|each| *each == key).unwrap();
        (f64::from(ROWS_HZ[at / 4]), f64::from(COLUMNS_HZ[at % 4]))
    }

    /// Returns the digits and their durations in a stream of packets of 20 ms.
    fn keys(samples: &[i16]) -> Vec<(char, u32)> {
        let (mut detector, mut begun, mut all) = (Goertzel::new(8000), None, Vec::new());
        for packet in samples.chunks(160) {
            detector.analyse_samples(packet, |heard| match heard {
                DigitDetection::Begun(key) => assert_eq!(begun.replace(key), None),
                DigitDetection::Over(ms) => all.push((begun.take().unwrap(), ms)),
            });
        }
        detector.end(|heard| match heard {
            DigitDetection::Begun(_) => {}
            DigitDetection::Over(ms) => all.push((begun.take().unwrap(), ms)),
        });
        all
    }

    fn read(samples: &[i16]) -> String {
        keys(samples).iter().map(|(key, _)| key).collect()
    }

    struct Chance(u32);

    impl Chance {
        fn next(&mut self) -> f64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 17;
            self.0 ^= self.0 << 5;
            f64::from(self.0) / f64::from(u32::MAX) * 2.0 - 1.0
        }
    }

    #[test]
    fn q23_what_is_made_is_read_back_at_either_rate() {
        for rate_hz in [8000, 16_000] {
            let per_ms = rate_hz as usize / 1000;
            let mut detector = Goertzel::new(rate_hz);
            let mut heard = Vec::new();
            for key in DIGITS {
                let mut samples = vec![0; 180 * per_ms];
                let whole = 100 * per_ms;
                for (n, frame) in samples[..whole].chunks_mut(20 * per_ms).enumerate() {
                    Synth::new(key, rate_hz).fill(n * 20 * per_ms, whole - n * 20 * per_ms, frame);
                }
                // The tone begins and ends softly.
                assert!(samples[..2].iter().chain(&samples[whole - 2..whole]).all(|sample| sample.abs() < 3000));
                detector.analyse_samples(&samples, |each| heard.push(each));
            }
            for (pair, key) in heard.chunks(2).zip(DIGITS) {
                let [DigitDetection::Begun(begun), DigitDetection::Over(ms)] = pair else { panic!("{pair:?}") };
                assert!(*begun == key && (80..=115).contains(ms), "{key}: {pair:?}");
            }
            assert_eq!(heard.len(), 32);
        }
    }

    #[test]
    fn q24_a_press_is_40_ms_and_what_is_much_shorter_is_none() {
        for key in DIGITS {
            let (row, column) = hz(key);
            // For any alignment with packets and windows.
            for before in (0..200).step_by(7) {
                let heard = |ms| {
                    let tone = tones((row, -8.0), (column, -8.0), ms);
                    read(&[vec![0; before], tone].concat())
                };
                assert_eq!(heard(40), key.to_string(), "{before}");
                assert_eq!(heard(20), "", "{key} {before}");
            }
        }
    }

    #[test]
    fn q24_off_frequencies_twist_and_levels() {
        for key in DIGITS {
            let (row, column) = hz(key);
            let heard = |row: (f64, f64), column: (f64, f64)| read(&tones(row, column, 60));
            for off in [0.985, 0.99, 1.01, 1.015] {
                assert_eq!(heard((row * off, -10.0), (column * off, -10.0)), key.to_string(), "{off}");
                assert_eq!(heard((row * off, -10.0), (column, -10.0)), key.to_string(), "{off}");
            }
            for off in [0.96, 1.04] {
                assert_eq!(heard((row * off, -10.0), (column * off, -10.0)), "", "{key} {off}");
            }
            for (low, high) in [(-4.0, -10.0), (-10.0, -4.0), (-8.0, -14.0), (-25.0, -25.0), (-26.0, -21.0), (0.0, 0.0)]
            {
                assert_eq!(heard((row, low), (column, high)), key.to_string(), "{low} {high}");
            }
            for (low, high) in [(-2.0, -14.0), (-14.0, -2.0), (-36.0, -36.0), (-10.0, -90.0), (-90.0, -10.0)] {
                assert_eq!(heard((row, low), (column, high)), "", "{key} {low} {high}");
            }
        }
    }

    #[test]
    fn a_long_press_is_one_and_two_of_a_key_are_two() {
        let (row, column) = hz('5');
        let tone = |ms| tones((row, -8.0), (column, -8.0), ms);
        let [('5', ms)] = keys(&tone(3000))[..] else { panic!() };
        assert!((2950..=3020).contains(&ms), "{ms}");
        assert_eq!(read(&[tone(40), tone(40), tone(50)].concat()), "555");
        // With noise 20 dB below.
        let mut chance = Chance(9);
        let noisy: Vec<i16> =
            [tone(60), tone(60)].concat().iter().map(|sample| sample + (chance.next() * 1500.0) as i16).collect();
        assert_eq!(read(&noisy), "55");
        // A dropout of 10 ms does not end the tone.
        let mut broken = tone(200);
        broken[800..880].fill(0);
        assert_eq!(read(&broken), "5");
    }

    #[test]
    fn packets_that_are_lost_make_no_second_key() {
        let mut chance = Chance(3);
        let (mut lost_whole, mut pressed) = (0, 0);
        for round in 0..200 {
            let key = DIGITS[round % 16];
            let (row, column) = hz(key);
            let stream = tones((row, -8.0), (column, -8.0), 200);
            let (mut detector, mut heard, mut gap) = (Goertzel::new(8000), String::new(), false);
            for packet in stream.chunks(160) {
                if chance.next() < -0.2 {
                    gap = true;
                    continue;
                }
                if std::mem::take(&mut gap) {
                    detector.skip();
                }
                detector.analyse_samples(packet, |each| {
                    if let DigitDetection::Begun(key) = each {
                        heard.push(key);
                    }
                });
            }
            pressed += 1;
            if heard.is_empty() {
                lost_whole += 1;
            } else {
                assert_eq!(heard, key.to_string());
            }
        }
        assert!(lost_whole <= pressed / 100, "{lost_whole} of {pressed}");
    }

    /// Generates a gliding voice at this pitch, with formants and breath, four syllables a second.
    fn voice(pitch: f64, seconds: usize, chance: &mut Chance) -> Vec<i16> {
        let mut phase = 0.0;
        (0..seconds * 8000)
            .map(|n| {
                let at = n as f64 / 8000.0;
                let glide = 1.0 + 0.15 * (at * 1.7).sin() + 0.02 * (at * 31.0).sin();
                phase += pitch * glide / 8000.0;
                let formants = [500.0 + 250.0 * (at * 2.3).sin(), 1400.0 + 500.0 * (at * 3.1).cos(), 2500.0];
                let sum: f64 = (1..24)
                    .map(|harmonic| {
                        let hz = pitch * glide * f64::from(harmonic);
                        let gain: f64 =
                            formants.iter().map(|formant| 1.0 / (1.0 + ((hz - formant) / 90.0).powi(2))).sum();
                        gain * (std::f64::consts::TAU * phase * f64::from(harmonic)).sin()
                    })
                    .sum();
                let syllable = (std::f64::consts::PI * 4.0 * at).sin().abs();
                (9000.0 * syllable * (sum / 1.5 + 0.05 * chance.next())).clamp(-32_000.0, 32_000.0) as i16
            })
            .collect()
    }

    #[test]
    fn speech_noise_and_music_have_no_keys() {
        let mut chance = Chance(7);
        for pitch in [85.0, 110.0, 140.0, 175.0, 220.0, 270.0, 330.0, 450.0] {
            assert_eq!(read(&voice(pitch, 40, &mut chance)), "", "{pitch}");
        }
        let noise: Vec<i16> = (0..60 * 8000).map(|_| (chance.next() * 12_000.0) as i16).collect();
        assert_eq!(read(&noise), "");
        // Chords of the scale, and telephone signals: dial tone, ringback, 1 kHz, a fax calling tone.
        for one in 0..36 {
            for other in one + 1..36 {
                let hz = |note: i32| 220.0 * 2.0_f64.powf(f64::from(note) / 12.0);
                let three: Vec<i16> = (0..1600)
                    .map(|n| {
                        let value = |hz: f64| (std::f64::consts::TAU * hz * f64::from(n) / 8000.0).sin();
                        let strings =
                            |note: i32| value(hz(note)) + 0.5 * value(2.0 * hz(note)) + 0.3 * value(3.0 * hz(note));
                        (3000.0 * (strings(one) + strings(other))) as i16
                    })
                    .collect();
                assert_eq!(read(&three), "", "{one} {other}");
            }
        }
        for pair in
            [(350.0, 440.0), (440.0, 480.0), (480.0, 620.0), (1000.0, 1004.0), (1100.0, 1100.0), (2100.0, 425.0)]
        {
            assert_eq!(read(&tones((pair.0, -10.0), (pair.1, -10.0), 1000)), "", "{pair:?}");
        }
    }

    #[test]
    fn q24_speech_through_opus_has_no_keys() {
        use crate::codec::opus::{OpusDecoder, OpusEncoder, OpusPreferences};
        // Half an hour if the codec is optimised.
        let seconds = if cfg!(debug_assertions) { 4 } else { 450 };
        let mut chance = Chance(11);
        for (pitch, rate_hz, most) in
            [(95.0, 8000, 0), (130.0, 16_000, 12_000), (210.0, 8000, 12_000), (300.0, 16_000, 0)]
        {
            let wanted = OpusPreferences { max_bit_rate: most, ..OpusPreferences::default() };
            let (mut encoder, mut decoder) =
                (OpusEncoder::new(8000, wanted).unwrap(), OpusDecoder::new(rate_hz).unwrap());
            let (mut detector, mut heard) = (Goertzel::new(rate_hz), Vec::new());
            for frame in voice(pitch, seconds, &mut chance).chunks_exact(160) {
                let (mut packet, mut samples) = ([0; 500], [0; 320]);
                let bytes = encoder.encode(frame, &mut packet);
                let count = decoder.decode(&packet[..bytes], &mut samples).unwrap_or(0);
                detector.analyse_samples(&samples[..count], |each| heard.push(each));
            }
            assert_eq!(heard, [], "{pitch} at {rate_hz} Hz");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_samples_at_all(samples in proptest::collection::vec(proptest::prelude::any::<i16>(), 0..3000)) {
            let (mut detector, mut open) = (Goertzel::new(16_000), false);
            for packet in samples.chunks(97) {
                detector.analyse_samples(packet, |heard| {
                    assert_eq!(open, matches!(heard, DigitDetection::Over(_)));
                    open = !open;
                });
            }
        }
    }
}
