//! Recording of a conference: the mix of all parties as frames of 20 ms on the mixer's clock, on its way to a file.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use trunkgate_terms::{Recorded, RecordedSamples, RecordingId, RecordingPause};

use crate::limits::{CROSSING_FRAMES, SKIPPED_TICKS, TAPE_FRAMES, TAPE_SOUND};
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
    /// Frames that wait for the file from another process; `None` silence.
    crossing: Option<CrossingFrames>,
}

/// Frames mixed since this process has the conference.
#[derive(Debug)]
struct CrossingFrames {
    frames: VecDeque<Option<[i16; SAMPLES]>>,
    /// Ticks since the end of the recording.
    late: u64,
}

/// Recording of a conference that another process continues, as plain data. Its audio so far is in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MixSnapshot {
    /// Id of the recording.
    pub recording: RecordingId,
    frames: u64,
    sound: Option<(u64, u64)>,
}

impl MixRecording {
    /// Starts a recording.
    pub(crate) fn new(recording: RecordingId) -> MixRecording {
        let block = Vec::with_capacity(TAPE_FRAMES * SAMPLES);
        MixRecording { recording, pause: None, first: 0, frames: 0, block, sound: None, is_over: false, crossing: None }
    }

    /// Continues a recording of another process, which hands its file over later by [`MixRecording::resume`].
    pub(crate) fn crossing(recording: RecordingId) -> MixRecording {
        let crossing = CrossingFrames { frames: VecDeque::with_capacity(CROSSING_FRAMES), late: 0 };
        MixRecording { crossing: Some(crossing), ..MixRecording::new(recording) }
    }

    /// Returns whether the file has not arrived from another process.
    pub(crate) fn is_crossing(&self) -> bool {
        self.crossing.is_some()
    }

    /// Counts ticks after the end of the recording.
    pub(crate) fn note_ticks(&mut self, ticks: u64) {
        self.crossing.iter_mut().for_each(|crossing| crossing.late += ticks);
    }

    /// Returns the recording as plain data, once all audio has been passed on.
    pub(crate) fn snapshot(&self) -> MixSnapshot {
        MixSnapshot { recording: self.recording, frames: self.frames, sound: self.sound }
    }

    /// Continues the file of another process with the frames of the last `ticks`, which that process did not record.
    pub(crate) fn resume(&mut self, snapshot: &MixSnapshot, ticks: u64) {
        let Some(CrossingFrames { frames, late }) = self.crossing.take() else { return };
        let MixSnapshot { recording: _, frames: first, sound } = *snapshot;
        (self.first, self.frames, self.sound) = (first, first, sound);
        let (ticks, waiting) = (ticks.saturating_sub(late), frames.len() as u64);
        let is_over = std::mem::take(&mut self.is_over);
        let missing = ticks.saturating_sub(waiting).min(u64::from(SKIPPED_TICKS));
        (0..missing).for_each(|_| self.push(None));
        let known = usize::try_from(waiting.saturating_sub(ticks)).unwrap_or(usize::MAX);
        frames.iter().skip(known).for_each(|frame| self.push(frame.as_ref().map(|frame| frame.as_slice())));
        self.is_over = is_over;
    }

    /// Gives up waiting for the file, which the other process has not handed over.
    pub(crate) fn abandon(&mut self) {
        self.crossing = None;
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
        if let Some(CrossingFrames { frames, .. }) = self.crossing.as_mut().filter(|_| !self.is_over) {
            if frames.len() >= CROSSING_FRAMES {
                frames.pop_front();
            }
            frames.push_back(mixed.and_then(|samples| samples.try_into().ok()));
            return;
        }
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
        if self.is_crossing() {
            return;
        }
        if self.is_over || self.block.len() >= TAPE_FRAMES * SAMPLES {
            self.drain_block(take);
        }
        if self.is_over {
            take(self.recording, Recorded::End { frames: self.frames, sound: self.sound });
        }
    }

    /// Passes the remaining audio to `take`, also of an incomplete block.
    pub(crate) fn drain_block(&mut self, take: &mut impl FnMut(RecordingId, Recorded<'_>)) {
        if self.block.is_empty() {
            return;
        }
        let samples = RecordedSamples::Linear(self.block.as_flattened());
        take(self.recording, Recorded::Audio { first: self.first, samples });
        self.block.clear();
        self.first = self.frames;
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
