//! Evaluation of audio that was transcoded on the way. Its bits differ from the original, so each frame is searched for
//! the test tone itself.

use std::f64::consts::TAU;
use std::time::Instant;

use crate::limits;
use crate::tone::{AMPLITUDE, FULL_SCALE, SAMPLE_RATE, TONE_HZ};

/// Evaluation of one received stream of transcoded audio.
#[derive(Debug, Clone, Default)]
pub struct ToneAnalyzer {
    last: Option<u16>,
    arrivals: Vec<Instant>,
    lost: u64,
    repeated: u64,
    /// Number of silent frames since the last audible one.
    silent: u64,
    off: u64,
    tone: f64,
    rest: f64,
    samples: u64,
}

/// Evaluation of the tone received in a call.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ToneReport {
    /// Number of received frames that are audible.
    pub frames: u64,
    /// Number of missing sequence numbers.
    pub lost: u64,
    /// Number of frames that arrived twice or too late.
    pub repeated: u64,
    /// Number of frames that are not the tone at its level: other audio, a gap, a click.
    pub off: u64,
    /// Level of the 440 Hz tone in dBFS; `None` if nothing was audible.
    pub level_dbfs: Option<f64>,
    /// Ratio of the tone to all other audio, in dB.
    pub snr_db: Option<f64>,
}

impl ToneAnalyzer {
    /// Evaluates a frame at 8 kHz; silence before the first and after the last audible frame is ignored.
    pub fn add_frame(&mut self, now: Instant, sequence: u16, samples: &[i16]) {
        let step = self.last.map_or(1, |last| sequence.wrapping_sub(last));
        if step == 0 || step > u16::MAX / 2 {
            self.repeated += 1;
            return;
        }
        self.last = Some(sequence);
        self.lost += u64::from(step - 1);
        let (tone, rest) = fit(samples.iter().copied());
        let count = samples.len().max(1) as f64;
        if level_dbfs((tone + rest) / count) < limits::SILENCE_DBFS {
            self.silent += u64::from(!self.arrivals.is_empty());
            return;
        }
        self.off += std::mem::take(&mut self.silent);
        if self.arrivals.len() < limits::FRAMES as usize {
            self.arrivals.push(now);
        }
        if self.arrivals.len() <= limits::SETTLING_FRAMES {
            return;
        }
        (self.tone, self.rest, self.samples) =
            (self.tone + tone, self.rest + rest, self.samples + samples.len() as u64);
        let is_tone = snr_db(tone, rest) >= limits::FRAME_SNR_DB
            && (level_dbfs(tone / count) - said_dbfs()).abs() <= limits::FRAME_LEVEL_DB;
        self.off += u64::from(!is_tone);
    }

    /// Returns the arrival time of each audible frame.
    pub fn arrivals(&self) -> &[Instant] {
        &self.arrivals
    }

    /// Returns the evaluation of the tone so far.
    pub fn tone_report(&self) -> ToneReport {
        let heard = self.samples > 0;
        ToneReport {
            frames: self.arrivals.len() as u64,
            lost: self.lost,
            repeated: self.repeated,
            off: self.off,
            level_dbfs: heard.then(|| level_dbfs(self.tone / self.samples as f64)),
            snr_db: heard.then(|| snr_db(self.tone, self.rest)),
        }
    }
}

impl ToneReport {
    /// Returns whether the audio is the test tone at its original level.
    pub fn is_tone(&self) -> bool {
        self.snr_db.is_some_and(|snr| snr >= limits::CONVERTED_SNR_DB)
            && self.level_dbfs.is_some_and(|level| (level - said_dbfs()).abs() <= limits::CONVERTED_LEVEL_DB)
    }
}

/// Returns the energy of the tone in a frame, independent of phase, and the energy of all other audio, by least
/// squares.
pub(crate) fn fit(samples: impl Iterator<Item = i16>) -> (f64, f64) {
    let (mut cc, mut ss, mut cs, mut xc, mut xs, mut xx) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
    for (n, sample) in samples.enumerate() {
        let (sin, cos) = (TAU * TONE_HZ * n as f64 / f64::from(SAMPLE_RATE)).sin_cos();
        let x = f64::from(sample);
        (cc, ss, cs) = (cc + cos * cos, ss + sin * sin, cs + cos * sin);
        (xc, xs, xx) = (xc + x * cos, xs + x * sin, xx + x * x);
    }
    let determinant = cc * ss - cs * cs;
    if determinant <= 0.0 {
        return (0.0, xx);
    }
    let (a, b) = ((xc * ss - xs * cs) / determinant, (xs * cc - xc * cs) / determinant);
    let tone = (a * xc + b * xs).clamp(0.0, xx);
    (tone, xx - tone)
}

