//! WAV writer for the audio received in a test call or an agent test: one channel, 16-bit PCM.

use std::io::BufWriter;
use std::path::Path;

use hound::{SampleFormat, WavSpec, WavWriter};

use trunkgate_system::files;

/// Sampling rate of a telephone call, in Hz.
pub const RATE_HZ: u32 = 8000;

/// Writes samples to a WAV file of 16-bit PCM at a sampling rate.
///
/// # Errors
///
/// Returns the error as text if the file cannot be created or written.
pub fn write(path: &Path, sample_rate: u32, samples: &[i16]) -> Result<(), String> {
    let spec = WavSpec { channels: 1, sample_rate, bits_per_sample: 16, sample_format: SampleFormat::Int };
    let written = || {
        let mut writer = WavWriter::new(BufWriter::new(files::create(path, files::CALL_DATA)?), spec)?;
        samples.iter().try_for_each(|sample| writer.write_sample(*sample))?;
        writer.finalize()
    };
    written().map_err(|error: hound::Error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AudioLimits, linear_samples};

    #[test]
    fn what_is_written_is_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let samples = [0, 1, -1, i16::MAX, i16::MIN];
        write(file.path(), RATE_HZ, &samples).unwrap();
        assert_eq!(&*linear_samples(file.path(), AudioLimits { bytes: 1 << 20, seconds: 1 }).unwrap(), samples);
        assert!(linear_samples(file.path(), AudioLimits { bytes: 10, seconds: 1 }).is_err());
        assert!(write(Path::new("/nowhere/heard.wav"), RATE_HZ, &samples).is_err());
    }
}
