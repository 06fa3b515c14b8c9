//! Calls whose silence does not tell that somebody is gone, since a far end on hold may be silent: their dialogs are asked by
//! OPTIONS, as often as silence would have been looked for. A caller that has an agent, since an agent does not hang up as a
//! person would; and both sides of a call that have no session timers, since both may be gone. Where one of two is there,
//! it knows best when to hang up.

use std::time::Instant;

use trunkgate_resources::deadlines::Timer;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::index::Purpose;
use trunkgate_resources::key::LegId;
use trunkgate_sip::ClientId;
use trunkgate_story::reason::ReasonSlug;

use crate::call::{Call, State};

/// Questions of one time.
#[derive(Debug, Default)]
pub(crate) struct HoldCheck {
    /// Not answered yet.
    asked: Vec<ClientId>,
    /// Whether one was answered by whom knows the call.
    is_alive: bool,
}

impl HoldCheck {
    /// What is not answered yet.
    pub(crate) fn asked(&self) -> impl Iterator<Item = ClientId> + '_ {
        self.asked.iter().copied()
    }
}

impl Call {
    /// After a change of what is spoken, and now and then: whether somebody is asked from now on.
    pub(crate) fn watch_hold(&mut self, now: Instant, edge: &mut Edge) {
        if self.is_watched() {
            self.disarm(edge, Timer::HoldCheck);
        } else if self.negotiation.hold_check.asked.is_empty() && !self.deadlines.contains(Timer::HoldCheck) {
            let interval = edge.config.idle_timeout;
            self.arm(now, edge, Timer::HoldCheck, interval);
        }
    }

    /// Whether silence, or the end of a session, would tell that they are gone.
    fn is_watched(&self) -> bool {
        let is_heard =
            |leg: LegId| self.legs[leg].ends.iter().filter_map(|end| end.remote.as_ref()).any(|r| r.watch_idle);
        match self.state {
            State::Answered if self.is_local() => is_heard(self.legs.near),
            State::Answered => self.legs.talking().any(|leg| is_heard(leg) || self.legs[leg].timer.is_agreed()),
            State::Searching | State::Rerouting | State::Leaving | State::Ended => true,
        }
    }

    /// It is time to ask.
    pub(crate) fn check_hold(&mut self, now: Instant, edge: &mut Edge) {
        self.deadlines.remove(Timer::HoldCheck);
        if self.is_watched() {
            return;
        }
        let asked: Vec<LegId> = if self.is_local() { vec![self.legs.near] } else { self.legs.talking().collect() };
        let ask = |leg: LegId| {
            let dialog = self.legs[leg].dialog?;
            edge.request(now, self.legs.place(leg), dialog, Purpose::HoldCheck, Vec::new(), None)
        };
        let asked = asked.into_iter().filter_map(ask).collect();
        self.negotiation.hold_check = HoldCheck { asked, is_alive: false };
        self.watch_hold(now, edge);
    }

    /// One has answered, or does not: then its dialog is over (RFC 3261 §12.2.1.2).
    pub(crate) fn hold_checked(&mut self, now: Instant, edge: &mut Edge, client: ClientId, is_alive: bool) {
        let check = &mut self.negotiation.hold_check;
        check.asked.retain(|asked| *asked != client);
        check.is_alive |= is_alive;
        if !check.asked.is_empty() || self.state != State::Answered {
            return;
        }
        if check.is_alive {
            self.watch_hold(now, edge);
        } else if !self.is_watched() {
            let gone = if self.is_local() { "the caller on hold is" } else { "both sides, one of them on hold, are" };
            edge.decide(now, self.key, format!("{gone} no longer reachable"));
            self.end(now, edge, ReasonSlug::DialogLost);
        }
    }
}
