//! Tones over time: beeps, fax machines, special information tones and call progress.

use crate::limits::{
    BEEP_FRAMES, CED_AFTER_SPEECH_FRAMES, CED_FRAMES, CNG_FRAMES, FRAME_SAMPLES, LOW_TONE_FRAMES, LOW_TONE_HZ,
    PROGRESS_ECHO_FRAMES, PROGRESS_FRAMES, QUIET_DB, SIT_FRAMES, SIT_PAUSE_FRAMES, TONE_DRIFT_HZ, TONE_FRAMES,
    TONE_MISSES, TONE_RIPPLE_DB, TONE_SHARE,
};
use crate::spectrum::{SpectralTone, share, strongest};
use crate::voice::FilteredFrame;

/// Frequencies of call progress: ringback of North America, Britain and Europe, busy and dial tone (ITU-T E.180).
const PROGRESS: [&[f32]; 5] = [&[440.0, 480.0], &[400.0, 450.0], &[425.0], &[480.0, 620.0], &[350.0, 440.0]];
/// Minimum share of the energy in each of two frequencies of call progress.
const PROGRESS_PART: f32 = 0.15;
/// Special information tones (ITU-T E.180): lowest and highest frequency of each, in Hz.
const SIT_HZ: [(f32, f32); 3] = [(890.0, 1010.0), (1345.0, 1455.0), (1735.0, 1820.0)];
const CED_HZ: f32 = 2_100.0;
const CNG_HZ: f32 = 1_100.0;
const FAX_DRIFT_HZ: f32 = 20.0;

/// Event detected from tones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ToneEvent {
    /// A tone has lasted long enough to be a beep.
    BeepBegun,
    /// A beep has ended.
    BeepEnded,
    /// A fax machine was detected.
    Fax,
    /// The three special information tones were detected.
    Sit,
}

/// Assignment of a frame to a tone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ToneState {
    /// The frame is not part of a tone.
    None,
    /// The frame is possibly part of a tone; the next frames decide.
    Perhaps,
    /// The frame belongs to a tone of this many frames so far.
    Tone(usize),
    /// The frame belongs to call progress.
    Progress,
}

/// Tone in progress.
#[derive(Debug, Clone, Copy)]
struct ToneRun {
    hz: f32,
    second_hz: Option<f32>,
    loudest_db: f32,
    frames: u32,
    misses: u32,
    is_certain: bool,
    is_beep: bool,
}

/// Tracks the tones in a party's audio.
#[derive(Debug, Clone)]
pub(crate) struct ToneTracker {
    run: Option<ToneRun>,
    /// Number of special information tones detected in order, and frames since the last one.
    sit: (usize, u32),
    recent: [[f32; FRAME_SAMPLES]; PROGRESS_FRAMES],
    next: usize,
    /// Frames since the last frame of call progress.
    since_progress: u32,
}

impl ToneTracker {
    /// Creates the tracker of a new stream.
    pub(crate) fn new() -> ToneTracker {
        let recent = [[0.0; FRAME_SAMPLES]; PROGRESS_FRAMES];
        ToneTracker { run: None, sit: (0, 0), recent, next: 0, since_progress: PROGRESS_ECHO_FRAMES }
    }

    /// Adds a frame; `had_speech` if the party has spoken, `has_pause(frames)` returns whether there was a pause
    /// before a tone of `frames` frames. Returns the assignment of the frame and the event detected, if any.
    pub(crate) fn add_frame(
        &mut self,
        frame: &FilteredFrame,
        had_speech: bool,
        has_pause: impl FnOnce(usize) -> bool,
    ) -> (ToneState, Option<ToneEvent>) {
        if let Some(place) = self.recent.get_mut(self.next) {
            *place = frame.samples;
        }
        self.next = (self.next + 1) % PROGRESS_FRAMES;
        let is_loud = frame.level_db >= QUIET_DB;
        self.since_progress = self.since_progress.saturating_add(1);
        if is_loud && self.is_progress() {
            (self.run, self.since_progress) = (None, 0);
        }
        if self.since_progress <= PROGRESS_ECHO_FRAMES {
            return (ToneState::Progress, None);
        }
        let tone = is_loud.then(|| strongest(&frame.samples, frame.energy)).filter(|tone| tone.share >= TONE_SHARE);
        self.sit.1 = self.sit.1.saturating_add(1);
        let ended = self.extend(tone, frame.level_db);
        let event = ended
            .and_then(|run| self.evaluate_ended(&run, had_speech))
            .or_else(|| self.evaluate_ongoing(had_speech, has_pause));
        let state = match &self.run {
            None => ToneState::None,
            Some(run) if run.is_certain => ToneState::Tone(usize::try_from(run.frames + run.misses).unwrap_or(0)),
            Some(_) => ToneState::Perhaps,
        };
        (state, event)
    }

    /// Returns whether a beep is in progress.
    pub(crate) fn is_beeping(&self) -> bool {
        self.run.is_some_and(|run| run.is_beep && run.frames <= BEEP_FRAMES)
    }

