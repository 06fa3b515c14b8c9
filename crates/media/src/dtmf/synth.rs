//! Synthesis of DTMF tones (ITU-T Q.23): one frequency of a low group and one of a high group.

use std::f32::consts::TAU;

/// Frequencies of the keypad's rows, in Hz (ITU-T Q.23).
pub(super) const ROWS_HZ: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
pub(super) const COLUMNS_HZ: [f32; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
/// Digits in the order of the keypad, row by row.
pub(super) const DIGITS: [char; 16] = ['1', '2', '3', 'A', '4', '5', '6', 'B', '7', '8', '9', 'C', '*', '0', '#', 'D'];

/// Peak of a sine at 0 dBm0 in 16 bits (ITU-T G.711 table 5: full scale is +3.14 dBm0).
pub(super) const PEAK_0_DBM0: f32 = 22_400.0;
/// Peak of the sine of the low group: −8 dBm0. The high group has −6 dBm0, to compensate for line attenuation.
const ROW_PEAK: f32 = PEAK_0_DBM0 * 0.398;
const COLUMN_PEAK: f32 = PEAK_0_DBM0 * 0.501;
/// Duration of attack and release of a tone in milliseconds, which avoid clicks.
const RAMP_MS: usize = 2;

/// Synthesizer of one digit's tone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Synth {
    row_hz: f32,
    column_hz: f32,
    rate_hz: u32,
}

impl Synth {
    /// Creates a synthesizer of samples at this rate.
    pub(super) fn new(digit: char, rate_hz: u32) -> Synth {
        let at = DIGITS.iter().position(|each| *each == digit).unwrap_or_default();
        let (row, column) = (ROWS_HZ.get(at / 4).copied(), COLUMNS_HZ.get(at % 4).copied());
        Synth { row_hz: row.unwrap_or_default(), column_hz: column.unwrap_or_default(), rate_hz }
    }

    /// Fills a frame that begins `from` samples after the tone's beginning and `left` samples before its end.
    pub(super) fn fill(self, from: usize, left: usize, frame: &mut [i16]) {
        let ramp = (self.rate_hz as usize / 1000 * RAMP_MS).max(1);
        // Fraction of a turn, so that a long tone is as exact as a short one.
        let turn = |hz: f32, n: usize| (f64::from(hz) * n as f64 / f64::from(self.rate_hz)).fract() as f32;
        for (n, sample) in frame.iter_mut().enumerate() {
            let edge = (from + n + 1).min(left.saturating_sub(n)).min(ramp) as f32 / ramp as f32;
            let value = |hz, peak: f32| peak * (TAU * turn(hz, from + n)).sin();
            *sample = (edge * (value(self.row_hz, ROW_PEAK) + value(self.column_hz, COLUMN_PEAK))) as i16;
        }
    }
}
