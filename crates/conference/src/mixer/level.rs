//! Levels of frames, in dB below a square wave of full scale (dBFS).

/// Level assigned to silence, in dBFS.
pub(super) const SILENT_DB: f32 = -90.0;

/// Returns the level of a frame, in dBFS.
pub(super) fn level_db(samples: &[i16]) -> f32 {
    // In two steps: a sum of 64 squares fits into 36 bits, and processors vectorise 32-bit products.
    let squares =
        samples.chunks(64).map(|part| part.iter().map(|s| i64::from(i32::from(*s) * i32::from(*s))).sum::<i64>());
    decibels(squares.sum::<i64>() as f32, samples.len())
}

/// Returns the level of a mix that may exceed full scale, in dBFS.
pub(super) fn wide_level_db(samples: &[i32]) -> f32 {
    decibels(samples.iter().map(|s| (*s as f32) * (*s as f32)).sum::<f32>(), samples.len())
}

fn decibels(squares: f32, count: usize) -> f32 {
    let mean = squares / (count.max(1) as f32) / (32_768.0 * 32_768.0);
    if mean < 1e-9 { SILENT_DB } else { 10.0 * mean.log10() }
}

/// Returns the factor by which a change of level in dB scales samples.
pub(super) fn factor(db: f32) -> f32 {
    10_f32.powf(db / 20.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_those_of_known_signals() {
        assert_eq!((level_db(&[]), level_db(&[0; 160])), (SILENT_DB, SILENT_DB));
        assert!(level_db(&[i16::MIN; 960]).abs() < 0.001);
        assert!((level_db(&[16_384, -16_384]) + 6.02).abs() < 0.01);
        assert!((wide_level_db(&[65_536, -65_536]) - 6.02).abs() < 0.01);
        // The idle code of A-law.
        assert!(level_db(&[8; 160]) < -70.0);
        assert!((factor(6.0206) - 2.0).abs() < 0.001 && (factor(0.0) - 1.0).abs() < 1e-6);
    }
}
