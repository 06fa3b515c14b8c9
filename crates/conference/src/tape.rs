//! Recording of a conference: the mix of all parties as frames of 20 ms on the mixer's clock, on its way to a file.

use trunkgate_terms::{Recorded, RecordedSamples, RecordingId, RecordingPause};

use crate::limits::{TAPE_FRAMES, TAPE_SOUND};
use crate::mixer::SamplingRate;

/// Samples of a frame at 8 kHz.
const SAMPLES: usize = SamplingRate::Narrow.frame();

/// Recording of the mix of one conference.
#[derive(Debug)]
pub(crate) struct MixRecording {
    recording: RecordingId,
    pause: Option<RecordingPause>,
    /// Number of the first frame in `block`, on the file's time.
    first: u64,
    /// Number of frames in the file so far.
    frames: u64,
    /// Samples that were not passed on yet, as pairs of the mix and silence.
    block: Vec<[i16; 2]>,
    /// First and last frame with a sound; `None` so far if all are silent.
    sound: Option<(u64, u64)>,
    is_over: bool,
}

impl MixRecording {
    /// Starts a recording.
    pub(crate) fn new(recording: RecordingId) -> MixRecording {
        let block = Vec::with_capacity(TAPE_FRAMES * SAMPLES);
        MixRecording { recording, pause: None, first: 0, frames: 0, block, sound: None, is_over: false }
    }

    /// Returns the id of the recording.
    pub(crate) fn recording(&self) -> RecordingId {
        self.recording
    }

    /// Pauses or resumes the recording.
    pub(crate) fn set_pause(&mut self, pause: Option<RecordingPause>) {
        self.pause = pause;
    }

    /// Ends the recording; [`MixRecording::drain`] passes the remaining audio on.
    pub(crate) fn end(&mut self) {
        self.is_over = true;
    }

    /// Adds the next 20 ms of the mix; `None` is silence. Does not allocate as long as full blocks are drained.
    pub(crate) fn push(&mut self, mixed: Option<&[i16]>) {
        let mixed = match (self.is_over, self.pause) {
            (true, _) | (false, Some(RecordingPause::Cut)) => return,
            (false, Some(RecordingPause::Silence)) => None,
            (false, None) => mixed,
        };
        match mixed {
            Some(samples) => {
                if level(samples) >= TAPE_SOUND {
                    self.sound = Some((self.sound.map_or(self.frames, |(first, _)| first), self.frames));
                }
                self.block.extend(samples.iter().map(|sample| [*sample, 0]));
            }
            None => self.block.resize(self.block.len() + SAMPLES, [0; 2]),
        }
        self.frames += 1;
    }

    /// Passes a full block to `take`; of an ended recording, all remaining audio and its end.
    pub(crate) fn drain(&mut self, take: &mut impl FnMut(RecordingId, Recorded<'_>)) {
        let is_full = self.block.len() >= TAPE_FRAMES * SAMPLES;
        if is_full || (self.is_over && !self.block.is_empty()) {
            let samples = RecordedSamples::Linear(self.block.as_flattened());
            take(self.recording, Recorded::Audio { first: self.first, samples });
            self.block.clear();
            self.first = self.frames;
        }
        if self.is_over {
            take(self.recording, Recorded::End { frames: self.frames, sound: self.sound });
        }
    }
}

/// Returns the mean absolute sample value, out of 32,768.
fn level(samples: &[i16]) -> u64 {
    let sum: u64 = samples.iter().map(|sample| u64::from(sample.unsigned_abs())).sum();
    sum / (samples.len() as u64).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// End of a recording: number of frames, and the first and last frame with a sound.
    type End = (u64, Option<(u64, u64)>);

    fn taken(tape: &mut MixRecording) -> (Vec<i16>, Option<End>) {
        let (mut left, mut end) = (Vec::new(), None);
        tape.drain(&mut |_, piece| match piece {
            Recorded::Audio { samples: RecordedSamples::Linear(samples), .. } => left.extend(samples.iter().step_by(2)),
            Recorded::Audio { samples, .. } => panic!("{samples:?}"),
            Recorded::End { frames, sound } => end = Some((frames, sound)),
        });
        (left, end)
    }

    #[test]
    fn a_block_is_handed_over_when_it_is_full_and_the_rest_at_the_end() {
        let mut tape = MixRecording::new(RecordingId(1));
        for n in 0..TAPE_FRAMES {
            assert!(taken(&mut tape).0.is_empty(), "{n}");
            tape.push(Some(&[300; SAMPLES]));
        }
        assert_eq!(taken(&mut tape), (vec![300; TAPE_FRAMES * SAMPLES], None));
        tape.push(None);
        tape.end();
        tape.push(Some(&[300; SAMPLES]));
        let last = TAPE_FRAMES as u64 - 1;
        assert_eq!(taken(&mut tape), (vec![0; SAMPLES], Some((last + 2, Some((0, last))))));
    }

    #[test]
    fn a_pause_is_silent_or_cut_out() {
        let mut tape = MixRecording::new(RecordingId(1));
        for pause in [None, Some(RecordingPause::Silence), Some(RecordingPause::Cut), None] {
            tape.set_pause(pause);
            tape.push(Some(&[300; SAMPLES]));
        }
        tape.end();
        let frames = [300, 0, 300].map(|sample| [sample; SAMPLES]).concat();
        assert_eq!(taken(&mut tape), (frames, Some((3, Some((0, 2))))));
        let mut quiet = MixRecording::new(RecordingId(1));
        quiet.push(Some(&[5; SAMPLES]));
        quiet.end();
        assert_eq!(taken(&mut quiet).1, Some((1, None)), "noise is not a sound");
    }
}
