//! A caller on hold that has an agent: it may be silent, so silence does not tell that it is gone, and an agent does not
//! hang up as a person would. Its dialog is asked by OPTIONS, as often as silence would have been looked for.

use std::time::Instant;

use crate::call::{Call, State};
use crate::deadlines::Timer;
use crate::edge::Edge;
use crate::index::Purpose;
use crate::reason::ReasonSlug;

impl Call {
    /// After a change of what a caller and its agent speak: whether the caller is asked from now on.
    pub(crate) fn watch_hold(&mut self, now: Instant, edge: &mut Edge) {
        if self.is_watched() {
            self.disarm(edge, Timer::HoldCheck);
        } else if self.hold_check.is_none() && !self.deadlines.contains(Timer::HoldCheck) {
            let interval = edge.config.idle_timeout;
            self.arm(now, edge, Timer::HoldCheck, interval);
        }
    }

    /// Whether the caller's silence would be told.
    fn is_watched(&self) -> bool {
        let mut remotes = self.legs[self.near].ends.iter().filter_map(|end| end.remote.as_ref());
        remotes.any(|remote| remote.watch_idle)
    }

    /// It is time to ask.
    pub(crate) fn check_hold(&mut self, now: Instant, edge: &mut Edge) {
        self.deadlines.remove(Timer::HoldCheck);
        if self.state != State::Answered || !self.is_local() {
            return;
        }
        let at = self.place(self.near);
        let dialog = self.legs[self.near].dialog;
        self.hold_check = dialog.and_then(|dialog| edge.request(now, at, dialog, Purpose::HoldCheck, Vec::new(), None));
        if self.hold_check.is_none() {
            self.watch_hold(now, edge);
        }
    }

    /// The caller has answered, or does not: then its dialog is over (RFC 3261 §12.2.1.2).
    pub(crate) fn hold_checked(&mut self, now: Instant, edge: &mut Edge, alive: bool) {
        self.hold_check = None;
        if !self.is_local() {
            return;
        }
        if alive {
            self.watch_hold(now, edge);
        } else {
            edge.decide(now, self.key, "the caller on hold is not there any more");
            self.end(now, edge, ReasonSlug::DialogLost);
        }
    }
}
