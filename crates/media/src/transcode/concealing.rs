//! Packet loss concealment for codecs that have none: repeats the last pitch period with decreasing volume and joins
//! it smoothly to the next audio. Also completes a partial packet when its source stops.

/// Longest pitch period, in milliseconds: that of 66 Hz.
const LONGEST_MS: usize = 15;
/// Shortest pitch period, in quarters of a millisecond: that of 400 Hz, 2.5 ms.
const SHORTEST_QUARTERS: usize = 10;
/// Audio compared to find the pitch period, in milliseconds.
const COMPARED_MS: usize = 10;
/// Length of the audio history, in milliseconds.
const KEPT_MS: usize = LONGEST_MS + COMPARED_MS;
/// Time after which a repeated pitch period has faded to silence, in milliseconds.
const FADED_MS: usize = 60;
/// Duration of the transition into the next audio, in milliseconds.
const JOINED_MS: usize = 4;
/// Maximum samples per millisecond.
const PER_MS: usize = 16;

/// Audio history of a stream for concealment.
#[derive(Debug, Clone)]
pub(super) struct Concealer {
    per_ms: usize,
    /// History, the newest last; only the last `KEPT_MS` are in use.
    kept: [i16; KEPT_MS * PER_MS],
}

impl Concealer {
    /// Creates the history of a stream at a sampling rate of at most 16,000 Hz.
    pub(super) fn new(rate_hz: u32) -> Concealer {
        Concealer { per_ms: (rate_hz as usize / 1000).min(PER_MS), kept: [0; KEPT_MS * PER_MS] }
    }

    /// Adds audio to the history.
    pub(super) fn hear(&mut self, samples: &[i16]) {
        let newest = samples.get(samples.len().saturating_sub(self.kept.len())..).unwrap_or_default();
        self.kept.copy_within(newest.len().., 0);
        let at = self.kept.len() - newest.len();
        if let Some(room) = self.kept.get_mut(at..) {
            room.copy_from_slice(newest);
        }
    }

    /// Fills `lost` with a fading repetition of the last pitch period, and joins it to `next`, the audio after the
    /// loss.
    pub(super) fn conceal(&self, lost: &mut [i16], next: &mut [i16]) {
        let period = self.period();
        let last = self.kept.get(self.kept.len() - period..).unwrap_or_default();
        let faded = FADED_MS * self.per_ms;
        let tone = last.iter().cycle().enumerate().map(|(at, sample)| {
            let left = faded.saturating_sub(at);
            // No truncation: `left / faded` is at most 1.
            (i32::from(*sample) * left as i32 / faded as i32) as i16
        });
        let joined = (JOINED_MS * self.per_ms).min(next.len());
        let (before, after) = (lost.len(), joined as i32);
        lost.iter_mut().zip(tone.clone()).for_each(|(to, sample)| *to = sample);
        for ((at, to), sample) in next.iter_mut().take(joined).enumerate().zip(tone.skip(before)) {
            let at = at as i32;
            // No truncation: the value is between the two.
            *to = ((i32::from(sample) * (after - at) + i32::from(*to) * at) / after) as i16;
        }
    }

    /// Returns the pitch period in samples, by the best self-similarity of the last audio.
    fn period(&self) -> usize {
        let (longest, compared) = (LONGEST_MS * self.per_ms, COMPARED_MS * self.per_ms);
        let used = self.kept.get(self.kept.len() - KEPT_MS * self.per_ms..).unwrap_or_default();
        let newest = used.get(longest..).unwrap_or_default();
        let mut best = (f32::MIN, longest);
        for period in SHORTEST_QUARTERS * self.per_ms / 4..=longest {
            let earlier = used.get(longest - period..longest - period + compared).unwrap_or_default();
            let (mut product, mut energy) = (0.0_f32, 1.0_f32);
            for (one, other) in newest.iter().zip(earlier) {
                product += f32::from(*one) * f32::from(*other);
                energy += f32::from(*other) * f32::from(*other);
            }
            let likeness = product / energy.sqrt();
            if likeness > best.0 {
                best = (likeness, period);
            }
        }
        best.1
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    fn tone(hz: f64, rate: u32, from: usize, count: usize) -> Vec<i16> {
        (from..from + count).map(|n| (8000.0 * (TAU * hz * n as f64 / f64::from(rate)).sin()) as i16).collect()
    }

    #[test]
    fn a_tone_goes_on_softer_and_joins_what_comes_next() {
        for (rate, hz) in [(8000, 200.0), (8000, 130.0), (16_000, 200.0), (16_000, 310.0)] {
            let per_ms = rate as usize / 1000;
            let mut concealer = Concealer::new(rate);
            concealer.hear(&tone(hz, rate, 0, 40 * per_ms));
            let mut lost = vec![0; 20 * per_ms];
            let mut next = tone(hz, rate, 60 * per_ms, 20 * per_ms);
            concealer.conceal(&mut lost, &mut next);
            let whole = tone(hz, rate, 40 * per_ms, 40 * per_ms);
            // No click: no step exceeds the tone's own largest by more than a quarter.
            let steps =
                |samples: &[i16]| samples.windows(2).map(|w| i32::from(w[1]) - i32::from(w[0])).collect::<Vec<_>>();
            let largest = steps(&whole).iter().map(|step| step.abs()).max().unwrap();
            let heard: Vec<i16> = whole[..1].iter().chain(&lost).chain(&next).copied().collect();
            assert!(steps(&heard).iter().all(|step| step.abs() <= largest * 5 / 4), "{rate} {hz}");
            // Similar to the tone at first, softer at the end.
            let power =
                |samples: &[i16]| samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len() as f64;
            let (first, last) = lost.split_at(10 * per_ms);
            assert!(power(first) > 0.6 * power(&whole) && power(last) < power(first), "{rate} {hz}");
            assert_eq!(next[4 * per_ms..], tone(hz, rate, 64 * per_ms, 16 * per_ms));
        }
    }

    #[test]
    fn after_60_ms_nothing_is_heard() {
        let mut concealer = Concealer::new(8000);
        concealer.hear(&tone(300.0, 8000, 0, 800));
        let mut lost = [1; 960];
        concealer.conceal(&mut lost, &mut []);
        assert!(lost[..400].iter().any(|sample| *sample != 0));
        assert_eq!(lost[480..], [0; 480]);
    }

    #[test]
    fn before_anything_was_heard_it_is_silence() {
        let mut lost = [7; 160];
        Concealer::new(8000).conceal(&mut lost, &mut []);
        assert_eq!(lost, [0; 160]);
    }
}
