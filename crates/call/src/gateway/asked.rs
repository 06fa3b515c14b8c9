//! What may be asked of a call from beside SIP, and is answered at once: forks, and what an agent may want of its call too.

use std::time::Instant;

use trunkgate_media::{EndId, MediaId, PressSpec};
use trunkgate_route::{Target, TargetSpec};

use crate::call::agent::fork::ForkRequest;

pub use crate::call::refused::Refused;
use crate::call::transfer::wish;
use crate::call::{Call, State};
use crate::gateway::Gateway;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::limits::KEYS_PER_REQUEST;
use trunkgate_story::view::ForkView;

impl Gateway {
    /// Lets somebody listen to an answered call from now on. Drain [`Self::poll_output`] afterwards, here as below.
    ///
    /// # Errors
    /// Why nobody does.
    pub fn begin_fork(&mut self, now: Instant, sid: &str, request: &ForkRequest) -> Result<ForkView, Refused> {
        self.ask(now, sid, |call, edge| call.begin_fork(now, edge, request))
    }
    /// Lets a listener go.
    ///
    /// # Errors
    /// Why there is nobody to let go.
    pub fn end_fork(&mut self, now: Instant, sid: &str, id: &str) -> Result<ForkView, Refused> {
        self.ask(now, sid, |call, edge| call.end_fork(now, edge, id))
    }
    /// The forks of a live call, ended ones too.
    ///
    /// # Errors
    /// That there is no such call, or that it is over.
    pub fn forks(&self, sid: &str) -> Result<Vec<ForkView>, Refused> {
        let call = self.edge.index.sids.get(sid).and_then(|key| self.calls.get(key));
        call.filter(|call| call.state != State::Ended).map(|call| call.legs.forks()).ok_or_else(|| self.missing(sid))
    }
    /// Sends the caller of an agent to another target, as its agent may.
    ///
    /// # Errors
    /// Why it stays.
    pub fn transfer(&mut self, now: Instant, sid: &str, target: &str) -> Result<(), Refused> {
        self.ask(now, sid, |call, edge| call.transfer(now, edge, target, false))
    }
    /// The same once somebody answers there; until then the caller stays with its agent.
    ///
    /// # Errors
    /// Why nobody is called.
    pub fn consult(&mut self, now: Instant, sid: &str, target: &str) -> Result<(), Refused> {
        self.ask(now, sid, |call, edge| call.transfer(now, edge, target, true))
    }
    /// Presses keys towards the caller of an agent, as its agent may.
    ///
    /// # Errors
    /// Why none is pressed.
    pub fn press(&mut self, now: Instant, sid: &str, digits: &str) -> Result<(), Refused> {
        self.ask(now, sid, |call, edge| call.press_keys(now, edge, digits))
    }

    fn ask<T>(
        &mut self,
        now: Instant,
        sid: &str,
        act: impl FnOnce(&mut Call, &mut Edge) -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        let key = self.edge.index.sids.get(sid).copied().ok_or_else(|| self.missing(sid))?;
        let call = self.calls.get_mut(&key).ok_or(Refused::UnknownCall)?;
        match call.state {
            State::Searching => return Err(Refused::NotAnswered),
            State::Ended => return Err(Refused::CallEnded),
            State::Answered | State::Rerouting | State::Leaving => {}
        }
        self.at_work = Some(key);
        let done = act(call, &mut self.edge);
        self.at_work = None;
        self.note_if_done(key);
        self.settle(now);
        done
    }

    fn missing(&self, sid: &str) -> Refused {
        let known = self.edge.index.sids.contains_key(sid) || self.edge.recent.call(sid).is_some();
        if known { Refused::CallEnded } else { Refused::UnknownCall }
    }
}

impl Call {
    /// Where the caller of an agent may be sent.
    pub(crate) fn transfer_target(&self, edge: &mut Edge, text: &str) -> Result<Target, Refused> {
        // Else the caller would be lost with the agent that has it.
        if !self.has_room_for_another() {
            return Err(Refused::TooManyTargets);
        }
        let target = wish::target(text, edge.table.numbers()).ok_or(Refused::BadTarget)?;
        if let TargetSpec::Uri { destination, .. } = &target
            && destination.literal().is_some_and(|server| server.sockets().any(|socket| edge.is_forbidden(socket)))
        {
            return Err(Refused::ForbiddenAddress);
        }
        edge.target(&target).ok_or(Refused::UnknownTarget)
    }

    /// The caller's end where it takes telephone-events, and how.
    pub(crate) fn takes_keys(&self) -> Option<(MediaId, EndId, PressSpec)> {
        let (end, spoken) = self.spoken_end()?;
        let (payload, clock_hz) = spoken.presses?;
        Some((self.media.session?, end, PressSpec::Event { payload, clock_hz }))
    }

    /// The digits are for the caller's ear only: never in a trace or a log.
    fn press_keys(&mut self, now: Instant, edge: &mut Edge, digits: &str) -> Result<(), Refused> {
        if !self.is_local() {
            return Err(Refused::NoAgent);
        }
        let is_key = |key: &char| matches!(key, '0'..='9' | '*' | '#' | 'A'..='D');
        let other = digits.chars().find(|key| !is_key(key));
        if other.is_some() || !(1..=KEYS_PER_REQUEST).contains(&digits.len()) {
            return Err(Refused::BadDigits(other));
        }
        if !self.press_for_caller(now, edge, digits) {
            return Err(Refused::NoTelephoneEvent);
        }
        edge.decide(now, self.key, format!("{} DTMF digits are sent to the caller, as requested", digits.len()));
        Ok(())
    }
}
