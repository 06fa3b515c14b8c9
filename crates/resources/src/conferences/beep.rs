//! Beep that announces who enters or leaves a conference.

use std::sync::{Arc, LazyLock};

/// Length of the beep in samples: 0.25 s at 8 kHz.
const BEEP_SAMPLES: u16 = 2_000;
/// Length of the beep's fade-in and fade-out, in samples.
const BEEP_RAMP: u16 = 80;
/// Peak amplitude of the beep, in 16-bit samples.
const BEEP_LEVEL: f64 = 4_000.0;
/// Pitch of the beep, in cycles per sample: 600 Hz.
const BEEP_TURNS: f64 = 0.075;

/// Samples of the beep that announces a participant who enters or leaves.
pub(super) static BEEP: LazyLock<Arc<[i16]>> = LazyLock::new(|| {
    let sample = |at: u16| {
        let ramp = f64::from(at.min(BEEP_SAMPLES - at).min(BEEP_RAMP)) / f64::from(BEEP_RAMP);
        // Far below the limits of a sample.
        (BEEP_LEVEL * ramp * (f64::from(at) * BEEP_TURNS * std::f64::consts::TAU).sin()) as i16
    };
    (0..BEEP_SAMPLES).map(sample).collect()
});
