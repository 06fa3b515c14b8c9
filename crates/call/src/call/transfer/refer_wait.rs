//! A REFER that comes while the session is being changed, as it does from a phone that holds and transfers with one key: it is
//! answered once that is over. Phones do not ask again after a 491, which RFC 3515 does not know.

use std::time::Instant;

use trunkgate_resources::deadlines::Timer;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::key::LegId;
use trunkgate_resources::limits::UPDATE_WAIT;
use trunkgate_sip::ServerId;

use crate::call::transfer::refer::Refer;
use crate::call::{Call, State, refuse_request};

/// A REFER that has no answer yet.
#[derive(Debug)]
pub(crate) struct WaitingRefer {
    /// Whose it is.
    pub(crate) leg: LegId,
    /// The request.
    pub(crate) server: ServerId,
    /// What it asks for.
    pub(crate) refer: Refer,
}

impl Call {
    /// Whether an answered call's session is being changed.
    pub(crate) fn is_changing(&self) -> bool {
        self.state == State::Answered && (self.negotiation.renegotiation.is_some() || self.negotiation.late.is_some())
    }

    /// Keeps a REFER until the change is over.
    pub(crate) fn refer_later(&mut self, now: Instant, edge: &mut Edge, waiting: WaitingRefer) {
        self.search.transfers.waiting = Some(Box::new(waiting));
        self.arm(now, edge, Timer::Refer, UPDATE_WAIT);
    }

    /// Serves the one that waits, once it can be.
    pub(crate) fn serve_waiting_refer(&mut self, now: Instant, edge: &mut Edge) {
        if self.is_changing() {
            return;
        }
        let Some(waiting) = self.search.transfers.waiting.take() else { return };
        self.disarm(edge, Timer::Refer);
        let WaitingRefer { leg, server, refer } = *waiting;
        match self.state {
            State::Ended => refuse_request(now, edge, server, 487),
            State::Searching | State::Answered | State::Rerouting | State::Leaving => {
                self.referred(now, edge, leg, server, refer);
            }
        }
    }

    /// The change takes too long.
    pub(crate) fn refer_overdue(&mut self, now: Instant, edge: &mut Edge) {
        self.deadlines.remove(Timer::Refer);
        if let Some(waiting) = self.search.transfers.waiting.take() {
            refuse_request(now, edge, waiting.server, 491);
        }
    }
}
