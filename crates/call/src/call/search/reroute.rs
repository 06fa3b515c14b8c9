//! A caller that waits: its agent is lost or sends it on, or was not there yet. It stays, hears hold audio or our ringback
//! tone, and the search goes on; where nobody is left it hears a goodbye.

use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_media::{Command, EndId, HoldSound, Sound};
use trunkgate_resources::deadlines::Timer;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::key::LegId;
use trunkgate_resources::limits::GOODBYE_NEWS_SECONDS;
use trunkgate_route::Hold;
use trunkgate_sdp::Description;
use trunkgate_story::reason::ReasonSlug;

use crate::call::negotiation::local::talks;
use crate::call::search::answer::{Failure, FinalAnswer};
use crate::call::{Call, State};

/// Samples of a goodbye in a millisecond.
const SAMPLES_PER_MS: u64 = 8;

/// What plays to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Player {
    /// Its end.
    pub(crate) end: EndId,
    /// Why the call ends when it has played; `None`: a tone that plays until somebody answers.
    pub(crate) last: Option<ReasonSlug>,
}

impl Call {
    /// The agent on `leg` has the caller no longer: because it is lost (with why), or because it sends the caller on.
    pub(crate) fn go_on(&mut self, now: Instant, edge: &mut Edge, leg: LegId, lost: Option<Failure>) {
        let name = self.legs.name_of(leg);
        self.close_agent(now, edge, leg);
        self.disarm(edge, Timer::HoldCheck);
        self.legs.callee = None;
        self.state = State::Rerouting;
        let is_lost = lost.as_ref().is_some_and(|failure| failure.loss.is_some());
        if let Some(failure) = lost {
            self.note_failure(now, edge, Some(leg), &name, &failure);
            self.search.controller.failed(failure);
        }
        if !(is_lost && self.retry(now, edge, leg)) {
            self.disarm(edge, Timer::MaxCall);
        }
        if self.rings_on(now, edge) {
            return;
        }
        if self.waits_for_ack() {
            return edge.decide(now, self.key, "waiting for the caller's ACK with its media address");
        }
        self.search_on(now, edge);
    }

    /// Whether the search must wait for the ACK of a caller that made no offer: nothing can be offered for it before.
    pub(crate) fn waits_for_ack(&self) -> bool {
        self.negotiation.late == Some(self.legs.near) && self.media.spoken.is_none()
    }

    /// The caller has answered an offer of ours while nobody has it; `first`: only now it is known where its media goes.
    pub(crate) fn caller_spoke(&mut self, now: Instant, edge: &mut Edge, first: bool) {
        if first {
            return self.search_on(now, edge);
        }
        self.negotiation.offer = self.standing_offer().or(self.negotiation.offer.take());
        self.ring_back(now, edge);
    }

    /// Tries the targets that are left for a caller that has its answer.
    pub(crate) fn search_on(&mut self, now: Instant, edge: &mut Edge) {
        match self.standing_offer().filter(|_| self.spoken_end().is_some()) {
            Some(offer) => {
                self.negotiation.offer = Some(offer);
                self.advance(now, edge, None);
            }
            None => self.end(now, edge, ReasonSlug::Internal),
        }
    }

    /// What the caller has agreed on, as an offer: that codec and nothing else, so that its session need not change.
    pub(crate) fn standing_offer(&self) -> Option<Description> {
        let spoken = self.media.spoken?;
        let mut offer = self.legs.near_leg().theirs()?;
        let wanted = [Some(spoken.audio), spoken.keys].map(|number| number.map(|number| number.to_string()));
        for (at, media) in offer.media.iter_mut().enumerate() {
            if at == spoken.index {
                media.formats.retain(|format| wanted.iter().flatten().any(|number| number == format));
            } else {
                media.port = 0;
            }
        }
        Some(offer)
    }

    /// While the search goes on for a caller that has a session with us, it hears hold audio, or our ringback tone, instead
    /// of what fed it last. What plays goes on from target to target.
    pub(crate) fn ring_back(&mut self, now: Instant, edge: &mut Edge) {
        if !(self.state == State::Rerouting || self.is_early()) || self.is_consulting() {
            return;
        }
        let (Some(media), Some((caller, spoken))) = (self.media.session, self.spoken_end()) else { return };
        if self.media.player.is_none() {
            let Some(end) = edge.new_end(media) else { return };
            let hold = self.media.hold.as_ref().and_then(|agent| agent.hold.clone());
            let (sound, what) = match hold.unwrap_or_default() {
                Hold { first: None, music: None } => (Sound::Ringback, "a ringback tone"),
                Hold { first, music } => (Sound::Hold(HoldSound { first, music }), "hold audio"),
            };
            edge.media(media, Command::AddPlayer { end, sound });
            self.media.player = Some(Player { end, last: None });
            edge.decide(now, self.key, format!("the caller hears {what}"));
        }
        let Some(player) = self.media.player else { return };
        if self.media.wires.remove(caller).is_some() {
            edge.media(media, Command::Unwire { from: caller });
        }
        self.connect_ends(edge, player.end, caller, talks(spoken));
        self.tap_caller(now, edge);
    }

