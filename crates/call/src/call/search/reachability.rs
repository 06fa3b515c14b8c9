//! Addresses of a target that are not tried: known to be down, resting, or of phones of which none is registered.

use std::time::Instant;

use trunkgate_resources::edge::Edge;
use trunkgate_resources::health::Unfit;
use trunkgate_resources::key::{Branch, LegId};
use trunkgate_story::diagnosis::{Cause, Diagnosis};
use trunkgate_story::reason::ReasonSlug;

use crate::call::Call;
use crate::call::search::answer::Failure;

impl Call {
    /// Leaves addresses out that are down or want a rest, unless no other is left.
    pub(crate) fn leave_out(&mut self, now: Instant, edge: &mut Edge, branch: Branch) {
        let Some(attempt) = self.search.attempts.get_mut(branch) else { return };
        for (way, why) in attempt.leave_out(|trunk, way| edge.health.unfit(now, &way.spot(trunk)?)) {
            let why = match why {
                Unfit::Down => "it is down",
                Unfit::Resting => "it sent Retry-After",
            };
            edge.decide(now, self.key, format!("{} left out: {why}", way.shown()));
        }
    }

    /// A leg's far end gave no sign of life.
    pub(crate) fn silent(&mut self, now: Instant, edge: &mut Edge, leg: LegId, sent: bool) {
        let leg = &self.legs[leg];
        if let Some(spot) = leg.spot().filter(|_| !leg.heard) {
            let problem = edge.why_unanswered("INVITE", &spot, sent);
            edge.peer_missed(now, &spot, problem);
        }
    }

    /// A target that only phones make has no way to go: none is registered, which the verdict tells.
    pub(crate) fn look_for_phones(&mut self, now: Instant, edge: &mut Edge, branch: Branch) {
        let Some(trunk) = self.attempt(branch).and_then(|attempt| attempt.trunk.as_ref()) else { return };
        if !trunk.is_of_phones() || !edge.registrar.bindings(&trunk.name).is_empty() {
            return;
        }
        let name = trunk.name.clone();
        let found = Diagnosis {
            cause: Cause::NoPhone,
            text: format!("no phone is registered at {name}"),
            fix: format!("check user, password and server in the phone (`trunkgate status`, trunk {name})"),
        };
        self.story.fault = Some((ReasonSlug::Unreachable, Box::new(found)));
        if !self.story.without_phone.contains(&name) {
            self.story.without_phone.push(name.clone());
        }
        self.note_failure(now, edge, None, &name, &Failure::unreached(ReasonSlug::Unreachable));
    }
}
