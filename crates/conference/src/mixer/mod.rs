//! Mixer of one conference: every 20 ms a tick takes a frame of each party and produces a mix for each of them, the
//! sum of all others.
//!
//! This module processes audio: queues, levels, gains, mixes. [`ConferenceRoom`](crate::ConferenceRoom) decides who may
//! speak, and the caller has the clock.
//!
//! All audio is mixed at the highest rate of the present parties. A quiet party adds nothing and costs only a level
//! measurement. All parties that add nothing and have no clip of their own share one sum, which is produced once and
//! converted once for each rate; [`PartyAudio::mix`] identifies the parties that share it, so that it may be encoded
//! once as well. Each party that speaks has a sum of its own, the total minus itself. Sums are delayed by the
//! look-ahead of their limiter, 2 ms; a frame waits at most 20 ms for its tick. Only joining, leaving and playing
//! allocate.

mod conversion;
mod echo;
mod intake;
mod level;
mod limiter;
mod party;
mod rate;
mod source;
mod speaker;
mod strip;
mod voice;

use std::collections::VecDeque;

use crate::limits::{PARTIES, SOURCES};

pub use intake::IntakeStats;
pub use party::{PartyId, PartyRole};
pub use rate::SamplingRate;
pub use source::{Audience, Clip, SourceId};

use conversion::RateConversion;
use level::{SILENT_DB, wide_level_db};
use limiter::Limiter;
use party::MixerParty;
use rate::FRAME_MOST;
use source::PlayingClip;
use speaker::SpeakerSelector;
use strip::{MixInput, WINDOW_MOST, window};

/// Maximum pending events; a new one replaces the oldest.
const EVENTS: usize = 4 * PARTIES;

/// Event that the mixer reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MixerEvent {
    /// A party began to speak.
    SpeechStarted(PartyId),
    /// A party stopped speaking.
    SpeechStopped(PartyId),
    /// The active speaker changed; `None` if there is none.
    ActiveSpeaker(Option<PartyId>),
    /// A clip has ended, or its party has left.
    Ended(SourceId),
}

/// Identity of a mix in a tick. Parties with the same identity receive the same samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MixIdentity {
    /// Sum of all parties at one rate, shared by all that add nothing to it.
    Shared(SamplingRate),
    /// Sum of all parties except this one.
    Own(PartyId),
}

/// Audio that a party receives in one tick.
#[derive(Debug, Clone, Copy)]
pub struct PartyAudio<'a> {
    /// Identity of the mix; parties with the same one receive the same audio.
    pub mix: MixIdentity,
    /// Frame of 20 ms at the sampling rate of the party.
    pub samples: &'a [i16],
    /// Whether all samples of the frame are zero.
    pub is_silent: bool,
}

/// Mix shared by the parties that add nothing to it.
#[derive(Debug)]
struct SharedMix {
    limiter: Limiter,
    /// Conversions to each rate.
    conversions: [RateConversion; 3],
    /// State of `limiter` before this tick, from which a party continues when it gets a mix of its own.
    limiter_before: Limiter,
    conversions_before: [RateConversion; 3],
    frames: [Box<[i16]>; 3],
    is_silent: [bool; 3],
    level_db: f32,
}

impl SharedMix {
    fn new(mixed_at: SamplingRate) -> SharedMix {
        SharedMix {
            limiter: Limiter::new(),
            conversions: SamplingRate::ALL.map(|rate| mixed_at.to(rate)),
            limiter_before: Limiter::new(),
            conversions_before: SamplingRate::ALL.map(|rate| mixed_at.to(rate)),
            frames: SamplingRate::ALL.map(|rate| vec![0; rate.frame()].into()),
            is_silent: [true; 3],
            level_db: SILENT_DB,
        }
    }
}

/// Mixer of one conference.
#[derive(Debug)]
pub struct Mixer {
    mixed_at: SamplingRate,
    /// Whether the sum of all parties is produced at 8 kHz even without a party at that rate.
    is_recorded: bool,
    parties: Vec<Option<Box<MixerParty>>>,
    generation: u32,
    sources: Vec<PlayingClip>,
    next_source: u64,
    speaker: SpeakerSelector,
    shared: SharedMix,
    /// Sum of all parties; `own` is the sum without one party.
    total: Box<[i32]>,
    own: Box<[i32]>,
    events: VecDeque<MixerEvent>,
}

impl Default for Mixer {
    fn default() -> Mixer {
        Mixer::new()
    }
}

