//! The way that an INVITE takes: the flow and the listener that it leaves by, and the leg that stands for it.

use std::time::Instant;

use trunkgate_resources::deadlines::Timer;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::key::{Branch, LegId};
use trunkgate_resources::sip::sip_transport;
use trunkgate_sip::{Flow, Local, Party};
use trunkgate_story::reason::ReasonSlug;

use crate::call::Call;
use crate::call::legs::leg::Leg;
use crate::call::legs::leg_end::EndedBy;
use crate::call::search::attempt::Way;

impl Call {
    /// By which of our listeners a way leaves.
    pub(crate) fn flow_of(&self, edge: &Edge, branch: Branch, way: &Way) -> Option<(Flow, Local)> {
        if let Some((flow, _)) = &way.registered {
            return Some((*flow, edge.addressing.local(flow.remote.ip(), flow.listener)?));
        }
        let remote = way.address?;
        let trunk = self.attempt(branch).and_then(|attempt| attempt.trunk.as_ref());
        edge.addressing.way(trunk.and_then(|t| t.listen.as_deref()), sip_transport(way.transport), remote)
    }

    /// The INVITE of a leg has been in vain; the way that has been put first instead is taken.
    pub(crate) fn ask_again(&mut self, now: Instant, edge: &mut Edge, branch: Branch, leg: LegId) {
        self.disarm(edge, Timer::NoResponse(branch));
        self.disarm(edge, Timer::Ring(branch));
        self.drop_ends(edge, leg);
        self.go_next_way(now, edge, branch);
    }

    /// A target that does not take all of an INVITE is asked once more without that; `left_out`: how its way says so. Whether
    /// it is.
    pub(crate) fn asked_again_without(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        (branch, leg): (Branch, LegId),
        what: &str,
        left_out: fn(&mut Way) -> &mut bool,
    ) -> bool {
        let Some(attempt) = self.search.attempts.get_mut(branch) else { return false };
        let Some(mut way) = attempt.current.clone() else { return false };
        if std::mem::replace(left_out(&mut way), true) {
            return false;
        }
        edge.decide(now, self.key, format!("{} does not accept {what}: retrying without", attempt.name()));
        attempt.again(way);
        self.legs[leg].end_with(ReasonSlug::TargetRejected, EndedBy::FarEnd);
        self.ask_again(now, edge, branch, leg);
        true
    }

    /// The leg of an INVITE that leaves by it.
    pub(crate) fn new_leg(&self, edge: &mut Edge, branch: Branch, way: &Way, flow: Flow) -> Option<Leg> {
        let trunk = self.attempt(branch).and_then(|attempt| attempt.trunk.clone());
        let governs = self.attempt(branch).and_then(|attempt| attempt.governs.clone());
        let party = match &trunk {
            Some(trunk) => edge.party(&trunk.name),
            // A bare URI may well lead to a trunk's address: its answers come as that trunk's.
            None => edge.table.trunk_of(flow.remote).map(|t| t.name.clone()).map_or(Party(0), |name| edge.party(&name)),
        };
        let media_ip = edge.addressing.media_shown_to(flow.remote.ip(), flow.listener)?;
        let number = self.search.transfers.now.as_ref().map(|transfer| Box::new(transfer.number.clone()));
        let leg = Leg::new(edge.sid(), party, flow, media_ip, edge.session_id());
        Some(Leg { trunk, governs, peer: way.peer.clone(), number, ..leg })
    }
}
