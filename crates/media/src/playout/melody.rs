//! Hold music where none is configured: a quiet melody of our own, computed once.

use std::f64::consts::TAU;
use std::sync::{Arc, OnceLock};

use crate::codec::g711::encode_ulaw;

/// Samples in a second.
const RATE: usize = 8_000;
/// Samples of one note.
const NOTE_SAMPLES: usize = 4_000;
/// Sixteen notes: C, A minor, F and G, each broken up and down; in Hz.
const NOTES_HZ: [f64; 16] = [
    261.63, 329.63, 392.00, 329.63, 220.00, 261.63, 329.63, 261.63, 174.61, 220.00, 261.63, 220.00, 196.00, 246.94,
    293.66, 246.94,
];
/// Peak of a note: about −15 dBm0, as speech is.
const PEAK: f64 = 4_000.0;
/// Samples in which a note rises, so that it does not click.
const RISE_SAMPLES: f64 = 80.0;
/// Samples in which it falls to a third.
const FALL_SAMPLES: f64 = 2_400.0;

/// The melody, μ-law at 8 kHz, to be heard again and again; shared by everybody who hears it.
pub fn melody() -> Arc<[u8]> {
    static MELODY: OnceLock<Arc<[u8]>> = OnceLock::new();
    MELODY.get_or_init(|| NOTES_HZ.iter().flat_map(|hz| note(*hz)).collect()).clone()
}

/// One note with its octave, rising and falling within its time.
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
