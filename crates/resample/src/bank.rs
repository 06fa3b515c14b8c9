//! Coefficients of the streaming resamplers: for each ratio one low-pass filter, a Kaiser-windowed sinc divided into
//! phases. They are computed at compile time and thus the same on every machine.

/// Span of a filter in samples of the lower rate; the delay is half of the span, 1.5 ms at 8 kHz.
const SPAN: usize = 24;
/// Kaiser's β: the filter is flat up to 0.85 of the lower rate's band, and attenuates by 58 dB from 1.15 of it on.
const BETA: f64 = 5.55;
/// Fractional bits of the coefficients: the products of one phase with any samples fit into 32 bits.
pub(crate) const UNITY_BITS: u32 = 14;

/// Filter of one ratio.
#[derive(Debug)]
pub(crate) struct FilterBank {
    /// Number of output positions between two inputs, each with its own coefficients.
    pub(crate) phases: usize,
    /// Number of input samples from which each output sample is computed.
    pub(crate) taps: usize,
    /// Coefficients phase by phase; the coefficient of the newest input is the last of its phase.
    pub(crate) coefficients: &'static [i16],
}

/// Filter of the ratio 1 to 2.
pub(crate) static UP_2: FilterBank =
    FilterBank { phases: 2, taps: SPAN, coefficients: &coefficients::<{ 2 * SPAN }>(2, 2) };
/// Filter of the ratios 1 to 3 and 2 to 3.
pub(crate) static UP_3: FilterBank =
    FilterBank { phases: 3, taps: SPAN, coefficients: &coefficients::<{ 3 * SPAN }>(3, 3) };
/// Filter of the ratio 2 to 1.
pub(crate) static DOWN_2: FilterBank =
    FilterBank { phases: 1, taps: 2 * SPAN, coefficients: &coefficients::<{ 2 * SPAN }>(2, 1) };
/// Filter of the ratio 3 to 1.
pub(crate) static DOWN_3: FilterBank =
    FilterBank { phases: 1, taps: 3 * SPAN, coefficients: &coefficients::<{ 3 * SPAN }>(3, 1) };
/// Filter of the ratio 3 to 2.
pub(crate) static DOWN_3_UP_2: FilterBank =
    FilterBank { phases: 2, taps: 3 * SPAN / 2, coefficients: &coefficients::<{ 3 * SPAN }>(3, 2) };

/// Computes the modified Bessel function I₀(2√y) by its series.
const fn bessel(y: f64) -> f64 {
    let (mut sum, mut term, mut k) = (1.0, 1.0, 1.0);
    while k < 40.0 {
        term *= y / (k * k);
        sum += term;
        k += 1.0;
    }
    sum
}

/// Computes the sine of π·k/band by its series.
const fn sine(k: isize, band: isize) -> f64 {
    let mut k = k % (2 * band);
    if k > band {
        k -= 2 * band;
    } else if k < -band {
        k += 2 * band;
    }
    let x = std::f64::consts::PI * k as f64 / band as f64;
    let (mut sum, mut term, mut n) = (x, x, 1.0);
    while n < 14.0 {
        term *= -x * x / ((2.0 * n) * (2.0 * n + 1.0));
        sum += term;
        n += 1.0;
    }
    sum
}

/// Returns the impulse response of a low-pass filter at 1/`band` of its own rate's band, `k` samples from its middle.
const fn kernel(k: isize, band: usize) -> f64 {
    if k == 0 {
        return 1.0;
    }
    let edge = k as f64 / (band * SPAN / 2) as f64;
    let window = bessel(BETA * BETA / 4.0 * (1.0 - edge * edge)) / bessel(BETA * BETA / 4.0);
    let angle = std::f64::consts::PI * k as f64 / band as f64;
    window * sine(k, band as isize) / angle
}

/// Computes the `N` = `band` · [`SPAN`] coefficients of a filter with `phases` phases.
const fn coefficients<const N: usize>(band: usize, phases: usize) -> [i16; N] {
    let taps = N / phases;
    let unity = 1 << UNITY_BITS;
    let gain = phases as f64 / band as f64 * unity as f64;
    let mut all = [0; N];
    let mut phase = 0;
    while phase < phases {
        let (mut sum, mut largest, mut tap) = (0, phase * taps, 0);
        while tap < taps {
            let at = phase * taps + taps - 1 - tap;
            let exact = gain * kernel((phase + tap * phases) as isize - (N / 2) as isize, band);
            all[at] = (if exact < 0.0 { exact - 0.5 } else { exact + 0.5 }) as i16;
            sum += all[at] as i32;
            if all[at] > all[largest] {
                largest = at;
            }
            tap += 1;
        }
        // Each phase passes a constant unchanged; otherwise a constant would become a tone.
        all[largest] += (unity - sum) as i16;
        phase += 1;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> [&'static FilterBank; 5] {
        [&UP_2, &UP_3, &DOWN_2, &DOWN_3, &DOWN_3_UP_2]
    }

    #[test]
    fn series_are_what_they_stand_for() {
        for k in -100..=100 {
            for band in [2, 3] {
                let exact = (std::f64::consts::PI * k as f64 / band as f64).sin();
                assert!((sine(k, band) - exact).abs() < 1e-9, "{k}/{band}");
            }
        }
        // I₀(1) and I₀(0), from tables.
        assert!((bessel(0.25) - 1.266_065_877_752_008).abs() < 1e-12);
        assert!((bessel(0.0) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn no_samples_make_a_sum_of_more_than_32_bits() {
        for bank in all() {
            for phase in bank.coefficients.chunks(bank.taps) {
                let sum: i64 = phase.iter().map(|one| i64::from(one.unsigned_abs())).sum();
                assert!(sum * 32_768 + (1 << UNITY_BITS) < i64::from(i32::MAX), "{sum}");
            }
        }
    }

    #[test]
    fn each_phase_passes_a_constant_as_it_is() {
        for bank in all() {
            assert_eq!(bank.coefficients.len(), bank.phases * bank.taps);
            for phase in bank.coefficients.chunks(bank.taps) {
                assert_eq!(phase.iter().map(|one| i32::from(*one)).sum::<i32>(), 1 << UNITY_BITS);
            }
        }
    }
}
