//! Why each leg ended, and whether its own far end ended it: for the call's view and its record.

use serde::{Deserialize, Serialize};
use trunkgate_story::Said;
use trunkgate_story::reason::ReasonSlug;

/// Who ended a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum EndedBy {
    /// Its far end: it hung up, closed, refused, sent its caller on, or its connection broke.
    FarEnd,
    /// The edge: the call was over, a request asked for it, or the far end did not do in time what it should.
    Edge,
}

impl EndedBy {
    /// As shown.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            EndedBy::FarEnd => "far_end",
            EndedBy::Edge => "edge",
        }
    }

    /// Who ends a leg that fails for this reason.
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

/// How a far end rejected the call.
#[derive(Debug, Clone)]
pub(crate) struct Rejection {
    /// What it said.
    pub(crate) said: Said,
    /// The caller ID as its INVITE had it, numbers masked.
    pub(crate) caller_id: Option<Box<str>>,
}

/// How a leg ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LegEnd {
    /// Why.
    pub(crate) reason: ReasonSlug,
    /// Who ended it.
    pub(crate) by: EndedBy,
    /// Whether its target failed the caller.
    pub(crate) failed: bool,
}

impl LegEnd {
    /// The end of a leg that was live when the edge was restarted.
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
