//! One party: what comes of it, and what it is sent.

use super::conversion::Conversion;
use super::echo::Echo;
use super::intake::{Intake, Pulled};
use super::level::{SILENT_DB, factor, level_db};
use super::limiter::Limiter;
use super::rate::{FRAME_MOST, Rate};
use super::source::apply;
use super::strip::Strip;
use super::voice::Voice;

/// A party of a mixer. One that has left is never meant again.
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

/// Part that a party takes in a conference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Hears the others, and is heard.
    Speaker,
    /// Hears the others, and is not heard: muted.
    Listener,
    /// Hears the others, and is heard by one of them alone.
    Coach(PartyId),
    /// Neither hears nor is heard: on hold, or before the start. Clips of its own are heard.
    Away,
}

impl Part {
    /// Whether it hears the others.
    pub(super) fn hears(self) -> bool {
        self != Part::Away
    }

    /// Whether it is heard by any.
    pub(super) fn is_heard(self) -> bool {
        matches!(self, Part::Speaker | Part::Coach(_))
    }
}

/// What a party is sent.
#[derive(Debug)]
pub(super) struct Outlet {
    /// Whether its mix is one of its own, not the shared one.
    pub(super) is_apart: bool,
    pub(super) limiter: Limiter,
    pub(super) conversion: Conversion,
    pub(super) frame: Box<[i16]>,
    pub(super) is_silent: bool,
}

/// One party.
#[derive(Debug)]
pub(super) struct Party {
    pub(super) id: PartyId,
    pub(super) rate: Rate,
    pub(super) part: Part,
    /// The part that it takes once nothing is left in the mix of the one before.
    wanted: Part,
    pub(super) intake: Intake,
    pub(super) voice: Voice,
    pub(super) echo: Echo,
    pub(super) strip: Strip,
    pub(super) outlet: Outlet,
    /// From its rate to that of the mix.
    conversion: Conversion,
}

impl Party {
    pub(super) fn new(id: PartyId, rate: Rate, mixed_at: Rate) -> Party {
        Party {
            id,
            rate,
            part: Part::Speaker,
            wanted: Part::Speaker,
            intake: Intake::new(rate.frame()),
            voice: Voice::new(),
            echo: Echo::new(),
            strip: Strip::new(),
            outlet: Outlet {
                is_apart: false,
                limiter: Limiter::new(),
                conversion: mixed_at.to(rate),
                frame: vec![0; rate.frame()].into(),
                is_silent: true,
            },
            conversion: rate.to(mixed_at),
        }
    }

    /// Goes on at another rate of the mix.
    pub(super) fn retune(&mut self, mixed_at: Rate) {
        self.conversion = self.rate.to(mixed_at);
        self.strip.clear();
        self.outlet.conversion = mixed_at.to(self.rate);
    }

    /// Gives it another part; from all to one and back it fades out first.
    pub(super) fn set_part(&mut self, part: Part) {
        let is_coach = |part: Part| matches!(part, Part::Coach(_));
        let is_moved = part != self.part && (is_coach(part) || is_coach(self.part));
        self.wanted = part;
        self.part = if is_moved && self.strip.is_live() { Part::Listener } else { part };
    }

    /// Makes its frame of a tick; returns whether it began or stopped to speak.
    pub(super) fn advance(&mut self, mixed_at: Rate) -> Option<bool> {
        if !self.strip.is_live() {
            self.part = self.wanted;
        }
        let mut frame = [0; FRAME_MOST];
        let frame = frame.get_mut(..self.rate.frame()).unwrap_or_default();
        let pulled = self.intake.pull(frame);
        let (changed, gain) = self.judge(pulled, frame);
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

    /// The gain of a frame, and whether the party began or stopped to speak.
    fn judge(&mut self, pulled: Pulled, frame: &[i16]) -> (Option<bool>, f32) {
        if !self.part.is_heard() {
            return (self.voice.hush().then_some(false), 0.0);
        }
        let level_db = if pulled == Pulled::Nothing { SILENT_DB } else { level_db(frame) };
        // A quiet party has no echo to be looked for.
        let is_echo = (self.voice.is_open() || level_db > SILENT_DB) && self.echo.take(level_db);
        let changed = self.voice.take(level_db, is_echo);
        let gain = match (self.voice.is_open(), is_echo) {
            (false, _) => 0.0,
            (true, true) => factor(self.voice.gain_db().min(0.0) + Echo::gain_db()),
            // A party with an echo is not raised, as its echo would be.
            (true, false) if self.echo.is_found() => factor(self.voice.gain_db().min(0.0)),
            (true, false) => factor(self.voice.gain_db()),
        };
        (changed, gain)
    }
}
