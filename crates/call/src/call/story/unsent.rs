//! An INVITE that this machine does not let out: kept for the verdict and its trunk.

use std::time::Instant;

use trunkgate_media::Unsent;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::key::LegId;
use trunkgate_story::diagnosis::{Cause, Diagnosis};
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::unsent::{fix, text};

use crate::call::Call;

impl Call {
    /// An INVITE on a leg did not leave this machine: kept for the verdict and its trunk.
    pub(crate) fn not_let_out(&mut self, now: Instant, edge: &mut Edge, leg: LegId, why: Unsent) {
        let to = self.legs[leg].flow.map_or_else(|| self.legs[leg].signalling(), |flow| flow.remote.ip());
        let shown = self.legs[leg].flow.map_or_else(|| to.to_string(), |flow| flow.remote.to_string());
        let found = Diagnosis { cause: Cause::Unsent, text: text(why, &shown), fix: fix(why, to, None) };
        edge.trunks.problem(now, self.legs[leg].trunk_name(), found.text.clone());
        let sid = self.legs.sid().to_owned();
        edge.warn(&sid, found.text.clone(), Some(ReasonSlug::Unreachable));
        if let Some(trunk) = self.legs[leg].trunk.clone() {
            self.count_fault(now, edge, &trunk.name, &found, true);
        }
        self.story.fault = Some((ReasonSlug::Unreachable, Box::new(found)));
    }
}