impl Mixer {
    /// Creates a mixer without parties.
    pub fn new() -> Mixer {
        Mixer {
            mixed_at: SamplingRate::Narrow,
            is_recorded: false,
            parties: Vec::new(),
            generation: 0,
            sources: Vec::new(),
            next_source: 0,
            speaker: SpeakerSelector::default(),
            shared: SharedMix::new(SamplingRate::Narrow),
            total: vec![0; WINDOW_MOST].into(),
            own: vec![0; WINDOW_MOST].into(),
            events: VecDeque::with_capacity(EVENTS),
        }
    }

    /// Adds a party as a [`PartyRole::Speaker`]; `None` if the conference is full.
    pub fn join(&mut self, rate: SamplingRate) -> Option<PartyId> {
        let free = self.parties.iter().position(Option::is_none);
        let index = free.unwrap_or(self.parties.len());
        if index >= PARTIES {
            return None;
        }
        self.generation = self.generation.wrapping_add(1);
        let id = PartyId::new(index, self.generation);
        let party = Some(Box::new(MixerParty::new(id, rate, self.mixed_at)));
        match self.parties.get_mut(index) {
            Some(place) => *place = party,
            None => self.parties.push(party),
        }
        self.retune();
        Some(id)
    }

    /// Removes a party; its clips end, and its coaches become inaudible.
    pub fn leave(&mut self, id: PartyId) {
        if self.party(id).is_none() {
            return;
        }
        if let Some(place) = self.parties.get_mut(id.index()) {
            *place = None;
        }
        while self.parties.last().is_some_and(Option::is_none) {
            self.parties.pop();
        }
        let events = &mut self.events;
        self.sources.retain(|source| {
            let stays = source.audience != Audience::One(id);
            if !stays {
                queue_event(events, MixerEvent::Ended(source.id));
            }
            stays
        });
        self.retune();
    }

    /// Returns the number of parties in the mixer.
    pub fn len(&self) -> usize {
        self.parties.iter().flatten().count()
    }

    /// Returns whether there are no parties.
    pub fn is_empty(&self) -> bool {
        self.parties.is_empty()
    }

    /// Returns the rate at which all audio is mixed.
    pub fn mixed_at(&self) -> SamplingRate {
        self.mixed_at
    }

    /// Changes the role of a party in the mix.
    pub fn set_part(&mut self, id: PartyId, part: PartyRole) {
        if let Some(party) = self.party_mut(id) {
            party.set_part(part);
        }
    }

    /// Adds the next frame of a party, 20 ms at its rate. A frame of another length is rejected and counted.
    pub fn push(&mut self, id: PartyId, samples: &[i16]) {
        if let Some(party) = self.party_mut(id) {
            party.intake.push(Some(samples));
        }
    }

    /// Records that the next frame of a party was lost.
    pub fn push_lost(&mut self, id: PartyId) {
        if let Some(party) = self.party_mut(id) {
            party.intake.push(None);
        }
    }

    /// Plays a clip; `None` if the limit of clips is reached, or its party does not exist.
    pub fn play(&mut self, audience: Audience, clip: Clip, is_repeated: bool) -> Option<SourceId> {
        let is_there = match audience {
            Audience::All => true,
            Audience::One(id) => self.party(id).is_some(),
        };
        if !is_there || self.sources.len() >= SOURCES {
            return None;
        }
        self.next_source += 1;
        let id = SourceId(self.next_source);
        self.sources.push(PlayingClip::new(id, audience, clip, is_repeated, self.mixed_at));
        Some(id)
    }

    /// Fades a clip out; [`MixerEvent::Ended`] follows.
    pub fn stop(&mut self, id: SourceId) {
        if let Some(source) = self.sources.iter_mut().find(|source| source.id == id) {
            source.stop();
        }
    }

    /// Sets whether the sum of all parties is produced at 8 kHz for recordings.
    pub fn record(&mut self, is_recorded: bool) {
        self.is_recorded = is_recorded;
    }

    /// Returns the sum of all parties at 8 kHz in this tick; `None` if it is silent, or not enabled by
    /// [`Mixer::record`].
    pub fn recorded(&self) -> Option<&[i16]> {
        let index = SamplingRate::Narrow.index();
        let is_heard = self.is_recorded && self.shared.is_silent.get(index) == Some(&false);
        self.shared.frames.get(index).filter(|_| is_heard).map(|frame| &**frame)
    }

    /// Mixes the next 20 ms; [`Mixer::heard`] returns the results.
    pub fn tick(&mut self) {
        self.advance();
        let is_live = self.sum_parties();
        self.make_shared(is_live);
        let is_coached = self.parties.iter().flatten().any(|party| matches!(party.part, PartyRole::Coach(_)));
        let is_private = is_coached || self.sources.iter().any(|source| source.audience != Audience::All);
        for index in 0..self.parties.len() {
            self.mix_for_party(index, is_private);
        }
        let speakers =
            self.parties.iter().flatten().filter(|party| party.part == PartyRole::Speaker && party.voice.speaks());
        if self.speaker.choose(speakers.map(|party| (party.id, party.voice.loudness_db()))) {
            queue_event(&mut self.events, MixerEvent::ActiveSpeaker(self.speaker.active()));
        }
    }