    /// Somebody has the caller again.
    pub(crate) fn joined(&mut self, now: Instant, edge: &mut Edge, leg: LegId) {
        self.won(now, edge, leg);
        self.leave_to(now, edge);
        self.search.retries.next = 0;
        self.legs.callee = Some(leg);
        self.legs.answered_by.get_or_insert(leg);
        self.settle();
        edge.trunks.answered(now, self.legs[leg].trunk_name());
        if self.legs[leg].agent.is_some() {
            self.converse(now, edge, leg);
        }
        self.limit_call(now, edge, leg);
        self.stop_player(edge);
        let name = self.legs.name_of(leg);
        edge.decide(now, self.key, format!("{name} is connected to the caller"));
        let line = format!("goes on with {}", edge.shown_name(&name));
        let sid = self.legs.sid().to_owned();
        edge.log(&sid, line, None);
        self.transferred(now, edge);
    }

    /// No target is left: before the answer the caller is refused, later it hears the goodbye.
    pub(crate) fn give_up(&mut self, now: Instant, edge: &mut Edge, answer: &FinalAnswer) {
        if self.transfer_failed(now, edge, answer) {
            return;
        }
        match self.state {
            State::Searching => self.refuse(now, edge, answer),
            State::Rerouting => {
                let goodbye = self.media.goodbye.as_ref().and_then(|agent| agent.goodbye.clone());
                edge.decide(now, self.key, "no target is left");
                self.leave(now, edge, goodbye, answer.reason);
            }
            State::Answered | State::Leaving | State::Ended => {}
        }
    }

    /// Ends an answered call, after a goodbye where there is one and the caller can hear it.
    pub(crate) fn leave(&mut self, now: Instant, edge: &mut Edge, goodbye: Option<Arc<[u8]>>, reason: ReasonSlug) {
        self.disarm(edge, Timer::MaxCall);
        self.stop_player(edge);
        match goodbye {
            Some(sound) if self.play_last(now, edge, &sound, reason) => {}
            Some(_) | None => self.end(now, edge, reason),
        }
    }

    /// Plays a goodbye to the caller; whether it can hear one.
    fn play_last(&mut self, now: Instant, edge: &mut Edge, sound: &Arc<[u8]>, reason: ReasonSlug) -> bool {
        let (Some(media), Some((caller, spoken))) = (self.media.session, self.spoken_end()) else { return false };
        let Some(end) = edge.new_end(media) else { return false };
        edge.media(media, Command::AddPlayer { end, sound: Sound::Once(sound.clone()) });
        if self.media.wires.remove(caller).is_some() {
            edge.media(media, Command::Unwire { from: caller });
        }
        self.media.player = Some(Player { end, last: Some(reason) });
        self.connect_ends(edge, end, caller, talks(spoken));
        self.tap_caller(now, edge);
        self.state = State::Leaving;
        edge.decide(now, self.key, "the caller hears the goodbye");
        let length = Duration::from_millis(u64::try_from(sound.len()).unwrap_or(u64::MAX) / SAMPLES_PER_MS);
        self.arm(now, edge, Timer::Goodbye, length + Duration::from_secs(GOODBYE_NEWS_SECONDS));
        true
    }

    /// A sound has been heard to its end: after the goodbye the call is over.
    pub(crate) fn played(&mut self, now: Instant, edge: &mut Edge, end: EndId) {
        if self.media.player.is_some_and(|player| player.end == end) {
            self.goodbye_overdue(now, edge);
        }
    }

    /// The goodbye has been heard, or should have been by now.
    pub(crate) fn goodbye_overdue(&mut self, now: Instant, edge: &mut Edge) {
        if let Some(reason) = self.media.player.and_then(|player| player.last) {
            self.end(now, edge, reason);
        }
    }

    /// The caller has moved while it hears the goodbye.
    pub(crate) fn say_on(&mut self, edge: &mut Edge) {
        if let (Some(player), Some((caller, spoken))) = (self.media.player, self.spoken_end()) {
            self.connect_ends(edge, player.end, caller, talks(spoken));
        }
    }

    pub(crate) fn stop_player(&mut self, edge: &mut Edge) {
        let (Some(player), Some(media)) = (self.media.player.take(), self.media.session) else { return };
        self.media.wires.remove(player.end);
        edge.remove_end(media, player.end);
    }
}
