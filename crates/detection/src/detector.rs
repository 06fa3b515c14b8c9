//! Answering machine detector: combines cadence and tones into one verdict.

use std::time::{Duration, Instant};

use crate::cadence::{Cadence, Speech};
use crate::limits::{FRAME_MS, FRAME_SAMPLES, PROGRESS_FRAMES, PROGRESS_PAUSE_MS};
use crate::settings::{Mode, Settings};
use crate::tones::{Event, State, Tones};
use crate::verdict::{AnsweredBy, Verdict};
use crate::voice::Voice;

/// Answering machine detector of one call.
#[derive(Debug, Clone)]
pub struct Detector {
    settings: Settings,
    began: Instant,
    /// Frames so far.
    frames: u32,
    voice: Voice,
    tones: Tones,
    cadence: Cadence,
    /// Speech up to the last frame.
    speech: Speech,
    /// Frame from which the initial silence counts: the beginning, or the end of a ringback tone.
    quiet_since: u32,
    /// Whether a beep was detected before any speech.
    has_beeped: bool,
    is_machine: bool,
    /// Whether the verdict was returned.
    is_over: bool,
    verdict: Option<Verdict>,
}

impl Detector {
    /// Starts a detection.
    pub fn new(now: Instant, settings: Settings) -> Detector {
        Detector {
            settings,
            began: now,
            frames: 0,
            voice: Voice::new(),
            tones: Tones::new(),
            cadence: Cadence::default(),
            speech: Speech::default(),
            quiet_since: 0,
            has_beeped: false,
            is_machine: false,
            is_over: false,
            verdict: None,
        }
    }

    /// Adds the next 20 ms of the party at 8 kHz, including silence.
    pub fn take(&mut self, now: Instant, frame: &[i16; FRAME_SAMPLES]) {
        if self.is_over || self.verdict.is_some() {
            return;
        }
        let at = self.frames;
        self.frames = self.frames.saturating_add(1);
        let filtered = self.voice.filter(frame);
        let had_speech = self.speech.frames > 0 || self.has_beeped;
        let cadence = &self.cadence;
        let (state, event) = self.tones.take(&filtered, had_speech, |frames| cadence.has_pause_before(frames));
        let heard = self.voice.judge(&filtered);
        match state {
            State::None => self.cadence.take(heard, false),
            State::Perhaps => self.cadence.take(heard, true),
            State::Tone(frames) => self.cadence.take_tone(heard, frames),
            State::Progress => {
                self.cadence.take_tone(heard, PROGRESS_FRAMES);
                self.quiet_since = at;
            }
        }
        self.speech = self.cadence.speech(self.end_frames());
        self.judge(now, event);
    }

    /// Ends the detection if its timeout has expired.
    pub fn handle_timeout(&mut self, now: Instant) {
        if now >= self.due() && !self.is_over && self.verdict.is_none() {
            self.decide(now, if self.is_machine { AnsweredBy::MachineEndOther } else { AnsweredBy::Unknown });
        }
    }

    /// Returns the timeout of the detection; `None` once it has ended.
    pub fn poll_timeout(&self) -> Option<Instant> {
        (!self.is_over).then(|| self.due())
    }

    /// Returns the verdict, once.
    pub fn poll_verdict(&mut self) -> Option<Verdict> {
        self.is_over |= self.verdict.is_some();
        self.verdict.take()
    }

    /// Returns whether the verdict was returned.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    fn due(&self) -> Instant {
        self.began.checked_add(self.settings.timeout).unwrap_or(self.began)
    }

    fn decide(&mut self, now: Instant, answered_by: AnsweredBy) {
        self.verdict = Some(Verdict { answered_by, duration: now.saturating_duration_since(self.began) });
    }

    /// Notes that a machine has answered.
    fn machine(&mut self, now: Instant) {
        self.is_machine = true;
        if self.settings.mode == Mode::Enable {
            self.decide(now, AnsweredBy::MachineStart);
        }
    }

    fn judge(&mut self, now: Instant, event: Option<Event>) {
        match event {
            Some(Event::Fax) => return self.decide(now, AnsweredBy::Fax),
            // A network announcement follows.
            Some(Event::Sit) => self.machine(now),
            Some(Event::BeepBegun) if !self.is_machine => self.machine(now),
            Some(Event::BeepEnded) if self.is_machine => return self.decide(now, AnsweredBy::MachineEndBeep),
            Some(Event::BeepEnded) => self.has_beeped = true,
            Some(Event::BeepBegun) | None => {}
        }
        if self.verdict.is_some() {
            return;
        }
        let Speech { frames, silence } = self.speech;
        if !self.is_machine && millis(frames) >= self.settings.speech_threshold {
            return self.machine(now);
        }
        if self.tones.is_beeping() {
            return;
        }
        if frames > 0 && silence >= self.end_frames() {
            let ended = if self.is_machine { AnsweredBy::MachineEndSilence } else { AnsweredBy::Human };
            return self.decide(now, ended);
        }
        let quiet = millis(self.frames.saturating_sub(self.quiet_since));
        let pause = if self.quiet_since > 0 { PROGRESS_PAUSE_MS } else { 0 };
        let wait = self.settings.silence_timeout.max(Duration::from_millis(u64::from(pause)));
        if frames == 0 && !self.is_machine && quiet >= wait {
            let is_end = self.settings.mode == Mode::DetectMessageEnd;
            let beeped = if is_end { AnsweredBy::MachineEndBeep } else { AnsweredBy::MachineStart };
            self.decide(now, if self.has_beeped { beeped } else { AnsweredBy::Unknown });
        }
    }

    /// Returns the number of frames of silence that end speech.
    fn end_frames(&self) -> u32 {
        u32::try_from(self.settings.speech_end_threshold.as_millis()).unwrap_or(u32::MAX).div_ceil(FRAME_MS)
    }
}

fn millis(frames: u32) -> Duration {
    Duration::from_millis(u64::from(frames) * u64::from(FRAME_MS))
}
