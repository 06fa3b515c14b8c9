//! Cadence of a party: its speech and pauses. All frames are evaluated again each time, so that later knowledge (the
//! level of the speech, or that a sound was a tone) applies to earlier frames as well.

use crate::limits::{
    BEEP_PAUSE_FRAMES, FRAMES_MOST, MARGIN_DB, ONSET_FRAMES, PAUSE_FRAMES, QUIET_DB, RANGE_DB, SOFT_FRAMES,
    SPEECH_VOICED, TONE_EDGE_FRAMES, VOICED_FRAMES,
};
use crate::voice::FrameMeasurement;

/// Kind of sound in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FrameKind {
    Sound,
    /// Possibly a tone; later frames decide.
    Perhaps,
    Tone,
}

#[derive(Debug, Clone, Copy)]
struct FrameRecord {
    heard: FrameMeasurement,
    kind: FrameKind,
}

/// Measured speech of a party.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct SpeechExtent {
    /// Frames of speech, including pauses of up to [`PAUSE_FRAMES`] each; 0 without speech.
    pub(crate) frames: u32,
    /// Frames of silence since the last frame of speech.
    pub(crate) silence: u32,
}

/// Recorded frames of a party.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cadence {
    records: Vec<FrameRecord>,
}

impl Cadence {
    /// Adds a frame; with `perhaps_tone` the next frames decide whether it is a tone.
    pub(crate) fn add_frame(&mut self, heard: FrameMeasurement, perhaps_tone: bool) {
        if self.records.len() < FRAMES_MOST {
            let kind = if perhaps_tone { FrameKind::Perhaps } else { FrameKind::Sound };
            if !perhaps_tone {
                self.records.iter_mut().rev().take_while(|record| record.kind == FrameKind::Perhaps).for_each(
                    |record| {
                        record.kind = FrameKind::Sound;
                    },
                );
            }
            self.records.push(FrameRecord { heard, kind });
        }
    }

    /// Adds a frame of a tone that has lasted for `frames` frames, none of which counts as speech any more.
    pub(crate) fn take_tone(&mut self, heard: FrameMeasurement, frames: usize) {
        self.add_frame(heard, true);
        let all = frames + TONE_EDGE_FRAMES;
        self.records.iter_mut().rev().take(all).for_each(|record| record.kind = FrameKind::Tone);
    }

    /// Returns whether no speech directly preceded a tone of `frames` frames.
    pub(crate) fn has_pause_before(&self, frames: usize) -> bool {
        let threshold = self.threshold();
        let before = self.records.iter().rev().skip(frames + TONE_EDGE_FRAMES).take(BEEP_PAUSE_FRAMES);
        !before.into_iter().any(|record| record.kind == FrameKind::Sound && record.is_voiced(&threshold))
    }

    /// Measures the speech; a sound too short for speech and followed by `end_frames` frames of silence does not count.
    pub(crate) fn speech(&self, end_frames: u32) -> SpeechExtent {
        let threshold = self.threshold();
        let (mut frames, mut silence, mut voiced) = (0_u32, 0_u32, 0_u32);
        let (mut unvoiced, mut loud) = (u32::MAX, 0_u32);
        for record in &self.records {
            // A possible tone counts as speech until it is confirmed, because most are vowels. It matters only if the
            // party has almost spoken for long enough.
            let is_perhaps = record.kind == FrameKind::Perhaps && voiced >= SPEECH_VOICED;
            let is_loud = (record.kind == FrameKind::Sound || is_perhaps) && record.is_loud(&threshold);
            let is_voiced = is_loud && record.heard.is_voiced;
            unvoiced = if is_voiced { 0 } else { unvoiced.saturating_add(1) };
            loud = if is_loud { loud + 1 } else { 0 };
            if !is_loud || unvoiced > VOICED_FRAMES {
                silence = if record.kind == FrameKind::Perhaps { 0 } else { silence + 1 };
                if silence >= end_frames && voiced < SPEECH_VOICED {
                    (frames, voiced) = (0, 0);
                }
                continue;
            }
            frames += if frames == 0 { loud.min(ONSET_FRAMES) + SOFT_FRAMES } else { 1 + silence.min(PAUSE_FRAMES) };
            (silence, voiced) = (0, voiced + u32::from(is_voiced && !is_perhaps));
        }
        if voiced < SPEECH_VOICED { SpeechExtent { frames: 0, silence } } else { SpeechExtent { frames, silence } }
    }

    fn threshold(&self) -> SpeechThreshold {
        let sounds = self.records.iter().filter(|record| record.kind == FrameKind::Sound && record.heard.is_voiced);
        let peak_db = sounds.map(|record| record.heard.level_db).fold(f32::MIN, f32::max);
        let noise_db = self.records.last().map_or(f32::MAX, |record| record.heard.noise_db);
        SpeechThreshold { noise_db, least_db: QUIET_DB.max(peak_db - RANGE_DB) }
    }
}

/// Levels from which a frame counts as speech.
#[derive(Debug, Clone, Copy)]
struct SpeechThreshold {
    /// Current estimate of the line noise, in dB of full scale.
    noise_db: f32,
    least_db: f32,
}

impl FrameRecord {
    fn is_loud(&self, threshold: &SpeechThreshold) -> bool {
        let noise_db = self.heard.noise_db.min(threshold.noise_db);
        self.heard.level_db >= threshold.least_db.max(noise_db + MARGIN_DB)
    }

    fn is_voiced(&self, threshold: &SpeechThreshold) -> bool {
        self.heard.is_voiced && self.is_loud(threshold)
    }
}
