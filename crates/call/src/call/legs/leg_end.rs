//! Why each leg ended, and whether its own far end ended it: for the call's view and its record.

use serde::{Deserialize, Serialize};
use trunkgate_story::Said;
use trunkgate_story::reason::ReasonSlug;

/// Who ended a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LegEnd {
    /// Why.
    pub(crate) reason: ReasonSlug,
    /// Who ended it.
    pub(crate) by: EndedBy,
    /// Whether its target failed the caller.
    pub(crate) failed: bool,
}

/// The same in plain data.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct WrittenLegEnd {
    reason: String,
    by_far_end: bool,
    failed: bool,
}

impl From<LegEnd> for WrittenLegEnd {
    fn from(end: LegEnd) -> WrittenLegEnd {
        let LegEnd { reason, by, failed } = end;
        WrittenLegEnd { reason: reason.as_str().to_owned(), by_far_end: by == EndedBy::FarEnd, failed }
    }
}

impl LegEnd {
    /// From plain data; a leg that was live then is one that the restart ended.
    pub(crate) fn restore(written: Option<WrittenLegEnd>) -> LegEnd {
        let restart = LegEnd { reason: ReasonSlug::EdgeRestarted, by: EndedBy::Edge, failed: false };
        let Some(WrittenLegEnd { reason, by_far_end, failed }) = written else { return restart };
        let reason = ReasonSlug::ALL.into_iter().find(|known| known.as_str() == reason);
        let by = if by_far_end { EndedBy::FarEnd } else { EndedBy::Edge };
        reason.map_or(restart, |reason| LegEnd { reason, by, failed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_leg_outlives_a_restart() {
        for reason in ReasonSlug::ALL {
            let end = LegEnd { reason, by: EndedBy::of_failure(reason), failed: true };
            assert_eq!(LegEnd::restore(Some(end.into())), end);
        }
        let unknown = WrittenLegEnd { reason: "of_a_later_version".into(), by_far_end: true, failed: false };
        for written in [None, Some(unknown)] {
            let end = LegEnd::restore(written);
            assert_eq!((end.reason, end.by), (ReasonSlug::EdgeRestarted, EndedBy::Edge));
        }
    }
}
