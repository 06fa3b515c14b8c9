//! Reason for the end of each leg, and the side that ended it, for the call's view and record.

use serde::{Deserialize, Serialize};
use trunkgate_story::FailureResponse;
use trunkgate_story::reason::ReasonSlug;

/// Side that ended a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum EndedBy {
    /// Remote party: it hung up, closed, refused or transferred its side, or its connection broke.
    FarEnd,
    /// Edge: the call was over, a request asked for it, or the remote party missed a deadline.
    Edge,
}

impl EndedBy {
    /// Returns the name of the side for display.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            EndedBy::FarEnd => "far_end",
            EndedBy::Edge => "edge",
        }
    }

    /// Returns the side that ends a leg with this failure.
    pub(crate) fn of_failure(reason: ReasonSlug) -> EndedBy {
        use ReasonSlug as R;
        let far_end = matches!(
            reason,
            R::TargetRejected
                | R::Transferred
                | R::TargetBusy
                | R::CredentialsRefused
                | R::Unreachable
                | R::TlsFailed
                | R::AgentUnreachable
                | R::AgentTlsFailed
                | R::AgentRefused
                | R::AgentNotWebSocket
                | R::AgentReset
                | R::AgentClosed
                | R::AgentHungUp
        );
        if far_end { EndedBy::FarEnd } else { EndedBy::Edge }
    }
}

/// Rejection of a call by the remote party.
#[derive(Debug, Clone)]
pub(crate) struct LegRejection {
    /// Response of the remote party.
    pub(crate) said: FailureResponse,
    /// Caller ID in the INVITE, with masked numbers.
    pub(crate) caller_id: Option<Box<str>>,
}

/// End of a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LegEnd {
    pub(crate) reason: ReasonSlug,
    pub(crate) by: EndedBy,
    /// True if the target failed the caller.
    pub(crate) failed: bool,
}

impl LegEnd {
    /// End of a leg that was active when the edge restarted.
    pub(crate) const BY_RESTART: LegEnd =
        LegEnd { reason: ReasonSlug::EdgeRestarted, by: EndedBy::Edge, failed: false };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_leg_outlives_a_restart() {
        for reason in ReasonSlug::ALL {
            let end = LegEnd { reason, by: EndedBy::of_failure(reason), failed: true };
            let written = serde_json::to_value(end).unwrap();
            assert_eq!(serde_json::from_value::<LegEnd>(written).unwrap(), end);
        }
    }
}