pub(crate) fn snr_db(tone: f64, rest: f64) -> f64 {
    10.0 * (tone / rest.max(f64::MIN_POSITIVE)).log10()
}

/// Returns the level of a tone with this power, in dBFS.
pub(crate) fn level_dbfs(power: f64) -> f64 {
    20.0 * ((2.0 * power).sqrt().max(f64::MIN_POSITIVE) / FULL_SCALE).log10()
}

fn said_dbfs() -> f64 {
    20.0 * (AMPLITUDE / FULL_SCALE).log10()
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // tests need an arbitrary start time
mod tests {
    use super::*;
    use crate::tone::{FRAME_SAMPLES, G711Codec, MarkedVoice};

    const FRAMES: u32 = 50;

    /// Returns the evaluation of a tone whose frames were modified by `changed`.
    fn heard(hz: f64, amplitude: f64, changed: impl Fn(u32, &mut Vec<i16>)) -> ToneReport {
        let (mut ear, now) = (ToneAnalyzer::default(), Instant::now());
        for n in 0..FRAMES {
            let at = |i: usize| (n as usize * FRAME_SAMPLES + i) as f64 / f64::from(SAMPLE_RATE);
            let mut frame: Vec<i16> =
                (0..FRAME_SAMPLES).map(|i| (amplitude * (TAU * hz * at(i) + 0.7).sin()) as i16).collect();
            changed(n, &mut frame);
            ear.add_frame(now, n as u16, &frame);
        }
        ear.tone_report()
    }

    #[test]
    fn a_tone_of_a_phone_is_one() {
        let (mut ear, now, voice) = (ToneAnalyzer::default(), Instant::now(), MarkedVoice::new(7, G711Codec::Pcmu));
        for n in 0..FRAMES {
            let samples: Vec<i16> = voice.payload(n).iter().map(|code| G711Codec::Pcmu.decode(*code)).collect();
            ear.add_frame(now, n as u16, &samples);
        }
        let sound = ear.tone_report();
        assert_eq!((sound.frames, sound.lost, sound.repeated, sound.off), (50, 0, 0, 0));
        assert!(sound.is_tone() && sound.snr_db > Some(25.0), "{sound:?}");
        assert!(heard(TONE_HZ, AMPLITUDE, |_, _| ()).is_tone());
    }

    #[test]
    fn what_is_no_tone_or_has_another_pitch_or_level_is_not() {
        for sound in [
            heard(TONE_HZ, AMPLITUDE * 0.8, |_, _| ()),
            heard(TONE_HZ, AMPLITUDE * 1.25, |_, _| ()),
            heard(TONE_HZ + 25.0, AMPLITUDE, |_, _| ()),
            heard(2.0 * TONE_HZ, AMPLITUDE, |_, _| ()),
            heard(TONE_HZ, AMPLITUDE, |_, frame| frame.iter_mut().step_by(4).for_each(|sample| *sample = 0)),
            heard(TONE_HZ, 0.0, |_, _| ()),
        ] {
            assert!(!sound.is_tone(), "{sound:?}");
        }
    }

    #[test]
    fn gaps_clicks_and_turned_frames_are_counted_and_silence_around_is_not() {
        let silence = |from: u32, to: u32| {
            heard(TONE_HZ, AMPLITUDE, |n, frame| {
                if (from..to).contains(&n) {
                    frame.fill(0);
                }
            })
        };
        assert_eq!((silence(20, 23).off, silence(20, 23).frames), (3, 47));
        assert_eq!((silence(0, 10).off, silence(40, 50).off), (0, 0));
        let half = heard(TONE_HZ, AMPLITUDE, |n, frame| {
            if n == 30 {
                frame[80..].iter_mut().for_each(|sample| *sample = -*sample);
            }
        });
        let click = heard(TONE_HZ, AMPLITUDE, |n, frame| {
            if n == 30 {
                frame[40..44].fill(i16::MAX);
            }
        });
        assert_eq!((half.off, click.off), (1, 1));
    }

    #[test]
    fn what_is_left_out_and_what_comes_again_is_counted() {
        let (mut ear, now) = (ToneAnalyzer::default(), Instant::now());
        for sequence in [u16::MAX, 0, 0, 3, 2] {
            ear.add_frame(now, sequence, &[5000; FRAME_SAMPLES]);
        }
        let sound = ear.tone_report();
        assert_eq!((sound.frames, sound.lost, sound.repeated), (3, 2, 2));
    }
}
