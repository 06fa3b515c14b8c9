//! What may be asked of a call from beside SIP, and is answered at once: forks, and what an agent may want of its call too.

use crate::call::shared::Cx;
use std::time::Instant;

use crate::call::media::local::ForkRequest;

pub use crate::call::refused::Refused;
use crate::call::{Parts, State};
use crate::gateway::Gateway;
use trunkgate_story::view::ForkView;

impl Gateway {
    /// Lets somebody listen to an answered call from now on. Drain [`Self::poll_output`] afterwards, here as below.
    ///
    /// # Errors
    /// Why nobody does.
    pub fn begin_fork(&mut self, now: Instant, sid: &str, request: &ForkRequest) -> Result<ForkView, Refused> {
        self.ask(now, sid, |parts, cx| parts.bridge.media.begin_fork(cx, request))
    }
    /// Lets a listener go.
    ///
    /// # Errors
    /// Why there is nobody to let go.
    pub fn end_fork(&mut self, now: Instant, sid: &str, id: &str) -> Result<ForkView, Refused> {
        self.ask(now, sid, |parts, cx| parts.bridge.media.end_fork(cx, id))
    }
    /// The forks of a live call, ended ones too.
    ///
    /// # Errors
    /// That there is no such call, or that it is over.
    pub fn forks(&self, sid: &str) -> Result<Vec<ForkView>, Refused> {
        let call = self.edge.index.sids.get(sid).and_then(|key| self.calls.get(key));
        call.filter(|call| call.shared.state != State::Ended)
            .map(|call| call.shared.legs.forks())
            .ok_or_else(|| self.missing(sid))
    }
    /// Sends the caller of an agent to another target, as its agent may.
    ///
    /// # Errors
    /// Why it stays.
    pub fn transfer(&mut self, now: Instant, sid: &str, target: &str) -> Result<(), Refused> {
        self.ask(now, sid, |parts, cx| parts.transfer(cx, target, false))
    }
    /// The same once somebody answers there; until then the caller stays with its agent.
    ///
    /// # Errors
    /// Why nobody is called.
    pub fn consult(&mut self, now: Instant, sid: &str, target: &str) -> Result<(), Refused> {
        self.ask(now, sid, |parts, cx| parts.transfer(cx, target, true))
    }
    /// Presses keys towards the caller of an agent, as its agent may.
    ///
    /// # Errors
    /// Why none is pressed.
    pub fn press(&mut self, now: Instant, sid: &str, digits: &str) -> Result<(), Refused> {
        self.ask(now, sid, |parts, cx| parts.bridge.press_keys(cx, digits))
    }

    fn ask<T>(
        &mut self,
        now: Instant,
        sid: &str,
        act: impl FnOnce(&mut Parts, &mut Cx<'_>) -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        let key = self.edge.index.sids.get(sid).copied().ok_or_else(|| self.missing(sid))?;
        let call = self.calls.get_mut(&key).ok_or(Refused::UnknownCall)?;
        match call.shared.state {
            State::Searching => return Err(Refused::NotAnswered),
            State::Ended => return Err(Refused::CallEnded),
            State::Answered | State::Rerouting | State::Leaving => {}
        }
        self.at_work = Some(key);
        let (parts, mut cx) = call.act(now, &mut self.edge);
        let done = act(parts, &mut cx);
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
