//! The edge's own music for waiting parties of a conference: a loop of broken chords of decaying tones.

use std::f64::consts::TAU;
use std::sync::{Arc, LazyLock};

use trunkgate_media::codec::g711::encode_ulaw;

/// Samples per second.
const RATE: f64 = 8_000.0;
/// Samples of a tone before the next one begins: 0.4 s.
const STEP: usize = 3_200;
/// Number of tones that sound at once; each fades during as many steps.
const RINGING: usize = 5;
/// Maximum amplitude of one tone.
const LEVEL: f64 = 2_000.0;
/// Fraction of a tone's amplitude that remains after a second.
const DECAY: f64 = 0.05;
/// Four chords, each broken into eight tones, in Hz.
const TONES: [[f64; 8]; 4] = [
    [261.63, 329.63, 392.00, 523.25, 659.26, 523.25, 392.00, 329.63],
    [220.00, 261.63, 329.63, 440.00, 523.25, 440.00, 329.63, 261.63],
    [174.61, 261.63, 349.23, 440.00, 523.25, 440.00, 349.23, 261.63],
    [196.00, 246.94, 293.66, 392.00, 493.88, 392.00, 293.66, 246.94],
];

static MUSIC: LazyLock<Arc<[u8]>> = LazyLock::new(make);

/// Returns the music: μ-law at 8 kHz, a loop without a gap.
pub(crate) fn music() -> Arc<[u8]> {
    Arc::clone(&MUSIC)
}

fn make() -> Arc<[u8]> {
    let tones: Vec<f64> = TONES.concat();
    let length = tones.len() * STEP;
    let mut mixed = vec![0.0_f64; length];
    let damping = DECAY.powf(1.0 / RATE);
    for (at, hz) in tones.into_iter().enumerate() {
        let turn = TAU * hz / RATE;
        // A damped oscillator: each sample follows from the two before it.
        let (factor, damped) = (2.0 * damping * turn.cos(), damping * damping);
        let (mut before, mut last) = (0.0, LEVEL * turn.sin());
        for n in 0..RINGING * STEP {
            if let Some(sample) = mixed.get_mut((at * STEP + n) % length) {
                *sample += last;
            }
            (before, last) = (last, factor * last - damped * before);
        }
    }
    // Five tones with an amplitude of 2,000 stay within 16 bits.
    mixed.into_iter().map(|sample| encode_ulaw(sample as i16)).collect()
}

#[cfg(test)]
mod tests {
    use trunkgate_media::codec::g711::decode_ulaw;

    use super::*;

    #[test]
    fn music_is_heard_throughout_and_never_loud() {
        let music = music();
        assert_eq!(music.len(), 32 * STEP);
        for part in music.chunks(1_600) {
            let loudest = part.iter().map(|code| i32::from(decode_ulaw(*code)).abs()).max().unwrap();
            assert!((200..8_000).contains(&loudest), "{loudest}");
        }
    }
}