    /// Continues the current tone or begins another one; returns the tone that has ended, if it was long enough to be
    /// one.
    fn extend(&mut self, tone: Option<SpectralTone>, level_db: f32) -> Option<ToneRun> {
        if let Some(run) = &mut self.run {
            if tone.is_some_and(|tone| run.is_same(&tone, level_db)) {
                run.frames += 1 + run.misses;
                run.misses = 0;
                run.loudest_db = run.loudest_db.max(level_db);
                return None;
            }
            run.misses += 1;
            if run.misses < TONE_MISSES && run.is_certain {
                return None;
            }
        }
        let began = tone.map(|tone| ToneRun::new(&tone, level_db));
        std::mem::replace(&mut self.run, began).filter(|run| run.is_certain)
    }

    /// Evaluates the tone in progress.
    fn evaluate_ongoing(&mut self, had_speech: bool, has_pause: impl FnOnce(usize) -> bool) -> Option<ToneEvent> {
        let run = self.run.as_mut()?;
        let least = if run.hz < LOW_TONE_HZ || run.second_hz.is_some() { LOW_TONE_FRAMES } else { TONE_FRAMES };
        if run.frames == least && !run.is_certain {
            run.is_certain = true;
            run.is_beep = has_pause(usize::try_from(run.frames).unwrap_or(0));
            if run.is_beep && had_speech {
                return Some(ToneEvent::BeepBegun);
            }
        }
        let (sit, since) = self.sit;
        if run.frames == *SIT_FRAMES.start() && sit == SIT_HZ.len() - 1 && run.is_sit(sit) && since <= 40 {
            (self.sit, run.is_beep) = ((0, 0), false);
            return Some(ToneEvent::Sit);
        }
        let ced = if had_speech { CED_AFTER_SPEECH_FRAMES } else { CED_FRAMES };
        (run.frames == ced && (run.hz - CED_HZ).abs() <= FAX_DRIFT_HZ).then_some(ToneEvent::Fax)
    }

    /// Evaluates a tone that has just ended.
    fn evaluate_ended(&mut self, run: &ToneRun, had_speech: bool) -> Option<ToneEvent> {
        let (sit, since) = self.sit;
        let frames = run.frames;
        let follows = sit == 0 || since <= frames + SIT_PAUSE_FRAMES;
        // Special information tones precede an announcement; a beep follows speech.
        if !had_speech && SIT_FRAMES.contains(&frames) && follows && run.is_sit(sit) {
            self.sit = (sit + 1, 0);
            return None;
        }
        self.sit = (usize::from(SIT_FRAMES.contains(&frames) && run.is_sit(0)), 0);
        if !had_speech && CNG_FRAMES.contains(&frames) && (run.hz - CNG_HZ).abs() <= FAX_DRIFT_HZ {
            return Some(ToneEvent::Fax);
        }
        (run.is_beep && frames <= BEEP_FRAMES).then_some(ToneEvent::BeepEnded)
    }

    /// Returns whether the last frames are call progress.
    fn is_progress(&self) -> bool {
        let (later, earlier) = (self.recent.iter().skip(self.next), self.recent.iter().take(self.next));
        let mut samples = [0.0; PROGRESS_FRAMES * FRAME_SAMPLES];
        let all = later.chain(earlier).flatten();
        samples.iter_mut().zip(all).for_each(|(to, sample)| *to = *sample);
        let energy: f32 = samples.iter().map(|sample| sample * sample).sum();
        let of = |hz: &f32| share(samples.iter().copied(), *hz, energy);
        PROGRESS.iter().any(|tones| {
            let parts = tones.iter().map(of);
            let least = if tones.len() == 1 { TONE_SHARE } else { PROGRESS_PART };
            let (sum, is_each) = parts.fold((0.0, true), |(sum, is), part| (sum + part, is && part >= least));
            is_each && sum >= TONE_SHARE
        })
    }
}

impl ToneRun {
    fn new(tone: &SpectralTone, level_db: f32) -> ToneRun {
        ToneRun {
            hz: tone.hz,
            second_hz: tone.second_hz,
            loudest_db: level_db,
            frames: 1,
            misses: 0,
            is_certain: false,
            is_beep: false,
        }
    }

    /// Returns whether a frame continues the tone.
    fn is_same(&mut self, tone: &SpectralTone, level_db: f32) -> bool {
        let near = |one: f32, two: f32| (one - two).abs() <= TONE_DRIFT_HZ;
        let is_near = match (self.second_hz, tone.second_hz) {
            (Some(of_run), Some(of_tone)) => {
                near(self.hz, tone.hz) && near(of_run, of_tone) || near(self.hz, of_tone) && near(of_run, tone.hz)
            }
            _ => near(self.hz, tone.hz),
        };
        if is_near && self.frames == 1 {
            (self.hz, self.second_hz) = (tone.hz, tone.second_hz);
        }
        // The first frame may contain only a part of the tone.
        is_near && (self.frames == 1 || (level_db - self.loudest_db).abs() <= TONE_RIPPLE_DB)
    }

    fn is_sit(&self, place: usize) -> bool {
        SIT_HZ.get(place).is_some_and(|(low, high)| (*low..=*high).contains(&self.hz))
    }
}
