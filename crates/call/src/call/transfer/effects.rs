//! What a transfer returns to the call above it.

use trunkgate_resources::lookups::key::{Branch, LegId};
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::leg_end::EndedBy;
use crate::call::search::controller::TargetResult;
use crate::call::words::answer::Failure;

/// A consequence that a part of a transfer returns: it is carried out once its own work is done.
#[derive(Debug)]
#[must_use]
pub(crate) enum TransferEffect {
    /// Nothing: only its own state has changed.
    Stay,
    /// The answered call ends.
    End(ReasonSlug),
    /// The controller of the search is asked what is next.
    Advance,
    /// The targets that are left are tried, once the ACK of a caller has its media address.
    SearchWithAck,
    /// The agent on this leg has sent its caller on, and leaves.
    AgentLeaves(LegId),
    /// The party of a warm transfer takes the caller.
    Accepted,
    /// The party of a warm transfer does not take the caller, or is not connected with it.
    Declined(Box<Failure>, EndedBy),
    /// The party on this leg is connected with the caller.
    Joined(LegId),
    /// A target has failed.
    TargetFailed(Branch, Box<TargetResult>),
}

impl TransferEffect {
    /// Returns the effect of a party that does not take the caller, or is not connected with it.
    pub(crate) fn declined(failure: Failure, by: EndedBy) -> TransferEffect {
        TransferEffect::Declined(Box::new(failure), by)
    }
}
