//! Party of a mixer: its role, its input and its output.

use super::conversion::RateConversion;
use super::echo::EchoDetector;
use super::intake::{FrameOrigin, PartyIntake};
use super::level::{SILENT_DB, factor, level_db};
use super::limiter::Limiter;
use super::rate::{FRAME_MOST, SamplingRate};
use super::source::apply;
use super::strip::MixInput;
use super::voice::VoiceActivity;

/// Id of a party, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PartyId {
    index: u16,
    generation: u32,
}

impl PartyId {
    pub(super) fn new(index: usize, generation: u32) -> PartyId {
        PartyId { index: u16::try_from(index).unwrap_or(u16::MAX), generation }
    }

    pub(super) fn index(self) -> usize {
        usize::from(self.index)
    }
}

/// Role of a party in a conference: which parties it hears, and which hear it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartyRole {
    /// The party hears the others and is heard by them.
    Speaker,
    /// The party hears the others and is muted.
    Listener,
    /// The party hears the others and is heard by this one only.
    Coach(PartyId),
    /// The party neither hears the others nor is heard: on hold, or before the start. Clips for the party are still
    /// played.
    Away,
}

impl PartyRole {
    /// Returns whether the party hears the others.
    pub(super) fn hears(self) -> bool {
        self != PartyRole::Away
    }

    /// Returns whether any other party hears the party.
    pub(super) fn is_heard(self) -> bool {
        matches!(self, PartyRole::Speaker | PartyRole::Coach(_))
    }
}

/// Audio output to a party.
#[derive(Debug)]
pub(super) struct PartyOutput {
    /// Whether the party has a mix of its own.
    pub(super) is_apart: bool,
    pub(super) limiter: Limiter,
    pub(super) conversion: RateConversion,
    pub(super) frame: Box<[i16]>,
    pub(super) is_silent: bool,
}

/// Party with its settings and audio state.
#[derive(Debug)]
pub(super) struct MixerParty {
    pub(super) id: PartyId,
    pub(super) rate: SamplingRate,
    pub(super) part: PartyRole,
    /// Role that applies once the fade-out under the current one is complete.
    wanted: PartyRole,
    pub(super) intake: PartyIntake,
    pub(super) voice: VoiceActivity,
    pub(super) echo: EchoDetector,
    pub(super) strip: MixInput,
    pub(super) outlet: PartyOutput,
    /// Conversion from the party's rate to that of the mix.
    conversion: RateConversion,
}

impl MixerParty {
    pub(super) fn new(id: PartyId, rate: SamplingRate, mixed_at: SamplingRate) -> MixerParty {
        MixerParty {
            id,
            rate,
            part: PartyRole::Speaker,
            wanted: PartyRole::Speaker,
            intake: PartyIntake::new(rate.frame()),
            voice: VoiceActivity::new(),
            echo: EchoDetector::new(),
            strip: MixInput::new(),
            outlet: PartyOutput {
                is_apart: false,
                limiter: Limiter::new(),
                conversion: mixed_at.to(rate),
                frame: vec![0; rate.frame()].into(),
                is_silent: true,
            },
            conversion: rate.to(mixed_at),
        }
    }

    /// Adapts the conversions to another rate of the mix.
    pub(super) fn retune(&mut self, mixed_at: SamplingRate) {
        self.conversion = self.rate.to(mixed_at);
        self.strip.clear();
        self.outlet.conversion = mixed_at.to(self.rate);
    }

    /// Sets another role. A change between being heard by all and by one party fades out first.
    pub(super) fn set_part(&mut self, part: PartyRole) {
        let is_coach = |part: PartyRole| matches!(part, PartyRole::Coach(_));
        let is_moved = part != self.part && (is_coach(part) || is_coach(self.part));
        self.wanted = part;
        self.part = if is_moved && self.strip.is_live() { PartyRole::Listener } else { part };
    }

    /// Produces the party's frame of a tick; returns true if the party began to speak, false if it stopped.
    pub(super) fn advance(&mut self, mixed_at: SamplingRate) -> Option<bool> {
        if !self.strip.is_live() {
            self.part = self.wanted;
        }
        let mut frame = [0; FRAME_MOST];
        let frame = frame.get_mut(..self.rate.frame()).unwrap_or_default();
        let pulled = self.intake.next_frame(frame);
        let (changed, gain) = self.evaluate_frame(pulled, frame);
        let was_silent = self.strip.gain() == 0.0;
        if gain == 0.0 && was_silent && self.conversion.is_at_rest() {
            self.strip.push_silence(mixed_at);
            return changed;
        }
        let (was, gain) = self.strip.ramp(gain, false);
        apply(frame, was, gain);
        let mut mixed = [0; FRAME_MOST];
        let mixed = mixed.get_mut(..mixed_at.frame()).unwrap_or_default();
        self.conversion.run(frame, mixed);
        self.strip.push(mixed, mixed_at);
        changed
    }

    /// Detects speech and echo in a frame. Returns true if the party began to speak, false if it stopped, otherwise
    /// `None`; and the gain of the frame.
    fn evaluate_frame(&mut self, pulled: FrameOrigin, frame: &[i16]) -> (Option<bool>, f32) {
        if !self.part.is_heard() {
            return (self.voice.reset_speech().then_some(false), 0.0);
        }
        let level_db = if pulled == FrameOrigin::Nothing { SILENT_DB } else { level_db(frame) };
        // Echo detection is skipped for a quiet party.
        let is_echo = (self.voice.is_open() || level_db > SILENT_DB) && self.echo.detect_echo(level_db);
        let changed = self.voice.add_level(level_db, is_echo);
        let gain = match (self.voice.is_open(), is_echo) {
            (false, _) => 0.0,
            (true, true) => factor(self.voice.gain_db().min(0.0) + EchoDetector::gain_db()),
            // A party with an echo is not amplified, because its echo would be amplified too.
            (true, false) if self.echo.is_found() => factor(self.voice.gain_db().min(0.0)),
            (true, false) => factor(self.voice.gain_db()),
        };
        (changed, gain)
    }
}