    /// Returns the audio for a party in this tick; `None` for an unknown party, or one that neither hears the
    /// conference nor a clip.
    pub fn heard(&self, id: PartyId) -> Option<PartyAudio<'_>> {
        let party = self.party(id)?;
        if party.outlet.is_apart {
            let (samples, is_silent) = (&party.outlet.frame, party.outlet.is_silent);
            return Some(PartyAudio { mix: MixIdentity::Own(id), samples, is_silent });
        }
        if !party.part.hears() {
            return None;
        }
        let index = party.rate.index();
        let (samples, is_silent) = (self.shared.frames.get(index)?, *self.shared.is_silent.get(index)?);
        Some(PartyAudio { mix: MixIdentity::Shared(party.rate), samples, is_silent })
    }

    /// Returns the level of a party's speech as received, in dBFS; `None` before it has spoken.
    pub fn loudness_db(&self, id: PartyId) -> Option<f32> {
        self.party(id).map(|party| party.voice.loudness_db()).filter(|loudness| *loudness > SILENT_DB)
    }

    /// Returns the statistics of a party's frames.
    pub fn intaken(&self, id: PartyId) -> Option<IntakeStats> {
        self.party(id).map(|party| party.intake.intaken())
    }

    /// Returns the next event, if there is one.
    pub fn poll_event(&mut self) -> Option<MixerEvent> {
        self.events.pop_front()
    }

    fn party(&self, id: PartyId) -> Option<&MixerParty> {
        self.parties.get(id.index())?.as_deref().filter(|party| party.id == id)
    }

    fn party_mut(&mut self, id: PartyId) -> Option<&mut MixerParty> {
        self.parties.get_mut(id.index())?.as_deref_mut().filter(|party| party.id == id)
    }

    /// Sets the mixing rate to the highest rate of the present parties.
    fn retune(&mut self) {
        let rate = self.parties.iter().flatten().map(|party| party.rate).max().unwrap_or(SamplingRate::Narrow);
        if rate == self.mixed_at {
            return;
        }
        self.mixed_at = rate;
        self.parties.iter_mut().flatten().for_each(|party| party.retune(rate));
        self.sources.iter_mut().for_each(|source| source.retune(rate));
        self.shared = SharedMix::new(rate);
        self.total.fill(0);
    }

    /// Produces the frames of all parties and clips for this tick.
    fn advance(&mut self) {
        let rate = self.mixed_at;
        for party in self.parties.iter_mut().flatten() {
            match party.advance(rate) {
                Some(true) => queue_event(&mut self.events, MixerEvent::SpeechStarted(party.id)),
                Some(false) => queue_event(&mut self.events, MixerEvent::SpeechStopped(party.id)),
                None => {}
            }
        }
        let events = &mut self.events;
        self.sources.retain_mut(|source| {
            let goes_on = source.advance(rate);
            if !goes_on {
                queue_event(events, MixerEvent::Ended(source.id));
            }
            goes_on
        });
    }

    /// Sums the audio of all parties and of clips for all; returns whether there is any.
    fn sum_parties(&mut self) -> bool {
        let rate = self.mixed_at;
        let total = self.total.get_mut(..window(rate)).unwrap_or_default();
        let parties = self.parties.iter().flatten().filter(|party| is_common(party)).map(|party| &party.strip);
        let clips = self.sources.iter().filter(|source| source.audience == Audience::All).map(|source| &source.strip);
        let mut live = parties.chain(clips).filter(|strip| strip.is_live()).peekable();
        let is_live = live.peek().is_some();
        total.fill(0);
        live.for_each(|strip| add(total, strip.window(rate)));
        is_live
    }

    /// Produces the shared mix.
    fn make_shared(&mut self, is_live: bool) {
        let rate = self.mixed_at;
        let mut mixed = [0; FRAME_MOST];
        let mixed = mixed.get_mut(..rate.frame()).unwrap_or_default();
        self.shared.limiter_before.clone_from(&self.shared.limiter);
        self.shared.conversions_before.clone_from(&self.shared.conversions);
        if is_live {
            let total = self.total.get(..window(rate)).unwrap_or_default();
            self.shared.limiter.run(total, rate.millisecond(), mixed);
        } else {
            self.shared.limiter.rest(20);
        }
        let SharedMix { conversions, frames, is_silent, .. } = &mut self.shared;
        for ((to, conversion), (frame, is_silent)) in
            SamplingRate::ALL.into_iter().zip(conversions).zip(frames.iter_mut().zip(is_silent))
        {
            let is_wanted = self.is_recorded && to == SamplingRate::Narrow;
            if !is_wanted && !self.parties.iter().flatten().any(|party| party.rate == to) {
                continue;
            }
            let rests = !is_live && conversion.is_at_rest();
            match (rests, *is_silent) {
                (false, _) => conversion.run(mixed, frame),
                (true, false) => frame.fill(0),
                (true, true) => {}
            }
            *is_silent = rests || frame.iter().all(|sample| *sample == 0);
        }
        // The shared mix is the same for all parties, so its level is measured once.
        let heard = self.total.get(..rate.frame()).unwrap_or_default();
        self.shared.level_db = if is_live { wide_level_db(heard) } else { SILENT_DB };
    }

    /// Produces the mix of a party that needs its own; other parties receive the shared mix.
    fn mix_for_party(&mut self, index: usize, is_private: bool) {
        let rate = self.mixed_at;
        let Some(party) = self.parties.get(index).and_then(Option::as_deref) else { return };
        let (id, hears) = (party.id, party.part.hears());
        let adds = hears && is_common(party) && party.strip.is_live();
        let has_extras = is_private && self.extras(id, hears).next().is_some();
        if adds || has_extras || party.outlet.is_apart {
            let mut own = std::mem::take(&mut self.own);
            self.add_up_own(own.get_mut(..window(rate)).unwrap_or_default(), index, adds, is_private);
            self.own = own;
        }
        let Some(party) = self.parties.get_mut(index).and_then(Option::as_deref_mut) else { return };
        let outlet = &mut party.outlet;
        if !outlet.is_apart {
            if !adds && !has_extras {
                party.echo.add_sent_level(if hears { self.shared.level_db } else { SILENT_DB });
                return;
            }
            // The party continues from the shared mix, so that no audio is lost or repeated.
            outlet.is_apart = true;
            outlet.limiter = self.shared.limiter_before.clone();
            if let Some(conversion) = self.shared.conversions_before.get(party.rate.index()) {
                outlet.conversion = conversion.clone();
            }
        }
        let own = self.own.get(..window(rate)).unwrap_or_default();
        let mut mixed = [0; FRAME_MOST];
        let mixed = mixed.get_mut(..rate.frame()).unwrap_or_default();
        outlet.limiter.run(own, rate.millisecond(), mixed);
        outlet.conversion.run(mixed, &mut outlet.frame);
        outlet.is_silent = outlet.frame.iter().all(|sample| *sample == 0);
        party.echo.add_sent_level(wide_level_db(own.get(..rate.frame()).unwrap_or_default()));
        let agrees = if hears { outlet.limiter.agrees_with(&self.shared.limiter) } else { outlet.is_silent };
        outlet.is_apart = adds || has_extras || !agrees;
    }

    /// Sums the audio for one party into `own`.
    fn add_up_own(&self, own: &mut [i32], index: usize, adds: bool, is_private: bool) {
        let Some(party) = self.parties.get(index).and_then(Option::as_deref) else { return };
        let hears = party.part.hears();
        if hears {
            own.iter_mut().zip(&self.total).for_each(|(own, total)| *own = *total);
        } else {
            own.fill(0);
        }
        if adds {
            subtract(own, party.strip.window(self.mixed_at));
        }
        if is_private {
            self.extras(party.id, hears).for_each(|strip| add(own, strip.window(self.mixed_at)));
        }
    }

    /// Lists the audio that only one party hears: its clips, and its coaches.
    fn extras(&self, id: PartyId, hears: bool) -> impl Iterator<Item = &MixInput> {
        let coaches = self.parties.iter().flatten().filter(move |other| hears && other.part == PartyRole::Coach(id));
        let clips = self.sources.iter().filter(move |source| source.audience == Audience::One(id));
        let strips = coaches.map(|other| &other.strip).chain(clips.map(|source| &source.strip));
        strips.filter(|strip| strip.is_live())
    }
}

/// Returns whether a party adds to the sum that all parties hear.
fn is_common(party: &MixerParty) -> bool {
    // A party that was just muted still adds its fade-out.
    !matches!(party.part, PartyRole::Coach(_))
}

fn queue_event(events: &mut VecDeque<MixerEvent>, event: MixerEvent) {
    if events.len() >= EVENTS {
        events.pop_front();
    }
    events.push_back(event);
}

fn add(sum: &mut [i32], part: &[i16]) {
    sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += i32::from(*part));
}

fn subtract(sum: &mut [i32], part: &[i16]) {
    sum.iter_mut().zip(part).for_each(|(sum, part)| *sum -= i32::from(*part));
}
