//! Re-INVITEs of our own: a side that was told what no longer holds is asked again, as soon as it can be, with what the
//! other side has said last.

use std::time::{Duration, Instant};

use trunkgate_resources::deadlines::Timer;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::index::Purpose;
use trunkgate_resources::key::LegId;
use trunkgate_resources::limits::{GLARE_OTHER_UNITS, GLARE_OWNER_UNITS, GLARE_TRIES, GLARE_UNIT_MS};
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::leg::Leg;
use crate::call::negotiation::reinvite::{Relay, Renegotiation};
use crate::call::{Call, State};

/// A leg that is to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owed {
    /// The leg.
    pub(crate) leg: LegId,
    /// Whether the call cannot go on without it.
    pub(crate) essential: bool,
    /// How often it has been asked and was asking itself.
    pub(crate) tries: u8,
}

impl Call {
    /// Notes that a leg is to be asked.
    pub(crate) fn owe(&mut self, leg: LegId, essential: bool) {
        match self.negotiation.owed.iter_mut().find(|owed| owed.leg == leg) {
            Some(owed) => owed.essential |= essential,
            None => self.negotiation.owed.push(Owed { leg, essential, tries: 0 }),
        }
    }

    /// Asks the first of them, as soon as it can be asked: not before its ACK, nor while another change is under way, nor
    /// while it waits after a glare.
    pub(crate) fn ask_the_owed(&mut self, now: Instant, edge: &mut Edge) {
        let waits = self.is_unsettled() || self.deadlines.contains(Timer::Glare);
        if self.state != State::Answered || waits {
            return;
        }
        let Some(owed) = self.negotiation.owed.first().copied() else { return };
        let Some(other) = self.legs.other(owed.leg) else { return };
        let Some(offer) = self.standing(other) else { return };
        let way = Relay { from: other, to: owed.leg, server: None, by: Purpose::Reinvite, restores: true };
        if self.relay(now, edge, way, offer).is_ok() {
            self.negotiation.owed.remove(0);
            if let Some(pending) = &mut self.negotiation.renegotiation {
                (pending.essential, pending.tries) = (owed.essential, owed.tries);
            }
        }
    }

    /// A re-INVITE of ours was refused. After a glare it is sent again, so many times.
    pub(crate) fn owed_refused(&mut self, now: Instant, edge: &mut Edge, pending: &Renegotiation, code: u16) {
        let tries = pending.tries.saturating_add(1);
        if code != 491 || tries >= GLARE_TRIES {
            if pending.essential {
                self.end(now, edge, ReasonSlug::NoPorts);
            }
            return;
        }
        let wait = glare_wait(edge, &self.legs[pending.way.to]);
        self.negotiation.owed.insert(0, Owed { leg: pending.way.to, essential: pending.essential, tries });
        self.arm(now, edge, Timer::Glare, wait);
    }
}

/// How long a request of ours that met one of the far end's waits, before it goes out again: that depends on whose the
/// Call-ID is (RFC 3261 §14.1).
pub(crate) fn glare_wait(edge: &mut Edge, leg: &Leg) -> Duration {
    let units = if leg.inbound { GLARE_OTHER_UNITS } else { GLARE_OWNER_UNITS };
    Duration::from_millis(edge.any_of(units).saturating_mul(GLARE_UNIT_MS))
}
