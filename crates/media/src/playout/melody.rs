//! Default hold music: a quiet melody made for this project, computed once.

use std::f64::consts::TAU;
use std::sync::{Arc, OnceLock};

use crate::codec::g711::encode_ulaw;

/// Sampling rate of the melody, in Hz.
const RATE: usize = 8_000;
/// Samples of one note.
const NOTE_SAMPLES: usize = 4_000;
/// Sixteen notes: C, A minor, F and G, each broken up and down; in Hz.
const NOTES_HZ: [f64; 16] = [
    261.63, 329.63, 392.00, 329.63, 220.00, 261.63, 329.63, 261.63, 174.61, 220.00, 261.63, 220.00, 196.00, 246.94,
    293.66, 246.94,
];
/// Peak of a note: about −15 dBm0, the level of speech.
const PEAK: f64 = 4_000.0;
/// Attack of a note in samples, which avoids a click.
const RISE_SAMPLES: f64 = 80.0;
/// Samples after which a note has decayed to a third.
const FALL_SAMPLES: f64 = 2_400.0;

/// Returns the melody in μ-law at 8 kHz, to be played in a loop; all listeners share it.
pub fn melody() -> Arc<[u8]> {
    static MELODY: OnceLock<Arc<[u8]>> = OnceLock::new();
    MELODY.get_or_init(|| NOTES_HZ.iter().flat_map(|hz| note(*hz)).collect()).clone()
}

/// Returns the samples of one note and its octave in μ-law, with attack and decay.
fn note(hz: f64) -> impl Iterator<Item = u8> {
    (0..NOTE_SAMPLES).map(move |at| {
        let (sample, left) = (at as f64, (NOTE_SAMPLES - at) as f64);
        let angle = TAU * hz * sample / RATE as f64;
        let shape = (sample / RISE_SAMPLES).min(left / RISE_SAMPLES).min(1.0) * (-sample / FALL_SAMPLES).exp();
        encode_ulaw((PEAK * shape * (angle.sin() + 0.3 * (2.0 * angle).sin())) as i16)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::g711::decode_ulaw;

    #[test]
    fn the_melody_is_quiet_has_no_pause_and_no_click() {
        let samples: Vec<i32> = melody().iter().map(|code| i32::from(decode_ulaw(*code))).collect();
        assert_eq!(samples.len(), 8 * RATE);
        assert!(samples.iter().all(|sample| sample.abs() < 6_000));
        let steps = samples.iter().zip(samples.iter().cycle().skip(1)).map(|(one, next)| (next - one).abs());
        assert!(steps.max().is_some_and(|step| step < 2_000), "also from the last sample to the first");
        for second in samples.chunks(RATE) {
            let power = second.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / RATE as f64;
            assert!((400.0..3_000.0).contains(&power.sqrt()), "{}", power.sqrt());
        }
    }
}
