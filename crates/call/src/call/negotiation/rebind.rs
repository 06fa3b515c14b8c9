//! Media ports that turn out to be somebody else's once a call is answered: other ones are drawn, and the side that was
//! told the old ones is asked to send there ([`crate::call::negotiation::owed`]). The other side never learns of it.

use std::time::Instant;

use trunkgate_media::EndId;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::key::LegId;
use trunkgate_resources::limits::BIND_TRIES;
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::leg::StreamEnd;
use crate::call::{Call, State};

impl Call {
    /// An end of an answered call could not be bound: its far end sends into nothing.
    pub(crate) fn bind_failed_later(&mut self, now: Instant, edge: &mut Edge, end: EndId, error: &str) {
        let joins = self.join_unbound(end);
        let Some(at) = self.legs.leg_of(end).filter(|_| !joins) else { return };
        let sid = self.legs.sid().to_owned();
        edge.warn(&sid, format!("media ports could not be bound: {error}"), Some(ReasonSlug::NoPorts));
        edge.decide(now, self.key, format!("ports not bound: {error}"));
        self.story.proof = Some((ReasonSlug::NoPorts, format!("ports not bound: {error}").into()));
        // A stream that a re-INVITE wants to add: that one fails, when its answer comes.
        if let Some(pending) = self.negotiation.renegotiation.as_mut().filter(|pending| pending.added.contains(&end)) {
            pending.unbound = true;
            return;
        }
        if self.redraw_answered(edge, at, end).is_none() {
            self.end(now, edge, ReasonSlug::NoPorts);
        }
    }

    /// Draws another port pair in the place of an end; `None` where that is of no use, or none is left.
    fn redraw_answered(&mut self, edge: &mut Edge, at: LegId, end: EndId) -> Option<()> {
        self.media.bind_failures += 1;
        let has_another = self.legs.other(at).is_some_and(|other| self.legs[other].theirs.is_some());
        if self.state != State::Answered || !has_another || self.media.bind_failures >= BIND_TRIES {
            return None;
        }
        let bind = edge.addressing.media_bind(self.legs[at].signalling())?;
        let new = edge.add_end(self.media.session?, bind)?;
        let slot = self.legs[at].ends.iter_mut().find(|slot| slot.end == end)?;
        *slot = StreamEnd::new(slot.index, new);
        self.media.wires.retain(|from, (to, _)| from != end && *to != end);
        self.owe(at, true);
        Some(())
    }
}
