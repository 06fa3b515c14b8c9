//! Seam of looped music, at which the first sample follows the last one. If that is an audible step, the end is
//! cross-faded into the beginning.

/// Maximum length of the cross-fade: 10 ms.
const SEAM_SAMPLES: usize = 80;

/// Makes the end of the audio continue smoothly into its beginning; audio made for looping stays unchanged.
pub(super) fn close(samples: &mut Vec<i16>) {
    let seam = SEAM_SAMPLES.min(samples.len() / 4);
    if seam == 0 || is_smooth(samples, seam) {
        return;
    }
    let (head, body) = samples.split_at(seam);
    let mut closed = body.to_vec();
    let from = closed.len() - seam;
    // The seam contains the beginning, so the audio starts behind it.
    for (at, (last, first)) in closed.iter_mut().skip(from).zip(head).enumerate() {
        let share = (at as f32 + 1.0) / (seam as f32 + 1.0);
        *last = (f32::from(*last) * (1.0 - share) + f32::from(*first) * share) as i16;
    }
    *samples = closed;
}

/// Returns whether the step from the last sample to the first is no larger than steps on either side of it.
fn is_smooth(samples: &[i16], seam: usize) -> bool {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return true };
    let step = |pair: &[i16]| match pair {
        [one, next] => (i32::from(*one) - i32::from(*next)).abs(),
        _ => 0,
    };
    let ends = [samples.get(..seam), samples.get(samples.len() - seam..)];
    let usual = ends.into_iter().flatten().flat_map(|end| end.windows(2).map(step)).max().unwrap_or(0);
    (i32::from(*first) - i32::from(*last)).abs() <= usual.max(64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(hz: f64, count: usize) -> Vec<i16> {
        (0..count).map(|n| (8000.0 * (std::f64::consts::TAU * hz * n as f64 / 8000.0).sin()) as i16).collect()
    }

    #[test]
    fn whole_periods_stay_as_they_are() {
        let whole = sine(400.0, 8000);
        let mut closed = whole.clone();
        close(&mut closed);
        assert_eq!(closed, whole);
    }

    #[test]
    fn a_step_becomes_none() {
        // The audio ends at a peak, and begins at zero.
        let mut samples = sine(100.0, 8020);
        samples.extend([8000; 20]);
        close(&mut samples);
        assert_eq!(samples.len(), 8040 - SEAM_SAMPLES);
        let twice: Vec<i32> = samples.iter().chain(&samples).map(|sample| i32::from(*sample)).collect();
        assert!(twice.windows(2).all(|pair| (pair[0] - pair[1]).abs() < 900), "100 Hz itself has 628 at most");
        for length in 0..8 {
            let mut short = vec![i16::MIN; length];
            close(&mut short);
            let mut steps: Vec<i16> = (0..length).map(|n| if n % 2 == 0 { i16::MAX } else { 0 }).collect();
            close(&mut steps);
        }
    }
}
