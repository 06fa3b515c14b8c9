//! Fades that prevent clicks when another agent or player feeds a stream: the last frame of the old feeder is faded
//! out, mixed with the first one of the new feeder; hold audio is faded in. Agent audio is never faded in.

use std::f32::consts::PI;

/// Returns the gain at sample `at` of a frame: rises from 0 to 1 along half a cosine period.
fn rising(at: usize, samples: usize) -> f32 {
    0.5 - 0.5 * (PI * (at as f32 + 0.5) / samples as f32).cos()
}

/// Fades a frame in from silence.
pub(crate) fn fade_in(frame: &mut [i16]) {
    let samples = frame.len();
    for (at, sample) in frame.iter_mut().enumerate() {
        *sample = (f32::from(*sample) * rising(at, samples)) as i16;
    }
}

/// Fades a frame out to silence.
pub(crate) fn fade_out(frame: &mut [i16]) {
    let samples = frame.len();
    for (at, sample) in frame.iter_mut().enumerate() {
        *sample = (f32::from(*sample) * (1.0 - rising(at, samples))) as i16;
    }
}

/// Fades `tail` out and adds it to a frame.
pub(crate) fn add_fading(frame: &mut [i16], tail: &[i16]) {
    let samples = frame.len();
    for (at, (sample, tail)) in frame.iter_mut().zip(tail).enumerate() {
        *sample = sample.saturating_add((f32::from(*tail) * (1.0 - rising(at, samples))) as i16);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playout::frame::{FRAME_SAMPLES, LinearFrame};

    const LOUD: LinearFrame = [30_000; FRAME_SAMPLES];

    #[test]
    fn a_frame_fades_without_a_step() {
        let (mut into, mut out) = (LOUD, LOUD);
        fade_in(&mut into);
        fade_out(&mut out);
        assert!(into[0] < 10 && out[FRAME_SAMPLES - 1] < 10 && into[FRAME_SAMPLES - 1] > 29_990);
        assert!(into.windows(2).all(|pair| (0..600).contains(&(pair[1] - pair[0]))));
        assert!(into.iter().zip(&out).all(|(a, b)| (a + b - 30_000).abs() <= 2), "the sum of both is constant");
    }

    #[test]
    fn two_loud_ones_do_not_wrap() {
        let mut frame = LOUD;
        add_fading(&mut frame, &LOUD);
        assert!(frame.iter().all(|sample| *sample >= 30_000));
    }
}
