//! Answering machine detector: combines cadence and tones into one verdict.

use std::time::{Duration, Instant};

use crate::cadence::{Cadence, SpeechExtent};
use crate::limits::{FRAME_MS, FRAME_SAMPLES, PROGRESS_FRAMES, PROGRESS_PAUSE_MS};
use crate::settings::{DetectionMode, DetectionSettings};
use crate::tones::{ToneEvent, ToneState, ToneTracker};
use crate::verdict::{AnsweredBy, DetectionVerdict};
use crate::voice::VoiceMeter;

/// Answering machine detector of one call.
#[derive(Debug, Clone)]
pub struct MachineDetector {
    settings: DetectionSettings,
    began: Instant,
    /// Number of frames so far.
    frames: u32,
    voice: VoiceMeter,
    tones: ToneTracker,
    cadence: Cadence,
    /// Extent of the speech up to the last frame.
    speech: SpeechExtent,
    /// Frame from which the initial silence counts: the first one, or the end of a ringback tone.
    quiet_since: u32,
    /// Whether a beep was detected before any speech.
    has_beeped: bool,
    is_machine: bool,
    /// Whether the verdict was returned.
    is_over: bool,
    verdict: Option<DetectionVerdict>,
}

impl MachineDetector {
    /// Starts a detection at `now`.
    pub fn new(now: Instant, settings: DetectionSettings) -> MachineDetector {
        MachineDetector {
            settings,
            began: now,
            frames: 0,
            voice: VoiceMeter::new(),
            tones: ToneTracker::new(),
            cadence: Cadence::default(),
            speech: SpeechExtent::default(),
            quiet_since: 0,
            has_beeped: false,
            is_machine: false,
            is_over: false,
            verdict: None,
        }
    }

    /// Adds the next 20 ms of the party's audio at 8 kHz, including silence.
    pub fn add_frame(&mut self, now: Instant, frame: &[i16; FRAME_SAMPLES]) {
        if self.is_over || self.verdict.is_some() {
            return;
        }
        let at = self.frames;
        self.frames = self.frames.saturating_add(1);
        let filtered = self.voice.filter(frame);
        let had_speech = self.speech.frames > 0 || self.has_beeped;
        let cadence = &self.cadence;
        let (state, event) = self.tones.add_frame(&filtered, had_speech, |frames| cadence.has_pause_before(frames));
        let heard = self.voice.measure_frame(&filtered);
        match state {
            ToneState::None => self.cadence.add_frame(heard, false),
            ToneState::Perhaps => self.cadence.add_frame(heard, true),
            ToneState::Tone(frames) => self.cadence.take_tone(heard, frames),
            ToneState::Progress => {
                self.cadence.take_tone(heard, PROGRESS_FRAMES);
                self.quiet_since = at;
            }
        }
        self.speech = self.cadence.speech(self.end_frames());
        self.evaluate_event(now, event);
    }

    /// Ends the detection if its timeout has expired.
    pub fn handle_timeout(&mut self, now: Instant) {
        if now >= self.deadline() && !self.is_over && self.verdict.is_none() {
            self.decide(now, if self.is_machine { AnsweredBy::MachineEndOther } else { AnsweredBy::Unknown });
        }
    }

    /// Returns the time of the timeout; `None` once the verdict was returned.
    pub fn poll_timeout(&self) -> Option<Instant> {
        (!self.is_over).then(|| self.deadline())
    }

    /// Returns the verdict once; `None` before it and afterwards.
    pub fn poll_verdict(&mut self) -> Option<DetectionVerdict> {
        self.is_over |= self.verdict.is_some();
        self.verdict.take()
    }

    /// Returns whether [`Self::poll_verdict`] has returned the verdict.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    fn deadline(&self) -> Instant {
        self.began.checked_add(self.settings.timeout).unwrap_or(self.began)
    }

    fn decide(&mut self, now: Instant, answered_by: AnsweredBy) {
        self.verdict = Some(DetectionVerdict { answered_by, duration: now.saturating_duration_since(self.began) });
    }

    /// Records that a machine has answered; this is the verdict unless the end of its message is awaited.
    fn note_machine(&mut self, now: Instant) {
        self.is_machine = true;
        if self.settings.mode == DetectionMode::Enable {
            self.decide(now, AnsweredBy::MachineStart);
        }
    }

    fn evaluate_event(&mut self, now: Instant, event: Option<ToneEvent>) {
        match event {
            Some(ToneEvent::Fax) => return self.decide(now, AnsweredBy::Fax),
            // Special information tones precede a network announcement.
            Some(ToneEvent::Sit) => self.note_machine(now),
            Some(ToneEvent::BeepBegun) if !self.is_machine => self.note_machine(now),
            Some(ToneEvent::BeepEnded) if self.is_machine => return self.decide(now, AnsweredBy::MachineEndBeep),
            Some(ToneEvent::BeepEnded) => self.has_beeped = true,
            Some(ToneEvent::BeepBegun) | None => {}
        }
        if self.verdict.is_some() {
            return;
        }
        let SpeechExtent { frames, silence } = self.speech;
        if !self.is_machine && millis(frames) >= self.settings.speech_threshold {
            return self.note_machine(now);
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
            let is_end = self.settings.mode == DetectionMode::DetectMessageEnd;
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
