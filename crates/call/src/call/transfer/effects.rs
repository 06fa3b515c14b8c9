//! Effects that a transfer returns to the call above it.

use trunkgate_resources::lookups::key::{Branch, LegId};
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::leg_end::EndedBy;
use crate::call::search::controller::TargetResult;
use crate::call::words::answer::TargetFailure;

/// Effect of a transfer on the call; carried out once the transfer's own work is done.
#[derive(Debug)]
#[must_use]
pub(crate) enum TransferEffect {
    /// No further step: the transfer has done its work, and the call remains in its state.
    Stay,
    /// The answered call ends.
    End(ReasonSlug),
    /// The search continues with the controller's next step.
    Advance,
    /// The remaining targets are tried, once the caller's ACK has brought its media address.
    SearchWithAck,
    /// The agent on this leg has transferred its caller, and leaves.
    AgentLeaves(LegId),
    /// The party of a warm transfer accepts the caller.
    Accepted,
    /// The party of a warm transfer does not accept the caller, or cannot be connected with it.
    Declined(Box<TargetFailure>, EndedBy),
    /// The party on this leg is connected with the caller.
    Joined(LegId),
    /// A target has failed.
    TargetFailed(Branch, Box<TargetResult>),
}

impl TransferEffect {
    /// Returns the effect of a party that does not accept the caller, or cannot be connected with it.
    pub(crate) fn declined(failure: TargetFailure, by: EndedBy) -> TransferEffect {
        TransferEffect::Declined(Box::new(failure), by)
    }
}
