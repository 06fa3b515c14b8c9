//! Waveforms of recordings: audio levels over time, computed on demand and cached.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use trunkgate_recording::{Channels, Container, PeakLevels};

use super::index::RecordingEntry;
use super::reader::RecordingReader;
use trunkgate_system::limits::{WAVEFORM_PART_BYTES, WAVEFORM_READ_BYTES, WAVEFORMS_KEPT};

/// Audio levels over the time of a recording.
#[derive(Debug, PartialEq, Eq)]
pub struct Waveform {
    /// Peak levels of equal parts of the audio, 0 to 255, per channel; the caller's channel is first.
    pub levels: Vec<Vec<u8>>,
    /// True if the recording was so long that only samples of it were read.
    pub is_sampled: bool,
}

/// Recently requested waveforms, by the SID of the recording.
#[derive(Debug, Default)]
pub(super) struct WaveformCache(Mutex<VecDeque<(String, Arc<Waveform>)>>);

impl WaveformCache {
    fn kept(&self) -> MutexGuard<'_, VecDeque<(String, Arc<Waveform>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the waveform of a recording, computed with `reader` unless it is cached.
    pub(super) fn of(&self, entry: &RecordingEntry, reader: RecordingReader) -> io::Result<Arc<Waveform>> {
        let known = self.kept().iter().find(|(sid, _)| *sid == entry.sid).map(|(_, known)| Arc::clone(known));
        if let Some(known) = known {
            return Ok(known);
        }
        let read = Arc::new(read(entry, reader, WAVEFORM_READ_BYTES)?);
        let mut kept = self.kept();
        kept.retain(|(sid, _)| *sid != entry.sid);
        kept.push_back((entry.sid.clone(), Arc::clone(&read)));
        if kept.len() > WAVEFORMS_KEPT {
            kept.pop_front();
        }
        Ok(read)
    }
}

/// Computes the waveform of a recording; of WAV audio only about `most` bytes are read.
fn read(entry: &RecordingEntry, mut reader: RecordingReader, most: u64) -> io::Result<Waveform> {
    let container = if entry.is_opus { Container::Opus } else { Container::Wav };
    let channels = Channels::of(entry.channels).unwrap_or(Channels::Dual);
    let peaks = PeakLevels::new((container, channels), entry.milliseconds);
    let mut peaks = peaks.ok_or_else(|| io::Error::other("the decoder cannot be made"))?;
    let of_part = WAVEFORM_PART_BYTES as u64;
    let one_in = if peaks.may_skip() { reader.bytes().div_ceil(most).max(1) } else { 1 };
    let mut part = vec![0; WAVEFORM_PART_BYTES];
    let mut at = 0;
    while at < reader.bytes() {
        let left = of_part - at % of_part;
        if !(at / of_part).is_multiple_of(one_in) {
            peaks.skip(left);
            at += left;
            continue;
        }
        let bytes = reader.read_at(at, part.get_mut(..left as usize).unwrap_or_default())?;
        if bytes == 0 {
            break;
        }
        peaks.push(part.get(..bytes).unwrap_or_default());
        at += bytes as u64;
    }
    let is_sampled = one_in > 1 || peaks.is_decoded_in_part();
    Ok(Waveform { levels: peaks.levels(), is_sampled })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns an open WAV file with two channels, in which the caller is loud in the last second.
    fn recording(seconds: u64) -> (RecordingEntry, RecordingReader) {
        let mut file = tempfile::tempfile().unwrap();
        let header = trunkgate_recording::wav::header(
            Channels::Dual,
            trunkgate_recording::wav::DataBytes::Known(seconds * 32_000),
        );
        let mut bytes = header.to_vec();
        for second in 0..seconds {
            let level: i16 = if second + 1 == seconds { 12_800 } else { 0 };
            (0..8000).for_each(|_| bytes.extend([level.to_le_bytes(), [0; 2]].as_flattened()));
        }
        io::Write::write_all(&mut file, &bytes).unwrap();
        let entry =
            RecordingEntry { sid: "RE1".into(), channels: 2, milliseconds: seconds * 1000, ..RecordingEntry::begun(0) };
        let reader = RecordingReader::new(file, &entry, None).unwrap();
        (entry, reader)
    }

    #[test]
    fn a_long_recording_is_read_in_part_and_its_levels_keep_their_place() {
        for (most, is_sampled) in [(u64::MAX, false), (320_000, true)] {
            let (entry, reader) = recording(30);
            let waveform = read(&entry, reader, most).unwrap();
            assert_eq!((waveform.levels[0].len(), waveform.is_sampled), (1000, is_sampled));
            assert!(waveform.levels[1].iter().all(|level| *level == 0));
            let loud: Vec<usize> = (0..1000).filter(|at| waveform.levels[0][*at] > 0).collect();
            assert!(loud.iter().all(|at| *at >= 966), "{loud:?}");
            assert_eq!(loud.len() == 34, !is_sampled, "{loud:?}");
        }
    }

    #[test]
    fn waveforms_that_were_not_asked_for_lately_are_forgotten() {
        let all = WaveformCache::default();
        for at in 0..=WAVEFORMS_KEPT {
            let (entry, reader) = recording(1);
            all.of(&RecordingEntry { sid: format!("RE{at}"), ..entry }, reader).unwrap();
        }
        let kept = all.kept();
        assert_eq!((kept.len(), kept[0].0.as_str()), (WAVEFORMS_KEPT, "RE1"));
    }
}
